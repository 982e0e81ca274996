//! Before the real daemon, by its own client and by raw requests.

use std::fs::File;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use gate::canary::{self, Became, Verdict};
use sources::engine_api::Endpoint;

use crate::http;
use crate::support::Running;

const DAEMON: &str = "/run/docker.sock";
const DOCKER: &str = "/usr/bin/docker";
const BUSYBOX: &str = "stockade-test-busybox";
/// All routes; of kernel and runtime flaws, which depend on the machine of the test, nothing is asked.
const ALL: &str = "undetermined: allow\ndoors:\n  docker-proxy:\n    allow: ['* *']\n";

/// A test's turn beside others of the engines (crates/harden/tests/support), where there is an engine.
struct Turn(#[allow(dead_code, reason = "the lock lasts as long as the file is open")] File);

fn present() -> Option<Turn> {
    let there = Command::new(DOCKER)
        .args(["-H", "unix:///run/docker.sock", "image", "inspect", BUSYBOX])
        .output()
        .is_ok_and(|output| output.status.success());
    if !there {
        assert!(std::env::var_os("STOCKADE_ENGINES").is_none(), "no {BUSYBOX}: scripts/engines");
        eprintln!("skipped: no Docker daemon with the image {BUSYBOX}; run scripts/engines");
        return None;
    }
    let path = std::env::temp_dir().join("stockade-engine-tests.lock");
    let file = File::options().create(true).append(true).open(path).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared).unwrap();
    Some(Turn(file))
}

fn command(proxy: &Running, arguments: &[&str]) -> Command {
    let mut command = Command::new(DOCKER);
    command.arg("-H").arg(format!("unix://{}", proxy.socket.display())).args(arguments);
    // Without a configuration of whoever runs the tests, and by the classic builder.
    command.env("DOCKER_BUILDKIT", "0").env("DOCKER_CONFIG", "/nonexistent");
    command
}

fn docker(proxy: &Running, arguments: &[&str]) -> Output {
    command(proxy, arguments).output().unwrap()
}

fn done(output: Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn fed(mut command: Command, input: &[u8]) -> Output {
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

/// A container that is removed at the end, past the proxy.
struct Container(String);

impl Container {
    fn named(name: &str) -> Container {
        let name = format!("stockade-proxy-{name}-{}", std::process::id());
        let container = Container(name);
        container.remove();
        container
    }
    fn remove(&self) {
        let _ =
            Command::new(DOCKER).args(["-H", "unix:///run/docker.sock", "rm", "-f", "-v", &self.0]).output();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.remove();
    }
}

/// What makes a container sound enough for the policy that there is without a file.
const SOUND: [&str; 4] =
    ["--cap-drop=ALL", "--security-opt=no-new-privileges", "--user=10001", "--network=none"];

fn run<'a>(name: &'a str, more: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    asked("run", name, more, program)
}

fn asked<'a>(verb: &'a str, name: &'a str, more: &[&'a str], program: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![verb, "--name", name];
    arguments.extend(SOUND);
    arguments.extend(more);
    arguments.push(BUSYBOX);
    arguments.extend(program);
    arguments
}

#[test]
fn a_sound_container_is_run_entered_read_and_ended() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let container = Container::named("ordinary");
    let name = container.0.as_str();
    done(docker(&proxy, &run(name, &["-d"], &["sh", "-c", "echo started; sleep 600"])));
    assert!(done(docker(&proxy, &["ps", "--format", "{{.Names}}"])).lines().any(|line| line == name));
    let id = done(docker(&proxy, &["exec", name, "id", "-u"]));
    assert_eq!(id.trim(), "10001");
    assert_eq!(done(docker(&proxy, &["logs", name])), "started\n");
    let inspected = done(docker(&proxy, &["inspect", "--format", "{{.State.Running}}", name]));
    assert_eq!(inspected.trim(), "true");
    assert!(done(docker(&proxy, &["stats", "--no-stream", "--format", "{{.Name}}", name])).contains(name));
    done(docker(&proxy, &["stop", "-t", "0", name]));
    assert_eq!(done(docker(&proxy, &["wait", name])).trim(), "137");
    done(docker(&proxy, &["rm", name]));
    assert!(proxy.records().iter().all(|record| record["outcome"] == "allow"), "{:#?}", proxy.records());
    assert!(
        proxy.records().iter().all(|record| record["who"]["uid"] == 0 && record["door"] == "docker-proxy")
    );
}

