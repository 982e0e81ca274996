//! `podman:`, through libpod's HTTP API where its service listens, and through the `podman` command where it
//! does not: the command needs no service, and prints the same JSON.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use confinement::engine::SeccompDefault;
use confinement::{Engine, EngineKind, Fact, Host, MountSource, Origin, Problem, World};

use super::answer::{Answer, Field};
use super::container::Neighbours;
use super::http::{self, Endpoint, HttpError};
use super::raw::{Inspected, Raw, elements};
use super::session::Known;
use super::{Listed, Reading, Told, Wanted, kernel, source_name, version_numbers, volume_source};

/// What the command may print, as `http` bounds what the service may send.
const OUTPUT_LIMIT: u64 = 64 << 20;
/// A command starts, takes its locks and reads its database: slower than a service that runs already.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(4);

/// Any version a service knows is served under its own number; 4.0.0 is the oldest that all do.
const PREFIX: &str = "/v4.0.0/libpod";

/// Where to ask.
enum Way {
    /// The service's socket.
    Service(Endpoint),
    /// The program.
    Command(PathBuf),
}

/// What to ask for; both ways have a form of it.
enum Question<'a> {
    Info,
    Containers,
    Volumes,
    Container(&'a str),
    Image(&'a str),
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("`{command}` cannot be started: {error}")]
    Start { command: String, error: std::io::Error },
    #[error("`{command}` did not end within {} s", COMMAND_TIMEOUT.as_secs())]
    TimedOut { command: String },
    #[error("`{command}` failed: {message}")]
    Failed { command: String, message: String },
    #[error("{0}")]
    NotJson(super::answer::NotJson),
}

impl Failure {
    /// Of a service that was asked: the other kinds are the command's.
    fn into_http(self) -> HttpError {
        match self {
            Failure::Http(error) => error,
            other => HttpError::NotHttp { path: PREFIX.to_owned(), why: other.to_string() },
        }
    }

    fn is_gone(&self) -> bool {
        match self {
            Failure::Http(error) => error.is_not_found(),
            Failure::Failed { message, .. } => {
                message.contains("no such container") || message.contains("image not known")
            }
            _ => false,
        }
    }
}

/// The containers and settings of Podman for the calling user: of the service at `CONTAINER_HOST` or its usual
/// socket, or through the command.
pub fn podman(wanted: Wanted<'_>, host: &Arc<Host>) -> Told {
    let source = |what: &str| source_name(EngineKind::Podman, what);
    let problem = |source: Arc<str>, message: String| {
        let world = World { problems: vec![Problem::new(source, message)], ..World::default() };
        Told { world, ..Told::default() }
    };
    let (way, realm) = match usual_way() {
        Ok(found) => found,
        Err(why) => {
            return Told { world: World { problems: vec![why], ..World::default() }, ..Told::default() };
        }
    };
    match read(&way, realm.clone(), wanted, host) {
        Ok(told) => told,
        // A socket that nobody listens on any more is left behind when the service was not stopped by systemd.
        Err(Failure::Http(HttpError::Connect(error)))
            if error.kind() == std::io::ErrorKind::ConnectionRefused =>
        {
            match program().map(|program| read(&Way::Command(program), realm.clone(), wanted, host)) {
                Some(Ok(told)) => told,
                Some(Err(error)) => problem(source(&realm), error.to_string()),
                None => problem(source(&realm), HttpError::Connect(error).to_string()),
            }
        }
        Err(error) => problem(source(&realm), error.to_string()),
    }
}

/// Which way leads to the calling user's Podman, and what it is called.
fn usual_way() -> Result<(Way, Arc<str>), Problem> {
    let source = |what: &str| source_name(EngineKind::Podman, what);
    match std::env::var("CONTAINER_HOST") {
        Ok(address) if !address.is_empty() => {
            let endpoint = Endpoint::parse(&address)
                .map_err(|error| Problem::new(source("CONTAINER_HOST"), error.to_string()))?;
            let realm = endpoint.to_string().into();
            Ok((Way::Service(endpoint), realm))
        }
        _ => {
            let socket = usual_socket();
            let realm: Arc<str> = socket.display().to_string().into();
            if socket.exists() {
                return Ok((Way::Service(Endpoint::Unix(socket)), realm));
            }
            match program() {
                Some(program) => Ok((Way::Command(program), realm)),
                None => {
                    let message = "no service listens there, and there is no podman command";
                    Err(Problem::new(source(&realm), message))
                }
            }
        }
    }
}

