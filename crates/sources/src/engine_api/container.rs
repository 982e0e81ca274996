//! One container as Docker's or Podman's inspect shows it: what was asked for, as a [`Request`], and what the
//! engine says it made of that.
//!
//! Docker's form is the Engine API's `ContainerInspect` (moby api/docs, v1.24 to v1.5x); Podman's is libpod's
//! `InspectContainerData` (libpod/define/container_inspect.go), which descends from it.

use std::collections::BTreeMap;
use std::sync::Arc;

use confinement::confine::{DeviceRequest, NamespaceRequest, UserNamespaceRequest, selinux_domain};
use confinement::{
    AppArmor, Confinement, DeviceAccess, Engine, EngineKind, Fact, HostPath, Labels, Mount, MountSource,
    Operation, Origin, Propagation, Request, Restart, SeLinux,
};

use super::answer::Field;
use crate::measured::{apparmor_template, fold_processors, sorted};
use crate::options::{self, Surroundings};

/// What the engine knows beyond the container.
pub(super) struct Neighbours {
    /// Names by id, for `container:ID`.
    pub names: BTreeMap<Arc<str>, Arc<str>>,
    /// What volumes show, by name. `None`: the list of volumes could not be read.
    pub volumes: Option<BTreeMap<Arc<str>, Fact<MountSource>>>,
    /// Programs of runtimes, by the name that `--runtime` takes.
    pub runtimes: BTreeMap<Arc<str>, Arc<str>>,
    /// Whether paths of the engine are paths of this machine.
    pub local: bool,
}

impl Neighbours {
    /// The id of a container's subject, by the container's id or name.
    pub(super) fn subject(&self, kind: EngineKind, reference: &str) -> Arc<str> {
        let name = self.names.get(reference).map_or(reference, |name| name);
        subject_id(kind, name)
    }
}

/// `docker:web`: stable between runs, as names are unique within an engine.
pub(super) fn subject_id(kind: EngineKind, name: &str) -> Arc<str> {
    format!("{}:{name}", kind.name()).into()
}

/// Its labels, in Podman's inspection at the same place as in Docker's.
pub(super) fn labels(root: &Field<'_>) -> Labels {
    let members = root.get("Config").get("Labels").members();
    let label = |(key, value): (&str, Field<'_>)| Some((Arc::from(key), value.plain()?));
    Arc::new(members.into_iter().filter_map(label).collect())
}

/// When the engine made it and last started it. No engine says who asked.
pub(super) fn made(root: &Field<'_>) -> Option<Arc<str>> {
    let created = root.get("Created").plain().filter(|text| !text.is_empty())?;
    let started = root.get("State").get("StartedAt").plain();
    // The zero time of Go stands for "never".
    Some(match started.filter(|text| !text.is_empty() && !text.starts_with("0001-")) {
        Some(started) => format!("created {created}, started {started}").into(),
        None => format!("created {created}").into(),
    })
}

/// What was asked for.
pub(super) fn request(root: &Field<'_>, engine: &Engine, neighbours: &Neighbours) -> Request {
    let (host, config) = (root.get("HostConfig"), root.get("Config"));
    let mut request = Request {
        image: config.get("Image").filled(),
        // Both engines merge the image's user into the container's when they create it (moby daemon/commit.go,
        // merge; Podman pkg/specgen/generate/container.go, CompleteSpec), so that an empty one is nobody's.
        user: config.get("User").filled(),
        image_user: config.get("User").text(),
        groups: host.get("GroupAdd").texts(),
        privileged: host.get("Privileged").boolean(),
        cap_add: capabilities(&host.get("CapAdd")),
        cap_drop: capabilities(&host.get("CapDrop")),
        read_only_rootfs: host.get("ReadonlyRootfs").boolean(),
        cgroup_parent: host.get("CgroupParent").filled(),
        memory: limit(&host.get("Memory"), |bytes| bytes),
        cpu: cpu(&host),
        pids: limit(&host.get("PidsLimit"), |count| count),
        runtime: runtime(root, &host, engine.kind, neighbours),
        published: published(&host, root),
        control_apis: environment(&config.get("Env")),
        mounts: mounts(root, neighbours),
        operation: operation(root, engine.kind),
        ..Request::default()
    };
    let subject = |reference: options::Reference<'_>| match reference {
        options::Reference::Container(id) | options::Reference::Service(id) => {
            neighbours.subject(engine.kind, id)
        }
    };
    let read_file = |path: &str| {
        if !neighbours.local {
            return Err("it is a file of another machine".to_owned());
        }
        crate::process::read_text(std::path::Path::new(path)).map_err(|error| error.to_string())
    };
    let around = Surroundings {
        engine: engine.kind,
        folder: "/",
        home: "/root",
        volume: &|_, origin| Fact::unknown(origin.clone()),
        subject: &subject,
        read_file: &read_file,
    };
    namespaces(&host, &around, &mut request);
    security_options(&host.get("SecurityOpt"), &around, &mut request);
    if engine.kind == EngineKind::Podman {
        unmasked(&config.get("CreateCommand"), &around, &mut request);
    }
    devices(&host, engine.kind, &mut request);
    for (key, value) in host.get("Sysctls").members() {
        if let Some(text) = value.text() {
            request.sysctls.push((key.into(), text));
        }
    }
    if engine.kind == EngineKind::Podman {
        asked_by_command(&config.get("CreateCommand"), &mut request);
    }
    request
}

