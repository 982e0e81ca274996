//! What an edit really changed: the confinement before it and the one that was read again after it, part by part,
//! against what the planned remedies may change.

use std::collections::BTreeSet;

use confinement::{Confinement, MountSource, Namespace, NamespaceKind};
use techniques::remedy::{Remedy, apply_all};

/// A part of a confinement, as messages name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Part {
    Privileged,
    Identity,
    Capabilities,
    UserNamespace,
    Namespace(NamespaceKind),
    /// By its target.
    Mount(String),
    /// A mount that the engine makes by itself.
    KernelMount,
    MaskedPaths,
    ReadOnlyPaths,
    ReadOnlyRootfs,
    Seccomp,
    AppArmor,
    SeLinux,
    Devices,
    Cgroup,
    Sysctls,
    Limits,
    Network,
    ControlApis,
    ServiceAccount,
    Image,
    Runtime,
    Engine,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Part::Privileged => f.write_str("privileged"),
            Part::Identity => f.write_str("the user"),
            Part::Capabilities => f.write_str("the capabilities"),
            Part::UserNamespace => f.write_str("the user namespace"),
            Part::Namespace(kind) => write!(f, "the {} namespace", kind.name()),
            Part::Mount(target) => write!(f, "the mount at {target}"),
            Part::KernelMount => f.write_str("the engine's own mounts"),
            Part::MaskedPaths => f.write_str("the masked paths"),
            Part::ReadOnlyPaths => f.write_str("the read-only paths"),
            Part::ReadOnlyRootfs => f.write_str("the root file system"),
            Part::Seccomp => f.write_str("seccomp"),
            Part::AppArmor => f.write_str("AppArmor"),
            Part::SeLinux => f.write_str("SELinux"),
            Part::Devices => f.write_str("the devices"),
            Part::Cgroup => f.write_str("the cgroup"),
            Part::Sysctls => f.write_str("the sysctls"),
            Part::Limits => f.write_str("the limits"),
            Part::Network => f.write_str("the network"),
            Part::ControlApis => f.write_str("the engine API it is given"),
            Part::ServiceAccount => f.write_str("the service account"),
            Part::Image => f.write_str("the image"),
            Part::Runtime => f.write_str("the runtime"),
            Part::Engine => f.write_str("the engine's settings"),
        }
    }
}

/// The parts in which two confinements differ.
pub fn differences(a: &Confinement, b: &Confinement) -> BTreeSet<Part> {
    let mut parts = BTreeSet::new();
    let mut differ = |same: bool, part: Part| {
        if !same {
            parts.insert(part);
        }
    };
    differ(a.privileged == b.privileged, Part::Privileged);
    differ(a.identity == b.identity, Part::Identity);
    differ(a.capabilities == b.capabilities, Part::Capabilities);
    differ(a.user_namespace == b.user_namespace, Part::UserNamespace);
    for kind in NamespaceKind::ALL {
        differ(a.namespaces.get(kind) == b.namespaces.get(kind), Part::Namespace(kind));
    }
    differ(a.masked_paths == b.masked_paths, Part::MaskedPaths);
    differ(a.readonly_paths == b.readonly_paths, Part::ReadOnlyPaths);
    differ(a.read_only_rootfs == b.read_only_rootfs, Part::ReadOnlyRootfs);
    differ(a.seccomp == b.seccomp, Part::Seccomp);
    differ(a.apparmor == b.apparmor, Part::AppArmor);
    differ(a.selinux == b.selinux, Part::SeLinux);
    differ(a.devices == b.devices, Part::Devices);
    differ(a.cgroup == b.cgroup, Part::Cgroup);
    differ(a.sysctls == b.sysctls, Part::Sysctls);
    differ(a.limits == b.limits, Part::Limits);
    differ(a.network == b.network, Part::Network);
    differ(a.control_apis == b.control_apis, Part::ControlApis);
    differ(a.service_account == b.service_account, Part::ServiceAccount);
    differ(a.image == b.image, Part::Image);
    differ(a.runtime == b.runtime, Part::Runtime);
    differ(a.engine == b.engine, Part::Engine);
    for (from, to) in [(a, b), (b, a)] {
        for mount in &from.mounts {
            if !to.mounts.contains(mount) {
                parts.insert(match mount.source.get() {
                    Some(MountSource::Kernel(_)) => Part::KernelMount,
                    _ => Part::Mount(mount.target.to_string()),
                });
            }
        }
    }
    parts
}

