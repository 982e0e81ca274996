//! Remedies: settings that make a condition false. What a remedy does is done to the confinement itself, and the
//! techniques are solved again, so that remedies which touch several conditions (a capability and its seccomp
//! group) need no special rule. What it costs and how it is said is data: `data/remedies.yaml`.

mod candidates;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use confinement::engine::Engine;
use confinement::{
    AppArmor, Capability, CapabilitySet, Confinement, DeviceRule, EngineKind, Fact, Form, MountSource,
    Namespace, NamespaceKind, Origin, Propagation, SeLinux, Seccomp, confine,
};
use serde::{Deserialize, Serialize};

use crate::condition::allows_any;
use crate::needs;

pub(crate) use candidates::Candidates;
pub use candidates::candidates;

/// One change to one subject's settings.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Remedy {
    DropPrivileged,
    DropCapability(Capability),
    /// `ALL`, where it was added.
    RemoveAllCapabilities,
    /// Drop `ALL` and add back only these.
    KeepCapabilities(CapabilitySet),
    RunAsNonRoot,
    UserNamespace,
    NoNewPrivileges,
    /// By the mount's target.
    RemoveMount(Arc<str>),
    ReadOnlyMount(Arc<str>),
    PrivatePropagation(Arc<str>),
    SeccompDefault,
    LsmDefault,
    DefaultPaths,
    PrivateNamespace(NamespaceKind),
    RemoveDevice(Arc<str>),
    /// As [`rule_text`] writes it: `c 10:200 rwm`.
    RemoveDeviceRule(Arc<str>),
    RemoveControlApi,
    EngineClientCertificates,
    NoServiceAccountToken,
    NarrowGrants {
        verb: String,
        resource: String,
    },
    Limit(LimitKind),
    RemoveSecret,
    PinImage,
    RemoveSysctl(Arc<str>),
    ReadOnlyRootfs,
    OwnNetwork,
    ReadOnlyCgroup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LimitKind {
    Memory,
    Cpu,
    Pids,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Entry {
    cost: u8,
    changes_behaviour: bool,
    /// Of the setting that does it for all containers of an engine.
    #[serde(default)]
    engine_cost: Option<u8>,
    any: String,
    #[serde(default)]
    compose: Option<String>,
    #[serde(default)]
    run: Option<String>,
    #[serde(default)]
    podman: Option<String>,
    #[serde(default)]
    kubernetes: Option<String>,
    #[serde(default)]
    daemon: Option<String>,
}

static ENTRIES: LazyLock<HashMap<String, Entry>> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/remedies.json")))
        .expect("checked by the build")
});

/// The identifiers of all remedies, in order.
pub fn ids() -> Vec<&'static str> {
    let mut ids: Vec<&str> = ENTRIES.keys().map(String::as_str).collect();
    ids.sort_unstable();
    ids
}

/// A remedy as reports show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Advice {
    pub id: String,
    pub summary: String,
    pub cost: u8,
    #[serde(rename = "changesBehaviour")]
    pub changes_behaviour: bool,
    /// What is known of the image that bears on it; said in plans.
    #[serde(skip)]
    pub note: Option<String>,
    #[serde(skip)]
    pub remedy: Remedy,
}

