//! Containers in which `provoke` runs: one weak, one sound, by Docker where its daemon answers and by runc where not.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use serde_json::{Value, json};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strength {
    /// Many capabilities, no seccomp filter, the engine's socket, the host's cgroup tree, files of a host, a disk.
    Weak,
    /// What the runtime gives by default.
    Sound,
    /// As weak, and in the host's pid, network, ipc and uts namespaces, with its /etc/shadow to be opened.
    Sharing,
}

/// A call that `provoke` made, as it said itself.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    /// The process, as its own pid namespace numbers it.
    pub(crate) process: u32,
    pub(crate) attempt: String,
    pub(crate) call: String,
    pub(crate) result: i64,
}

/// A container that has ended.
pub(crate) struct Ran {
    /// What its cgroup is named after.
    pub(crate) id: String,
    pub(crate) made: Vec<Made>,
}

/// More than the default ones; CAP_SYS_RESOURCE is missing on some machines and is not needed.
const CAPABILITIES: &[&str] = &[
    "SYS_ADMIN",
    "SYS_PTRACE",
    "SYS_MODULE",
    "DAC_READ_SEARCH",
    "SYSLOG",
    "NET_ADMIN",
    "SYS_RAWIO",
    "SYS_TIME",
    "SYS_BOOT",
    "SYS_PACCT",
];
/// The default ones of Docker.
const DEFAULT_CAPABILITIES: &[&str] = &[
    "CHOWN",
    "DAC_OVERRIDE",
    "FSETID",
    "FOWNER",
    "MKNOD",
    "NET_RAW",
    "SETGID",
    "SETUID",
    "SETFCAP",
    "SETPCAP",
    "NET_BIND_SERVICE",
    "SYS_CHROOT",
    "KILL",
    "AUDIT_WRITE",
];
const IMAGE: &str = "stockade-test-busybox";
const RUNC: &str = "runc";
const DOCKER: [&str; 2] = ["-H", "unix:///run/docker.sock"];

/// `provoke`, linked statically: what STOCKADE_PROVOKE names, or built here.
pub(crate) fn provoke() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        if let Some(given) = std::env::var_os("STOCKADE_PROVOKE") {
            return given.into();
        }
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let script = workspace.join("scripts/provoke");
        let built = Command::new(&script).output().expect("scripts/provoke starts");
        assert!(built.status.success(), "{}: {}", script.display(), String::from_utf8_lossy(&built.stderr));
        PathBuf::from(String::from_utf8_lossy(&built.stdout).trim())
    })
}

/// A folder of a test's own, removed at its end, with what is mounted into its containers.
pub(crate) struct Room {
    pub(crate) path: PathBuf,
}

impl Room {
    pub(crate) fn new() -> io::Result<Room> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("provoked-{}-{count}", std::process::id()));
        for folder in ["provoked/bound", "provoked/cgroup", "secrets", "host/etc", "outside", "run"] {
            fs::create_dir_all(path.join(folder))?;
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        fs::write(path.join("secrets/token"), "of the test")?;
        fs::write(path.join("host/etc/shadow"), "of the test")?;
        Ok(Room { path })
    }

    /// What stands for the engine's API: connections are accepted and closed. And what hands over the descriptor of a
    /// folder outside the container to who asks.
    fn listen(&self) -> io::Result<()> {
        let engine = UnixListener::bind(self.path.join("run/docker.sock"))?;
        let handover = UnixListener::bind(self.path.join("provoked/handover.sock"))?;
        let outside = fs::File::open(self.path.join("outside"))?;
        std::thread::spawn(move || engine.incoming().take(100).for_each(drop));
        std::thread::spawn(move || {
            for stream in handover.incoming().take(100).flatten() {
                let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
                let mut buffer = SendAncillaryBuffer::new(&mut space);
                let descriptors = [outside.as_fd()];
                buffer.push(SendAncillaryMessage::ScmRights(&descriptors));
                let bytes = [io::IoSlice::new(b"x")];
                let _ = rustix::net::sendmsg(&stream, &bytes, &mut buffer, SendFlags::empty());
            }
        });
        Ok(())
    }

    /// Source, target, and whether it is read-only.
    fn mounts(&self, strength: Strength) -> Vec<(String, &'static str, bool)> {
        let own = |name: &str| self.path.join(name).to_string_lossy().into_owned();
        let mut mounts = vec![
            (provoke().to_string_lossy().into_owned(), "/provoke", true),
            (own("provoked"), "/provoked", false),
            (own("secrets"), "/var/run/secrets/kubernetes.io/serviceaccount", true),
        ];
        if strength == Strength::Sharing {
            mounts.push(("/etc/shadow".to_owned(), "/host/etc/shadow", true));
        }
        if strength == Strength::Weak {
            mounts.push(("/proc/sys/kernel".to_owned(), "/provoked/bound", false));
            mounts.push(("/sys/fs/cgroup".to_owned(), "/provoked/cgroup", false));
            mounts.push((own("run/docker.sock"), "/run/docker.sock", true));
            mounts.push((own("host"), "/host", true));
        }
        mounts
    }
}

