//! Engines that answer from a record, late, wrongly, or not at all; and ten thousand containers.

mod support;

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use confinement::EngineKind;
use sensor::event::{Actor, ContainerKey, Credentials, FileId, Namespaces, Task, What};
use serde_json::{Value, json};
use sources::engine_api::Endpoint;
use support::{Watching, event, event_by, execve, host};
use watch::alert::Exposure;
use watch::containers::{Asked, Joined, News, Options};
use watch::trail::{Action, Source};

/// An engine on a socket of its own that answers GET requests from a table.
struct Engine {
    socket: PathBuf,
    answers: Arc<Mutex<HashMap<String, Value>>>,
    /// Streams of events that are open.
    streams: Arc<Mutex<Vec<UnixStream>>>,
    asked: Arc<AtomicU64>,
    hangs: Arc<AtomicBool>,
    _folder: tempfile::TempDir,
}

impl Engine {
    fn start() -> Engine {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine {
            socket: folder.path().join("docker.sock"),
            answers: Arc::default(),
            streams: Arc::default(),
            asked: Arc::default(),
            hangs: Arc::default(),
            _folder: folder,
        };
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        engine.answer(
            "/version",
            json!({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}),
        );
        engine.answer(
            "/info",
            json!({"Name": hostname.trim(), "KernelVersion": release.trim(),
            "SecurityOptions": ["name=seccomp,profile=default"]}),
        );
        engine.answer("/containers/json", json!([]));
        engine.answer("/networks/bridge", json!({"Options": {}}));
        engine.listen();
        engine
    }

    fn answer(&self, path: &str, value: Value) {
        self.answers.lock().unwrap().insert(path.to_owned(), value);
    }

