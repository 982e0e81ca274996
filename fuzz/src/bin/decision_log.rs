//! A log of whatever bytes is read to its end, line by line: what is called whole is whole, what is wrong has a place
//! within the file, and lines that are sound are shown without a panic.
#![no_main]

use std::path::Path;
use std::sync::Arc;

use gate::log::entry::Entry;
use gate::log::verify::Verifier;
use gate::log::{Chained, Hash};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let path: Arc<Path> = Path::new("log").into();
    let mut verifier = Verifier::new([]);
    let mut sound = 0;
    let read = verifier.read(&path, bytes, &mut |line| {
        sound += 1;
        let chained = Chained::parse(line).expect("a sound line has the shape of one");
        let hashed = [&line[..line.len() - r#","hash":""}"#.len() - 64], b"}"].concat();
        assert_eq!(chained.hash, Hash::of(&hashed));
        let entry = Entry::parse(line);
        let _ = entry.map(|entry| (entry.lines(), entry.time(), entry.is_denied(), entry.is_note()));
    });
    assert!(read.is_ok());
    let verified = verifier.finish(&path);
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').count() as u64;
    assert_eq!(verified.lines, lines);
    assert!(verified.wrong.iter().all(|wrong| (1..=lines).contains(&wrong.line)));
    assert_eq!(verified.is_whole(), verified.wrong.is_empty());
    if verified.is_whole() {
        assert_eq!(sound, lines);
        let (Some(first), Some(last)) = (verified.first, verified.last) else {
            assert_eq!(lines, 0);
            return;
        };
        assert_eq!(last.sequence - first.sequence, lines - 1);
    }
});
