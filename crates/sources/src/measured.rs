//! What a kernel shows of one container, and what that says of its confinement.
//!
//! [`Observed`] is filled from outside (`process`, out of `/proc/PID`) or from inside (`node`, out of a facts file);
//! [`overlay`] puts it in the place of what an engine's words led to, since the kernel has the last word. Where
//! the two contradict each other, the difference is a note.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::Arc;

use confinement::{
    AppArmor, AppArmorTemplate, CapabilitySet, Confinement, DeviceAccess, DeviceKind, DeviceNode, DeviceRule,
    Engine, EngineKind, Fact, HostPath, IdRange, Mount, MountSource, Namespace, NamespaceKind, Origin,
    Propagation, SeLinux, Seccomp,
};

use crate::process::mountinfo::{HostPaths, MountEntry, MountTable, nearest_above};

/// Everything is `None` where it was not read.
#[derive(Clone, Debug, Default)]
pub struct Observed {
    /// Where the credentials were read: `/proc/812`.
    pub credentials_from: Arc<str>,
    /// Where namespaces, mounts and devices were read: those of the container's first process.
    pub container_from: Arc<str>,
    pub credentials: Option<Credentials>,
    /// Whether each namespace is the host's.
    pub host_namespaces: BTreeMap<NamespaceKind, bool>,
    /// Whether it is in the initial user namespace.
    pub initial_user_namespace: Option<bool>,
    /// With the host's ids outside.
    pub uid_map: Option<Vec<IdRange>>,
    pub gid_map: Option<Vec<IdRange>>,
    pub mounts: Option<MountTable>,
    pub label: Option<Label>,
    /// Nodes in the container's `/dev` beyond those that every container has.
    pub devices: Option<Vec<DeviceNode>>,
    /// Whether they are all the host has.
    pub all_host_devices: Option<bool>,
    /// The rules of the device cgroup where the kernel lists them (version 1).
    pub device_rules: Option<Vec<DeviceRule>>,
    /// The filter that the runtime was told to load, and the file that says so.
    pub seccomp_profile: Option<(Arc<str>, Arc<confinement::seccomp::Profile>)>,
    pub memory: Option<Option<u64>>,
    pub cpu: Option<Option<u64>>,
    pub pids: Option<Option<u64>>,
    /// Whether it has a network interface of use.
    pub attached: Option<bool>,
}

/// Credentials of one process, ids as its own user namespace has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub inheritable: CapabilitySet,
    pub permitted: CapabilitySet,
    pub effective: CapabilitySet,
    pub bounding: CapabilitySet,
    pub ambient: CapabilitySet,
    pub no_new_privileges: bool,
    /// `Seccomp:` of proc_pid_status(5): 0 none, 1 strict, 2 filter.
    pub seccomp_mode: u32,
}

/// What the LSM calls the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// No LSM of this kernel labels processes.
    NoModule,
    /// `/proc/PID/attr/current` as it stands.
    Text(String),
}

/// What of the host the interpretation of a container depends on.
pub struct HostView<'a> {
    pub paths: &'a HostPaths,
    /// What the host itself can never give: the kernel's set less the host's own bounding set.
    pub bounding: CapabilitySet,
    /// Paths of the engines' lists that this kernel does not have, where there is nothing to mask.
    pub absent: &'a ListedPaths,
    /// The device of the mount at the host's `/sys/fs/cgroup`.
    pub cgroup_device: Option<&'a str>,
}

/// Puts what was observed into `confinement`; returns where it contradicts what stood there.
pub fn overlay(confinement: &mut Confinement, observed: &Observed, host: &HostView<'_>) -> Vec<String> {
    let mut settle = Settle { notes: Vec::new() };
    identity(confinement, observed, host, &mut settle);
    user_namespace(confinement, observed, &mut settle);
    namespaces(confinement, observed, &mut settle);
    seccomp(confinement, observed, &mut settle);
    label(confinement, observed);
    if let Some(table) = &observed.mounts {
        mounts(confinement, table, observed, host);
    }
    devices(confinement, observed);
    limits(confinement, observed);
    settle.notes
}

