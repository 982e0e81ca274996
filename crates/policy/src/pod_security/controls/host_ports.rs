//! Ports of the host are forbidden.
//!
//! Restricted fields: `ports[*].hostPort` of every container. Allowed: undefined, `0`.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "hostPorts",
    level: Level::Baseline,
    revisions: &[Revision { since: 0, check: since_1_0, replaces: &[] }],
};

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    for container in &pod.containers {
        for port in &container.host_ports {
            only_value(port, &owner(container), "hostPort", violations, |port| *port == 0);
        }
    }
}
