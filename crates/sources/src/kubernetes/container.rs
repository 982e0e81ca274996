//! One container of a pod: its part of the pod's declaration, and what it says beside it.

use std::sync::Arc;

use confinement::pod::{ContainerDeclaration, ContainerRole};
use confinement::{Fact, Place, Propagation};

use crate::document::Node;

use super::field::{Reader, present};
use super::quantity;
use super::security::{self, Level, Security};

/// What a container says beside its declaration. Ten thousand pods are held at once before they are joined, so nothing
/// is kept twice.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) security: Security,
    pub(super) image: Option<Fact<Arc<str>>>,
    pub(super) limits: ResourceLimits,
    pub(super) engine_api: Option<EngineApi>,
    pub(super) mounts: Box<[VolumeMount]>,
    /// Claims handed in as block devices, by the names of their volumes.
    pub(super) devices: Box<[Fact<Arc<str>>]>,
    /// An ephemeral container's `targetContainerName`: it joins that container's pid namespace.
    pub(super) target: Option<Fact<Arc<str>>>,
}

/// An engine's API named by the environment, as Docker's and Podman's clients read it.
#[derive(Debug)]
pub(super) struct EngineApi {
    /// `tcp://…` or `http(s)://…`.
    pub(super) address: Fact<Arc<str>>,
    /// Whether the client is told to use certificates.
    pub(super) tls: bool,
}

#[derive(Debug)]
pub(super) struct VolumeMount {
    pub(super) volume: Fact<Arc<str>>,
    pub(super) target: Arc<str>,
    /// `subPath` or `subPathExpr`; a variable in the latter stays as it is written, as one folder below the volume.
    pub(super) sub_path: Option<Fact<Arc<str>>>,
    pub(super) read_only: Option<Fact<bool>>,
    pub(super) recursive_read_only: Option<Fact<Arc<str>>>,
    pub(super) propagation: Option<Fact<Propagation>>,
    pub(super) place: Place,
}

/// Resources that a vendor's device plugin hands out as graphics processors.
const GPU_RESOURCES: &[&str] = &["nvidia.com/", "amd.com/gpu", "gpu.intel.com/", "aliyun.com/gpu"];

pub(super) fn container(
    node: &Node,
    role: ContainerRole,
    route: &str,
    reader: &mut Reader,
) -> (Container, ContainerDeclaration) {
    let name_node = present(node, "name");
    let name: Arc<str> = match reader.string(node, "name").and_then(|name| name.value) {
        Some(name) => name,
        None => route.rsplit('.').next().unwrap_or(route).into(),
    };
    let (declared, security) = security::read(node, Level::Container, reader);
    let declaration = ContainerDeclaration {
        role,
        name,
        place: Some(name_node.as_ref().unwrap_or(node).place()),
        route: route.into(),
        host_ports: host_ports(node, reader),
        probe_hosts: probe_hosts(node, reader),
        security: declared,
    };
    let container = Container {
        security,
        image: reader.string(node, "image"),
        limits: resource_limits(node, reader),
        engine_api: engine_api(node, reader),
        mounts: volume_mounts(node, reader),
        devices: reader
            .mappings(node, "volumeDevices")
            .iter()
            .filter_map(|device| reader.string(device, "name"))
            .collect(),
        target: match role {
            ContainerRole::Ephemeral => reader.string(node, "targetContainerName"),
            _ => None,
        },
    };
    (container, declaration)
}

#[derive(Debug, Clone, Default)]
pub(super) struct ResourceLimits {
    pub(super) memory: Option<Fact<Option<u64>>>,
    pub(super) cpu: Option<Fact<Option<u64>>>,
    pub(super) gpus: Option<Fact<bool>>,
}

pub(super) fn resource_limits(node: &Node, reader: &mut Reader) -> ResourceLimits {
    let mut found = ResourceLimits::default();
    let limits = reader.mapping(node, "resources").and_then(|r| reader.mapping(&r, "limits"));
    let Some(limits) = limits else { return found };
    for (key, value) in limits.entries() {
        let Some(key) = key.as_str() else { continue };
        match key {
            "memory" => found.memory = quantity_of(&value, key, 1.0, reader),
            "cpu" => found.cpu = quantity_of(&value, key, 1000.0, reader),
            _ if GPU_RESOURCES.iter().any(|prefix| key.starts_with(prefix)) => {
                found.gpus = Some(Fact::known(value.as_str() != Some("0"), value.origin()));
            }
            _ => {}
        }
    }
    found
}

