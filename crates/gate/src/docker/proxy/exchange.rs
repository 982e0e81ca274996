//! One request and its answer: decided, written anew, sent to the daemon, and the answer handed on as it comes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::json;
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::head::Head;
use super::{Shared, named, request, scope};
use crate::docker::gate::{self, BODY_LIMIT};
use crate::docker::route::{self, Route};
use crate::record::{Record, SCHEMA, Who};
use crate::ruling::Ruling;

pub(super) type Body = BoxBody<Bytes, hyper::Error>;

/// Bodies up to here are held by every connection that has one; larger ones wait for a permit.
pub(super) const SMALL_BODY: usize = 64 << 10;
/// A body that is decided by comes within this.
const BODY_TIME: Duration = Duration::from_secs(30);
/// A decision takes milliseconds; one that asks a daemon that hangs ends by itself well before.
const DECISION_TIME: Duration = Duration::from_secs(30);
/// The daemon takes connections at once, or is not there.
const CONNECT_TIME: Duration = Duration::from_secs(5);
/// What is still read of a request that is refused: a client that is not read while it writes sees no answer.
const DRAIN: usize = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// What a client is told instead of an answer of the daemon.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Refusal {
        Refusal { status, message: message.into() }
    }
    pub(super) fn bad(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, message)
    }
    pub(super) fn busy(message: impl Into<String>) -> Refusal {
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// An error as the Docker API writes it (`ErrorResponse`, moby api/swagger.yaml).
    pub(super) fn body(&self) -> Bytes {
        let message = format!("stockade: {}", self.message);
        Bytes::from(format!("{}\n", json!({ "message": message })))
    }

    fn response(&self) -> Response<Body> {
        let mut response = Response::new(whole(self.body()));
        *response.status_mut() = self.status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }
}

pub(super) struct Exchange<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) who: &'a Who,
    pub(super) head: &'a Head,
    /// Where both ends are put when the daemon turns the connection into a stream.
    pub(super) upgraded: &'a Mutex<Option<(OnUpgrade, Upgraded)>>,
}

