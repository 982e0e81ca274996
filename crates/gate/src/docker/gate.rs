//! One request to the Docker API goes in, and a ruling comes out. The authorization plugin and the filtered socket decide
//! by this one function.
//!
//! What a request makes or puts into a container is read as an inspection of the container as it would be then, judged as
//! the audit judges containers, and decided by the policy; beside that, the policy's `doors` say what is done with each kind
//! of request. The worse of both holds. What cannot be read is refused with the reason.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use policy::doors::DockerRequest;
use policy::{Date, Outcome};
use serde_json::Value;
use sources::engine_api::Session;

use super::create::{self, Daemon};
use super::engine::Engine;
use super::route::{self, Effect, Route};
use super::{addition, service, subject};
use crate::record::{Door, Record, SCHEMA, Who};
use crate::rules::{InForce, Rules};
use crate::ruling::Ruling;

/// The largest body that is read. The daemon hands a plugin at most 4 MiB (moby pkg/authorization/authz.go,
/// `maxBodySize`, since 29.3.1; 1 MiB before).
pub const BODY_LIMIT: usize = 4 << 20;

/// A request as a door received it.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    pub method: &'a str,
    /// The request target as it was sent: version, path and query, nothing decoded.
    pub uri: &'a str,
    /// Names in any case, in the order they came.
    pub headers: &'a [(String, String)],
    pub body: Body<'a>,
    pub who: &'a Who,
}

impl Request<'_> {
    /// The first value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The media type of the body, without its parameters, in small letters.
    fn media_type(&self) -> String {
        let value = self.header("content-type").unwrap_or_default();
        value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
    }
}

/// What a door has of the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// There is none, for certain.
    None,
    /// All of it.
    Bytes(&'a [u8]),
    /// There may be one, which this door does not see: a stream, or what the daemon keeps back from a plugin.
    Unseen,
}

