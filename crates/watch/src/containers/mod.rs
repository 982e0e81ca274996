//! Containers: which one a [`ContainerKey`] of the sensor is, and what is known of it. `see` enters what the kernel
//! tells; two threads find out the rest and never hold up who calls:
//!
//! * the reader ([`reader`]) looks at `/proc` at once, because a container may live for a millisecond: confinement,
//!   and the process that holds it for its engine;
//! * the asker ([`asker`]) asks the engines ([`engines`] follows their events, one thread each), joins their answers
//!   with the kernel's objects, and keeps the engines' audit trail.
//!
//! Both judge what they find with [`crate::exposure`]. An answer of an engine belongs to a container when its process
//! is the container's first process, or is in its mount namespace, each told from its like by when the process
//! started; or when the process that holds the container (conmon, a containerd shim) says so. The path of a cgroup
//! alone proves nothing: whoever may make cgroups may give one any name.
//!
//! What is found late is news of its own ([`News`]), and never changes what was said before. Everything here is
//! bounded; what did not fit is counted and told.

mod asker;
mod engines;
mod metadata;
mod monitor;
mod peers;
mod process;
mod queue;
mod reader;
mod table;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use confinement::{EngineKind, Host};
use sensor::event::{Actor, Address, ContainerKey, Credentials, Event, FileId, Namespaces, What};
use sources::engine_api::Endpoint;
use techniques::solver::Depth;

use crate::alert::{Container, Exposure};
use crate::clock::Offset;
use crate::exposure::{Judge, Judged};
use crate::trail::clients::Clients;
use crate::trail::{self, Action, Record};
use peers::SocketFile;
use queue::{Queue, lock};
use table::{Limits, Table};

/// How to look for containers.
#[derive(Clone, Debug)]
pub struct Options {
    /// Engines to ask beside those whose sockets are found.
    pub engines: Vec<(EngineKind, Endpoint)>,
    /// Look for the engines' usual sockets, those of rootless engines too, now and again.
    pub discover: bool,
    /// Facts of this machine; None: they are read, by the audit's probes.
    pub host: Option<Arc<Host>>,
    /// For how long a container that ended is still found.
    pub keep_ended: Duration,
    /// How many of those are kept.
    pub most_ended: usize,
    /// How many containers are kept in all.
    pub most: usize,
    /// How many questions may wait; what does not fit is found again by looking over the table.
    pub queue: usize,
    /// How much news is kept for who takes it.
    pub most_news: usize,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            engines: Vec::new(),
            discover: true,
            host: None,
            keep_ended: Duration::from_secs(600),
            most_ended: 2048,
            most: 16_384,
            queue: 8192,
            most_news: 16_384,
        }
    }
}

/// What was found out since it was last asked for.
#[derive(Clone, Debug, PartialEq)]
pub enum News {
    /// Metadata became known, or changed.
    Known { key: ContainerKey, container: Arc<Container> },
    /// The verdict of the whole became known, or changed: `open`, `held by 2`, `undetermined`.
    Verdict { key: ContainerKey, before: Option<String>, now: String, why: Why },
    /// An entry of the engines' audit trail; [`Record::notice`] words those that are to be alerted on.
    Trail(Box<Record>),
    /// An engine does not answer any more.
    EngineLost { engine: &'static str, endpoint: String, why: String },
    /// An engine answers, for the first time or again. Of `missed` nothing is known but what its own log still held.
    EngineBack { engine: &'static str, endpoint: String, missed: Option<Missed> },
    /// The engine's words and the kernel contradict each other; the kernel's stand.
    Contradiction { key: ContainerKey, what: Vec<String> },
    /// The path of its cgroup names a container of an engine that is another one.
    Disputed { key: ContainerKey, id: String },
    /// Something did not fit and is lost, or was forgotten to make room.
    Lost { what: &'static str, count: u64 },
    /// This part cannot do its work.
    Failed { what: String },
}

/// Why a verdict is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// `/proc` was read at the container's start.
    Read,
    /// An engine said more than `/proc` shows.
    Engine,
    /// Its mounts or limits were changed.
    Changed,
    /// Another container opened or closed a path through it.
    Neighbour,
}

/// The time in which an engine's events were not heard, nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    pub from: i64,
    pub until: i64,
    /// The engine has told of that time afterwards, as far as it kept it: Podman keeps a log, Docker's last 256 events
    /// are gone where the daemon itself was.
    pub told_afterwards: bool,
}

/// How an engine's container and the sensor's were seen to be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Joined {
    /// The engine's process is the container's first process.
    Process,
    /// The engine's process is in the container's mount namespace.
    MountNamespace,
    /// The process that holds the container says so.
    Monitor,
    /// It ended before it could be compared: its cgroup names it, and the engine says that it started at that moment,
    /// and no other container claims it.
    StartTime,
}

