//! The parts of a confinement other than capabilities and mounts: namespaces, identity, LSM, devices, cgroups,
//! limits, network, image and control interfaces.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::capability::CapabilitySet;
use crate::fact::{Fact, Truth};
use crate::seccomp;

/// The kinds of namespaces(7) that isolate a container; the user namespace and the mount namespace are facts of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    Pid,
    Net,
    Ipc,
    Uts,
    Cgroup,
    Time,
}

impl NamespaceKind {
    pub const ALL: [NamespaceKind; 6] = [
        NamespaceKind::Pid,
        NamespaceKind::Net,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Cgroup,
        NamespaceKind::Time,
    ];
    pub fn name(self) -> &'static str {
        match self {
            NamespaceKind::Pid => "pid",
            NamespaceKind::Net => "net",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time",
        }
    }
}

/// Whose namespace it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Namespace {
    /// The container's own (for a pod: the pod's own).
    Own,
    /// The host's, that is the initial namespace of the machine the engine runs on.
    Host,
    /// Shared with other subjects; the name is that of the container or pod that holds it, as subjects are
    /// named in the same run.
    Container(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Namespaces {
    pub pid: Fact<Namespace>,
    pub net: Fact<Namespace>,
    pub ipc: Fact<Namespace>,
    pub uts: Fact<Namespace>,
    pub cgroup: Fact<Namespace>,
    /// Host where nothing unshares it, which is most engines.
    pub time: Fact<Namespace>,
}

impl Namespaces {
    pub fn get(&self, kind: NamespaceKind) -> &Fact<Namespace> {
        match kind {
            NamespaceKind::Pid => &self.pid,
            NamespaceKind::Net => &self.net,
            NamespaceKind::Ipc => &self.ipc,
            NamespaceKind::Uts => &self.uts,
            NamespaceKind::Cgroup => &self.cgroup,
            NamespaceKind::Time => &self.time,
        }
    }
    pub fn get_mut(&mut self, kind: NamespaceKind) -> &mut Fact<Namespace> {
        match kind {
            NamespaceKind::Pid => &mut self.pid,
            NamespaceKind::Net => &mut self.net,
            NamespaceKind::Ipc => &mut self.ipc,
            NamespaceKind::Uts => &mut self.uts,
            NamespaceKind::Cgroup => &mut self.cgroup,
            NamespaceKind::Time => &mut self.time,
        }
    }
}

/// One line of `/proc/PID/uid_map`: `count` ids from `inside` are the host's from `outside`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct IdRange {
    pub inside: u32,
    pub outside: u32,
    pub count: u32,
}

impl IdRange {
    pub const IDENTITY: IdRange = IdRange { inside: 0, outside: 0, count: u32::MAX };
}

/// Maps an id of the container to the host's, where the ranges cover it.
pub fn to_host_id(ranges: &[IdRange], id: u32) -> Option<u32> {
    ranges
        .iter()
        .find(|r| id >= r.inside && id - r.inside < r.count)
        .and_then(|r| r.outside.checked_add(id - r.inside))
}

/// user_namespaces(7): whether the container is in the initial user namespace, and how its ids map.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct UserNamespace {
    /// True: the initial user namespace, so that its capabilities are the host's.
    pub initial: Fact<bool>,
    /// Unknown where a namespace is made but the range is the engine's to choose; then id 0 is known not to be
    /// the host's (`root_is_host_root` says so).
    pub uid_map: Fact<Arc<[IdRange]>>,
    pub gid_map: Fact<Arc<[IdRange]>>,
    /// Whether id 0 inside is id 0 of the host.
    pub root_is_host_root: Fact<bool>,
}

/// Who the container's processes run as.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Identity {
    /// Id inside the container's user namespace. Unknown for a named user whose number the image keeps.
    pub uid: Fact<u32>,
    /// Whether that id is 0. Known more often than the number: a named user is not root, `runAsNonRoot` is refused for root.
    pub root: Fact<bool>,
    pub gid: Fact<u32>,
    /// Supplementary group ids, sorted.
    pub groups: Fact<Arc<[u32]>>,
    /// Names of supplementary groups that only the image or host can turn into numbers.
    pub group_names: Arc<[Arc<str>]>,
    pub no_new_privileges: Fact<bool>,
    /// Whether the container's files hold a set-user-ID-root program or file capabilities that hand out what
    /// the bounding set still has.
    pub setuid_programs: Fact<bool>,
}

/// The five sets of capabilities(7), after the execve(2) that starts the container's program.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Capabilities {
    pub effective: Fact<CapabilitySet>,
    pub permitted: Fact<CapabilitySet>,
    pub inheritable: Fact<CapabilitySet>,
    pub bounding: Fact<CapabilitySet>,
    pub ambient: Fact<CapabilitySet>,
}