#[test]
fn input_ends_by_half_and_output_comes_to_its_end() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let container = Container::named("streams");
    let name = container.0.as_str();
    // The container ends when its input does, and writes after that.
    let program = ["sh", "-c", "wc -c; sleep 0.3; echo after"];
    let output = fed(command(&proxy, &run(name, &["-i", "--rm"], &program)), &[b'x'; 300_000]);
    assert_eq!(done(output), "300000\nafter\n");

    let container = Container::named("attached");
    let name = container.0.as_str();
    done(docker(&proxy, &asked("create", name, &["-i"], &["sh", "-c", "cat; echo ended"])));
    assert_eq!(done(fed(command(&proxy, &["start", "-a", "-i", name]), b"typed\n")), "typed\nended\n");

    let container = Container::named("entered");
    let name = container.0.as_str();
    done(docker(&proxy, &run(name, &["-d"], &["sleep", "600"])));
    let output = fed(command(&proxy, &["exec", "-i", name, "sh", "-c", "cat; echo ended"]), b"typed\n");
    assert_eq!(done(output), "typed\nended\n");
    let failed = docker(&proxy, &["exec", name, "sh", "-c", "echo bad >&2; exit 3"]);
    assert_eq!((failed.status.code(), &*failed.stderr), (Some(3), &b"bad\n"[..]));
    // A process that writes much, while nobody sends anything.
    let many = docker(&proxy, &["exec", name, "sh", "-c", "dd if=/dev/zero bs=1M count=20 2>/dev/null"]);
    assert_eq!(done(many).len(), 20 << 20);
}

/// Reads lines of a child until one holds a text, and ends the child.
fn until_line(mut command: Command, text: &str, mut meanwhile: impl FnMut()) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let output = child.stdout.take().unwrap();
    let (sender, lines) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for line in std::io::BufRead::lines(std::io::BufReader::new(output)).map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    let until = Instant::now() + Duration::from_secs(20);
    let found = loop {
        meanwhile();
        match lines.recv_timeout(Duration::from_millis(300)) {
            Ok(line) if line.contains(text) => break true,
            _ if Instant::now() > until => break false,
            _ => {}
        }
    };
    let _ = child.kill();
    let _ = child.wait();
    assert!(found, "no line with {text:?} came while the stream was open");
}

#[test]
fn logs_and_events_are_followed_as_they_come() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let container = Container::named("followed");
    let name = container.0.as_str();
    let program = ["sh", "-c", "for i in $(seq 600); do echo line $i; sleep 0.2; done"];
    done(docker(&proxy, &run(name, &["-d"], &program)));
    until_line(command(&proxy, &["logs", "-f", "--since", "0s", name]), "line 5", || {});
    let filter = format!("container={name}");
    let mut paused = false;
    until_line(command(&proxy, &["events", "--filter", &filter]), "unpause", || {
        done(docker(&proxy, &[if paused { "unpause" } else { "pause" }, name]));
        paused = !paused;
    });
}