/// What an engine said when it was asked for a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It is its own.
    Known,
    /// It has no such container.
    NotThere,
    /// It has one of that name whose processes cannot be compared yet.
    NotYet,
    Failed(String),
}

/// What is known of a container, for a live view.
#[derive(Clone, Debug)]
pub struct Live {
    pub container: Arc<Container>,
    /// Nanoseconds since boot.
    pub started: u64,
    pub ended: Option<u64>,
    pub depth: Option<Depth>,
    pub joined: Option<Joined>,
    /// By socket, for every engine that was asked.
    pub asked: Vec<(Arc<str>, Asked)>,
    /// Every engine here was asked, and nothing more is expected.
    pub ready: bool,
}

/// A container of which only its key is known.
pub(crate) fn nothing_known(key: ContainerKey) -> Container {
    Container {
        key,
        id: None,
        name: None,
        image: None,
        image_digest: None,
        engine: None,
        pod: None,
        namespace: None,
        labels: Default::default(),
        privileged: None,
        started: None,
        cgroup_path: None,
        verdict: None,
    }
}

/// Shared by the threads.
struct Shared {
    options: Options,
    table: Mutex<Table>,
    judge: Mutex<Judge>,
    clients: Mutex<Clients>,
    news: Queue<News>,
    to_read: Queue<reader::Job>,
    to_ask: Queue<asker::Job>,
    /// A question did not fit; the table is looked over for those that wait.
    look_over: AtomicBool,
    /// Containers changed; paths through others are to be judged anew.
    neighbours: AtomicBool,
    host: OnceLock<Arc<Host>>,
    host_namespaces: Namespaces,
    /// Sockets that engines listen on, with the file of each.
    sockets: Mutex<Vec<(Arc<str>, Option<SocketFile>)>>,
    evictions_told: AtomicU64,
    stop: AtomicBool,
}

impl Shared {
    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
    fn tell(&self, news: News) {
        self.news.push(news);
    }
    fn host(&self) -> Arc<Host> {
        self.host.get().cloned().unwrap_or_else(|| Arc::new(Host::unseen()))
    }
    fn read(&self, job: reader::Job) {
        if !self.to_read.push(job) {
            self.look_over.store(true, Ordering::Relaxed);
        }
    }
    /// What confines a container may be another now.
    fn read_again(&self, key: ContainerKey) {
        let mut table = lock(&self.table);
        let Some(entry) = table.get_mut(key).filter(|entry| entry.ended.is_none()) else { return };
        entry.generation += 1;
        let waits = std::mem::replace(&mut entry.waits, true);
        drop(table);
        if !waits {
            self.read(reader::Job::Read(key));
        }
    }
    fn ask(&self, job: asker::Job) {
        if !self.to_ask.push(job) {
            self.look_over.store(true, Ordering::Relaxed);
        }
    }
}