impl Capabilities {
    /// The sets after execve(2) of a program without file capabilities, from the sets an engine applies before
    /// it: capabilities(7), "Transformation of capabilities during execve()" and "Capabilities and execution of
    /// programs by root"; with no_new_privs the result is cut to what was permitted before
    /// (`cap_bprm_creds_from_file`, security/commoncap.c).
    pub fn after_exec(
        applied: &AppliedCapabilities,
        root: bool,
        no_new_privileges: bool,
    ) -> AppliedCapabilities {
        let AppliedCapabilities { permitted, inheritable, bounding, .. } = *applied;
        // The kernel keeps the ambient set within permitted and inheritable.
        let ambient = CapabilitySet(applied.ambient.0 & permitted.0 & inheritable.0);
        if root {
            let mut gained = inheritable.union(bounding);
            if no_new_privileges {
                gained = CapabilitySet(gained.0 & permitted.0);
            }
            // For root the ambient set is in P'(ambient) only where the file is not privileged; root counts
            // as privileged, so it is cleared when it would be a gain; the sum is the same.
            AppliedCapabilities {
                effective: gained.union(ambient),
                permitted: gained.union(ambient),
                inheritable,
                bounding,
                ambient,
            }
        } else {
            AppliedCapabilities { effective: ambient, permitted: ambient, inheritable, bounding, ambient }
        }
    }
}

/// Five plain sets, as an OCI `process.capabilities` object gives them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AppliedCapabilities {
    pub effective: CapabilitySet,
    pub permitted: CapabilitySet,
    pub inheritable: CapabilitySet,
    pub bounding: CapabilitySet,
    pub ambient: CapabilitySet,
}

/// What filters the container's system calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Seccomp {
    Disabled,
    /// The default that an engine brings.
    Builtin(seccomp::Builtin),
    /// A filter whose content is known.
    Profile {
        name: Arc<str>,
        profile: Arc<seccomp::Profile>,
    },
    /// A filter is loaded; what it permits is not known.
    Opaque,
    /// What probes found: system call name → permitted. Others are not known.
    Measured(Arc<BTreeMap<String, bool>>),
}

impl Seccomp {
    /// The filter's content, where it is known.
    pub fn profile(&self) -> Option<&seccomp::Profile> {
        match self {
            Seccomp::Builtin(builtin) => Some(builtin.profile()),
            Seccomp::Profile { profile, .. } => Some(profile),
            Seccomp::Disabled | Seccomp::Opaque | Seccomp::Measured(_) => None,
        }
    }
    /// What does the filtering, to precede "permits".
    pub fn describe(&self) -> String {
        match self {
            Seccomp::Disabled => "no seccomp filter".into(),
            Seccomp::Builtin(builtin) => format!("{}'s default seccomp profile", builtin.engine()),
            Seccomp::Profile { name, .. } => format!("seccomp profile {name}"),
            Seccomp::Opaque | Seccomp::Measured(_) => "the seccomp filter".into(),
        }
    }
}

/// AppArmor's hold on the container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AppArmor {
    /// The host's kernel does not enforce AppArmor.
    Absent,
    Unconfined,
    Profile {
        name: Arc<str>,
        enforcing: bool,
        template: AppArmorTemplate,
    },
}

/// Whose rules a profile holds. All four defaults descend from one template (moby profiles/apparmor/template.go).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AppArmorTemplate {
    Docker,
    Containerd,
    Podman,
    Crio,
    /// A profile of the user's, whose rules are not known here.
    Custom,
}

/// SELinux's hold on the container.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SeLinux {
    /// The host's kernel does not run SELinux, or the engine does not label containers.
    Absent,
    Permissive,
    /// `spc_t`, `unconfined_t`, or `label=disable`.
    Unconfined,
    /// A container domain, `container_t` and the like.
    Confined {
        domain: Arc<str>,
    },
    /// A domain of the user's, whose rules are not known here.
    Custom {
        domain: Arc<str>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceKind {
    All,
    Block,
    Char,
}

/// `r`, `w` and `m` of a device cgroup rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct DeviceAccess {
    pub read: bool,
    pub write: bool,
    pub mknod: bool,
}

impl DeviceAccess {
    pub const ALL: DeviceAccess = DeviceAccess { read: true, write: true, mknod: true };
    /// Reads `rwm` in any order; `None` for another letter.
    pub fn parse(text: &str) -> Option<DeviceAccess> {
        let mut access = DeviceAccess::default();
        for c in text.chars() {
            match c {
                'r' => access.read = true,
                'w' => access.write = true,
                'm' => access.mknod = true,
                _ => return None,
            }
        }
        Some(access)
    }
}