/// Replaces facts and keeps account of contradictions.
struct Settle {
    notes: Vec<String>,
}

impl Settle {
    fn settle<T: PartialEq>(
        &mut self,
        what: &str,
        fact: &mut Fact<T>,
        measured: Fact<T>,
        show: impl Fn(&T) -> String,
    ) {
        if let (Some(stated), Some(found)) = (fact.get(), measured.get())
            && stated != found
            && !matches!(fact.origin, Origin::Assumption { .. } | Origin::Nowhere)
        {
            let (stated, found) = (show(stated), show(found));
            self.notes.push(format!("{what}: {stated} was to be expected, the kernel shows {found}"));
        }
        *fact = measured;
    }
}

fn shown(value: &impl Display) -> String {
    value.to_string()
}

fn identity(confinement: &mut Confinement, observed: &Observed, host: &HostView<'_>, settle: &mut Settle) {
    let Some(found) = &observed.credentials else { return };
    let origin = |field: &str| Origin::measured(format!("{}/status: {field}", observed.credentials_from));
    let identity = &mut confinement.identity;
    settle.settle("user id", &mut identity.uid, Fact::known(found.uid, origin("Uid")), shown);
    identity.root = Fact::known(found.uid == 0, origin("Uid"));
    identity.gid = Fact::known(found.gid, origin("Gid"));
    let mut groups = found.groups.clone();
    groups.sort_unstable();
    groups.dedup();
    identity.groups = Fact::known(groups.into(), origin("Groups"));
    identity.group_names = Arc::from([]);
    let measured = Fact::known(found.no_new_privileges, origin("NoNewPrivs"));
    settle.settle("no_new_privs", &mut identity.no_new_privileges, measured, shown);

    let sets = &mut confinement.capabilities;
    // Bits that the host's own processes lack are no contradiction: no container there could have them.
    sets.bounding = sets.bounding.map(|s| CapabilitySet(s.0 & host.bounding.0));
    let measured = Fact::known(found.bounding, origin("CapBnd"));
    settle.settle("bounding set", &mut sets.bounding, measured, shown);
    sets.effective = Fact::known(found.effective, origin("CapEff"));
    sets.permitted = Fact::known(found.permitted, origin("CapPrm"));
    sets.inheritable = Fact::known(found.inheritable, origin("CapInh"));
    sets.ambient = Fact::known(found.ambient, origin("CapAmb"));
}

fn user_namespace(confinement: &mut Confinement, observed: &Observed, settle: &mut Settle) {
    let from = &observed.container_from;
    let namespace = &mut confinement.user_namespace;
    if let Some(initial) = observed.initial_user_namespace {
        let measured = Fact::known(initial, Origin::measured(format!("{from}/ns/user")));
        settle.settle("initial user namespace", &mut namespace.initial, measured, shown);
    }
    if let Some(map) = &observed.uid_map {
        let origin = Origin::measured(format!("{from}/uid_map"));
        namespace.root_is_host_root = Fact::known(confinement::to_host_id(map, 0) == Some(0), origin.clone());
        namespace.uid_map = Fact::known(map.as_slice().into(), origin);
    }
    if let Some(map) = &observed.gid_map {
        let origin = Origin::measured(format!("{from}/gid_map"));
        namespace.gid_map = Fact::known(map.as_slice().into(), origin);
    }
}

fn namespaces(confinement: &mut Confinement, observed: &Observed, settle: &mut Settle) {
    for (kind, is_host) in &observed.host_namespaces {
        let origin = Origin::measured(format!("{}/ns/{}", observed.container_from, kind.name()));
        let fact = confinement.namespaces.get_mut(*kind);
        // Which neighbour shares it is the reader's to know; here only the host is told from the others.
        let found = match (fact.get(), is_host) {
            (_, true) => Namespace::Host,
            (Some(Namespace::Container(other)), false) => Namespace::Container(other.clone()),
            (_, false) => Namespace::Own,
        };
        let show = |n: &Namespace| match n {
            Namespace::Host => "the host's".to_owned(),
            Namespace::Own => "its own".to_owned(),
            Namespace::Container(other) => format!("that of {other}"),
        };
        settle.settle(&format!("{} namespace", kind.name()), fact, Fact::known(found, origin), show);
    }
}

