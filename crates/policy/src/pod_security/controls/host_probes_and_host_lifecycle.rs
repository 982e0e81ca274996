//! Probes and life-cycle hooks must not name a host: the kubelet makes their requests, from the node.
//!
//! Restricted fields: `.httpGet.host` and `.tcpSocket.host` of `livenessProbe`, `readinessProbe`, `startupProbe`,
//! `lifecycle.postStart` and `lifecycle.preStop` of every container. Allowed: undefined, the empty text.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "hostProbesAndHostLifecycle",
    level: Level::Baseline,
    revisions: &[Revision { since: 34, check: since_1_34, replaces: &[] }],
};

fn since_1_34(pod: &PodDeclaration, violations: &mut Violations) {
    for container in &pod.containers {
        for (route, host) in &container.probe_hosts {
            only_value(host, &owner(container), route, violations, |host| host.is_empty());
        }
    }
}
