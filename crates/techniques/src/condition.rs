//! Conditions: named predicates over the facts of a confinement. Techniques are formulas over them.
//!
//! A condition is written `name` or `name(argument, …)` in a technique's file and read by [`Condition::parse`].
//! [`Condition::check`] finds its truth and, when asked, the facts that say so. Every condition is worded so that
//! *true helps the one who wants out*; what holds a false one shut is its [`Barrier`].
//!
//! A new condition is a variant here, a line in `parse` and `barrier`, and a branch in `check`.

use std::collections::BTreeMap;
use std::fmt;

use confinement::seccomp::{Architecture, Argument, Arguments, Resolved};
use confinement::{
    AppArmor, AppArmorTemplate, Capability, Confinement, ControlApi, DeviceRule, EngineKind, Fact,
    MountSource, Namespace, NamespaceKind, Origin, Propagation, Runtime, SeLinux, Seccomp, Truth,
};

use crate::barrier::Barrier;
use crate::flaw_technique;
use crate::objects::{self, Coverage, DeviceClass, ObjectClass};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Condition {
    /// The program runs as id 0 of its user namespace.
    Root,
    /// Id 0 inside is id 0 of the host.
    HostIds,
    /// The container is in the initial user namespace, so that its capabilities count for the host.
    InitialUserNamespace,
    /// The capability is in the bounding set.
    Bounding(Capability),
    /// What the bounding set holds of this capability is effective, or can become so.
    Usable(Capability),
    /// The inheritable set is not empty.
    Inheritable,
    /// no_new_privs is off.
    PrivilegesCanRise,
    /// The image holds set-user-ID programs or file capabilities that hand something out.
    SetuidPrograms,
    /// A supplementary group is the one that may use the object besides root.
    InGroup(&'static str),
    /// The namespace is the host's.
    SharesHost(NamespaceKind),
    /// The namespace is another container's.
    SharesContainer(NamespaceKind),
    /// Seccomp permits the call with some arguments.
    Syscall(String),
    /// Seccomp permits a socket of this family.
    SocketFamily(SocketFamily),
    /// Seccomp permits making a user namespace.
    NewUserNamespace,
    /// The kernel lets an unprivileged process make a user namespace.
    UserNamespacesEnabled,
    /// No filter at all.
    SeccompOff,
    /// 32-bit calls pass the filter, `socketcall` among them.
    CompatSyscalls,
    /// AppArmor and SELinux let this pass.
    Lsm(LsmOperation),
    /// A mount shows an object of this class.
    Mounts {
        class: &'static str,
        write: bool,
    },
    /// A mount shares its propagation with the host.
    SharedPropagation,
    /// A writable mount of the host's files on which set-user-ID programs and device nodes count.
    WritableHostMount(MountOption),
    /// Some file system of the host is mounted, in any place.
    HostBackedMount {
        write: bool,
    },
    /// A kernel interface can be written as far as mounts and read-only paths go.
    KernelInterface(&'static str),
    /// A file of /proc or /sys can be read as far as masks go.
    Unmasked(&'static str),
    /// A device node of this class is inside.
    DeviceNode(&'static str),
    /// The device cgroup permits the class.
    DeviceCgroup {
        class: &'static str,
        write: bool,
    },
    CgroupVersion(u8),
    /// The container's cgroup file system is mounted writable.
    CgroupWritable,
    /// The runtime runs the container on the host's own kernel.
    HostKernel,
    /// A sysctl of the host compares so.
    Sysctl {
        key: String,
        comparison: Comparison,
        value: i64,
    },
    /// The host's kernel release compares so.
    Kernel {
        comparison: Comparison,
        version: (u32, u32),
    },
    /// Lockdown is below this level.
    LockdownBelow(Lockdown),
    ModulesLoadable,
    KernelOption(String),
    LocalUser,
    /// Instance metadata of a cloud answers on this host's networks.
    CloudMetadata,
    /// A daemon of the host listens where it trusts its callers.
    Listener {
        daemon: String,
        local_only: bool,
    },
    /// The engine's TCP API asks nobody for a certificate; `local_only`: it listens on the host's loopback alone.
    EngineTcp {
        local_only: bool,
    },
    /// A control API was handed to the container: `DOCKER_HOST`, `use_api_socket`.
    ControlApiGiven,
    /// The container has a network at all.
    NetworkAttached,
    /// Other containers are on the same link-layer segment.
    SharedSegment,
    /// A service-account token is mounted.
    ServiceAccountToken,
    /// The service account may do this.
    Grants {
        verb: String,
        resource: String,
    },
    /// No limit is set.
    Unlimited(Limit),
    /// The root file system is writable.
    WritableRootfs,
    /// A sysctl is set that is not the container's own.
    SetsHostSysctl,
    ImageSecret,
    ImageUnpinned,
    /// A cgroup parent is asked for.
    CgroupParent,
    Privileged,
    /// The flaw is present on this host.
    Flaw(String),
    /// A process of another container has the same host id.
    SameIds,
    /// The container's own id, which is not root, is that of the person whose object it is.
    Owns(&'static str),
    /// Root inside is the person who runs a rootless engine.
    EngineUser,
    /// A process of the host, outside any container, runs under this container's own id, which is not root.
    HostProcessOfSameUser,
    /// Somebody with an account on the host helps. Never known to be so.
    HostAccomplice,
    /// The container is in a user namespace of its own.
    OwnUserNamespace,
    /// Whoever made the image wants out. Taken to be false: the question is what code inside can do.
    ImageUntrusted,
    /// A kubelet runs the container.
    UnderKubelet,
    /// This program starts or keeps the container: a runtime or an engine, as the flaw tables name it.
    RunsUnder(String),
    /// A GPU is given through a vendor's hook or as a node.
    GpuDevice,
    /// A volume or folder is mounted writable that others may have too.
    WritableSharedMount,
    /// The kernel has this module, or loads it by itself.
    ModuleAvailable(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SocketFamily {
    Alg,
    Vsock,
    Packet,
    Rxrpc,
    Rds,
    Netlink,
    Unix,
}

impl SocketFamily {
    /// `linux/socket.h`.
    fn number(self) -> u64 {
        match self {
            SocketFamily::Unix => 1,
            SocketFamily::Netlink => 16,
            SocketFamily::Packet => 17,
            SocketFamily::Rds => 21,
            SocketFamily::Rxrpc => 33,
            SocketFamily::Alg => 38,
            SocketFamily::Vsock => 40,
        }
    }
    fn name(self) -> &'static str {
        match self {
            SocketFamily::Unix => "AF_UNIX",
            SocketFamily::Netlink => "AF_NETLINK",
            SocketFamily::Packet => "AF_PACKET",
            SocketFamily::Rds => "AF_RDS",
            SocketFamily::Rxrpc => "AF_RXRPC",
            SocketFamily::Alg => "AF_ALG",
            SocketFamily::Vsock => "AF_VSOCK",
        }
    }
}

/// What an LSM is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LsmOperation {
    Mount,
    Umount,
    /// move_mount(2), which AppArmor hooks only since Linux 6.7 (commit 157a3537d6bc).
    MoveMount,
    /// Files of a mount that fsmount(2) or open_tree(2) made and nothing attached.
    DetachedMount,
    /// ptrace(2) and its read mode on a process that is not the container's.
    Ptrace,
    /// Files of the host through a bind mount.
    HostFiles,
    /// connect(2) to a socket of a host daemon.
    HostSocket,
    /// A signal to a process of the host.
    Signal,
    /// Writes to /proc/sys, /sys and /proc/sysrq-trigger, by the route that is open.
    KernelInterface,
    /// Opening a device node.
    Device,
    /// A socket of family AF_ALG.
    NetworkAlg,
    /// A System V or POSIX shared memory object of the host.
    Ipc,
    /// Files of the host that no mount was labelled for.
    OtherHostFiles,
    /// Loading a kernel module.
    KernelModule,
    /// Processes, keys and memory of another container under the same profile.
    OtherContainer,
    /// No LSM confines the container at all.
    Unconfined,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MountOption {
    Any,
    Suid,
    Dev,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    Less,
    LessOrEqual,
    Equal,
    GreaterOrEqual,
    Greater,
}

impl Comparison {
    fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Comparison::Less => a < b,
            Comparison::LessOrEqual => a <= b,
            Comparison::Equal => a == b,
            Comparison::GreaterOrEqual => a >= b,
            Comparison::Greater => a > b,
        }
    }
    fn text(self) -> &'static str {
        match self {
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Equal => "=",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Greater => ">",
        }
    }
}

/// kernel_lockdown(7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lockdown {
    None,
    Integrity,
    Confidentiality,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Limit {
    Memory,
    Cpu,
    Pids,
}

/// A kernel interface: its name in techniques, and its file.
pub const KERNEL_INTERFACES: &[(&str, &str)] = &[
    ("core-pattern", "/proc/sys/kernel/core_pattern"),
    ("modprobe", "/proc/sys/kernel/modprobe"),
    ("binfmt-misc", "/proc/sys/fs/binfmt_misc/register"),
    ("sysctl", "/proc/sys/vm/panic_on_oom"),
    ("sysrq-trigger", "/proc/sysrq-trigger"),
    ("uevent-helper", "/sys/kernel/uevent_helper"),
    ("sysfs", "/sys/power/state"),
    ("release-agent", "/sys/fs/cgroup/release_agent"),
    ("apparmor-policy", "/sys/kernel/security/apparmor/.load"),
    ("thermal", "/sys/class/thermal"),
];

/// Where the facts are told to, when somebody wants to know.
pub trait Sink {
    fn note(&mut self, fact: impl FnOnce() -> String, origin: &Origin);
}

/// Wants nothing.
impl Sink for () {
    fn note(&mut self, _: impl FnOnce() -> String, _: &Origin) {}
}

/// Keeps every fact with its origin.
impl Sink for Vec<(String, Origin)> {
    fn note(&mut self, fact: impl FnOnce() -> String, origin: &Origin) {
        self.push((fact(), origin.clone()));
    }
}

impl Condition {
    /// Reads one condition as technique files write it.
    pub fn parse(text: &str) -> Result<Condition, String> {
        let text = text.trim();
        let (name, arguments) = match text.split_once('(') {
            Some((name, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(|| format!("`{text}` has no closing `)`"))?;
                (name.trim(), inner.split(',').map(str::trim).collect::<Vec<_>>())
            }
            None => (text, Vec::new()),
        };
        let argument = |i: usize| {
            arguments
                .get(i)
                .copied()
                .filter(|a| !a.is_empty())
                .ok_or_else(|| format!("`{name}` wants an argument"))
        };
        let capability = || {
            argument(0)
                .and_then(|a| Capability::parse(a).ok_or_else(|| format!("no capability is named `{a}`")))
        };
        let namespace = || {
            let wanted = argument(0)?;
            NamespaceKind::ALL
                .into_iter()
                .find(|k| k.name() == wanted)
                .ok_or_else(|| format!("no namespace is named `{wanted}`"))
        };
        let access = |i: usize| match arguments.get(i).copied() {
            None | Some("read") => Ok(false),
            Some("write") => Ok(true),
            Some(other) => Err(format!("`{other}` is not an access: `read` or `write`")),
        };
        let local = |i: usize| match arguments.get(i).copied() {
            None => Ok(false),
            Some("local") => Ok(true),
            Some(other) => Err(format!("`{other}` is not `local`")),
        };
        let object = |i: usize| {
            let wanted = argument(i)?;
            objects::object_classes()
                .find(|(n, _)| *n == wanted)
                .map(|(n, _)| n)
                .ok_or_else(|| format!("no object class is named `{wanted}` (data/objects.yaml)"))
        };
        let device = || {
            let wanted = argument(0)?;
            objects::device_class_name(wanted)
                .ok_or_else(|| format!("no device class is named `{wanted}` (data/devices.yaml)"))
        };
        let interface = || {
            let wanted = argument(0)?;
            KERNEL_INTERFACES
                .iter()
                .find(|(n, _)| *n == wanted)
                .map(|(n, _)| *n)
                .ok_or_else(|| format!("no kernel interface is named `{wanted}`"))
        };
        Ok(match name {
            "uid" if arguments == ["0"] => Condition::Root,
            "host-ids" => Condition::HostIds,
            "user-namespace" if arguments == ["initial"] => Condition::InitialUserNamespace,
            "bounding" => Condition::Bounding(capability()?),
            "usable" => Condition::Usable(capability()?),
            "inheritable-capabilities" => Condition::Inheritable,
            "privileges-can-rise" => Condition::PrivilegesCanRise,
            "setuid-programs" => Condition::SetuidPrograms,
            "in-group" => Condition::InGroup(object(0)?),
            "shares" => Condition::SharesHost(namespace()?),
            "joins" => Condition::SharesContainer(namespace()?),
            "syscall" => Condition::Syscall(argument(0)?.to_owned()),
            "socket-family" => Condition::SocketFamily(match argument(0)? {
                "alg" => SocketFamily::Alg,
                "vsock" => SocketFamily::Vsock,
                "packet" => SocketFamily::Packet,
                "rxrpc" => SocketFamily::Rxrpc,
                "rds" => SocketFamily::Rds,
                "netlink" => SocketFamily::Netlink,
                "unix" => SocketFamily::Unix,
                other => return Err(format!("no socket family is named `{other}`")),
            }),
            "new-user-namespace" => Condition::NewUserNamespace,
            "user-namespaces-enabled" => Condition::UserNamespacesEnabled,
            "seccomp-off" => Condition::SeccompOff,
            "compat-syscalls" => Condition::CompatSyscalls,
            "lsm" => Condition::Lsm(match argument(0)? {
                "mount" => LsmOperation::Mount,
                "umount" => LsmOperation::Umount,
                "move-mount" => LsmOperation::MoveMount,
                "detached-mount" => LsmOperation::DetachedMount,
                "ptrace" => LsmOperation::Ptrace,
                "host-files" => LsmOperation::HostFiles,
                "host-socket" => LsmOperation::HostSocket,
                "signal" => LsmOperation::Signal,
                "kernel-interface" => LsmOperation::KernelInterface,
                "device" => LsmOperation::Device,
                "network-alg" => LsmOperation::NetworkAlg,
                "ipc" => LsmOperation::Ipc,
                "other-host-files" => LsmOperation::OtherHostFiles,
                "kernel-module" => LsmOperation::KernelModule,
                "other-container" => LsmOperation::OtherContainer,
                "none" => LsmOperation::Unconfined,
                other => return Err(format!("no LSM operation is named `{other}`")),
            }),
            "mounts" => Condition::Mounts { class: object(0)?, write: access(1)? },
            "shared-propagation" => Condition::SharedPropagation,
            "writable-host-mount" => Condition::WritableHostMount(match arguments.first().copied() {
                None => MountOption::Any,
                Some("suid") => MountOption::Suid,
                Some("dev") => MountOption::Dev,
                Some(other) => return Err(format!("`{other}` is not a mount option: `suid` or `dev`")),
            }),
            "host-backed-mount" => Condition::HostBackedMount { write: access(0)? },
            "kernel-interface" => Condition::KernelInterface(interface()?),
            "unmasked" => {
                let wanted = argument(0)?;
                Condition::Unmasked(
                    MASKABLE
                        .iter()
                        .find(|(n, _)| *n == wanted)
                        .map(|(n, _)| *n)
                        .ok_or_else(|| format!("no masked path is named `{wanted}`"))?,
                )
            }
            "device-node" => Condition::DeviceNode(device()?),
            "device-cgroup" => Condition::DeviceCgroup { class: device()?, write: access(1)? },
            "cgroup-version" => Condition::CgroupVersion(match argument(0)? {
                "1" => 1,
                "2" => 2,
                other => return Err(format!("`{other}` is not a cgroup version")),
            }),
            "cgroup-writable" => Condition::CgroupWritable,
            "host-kernel" => Condition::HostKernel,
            "sysctl" => {
                let (key, comparison, value) = comparison(argument(0)?)?;
                let value = value.parse().map_err(|_| format!("`{value}` is not a number"))?;
                Condition::Sysctl { key: key.to_owned(), comparison, value }
            }
            "kernel" => {
                let (rest, comparison, value) = comparison(argument(0)?)?;
                let version = value
                    .split_once('.')
                    .and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)))
                    .filter(|_| rest.is_empty())
                    .ok_or_else(|| format!("`{text}` is not like `kernel(>= 5.8)`"))?;
                Condition::Kernel { comparison, version }
            }
            "lockdown-below" => Condition::LockdownBelow(match argument(0)? {
                "integrity" => Lockdown::Integrity,
                "confidentiality" => Lockdown::Confidentiality,
                other => return Err(format!("`{other}` is not a lockdown level")),
            }),
            "modules-loadable" => Condition::ModulesLoadable,
            "kernel-option" => Condition::KernelOption(argument(0)?.to_owned()),
            "local-user" => Condition::LocalUser,
            "cloud-metadata" => Condition::CloudMetadata,
            "listener" => Condition::Listener { daemon: argument(0)?.to_owned(), local_only: local(1)? },
            "engine-tcp" => Condition::EngineTcp { local_only: local(0)? },
            "control-api-given" => Condition::ControlApiGiven,
            "network-attached" => Condition::NetworkAttached,
            "shared-segment" => Condition::SharedSegment,
            "service-account-token" => Condition::ServiceAccountToken,
            "grants" => {
                Condition::Grants { verb: argument(0)?.to_owned(), resource: argument(1)?.to_owned() }
            }
            "unlimited" => Condition::Unlimited(match argument(0)? {
                "memory" => Limit::Memory,
                "cpu" => Limit::Cpu,
                "pids" => Limit::Pids,
                other => return Err(format!("no limit is named `{other}`")),
            }),
            "writable-rootfs" => Condition::WritableRootfs,
            "sets-host-sysctl" => Condition::SetsHostSysctl,
            "image-secret" => Condition::ImageSecret,
            "image-unpinned" => Condition::ImageUnpinned,
            "cgroup-parent" => Condition::CgroupParent,
            "privileged" => Condition::Privileged,
            "flaw" => Condition::Flaw(argument(0)?.to_owned()),
            "same-ids" => Condition::SameIds,
            "owns" => Condition::Owns(object(0)?),
            "engine-user" => Condition::EngineUser,
            "host-process-of-same-user" => Condition::HostProcessOfSameUser,
            "host-accomplice" => Condition::HostAccomplice,
            "user-namespace" if arguments == ["own"] => Condition::OwnUserNamespace,
            "image-untrusted" => Condition::ImageUntrusted,
            "cri" => Condition::UnderKubelet,
            "runs-under" => Condition::RunsUnder(argument(0)?.to_owned()),
            "gpu-device" => Condition::GpuDevice,
            "bind-mount-shared" => Condition::WritableSharedMount,
            "module-available" => Condition::ModuleAvailable(argument(0)?.to_owned()),
            _ => return Err(format!("no condition is named `{text}`")),
        })
    }

    /// What holds the condition shut while it is false.
    pub fn barrier(&self) -> Barrier {
        use Condition::*;
        match self {
            Root | Usable(_) | Inheritable | PrivilegesCanRise | SetuidPrograms | InGroup(_) => {
                Barrier::Identity
            }
            HostIds | InitialUserNamespace | SameIds | OwnUserNamespace | EngineUser => {
                Barrier::UserNamespace
            }
            HostProcessOfSameUser | Owns(_) => Barrier::Identity,
            HostAccomplice => Barrier::HostAccounts,
            Bounding(_) => Barrier::Capabilities,
            SharesHost(kind) | SharesContainer(kind) => match kind {
                NamespaceKind::Pid => Barrier::PidNamespace,
                NamespaceKind::Net => Barrier::NetworkNamespace,
                NamespaceKind::Ipc => Barrier::IpcNamespace,
                NamespaceKind::Uts => Barrier::UtsNamespace,
                NamespaceKind::Cgroup => Barrier::CgroupNamespace,
                NamespaceKind::Time => Barrier::TimeNamespace,
            },
            Syscall(_) | SocketFamily(_) | NewUserNamespace | SeccompOff | CompatSyscalls => Barrier::Seccomp,
            Lsm(_) => Barrier::Lsm,
            Mounts { .. }
            | SharedPropagation
            | WritableHostMount(_)
            | HostBackedMount { .. }
            | KernelInterface(_)
            | Unmasked(_)
            | WritableRootfs
            | WritableSharedMount
            | CgroupWritable => Barrier::MountNamespace,
            DeviceNode(_) | DeviceCgroup { .. } | GpuDevice => Barrier::DeviceCgroup,
            CgroupVersion(_)
            | Sysctl { .. }
            | Kernel { .. }
            | LockdownBelow(_)
            | ModulesLoadable
            | KernelOption(_)
            | LocalUser
            | UserNamespacesEnabled
            | Flaw(_)
            | UnderKubelet
            | RunsUnder(_)
            | ModuleAvailable(_)
            | SetsHostSysctl => Barrier::KernelSettings,
            HostKernel => Barrier::SandboxKernel,
            CloudMetadata | Listener { .. } | EngineTcp { .. } | NetworkAttached | SharedSegment => {
                Barrier::NetworkReach
            }
            ControlApiGiven | ServiceAccountToken | Grants { .. } => Barrier::Authorization,
            Unlimited(_) | CgroupParent => Barrier::ResourceLimits,
            ImageSecret | ImageUnpinned | ImageUntrusted => Barrier::ImageTrust,
            Privileged => Barrier::Capabilities,
        }
    }

    /// Whether the answer hangs on nothing but the seccomp filter, the bounding set, the machine and the kernel,
    /// so that it can be kept for all containers that have these alike.
    pub fn is_seccomp(&self) -> bool {
        matches!(
            self,
            Condition::Syscall(_)
                | Condition::SocketFamily(_)
                | Condition::NewUserNamespace
                | Condition::SeccompOff
                | Condition::CompatSyscalls
        )
    }

    /// Whether the answer hangs on nothing but the host's installed versions.
    pub fn is_flaw(&self) -> bool {
        matches!(self, Condition::Flaw(_))
    }

    /// The truth of the condition for a container, with the facts that decide told to `sink`.
    pub fn check<S: Sink>(&self, c: &Confinement, filter: &Filter<'_>, sink: &mut S) -> Truth {
        match self {
            Condition::Root => {
                let truth = fact(&c.identity.root, sink, |root| {
                    (if *root { "runs as root" } else { "does not run as root" }).into()
                });
                // Root can be had again through a program of the image where privileges may rise.
                if truth.is_false()
                    && c.identity.setuid_programs.value == Some(true)
                    && c.identity.no_new_privileges.value == Some(false)
                {
                    sink.note(
                        || "a set-user-ID program of the image can make it root".into(),
                        &c.identity.setuid_programs.origin,
                    );
                    return Truth::True;
                }
                truth
            }
            Condition::HostIds => fact(&c.user_namespace.root_is_host_root, sink, |same| {
                (if *same {
                    "user ids are the host's"
                } else {
                    "a user namespace maps root to another id of the host"
                })
                .into()
            }),
            Condition::InitialUserNamespace => fact(&c.user_namespace.initial, sink, |initial| {
                (if *initial { "no user namespace of its own" } else { "in a user namespace of its own" })
                    .into()
            }),
            Condition::Bounding(cap) => fact_is(
                &c.capabilities.bounding,
                sink,
                |set| set.has(*cap),
                |has| format!("{cap} is {}in the bounding set", if has { "" } else { "not " }),
            ),
            Condition::Usable(cap) => self.usable(*cap, c, sink),
            Condition::Inheritable => fact_is(
                &c.capabilities.inheritable,
                sink,
                |s| !s.is_empty(),
                |has| format!("the inheritable set is {}", if has { "not empty" } else { "empty" }),
            ),
            Condition::PrivilegesCanRise => fact_is(
                &c.identity.no_new_privileges,
                sink,
                |nnp| !nnp,
                |rise| (if rise { "no_new_privs is off" } else { "no_new_privs is on" }).into(),
            ),
            Condition::SetuidPrograms => fact(&c.identity.setuid_programs, sink, |has| {
                (if *has {
                    "the image holds set-user-ID programs or file capabilities"
                } else {
                    "no set-user-ID program hands anything out"
                })
                .into()
            }),
            Condition::InGroup(class) => in_group(class, c, sink),
            Condition::SharesHost(kind) => fact_is(
                c.namespaces.get(*kind),
                sink,
                |n| *n == Namespace::Host,
                |shared| {
                    format!(
                        "{} the host's {} namespace",
                        if shared { "shares" } else { "does not share" },
                        kind.name()
                    )
                },
            ),
            Condition::SharesContainer(kind) => {
                let ns = c.namespaces.get(*kind);
                fact_is(
                    ns,
                    sink,
                    |n| matches!(n, Namespace::Container(_)),
                    |shared| match ns.get() {
                        Some(Namespace::Container(of)) if shared => {
                            format!("shares the {} namespace of {of}", kind.name())
                        }
                        _ => format!("shares no container's {} namespace", kind.name()),
                    },
                )
            }
            Condition::Syscall(name) => filter.asks(
                c,
                sink,
                |f| f.permits(name, &Arguments::ANY),
                |m| m.get(name).copied(),
                || format!("{name}(2)"),
            ),
            Condition::SocketFamily(family) => filter.asks(
                c,
                sink,
                |f| f.permits("socket", &Arguments::of(&[family.number()])),
                |m| m.get(&format!("socket({})", family.name())).copied(),
                || format!("socket({})", family.name()),
            ),
            Condition::NewUserNamespace => filter.asks(
                c,
                sink,
                new_user_namespace,
                |m| m.get("unshare").copied(),
                || "a new user namespace".into(),
            ),
            Condition::UserNamespacesEnabled => user_namespaces_enabled(c, sink),
            Condition::SeccompOff => fact_is(
                &c.seccomp,
                sink,
                |s| matches!(s, Seccomp::Disabled),
                |off| (if off { "no seccomp filter" } else { "a seccomp filter is loaded" }).into(),
            ),
            Condition::CompatSyscalls => filter.asks(
                c,
                sink,
                |f| f.permits_on(Architecture::X86, "socketcall", &Arguments::of(&[1])),
                |_| None,
                || "the 32-bit socketcall(2)".into(),
            ),
            Condition::Lsm(operation) => lsm(*operation, c, sink),
            Condition::Mounts { class, write } => mounts(class, *write, c, sink),
            Condition::SharedPropagation => any(
                c.mounts
                    .iter()
                    .filter(|m| m.host_path().is_some() || !m.source.is_known())
                    .map(|m| (m, &m.propagation)),
                sink,
                |(m, propagation), sink| {
                    fact_is(
                        propagation,
                        sink,
                        |p| *p == Propagation::Shared,
                        |_| format!("mounts made below {} appear on the host", m.target),
                    )
                },
                || "no mount is shared with the host".into(),
            ),
            Condition::WritableHostMount(option) => writable_host_mount(*option, c, sink),
            Condition::HostBackedMount { write } => any(
                c.mounts.iter(),
                sink,
                |m, sink| {
                    let backed = fact_is(&m.source, sink, holds_files, |_| {
                        format!("{} is a file system of the host", m.target)
                    });
                    if *write { backed.and(some_writable(m)) } else { backed }
                },
                || "no file system of the host is mounted".into(),
            )
            .or(engine_files(*write, c, sink)),
            Condition::KernelInterface(name) => kernel_interface(name, c, sink),
            Condition::Unmasked(name) => unmasked(name, c, sink),
            Condition::DeviceNode(class) => device_node(class, c, sink),
            Condition::DeviceCgroup { class, write } => device_cgroup(class, *write, c, sink),
            Condition::CgroupVersion(version) => fact_is(
                &c.cgroup.version,
                sink,
                |v| v == version,
                |_| format!("cgroup version {}", c.cgroup.version.get().copied().unwrap_or_default()),
            ),
            Condition::CgroupWritable => fact(&c.cgroup.writable, sink, |w| {
                format!("the cgroup file system is mounted {}", if *w { "writable" } else { "read-only" })
            }),
            Condition::HostKernel => {
                let truth = c.runtime.get().map_or(Truth::Unknown, |r| r.shares_host_kernel());
                sink.note(
                    || match c.runtime.get() {
                        Some(runtime) => format!("runs under {runtime}"),
                        None => "the runtime is not known".into(),
                    },
                    &c.runtime.origin,
                );
                truth
            }
            Condition::Sysctl { key, comparison, value } => {
                let setting = c.host.sysctl(key);
                fact_is(
                    &setting,
                    sink,
                    |v| comparison.holds(*v, *value),
                    |_| match setting.get() {
                        Some(v) => format!("{key} is {v}"),
                        None => key.clone(),
                    },
                )
            }
            Condition::Kernel { comparison, version } => {
                let release = &c.host.kernel_release;
                let truth = c.host.kernel_version().map(|v| comparison.holds(v, *version)).into();
                sink.note(
                    || match release.get() {
                        Some(r) => format!("the kernel is {r}"),
                        None => "the kernel's version is not known".into(),
                    },
                    &release.origin,
                );
                truth
            }
            Condition::LockdownBelow(level) => fact_is(
                &c.host.lockdown,
                sink,
                |l| {
                    let is = match &**l {
                        "confidentiality" => Lockdown::Confidentiality,
                        "integrity" => Lockdown::Integrity,
                        _ => Lockdown::None,
                    };
                    is < *level
                },
                |_| format!("kernel lockdown is {}", c.host.lockdown.get().map_or("not known", |l| l)),
            ),
            Condition::ModulesLoadable => fact(&c.host.modules_loadable, sink, |can| {
                (if *can {
                    "the kernel loads modules"
                } else {
                    "the kernel loads no modules, or only signed ones"
                })
                .into()
            }),
            Condition::KernelOption(name) => match c.host.kernel_options.get(name.as_str()) {
                Some(option) => {
                    fact(option, sink, |on| format!("{name} is {}", if *on { "on" } else { "off" }))
                }
                None => Truth::Unknown,
            },
            Condition::LocalUser => fact(&c.host.local_users, sink, |has| {
                (if *has {
                    "the host has accounts other than root"
                } else {
                    "the host has no account other than root"
                })
                .into()
            }),
            Condition::CloudMetadata => {
                fact_is(&c.host.cloud, sink, Option::is_some, |is| match c.host.cloud.get() {
                    Some(Some(cloud)) if is => format!("the host is an instance of {cloud}"),
                    _ => "the host is not a cloud instance".into(),
                })
            }
            Condition::Listener { daemon, local_only } => listener(daemon, *local_only, c, sink),
            Condition::EngineTcp { local_only } => engine_tcp(*local_only, c, sink),
            Condition::ControlApiGiven => any(
                c.control_apis.iter(),
                sink,
                |api, sink| {
                    fact_is(
                        api,
                        sink,
                        |a| !matches!(a, ControlApi::EngineTcp { tls: Some(true), .. }),
                        |_| match api.get() {
                            Some(ControlApi::ApiSocket) => {
                                "the engine's API and credentials are handed in".into()
                            }
                            Some(ControlApi::EngineTcp { address, .. }) => {
                                format!("is pointed to the engine at {address}")
                            }
                            None => "a control API".into(),
                        },
                    )
                },
                || "no control API is handed in".into(),
            ),
            Condition::NetworkAttached => fact(&c.network.attached, sink, |a| {
                (if *a { "has a network" } else { "has no network" }).into()
            }),
            Condition::SharedSegment => fact(&c.network.shared_segment, sink, |s| {
                (if *s { "is on one network segment with others" } else { "is alone on its network segment" })
                    .into()
            }),
            Condition::ServiceAccountToken => match &c.service_account {
                None => Truth::False,
                Some(account) => fact(&account.token_mounted, sink, |m| {
                    format!(
                        "the token of service account {} is {}",
                        account.name,
                        if *m { "mounted" } else { "not mounted" }
                    )
                }),
            },
            Condition::Grants { verb, resource } => grants(verb, resource, c, sink),
            Condition::Unlimited(limit) => match limit {
                Limit::Memory => unlimited(&c.limits.memory, "memory", sink),
                Limit::Cpu => unlimited(&c.limits.cpu, "processor time", sink),
                Limit::Pids => unlimited(&c.limits.pids, "processes", sink),
            },
            Condition::WritableRootfs => fact_is(
                &c.read_only_rootfs,
                sink,
                |ro| !ro,
                |rw| format!("the root file system is {}", if rw { "writable" } else { "read-only" }),
            ),
            Condition::SetsHostSysctl => sets_host_sysctl(c, sink),
            Condition::ImageSecret => match c.image.secrets.first() {
                Some(secret) => fact_is(
                    secret,
                    sink,
                    |_| true,
                    |_| format!("the image carries {}", secret.get().map_or("a secret", |s| s)),
                ),
                None => Truth::False,
            },
            Condition::ImageUnpinned => fact_is(
                &c.image.pinned,
                sink,
                |p| !p,
                |unpinned| {
                    (if unpinned {
                        "the image is named by a tag that can be moved"
                    } else {
                        "the image is named by digest"
                    })
                    .into()
                },
            ),
            Condition::CgroupParent => match &c.cgroup.parent {
                Some(parent) => fact_is(
                    parent,
                    sink,
                    |p| !p.is_empty(),
                    |_| format!("cgroup parent {}", parent.get().map_or("?", |p| p)),
                ),
                None => Truth::False,
            },
            Condition::Privileged => {
                fact(&c.privileged, sink, |p| (if *p { "privileged" } else { "not privileged" }).into())
            }
            Condition::Flaw(id) => flaw_technique::is_present(id, &c.host, sink),
            Condition::Owns(class) => owns(class, c, sink),
            Condition::EngineUser => {
                let rootless = match &c.engine {
                    Some(engine) => Truth::from(engine.settings.rootless.value),
                    None => Truth::False,
                };
                let truth = rootless.and(Truth::from(c.identity.root.value));
                if let (true, Some(engine)) = (truth.is_true(), &c.engine) {
                    sink.note(
                        || "root inside is the person who runs the engine".into(),
                        &engine.settings.rootless.origin,
                    );
                }
                truth
            }
            Condition::HostProcessOfSameUser => host_process_of_same_user(c, sink),
            Condition::HostAccomplice => {
                sink.note(
                    || "somebody with an account on the host would have to help".into(),
                    &Origin::assumed("nobody on the host helps the container's program"),
                );
                Truth::False
            }
            Condition::OwnUserNamespace => fact_is(
                &c.user_namespace.initial,
                sink,
                |initial| !initial,
                |own| {
                    (if own { "in a user namespace of its own" } else { "no user namespace of its own" })
                        .into()
                },
            ),
            Condition::ImageUntrusted => {
                sink.note(
                    || "the image is taken to be trusted".into(),
                    &Origin::assumed("the image is taken to be trusted"),
                );
                Truth::False
            }
            Condition::UnderKubelet => match &c.engine {
                Some(engine) => Truth::from(engine.kind.is_cri()),
                None => Truth::Unknown,
            },
            Condition::RunsUnder(name) => runs_under(name, c, sink),
            Condition::GpuDevice => device_node("gpu", c, sink),
            Condition::WritableSharedMount => any(
                c.mounts.iter(),
                sink,
                |m, sink| {
                    let shared = m.source.is(holds_files);
                    let truth = shared.and(some_writable(m));
                    if truth.is_true() {
                        sink.note(
                            || format!("{} is mounted writable, and may be elsewhere too", m.target),
                            &m.source.origin,
                        );
                    }
                    truth
                },
                || "no writable mount that others may have".into(),
            ),
            // The kernel asks for a module when the family or algorithm is first used.
            Condition::ModuleAvailable(name) => fact(&c.host.modules_loadable, sink, |can| {
                if *can {
                    format!("the kernel may load {name}")
                } else {
                    format!("the kernel loads no {name}")
                }
            }),
            // Docker's remapping gives every container one range (daemon/oci_linux.go, a single idtools mapping);
            // Podman and Kubernetes choose one for each.
            Condition::SameIds => {
                let kind = c.engine.as_ref().map(|e| e.kind);
                match (c.user_namespace.initial.value, kind) {
                    (Some(true), _) | (Some(false), Some(EngineKind::Docker)) => {
                        sink.note(
                            || "its ids are those of other containers".into(),
                            &c.user_namespace.initial.origin,
                        );
                        Truth::True
                    }
                    (Some(false), Some(_)) => Truth::False,
                    _ => Truth::Unknown,
                }
            }
        }
    }

    fn usable<S: Sink>(&self, cap: Capability, c: &Confinement, sink: &mut S) -> Truth {
        let effective = c.capabilities.effective.is(|set| set.has(cap));
        let bounding = c.capabilities.bounding.is(|set| set.has(cap));
        // Where the bounding set lacks it, that is the wall; what remains is whether it would be effective.
        let truth = if bounding.is_false() { Truth::from(c.identity.root.value) } else { effective };
        if truth.is_true() {
            sink.note(|| format!("{cap} is effective"), &c.capabilities.effective.origin);
            return truth;
        }
        let rises = Truth::from(c.identity.setuid_programs.value)
            .and(!Truth::from(c.identity.no_new_privileges.value))
            .and(if truth.is_false() { Truth::True } else { Truth::Unknown });
        if rises.is_true() {
            sink.note(
                || format!("{cap} can be regained through a set-user-ID program of the image"),
                &c.identity.setuid_programs.origin,
            );
            return Truth::True;
        }
        sink.note(|| format!("{cap} is not effective"), &c.capabilities.effective.origin);
        truth
    }
}

fn comparison(text: &str) -> Result<(&str, Comparison, &str), String> {
    for (sign, comparison) in [
        ("<=", Comparison::LessOrEqual),
        (">=", Comparison::GreaterOrEqual),
        ("<", Comparison::Less),
        (">", Comparison::Greater),
        ("=", Comparison::Equal),
    ] {
        if let Some((left, right)) = text.split_once(sign) {
            return Ok((left.trim(), comparison, right.trim()));
        }
    }
    Err(format!("`{text}` compares nothing"))
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use Condition::*;
        match self {
            Root => f.write_str("uid(0)"),
            HostIds => f.write_str("host-ids"),
            InitialUserNamespace => f.write_str("user-namespace(initial)"),
            Bounding(cap) => write!(f, "bounding({})", cap.name()),
            Usable(cap) => write!(f, "usable({})", cap.name()),
            Inheritable => f.write_str("inheritable-capabilities"),
            PrivilegesCanRise => f.write_str("privileges-can-rise"),
            SetuidPrograms => f.write_str("setuid-programs"),
            InGroup(class) => write!(f, "in-group({class})"),
            SharesHost(kind) => write!(f, "shares({})", kind.name()),
            SharesContainer(kind) => write!(f, "joins({})", kind.name()),
            Syscall(name) => write!(f, "syscall({name})"),
            SocketFamily(family) => {
                write!(f, "socket-family({})", family.name().trim_start_matches("AF_").to_lowercase())
            }
            NewUserNamespace => f.write_str("new-user-namespace"),
            UserNamespacesEnabled => f.write_str("user-namespaces-enabled"),
            SeccompOff => f.write_str("seccomp-off"),
            CompatSyscalls => f.write_str("compat-syscalls"),
            Lsm(operation) => write!(f, "lsm({})", operation.name()),
            Mounts { class, write } => write!(f, "mounts({class}{})", if *write { ", write" } else { "" }),
            SharedPropagation => f.write_str("shared-propagation"),
            WritableHostMount(MountOption::Any) => f.write_str("writable-host-mount"),
            WritableHostMount(MountOption::Suid) => f.write_str("writable-host-mount(suid)"),
            WritableHostMount(MountOption::Dev) => f.write_str("writable-host-mount(dev)"),
            HostBackedMount { write } => {
                write!(f, "host-backed-mount{}", if *write { "(write)" } else { "" })
            }
            KernelInterface(name) => write!(f, "kernel-interface({name})"),
            Unmasked(name) => write!(f, "unmasked({name})"),
            DeviceNode(class) => write!(f, "device-node({class})"),
            DeviceCgroup { class, write } => {
                write!(f, "device-cgroup({class}{})", if *write { ", write" } else { "" })
            }
            CgroupVersion(version) => write!(f, "cgroup-version({version})"),
            CgroupWritable => f.write_str("cgroup-writable"),
            HostKernel => f.write_str("host-kernel"),
            Sysctl { key, comparison, value } => write!(f, "sysctl({key} {} {value})", comparison.text()),
            Kernel { comparison, version } => {
                write!(f, "kernel({} {}.{})", comparison.text(), version.0, version.1)
            }
            LockdownBelow(Lockdown::Confidentiality) => f.write_str("lockdown-below(confidentiality)"),
            LockdownBelow(_) => f.write_str("lockdown-below(integrity)"),
            ModulesLoadable => f.write_str("modules-loadable"),
            KernelOption(name) => write!(f, "kernel-option({name})"),
            LocalUser => f.write_str("local-user"),
            CloudMetadata => f.write_str("cloud-metadata"),
            Listener { daemon, local_only } => {
                write!(f, "listener({daemon}{})", if *local_only { ", local" } else { "" })
            }
            EngineTcp { local_only } => write!(f, "engine-tcp{}", if *local_only { "(local)" } else { "" }),
            ControlApiGiven => f.write_str("control-api-given"),
            NetworkAttached => f.write_str("network-attached"),
            SharedSegment => f.write_str("shared-segment"),
            ServiceAccountToken => f.write_str("service-account-token"),
            Grants { verb, resource } => write!(f, "grants({verb}, {resource})"),
            Unlimited(Limit::Memory) => f.write_str("unlimited(memory)"),
            Unlimited(Limit::Cpu) => f.write_str("unlimited(cpu)"),
            Unlimited(Limit::Pids) => f.write_str("unlimited(pids)"),
            WritableRootfs => f.write_str("writable-rootfs"),
            SetsHostSysctl => f.write_str("sets-host-sysctl"),
            ImageSecret => f.write_str("image-secret"),
            ImageUnpinned => f.write_str("image-unpinned"),
            CgroupParent => f.write_str("cgroup-parent"),
            Privileged => f.write_str("privileged"),
            Flaw(id) => write!(f, "flaw({id})"),
            SameIds => f.write_str("same-ids"),
            Owns(class) => write!(f, "owns({class})"),
            EngineUser => f.write_str("engine-user"),
            HostProcessOfSameUser => f.write_str("host-process-of-same-user"),
            HostAccomplice => f.write_str("host-accomplice"),
            OwnUserNamespace => f.write_str("user-namespace(own)"),
            ImageUntrusted => f.write_str("image-untrusted"),
            UnderKubelet => f.write_str("cri"),
            RunsUnder(name) => write!(f, "runs-under({name})"),
            GpuDevice => f.write_str("gpu-device"),
            WritableSharedMount => f.write_str("bind-mount-shared"),
            ModuleAvailable(name) => write!(f, "module-available({name})"),
        }
    }
}

