//! The promises of the log of decisions, on real files: any edit of the chain is found, writers in threads and in
//! processes never fork it, and what a crash leaves is kept and told.

use std::fs;
use std::io::{BufRead as _, BufReader, Cursor, Write as _};
use std::num::NonZero;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gate::log::verify::{Anchor, Fault, Verified, Verifier};
use gate::log::{LONGEST, Log, LogError, Rotation, Sync, files};
use gate::{Door, Record, Ruling, Who};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

fn record<'a>(asked: &'a str, who: &'a Who, ruling: &'a Ruling) -> Record<'a> {
    Record {
        schema: gate::record::SCHEMA,
        time: Timestamp::UNIX_EPOCH,
        door: Door::DockerPlugin,
        who,
        asked,
        policy: None,
        ruling,
        took: Duration::from_micros(7),
    }
}

fn append(log: &Log, asked: &str) {
    try_append(log, asked).unwrap();
}

fn try_append(log: &Log, asked: &str) -> Result<(), LogError> {
    log.append(&record(asked, &Who::default(), &Ruling::allow()))
}

fn verify(path: &Path) -> Verified {
    let mut verifier = Verifier::new([]);
    for file in files(path) {
        verifier.file(&file, &mut |_| {}).unwrap();
    }
    verifier.finish(path)
}

fn faults(verified: &Verified) -> Vec<Fault> {
    verified.wrong.iter().map(|wrong| wrong.fault.clone()).collect()
}

fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn asked(path: &Path) -> Vec<String> {
    let lines = files(path).iter().flat_map(|file| lines(file)).collect::<Vec<_>>();
    lines.iter().filter_map(|line| line["asked"].as_str().map(str::to_owned)).collect()
}

fn notes(path: &Path) -> Vec<Value> {
    files(path).iter().flat_map(|file| lines(file)).filter(|line| line.get("note").is_some()).collect()
}

fn folder() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("decisions.log");
    (folder, path)
}

/// A log of `count` records.
fn written(count: usize) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = folder();
    let log = Log::open(&path).unwrap();
    (0..count).for_each(|number| append(&log, &format!("request {number}")));
    (folder, path)
}

mod chain {
    use super::*;

    /// What of a chain of lines is found wrong.
    fn found(lines: &[Vec<u8>]) -> Verified {
        let path: Arc<Path> = Path::new("log").into();
        let mut verifier = Verifier::new([]);
        let bytes = lines.concat();
        verifier.read(&path, Cursor::new(&bytes), &mut |_| {}).unwrap();
        verifier.finish(&path)
    }

    fn sound() -> Vec<Vec<u8>> {
        let (_folder, path) = written(12);
        let bytes = fs::read(path).unwrap();
        bytes.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    }

    thread_local!(static SOUND: Vec<Vec<u8>> = sound());

