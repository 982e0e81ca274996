//! Random OCI configurations: what the runtime specification lets an engine ask for, in proportions that make each
//! condition true in some containers and false in others.

use std::path::Path;

use confinement::{Capability, CapabilitySet};
use serde_json::{Map, Value, json};

use crate::filter::{self, Filter};
use crate::tree::{self, Kind};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Crun,
    Runc,
}

impl Runtime {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Runtime::Crun => "crun",
            Runtime::Runc => "runc",
        }
    }
}

/// One container of the sample.
pub(crate) struct Sample {
    pub(crate) number: usize,
    pub(crate) runtime: Runtime,
    pub(crate) config: Value,
    /// The built-in profile that the filter was made from, unchanged.
    pub(crate) builtin: Option<confinement::seccomp::Builtin>,
}

/// What the machine limits.
pub(crate) struct Limits {
    /// No container can have what the machine itself has not.
    pub(crate) bounding: CapabilitySet,
    pub(crate) apparmor_profiles: Vec<String>,
}

pub(crate) fn chance(rng: &mut fastrand::Rng, percent: u32) -> bool {
    rng.u32(..100) < percent
}

fn pick<'a, T>(rng: &mut fastrand::Rng, of: &'a [T]) -> &'a T {
    &of[rng.usize(..of.len())]
}