fn seccomp(confinement: &mut Confinement, observed: &Observed, settle: &mut Settle) {
    let Some(credentials) = &observed.credentials else { return };
    let origin = Origin::measured(format!("{}/status: Seccomp", observed.credentials_from));
    if credentials.seccomp_mode == 0 {
        settle.settle(
            "seccomp",
            &mut confinement.seccomp,
            Fact::known(Seccomp::Disabled, origin),
            |s| match s {
                Seccomp::Disabled => "no filter".to_owned(),
                _ => "a filter".to_owned(),
            },
        );
        return;
    }
    if let Some((path, profile)) = &observed.seccomp_profile {
        // The name is the same for all, so that equal containers stay equal.
        let found =
            Seccomp::Profile { name: "in the config.json of its runtime".into(), profile: profile.clone() };
        confinement.seccomp = Fact::known(found, Origin::measured(format!("{path}: linux.seccomp")));
        return;
    }
    match confinement.seccomp.get() {
        // A filter is loaded, as was said; its content stands.
        Some(Seccomp::Builtin(_) | Seccomp::Profile { .. } | Seccomp::Opaque | Seccomp::Measured(_)) => {}
        Some(Seccomp::Disabled) => {
            settle.notes.push("seccomp: no filter was to be expected, the kernel shows one".to_owned());
            confinement.seccomp = Fact::known(Seccomp::Opaque, origin);
        }
        None => confinement.seccomp = Fact::known(Seccomp::Opaque, origin),
    }
}

fn label(confinement: &mut Confinement, observed: &Observed) {
    let Some(label) = &observed.label else { return };
    let origin = Origin::measured(format!("{}/attr/current", observed.credentials_from));
    let text = match label {
        Label::NoModule => {
            confinement.apparmor = Fact::known(AppArmor::Absent, origin.clone());
            confinement.selinux = Fact::known(SeLinux::Absent, origin);
            return;
        }
        Label::Text(text) => text.trim_end_matches(['\0', '\n']),
    };
    if let Some(domain) = selinux_domain_of(text) {
        confinement.apparmor = Fact::known(AppArmor::Absent, origin.clone());
        confinement.selinux = match confinement.host.selinux_enforcing.value {
            Some(false) => {
                Fact::known(SeLinux::Permissive, confinement.host.selinux_enforcing.origin.clone())
            }
            _ => Fact::known(confinement::confine::selinux_domain(domain), origin),
        };
        return;
    }
    confinement.selinux = Fact::known(SeLinux::Absent, origin.clone());
    confinement.apparmor = Fact::known(apparmor(text), origin);
}

/// `user:role:type[:level]`; AppArmor's profile names hold no two colons of this kind but in `:namespace:profile`.
fn selinux_domain_of(text: &str) -> Option<&str> {
    let mut parts = text.split(':');
    let (user, role, domain) = (parts.next()?, parts.next()?, parts.next()?);
    let looks_so = !user.is_empty() && role.ends_with("_r") && domain.ends_with("_t");
    looks_so.then_some(domain)
}

/// `docker-default (enforce)`, `unconfined`: apparmor(7), aa_getcon(2). In a stack (`a//&b`) every profile holds;
/// the first is the container's.
pub fn apparmor(text: &str) -> AppArmor {
    let (name, mode) = match text.rsplit_once(" (") {
        Some((name, mode)) => (name, mode.trim_end_matches(')')),
        None => (text, ""),
    };
    let name = name.split("//&").next().unwrap_or(name);
    if name == "unconfined" || mode == "unconfined" {
        return AppArmor::Unconfined;
    }
    AppArmor::Profile {
        name: name.into(),
        enforcing: !matches!(mode, "complain" | "audit"),
        template: apparmor_template(name),
    }
}

