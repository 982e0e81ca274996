//! What an engine's inspection says of a container beside its confinement: names, image, labels, and what it was
//! given. Docker's form and Podman's are alike but for a few members.

use std::collections::BTreeMap;

use confinement::EngineKind;
use serde_json::Value;

use crate::alert;
use crate::trail::Privileges;

/// Labels of one container; an image has some ten.
const MOST_LABELS: usize = 256;
/// Characters of one text; the engines have no limit of their own for labels.
const LONGEST: usize = 4096;

/// A text of an engine's that is kept: bounded.
pub(super) fn kept(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => text.get(..end).unwrap_or_default().to_owned(),
        None => text.to_owned(),
    }
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|t| !t.is_empty()).map(kept)
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().filter_map(text).take(MOST_LABELS).collect()
}

pub(super) fn labels(inspected: &Value) -> BTreeMap<String, String> {
    let labels = inspected.pointer("/Config/Labels").and_then(Value::as_object);
    let kept = |(key, value): (&String, &Value)| Some((kept(key), kept(value.as_str()?)));
    labels.into_iter().flatten().filter_map(kept).take(MOST_LABELS).collect()
}

/// Process id and mount namespace are compared with the kernel's before any of this is believed.
pub(super) fn pid(inspected: &Value) -> Option<u32> {
    inspected.pointer("/State/Pid")?.as_u64().and_then(|pid| u32::try_from(pid).ok()).filter(|pid| *pid > 0)
}

pub(super) fn id(inspected: &Value) -> Option<String> {
    text(inspected.get("Id")?)
}

/// When the engine says that it started, nanoseconds since 1970.
pub(super) fn started(inspected: &Value) -> Option<i64> {
    let time: jiff::Timestamp = inspected.pointer("/State/StartedAt")?.as_str()?.parse().ok()?;
    // 0001-01-01 where it never did.
    i64::try_from(time.as_nanosecond()).ok().filter(|time| *time > 0)
}

/// Fills in what an inspection says. `digest` is the image's as a registry knows it.
pub(super) fn describe(
    container: &mut alert::Container,
    kind: EngineKind,
    inspected: &Value,
    digest: Option<String>,
) {
    let get = |path: &str| inspected.pointer(path).unwrap_or(&Value::Null);
    container.id = id(inspected).or(container.id.take());
    container.name =
        text(get("/Name")).map(|name| name.trim_start_matches('/').to_owned()).or(container.name.take());
    let image = text(get("/ImageName")).or_else(|| text(get("/Config/Image")));
    container.image = image.or(container.image.take());
    let of_podman = text(get("/ImageDigest"));
    container.image_digest = digest.or(of_podman).or(container.image_digest.take());
    container.engine = Some(kind.name().to_owned());
    container.labels = labels(inspected);
    container.privileged = get("/HostConfig/Privileged").as_bool().or(container.privileged);
    let label = |key: &str| container.labels.get(key).filter(|v| !v.is_empty()).cloned();
    // The kubelet's labels, and Podman's own member, which names the pod by its id.
    container.pod = label("io.kubernetes.pod.name").or_else(|| text(get("/Pod"))).or(container.pod.take());
    container.namespace = label("io.kubernetes.pod.namespace").or(container.namespace.take());
}

