//! One container of a pod: what it asks the engine for, and its part of the pod's declaration.

use std::sync::Arc;

use confinement::confine::{NamespaceRequest, SystemPaths, UserNamespaceRequest};
use confinement::pod::{ContainerDeclaration, ContainerRole};
use confinement::{ControlApi, Fact, Place, Propagation, Request};

use crate::document::Node;

use super::field::{Reader, present};
use super::pod::Shared;
use super::quantity;
use super::security::{self, Level, SeccompAsked};

/// A container with what other objects have still to decide: its volumes, its seccomp annotation, its account.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) name: Arc<str>,
    pub(super) place: Place,
    pub(super) role: ContainerRole,
    pub(super) request: Request,
    pub(super) seccomp: SeccompAsked,
    pub(super) mounts: Vec<VolumeMount>,
    pub(super) devices: Vec<VolumeDevice>,
    /// An ephemeral container's `targetContainerName`: it joins that container's pid namespace.
    pub(super) target: Option<Fact<Arc<str>>>,
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

/// A claim handed in as a block device.
#[derive(Debug)]
pub(super) struct VolumeDevice {
    pub(super) volume: Fact<Arc<str>>,
}

/// Resources that a vendor's device plugin hands out as graphics processors.
const GPU_RESOURCES: &[&str] = &["nvidia.com/", "amd.com/gpu", "gpu.intel.com/", "aliyun.com/gpu"];

pub(super) fn container(
    node: &Node,
    role: ContainerRole,
    route: &str,
    shared: &Shared,
    reader: &mut Reader,
) -> (Container, ContainerDeclaration) {
    let name_node = present(node, "name");
    let name: Arc<str> = match reader.string(node, "name").and_then(|name| name.value) {
        Some(name) => name,
        None => route.rsplit('.').next().unwrap_or(route).into(),
    };
    let place = name_node.as_ref().unwrap_or(node).place();
    let own = security::read(node, Level::Container, reader);
    let mut request = request(node, &own, shared, reader);
    let ports = ports(node, &mut request, reader);
    let declaration = ContainerDeclaration {
        role,
        name: name.clone(),
        place: Some(place.clone()),
        route: route.into(),
        host_ports: ports,
        probe_hosts: probe_hosts(node, reader),
        security: own.declared.clone(),
    };
    request.apparmor = security::apparmor(&own, &name, &shared.security, &shared.annotations);
    let container = Container {
        seccomp: security::seccomp(&own, &name, &shared.security, &shared.annotations),
        mounts: volume_mounts(node, reader),
        devices: volume_devices(node, reader),
        target: match role {
            ContainerRole::Ephemeral => reader.string(node, "targetContainerName"),
            _ => None,
        },
        name,
        place,
        role,
        request,
    };
    (container, declaration)
}

/// What the container's own fields and the pod's come to: where both say something, the container's is heard
/// (`DetermineEffectiveSecurityContext`, pkg/securitycontext/util.go). SELinux options are taken as a whole, not mixed.
fn request(node: &Node, own: &security::Security, shared: &Shared, reader: &mut Reader) -> Request {
    let pod = &shared.security;
    let text = |fact: &Fact<i64>| fact.map(|number| Arc::from(number.to_string()));
    let declared = &own.declared;
    let either = |own: &Option<Fact<i64>>, pod: &Option<Fact<i64>>| own.as_ref().or(pod.as_ref()).map(text);
    let limits = limits(node, shared, reader);
    Request {
        image: reader.string(node, "image"),
        user: either(&declared.run_as_user, &pod.declared.run_as_user),
        group: either(&own.run_as_group, &pod.run_as_group),
        refuses_root: declared.run_as_non_root.clone().or_else(|| pod.declared.run_as_non_root.clone()),
        groups: pod.groups.clone(),
        privileged: declared.privileged.clone(),
        cap_add: declared.capabilities_add.clone(),
        cap_drop: declared.capabilities_drop.clone(),
        no_new_privileges: declared
            .allow_privilege_escalation
            .as_ref()
            .map(|allow| allow.map(|allow| !allow)),
        selinux: own.selinux.clone().or_else(|| {
            // The container's options replace the pod's even where they name no type.
            declared.selinux.is_none().then(|| pod.selinux.clone()).flatten()
        }),
        system_paths: system_paths(&declared.proc_mount),
        read_only_rootfs: own.read_only_rootfs.clone(),
        pid: shared.pid.clone(),
        net: shared.host_network.as_ref().map(host_or_private),
        ipc: shared.host_ipc.as_ref().map(host_or_private),
        user_namespace: shared.host_users.as_ref().map(|host| {
            host.map(|host| if *host { UserNamespaceRequest::Host } else { UserNamespaceRequest::Private })
        }),
        gpus: limits.gpus,
        sysctls: sysctls(shared),
        memory: limits.memory,
        cpu: limits.cpu,
        control_apis: control_apis(node, shared, reader),
        ..Request::default()
    }
}

