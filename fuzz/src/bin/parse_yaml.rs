//! YAML text never panics, hangs or grows without bound, and the tree it gives is sound.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::document::{looks_templated, parse_yaml};

fuzz_target!(|text: &str| {
    let limits = fuzz::limits();
    let documents = parse_yaml(text, &fuzz::path("fuzz.yaml"), &limits);
    assert!(documents.len() <= limits.documents + 1);
    for (position, document) in documents.iter().enumerate() {
        match document {
            Ok(document) => {
                assert_eq!(document.index, position);
                fuzz::check_document(document);
            }
            Err(error) => assert!(!error.message.is_empty()),
        }
    }
    let _ = looks_templated(text);
});
