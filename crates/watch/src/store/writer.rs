//! The writer: a thread that takes records from the queue and commits them in batches, retries while the disk is full,
//! begins anew where the database is corrupt, keeps to the bounds, and tells what was lost.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::StoreError;
use super::clock::{Now, boot_id};
use super::database::{self, Accounts, Database, Opened, Retention, WriteError};
use super::ledger::{Earlier, Ledger, LedgerError};
use super::queue::Queue;
use super::record::{Kind, Loss, LossCause, Lost, Record};
use crate::alert::Alert;

const KINDS: usize = Kind::ALL.len();
/// How often a disk that was full is tried again.
const RETRY: Duration = Duration::from_secs(1);
/// How often the bounds are looked at.
const RETAIN: Duration = Duration::from_secs(10);
/// Losses are told at most this often while they go on.
const TELL: Duration = Duration::from_secs(10);

/// Where the store is, and its bounds. In stockade.toml: `path`, `size`, `age`, `queue`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct Settings {
    pub path: PathBuf,
    pub retention: Retention,
    /// Records that wait in memory at most.
    pub queue: usize,
    pub batch: Batch,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings::at(super::DEFAULT_PATH)
    }
}

/// The settings as a person writes them.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Written {
    path: Option<PathBuf>,
    size: Option<String>,
    age: Option<String>,
    queue: Option<usize>,
}

impl TryFrom<Written> for Settings {
    type Error = String;

    fn try_from(written: Written) -> Result<Settings, String> {
        let mut settings = Settings::at(written.path.unwrap_or_else(|| super::DEFAULT_PATH.into()));
        if let Some(size) = &written.size {
            settings.retention.size = parse_size(size)?;
        }
        if let Some(age) = &written.age {
            settings.retention.age = crate::outputs::parse_duration(age)?;
        }
        if let Some(queue) = written.queue {
            settings.queue = queue;
        }
        Ok(settings)
    }
}

/// `512M`, `2G`: binary multiples, at least 1M.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size; 512M and 2G are");
    let trimmed = text.trim().trim_end_matches("iB").trim_end_matches('B').trim();
    let (number, shift) = match trimmed.char_indices().last() {
        Some((at, 'K' | 'k')) => (trimmed.get(..at), 10),
        Some((at, 'M')) => (trimmed.get(..at), 20),
        Some((at, 'G')) => (trimmed.get(..at), 30),
        _ => (Some(trimmed), 0),
    };
    let number: u64 = number.and_then(|n| n.trim().parse().ok()).ok_or_else(wrong)?;
    let size = number.checked_mul(1 << shift).ok_or_else(wrong)?;
    if size < 1 << 20 {
        return Err(format!("`{text}` is too small for an event store, which takes at least 1M"));
    }
    Ok(size)
}

/// When a batch is committed: at so many records, or so long after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    pub records: usize,
    pub time: Duration,
}

impl Settings {
    pub fn at(path: impl Into<PathBuf>) -> Settings {
        Settings {
            path: path.into(),
            retention: Retention::default(),
            queue: 8192,
            batch: Batch { records: 1000, time: Duration::from_millis(200) },
        }
    }
}

/// How the store fares.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    pub condition: Condition,
    /// Records that wait, and how many may.
    pub waiting: usize,
    pub capacity: usize,
    /// Since this process began, by [`Kind`].
    pub written: [u64; KINDS],
    pub lost: [u64; KINDS],
    /// Bytes in use within the database.
    pub used: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub enum Condition {
    #[default]
    Works,
    /// Since when (nanoseconds since 1970-01-01 UTC), and what the disk says.
    CannotWrite { since: i64, why: String },
}

/// The writing end. Clones write to the same store.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
    ended: Arc<Mutex<Receiver<()>>>,
}

