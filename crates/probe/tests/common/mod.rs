//! Runs the example `measure` in a confined process and reads what it printed.
#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use probe::Measurement;

/// A directory that every uid can enter, with the program in it; removed at the end.
pub(crate) struct Room {
    pub(crate) path: PathBuf,
}

impl Room {
    pub(crate) fn new(name: &str) -> Room {
        let path = std::env::temp_dir().join(format!("probe-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let room = Room { path };
        // By a process of its own: while this one held the file open for write, a child that another test
        // forks would hold it too, and to start the program would fail with ETXTBSY.
        let copied = Command::new("install").args(["-m", "755"]).arg(example()).arg(room.program()).status();
        assert!(copied.unwrap().success());
        room
    }
    pub(crate) fn program(&self) -> PathBuf {
        self.path.join("measure")
    }
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(self.program());
        command.current_dir("/");
        command
    }
    /// The program run by another one: `unshare -U`, `setpriv --reuid 1`.
    pub(crate) fn under(&self, words: &[&str]) -> Command {
        let (program, arguments) = words.split_first().unwrap();
        let mut command = Command::new(program);
        command.args(arguments).arg(self.program()).current_dir("/");
        command
    }
    /// The program after some lines of shell in a mount namespace of its own.
    pub(crate) fn after(&self, script: &str) -> Command {
        let mut command = Command::new("unshare");
        command.args(["-m", "--propagation", "private", "sh", "-ec"]).current_dir("/");
        command.arg(format!("{script}\nexec {} \"$@\"", self.program().display())).arg("sh");
        command
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Cargo builds the examples with the tests, beside them.
fn example() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let example = test.parent().and_then(Path::parent).unwrap().join("examples/measure");
    assert!(example.exists(), "{} is missing: cargo build --examples", example.display());
    example
}

pub(crate) fn measure(command: &mut Command) -> Measurement {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

pub(crate) fn is_root() -> bool {
    fs::read_to_string("/proc/self/status").unwrap().lines().any(|l| l.starts_with("Uid:\t0\t0"))
}

/// Says why a test is skipped where this machine cannot run it.
pub(crate) fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}
