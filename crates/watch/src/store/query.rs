//! Reading the store: what `stockade events` asks. Its own connection, which never writes, beside a writer or without.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::types::Value;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, params_from_iter};
use serde::de::DeserializeOwned;

use super::StoreError;
use super::database::table;
use super::record::{Kind, Record};
use super::schema::{APPLICATION, MIGRATIONS};
use crate::alert::Severity;

/// What to find. Everything that is given must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The kinds of record; empty for all. What asks for a technique, rule, severity or number finds alerts only.
    pub kinds: Vec<Kind>,
    /// At or after, nanoseconds since 1970-01-01 UTC.
    pub since: Option<i64>,
    /// Before, nanoseconds since 1970-01-01 UTC.
    pub until: Option<i64>,
    /// The name, or the beginning of the identifier.
    pub container: Option<String>,
    pub technique: Option<String>,
    pub rule: Option<String>,
    /// At least.
    pub severity: Option<Severity>,
    /// The number of an alert.
    pub alert: Option<u64>,
    /// Written after this one; with it, and without a limit, records come in the order they were written.
    pub after: Option<u64>,
    /// The last so many, by time.
    pub limit: Option<u64>,
}

/// A record as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The order in which records were written.
    pub seq: u64,
    /// The boot that the record's time since boot counts from.
    pub boot: String,
    /// Or why it cannot be read.
    pub record: Result<Record, String>,
}

pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    pub fn open(path: &Path) -> Result<Reader, StoreError> {
        if !path.try_exists().map_err(|error| StoreError::Io { path: path.into(), error })? {
            return Err(StoreError::Missing { path: path.into() });
        }
        let sqlite = |error| StoreError::sqlite(path, error);
        let connection = match connect(path, false) {
            // A journal needs a shared-memory file beside it, which a reader without the right to write cannot make.
            // Without a journal the file is whole by itself.
            Err(error) if needs_no_journal(&error, path) => connect(path, true).map_err(sqlite)?,
            other => other.map_err(sqlite)?,
        };
        let pragma = |name: &str| {
            connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i64>(0)).map_err(sqlite)
        };
        if pragma("application_id")? != APPLICATION {
            return Err(StoreError::NotOurs { path: path.into() });
        }
        let version = pragma("user_version")?;
        if usize::try_from(version).unwrap_or(usize::MAX) > MIGRATIONS.len() {
            return Err(StoreError::Newer { path: path.into(), version, known: MIGRATIONS.len() });
        }
        Ok(Reader { connection, path: path.into() })
    }

    /// Hands over what the filter lets through, in the order it happened: by boot, then by time since boot.
    pub fn each(
        &self,
        filter: &Filter,
        found: &mut dyn FnMut(Found) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let sqlite = |error| StoreError::sqlite(&self.path, error);
        let boots = self.boots().map_err(sqlite)?;
        let (sql, values) = select(filter);
        let mut statement = self.connection.prepare(&sql).map_err(sqlite)?;
        let mut rows = statement.query(params_from_iter(values)).map_err(sqlite)?;
        while let Some(row) = rows.next().map_err(sqlite)? {
            if found(read(row, &boots).map_err(sqlite)?).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn boots(&self) -> rusqlite::Result<BTreeMap<i64, String>> {
        let mut statement = self.connection.prepare("SELECT boot, id FROM boots")?;
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }

    pub fn all(&self, filter: &Filter) -> Result<Vec<Found>, StoreError> {
        let mut all = Vec::new();
        self.each(filter, &mut |found| {
            all.push(found);
            ControlFlow::Continue(())
        })?;
        Ok(all)
    }

    /// The last that was written; what follows is found with [`Filter::after`].
    pub fn last(&self) -> Result<u64, StoreError> {
        self.connection
            .query_row("SELECT value FROM meta WHERE name = 'next-seq'", [], |row| row.get::<_, i64>(0))
            .map(|next| u64::try_from(next - 1).unwrap_or(0))
            .map_err(|error| StoreError::sqlite(&self.path, error))
    }

    /// Another number after each commit by somebody else (`PRAGMA data_version`): cheap to ask.
    pub fn version(&self) -> Result<i64, StoreError> {
        self.connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .map_err(|error| StoreError::sqlite(&self.path, error))
    }
}

fn connect(path: &Path, immutable: bool) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = if immutable {
        let mut uri = String::from("file:");
        for byte in std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str()) {
            match byte {
                b'/' | b'-' | b'_' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => {
                    uri.push(char::from(*byte))
                }
                other => uri.push_str(&format!("%{other:02x}")),
            }
        }
        uri.push_str("?immutable=1");
        Connection::open_with_flags(uri, flags | OpenFlags::SQLITE_OPEN_URI)?
    } else {
        Connection::open_with_flags(path, flags)?
    };
    connection.busy_timeout(Duration::from_secs(5))?;
    // The first access tells whether the file can be read.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

fn needs_no_journal(error: &rusqlite::Error, path: &Path) -> bool {
    let refused = matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied)
    );
    let mut journal = path.as_os_str().to_owned();
    journal.push("-wal");
    refused && fs::metadata(journal).map_or(true, |m| m.len() == 0)
}

