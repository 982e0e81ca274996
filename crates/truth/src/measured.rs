//! What the payload measured, as facts of a confinement; and what it measured that is a condition as it stands.
//!
//! The run itself is the host of its containers, so mounts and namespaces are compared with its own: which path of
//! the host a mount shows, and whether a namespace is the host's, is known and not guessed.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use confinement::seccomp::{Argument, Arguments, Resolved};
use confinement::{
    Capability, CapabilitySet, Confinement, DeviceKind, DeviceNode, Fact, Host, HostPath, IdRange,
    NamespaceKind, Origin, Seccomp, Truth,
};
use probe::Reading;
use probe::measurement::{self, Measurement, Visibility};
use sources::measured::{self, Credentials, HostView, Label, ListedPaths, Observed};
use sources::process::mountinfo::{HostPaths, MountEntry, MountTable};
use techniques::condition::{Condition, KERNEL_INTERFACES, LsmOperation, MASKABLE, SocketFamily};

/// The host of the containers, as this process sees it.
pub(crate) struct Here {
    namespaces: BTreeMap<NamespaceKind, u64>,
    user_namespace: u64,
    cgroup_device: Option<String>,
    /// A machine without any network shows nothing of who shares it.
    has_network: bool,
    pub(crate) bounding: CapabilitySet,
    pub(crate) host: Arc<Host>,
}

fn inode(kind: &str) -> Option<u64> {
    fs::metadata(format!("/proc/self/ns/{kind}")).ok().map(|m| m.ino())
}

impl Here {
    pub(crate) fn look() -> Result<Here, String> {
        let text = |path: &str| fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
        let mounts = MountTable::parse(&text("/proc/self/mountinfo")?)?;
        let bounding = text("/proc/self/status")?
            .lines()
            .find_map(|line| line.strip_prefix("CapBnd:"))
            .and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok())
            .ok_or("/proc/self/status has no CapBnd")?;
        let cgroup = mounts.visible().into_iter().find(|m| m.target == "/sys/fs/cgroup" && m.kind == "tmpfs");
        let interfaces = fs::read_dir("/sys/class/net").map_err(|e| format!("/sys/class/net: {e}"))?;
        Ok(Here {
            has_network: interfaces.flatten().any(|interface| interface.file_name() != "lo"),
            cgroup_device: cgroup.map(|m| m.device.clone()),
            namespaces: NamespaceKind::ALL.into_iter().filter_map(|k| Some((k, inode(k.name())?))).collect(),
            user_namespace: inode("user").ok_or("no user namespace")?,
            bounding: CapabilitySet(bounding & CapabilitySet::ALL.0),
            host: Arc::new(host()),
        })
    }

    /// The facts of a confinement that were measured; everything else is unknown.
    pub(crate) fn confinement(&self, found: &Measurement, host_mounts: &MountTable) -> Confinement {
        let paths = HostPaths::new(host_mounts);
        let mut confinement = sources::process::blank(&self.host);
        let absent = ListedPaths::default();
        let view = HostView {
            paths: &paths,
            bounding: self.bounding,
            absent: &absent,
            cgroup_device: self.cgroup_device.as_deref(),
        };
        measured::overlay(&mut confinement, &self.observed(found), &view);
        let v1 = found.cgroup.v1.map(|v1| if v1 { 1 } else { 2 });
        confinement.cgroup.version = Fact { value: v1, origin: Origin::measured("/proc/self/cgroup") };
        if found.process.seccomp_mode != Some(0) {
            let answers = found
                .system_calls
                .iter()
                .filter_map(|(name, conclusion)| Some((name.clone(), permitted(conclusion.reads_as)?)));
            confinement.seccomp =
                Fact::known(Seccomp::Measured(Arc::new(answers.collect())), Origin::measured("probes"));
        }
        confinement
    }

    fn observed(&self, found: &Measurement) -> Observed {
        let host_namespaces = self
            .namespaces
            .iter()
            .filter_map(|(kind, inode)| Some((*kind, found.namespaces.get(kind.name())?.inode? == *inode)));
        let lines = |lines: &[measurement::IdMapping]| {
            let range = |m: &measurement::IdMapping| IdRange {
                inside: m.inside,
                outside: m.outside,
                count: m.length,
            };
            Some(lines.iter().map(range).collect::<Vec<_>>()).filter(|ranges| !ranges.is_empty())
        };
        let user = found.namespaces.get("user").and_then(|n| n.inode);
        let modules = &found.security_modules;
        Observed {
            credentials_from: "/proc/self".into(),
            container_from: "/proc/self".into(),
            credentials: credentials(&found.process),
            host_namespaces: host_namespaces.collect(),
            initial_user_namespace: user.map(|inode| inode == self.user_namespace),
            uid_map: lines(&found.id_maps.uid),
            gid_map: lines(&found.id_maps.gid),
            mounts: Some(MountTable { entries: found.mounts.iter().map(entry).collect() }),
            label: match &modules.attr_current {
                Some(text) => Some(Label::Text(text.clone())),
                None if modules.apparmor_enabled != Some(true) => Some(Label::NoModule),
                None => None,
            },
            devices: Some(found.devices.iter().filter(|d| !is_usual(d)).map(node).collect()),
            // Every container of the sample has a /dev of its own with single nodes.
            all_host_devices: Some(found.devices.iter().filter(|d| !is_usual(d)).count() > 30),
            device_rules: found
                .cgroup
                .devices_list
                .as_ref()
                .and_then(|l| measured::device_rules(&l.join("\n"))),
            seccomp_profile: None,
            memory: limit(found.cgroup.memory_max.as_deref()),
            cpu: cpu(found.cgroup.cpu_max.as_deref()),
            pids: limit(found.cgroup.pids_max.as_deref()),
            // Every network namespace has a loopback interface; without it nothing could be read.
            attached: (self.has_network && found.network.interfaces.iter().any(|name| name == "lo"))
                .then(|| found.network.interfaces.iter().any(|name| name != "lo")),
        }
    }
}

