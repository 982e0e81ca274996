//! Containers must not be made to run as root.
//!
//! Restricted fields: `spec.securityContext.runAsUser`, and the same of every container. Allowed: undefined, any number but
//! `0`. From 1.35 pods with `hostUsers: false` are exempt.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "runAsUser",
    level: Level::Restricted,
    revisions: &[
        Revision { since: 23, check: since_1_23, replaces: &[] },
        Revision { since: 35, check: since_1_35, replaces: &[] },
    ],
};

fn since_1_23(pod: &PodDeclaration, violations: &mut Violations) {
    for (owner, context) in contexts(pod) {
        only(&context.run_as_user, &owner, "securityContext.runAsUser", violations, |user| *user != 0);
    }
}

fn since_1_35(pod: &PodDeclaration, violations: &mut Violations) {
    if !in_user_namespace(pod) {
        since_1_23(pod, violations);
    }
}