#[test]
fn what_was_begun_for_a_client_that_is_gone_ends_and_its_place_is_free() {
    let Some(_turn) = present() else { return };
    let proxy = Running::with(Path::new(DAEMON), ALL, |settings| settings.connections_of_one = 3);
    for _ in 0..2 {
        let mut child = command(&proxy, &["events"]).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(500));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    // Both streams are silent: only that the client hung up tells that they are over.
    let until = Instant::now() + Duration::from_secs(30);
    let busy = || {
        let streams: Vec<_> = (0..3).map(|_| UnixStream::connect(&proxy.socket).unwrap()).collect();
        std::thread::sleep(Duration::from_millis(100));
        let mut last = streams.into_iter().next_back().unwrap();
        last.write_all(b"GET /_ping HTTP/1.1\r\nHost: d\r\n\r\n").unwrap();
        let mut answer = String::new();
        let _ = last.read_to_string(&mut answer);
        !answer.starts_with("HTTP/1.1 200")
    };
    while busy() {
        assert!(Instant::now() < until, "the places of clients that are gone are not given back");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn files_are_copied_and_images_are_built_saved_and_loaded() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let container = Container::named("copied");
    let name = container.0.as_str();
    let folder = tempfile::tempdir().unwrap();
    let (there, back) = (folder.path().join("there"), folder.path().join("back"));
    let content: Vec<u8> = (0..3_000_000_u32).map(|i| (i % 251) as u8).collect();
    std::fs::write(&there, &content).unwrap();
    done(docker(&proxy, &run(name, &["-d"], &["sleep", "600"])));
    done(docker(&proxy, &["cp", there.to_str().unwrap(), &format!("{name}:/tmp/file")]));
    done(docker(&proxy, &["cp", &format!("{name}:/tmp/file"), back.to_str().unwrap()]));
    assert!(std::fs::read(&back).unwrap() == content);

    let image = format!("stockade-proxy-built-{}", std::process::id());
    std::fs::write(
        folder.path().join("Dockerfile"),
        format!("FROM {BUSYBOX}\nCOPY there /there\nUSER 10001\n"),
    )
    .unwrap();
    let built = docker(&proxy, &["build", "-t", &image, folder.path().to_str().unwrap()]);
    let archive = folder.path().join("image.tar");
    let saved = docker(&proxy, &["save", "-o", archive.to_str().unwrap(), &image]);
    let loaded = docker(&proxy, &["load", "-i", archive.to_str().unwrap()]);
    let removed = docker(&proxy, &["rmi", &image]);
    done(built);
    done(saved);
    assert!(done(loaded).contains(&image));
    done(removed);
}

#[test]
fn what_opens_the_host_is_refused_in_every_spelling_with_the_reason() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let container = Container::named("refused");
    let name = container.0.as_str();
    for dangerous in [
        &["--privileged"][..],
        &["-v", "/var/run/docker.sock:/x"],
        &["-v", "/run/docker.sock:/x:ro"],
        &["-v", "/:/host"],
        &["--mount", "type=bind,source=/run,target=/x"],
        &["--pid=host", "--privileged"],
        &["--cap-add=SYS_ADMIN", "--security-opt=seccomp=unconfined", "--security-opt=apparmor=unconfined"],
        &["--device=/dev/vda"],
    ] {
        let mut arguments = vec!["create", "--name", name];
        arguments.extend(dangerous);
        arguments.push(BUSYBOX);
        let output = docker(&proxy, &arguments);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success()
                && error.contains("Error response from daemon: stockade: ")
                && error.contains("rule open"),
            "{dangerous:?}: {error}"
        );
        println!("{dangerous:?}: {error}");
    }
    for body in [
        r#"{"Image":"stockade-test-busybox","hostconfig":{"PRIVILEGED":true}}"#,
        r#"{"Image":"stockade-test-busybox","HostConfig":{"Privileged":false},"Ho\u017ftConfig":{"Privileged":true}}"#,
        r#"{"Image":"stockade-test-busybox","HostConfig":{"Binds":["/run/docker.sock:/x"]}} trailing"#,
    ] {
        // As it is, and in chunks.
        let answer = http::ask(
            &proxy.socket,
            "POST",
            &format!("/v1.41/containers/create?name={name}"),
            Some(body.as_bytes()),
        )
        .unwrap();
        assert_eq!(answer.status, 403, "{body}: {}", answer.text());
        let mut connection = http::Connection::open(&proxy.socket, Duration::from_secs(60)).unwrap();
        let chunked = format!(
            "POST /containers/create?name={name} HTTP/1.1\r\nHost: d\r\nContent-Type: application/json;charset=utf8\r\n\
             Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        );
        connection.send(chunked.as_bytes()).unwrap();
        let answer = connection.answer().unwrap();
        assert_eq!(answer.status, 403, "{body}: {}", answer.text());
    }
    let there = http::ask(Path::new(DAEMON), "GET", &format!("/containers/{name}/json"), None).unwrap();
    assert_eq!(there.status, 404, "nothing was made");
    assert!(proxy.records().iter().any(|r| r["outcome"] == "deny" && r["subjects"][0]["judged"].is_object()));
}