impl Remedy {
    /// The stable identifier, the key in `data/remedies.yaml`.
    pub fn id(&self, c: &Confinement) -> &'static str {
        match self {
            Remedy::DropPrivileged => "drop-privileged",
            Remedy::DropCapability(cap) if is_default_capability(c, *cap) => "drop-capability",
            Remedy::DropCapability(_) | Remedy::RemoveAllCapabilities => "remove-added-capability",
            Remedy::KeepCapabilities(_) => "keep-capabilities",
            Remedy::RunAsNonRoot => "run-as-non-root",
            Remedy::UserNamespace => "user-namespace",
            Remedy::NoNewPrivileges => "no-new-privileges",
            Remedy::RemoveMount(_) => "remove-mount",
            Remedy::ReadOnlyMount(_) => "read-only-mount",
            Remedy::PrivatePropagation(_) => "private-propagation",
            Remedy::SeccompDefault => "seccomp-default",
            Remedy::LsmDefault => "lsm-default",
            Remedy::DefaultPaths => "default-paths",
            Remedy::PrivateNamespace(_) => "private-namespace",
            Remedy::RemoveDevice(_) => "remove-device",
            Remedy::RemoveDeviceRule(_) => "remove-device-rule",
            Remedy::RemoveControlApi => "remove-control-api",
            Remedy::EngineClientCertificates => "engine-client-certificates",
            Remedy::NoServiceAccountToken => "no-service-account-token",
            Remedy::NarrowGrants { .. } => "narrow-grants",
            Remedy::Limit(_) => "limit",
            Remedy::RemoveSecret => "remove-secret",
            Remedy::PinImage => "pin-image",
            Remedy::RemoveSysctl(_) => "remove-sysctl",
            Remedy::ReadOnlyRootfs => "read-only-rootfs",
            Remedy::OwnNetwork => "own-network",
            Remedy::ReadOnlyCgroup => "read-only-cgroup",
        }
    }

    /// Whether it takes back something that was asked for, rather than adding a protection.
    pub fn takes_back(&self) -> bool {
        match self {
            Remedy::DropPrivileged
            | Remedy::RemoveAllCapabilities
            | Remedy::RemoveMount(_)
            | Remedy::ReadOnlyMount(_)
            | Remedy::PrivatePropagation(_)
            | Remedy::SeccompDefault
            | Remedy::LsmDefault
            | Remedy::DefaultPaths
            | Remedy::PrivateNamespace(_)
            | Remedy::RemoveDevice(_)
            | Remedy::RemoveDeviceRule(_)
            | Remedy::RemoveControlApi
            | Remedy::NarrowGrants { .. }
            | Remedy::RemoveSysctl(_)
            | Remedy::RemoveSecret => true,
            Remedy::DropCapability(_)
            | Remedy::KeepCapabilities(_)
            | Remedy::RunAsNonRoot
            | Remedy::UserNamespace
            | Remedy::NoNewPrivileges
            | Remedy::EngineClientCertificates
            | Remedy::NoServiceAccountToken
            | Remedy::Limit(_)
            | Remedy::PinImage
            | Remedy::ReadOnlyRootfs
            | Remedy::OwnNetwork
            | Remedy::ReadOnlyCgroup => false,
        }
    }

    /// The cost of its kind, and what is known of the image on top.
    pub fn cost(&self, c: &Confinement) -> u8 {
        // Docker gives user namespaces to all of its containers or to none.
        let of_engine = *self == Remedy::UserNamespace
            && c.engine.as_ref().is_some_and(|engine| engine.kind == EngineKind::Docker);
        let kind = match ENTRIES.get(self.id(c)) {
            Some(entry) if of_engine => entry.engine_cost.unwrap_or(entry.cost),
            Some(entry) => entry.cost,
            None => u8::MAX,
        };
        kind.saturating_add(needs::extra_cost(self, c))
    }

    /// What it costs as one setting for all containers of an engine, where there is such a setting.
    pub fn engine_cost(&self) -> Option<u8> {
        let id = match self {
            Remedy::UserNamespace => "user-namespace",
            Remedy::NoNewPrivileges => "no-new-privileges",
            Remedy::EngineClientCertificates => "engine-client-certificates",
            _ => return None,
        };
        ENTRIES.get(id)?.engine_cost
    }

    /// The remedy in the words of the form the subject is written in.
    pub fn advice(&self, c: &Confinement, form: Form) -> Advice {
        let id = self.id(c);
        let Some(entry) = ENTRIES.get(id) else {
            return Advice {
                id: id.into(),
                summary: id.into(),
                cost: u8::MAX,
                changes_behaviour: true,
                note: None,
                remedy: self.clone(),
            };
        };
        let text = match form {
            Form::Compose => entry.compose.as_ref(),
            Form::DockerRun | Form::DockerLive => entry.run.as_ref(),
            Form::PodmanRun | Form::PodmanLive => entry.podman.as_ref().or(entry.run.as_ref()),
            Form::Kubernetes => entry.kubernetes.as_ref(),
            Form::Daemon => entry.daemon.as_ref(),
            Form::Quadlet | Form::Oci | Form::Dockerfile | Form::Measured => None,
        };
        let (what, key) = self.words(c, form);
        let summary = text.unwrap_or(&entry.any).replace("{what}", &what).replace("{key}", &key);
        Advice {
            id: id.into(),
            summary,
            cost: self.cost(c),
            changes_behaviour: entry.changes_behaviour,
            note: None,
            remedy: self.clone(),
        }
    }

    /// What `{what}` and `{key}` stand for.
    fn words(&self, c: &Confinement, form: Form) -> (String, String) {
        let is_line = matches!(form, Form::DockerRun | Form::DockerLive | Form::PodmanRun | Form::PodmanLive);
        match self {
            Remedy::DropCapability(cap) => (cap.name().into(), String::new()),
            Remedy::RemoveAllCapabilities => ("ALL".into(), String::new()),
            Remedy::KeepCapabilities(set) if set.is_empty() => ("none".into(), String::new()),
            Remedy::KeepCapabilities(set) => {
                (set.iter().map(Capability::name).collect::<Vec<_>>().join(", "), String::new())
            }
            Remedy::RemoveMount(target)
            | Remedy::ReadOnlyMount(target)
            | Remedy::PrivatePropagation(target) => {
                let mount = c.mounts.iter().find(|m| m.target == *target);
                let what = mount.and_then(|m| m.host_path()).map(|p| p.to_string());
                (what.unwrap_or_else(|| target.to_string()), String::new())
            }
            Remedy::PrivateNamespace(kind) => {
                let key = match (form, kind) {
                    (Form::Kubernetes, NamespaceKind::Pid) => "hostPID",
                    (Form::Kubernetes, NamespaceKind::Net) => "hostNetwork",
                    (Form::Kubernetes, NamespaceKind::Ipc) => "hostIPC",
                    (Form::Compose, NamespaceKind::Net) => "network_mode",
                    (_, NamespaceKind::Net) if is_line => "--network",
                    (_, NamespaceKind::Cgroup) if is_line => "--cgroupns",
                    (_, kind) if is_line => {
                        return (kind.name().into(), format!("--{}", kind.name()));
                    }
                    (_, kind) => kind.name(),
                };
                (kind.name().into(), key.into())
            }
            Remedy::RemoveDevice(path) => (path.to_string(), String::new()),
            Remedy::RemoveDeviceRule(rule) => (rule.to_string(), String::new()),
            Remedy::NarrowGrants { verb, resource } => {
                (format!("{} {}", verb.replace('|', " or "), resource.replace('|', " or ")), String::new())
            }
            Remedy::Limit(kind) => {
                let (what, compose, run) = match kind {
                    LimitKind::Memory => ("memory", "mem_limit", "--memory"),
                    LimitKind::Cpu => ("processor time", "cpus", "--cpus"),
                    LimitKind::Pids => ("processes", "pids_limit", "--pids-limit"),
                };
                (what.into(), if form == Form::Compose { compose } else { run }.into())
            }
            Remedy::RemoveSysctl(key) => (key.to_string(), String::new()),
            _ => (String::new(), String::new()),
        }
    }

    /// Settings that an engine passes over for a privileged container: moby's `TweakCapabilities` and `WithSeccomp`,
    /// containerd's `WithPrivileged`, Podman's `specgen`.
    fn is_overruled_by_privileged(&self) -> bool {
        matches!(
            self,
            Remedy::DropCapability(_)
                | Remedy::RemoveAllCapabilities
                | Remedy::KeepCapabilities(_)
                | Remedy::SeccompDefault
                | Remedy::LsmDefault
                | Remedy::DefaultPaths
                | Remedy::RemoveDevice(_)
                | Remedy::RemoveDeviceRule(_)
                | Remedy::ReadOnlyCgroup
        )
    }

    /// The confinement with the change made.
    #[must_use]
    pub fn apply(&self, c: &Confinement) -> Confinement {
        let mut c = c.clone();
        self.make(&mut c);
        c
    }

    fn make(&self, c: &mut Confinement) {
        if c.privileged.value == Some(true) && self.is_overruled_by_privileged() {
            return;
        }
        let origin = || Origin::assumed("the remedy is made");
        let known = |value: bool| Fact::known(value, origin());
        match self {
            Remedy::DropPrivileged => drop_privileged(c),
            Remedy::DropCapability(cap) => keep_only(c, Some(CapabilitySet::ALL.without(*cap))),
            Remedy::RemoveAllCapabilities => {
                let default = c.engine.as_ref().map(|engine| engine.default_capabilities());
                keep_only(c, default);
            }
            Remedy::KeepCapabilities(keep) => keep_only(c, Some(*keep)),
            // Who is not root stays who it is.
            Remedy::RunAsNonRoot if c.identity.root.value == Some(false) => {}
            Remedy::RunAsNonRoot => {
                // The very ids that are written: what they own on the host is judged with the plan.
                let (user, group) = needs::user(c);
                c.identity.uid = Fact::known(user, origin());
                // A manifest says the group apart, and keeps its own; its group may be one that a socket is open to.
                let engine = c.engine.as_ref().map(|engine| engine.kind);
                let apart = matches!(engine, Some(EngineKind::Containerd | EngineKind::Crio));
                if !apart || c.identity.gid.value.is_none_or(|gid| gid == 0) {
                    c.identity.gid = Fact::known(group, origin());
                }
                c.identity.root = known(false);
                if let Some(handed) = handed_to_others(c) {
                    c.capabilities.ambient.value = Some(handed);
                    c.capabilities.inheritable.value = Some(handed);
                }
                let ambient = c.capabilities.ambient.value;
                c.capabilities.effective.value = ambient;
                c.capabilities.permitted.value = ambient;
            }
            Remedy::UserNamespace => {
                c.user_namespace.initial = known(false);
                c.user_namespace.root_is_host_root = known(false);
                c.user_namespace.uid_map = Fact::unknown(origin());
                c.user_namespace.gid_map = Fact::unknown(origin());
            }
            Remedy::NoNewPrivileges => c.identity.no_new_privileges = known(true),
            Remedy::RemoveMount(target) => c.mounts.retain(|m| m.target != *target),
            Remedy::ReadOnlyMount(target) => {
                for m in c.mounts.iter_mut().filter(|m| m.target == *target) {
                    m.read_only = known(true);
                }
            }
            Remedy::PrivatePropagation(target) => {
                for m in c.mounts.iter_mut().filter(|m| m.target == *target) {
                    m.propagation = Fact::known(Propagation::Private, origin());
                }
            }
            Remedy::SeccompDefault => {
                if let Some(engine) = &c.engine {
                    c.seccomp = Fact::known(Seccomp::Builtin(engine.seccomp()), origin());
                }
            }
            Remedy::LsmDefault => {
                // Absent and unknown stay so: nothing the workload's author sets brings an LSM to a host.
                if let (Some(AppArmor::Unconfined), Some(engine)) = (c.apparmor.get(), &c.engine) {
                    let lsms = c.host.lsms.get();
                    c.apparmor = match lsms.map(|l| l.iter().any(|n| &**n == "apparmor")) {
                        Some(true) => {
                            let (name, template) = engine.apparmor();
                            let profile = AppArmor::Profile { name: name.into(), enforcing: true, template };
                            Fact::known(profile, origin())
                        }
                        Some(false) => Fact::known(AppArmor::Absent, origin()),
                        None => Fact::unknown(origin()),
                    };
                }
                if c.selinux.get() == Some(&SeLinux::Unconfined) {
                    c.selinux = match c.host.selinux_enforcing.value {
                        Some(true) => {
                            Fact::known(SeLinux::Confined { domain: "container_t".into() }, origin())
                        }
                        Some(false) => Fact::known(SeLinux::Absent, origin()),
                        None if c
                            .engine
                            .as_ref()
                            .is_some_and(|e| e.settings.selinux_enabled.value == Some(false)) =>
                        {
                            Fact::known(SeLinux::Absent, origin())
                        }
                        None => Fact::unknown(origin()),
                    };
                }
            }
            Remedy::DefaultPaths => default_paths(c),
            Remedy::PrivateNamespace(kind) => {
                *c.namespaces.get_mut(*kind) = Fact::known(Namespace::Own, origin());
                // containerd keeps a pod in the host's UTS namespace with the host's network, and only then.
                let containerd = c.engine.as_ref().is_some_and(|e| e.kind == EngineKind::Containerd);
                if containerd && *kind == NamespaceKind::Net {
                    c.namespaces.uts = Fact::known(Namespace::Own, origin());
                }
            }
            Remedy::RemoveDevice(path) => {
                let is_it = |n: &confinement::DeviceNode| n.host.as_str() == &**path;
                c.devices.nodes.retain(|n| !n.get().is_some_and(is_it));
                let names_it = |r: &DeviceRule| r.node.as_ref().is_some_and(|n| n.as_str() == &**path);
                c.devices.asked.retain(|r| !r.get().is_some_and(names_it));
                if let Some(rules) = c.devices.rules.value.take() {
                    c.devices.rules.value = Some(rules.iter().filter(|r| !names_it(r)).cloned().collect());
                }
            }
            Remedy::RemoveDeviceRule(text) => {
                let is_it = |r: &DeviceRule| r.allow && r.node.is_none() && *rule_text(r) == **text;
                let asked = c.devices.asked.len();
                c.devices.asked.retain(|r| !r.get().is_some_and(is_it));
                if c.devices.asked.len() < asked
                    && let Some(rules) = c.devices.rules.value.take()
                {
                    c.devices.rules.value = Some(rules.iter().filter(|r| !is_it(r)).cloned().collect());
                }
            }
            Remedy::RemoveControlApi => c.control_apis.clear(),
            Remedy::EngineClientCertificates => {
                if let Some(engine) = &c.engine {
                    let mut engine = Engine::clone(engine);
                    engine.settings.tcp.clear();
                    c.engine = Some(Arc::new(engine));
                }
            }
            Remedy::NoServiceAccountToken => {
                if let Some(account) = &mut c.service_account {
                    account.token_mounted = known(false);
                }
            }
            Remedy::NarrowGrants { verb, resource } => {
                if let Some(account) = &mut c.service_account
                    && let Some(grants) = account.grants.value.take()
                {
                    let rest = grants
                        .iter()
                        .filter(|g| !g.get().is_some_and(|g| allows_any(g, verb, resource)))
                        .cloned()
                        .collect();
                    account.grants.value = Some(rest);
                }
            }
            Remedy::Limit(kind) => {
                let limit = Fact::known(Some(1), origin());
                match kind {
                    LimitKind::Memory => c.limits.memory = limit,
                    LimitKind::Cpu => c.limits.cpu = limit,
                    LimitKind::Pids => c.limits.pids = limit,
                }
            }
            Remedy::RemoveSecret => c.image.secrets.clear(),
            Remedy::PinImage => c.image.pinned = known(true),
            Remedy::RemoveSysctl(key) => c.sysctls.retain(|(k, _)| k != key),
            Remedy::ReadOnlyRootfs => c.read_only_rootfs = known(true),
            Remedy::OwnNetwork => c.network.shared_segment = known(false),
            Remedy::ReadOnlyCgroup => c.cgroup.writable = known(false),
        }
    }
}

