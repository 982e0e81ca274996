//! Paths that show the engine itself, wherever it was told to keep things: a mount of them is judged as one of the path
//! where they lie by default, which is what the techniques know.

use std::fs;
use std::path::Path;

use confinement::HostPath;
use serde_json::{Map, Value, json};
use sources::engine_api::{Endpoint, Session};
use techniques::objects;

use super::create::{self, Daemon};
use super::subject::{self, Why};

const SOCKET: &str = "/run/docker.sock";
const DATA: &str = "/var/lib/docker";

/// Names of sockets whose API makes containers: those of dockerd, containerd, Podman, CRI-O, BuildKit and cri-dockerd.
const SOCKETS: [&str; 7] = [
    "docker.sock",
    "containerd.sock",
    "containerd.sock.ttrpc",
    "podman.sock",
    "crio.sock",
    "buildkitd.sock",
    "cri-dockerd.sock",
];

/// Where the engines of this machine are.
pub(super) struct Own {
    /// Every socket of an engine that is listened on, and the one that is asked.
    sockets: Vec<String>,
    data: String,
}

impl Own {
    pub(super) fn of(session: &Session) -> Own {
        // A socket has the name that it was bound by, whichever mount namespace that was in.
        let table = fs::read("/proc/net/unix").unwrap_or_default();
        let mut sockets = listening(&String::from_utf8_lossy(&table));
        if let Endpoint::Unix(path) = session.endpoint() {
            sockets.push(path.to_string_lossy().into_owned());
        }
        let followed = |path: String| subject::followed(Path::new(&path)).unwrap_or(path);
        let mut sockets: Vec<String> = sockets.into_iter().map(followed).collect();
        // What lies where the techniques look needs no second mount, which would stay where the first is removed.
        sockets.retain(|socket| !is_known(socket));
        sockets.sort();
        sockets.dedup();
        Own { sockets, data: followed(session.data_root().unwrap_or(DATA).to_owned()) }
    }
}

/// Whether the techniques know the path as that of an engine's socket.
fn is_known(socket: &str) -> bool {
    let class = objects::object_class("engine-socket");
    class.is_some_and(|class| class.shown_by(&HostPath::new(socket), true).is_some())
}

/// Paths of the sockets of engines in the table of Unix sockets (proc_net(5)): the path is the eighth column.
fn listening(table: &str) -> Vec<String> {
    let path = |line: &str| {
        let path = line.split_whitespace().nth(7)?;
        let name = path.rsplit('/').next()?;
        (path.starts_with('/') && SOCKETS.contains(&name)).then(|| path.to_owned())
    };
    table.lines().filter_map(path).collect()
}