/// The containers of this machine. Ends its threads when it is dropped.
pub struct Containers {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Containers {
    /// Starts the threads. Where they cannot be started, that is the first news, and nothing becomes known but what
    /// the sensor tells.
    pub fn start(options: Options) -> Containers {
        let limits = Limits {
            keep_ended: u64::try_from(options.keep_ended.as_nanos()).unwrap_or(u64::MAX),
            most_ended: options.most_ended,
            most: options.most.max(1),
        };
        let host = OnceLock::new();
        if let Some(known) = &options.host {
            let _ = host.set(known.clone());
        }
        let host_namespaces = crate::proc::host_namespaces(std::path::Path::new("/proc"));
        let shared = Arc::new(Shared {
            table: Mutex::new(Table::new(limits, host_namespaces)),
            judge: Mutex::default(),
            clients: Mutex::default(),
            news: Queue::new(options.most_news),
            to_read: Queue::new(options.queue),
            to_ask: Queue::new(options.queue),
            look_over: AtomicBool::new(false),
            neighbours: AtomicBool::new(false),
            host,
            host_namespaces,
            sockets: Mutex::default(),
            evictions_told: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            options,
        });
        let mut containers = Containers { shared, threads: Vec::new() };
        containers.thread("containers-read", reader::run);
        containers.thread("containers-ask", asker::run);
        containers
    }

    fn thread(&mut self, name: &str, run: fn(&Arc<Shared>)) {
        let shared = self.shared.clone();
        match std::thread::Builder::new().name(name.to_owned()).spawn(move || run(&shared)) {
            Ok(thread) => self.threads.push(thread),
            Err(error) => {
                self.shared
                    .tell(News::Failed { what: format!("the thread {name} cannot be started: {error}") });
            }
        }
    }

    /// Takes in an event of the sensor. Never waits for a file or an engine.
    pub fn see(&self, event: &Event) {
        match &event.what {
            What::ContainerStarted { key, cgroup_path, .. } => {
                let path = Some(cgroup_path.as_str()).filter(|path| !path.is_empty());
                self.enter(*key, event.time, &event.actor, path);
            }
            What::ContainerEnded { key } => {
                self.end(*key, event.time);
            }
            What::Execve { file, arguments, entered, before, .. } if event.succeeded() => {
                if let Some(key) = event.actor.container {
                    // Its start was lost, or was before the sensor's.
                    self.enter(key, event.time, &event.actor, None);
                    if *entered {
                        let entered = trail_entered(event, key, arguments);
                        self.shared.read(reader::Job::Entered(Box::new(entered)));
                    } else if gains(before, &event.actor.credentials) {
                        self.kernel_record(event, key, Action::Capabilities);
                    }
                } else if is_client(&file.path.text) {
                    lock(&self.shared.clients).executed(event.time, &event.actor, &file.path.text, arguments);
                }
            }
            What::Connect { address: Address::Unix { path }, bound, peer_file, .. } if event.succeeded() => {
                // The listener's own name for it, where the kernel tells: the caller may use any other.
                self.connected(event, &bound.as_ref().unwrap_or(path).text, *peer_file);
            }
            What::Mount { .. }
            | What::Umount { .. }
            | What::MoveMount { .. }
            | What::MountSetattr { .. }
            | What::PivotRoot { .. }
                if event.succeeded() =>
            {
                self.mounted(event);
            }
            _ => {}
        }
    }

    fn enter(&self, key: ContainerKey, time: u64, actor: &Actor, cgroup_path: Option<&str>) {
        let mut table = lock(&self.shared.table);
        if table.get(key).is_some() {
            if let Some(path) = cgroup_path {
                table.place(key, path);
            }
            return;
        }
        let mut container = nothing_known(key);
        container.started =
            Some(Offset::now().wall(if actor.task.start == 0 { time } else { actor.task.start }));
        container.cgroup_path = cgroup_path.map(str::to_owned);
        table.insert(key, time, actor, container);
        drop(table);
        self.shared.read(reader::Job::Read(key));
    }

    fn end(&self, key: ContainerKey, time: u64) {
        if lock(&self.shared.table).end(key, time) {
            self.shared.neighbours.store(true, Ordering::Relaxed);
            self.shared.ask(asker::Job::Ended { key, time });
        }
    }

