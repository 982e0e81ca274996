//! Pins: what a workload must keep, as `--keep` and `stockade.toml` name it. The plan leaves out every remedy that a
//! pin forbids.
//!
//! A pin forbids a remedy where the confinement had what is pinned and has it no more once the remedy is made. What
//! the container never had cannot be lost, so a pin that does not fit a subject forbids nothing there.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use confinement::{
    Capability, CapabilitySet, Confinement, ControlApi, DeviceKind, DeviceRule, Fact, HostPath, Mount,
    MountSource, Namespace, NamespaceKind,
};
use thiserror::Error;

use crate::objects::DeviceClass;
use crate::remedy::{LimitKind, Remedy};

/// One thing that the workload must keep.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Keep {
    /// In each set that has it, usable as it is now.
    Capability(Capability),
    /// By the path on the host, the target inside, or a volume's name. `read_only`: it may become read-only.
    Mount {
        path: Arc<str>,
        read_only: bool,
    },
    /// User id 0. A user namespace leaves it: the workload still is root among its own files and processes.
    Root,
    /// The host's user and group ids, so no user namespace.
    HostIds,
    WritableRootfs,
    /// The host's or another container's namespace, where it has one.
    Namespace(NamespaceKind),
    /// The node on the host, and the rules that let it be used.
    Device(HostPath),
    Privileged,
    /// The filter it has now, or none.
    Seccomp,
    /// AppArmor and SELinux as they are now.
    Lsm,
    /// Set-user-ID programs and file capabilities take effect.
    NewPrivileges,
    ServiceAccountToken,
    /// The networks it is on.
    Network,
    /// The engine's API, other than by a mounted socket (that is a mount).
    ControlApi,
    /// The paths of the kernel that are neither masked nor read-only now.
    SystemPaths,
    Sysctl(Arc<str>),
    /// No limit where there is none now.
    Unlimited(LimitKind),
}

/// What `--keep` takes, and what it means: for the manual and for the error.
pub const ACCEPTED: &[(&str, &str)] = &[
    ("cap:NAME", "a capability, as NET_ADMIN"),
    ("mount:PATH", "a mount, by its path on the host or inside, or by its volume's name"),
    ("mount:PATH:ro", "the same, but it may become read-only"),
    ("device:PATH", "a device, by its node on the host"),
    ("namespace:KIND", "a shared namespace: pid, net, ipc, uts, cgroup; or user, for the host's ids"),
    ("sysctl:KEY", "a sysctl that is set"),
    ("unlimited:KIND", "no limit of memory, cpu or pids"),
    ("root", "user id 0"),
    ("privileged", "privileged mode"),
    ("writable-rootfs", "a writable root file system"),
    ("new-privileges", "set-user-ID programs and file capabilities"),
    ("seccomp", "the seccomp filter as it is"),
    ("lsm", "AppArmor and SELinux as they are"),
    ("system-paths", "the paths of /proc and /sys as they are"),
    ("network", "the networks it is on"),
    ("control-api", "the engine's API over the network"),
    ("service-account-token", "the Kubernetes service account's token"),
];

/// Something that cannot be kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("cannot keep `{given}`: {reason}")]
pub struct KeepError {
    given: String,
    reason: String,
}

const WORDS: &[(&str, Keep)] = &[
    ("root", Keep::Root),
    ("privileged", Keep::Privileged),
    ("writable-rootfs", Keep::WritableRootfs),
    ("new-privileges", Keep::NewPrivileges),
    ("seccomp", Keep::Seccomp),
    ("lsm", Keep::Lsm),
    ("system-paths", Keep::SystemPaths),
    ("network", Keep::Network),
    ("control-api", Keep::ControlApi),
    ("service-account-token", Keep::ServiceAccountToken),
];

const LIMITS: &[(&str, LimitKind)] =
    &[("memory", LimitKind::Memory), ("cpu", LimitKind::Cpu), ("pids", LimitKind::Pids)];

