//! What dockerd does not tell over its API: the TCP addresses it listens on, and a few defaults. They stand on its
//! command line and in its daemon.json (dockerd(8)); both are read where the daemon runs here.

use std::path::Path;
use std::sync::Arc;

use confinement::engine::TcpApi;
use confinement::{Engine, Fact, HostPath, Origin};

use super::http::Endpoint;
use crate::document::{Limits, parse_bytes};
use crate::process::files::{read_bytes, read_text};

const FILE_LIMIT: u64 = 4 << 20;
const CONFIGURATION: &str = "/etc/docker/daemon.json";

/// A flag as it was given.
struct Flag {
    name: String,
    value: String,
}

/// Gives whether the daemon and so its configuration was found.
pub(super) fn overlay(endpoint: &Endpoint, engine: &mut Engine) -> bool {
    let Endpoint::Unix(socket) = endpoint else { return false };
    let Some((pid, words)) = daemon_of(socket) else { return false };
    let flags = flags(&words);
    let value = |name: &str| flags.iter().rev().find(|f| f.name == name).map(|f| f.value.as_str());
    let file: Arc<str> = value("config-file").unwrap_or(CONFIGURATION).into();
    if let Ok(bytes) = read_bytes(Path::new(&*file), FILE_LIMIT) {
        for document in parse_bytes(&bytes, &file, &Limits::default()).into_iter().flatten() {
            // The daemon runs with this file; what is wrong in it is for a reader of files to say.
            let _ = crate::daemon::apply(&document, engine);
        }
    }
    let settings = &mut engine.settings;
    let origin = |name: &str| Origin::measured(format!("command line of dockerd, process {pid}: --{name}"));
    let text = |name: &str| value(name).map(|v| Fact::known(Arc::from(v), origin(name)));
    let set = |name: &str| text(name).map(|v| v.map(|v| !matches!(&**v, "false" | "0" | "f" | "F")));
    if let Some(proxy) = set("userland-proxy") {
        settings.userland_proxy = proxy;
    }
    if let Some(no_new_privileges) = set("no-new-privileges") {
        settings.no_new_privileges = no_new_privileges;
    }
    let verifies = set("tlsverify").and_then(|f| f.value);
    for api in &mut settings.tcp {
        if let (Some(api), Some(verifies)) = (&mut api.value, verifies) {
            api.verifies_clients = verifies;
        }
    }
    for host in flags.iter().filter(|f| f.name == "host" && f.value.starts_with("tcp://")) {
        let verifies_clients = verifies.unwrap_or(false);
        let api = TcpApi { address: host.value.as_str().into(), verifies_clients };
        settings.tcp.push(Fact::known(api, origin("host")));
    }
    settings.default_ulimits |= flags.iter().any(|f| f.name == "default-ulimit");
    if let Some(mode) = text("default-ipc-mode") {
        settings.default_ipc = Some(mode);
    }
    for (name, setting) in [
        ("cgroup-parent", &mut settings.cgroup_parent),
        ("log-level", &mut settings.log_level),
        ("tlscacert", &mut settings.tls.authority),
        ("tlscert", &mut settings.tls.certificate),
        ("tlskey", &mut settings.tls.key),
    ] {
        if let Some(stated) = text(name) {
            *setting = Some(stated);
        }
    }
    if let Some(iptables) = set("iptables") {
        settings.packet_filter = iptables;
    }
    let storage = flags.iter().filter(|f| f.name == "storage-opt");
    settings
        .storage_options
        .extend(storage.map(|f| Fact::known(Arc::from(f.value.as_str()), origin("storage-opt"))));
    if let Some(mode) = text("default-cgroupns-mode") {
        settings.default_cgroup_namespace_host = Some(mode.map(|m| &**m == "host"));
    }
    true
}

/// The dockerd that serves `socket`: the only one, or the one that names it.
fn daemon_of(socket: &Path) -> Option<(u32, Vec<String>)> {
    let mut found: Vec<(u32, Vec<String>)> = std::fs::read_dir("/proc")
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| {
            let name = read_text(Path::new(&format!("/proc/{pid}/comm")));
            name.is_ok_and(|n| n.trim_end() == "dockerd")
        })
        .filter_map(|pid| {
            let bytes = read_bytes(Path::new(&format!("/proc/{pid}/cmdline")), 1 << 20).ok()?;
            let words = bytes.split(|b| *b == 0).filter(|w| !w.is_empty());
            Some((pid, words.map(|w| String::from_utf8_lossy(w).into_owned()).collect()))
        })
        .collect();
    if found.len() > 1 {
        let socket = HostPath::new(socket.to_str()?);
        found.retain(|(_, words)| listens(words, &socket));
    }
    if found.len() == 1 { found.pop() } else { None }
}

