//! Container engines: what each gives a container where nothing is asked for, by version.
//!
//! Sources are named beside the tables: moby (daemon/pkg/oci), containerd (pkg/oci, internal/cri), Podman and
//! containers/common (pkg/config), CRI-O (internal/config, server).

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::capability::{Capability, CapabilitySet};
use crate::fact::{Fact, Origin};
use crate::host::Host;
use crate::parts::AppArmorTemplate;
use crate::seccomp::{self, Builtin};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EngineKind {
    Docker,
    Podman,
    /// containerd through its CRI plugin, under a kubelet.
    Containerd,
    /// CRI-O, under a kubelet.
    Crio,
}

impl EngineKind {
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Docker => "docker",
            EngineKind::Podman => "podman",
            EngineKind::Containerd => "containerd",
            EngineKind::Crio => "crio",
        }
    }
    pub fn is_cri(self) -> bool {
        matches!(self, EngineKind::Containerd | EngineKind::Crio)
    }
}

/// An engine as it is set up on one host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Engine {
    pub kind: EngineKind,
    /// Major and minor version.
    pub version: (u32, u32),
    /// The patch level, where known.
    pub patch: Option<u32>,
    /// `docker-29`, or what a live engine reports.
    pub label: Arc<str>,
    pub settings: Settings,
    /// [`Engine::masked_paths`] and [`Engine::readonly_paths`], shared by every container that has them as they are.
    default_paths: [Arc<[Arc<str>]>; 2],
}

/// What the daemon's configuration changes for every container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Settings {
    /// `userns-remap` is set.
    pub userns_remap: Fact<bool>,
    /// The engine itself runs in a user namespace, as an ordinary user of the host.
    pub rootless: Fact<bool>,
    /// Default of no_new_privs.
    pub no_new_privileges: Fact<bool>,
    /// Containers on the default bridge may talk to each other (`icc`).
    pub inter_container: Fact<bool>,
    pub selinux_enabled: Fact<bool>,
    /// `seccomp-profile` of the daemon: `None` the built-in one.
    pub seccomp_profile: Option<Fact<SeccompDefault>>,
    /// kubelet's `seccompDefault`.
    pub kubelet_seccomp_default: Fact<bool>,
    pub default_cgroup_namespace_host: Option<Fact<bool>>,
    pub default_ipc: Option<Fact<Arc<str>>>,
    pub default_runtime: Option<Fact<Arc<str>>>,
    pub default_ulimits: bool,
    /// kubelet's `podPidsLimit`, Podman's `pids_limit`.
    pub pids_limit: Option<Fact<Option<u64>>>,
    /// TCP addresses the API listens on, and whether clients must present a certificate.
    pub tcp: Vec<Fact<TcpApi>>,
    /// Authorization plugins.
    pub authorization_plugins: Fact<Arc<[Arc<str>]>>,
    pub live_restore: Fact<bool>,
    pub userland_proxy: Fact<bool>,
    pub insecure_registries: Vec<Fact<Arc<str>>>,
    pub experimental: Fact<bool>,
    pub log_driver: Option<Fact<Arc<str>>>,
    pub cgroup_parent: Option<Fact<Arc<str>>>,
    pub log_level: Option<Fact<Arc<str>>>,
    /// Whether the engine sets up packet filters itself.
    pub packet_filter: Fact<bool>,
    pub storage_driver: Option<Fact<Arc<str>>>,
    pub storage_options: Vec<Fact<Arc<str>>>,
    /// Files of the TLS of its API, where they are set.
    pub tls: TlsFiles,
    /// Whether what a live engine does not tell over its API was read from its command line and its file; `None` for
    /// an engine that is not live.
    pub own_configuration: Option<bool>,
}