impl Room {
    /// An overlay over this root, as engines make them; the root itself where the kernel has none.
    fn layered(&self, root: &Path) -> io::Result<PathBuf> {
        let [upper, work, merged] = ["upper", "work", "merged"].map(|name| self.path.join(name));
        for folder in [&upper, &work, &merged] {
            fs::create_dir_all(folder)?;
        }
        let options =
            format!("lowerdir={},upperdir={},workdir={}", root.display(), upper.display(), work.display());
        let mut mount = Command::new("mount");
        mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged).stderr(Stdio::null());
        let mounted = mount.status().is_ok_and(|status| status.success());
        Ok(if mounted { merged } else { root.to_owned() })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let merged = self.path.join("merged");
        if merged.exists() {
            let _ = Command::new("umount").arg(&merged).stderr(Stdio::null()).status();
        }
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn docker_answers() -> bool {
    Command::new("docker")
        .args(DOCKER)
        .args(["image", "inspect", IMAGE])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn is_there(program: &str) -> bool {
    Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// The runtime that is there; None, with the reason printed, where none is.
pub(crate) fn runtime() -> Option<Runtime> {
    if docker_answers() {
        return Some(Runtime::Docker);
    }
    if is_there(RUNC) {
        return Some(Runtime::Runc);
    }
    eprintln!("skipped: neither a Docker daemon with the image {IMAGE} nor {RUNC} is here");
    None
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Runtime {
    Docker,
    /// An OCI runtime without an engine.
    Runc,
}

impl Runtime {
    /// Runs `provoke` with these arguments as the first process of a container, and calls `meanwhile` until it ends.
    pub(crate) fn run(
        self,
        strength: Strength,
        arguments: &[&str],
        meanwhile: &mut dyn FnMut(Duration),
    ) -> io::Result<Ran> {
        let room = Room::new()?;
        room.listen()?;
        let (mut command, id_file, name) = match self {
            Runtime::Docker => docker(&room, strength),
            Runtime::Runc => runc(&room, strength, arguments)?,
        };
        if let Runtime::Docker = self {
            command.arg("/provoke").args(arguments);
        }
        let output = room.path.join("output");
        command.stdin(Stdio::null()).stdout(fs::File::create(&output)?);
        let mut child = command.spawn()?;
        let status = loop {
            meanwhile(Duration::from_millis(50));
            if let Some(status) = child.try_wait()? {
                break status;
            }
        };
        assert!(status.success(), "{command:?}: {status}");
        let id = id_file.map_or(Ok(name), fs::read_to_string)?;
        let made = fs::read_to_string(&output)?.lines().filter_map(made).collect();
        Ok(Ran { id: id.trim().to_owned(), made })
    }
}

fn made(line: &str) -> Option<Made> {
    let mut fields = line.split('\t');
    Some(Made {
        process: fields.next()?.parse().ok()?,
        attempt: fields.next()?.to_owned(),
        call: fields.next()?.to_owned(),
        result: fields.next()?.parse().ok()?,
    })
}

fn docker(room: &Room, strength: Strength) -> (Command, Option<PathBuf>, String) {
    let id_file = room.path.join("id");
    let mut command = Command::new("docker");
    command.args(DOCKER).args(["run", "--rm", "--cidfile"]).arg(&id_file);
    match strength {
        Strength::Sharing => {
            command.args(["--network", "host", "--pid", "host", "--ipc", "host", "--uts", "host"])
        }
        _ => command.args(["--network", "none"]),
    };
    for (source, target, read_only) in room.mounts(strength) {
        command.arg("-v").arg(format!("{source}:{target}:{}", if read_only { "ro" } else { "rw" }));
    }
    if strength != Strength::Sound {
        command.args(["--security-opt", "seccomp=unconfined"]);
        for capability in CAPABILITIES {
            command.args(["--cap-add", capability]);
        }
        if Path::new("/dev/loop0").exists() {
            command.args(["--device", "/dev/loop0:/dev/provoked-disk:r"]);
        }
    }
    command.arg(IMAGE);
    (command, Some(id_file), String::new())
}

/// A bundle: busybox's root, and what Docker would ask for.
fn runc(
    room: &Room,
    strength: Strength,
    arguments: &[&str],
) -> io::Result<(Command, Option<PathBuf>, String)> {
    let root = room.path.join("root");
    for folder in ["bin", "etc", "tmp", "root", "proc", "sys", "dev", "run", "var"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::copy("/bin/busybox", root.join("bin/busybox"))?;
    std::os::unix::fs::symlink("busybox", root.join("bin/sh"))?;
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    let root = room.layered(&root)?;
    let weak = strength != Strength::Sound;
    let capabilities: Vec<String> = DEFAULT_CAPABILITIES
        .iter()
        .chain(CAPABILITIES.iter().filter(|_| weak))
        .map(|name| format!("CAP_{name}"))
        .collect();
    let mut mounts = vec![
        json!({"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
        json!({"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
               "options": ["nosuid", "noexec", "nodev", "mode=1777"]}),
        json!({"destination": "/sys", "type": "sysfs", "source": "sysfs",
               "options": ["nosuid", "noexec", "nodev", "ro"]}),
    ];
    for (source, target, read_only) in room.mounts(strength) {
        let way = if read_only { "ro" } else { "rw" };
        mounts.push(
            json!({"destination": target, "type": "bind", "source": source, "options": ["rbind", way]}),
        );
    }
    let own = if strength == Strength::Sharing {
        &["mount"][..]
    } else {
        &["pid", "mount", "uts", "ipc", "network"]
    };
    let namespaces: Vec<Value> = own.iter().map(|kind| json!({"type": kind})).collect();
    let mut linux = json!({
        "namespaces": namespaces,
        "maskedPaths": ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"],
        "readonlyPaths": ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"],
    });
    if !weak && let Some(linux) = linux.as_object_mut() {
        linux.insert("seccomp".to_owned(), filter());
    }
    let arguments: Vec<&str> = std::iter::once("/provoke").chain(arguments.iter().copied()).collect();
    let mut config = json!({
        "ociVersion": "1.0.2",
        "root": {"path": root, "readonly": false},
        "process": {
            "terminal": false, "cwd": "/", "args": arguments, "env": ["PATH=/bin"],
            "user": {"uid": 0, "gid": 0},
            "capabilities": {"bounding": capabilities, "effective": capabilities, "permitted": capabilities},
        },
        "mounts": mounts,
        "linux": linux,
    });
    // The name of the host stays as it is.
    if let Some(config) = config.as_object_mut().filter(|_| own.contains(&"uts")) {
        config.insert("hostname".to_owned(), json!("provoked"));
    }
    fs::write(room.path.join("config.json"), serde_json::to_vec(&config)?)?;
    let name = room.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let state = room.path.join("state");
    let mut command = Command::new(RUNC);
    command.arg("--root").arg(state).args(["run", "--bundle"]).arg(&room.path).arg(&name);
    Ok((command, None, name))
}

/// What a default filter refuses, of the calls that are made here.
fn filter() -> Value {
    let refused: &[&str] = &[
        "mount",
        "umount2",
        "fsopen",
        "fsconfig",
        "fsmount",
        "fspick",
        "open_tree",
        "move_mount",
        "mount_setattr",
        "pivot_root",
        "setns",
        "unshare",
        "process_vm_readv",
        "process_vm_writev",
        "pidfd_getfd",
        "kcmp",
        "bpf",
        "perf_event_open",
        "finit_module",
        "delete_module",
        "kexec_load",
        "kexec_file_load",
        "reboot",
        "keyctl",
        "add_key",
        "request_key",
        "syslog",
        "sethostname",
        "setdomainname",
        "clock_settime",
        "userfaultfd",
        "open_by_handle_at",
        "name_to_handle_at",
        "acct",
        "swapon",
        "quotactl",
        "fanotify_init",
        "move_pages",
    ];
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{"names": refused, "action": "SCMP_ACT_ERRNO", "errnoRet": 1}],
    })
}
