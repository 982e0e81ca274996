//! A confinement as a list of named facts, each with its value as JSON and where it was learnt. The document for
//! conditions is put together from it, and baselines compare it fact by fact.

use std::fmt;
use std::sync::Arc;

use confinement::engine::{SeccompDefault, TcpApi};
use confinement::{
    AppArmor, CapabilitySet, Confinement, ControlApi, DeviceAccess, DeviceKind, DeviceNode, DeviceRule,
    Engine, Host, IdRange, Mount, MountSource, Namespace, Origin, Propagation, SeLinux, Seccomp,
    ServiceAccount,
};
use serde_json::{Map, Value, json};

use super::image::Reference;
use super::text;

/// The name of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// `namespaces.pid`.
    One(&'static str),
    /// An item of a list, by what tells it from the others: a mount by its target.
    Item(&'static str, Arc<str>),
    /// A member of an object whose names are data: a sysctl.
    Member(&'static str, Arc<str>),
}

impl Key {
    /// The part without the data: `mounts`.
    pub fn base(&self) -> &'static str {
        match self {
            Key::One(name) | Key::Item(name, _) | Key::Member(name, _) => name,
        }
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Key::One(name) => f.write_str(name),
            Key::Item(name, item) | Key::Member(name, item) => write!(f, "{name}[{item}]"),
        }
    }
}

/// One fact of a confinement.
#[derive(Clone, Debug)]
pub struct Fact<'a> {
    pub key: Key,
    /// `null`: not known.
    pub value: Value,
    pub origin: &'a Origin,
}

static NOWHERE: Origin = Origin::Nowhere;

/// Lists that are there even where they are empty, so that a condition may always go through them.
const LISTS: [&str; 5] = ["mounts", "devices.nodes", "network.published", "controlApis", "image.secrets"];
const OBJECTS: [&str; 1] = ["sysctls"];

/// The confinement as one object.
pub fn confinement(c: &Confinement) -> Value {
    let mut root = Map::new();
    for list in LISTS {
        *slot(&mut root, list) = Value::Array(Vec::new());
    }
    for object in OBJECTS {
        *slot(&mut root, object) = Value::Object(Map::new());
    }
    for fact in facts(c) {
        match fact.key {
            Key::One(name) => *slot(&mut root, name) = fact.value,
            Key::Item(name, _) => match slot(&mut root, name) {
                Value::Array(items) => items.push(fact.value),
                other => *other = Value::Array(vec![fact.value]),
            },
            Key::Member(name, member) => match slot(&mut root, name) {
                Value::Object(members) => {
                    members.insert(member.to_string(), fact.value);
                }
                other => *other = json!({ member.to_string(): fact.value }),
            },
        }
    }
    Value::Object(root)
}

/// The value at a dotted name, made where it is not there.
fn slot<'m>(root: &'m mut Map<String, Value>, name: &str) -> &'m mut Value {
    match name.split_once('.') {
        None => root.entry(name).or_insert(Value::Null),
        Some((first, rest)) => {
            let inner = root.entry(first).or_insert_with(|| Value::Object(Map::new()));
            if !inner.is_object() {
                *inner = Value::Object(Map::new());
            }
            match inner {
                Value::Object(members) => slot(members, rest),
                other => other,
            }
        }
    }
}

struct List<'a>(Vec<Fact<'a>>);

impl<'a> List<'a> {
    fn add<T>(
        &mut self,
        name: &'static str,
        fact: &'a confinement::Fact<T>,
        value: impl FnOnce(&T) -> Value,
    ) {
        let value = fact.get().map_or(Value::Null, value);
        self.0.push(Fact { key: Key::One(name), value, origin: &fact.origin });
    }
    fn flag(&mut self, name: &'static str, fact: &'a confinement::Fact<bool>) {
        self.add(name, fact, |v| (*v).into());
    }
    fn plain(&mut self, name: &'static str, value: Value) {
        self.0.push(Fact { key: Key::One(name), value, origin: &NOWHERE });
    }
    fn item(&mut self, name: &'static str, item: impl Into<Arc<str>>, value: Value, origin: &'a Origin) {
        self.0.push(Fact { key: Key::Item(name, item.into()), value, origin });
    }
}

