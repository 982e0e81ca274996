//! FILE.head: the last line's number and hash, beside the log. It is what all writers lock, since the log itself may be
//! renamed under them; it is how a new log goes on from the one that was moved away; and it tells that lines are gone
//! from the end. Whoever may write the log may write it too, so that it proves nothing against them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::line::{Hash, Link};
use super::{LogError, beside, file};

/// How long one record waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);
/// `SEQUENCE HASH`, of one length always, so that a write never leaves half of an older one.
const LENGTH: usize = 20 + 1 + 64 + 1;

pub(super) struct Head {
    path: PathBuf,
    file: File,
}

/// The lock, until it is dropped.
pub(super) struct Locked<'a> {
    head: &'a Head,
}

impl Head {
    pub(super) fn open(log: &Path) -> Result<Head, LogError> {
        let path = beside(log, "head");
        let file = file::open_in_place(&path)?;
        Ok(Head { path, file })
    }

    /// Waits for the other writers.
    pub(super) fn lock(&mut self) -> Result<Locked<'_>, LogError> {
        // A file that somebody removed is locked by nobody else.
        for _ in 0..100 {
            self.wait()?;
            if file::is_at(&self.path, &self.file).map_err(LogError::io(&self.path, "look at it"))? {
                return Ok(Locked { head: self });
            }
            self.file = file::open_in_place(&self.path)?;
        }
        Err(LogError::Restless { path: self.path.clone() })
    }

    /// A lock that is asked for again and again, since waiting in flock(2) has no end.
    fn wait(&self) -> Result<(), LogError> {
        let begin = Instant::now();
        let mut pause = Duration::from_micros(20);
        loop {
            match flock(&self.file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(()),
                Err(Errno::WOULDBLOCK | Errno::INTR) => {}
                Err(error) => return Err(LogError::io(&self.path, "lock it")(error.into())),
            }
            if begin.elapsed() > PATIENCE {
                return Err(LogError::Busy { path: self.path.clone(), seconds: PATIENCE.as_secs() });
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(2));
        }
    }
}

impl Locked<'_> {
    /// What was written last; `None` where nothing was, or where it cannot be read.
    pub(super) fn read(&self) -> Result<Option<Link>, LogError> {
        let mut text = [0; LENGTH];
        match self.head.file.read_exact_at(&mut text, 0) {
            Ok(()) => Ok(parse(&text)),
            Err(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(LogError::io(&self.head.path, "read it")(error)),
        }
    }

    pub(super) fn write(&self, link: Link) -> Result<(), LogError> {
        let text = format!("{:020} {}\n", link.sequence, link.hash);
        self.head.file.write_all_at(text.as_bytes(), 0).map_err(LogError::io(&self.head.path, "write to it"))
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        // What cannot be unlocked is unlocked when the process ends; others say then who holds it.
        let _ = flock(&self.head.file, FlockOperation::Unlock);
    }
}

/// Reads `SEQUENCE HASH`.
pub(super) fn parse(text: &[u8]) -> Option<Link> {
    let (sequence, hash) = text.strip_suffix(b"\n")?.split_at_checked(20)?;
    let sequence = std::str::from_utf8(sequence).ok()?.parse().ok()?;
    Some(Link { sequence, hash: Hash::parse(hash.strip_prefix(b" ")?)? })
}