/// Keeps records; a decision that lets something in and cannot be kept is refused.
pub type Keep = Box<dyn Fn(&Record<'_>) -> Result<(), String> + Send + Sync>;

/// All that a door of the Docker API decides by. Any number of threads may ask it at once.
pub struct DockerGate {
    pub door: Door,
    pub rules: Arc<Rules>,
    /// The daemon behind the door, which knows volumes, images and containers.
    pub engine: Arc<Engine>,
    pub keep: Option<Keep>,
}

/// Whether a request is decided without asking the daemon. The gate's own questions are such requests: a door that lets
/// them wait behind the decisions that ask them would wait for itself.
pub fn asks_nothing(method: &str, uri: &str) -> bool {
    route::read(method, uri).is_ok_and(|route| route.effect == Effect::Reads)
}

/// Whether the body of a request is needed to decide about it: such a body must be handed over whole. Others may be
/// streams ([`Body::Unseen`]).
pub fn needs_body(method: &str, uri: &str) -> bool {
    use Effect::{
        ChangesService, CreatesContainer, CreatesExec, CreatesVolume, MakesCheckpoint, StartsContainer,
        UpdatesContainer,
    };
    let needing = [
        ChangesService,
        CreatesContainer,
        CreatesExec,
        CreatesVolume,
        MakesCheckpoint,
        StartsContainer,
        UpdatesContainer,
    ];
    route::read(method, uri).is_ok_and(|route| needing.contains(&route.effect))
}

/// What the policy calls a request.
pub fn kind(route: &Route) -> DockerRequest {
    match route.effect {
        Effect::Reads => DockerRequest::Read,
        Effect::ReadsContent => DockerRequest::ReadContent,
        Effect::Manages | Effect::MakesCheckpoint => DockerRequest::Manage,
        Effect::CreatesContainer => DockerRequest::Create,
        Effect::StartsContainer => DockerRequest::Start,
        Effect::UpdatesContainer => DockerRequest::Update,
        Effect::CreatesExec | Effect::StartsExec => DockerRequest::Exec,
        Effect::WritesContainer => DockerRequest::CopyInto,
        Effect::Attaches => DockerRequest::Attach,
        Effect::CreatesVolume => DockerRequest::Volume,
        Effect::CreatesNetwork => DockerRequest::Network,
        Effect::Builds if is_build_stream(route) => DockerRequest::BuildStream,
        Effect::Builds => DockerRequest::Build,
        Effect::BuildStream => DockerRequest::BuildStream,
        Effect::PullsImage if is_import(route) => DockerRequest::Load,
        Effect::PullsImage => DockerRequest::Pull,
        Effect::LoadsImage => DockerRequest::Load,
        Effect::Commits => DockerRequest::Commit,
        Effect::PushesImage => DockerRequest::Push,
        Effect::HandsCredentials => DockerRequest::Login,
        Effect::ChangesPlugins => DockerRequest::Plugin,
        Effect::ChangesSwarm => DockerRequest::Swarm,
        Effect::ChangesService => DockerRequest::Service,
        Effect::KeepsSecret => DockerRequest::Secret,
    }
}

/// `version=2` is BuildKit, and what has a session goes over its stream (moby api/server/router/build, `newImageBuildOptions`).
fn is_build_stream(route: &Route) -> bool {
    let is_set = |key: &str| route.query.iter().any(|(k, v)| k == key && !v.is_empty());
    let classic = route.query.iter().all(|(k, v)| k != "version" || matches!(v.as_str(), "" | "1"));
    !classic || is_set("session") || route.query.iter().any(|(k, v)| k == "remote" && v == "client-session")
}

/// Without `fromImage`, what `fromSrc` names is imported (moby api/server/router/image, postImagesCreate).
fn is_import(route: &Route) -> bool {
    route.query("fromImage").unwrap_or_default().is_empty()
}

/// Why a request is refused that cannot be judged.
#[derive(Debug)]
struct Refusal(String);

impl<E: std::error::Error> From<E> for Refusal {
    fn from(error: E) -> Refusal {
        Refusal(error.to_string())
    }
}

type Judged = Result<Ruling, Refusal>;

impl DockerGate {
    /// Decides, and records. It blocks, as it may ask the daemon; it never panics. A request for which [`asks_nothing`] is
    /// true is answered at once.
    pub fn decide(&self, request: &Request<'_>, now: Timestamp) -> Ruling {
        let started = Instant::now();
        let rules = self.rules.now();
        let route = route::read(request.method, request.uri);
        let reads = route.as_ref().is_ok_and(|route| route.effect == Effect::Reads);
        let decided = catch_unwind(AssertUnwindSafe(|| match &route {
            Ok(route) => {
                Asked { request, route, rules: &rules, engine: &self.engine, today: day(now) }.rule()
            }
            Err(error) => Ruling::deny(format!("denied: {error}")),
        }));
        let mut ruling = decided.unwrap_or_else(|_| {
            Ruling::deny(
                "denied: the gate failed while it decided; this is a fault of stockade, please report it",
            )
        });
        if let Some(keep) = &self.keep
            && (!reads || ruling.outcome != Outcome::Allow)
        {
            let record = Record {
                schema: SCHEMA,
                time: now,
                door: self.door,
                who: request.who,
                asked: &asked(request),
                policy: rules.policy.path.as_deref(),
                ruling: &ruling,
                took: started.elapsed(),
            };
            let kept = catch_unwind(AssertUnwindSafe(|| keep(&record)));
            let failed = kept.unwrap_or_else(|_| Err("the log failed".into())).err();
            if let Some(why) = failed
                && !ruling.is_denied()
                && !reads
            {
                ruling = Ruling::deny(format!("denied: the decision cannot be recorded: {why}"));
            }
        }
        ruling
    }
}

fn day(now: Timestamp) -> Date {
    now.to_zoned(TimeZone::UTC).date()
}

/// The request in few words. A target may be long, and is the sender's choice.
fn asked(request: &Request<'_>) -> String {
    let whole = format!("{} {}", request.method, request.uri);
    if whole.len() <= 400 { whole } else { format!("{}…", whole.chars().take(400).collect::<String>()) }
}

/// One request and all that it is decided by.
struct Asked<'a> {
    request: &'a Request<'a>,
    route: &'a Route,
    rules: &'a InForce,
    engine: &'a Engine,
    today: Date,
}

