//! One line of the log. Its bytes are fixed, so that any program can verify a chain without this one:
//!
//! ```text
//! {"sequence":7,"previous":"HASH OF LINE 6",…members of the record…,"hash":"HASH"}
//! ```
//!
//! HASH is SHA-256 in lower-case hexadecimal of the line as it is written, without its line feed and without the member
//! `hash` with the comma before it. `sequence` and `previous` are always first, `hash` always last, and there is no white
//! space outside of strings.

use std::fmt::{self, Write as _};

use sha2::{Digest as _, Sha256};

/// What `,"hash":"…"}` takes at the end of a line.
const SEAL: usize = r#","hash":""}"#.len() + HASH;
/// Digits of a hash.
const HASH: usize = 64;

/// SHA-256 of a line.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands for the line before the first.
    pub const NONE: Hash = Hash([0; 32]);

    pub fn of(bytes: &[u8]) -> Hash {
        Hash(Sha256::digest(bytes).into())
    }

    /// From 64 lower-case hexadecimal digits.
    pub fn parse(text: &[u8]) -> Option<Hash> {
        let digits: &[u8; HASH] = text.try_into().ok()?;
        let mut hash = [0; 32];
        for (byte, pair) in hash.iter_mut().zip(digits.as_chunks::<2>().0) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Hash(hash))
    }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// A place in the chain: a line's number and hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    pub sequence: u64,
    pub hash: Hash,
}

impl Link {
    /// Before the first line.
    pub const NONE: Link = Link { sequence: 0, hash: Hash::NONE };

    /// The line, with its line feed, that follows this one and holds the members of `record`, an object of JSON without
    /// white space; and its link.
    pub(super) fn seal(self, record: &[u8]) -> (Vec<u8>, Link) {
        let sequence = self.sequence.saturating_add(1);
        let members = record.strip_prefix(b"{").unwrap_or(record);
        let mut line = format!(r#"{{"sequence":{sequence},"previous":"{}","#, self.hash).into_bytes();
        line.reserve(members.len() + SEAL + 1);
        line.extend_from_slice(members);
        let hash = Hash::of(&line);
        line.pop();
        let mut end = String::with_capacity(SEAL + 1);
        // Writing to a string cannot fail.
        let _ = writeln!(end, r#","hash":"{hash}"}}"#);
        line.extend_from_slice(end.as_bytes());
        (line, Link { sequence, hash })
    }
}

/// What a line says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chained {
    pub sequence: u64,
    pub previous: Hash,
    /// The hash it carries.
    pub hash: Hash,
    /// The hash of its bytes as they are.
    pub found: Hash,
}

impl Chained {
    /// Reads a line without its line feed; `None` where it does not have the shape of one.
    pub fn parse(line: &[u8]) -> Option<Chained> {
        let (hashed, seal) = line.split_at_checked(line.len().checked_sub(SEAL)?)?;
        let hash = Hash::parse(seal.strip_prefix(br#","hash":""#)?.strip_suffix(br#""}"#)?)?;

        let rest = hashed.strip_prefix(br#"{"sequence":"#)?;
        let digits = rest.iter().position(|byte| !byte.is_ascii_digit())?;
        let (digits, rest) = rest.split_at_checked(digits)?;
        if digits.first() == Some(&b'0') {
            return None;
        }
        let sequence = std::str::from_utf8(digits).ok()?.parse().ok()?;
        let previous = rest.strip_prefix(br#","previous":""#)?;
        let (previous, rest) = previous.split_at_checked(HASH)?;
        let previous = Hash::parse(previous)?;
        rest.strip_prefix(br#"",""#)?;

        let mut sha = Sha256::new();
        sha.update(hashed);
        sha.update(b"}");
        Some(Chained { sequence, previous, hash, found: Hash(sha.finalize().into()) })
    }

    /// The bytes are those that were hashed.
    pub fn is_sound(&self) -> bool {
        self.hash == self.found
    }

    pub fn link(&self) -> Link {
        Link { sequence: self.sequence, hash: self.hash }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_line_is_read_back_and_is_json() {
        let (line, first) = Link::NONE.seal(br#"{"a":"hash\":\"\n"}"#);
        let text = line.strip_suffix(b"\n").expect("it ends");
        let chained = Chained::parse(text).expect("it has the shape");
        assert!(chained.is_sound());
        assert_eq!((chained.link(), chained.previous), (first, Hash::NONE));
        let json: serde_json::Value = serde_json::from_slice(text).expect("it is JSON");
        assert_eq!(json["sequence"], 1);
        assert_eq!(json["hash"], first.hash.to_string());

        let (next, second) = first.seal(br#"{"a":1}"#);
        let next = Chained::parse(next.trim_ascii_end()).expect("it has the shape");
        assert_eq!((next.previous, next.sequence), (first.hash, 2));
        assert_eq!(next.link(), second);
    }

    #[test]
    fn the_hash_is_what_sha256sum_says_of_the_line_without_its_hash() {
        let (line, link) = Link::NONE.seal(br#"{"a":1}"#);
        let text = String::from_utf8(line).expect("it is text");
        let without = text.trim_end().replace(&format!(r#","hash":"{}""#, link.hash), "");
        assert_eq!(without, format!(r#"{{"sequence":1,"previous":"{}","a":1}}"#, "0".repeat(64)));
        // printf '%s' "$without" | sha256sum
        assert_eq!(Hash::of(without.as_bytes()), link.hash);
    }

    #[test]
    fn what_differs_in_shape_is_no_line() {
        let (line, _) = Link::NONE.seal(br#"{"a":1}"#);
        let line = String::from_utf8(line).expect("it is text");
        let line = line.trim_end();
        for other in [
            line.replace("\"sequence\":1", "\"sequence\":01"),
            line.replace("\"sequence\":1", "\"sequence\":-1"),
            line.replace("\"sequence\":1", "\"sequence\": 1"),
            line.replace("\"sequence\":1", "\"sequence\":99999999999999999999999"),
            line.replace("\"hash\"", "\"Hash\""),
            line.to_ascii_uppercase(),
            format!("{line} "),
            line[1..].to_owned(),
            String::new(),
        ] {
            assert_eq!(Chained::parse(other.as_bytes()), None, "{other}");
        }
    }
}
