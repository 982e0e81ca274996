//! `stockade events` from outside: a store is made as `watch` makes it, and asked.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sensor::event::{ContainerKey, Lane};
use watch::alert::{Alert, Cause, Container, Exposure, Outcome, Severity};
use watch::store::{Blind, Now, Record, Settings, Store};

/// A store that is gone after the test.
struct Kept(tempfile::TempDir);

impl Kept {
    fn with(records: Vec<Record>) -> Kept {
        let kept = Kept(tempfile::tempdir().unwrap());
        let store = Store::open(Settings::at(kept.path())).unwrap();
        for record in records {
            store.keep(record);
        }
        assert_eq!(store.close(Duration::from_secs(20)), 0);
        kept
    }

    fn path(&self) -> std::path::PathBuf {
        self.0.path().join("events.db")
    }

    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        said(&command(&self.path(), arguments).output().unwrap())
    }
}

fn command(store: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(["events", "--store"]).arg(store).args(arguments).env("NO_COLOR", "1");
    command
}

fn said(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

fn alert(hours_ago: i64, container: &str, technique: &str, severity: Severity) -> Alert {
    let now = Now::read();
    Alert {
        id: 0,
        time: now.time - hours_ago * 3_600_000_000_000,
        since_boot: 1_000_000 - hours_ago as u64,
        cause: Cause::Attempt { technique: technique.into(), detector: "d".into(), attack: Vec::new() },
        severity,
        summary: format!("somebody tried {technique}"),
        outcome: Outcome::Done,
        exposure: Exposure::Open,
        container: Some(Container {
            key: ContainerKey(1),
            id: Some(format!("{container:0<8}{:0<56}", "")),
            name: Some(container.into()),
            image: None,
            image_digest: None,
            engine: None,
            pod: None,
            namespace: None,
            labels: Default::default(),
            privileged: None,
            started: None,
            cgroup_path: None,
            verdict: None,
        }),
        processes: Vec::new(),
        advice: vec!["stop it".into()],
        count: 1,
        event: None,
    }
}

fn three() -> Kept {
    let rule = Cause::Rule {
        name: "A rule".into(),
        priority: "warning".into(),
        tags: Vec::new(),
        output: "matched".into(),
        source_file: "r.yaml".into(),
    };
    Kept::with(vec![
        alert(48, "web", "mount-host", Severity::Critical).into(),
        alert(3, "db", "engine-api", Severity::Low).into(),
        Alert { cause: rule, ..alert(1, "cache", "", Severity::Medium) }.into(),
    ])
}

/// The techniques and rules of the lines, in order.
fn names(json: &str) -> Vec<String> {
    json.lines()
        .map(|line| {
            let json: serde_json::Value = serde_json::from_str(line).unwrap();
            let cause = &json["cause"];
            cause["technique"].as_str().or(cause["name"].as_str()).unwrap().to_owned()
        })
        .collect()
}

#[test]
fn each_filter_shows_what_it_says_and_the_exit_code_is_by_the_threshold() {
    let kept = three();
    let all = ["mount-host", "engine-api", "A rule"];
    for (arguments, code, expected) in [
        (&[][..], 1, &all[..]),
        (&["--since", "2d 12h"], 1, &all),
        (&["--since", "5h"], 1, &all[1..]),
        (&["--until", "2h", "--since", "1w"], 1, &all[..2]),
        (&["--since", "5h", "--until", "2h"], 0, &all[1..2]),
        (&["--since", "5h", "--until", "2h", "--threshold", "low"], 1, &all[1..2]),
        (&["--since", "2020-01-01", "--until", "2020-01-01T00:00:00+01:00"], 2, &[]),
        (&["--until", "2020-01-01T00:00:00Z"], 0, &[]),
        (&["--container", "db"], 0, &all[1..2]),
        (&["--container", "cac"], 0, &[]),
        (&["--technique", "mount-host"], 1, &all[..1]),
        (&["--rule", "A rule"], 1, &all[2..]),
        (&["--severity", "medium"], 1, &["mount-host", "A rule"]),
        (&["--threshold", "critical"], 1, &all),
        (&["--threshold", "critical", "--since", "5h"], 0, &all[1..]),
        (&["--limit", "1"], 1, &all[2..]),
        (&["--limit", "1", "--until", "2h"], 1, &all[1..2]),
        (&["--id", "1"], 1, &all[..1]),
        (&["--kind", "trail,heartbeat"], 0, &[]),
    ] {
        let json = [arguments, &["--format", "json"]].concat();
        let (found_code, out, err) = kept.ask(&json);
        assert_eq!(found_code, code, "{arguments:?} {err}");
        assert_eq!(names(&out), expected, "{arguments:?}");
    }
}

#[test]
fn text_is_a_line_for_each_and_a_block_where_details_are_asked_for() {
    let kept = three();
    let (_, out, _) = kept.ask(&["--container", "db"]);
    let (_, line) = out.split_once(' ').unwrap();
    assert_eq!(
        line,
        "low: somebody tried engine-api; container db; this path is open for this container; the kernel let it happen \
         [engine-api]\n"
    );
    let (_, out, _) = kept.ask(&["--id", "1"]);
    assert!(
        out.starts_with("critical: somebody tried mount-host [mount-host]\n  --> container web"),
        "{out}"
    );
    assert!(out.contains("= do:       stop it"), "{out}");
}

#[test]
fn json_has_the_schema_and_the_boot() {
    let (_, out, _) = three().ask(&["--format", "json", "--limit", "1"]);
    let json: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(json["schema"], "stockade.alert/1");
    assert_eq!(json["boot"], watch::store::boot_id());
}

#[test]
fn a_view_with_a_blind_window_does_not_pass() {
    let now = Now::read();
    let blind = Blind {
        time: now.time,
        since_boot: now.since_boot,
        from: now.since_boot - 5,
        lane: Lane::Bulk,
        kind: "open".into(),
        container: None,
        lost: 12,
    };
    let kept = Kept::with(vec![Record::Blind(blind), alert(5, "db", "engine-api", Severity::Low).into()]);
    let (code, out, err) = kept.ask(&["--since", "1h"]);
    assert_eq!(code, 2);
    assert!(out.contains("blind: 12 open events of the bulk lane were lost"), "{out}");
    assert_eq!(err, "note: not all is here: the sensor lost 12 events in 1 blind windows\n");
    let (code, out, err) = kept.ask(&["--since", "1h", "--technique", "x"]);
    assert_eq!((code, out.as_str()), (2, ""), "it is told though alerts alone were asked for");
    assert!(err.contains("12 events"));
    assert_eq!(kept.ask(&["--since", "6h", "--until", "1h"]).0, 0);
}

#[test]
fn what_cannot_be_asked_or_read_is_told() {
    let kept = three();
    for (arguments, expected) in [
        (&["--since", "yesterday"][..], "--since yesterday: this is neither how long ago"),
        (&["--until=-3h"], "--until -3h: this is neither"),
        (&["--severity", "grave"], "invalid value 'grave'"),
        (&["--since", "1h", "--until", "2h"], "nothing lies between"),
    ] {
        let (code, _, err) = kept.ask(arguments);
        assert!(code == 2 && err.contains(expected), "{arguments:?} {code} {err}");
    }
    let (code, _, err) = said(&command(Path::new("/nowhere/events.db"), &[]).output().unwrap());
    assert!(code == 2 && err.contains("no event store here"), "{err}");
    std::fs::write(kept.path(), b"nonsense".repeat(1000)).unwrap();
    let (code, _, err) = kept.ask(&[]);
    assert!(code == 2 && err.contains("corrupt"), "{err}");
}

#[test]
fn a_record_that_cannot_be_read_is_told_and_the_rest_is_shown() {
    let kept = three();
    let connection = rusqlite::Connection::open(kept.path()).unwrap();
    connection.execute("UPDATE alerts SET body = '{' WHERE technique = 'engine-api'", []).unwrap();
    drop(connection);
    let (code, out, err) = kept.ask(&["--format", "json"]);
    assert_eq!((code, names(&out).len()), (2, 2));
    assert!(err.contains("error: record "), "{err}");
}

#[test]
fn what_is_new_follows_in_order_and_a_store_that_is_replaced_is_followed() {
    let kept = three();
    let mut child = command(&kept.path(), &["--follow", "--format", "json", "--limit", "1"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = || names(&lines.next().unwrap().unwrap()).remove(0);
    assert_eq!(next(), "A rule");
    let store = Store::open(Settings::at(kept.path())).unwrap();
    store.keep(alert(0, "web", "first", Severity::Low));
    assert_eq!(next(), "first");
    store.keep(alert(0, "web", "second", Severity::Low));
    store.keep(alert(0, "web", "third", Severity::Low));
    assert_eq!([next(), next()], ["second", "third"]);
    store.close(Duration::from_secs(20));
    std::fs::remove_file(kept.path()).unwrap();
    let store = Store::open(Settings::at(kept.path())).unwrap();
    store.keep(alert(0, "web", "anew", Severity::Low));
    assert_eq!(next(), "anew");
    drop(store);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_store_can_be_read_by_one_who_may_not_write_beside_it() {
    // For root no file is read-only; then this shows only that reading leaves the file as it is.
    let kept = three();
    let mut permissions = std::fs::metadata(kept.0.path()).unwrap().permissions();
    std::os::unix::fs::PermissionsExt::set_mode(&mut permissions, 0o500);
    std::fs::set_permissions(kept.0.path(), permissions).unwrap();
    let before = std::fs::read(kept.path()).unwrap();
    assert_eq!(kept.ask(&[]).0, 1);
    assert_eq!(std::fs::read(kept.path()).unwrap(), before);
}
