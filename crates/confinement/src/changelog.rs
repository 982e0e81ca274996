//! Changelogs of distribution packages: which flaws they say are fixed. Readers of hosts read the file, the flaws'
//! rules weigh what it names.

use std::collections::BTreeSet;

/// A changelog beyond this many bytes is not read on; the longest known, of Debian's linux, has 4 MB.
const CHANGELOG_BYTES: usize = 32 << 20;
/// More identifiers than this are not collected; Debian's linux names 4,500.
const CHANGELOG_CVES: usize = 100_000;

/// The CVE identifiers that a package changelog names, in any case, within bounds.
pub fn cves_in_changelog(text: &str) -> BTreeSet<String> {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..CHANGELOG_BYTES).unwrap_or(bytes);
    let mut found = BTreeSet::new();
    let mut at = 0;
    while let Some(rest) = bytes.get(at..) {
        let Some(offset) = rest.iter().position(|b| matches!(b, b'C' | b'c')) else { break };
        let start = at + offset;
        match identifier(bytes, start) {
            Some(end) => {
                if let Some(text) = bytes.get(start..end).and_then(|id| std::str::from_utf8(id).ok()) {
                    found.insert(text.to_ascii_uppercase());
                }
                at = end;
            }
            None => at = start + 1,
        }
        if found.len() >= CHANGELOG_CVES {
            break;
        }
    }
    found
}

/// Where an identifier `CVE-YYYY-N…` (four digits and more) that begins at `start` ends.
fn identifier(bytes: &[u8], start: usize) -> Option<usize> {
    if start > 0 && bytes.get(start - 1).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    let head = bytes.get(start..start + 9)?;
    let (word, year) = head.split_at(4);
    if !word.eq_ignore_ascii_case(b"CVE-") || year.last() != Some(&b'-') {
        return None;
    }
    if !year.iter().take(4).all(u8::is_ascii_digit) {
        return None;
    }
    let digits = bytes.get(start + 9..)?.iter().take(20).take_while(|b| b.is_ascii_digit()).count();
    (digits >= 4).then_some(start + 9 + digits)
}
