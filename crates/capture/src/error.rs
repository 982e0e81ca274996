//! What can be wrong with a capture. Every error says where: the offset in the uncompressed bytes.

/// A fault of a capture, or of reading or writing it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot {doing} the capture at byte {offset}: {source}")]
    Io { doing: &'static str, offset: u64, source: std::io::Error },
    #[error("not a capture: it begins with {found:#010x} instead of a section header (0x0a0d0d0a)")]
    NotACapture { found: u32 },
    #[error(
        "the section at byte {offset} is of version {major}; the newest that can be read is 1: use a newer stockade"
    )]
    Version { offset: u64, major: u16 },
    #[error("the capture ends at byte {end}, inside the {what} that begins at byte {offset}: it was cut off")]
    Truncated { what: &'static str, offset: u64, end: u64 },
    #[error("the block at byte {offset} (type {block:#x}) says it has {length} bytes; {expected}")]
    Length { offset: u64, block: u32, length: u32, expected: &'static str },
    #[error(
        "the block at byte {offset} (type {block:#x}) ends with length {trailer}, and begins with {length}"
    )]
    Trailer { offset: u64, block: u32, length: u32, trailer: u32 },
    #[error("the {what} at byte {offset} runs past the end of what holds it")]
    Overrun { what: &'static str, offset: u64 },
    #[error("the interface at byte {offset} is of the unknown type {kind}")]
    Interface { offset: u64, kind: u16 },
    #[error("the event at byte {offset} (type {code}) has parameters whose lengths do not add up to its own")]
    Parameters { offset: u64, code: u16 },
    #[error("the {what} is too long to be written ({length} bytes)")]
    TooLong { what: &'static str, length: usize },
}

impl Error {
    /// Whether nothing after it can be read. Otherwise the reader goes on behind what was faulty.
    pub fn is_final(&self) -> bool {
        match self {
            Error::Overrun { .. }
            | Error::Interface { .. }
            | Error::Parameters { .. }
            | Error::TooLong { .. } => false,
            Error::Io { .. }
            | Error::NotACapture { .. }
            | Error::Version { .. }
            | Error::Truncated { .. }
            | Error::Length { .. }
            | Error::Trailer { .. } => true,
        }
    }
}
