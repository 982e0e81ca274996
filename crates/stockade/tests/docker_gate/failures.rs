//! What happens where the gate does not: it was killed, it hangs, its socket is gone, its policy is broken, a thousand
//! requests come at once. Nothing is let in that should not be, and who asked is told why. The texts stand in
//! docs/gate-docker-failures.md; STOCKADE_SHOW=1 prints them.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{Daemon, IMAGE, both, within};
use crate::http;

const WEAK: &str = r#"{"Image":"stockade-test-busybox","HostConfig":{"Privileged":true}}"#;
const SOUND: &str = r#"{"Image":"stockade-test-busybox","User":"1000"}"#;

fn show(what: &str, said: &str, took: Duration) {
    if std::env::var_os("STOCKADE_SHOW").is_some() {
        eprintln!("-- {what}, after {:.1} s:\n{said}", took.as_secs_f64());
    }
}

/// What the client says to a command, and how long that takes.
fn asked(daemon: &Daemon, what: &str, line: &str) -> (bool, String) {
    let begun = Instant::now();
    let output = daemon.run("/usr/bin/docker", &format!("IMAGE={IMAGE}; {line}"));
    let said = both(&output);
    show(what, &said, begun.elapsed());
    (output.status.success(), said)
}

/// Whether a container of that name is there, by the files of the daemon: it answers nobody while its gate is away.
fn is_there(daemon: &Daemon, name: &str) -> bool {
    let folder = daemon.path("data/containers");
    let configurations = fs::read_dir(folder).into_iter().flatten().flatten();
    configurations
        .filter_map(|entry| fs::read_to_string(entry.path().join("config.v2.json")).ok())
        .any(|text| text.contains(&format!("\"Name\":\"/{name}\"")))
}

/// A gate that answers again is asked again, by the same daemon.
fn works_again(daemon: &Daemon) {
    let sound = daemon.ask("POST", "/containers/create", Some(SOUND));
    assert_eq!(sound.status, 201, "{}", sound.text());
    let weak = daemon.ask("POST", "/containers/create", Some(WEAK));
    assert_eq!(weak.status, 403, "{}", weak.text());
}

fn start() -> Option<Daemon> {
    let mut daemon = Daemon::start()?;
    daemon.start_gate(&[]);
    daemon.heed_gate();
    works_again(&daemon);
    Some(daemon)
}

#[test]
fn nobody_is_let_in_while_the_gate_is_dead_and_all_goes_on_when_it_is_back() {
    let Some(mut daemon) = start() else { return };
    daemon.kill_gate();
    // The daemon tries for 45 s, so that both are asked at once.
    thread::scope(|scope| {
        for (name, options) in [("dead-weak", "--privileged"), ("dead-sound", "--user 1000")] {
            let daemon = &daemon;
            scope.spawn(move || {
                let line = format!("docker create --name {name} {options} $IMAGE");
                let (succeeded, said) = asked(daemon, "killed", &line);
                assert!(!succeeded && said.contains(&daemon.plugin), "{said}");
                assert!(!is_there(daemon, name));
            });
        }
    });
    daemon.start_gate(&[]);
    works_again(&daemon);
}

#[test]
fn nobody_is_let_in_while_the_socket_of_the_gate_is_gone() {
    let Some(mut daemon) = start() else { return };
    fs::remove_file(daemon.plugin_socket()).expect("it is there");
    let (succeeded, said) =
        asked(&daemon, "socket removed", "docker create --name gone-weak --privileged $IMAGE");
    assert!(!succeeded && said.contains(&daemon.plugin), "{said}");
    assert!(!is_there(&daemon, "gone-weak"));
    daemon.kill_gate();
    daemon.start_gate(&[]);
    works_again(&daemon);
}

#[test]
fn nobody_is_let_in_while_the_gate_hangs() {
    let Some(daemon) = start() else { return };
    daemon.signal_gate("STOP");
    let line = "timeout 20 /usr/bin/docker create --name hung-weak --privileged $IMAGE";
    let (succeeded, said) = asked(&daemon, "hung", line);
    assert!(!succeeded, "{said}");
    assert!(!is_there(&daemon, "hung-weak"));
    // What waited is decided when it goes on: as it should be.
    daemon.signal_gate("CONT");
    assert!(within(Duration::from_secs(30), || {
        http::ask(&daemon.socket(), "GET", "/containers/json", None).is_ok_and(|answer| answer.status == 200)
    }));
    works_again(&daemon);
    assert!(!is_there(&daemon, "hung-weak"));
}

