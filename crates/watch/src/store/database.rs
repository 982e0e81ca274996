//! The database file: opened, checked and brought up to date, written in batches of one transaction each, and kept
//! within its bounds. It is used by the writer's thread alone; readers have their own connections (`query`).
//!
//! WAL with `synchronous=FULL`: what was committed survives a SIGKILL, and the loss of power.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};

use super::StoreError;
use super::clock::Now;
use super::record::{Kind, Record};
use super::schema::{APPLICATION, MIGRATIONS};

const KINDS: usize = Kind::ALL.len();
/// Rows that one transaction of retention deletes at most, so that writing waits little for it.
const CHUNK: u32 = 1000;
/// Above the size of retention: what a batch may take before retention deletes.
const SLACK_PAGES: u64 = 4096;
const PAGE: u64 = 4096;
/// Alert numbers are promised ahead in steps of this, so that none is given twice, whatever is lost.
const NUMBERS_AHEAD: u64 = 10_000;

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Bytes of the database file; the oldest records go first. The journal beside it is about 4 MiB more.
    pub size: u64,
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Retention {
        Retention { size: 512 << 20, age: Duration::from_secs(30 * 24 * 3600) }
    }
}

pub(super) struct Database {
    connection: Connection,
    /// The row of this boot.
    boot: i64,
    next_seq: i64,
    /// Numbers below this are promised.
    promised: u64,
    pub(super) accounts: Accounts,
    pub(super) retention: Retention,
}

/// What became of the records that were given, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Accounts {
    pub(super) written: [u64; KINDS],
    /// Lost, and told in a record of its own.
    pub(super) told: [u64; KINDS],
}

impl Accounts {
    pub(super) fn settled(&self) -> [u64; KINDS] {
        let mut settled = self.written;
        for (sum, told) in settled.iter_mut().zip(self.told) {
            *sum += told;
        }
        settled
    }
}

/// What opening found.
pub(super) struct Opened {
    pub(super) database: Database,
    pub(super) new: bool,
    /// The process before this ended in its own time.
    pub(super) clean: bool,
    /// When something was last written, nanoseconds since 1970-01-01 UTC.
    pub(super) last_written: i64,
    /// The first number that no alert has.
    pub(super) next_alert: u64,
}

/// Why a batch was not written.
#[derive(Debug)]
pub(super) enum WriteError {
    /// The disk is full, or does not answer: the same batch may go later.
    Later(String),
    Corrupt(String),
    /// This record, by its index in the batch, is one that SQLite refuses.
    Record(usize, String),
}

pub(super) fn open(path: &Path, boot_id: &str, retention: Retention) -> Result<Opened, StoreError> {
    let sqlite = |error| StoreError::sqlite(path, error);
    let io = |error| StoreError::Io { path: path.into(), error };
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(io)?;
    }
    // Arguments of programs may hold secrets. SQLite gives its journal the mode of the database.
    OpenOptions::new().append(true).create(true).mode(0o600).open(path).map_err(io)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sqlite)?;
    connection.busy_timeout(Duration::from_millis(500)).map_err(sqlite)?;
    let new = pragma(&connection, "page_count").map_err(sqlite)? == 0;
    if new {
        connection
            .execute_batch(&format!(
                "PRAGMA page_size = {PAGE}; PRAGMA auto_vacuum = INCREMENTAL; PRAGMA application_id = {APPLICATION};"
            ))
            .map_err(sqlite)?;
    } else if pragma(&connection, "application_id").map_err(sqlite)? != APPLICATION {
        return Err(StoreError::NotOurs { path: path.into() });
    }
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304;
             PRAGMA temp_store = MEMORY; PRAGMA cache_size = -2048;",
        )
        .map_err(sqlite)?;
    migrate(&mut connection, MIGRATIONS, path)?;
    let clean = new || meta(&connection, "clean").map_err(sqlite)? == 1;
    if !clean {
        check(&connection, path)?;
    }
    let pages = retention.size / PAGE + SLACK_PAGES;
    connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).map_err(sqlite)?;
    let mut database =
        Database { connection, boot: 0, next_seq: 1, promised: 0, accounts: Accounts::default(), retention };
    database.begin(boot_id).map_err(sqlite)?;
    let last_written = meta(&database.connection, "last-written").map_err(sqlite)?;
    let next_alert = database.promised.max(1);
    Ok(Opened { database, new, clean, last_written, next_alert })
}

