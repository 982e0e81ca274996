//! The authorization plugin: the daemon asks over a Unix socket about every request that it gets, and does what is
//! answered (docs/extend/plugins_authorization.md of docker/cli; moby pkg/authorization).
//!
//! Deciding blocks, as it asks the daemon, and the daemon asks this plugin about those questions in turn. They are reads,
//! which are decided at once and without a place in the queue that deciding uses, so that the door never waits for itself.
//! Whatever fails is answered with a refusal, and a daemon that gets no answer refuses by itself.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::Future;
use std::os::unix::net::UnixListener;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use listenfd::ListenFd;
use policy::ReadError;
use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

use super::gate::{BODY_LIMIT, Body, DockerGate, Request, asks_nothing};
use crate::listen::{ListenError, Listening, Place, listen};
use crate::record::Who;
use crate::ruling::Ruling;

/// The daemon's message: a body of 4 MiB in base64, and as much again for headers and what is around it.
const MESSAGE_LIMIT: usize = BODY_LIMIT / 3 * 4 + (1 << 20);
/// The daemon gives a plugin 30 s (moby pkg/plugins/client.go, `defaultTimeOut`); a refusal with a reason is better than its
/// own.
const DECISION_LIMIT: Duration = Duration::from_secs(20);
/// Decisions at once. Each holds a thread, for as long as the daemon takes to answer it.
const DECIDERS: usize = 32;
/// The daemon's own connections, and no more than a careless one would open.
const CONNECTIONS: usize = 4096;
/// For what is answered at once; deciding has threads of its own.
const WORKERS: usize = 2;
/// A connection that sends no head.
const HEAD_LIMIT: Duration = Duration::from_secs(60);

/// `authorization.Request` of moby pkg/authorization/api.go.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(rename = "User", default)]
    user: String,
    #[serde(rename = "RequestMethod", default)]
    method: String,
    #[serde(rename = "RequestUri", default)]
    uri: String,
    /// Base64; left out where there is none, or none is handed on.
    #[serde(rename = "RequestBody", default)]
    body: Option<String>,
    #[serde(rename = "RequestHeaders", default)]
    headers: Option<BTreeMap<String, String>>,
}

/// `authorization.Response`.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Answer {
    #[serde(rename = "Allow")]
    allow: bool,
    #[serde(rename = "Msg", skip_serializing_if = "String::is_empty")]
    message: String,
}

impl From<Ruling> for Answer {
    fn from(ruling: Ruling) -> Answer {
        Answer { allow: !ruling.is_denied(), message: ruling.message }
    }
}

/// What all connections share.
struct Plugin {
    gate: Arc<DockerGate>,
    deciders: Arc<Semaphore>,
    limit: Duration,
}

/// Where the plugin listens.
pub enum Socket {
    /// A socket of its own.
    Own(Listening),
    /// One that systemd holds (sd_listen_fds(3)): while the plugin is restarted, questions wait instead of failing.
    Given(UnixListener),
}

impl Socket {
    /// The one that systemd hands over, else one at this place.
    pub fn open(place: &Place) -> Result<Socket, ListenError> {
        let given = ListenFd::from_env().take_unix_listener(0);
        match given.map_err(|error| ListenError::Io { path: place.path.clone(), error })? {
            Some(listener) => Ok(Socket::Given(listener)),
            None => listen(place).map(Socket::Own),
        }
    }

    pub(super) fn listener(&self) -> std::io::Result<UnixListener> {
        match self {
            Socket::Own(listening) => listening.listener.try_clone(),
            Socket::Given(listener) => listener.try_clone(),
        }
    }
}

/// Serves until SIGTERM or SIGINT. SIGHUP reads the rules again; `tell` is given what became of that. systemd is told that
/// it is ready, what is in force, and that it ends.
pub fn run(socket: &Socket, gate: &Arc<DockerGate>, tell: impl Fn(&str)) -> std::io::Result<()> {
    until_ended(gate, tell, async |stop| serve(socket.listener()?, gate.clone(), stop).await)
}