impl Sample {
    /// The container with this number of the run with this seed: always the same one.
    pub(crate) fn new(seed: u64, number: usize, limits: &Limits) -> Sample {
        let mut rng = fastrand::Rng::with_seed(seed ^ (number as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let rng = &mut rng;
        // One in four with runc, which is slower.
        let runtime = if chance(rng, 25) { Runtime::Runc } else { Runtime::Crun };
        let namespaces = Namespaces::random(rng, runtime);
        let maps = namespaces.user.then(|| (map(rng), map(rng)));
        let sets = Sets::random(rng, limits.bounding);
        let Filter { seccomp, builtin } = filter::random(rng, sets.bounding);
        let mut linux = Map::new();
        linux.insert("cgroupsPath".into(), json!(format!("{}/{number}", tree::cgroup_parent())));
        linux.insert("namespaces".into(), namespaces.as_json());
        if let Some((uid, gid)) = &maps {
            linux.insert("uidMappings".into(), uid.clone());
            linux.insert("gidMappings".into(), gid.clone());
        }
        linux.insert("maskedPaths".into(), json!(subset(rng, MASKED)));
        linux.insert("readonlyPaths".into(), json!(subset(rng, READONLY)));
        linux.insert("resources".into(), resources(rng));
        let devices = devices(rng, namespaces.user);
        if devices.as_array().is_some_and(|d| !d.is_empty()) {
            linux.insert("devices".into(), devices);
        }
        if let Some(seccomp) = seccomp {
            linux.insert("seccomp".into(), seccomp);
        }
        if chance(rng, 40) {
            let propagation = *pick(rng, &["rprivate", "private", "rslave", "slave", "rshared", "shared"]);
            linux.insert("rootfsPropagation".into(), json!(propagation));
        }
        let mut process = json!({
            "terminal": false,
            "cwd": "/",
            "args": ["/payload", "--active"],
            "env": ["PATH=/usr/bin:/bin"],
            "user": user(rng),
            "noNewPrivileges": chance(rng, 50),
            "capabilities": sets.as_json(),
        });
        let mounts = mounts(rng, &namespaces, runtime);
        // runc sets the profile through the container's own /proc.
        let proc_writable = mounts.as_array().is_some_and(|all| {
            all.iter().all(|m| m["destination"] != "/proc" || !m["options"].to_string().contains("\"ro\""))
        });
        if !limits.apparmor_profiles.is_empty() && proc_writable && chance(rng, 60) {
            process["apparmorProfile"] = json!(pick(rng, &limits.apparmor_profiles));
        }
        let config = json!({
            "ociVersion": "1.0.2",
            "root": {"path": "rootfs", "readonly": chance(rng, 40)},
            "process": process,
            "mounts": mounts,
            "linux": linux,
        });
        Sample { number, runtime, config, builtin }
    }
}

struct Namespaces {
    pid: bool,
    network: bool,
    ipc: bool,
    uts: bool,
    cgroup: bool,
    time: bool,
    user: bool,
}

impl Namespaces {
    fn random(rng: &mut fastrand::Rng, runtime: Runtime) -> Namespaces {
        let user = chance(rng, 40);
        Namespaces {
            pid: chance(rng, 75),
            network: chance(rng, 50),
            ipc: chance(rng, 70),
            uts: chance(rng, 70),
            cgroup: chance(rng, 50),
            // runc 1.1 does not know the time namespace; crun 1.8 makes it with a user namespace only.
            time: runtime == Runtime::Crun && user && chance(rng, 70),
            user,
        }
    }

    fn as_json(&self) -> Value {
        let own = [
            ("pid", self.pid),
            ("network", self.network),
            ("ipc", self.ipc),
            ("uts", self.uts),
            ("cgroup", self.cgroup),
            ("time", self.time),
            ("user", self.user),
            ("mount", true),
        ];
        own.iter().filter(|(_, own)| *own).map(|(kind, _)| json!({"type": kind})).collect()
    }
}

/// Ids that containers run as; every map covers them.
const IDS: &[u32] = &[0, 0, 0, 0, 0, 1, 1000, 10001, 10001, 65534];

fn user(rng: &mut fastrand::Rng) -> Value {
    let mut user = json!({"uid": pick(rng, IDS), "gid": pick(rng, IDS)});
    if chance(rng, 30) {
        let groups: Vec<u32> = (0..rng.usize(1..4)).map(|_| *pick(rng, &[0, 5, 44, 999, 10001])).collect();
        user["additionalGids"] = json!(groups);
    }
    user
}

/// user_namespaces(7): what engines make, and the two that only look like a wall.
fn map(rng: &mut fastrand::Rng) -> Value {
    let range = |inside: u32, outside: u32, size: u32| json!({"containerID": inside, "hostID": outside, "size": size});
    match rng.u32(..6) {
        0 | 1 => json!([range(0, 100_000, 65536)]),
        2 => json!([range(0, 231_072, 65536)]),
        // Root is a person of the host, as under a rootless engine.
        3 => json!([range(0, 1000, 1), range(1, 100_000, 65535)]),
        // Root is the host's root after all.
        4 => json!([range(0, 0, 1), range(1, 100_000, 65535)]),
        _ => json!([range(0, 0, 4_294_967_295)]),
    }
}

struct Sets {
    bounding: CapabilitySet,
    permitted: CapabilitySet,
    effective: CapabilitySet,
    inheritable: CapabilitySet,
    ambient: CapabilitySet,
}

impl Sets {
    fn random(rng: &mut fastrand::Rng, machine: CapabilitySet) -> Sets {
        let within = |set: CapabilitySet| CapabilitySet(set.0 & machine.0);
        let bounding = within(match rng.u32(..10) {
            0 => CapabilitySet::EMPTY,
            1 | 2 => DOCKER,
            3 | 4 => CapabilitySet(DOCKER.0 | thinned(rng, CapabilitySet::ALL, 15).0),
            5 => thinned(rng, DOCKER, 50),
            6 | 7 => thinned(rng, CapabilitySet::ALL, 50),
            8 => thinned(rng, CapabilitySet::ALL, 90),
            _ => CapabilitySet::ALL,
        });
        let permitted = match rng.u32(..4) {
            0 => thinned(rng, bounding, 60),
            _ => bounding,
        };
        let effective = match rng.u32(..4) {
            0 => thinned(rng, permitted, 60),
            _ => permitted,
        };
        let (mut inheritable, mut ambient) = (CapabilitySet::EMPTY, CapabilitySet::EMPTY);
        if chance(rng, 40) {
            inheritable = if chance(rng, 50) { permitted } else { thinned(rng, permitted, 50) };
            if chance(rng, 60) {
                ambient = if chance(rng, 50) { inheritable } else { thinned(rng, inheritable, 50) };
            }
        }
        Sets { bounding, permitted, effective, inheritable, ambient }
    }

    fn as_json(&self) -> Value {
        let names = |set: CapabilitySet| set.iter().map(|c| format!("CAP_{}", c.name())).collect::<Vec<_>>();
        json!({
            "bounding": names(self.bounding),
            "permitted": names(self.permitted),
            "effective": names(self.effective),
            "inheritable": names(self.inheritable),
            "ambient": names(self.ambient),
        })
    }
}

/// What Docker gives by default.
const DOCKER: CapabilitySet = {
    use Capability as C;
    CapabilitySet::of(&[
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
    ])
};

fn thinned(rng: &mut fastrand::Rng, set: CapabilitySet, percent: u32) -> CapabilitySet {
    set.iter().filter(|_| chance(rng, percent)).fold(CapabilitySet::EMPTY, CapabilitySet::with)
}

/// Paths that engines mask, and one that none does.
const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/firmware",
    "/sys/devices/virtual/powercap",
    "/proc/sys/kernel/core_pattern",
];

const READONLY: &[&str] = &[
    "/proc/bus",
    "/proc/fs",
    "/proc/irq",
    "/proc/sys",
    "/proc/sys/kernel",
    "/proc/sys/vm",
    "/proc/sysrq-trigger",
];

/// All, none, or some, so that whole and broken lists both occur.
fn subset(rng: &mut fastrand::Rng, of: &[&'static str]) -> Vec<&'static str> {
    match rng.u32(..4) {
        0 => of.to_vec(),
        1 => Vec::new(),
        _ => of.iter().copied().filter(|_| chance(rng, 50)).collect(),
    }
}

fn resources(rng: &mut fastrand::Rng) -> Value {
    let mut resources = Map::new();
    let rules = device_rules(rng);
    if !rules.is_empty() {
        resources.insert("devices".into(), json!(rules));
    }
    if chance(rng, 40) {
        resources.insert("memory".into(), json!({"limit": rng.i64(1..16) << 28}));
    }
    if chance(rng, 40) {
        resources.insert("pids".into(), json!({"limit": rng.i64(20..4000)}));
    }
    if chance(rng, 40) {
        resources.insert("cpu".into(), json!({"quota": rng.i64(1..40) * 10_000, "period": 100_000}));
    }
    Value::Object(resources)
}

fn device_rules(rng: &mut fastrand::Rng) -> Vec<Value> {
    let deny_all = json!({"allow": false, "access": "rwm"});
    match rng.u32(..5) {
        0 => Vec::new(),
        1 => vec![deny_all],
        2 => vec![json!({"allow": true, "access": "rwm"})],
        _ => {
            let mut rules = vec![deny_all];
            for _ in 0..rng.usize(1..5) {
                let (_, kind, major, minor) = pick(rng, tree::DEVICES);
                let mut rule = json!({
                    "allow": chance(rng, 85),
                    "type": kind.to_string(),
                    "major": major,
                    "access": pick(rng, &["rwm", "rw", "r", "w", "m", "rm"]),
                });
                if chance(rng, 60) {
                    rule["minor"] = json!(minor);
                }
                rules.push(rule);
            }
            rules
        }
    }
}

fn devices(rng: &mut fastrand::Rng, in_user_namespace: bool) -> Value {
    if chance(rng, 60) {
        return json!([]);
    }
    let mut devices = Vec::new();
    for (path, kind, major, minor) in tree::DEVICES {
        // In a user namespace runtimes bind the host's node instead of making one.
        if !chance(rng, 20) || (in_user_namespace && !Path::new(path).exists()) {
            continue;
        }
        let mut device = json!({"path": path, "type": kind.to_string(), "major": major, "minor": minor});
        if chance(rng, 50) {
            device["fileMode"] = json!(0o660);
            device["uid"] = json!(0);
            device["gid"] = json!(0);
        }
        devices.push(device);
    }
    json!(devices)
}

/// Where binds go; prepared in every root file system, as a folder and as a file.
pub(crate) const TARGETS: usize = 4;

fn mounts(rng: &mut fastrand::Rng, namespaces: &Namespaces, runtime: Runtime) -> Value {
    let quirk = runtime == Runtime::Crun && namespaces.user;
    let mut mounts = Vec::new();
    let secure = ["nosuid", "noexec", "nodev"];
    // A new procfs or sysfs needs a namespace that the own user namespace owns.
    if namespaces.user && !namespaces.pid {
        mounts.push(json!({"destination": "/proc", "type": "bind", "source": "/proc", "options": ["rbind"]}));
    } else {
        let mut options = secure.to_vec();
        if chance(rng, 8) {
            options.push("ro");
        }
        mounts.push(json!({"destination": "/proc", "type": "proc", "source": "proc", "options": options}));
    }
    mounts.push(json!({
        "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
        "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
    }));
    if chance(rng, 70) {
        mounts.push(json!({
            "destination": "/dev/pts", "type": "devpts", "source": "devpts",
            "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
        }));
    }
    if chance(rng, 60) {
        mounts.push(json!({
            "destination": "/dev/shm", "type": "tmpfs", "source": "shm",
            "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
        }));
    }
    if namespaces.ipc && chance(rng, 40) {
        mounts.push(json!({
            "destination": "/dev/mqueue", "type": "mqueue", "source": "mqueue", "options": secure,
        }));
    }
    // crun 1.8 makes a bind in a user namespace without the mounts below it, and with its options only where `ro` is
    // among them (docs/kernel-truth.md): what is asked for is then not what is tested.
    if chance(rng, 85) && (!quirk || namespaces.network) {
        let access = if chance(rng, 65) { "ro" } else { "rw" };
        if namespaces.user && !namespaces.network {
            mounts.push(json!({
                "destination": "/sys", "type": "bind", "source": "/sys",
                "options": ["rbind", "nosuid", "noexec", "nodev", access],
            }));
        } else {
            mounts.push(json!({
                "destination": "/sys", "type": "sysfs", "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", access],
            }));
            if chance(rng, 60) {
                let access = if chance(rng, 60) { "ro" } else { "rw" };
                mounts.push(json!({
                    "destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup",
                    "options": ["nosuid", "noexec", "nodev", "relatime", access],
                }));
            }
        }
    }
    if chance(rng, 30) {
        mounts.push(json!({
            "destination": "/tmp", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "nodev"],
        }));
    }
    let binds = if chance(rng, 35) { 0 } else { rng.usize(1..=TARGETS) };
    for number in 0..binds {
        mounts.push(bind(rng, number, namespaces, quirk));
    }
    json!(mounts)
}

fn bind(rng: &mut fastrand::Rng, number: usize, namespaces: &Namespaces, quirk: bool) -> Value {
    let kernel_bound = namespaces.user && !(namespaces.pid && namespaces.network);
    // Not every kernel has every file.
    let (source, kind) = loop {
        let (source, kind) = *pick(rng, tree::SOURCES);
        let has_mounts_below = ["/", "/dev", "/sys", "/sys/kernel", "/sys/fs/cgroup"].contains(&source);
        // What a runtime lays over a bind of the host's /proc or /sys shows in every other bind of it.
        let kernel = ["/proc", "/sys"].iter().any(|k| source.starts_with(k)) || source == "/";
        if Path::new(source).exists() && !(quirk && has_mounts_below) && !(kernel && kernel_bound) {
            break (source, kind);
        }
    };
    // From a user namespace what lies on top of a mount cannot be left behind: mount_namespaces(7), "locked".
    let whole = namespaces.user && ["/", "/dev", "/sys", "/sys/kernel", "/sys/fs/cgroup"].contains(&source);
    let mut options = vec![if whole || chance(rng, 75) { "rbind" } else { "bind" }];
    match rng.u32(..10) {
        0..=4 => options.push("rw"),
        5..=8 => options.push("ro"),
        _ => {}
    }
    if !quirk || options.contains(&"ro") {
        options.extend(["nosuid", "nodev", "noexec"].into_iter().filter(|_| chance(rng, 25)));
    }
    if chance(rng, 40) {
        options.push(*pick(rng, &["rprivate", "private", "rslave", "slave", "rshared", "shared"]));
    }
    let shape = if kind == Kind::Folder { "folder" } else { "file" };
    json!({"destination": format!("/host/{shape}{number}"), "type": "bind", "source": source, "options": options})
}