/// Brings a database to the last version, all steps in one transaction.
pub(super) fn migrate(connection: &mut Connection, steps: &[&str], path: &Path) -> Result<(), StoreError> {
    let sqlite = |error| StoreError::sqlite(path, error);
    let version = pragma(connection, "user_version").map_err(sqlite)?;
    let done = usize::try_from(version).unwrap_or(usize::MAX);
    let Some(due) = steps.get(done..) else {
        return Err(StoreError::Newer { path: path.into(), version, known: steps.len() });
    };
    if due.is_empty() {
        return Ok(());
    }
    let transaction = connection.transaction().map_err(sqlite)?;
    for step in due {
        transaction.execute_batch(step).map_err(sqlite)?;
    }
    transaction.execute_batch(&format!("PRAGMA user_version = {}", steps.len())).map_err(sqlite)?;
    transaction.commit().map_err(sqlite)
}

/// After an unclean end, the file is looked through once.
fn check(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    let answer: String = connection
        .query_row("PRAGMA quick_check(1)", [], |row| row.get(0))
        .map_err(|error| StoreError::sqlite(path, error))?;
    if answer == "ok" { Ok(()) } else { Err(StoreError::Corrupt { path: path.into(), why: answer }) }
}

fn pragma(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0))
}

fn meta(connection: &Connection, name: &str) -> rusqlite::Result<i64> {
    let found =
        connection.query_row("SELECT value FROM meta WHERE name = ?", [name], |row| row.get(0)).optional()?;
    Ok(found.unwrap_or(0))
}

fn set_meta(connection: &Connection, name: &str, value: i64) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)")?
        .execute(params![name, value])?;
    Ok(())
}

/// SQLite's integers have a sign; counts and times since boot are far below what that takes away.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn table(kind: Kind) -> &'static str {
    match kind {
        Kind::Alert => "alerts",
        Kind::Blind => "blind",
        Kind::Loss => "losses",
        Kind::Container => "containers",
        Kind::Heartbeat => "heartbeats",
        Kind::Trail => "trail",
    }
}