/// Serves as [`run`] does what a door of the Docker API serves.
pub(super) fn until_ended(
    gate: &Arc<DockerGate>,
    tell: impl Fn(&str),
    serve: impl AsyncFnOnce(Pin<&mut dyn Future<Output = ()>>) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .max_blocking_threads(DECIDERS)
        .enable_all()
        .build()?;
    let ended = runtime.block_on(async {
        let mut hang_up = signal(SignalKind::hangup())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        notify(&[NotifyState::Ready, NotifyState::Status(&status(gate))]);
        let watchdog = sd_notify::watchdog_enabled().map(|time| time / 2);
        let mut stop = pin!(async {
            loop {
                tokio::select! {
                    _ = terminate.recv() => return,
                    _ = interrupt.recv() => return,
                    () = beat(watchdog) => notify(&[NotifyState::Watchdog]),
                    _ = hang_up.recv() => {
                        let rules = gate.rules.clone();
                        let reloaded = tokio::task::spawn_blocking(move || rules.reload()).await;
                        tell(&told(gate, reloaded));
                        notify(&[NotifyState::Status(&status(gate))]);
                    }
                }
            }
        });
        serve(stop.as_mut()).await
    });
    notify(&[NotifyState::Stopping]);
    // A decision that waits for the daemon need not hold up the end: without an answer the daemon refuses.
    runtime.shutdown_timeout(Duration::from_secs(1));
    ended
}

