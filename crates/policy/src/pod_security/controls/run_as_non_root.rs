//! Containers must be required to run as another user than root.
//!
//! Restricted fields: `spec.securityContext.runAsNonRoot`, and the same of every container. Allowed: `true`; undefined in a
//! container where the pod says `true`. From 1.35 pods with `hostUsers: false` are exempt.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "runAsNonRoot",
    level: Level::Restricted,
    revisions: &[
        Revision { since: 0, check: since_1_0, replaces: &[] },
        Revision { since: 35, check: since_1_35, replaces: &[] },
    ],
};

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for (owner, context) in contexts(pod) {
        only(&context.run_as_non_root, &owner, "securityContext.runAsNonRoot", violations, |value| *value);
    }
    if is_true(&pod.security.run_as_non_root) {
        return;
    }
    for container in pod.containers.iter().filter(|container| container.security.run_as_non_root.is_none()) {
        let message =
            format!("the pod or {} must set securityContext.runAsNonRoot to true", owner(container));
        violations.add(missing_from(container), message);
    }
}

fn since_1_35(pod: &PodDeclaration, violations: &mut Violations) {
    if !in_user_namespace(pod) {
        since_1_0(pod, violations);
    }
}
