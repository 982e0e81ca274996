//! The engines with the door before their runtime. Between engine and door, and between door and runtime, stands a script
//! that keeps what passed.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const IMAGE: &str = "stockade-test-busybox";
/// The daemon that `scripts/engines` starts: the image of the tests is there.
const TESTS_DOCKER: &str = "unix:///run/docker.sock";

/// What a client said, and whether the program ran to its end.
pub(crate) struct Answer {
    pub(crate) ran: bool,
    pub(crate) text: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        let text = [output.stdout, output.stderr].concat();
        Answer { ran: output.status.success(), text: String::from_utf8_lossy(&text).into_owned() }
    }
}

fn run(program: &str, words: &[&str]) -> Answer {
    let output = Command::new(program).args(words).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}")).into()
}

/// The door, a daemon of Docker's that uses it, and what passed.
pub(crate) struct Door {
    folder: tempfile::TempDir,
    daemon: Child,
    bridge: String,
    name: &'static str,
    _turn: fs::File,
}

impl Door {
    /// `None`, and a word about it, where the engines are not there.
    pub(crate) fn open(name: &'static str) -> Option<Door> {
        let there = Command::new("/usr/bin/docker")
            .args(["-H", TESTS_DOCKER, "image", "inspect", IMAGE])
            .output()
            .is_ok_and(|output| output.status.success());
        if !there || !Path::new("/usr/bin/podman").exists() {
            assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "no engines: scripts/engines");
            eprintln!("skipped: the engines are not set up; run scripts/engines");
            return None;
        }
        // Podman's names and the bridge are the machine's; one such test at a time.
        let turn = std::env::temp_dir().join("stockade-gate-oci.lock");
        let turn = fs::File::options().create(true).append(true).open(turn).unwrap();
        turn.lock().unwrap();
        let folder = tempfile::Builder::new().prefix("stockade-oci-").tempdir().unwrap();
        let bridge = format!("stkoci{}", std::process::id() % 10_000);
        prepare(folder.path());
        let daemon = start_daemon(folder.path(), &bridge);
        let door = Door { folder, daemon, bridge, name, _turn: turn };
        door.load_image();
        Some(door)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
    pub(crate) fn settings(&self) -> PathBuf {
        self.path("runtime.toml")
    }
    pub(crate) fn fill(&self, word: &str) -> String {
        word.replace("FOLDER", &self.folder.path().to_string_lossy())
    }
    fn host(&self) -> String {
        format!("unix://{}", self.path("docker.sock").display())
    }

    fn load_image(&self) {
        let tar = self.path("image.tar");
        let tar = tar.to_str().unwrap();
        let saved = run("/usr/bin/docker", &["-H", TESTS_DOCKER, "save", "-o", tar, IMAGE]);
        assert!(saved.ran, "{}", saved.text);
        let loaded = run("/usr/bin/docker", &["-H", &self.host(), "load", "-i", tar]);
        assert!(loaded.ran, "{}", loaded.text);
        let socket = self.containerd();
        let imported = run("ctr", &["-a", &socket, "-n", "stockade-oci", "images", "import", tar]);
        assert!(imported.ran, "{}", imported.text);
    }

    fn containerd(&self) -> String {
        self.path("exec/containerd/containerd.sock").to_string_lossy().into_owned()
    }

    /// How often the runtime behind the door was asked to make something since the last time.
    pub(crate) fn take_made(&self) -> usize {
        let text = fs::read_to_string(self.path("made")).unwrap_or_default();
        let _ = fs::remove_file(self.path("made"));
        let makes = |line: &&str| line.split(' ').any(|w| matches!(w, "create" | "run" | "restore" | "exec"));
        text.lines().filter(makes).count()
    }

    /// The audit's verdict of the configuration that came to the door last.
    pub(crate) fn audit_of_seen(&self) -> String {
        let seen = self.path("seen/config.json");
        let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
            .args(["audit", "--format", "json"])
            .arg(&seen)
            .output()
            .unwrap();
        let read: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        read["subjects"][0]["verdict"].as_str().unwrap_or("none").to_owned()
    }