#[test]
fn a_broken_policy_leaves_the_last_good_one_in_force_and_a_good_one_replaces_it() {
    let Some(mut daemon) = Daemon::start() else { return };
    let policy = daemon.path("policy.yaml");
    let write = |text: &str| fs::write(&policy, text).expect("a file");
    write("version: 1\n");
    daemon.start_gate(&["--policy", &policy.display().to_string()]);
    daemon.heed_gate();
    works_again(&daemon);
    let reload = |daemon: &Daemon, done: &dyn Fn() -> bool| {
        daemon.signal_gate("HUP");
        assert!(within(Duration::from_secs(10), done), "{}", daemon.gate_log());
    };

    write("version: 1\nopen: perhaps\n");
    reload(&daemon, &|| daemon.gate_log().contains("policy.yaml:2"));
    show("broken policy: the gate says", &daemon.gate_log(), Duration::ZERO);
    works_again(&daemon);

    fs::remove_file(&policy).expect("it is there");
    let length = daemon.gate_log().len();
    reload(&daemon, &|| daemon.gate_log().len() > length);
    show("policy removed: the gate says", &daemon.gate_log(), Duration::ZERO);
    works_again(&daemon);

    write("version: 1\nopen: allow\nundetermined: allow\n");
    let let_in = || {
        http::ask(&daemon.socket(), "POST", "/containers/create", Some(WEAK.as_bytes()))
            .is_ok_and(|answer| answer.status == 201)
    };
    reload(&daemon, &let_in);
    // A gate that starts with a policy that is broken does not open.
    write("version: 1\nopen: perhaps\n");
    daemon.kill_gate();
    let _ = fs::remove_file(daemon.plugin_socket());
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(["gate", "docker", "--socket"])
        .arg(daemon.plugin_socket())
        .arg("--policy")
        .arg(&policy)
        .output()
        .expect("it runs");
    show("started with a broken policy", &both(&output), Duration::ZERO);
    assert_eq!(output.status.code(), Some(2), "{}", both(&output));
    assert!(both(&output).contains("policy.yaml:2"), "{}", both(&output));
    assert!(!Path::new(&daemon.plugin_socket()).exists());
}

/// Asks for weak containers, all at once.
fn flood(daemon: &Daemon, count: usize, meanwhile: impl FnOnce()) -> Vec<u16> {
    let socket = Arc::new(daemon.socket());
    let answered = Arc::new(AtomicUsize::new(0));
    let threads: Vec<_> = (0..count)
        .map(|_| {
            let (socket, answered) = (socket.clone(), answered.clone());
            let ask = move || {
                let answer = http::ask(&socket, "POST", "/v1.41/containers/create", Some(WEAK.as_bytes()));
                answered.fetch_add(1, Ordering::Relaxed);
                answer.map_or(0, |answer| answer.status)
            };
            thread::Builder::new().stack_size(128 << 10).spawn(ask).expect("a thread")
        })
        .collect();
    within(Duration::from_secs(30), || answered.load(Ordering::Relaxed) > 50);
    meanwhile();
    threads.into_iter().map(|thread| thread.join().expect("it ends")).collect()
}

fn containers(daemon: &Daemon) -> usize {
    fs::read_dir(daemon.path("data/containers")).map_or(0, Iterator::count)
}

#[test]
fn of_a_thousand_requests_in_flight_none_is_let_in_that_should_not_be() {
    let Some(daemon) = start() else { return };
    let before = containers(&daemon);
    let begun = Instant::now();
    let statuses = flood(&daemon, 1000, || {
        // Meanwhile the sound ones pass.
        let sound = daemon.ask("POST", "/containers/create", Some(SOUND));
        assert_eq!(sound.status, 201, "{}", sound.text());
    });
    show(
        "1000 at once",
        &format!("{} answered with 403", statuses.iter().filter(|s| **s == 403).count()),
        begun.elapsed(),
    );
    assert!(statuses.iter().all(|status| *status == 403), "{statuses:?}");
    assert_eq!(containers(&daemon), before + 1);
    works_again(&daemon);
}

#[test]
fn of_a_thousand_requests_in_flight_none_is_let_in_when_the_gate_is_killed_under_them() {
    let Some(mut daemon) = start() else { return };
    let before = containers(&daemon);
    let pid = daemon.gate_pid();
    let statuses = flood(&daemon, 1000, || crate::harness::kill("KILL", pid));
    let refused = statuses.iter().filter(|status| matches!(**status, 403 | 500)).count();
    show("killed under 1000", &format!("{refused} refused"), Duration::ZERO);
    assert!(statuses.iter().all(|status| matches!(*status, 0 | 403 | 500)), "{statuses:?}");
    assert_eq!(containers(&daemon), before);
    daemon.kill_gate();
    daemon.start_gate(&[]);
    works_again(&daemon);
}
