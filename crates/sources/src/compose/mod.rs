//! Compose files: services become requests, requests become confinements.
//!
//! A project may stand in several files (`-f a -f b`, `include:`, `extends:`). [`Project`] finds them all through
//! a [`Files`] that the caller supplies, keeps of every service the *layers* it is made of, lowest first, and
//! `service` reads the merged settings. Specification: compose-spec 01 to 15.

mod interpolate;
mod service;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use confinement::{
    Engine, Fact, Form, HostPath, MountSource, Origin, Place, Problem, Subject, SubjectKind, World, confine,
};

pub use interpolate::{Environment, parse_env};
pub use service::{Settings, Words};

use crate::context::Context;
use crate::document::{Document, Limits, Node, parse_bytes};
use crate::options::{self, UNKNOWN};
use interpolate::interpolate;

/// Where a project's files come from.
pub trait Files {
    /// The bytes of a file, or why they cannot be had. Paths are absolute or as the user gave them.
    fn read(&self, path: &str) -> Result<Vec<u8>, String>;
    /// The variables of the process, which win over `.env`.
    fn environment(&self) -> &Environment;
    /// The user's home folder, which `~` stands for.
    fn home(&self) -> &str;
}

/// Files that include or extend each other deeper than this are refused.
const MAX_FILES: usize = 256;

/// Whether a document looks like a Compose file: a mapping of services without the marks of Kubernetes.
pub fn recognise(root: &Node) -> bool {
    if !root.is_mapping() || root.get("apiVersion").is_some() {
        return false;
    }
    let services = root.get("services").is_some_and(|s| s.is_mapping());
    services || (root.get("include").is_some_and(|i| i.is_sequence()) && root.get("kind").is_none())
}

/// One layer of a service: a mapping from one file, with the folder its relative paths start from and the variables.
#[derive(Clone)]
struct Layer {
    node: Node,
    folder: Arc<str>,
    environment: Arc<Environment>,
}

#[derive(Clone)]
struct Declared {
    layers: Vec<Layer>,
}

/// A project while its files are gathered.
struct Project<'a> {
    files: &'a dyn Files,
    limits: Limits,
    name: String,
    services: BTreeMap<String, Declared>,
    /// Each file's declarations of a volume, lowest first.
    volumes: BTreeMap<String, Vec<Layer>>,
    /// Each file's declarations of a network.
    networks: BTreeMap<String, Vec<Node>>,
    secrets: BTreeMap<String, Layer>,
    configs: BTreeMap<String, Layer>,
    order: Vec<String>,
    problems: Vec<Problem>,
    notes: Vec<Problem>,
    seen: HashSet<String>,
    /// The files that include one another down to the one being read.
    including: Vec<String>,
}

/// Reads a project from its files in order, as `docker compose -f A -f B` would: later files change earlier ones.
/// The first is the one the project is named and placed after.
pub fn read(paths: &[&str], files: &dyn Files, context: &Context) -> World {
    let mut project = Project::new(files);
    // Relative paths of every file start from the folder of the first, and its `.env` counts (docker compose
    // --project-directory).
    let folder = paths.first().map(|first| folder_of(first));
    for path in paths {
        project.add_file(path, folder.as_deref());
    }
    project.into_world(paths.first().copied().unwrap_or("-"), context)
}

/// One service of a project as the options of `docker run`. Errors are those of the project's files.
pub fn settings(
    paths: &[&str],
    files: &dyn Files,
    name: &str,
    context: &Context,
) -> Result<Settings, Vec<Problem>> {
    let mut project = Project::new(files);
    let folder = paths.first().map(|first| folder_of(first));
    for path in paths {
        project.add_file(path, folder.as_deref());
    }
    let path = paths.first().copied().unwrap_or("-");
    let mut problems = std::mem::take(&mut project.problems);
    let Some(declared) = project.services.get(name) else {
        let known = project.order.join(", ");
        problems.push(Problem::new(path, format!("there is no service `{name}` here; there are: {known}")));
        return Err(problems);
    };
    let (settings, more) = service::Service::new(&project, path, name, &declared.layers, context).settings();
    problems.extend(more);
    if problems.is_empty() { Ok(settings) } else { Err(problems) }
}

