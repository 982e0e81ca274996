//! Bytes of any kind, under each kind of name, are text that is read or an error.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::document::parse_bytes;

fuzz_target!(|bytes: &[u8]| {
    for name in ["fuzz.yaml", "fuzz.json", "-"] {
        for document in parse_bytes(bytes, &fuzz::path(name), &fuzz::limits()) {
            match document {
                Ok(document) => fuzz::check_document(&document),
                Err(error) => assert!(error.to_string().starts_with(name)),
            }
        }
    }
});