/// Whose template a profile of this name holds: the names are the engines' own.
pub fn apparmor_template(name: &str) -> AppArmorTemplate {
    match name {
        "docker-default" => AppArmorTemplate::Docker,
        "cri-containerd.apparmor.d" => AppArmorTemplate::Containerd,
        "crio-default" => AppArmorTemplate::Crio,
        _ if name.starts_with("containers-default-") => AppArmorTemplate::Podman,
        _ => AppArmorTemplate::Custom,
    }
}

/// `/sys/devices/system/cpu/cpu7/thermal_throttle` is one of many that are one path here.
pub fn fold_processors(path: &str) -> Arc<str> {
    let folded = path.strip_prefix("/sys/devices/system/cpu/cpu").and_then(|rest| {
        let after = rest.trim_start_matches(|c: char| c.is_ascii_digit());
        (after.len() < rest.len()).then(|| format!("/sys/devices/system/cpu/cpu*{after}"))
    });
    folded.map_or_else(|| path.into(), Arc::from)
}

pub fn sorted(mut paths: Vec<Arc<str>>) -> Arc<[Arc<str>]> {
    paths.sort_unstable();
    paths.dedup();
    paths.into()
}

/// Paths that engines mask, and those that they make read-only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPaths {
    pub masked: BTreeSet<Arc<str>>,
    pub readonly: BTreeSet<Arc<str>>,
}

impl ListedPaths {
    /// Every path that an engine known here lists.
    pub fn all() -> ListedPaths {
        let mut all = ListedPaths::default();
        for kind in [EngineKind::Docker, EngineKind::Podman, EngineKind::Containerd, EngineKind::Crio] {
            let engine = Engine::of_version(kind, (u32::MAX, 0), None, kind.name());
            all.masked.extend(engine.masked_paths());
            all.readonly.extend(engine.readonly_paths());
        }
        all
    }
    pub fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.masked.retain(|path| keep(path));
        self.readonly.retain(|path| keep(path));
    }
}

/// File systems whose content is the kernel's.
pub fn is_kernel_file_system(kind: &str) -> bool {
    matches!(
        kind,
        "proc"
            | "sysfs"
            | "cgroup"
            | "cgroup2"
            | "mqueue"
            | "devpts"
            | "devtmpfs"
            | "securityfs"
            | "debugfs"
            | "tracefs"
            | "bpf"
            | "configfs"
            | "fusectl"
            | "pstore"
            | "efivarfs"
            | "binfmt_misc"
            | "hugetlbfs"
            | "selinuxfs"
            | "nsfs"
    )
}