impl Database {
    /// Reads the accounts, marks the database as in use, and names this boot.
    fn begin(&mut self, boot_id: &str) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        transaction.execute("INSERT OR IGNORE INTO boots (id) VALUES (?)", [boot_id])?;
        self.boot =
            transaction.query_row("SELECT boot FROM boots WHERE id = ?", [boot_id], |row| row.get(0))?;
        self.next_seq = meta(&transaction, "next-seq")?.max(1);
        self.promised = unsigned(meta(&transaction, "promised")?);
        for kind in Kind::ALL {
            let (Some(written), Some(told)) =
                (self.accounts.written.get_mut(kind as usize), self.accounts.told.get_mut(kind as usize))
            else {
                continue;
            };
            *written = unsigned(meta(&transaction, &format!("written.{}", kind.name()))?);
            *told = unsigned(meta(&transaction, &format!("told.{}", kind.name()))?);
        }
        set_meta(&transaction, "clean", 0)?;
        transaction.commit()
    }

    /// Writes records in one transaction: `given` ones, and the store's `own` about itself with what they tell of.
    pub(super) fn write(
        &mut self,
        given: &[Record],
        own: &[Record],
        told: &[u64; KINDS],
        next_alert: u64,
        now: Now,
    ) -> Result<(), WriteError> {
        let mut accounts = self.accounts;
        let mut next_seq = self.next_seq;
        let mut promised = self.promised;
        let transaction = self.connection.transaction().map_err(sort)?;
        for (index, record) in given.iter().enumerate() {
            insert(&transaction, record, self.boot, next_seq).map_err(|error| match sort(error) {
                WriteError::Record(_, why) => WriteError::Record(index, why),
                other => other,
            })?;
            next_seq += 1;
            if let Some(written) = accounts.written.get_mut(record.kind() as usize) {
                *written += 1;
            }
        }
        for record in own {
            insert(&transaction, record, self.boot, next_seq).map_err(later)?;
            next_seq += 1;
        }
        for (sum, more) in accounts.told.iter_mut().zip(told) {
            *sum += more;
        }
        if next_alert + NUMBERS_AHEAD / 2 > promised {
            promised = next_alert + NUMBERS_AHEAD;
            set_meta(&transaction, "promised", signed(promised)).map_err(later)?;
        }
        set_meta(&transaction, "next-seq", next_seq).map_err(later)?;
        set_meta(&transaction, "last-written", now.time).map_err(later)?;
        keep_accounts(&transaction, &self.accounts, &accounts).map_err(later)?;
        transaction.commit().map_err(later)?;
        self.accounts = accounts;
        self.next_seq = next_seq;
        self.promised = promised;
        Ok(())
    }

    /// Sets what came before this database: told elsewhere, or kept in a file that was moved aside.
    pub(super) fn set_told(&mut self, told: [u64; KINDS]) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let accounts = Accounts { told, ..self.accounts };
        keep_accounts(&transaction, &self.accounts, &accounts)?;
        transaction.commit()?;
        self.accounts = accounts;
        Ok(())
    }

    /// Deletes what is too old, then the oldest while the whole is too large, one chunk a call. True where there is
    /// more to delete.
    pub(super) fn retain(&mut self, now: Now) -> rusqlite::Result<bool> {
        let old = self.delete_old(now)?;
        let large = self.used()? > self.retention.size;
        if large {
            self.delete_oldest()?;
        }
        if old || large {
            self.shrink()?;
        }
        Ok(old || self.used()? > self.retention.size)
    }

    /// Bytes in use within the file.
    pub(super) fn used(&self) -> rusqlite::Result<u64> {
        let pages = pragma(&self.connection, "page_count")?
            .saturating_sub(pragma(&self.connection, "freelist_count")?);
        Ok(unsigned(pages) * PAGE)
    }

    /// Of this boot by the time since boot; of others by the wall clock. True where a chunk was full.
    fn delete_old(&mut self, now: Now) -> rusqlite::Result<bool> {
        let age = u64::try_from(self.retention.age.as_nanos()).unwrap_or(u64::MAX);
        let here = signed(now.since_boot.saturating_sub(age));
        let elsewhere = now.time.saturating_sub(signed(age));
        let mut full = false;
        let transaction = self.connection.transaction()?;
        for kind in Kind::ALL {
            let table = table(kind);
            let mut statement = transaction.prepare_cached(&format!(
                "DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} WHERE boot = ?1 AND since_boot < ?2 LIMIT {CHUNK})"
            ))?;
            full |= statement.execute(params![self.boot, here])? as u32 >= CHUNK;
            let mut statement = transaction.prepare_cached(&format!(
                "DELETE FROM {table} WHERE seq IN (SELECT seq FROM {table} WHERE time < ?2 AND boot <> ?1 LIMIT {CHUNK})"
            ))?;
            full |= statement.execute(params![self.boot, elsewhere])? as u32 >= CHUNK;
        }
        transaction.commit()?;
        Ok(full)
    }

    fn delete_oldest(&mut self) -> rusqlite::Result<()> {
        let all: Vec<String> = Kind::ALL
            .into_iter()
            .map(|kind| {
                format!("SELECT seq FROM (SELECT seq FROM {} ORDER BY seq LIMIT {CHUNK})", table(kind))
            })
            .collect();
        let oldest = format!(
            "SELECT max(seq) FROM (SELECT seq FROM ({}) ORDER BY seq LIMIT {CHUNK})",
            all.join(" UNION ALL ")
        );
        let transaction = self.connection.transaction()?;
        let last: Option<i64> = transaction.query_row(&oldest, [], |row| row.get(0))?;
        for kind in Kind::ALL {
            transaction
                .execute(&format!("DELETE FROM {} WHERE seq <= ?", table(kind)), [last.unwrap_or(0)])?;
        }
        transaction.commit()
    }

    /// Gives the free pages back to the file system.
    fn shrink(&mut self) -> rusqlite::Result<()> {
        let mut statement = self.connection.prepare_cached("PRAGMA incremental_vacuum")?;
        let mut rows = statement.query([])?;
        while rows.next()?.is_some() {}
        Ok(())
    }

    /// Marks a good end. Alert numbers go on from here without a gap.
    pub(super) fn close(self, next_alert: u64) -> rusqlite::Result<()> {
        set_meta(&self.connection, "promised", signed(next_alert))?;
        set_meta(&self.connection, "clean", 1)?;
        self.connection.close().map_err(|(_, error)| error)
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u64) {
        self.connection.execute_batch(&format!("PRAGMA max_page_count = {pages}")).unwrap();
    }

    #[cfg(test)]
    pub(super) fn pages(&self) -> u64 {
        unsigned(pragma(&self.connection, "page_count").unwrap())
    }
}

