//! `stockade watch` as it is started by hand, on this kernel, with a container of this test's own.
#![cfg(feature = "sensor")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DOCKER: [&str; 3] = ["docker", "-H", "unix:///run/docker.sock"];

/// Ended, and not left behind, also where an assertion fails.
struct Watcher(Child);

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

fn wait_for(mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + Duration::from_secs(30);
    while Instant::now() < end {
        if done() {
            return true;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Where Kubernetes puts a token; here it is a file that the test made.
const SECRETS: &str = "/run/secrets/kubernetes.io/serviceaccount";

/// The sensor tells opens of ordinary files only where somebody asks for them, and without rules nobody did.
#[test]
fn without_rules_an_attempt_that_is_read_from_a_bulk_kind_of_event_is_told() {
    if std::env::var_os("STOCKADE_ENGINES").is_none() {
        println!("skipped: no engines are set up (scripts/engines)");
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (ready, alerts, log) =
        (folder.path().join("ready"), folder.path().join("alerts"), folder.path().join("log"));
    let watcher = Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["watch", "--no-store", "--format", "json", "--threshold", "info", "--ready-file"])
        .arg(&ready)
        .stdin(Stdio::null())
        .stdout(fs::File::create(&alerts).expect("a file"))
        .stderr(fs::File::create(&log).expect("a file"))
        .spawn()
        .expect("it starts");
    let mut watcher = Watcher(watcher);
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
    let started = wait_for(|| ready.exists() || watcher.0.try_wait().is_ok_and(|ended| ended.is_some()));
    assert!(started, "{}", read(&log));
    if !ready.exists() {
        println!("skipped: the sensor does not start here: {}", read(&log));
        return;
    }
    let made = Command::new(DOCKER[0])
        .args(&DOCKER[1..])
        .args(["run", "--rm", "--network", "none", "--tmpfs", SECRETS, "stockade-test-busybox", "sh", "-c"])
        .arg(format!("echo made-up > {SECRETS}/token && cat {SECRETS}/token && sleep 1"))
        .output()
        .expect("docker runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let told = wait_for(|| read(&alerts).contains("\"detector\":\"service-account\""));
    assert!(told, "{}\n{}", read(&alerts), read(&log));
}
