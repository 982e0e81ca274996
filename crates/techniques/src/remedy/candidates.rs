//! Which remedies can make a condition false. The plan's search rests on this list being whole: a remedy that makes
//! a condition false, alone or with others, is among the candidates of that condition (a test compares it with what
//! remedies really do).

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use confinement::seccomp::Builtin;
use confinement::{
    Capability, CapabilitySet, Confinement, Fact, Mount, MountSource, Propagation, Seccomp, Truth,
};

use super::{LimitKind, Remedy, is_default_capability, rule_text};
use crate::condition::{Condition, Filter, Limit, LsmOperation};
use crate::objects;

/// Nobody names so many one by one: with more than these beyond the default, `ALL` was added, and some dropped perhaps.
const ADDED_BY_NAME: usize = 8;

fn has_all(c: &Confinement) -> bool {
    let default = c.engine.as_ref().map(|engine| engine.default_capabilities());
    let held = c.capabilities.bounding.value;
    held.zip(default).is_some_and(|(held, default)| held.minus(default).iter().count() > ADDED_BY_NAME)
}

/// What could make this condition false. Whether it does is for the solver to say.
pub fn candidates(condition: &Condition, c: &Confinement) -> Vec<Remedy> {
    Candidates::of(c).for_condition(condition)
}

/// The candidates for one confinement, of which many conditions are asked.
pub(crate) struct Candidates<'c> {
    c: &'c Confinement,
    /// The same without any mount that was asked for, made when it is first needed.
    bare: Option<Confinement>,
}

impl<'c> Candidates<'c> {
    pub(crate) fn of(c: &'c Confinement) -> Candidates<'c> {
        Candidates { c, bare: None }
    }

    pub(crate) fn confinement(&self) -> &'c Confinement {
        self.c
    }

    pub(crate) fn for_condition(&mut self, condition: &Condition) -> Vec<Remedy> {
        let mut list = settings(condition, self.c);
        if hangs_on_mounts(condition) {
            self.mounts(condition, &mut list);
        }
        list
    }

    /// A mount is a candidate where it alone, of those asked for, leaves the condition as it is.
    fn mounts(&mut self, condition: &Condition, list: &mut Vec<Remedy>) {
        if asked_mounts(self.c).next().is_none() {
            return;
        }
        let only = self.bare.get_or_insert_with(|| {
            let mut bare = self.c.clone();
            bare.mounts.retain(|m| matches!(m.source.get(), None | Some(MountSource::Kernel(_))));
            bare
        });
        let bare = only.mounts.len();
        let filter = Filter::unasked();
        // True without any of them: another setting must come first, and is a candidate.
        if !condition.check(only, &filter, &mut ()).is_false() {
            return;
        }
        for mount in asked_mounts(self.c) {
            only.mounts.truncate(bare);
            only.mounts.push(mount.clone());
            if condition.check(only, &filter, &mut ()).is_false() {
                continue;
            }
            let target = mount.target.clone();
            list.push(Remedy::RemoveMount(target.clone()));
            if !Truth::from(mount.read_only.value).is_true()
                && let Some(mount) = only.mounts.last_mut()
            {
                mount.read_only = Fact::known(true, confinement::Origin::Nowhere);
                if condition.check(only, &filter, &mut ()).is_false() {
                    list.push(Remedy::ReadOnlyMount(target));
                }
            }
        }
        only.mounts.truncate(bare);
    }
}

