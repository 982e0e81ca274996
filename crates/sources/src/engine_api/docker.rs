//! `docker:`, the Engine API (moby api/docs) from version 1.24 on. The daemon's settings come from `/info`, from
//! the default bridge, and, where the daemon runs here, from its own process.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use confinement::engine::SeccompDefault;
use confinement::host::Installed;
use confinement::{Engine, EngineKind, Fact, Host, MountSource, Origin, Problem, Subject, World};
use serde_json::Value;

use crate::inventory::EngineInventory;

use super::answer::{Answer, Field};
use super::container::Neighbours;
use super::http::{self, Endpoint, HttpError};
use super::raw::{Inspected, Raw, elements};
use super::session::Known;
use super::{Listed, Reading, Told, Wanted, daemon, kernel, source_name, version_numbers, volume_source};

const DEFAULT_SOCKET: &str = "/run/docker.sock";
/// The newest version whose documentation this was written against. Members are only ever added to answers, so
/// that an older reader does with a newer version; a daemon that refuses this one names the one it needs.
const NEWEST: (u32, u32) = (1, 52);

/// The containers and settings of the Docker daemon at `DOCKER_HOST` or at its usual socket. `host` is this
/// machine; a daemon elsewhere tells of its own.
pub fn docker(wanted: Wanted<'_>, host: &Arc<Host>) -> Told {
    match usual_endpoint() {
        Ok(endpoint) => docker_at(&endpoint, wanted, host),
        Err(error) => problem("docker: (DOCKER_HOST)", error),
    }
}

fn usual_endpoint() -> Result<Endpoint, String> {
    match std::env::var("DOCKER_HOST") {
        Ok(address) if !address.is_empty() => Endpoint::parse(&address).map_err(|error| error.to_string()),
        _ => Ok(Endpoint::Unix(DEFAULT_SOCKET.into())),
    }
}

/// The daemon's own answers.
pub(super) fn raw(wanted: Wanted<'_>) -> Result<Raw, Problem> {
    let endpoint = usual_endpoint().map_err(|error| Problem::new("docker: (DOCKER_HOST)", error))?;
    docker_raw_at(&endpoint, wanted)
}

/// The own answers of the daemon at `endpoint`.
pub fn docker_raw_at(endpoint: &Endpoint, wanted: Wanted<'_>) -> Result<Raw, Problem> {
    raw_at(endpoint, wanted).map_err(|error| Problem::new(source_of(endpoint), error.to_string()))
}

fn raw_at(endpoint: &Endpoint, wanted: Wanted<'_>) -> Result<Raw, HttpError> {
    let Opened { client, info, all, engine, .. } = Opened::at(endpoint, &mut World::default())?;
    let mut raw = Raw { engine: Some(engine), info: info.into_json(), ..Raw::default() };
    for listed in all.root().list().iter().filter_map(listed).filter(|c| c.is_wanted(wanted)) {
        let path = format!("/containers/{}/json", http::encode(&listed.id));
        let Some(container) = gone(client.get(&path, "docker inspect"))? else { continue };
        let image = match container.root().get("Image").plain() {
            Some(id) => {
                let path = format!("/images/{}/json", http::encode(&id));
                gone(client.get(&path, "docker image inspect"))?
            }
            None => None,
        };
        raw.containers
            .push(Inspected { container: container.into_json(), image: image.map(Answer::into_json) });
    }
    let volumes = client.get("/volumes", "docker volume inspect")?.into_json();
    raw.volumes = elements(volumes.get("Volumes").cloned().unwrap_or_default());
    raw.networks = elements(client.get("/networks", "docker network inspect")?.into_json());
    Ok(raw)
}

/// What a benchmark asks of the daemon at `DOCKER_HOST` or at its usual socket beyond its containers.
pub fn docker_inventory() -> Result<EngineInventory, Problem> {
    let endpoint = usual_endpoint().map_err(|error| Problem::new("docker: (DOCKER_HOST)", error))?;
    docker_inventory_at(&endpoint)
}

/// The same of the daemon at `endpoint`.
pub fn docker_inventory_at(endpoint: &Endpoint) -> Result<EngineInventory, Problem> {
    super::inventory::read(endpoint).map_err(|error| Problem::new(source_of(endpoint), error.to_string()))
}

