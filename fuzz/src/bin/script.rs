//! A script never makes the reader panic or hang, and each container in it is a subject of its own at its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::{Context, script};

fuzz_target!(|bytes: &[u8]| {
    let _ = script::recognise(bytes, "fuzz.sh");
    let world = script::read(bytes, &fuzz::path("fuzz.sh"), &Context::assumed());
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
    fuzz::check_world(&world, &text);
});
