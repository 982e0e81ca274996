//! Fixtures as the admission code has them: a pod that is valid in every version, and one mutation each, read from YAML.

use std::sync::Arc;

use confinement::PodDeclaration;
use sources::Context;
use sources::document::{Limits, parse_bytes};
use sources::kubernetes::Objects;

use super::*;

fn declaration(text: &str) -> Arc<PodDeclaration> {
    let mut objects = Objects::default();
    for document in parse_bytes(text.as_bytes(), &"pod.yaml".into(), &Limits::default()) {
        objects.add(&document.unwrap_or_else(|error| panic!("{error}\n{text}")));
    }
    let world = objects.into_world(&Context::assumed());
    world
        .subjects
        .first()
        .and_then(|subject| subject.pod.clone())
        .unwrap_or_else(|| panic!("no pod in\n{text}"))
}

/// What a mutation changes in the valid pod.
#[derive(Clone, Copy)]
struct Change<'a> {
    annotations: &'a str,
    spec: &'a str,
    pod_context: &'a str,
    container: &'a str,
    container_context: &'a str,
    init: &'a str,
    init_context: &'a str,
    further: &'a str,
}

/// Valid at every level in every version: nothing else than what restricted demands.
const POD_CONTEXT: &[(&str, &str)] =
    &[("runAsNonRoot", "true"), ("seccompProfile", "{type: RuntimeDefault}")];
const CONTEXT: &[(&str, &str)] = &[("allowPrivilegeEscalation", "false"), ("capabilities", "{drop: [ALL]}")];

/// A mapping in flow style: the valid fields, less those that the change sets itself. `key: -` takes a field out.
fn mapping(valid: &[(&str, &str)], change: &str) -> String {
    let changed: Vec<(&str, &str)> =
        change.lines().map(|line| line.split_once(": ").expect("a line is `key: value`")).collect();
    let kept = valid.iter().filter(|(key, _)| !changed.iter().any(|(other, _)| other == key));
    let fields: Vec<String> = kept
        .chain(changed.iter().filter(|(_, value)| *value != "-"))
        .map(|(key, value)| format!("{key}: {value}"))
        .collect();
    format!("{{{}}}", fields.join(", "))
}

fn pod(change: &Change) -> String {
    let container = |name: &str, fields: &str, context: &str| {
        let context = mapping(CONTEXT, context);
        let valid = [("name", name), ("image", "k8s.gcr.io/pause"), ("securityContext", &*context)];
        mapping(&valid, fields)
    };
    let mut text = format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p, annotations: {}}}\nspec:\n  securityContext: {}\n",
        mapping(&[], change.annotations),
        mapping(POD_CONTEXT, change.pod_context),
    );
    for line in change.spec.lines() {
        text += &format!("  {line}\n");
    }
    text +=
        &format!("  initContainers: [{}]\n", container("initcontainer1", change.init, change.init_context));
    text +=
        &format!("  containers: [{}]\n", container("container1", change.container, change.container_context));
    text + change.further
}

/// Fails the control in the versions from `since` up to and without `until`, at the level and above it.
struct Case {
    control: &'static str,
    since: u32,
    until: u32,
    change: Change<'static>,
}

const FOREVER: u32 = LATEST + 1;

const fn case(control: &'static str, since: u32, until: u32, change: Change<'static>) -> Case {
    Case { control, since, until, change }
}

const NONE: Change<'static> = Change {
    annotations: "",
    spec: "",
    pod_context: "",
    container: "",
    container_context: "",
    init: "",
    init_context: "",
    further: "",
};