struct Shared {
    queue: Queue<Record>,
    ledger: Mutex<Option<Ledger>>,
    next_alert: AtomicU64,
    status: Mutex<Status>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these hold is whole after every statement.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    /// Opens or makes the store, and starts its thread. What an earlier process lost is told as a [`Loss`] at once.
    pub fn open(settings: Settings) -> Result<Store, StoreError> {
        let boot = boot_id();
        let now = Now::read();
        let path = settings.path.clone();
        let mut own = Vec::new();
        let mut moved = false;
        // The lock is taken before the database is looked at: only one may move it aside.
        let (ledger, earlier) = open_ledger(&path, &boot)?;
        let opened = match database::open(&path, &boot, settings.retention) {
            Err(error) if error.is_corrupt() => {
                let aside = database::move_aside(&path, now)
                    .map_err(|error| StoreError::Io { path: path.clone(), error })?;
                own.push(corrupt(&aside, &error.to_string(), now, now.time));
                moved = true;
                database::open(&path, &boot, settings.retention)?
            }
            other => other?,
        };
        let Opened { mut database, new, clean, last_written, next_alert } = opened;
        let mut told = [0; KINDS];
        let sqlite = |error| StoreError::sqlite(&path, error);
        if moved || new {
            // What was given before is in the file that was moved aside, or gone with the file that was removed.
            database.set_told(earlier.as_ref().map_or([0; KINDS], |e| e.given)).map_err(sqlite)?;
        } else if !clean {
            let loss = killed(&database.accounts, earlier.as_ref(), now, last_written);
            for lost in &loss.lost {
                if let Some(told) = told.get_mut(lost.kind as usize) {
                    *told = lost.count;
                }
            }
            if !loss.lost.is_empty() || !loss.exact {
                own.push(Record::Loss(loss));
            }
        }
        let ledger = settle_ledger(ledger, &database.accounts, &told);
        let shared = Arc::new(Shared {
            queue: Queue::new(KINDS, settings.queue),
            ledger: Mutex::new(ledger),
            next_alert: AtomicU64::new(next_alert),
            status: Mutex::new(Status { capacity: settings.queue, ..Status::default() }),
        });
        let (ended, end) = channel();
        let mut writer = Writer {
            path: path.clone(),
            boot,
            batch: settings.batch,
            retention: settings.retention,
            database: Some(database),
            shared: shared.clone(),
            held: Vec::new(),
            own,
            told,
            refused: [0; KINDS],
            told_dropped: [0; KINDS],
            last_told: None,
            last_whole: now.time,
            failing: None,
            trouble: None,
        };
        // Promises the first numbers and tells of the past, before anything is given.
        writer.commit(now);
        thread::Builder::new()
            .name("store".into())
            .spawn(move || {
                writer.run();
                // Nobody may be waiting any more.
                let _ = ended.send(());
            })
            .map_err(|error| StoreError::Io { path, error })?;
        Ok(Store { shared, ended: Arc::new(Mutex::new(end)) })
    }

    /// A number that no alert of this store has or will have. They count up.
    pub fn next_alert(&self) -> u64 {
        self.shared.next_alert.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives a record to be written; an alert whose number is 0 is given one. Never waits. False where something was
    /// dropped for lack of room.
    pub fn keep(&self, record: impl Into<Record>) -> bool {
        let mut record = record.into();
        if let Record::Alert(alert) = &mut record
            && alert.id == 0
        {
            alert.id = self.next_alert();
        }
        let kind = record.kind();
        self.shared.queue.push_and(kind as usize, record, || {
            let mut ledger = lock(&self.shared.ledger);
            if let Some(open) = ledger.as_mut()
                && open.count(kind).is_err()
            {
                // Without it, the count of what a SIGKILL loses is not certain, and is told so.
                *ledger = None;
            }
        })
    }

    pub fn keep_alert(&self, alert: Alert) -> bool {
        self.keep(alert)
    }

    pub fn status(&self) -> Status {
        let mut status = lock(&self.shared.status).clone();
        status.waiting = self.shared.queue.len();
        for (lost, dropped) in status.lost.iter_mut().zip(self.shared.queue.dropped()) {
            *lost += dropped;
        }
        status
    }

    /// Takes nothing more in, and waits until all is written, at most so long. How many records are still not written.
    pub fn close(&self, time: Duration) -> usize {
        self.shared.queue.close();
        let ended = lock(&self.ended);
        // An error means that the thread has ended, which is what is waited for.
        let _ = ended.recv_timeout(time);
        self.status().waiting
    }
}

/// The lock and the ledger. A disk that is full has neither: the store then works without.
fn open_ledger(path: &Path, boot: &str) -> Result<(Option<Ledger>, Option<Earlier>), StoreError> {
    if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
        use std::os::unix::fs::DirBuilderExt;
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| StoreError::Io { path: folder.into(), error })?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push("-ledger");
    match Ledger::open(Path::new(&name), boot) {
        Ok((ledger, earlier)) => Ok((Some(ledger), earlier)),
        Err(LedgerError::Locked) => Err(StoreError::Locked { path: path.into() }),
        Err(LedgerError::Io(error)) if error.kind() == std::io::ErrorKind::StorageFull => Ok((None, None)),
        Err(LedgerError::Io(error)) => Err(StoreError::Io { path: name.into(), error }),
    }
}

/// The ledger says what the database will have settled once it has told.
fn settle_ledger(ledger: Option<Ledger>, accounts: &Accounts, told: &[u64; KINDS]) -> Option<Ledger> {
    let mut ledger = ledger?;
    let mut settled = accounts.settled();
    for (sum, told) in settled.iter_mut().zip(told) {
        *sum += told;
    }
    ledger.set(settled).is_ok().then_some(ledger)
}