fn is_below(path: &str, folder: &str) -> bool {
    path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// What a mount table entry is to a container.
enum Role {
    /// The root file system.
    Root,
    /// The engine's own plumbing: `/dev`, `/etc/hosts`, … .
    Plumbing,
    /// Covers a kernel file so that it cannot be read.
    Mask,
    /// Makes a part of `/proc` or `/sys` read-only.
    ReadOnlyPart,
    /// A cgroup hierarchy in its usual place.
    Cgroup,
    Other(MountSource),
}

fn role(mount: &MountEntry, observed: &Observed, host: &HostView<'_>) -> Role {
    let target = mount.target.as_str();
    let kind = mount.kind.as_str();
    if target == "/" {
        return Role::Root;
    }
    let in_kernel_tree = is_below(target, "/proc") || is_below(target, "/sys");
    if in_kernel_tree {
        // runc libcontainer/rootfs_linux.go, maskPaths: /dev/null over files, an empty read-only tmpfs over
        // directories. Which null device it is (that of /dev's tmpfs or of the host's devtmpfs) does not matter.
        let null = mount.root == "/null" && matches!(kind, "tmpfs" | "devtmpfs");
        if null || (kind == "tmpfs" && !is_cgroup_place(target)) {
            return Role::Mask;
        }
    }
    if is_cgroup_place(target) {
        // A bind of the host's own tree shows itself by the tmpfs that the version 1 hierarchies hang in.
        let own_tree = kind == "tmpfs" && host.cgroup_device != Some(&mount.device);
        if own_tree || matches!(kind, "cgroup" | "cgroup2") {
            return Role::Cgroup;
        }
    }
    // A procfs belongs to a pid namespace, a sysfs to a network namespace. In its usual place it is the
    // container's own, unless it is the host's and the container does not share that namespace.
    let usual = |place: &str, namespace| {
        let in_place = target.strip_prefix(place) == Some(if mount.root == "/" { "" } else { &mount.root });
        let shared = observed.host_namespaces.get(&namespace) != Some(&false);
        in_place && (shared || host.paths.resolve(&mount.device, &mount.root).is_none())
    };
    let canonical = match kind {
        "proc" => usual("/proc", NamespaceKind::Pid),
        "sysfs" => usual("/sys", NamespaceKind::Net),
        _ => false,
    };
    if canonical {
        if mount.root != "/" && mount.is_read_only() {
            return Role::ReadOnlyPart;
        }
        return Role::Other(MountSource::Kernel(kind.into()));
    }
    if target == "/dev" || is_below(target, "/dev") {
        // What is in /dev is told by its nodes; what else an engine mounts there is of its own making, and a
        // shared /dev/shm goes with the ipc namespace.
        let own = matches!(kind, "tmpfs" | "devpts" | "mqueue" | "devtmpfs" | "hugetlbfs");
        if own && (target != "/dev" || kind != "devtmpfs") {
            return Role::Plumbing;
        }
    }
    let source = host.paths.resolve(&mount.device, &mount.root);
    if is_engine_file(target, source.as_ref()) {
        return Role::Plumbing;
    }
    Role::Other(match source {
        Some(path) => volume_of(&path).unwrap_or(MountSource::Host(path)),
        None if is_kernel_file_system(kind) => MountSource::Kernel(kind.into()),
        None if matches!(kind, "tmpfs" | "ramfs") => MountSource::Private,
        None => MountSource::Other(format!("{kind} on {}", mount.source).into()),
    })
}

fn is_cgroup_place(target: &str) -> bool {
    target == "/sys/fs/cgroup" || is_below(target, "/sys/fs/cgroup")
}

/// Files that engines write for each container and bind into it, from a folder that bears the container's id: moby
/// container/container_unix.go (NetworkMounts), containerd internal/cri (sandboxes), Podman's userdata, and the
/// kubelet's pods.
fn is_engine_file(target: &str, source: Option<&HostPath>) -> bool {
    let usual = matches!(
        target,
        "/etc/hosts"
            | "/etc/hostname"
            | "/etc/resolv.conf"
            | "/run/.containerenv"
            | "/run/secrets"
            | "/etc/passwd"
            | "/etc/group"
            | "/dev/termination-log"
            | "/run/.toolboxenv"
            | "/.dockerenv"
            | "/sbin/docker-init"
            | "/dev/init"
            | "/run/podman-init"
    );
    let Some(source) = source else { return false };
    let own_folder = source.as_str().split('/').any(is_container_id)
        && ["/containers/", "/overlay-containers/", "/sandboxes/"]
            .iter()
            .any(|s| source.as_str().contains(s));
    let pod_file = source.as_str().contains("/pods/")
        && (source.as_str().ends_with("/etc-hosts") || source.as_str().contains("/containers/"));
    let init = matches!(
        source.as_str(),
        "/usr/bin/docker-init"
            | "/usr/libexec/docker/docker-init"
            | "/usr/bin/tini"
            | "/usr/bin/tini-static"
            | "/usr/bin/catatonit"
            | "/usr/libexec/podman/catatonit"
    );
    usual && (own_folder || pod_file || init)
}

/// 64 hexadecimal digits: the form of every engine's container ids.
pub fn is_container_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// A volume that an engine keeps, named by its folder on the host: `…/volumes/NAME/_data` of Docker and Podman,
/// `…/pods/UID/volumes/kubernetes.io~empty-dir/NAME` of a kubelet.
pub fn volume_of(path: &HostPath) -> Option<MountSource> {
    let text = path.as_str();
    let engine = text.strip_suffix("/_data").is_some_and(|t| {
        t.rsplit_once('/').is_some_and(|(folder, name)| !name.is_empty() && folder.ends_with("/volumes"))
    });
    let pod = text.contains("/pods/") && text.contains("/volumes/kubernetes.io~");
    (engine || pod).then(|| MountSource::Volume(text.into()))
}

/// A mount with what is around it.
struct Seen<'a> {
    mount: &'a MountEntry,
    role: Role,
    /// The nearest mount above that shows a path of the host, and which path this place is there.
    on_host: Option<(&'a MountEntry, HostPath)>,
    /// Whether there are mounts below, and whether all of them are read-only.
    below: Option<bool>,
}

/// The mounts of one table in its order, and where the host has the container's own root file system.
fn look_around<'a>(
    table: &'a MountTable,
    observed: &Observed,
    host: &HostView<'_>,
) -> (Vec<Seen<'a>>, Option<HostPath>) {
    let mounts = table.visible();
    let above = nearest_above(&mounts);
    let mut seen: Vec<Seen<'a>> = mounts
        .iter()
        .map(|mount| Seen { mount, role: role(mount, observed, host), on_host: None, below: None })
        .collect();
    // From the top down, so that what is above a mount is known before it.
    let mut order: Vec<usize> = (0..seen.len()).collect();
    order.sort_by_key(|at| mounts.get(*at).map_or(0, |m| m.target.len()));
    for at in &order {
        let Some(outer) = above.get(*at).copied().flatten().and_then(|outer| seen.get(outer)) else {
            continue;
        };
        let Some(target) = mounts.get(*at).map(|m| m.target.as_str()) else { continue };
        let rest = target.strip_prefix(outer.mount.target.trim_end_matches('/')).unwrap_or(target);
        let place = match (&outer.role, &outer.on_host) {
            (Role::Other(MountSource::Host(path)), _) => Some((outer.mount, path.join(rest))),
            (_, Some((anchor, path))) => Some((*anchor, path.join(rest))),
            _ => None,
        };
        if let Some(inner) = seen.get_mut(*at) {
            inner.on_host = place;
        }
    }
    for at in order.iter().rev() {
        let Some(inner) = seen.get(*at) else { continue };
        let read_only = inner.mount.is_read_only() && inner.below.unwrap_or(true);
        if let Some(outer) = above.get(*at).copied().flatten().and_then(|outer| seen.get_mut(outer)) {
            outer.below = Some(outer.below.unwrap_or(true) && read_only);
        }
    }
    let root = mounts.iter().find(|m| m.target == "/");
    let own_root = root.and_then(|m| host.paths.resolve(&m.device, &m.root));
    (seen, own_root)
}