/// Podman's inspection has neither sysctls nor rules for devices, and leaves the rights to a device empty; they stand
/// in the command that made the container.
fn asked_by_command(command: &Field<'_>, request: &mut Request) {
    let words: Vec<String> =
        command.texts().into_iter().filter_map(|word| word.value.map(|word| word.to_string())).collect();
    let Some(taken) = crate::run::take_apart(&words) else { return };
    let origin = command.origin();
    let values = |long: &'static str| {
        taken
            .options
            .iter()
            .filter(move |option| option.long == long)
            .filter_map(|option| option.value.as_deref())
    };
    for value in values("sysctl") {
        match options::sysctl(value, &origin) {
            Ok(sysctl) => request.sysctls.push(sysctl),
            Err(why) => command.problem(why),
        }
    }
    for value in values("device-cgroup-rule") {
        match options::device_rule(value, &origin) {
            Ok(rule) => request.device_rules.push(rule),
            Err(why) => {
                command.problem(why);
                request.device_rules.push(Fact::unknown(origin.clone()));
            }
        }
    }
    for value in values("device") {
        let mut parts = value.split(':');
        let path = parts.next().unwrap_or("");
        // `HOST[:INSIDE][:RIGHTS]`, and rights are no absolute path.
        let Some(access) =
            parts.next_back().filter(|last| !last.starts_with('/')).and_then(DeviceAccess::parse)
        else {
            continue;
        };
        for device in request.devices.iter_mut().filter_map(|device| device.value.as_mut()) {
            if device.host == HostPath::new(path) {
                device.access = access;
            }
        }
    }
}

fn capabilities(field: &Field<'_>) -> Vec<Fact<Arc<str>>> {
    let mut names = field.texts();
    for name in &mut names {
        if let Some(text) = name.get()
            && let Err(why) = options::capability(text, &name.origin)
        {
            field.problem(why);
            name.value = None;
        }
    }
    names
}

/// 0 and negative numbers are "no limit" in both APIs.
fn limit(field: &Field<'_>, unit: impl Fn(u64) -> u64) -> Option<Fact<Option<u64>>> {
    let number = field.integer()?;
    Some(number.map(|n| u64::try_from(*n).ok().filter(|n| *n > 0).map(&unit)))
}

/// Thousandths of a processor, from `NanoCpus` or from quota and period (cgroups(7), 100 ms where it is not given).
fn cpu(host: &Field<'_>) -> Option<Fact<Option<u64>>> {
    let nano = limit(&host.get("NanoCpus"), |n| n / 1_000_000);
    if nano.as_ref().is_some_and(|n| n.value != Some(None)) {
        return nano;
    }
    let quota = limit(&host.get("CpuQuota"), |n| n);
    let Some(Fact { value: Some(Some(microseconds)), origin }) = quota else { return nano.or(quota) };
    let period = limit(&host.get("CpuPeriod"), |n| n).and_then(|p| p.value.flatten()).unwrap_or(100_000);
    Some(Fact::known(Some(microseconds.saturating_mul(1000) / period.max(1)), origin))
}

fn runtime(
    root: &Field<'_>,
    host: &Field<'_>,
    kind: EngineKind,
    neighbours: &Neighbours,
) -> Option<Fact<Arc<str>>> {
    // Podman's HostConfig.Runtime is always `oci`.
    let field = if kind == EngineKind::Podman { root.get("OCIRuntime") } else { host.get("Runtime") };
    // A name that the administrator chose stands for a program; a well-known name stands for itself.
    Some(field.filled()?.map(|name| match confinement::Runtime::parse(name) {
        confinement::Runtime::Other(_) => neighbours.runtimes.get(name).unwrap_or(name).clone(),
        _ => name.clone(),
    }))
}

