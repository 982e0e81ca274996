//! A service of a swarm: its tasks are containers, which this daemon or another of the swarm makes. It is read as an
//! inspection of one of them, and judged as if it ran here: what volumes and networks are elsewhere is not seen.
//!
//! Fields: moby api/types/swarm/{service,task,container}.go; how they become a container: moby
//! daemon/cluster/executor/container/container.go.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use thiserror::Error;

use super::create::{self, CreateError, Daemon, MOUNT};
use super::go_json::{self, GoJsonError, Shape};

use Shape::{Any, Bool, Map as MapOf, Pointer, Slice, Struct, Text};

const PRIVILEGES: Shape = Struct(&[
    ("CredentialSpec", Any),
    ("SELinuxContext", Pointer(&Struct(&[("Disable", Bool), ("Type", Text), ("Level", Text)]))),
    ("Seccomp", Pointer(&Struct(&[("Mode", Text), ("Profile", Text)]))),
    ("AppArmor", Pointer(&Struct(&[("Mode", Text)]))),
    ("NoNewPrivileges", Bool),
]);

const CONTAINER: Shape = Struct(&[
    ("Image", Text),
    ("Labels", MapOf(&Text)),
    ("Env", Slice(&Text)),
    ("User", Text),
    ("Groups", Slice(&Text)),
    ("Privileges", Pointer(&PRIVILEGES)),
    ("ReadOnly", Bool),
    ("Mounts", Slice(&MOUNT)),
    ("Sysctls", MapOf(&Text)),
    ("CapabilityAdd", Slice(&Text)),
    ("CapabilityDrop", Slice(&Text)),
]);

const NETWORK: Shape = Struct(&[("Target", Text)]);

const SERVICE: Shape = Struct(&[
    ("Name", Text),
    ("Labels", MapOf(&Text)),
    (
        "TaskTemplate",
        Struct(&[
            ("ContainerSpec", Pointer(&CONTAINER)),
            ("PluginSpec", Any),
            ("NetworkAttachmentSpec", Any),
            ("Resources", Any),
            ("Networks", Slice(&NETWORK)),
            ("Runtime", Text),
        ]),
    ),
    ("Networks", Slice(&NETWORK)),
]);

