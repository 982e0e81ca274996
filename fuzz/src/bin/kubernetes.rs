//! Manifests never make the reader panic or hang, every container it finds is a subject of its own, and what is written of a
//! container's privilege is never lost.
#![no_main]

use std::collections::HashSet;

use libfuzzer_sys::fuzz_target;
use sources::Context;
use sources::document::parse_bytes;
use sources::kubernetes::{Objects, recognise};

fuzz_target!(|bytes: &[u8]| {
    let path = fuzz::path("fuzz.yaml");
    let mut objects = Objects::default();
    for document in parse_bytes(bytes, &path, &fuzz::limits()).into_iter().flatten() {
        let _ = recognise(&document.root);
        objects.merge(Objects::read(&document));
    }
    let world = objects.into_world(&Context::assumed());
    let mut ids = HashSet::new();
    for subject in &world.subjects {
        assert!(ids.insert(&subject.id), "two subjects are {}", subject.id);
        let pod = subject.pod.as_ref().expect("a container is of a pod");
        let place = subject.place.as_ref().expect("a container has a place");
        let declared = pod.containers.iter().find(|container| container.place.as_ref() == Some(place));
        // An alias may stand for several containers at one place; they say the same.
        let written = declared.and_then(|container| container.security.privileged.as_ref()).map(|fact| fact.value);
        assert_eq!(subject.confinement.privileged.value, written.unwrap_or(Some(false)));
    }
    for problem in world.problems.iter().chain(&world.notes) {
        assert!(problem.line.is_some_and(|line| line > 0) && !problem.message.is_empty());
    }
});