/// Reads a project that is already parsed, such as one found in a folder.
pub fn read_document(document: &Document, files: &dyn Files, context: &Context) -> World {
    let path = document.path.clone();
    let mut project = Project::new(files);
    project.seen.insert(path.to_string());
    project.including.push(path.to_string());
    let folder = folder_of(&path);
    let environment = project.environment_in(&folder, &[]);
    project.add_root(&document.root, &folder, &environment, 0);
    project.into_world(&path, context)
}

/// The folder of a path; of a bare name, the current one.
fn folder_of(path: &str) -> Arc<str> {
    match path.rsplit_once('/') {
        Some(("", _)) => "/".into(),
        Some((folder, _)) => folder.into(),
        None => ".".into(),
    }
}

fn join(folder: &str, path: &str) -> String {
    if path.starts_with('/') { path.to_owned() } else { format!("{folder}/{path}") }
}

impl<'a> Project<'a> {
    fn new(files: &'a dyn Files) -> Project<'a> {
        Project {
            files,
            limits: Limits::default(),
            name: String::new(),
            services: BTreeMap::new(),
            volumes: BTreeMap::new(),
            networks: BTreeMap::new(),
            secrets: BTreeMap::new(),
            configs: BTreeMap::new(),
            order: Vec::new(),
            problems: Vec::new(),
            notes: Vec::new(),
            seen: HashSet::new(),
            including: Vec::new(),
        }
    }

    /// `.env` beside the file (or the files named), below what the process has set.
    fn environment_in(&mut self, folder: &str, env_files: &[String]) -> Arc<Environment> {
        let default = [join(folder, ".env")];
        let list = if env_files.is_empty() { &default } else { env_files };
        let mut environment = Environment::new();
        for path in list {
            if let Ok(bytes) = self.files.read(path) {
                environment.extend(parse_env(&String::from_utf8_lossy(&bytes)));
            }
        }
        environment.extend(self.files.environment().clone());
        Arc::new(environment)
    }

    fn parse(&mut self, path: &str) -> Option<Vec<Document>> {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(why) => {
                self.problems.push(Problem::new(path, why));
                return None;
            }
        };
        let mut documents = Vec::new();
        for result in parse_bytes(&bytes, &Arc::from(path), &self.limits) {
            match result {
                Ok(document) => documents.push(document),
                Err(error) => self.problems.push(error.problem()),
            }
        }
        Some(documents)
    }

    fn add_file(&mut self, path: &str, folder: Option<&str>) {
        if !self.seen.insert(path.to_owned()) {
            return;
        }
        let Some(documents) = self.parse(path) else { return };
        let folder: Arc<str> = folder.map_or_else(|| folder_of(path), Arc::from);
        let environment = self.environment_in(&folder, &[]);
        self.including.push(path.to_owned());
        for document in &documents {
            self.add_root(&document.root, &folder, &environment, 0);
        }
        self.including.pop();
    }

    fn add_root(&mut self, root: &Node, folder: &Arc<str>, environment: &Arc<Environment>, depth: usize) {
        if root.is_null() {
            return;
        }
        if !root.is_mapping() {
            self.problems.push(Problem::at(&root.place(), "a Compose file is a mapping with `services:`"));
            return;
        }
        if let Some(name) = root.get("name").and_then(|n| n.as_str().map(str::to_owned))
            && self.name.is_empty()
        {
            self.name = name;
        }
        if let Some(include) = root.get("include") {
            self.include(&include, folder, environment, depth);
        }
        if let Some(volumes) = root.get("volumes") {
            for (key, value) in volumes.entries() {
                if let Some(name) = key.as_str() {
                    let layer =
                        Layer { node: value, folder: folder.clone(), environment: environment.clone() };
                    self.volumes.entry(name.to_owned()).or_default().push(layer);
                }
            }
        }
        for (name, value) in root.get("networks").iter().flat_map(|n| n.entries().collect::<Vec<_>>()) {
            if let Some(name) = name.as_str() {
                self.networks.entry(name.to_owned()).or_default().push(value);
            }
        }
        for key in ["secrets", "configs"] {
            let declared = if key == "secrets" { &mut self.secrets } else { &mut self.configs };
            for (name, value) in root.get(key).iter().flat_map(|n| n.entries().collect::<Vec<_>>()) {
                if let Some(name) = name.as_str() {
                    let layer =
                        Layer { node: value, folder: folder.clone(), environment: environment.clone() };
                    declared.insert(name.to_owned(), layer);
                }
            }
        }
        let Some(services) = root.get("services") else { return };
        if !services.is_mapping() {
            if !services.is_null() {
                self.problems.push(Problem::at(&services.place(), "`services` must be a mapping"));
            }
            return;
        }
        for (key, value) in services.entries() {
            let Some(name) = key.as_str() else { continue };
            if !value.is_mapping() {
                let message = format!("service `{name}` must be a mapping");
                self.problems.push(Problem::at(&value.place(), message));
                continue;
            }
            let layer = Layer { node: value, folder: folder.clone(), environment: environment.clone() };
            let layers = self.with_extends(layer, name, &mut Vec::new());
            let known = self.services.contains_key(name);
            let declared =
                self.services.entry(name.to_owned()).or_insert_with(|| Declared { layers: Vec::new() });
            declared.layers.extend(layers);
            if !known {
                self.order.push(name.to_owned());
            }
        }
    }