/// What it was given that others are not.
pub(super) fn privileges(inspected: &Value) -> Privileges {
    let host = inspected.get("HostConfig").unwrap_or(&Value::Null);
    let get = |name: &str| host.get(name).unwrap_or(&Value::Null);
    let mode = |member: &str, name: &str| {
        let mode = text(get(member))?;
        let shared = mode == "host" || mode.starts_with("container:") || mode.starts_with("ns:");
        shared.then(|| format!("{name}={mode}"))
    };
    let mount = |mount: &Value| {
        let of = |name: &str| mount.get(name).and_then(text);
        let source = of("Name").or_else(|| of("Source")).unwrap_or_default();
        let read_only = mount.get("RW").and_then(Value::as_bool) == Some(false);
        Some(format!("{source}:{}{}", of("Destination")?, if read_only { ":ro" } else { "" }))
    };
    let device = |device: &Value| text(device.get("PathOnHost")?);
    Privileges {
        privileged: get("Privileged").as_bool().unwrap_or(false),
        capabilities_added: texts(get("CapAdd")),
        user: inspected.pointer("/Config/User").and_then(text),
        namespaces: [
            mode("PidMode", "pid"),
            mode("NetworkMode", "network"),
            mode("IpcMode", "ipc"),
            mode("UTSMode", "uts"),
            mode("CgroupnsMode", "cgroup"),
            mode("UsernsMode", "user"),
        ]
        .into_iter()
        .flatten()
        .collect(),
        security_options: texts(get("SecurityOpt")),
        devices: get("Devices")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(device)
            .take(MOST_LABELS)
            .collect(),
        mounts: inspected
            .get("Mounts")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(mount)
            .take(MOST_LABELS)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sensor::event::ContainerKey;

    /// As Docker 20.10.24 and Podman 4.3.1 gave them, cut to what is read here.
    const DOCKER: &str = include_str!("testdata/docker-20.10-inspect.json");
    const PODMAN: &str = include_str!("testdata/podman-4.3-inspect.json");

    fn described(kind: EngineKind, text: &str) -> (alert::Container, Value) {
        let inspected: Value = serde_json::from_str(text).unwrap();
        let mut container = super::super::nothing_known(ContainerKey(1));
        describe(&mut container, kind, &inspected, None);
        (container, inspected)
    }

    #[test]
    fn dockers_inspection_is_read() {
        let (container, inspected) = described(EngineKind::Docker, DOCKER);
        assert_eq!(container.id.as_deref().map(str::len), Some(64));
        assert_eq!(container.name.as_deref(), Some("cwinspect"));
        assert_eq!(container.image.as_deref(), Some("stockade-test-busybox"));
        assert_eq!((container.engine.as_deref(), container.privileged), (Some("docker"), Some(false)));
        assert_eq!(container.labels.get("team").map(String::as_str), Some("red"));
        assert!(
            pid(&inspected).is_some() && started(&inspected).is_some_and(|t| t > 1_700_000_000_000_000_000)
        );
        let given = privileges(&inspected);
        assert_eq!(given.capabilities_added, ["SYS_ADMIN"]);
        // Docker adds the second where the pid namespace is the host's.
        assert_eq!(given.security_options, ["seccomp=unconfined", "label=disable"]);
        assert_eq!(given.mounts, ["/srv:/data:ro"]);
        assert_eq!(given.devices, ["/dev/null"]);
        assert!(given.namespaces.contains(&"pid=host".to_owned()), "{given:?}");
        assert_eq!(given.user.as_deref(), Some("10001"));
    }

    #[test]
    fn podmans_inspection_is_read() {
        let (container, inspected) = described(EngineKind::Podman, PODMAN);
        assert_eq!(container.name.as_deref(), Some("cwpod"));
        assert_eq!(container.image.as_deref(), Some("localhost/stockade-test-busybox:latest"));
        assert!(container.image_digest.is_some_and(|digest| digest.starts_with("sha256:")));
        assert_eq!((container.pod, container.namespace), (None, None));
        assert!(pid(&inspected).is_some() && started(&inspected).is_some());
        assert_eq!(privileges(&inspected).user.as_deref(), Some("10001"));
    }

    #[test]
    fn a_pods_labels_name_the_pod_and_its_namespace() {
        let text =
            r#"{"Config": {"Labels": {"io.kubernetes.pod.name": "p", "io.kubernetes.pod.namespace": "n"}}}"#;
        let (container, _) = described(EngineKind::Docker, text);
        assert_eq!((container.pod.as_deref(), container.namespace.as_deref()), (Some("p"), Some("n")));
    }

    #[test]
    fn what_an_engine_may_send_is_bounded() {
        let many: serde_json::Map<String, Value> = (0..10_000)
            .map(|n| (format!("{n}{}", "k".repeat(5000)), Value::from("é".repeat(5000))))
            .collect();
        let inspected = serde_json::json!({"Config": {"Labels": many}});
        let labels = labels(&inspected);
        assert_eq!(labels.len(), MOST_LABELS);
        assert!(labels.iter().all(|(k, v)| k.chars().count() <= LONGEST && v.chars().count() <= LONGEST));
        for odd in ["null", "[]", "{}", r#"{"State": {"Pid": 0, "StartedAt": "0001-01-01T00:00:00Z"}}"#] {
            let (_, inspected) = described(EngineKind::Docker, odd);
            assert_eq!((pid(&inspected), started(&inspected)), (None, None), "{odd}");
            assert_eq!(privileges(&inspected), Privileges::default());
        }
    }
}