/// Every fact of a confinement, items of lists in the order of their names.
pub fn facts(c: &Confinement) -> Vec<Fact<'_>> {
    let mut list = List(Vec::with_capacity(96));
    list.flag("privileged", &c.privileged);
    identity(&mut list, c);
    capabilities(&mut list, c);
    namespaces(&mut list, c);
    mounts(&mut list, c);
    list.add("maskedPaths", &c.masked_paths, paths);
    list.add("readonlyPaths", &c.readonly_paths, paths);
    list.flag("readOnlyRootfs", &c.read_only_rootfs);
    list.add("seccomp", &c.seccomp, seccomp);
    list.add("apparmor", &c.apparmor, apparmor);
    list.add("selinux", &c.selinux, selinux);
    devices(&mut list, c);
    list.add("cgroup.version", &c.cgroup.version, |v| (*v).into());
    list.flag("cgroup.writable", &c.cgroup.writable);
    if let Some(parent) = &c.cgroup.parent {
        list.add("cgroup.parent", parent, text);
    }
    let mut sysctls: Vec<_> = c.sysctls.iter().collect();
    sysctls.sort_by(|a, b| a.0.cmp(&b.0));
    for (name, value) in sysctls {
        list.0.push(Fact {
            key: Key::Member("sysctls", name.clone()),
            value: value.get().map_or(Value::Null, text),
            origin: &value.origin,
        });
    }
    list.add("limits.memory", &c.limits.memory, limit);
    list.add("limits.cpu", &c.limits.cpu, limit);
    list.add("limits.pids", &c.limits.pids, limit);
    list.flag("network.attached", &c.network.attached);
    list.flag("network.sharedSegment", &c.network.shared_segment);
    for (i, port) in sorted(&c.network.published).into_iter().enumerate() {
        let name: Arc<str> = port.get().cloned().unwrap_or_else(|| format!("unknown {i}").into());
        list.item("network.published", name, port.get().map_or(Value::Null, text), &port.origin);
    }
    for api in &c.control_apis {
        let value = api.get().map_or(Value::Null, control_api);
        let name = value["address"].as_str().or(value["kind"].as_str()).unwrap_or("unknown").to_owned();
        list.item("controlApis", name, value, &api.origin);
    }
    service_account(&mut list, c.service_account.as_ref());
    image(&mut list, c);
    list.add("runtime", &c.runtime, |r| r.to_string().into());
    engine(&mut list, c.engine.as_deref());
    host(&mut list, &c.host);
    list.0
}

fn identity<'a>(list: &mut List<'a>, c: &'a Confinement) {
    let identity = &c.identity;
    list.add("identity.uid", &identity.uid, |v| (*v).into());
    list.flag("identity.root", &identity.root);
    list.add("identity.gid", &identity.gid, |v| (*v).into());
    list.add("identity.groups", &identity.groups, |groups| groups.to_vec().into());
    let mut names: Vec<&str> = identity.group_names.iter().map(|n| &**n).collect();
    names.sort_unstable();
    list.plain("identity.groupNames", names.into());
    list.flag("identity.noNewPrivileges", &identity.no_new_privileges);
    list.flag("identity.setuidPrograms", &identity.setuid_programs);
}

fn capabilities<'a>(list: &mut List<'a>, c: &'a Confinement) {
    let sets = &c.capabilities;
    for (name, fact) in [
        ("capabilities.effective", &sets.effective),
        ("capabilities.permitted", &sets.permitted),
        ("capabilities.inheritable", &sets.inheritable),
        ("capabilities.bounding", &sets.bounding),
        ("capabilities.ambient", &sets.ambient),
    ] {
        list.add(name, fact, |set: &CapabilitySet| {
            set.iter().map(|c| Value::from(c.to_string())).collect::<Vec<_>>().into()
        });
    }
}

