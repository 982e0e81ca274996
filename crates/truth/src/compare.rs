//! Compares what is predicted from a configuration with what the kernel permits, condition by condition.

use std::collections::BTreeMap;

use confinement::{Capability, Confinement, NamespaceKind, Truth};
use probe::Measurement;
use techniques::condition::{
    Condition, Filter, KERNEL_INTERFACES, Limit, LsmOperation, MASKABLE, MountOption,
};
use techniques::objects;
use techniques::technique::Catalogue;

use crate::configuration::Sample;
use crate::container::Found;
use crate::filter;
use crate::measured::{self, FAMILIES, Here};

/// What one comparison came to.
#[derive(Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) agreed_true: usize,
    pub(crate) agreed_false: usize,
    pub(crate) disagreed: usize,
    /// One of the two sides does not know.
    pub(crate) unknown: usize,
}

impl Count {
    pub(crate) fn compared(&self) -> usize {
        self.agreed_true + self.agreed_false + self.disagreed
    }
    pub(crate) fn add(&mut self, other: Count) {
        self.agreed_true += other.agreed_true;
        self.agreed_false += other.agreed_false;
        self.disagreed += other.disagreed;
        self.unknown += other.unknown;
    }
}

/// All of a run's comparisons by name.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) conditions: BTreeMap<String, Count>,
    /// Not conditions by themselves: a fact's value, a call by a probe's key, a built-in profile, an access made.
    pub(crate) others: BTreeMap<String, Count>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        for (name, count) in other.conditions {
            self.conditions.entry(name).or_default().add(count);
        }
        for (name, count) in other.others {
            self.others.entry(name).or_default().add(count);
        }
    }
}

pub(crate) struct Disagreement {
    pub(crate) what: String,
    pub(crate) predicted: String,
    pub(crate) measured: String,
}

/// The conditions that a payload inside can tell of: every one of the catalogue's, and all of the kinds that name a
/// capability, a namespace, a call, an object or a device. What hangs on the host alone, on the engine or on an
/// assumption is left out: there both sides would say the same thing from the same source.
pub(crate) fn conditions() -> Vec<Condition> {
    use Condition::*;
    let mut all: Vec<Condition> = Vec::new();
    all.extend(Capability::ALL.iter().flat_map(|c| [Bounding(*c), Usable(*c)]));
    all.extend(NamespaceKind::ALL.map(SharesHost));
    all.extend(FAMILIES.iter().map(|f| SocketFamily(*f)));
    all.extend(KERNEL_INTERFACES.iter().map(|(name, _)| KernelInterface(name)));
    all.extend(MASKABLE.iter().map(|(name, _)| Unmasked(name)));
    for (class, _) in objects::object_classes() {
        all.extend([Mounts { class, write: false }, Mounts { class, write: true }]);
    }
    for class in DEVICE_CLASSES.iter().filter_map(|name| objects::device_class_name(name)) {
        all.extend([
            DeviceNode(class),
            DeviceCgroup { class, write: false },
            DeviceCgroup { class, write: true },
        ]);
    }
    all.extend([
        Root,
        HostIds,
        InitialUserNamespace,
        OwnUserNamespace,
        Inheritable,
        PrivilegesCanRise,
        NewUserNamespace,
        SeccompOff,
        SharedPropagation,
        WritableHostMount(MountOption::Any),
        WritableHostMount(MountOption::Suid),
        WritableHostMount(MountOption::Dev),
        HostBackedMount { write: false },
        HostBackedMount { write: true },
        WritableSharedMount,
        CgroupVersion(1),
        CgroupVersion(2),
        CgroupWritable,
        NetworkAttached,
        Unlimited(Limit::Memory),
        Unlimited(Limit::Cpu),
        Unlimited(Limit::Pids),
        WritableRootfs,
        GpuDevice,
        Lsm(LsmOperation::Unconfined),
        Lsm(LsmOperation::Mount),
        Lsm(LsmOperation::Ptrace),
    ]);
    for condition in &Catalogue::get().conditions {
        if tells_inside(condition) && !all.contains(condition) {
            all.push(condition.clone());
        }
    }
    all
}

/// Objects that are file systems of their own, and where hosts have them.
const MOUNTED: &[(&str, &str)] = &[
    ("binfmt-register", "/proc/sys/fs/binfmt_misc"),
    ("debugfs", "/sys/kernel/debug"),
    ("securityfs", "/sys/kernel/security"),
];

const DEVICE_CLASSES: &[&str] = &[
    "disk",
    "memory",
    "kernel-log",
    "kvm",
    "direct-memory-access",
    "fuse",
    "tun",
    "block-control",
    "input",
    "gpu",
    "watchdog-and-clock",
];

fn tells_inside(condition: &Condition) -> bool {
    use Condition::*;
    matches!(condition, Syscall(_) | SocketFamily(_) | InGroup(_) | Lsm(_) | Mounts { .. } | DeviceNode(_))
}

