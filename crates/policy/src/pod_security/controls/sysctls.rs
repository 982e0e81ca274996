//! Only sysctls that are namespaced and known to be safe may be set.
//!
//! Restricted fields: `spec.securityContext.sysctls[*].name`. Allowed: undefined, the lists below, each beside those before
//! it.

use super::*;

pub(super) const CONTROL: Control = Control {
    id: "sysctls",
    level: Level::Baseline,
    revisions: &[
        Revision { since: 0, check: since_1_0, replaces: &[] },
        Revision { since: 27, check: since_1_27, replaces: &[] },
        Revision { since: 29, check: since_1_29, replaces: &[] },
        Revision { since: 32, check: since_1_32, replaces: &[] },
        Revision { since: 37, check: since_1_37, replaces: &[] },
    ],
};

/// With the minor version that added each group.
pub const ALLOWED: &[(u32, &[&str])] = &[
    (
        0,
        &[
            "kernel.shm_rmid_forced",
            "net.ipv4.ip_local_port_range",
            "net.ipv4.tcp_syncookies",
            "net.ipv4.ping_group_range",
            "net.ipv4.ip_unprivileged_port_start",
        ],
    ),
    (27, &["net.ipv4.ip_local_reserved_ports"]),
    (
        29,
        &[
            "net.ipv4.tcp_keepalive_time",
            "net.ipv4.tcp_fin_timeout",
            "net.ipv4.tcp_keepalive_intvl",
            "net.ipv4.tcp_keepalive_probes",
        ],
    ),
    (32, &["net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem"]),
    (37, &["net.ipv4.tcp_slow_start_after_idle", "net.ipv4.tcp_notsent_lowat"]),
];

fn since_1_0(pod: &PodDeclaration, violations: &mut Violations) {
    check(pod, violations, 0);
}

fn since_1_27(pod: &PodDeclaration, violations: &mut Violations) {
    check(pod, violations, 27);
}

fn since_1_29(pod: &PodDeclaration, violations: &mut Violations) {
    check(pod, violations, 29);
}

fn since_1_32(pod: &PodDeclaration, violations: &mut Violations) {
    check(pod, violations, 32);
}

fn since_1_37(pod: &PodDeclaration, violations: &mut Violations) {
    check(pod, violations, 37);
}

fn check(pod: &PodDeclaration, violations: &mut Violations, minor: u32) {
    for name in &pod.sysctls {
        only_value(name, "the pod", "securityContext.sysctls", violations, |name| {
            ALLOWED.iter().any(|(since, list)| *since <= minor && list.contains(&&**name))
        });
    }
}