pub(super) fn host_or_private(host: &Fact<bool>) -> Fact<NamespaceRequest> {
    host.map(|host| if *host { NamespaceRequest::Host } else { NamespaceRequest::Private })
}

fn system_paths(proc_mount: &Option<Fact<Arc<str>>>) -> Option<Fact<SystemPaths>> {
    let asked = proc_mount.as_ref()?;
    match asked.get().map(|text| &**text) {
        Some("Unmasked") => Some(asked.map(|_| SystemPaths::Unconfined)),
        Some("Default" | "") => None,
        _ => Some(Fact::unknown(asked.origin.clone())),
    }
}

fn sysctls(shared: &Shared) -> Vec<(Arc<str>, Fact<Arc<str>>)> {
    let known = |(name, value): &security::Sysctl| Some((name.get()?.clone(), value.clone()));
    shared.security.sysctls.iter().filter_map(known).collect()
}

#[derive(Debug, Clone, Default)]
pub(super) struct ResourceLimits {
    pub(super) memory: Option<Fact<Option<u64>>>,
    pub(super) cpu: Option<Fact<Option<u64>>>,
    pub(super) gpus: Option<Fact<bool>>,
}

/// The container's own limits, and the pod's (`spec.resources`, 1.32) where it has none.
fn limits(node: &Node, shared: &Shared, reader: &mut Reader) -> ResourceLimits {
    let own = resource_limits(node, reader);
    ResourceLimits {
        memory: own.memory.or_else(|| shared.limits.memory.clone()),
        cpu: own.cpu.or_else(|| shared.limits.cpu.clone()),
        gpus: own.gpus,
    }
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

/// `ports[*].hostPort`; with the host's network every port is one of the host.
fn ports(node: &Node, request: &mut Request, reader: &mut Reader) -> Vec<Fact<i64>> {
    let mut host_ports = Vec::new();
    for port in reader.mappings(node, "ports") {
        let Some(host_port) = reader.integer(&port, "hostPort") else { continue };
        if host_port.get() != Some(&0) {
            request.published.push(host_port.map(|port| Arc::from(port.to_string())));
        }
        host_ports.push(host_port);
    }
    host_ports
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

fn volume_mounts(node: &Node, reader: &mut Reader) -> Vec<VolumeMount> {
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
    mounts
}

fn volume_devices(node: &Node, reader: &mut Reader) -> Vec<VolumeDevice> {
    let devices = reader.mappings(node, "volumeDevices");
    devices
        .iter()
        .filter_map(|device| Some(VolumeDevice { volume: reader.string(device, "name")? }))
        .collect()
}

/// An engine's API named by the environment, as Docker's and Podman's clients read it.
fn control_apis(node: &Node, shared: &Shared, reader: &mut Reader) -> Vec<Fact<ControlApi>> {
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
    let Some(address) = address else { return Vec::new() };
    let Some(text) = address.get() else { return Vec::new() };
    let Some(host) = ["tcp://", "http://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme))
    else {
        return Vec::new();
    };
    // In a pod's own network the loopback is the pod's: an engine in a neighbour container, not the host's.
    let loopback = ["localhost", "127.", "[::1]"].iter().any(|start| host.starts_with(start));
    if loopback && shared.host_network.as_ref().and_then(|host| host.value) != Some(true) {
        return Vec::new();
    }
    let tls = if tls { Some(true) } else { host.contains(":2375").then_some(false) };
    vec![address.map(|address| ControlApi::EngineTcp { address: address.clone(), tls })]
}