fn published(host: &Field<'_>, root: &Field<'_>) -> Vec<Fact<Arc<str>>> {
    let mut ports = host.get("PortBindings").members();
    if host.get("PublishAllPorts").boolean().is_some_and(|all| all.value == Some(true)) {
        ports.extend(root.get("NetworkSettings").get("Ports").members());
    }
    let mut found: Vec<Fact<Arc<str>>> = Vec::new();
    for (inside, bindings) in ports {
        for binding in bindings.list() {
            let address = binding.get("HostIp").plain().unwrap_or_default();
            let port = binding.get("HostPort").plain().unwrap_or_default();
            let text: Arc<str> = format!("{address}:{port}:{inside}").into();
            found.push(Fact::known(text, binding.origin()));
        }
    }
    found
}

/// How it is kept running.
fn operation(root: &Field<'_>, kind: EngineKind) -> Operation {
    let (host, config) = (root.get("HostConfig"), root.get("Config"));
    let policy = host.get("RestartPolicy");
    let restart = policy.get("Name").text().map(|name| {
        let retries = policy.get("MaximumRetryCount").integer().and_then(|count| count.value);
        let retries = retries.and_then(|n| u32::try_from(n).ok()).filter(|n| *n > 0);
        name.map(|name| Restart { retries, ..Restart::parse(name) })
    });
    // Docker merges the image's check into the container's when it creates it (moby daemon/commit.go, merge), so that
    // in an inspection none is none; a request does not say what the image has.
    let check = config.get("Healthcheck");
    let test = check.get("Test").texts();
    let health_check = match test.first().map(|first| first.get().map(|word| &**word)) {
        Some(Some("NONE")) => Some(Fact::known(false, check.origin())),
        Some(Some(_)) => Some(Fact::known(true, check.origin())),
        Some(None) => Some(Fact::unknown(check.origin())),
        None if kind == EngineKind::Docker && !root.get("State").is_absent() => {
            Some(Fact::known(false, config.origin()))
        }
        None => None,
    };
    let mode = host.get("NetworkMode");
    let joined = root.get("NetworkSettings").get("Networks");
    let default_bridge = mode.text().map(|name| {
        let on_it = matches!(name.get().map(|name| &**name), Some("default" | "bridge" | ""))
            || joined.members().iter().any(|(network, _)| *network == "bridge");
        Fact { value: name.value.map(|_| on_it), origin: name.origin }
    });
    let ulimits = host.get("Ulimits");
    Operation {
        restart,
        health_check,
        cpu_shares: limit(&host.get("CpuShares"), |shares| shares),
        ulimits: (!ulimits.is_absent()).then(|| Fact::known(!ulimits.list().is_empty(), ulimits.origin())),
        default_bridge: default_bridge.filter(|_| kind == EngineKind::Docker),
        ..Operation::default()
    }
}

fn environment(field: &Field<'_>) -> Vec<Fact<confinement::ControlApi>> {
    let texts = field.texts();
    let pairs = texts.iter().filter_map(|fact| {
        let (name, value) = fact.get()?.split_once('=')?;
        Some((name, Some(value), fact.origin.clone()))
    });
    options::control_apis(pairs)
}