    pub(crate) fn docker(&self) -> Client<'_> {
        let words = vec!["/usr/bin/docker".to_owned(), "-H".into(), self.host()];
        Client { door: self, name: "docker".into(), words, run_words: Vec::new() }
    }

    pub(crate) fn podman(&self, runtime: &str) -> Client<'_> {
        let front = self.path("front").join(runtime).to_string_lossy().into_owned();
        let name = format!("podman with {runtime}");
        let run_words = podman_run();
        Client { door: self, name, words: podman(runtime, &["--runtime", &front]), run_words }
    }

    pub(crate) fn podman_with_hook(&self, runtime: &str) -> Client<'_> {
        let hooks = self.path("hooks.d");
        fs::create_dir_all(&hooks).unwrap();
        // The one that is shipped, with this build's program in it.
        let shipped = concat!(env!("CARGO_MANIFEST_DIR"), "/../../packaging/oci/hooks.d/stockade.json");
        let text = fs::read_to_string(shipped).unwrap();
        let text = text.replace("/usr/bin/stockade", env!("CARGO_BIN_EXE_stockade"));
        fs::write(hooks.join("stockade.json"), text).unwrap();
        let words = podman(runtime, &["--runtime", runtime, "--hooks-dir", hooks.to_str().unwrap()]);
        Client { door: self, name: format!("podman's hook with {runtime}"), words, run_words: podman_run() }
    }

    pub(crate) fn ctr(&self, options: &[&str], program: &str) -> Answer {
        let front = self.path("front/runc").to_string_lossy().into_owned();
        let socket = self.containerd();
        let image = format!("docker.io/library/{IMAGE}:latest");
        let container = format!("stockade-oci-{}", std::process::id());
        let before = ["-a", &socket, "-n", "stockade-oci", "run", "--rm", "--runc-binary", &front];
        let after = [image.as_str(), &container, program];
        run("ctr", &[&before[..], options, &after].concat())
    }
}

fn podman_run() -> Vec<String> {
    // This kernel's root may not raise limits, which Podman does unless told otherwise; names of networks are Docker's.
    ["--ulimit=nofile=20000:20000", "--ulimit=nproc=10000:10000"].map(str::to_owned).to_vec()
}

/// crun must not see cgroup version 2 beside version 1.
fn podman(runtime: &str, words: &[&str]) -> Vec<String> {
    let mut line: Vec<String> = Vec::new();
    if runtime == "crun" && Path::new("/sys/fs/cgroup/unified").exists() {
        let script = "umount /sys/fs/cgroup/unified && exec \"$@\"";
        line.extend(
            ["unshare", "-m", "--propagation", "private", "sh", "-c", script, "sh"].map(str::to_owned),
        );
    }
    line.push("podman".to_owned());
    line.extend(words.iter().map(|word| (*word).to_owned()));
    line
}

impl Drop for Door {
    fn drop(&mut self) {
        for client in [self.docker(), self.podman("runc")] {
            client.remove_volume("stockade-oci-root");
        }
        if let Ok(pid) = i32::try_from(self.daemon.id()) {
            let _ = Command::new("kill").arg(pid.to_string()).status();
        }
        let _ = self.daemon.wait();
        let _ = Command::new("ip").args(["link", "del", &self.bridge]).status();
        if std::thread::panicking() {
            eprintln!("{}: the end of the daemon's log:", self.name);
            let log = fs::read_to_string(self.path("log")).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            eprintln!("{}", lines[lines.len().saturating_sub(8)..].join("\n"));
        }
    }
}