/// Mutations that a baseline pod must not have.
const BASELINE: &[Case] = &[
    case(
        "windowsHostProcess",
        0,
        FOREVER,
        Change { pod_context: "windowsOptions: {hostProcess: true}", ..NONE },
    ),
    case(
        "windowsHostProcess",
        0,
        FOREVER,
        Change { init_context: "windowsOptions: {hostProcess: true}", ..NONE },
    ),
    case("hostNamespaces", 0, FOREVER, Change { spec: "hostNetwork: true", ..NONE }),
    case("hostNamespaces", 0, FOREVER, Change { spec: "hostPID: true", ..NONE }),
    case("hostNamespaces", 0, FOREVER, Change { spec: "hostIPC: true", ..NONE }),
    case("privileged", 0, FOREVER, Change { container_context: "privileged: true", ..NONE }),
    case("privileged", 0, FOREVER, Change { init_context: "privileged: true", ..NONE }),
    case(
        "privileged",
        0,
        FOREVER,
        Change {
            further: "  ephemeralContainers: [{name: e, image: i, securityContext: {privileged: true, runAsNonRoot: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]\n",
            ..NONE
        },
    ),
    case("privileged", 0, FOREVER, Change { container_context: "privileged: 'true'", ..NONE }),
    case(
        "capabilities_baseline",
        0,
        FOREVER,
        Change { container_context: "capabilities: {drop: [ALL], add: [NET_RAW]}", ..NONE },
    ),
    case(
        "capabilities_baseline",
        0,
        FOREVER,
        Change { container_context: "capabilities: {drop: [ALL], add: [chown]}", ..NONE },
    ),
    case(
        "capabilities_baseline",
        0,
        FOREVER,
        Change { container_context: "capabilities: {drop: [ALL], add: [CAP_CHOWN]}", ..NONE },
    ),
    case(
        "capabilities_baseline",
        0,
        FOREVER,
        Change { init_context: "capabilities: {drop: [ALL], add: [bogus]}", ..NONE },
    ),
    case(
        "hostPathVolumes",
        0,
        FOREVER,
        Change { spec: "volumes: [{name: v, hostPath: {path: /a}}]", ..NONE },
    ),
    case(
        "hostPorts",
        0,
        FOREVER,
        Change { container: "ports: [{containerPort: 80, hostPort: 8080}]", ..NONE },
    ),
    case("hostPorts", 0, FOREVER, Change { init: "ports: [{hostPort: 0}, {hostPort: 80}]", ..NONE }),
    case(
        "hostProbesAndHostLifecycle",
        34,
        FOREVER,
        Change { container: "livenessProbe: {httpGet: {host: h, port: 80}}", ..NONE },
    ),
    case(
        "hostProbesAndHostLifecycle",
        34,
        FOREVER,
        Change { container: "readinessProbe: {tcpSocket: {host: h, port: 80}}", ..NONE },
    ),
    case(
        "hostProbesAndHostLifecycle",
        34,
        FOREVER,
        Change { init: "startupProbe: {httpGet: {host: h, port: 80}}", ..NONE },
    ),
    case(
        "hostProbesAndHostLifecycle",
        34,
        FOREVER,
        Change { container: "lifecycle: {postStart: {httpGet: {host: h, port: 80}}}", ..NONE },
    ),
    case(
        "hostProbesAndHostLifecycle",
        34,
        FOREVER,
        Change { container: "lifecycle: {preStop: {tcpSocket: {host: h, port: 80}}}", ..NONE },
    ),
    case(
        "appArmorProfile",
        0,
        FOREVER,
        Change { pod_context: "appArmorProfile: {type: Unconfined}", ..NONE },
    ),
    case(
        "appArmorProfile",
        0,
        FOREVER,
        Change { container_context: "appArmorProfile: {type: Unconfined}", ..NONE },
    ),
    case(
        "appArmorProfile",
        0,
        FOREVER,
        Change {
            annotations: "container.apparmor.security.beta.kubernetes.io/container1: unconfined",
            ..NONE
        },
    ),
    case(
        "appArmorProfile",
        0,
        FOREVER,
        Change { annotations: "container.apparmor.security.beta.kubernetes.io/nobody: other", ..NONE },
    ),
    case("seLinuxOptions", 0, FOREVER, Change { pod_context: "seLinuxOptions: {type: somevalue}", ..NONE }),
    case("seLinuxOptions", 0, FOREVER, Change { container_context: "seLinuxOptions: {type: spc_t}", ..NONE }),
    case("seLinuxOptions", 0, FOREVER, Change { init_context: "seLinuxOptions: {user: somevalue}", ..NONE }),
    case("seLinuxOptions", 0, FOREVER, Change { pod_context: "seLinuxOptions: {role: somevalue}", ..NONE }),
    case(
        "seLinuxOptions",
        0,
        31,
        Change { pod_context: "seLinuxOptions: {type: container_engine_t}", ..NONE },
    ),
    case("procMount", 0, FOREVER, Change { container_context: "procMount: Unmasked", ..NONE }),
    case("procMount", 0, FOREVER, Change { init_context: "procMount: other", ..NONE }),
    case(
        "procMount",
        0,
        35,
        Change { spec: "hostUsers: false", container_context: "procMount: Unmasked", ..NONE },
    ),
    case(
        "seccompProfile_baseline",
        0,
        19,
        Change { annotations: "seccomp.security.alpha.kubernetes.io/pod: unconfined", ..NONE },
    ),
    case(
        "seccompProfile_baseline",
        0,
        19,
        Change {
            annotations: "container.seccomp.security.alpha.kubernetes.io/container1: unconfined",
            ..NONE
        },
    ),
    case(
        "seccompProfile_baseline",
        19,
        FOREVER,
        Change { pod_context: "seccompProfile: {type: Unconfined}", ..NONE },
    ),
    case(
        "seccompProfile_baseline",
        19,
        FOREVER,
        Change { container_context: "seccompProfile: {type: Unconfined}", ..NONE },
    ),
    case(
        "sysctls",
        0,
        FOREVER,
        Change { pod_context: "sysctls: [{name: othersysctl, value: other}]", ..NONE },
    ),
    case(
        "sysctls",
        0,
        27,
        Change { pod_context: "sysctls: [{name: net.ipv4.ip_local_reserved_ports, value: '1'}]", ..NONE },
    ),
    case(
        "sysctls",
        0,
        29,
        Change { pod_context: "sysctls: [{name: net.ipv4.tcp_keepalive_time, value: '1'}]", ..NONE },
    ),
    case(
        "sysctls",
        0,
        29,
        Change { pod_context: "sysctls: [{name: net.ipv4.tcp_fin_timeout, value: '1'}]", ..NONE },
    ),
    case(
        "sysctls",
        0,
        32,
        Change { pod_context: "sysctls: [{name: net.ipv4.tcp_rmem, value: '1'}]", ..NONE },
    ),
    case(
        "sysctls",
        0,
        37,
        Change { pod_context: "sysctls: [{name: net.ipv4.tcp_notsent_lowat, value: '1'}]", ..NONE },
    ),
];