fn namespaces<'a>(list: &mut List<'a>, c: &'a Confinement) {
    let user = &c.user_namespace;
    list.flag("userNamespace.initial", &user.initial);
    let ranges = |ranges: &Arc<[IdRange]>| -> Value {
        ranges.iter().map(|r| json!([r.inside, r.outside, r.count])).collect::<Vec<_>>().into()
    };
    list.add("userNamespace.uidMap", &user.uid_map, ranges);
    list.add("userNamespace.gidMap", &user.gid_map, ranges);
    list.flag("userNamespace.rootIsHostRoot", &user.root_is_host_root);
    let namespaces = &c.namespaces;
    for (name, fact) in [
        ("namespaces.pid", &namespaces.pid),
        ("namespaces.net", &namespaces.net),
        ("namespaces.ipc", &namespaces.ipc),
        ("namespaces.uts", &namespaces.uts),
        ("namespaces.cgroup", &namespaces.cgroup),
        ("namespaces.time", &namespaces.time),
    ] {
        list.add(name, fact, |n| match n {
            Namespace::Own => "own".into(),
            Namespace::Host => "host".into(),
            Namespace::Container(id) => format!("container:{id}").into(),
        });
    }
}

fn mounts<'a>(list: &mut List<'a>, c: &'a Confinement) {
    let mut mounts: Vec<&Mount> = c.mounts.iter().collect();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    for (i, mount) in mounts.iter().enumerate() {
        // One target may be mounted on twice; the last covers the others.
        let again = mounts.iter().take(i).filter(|m| m.target == mount.target).count();
        let name: Arc<str> = match again {
            0 => mount.target.clone(),
            n => format!("{} ({})", mount.target, n + 1).into(),
        };
        list.item("mounts", name, mount_value(mount), mount.origin());
    }
}

fn mount_value(mount: &Mount) -> Value {
    json!({
        "target": mount.target,
        "source": mount.source.get().map_or(Value::Null, mount_source),
        "readOnly": mount.read_only.get(),
        "recursiveReadOnly": mount.recursive_read_only.get(),
        "recursive": mount.recursive,
        "propagation": mount.propagation.get().map(|p| match p {
            Propagation::Private => "private",
            Propagation::Slave => "slave",
            Propagation::Shared => "shared",
        }),
        "nosuid": mount.nosuid,
        "nodev": mount.nodev,
        "noexec": mount.noexec,
    })
}

fn mount_source(source: &MountSource) -> Value {
    match source {
        MountSource::Host(path) => json!({ "kind": "host", "path": path.as_str() }),
        MountSource::Volume(name) => json!({ "kind": "volume", "name": name }),
        MountSource::Private => json!({ "kind": "private" }),
        MountSource::Kernel(name) => json!({ "kind": "kernel", "name": name }),
        MountSource::Other(name) => json!({ "kind": "other", "name": name }),
    }
}

fn paths(paths: &Arc<[Arc<str>]>) -> Value {
    let mut paths: Vec<&str> = paths.iter().map(|p| &**p).collect();
    paths.sort_unstable();
    paths.into()
}

fn seccomp(seccomp: &Seccomp) -> Value {
    match seccomp {
        Seccomp::Disabled => json!({ "kind": "disabled" }),
        Seccomp::Builtin(builtin) => json!({ "kind": "builtin", "name": builtin.engine() }),
        Seccomp::Profile { name, .. } => json!({ "kind": "profile", "name": name }),
        Seccomp::Opaque => json!({ "kind": "opaque" }),
        Seccomp::Measured(_) => json!({ "kind": "measured" }),
    }
}

fn apparmor(apparmor: &AppArmor) -> Value {
    match apparmor {
        AppArmor::Absent => json!({ "kind": "absent" }),
        AppArmor::Unconfined => json!({ "kind": "unconfined" }),
        AppArmor::Profile { name, enforcing, .. } => {
            json!({ "kind": "profile", "name": name, "enforcing": enforcing })
        }
    }
}

fn selinux(selinux: &SeLinux) -> Value {
    match selinux {
        SeLinux::Absent => json!({ "kind": "absent" }),
        SeLinux::Permissive => json!({ "kind": "permissive" }),
        SeLinux::Unconfined => json!({ "kind": "unconfined" }),
        SeLinux::Confined { domain } => json!({ "kind": "confined", "domain": domain }),
        SeLinux::Custom { domain } => json!({ "kind": "custom", "domain": domain }),
    }
}