    fn listen(&self) {
        let _ = std::fs::remove_file(&self.socket);
        let listener = UnixListener::bind(&self.socket).unwrap();
        let (answers, streams) = (self.answers.clone(), self.streams.clone());
        let (asked, hangs) = (self.asked.clone(), self.hangs.clone());
        // Ends with the test's process; it owns nothing that outlives it.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answers, streams) = (answers.clone(), streams.clone());
                let (asked, hangs) = (asked.clone(), hangs.clone());
                std::thread::spawn(move || serve(stream, &answers, &streams, &asked, &hangs));
            }
        });
    }

    fn place(&self) -> Vec<(EngineKind, Endpoint)> {
        vec![(EngineKind::Docker, Endpoint::Unix(self.socket.clone()))]
    }

    fn tell(&self, event: &Value) {
        for stream in self.streams.lock().unwrap().iter_mut() {
            let line = format!("{event}\n");
            // Who follows may have gone.
            let _ = stream.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes());
        }
    }

    /// Breaks every stream of events.
    fn cut(&self) {
        for stream in self.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn serve(
    mut stream: UnixStream,
    answers: &Mutex<HashMap<String, Value>>,
    streams: &Mutex<Vec<UnixStream>>,
    asked: &AtomicU64,
    hangs: &AtomicBool,
) {
    let mut line = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    if reader.read_line(&mut line).is_err() {
        return;
    }
    let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
    let path = path.split('?').next().unwrap_or_default();
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    if path == "/events" {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        streams.lock().unwrap().push(stream);
        return;
    }
    asked.fetch_add(1, Ordering::Relaxed);
    while hangs.load(Ordering::Relaxed) {
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = answers.lock().unwrap().get(path).cloned();
    let (status, body) = match answer {
        Some(Value::String(raw)) => ("200 OK", raw),
        Some(value) => ("200 OK", value.to_string()),
        None => ("404 Not Found", r#"{"message":"No such container"}"#.to_owned()),
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(body.as_bytes());
}

/// A container of nobody's, with an id in the path of its cgroup.
fn container(number: u32) -> (ContainerKey, String, sensor::event::Event) {
    let key = ContainerKey(u64::from(number));
    let id = format!("{number:064x}");
    let actor = Actor {
        // Beyond the largest number a process can have (`PID_MAX_LIMIT`).
        task: Task { process: 5_000_000 + number, thread: 1, start: u64::from(number) + 1 },
        namespaces: Namespaces {
            user: 0xEFFF_FFFD,
            mount: 100_000 + number,
            pid: 200_000 + number,
            ..Namespaces::default()
        },
        credentials: Credentials { seccomp: 2, user_namespace: 0xEFFF_FFFD, ..Credentials::default() },
        container: Some(key),
        ..Actor::default()
    };
    let what = What::ContainerStarted { key, cgroup_path: format!("/docker/{id}"), root: FileId::default() };
    let mut event = event_by(actor, what);
    event.actor.task.start = event.time;
    (key, id, event)
}

fn ended(key: ContainerKey) -> sensor::event::Event {
    event_by(Actor::default(), What::ContainerEnded { key })
}

/// An inspection as Docker 20.10 gives it, with what is read of it.
fn inspection(id: &str, name: &str, pid: u64) -> Value {
    let now = watch::clock::wall() / 1_000_000_000;
    let time = Command::date(now);
    json!({"Id": id, "Name": format!("/{name}"), "Image": "sha256:ab", "State": {"Pid": pid, "StartedAt": time},
        "Config": {"Image": "nginx:1", "User": "", "Labels": {"a": "b"}, "Env": []},
        "HostConfig": {"Privileged": false, "NetworkMode": "default", "CapAdd": null, "SecurityOpt": null},
        "Mounts": [], "ExecIDs": null})
}

struct Command;
impl Command {
    /// `date` knows the calendar; the reader of times is tested by itself.
    fn date(seconds: i64) -> String {
        let output =
            std::process::Command::new("date").args(["-u", "-d", &format!("@{seconds}"), "+%FT%TZ"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap().trim().to_owned()
    }
}

#[test]
fn metadata_that_comes_late_is_news_and_never_a_silent_change() {
    let engine = Engine::start();
    let mut watching = Watching::start(engine.place());
    watching.until_back();
    let (key, id, start) = container(1);
    watching.containers.see(&start);
    let first = watching.containers.get(key).unwrap();
    assert_eq!(
        (first.name.as_deref(), first.engine.as_deref(), first.verdict.as_deref()),
        (None, None, None)
    );
    // Before anything is known a technique is not said to be open or held by what was not told.
    let before = watching.containers.exposure(key, "engine-api", &Credentials::default());
    assert!(matches!(before, Exposure::NotKnown { .. }), "{before:?}");
    // It has ended before the engine says anything of it; the engine's word on when it started joins them.
    watching.containers.see(&ended(key));
    engine.answer(&format!("/containers/{id}/json"), inspection(&id, "late", 0));
    engine.tell(
        &json!({"Type": "container", "Action": "start", "Actor": {"ID": id, "Attributes": {"name": "late"}},
        "timeNano": watch::clock::wall()}),
    );
    let known = watching.until("its name", |n| match n {
        News::Known { key: k, container } if *k == key && container.name.is_some() => Some(container.clone()),
        _ => None,
    });
    assert_eq!((known.name.as_deref(), known.image.as_deref()), (Some("late"), Some("nginx:1")));
    let told = watching.until("its verdict", |n| match n {
        News::Verdict { key: k, before, now, .. } if *k == key => Some((before.clone(), now.clone())),
        _ => None,
    });
    assert_eq!(told.0, None);
    assert_eq!(watching.containers.get(key).unwrap().verdict.as_ref(), Some(&told.1));
    let live = watching.containers.all().into_iter().find(|l| l.container.key == key).unwrap();
    assert_eq!(live.joined, Some(Joined::StartTime));
    assert!(!matches!(
        watching.containers.exposure(key, "engine-api", &Credentials::default()),
        Exposure::NotKnown { .. }
    ));
}

#[test]
fn two_that_claim_one_container_are_not_both_it() {
    let engine = Engine::start();
    let mut watching = Watching::start(engine.place());
    watching.until_back();
    let (first, id, start) = container(1);
    engine.answer(&format!("/containers/{id}/json"), inspection(&id, "one", 0));
    watching.containers.see(&start);
    watching.containers.see(&ended(first));
    watching.until("its name", |n| matches!(n, News::Known { key, .. } if *key == first).then_some(()));
    // Another with the same path of a cgroup.
    let (second, _, mut other) = container(2);
    if let What::ContainerStarted { cgroup_path, .. } = &mut other.what {
        *cgroup_path = format!("/docker/{id}");
    }
    watching.containers.see(&other);
    watching.containers.see(&ended(second));
    watching.until("that it is disputed", |n| {
        matches!(n, News::Disputed { key, .. } if *key == second).then_some(())
    });
    assert_eq!(watching.containers.get(second).unwrap().name, None);
}

#[test]
fn the_path_of_a_cgroup_alone_names_no_container() {
    let engine = Engine::start();
    let mut watching = Watching::start(engine.place());
    watching.until_back();
    let (key, id, start) = container(1);
    // It runs as another process, elsewhere: this very process, which is in another mount namespace.
    engine.answer(&format!("/containers/{id}/json"), inspection(&id, "real", u64::from(std::process::id())));
    watching.containers.see(&start);
    watching.until("that it is disputed", |n| {
        matches!(n, News::Disputed { key: k, .. } if *k == key).then_some(())
    });
    assert_eq!(watching.containers.get(key).unwrap().id, None);
}

#[test]
fn an_engine_that_hangs_holds_up_nobody_and_is_said_to_have_failed() {
    let engine = Engine::start();
    let mut watching = Watching::start(engine.place());
    watching.until_back();
    engine.hangs.store(true, Ordering::Relaxed);
    let started = Instant::now();
    let keys: Vec<ContainerKey> = (1..200)
        .map(|number| {
            let (key, _, start) = container(number);
            watching.containers.see(&start);
            key
        })
        .collect();
    assert!(started.elapsed() < Duration::from_millis(500), "{:?}", started.elapsed());
    let asked = Instant::now();
    let exposure = watching.containers.exposure(keys[100], "release-agent", &Credentials::default());
    assert!(!matches!(exposure, Exposure::Open), "{exposure:?}");
    assert!(asked.elapsed() < Duration::from_millis(500), "{:?}", asked.elapsed());
    let begun = Instant::now();
    let failed = |asked: &Asked| matches!(asked, Asked::Failed(why) if why.contains("no complete answer"));
    while !watching.containers.all().iter().any(|l| l.asked.iter().any(|(_, asked)| failed(asked))) {
        assert!(begun.elapsed() < Duration::from_secs(10), "nothing failed");
        std::thread::sleep(Duration::from_millis(20));
    }
    engine.hangs.store(false, Ordering::Relaxed);
}

#[test]
fn a_stream_that_breaks_is_opened_again_and_the_gap_is_told() {
    let engine = Engine::start();
    let mut watching = Watching::start(engine.place());
    watching.until_back();
    engine.cut();
    watching
        .until("that it is lost", |n| matches!(n, News::EngineLost { engine: "docker", .. }).then_some(()));
    let missed = watching.until("that it is back", |n| match n {
        News::EngineBack { missed: Some(missed), .. } => Some(*missed),
        _ => None,
    });
    assert!(missed.told_afterwards, "the daemon itself was there all the time");
    // The daemon goes away, and comes back with nothing of what was.
    watching.news.clear();
    std::fs::remove_file(&engine.socket).unwrap();
    engine.cut();
    watching.until("that it is lost", |n| matches!(n, News::EngineLost { .. }).then_some(()));
    std::thread::sleep(Duration::from_millis(1500));
    engine.listen();
    let missed = watching.until("that it is back", |n| match n {
        News::EngineBack { missed: Some(missed), .. } => Some(*missed),
        _ => None,
    });
    assert!(!missed.told_afterwards && missed.until - missed.from > 1_000_000_000, "{missed:?}");
    let begun = Instant::now();
    while engine.streams.lock().unwrap().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(5));
        std::thread::sleep(Duration::from_millis(5));
    }
    let event = json!({"Type": "container", "Action": "pause", "Actor": {"ID": "c".repeat(64), "Attributes": {"name": "n"}}, "timeNano": 7});
    engine.tell(&event);
    engine.tell(&event);
    watching.record("an event after it", |r| r.action == Action::Pause && r.source == Source::Engine);
}

#[test]
fn answers_of_any_other_shape_are_survived() {
    let engine = Engine::start();
    let odd = [
        json!(null),
        json!([]),
        json!({}),
        json!({"State": {"Pid": -1}, "Config": {"Labels": [1]}, "HostConfig": 7, "Mounts": {"a": 1}}),
        json!({"State": {"Pid": 18446744073709551615u64, "StartedAt": "never"}, "Name": {}, "Id": []}),
        Value::String("{".into()),
        Value::String("\u{0}".repeat(100_000)),
        json!({"State": {"Pid": 0}, "Config": {"Labels": {"x".repeat(100_000): "y".repeat(100_000)}}}),
    ];
    for (number, answer) in (1..).zip(odd) {
        engine.answer(&format!("/containers/{number:064x}/json"), answer);
    }
    let mut watching = Watching::start(engine.place());
    watching.until_back();
    for number in 1..=8 {
        let (key, id, start) = container(number);
        watching.containers.see(&start);
        for action in ["start", "exec_create: sh", "exec_start: sh", "exec_die", "die", "update", "nonsense"]
        {
            engine.tell(
                &json!({"Type": "container", "Action": action, "Actor": {"ID": id}, "timeNano": number}),
            );
        }
        watching.containers.see(&ended(key));
    }
    engine.tell(&json!("\u{0}"));
    engine.tell(&json!({"Type": "container", "Action": "pause", "Actor": {"ID": "f"}, "timeNano": 1}));
    watching.record("the last event", |r| r.action == Action::Pause);
    watching.record("an action of no known word", |r| r.action == Action::Other("nonsense".into()));
}

#[test]
fn ten_thousand_containers_started_and_stopped_leave_bounded_memory_and_nothing_uncounted() {
    let engine = Engine::start();
    let options = Options {
        engines: engine.place(),
        discover: false,
        host: Some(host()),
        most_ended: 500,
        queue: 256,
        most_news: 100_000,
        ..Options::default()
    };
    let mut watching = Watching::with(options);
    watching.until_back();
    const MANY: u32 = 10_000;
    let mut longest = Duration::ZERO;
    let begun = Instant::now();
    for number in 1..=MANY {
        let (key, _, start) = container(number);
        let end = ended(key);
        let asked = Instant::now();
        watching.containers.see(&start);
        watching.containers.see(&end);
        longest = longest.max(asked.elapsed());
    }
    let each = begun.elapsed() / MANY;
    println!("{each:?} to enter and end a container, the longest {longest:?}");
    assert!(each < Duration::from_millis(1), "{each:?}");
    assert!(watching.containers.all().len() <= 500);
    assert_eq!(watching.containers.evicted(), u64::from(MANY) - 500);
    watching.until("evictions", |n| {
        matches!(n, News::Lost { what, count } if what.contains("forgotten") && *count > 9000).then_some(())
    });
    // Late events still find the last of them; the first are gone.
    assert!(watching.containers.get(ContainerKey(u64::from(MANY))).is_some());
    assert!(watching.containers.get(ContainerKey(1)).is_none());
    let gone = watching.containers.exposure(ContainerKey(1), "release-agent", &Credentials::default());
    assert!(matches!(gone, Exposure::NotKnown { .. }));
}

#[test]
fn events_that_say_nothing_of_containers_cost_next_to_nothing() {
    let watching = Watching::start(Vec::new());
    let event = event(std::process::id(), None, What::Close { descriptor: 3 });
    let begun = Instant::now();
    for _ in 0..1_000_000 {
        watching.containers.see(std::hint::black_box(&event));
    }
    let each = begun.elapsed() / 1_000_000;
    println!("{each:?} an event");
    assert!(each < Duration::from_micros(1), "{each:?}");
}

#[test]
fn a_process_that_enters_without_an_engine_is_told_as_its_own_doing() {
    let mut watching = Watching::start(Vec::new());
    let (key, _, start) = container(1);
    watching.containers.see(&start);
    let mut entered = execve(std::process::id(), Some(key), "/bin/sh", &["sh"], true);
    // nsenter: its parent is no monitor.
    entered.actor.parent = Task::default();
    watching.containers.see(&entered);
    let record = watching.record("the process", |r| r.action == Action::ExecStart);
    assert_eq!(record.source, Source::Kernel);
    assert_eq!(record.who.certainty, watch::trail::Certainty::Itself);
    assert_eq!(record.who.clients[0].task.process, std::process::id());
    assert!(record.notice().is_some(), "root with capabilities in a container that has none: {record:#?}");
}

#[test]
fn an_engine_that_is_not_roots_is_not_believed_about_containers_that_others_hold() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: a socket of another user's is made by root");
        return;
    }
    let engine = Engine::start();
    std::os::unix::fs::chown(&engine.socket, Some(10001), Some(10001)).unwrap();
    let mut watching = Watching::start(engine.place());
    watching.until_back();
    let (key, id, start) = container(1);
    // It says that the container is its own, by the very process.
    let pid = u64::from(start.actor.task.process);
    engine.answer(&format!("/containers/{id}/json"), inspection(&id, "mine", pid));
    engine.answer("/containers/json", json!([{"Id": id}]));
    watching.containers.see(&start);
    let live = watching.until_ready(key);
    assert_eq!((live.joined, live.container.name.as_deref()), (None, None));
    assert!(live.asked.iter().all(|(_, asked)| *asked == Asked::NotThere), "{live:?}");
    engine.tell(&json!({"Type": "container", "Action": "pause", "Actor": {"ID": id}, "timeNano": 1}));
    let record = watching.record("its event", |r| r.action == Action::Pause);
    assert_eq!(record.container, None, "told, but of no container that is known");
}

#[test]
fn a_program_that_gives_its_process_capabilities_is_in_the_trail_and_told_where_the_container_has_less() {
    let mut watching = Watching::start(Vec::new());
    let (key, _, start) = container(1);
    watching.containers.see(&start);
    let mut set_user_id = execve(std::process::id(), Some(key), "/bin/su", &["su", "-"], false);
    set_user_id.actor.credentials =
        Credentials { effective: 0x3f, permitted: 0x3f, ..start.actor.credentials };
    // Without what it had before nothing is said of it.
    watching.containers.see(&set_user_id);
    if let What::Execve { before, .. } = &mut set_user_id.what {
        *before = start.actor.credentials;
    }
    watching.containers.see(&set_user_id);
    let record = watching.record("the gain", |r| r.action == Action::Capabilities);
    assert_eq!(record.source, Source::Kernel);
    assert_eq!(record.details.get("executable").map(String::as_str), Some("/bin/su"));
    let notice = record.notice().unwrap();
    assert!(notice.starts_with("su - in ") && notice.contains("capabilities CHOWN"), "{notice}");
    let told = |n: &&News| matches!(n, News::Trail(r) if r.action == Action::Capabilities);
    assert_eq!(watching.news.iter().filter(told).count(), 1);
}