/// What prediction and measurement may both take from the host: it is not what is compared.
fn host() -> Host {
    let mut host = Host::unseen();
    let read = |path: &str| fs::read_to_string(path).ok().map(|t| Arc::<str>::from(t.trim()));
    let release = "/proc/sys/kernel/osrelease";
    host.kernel_release = Fact { value: read(release), origin: Origin::measured(release) };
    host.machine = Fact::known(std::env::consts::ARCH.into(), Origin::measured("uname(2)"));
    let lsms = read("/sys/kernel/security/lsm").map_or_else(
        || Arc::from([]),
        |list| list.split(',').map(Arc::<str>::from).collect::<Arc<[Arc<str>]>>(),
    );
    host.lsms = Fact::known(lsms, Origin::measured("/sys/kernel/security/lsm"));
    let controllers = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let v1 = controllers.lines().any(|line| !line.starts_with("0::"));
    for runtime in ["runc", "crun"] {
        if let Some(version) = version_of(runtime) {
            let installed = confinement::host::Installed { version: Some(version), ..Default::default() };
            let origin = Origin::measured(format!("{runtime} --version"));
            host.components.insert(runtime.into(), Fact::known(installed, origin));
        }
    }
    host.cgroup_version = Fact::known(if v1 { 1 } else { 2 }, Origin::measured("/proc/self/cgroup"));
    host
}

/// `runc version 1.1.5+ds1`, `crun version 1.8.1`.
fn version_of(runtime: &str) -> Option<Arc<str>> {
    let output = std::process::Command::new(runtime).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().next()?.rsplit(' ').next().map(Arc::from)
}

fn credentials(process: &measurement::Process) -> Option<Credentials> {
    let sets = &process.capabilities;
    Some(Credentials {
        // Effective ids.
        uid: *process.uids.get(1)?,
        gid: *process.gids.get(1)?,
        groups: process.groups.clone(),
        inheritable: sets.inheritable?,
        permitted: sets.permitted?,
        effective: sets.effective?,
        bounding: sets.bounding?,
        ambient: sets.ambient?,
        no_new_privileges: process.no_new_privs?,
        seccomp_mode: process.seccomp_mode?,
    })
}

fn entry(mount: &measurement::Mount) -> MountEntry {
    MountEntry {
        id: mount.id,
        parent: mount.parent,
        device: mount.device.clone(),
        // From inside a cgroup namespace what lies above its root shows as `/..`: here that is the hierarchy's root.
        root: if mount.root.starts_with("/..") { "/".into() } else { mount.root.clone() },
        target: mount.mount_point.clone(),
        options: mount.options.clone(),
        shared: mount.shared,
        master: mount.master,
        kind: mount.file_system.clone(),
        source: mount.source.clone(),
        super_options: mount.super_options.clone(),
    }
}

