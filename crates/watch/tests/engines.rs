//! Containers of the real engines on this machine: what `watch::containers` finds out of them, and their audit trail.
//! The sensor's events are made here of what `/proc` shows. `scripts/engines` sets the engines up; where they are not
//! there the tests say so and pass, unless STOCKADE_ENGINES is set, as `make test` does.

mod support;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use confinement::EngineKind;
use sensor::event::{ContainerKey, FileId, What};
use sources::engine_api::Endpoint;
use support::{Watching, actor, cgroup_path, event, execve, host, namespaces, what};
use watch::alert::Exposure;
use watch::containers::{Joined, News, Why};
use watch::trail::{Action, Certainty, Raised, Record, Source};

const IMAGE: &str = "stockade-test-busybox";
const DOCKER: &[&str] = &["/usr/bin/docker", "-H", "unix:///run/docker.sock"];
const PODMAN: &[&str] = &["podman", "--runtime", "runc"];
/// This kernel's root may not raise limits, which Podman does unless told otherwise.
const PODMAN_RUN: &[&str] = &["--ulimit", "nofile=20000:20000", "--ulimit", "nproc=10000:10000"];

fn run(engine: &[&str], arguments: &[&str]) -> String {
    let output = Command::new(engine[0]).args(&engine[1..]).args(arguments).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{engine:?} {arguments:?}: {errors}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn is_present(engine: &[&str]) -> bool {
    let output = Command::new(engine[0]).args(&engine[1..]).args(["image", "inspect", IMAGE]).output();
    let there = output.is_ok_and(|o| o.status.success());
    if !there {
        assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "{engine:?} is not set up: scripts/engines");
        eprintln!("skipped: {engine:?} has no image {IMAGE}; run scripts/engines");
    }
    there
}

/// A container that is removed with the test.
struct Started {
    engine: &'static [&'static str],
    name: String,
    id: String,
    pid: u32,
    key: ContainerKey,
}

impl Started {
    fn new(engine: &'static [&'static str], name: &str, options: &[&str]) -> Started {
        let name = format!("stockade-watch-{}-{name}", std::process::id());
        let mut arguments = vec!["run", "--detach", "--name", &name];
        if engine == PODMAN {
            arguments.extend(PODMAN_RUN);
        }
        arguments.extend(options);
        arguments.extend([IMAGE, "sleep", "300"]);
        let mut started =
            Started { engine, name: name.clone(), id: String::new(), pid: 0, key: ContainerKey(0) };
        started.id = run(engine, &arguments);
        started.pid = run(engine, &["inspect", "--format", "{{.State.Pid}}", &started.id]).parse().unwrap();
        started.key = ContainerKey(u64::from(started.pid));
        started
    }
    fn event(&self) -> sensor::event::Event {
        let (key, cgroup_path) = (self.key, cgroup_path(self.pid));
        event(self.pid, Some(key), What::ContainerStarted { key, cgroup_path, root: FileId::default() })
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        // Killed first: Podman's rm waits ten seconds for a program that heeds no signal.
        for arguments in [&["kill", &self.name][..], &["rm", "--force", "--volumes", &self.name]] {
            let _ = Command::new(self.engine[0]).args(&self.engine[1..]).args(arguments).output();
        }
    }
}

/// The process of a container's that has this command line.
fn process_in(started: &Started, words: &[&str]) -> u32 {
    let command: String = words.iter().map(|word| format!("{word}\0")).collect();
    let mount = namespaces(started.pid).mount;
    let begun = Instant::now();
    loop {
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
            let is_it =
                std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| line == command.as_bytes());
            let link = std::fs::read_link(entry.path().join("ns/mnt")).unwrap_or_default();
            if is_it && link == Path::new(&format!("mnt:[{mount}]")) {
                return pid;
            }
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "no {command:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn docker() -> (EngineKind, Endpoint) {
    (EngineKind::Docker, Endpoint::Unix("/run/docker.sock".into()))
}

