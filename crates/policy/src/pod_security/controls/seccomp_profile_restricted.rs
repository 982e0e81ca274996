//! A seccomp profile must be set, and not `Unconfined`.
//!
//! Restricted fields: `spec.securityContext.seccompProfile.type`, and the same of every container. Allowed:
//! `RuntimeDefault`, `Localhost`; undefined in a container where the pod sets one of these. From 1.25 a pod that says it runs
//! on Windows is exempt.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "seccompProfile_restricted",
    level: Level::Restricted,
    revisions: &[
        Revision { since: 19, check: since_1_19, replaces: &["seccompProfile_baseline"] },
        Revision { since: 25, check: since_1_25, replaces: &["seccompProfile_baseline"] },
    ],
};

fn since_1_19(pod: &PodDeclaration, violations: &mut Violations) {
    for (owner, context) in contexts(pod) {
        only(&context.seccomp_type, &owner, "securityContext.seccompProfile.type", violations, is_confined);
    }
    if pod.security.seccomp_type.as_ref().and_then(|kind| kind.get()).is_some_and(is_confined) {
        return;
    }
    for container in pod.containers.iter().filter(|container| container.security.seccomp_type.is_none()) {
        let message = format!(
            "the pod or {} must set securityContext.seccompProfile.type to RuntimeDefault or Localhost",
            owner(container)
        );
        violations.add(missing_from(container), message);
    }
}

/// The baseline's control stays replaced: what it forbids of a Windows pod has no meaning there either.
fn since_1_25(pod: &PodDeclaration, violations: &mut Violations) {
    if !on_windows(pod) {
        since_1_19(pod, violations);
    }
}