fn quantity_of(value: &Node, key: &str, unit: f64, reader: &mut Reader) -> Option<Fact<Option<u64>>> {
    if value.is_null() {
        return None;
    }
    let text = reader.text(value, key);
    let number = text.get().and_then(|text| quantity::parse(text));
    if let (Some(text), None) = (text.get(), number) {
        reader.problem(value, format!("`{text}` is no quantity of {key}"));
    }
    Some(Fact { value: number.map(|number| Some(quantity::whole(number * unit))), origin: text.origin })
}

fn host_ports(node: &Node, reader: &mut Reader) -> Vec<Fact<i64>> {
    let ports = reader.mappings(node, "ports");
    let mut ports: Vec<_> = ports.iter().filter_map(|port| reader.integer(port, "hostPort")).collect();
    ports.shrink_to_fit();
    ports
}

/// `.httpGet.host` and `.tcpSocket.host` of probes and life-cycle hooks.
fn probe_hosts(node: &Node, reader: &mut Reader) -> Vec<(Arc<str>, Fact<Arc<str>>)> {
    let mut hosts = Vec::new();
    let mut handler = |parent: &Node, key: &str, route: &str, reader: &mut Reader| {
        let Some(handler) = reader.mapping(parent, key) else { return };
        for action in ["httpGet", "tcpSocket"] {
            let host = reader.mapping(&handler, action).and_then(|action| reader.string(&action, "host"));
            if let Some(host) = host {
                hosts.push((Arc::from(format!("{route}{key}.{action}.host")), host));
            }
        }
    };
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        handler(node, probe, "", reader);
    }
    if let Some(lifecycle) = reader.mapping(node, "lifecycle") {
        for hook in ["postStart", "preStop"] {
            handler(&lifecycle, hook, "lifecycle.", reader);
        }
    }
    hosts
}

fn volume_mounts(node: &Node, reader: &mut Reader) -> Box<[VolumeMount]> {
    let mut mounts = Vec::new();
    for mount in reader.mappings(node, "volumeMounts") {
        let target = reader.string(&mount, "mountPath").and_then(|path| path.value);
        let volume = reader.string(&mount, "name");
        let (Some(target), Some(volume)) = (target, volume) else {
            reader.problem(&mount, "a volume mount needs a `name` and a `mountPath`");
            continue;
        };
        let propagation = reader.string(&mount, "mountPropagation").map(|mode| Fact {
            value: mode.get().and_then(|mode| match &**mode {
                "None" => Some(Propagation::Private),
                "HostToContainer" => Some(Propagation::Slave),
                "Bidirectional" => Some(Propagation::Shared),
                _ => None,
            }),
            origin: mode.origin,
        });
        mounts.push(VolumeMount {
            volume,
            target,
            sub_path: reader
                .string(&mount, "subPath")
                .or_else(|| reader.string(&mount, "subPathExpr"))
                .filter(|path| path.get().is_none_or(|path| !path.is_empty())),
            read_only: reader.boolean(&mount, "readOnly"),
            recursive_read_only: reader.string(&mount, "recursiveReadOnly"),
            propagation,
            place: mount.place(),
        });
    }
    mounts.into()
}

fn engine_api(node: &Node, reader: &mut Reader) -> Option<EngineApi> {
    let mut address: Option<Fact<Arc<str>>> = None;
    let mut tls = false;
    for variable in reader.mappings(node, "env") {
        let name = present(&variable, "name");
        match name.as_ref().and_then(|name| name.as_str()) {
            Some("DOCKER_HOST" | "CONTAINER_HOST") => {
                address = present(&variable, "value").map(|value| reader.raw_text(&value, "value"));
            }
            Some("DOCKER_TLS_VERIFY" | "DOCKER_CERT_PATH") => {
                tls |= present(&variable, "value").is_none_or(|value| value.as_str() != Some(""));
            }
            _ => {}
        }
    }
    let address = address?;
    let over_network = ["tcp://", "http://", "https://"]
        .iter()
        .any(|scheme| address.get().is_some_and(|a| a.starts_with(scheme)));
    over_network.then_some(EngineApi { address, tls })
}
