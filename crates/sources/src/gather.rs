//! From targets on a command line to one world: files and folders are read by what is in them, in parallel, and
//! what belongs together (a project with its override file, manifests that refer to each other) is put together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use confinement::{Problem, World};
use rayon::prelude::*;

use crate::compose::{self, Environment, Files};
use crate::context::Context;
use crate::document::{Document, Limits, parse_bytes};
use crate::kubernetes::{self, Objects};
use crate::node::{self, Facts};
use crate::walk::{self, Likely};
use crate::{daemon, dockerfile, oci, quadlet, run, script};

/// Files larger than this are not read.
pub const MAX_FILE_BYTES: usize = 32 << 20;

/// The file system and the environment of this process.
pub struct Disk {
    environment: Environment,
    home: String,
}

impl Disk {
    pub fn new() -> Disk {
        let environment: Environment = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let home = environment.get("HOME").cloned().unwrap_or_else(|| "/root".to_owned());
        Disk { environment, home }
    }
}

impl Default for Disk {
    fn default() -> Disk {
        Disk::new()
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        walk::read_bounded(Path::new(path), MAX_FILE_BYTES).map_err(|e| e.message)
    }
    fn environment(&self) -> &Environment {
        &self.environment
    }
    fn home(&self) -> &str {
        &self.home
    }
}

/// What one file held.
#[derive(Default)]
struct Found {
    world: World,
    objects: Objects,
    /// Something in it could be judged, or was meant to be.
    relevant: bool,
}

impl Found {
    fn join(mut self, other: Found) -> Found {
        self.world.extend(other.world);
        self.objects.merge(other.objects);
        self.relevant |= other.relevant;
        self
    }
    fn of(world: World) -> Found {
        let relevant = !world.subjects.is_empty() || !world.problems.is_empty();
        Found { world, objects: Objects::default(), relevant }
    }
}

/// Reads files and folders. A file that is named must hold something to judge; in a folder, what is not a
/// container's configuration is passed over.
pub fn paths(targets: &[PathBuf], context: &Context) -> World {
    let disk = Disk::new();
    let mut world = World::default();
    let mut files: Vec<(PathBuf, bool)> = Vec::new();
    for target in targets {
        if target.is_dir() {
            for entry in walk::files(target) {
                match entry {
                    Ok(path) => files.push((path, false)),
                    Err(error) => {
                        world.problems.push(Problem::new(error.path.to_string_lossy(), error.message.clone()))
                    }
                }
            }
        } else {
            files.push((target.clone(), true));
        }
    }
    let context = &with_daemon_settings(&files, context, &mut world);
    let overrides = overrides(&files);
    let found = files
        .par_iter()
        .filter(|(path, _)| !overrides.values().any(|o| o == path))
        .map(|(path, named)| {
            let found = one_file(path, *named, overrides.get(path), &disk, context);
            if *named && !found.relevant {
                let text = path.to_string_lossy();
                let message = "holds nothing that can be judged: no Compose services, Kubernetes workload, \
                     `docker run` line, Dockerfile, Quadlet unit, OCI config.json or daemon.json";
                return found.join(Found::of(World {
                    problems: vec![Problem::new(&*text, message)],
                    ..World::default()
                }));
            }
            found
        })
        .reduce(Found::default, Found::join);
    world.extend(found.world);
    world.extend(found.objects.into_world(context));
    world
}

/// Reads text that came on standard input, whatever kind it is.
pub fn stdin(bytes: &[u8], context: &Context) -> World {
    let path: Arc<str> = "-".into();
    let found = bytes_of(bytes, &path, &Disk::new(), context);
    let relevant = found.relevant;
    let mut world = found.world;
    world.extend(found.objects.into_world(context));
    if !relevant && world.problems.is_empty() {
        world.problems.push(Problem::new(path, "standard input holds nothing that can be judged"));
    }
    world
}

/// Reads text as if it were a file of that name.
pub fn text(bytes: &[u8], name: &Path, context: &Context) -> World {
    let found = bytes_of(bytes, &Arc::from(&*name.to_string_lossy()), &Disk::new(), context);
    let mut world = found.world;
    world.extend(found.objects.into_world(context));
    world
}

/// `compose.yaml` → `compose.override.yaml`, which Compose merges by itself.
fn overrides(files: &[(PathBuf, bool)]) -> BTreeMap<PathBuf, PathBuf> {
    let mut found = BTreeMap::new();
    for (path, _) in files.iter().filter(|(_, named)| !named) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        let Some((stem, extension)) = name.rsplit_once('.') else { continue };
        if !matches!(stem, "compose" | "docker-compose") {
            continue;
        }
        for other in [extension, "yml", "yaml"] {
            let candidate = path.with_file_name(format!("{stem}.override.{other}"));
            if files.iter().any(|(p, _)| *p == candidate) {
                found.insert(path.clone(), candidate);
                break;
            }
        }
    }
    found
}

