//! Looks at events that are not about files alone: calls with their numbers, connections, mounts. Each is a value of
//! the table; what the numbers mean stands beside them there.

use std::net::IpAddr;

use confinement::HostPath;
use sensor::event::{Address, ContainerKey, Event, Kind, Source, Task, Text, What};
use serde::Deserialize;
use techniques::objects::ObjectClass;

use super::context::{Context, Owner};
use super::files::{FileSystem, Whose};
use super::pattern::Pattern;

/// What an attempt was aimed at, and where that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    pub text: String,
    pub source: Source,
    /// What was opened is a mask over it.
    pub masked: bool,
}

impl Object {
    pub fn new(text: impl Into<String>) -> Object {
        Object { text: text.into(), source: Source::Kernel, masked: false }
    }
    pub fn of(text: &Text) -> Object {
        Object { text: text.text.clone(), source: text.source, masked: false }
    }
}

/// A number, or all from one to another.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Numbers {
    One(u64),
    Range([u64; 2]),
}

impl Numbers {
    fn has(self, number: u64) -> bool {
        match self {
            Numbers::One(n) => n == number,
            Numbers::Range([from, to]) => (from..=to).contains(&number),
        }
    }
}

/// A system call by its name, whatever its number in which table, and by its arguments.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct CallLook {
    pub call: Vec<String>,
    /// The first, second or third argument is one of these; each call's arguments: [`call_of`].
    #[serde(default)]
    pub first: Vec<Numbers>,
    #[serde(default)]
    pub second: Vec<Numbers>,
    #[serde(default)]
    pub third: Vec<Numbers>,
    /// One of these bits of the first argument.
    #[serde(default)]
    pub bits: u64,
    /// None of these bits of the first argument.
    #[serde(default)]
    pub without: u64,
    /// The process it is aimed at is theirs.
    #[serde(default)]
    pub target: Option<Whose>,
}

/// The event as a call with up to three numbers.
pub(super) fn call_of(what: &What) -> Option<(&str, [u64; 3])> {
    Some(match what {
        What::Unshare { flags, .. } => ("unshare", [*flags, 0, 0]),
        What::CloneNamespaces { flags } => ("clone", [*flags, 0, 0]),
        What::Setns { kind, namespace, target_is_host } => {
            ("setns", [u64::from(*kind), u64::from(*target_is_host), u64::from(*namespace)])
        }
        What::Chroot { .. } => ("chroot", [0; 3]),
        What::PivotRoot { .. } => ("pivot_root", [0; 3]),
        What::Setuid { call, ids } => (call, ids.map(u64::from)),
        What::Prctl { option, argument } => ("prctl", [u64::from(*option), *argument, 0]),
        What::Keyctl { call, operation, argument } => (call, [u64::from(*operation), *argument, 0]),
        What::Ptrace { request, .. } => ("ptrace", [*request, 0, 0]),
        What::OtherProcess { call, .. } => (call, [0; 3]),
        What::Kill { signal, .. } => ("kill", [u64::try_from(*signal).unwrap_or(0), 0, 0]),
        What::Mknod { mode, device, .. } => {
            ("mknod", [u64::from(mode & 0o170_000), u64::from(device.0), u64::from(device.1)])
        }
        What::Chmod { mode, .. } => ("chmod", [u64::from(*mode), 0, 0]),
        What::Ioctl { command, .. } => ("ioctl", [u64::from(*command), 0, 0]),
        What::Socket { family, kind, protocol } => {
            // The flags SOCK_CLOEXEC and SOCK_NONBLOCK stand in the same argument (socket(2)).
            ("socket", [u64::from(*family), u64::from(kind & 0xf), u64::from(*protocol)])
        }
        What::Netlink { protocol, message } => ("netlink", [u64::from(*protocol), u64::from(*message), 0]),
        What::Module { call, .. }
        | What::SetTime { call }
        | What::SetName { call, .. }
        | What::Iopl { call } => (call, [0; 3]),
        What::Bpf { command, program_type, attach_type, .. } => {
            ("bpf", [u64::from(*command), u64::from(*program_type), u64::from(*attach_type)])
        }
        What::Kexec { call, flags } => (call, [*flags, 0, 0]),
        What::Reboot { command } => ("reboot", [u64::from(*command), 0, 0]),
        What::PerfEventOpen { kind, config, .. } => ("perf_event_open", [u64::from(*kind), *config, 0]),
        What::Userfaultfd { flags } => ("userfaultfd", [*flags, 0, 0]),
        What::Syslog { action } => ("syslog", [u64::try_from(*action).unwrap_or(0), 0, 0]),
        What::IoUringSetup { flags, .. } => ("io_uring_setup", [u64::from(*flags), 0, 0]),
        What::Splice { call, .. } => (call, [0; 3]),
        What::RareCall { call, arguments } => (call, *arguments),
        _ => return None,
    })
}