/// What the process before this was given and did not write.
fn killed(accounts: &Accounts, earlier: Option<&Earlier>, now: Now, from: i64) -> Loss {
    let lost = earlier.map_or_else(Vec::new, |earlier| {
        Kind::ALL
            .into_iter()
            .zip(earlier.given.iter().zip(accounts.settled()))
            .filter_map(|(kind, (given, settled))| {
                let count = given.saturating_sub(settled);
                (count > 0).then_some(Lost { kind, count })
            })
            .collect()
    });
    let exact = earlier.is_some_and(|e| e.same_boot);
    Loss { time: now.time, since_boot: now.since_boot, from, cause: LossCause::Killed, lost, exact }
}

fn corrupt(aside: &Path, why: &str, now: Now, from: i64) -> Record {
    let cause = LossCause::Corrupt { moved_to: aside.to_string_lossy().into_owned(), why: why.to_owned() };
    Record::Loss(Loss {
        time: now.time,
        since_boot: now.since_boot,
        from,
        cause,
        lost: Vec::new(),
        exact: false,
    })
}

struct Writer {
    path: PathBuf,
    boot: String,
    batch: Batch,
    retention: Retention,
    /// None after a corrupt one was put aside, until a new one could be begun.
    database: Option<Database>,
    shared: Arc<Shared>,
    /// Taken from the queue and not yet committed.
    held: Vec<Record>,
    /// What the store has to say about itself, with the counts that it tells.
    own: Vec<Record>,
    told: [u64; KINDS],
    /// Records that SQLite refused, not yet told.
    refused: [u64; KINDS],
    /// Of what the queue dropped, what was told.
    told_dropped: [u64; KINDS],
    last_told: Option<Instant>,
    /// When nothing was missing last, nanoseconds since 1970-01-01 UTC.
    last_whole: i64,
    /// While the disk takes nothing: since when, what it says.
    failing: Option<(i64, String)>,
    /// The last such time, until what was lost in it is told.
    trouble: Option<(i64, String)>,
}

impl Writer {
    fn run(mut self) {
        let mut retained = Instant::now();
        let mut more_to_retain = false;
        loop {
            let room = self.batch.records.saturating_sub(self.held.len());
            let idle = if more_to_retain || self.failing.is_some() { Duration::ZERO } else { RETAIN };
            if room > 0 {
                let taken = self.shared.queue.take(room, self.batch.time, idle);
                self.held.extend(taken);
            }
            let closed = self.shared.queue.is_closed();
            let written = self.write(Now::read());
            if written && (more_to_retain || retained.elapsed() >= RETAIN) {
                more_to_retain = self.retain();
                retained = Instant::now();
            }
            if closed && (!written || self.shared.queue.is_empty() && self.held.is_empty()) {
                return self.end();
            }
            if !written {
                self.make_room();
                self.shared.queue.wait_closed(RETRY);
            }
        }
    }

    /// Commits what is held and what is to be told. False where the disk takes nothing now.
    fn write(&mut self, now: Now) -> bool {
        self.tell(now);
        self.held.is_empty() && self.own.is_empty() && self.failing.is_none() || self.commit(now)
    }

    fn commit(&mut self, now: Now) -> bool {
        let next_alert = self.shared.next_alert.load(Ordering::Relaxed);
        loop {
            let (held, own, told) = (&self.held, &self.own, &self.told);
            let result = match self.database.as_mut() {
                Some(database) => database.write(held, own, told, next_alert, now),
                None => match self.begin() {
                    Ok(()) => continue,
                    Err(why) => Err(WriteError::Later(why)),
                },
            };
            match result {
                Ok(()) => break,
                Err(WriteError::Record(index, _)) if index < self.held.len() => {
                    let record = self.held.remove(index);
                    self.count_refused(record.kind());
                }
                Err(WriteError::Corrupt(why)) => {
                    if let Err(why) = self.put_aside(&why, now) {
                        self.fail(now, why);
                        return false;
                    }
                }
                Err(WriteError::Later(why) | WriteError::Record(_, why)) => {
                    self.fail(now, why);
                    return false;
                }
            }
        }
        let mut status = lock(&self.shared.status);
        for record in &self.held {
            if let Some(written) = status.written.get_mut(record.kind() as usize) {
                *written += 1;
            }
        }
        status.condition = Condition::Works;
        drop(status);
        self.held.clear();
        self.own.clear();
        self.told = [0; KINDS];
        self.failing = None;
        self.last_whole = now.time;
        true
    }

    fn count_refused(&mut self, kind: Kind) {
        if let Some(refused) = self.refused.get_mut(kind as usize) {
            *refused += 1;
        }
        if let Some(lost) = lock(&self.shared.status).lost.get_mut(kind as usize) {
            *lost += 1;
        }
    }

