//! The store as a whole: against a model, killed, with a full disk, corrupt, with clocks that jump, beside readers.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proptest::prelude::*;
use rusqlite::Connection;

use super::clock::Now;
use super::database::{self, Database, WriteError};
use super::record::{Kind, Loss, LossCause, Lost, Record};
use super::samples::{self, TIME};
use super::{Batch, Condition, Filter, Found, Reader, Retention, Settings, Store, StoreError};
use crate::alert::{Alert, Cause, Severity};

const LONG: Duration = Duration::from_secs(20);
const NOTHING: [u64; 6] = [0; 6];

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn found(path: &Path, filter: &Filter) -> Vec<Record> {
    Reader::open(path).unwrap().all(filter).unwrap().into_iter().map(|f| f.record.unwrap()).collect()
}

fn losses(path: &Path) -> Vec<Loss> {
    found(path, &Filter { kinds: vec![Kind::Loss], ..Filter::default() })
        .into_iter()
        .map(|record| match record {
            Record::Loss(loss) => loss,
            other => panic!("{other:?}"),
        })
        .collect()
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < until, "{what}: not within {LONG:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_kept_is_found_again_whole_and_alerts_are_numbered() {
    let folder = folder();
    let path = folder.path().join("deeper/events.db");
    let store = Store::open(Settings::at(&path)).unwrap();
    let mut records: Vec<Record> = vec![
        samples::attempt().into(),
        samples::rule_match().into(),
        Record::Trail(samples::trail(5).into()),
        Record::Blind(samples::blind()),
        Record::Heartbeat(samples::heartbeat()),
        Record::Container(samples::seen(u64::MAX).into()),
    ];
    for record in &records {
        assert!(store.keep(record.clone()));
    }
    assert_eq!(store.close(LONG), 0);
    let mut number = 0;
    for record in &mut records {
        if let Record::Alert(alert) = record {
            number += 1;
            alert.id = number;
        }
    }
    records.sort_by_key(Record::since_boot);
    assert_eq!(found(&path, &Filter::default()), records);
    let mode = std::os::unix::fs::PermissionsExt::mode(&path.metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600, "arguments of programs may hold secrets");

    let store = Store::open(Settings::at(&path)).unwrap();
    assert_eq!(store.next_alert(), 3, "numbers go on after a good end");
    assert!(matches!(Store::open(Settings::at(&path)), Err(StoreError::Locked { .. })));
    store.close(LONG);
    assert!(losses(&path).is_empty());
}

#[test]
fn a_container_that_is_seen_again_is_one_record() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let store = Store::open(Settings::at(&path)).unwrap();
    for ended in [None, Some(TIME)] {
        store.keep(Record::Container(super::Seen { ended, ..samples::seen(7) }.into()));
    }
    store.keep(Record::Container(samples::seen(8).into()));
    store.close(LONG);
    let all = found(&path, &Filter::default());
    assert_eq!(all.len(), 2, "{all:?}");
    assert!(matches!(&all[0], Record::Container(seen) if seen.ended == Some(TIME)));
}

#[test]
fn a_reader_beside_the_writer_sees_what_is_new() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let store = Store::open(Settings::at(&path)).unwrap();
    let reader = Reader::open(&path).unwrap();
    let (version, last) = (reader.version().unwrap(), reader.last().unwrap());
    store.keep(samples::attempt());
    eventually("the commit shows", || reader.version().unwrap() != version);
    let new = reader.all(&Filter { after: Some(last), ..Filter::default() }).unwrap();
    assert_eq!(new.len(), 1);
    assert_eq!(new[0].boot, super::boot_id());
    assert!(reader.all(&Filter { after: Some(new[0].seq), ..Filter::default() }).unwrap().is_empty());
}

#[test]
fn a_file_that_is_no_store_is_told_apart_from_one_that_is_absent_or_newer() {
    let folder = folder();
    let path = folder.path().join("events.db");
    assert!(matches!(Reader::open(&path), Err(StoreError::Missing { .. })));
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE mine (x)").unwrap();
    assert!(matches!(Reader::open(&path), Err(StoreError::NotOurs { .. })));
    assert!(matches!(Store::open(Settings::at(&path)), Err(StoreError::NotOurs { .. })));
    let path = folder.path().join("newer.db");
    Store::open(Settings::at(&path)).unwrap().close(LONG);
    Connection::open(&path).unwrap().execute_batch("PRAGMA user_version = 99").unwrap();
    assert!(matches!(Reader::open(&path), Err(StoreError::Newer { version: 99, .. })));
    assert!(matches!(Store::open(Settings::at(&path)), Err(StoreError::Newer { version: 99, .. })));
}

