//! The listeners: TLS for API servers, plain HTTP for those who observe, and the loop that reads changed files again.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::certificate::Certificates;
use super::changes::Changes;
use super::deciding::Decider;
use super::metrics::{Metrics, Reloaded};
use super::{Settings, metrics};
use crate::kubernetes::review::MAX_BYTES;

/// Connections of API servers at a time; the rest waits to be accepted.
const MAX_CONNECTIONS: usize = 4096;
const MAX_OBSERVERS: usize = 64;
/// Bodies that are held at a time, together: in KiB.
const MAX_HELD: usize = 256 << 10;
const HANDSHAKE: Duration = Duration::from_secs(10);
/// How long a connection may lie idle, and a head take. Go's clients give an idle connection up after 90 s (client-go,
/// transport defaults); who gives it up first must not be the server, or a request may be lost with it.
const IDLE: Duration = Duration::from_secs(120);
/// What is left of an API server's patience for the way back.
const WAY_BACK: Duration = Duration::from_millis(500);
/// How long those who have asked are waited for at the end.
const LAST_ANSWERS: Duration = Duration::from_secs(15);

pub(super) struct Service {
    decider: Arc<Decider>,
    certificates: Certificates,
    held: Arc<Semaphore>,
    rule_files: Vec<PathBuf>,
    poll: Duration,
    drain: Duration,
    say: fn(&str),
    ends: AtomicBool,
}

impl Service {
    pub(super) fn new(settings: Settings, certificates: Certificates) -> Service {
        let seats = std::thread::available_parallelism().map_or(1, |n| n.get());
        Service {
            decider: Arc::new(Decider {
                context: settings.context,
                rules: settings.rules,
                recorder: settings.recorder,
                clock: settings.clock,
                metrics: Metrics::default(),
                seats: Arc::new(Semaphore::new(seats)),
                answer_within: settings.answer_within,
            }),
            certificates,
            held: Arc::new(Semaphore::new(MAX_HELD)),
            rule_files: settings.rule_files,
            poll: settings.poll,
            drain: settings.drain,
            say: settings.say,
            ends: AtomicBool::new(false),
        }
    }

    fn metrics(&self) -> &Metrics {
        &self.decider.metrics
    }

    fn reload_rules(&self) {
        let reloaded = self.decider.rules.reload();
        self.metrics().reloaded(Reloaded::Policy, reloaded.is_ok());
        match reloaded {
            Ok(()) => (self.say)("the policy was read again"),
            Err(error) => (self.say)(&format!("the policy cannot be read, the last good one stays: {error}")),
        }
    }

    fn reload_certificate(&self) {
        let reloaded = self.certificates.reload();
        self.metrics().reloaded(Reloaded::Certificate, reloaded.is_ok());
        match reloaded {
            Ok(()) => (self.say)("the certificate was read again"),
            Err(error) => {
                (self.say)(&format!("the certificate cannot be read, the last good one stays: {error}"));
            }
        }
    }
}

/// Answers on both listeners until `end`.
pub(super) async fn serve(
    service: Arc<Service>,
    listener: TcpListener,
    observer: Option<TcpListener>,
    end: impl Future<Output = ()>,
) {
    let reloading = tokio::spawn(reload(service.clone()));
    let observing = observer.map(|observer| tokio::spawn(observe(service.clone(), observer)));
    let connections = GracefulShutdown::new();
    let most = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let router = Router::new().route("/review", post(review)).with_state(service.clone());
    let ended = async {
        end.await;
        // Not ready from now on: the endpoint is withdrawn while those who do not know it yet are still answered.
        service.ends.store(true, Ordering::SeqCst);
        sleep(service.drain).await;
    };
    tokio::select! {
        () = ended => {}
        () = accept(&service, &listener, &most, &router, &connections) => {}
    }
    drop(listener);
    let _ = timeout(LAST_ANSWERS, connections.shutdown()).await;
    reloading.abort();
    if let Some(observing) = observing {
        observing.abort();
    }
}

async fn accept(
    service: &Arc<Service>,
    listener: &TcpListener,
    most: &Arc<Semaphore>,
    router: &Router,
    connections: &GracefulShutdown,
) {
    loop {
        let Ok(permit) = most.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(_) => {
                // Out of descriptors, as a rule: the connections that are there must end first.
                sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (service, router) = (service.clone(), router.clone());
        let watcher = connections.watcher();
        let acceptor = service.certificates.acceptor();
        tokio::spawn(async move {
            let _permit = permit;
            // Who speaks no TLS, or shows no certificate that is asked for, is not answered.
            let Ok(Ok(stream)) = timeout(HANDSHAKE, acceptor.accept(stream)).await else { return };
            service.metrics().connections.fetch_add(1, Ordering::Relaxed);
            let connection = connection(stream, router);
            let _ = watcher.watch(connection).await;
            service.metrics().connections.fetch_sub(1, Ordering::Relaxed);
        });
    }
}

type Connection<S> = hyper::server::conn::http1::Connection<TokioIo<S>, TowerToHyperService<Router>>;

fn connection<S: AsyncRead + AsyncWrite + Unpin>(stream: S, router: Router) -> Connection<S> {
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE)
        .max_buf_size(64 << 10)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
}

