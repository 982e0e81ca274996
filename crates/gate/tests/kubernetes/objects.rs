//! Objects as an API server sends them, from the corpora and from the standards, and what the audit says of them.

use std::path::Path;
use std::sync::Arc;

use policy::{Date, Outcome, Policy, Waivers};
use serde_json::Value;
use sources::document::{Limits, parse_bytes};
use sources::{Context, gather};
use techniques::judge::judge;

#[path = "../support/corpora.rs"]
mod corpora;

pub(crate) use corpora::corpora;
use corpora::to_json;

pub(crate) fn today() -> Date {
    "2027-01-10".parse().unwrap()
}

/// Objects that hold pods, one each, of a file.
pub(crate) fn objects(bytes: &[u8], path: &Path) -> Vec<Value> {
    let path: Arc<str> = path.to_string_lossy().into();
    let documents = parse_bytes(bytes, &path, &Limits::default()).into_iter().flatten();
    let mut objects: Vec<Value> = documents.filter_map(|d| to_json(&d.root)).collect();
    let items: Vec<Value> = objects
        .iter()
        .filter(|o| o["kind"] == "List")
        .filter_map(|o| o["items"].as_array())
        .flatten()
        .cloned()
        .collect();
    objects.retain(|o| o["kind"] != "List" && o["kind"].is_string() && o["apiVersion"].is_string());
    objects.extend(items);
    objects
}

/// What the audit says of the object in a file of its own.
pub(crate) fn audited(object: &Value, policy: &Policy) -> (Outcome, usize) {
    let bytes = serde_json::to_vec(object).unwrap();
    let world = gather::text(&bytes, Path::new("object.json"), &Context::assumed());
    let judgement = judge(&world, policy.options());
    let mut outcome = if world.problems.is_empty() { Outcome::Allow } else { Outcome::Deny };
    for judged in &judgement.subjects {
        let subject = &world.subjects[judged.subject];
        outcome = outcome.max(policy.decide(&world, subject, judged, &Waivers::default(), today()).outcome);
    }
    (outcome, judgement.subjects.len())
}

/// A pod of the standards: sound by `pss-restricted`, and one mutation of it.
pub(crate) fn standards() -> Vec<(&'static str, Value)> {
    let sound = serde_json::json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "p", "namespace": "n" },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "containers": [{ "name": "c", "image": "registry.example/c:1", "securityContext": {
                "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] },
            } }],
        },
    });
    let mutations: [(&str, &str, Value); 22] = [
        ("sound", "/spec/restartPolicy", "Never".into()),
        ("hostNetwork", "/spec/hostNetwork", true.into()),
        ("hostPID", "/spec/hostPID", true.into()),
        ("hostIPC", "/spec/hostIPC", true.into()),
        ("privileged", "/spec/containers/0/securityContext/privileged", true.into()),
        (
            "capabilities",
            "/spec/containers/0/securityContext/capabilities/add",
            serde_json::json!(["SYS_ADMIN"]),
        ),
        ("NET_RAW", "/spec/containers/0/securityContext/capabilities/add", serde_json::json!(["NET_RAW"])),
        (
            "NET_BIND",
            "/spec/containers/0/securityContext/capabilities/add",
            serde_json::json!(["NET_BIND_SERVICE"]),
        ),
        ("hostPath", "/spec/volumes", serde_json::json!([{ "name": "v", "hostPath": { "path": "/" } }])),
        ("nfs", "/spec/volumes", serde_json::json!([{ "name": "v", "nfs": { "server": "s", "path": "/" } }])),
        ("emptyDir", "/spec/volumes", serde_json::json!([{ "name": "v", "emptyDir": {} }])),
        (
            "hostPort",
            "/spec/containers/0/ports",
            serde_json::json!([{ "containerPort": 80, "hostPort": 80 }]),
        ),
        (
            "probe",
            "/spec/containers/0/livenessProbe",
            serde_json::json!({ "httpGet": { "port": 1, "host": "10.0.0.1" } }),
        ),
        ("apparmor", "/spec/securityContext/appArmorProfile", serde_json::json!({ "type": "Unconfined" })),
        ("selinux", "/spec/securityContext/seLinuxOptions", serde_json::json!({ "type": "spc_t" })),
        ("procMount", "/spec/containers/0/securityContext/procMount", "Unmasked".into()),
        ("seccomp", "/spec/securityContext/seccompProfile", serde_json::json!({ "type": "Unconfined" })),
        ("no seccomp", "/spec/securityContext/seccompProfile", Value::Null),
        (
            "sysctl",
            "/spec/securityContext/sysctls",
            serde_json::json!([{ "name": "kernel.msgmax", "value": "1" }]),
        ),
        ("escalation", "/spec/containers/0/securityContext/allowPrivilegeEscalation", Value::Null),
        ("root", "/spec/containers/0/securityContext/runAsUser", 0.into()),
        ("non-root", "/spec/securityContext/runAsNonRoot", Value::Null),
    ];
    let made = |(name, route, value): (&'static str, &str, Value)| {
        let mut pod = sound.clone();
        let (parent, key) = route.rsplit_once('/').unwrap();
        let parent = pod.pointer_mut(parent).unwrap().as_object_mut().unwrap();
        if value.is_null() {
            parent.remove(key)
        } else {
            parent.insert(key.into(), value)
        };
        (name, pod)
    };
    mutations.into_iter().map(made).collect()
}
