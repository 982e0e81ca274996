//! `stockade harden` on weak files of every kind: written once, in `cases/`, with comments everywhere, and hardened
//! here at several depths. What is checked of each run is in [`check`], and does not use what the program checks
//! itself with. A case is a file, or a folder whose files belong together; `arguments` in it names what is hardened.

mod check;
mod corpora;
mod hostile;
mod outcome;
mod values;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use check::{Case, Way};

/// A folder that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("stockade-weak-{}-{number}-{name}", std::process::id());
        // Relative host paths lead here: no link on the way, and nothing that a technique knows.
        let folder = fs::canonicalize(std::env::temp_dir()).unwrap().join(name);
        fs::create_dir_all(&folder).unwrap();
        Folder(folder)
    }
    fn copy_of(from: &Path) -> Folder {
        let folder = Folder::new(&from.file_name().unwrap().to_string_lossy());
        copy(from, &folder.0);
        folder
    }
    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A file into a folder, or what is in one folder into another.
fn copy(from: &Path, to: &Path) {
    if from.is_file() {
        // Whatever mode the original has.
        fs::write(to.join(from.file_name().unwrap()), fs::read(from).unwrap()).unwrap();
        return;
    }
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = if path.is_dir() { to.join(path.file_name().unwrap()) } else { to.to_path_buf() };
        fs::create_dir_all(&to).unwrap();
        copy(&path, &to);
    }
}

/// Every file below a folder with its bytes, by the path from there.
fn files_in(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let name = path.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

fn stockade(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(arguments)
        .current_dir(folder)
        .env_clear()
        .envs(std::env::vars_os().filter(|(name, _)| matches!(name.to_str(), Some("HOME" | "PATH"))))
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// All cases of a kind at all depths and levels, and also where root must stay, which asks for more of the editor.
fn all(kind: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weak/cases").join(kind);
    let mut cases: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|e| e.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    let mut faults = Vec::new();
    for case in cases {
        let case = Case::new(&case);
        for way in Way::all(case.has_daemon()) {
            faults.extend(case.check(&way));
        }
    }
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn weak_compose_files_reach_the_depth_and_keep_the_rest() {
    all("compose");
}

#[test]
fn weak_manifests_reach_the_depth_and_keep_the_rest() {
    all("kubernetes");
}

#[test]
fn weak_command_lines_reach_the_depth_and_keep_the_rest() {
    all("run");
}

#[test]
fn weak_units_reach_the_depth_and_keep_the_rest() {
    all("quadlet");
}

#[test]
fn weak_runtime_configurations_reach_the_depth_and_keep_the_rest() {
    all("oci");
}

#[test]
fn weak_engine_configurations_reach_the_depth_or_say_why_not() {
    all("daemon");
}

/// What builds an image has to be built and tried: its change is shown, and a person takes it over.
#[test]
fn a_dockerfile_gets_a_suggestion_and_is_not_written() {
    let folder = Folder::copy_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/weak/cases/dockerfile"));
    let before = files_in(folder.path());
    let shown = stockade(folder.path(), &["harden", "--depth", "2", "--level", "recommended", "Dockerfile"]);
    assert!(text(&shown.stdout).contains("+++ b/Dockerfile"), "{}", text(&shown.stdout));
    let written = stockade(
        folder.path(),
        &["harden", "--depth", "2", "--level", "recommended", "--write", "Dockerfile"],
    );
    assert_eq!(written.status.code(), Some(0), "{}", text(&written.stderr));
    assert_eq!(files_in(folder.path()), before);
}