/// The kinds of events a call comes as.
fn kinds_of_call(call: &str) -> &'static [Kind] {
    match call {
        "unshare" => &[Kind::Unshare],
        "clone" => &[Kind::CloneNamespaces],
        "setns" => &[Kind::Setns],
        "chroot" => &[Kind::Chroot],
        "pivot_root" => &[Kind::PivotRoot],
        "prctl" => &[Kind::Prctl],
        "keyctl" | "add_key" | "request_key" => &[Kind::Keyctl],
        "ptrace" => &[Kind::Ptrace],
        "process_vm_readv" | "process_vm_writev" | "process_madvise" | "pidfd_getfd" | "kcmp" => {
            &[Kind::OtherProcess]
        }
        "kill" => &[Kind::Kill],
        "mknod" => &[Kind::Mknod],
        "chmod" => &[Kind::Chmod],
        "ioctl" => &[Kind::Ioctl],
        "socket" => &[Kind::Socket],
        "netlink" => &[Kind::Netlink],
        "init_module" | "finit_module" | "delete_module" => &[Kind::Module],
        "settimeofday" | "clock_settime" | "clock_settime64" | "stime" | "adjtimex" | "clock_adjtime"
        | "clock_adjtime64" => &[Kind::SetTime],
        "sethostname" | "setdomainname" => &[Kind::SetName],
        "iopl" | "ioperm" => &[Kind::Iopl],
        "bpf" => &[Kind::Bpf],
        "kexec_load" | "kexec_file_load" => &[Kind::Kexec],
        "reboot" => &[Kind::Reboot],
        "perf_event_open" => &[Kind::PerfEventOpen],
        "userfaultfd" => &[Kind::Userfaultfd],
        "syslog" => &[Kind::Syslog],
        "io_uring_setup" => &[Kind::IoUringSetup],
        "splice" | "tee" | "vmsplice" | "sendfile" => &[Kind::Splice],
        _ => &[Kind::RareCall],
    }
}

/// The process that a call is aimed at.
fn target_of(what: &What) -> Option<(&Task, Option<ContainerKey>)> {
    match what {
        What::Ptrace { target, target_container, .. }
        | What::OtherProcess { target, target_container, .. }
        | What::Kill { target, target_container, .. } => Some((target, *target_container)),
        _ => None,
    }
}

impl CallLook {
    pub fn kinds(&self) -> impl Iterator<Item = Kind> {
        self.call.iter().flat_map(|call| kinds_of_call(call)).copied()
    }

    pub fn sees(&self, event: &Event, context: &dyn Context) -> Option<Object> {
        let (call, [first, second, third]) = call_of(&event.what)?;
        let among = |numbers: &[Numbers], n: u64| numbers.is_empty() || numbers.iter().any(|m| m.has(n));
        let seen = self.call.iter().any(|c| c == call)
            && among(&self.first, first)
            && among(&self.second, second)
            && among(&self.third, third)
            && (self.bits == 0 || first & self.bits != 0)
            && first & self.without == 0;
        if !seen {
            return None;
        }
        let Some(whose) = self.target else { return Some(Object::new(object_of_call(&event.what, call))) };
        let (task, container) = target_of(&event.what)?;
        let owner = container.map_or_else(|| context.owner(task), Owner::Container);
        whose.is(owner, event).then(|| Object::new(format!("process {}", task.process)))
    }
}

fn object_of_call(what: &What, call: &str) -> String {
    match what {
        What::Module { name, .. } if !name.text.is_empty() => format!("module {}", name.text),
        What::Bpf { name, .. } if !name.is_empty() => format!("program {name}"),
        What::Mknod { path, device: (major, minor), .. } => format!("{} ({major}:{minor})", path.text),
        What::Chroot { path, .. } | What::PivotRoot { new_root: path, .. } => path.text.clone(),
        What::Socket { family, kind, protocol } => {
            format!("family {family}, type {}, protocol {protocol}", kind & 0xf)
        }
        What::Netlink { protocol, message } => format!("netlink protocol {protocol}, message {message}"),
        What::Setns { namespace, .. } => format!("namespace {namespace}"),
        What::SetName { name, .. } => name.text.clone(),
        _ => format!("{call}(2)"),
    }
}

/// A connection, or a message to an address.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConnectLook {
    /// A Unix socket of one of these classes (`objects.yaml` of the techniques).
    pub unix: Vec<String>,
    /// A Unix socket bound to one of these paths; abstract names begin with `@`.
    pub unix_path: Vec<Pattern>,
    pub port: Vec<u16>,
    pub address: Vec<IpAddr>,
    /// Not to a container that is known.
    pub not_to_container: bool,
    /// The API server of the container's cluster.
    pub api_server: bool,
    #[serde(skip)]
    pub classes: Vec<&'static ObjectClass>,
}