    /// Makes a record of what was dropped since the last was made.
    fn tell(&mut self, now: Now) {
        let closing = self.shared.queue.is_closed();
        if !closing && self.last_told.is_some_and(|at| at.elapsed() < TELL) {
            return;
        }
        let dropped = self.shared.queue.dropped();
        let mut lost = Vec::new();
        for kind in Kind::ALL {
            let at = kind as usize;
            let (Some(dropped), Some(told), Some(refused), Some(sum)) = (
                dropped.get(at),
                self.told_dropped.get_mut(at),
                self.refused.get_mut(at),
                self.told.get_mut(at),
            ) else {
                continue;
            };
            let count = dropped.saturating_sub(*told) + *refused;
            if count > 0 {
                lost.push(Lost { kind, count });
                *sum += count;
            }
            *told = *dropped;
            *refused = 0;
        }
        let trouble = if self.failing.is_some() { self.trouble.clone() } else { self.trouble.take() };
        if lost.is_empty() {
            return;
        }
        let (from, cause) = match trouble {
            Some((since, why)) => (since, LossCause::CouldNotWrite { why }),
            None => (self.last_whole, LossCause::QueueFull),
        };
        self.last_told = Some(Instant::now());
        let Now { time, since_boot } = now;
        match self.own.last_mut() {
            // While nothing can be written, one record gathers the counts.
            Some(Record::Loss(last)) if last.cause == cause => add(last, &lost, now),
            _ => self.own.push(Record::Loss(Loss { time, since_boot, from, cause, lost, exact: true })),
        }
    }

    fn fail(&mut self, now: Now, why: String) {
        let (since, why) = self.failing.get_or_insert((now.time, why)).clone();
        self.trouble = Some((since, why.clone()));
        lock(&self.shared.status).condition = Condition::CannotWrite { since, why };
    }

    /// Keeps to the bounds. True where there is more to delete.
    fn retain(&mut self) -> bool {
        let now = Now::read();
        let Some(database) = self.database.as_mut() else { return false };
        match database.retain(now).and_then(|more| Ok((more, database.used()?))) {
            Ok((more, used)) => {
                lock(&self.shared.status).used = used;
                more
            }
            Err(error) => {
                let error = StoreError::sqlite(&self.path, error);
                if error.is_corrupt() {
                    // What fails here fails again in the next write, which tells it.
                    let _ = self.put_aside(&error.to_string(), now);
                }
                false
            }
        }
    }

    /// Where the file is at its own bound, deleting makes room; where the disk is full, it may.
    fn make_room(&mut self) {
        for _ in 0..100 {
            if !self.retain() {
                return;
            }
        }
    }

    /// Moves the corrupt file out of the way; the next write begins a new one, which tells so.
    fn put_aside(&mut self, why: &str, now: Now) -> Result<(), String> {
        // Closed first: SQLite removes the journal by its name when the last connection closes.
        self.database = None;
        let aside = database::move_aside(&self.path, now).map_err(|e| e.to_string())?;
        self.own.push(corrupt(&aside, why, now, self.last_whole));
        Ok(())
    }

    /// Begins a database in place of one that was put aside.
    fn begin(&mut self) -> Result<(), String> {
        let opened = database::open(&self.path, &self.boot, self.retention).map_err(|e| e.to_string())?;
        let mut database = opened.database;
        // What was given and neither waits nor is held now is in the old file, or was told there. What is about to be
        // told comes on top.
        let mut before = self.shared.queue.while_still(|waiting| {
            let ledger = lock(&self.shared.ledger);
            let mut before = ledger.as_ref().map_or([0; KINDS], |l| l.given);
            for (count, waiting) in before.iter_mut().zip(waiting) {
                *count = count.saturating_sub(*waiting as u64);
            }
            before
        });
        for record in &self.held {
            if let Some(count) = before.get_mut(record.kind() as usize) {
                *count = count.saturating_sub(1);
            }
        }
        for (count, told) in before.iter_mut().zip(self.told) {
            *count = count.saturating_sub(told);
        }
        database.set_told(before).map_err(|e| e.to_string())?;
        self.database = Some(database);
        Ok(())
    }

    /// Closes the database; where all is written or told, it is marked as ended well.
    fn end(self) {
        let next_alert = self.shared.next_alert.load(Ordering::Relaxed);
        if let Some(database) = self.database
            && self.held.is_empty()
            && self.failing.is_none()
        {
            // An error leaves it marked as in use, and the next start looks through it.
            let _ = database.close(next_alert);
        }
        // Gives up the lock: another may write to the store now.
        *lock(&self.shared.ledger) = None;
    }
}

fn add(loss: &mut Loss, more: &[Lost], now: Now) {
    loss.time = now.time;
    loss.since_boot = now.since_boot;
    for lost in more {
        match loss.lost.iter_mut().find(|l| l.kind == lost.kind) {
            Some(known) => known.count += lost.count,
            None => loss.lost.push(*lost),
        }
    }
}
