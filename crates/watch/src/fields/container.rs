//! `container.*`, `k8s.*`: where it was done.

use rules::{Field, FieldId, Value};

use crate::state::Container;
use crate::state::container::Mount;

use super::{View, made};

impl View<'_> {
    pub(super) fn container_field<'b>(&'b self, field: &Field) -> Option<Value<'b>> {
        use FieldId as F;
        // Events of no process have no place.
        if self.applied.thread.is_none() && self.event.kind.name != "container" {
            return None;
        }
        let Some(id) = self.container_id() else {
            let host = matches!(field.id, F::ContainerId | F::ContainerFullId | F::ContainerName);
            return host.then(|| Value::text("host"));
        };
        if field.id == F::ContainerId {
            return made(id.into_owned().into_bytes());
        }
        // A container of which only the identifier is known has nothing else.
        let found = self.state.container(&id)?;
        let flag = |flag: Option<bool>| flag.map(Value::Bool);
        match field.id {
            F::ContainerFullId => text(&found.full_id),
            F::ContainerName => text(&found.name),
            F::ContainerImage => text(&found.image),
            F::ContainerImageId => text(&found.image_id),
            F::ContainerType => text(&found.engine),
            F::ContainerPrivileged => flag(found.privileged),
            F::ContainerMounts => {
                made(found.mounts.as_ref()?.iter().map(Mount::line).collect::<Vec<_>>().join(","))
            }
            F::ContainerMount => made(mount(found, field, Mount::of_source)?.line()),
            F::ContainerMountSource => Some(Value::text(&mount(found, field, Mount::of_destination)?.source)),
            F::ContainerMountDest => Some(Value::text(&mount(found, field, Mount::of_source)?.destination)),
            F::ContainerMountMode => Some(Value::text(&mount(found, field, Mount::of_source)?.mode)),
            F::ContainerMountRdwr => Some(Value::text(if mount(found, field, Mount::of_source)?.writable {
                "true"
            } else {
                "false"
            })),
            F::ContainerMountPropagation => {
                Some(Value::text(&mount(found, field, Mount::of_source)?.propagation))
            }
            F::ContainerImageRepository => text(&found.repository),
            F::ContainerImageTag => text(&found.tag),
            F::ContainerImageDigest => text(&found.digest),
            F::ContainerHealthcheck => text(&found.probes[0]),
            F::ContainerLivenessProbe => text(&found.probes[1]),
            F::ContainerReadinessProbe => text(&found.probes[2]),
            F::ContainerStartTs => found.started.map(Value::Unsigned),
            F::ContainerDuration => {
                found.started.map(|started| Value::Unsigned(self.event.time.saturating_sub(started)))
            }
            F::ContainerIp => text(&found.address),
            F::ContainerCniJson => text(&found.network_json),
            F::ContainerHostPid => flag(found.host_pid),
            F::ContainerHostNetwork => flag(found.host_network),
            F::ContainerHostIpc => flag(found.host_ipc),
            F::ContainerLabel => found.label(field.key()?).map(Value::text),
            F::ContainerLabels => labels(found),
            _ => None,
        }
    }

    /// Kubernetes tells the pod in labels of the container.
    pub(super) fn pod_field<'b>(&'b self, field: &Field) -> Option<Value<'b>> {
        use FieldId as F;
        let found = self.container()?;
        let label = |name| found.label(name).map(Value::text);
        match field.id {
            F::K8sPodName => label("io.kubernetes.pod.name"),
            F::K8sPodId | F::K8sPodUid => label("io.kubernetes.pod.uid"),
            F::K8sNsName => label("io.kubernetes.pod.namespace"),
            F::K8sPodSandboxId => {
                let id = found.sandbox_id.as_deref()?;
                Some(Value::text(id.get(..12).unwrap_or(id)))
            }
            F::K8sPodFullSandboxId => text(&found.sandbox_id),
            F::K8sPodIp => found.label("io.kubernetes.pod.name").and_then(|_| text(&found.address)),
            F::K8sPodCniJson => text(&found.network_json),
            F::K8sPodLabel => found.label(field.key()?).map(Value::text),
            F::K8sPodLabels => labels(found),
            _ => None,
        }
    }
}

fn text(text: &Option<String>) -> Option<Value<'_>> {
    text.as_deref().map(Value::text)
}

fn labels(found: &Container) -> Option<Value<'static>> {
    let labels: Vec<String> = found.labels.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    (!labels.is_empty()).then(|| labels.join(",")).and_then(made)
}

/// A mount by its number, or by a pattern.
fn mount<'a>(found: &'a Container, field: &Field, name: fn(&Mount) -> &str) -> Option<&'a Mount> {
    let mounts = found.mounts.as_deref()?;
    match (field.index(), field.key()) {
        (Some(index), _) => mounts.get(index as usize),
        (_, Some(pattern)) => mounts.iter().find(|mount| matches(pattern.as_bytes(), name(mount).as_bytes())),
        _ => None,
    }
}

impl Mount {
    fn of_source(&self) -> &str {
        &self.source
    }

    fn of_destination(&self) -> &str {
        &self.destination
    }
}

/// `*` any text, `?` any byte, as fnmatch(3) without flags; brackets stand for themselves.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut from) = (0, 0);
    // Where to go on after the last star, if what follows it does not fit.
    let mut star: Option<(usize, usize)> = None;
    while from < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at + 1, from));
                at += 1;
            }
            Some(byte) if *byte == b'?' || Some(byte) == text.get(from) => {
                at += 1;
                from += 1;
            }
            _ => match &mut star {
                Some((behind, tried)) => {
                    *tried += 1;
                    (at, from) = (*behind, *tried);
                }
                None => return false,
            },
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_mount_is_found_by_a_pattern() {
        let matches = |pattern: &str, text: &str| super::matches(pattern.as_bytes(), text.as_bytes());
        assert!(
            matches("/proc*", "/proc/sys")
                && matches("/", "/")
                && matches("*", "")
                && matches("/a*b*c", "/axbyc")
        );
        assert!(!matches("/proc*", "/sys") && !matches("/", "/etc") && !matches("/a?", "/a"));
    }
}