/// What every runtime makes: null, zero, full, random, urandom, tty, console, ptmx and terminals.
fn is_usual(device: &measurement::Device) -> bool {
    device.kind == "c"
        && matches!((device.major, device.minor), (1, 3 | 5 | 7 | 8 | 9) | (5, 0..=2) | (136, _))
}

fn node(device: &measurement::Device) -> DeviceNode {
    DeviceNode {
        host: HostPath::new(&device.path),
        kind: Some(if device.kind == "b" { DeviceKind::Block } else { DeviceKind::Char }),
        major: Some(device.major),
        minor: Some(device.minor),
        mode: Some(device.mode),
        uid: Some(device.uid),
        gid: Some(device.gid),
    }
}

/// `max`, or version 1's largest number of pages (PAGE_COUNTER_MAX), for no limit.
fn limit(text: Option<&str>) -> Option<Option<u64>> {
    match text?.trim() {
        "max" => Some(None),
        number => number.parse::<u64>().ok().map(|n| (n < 1 << 62).then_some(n)),
    }
}

/// `50000 100000`: microseconds in each period.
fn cpu(text: Option<&str>) -> Option<Option<u64>> {
    let (quota, period) = text?.trim().split_once(' ')?;
    if quota == "max" {
        return Some(None);
    }
    Some(Some(quota.parse::<u64>().ok()? * 1000 / period.parse::<u64>().ok()?.max(1)))
}

pub(crate) fn permitted(reading: Reading) -> Option<bool> {
    match reading {
        Reading::Permitted => Some(true),
        Reading::Blocked => Some(false),
        Reading::Ambiguous | Reading::Absent | Reading::Unmeasured => None,
    }
}

/// Conditions that only the probes' own answers decide, or that they decide better: `None` leaves the condition to
/// the confinement.
pub(crate) fn answer(condition: &Condition, found: &Measurement) -> Option<Truth> {
    let call = |name: &str| {
        Truth::from(found.system_calls.get(name).and_then(|conclusion| permitted(conclusion.reads_as)))
    };
    match condition {
        Condition::NewUserNamespace => {
            Some(call("unshare(CLONE_NEWUSER)").or(call("clone(CLONE_NEWUSER)")).or(call("clone3")))
        }
        // What the kernel lacks can be neither read nor masked.
        Condition::Unmasked(name) => {
            let path = MASKABLE.iter().find(|(n, _)| n == name)?.1;
            match found.masked_paths.iter().find(|m| m.path == path)?.state {
                Visibility::Visible => Some(Truth::True),
                Visibility::Masked => None,
                Visibility::Absent | Visibility::Unmeasured => Some(Truth::Unknown),
            }
        }
        Condition::KernelInterface(name) => {
            let path = KERNEL_INTERFACES.iter().find(|(n, _)| n == name)?.1;
            let interface = found.kernel_interfaces.iter().find(|i| i.path == path)?;
            match (interface.exists, interface.read_only) {
                (Some(true), Some(false)) if interface.reads_as != Reading::Absent => Some(Truth::True),
                (Some(true), _) => None,
                _ => Some(Truth::Unknown),
            }
        }
        // The payload looks into /dev alone.
        Condition::DeviceNode(_) | Condition::GpuDevice => {
            let elsewhere =
                found.mounts.iter().any(|m| m.file_system == "devtmpfs" && m.mount_point != "/dev");
            elsewhere.then_some(Truth::Unknown)
        }
        _ => None,
    }
}

/// A question that is put to the kernel and is not a condition by itself, but what several of them together mean.
pub(crate) struct Question {
    pub(crate) name: String,
    pub(crate) predicted: Truth,
    pub(crate) measured: Truth,
}

