//! Reading small files of `/proc`, `/sys` and `/etc` with a bound on their size. `/proc` files have no length
//! of their own, and what a container puts into one (names, mounts) is not to be trusted with memory.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// No file read through here has a reason to be larger, but for a mount table (see `mountinfo`).
const LIMIT: u64 = 4 << 20;

/// The file's bytes, or an error where there are more than `limit`.
pub fn read_bytes(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let file = File::open(path)?;
    // A device or a FIFO in the place of a file could block for ever; opening one without blocking is enough
    // to see what it is, and `/proc` and `/sys` files are regular.
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    read_open(file, limit)
}

pub fn read_open(file: File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        let message = format!("it is larger than the limit of {limit} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

/// The file as text; bytes that are not UTF-8 are replaced, as they only ever stand in names.
pub fn read_text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read_bytes(path, LIMIT)?).into_owned())
}

/// The text without the newline at its end; `None` where it cannot be read.
pub fn read_word(path: &Path) -> Option<String> {
    read_text(path).ok().map(|text| text.trim_end().to_owned())
}