/// Until systemd wants to hear that the plugin lives (sd_watchdog_enabled(3)); for ever where it does not.
async fn beat(watchdog: Option<Duration>) {
    match watchdog {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

fn told(gate: &DockerGate, reloaded: Result<Result<(), Arc<ReadError>>, JoinError>) -> String {
    let why = match reloaded {
        Ok(Ok(())) => return format!("rules read again: {}", status(gate)),
        Ok(Err(error)) => error.to_string(),
        Err(error) => format!("reading them failed, which is a fault of stockade: {error}"),
    };
    format!("the rules are NOT changed, the last good ones stay in force: {why}")
}

/// In one line, what is in force.
pub fn status(gate: &DockerGate) -> String {
    let rules = gate.rules.now();
    let policy = match &rules.policy.path {
        Some(path) => format!("{path} ({} rules)", rules.policy.rules.len()),
        None => "no policy file: what is open is denied".to_owned(),
    };
    match gate.rules.failure() {
        None => policy,
        Some(error) => {
            let first = error.problems.first().map(ToString::to_string).unwrap_or_default();
            format!("{policy}, as it was before it broke: {first}")
        }
    }
}

/// Where systemd does not listen, there is nobody to tell.
fn notify(states: &[NotifyState<'_>]) {
    let _ = sd_notify::notify(states);
}

/// Answers until `stop` is done; then what is being decided may be answered for a moment longer.
pub async fn serve(
    listener: UnixListener,
    gate: Arc<DockerGate>,
    stop: impl Future<Output = ()>,
) -> std::io::Result<()> {
    serve_within(listener, gate, stop, DECISION_LIMIT).await
}

async fn serve_within(
    listener: UnixListener,
    gate: Arc<DockerGate>,
    stop: impl Future<Output = ()>,
    limit: Duration,
) -> std::io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let plugin = Arc::new(Plugin { gate, deciders: Arc::new(Semaphore::new(DECIDERS)), limit });
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            () = &mut stop => return Ok(()),
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            // Too many open files, a peer that went away: neither ends the door.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let plugin = plugin.clone();
        tokio::spawn(async move {
            let _place = place;
            let service = service_fn(move |request| answer(plugin.clone(), request));
            let mut server = http1::Builder::new();
            server.timer(TokioTimer::new()).header_read_timeout(HEAD_LIMIT);
            // A peer that breaks off is told nothing, and has been let do nothing.
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer(
    plugin: Arc<Plugin>,
    request: hyper::Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let answer = match (&head.method, head.uri.path()) {
        (&Method::POST, "/Plugin.Activate") => {
            // The daemon introduces itself once in its life: whatever was known is of another.
            plugin.gate.engine.forget();
            json(StatusCode::OK, &serde_json::json!({"Implements": ["authz"]}))
        }
        (&Method::POST, "/AuthZPlugin.AuthZReq") => json(StatusCode::OK, &plugin.asked(body).await),
        // What the daemon answers is not judged: it is cut off at 64 KiB and says nothing of streams.
        (&Method::POST, "/AuthZPlugin.AuthZRes") => {
            drain(body).await;
            json(StatusCode::OK, &Answer { allow: true, message: String::new() })
        }
        (method, path) => {
            let message = format!("{method} {path} is no part of the authorization plugin protocol");
            json(StatusCode::NOT_FOUND, &serde_json::json!({"Err": message}))
        }
    };
    Ok(answer)
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Full<Bytes>> {
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let media_type = hyper::header::HeaderValue::from_static("application/vnd.docker.plugins.v1.2+json");
    response.headers_mut().insert(hyper::header::CONTENT_TYPE, media_type);
    response
}

/// Reads to the end, so that the connection can be used again; keeps nothing.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

impl Plugin {
    async fn asked(&self, body: Incoming) -> Answer {
        let refused = |why: String| Answer::from(Ruling::deny(format!("denied: {why}")));
        let message = match Limited::new(body, MESSAGE_LIMIT).collect().await {
            Ok(collected) => collected.to_bytes(),
            Err(error) => return refused(format!("the daemon's question could not be read: {error}")),
        };
        let asked: Asked = match serde_json::from_slice(&message) {
            Ok(asked) => asked,
            Err(error) => return refused(format!("the daemon's question could not be read: {error}")),
        };
        let gate = self.gate.clone();
        if asks_nothing(&asked.method, &asked.uri) {
            return decide(&gate, asked);
        }
        let decided = async {
            // Never closed, as it is owned here.
            let permit = self.deciders.clone().acquire_owned().await.ok()?;
            let task = tokio::task::spawn_blocking(move || {
                let _permit = permit;
                decide(&gate, asked)
            });
            task.await.ok()
        };
        match tokio::time::timeout(self.limit, decided).await {
            Ok(Some(answer)) => answer,
            Ok(None) => refused("the gate failed while it decided".into()),
            Err(_) => refused(format!(
                "the gate could not decide within {} s; the daemon may be slow to answer it",
                self.limit.as_secs()
            )),
        }
    }
}

fn decide(gate: &DockerGate, asked: Asked) -> Answer {
    let bytes = match asked.body.as_deref().map(|text| STANDARD.decode(text)).transpose() {
        Ok(bytes) => bytes.filter(|bytes| !bytes.is_empty()),
        Err(error) => return Ruling::deny(format!("denied: the body is no base64: {error}")).into(),
    };
    let headers: Vec<(String, String)> = asked.headers.unwrap_or_default().into_iter().collect();
    let who =
        Who { user: Some(asked.user.as_str().into()).filter(|_| !asked.user.is_empty()), ..Who::default() };
    let length = headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    let body = match &bytes {
        Some(bytes) => Body::Bytes(bytes),
        // A chunked body has no length (Go takes Transfer-Encoding out of the headers).
        None if length.is_some_and(|(_, length)| length == "0") => Body::None,
        None => Body::Unseen,
    };
    let request = Request { method: &asked.method, uri: &asked.uri, headers: &headers, body, who: &who };
    gate.decide(&request, Timestamp::now()).into()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::sync::atomic::Ordering;
    use std::time::Instant;

    use serde_json::{Value, json};

    use super::*;
    use crate::docker::false_daemon::{FalseDaemon, gate_of};

    /// A plugin that serves until it is dropped.
    struct Served {
        path: PathBuf,
        stop: Option<tokio::sync::oneshot::Sender<()>>,
        thread: Option<std::thread::JoinHandle<()>>,
        _folder: tempfile::TempDir,
    }

    impl Drop for Served {
        fn drop(&mut self) {
            drop(self.stop.take());
            if let Some(thread) = self.thread.take() {
                let _ = thread.join();
            }
        }
    }

    fn served(gate: DockerGate, limit: Duration) -> Served {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("plugin.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(WORKERS)
                .max_blocking_threads(DECIDERS)
                .enable_all()
                .build()
                .expect("a runtime");
            let stop = async {
                let _ = stopped.await;
            };
            runtime.block_on(serve_within(listener, Arc::new(gate), stop, limit)).expect("it serves");
            runtime.shutdown_background();
        });
        Served { path, stop: Some(stop), thread: Some(thread), _folder: folder }
    }

    fn post(plugin: &Path, path: &str, body: &[u8]) -> Value {
        let mut stream = UnixStream::connect(plugin).expect("a plugin");
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: p\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("sent");
        // The plugin may answer before it has read all.
        let _ = stream.write_all(body);
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
        serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}"))
    }

    fn ask(plugin: &Path, method: &str, uri: &str, body: Option<Value>) -> Value {
        let mut question = json!({"RequestMethod": method, "RequestUri": uri});
        if let Some(body) = body {
            let text = body.to_string();
            question["RequestBody"] = json!(STANDARD.encode(&text));
            let length = text.len().to_string();
            question["RequestHeaders"] =
                json!({"Content-Type": "application/json", "Content-Length": length});
        }
        post(plugin, "/AuthZPlugin.AuthZReq", question.to_string().as_bytes())
    }

    fn create(plugin: &Path) -> Value {
        ask(plugin, "POST", "/v1.41/containers/create", Some(json!({"Image": "app"})))
    }

    #[test]
    fn the_questions_of_a_real_daemon_are_answered() {
        let daemon = FalseDaemon::start(Duration::ZERO);
        let plugin = served(daemon.gate("version: 1"), DECISION_LIMIT);
        assert_eq!(post(&plugin.path, "/Plugin.Activate", b""), json!({"Implements": ["authz"]}));
        let recorded = include_str!("../../testdata/docker/questions.jsonl");
        let mut answered = 0;
        for line in recorded.lines() {
            let question: Value = serde_json::from_str(line).expect("recorded");
            let answer = post(&plugin.path, "/AuthZPlugin.AuthZReq", line.as_bytes());
            // Of what was recorded only a volume that shows the host's root is to be refused.
            let refused = question["RequestUri"] == "/v1.41/volumes/create";
            assert_eq!(answer["Allow"], !refused, "{question}: {answer}");
            answered += 1;
        }
        assert!(answered > 8, "{answered}");
        assert_eq!(post(&plugin.path, "/AuthZPlugin.AuthZRes", b"{}"), json!({"Allow": true}));
        assert!(post(&plugin.path, "/VolumeDriver.Create", b"{}")["Err"].is_string());
    }

    #[test]
    fn reads_are_answered_while_every_decider_waits_for_the_daemon() {
        let daemon = FalseDaemon::start(Duration::from_millis(300));
        let plugin = served(daemon.gate("version: 1"), DECISION_LIMIT);
        create(&plugin.path);
        let waiting: Vec<_> = (0..DECIDERS + 8)
            .map(|_| {
                let path = plugin.path.clone();
                std::thread::spawn(move || create(&path))
            })
            .collect();
        let before = daemon.asked.load(Ordering::Relaxed);
        while daemon.asked.load(Ordering::Relaxed) < before + DECIDERS / 2 {
            std::thread::sleep(Duration::from_millis(1));
        }
        let started = Instant::now();
        for _ in 0..20 {
            assert_eq!(ask(&plugin.path, "GET", "/v1.41/volumes/x", None)["Allow"], true);
        }
        assert!(started.elapsed() < Duration::from_millis(250), "{:?}", started.elapsed());
        for waiting in waiting {
            assert_eq!(waiting.join().expect("answered")["Allow"], true);
        }
    }

    #[test]
    fn a_daemon_that_does_not_answer_in_time_lets_nothing_in() {
        let daemon = FalseDaemon::start(Duration::from_secs(3));
        let plugin = served(daemon.gate("version: 1"), Duration::from_millis(200));
        let answer = create(&plugin.path);
        assert_eq!(answer["Allow"], false);
        assert!(answer["Msg"].as_str().is_some_and(|m| m.contains("could not decide within")), "{answer}");
    }

    #[test]
    fn without_a_daemon_reads_pass_and_what_must_be_judged_does_not() {
        let plugin = served(gate_of(Path::new("/nowhere/docker.sock"), "version: 1"), DECISION_LIMIT);
        assert_eq!(ask(&plugin.path, "GET", "/_ping", None), json!({"Allow": true}));
        let answer = create(&plugin.path);
        assert!(answer["Msg"].as_str().is_some_and(|m| m.contains("/nowhere/docker.sock")), "{answer}");
        assert_eq!(answer["Allow"], false);
    }

    #[test]
    fn what_is_no_question_is_refused() {
        let daemon = FalseDaemon::start(Duration::ZERO);
        let plugin = served(daemon.gate("version: 1"), DECISION_LIMIT);
        let large = format!("{{\"User\": \"{}\"}}", "x".repeat(MESSAGE_LIMIT));
        let odd = json!({"RequestMethod": "POST", "RequestUri": "/containers/create", "RequestBody": "%%%"})
            .to_string();
        for body in [&b""[..], b"{", b"[]", b"null", b"{}", odd.as_bytes(), large.as_bytes()] {
            let answer = post(&plugin.path, "/AuthZPlugin.AuthZReq", body);
            let shown = &body[..body.len().min(40)];
            assert_eq!(answer["Allow"], false, "{}", String::from_utf8_lossy(shown));
            assert!(answer["Msg"].as_str().is_some_and(|m| m.starts_with("denied: ")), "{answer}");
        }
    }

    #[test]
    fn a_daemon_that_starts_again_is_asked_anew_what_it_is() {
        let daemon = FalseDaemon::start(Duration::ZERO);
        let plugin = served(daemon.gate("version: 1"), DECISION_LIMIT);
        assert_eq!(create(&plugin.path)["Allow"], true);
        // Another daemon, without seccomp and with what an operator must not do.
        daemon.set("/info", json!({"SecurityOptions": [], "Name": "elsewhere"}));
        let before = daemon.asked.load(Ordering::Relaxed);
        create(&plugin.path);
        let known = daemon.asked.load(Ordering::Relaxed) - before;
        post(&plugin.path, "/Plugin.Activate", b"");
        create(&plugin.path);
        assert!(daemon.asked.load(Ordering::Relaxed) - before > 2 * known, "{known}");
    }
}
