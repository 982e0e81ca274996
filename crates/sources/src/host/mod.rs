//! `host:`, the machine under the containers: its kernel, settings and security modules (measured by `probe`), the
//! programs that run containers with their packages, what listens, and who has an account.
//!
//! [`HostFacts`] is what `probe` does not measure; `stockade facts` writes it beside the measurement on a host, and
//! `node` reads both back. [`host_of`] makes the confinement crate's [`Host`] of the two, live or from a file.

mod components;
mod listeners;
mod packages;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use confinement::host::{Installed, Listener, Package};
use confinement::{Fact, Host, Origin, Problem};
use flate2::read::GzDecoder;
use probe::Measurement;
use serde::{Deserialize, Serialize};

use crate::process::files::{read_bytes, read_open, read_text, read_word};
use crate::process::{Table, View};

/// What a host's files tell beyond its kernel. Every member is optional on reading, an unknown one is ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HostFacts {
    pub hostname: Option<String>,
    /// The package that the running kernel came in.
    pub kernel: Component,
    /// By the names that the flaw tables use.
    pub components: BTreeMap<String, Component>,
    /// Build options of the running kernel that matter here: whether each is on.
    pub kernel_options: BTreeMap<String, bool>,
    pub modules: Modules,
    pub listeners: Option<Vec<Listening>>,
    /// `aws`, …; `none` where the firmware names no cloud.
    pub cloud: Option<String>,
    /// Whether an account other than root has a shell.
    pub local_users: Option<bool>,
    /// Ids that processes outside containers run under.
    pub process_uids: Option<Vec<u32>>,
    /// What could not be read.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Component {
    /// What the program itself says.
    pub version: Option<String>,
    pub program: Option<String>,
    pub package: Option<PackageName>,
    pub changelog_cves: Vec<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PackageName {
    pub name: String,
    pub version: String,
    /// `ID` and `VERSION_ID` of os-release(5).
    pub distribution: String,
    pub release: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Modules {
    /// Whether the kernel has modules at all.
    pub supported: Option<bool>,
    /// Whether it loads only signed ones.
    pub only_signed: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Listening {
    pub daemon: String,
    pub address: String,
    pub local_only: bool,
    pub authenticated: Option<bool>,
}

/// This machine, with what could not be read. Takes some tens of milliseconds, most of them in programs that
/// are asked for their version.
pub fn read_host() -> (Host, Vec<Problem>) {
    let measurement = probe::measure(&probe::Options::default());
    let facts = HostFacts::read(&measurement);
    let mut problems: Vec<Problem> =
        facts.iter().flat_map(|f| &f.notes).map(|note| Problem::new("host:", note.clone())).collect();
    if facts.is_none() {
        problems
            .push(Problem::new("host:", "this runs inside a container; of the host only the kernel is seen"));
    }
    (host_of(&measurement, facts.as_ref(), ""), problems)
}

/// This machine as far as a few plain reads tell it, in well under a millisecond: kernel release, settings, security
/// modules, control groups. The rest is taken as for a host that is not in view.
pub fn read_settings() -> Host {
    let measured = host_of(&probe::settings(), None, "");
    let mut host = Host::unseen();
    host.kernel_release = measured.kernel_release;
    host.machine = measured.machine;
    host.lsms = measured.lsms;
    host.selinux_enforcing = measured.selinux_enforcing;
    host.cgroup_version = measured.cgroup_version;
    host.sysctls.extend(measured.sysctls);
    if measured.modules_loadable.is_known() {
        host.modules_loadable = measured.modules_loadable;
    }
    if measured.lockdown.is_known() {
        host.lockdown = measured.lockdown;
    }
    host
}

/// Whether the measuring process is in the host's own namespaces, so that the files it sees are the host's.
fn is_on_host(measurement: &Measurement) -> bool {
    let initial = |kind: &str| measurement.namespaces.get(kind).and_then(|n| n.initial) == Some(true);
    // A container may share the pid namespace; then the first process has another root than this one.
    let root = |pid: &str| {
        let table = crate::process::mount_table(Path::new(&format!("/proc/{pid}/mountinfo"))).ok()?;
        table.root().map(|m| (m.device.clone(), m.root.clone()))
    };
    initial("pid") && initial("user") && root("self") == root("1")
}

impl HostFacts {
    /// Reads them where this runs on a host; `None` inside a container, whose files say nothing of the host.
    pub fn read(measurement: &Measurement) -> Option<HostFacts> {
        if !is_on_host(measurement) {
            return None;
        }
        let mut facts =
            HostFacts { hostname: read_word(Path::new("/proc/sys/kernel/hostname")), ..HostFacts::default() };
        let distribution = packages::Distribution {
            id: measurement.os_release.id.clone().unwrap_or_else(|| "linux".into()),
            release: measurement.os_release.version_id.clone().unwrap_or_default(),
        };
        let release = &measurement.kernel.release;
        let (kernel, components) = components::read(&distribution, release, &mut facts.notes);
        (facts.kernel, facts.components) = (kernel, components);
        facts.kernel_options = kernel_options(release);
        facts.modules = modules(&facts.kernel_options);
        facts.cloud = cloud(Path::new("/sys/class/dmi/id"));
        facts.local_users = local_users();
        match View::read() {
            Ok(view) => {
                let table = Table::scan(&view);
                if table.unreadable == 0 {
                    facts.process_uids = Some(table.host_uids.iter().copied().collect());
                }
                facts.listeners = listeners::read(&view, &mut facts.notes);
            }
            Err(problem) => facts.notes.push(problem.to_string()),
        }
        Some(facts)
    }
}

/// Options whose being on or off opens or closes a technique.
const OPTIONS: &[&str] = &[
    "CONFIG_BINFMT_MISC",
    "CONFIG_BPF_UNPRIV_DEFAULT_OFF",
    "CONFIG_DEVMEM",
    "CONFIG_DEVPORT",
    "CONFIG_IO_STRICT_DEVMEM",
    "CONFIG_IO_URING",
    "CONFIG_KEXEC",
    "CONFIG_KEXEC_FILE",
    "CONFIG_LEGACY_TIOCSTI",
    "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY",
    "CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY",
    "CONFIG_MAGIC_SYSRQ",
    "CONFIG_MODULES",
    "CONFIG_MODULE_SIG",
    "CONFIG_MODULE_SIG_FORCE",
    "CONFIG_PROC_KCORE",
    "CONFIG_SECURITY_APPARMOR",
    "CONFIG_SECURITY_LOADPIN",
    "CONFIG_SECURITY_LOCKDOWN_LSM",
    "CONFIG_SECURITY_SELINUX",
    "CONFIG_SECURITY_YAMA",
    "CONFIG_STATIC_USERMODEHELPER",
    "CONFIG_STRICT_DEVMEM",
    "CONFIG_UEVENT_HELPER",
    "CONFIG_USERFAULTFD",
    "CONFIG_USER_NS",
];

/// A kernel's configuration has some 10,000 lines.
const CONFIGURATION_LIMIT: u64 = 4 << 20;

fn kernel_options(release: &str) -> BTreeMap<String, bool> {
    let packed = std::fs::File::open("/proc/config.gz").ok().and_then(gunzip);
    let plain = || {
        [format!("/boot/config-{release}"), format!("/lib/modules/{release}/config")]
            .iter()
            .find_map(|path| read_bytes(Path::new(path), CONFIGURATION_LIMIT).ok())
    };
    let Some(bytes) = packed.or_else(plain) else { return BTreeMap::new() };
    let text = String::from_utf8_lossy(&bytes);
    let on: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.split_once('='))
        .filter(|(_, value)| matches!(*value, "y" | "m"))
        .map(|(name, _)| name)
        .collect();
    // Not set, or not asked for as what it hangs on is off.
    OPTIONS.iter().map(|name| ((*name).to_owned(), on.contains(name))).collect()
}

/// What unpacks to more than a changelog or a configuration ever has is cut off.
const UNPACKED_LIMIT: u64 = 32 << 20;

fn gunzip(file: std::fs::File) -> Option<Vec<u8>> {
    use std::io::Read;
    let packed = read_open(file, UNPACKED_LIMIT).ok()?;
    let mut bytes = Vec::new();
    GzDecoder::new(packed.as_slice()).take(UNPACKED_LIMIT).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fn modules(options: &BTreeMap<String, bool>) -> Modules {
    // kernel/module/procfs.c makes the file in every kernel with modules.
    let supported = options.get("CONFIG_MODULES").copied().or(Some(Path::new("/proc/modules").exists()));
    let enforced = read_word(Path::new("/sys/module/module/parameters/sig_enforce")).map(|v| v == "Y");
    let pinned = read_word(Path::new("/proc/sys/kernel/loadpin/enforce")).map(|v| v == "1");
    Modules { supported, only_signed: [enforced, pinned].into_iter().flatten().reduce(|a, b| a || b) }
}

/// By the words that each cloud documents for telling its instances (cloud-init, tools/ds-identify).
fn cloud(folder: &Path) -> Option<String> {
    let read = |name: &str| read_word(&folder.join(name)).unwrap_or_default();
    if !folder.exists() {
        return None;
    }
    let (vendor, product) = (read("sys_vendor"), read("product_name"));
    let (asset, bios) = (read("chassis_asset_tag"), read("bios_vendor"));
    let known: &[(&str, bool)] = &[
        ("aws", vendor == "Amazon EC2" || bios == "Amazon EC2"),
        ("gcp", vendor == "Google" || product == "Google Compute Engine"),
        ("azure", asset == "7783-7084-3265-9085-8269-3286-77"),
        ("oracle", asset == "OracleCloud.com"),
        ("alibaba", vendor == "Alibaba Cloud"),
        ("tencent", vendor == "Tencent Cloud"),
        ("digitalocean", vendor == "DigitalOcean"),
        ("hetzner", vendor == "Hetzner"),
        ("scaleway", vendor == "Scaleway"),
        ("vultr", vendor == "Vultr"),
        ("akamai", vendor == "Akamai" || vendor == "Linode"),
        ("exoscale", product.starts_with("Exoscale")),
        ("upcloud", vendor == "UpCloud"),
        ("ibm", asset.starts_with("ibmcloud")),
        ("openstack", product.starts_with("OpenStack") || asset.starts_with("OpenTelekomCloud")),
    ];
    let name = known.iter().find(|(_, is)| *is).map_or("none", |(name, _)| name);
    Some(name.to_owned())
}

/// passwd(5): whether someone else than root has a shell. Accounts of a directory service are not in the file.
fn local_users() -> Option<bool> {
    let text = read_text(Path::new("/etc/passwd")).ok()?;
    let has = text.lines().any(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        let (Some(uid), Some(shell)) = (fields.get(2), fields.get(6)) else { return false };
        *uid != "0" && shell.ends_with("sh")
    });
    let elsewhere = read_text(Path::new("/etc/nsswitch.conf")).is_ok_and(|text| {
        let sources = text.lines().find_map(|line| line.trim().strip_prefix("passwd:"));
        sources.is_some_and(|s| s.split_whitespace().any(|s| matches!(s, "ldap" | "sss" | "winbind" | "nis")))
    });
    if has || !elsewhere { Some(has) } else { None }
}

/// A setting that a kernel lacks stands as the value that has the same effect. Others that are absent are unknown.
const ABSENT_SETTINGS: &[(&str, &str)] = &[
    // Without Yama nothing restricts ptrace beyond its usual checks (Documentation/admin-guide/LSM/Yama.rst).
    ("kernel.yama.ptrace_scope", "0"),
    // Not there without CONFIG_MODULES, CONFIG_KEXEC_CORE, CONFIG_BPF_SYSCALL, CONFIG_USER_NS
    // (Documentation/admin-guide/sysctl).
    ("kernel.modules_disabled", "1"),
    ("kernel.kexec_load_disabled", "1"),
    ("kernel.unprivileged_bpf_disabled", "2"),
    ("user.max_user_namespaces", "0"),
    // Since 6.6 and 6.2; before that nothing restricts these.
    ("kernel.io_uring_disabled", "0"),
    ("dev.tty.legacy_tiocsti", "1"),
];

/// The host that a measurement and its facts describe. `source` stands before every origin: empty for this
/// machine, `node.json: ` for a file.
pub fn host_of(measurement: &Measurement, facts: Option<&HostFacts>, source: &str) -> Host {
    let origin = |what: &str| Origin::measured(format!("{source}{what}"));
    let known = |value: &str, what: &str| Fact::known(Arc::from(value), origin(what));
    let mut host = Host::default();
    if !measurement.kernel.release.is_empty() {
        host.kernel_release = known(&measurement.kernel.release, "uname -r");
        host.machine = known(&measurement.kernel.machine, "uname -m");
    }
    let modules = &measurement.security_modules;
    host.lsms = lsms(measurement, &origin);
    host.selinux_enforcing = match modules.selinux_enforcing {
        Some(enforcing) => Fact::known(enforcing, origin("/sys/fs/selinux/enforce")),
        None => Fact::default(),
    };
    host.lockdown = lockdown(measurement, facts, &origin);
    host.cgroup_version = match (measurement.cgroup.v1, measurement.cgroup.v2) {
        (Some(true), _) => Fact::known(1, origin("/proc/self/cgroup")),
        (Some(false), Some(true)) => Fact::known(2, origin("/proc/self/cgroup")),
        _ => Fact::default(),
    };
    for (name, setting) in &measurement.sysctls {
        let what = format!("sysctl {name}");
        let value = match (&setting.value, setting.error.as_deref()) {
            (Some(value), _) => known(value, &what),
            (None, Some("ENOENT")) => match ABSENT_SETTINGS.iter().find(|(key, _)| key == name) {
                Some((_, same_as)) => known(same_as, &format!("{what}, which this kernel does not have")),
                None => continue,
            },
            _ => Fact::unknown(origin(&what)),
        };
        host.sysctls.insert(name.as_str().into(), value);
    }
    if let Some(facts) = facts {
        overlay_facts(&mut host, measurement, facts, &origin);
    }
    host.modules_loadable = modules_loadable(&host, facts, &origin);
    host
}

fn lsms(measurement: &Measurement, origin: &impl Fn(&str) -> Origin) -> Fact<Arc<[Arc<str>]>> {
    let modules = &measurement.security_modules;
    if let Some(active) = &modules.active {
        let list: Arc<[Arc<str>]> = active.iter().map(|name| Arc::from(name.as_str())).collect();
        return Fact::known(list, origin("the list of security modules"));
    }
    // The two that confine containers show themselves elsewhere too.
    let mut seen: Vec<Arc<str>> = Vec::new();
    if modules.apparmor_enabled == Some(true) || modules.apparmor_profile.is_some() {
        seen.push("apparmor".into());
    }
    if modules.selinux_enforcing.is_some() || modules.selinux_context.is_some() {
        seen.push("selinux".into());
    }
    if seen.is_empty() {
        return Fact::unknown(origin("the list of security modules"));
    }
    Fact::known(seen.into(), origin("/proc/self/attr"))
}

fn lockdown(
    measurement: &Measurement,
    facts: Option<&HostFacts>,
    origin: &impl Fn(&str) -> Origin,
) -> Fact<Arc<str>> {
    if let Some(mode) = &measurement.security_modules.lockdown {
        return Fact::known(mode.as_str().into(), origin("/sys/kernel/security/lockdown"));
    }
    let option = |name: &str| facts.and_then(|f| f.kernel_options.get(name).copied());
    let configured =
        |mode: &str, name: &str| Fact::known(mode.into(), origin(&format!("kernel option {name}")));
    let (integrity, confidentiality) =
        ("CONFIG_LOCK_DOWN_KERNEL_FORCE_INTEGRITY", "CONFIG_LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY");
    if option(confidentiality) == Some(true) {
        return configured("confidentiality", confidentiality);
    }
    if option("CONFIG_SECURITY_LOCKDOWN_LSM") == Some(false) {
        return configured("none", "CONFIG_SECURITY_LOCKDOWN_LSM");
    }
    // It may have been raised since.
    if option(integrity) == Some(true) {
        return configured("integrity", integrity);
    }
    match &measurement.security_modules.active {
        Some(active) if !active.iter().any(|name| name == "lockdown") => {
            Fact::known("none".into(), origin("the list of security modules"))
        }
        _ => Fact::unknown(origin("/sys/kernel/security/lockdown")),
    }
}

fn overlay_facts(
    host: &mut Host,
    measurement: &Measurement,
    facts: &HostFacts,
    origin: &impl Fn(&str) -> Origin,
) {
    host.name = facts.hostname.as_deref().map(Arc::from);
    let mut kernel = installed(&facts.kernel);
    kernel.version = Some(measurement.kernel.release.as_str().into());
    host.kernel = Fact::known(kernel, origin("the kernel's package"));
    for (name, component) in &facts.components {
        let program = component.program.as_deref().unwrap_or(name);
        let what = match &component.package {
            Some(package) => format!("package {} {}", package.name, package.version),
            None => format!("{program} --version"),
        };
        host.components.insert(name.as_str().into(), Fact::known(installed(component), origin(&what)));
    }
    for (name, on) in &facts.kernel_options {
        let fact = Fact::known(*on, origin("the kernel's configuration"));
        host.kernel_options.insert(name.as_str().into(), fact);
    }
    if let Some(listeners) = &facts.listeners {
        let list = listeners.iter().map(|l| Listener {
            daemon: l.daemon.as_str().into(),
            address: l.address.as_str().into(),
            local_only: l.local_only,
            authenticated: l.authenticated,
        });
        host.listeners = Fact::known(list.collect(), origin("/proc/net"));
    }
    if let Some(cloud) = &facts.cloud {
        let name = (cloud != "none").then(|| Arc::from(cloud.as_str()));
        host.cloud = Fact::known(name, origin("/sys/class/dmi/id"));
    }
    if let Some(users) = facts.local_users {
        host.local_users = Fact::known(users, origin("/etc/passwd"));
    }
    if let Some(uids) = &facts.process_uids {
        host.process_uids = Fact::known(uids.as_slice().into(), origin("/proc"));
    }
}

fn installed(component: &Component) -> Installed {
    Installed {
        version: component.version.as_deref().map(Arc::from),
        package: component.package.as_ref().map(|package| Package {
            name: package.name.as_str().into(),
            version: package.version.as_str().into(),
            distribution: package.distribution.as_str().into(),
            release: package.release.as_str().into(),
        }),
        changelog_cves: component.changelog_cves.iter().map(|id| Arc::from(id.as_str())).collect(),
    }
}

/// kernel/module/main.c: `may_init_module`, `module_sig_check`; lockdown from `integrity` on wants signatures
/// (security/lockdown, LOCKDOWN_MODULE_SIGNATURE).
fn modules_loadable(host: &Host, facts: Option<&HostFacts>, origin: &impl Fn(&str) -> Origin) -> Fact<bool> {
    if host.sysctl("kernel.modules_disabled").value == Some(1) {
        return Fact::known(false, origin("sysctl kernel.modules_disabled"));
    }
    let Some(modules) = facts.map(|f| &f.modules) else { return Fact::default() };
    if modules.supported == Some(false) {
        return Fact::known(false, origin("kernel option CONFIG_MODULES"));
    }
    if modules.only_signed == Some(true) {
        return Fact::known(false, origin("/sys/module/module/parameters/sig_enforce"));
    }
    match (modules.supported, host.lockdown.get().map(|mode| &**mode)) {
        (Some(true), Some("none")) => Fact::known(true, origin("kernel option CONFIG_MODULES")),
        (Some(true), Some(_)) => Fact::known(false, host.lockdown.origin.clone()),
        _ => Fact::unknown(host.lockdown.origin.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds_are_told_by_their_firmware() {
        let folder = tempfile::tempdir().unwrap();
        let ask = |files: &[(&str, &str)]| {
            for name in ["sys_vendor", "product_name", "chassis_asset_tag", "bios_vendor"] {
                let text = files.iter().find(|(n, _)| *n == name).map_or("", |(_, text)| text);
                std::fs::write(folder.path().join(name), format!("{text}\n")).unwrap();
            }
            cloud(folder.path())
        };
        assert_eq!(ask(&[("sys_vendor", "Amazon EC2")]).as_deref(), Some("aws"));
        assert_eq!(ask(&[("sys_vendor", "Xen"), ("bios_vendor", "Amazon EC2")]).as_deref(), Some("aws"));
        let azure = "7783-7084-3265-9085-8269-3286-77";
        assert_eq!(
            ask(&[("sys_vendor", "Microsoft Corporation"), ("chassis_asset_tag", azure)]).as_deref(),
            Some("azure")
        );
        assert_eq!(ask(&[("sys_vendor", "Microsoft Corporation")]).as_deref(), Some("none"));
        assert_eq!(ask(&[("sys_vendor", "Dell Inc.")]).as_deref(), Some("none"));
        assert_eq!(cloud(Path::new("/nonexistent")), None);
    }

    #[test]
    fn a_setting_the_kernel_lacks_counts_as_what_its_absence_means() {
        let mut measurement = Measurement::default();
        let absent = || probe::measurement::Value { value: None, error: Some("ENOENT".into()) };
        for name in ["kernel.yama.ptrace_scope", "kernel.modules_disabled", "vm.unprivileged_userfaultfd"] {
            measurement.sysctls.insert(name.into(), absent());
        }
        let denied = probe::measurement::Value { value: None, error: Some("EACCES".into()) };
        measurement.sysctls.insert("kernel.kexec_load_disabled".into(), denied);
        let host = host_of(&measurement, None, "");
        assert_eq!(host.sysctl("kernel.yama.ptrace_scope").value, Some(0));
        assert_eq!(host.sysctl("kernel.modules_disabled").value, Some(1));
        assert_eq!(host.modules_loadable.value, Some(false));
        assert!(!host.sysctls.contains_key("vm.unprivileged_userfaultfd"));
        assert_eq!(host.sysctl("kernel.kexec_load_disabled").value, None);
    }

    #[test]
    fn this_host_has_the_kernel_that_uname_names() {
        let (host, _) = read_host();
        let release = read_word(Path::new("/proc/sys/kernel/osrelease")).unwrap();
        assert_eq!(host.kernel_release.value.as_deref(), Some(release.as_str()));
        assert!(host.cgroup_version.is_known());
        assert!(host.kernel_version().is_some());
    }
}
