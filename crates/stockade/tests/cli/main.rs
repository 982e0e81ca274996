//! The binary from outside: files and arguments in; report, messages and exit code out.

mod compose;
mod governance;
mod hostile;
mod remedies;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A folder of files that is gone after the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &str)]) -> Folder {
        let folder = std::env::temp_dir().join(format!("stockade-{}-{name}", std::process::id()));
        for (file, text) in files {
            let path = folder.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Folder(folder)
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        audit(&self.0, arguments)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn audit(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stockade"))
        .arg("audit")
        .args(arguments)
        .current_dir(folder)
        .env_remove("CLICOLOR_FORCE")
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The verdict on each subject by its name, and what is not judged.
fn verdicts(output: &Output) -> (Vec<(String, String, Vec<String>)>, usize) {
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let of = |subject: &serde_json::Value| {
        let steps =
            subject["paths"].as_array().unwrap().iter().flat_map(|p| p["techniques"].as_array().unwrap());
        (word(&subject["name"]), word(&subject["verdict"]), steps.map(word).collect())
    };
    let subjects = json["subjects"].as_array().unwrap().iter().map(of).collect();
    (subjects, json["errors"].as_array().unwrap().len())
}

/// What the subject of this name is, judged from these files: the first is the target.
#[track_caller]
fn expect(files: &[(&str, &str)], name: &str, verdict: &str, technique: &str) {
    static NUMBER: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = Folder::new(&format!("verdict-{number}"), files);
    let output = folder.audit(&["--format", "json", files[0].0]);
    let (subjects, _) = verdicts(&output);
    let Some((_, found, techniques)) = subjects.iter().find(|(n, _, _)| n == name) else {
        panic!("no subject {name}: {subjects:?} {}", text(&output.stderr));
    };
    assert_eq!(found, verdict, "{name}: {techniques:?} {}", text(&output.stderr));
    assert!(technique.is_empty() || techniques.iter().any(|t| t == technique), "{name}: {techniques:?}");
}
