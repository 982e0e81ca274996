//! `docker run`, `docker create`, `podman run` and `podman create` command lines: text goes in, one subject for each
//! container that it would make comes out, every fact with the place of its word.
//!
//! Options are read as the engines' own parser (spf13/pflag) reads them, from the table in [`flags`]; what their
//! values mean is in [`options`](crate::options). A word that holds a variable nobody sets makes the facts
//! that depend on it unknown.

mod asked;
mod flags;
pub(crate) mod shell;
mod split;
pub mod written;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use confinement::confine::NamespaceRequest;
use confinement::{
    EngineKind, Fact, Form, Mount, MountSource, Origin, Problem, Request, Subject, SubjectKind, World,
    confine,
};

pub(crate) use asked::{Asked, read_options};
use shell::{Command, Start, Word};
pub use split::{GivenOption, Split, split};

use crate::Context;
use crate::options::{self, ASSUMED_HOME, Reference, Surroundings};

/// The largest seccomp profile that is read.
const LARGEST_FILE: u64 = 4 << 20;

/// The containers that a command line makes. `line` is where its first line stands in `path`.
pub fn read_line(text: &str, path: &Arc<str>, line: u32, context: &Context) -> World {
    let mut world = read_text(text, path, line, context);
    if world.subjects.is_empty() && world.problems.is_empty() {
        let message =
            "there is no `docker run`, `docker create`, `podman run` or `podman create` command here";
        world.problems.push(Problem {
            path: path.clone(),
            line: Some(line),
            column: Some(1),
            message: message.to_owned(),
        });
    }
    world
}

/// Whether text without a name is a command line, or lines of them: its first command makes a container.
pub fn recognise(bytes: &[u8]) -> bool {
    const ENOUGH: usize = 4 << 10;
    let text = String::from_utf8_lossy(bytes.get(..ENOUGH).unwrap_or(bytes));
    let path: Arc<str> = "-".into();
    let start = Start { path: &path, line: 1, folder: "/", home: ASSUMED_HOME };
    let mut first = None;
    shell::commands(&text, &start, &mut |command| {
        first.get_or_insert_with(|| made(&command).is_some());
    });
    first == Some(true)
}

/// As [`read_line`], for text that may hold no such command.
pub(crate) fn read_text(text: &str, path: &Arc<str>, line: u32, context: &Context) -> World {
    let folder = folder_of(path);
    let mut reader = Reader::new(path, context);
    let start = Start { path, line, folder: &folder, home: ASSUMED_HOME };
    shell::commands(text, &start, &mut |command| reader.take(command));
    reader.world
}

/// The absolute folder that a file's relative paths start from; the working folder for what is no file.
pub(crate) fn folder_of(path: &str) -> String {
    let parent = Path::new(path).parent().unwrap_or(Path::new(""));
    let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
    match std::path::absolute(parent) {
        Ok(folder) => folder.to_string_lossy().into_owned(),
        Err(_) => "/".to_owned(),
    }
}

/// Reads a file that a value names, relative to a folder. Files of the kernel are refused: a read of one may block
/// for ever (`/proc/kmsg`), and none is a profile.
pub(crate) fn read_file(folder: &str, name: &str) -> Result<String, String> {
    let path = Path::new(folder).join(name);
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    let real = std::fs::canonicalize(&path).map_err(failed)?;
    let metadata = std::fs::metadata(&real).map_err(failed)?;
    let kernel = ["/proc", "/sys", "/dev"].iter().any(|root| real.starts_with(root));
    if kernel || !metadata.is_file() || metadata.len() > LARGEST_FILE {
        return Err(format!("{}: not a file of at most {LARGEST_FILE} bytes", path.display()));
    }
    let mut text = String::new();
    let file = std::fs::File::open(&real).map_err(failed)?;
    file.take(LARGEST_FILE).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

/// Programs that start the command given to them.
pub(crate) fn is_wrapper(name: &str) -> bool {
    matches!(
        name.rsplit('/').next().unwrap_or(name),
        "sudo"
            | "doas"
            | "env"
            | "exec"
            | "command"
            | "time"
            | "nohup"
            | "nice"
            | "ionice"
            | "setsid"
            | "timeout"
            | "stdbuf"
            | "unbuffer"
            | "retry"
            | "xargs"
            | "builtin"
            | "eval"
            | "su"
            | "runuser"
            | "systemd-run"
            | "flock"
            | "watch"
            | "chronic"
    )
}

/// Whether Podman splits the values of an option at commas.
pub(crate) fn is_podman_list(long: &str) -> bool {
    flags::RUN.iter().any(|flag| flag.long == long && flag.takes == flags::Takes::List)
}

/// What a command line makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verb {
    Container,
    Pod,
}

