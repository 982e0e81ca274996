//! A second socket of the Docker API, for those who need a part of it: a reverse proxy that reads labels, a backup, a
//! CI runner. Requests come from a Unix socket, whose kernel says who asks (SO_PEERCRED, unix(7)); each is decided by
//! the same function as in the authorization plugin, written anew, and sent to the daemon's own socket.
//!
//! A connection carries one request, so that there is never a second one to be smuggled in behind the first. Its way:
//! [`head`] → [`exchange`] ([`scope`], the decision, [`request`]) → the daemon → the answer as it comes, or [`tunnel`].

mod exchange;
mod gone;
mod head;
mod listen;
mod places;
mod request;
mod scope;
mod tunnel;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use policy::doors::Routes;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore};

pub use listen::{ListenError, Place};
pub use scope::stand_for_a_route;

use crate::record::Who;
use exchange::{Exchange, Refusal};
use gone::Gone;
use head::HeadError;
use places::Places;

use super::gate::DockerGate;

/// After this, what was begun for a client that is gone is ended. It may have meant what it asked for before it went.
const AFTER_THE_CLIENT: Duration = Duration::from_secs(10);
/// What runs gets so long when the proxy ends; streams have no end to be waited for.
const AT_THE_END: Duration = Duration::from_secs(3);
/// Decisions block, as they may ask the daemon: threads of their own, no more than this.
const DECIDING: usize = 32;
/// Bodies above [`exchange::SMALL_BODY`] that are held at once: at most 4 MiB each.
const LARGE_BODIES: usize = 32;

/// What a proxy is told at its start.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listen: Place,
    /// The daemon's own socket.
    pub daemon: PathBuf,
    /// Let through for everybody, beside what the policy names.
    pub allow: Vec<Routes>,
    /// Connections at once, of all callers and of one user.
    pub connections: usize,
    pub connections_of_one: usize,
}

/// Told of things that no client is answered with: what was refused to whom, and what failed.
pub type Tell = Box<dyn Fn(&str) + Send + Sync>;

/// A filtered socket that is open.
pub struct Proxy {
    shared: Arc<Shared>,
    listening: listen::Listening,
}

struct Shared {
    gate: DockerGate,
    settings: Settings,
    places: Places,
    large_bodies: Semaphore,
    deciding: Semaphore,
    end: Notify,
    tell: Tell,
}

/// Ends a proxy that runs.
#[derive(Clone)]
pub struct End(Arc<Shared>);

impl End {
    pub fn end(&self) {
        // Kept until it is waited for.
        self.0.end.notify_one();
    }
}

impl Proxy {
    /// Opens the socket: whoever may connect is answered from [`Proxy::run`] on.
    pub fn open(settings: Settings, gate: DockerGate, tell: Tell) -> Result<Proxy, ListenError> {
        let listening = listen::listen(&settings.listen)?;
        let shared = Shared {
            gate,
            places: Places::new(settings.connections, settings.connections_of_one),
            settings,
            large_bodies: Semaphore::new(LARGE_BODIES),
            deciding: Semaphore::new(DECIDING),
            end: Notify::new(),
            tell,
        };
        Ok(Proxy { shared: Arc::new(shared), listening })
    }

    pub fn ending(&self) -> End {
        End(self.shared.clone())
    }

    /// Serves until it is ended.
    pub fn run(self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .max_blocking_threads(DECIDING)
            .enable_all()
            .thread_name("docker-proxy")
            .build()?;
        let result = runtime.block_on(self.serve());
        runtime.shutdown_timeout(AT_THE_END);
        result
    }

    async fn serve(&self) -> io::Result<()> {
        let listener = self.listening.listener.try_clone()?;
        listener.set_nonblocking(true)?;
        let listener = UnixListener::from_std(listener)?;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shared.end.notified() => return Ok(()),
            };
            match accepted {
                Ok((stream, _)) => {
                    tokio::spawn(connection(self.shared.clone(), stream));
                }
                // Out of descriptors or memory: connections that end give some back.
                Err(error) => {
                    (self.shared.tell)(&format!("cannot take a connection: {error}"));
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

/// One connection from its beginning to its end.
async fn connection(shared: Arc<Shared>, stream: UnixStream) {
    let (who, gone) = match (who(&stream), Gone::of(&stream)) {
        (Ok(who), Ok(gone)) => (who, gone),
        (Err(error), _) | (_, Err(error)) => {
            (shared.tell)(&format!("a connection cannot be used: {error}"));
            return;
        }
    };
    let Some(_place) = shared.places.take(who.uid) else {
        (shared.tell)(&format!("refused a connection of {}: too many are open", named(&who)));
        let refusal = Refusal::busy("too many connections are open; try again later");
        // It is no longer waited for than it takes to be told.
        let _ = tokio::time::timeout(Duration::from_secs(1), refuse(stream, &refusal)).await;
        return;
    };
    tokio::select! {
        () = one_request(&shared, &who, stream) => {}
        () = async { gone.wait().await; tokio::time::sleep(AFTER_THE_CLIENT).await } => {}
    }
}

async fn one_request(shared: &Arc<Shared>, who: &Who, stream: UnixStream) {
    let (head, stream) = match head::read(stream).await {
        Ok(read) => read,
        Err((HeadError::Ended(_), _)) => return,
        Err((error, stream)) => {
            (shared.tell)(&format!("refused to {}: {error}", named(who)));
            let _ = tokio::time::timeout(
                Duration::from_secs(1),
                refuse(stream, &Refusal::bad(error.to_string())),
            )
            .await;
            return;
        }
    };
    let upgraded = Mutex::new(None);
    let exchange = Exchange { shared, who, head: &head, upgraded: &upgraded };
    let service = service_fn(|request| async {
        Ok::<Response<exchange::Body>, std::convert::Infallible>(exchange.answer(request).await)
    });
    let served = http1::Builder::new()
        .half_close(true)
        .keep_alive(false)
        .max_headers(head::HEADERS)
        .max_buf_size(head::LIMIT * 2)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades()
        .await;
    if served.is_err() {
        return;
    }
    let upgraded = upgraded.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some((client, daemon)) = upgraded
        && let Ok(client) = client.await
    {
        tunnel::join(TokioIo::new(client), TokioIo::new(daemon)).await;
    }
}

/// Who is at the other end, as the kernel knows it since the connection was made.
fn who(stream: &UnixStream) -> io::Result<Who> {
    let peer = stream.peer_cred()?;
    let pid = peer.pid().and_then(|pid| u32::try_from(pid).ok());
    Ok(Who { uid: Some(peer.uid()), gid: Some(peer.gid()), pid, ..Who::default() })
}

/// A caller in few words.
fn named(who: &Who) -> String {
    let mut text = String::from("uid ");
    match who.uid {
        Some(uid) => text.push_str(&uid.to_string()),
        None => text.push('?'),
    }
    if let Some(pid) = who.pid {
        text.push_str(&format!(" (pid {pid})"));
    }
    text
}

/// Answers without having read the request, and lets it come in, so that the answer is not lost: a socket that is closed
/// with bytes unread breaks the connection.
async fn refuse(mut stream: UnixStream, refusal: &Refusal) -> io::Result<()> {
    let body: Bytes = refusal.body();
    let head = format!(
        "HTTP/1.1 {} {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        refusal.status.as_u16(),
        refusal.status.canonical_reason().unwrap_or_default(),
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await?;
    stream.shutdown().await?;
    let mut sink = [0; 8192];
    while stream.read(&mut sink).await? > 0 {}
    Ok(())
}