impl ConnectLook {
    pub const KINDS: &[Kind] = &[Kind::Connect, Kind::Send, Kind::IoUringRequest];

    pub fn sees(&self, event: &Event, context: &dyn Context) -> Option<Object> {
        let (address, peer, bound) = match &event.what {
            What::Connect { address, peer, bound, .. } => (address, peer.as_ref(), bound.as_ref()),
            What::Send { address: Some(address), .. }
            | What::IoUringRequest { address: Some(address), .. } => (address, None, None),
            _ => return None,
        };
        match address {
            Address::Unix { path } => self.sees_unix(path, peer, bound, event, context),
            Address::Internet { address, port } => self.sees_internet(*address, *port, event, context),
            _ => None,
        }
    }

    /// By the name that the listener bound, which nobody else can give; by the path in the caller's view besides.
    fn sees_unix(
        &self,
        path: &Text,
        peer: Option<&Task>,
        bound: Option<&Text>,
        event: &Event,
        context: &dyn Context,
    ) -> Option<Object> {
        if self.classes.is_empty() && self.unix_path.is_empty() {
            return None;
        }
        // The container's own daemon: an engine or a bus inside it.
        let own = |task: &Task| matches!(context.owner(task), Owner::Container(key) if Some(key) == event.actor.container);
        if peer.is_some_and(own) {
            return None;
        }
        let names = [bound, Some(path)];
        let mut names = names.into_iter().flatten().filter(|name| !name.text.is_empty());
        let name = names.find(|name| self.is_socket(&name.text))?;
        Some(Object::of(name))
    }

    fn is_socket(&self, name: &str) -> bool {
        if name.starts_with('@') {
            return self.unix_path.iter().any(|p| p.is(name));
        }
        let path = HostPath::new(name);
        self.classes.iter().any(|class| class.has_file(path.as_str()))
            || self.unix_path.iter().any(|p| p.is(path.as_str()))
    }

    fn sees_internet(
        &self,
        address: IpAddr,
        port: u16,
        event: &Event,
        context: &dyn Context,
    ) -> Option<Object> {
        let address = address.to_canonical();
        if self.api_server {
            let server = event.actor.container.and_then(|key| context.api_server(key))?;
            return (server == (address, port)).then(|| Object::new(format!("{address} port {port}")));
        }
        if self.port.is_empty() && self.address.is_empty() {
            return None;
        }
        let seen = (self.port.is_empty() || self.port.contains(&port))
            && (self.address.is_empty() || self.address.contains(&address))
            && !(self.not_to_container && matches!(context.address(address), Owner::Container(_)));
        seen.then(|| Object::new(format!("{address} port {port}")))
    }
}

/// A mount made, changed or taken away, by any of the calls that do so.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct MountLook {
    pub by: Vec<MountCall>,
    /// A new file system of one of these types.
    pub file_system: Vec<String>,
    /// From a block device.
    pub block_device: bool,
    /// On, or of, one of these file systems.
    pub on: Vec<FileSystem>,
    /// A mount point below one of these paths, as the kernel walks from the root of the process.
    pub below: Vec<Pattern>,
    /// On a folder of the host.
    pub on_host: bool,
    /// mount(2): all of these flags, and none of those.
    pub flags: u64,
    pub without: u64,
    /// What is bound: one of these.
    pub binds: Vec<Pattern>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MountCall {
    Mount,
    Umount,
    Fsopen,
    Fsconfig,
    Fsmount,
    OpenTree,
    MoveMount,
    MountSetattr,
}

impl MountCall {
    pub fn kind(self) -> Kind {
        match self {
            MountCall::Mount => Kind::Mount,
            MountCall::Umount => Kind::Umount,
            MountCall::Fsopen => Kind::Fsopen,
            MountCall::Fsconfig => Kind::Fsconfig,
            MountCall::Fsmount => Kind::Fsmount,
            MountCall::OpenTree => Kind::OpenTree,
            MountCall::MoveMount => Kind::MoveMount,
            MountCall::MountSetattr => Kind::MountSetattr,
        }
    }
}

/// mount(2): a change of what is mounted already, by MS_REMOUNT, MS_BIND, MS_MOVE or a change of propagation.
const NO_NEW_FILE_SYSTEM: u64 = 32 | 4096 | 8192 | (1 << 17) | (1 << 18) | (1 << 19) | (1 << 20);

impl MountLook {
    pub const KINDS: &[Kind] = &[
        Kind::Mount,
        Kind::Umount,
        Kind::Fsopen,
        Kind::Fsconfig,
        Kind::Fsmount,
        Kind::OpenTree,
        Kind::MoveMount,
        Kind::MountSetattr,
    ];