/// Mutations that a baseline pod may have and a restricted one must not.
const RESTRICTED: &[Case] = &[
    case(
        "restrictedVolumes",
        0,
        FOREVER,
        Change { spec: "volumes: [{name: v, nfs: {server: s, path: /}}]", ..NONE },
    ),
    case(
        "restrictedVolumes",
        0,
        FOREVER,
        Change { spec: "volumes: [{name: v, gitRepo: {repository: r}}]", ..NONE },
    ),
    case("restrictedVolumes", 0, FOREVER, Change { spec: "volumes: [{name: v, unheardOf: {}}]", ..NONE }),
    case(
        "allowPrivilegeEscalation",
        8,
        FOREVER,
        Change { container_context: "allowPrivilegeEscalation: -", ..NONE },
    ),
    case(
        "allowPrivilegeEscalation",
        8,
        FOREVER,
        Change { init_context: "allowPrivilegeEscalation: true", ..NONE },
    ),
    case(
        "allowPrivilegeEscalation",
        8,
        FOREVER,
        Change { init_context: "allowPrivilegeEscalation: 'false'", ..NONE },
    ),
    case("runAsNonRoot", 0, FOREVER, Change { pod_context: "runAsNonRoot: -", ..NONE }),
    case("runAsNonRoot", 0, FOREVER, Change { pod_context: "runAsNonRoot: false", ..NONE }),
    case("runAsNonRoot", 0, FOREVER, Change { container_context: "runAsNonRoot: false", ..NONE }),
    case(
        "runAsNonRoot",
        0,
        FOREVER,
        Change { pod_context: "runAsNonRoot: -", container_context: "runAsNonRoot: true", ..NONE },
    ),
    case(
        "runAsNonRoot",
        0,
        35,
        Change { spec: "hostUsers: false", pod_context: "runAsNonRoot: false", ..NONE },
    ),
    case("runAsUser", 23, FOREVER, Change { pod_context: "runAsUser: 0", ..NONE }),
    case("runAsUser", 23, FOREVER, Change { init_context: "runAsUser: 0", ..NONE }),
    case("runAsUser", 23, 35, Change { spec: "hostUsers: false", container_context: "runAsUser: 0", ..NONE }),
    case("seccompProfile_restricted", 19, FOREVER, Change { pod_context: "seccompProfile: -", ..NONE }),
    case(
        "seccompProfile_restricted",
        19,
        FOREVER,
        Change {
            pod_context: "seccompProfile: -",
            container_context: "seccompProfile: {type: RuntimeDefault}",
            ..NONE
        },
    ),
    case("capabilities_restricted", 22, FOREVER, Change { container_context: "capabilities: -", ..NONE }),
    case(
        "capabilities_restricted",
        22,
        FOREVER,
        Change { container_context: "capabilities: {drop: [all]}", ..NONE },
    ),
    case(
        "capabilities_restricted",
        22,
        FOREVER,
        Change { init_context: "capabilities: {drop: [NET_RAW]}", ..NONE },
    ),
    case(
        "capabilities_restricted",
        22,
        FOREVER,
        Change { init_context: "capabilities: {drop: [ALL], add: [CHOWN]}", ..NONE },
    ),
    case(
        "procMount_restricted",
        35,
        FOREVER,
        Change { spec: "hostUsers: false", container_context: "procMount: Unmasked", ..NONE },
    ),
];

