//! Privilege escalation by set-user-ID programs must be switched off.
//!
//! Restricted fields: `securityContext.allowPrivilegeEscalation` of every container. Allowed: `false`. The field came with
//! 1.8; from 1.25 a pod that says it runs on Windows is exempt.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "allowPrivilegeEscalation",
    level: Level::Restricted,
    revisions: &[
        Revision { since: 8, check: since_1_8, replaces: &[] },
        Revision { since: 25, check: since_1_25, replaces: &[] },
    ],
};

fn since_1_8(pod: &PodDeclaration, violations: &mut Violations) {
    for container in &pod.containers {
        let owner = owner(container);
        let field = &container.security.allow_privilege_escalation;
        if field.is_none() {
            let message = format!("{owner} must set securityContext.allowPrivilegeEscalation to false");
            violations.add(missing_from(container), message);
        }
        only(field, &owner, "securityContext.allowPrivilegeEscalation", violations, |value| !value);
    }
}

fn since_1_25(pod: &PodDeclaration, violations: &mut Violations) {
    if !on_windows(pod) {
        since_1_8(pod, violations);
    }
}
