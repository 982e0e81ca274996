//! What can be wrong with the log, and what to do.

use std::io;
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum LogError {
    #[error("{}: cannot {doing}: {error}", path.display())]
    Io { path: PathBuf, doing: &'static str, error: io::Error },
    #[error(
        "{}: there is no space left for the record ({error}); make space, or set the size at which the log is rotated",
        path.display()
    )]
    Full { path: PathBuf, error: io::Error },
    #[error("{}: is {what}, not a file; give the path of the file itself", path.display())]
    NotAFile { path: PathBuf, what: &'static str },
    #[error("{}: others may write to it (mode {mode:04o}): `chmod 0600` it, after a look at what it holds", path.display())]
    Writable { path: PathBuf, mode: u32 },
    #[error("{}: belongs to user {owner}, who can rewrite it; give the path of another file", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error("{}: has {links} names (hard links); give the path of a file that has one", path.display())]
    Linked { path: PathBuf, links: u64 },
    #[error(
        "{}: everybody may replace files in this folder (mode {mode:04o}, not sticky); use a folder of the log's own",
        path.display()
    )]
    Folder { path: PathBuf, mode: u32 },
    #[error("{}: another process has held the lock for {seconds} seconds; see who with `lsof` or lslocks(8)", path.display())]
    Busy { path: PathBuf, seconds: u64 },
    #[error("{}: is being replaced over and over by another process", path.display())]
    Restless { path: PathBuf },
    #[error(
        "{}: this is not a log of decisions, or its end is damaged beyond what a writer that was cut off leaves; \
         move it away, or give another path",
        path.display()
    )]
    NotALog { path: PathBuf },
    #[error("the record cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    #[error("the record is too long to be kept ({bytes} bytes)")]
    Long { bytes: usize },
}

impl LogError {
    /// For `map_err`.
    pub(super) fn io(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> LogError {
        move |error| {
            let path = path.to_owned();
            match error.kind() {
                io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                    LogError::Full { path, error }
                }
                _ => LogError::Io { path, doing, error },
            }
        }
    }
}
