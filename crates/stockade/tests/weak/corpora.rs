//! The same over files that others wrote, where they are there: what is open becomes held, or is said to need a
//! person, and why.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde_json::Value;

use crate::outcome::{Said, said};
use crate::{Folder, files_in, stockade, text, values};

fn corpus(name: &str) -> Option<PathBuf> {
    let root = std::env::var_os("STOCKADE_CORPORA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")),
        PathBuf::from,
    );
    let path = root.join(name);
    if !path.is_dir() {
        eprintln!("{} is absent: nothing is checked", path.display());
        return None;
    }
    Some(path)
}

/// How often what came out, in words.
type Counts = BTreeMap<&'static str, usize>;

/// Hardens copies of all files, several at a time, and tells what came of them.
fn harden_all(name: &str, ways: &[&[&str]]) {
    let Some(folder) = corpus(name) else { return };
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for way in ways {
        let counts = Mutex::new(Counts::new());
        let faults = Mutex::new(Vec::new());
        let next = Mutex::new(files.iter());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    loop {
                        let Some(file) = next.lock().unwrap().next() else { return };
                        let mut found = Vec::new();
                        let one = harden_one(file, way, &mut found);
                        let mut counts = counts.lock().unwrap();
                        one.into_iter().for_each(|(word, n)| *counts.entry(word).or_default() += n);
                        let name = file.file_name().unwrap().to_string_lossy();
                        faults.lock().unwrap().extend(found.into_iter().map(|f| format!("{name}: {f}")));
                    }
                });
            }
        });
        let counts = counts.into_inner().unwrap();
        println!("{name} {way:?}: {counts:?}");
        let faults = faults.into_inner().unwrap();
        assert!(faults.is_empty(), "{name} {way:?}: {} faults:\n{}", faults.len(), faults.join("\n"));
        assert!(counts.get("files").is_some_and(|n| *n > 30));
    }
}

fn harden_one(file: &Path, way: &[&str], faults: &mut Vec<String>) -> Counts {
    let mut counts = Counts::from([("files", 1)]);
    let mut count = |word: &'static str| *counts.entry(word).or_default() += 1;
    let folder = Folder::copy_of(file);
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    let before = files_in(folder.path());
    let call = |verb: &str, more: &[&str]| {
        let mut arguments = vec![verb];
        arguments.extend(more);
        if verb == "harden" {
            arguments.extend(way);
        }
        arguments.push(&name);
        stockade(folder.path(), &arguments)
    };
    let written = call("harden", &["--write", "--format", "json"]);
    let (subjects, json) = match said(&written.stdout) {
        Ok(said) => said,
        Err(why) => {
            faults.push(format!("{why}: {}", text(&written.stderr)));
            return counts;
        }
    };
    let after = files_in(folder.path());
    let has_errors = json["errors"].as_array().is_some_and(|errors| !errors.is_empty());
    if has_errors {
        count("files with something unreadable");
        if written.status.code() != Some(2) {
            faults.push(format!("exits {:?} with errors", written.status.code()));
        }
    }
    if after != before {
        count("files written");
        other_parser(&before, &after, faults);
        if stockade(folder.path(), &["harden", "--check", &name]).stdout.is_empty() {
            faults.push("nothing is said".to_owned());
        }
        let again = call("harden", &["--check", "--format", "json"]);
        match said(&again.stdout) {
            Ok((_, json)) if json["files"] == Value::Array(Vec::new()) => {}
            Ok((_, json)) => faults.push(format!("a second run changes more: {}", json["files"])),
            Err(why) => faults.push(why),
        }
    }
    let audit = call("audit", &["--format", "json"]);
    let Ok(audit) = serde_json::from_slice::<Value>(&audit.stdout) else {
        faults.push(format!("no audit came out: {}", text(&audit.stderr)));
        return counts;
    };
    for said in &subjects {
        let open = |subject: &&Value| subject["id"] == said.id.as_str();
        let now = audit["subjects"].as_array().into_iter().flatten().find(open);
        let held = now.is_some_and(|s| s["depth"]["min"].as_u64().unwrap_or(u64::MAX) > 0);
        count("subjects");
        if !said.is_open {
            if now.is_some_and(|s| s["depth"]["max"] == 0) {
                faults.push(format!("{} was not open, and is", said.id));
            }
            continue;
        }
        count("open");
        judge(said, held, &mut count, faults);
    }
    counts
}

fn judge(said: &Said, held: bool, count: &mut dyn FnMut(&'static str), faults: &mut Vec<String>) {
    let has_reason = said.reason.as_ref().is_some_and(|reason| reason.len() > 10);
    match (&*said.state, held) {
        ("changed" | "sound", true) => count("closed"),
        ("refused", false) if has_reason => count("refused with a reason"),
        ("left", false) if has_reason => count("left with a reason"),
        // Closed, and something else is left below the depth.
        ("left", true) => count("closed"),
        (state, held) => faults.push(format!("{}: {state}, held: {held}, {:?}", said.id, said.reason)),
    }
    if let Some(reason) = said.reason.as_ref().filter(|_| !held) {
        eprintln!("  {}: {reason}", said.id);
    }
}

/// Every edited file that another parser read before, it reads now.
fn other_parser(before: &[(String, Vec<u8>)], after: &[(String, Vec<u8>)], faults: &mut Vec<String>) {
    for ((path, was), (_, is)) in before.iter().zip(after).filter(|(was, is)| was != is) {
        let was = values::parse(path, was);
        if let (Some(Ok(_)), Some(Err(why))) = (&was, values::parse(path, is)) {
            faults.push(format!("another parser does not read it any more: {why}\n{}", text(is)));
        }
    }
}

#[test]
fn open_compose_files_of_others_become_held_or_are_left_with_a_reason() {
    harden_all("compose", &[&["--depth", "1"], &["--depth", "2", "--level", "recommended"]]);
}

#[test]
fn open_manifests_of_others_become_held_or_are_left_with_a_reason() {
    harden_all("kubernetes", &[&["--depth", "1"], &["--depth", "2", "--level", "recommended"]]);
}

/// An image is not asked for a depth, and what is suggested for it is not written.
#[test]
fn dockerfiles_of_others_are_not_written() {
    let Some(corpus) = corpus("dockerfiles") else { return };
    let folder = Folder::copy_of(&corpus);
    let before = files_in(folder.path());
    let written =
        stockade(folder.path(), &["harden", "--write", "--level", "recommended", "--format", "json", "."]);
    let (subjects, json) = said(&written.stdout).unwrap();
    let suggested = json["files"].as_array().map_or(0, Vec::len);
    let errors = json["errors"].as_array().map_or(0, Vec::len);
    println!("dockerfiles: {} read, {suggested} with a suggestion, {errors} with errors", subjects.len());
    assert!(subjects.len() > 200, "{}", subjects.len());
    assert!(files_in(folder.path()) == before);
}