#[test]
fn a_container_of_dockers_is_known_by_its_process_and_judged_by_the_audits_code() {
    if !is_present(DOCKER) {
        return;
    }
    let weak_options =
        ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--label", "team=red"];
    let weak = Started::new(DOCKER, "weak", &weak_options);
    let sound_options = ["--user", "10001", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];
    let sound = Started::new(DOCKER, "sound", &sound_options);
    let mut watching = Watching::start(vec![docker()]);
    watching.until_back();
    for started in [&weak, &sound] {
        watching.containers.see(&started.event());
        let live = watching.until_ready(started.key);
        assert!(matches!(live.joined, Some(Joined::Process)), "{live:?}");
        let container = watching.containers.get(started.key).unwrap();
        assert_eq!(container.id.as_deref(), Some(started.id.as_str()));
        assert_eq!(container.name.as_deref(), Some(started.name.as_str()));
        assert_eq!(container.image.as_deref(), Some(IMAGE));
        assert_eq!(container.engine.as_deref(), Some("docker"));
        assert_eq!(container.privileged, Some(false));
        assert!(container.started.is_some() && container.verdict.is_some(), "{container:?}");
    }
    let labels = &watching.containers.get(weak.key).unwrap().labels;
    assert_eq!(labels.get("team").map(String::as_str), Some("red"));
    let exposure = |started: &Started, technique: &str| {
        let credentials = actor(started.pid, None).credentials;
        watching.containers.exposure(started.key, technique, &credentials)
    };
    let technique = "mount-kernel-file-systems";
    assert_ne!(exposure(&weak, technique), exposure(&sound, technique));
    let Exposure::Held { barriers, .. } = exposure(&sound, technique) else {
        panic!("{:?}", exposure(&sound, technique))
    };
    assert!(barriers.contains(&"capabilities".to_owned()), "{barriers:?}");
    // The audit says the same of the same container.
    let wanted = sources::engine_api::Wanted { name: Some(&weak.name), stopped: false };
    let told = sources::engine_api::docker_at(&docker().1, wanted, &host());
    let judged = techniques::judge::judge(&told.world, techniques::judge::Options::default());
    let ours = watching.containers.judged(weak.key).unwrap();
    assert_eq!(ours.depth, judged.subjects[0].depth);
    assert_eq!(*ours.confinement, *told.world.subjects[0].confinement);
}

#[test]
fn a_container_is_judged_from_proc_alone_where_no_engine_answers() {
    if !is_present(DOCKER) {
        return;
    }
    let started = Started::new(DOCKER, "alone", &["--cap-add", "SYS_PTRACE", "--pid", "host"]);
    let mut watching = Watching::start(Vec::new());
    watching.containers.see(&started.event());
    watching.until("a verdict", |n| match n {
        News::Verdict { key, before: None, why: Why::Read, .. } if *key == started.key => Some(()),
        _ => None,
    });
    let live = watching.until_ready(started.key);
    assert_eq!(live.joined, None);
    // The shim that holds it says whose it is.
    assert_eq!(live.container.engine.as_deref(), Some("docker"));
    assert_eq!(live.container.id.as_deref(), Some(started.id.as_str()));
    let record =
        watching.record("its start", |r| r.action == Action::Start && r.container == Some(started.key));
    assert_eq!(record.source, Source::Kernel);
    let proc = sources::process::read(Some(&started.id), &host(), &Default::default());
    let judged = techniques::judge::judge(&proc, techniques::judge::Options::default());
    assert_eq!(watching.containers.judged(started.key).unwrap().depth, judged.subjects[0].depth);
}

#[test]
fn a_cgroup_that_bears_another_containers_id_does_not_pass_for_it() {
    if !is_present(DOCKER) {
        return;
    }
    let real = Started::new(DOCKER, "real", &[]);
    let other = Started::new(DOCKER, "other", &[]);
    let mut watching = Watching::start(vec![docker()]);
    watching.until_back();
    // A process in the mount namespace of one, in a cgroup that is named after the other, and held by no monitor.
    let key = ContainerKey(77);
    let cgroup_path = format!("/docker/{}", real.id);
    let what = What::ContainerStarted { key, cgroup_path, root: FileId::default() };
    let mut spoof = event(std::process::id(), Some(key), what);
    spoof.actor.namespaces.mount = namespaces(other.pid).mount;
    watching.containers.see(&spoof);
    let id = watching.until("that it is disputed", |n| match n {
        News::Disputed { key: ContainerKey(77), id } => Some(id.clone()),
        _ => None,
    });
    assert_eq!(id, real.id);
    let container = watching.containers.get(key).unwrap();
    assert_eq!((container.id.as_deref(), container.name.as_deref()), (None, None));
}

