//! What was measured: the type behind a facts file (`stockade.facts/1`).
//!
//! `measure` fills it, `serde` writes and reads it, the host and container sources turn it into facts.
//! Every member is optional on reading and an unknown member is ignored, so that files of older and newer
//! versions are read; what a file does not say is `None`, empty or [`Reading::Unmeasured`], never a guess.

use std::collections::BTreeMap;

use confinement::CapabilitySet;
use serde::{Deserialize, Serialize};

/// The `schema` member of a facts file.
pub const SCHEMA: &str = "stockade.facts/1";

/// Everything that one process could learn about its own confinement and the kernel under it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Measurement {
    pub schema: String,
    /// Whether the probes that trip sensors were asked for: open for write, connect.
    pub active: bool,
    pub kernel: Kernel,
    /// `/etc/os-release` of the file system seen: inside a container, the image's.
    pub os_release: OsRelease,
    pub process: Process,
    /// By the name under `/proc/self/ns`: `cgroup`, `ipc`, `mnt`, `net`, `pid`, `time`, `user`, `uts`.
    pub namespaces: BTreeMap<String, Namespace>,
    pub id_maps: IdMaps,
    pub mounts: Vec<Mount>,
    /// What statfs(2) says of the places whose file system matters.
    pub file_systems: Vec<FileSystem>,
    /// The paths that engines mask by default.
    pub masked_paths: Vec<MaskedPath>,
    /// Kernel interfaces that change the host, and the directories that engines make read-only.
    pub kernel_interfaces: Vec<KernelInterface>,
    pub security_modules: SecurityModules,
    /// The raw answer of every system-call probe, in the order they were made.
    pub probes: Vec<Probe>,
    /// Whether seccomp permits a system call, by its name, concluded from `probes` and the seccomp mode.
    /// Where a filter may look at arguments the name says which: `unshare(CLONE_NEWUSER)`, `socket(AF_ALG)`.
    pub system_calls: BTreeMap<String, Conclusion>,
    /// Whether a capability is effective, by its name without `CAP_`, shown by a probe whose check it is.
    pub capabilities: BTreeMap<String, Vec<ShownCapability>>,
    pub cgroup: Cgroup,
    /// By name as sysctl(8) writes it: `kernel.unprivileged_bpf_disabled`.
    pub sysctls: BTreeMap<String, Value>,
    pub devices: Vec<Device>,
    /// Control sockets found, each once, under the first path that led to it.
    pub sockets: Vec<Socket>,
    pub network: Network,
    pub processes: Processes,
    pub service_account_token: AccessiblePath,
    pub environment: Environment,
    /// What was cut short or not measured, and why; and where two sources of one fact disagree.
    pub notes: Vec<String>,
}

/// What the kernel answered: exactly one member is set, or none where nothing was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<i64>,
    /// The error by its name: `EPERM`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The signal that ended the child that made the call: `SIGSYS` is a seccomp filter's kill or trap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub killed: Option<String>,
    /// Why the call was not made or not answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
}

impl Answer {
    pub fn is_error(&self, name: &str) -> bool {
        self.error.as_deref() == Some(name)
    }
    pub(crate) fn skipped(why: impl Into<String>) -> Answer {
        Answer { skipped: Some(why.into()), ..Answer::default() }
    }
}

/// What an answer means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum Reading {
    Permitted,
    Blocked,
    /// More than one cause gives this answer; the reason says which.
    Ambiguous,
    /// There is nothing to permit: the kernel lacks it, or the path does not exist.
    Absent,
    #[default]
    Unmeasured,
}

impl From<String> for Reading {
    fn from(text: String) -> Reading {
        match text.as_str() {
            "permitted" => Reading::Permitted,
            "blocked" => Reading::Blocked,
            "ambiguous" => Reading::Ambiguous,
            "absent" => Reading::Absent,
            _ => Reading::Unmeasured,
        }
    }
}

impl From<Reading> for &'static str {
    fn from(reading: Reading) -> &'static str {
        match reading {
            Reading::Permitted => "permitted",
            Reading::Blocked => "blocked",
            Reading::Ambiguous => "ambiguous",
            Reading::Absent => "absent",
            Reading::Unmeasured => "unmeasured",
        }
    }
}

/// A reading with its reason.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conclusion {
    pub reads_as: Reading,
    pub why: String,
}

/// One system call made with arguments that the kernel rejects before any effect.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Probe {
    /// The key in `system_calls`.
    pub name: String,
    /// The call as made: `mount(NULL, NULL, NULL, 0, NULL)`.
    pub call: String,
    pub answer: Answer,
    pub reads_as: Reading,
    pub why: String,
}

