//! One Compose service: its layers merged key by key, and read into a [`Request`].

mod settings;

use std::sync::Arc;

use confinement::confine::{AppArmorRequest, NamespaceRequest};
use confinement::{ControlApi, Fact, Labels, Mount, Origin, Place, Problem, Request, Restart};

use super::{Layer, Project, absolute, service_id};
use crate::compose::interpolate::interpolate;
use crate::context::Context;
use crate::document::Node;
use crate::options::{self, MountKind, MountParts, Reference, Surroundings, UNKNOWN};

pub use settings::{Settings, Words};

/// A scalar with its variables replaced, and where it stands.
struct Text {
    value: String,
    origin: Origin,
    /// Relative paths start here.
    folder: Arc<str>,
}

pub(super) struct Service<'a> {
    project: &'a Project<'a>,
    path: &'a str,
    name: &'a str,
    layers: &'a [Layer],
    context: &'a Context,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
}

impl<'a> Service<'a> {
    pub(super) fn new(
        project: &'a Project<'a>,
        path: &'a str,
        name: &'a str,
        layers: &'a [Layer],
        context: &'a Context,
    ) -> Service<'a> {
        Service { project, path, name, layers, context, problems: Vec::new(), notes: Vec::new() }
    }

    fn problem(&mut self, place: &Place, message: impl Into<String>) {
        self.problems.push(Problem::at(place, message));
    }

    /// A scalar's text. A collection is a problem, and then the fact is unknown.
    fn text(&mut self, node: &Node, layer: &Layer) -> Option<Text> {
        let Some(raw) = node.as_str() else {
            if !node.is_null() {
                self.problem(&node.place(), "a single value is wanted here");
            }
            return None;
        };
        let value = match interpolate(raw, &layer.environment) {
            Ok(done) => {
                for name in &done.unset {
                    self.notes.push(Problem::at(&node.place(), format!("variable {name} is not set")));
                }
                if let Some(why) = done.refused {
                    self.problem(&node.place(), why);
                }
                done.text
            }
            Err(why) => {
                self.problem(&node.place(), why);
                UNKNOWN.to_string()
            }
        };
        Some(Text { value, origin: node.origin(), folder: layer.folder.clone() })
    }

    /// The last layer's word on a key. `!reset` takes back what lower layers said.
    fn last(&self, key: &str) -> Option<(Node, Layer)> {
        let (node, layer) =
            self.layers.iter().rev().find_map(|layer| Some((layer.node.get(key)?, layer.clone())))?;
        (node.tag() != Some("!reset")).then_some((node, layer))
    }

    fn scalar(&mut self, key: &str) -> Option<Text> {
        let (node, layer) = self.last(key)?;
        if node.is_null() {
            return None;
        }
        let text = self.text(&node, &layer);
        // What is there but cannot be read is not as if it were absent.
        Some(text.unwrap_or(Text { value: UNKNOWN.to_string(), origin: node.origin(), folder: layer.folder }))
    }

    fn boolean(&mut self, key: &str) -> Option<Fact<bool>> {
        let text = self.scalar(key)?;
        Some(match options::known(&text.value, text.origin.clone(), boolean) {
            Ok(fact) => fact,
            Err(why) => {
                if let Some(place) = text.origin.place() {
                    self.problems.push(Problem::at(place, format!("`{key}`: {why}")));
                }
                Fact::unknown(text.origin)
            }
        })
    }

    /// The nodes that count for a key that holds a list: every layer's, lowest first, from the last `!override`
    /// or `!reset` on.
    fn sources(&self, key: &str) -> Vec<(Node, Layer)> {
        let mut found: Vec<(Node, Layer)> = Vec::new();
        for layer in self.layers {
            let Some(node) = layer.node.get(key) else { continue };
            match node.tag() {
                Some("!reset") => found.clear(),
                Some("!override") => found = vec![(node, layer.clone())],
                _ => found.push((node, layer.clone())),
            }
        }
        found
    }

    /// Items of a list of scalars.
    fn list(&mut self, key: &str) -> Vec<Text> {
        let mut texts = Vec::new();
        for (node, layer) in self.sources(key) {
            if node.is_null() {
                continue;
            }
            if node.is_sequence() {
                for item in node.items() {
                    let text = self.text(&item, &layer);
                    // What is there but cannot be read is not as if it were absent.
                    let unread = || Text {
                        value: UNKNOWN.to_string(),
                        origin: item.origin(),
                        folder: layer.folder.clone(),
                    };
                    texts.extend(text.or_else(|| (!item.is_null()).then(unread)));
                }
            } else if key == "tmpfs" && node.is_scalar() {
                texts.extend(self.text(&node, &layer));
            } else {
                self.problem(&node.place(), format!("`{key}` must be a list"));
                texts.push(Text {
                    value: UNKNOWN.to_string(),
                    origin: node.origin(),
                    folder: layer.folder.clone(),
                });
            }
        }
        texts
    }

    /// Its labels; a label without a value is an empty one.
    pub(super) fn labels(&mut self) -> Labels {
        let value = |text: Option<Text>| text.map(|text| text.value.into()).unwrap_or_default();
        Arc::new(self.pairs("labels").into_iter().map(|(key, text)| (key.into(), value(text))).collect())
    }

    /// Pairs of a mapping, or of a list of `KEY=VALUE`; a later layer's value replaces an earlier one's.
    fn pairs(&mut self, key: &str) -> Vec<(String, Option<Text>)> {
        let mut pairs: Vec<(String, Option<Text>)> = Vec::new();
        for (node, layer) in self.sources(key) {
            let mut set = |name: String, text: Option<Text>| {
                pairs.retain(|(n, _)| *n != name);
                pairs.push((name, text));
            };
            if node.is_mapping() {
                for (k, v) in node.entries() {
                    let text = if v.is_null() { None } else { self.text(&v, &layer) };
                    set(k.as_str().unwrap_or_default().to_owned(), text);
                }
            } else if node.is_sequence() {
                for item in node.items() {
                    let Some(text) = self.text(&item, &layer) else { continue };
                    match text.value.split_once('=') {
                        Some((name, value)) => {
                            let value = value.to_owned();
                            set(name.to_owned(), Some(Text { value, ..text }));
                        }
                        None => set(text.value.clone(), None),
                    }
                }
            } else if !node.is_null() {
                self.problem(&node.place(), format!("`{key}` must be a mapping or a list"));
            }
        }
        pairs
    }

    /// Runs a reader of one value; its error becomes a problem at the value's place.
    fn put<T>(
        &mut self,
        text: &Text,
        key: &str,
        read: impl FnOnce(&str, &Origin) -> Result<T, String>,
    ) -> Option<T> {
        match read(&text.value, &text.origin) {
            Ok(value) => Some(value),
            Err(why) => {
                if let Some(place) = text.origin.place() {
                    self.problems.push(Problem::at(place, format!("`{key}`: {why}")));
                }
                None
            }
        }
    }

    pub(super) fn request(mut self) -> (Request, Vec<Problem>, Vec<Problem>) {
        let mut request = Request::default();
        self.image_and_user(&mut request);
        self.privileges(&mut request);
        self.namespaces(&mut request);
        self.mounts(&mut request);
        self.devices(&mut request);
        self.limits(&mut request);
        self.environment(&mut request);
        self.operation(&mut request);
        (request, self.problems, self.notes)
    }

    fn image_and_user(&mut self, request: &mut Request) {
        if let Some(image) = self.scalar("image") {
            request.image_user = self.context.image_user(&image.value);
            request.image = Some(options::text(&image.value, image.origin));
        }
        if let Some(user) = self.scalar("user") {
            request.user = Some(options::text(&user.value, user.origin));
        }
        for group in self.list("group_add") {
            request.groups.push(options::text(&group.value, group.origin));
        }
    }

    fn privileges(&mut self, request: &mut Request) {
        request.privileged = self.boolean("privileged");
        request.read_only_rootfs = self.boolean("read_only");
        for (key, add) in [("cap_add", true), ("cap_drop", false)] {
            for name in self.list(key) {
                let fact = self
                    .put(&name, key, options::capability)
                    .unwrap_or_else(|| Fact::unknown(name.origin.clone()));
                if add { request.cap_add.push(fact) } else { request.cap_drop.push(fact) }
            }
        }
        for option in self.list("security_opt") {
            let folder = absolute(&option.folder);
            let result = self.around(&folder, |around| {
                options::security_option(&option.value, &option.origin, around, request)
            });
            if let (Err(why), Some(place)) = (result, option.origin.place()) {
                self.problems.push(Problem::at(place, format!("`security_opt`: {why}")));
                // What could not be read may have switched anything off.
                request.seccomp.get_or_insert_with(|| Fact::unknown(option.origin.clone()));
                if request.apparmor.is_none() {
                    request.apparmor =
                        Some(Fact { value: None::<AppArmorRequest>, origin: option.origin.clone() });
                }
            }
        }
        for (key, value) in self.pairs("sysctls") {
            let fact = match value {
                Some(text) => options::text(&text.value, text.origin),
                None => Fact::default(),
            };
            request.sysctls.push((key.as_str().into(), fact));
        }
        if let Some(runtime) = self.scalar("runtime") {
            request.runtime = Some(options::text(&runtime.value, runtime.origin));
        }
        if let Some(parent) = self.scalar("cgroup_parent") {
            request.cgroup_parent = Some(options::text(&parent.value, parent.origin));
        }
    }

    /// Gives a reader of values what it may ask for.
    fn around<R>(&self, folder: &str, use_it: impl FnOnce(&Surroundings<'_>) -> R) -> R {
        let subject = |reference: Reference<'_>| match reference {
            Reference::Container(name) => self.container_id(name),
            Reference::Service(name) => service_id(self.path, name),
        };
        let read_file = |name: &str| {
            let bytes = self.project.files.read(&super::join(folder, name))?;
            String::from_utf8(bytes).map_err(|_| "the file is not UTF-8".to_owned())
        };
        use_it(&Surroundings {
            engine: self.context.docker.kind,
            folder,
            home: self.project.files.home(),
            volume: &|name, origin| self.project.volume(name, origin),
            subject: &subject,
            read_file: &read_file,
        })
    }

    /// A container by name: a service of this project that has the name (`container_name`), or one outside.
    fn container_id(&self, name: &str) -> Arc<str> {
        let named = self.project.services.iter().find(|(_, declared)| {
            declared
                .layers
                .iter()
                .any(|l| l.node.get("container_name").is_some_and(|n| n.as_str() == Some(name)))
        });
        match named {
            Some((service, _)) => service_id(self.path, service),
            None => format!("docker#container/{name}").into(),
        }
    }

    fn namespaces(&mut self, request: &mut Request) {
        type Read = fn(&str, &Origin, &Surroundings<'_>) -> Result<Option<Fact<NamespaceRequest>>, String>;
        let table: [(&str, Read); 4] = [
            ("pid", options::pid_namespace),
            ("ipc", options::ipc_namespace),
            ("uts", options::uts_namespace),
            ("cgroup", options::cgroup_namespace),
        ];
        for (key, read) in table {
            let Some(text) = self.scalar(key) else { continue };
            let result = self.around(".", |around| read(&text.value, &text.origin, around));
            let fact = match result {
                Ok(fact) => fact,
                Err(why) => {
                    if let Some(place) = text.origin.place() {
                        self.problems.push(Problem::at(place, format!("`{key}`: {why}")));
                    }
                    Some(Fact::unknown(text.origin.clone()))
                }
            };
            match key {
                "pid" => request.pid = fact,
                "ipc" => request.ipc = fact,
                "uts" => request.uts = fact,
                _ => request.cgroup = fact,
            }
        }
        if let Some(text) = self.scalar("userns_mode") {
            request.user_namespace = self
                .put(&text, "userns_mode", options::user_namespace)
                .unwrap_or_else(|| Some(Fact::unknown(text.origin.clone())));
        }
        if let Some(text) = self.scalar("network_mode") {
            let result =
                self.around(".", |around| options::network(&text.value, &text.origin, around, request));
            if let (Err(why), Some(place)) = (result, text.origin.place()) {
                self.problems.push(Problem::at(place, format!("`network_mode`: {why}")));
                request.net = Some(Fact::unknown(text.origin.clone()));
            }
        }
        for port in self.sources("ports").into_iter().flat_map(|(n, _)| n.items().collect::<Vec<_>>()) {
            let text = match port.as_str() {
                Some(short) => short.to_owned(),
                None => written_port(&port),
            };
            request.published.push(Fact::known(text.into(), port.origin()));
        }
    }

    fn mounts(&mut self, request: &mut Request) {
        self.own_mounts(request);
        for text in self.list("tmpfs") {
            let mount = self.around(".", |around| options::tmpfs(&text.value, &text.origin, around));
            match mount {
                Ok(mount) => request.mounts.push(mount),
                Err(why) => {
                    if let Some(place) = text.origin.place() {
                        self.problems.push(Problem::at(place, format!("`tmpfs`: {why}")));
                    }
                }
            }
        }
        self.given_files(request);
        self.volumes_from(request, &mut vec![self.name]);
        if let Some(api) = self.boolean("use_api_socket")
            && api.value != Some(false)
        {
            request.control_apis.push(api.map(|_| ControlApi::ApiSocket));
        }
    }

    /// The mounts of this service's own `volumes:`.
    fn own_mounts(&mut self, request: &mut Request) {
        for (node, layer) in self.sources("volumes") {
            if node.is_null() {
                continue;
            }
            if !node.is_sequence() {
                self.problem(&node.place(), "`volumes` of a service must be a list");
                request.mounts.push(options::unread_mount(&node.origin()));
                continue;
            }
            for item in node.items() {
                let mount = if item.is_mapping() {
                    self.long_mount(&item, &layer)
                } else {
                    self.short_mount(&item, &layer)
                };
                let mount = mount.unwrap_or_else(|| options::unread_mount(&item.origin()));
                // A later file's mount on the same target replaces the earlier one.
                request.mounts.retain(|m| m.target.is_empty() || m.target != mount.target);
                request.mounts.push(mount);
            }
        }
    }

    fn short_mount(&mut self, item: &Node, layer: &Layer) -> Option<Mount> {
        let text = self.text(item, layer)?;
        let folder = absolute(&text.folder);
        let result = self.around(&folder, |around| options::volume(&text.value, &text.origin, around));
        self.placed(result, &text.origin)
    }

    fn placed(&mut self, result: Result<Mount, String>, origin: &Origin) -> Option<Mount> {
        match result {
            Ok(mount) => Some(mount),
            Err(why) => {
                if let Some(place) = origin.place() {
                    self.problems.push(Problem::at(place, format!("`volumes`: {why}")));
                }
                None
            }
        }
    }

    /// The long syntax: `{type, source, target, read_only, bind: {…}, volume: {…}, tmpfs: {…}}`.
    fn long_mount(&mut self, item: &Node, layer: &Layer) -> Option<Mount> {
        let kind_node = item.get("type");
        let kind = match kind_node.as_ref().and_then(|n| n.as_str()) {
            None => MountKind::Volume,
            Some(name) => match MountKind::parse(name) {
                Some(kind) => kind,
                None => {
                    self.problem(&item.place(), format!("`volumes`: `{name}` is not a type of mount"));
                    return None;
                }
            },
        };
        let source = item.get("source").or_else(|| item.get("src")).and_then(|n| self.text(&n, layer));
        let target = item
            .get("target")
            .or_else(|| item.get("dst"))
            .or_else(|| item.get("destination"))
            .and_then(|n| self.text(&n, layer));
        let flag = |this: &mut Self, node: Option<Node>| -> Option<Fact<bool>> {
            let node = node.filter(|n| !n.is_null())?;
            let text = this.text(&node, layer)?;
            match options::known(&text.value, text.origin.clone(), boolean) {
                Ok(fact) => Some(fact),
                Err(why) => {
                    this.problem(&node.place(), why);
                    Some(Fact::unknown(text.origin))
                }
            }
        };
        let read_only = flag(self, item.get("read_only").or_else(|| item.get("readonly")));
        let bind = item.get("bind");
        let recursive_word =
            bind.as_ref().and_then(|b| b.get("recursive")).and_then(|r| r.as_str().map(str::to_owned));
        let origin = source.as_ref().map_or_else(|| item.origin(), |s| s.origin.clone());
        let known = |value| Some(Fact::known(value, item.origin()));
        let propagation = match bind.as_ref().and_then(|b| b.get("propagation")) {
            None => None,
            Some(node) => match self.text(&node, layer) {
                Some(text) => self
                    .put(&text, "propagation", |value, origin| {
                        options::known(value, origin.clone(), options::propagation)
                    })
                    .or_else(|| Some(Fact::unknown(node.origin()))),
                None => None,
            },
        };
        let target_text = target.map(|t| t.value).unwrap_or_default();
        let parts = MountParts {
            kind,
            source: source.as_ref().map(|s| (s.value.as_str(), s.origin.clone())),
            target: &target_text,
            read_only,
            recursive_read_only: match recursive_word.as_deref() {
                Some("readonly") => known(true),
                Some("writable") => known(false),
                _ => None,
            },
            recursive: (recursive_word.as_deref() == Some("disabled")).then_some(false),
            propagation,
            relabelled: bind.as_ref().is_some_and(|b| b.get("selinux").is_some()),
            ..MountParts::default()
        };
        let subpath = item.get("volume").and_then(|v| v.get("subpath")).is_some();
        let folder = absolute(&layer.folder);
        let result = self.around(&folder, |around| parts.build(&origin, around));
        let mut mount = self.placed(result, &origin)?;
        if subpath {
            mount.recursive = false;
        }
        Some(mount)
    }

    /// Mounts of another service or container, read-only where it says so.
    fn volumes_from(&mut self, request: &mut Request, taken: &mut Vec<&'a str>) {
        for text in self.list("volumes_from") {
            let value = text.value.strip_prefix("container:").unwrap_or(&text.value);
            let outside = text.value.starts_with("container:");
            let (name, read_only) = match value.rsplit_once(':') {
                Some((name, "ro")) => (name, true),
                Some((name, "rw")) => (name, false),
                _ => (value, false),
            };
            let declared = if outside { None } else { self.project.services.get_key_value(name) };
            let Some((name, declared)) = declared else {
                // Its mounts are not in view.
                request.mounts.push(options::unread_mount(&text.origin));
                continue;
            };
            if name == self.name {
                if let Some(place) = text.origin.place() {
                    self.problems.push(Problem::at(place, "a service cannot take its volumes from itself"));
                }
                continue;
            }
            // What they take from others in turn is handed on.
            if taken.contains(&name.as_str()) {
                continue;
            }
            let mut other = Service::new(self.project, self.path, name, &declared.layers, self.context);
            let mut theirs = Request::default();
            other.own_mounts(&mut theirs);
            taken.push(name);
            other.volumes_from(&mut theirs, taken);
            taken.pop();
            for mut mount in theirs.mounts {
                if read_only {
                    mount.read_only = Fact::known(true, text.origin.clone());
                }
                if mount.target.is_empty() || !request.mounts.iter().any(|m| m.target == mount.target) {
                    request.mounts.push(mount);
                }
            }
        }
    }

    /// Files of the host that the project hands to this service as secrets or configurations, which Compose
    /// binds read-only (docker/compose pkg/compose/create.go, `buildContainerSecretMounts`).
    fn given_files(&mut self, request: &mut Request) {
        for (key, folder) in [("secrets", "/run/secrets/"), ("configs", "/")] {
            for (node, layer) in self.sources(key) {
                for item in node.items() {
                    let part =
                        |this: &mut Self, name: &str| item.get(name).and_then(|n| this.text(&n, &layer));
                    let (source, target) = if item.is_mapping() {
                        (part(self, "source"), part(self, "target"))
                    } else {
                        (self.text(&item, &layer), None)
                    };
                    let Some(source) = source else { continue };
                    let target = target.map_or_else(|| source.value.clone(), |t| t.value);
                    let target = if target.starts_with('/') { target } else { format!("{folder}{target}") };
                    let declared = match key {
                        "secrets" => self.project.secrets.get(&source.value),
                        _ => self.project.configs.get(&source.value),
                    };
                    let Some(declared) = declared.cloned() else { continue };
                    let file = declared.node.get("file").and_then(|f| self.text(&f, &declared));
                    let Some(file) = file else { continue };
                    let parts = MountParts {
                        kind: MountKind::Bind,
                        source: Some((&file.value, file.origin.clone())),
                        target: &target,
                        read_only: Some(Fact::known(true, source.origin.clone())),
                        ..MountParts::default()
                    };
                    let base = absolute(&declared.folder);
                    let result = self.around(&base, |around| parts.build(&source.origin, around));
                    request.mounts.extend(self.placed(result, &file.origin));
                }
            }
        }
    }

    fn devices(&mut self, request: &mut Request) {
        for (node, layer) in self.sources("devices") {
            if !node.is_sequence() && !node.is_null() {
                self.problem(&node.place(), "`devices` must be a list");
                request.devices.push(Fact::unknown(node.origin()));
            }
            for item in node.items() {
                // The long form of CDI: {source: …, target: …, permissions: …}.
                let text = if item.is_mapping() {
                    let part = |this: &mut Self, key: &str| item.get(key).and_then(|n| this.text(&n, &layer));
                    let Some(source) = part(self, "source") else {
                        self.problem(&item.place(), "`devices`: a device needs a `source`");
                        request.devices.push(Fact::unknown(item.origin()));
                        continue;
                    };
                    let access = part(self, "permissions").map_or("rwm".to_owned(), |p| p.value);
                    Text { value: format!("{}:{}:{access}", source.value, source.value), ..source }
                } else {
                    let Some(text) = self.text(&item, &layer) else { continue };
                    text
                };
                if self
                    .put(&text, "devices", |value, origin| options::device(value, origin, request))
                    .is_none()
                {
                    request.devices.push(Fact::unknown(text.origin.clone()));
                }
            }
        }
        for rule in self.list("device_cgroup_rules") {
            let fact = self
                .put(&rule, "device_cgroup_rules", options::device_rule)
                .unwrap_or_else(|| Fact::unknown(rule.origin.clone()));
            request.device_rules.push(fact);
        }
        if let Some((node, layer)) = self.last("gpus") {
            request.gpus = Some(match node.as_str() {
                Some(_) => match self.text(&node, &layer) {
                    Some(text) => options::gpus(&text.value, &text.origin),
                    None => Fact::unknown(node.origin()),
                },
                None => Fact::known(!node.is_empty(), node.origin()),
            });
        }
        let reserved = self
            .last("deploy")
            .and_then(|(d, _)| d.get("resources")?.get("reservations")?.get("devices"))
            .filter(|d| !d.is_empty());
        if let Some(devices) = reserved {
            request.gpus.get_or_insert(Fact::known(true, devices.origin()));
        }
    }

    fn limits(&mut self, request: &mut Request) {
        let deployed = |this: &Self, key: &str| {
            let (deploy, layer) = this.last("deploy")?;
            Some((deploy.get("resources")?.get("limits")?.get(key)?, layer))
        };
        type Amount = fn(&str) -> Result<Option<u64>, String>;
        let table: [(&str, &str, Amount); 3] = [
            ("mem_limit", "memory", options::bytes),
            ("cpus", "cpus", options::cpus),
            ("pids_limit", "pids", options::pids),
        ];
        for (key, deploy_key, read) in table {
            let text = match self.scalar(key) {
                Some(text) => Some(text),
                None => deployed(self, deploy_key).and_then(|(node, layer)| self.text(&node, &layer)),
            };
            let Some(text) = text else { continue };
            let fact = self
                .put(&text, key, |value, origin| options::known(value, origin.clone(), read))
                .unwrap_or_else(|| Fact::unknown(text.origin.clone()));
            match key {
                "mem_limit" => request.memory = Some(fact),
                "cpus" => request.cpu = Some(fact),
                _ => request.pids = Some(fact),
            }
        }
        self.cpu_quota(request);
    }

    /// `cpu_quota` of each `cpu_period`, in microseconds, where `cpus` is not given; the kernel's default period is
    /// 100 ms.
    fn cpu_quota(&mut self, request: &mut Request) {
        let Some(quota) = self.scalar("cpu_quota").filter(|_| request.cpu.is_none()) else { return };
        let period = self.scalar("cpu_period");
        let microseconds = |text: &Text| text.value.trim().parse::<i64>().ok();
        let period = period.as_ref().map_or(Some(100_000), microseconds).map(|period| period.max(1));
        // Any other form (`50ms`) is not read.
        let share = microseconds(&quota).zip(period).map(|(quota, period)| {
            let quota = u64::try_from(quota).ok().filter(|quota| *quota > 0);
            quota.map(|quota| quota.saturating_mul(1000) / period.unsigned_abs())
        });
        request.cpu = Some(Fact { value: share, origin: quota.origin });
    }

    /// What says how it is kept running (compose-spec 05-services, `restart`, `healthcheck`, `cpu_shares`, `ulimits`;
    /// the deploy specification, `restart_policy`).
    fn operation(&mut self, request: &mut Request) {
        let operation = &mut request.operation;
        let restart = self
            .scalar("restart")
            .map(|text| options::text(&text.value, text.origin.clone()).map(|policy| Restart::parse(policy)));
        operation.restart = restart.or_else(|| {
            let (deploy, _) = self.last("deploy")?;
            let policy = deploy.get("restart_policy").filter(Node::is_mapping)?;
            let retries = policy.get("max_attempts").and_then(|n| u32::try_from(n.as_i64()?).ok());
            let condition = policy.get("condition").and_then(|n| n.as_str().map(str::to_owned));
            let name = match condition.as_deref() {
                Some("none") => Some("no"),
                Some("on-failure") => Some("on-failure"),
                // `any` is the default there.
                Some("any") | None => Some("always"),
                Some(_) => None,
            };
            let value = name.map(|name| Restart { policy: name.into(), retries });
            Some(Fact { value, origin: policy.origin() })
        });
        operation.health_check = self.last("healthcheck").and_then(|(node, _)| {
            let disabled = node.get("disable").and_then(|n| n.as_bool()) == Some(true);
            let test = node.get("test");
            let first = test.as_ref().and_then(|t| match t.items().next() {
                Some(item) => item.as_str().map(str::to_owned),
                None => t.as_str().map(str::to_owned),
            });
            match (disabled, first.as_deref()) {
                (true, _) | (false, Some("NONE" | "")) => Some(Fact::known(false, node.origin())),
                (false, Some(_)) => Some(Fact::known(true, node.origin())),
                // Only times are set: whether there is a check is for the image to say.
                (false, None) => None,
            }
        });
        if let Some(shares) = self.scalar("cpu_shares") {
            let number = shares.value.trim().parse::<u64>().ok();
            let value = number.map(|number| Some(number).filter(|n| *n > 0));
            operation.cpu_shares = Some(Fact { value, origin: shares.origin });
        }
        if let Some((limits, _)) = self.last("ulimits").filter(|(node, _)| !node.is_empty()) {
            operation.ulimits = Some(Fact::known(true, limits.origin()));
        }
        // Compose puts a project on a network of its own.
        let mode = self.scalar("network_mode");
        operation.default_bridge = Some(match mode {
            Some(mode) => options::text(&mode.value, mode.origin).map(|mode| &**mode == "bridge"),
            None => Fact::known(false, Origin::assumed("Compose gives each project a network of its own")),
        });
    }

    fn environment(&mut self, request: &mut Request) {
        let pairs = self.pairs("environment");
        let named = pairs.iter().map(|(name, text)| {
            let origin = text.as_ref().map_or(Origin::Nowhere, |t| t.origin.clone());
            (name.as_str(), text.as_ref().map(|t| t.value.as_str()), origin)
        });
        request.control_apis.extend(options::control_apis(named));
    }
}

/// A port in the long form as the short form writes it: `[ADDRESS:][PUBLISHED:]TARGET[/PROTOCOL]`.
fn written_port(port: &Node) -> String {
    let part = |key: &str| port.get(key).and_then(|node| node.as_str().map(str::to_owned));
    let published = part("published").map(|p| format!("{p}:")).unwrap_or_default();
    let address = part("host_ip").map(|a| if a.contains(':') { format!("[{a}]:") } else { format!("{a}:") });
    let protocol = part("protocol").map(|p| format!("/{p}")).unwrap_or_default();
    format!("{}{published}{}{protocol}", address.unwrap_or_default(), part("target").unwrap_or_default())
}

/// compose-go loader/interpolate.go, `toBoolean`: the words of YAML 1.1 too, in any case, with a warning.
fn boolean(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "y" | "yes" | "on" => Ok(true),
        "n" | "no" | "off" => Ok(false),
        _ => options::boolean(value),
    }
}
