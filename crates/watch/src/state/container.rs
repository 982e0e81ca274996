//! Containers as captures tell of them: their identifier from the cgroups of a process, and what an event said of one.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The first 12 digits.
    pub id: String,
    pub full_id: Option<String>,
    pub name: Option<String>,
    pub image: Option<String>,
    pub image_id: Option<String>,
    pub repository: Option<String>,
    pub tag: Option<String>,
    pub digest: Option<String>,
    /// docker, podman, containerd, cri-o, …
    pub engine: Option<String>,
    pub privileged: Option<bool>,
    pub mounts: Option<Vec<Mount>>,
    pub labels: BTreeMap<String, String>,
    /// Nanoseconds since 1970.
    pub started: Option<u64>,
    pub address: Option<String>,
    pub host_pid: Option<bool>,
    pub host_network: Option<bool>,
    pub host_ipc: Option<bool>,
    pub network_json: Option<String>,
    pub sandbox_id: Option<String>,
    /// Commands: health check, liveness, readiness.
    pub probes: [Option<String>; 3],
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mount {
    pub source: String,
    pub destination: String,
    pub mode: String,
    pub writable: bool,
    pub propagation: String,
}

impl Mount {
    /// As `container.mounts` writes one.
    pub fn line(&self) -> String {
        let Mount { source, destination, mode, writable, propagation } = self;
        format!("{source}:{destination}:{mode}:{writable}:{propagation}")
    }
}

/// Numbers of engines in container events (libs, `container_type.h`).
const ENGINES: [&str; 13] = [
    "docker",
    "lxc",
    "libvirt_lxc",
    "mesos",
    "rkt",
    "custom",
    "cri",
    "containerd",
    "cri-o",
    "bpm",
    "static",
    "podman",
    "podman",
];

impl Container {
    /// From the text of a container event.
    pub fn from_json(text: &[u8]) -> Option<Self> {
        let whole: Value = serde_json::from_slice(text).ok()?;
        let told = whole.get("container").unwrap_or(&whole);
        let text = |name: &str| {
            told.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
        };
        let flag = |name: &str| told.get(name).and_then(Value::as_bool);
        let engine = match told.get("type") {
            Some(Value::Number(number)) => {
                number.as_u64().and_then(|number| ENGINES.get(number as usize)).map(|name| (*name).to_owned())
            }
            _ => text("type"),
        };
        let labels = told.get("labels").and_then(Value::as_object).map(|labels| {
            labels.iter().filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
        });
        let mounts = told.get("Mounts").or_else(|| told.get("mounts")).and_then(Value::as_array);
        Some(Container {
            id: text("id")?,
            full_id: text("full_id"),
            name: text("name"),
            image: text("image"),
            image_id: text("imageid"),
            repository: text("imagerepo"),
            tag: text("imagetag"),
            digest: text("imagedigest"),
            engine,
            privileged: flag("privileged"),
            mounts: mounts.map(|mounts| mounts.iter().map(mount).collect()),
            labels: labels.unwrap_or_default(),
            // Seconds since 1970.
            started: told
                .get("created_time")
                .and_then(Value::as_u64)
                .filter(|s| *s != 0)
                .map(|s| s * 1_000_000_000),
            address: text("ip").filter(|address| address != "0.0.0.0"),
            host_pid: flag("host_pid"),
            host_network: flag("host_network"),
            host_ipc: flag("host_ipc"),
            network_json: text("cni_json"),
            sandbox_id: text("pod_sandbox_id"),
            probes: [probe(told, "Healthcheck"), probe(told, "LivenessProbe"), probe(told, "ReadinessProbe")],
        })
    }

    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

fn mount(told: &Value) -> Mount {
    let text = |name: &str| told.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    Mount {
        source: text("Source"),
        destination: text("Destination"),
        mode: text("Mode"),
        writable: told.get("RW").and_then(Value::as_bool).unwrap_or_default(),
        propagation: text("Propagation"),
    }
}

fn probe(told: &Value, name: &str) -> Option<String> {
    let probe = told.get(name)?;
    let mut command = probe.get("exe").and_then(Value::as_str)?.to_owned();
    for argument in
        probe.get("args").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str)
    {
        command.push(' ');
        command.push_str(argument);
    }
    Some(command)
}

/// The container that a list of cgroups (`subsystem=path`, each ending with a zero byte) names; `None` on the host.
///
/// Engines call the last cgroup by the identifier, 64 hexadecimal digits, alone or as `docker-….scope`,
/// `crio-…`, `libpod-…`, `cri-containerd-…` (libs, `container_engine/*`, `runc.cpp`).
pub fn id_of_cgroups(cgroups: &[u8]) -> Option<String> {
    cgroups.split(|byte| *byte == 0).find_map(|entry| {
        let path =
            entry.iter().position(|byte| *byte == b'=').and_then(|at| entry.get(at + 1..)).unwrap_or(entry);
        id_of_path(path)
    })
}

fn id_of_path(path: &[u8]) -> Option<String> {
    let mut parts = path.rsplit(|byte| *byte == b'/');
    // A process may be in a cgroup of the container's own, below the engine's.
    parts.find_map(|part| {
        let part = part.strip_suffix(b".scope").unwrap_or(part);
        let last = part.rsplit(|byte| matches!(byte, b'-' | b':')).next()?;
        let is_id = last.len() == 64 && last.iter().all(u8::is_ascii_hexdigit);
        is_id.then(|| String::from_utf8_lossy(last.get(..12).unwrap_or(last)).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_known_by_its_cgroup_and_the_host_has_none() {
        let id = "9dbcbd0c435f96fb261b66270b900ea5a2c17a26abbfabe95506e73c3a3c6586";
        for path in [
            format!("/docker/{id}"),
            format!("/system.slice/docker-{id}.scope"),
            format!(
                "/kubepods.slice/kubepods-besteffort.slice/kubepods-pod12.slice/cri-containerd-{id}.scope"
            ),
            format!("/kubepods/besteffort/pod12/{id}"),
            format!("/machine.slice/libpod-{id}.scope/container"),
            format!("/kubepods/pod1:cri-containerd:{id}"),
        ] {
            let cgroups = format!("cpuset=/\0memory={path}\0");
            assert_eq!(id_of_cgroups(cgroups.as_bytes()).as_deref(), Some("9dbcbd0c435f"), "{path}");
        }
        for path in
            ["/", "/user.slice/user-1000.slice/session-1.scope", "/x/0123456789abcdef0123456789abcdef"]
        {
            assert_eq!(id_of_cgroups(format!("memory={path}\0").as_bytes()), None, "{path}");
        }
    }
}