impl Seen<'_> {
    /// Whether it only came along with the recursive bind of a path above it: the same place of the host with the
    /// same rights, or the container's own tree seen once more.
    fn came_along(&self, own_root: Option<&HostPath>) -> bool {
        let Some((above, place)) = &self.on_host else { return false };
        if own_root.is_some_and(|root| place.is_at_or_below(root.as_str())) {
            return true;
        }
        // Engines keep network namespaces alive by mounts in /run, which come and go with containers.
        let namespace = matches!(&self.role, Role::Other(MountSource::Kernel(kind)) if &**kind == "nsfs");
        if namespace {
            return true;
        }
        let same_place = matches!(&self.role, Role::Other(MountSource::Host(path)) if path == place);
        same_place
            && self.mount.is_read_only() == above.is_read_only()
            && (self.mount.shared.is_none() || above.shared.is_some())
    }
}

fn mounts(confinement: &mut Confinement, table: &MountTable, observed: &Observed, host: &HostView<'_>) {
    let from = &observed.container_from;
    let (seen, own_root) = look_around(table, observed, host);
    let origin =
        |mount: &MountEntry| Origin::measured(format!("{from}/mountinfo: {}", printable(&mount.target)));
    let whole = Origin::measured(format!("{from}/mountinfo"));
    let mut masked: Vec<Arc<str>> = host.absent.masked.iter().cloned().collect();
    let mut readonly: Vec<Arc<str>> = host.absent.readonly.iter().cloned().collect();
    let (mut kernel, mut found) = (Vec::new(), Vec::new());
    let mut cgroup_writable: Option<bool> = None;
    for found_mount in &seen {
        let mount = found_mount.mount;
        if found_mount.came_along(own_root.as_ref()) {
            continue;
        }
        match &found_mount.role {
            Role::Root => {
                confinement.read_only_rootfs = Fact::known(mount.is_read_only(), origin(mount));
            }
            Role::Plumbing => {}
            Role::Mask => masked.push(fold_processors(&mount.target)),
            Role::ReadOnlyPart => readonly.push(fold_processors(&mount.target)),
            Role::Cgroup => {
                let writable = mount.kind != "tmpfs" && !mount.is_read_only();
                cgroup_writable = Some(cgroup_writable.unwrap_or(false) || writable);
            }
            Role::Other(source) => {
                let list = if matches!(source, MountSource::Kernel(_)) { &mut kernel } else { &mut found };
                list.push(entry(found_mount, source.clone(), host, origin(mount)));
            }
        }
    }
    if let Some(writable) = cgroup_writable {
        let at = Origin::measured(format!("{from}/mountinfo: /sys/fs/cgroup"));
        confinement.cgroup.writable = Fact::known(writable, at.clone());
        let mut mount =
            Mount::from_source(MountSource::Kernel("cgroup".into()), "/sys/fs/cgroup", !writable, at);
        (mount.recursive, mount.nosuid, mount.nodev, mount.noexec) = (false, true, true, true);
        mount.recursive_read_only = Fact::known(!writable, mount.origin().clone());
        kernel.push(mount);
    } else {
        confinement.cgroup.writable = Fact::known(false, whole.clone());
    }
    confinement.masked_paths = Fact::known(sorted(masked), whole.clone());
    confinement.readonly_paths = Fact::known(sorted(readonly), whole);
    // What only the engine knows of a mount goes over: that it was relabelled, and a volume's name.
    for mount in &mut found {
        let stated = confinement.mounts.iter().find(|m| m.target == mount.target);
        if let Some(stated) = stated {
            mount.relabelled = stated.relabelled;
            match stated.source.get() {
                Some(MountSource::Volume(_) | MountSource::Other(_)) => mount.source = stated.source.clone(),
                _ if stated.source == mount.source => mount.source.origin = stated.source.origin.clone(),
                _ => {}
            }
        }
    }
    kernel.extend(found);
    confinement.mounts = kernel;
}

