//! Engines that are absent, hang, or answer with anything at all: each is a problem that names the socket, in less
//! than the five seconds that are promised, and whatever could be read is still there.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use confinement::{Host, World};
use sources::engine_api::{Endpoint, Wanted, docker_at, docker_inventory_at};

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A socket path of the test's own.
struct Socket(PathBuf);

impl Socket {
    fn new() -> Socket {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        Socket(std::env::temp_dir().join(format!("stockade-test-{}-{number}.sock", std::process::id())))
    }
    fn ask(&self, wanted: Wanted<'_>) -> (World, Duration) {
        let started = Instant::now();
        let told = docker_at(&Endpoint::Unix(self.0.clone()), wanted, &Arc::new(Host::default()));
        (told.world, started.elapsed())
    }
    /// The one problem there is, which must name the socket.
    fn problem(&self) -> String {
        let (world, took) = self.ask(Wanted::default());
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(world.problems.len(), 1, "{:#?}", world.problems);
        let text = world.problems[0].to_string();
        assert!(text.contains(self.0.to_str().unwrap()), "{text}");
        assert!(world.subjects.is_empty());
        text
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Answers every connection with `answer` of the path that was asked for; ends with the test's process.
fn serve(socket: &Socket, answer: impl Fn(&str, &mut UnixStream) + Send + 'static) {
    let listener = UnixListener::bind(&socket.0).unwrap();
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
            let text = String::from_utf8_lossy(&request).into_owned();
            let path = text.split(' ').nth(1).unwrap_or("").to_owned();
            answer(&path, &mut connection);
        }
    });
}