#[test]
fn a_database_of_an_earlier_version_is_brought_up_to_date_or_left_as_it_was() {
    let folder = folder();
    let path = folder.path().join("m.db");
    let mut connection = Connection::open(&path).unwrap();
    let steps = ["CREATE TABLE a (x); INSERT INTO a VALUES (1);", "ALTER TABLE a ADD COLUMN y DEFAULT 2;"];
    database::migrate(&mut connection, &steps[..1], &path).unwrap();
    let broken = [steps[0], "ALTER TABLE a ADD COLUMN z; SELECT nonsense;"];
    assert!(database::migrate(&mut connection, &broken, &path).is_err());
    database::migrate(&mut connection, &steps, &path).unwrap();
    database::migrate(&mut connection, &steps, &path).unwrap();
    let row: (i64, i64) =
        connection.query_row("SELECT x, y FROM a", [], |r| Ok((r.get(0)?, r.get(1)?))).unwrap();
    assert_eq!(row, (1, 2));
}

// A SIGKILL in the middle.

const CHILD: &str = "STOCKADE_STORE_TEST_CHILD";

/// Not a test of its own: the process that is killed. It gives records without end.
#[test]
fn child_that_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let store = Store::open(Settings::at(path)).unwrap();
    println!("ready");
    for number in 0.. {
        if number % 10 == 0 {
            store.keep(samples::attempt());
        }
        store.keep(Record::Trail(samples::trail(number).into()));
        std::thread::sleep(Duration::from_micros(50));
    }
}

fn child(path: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::child_that_is_killed", "--nocapture"])
        .env(CHILD, path)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn after_a_sigkill_what_was_committed_is_there_and_what_was_lost_is_counted_exactly() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let mut told = NOTHING;
    for round in 0..3 {
        let mut child = child(&path);
        let alerts = Filter { kinds: vec![Kind::Alert], ..Filter::default() };
        let before = if round == 0 { 0 } else { found(&path, &alerts).len() };
        eventually("the child writes", || {
            Reader::open(&path).and_then(|r| r.all(&alerts)).is_ok_and(|all| all.len() > before + 20)
        });
        child.kill().unwrap();
        child.wait().unwrap();

        let mut name = path.as_os_str().to_owned();
        name.push("-ledger");
        let (ledger, earlier) = super::ledger::Ledger::open(Path::new(&name), &super::boot_id()).unwrap();
        drop(ledger);
        let given = earlier.unwrap().given;
        let store = Store::open(Settings::at(&path)).unwrap();
        let next = store.next_alert();
        store.close(LONG);
        let loss = losses(&path).pop().expect("a child that gives without end has something uncommitted");
        assert_eq!((&loss.cause, loss.exact), (&LossCause::Killed, true));
        for lost in &loss.lost {
            told[lost.kind as usize] += lost.count;
        }
        for kind in [Kind::Alert, Kind::Trail] {
            let kept = found(&path, &Filter { kinds: vec![kind], ..Filter::default() }).len() as u64;
            assert_eq!(kept + told[kind as usize], given[kind as usize], "{kind:?}");
        }
        let in_all: u64 = loss.lost.iter().map(|l| l.count).sum();
        assert!(in_all <= 20_000, "{in_all} is more than the queue and a batch");
        let numbers: Vec<u64> = found(&path, &alerts)
            .into_iter()
            .map(|record| match record {
                Record::Alert(alert) => alert.id,
                other => panic!("{other:?}"),
            })
            .collect();
        let distinct: std::collections::BTreeSet<u64> = numbers.iter().copied().collect();
        assert_eq!(distinct.len(), numbers.len(), "no number is given twice");
        assert!(distinct.last().unwrap() < &next);
    }
}

#[test]
fn with_a_ledger_of_another_boot_or_none_the_count_is_said_not_to_be_certain() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let mut child = child(&path);
    eventually("the child begins", || Reader::open(&path).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    std::fs::remove_file(folder.path().join("events.db-ledger")).unwrap();
    Store::open(Settings::at(&path)).unwrap().close(LONG);
    let all = losses(&path);
    assert!(matches!(all.as_slice(), [Loss { cause: LossCause::Killed, exact: false, .. }]), "{all:?}");
}