fn entry(seen: &Seen<'_>, source: MountSource, host: &HostView<'_>, origin: Origin) -> Mount {
    let mount = seen.mount;
    let read_only = mount.is_read_only();
    let receives = |group: Option<u64>| group.is_some_and(|g| host.paths.peer_groups.contains(&g));
    let propagation = if receives(mount.shared) {
        Propagation::Shared
    } else if receives(mount.master) {
        Propagation::Slave
    } else {
        Propagation::Private
    };
    // A bind whose source has mounts below it on the host, and none here, was not recursive.
    let recursive = match &source {
        MountSource::Host(path) => seen.below.is_some() || !host.paths.has_mounts_below(path),
        _ => false,
    };
    Mount {
        target: mount.target.as_str().into(),
        source: Fact::known(source, origin.clone()),
        read_only: Fact::known(read_only, origin.clone()),
        recursive_read_only: Fact::known(read_only && seen.below.unwrap_or(true), origin.clone()),
        recursive,
        propagation: Fact::known(propagation, origin),
        nosuid: mount.has_option("nosuid"),
        nodev: mount.has_option("nodev"),
        noexec: mount.has_option("noexec"),
        relabelled: false,
    }
}

fn devices(confinement: &mut Confinement, observed: &Observed) {
    let from = &observed.container_from;
    let origin = || Origin::measured(format!("{from}/root/dev"));
    if let Some(nodes) = &observed.devices {
        confinement.devices.nodes = nodes.iter().map(|n| Fact::known(n.clone(), origin())).collect();
    }
    if let Some(all) = observed.all_host_devices {
        confinement.devices.all_host_nodes = Fact::known(all, origin());
    }
    if let Some(rules) = &observed.device_rules {
        let origin = Origin::measured(format!("devices.list of the cgroup of {from}"));
        if confinement.devices.asked.is_empty() {
            let usual = confinement::confine::default_device_rules();
            let asked = rules.iter().filter(|r| r.allow && !usual.contains(r));
            confinement.devices.asked = asked.map(|r| Fact::known(r.clone(), origin.clone())).collect();
        }
        confinement.devices.rules = Fact::known(rules.as_slice().into(), origin);
    }
}