#[test]
fn the_kernel_says_who_asks_and_the_policy_what_for() {
    let Some(_turn) = present() else { return };
    let policy = "doors:\n  docker-proxy:\n    allow: ['GET /containers/json']\n    callers:\n      - {uids: [65534], allow: ['GET /info']}\n";
    let proxy = Running::before(Path::new(DAEMON), policy);
    let as_nobody = |target: &str| {
        let socket = proxy.socket.to_str().unwrap();
        let url = format!("http://docker{target}");
        let command = Command::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups", "curl", "-s", "-o", "/dev/null"])
            .args(["-w", "%{http_code}", "--unix-socket", socket, &url])
            .output()
            .unwrap();
        String::from_utf8_lossy(&command.stdout).into_owned()
    };
    let as_root = |target: &str| http::ask(&proxy.socket, "GET", target, None).unwrap().status.to_string();
    for (target, root, nobody) in [
        ("/_ping", "200", "200"),
        ("/v1.41/version", "200", "200"),
        ("/v1.41/containers/json", "200", "200"),
        ("/v1.41/info", "403", "200"),
        ("/v1.41/images/json", "403", "403"),
    ] {
        assert_eq!((as_root(target), as_nobody(target)), (root.to_owned(), nobody.to_owned()), "{target}");
    }
    let refused: Vec<(u64, u64, bool)> = proxy
        .records()
        .iter()
        .filter(|record| record["outcome"] == "deny")
        .map(|r| {
            (r["who"]["uid"].as_u64().unwrap(), r["who"]["gid"].as_u64().unwrap(), r["who"]["pid"].is_u64())
        })
        .collect();
    assert_eq!(refused, [(0, 0, true), (0, 0, true), (65534, 65534, true)]);
}

#[test]
fn two_hundred_ask_at_once_and_all_are_answered() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let started = Instant::now();
    let threads: Vec<_> = (0..200)
        .map(|i| {
            let socket = proxy.socket.clone();
            std::thread::spawn(move || match i % 2 {
                0 => http::ask(&socket, "GET", "/containers/json", None).map(|a| a.status),
                _ => {
                    let body = br#"{"Image":"stockade-test-busybox","HostConfig":{"Privileged":true}}"#;
                    http::ask(&socket, "POST", "/containers/create", Some(body)).map(|a| a.status)
                }
            })
        })
        .collect();
    for (i, thread) in threads.into_iter().enumerate() {
        assert_eq!(thread.join().unwrap().unwrap(), if i % 2 == 0 { 200 } else { 403 }, "{i}");
    }
    println!("200 at once: {:?}", started.elapsed());
}

#[test]
fn a_raw_attachment_reads_the_output_after_its_input_ended() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let container = Container::named("raw");
    let name = container.0.as_str();
    // Made for one who attaches: its input ends with theirs.
    let program = ["sh", "-c", "cat; sleep 0.5; echo ended"];
    done(docker(&proxy, &asked("create", name, &["-i"], &program)));
    let mut stream = UnixStream::connect(&proxy.socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let head = format!(
        "POST /containers/{name}/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: d\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 101");
    done(docker(&proxy, &["start", name]));
    stream.write_all(b"input\n").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).unwrap();
    let rest = String::from_utf8_lossy(&rest);
    assert!(rest.contains("input\n") && rest.ends_with("ended\n"), "{rest:?}");
}

#[test]
fn the_gate_test_finds_the_door_live_and_the_daemon_without_one_open_and_leaves_nothing() {
    let Some(_turn) = present() else { return };
    let proxy = Running::before(Path::new(DAEMON), ALL);
    let at = |socket: &Path| canary::docker::run(&Endpoint::Unix(socket.to_owned()), Some(BUSYBOX)).unwrap();
    let trials = at(&proxy.socket);
    assert_eq!(canary::verdict(&trials), Verdict::Live, "{trials:#?}");
    let trials = at(Path::new(DAEMON));
    assert_eq!(canary::verdict(&trials), Verdict::Open, "{trials:#?}");
    assert!(trials.iter().all(|t| t.became == Became::LetIn { left: None }), "{trials:#?}");
    let shut = Running::before(Path::new(DAEMON), "");
    assert_eq!(canary::verdict(&at(&shut.socket)), Verdict::RefusesAll);
    let filter =
        format!("/containers/json?all=1&filters=%7B%22label%22%3A%5B%22{}%22%5D%7D", canary::docker::LABEL);
    assert_eq!(http::ask(Path::new(DAEMON), "GET", &filter, None).unwrap().text(), "[]");
}