// A full disk.

#[test]
fn a_database_that_may_not_grow_takes_nothing_and_loses_nothing_that_it_took() {
    let folder = folder();
    let mut database = open(&folder.path().join("events.db"), Retention::default());
    let now = Now { time: TIME, since_boot: 1 };
    let batch: Vec<Record> = (0..500).map(|n| Record::Trail(samples::trail(n).into())).collect();
    database.write(&batch, &[], &NOTHING, 1, now).unwrap();
    database.limit_pages(database.pages() + 2);
    assert!(matches!(database.write(&batch, &[], &NOTHING, 1, now), Err(WriteError::Later(_))));
    assert_eq!(database.accounts.written[Kind::Trail as usize], 500);
    database.limit_pages(1 << 20);
    database.write(&batch, &[], &NOTHING, 1, now).unwrap();
    assert_eq!(database.accounts.written[Kind::Trail as usize], 1000);
}

/// A tmpfs of two megabytes in a mount namespace of a child process; `None` where the machine does not allow one.
fn on_small_tmpfs(test: &str) -> Option<()> {
    let folder = folder();
    let script = format!(
        "mount -t tmpfs -o size=2m tmpfs '{0}' && exec '{1}' --exact 'store::tests::{test}' --nocapture --include-ignored",
        folder.path().display(),
        std::env::current_exe().unwrap().display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .env(CHILD, folder.path())
        .output()
        .ok()?;
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    if text.contains("running 1 test") {
        assert!(output.status.success(), "{text}");
        return Some(());
    }
    println!("skipped: no file system of its own: {text}");
    None
}

#[test]
fn a_full_disk_stops_nothing_and_what_was_lost_is_told_when_there_is_space_again() {
    on_small_tmpfs("child_on_a_small_disk");
}

/// Not a test of its own: runs where the folder is a file system of two megabytes.
#[test]
fn child_on_a_small_disk() {
    let Some(folder) = std::env::var_os(CHILD) else { return };
    let folder = Path::new(&folder);
    if !folder.is_dir() {
        return;
    }
    let path = folder.join("events.db");
    let mut settings = Settings::at(&path);
    settings.queue = 500;
    settings.batch = Batch { records: 100, time: Duration::from_millis(5) };
    let store = Store::open(settings).unwrap();
    store.keep(samples::attempt());
    eventually("the first is written", || store.status().written[Kind::Alert as usize] == 1);
    let filler = folder.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[7; 4096]).is_ok() {}
    drop(file);
    let mut given = [1, 0];
    let start = Instant::now();
    let mut slowest = Duration::ZERO;
    while !matches!(store.status().condition, Condition::CannotWrite { .. }) || given[1] < 5000 {
        let began = Instant::now();
        store.keep(Record::Trail(samples::trail(given[1]).into()));
        slowest = slowest.max(began.elapsed());
        given[1] += 1;
        assert!(start.elapsed() < LONG, "the disk never was full");
    }
    for _ in 0..50 {
        store.keep(samples::attempt());
        given[0] += 1;
    }
    println!("slowest keep {slowest:?}");
    assert!(store.status().lost[Kind::Trail as usize] > 0);
    assert_eq!(store.status().lost[Kind::Alert as usize], 0, "alerts push bulk out");
    std::fs::remove_file(&filler).unwrap();
    eventually("it works again", || {
        store.status().condition == Condition::Works && store.status().waiting == 0
    });
    assert_eq!(store.close(LONG), 0);
    let losses = losses(&path);
    assert!(
        losses.iter().any(|l| matches!(&l.cause, LossCause::CouldNotWrite { why } if why.contains("full")))
    );
    let told =
        |kind| losses.iter().flat_map(|l| &l.lost).filter(|l| l.kind == kind).map(|l| l.count).sum::<u64>();
    let kept = |kind| found(&path, &Filter { kinds: vec![kind], ..Filter::default() }).len() as u64;
    assert_eq!((kept(Kind::Alert), told(Kind::Alert)), (given[0], 0));
    assert_eq!(kept(Kind::Trail) + told(Kind::Trail), given[1]);
}

// A corrupt database.