impl LsmOperation {
    fn name(self) -> &'static str {
        match self {
            LsmOperation::Mount => "mount",
            LsmOperation::Umount => "umount",
            LsmOperation::MoveMount => "move-mount",
            LsmOperation::DetachedMount => "detached-mount",
            LsmOperation::Ptrace => "ptrace",
            LsmOperation::HostFiles => "host-files",
            LsmOperation::HostSocket => "host-socket",
            LsmOperation::Signal => "signal",
            LsmOperation::KernelInterface => "kernel-interface",
            LsmOperation::Device => "device",
            LsmOperation::NetworkAlg => "network-alg",
            LsmOperation::Ipc => "ipc",
            LsmOperation::OtherHostFiles => "other-host-files",
            LsmOperation::KernelModule => "kernel-module",
            LsmOperation::OtherContainer => "other-container",
            LsmOperation::Unconfined => "none",
        }
    }
}

// ---- helpers over facts -------------------------------------------------------------------------------------

/// A boolean fact is its own truth.
fn fact<S: Sink>(f: &Fact<bool>, sink: &mut S, says: impl FnOnce(&bool) -> String) -> Truth {
    fact_is(f, sink, |v| *v, |truth| says(&truth))
}

/// A predicate over a fact.
fn fact_is<S: Sink, T>(
    f: &Fact<T>,
    sink: &mut S,
    holds: impl FnOnce(&T) -> bool,
    says: impl FnOnce(bool) -> String,
) -> Truth {
    match &f.value {
        Some(v) => {
            let truth = holds(v);
            sink.note(|| says(truth), &f.origin);
            Truth::from(truth)
        }
        None => Truth::Unknown,
    }
}

