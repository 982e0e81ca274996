//! The runtime's default AppArmor profile must not be switched off, by field or by annotation.
//!
//! Restricted fields: `metadata.annotations['container.apparmor.security.beta.kubernetes.io/*']`. Allowed: undefined, the
//! empty text, `runtime/default`, `localhost/*`.
//!
//! Restricted fields: `spec.securityContext.appArmorProfile.type`, and the same of every container. Allowed: undefined,
//! `RuntimeDefault`, `Localhost`. The fields came with 1.30 and were put into the check of 1.0.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "appArmorProfile",
    level: Level::Baseline,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &[] }],
};

const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for (owner, context) in contexts(pod) {
        only(&context.apparmor_type, &owner, "securityContext.appArmorProfile.type", violations, is_confined);
    }
    for (key, value) in pod.annotations.iter().filter(|(key, _)| key.starts_with(ANNOTATION)) {
        only_value(value, "the pod", &format!("annotation {key}"), violations, |value| {
            value.is_empty() || &**value == "runtime/default" || value.starts_with("localhost/")
        });
    }
}
