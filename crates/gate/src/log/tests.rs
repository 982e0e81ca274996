use std::fs;
use std::path::Path;
use std::time::Duration;

use super::*;
use crate::{Door, Ruling, Who};

fn record<'a>(asked: &'a str, who: &'a Who, ruling: &'a Ruling) -> Record<'a> {
    Record {
        schema: crate::record::SCHEMA,
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
    log.append(&record(asked, &Who::default(), &Ruling::allow())).expect("it is written");
}

fn lines(path: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).expect("it is there");
    text.lines().map(|line| serde_json::from_str(line).expect("it is JSON")).collect()
}

fn assert_chained(path: &Path) {
    let bytes = fs::read(path).expect("it is there");
    let mut last: Option<Link> = None;
    for line in bytes.strip_suffix(b"\n").expect("it ends").split(|byte| *byte == b'\n') {
        let line = Chained::parse(line).expect("it has the shape");
        assert!(line.is_sound());
        if let Some(last) = last {
            assert_eq!((line.sequence, line.previous), (last.sequence + 1, last.hash));
        }
        last = Some(line.link());
    }
}

#[test]
fn records_are_chained_in_the_order_in_which_they_came() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    let log = Log::open(&path).unwrap();
    append(&log, "one");
    append(&log, "two");
    drop(log);
    append(&Log::open(&path).unwrap(), "three");
    assert_chained(&path);
    let asked: Vec<_> = lines(&path).iter().map(|line| line["asked"].as_str().map(str::to_owned)).collect();
    assert_eq!(asked, [None, Some("one".into()), Some("two".into()), Some("three".into())]);
    assert_eq!(lines(&path)[0]["note"]["kind"], "began");
}