/// Podman's own answers.
pub(super) fn raw(wanted: Wanted<'_>) -> Result<Raw, Problem> {
    let (way, realm) = usual_way()?;
    let told = match (raw_by(&way, wanted), program()) {
        (Err(Failure::Http(HttpError::Connect(_))), Some(program)) => raw_by(&Way::Command(program), wanted),
        (told, _) => told,
    };
    told.map_err(|error| Problem::new(source_name(EngineKind::Podman, &realm), error.to_string()))
}

fn raw_by(way: &Way, wanted: Wanted<'_>) -> Result<Raw, Failure> {
    let info = way.ask(&Question::Info, "podman info")?;
    let all = way.ask(&Question::Containers, "podman ps")?;
    let engine = Arc::new(engine(&info.root(), way.is_local()));
    let mut raw = Raw { engine: Some(engine), info: info.into_json(), ..Raw::default() };
    for listed in all.root().list().iter().filter_map(listed).filter(|c| c.is_wanted(wanted)) {
        let Some(container) = gone(way.ask(&Question::Container(&listed.id), "podman inspect"))? else {
            continue;
        };
        let image = match container.root().get("Image").plain().filter(|id| !id.is_empty()) {
            Some(id) => gone(way.ask(&Question::Image(&id), "podman image inspect"))?,
            None => None,
        };
        raw.containers
            .push(Inspected { container: container.into_json(), image: image.map(Answer::into_json) });
    }
    raw.volumes = elements(way.ask(&Question::Volumes, "podman volume ls")?.into_json());
    Ok(raw)
}

/// What went away while it was looked at is nothing.
fn gone(result: Result<Answer, Failure>) -> Result<Option<Answer>, Failure> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_gone() => Ok(None),
        Err(error) => Err(error),
    }
}

/// podman-system-service(1): root's, or the user's own.
fn usual_socket() -> PathBuf {
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").filter(|_| !rustix::process::geteuid().is_root());
    match runtime {
        Some(folder) => PathBuf::from(folder).join("podman/podman.sock"),
        None => "/run/podman/podman.sock".into(),
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join("podman")).find(|file| file.is_file())
}

impl Way {
    fn is_local(&self) -> bool {
        !matches!(self, Way::Service(Endpoint::Tcp(_)))
    }

    fn ask(&self, question: &Question<'_>, asked: impl Into<Arc<str>>) -> Result<Answer, Failure> {
        let bytes = match self {
            Way::Service(endpoint) => {
                let path = match question {
                    Question::Info => "info".to_owned(),
                    Question::Containers => "containers/json?all=true".to_owned(),
                    Question::Volumes => "volumes/json".to_owned(),
                    Question::Container(id) => format!("containers/{}/json", http::encode(id)),
                    Question::Image(id) => format!("images/{}/json", http::encode(id)),
                };
                http::get(endpoint, &format!("{PREFIX}/{path}"))?
            }
            Way::Command(program) => {
                let arguments: Vec<&str> = match question {
                    Question::Info => vec!["info", "--format", "json"],
                    Question::Containers => vec!["ps", "--all", "--no-trunc", "--format", "json"],
                    Question::Volumes => vec!["volume", "ls", "--format", "json"],
                    Question::Container(id) => vec!["container", "inspect", "--", id],
                    Question::Image(id) => vec!["image", "inspect", "--", id],
                };
                run(program, &arguments)?
            }
        };
        let mut json: serde_json::Value =
            serde_json::from_slice(&bytes).map_err(|e| Failure::NotJson(e.into()))?;
        // The command prints a list even of one.
        if matches!((self, question), (Way::Command(_), Question::Container(_) | Question::Image(_)))
            && let Some(first) = json.as_array_mut().and_then(|list| list.first_mut())
        {
            json = first.take();
        }
        Ok(Answer::new(json, asked))
    }
}

