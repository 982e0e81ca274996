//! A runtime configuration is one container whatever its fields hold, and never makes the reader panic or hang.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::document::parse_json;
use sources::{Context, oci};

fuzz_target!(|text: &str| {
    let Ok(document) = parse_json(text, &fuzz::path("config.json"), &fuzz::limits()) else { return };
    let _ = oci::recognise(&document.root);
    let world = oci::read(&document, &Context::assumed());
    assert_eq!(world.subjects.len(), 1);
    fuzz::check_world(&world, document.text());
});