/// One AdmissionReview.
async fn review(State(service): State<Arc<Service>>, request: Request) -> Response {
    let begun = Instant::now();
    let decider = &service.decider;
    let within =
        patience(request.uri().query()).map_or(decider.answer_within, |p| p.min(decider.answer_within));
    let deadline = begun + within;
    let in_flight = Counted::new(service.clone());
    let body = match timeout_at(deadline, body(&service, request)).await {
        Ok(Ok(body)) => body,
        Ok(Err(response)) => {
            service.metrics().failed(metrics::Failure::Unreadable);
            return response;
        }
        Err(_) => {
            service.metrics().failed(metrics::Failure::Late);
            return plain(StatusCode::REQUEST_TIMEOUT, "the request did not arrive in time");
        }
    };
    let (body, _held) = body;
    let decided = decider.decide(body, begun, deadline).await;
    drop(in_flight);
    match decided {
        Ok(decided) => {
            let text = decided.answer().to_string();
            ([(header::CONTENT_TYPE, "application/json")], text).into_response()
        }
        Err(error) => plain(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// The body, and the room it takes.
async fn body(service: &Service, request: Request) -> Result<(Bytes, OwnedSemaphorePermit), Response> {
    let too_large = || plain(StatusCode::PAYLOAD_TOO_LARGE, format!("more than {MAX_BYTES} bytes"));
    let length = request.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok()?.parse().ok());
    let most = length.unwrap_or(MAX_BYTES);
    if most > MAX_BYTES {
        return Err(too_large());
    }
    let room = u32::try_from((most >> 10) + 1).unwrap_or(u32::MAX);
    let busy = || plain(StatusCode::SERVICE_UNAVAILABLE, "the gate ends");
    let held = service.held.clone().acquire_many_owned(room).await.map_err(|_| busy())?;
    match Limited::new(request.into_body(), MAX_BYTES).collect().await {
        Ok(body) => Ok((body.to_bytes(), held)),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Err(error) => Err(plain(StatusCode::BAD_REQUEST, format!("the body broke off: {error}"))),
    }
}

/// How long an API server waits, by its own word: it puts `timeout=10s` into the address of a webhook.
fn patience(query: Option<&str>) -> Option<Duration> {
    let timeout = query?.split('&').find_map(|pair| pair.strip_prefix("timeout="))?;
    let seconds: u64 = timeout.strip_suffix('s')?.parse().ok()?;
    let patience = Duration::from_secs(seconds.min(3600));
    Some(patience.saturating_sub(WAY_BACK).max(WAY_BACK))
}

/// A request that is being decided about.
struct Counted(Arc<Service>);

impl Counted {
    fn new(service: Arc<Service>) -> Counted {
        service.metrics().in_flight.fetch_add(1, Ordering::Relaxed);
        Counted(service)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.metrics().in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

fn plain(status: StatusCode, text: impl Into<String>) -> Response {
    (status, format!("{}\n", text.into())).into_response()
}

async fn observe(service: Arc<Service>, listener: TcpListener) {
    let most = Arc::new(Semaphore::new(MAX_OBSERVERS));
    let router = Router::new()
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics_text))
        .with_state(service);
    loop {
        let Ok(permit) = most.clone().acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let connection = connection(stream, router.clone());
        tokio::spawn(async move {
            let _permit = permit;
            // Those who observe ask once and go.
            let _ = timeout(HANDSHAKE, connection).await;
        });
    }
}

/// Ready is who has rules and a certificate that an API server takes. Rules that were broken later leave the last good
/// ones in force, so it stays ready, and says so: were all replicas withdrawn, nothing could be changed in the cluster.
async fn readyz(State(service): State<Arc<Service>>) -> Response {
    let now = (service.decider.clock)().as_second();
    if service.ends.load(Ordering::SeqCst) {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "ends");
    }
    if service.certificates.ends() <= now {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "the certificate is past its end");
    }
    match service.decider.rules.failure() {
        Some(error) => plain(StatusCode::OK, format!("ready, by the last good policy: {error}")),
        None => plain(StatusCode::OK, "ready"),
    }
}

async fn metrics_text(State(service): State<Arc<Service>>) -> Response {
    let stale = service.decider.rules.failure().is_some();
    let text = service.metrics().text(service.certificates.ends(), stale);
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
}

/// Reads changed files again, and all of them on SIGHUP.
async fn reload(service: Arc<Service>) {
    let mut rules = Changes::of(service.rule_files.clone());
    let mut certificate = Changes::of(service.certificates.files());
    let mut hangup = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).ok();
    loop {
        let asked = async {
            match &mut hangup {
                Some(hangup) => hangup.recv().await,
                None => std::future::pending().await,
            }
        };
        let all = tokio::select! {
            heard = asked => heard.is_some(),
            () = sleep(service.poll) => false,
        };
        let service = service.clone();
        let work = tokio::task::spawn_blocking(move || {
            if rules.have_come() || all {
                service.reload_rules();
            }
            if certificate.have_come() || all {
                service.reload_certificate();
            }
            (rules, certificate)
        });
        match work.await {
            Ok(looked) => (rules, certificate) = looked,
            // A panic while reading is told by its own message; the files are looked at anew.
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_leaves_in_time_for_the_api_server_that_waits_for_it() {
        for (query, patience_is) in [
            (Some("timeout=10s"), Some(9_500)),
            (Some("a=b&timeout=1s"), Some(500)),
            (Some("timeout=0s"), Some(500)),
            (Some("timeout=99999999s"), Some(3_599_500)),
            (Some("timeout=-1s"), None),
            (Some("timeout=1m"), None),
            (Some("timeouts=1s"), None),
            (Some(""), None),
            (None, None),
        ] {
            assert_eq!(patience(query), patience_is.map(Duration::from_millis), "{query:?}");
        }
    }
}