/// Runs the command to its end, or ends it.
fn run(program: &Path, arguments: &[&str]) -> Result<Vec<u8>, Failure> {
    let command = format!("podman {}", arguments.join(" "));
    let started = Instant::now();
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| Failure::Start { command: command.clone(), error })?;
    // Both pipes are read while it runs, so that it never waits for a full one.
    let output = child.stdout.take().map(reader);
    let errors = child.stderr.take().map(reader);
    let status = wait(&mut child, started);
    let collect = |thread: Option<std::thread::JoinHandle<Vec<u8>>>| {
        thread.and_then(|t| t.join().ok()).unwrap_or_default()
    };
    match status {
        None => Err(Failure::TimedOut { command }),
        Some(true) => Ok(collect(output)),
        Some(false) => {
            let text = String::from_utf8_lossy(&collect(errors)).trim().to_owned();
            Err(Failure::Failed { command, message: crate::measured::printable(&text) })
        }
    }
}

fn reader(pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What is over the limit is left in the pipe; the command then runs into its time limit.
        let _ = pipe.take(OUTPUT_LIMIT).read_to_end(&mut bytes);
        bytes
    })
}

/// Whether it ended well; `None` where it had to be ended.
fn wait(child: &mut Child, started: Instant) -> Option<bool> {
    loop {
        if let Ok(Some(status)) = child.try_wait() {
            return Some(status.success());
        }
        if started.elapsed() > COMMAND_TIMEOUT {
            let _ = child.kill();
            let _ = child.wait();
            return None;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn read(way: &Way, realm: Arc<str>, wanted: Wanted<'_>, this_host: &Arc<Host>) -> Result<Told, Failure> {
    let started = Instant::now();
    let mut told = Told::default();
    let source = source_name(EngineKind::Podman, &realm);
    let info = way.ask(&Question::Info, "podman info")?;
    let all = way.ask(&Question::Containers, "podman ps")?;
    let local = way.is_local();
    let engine = Arc::new(engine(&info.root(), local));
    let list: Vec<Listed> = all.root().list().iter().filter_map(listed).collect();
    let volumes = match volumes(way, &realm) {
        Ok(volumes) => Some(volumes),
        Err(error) => {
            let message = format!("the volumes could not be read: {error}");
            told.world.problems.push(Problem::new(source.clone(), message));
            None
        }
    };
    let neighbours = Neighbours {
        names: list.iter().map(|c| (c.id.clone(), c.name.clone())).collect(),
        volumes,
        runtimes: BTreeMap::new(),
        local,
    };
    let host = if local { this_host.clone() } else { Arc::new(host_of(&info.root())) };
    let kernel = if local { kernel(&mut told.world) } else { None };
    let reading = Reading { engine, host, neighbours, realm, kernel, started };
    if wanted.name.is_none() {
        told.world.subjects.push(reading.engine_subject());
    }
    let inspect = |listed: &Listed| {
        let asked = format!("podman inspect {}", crate::measured::printable(&listed.name));
        match way.ask(&Question::Container(&listed.id), asked) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_gone() => Ok(None),
            Err(error) => Err(Problem::new(source.clone(), error.to_string())),
        }
    };
    reading.containers(&list, wanted, inspect, &mut told);
    for answer in [info, all] {
        told.world.problems.extend(answer.into_problems());
    }
    Ok(told)
}

/// What a session keeps of the service at `endpoint`.
pub(super) fn known(endpoint: &Endpoint) -> Result<Known, HttpError> {
    let way = Way::Service(endpoint.clone());
    let info = way.ask(&Question::Info, "podman info").map_err(Failure::into_http)?;
    let (engine, local) = (engine(&info.root(), way.is_local()), way.is_local());
    Ok(Known { prefix: PREFIX.to_owned(), engine, runtimes: BTreeMap::new(), data_root: None, local })
}

/// The volumes of the service at `endpoint`, by name.
pub(super) fn volumes_at(
    endpoint: &Endpoint,
    realm: &str,
) -> Result<BTreeMap<Arc<str>, Fact<MountSource>>, HttpError> {
    volumes(&Way::Service(endpoint.clone()), realm).map_err(Failure::into_http)
}

fn listed(container: &Field<'_>) -> Option<Listed> {
    let id = container.get("Id").plain()?;
    let name = container.get("Names").texts().into_iter().find_map(|n| n.value).unwrap_or_else(|| id.clone());
    let running = container.get("State").plain().is_none_or(|state| matches!(&*state, "running" | "paused"));
    Some(Listed { id, name, running })
}

fn volumes(way: &Way, realm: &str) -> Result<BTreeMap<Arc<str>, Fact<MountSource>>, Failure> {
    let answer = way.ask(&Question::Volumes, "podman volume ls")?;
    let mut found = BTreeMap::new();
    for volume in answer.root().list() {
        let Some(name) = volume.get("Name").plain() else { continue };
        let members = volume.get("Options").members();
        let options: Vec<(String, String)> = members
            .iter()
            .filter_map(|(key, value)| Some(((*key).to_owned(), value.plain()?.to_string())))
            .collect();
        let (driver, folder) = (volume.get("Driver").plain(), volume.get("Mountpoint").plain());
        let origin = Origin::measured(format!("podman volume inspect {}", crate::measured::printable(&name)));
        let source = volume_source(driver.as_deref(), &options, folder.as_deref(), &name, realm, origin);
        found.insert(name, source);
    }
    Ok(found)
}

fn engine(info: &Field<'_>, local: bool) -> Engine {
    let text = info.get("version").get("Version").plain().unwrap_or_default();
    let numbers = version_numbers(&text);
    if numbers.is_none() {
        let shown = crate::measured::printable(&text);
        info.get("version").problem(format!("`{shown}` is not a version; the newest known is taken"));
    }
    let (version, patch) = numbers.unwrap_or(((u32::MAX, 0), None));
    let mut engine = Engine::of_version(EngineKind::Podman, version, patch, &format!("podman-{text}"));
    let host = info.get("host");
    let security = host.get("security");
    let settings = &mut engine.settings;
    if let Some(rootless) = security.get("rootless").boolean() {
        settings.rootless = rootless;
    }
    if let Some(selinux) = security.get("selinuxEnabled").boolean() {
        settings.selinux_enabled = selinux;
    }
    if let Some(runtime) = host.get("ociRuntime").get("name").filled() {
        settings.default_runtime = Some(runtime);
    }
    settings.log_driver = host.get("logDriver").filled();
    let enabled = security.get("seccompEnabled");
    if enabled.boolean().is_some_and(|on| on.value == Some(false)) {
        settings.seccomp_profile = Some(Fact::known(SeccompDefault::Unconfined, enabled.origin()));
    } else if let Some(profile) = security.get("seccompProfilePath").filled().filter(|_| local) {
        // The packaged file is the one that containers get, whatever the version's own default is.
        settings.seccomp_profile = profile.get().and_then(|path| profile_file(path, &profile.origin));
    }
    engine
}

/// The profile at `path`; nothing where it is the built-in one or cannot be read as a profile.
fn profile_file(path: &str, origin: &Origin) -> Option<Fact<SeccompDefault>> {
    let text = crate::process::read_text(Path::new(path)).ok()?;
    match crate::options::seccomp_profile(path, &text).ok()? {
        confinement::confine::SeccompRequest::Profile { name, profile } => {
            Some(Fact::known(SeccompDefault::Profile { name, profile }, origin.clone()))
        }
        _ => None,
    }
}

/// What a service elsewhere tells of its host.
fn host_of(info: &Field<'_>) -> Host {
    let told = info.get("host");
    let mut host = Host::unseen();
    host.name = told.get("hostname").plain();
    host.kernel_release = told.get("kernel").filled().unwrap_or_default();
    let security = told.get("security");
    let on = |name: &str| security.get(name).boolean().is_some_and(|f| f.value == Some(true));
    let lsms = [("apparmorEnabled", "apparmor"), ("selinuxEnabled", "selinux")];
    let lsms: Vec<Arc<str>> =
        lsms.into_iter().filter(|(key, _)| on(key)).map(|(_, name)| name.into()).collect();
    host.lsms = Fact::known(lsms.into(), security.origin());
    host.cgroup_version = match told.get("cgroupVersion").filled() {
        Some(text) => Fact {
            value: text.get().and_then(|t| t.trim_start_matches('v').parse().ok()),
            origin: text.origin,
        },
        None => Fact::default(),
    };
    host
}