/// Turns commands into subjects. Containers and pods that earlier commands made can be named by later ones.
pub(crate) struct Reader<'a> {
    path: &'a Arc<str>,
    context: &'a Context,
    pub(crate) world: World,
    /// Mounts of the containers made so far, for `--volumes-from`.
    mounts: BTreeMap<String, Vec<Mount>>,
    pods: BTreeMap<String, Request>,
    ids: BTreeMap<String, u32>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(path: &'a Arc<str>, context: &'a Context) -> Reader<'a> {
        Reader {
            path,
            context,
            world: World::default(),
            mounts: BTreeMap::new(),
            pods: BTreeMap::new(),
            ids: BTreeMap::new(),
        }
    }

    /// Takes a command of the text; one that makes no container is passed over.
    pub(crate) fn take(&mut self, command: Command) {
        let Some(Made { engine, engine_word, verb, global, words, .. }) = made(&command) else { return };
        // The endpoint may be set for this command alone.
        let mut realm = options::local_realm(engine);
        let endpoint = global.endpoint.or_else(|| {
            let remote = |name: &str| matches!(name, "DOCKER_HOST" | "CONTAINER_HOST" | "DOCKER_CONTEXT");
            let found = command.assignments.iter().find(|(name, _)| remote(name));
            found.map(|(_, word)| word.value.clone())
        });
        if let Some(endpoint) = endpoint.filter(|e| !e.starts_with("unix:") && e != "default") {
            realm = format!("{}:{endpoint}", engine.name()).into();
        }
        match verb {
            Verb::Container => self.container(engine, engine_word, words, &command, realm, global.runtime),
            Verb::Pod => self.pod(engine, words, &command, &realm),
        }
    }

    fn asked(
        &self,
        engine: EngineKind,
        words: &[Word],
        command: &Command,
        realm: &str,
        more: &'static [flags::Flag],
    ) -> (Asked, usize) {
        let folder = command.folder.as_deref();
        let volume = |name: &str, origin: &Origin| {
            Fact::known(MountSource::Volume(format!("{realm}/{name}").into()), origin.clone())
        };
        let subject = |reference: Reference<'_>| match reference {
            Reference::Container(name) | Reference::Service(name) => self.id(name),
        };
        let unknown_folder = options::UNKNOWN.to_string();
        let read = |name: &str| read_file(folder.unwrap_or("/"), name);
        let around = Surroundings {
            engine,
            folder: folder.unwrap_or(&unknown_folder),
            home: ASSUMED_HOME,
            volume: &volume,
            subject: &subject,
            read_file: &read,
        };
        let mut asked = Asked::default();
        let used = read_options(words, &around, more, &mut asked);
        asked.finish();
        (asked, used)
    }

    /// The id of a container of this text.
    fn id(&self, name: &str) -> Arc<str> {
        format!("{}#run/{name}", self.path).into()
    }

    fn container(
        &mut self,
        engine: EngineKind,
        engine_word: &Word,
        words: &[Word],
        command: &Command,
        realm: Arc<str>,
        runtime: Option<Fact<Arc<str>>>,
    ) {
        let (mut asked, used) = self.asked(engine, words, command, &realm, &[]);
        if asked.help {
            return;
        }
        self.world.problems.append(&mut asked.problems);
        let mut request = std::mem::take(&mut asked.request);
        match words.get(used) {
            Some(image) if asked.rootfs => {
                let folder = image.value.strip_suffix(":O").unwrap_or(&image.value);
                let source =
                    options::path_source(folder, &image.origin(), &plain_surroundings(engine, command));
                let mut mount = options::unread_mount(&image.origin());
                if let Ok(source) = source {
                    mount.source = source;
                    mount.read_only = Fact::known(image.value.ends_with(":O"), image.origin());
                }
                mount.target = "/".into();
                request.mounts.push(mount);
            }
            Some(image) => {
                request.image = Some(options::text(&image.value, image.origin()));
                request.image_user = self.context.image_user(&image.value);
            }
            None => self.world.problems.push(Problem::at(
                &engine_word.place,
                "this command names no image; it ends before its first word that is no option",
            )),
        }
        if request.runtime.is_none() {
            request.runtime = runtime;
        }
        self.volumes_from(&asked, &mut request);
        self.join_pod(&asked, &mut request);
        let name = asked.name.as_ref().filter(|name| !name.is_unknown()).map(|name| name.value.clone());
        let image = words.get(used).map_or("container", |word| word.value.as_str());
        let name = name.unwrap_or_else(|| image_name(image));
        let count = self.ids.entry(name.clone()).or_insert(0);
        *count += 1;
        let count = *count;
        let id = if count == 1 { self.id(&name) } else { format!("{}-{count}", self.id(&name)).into() };
        self.mounts.insert(name.clone(), request.mounts.clone());
        let (settings, form) = match engine {
            EngineKind::Podman => (&self.context.podman, Form::PodmanRun),
            _ => (&self.context.docker, Form::DockerRun),
        };
        self.world.subjects.push(Subject {
            id,
            name: name.into(),
            kind: SubjectKind::Container,
            form,
            place: Some(engine_word.place.clone()),
            declared: Vec::new(),
            realm,
            namespace: None,
            confinement: Arc::new(confine(&request, settings, &self.context.host)),
            pod: None,
            labels: Arc::new(asked.labels),
            made: None,
        });
    }

    /// `--volumes-from NAME[:ro]`: the mounts of another container, unknown where it is not in the same text.
    fn volumes_from(&self, asked: &Asked, request: &mut Request) {
        for (value, origin) in &asked.volumes_from {
            let (name, option) = value.split_once(':').unwrap_or((value, ""));
            let Some(mounts) = self.mounts.get(name) else {
                request.mounts.push(options::unread_mount(origin));
                continue;
            };
            for mount in mounts.iter().filter(|mount| mount.source.get() != Some(&MountSource::Private)) {
                let mut mount = mount.clone();
                mount.source.origin = origin.clone();
                if option.split(',').any(|option| option == "ro") {
                    mount.read_only = Fact::known(true, origin.clone());
                }
                request.mounts.push(mount);
            }
        }
    }

    /// `podman pod create`: what containers that join it have in common.
    fn pod(&mut self, engine: EngineKind, words: &[Word], command: &Command, realm: &str) {
        let (mut asked, used) = self.asked(engine, words, command, realm, flags::POD);
        self.world.problems.append(&mut asked.problems);
        let positional = words.get(used).filter(|word| !word.is_unknown());
        let name = asked.name.as_ref().or(positional).map(|word| word.value.clone());
        if let Some(name) = name {
            self.pods.insert(name, asked.request);
        }
    }

    /// `--pod NAME`: podman-pod-create(1), --share: ipc, net and uts are the pod's by default.
    fn join_pod(&self, asked: &Asked, request: &mut Request) {
        let Some((name, origin)) = &asked.pod else { return };
        let name = name.strip_prefix("new:").unwrap_or(name);
        let pod = self.pods.get(name);
        let id: Arc<str> = format!("{}#pod/{name}", self.path).into();
        let shared = |of_pod: Option<&Fact<NamespaceRequest>>| match of_pod {
            Some(fact) if fact.get() != Some(&NamespaceRequest::Private) => Some(fact.clone()),
            _ => Some(Fact::known(NamespaceRequest::Container(id.clone()), origin.clone())),
        };
        request.net = request.net.take().or_else(|| shared(pod.and_then(|pod| pod.net.as_ref())));
        request.ipc = request.ipc.take().or_else(|| shared(pod.and_then(|pod| pod.ipc.as_ref())));
        request.uts = request.uts.take().or_else(|| shared(pod.and_then(|pod| pod.uts.as_ref())));
        let Some(pod) = pod else { return };
        request.pid = request.pid.take().or_else(|| pod.pid.clone());
        request.user_namespace = request.user_namespace.take().or_else(|| pod.user_namespace.clone());
        request.mounts.extend(pod.mounts.iter().cloned());
        request.devices.extend(pod.devices.iter().cloned());
        request.sysctls.extend(pod.sysctls.iter().cloned());
        request.published.extend(pod.published.iter().cloned());
        request.attached = request.attached.take().or_else(|| pod.attached.clone());
        request.shared_segment = request.shared_segment.take().or_else(|| pod.shared_segment.clone());
        request.seccomp = request.seccomp.take().or_else(|| pod.seccomp.clone());
        request.apparmor = request.apparmor.take().or_else(|| pod.apparmor.clone());
        request.selinux = request.selinux.take().or_else(|| pod.selinux.clone());
        request.no_new_privileges =
            request.no_new_privileges.take().or_else(|| pod.no_new_privileges.clone());
    }
}

