//! A command line never makes the reader panic or hang; it is a container, or a problem says why not, and a second
//! reading is the same as the first.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::{Context, run};

fuzz_target!(|text: &str| {
    let (path, context) = (fuzz::path("--run"), Context::assumed());
    let world = run::read_line(text, &path, 1, &context);
    // `--help` asks for no container.
    assert!(!world.subjects.is_empty() || !world.problems.is_empty() || text.contains("help"));
    fuzz::check_world(&world, text);
    let again = run::read_line(text, &path, 1, &context);
    assert_eq!(world.problems, again.problems);
    assert!(world.subjects.iter().map(|s| &s.confinement).eq(again.subjects.iter().map(|s| &s.confinement)));
});
