//! The sensor's events, made of what `/proc` shows of a process, and news that is waited for.
#![allow(dead_code, reason = "each test file uses its part")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use confinement::{EngineKind, Host};
use sensor::event::{Actor, ContainerKey, Credentials, Entry, Event, Lane, Namespaces, Task, What};
use sources::engine_api::Endpoint;
use watch::containers::{Containers, Live, News, Options};
use watch::trail::Record;

pub(crate) fn cgroup_path(pid: u32) -> String {
    let text = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    text.lines().find_map(|l| l.strip_prefix("0::")).unwrap_or_default().to_owned()
}

pub(crate) fn namespaces(pid: u32) -> Namespaces {
    let number = |name: &str| {
        let link = std::fs::read_link(format!("/proc/{pid}/ns/{name}")).unwrap();
        let text = link.to_string_lossy().into_owned();
        text.split(['[', ']']).nth(1).unwrap().parse().unwrap()
    };
    Namespaces {
        user: number("user"),
        mount: number("mnt"),
        pid: number("pid"),
        network: number("net"),
        ipc: number("ipc"),
        uts: number("uts"),
        cgroup: number("cgroup"),
    }
}

pub(crate) fn task(pid: u32) -> Task {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let ticks: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    Task { process: pid, thread: pid, start: ticks * 10_000_000 + 1_234 }
}

/// The process as the sensor would tell of it.
pub(crate) fn actor(pid: u32, container: Option<ContainerKey>) -> Actor {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = |name: &str| {
        let found = status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':'));
        found.unwrap().trim().to_owned()
    };
    let set = |name: &str| u64::from_str_radix(&line(name), 16).unwrap();
    let ids: Vec<u32> = line("Uid").split_whitespace().map(|n| n.parse().unwrap()).collect();
    let own = namespaces(pid);
    Actor {
        task: task(pid),
        parent: task(line("PPid").parse().unwrap()),
        name: line("Name"),
        credentials: Credentials {
            uid: ids[0],
            euid: ids[1],
            effective: set("CapEff"),
            permitted: set("CapPrm"),
            inheritable: set("CapInh"),
            bounding: set("CapBnd"),
            ambient: set("CapAmb"),
            no_new_privileges: line("NoNewPrivs") == "1",
            seccomp: line("Seccomp").parse().unwrap(),
            user_namespace: own.user,
            ..Credentials::default()
        },
        namespaces: own,
        container,
        ..Actor::default()
    }
}

pub(crate) fn event(pid: u32, container: Option<ContainerKey>, what: What) -> Event {
    event_by(actor(pid, container), what)
}

pub(crate) fn event_by(actor: Actor, what: What) -> Event {
    let time = watch::clock::since_boot();
    Event { time, lane: Lane::Rare, cpu: 0, actor, count: 1, entry: Entry::Kernel, result: 0, what }
}

/// What was done, as the sensor writes it.
pub(crate) fn what(json: serde_json::Value) -> What {
    serde_json::from_value(json).unwrap()
}

pub(crate) fn execve(
    pid: u32,
    container: Option<ContainerKey>,
    path: &str,
    words: &[&str],
    entered: bool,
) -> Event {
    let json = serde_json::json!({"event": "execve", "file": {"path": path}, "asked": path, "arguments": words,
        "environment": [], "directory": "/", "terminal": null, "session": 0, "group": 0, "before": {},
        "entered": entered});
    event(pid, container, what(json))
}

/// One host for all that is judged: what this machine is decides nothing here.
pub(crate) fn host() -> Arc<Host> {
    Arc::new(Host::unseen())
}

/// Containers that are watched, and all they told.
pub(crate) struct Watching {
    pub(crate) containers: Containers,
    pub(crate) news: Vec<News>,
}

impl Watching {
    pub(crate) fn start(engines: Vec<(EngineKind, Endpoint)>) -> Watching {
        Watching::with(Options { engines, discover: false, host: Some(host()), ..Options::default() })
    }

    pub(crate) fn with(options: Options) -> Watching {
        Watching { containers: Containers::start(options), news: Vec::new() }
    }

    /// Waits until something is told.
    #[track_caller]
    pub(crate) fn until<T>(&mut self, what: &str, found: impl Fn(&News) -> Option<T>) -> T {
        let started = Instant::now();
        loop {
            self.news.extend(self.containers.take_news());
            if let Some(found) = self.news.iter().find_map(&found) {
                return found;
            }
            assert!(started.elapsed() < Duration::from_secs(15), "{what} was not told: {:#?}", self.news);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub(crate) fn until_back(&mut self) {
        self.until("that the engine answers", |n| matches!(n, News::EngineBack { .. }).then_some(()));
    }

    /// Waits until nothing more is expected of a container.
    #[track_caller]
    pub(crate) fn until_ready(&mut self, key: ContainerKey) -> Live {
        let started = Instant::now();
        loop {
            let all = self.containers.all();
            if let Some(found) = all.iter().find(|live| live.container.key == key && live.ready) {
                return found.clone();
            }
            assert!(started.elapsed() < Duration::from_secs(15), "{all:#?}");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[track_caller]
    pub(crate) fn record(&mut self, what: &str, of: impl Fn(&Record) -> bool) -> Record {
        self.until(what, |news| match news {
            News::Trail(record) if of(record) => Some((**record).clone()),
            _ => None,
        })
    }
}
