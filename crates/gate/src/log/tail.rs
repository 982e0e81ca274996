//! The end of the log: the last sound line, and what stands after it since a writer was cut off.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use super::LONGEST;
use super::line::{Chained, Link};

/// How much of the end is read. A sound log's last line is within [`LONGEST`]; more is read where it was damaged.
const MOST: u64 = 4 * LONGEST as u64;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tail {
    /// The last sound line; [`Link::NONE`] where there is none.
    pub(super) link: Link,
    /// Where that line ends, and damage begins if there is any.
    pub(super) end: u64,
    /// Bytes after it.
    pub(super) damage: u64,
}

impl Tail {
    /// What is no log at all is an error of kind `InvalidData`.
    pub(super) fn read(file: &File, size: u64) -> io::Result<Tail> {
        let mut length = LONGEST as u64 + 1;
        loop {
            let start = size.saturating_sub(length);
            let mut bytes = vec![0; usize::try_from(size - start).unwrap_or(0)];
            file.read_exact_at(&mut bytes, start)?;
            if let Some((link, end)) = last_sound(&bytes) {
                let end = start + end as u64;
                return Ok(Tail { link, end, damage: size - end });
            }
            // A first line that was not finished. Anything else is somebody's file, which is left alone.
            if start == 0 && (bytes.starts_with(BEGINNING) || BEGINNING.starts_with(&bytes)) {
                return Ok(Tail { link: Link::NONE, end: 0, damage: size });
            }
            if start == 0 || length >= MOST {
                return Err(io::ErrorKind::InvalidData.into());
            }
            length = MOST;
        }
    }
}

/// What every line begins with.
const BEGINNING: &[u8] = br#"{"sequence":"#;

/// The last line that ends, has the shape of one and carries its own hash; and where it ends.
fn last_sound(bytes: &[u8]) -> Option<(Link, usize)> {
    let mut end = bytes.iter().rposition(|byte| *byte == b'\n')?;
    loop {
        let before = bytes.get(..end)?;
        let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
        if let Some(line) = bytes.get(start..end).and_then(Chained::parse)
            && line.is_sound()
        {
            return Some((line.link(), end + 1));
        }
        end = start.checked_sub(1)?;
    }
}