/// One container's comparisons.
pub(crate) fn compare(
    conditions: &[Condition],
    sample: &Sample,
    predicted: &Confinement,
    found: &Found,
    here: &Here,
) -> (Tally, Vec<Disagreement>) {
    let mut run = Run { tally: Tally::default(), disagreements: Vec::new() };
    let measured = here.confinement(&found.measured, &found.host_mounts);
    let host_mounts = &found.host_mounts;
    let found = &found.measured;
    let expected_filter = Filter::of(predicted);
    let found_filter = Filter::of(&measured);
    let calls = found.system_calls.keys().filter(|key| !key.contains('(')).cloned().map(Condition::Syscall);
    // This kernel may lack what every host is taken to have mounted.
    let absent = |condition: &Condition| match condition {
        Condition::Mounts { class, .. } => MOUNTED
            .iter()
            .any(|(name, place)| name == class && host_mounts.entries.iter().all(|m| m.target != *place)),
        _ => false,
    };
    for condition in
        conditions.iter().filter(|c| !absent(c)).cloned().chain(calls.filter(|c| !conditions.contains(c)))
    {
        let expected = condition.check(predicted, &expected_filter, &mut ());
        let answered = measured::answer(&condition, found)
            .unwrap_or_else(|| condition.check(&measured, &found_filter, &mut ()));
        run.condition(condition.to_string(), expected, answered);
    }
    run.filters(sample, predicted, found);
    for question in measured::questions(predicted, found) {
        run.other(question.name, question.predicted, question.measured);
    }
    run.facts(predicted, &measured);
    (run.tally, run.disagreements)
}

struct Run {
    tally: Tally,
    disagreements: Vec<Disagreement>,
}

impl Run {
    fn condition(&mut self, name: String, predicted: Truth, measured: Truth) {
        let count = self.count(&name, predicted, measured);
        self.tally.conditions.entry(name).or_default().add(count);
    }

    fn other(&mut self, name: String, predicted: Truth, measured: Truth) {
        let count = self.count(&name, predicted, measured);
        self.tally.others.entry(name).or_default().add(count);
    }

    fn count(&mut self, name: &str, predicted: Truth, measured: Truth) -> Count {
        let mut count = Count::default();
        match (predicted, measured) {
            (Truth::Unknown, _) | (_, Truth::Unknown) => count.unknown = 1,
            (Truth::True, Truth::True) => count.agreed_true = 1,
            (Truth::False, Truth::False) => count.agreed_false = 1,
            _ => {
                count.disagreed = 1;
                let text = |truth: Truth| truth.is_true().to_string();
                let (predicted, measured) = (text(predicted), text(measured));
                self.disagreements.push(Disagreement { what: name.to_owned(), predicted, measured });
            }
        }
        count
    }

    /// The filter by its content, with the very arguments of each probe; and, where it was made from a built-in
    /// profile, that profile as the evaluator resolves it.
    fn filters(&mut self, sample: &Sample, predicted: &Confinement, found: &Measurement) {
        let (Some(bounding), kernel) =
            (predicted.capabilities.bounding.value, predicted.host.kernel_version())
        else {
            return;
        };
        let own = predicted.seccomp.get().and_then(|s| s.profile());
        let own = own.map(|profile| profile.resolve(bounding, filter::native(), kernel));
        let builtin = sample.builtin.map(|b| (b, b.profile().resolve(bounding, filter::native(), kernel)));
        for (key, conclusion) in &found.system_calls {
            let answered = Truth::from(measured::permitted(conclusion.reads_as));
            if let Some(own) = &own {
                self.other(format!("filter permits {key}"), measured::filter_permits(own, key), answered);
            }
            if let Some((builtin, resolved)) = &builtin {
                let name = format!("{}'s built-in profile permits {key}", builtin.engine());
                self.other(name, measured::filter_permits(resolved, key), answered);
            }
        }
    }

    /// Values that are no truths: equal or not.
    fn facts(&mut self, predicted: &Confinement, measured: &Confinement) {
        let (p, m) = (predicted, measured);
        self.fact("uid", &p.identity.uid, &m.identity.uid);
        self.fact("gid", &p.identity.gid, &m.identity.gid);
        self.fact("groups", &p.identity.groups, &m.identity.groups);
        self.fact("no_new_privs", &p.identity.no_new_privileges, &m.identity.no_new_privileges);
        self.fact("bounding set", &p.capabilities.bounding, &m.capabilities.bounding);
        self.fact("permitted set", &p.capabilities.permitted, &m.capabilities.permitted);
        self.fact("effective set", &p.capabilities.effective, &m.capabilities.effective);
        self.fact("inheritable set", &p.capabilities.inheritable, &m.capabilities.inheritable);
        self.fact("ambient set", &p.capabilities.ambient, &m.capabilities.ambient);
        if p.user_namespace.initial.value == Some(false) {
            self.fact("uid_map", &p.user_namespace.uid_map, &m.user_namespace.uid_map);
            self.fact("gid_map", &p.user_namespace.gid_map, &m.user_namespace.gid_map);
        }
        self.fact("memory limit", &p.limits.memory, &m.limits.memory);
        self.fact("processor limit", &p.limits.cpu, &m.limits.cpu);
        self.fact("process limit", &p.limits.pids, &m.limits.pids);
    }

    fn fact<T: PartialEq + std::fmt::Debug>(
        &mut self,
        name: &str,
        predicted: &confinement::Fact<T>,
        measured: &confinement::Fact<T>,
    ) {
        let mut count = Count::default();
        match (predicted.get(), measured.get()) {
            (Some(p), Some(m)) if p == m => count.agreed_true = 1,
            (Some(p), Some(m)) => {
                count.disagreed = 1;
                self.disagreements.push(Disagreement {
                    what: name.to_owned(),
                    predicted: format!("{p:?}"),
                    measured: format!("{m:?}"),
                });
            }
            _ => count.unknown = 1,
        }
        self.tally.others.entry(format!("value of {name}")).or_default().add(count);
    }
}
