//! Only capabilities of a list may be added. NET_RAW is not among them, though runtimes grant it by default.
//!
//! Restricted fields: `securityContext.capabilities.add` of every container. Allowed: undefined, the list below, spelled
//! so.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "capabilities_baseline",
    level: Level::Baseline,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &[] }],
};

pub const ALLOWED_1_0: &[&str] = &[
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for container in &pod.containers {
        for added in &container.security.capabilities_add {
            only_value(added, &owner(container), "securityContext.capabilities.add", violations, |name| {
                ALLOWED_1_0.contains(&&**name)
            });
        }
    }
}
