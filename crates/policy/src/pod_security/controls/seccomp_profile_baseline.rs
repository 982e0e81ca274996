//! Seccomp must not be switched off.
//!
//! Up to 1.18, restricted fields: `metadata.annotations['seccomp.security.alpha.kubernetes.io/pod']` and
//! `metadata.annotations['container.seccomp.security.alpha.kubernetes.io/NAME']` of every container. Allowed: undefined,
//! `runtime/default`, `docker/default`, `localhost/*`.
//!
//! From 1.19, restricted fields: `spec.securityContext.seccompProfile.type`, and the same of every container. Allowed:
//! undefined, `RuntimeDefault`, `Localhost`.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "seccompProfile_baseline",
    level: Level::Baseline,
    revisions: &[
        Revision { since: 0, check: since_1_0, replaces: &[] },
        Revision { since: 19, check: since_1_19, replaces: &[] },
    ],
};

const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for (key, value) in &pod.annotations {
        let of_container = key
            .strip_prefix(CONTAINER)
            .is_some_and(|name| pod.containers.iter().any(|container| &*container.name == name));
        if &**key == POD || of_container {
            only_value(value, "the pod", &format!("annotation {key}"), violations, |value| {
                matches!(&**value, "runtime/default" | "docker/default") || value.starts_with("localhost/")
            });
        }
    }
}

fn since_1_19(pod: &PodDeclaration, violations: &mut Violations) {
    for (owner, context) in contexts(pod) {
        only(&context.seccomp_type, &owner, "securityContext.seccompProfile.type", violations, is_confined);
    }
}