fn script(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Scripts, settings and what the cases bind.
fn prepare(folder: &Path) {
    let here = folder.display();
    let stockade = env!("CARGO_BIN_EXE_stockade");
    fs::create_dir(folder.join("data")).unwrap();
    fs::create_dir(folder.join("seen")).unwrap();
    symlink("/run/docker.sock", folder.join("link-to-socket")).unwrap();
    symlink("/", folder.join("link-to-root")).unwrap();
    for (runtime, program) in [("runc", "/usr/sbin/runc"), ("crun", "/usr/bin/crun")] {
        let behind = folder.join("behind").join(runtime);
        script(&behind, &format!("#!/bin/sh\necho \"$@\" >>{here}/made\nexec {program} \"$@\"\n"));
        script(
            &folder.join("front").join(runtime),
            &format!(
                "#!/bin/sh\nbefore=\nfor word in \"$@\"; do\n  if [ \"$before\" = --bundle ]; then cp \"$word/config.json\" \
                 {here}/seen/; fi\n  before=$word\ndone\nexec {stockade} gate oci --settings {here}/runtime.toml \
                 --runtime {} -- \"$@\"\n",
                behind.display()
            ),
        );
    }
    fs::write(folder.join("runtime.toml"), "failing = \"closed\"\n").unwrap();
}

fn start_daemon(folder: &Path, bridge: &str) -> Child {
    let ip = |words: &[&str]| assert!(run("ip", words).ran, "ip {words:?}");
    ip(&["link", "add", bridge, "type", "bridge"]);
    ip(&["addr", "add", "10.213.79.1/24", "dev", bridge]);
    ip(&["link", "set", bridge, "up"]);
    let front = folder.join("front/runc");
    let settings = serde_json::json!({
        "runtimes": { "stockade": { "path": front } },
        "default-runtime": "stockade",
    });
    fs::write(folder.join("daemon.json"), settings.to_string()).unwrap();
    let log = fs::File::create(folder.join("log")).unwrap();
    let at = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let daemon = Command::new("/usr/sbin/dockerd")
        .args(["--config-file", &at("daemon.json"), "--host", &format!("unix://{}", at("docker.sock"))])
        .args(["--data-root", &at("data-root"), "--exec-root", &at("exec"), "--pidfile", &at("pid")])
        .args(["--bridge", bridge, "--iptables=false"])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let host = format!("unix://{}", at("docker.sock"));
    let until = Instant::now() + Duration::from_secs(60);
    while !run("/usr/bin/docker", &["-H", &host, "version"]).ran {
        assert!(
            Instant::now() < until,
            "dockerd does not answer: {}",
            fs::read_to_string(at("log")).unwrap()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    daemon
}

/// One way to ask for containers.
pub(crate) struct Client<'a> {
    pub(crate) door: &'a Door,
    pub(crate) name: String,
    words: Vec<String>,
    run_words: Vec<String>,
}

impl Client<'_> {
    pub(crate) fn ask(&self, words: &[&str]) -> Answer {
        let mut line: Vec<&str> = self.words.iter().map(String::as_str).collect();
        line.extend(words);
        run(line[0], &line[1..])
    }

    /// Runs a program in a container that goes when it ends.
    pub(crate) fn run(&self, options: &[String], program: &str) -> Answer {
        let mut words = vec!["run", "--rm"];
        words.extend(self.run_words.iter().map(String::as_str));
        let named = options.iter().any(|word| word == "--network");
        if !named {
            words.extend(["--network", "none"]);
        }
        words.extend(options.iter().map(String::as_str));
        words.push(IMAGE);
        words.extend(program.split(' '));
        self.ask(&words)
    }

    /// A container that stays; its name.
    pub(crate) fn start(&self, options: &[&str]) -> String {
        let word: String = self.name.chars().filter(char::is_ascii_alphanumeric).collect();
        let name = format!("stockade-oci-{}-{}-{word}", std::process::id(), self.door.name);
        let mut words = vec!["run", "-d", "--name", &name, "--network", "none"];
        words.extend(self.run_words.iter().map(String::as_str));
        words.extend(options);
        words.extend([IMAGE, "sleep", "300"]);
        let answer = self.ask(&words);
        assert!(answer.ran, "{}: {}", self.name, answer.text);
        name
    }

    pub(crate) fn exec(&self, name: &str, options: &[&str], program: &[&str]) -> Answer {
        self.ask(&[&["exec"][..], options, &[name], program].concat())
    }

    pub(crate) fn remove(&self, name: &str) {
        let answer = self.ask(&["rm", "-f", name]);
        assert!(answer.ran, "{}: {}", self.name, answer.text);
    }

    pub(crate) fn make_volume(&self, name: &str, options: &[&str]) {
        let mut words = vec!["volume", "create"];
        options.iter().for_each(|option| words.extend(["-o", option]));
        words.push(name);
        let answer = self.ask(&words);
        assert!(answer.ran, "{}: {}", self.name, answer.text);
    }

    pub(crate) fn remove_volume(&self, name: &str) {
        let _ = self.ask(&["volume", "rm", "-f", name]);
    }

    pub(crate) fn build(&self, dockerfile: &str) -> Answer {
        let mut child = Command::new(&self.words[0])
            .args(&self.words[1..])
            .args(["build", "--network", "none", "-"])
            .env("DOCKER_BUILDKIT", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(dockerfile.as_bytes()).unwrap();
        child.wait_with_output().unwrap().into()
    }

    pub(crate) fn until_healthy(&self, name: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        loop {
            let answer = self.ask(&["inspect", "--format", "{{.State.Health.Status}}", name]);
            if answer.text.trim() == "healthy" {
                return;
            }
            assert!(Instant::now() < until, "not healthy: {}", answer.text);
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}