fn keep_accounts(connection: &Connection, before: &Accounts, after: &Accounts) -> rusqlite::Result<()> {
    for kind in Kind::ALL {
        let of = |counts: &[u64; KINDS]| counts.get(kind as usize).copied().unwrap_or(0);
        if of(&before.written) != of(&after.written) {
            set_meta(connection, &format!("written.{}", kind.name()), signed(of(&after.written)))?;
        }
        if of(&before.told) != of(&after.told) {
            set_meta(connection, &format!("told.{}", kind.name()), signed(of(&after.told)))?;
        }
    }
    Ok(())
}

fn insert(transaction: &Transaction<'_>, record: &Record, boot: i64, seq: i64) -> rusqlite::Result<()> {
    let body = body(record).map_err(|e| rusqlite::Error::ToSqlConversionFailure(Box::new(e)))?;
    let (id, name) = record.container();
    let text = |text: Option<&str>| text.map_or(Value::Null, |t| Value::Text(t.to_owned()));
    let mut columns = vec!["seq", "boot", "since_boot", "time", "container_id", "container_name", "body"];
    let mut values = vec![
        Value::Integer(seq),
        Value::Integer(boot),
        Value::Integer(signed(record.since_boot())),
        Value::Integer(record.time()),
        text(id),
        text(name),
        Value::Text(body),
    ];
    match record {
        Record::Alert(alert) => {
            columns.extend(["id", "severity", "technique", "rule"]);
            values.extend([
                Value::Integer(signed(alert.id)),
                Value::Integer(alert.severity as i64),
                text(alert.technique()),
                text(alert.rule()),
            ]);
        }
        Record::Container(seen) => {
            columns.push("key");
            // All 64 bits may be in use: kept as they are, with whatever sign.
            values.push(Value::Integer(seen.container.key.0.cast_signed()));
        }
        Record::Blind(_) | Record::Loss(_) | Record::Heartbeat(_) | Record::Trail(_) => {}
    }
    let places = vec!["?"; columns.len()].join(", ");
    let sql =
        format!("INSERT OR REPLACE INTO {} ({}) VALUES ({places})", table(record.kind()), columns.join(", "));
    transaction.prepare_cached(&sql)?.execute(rusqlite::params_from_iter(values))?;
    Ok(())
}

fn body(record: &Record) -> serde_json::Result<String> {
    match record {
        Record::Alert(r) => serde_json::to_string(r),
        Record::Blind(r) => serde_json::to_string(r),
        Record::Loss(r) => serde_json::to_string(r),
        Record::Container(r) => serde_json::to_string(r),
        Record::Heartbeat(r) => serde_json::to_string(r),
        Record::Trail(r) => serde_json::to_string(r),
    }
}

/// What a failure means for the batch.
fn sort(error: rusqlite::Error) -> WriteError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => WriteError::Corrupt(error.to_string()),
        Some(ErrorCode::TooBig | ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch) | None => {
            WriteError::Record(0, error.to_string())
        }
        Some(_) => WriteError::Later(error.to_string()),
    }
}

/// As [`sort`], where no record is to blame.
fn later(error: rusqlite::Error) -> WriteError {
    match sort(error) {
        WriteError::Record(_, why) => WriteError::Later(why),
        other => other,
    }
}

/// Moves a corrupt database aside with its journal, and forgets all but the two last that were; where it is now.
pub(super) fn move_aside(path: &Path, now: Now) -> io::Result<PathBuf> {
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let stamp = format!("{name}.corrupt-");
    let aside = path.with_file_name(format!("{stamp}{:020}", now.time));
    fs::rename(path, &aside)?;
    for journal in ["-wal", "-shm"] {
        let mut from = path.as_os_str().to_owned();
        from.push(journal);
        let mut to = aside.as_os_str().to_owned();
        to.push(journal);
        match fs::rename(&from, &to) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let folder = path.parent().filter(|f| !f.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut earlier: Vec<PathBuf> = fs::read_dir(folder)?
        .filter_map(|entry| entry.ok().map(|e| e.path()))
        .filter(|p| {
            p.file_name().is_some_and(|n| {
                n.to_string_lossy()
                    .strip_prefix(&stamp)
                    .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
            })
        })
        .collect();
    earlier.sort();
    for old in earlier.iter().rev().skip(2) {
        for journal in ["", "-wal", "-shm"] {
            let mut file = old.as_os_str().to_owned();
            file.push(journal);
            // What cannot be removed stays; it is only a copy of what is unusable.
            let _ = fs::remove_file(file);
        }
    }
    Ok(aside)
}