/// The confinement with all the changes made. Their order does not matter to the caller: what replaces whole sets of
/// settings is done before what changes single ones.
#[must_use]
pub fn apply_all<'a>(remedies: impl IntoIterator<Item = &'a Remedy>, c: &Confinement) -> Confinement {
    let mut ordered: Vec<&Remedy> = remedies.into_iter().collect();
    ordered.sort_by_key(|remedy| match remedy {
        Remedy::DropPrivileged => 0,
        Remedy::RemoveAllCapabilities => 1,
        Remedy::KeepCapabilities(_) => 2,
        _ => 3,
    });
    let mut c = c.clone();
    for remedy in ordered {
        remedy.make(&mut c);
    }
    c
}

/// Leaves in every set what is in `keep`; where that is not known, nothing is known of the sets.
fn keep_only(c: &mut Confinement, keep: Option<CapabilitySet>) {
    let sets = &mut c.capabilities;
    for set in [
        &mut sets.bounding,
        &mut sets.effective,
        &mut sets.permitted,
        &mut sets.inheritable,
        &mut sets.ambient,
    ] {
        set.value = set.value.zip(keep).map(|(set, keep)| set.minus(CapabilitySet::ALL.minus(keep)));
    }
}

/// Podman gives another user than root what was added, as ambient capabilities
/// (pkg/specgen/generate/security_linux.go). An added one that is a default as well is not told from the others.
fn handed_to_others(c: &Confinement) -> Option<CapabilitySet> {
    let engine = c.engine.as_ref().filter(|engine| engine.kind == EngineKind::Podman)?;
    let plain = c.unprivileged.as_deref().unwrap_or(c);
    plain.capabilities.bounding.value.map(|set| set.minus(engine.default_capabilities()))
}