/// A command that makes a container or pod, taken apart.
struct Made<'c> {
    engine: EngineKind,
    engine_word: &'c Word,
    verb: Verb,
    global: asked::Global,
    /// Behind the verb.
    words: &'c [Word],
    /// The number of the first of them among the command's words.
    first: usize,
    /// Which of the command's words is the verb.
    at_verb: usize,
}

fn made(command: &Command) -> Option<Made<'_>> {
    let (engine, at) = find_engine(&command.words)?;
    let engine_word = command.words.get(at)?;
    let words = command.words.get(at + 1..).unwrap_or_default();
    let (global, global_used) = asked::read_global(words, engine);
    let at_verb = at + 1 + global_used;
    let words = words.get(global_used..).unwrap_or_default();
    let verbs: Vec<&str> = words.iter().take(2).map(|word| word.value.as_str()).collect();
    let (verb, used) = match verbs.as_slice() {
        ["run" | "create", ..] => (Verb::Container, 1),
        ["container", "run" | "create"] => (Verb::Container, 2),
        ["pod", "create"] if engine == EngineKind::Podman => (Verb::Pod, 2),
        _ => return None,
    };
    let first = at_verb + used;
    let words = words.get(used..).unwrap_or_default();
    Some(Made { engine, engine_word, verb, global, words, first, at_verb })
}

