//! The host under the containers: kernel, LSMs, settings, and what listens there.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::fact::{Fact, Origin};
use crate::parts::Runtime;

/// A program installed on the host, with what tells its version apart from its upstream namesake's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Installed {
    /// The version the program itself reports, such as `1.1.5` or `29.4.2`.
    pub version: Option<Arc<str>>,
    /// The distribution's package that holds it.
    pub package: Option<Package>,
    /// CVE identifiers named in that package's changelog, sorted; empty where there is none to read.
    pub changelog_cves: Arc<[Arc<str>]>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Package {
    pub name: Arc<str>,
    /// The whole version, in the distribution's own form.
    pub version: Arc<str>,
    /// `ID` of os-release(5): `debian`, `ubuntu`, `fedora`, `rhel`, `alpine`, ….
    pub distribution: Arc<str>,
    /// `VERSION_ID` of os-release(5); empty where there is none.
    pub release: Arc<str>,
}

/// A TCP or abstract Unix listener of a control daemon.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listener {
    /// What answers there: `docker`, `kubelet`, `etcd`, `containerd-shim`, ….
    pub daemon: Arc<str>,
    /// `127.0.0.1:2375`, `[::]:10250`, `@/containerd-shim/…`.
    pub address: Arc<str>,
    /// Whether only the host's own network namespace reaches it.
    pub local_only: bool,
    /// Whether it asks its clients who they are.
    pub authenticated: Option<bool>,
}

/// Facts of one host. Everything may be unknown.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Host {
    pub name: Option<Arc<str>>,
    /// As uname(2) gives it: `6.12.85+deb13-cloud-amd64`.
    pub kernel_release: Fact<Arc<str>>,
    pub kernel: Fact<Installed>,
    /// `x86_64`, `aarch64`, as uname(2) spells machines.
    pub machine: Fact<Arc<str>>,
    /// Active LSMs in the order of `/sys/kernel/security/lsm`.
    pub lsms: Fact<Arc<[Arc<str>]>>,
    pub selinux_enforcing: Fact<bool>,
    /// `none`, `integrity` or `confidentiality`, kernel_lockdown(7).
    pub lockdown: Fact<Arc<str>>,
    pub cgroup_version: Fact<u8>,
    /// Keys as sysctl(8) spells them, `kernel.yama.ptrace_scope`.
    pub sysctls: BTreeMap<Arc<str>, Fact<Arc<str>>>,
    /// Kernel build options known to be on or off: `CONFIG_UEVENT_HELPER`.
    pub kernel_options: BTreeMap<Arc<str>, Fact<bool>>,
    /// Whether the kernel can load modules at all (`CONFIG_MODULES`, signature enforcement, LoadPin).
    pub modules_loadable: Fact<bool>,
    /// By component as the flaw tables name them: `runc`, `crun`, `containerd`, `docker`, ….
    pub components: BTreeMap<Arc<str>, Fact<Installed>>,
    /// Known listeners; unknown where nobody looked.
    pub listeners: Fact<Arc<[Listener]>>,
    /// The cloud whose instance metadata service answers here; known `None`: no cloud.
    pub cloud: Fact<Option<Arc<str>>>,
    /// Whether an account other than root can log in or run programs on the host.
    pub local_users: Fact<bool>,
    /// Ids under which processes of the host run outside any container, sorted.
    pub process_uids: Fact<Arc<[u32]>>,
    /// The runtime that containers get where they name none.
    pub default_runtime: Fact<Runtime>,
}

impl Host {
    /// What may be taken for granted of a Linux host that is not in view: kernel settings at the kernel's own
    /// defaults, no lockdown. LSMs, cgroup version, versions and cloud stay unknown, as they differ between
    /// distributions.
    pub fn unseen() -> Host {
        let assumed = || Origin::assumed("kernel settings are taken at the kernel's defaults");
        let mut host = Host {
            lockdown: Fact::known("none".into(), assumed()),
            modules_loadable: Fact::known(true, assumed()),
            local_users: Fact::unknown(Origin::Nowhere),
            ..Host::default()
        };
        // Documentation/admin-guide/sysctl/kernel.rst and LSM/Yama.rst, defaults.
        for (key, value) in [
            ("kernel.modules_disabled", "0"),
            ("kernel.kexec_load_disabled", "0"),
            ("kernel.yama.ptrace_scope", "1"),
            ("kernel.perf_event_paranoid", "2"),
            ("user.max_user_namespaces", "15000"),
        ] {
            host.sysctls.insert(key.into(), Fact::known(value.into(), assumed()));
        }
        host
    }

    /// The value of a sysctl as a number, unknown where it is not known or not a number.
    pub fn sysctl(&self, key: &str) -> Fact<i64> {
        match self.sysctls.get(key) {
            Some(fact) => Fact {
                value: fact.value.as_ref().and_then(|v| v.trim().parse().ok()),
                origin: fact.origin.clone(),
            },
            None => Fact::default(),
        }
    }

    /// Major and minor number of the kernel release.
    pub fn kernel_version(&self) -> Option<(u32, u32)> {
        let release = self.kernel_release.get()?;
        let mut numbers = release.split(|c: char| !c.is_ascii_digit());
        Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
    }
}