    /// `include:` a path, or `{path, project_directory, env_file}`.
    fn include(&mut self, include: &Node, folder: &Arc<str>, environment: &Arc<Environment>, depth: usize) {
        if depth >= 32 || self.seen.len() >= MAX_FILES {
            self.problems.push(Problem::at(&include.place(), "files include each other too deep"));
            return;
        }
        for item in include.items() {
            let list = |node: Option<Node>| -> Vec<Node> {
                match node {
                    Some(n) if n.is_sequence() => n.items().collect(),
                    Some(n) => vec![n],
                    None => Vec::new(),
                }
            };
            let (paths, long) = if item.is_mapping() {
                (list(item.get("path")), Some(&item))
            } else {
                (vec![item.clone()], None)
            };
            let text =
                |node: &Node| node.as_str().and_then(|t| interpolate(t, environment).ok()).map(|i| i.text);
            for path_node in paths {
                let Some(path) = text(&path_node) else {
                    self.problems.push(Problem::at(&path_node.place(), "`include` names files by text"));
                    continue;
                };
                if path.contains(UNKNOWN)
                    || path.contains("://")
                    || path.starts_with("oci:")
                    || path.starts_with("git@")
                {
                    self.problems.push(Problem::at(
                        &path_node.place(),
                        format!(
                            "the included file `{}` cannot be read from here",
                            path.replace(UNKNOWN, "?")
                        ),
                    ));
                    continue;
                }
                let full = join(folder, &path);
                if self.including.contains(&full) {
                    self.problems.push(Problem::at(&path_node.place(), format!("`{path}` includes itself")));
                    continue;
                }
                // Two files may include a third: it is read once.
                if !self.seen.insert(full.clone()) {
                    continue;
                }
                let bytes = match self.files.read(&full) {
                    Ok(bytes) => bytes,
                    Err(why) => {
                        self.problems.push(Problem::at(&path_node.place(), format!("`{path}`: {why}")));
                        continue;
                    }
                };
                let at: Arc<str> = match long.and_then(|l| l.get("project_directory")).as_ref().and_then(text)
                {
                    Some(directory) => join(folder, &directory).into(),
                    None => folder_of(&full),
                };
                let env_files: Vec<String> = list(long.and_then(|l| l.get("env_file")))
                    .iter()
                    .filter_map(text)
                    .map(|p| join(folder, &p))
                    .collect();
                let inner = self.environment_in(&at, &env_files);
                // The including project's variables win.
                let mut merged = (*inner).clone();
                merged.extend((**environment).clone());
                let merged = Arc::new(merged);
                self.including.push(full.clone());
                for result in parse_bytes(&bytes, &Arc::from(full.as_str()), &self.limits) {
                    match result {
                        Ok(document) => self.add_root(&document.root, &at, &merged, depth + 1),
                        Err(error) => self.problems.push(error.problem()),
                    }
                }
                self.including.pop();
            }
        }
    }

