//! Only types of confined containers may be set, and no SELinux user or role.
//!
//! Restricted fields: `spec.securityContext.seLinuxOptions.type`, and the same of every container. Allowed: undefined, the
//! empty text, `container_t`, `container_init_t`, `container_kvm_t`, from 1.31 `container_engine_t`.
//!
//! Restricted fields: `.user` and `.role` beside it. Allowed: undefined, the empty text.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "seLinuxOptions",
    level: Level::Baseline,
    revisions: &[
        Revision { since: 0, check: since_1_0, replaces: &[] },
        Revision { since: 31, check: since_1_31, replaces: &[] },
    ],
};

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    check(pod, violations, &["", "container_t", "container_init_t", "container_kvm_t"]);
}

fn since_1_31(pod: &PodDeclaration, violations: &mut Violations) {
    check(pod, violations, &["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"]);
}

fn check(pod: &PodDeclaration, violations: &mut Violations, types: &[&str]) {
    for (owner, context) in contexts(pod) {
        let Some(options) = &context.selinux else { continue };
        let Some(declared) = options.get() else {
            violations.add(
                options.origin.place(),
                format!("securityContext.seLinuxOptions of {owner} cannot be read"),
            );
            continue;
        };
        only(&declared.kind, &owner, "securityContext.seLinuxOptions.type", violations, |kind| {
            types.contains(&&**kind)
        });
        for (name, field) in [("user", &declared.user), ("role", &declared.role)] {
            let name = format!("securityContext.seLinuxOptions.{name}");
            only(field, &owner, &name, violations, |text| text.is_empty());
        }
    }
}
