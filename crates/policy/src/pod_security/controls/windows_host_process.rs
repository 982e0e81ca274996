//! Windows pods may run as processes of the host; the standards forbid it.
//!
//! Restricted fields: `spec.securityContext.windowsOptions.hostProcess`, and the same of every container.
//! Allowed: undefined, `false`.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "windowsHostProcess",
    level: Level::Baseline,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &[] }],
};

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for (owner, context) in contexts(pod) {
        let name = "securityContext.windowsOptions.hostProcess";
        only(&context.windows_host_process, &owner, name, violations, |value| !value);
    }
}
