//! The thread that asks engines: which of their containers one of the sensor's is, and what they were told to do with
//! it; and that writes the engines' audit trail, joined with the kernel's events.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use confinement::EngineKind;
use sensor::event::{ContainerKey, Namespaces, Task};
use serde_json::Value;
use sources::engine_api::http::HttpError;
use sources::engine_api::{Endpoint, Session};
use sources::measured;

use super::engines::{self, Place};
use super::metadata::{self, kept};
use super::monitor::Monitor;
use super::peers::{Peers, SocketFile};
use super::queue::lock;
use super::reader::{self, Entered};
use super::table::{Read, id_in_path};
use super::{Asked, Joined, Missed, News, Shared, Why, process};
use crate::alert::Container;
use crate::clock::{Offset, since_boot};
use crate::trail::engine::Told;
use crate::trail::{self, Action, Certainty, Client, Exec, Record, Source, Who};

pub(super) enum Job {
    Ask { key: ContainerKey, attempt: usize },
    Ended { key: ContainerKey, time: u64 },
    Entered(Box<Entered>),
    Told { engine: usize, told: Box<Told> },
    Back { engine: usize, session: Arc<Session>, missed: Option<Missed> },
    Lost { engine: usize, why: String },
}

/// After an engine did not know a container, or could not say yet, it is asked again.
const AGAIN: &[Duration] = &[
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
];
/// A process that was put in is looked for among the engine's execs for this long in all.
const EXEC_AGAIN: &[Duration] = &[
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(150),
    Duration::from_millis(300),
];
/// An exec of which the kernel told no process: it failed, or the sensor does not see it.
const EXEC_UNSEEN: Duration = Duration::from_secs(2);
const DISCOVER: Duration = Duration::from_secs(3);
/// An engine that did not answer in time is left alone: first for this long, then twice as long, up to a limit.
const LEFT_ALONE: Duration = Duration::from_secs(5);
const LEFT_ALONE_MOST: Duration = Duration::from_secs(120);
/// Execs of one container that a process is compared with.
const EXECS_COMPARED: usize = 16;
/// A container's start as the engine and the kernel have it. Nanoseconds.
const SAME_START: i64 = 2_000_000_000;
/// Questions that wait for their time, execs that wait for their process, digests that are known.
const MOST: usize = 4096;

struct Engine {
    place: Place,
    socket: Arc<str>,
    session: Option<Arc<Session>>,
    not_before: Instant,
    left_alone: Duration,
    /// Whose socket it is. Who is not root may have put anything behind it, and is believed about containers that are
    /// held by a process of his own only.
    owner: u32,
    file: Option<SocketFile>,
    peers: Peers,
}

impl Engine {
    fn name(&self) -> &'static str {
        self.place.kind.name()
    }
    fn session(&self) -> Option<Arc<Session>> {
        self.session.clone().filter(|s| s.is_local() && Instant::now() >= self.not_before)
    }
}

/// An exec that the engine told of, and whose process has not been seen.
struct Waiting {
    record: Record,
    key: Option<ContainerKey>,
    engine: usize,
    until: Instant,
}

struct Asker<'a> {
    shared: &'a Arc<Shared>,
    engines: Vec<Engine>,
    followers: Vec<JoinHandle<()>>,
    later: VecDeque<(Instant, Job)>,
    /// A process that was put in, and how often it was looked for.
    entered: VecDeque<(Instant, usize, Box<Entered>)>,
    execs: VecDeque<Waiting>,
    /// By image id.
    digests: HashMap<String, Option<String>>,
}

pub(super) fn run(shared: &Arc<Shared>) {
    let mut asker = Asker {
        shared,
        engines: Vec::new(),
        followers: Vec::new(),
        later: VecDeque::new(),
        entered: VecDeque::new(),
        execs: VecDeque::new(),
        digests: HashMap::new(),
    };
    let given = shared.options.engines.iter();
    let given: Vec<Place> =
        given.map(|(kind, endpoint)| Place { kind: *kind, endpoint: endpoint.clone() }).collect();
    asker.add(given);
    let mut discovered: Option<Instant> = None;
    while !shared.stops() {
        if shared.options.discover && discovered.is_none_or(|at| at.elapsed() > DISCOVER) {
            asker.add(engines::discover());
            discovered = Some(Instant::now());
        }
        if let Some(job) = shared.to_ask.pop(asker.wait()) {
            asker.handle(job);
        }
        asker.what_is_due();
    }
    for follower in asker.followers.drain(..) {
        let _ = follower.join();
    }
}