    fn edited(edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Verified {
        let mut lines = SOUND.with(Clone::clone);
        edit(&mut lines);
        found(&lines)
    }

    /// All but the end, which only an anchor or the head tells.
    const LINES: usize = 13;

    #[test]
    fn a_chain_that_nobody_edited_is_whole() {
        let verified = edited(|_| {});
        assert!(verified.is_whole(), "{verified:?}");
        assert_eq!(verified.lines, LINES as u64);
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_byte_that_is_changed_is_found(line in 0..LINES, at: prop::sample::Index, to: u8) {
            let mut is_same = false;
            let verified = edited(|lines| {
                let at = at.index(lines[line].len());
                is_same = lines[line][at] == to;
                lines[line][at] = to;
            });
            prop_assert!(is_same || !verified.is_whole());
            prop_assert!(is_same || verified.wrong[0].line <= line as u64 + 2);
        }

        #[test]
        fn any_byte_that_is_put_in_or_taken_out_is_found(
            line in 0..LINES, at: prop::sample::Index, byte: u8, insert: bool,
        ) {
            let verified = edited(|lines| {
                let at = at.index(lines[line].len());
                if insert {
                    lines[line].insert(at, byte);
                } else {
                    lines[line].remove(at);
                }
            });
            prop_assert!(!verified.is_whole());
        }

        #[test]
        fn any_line_that_is_taken_out_is_found_where_it_stood(line in 0..LINES - 1) {
            let verified = edited(|lines| drop(lines.remove(line)));
            let sequence = line as u64 + 1;
            prop_assert_eq!(faults(&verified), [Fault::Missing { from: sequence, to: sequence }]);
            prop_assert_eq!(verified.wrong[0].line, sequence);
        }

        #[test]
        fn any_lines_that_are_taken_out_are_found(from in 0..LINES - 1, count in 1..LINES) {
            let verified = edited(|lines| drop(lines.drain(from..(from + count).min(LINES - 1))));
            prop_assert!(!verified.is_whole());
        }

        #[test]
        fn any_two_lines_that_are_swapped_are_found(one in 0..LINES, other in 0..LINES) {
            prop_assume!(one != other);
            let verified = edited(|lines| lines.swap(one, other));
            let (first, second) = (one.min(other) as u64 + 1, one.max(other) as u64 + 1);
            prop_assert_eq!(verified.wrong[0].line, first);
            prop_assert_eq!(&verified.wrong[0].fault, &Fault::Reordered { from: first, to: second - 1 });
            let missing = faults(&verified).into_iter().any(|fault| matches!(fault, Fault::Missing { .. }));
            prop_assert!(!missing, "{:?}", verified.wrong);
        }

        #[test]
        fn any_line_that_is_there_twice_is_found(line in 0..LINES, to in 0..=LINES) {
            let verified = edited(|lines| lines.insert(to, lines[line].clone()));
            prop_assert!(!verified.is_whole());
            if to == line || to == line + 1 {
                prop_assert_eq!(faults(&verified), [Fault::Duplicated { sequence: line as u64 + 1 }]);
            }
        }

        #[test]
        fn any_text_that_is_put_in_is_found(at in 0..=LINES, text in "[^\n]{0,200}\n") {
            let verified = edited(|lines| lines.insert(at, text.into_bytes()));
            prop_assert_eq!(&verified.wrong[0].fault, &Fault::NotALine);
            prop_assert_eq!(verified.wrong[0].line, at as u64 + 1);
        }

        #[test]
        fn any_line_that_is_written_anew_with_its_own_hash_is_found_at_the_next(line in 0..LINES - 1) {
            let verified = edited(|lines| {
                let text = String::from_utf8(lines[line].clone()).unwrap();
                let text = text.replace("1970-01-01", "1971-01-01");
                lines[line] = rehashed(&text);
            });
            let sequence = line as u64 + 2;
            prop_assert_eq!(faults(&verified), [Fault::Unchained { sequence }]);
        }

        #[test]
        fn an_end_that_was_cut_off_is_found_by_an_anchor(left in 0..LINES, at in 0..LINES) {
            let lines = SOUND.with(Clone::clone);
            let json: Value = serde_json::from_slice(&lines[at]).unwrap();
            let anchor: Anchor = format!("{}:{}", json["sequence"], json["hash"].as_str().unwrap()).parse().unwrap();
            let path: Arc<Path> = Path::new("log").into();
            let mut verifier = Verifier::new([anchor]);
            verifier.read(&path, Cursor::new(&lines[..left].concat()), &mut |_| {}).unwrap();
            let verified = verifier.finish(&path);
            prop_assert_eq!(verified.is_whole(), at < left);
            prop_assert!(at < left || faults(&verified) == [Fault::NoAnchor(anchor)]);
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(bytes: Vec<u8>) {
            let _ = found(&[bytes]);
        }
    }

    /// As whoever knows the format does it.
    fn rehashed(line: &str) -> Vec<u8> {
        let (members, _) = line.rsplit_once(",\"hash\":").unwrap();
        let hash = gate::log::Hash::of(format!("{members}}}").as_bytes());
        format!("{members},\"hash\":\"{hash}\"}}\n").into_bytes()
    }
}

#[test]
fn an_end_that_was_cut_off_is_found_by_the_head_beside_the_log() {
    let (_folder, path) = written(5);
    let bytes = fs::read(&path).unwrap();
    let end = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    fs::write(&path, &bytes[..end]).unwrap();
    assert_eq!(faults(&verify(&path)), [Fault::CutOff { from: 6, to: 6 }]);

    // The next record does not hide it.
    append(&Log::open(&path).unwrap(), "after");
    assert_eq!(faults(&verify(&path)), [Fault::Missing { from: 6, to: 6 }]);
    let last = notes(&path).pop().unwrap();
    assert_eq!((&last["note"]["kind"], &last["note"]["from"]), (&"missing".into(), &6.into()));
}

#[test]
fn a_line_that_a_writer_left_half_done_is_kept_aside_and_told() {
    let (folder, path) = written(3);
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"sequence":5,"previous":"12"#).unwrap();
    assert_eq!(faults(&verify(&path)), [Fault::Unfinished]);

    append(&Log::open(&path).unwrap(), "after");
    assert_eq!(asked(&path), ["request 0", "request 1", "request 2", "after"]);
    assert!(verify(&path).is_whole());
    let torn = fs::read_to_string(folder.path().join("decisions.log.torn")).unwrap();
    assert_eq!(torn, "{\"sequence\":5,\"previous\":\"12\n");
    let note = notes(&path).pop().unwrap();
    assert_eq!((&note["note"]["kind"], &note["note"]["bytes"]), (&"torn".into(), &28.into()));
}

#[test]
fn a_crash_may_end_anywhere_within_a_line_and_every_record_before_it_stays() {
    let (_folder, path) = written(4);
    let bytes = fs::read(&path).unwrap();
    let begin = bytes[..bytes.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    for end in begin..bytes.len() {
        let (_folder, copy) = folder();
        fs::write(&copy, &bytes[..end]).unwrap();
        fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        append(&Log::open(&copy).unwrap(), "after");
        assert!(verify(&copy).is_whole(), "{end}");
        assert_eq!(asked(&copy), ["request 0", "request 1", "request 2", "after"]);
    }
}

#[test]
fn a_first_line_that_was_left_half_done_is_kept_aside_too() {
    let (folder, path) = folder();
    fs::write(&path, "{\"seq").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    append(&Log::open(&path).unwrap(), "after");
    let kinds: Vec<_> = notes(&path).iter().map(|note| note["note"]["kind"].clone()).collect();
    assert_eq!(kinds, ["began", "torn"]);
    assert!(folder.path().join("decisions.log.torn").exists());
    assert!(verify(&path).is_whole());
}

#[test]
fn a_file_that_is_no_log_is_left_as_it_is() {
    let (_folder, path) = folder();
    for text in ["127.0.0.1 localhost\n", "no line feed", "\0\0\0\0\0\0\0\0"] {
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(Log::open(&path), Err(LogError::NotALog { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}

#[test]
fn only_its_owner_may_read_what_is_made() {
    let (folder, path) = written(1);
    for name in ["decisions.log", "decisions.log.head"] {
        assert_eq!(fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777, 0o600, "{name}");
    }
    assert!(verify(&path).is_whole());
}

#[test]
fn what_others_could_write_to_or_be_something_else_is_refused() {
    let (folder, path) = written(1);
    let at = |name: &str| folder.path().join(name);
    let error = |path: PathBuf| Log::open(path).map(|_| ()).unwrap_err();

    std::os::unix::fs::symlink(&path, at("link")).unwrap();
    assert!(matches!(error(at("link")), LogError::NotAFile { what: "a symbolic link", .. }));
    assert!(matches!(error(folder.path().to_owned()), LogError::NotAFile { what: "a folder", .. }));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(matches!(error(at("socket")), LogError::NotAFile { .. }));
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    assert!(matches!(error(at("pipe")), LogError::NotAFile { .. }));
    assert!(matches!(error("/dev/null".into()), LogError::NotAFile { .. }));

    fs::hard_link(&path, at("other")).unwrap();
    assert!(matches!(error(path.clone()), LogError::Linked { links: 2, .. }));
    fs::remove_file(at("other")).unwrap();
    for mode in [0o620, 0o602, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert!(matches!(error(path.clone()), LogError::Writable { mode: m, .. } if m == mode));
    }
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    append(&Log::open(&path).unwrap(), "others may read it");

    // A head that is a link to another file is not written through.
    fs::remove_file(at("decisions.log.head")).unwrap();
    fs::write(at("victim"), "text").unwrap();
    std::os::unix::fs::symlink(at("victim"), at("decisions.log.head")).unwrap();
    assert!(matches!(error(path.clone()), LogError::NotAFile { .. }));
    assert_eq!(fs::read_to_string(at("victim")).unwrap(), "text");

    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(error(path), LogError::Folder { mode: 0o777, .. }));
}

#[test]
fn a_file_of_another_user_is_refused() {
    let (_folder, path) = written(1);
    if std::os::unix::fs::chown(&path, Some(12345), None).is_err() {
        eprintln!("skipped: only root may give a file away");
        return;
    }
    assert!(matches!(Log::open(&path), Err(LogError::Owner { owner: 12345, .. })));
}

#[test]
fn the_chain_goes_on_when_the_file_is_renamed_under_its_writers() {
    let (_folder, path) = folder();
    let (one, other) = (Log::open(&path).unwrap(), Log::open(&path).unwrap());
    append(&one, "1");
    append(&other, "2");
    fs::rename(&path, path.with_extension("log.1")).unwrap();
    append(&other, "3");
    append(&one, "4");
    append(&Log::open(&path).unwrap(), "5");
    assert_eq!(asked(&path), ["1", "2", "3", "4", "5"]);
    assert!(verify(&path).is_whole());
    assert_eq!(lines(&path)[0]["note"]["kind"], "continued");

    // Without the older file what is there is whole; with a gap it is not.
    let mut alone = Verifier::new([]);
    alone.file(&path, &mut |_| {}).unwrap();
    assert!(alone.finish(&path).is_whole());
    fs::remove_file(&path).unwrap();
    append(&one, "6");
    assert_eq!(faults(&verify(&path)), [Fault::Missing { from: 4, to: 7 }]);
}

#[test]
fn the_log_is_rotated_by_size_and_what_is_removed_is_told() {
    let (_folder, path) = folder();
    let rotation = Rotation { size: 4096, keep: NonZero::new(2).unwrap() };
    let log = Log::open(&path).unwrap().rotated(rotation);
    for number in 0..60 {
        append(&log, &number.to_string());
        assert!(fs::metadata(&path).unwrap().len() <= 4096);
    }
    assert_eq!(files(&path).len(), 3);
    assert!(verify(&path).is_whole());
    let kept = asked(&path);
    assert_eq!(kept.last().map(String::as_str), Some("59"));
    let first = lines(&files(&path)[0])[0].clone();
    let removed = notes(&path).last().unwrap()["note"]["removedTo"].as_u64().unwrap();
    assert!(removed > 0 && first["sequence"].as_u64().unwrap() > removed);
}

#[test]
fn a_record_is_written_however_large_and_says_what_was_left_out() {
    let (_folder, path) = folder();
    let log = Log::open(&path).unwrap();
    let who = Who { groups: vec!["g".repeat(200).into(); 20_000], ..Who::default() };
    let mut large = Ruling::deny("no".repeat(2 << 20));
    log.append(&record("long message", &Who::default(), &large)).unwrap();
    log.append(&record("many groups", &who, &Ruling::deny("no"))).unwrap();
    let text = "services:\n  web:\n    image: nginx\n    privileged: true\n";
    let world = sources::gather::text(text.as_bytes(), "compose.yaml".as_ref(), &sources::Context::assumed());
    large = Ruling::of(&world, &gate::InForce::default(), policy::parse_date("2026-11-23").unwrap());
    while large.subjects.len() < 200 {
        large.subjects.extend(large.subjects.clone());
    }
    log.append(&record("many subjects", &Who::default(), &large)).unwrap();

    assert!(verify(&path).is_whole());
    let lines = lines(&path);
    let what: Vec<_> = lines[1..].iter().map(|line| line["leftOut"]["what"].as_str().unwrap()).collect();
    assert_eq!(what, ["texts and lists", "texts and lists", "evidence"]);
    assert_eq!(lines[3]["subjects"].as_array().unwrap().len(), large.subjects.len());
    assert_eq!(lines[3]["subjects"][0]["decision"]["outcome"], "deny");
    assert!(lines.iter().all(|line| line.to_string().len() < LONGEST));
}

#[test]
fn a_log_that_another_program_wrote_by_the_documented_format_is_whole() {
    // Made with Python's hashlib.
    let seeds = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/decision_log"));
    for (name, wrong) in [("sound", 0), ("continued", 0), ("reordered", 2), ("unfinished", 1)] {
        let mut verifier = Verifier::new([]);
        verifier.file(&seeds.join(name), &mut |_| {}).unwrap();
        let verified = verifier.finish(seeds);
        assert_eq!(verified.faults, wrong, "{name}: {:?}", verified.wrong);
    }
}

#[test]
fn every_line_follows_the_published_schema() {
    let (_folder, path) = folder();
    let log = Log::open(&path).unwrap().rotated(Rotation { size: 2000, keep: NonZero::new(1).unwrap() });
    let who =
        Who { user: Some("ann".into()), groups: vec!["g".into()], uid: Some(0), gid: Some(0), pid: Some(7) };
    let text = "services:\n  web:\n    image: nginx\n    privileged: true # stockade: waive REST\n";
    let text = text.replace("REST", r#"privileged-devices until=2026-12-31 owner=ann reason="a test""#);
    let world = sources::gather::text(text.as_bytes(), "compose.yaml".as_ref(), &sources::Context::assumed());
    let policy = policy::Policy::parse(
        "version: 1\nwaivers-in-place: everywhere\n",
        &"policy.yaml".into(),
        &policy::NoFiles,
    )
    .unwrap();
    let (waivers, _) = policy::Waivers::in_place(&text, &"compose.yaml".into());
    let rules = gate::InForce { policy, waivers };
    let judged = Ruling::of(&world, &rules, policy::parse_date("2026-11-23").unwrap());
    log.append(&Record { policy: Some("policy.yaml"), ..record("create", &who, &judged) }).unwrap();
    for _ in 0..3 {
        log.append(&record("create", &who, &Ruling::deny("x".repeat(2 << 20)))).unwrap();
    }
    fs::OpenOptions::new().append(true).open(&path).unwrap().write_all(b"{").unwrap();
    append(&log, "after");
    let head = path.with_extension("log.head");
    let ahead = fs::read_to_string(&head).unwrap().replacen("000", "009", 1);
    fs::write(head, ahead).unwrap();
    append(&log, "after");

    let schema = |name: &str| {
        let path = format!("{}/../../schemas/stockade.{name}-1.schema.json", env!("CARGO_MANIFEST_DIR"));
        let schema: Value = serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap();
        jsonschema::draft202012::meta::validate(&schema).unwrap();
        jsonschema::draft202012::new(&schema).unwrap()
    };
    let (line, evidence) = (schema("decision"), schema("confinement"));
    let errors = |schema: &jsonschema::Validator, json: &Value| {
        schema
            .iter_errors(json)
            .map(|error| format!("{}: {:.300}", error.instance_path(), error.to_string()))
            .collect::<Vec<_>>()
    };
    let mut kinds = std::collections::BTreeSet::new();
    for json in files(&path).iter().flat_map(|file| lines(file)) {
        assert_eq!(errors(&line, &json), Vec::<String>::new());
        for subject in json["subjects"].as_array().into_iter().flatten() {
            assert_eq!(errors(&evidence, &subject["judged"]), Vec::<String>::new());
        }
        kinds.insert(json["note"]["kind"].as_str().unwrap_or("decision").to_owned());
        let other = json.as_object().unwrap().keys().next().unwrap().clone();
        let mut without = json.clone();
        without.as_object_mut().unwrap().remove(&other);
        assert!(!line.is_valid(&without), "without {other}");
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["continued", "decision", "missing", "torn"]);
}

#[test]
fn threads_that_share_a_log_leave_a_whole_chain() {
    let (_folder, path) = folder();
    let log = Log::open(&path).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let log = &log;
            scope.spawn(move || (0..100).for_each(|number| append(log, &format!("{thread} {number}"))));
        }
    });
    assert_every_record_once(&path, 8, 100);
}

fn assert_every_record_once(path: &Path, writers: usize, each: usize) {
    let verified = verify(path);
    assert!(verified.is_whole(), "{:?}", verified.wrong);
    let mut all = asked(path);
    for writer in 0..writers {
        let prefix = format!("{writer} ");
        let own: Vec<_> = all.iter().filter(|asked| asked.starts_with(&prefix)).collect();
        let expected: Vec<_> = (0..each).map(|number| format!("{prefix}{number}")).collect();
        assert_eq!(own, expected.iter().collect::<Vec<_>>(), "in the order in which they were written");
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), writers * each);
}

/// Not a test by itself: what the processes of the tests below do.
#[test]
fn a_process_that_writes() {
    let Some(path) = std::env::var_os("STOCKADE_TEST_LOG") else { return };
    let number = |name: &str| std::env::var(name).unwrap().parse::<usize>().unwrap();
    let (writer, count) = (number("STOCKADE_TEST_WRITER"), number("STOCKADE_TEST_COUNT"));
    let mut log = Log::open(path).unwrap();
    if std::env::var_os("STOCKADE_TEST_ROTATE").is_some() {
        log = log.rotated(Rotation { size: 20_000, keep: NonZero::new(1000).unwrap() });
    }
    for number in 0..count {
        append(&log, &format!("{writer} {number}"));
        // By now it is in the file: whoever reads this may count on it.
        println!("written {number}");
    }
}

fn writer(path: &Path, writer: usize, count: usize) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "a_process_that_writes", "--nocapture", "--test-threads=1"])
        .env("STOCKADE_TEST_LOG", path)
        .env("STOCKADE_TEST_WRITER", writer.to_string())
        .env("STOCKADE_TEST_COUNT", count.to_string())
        .stdout(Stdio::null());
    command
}