/// Mutations that every level allows, from a version on.
const ALLOWED: &[(u32, Change)] = &[
    (0, NONE),
    (0, Change { spec: "hostNetwork: false\nhostPID: false\nhostIPC: false", ..NONE }),
    (0, Change { container_context: "privileged: false", ..NONE }),
    (0, Change { container: "ports: [{containerPort: 80}, {hostPort: 0}]", ..NONE }),
    (0, Change { container: "livenessProbe: {httpGet: {host: '', port: 80}}", ..NONE }),
    (
        0,
        Change {
            pod_context: "appArmorProfile: {type: RuntimeDefault}",
            container_context: "appArmorProfile: {type: Localhost, localhostProfile: x}",
            ..NONE
        },
    ),
    (
        0,
        Change {
            annotations: "container.apparmor.security.beta.kubernetes.io/container1: localhost/foo",
            ..NONE
        },
    ),
    (0, Change { annotations: "container.apparmor.security.beta.kubernetes.io/container1: ''", ..NONE }),
    (0, Change { annotations: "seccomp.security.alpha.kubernetes.io/pod: docker/default", ..NONE }),
    (0, Change { annotations: "container.seccomp.security.alpha.kubernetes.io/nobody: unconfined", ..NONE }),
    (
        0,
        Change {
            pod_context: "seLinuxOptions: {type: container_t, level: somevalue}",
            init_context: "seLinuxOptions: {type: ''}",
            ..NONE
        },
    ),
    (31, Change { container_context: "seLinuxOptions: {type: container_engine_t}", ..NONE }),
    (0, Change { container_context: "procMount: Default", ..NONE }),
    (
        0,
        Change {
            pod_context: "sysctls: [{name: kernel.shm_rmid_forced, value: '1'}, {name: net.ipv4.ping_group_range, value: '1 0'}]",
            ..NONE
        },
    ),
    (37, Change { pod_context: "sysctls: [{name: net.ipv4.tcp_slow_start_after_idle, value: '0'}]", ..NONE }),
    (
        0,
        Change {
            spec: "volumes: [{name: a}, {name: b, emptyDir: {}}, {name: c, configMap: {name: x}}, {name: d, csi: {driver: x}}, {name: e, image: {reference: x}}, {name: f, persistentVolumeClaim: {claimName: x}}, {name: g, projected: {sources: []}}, {name: h, secret: {secretName: x}}, {name: i, downwardAPI: {items: []}}, {name: j, ephemeral: {volumeClaimTemplate: {}}}]",
            ..NONE
        },
    ),
    (
        0,
        Change {
            pod_context: "runAsNonRoot: -",
            container_context: "runAsNonRoot: true",
            init_context: "runAsNonRoot: true",
            ..NONE
        },
    ),
    (0, Change { pod_context: "runAsUser: 1000", ..NONE }),
    (35, Change { spec: "hostUsers: false", pod_context: "runAsNonRoot: -\nrunAsUser: 0", ..NONE }),
    (0, Change { container_context: "seccompProfile: {type: Localhost, localhostProfile: x}", ..NONE }),
    (0, Change { container_context: "capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}", ..NONE }),
    (0, Change { container_context: "windowsOptions: {hostProcess: false}", ..NONE }),
];

