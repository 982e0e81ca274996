//! The Pod Security Standards in CEL: one validation for each thing that a control looks at, in the form that a version
//! gave it. What each control allows is told where it is judged (`policy::pod_security`); here it is said a second time, in
//! another language, and the tests hold both against each other.

use policy::pod_security::Standard;
use policy::pod_security::allowed::{CAPABILITIES, SYSCTLS, VOLUMES};

use super::text::{all, list, quote};

/// One thing that is asked.
pub(super) struct Check {
    pub(super) control: &'static str,
    pub(super) of: Of,
    /// What must be so, to follow the name of whom it is asked: `must not set …`.
    pub(super) must: String,
}

/// Whom it is asked of, with the expression that is true where it is not so.
pub(super) enum Of {
    Pod(String),
    /// Of each container `c`.
    Containers(String),
    /// Of each volume `v`.
    Volumes(String),
}

/// The checks of a standard.
pub(super) fn checks(standard: &Standard) -> Vec<Check> {
    standard.judged().into_iter().flat_map(|(control, since)| control_checks(control, since)).collect()
}

/// Where a host can be named for the kubelet to talk to.
const HANDLERS: &[&str] =
    &["livenessProbe", "readinessProbe", "startupProbe", "lifecycle.?postStart", "lifecycle.?preStop"];
const CONFINED: &[&str] = &["RuntimeDefault", "Localhost"];
const APPARMOR_ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";
const SECCOMP_POD_ANNOTATION: &str = "seccomp.security.alpha.kubernetes.io/pod";
const SECCOMP_ANNOTATION: &str = "container.seccomp.security.alpha.kubernetes.io/";

const OF_POD: &str = "variables.spec.?securityContext";
const OF_CONTAINER: &str = "c.?securityContext";
const ANNOTATIONS: &str = "variables.pod.?metadata.?annotations.orValue({})";

