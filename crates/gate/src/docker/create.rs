//! The body of `POST /containers/create`, read as the daemon reads it, in the form of an inspection: so that the reader of
//! inspections (`sources::engine_api`) makes the confinement, and a container is judged the same before it exists and
//! after.
//!
//! What is not in the body is asked of the daemon: which volumes there are and what they show, and what the containers
//! mount whose volumes are taken over.
//!
//! Fields and types: moby api/types/container/{config,hostconfig}.go, api/types/mount/mount.go. Until Docker 25 the fields of
//! HostConfig count at the top level too, where there is no `HostConfig` (runconfig/config_unix.go, `getHostConfig`); they are
//! taken so for every daemon, as a newer one passes them over.

use serde_json::{Map, Value, json};
use thiserror::Error;

use super::go_json::{self, GoJsonError, Shape};

/// What the daemon knows that a body refers to.
pub trait Daemon {
    /// The options and driver of a volume; none where there is no such volume.
    fn volume(&self, name: &str) -> Result<Option<Volume>, String>;
    /// The inspection of a container; none where there is no such container.
    fn container(&self, reference: &str) -> Result<Option<Value>, String>;
    /// The inspection of an image; none where there is no such image.
    fn image(&self, reference: &str) -> Result<Option<Value>, String>;
    /// The inspection of a network; none where there is no such network.
    fn network(&self, reference: &str) -> Result<Option<Value>, String>;
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Volume {
    pub driver: String,
    pub options: Vec<(String, String)>,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum CreateError {
    #[error(transparent)]
    Json(#[from] GoJsonError),
    #[error("the mount {0:?} cannot be read: want SOURCE:TARGET[:OPTIONS]")]
    Bind(String),
    #[error("a mount of type {0:?} is not known here")]
    MountType(String),
    #[error("a mount of {0:?} holds `..`, which is read in more than one way")]
    Parent(String),
    #[error("whose volumes are taken over, {0:?}, is not there")]
    NoContainer(String),
    #[error("the daemon could not be asked about {what}: {why}")]
    Daemon { what: String, why: String },
}

use Shape::{Any, Bool, Map as MapOf, Number, Pointer, Slice, Struct, Text, TextOrList};

const DRIVER: Shape = Struct(&[("Name", Text), ("Options", MapOf(&Text))]);
pub(super) const MOUNT: Shape = Struct(&[
    ("Type", Text),
    ("Source", Text),
    ("Target", Text),
    ("ReadOnly", Bool),
    ("Consistency", Text),
    (
        "BindOptions",
        Pointer(&Struct(&[
            ("Propagation", Text),
            ("NonRecursive", Bool),
            ("CreateMountpoint", Bool),
            ("ReadOnlyNonRecursive", Bool),
            ("ReadOnlyForceRecursive", Bool),
        ])),
    ),
    (
        "VolumeOptions",
        Pointer(&Struct(&[
            ("NoCopy", Bool),
            ("Labels", MapOf(&Text)),
            ("Subpath", Text),
            ("DriverConfig", Pointer(&DRIVER)),
        ])),
    ),
    ("ImageOptions", Any),
    ("TmpfsOptions", Any),
    ("ClusterOptions", Any),
]);
const DEVICE: Shape = Struct(&[("PathOnHost", Text), ("PathInContainer", Text), ("CgroupPermissions", Text)]);
const DEVICE_REQUEST: Shape = Struct(&[
    ("Driver", Text),
    ("Count", Number),
    ("DeviceIDs", Slice(&Text)),
    ("Capabilities", Slice(&Slice(&Text))),
    ("Options", MapOf(&Text)),
]);

/// A macro, because the fields stand twice: under `HostConfig` and at the top level.
macro_rules! host_fields {
    ($($before:expr,)*) => {
        &[
            $($before,)*
            ("Annotations", MapOf(&Text)),
            ("AutoRemove", Bool),
            ("Binds", Slice(&Text)),
            ("CapAdd", TextOrList),
            ("CapDrop", TextOrList),
            ("Capabilities", TextOrList),
            ("Cgroup", Text),
            ("CgroupParent", Text),
            ("CgroupnsMode", Text),
            ("CpuPeriod", Number),
            ("CpuQuota", Number),
            ("CpuRealtimePeriod", Number),
            ("CpuRealtimeRuntime", Number),
            ("CpuShares", Number),
            ("CpusetCpus", Text),
            ("CpusetMems", Text),
            ("DeviceCgroupRules", Slice(&Text)),
            ("DeviceRequests", Slice(&DEVICE_REQUEST)),
            ("Devices", Slice(&DEVICE)),
            ("ExtraHosts", Slice(&Text)),
            ("GroupAdd", Slice(&Text)),
            ("IpcMode", Text),
            ("Isolation", Text),
            ("Links", Slice(&Text)),
            ("LogConfig", Struct(&[("Type", Text), ("Config", MapOf(&Text))])),
            ("MaskedPaths", Slice(&Text)),
            ("Memory", Number),
            ("MemoryReservation", Number),
            ("MemorySwap", Number),
            ("Mounts", Slice(&MOUNT)),
            ("NanoCpus", Number),
            ("NetworkMode", Text),
            ("OomKillDisable", Any),
            ("OomScoreAdj", Number),
            ("PidMode", Text),
            ("PidsLimit", Any),
            ("PortBindings", MapOf(&Any)),
            ("Privileged", Bool),
            ("PublishAllPorts", Bool),
            ("ReadonlyPaths", Slice(&Text)),
            ("ReadonlyRootfs", Bool),
            ("RestartPolicy", Any),
            ("Runtime", Text),
            ("SecurityOpt", Slice(&Text)),
            ("ShmSize", Number),
            ("StorageOpt", MapOf(&Text)),
            ("Sysctls", MapOf(&Text)),
            ("Tmpfs", MapOf(&Text)),
            ("UTSMode", Text),
            ("Ulimits", Any),
            ("UsernsMode", Text),
            ("VolumeDriver", Text),
            ("VolumesFrom", Slice(&Text)),
        ]
    };
}

pub(super) const HOST_CONFIG: Shape = Struct(host_fields!());
/// What the daemon decodes the body into, as far as it says what a container can reach.
pub const CREATE: Shape = Struct(host_fields!(
    ("Cmd", TextOrList),
    ("Domainname", Text),
    ("Entrypoint", TextOrList),
    ("Env", Slice(&Text)),
    ("ExposedPorts", MapOf(&Any)),
    ("HostConfig", Pointer(&HOST_CONFIG)),
    ("Hostname", Text),
    ("Image", Text),
    ("Labels", MapOf(&Text)),
    ("NetworkDisabled", Bool),
    ("NetworkingConfig", Any),
    ("Tty", Bool),
    ("User", Text),
    ("Volumes", MapOf(&Any)),
    ("WorkingDir", Text),
));
/// Of the top level, what belongs to the image's and the process's configuration.
const CONFIG: [&str; 14] = [
    "Cmd",
    "Domainname",
    "Entrypoint",
    "Env",
    "ExposedPorts",
    "Hostname",
    "Image",
    "Labels",
    "NetworkDisabled",
    "NetworkingConfig",
    "Tty",
    "User",
    "Volumes",
    "WorkingDir",
];
/// What an inner HostConfig takes from the top level where it is silent itself (`getHostConfig`).
const INHERITED: [&str; 5] = ["Memory", "MemorySwap", "CpuShares", "CpusetCpus", "VolumeDriver"];

/// The inspection that the container asked for would have.
pub fn as_inspected(body: &[u8], daemon: &dyn Daemon) -> Result<Value, CreateError> {
    let Value::Object(mut outer) = without_nulls(go_json::decode(body, &CREATE)?) else {
        // A struct decodes into an object, whatever comes.
        return Err(GoJsonError::Empty.into());
    };
    let inner = outer.remove("HostConfig");
    let (config, loose): (Map<_, _>, Map<_, _>) =
        outer.into_iter().partition(|(key, _)| CONFIG.contains(&key.as_str()));
    let mut host = match inner {
        Some(Value::Object(mut inner)) => {
            for key in INHERITED {
                if let Some(value) = loose.get(key)
                    && inner.get(key).is_none_or(is_zero)
                {
                    inner.insert(key.to_owned(), value.clone());
                }
            }
            inner
        }
        _ => loose,
    };
    let mounts = mounts(&host, daemon)?;
    host.entry("Privileged").or_insert(Value::Bool(false));
    Ok(json!({ "Config": config, "HostConfig": host, "Mounts": mounts }))
}

pub(super) fn is_zero(value: &Value) -> bool {
    value.as_i64() == Some(0) || value.as_str() == Some("")
}

pub(super) fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect(),
        ),
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

fn texts<'a>(host: &'a Map<String, Value>, key: &str) -> impl Iterator<Item = &'a str> {
    host.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// `Mounts` as an inspection lists them, from all the ways there are to ask for one.
fn mounts(host: &Map<String, Value>, daemon: &dyn Daemon) -> Result<Vec<Value>, CreateError> {
    let mut found = Vec::new();
    for bind in texts(host, "Binds") {
        found.push(bound(bind, host, daemon)?);
    }
    for mount in host.get("Mounts").and_then(Value::as_array).into_iter().flatten() {
        found.push(mounted(mount, daemon)?);
    }
    for from in texts(host, "VolumesFrom") {
        let (reference, mode) = from.split_once(':').unwrap_or((from, ""));
        let asked = daemon.container(reference);
        let other = asked
            .map_err(|why| CreateError::Daemon { what: format!("the container {reference:?}"), why })?
            .ok_or_else(|| CreateError::NoContainer(reference.to_owned()))?;
        for mount in other.get("Mounts").and_then(Value::as_array).into_iter().flatten() {
            let mut mount = mount.clone();
            if let Some(members) = mount.as_object_mut()
                && mode.split(',').any(|word| word == "ro")
            {
                members.insert("RW".into(), Value::Bool(false));
            }
            found.push(mount);
        }
    }
    Ok(found)
}

/// `SOURCE:TARGET[:OPTIONS]` (moby volume/mounts/linux_parser.go). What does not begin with a slash is a volume's name; what
/// stands alone is the path of a new volume.
fn bound(bind: &str, host: &Map<String, Value>, daemon: &dyn Daemon) -> Result<Value, CreateError> {
    let parts: Vec<&str> = bind.split(':').collect();
    let (source, target, mode) = match *parts.as_slice() {
        [target] => ("", target, ""),
        [source, target] => (source, target, ""),
        [source, target, mode] => (source, target, mode),
        _ => return Err(CreateError::Bind(bind.to_owned())),
    };
    if !target.starts_with('/') {
        return Err(CreateError::Bind(bind.to_owned()));
    }
    let writable = !mode.split(',').any(|word| word == "ro" || word == "readonly");
    let propagation = ["rprivate", "private", "rslave", "slave", "rshared", "shared"];
    let propagation = mode.split(',').find(|word| propagation.contains(word)).unwrap_or_default();
    let mut mount = if source.starts_with('/') {
        on_host(source)?
    } else {
        let driver = host.get("VolumeDriver").and_then(Value::as_str).unwrap_or_default();
        let new = Volume { driver: driver.to_owned(), options: Vec::new() };
        volume(source, new, daemon)?
    };
    mount.insert("Destination".into(), target.into());
    mount.insert("RW".into(), writable.into());
    mount.insert("Mode".into(), mode.into());
    mount.insert("Propagation".into(), propagation.into());
    Ok(Value::Object(mount))
}

pub(super) fn mounted(asked: &Value, daemon: &dyn Daemon) -> Result<Value, CreateError> {
    let source = text(asked, "Source");
    let mut mount = match text(asked, "Type") {
        "bind" => on_host(source)?,
        "volume" => {
            let driver = asked.pointer("/VolumeOptions/DriverConfig");
            let options = driver.and_then(|d| d.get("Options")).and_then(Value::as_object);
            let new = Volume {
                driver: driver.map(|d| text(d, "Name")).unwrap_or_default().to_owned(),
                options: options
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                    .collect(),
            };
            volume(source, new, daemon)?
        }
        "tmpfs" => Map::from_iter([("Type".to_owned(), json!("tmpfs"))]),
        // The content of an image: the engine's own, and read-only.
        "image" => Map::from_iter([("Type".to_owned(), json!("image"))]),
        other => return Err(CreateError::MountType(other.to_owned())),
    };
    mount.insert("Destination".into(), text(asked, "Target").into());
    let read_only = asked.get("ReadOnly").and_then(Value::as_bool).unwrap_or_default();
    mount.insert("RW".into(), (!read_only).into());
    let propagation = asked.pointer("/BindOptions/Propagation").and_then(Value::as_str).unwrap_or_default();
    mount.insert("Propagation".into(), propagation.into());
    Ok(Value::Object(mount))
}

/// A folder of the host. `..` is refused: the daemon cleans it as text, the kernel would follow links first.
fn on_host(source: &str) -> Result<Map<String, Value>, CreateError> {
    if source.split('/').any(|part| part == "..") {
        return Err(CreateError::Parent(source.to_owned()));
    }
    Ok(Map::from_iter([("Type".to_owned(), json!("bind")), ("Source".to_owned(), json!(source))]))
}

/// A volume as what it shows: one that is there as it was made, a new one as it would be made.
fn volume(name: &str, new: Volume, daemon: &dyn Daemon) -> Result<Map<String, Value>, CreateError> {
    let there = if name.is_empty() {
        None
    } else {
        let what = || format!("the volume {name:?}");
        daemon.volume(name).map_err(|why| CreateError::Daemon { what: what(), why })?
    };
    let mut mount = shown(&there.unwrap_or(new))?;
    // The engine's own: by its name others may mount it too. Without one nobody else does.
    if !name.is_empty() && mount.get("Type") == Some(&json!("tmpfs")) {
        mount.insert("Type".into(), json!("volume"));
        mount.insert("Name".into(), json!(name));
    }
    Ok(mount)
}

/// What a volume with these options shows: the local driver mounts `device` as `mount(8)` would (moby
/// volume/local/local_unix.go). Only of a bind the device says what is shown: for a pseudo file system any text will do, a
/// disk holds a tree that nobody has looked at, and the layers of an overlay stand in `o`.
pub fn shown(volume: &Volume) -> Result<Map<String, Value>, CreateError> {
    let option = |name: &str| volume.options.iter().find(|(key, _)| key == name).map(|(_, v)| v.as_str());
    let of_type = |kind: &str| Ok(Map::from_iter([("Type".to_owned(), json!(kind))]));
    // A mount without a source is one of which nothing is known.
    let unknown = || of_type("bind");
    if !matches!(volume.driver.as_str(), "" | "local") {
        return unknown();
    }
    let device = option("device").unwrap_or_default();
    // With MS_BIND the kernel looks at no type (do_mount, fs/namespace.c). A relative device begins where the daemon runs.
    if option("o").unwrap_or_default().split(',').any(|word| matches!(word.trim(), "bind" | "rbind")) {
        return if device.starts_with('/') { on_host(device) } else { unknown() };
    }
    match (option("type").unwrap_or_default(), device) {
        // The driver's own folder: nobody's but the engine's.
        ("" | "none", "") | ("tmpfs", _) => of_type("tmpfs"),
        ("nfs" | "nfs4" | "cifs", _) => of_type("network volume"),
        _ => unknown(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Known;

    impl Daemon for Known {
        fn volume(&self, name: &str) -> Result<Option<Volume>, String> {
            let bind = |device: &str| Volume {
                driver: "local".into(),
                options: vec![
                    ("type".into(), "none".into()),
                    ("o".into(), "bind".into()),
                    ("device".into(), device.into()),
                ],
            };
            match name {
                "rootfs" => Ok(Some(bind("/"))),
                "plain" => Ok(Some(Volume { driver: "local".into(), ..Volume::default() })),
                "broken" => Err("no answer".into()),
                _ => Ok(None),
            }
        }
        fn container(&self, reference: &str) -> Result<Option<Value>, String> {
            let mounts = json!([{"Type": "bind", "Source": "/etc", "Destination": "/h", "RW": true}]);
            Ok((reference == "other").then(|| json!({ "Mounts": mounts })))
        }
        fn image(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
        fn network(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
    }

    fn read(body: Value) -> Value {
        as_inspected(body.to_string().as_bytes(), &Known).expect("it reads")
    }
    fn sources(inspected: &Value) -> Vec<&str> {
        inspected["Mounts"].as_array().into_iter().flatten().map(|m| text(m, "Source")).collect()
    }

    #[test]
    fn fields_of_the_host_count_at_the_top_level_where_there_is_no_host_config() {
        let old = read(json!({"Image": "x", "Privileged": true, "Binds": ["/:/host"]}));
        assert_eq!(old["HostConfig"]["Privileged"], true);
        assert_eq!(sources(&old), ["/"]);
        let inner = read(
            json!({"Image": "x", "Privileged": true, "Memory": 5, "HostConfig": {"NetworkMode": "none"}}),
        );
        assert_eq!(inner["HostConfig"], json!({"NetworkMode": "none", "Privileged": false, "Memory": 5}));
        let null = read(json!({"Privileged": true, "HostConfig": null}));
        assert_eq!(null["HostConfig"]["Privileged"], true);
    }

    #[test]
    fn every_way_to_ask_for_a_folder_of_the_host_shows_it() {
        let body = |host: Value| read(json!({"Image": "x", "HostConfig": host}));
        for host in [
            json!({"Binds": ["/:/host:ro"]}),
            json!({"Binds": ["rootfs:/host"]}),
            json!({"Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}]}),
            json!({"Mounts": [{"Type": "volume", "Source": "rootfs", "Target": "/host"}]}),
            json!({"Mounts": [{"Type": "volume", "Source": "new", "Target": "/host", "VolumeOptions": {"DriverConfig": {"Name": "local", "Options": {"type": "none", "o": "bind", "device": "/"}}}}]}),
            json!({"Mounts": [{"Type": "volume", "Target": "/host", "VolumeOptions": {"DriverConfig": {"Options": {"type": "ext4", "o": "bind", "device": "/"}}}}]}),
        ] {
            assert_eq!(sources(&body(host.clone())), ["/"], "{host}");
        }
        assert_eq!(sources(&body(json!({"VolumesFrom": ["other:ro"]}))), ["/etc"]);
        assert_eq!(body(json!({"VolumesFrom": ["other:ro"]}))["Mounts"][0]["RW"], false);
    }

    #[test]
    fn volumes_of_the_engine_show_nothing_of_the_host() {
        let inspected = read(json!({"HostConfig": {"Binds": ["plain:/a", "new:/b", "/c"]}}));
        assert_eq!(sources(&inspected), ["", "", ""]);
        assert_eq!(inspected["Mounts"][0]["Name"], "plain");
        assert_eq!(inspected["Mounts"][1]["Name"], "new");
        assert_eq!(inspected["Mounts"][2]["Type"], "tmpfs");
    }

    #[test]
    fn a_volume_that_binds_shows_its_device_whatever_type_it_names() {
        let shows = |options: &[(&str, &str)]| {
            let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let shown = shown(&Volume { driver: String::new(), options }).expect("it is readable");
            (text(&Value::Object(shown.clone()), "Type").to_owned(), shown.get("Source").cloned())
        };
        let root = ("bind".to_owned(), Some(json!("/")));
        for kind in ["none", "tmpfs", "nfs", "ext4"] {
            assert_eq!(shows(&[("type", kind), ("o", "ro,rbind"), ("device", "/")]), root, "{kind}");
        }
    }

    #[test]
    fn a_volume_of_which_nobody_knows_what_it_shows_is_a_mount_without_a_source() {
        let unknown = |options: &[(&str, &str)]| {
            let options = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
            let shown = shown(&Volume { driver: String::new(), options }).expect("it is readable");
            assert_eq!(Value::Object(shown), json!({"Type": "bind"}));
        };
        unknown(&[("type", "none"), ("o", "bind"), ("device", "etc")]);
        // A pseudo file system takes any text for its device.
        unknown(&[("type", "devtmpfs"), ("device", "/srv")]);
        unknown(&[("type", "proc"), ("device", "/srv")]);
        unknown(&[("type", "ext4"), ("device", "/dev/sda1")]);
        let overlay =
            [("type", "overlay"), ("device", "overlay"), ("o", "lowerdir=/,upperdir=/u,workdir=/w")];
        unknown(&overlay);
        let plugin =
            Volume { driver: "local-persist".into(), options: vec![("mountpoint".into(), "/".into())] };
        assert_eq!(shown(&plugin).map(Value::Object), Ok(json!({"Type": "bind"})));
    }

    #[test]
    fn what_cannot_be_read_in_one_way_is_an_error() {
        let fails = |body: Value| as_inspected(body.to_string().as_bytes(), &Known).expect_err("refused");
        let host = |host: Value| json!({ "HostConfig": host });
        assert_eq!(fails(host(json!({"Binds": ["/a:/b:ro:x"]}))), CreateError::Bind("/a:/b:ro:x".into()));
        assert_eq!(fails(host(json!({"Binds": ["/srv/../:/b"]}))), CreateError::Parent("/srv/../".into()));
        assert_eq!(
            fails(host(json!({"Mounts": [{"Type": "npipe"}]}))),
            CreateError::MountType("npipe".into())
        );
        assert_eq!(fails(host(json!({"VolumesFrom": ["gone"]}))), CreateError::NoContainer("gone".into()));
        assert!(matches!(fails(host(json!({"Binds": ["broken:/b"]}))), CreateError::Daemon { .. }));
    }
}
