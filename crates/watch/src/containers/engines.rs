//! Where engines listen, and one thread for each that follows its events. A stream that breaks is opened again, each
//! time after a longer pause, from the last event on; what the engine no longer tells of is said to be missed.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use confinement::EngineKind;
use sources::engine_api::follow::{Follow, Next};
use sources::engine_api::http::HttpError;
use sources::engine_api::{Endpoint, Session};

use super::{Missed, Shared, asker};
use crate::clock::wall;
use crate::trail::engine::Told;

/// One engine's interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) kind: EngineKind,
    pub(super) endpoint: Endpoint,
}

/// As many engines are followed at most: a machine has one or two, and one rootless for each of its users.
pub(super) const MOST: usize = 64;
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A stream that lasted for this long was a good one: the next pause is short again.
const GOOD: Duration = Duration::from_secs(10);
/// How long a thread is deaf to being stopped.
const BREATH: Duration = Duration::from_millis(200);

const SOCKETS: &[(EngineKind, &str)] =
    &[(EngineKind::Docker, "/run/docker.sock"), (EngineKind::Podman, "/run/podman/podman.sock")];
/// Below `/run/user/UID` (XDG_RUNTIME_DIR): rootless engines (dockerd-rootless(1), podman-system-service(1)).
const ROOTLESS: &[(EngineKind, &str)] =
    &[(EngineKind::Docker, "docker.sock"), (EngineKind::Podman, "podman/podman.sock")];

/// Engines whose sockets are there.
pub(super) fn discover() -> Vec<Place> {
    let mut paths: Vec<(EngineKind, PathBuf)> =
        SOCKETS.iter().map(|(kind, path)| (*kind, PathBuf::from(path))).collect();
    let users = std::fs::read_dir("/run/user").into_iter().flatten().flatten().take(MOST);
    for user in users {
        paths.extend(ROOTLESS.iter().map(|(kind, path)| (*kind, user.path().join(path))));
    }
    paths
        .into_iter()
        .filter(|(_, path)| is_socket(path))
        .map(|(kind, path)| Place { kind, endpoint: Endpoint::Unix(path) })
        .collect()
}

fn is_socket(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;
    // A link of a user's could lead anywhere.
    path.symlink_metadata().is_ok_and(|meta| meta.file_type().is_socket())
}

/// Whose socket it is; root's where that cannot be told of an address of the network.
pub(super) fn owner(place: &Place) -> u32 {
    use std::os::unix::fs::MetadataExt;
    match &place.endpoint {
        Endpoint::Unix(path) => path.metadata().map_or(u32::MAX, |meta| meta.uid()),
        Endpoint::Tcp(_) => 0,
    }
}

/// Follows one engine until the program ends.
pub(super) fn follow(shared: &Shared, number: usize, place: &Place) {
    // Its containers are judged with the host's facts, which the reader finds out first.
    while !shared.stops() && shared.host.get().is_none() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut heard = Heard::default();
    let mut pause = FIRST_PAUSE;
    // Since when nothing was heard, and whether the engine itself was away.
    let mut silent: Option<(i64, bool)> = None;
    let mut told_lost = false;
    while !shared.stops() {
        let started = Instant::now();
        let error = match open(shared, place, silent.and(heard.last)) {
            Ok((session, events)) => {
                let missed = silent.take().map(|(from, away)| Missed {
                    from,
                    until: wall(),
                    told_afterwards: place.kind == EngineKind::Podman || !away,
                });
                told_lost = false;
                shared.ask(asker::Job::Back { engine: number, session: Arc::new(session), missed });
                match listen(shared, number, events, &mut heard, owner(place) == 0) {
                    Some(error) => error,
                    None => return,
                }
            }
            Err(error) => error,
        };
        let away = matches!(error, HttpError::Connect(_));
        let (_, was_away) = silent.get_or_insert((wall(), false));
        *was_away |= away;
        if !told_lost {
            told_lost = true;
            shared.ask(asker::Job::Lost { engine: number, why: error.to_string() });
        }
        pause = if started.elapsed() > GOOD { FIRST_PAUSE } else { (pause * 2).min(LONGEST_PAUSE) };
        let until = Instant::now() + pause;
        while !shared.stops() && Instant::now() < until {
            std::thread::sleep(BREATH.min(until.saturating_duration_since(Instant::now())));
        }
    }
}

fn open(shared: &Shared, place: &Place, since: Option<i64>) -> Result<(Session, Follow), HttpError> {
    let session = Session::open(place.kind, &place.endpoint, &shared.host())?;
    let events = session.events(since)?;
    Ok((session, events))
}

/// Events that an engine which is not root's may tell in a second; it would fill the queue for all otherwise.
const USERS_SHARE: u32 = 200;

/// Hands on events until the stream breaks; `None` where the program ends.
fn listen(
    shared: &Shared,
    number: usize,
    mut events: Follow,
    heard: &mut Heard,
    is_roots: bool,
) -> Option<HttpError> {
    let (mut second, mut told_in_it) = (Instant::now(), 0);
    while !shared.stops() {
        if second.elapsed() > Duration::from_secs(1) {
            (second, told_in_it) = (Instant::now(), 0);
        }
        if !is_roots && told_in_it >= USERS_SHARE {
            std::thread::sleep(BREATH);
            continue;
        }
        told_in_it += 1;
        match events.next(BREATH) {
            Ok(Next::Line(line)) => {
                if let Some(told) = Told::parse(&line)
                    && heard.is_new(told.time, &line)
                {
                    shared.ask(asker::Job::Told { engine: number, told: Box::new(told) });
                }
            }
            Ok(Next::Nothing) => {}
            Err(error) => return Some(error),
        }
    }
    None
}

/// What was heard last, so that events told again after a break are not taken twice.
#[derive(Default)]
pub(super) struct Heard {
    /// Nanoseconds since 1970.
    last: Option<i64>,
    recent: VecDeque<u64>,
}

impl Heard {
    pub(super) fn is_new(&mut self, time: i64, line: &[u8]) -> bool {
        let mut hasher = DefaultHasher::new();
        line.hash(&mut hasher);
        let hash = hasher.finish();
        if self.recent.contains(&hash) {
            return false;
        }
        // As many as an engine tells of again: moby keeps 256.
        if self.recent.len() >= 512 {
            self.recent.pop_front();
        }
        self.recent.push_back(hash);
        self.last = self.last.max(Some(time));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_that_is_told_again_is_taken_once() {
        let mut heard = Heard::default();
        assert!(heard.is_new(5, b"a") && heard.is_new(7, b"b") && heard.is_new(6, b"c"));
        assert!(!heard.is_new(5, b"a") && !heard.is_new(7, b"b"));
        assert_eq!(heard.last, Some(7));
        for number in 0..10_000_u32 {
            heard.is_new(8, &number.to_le_bytes());
        }
        assert!(heard.recent.len() <= 512);
    }

    #[test]
    fn a_file_or_a_link_in_the_place_of_a_socket_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link, socket) =
            (folder.path().join("f"), folder.path().join("l"), folder.path().join("s"));
        std::fs::write(&file, "").unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        std::os::unix::fs::symlink(&socket, &link).unwrap();
        assert!(is_socket(&socket) && !is_socket(&file) && !is_socket(&link));
    }
}