impl Asker<'_> {
    /// Begins to follow engines that are not followed yet.
    fn add(&mut self, places: Vec<Place>) {
        for place in places {
            let known = self.engines.iter().any(|engine| engine.place.endpoint == place.endpoint);
            if known || self.engines.len() >= engines::MOST {
                continue;
            }
            let socket: Arc<str> = place.endpoint.to_string().into();
            let (file, owner) = (file_of(&place), engines::owner(&place));
            lock(&self.shared.sockets).push((socket.clone(), file));
            let number = self.engines.len();
            let (shared, at) = (self.shared.clone(), place.clone());
            let thread = std::thread::Builder::new().name("containers-engine".to_owned());
            match thread.spawn(move || engines::follow(&shared, number, &at)) {
                Ok(follower) => self.followers.push(follower),
                Err(error) => self.shared.tell(News::Failed {
                    what: format!("the thread for {socket} cannot be started: {error}"),
                }),
            }
            self.engines.push(Engine {
                place,
                socket,
                session: None,
                not_before: Instant::now(),
                left_alone: LEFT_ALONE,
                owner,
                file,
                peers: Peers::default(),
            });
        }
    }

    /// Until something is due.
    fn wait(&self) -> Duration {
        let due = self.later.iter().map(|(at, _)| *at).chain(self.entered.iter().map(|(at, _, _)| *at));
        let next = due.chain(self.execs.iter().map(|w| w.until)).min();
        let left = next.map(|at| at.saturating_duration_since(Instant::now()));
        left.unwrap_or(Duration::from_millis(200)).clamp(Duration::from_millis(1), Duration::from_millis(200))
    }

    fn what_is_due(&mut self) {
        let now = Instant::now();
        let mut due = Vec::new();
        self.later.retain_mut(|(at, job)| {
            if *at > now {
                return true;
            }
            due.push(std::mem::replace(job, Job::Ended { key: ContainerKey(0), time: 0 }));
            false
        });
        for job in due {
            self.handle(job);
        }
        let waiting: Vec<_> = std::mem::take(&mut self.entered).into();
        for (at, attempt, entered) in waiting {
            if at <= now {
                self.look_for_exec(entered, attempt);
            } else {
                self.entered.push_back((at, attempt, entered));
            }
        }
        while self.execs.front().is_some_and(|w| w.until <= now) {
            if let Some(waiting) = self.execs.pop_front() {
                self.shared.tell(News::Trail(Box::new(waiting.record)));
            }
        }
    }

    fn handle(&mut self, job: Job) {
        match job {
            Job::Ask { key, attempt } => self.ask(key, attempt),
            Job::Ended { key, time } => self.ended(key, time),
            Job::Entered(entered) => self.look_for_exec(entered, 0),
            Job::Told { engine, told } => self.told(engine, &told),
            Job::Back { engine, session, missed } => self.back(engine, session, missed),
            Job::Lost { engine, why } => {
                let Some(engine) = self.engines.get_mut(engine) else { return };
                engine.session = None;
                let news =
                    News::EngineLost { engine: engine.name(), endpoint: engine.socket.to_string(), why };
                self.shared.tell(news);
            }
        }
    }

    fn back(&mut self, number: usize, session: Arc<Session>, missed: Option<Missed>) {
        let Some(engine) = self.engines.get_mut(number) else { return };
        engine.session = Some(session);
        engine.not_before = Instant::now();
        // A daemon that was started anew listens on a file of its own.
        engine.file = file_of(&engine.place);
        engine.owner = engines::owner(&engine.place);
        engine.left_alone = LEFT_ALONE;
        for (_, file) in lock(&self.shared.sockets).iter_mut().filter(|(name, _)| *name == engine.socket) {
            *file = engine.file;
        }
        if let Some(file) = engine.file {
            // Those that are connected already asked for nothing of what comes now.
            engine.peers.newcomers(file);
        }
        let news = News::EngineBack { engine: engine.name(), endpoint: engine.socket.to_string(), missed };
        self.shared.tell(news);
        // What started or changed meanwhile is asked for again.
        let of_it = |container: &Container| container.engine.as_deref() == Some(engine.place.kind.name());
        let keys: Vec<ContainerKey> = {
            let table = lock(&self.shared.table);
            let wanted = |(_, e): &(ContainerKey, &super::table::Entry)| {
                e.ended.is_none()
                    && (!e.settled || e.joined.is_none() || (missed.is_some() && of_it(&e.container)))
            };
            table.entries().filter(wanted).map(|(key, _)| key).collect()
        };
        for key in keys {
            self.later(Duration::ZERO, Job::Ask { key, attempt: 0 });
        }
    }

    fn later(&mut self, after: Duration, job: Job) {
        if self.later.len() >= MOST {
            // Found again in the table.
            self.shared.look_over.store(true, std::sync::atomic::Ordering::Relaxed);
            return;
        }
        self.later.push_back((Instant::now() + after, job));
    }

    /// An engine that does not answer holds up every question; it is left alone for a while.
    fn failed(&mut self, number: usize, error: &HttpError) -> Asked {
        if matches!(error, HttpError::TimedOut { .. } | HttpError::Connect(_))
            && let Some(engine) = self.engines.get_mut(number)
        {
            engine.not_before = Instant::now() + engine.left_alone;
            engine.left_alone = (engine.left_alone * 2).min(LEFT_ALONE_MOST);
        }
        Asked::Failed(error.to_string())
    }

    // ---- which container it is ----

    fn ask(&mut self, key: ContainerKey, attempt: usize) {
        let Some(claim) = Claim::of(self.shared, key) else { return };
        let mut unanswered = false;
        for number in 0..self.engines.len() {
            let Some((kind, socket, session)) =
                self.engines.get(number).map(|e| (e.place.kind, e.socket.clone(), e.session()))
            else {
                continue;
            };
            let owner = self.engines.get(number).map_or(0, |e| e.owner);
            if !claim.may_be_of(kind) || !claim.is_held_by(owner) {
                // Who holds it says that it is another engine's.
                self.note(key, socket, Asked::NotThere, false);
                continue;
            }
            let Some(session) = session else {
                unanswered = true;
                continue;
            };
            match self.ask_one(number, &session, &claim) {
                Ok(Found::Joined(joined, inspected)) => {
                    self.joined(key, number, &session, joined, inspected);
                    self.note(key, socket, Asked::Known, true);
                    return;
                }
                Ok(Found::NotYet) => {
                    unanswered = true;
                    self.note(key, socket, Asked::NotYet, false);
                }
                Ok(Found::NotThere) => {
                    unanswered |= claim.engine() == Some(kind);
                    self.note(key, socket, Asked::NotThere, false);
                }
                Ok(Found::Another(id)) => {
                    self.shared.tell(News::Disputed { key, id });
                    self.note(key, socket, Asked::NotThere, false);
                }
                Err(error) => {
                    unanswered = true;
                    let asked = self.failed(number, &error);
                    self.note(key, socket, asked, false);
                }
            }
        }
        match AGAIN.get(attempt).filter(|_| unanswered) {
            Some(after) => self.later(*after, Job::Ask { key, attempt: attempt + 1 }),
            None => self.settle(key),
        }
    }

    fn note(&self, key: ContainerKey, socket: Arc<str>, asked: Asked, settled: bool) {
        if let Some(entry) = lock(&self.shared.table).get_mut(key) {
            entry.asked.insert(socket, asked);
            entry.settled |= settled;
        }
    }

    /// Nobody knows more of it: what the kernel and its monitor tell stands, and the trail says so.
    fn settle(&self, key: ContainerKey) {
        let mut record = Record::new(Action::Start, Source::Kernel, 0);
        let (before, joined, read) = {
            let mut table = lock(&self.shared.table);
            let Some(entry) = table.get_mut(key) else { return };
            let before = std::mem::replace(&mut entry.settled, true);
            record.time = entry.container.started.unwrap_or_default();
            name(&mut record, key, &entry.container);
            (before, entry.joined, entry.read.take())
        };
        match (joined, read) {
            // Its engine does not answer now; what `/proc` shows counts.
            (Some(_), Some(read)) => reader::judge(self.shared, key, read.confinement.clone(), Why::Changed),
            (None, _) if !before => self.shared.tell(News::Trail(Box::new(record))),
            _ => {}
        }
    }

    fn ask_one(&self, number: usize, session: &Session, claim: &Claim) -> Result<Found, HttpError> {
        for (id, by_monitor) in claim.ids() {
            if let Some(inspected) = session.inspect(id)? {
                return Ok(match claim.join(&inspected, by_monitor) {
                    Some(joined) if joined == Joined::StartTime && self.is_claimed(id, claim.key) => {
                        Found::Another(id.to_owned())
                    }
                    Some(joined) => Found::Joined(joined, inspected),
                    None if metadata::pid(&inspected).is_some_and(|pid| claim.contradicts(pid)) => {
                        Found::Another(id.to_owned())
                    }
                    None => Found::NotYet,
                });
            }
        }
        if claim.ids().next().is_some() && claim.engine().is_some() {
            return Ok(Found::NotThere);
        }
        self.among_running(number, session, claim)
    }

    /// Where nothing names it: the engine's containers that no other is known to be, by their processes.
    fn among_running(&self, _number: usize, session: &Session, claim: &Claim) -> Result<Found, HttpError> {
        let running = session.running()?;
        let unknown: Vec<Arc<str>> = {
            let table = lock(&self.shared.table);
            running
                .into_iter()
                .filter(|id| table.by_id(id).is_none_or(|key| key == claim.key))
                .take(32)
                .collect()
        };
        for id in unknown {
            if let Some(inspected) = session.inspect(&id)?
                && let Some(joined @ (Joined::Process | Joined::MountNamespace)) =
                    claim.join(&inspected, false)
            {
                return Ok(Found::Joined(joined, inspected));
            }
        }
        Ok(Found::NotThere)
    }

    fn is_claimed(&self, id: &str, by: ContainerKey) -> bool {
        lock(&self.shared.table).by_id(id).is_some_and(|key| key != by)
    }

    fn joined(
        &mut self,
        key: ContainerKey,
        number: usize,
        session: &Session,
        joined: Joined,
        inspected: Value,
    ) {
        let digest = self.digest(session, &inspected);
        reader::update(self.shared, key, |container| {
            metadata::describe(container, session.kind(), &inspected, digest);
        });
        let (read, again): (Option<Arc<Read>>, bool) = {
            let mut table = lock(&self.shared.table);
            let Some(entry) = table.get_mut(key) else { return };
            let again = entry.joined.replace(joined).is_some();
            (entry.read.take(), again)
        };
        if read.is_none() && self.is_better_judged(key, again) {
            return;
        }
        match session.confinement(inspected) {
            Ok((mut confinement, _)) => {
                if let Some(read) = &read {
                    let notes = measured::overlay(&mut confinement, &read.observed, &read.view.host());
                    let mut table = lock(&self.shared.table);
                    let before =
                        table.get_mut(key).map(|e| std::mem::replace(&mut e.contradictions, notes.clone()));
                    drop(table);
                    if !notes.is_empty() && before.is_some_and(|before| before != notes) {
                        self.shared.tell(News::Contradiction { key, what: notes });
                    }
                }
                reader::share_namespaces(&lock(&self.shared.table), key, &mut confinement);
                let why = if again { Why::Changed } else { Why::Engine };
                reader::judge(self.shared, key, confinement, why);
            }
            // What `/proc` showed stands.
            Err(error) => {
                self.failed(number, &error);
            }
        }
    }

    /// Whether what was read of a container, or can be read again, stands above its engine's words alone.
    fn is_better_judged(&self, key: ContainerKey, again: bool) -> bool {
        let Some((first, is_judged, runs)) = lock(&self.shared.table).get(key).map(|entry| {
            let is_judged = entry.judged.as_ref().is_some_and(|judged| !judged.is_provisional);
            (entry.first, is_judged, entry.ended.is_none())
        }) else {
            return true;
        };
        let readable = runs && process::is(first);
        if readable && !again {
            self.shared.read_again(key);
        }
        readable || is_judged
    }

    fn digest(&mut self, session: &Session, inspected: &Value) -> Option<String> {
        let image = inspected.get("Image").and_then(Value::as_str).filter(|id| !id.is_empty())?;
        if session.kind() == EngineKind::Podman {
            return None;
        }
        if let Some(known) = self.digests.get(image) {
            return known.clone();
        }
        let digest = session.image_digest(image).ok()?;
        if self.digests.len() >= MOST {
            self.digests.clear();
        }
        self.digests.insert(image.to_owned(), digest.clone());
        digest
    }

    fn ended(&self, key: ContainerKey, time: u64) {
        let mut record = Record::new(Action::Die, Source::Kernel, Offset::now().wall(time));
        {
            let mut table = lock(&self.shared.table);
            let Some(entry) = table.get_mut(key) else { return };
            entry.read = None;
            // An engine that answers tells of it itself.
            let of_engine = entry.asked.iter().find(|(_, asked)| **asked == Asked::Known);
            let answers =
                |socket: &Arc<str>| self.engines.iter().any(|e| e.socket == *socket && e.session.is_some());
            if of_engine.is_some_and(|(socket, _)| answers(socket)) {
                return;
            }
            name(&mut record, key, &entry.container);
        }
        self.shared.tell(News::Trail(Box::new(record)));
    }

    // ---- the trail ----

    fn told(&mut self, number: usize, told: &Told) {
        let Some(engine) = self.engines.get(number) else { return };
        let (kind, socket, session) = (engine.place.kind, engine.socket.clone(), engine.session());
        let owner = engine.owner;
        let mut record = Record::new(told.action.clone(), Source::Engine, told.time);
        record.engine = Some(kind.name().to_owned());
        record.endpoint = Some(socket.to_string());
        record.id = told.container.as_deref().map(kept);
        record.name = told.name.as_deref().map(kept);
        record.image = told.image.as_deref().map(kept);
        let known = told.container.as_deref().and_then(|id| {
            let table = lock(&self.shared.table);
            let key = table.by_id(id)?;
            let entry = table.get(key)?;
            let its_own = owner == 0 || entry.asked.get(&socket) == Some(&Asked::Known);
            its_own.then(|| (key, entry.container.clone()))
        });
        let key = known.as_ref().map(|(key, _)| *key);
        if let Some((key, container)) = &known {
            name(&mut record, *key, container);
        }
        // The engine's word on its own containers, as it was when it happened.
        record.name = told.name.as_deref().map(kept).or(record.name);
        let id = told.container.as_deref().unwrap_or_default();
        let wants = matches!(
            told.action,
            Action::Create
                | Action::Start
                | Action::ExecCreate
                | Action::ExecStart
                | Action::ExecDie
                | Action::Die
                | Action::Update
                | Action::Rename
        );
        let inspected =
            session.as_ref().filter(|_| wants && !id.is_empty()).and_then(|s| match s.inspect(id) {
                Ok(inspected) => inspected,
                Err(error) => {
                    self.failed(number, &error);
                    None
                }
            });
        let labels: Option<BTreeMap<String, String>> = match (&inspected, &known) {
            (Some(inspected), _) => Some(metadata::labels(inspected)),
            (None, Some((_, container))) => Some(container.labels.clone()),
            (None, None) => None,
        };
        record.details = told.details(labels.as_ref());
        let names = [record.name.as_deref().unwrap_or_default(), id];
        let names: Vec<&str> = names.into_iter().filter(|n| !n.is_empty()).collect();
        let offset = Offset::now().wall(0);
        let at = u64::try_from(told.time.saturating_sub(offset)).unwrap_or(0);
        record.who = self.who(number, at, &told.action, &names);
        if let (Action::Other(_), Some(said)) = (&told.action, &told.command) {
            // `health_status: healthy`.
            record.details.insert("says".to_owned(), kept(said));
        }
        match &told.action {
            Action::Create | Action::Start => {
                record.privileges = inspected.as_ref().map(metadata::privileges);
                // Now its process can be compared.
                if told.action == Action::Start {
                    self.compare_again(id, key);
                }
            }
            Action::Update | Action::Rename | Action::NetworkConnect | Action::NetworkDisconnect => {
                if let Some(key) = key {
                    self.shared.read_again(key);
                }
            }
            Action::ExecCreate | Action::ExecStart | Action::ExecDie => {
                self.told_exec(number, record, told, key, inspected.as_ref(), labels.as_ref());
                return;
            }
            _ => {}
        }
        self.shared.tell(News::Trail(Box::new(record)));
    }

    /// Who asked for it: of those whom the sensor saw connect, or who are connected now and were not before.
    fn who(&mut self, number: usize, at: u64, action: &Action, names: &[&str]) -> Who {
        let Some(engine) = self.engines.get_mut(number) else { return Who::default() };
        let who = lock(&self.shared.clients).who(&engine.socket, at, action, names);
        // Ends of what was asked for before are nobody's doing; no other process is looked through for them.
        let asked_for = !matches!(
            action,
            Action::Die | Action::Oom | Action::ExecDie | Action::NetworkConnect | Action::NetworkDisconnect
        );
        let Some(file) = engine.file.filter(|_| asked_for && who.certainty == Certainty::NotKnown) else {
            return who;
        };
        let now = since_boot();
        for mut actor in engine.peers.newcomers(file) {
            if actor.task.process == std::process::id() {
                continue;
            }
            actor.container = lock(&self.shared.table).by_mount(actor.namespaces.mount);
            let (executable, arguments) = crate::proc::command(&crate::proc::of(actor.task.process));
            let mut clients = lock(&self.shared.clients);
            clients.connected(now, &actor, &engine.socket);
            clients.complete(actor.task, executable, arguments);
        }
        lock(&self.shared.clients).who(&engine.socket, now.max(at), action, names)
    }

    /// An engine says that a container started: those that wait for its word are asked for again.
    fn compare_again(&mut self, id: &str, key: Option<ContainerKey>) {
        let named: Vec<ContainerKey> = {
            let table = lock(&self.shared.table);
            let claimants = table.claimants(id).iter().copied().chain(key);
            claimants.filter(|key| table.get(*key).is_some_and(|e| e.joined.is_none())).collect()
        };
        for key in named {
            self.later(Duration::ZERO, Job::Ask { key, attempt: 1 });
        }
    }

    fn told_exec(
        &mut self,
        number: usize,
        mut record: Record,
        told: &Told,
        key: Option<ContainerKey>,
        inspected: Option<&Value>,
        labels: Option<&BTreeMap<String, String>>,
    ) {
        let session = self.engines.get(number).and_then(Engine::session);
        let told_id = told.trusted("execID", labels).map(str::to_owned);
        // A label may stand where the id does, and Podman gives none: then it is the one that is new to us.
        let ids = match &told_id {
            Some(id) => vec![id.clone()],
            None if told.action == Action::ExecDie => Vec::new(),
            None => exec_ids(inspected),
        };
        let mut exec = Exec { command: told.command.iter().map(|c| kept(c)).collect(), ..Exec::default() };
        for id in ids.iter().rev() {
            let taken =
                self.execs.iter().any(|w| w.record.exec.as_ref().and_then(|e| e.id.as_ref()) == Some(id));
            if told_id.is_none() && taken && told.action == Action::ExecCreate {
                continue;
            }
            if let Some(found) = session.as_ref().and_then(|s| s.inspect_exec(id).ok().flatten()) {
                exec = exec_of(&found);
                break;
            }
        }
        exec.id = exec.id.or(told_id);
        let own_user = inspected.and_then(|i| i.pointer("/Config/User")?.as_str()).unwrap_or_default();
        if told.action != Action::ExecDie {
            record.raised = trail::raised_by_words(
                exec.privileged == Some(true),
                exec.user.as_deref().unwrap_or(""),
                own_user,
            );
        } else {
            let code = ["exitCode", "containerExitCode"].iter().find_map(|k| record.details.get(*k));
            exec.exit_code = code.and_then(|code| code.parse().ok()).or(exec.exit_code);
        }
        record.exec = Some(exec);
        if told.action != Action::ExecStart {
            self.shared.tell(News::Trail(Box::new(record)));
            return;
        }
        // The engine tells of it before the process is there.
        if self.execs.len() >= MOST
            && let Some(oldest) = self.execs.pop_front()
        {
            self.shared.tell(News::Trail(Box::new(oldest.record)));
        }
        self.execs.push_back(Waiting { record, key, engine: number, until: Instant::now() + EXEC_UNSEEN });
    }

    /// A process was put into a container: by which exec of an engine, if by any.
    fn look_for_exec(&mut self, entered: Box<Entered>, attempt: usize) {
        let pid = entered.actor.task.process;
        let monitor_says = entered.monitor.as_ref().and_then(|m| m.exec.as_ref()).map(|(id, _)| id.clone());
        let mut found = None;
        let of_it = |(_, w): &(usize, &Waiting)| w.key.is_none_or(|key| key == entered.key);
        for (at, waiting) in self.execs.iter().enumerate().rev().filter(of_it).take(EXECS_COMPARED) {
            let id = waiting.record.exec.as_ref().and_then(|e| e.id.clone());
            if id.is_some() && id == monitor_says {
                found = Some((at, None));
                break;
            }
            let session = self.engines.get(waiting.engine).and_then(Engine::session);
            let told = id.zip(session).and_then(|(id, session)| session.inspect_exec(&id).ok().flatten());
            if let Some(told) =
                told.filter(|told| told.get("Pid").and_then(Value::as_u64) == Some(u64::from(pid)))
            {
                found = Some((at, Some(told)));
                break;
            }
        }
        if let Some((at, told)) = found
            && let Some(waiting) = self.execs.remove(at)
        {
            let mut record = waiting.record;
            if let Some(told) = told {
                record.exec = Some(exec_of(&told));
            }
            record.source = Source::EngineAndKernel;
            self.put_in(record, &entered);
            return;
        }
        // Only an engine's exec is worth waiting for: the monitor that holds it says so.
        let may_come = entered.monitor.is_some() && self.engines.iter().any(|e| e.session.is_some());
        if let Some(after) = EXEC_AGAIN.get(attempt).filter(|_| may_come && self.entered.len() < MOST) {
            self.entered.push_back((Instant::now() + *after, attempt + 1, entered));
            return;
        }
        let mut record = Record::new(Action::ExecStart, Source::Kernel, Offset::now().wall(entered.time));
        if let Some(monitor) = &entered.monitor {
            record.engine = Some(monitor.engine.to_owned());
        }
        self.put_in(record, &entered);
    }

    /// Completes an exec's entry with the process that the kernel saw, and tells it.
    fn put_in(&self, mut record: Record, entered: &Entered) {
        let mut exec = record.exec.take().unwrap_or_default();
        if let Some((id, _)) = entered.monitor.as_ref().and_then(|m| m.exec.as_ref()) {
            exec.id = exec.id.or_else(|| Some(id.clone()));
        }
        if let Some(asked) = &entered.asked {
            exec.terminal = exec.terminal.or(asked.get("terminal").and_then(Value::as_bool));
            let uid = asked.pointer("/user/uid").and_then(Value::as_u64);
            exec.user = exec.user.or_else(|| uid.map(|uid| uid.to_string()));
        }
        if exec.command.is_empty() {
            exec.command = entered.arguments.iter().take(64).map(|a| kept(a)).collect();
        }
        exec.task = Some(entered.actor.task);
        exec.credentials = Some(entered.actor.credentials);
        record.exec = Some(exec);
        {
            let table = lock(&self.shared.table);
            if let Some(entry) = table.get(entered.key) {
                name(&mut record, entered.key, &entry.container);
                let (actor, host) = (&entered.actor, &self.shared.host_namespaces);
                let shown = trail::raised_in_kernel(
                    &entry.credentials,
                    &entry.namespaces,
                    &actor.credentials,
                    &actor.namespaces,
                    host,
                );
                record.raised.extend(shown);
            }
        }
        if record.who.certainty == Certainty::NotKnown && entered.monitor.is_none() {
            let client = Client {
                task: entered.actor.task,
                name: entered.actor.name.clone(),
                arguments: entered.arguments.iter().take(64).map(|a| kept(a)).collect(),
                uid: entered.actor.credentials.uid,
                login_uid: entered.actor.login_uid,
                ..Client::default()
            };
            record.who = Who { certainty: Certainty::Itself, clients: vec![client] };
        }
        self.shared.tell(News::Trail(Box::new(record)));
    }
}

