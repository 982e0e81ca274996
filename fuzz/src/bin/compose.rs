//! Compose files never make the reader panic or hang, whatever they include or extend, and every service is a subject of
//! its own that says what is written of its privilege.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use sources::Context;
use sources::compose::{Environment, Files, read_document, recognise};
use sources::document::parse_bytes;

/// Every file is the one that is fuzzed, so that includes and extensions lead back to it.
struct Itself<'a> {
    bytes: &'a [u8],
    environment: Environment,
}

impl Files for Itself<'_> {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        if path.ends_with(".env") || path.ends_with("missing.yaml") {
            return Err("no such file".into());
        }
        Ok(self.bytes.to_vec())
    }
    fn environment(&self) -> &Environment {
        &self.environment
    }
    fn home(&self) -> &str {
        "/home/user"
    }
}

fuzz_target!(|bytes: &[u8]| {
    let path = fuzz::path("/srv/fuzz/compose.yaml");
    let files = Itself { bytes, environment: Environment::from([("SET".into(), "value".into())]) };
    let context = Context::assumed();
    for document in parse_bytes(bytes, &path, &fuzz::limits()).into_iter().flatten() {
        let _ = recognise(&document.root);
        let world = read_document(&document, &files, &context);
        let mut ids = HashSet::new();
        for subject in &world.subjects {
            assert!(ids.insert(&subject.id), "two subjects are {}", subject.id);
            assert!(subject.place.as_ref().is_some_and(|place| place.line > 0));
        }
        for problem in world.problems.iter().chain(&world.notes) {
            assert!(!problem.message.is_empty());
        }
    }
});