    pub fn sees(&self, event: &Event, context: &dyn Context) -> Option<Object> {
        let mount = Mounting::of(&event.what)?;
        let new = |types: &[String]| types.iter().any(|t| t == mount.file_system);
        let seen = (self.by.is_empty() || self.by.contains(&mount.call))
            && (self.file_system.is_empty() || new(&self.file_system))
            && (!self.block_device || mount.is_from_block_device())
            && (self.on.is_empty() && self.below.is_empty() || self.is_on(&mount))
            && mount.flags & self.flags == self.flags
            && mount.flags & self.without == 0
            && (self.binds.is_empty()
                || self.binds.iter().any(|p| p.is(mount.source.map_or("", |t| &t.text))))
            && (!self.on_host
                || event.actor.container.is_some_and(|key| {
                    mount.files.iter().any(|file| context.host_file(key, file).is_some())
                }));
        seen.then(|| mount.object())
    }

    fn is_on(&self, mount: &Mounting<'_>) -> bool {
        let on = |magic: u64| FileSystem::of_magic(magic).is_some_and(|fs| self.on.contains(&fs));
        mount.files.iter().any(|file| on(file.file_system))
            || mount.paths.iter().any(|path| self.below.iter().any(|p| p.holds(&path.text)))
    }
}

/// What the calls have in common.
struct Mounting<'a> {
    call: MountCall,
    file_system: &'a str,
    source: Option<&'a Text>,
    source_device: (u32, u32),
    paths: Vec<&'a Text>,
    files: Vec<&'a sensor::event::File>,
    flags: u64,
}

impl<'a> Mounting<'a> {
    fn of(what: &'a What) -> Option<Mounting<'a>> {
        let none = |call| Mounting {
            call,
            file_system: "",
            source: None,
            source_device: (0, 0),
            paths: Vec::new(),
            files: Vec::new(),
            flags: 0,
        };
        Some(match what {
            What::Mount { source, target, file_system, flags, source_device, file, .. } => Mounting {
                file_system: if flags & NO_NEW_FILE_SYSTEM == 0 { &file_system.text } else { "" },
                source: Some(source),
                source_device: *source_device,
                paths: vec![target],
                files: vec![file],
                flags: *flags,
                ..none(MountCall::Mount)
            },
            What::Umount { target, file, .. } => {
                Mounting { paths: vec![target], files: vec![file], ..none(MountCall::Umount) }
            }
            What::Fsopen { file_system, .. } => {
                Mounting { file_system: &file_system.text, ..none(MountCall::Fsopen) }
            }
            What::Fsconfig { key, value, file_system, .. } => Mounting {
                file_system: &file_system.text,
                source: (key.text == "source").then_some(value),
                ..none(MountCall::Fsconfig)
            },
            What::Fsmount { file_system, .. } => {
                Mounting { file_system: &file_system.text, ..none(MountCall::Fsmount) }
            }
            What::OpenTree { path, flags, file } => Mounting {
                source: Some(path),
                paths: vec![path],
                files: vec![file],
                flags: *flags,
                ..none(MountCall::OpenTree)
            },
            What::MoveMount { from, to, file, onto, .. } => {
                Mounting { paths: vec![from, to], files: vec![file, onto], ..none(MountCall::MoveMount) }
            }
            What::MountSetattr { path, set, file, .. } => Mounting {
                paths: vec![path],
                files: vec![file],
                flags: *set,
                ..none(MountCall::MountSetattr)
            },
            _ => return None,
        })
    }

    /// By the device that the kernel opened, or by the name of a node of one that was asked for. Only new file systems
    /// are mounted from a device: a bind mount of a node is a file.
    fn is_from_block_device(&self) -> bool {
        let new = match self.call {
            MountCall::Mount => self.flags & NO_NEW_FILE_SYSTEM == 0,
            MountCall::Fsconfig => true,
            _ => false,
        };
        let named = self.source.is_some_and(|source| source.text.starts_with("/dev/"));
        // Where no device stands behind, the kernel gives numbers with the major 0 (`get_anon_bdev`).
        new && (self.source_device.0 != 0 || named)
    }

    fn object(&self) -> Object {
        let named = [self.source].into_iter().flatten().chain(self.paths.iter().copied());
        let mut named = named.filter(|text| !text.text.is_empty());
        match (named.next(), self.file_system) {
            (Some(text), "") => Object::of(text),
            (Some(text), fs) => Object { text: format!("{} ({fs})", text.text), ..Object::of(text) },
            (None, "") => Object::new("a mount"),
            (None, fs) => Object::new(fs),
        }
    }
}