impl Asked<'_> {
    fn rule(&self) -> Ruling {
        if let Some(reason) = self.unreadable() {
            return Ruling::deny(format!("denied: {reason}"));
        }
        let door = self.door(kind(self.route));
        if door.is_denied() {
            return door;
        }
        match self.judged() {
            Ok(ruling) => door.and(ruling),
            Err(Refusal(why)) => Ruling::deny(format!("denied: {}: {why}", self.route.pattern)),
        }
    }

    /// What the daemon would read otherwise than it is read here, or from where nobody looks.
    fn unreadable(&self) -> Option<String> {
        // Go reads a form's fields before those of the query (net/http, `Request.ParseForm`).
        let content_type = self.request.header("content-type").unwrap_or_default().to_ascii_lowercase();
        if content_type.contains("form") {
            return Some(format!(
                "its Content-Type is {content_type:?}, and the daemon takes a form's fields for parameters; send JSON, \
                 or no body"
            ));
        }
        let folder = ["checkpoint-dir", "dir"].into_iter().find_map(|key| self.route.query(key));
        let about_checkpoints =
            self.route.pattern.contains("/checkpoints") || self.route.effect == Effect::StartsContainer;
        folder.filter(|folder| about_checkpoints && !folder.is_empty()).map(|folder| {
            format!(
                "the checkpoint's folder {folder:?} is one of the host; leave it out for the daemon's own"
            )
        })
    }

    /// What the policy's `doors` say.
    fn door(&self, kind: DockerRequest) -> Ruling {
        let setting = self.rules.policy.doors.docker.of(kind);
        let who = self.request.who;
        let outcome = setting.outcome_for(who.user.as_deref(), who.uid);
        if outcome == Outcome::Allow {
            return Ruling::allow();
        }
        let row = kind.row();
        let word = if outcome == Outcome::Deny { "denied" } else { "warned of" };
        let by = match &setting.place {
            Some(place) => format!("{}:{}", place.path, place.line),
            None => "the policy's default".to_owned(),
        };
        let mut message =
            format!("{word}: {}: {} ({by}, doors: docker: {})", self.route.pattern, row.says, row.key);
        if outcome == Outcome::Deny
            && let Some(hint) = hint(kind)
        {
            message.push_str("; ");
            message.push_str(hint);
        }
        Ruling { outcome, message, subjects: Vec::new() }
    }

    fn judged(&self) -> Judged {
        match self.route.effect {
            Effect::CreatesContainer => self.create(),
            Effect::StartsContainer => self.start(),
            Effect::UpdatesContainer => self.update(),
            Effect::CreatesExec => self.exec(),
            Effect::StartsExec => self.exec_start(),
            Effect::Attaches => self.container(self.parameter(), Ok),
            Effect::WritesContainer => self.container(self.parameter(), |c| Ok(addition::as_root(c))),
            Effect::ReadsContent if self.route.pattern.contains("/archive") => {
                self.container(self.parameter(), |c| Ok(addition::as_root(c)))
            }
            Effect::ReadsContent if self.route.pattern.ends_with("/copy") => {
                self.container(self.parameter(), |c| Ok(addition::as_root(c)))
            }
            Effect::CreatesVolume => self.volume(),
            Effect::Builds => self.build(),
            Effect::ChangesService => self.service(),
            Effect::MakesCheckpoint => self.checkpoint(),
            Effect::PullsImage if !is_import(self.route) => Ok(self.pull()),
            _ => Ok(Ruling::allow()),
        }
    }

    fn parameter(&self) -> &str {
        self.route.parameters.first().map_or("", String::as_str)
    }

    fn session(&self) -> Result<Arc<Session>, Refusal> {
        let at = self.engine.endpoint();
        self.engine
            .session()
            .map_err(|why| Refusal(format!("the daemon at {at} could not be asked what it is: {why}")))
    }

    /// The body of a route that needs one.
    fn body(&self) -> Result<&[u8], Refusal> {
        match self.request.body {
            Body::Bytes(bytes) if !bytes.is_empty() => self.json(bytes),
            Body::None | Body::Bytes(_) => Err(Refusal("it needs a body, and the body is empty".into())),
            Body::Unseen => Err(Refusal(self.why_unseen())),
        }
    }

    fn json<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8], Refusal> {
        let media_type = self.request.media_type();
        if media_type != "application/json" {
            return Err(Refusal(format!("its body must be application/json, and is {media_type:?}")));
        }
        if bytes.len() > BODY_LIMIT {
            return Err(Refusal(format!("its body is larger than {BODY_LIMIT} bytes")));
        }
        Ok(bytes)
    }

    fn why_unseen(&self) -> String {
        let media_type = self.request.media_type();
        let length = self.request.header("content-length").and_then(|l| l.trim().parse::<u64>().ok());
        let why = match (media_type.as_str(), length) {
            ("application/json", Some(length)) => {
                format!(
                    "it has {length} bytes; the daemon hands on no more than 1 MiB, or 4 MiB since 29.3.1"
                )
            }
            ("application/json", None) => {
                "it has no Content-Length (chunked); send it with its length".to_owned()
            }
            (other, _) => format!("its Content-Type is {other:?} and not application/json"),
        };
        format!("it needs a body, which the gate was not given to judge: {why}")
    }

    /// Judges a container as it is, or as it would be.
    fn ruling(&self, session: &Session, inspected: Value, name: &str) -> Judged {
        let world = subject::world(session, inspected, name).map_err(Refusal)?;
        Ok(Ruling::of(&world, self.rules, self.today))
    }

    fn create(&self) -> Judged {
        let body = self.body()?;
        let session = self.session()?;
        let mut inspected = create::as_inspected(body, &*session)?;
        subject::merge_image(&mut inspected, &*session).map_err(Refusal)?;
        let name = self.route.query("name").unwrap_or_default().trim_start_matches('/');
        let name = if name.is_empty() { subject::UNNAMED } else { name };
        self.ruling(&session, inspected, name)
    }

    /// A container that is there, with what `add` makes of it. One that is not there is the daemon's to answer.
    fn container(&self, reference: &str, add: impl FnOnce(Value) -> Result<Value, Refusal>) -> Judged {
        let session = self.session()?;
        let asked = Daemon::container(&*session, reference);
        let found = asked.map_err(|why| {
            Refusal(format!("the daemon could not be asked about the container {reference:?}: {why}"))
        })?;
        let Some(found) = found else { return Ok(Ruling::allow()) };
        let name = subject::name_of(&found);
        self.ruling(&session, add(found)?, &name)
    }

    /// Before API 1.24 a start may bring settings for the container (moby, `postContainersStart`); nothing sends them any
    /// more, and a daemon of 25 or newer does not take them.
    fn start(&self) -> Judged {
        let is_start = self.route.pattern.ends_with("/start");
        if is_start && self.route.version.is_some_and(|version| version < (1, 24)) {
            let is_empty = match self.request.body {
                Body::None => true,
                Body::Bytes(bytes) => matches!(bytes.trim_ascii(), b"" | b"{}" | b"null"),
                Body::Unseen => false,
            };
            if !is_empty {
                return Err(Refusal(
                    "before API 1.24 a start may change the container's settings; give them when it is created, \
                     and start it without a body"
                        .into(),
                ));
            }
        }
        self.container(self.parameter(), Ok)
    }

    fn update(&self) -> Judged {
        let body = self.body()?;
        self.container(self.parameter(), |inspected| Ok(addition::updated(inspected, body)?))
    }

    fn exec(&self) -> Judged {
        let body = self.body()?;
        let exec = addition::Exec::read(body)?;
        self.container(self.parameter(), |inspected| Ok(exec.in_container(inspected)))
    }

    /// What was asked for when the exec was made, in the container that it is bound to: between the two a name may have
    /// gone to another container.
    fn exec_start(&self) -> Judged {
        let session = self.session()?;
        let id = self.parameter();
        let found = session.inspect_exec(id);
        let found =
            found.map_err(|why| Refusal(format!("the daemon could not be asked about the exec: {why}")))?;
        let Some(found) = found else { return Ok(Ruling::allow()) };
        let exec = addition::Exec::of_inspection(&found);
        let container = found.get("ContainerID").and_then(Value::as_str).unwrap_or_default();
        if container.is_empty() {
            return Err(Refusal("the daemon does not say which container the exec is in".into()));
        }
        self.container(container, |inspected| Ok(exec.in_container(inspected)))
    }

    /// A volume, as the mount that it can be: writable, in a container for which nothing else is asked. What binds nothing
    /// is not judged.
    fn volume(&self) -> Judged {
        let volume = addition::volume(self.body()?)?;
        let Some(inspected) = addition::with_volume(&volume)? else { return Ok(Ruling::allow()) };
        self.ruling(&*self.session()?, inspected, "a container with this volume")
    }

    /// The containers in which the steps of a build run.
    fn build(&self) -> Judged {
        self.ruling(&*self.session()?, addition::build(self.route), "a step of this build")
    }

    fn service(&self) -> Judged {
        let session = self.session()?;
        let service = service::read(self.body()?, &*session)?;
        let door = if service.is_plugin { self.door(DockerRequest::Plugin) } else { Ruling::allow() };
        let Some(mut inspected) = service.container else { return Ok(door) };
        subject::merge_image(&mut inspected, &*session).map_err(Refusal)?;
        let name = if service.name.is_empty() { "a new service" } else { &service.name };
        Ok(door.and(self.ruling(&session, inspected, name)?))
    }

    fn checkpoint(&self) -> Judged {
        match addition::checkpoint_folder(self.body()?)?.as_str() {
            "" => Ok(Ruling::allow()),
            folder => Err(Refusal(format!("it would write to the folder {folder:?} of the host"))),
        }
    }

    /// Images are asked for by name; where a rule is about every container of the image, it is about the image.
    fn pull(&self) -> Ruling {
        let policy = &self.rules.policy;
        // With a form in the body, other parameters than those of the query would count (see `unreadable`); of two
        // headers of one name a plugin is told the last.
        if self.request.body != Body::None && policy.rules.iter().any(|rule| rule.require.images.is_some()) {
            return Ruling::deny(
                "denied: a pull has no body; send it with `Content-Length: 0`, so that it is known what is pulled",
            );
        }
        let image = addition::pulled(self.route);
        let (outcome, message) = self.rules.policy.image(&image);
        Ruling { outcome, message, subjects: Vec::new() }
    }
}