/// Whether a remedy may change a part: its own, and what the engine derives from it.
fn may_change(remedy: &Remedy, part: &Part) -> bool {
    use Part::{
        AppArmor, Capabilities, Cgroup, ControlApis, Devices, Engine, Identity, Image, KernelMount, Limits,
        MaskedPaths, Mount, Namespace, Network, Privileged, ReadOnlyPaths, ReadOnlyRootfs, SeLinux, Seccomp,
        ServiceAccount, Sysctls, UserNamespace,
    };
    match remedy {
        Remedy::DropPrivileged => matches!(
            part,
            Privileged
                | Capabilities
                | Identity
                | MaskedPaths
                | ReadOnlyPaths
                | Devices
                | Cgroup
                | Seccomp
                | AppArmor
                | SeLinux
                | KernelMount
                | Namespace(NamespaceKind::Cgroup)
        ),
        Remedy::DropCapability(_) | Remedy::RemoveAllCapabilities | Remedy::KeepCapabilities(_) => {
            matches!(part, Capabilities)
        }
        Remedy::RunAsNonRoot => matches!(part, Identity | Capabilities),
        Remedy::UserNamespace => {
            matches!(part, UserNamespace | Capabilities | Identity | KernelMount | Cgroup | Engine)
        }
        Remedy::NoNewPrivileges => matches!(part, Identity | Engine),
        Remedy::RemoveMount(target) | Remedy::ReadOnlyMount(target) | Remedy::PrivatePropagation(target) => {
            matches!(part, Mount(at) if **at == **target)
        }
        Remedy::SeccompDefault => matches!(part, Seccomp),
        Remedy::LsmDefault => matches!(part, AppArmor | SeLinux),
        // Podman's `unmask=ALL` makes the cgroup file system writable too.
        Remedy::DefaultPaths => matches!(part, MaskedPaths | ReadOnlyPaths | KernelMount | Cgroup),
        // Docker switches SELinux labels off for a container in the host's pid or ipc namespace.
        Remedy::PrivateNamespace(kind) => {
            *part == Namespace(*kind)
                || match kind {
                    NamespaceKind::Net => {
                        matches!(part, Network | KernelMount | Sysctls | Namespace(NamespaceKind::Uts))
                    }
                    NamespaceKind::Pid | NamespaceKind::Ipc => matches!(part, SeLinux),
                    NamespaceKind::Cgroup => matches!(part, Cgroup | KernelMount),
                    _ => false,
                }
        }
        Remedy::RemoveDevice(_) | Remedy::RemoveDeviceRule(_) => matches!(part, Devices),
        Remedy::RemoveControlApi => matches!(part, ControlApis | Mount(_)),
        Remedy::EngineClientCertificates => matches!(part, Engine),
        Remedy::NoServiceAccountToken | Remedy::NarrowGrants { .. } => {
            matches!(part, ServiceAccount | Mount(_))
        }
        Remedy::Limit(_) => matches!(part, Limits),
        Remedy::RemoveSecret | Remedy::PinImage => matches!(part, Image),
        Remedy::RemoveSysctl(_) => matches!(part, Sysctls),
        Remedy::ReadOnlyRootfs => matches!(part, ReadOnlyRootfs | Mount(_)),
        Remedy::OwnNetwork => matches!(part, Network),
        Remedy::ReadOnlyCgroup => matches!(part, Cgroup | KernelMount),
    }
}

/// What changed and was not planned.
pub fn unplanned(before: &Confinement, after: &Confinement, remedies: &[Remedy]) -> Vec<Part> {
    let changed = differences(before, after);
    changed.into_iter().filter(|part| !remedies.iter().any(|remedy| may_change(remedy, part))).collect()
}

/// What was planned and did not come about: parts that the remedies change, and that are as they were. What an engine
/// derives from other parts, and may leave for a reason of its own, is not among them.
pub fn undone(before: &Confinement, after: &Confinement, remedies: &[Remedy]) -> Vec<Part> {
    let planned = differences(before, &apply_all(remedies, before));
    let changed = differences(before, after);
    let unprivileged = remedies.contains(&Remedy::DropPrivileged) && changed.contains(&Part::Privileged);
    // Without a pid and ipc namespace of its own, a container has no SELinux label.
    let host = |kind| after.namespaces.get(kind).get() == Some(&Namespace::Host);
    let unlabelled = host(NamespaceKind::Pid) || host(NamespaceKind::Ipc);
    let derived = |part: &Part| match part {
        Part::Cgroup | Part::KernelMount => unprivileged,
        Part::SeLinux => unprivileged || unlabelled,
        _ => false,
    };
    planned.into_iter().filter(|part| !changed.contains(part) && !derived(part)).collect()
}