/// A daemon that answers these paths (without the version before them) and 404 to others.
fn daemon(answers: &[(&str, &str)]) -> Socket {
    let socket = Socket::new();
    let usual = [
        (
            "/version",
            r#"{"Version": "29.1.0", "ApiVersion": "1.99", "MinAPIVersion": "1.44",
            "Components": [{"Name": "Engine", "Version": "29.1.0"}, {"Name": "runc", "Version": "1.3.3"}]}"#,
        ),
        (
            "/info",
            r#"{"Name": "elsewhere", "KernelVersion": "6.1.0", "CgroupVersion": "2",
            "SecurityOptions": ["name=apparmor", "name=seccomp,profile=builtin", "name=cgroupns"]}"#,
        ),
        ("/volumes", r#"{"Volumes": []}"#),
        ("/networks/bridge", r#"{"Options": {"com.docker.network.bridge.enable_icc": "false"}}"#),
    ];
    let answers: BTreeMap<String, String> =
        usual.iter().chain(answers).map(|(path, body)| ((*path).to_owned(), (*body).to_owned())).collect();
    serve(&socket, move |path, connection| {
        let path = match path.strip_prefix("/v1.") {
            // The newest version that both sides know.
            Some(rest) => {
                assert!(rest.starts_with("52/"), "{path}");
                rest[2..].to_owned()
            }
            None => path.to_owned(),
        };
        let (status, body) = match answers.get(&path) {
            Some(body) => ("200 OK", body.as_str()),
            None => ("404 Not Found", r#"{"message": "page not found"}"#),
        };
        let _ = write!(connection, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    });
    socket
}

const LIST: &str = r#"[{"Id": "aaaa", "Names": ["/other/alias", "/web"], "State": "running"},
    {"Id": "bbbb", "Names": ["/gone"], "State": "running"},
    {"Id": "cccc", "Names": ["/idle"], "State": "exited"}]"#;

#[test]
fn an_absent_socket_is_a_problem() {
    let text = Socket::new().problem();
    assert!(text.contains("No such file"), "{text}");
}

#[test]
fn a_socket_that_refuses_is_a_problem() {
    let socket = Socket::new();
    drop(UnixListener::bind(&socket.0).unwrap());
    let text = socket.problem();
    assert!(text.contains("refused"), "{text}");
}

#[test]
fn a_listener_that_takes_no_connection_is_a_problem_within_five_seconds() {
    let socket = Socket::new();
    let _listener = UnixListener::bind(&socket.0).unwrap();
    // Nobody accepts: connections wait in the backlog until it is full.
    let waiting: Vec<_> = (0..5000)
        .map_while(|_| {
            let fd = rustix::net::socket_with(
                rustix::net::AddressFamily::UNIX,
                rustix::net::SocketType::STREAM,
                rustix::net::SocketFlags::NONBLOCK,
                None,
            )
            .unwrap();
            let address = rustix::net::SocketAddrUnix::new(&socket.0).unwrap();
            rustix::net::connect(&fd, &address).is_ok().then_some(fd)
        })
        .collect();
    assert!(!waiting.is_empty());
    let text = socket.problem();
    assert!(text.contains("took no connection") || text.contains("no complete answer"), "{text}");
}

#[test]
fn a_listener_that_never_answers_is_a_problem_within_five_seconds() {
    let socket = Socket::new();
    let _listener = UnixListener::bind(&socket.0).unwrap();
    let text = socket.problem();
    assert!(text.contains("no complete answer to GET /version"), "{text}");
}

#[test]
fn a_peer_that_trickles_does_not_hold_the_audit_up() {
    let socket = Socket::new();
    serve(&socket, |_, connection| {
        let _ = connection.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        while connection.write_all(b"1\r\n \r\n").is_ok() {
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let text = socket.problem();
    assert!(text.contains("no complete answer"), "{text}");
}

#[test]
fn hostile_answers_are_problems() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let with = |body: &str| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    let answers = [
        "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n{".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7fffffffffffffff\r\n{".to_owned(),
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n".to_owned(),
        with("{\"Version\": "),
        with("\0\0\0\0"),
        with(&deep),
        with(&format!("{{\"Version\": \"{}\"", "9".repeat(1 << 20))),
        "220 mail.example ESMTP\r\n".to_owned(),
        "HTTP/1.1 500 Oops\r\nContent-Length: 3\r\n\r\n\x1b[2".to_owned(),
        String::new(),
    ];
    for answer in answers {
        let socket = Socket::new();
        let shown = answer.chars().take(60).collect::<String>();
        serve(&socket, move |_, connection| {
            let _ = connection.write_all(answer.as_bytes());
        });
        let text = socket.problem();
        assert!(text.len() < 500 && !text.contains('\x1b'), "{shown}: {text}");
    }
}

#[test]
fn a_container_that_went_away_is_a_note_and_the_rest_is_read() {
    let web =
        r#"{"Id": "aaaa", "Name": "/web", "HostConfig": {"Privileged": true}, "Config": {"Image": "x"}}"#;
    let socket = daemon(&[("/containers/json?all=1", LIST), ("/containers/aaaa/json", web)]);
    let (world, _) = socket.ask(Wanted::default());
    assert!(world.problems.is_empty(), "{:#?}", world.problems);
    let ids: Vec<&str> = world.subjects.iter().map(|s| &*s.id).collect();
    assert_eq!(ids, [&format!("docker:{}", socket.0.display()), "docker:web"]);
    assert_eq!(world.subjects[1].confinement.privileged.value, Some(true));
    assert_eq!(world.notes.len(), 1, "{:#?}", world.notes);
    assert!(world.notes[0].message.contains("gone went away"));
    // The daemon is not of this machine: its host is what it tells.
    let host = &world.subjects[1].confinement.host;
    assert_eq!(host.kernel_release.value.as_deref(), Some("6.1.0"));
    let runc = host.components.get("runc").and_then(confinement::Fact::get).unwrap();
    assert_eq!(runc.version.as_deref(), Some("1.3.3"));
    let engine = world.subjects[0].confinement.engine.clone().unwrap();
    assert_eq!((engine.version, engine.patch), ((29, 1), Some(0)));
    assert_eq!(engine.settings.inter_container.value, Some(false));
}

#[test]
fn wrong_types_are_problems_and_leave_the_fact_unknown() {
    let web = r#"{"Id": "aaaa", "Mounts": [{"Type": "bind", "Source": 7, "Destination": "/x", "RW": "no"}, 3],
        "HostConfig": {"Privileged": "yes", "CapAdd": "ALL", "PidMode": 3, "Memory": "lots", "NetworkMode": "host",
            "SecurityOpt": ["seccomp=unconfined", "nonsense"], "Devices": {}, "PidsLimit": 9e99},
        "Config": {"User": ["root"]}, "State": []}"#;
    let socket = daemon(&[("/containers/json?all=1", LIST), ("/containers/aaaa/json", web)]);
    let (world, _) = socket.ask(Wanted { name: Some("web"), stopped: false });
    let confinement = &world.subjects[0].confinement;
    assert_eq!(confinement.privileged.value, None);
    assert_eq!(confinement.capabilities.bounding.value, None);
    assert_eq!(confinement.identity.root.value, None);
    assert_eq!(confinement.namespaces.pid.value, None);
    assert_eq!(confinement.namespaces.net.value, Some(confinement::Namespace::Host));
    assert_eq!(confinement.mounts.iter().find(|m| &*m.target == "/x").unwrap().source.value, None);
    let text = world.problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    for part in [
        "docker inspect web: HostConfig.Privileged should be true or false and is a text",
        "HostConfig.CapAdd should be a list",
        "HostConfig.PidMode should be a text",
        "HostConfig.Memory should be a whole number",
        "HostConfig.Devices should be a list",
        "HostConfig.PidsLimit should be a whole number",
        "Config.User should be a text",
        "Mounts[0].Source should be a text",
        "`nonsense`",
    ] {
        assert!(text.contains(part), "{part} is missing in:\n{text}");
    }
}

#[test]
fn a_filtered_socket_is_read_as_far_as_it_answers() {
    let web = r#"{"Id": "aaaa", "HostConfig": {}, "Config": {},
        "Mounts": [{"Type": "volume", "Name": "data", "Destination": "/d", "RW": true}]}"#;
    let socket = daemon(&[
        ("/containers/json?all=1", r#"[{"Id": "aaaa", "Names": ["/web"], "State": "running"}]"#),
        ("/containers/aaaa/json", web),
        ("/volumes", "no"),
    ]);
    let (world, _) = socket.ask(Wanted::default());
    assert_eq!(world.problems.len(), 1, "{:#?}", world.problems);
    assert!(world.problems[0].message.contains("the volumes could not be read"));
    // What the volume shows is not known, rather than nothing of note.
    let mounts = &world.subjects[1].confinement.mounts;
    assert_eq!(mounts.iter().find(|m| &*m.target == "/d").unwrap().source.value, None);
}

#[test]
fn no_running_container_is_said() {
    let socket = daemon(&[("/containers/json?all=1", "[]")]);
    let (world, _) = socket.ask(Wanted::default());
    assert!(world.problems.is_empty());
    assert!(world.notes[0].message.contains("no container is running"), "{:#?}", world.notes);
}

#[test]
fn an_inventory_has_images_with_their_health_and_history_and_what_is_refused_is_unknown() {
    let socket = daemon(&[
        ("/containers/json?all=1", r#"[{"Id": "aaaa", "Names": ["/web"], "ImageID": "sha256:11"}]"#),
        (
            "/images/json",
            r#"[{"Id": "sha256:11", "RepoTags": ["app:1"]}, {"Id": "sha256:22", "RepoTags": ["<none>:<none>"]},
                {"Id": "sha256:33", "RepoTags": null}]"#,
        ),
        ("/images/sha256%3A11/json", r#"{"Config": {"Healthcheck": {"Test": ["CMD", "true"]}}}"#),
        (
            "/images/sha256%3A11/history",
            r#"[{"CreatedBy": "ADD . /app # buildkit"}, {"CreatedBy": "RUN /bin/sh -c apk update # buildkit"},
                {"CreatedBy": "/bin/sh -c #(nop) ADD file:1 in / "}]"#,
        ),
        ("/images/sha256%3A22/json", r#"{"Config": {"Healthcheck": {"Test": ["NONE"]}}}"#),
        ("/images/sha256%3A22/history", "[]"),
        (
            "/networks",
            r#"[{"Name": "ingress", "Driver": "overlay", "Options": {"x": "1"}},
                {"Name": "app", "Driver": "overlay", "Options": {"encrypted": ""}}, {"Name": "b", "Driver": "bridge"}]"#,
        ),
    ]);
    let found = docker_inventory_at(&Endpoint::Unix(socket.0.clone())).unwrap();
    let images = found.images.unwrap();
    let shown: Vec<(&str, Option<bool>)> =
        images.iter().map(|image| (image.name.as_str(), image.health_check)).collect();
    assert_eq!(shown, [("app:1", Some(true)), ("22", Some(false)), ("33", None)]);
    assert_eq!(images[0].added.as_deref(), Some(&["ADD . /app # buildkit".to_owned()][..]));
    assert_eq!(images[0].lone_updates.as_ref().map(Vec::len), Some(1));
    assert_eq!((images[2].added.as_ref(), found.images_used), (None, Some(1)));
    let overlays: Vec<(String, bool)> =
        found.overlays.unwrap().into_iter().map(|network| (network.name, network.encrypted)).collect();
    assert_eq!(overlays, [("ingress".to_owned(), false), ("app".to_owned(), true)]);
    assert_eq!(found.swarm.map(|swarm| swarm.active), Some(false));
}

#[test]
fn a_container_tells_how_it_is_kept_running() {
    let container = |more: &str| {
        format!(
            r#"{{"State": {{"Pid": 0}}, "Config": {{"Image": "x"}},
                "HostConfig": {{"NetworkMode": "default", "CpuShares": 512, "RestartPolicy":
                {{"Name": "on-failure", "MaximumRetryCount": 9}}, "Ulimits": null}}{more}}}"#
        )
    };
    let plain = container("");
    let socket = daemon(&[
        ("/containers/json?all=1", r#"[{"Id": "aaaa", "Names": ["/web"], "State": "exited"}]"#),
        ("/containers/aaaa/json", &plain),
    ]);
    let (world, _) = socket.ask(Wanted { name: Some("web"), stopped: false });
    let operation = &world.subjects[0].confinement.operation;
    let restart = operation.restart.as_ref().and_then(|fact| fact.value.clone()).unwrap();
    assert_eq!((&*restart.policy, restart.retries), ("on-failure", Some(9)));
    assert_eq!(operation.health_check.as_ref().map(|fact| fact.value), Some(Some(false)));
    assert_eq!(operation.cpu_shares.as_ref().map(|fact| fact.value), Some(Some(Some(512))));
    assert_eq!(operation.default_bridge.as_ref().map(|fact| fact.value), Some(Some(true)));
    assert!(operation.ulimits.is_none() && operation.ssh_server.is_none());
    // The daemon is elsewhere: what only its command line tells is not known.
    let settings = &world.subjects[0].confinement.engine.as_ref().unwrap().settings;
    assert_eq!(settings.own_configuration, Some(false));
}