/// A rule of the device cgroup; of several that match, the last decides.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceRule {
    pub allow: bool,
    pub kind: DeviceKind,
    /// `None` matches every number.
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub access: DeviceAccess,
    /// The node whose numbers the engine looks up when it starts the container, where only a path is written.
    pub node: Option<HostDevice>,
}

/// A device named by its node on the host.
pub type HostDevice = crate::mount::HostPath;

/// A device node visible inside.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeviceNode {
    /// The node on the host; where that is not known, the path inside.
    pub host: HostDevice,
    pub kind: Option<DeviceKind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    /// Mode bits and owner as the container sees them, where known.
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Devices {
    /// Nodes beyond the engine's own (null, zero, full, random, urandom, tty, console, pts, ptmx).
    pub nodes: Vec<Fact<DeviceNode>>,
    /// True: the nodes of every device of the host are there, as in a privileged container.
    pub all_host_nodes: Fact<bool>,
    /// Rules in order. Unknown where nothing could be read (cgroup v2 keeps them in a BPF program).
    pub rules: Fact<Arc<[DeviceRule]>>,
    /// Where each rule that was asked for stands, by its number in `rules`.
    pub asked: Vec<Fact<DeviceRule>>,
}

/// cgroups(7) as the container meets them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Cgroup {
    /// 1 where any version 1 hierarchy with a controller is in use, otherwise 2.
    pub version: Fact<u8>,
    /// Whether the cgroup file system is mounted writable inside.
    pub writable: Fact<bool>,
    pub parent: Option<Fact<Arc<str>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Limits {
    /// Bytes; known `None` means unlimited.
    pub memory: Fact<Option<u64>>,
    /// Thousandths of a processor; known `None` means unlimited.
    pub cpu: Fact<Option<u64>>,
    /// Processes and threads; known `None` means unlimited.
    pub pids: Fact<Option<u64>>,
}

/// How the container is attached to networks.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Network {
    /// Whether packets can leave the container at all (`network_mode: none` is false).
    pub attached: Fact<bool>,
    /// Whether a link-layer segment is shared with other containers (a bridge).
    pub shared_segment: Fact<bool>,
    /// Ports of the host that lead here, for standards and reports.
    pub published: Vec<Fact<Arc<str>>>,
}

/// An engine API or orchestrator API that the container is pointed to other than by a mounted socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ControlApi {
    /// `DOCKER_HOST=tcp://…` or `CONTAINER_HOST=tcp://…`; whether it asks for client certificates.
    EngineTcp { address: Arc<str>, tls: Option<bool> },
    /// Compose's `use_api_socket`: socket and credentials handed in by the engine.
    ApiSocket,
}

/// A Kubernetes service account as the pod's containers hold it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServiceAccount {
    pub namespace: Arc<str>,
    pub name: Arc<str>,
    pub token_mounted: Fact<bool>,
    /// What it may do, where the Roles and bindings are known.
    pub grants: Fact<Arc<[Fact<Grant>]>>,
}

/// One permission of a service account: RBAC's verbs on resources, in one namespace or all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Grant {
    /// `None`: every namespace.
    pub namespace: Option<Arc<str>>,
    pub verbs: Arc<[Arc<str>]>,
    pub api_groups: Arc<[Arc<str>]>,
    /// With subresources as `pods/exec`.
    pub resources: Arc<[Arc<str>]>,
    /// Non-empty: only these objects.
    pub resource_names: Arc<[Arc<str>]>,
}

impl Grant {
    /// Whether this grants `verb` on `resource` (such as `pods/exec`) of any object. A `*` grants all, `*/exec` a subresource of all.
    pub fn allows(&self, verb: &str, resource: &str) -> bool {
        let verb_ok = self.verbs.iter().any(|v| &**v == "*" || &**v == verb);
        let resource_ok = self.resources.iter().any(|r| {
            &**r == "*"
                || &**r == resource
                || r.strip_prefix("*/")
                    .is_some_and(|s| resource.split_once('/').is_some_and(|(_, sub)| sub == s))
        });
        let group_ok = self.api_groups.iter().any(|g| &**g == "*" || api_groups_of(resource).contains(&&**g));
        verb_ok && resource_ok && group_ok && self.resource_names.is_empty()
    }
}

/// The API groups that serve a resource: `*` of another group, such as an operator's, is none of these
/// (kubernetes.io, reference/kubernetes-api). `extensions` served workloads until 1.16, and is still granted.
fn api_groups_of(resource: &str) -> &'static [&'static str] {
    match resource.split('/').next().unwrap_or(resource) {
        "deployments" | "daemonsets" | "replicasets" => &["apps", "extensions"],
        "statefulsets" | "controllerrevisions" => &["apps"],
        "jobs" | "cronjobs" => &["batch"],
        "roles" | "clusterroles" | "rolebindings" | "clusterrolebindings" => &["rbac.authorization.k8s.io"],
        _ => &[""],
    }
}