fn settings(condition: &Condition, c: &Confinement) -> Vec<Remedy> {
    // A privileged container's capabilities, filter, paths and devices are the engine's; nothing else is heard.
    let privileged = c.privileged.value == Some(true);
    let or_drop_privileged = |list: Vec<Remedy>| {
        if privileged { vec![Remedy::DropPrivileged] } else { list }
    };
    match condition {
        Condition::Root | Condition::InGroup(_) => vec![Remedy::RunAsNonRoot, Remedy::NoNewPrivileges],
        Condition::Usable(cap) => {
            let mut list = vec![Remedy::RunAsNonRoot, Remedy::NoNewPrivileges];
            // Podman hands another user than root what was added.
            if c.identity.root.value == Some(false) {
                list.extend(or_drop_privileged(drop_capability(*cap, c)));
            }
            list
        }
        Condition::PrivilegesCanRise | Condition::SetuidPrograms => vec![Remedy::NoNewPrivileges],
        Condition::HostIds | Condition::InitialUserNamespace | Condition::SameIds => {
            vec![Remedy::UserNamespace]
        }
        Condition::Bounding(cap) => or_drop_privileged(drop_capability(*cap, c)),
        Condition::Syscall(_)
        | Condition::SocketFamily(_)
        | Condition::NewUserNamespace
        | Condition::SeccompOff
        | Condition::CompatSyscalls => or_drop_privileged(seccomp(condition, c)),
        Condition::Lsm(LsmOperation::HostFiles | LsmOperation::HostSocket) => vec![],
        Condition::Lsm(_) => or_drop_privileged(vec![Remedy::LsmDefault]),
        Condition::SharesHost(kind) | Condition::SharesContainer(kind) => {
            vec![Remedy::PrivateNamespace(*kind)]
        }
        Condition::SharedPropagation => asked_mounts(c)
            .filter(|m| m.propagation.get() == Some(&Propagation::Shared))
            .map(|m| Remedy::PrivatePropagation(m.target.clone()))
            .collect(),
        Condition::KernelInterface(_) | Condition::Unmasked(_) => {
            or_drop_privileged(vec![Remedy::DefaultPaths])
        }
        Condition::DeviceNode(name) | Condition::DeviceCgroup { class: name, .. } => {
            or_drop_privileged(devices(name, c))
        }
        Condition::GpuDevice => or_drop_privileged(devices("gpu", c)),
        Condition::CgroupWritable => or_drop_privileged(vec![Remedy::ReadOnlyCgroup]),
        Condition::ControlApiGiven => vec![Remedy::RemoveControlApi],
        Condition::EngineTcp { .. } => vec![Remedy::EngineClientCertificates],
        Condition::ServiceAccountToken => vec![Remedy::NoServiceAccountToken],
        Condition::Grants { verb, resource } => {
            vec![Remedy::NarrowGrants { verb: verb.clone(), resource: resource.clone() }]
        }
        Condition::Unlimited(Limit::Memory) => vec![Remedy::Limit(LimitKind::Memory)],
        Condition::Unlimited(Limit::Cpu) => vec![Remedy::Limit(LimitKind::Cpu)],
        Condition::Unlimited(Limit::Pids) => vec![Remedy::Limit(LimitKind::Pids)],
        Condition::WritableRootfs => vec![Remedy::ReadOnlyRootfs],
        Condition::SetsHostSysctl => {
            c.sysctls.iter().map(|(key, _)| Remedy::RemoveSysctl(key.clone())).collect()
        }
        Condition::ImageSecret => vec![Remedy::RemoveSecret],
        Condition::ImageUnpinned => vec![Remedy::PinImage],
        Condition::Privileged => vec![Remedy::DropPrivileged],
        Condition::SharedSegment => vec![Remedy::OwnNetwork],
        Condition::NetworkAttached
        | Condition::Mounts { .. }
        | Condition::WritableHostMount(_)
        | Condition::HostBackedMount { .. }
        | Condition::WritableSharedMount
        | Condition::HostKernel
        | Condition::Inheritable
        | Condition::UserNamespacesEnabled
        | Condition::CgroupVersion(_)
        | Condition::Sysctl { .. }
        | Condition::Kernel { .. }
        | Condition::LockdownBelow(_)
        | Condition::ModulesLoadable
        | Condition::KernelOption(_)
        | Condition::LocalUser
        | Condition::Owns(_)
        | Condition::EngineUser
        | Condition::HostProcessOfSameUser
        | Condition::HostAccomplice
        | Condition::CloudMetadata
        | Condition::Listener { .. }
        | Condition::CgroupParent
        | Condition::ImageUntrusted
        | Condition::UnderKubelet
        | Condition::RunsUnder(_)
        | Condition::OwnUserNamespace
        | Condition::ModuleAvailable(_)
        | Condition::Flaw(_) => vec![],
    }
}