    /// The layers a service is made of: what it extends first, then itself.
    fn with_extends(&mut self, layer: Layer, name: &str, chain: &mut Vec<(String, String)>) -> Vec<Layer> {
        let Some(extends) = layer.node.get("extends").filter(|e| !e.is_null()) else { return vec![layer] };
        let text = |node: Option<Node>| {
            node.and_then(|n| n.as_str().map(str::to_owned))
                .and_then(|t| interpolate(&t, &layer.environment).ok())
                .map(|i| i.text)
        };
        let (file, service) = if extends.is_mapping() {
            (text(extends.get("file")), text(extends.get("service")))
        } else {
            (None, text(Some(extends.clone())))
        };
        let Some(service) = service else {
            self.problems.push(Problem::at(&extends.place(), "`extends` names no service"));
            return vec![layer];
        };
        let own_path = layer.node.place().path.to_string();
        let full = file.as_ref().map_or(own_path, |f| join(&layer.folder, f));
        let key = (full.clone(), service.clone());
        if chain.contains(&key) || (file.is_none() && service == name && chain.is_empty()) || chain.len() > 32
        {
            self.problems.push(Problem::at(
                &extends.place(),
                format!("service `{name}` extends itself through `{service}`"),
            ));
            return vec![layer];
        }
        chain.push(key);
        let base = match &file {
            None => self.find_beside(&layer, &service),
            Some(_) => self.find_in_file(&full, &service, &extends, &layer.environment),
        };
        let mut layers = match base {
            Some(base) => self.with_extends(base, &service, chain),
            None => {
                let message = match file {
                    Some(file) => format!("`{file}` has no service `{service}` to extend"),
                    None => format!("there is no service `{service}` to extend"),
                };
                self.problems.push(Problem::at(&extends.place(), message));
                Vec::new()
            }
        };
        chain.pop();
        layers.push(layer);
        layers
    }

    /// A service of the same file.
    fn find_beside(&mut self, layer: &Layer, service: &str) -> Option<Layer> {
        let root = layer.node.document_root();
        let node = root.get("services")?.get(service)?;
        node.is_mapping().then(|| Layer { node, ..layer.clone() })
    }

    /// A service of another file, whose relative paths start there, while variables stay the project's.
    fn find_in_file(
        &mut self,
        path: &str,
        service: &str,
        extends: &Node,
        environment: &Arc<Environment>,
    ) -> Option<Layer> {
        let bytes = match self.files.read(path) {
            Ok(bytes) => bytes,
            Err(why) => {
                self.problems.push(Problem::at(&extends.place(), format!("`{path}`: {why}")));
                return None;
            }
        };
        let folder = folder_of(path);
        for result in parse_bytes(&bytes, &Arc::from(path), &self.limits) {
            match result {
                Ok(document) => {
                    let found = document.root.get("services").and_then(|s| s.get(service));
                    if let Some(node) = found.filter(Node::is_mapping) {
                        return Some(Layer { node, folder, environment: environment.clone() });
                    }
                }
                Err(error) => self.problems.push(error.problem()),
            }
        }
        None
    }

    /// What a named volume shows, and the name it is known by in the run.
    fn volume(&self, name: &str, origin: &Origin) -> Fact<MountSource> {
        let known = |source| Fact::known(source, origin.clone());
        let scoped = |name: &str| known(MountSource::Volume(format!("{}_{name}", self.name).into()));
        let Some(layers) = self.volumes.get(name) else { return scoped(name) };
        let text = |key: &str| {
            let (node, layer) = layers.iter().rev().find_map(|l| Some((l.node.get(key)?, l)))?;
            let text = node.as_str().and_then(|t| interpolate(t, &layer.environment).ok())?;
            Some(text.text)
        };
        let driver = text("driver");
        // A later file's option replaces an earlier one's of the same name.
        let driver_options: Vec<(String, String, Node)> = layers
            .iter()
            .flat_map(|layer| {
                let options = layer.node.get("driver_opts");
                options
                    .iter()
                    .flat_map(|o| o.entries().collect::<Vec<_>>())
                    .map(move |o| (layer, o))
                    .collect::<Vec<_>>()
            })
            .filter_map(|(layer, (k, v))| {
                let value = interpolate(v.as_str()?, &layer.environment).ok()?.text;
                Some((k.as_str()?.to_owned(), value, v))
            })
            .collect();
        let device = driver_options.iter().rev().find(|(k, _, _)| k == "device");
        let at = device.map_or_else(|| origin.clone(), |(_, _, node)| node.origin());
        let pairs = driver_options.iter().map(|(k, v, _)| (k.as_str(), v.as_str()));
        if let Some(content) = options::volume_content(driver.as_deref(), pairs, &at) {
            return content;
        }
        // `external` volumes and those with a name of their own are not scoped by the project.
        let external = layers
            .iter()
            .filter_map(|layer| layer.node.get("external"))
            .any(|e| e.as_bool() == Some(true) || e.is_mapping());
        match text("name") {
            Some(name) => known(MountSource::Volume(name.into())),
            None if external => known(MountSource::Volume(name.into())),
            None => scoped(name),
        }
    }

