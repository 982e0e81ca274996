//! The OCI runtime configuration, `config.json` of a bundle: what the low-level runtime applies, so that it is
//! read into a confinement as it stands, without an engine in between.
//!
//! What is missing means what runc does with it; where crun differs and the runtime is known to be crun, what crun
//! does. Sources: opencontainers/runtime-spec (config.md, config-linux.md), opencontainers/runc
//! (libcontainer/specconv/spec_linux.go, rootfs_linux.go, init_linux.go, cgroups/devices), containers/crun
//! (src/libcrun/linux.c, cgroup-resources.c).

mod devices;
mod mounts;

pub use mounts::engine_file;

use std::sync::Arc;

use confinement::parts::AppliedCapabilities;
use confinement::{
    AppArmor, AppArmorTemplate, Capabilities, Capability, CapabilitySet, Cgroup, Confinement, Fact, Form,
    Host, IdRange, Identity, Image, Labels, Limits, Namespace, NamespaceKind, Namespaces, Network, Origin,
    Problem, Runtime, SeLinux, Seccomp, Subject, SubjectKind, UserNamespace, World,
};

use crate::Context;
use crate::document::{Document, Node};
use crate::fields::Fields;
use crate::options;

/// Whether a document is a runtime configuration: its one required key, and one that only it has.
pub fn recognise(root: &Node) -> bool {
    root.get("ociVersion").is_some()
        && ["process", "root", "linux", "mounts", "hooks"].iter().any(|key| root.get(key).is_some())
}

/// The container of a runtime configuration, run by the host's runtime where that is known and by runc otherwise.
pub fn read(document: &Document, context: &Context) -> World {
    let runtime = match &context.host.default_runtime {
        known if known.is_known() => known.clone(),
        _ => Fact::known(
            Runtime::Runc,
            Origin::assumed("the runtime configuration is taken to be run by runc"),
        ),
    };
    read_with(document, &runtime, context)
}

/// As [`read`], run by a given runtime.
pub fn read_with(document: &Document, runtime: &Fact<Runtime>, context: &Context) -> World {
    let root = &document.root;
    let folder = crate::run::folder_of(&document.path);
    let mut reader = Reader {
        root,
        linux: None,
        process: None,
        runtime,
        host: &context.host,
        folder: &folder,
        fields: Fields::default(),
        notes: Vec::new(),
    };
    let confinement = reader.confinement();
    let name = root.get("hostname").and_then(|node| node.as_string_strict().map(Arc::<str>::from));
    let subject = Subject {
        id: format!("{}#container", document.path).into(),
        name: name.filter(|name| !name.is_empty()).unwrap_or_else(|| document.path.clone()),
        kind: SubjectKind::Container,
        form: Form::Oci,
        place: Some(root.place()),
        declared: Vec::new(),
        realm: "oci:local".into(),
        namespace: None,
        confinement: Arc::new(confinement),
        pod: None,
        labels: annotations(root),
        made: None,
    };
    World { subjects: vec![subject], problems: reader.fields.problems, notes: reader.notes }
}

/// The configuration's annotations, where engines keep what they know of the container.
fn annotations(root: &Node) -> Labels {
    let Some(annotations) = root.get("annotations") else { return Labels::default() };
    let text = |node: &Node| node.as_string_strict().map(Arc::<str>::from);
    Arc::new(annotations.entries().filter_map(|(key, value)| Some((text(&key)?, text(&value)?))).collect())
}

struct Reader<'a> {
    root: &'a Node,
    linux: Option<Node>,
    process: Option<Node>,
    runtime: &'a Fact<Runtime>,
    host: &'a Arc<Host>,
    folder: &'a str,
    fields: Fields,
    notes: Vec<Problem>,
}

