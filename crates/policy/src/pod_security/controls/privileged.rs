//! Privileged containers switch most protections off and are forbidden.
//!
//! Restricted fields: `securityContext.privileged` of every container. Allowed: undefined, `false`.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "privileged",
    level: Level::Baseline,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &[] }],
};

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for container in &pod.containers {
        let field = &container.security.privileged;
        only(field, &owner(container), "securityContext.privileged", violations, |value| !value);
    }
}