/// `since` tells the forms of a control apart.
fn control_checks(control: &'static str, since: u32) -> Vec<Check> {
    let check = |of: Of, must: &str| Check { control, of, must: must.to_owned() };
    let pod = |bad: String, must: &str| check(Of::Pod(bad), must);
    let containers = |bad: String, must: &str| check(Of::Containers(bad), must);
    // The same of the pod's securityContext and of every container's.
    let both = |bad: &dyn Fn(&str) -> String, must: &str| {
        vec![check(Of::Pod(bad(OF_POD)), must), check(Of::Containers(bad(OF_CONTAINER)), must)]
    };
    let unless = |exempt: &str, bad: String| all(vec![exempt.to_owned(), bad]);
    // From 1.25 on where a pod says that it runs on Windows, from 1.35 on where it has a user namespace of its own.
    let on_linux = |bad: String| if since >= 25 { unless("!variables.windows", bad) } else { bad };
    let with_host_users = |bad: String| {
        if since >= 35 { unless("variables.spec.?hostUsers.orValue(true)", bad) } else { bad }
    };
    match control {
        "hostNamespaces" => ["hostNetwork", "hostPID", "hostIPC"]
            .into_iter()
            .map(|field| {
                let must = format!("must not set {field} to true");
                pod(format!("variables.spec.?{field}.orValue(false)"), &must)
            })
            .collect(),
        "privileged" => vec![containers(
            format!("{OF_CONTAINER}.?privileged.orValue(false)"),
            "must not set securityContext.privileged to true",
        )],
        "capabilities_baseline" => vec![containers(
            added_beyond(CAPABILITIES),
            "must not add other capabilities than those of the list (securityContext.capabilities.add)",
        )],
        "capabilities_restricted" => vec![
            containers(
                on_linux(format!("!{OF_CONTAINER}.?capabilities.?drop.orValue([]).exists(x, x == 'ALL')")),
                "must drop ALL (securityContext.capabilities.drop)",
            ),
            containers(
                on_linux(added_beyond(&["NET_BIND_SERVICE"])),
                "must not add other capabilities than NET_BIND_SERVICE (securityContext.capabilities.add)",
            ),
        ],
        "hostPathVolumes" => {
            vec![check(Of::Volumes("has(v.hostPath)".to_owned()), "must not be a hostPath (volumes)")]
        }
        "restrictedVolumes" => vec![check(
            Of::Volumes(format!("v.exists(k, k != \"name\" && !(k in {}))", list(VOLUMES))),
            "must be of an allowed kind (volumes)",
        )],
        "hostPorts" => vec![containers(
            "c.?ports.orValue([]).exists(p, p.?hostPort.orValue(0) != 0)".to_owned(),
            "must not set ports.hostPort",
        )],
        "hostProbesAndHostLifecycle" => HANDLERS
            .iter()
            .map(|handler| {
                let host = |action: &str| format!("c.?{handler}.?{action}.?host.orValue('') != ''");
                let must =
                    format!("must not set {}.httpGet.host or .tcpSocket.host", handler.replace('?', ""));
                containers(format!("{} || {}", host("httpGet"), host("tcpSocket")), &must)
            })
            .collect(),
        "appArmorProfile" => {
            let mut checks = both(
                &|of| profile_beyond(of, "appArmorProfile"),
                "must not set securityContext.appArmorProfile.type to Unconfined",
            );
            let value = format!("{ANNOTATIONS}[k]");
            checks.push(pod(
                format!(
                    "{ANNOTATIONS}.exists(k, k.startsWith({}) && !({value} in ['', 'runtime/default'] || \
                     {value}.startsWith('localhost/')))",
                    quote(APPARMOR_ANNOTATION)
                ),
                "must not switch AppArmor off by an annotation",
            ));
            checks
        }
        "seLinuxOptions" => {
            let mut types = vec!["", "container_t", "container_init_t", "container_kvm_t"];
            if since >= 31 {
                types.push("container_engine_t");
            }
            let field = |of: &str, name: &str| format!("{of}.?seLinuxOptions.?{name}.orValue('')");
            let bad = |of: &str| {
                format!(
                    "!({} in {}) || {} != '' || {} != ''",
                    field(of, "type"),
                    list(&types),
                    field(of, "user"),
                    field(of, "role")
                )
            };
            both(
                &bad,
                "must set no other securityContext.seLinuxOptions.type than a container's, no user, no role",
            )
        }
        "procMount" | "procMount_restricted" => {
            let bad = format!("{OF_CONTAINER}.?procMount.orValue('Default') != 'Default'");
            let bad = if control == "procMount" { with_host_users(bad) } else { bad };
            vec![containers(bad, "must not set securityContext.procMount to another value than Default")]
        }
        "seccompProfile_baseline" if since >= 19 => both(
            &|of| profile_beyond(of, "seccompProfile"),
            "must not set securityContext.seccompProfile.type to Unconfined",
        ),
        "seccompProfile_baseline" => {
            let bad = |key: &str| {
                let value = format!("{ANNOTATIONS}[{key}]");
                format!(
                    "{key} in {ANNOTATIONS} && !({value} in ['runtime/default', 'docker/default'] || \
                     {value}.startsWith('localhost/'))"
                )
            };
            let must = "must not switch seccomp off by an annotation";
            vec![
                pod(bad(&quote(SECCOMP_POD_ANNOTATION)), must),
                containers(bad(&format!("({} + c.name)", quote(SECCOMP_ANNOTATION))), must),
            ]
        }
        "seccompProfile_restricted" => {
            let of_pod = format!("{OF_POD}.?seccompProfile.?type.orValue('')");
            let missing =
                format!("!({OF_CONTAINER}.?seccompProfile.?type.orValue({of_pod}) in {})", list(CONFINED));
            vec![
                pod(
                    on_linux(profile_beyond(OF_POD, "seccompProfile")),
                    "must not set securityContext.seccompProfile.type to Unconfined",
                ),
                containers(
                    on_linux(missing),
                    "must set securityContext.seccompProfile.type to RuntimeDefault or Localhost, or the pod \
                     must",
                ),
            ]
        }
        "sysctls" => {
            let allowed: Vec<&str> = SYSCTLS
                .iter()
                .filter(|(added, _)| *added <= since)
                .flat_map(|(_, names)| names.iter().copied())
                .collect();
            vec![pod(
                format!("{OF_POD}.?sysctls.orValue([]).exists(s, !(s.name in {}))", list(&allowed)),
                "must not set other securityContext.sysctls than those of the list",
            )]
        }
        "windowsHostProcess" => both(
            &|of| format!("{of}.?windowsOptions.?hostProcess.orValue(false)"),
            "must not set securityContext.windowsOptions.hostProcess to true",
        ),
        "allowPrivilegeEscalation" => vec![containers(
            on_linux(format!("{OF_CONTAINER}.?allowPrivilegeEscalation.orValue(true)")),
            "must set securityContext.allowPrivilegeEscalation to false",
        )],
        "runAsNonRoot" => {
            let of_pod = format!("{OF_POD}.?runAsNonRoot");
            vec![
                pod(
                    with_host_users(format!("!{of_pod}.orValue(true)")),
                    "must not set securityContext.runAsNonRoot to false",
                ),
                containers(
                    with_host_users(format!(
                        "!{OF_CONTAINER}.?runAsNonRoot.orValue({of_pod}.orValue(false))"
                    )),
                    "must set securityContext.runAsNonRoot to true, or the pod must",
                ),
            ]
        }
        "runAsUser" => {
            let bad = |of: &str| with_host_users(format!("{of}.?runAsUser.orValue(1) == 0"));
            both(&bad, "must not set securityContext.runAsUser to 0")
        }
        // A test asks every control of every version for its checks.
        _ => Vec::new(),
    }
}

fn added_beyond(allowed: &[&str]) -> String {
    format!("{OF_CONTAINER}.?capabilities.?add.orValue([]).exists(x, !(x in {}))", list(allowed))
}

/// A profile that is set, and leaves the container unconfined. One without a type is none that is allowed.
fn profile_beyond(of: &str, field: &str) -> String {
    format!("!({of}.?{field}.orValue({{'type': 'RuntimeDefault'}}).?type.orValue('') in {})", list(CONFINED))
}

#[cfg(test)]
mod tests {
    use policy::Level;
    use policy::pod_security::LATEST;

    use super::*;

    #[test]
    fn every_control_of_every_version_has_a_check() {
        for level in [Level::Baseline, Level::Restricted] {
            for minor in 0..=LATEST {
                for (control, since) in (Standard { level, minor }).judged() {
                    assert!(!control_checks(control, since).is_empty(), "{control} since 1.{since}");
                }
            }
        }
    }
}