/// True if one of several is, with only that one told; unknown if one is unknown; else false.
fn any<S: Sink, T>(
    items: impl Iterator<Item = T>,
    sink: &mut S,
    mut check: impl FnMut(&T, &mut Collect) -> Truth,
    none: impl FnOnce() -> String,
) -> Truth {
    let mut unknown: Option<Collect> = None;
    for item in items {
        let mut collect = Collect::default();
        match check(&item, &mut collect) {
            Truth::True => {
                collect.pour(sink);
                return Truth::True;
            }
            Truth::Unknown => unknown = unknown.or(Some(collect)),
            Truth::False => {}
        }
    }
    match unknown {
        Some(collect) => {
            collect.pour(sink);
            Truth::Unknown
        }
        None => {
            sink.note(none, &Origin::Nowhere);
            Truth::False
        }
    }
}

/// Facts kept back until it is clear that they decide. Texts are only made when they are poured out.
#[derive(Default)]
struct Collect(Vec<(String, Origin)>);

impl Collect {
    fn pour<S: Sink>(self, sink: &mut S) {
        for (text, origin) in self.0 {
            sink.note(|| text, &origin);
        }
    }
}
impl Sink for Collect {
    fn note(&mut self, fact: impl FnOnce() -> String, origin: &Origin) {
        self.0.push((fact(), origin.clone()));
    }
}