impl Reader<'_> {
    /// What the runtime does where nothing is said.
    fn default_origin(&self) -> Origin {
        match self.runtime.get() {
            Some(runtime) => Origin::engine(&runtime.to_string()),
            None => Origin::engine("the runtime"),
        }
    }

    fn is_crun(&self) -> bool {
        self.runtime.get() == Some(&Runtime::Crun)
    }

    fn confinement(&mut self) -> Confinement {
        self.linux = self.fields.object(self.root, "linux");
        self.process = self.fields.object(self.root, "process");
        let default = self.default_origin();
        let identity = self.identity();
        let capabilities = self.capabilities(&identity);
        let namespaces = self.namespaces();
        let user_namespace = self.user_namespace();
        let own_users = user_namespace.initial.value == Some(false);
        let mounts = self.mounts(&namespaces, own_users);
        let devices = self.devices(&mounts);
        let hooks = self.hooks();
        let network = network(&namespaces, hooks, &default);
        let cgroup = self.cgroup(&mounts);
        let root = self.fields.object(self.root, "root");
        let read_only_rootfs = root.and_then(|root| self.fields.boolean(&root, "readonly"));
        Confinement {
            privileged: Fact::known(
                false,
                Origin::assumed("a runtime configuration has no such switch; each of its parts is judged"),
            ),
            masked_paths: self.paths("maskedPaths"),
            readonly_paths: self.paths("readonlyPaths"),
            read_only_rootfs: read_only_rootfs.unwrap_or_else(|| Fact::known(false, default)),
            seccomp: self.seccomp(),
            apparmor: self.apparmor(),
            selinux: self.selinux(),
            sysctls: self.sysctls(),
            limits: self.limits(),
            control_apis: self.control_apis(),
            service_account: None,
            image: Image::default(),
            operation: Arc::default(),
            runtime: self.runtime.clone(),
            measured_writable: Arc::default(),
            unprivileged: None,
            engine: None,
            host: self.host.clone(),
            identity,
            capabilities,
            user_namespace,
            namespaces,
            mounts,
            devices,
            cgroup,
            network,
        }
    }

    fn identity(&mut self) -> Identity {
        let default = self.default_origin();
        let user = self.process.clone().and_then(|process| self.fields.object(&process, "user"));
        let mut id = |key: &str| {
            let stated = user.as_ref().and_then(|user| self.fields.number(user, key));
            stated.unwrap_or_else(|| Fact::known(0, default.clone()))
        };
        let (uid, gid) = (id("uid"), id("gid"));
        let groups = user.as_ref().and_then(|user| self.groups(user));
        let no_new_privileges =
            self.process.clone().and_then(|process| self.fields.boolean(&process, "noNewPrivileges"));
        Identity {
            root: uid.map(|uid| *uid == 0),
            uid,
            gid,
            groups: groups.unwrap_or_else(|| Fact::known(Arc::from([]), default.clone())),
            group_names: Arc::from([]),
            no_new_privileges: no_new_privileges.unwrap_or_else(|| Fact::known(false, default)),
            setuid_programs: Fact::known(
                false,
                Origin::assumed("the set-user-ID programs of the image are taken to hand out nothing"),
            ),
        }
    }

    fn groups(&mut self, user: &Node) -> Option<Fact<Arc<[u32]>>> {
        let node = user.get("additionalGids").filter(|node| !node.is_null())?;
        let mut groups = Vec::new();
        for item in self.fields.list(user, "additionalGids")? {
            match item.as_i64().and_then(|id| u32::try_from(id).ok()) {
                Some(group) => groups.push(group),
                None => {
                    self.fields.wrong(&item, "a group id");
                    return Some(Fact::unknown(node.origin()));
                }
            }
        }
        groups.sort_unstable();
        groups.dedup();
        Some(Fact::known(groups.into(), node.origin()))
    }

    /// The sets after execve(2). Without a `capabilities` object both runtimes drop everything
    /// (runc libcontainer/init_linux.go, finalizeNamespace; crun src/libcrun/linux.c, libcrun_set_caps).
    fn capabilities(&mut self, identity: &Identity) -> Capabilities {
        let node =
            self.process.clone().and_then(|process| process.get("capabilities")).filter(|n| !n.is_null());
        let Some(node) = node else {
            let none = Fact::known(CapabilitySet::EMPTY, self.default_origin());
            return Capabilities {
                effective: none.clone(),
                permitted: none.clone(),
                inheritable: none.clone(),
                bounding: none.clone(),
                ambient: none,
            };
        };
        if !node.is_mapping() {
            self.fields.wrong(&node, "an object");
            let unknown = || Fact::unknown(node.origin());
            return Capabilities {
                effective: unknown(),
                permitted: unknown(),
                inheritable: unknown(),
                bounding: unknown(),
                ambient: unknown(),
            };
        }
        let mut set = |key: &str| self.capability_set(&node, key);
        let (effective, permitted, inheritable, bounding, ambient) =
            (set("effective"), set("permitted"), set("inheritable"), set("bounding"), set("ambient"));
        let after = (|| {
            let applied = AppliedCapabilities {
                effective: effective.value?,
                permitted: permitted.value?,
                inheritable: inheritable.value?,
                bounding: bounding.value?,
                ambient: ambient.value?,
            };
            let no_new_privileges = identity.no_new_privileges.value?;
            Some(Capabilities::after_exec(&applied, identity.root.value?, no_new_privileges))
        })();
        // Where the user takes the sets away, the user is the reason.
        let reason =
            if identity.root.value == Some(false) { &identity.root.origin } else { &bounding.origin };
        let fact = |value: Option<CapabilitySet>, origin: &Origin| Fact { value, origin: origin.clone() };
        Capabilities {
            effective: fact(after.map(|a| a.effective), reason),
            permitted: fact(after.map(|a| a.permitted), reason),
            inheritable: fact(after.map(|a| a.inheritable).or(inheritable.value), &inheritable.origin),
            ambient: fact(after.map(|a| a.ambient), &ambient.origin),
            bounding,
        }
    }

    fn capability_set(&mut self, node: &Node, key: &str) -> Fact<CapabilitySet> {
        let Some(names) = self.fields.texts(node, key) else {
            return Fact::known(CapabilitySet::EMPTY, self.default_origin());
        };
        let Some(list) = &names.value else { return Fact::unknown(names.origin) };
        let mut set = CapabilitySet::EMPTY;
        for name in list {
            // runc knows names by `CAP_` and capital letters, and skips the others with a warning
            // (libcontainer/capabilities).
            let known = name.starts_with("CAP_").then(|| Capability::parse(name)).flatten();
            match known {
                Some(capability) => set = set.with(capability),
                None => {
                    let message = format!("`{name}` is no capability and is skipped");
                    self.notes.push(Problem::at(&node.place(), message));
                }
            }
        }
        Fact::known(set, names.origin)
    }

    /// A namespace that is not listed is the runtime's own, the host's.
    fn namespaces(&mut self) -> Namespaces {
        let mut namespaces = Namespaces::default();
        let default = self.default_origin();
        for kind in NamespaceKind::ALL {
            *namespaces.get_mut(kind) = Fact::known(Namespace::Host, default.clone());
        }
        let Some(linux) = self.linux.clone() else { return namespaces };
        let Some(items) = self.fields.list(&linux, "namespaces") else {
            if linux.get("namespaces").is_some_and(|node| !node.is_null()) {
                for kind in NamespaceKind::ALL {
                    *namespaces.get_mut(kind) = Fact::unknown(linux.origin());
                }
            }
            return namespaces;
        };
        let mut has_mount = false;
        for item in items {
            let Some(kind) = self.fields.text(&item, "type") else {
                self.fields.wrong(&item, "a namespace with a type");
                continue;
            };
            let path = self.fields.text(&item, "path");
            let name = kind.get().map_or("", |kind| &**kind);
            has_mount |= name == "mount";
            if let ("mount", Some(path)) = (name, path.as_ref())
                && path.get().is_none_or(|path| !path.is_empty())
            {
                let message = "it joins a mount namespace that is there already, the host's perhaps; what it can \
                               reach in it is not judged";
                self.fields.problems.push(Problem::at(&item.place(), message));
            }
            let kind = match name {
                "pid" => NamespaceKind::Pid,
                "network" => NamespaceKind::Net,
                "ipc" => NamespaceKind::Ipc,
                "uts" => NamespaceKind::Uts,
                "cgroup" => NamespaceKind::Cgroup,
                "time" => NamespaceKind::Time,
                "mount" | "user" => continue,
                _ => {
                    self.fields.wrong(
                        &item,
                        "a kind of namespace: pid, network, mount, ipc, uts, user, cgroup, time",
                    );
                    continue;
                }
            };
            *namespaces.get_mut(kind) = match path {
                Some(Fact { value: None, origin }) => Fact::unknown(origin),
                Some(Fact { value: Some(path), origin }) if !path.is_empty() => joined(&path, origin),
                _ => Fact::known(Namespace::Own, item.origin()),
            };
        }
        if !has_mount {
            let message = "without a mount namespace of its own the container is only a chroot(2) into its root file \
                           system; what it can reach by leaving that is not judged";
            self.fields.problems.push(Problem::at(&linux.place(), message));
        }
        namespaces
    }

    fn user_namespace(&mut self) -> UserNamespace {
        let default = self.default_origin();
        let entry = self.linux.clone().and_then(|linux| {
            let namespaces = linux.get("namespaces")?;
            let is_user =
                |item: &Node| item.get("type").is_some_and(|kind| kind.as_string_strict() == Some("user"));
            namespaces.items().find(is_user).map(|item| (linux, item))
        });
        let initial = |origin: Origin| UserNamespace {
            initial: Fact::known(true, origin.clone()),
            uid_map: Fact::known(Arc::from([IdRange::IDENTITY]), origin.clone()),
            gid_map: Fact::known(Arc::from([IdRange::IDENTITY]), origin.clone()),
            root_is_host_root: Fact::known(true, origin),
        };
        let Some((linux, item)) = entry else { return initial(default) };
        let path =
            self.fields.text(&item, "path").filter(|path| path.get().is_none_or(|path| !path.is_empty()));
        if let Some(path) = path {
            return match path.get() {
                Some(text) if is_hosts(text) => initial(path.origin),
                // One that others made: not the initial one, with ids that only the host can tell.
                _ => UserNamespace { initial: Fact::known(false, path.origin), ..UserNamespace::default() },
            };
        }
        let origin = item.origin();
        let uid_map = self.id_map(&linux, "uidMappings").unwrap_or_else(|| Fact::unknown(origin.clone()));
        let gid_map = self.id_map(&linux, "gidMappings").unwrap_or_else(|| Fact::unknown(origin.clone()));
        UserNamespace {
            initial: Fact::known(false, origin),
            root_is_host_root: uid_map.map(|map| confinement::parts::to_host_id(map, 0) == Some(0)),
            uid_map,
            gid_map,
        }
    }

    fn id_map(&mut self, linux: &Node, key: &str) -> Option<Fact<Arc<[IdRange]>>> {
        let node = linux.get(key).filter(|node| !node.is_null() && !node.is_empty())?;
        let mut ranges = Vec::new();
        for item in self.fields.list(linux, key)? {
            let mut number = |key: &str| match self.fields.number(&item, key) {
                Some(fact) => fact.value,
                None => Some(0),
            };
            let (inside, outside, count) = (number("containerID"), number("hostID"), number("size"));
            let (Some(inside), Some(outside), Some(count)) = (inside, outside, count) else {
                return Some(Fact::unknown(node.origin()));
            };
            ranges.push(IdRange { inside, outside, count });
        }
        Some(Fact::known(ranges.into(), node.origin()))
    }

    fn paths(&mut self, key: &str) -> Fact<Arc<[Arc<str>]>> {
        let stated = self.linux.clone().and_then(|linux| self.fields.texts(&linux, key));
        match stated {
            Some(texts) => texts.map(|texts| Arc::from(texts.as_slice())),
            None => Fact::known(Arc::from([]), self.default_origin()),
        }
    }

    fn seccomp(&mut self) -> Fact<Seccomp> {
        let node = self.linux.as_ref().and_then(|linux| linux.get("seccomp")).filter(|node| !node.is_null());
        let Some(node) = node else { return Fact::known(Seccomp::Disabled, self.default_origin()) };
        match confinement::seccomp::Profile::from_json(node.source()) {
            Ok(profile) => {
                let name = "the filter of the runtime configuration".into();
                Fact::known(Seccomp::Profile { name, profile: Arc::new(profile) }, node.origin())
            }
            Err(error) => {
                self.fields.problems.push(Problem::at(&node.place(), format!("`linux.seccomp`: {error}")));
                Fact::unknown(node.origin())
            }
        }
    }

    /// Without a profile the process keeps that of the runtime, which engines run unconfined.
    fn apparmor(&mut self) -> Fact<AppArmor> {
        let stated = self.process.clone().and_then(|process| self.fields.text(&process, "apparmorProfile"));
        let runs = self.host.lsms.get().map(|lsms| lsms.iter().any(|lsm| &**lsm == "apparmor"));
        let unconfined = |origin: Origin| {
            let state = if runs == Some(false) { AppArmor::Absent } else { AppArmor::Unconfined };
            Fact::known(state, origin)
        };
        let Some(stated) = stated else { return unconfined(self.default_origin()) };
        match stated.value.as_deref() {
            None => Fact::unknown(stated.origin),
            Some("" | "unconfined") => unconfined(stated.origin),
            // runc refuses to start the container where the host does not run AppArmor, so that it is there.
            Some(name) => {
                let template = apparmor_template(name);
                Fact::known(AppArmor::Profile { name: name.into(), enforcing: true, template }, stated.origin)
            }
        }
    }

    fn selinux(&mut self) -> Fact<SeLinux> {
        let stated = self.process.clone().and_then(|process| self.fields.text(&process, "selinuxLabel"));
        let runs = self.host.lsms.map(|lsms| lsms.iter().any(|lsm| &**lsm == "selinux"));
        if runs.value == Some(false) {
            return Fact::known(SeLinux::Absent, runs.origin);
        }
        let Some(stated) = stated else { return Fact::known(SeLinux::Unconfined, self.default_origin()) };
        // user:role:type:level, selinux(8); go-selinux does nothing with a label where the host does not run it.
        let domain = stated.get().and_then(|label| label.split(':').nth(2));
        let state = match (stated.get().map(|label| &**label), domain) {
            (Some(""), _) => Some(SeLinux::Unconfined),
            (_, Some(domain)) => Some(confinement::confine::selinux_domain(domain)),
            _ => None,
        };
        match (state, runs.value, self.host.selinux_enforcing.value) {
            (Some(SeLinux::Unconfined), ..) => Fact::known(SeLinux::Unconfined, stated.origin),
            (_, Some(true), Some(false)) => {
                Fact::known(SeLinux::Permissive, self.host.selinux_enforcing.origin.clone())
            }
            (Some(state), Some(true), Some(true)) => Fact::known(state, stated.origin),
            _ => Fact::unknown(stated.origin),
        }
    }

    fn sysctls(&mut self) -> Vec<(Arc<str>, Fact<Arc<str>>)> {
        let Some(node) = self.linux.clone().and_then(|linux| self.fields.object(&linux, "sysctl")) else {
            return Vec::new();
        };
        let mut sysctls = Vec::new();
        for (key, _) in node.entries() {
            let Some(name) = key.as_str() else { continue };
            if let Some(value) = self.fields.text(&node, name) {
                sysctls.push((name.into(), value));
            }
        }
        sysctls
    }

    fn limits(&mut self) -> Limits {
        let default = self.default_origin();
        let resources = self.linux.clone().and_then(|linux| self.fields.object(&linux, "resources"));
        let mut part = |object: &str, key: &str| {
            let parent = resources.as_ref().and_then(|resources| self.fields.object(resources, object))?;
            self.fields.integer(&parent, key)
        };
        // 0 is as good as absent, below it unlimited (runc libcontainer/cgroups/fs, fs2).
        let limit = |stated: Option<Fact<i64>>| match stated {
            Some(fact) => fact.map(|limit| u64::try_from(*limit).ok().filter(|limit| *limit > 0)),
            None => Fact::known(None, default.clone()),
        };
        let (memory, pids) = (part("memory", "limit"), part("pids", "limit"));
        let (quota, period) = (part("cpu", "quota"), part("cpu", "period"));
        let period = period.and_then(|fact| fact.value).filter(|period| *period > 0).unwrap_or(100_000);
        let quota = quota.map(|fact| fact.map(|quota| quota.saturating_mul(1000) / period));
        Limits { memory: limit(memory), cpu: limit(quota), pids: limit(pids) }
    }

    fn cgroup(&mut self, mounts: &[confinement::Mount]) -> Cgroup {
        let path = self.linux.clone().and_then(|linux| self.fields.text(&linux, "cgroupsPath"));
        let parent = path.filter(|path| path.get().is_none_or(|path| !path.is_empty())).map(|path| {
            // `slice:prefix:name` for systemd, otherwise a path whose last part is the container's own.
            path.map(|path| match path.split_once(':') {
                Some((slice, _)) => Arc::from(slice),
                None => Arc::from(path.rsplit_once('/').map_or("", |(parent, _)| parent)),
            })
        });
        Cgroup { version: self.host.cgroup_version.clone(), writable: self.cgroup_writable(mounts), parent }
    }

    /// How many programs the configuration has run on the host around the container.
    fn hooks(&mut self) -> usize {
        let Some(hooks) = self.fields.object(self.root, "hooks") else { return 0 };
        let mut count = 0;
        for (_, list) in hooks.entries() {
            count += list.items().filter(|hook| hook.get("path").is_some()).count();
        }
        if count > 0 {
            let message =
                format!("{count} hooks run programs on the host around this container; they are not judged");
            self.notes.push(Problem::at(&hooks.place(), message));
        }
        count
    }

    fn control_apis(&mut self) -> Vec<Fact<confinement::ControlApi>> {
        let Some(process) = self.process.clone() else { return Vec::new() };
        let Some(items) = self.fields.list(&process, "env") else { return Vec::new() };
        let variables: Vec<(String, String, Origin)> = items
            .iter()
            .filter_map(|item| {
                let (name, value) = item.as_string_strict()?.split_once('=')?;
                Some((name.to_owned(), value.to_owned(), item.origin()))
            })
            .collect();
        options::control_apis(
            variables.iter().map(|(name, value, o)| (name.as_str(), Some(value.as_str()), o.clone())),
        )
    }
}

