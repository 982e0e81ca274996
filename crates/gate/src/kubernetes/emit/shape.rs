//! What every policy has in common: the requests it is about, and where the pod stands in each of their objects.
//!
//! Expressions use what Kubernetes 1.30 has, the first with ValidatingAdmissionPolicy in version v1: optional values among
//! it. `dyn(…)` keeps the API server's check of types quiet about fields that only some of the kinds have.

use super::object::{MatchResources, Named, ResourceRule};

/// Pods, what adds containers to running pods, and what makes pods of a template.
pub(super) fn constraints() -> MatchResources {
    let rule = |group: &str, resources: &[&str]| ResourceRule {
        api_groups: vec![group.to_owned()],
        api_versions: vec!["v1".to_owned()],
        operations: vec!["CREATE".to_owned(), "UPDATE".to_owned()],
        resources: resources.iter().map(|r| (*r).to_owned()).collect(),
    };
    MatchResources {
        match_policy: "Equivalent".to_owned(),
        resource_rules: vec![
            rule(
                "",
                &[
                    "pods",
                    "pods/ephemeralcontainers",
                    "pods/resize",
                    "podtemplates",
                    "replicationcontrollers",
                ],
            ),
            rule("apps", &["deployments", "replicasets", "statefulsets", "daemonsets"]),
            rule("batch", &["jobs", "cronjobs"]),
        ],
    }
}

/// What leaves the pod as it is, is not judged again: a pod that was there before its policy can still be labelled,
/// finished and deleted, which are updates too.
pub(super) fn changed() -> Named {
    Named {
        name: "pod-changed".to_owned(),
        expression: "request.operation == 'CREATE' || oldObject == null || (object.kind == 'PodTemplate' ? \
                     dyn(object).template != dyn(oldObject).template : \
                     dyn(object).spec != dyn(oldObject).spec)"
            .to_owned(),
    }
}

/// Where the pod is, and its containers of all three kinds.
pub(super) fn variables() -> Vec<Named> {
    [
        (
            "pod",
            "object.kind == 'Pod' ? dyn(object) :\nobject.kind == 'PodTemplate' ? dyn(object).template :\n\
             object.kind == 'CronJob' ? dyn(object).spec.jobTemplate.spec.template :\n\
             dyn(object).spec.template",
        ),
        ("spec", "variables.pod.spec"),
        (
            "containers",
            "variables.spec.?initContainers.orValue([]) +\nvariables.spec.?containers.orValue([]) +\n\
             variables.spec.?ephemeralContainers.orValue([])",
        ),
        ("windows", "variables.spec.?os.?name.orValue('') == 'windows'"),
    ]
    .into_iter()
    .map(|(name, expression)| named(name, expression))
    .collect()
}

pub(super) fn named(name: &str, expression: impl Into<String>) -> Named {
    Named { name: name.to_owned(), expression: expression.into() }
}
