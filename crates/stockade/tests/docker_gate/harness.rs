//! A Docker daemon of the test's own, with the gate as its authorization plugin: both are started here and ended here, by
//! the number of their process, whatever becomes of the test.
//!
//! The daemon first runs without the plugin, so that what the gate would refuse can be there before it; then the plugin is
//! put into its configuration, and a SIGHUP makes it heed that.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::http::{self, Answer};

/// The daemon that `scripts/engines` starts; the image is taken from it.
const FIRST: &str = "unix:///run/docker.sock";
pub(crate) const IMAGE: &str = "stockade-test-busybox";

pub(crate) struct Daemon {
    pub(crate) folder: tempfile::TempDir,
    /// Name of the plugin; its socket has it under /run/docker/plugins.
    pub(crate) plugin: String,
    child: Child,
    bridge: String,
    gate: Option<Child>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Daemon {
    /// None where there is no Docker to take the image from, said.
    pub(crate) fn start() -> Option<Daemon> {
        let inspected = Command::new("docker").args(["-H", FIRST, "image", "inspect", IMAGE]).output();
        if !inspected.is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "docker is not set up: scripts/engines");
            eprintln!("skipped: no Docker with the image {IMAGE}");
            return None;
        }
        let folder = tempfile::Builder::new().prefix("stockade-gate-").tempdir().expect("a folder");
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let plugin = format!("stockade-test-{process}-{number}");
        // A bridge of its own: without one the daemon takes down that of the first.
        let bridge = format!("sg{}n{number}", process % 1_000_000);
        let made = Command::new("ip").args(["link", "add", &bridge, "type", "bridge"]).output();
        if !made.is_ok_and(|output| output.status.success()) {
            assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "no bridge can be made here");
            eprintln!("skipped: no bridge can be made here");
            return None;
        }
        let address = format!("10.213.{}.1/24", (process + number) % 250);
        let given = Command::new("ip").args(["address", "add", &address, "dev", &bridge]).status();
        assert!(given.is_ok_and(|status| status.success()));
        let path = |name: &str| folder.path().join(name).display().to_string();
        fs::write(path("daemon.json"), "{}").expect("a file");
        let child = Command::new("dockerd")
            .args(["--host", &format!("unix://{}", path("docker.sock")), "--data-root", &path("data")])
            .args(["--exec-root", &path("exec"), "--pidfile", &path("pid")])
            .args(["--config-file", &path("daemon.json"), "--bridge", &bridge, "--iptables=false"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(path("log")).expect("a file"))
            .spawn()
            .expect("dockerd starts");
        let mut daemon = Daemon { folder, plugin, child, bridge, gate: None };
        let socket = daemon.socket();
        let up = within(Duration::from_secs(30), || {
            http::ask(&socket, "GET", "/_ping", None).is_ok_and(|answer| answer.status == 200)
        });
        assert!(up, "dockerd did not start: {}", daemon.log());
        assert!(daemon.child.try_wait().expect("a child").is_none(), "dockerd ended: {}", daemon.log());
        let archive = daemon.path("image.tar").display().to_string();
        let saved = Command::new("docker").args(["-H", FIRST, "save", "-o", &archive, IMAGE]).output();
        assert!(saved.is_ok_and(|output| output.status.success()));
        daemon.sh(&format!("docker load -i {archive}"));
        Some(daemon)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("docker.sock")
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    pub(crate) fn plugin_socket(&self) -> PathBuf {
        Path::new("/run/docker/plugins").join(format!("{}.sock", self.plugin))
    }

    /// Runs a line of the shell that must succeed, with `docker` asking this daemon.
    pub(crate) fn sh(&self, line: &str) -> String {
        let output = self.run("/usr/bin/docker", line);
        let text = both(&output);
        assert!(output.status.success(), "{line}: {text}\n{}", self.log());
        text
    }

    /// Runs a line of the shell, with that client, in the test's folder.
    pub(crate) fn run(&self, client: &str, line: &str) -> Output {
        let mut command = Command::new("timeout");
        command
            .args(["120", "sh", "-c"])
            .arg(format!("docker() {{ '{client}' \"$@\"; }}\n{line}"))
            .current_dir(self.folder.path())
            .env("DOCKER_HOST", format!("unix://{}", self.socket().display()))
            .env("DOCKER_CONFIG", self.path("client"))
            .env("DOCKER_BUILDKIT", "0")
            .env("HOME", self.folder.path())
            .env_remove("DOCKER_TLS_VERIFY")
            .stdin(Stdio::null());
        command.output().expect("a shell")
    }

    /// Starts `stockade gate docker` as the plugin, and waits until it listens.
    pub(crate) fn start_gate(&mut self, arguments: &[&str]) {
        let socket = self.plugin_socket();
        let child = Command::new(env!("CARGO_BIN_EXE_stockade"))
            .args(["gate", "docker", "--socket"])
            .arg(&socket)
            .arg("--engine")
            .arg(format!("unix://{}", self.socket().display()))
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::options().create(true).append(true).open(self.path("gate.log")).expect("a file"))
            .spawn()
            .expect("the gate starts");
        self.gate = Some(child);
        let listens =
            within(Duration::from_secs(20), || std::os::unix::net::UnixStream::connect(&socket).is_ok());
        assert!(listens, "the gate does not listen: {}", self.gate_log());
    }

    pub(crate) fn gate_log(&self) -> String {
        fs::read_to_string(self.path("gate.log")).unwrap_or_default()
    }

    pub(crate) fn gate_pid(&self) -> u32 {
        self.gate.as_ref().expect("a gate runs").id()
    }

    /// Sends a signal to the gate.
    pub(crate) fn signal_gate(&self, signal: &str) {
        kill(signal, self.gate_pid());
    }

    /// Ends the gate as a crash would.
    pub(crate) fn kill_gate(&mut self) {
        if let Some(mut child) = self.gate.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Makes the daemon ask the plugin from now on.
    pub(crate) fn heed_gate(&self) {
        let configuration = format!("{{\"authorization-plugins\": [\"{}\"]}}", self.plugin);
        fs::write(self.path("daemon.json"), configuration).expect("a file");
        kill("HUP", self.child.id());
        let heeds =
            within(Duration::from_secs(10), || self.log().contains("Got signal to reload configuration"));
        assert!(heeds, "{}", self.log());
        // The daemon asks when it is the gate that refuses this: without one the daemon says that it is in no swarm.
        let asks = within(Duration::from_secs(10), || {
            let answer = http::ask(&self.socket(), "POST", "/v1.41/swarm/leave", None);
            answer.is_ok_and(|answer| answer.status == 403)
        });
        assert!(asks, "the daemon does not ask its plugin: {}", self.log());
    }

    pub(crate) fn ask(&self, method: &str, target: &str, body: Option<&str>) -> Answer {
        http::ask(&self.socket(), method, target, body.map(str::as_bytes)).expect("the daemon answers")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // A daemon whose plugin is gone ends no container for anybody; it is ended first, with what runs in it.
        kill("TERM", self.child.id());
        let ended =
            within(Duration::from_secs(20), || self.child.try_wait().is_ok_and(|status| status.is_some()));
        if !ended {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        self.kill_gate();
        let _ = fs::remove_file(self.plugin_socket());
        let _ = Command::new("ip").args(["link", "delete", &self.bridge]).output();
        // A daemon that failed leaves its data folder mounted on itself, and every one the namespace of its host network.
        let _ = Command::new("umount").arg(self.path("data")).output();
        let _ = Command::new("umount").arg(self.path("exec/netns/default")).output();
    }
}

pub(crate) fn kill(signal: &str, pid: u32) {
    let _ = Command::new("kill").arg(format!("-{signal}")).arg(pid.to_string()).output();
}

/// Whether something becomes true in time.
pub(crate) fn within(time: Duration, mut test: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < time {
        if test() {
            return true;
        }
        sleep(Duration::from_millis(50));
    }
    false
}

pub(crate) fn both(output: &Output) -> String {
    let text = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    String::from_utf8_lossy(&text).trim().to_owned()
}