/// What a probe says of a capability.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ShownCapability {
    /// The call that showed it.
    pub by: String,
    /// The user namespace over which the kernel checks it: `initial`, `own`, or a namespace's owner:
    /// `owner of mnt`.
    pub over: String,
    /// `permitted`: effective there. `blocked`: not, or an LSM refused it.
    pub reads_as: Reading,
    pub why: String,
}

/// uname(2), without the host's name.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kernel {
    pub release: String,
    /// The build's version text; distributions put their package version here.
    pub version: String,
    /// `x86_64`, `aarch64`.
    pub machine: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct OsRelease {
    pub id: Option<String>,
    pub id_like: Option<String>,
    pub version_id: Option<String>,
}

/// Credentials and restrictions of the measuring process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Process {
    pub pid: Option<u32>,
    /// The process's number in each pid namespace from the one that the procfs shows inwards.
    pub namespace_pids: Vec<u32>,
    /// Real, effective, saved, file-system; as seen in the own user namespace.
    pub uids: Vec<u32>,
    pub gids: Vec<u32>,
    pub groups: Vec<u32>,
    pub capabilities: Capabilities,
    pub no_new_privs: Option<bool>,
    /// 0 none, 1 strict, 2 filter.
    pub seccomp_mode: Option<u32>,
    pub seccomp_filters: Option<u32>,
    /// prctl(2) `PR_GET_SECUREBITS`.
    pub securebits: Option<u32>,
    /// personality(2); read with 0xffffffff.
    pub personality: Option<u32>,
}

/// The five sets, each a number with the kernel's bits; `None` where neither procfs nor a call told.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Capabilities {
    pub inheritable: Option<CapabilitySet>,
    pub permitted: Option<CapabilitySet>,
    pub effective: Option<CapabilitySet>,
    pub bounding: Option<CapabilitySet>,
    pub ambient: Option<CapabilitySet>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Namespace {
    pub inode: Option<u64>,
    /// Whether it is the machine's first one, by the kernel's fixed inode numbers; `None` where this kernel
    /// has no fixed number for the kind.
    pub initial: Option<bool>,
    /// Inode of the user namespace that owns it (`NS_GET_USERNS`).
    pub owner_inode: Option<u64>,
    /// Whether the own user namespace is the owner; false where it is one outside, which the kernel hides.
    pub owned_by_own_user_namespace: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdMaps {
    pub uid: Vec<IdMapping>,
    pub gid: Vec<IdMapping>,
    /// `allow` or `deny`.
    pub setgroups: Option<String>,
}

/// One line of `uid_map`: ids from `inside` are the ids from `outside`, in the parent namespace when read
/// from inside (user_namespaces(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IdMapping {
    pub inside: u32,
    pub outside: u32,
    pub length: u32,
}