impl Exchange<'_> {
    pub(super) async fn answer(&self, asked: Request<Incoming>) -> Response<Body> {
        match self.decided(asked).await {
            Ok(response) => response,
            Err(refusal) => {
                (self.shared.tell)(&format!(
                    "refused to {}: {} {}: {}",
                    named(self.who),
                    self.head.method,
                    self.head.target,
                    refusal.message
                ));
                refusal.response()
            }
        }
    }

    async fn decided(&self, mut asked: Request<Incoming>) -> Result<Response<Body>, Refusal> {
        let client = hyper::upgrade::on(&mut asked);
        let (mut parts, body) = asked.into_parts();
        let upgrade = request::upgrade(&parts.headers);
        // What is decided by is what is sent.
        request::take_off_connection(&mut parts.headers);
        let route = match self.route() {
            Ok(route) => route,
            Err(refusal) => {
                drain(body).await;
                return Err(refusal);
            }
        };
        let target = request::target(&route);
        let mut permit = None;
        let (seen, body) = self.body(&route, &target, body, &mut permit).await?;
        let body = match (self.decide(&target, &parts.headers, &seen).await, seen) {
            (Err(refusal), Seen::Stream) => {
                drain(body).await;
                return Err(refusal);
            }
            (Err(refusal), _) => return Err(refusal),
            (Ok(()), _) => body,
        };
        let upgrade = upgrade.filter(|_| request::may_upgrade(&route));
        let request = anew(parts.method, &target, parts.headers, upgrade.as_ref(), body)?;
        let response = self.send(request).await?;
        self.hand_on(response, client, upgrade.is_some()).await
    }

    /// What is asked for, where it is let through at all.
    fn route(&self) -> Result<Route, Refusal> {
        let Head { method, target } = self.head;
        let route = match route::read(method, target) {
            Ok(route) => route,
            Err(error) => return Err(self.refuse(target, StatusCode::FORBIDDEN, error.to_string())),
        };
        // What is decided and sent is the same request, whatever its parts were written like.
        let normal = request::target(&route);
        if route::read(method, &normal).as_ref() != Ok(&route) {
            return Err(self.refuse(
                target,
                StatusCode::FORBIDDEN,
                "the path cannot be written in its plain form".to_owned(),
            ));
        }
        let rules = self.shared.gate.rules.now();
        let proxy = &rules.policy.doors.docker_proxy;
        let allowed = proxy.allowed(self.who.uid, self.who.gid).chain(&self.shared.settings.allow);
        if !scope::is_let_through(&route, allowed) {
            let kind = gate::kind(&route).row().key;
            let why = format!("{} ({kind}) is not let through by this socket", route.pattern);
            return Err(self.refuse(&normal, StatusCode::FORBIDDEN, why));
        }
        Ok(route)
    }

    /// A refusal that needs no decision. It is kept like one.
    fn refuse(&self, target: &str, status: StatusCode, why: String) -> Refusal {
        let gate = &self.shared.gate;
        let rules = gate.rules.now();
        let ruling = Ruling::deny(format!("denied: {why}"));
        if let Some(keep) = &gate.keep {
            let record = Record {
                schema: SCHEMA,
                time: Timestamp::now(),
                door: gate.door,
                who: self.who,
                asked: &format!("{} {target}", self.head.method),
                policy: rules.policy.path.as_deref(),
                ruling: &ruling,
                took: Duration::ZERO,
            };
            if let Err(error) = keep(&record) {
                (self.shared.tell)(&format!("a refusal could not be recorded: {error}"));
            }
        }
        Refusal::new(status, ruling.message)
    }

    /// The body as it is decided by, and as it is sent on.
    async fn body<'a>(
        &'a self,
        route: &Route,
        target: &str,
        body: Incoming,
        permit: &mut Option<SemaphorePermit<'a>>,
    ) -> Result<(Seen, Body), Refusal> {
        if request::is_stream(route) && !gate::needs_body(&self.head.method, target) {
            return Ok((Seen::Stream, body.boxed()));
        }
        let read = timeout(BODY_TIME, read_whole(body, &self.shared.large_bodies, permit)).await;
        let (status, why) = match read {
            Ok(Ok(bytes)) => return Ok((Seen::Whole(bytes.clone()), whole(bytes))),
            Ok(Err(Unread::TooLarge(body))) => {
                drain(body).await;
                let why = format!("the body of the request is larger than {BODY_LIMIT} bytes");
                (StatusCode::PAYLOAD_TOO_LARGE, why)
            }
            Ok(Err(Unread::Broken(error))) => {
                (StatusCode::BAD_REQUEST, format!("the body of the request cannot be read: {error}"))
            }
            Err(_) => {
                (StatusCode::REQUEST_TIMEOUT, "the body of the request did not come in time".to_owned())
            }
        };
        Err(self.refuse(target, status, why))
    }

    /// Asks the gate, on a thread that may wait.
    async fn decide(&self, target: &str, headers: &HeaderMap, seen: &Seen) -> Result<(), Refusal> {
        let Ok(_permit) = self.shared.deciding.acquire().await else {
            return Err(Refusal::busy("the proxy ends"));
        };
        let shared = self.shared.clone();
        let who = self.who.clone();
        let (method, target) = (self.head.method.clone(), target.to_owned());
        let headers: Vec<(String, String)> = headers
            .iter()
            .map(|(name, value)| {
                (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
            })
            .collect();
        let seen = seen.clone();
        let deciding = tokio::task::spawn_blocking(move || {
            let body = match &seen {
                Seen::Stream => gate::Body::Unseen,
                Seen::Whole(bytes) if bytes.is_empty() => gate::Body::None,
                Seen::Whole(bytes) => gate::Body::Bytes(bytes),
            };
            let request = gate::Request { method: &method, uri: &target, headers: &headers, body, who: &who };
            shared.gate.decide(&request, Timestamp::now())
        });
        match timeout(DECISION_TIME, deciding).await {
            Ok(Ok(ruling)) if ruling.is_denied() => Err(Refusal::new(StatusCode::FORBIDDEN, ruling.message)),
            Ok(Ok(ruling)) => {
                if !ruling.message.is_empty() {
                    (self.shared.tell)(&format!("let in of {}: {}", named(self.who), ruling.message));
                }
                Ok(())
            }
            // What could not be decided is refused.
            Ok(Err(_)) => Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "the decision failed")),
            Err(_) => Err(Refusal::new(StatusCode::GATEWAY_TIMEOUT, "the decision took too long")),
        }
    }

    async fn send(&self, request: Request<Body>) -> Result<Response<Incoming>, Refusal> {
        let unreachable = |why: String| {
            let socket = self.shared.settings.daemon.display();
            Refusal::new(
                StatusCode::BAD_GATEWAY,
                format!("the Docker daemon at {socket} does not answer: {why}"),
            )
        };
        let connecting = timeout(CONNECT_TIME, UnixStream::connect(&self.shared.settings.daemon)).await;
        let stream = connecting
            .map_err(|_| unreachable("it takes no connection".into()))?
            .map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, connection) = hyper::client::conn::http1::Builder::new()
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        // It ends with its request and its answer, and both end with this connection's.
        tokio::spawn(connection.with_upgrades());
        // No limit: `wait`, and the end of a pull, come when they come. A client that goes ends it.
        sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))
    }

    async fn hand_on(
        &self,
        response: Response<Incoming>,
        client: OnUpgrade,
        asked: bool,
    ) -> Result<Response<Body>, Refusal> {
        if response.status() != StatusCode::SWITCHING_PROTOCOLS {
            let (mut parts, body) = response.into_parts();
            request::take_off_connection(&mut parts.headers);
            return Ok(Response::from_parts(parts, body.boxed()));
        }
        let odd = |why: &str| Refusal::new(StatusCode::BAD_GATEWAY, format!("the Docker daemon {why}"));
        if !asked {
            return Err(odd("began a stream that was not asked for"));
        }
        let mut headers = response.headers().clone();
        let protocol = headers.get(header::UPGRADE).cloned().unwrap_or(HeaderValue::from_static("tcp"));
        let daemon = hyper::upgrade::on(response).await.map_err(|_| odd("did not begin the stream"))?;
        *self.upgraded.lock().unwrap_or_else(PoisonError::into_inner) = Some((client, daemon));
        request::take_off_connection(&mut headers);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol);
        let mut response = Response::new(whole(Bytes::new()));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        *response.headers_mut() = headers;
        Ok(response)
    }
}

