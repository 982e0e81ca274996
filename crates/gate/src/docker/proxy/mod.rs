//! A second socket of the Docker API, for those who need a part of it: a reverse proxy that reads labels, a backup, a
//! CI runner. Requests come from a Unix socket, whose kernel says who asks (SO_PEERCRED, unix(7)); each is decided by
//! the same function as in the authorization plugin, written anew, and sent to the daemon's own socket.
//!
//! A connection carries one request, so that there is never a second one to be smuggled in behind the first. Its way:
//! [`head`] → [`exchange`] ([`scope`], the decision, [`request`]) → the daemon → the answer as it comes, or [`tunnel`].

mod exchange;
mod gone;
mod head;
mod places;
mod request;
mod scope;
mod tunnel;

use std::io;
use std::path::PathBuf;
use std::pin::pin;
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
use tokio::sync::Semaphore;

pub use scope::stand_for_a_route;

use crate::record::Who;
use exchange::{Exchange, Refusal};
use gone::Gone;
use head::HeadError;
use places::Places;

use super::gate::DockerGate;
use super::plugin::{self, Socket};

/// After this, what was begun for a client that is gone is ended. It may have meant what it asked for before it went.
const AFTER_THE_CLIENT: Duration = Duration::from_secs(10);
/// Decisions block, as they may ask the daemon: threads of their own, no more than this.
const DECIDING: usize = 32;
/// Bodies above [`exchange::SMALL_BODY`] that are held at once: at most 4 MiB each.
const LARGE_BODIES: usize = 32;

/// How a filtered socket serves.
#[derive(Clone, Debug)]
pub struct Settings {
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

struct Shared {
    gate: Arc<DockerGate>,
    settings: Settings,
    places: Places,
    large_bodies: Semaphore,
    deciding: Semaphore,
    tell: Tell,
}

/// Serves until SIGTERM or SIGINT; SIGHUP reads the rules again.
pub fn run(socket: &Socket, settings: Settings, gate: &Arc<DockerGate>, tell: fn(&str)) -> io::Result<()> {
    plugin::until_ended(gate, tell, async |stop| {
        serve(socket.listener()?, settings, gate.clone(), Box::new(tell), stop).await
    })
}

/// Serves until `stop` is done. What runs then ends with the runtime: streams have no end to be waited for.
pub async fn serve(
    listener: std::os::unix::net::UnixListener,
    settings: Settings,
    gate: Arc<DockerGate>,
    tell: Tell,
    stop: impl Future<Output = ()>,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = UnixListener::from_std(listener)?;
    let shared = Arc::new(Shared {
        gate,
        places: Places::new(settings.connections, settings.connections_of_one),
        settings,
        large_bodies: Semaphore::new(LARGE_BODIES),
        deciding: Semaphore::new(DECIDING),
        tell,
    });
    let mut stop = pin!(stop);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => return Ok(()),
        };
        match accepted {
            Ok((stream, _)) => {
                tokio::spawn(connection(shared.clone(), stream));
            }
            // Out of descriptors or memory: connections that end give some back.
            Err(error) => {
                (shared.tell)(&format!("cannot take a connection: {error}"));
                tokio::time::sleep(Duration::from_millis(100)).await;
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
