//! One object asked of all three.

use std::sync::Arc;

use gate::kubernetes::emit::emit;
use gate::kubernetes::emit::evaluate::{Answer, Policies};
use gate::kubernetes::emit::report::{Report, Said};
use gate::kubernetes::review;
use gate::{InForce, Ruling};
use policy::{Date, NoFiles, Policy, Waivers};
use serde_json::{Value, json};
use sources::Context;
use sources::document::{Limits, parse_json};
use sources::kubernetes::Objects;

pub(crate) const NAMESPACE: &str = "shop";

/// One policy, and all who decide by it.
pub(crate) struct Deciders {
    rules: InForce,
    context: Context,
    policies: Policies,
    report: Report,
}

/// Who refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Denied {
    pub(crate) audit: bool,
    pub(crate) webhook: bool,
    pub(crate) emitted: bool,
}

impl Denied {
    pub(crate) fn alike(&self) -> bool {
        self.audit == self.webhook && self.webhook == self.emitted
    }
}

impl Deciders {
    pub(crate) fn of(text: &str) -> Deciders {
        let policy =
            Policy::parse(text, &"p.yaml".into(), &NoFiles).unwrap_or_else(|e| panic!("{e}\n{text}"));
        Deciders::by(policy, Context::assumed())
    }

    pub(crate) fn by(policy: Policy, context: Context) -> Deciders {
        let rules = InForce { policy, waivers: Waivers::default() };
        let emitted = emit(&rules, &context);
        let policies = Policies::compile(&emitted.objects).unwrap_or_else(|e| panic!("{e}"));
        Deciders { rules, context, policies, report: emitted.report }
    }

    /// A new object.
    pub(crate) fn create(&self, object: &Value) -> (Denied, String) {
        self.ask(&request(object, None))
    }

    pub(crate) fn ask(&self, request: &Value) -> (Denied, String) {
        let object = request.get("object").cloned().unwrap_or_default();
        let webhook = self.webhook(request);
        let answer = self.emitted(request);
        let denied = Denied {
            audit: self.audit(&object).is_denied(),
            webhook: webhook.is_denied(),
            emitted: answer.is_denied(),
        };
        let said: Vec<String> =
            answer.objections.iter().map(|o| format!("{}: {}", o.policy, o.message)).collect();
        let told = format!("webhook: {}\nemitted: {}", webhook.message, said.join("\n         "));
        (denied, told)
    }

    pub(crate) fn webhook(&self, request: &Value) -> Ruling {
        let review =
            json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request });
        let bytes = serde_json::to_vec(&review).expect("JSON");
        review::decide(&bytes, &self.context, &self.rules, today()).expect("a review").ruling
    }

    /// Techniques that the report says are refused more often than the webhook does.
    pub(crate) fn stricter(&self) -> Vec<String> {
        let lines = self.report.lines.iter().filter(|line| line.said == Said::Stricter);
        lines.map(|line| line.what.clone()).collect()
    }

    pub(crate) fn emitted(&self, request: &Value) -> Answer {
        self.policies.review(request, None)
    }

    /// As `stockade audit --policy` decides about a file.
    fn audit(&self, object: &Value) -> Ruling {
        let text = serde_json::to_string(object).expect("JSON");
        let document = parse_json(&text, &Arc::from("pod.json"), &Limits::default()).expect("a document");
        let mut objects = Objects::default();
        objects.add(&document);
        Ruling::of(&objects.into_world(&self.context), &self.rules, today())
    }
}

pub(crate) fn today() -> Date {
    Date::constant(2026, 11, 23)
}

/// Kinds that hold pods: API group, kind, resource, and where the pod's specification is.
pub(crate) const SHAPES: &[(&str, &str, &str, &str)] = &[
    ("", "Pod", "pods", ""),
    ("", "PodTemplate", "podtemplates", "template"),
    ("", "ReplicationController", "replicationcontrollers", "spec.template"),
    ("apps", "Deployment", "deployments", "spec.template"),
    ("apps", "ReplicaSet", "replicasets", "spec.template"),
    ("apps", "StatefulSet", "statefulsets", "spec.template"),
    ("apps", "DaemonSet", "daemonsets", "spec.template"),
    ("batch", "Job", "jobs", "spec.template"),
    ("batch", "CronJob", "cronjobs", "spec.jobTemplate.spec.template"),
];

/// A pod in an object of another kind.
pub(crate) fn in_shape(pod: &Value, shape: &(&str, &str, &str, &str)) -> Value {
    let (group, kind, _, route) = shape;
    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
    if route.is_empty() {
        return pod.clone();
    }
    let metadata = pod.get("metadata").cloned().unwrap_or_default();
    let mut of_template = metadata.clone();
    if let Some(of_template) = of_template.as_object_mut() {
        of_template.remove("name");
        of_template.remove("namespace");
    }
    let mut inner = json!({ "metadata": of_template, "spec": pod.get("spec") });
    for key in route.split('.').rev() {
        inner = json!({ key: inner });
    }
    let mut object = json!({ "apiVersion": version, "kind": kind, "metadata": { "name": metadata.get("name"), "namespace": metadata.get("namespace") } });
    if let (Some(object), Some(inner)) = (object.as_object_mut(), inner.as_object()) {
        object.extend(inner.clone());
    }
    object
}

/// The request of an API server about an object.
pub(crate) fn request(object: &Value, old: Option<&Value>) -> Value {
    let text = |value: &Value, route: &str| {
        value.pointer(route).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let kind = text(object, "/kind");
    let (group, _, resource, _) =
        SHAPES.iter().find(|(_, k, ..)| *k == kind).unwrap_or_else(|| panic!("no kind {kind}"));
    let namespace = match text(object, "/metadata/namespace") {
        none if none.is_empty() => NAMESPACE.to_owned(),
        namespace => namespace,
    };
    json!({
        "uid": "1",
        "kind": { "group": group, "version": "v1", "kind": kind },
        "resource": { "group": group, "version": "v1", "resource": resource },
        "operation": if old.is_some() { "UPDATE" } else { "CREATE" },
        "name": text(object, "/metadata/name"),
        "namespace": namespace,
        "userInfo": { "username": "ada", "groups": ["system:authenticated"] },
        "object": object,
        "oldObject": old,
    })
}