/// What went away while it was looked at is nothing.
fn gone(result: Result<Answer, HttpError>) -> Result<Option<Answer>, HttpError> {
    match result {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}

fn problem(source: impl Into<Arc<str>>, message: String) -> Told {
    let world = World { problems: vec![Problem::new(source, message)], ..World::default() };
    Told { world, ..Told::default() }
}

/// Asks one daemon one thing after another.
pub(super) struct Client<'a> {
    endpoint: &'a Endpoint,
    /// `/v1.41`.
    prefix: String,
}

impl Client<'_> {
    pub(super) fn get(&self, path: &str, asked: impl Into<Arc<str>>) -> Result<Answer, HttpError> {
        let path = format!("{}{path}", self.prefix);
        let bytes = http::get(self.endpoint, &path)?;
        Answer::parse(&bytes, asked).map_err(|error| HttpError::NotHttp { path, why: error.to_string() })
    }
}

/// What is asked of every daemon first.
pub(super) struct Opened<'a> {
    pub(super) client: Client<'a>,
    version: Answer,
    pub(super) info: Answer,
    /// All its containers.
    pub(super) all: Answer,
    /// It runs on this machine.
    local: bool,
    engine: Arc<Engine>,
}

impl<'a> Opened<'a> {
    pub(super) fn at(endpoint: &'a Endpoint, world: &mut World) -> Result<Opened<'a>, HttpError> {
        let mut client = Client { endpoint, prefix: String::new() };
        let version = client.get("/version", "docker version")?;
        client.prefix = api_prefix(&version.root());
        let info = client.get("/info", "docker info")?;
        let all = client.get("/containers/json?all=1", "docker ps")?;
        let local = matches!(endpoint, Endpoint::Unix(_)) && is_this_machine(&info.root());
        let engine = engine(&client, &version.root(), &info.root(), local, endpoint, world)?;
        Ok(Opened { client, version, info, all, local, engine: Arc::new(engine) })
    }
}

/// What a session keeps of the daemon at `endpoint`.
pub(super) fn known(endpoint: &Endpoint) -> Result<Known, HttpError> {
    let Opened { client, info, local, engine, .. } = Opened::at(endpoint, &mut World::default())?;
    let engine = Arc::unwrap_or_clone(engine);
    let data_root = info.root().get("DockerRootDir").plain().map(|path| path.to_string());
    Ok(Known { prefix: client.prefix, engine, runtimes: runtimes(&info.root()), data_root, local })
}

/// The volumes of the daemon at `endpoint`, by name.
pub(super) fn volumes_at(
    endpoint: &Endpoint,
    prefix: &str,
    realm: &str,
) -> Result<BTreeMap<Arc<str>, Fact<MountSource>>, HttpError> {
    volumes(&Client { endpoint, prefix: prefix.to_owned() }, realm)
}

/// The same for the daemon at `endpoint`.
pub fn docker_at(endpoint: &Endpoint, wanted: Wanted<'_>, host: &Arc<Host>) -> Told {
    let realm: Arc<str> = endpoint.to_string().into();
    let source = source_name(EngineKind::Docker, &realm);
    match read(endpoint, realm, wanted, host) {
        Ok(told) => told,
        Err(error) => problem(source, error.to_string()),
    }
}

fn read(
    endpoint: &Endpoint,
    realm: Arc<str>,
    wanted: Wanted<'_>,
    this_host: &Arc<Host>,
) -> Result<Told, HttpError> {
    let started = Instant::now();
    let mut told = Told::default();
    let source = source_name(EngineKind::Docker, &realm);
    let Opened { client, version, info, all, local, engine } = Opened::at(endpoint, &mut told.world)?;
    let host = if local { this_host.clone() } else { Arc::new(host_of(&version.root(), &info.root())) };
    let list: Vec<Listed> = all.root().list().iter().filter_map(listed).collect();
    let neighbours = Neighbours {
        names: list.iter().map(|c| (c.id.clone(), c.name.clone())).collect(),
        volumes: optional(volumes(&client, &realm), "volumes", &source, &mut told.world)?,
        runtimes: runtimes(&info.root()),
        local,
    };
    let kernel = if local { kernel(&mut told.world) } else { None };
    let reading = Reading { engine, host, neighbours, realm, kernel, started };
    if wanted.name.is_none() {
        let made = reloaded(&client, &info.root());
        told.world.subjects.push(Subject { made, ..reading.engine_subject() });
    }
    let inspect = |listed: &Listed| {
        let path = format!("/containers/{}/json", http::encode(&listed.id));
        let asked = format!("docker inspect {}", crate::measured::printable(&listed.name));
        match client.get(&path, asked) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(Problem::new(source.clone(), error.to_string())),
        }
    };
    reading.containers(&list, wanted, inspect, &mut told);
    for answer in [version, info, all] {
        told.world.problems.extend(answer.into_problems());
    }
    Ok(told)
}

