//! The daemon behind a door, as far as a decision asks it: what it is (once, and again after it restarted or read its
//! settings anew), and the volumes, images and containers that a request names.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use confinement::{EngineKind, Host};
use serde_json::Value;
use sources::engine_api::follow::{Follow, Next};
use sources::engine_api::{Endpoint, Session};

use super::create::{Daemon, Volume};

/// How often the thread that follows the daemon's events looks whether it is still wanted.
const BREATH: Duration = Duration::from_secs(1);
/// How long a session is good whose daemon does not tell its events.
const UNFOLLOWED: Duration = Duration::from_secs(5);

type ReadHost = Box<dyn Fn() -> Arc<Host> + Send + Sync>;

/// What the daemon is, asked when it is first needed: the door is there before the daemon.
pub struct Engine {
    endpoint: Endpoint,
    read_host: ReadHost,
    open: Mutex<Option<Open>>,
}

struct Open {
    session: Arc<Session>,
    /// Set where the daemon is gone or has read its settings anew.
    stale: Arc<AtomicBool>,
    /// Without events to follow.
    until: Option<Instant>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.stale.store(true, Ordering::Relaxed);
    }
}

impl Engine {
    /// `read_host` tells what this machine is, whenever the daemon is looked at anew: it may have come with an upgrade.
    pub fn new(endpoint: Endpoint, read_host: impl Fn() -> Arc<Host> + Send + Sync + 'static) -> Engine {
        Engine { endpoint, read_host: Box::new(read_host), open: Mutex::new(None) }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The daemon is another than before: it is asked anew what it is.
    pub fn forget(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Whoever comes while it is opened waits for that.
    pub fn session(&self) -> Result<Arc<Session>, String> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = &*open
            && !open.stale.load(Ordering::Relaxed)
            && open.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(open.session.clone());
        }
        *open = None;
        let opened = Session::open(EngineKind::Docker, &self.endpoint, &(self.read_host)());
        let session = Arc::new(opened.map_err(|error| error.to_string())?);
        let stale = Arc::new(AtomicBool::new(false));
        let followed = follow(&session, stale.clone());
        let until = (!followed).then(|| Instant::now() + UNFOLLOWED);
        *open = Some(Open { session: session.clone(), stale, until });
        Ok(session)
    }
}

/// Follows the daemon's events until it ends or reads its settings anew; false where they cannot be had.
fn follow(session: &Session, stale: Arc<AtomicBool>) -> bool {
    let Ok(mut events) = session.events(None) else { return false };
    let watch = move || {
        while !stale.load(Ordering::Relaxed) && !is_over(&mut events) {}
        stale.store(true, Ordering::Relaxed);
    };
    std::thread::Builder::new().name("docker-events".into()).spawn(watch).is_ok()
}

fn is_over(events: &mut Follow) -> bool {
    match events.next(BREATH) {
        Ok(Next::Nothing) => false,
        Ok(Next::Line(line)) => serde_json::from_slice::<Value>(&line).is_ok_and(|event| {
            event.get("Type").is_some_and(|t| t == "daemon")
                && event.get("Action").is_some_and(|a| a == "reload")
        }),
        Err(_) => true,
    }
}

impl Daemon for Session {
    fn volume(&self, name: &str) -> Result<Option<Volume>, String> {
        let Some(found) = self.inspect_volume(name).map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        let options = found.get("Options").and_then(Value::as_object).into_iter().flatten();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(Some(Volume {
            driver: found.get("Driver").map(text).unwrap_or_default(),
            options: options.map(|(key, value)| (key.clone(), text(value))).collect(),
        }))
    }

    fn container(&self, reference: &str) -> Result<Option<Value>, String> {
        self.inspect(reference).map_err(|error| error.to_string())
    }

    fn image(&self, reference: &str) -> Result<Option<Value>, String> {
        self.inspect_image(reference).map_err(|error| error.to_string())
    }

    fn network(&self, reference: &str) -> Result<Option<Value>, String> {
        self.inspect_network(reference).map_err(|error| error.to_string())
    }
}