/// A daemon.json among the files sets up the engine that the others run under.
fn with_daemon_settings(files: &[(PathBuf, bool)], context: &Context, world: &mut World) -> Context {
    let mut context = context.clone();
    for (path, _) in files.iter().filter(|(p, _)| p.file_name().is_some_and(|n| n == "daemon.json")) {
        let Ok(bytes) = walk::read_bounded(path, MAX_FILE_BYTES) else { continue };
        let text: Arc<str> = path.to_string_lossy().into();
        for document in parse_bytes(&bytes, &text, &Limits::default()).into_iter().flatten() {
            if daemon::recognise(&document.root, &text) {
                let mut engine = (*context.docker).clone();
                // What is wrong in it is reported where the file itself is read.
                let _ = daemon::apply(&document, &mut engine);
                world.notes.push(Problem::new(text.clone(), "taken as the settings of the engine"));
                context.docker = Arc::new(engine);
            }
        }
    }
    context
}

fn one_file(
    path: &Path,
    named: bool,
    override_file: Option<&PathBuf>,
    disk: &Disk,
    context: &Context,
) -> Found {
    let text = path.to_string_lossy();
    if let Some(second) = override_file {
        let second = second.to_string_lossy();
        return Found::of(compose::read(&[&text, &second], disk, context));
    }
    let name: Arc<str> = (&*text).into();
    let bytes = match walk::read_bounded(path, MAX_FILE_BYTES) {
        Ok(bytes) => bytes,
        Err(error) => {
            return Found::of(World {
                problems: vec![Problem::new(name, error.message.clone())],
                ..World::default()
            });
        }
    };
    if !named && walk::likely(path).is_none() {
        return Found::default();
    }
    match walk::likely(path) {
        Some(Likely::Dockerfile) if named || dockerfile::recognise(&bytes, &name) => {
            Found::of(dockerfile::read(&bytes, &name, context))
        }
        Some(Likely::Dockerfile) => Found::default(),
        Some(Likely::Quadlet) => Found::of(quadlet::read(&bytes, &name, context)),
        Some(Likely::Script) => Found::of(script::read(&bytes, &name, context)),
        _ => bytes_of(&bytes, &name, disk, context),
    }
}

/// A file or stream of unknown kind.
fn bytes_of(bytes: &[u8], path: &Arc<str>, disk: &Disk, context: &Context) -> Found {
    if let Some(text) = std::str::from_utf8(bytes).ok().filter(|text| node::recognise(text)) {
        return Found { relevant: true, ..Found::of(measured(text, path)) };
    }
    let is_yaml = path.ends_with(".yaml") || path.ends_with(".yml") || path.ends_with(".json");
    if !is_yaml {
        if quadlet::recognise(bytes, path) {
            return Found::of(quadlet::read(bytes, path, context));
        }
        if dockerfile::recognise(bytes, path) {
            return Found::of(dockerfile::read(bytes, path, context));
        }
        let is_script = script::recognise(bytes, path) || (&**path == "-" && run::recognise(bytes));
        if is_script {
            return Found::of(script::read(bytes, path, context));
        }
    }
    let mut found = Found::default();
    for document in parse_bytes(bytes, path, &Limits::default()) {
        match document {
            Ok(document) => found = found.join(one_document(&document, disk, context)),
            Err(error) => {
                found.relevant = true;
                found.world.problems.push(error.problem());
            }
        }
    }
    found
}

/// A container that was measured from inside.
fn measured(text: &str, path: &Arc<str>) -> World {
    let mut world = World::default();
    match Facts::parse(text, path).and_then(|facts| facts.subject(path)) {
        Ok((subject, notes)) => {
            world.subjects.push(subject);
            world.notes = notes;
        }
        Err(problem) => world.problems.push(problem),
    }
    world
}

fn one_document(document: &Document, disk: &Disk, context: &Context) -> Found {
    let root = &document.root;
    if kubernetes::recognise(root) {
        return Found { objects: Objects::read(document), world: World::default(), relevant: true };
    }
    if compose::recognise(root) {
        return Found { relevant: true, ..Found::of(compose::read_document(document, disk, context)) };
    }
    if oci::recognise(root) {
        return Found { relevant: true, ..Found::of(oci::read(document, context)) };
    }
    if daemon::recognise(root, &document.path) {
        return Found { relevant: true, ..Found::of(daemon::read(document, context)) };
    }
    Found::default()
}
