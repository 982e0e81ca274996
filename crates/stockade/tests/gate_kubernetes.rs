//! `stockade gate kubernetes` as a program: one review, and a webhook that is observed and told by signals.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::time::{Duration, Instant};

const LIMIT: Duration = Duration::from_secs(30);

fn stockade() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stockade"));
    command.args(["gate", "kubernetes"]);
    command
}

fn review(text: &str, more: &[&str]) -> Output {
    let mut child = stockade()
        .args(["--review", "-"])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

fn recorded() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/gate/review.json");
    fs::read_to_string(path).unwrap()
}

#[test]
fn one_review_ends_with_the_decision() {
    let refused = review(&recorded(), &[]);
    assert_eq!(refused.status.code(), Some(1));
    let answer: serde_json::Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(answer["response"]["allowed"], false);

    let sound = recorded().replace("/run/containerd/containerd.sock\"}}", "/var/lib/builder\"}}");
    assert_eq!(review(&sound, &[]).status.code(), Some(0));

    let no_review = review("{}", &[]);
    assert_eq!(no_review.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&no_review.stderr).contains("AdmissionReview"));
}

#[test]
fn a_broken_policy_is_told_and_nothing_is_decided() {
    let folder = tempfile::tempdir().unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, "version: 1\ndoors: {kubernetes: {roles: perhaps}}\n").unwrap();
    let output = review(&recorded(), &["--policy", policy.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("policy.yaml:2:") && said.contains("`roles` must be one of"), "{said}");
}

#[test]
fn without_a_certificate_there_is_no_webhook() {
    let output = stockade().output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--certificate"));
}

struct Gate {
    child: Child,
    lines: BufReader<ChildStderr>,
}

impl Gate {
    fn start(folder: &Path) -> Gate {
        let mut child = stockade()
            .args(["--listen=127.0.0.1:0", "--observe=127.0.0.1:0", "--drain=0", "--record=-"])
            .arg("--certificate")
            .arg(folder.join("tls.crt"))
            .arg("--key")
            .arg(folder.join("tls.key"))
            .arg("--policy")
            .arg(folder.join("policy.yaml"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap());
        Gate { child, lines }
    }

    /// The next line that it says.
    fn says(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &pid]).status().unwrap().success());
    }

    fn ends(&mut self) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end");
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn observed(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect_timeout(&address, LIMIT).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn signals_read_the_policy_again_and_end_the_webhook() {
    let folder = tempfile::tempdir().unwrap();
    let key = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    fs::write(folder.path().join("tls.crt"), key.cert.pem()).unwrap();
    fs::write(folder.path().join("tls.key"), key.signing_key.serialize_pem()).unwrap();
    let policy = folder.path().join("policy.yaml");
    fs::write(&policy, "version: 1\n").unwrap();
    let mut gate = Gate::start(folder.path());
    assert!(gate.says().starts_with("answering at https://127.0.0.1:"));
    let line = gate.says();
    let address = line.trim().strip_prefix("observed at http://").unwrap().strip_suffix("/metrics").unwrap();
    let address: SocketAddr = address.parse().unwrap();
    assert!(observed(address, "/readyz").starts_with("HTTP/1.1 200"));

    fs::write(&policy, "version: 2\n").unwrap();
    gate.signal("HUP");
    // The files are looked at by themselves too, so it may say more than once that they changed.
    let mut said = String::new();
    while !said.contains("the certificate was read again") {
        said.push_str(&gate.says());
    }
    assert!(said.contains("last good one stays") && said.contains("policy.yaml:1:10"), "{said}");
    assert!(observed(address, "/metrics").contains("stockade_gate_policy_stale 1"));

    gate.signal("TERM");
    assert_eq!(gate.ends(), Some(0));
}
