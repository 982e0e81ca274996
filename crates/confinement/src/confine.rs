//! From what was asked for to what confines: one [`Request`] for every way of asking an engine for a container
//! (compose, `docker run`, a pod, an API object), and [`confine`], which does to it what that engine does.
//!
//! Where engines differ, the difference is here and nowhere else.

use std::sync::{Arc, LazyLock};

use crate::capability::{Capability, CapabilitySet};
use crate::engine::{Engine, EngineKind, SeccompDefault};
use crate::fact::{Fact, Origin, Truth};
use crate::host::Host;
use crate::mount::{HostPath, Mount, MountSource, Propagation};
use crate::parts::*;
use crate::seccomp;
use crate::subject::Confinement;

/// What a file, command line or API object asks for. `None` and empty lists mean that nothing was said; a fact
/// with an unknown value means that something was said which cannot be read from here.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub image: Option<Fact<Arc<str>>>,
    /// The user of the image's configuration, where it is known; known empty means root.
    pub image_user: Option<Fact<Arc<str>>>,
    pub secrets: Vec<Fact<Arc<str>>>,
    pub setuid_hints: Vec<Fact<Arc<str>>>,
    /// `uid`, `user`, `uid:gid`, as engines read it.
    pub user: Option<Fact<Arc<str>>>,
    /// The primary group, where it is asked for apart from the user (`runAsGroup`).
    pub group: Option<Fact<Arc<str>>>,
    /// `runAsNonRoot: true`: a kubelet refuses to start the container as root.
    pub refuses_root: Option<Fact<bool>>,
    /// Numbers or names.
    pub groups: Vec<Fact<Arc<str>>>,
    pub privileged: Option<Fact<bool>>,
    /// Names in any spelling, `ALL` included.
    pub cap_add: Vec<Fact<Arc<str>>>,
    pub cap_drop: Vec<Fact<Arc<str>>>,
    pub no_new_privileges: Option<Fact<bool>>,
    pub seccomp: Option<Fact<SeccompRequest>>,
    pub apparmor: Option<Fact<AppArmorRequest>>,
    pub selinux: Option<Fact<SeLinuxRequest>>,
    pub system_paths: Option<Fact<SystemPaths>>,
    pub read_only_rootfs: Option<Fact<bool>>,
    pub pid: Option<Fact<NamespaceRequest>>,
    pub net: Option<Fact<NamespaceRequest>>,
    pub ipc: Option<Fact<NamespaceRequest>>,
    pub uts: Option<Fact<NamespaceRequest>>,
    pub cgroup: Option<Fact<NamespaceRequest>>,
    pub user_namespace: Option<Fact<UserNamespaceRequest>>,
    /// Binds, volumes and tmpfs mounts that were asked for; `recursive_read_only` may be left unknown for the
    /// engine's default.
    pub mounts: Vec<Mount>,
    pub devices: Vec<Fact<DeviceRequest>>,
    pub device_rules: Vec<Fact<DeviceRule>>,
    /// GPUs or other devices that a vendor's hook adds.
    pub gpus: Option<Fact<bool>>,
    pub sysctls: Vec<(Arc<str>, Fact<Arc<str>>)>,
    pub cgroup_parent: Option<Fact<Arc<str>>>,
    pub cgroup_writable: Option<Fact<bool>>,
    pub memory: Option<Fact<Option<u64>>>,
    pub cpu: Option<Fact<Option<u64>>>,
    pub pids: Option<Fact<Option<u64>>>,
    pub runtime: Option<Fact<Arc<str>>>,
    /// Networks of the container's own, where `net` does not name a namespace to share: known false for none at all.
    pub attached: Option<Fact<bool>>,
    /// Whether it sits on a network that other containers are on.
    pub shared_segment: Option<Fact<bool>>,
    pub published: Vec<Fact<Arc<str>>>,
    pub control_apis: Vec<Fact<ControlApi>>,
    pub service_account: Option<ServiceAccount>,
    /// What of it confines nothing. Capabilities and the user namespace are taken from the rest of the request.
    pub operation: Operation,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeccompRequest {
    Unconfined,
    /// `RuntimeDefault`, `builtin`, or nothing said where the engine loads a filter by itself.
    EngineDefault,
    Profile {
        name: Arc<str>,
        profile: Arc<seccomp::Profile>,
    },
    /// Named, but not to be read from here; a filter will be loaded.
    Unread(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppArmorRequest {
    Unconfined,
    EngineDefault,
    Named(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SeLinuxRequest {
    Disable,
    Domain(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SystemPaths {
    /// `systempaths=unconfined`, `procMount: Unmasked`, `unmask=ALL`.
    Unconfined,
    /// Podman's `unmask=PATH:…`: taken out of both lists; `*` at the end matches the rest.
    Unmask(Arc<[Arc<str>]>),
    /// Podman's `mask=PATH:…`: added to the masked paths.
    Mask(Arc<[Arc<str>]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceRequest {
    Host,
    Private,
    /// Of another container or of a pod, by the subject's id.
    Container(Arc<str>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserNamespaceRequest {
    Host,
    /// One of its own, with ids of the engine's choosing (`hostUsers: false`, `auto`, `nomap`).
    Private,
    /// Podman's `keep-id`: the invoking user's id is kept, root is not the host's.
    KeepId,
    Maps {
        uid: Arc<[IdRange]>,
        gid: Arc<[IdRange]>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceRequest {
    /// The node on the host.
    pub host: HostPath,
    pub access: DeviceAccess,
    pub kind: Option<DeviceKind>,
    pub major: Option<u32>,
    pub minor: Option<u32>,
    pub mode: Option<u32>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

impl DeviceRequest {
    pub fn path(path: &str) -> DeviceRequest {
        DeviceRequest {
            host: HostPath::new(path),
            access: DeviceAccess::ALL,
            kind: None,
            major: None,
            minor: None,
            mode: None,
            uid: None,
            gid: None,
        }
    }
}

/// What `engine` on `host` makes of `request`.
pub fn confine(request: &Request, engine: &Arc<Engine>, host: &Arc<Host>) -> Confinement {
    let privileged = request.privileged.clone().unwrap_or_else(|| Fact::known(false, engine.origin()));
    let no_new_privileges = no_new_privileges(request, engine, &privileged);
    let identity = identity(request, engine, no_new_privileges);
    let capabilities = capabilities(request, engine, &privileged, &identity);
    let namespaces = namespaces(request, engine, host, &privileged);
    let user_namespace = user_namespace(request, engine);
    let (masked_paths, readonly_paths) = paths(request, engine, &privileged);
    let cgroup = cgroup(request, engine, host, &privileged);
    let mut mounts = engine_mounts(&privileged, &cgroup, engine);
    mounts.reserve_exact(request.mounts.len());
    mounts.extend(request.mounts.iter().map(|m| {
        let mut mount = m.clone();
        if !mount.recursive_read_only.is_known() {
            mount.recursive_read_only = if mount.recursive {
                engine.recursive_read_only(host)
            } else {
                Fact::known(false, mount.origin().clone())
            };
        }
        mount
    }));
    Confinement {
        seccomp: seccomp(request, engine, &privileged),
        apparmor: apparmor(request, engine, host, &privileged),
        selinux: selinux(request, engine, host, &privileged, &namespaces),
        devices: devices(request, engine, &privileged),
        limits: Limits {
            memory: request.memory.clone().unwrap_or_else(|| Fact::known(None, engine.origin())),
            cpu: request.cpu.clone().unwrap_or_else(|| Fact::known(None, engine.origin())),
            pids: request.pids.clone().or_else(|| engine.settings.pids_limit.clone()).unwrap_or_default(),
        },
        network: network(request, engine, &namespaces),
        runtime: runtime(request, engine, host),
        image: Image {
            pinned: request.image.clone().unwrap_or_default().map(|r| r.contains("@sha256:")),
            reference: request.image.clone().unwrap_or_default(),
            secrets: request.secrets.clone(),
            setuid_hints: request.setuid_hints.clone(),
        },
        operation: Arc::new(operation(request)),
        read_only_rootfs: request
            .read_only_rootfs
            .clone()
            .unwrap_or_else(|| Fact::known(false, engine.origin())),
        sysctls: request.sysctls.clone(),
        control_apis: request.control_apis.clone(),
        service_account: request.service_account.clone(),
        measured_writable: Arc::default(),
        unprivileged: (privileged.value == Some(true)).then(|| {
            let asked = Request { privileged: None, ..request.clone() };
            Arc::new(confine(&asked, engine, host))
        }),
        engine: Some(engine.clone()),
        host: host.clone(),
        privileged,
        identity,
        capabilities,
        user_namespace,
        namespaces,
        mounts,
        masked_paths,
        readonly_paths,
        cgroup,
    }
}

/// If `flag` is known, `yes` or `no` by it, each with the flag's origin where the flag is true.
fn by_flag<T>(
    flag: &Fact<bool>,
    yes: impl FnOnce(Origin) -> Fact<T>,
    no: impl FnOnce() -> Fact<T>,
) -> Fact<T> {
    match flag.value {
        Some(true) => yes(flag.origin.clone()),
        Some(false) => no(),
        None => Fact::unknown(flag.origin.clone()),
    }
}

fn no_new_privileges(request: &Request, engine: &Engine, privileged: &Fact<bool>) -> Fact<bool> {
    let stated =
        request.no_new_privileges.clone().unwrap_or_else(|| engine.settings.no_new_privileges.clone());
    if !engine.kind.is_cri() {
        return stated;
    }
    // Kubernetes refuses allowPrivilegeEscalation: false beside privileged or CAP_SYS_ADMIN
    // (pkg/apis/core/validation), so that where both are written the container does not start; what is
    // judged is the container as it would run, with escalation allowed.
    let sys_admin = request
        .cap_add
        .iter()
        .find(|c| c.get().is_some_and(|n| is_all(n) || Capability::parse(n) == Some(Capability::SYS_ADMIN)));
    if privileged.value == Some(true) {
        return Fact::known(false, privileged.origin.clone());
    }
    match sys_admin {
        Some(cap) => Fact::known(false, cap.origin.clone()),
        None => stated,
    }
}

fn identity(request: &Request, engine: &Engine, no_new_privileges: Fact<bool>) -> Identity {
    let stated = request.user.as_ref().filter(|u| u.get().is_none_or(|t| !t.is_empty()));
    // Podman runs a container with `--userns keep-id` and no user as the one who calls it
    // (pkg/specgen/generate/namespaces.go), who is not root: keep-id is for rootless use.
    let kept = request
        .user_namespace
        .as_ref()
        .filter(|u| u.get() == Some(&UserNamespaceRequest::KeepId))
        .map(|u| &u.origin);
    let user = match (stated, &request.image_user) {
        (Some(user), _) => user.clone(),
        (None, Some(user)) if user.get().is_none_or(|t| !t.is_empty()) => user.clone(),
        _ if kept.is_some() => Fact::unknown(kept.cloned().unwrap_or(Origin::Nowhere)),
        (None, Some(user)) => user.map(|_| Arc::from("0")),
        (None, None) => match &request.refuses_root {
            // The image's user is refused when it is root, and its number stays unknown.
            Some(refuses) if refuses.value == Some(true) => Fact::unknown(refuses.origin.clone()),
            _ => Fact::known(
                "0".into(),
                Origin::assumed(
                    "the image's user is not known, and engines run an image without one as root",
                ),
            ),
        },
    };
    let origin = user.origin.clone();
    let fact = |value: Option<u32>| Fact { value, origin: origin.clone() };
    let (uid, root, gid) = match user.get() {
        Some(text) => {
            let (name, group) = match text.split_once(':') {
                Some((name, group)) => (name.trim(), Some(group.trim())),
                None => (text.trim(), None),
            };
            let uid = if name == "root" || name.is_empty() { Some(0) } else { name.parse::<u32>().ok() };
            let gid = match group {
                Some("root") => Some(0),
                Some(number) => number.parse::<u32>().ok(),
                // Without a group engines take the user's own from the image's passwd file, and group 0 for a bare number that is not there.
                None if uid == Some(0) => Some(0),
                None => None,
            };
            // A user with a name other than root is not root in any image worth the name; one with a number is what it says.
            (fact(uid), Fact::known(uid == Some(0), origin.clone()), fact(gid))
        }
        None => {
            let root = match &request.refuses_root {
                Some(refuses) if refuses.value == Some(true) => Fact::known(false, refuses.origin.clone()),
                _ if kept == Some(&origin) => Fact::known(false, origin.clone()),
                _ => Fact::unknown(origin.clone()),
            };
            (fact(None), root, fact(None))
        }
    };
    let gid = match &request.group {
        Some(group) => {
            let number = group.get().and_then(|g| if &**g == "root" { Some(0) } else { g.parse().ok() });
            Fact { value: number, origin: group.origin.clone() }
        }
        None => gid,
    };
    let mut groups: Vec<u32> = Vec::new();
    let mut names: Vec<Arc<str>> = Vec::new();
    let mut group_origin = engine.origin();
    for group in &request.groups {
        group_origin = group.origin.clone();
        match group.get().map(|g| g.trim().parse::<u32>()) {
            Some(Ok(number)) => groups.push(number),
            Some(Err(_)) => names.extend(group.get().cloned()),
            None => {}
        }
    }
    // `1000:docker`: a primary group by name.
    let primary = user.get().and_then(|text| text.split_once(':')).map(|(_, group)| group.trim());
    if let Some(name) = primary
        && request.group.is_none()
        && !name.is_empty()
        && name != "root"
        && name.parse::<u32>().is_err()
    {
        if request.groups.is_empty() {
            group_origin = origin.clone();
        }
        names.push(name.into());
    }
    groups.sort_unstable();
    groups.dedup();
    let setuid_programs = match request.setuid_hints.first() {
        Some(hint) => Fact::known(true, hint.origin.clone()),
        None => Fact::known(
            false,
            Origin::assumed("the set-user-ID programs of the image are taken to hand out nothing"),
        ),
    };
    Identity {
        uid,
        root,
        gid,
        groups: Fact::known(groups.into(), group_origin),
        group_names: names.into(),
        no_new_privileges,
        setuid_programs,
    }
}

fn is_all(name: &str) -> bool {
    let name = name.trim();
    name.eq_ignore_ascii_case("all") || name.eq_ignore_ascii_case("cap_all")
}

/// The bounding set, and for Podman the set that a non-root user is given outright.
fn capabilities(
    request: &Request,
    engine: &Engine,
    privileged: &Fact<bool>,
    identity: &Identity,
) -> Capabilities {
    let any_unknown = request.cap_add.iter().chain(&request.cap_drop).find(|c| !c.is_known());
    let named = |list: &[Fact<Arc<str>>]| {
        CapabilitySet::of(
            &list.iter().filter_map(|c| c.get()).filter_map(|n| Capability::parse(n)).collect::<Vec<_>>(),
        )
    };
    let has_all = |list: &[Fact<Arc<str>>]| list.iter().any(|c| c.get().is_some_and(|n| is_all(n)));
    let (adds, drops) = (named(&request.cap_add), named(&request.cap_drop));
    let (add_all, drop_all) = (has_all(&request.cap_add), has_all(&request.cap_drop));
    let default = engine.default_capabilities();

    let asked = match engine.kind {
        // moby daemon/pkg/oci/caps/utils.go, TweakCapabilities: an ALL among the adds wins, then an ALL among
        // the drops; otherwise defaults less drops, and the adds on top even of a drop of the same name.
        EngineKind::Docker if add_all => engine.all_capabilities().minus(drops),
        EngineKind::Docker if drop_all => adds,
        EngineKind::Docker => default.minus(drops).union(adds),
        // containers/common pkg/capabilities, MergeCapabilities: ALL in both is refused, adds of ALL take
        // the whole bounding set, drops of ALL leave the adds.
        EngineKind::Podman if drop_all => adds,
        EngineKind::Podman if add_all => CapabilitySet::ALL.minus(drops),
        EngineKind::Podman => default.union(adds).minus(drops),
        // containerd internal/cri/server/container_create.go and CRI-O server/container_create_linux.go:
        // add ALL, drop ALL, then each add, then each drop.
        EngineKind::Containerd | EngineKind::Crio => {
            let base = if add_all { CapabilitySet::ALL } else { default };
            let base = if drop_all { CapabilitySet::EMPTY } else { base };
            base.union(adds).minus(drops)
        }
    };
    let origin = request
        .cap_add
        .first()
        .or(request.cap_drop.first())
        .map_or_else(|| engine.origin(), |c| c.origin.clone());
    let bounding = by_flag(
        privileged,
        |origin| Fact::known(engine.all_capabilities(), origin),
        || match any_unknown {
            Some(unknown) => Fact::unknown(unknown.origin.clone()),
            None => Fact::known(asked, origin),
        },
    );
    // Podman hands what was added to a non-root user as ambient capabilities, privileged or not
    // (pkg/specgen/generate/security_linux.go); Docker and the CRI engines set none (WithoutAmbientCaps).
    let ambient = match (engine.kind, identity.root.value) {
        (EngineKind::Podman, Some(false)) => {
            let handed = if add_all { CapabilitySet::ALL } else { adds };
            if privileged.value == Some(true) { handed } else { handed.minus(drops) }
        }
        _ => CapabilitySet::EMPTY,
    };
    let sets = |bounding: CapabilitySet| {
        let applied = AppliedCapabilities {
            effective: bounding,
            permitted: bounding,
            inheritable: ambient,
            bounding,
            ambient,
        };
        let root = identity.root.value?;
        Some(Capabilities::after_exec(&applied, root, identity.no_new_privileges.value.unwrap_or(false)))
    };
    // When effective is empty because the user is not root, the user is the reason.
    let after = bounding.value.and_then(sets);
    let effective_origin = if identity.root.value == Some(false) {
        identity.root.origin.clone()
    } else {
        bounding.origin.clone()
    };
    let set = |value: Option<CapabilitySet>, origin: &Origin| Fact { value, origin: origin.clone() };
    Capabilities {
        effective: set(after.map(|a| a.effective), &effective_origin),
        permitted: set(after.map(|a| a.permitted), &effective_origin),
        inheritable: Fact::known(ambient, bounding.origin.clone()),
        ambient: set(after.map(|a| a.ambient), &bounding.origin),
        bounding,
    }
}

fn namespaces(request: &Request, engine: &Engine, host: &Host, privileged: &Fact<bool>) -> Namespaces {
    let resolve = |asked: &Option<Fact<NamespaceRequest>>, default: Fact<Namespace>| match asked {
        None => default,
        Some(fact) => fact.map(|r| match r {
            NamespaceRequest::Host => Namespace::Host,
            NamespaceRequest::Private => Namespace::Own,
            NamespaceRequest::Container(id) => Namespace::Container(id.clone()),
        }),
    };
    let own = || Fact::known(Namespace::Own, engine.origin());
    let net = resolve(&request.net, own());
    // With the host's network containerd leaves a pod in the host's UTS namespace too
    // (internal/cri/server/podsandbox/sandbox_run_linux.go); CRI-O always makes one (server/sandbox_run_linux.go,
    // configureGeneratorForSandboxNamespaces), and so do Docker and Podman.
    let uts_default = match (engine.kind, net.get()) {
        (EngineKind::Containerd, Some(Namespace::Host)) => net.clone(),
        _ => own(),
    };
    // A private cgroup namespace is the default on cgroup v2 only (moby daemon/container_operations_unix.go,
    // containers/common pkg/config/default.go; measured with Podman 4.3 on version 1), under the CRI engines not
    // where privileged.
    let cgroup_version = &host.cgroup_version;
    let cgroup_default = match (&engine.settings.default_cgroup_namespace_host, engine.kind) {
        (Some(set), _) => set.map(|h| if *h { Namespace::Host } else { Namespace::Own }),
        (None, kind) => {
            let host_wins = kind.is_cri() && privileged.value == Some(true);
            if host_wins {
                Fact::known(Namespace::Host, privileged.origin.clone())
            } else {
                cgroup_version.map(|v| if *v == 2 { Namespace::Own } else { Namespace::Host })
            }
        }
    };
    Namespaces {
        pid: resolve(&request.pid, own()),
        ipc: resolve(&request.ipc, own()),
        uts: resolve(&request.uts, uts_default),
        cgroup: resolve(&request.cgroup, cgroup_default),
        // Only moby of 2026 makes a time namespace; its offsets are of no consequence to any condition here.
        time: Fact::known(Namespace::Host, engine.origin()),
        net,
    }
}

fn user_namespace(request: &Request, engine: &Engine) -> UserNamespace {
    let known = |initial: bool, origin: &Origin| UserNamespace {
        initial: Fact::known(initial, origin.clone()),
        uid_map: if initial {
            Fact::known(Arc::from([IdRange::IDENTITY]), origin.clone())
        } else {
            Fact::unknown(origin.clone())
        },
        gid_map: if initial {
            Fact::known(Arc::from([IdRange::IDENTITY]), origin.clone())
        } else {
            Fact::unknown(origin.clone())
        },
        root_is_host_root: Fact::known(initial, origin.clone()),
    };
    // An engine that itself runs in a user namespace cannot leave it, whatever a container asks for.
    if engine.settings.rootless.value == Some(true) {
        return known(false, &engine.settings.rootless.origin);
    }
    match &request.user_namespace {
        Some(asked) => match asked.get() {
            Some(UserNamespaceRequest::Host) => known(true, &asked.origin),
            Some(UserNamespaceRequest::Private | UserNamespaceRequest::KeepId) => known(false, &asked.origin),
            Some(UserNamespaceRequest::Maps { uid, gid }) => UserNamespace {
                initial: Fact::known(false, asked.origin.clone()),
                root_is_host_root: Fact::known(to_host_id(uid, 0) == Some(0), asked.origin.clone()),
                uid_map: Fact::known(uid.clone(), asked.origin.clone()),
                gid_map: Fact::known(gid.clone(), asked.origin.clone()),
            },
            None => UserNamespace::default(),
        },
        None => match engine.settings.userns_remap.value {
            Some(remap) => known(!remap, &engine.settings.userns_remap.origin),
            None => UserNamespace::default(),
        },
    }
}

type Paths = Fact<Arc<[Arc<str>]>>;

fn paths(request: &Request, engine: &Engine, privileged: &Fact<bool>) -> (Paths, Paths) {
    let [masked, readonly] = engine.default_paths();
    let default = |list: Arc<[Arc<str>]>| Fact::known(list, engine.origin());
    if privileged.value == Some(true) {
        let none = || Fact::known(Arc::from([]), privileged.origin.clone());
        return (none(), none());
    }
    match &request.system_paths {
        None => (default(masked), default(readonly)),
        Some(asked) => match asked.get() {
            None => (Fact::unknown(asked.origin.clone()), Fact::unknown(asked.origin.clone())),
            Some(SystemPaths::Unconfined) => {
                let none = || Fact::known(Arc::from([]), asked.origin.clone());
                (none(), none())
            }
            Some(SystemPaths::Unmask(list)) => {
                let keep = |path: &Arc<str>| {
                    !list.iter().any(|pattern| match pattern.strip_suffix('*') {
                        Some(start) => path.starts_with(start),
                        None => path == pattern,
                    })
                };
                let rest = |all: &[Arc<str>]| {
                    let kept = all.iter().filter(|path| keep(path)).cloned().collect::<Arc<[_]>>();
                    Fact::known(kept, asked.origin.clone())
                };
                (rest(&masked), rest(&readonly))
            }
            Some(SystemPaths::Mask(list)) => {
                let all = masked.iter().chain(list.iter()).cloned().collect::<Arc<[_]>>();
                (Fact::known(all, asked.origin.clone()), default(readonly))
            }
        },
    }
}

fn cgroup(request: &Request, engine: &Engine, host: &Host, privileged: &Fact<bool>) -> Cgroup {
    // moby mounts it writable for privileged containers, and for all where the daemon remaps users, those with
    // `--userns host` too (daemon/oci_linux.go, WithMounts).
    let remap = &engine.settings.userns_remap;
    let writable = match &request.cgroup_writable {
        Some(asked) => asked.clone(),
        None if engine.kind == EngineKind::Docker && remap.value == Some(true) => remap.clone(),
        None => by_flag(privileged, |o| Fact::known(true, o), || Fact::known(false, engine.origin())),
    };
    Cgroup {
        version: host.cgroup_version.clone(),
        writable,
        parent: request.cgroup_parent.clone().or_else(|| engine.settings.cgroup_parent.clone()),
    }
}

/// `/proc` writable, `/sys` and `/sys/fs/cgroup` read-only unless privileged: the same in all four engines.
fn engine_mounts(privileged: &Fact<bool>, cgroup: &Cgroup, engine: &Engine) -> Vec<Mount> {
    // Every container has these three; their names are kept once.
    static NAMES: LazyLock<[[Arc<str>; 2]; 3]> = LazyLock::new(|| {
        let names = |kind: &str, target: &str| [kind.into(), target.into()];
        [names("proc", "/proc"), names("sysfs", "/sys"), names("cgroup", "/sys/fs/cgroup")]
    });
    let [proc, sysfs, cgroupfs] = &*NAMES;
    let origin = engine.origin();
    let pseudo = |[kind, target]: &[Arc<str>; 2], read_only: Fact<bool>| Mount {
        target: target.clone(),
        source: Fact::known(MountSource::Kernel(kind.clone()), origin.clone()),
        recursive_read_only: Fact::known(false, origin.clone()),
        recursive: false,
        propagation: Fact::known(Propagation::Private, origin.clone()),
        nosuid: true,
        nodev: true,
        noexec: true,
        relabelled: false,
        read_only,
    };
    let sys_read_only = by_flag(privileged, |o| Fact::known(false, o), || Fact::known(true, origin.clone()));
    vec![
        pseudo(proc, Fact::known(false, origin.clone())),
        pseudo(sysfs, sys_read_only),
        pseudo(cgroupfs, cgroup.writable.map(|w| !w)),
    ]
}

fn seccomp(request: &Request, engine: &Engine, privileged: &Fact<bool>) -> Fact<Seccomp> {
    let builtin = |origin: Origin| Fact::known(Seccomp::Builtin(engine.seccomp()), origin);
    let off = |origin: Origin| Fact::known(Seccomp::Disabled, origin);
    if privileged.value == Some(true) && !keeps_filter_when_privileged(request, engine) {
        return off(privileged.origin.clone());
    }
    match &request.seccomp {
        Some(asked) => match asked.get() {
            None => Fact::unknown(asked.origin.clone()),
            Some(SeccompRequest::Unconfined) => off(asked.origin.clone()),
            Some(SeccompRequest::EngineDefault) => builtin(asked.origin.clone()),
            Some(SeccompRequest::Profile { name, profile }) => Fact::known(
                Seccomp::Profile { name: name.clone(), profile: profile.clone() },
                asked.origin.clone(),
            ),
            Some(SeccompRequest::Unread(_)) => Fact::known(Seccomp::Opaque, asked.origin.clone()),
        },
        None if privileged.value.is_none() => Fact::unknown(privileged.origin.clone()),
        None if engine.kind.is_cri() => match engine.settings.kubelet_seccomp_default.value {
            Some(true) => builtin(engine.settings.kubelet_seccomp_default.origin.clone()),
            Some(false) => off(engine.settings.kubelet_seccomp_default.origin.clone()),
            None => Fact::unknown(engine.settings.kubelet_seccomp_default.origin.clone()),
        },
        None => match &engine.settings.seccomp_profile {
            None => builtin(engine.origin()),
            Some(set) => match set.get() {
                Some(SeccompDefault::Unconfined) => off(set.origin.clone()),
                Some(SeccompDefault::Profile { name, profile }) => Fact::known(
                    Seccomp::Profile { name: name.clone(), profile: profile.clone() },
                    set.origin.clone(),
                ),
                Some(SeccompDefault::Unread(_)) => Fact::known(Seccomp::Opaque, set.origin.clone()),
                None => Fact::unknown(set.origin.clone()),
            },
        },
    }
}

/// Whether a privileged container has the filter that it asks for. Docker since 27 (moby#47500) and Podman load a
/// profile that is named; Podman takes the names of its default profile for none (security_linux.go). containerd
/// loads none (internal/cri/sputil), and CRI-O none unless its `privileged_seccomp_profile` says so (cri-o#9190).
fn keeps_filter_when_privileged(request: &Request, engine: &Engine) -> bool {
    const PODMAN_DEFAULT: [&str; 2] = ["/usr/share/containers/seccomp.json", "/etc/containers/seccomp.json"];
    let named = match request.seccomp.as_ref() {
        None => return false,
        Some(asked) => match asked.get() {
            // What cannot be read may name one.
            None => None,
            Some(SeccompRequest::Profile { name, .. } | SeccompRequest::Unread(name)) => Some(name),
            Some(SeccompRequest::Unconfined | SeccompRequest::EngineDefault) => return false,
        },
    };
    match engine.kind {
        EngineKind::Docker => engine.at_least(27, 0),
        EngineKind::Podman => named.is_none_or(|name| !PODMAN_DEFAULT.contains(&&**name)),
        EngineKind::Containerd | EngineKind::Crio => false,
    }
}

fn has_lsm(host: &Host, name: &str) -> Fact<bool> {
    host.lsms.map(|list| list.iter().any(|l| &**l == name))
}

fn apparmor(request: &Request, engine: &Engine, host: &Host, privileged: &Fact<bool>) -> Fact<AppArmor> {
    // What was asked for decides before the host does: unconfined is unconfined with or without AppArmor.
    let asked = request.apparmor.as_ref();
    if let Some(asked) = asked
        && asked.get() == Some(&AppArmorRequest::Unconfined)
    {
        return Fact::known(AppArmor::Unconfined, asked.origin.clone());
    }
    let named = asked.and_then(|a| match a.get() {
        Some(AppArmorRequest::Named(name)) => Some((name.clone(), a.origin.clone())),
        _ => None,
    });
    let engine_profile = |origin: Origin| {
        let (name, template) = engine.apparmor();
        Fact::known(AppArmor::Profile { name: name.into(), enforcing: true, template }, origin)
    };
    // CRI-O sets no profile for a privileged container, whatever it asks for (server/container_create.go).
    if privileged.value == Some(true) && (named.is_none() || engine.kind == EngineKind::Crio) {
        return Fact::known(AppArmor::Unconfined, privileged.origin.clone());
    }
    // Rootless engines cannot load a profile, and use one only where it is loaded already.
    let present = has_lsm(host, "apparmor");
    match present.value {
        Some(false) => Fact::known(AppArmor::Absent, present.origin),
        None => Fact::unknown(Origin::Nowhere),
        Some(true) => match named {
            Some((name, origin)) => {
                let (default_name, template) = engine.apparmor();
                let template = if &*name == default_name { template } else { AppArmorTemplate::Custom };
                Fact::known(AppArmor::Profile { name, enforcing: true, template }, origin)
            }
            None if asked.is_some_and(|a| !a.is_known()) => Fact::unknown(Origin::Nowhere),
            None => engine_profile(engine.origin()),
        },
    }
}

/// What lifts a container's SELinux label by itself: being privileged, and for all engines but containerd the
/// host's PID or IPC namespace (moby daemon/create.go, generateSecurityOpt; Podman setLabelOpts; CRI-O
/// configureSELinuxLabels, which does so for the host's network too unless `hostnetwork_disable_selinux` is off).
fn label_lifted(engine: &Engine, privileged: &Fact<bool>, namespaces: &Namespaces) -> Option<Origin> {
    if privileged.value == Some(true) {
        return Some(privileged.origin.clone());
    }
    let lifting: &[&Fact<Namespace>] = match engine.kind {
        EngineKind::Docker | EngineKind::Podman => &[&namespaces.pid, &namespaces.ipc],
        EngineKind::Crio => &[&namespaces.pid, &namespaces.ipc, &namespaces.net],
        EngineKind::Containerd => &[],
    };
    let host = lifting.iter().find(|n| n.get() == Some(&Namespace::Host));
    host.map(|n| n.origin.clone())
}

fn selinux(
    request: &Request,
    engine: &Engine,
    host: &Host,
    privileged: &Fact<bool>,
    namespaces: &Namespaces,
) -> Fact<SeLinux> {
    let confined = |origin: Origin| Fact::known(SeLinux::Confined { domain: "container_t".into() }, origin);
    let asked = request.selinux.as_ref();
    if let Some(asked) = asked
        && asked.get() == Some(&SeLinuxRequest::Disable)
    {
        return Fact::known(SeLinux::Unconfined, asked.origin.clone());
    }
    let domain = asked.and_then(|a| match a.get() {
        Some(SeLinuxRequest::Domain(domain)) => Some((domain.clone(), a.origin.clone())),
        _ => None,
    });
    // Docker's `label` option wins over both; elsewhere they win over it.
    let stays = engine.kind == EngineKind::Docker && domain.is_some();
    if let Some(origin) = label_lifted(engine, privileged, namespaces).filter(|_| !stays) {
        return Fact::known(SeLinux::Unconfined, origin);
    }
    let enabled = &engine.settings.selinux_enabled;
    if enabled.value == Some(false) {
        return Fact::known(SeLinux::Absent, enabled.origin.clone());
    }
    let present = has_lsm(host, "selinux");
    match (present.value, host.selinux_enforcing.value) {
        (Some(false), _) => Fact::known(SeLinux::Absent, present.origin),
        (Some(true), Some(false)) => Fact::known(SeLinux::Permissive, host.selinux_enforcing.origin.clone()),
        (Some(true), Some(true)) => match domain {
            None => confined(engine.origin()),
            Some((domain, origin)) => Fact::known(selinux_domain(&domain), origin),
        },
        _ => match domain {
            // An unconfined domain is unconfined whatever the host runs.
            Some((domain, origin)) if selinux_domain(&domain) == SeLinux::Unconfined => {
                Fact::known(SeLinux::Unconfined, origin)
            }
            _ => Fact::unknown(Origin::Nowhere),
        },
    }
}

/// What a domain (`type` of an SELinux label) stands for, by container-selinux's container.te.
pub fn selinux_domain(domain: &str) -> SeLinux {
    match domain {
        "spc_t" | "unconfined_t" | "container_runtime_t" | "super_t" => SeLinux::Unconfined,
        "container_t"
        | "container_init_t"
        | "container_kvm_t"
        | "container_engine_t"
        | "svirt_lxc_net_t"
        | "container_userns_t"
        | "container_logreader_t"
        | "container_device_t" => SeLinux::Confined { domain: domain.into() },
        other => SeLinux::Custom { domain: other.into() },
    }
}

/// `c *:* m`, `b *:* m` and the nodes every container has: runc libcontainer/specconv `AllowedDevices`; moby
/// names the same and denies fuse again.
pub fn default_device_rules() -> Vec<DeviceRule> {
    let rule = |allow, kind, major: Option<u32>, minor: Option<u32>, access: &str| DeviceRule {
        allow,
        kind,
        major,
        minor,
        access: DeviceAccess::parse(access).unwrap_or_default(),
        node: None,
    };
    use DeviceKind::{All, Block, Char};
    let mut rules = vec![
        rule(false, All, None, None, "rwm"),
        rule(true, Char, None, None, "m"),
        rule(true, Block, None, None, "m"),
    ];
    for (major, minor) in [
        (1, Some(3)),
        (1, Some(5)),
        (1, Some(7)),
        (1, Some(8)),
        (1, Some(9)),
        (5, Some(0)),
        // The console: in moby's list alone (daemon/pkg/oci/defaults.go), measured with 20.10; no condition asks.
        (5, Some(1)),
        (5, Some(2)),
        (136, None),
        // TUN and TAP: in runc's list but for releases 1.2.0 to 1.2.3 (opencontainers/runc#3468, #4556), measured
        // with 1.1.5.
        (10, Some(200)),
    ] {
        rules.push(rule(true, Char, Some(major), minor, "rwm"));
    }
    rules.push(rule(false, Char, Some(10), Some(229), "rwm"));
    rules
}

fn devices(request: &Request, engine: &Engine, privileged: &Fact<bool>) -> Devices {
    if privileged.value == Some(true) {
        let all = DeviceRule {
            allow: true,
            kind: DeviceKind::All,
            major: None,
            minor: None,
            access: DeviceAccess::ALL,
            node: None,
        };
        return Devices {
            nodes: request.devices.iter().map(node).collect(),
            all_host_nodes: Fact::known(true, privileged.origin.clone()),
            rules: Fact::known(Arc::from([all.clone()]), privileged.origin.clone()),
            asked: vec![Fact::known(all, privileged.origin.clone())],
        };
    }
    let mut asked: Vec<Fact<DeviceRule>> = Vec::new();
    for device in &request.devices {
        asked.push(device.map(|d| DeviceRule {
            allow: true,
            kind: d.kind.unwrap_or(DeviceKind::All),
            major: d.major,
            minor: d.minor,
            access: d.access,
            node: Some(d.host.clone()),
        }));
    }
    asked.extend(request.device_rules.iter().cloned());
    // Most containers ask for no device, and share one list.
    static DEFAULT: LazyLock<Arc<[DeviceRule]>> = LazyLock::new(|| default_device_rules().into());
    let rules = if asked.is_empty() {
        DEFAULT.clone()
    } else {
        DEFAULT.iter().chain(asked.iter().filter_map(|r| r.get())).cloned().collect()
    };
    Devices {
        nodes: request.devices.iter().map(node).collect(),
        all_host_nodes: by_flag(privileged, |o| Fact::known(true, o), || Fact::known(false, engine.origin())),
        rules: match asked.iter().find(|r| !r.is_known()) {
            Some(unknown) => Fact::unknown(unknown.origin.clone()),
            None => Fact::known(rules, engine.origin()),
        },
        asked,
    }
}

fn node(device: &Fact<DeviceRequest>) -> Fact<DeviceNode> {
    device.map(|d| DeviceNode {
        host: d.host.clone(),
        kind: d.kind,
        major: d.major,
        minor: d.minor,
        mode: d.mode,
        uid: d.uid,
        gid: d.gid,
    })
}

fn network(request: &Request, engine: &Engine, namespaces: &Namespaces) -> Network {
    let own = namespaces.net.get() == Some(&Namespace::Own);
    let attached = request.attached.clone().unwrap_or_else(|| Fact::known(true, engine.origin()));
    let shared_segment = match &request.shared_segment {
        Some(asked) => asked.clone(),
        // Docker's and Podman's bridge and most CNI bridges put containers on one segment; whether a CNI does is
        // not for a manifest to say.
        None if own && engine.kind.is_cri() => Fact::unknown(engine.origin()),
        None if own => attached.clone(),
        None => Fact::known(true, namespaces.net.origin.clone()),
    };
    Network { attached, shared_segment, published: request.published.clone() }
}

fn operation(request: &Request) -> Operation {
    let mut operation = request.operation.clone();
    operation.capabilities = request.cap_add.clone();
    let asked = request.user_namespace.as_ref();
    operation.host_users = asked.map(|asked| asked.map(|asked| *asked == UserNamespaceRequest::Host));
    operation
}

fn runtime(request: &Request, engine: &Engine, host: &Host) -> Fact<Runtime> {
    if let Some(asked) = &request.runtime {
        return asked.map(|name| Runtime::parse(name));
    }
    if let Some(set) = &engine.settings.default_runtime {
        return set.map(|name| Runtime::parse(name));
    }
    if host.default_runtime.is_known() {
        return host.default_runtime.clone();
    }
    let runtime = match engine.kind {
        EngineKind::Docker | EngineKind::Containerd => Runtime::Runc,
        EngineKind::Podman => Runtime::Crun,
        // crun since 1.31.
        EngineKind::Crio if engine.at_least(1, 31) => Runtime::Crun,
        EngineKind::Crio => Runtime::Runc,
    };
    Fact::known(runtime, engine.origin())
}

/// Whether every known fact agrees that the container runs with the host's ids, as root: the common case.
pub fn is_host_root(confinement: &Confinement) -> Truth {
    let root = Truth::from(confinement.identity.root.value);
    root.and(Truth::from(confinement.user_namespace.root_is_host_root.value))
}
