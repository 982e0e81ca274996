//! Policies, waivers and baselines at the command line: what is said, and the exit code.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{Folder, text};

fn stockade(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_stockade"))
        .args(arguments)
        .current_dir(folder)
        .env("NO_COLOR", "1")
        .env_remove("DOCKER_HOST")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    text(&output.stdout) + &text(&output.stderr)
}

const BOT: &str = "services:\n  bot:\n    image: bot:1\n    volumes:\n      - /var/run/docker.sock:/s\n";
const WAIVERS: &str = "version: 1\nwaivers:\n- technique: engine-api\n  names: bot\n  reason: builds images\n  owner: ops\n  ticket: OPS-1\n  until: 2027-01-31\n";

#[test]
fn an_expired_waiver_fails_a_run_and_one_that_ends_in_ten_days_warns() {
    let folder = Folder::new("waivers", &[("compose.yaml", BOT), ("stockade-waivers.yaml", WAIVERS)]);
    for (today, code, expected) in [
        (
            "2027-01-01",
            0,
            "waived until 2027-01-31 by ops (OPS-1): bot can become root on the host [engine-api]: builds images (stockade-waivers.yaml:3)",
        ),
        (
            "2027-01-21",
            0,
            "warning: stockade-waivers.yaml:3:3: the waiver of engine-api for bot by ops ends in 10 days (2027-01-31)",
        ),
        (
            "2027-02-01",
            1,
            "error: stockade-waivers.yaml:3:3: the waiver of engine-api for bot by ops ended on 2027-01-31, yesterday; what it waived is still there",
        ),
    ] {
        let output = stockade(&folder.0, &["audit", "compose.yaml", "--today", today]);
        assert_eq!(output.status.code(), Some(code), "{today}: {}", said(&output));
        assert!(said(&output).contains(expected), "{today}: {}", said(&output));
    }
    // Also where the severity alone would pass.
    let arguments =
        ["audit", "compose.yaml", "--depth", "1", "--threshold", "critical", "--today", "2027-02-01"];
    assert_eq!(stockade(&folder.0, &arguments).status.code(), Some(1));
    let all = stockade(&folder.0, &["audit", "compose.yaml", "--no-waivers", "--today", "2027-01-01"]);
    assert_eq!(all.status.code(), Some(1));
    assert!(!said(&all).contains("waived"));
}

#[test]
fn what_is_waived_stays_in_every_format() {
    let folder = Folder::new("visible", &[("compose.yaml", BOT), ("w.yaml", WAIVERS)]);
    let run = |format: &str| {
        let arguments =
            ["audit", "compose.yaml", "--waivers", "w.yaml", "--today", "2027-01-01", "--format", format];
        let output = stockade(&folder.0, &arguments);
        assert_eq!(output.status.code(), Some(0), "{format}: {}", said(&output));
        text(&output.stdout)
    };
    let json: Value = serde_json::from_str(&run("json")).unwrap();
    let waiver = &json["subjects"][0]["paths"][0]["waiver"];
    assert_eq!(waiver["kind"], "external");
    assert_eq!((&waiver["owner"], &waiver["until"]), (&Value::from("ops"), &Value::from("2027-01-31")));
    assert_eq!(json["subjects"][0]["verdict"], "open", "a waiver changes no verdict");
    let sarif: Value = serde_json::from_str(&run("sarif")).unwrap();
    let suppression = &sarif["runs"][0]["results"][0]["suppressions"][0];
    assert_eq!(
        (&suppression["kind"], &suppression["status"]),
        (&Value::from("external"), &Value::from("accepted"))
    );
    assert!(
        suppression["justification"].as_str().unwrap().contains("builds images (owner: ops) (ticket: OPS-1)")
    );
    for format in ["junit", "github", "html", "text"] {
        assert!(run(format).contains("waived until 2027-01-31 by ops"), "{format}");
    }
}

