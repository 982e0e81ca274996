//! What is done with the object of a review: the pods in it are judged as the audit judges them in a file; what makes no
//! pod is judged by what it would give one, or by the policy's word about it.

use std::collections::BTreeSet;
use std::sync::Arc;

use policy::doors::kubernetes::Way;
use policy::{Date, InPlace, Outcome, Waivers};
use serde_json::{Value, json};
use sources::Context;
use sources::document::{Document, Limits, parse_json};
use sources::kubernetes::Objects;

use super::review::{Operation, Request};
use super::{rights, volume};
use crate::rules::InForce;
use crate::ruling::{Ruled, Ruling};

/// What places in an object call its file: it stands in none. An identifier of a subject begins with it.
pub(super) const PATH: &str = "kubernetes";
/// Within the limits of the review, and written out on more lines.
const LIMITS: Limits =
    Limits { bytes: 256 << 20, depth: 100, nodes: 1_000_000, documents: 1, reachable: 1_000_000 };

/// The kubelet's mark on the object that shows a static pod (kubernetes.io, tasks/configure-pod-container/static-pod).
const MIRROR: &str = "kubernetes.io/config.mirror";
/// Every kubelet is of this group (kubernetes.io, reference/access-authn-authz/node).
const NODES: &str = "system:nodes";

/// Kinds of Kubernetes' own that hold a pod, and where.
const WORKLOADS: &[(&str, &str, &str)] = &[
    ("", "Pod", "/spec"),
    ("", "ReplicationController", "/spec/template/spec"),
    ("", "PodTemplate", "/template/spec"),
    ("apps", "Deployment", "/spec/template/spec"),
    ("apps", "ReplicaSet", "/spec/template/spec"),
    ("apps", "StatefulSet", "/spec/template/spec"),
    ("apps", "DaemonSet", "/spec/template/spec"),
    ("batch", "Job", "/spec/template/spec"),
    ("batch", "CronJob", "/spec/jobTemplate/spec/template/spec"),
];

/// Who decides: what pods run under, by which rules, on which day.
#[derive(Clone, Copy)]
pub(super) struct Court<'a> {
    pub(super) context: &'a Context,
    pub(super) rules: &'a InForce,
    pub(super) today: Date,
}

/// What is answered.
pub(super) struct Answer {
    pub(super) ruling: Ruling,
    /// Why something was let in that a reason to refuse is against.
    pub(super) because: Option<&'static str>,
}

impl From<Ruling> for Answer {
    fn from(ruling: Ruling) -> Answer {
        Answer { ruling, because: None }
    }
}

pub(super) fn answer(request: &Request, context: &Context, rules: &InForce, today: Date) -> Answer {
    let court = Court { context, rules, today };
    match request.operation {
        // Nothing is made, and what goes was judged when it came.
        Some(Operation::Delete) => Ruling::allow().into(),
        Some(Operation::Connect) => connection(request, rules).into(),
        // The API server keeps of such an update nothing but the status.
        _ if request.subresource == "status" => Ruling::allow().into(),
        _ => kept(request, &court),
    }
}

/// An object that would be kept.
fn kept(request: &Request, court: &Court) -> Answer {
    let Some(object) = &request.object else {
        return Ruling::deny("denied: the review cannot be read: it has no `object`").into();
    };
    let new = judged(object, request, court);
    if !new.is_denied() {
        return new.into();
    }
    if is_mirror(request, object) {
        return let_in(new, "a static pod, which runs whatever is answered here");
    }
    let old = request.old_object.as_ref().filter(|_| request.operation == Some(Operation::Update));
    let Some(old) = old else { return new.into() };
    let before = judged(old, request, court);
    if is_no_worse(request, (object, &new), (old, &before)) {
        return let_in(new, "let in because this update makes nothing worse");
    }
    new.into()
}

fn judged(object: &Value, request: &Request, court: &Court) -> Ruling {
    match (request.group.as_str(), request.kind.as_str()) {
        ("", "PersistentVolume") => volume::ruling(object, court),
        ("rbac.authorization.k8s.io", "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding") => {
            rights::ruling(object, request, court)
        }
        _ => pods(object, request, court),
    }
}

/// The pods that an object is or holds.
fn pods(object: &Value, request: &Request, court: &Court) -> Ruling {
    let document = match document(&in_namespace(object, &request.namespace)) {
        Ok(document) => document,
        Err(why) => return Ruling::deny(why),
    };
    let mut objects = Objects::default();
    objects.add_held(&document);
    let mut world = objects.into_world(court.context);
    let policy = &court.rules.policy;
    let beside = (policy.in_place == InPlace::Everywhere).then(|| {
        let (mut waivers, problems) = Waivers::in_place(document.text(), &document.path);
        world.problems.extend(problems);
        waivers.extend(court.rules.waivers.clone());
        waivers
    });
    let waivers = beside.as_ref().unwrap_or(&court.rules.waivers);
    let ruling = Ruling::by(&world, |_| true, policy, waivers, court.today);
    if ruling.is_denied() || !ruling.subjects.is_empty() || !is_workload(request) {
        return ruling;
    }
    // Pods of Windows nodes: what confines them is not known here.
    let notes: Vec<&str> = world.notes.iter().map(|note| note.message.as_str()).collect();
    let outcome = policy.doors.kubernetes.not_judged.unwrap_or(Outcome::Deny);
    let word = match outcome {
        Outcome::Deny => "denied",
        Outcome::Warn => "warned of",
        Outcome::Allow => return ruling,
    };
    let message = format!("{}: {word}: nothing in it can be judged: {}", request.name(), notes.join("; "));
    Ruling { outcome, message, subjects: Vec::new() }
}