pub(crate) fn questions(predicted: &Confinement, found: &Measurement) -> Vec<Question> {
    let mut questions = Vec::new();
    let mut ask = |name: String, predicted: Truth, measured: Truth| {
        questions.push(Question { name, predicted, measured });
    };
    let initial = Truth::from(predicted.user_namespace.initial.value);
    // Capabilities by what the kernel does, not by what it prints: over the host, and over what is the own.
    for (name, shown) in &found.capabilities {
        let Some(capability) = Capability::parse(name) else { continue };
        let effective = predicted.capabilities.effective.is(|set| set.has(capability));
        for shown in shown {
            let expected = match shown.over.strip_prefix("owner of ") {
                None if shown.over == "initial" => effective.and(initial),
                // The mount namespace is always made with the user namespace, the others where they are asked for.
                Some("mnt") => effective,
                Some(kind) => {
                    let kind = NamespaceKind::ALL.into_iter().find(|k| k.name() == kind);
                    let own = kind.map_or(Truth::Unknown, |kind| {
                        predicted.namespaces.get(kind).is(|n| *n == confinement::Namespace::Own)
                    });
                    effective.and(initial.or(own))
                }
                None => Truth::Unknown,
            };
            let over = if shown.over == "initial" { "the host" } else { "the own namespaces" };
            ask(format!("exercise {name} over {over}"), expected, permitted(shown.reads_as).into());
        }
    }
    // test_perm() in fs/proc/proc_sysctl.c: root of the host's ids writes, whatever its capabilities.
    let root = predicted.identity.uid.get().zip(predicted.user_namespace.uid_map.get());
    let host_root = match (predicted.user_namespace.initial.value, root) {
        (Some(true), _) => predicted.identity.root.value.into(),
        (_, Some((uid, map))) => Truth::from(confinement::parts::to_host_id(map, *uid) == Some(0)),
        _ => Truth::Unknown,
    };
    for name in ["core-pattern", "modprobe", "sysctl"] {
        let Some((_, path)) = KERNEL_INTERFACES.iter().find(|(n, _)| *n == name) else { continue };
        let Some(interface) = found.kernel_interfaces.iter().find(|i| i.path == *path) else { continue };
        let Some(open) = &interface.write_open else { continue };
        // The open was made at the usual place; another place is another question.
        let elsewhere = predicted.mounts.iter().any(|m| m.host_path().is_some_and(|p| p.shows(path)));
        let condition = Condition::KernelInterface(name);
        let filter = techniques::condition::Filter::unasked();
        if !elsewhere {
            let lsm = Condition::Lsm(LsmOperation::KernelInterface).check(predicted, &filter, &mut ());
            let expected = condition.check(predicted, &filter, &mut ()).and(host_root).and(lsm);
            ask(format!("open {path} for write"), expected, Truth::from(open.value.is_some()));
        }
    }
    let constant = |kind: &str| found.namespaces.get(kind).and_then(|n| n.initial);
    for kind in NamespaceKind::ALL {
        if let Some(initial) = constant(kind.name()) {
            let shared = predicted.namespaces.get(kind).is(|n| *n == confinement::Namespace::Host);
            ask(format!("the {} namespace has the first one's number", kind.name()), shared, initial.into());
        }
    }
    if let Some(initial_by_number) = constant("user") {
        ask("the user namespace has the first one's number".into(), initial, initial_by_number.into());
    }
    questions
}

/// The arguments that a probe makes a call with, where they decide more than the name.
pub(crate) fn arguments(key: &str) -> Option<(&str, Arguments)> {
    const CLONE_NEWUSER: u64 = 0x1000_0000;
    let new_user = Arguments::ANY.with(0, Argument::bits(CLONE_NEWUSER, CLONE_NEWUSER));
    let Some((name, argument)) = key.split_once('(') else { return Some((key, Arguments::ANY)) };
    Some((
        name,
        match argument.trim_end_matches(')') {
            "CLONE_NEWUSER" => new_user,
            family => Arguments::of(&[match family {
                "AF_UNIX" => 1,
                "AF_INET" => 2,
                "AF_NETLINK" => 16,
                "AF_PACKET" => 17,
                "AF_CAN" => 29,
                "AF_BLUETOOTH" => 31,
                "AF_ALG" => 38,
                "AF_VSOCK" => 40,
                _ => return None,
            }]),
        },
    ))
}

/// Whether a filter lets pass what the probe with this key asks.
pub(crate) fn filter_permits(filter: &Resolved<'_>, key: &str) -> Truth {
    arguments(key).map_or(Truth::Unknown, |(name, arguments)| filter.permits(name, &arguments))
}

pub(crate) const FAMILIES: &[SocketFamily] = &[
    SocketFamily::Alg,
    SocketFamily::Vsock,
    SocketFamily::Packet,
    SocketFamily::Netlink,
    SocketFamily::Unix,
];