#[test]
fn an_exec_that_raises_privileges_is_told_with_the_process_and_who_asked() {
    if !is_present(DOCKER) {
        return;
    }
    let started = Started::new(DOCKER, "exec", &["--user", "10001"]);
    let mut watching = Watching::start(vec![docker()]);
    watching.until_back();
    watching.containers.see(&started.event());
    watching.until_ready(started.key);
    // As the sensor would tell of the client: its execve, and its connection to the engine.
    let mut words = DOCKER.to_vec();
    words.extend(["exec", "-u", "0", &started.name, "sleep", "60"]);
    let mut client = Command::new(words[0]).args(&words[1..]).stdin(Stdio::null()).spawn().unwrap();
    watching.containers.see(&execve(client.id(), None, DOCKER[0], &words, false));
    let connect = what(serde_json::json!({"event": "connect", "family": 1, "kind": 1, "peer": null,
        "address": {"unix": {"path": "/some/link"}}, "bound": "/run/docker.sock"}));
    watching.containers.see(&event(client.id(), None, connect));
    let pid = process_in(&started, &["sleep", "60"]);
    watching.containers.see(&execve(pid, Some(started.key), "/bin/sleep", &["sleep", "60"], true));

    let made =
        watching.record("the exec", |r| r.action == Action::ExecCreate && r.container == Some(started.key));
    assert_eq!(made.raised, [Raised::AskedUser { user: "0".into() }]);
    let asked = made.exec.as_ref().map(|e| (e.privileged, e.command.join(" ")));
    assert_eq!(asked, Some((Some(false), "sleep 60".into())));
    let put_in =
        watching.record("the process", |r| r.action == Action::ExecStart && r.container == Some(started.key));
    assert_eq!(put_in.source, Source::EngineAndKernel, "{put_in:#?}");
    let exec = put_in.exec.as_ref().unwrap();
    assert_eq!(exec.task.map(|t| t.process), Some(pid));
    assert!(exec.id.as_ref().is_some_and(|id| id.len() == 64));
    assert!(put_in.raised.contains(&Raised::Root), "{put_in:#?}");
    assert!(put_in.raised.iter().any(|r| matches!(r, Raised::Capabilities { names } if names.len() > 10)));
    assert_eq!(put_in.who.certainty, Certainty::Named);
    assert_eq!(put_in.who.clients[0].task.process, client.id());
    let notice = put_in.notice().unwrap();
    assert!(notice.contains("sleep 60") && notice.contains(&started.name), "{notice}");
    assert!(notice.contains("root") && notice.contains("by docker"), "{notice}");
    // A process that has more than its container is judged by what it has.
    let depth = |pid: u32| {
        let credentials = actor(pid, None).credentials;
        match watching.containers.exposure(started.key, "mount-kernel-file-systems", &credentials) {
            Exposure::Held { depth, .. } => depth,
            other => panic!("{other:?}"),
        }
    };
    assert!(depth(pid) < depth(started.pid));

    run(DOCKER, &["kill", &started.name]);
    let die = watching.record("its end", |r| r.action == Action::ExecDie && r.container == Some(started.key));
    assert_eq!(die.exec.and_then(|e| e.exit_code), Some(137));
    let _ = client.wait();
}

#[test]
fn labels_named_like_the_engines_own_words_do_not_change_the_trail() {
    if !is_present(DOCKER) {
        return;
    }
    let labels = ["--label", "execID=spoof", "--label", "exitCode=77", "--label", "signal=HUP"];
    let started = Started::new(DOCKER, "labels", &labels);
    let mut watching = Watching::start(vec![docker()]);
    watching.until_back();
    let of_it = |r: &Record| r.id.as_deref() == Some(started.id.as_str());
    run(DOCKER, &["exec", "--detach", &started.name, "sleep", "30"]);
    let made = watching.record("the exec", |r| of_it(r) && r.action == Action::ExecCreate);
    let exec = made.exec.unwrap();
    assert!(exec.id.as_ref().is_none_or(|id| id.len() == 64), "{exec:?}");
    run(DOCKER, &["kill", &started.name]);
    let kill = watching.record("the kill", |r| of_it(r) && r.action == Action::Kill);
    assert_eq!(kill.details.get("signal"), None, "a label is not a signal");
    let die = watching.record("the end", |r| of_it(r) && r.action == Action::Die);
    assert_eq!(die.details.get("exitCode"), None);
}