fn spoil(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    for byte in bytes.iter_mut().skip(100) {
        *byte ^= 0x5a;
    }
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_corrupt_database_is_moved_aside_and_the_new_one_says_so() {
    let folder = folder();
    let path = folder.path().join("events.db");
    for spoiler in
        [spoil as fn(&Path), |path| std::fs::write(path, b"no database at all".repeat(500)).unwrap()]
    {
        let store = Store::open(Settings::at(&path)).unwrap();
        store.keep(samples::attempt());
        store.close(LONG);
        spoiler(&path);
        let store = Store::open(Settings::at(&path)).unwrap();
        store.keep(samples::rule_match());
        store.close(LONG);
        let all = losses(&path);
        let [Loss { cause: LossCause::Corrupt { moved_to, .. }, .. }] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert!(Path::new(moved_to).is_file());
        let alerts = found(&path, &Filter { kinds: vec![Kind::Alert], ..Filter::default() });
        assert_eq!(alerts.len(), 1);
        // The accounts hold: another start finds nothing missing.
        Store::open(Settings::at(&path)).unwrap().close(LONG);
        assert_eq!(losses(&path).len(), 1);
    }
    for _ in 0..3 {
        spoil(&path);
        Store::open(Settings::at(&path)).unwrap().close(LONG);
    }
    let aside = std::fs::read_dir(folder.path())
        .unwrap()
        .filter(|e| e.as_ref().unwrap().file_name().to_string_lossy().contains("corrupt-"))
        .count();
    assert_eq!(aside, 2, "only the last two are kept");
}

#[test]
fn a_database_that_becomes_corrupt_while_in_use_is_replaced_and_nothing_given_after_is_lost() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let mut settings = Settings::at(&path);
    settings.batch.time = Duration::from_millis(5);
    let store = Store::open(settings).unwrap();
    for n in 0..2000 {
        store.keep(Record::Trail(samples::trail(n).into()));
    }
    eventually("all is written", || store.status().written[Kind::Trail as usize] == 2000);
    let other = Connection::open(&path).unwrap();
    other.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(other);
    spoil(&path);
    for n in 0..2000 {
        store.keep(Record::Trail(samples::trail(n).into()));
    }
    store.close(LONG);
    let kept = found(&path, &Filter { kinds: vec![Kind::Trail], ..Filter::default() }).len();
    let all = losses(&path);
    assert!(
        matches!(all.as_slice(), [Loss { cause: LossCause::Corrupt { .. }, lost, .. }] if lost.is_empty()),
        "{all:?}"
    );
    assert!((1..=2000).contains(&kept), "{kept}");
    Store::open(Settings::at(&path)).unwrap().close(LONG);
    assert_eq!(losses(&path).len(), 1, "the accounts hold");
}

// Overload.

#[test]
fn under_a_flood_alerts_are_kept_and_what_is_dropped_is_told_by_kind() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let mut settings = Settings::at(&path);
    settings.queue = 200;
    let store = Store::open(settings).unwrap();
    let given = 50_000;
    for n in 0..given {
        store.keep(Record::Trail(samples::trail(n).into()));
        if n % 5000 == 0 {
            store.keep(samples::attempt());
        }
    }
    store.close(LONG);
    let all = losses(&path);
    let told =
        |kind| all.iter().flat_map(|l| &l.lost).filter(|l| l.kind == kind).map(|l| l.count).sum::<u64>();
    let kept = |kind| found(&path, &Filter { kinds: vec![kind], ..Filter::default() }).len() as u64;
    assert_eq!((kept(Kind::Alert), told(Kind::Alert)), (10, 0));
    assert!(told(Kind::Trail) > 0);
    assert_eq!(kept(Kind::Trail) + told(Kind::Trail), given);
    assert!(all.iter().all(|l| l.exact && l.cause == LossCause::QueueFull), "{all:?}");
}

// Clocks.

#[test]
fn order_holds_when_the_wall_clock_jumps_back_and_both_times_are_kept() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let store = Store::open(Settings::at(&path)).unwrap();
    let times = [(TIME, 10), (TIME - 3_600_000_000_000, 20), (TIME + 5, 30)];
    for (time, since_boot) in times {
        store.keep(Alert { time, since_boot, ..samples::attempt() });
    }
    store.close(LONG);
    let order: Vec<(i64, u64)> =
        found(&path, &Filter::default()).iter().map(|r| (r.time(), r.since_boot())).collect();
    assert_eq!(order, times);
    let last: Vec<u64> = found(&path, &Filter { limit: Some(1), ..Filter::default() })
        .iter()
        .map(Record::since_boot)
        .collect();
    assert_eq!(last, [30], "the last by time since boot");
}