fn file_of(place: &Place) -> Option<SocketFile> {
    match &place.endpoint {
        Endpoint::Unix(path) => SocketFile::of(path),
        Endpoint::Tcp(_) => None,
    }
}

/// Names the container in an entry of the trail, as far as it is known.
pub(super) fn name(record: &mut Record, key: ContainerKey, container: &Container) {
    record.container = Some(key);
    record.engine = record.engine.take().or_else(|| container.engine.clone());
    record.id = record.id.take().or_else(|| container.id.clone());
    record.name = record.name.take().or_else(|| container.name.clone());
    record.image = record.image.take().or_else(|| container.image.clone());
}

fn exec_ids(inspected: Option<&Value>) -> Vec<String> {
    let ids = inspected.and_then(|i| i.get("ExecIDs")?.as_array());
    ids.into_iter().flatten().filter_map(|id| id.as_str().map(str::to_owned)).take(256).collect()
}

/// `GET /exec/ID/json` of both engines.
fn exec_of(found: &Value) -> Exec {
    let config = found.get("ProcessConfig").unwrap_or(&Value::Null);
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(kept);
    let arguments = config.get("arguments").and_then(Value::as_array).into_iter().flatten();
    let words = text(config.get("entrypoint")).into_iter().chain(arguments.filter_map(|a| text(Some(a))));
    Exec {
        id: text(found.get("ID")),
        privileged: config.get("privileged").and_then(Value::as_bool),
        user: text(config.get("user")),
        command: words.take(64).collect(),
        terminal: config.get("tty").and_then(Value::as_bool),
        task: None,
        credentials: None,
        exit_code: found
            .get("ExitCode")
            .and_then(Value::as_i64)
            .filter(|_| found.get("Running") == Some(&Value::Bool(false))),
    }
}