#[derive(Debug, Error, PartialEq, Eq)]
pub enum ServiceError {
    #[error(transparent)]
    Json(#[from] GoJsonError),
    #[error(transparent)]
    Mount(#[from] CreateError),
    #[error("the mode {mode:?} of {of} is not known here")]
    Mode { of: &'static str, mode: String },
    #[error("the seccomp profile is no base64 of a text")]
    Profile,
    #[error("the network {network:?} could not be asked for: {why}")]
    Network { network: String, why: String },
}

/// What a service runs.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    /// It installs a plugin.
    pub(super) is_plugin: bool,
    /// The inspection of one of its containers; none where it has none.
    pub(super) container: Option<Value>,
}

/// Reads the body of `POST /services/create` and `POST /services/{id}/update`.
pub(super) fn read(body: &[u8], daemon: &dyn Daemon) -> Result<Service, ServiceError> {
    let service = create::without_nulls(go_json::decode(body, &SERVICE)?);
    let task = service.get("TaskTemplate").cloned().unwrap_or_default();
    let networks = [service.get("Networks"), task.get("Networks")];
    let name = text(&service, "Name").to_owned();
    let is_plugin = task.get("PluginSpec").is_some() || text(&task, "Runtime") == "plugin";
    let container = match task.get("ContainerSpec") {
        None => None,
        Some(asked) => Some(container(asked, networks.into_iter().flatten(), daemon)?),
    };
    Ok(Service { name, is_plugin, container })
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or_default()
}

fn container<'a>(
    asked: &Value,
    networks: impl Iterator<Item = &'a Value>,
    daemon: &dyn Daemon,
) -> Result<Value, ServiceError> {
    let mut config = Map::new();
    for key in ["Image", "User", "Env", "Labels"] {
        if let Some(value) = asked.get(key) {
            config.insert(key.into(), value.clone());
        }
    }
    let mut host = Map::from_iter([("Privileged".to_owned(), json!(false))]);
    for (key, name) in [
        ("CapabilityAdd", "CapAdd"),
        ("CapabilityDrop", "CapDrop"),
        ("Groups", "GroupAdd"),
        ("Sysctls", "Sysctls"),
        ("ReadOnly", "ReadonlyRootfs"),
    ] {
        if let Some(value) = asked.get(key) {
            host.insert(name.into(), value.clone());
        }
    }
    if let Some(privileges) = asked.get("Privileges") {
        host.insert("SecurityOpt".into(), json!(security_options(privileges)?));
    }
    for network in networks.filter_map(Value::as_array).flatten() {
        if is_host_network(text(network, "Target"), daemon)? {
            host.insert("NetworkMode".into(), json!("host"));
        }
    }
    let mounts: Vec<Value> = asked
        .get("Mounts")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .map(|mount| create::mounted(mount, daemon))
        .collect::<Result<_, _>>()?;
    Ok(json!({"Config": config, "HostConfig": host, "Mounts": mounts}))
}

fn security_options(privileges: &Value) -> Result<Vec<String>, ServiceError> {
    let mut options = Vec::new();
    if flag(privileges, "NoNewPrivileges") {
        options.push("no-new-privileges".to_owned());
    }
    if let Some(selinux) = privileges.get("SELinuxContext") {
        if flag(selinux, "Disable") {
            options.push("label=disable".to_owned());
        }
        match text(selinux, "Type") {
            "" => {}
            domain => options.push(format!("label=type:{domain}")),
        }
    }
    if let Some(seccomp) = privileges.get("Seccomp") {
        match text(seccomp, "Mode") {
            "" | "default" => {}
            "unconfined" => options.push("seccomp=unconfined".to_owned()),
            "custom" => {
                let decoded = STANDARD.decode(text(seccomp, "Profile")).map_err(|_| ServiceError::Profile)?;
                let profile = String::from_utf8(decoded).map_err(|_| ServiceError::Profile)?;
                options.push(format!("seccomp={profile}"));
            }
            other => return Err(ServiceError::Mode { of: "seccomp", mode: other.to_owned() }),
        }
    }
    match privileges.get("AppArmor").map(|apparmor| text(apparmor, "Mode")) {
        None | Some("" | "default") => {}
        Some("disabled") => options.push("apparmor=unconfined".to_owned()),
        Some(other) => return Err(ServiceError::Mode { of: "AppArmor", mode: other.to_owned() }),
    }
    Ok(options)
}

/// A network may be named by its name or its id.
fn is_host_network(target: &str, daemon: &dyn Daemon) -> Result<bool, ServiceError> {
    if target == "host" {
        return Ok(true);
    }
    let asked = daemon.network(target);
    let found = asked.map_err(|why| ServiceError::Network { network: target.to_owned(), why })?;
    Ok(found.is_some_and(|network| text(&network, "Driver") == "host"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::docker::create::Volume;

    struct Known;

    impl Daemon for Known {
        fn volume(&self, _: &str) -> Result<Option<Volume>, String> {
            Ok(None)
        }
        fn container(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
        fn image(&self, _: &str) -> Result<Option<Value>, String> {
            Ok(None)
        }
        fn network(&self, reference: &str) -> Result<Option<Value>, String> {
            Ok((reference == "0123").then(|| json!({"Driver": "host"})))
        }
    }

    fn service(task: Value) -> Result<Service, ServiceError> {
        read(json!({"Name": "web", "TaskTemplate": task}).to_string().as_bytes(), &Known)
    }

    #[test]
    fn what_a_task_asks_for_is_what_its_container_has() {
        let spec = json!({
            "Image": "nginx", "User": "0", "CapabilityAdd": ["CAP_SYS_ADMIN"],
            "Mounts": [{"Type": "bind", "Source": "/", "Target": "/host"}],
            "Privileges": {"Seccomp": {"Mode": "unconfined"}, "AppArmor": {"Mode": "disabled"}, "NoNewPrivileges": true},
        });
        let read =
            service(json!({"ContainerSpec": spec, "Networks": [{"Target": "0123"}]})).expect("it reads");
        let container = read.container.expect("a container");
        assert_eq!((read.name.as_str(), read.is_plugin), ("web", false));
        assert_eq!(container["HostConfig"]["CapAdd"], json!(["CAP_SYS_ADMIN"]));
        assert_eq!(container["HostConfig"]["NetworkMode"], "host");
        assert_eq!(
            container["HostConfig"]["SecurityOpt"],
            json!(["no-new-privileges", "seccomp=unconfined", "apparmor=unconfined"])
        );
        assert_eq!(container["Mounts"][0]["Source"], "/");
        assert_eq!(container["Config"], json!({"Image": "nginx", "User": "0"}));
    }

    #[test]
    fn a_service_may_be_a_plugin() {
        for task in [json!({"PluginSpec": {"Name": "x"}}), json!({"Runtime": "plugin"})] {
            assert!(service(task).expect("it reads").is_plugin);
        }
    }

    #[test]
    fn a_profile_of_its_own_is_given_in_full() {
        let profile = STANDARD.encode(r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#);
        let privileges = json!({"Seccomp": {"Mode": "custom", "Profile": profile}});
        let read = service(json!({"ContainerSpec": {"Privileges": privileges}})).expect("it reads");
        let container = read.container.expect("a container");
        assert_eq!(
            container["HostConfig"]["SecurityOpt"],
            json!([r#"seccomp={"defaultAction":"SCMP_ACT_ALLOW"}"#])
        );
        let odd = json!({"ContainerSpec": {"Privileges": {"Seccomp": {"Mode": "none"}}}});
        assert!(matches!(service(odd), Err(ServiceError::Mode { .. })));
    }
}