/// What of `path` lies below `folder`, with its slash; empty for the folder itself.
fn below<'a>(path: &'a str, folder: &str) -> Option<&'a str> {
    let rest = path.strip_prefix(folder.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// Adds what a mount shows of the engine to the mounts.
pub(super) fn show(inspected: &mut Value, own: &Own, daemon: &dyn Daemon) -> Result<(), Why> {
    let Some(mounts) = inspected.get_mut("Mounts").and_then(Value::as_array_mut) else { return Ok(()) };
    let mut more = Vec::new();
    for mount in mounts.iter().filter_map(Value::as_object) {
        let text = |key: &str| mount.get(key).and_then(Value::as_str).unwrap_or_default();
        let source = text("Source");
        if !matches!(text("Type"), "bind" | "") || !source.starts_with('/') {
            continue;
        }
        let mut add = |source: &str, rest: &str| {
            let mut mount = mount.clone();
            mount.insert("Source".into(), source.into());
            mount.insert("Destination".into(), format!("{}{rest}", text("Destination")).into());
            more.push(mount);
        };
        for socket in &own.sockets {
            if let Some(rest) = below(socket, source) {
                add(SOCKET, rest);
            }
        }
        if source == "/" {
            // The root of the host shows all that its folders do, and is judged as that.
        } else if let Some(rest) = below(&own.data, source) {
            add(DATA, rest);
            more.push(unknown(mount));
        } else if let Some(rest) = below(source, &own.data) {
            match rest.strip_prefix("/volumes/").and_then(|rest| rest.split_once('/')) {
                Some((name, _)) => more.push(volume(mount, name, daemon)?),
                None => {
                    add(&format!("{DATA}{rest}"), "");
                    more.push(unknown(mount));
                }
            }
        }
    }
    mounts.extend(more.into_iter().map(Value::Object));
    Ok(())
}

/// Below the engine's data lie the mounts of its volumes and containers, whatever those show.
fn unknown(mount: &Map<String, Value>) -> Map<String, Value> {
    let mut mount = mount.clone();
    mount.remove("Source");
    mount.insert("Type".into(), json!("bind"));
    mount
}

/// The folder of a volume shows what the volume shows, while that is mounted.
fn volume(mount: &Map<String, Value>, name: &str, daemon: &dyn Daemon) -> Result<Map<String, Value>, Why> {
    let asked = daemon.volume(name);
    let found = asked.map_err(|why| format!("the volume {name:?} could not be asked for: {why}"))?;
    let shown = found.as_ref().map(create::shown).transpose().map_err(|error| error.to_string())?;
    let mut mount = unknown(mount);
    // A folder that is no volume's stays unknown: a mount without a source.
    mount.extend(shown.unwrap_or_default());
    Ok(mount)
}

#[cfg(test)]
mod tests {
    use super::super::create::Volume;
    use super::*;

    struct Known;

    impl Daemon for Known {
        fn volume(&self, name: &str) -> Result<Option<Volume>, String> {
            let bind = [("type", "none"), ("o", "bind"), ("device", "/")];
            let options = bind.map(|(key, value)| (key.to_owned(), value.to_owned())).to_vec();
            match name {
                "rootfs" => Ok(Some(Volume { driver: "local".into(), options })),
                "plain" => Ok(Some(Volume::default())),
                _ => Ok(None),
            }
        }
        fn container(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
        fn image(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
        fn network(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
    }

    /// Type, source and destination of what is added to a mount.
    fn added(source: &str) -> Vec<String> {
        let own = Own { sockets: vec!["/srv/d/docker.sock".into()], data: "/srv/d/data".into() };
        let mut inspected = json!({"Mounts": [{"Type": "bind", "Source": source, "Destination": "/m"}]});
        show(&mut inspected, &own, &Known).expect("known");
        let mounts = inspected["Mounts"].as_array().expect("a list");
        let text = |mount: &Value, key: &str| mount[key].as_str().unwrap_or("-").to_owned();
        let line =
            |m: &Value| format!("{} {} {}", text(m, "Type"), text(m, "Source"), text(m, "Destination"));
        mounts.iter().skip(1).map(line).collect()
    }

    #[test]
    fn a_socket_of_an_engine_is_one_wherever_it_lies() {
        assert_eq!(added("/srv/d/docker.sock"), ["bind /run/docker.sock /m"]);
        assert_eq!(added("/srv/other"), [""; 0]);
        assert_eq!(added("/srv/d/docker.sock.d"), [""; 0]);
        assert_eq!(
            added("/srv"),
            ["bind /run/docker.sock /m/d/docker.sock", "bind /var/lib/docker /m/d/data", "bind - /m"]
        );
        assert_eq!(added("/"), ["bind /run/docker.sock /m/srv/d/docker.sock"]);
        assert!(is_known("/run/docker.sock") && is_known("/run/containerd/containerd.sock"));
        assert!(!is_known("/srv/d/docker.sock"));
    }

    #[test]
    fn the_data_of_the_engine_is_judged_by_the_path_it_has_by_default() {
        assert_eq!(added("/srv/d/data"), ["bind /var/lib/docker /m", "bind - /m"]);
        assert_eq!(added("/srv/d/data/overlay2/x"), ["bind /var/lib/docker/overlay2/x /m", "bind - /m"]);
        assert_eq!(added("/srv/d/data/volumes"), ["bind /var/lib/docker/volumes /m", "bind - /m"]);
    }

    #[test]
    fn the_folder_of_a_volume_shows_what_the_volume_shows() {
        assert_eq!(added("/srv/d/data/volumes/rootfs/_data"), ["bind / /m"]);
        assert_eq!(added("/srv/d/data/volumes/rootfs/_data/etc"), ["bind / /m"]);
        assert_eq!(added("/srv/d/data/volumes/plain/_data"), ["tmpfs - /m"]);
        assert_eq!(added("/srv/d/data/volumes/gone/_data"), ["bind - /m"]);
    }

    #[test]
    fn sockets_of_engines_are_found_in_the_table_of_the_kernel() {
        let table = "Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22186 /srv/x/docker.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22187 /run/containerd/containerd.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22188 @/docker.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 22189 /run/mysqld/mysqld.sock\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 22190\n";
        assert_eq!(listening(table), ["/srv/x/docker.sock", "/run/containerd/containerd.sock"]);
    }
}
