//! Recorded events as the table's cases write them: an event with the facts that matter, the rest as an ordinary
//! process of a sound container has them. The tests run them, and whoever wants an event of a kind can make one.
//!
//! ```yaml
//! - is: seen                      # or quiet
//!   open: {file: {system: proc, path: /sys/kernel/core_pattern}, flags: 1}
//!   result: EACCES                # or a number; 0 where it is not said
//!   by: host                      # a process of the host; a container's where it is not said
//!   shares: [pid]                 # namespaces of the host that the process is in
//! ```
//!
//! A file is written by what it is: `system` and `path` within it; `host`, its path on the host; `asked`, of which only
//! the text is known. Processes and namespaces are written by whose they are: `host`, `own`, `other`.

use std::borrow::Cow;
use std::net::IpAddr;

use sensor::event::{ContainerKey, Event, File, Kind, Namespaces, Task};
use serde_json::{Map, Value, json};

use super::context::{Context, HostFile, Owner};
use super::files::FileSystem;

/// What is expected of a case, and what it says.
#[derive(Debug)]
pub struct Case {
    pub is: Expected,
    pub event: Event,
    pub context: CaseContext,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    Seen,
    Quiet,
}

/// A host, a container `own` and a container `other`.
#[derive(Debug)]
pub struct CaseContext {
    host: Namespaces,
    shown_by: Option<String>,
    executable: Option<File>,
    api_server: Option<(IpAddr, u16)>,
    addresses: Vec<(IpAddr, Owner)>,
    cgroup: Option<String>,
}

pub const OWN: ContainerKey = ContainerKey(1);
pub const OTHER: ContainerKey = ContainerKey(2);
const HOST_DEVICE: (u32, u32) = (8, 1);
const OWN_DEVICE: (u32, u32) = (0, 50);
const OTHER_DEVICE: (u32, u32) = (0, 51);
const EXT4: u64 = 0xef53;

fn host_namespaces() -> Namespaces {
    Namespaces {
        user: 4_026_531_837,
        mount: 4_026_531_841,
        pid: 4_026_531_836,
        network: 4_026_531_840,
        ipc: 4_026_531_839,
        uts: 4_026_531_838,
        cgroup: 4_026_531_835,
    }
}

fn own_namespaces() -> Namespaces {
    Namespaces {
        user: host_namespaces().user,
        mount: 4_026_532_001,
        pid: 4_026_532_002,
        network: 4_026_532_003,
        ipc: 4_026_532_004,
        uts: 4_026_532_005,
        cgroup: 4_026_532_006,
    }
}

const OTHER_MOUNT: u32 = 4_026_532_101;

fn task_of(whose: &str) -> Option<Task> {
    let process = match whose {
        "host" => 1,
        // The one that does it, and another of its container.
        "self" => 101,
        "own" => 102,
        "other" => 201,
        _ => return None,
    };
    Some(Task { process, thread: process, start: u64::from(process) })
}

impl Context for CaseContext {
    fn host(&self) -> &Namespaces {
        &self.host
    }
    fn owner(&self, task: &Task) -> Owner {
        match task.process {
            1..=99 => Owner::Host,
            100..=199 => Owner::Container(OWN),
            200..=299 => Owner::Container(OTHER),
            _ => Owner::NotKnown,
        }
    }
    fn mount_namespace(&self, inode: u32) -> Owner {
        match inode {
            n if n == self.host.mount => Owner::Host,
            n if n == own_namespaces().mount => Owner::Container(OWN),
            OTHER_MOUNT => Owner::Container(OTHER),
            _ => Owner::NotKnown,
        }
    }
    fn device(&self, device: (u32, u32)) -> Owner {
        match device {
            OWN_DEVICE => Owner::Container(OWN),
            OTHER_DEVICE => Owner::Container(OTHER),
            _ => Owner::NotKnown,
        }
    }
    fn address(&self, address: IpAddr) -> Owner {
        self.addresses.iter().find(|(a, _)| *a == address).map_or(Owner::NotKnown, |(_, owner)| *owner)
    }
    fn executable(&self, _task: &Task) -> Option<&File> {
        self.executable.as_ref()
    }
    fn host_file(&self, _container: ContainerKey, file: &File) -> Option<HostFile<'_>> {
        (file.id.device == HOST_DEVICE).then(|| HostFile {
            path: Cow::Owned(file.path_in_file_system.text.clone()),
            mount: self.shown_by.as_deref().map(Cow::Borrowed),
        })
    }
    fn cgroup(&self, _container: ContainerKey) -> Option<&str> {
        self.cgroup.as_deref()
    }
    fn api_server(&self, _container: ContainerKey) -> Option<(IpAddr, u16)> {
        self.api_server
    }
}