/// One SELECT for each kind, merged in order; SQLite walks their indexes side by side: kind, seq, boot, since_boot, body.
pub(super) fn select(filter: &Filter) -> (String, Vec<Value>) {
    let alerts_only = filter.technique.is_some()
        || filter.rule.is_some()
        || filter.severity.is_some()
        || filter.alert.is_some();
    let kinds = Kind::ALL.into_iter().filter(|kind| {
        (filter.kinds.is_empty() || filter.kinds.contains(kind)) && (!alerts_only || *kind == Kind::Alert)
    });
    let mut values = Vec::new();
    let mut parts: Vec<String> = Vec::new();
    for kind in kinds {
        match filter.severity {
            // Each severity by itself, so that each comes from its index in order.
            Some(least) if least > Severity::Info => {
                let levels = Severity::ALL.into_iter().filter(|level| *level >= least);
                parts.extend(levels.map(|level| select_kind(kind, Some(level), filter, &mut values)));
            }
            _ => parts.push(select_kind(kind, None, filter, &mut values)),
        }
    }
    if parts.is_empty() {
        // Nothing can be found, in the same shape.
        parts.push("SELECT 0 AS kind, 0 AS seq, 0 AS boot, 0 AS since_boot, '' AS body WHERE 0".into());
    }
    let all = parts.join(" UNION ALL ");
    let sql = match filter.limit {
        Some(limit) => format!(
            "SELECT * FROM ({all} ORDER BY boot DESC, since_boot DESC, seq DESC LIMIT {limit})
             ORDER BY boot, since_boot, seq"
        ),
        // What is new comes as it was written.
        None if filter.after.is_some() => format!("{all} ORDER BY seq"),
        // Right at the parts, so that each comes from its index in order and none is sorted.
        None => format!("{all} ORDER BY boot, since_boot, seq"),
    };
    (sql, values)
}

fn select_kind(kind: Kind, severity: Option<Severity>, filter: &Filter, values: &mut Vec<Value>) -> String {
    let mut conditions: Vec<String> = vec!["1".into()];
    let mut must = |condition: &str, with: Vec<Value>| {
        let mut condition = condition.to_owned();
        for value in with {
            values.push(value);
            condition = condition.replacen("{}", &format!("?{}", values.len()), 1);
        }
        conditions.push(condition);
    };
    if let Some(since) = filter.since {
        must("time >= {}", vec![Value::Integer(since)]);
    }
    if let Some(until) = filter.until {
        must("time < {}", vec![Value::Integer(until)]);
    }
    if let Some(after) = filter.after {
        must("seq > {}", vec![Value::Integer(i64::try_from(after).unwrap_or(i64::MAX))]);
    }
    if let Some(container) = &filter.container {
        let name = Value::Text(container.clone());
        if !container.is_empty() && container.bytes().all(|b| b.is_ascii_hexdigit()) {
            // `g` is the first letter after those of a hexadecimal number.
            let end = Value::Text(format!("{container}g"));
            must(
                "(container_name = {} OR (container_id >= {} AND container_id < {}))",
                vec![name.clone(), name, end],
            );
        } else {
            must("(container_name = {} OR container_id = {})", vec![name.clone(), name]);
        }
    }
    if let Some(technique) = &filter.technique {
        must("technique = {}", vec![Value::Text(technique.clone())]);
    }
    if let Some(rule) = &filter.rule {
        must("rule = {}", vec![Value::Text(rule.clone())]);
    }
    if let Some(severity) = severity {
        must("severity = {}", vec![Value::Integer(severity as i64)]);
    }
    if let Some(alert) = filter.alert {
        must("id = {}", vec![Value::Integer(i64::try_from(alert).unwrap_or(i64::MAX))]);
    }
    format!(
        "SELECT {} AS kind, seq, boot, since_boot, body FROM {} WHERE {}",
        kind as i64,
        table(kind),
        conditions.join(" AND ")
    )
}

fn read(row: &Row<'_>, boots: &BTreeMap<i64, String>) -> rusqlite::Result<Found> {
    let kind: i64 = row.get(0)?;
    let seq: i64 = row.get(1)?;
    let boot: i64 = row.get(2)?;
    let body: String = row.get(4)?;
    let record = match Kind::ALL.into_iter().find(|k| *k as i64 == kind) {
        Some(Kind::Alert) => parse(&body).map(|alert| Record::Alert(Box::new(alert))),
        Some(Kind::Blind) => parse(&body).map(Record::Blind),
        Some(Kind::Loss) => parse(&body).map(Record::Loss),
        Some(Kind::Container) => parse(&body).map(|seen| Record::Container(Box::new(seen))),
        Some(Kind::Heartbeat) => parse(&body).map(Record::Heartbeat),
        Some(Kind::Trail) => parse(&body).map(|trail| Record::Trail(Box::new(trail))),
        None => Err(format!("there is no kind {kind} of record")),
    };
    let boot = boots.get(&boot).cloned().unwrap_or_default();
    Ok(Found { seq: u64::try_from(seq).unwrap_or(0), boot, record })
}

fn parse<T: DeserializeOwned>(body: &str) -> Result<T, String> {
    serde_json::from_str(body).map_err(|error| error.to_string())
}