fn is_default_capability(c: &Confinement, cap: Capability) -> bool {
    c.engine.as_ref().is_some_and(|e| e.default_capabilities().has(cap))
}

/// A device rule as `--device-cgroup-rule` takes it.
pub fn rule_text(rule: &DeviceRule) -> String {
    let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
    let kind = match rule.kind {
        confinement::DeviceKind::All => 'a',
        confinement::DeviceKind::Block => 'b',
        confinement::DeviceKind::Char => 'c',
    };
    let mut access = String::new();
    for (on, letter) in [(rule.access.read, 'r'), (rule.access.write, 'w'), (rule.access.mknod, 'm')] {
        if on {
            access.push(letter);
        }
    }
    format!("{kind} {}:{} {access}", number(rule.major), number(rule.minor))
}

/// What the engine gives the container without privileged: what else was asked for stays.
fn drop_privileged(c: &mut Confinement) {
    let plain = match c.unprivileged.take() {
        Some(plain) => {
            // The CRI engines give a privileged container the host's cgroup namespace.
            c.namespaces.cgroup = plain.namespaces.cgroup.clone();
            Confinement::clone(&plain)
        }
        None => match ordinary(c) {
            Some(plain) => plain,
            None => return,
        },
    };
    c.privileged = plain.privileged;
    c.capabilities = plain.capabilities;
    c.identity.no_new_privileges = plain.identity.no_new_privileges;
    c.masked_paths = plain.masked_paths;
    c.readonly_paths = plain.readonly_paths;
    c.devices = plain.devices;
    c.cgroup.writable = plain.cgroup.writable;
    if c.seccomp.get() == Some(&Seccomp::Disabled) {
        c.seccomp = plain.seccomp;
    }
    if c.apparmor.get() == Some(&AppArmor::Unconfined) {
        c.apparmor = plain.apparmor;
    }
    if c.selinux.get() == Some(&SeLinux::Unconfined) {
        c.selinux = plain.selinux;
    }
    c.mounts.retain(|m| !matches!(m.source.get(), Some(MountSource::Kernel(_))));
    c.mounts
        .extend(plain.mounts.into_iter().filter(|m| matches!(m.source.get(), Some(MountSource::Kernel(_)))));
}

