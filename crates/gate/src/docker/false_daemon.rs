//! A daemon for tests: it answers questions from a table over a real socket, as slowly as it is told to.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use confinement::Host;
use serde_json::{Value, json};
use sources::engine_api::Endpoint;

use super::engine::Engine;
use super::gate::DockerGate;
use crate::record::Door;
use crate::rules::{InForce, Rules};

pub(crate) struct FalseDaemon {
    pub(crate) path: PathBuf,
    pub(crate) asked: Arc<AtomicUsize>,
    answers: Arc<Mutex<BTreeMap<String, Value>>>,
    _folder: tempfile::TempDir,
}

impl FalseDaemon {
    /// One with an image `app`, a container `web`, one `bare` with the host's root, and two volumes.
    pub(crate) fn start(delay: Duration) -> FalseDaemon {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("docker.sock");
        let listener = UnixListener::bind(&path).expect("a socket");
        let answers = Arc::new(Mutex::new(table()));
        let asked = Arc::new(AtomicUsize::new(0));
        let (table, count) = (answers.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (table, count) = (table.clone(), count.clone());
                std::thread::spawn(move || answer(stream, &table, &count, delay));
            }
        });
        FalseDaemon { path, asked, answers, _folder: folder }
    }

    pub(crate) fn set(&self, path: &str, answer: Value) {
        self.answers.lock().expect("whole").insert(path.to_owned(), answer);
    }

    pub(crate) fn gate(&self, policy: &str) -> DockerGate {
        gate_of(&self.path, policy)
    }
}

/// A gate before whatever listens there.
pub(crate) fn gate_of(daemon: &Path, policy: &str) -> DockerGate {
    let policy = policy.to_owned();
    let rules = Rules::load(move || {
        let policy = policy::Policy::parse(&policy, &"p.yaml".into(), &policy::NoFiles)?;
        Ok(InForce { policy, ..InForce::default() })
    });
    DockerGate {
        door: Door::DockerPlugin,
        rules: Arc::new(rules.expect("a policy")),
        engine: Arc::new(Engine::new(Endpoint::Unix(daemon.into()), || Arc::new(Host::unseen()))),
        keep: None,
    }
}

fn answer(
    mut stream: UnixStream,
    table: &Mutex<BTreeMap<String, Value>>,
    count: &AtomicUsize,
    delay: Duration,
) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut first = String::new();
    if reader.read_line(&mut first).is_err() {
        return;
    }
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|count| count > 2) {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default();
    let path = path.strip_prefix("/v1.41").unwrap_or(path);
    if path.starts_with("/events") {
        // As long as whoever follows is there.
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let _ = reader.read_line(&mut line);
        return;
    }
    count.fetch_add(1, Ordering::Relaxed);
    std::thread::sleep(delay);
    let found = table.lock().expect("whole").get(path).cloned();
    let (status, body) = match found {
        Some(body) => ("200 OK", body.to_string()),
        None => ("404 Not Found", json!({"message": "there is none"}).to_string()),
    };
    let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len());
}

fn container(name: &str, host: Value, mounts: Value) -> Value {
    json!({
        "Id": name.repeat(16), "Name": format!("/{name}"), "State": {"Running": true},
        "Config": {"Image": "app", "User": "1000"}, "HostConfig": host, "Mounts": mounts,
    })
}

fn table() -> BTreeMap<String, Value> {
    let root = json!([{"Type": "bind", "Source": "/", "Destination": "/host", "RW": true}]);
    let held = json!({"Privileged": false, "NetworkMode": "default", "PidMode": "", "IpcMode": "private"});
    let bound = json!({"type": "none", "o": "bind", "device": "/"});
    let answers = [
        ("/version", json!({"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"})),
        (
            "/info",
            json!({"SecurityOptions": ["name=apparmor", "name=seccomp,profile=default"], "Name": "elsewhere"}),
        ),
        ("/containers/json?all=1", json!([])),
        ("/networks/bridge", json!({"Driver": "bridge", "Options": {}})),
        ("/images/app/json", json!({"Config": {"User": "", "Labels": null, "Env": ["PATH=/bin"]}})),
        ("/containers/web/json", container("web", held.clone(), json!([]))),
        ("/containers/bare/json", container("bare", held, root)),
        ("/exec/e1/json", json!({"ContainerID": "web", "ProcessConfig": {"privileged": false}})),
        ("/exec/e2/json", json!({"ContainerID": "web", "ProcessConfig": {"privileged": true}})),
        ("/volumes/rootfs", json!({"Name": "rootfs", "Driver": "local", "Options": bound.clone()})),
        ("/volumes", json!({"Volumes": [{"Name": "rootfs", "Driver": "local", "Options": bound}]})),
    ];
    answers.into_iter().map(|(path, answer)| (path.to_owned(), answer)).collect()
}