fn unlimited<S: Sink>(limit: &Fact<Option<u64>>, what: &str, sink: &mut S) -> Truth {
    fact_is(limit, sink, Option::is_none, |none| {
        if none { format!("no limit of {what}") } else { format!("{what} are limited") }
    })
}

// ---- seccomp ------------------------------------------------------------------------------------------------

/// The container's filter as the kernel would load it, made once for all questions.
pub struct Filter<'a> {
    resolved: Option<Resolved<'a>>,
}

impl<'a> Filter<'a> {
    pub fn of(c: &'a Confinement) -> Filter<'a> {
        let bounding = c.capabilities.bounding.value;
        let machine =
            c.host.machine.get().and_then(|m| Architecture::from_machine(m)).unwrap_or(Architecture::X86_64);
        let resolved = match (c.seccomp.get().and_then(Seccomp::profile), bounding) {
            (Some(profile), Some(bounding)) => {
                Some(profile.resolve(bounding, machine, c.host.kernel_version()))
            }
            _ => None,
        };
        Filter { resolved }
    }

    /// No filter in sight: for questions that are not about seccomp.
    pub fn unasked() -> Filter<'a> {
        Filter { resolved: None }
    }

    fn asks<S: Sink>(
        &self,
        c: &Confinement,
        sink: &mut S,
        profile: impl FnOnce(&Resolved<'_>) -> Truth,
        measured: impl FnOnce(&BTreeMap<String, bool>) -> Option<bool>,
        what: impl FnOnce() -> String,
    ) -> Truth {
        let truth = match c.seccomp.get() {
            None | Some(Seccomp::Opaque) => Truth::Unknown,
            Some(Seccomp::Disabled) => Truth::True,
            Some(Seccomp::Measured(answers)) => measured(answers).into(),
            Some(Seccomp::Builtin { .. } | Seccomp::Profile { .. }) => {
                self.resolved.as_ref().map_or(Truth::Unknown, profile)
            }
        };
        sink.note(
            || {
                let by = c.seccomp.get().map_or("seccomp".to_owned(), Seccomp::describe);
                match truth {
                    Truth::True => format!("{by} permits {}", what()),
                    Truth::False => format!("{by} denies {}", what()),
                    Truth::Unknown => format!("whether {by} permits {} is not known", what()),
                }
            },
            &c.seccomp.origin,
        );
        truth
    }
}

/// unshare(2), clone(2) or clone3(2) with CLONE_NEWUSER. clone3 takes its flags from memory, where no filter sees them.
fn new_user_namespace(filter: &Resolved<'_>) -> Truth {
    const CLONE_NEWUSER: u64 = 0x1000_0000;
    let with = Arguments::ANY.with(0, Argument::bits(CLONE_NEWUSER, CLONE_NEWUSER));
    filter
        .permits("unshare", &with)
        .or(filter.permits("clone", &with))
        .or(filter.permits("clone3", &Arguments::ANY))
}

// ---- LSM ----------------------------------------------------------------------------------------------------

fn lsm<S: Sink>(operation: LsmOperation, c: &Confinement, sink: &mut S) -> Truth {
    apparmor(operation, c, sink).and(selinux(operation, c, sink))
}

/// What the default templates deny (moby profiles/apparmor/template.go and its descendants).
fn template_permits(operation: LsmOperation, template: AppArmorTemplate, c: &Confinement) -> Truth {
    use LsmOperation::*;
    match (operation, template) {
        (_, AppArmorTemplate::Custom) => Truth::Unknown,
        // `deny mount`; `umount` is allowed.
        (Mount, _) => Truth::False,
        (Umount, _) => Truth::True,
        // Mediated since Linux 6.7, and where it was backported; before that the rule does not see the call.
        (MoveMount, _) => match c.host.kernel_version() {
            Some(version) if version >= (6, 7) => Truth::False,
            _ => Truth::Unknown,
        },
        // AppArmor hooks neither fsopen(2) nor fsmount(2), and names the files of a mount that is attached nowhere
        // from the root of their file system (security/apparmor/path.c, d_namespace_path and disconnect, with
        // attach_disconnected): `register` of binfmt_misc is `/register`, which `file,` permits. Measured with
        // docker-default enforced on Debian's 6.1 and 6.12: opened for writing. Not so below /proc/sys: its files are
        // named `/sys/kernel/…`, which the rules for /sys happen to deny.
        (DetachedMount, _) => Truth::True,
        // Only `peer=` the profile itself. Signals are received from unconfined, sent only to the own profile.
        (Ptrace | Signal, _) => Truth::False,
        // `file,` and `network,`: files of the host under other paths, sockets and devices are not denied.
        (HostFiles | HostSocket | Device | Ipc | OtherHostFiles, _) => Truth::True,
        // `capability,`: no capability is withheld, and modules are not mediated.
        (KernelModule, _) => Truth::True,
        // Every container runs under one profile name, which is its own peer.
        (OtherContainer, _) => Truth::True,
        // `deny network alg` stands in moby's template alone, since the kernel flaw of 2026 (29.4.3).
        (NetworkAlg, AppArmorTemplate::Docker) => Truth::from(!c.engine.as_ref().is_some_and(|e| {
            e.version > (29, 4) || (e.version == (29, 4) && e.patch.is_none_or(|p| p >= 3))
        })),
        (NetworkAlg, _) => Truth::True,
        // By path: the container's own /proc and /sys are covered, a host tree bound elsewhere is not.
        (KernelInterface, _) => Truth::from(bound_elsewhere(c)),
        (Unconfined, _) => Truth::False,
    }
}

/// Whether the host's /proc or /sys is seen under a path that the profile's rules do not name.
fn bound_elsewhere(c: &Confinement) -> bool {
    c.mounts.iter().any(|m| {
        let named =
            |top: &str| m.target.strip_prefix(top).is_some_and(|r| r.is_empty() || r.starts_with('/'));
        m.host_path().is_some_and(|p| p.is_root() || p.is_at_or_below("/proc") || p.is_at_or_below("/sys"))
            && !named("/proc")
            && !named("/sys")
    })
}

fn apparmor<S: Sink>(operation: LsmOperation, c: &Confinement, sink: &mut S) -> Truth {
    let unknown_template = || {
        // Not known to be there: what the engine's own profile would permit does not hang on it.
        let template = c.engine.as_ref().map_or(AppArmorTemplate::Docker, |e| e.apparmor().1);
        if template_permits(operation, template, c).is_true() { Truth::True } else { Truth::Unknown }
    };
    match c.apparmor.get() {
        None => {
            let truth = unknown_template();
            if truth.is_unknown() {
                sink.note(|| "whether AppArmor confines it is not known".into(), &c.apparmor.origin);
            }
            truth
        }
        Some(AppArmor::Absent) => {
            sink.note(
                || "AppArmor does not confine it: the host does not enforce it".into(),
                &c.apparmor.origin,
            );
            Truth::True
        }
        Some(AppArmor::Unconfined) => {
            sink.note(|| "AppArmor does not confine it: unconfined".into(), &c.apparmor.origin);
            Truth::True
        }
        Some(AppArmor::Profile { name, enforcing: false, .. }) => {
            sink.note(|| format!("AppArmor does not confine it: {name} only complains"), &c.apparmor.origin);
            Truth::True
        }
        Some(AppArmor::Profile { name, enforcing: true, template }) => {
            let truth = template_permits(operation, *template, c);
            sink.note(
                || match truth {
                    Truth::True => format!("AppArmor's {name} does not deny it"),
                    Truth::False => format!("AppArmor's {name} denies it"),
                    Truth::Unknown => format!("whether AppArmor's {name} denies it is not known"),
                },
                &c.apparmor.origin,
            );
            truth
        }
    }
}

/// container-selinux's container.te: a container domain may use only objects labelled for containers.
fn selinux<S: Sink>(operation: LsmOperation, c: &Confinement, sink: &mut S) -> Truth {
    match c.selinux.get() {
        // It may be there, and a container domain would deny every operation asked about here but crypto sockets.
        None => {
            // What a container domain is permitted is permitted with or without SELinux.
            let relabelled = c.mounts.iter().any(|m| m.relabelled && m.host_path().is_some());
            if operation == LsmOperation::NetworkAlg || (operation == LsmOperation::HostFiles && relabelled) {
                return Truth::True;
            }
            sink.note(|| "whether SELinux confines it is not known".into(), &c.selinux.origin);
            Truth::Unknown
        }
        Some(SeLinux::Absent | SeLinux::Permissive | SeLinux::Unconfined) => Truth::True,
        Some(SeLinux::Custom { domain }) => {
            sink.note(|| format!("what SELinux permits {domain} is not known"), &c.selinux.origin);
            Truth::Unknown
        }
        Some(SeLinux::Confined { domain }) => {
            let relabelled = c.mounts.iter().any(|m| m.relabelled && m.host_path().is_some());
            let truth = match operation {
                LsmOperation::NetworkAlg => Truth::True,
                // A mount with :z or :Z is labelled for containers.
                LsmOperation::HostFiles => Truth::from(relabelled),
                _ => Truth::False,
            };
            sink.note(
                || {
                    if truth.is_true() {
                        format!("SELinux does not deny it to {domain}")
                    } else {
                        format!("SELinux denies it to {domain}")
                    }
                },
                &c.selinux.origin,
            );
            truth
        }
    }
}

// ---- mounts -------------------------------------------------------------------------------------------------

/// Whether a mount shows an object of the class (for `write`: in a way that can be written).
fn mounts<S: Sink>(class_name: &str, write: bool, c: &Confinement, sink: &mut S) -> Truth {
    let Some(class) = objects::object_class(class_name) else { return Truth::Unknown };
    any(
        c.mounts.iter(),
        sink,
        |m, sink| {
            let source = match m.source.get() {
                None => {
                    sink.note(|| format!("what is mounted at {} is not known", m.target), &m.source.origin);
                    return Truth::Unknown;
                }
                Some(MountSource::Host(path)) => path,
                Some(_) => return Truth::False,
            };
            let Some(object) = class.shown_by(source, m.recursive) else { return Truth::False };
            // A read-only mount of /dev still brings a writable /dev/shm.
            let below = (write && m.read_only.value == Some(true)).then(|| class.shown_below(m, source));
            let object = below.flatten().unwrap_or(object);
            let mut writable = if write { writable(m, source, object, sink) } else { Truth::True };
            // The hierarchies of version 1 are mounts below a tmpfs, of version 2 the place itself is one.
            if writable.is_false() && source.as_str() == "/sys/fs/cgroup" && some_writable_below(m) {
                writable = c.cgroup.version.is(|version| *version == 1);
            }
            if !writable.is_false() {
                let same = object == source.as_str();
                sink.note(
                    || match same {
                        true => format!("{source} is mounted at {}: {}", m.target, class.says),
                        false => {
                            format!("{source} is mounted at {} and shows {object}: {}", m.target, class.says)
                        }
                    },
                    &m.source.origin,
                );
            }
            writable
        },
        || format!("no mount shows {}", class.says),
    )
}

fn writable<S: Sink>(
    m: &confinement::Mount,
    source: &confinement::HostPath,
    object: &str,
    sink: &mut S,
) -> Truth {
    match m.read_only.value {
        Some(false) => Truth::True,
        None => Truth::Unknown,
        Some(true) if ObjectClass::writable_below(m, source, object) => {
            sink.note(
                || format!("read-only holds for {source} alone, not for the mounts below it"),
                &m.recursive_read_only.origin,
            );
            Truth::True
        }
        Some(true) => Truth::False,
    }
}

/// Whether a mount shows files that are the host's: not those of the kernel's own file systems.
fn holds_files(source: &MountSource) -> bool {
    match source {
        MountSource::Host(p) => !["/proc", "/sys", "/dev"].iter().any(|kernel| p.is_at_or_below(kernel)),
        MountSource::Volume(_) => true,
        MountSource::Private | MountSource::Kernel(_) | MountSource::Other(_) => false,
    }
}

/// Whether mounts that come along keep their own options.
fn some_writable_below(m: &confinement::Mount) -> bool {
    m.recursive && m.recursive_read_only.value != Some(true)
}

/// Whether something can be written through a mount. Where read-only does not hold for the mounts that it brings along,
/// it is the host's to say what these are.
fn some_writable(m: &confinement::Mount) -> Truth {
    let others =
        some_writable_below(m) && m.host_path().is_some_and(|source| objects::brings_others(m, source));
    match m.read_only.value {
        Some(true) if others => Truth::Unknown,
        read_only => !Truth::from(read_only),
    }
}

fn writable_host_mount<S: Sink>(option: MountOption, c: &Confinement, sink: &mut S) -> Truth {
    any(
        c.mounts.iter(),
        sink,
        |m, sink| {
            match m.source.get() {
                None => return Truth::Unknown,
                // No set-user-ID program and no device node can be made in a file system of the kernel's.
                Some(MountSource::Host(p)) if p.is_at_or_below("/proc") || p.is_at_or_below("/sys") => {
                    return Truth::False;
                }
                Some(MountSource::Host(_)) => {}
                // A volume's files lie below the engine's own folder, which others than root cannot enter.
                Some(_) => return Truth::False,
            }
            let blocked = match option {
                MountOption::Any => false,
                MountOption::Suid => m.nosuid,
                MountOption::Dev => m.nodev,
            };
            if blocked {
                // The option holds for the top mount alone.
                let others = m.host_path().is_some_and(|source| objects::brings_others(m, source));
                return if others { Truth::Unknown } else { Truth::False };
            }
            let writable = some_writable(m);
            if writable.is_true() {
                sink.note(|| format!("files of the host can be written at {}", m.target), &m.source.origin);
            }
            writable
        },
        || "no file of the host can be written".into(),
    )
}

/// /etc/hosts and its like, which Docker, Podman and the CRI engines bind from the host's file system; writable
/// unless the root file system is not (moby daemon/container_operations_unix.go, `networkMounts`).
fn engine_files<S: Sink>(write: bool, c: &Confinement, sink: &mut S) -> Truth {
    if write && c.read_only_rootfs.value != Some(false) {
        return Truth::False;
    }
    if c.engine.is_some() && c.network.attached.value == Some(true) {
        sink.note(
            || "the engine binds /etc/hosts from the host's file system".into(),
            &c.network.attached.origin,
        );
        return Truth::True;
    }
    Truth::False
}

fn kernel_interface<S: Sink>(name: &str, c: &Confinement, sink: &mut S) -> Truth {
    let Some((_, path)) = KERNEL_INTERFACES.iter().find(|(n, _)| *n == name) else { return Truth::Unknown };
    if let Some(measured) = c.measured_writable.get(*path) {
        return fact(measured, sink, |w| {
            format!("{path} is {}", if *w { "writable" } else { "not writable" })
        });
    }
    // The container's own file is enough; that no mount shows another is no evidence then.
    if own_interface(path, c, &mut ()).is_true() {
        return own_interface(path, c, sink);
    }
    // By a bind of the host's tree.
    let bound = any(
        c.mounts.iter(),
        sink,
        |m, sink| {
            let source = match m.source.get() {
                None => {
                    sink.note(|| format!("what is mounted at {} is not known", m.target), &m.source.origin);
                    return Truth::Unknown;
                }
                Some(MountSource::Host(source)) => source,
                Some(_) => return Truth::False,
            };
            let Some(inside) = objects::shown_at(m, source, path) else { return Truth::False };
            // Masks and read-only paths are laid over whatever is mounted there, a bind of the host's /proc too.
            let open = writable(m, source, path, sink);
            let truth = open.and(!covers(&c.readonly_paths, &inside)).and(!covers(&c.masked_paths, &inside));
            if truth.is_true() {
                sink.note(
                    || format!("{source} is mounted at {} and shows {path}, writable", m.target),
                    &m.source.origin,
                );
            }
            truth
        },
        || format!("no mount shows the host's {path}"),
    );
    if bound.is_true() {
        return bound;
    }
    bound.or(own_interface(path, c, sink))
}

/// Whether one of the masked or read-only paths lies over `path`.
fn covers(list: &Fact<std::sync::Arc<[std::sync::Arc<str>]>>, path: &str) -> Truth {
    list.is(|paths| paths.iter().any(|p| is_at_or_below(path, p)))
}

/// Whether the container's own /proc or /sys leaves the file writable.
fn own_interface<S: Sink>(path: &str, c: &Confinement, sink: &mut S) -> Truth {
    let top = if path.starts_with("/proc") {
        "/proc"
    } else if path.starts_with("/sys/fs/cgroup") {
        "/sys/fs/cgroup"
    } else {
        "/sys"
    };
    let mount = c
        .mounts
        .iter()
        .rev()
        .find(|m| &*m.target == top && matches!(m.source.get(), Some(MountSource::Kernel(_))));
    let mounted_writable = match mount {
        Some(m) => !Truth::from(m.read_only.value),
        None => Truth::False,
    };
    let open = mounted_writable.and(!covers(&c.readonly_paths, path)).and(!covers(&c.masked_paths, path));
    match open {
        Truth::True => {
            sink.note(|| format!("{path} is not covered by a read-only path"), &c.readonly_paths.origin)
        }
        Truth::False => sink.note(|| format!("{path} is read-only or masked"), &c.readonly_paths.origin),
        Truth::Unknown => {}
    }
    open
}

fn is_at_or_below(path: &str, ancestor: &str) -> bool {
    path.strip_prefix(ancestor).is_some_and(|r| r.is_empty() || r.starts_with('/'))
}

/// Paths that engines mask, by the name techniques use.
pub const MASKABLE: &[(&str, &str)] = &[
    ("acpi", "/proc/acpi"),
    ("asound", "/proc/asound"),
    ("interrupts", "/proc/interrupts"),
    ("kcore", "/proc/kcore"),
    ("keys", "/proc/keys"),
    ("latency-stats", "/proc/latency_stats"),
    ("sched-debug", "/proc/sched_debug"),
    ("scsi", "/proc/scsi"),
    ("timer-list", "/proc/timer_list"),
    ("timer-stats", "/proc/timer_stats"),
    ("firmware", "/sys/firmware"),
    ("powercap", "/sys/devices/virtual/powercap"),
    ("thermal-throttle", "/sys/devices/system/cpu/cpu*/thermal_throttle"),
];

fn unmasked<S: Sink>(name: &str, c: &Confinement, sink: &mut S) -> Truth {
    let Some((_, path)) = MASKABLE.iter().find(|(n, _)| *n == name) else { return Truth::Unknown };
    let own = fact_is(
        &c.masked_paths,
        sink,
        |paths| !paths.iter().any(|p| is_at_or_below(path, p)),
        |visible| format!("{path} is {}", if visible { "not masked" } else { "masked" }),
    );
    if own.is_true() {
        return own;
    }
    let bound = c.mounts.iter().filter_map(|m| objects::shown_at(m, m.host_path()?, path));
    bound.fold(own, |truth, inside| truth.or(!covers(&c.masked_paths, &inside)))
}

// ---- devices ------------------------------------------------------------------------------------------------

fn device_node<S: Sink>(class_name: &str, c: &Confinement, sink: &mut S) -> Truth {
    let Some(class) = objects::device_class(class_name) else { return Truth::Unknown };
    if c.devices.all_host_nodes.value == Some(true) {
        sink.note(
            || format!("every device node of the host is there, {} among them", class.says),
            &c.devices.all_host_nodes.origin,
        );
        return Truth::True;
    }
    let given = any(
        c.devices.nodes.iter(),
        sink,
        |node, sink| {
            fact_is(
                node,
                sink,
                |n| node_is(n, class),
                |is| match node.get() {
                    Some(n) if is => format!("{} is given: {}", n.host, class.says),
                    _ => "another device".into(),
                },
            )
        },
        || format!("no node of {} is given", class.says),
    );
    if given.is_true() {
        return given;
    }
    let bound = any(
        c.mounts.iter(),
        sink,
        |m, sink| {
            fact_is(
                &m.source,
                sink,
                |s| match s {
                    MountSource::Host(p) => {
                        class.has_path(p.as_str())
                            || (class.has_folder(p.as_str()) && (m.recursive || p.is_at_or_below("/dev")))
                    }
                    _ => false,
                },
                |_| format!("the nodes below {} are the host's", m.target),
            )
        },
        || format!("no mount shows a node of {}", class.says),
    );
    let rest = Truth::from(c.devices.all_host_nodes.value);
    given.or(bound).or(rest)
}

fn node_is(node: &confinement::DeviceNode, class: &DeviceClass) -> bool {
    class.has_path(node.host.as_str())
        || class.has_folder(node.host.as_str())
        || match (node.kind, node.major, node.minor) {
            (Some(kind), Some(major), Some(minor)) => class.has_number(kind, major, minor),
            _ => false,
        }
}

/// The last rule that speaks of the class decides; one that speaks of some of it opens what it allows.
fn device_cgroup<S: Sink>(class_name: &str, write: bool, c: &Confinement, sink: &mut S) -> Truth {
    let Some(class) = objects::device_class(class_name) else { return Truth::Unknown };
    let Some(rules) = c.devices.rules.get() else {
        sink.note(|| "the rules of the device cgroup are not known".into(), &c.devices.rules.origin);
        return Truth::Unknown;
    };
    let access = |rule: &DeviceRule| if write { rule.access.write } else { rule.access.read };
    let mut permitted = false;
    let mut by = None;
    for (i, rule) in rules.iter().enumerate().filter(|(_, rule)| access(rule)) {
        match class.covered_by(rule) {
            Coverage::All => {
                permitted = rule.allow;
                by = Some(i);
            }
            Coverage::Some if rule.allow => {
                permitted = true;
                by = Some(i);
            }
            // Some devices of the class are taken away again: the rest has to be looked for one by one.
            Coverage::Some => {
                by = class.permitted_by(rules, access);
                permitted = by.is_some();
                break;
            }
            Coverage::None => {}
        }
    }
    let origin = by
        .and_then(|i| rules.get(i))
        .and_then(|rule| c.devices.asked.iter().find(|a| a.get() == Some(rule)))
        .map_or(&c.devices.rules.origin, |a| &a.origin);
    sink.note(
        || {
            let access = if write { "writing" } else { "reading" };
            let verb = if permitted { "permits" } else { "denies" };
            format!("the device cgroup {verb} {access} {}", class.says)
        },
        origin,
    );
    Truth::from(permitted)
}

fn in_group<S: Sink>(class_name: &str, c: &Confinement, sink: &mut S) -> Truth {
    let Some(class) = objects::object_class(class_name) else { return Truth::Unknown };
    let Some(group) = class.group.as_deref() else { return Truth::False };
    if let Some(name) = c.identity.group_names.iter().find(|n| &***n == group) {
        sink.note(|| format!("is in group {name}"), &c.identity.groups.origin);
        return Truth::True;
    }
    // The group of a daemon's socket is made as a system group, of an id below 1000 (SYS_GID_MAX, login.defs(5)).
    let primary = c.identity.root.value != Some(true)
        && c.identity.gid.get().is_some_and(|gid| (1..1000).contains(gid));
    if primary {
        sink.note(
            || format!("whether its group is the host's group {group} is not known"),
            &c.identity.gid.origin,
        );
        return Truth::Unknown;
    }
    let member = c.identity.groups.get().map(|g| g.iter().any(|id| *id != 0));
    match member {
        // A number may be the group's on that host; only the host knows.
        Some(true) => {
            sink.note(
                || format!("whether a supplementary group is the host's group {group} is not known"),
                &c.identity.groups.origin,
            );
            Truth::Unknown
        }
        Some(false) => {
            sink.note(|| format!("is not in group {group}"), &c.identity.groups.origin);
            Truth::False
        }
        None => Truth::Unknown,
    }
}

/// Ids that useradd(8) gives to people: UID_MIN to UID_MAX of login.defs(5).
const PERSONS: std::ops::RangeInclusive<u32> = 1000..=60000;

/// A folder of /run/user is named after its owner's id; who owns a home or a folder of /tmp only the host knows;
/// everything else is root's.
fn owns<S: Sink>(class_name: &str, c: &Confinement, sink: &mut S) -> Truth {
    let Some(class) = objects::object_class(class_name) else { return Truth::Unknown };
    if c.identity.root.value == Some(true) {
        return Truth::False;
    }
    let may_be_person = c.identity.uid.value.is_none_or(|uid| PERSONS.contains(&uid));
    any(
        c.mounts.iter(),
        sink,
        |m, sink| {
            let Some(source) = m.host_path() else { return Truth::False };
            let Some(object) = class.shown_by(source, m.recursive) else { return Truth::False };
            let path = if source.is_at_or_below("/run/user") { source.as_str() } else { object };
            if let Some(rest) = path.strip_prefix("/run/user/") {
                let named = rest.split('/').next().and_then(|owner| owner.parse::<u32>().ok());
                return match (named, c.identity.uid.value) {
                    (Some(owner), Some(uid)) => {
                        sink.note(|| format!("{source} belongs to id {owner}"), &m.source.origin);
                        Truth::from(owner == uid)
                    }
                    (Some(_), None) if may_be_person => Truth::Unknown,
                    // A mount of all of /run names nobody: whether this id is logged in, with an engine or an agent
                    // of its own, is for the host's facts.
                    _ => Truth::False,
                };
            }
            let persons =
                source.is_at_or_below("/home") || path.starts_with("/home") || path.starts_with("/tmp");
            if persons && may_be_person {
                sink.note(|| format!("who owns {source} is not known"), &m.source.origin);
                return Truth::Unknown;
            }
            Truth::False
        },
        || format!("does not own {}", class.says),
    )
}

/// Root is left out: the processes of the host's root hold capabilities that a container's root does not, and the
/// kernel compares them (`cap_ptrace_access_check`, security/commoncap.c).
fn host_process_of_same_user<S: Sink>(c: &Confinement, sink: &mut S) -> Truth {
    if c.identity.root.value == Some(true) || c.user_namespace.root_is_host_root.value == Some(false) {
        return Truth::False;
    }
    let (Some(uid), Some(ids), Some(true)) =
        (c.identity.uid.value, c.host.process_uids.get(), c.user_namespace.root_is_host_root.value)
    else {
        return Truth::Unknown;
    };
    let same = ids.contains(&uid);
    sink.note(
        || format!("{} process of the host runs under id {uid}", if same { "a" } else { "no" }),
        &c.host.process_uids.origin,
    );
    Truth::from(same)
}

/// user.max_user_namespaces, Debian's kernel.unprivileged_userns_clone and Ubuntu's AppArmor restriction. A setting
/// that a kernel does not have restricts nothing.
fn user_namespaces_enabled<S: Sink>(c: &Confinement, sink: &mut S) -> Truth {
    let mut truth = Truth::True;
    for (key, restricts) in [
        ("user.max_user_namespaces", 0),
        ("kernel.unprivileged_userns_clone", 0),
        ("kernel.apparmor_restrict_unprivileged_userns", 1),
    ] {
        let setting = c.host.sysctl(key);
        if setting.is(|v| *v == restricts).is_true() {
            sink.note(|| format!("{key} is {restricts}"), &setting.origin);
            truth = Truth::False;
        }
    }
    truth
}

/// Docker keeps its containers by containerd; every engine starts them by a runtime of its choice.
fn runs_under<S: Sink>(name: &str, c: &Confinement, sink: &mut S) -> Truth {
    let mut runtime = |wanted: &[Runtime]| {
        sink.note(
            || match c.runtime.get() {
                Some(runtime) => format!("runs under {runtime}"),
                None => "the runtime is not known".into(),
            },
            &c.runtime.origin,
        );
        c.runtime.is(|r| wanted.contains(r))
    };
    let engine = |kinds: &[EngineKind]| c.engine.as_ref().map(|e| kinds.contains(&e.kind)).into();
    match name {
        "runc" => runtime(&[Runtime::Runc]),
        "crun" => runtime(&[Runtime::Crun]),
        "youki" => runtime(&[Runtime::Youki]),
        "kata" => runtime(&[Runtime::Kata]),
        "docker" | "buildkit" => engine(&[EngineKind::Docker]),
        "containerd" => engine(&[EngineKind::Docker, EngineKind::Containerd]),
        "podman" | "buildah" => engine(&[EngineKind::Podman]),
        "crio" | "cri-o" => engine(&[EngineKind::Crio]),
        "kubernetes" => engine(&[EngineKind::Containerd, EngineKind::Crio]),
        _ => Truth::True,
    }
}

// ---- host, network, APIs ------------------------------------------------------------------------------------

fn listener<S: Sink>(daemon: &str, local_only: bool, c: &Confinement, sink: &mut S) -> Truth {
    fact_is(
        &c.host.listeners,
        sink,
        |list| {
            list.iter()
                .any(|l| &*l.daemon == daemon && l.local_only == local_only && l.authenticated != Some(true))
        },
        |there| {
            format!("{daemon} {} without asking who calls", if there { "listens" } else { "does not listen" })
        },
    )
}

/// By the daemon's configuration, or by what was seen to listen.
fn engine_tcp<S: Sink>(local_only: bool, c: &Confinement, sink: &mut S) -> Truth {
    let configured = match &c.engine {
        None => Truth::Unknown,
        Some(engine) => any(
            engine.settings.tcp.iter(),
            sink,
            |api, sink| {
                fact_is(
                    api,
                    sink,
                    |a| !a.verifies_clients && is_loopback(&a.address) == local_only,
                    |_| match api.get() {
                        Some(a) => format!(
                            "the engine's API listens on {} and asks nobody for a certificate",
                            a.address
                        ),
                        None => "the engine's API listens on TCP".into(),
                    },
                )
            },
            || "the engine's API is not on TCP without client certificates".into(),
        ),
    };
    if configured.is_true() || !c.host.listeners.is_known() {
        return configured;
    }
    configured.or(listener("docker", local_only, c, sink))
}

/// `tcp://127.0.0.1:2375`, `localhost:2375`, `[::1]:2375`.
fn is_loopback(address: &str) -> bool {
    let host = address.split_once("://").map_or(address, |(_, rest)| rest);
    host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
}

/// Whether a grant allows one of several deeds, as `grants(get|list, secrets)` writes them.
pub(crate) fn allows_any(grant: &confinement::parts::Grant, verbs: &str, resources: &str) -> bool {
    verbs.split('|').any(|verb| resources.split('|').any(|resource| grant.allows(verb, resource)))
}

fn grants<S: Sink>(verb: &str, resource: &str, c: &Confinement, sink: &mut S) -> Truth {
    let Some(account) = &c.service_account else { return Truth::False };
    // `get|list` and `pods|jobs`: any of them.
    let deed = || format!("{} {}", verb.replace('|', " or "), resource.replace('|', " or "));
    let Some(grants) = account.grants.get() else { return Truth::Unknown };
    any(
        grants.iter(),
        sink,
        |grant, sink| {
            fact_is(
                grant,
                sink,
                |g| allows_any(g, verb, resource),
                |_| {
                    let scope = match grant.get().and_then(|g| g.namespace.as_deref()) {
                        Some(namespace) => format!("in namespace {namespace}"),
                        None => "in every namespace".to_owned(),
                    };
                    format!("service account {} may {} {scope}", account.name, deed())
                },
            )
        },
        || format!("service account {} may not {}", account.name, deed()),
    )
}

/// Sysctls that are not of a namespace of the container's own: those of the network, IPC and UTS namespaces while
/// it shares the host's, and any other key, which runtimes refuse but old ones let through (CVE-2022-0811).
fn sets_host_sysctl<S: Sink>(c: &Confinement, sink: &mut S) -> Truth {
    any(
        c.sysctls.iter(),
        sink,
        |(key, value), sink| {
            let host = |kind| c.namespaces.get(kind).is(|n| *n == Namespace::Host);
            let truth = if key.starts_with("net.") {
                host(NamespaceKind::Net)
            } else if key.starts_with("kernel.msg")
                || key.starts_with("kernel.shm")
                || &**key == "kernel.sem"
                || key.starts_with("fs.mqueue.")
            {
                host(NamespaceKind::Ipc)
            } else if &**key == "kernel.hostname" || &**key == "kernel.domainname" {
                host(NamespaceKind::Uts)
            } else {
                Truth::True
            };
            if truth.is_true() {
                sink.note(|| format!("sysctl {key} is set for the whole host"), &value.origin);
            }
            truth
        },
        || "no sysctl of the host is set".into(),
    )
}
