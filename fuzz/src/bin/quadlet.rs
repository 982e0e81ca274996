//! A container unit, with itself as every unit beside it, is at most one container, and never makes the reader panic or
//! hang.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::{Context, quadlet};

fuzz_target!(|bytes: &[u8]| {
    let _ = quadlet::recognise(bytes, "fuzz.container");
    let path = fuzz::path("fuzz.container");
    let alone = quadlet::read_with(bytes, &path, &|_| None, &Context::assumed());
    assert!(alone.subjects.len() <= 1 && (alone.subjects.len() == 1 || !alone.problems.is_empty()));
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
    fuzz::check_world(&alone, &text);
    quadlet::read_with(bytes, &path, &|_| Some(text.to_string()), &Context::assumed());
});