fn wait(children: Vec<Child>) {
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn processes_that_write_at_once_leave_a_whole_chain() {
    let (_folder, path) = folder();
    wait((0..6).map(|number| writer(&path, number, 100).spawn().unwrap()).collect());
    assert_every_record_once(&path, 6, 100);
}

#[test]
fn processes_that_rotate_and_are_rotated_under_leave_a_whole_chain() {
    let (_folder, path) = folder();
    let start = |number| writer(&path, number, 150).env("STOCKADE_TEST_ROTATE", "1").spawn().unwrap();
    wait((0..4).map(start).collect());
    assert!(files(&path).len() > 3);
    assert_every_record_once(&path, 4, 150);
}

#[test]
fn a_log_that_somebody_else_renames_meanwhile_loses_no_record() {
    let (folder, path) = folder();
    let mut children: Vec<Child> = (0..4).map(|number| writer(&path, number, 200).spawn().unwrap()).collect();
    let mut moved = 0;
    let begin = Instant::now();
    while children.iter_mut().any(|child| child.try_wait().unwrap().is_none()) {
        assert!(begin.elapsed() < Duration::from_secs(60));
        std::thread::sleep(Duration::from_millis(3));
        // As logrotate(8) does it: no lock, and no signal afterwards.
        if fs::rename(&path, folder.path().join(format!("moved.{moved}"))).is_ok() {
            moved += 1;
        }
    }
    wait(children);
    for number in 0..moved {
        fs::rename(
            folder.path().join(format!("moved.{number}")),
            folder.path().join(format!("decisions.log.{}", moved - number)),
        )
        .unwrap();
    }
    if !path.exists() {
        append(&Log::open(&path).unwrap(), "the end");
        let verified = verify(&path);
        assert!(verified.is_whole(), "{:?}", verified.wrong);
        return;
    }
    assert_every_record_once(&path, 4, 200);
}

#[test]
fn writers_that_are_killed_lose_nothing_that_was_said_to_be_written() {
    let (_folder, path) = folder();
    let mut said = Vec::new();
    for round in 0..12 {
        let mut child = writer(&path, round, 1_000_000).stdout(Stdio::piped()).spawn().unwrap();
        let beside = writer(&path, 100 + round, 5).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut written = 0;
        let mut line = String::new();
        while written < 5 + round * 3 {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0);
            written += usize::from(line.contains("written"));
        }
        child.kill().unwrap();
        child.wait().unwrap();
        wait(vec![beside]);
        // What was said until the signal came.
        while out.read_line(&mut line).unwrap_or(0) > 0 {}
        let last = line
            .trim_end()
            .rsplit_once("written ")
            .map_or(written - 1, |(_, number)| number.parse().unwrap_or(written - 1));
        said.extend((0..=last.max(written - 1)).map(|number| format!("{round} {number}")));
    }
    append(&Log::open(&path).unwrap(), "the end");
    let verified = verify(&path);
    assert!(verified.is_whole(), "{:?}", verified.wrong);
    let all: std::collections::BTreeSet<String> = asked(&path).into_iter().collect();
    let lost: Vec<_> = said.iter().filter(|asked| !all.contains(*asked)).collect();
    assert!(lost.is_empty(), "{lost:?}");
}

