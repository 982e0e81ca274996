//! Inspections that this machine's engines cannot be brought to give: GPUs, links, Swarm, newer releases.

use std::sync::Arc;

use confinement::{Engine, EngineKind, Host};
use serde_json::{Value, json};
use sources::{Context, run};

use super::{Reproduced, Unreproducible, reproduce};

fn engine(kind: EngineKind) -> Engine {
    let version = if kind == EngineKind::Podman { (5, 4) } else { (29, 0) };
    Engine::of_version(kind, version, None, "test")
}

/// An inspection of a container of image `i`, with members of three objects given.
fn inspect(root: Value, config: Value, host: Value) -> Value {
    let mut all = json!({"Id": "0123456789abcdef0123456789abcdef", "Name": "/web", "Image": "sha256:feed",
        "Config": {"Image": "i", "Hostname": "0123456789ab", "Cmd": ["serve"]},
        "HostConfig": {"NetworkMode": "default", "IpcMode": "private"}});
    for (name, more) in [("", root), ("Config", config), ("HostConfig", host)] {
        let object = if name.is_empty() { &mut all } else { &mut all[name] };
        object.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    }
    all
}

fn image() -> Value {
    json!({"Id": "sha256:feed", "RepoTags": ["i:latest"], "Config": {"Cmd": ["serve"]}})
}

fn written(root: Value, config: Value, host: Value) -> Reproduced {
    let container = inspect(root, config, host);
    reproduce(&container, Some(&image()), &engine(EngineKind::Docker), &Host::default()).unwrap()
}

/// What the line has beyond that of a container without settings.
fn options(host: Value) -> String {
    let line = written(json!({}), json!({}), host).run_line;
    line.replace(" \\\n", "")
        .replace("docker run --detach  --name web", "")
        .replace("  i\n", "")
        .trim()
        .to_owned()
}

#[test]
fn settings_that_say_what_goes_without_saying_are_left_out() {
    let host = json!({"PidsLimit": null, "MemorySwappiness": null, "OomKillDisable": false, "ShmSize": 67108864,
        "Runtime": "runc", "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0}, "LogConfig": {"Type": "json-file",
        "Config": {}}, "Privileged": false, "Memory": 1073741824, "MemorySwap": 2147483648_i64, "Dns": [], "Binds": null});
    assert_eq!(options(host), "--memory 1g");
}

#[test]
fn each_setting_becomes_its_option() {
    for (host, expected) in [
        (json!({"DeviceRequests": [{"Count": -1, "Capabilities": [["gpu"]]}]}), "--gpus all"),
        (
            json!({"DeviceRequests": [{"DeviceIDs": ["0", "1"], "Capabilities": [["gpu", "utility"]]}]}),
            "--gpus '\"device=0,1\",capabilities=utility'",
        ),
        (json!({"DeviceRequests": [{"Driver": "cdi", "DeviceIDs": ["a.b/c=d"]}]}), "--device a.b/c=d"),
        (json!({"Links": ["/db:/web/database"]}), "--link db:database"),
        (json!({"Privileged": true, "SecurityOpt": ["label=disable"]}), "--privileged"),
        (json!({"SecurityOpt": ["label=disable"]}), "--security-opt label=disable"),
        (json!({"MaskedPaths": [], "ReadonlyPaths": []}), "--security-opt systempaths=unconfined"),
        (json!({"Privileged": true, "MaskedPaths": [], "ReadonlyPaths": []}), "--privileged"),
        (
            json!({"PortBindings": {"80/tcp": [{"HostIp": "::1", "HostPort": "8080"}]}}),
            "--publish '[::1]:8080:80'",
        ),
        (json!({"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": ""}]}}), "--publish 80"),
        (
            json!({"Mounts": [{"Type": "bind", "Source": "/a,b", "Target": "/c\"d", "BindOptions": {"NonRecursive": true}}]}),
            "--mount 'type=bind,\"source=/a,b\",\"target=/c\"\"d\",bind-recursive=disabled'",
        ),
        (
            json!({"Mounts": [{"Type": "tmpfs", "Target": "/t", "TmpfsOptions": {"SizeBytes": 9, "Mode": 448}}]}),
            "--mount type=tmpfs,target=/t,tmpfs-size=9,tmpfs-mode=700",
        ),
        (json!({"NanoCpus": 250000000}), "--cpus 0.25"),
        (json!({"Init": false}), "--init=false"),
        (
            json!({"BlkioDeviceReadBps": [{"Path": "/dev/sda", "Rate": 1024}]}),
            "--device-read-bps /dev/sda:1024",
        ),
        (json!({"Runtime": "runsc"}), "--runtime runsc"),
        (json!({"UsernsMode": "host", "PidMode": "host"}), "--pid host --userns host"),
        (json!({"PidsLimit": -1, "OomScoreAdj": -500}), "--oom-score-adj -500"),
    ] {
        assert_eq!(options(host.clone()).replace("  ", " "), expected, "{host}");
    }
}