#[test]
fn a_wall_clock_that_jumps_ahead_does_not_age_what_this_boot_wrote() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let retention = Retention { age: Duration::from_secs(3600), ..Retention::default() };
    let mut database = open(&path, retention);
    let now = Now { time: TIME, since_boot: 3_000_000_000_000 };
    let record = Record::from(Alert { time: TIME, since_boot: now.since_boot, ..samples::attempt() });
    database.write(&[record], &[], &NOTHING, 1, now).unwrap();
    let years = 10 * 365 * 24 * 3_600_000_000_000;
    database.retain(Now { time: TIME + years, since_boot: now.since_boot + 1 }).unwrap();
    assert_eq!(found(&path, &Filter::default()).len(), 1);
    database.retain(Now { time: TIME, since_boot: now.since_boot + 3_601_000_000_000 }).unwrap();
    assert!(found(&path, &Filter::default()).is_empty());
}

// Bounds.

fn open(path: &Path, retention: Retention) -> Database {
    database::open(path, "this-boot", retention).unwrap_or_else(|e| panic!("{e}")).database
}

#[test]
fn the_file_stays_within_its_size_and_the_oldest_go_first() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let size = 1 << 20;
    let mut database = open(&path, Retention { size, ..Retention::default() });
    let mut given: u64 = 0;
    for _ in 0..20 {
        let batch: Vec<Record> = (0..500)
            .map(|n| {
                given += 1;
                let since_boot = given;
                if n % 50 == 0 {
                    Alert { since_boot, ..samples::attempt() }.into()
                } else {
                    Record::Trail(super::Trail { since_boot, ..samples::trail(0) }.into())
                }
            })
            .collect();
        database.write(&batch, &[], &NOTHING, 1, Now { time: TIME, since_boot: given }).unwrap();
        while database.retain(Now { time: TIME, since_boot: given }).unwrap() {}
        assert!(database.used().unwrap() <= size);
    }
    let kept: Vec<u64> = found(&path, &Filter::default()).iter().map(Record::since_boot).collect();
    assert!(kept.len() > 100);
    assert_eq!(
        kept,
        ((given - kept.len() as u64 + 1)..=given).collect::<Vec<_>>(),
        "the newest, without a gap"
    );
    database.close(1).unwrap();
    assert!(path.metadata().unwrap().len() <= size, "{}", path.metadata().unwrap().len());
}

// Against a model.

#[derive(Clone, Debug)]
enum Step {
    Write(Vec<(u8, u8, u8, i16, u8)>),
    Retain,
    Reopen,
    NewBoot,
}

fn step() -> impl Strategy<Value = Step> {
    let row = (0u8..6, 0u8..5, 0u8..3, -50i16..50, 1u8..20);
    prop_oneof![
        6 => proptest::collection::vec(row, 1..12).prop_map(Step::Write),
        2 => Just(Step::Retain),
        1 => Just(Step::Reopen),
        1 => Just(Step::NewBoot),
    ]
}

/// What the model knows of a record: its boot, then what the record says.
type Row = (usize, Record);

fn make(kind: u8, severity: u8, which: u8, time: i64, since_boot: u64) -> Record {
    let names = ["web", "db", "4ba7"];
    let name = names[usize::from(which)];
    match kind {
        0 | 1 => {
            let cause = if kind == 0 {
                Cause::Attempt { technique: name.into(), detector: "d".into(), attack: Vec::new() }
            } else {
                Cause::Rule {
                    name: name.into(),
                    priority: "p".into(),
                    tags: Vec::new(),
                    output: String::new(),
                    source_file: String::new(),
                }
            };
            let container = (severity != 0).then(|| samples::container(name));
            let severity = Severity::ALL[usize::from(severity)];
            Alert { time, since_boot, cause, severity, container, ..samples::attempt() }.into()
        }
        2 => Record::Blind(super::Blind { time, since_boot, ..samples::blind() }),
        3 => Record::Heartbeat(super::Heartbeat { time, since_boot, ..samples::heartbeat() }),
        4 => Record::Loss(Loss {
            time,
            since_boot,
            from: 0,
            cause: LossCause::QueueFull,
            lost: vec![Lost { kind: Kind::Trail, count: 1 }],
            exact: true,
        }),
        _ => {
            let mut trail = super::Trail { since_boot, ..samples::trail(0) };
            trail.step.time = time;
            trail.step.name = Some(name.into());
            Record::Trail(trail.into())
        }
    }
}