/// What an engine's answer comes to.
enum Found {
    Joined(Joined, Value),
    /// It may be this one, and cannot be compared yet.
    NotYet,
    NotThere,
    /// It is another, whatever the path of the cgroup says.
    Another(String),
}

/// What is known of a container by which an engine's can be seen to be the same.
struct Claim {
    key: ContainerKey,
    first: Task,
    namespaces: Namespaces,
    ended: bool,
    /// Nanoseconds since 1970.
    started: Option<i64>,
    monitor: Option<Arc<Monitor>>,
    of_monitor: Option<String>,
    in_path: Option<String>,
}

impl Claim {
    fn of(shared: &Shared, key: ContainerKey) -> Option<Claim> {
        let table = lock(&shared.table);
        let entry = table.get(key)?;
        let in_path = entry.container.cgroup_path.as_deref().and_then(id_in_path).map(str::to_owned);
        let of_monitor = entry.monitor.as_ref().and_then(|m| m.container(in_path.as_deref()).0);
        Some(Claim {
            key,
            first: entry.first,
            namespaces: entry.namespaces,
            ended: entry.ended.is_some(),
            started: entry.container.started,
            monitor: entry.monitor.clone(),
            of_monitor,
            in_path,
        })
    }

    /// Names to ask for, the surest first, and whether an object of the kernel's stands behind it.
    fn ids(&self) -> impl Iterator<Item = (&str, bool)> {
        let path = self.in_path.as_deref().filter(|id| self.of_monitor.as_deref() != Some(*id));
        self.of_monitor.as_deref().map(|id| (id, true)).into_iter().chain(path.map(|id| (id, false)))
    }

