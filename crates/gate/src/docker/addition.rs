//! What requests add to a container that is there, or make beside containers: other limits, a process, files, a volume, the
//! steps of a build. Each becomes an inspection of the container as it would be then.
//!
//! Fields: moby api/types/container/{exec,hostconfig}.go, api/types/volume; parameters of a build: moby
//! api/server/router/build/build_routes.go, `newImageBuildOptions`.

use serde_json::{Map, Value, json};

use super::create::{self, CreateError, HOST_CONFIG, Volume};
use super::go_json::{self, GoJsonError, Shape};
use super::route::Route;

use Shape::{Any, Bool, Map as MapOf, Struct, Text, TextOrList};

fn section<'a>(inspected: &'a mut Value, name: &str) -> Option<&'a mut Map<String, Value>> {
    let root = inspected.as_object_mut()?;
    let section = root.entry(name).or_insert_with(|| Value::Object(Map::new()));
    if !section.is_object() {
        *section = Value::Object(Map::new());
    }
    section.as_object_mut()
}

/// The daemon copies files as root, whatever user the container runs as.
pub(super) fn as_root(mut inspected: Value) -> Value {
    if let Some(config) = section(&mut inspected, "Config") {
        config.insert("User".into(), "0".into());
    }
    inspected
}

/// What `container.Resources` holds; zero leaves a limit as it is (moby container/container_unix.go, `UpdateContainer`).
/// Devices are in the type and are not taken; a request that names them is judged as if they were.
const RESOURCES: [&str; 19] = [
    "CgroupParent",
    "CpuPeriod",
    "CpuQuota",
    "CpuRealtimePeriod",
    "CpuRealtimeRuntime",
    "CpuShares",
    "CpusetCpus",
    "CpusetMems",
    "DeviceCgroupRules",
    "DeviceRequests",
    "Devices",
    "Memory",
    "MemoryReservation",
    "MemorySwap",
    "NanoCpus",
    "OomKillDisable",
    "PidsLimit",
    "RestartPolicy",
    "Ulimits",
];

/// A container after `POST /containers/{id}/update`.
pub(super) fn updated(mut inspected: Value, body: &[u8]) -> Result<Value, GoJsonError> {
    let asked = create::without_nulls(go_json::decode(body, &HOST_CONFIG)?);
    if let (Some(host), Value::Object(asked)) = (section(&mut inspected, "HostConfig"), asked) {
        for (key, value) in asked {
            let leaves = key != "PidsLimit" && create::is_zero(&value);
            if RESOURCES.contains(&key.as_str()) && !leaves {
                host.insert(key, value);
            }
        }
    }
    Ok(inspected)
}

/// A process that is put into a container.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Exec {
    user: String,
    privileged: bool,
}

const EXEC: Shape =
    Struct(&[("User", Text), ("Privileged", Bool), ("Env", Any), ("WorkingDir", Text), ("Cmd", TextOrList)]);

impl Exec {
    /// From the body of `POST /containers/{id}/exec`.
    pub(super) fn read(body: &[u8]) -> Result<Exec, GoJsonError> {
        let read = go_json::decode(body, &EXEC)?;
        Ok(Exec::of(&read, "User", "Privileged"))
    }

    /// From `GET /exec/{id}/json`, whose `ProcessConfig` has small letters.
    pub(super) fn of_inspection(inspected: &Value) -> Exec {
        inspected
            .get("ProcessConfig")
            .map(|process| Exec::of(process, "user", "privileged"))
            .unwrap_or_default()
    }

    fn of(value: &Value, user: &str, privileged: &str) -> Exec {
        Exec {
            user: value.get(user).and_then(Value::as_str).unwrap_or_default().to_owned(),
            privileged: value.get(privileged).and_then(Value::as_bool).unwrap_or_default(),
        }
    }

    /// The container as the process has it. With privileges it has every capability (moby daemon/exec_linux.go); the
    /// filter of the container stays, but which one that is the daemon does not tell, so that the one is taken that goes
    /// with these capabilities.
    pub(super) fn in_container(&self, mut inspected: Value) -> Value {
        if !self.user.is_empty()
            && let Some(config) = section(&mut inspected, "Config")
        {
            config.insert("User".into(), self.user.as_str().into());
        }
        if self.privileged
            && let Some(host) = section(&mut inspected, "HostConfig")
        {
            host.insert("CapAdd".into(), json!(["ALL"]));
            host.remove("CapDrop");
        }
        inspected
    }
}

const VOLUME: Shape = Struct(&[
    ("Name", Text),
    ("Driver", Text),
    ("DriverOpts", MapOf(&Text)),
    ("Labels", MapOf(&Text)),
    ("ClusterVolumeSpec", Any),
]);

/// The body of `POST /volumes/create`.
pub(super) fn volume(body: &[u8]) -> Result<Volume, GoJsonError> {
    let read = go_json::decode(body, &VOLUME)?;
    let options = read.get("DriverOpts").and_then(Value::as_object).into_iter().flatten();
    Ok(Volume {
        driver: read.get("Driver").and_then(Value::as_str).unwrap_or_default().to_owned(),
        options: options
            .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
            .collect(),
    })
}

/// A container for which nothing is asked but this volume, writable; none where it shows nothing but the engine's own.
pub(super) fn with_volume(volume: &Volume) -> Result<Option<Value>, CreateError> {
    let mut mount = create::shown(volume)?;
    if mount.get("Type").is_some_and(|kind| kind == "tmpfs") {
        return Ok(None);
    }
    mount.insert("Destination".into(), "/volume".into());
    mount.insert("RW".into(), true.into());
    let config = json!({"User": "0"});
    Ok(Some(json!({"Config": config, "HostConfig": {"Privileged": false}, "Mounts": [mount]})))
}

