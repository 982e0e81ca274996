//! A Dockerfile is one image or one problem, and never makes the reader panic or hang. A password is never repeated.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::{Context, dockerfile};

fuzz_target!(|bytes: &[u8]| {
    let _ = dockerfile::recognise(bytes, "fuzz");
    let world = dockerfile::read(bytes, &fuzz::path("Dockerfile"), &Context::assumed());
    assert_eq!(world.subjects.len() + world.problems.len(), 1);
    let text = String::from_utf8_lossy(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes));
    fuzz::check_world(&world, &text);
    // Whatever stands around it, a value given to a name like this is found and kept back.
    let mut with = b"FROM scratch\nENV DB_PASSWORD=qzjx7331kw\n".to_vec();
    with.extend_from_slice(bytes);
    let world = dockerfile::read(&with, &fuzz::path("Dockerfile"), &Context::assumed());
    for subject in &world.subjects {
        assert!(!subject.confinement.image.secrets.is_empty());
        assert!(!format!("{:?}", subject.confinement.image.secrets).contains("qzjx7331kw"));
    }
});