/// Reads a case. What is wrong with it is said in words.
pub fn read(written: &Value) -> Result<Case, String> {
    let Value::Object(written) = written else { return Err("a case is a mapping".into()) };
    let mut written = written.clone();
    let is = match written.remove("is").as_ref().and_then(Value::as_str) {
        Some("seen") => Expected::Seen,
        Some("quiet") => Expected::Quiet,
        _ => return Err("`is` is `seen` or `quiet`".into()),
    };
    written.remove("because");
    let context = read_context(written.remove("knows"))?;
    let mut event = json!({
        "time": 1_000_000_000u64, "lane": "rare", "cpu": 0, "count": 1,
        "entry": written.remove("entry").unwrap_or(json!({"system-call": 0})),
        "result": read_result(written.remove("result"))?,
        "actor": read_actor(&mut written)?,
    });
    let mut rest = written.into_iter();
    let (Some((kind, facts)), None) = (rest.next(), rest.next()) else {
        return Err("a case has one event".into());
    };
    event["what"] = read_what(&kind, facts)?;
    let event = serde_json::from_value(event).map_err(|error| format!("{kind}: {error}"))?;
    Ok(Case { is, event, context })
}

fn read_context(knows: Option<Value>) -> Result<CaseContext, String> {
    let mut context = CaseContext {
        host: host_namespaces(),
        shown_by: None,
        executable: None,
        api_server: None,
        addresses: Vec::new(),
        cgroup: None,
    };
    let Some(Value::Object(knows)) = knows else { return Ok(context) };
    for (key, value) in knows {
        let text = value.as_str().unwrap_or_default();
        match key.as_str() {
            "shown-by" => context.shown_by = Some(text.to_owned()),
            "cgroup" => context.cgroup = Some(text.to_owned()),
            "executable" => {
                let file = read_file(value.clone())?;
                context.executable = Some(serde_json::from_value(file).map_err(|e| e.to_string())?);
            }
            "api-server" => {
                let address: std::net::SocketAddr =
                    text.parse().map_err(|_| format!("`{text}` is no address"))?;
                context.api_server = Some((address.ip(), address.port()));
            }
            "other-address" => {
                let address = text.parse().map_err(|_| format!("`{text}` is no address"))?;
                context.addresses.push((address, Owner::Container(OTHER)));
            }
            other => return Err(format!("nobody knows `{other}`")),
        }
    }
    Ok(context)
}

fn read_result(result: Option<Value>) -> Result<i64, String> {
    match result {
        None => Ok(0),
        Some(Value::Number(n)) => n.as_i64().ok_or_else(|| format!("`{n}` is no result")),
        Some(Value::String(name)) => (1..200)
            .find(|n| super::outcome::errno_name(*n) == name)
            .map(|n| -i64::from(n))
            .ok_or_else(|| format!("no errno is called `{name}`")),
        Some(other) => Err(format!("`{other}` is no result")),
    }
}

fn read_actor(written: &mut Map<String, Value>) -> Result<Value, String> {
    let by_host = match written.remove("by").as_ref().and_then(Value::as_str) {
        None => false,
        Some("host") => true,
        Some(other) => return Err(format!("by `{other}`?")),
    };
    let namespaces = if by_host { host_namespaces() } else { own_namespaces() };
    let mut namespaces = serde_json::to_value(namespaces).map_err(|e| e.to_string())?;
    let host = serde_json::to_value(host_namespaces()).map_err(|e| e.to_string())?;
    for kind in written.remove("shares").as_ref().and_then(Value::as_array).into_iter().flatten() {
        let kind = kind.as_str().unwrap_or_default();
        namespaces[kind] = host.get(kind).cloned().ok_or_else(|| format!("no namespace `{kind}`"))?;
    }
    let task = task_of(if by_host { "host" } else { "self" });
    let mut actor = json!({
        "task": task, "name": "sh", "namespaces": namespaces,
        "container": if by_host { Value::Null } else { json!(OWN) },
        "credentials": {"seccomp": 2, "bounding": 0xa804_25fbu64, "effective": 0xa804_25fbu64},
    });
    for (key, given) in written.remove("actor").as_ref().and_then(Value::as_object).into_iter().flatten() {
        match (given, &mut actor[key.as_str()]) {
            (Value::Object(given), Value::Object(there)) => there.extend(given.clone()),
            (given, there) => *there = given.clone(),
        }
    }
    Ok(actor)
}

