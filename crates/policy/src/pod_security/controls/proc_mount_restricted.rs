//! The masks over /proc must stay, in a user namespace too.
//!
//! Restricted fields: `securityContext.procMount` of every container. Allowed: undefined, `Default`.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "procMount_restricted",
    level: Level::Restricted,
    revisions: &[Revision { since: 35, check: since_1_35, replaces: &["procMount"] }],
};

fn since_1_35(pod: &PodDeclaration, violations: &mut Violations) {
    proc_mount::since_1_0(pod, violations);
}
