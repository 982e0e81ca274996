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

/// A static pod runs whether the API server knows of it or not. Only kubelets are believed, as the webhook believes them.
pub(super) fn not_static() -> Named {
    named(
        "no-static-pod",
        "!(object.kind == 'Pod' && has(request.userInfo.groups) && 'system:nodes' in request.userInfo.groups && \
         'kubernetes.io/config.mirror' in dyn(object).metadata.?annotations.orValue({}))",
    )
}

/// The pod, in whichever object holds one.
const POD: &str = "OBJECT.kind == 'Pod' ? dyn(OBJECT) :\nOBJECT.kind == 'PodTemplate' ? dyn(OBJECT).template :\n\
                   OBJECT.kind == 'CronJob' ? dyn(OBJECT).spec.jobTemplate.spec.template :\n\
                   dyn(OBJECT).spec.template";
const CONTAINERS: &str =
    "POD.?initContainers.orValue([]) +\nPOD.?containers.orValue([]) +\nPOD.?ephemeralContainers.orValue([])";
/// Fields of a pod that may change without anything else being judged again.
const FREE: &str = "['initContainers', 'containers', 'ephemeralContainers', 'tolerations', \
                    'activeDeadlineSeconds', 'terminationGracePeriodSeconds', 'schedulingGates']";
/// Annotations that confine.
const CONFINING: &str = "k.startsWith('container.apparmor.security.beta.kubernetes.io/') || \
                         k.contains('seccomp.security.alpha.kubernetes.io/')";

/// Where the pod is, and what of it is judged. What was there before an update and stays as it is, is not judged again:
/// a pod that is older than its policy can still be labelled, finished and deleted, which are updates too, and a workload
/// still be scaled.
pub(super) fn variables() -> Vec<Named> {
    let old = POD.replace("OBJECT", "oldObject");
    let kept_annotations = |from: &str, to: &str, same: &str| {
        format!(
            "variables.{from}Annotations.all(k, !({CONFINING}) || (k in variables.{to}Annotations{same}))"
        )
    };
    let annotations = |pod: &str| format!("variables.{pod}.?metadata.?annotations.orValue({{}})");
    vec![
        named("pod", POD.replace("OBJECT", "object")),
        named("spec", "variables.pod.spec"),
        named("containers", CONTAINERS.replace("POD", "variables.spec")),
        named("before", format!("oldObject == null ? dyn({{}}) :\n{old}")),
        named("newAnnotations", annotations("pod")),
        named("oldAnnotations", annotations("before")),
        named(
            "podKept",
            format!(
                "has(variables.before.spec) &&\n\
                 variables.spec.all(k, k in {FREE} || (k in variables.before.spec && variables.before.spec[k] == \
                 variables.spec[k])) &&\n\
                 variables.before.spec.all(k, k in {FREE} || k in variables.spec) &&\n\
                 variables.pod.?metadata.?labels.orValue({{}}) == variables.before.?metadata.?labels.orValue({{}}) \
                 &&\n{} &&\n{}",
                kept_annotations(
                    "new",
                    "old",
                    " && variables.oldAnnotations[k] == variables.newAnnotations[k]"
                ),
                kept_annotations("old", "new", "")
            ),
        ),
        named(
            "judged",
            format!(
                "variables.containers.filter(c, !(variables.podKept &&\n({}).exists(o, o == c)))",
                CONTAINERS.replace("POD", "variables.before.spec")
            ),
        ),
        named("windows", "variables.spec.?os.?name.orValue('') == 'windows'"),
        named(
            "onWindows",
            "variables.spec.?os.?name.orValue(\n\
             variables.spec.?nodeSelector[?'kubernetes.io/os'].orValue(\n\
             variables.spec.?nodeSelector[?'beta.kubernetes.io/os'].orValue(''))) == 'windows'",
        ),
    ]
}

pub(super) fn named(name: &str, expression: impl Into<String>) -> Named {
    Named { name: name.to_owned(), expression: expression.into() }
}