/// A command line taken apart and not read: for those who write one anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TakenApart {
    pub engine: EngineKind,
    /// Options before the verb.
    pub global: Vec<Written>,
    pub options: Vec<Written>,
    /// The image and what runs in it.
    pub operands: Vec<String>,
}

/// An option by its long name; a list of Podman's is as many options as it has elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    pub long: &'static str,
    /// `None` for a switch without one.
    pub value: Option<String>,
}

/// The words of a `run` or `create` command, as an engine keeps them (Podman's `CreateCommand`); `None` where they are
/// no such command, or hold an option that is not known here.
pub fn take_apart(words: &[String]) -> Option<TakenApart> {
    let path: Arc<str> = "-".into();
    let place = confinement::Place::new(&path, 1, 1, 0);
    let word = |value: &String| Word {
        value: value.clone(),
        place: place.clone(),
        unknown: Vec::new(),
        splits: false,
        span: 0..0,
        alone: true,
    };
    let words: Vec<Word> = words.iter().map(word).collect();
    let engine = engine_name(words.first()?)?;
    let words = words.get(1..)?;
    let (global, used) = asked::written(words, engine, flags::GLOBAL)?;
    let words = words.get(used..)?;
    let verbs: Vec<&str> = words.iter().take(2).map(|word| word.value.as_str()).collect();
    let skip = match verbs.as_slice() {
        ["run" | "create", ..] => 1,
        ["container", "run" | "create"] => 2,
        _ => return None,
    };
    let words = words.get(skip..)?;
    let (options, used) = asked::written(words, engine, flags::RUN)?;
    let operands = words.get(used..)?.iter().map(|word| word.value.clone()).collect();
    Some(TakenApart { engine, global, options, operands })
}

/// For values that name nothing but paths.
fn plain_surroundings<'s>(engine: EngineKind, command: &'s Command) -> Surroundings<'s> {
    Surroundings {
        engine,
        folder: command.folder.as_deref().unwrap_or("/"),
        home: ASSUMED_HOME,
        volume: &|_, origin| Fact::unknown(origin.clone()),
        subject: &|_| Arc::from(""),
        read_file: &|_| Err(String::new()),
    }
}

/// Which engine a command calls, and which of its words is the engine's name.
fn find_engine(words: &[Word]) -> Option<(EngineKind, usize)> {
    let first = words.first()?;
    if let Some(engine) = engine_name(first) {
        return Some((engine, 0));
    }
    if !is_wrapper(&first.value) {
        return None;
    }
    // Whatever options and values the wrapper takes, the engine's name comes before any of the engine's options.
    words.iter().enumerate().skip(1).find_map(|(at, word)| engine_name(word).map(|engine| (engine, at)))
}

/// `docker`, `/usr/bin/podman`, or a variable whose name says that an engine's program is in it.
fn engine_name(word: &Word) -> Option<EngineKind> {
    if word.is_wholly_unknown() {
        let names = word.unknown.iter().map(|name| name.to_ascii_uppercase()).collect::<String>();
        return if names.contains("PODMAN") {
            Some(EngineKind::Podman)
        } else if ["DOCKER", "ENGINE", "CONTAINER", "RUNTIME"].iter().any(|part| names.contains(part)) {
            Some(EngineKind::Docker)
        } else {
            None
        };
    }
    let value = word.value.strip_suffix(".exe").unwrap_or(&word.value);
    match value.rsplit('/').next() {
        Some("docker") => Some(EngineKind::Docker),
        Some("podman") => Some(EngineKind::Podman),
        _ => None,
    }
}

/// `registry:5000/team/web:1.2@sha256:…` is called `web`.
fn image_name(reference: &str) -> String {
    let reference = reference.split('@').next().unwrap_or(reference);
    let last = reference.rsplit('/').next().unwrap_or(reference);
    let name = last.split(':').next().unwrap_or(last);
    let name: String = name.chars().filter(|c| *c != options::UNKNOWN && !c.is_control()).take(128).collect();
    if name.is_empty() { "container".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