/// The containers of a build's steps, by its parameters.
pub(super) fn build(route: &Route) -> Value {
    let text = |key: &str| route.query(key).unwrap_or_default();
    let texts = |key: &str| -> Vec<&str> {
        route.query.iter().filter(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str()).collect()
    };
    let number = |key: &str| text(key).parse::<i64>().unwrap_or_default();
    json!({
        "Config": {"User": "0"},
        "HostConfig": {
            "Privileged": false,
            "NetworkMode": text("networkmode"),
            "SecurityOpt": texts("securityopt"),
            "ExtraHosts": texts("extrahosts"),
            "CgroupParent": text("cgroupparent"),
            "Memory": number("memory"),
            "CpuPeriod": number("cpuperiod"),
            "CpuQuota": number("cpuquota"),
        },
        "Mounts": [],
    })
}

/// The image that `POST /images/create` brings, as a reference (moby api/server/router/image, postImagesCreate).
pub(super) fn pulled(route: &Route) -> String {
    let image = route.query("fromImage").unwrap_or_default();
    let tag = route.query("tag").unwrap_or_default();
    if tag.is_empty() {
        return image.to_owned();
    }
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let last = name.rfind('/').map_or(0, |slash| slash + 1);
    let name = name.rfind(':').filter(|colon| *colon >= last).map_or(name, |colon| &name[..colon]);
    let mark = if tag.contains(':') { '@' } else { ':' };
    format!("{name}{mark}{tag}")
}

const CHECKPOINT: Shape = Struct(&[("CheckpointID", Text), ("CheckpointDir", Text), ("Exit", Bool)]);

/// The folder of the host that a checkpoint is written to; empty for the daemon's own.
pub(super) fn checkpoint_folder(body: &[u8]) -> Result<String, GoJsonError> {
    let read = go_json::decode(body, &CHECKPOINT)?;
    Ok(read.get("CheckpointDir").and_then(Value::as_str).unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::route;

    #[test]
    fn an_update_changes_what_it_names_and_leaves_what_is_zero() {
        let container = json!({"HostConfig": {"Memory": 5, "CpuShares": 7, "Privileged": false}});
        let body = br#"{"Memory": 9, "CpuShares": 0, "PidsLimit": 0, "memory": 10, "Privileged": true, "Devices": [{"PathOnHost": "/dev/sda"}]}"#;
        let updated = updated(container, body).expect("it reads");
        assert_eq!(
            updated["HostConfig"],
            json!({"Memory": 10, "CpuShares": 7, "PidsLimit": 0, "Privileged": false, "Devices": [{"PathOnHost": "/dev/sda"}]})
        );
    }

    #[test]
    fn an_exec_adds_its_user_and_with_privileges_every_capability() {
        let container = json!({"Config": {"User": "1000"}, "HostConfig": {"CapDrop": ["ALL"]}});
        let plain = Exec::read(br#"{"Cmd": ["id"]}"#).expect("it reads").in_container(container.clone());
        assert_eq!(plain, container);
        let root = Exec::read(br#"{"User": "0", "Cmd": ["id"]}"#).expect("it reads");
        assert_eq!(root.in_container(container.clone())["Config"]["User"], "0");
        let odd = Exec::read("{\"u\u{17f}er\": \"0\", \"PRIVILEGED\": true}".as_bytes()).expect("it reads");
        let privileged = odd.in_container(container);
        assert_eq!(privileged["HostConfig"], json!({"CapAdd": ["ALL"]}));
        assert_eq!(privileged["Config"]["User"], "0");
        let inspected = json!({"ProcessConfig": {"privileged": true, "user": "0"}, "ContainerID": "x"});
        assert_eq!(Exec::of_inspection(&inspected), odd);
    }

    #[test]
    fn a_volume_is_judged_where_it_shows_more_than_the_engines_own() {
        let mounts = |body: &str| {
            let volume = volume(body.as_bytes()).expect("it reads");
            with_volume(&volume).expect("it is readable").map(|c| c["Mounts"][0]["Source"].clone())
        };
        assert_eq!(mounts(r#"{"Name": "data"}"#), None);
        assert_eq!(mounts(r#"{"DriverOpts": {"type": "tmpfs", "device": "tmpfs"}}"#), None);
        let root = r#"{"driveropts": {"type": "none", "o": "bind", "device": "/"}}"#;
        assert_eq!(mounts(root), Some(json!("/")));
    }

    #[test]
    fn the_parameters_of_a_build_are_the_settings_of_its_steps() {
        let uri = "/build?networkmode=host&securityopt=seccomp%3Dunconfined&securityopt=&t=x&memory=5";
        let route = route::read("POST", uri).expect("a route");
        let host = &build(&route)["HostConfig"];
        assert_eq!(host["NetworkMode"], "host");
        assert_eq!(host["SecurityOpt"], json!(["seccomp=unconfined"]));
        assert_eq!(host["Memory"], 5);
    }

    #[test]
    fn a_pull_names_its_image_in_two_parts() {
        for (query, image) in [
            ("fromImage=nginx", "nginx"),
            ("fromImage=nginx&tag=1", "nginx:1"),
            ("fromImage=nginx:1&tag=2", "nginx:2"),
            ("fromImage=registry:5000/a/b&tag=sha256:00", "registry:5000/a/b@sha256:00"),
        ] {
            let route = route::read("POST", &format!("/images/create?{query}")).expect("a route");
            assert_eq!(pulled(&route), image);
        }
    }
}