#[test]
fn a_whole_life_is_in_the_trail_with_what_the_container_was_given() {
    if !is_present(DOCKER) {
        return;
    }
    let mut watching = Watching::start(vec![docker()]);
    watching.until_back();
    let options = ["--cap-add", "SYS_ADMIN", "--pid", "host", "-v", "/srv:/srv:ro"];
    let started = Started::new(DOCKER, "life", &options);
    let name = started.name.as_str();
    let renamed = format!("{name}-2");
    let doings: [&[&str]; 5] = [
        &["pause", name],
        &["unpause", name],
        &["rename", name, &renamed],
        &["rename", &renamed, name],
        &["kill", name],
    ];
    for arguments in doings {
        run(DOCKER, arguments);
    }
    let of_it = |r: &Record| r.id.as_deref() == Some(started.id.as_str());
    let create = watching.record("its creation", |r| of_it(r) && r.action == Action::Create);
    let privileges = create.privileges.unwrap();
    assert_eq!(privileges.capabilities_added, ["SYS_ADMIN"]);
    assert!(privileges.namespaces.contains(&"pid=host".to_owned()), "{privileges:?}");
    assert_eq!(privileges.mounts, ["/srv:/srv:ro"]);
    for action in [Action::Start, Action::Pause, Action::Unpause, Action::Rename, Action::Kill, Action::Die] {
        watching.record(&format!("{action:?}"), |r| of_it(r) && r.action == action);
    }
    let die = watching.record("its end", |r| of_it(r) && r.action == Action::Die);
    assert_eq!(die.details.get("exitCode").map(String::as_str), Some("137"));
    // No sensor told of the client; it was found at the other end of the engine's socket.
    assert_eq!(create.who.certainty, Certainty::Named, "{:?}", create.who);
    assert_eq!(create.who.clients[0].name, "docker");
    assert!(create.who.clients[0].arguments.contains(&started.name), "{:?}", create.who);
    let json = serde_json::to_value(&die).unwrap();
    assert_eq!(json["schema"], "stockade.trail/1");
    assert_eq!(serde_json::from_value::<Record>(json).unwrap(), die);
}

/// A Podman service of the test's own, ended with it.
struct Service {
    child: Child,
    socket: PathBuf,
    _folder: tempfile::TempDir,
}