    fn connected(&self, event: &Event, path: &str, file: FileId) {
        // This program asks engines too.
        if event.actor.task.process == std::process::id() {
            return;
        }
        let file = SocketFile { device: file.device, inode: file.inode };
        // `/var/run` is a link to `/run` (file-hierarchy(7)).
        let path = path.strip_prefix("/var").filter(|p| p.starts_with("/run/")).unwrap_or(path);
        let known = {
            let sockets = lock(&self.shared.sockets);
            let of = |(name, of): &&(Arc<str>, Option<SocketFile>)| *of == Some(file) || **name == *path;
            sockets.iter().find(of).map(|(name, _)| name.clone())
        };
        if let Some(socket) = known {
            lock(&self.shared.clients).connected(event.time, &event.actor, &socket);
            self.shared.read(reader::Job::Client(event.actor.task));
        }
    }

    fn mounted(&self, event: &Event) {
        // Whoever is in the container's mount namespace changes it, from inside or out.
        let table = lock(&self.shared.table);
        let key = event.actor.container.or_else(|| table.by_mount(event.actor.namespaces.mount));
        drop(table);
        if let Some(key) = key {
            let action =
                if matches!(event.what, What::Umount { .. }) { Action::Umount } else { Action::Mount };
            self.kernel_record(event, key, action);
            self.shared.read_again(key);
        }
    }

    /// An entry of the trail that the kernel alone tells.
    fn kernel_record(&self, event: &Event, key: ContainerKey, action: Action) {
        let mut record = Record::new(action.clone(), trail::Source::Kernel, Offset::now().wall(event.time));
        record.details = details(&event.what);
        record.who = trail::Who {
            certainty: trail::Certainty::Itself,
            clients: vec![trail::Client {
                task: event.actor.task,
                name: event.actor.name.clone(),
                uid: event.actor.credentials.uid,
                login_uid: event.actor.login_uid,
                container: event.actor.container,
                ..trail::Client::default()
            }],
        };
        let table = lock(&self.shared.table);
        if let Some(entry) = table.get(key) {
            asker::name(&mut record, key, &entry.container);
            if action == Action::Capabilities {
                let (actor, host) = (&event.actor, &self.shared.host_namespaces);
                let (first, own) = (&entry.credentials, &entry.namespaces);
                record.raised =
                    trail::raised_in_kernel(first, own, &actor.credentials, &actor.namespaces, host);
            }
        }
        drop(table);
        self.shared.tell(News::Trail(Box::new(record)));
    }

    /// What is known of a container now; None where the sensor has not told of it, or it was forgotten.
    pub fn get(&self, key: ContainerKey) -> Option<Arc<Container>> {
        lock(&self.shared.table).get(key).map(|entry| entry.container.clone())
    }

    /// Whether a technique is open for a process of a container, by what was known at this moment.
    pub fn exposure(&self, key: ContainerKey, technique: &str, actor: &Credentials) -> Exposure {
        let (judged, first, own) = {
            let table = lock(&self.shared.table);
            let Some(entry) = table.get(key) else {
                return Exposure::NotKnown { missing: vec!["the container is not known".to_owned()] };
            };
            (entry.judged.clone(), entry.actor.clone(), entry.credentials.user_namespace)
        };
        let judged = judged.unwrap_or_else(|| {
            let host = self.shared.host();
            let judged = lock(&self.shared.judge).judge_at_start(&first, &self.shared.host_namespaces, &host);
            let judged = Arc::new(judged);
            if let Some(entry) = lock(&self.shared.table).get_mut(key) {
                entry.judged.get_or_insert_with(|| judged.clone());
            }
            judged
        });
        if !judged.is_exceeded_by(own, actor) {
            return judged.exposure(technique);
        }
        lock(&self.shared.judge).exposure(&judged, technique, own, actor)
    }

    /// What was judged of a container; None while nothing was read of it.
    pub fn judged(&self, key: ContainerKey) -> Option<Arc<Judged>> {
        lock(&self.shared.table).get(key)?.judged.clone().filter(|judged| !judged.is_provisional)
    }

    /// All that is kept of one container.
    pub fn live(&self, key: ContainerKey) -> Option<Live> {
        lock(&self.shared.table).get(key).map(live)
    }

