//! The fields of every event of the real captures, compared with what sysdig 0.29 prints for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use rules::Value;
use watch::fields::View;
use watch::replay::Replay;

fn captures() -> Vec<PathBuf> {
    let corpora = std::env::var("STOCKADE_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora").into());
    let folder = Path::new(&corpora).join("captures");
    let Ok(entries) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: there is no {}", folder.display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

/// What sysdig prints for a format, a line an event; `None` where it is not installed.
fn sysdig(file: &Path, format: &str) -> Option<Vec<String>> {
    let output = Command::new("sysdig")
        .args(["-r".as_ref(), file.as_os_str(), "-p".as_ref(), format.as_ref()])
        .env("TZ", "UTC")
        .stderr(Stdio::null())
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: sysdig is not installed");
        return None;
    };
    assert!(output.status.success(), "sysdig cannot read {}", file.display());
    Some(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

/// As sysdig writes a value.
fn written(value: Option<Value<'_>>) -> String {
    match value {
        None => "<NA>".into(),
        Some(Value::Text(text)) => String::from_utf8_lossy(&text).into_owned(),
        Some(Value::Unsigned(number)) => number.to_string(),
        Some(Value::Signed(number)) => number.to_string(),
        Some(Value::Float(number)) => format!("{number:.2}"),
        Some(Value::Bool(flag)) => flag.to_string(),
        Some(Value::Address(address)) => address.to_string(),
        Some(Value::Network(network)) => network.address.to_string(),
        Some(Value::List(values)) => {
            values.into_iter().map(|value| written(Some(value))).collect::<Vec<_>>().join(",")
        }
    }
}

fn known(view: &View<'_>) -> bool {
    view.thread().is_some_and(|thread| !thread.placeholder)
}

#[test]
fn types_are_counted_as_sysdig_counts_them() {
    for file in captures() {
        let Some(lines) = sysdig(&file, "%evt.type") else { return };
        let mut expected: BTreeMap<String, u64> = BTreeMap::new();
        for line in lines {
            *expected.entry(line.replace("<unknown>", "unknown")).or_default() += 1;
        }
        let mut replay = Replay::open(&file).unwrap();
        replay.for_each(|_| true);
        let found: BTreeMap<String, u64> =
            replay.counts().by_type().into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
        assert_eq!(found, expected, "{}", file.display());
        assert!(replay.faults().is_empty() && replay.dropped() == Default::default());
    }
}

#[test]
fn fields_of_every_event_say_what_sysdig_says() {
    let fields = std::env::var("FIELDS").unwrap_or_default();
    let fields: Vec<&str> = fields.split_whitespace().collect();
    for file in captures() {
        for field in &fields {
            let Some(lines) = sysdig(&file, &format!("*%{field}")) else { return };
            let mut lines = lines.into_iter();
            let mut replay = Replay::open(&file).unwrap();
            let mut differ = BTreeMap::<(String, String, String), u64>::new();
            replay.for_each(|view| {
                let expected = lines.next().unwrap_or_default();
                let found = written(view.named(field));
                if found != expected {
                    let name = format!(
                        "{}{} {}",
                        if view.event().kind.enter { ">" } else { "<" },
                        view.event().name(),
                        known(view)
                    );
                    *differ.entry((name, expected, found)).or_default() += 1;
                }
                true
            });
            for ((name, expected, found), count) in differ {
                println!(
                    "{} {field} {name} x{count}: sysdig {expected:?} ours {found:?}",
                    file.file_name().unwrap().display()
                );
            }
        }
    }
}