/// Whether a daemon's command line or its file names the socket; one that names no address has the usual one
/// (dockerd(8), --host), and with `fd://` it is systemd's to choose, which is the usual one too.
fn listens(words: &[String], socket: &HostPath) -> bool {
    let flags = flags(words);
    let mut hosts: Vec<String> = flags.iter().filter(|f| f.name == "host").map(|f| f.value.clone()).collect();
    let file = flags.iter().rev().find(|f| f.name == "config-file").map(|f| f.value.as_str());
    let file: Arc<str> = file.unwrap_or(CONFIGURATION).into();
    if let Ok(bytes) = read_bytes(Path::new(&*file), FILE_LIMIT) {
        for document in parse_bytes(&bytes, &file, &Limits::default()).into_iter().flatten() {
            let listed = document.root.get("hosts");
            let listed = listed.iter().flat_map(|list| list.items());
            hosts.extend(listed.filter_map(|host| host.as_str().map(str::to_owned)));
        }
    }
    let usual = socket.as_str() == "/run/docker.sock";
    if hosts.is_empty() {
        return usual;
    }
    hosts.iter().any(|host| match host.split_once("://") {
        Some(("unix", path)) => HostPath::new(path) == *socket,
        Some(("fd", _)) => usual,
        _ => false,
    })
}

/// `--name=value`, `--name value`, `-H value`, and switches without a value.
fn flags(words: &[String]) -> Vec<Flag> {
    /// Switches take a value only behind `=` (spf13/pflag, `NoOptDefVal`).
    const SWITCHES: &[&str] = &[
        "userland-proxy",
        "tlsverify",
        "tls",
        "icc",
        "live-restore",
        "experimental",
        "no-new-privileges",
        "selinux-enabled",
        "iptables",
        "debug",
    ];
    let mut found = Vec::new();
    let mut rest = words.iter().skip(1).peekable();
    while let Some(word) = rest.next() {
        let Some(name) = word.strip_prefix("--").or_else(|| word.strip_prefix('-')) else { continue };
        let (name, given) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => match name.strip_prefix('H') {
                Some(value) if !value.is_empty() && !word.starts_with("--") => ("H", Some(value.to_owned())),
                _ => (name, None),
            },
        };
        let name = match name {
            "H" => "host",
            "l" => "log-level",
            "s" => "storage-driver",
            "g" => "data-root",
            name => name,
        };
        let value = match given {
            Some(value) => value,
            None if SWITCHES.contains(&name) || rest.peek().is_none_or(|w| w.starts_with('-')) => {
                "true".into()
            }
            None => rest.next().cloned().unwrap_or_default(),
        };
        found.push(Flag { name: name.to_owned(), value });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_daemon_is_known_by_the_socket_that_it_names() {
        let socket = |path: &str| HostPath::new(path);
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let named = words("dockerd --config-file /nowhere.json -H unix:///var/run/x.sock");
        assert!(listens(&named, &socket("/run/x.sock")) && !listens(&named, &socket("/run/docker.sock")));
        let plain = words("dockerd --config-file /nowhere.json");
        assert!(listens(&plain, &socket("/run/docker.sock")) && !listens(&plain, &socket("/run/x.sock")));
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("daemon.json");
        std::fs::write(&file, r#"{"hosts": ["unix:///tmp/other.sock", "tcp://127.0.0.1:1"]}"#).unwrap();
        let by_file = words(&format!("dockerd --config-file {}", file.display()));
        assert!(listens(&by_file, &socket("/tmp/other.sock")));
        assert!(!listens(&by_file, &socket("/run/docker.sock")));
    }

    #[test]
    fn every_way_of_writing_a_flag_is_read() {
        let line = "dockerd -H fd:// --host=tcp://0.0.0.0:2375 -Htcp://[::]:1 --tlsverify --userland-proxy=false \
                    --config-file /x.json --debug";
        let words: Vec<String> = line.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        let found: Vec<String> = flags(&words).iter().map(|f| format!("{}={}", f.name, f.value)).collect();
        assert_eq!(
            found,
            [
                "host=fd://",
                "host=tcp://0.0.0.0:2375",
                "host=tcp://[::]:1",
                "tlsverify=true",
                "userland-proxy=false",
                "config-file=/x.json",
                "debug=true",
            ]
        );
    }
}
