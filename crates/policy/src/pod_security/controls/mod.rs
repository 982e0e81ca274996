//! One file a control: the standard's words, the control's metadata, and a function for each version that changed it.

use std::fmt::Display;
use std::sync::Arc;

use confinement::pod::{ContainerDeclaration, ContainerRole, Field, SecurityContext};
use confinement::{Fact, Place, PodDeclaration};

use super::{Control, Level, Revision, Violations};

mod allow_privilege_escalation;
mod app_armor_profile;
pub(super) mod capabilities_baseline;
mod capabilities_restricted;
mod host_namespaces;
mod host_path_volumes;
mod host_ports;
mod host_probes_and_host_lifecycle;
mod privileged;
mod proc_mount;
mod proc_mount_restricted;
pub(super) mod restricted_volumes;
mod run_as_non_root;
mod run_as_user;
mod se_linux_options;
mod seccomp_profile_baseline;
mod seccomp_profile_restricted;
pub(super) mod sysctls;
mod windows_host_process;

/// Baseline first; within a level in the order of their names.
pub(super) const ALL: &[&Control] = &[
    &app_armor_profile::CONTROL,
    &capabilities_baseline::CONTROL,
    &host_namespaces::CONTROL,
    &host_path_volumes::CONTROL,
    &host_ports::CONTROL,
    &host_probes_and_host_lifecycle::CONTROL,
    &privileged::CONTROL,
    &proc_mount::CONTROL,
    &se_linux_options::CONTROL,
    &seccomp_profile_baseline::CONTROL,
    &sysctls::CONTROL,
    &windows_host_process::CONTROL,
    &allow_privilege_escalation::CONTROL,
    &capabilities_restricted::CONTROL,
    &proc_mount_restricted::CONTROL,
    &restricted_volumes::CONTROL,
    &run_as_non_root::CONTROL,
    &run_as_user::CONTROL,
    &seccomp_profile_restricted::CONTROL,
];

/// How a violation names a container.
fn owner(container: &ContainerDeclaration) -> String {
    let role = match container.role {
        ContainerRole::Init => "init container",
        ContainerRole::Main => "container",
        ContainerRole::Ephemeral => "ephemeral container",
    };
    format!("{role} `{}`", container.name)
}

/// Both levels at which a `securityContext` stands, with whom it belongs to: the pod, then each container.
fn contexts(pod: &PodDeclaration) -> impl Iterator<Item = (String, &SecurityContext)> {
    let of_pod = std::iter::once(("the pod".to_owned(), &pod.security));
    of_pod.chain(pod.containers.iter().map(|container| (owner(container), &container.security)))
}

/// Adds a violation for a field that is there and whose value is not allowed, or cannot be read.
fn only<T: Display>(
    field: &Field<T>,
    owner: &str,
    name: &str,
    violations: &mut Violations,
    allowed: impl FnOnce(&T) -> bool,
) {
    if let Some(fact) = field {
        only_value(fact, owner, name, violations, allowed);
    }
}

/// As [`only`], for an item of a list.
fn only_value<T: Display>(
    fact: &Fact<T>,
    owner: &str,
    name: &str,
    violations: &mut Violations,
    allowed: impl FnOnce(&T) -> bool,
) {
    match fact.get() {
        Some(value) if allowed(value) => {}
        Some(value) => violations.add(fact.origin.place(), format!("{owner} sets {name} to `{value}`")),
        None => violations.add(fact.origin.place(), format!("{name} of {owner} cannot be read")),
    }
}

/// Where something is missing from a container: its `securityContext`, else the container.
fn missing_from(container: &ContainerDeclaration) -> Option<&Place> {
    container.security.place.as_ref().or(container.place.as_ref())
}

fn is_true(field: &Field<bool>) -> bool {
    field.as_ref().is_some_and(|fact| fact.value == Some(true))
}

/// A pod with `hostUsers: false` (`relaxPolicyForUserNamespacePod`, helpers.go).
fn in_user_namespace(pod: &PodDeclaration) -> bool {
    pod.host_users.as_ref().is_some_and(|fact| fact.value == Some(false))
}

/// A pod that says it runs on Windows, where fields of Linux have no meaning.
fn on_windows(pod: &PodDeclaration) -> bool {
    pod.os.as_ref().and_then(|os| os.get()).is_some_and(|os| &**os == "windows")
}

/// The types of seccomp and AppArmor profiles that leave the container confined.
fn is_confined(kind: &Arc<str>) -> bool {
    matches!(&**kind, "RuntimeDefault" | "Localhost")
}
