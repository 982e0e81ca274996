//! The door before the runtime, under real engines: Docker with a daemon of its own, Podman with runc and crun, containerd
//! through `ctr`. The same table for all; what is refused must never reach the runtime behind the door. Whatever should be
//! refused has the program `true` to run, so that nothing happens where it is let in.
//!
//! Skipped, and said so, where the engines are not set up (`scripts/engines`), unless STOCKADE_ENGINES is set.

mod cases;
mod engines;

use std::fs;

use cases::{CASES, CTR_CASES, Expected};
use engines::{Answer, Client, Door};

/// Where nothing hides from a text, the audit of the very configuration must say what the door said.
fn agrees_with_audit(door: &Door, name: &str, expected: Expected) {
    let verdict = door.audit_of_seen();
    let agrees = match expected {
        Expected::Runs => verdict != "open",
        Expected::Refused => verdict == "open",
        Expected::RefusedByTheHostsWord => true,
    };
    assert!(agrees, "{name}: the audit of the same configuration says {verdict}");
}

fn decided(door: &Door, name: &str, answer: &Answer, expected: Expected) {
    let made = door.take_made();
    match expected {
        Expected::Runs => {
            assert!(answer.ran, "{name}: refused or failed: {}", answer.text);
            assert!(made > 0, "{name}: the runtime behind the door was not asked");
        }
        Expected::Refused | Expected::RefusedByTheHostsWord => {
            assert!(!answer.ran, "{name}: let in");
            assert_eq!(made, 0, "{name}: it reached the runtime behind the door");
            let understandable = answer.text.contains("stockade: ") && answer.text.contains("denied");
            assert!(understandable, "{name}: the engine says only: {}", answer.text);
        }
    }
}

fn table(client: &Client<'_>) {
    let door = client.door;
    for case in CASES {
        let options: Vec<String> = case.options.iter().map(|word| door.fill(word)).collect();
        let answer = client.run(&options, "true");
        let name = format!("{}, {}", client.name, case.name);
        decided(door, &name, &answer, case.expected);
        agrees_with_audit(door, &name, case.expected);
    }
}

#[test]
fn docker_podman_and_containerd_get_the_same_decisions() {
    let Some(door) = Door::open("same") else { return };
    for client in [door.docker(), door.podman("runc"), door.podman("crun")] {
        client.make_volume("stockade-oci-root", &["type=none", "o=bind", "device=/"]);
        table(&client);
        client.remove_volume("stockade-oci-root");
    }
    for case in CTR_CASES {
        let answer = door.ctr(case.options, "true");
        let name = format!("ctr, {}", case.name);
        decided(&door, &name, &answer, case.expected);
        agrees_with_audit(&door, &name, case.expected);
    }
}

#[test]
fn a_process_that_is_added_is_judged_with_what_it_is_given() {
    let Some(door) = Door::open("exec") else { return };
    for client in [door.docker(), door.podman("runc"), door.podman("crun")] {
        // With a filter of system calls the capabilities alone would open nothing: `exec` keeps the container's filter.
        let name = client.start(&["--user", "10001", "--security-opt", "seccomp=unconfined"]);
        let said = client.exec(&name, &[], &["echo", "here"]);
        assert!(said.ran && said.text.contains("here"), "{}: {}", client.name, said.text);
        assert!(client.exec(&name, &["--user", "0"], &["true"]).ran, "{}", client.name);
        door.take_made();
        let privileged = client.exec(&name, &["--privileged", "--user", "0"], &["true"]);
        assert!(!privileged.ran, "{}: a privileged process was added", client.name);
        assert!(privileged.text.contains("denied"), "{}: {}", client.name, privileged.text);
        assert_eq!(door.take_made(), 0, "{}", client.name);
        client.remove(&name);
    }
}