/// The files that `tlscacert`, `tlscert` and `tlskey` name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct TlsFiles {
    pub authority: Option<Fact<Arc<str>>>,
    pub certificate: Option<Fact<Arc<str>>>,
    pub key: Option<Fact<Arc<str>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SeccompDefault {
    Unconfined,
    Profile {
        name: Arc<str>,
        profile: Arc<seccomp::Profile>,
    },
    /// Named, but not to be read from here.
    Unread(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TcpApi {
    pub address: Arc<str>,
    /// `tlsverify` with a CA: clients are asked for a certificate.
    pub verifies_clients: bool,
}

/// The names `--assume` takes.
pub const PROFILES: &[&str] = &[
    "docker-20.10",
    "docker-23",
    "docker-24",
    "docker-25",
    "docker-26",
    "docker-27",
    "docker-28",
    "docker-29",
    "podman-4",
    "podman-5",
    "podman-6",
    "containerd-1.6",
    "containerd-1.7",
    "containerd-2",
    "crio-1.30",
    "crio-1.36",
];

use Capability as C;

/// moby daemon/pkg/oci/caps/defaults.go, containerd pkg/oci/spec.go `defaultUnixCaps`.
const DOCKER_CAPABILITIES: CapabilitySet = CapabilitySet::of(&[
    C::CHOWN,
    C::DAC_OVERRIDE,
    C::FSETID,
    C::FOWNER,
    C::MKNOD,
    C::NET_RAW,
    C::SETGID,
    C::SETUID,
    C::SETFCAP,
    C::SETPCAP,
    C::NET_BIND_SERVICE,
    C::SYS_CHROOT,
    C::KILL,
    C::AUDIT_WRITE,
]);
/// containers/common pkg/config/default.go `DefaultCapabilities`.
const PODMAN_CAPABILITIES: CapabilitySet = CapabilitySet::of(&[
    C::CHOWN,
    C::DAC_OVERRIDE,
    C::FOWNER,
    C::FSETID,
    C::KILL,
    C::NET_BIND_SERVICE,
    C::SETFCAP,
    C::SETGID,
    C::SETPCAP,
    C::SETUID,
    C::SYS_CHROOT,
]);
/// CRI-O internal/config/capabilities/capabilities_linux.go.
const CRIO_CAPABILITIES: CapabilitySet = CapabilitySet::of(&[
    C::CHOWN,
    C::DAC_OVERRIDE,
    C::FSETID,
    C::FOWNER,
    C::SETGID,
    C::SETUID,
    C::SETPCAP,
    C::NET_BIND_SERVICE,
    C::KILL,
]);

/// Paths masked since each engine's oldest version here; `cpu*` stands for every processor's folder.
const MASKED_COMMON: &[&str] = &[
    "/proc/acpi",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/sys/firmware",
];
const POWERCAP: &str = "/sys/devices/virtual/powercap";
const THERMAL: [&str; 2] = ["/proc/interrupts", "/sys/devices/system/cpu/cpu*/thermal_throttle"];
const READONLY_COMMON: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

impl Engine {
    /// The engine that a name of [`PROFILES`] stands for. Minor releases between the listed ones are accepted too.
    pub fn assumed(name: &str) -> Option<Engine> {
        let (kind, version) = name.split_once('-')?;
        let kind = match kind {
            "docker" => EngineKind::Docker,
            "podman" => EngineKind::Podman,
            "containerd" => EngineKind::Containerd,
            "crio" | "cri-o" => EngineKind::Crio,
            _ => return None,
        };
        let mut numbers = version.split('.');
        let major = numbers.next()?.parse().ok()?;
        let minor = match numbers.next() {
            Some(text) => text.parse().ok()?,
            // "docker-29" means the newest of that major version that is known here.
            None => u32::MAX,
        };
        let patch = match numbers.next() {
            Some(text) => Some(text.parse().ok()?),
            None => None,
        };
        Some(Engine::of_version(kind, (major, minor), patch, name))
    }

    /// An engine of the release it reports, such as `20.10.24+dfsg1`; numbers that are not there count as 0.
    pub fn of_release(kind: EngineKind, release: &str) -> Engine {
        let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().ok());
        let (major, minor, patch) =
            (numbers.next().flatten(), numbers.next().flatten(), numbers.next().flatten());
        let version = (major.unwrap_or_default(), minor.unwrap_or_default());
        Engine::of_version(kind, version, patch, &format!("{}-{release}", kind.name()))
    }

    /// An engine of a version, with the settings its packages ship.
    pub fn of_version(kind: EngineKind, version: (u32, u32), patch: Option<u32>, label: &str) -> Engine {
        let default = |value: bool| Fact::known(value, Origin::engine(label));
        let settings = Settings {
            userns_remap: default(false),
            rootless: Fact::known(false, Origin::assumed("the engine runs as root")),
            no_new_privileges: default(false),
            inter_container: default(true),
            // dockerd's `selinux-enabled` and containerd's `enable_selinux` are off unless set; Podman and
            // CRI-O label containers wherever the host runs SELinux, which a file cannot say.
            selinux_enabled: match kind {
                EngineKind::Docker | EngineKind::Containerd => default(false),
                EngineKind::Podman | EngineKind::Crio => default(true),
            },
            kubelet_seccomp_default: default(false),
            authorization_plugins: Fact::known(Arc::from([]), Origin::engine(label)),
            live_restore: default(false),
            userland_proxy: default(true),
            experimental: default(false),
            packet_filter: default(true),
            pids_limit: match kind {
                EngineKind::Podman => Some(Fact::known(Some(2048), Origin::engine(label))),
                EngineKind::Docker => Some(Fact::known(None, Origin::engine(label))),
                // The kubelet's podPidsLimit, -1 unless set.
                EngineKind::Containerd | EngineKind::Crio => {
                    Some(Fact::known(None, Origin::engine("kubelet")))
                }
            },
            ..Settings::default()
        };
        let mut engine =
            Engine { kind, version, patch, label: label.into(), settings, default_paths: Default::default() };
        engine.default_paths = [engine.masked_paths().into(), engine.readonly_paths().into()];
        engine
    }

    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        self.version >= (major, minor)
    }

    pub fn origin(&self) -> Origin {
        Origin::EngineDefault { engine: self.label.clone() }
    }

    /// Whether the release is this one or a later one; one whose patch level is not known counts as the newest.
    fn since(&self, major: u32, minor: u32, patch: u32) -> bool {
        (self.version, self.patch.unwrap_or(u32::MAX)) >= ((major, minor), patch)
    }

    /// What `ALL` stands for, and what a privileged container has. Docker before 23 knows no capability that is
    /// newer than CAP_AUDIT_READ (moby#41563 took them back; measured with 20.10).
    pub fn all_capabilities(&self) -> CapabilitySet {
        match self.kind {
            EngineKind::Docker if !self.at_least(23, 0) => {
                CapabilitySet::ALL.minus(CapabilitySet::of(&[C::PERFMON, C::BPF, C::CHECKPOINT_RESTORE]))
            }
            _ => CapabilitySet::ALL,
        }
    }

    pub fn default_capabilities(&self) -> CapabilitySet {
        match self.kind {
            EngineKind::Docker | EngineKind::Containerd => DOCKER_CAPABILITIES,
            EngineKind::Podman => PODMAN_CAPABILITIES,
            EngineKind::Crio => CRIO_CAPABILITIES,
        }
    }

    /// The masked and the read-only paths of a container that asks for nothing else.
    pub fn default_paths(&self) -> [Arc<[Arc<str>]>; 2] {
        self.default_paths.clone()
    }

    pub fn masked_paths(&self) -> Vec<Arc<str>> {
        let mut paths: Vec<&str> = MASKED_COMMON.to_vec();
        match self.kind {
            EngineKind::Docker => {
                paths.push("/proc/asound");
                // GHSA-jq35-85cj-fj4p: from 24.0.7, and 20.10.27 of the older line.
                if self.since(24, 0, 7) || self.version == (20, 10) && self.since(20, 10, 27) {
                    paths.push(POWERCAP);
                }
                // moby#49560, in 28.0.2.
                if self.since(28, 0, 2) {
                    paths.extend(THERMAL);
                }
            }
            // Under a kubelet the list is the kubelet's (pkg/securitycontext/util.go), of a release that
            // containerd's does not tell: that of a current one, with kubernetes#125970 and #131018.
            EngineKind::Containerd => {
                paths.extend(["/proc/asound", POWERCAP]);
                paths.extend(THERMAL);
            }
            EngineKind::Podman => {
                paths.push("/sys/fs/selinux");
                // podman#20501, in 4.7.2.
                if self.since(4, 7, 2) {
                    paths.push(POWERCAP);
                }
                // containers/common#2375.
                if self.at_least(5, 5) {
                    paths.extend(THERMAL);
                }
            }
            // The kubelet's list, whose minor release is CRI-O's: powercap in the last patches of 1.28
            // (kubernetes#125970, #126000), the thermal files in those of 1.31 (#131018, #132987). Since 1.33
            // CRI-O adds its own, which is containers/common's (cri-o#9069).
            EngineKind::Crio => {
                paths.push("/proc/asound");
                if self.at_least(1, 28) {
                    paths.push(POWERCAP);
                }
                if self.at_least(1, 31) {
                    paths.extend(THERMAL);
                }
                if self.at_least(1, 33) {
                    paths.push("/sys/fs/selinux");
                }
            }
        }
        paths.into_iter().map(Arc::from).collect()
    }

    pub fn readonly_paths(&self) -> Vec<Arc<str>> {
        let mut paths: Vec<&str> = READONLY_COMMON.to_vec();
        if self.kind == EngineKind::Podman {
            paths.push("/proc/asound");
        }
        paths.into_iter().map(Arc::from).collect()
    }

    /// The filter loaded for "the runtime's default".
    pub fn seccomp(&self) -> Builtin {
        let version = (self.version.0, self.version.1, self.patch.unwrap_or(u32::MAX));
        match self.kind {
            EngineKind::Docker => Builtin::Docker(seccomp::Docker::of(version)),
            EngineKind::Containerd => Builtin::Containerd(seccomp::Containerd::of(version)),
            EngineKind::Podman => Builtin::Podman(seccomp::Podman::of(version)),
            EngineKind::Crio => Builtin::Crio(seccomp::Crio::of(version)),
        }
    }

    pub fn apparmor(&self) -> (&'static str, AppArmorTemplate) {
        match self.kind {
            EngineKind::Docker => ("docker-default", AppArmorTemplate::Docker),
            EngineKind::Containerd => ("cri-containerd.apparmor.d", AppArmorTemplate::Containerd),
            EngineKind::Podman => ("containers-default", AppArmorTemplate::Podman),
            EngineKind::Crio => ("crio-default", AppArmorTemplate::Crio),
        }
    }

    /// Whether a read-only bind is read-only all the way down: moby since 25.0 where the kernel can
    /// (moby#45278); the CRI engines and Podman only on request.
    pub fn recursive_read_only(&self, host: &Host) -> Fact<bool> {
        if self.kind != EngineKind::Docker || !self.at_least(25, 0) {
            return Fact::known(false, self.origin());
        }
        match host.kernel_version() {
            Some(version) => Fact::known(version >= (5, 12), host.kernel_release.origin.clone()),
            None => Fact::known(true, Origin::assumed("the host's kernel is 5.12 or newer")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn default_sets_are_the_masks_that_proc_shows() {
        assert_eq!(DOCKER_CAPABILITIES.0, 0xa80425fb);
        assert_eq!(PODMAN_CAPABILITIES.0, 0x800405fb);
        // CRI-O has no SETFCAP, MKNOD, NET_RAW, SYS_CHROOT or AUDIT_WRITE.
        assert_eq!(CRIO_CAPABILITIES.0, 0x5fb);
    }

    #[test]
    fn every_listed_profile_is_an_engine() {
        for name in PROFILES {
            assert!(Engine::assumed(name).is_some(), "{name}");
        }
        assert!(Engine::assumed("docker").is_none());
        assert!(Engine::assumed("lxc-5").is_none());
    }
}
