//! A PersistentVolume, judged by what it shows: to a container that is root, as Kubernetes starts one where nothing is said,
//! and that mounts it through a claim.

use policy::{Policy, Waivers};
use serde_json::{Value, json};
use sources::kubernetes::Objects;

use super::object::{Court, document};
use crate::ruling::Ruling;

const NAMESPACE: &str = "default";
const CLAIM: &str = "claim";

pub(super) fn ruling(volume: &Value, court: &Court) -> Ruling {
    let policy = &court.rules.policy;
    let outcome = policy.doors.kubernetes.persistent_volumes.unwrap_or(policy.open);
    match world(volume, court) {
        Ok((world, name)) => judge(world, &name, None, outcome, court),
        Err(why) => Ruling::deny(why),
    }
}

fn world(volume: &Value, court: &Court) -> Result<(confinement::World, String), String> {
    let mut volume = volume.clone();
    let metadata = volume.get("metadata").cloned().unwrap_or_default();
    let field = |key: &str| metadata.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let name = field("name").or_else(|| field("generateName")).unwrap_or("-").to_owned();
    // Whoever it is kept for, another may be put there.
    if let Some(spec) = volume.get_mut("spec").and_then(Value::as_object_mut) {
        spec.remove("claimRef");
    }
    let block = volume.pointer("/spec/volumeMode").and_then(Value::as_str) == Some("Block");
    let uses = if block {
        json!({ "volumeDevices": [{ "name": CLAIM, "devicePath": "/dev/volume" }] })
    } else {
        json!({ "volumeMounts": [{ "name": CLAIM, "mountPath": "/volume" }] })
    };
    let mut container = json!({ "name": "user", "image": "user" });
    if let (Some(container), Some(uses)) = (container.as_object_mut(), uses.as_object()) {
        container.extend(uses.clone());
    }
    let claim = json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": { "name": CLAIM, "namespace": NAMESPACE },
        "spec": { "volumeName": name, "volumeMode": if block { "Block" } else { "Filesystem" } },
    });
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "user", "namespace": NAMESPACE },
        "spec": {
            "automountServiceAccountToken": false,
            "containers": [container],
            "volumes": [{ "name": CLAIM, "persistentVolumeClaim": { "claimName": CLAIM } }],
        },
    });
    let mut objects = Objects::default();
    for object in [&volume, &claim, &pod] {
        objects.add_held(&document(object)?);
    }
    Ok((objects.into_world(court.context), format!("PersistentVolume/{name}")))
}

/// Judges the first subject of a world under the name of the object that gives it what it has, by what the policy does
/// with open paths; rules about pods are not asked, as there is none.
pub(super) fn judge(
    mut world: confinement::World,
    name: &str,
    namespace: Option<&str>,
    open: policy::Outcome,
    court: &Court,
) -> Ruling {
    let Some(subject) = world.subjects.first_mut() else { return Ruling::allow() };
    subject.name = name.into();
    subject.id = format!("{}#{name}", super::object::PATH).into();
    subject.namespace = namespace.map(Into::into);
    subject.pod = None;
    let id = subject.id.clone();
    let policy = &court.rules.policy;
    let policy = Policy {
        path: policy.path.clone(),
        open,
        undetermined: policy.undetermined.min(open),
        in_place: policy.in_place,
        ..Policy::default()
    };
    let waivers: &Waivers = &court.rules.waivers;
    Ruling::by(&world, |subject| subject.id == id, &policy, waivers, court.today)
}