    /// Whose the process is that holds it.
    fn engine(&self) -> Option<EngineKind> {
        match self.monitor.as_ref()?.engine {
            "docker" => Some(EngineKind::Docker),
            "podman" => Some(EngineKind::Podman),
            "containerd" => Some(EngineKind::Containerd),
            _ => Some(EngineKind::Crio),
        }
    }

    fn may_be_of(&self, kind: EngineKind) -> bool {
        self.engine().is_none_or(|engine| engine == kind)
    }

    /// Whether an engine of this user's may be believed about it.
    fn is_held_by(&self, owner: u32) -> bool {
        owner == 0 || self.monitor.as_ref().and_then(|m| m.uid) == Some(owner)
    }

    fn join(&self, inspected: &Value, by_monitor: bool) -> Option<Joined> {
        if let Some(pid) = metadata::pid(inspected) {
            if pid == self.first.process && (self.ended || process::is(self.first)) {
                return Some(Joined::Process);
            }
            if self.shares_namespace(pid) {
                return Some(Joined::MountNamespace);
            }
            return (by_monitor && !self.contradicts(pid)).then_some(Joined::Monitor);
        }
        if by_monitor {
            return Some(Joined::Monitor);
        }
        let engine = metadata::started(inspected)?;
        (self.ended && engine.abs_diff(self.started?) < SAME_START.unsigned_abs())
            .then_some(Joined::StartTime)
    }

    /// Whether a process of the engine's is in the container's mount namespace: as long as both are there, the number
    /// is of one namespace only.
    fn shares_namespace(&self, pid: u32) -> bool {
        let before = process::started(pid);
        let mount = sources::process::read_namespace(pid, "mnt").ok();
        let same = self.namespaces.mount != 0 && mount == Some(u64::from(self.namespaces.mount));
        same && !self.ended && before.is_some() && process::started(pid) == before
    }

    /// Whether the engine's process is seen to be in another container.
    fn contradicts(&self, pid: u32) -> bool {
        let mount = sources::process::read_namespace(pid, "mnt").ok();
        let other = |mount: u64| self.namespaces.mount != 0 && mount != u64::from(self.namespaces.mount);
        pid != self.first.process && mount.is_some_and(other)
    }
}