fn namespaces(host: &Field<'_>, around: &Surroundings<'_>, request: &mut Request) {
    type Read = fn(&str, &Origin, &Surroundings<'_>) -> Result<Option<Fact<NamespaceRequest>>, String>;
    let read = |name: &str, read: Read| {
        let field = host.get(name);
        let text = field.filled()?;
        let Some(value) = text.get() else { return Some(Fact::unknown(text.origin)) };
        match read(value, &text.origin, around) {
            Ok(asked) => asked,
            Err(why) => {
                field.problem(why);
                Some(Fact::unknown(text.origin))
            }
        }
    };
    request.pid = read("PidMode", options::pid_namespace);
    request.ipc = read("IpcMode", options::ipc_namespace);
    request.uts = read("UTSMode", options::uts_namespace);
    request.cgroup = read("CgroupnsMode", options::cgroup_namespace)
        .or_else(|| read("CgroupMode", options::cgroup_namespace));

    let field = host.get("NetworkMode");
    if let Some(text) = field.filled() {
        match text.get().map(|mode| options::network(mode, &text.origin, around, request)) {
            None => request.net = Some(Fact::unknown(text.origin)),
            Some(Ok(())) => {}
            Some(Err(why)) => {
                field.problem(why);
                request.net = Some(Fact::unknown(text.origin));
            }
        }
    }
    request.user_namespace = user_namespace(host);
}

fn user_namespace(host: &Field<'_>) -> Option<Fact<UserNamespaceRequest>> {
    let field = host.get("IDMappings");
    if !field.is_absent() {
        let (uid, gid) = (field.get("UidMap").texts(), field.get("GidMap").texts());
        // `INSIDE:OUTSIDE:COUNT`, as on the command line.
        match options::id_maps(&written(&uid), &written(&gid)) {
            Ok(Some(maps)) => return Some(maps),
            Ok(None) => {}
            Err(why) => {
                field.problem(why);
                return Some(Fact::unknown(field.origin()));
            }
        }
    }
    let field = host.get("UsernsMode");
    let text = field.filled()?;
    let Some(value) = text.get() else { return Some(Fact::unknown(text.origin)) };
    match options::user_namespace(value, &text.origin) {
        Ok(asked) => asked,
        Err(why) => {
            field.problem(why);
            Some(Fact::unknown(text.origin))
        }
    }
}

fn written(texts: &[Fact<Arc<str>>]) -> Vec<(&str, Origin)> {
    texts.iter().filter_map(|fact| Some((&**fact.get()?, fact.origin.clone()))).collect()
}

fn security_options(field: &Field<'_>, around: &Surroundings<'_>, request: &mut Request) {
    for option in field.texts() {
        let Some(text) = option.get() else { continue };
        if let Err(why) = options::security_option(text, &option.origin, around, request) {
            field.problem(why);
        }
    }
}

/// Podman 4 leaves `mask` and `unmask` out of SecurityOpt; they stand in the command that made the container.
fn unmasked(command: &Field<'_>, around: &Surroundings<'_>, request: &mut Request) {
    let words = command.texts();
    let words: Vec<&str> = words.iter().filter_map(|w| w.get().map(|w| &**w)).collect();
    for (at, word) in words.iter().enumerate() {
        let option = match word.strip_prefix("--security-opt") {
            Some("") => words.get(at + 1).copied(),
            Some(joined) => joined.strip_prefix('='),
            None => None,
        };
        if let Some(option) = option.filter(|o| o.starts_with("unmask=") || o.starts_with("mask="))
            && let Err(why) = options::security_option(option, &command.origin(), around, request)
        {
            command.problem(why);
        }
    }
}

fn devices(host: &Field<'_>, kind: EngineKind, request: &mut Request) {
    for device in host.get("Devices").list() {
        let Some(path) = device.get("PathOnHost").filled() else { continue };
        // Podman leaves the permissions empty for the default, which is all (containers/common pkg/util).
        let access = device.get("CgroupPermissions").filled();
        let access = match access.as_ref().map(|a| a.get().and_then(|text| DeviceAccess::parse(text))) {
            None => DeviceAccess::ALL,
            Some(Some(access)) => access,
            Some(None) => {
                device.problem("CgroupPermissions holds a letter other than r, w and m; all are taken");
                DeviceAccess::ALL
            }
        };
        request.devices.push(path.map(|path| DeviceRequest { access, ..DeviceRequest::path(path) }));
    }
    for rule in host.get("DeviceCgroupRules").texts() {
        match rule.get().map(|text| options::device_rule(text, &rule.origin)) {
            Some(Ok(read)) => request.device_rules.push(read),
            Some(Err(why)) => {
                host.problem(why);
                request.device_rules.push(Fact::unknown(rule.origin));
            }
            None => request.device_rules.push(Fact::unknown(rule.origin)),
        }
    }
    // Docker's `--gpus` and CDI devices; Podman writes CDI names among its devices.
    let asked = host.get("DeviceRequests");
    if kind == EngineKind::Docker
        && asked.list().iter().any(|r| {
            r.get("Count").integer().is_some_and(|n| n.value != Some(0))
                || !r.get("DeviceIDs").list().is_empty()
        })
    {
        request.gpus = Some(Fact::known(true, asked.origin()));
    }
}

fn mounts(root: &Field<'_>, neighbours: &Neighbours) -> Vec<Mount> {
    let host = root.get("HostConfig");
    let asked = host.get("Mounts").list();
    let mut found = Vec::new();
    for field in root.get("Mounts").list() {
        let Some(target) = field.get("Destination").plain() else {
            field.problem("a mount without a Destination is left out");
            continue;
        };
        let mut mount = Mount::from_source(MountSource::Private, target.clone(), false, field.origin());
        mount.source = source(&field, neighbours);
        mount.read_only = field.get("RW").boolean().unwrap_or_default().map(|writable| !writable);
        mount.propagation = propagation(&field.get("Propagation"));
        let mode = field.get("Mode").plain().unwrap_or_default();
        let words: Vec<Arc<str>> = field
            .get("Options")
            .texts()
            .into_iter()
            .filter_map(|f| f.value)
            .chain(mode.split(',').map(Arc::from))
            .collect();
        let says = |word: &str| words.iter().any(|w| &**w == word);
        mount.nosuid = says("nosuid");
        mount.nodev = says("nodev");
        mount.noexec = says("noexec");
        mount.relabelled = says("z") || says("Z");
        mount.recursive = !says("bind") || says("rbind");
        let written = asked.iter().find(|m| m.get("Target").plain().as_deref() == Some(&*target));
        if let Some(bind) = written.map(|m| m.get("BindOptions")) {
            let set = |name: &str| bind.get(name).boolean().is_some_and(|f| f.value == Some(true));
            mount.recursive = mount.recursive && !set("NonRecursive");
            if set("ReadOnlyNonRecursive") {
                mount.recursive_read_only = Fact::known(false, bind.origin());
            } else if set("ReadOnlyForceRecursive") {
                mount.recursive_read_only = Fact::known(true, bind.origin());
            }
        }
        found.push(mount);
    }
    for (target, options) in host.get("Tmpfs").members() {
        let mut mount = Mount::from_source(MountSource::Private, target, false, options.origin());
        let text = options.plain().unwrap_or_default();
        let says = |word: &str| text.split(',').any(|w| w == word);
        mount.read_only.value = Some(says("ro"));
        // Both engines add nosuid, nodev and noexec unless told otherwise; Podman noexec only where it is asked.
        mount.nosuid = !says("suid");
        mount.nodev = !says("dev");
        mount.noexec = says("noexec");
        found.push(mount);
    }
    found
}

fn source(mount: &Field<'_>, neighbours: &Neighbours) -> Fact<MountSource> {
    let kind = mount.get("Type").plain().unwrap_or_default();
    let path = mount.get("Source").filled();
    match &*kind {
        "volume" => {
            let name = mount.get("Name").plain().unwrap_or_default();
            let Some(volumes) = &neighbours.volumes else { return Fact::unknown(mount.origin()) };
            match volumes.get(&name) {
                Some(content) => Fact { value: content.value.clone(), origin: mount.origin() },
                None => Fact::unknown(mount.origin()),
            }
        }
        "tmpfs" => Fact::known(MountSource::Private, mount.origin()),
        // Old daemons leave the type out where it is a bind.
        "bind" | "" => match path {
            Some(path) => path.map(|path| MountSource::Host(HostPath::new(path))),
            None => Fact::unknown(mount.origin()),
        },
        other => Fact::known(MountSource::Other(format!("{other} mount").into()), mount.origin()),
    }
}

fn propagation(field: &Field<'_>) -> Fact<Propagation> {
    match field.filled() {
        None => Fact::known(Propagation::Private, field.origin()),
        Some(text) => {
            Fact { value: text.get().and_then(|word| options::propagation(word).ok()), origin: text.origin }
        }
    }
}

/// What the engine says it did, in place of what its documented defaults would make of the request.
pub(super) fn overlay_stated(root: &Field<'_>, kind: EngineKind, confinement: &mut Confinement) {
    let host = root.get("HostConfig");
    // The lists stand in Docker's inspect whether or not they were asked for; `[]` is `systempaths=unconfined`.
    for (name, fact) in
        [("MaskedPaths", &mut confinement.masked_paths), ("ReadonlyPaths", &mut confinement.readonly_paths)]
    {
        let field = host.get(name);
        if kind == EngineKind::Docker && !field.is_absent() {
            let texts = field.texts();
            let all: Option<Vec<Arc<str>>> =
                texts.iter().map(|t| t.get().map(|p| fold_processors(p))).collect();
            *fact = Fact { value: all.map(sorted), origin: field.origin() };
        }
    }
    let profile = root.get("AppArmorProfile");
    if let Some(name) = profile.filled() {
        confinement.apparmor = name.map(|name| match &**name {
            "unconfined" => AppArmor::Unconfined,
            name => {
                AppArmor::Profile { name: name.into(), enforcing: true, template: apparmor_template(name) }
            }
        });
    }
    let label = root.get("ProcessLabel");
    if let Some(text) = label.filled()
        && let Some(domain) = text.get().and_then(|l| l.split(':').nth(2))
    {
        confinement.selinux = match confinement.host.selinux_enforcing.value {
            Some(false) => {
                Fact::known(SeLinux::Permissive, confinement.host.selinux_enforcing.origin.clone())
            }
            _ => Fact::known(selinux_domain(domain), text.origin),
        };
    }
}