fn read_what(kind: &str, facts: Value) -> Result<Value, String> {
    let known =
        Kind::ALL.iter().find(|k| k.name() == kind).ok_or_else(|| format!("no kind of event `{kind}`"))?;
    let Value::Object(facts) = facts else { return Err(format!("{kind}: the facts are a mapping")) };
    let mut what = blank(*known);
    what["event"] = json!(kind);
    for (key, value) in facts {
        let splice = *known == Kind::Splice && (key == "from" || key == "to");
        let value = match key.as_str() {
            "file" | "onto" => read_file(value)?,
            _ if splice => read_file(value)?,
            "target" | "peer" if value.as_str().is_some_and(|whose| task_of(whose).is_some()) => {
                let whose = value.as_str().unwrap_or_default();
                let container = match whose {
                    "own" | "self" => json!(OWN),
                    "other" => json!(OTHER),
                    _ => Value::Null,
                };
                if key == "target" {
                    what["target_container"] = container;
                }
                json!(task_of(whose))
            }
            _ => value,
        };
        what[key.as_str()] = value;
    }
    Ok(what)
}

fn read_file(written: Value) -> Result<Value, String> {
    let Value::Object(written) = written else { return Err("a file is a mapping".into()) };
    let mut file = json!({"mount_namespace": own_namespaces().mount});
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut path = String::new();
    let mut kind = 0o100_000u32;
    let mut mode = 0o644u32;
    for (key, value) in &written {
        match key.as_str() {
            "system" => {
                let name = text(value);
                let system = FileSystem::ALL.iter().find(|(_, _, n)| *n == name);
                let (system, magic, _) = system.ok_or_else(|| format!("no file system `{name}`"))?;
                file["file_system"] = json!(magic);
                if *system == FileSystem::Overlay {
                    file["id"] = json!({"device": OWN_DEVICE, "inode": 7});
                }
                let inside = written.get("path").map(text).unwrap_or_default();
                file["path_in_file_system"] = json!(inside);
                path = format!("{}{inside}", usual_place(*system));
            }
            "path" => {}
            "host" => {
                file["file_system"] = json!(EXT4);
                file["id"] = json!({"device": HOST_DEVICE, "inode": 7});
                file["path_in_file_system"] = value.clone();
                path = text(value);
            }
            "asked" => {
                path = text(value);
                kind = 0;
                mode = 0;
            }
            "at" => {}
            "type" => {
                kind = match text(value).as_str() {
                    "block" => 0o060_000,
                    "character" => 0o020_000,
                    "directory" => 0o040_000,
                    "regular" => 0o100_000,
                    other => return Err(format!("no type of file `{other}`")),
                }
            }
            "mode" => mode = value.as_u64().and_then(|m| u32::try_from(m).ok()).unwrap_or(0),
            "device" => file["device"] = value.clone(),
            "of" => {
                let device = if text(value) == "other" { OTHER_DEVICE } else { OWN_DEVICE };
                file["id"] = json!({"device": device, "inode": 7});
            }
            "inode" => file["id"] = json!({"device": [0, 4], "inode": value}),
            "process" => file["process"] = json!(task_of(&text(value))),
            "through" => {
                file["mount_namespace"] = json!(match text(value).as_str() {
                    "host" => host_namespaces().mount,
                    "other" => OTHER_MOUNT,
                    _ => own_namespaces().mount,
                });
            }
            "upper_layer" | "nameless" => file[key.as_str()] = value.clone(),
            other => return Err(format!("a file has no `{other}`")),
        }
    }
    if let Some(at) = written.get("at") {
        path = text(at);
    }
    file["path"] = json!(path);
    file["mode"] = json!(kind | mode);
    Ok(file)
}

fn usual_place(system: FileSystem) -> &'static str {
    match system {
        FileSystem::Proc => "/proc",
        FileSystem::Sysfs => "/sys",
        FileSystem::Cgroup | FileSystem::Cgroup2 => "/sys/fs/cgroup",
        FileSystem::Debugfs => "/sys/kernel/debug",
        FileSystem::Tracefs => "/sys/kernel/tracing",
        FileSystem::Securityfs => "/sys/kernel/security",
        FileSystem::Selinuxfs => "/sys/fs/selinux",
        FileSystem::Bpf => "/sys/fs/bpf",
        FileSystem::BinfmtMisc => "/proc/sys/fs/binfmt_misc",
        FileSystem::Nsfs | FileSystem::Overlay | FileSystem::Tmpfs => "",
    }
}