fn lets_through(filter: &Filter, record: &Record) -> bool {
    let alert = match record {
        Record::Alert(alert) => Some(alert),
        _ => None,
    };
    (filter.kinds.is_empty() || filter.kinds.contains(&record.kind()))
        && filter.since.is_none_or(|t| record.time() >= t)
        && filter.until.is_none_or(|t| record.time() < t)
        && filter.container.as_ref().is_none_or(|wanted| {
            let (id, name) = record.container();
            name == Some(wanted) || id.is_some_and(|id| id.starts_with(wanted.as_str()))
        })
        && filter.technique.as_ref().is_none_or(|t| alert.is_some_and(|a| a.technique() == Some(t)))
        && filter.rule.as_ref().is_none_or(|r| alert.is_some_and(|a| a.rule() == Some(r)))
        && filter.severity.is_none_or(|s| alert.is_some_and(|a| a.severity >= s))
}

fn filter() -> impl Strategy<Value = Filter> {
    let name = || proptest::option::weighted(0.3, prop_oneof!["web", "db", "4ba7", "none"]);
    (
        proptest::collection::vec((0usize..6).prop_map(|k| Kind::ALL[k]), 0..3),
        proptest::option::weighted(0.3, (-60i64..60).prop_map(|t| TIME + t)),
        proptest::option::weighted(0.3, (-60i64..60).prop_map(|t| TIME + t)),
        name(),
        name(),
        name(),
        proptest::option::weighted(0.3, (0usize..5).prop_map(|s| Severity::ALL[s])),
        proptest::option::weighted(0.3, 0u64..10),
    )
        .prop_map(|(kinds, since, until, container, technique, rule, severity, limit)| Filter {
            kinds,
            since,
            until,
            container,
            technique,
            rule,
            severity,
            limit,
            ..Filter::default()
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_store_agrees_with_a_list(
        steps in proptest::collection::vec(step(), 1..12),
        filters in proptest::collection::vec(filter(), 1..12),
        age in 10u64..100,
    ) {
        let folder = folder();
        let path = folder.path().join("events.db");
        let retention = Retention { age: Duration::from_nanos(age), ..Retention::default() };
        let boots: Vec<String> = (0..20).map(|n| format!("boot-{n}")).collect();
        let mut boot = 0;
        let mut since_boot = 1000;
        let reopen = |boot: usize| {
            database::open(&path, &boots[boot], retention).unwrap_or_else(|e| panic!("{e}")).database
        };
        let mut database = reopen(0);
        let mut model: Vec<Row> = Vec::new();
        for step in steps {
            match step {
                Step::Write(rows) => {
                    let batch: Vec<Record> = rows
                        .into_iter()
                        .map(|(kind, severity, which, jump, more)| {
                            since_boot += u64::from(more);
                            make(kind, severity, which, TIME + i64::from(jump), since_boot)
                        })
                        .collect();
                    database.write(&batch, &[], &NOTHING, 1, Now { time: TIME, since_boot }).unwrap();
                    model.extend(batch.into_iter().map(|record| (boot, record)));
                }
                Step::Retain => {
                    let now = Now { time: TIME + 40, since_boot };
                    while database.retain(now).unwrap() {}
                    model.retain(|(of, record)| {
                        if *of == boot {
                            record.since_boot() >= since_boot - age
                        } else {
                            record.time() >= now.time - age as i64
                        }
                    });
                }
                Step::Reopen | Step::NewBoot => {
                    drop(database);
                    if matches!(step, Step::NewBoot) {
                        boot += 1;
                        since_boot = 1000;
                    }
                    database = reopen(boot);
                }
            }
        }
        let reader = Reader::open(&path).unwrap();
        for filter in filters {
            let mut expected: Vec<&Row> = model.iter().filter(|(_, record)| lets_through(&filter, record)).collect();
            let cut = filter.limit.map_or(0, |l| expected.len().saturating_sub(l as usize));
            expected.drain(..cut);
            let found = reader.all(&filter).unwrap();
            let found: Vec<(&str, &Record)> =
                found.iter().map(|Found { boot, record, .. }| (boot.as_str(), record.as_ref().unwrap())).collect();
            let expected: Vec<(&str, &Record)> =
                expected.into_iter().map(|(boot, record)| (boots[*boot].as_str(), record)).collect();
            prop_assert_eq!(found, expected, "{:?}", filter);
        }
    }
}

#[test]
fn settings_are_read_as_people_write_them() {
    let read = |json: serde_json::Value| serde_json::from_value::<Settings>(json).map_err(|e| e.to_string());
    let settings =
        read(serde_json::json!({"path": "/x/y.db", "size": "2GiB", "age": "7d", "queue": 5})).unwrap();
    assert_eq!(settings.path, Path::new("/x/y.db"));
    let retention = Retention { size: 2 << 30, age: Duration::from_secs(7 * 24 * 3600) };
    assert_eq!((settings.retention, settings.queue), (retention, 5));
    assert_eq!(read(serde_json::json!({})).unwrap(), Settings::default());
    for bad in [
        serde_json::json!({"size": "12"}),
        serde_json::json!({"size": "many"}),
        serde_json::json!({"size": "99999999999999G"}),
        serde_json::json!({"age": "-3h"}),
        serde_json::json!({"age": "soon"}),
        serde_json::json!({"surprise": 1}),
    ] {
        assert!(read(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn what_people_ask_for_is_found_by_an_index_and_merged_in_order_without_sorting_all() {
    let folder = folder();
    let path = folder.path().join("events.db");
    drop(open(&path, Retention::default()));
    let connection = Connection::open(&path).unwrap();
    let name = || Some("web".to_owned());
    for (filter, index) in [
        (Filter::default(), "alerts_order"),
        (Filter { container: name(), ..Filter::default() }, "alerts_container_name"),
        (Filter { technique: name(), ..Filter::default() }, "alerts_technique"),
        (Filter { rule: name(), ..Filter::default() }, "alerts_rule"),
        (Filter { severity: Some(Severity::Critical), ..Filter::default() }, "alerts_severity"),
        (Filter { severity: Some(Severity::Medium), ..Filter::default() }, "alerts_severity"),
        (Filter { alert: Some(5), ..Filter::default() }, "alerts_id"),
        (Filter { after: Some(5), ..Filter::default() }, "INTEGER PRIMARY KEY"),
        (Filter { limit: Some(10), ..Filter::default() }, "alerts_order"),
    ] {
        let (sql, values) = super::query::select(&filter);
        let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let plan: Vec<String> = statement
            .query_map(rusqlite::params_from_iter(values), |row| row.get(3))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(plan.iter().any(|step| step.contains(index)), "{index}: {plan:#?}");
        if filter.container.is_none() && filter.limit.is_none() && filter.alert.is_none() {
            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:#?}");
        }
    }
}

/// Not a check: prints what the store costs. `cargo test --release -p watch -- --ignored --nocapture what_it_costs`
#[test]
#[ignore = "a measurement"]
fn what_it_costs() {
    let folder = folder();
    let path = folder.path().join("events.db");
    let mut settings = Settings::at(&path);
    settings.queue = 100_000;
    let store = Store::open(settings.clone()).unwrap();
    let (alert, count) = (Record::from(samples::attempt()), 50_000);
    let began = Instant::now();
    let mut slowest = Duration::ZERO;
    for _ in 0..count {
        let record = alert.clone();
        let one = Instant::now();
        store.keep(record);
        slowest = slowest.max(one.elapsed());
    }
    println!("keep: {:?} each with a clone, slowest {slowest:?}", began.elapsed() / count);
    store.close(Duration::from_secs(600));
    println!("written: {:.0} alerts/s", f64::from(count) / began.elapsed().as_secs_f64());
    println!("size: {} bytes an alert", path.metadata().unwrap().len() / u64::from(count));
    let reader = Reader::open(&path).unwrap();
    for (what, filter) in [
        ("the last 10", Filter { limit: Some(10), ..Filter::default() }),
        ("none by technique", Filter { technique: Some("x".into()), ..Filter::default() }),
        ("all", Filter::default()),
    ] {
        let began = Instant::now();
        let found = reader.all(&filter).unwrap().len();
        println!("query {what}: {found} in {:?}", began.elapsed());
    }
    Connection::open(&path).unwrap().execute("UPDATE meta SET value = 0 WHERE name = 'clean'", []).unwrap();
    let began = Instant::now();
    let store = Store::open(settings).unwrap();
    println!("open after a kill, looked through: {:?}", began.elapsed());
    store.close(LONG);
}
