//! What is proposed for a daemon, given to a real one: it starts with the file, does what the file says, and what was
//! said to break breaks. A second daemon with folders of its own; dockerd itself makes the user `dockremap`, if there
//! is none. Runs with STOCKADE_ENGINES set, where `scripts/engines` has set Docker up.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use confinement::{Engine, Host};
use harden::host::{Known, Options, Proposal, Remap, Running, propose, text, write};
use sources::engine_api::{Endpoint, Raw, Wanted, docker_at, docker_raw_at};

const IMAGE: &str = "stockade-test-busybox";
const FIRST: &[&str] = &["/usr/bin/docker", "-H", "unix:///run/docker.sock"];

/// A daemon that ends with the test.
struct Daemon {
    folder: tempfile::TempDir,
    bridge: String,
    child: Option<Child>,
}

impl Daemon {
    fn new() -> Option<Daemon> {
        let folder = tempfile::Builder::new().prefix("stockade-test-").tempdir().unwrap();
        let bridge = format!("stk{}", std::process::id() % 1_000_000);
        let made = Command::new("ip").args(["link", "add", &bridge, "type", "bridge"]).output();
        if !made.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no bridge can be made here");
            return None;
        }
        let _ = Command::new("ip").args(["address", "add", "172.31.250.1/24", "dev", &bridge]).output();
        let daemon = Daemon { folder, bridge, child: None };
        fs::create_dir_all(daemon.path().join("etc/docker")).unwrap();
        fs::set_permissions(daemon.path(), fs::Permissions::from_mode(0o700)).unwrap();
        // The root folder that files of the host are read under: its temporary files are those of this host.
        std::os::unix::fs::symlink(std::env::temp_dir(), daemon.path().join("tmp")).unwrap();
        Some(daemon)
    }
    fn path(&self) -> &Path {
        self.folder.path()
    }
    fn socket(&self) -> String {
        format!("unix://{}/d.sock", self.path().display())
    }
    fn docker(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(FIRST[0]).args(["-H", &self.socket()]).args(arguments).output().unwrap();
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned());
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
    fn start(&mut self) {
        let path = |name: &str| self.path().join(name).display().to_string();
        let child = Command::new("dockerd")
            .args(["--host", &self.socket(), "--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "--config-file", &path("etc/docker/daemon.json")])
            .args(["--bridge", &self.bridge, "--iptables=false"])
            .stdout(Stdio::null())
            .stderr(fs::File::create(path("log")).unwrap())
            .spawn()
            .unwrap();
        // Of the host's processes, the one that counts.
        let process = self.path().join("proc/1");
        fs::create_dir_all(&process).unwrap();
        fs::write(process.join("comm"), "dockerd\n").unwrap();
        self.child = Some(child);
        for _ in 0..100 {
            if self.docker(&["version"]).is_ok() {
                let pid = self.child.as_ref().map(Child::id).unwrap();
                fs::copy(format!("/proc/{pid}/cmdline"), process.join("cmdline")).unwrap();
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("dockerd does not answer: {}", fs::read_to_string(self.path().join("log")).unwrap());
    }
    fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = Command::new("kill").arg(child.id().to_string()).output();
            let _ = child.wait();
        }
    }
    fn read(&self) -> (Raw, Engine) {
        let endpoint = Endpoint::parse(&self.socket()).unwrap();
        let raw = docker_raw_at(&endpoint, Wanted { name: None, stopped: true }).unwrap();
        let told = docker_at(&endpoint, Wanted::default(), &Arc::new(Host::default()));
        let engine = told.world.subjects[0].confinement.engine.clone().unwrap();
        (raw, (*engine).clone())
    }
    fn propose(&self) -> Proposal {
        let (raw, engine) = self.read();
        let docker = Some(Running { engine: &engine, raw: &raw });
        let known = Known { host: &Host::default(), docker, podman: None };
        propose(&known, Options { remap: Remap::Always }, self.path())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.stop();
        let _ = Command::new("ip").args(["link", "delete", &self.bridge]).output();
        for left in ["data", "exec/netns/default"] {
            let _ = Command::new("umount").arg(self.path().join(left)).output();
        }
    }
}

fn copy_shifted(from: &Path, to: &Path, by: u32) {
    let metadata = fs::symlink_metadata(from).unwrap();
    if metadata.is_dir() {
        fs::create_dir_all(to).unwrap();
        for entry in fs::read_dir(from).unwrap() {
            let name = entry.unwrap().file_name();
            copy_shifted(&from.join(&name), &to.join(&name), by);
        }
    } else {
        fs::copy(from, to).unwrap();
    }
    chown(to, Some(metadata.uid() + by), Some(metadata.gid() + by)).unwrap();
    fs::set_permissions(to, metadata.permissions()).unwrap();
}

#[test]
fn a_real_daemon_takes_the_file_and_what_was_said_to_break_breaks() {
    if std::env::var_os("STOCKADE_ENGINES").is_none() {
        eprintln!("skipped: STOCKADE_ENGINES is not set");
        return;
    }
    let Some(mut daemon) = Daemon::new() else { return };
    fs::write(daemon.path().join("etc/docker/daemon.json"), "{\n  \"log-level\": \"warn\" }\n").unwrap();
    daemon.start();
    let archive = daemon.path().join("image.tar").display().to_string();
    let saved =
        Command::new(FIRST[0]).args(&FIRST[1..]).args(["save", "-o", &archive, IMAGE]).status().unwrap();
    assert!(saved.success(), "scripts/engines has not set Docker up");
    daemon.docker(&["load", "-i", &archive]).unwrap();
    let fill =
        "mkdir /v/d && echo kept > /v/d/x && chown -R 999:999 /v/d && chmod 700 /v/d && chmod 600 /v/d/x";
    daemon.docker(&["run", "--rm", "-v", "db:/v", IMAGE, "sh", "-c", fill]).unwrap();
    let closed = daemon.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o750)).unwrap();
    let bind = format!("{}:/b", closed.display());
    for options in [
        ["--name=privileged", "--privileged"],
        ["--name=network", "--network=host"],
        ["--name=processes", "--pid=host"],
        ["--name=ipc", "--ipc=host"],
        ["--name=bound", &format!("--volume={bind}")],
    ] {
        daemon.docker(&[&["create"], options.as_slice(), &[IMAGE]].concat()).unwrap();
    }
    let proposal = daemon.propose();
    let shown = text(&proposal);
    for expected in [
        "lets others not pass",
        "volume db (1 of 0:0, 2 of 999:999) is empty under the new root",
        "privileged does not start (a privileged container)",
        "network does not start (the host's network)",
        "processes does not start (the host's processes)",
        "ipc does not start (the host's IPC)",
        "bound cannot write to",
        "bound, ipc, network, privileged, processes",
        "icc and userland-proxy are left out",
    ] {
        assert!(shown.contains(expected), "{expected}:\n{shown}");
    }

    daemon.stop();
    write(&proposal, daemon.path()).unwrap();
    fs::set_permissions(daemon.path(), fs::Permissions::from_mode(0o711)).unwrap();
    daemon.start();
    let (raw, engine) = daemon.read();
    assert_eq!(engine.settings.userns_remap.value, Some(true));
    assert_eq!(engine.settings.no_new_privileges.value, Some(true));
    assert_eq!(engine.settings.live_restore.value, Some(true));
    assert!(raw.containers.is_empty() && raw.volumes.is_empty());
    let root = raw.info["DockerRootDir"].as_str().unwrap().to_owned();
    let start: u32 = root.rsplit('/').next().unwrap().split('.').next().unwrap().parse().unwrap();
    assert!(shown.contains(&format!("999:999 to {0}:{0}", start + 999)), "{start}: {shown}");

    daemon.docker(&["load", "-i", &archive]).unwrap();
    for (option, refused) in [
        ("--privileged", "incompatible with user namespaces"),
        ("--network=host", "cannot share the host's network namespace"),
        ("--pid=host", "cannot share the host PID namespace"),
        ("--ipc=host", "mqueue"),
    ] {
        let error = daemon.docker(&["run", "--rm", option, IMAGE, "true"]).unwrap_err();
        assert!(error.contains(refused), "{option}: {error}");
    }
    let bound = daemon.docker(&["run", "--rm", "-v", &bind, IMAGE, "touch", "/b/x"]);
    assert!(bound.unwrap_err().contains("Permission denied"));

    // As it is, the volume's files belong to nobody; with the owners that were named, to whom they did.
    let data = |root: &str, name: &str| Path::new(root).join("volumes").join(name).join("_data");
    let old = data(&daemon.path().join("data").display().to_string(), "db");
    for (name, by, reads) in [("asis", 0, false), ("moved", start, true)] {
        daemon.docker(&["volume", "create", name]).unwrap();
        copy_shifted(&old, &data(&root, name), by);
        let volume = format!("{name}:/v");
        let read = daemon.docker(&["run", "--rm", "--user=999:999", "-v", &volume, IMAGE, "cat", "/v/d/x"]);
        assert_eq!(read.is_ok(), reads, "{name}: {read:?}");
    }
    let again = daemon.propose();
    assert_eq!(again.files, []);
    assert_eq!(again.commands, []);
}