/// The facts of an event that a case does not say.
fn blank(kind: Kind) -> Value {
    match kind {
        Kind::Open => json!({"file": {}, "asked": "", "flags": 0, "resolve": 0, "created": false}),
        Kind::OpenByHandle => json!({"file": {}, "flags": 0}),
        Kind::Execve => json!({
            "file": {}, "asked": "", "arguments": [], "environment": [], "directory": "/", "session": 0, "group": 0,
            "before": {"effective": 0xa804_25fbu64}, "entered": false,
            "directory_mount_namespace": own_namespaces().mount,
        }),
        Kind::ReceivedFile => json!({"file": {}, "descriptor": 3}),
        Kind::Rename => json!({"from": "", "to": "", "flags": 0}),
        Kind::Link => json!({"from": "", "to": ""}),
        Kind::Symlink => json!({"target": "", "path": ""}),
        Kind::Unlink => json!({"path": "", "directory": false}),
        Kind::Mkdir => json!({"path": "", "mode": 0}),
        Kind::Mknod => json!({"path": "", "mode": 0, "device": [0, 0]}),
        Kind::Chmod => json!({"file": {}, "mode": 0}),
        Kind::Chown => json!({"file": {}, "uid": 0, "gid": 0}),
        Kind::Setxattr => json!({"file": {}, "name": ""}),
        Kind::Ioctl => json!({"file": {}, "command": 0}),
        Kind::Chdir | Kind::Chroot => json!({"path": ""}),
        Kind::PivotRoot => json!({"new_root": "", "put_old": ""}),
        Kind::Splice => json!({"call": "splice"}),
        Kind::MakeExecutable => json!({"protection": 5}),
        Kind::Mount => json!({
            "source": "", "target": "", "file_system": "", "flags": 0, "data": "", "source_device": [0, 0],
        }),
        Kind::Umount => json!({"target": "", "flags": 0}),
        Kind::Fsopen => json!({"file_system": "", "flags": 0}),
        Kind::Fsconfig => json!({"command": 1, "key": "", "value": "", "file_system": ""}),
        Kind::Fsmount => json!({"file_system": "", "attributes": 0}),
        Kind::OpenTree => json!({"path": "", "flags": 0}),
        Kind::MoveMount => json!({"from": "", "to": "", "flags": 0}),
        Kind::MountSetattr => json!({"path": "", "flags": 0, "set": 0, "clear": 0, "propagation": 0}),
        Kind::Setns => json!({"kind": 0, "namespace": 0, "target_is_host": false}),
        Kind::Unshare => json!({"flags": 0, "after": {}}),
        Kind::CloneNamespaces => json!({"flags": 0}),
        Kind::Capset => json!({"before": {}, "after": {}}),
        Kind::UnexplainedGain => json!({
            "before": {"euid": 1000}, "after": {"euid": 1000}, "namespaces_before": own_namespaces(),
        }),
        Kind::Prctl => json!({"option": 0, "argument": 0}),
        Kind::Keyctl => json!({"call": "keyctl", "operation": 0, "argument": 0}),
        Kind::Ptrace => json!({"request": 16, "target": task_of("own"), "target_container": OWN}),
        Kind::OtherProcess => {
            json!({"call": "process_vm_readv", "target": task_of("own"), "target_container": OWN})
        }
        Kind::Kill => json!({"target": task_of("own"), "target_container": OWN, "signal": 15}),
        Kind::Socket => json!({"family": 2, "kind": 1, "protocol": 0}),
        Kind::Connect => json!({"family": 1, "kind": 1}),
        Kind::Send => json!({"call": "sendto", "length": 0}),
        Kind::Netlink => json!({"protocol": 0, "message": 0}),
        Kind::Module => json!({"call": "finit_module", "name": ""}),
        Kind::Bpf => json!({"command": 0, "program_type": 0, "attach_type": 0, "name": ""}),
        Kind::Kexec => json!({"call": "kexec_load", "flags": 0}),
        Kind::Reboot => json!({"command": 0}),
        Kind::PerfEventOpen => json!({"kind": 0, "config": 0, "target": -1}),
        Kind::Userfaultfd => json!({"flags": 0}),
        Kind::Syslog => json!({"action": 0}),
        Kind::SetTime => json!({"call": "clock_settime"}),
        Kind::SetName => json!({"call": "sethostname", "name": ""}),
        Kind::Iopl => json!({"call": "iopl"}),
        Kind::RareCall => json!({"call": "", "arguments": [0, 0, 0]}),
        Kind::IoUringSetup => json!({"entries": 8, "flags": 0}),
        Kind::IoUringRequest => json!({"opcode": 18, "flags": 0}),
        Kind::UsermodeHelper => json!({"file": {}, "arguments": []}),
        Kind::ContainerStarted => json!({"key": OWN, "cgroup_path": "/docker/x", "root": {}}),
        _ => json!({}),
    }
}
