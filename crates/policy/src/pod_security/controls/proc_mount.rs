//! The masks over /proc must stay, but for pods in a user namespace of their own from 1.35 on.
//!
//! Restricted fields: `securityContext.procMount` of every container. Allowed: undefined, `Default`; from 1.35 any value
//! with `hostUsers: false`.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "procMount",
    level: Level::Baseline,
    revisions: &[
        Revision { since: 0, check: since_1_0, replaces: &[] },
        Revision { since: 35, check: since_1_35, replaces: &[] },
    ],
};

pub(super) fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for container in &pod.containers {
        let field = &container.security.proc_mount;
        only(field, &owner(container), "securityContext.procMount", violations, |value| {
            &**value == "Default"
        });
    }
}

fn since_1_35(pod: &PodDeclaration, violations: &mut Violations) {
    if !in_user_namespace(pod) {
        since_1_0(pod, violations);
    }
}