    /// The networks that a service is put on: those it names, or the project's default.
    fn networks_of(&self, declared: &Declared) -> BTreeSet<String> {
        let nodes = declared.layers.iter().filter_map(|l| l.node.get("networks"));
        let names = nodes.flat_map(|networks| {
            let keys = networks.entries().map(|(key, _)| key).collect::<Vec<_>>();
            let names = networks.items().chain(keys).collect::<Vec<_>>();
            names.into_iter().filter_map(|n| n.as_str().map(str::to_owned)).collect::<Vec<_>>()
        });
        let named: BTreeSet<String> = names.collect();
        if named.is_empty() { BTreeSet::from(["default".to_owned()]) } else { named }
    }

    /// Whether a service is one container, alone on networks that are this project's and nobody else's. A network
    /// that is external, or has a name or a driver of its own, may have anybody on it.
    fn is_alone(&self, name: &str, declared: &Declared) -> bool {
        let own = self.networks_of(declared);
        let open = |network: &String| {
            network.contains('$')
                || self.networks.get(network).into_iter().flatten().any(|node| {
                    ["external", "name", "driver", "driver_opts"].iter().any(|key| node.get(key).is_some())
                })
        };
        let mut others = self.services.iter().filter(|(other, _)| *other != name);
        let says = |key: &str| declared.layers.iter().any(|l| l.node.get(key).is_some());
        !["scale", "deploy", "network_mode", "net"].into_iter().any(says)
            && !own.iter().any(open)
            && others.all(|(_, other)| self.networks_of(other).is_disjoint(&own))
    }

    fn into_world(mut self, path: &str, context: &Context) -> World {
        if self.name.is_empty() {
            let folder = folder_of(path);
            let absolute = absolute(&folder);
            self.name = absolute.rsplit('/').next().filter(|n| !n.is_empty()).unwrap_or("default").to_owned();
        }
        let engine: Arc<Engine> = context.docker.clone();
        let mut world = World::default();
        let order = std::mem::take(&mut self.order);
        for name in &order {
            let Some(declared) = self.services.get(name).cloned() else { continue };
            let mut reader = service::Service::new(&self, path, name, &declared.layers, context);
            let labels = reader.labels();
            let (mut request, problems, notes) = reader.request();
            self.problems.extend(problems);
            self.notes.extend(notes);
            let mut places: Vec<Place> = declared
                .layers
                .iter()
                .map(|l| l.node.key_place().unwrap_or_else(|| l.node.place()))
                .collect();
            let place = places.last().cloned();
            if places.len() == 1 {
                places.clear();
            }
            if request.shared_segment.is_none() && self.is_alone(name, &declared) {
                let origin = place.clone().map_or(Origin::Nowhere, Origin::File);
                request.shared_segment = Some(Fact::known(false, origin));
            }
            world.subjects.push(Subject {
                id: service_id(path, name),
                name: name.as_str().into(),
                kind: SubjectKind::Container,
                form: Form::Compose,
                place,
                declared: places,
                realm: options::local_realm(engine.kind),
                namespace: None,
                confinement: Arc::new(confine(&request, &engine, &context.host)),
                pod: None,
                labels,
                made: None,
            });
        }
        world.problems = self.problems;
        world.notes = self.notes;
        world
    }
}

/// The subject identifier of a service.
fn service_id(path: &str, name: &str) -> Arc<str> {
    format!("{path}#service/{name}").into()
}

/// A folder made absolute by the current one, without touching the file system.
fn absolute(folder: &str) -> String {
    if folder.starts_with('/') {
        return HostPath::new(folder).to_string();
    }
    let current = std::env::current_dir().map(|p| p.to_string_lossy().into_owned()).unwrap_or_default();
    HostPath::new(&format!("{current}/{folder}")).to_string()
}