#[test]
fn a_profile_that_the_engine_keeps_by_content_becomes_a_file() {
    let written = written(
        json!({}),
        json!({}),
        json!({"SecurityOpt": [r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#]}),
    );
    assert!(written.run_line.contains("--security-opt seccomp=web-seccomp.json"), "{}", written.run_line);
    assert!(written.compose.contains("- seccomp=web-seccomp.json"), "{}", written.compose);
    assert_eq!(written.files[0].path, "web-seccomp.json");
    assert_eq!(written.files[0].text, "{\n  \"defaultAction\": \"SCMP_ACT_ALLOW\"\n}\n");
}

#[test]
fn who_made_the_container_and_what_is_lost_is_said() {
    let labels = json!({"com.docker.compose.service": "api", "com.docker.compose.project.config_files": "/srv/c.yaml",
        "com.docker.swarm.service.name": "s", "kept": "yes"});
    let written = written(
        json!({"Mounts": [{"Type": "volume", "Name": "f".repeat(64), "Destination": "/data"}]}),
        json!({"Labels": labels, "Env": ["TOKEN=abcdefghij"], "Image": "moved:1", "Volumes": {"/data": {}},
            "Healthcheck": {"Test": ["CMD", "check", "a b"], "Interval": 1500000000}}),
        json!({"MaskedPaths": [], "ReadonlyPaths": ["/proc/sys"], "AutoRemove": true}),
    );
    let notes = written.notes.join("\n");
    for expected in [
        "service api of the Compose file /srv/c.yaml",
        "Swarm service s",
        "moved:1 does not name the image any more",
        "TOKEN (a credential by its name)",
        "the volume at /data has no name",
        "`docker diff web`",
        "one of MaskedPaths and ReadonlyPaths is empty",
        "runs without a shell",
        "which --rm does not",
    ] {
        assert!(notes.contains(expected), "{expected}: {notes}");
    }
    assert!(written.compose.starts_with("services:\n  api:\n"), "{}", written.compose);
    assert!(written.compose.contains("labels:\n      kept: 'yes'\n"), "{}", written.compose);
    assert!(written.run_line.contains("--health-cmd 'check '\\''a b'\\'''"), "{}", written.run_line);
    assert!(written.run_line.contains("--health-interval 1500ms"), "{}", written.run_line);
    assert!(
        written.compose.contains("test:\n        - CMD\n        - check\n        - 'a b'\n"),
        "{}",
        written.compose
    );
}

#[test]
fn a_field_of_another_type_is_said_and_the_rest_is_written() {
    let written = written(json!({}), json!({"Env": 7}), json!({"Memory": "much", "ReadonlyRootfs": true}));
    assert!(written.run_line.contains("--read-only"), "{}", written.run_line);
    let notes = written.notes.join("\n");
    assert!(notes.contains("HostConfig.Memory should be a whole number and is a text"), "{notes}");
    assert!(notes.contains("Config.Env should be a list and is a number"), "{notes}");
}

#[test]
fn what_is_no_inspection_is_an_error() {
    let engine = engine(EngineKind::Docker);
    for (answer, expected) in [
        (json!({}), Unreproducible::Missing("Name")),
        (json!([]), Unreproducible::Missing("Name")),
        (json!("web"), Unreproducible::Missing("Name")),
        (json!([{"Name": "web", "Config": {}}]), Unreproducible::Missing("Config.Image")),
    ] {
        assert_eq!(reproduce(&answer, None, &engine, &Host::default()), Err(expected));
    }
}

#[test]
fn any_word_comes_through_the_shell_and_through_compose() {
    let words = [
        "",
        " ",
        "a b",
        "'",
        "\"",
        "$HOME",
        "`id`",
        "\\",
        "!",
        "*",
        "a\nb",
        "\t",
        "ü",
        "-x",
        "--",
        "#",
        "~",
        "a=b",
        "{a,b}",
        "%s",
        "\u{1b}[1m",
        "null",
        "1.0",
        "0x10",
        "a: b",
        "$$",
        "${X:-y}",
        ">",
        "|",
        "&&",
        "(",
        "\u{2028}",
    ];
    let container = inspect(json!({}), json!({"Cmd": words, "Env": ["A=$B 'x'\n\"y\""]}), json!({}));
    let engine = engine(EngineKind::Docker);
    let written = reproduce(&container, Some(&image()), &engine, &Host::default()).unwrap();
    let shell = format!("docker() {{ for word; do printf '%s\\0' \"$word\"; done; }}\n{}", written.run_line);
    let output = std::process::Command::new("sh").args(["-c", &shell]).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let given: Vec<&str> = text.trim_end_matches('\0').split('\0').collect();
    let at = given.iter().position(|word| *word == "i").unwrap();
    assert_eq!(given[at + 1..], words);
    assert!(given.contains(&"A=$B 'x'\n\"y\""), "{given:?}");

    let path: Arc<str> = "compose.yaml".into();
    let limits = sources::document::Limits::default();
    let document = sources::document::parse_bytes(written.compose.as_bytes(), &path, &limits);
    let document = document.into_iter().next().unwrap().unwrap();
    let command = document.root.get("services").unwrap().get("web").unwrap().get("command").unwrap();
    let read: Vec<String> = command.items().map(|item| item.as_str().unwrap().replace("$$", "$")).collect();
    assert_eq!(read, words);
}

#[test]
fn podmans_own_command_is_what_is_written_with_its_surroundings_filled_in() {
    let command: Vec<&str> =
        "podman --log-level debug --root /r run -d --rm --name web --cidfile /c --replace -v ./d:/data:Z \
        -e A=1 -e HOST* --env-file=e --cap-drop all --network n1:ip=10.1.2.3,alias=x --network n2 \
        --sysctl net.core.somaxconn=5 --tz local short/i serve -x"
            .split_whitespace()
            .collect();
    let container = inspect(
        json!({"Mounts": [{"Type": "bind", "Source": "/home/u/d", "Destination": "/data"}],
            "NetworkSettings": {"Networks": {"n1": {}, "n2": {}, "n3": {}}}}),
        json!({"CreateCommand": command, "Image": "docker.io/short/i:latest",
            "Env": ["A=1", "HOSTED=y", "FROM_FILE=z", "container=podman", "HOME=/root"]}),
        json!({}),
    );
    let written =
        reproduce(&container, Some(&image()), &engine(EngineKind::Podman), &Host::default()).unwrap();
    assert_eq!(
        written.run_line.replace(" \\\n ", ""),
        "podman --root /r run --detach --name web --rm --volume /home/u/d:/data:Z --env A=1 --env HOSTED=y --cap-drop all \
         --network n1:ip=10.1.2.3,alias=x --network n2 --sysctl net.core.somaxconn=5 --tz local --env FROM_FILE=z \
         docker.io/short/i:latest serve -x\npodman network connect n3 web\n"
    );
    assert!(
        written.compose.contains("n1:\n        aliases:\n          - x\n        ipv4_address: '10.1.2.3'\n")
    );
    assert!(
        written.notes.iter().any(|note| note == "Compose has no word for --tz local"),
        "{:?}",
        written.notes
    );
    let world = run::read_line(&written.run_line, &"-".into(), 1, &Context::assumed());
    assert_eq!((world.subjects.len(), world.problems.len()), (1, 0), "{:?}", world.problems);
}

/// Every node of a full inspection, replaced by each of some odd values.
#[test]
fn no_answer_makes_it_stop_and_what_is_written_can_be_read() {
    let full = inspect(
        json!({"Path": "serve", "Args": [], "Mounts": [{"Type": "volume", "Name": "v", "Destination": "/v", "RW": true}],
            "NetworkSettings": {"Networks": {"n": {"IPAMConfig": {"IPv4Address": "10.0.0.2"}, "Aliases": ["a"],
            "Links": ["b:c"]}, "m": {"Aliases": null}}}}),
        json!({"Env": ["A=b"], "Labels": {"a": "b"}, "Entrypoint": ["x", "y"], "Volumes": {"/z": {}}, "StopTimeout": 5,
            "ExposedPorts": {"80/tcp": {}}, "Healthcheck": {"Test": ["CMD", "t"], "Interval": 1, "Retries": 2}}),
        json!({"NetworkMode": "n", "Binds": ["/a:/b:ro"], "Memory": 5, "MemorySwap": 6, "NanoCpus": 7, "CapAdd": ["ALL"],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "65535"}]}, "Tmpfs": {"/t": "size=1m"},
            "Mounts": [{"Type": "tmpfs", "Target": "/q", "TmpfsOptions": {"SizeBytes": 3, "Mode": 511}}],
            "Ulimits": [{"Name": "core", "Soft": 0, "Hard": 1}], "LogConfig": {"Type": "x", "Config": {"k": "v"}},
            "SecurityOpt": ["seccomp={}"], "Devices": [{"PathOnHost": "/dev/x", "PathInContainer": "/dev/y"}],
            "DeviceRequests": [{"Count": 1, "Capabilities": [["gpu"]]}], "RestartPolicy": {"Name": "always"}}),
    );
    let mut paths = Vec::new();
    paths_of(&full, String::new(), &mut paths);
    let odd = [
        json!(null),
        json!(-1),
        json!(i64::MAX),
        json!("\u{1b}'\"\n$(x)"),
        json!([[]]),
        json!({"a": {"b": 1}}),
        json!(""),
    ];
    let (mut written, mut lines) = (0, 0);
    for kind in [EngineKind::Docker, EngineKind::Podman] {
        let engine = engine(kind);
        for path in &paths {
            for value in &odd {
                let mut inspect = full.clone();
                *inspect.pointer_mut(path).unwrap() = value.clone();
                let Ok(done) = reproduce(&inspect, Some(&image()), &engine, &Host::default()) else {
                    continue;
                };
                written += 1;
                let world = run::read_line(&done.run_line, &"-".into(), 1, &Context::assumed());
                assert_eq!(world.subjects.len(), 1, "{path} {value}: {}", done.run_line);
                let limits = sources::document::Limits::default();
                let documents = sources::document::parse_bytes(done.compose.as_bytes(), &"c".into(), &limits);
                assert!(documents.iter().all(Result::is_ok), "{path} {value}: {}", done.compose);
                lines += done.run_line.lines().count();
            }
        }
    }
    assert!(written > 500 && lines > written * 10, "{written} {lines}");
}

fn paths_of(value: &Value, path: String, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            paths_of(member, format!("{path}/{}", key.replace('~', "~0").replace('/', "~1")), found);
        }),
        Value::Array(items) => items.iter().enumerate().for_each(|(at, item)| {
            paths_of(item, format!("{path}/{at}"), found);
        }),
        _ => {}
    }
    found.push(path);
}