#[test]
fn a_waiver_that_cannot_be_read_is_an_error_and_waives_nothing() {
    let in_place = BOT.replace("      - /var", "      # stockade: waive engine-api reason=x\n      - /var");
    let folder =
        Folder::new("unread", &[("compose.yaml", &in_place), ("w.yaml", "version: 1\nwaivers: [{}]\n")]);
    let output = stockade(&folder.0, &["audit", "compose.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("compose.yaml:5:7: the waiver has no end"), "{}", said(&output));
    assert!(said(&output).contains("[engine-api]"));
    let output = stockade(&folder.0, &["audit", "compose.yaml", "--waivers", "w.yaml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("w.yaml:2:11: the waiver has no `until`"), "{}", said(&output));
}

#[test]
fn a_policy_decides_the_exit_code() {
    let undetermined = "docker run --pid host --cap-add SYS_PTRACE registry.example/a:1";
    let policy = |undetermined: &str| {
        format!(
            "version: 1\nundetermined: {undetermined}\nrules:\n- name: digest\n  mode: warn\n  require: {{images: {{digest: true}}}}\n"
        )
    };
    let folder = Folder::new(
        "policy",
        &[
            ("deny.yaml", &policy("deny")),
            ("allow.yaml", &policy("allow")),
            ("broken.yaml", "version: 1\nrule: []\n"),
        ],
    );
    for (file, line, code, expected) in [
        (
            "deny.yaml",
            "docker run --privileged x",
            1,
            "x: denied: x can become root on the host (rule open, ",
        ),
        (
            "deny.yaml",
            undetermined,
            2,
            "a: denied: whether a can become root on the host is not known (rule undetermined",
        ),
        (
            "allow.yaml",
            undetermined,
            0,
            "a: warned of: the image registry.example/a:1 is not named by digest (rule digest)",
        ),
        ("deny.yaml", "docker run x@sha256:00", 0, "1 held"),
        (
            "broken.yaml",
            "docker run x",
            2,
            "broken.yaml:2:1: `rule` is not a key of a policy; did you mean `rules`?",
        ),
    ] {
        let output = stockade(&folder.0, &["audit", "--run", line, "--policy", file]);
        assert_eq!(output.status.code(), Some(code), "{file} {line}: {}", said(&output));
        assert!(said(&output).contains(expected), "{file} {line}: {}", said(&output));
    }
}

#[test]
fn a_policy_is_begun_checked_and_tested() {
    let folder = Folder::new("begin", &[("other.txt", "")]);
    let run = |arguments: &[&str]| stockade(&folder.0, arguments);
    assert_eq!(run(&["policy", "init"]).status.code(), Some(0));
    assert_eq!(run(&["policy", "init"]).status.code(), Some(2), "what is there is not written over");
    let check = run(&["policy", "check", "stockade-policy.yaml", "stockade-policy.test.yaml"]);
    assert_eq!(check.status.code(), Some(0), "{}", said(&check));
    let test = run(&["policy", "test"]);
    assert_eq!((test.status.code(), text(&test.stdout).as_str()), (Some(0), "3 passed, 0 failed\n"));

    let path = folder.0.join("stockade-policy.test.yaml");
    let failing = fs::read_to_string(&path).unwrap().replace("expect: allow", "expect: deny");
    fs::write(&path, failing).unwrap();
    let test = run(&["policy", "test", "stockade-policy.yaml"]);
    assert_eq!(test.status.code(), Some(1));
    assert_eq!(
        text(&test.stdout),
        "stockade-policy.test.yaml:11:11: failed: an ordinary container passes: expected deny, decided allow: web: nothing is against it\n2 passed, 1 failed\n"
    );

    fs::write(
        folder.0.join("stockade-policy.yaml"),
        "version: 1\nrules:\n- name: a\n  subjects: {forms: compose, namespaces: x}\n  require: {depth: 1}\n",
    )
    .unwrap();
    let check = run(&["policy", "check", "stockade-policy.yaml"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(
        said(&check).contains("stockade-policy.yaml:3:9: the rule `a` can never match"),
        "{}",
        said(&check)
    );
    fs::write(folder.0.join("stockade-policy.yaml"), "version: 2\n").unwrap();
    assert_eq!(run(&["policy", "check", "stockade-policy.yaml"]).status.code(), Some(2));
    assert_eq!(run(&["policy", "test"]).status.code(), Some(2));
}

#[test]
fn a_baseline_is_written_checked_and_tightened() {
    let before = "services:\n  web:\n    image: nginx:1\n  db:\n    image: postgres:1\n";
    let folder = Folder::new("baseline", &[("compose.yaml", before)]);
    let run = |arguments: &[&str]| stockade(&folder.0, arguments);
    let check = || run(&["baseline", "check", "compose.yaml"]);
    assert_eq!(check().status.code(), Some(2), "there is no baseline yet");
    assert_eq!(run(&["baseline", "write", "compose.yaml"]).status.code(), Some(0));
    assert_eq!(check().status.code(), Some(0));

    let after = "services:\n  db:\n    image: postgres:1\n    user: '999'\n  web:\n    volumes: ['/var/run/docker.sock:/s']\n    image: nginx:1\n";
    fs::write(folder.0.join("compose.yaml"), after).unwrap();
    let worse = check();
    assert_eq!(worse.status.code(), Some(1));
    let shown = text(&worse.stdout);
    for expected in [
        "worse: web (compose.yaml:5:3)\n  held -> open\n  new open path: engine-api (1 wall before)\n  new gain: host-root\n",
        "  changed: mounts[/s]: not there -> host /run/docker.sock, writable (compose.yaml:6:16)\n",
        "better: db (compose.yaml:2:3)\n  better: every path: 1 wall -> 2 walls\n",
        "  changed: identity.uid: 0 -> 999 (compose.yaml:4:11)\n",
        "1 worse, 1 better, 0 changed otherwise, 0 new (0 not to be approved unseen), 0 gone, 0 as approved\n--tighten approves what became better\n",
    ] {
        assert!(shown.contains(expected), "{expected}\nin\n{shown}");
    }
    assert_eq!(run(&["baseline", "check", "--tighten", "compose.yaml"]).status.code(), Some(1));
    assert!(text(&check().stdout).contains("1 worse, 0 better"));

    fs::write(folder.0.join("compose.yaml"), "services: {web: [}\n").unwrap();
    assert_eq!(check().status.code(), Some(2));
    assert_eq!(
        run(&["baseline", "write", "compose.yaml"]).status.code(),
        Some(2),
        "nothing half read is approved"
    );
}

/// A daemon with one container, whose inspection the test may change.
fn daemon(folder: &Path, container: &Arc<Mutex<Value>>) -> String {
    let socket = folder.join("docker.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let container = container.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let Ok(mut connection) = connection else { continue };
            let mut request = Vec::new();
            let mut block = [0; 1024];
            while !request.ends_with(b"\r\n\r\n") {
                match connection.read(&mut block) {
                    Ok(count) if count > 0 => request.extend_from_slice(&block[..count]),
                    _ => break,
                }
            }
            let request = String::from_utf8_lossy(&request).into_owned();
            let path = request.split(' ').nth(1).unwrap_or("");
            let body = match path.split('?').next().unwrap_or("") {
                p if p.ends_with("/version") => r#"{"Version": "29.1.0", "ApiVersion": "1.52"}"#.to_owned(),
                p if p.ends_with("/info") => r#"{"Name": "elsewhere", "SecurityOptions": ["name=seccomp,profile=builtin"], "SystemTime": "2026-11-23T10:00:00Z"}"#.to_owned(),
                p if p.ends_with("/containers/json") => r#"[{"Id": "aaaa", "Names": ["/web"], "State": "running"}]"#.to_owned(),
                p if p.ends_with("/containers/aaaa/json") => container.lock().unwrap().to_string(),
                p if p.ends_with("/volumes") => r#"{"Volumes": []}"#.to_owned(),
                p if p.ends_with("/networks/bridge") => r#"{"Options": {}}"#.to_owned(),
                p if p.ends_with("/events") => "{\"Type\":\"daemon\",\"Action\":\"reload\",\"time\":1795428000}\n".to_owned(),
                _ => String::new(),
            };
            let status = if body.is_empty() { "404 Not Found" } else { "200 OK" };
            let _ = write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        }
    });
    format!("unix://{}", socket.display())
}

#[test]
fn a_drifted_container_is_named_with_the_fact_that_changed_and_when_it_was_made() {
    let inspection = serde_json::json!({
        "Id": "aaaa", "Name": "/web", "Created": "2026-11-23T09:00:00Z",
        "State": { "Running": false, "Pid": 0, "StartedAt": "2026-11-23T09:00:01Z" },
        "Config": { "Image": "nginx:1", "User": "1000", "Labels": { "com.docker.compose.project": "shop" } },
        "HostConfig": { "NetworkMode": "bridge", "PidMode": "", "IpcMode": "private", "CapDrop": ["ALL"],
            "Binds": [], "SecurityOpt": [] },
        "Mounts": [],
    });
    let container = Arc::new(Mutex::new(inspection));
    let folder = Folder::new("live", &[("empty", "")]);
    let host = daemon(&folder.0, &container);
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_stockade"))
            .args(arguments)
            .current_dir(&folder.0)
            .env("DOCKER_HOST", &host)
            .output()
            .unwrap()
    };
    let written = run(&["baseline", "write", "docker:web"]);
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    assert_eq!(run(&["baseline", "check", "docker:web"]).status.code(), Some(0));
    {
        let mut changed = container.lock().unwrap();
        changed["HostConfig"]["Privileged"] = true.into();
        changed["Config"]["User"] = "".into();
        changed["Created"] = "2026-11-23T09:30:00Z".into();
    }
    let drifted = run(&["baseline", "check", "docker:web"]);
    let shown = said(&drifted);
    assert_eq!(drifted.status.code(), Some(1), "{shown}");
    for expected in [
        "worse: web\n  held -> open\n",
        "  changed: privileged: false -> true (docker inspect web: HostConfig.Privileged)\n",
        "  changed: identity.root: false -> true (",
        "  created 2026-11-23T09:30:00Z, started 2026-11-23T09:00:01Z, by the Compose project shop\n",
    ] {
        assert!(shown.contains(expected), "{expected}\nin\n{shown}");
    }
}

#[test]
fn a_setting_of_a_daemon_is_named_with_when_it_was_read_anew() {
    let folder = Folder::new("daemon", &[("empty", "")]);
    let host = daemon(&folder.0, &Arc::new(Mutex::new(serde_json::json!({ "Id": "aaaa", "Name": "/web" }))));
    let run = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_stockade"))
            .args(arguments)
            .current_dir(&folder.0)
            .env("DOCKER_HOST", &host)
            .output()
            .unwrap()
    };
    let written = run(&["baseline", "write", "docker:"]);
    assert_eq!(written.status.code(), Some(0), "{}", said(&written));
    let path = folder.0.join("stockade-baseline.json");
    let approved = fs::read_to_string(&path).unwrap();
    let changed =
        approved.replace("\"engine.settings.usernsRemap\": false", "\"engine.settings.usernsRemap\": true");
    assert_ne!(approved, changed);
    fs::write(&path, changed).unwrap();
    let shown = said(&run(&["baseline", "check", "docker:"]));
    for expected in [
        "  changed: engine.settings.usernsRemap: true -> false (",
        "  settings reloaded 2026-11-23T10:00:00Z\n",
    ] {
        assert!(shown.contains(expected), "{expected}\nin\n{shown}");
    }
}

/// A repository with one commit of these files.
fn repository(name: &str, files: &[(&str, &str)]) -> Folder {
    let folder = Folder::new(name, files);
    for arguments in [
        ["init", "--quiet", "--initial-branch=main", "."].as_slice(),
        &["add", "--all"],
        &["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "--message", "first"],
    ] {
        let output = Command::new("git").args(arguments).current_dir(&folder.0).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    folder
}

#[test]
fn ci_fails_only_on_what_the_change_made_worse() {
    let compose = "services:\n  old:\n    image: x\n    privileged: true\n  web:\n    image: nginx:1\n";
    let folder = repository("ci", &[("app/compose.yaml", compose), ("broken.yaml", "services: {a: [}\n")]);
    let path = folder.0.join("app/compose.yaml");
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_stockade"))
            .arg("ci")
            .args(arguments)
            .current_dir(&folder.0)
            .env("NO_COLOR", "1")
            .env_remove("GITHUB_ACTIONS")
            .env_remove("GITHUB_BASE_REF")
            .env_remove("CI_MERGE_REQUEST_DIFF_BASE_SHA")
            .output()
            .unwrap();
        (output.status.code(), said(&output))
    };
    // What was open before, or could not be read before, is not the change's.
    assert_eq!(run(&[]), (Some(0), "the change makes nothing worse\n".to_owned()));

    let opened = compose.replace("nginx:1\n", "nginx:1\n    volumes: ['/var/run/docker.sock:/s']\n");
    fs::write(&path, &opened).unwrap();
    let (code, shown) =
        run(&["--format", "github", "--sarif", "s.sarif", "--junit", "j.xml", "--gitlab", "g.json"]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("::error file=app/compose.yaml,line=7,"), "{shown}");
    assert!(!shown.contains("old "), "{shown}");
    let sarif: Value = serde_json::from_str(&fs::read_to_string(folder.0.join("s.sarif")).unwrap()).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    assert!(
        !results.is_empty()
            && results.iter().all(|r| r["properties"]["subject"].as_str().unwrap().ends_with("service/web"))
    );
    let gitlab: Value = serde_json::from_str(&fs::read_to_string(folder.0.join("g.json")).unwrap()).unwrap();
    assert_eq!(
        gitlab[0]["location"],
        serde_json::json!({ "path": "app/compose.yaml", "lines": { "begin": 7 } })
    );
    assert!(fs::read_to_string(folder.0.join("j.xml")).unwrap().contains("failures=\"1\""));
    for file in ["s.sarif", "j.xml", "g.json"] {
        fs::remove_file(folder.0.join(file)).unwrap();
    }

    let waived = opened.replace(
        "    volumes",
        "    # stockade: waive engine-api until=2027-01-31 reason=needed\n    volumes",
    );
    fs::write(&path, waived).unwrap();
    assert_eq!(run(&["--today", "2027-01-01"]).0, Some(0));
    assert_eq!(run(&["--today", "2027-02-01"]).0, Some(1));

    // Moved, renamed and reordered, and a held service more.
    fs::remove_file(&path).unwrap();
    fs::write(
        folder.0.join("app/docker-compose.yml"),
        "# new\nservices:\n  web:\n    image: nginx:1\n  old:\n    privileged: true\n    image: x\n  more:\n    image: y:1\n",
    )
    .unwrap();
    let (code, shown) = run(&[]);
    assert_eq!(code, Some(0), "{shown}");

    fs::write(folder.0.join("run.sh"), "#!/bin/sh\ndocker run --name fresh --privileged x\n").unwrap();
    let (code, shown) = run(&[]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("fresh can become root on the host"), "{shown}");
    fs::write(folder.0.join("run.sh"), "#!/bin/sh\ndocker run --name fresh $( x\n").unwrap();
    fs::write(folder.0.join("other.yaml"), "services: {a: [}\n").unwrap();
    assert_eq!(run(&[]).0, Some(2), "what cannot be read since is the change's");
    let (code, shown) = run(&["--base", "nowhere"]);
    assert_eq!(code, Some(2));
    assert!(shown.contains("the revision nowhere is not here"), "{shown}");
}

#[test]
fn ci_counts_of_a_policy_what_was_not_against_a_subject_before() {
    let folder = repository(
        "ci-policy",
        &[
            ("compose.yaml", "services:\n  a:\n    image: nginx\n"),
            ("p.yaml", "version: 1\nrules:\n- name: tags\n  require: {images: {latest: false}}\n"),
        ],
    );
    let run = || {
        let output = stockade(&folder.0, &["ci", "compose.yaml", "--policy", "p.yaml", "--base", "HEAD"]);
        (output.status.code(), said(&output))
    };
    assert_eq!(run().0, Some(0), "it was so before");
    fs::write(folder.0.join("compose.yaml"), "services:\n  a:\n    image: nginx\n  b:\n    image: redis\n")
        .unwrap();
    let (code, shown) = run();
    assert_eq!(code, Some(1), "{shown}");
    assert!(
        shown.contains("b: denied: the image redis has the tag latest") && !shown.contains("a: denied"),
        "{shown}"
    );
}
