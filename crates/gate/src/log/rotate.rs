//! The files of a log: FILE, which is written to, and those that were rotated away: FILE.1, the newest, FILE.2 and so on.

use std::fs;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use super::tail::Tail;
use super::{LogError, beside, file};

/// More are not looked for.
const MOST: u32 = 9999;

/// When the log itself moves a file away. Without it, logrotate(8) may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// No file is longer than this, but for one record.
    pub size: u64,
    /// How many are kept beside the one that is written to.
    pub keep: NonZero<u32>,
}

impl Rotation {
    /// Moves every file one on and the log to FILE.1. Returns the number of the last line that is removed for it.
    pub(super) fn rotate(self, path: &Path) -> Result<Option<u64>, LogError> {
        let keep = self.keep.get().min(MOST);
        let oldest = beside(path, &keep.to_string());
        let removed = match file::open_to_read(&oldest) {
            Ok(Some(file)) => {
                let size = file.metadata().map_err(LogError::io(&oldest, "look at it"))?.len();
                let tail = Tail::read(&file, size).map_err(LogError::io(&oldest, "read its end"))?;
                Some(tail.link.sequence)
            }
            Ok(None) => None,
            Err(error) => return Err(error),
        };
        for number in (1..keep).rev() {
            rename(&beside(path, &number.to_string()), &beside(path, &(number + 1).to_string()))?;
        }
        rename(path, &beside(path, "1"))?;
        Ok(removed)
    }
}

/// Nothing to rename is well.
fn rename(from: &Path, to: &Path) -> Result<(), LogError> {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(LogError::io(from, "rotate it")(error)),
        _ => Ok(()),
    }
}

/// The log and the files that were rotated away without a gap, oldest first.
pub fn files(path: &Path) -> Vec<PathBuf> {
    let rotated = (1..=MOST).map(|number| beside(path, &number.to_string()));
    let mut files: Vec<PathBuf> = rotated.take_while(|file| file.is_file()).collect();
    files.reverse();
    files.push(path.to_owned());
    files
}
