//! What a container's own fields and its pod's come to: the request its engine gets, but for what other objects decide.

use std::sync::Arc;

use confinement::confine::{NamespaceRequest, SystemPaths, UserNamespaceRequest};
use confinement::pod::{ContainerDeclaration, PodDeclaration};
use confinement::{ControlApi, Fact, Request};

use super::container::Container;
use super::pod::Shared;
use super::security;

/// Where the container and the pod both say something, the container is heard (`DetermineEffectiveSecurityContext`,
/// pkg/securitycontext/util.go). `id` is the pod's.
pub(super) fn request(
    container: &Container,
    declared: &ContainerDeclaration,
    shared: &Shared,
    pod: &PodDeclaration,
    id: &Arc<str>,
) -> Request {
    let (own, of_pod) = (&container.security, &shared.security);
    let context = &declared.security;
    let either = |own: &Option<Fact<i64>>, of_pod: &Option<Fact<i64>>| {
        own.as_ref().or(of_pod.as_ref()).map(|fact| fact.map(|number| Arc::from(number.to_string())))
    };
    let sysctl = |(name, value): &security::Sysctl| Some((name.get()?.clone(), value.clone()));
    Request {
        image: container.image.clone(),
        user: either(&context.run_as_user, &pod.security.run_as_user),
        group: either(&own.run_as_group, &of_pod.run_as_group),
        refuses_root: context.run_as_non_root.clone().or_else(|| pod.security.run_as_non_root.clone()),
        groups: of_pod.groups.clone(),
        privileged: context.privileged.clone(),
        cap_add: context.capabilities_add.clone(),
        cap_drop: context.capabilities_drop.clone(),
        no_new_privileges: context.allow_privilege_escalation.as_ref().map(|allow| allow.map(|allow| !allow)),
        apparmor: security::apparmor(own, &declared.name, of_pod, &pod.annotations),
        selinux: own.selinux.clone().or_else(|| {
            // The container's options replace the pod's as a whole, even where they name no type.
            context.selinux.is_none().then(|| of_pod.selinux.clone()).flatten()
        }),
        system_paths: system_paths(&context.proc_mount),
        read_only_rootfs: own.read_only_rootfs.clone(),
        pid: pid(pod.host_pid.as_ref(), shared.share_pid.as_ref(), id),
        net: pod.host_network.as_ref().map(host_or_private),
        ipc: pod.host_ipc.as_ref().map(host_or_private),
        user_namespace: pod.host_users.as_ref().map(|host| {
            host.map(|host| if *host { UserNamespaceRequest::Host } else { UserNamespaceRequest::Private })
        }),
        gpus: container.limits.gpus.clone(),
        sysctls: of_pod.sysctls.iter().filter_map(sysctl).collect(),
        memory: container.limits.memory.clone().or_else(|| shared.limits.memory.clone()),
        cpu: container.limits.cpu.clone().or_else(|| shared.limits.cpu.clone()),
        published: declared
            .host_ports
            .iter()
            .filter(|port| port.get() != Some(&0))
            .map(|port| port.map(|port| Arc::from(port.to_string())))
            .collect(),
        control_apis: control_api(container, pod).into_iter().collect(),
        ..Request::default()
    }
}

fn host_or_private(host: &Fact<bool>) -> Fact<NamespaceRequest> {
    host.map(|host| if *host { NamespaceRequest::Host } else { NamespaceRequest::Private })
}

/// hostPID and shareProcessNamespace together are refused by the API server; the wider one is judged.
fn pid(
    host: Option<&Fact<bool>>,
    share: Option<&Fact<bool>>,
    id: &Arc<str>,
) -> Option<Fact<NamespaceRequest>> {
    let shared =
        share.map(|share| {
            share.map(|share| {
                if *share { NamespaceRequest::Container(id.clone()) } else { NamespaceRequest::Private }
            })
        });
    match (host, shared) {
        (Some(host), Some(shared)) if host.value == Some(false) => Some(shared),
        (Some(host), _) => Some(host_or_private(host)),
        (None, shared) => shared,
    }
}

fn system_paths(proc_mount: &Option<Fact<Arc<str>>>) -> Option<Fact<SystemPaths>> {
    let asked = proc_mount.as_ref()?;
    match asked.get().map(|text| &**text) {
        Some("Unmasked") => Some(asked.map(|_| SystemPaths::Unconfined)),
        Some("Default" | "") => None,
        _ => Some(Fact::unknown(asked.origin.clone())),
    }
}

fn control_api(container: &Container, pod: &PodDeclaration) -> Option<Fact<ControlApi>> {
    let api = container.engine_api.as_ref()?;
    let host = api.address.get()?.split_once("://")?.1;
    // In a pod's own network the loopback is the pod's: an engine in a neighbour container, not the host's.
    let loopback = ["localhost", "127.", "[::1]"].iter().any(|start| host.starts_with(start));
    if loopback && pod.host_network.as_ref().and_then(|host| host.value) != Some(true) {
        return None;
    }
    let tls = if api.tls { Some(true) } else { host.contains(":2375").then_some(false) };
    Some(api.address.map(|address| ControlApi::EngineTcp { address: address.clone(), tls }))
}