impl Keep {
    /// Reads a pin as `--keep` takes it; see [`ACCEPTED`].
    pub fn parse(text: &str) -> Result<Keep, KeepError> {
        let text = text.trim();
        let error = |reason: String| Err(KeepError { given: text.to_owned(), reason });
        if let Some((_, keep)) = WORDS.iter().find(|(word, _)| *word == text) {
            return Ok(keep.clone());
        }
        let Some((kind, value)) = text.split_once(':') else { return error(accepted()) };
        if value.is_empty() {
            return error(format!("`{kind}:` is followed by nothing; {}", accepted()));
        }
        match kind {
            "cap" => match Capability::parse(value) {
                Some(cap) => Ok(Keep::Capability(cap)),
                None if value.eq_ignore_ascii_case("all") => {
                    error("ALL is no capability; name each that is needed, or keep `privileged`".into())
                }
                None => error(format!("there is no capability {value}; capabilities(7) lists their names")),
            },
            "mount" => {
                let (path, read_only) = match value.strip_suffix(":ro") {
                    Some(path) => (path, true),
                    None => (value, false),
                };
                match path {
                    "" => error("a mount needs a path, as mount:/srv/data:ro".into()),
                    path if path.contains(':') => error(
                        "a mount is named by one path, on the host or inside, and `:ro` may follow it".into(),
                    ),
                    path => Ok(Keep::Mount { path: path.into(), read_only }),
                }
            }
            "device" if value.starts_with('/') => Ok(Keep::Device(HostPath::new(value))),
            "device" => error("a device is named by its node on the host, as device:/dev/fuse".into()),
            "namespace" if value == "user" => Ok(Keep::HostIds),
            "namespace" => {
                // No container shares or leaves a time namespace by a setting.
                let kinds = NamespaceKind::ALL.into_iter().filter(|k| *k != NamespaceKind::Time);
                match kinds.into_iter().find(|k| k.name() == value) {
                    Some(kind) => Ok(Keep::Namespace(kind)),
                    None => error("the kinds are pid, net, ipc, uts, cgroup and user".into()),
                }
            }
            "sysctl" => Ok(Keep::Sysctl(value.into())),
            "unlimited" => match LIMITS.iter().find(|(name, _)| *name == value) {
                Some((_, kind)) => Ok(Keep::Unlimited(*kind)),
                None => error("the kinds are memory, cpu and pids".into()),
            },
            _ => error(accepted()),
        }
    }

    /// Whether making the change would take from the workload what is pinned.
    pub fn forbids(&self, remedy: &Remedy, c: &Confinement) -> bool {
        let after = remedy.apply(c);
        match self {
            Keep::Capability(cap) => loses_capability(*cap, remedy, c, &after),
            Keep::Mount { path, read_only } => {
                providers(path, c).iter().any(|before| is_lost(before, *read_only, &after))
                    || !*read_only && is_cgroup(path) && lost_flag(&c.cgroup.writable, &after.cgroup.writable)
                    || is_docker_socket(path) && has_api_socket(c) && !has_api_socket(&after)
            }
            Keep::Root => lost_flag(&c.identity.root, &after.identity.root),
            Keep::HostIds => lost_flag(&c.user_namespace.initial, &after.user_namespace.initial),
            Keep::WritableRootfs => gained_flag(&c.read_only_rootfs, &after.read_only_rootfs),
            Keep::Namespace(kind) => {
                let (before, after) = (c.namespaces.get(*kind), after.namespaces.get(*kind));
                before.get() != Some(&Namespace::Own) && before != after
            }
            Keep::Device(path) => loses_device(path, c, &after),
            Keep::Privileged => lost_flag(&c.privileged, &after.privileged),
            Keep::Seccomp => c.seccomp != after.seccomp,
            Keep::Lsm => c.apparmor != after.apparmor || c.selinux != after.selinux,
            Keep::NewPrivileges => {
                gained_flag(&c.identity.no_new_privileges, &after.identity.no_new_privileges)
            }
            Keep::ServiceAccountToken => match (&c.service_account, &after.service_account) {
                (Some(before), Some(after)) => lost_flag(&before.token_mounted, &after.token_mounted),
                (Some(_), None) => true,
                (None, _) => false,
            },
            Keep::Network => {
                lost_flag(&c.network.attached, &after.network.attached)
                    || lost_flag(&c.network.shared_segment, &after.network.shared_segment)
            }
            Keep::ControlApi => {
                after.control_apis.len() < c.control_apis.len()
                    || !c.control_apis.is_empty() && c.engine != after.engine
            }
            Keep::SystemPaths => {
                c.masked_paths != after.masked_paths || c.readonly_paths != after.readonly_paths
            }
            Keep::Sysctl(key) => {
                let sets = |c: &Confinement| c.sysctls.iter().any(|(k, _)| is_same_sysctl(k, key));
                sets(c) && !sets(&after)
            }
            Keep::Unlimited(kind) => {
                let limit = |c: &Confinement| match kind {
                    LimitKind::Memory => c.limits.memory.value,
                    LimitKind::Cpu => c.limits.cpu.value,
                    LimitKind::Pids => c.limits.pids.value,
                };
                !matches!(limit(c), Some(Some(_))) && matches!(limit(&after), Some(Some(_)))
            }
        }
    }
}

