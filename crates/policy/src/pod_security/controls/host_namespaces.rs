//! The host's namespaces must not be shared.
//!
//! Restricted fields: `spec.hostNetwork`, `spec.hostPID`, `spec.hostIPC`. Allowed: undefined, `false`.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "hostNamespaces",
    level: Level::Baseline,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &[] }],
};

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for (name, field) in
        [("hostNetwork", &pod.host_network), ("hostPID", &pod.host_pid), ("hostIPC", &pod.host_ipc)]
    {
        only(field, "the pod", name, violations, |value| !value);
    }
}