/// The request that the daemon gets.
fn anew(
    method: Method,
    target: &str,
    mut headers: HeaderMap,
    upgrade: Option<&HeaderValue>,
    body: Body,
) -> Result<Request<Body>, Refusal> {
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::HOST, HeaderValue::from_static("docker"));
    if let Some(protocol) = upgrade {
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, protocol.clone());
    }
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.uri_mut() = target.parse().map_err(|_| Refusal::bad("the path cannot be sent"))?;
    *request.headers_mut() = headers;
    Ok(request)
}

/// What is known of a body when it is decided.
#[derive(Clone)]
enum Seen {
    Stream,
    Whole(Bytes),
}

fn whole(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

/// Why a body is not there.
enum Unread {
    TooLarge(Incoming),
    Broken(hyper::Error),
}

/// The body, where it is not too long. A large one takes a permit, for as long as it is held.
async fn read_whole<'a>(
    mut body: Incoming,
    large: &'a Semaphore,
    permit: &mut Option<SemaphorePermit<'a>>,
) -> Result<Bytes, Unread> {
    let mut bytes = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(Unread::Broken)?;
        // Trailers say nothing that the daemon reads.
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > BODY_LIMIT {
            return Err(Unread::TooLarge(body));
        }
        if length > SMALL_BODY && permit.is_none() {
            *permit = large.acquire().await.ok();
        }
        bytes.extend_from_slice(&data);
    }
    Ok(bytes.freeze())
}

/// Reads what a client still sends of a request that is refused, and forgets it.
async fn drain<B: hyper::body::Body + Unpin>(mut body: B) {
    let all = async {
        let mut left = DRAIN;
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, hyper::body::Buf::remaining);
            match left.checked_sub(length) {
                Some(still) => left = still,
                None => return,
            }
        }
    };
    let _ = timeout(DRAIN_TIME, all).await;
}