/// What is known of the image.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Image {
    pub reference: Fact<Arc<str>>,
    /// Secrets found in its configuration or build file, each with its place.
    pub secrets: Vec<Fact<Arc<str>>>,
    /// Files marked set-user-ID or given file capabilities by the build, each with its place.
    pub setuid_hints: Vec<Fact<Arc<str>>>,
    /// True where the image is named by digest.
    pub pinned: Fact<bool>,
}

/// The low-level runtime, by what separates the container from the host's kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Runtime {
    Runc,
    Crun,
    Youki,
    /// gVisor: system calls end in a kernel in user space.
    Gvisor,
    /// Kata Containers and other virtual machines.
    Kata,
    /// WebAssembly shims: no system calls of the program's own.
    Wasm,
    Other(Arc<str>),
}

impl Runtime {
    /// Reads the names that `runtime:`, `runtimeClassName` handlers and `--runtime` commonly use.
    pub fn parse(name: &str) -> Runtime {
        let base = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
        match base.as_str() {
            "runc" | "io.containerd.runc.v2" | "io.containerd.runc.v1" | "io.containerd.runtime.v1.linux" => {
                Runtime::Runc
            }
            "crun" => Runtime::Crun,
            "youki" => Runtime::Youki,
            "runsc" | "gvisor" | "io.containerd.runsc.v1" => Runtime::Gvisor,
            _ if base.starts_with("kata") || base.starts_with("io.containerd.kata") => Runtime::Kata,
            _ if base.contains("wasm") || base.contains("spin") => Runtime::Wasm,
            // The NVIDIA runtime prepares the container and then runs runc.
            "nvidia" | "nvidia-container-runtime" => Runtime::Runc,
            _ => Runtime::Other(name.into()),
        }
    }
    /// Whether the container's system calls reach the host's kernel; unknown for a name not known here.
    pub fn shares_host_kernel(&self) -> Truth {
        match self {
            Runtime::Runc | Runtime::Crun | Runtime::Youki => Truth::True,
            Runtime::Gvisor | Runtime::Kata | Runtime::Wasm => Truth::False,
            Runtime::Other(_) => Truth::Unknown,
        }
    }
}

impl fmt::Display for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Runtime::Runc => "runc",
            Runtime::Crun => "crun",
            Runtime::Youki => "youki",
            Runtime::Gvisor => "gVisor",
            Runtime::Kata => "Kata Containers",
            Runtime::Wasm => "a WebAssembly shim",
            Runtime::Other(name) => name,
        })
    }
}

/// How the container is built and kept running, which benchmarks ask for and which confines nothing: confinements that
/// differ in nothing else are equal, and are judged once. `None`: nothing was said.
#[derive(Clone, Debug, Default)]
pub struct Operation {
    pub restart: Option<Fact<Restart>>,
    /// Whether a health check is set; known false where one is switched off.
    pub health_check: Option<Fact<bool>>,
    /// Relative weight of processor time; known `None` is the engine's default.
    pub cpu_shares: Option<Fact<Option<u64>>>,
    /// Whether it has resource limits of its own (`ulimit`).
    pub ulimits: Option<Fact<bool>>,
    /// Whether it is on the engine's default bridge.
    pub default_bridge: Option<Fact<bool>>,
    /// Whether an SSH server runs in it.
    pub ssh_server: Option<Fact<bool>>,
    /// Capabilities that were asked for.
    pub capabilities: Vec<Fact<Arc<str>>>,
    /// Whether the host's user namespace was asked for.
    pub host_users: Option<Fact<bool>>,
    /// `ADD` instructions of its build.
    pub added: Vec<Fact<Arc<str>>>,
    /// Commands of its build that refresh a package index and install nothing.
    pub lone_updates: Vec<Fact<Arc<str>>>,
}

/// A restart policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Restart {
    /// `no`, `always`, `unless-stopped`, `on-failure`.
    pub policy: Arc<str>,
    /// How often at most, where a limit is set.
    pub retries: Option<u32>,
}

impl Restart {
    /// Reads `on-failure:5`; what engines do not know is kept as it is written.
    pub fn parse(text: &str) -> Restart {
        let (policy, retries) = text.split_once(':').unwrap_or((text, ""));
        let policy = if policy.is_empty() { "no" } else { policy };
        Restart { policy: policy.into(), retries: retries.parse().ok().filter(|n| *n > 0) }
    }
}

impl PartialEq for Operation {
    fn eq(&self, _: &Operation) -> bool {
        true
    }
}
impl Eq for Operation {}
impl std::hash::Hash for Operation {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}