#[test]
fn ordinary_work_goes_on_behind_the_door() {
    let Some(door) = Door::open("ordinary") else { return };
    for client in [door.docker(), door.podman("runc")] {
        let name = client.start(&["-i", "--health-cmd", "true", "--health-interval", "1s"]);
        assert!(client.exec(&name, &["-i"], &["cat"]).ran, "{}", client.name);
        for words in [
            &["logs", &name][..],
            &["top", &name],
            &["pause", &name],
            &["unpause", &name],
            &["update", "--memory", "64m", "--memory-swap", "64m", &name],
            &["restart", "-t", "0", &name],
            &["stop", "-t", "0", &name],
            &["start", &name],
            &["kill", &name],
        ] {
            // Podman learned `update` with crun and cgroup version 2 alone.
            if client.name != "docker" && words.first() == Some(&"update") {
                continue;
            }
            let answer = client.ask(words);
            assert!(answer.ran, "{} {words:?}: {}", client.name, answer.text);
        }
        client.remove(&name);
        let said = client.run(&["-t".into()], "echo on a terminal");
        assert!(said.ran && said.text.contains("on a terminal"), "{}: {}", client.name, said.text);
        let failing = client.run(&[], "false");
        assert!(!failing.ran && !failing.text.contains("stockade"), "{}: {}", client.name, failing.text);
    }
    let docker = door.docker();
    assert!(docker.run(&["--init".into()], "true").ran);
    let built = docker.build("FROM stockade-test-busybox\nRUN echo built > /built\n");
    assert!(built.ran, "{}", built.text);
    let name = docker.start(&["--health-cmd", "true", "--health-interval", "1s"]);
    docker.until_healthy(&name);
    docker.remove(&name);
}

#[test]
fn a_hook_of_podman_refuses_as_the_door_does() {
    let Some(door) = Door::open("hook") else { return };
    for runtime in ["runc", "crun"] {
        let client = door.podman_with_hook(runtime);
        let sound = client.run(&[], "true");
        assert!(sound.ran, "{}", sound.text);
        for options in [&["--privileged"][..], &["-v", "/:/host"]] {
            let options: Vec<String> = options.iter().map(|word| (*word).to_owned()).collect();
            let refused = client.run(&options, "true");
            assert!(!refused.ran, "{runtime} {options:?}: let in");
        }
    }
}

#[test]
fn a_broken_door_starts_nothing_and_still_stops_what_runs() {
    let Some(door) = Door::open("broken") else { return };
    let docker = door.docker();
    let name = docker.start(&[]);
    let sound = fs::read_to_string(door.settings()).unwrap();
    for broken in ["policy = \"/nonexistent/policy.yaml\"\n", "what = 1\n", "runtime = \n"] {
        fs::write(door.settings(), format!("{broken}{sound}")).unwrap();
        let refused = docker.run(&[], "true");
        assert!(!refused.ran && refused.text.contains("denied"), "{broken}: {}", refused.text);
        assert!(docker.ask(&["top", &name]).ran, "{broken}");
    }
    let stopped = docker.ask(&["stop", "-t", "0", &name]);
    assert!(stopped.ran, "{}", stopped.text);
    fs::write(door.settings(), &sound).unwrap();
    assert!(docker.ask(&["start", &name]).ran);
    docker.remove(&name);
}

#[test]
fn a_waiver_lets_in_what_it_names_and_a_rule_refuses_what_is_held() {
    let Some(door) = Door::open("rules") else { return };
    let docker = door.docker();
    let policy = "version: 1\nrules:\n  - name: no-root-processes\n    condition: confinement.identity.root == false\n";
    fs::write(door.path("policy.yaml"), policy).unwrap();
    let sound = fs::read_to_string(door.settings()).unwrap();
    let with = format!("policy = \"{}\"\n{sound}", door.path("policy.yaml").display());
    fs::write(door.settings(), with).unwrap();
    let refused = docker.run(&[], "true");
    assert!(!refused.ran && refused.text.contains("no-root-processes"), "{}", refused.text);
    assert!(docker.run(&["--user".into(), "10001".into()], "true").ran);

    let (waivers, log) = (door.path("waivers.yaml"), door.path("decisions.jsonl"));
    let with = fs::read_to_string(door.settings()).unwrap();
    let with = format!("waivers = \"{}\"\nrecord = \"{}\"\n{with}", waivers.display(), log.display());
    fs::write(door.settings(), with).unwrap();
    for (until, lets_in) in [("2026-01-31", false), ("2099-01-31", true)] {
        let text = format!(
            "version: 1\nwaivers:\n- {{rule: no-root-processes, reason: as before, owner: ops, until: {until}}}\n"
        );
        fs::write(&waivers, text).unwrap();
        let run = docker.run(&[], "true");
        assert_eq!(run.ran, lets_in, "{until}: {}", run.text);
        assert!(lets_in || run.text.contains("ended on 2026-01-31"), "{}", run.text);
    }
    let log = fs::read_to_string(log).unwrap();
    let decided: Vec<&str> =
        log.lines().filter_map(|line| line.split_once("\"outcome\":\"")?.1.split('"').next()).collect();
    assert!(decided.contains(&"deny") && decided.contains(&"allow"), "{log}");
}
