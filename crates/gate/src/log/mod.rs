//! The log of decisions: a file of JSON lines, each bound to the one before by its hash ([`line`]). Records come from the
//! doors, of which several may be at work at once, in threads and in processes of their own; `stockade gate log` reads
//! and verifies.
//!
//! Promises, each with a test of its own:
//! * when `append` has returned, the record is in the file; where it is not, the error says why;
//! * writers take turns, so that the chain never forks, whatever renames the file meanwhile;
//! * what a writer left half done is kept aside in FILE.torn, and a note in the chain says so; where lines are gone from
//!   the end, the chain says how many;
//! * no record is longer than [`LONGEST`]: evidence is left out before that, and the record says so.

mod bound;
pub mod entry;
mod error;
mod file;
mod head;
mod line;
mod note;
mod rotate;
mod tail;
pub mod verify;

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

pub use error::LogError;
pub use line::{Chained, Hash, Link};
pub use note::Note;
pub use rotate::{Rotation, files};

use crate::Record;
use head::{Head, Locked};
use tail::Tail;

/// How long a line may be.
pub const LONGEST: usize = 1 << 20;

/// More than the members of the chain take of a line.
const CHAIN: usize = 256;

/// Which records are on the disk before `append` returns. What is not is lost when the machine loses power, and only
/// then.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    Never,
    /// What was refused, and notes.
    #[default]
    Denied,
    Always,
}

/// The log, open for writing. Threads share one; processes open one each.
pub struct Log {
    path: PathBuf,
    sync: Sync,
    rotation: Option<Rotation>,
    writer: Mutex<Writer>,
}

struct Writer {
    head: Head,
    open: Open,
}

/// The file that is written to, and its end as this process last saw it.
struct Open {
    file: File,
    end: u64,
    link: Link,
}

impl Log {
    /// Opens the log, or makes it. Who else may write to it, or might have it be something else, is found out here.
    pub fn open(path: impl Into<PathBuf>) -> Result<Log, LogError> {
        let path = path.into();
        file::check_folder(&path)?;
        let open = Open::at(&path)?;
        open.tail(&path)?;
        let writer = Mutex::new(Writer { head: Head::open(&path)?, open });
        Ok(Log { path, sync: Sync::default(), rotation: None, writer })
    }

    /// Which records wait for the disk.
    #[must_use]
    pub fn synced(self, sync: Sync) -> Log {
        Log { sync, ..self }
    }

    /// Moves the file away when it has grown so large. All writers of a log should say the same.
    #[must_use]
    pub fn rotated(self, rotation: Rotation) -> Log {
        Log { rotation: Some(rotation), ..self }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes one record. It is in the file when this returns without an error.
    pub fn append(&self, record: &Record<'_>) -> Result<(), LogError> {
        let json = bound::json(record)?;
        let sync = match self.sync {
            Sync::Never => false,
            Sync::Denied => record.ruling.is_denied(),
            Sync::Always => true,
        };
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let Writer { head, open } = &mut *writer;
        let locked = head.lock()?;
        open.follow(&self.path)?;
        open.catch_up(&self.path, &locked, record.time)?;
        if let Some(rotation) = self.rotation
            && open.end.saturating_add((json.len() + CHAIN) as u64) > rotation.size
            && open.is_worth_moving()
        {
            open.rotate(&self.path, &locked, rotation, record.time)?;
        }
        open.write(&self.path, &locked, &json, sync)
    }
}

impl Open {
    fn at(path: &Path) -> Result<Open, LogError> {
        // An end that no file has: it is looked for before the first record.
        Ok(Open { file: file::open(path)?, end: u64::MAX, link: Link::NONE })
    }

    /// Goes to the file that has the name now: the other one was rotated away.
    fn follow(&mut self, path: &Path) -> Result<(), LogError> {
        for _ in 0..100 {
            if file::is_at(path, &self.file).map_err(LogError::io(path, "look at it"))? {
                return Ok(());
            }
            *self = Open::at(path)?;
        }
        Err(LogError::Restless { path: path.to_owned() })
    }