fn devices<'a>(list: &mut List<'a>, c: &'a Confinement) {
    let mut nodes: Vec<_> = c.devices.nodes.iter().enumerate().collect();
    nodes.sort_by_key(|(i, node)| (node.get().map(|n| n.host.clone()), *i));
    for (i, node) in nodes {
        let name = node.get().map_or_else(|| format!("unknown {i}"), |n| n.host.to_string());
        list.item("devices.nodes", name, node.get().map_or(Value::Null, device_node), &node.origin);
    }
    list.flag("devices.allHostNodes", &c.devices.all_host_nodes);
    list.add("devices.rules", &c.devices.rules, |rules| {
        // Order matters: of several that match, the last decides.
        rules.iter().map(device_rule).collect::<Vec<_>>().into()
    });
}

fn device_node(node: &DeviceNode) -> Value {
    json!({
        "path": node.host.as_str(),
        "kind": node.kind,
        "major": node.major,
        "minor": node.minor,
    })
}

/// As the kernel writes rules: `allow c 1:3 rwm`.
fn device_rule(rule: &DeviceRule) -> Value {
    let kind = match rule.kind {
        DeviceKind::All => "a",
        DeviceKind::Block => "b",
        DeviceKind::Char => "c",
    };
    let number = |n: Option<u32>| n.map_or("*".to_owned(), |n| n.to_string());
    let DeviceAccess { read, write, mknod } = rule.access;
    let access: String =
        [(read, 'r'), (write, 'w'), (mknod, 'm')].iter().filter(|(on, _)| *on).map(|(_, c)| c).collect();
    let verb = if rule.allow { "allow" } else { "deny" };
    match &rule.node {
        Some(node) => format!("{verb} {kind} {node} {access}").into(),
        None => format!("{verb} {kind} {}:{} {access}", number(rule.major), number(rule.minor)).into(),
    }
}

/// `"unlimited"` is no number, so that a condition that compares it fails, and is not taken for a small one.
fn limit(limit: &Option<u64>) -> Value {
    limit.map_or("unlimited".into(), Value::from)
}

fn control_api(api: &ControlApi) -> Value {
    match api {
        ControlApi::EngineTcp { address, tls } => {
            json!({ "kind": "engine-tcp", "address": address, "tls": tls })
        }
        ControlApi::ApiSocket => json!({ "kind": "api-socket" }),
    }
}

fn service_account<'a>(list: &mut List<'a>, account: Option<&'a ServiceAccount>) {
    let Some(account) = account else {
        return list.plain("serviceAccount", Value::Null);
    };
    list.plain("serviceAccount.namespace", text(&account.namespace));
    list.plain("serviceAccount.name", text(&account.name));
    list.flag("serviceAccount.tokenMounted", &account.token_mounted);
    list.add("serviceAccount.grants", &account.grants, |grants| {
        let texts = |list: &Arc<[Arc<str>]>| {
            let mut texts: Vec<&str> = list.iter().map(|t| &**t).collect();
            texts.sort_unstable();
            Value::from(texts)
        };
        let grant = |g: &confinement::Fact<confinement::Grant>| {
            g.get().map_or(Value::Null, |g| {
                json!({
                    "namespace": g.namespace,
                    "verbs": texts(&g.verbs),
                    "apiGroups": texts(&g.api_groups),
                    "resources": texts(&g.resources),
                    "resourceNames": texts(&g.resource_names),
                })
            })
        };
        let mut grants: Vec<Value> = grants.iter().map(grant).collect();
        grants.sort_by_cached_key(ToString::to_string);
        grants.into()
    });
}

fn image<'a>(list: &mut List<'a>, c: &'a Confinement) {
    let reference = &c.image.reference;
    list.add("image.reference", reference, text);
    list.add("image.registry", reference, |r| Reference::parse(r).registry.into());
    list.add("image.repository", reference, |r| Reference::parse(r).repository.into());
    list.add("image.tag", reference, |r| Reference::parse(r).tag.into());
    list.add("image.digest", reference, |r| Reference::parse(r).digest.into());
    list.flag("image.pinned", &c.image.pinned);
    for (i, secret) in sorted(&c.image.secrets).into_iter().enumerate() {
        let name: Arc<str> = secret.get().cloned().unwrap_or_else(|| format!("unknown {i}").into());
        list.item("image.secrets", name, secret.get().map_or(Value::Null, text), &secret.origin);
    }
}

fn sorted(list: &[confinement::Fact<Arc<str>>]) -> Vec<&confinement::Fact<Arc<str>>> {
    let mut list: Vec<_> = list.iter().collect();
    list.sort_by(|a, b| a.value.cmp(&b.value));
    list
}