/// One line of mountinfo (proc_pid_mountinfo(5)), octal escapes resolved.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Mount {
    pub id: u64,
    pub parent: u64,
    /// `major:minor` of the file system.
    pub device: String,
    /// The directory of the file system that is shown.
    pub root: String,
    pub mount_point: String,
    pub options: Vec<String>,
    /// Peer group that mounts are shared with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shared: Option<u64>,
    /// Peer group that mounts are received from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub propagate_from: Option<u64>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub unbindable: bool,
    pub file_system: String,
    pub source: String,
    pub super_options: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileSystem {
    pub path: String,
    /// `f_type`, such as 0x9fa0.
    pub magic: Option<u64>,
    /// The name of the magic number where it is known: `proc`, `sysfs`, `cgroup2`.
    pub name: Option<String>,
    pub read_only: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Whether a path that engines mask shows the kernel's file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "String", into = "&'static str")]
pub enum Visibility {
    Visible,
    /// `/dev/null`, or an empty tmpfs, lies over it.
    Masked,
    Absent,
    #[default]
    Unmeasured,
}

impl From<String> for Visibility {
    fn from(text: String) -> Visibility {
        match text.as_str() {
            "visible" => Visibility::Visible,
            "masked" => Visibility::Masked,
            "absent" => Visibility::Absent,
            _ => Visibility::Unmeasured,
        }
    }
}

impl From<Visibility> for &'static str {
    fn from(visibility: Visibility) -> &'static str {
        match visibility {
            Visibility::Visible => "visible",
            Visibility::Masked => "masked",
            Visibility::Absent => "absent",
            Visibility::Unmeasured => "unmeasured",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MaskedPath {
    pub path: String,
    pub state: Visibility,
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KernelInterface {
    pub path: String,
    pub exists: Option<bool>,
    /// `file`, `directory`, `character device`, …
    pub kind: Option<String>,
    /// Permission bits, in decimal.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// `ST_RDONLY` of statfs(2): the mount or the file system is read-only.
    pub read_only: Option<bool>,
    /// faccessat2(2) with `W_OK` and effective ids. No LSM is asked.
    pub write_access: Answer,
    /// open(2) for write, closed at once; made with `active` on regular sysctl files only. LSMs are asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub write_open: Option<Answer>,
    pub reads_as: Reading,
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SecurityModules {
    /// `/sys/kernel/security/lsm`, else lsm_list_modules(2); `None` where neither told.
    pub active: Option<Vec<String>>,
    /// `/proc/self/attr/current` as it stands.
    pub attr_current: Option<String>,
    /// Whether a module of this kernel labels processes at all.
    pub labels: Option<bool>,
    /// `/proc/self/attr/apparmor/current`, or `attr_current` where its form is AppArmor's.
    pub apparmor_profile: Option<String>,
    /// `enforce`, `complain`, `kill`, `unconfined`, …
    pub apparmor_mode: Option<String>,
    /// `/sys/module/apparmor/parameters/enabled`.
    pub apparmor_enabled: Option<bool>,
    pub selinux_context: Option<String>,
    pub selinux_enforcing: Option<bool>,
    /// landlock_create_ruleset(2) with `LANDLOCK_CREATE_RULESET_VERSION`.
    pub landlock_abi: Answer,
    /// The mode in brackets of `/sys/kernel/security/lockdown`.
    pub lockdown: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cgroup {
    /// A version 1 hierarchy with a controller is mounted or the process belongs to one.
    pub v1: Option<bool>,
    /// A version 2 hierarchy is mounted or the process belongs to one.
    pub v2: Option<bool>,
    /// Lines of `/proc/self/cgroup`.
    pub memberships: Vec<CgroupMembership>,
    pub mounts: Vec<CgroupMount>,
    /// `devices.list` of the own version 1 cgroup, one rule a line.
    pub devices_list: Option<Vec<String>>,
    pub pids_max: Option<String>,
    pub memory_max: Option<String>,
    pub cpu_max: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupMembership {
    pub hierarchy: u32,
    pub controllers: Vec<String>,
    /// As the own cgroup namespace shows it; `/` in a private one.
    pub path: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupMount {
    pub mount_point: String,
    /// 1 or 2.
    pub version: u32,
    /// Which part of the hierarchy is shown, as seen from the own cgroup namespace.
    pub root: String,
    pub read_only: bool,
    /// faccessat2(2) with `W_OK` on the mount point.
    pub write_access: Answer,
    /// The same on `release_agent` at the mount point (version 1 only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release_agent_write_access: Option<Answer>,
}

/// A value that was read, or why it was not.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Value {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Device {
    pub path: String,
    /// `c` or `b`.
    pub kind: String,
    pub major: u32,
    pub minor: u32,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Socket {
    pub path: String,
    /// What listens on sockets of this name: `docker`, `containerd`; `None` for a socket that is a mount of
    /// its own under a name that says nothing.
    pub serves: Option<String>,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// faccessat2(2) with `W_OK`: what connect(2) asks of the inode.
    pub write_access: Answer,
    /// connect(2), closed at once; only with `active`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connect: Option<Answer>,
    pub reads_as: Reading,
    pub why: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    /// Names of listening abstract AF_UNIX sockets, with the leading `@`.
    pub abstract_listeners: Vec<String>,
    /// `address:port`, `[address]:port`.
    pub tcp_listeners: Vec<String>,
    pub default_gateway: Option<String>,
    pub interfaces: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Processes {
    /// Whether the kernel's threads are visible: the procfs shows the initial pid namespace.
    pub kernel_threads_visible: Option<bool>,
    /// How many processes the procfs shows, up to 4096.
    pub visible: Option<u32>,
    /// Name of process 1.
    pub first_name: Option<String>,
    /// readlink(2) of `/proc/1/root`.
    pub first_root: Value,
    /// readlink(2) of `/proc/1/ns/pid`.
    pub first_pid_namespace: Value,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AccessiblePath {
    pub path: String,
    pub exists: Option<bool>,
    pub readable: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Environment {
    /// Names of the set variables that lead to a control API.
    pub names: Vec<String>,
    pub docker_host: Option<String>,
}