/// A connection into what runs already. It gives what the pod has, and the pod was judged when it was made; so only the
/// policy speaks about who may connect where.
fn connection(request: &Request, rules: &InForce) -> Ruling {
    let Some(way) = Way::of(&request.resource, &request.subresource) else { return Ruling::allow() };
    let user = request.who.user.as_deref().unwrap_or_default();
    let door = &rules.policy.doors.kubernetes;
    let (outcome, said) = door.connection(way, &request.namespace, user, &request.who.groups);
    let word = match outcome {
        Outcome::Deny => "denied",
        Outcome::Warn => "warned of",
        Outcome::Allow => return Ruling::allow(),
    };
    let said = said.map_or("the policy says so of such connections (doors.kubernetes.connect)", |s| &**s);
    let subresource = &request.subresource;
    let message = format!("{}/{subresource}: {word}: {said}", request.name());
    Ruling { outcome, message, subjects: Vec::new() }
}

fn is_workload(request: &Request) -> bool {
    let own = |(group, kind, _): &&(&str, &str, &str)| *group == request.group && *kind == request.kind;
    WORKLOADS.iter().any(|w| own(&w))
}

/// A static pod runs whether the API server knows of it or not; refusing the object that shows it hides it. Only kubelets
/// are believed: they may make no other pods (NodeRestriction), and run none that bears the mark.
fn is_mirror(request: &Request, object: &Value) -> bool {
    request.kind == "Pod"
        && request.group.is_empty()
        && request.who.groups.iter().any(|group| &**group == NODES)
        && object.pointer("/metadata/annotations").is_some_and(|a| a.get(MIRROR).is_some())
}

/// Lets in what was denied, with the words for it before what is against it.
fn let_in(ruling: Ruling, because: &'static str) -> Answer {
    let message = format!("{because}: {}", ruling.message);
    Answer { ruling: Ruling { outcome: Outcome::Warn, message, ..ruling }, because: Some(because) }
}

/// Whether nothing is against the new object that was not against the old one, and whatever something is against was not
/// touched. An update of labels, of the number of replicas or of finalizers is none of the gate's business; without this
/// rule, what was let in before the gate was there could not even be deleted where it has a finalizer.
fn is_no_worse(request: &Request, new: (&Value, &Ruling), old: (&Value, &Ruling)) -> bool {
    let (before, after) = (against(old.1), against(new.1));
    let own = WORKLOADS.iter().find(|(group, kind, _)| *group == request.group && *kind == request.kind);
    let pods = own.and_then(|(.., route)| Some((new.0.pointer(route)?, old.0.pointer(route)?)));
    // Without a reason it is refused for what cannot be read or judged, and so was the old one.
    if after.is_empty() {
        return pods.map_or_else(|| is_same(new.0, old.0), |(new, old)| new == old);
    }
    if !after.iter().all(|reason| before.contains(reason)) {
        return false;
    }
    let Some((pod_new, pod_old)) = pods else { return is_same(new.0, old.0) };
    let refused = new.1.subjects.iter().filter(|subject| subject.decision.outcome == Outcome::Deny);
    pod_new.get("volumes") == pod_old.get("volumes")
        && refused.filter_map(name).all(|name| {
            let container = name.rsplit('/').next().unwrap_or_default();
            declared(pod_new, container).is_some_and(|new| declared(pod_old, container) == Some(new))
        })
}

/// Whether two objects differ in nothing but what is said about them.
fn is_same(new: &Value, old: &Value) -> bool {
    let (Some(new), Some(old)) = (new.as_object(), old.as_object()) else { return false };
    let about = ["metadata", "status"];
    let keys: BTreeSet<&String> = new.keys().chain(old.keys()).collect();
    keys.into_iter().filter(|key| !about.contains(&key.as_str())).all(|key| new.get(key) == old.get(key))
}

fn name(ruled: &Ruled) -> Option<&str> {
    ruled.judged.pointer("/subject/name")?.as_str()
}

/// What is against an object for which it is refused: subject, rule and technique.
fn against(ruling: &Ruling) -> Vec<(&str, &str, &str)> {
    let mut against = Vec::new();
    for subject in &ruling.subjects {
        let name = name(subject).unwrap_or_default();
        let decision = &subject.decision;
        for reason in decision.reasons.iter().filter(|r| r.mode == policy::Mode::Enforce) {
            against.push((name, &*reason.rule, reason.technique.as_deref().unwrap_or(&reason.message)));
        }
        for error in decision.errors.iter().filter(|e| e.mode == policy::Mode::Enforce) {
            against.push((name, &*error.rule, "an error"));
        }
    }
    against
}

/// A container of a pod's specification, by its name.
fn declared<'a>(spec: &'a Value, name: &str) -> Option<&'a Value> {
    ["initContainers", "containers", "ephemeralContainers"].iter().find_map(|key| {
        spec.get(key)?.as_array()?.iter().find(|c| c.get("name").and_then(Value::as_str) == Some(name))
    })
}

/// The object in the namespace that the request is for. A pod that names none gets it only when it is kept.
fn in_namespace(object: &Value, namespace: &str) -> Value {
    let mut object = object.clone();
    if !namespace.is_empty()
        && let Some(fields) = object.as_object_mut()
        && let Some(metadata) = fields.entry("metadata").or_insert_with(|| json!({})).as_object_mut()
    {
        metadata.insert("namespace".into(), namespace.into());
    }
    object
}

/// An object as a document of its own, a value a line: evidence has places, and waivers beside what they waive lines.
pub(super) fn document(object: &Value) -> Result<Document, String> {
    let cannot = |why: &dyn std::fmt::Display| format!("denied: the object cannot be read: {why}");
    let text = serde_json::to_string_pretty(object).map_err(|e| cannot(&e))?;
    parse_json(&text, &Arc::from(PATH), &LIMITS).map_err(|e| cannot(&e))
}