fn engine<'a>(list: &mut List<'a>, engine: Option<&'a Engine>) {
    let Some(engine) = engine else {
        return list.plain("engine", Value::Null);
    };
    list.plain("engine.kind", engine.kind.name().into());
    list.plain("engine.label", text(&engine.label));
    let s = &engine.settings;
    for (name, fact) in [
        ("engine.settings.usernsRemap", &s.userns_remap),
        ("engine.settings.rootless", &s.rootless),
        ("engine.settings.noNewPrivileges", &s.no_new_privileges),
        ("engine.settings.interContainer", &s.inter_container),
        ("engine.settings.selinuxEnabled", &s.selinux_enabled),
        ("engine.settings.kubeletSeccompDefault", &s.kubelet_seccomp_default),
        ("engine.settings.liveRestore", &s.live_restore),
        ("engine.settings.userlandProxy", &s.userland_proxy),
        ("engine.settings.experimental", &s.experimental),
    ] {
        list.flag(name, fact);
    }
    list.add("engine.settings.authorizationPlugins", &s.authorization_plugins, |names| {
        // They are asked in order, and the order is part of what is set.
        names.iter().map(|n| Value::from(&**n)).collect::<Vec<_>>().into()
    });
    if let Some(fact) = &s.seccomp_profile {
        list.add("engine.settings.seccompProfile", fact, |profile| match profile {
            SeccompDefault::Unconfined => "unconfined".into(),
            SeccompDefault::Profile { name, .. } | SeccompDefault::Unread(name) => text(name),
        });
    }
    if let Some(fact) = &s.default_cgroup_namespace_host {
        list.flag("engine.settings.defaultCgroupNamespaceHost", fact);
    }
    for (name, fact) in [
        ("engine.settings.defaultIpc", &s.default_ipc),
        ("engine.settings.defaultRuntime", &s.default_runtime),
        ("engine.settings.logDriver", &s.log_driver),
        ("engine.settings.cgroupParent", &s.cgroup_parent),
    ] {
        if let Some(fact) = fact {
            list.add(name, fact, text);
        }
    }
    if let Some(fact) = &s.pids_limit {
        list.add("engine.settings.pidsLimit", fact, limit);
    }
    for tcp in &s.tcp {
        let value = |t: &TcpApi| json!({ "address": t.address, "verifiesClients": t.verifies_clients });
        let name: Arc<str> = tcp.get().map_or_else(|| "unknown".into(), |t| t.address.clone());
        list.item("engine.settings.tcp", name, tcp.get().map_or(Value::Null, value), &tcp.origin);
    }
    for registry in sorted(&s.insecure_registries) {
        let name: Arc<str> = registry.get().cloned().unwrap_or_else(|| "unknown".into());
        let value = registry.get().map_or(Value::Null, text);
        list.item("engine.settings.insecureRegistries", name, value, &registry.origin);
    }
}

fn host<'a>(list: &mut List<'a>, host: &'a Host) {
    list.plain("host.name", host.name.as_ref().map_or(Value::Null, text));
    list.add("host.kernelRelease", &host.kernel_release, text);
    list.add("host.machine", &host.machine, text);
    list.add("host.lsms", &host.lsms, |lsms| {
        lsms.iter().map(|l| Value::from(&**l)).collect::<Vec<_>>().into()
    });
    list.flag("host.selinuxEnforcing", &host.selinux_enforcing);
    list.add("host.lockdown", &host.lockdown, text);
    list.add("host.cgroupVersion", &host.cgroup_version, |v| (*v).into());
    list.flag("host.modulesLoadable", &host.modules_loadable);
    list.add("host.cloud", &host.cloud, |cloud| cloud.as_ref().map_or("none".into(), text));
    for (name, value) in &host.sysctls {
        list.0.push(Fact {
            key: Key::Member("host.sysctls", name.clone()),
            value: value.get().map_or(Value::Null, text),
            origin: &value.origin,
        });
    }
    for (name, component) in &host.components {
        let value = component.get().map_or(Value::Null, |c| c.version.as_ref().map_or(Value::Null, text));
        list.0.push(Fact {
            key: Key::Member("host.components", name.clone()),
            value,
            origin: &component.origin,
        });
    }
}