/// A namespace joined by its path. One under the first process or the runtime itself is the host's; another is
/// named by its path, which is the same for every container that joins it.
fn joined(path: &str, origin: Origin) -> Fact<Namespace> {
    let namespace = if is_hosts(path) {
        Namespace::Host
    } else {
        Namespace::Container(format!("ns:{}", confinement::HostPath::new(path)).into())
    };
    Fact::known(namespace, origin)
}

fn is_hosts(path: &str) -> bool {
    // Docker's name for the host's network (moby libnetwork, controller.go, the sandbox `default`).
    let docker = confinement::HostPath::new(path).as_str() == "/run/docker/netns/default";
    docker || ["/proc/1/ns/", "/proc/self/ns/", "/proc/thread-self/ns/"].iter().any(|h| path.starts_with(h))
}

/// Whose rules a profile of a name that an engine gives holds.
fn apparmor_template(name: &str) -> AppArmorTemplate {
    match name {
        "docker-default" => AppArmorTemplate::Docker,
        "cri-containerd.apparmor.d" => AppArmorTemplate::Containerd,
        "crio-default" => AppArmorTemplate::Crio,
        _ if name.starts_with("containers-default") => AppArmorTemplate::Podman,
        _ => AppArmorTemplate::Custom,
    }
}

/// A network namespace of its own has a loopback interface only, unless a hook or the engine attaches it.
fn network(namespaces: &Namespaces, hooks: usize, default: &Origin) -> Network {
    let origin = namespaces.net.origin.clone();
    let known = |value: bool| Fact::known(value, origin.clone());
    let (attached, shared_segment) = match namespaces.net.get() {
        Some(Namespace::Host) => (known(true), known(true)),
        Some(Namespace::Own) if hooks == 0 => (Fact::known(false, default.clone()), known(false)),
        _ => (Fact::unknown(origin.clone()), Fact::unknown(origin.clone())),
    };
    Network { attached, shared_segment, published: Vec::new() }
}

#[cfg(test)]
mod tests;