/// What to do instead.
fn hint(kind: DockerRequest) -> Option<&'static str> {
    match kind {
        DockerRequest::BuildStream => Some(
            "build with the classic builder (DOCKER_BUILDKIT=0), or let the policy allow `build-stream`, if builds may \
             do what the daemon lets BuildKit do",
        ),
        DockerRequest::Plugin => {
            Some("a plugin runs on the host with the rights it asks for; let an operator install it")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::docker::false_daemon::FalseDaemon;

    /// Outcome and message of one request; a body is JSON.
    fn decided(gate: &DockerGate, method: &str, uri: &str, body: Option<&str>) -> Ruling {
        let who = Who::default();
        let headers = [("content-TYPE".to_owned(), "application/json; charset=utf-8".to_owned())];
        let body = body.map_or(Body::None, |text| Body::Bytes(text.as_bytes()));
        gate.decide(&Request { method, uri, headers: &headers, body, who: &who }, Timestamp::UNIX_EPOCH)
    }

    fn gate() -> (FalseDaemon, DockerGate) {
        let daemon = FalseDaemon::start(Duration::ZERO);
        let gate = daemon.gate("version: 1");
        (daemon, gate)
    }

    #[test]
    fn every_kind_of_request_is_decided_by_what_it_makes() {
        let (_daemon, gate) = gate();
        let host = |host: &str| format!(r#"{{"Image": "app", "HostConfig": {host}}}"#);
        let binds = host(r#"{"Binds": ["/:/host"]}"#);
        let privileged = host(r#"{"Privileged": true}"#);
        let volume = host(r#"{"Mounts": [{"Type": "volume", "Source": "rootfs", "Target": "/h"}]}"#);
        let from = host(r#"{"VolumesFrom": ["bare"]}"#);
        let service = r#"{"Name": "s", "TaskTemplate": {"ContainerSpec": {"Image": "app", "Mounts": [{"Type": "bind", "Source": "/", "Target": "/h"}]}}}"#;
        let root = r#"{"Name": "x", "DriverOpts": {"type": "none", "o": "bind", "device": "/"}}"#;
        let rows: &[(&str, &str, Option<&str>, bool)] = &[
            ("GET", "/v1.41/containers/json", None, true),
            ("POST", "/v1.41/containers/create?name=a", Some(r#"{"Image": "app"}"#), true),
            ("POST", "/v1.41/containers/create", Some(&binds), false),
            ("POST", "/containers/create", Some(&privileged), false),
            ("POST", "/containers/create", Some(&volume), false),
            ("POST", "/containers/create", Some(&from), false),
            ("POST", "/v1.24/containers/create", Some(r#"{"Image": "app", "privileged": true}"#), false),
            ("POST", "/containers/create", None, false),
            ("POST", "/containers/create", Some("nonsense"), false),
            ("POST", "/containers/web/start", None, true),
            ("POST", "/containers/web/restart", None, true),
            ("POST", "/containers/bare/start", None, false),
            ("POST", "/containers/gone/start", None, true),
            ("POST", "/v1.23/containers/web/start", Some("{}"), true),
            ("POST", "/v1.23/containers/web/start", Some(r#"{"Privileged": true}"#), false),
            ("POST", "/containers/web/update", Some(r#"{"Memory": 5}"#), true),
            ("POST", "/containers/web/update", Some(r#"{"DeviceCgroupRules": ["a *:* rwm"]}"#), true),
            ("POST", "/containers/bare/update", Some(r#"{"Memory": 5}"#), false),
            ("POST", "/containers/web/exec", Some(r#"{"Cmd": ["id"]}"#), true),
            ("POST", "/containers/web/exec", Some(r#"{"Cmd": ["id"], "User": "0"}"#), true),
            (
                "POST",
                "/containers/web/exec",
                Some(r#"{"Cmd": ["id"], "User": "0", "Privileged": true}"#),
                false,
            ),
            ("POST", "/containers/bare/exec", Some(r#"{"Cmd": ["id"], "User": "0"}"#), false),
            ("POST", "/exec/e1/start", Some("{}"), true),
            ("POST", "/containers/web/attach", None, true),
            ("PUT", "/containers/web/archive?path=/", None, true),
            ("PUT", "/containers/bare/archive?path=/", None, false),
            ("GET", "/containers/bare/archive?path=/", None, false),
            ("GET", "/containers/bare/logs", None, true),
            ("POST", "/volumes/create", Some(r#"{"Name": "x"}"#), true),
            ("POST", "/volumes/create", Some(root), false),
            ("POST", "/volumes/create", None, false),
            ("POST", "/networks/create", Some(r#"{"Name": "n"}"#), true),
            ("POST", "/build?t=x", None, true),
            ("POST", "/build?t=x&version=2", None, false),
            ("POST", "/build?session=x", None, false),
            ("POST", "/session", None, false),
            ("POST", "/grpc", None, false),
            ("POST", "/images/create?fromImage=nginx&tag=1", None, true),
            ("POST", "/images/load", None, true),
            ("POST", "/commit?container=web", Some("{}"), true),
            ("POST", "/plugins/pull?remote=x", Some("[]"), false),
            ("POST", "/swarm/init", Some("{}"), false),
            ("POST", "/services/create", Some(service), false),
            (
                "POST",
                "/services/create",
                Some(r#"{"TaskTemplate": {"ContainerSpec": {"Image": "app"}}}"#),
                true,
            ),
            ("POST", "/services/create", Some(r#"{"TaskTemplate": {"PluginSpec": {"Name": "p"}}}"#), false),
            ("POST", "/secrets/create", Some("{}"), true),
            ("POST", "/auth", Some("{}"), true),
            ("POST", "/containers/web/checkpoints", Some(r#"{"CheckpointDir": "/etc"}"#), false),
            ("POST", "/containers/web/start?checkpoint=c&checkpoint-dir=/etc", None, false),
            ("DELETE", "/containers/web", None, true),
            ("POST", "//containers/create", Some(r#"{"Image": "app"}"#), false),
            ("POST", "/new/thing", None, false),
        ];
        for (method, uri, body, allowed) in rows {
            let ruling = decided(&gate, method, uri, *body);
            assert_eq!(!ruling.is_denied(), *allowed, "{method} {uri} {body:?}: {}", ruling.message);
            assert_eq!(ruling.message.is_empty(), *allowed, "{method} {uri}: {}", ruling.message);
        }
    }

    #[test]
    fn a_body_that_is_needed_and_not_seen_is_refused_with_the_reason() {
        let (_daemon, gate) = gate();
        let who = Who::default();
        for (headers, why) in [
            (vec![("Content-Type", "text/plain"), ("Content-Length", "9")], "text/plain"),
            (vec![("Content-Type", "application/json")], "chunked"),
            (vec![("Content-Type", "application/json"), ("Content-Length", "2000000")], "1 MiB"),
            (vec![("content-type", "application/X-WWW-form-urlencoded")], "form"),
        ] {
            let headers: Vec<(String, String)> =
                headers.into_iter().map(|(k, v)| (k.to_owned(), v.to_owned())).collect();
            for uri in ["/containers/create", "/containers/web/exec", "/volumes/create"] {
                let request =
                    Request { method: "POST", uri, headers: &headers, body: Body::Unseen, who: &who };
                let ruling = gate.decide(&request, Timestamp::UNIX_EPOCH);
                assert!(ruling.is_denied() && ruling.message.contains(why), "{uri}: {}", ruling.message);
            }
        }
    }

    #[test]
    fn a_pull_comes_from_where_the_rules_say() {
        let daemon = FalseDaemon::start(Duration::ZERO);
        let rule =
            "version: 1\nrules:\n  - name: ours\n    require: {images: {registries: [registry.example]}}\n";
        let gate = daemon.gate(rule);
        let pull = |query: &str, body| decided(&gate, "POST", &format!("/images/create?{query}"), body);
        assert!(!pull("fromImage=registry.example/app&tag=1", None).is_denied());
        let refused = pull("fromImage=nginx&tag=1", None);
        assert!(
            refused.message.contains("the image nginx:1 comes from docker.io (rule ours)"),
            "{}",
            refused.message
        );
        assert!(pull("fromImage=registry.example/app&tag=1", Some("x")).is_denied());
        let except = format!("{rule}    except: {{names: [old]}}\n");
        let gate = daemon.gate(&except);
        assert!(!decided(&gate, "POST", "/images/create?fromImage=nginx", None).is_denied());
    }

    #[test]
    fn doors_are_shut_and_opened_by_the_policy_and_say_where() {
        let daemon = FalseDaemon::start(Duration::ZERO);
        let gate = daemon.gate(
            "version: 1\ndoors:\n  docker:\n    build-stream: allow\n    exec: deny\n    commit: warn\n    plugin: {outcome: deny, allow-users: [ops]}\n",
        );
        assert!(!decided(&gate, "POST", "/grpc", None).is_denied());
        let exec = decided(&gate, "POST", "/containers/web/exec", Some("{}"));
        assert!(exec.message.contains("p.yaml:5"), "{}", exec.message);
        assert_eq!(decided(&gate, "POST", "/commit", None).outcome, Outcome::Warn);
        let ops = Who { user: Some("ops".into()), ..Who::default() };
        let request =
            Request { method: "POST", uri: "/plugins/pull", headers: &[], body: Body::Unseen, who: &ops };
        assert!(!gate.decide(&request, Timestamp::UNIX_EPOCH).is_denied());
    }

    #[test]
    fn what_cannot_be_recorded_is_not_let_in_and_reads_are_not_recorded() {
        let (_daemon, mut gate) = gate();
        gate.keep = Some(Box::new(|record| Err(format!("no room for {}", record.asked))));
        assert!(!decided(&gate, "GET", "/info", None).is_denied());
        let ruling = decided(&gate, "POST", "/containers/web/start", None);
        assert!(ruling.is_denied() && ruling.message.contains("no room"), "{}", ruling.message);
        gate.keep = Some(Box::new(|_| panic!("a fault")));
        assert!(decided(&gate, "POST", "/containers/web/start", None).is_denied());
    }

    #[test]
    fn the_evidence_is_the_audits() {
        let (_daemon, gate) = gate();
        let ruling = decided(&gate, "POST", "/containers/create?name=x", Some(r#"{"Image": "app"}"#));
        let judged = &ruling.subjects.first().expect("a subject").judged;
        assert_eq!(judged["schema"], json!("stockade.confinement/1"));
        assert_eq!(judged["subject"]["name"], json!("x"));
    }
}