#[test]
fn a_lock_that_is_held_too_long_is_an_error_that_says_so() {
    let (folder, path) = written(1);
    let head = fs::File::open(folder.path().join("decisions.log.head")).unwrap();
    rustix::fs::flock(&head, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let begin = Instant::now();
    let error = try_append(&Log::open(&path).unwrap(), "waits").unwrap_err();
    assert!(matches!(error, LogError::Busy { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(15));
    drop(head);
    append(&Log::open(&path).unwrap(), "goes on");
    assert!(verify(&path).is_whole());
}

#[test]
fn a_full_disk_is_an_error_that_says_so_and_half_a_line_is_taken_back() {
    if std::env::var_os("STOCKADE_TEST_FULL").is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().display().to_string();
    // A disk of its own, in a mount namespace of its own: it is gone with the process.
    let script = format!("mount -t tmpfs -o size=64k,mode=0700 none {at} && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["--mount", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "a_process_that_fills_the_disk", "--nocapture"])
        .env("STOCKADE_TEST_FULL", &at)
        .output();
    match output {
        Ok(output) if output.status.success() => {
            assert!(String::from_utf8_lossy(&output.stdout).contains("it was full"));
        }
        Ok(output) if String::from_utf8_lossy(&output.stdout).contains("panicked") => {
            panic!("{}", String::from_utf8_lossy(&output.stdout));
        }
        other => eprintln!("skipped: no file system can be mounted here: {other:?}"),
    }
}

/// Not a test by itself: see above.
#[test]
fn a_process_that_fills_the_disk() {
    let Some(folder) = std::env::var_os("STOCKADE_TEST_FULL") else { return };
    let path = Path::new(&folder).join("log");
    let log = Log::open(&path).unwrap().synced(Sync::Always);
    let long = "x".repeat(3000);
    let error = (0..1000).find_map(|_| try_append(&log, &long).err()).unwrap();
    assert!(matches!(error, LogError::Full { .. }), "{error}");
    assert!(error.to_string().contains("no space left"), "{error}");
    let verified = verify(&path);
    assert!(verified.is_whole(), "{:?}", verified.wrong);

    let count = lines(&path).len();
    fs::rename(&path, Path::new(&folder).join("log.1")).unwrap();
    assert!(try_append(&log, &long).is_err());
    fs::remove_file(Path::new(&folder).join("log.1")).unwrap();
    append(&log, "there is space again");
    let sequence = lines(&path).last().unwrap()["sequence"].as_u64().unwrap();
    assert!(sequence as usize > count);
    println!("it was full");
}