fn limits(confinement: &mut Confinement, observed: &Observed) {
    let origin = || Origin::measured(format!("the cgroup of {}", observed.container_from));
    let limits = &mut confinement.limits;
    for (fact, value) in [
        (&mut limits.memory, observed.memory),
        (&mut limits.cpu, observed.cpu),
        (&mut limits.pids, observed.pids),
    ] {
        if let Some(value) = value {
            *fact = Fact::known(value, origin());
        }
    }
    if let Some(attached) = observed.attached {
        let origin = Origin::measured(format!("{}/net/dev", observed.container_from));
        confinement.network.attached = Fact::known(attached, origin.clone());
        if !attached {
            confinement.network.shared_segment = Fact::known(false, origin);
        }
    }
}

/// A line of `devices.list` (cgroup v1, Documentation/admin-guide/cgroup-v1/devices.rst): `c 1:3 rwm`.
pub fn device_rule(line: &str) -> Option<DeviceRule> {
    let mut words = line.split_ascii_whitespace();
    let kind = match words.next()? {
        "a" => DeviceKind::All,
        "b" => DeviceKind::Block,
        "c" => DeviceKind::Char,
        _ => return None,
    };
    let (major, minor) = words.next()?.split_once(':')?;
    let number = |text: &str| if text == "*" { Some(None) } else { text.parse().ok().map(Some) };
    let access = DeviceAccess::parse(words.next()?)?;
    Some(DeviceRule { allow: true, kind, major: number(major)?, minor: number(minor)?, access, node: None })
}

/// The rules that the kernel lists: everything else is denied, and `a *:* rwm` is the list of a cgroup that
/// denies nothing.
pub fn device_rules(list: &str) -> Option<Vec<DeviceRule>> {
    let deny = DeviceRule {
        allow: false,
        kind: DeviceKind::All,
        major: None,
        minor: None,
        access: DeviceAccess::ALL,
        node: None,
    };
    let allowed = list.lines().filter(|l| !l.trim().is_empty()).map(device_rule);
    let allowed: Vec<DeviceRule> = allowed.collect::<Option<_>>()?;
    Some(std::iter::once(deny).chain(allowed).collect())
}

/// Text from outside, safe to print: control characters as `\ooo`, and at most 200 characters of it.
pub fn printable(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == 200 {
            out.push('…');
            break;
        }
        if c.is_control() {
            let mut bytes = [0; 4];
            for byte in c.encode_utf8(&mut bytes).bytes() {
                out.push_str(&format!("\\{byte:03o}"));
            }
        } else {
            out.push(c);
        }
    }
    out
}
