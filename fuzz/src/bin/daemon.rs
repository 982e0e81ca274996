//! A daemon.json is one engine whatever its fields hold, and never makes the reader panic or hang.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::document::parse_json;
use sources::{Context, daemon};

fuzz_target!(|text: &str| {
    let Ok(document) = parse_json(text, &fuzz::path("daemon.json"), &fuzz::limits()) else { return };
    let _ = daemon::recognise(&document.root, "daemon.json");
    let world = daemon::read(&document, &Context::assumed());
    assert_eq!(world.subjects.len(), 1);
    fuzz::check_world(&world, document.text());
});
