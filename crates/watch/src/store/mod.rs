//! The event store: an embedded database of alerts, blind windows, losses, containers, heartbeats and the trail. Data
//! comes from the pipeline through a bounded queue, is written by one thread, and goes to `stockade events`.
//!
//! Whoever gives a record never waits. Promises, each with a test of its own:
//! * what was committed survives a SIGKILL; at most what waited (200 ms or 1,000 records of it, and the queue while
//!   the disk is slow) is lost then, and the next start says how many of which kind;
//! * a full disk stops nothing: what could not be written is counted and told when there is space again;
//! * a corrupt database is moved aside, which is told in the new one;
//! * the file stays within its size and age; the oldest go first.

mod clock;
mod database;
mod ledger;
pub mod query;
mod queue;
mod record;
#[cfg(test)]
pub(crate) mod samples;
mod schema;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::{Path, PathBuf};

pub use clock::{Now, boot_id, parse_time, rfc3339};
pub use database::Retention;
pub use query::{Filter, Found, Reader};
pub use queue::Queue;
pub use record::{
    ALERT_SCHEMA, Blind, Heartbeat, Kind, Loss, LossCause, Lost, RECORD_SCHEMA, Record, Seen, Trail,
};
pub use writer::{Batch, Condition, Settings, Status, Store, parse_size};

/// Where the store is unless settings say otherwise.
pub const DEFAULT_PATH: &str = "/var/lib/stockade/events.db";

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("{}: another `stockade watch` writes to this store; end it, or give another path", path.display())]
    Locked { path: PathBuf },
    #[error("{}: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
    #[error("{}: {error}", path.display())]
    Sqlite { path: PathBuf, error: rusqlite::Error },
    #[error("{}: the database is corrupt: {why}", path.display())]
    Corrupt { path: PathBuf, why: String },
    #[error("{}: this is a database, but not one of stockade's; give another path", path.display())]
    NotOurs { path: PathBuf },
    #[error(
        "{}: version {version} was written by a newer stockade (this one knows {known}); use that, or another path",
        path.display()
    )]
    Newer { path: PathBuf, version: i64, known: usize },
    #[error("{}: there is no event store here; `stockade watch` makes it", path.display())]
    Missing { path: PathBuf },
}

impl StoreError {
    fn sqlite(path: &Path, error: rusqlite::Error) -> StoreError {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => StoreError::Corrupt { path, why: error.to_string() },
            _ => StoreError::Sqlite { path, error },
        }
    }

    /// The file is of no use as it is.
    pub fn is_corrupt(&self) -> bool {
        matches!(self, StoreError::Corrupt { .. })
    }
}
