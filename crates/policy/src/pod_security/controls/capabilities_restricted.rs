//! Every capability must be dropped, and only NET_BIND_SERVICE may be added back.
//!
//! Restricted fields: `securityContext.capabilities.drop` of every container. Allowed: a list with `ALL`, spelled so.
//!
//! Restricted fields: `securityContext.capabilities.add` of every container. Allowed: undefined, `NET_BIND_SERVICE`. From
//! 1.25 a pod that says it runs on Windows is exempt.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "capabilities_restricted",
    level: Level::Restricted,
    revisions: &[
        Revision { since: 22, check: since_1_22, replaces: &["capabilities_baseline"] },
        Revision { since: 25, check: since_1_25, replaces: &["capabilities_baseline"] },
    ],
};

fn since_1_22(pod: &PodDeclaration, violations: &mut Violations) {
    for container in &pod.containers {
        let owner = owner(container);
        let dropped = &container.security.capabilities_drop;
        if !dropped.iter().any(|name| name.get().is_some_and(|name| &**name == "ALL")) {
            let place = dropped.first().and_then(|name| name.origin.place()).or(missing_from(container));
            violations.add(place, format!("{owner} must set securityContext.capabilities.drop to [\"ALL\"]"));
        }
        for added in &container.security.capabilities_add {
            only_value(added, &owner, "securityContext.capabilities.add", violations, |name| {
                &**name == "NET_BIND_SERVICE"
            });
        }
    }
}

fn since_1_25(pod: &PodDeclaration, violations: &mut Violations) {
    if !on_windows(pod) {
        since_1_22(pod, violations);
    }
}