/// An answer that may be refused (a filtered socket, an authorization plugin) without the rest being in doubt; but
/// a daemon that stopped answering is not asked again.
fn optional<T>(
    result: Result<T, HttpError>,
    what: &str,
    source: &Arc<str>,
    world: &mut World,
) -> Result<Option<T>, HttpError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error @ (HttpError::TimedOut { .. } | HttpError::Connect(_))) => Err(error),
        Err(error) => {
            world
                .problems
                .push(Problem::new(source.clone(), format!("the {what} could not be read: {error}")));
            Ok(None)
        }
    }
}

/// When the daemon last read its settings anew while it ran, where its events still tell: it keeps the last 256 of them
/// in memory (moby daemon/events, `eventsLimit`). An answer that cannot be had is no problem: nothing is judged by it.
fn reloaded(client: &Client<'_>, info: &Field<'_>) -> Option<Arc<str>> {
    // The events up to now; without an end the answer would have none.
    let now = info.get("SystemTime").plain()?;
    let filter = http::encode(r#"{"type":{"daemon":true}}"#);
    let path = format!("{}/events?since=0&until={}&filters={filter}", client.prefix, http::encode(&now));
    let bytes = http::get(client.endpoint, &path).ok()?;
    let events =
        bytes.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice::<Value>(line).ok());
    let mut reloads = events.filter(|event| event["Action"] == "reload" && event["Type"] == "daemon");
    let time = reloads.next_back()?["time"].as_i64()?;
    let time = jiff::Timestamp::from_second(time).ok()?;
    Some(format!("settings reloaded {time}").into())
}

fn api_prefix(version: &Field<'_>) -> String {
    let pair = |name: &str| {
        let text = version.get(name).plain()?;
        let (major, minor) = text.split_once('.')?;
        Some((major.parse::<u32>().ok()?, minor.parse::<u32>().ok()?))
    };
    // A daemon that names no version is asked without one and answers in its newest.
    let Some(newest) = pair("ApiVersion") else { return String::new() };
    let (major, minor) = newest.min(NEWEST).max(pair("MinAPIVersion").unwrap_or(newest.min(NEWEST)));
    format!("/v{major}.{minor}")
}

fn listed(container: &Field<'_>) -> Option<Listed> {
    let id = container.get("Id").plain()?;
    // Links give a container more names, with a slash inside; its own is the one without.
    let names = container.get("Names").texts();
    let own = names.iter().filter_map(|n| n.get()?.strip_prefix('/')).find(|n| !n.contains('/'));
    let name = own.map_or_else(|| id.clone(), Arc::from);
    let running =
        container.get("State").plain().is_none_or(|s| matches!(&*s, "running" | "paused" | "restarting"));
    Some(Listed { id, name, running })
}

fn volumes(client: &Client<'_>, realm: &str) -> Result<BTreeMap<Arc<str>, Fact<MountSource>>, HttpError> {
    let answer = client.get("/volumes", "docker volume inspect")?;
    let mut found = BTreeMap::new();
    for volume in answer.root().get("Volumes").list() {
        let Some(name) = volume.get("Name").plain() else { continue };
        let members = volume.get("Options").members();
        let options: Vec<(String, String)> = members
            .iter()
            .filter_map(|(key, value)| Some(((*key).to_owned(), value.plain()?.to_string())))
            .collect();
        let driver = volume.get("Driver").plain();
        let folder = volume.get("Mountpoint").plain();
        let origin = Origin::measured(format!("docker volume inspect {}", crate::measured::printable(&name)));
        let source = volume_source(driver.as_deref(), &options, folder.as_deref(), &name, realm, origin);
        found.insert(name, source);
    }
    Ok(found)
}