/// An ordinary container of the same engine and user, where what was asked for is not known.
fn ordinary(c: &Confinement) -> Option<Confinement> {
    let origin = Origin::assumed("the remedy is made");
    let engine = c.engine.as_ref()?;
    // Asked for with nothing but the user, everything else is the engine's default.
    let request = confinement::Request {
        user: c.identity.uid.value.map(|uid| Fact::known(uid.to_string().into(), origin.clone())),
        refuses_root: c.identity.root.value.map(|root| Fact::known(!root, origin.clone())),
        ..confinement::Request::default()
    };
    Some(Confinement { identity: c.identity.clone(), ..confine(&request, engine, &c.host) })
}

/// What engines write into every configuration; a runtime configuration without an engine gets dockerd's lists, but
/// for what stands for the processors of a host.
fn default_paths(c: &mut Confinement) {
    static DOCKER: LazyLock<Engine> =
        LazyLock::new(|| Engine::of_version(EngineKind::Docker, (29, u32::MAX), None, "docker-29"));
    let of_host = |path: &Arc<str>| c.engine.is_none() && path.contains('*');
    let engine = c.engine.as_deref().unwrap_or(&DOCKER);
    let masked = engine.masked_paths().into_iter().filter(|path| !of_host(path)).collect();
    let readonly = engine.readonly_paths().into();
    let origin = engine.origin();
    c.masked_paths = Fact::known(masked, origin.clone());
    c.readonly_paths = Fact::known(readonly, origin);
}
