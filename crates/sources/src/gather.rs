//! From targets on a command line to one world: files and folders are read by what is in them, in parallel, and
//! what belongs together (a project with its override file, manifests that refer to each other) is put together.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use confinement::{Engine, Problem, World};
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

/// Texts that are read in place of the files of these paths, as places name them: what a file would hold after a
/// change.
pub type Overlay = BTreeMap<Arc<str>, Arc<str>>;

/// The file system and the environment of this process.
pub struct Disk {
    environment: Environment,
    home: String,
    overlay: Overlay,
}

impl Disk {
    pub fn new() -> Disk {
        Disk::with(Overlay::new())
    }

    /// The file system as it would be with other texts in some files.
    pub fn with(overlay: Overlay) -> Disk {
        let environment: Environment = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        let home = environment.get("HOME").cloned().unwrap_or_else(|| "/root".to_owned());
        Disk { environment, home, overlay }
    }

    fn bytes(&self, path: &Path) -> Result<Vec<u8>, String> {
        match self.overlay.get(&*path.to_string_lossy()) {
            Some(text) => Ok(text.as_bytes().to_vec()),
            None => walk::read_bounded(path, MAX_FILE_BYTES).map_err(|e| e.message),
        }
    }
}

impl Default for Disk {
    fn default() -> Disk {
        Disk::new()
    }
}

impl Files for Disk {
    fn read(&self, path: &str) -> Result<Vec<u8>, String> {
        self.bytes(Path::new(path))
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
    paths_on(&Disk::new(), targets, context)
}

/// As [`paths`], on a file system that may differ from the one there is.
pub fn paths_on(disk: &Disk, targets: &[PathBuf], context: &Context) -> World {
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
    let contexts = Contexts::find(&files, disk, context);
    let overrides = overrides(&files);
    let found = files
        .par_iter()
        .filter(|(path, _)| !overrides.values().any(|o| o == path))
        .map(|(path, named)| {
            let found = one_file(path, *named, overrides.get(path), disk, contexts.of(path));
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

/// The contexts that files are read in: the user's, but for what a daemon.json sets up. One that is named sets up
/// the engine of all files; one found in a folder that of the files in and below that folder.
struct Contexts {
    all: Context,
    by_folder: BTreeMap<PathBuf, Context>,
}

impl Contexts {
    fn find(files: &[(PathBuf, bool)], disk: &Disk, context: &Context) -> Contexts {
        let mut contexts = Contexts { all: context.clone(), by_folder: BTreeMap::new() };
        for (path, named) in files.iter().filter(|(p, _)| p.file_name().is_some_and(|n| n == "daemon.json")) {
            let Some(engine) = daemon_engine(path, disk, &contexts.all) else { continue };
            if *named {
                contexts.all.docker = Arc::new(engine);
            } else if let Some(folder) = path.parent() {
                let context = Context { docker: Arc::new(engine), ..contexts.all.clone() };
                contexts.by_folder.insert(folder.to_owned(), context);
            }
        }
        contexts
    }

    fn of(&self, path: &Path) -> &Context {
        if self.by_folder.is_empty() {
            return &self.all;
        }
        path.ancestors().find_map(|folder| self.by_folder.get(folder)).unwrap_or(&self.all)
    }
}

/// The engine a daemon.json sets up. What is wrong in the file is reported where the file itself is read.
fn daemon_engine(path: &Path, disk: &Disk, context: &Context) -> Option<Engine> {
    let bytes = disk.bytes(path).ok()?;
    let text: Arc<str> = path.to_string_lossy().into();
    let document = parse_bytes(&bytes, &text, &Limits::default()).into_iter().flatten().next()?;
    let mut engine = (*context.docker).clone();
    daemon::recognise(&document.root, &text).then(|| {
        let _ = daemon::apply(&document, &mut engine);
        engine
    })
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
    let bytes = match disk.bytes(path) {
        Ok(bytes) => bytes,
        Err(why) => {
            return Found::of(World { problems: vec![Problem::new(name, why)], ..World::default() });
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