fn runtimes(info: &Field<'_>) -> BTreeMap<Arc<str>, Arc<str>> {
    let program = |runtime: &Field<'_>| {
        let given = runtime.get("path").plain().or_else(|| runtime.get("runtimeType").plain());
        given.filter(|p| !p.is_empty())
    };
    info.get("Runtimes")
        .members()
        .into_iter()
        .filter_map(|(name, runtime)| Some((name.into(), program(&runtime)?)))
        .collect()
}

/// Whether the daemon runs under this kernel. A socket may be forwarded from elsewhere.
fn is_this_machine(info: &Field<'_>) -> bool {
    let here = crate::process::files::read_word(Path::new("/proc/sys/kernel/hostname"));
    let release = crate::process::files::read_word(Path::new("/proc/sys/kernel/osrelease"));
    let same_release = info.get("KernelVersion").plain().as_deref() == release.as_deref();
    same_release && info.get("Name").plain().as_deref() == here.as_deref()
}

/// What a daemon elsewhere tells of its host.
fn host_of(version: &Field<'_>, info: &Field<'_>) -> Host {
    let options = security_options(info);
    let has = |name: &str| options.iter().any(|o| &*o.name == name);
    let origin = info.get("SecurityOptions").origin();
    let mut host = Host::unseen();
    host.name = info.get("Name").plain();
    host.kernel_release = info.get("KernelVersion").filled().unwrap_or_default();
    host.machine = info.get("Architecture").filled().unwrap_or_default();
    if let Some(version) = info.get("CgroupVersion").filled() {
        host.cgroup_version =
            Fact { value: version.get().and_then(|v| v.parse().ok()), origin: version.origin };
    }
    // moby leaves a module out that the kernel does not enforce; others are not told.
    let lsms: Vec<Arc<str>> = ["apparmor", "selinux"].into_iter().filter(|n| has(n)).map(Arc::from).collect();
    host.lsms = Fact::known(lsms.into(), origin);
    let installed = |version: &Arc<str>| Installed { version: Some(version.clone()), ..Installed::default() };
    host.kernel = host.kernel_release.map(installed);
    for part in version.get("Components").list() {
        let name = part.get("Name").plain().unwrap_or_default();
        let name = if &*name == "Engine" { "docker".into() } else { name };
        if let Some(version) = part.get("Version").filled() {
            host.components.insert(name, version.map(installed));
        }
    }
    host
}

struct SecurityOption {
    name: Arc<str>,
    profile: Option<Arc<str>>,
}

/// `name=seccomp,profile=default`; before API 1.26 plainly `seccomp`.
fn security_options(info: &Field<'_>) -> Vec<SecurityOption> {
    let texts = info.get("SecurityOptions").texts();
    let read = |text: &Arc<str>| {
        let pairs: Vec<(&str, &str)> =
            text.split(',').map(|p| p.split_once('=').unwrap_or(("name", p))).collect();
        let value = |key: &str| pairs.iter().find(|(k, _)| *k == key).map(|(_, v)| Arc::from(*v));
        Some(SecurityOption { name: value("name")?, profile: value("profile") })
    };
    texts.iter().filter_map(|fact| read(fact.get()?)).collect()
}