    /// Finds the end that other processes have written, mends it, and notes what is not as it should be.
    fn catch_up(&mut self, path: &Path, head: &Locked<'_>, now: Timestamp) -> Result<(), LogError> {
        let told = head.read()?;
        if self.size(path)? == self.end && told.is_none_or(|told| told == self.link) {
            return Ok(());
        }
        let tail = self.tail(path)?;
        let mut notes = Vec::new();
        if tail.damage > 0 {
            notes.push(self.set_aside(path, &tail)?);
        }
        self.end = tail.end;
        self.link = tail.link;
        match told {
            // A writer was killed before it could tell, or the head is an old one.
            Some(told) if told.sequence < tail.link.sequence || told == tail.link => {}
            Some(told) if tail.end == 0 => {
                notes.insert(
                    0,
                    Note::Continued { sequence: told.sequence, previous: told.hash, removed_to: None },
                );
                self.link = told;
            }
            Some(told) => {
                notes.push(Note::Missing { from: tail.link.sequence + 1, to: told.sequence });
                self.link = told;
            }
            None if tail.end == 0 => notes.insert(0, Note::Began),
            None => {}
        }
        for note in notes {
            self.write(path, head, &note.json(now)?, true)?;
        }
        Ok(())
    }

    fn size(&self, path: &Path) -> Result<u64, LogError> {
        Ok(self.file.metadata().map_err(LogError::io(path, "look at it"))?.size())
    }

    fn tail(&self, path: &Path) -> Result<Tail, LogError> {
        Tail::read(&self.file, self.size(path)?).map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => LogError::NotALog { path: path.to_owned() },
            _ => LogError::io(path, "read its end")(error),
        })
    }

    /// More than the note it begins with is in it.
    fn is_worth_moving(&self) -> bool {
        self.end > 1024
    }

    fn rotate(
        &mut self,
        path: &Path,
        head: &Locked<'_>,
        rotation: Rotation,
        now: Timestamp,
    ) -> Result<(), LogError> {
        self.file.sync_data().map_err(LogError::io(path, "write it to the disk"))?;
        let removed_to = rotation.rotate(path)?;
        let Link { sequence, hash: previous } = self.link;
        *self = Open { link: self.link, end: 0, ..Open::at(path)? };
        let note = Note::Continued { sequence, previous, removed_to };
        self.write(path, head, &note.json(now)?, true)
    }

    /// Moves what a writer left half done to FILE.torn.
    fn set_aside(&self, path: &Path, tail: &Tail) -> Result<Note, LogError> {
        let mut damage = vec![0; usize::try_from(tail.damage).unwrap_or(0)];
        self.file.read_exact_at(&mut damage, tail.end).map_err(LogError::io(path, "read its end"))?;
        let torn = beside(path, "torn");
        let mut aside = file::open(&torn)?;
        damage.push(b'\n');
        aside.write_all(&damage).map_err(LogError::io(&torn, "write to it"))?;
        aside.sync_data().map_err(LogError::io(&torn, "write it to the disk"))?;
        self.file.set_len(tail.end).map_err(LogError::io(path, "cut its damaged end off"))?;
        damage.pop();
        Ok(Note::Torn { bytes: tail.damage, sha256: Hash::of(&damage), kept: torn })
    }

    fn write(&mut self, path: &Path, head: &Locked<'_>, record: &[u8], sync: bool) -> Result<(), LogError> {
        let (line, link) = self.link.seal(record);
        if let Err(error) = self.file.write_all(&line) {
            // Half a line is no record. Where it cannot be taken back, the next writer sets it aside.
            let _ = self.file.set_len(self.end);
            return Err(LogError::io(path, "write to it")(error));
        }
        self.end += line.len() as u64;
        self.link = link;
        head.write(link)?;
        if sync {
            self.file.sync_data().map_err(LogError::io(path, "write it to the disk"))?;
        }
        Ok(())
    }
}

/// The last sound line of a log; `None` where there is none.
pub fn head_of(path: &Path) -> Result<Option<Link>, LogError> {
    let not_there = || LogError::io(path, "open it")(io::ErrorKind::NotFound.into());
    let file = file::open_to_read(path)?.ok_or_else(not_there)?;
    let tail = Open { file, end: 0, link: Link::NONE }.tail(path)?;
    Ok((tail.link != Link::NONE).then_some(tail.link))
}

/// FILE.`extension`.
fn beside(path: &Path, extension: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".");
    name.push(extension);
    name.into()
}

#[cfg(test)]
mod tests;