    /// What was found out since the last call.
    pub fn take_news(&self) -> Vec<News> {
        let mut news = self.shared.news.drain();
        let lost = self.shared.news.take_refused();
        if lost > 0 {
            news.push(News::Lost { what: "news of containers that was not taken in time", count: lost });
        }
        let lost = self.shared.to_ask.take_refused();
        if lost > 0 {
            news.push(News::Lost {
                what: "engines' events and questions that did not fit; containers are looked over again",
                count: lost,
            });
        }
        let lost = self.shared.to_read.take_refused();
        if lost > 0 {
            news.push(News::Lost {
                what: "containers to read that did not fit; they are looked over again",
                count: lost,
            });
        }
        let evicted = lock(&self.shared.table).crowded_out;
        let told = self.shared.evictions_told.swap(evicted, Ordering::Relaxed);
        if evicted > told {
            news.push(News::Lost {
                what: "containers that were forgotten before their time to make room",
                count: evicted - told,
            });
        }
        news
    }

    /// Every container that is kept, for a live view.
    pub fn all(&self) -> Vec<Live> {
        let table = lock(&self.shared.table);
        let mut all: Vec<Live> = table.entries().map(|(_, entry)| live(entry)).collect();
        drop(table);
        all.sort_by_key(|live| (live.started, live.container.key));
        all
    }

    /// How many containers were forgotten to make room, since the start.
    pub fn evicted(&self) -> u64 {
        lock(&self.shared.table).evicted
    }
}

impl Drop for Containers {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.to_read.wake();
        self.shared.to_ask.wake();
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

fn live(entry: &table::Entry) -> Live {
    Live {
        container: entry.container.clone(),
        started: entry.started,
        ended: entry.ended,
        depth: entry.verdict_depth,
        joined: entry.joined,
        asked: entry.asked.iter().map(|(socket, asked)| (socket.clone(), asked.clone())).collect(),
        ready: entry.settled,
    }
}

/// Whether a program gave its process capabilities that it had not: a set-user-ID program, file capabilities.
fn gains(before: &Credentials, after: &Credentials) -> bool {
    // Without a user namespace nothing is known of before.
    let comparable = before.user_namespace != 0 && before.user_namespace == after.user_namespace;
    comparable && after.permitted & !before.permitted != 0
}

fn trail_entered(event: &Event, key: ContainerKey, arguments: &[String]) -> reader::Entered {
    reader::Entered {
        key,
        time: event.time,
        actor: event.actor.clone(),
        arguments: arguments.to_vec(),
        monitor: None,
        asked: None,
    }
}

/// Programs by which people speak to engines. A name is only a hint here: what it was started with is compared with
/// what the engine says was done.
fn is_client(executable: &str) -> bool {
    const CLIENTS: &[&str] =
        &["docker", "podman", "nerdctl", "ctr", "crictl", "docker-compose", "podman-remote", "kubectl"];
    executable.rsplit('/').next().is_some_and(|name| CLIENTS.contains(&name))
}

/// What a mount or capability event says, for its entry in the trail.
fn details(what: &What) -> std::collections::BTreeMap<String, String> {
    let pairs: Vec<(&str, String)> = match what {
        What::Mount { source, target, file_system, flags, .. } => vec![
            ("source", source.text.clone()),
            ("target", target.text.clone()),
            ("file-system", file_system.text.clone()),
            ("flags", format!("{flags:#x}")),
        ],
        What::Umount { target, flags, .. } => {
            vec![("target", target.text.clone()), ("flags", format!("{flags:#x}"))]
        }
        What::MoveMount { from, to, .. } => vec![("source", from.text.clone()), ("target", to.text.clone())],
        What::MountSetattr { path, set, clear, .. } => vec![
            ("target", path.text.clone()),
            ("set", format!("{set:#x}")),
            ("clear", format!("{clear:#x}")),
        ],
        What::PivotRoot { new_root, .. } => vec![("new-root", new_root.text.clone())],
        What::Execve { file, arguments, .. } => {
            vec![("executable", file.path.text.clone()), ("arguments", arguments.join(" "))]
        }
        _ => Vec::new(),
    };
    pairs
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