fn engine(
    client: &Client<'_>,
    version: &Field<'_>,
    info: &Field<'_>,
    local: bool,
    endpoint: &Endpoint,
    world: &mut World,
) -> Result<Engine, HttpError> {
    let text = version.get("Version").plain().unwrap_or_default();
    let numbers = version_numbers(&text);
    if numbers.is_none() {
        let shown = crate::measured::printable(&text);
        version.get("Version").problem(format!("`{shown}` is not a version; the newest known is taken"));
    }
    let ((major, minor), patch) = numbers.unwrap_or(((u32::MAX, 0), None));
    let mut engine = Engine::of_version(EngineKind::Docker, (major, minor), patch, &format!("docker-{text}"));
    let own = local && daemon::overlay(endpoint, &mut engine);
    // What the daemon itself says stands above its file and its command line.
    let options = security_options(info);
    let origin = info.get("SecurityOptions").origin();
    let has = |name: &str| Fact::known(options.iter().any(|o| &*o.name == name), origin.clone());
    let settings = &mut engine.settings;
    settings.own_configuration = Some(own);
    settings.storage_driver = info.get("Driver").filled();
    settings.userns_remap = has("userns");
    settings.rootless = has("rootless");
    // Daemons before 23 do not tell it, so that its absence says nothing.
    if has("no-new-privileges").value == Some(true) {
        settings.no_new_privileges = has("no-new-privileges");
    }
    settings.selinux_enabled = has("selinux");
    settings.seccomp_profile = match options.iter().find(|o| &*o.name == "seccomp") {
        // Without kernel support nothing is loaded (moby pkg/sysinfo).
        None => Some(Fact::known(SeccompDefault::Unconfined, origin.clone())),
        Some(option) => seccomp_default(option.profile.as_deref(), local)
            .map(|default| Fact::known(default, origin.clone())),
    };
    settings.default_runtime = info.get("DefaultRuntime").filled().map(|runtime| {
        let program = runtimes(info);
        runtime.map(|name| program.get(name).unwrap_or(name).clone())
    });
    if let Some(live) = info.get("LiveRestoreEnabled").boolean() {
        settings.live_restore = live;
    }
    if let Some(experimental) = info.get("ExperimentalBuild").boolean() {
        settings.experimental = experimental;
    }
    settings.log_driver = info.get("LoggingDriver").filled();
    let plugins = info.get("Plugins").get("Authorization");
    let names: Option<Vec<Arc<str>>> = plugins.texts().into_iter().map(|t| t.value).collect();
    settings.authorization_plugins = Fact { value: names.map(Arc::from), origin: plugins.origin() };
    let registries = info.get("RegistryConfig").get("InsecureRegistryCIDRs").texts();
    // The loopback network is always in the list (moby registry/config.go).
    settings.insecure_registries = registries
        .into_iter()
        .filter(|r| r.get().is_none_or(|r| !matches!(&**r, "127.0.0.0/8" | "::1/128")))
        .collect();
    for (name, registry) in info.get("RegistryConfig").get("IndexConfigs").members() {
        if registry.get("Secure").boolean().is_some_and(|secure| secure.value == Some(false)) {
            settings.insecure_registries.push(Fact::known(name.into(), registry.origin()));
        }
    }
    if let Some(Some(icc)) = optional(inter_container(client), "networks", &source_of(endpoint), world)? {
        settings.inter_container = icc;
    }
    Ok(engine)
}

fn source_of(endpoint: &Endpoint) -> Arc<str> {
    source_name(EngineKind::Docker, &endpoint.to_string())
}

fn seccomp_default(profile: Option<&str>, local: bool) -> Option<SeccompDefault> {
    match profile.unwrap_or("builtin") {
        "default" | "builtin" => None,
        "unconfined" => Some(SeccompDefault::Unconfined),
        path => {
            let text = if local { crate::process::read_text(Path::new(path)).ok() } else { None };
            let read = text.and_then(|text| crate::options::seccomp_profile(path, &text).ok());
            Some(match read {
                Some(confinement::confine::SeccompRequest::Profile { name, profile }) => {
                    SeccompDefault::Profile { name, profile }
                }
                _ => SeccompDefault::Unread(path.into()),
            })
        }
    }
}

/// `icc` of the default bridge.
fn inter_container(client: &Client<'_>) -> Result<Option<Fact<bool>>, HttpError> {
    let answer = client.get("/networks/bridge", "docker network inspect bridge");
    let answer = match answer {
        Ok(answer) => answer,
        // `"bridge": "none"`: there is none, and no traffic over it.
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(error),
    };
    let option = answer.root().get("Options").get("com.docker.network.bridge.enable_icc");
    Ok(option.filled().map(|text| text.map(|t| &**t != "false")))
}