impl FromStr for Keep {
    type Err = KeepError;
    fn from_str(text: &str) -> Result<Keep, KeepError> {
        Keep::parse(text)
    }
}

/// Prints what [`Keep::parse`] reads.
impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Keep::Capability(cap) => write!(f, "cap:{}", cap.name()),
            Keep::Mount { path, read_only } => {
                write!(f, "mount:{path}{}", if *read_only { ":ro" } else { "" })
            }
            Keep::Namespace(kind) => write!(f, "namespace:{}", kind.name()),
            Keep::HostIds => f.write_str("namespace:user"),
            Keep::Device(path) => write!(f, "device:{path}"),
            Keep::Sysctl(key) => write!(f, "sysctl:{key}"),
            Keep::Unlimited(kind) => {
                let name = LIMITS.iter().find(|(_, k)| k == kind).map_or("", |(name, _)| name);
                write!(f, "unlimited:{name}")
            }
            word => f.write_str(WORDS.iter().find(|(_, keep)| keep == word).map_or("", |(name, _)| name)),
        }
    }
}

fn accepted() -> String {
    let list: Vec<&str> = ACCEPTED.iter().map(|(spelling, _)| *spelling).collect();
    format!("what can be kept is {}", list.join(", "))
}

/// It may have been so before, and is known not to be so after.
fn lost_flag(before: &Fact<bool>, after: &Fact<bool>) -> bool {
    before.value != Some(false) && after.value == Some(false)
}

fn gained_flag(before: &Fact<bool>, after: &Fact<bool>) -> bool {
    before.value != Some(true) && after.value == Some(true)
}

/// Capabilities that count only in the initial user namespace: user_namespaces(7) names the first three, for the rest
/// the kernel asks capable() and not ns_capable().
const INITIAL_ONLY: CapabilitySet = CapabilitySet::of(&[
    Capability::SYS_TIME,
    Capability::SYS_MODULE,
    Capability::MKNOD,
    Capability::SYS_RAWIO,
    Capability::SYSLOG,
    Capability::BPF,
    Capability::PERFMON,
]);

/// A capability is lost with any of the ways to it: as root or ambient (effective), and by file capabilities, which
/// give what the bounding set has (capabilities(7)) and nothing under no_new_privs.
fn loses_capability(cap: Capability, remedy: &Remedy, before: &Confinement, after: &Confinement) -> bool {
    let (b, a) = (&before.capabilities, &after.capabilities);
    let maybe = |set: &Fact<CapabilitySet>| set.value.is_none_or(|s| s.has(cap));
    let lost = |b: &Fact<CapabilitySet>, a: &Fact<CapabilitySet>| maybe(b) && !maybe(a);
    let only_by_files = !maybe(&b.effective) && maybe(&b.bounding);
    let files_cut = gained_flag(&before.identity.no_new_privileges, &after.identity.no_new_privileges);
    let own_namespace = lost_flag(&before.user_namespace.initial, &after.user_namespace.initial);
    lost(&b.bounding, &a.bounding)
        || lost(&b.effective, &a.effective)
        || lost(&b.ambient, &a.ambient)
        || only_by_files && files_cut
        || maybe(&b.bounding) && own_namespace && INITIAL_ONLY.has(cap)
        || !b.bounding.is_known() && takes(remedy, cap)
}

