//! How many records were ever given to the store, by kind, in a small file beside the database. It is written over in
//! place before a record waits in memory, so that it outlives the process; with the database's own count of what it
//! wrote, it tells after a SIGKILL exactly what was lost.
//!
//! The page cache keeps it: a crash of the machine itself may set it back, which the boot id shows.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use super::record::Kind;

const MAGIC: [u8; 8] = *b"STKLEDG1";
const KINDS: usize = Kind::ALL.len();
const BOOT: usize = 36;
const LENGTH: usize = MAGIC.len() + KINDS * 8 + BOOT;

/// The file, locked: one store has one writer.
#[derive(Debug)]
pub(super) struct Ledger {
    file: File,
    /// Given since the ledger was begun, by [`Kind`].
    pub(super) given: [u64; KINDS],
    boot: [u8; BOOT],
}

/// What a ledger of an earlier process says.
#[derive(Debug, PartialEq)]
pub(super) struct Earlier {
    pub(super) given: [u64; KINDS],
    /// The machine has not started anew since, so that the page cache lost nothing.
    pub(super) same_boot: bool,
}

#[derive(Debug)]
pub(super) enum LedgerError {
    /// Another process writes to this store.
    Locked,
    Io(io::Error),
}

impl Ledger {
    /// Opens and locks the ledger; with what an earlier process wrote in it, where there is such.
    pub(super) fn open(path: &Path, boot: &str) -> Result<(Ledger, Option<Earlier>), LedgerError> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(LedgerError::Io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(LedgerError::Locked),
            Err(TryLockError::Error(error)) => return Err(LedgerError::Io(error)),
        }
        let mut here = [b' '; BOOT];
        for (to, from) in here.iter_mut().zip(boot.bytes()) {
            *to = from;
        }
        let mut bytes = [0; LENGTH];
        let earlier = file
            .read_exact_at(&mut bytes, 0)
            .ok()
            .and_then(|()| parse(&bytes))
            .map(|(given, boot)| Earlier { given, same_boot: boot == here });
        let given = earlier.as_ref().map_or([0; KINDS], |e| e.given);
        Ok((Ledger { file, given, boot: here }, earlier))
    }

    /// Sets the account, as when a new database is begun.
    pub(super) fn set(&mut self, given: [u64; KINDS]) -> io::Result<()> {
        self.given = given;
        self.write()
    }

    /// One more of this kind was given.
    pub(super) fn count(&mut self, kind: Kind) -> io::Result<()> {
        if let Some(given) = self.given.get_mut(kind as usize) {
            *given += 1;
        }
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let mut bytes = Vec::with_capacity(LENGTH);
        bytes.extend(MAGIC);
        for given in self.given {
            bytes.extend(given.to_le_bytes());
        }
        bytes.extend(self.boot);
        self.file.write_all_at(&bytes, 0)
    }
}

fn parse(bytes: &[u8; LENGTH]) -> Option<([u64; KINDS], [u8; BOOT])> {
    let rest = bytes.strip_prefix(&MAGIC)?;
    let (numbers, boot) = rest.split_at_checked(KINDS * 8)?;
    let mut given = [0; KINDS];
    for (to, from) in given.iter_mut().zip(numbers.chunks_exact(8)) {
        *to = u64::from_le_bytes(from.try_into().ok()?);
    }
    Some((given, boot.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ledger_tells_the_next_process_what_was_given() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        let (mut ledger, earlier) = Ledger::open(&path, "boot-1").unwrap();
        assert_eq!(earlier, None);
        ledger.count(Kind::Trail).unwrap();
        ledger.count(Kind::Alert).unwrap();
        ledger.count(Kind::Trail).unwrap();
        assert!(matches!(Ledger::open(&path, "boot-1"), Err(LedgerError::Locked)));
        drop(ledger);
        let (ledger, earlier) = Ledger::open(&path, "boot-1").unwrap();
        assert_eq!(earlier, Some(Earlier { given: [1, 0, 0, 0, 0, 2], same_boot: true }));
        drop(ledger);
        let (_, earlier) = Ledger::open(&path, "boot-2").unwrap();
        assert_eq!(earlier, Some(Earlier { given: [1, 0, 0, 0, 0, 2], same_boot: false }));
    }

    #[test]
    fn a_file_that_is_no_ledger_tells_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ledger");
        for bytes in [&b""[..], b"STKLEDG1 short", &[7; 200]] {
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Ledger::open(&path, "b").unwrap().1, None);
        }
    }
}