fn drop_capability(cap: Capability, c: &Confinement) -> Vec<Remedy> {
    if has_all(c) && !is_default_capability(c, cap) {
        // One by one where something of `ALL` must stay.
        return vec![Remedy::RemoveAllCapabilities, Remedy::DropCapability(cap)];
    }
    vec![Remedy::DropCapability(cap)]
}

/// The engine's own filter, where another or none is loaded; where it is, the capabilities for which it opens.
fn seccomp(condition: &Condition, c: &Confinement) -> Vec<Remedy> {
    match c.seccomp.get() {
        Some(Seccomp::Builtin(builtin)) => {
            let held = c.capabilities.bounding.value.unwrap_or(CapabilitySet::ALL);
            let gates = gates(*builtin, condition, c);
            gates.iter().filter(|cap| held.has(**cap)).flat_map(|cap| drop_capability(*cap, c)).collect()
        }
        _ => vec![Remedy::SeccompDefault],
    }
}

/// Gates by filter and condition: a few dozen pairs, asked for in every state of a search.
type Gates = HashMap<(Builtin, Condition), Arc<[Capability]>>;

/// The capabilities that make a built-in filter permit what the condition asks about.
fn gates(builtin: Builtin, condition: &Condition, c: &Confinement) -> Arc<[Capability]> {
    static KNOWN: LazyLock<Mutex<Gates>> = LazyLock::new(Mutex::default);
    let key = (builtin, condition.clone());
    let known = |map: &Gates| map.get(&key).cloned();
    if let Some(gates) = KNOWN.lock().ok().and_then(|map| known(&map)) {
        return gates;
    }
    let mut only = c.clone();
    let mut permits = |set: CapabilitySet| {
        only.capabilities.bounding = Fact::known(set, confinement::Origin::Nowhere);
        !condition.check(&only, &Filter::of(&only), &mut ()).is_false()
    };
    let gates: Arc<[Capability]> = if permits(CapabilitySet::default()) {
        // It is permitted to everybody.
        Arc::default()
    } else {
        CapabilitySet::ALL.iter().filter(|cap| permits(CapabilitySet::default().with(*cap))).collect()
    };
    if let Ok(mut map) = KNOWN.lock() {
        map.insert(key, gates.clone());
    }
    gates
}

fn devices(class: &'static str, c: &Confinement) -> Vec<Remedy> {
    let Some(class) = objects::device_class(class) else { return vec![] };
    let in_class = |path: &str| class.has_path(path) || class.has_folder(path);
    let nodes = c.devices.nodes.iter().filter_map(|n| n.get()).filter(|n| in_class(n.host.as_str()));
    let rules = c.devices.asked.iter().filter_map(|r| r.get()).filter(|r| r.node.is_none() && r.allow);
    nodes
        .map(|n| Remedy::RemoveDevice(n.host.as_str().into()))
        .chain(rules.map(|r| Remedy::RemoveDeviceRule(rule_text(r).into())))
        .collect()
}

fn hangs_on_mounts(condition: &Condition) -> bool {
    matches!(
        condition,
        Condition::Mounts { .. }
            | Condition::SharedPropagation
            | Condition::WritableHostMount(_)
            | Condition::HostBackedMount { .. }
            | Condition::WritableSharedMount
            | Condition::KernelInterface(_)
            | Condition::Unmasked(_)
            | Condition::DeviceNode(_)
            | Condition::DeviceCgroup { .. }
            | Condition::GpuDevice
            | Condition::Lsm(_)
            | Condition::Owns(_)
    )
}

/// Mounts that were asked for, and not the engine's own.
fn asked_mounts(c: &Confinement) -> impl Iterator<Item = &Mount> {
    c.mounts.iter().filter(|m| !matches!(m.source.get(), None | Some(MountSource::Kernel(_))))
}