fn failing(result: &StandardResult) -> Vec<&'static str> {
    let failed = result.controls.iter().filter(|control| control.result == Verdict::Fail);
    failed.map(|control| control.id).collect()
}

/// The control that stands in for a baseline one at the restricted level.
fn replacement(control: &'static str, minor: u32) -> &'static str {
    match control {
        "hostPathVolumes" => "restrictedVolumes",
        "capabilities_baseline" if minor >= 22 => "capabilities_restricted",
        "seccompProfile_baseline" if minor >= 19 => "seccompProfile_restricted",
        "procMount" if minor >= 35 => "procMount_restricted",
        other => other,
    }
}

fn versions() -> impl Iterator<Item = u32> {
    0..=LATEST
}

fn judge(level: Level, minor: u32, pod: &PodDeclaration) -> StandardResult {
    evaluate(&Standard { level, minor }, pod)
}

#[test]
fn what_baseline_forbids_fails_its_control_at_both_levels_in_its_versions_alone() {
    for case in BASELINE {
        let text = pod(&case.change);
        let declaration = declaration(&text);
        for minor in versions() {
            let fails = (case.since..case.until).contains(&minor);
            let expected: Vec<&str> = if fails { vec![case.control] } else { vec![] };
            let result = judge(Level::Baseline, minor, &declaration);
            assert_eq!(failing(&result), expected, "baseline 1.{minor}\n{text}");
            assert_eq!(result.result, Verdict::of(!fails));
            // `drop: [ALL]` with an unknown `add` and the like: what replaces a control may find more to say.
            let restricted = failing(&judge(Level::Restricted, minor, &declaration));
            if fails {
                assert_eq!(restricted, [replacement(case.control, minor)], "restricted 1.{minor}\n{text}");
            }
            assert_eq!(judge(Level::Privileged, minor, &declaration).result, Verdict::Pass);
        }
    }
}

#[test]
fn what_only_restricted_forbids_fails_its_control_there_in_its_versions_alone() {
    for case in RESTRICTED {
        let text = pod(&case.change);
        let declaration = declaration(&text);
        for minor in versions() {
            let fails = (case.since..case.until).contains(&minor);
            let result = judge(Level::Restricted, minor, &declaration);
            let of_control = failing(&result).contains(&case.control);
            assert_eq!(of_control, fails, "restricted 1.{minor}\n{text}");
            if case.control != "procMount_restricted" {
                let expected: Vec<&str> = if fails { vec![case.control] } else { vec![] };
                assert_eq!(failing(&result), expected, "restricted 1.{minor}\n{text}");
                assert_eq!(
                    failing(&judge(Level::Baseline, minor, &declaration)),
                    [""; 0],
                    "baseline 1.{minor}\n{text}"
                );
            }
        }
    }
}

#[test]
fn what_is_allowed_passes_every_control_of_its_versions() {
    for (since, change) in ALLOWED {
        let text = pod(change);
        let declaration = declaration(&text);
        for minor in *since..=LATEST {
            for level in [Level::Baseline, Level::Restricted] {
                let result = judge(level, minor, &declaration);
                assert_eq!(failing(&result), [""; 0], "{} 1.{minor}\n{text}", result.standard);
            }
        }
    }
}

#[test]
fn every_control_has_a_mutation_that_fails_it() {
    for control in controls::ALL {
        let cases = BASELINE.iter().chain(RESTRICTED);
        assert!(cases.clone().any(|case| case.control == control.id), "{}", control.id);
        for (older, newer) in control.revisions.iter().zip(control.revisions.iter().skip(1)) {
            assert!(older.since < newer.since, "{}", control.id);
        }
    }
}

/// Counted in `check_*.go`: the controls whose first version is not newer, less those that another replaces.
#[test]
fn each_version_judges_as_many_controls_as_the_admission_code() {
    for (minor, baseline, restricted) in [
        (0, 11, 12),
        (8, 11, 13),
        (19, 11, 13),
        (22, 11, 13),
        (23, 11, 14),
        (25, 11, 14),
        (34, 12, 15),
        (35, 12, 15),
        (37, 12, 15),
    ] {
        let count = |level| Standard { level, minor }.controls().len();
        assert_eq!((count(Level::Baseline), count(Level::Restricted)), (baseline, restricted), "1.{minor}");
        assert_eq!(count(Level::Privileged), 0);
    }
}

#[test]
fn a_windows_pod_is_exempt_from_what_has_no_meaning_there_from_1_25_on() {
    let valid = declaration(&pod(&Change {
        pod_context: "seccompProfile: -",
        container_context: "allowPrivilegeEscalation: -\ncapabilities: -",
        ..NONE
    }));
    let mut windows = (*valid).clone();
    windows.os = Some(confinement::Fact::known("windows".into(), confinement::Origin::Nowhere));
    let before = ["allowPrivilegeEscalation", "capabilities_restricted", "seccompProfile_restricted"];
    assert_eq!(failing(&judge(Level::Restricted, 24, &windows)), before);
    assert_eq!(failing(&judge(Level::Restricted, 25, &windows)), [""; 0]);
    assert_eq!(failing(&judge(Level::Restricted, 25, &valid)), before);
}

#[test]
fn a_violation_has_the_place_of_what_is_wrong() {
    let text = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  hostPID: true\n  containers:\n  - name: c\n    image: i\n    securityContext:\n      privileged: true\n";
    let result = judge(Level::Restricted, LATEST, &declaration(text));
    let line = |id: &str| {
        let control = result.controls.iter().find(|control| control.id == id).expect("the control is judged");
        control.location.as_ref().map(|place| (place.line, place.column))
    };
    assert_eq!(line("hostNamespaces"), Some((6, 12)));
    assert_eq!(line("privileged"), Some((11, 19)));
    assert_eq!(
        line("allowPrivilegeEscalation"),
        Some((10, 5)),
        "what is missing is missed at the securityContext"
    );
    assert_eq!(line("sysctls"), None);
}

#[test]
fn results_have_the_shape_of_the_audits_json() {
    let result =
        judge(Level::Baseline, LATEST, &declaration(&pod(&Change { spec: "hostIPC: true", ..NONE })));
    let json = serde_json::to_value(&result).expect("results can be written");
    assert_eq!(json["standard"], "pss-baseline");
    assert_eq!(json["version"], "1.37");
    assert_eq!(json["result"], "fail");
    let control =
        json["controls"].as_array().and_then(|all| all.iter().find(|c| c["id"] == "hostNamespaces"));
    let control = control.expect("the control is in the list");
    assert_eq!(control["result"], "fail");
    assert_eq!(control["message"], "the pod sets hostIPC to `true`");
    assert_eq!(control["location"]["line"], 6);
    let passed = &json["controls"][0];
    assert_eq!((&passed["result"], &passed["message"]), (&"pass".into(), &"".into()));
}

#[test]
fn standards_are_named_with_or_without_a_version() {
    let parsed = |text: &str| Standard::parse(text).map(|standard| standard.to_string());
    assert_eq!(parsed("pss-baseline@1.37").as_deref(), Ok("pss-baseline@1.37"));
    assert_eq!(parsed("pss-restricted@latest").as_deref(), Ok("pss-restricted@1.37"));
    assert_eq!(parsed("pss-restricted").as_deref(), Ok("pss-restricted@1.37"));
    assert_eq!(parsed("pss-privileged@v1.0").as_deref(), Ok("pss-privileged@1.0"));
    for version in versions() {
        assert!(parsed(&format!("pss-baseline@1.{version}")).is_ok());
    }
    for wrong in ["baseline", "pss-", "", "cis-docker@1.6", "PSS-baseline"] {
        assert!(matches!(Standard::parse(wrong), Err(StandardError::Name(_))), "{wrong}");
    }
    for wrong in [
        "pss-baseline@",
        "pss-baseline@1",
        "pss-baseline@1.",
        "pss-baseline@1.38",
        "pss-baseline@2.0",
        "pss-baseline@1.+7",
        "pss-baseline@1.99999999999",
    ] {
        assert!(matches!(Standard::parse(wrong), Err(StandardError::Version(_))), "{wrong}");
    }
}