impl Service {
    fn start() -> Service {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("podman.sock");
        let child = Self::serve(&socket);
        Service { child, socket, _folder: folder }
    }
    fn serve(socket: &Path) -> Child {
        let address = format!("unix://{}", socket.display());
        let child = Command::new(PODMAN[0])
            .args(&PODMAN[1..])
            .args(["system", "service", "--time=0", &address])
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while std::os::unix::net::UnixStream::connect(socket).is_err() {
            assert!(begun.elapsed() < Duration::from_secs(10), "podman's service does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        child
    }
    fn place(&self) -> (EngineKind, Endpoint) {
        (EngineKind::Podman, Endpoint::Unix(self.socket.clone()))
    }
    fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.stop();
    }
}

#[test]
fn podmans_containers_and_execs_are_told_like_dockers() {
    if !is_present(PODMAN) {
        return;
    }
    let service = Service::start();
    let mut watching = Watching::start(vec![service.place()]);
    watching.until_back();
    let started = Started::new(PODMAN, "pod", &["--user", "10001"]);
    watching.containers.see(&started.event());
    let live = watching.until_ready(started.key);
    assert_eq!(live.joined, Some(Joined::Process));
    assert_eq!(live.container.engine.as_deref(), Some("podman"));
    assert_eq!(live.container.name.as_deref(), Some(started.name.as_str()));
    assert!(live.container.image_digest.as_deref().is_some_and(|d| d.starts_with("sha256:")), "{live:?}");

    let words = ["exec", "--detach", "--privileged", "--user", "0", &started.name, "sleep", "61"];
    run(PODMAN, &words);
    let pid = process_in(&started, &["sleep", "61"]);
    watching.containers.see(&execve(pid, Some(started.key), "/bin/sleep", &["sleep", "61"], true));
    let put_in = watching.record("the process", |r| {
        r.action == Action::ExecStart && r.exec.as_ref().is_some_and(|e| e.task.is_some())
    });
    let exec = put_in.exec.as_ref().unwrap();
    assert!(exec.id.as_ref().is_some_and(|id| id.len() == 64), "{put_in:#?}");
    assert_eq!(exec.task.map(|t| t.process), Some(pid));
    for raised in [Raised::Root, Raised::AskedPrivileged] {
        assert!(put_in.raised.contains(&raised), "{raised:?}: {put_in:#?}");
    }
    assert!(put_in.raised.iter().any(|r| matches!(r, Raised::BoundingSet { .. })), "{put_in:#?}");
    run(PODMAN, &["kill", &started.name]);
    watching.record("its end", |r| r.action == Action::Die && r.id.as_deref() == Some(&started.id));
}

#[test]
fn without_podmans_service_its_monitor_and_its_store_say_whose_a_container_is() {
    if !is_present(PODMAN) {
        return;
    }
    let started = Started::new(PODMAN, "quiet", &["--user", "10001"]);
    let mut watching = Watching::start(Vec::new());
    watching.containers.see(&started.event());
    let container = watching.until_ready(started.key).container;
    assert_eq!(container.engine.as_deref(), Some("podman"));
    assert_eq!(container.id.as_deref(), Some(started.id.as_str()));
    assert_eq!(container.name.as_deref(), Some(started.name.as_str()));
    assert_eq!(container.image.as_deref(), Some(format!("localhost/{IMAGE}:latest").as_str()));
    run(PODMAN, &["exec", "--detach", "--user", "0", &started.name, "sleep", "62"]);
    let pid = process_in(&started, &["sleep", "62"]);
    watching.containers.see(&execve(pid, Some(started.key), "/bin/sleep", &["sleep", "62"], true));
    let put_in = watching.record("the process", |r| r.action == Action::ExecStart);
    assert_eq!((put_in.engine.as_deref(), put_in.source), (Some("podman"), Source::Kernel));
    assert!(put_in.raised.contains(&Raised::Root) && put_in.exec.unwrap().id.is_some());
}

#[test]
fn an_engine_that_goes_away_is_told_and_what_happened_meanwhile_is_told_when_it_is_back() {
    if !is_present(PODMAN) {
        return;
    }
    let mut service = Service::start();
    let mut watching = Watching::start(vec![service.place()]);
    watching.until_back();
    let of = |started: &Started, r: &Record| {
        let is_it = r.id.as_deref() == Some(started.id.as_str());
        is_it && r.action == Action::Start && r.source == Source::Engine
    };
    let before = Started::new(PODMAN, "before", &[]);
    watching.containers.see(&before.event());
    watching.until_ready(before.key);
    watching.record("the start", |r| of(&before, r));
    service.stop();
    watching
        .until("that it is lost", |n| matches!(n, News::EngineLost { engine: "podman", .. }).then_some(()));
    let meanwhile = Started::new(PODMAN, "meanwhile", &[]);
    watching.containers.see(&meanwhile.event());
    // What was known stays known, and what is new is judged without the engine.
    let known = watching.containers.get(before.key).unwrap();
    assert_eq!(known.name.as_deref(), Some(before.name.as_str()));
    watching.until("its verdict", |n| match n {
        News::Verdict { key, .. } if *key == meanwhile.key => Some(()),
        _ => None,
    });
    service.child = Service::serve(&service.socket);
    let missed = watching.until("that it is back", |n| match n {
        News::EngineBack { missed: Some(missed), .. } => Some(*missed),
        _ => None,
    });
    assert!(missed.told_afterwards && missed.from <= missed.until);
    watching.record("the start meanwhile", |r| of(&meanwhile, r));
    let begun = Instant::now();
    while watching.containers.all().iter().any(|l| l.joined.is_none()) {
        assert!(begun.elapsed() < Duration::from_secs(10), "{:#?}", watching.containers.all());
        std::thread::sleep(Duration::from_millis(10));
    }
    // What the engine says is joined with what the kernel shows, also of the one that started without it.
    let begun = Instant::now();
    loop {
        let judged = watching.containers.judged(meanwhile.key).unwrap();
        let c = &judged.confinement;
        if let (Some(engine), Some(bounding)) = (&c.engine, c.capabilities.bounding.get()) {
            assert_eq!(engine.kind, EngineKind::Podman);
            assert_eq!(bounding.0, actor(meanwhile.pid, None).credentials.bounding);
            assert!(
                matches!(&c.capabilities.bounding.origin, confinement::Origin::Measurement { what } if what.contains("/proc/"))
            );
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "judged without its engine's words");
        std::thread::sleep(Duration::from_millis(10));
    }
    let told = |n: &&News| matches!(n, News::Trail(r) if of(&before, r));
    assert_eq!(watching.news.iter().filter(told).count(), 1, "told once, though the engine told it again");
}

#[test]
fn a_mount_made_in_a_container_is_in_the_trail_and_it_is_judged_again() {
    if !is_present(DOCKER) {
        return;
    }
    let options = ["--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined"];
    let started = Started::new(DOCKER, "mount", &options);
    let mut watching = Watching::start(vec![docker()]);
    watching.until_back();
    watching.containers.see(&started.event());
    watching.until_ready(started.key);
    let before = watching.containers.judged(started.key).unwrap();
    run(DOCKER, &["exec", &started.name, "mount", "-t", "proc", "p", "/tmp"]);
    let mount =
        what(serde_json::json!({"event": "mount", "source": "p", "target": "/tmp", "file_system": "proc",
        "flags": 0, "data": "", "source_device": [0, 0]}));
    watching.containers.see(&event(started.pid, Some(started.key), mount));
    let record = watching.record("the mount", |r| r.action == Action::Mount);
    assert_eq!(record.details.get("target").map(String::as_str), Some("/tmp"));
    let begun = Instant::now();
    loop {
        let after = watching.containers.judged(started.key).unwrap();
        if after.confinement.mounts.iter().any(|m| &*m.target == "/tmp") {
            assert_ne!(after.confinement, before.confinement);
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "not judged again");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The containerd that Docker's daemon runs; its own containers are in a namespace of containerd's named `moby`.
fn containerd() -> Option<PathBuf> {
    ["/run/stockade-test-docker/containerd/containerd.sock", "/run/docker/containerd/containerd.sock"]
        .into_iter()
        .chain(["/run/containerd/containerd.sock"])
        .map(PathBuf::from)
        .find(|path| std::os::unix::net::UnixStream::connect(path).is_ok())
}

#[test]
fn a_container_of_containerds_is_known_by_its_shim_whatever_it_is_called() {
    let (Some(socket), true) = (containerd(), Path::new("/usr/bin/ctr").exists()) else {
        assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "no containerd answers: scripts/engines");
        eprintln!("skipped: no containerd answers; run scripts/engines");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    std::fs::create_dir(root.path().join("bin")).unwrap();
    std::fs::copy("/bin/busybox", root.path().join("bin/busybox")).unwrap();
    let namespace = format!("stockade-watch-{}", std::process::id());
    let name = "web.1";
    let ctr = |arguments: &[&str]| {
        let socket = socket.to_str().unwrap();
        let output =
            Command::new("/usr/bin/ctr").args(["-a", socket, "-n", &namespace]).args(arguments).output();
        let output = output.unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let folder = root.path().to_str().unwrap();
    let made = ctr(&["run", "--detach", "--rootfs", folder, name, "/bin/busybox", "sleep", "60"]).0;
    let listed = ctr(&["task", "ls"]).1;
    let pid =
        listed.lines().find_map(|l| l.strip_prefix(name)?.split_whitespace().next()?.parse::<u32>().ok());
    let told = pid.map(|pid| {
        let mut watching = Watching::start(vec![docker()]);
        watching.until_back();
        let (key, cgroup_path) = (ContainerKey(u64::from(pid)), cgroup_path(pid));
        let what = What::ContainerStarted { key, cgroup_path, root: FileId::default() };
        watching.containers.see(&event(pid, Some(key), what));
        (watching.until_ready(key), watching.containers.judged(key))
    });
    for arguments in [&["task", "kill", "-s", "9", name][..], &["task", "rm", "-f", name], &["c", "rm", name]]
    {
        ctr(arguments);
        std::thread::sleep(Duration::from_millis(200));
    }
    ctr(&["namespaces", "rm", &namespace]);
    assert!(made, "ctr run: {listed}");
    let (live, judged) = told.expect("a task");
    assert_eq!(live.container.engine.as_deref(), Some("containerd"));
    assert_eq!(live.container.id.as_deref(), Some(name));
    assert!(live.container.verdict.is_some() && judged.is_some());
    assert_eq!(live.joined, None);
}