/// What a remedy takes by its name, where the sets themselves are not known.
fn takes(remedy: &Remedy, cap: Capability) -> bool {
    match remedy {
        Remedy::DropCapability(dropped) => *dropped == cap,
        Remedy::KeepCapabilities(kept) => !kept.has(cap),
        Remedy::RemoveAllCapabilities | Remedy::DropPrivileged => true,
        _ => false,
    }
}

/// The mounts by which the container has a path: those that are the path itself, on the host or inside; otherwise
/// those of a folder of the host that it lies in.
fn providers<'a>(path: &str, c: &'a Confinement) -> Vec<&'a Mount> {
    let exact: Vec<&Mount> = c.mounts.iter().filter(|m| is_named(path, m)).collect();
    if !exact.is_empty() || !path.starts_with('/') {
        return exact;
    }
    let path = HostPath::new(path);
    c.mounts.iter().filter(|m| m.host_path().is_some_and(|source| source.shows(path.as_str()))).collect()
}

fn is_named(path: &str, mount: &Mount) -> bool {
    if path.starts_with('/') {
        let path = HostPath::new(path);
        return mount.host_path() == Some(&path) || HostPath::new(&mount.target) == path;
    }
    // Readers put the project or the realm before a volume's name.
    match mount.source.get() {
        Some(MountSource::Volume(name)) => name
            .strip_suffix(path)
            .is_some_and(|before| before.is_empty() || before.ends_with('_') || before.ends_with('/')),
        _ => false,
    }
}

fn is_lost(before: &Mount, may_be_read_only: bool, after: &Confinement) -> bool {
    let left = after.mounts.iter().find(|m| m.target == before.target && m.source == before.source);
    match left {
        None => true,
        Some(left) => !may_be_read_only && gained_flag(&before.read_only, &left.read_only),
    }
}

fn is_cgroup(path: &str) -> bool {
    HostPath::new(path).is_at_or_below("/sys/fs/cgroup")
}

fn is_docker_socket(path: &str) -> bool {
    HostPath::new(path).as_str() == "/run/docker.sock"
}

/// Compose's `use_api_socket` mounts the socket without saying so.
fn has_api_socket(c: &Confinement) -> bool {
    c.control_apis.iter().any(|api| api.get() == Some(&ControlApi::ApiSocket))
}

fn loses_device(path: &HostPath, before: &Confinement, after: &Confinement) -> bool {
    let has_node = |c: &Confinement| {
        c.devices.all_host_nodes.value == Some(true)
            || c.devices.nodes.iter().any(|n| n.get().is_some_and(|n| n.host == *path))
    };
    let rules = |c: &Confinement| {
        let permitting = |rule: &&DeviceRule| rule.allow && may_be(path, rule);
        c.devices.asked.iter().filter_map(|r| r.get()).filter(permitting).count()
    };
    // Without privileged one of many rules is what lets it be used; which one of two that fit is not told apart.
    has_node(before) && !has_node(after)
        || rules(after) < rules(before) && after.privileged == before.privileged
}

/// Whether a rule can mean the device; one whose number nobody knows can be any.
fn may_be(path: &HostPath, rule: &DeviceRule) -> bool {
    match (&rule.node, rule.major) {
        (Some(node), _) => node == path,
        (None, None) => true,
        (None, Some(major)) => {
            let mut classes = crate::objects::device_classes().map(|(_, class)| class);
            let in_class = |class: &&'static DeviceClass| class.has_path(path.as_str());
            classes.find(in_class).is_none_or(|class| {
                class.numbers.iter().any(|n| {
                    (rule.kind == DeviceKind::All || rule.kind == n.kind)
                        && (n.major.0..=n.major.1).contains(&major)
                        && rule.minor.is_none_or(|minor| n.minor.is_none_or(|m| m == minor))
                })
            })
        }
    }
}

/// sysctl(8) takes `.` and `/` for each other.
fn is_same_sysctl(left: &str, right: &str) -> bool {
    left.replace('/', ".") == right.replace('/', ".")
}
