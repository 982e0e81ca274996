//! Whatever an engine hands to the door before the runtime is ruled on without a panic: a configuration, and the words of
//! a command line. What is not understood is never let in, and no more is allowed where only a refusal's reason is added.
#![no_main]

use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;

use confinement::{Host, Runtime};
use gate::InForce;
use gate::oci::invocation::{self, Invocation};
use gate::oci::surroundings::Surroundings;
use gate::oci::{Gate, complaint};
use libfuzzer_sys::fuzz_target;
use sources::document::{Limits, parse_json};

fuzz_target!(|bytes: &[u8]| {
    let (words, text) = match bytes.iter().position(|byte| *byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (bytes, bytes),
    };
    let words: Vec<OsString> = String::from_utf8_lossy(words).split('\n').map(OsString::from).collect();
    let _ = invocation::log(&words);
    if let Ok(Invocation::Make { container, .. } | Invocation::Exec { container, .. }) = invocation::read(&words) {
        assert!(words.contains(&container));
    }

    let rules = InForce::default();
    let gate = Gate {
        rules: &rules,
        today: policy::parse_date("2026-11-23").unwrap(),
        runtime: if bytes.len() % 2 == 0 { Runtime::Runc } else { Runtime::Crun },
        host: Arc::new(Host::unseen()),
        state: Vec::new(),
        allow_annotations: &[],
        hooks: None,
    };
    let path = Path::new("/nowhere/bundle/config.json");
    let ruling = gate.rule_in(text, path, "web".as_ref(), &Surroundings::unseen());
    let is_configuration = std::str::from_utf8(text).is_ok_and(|text| {
        parse_json(text, &"config.json".into(), &Limits::default())
            .is_ok_and(|document| sources::oci::recognise(&document.root))
    });
    assert!(is_configuration || ruling.is_denied());
    assert!(!ruling.is_denied() || !ruling.message.is_empty());
    assert!(!complaint::line(&ruling.message).contains(char::is_control));
});
