//! The statements about container confinement that simple checkers get wrong, each as a pair of cases that differ
//! by one fact, and the ladder of reference containers.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use confinement::confine::{Request, confine};
use confinement::{Capability, Engine, Fact, MountSource, Origin, Seccomp, Subject, Truth, World};
use serde_json::{Value, json};
use techniques::condition::{Condition, Filter};
use techniques::judge::{Judgement, Options, Verdict, judge};

fn facts(host: Value) -> HashMap<String, Value> {
    host.as_object().map(|o| o.iter().map(|(k, v)| (k.clone(), v.clone())).collect()).unwrap_or_default()
}

fn world(given: &str, host: Value) -> World {
    let (assume, given) = match given.strip_prefix('@').and_then(|rest| rest.split_once(' ')) {
        Some((assume, given)) => (Some(assume), given),
        None => (None, given),
    };
    support::world(given, assume, &facts(host))
}

fn judged(given: &str, host: Value) -> (World, Judgement) {
    let world = world(given, host);
    let judgement = judge(&world, Options::default());
    (world, judgement)
}

/// The verdict of the first subject.
fn verdict(given: &str, host: Value) -> Verdict {
    judged(given, host).1.subjects[0].verdict
}

/// The identifiers of the paths of the first subject that are complete.
fn open_by(given: &str, host: Value) -> Vec<&'static str> {
    let (_, judgement) = judged(given, host);
    judgement.subjects[0].paths.iter().filter(|p| p.is_complete()).map(|p| p.technique().id).collect()
}

fn depth(given: &str, host: Value) -> u8 {
    judged(given, host).1.subjects[0].depth.min
}

fn holds(subject: &Subject, condition: &str) -> Truth {
    let condition = Condition::parse(condition).expect("a condition");
    condition.check(&subject.confinement, &Filter::of(&subject.confinement), &mut ())
}

fn condition(given: &str, host: Value, text: &str) -> Truth {
    holds(&world(given, host).subjects[0], text)
}

fn pod(spec: &str, container: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n{}  containers:\n    - name: c\n      image: i\n{}",
        indent(spec, 2),
        indent(container, 6)
    )
}

fn indent(text: &str, by: usize) -> String {
    text.lines().map(|l| format!("{}{l}\n", " ".repeat(by))).collect()
}

/// A host as most are: AppArmor, cgroup version 2, a recent kernel.
fn usual() -> Value {
    json!({"apparmor": true, "cgroup": 2, "kernel": "6.12.0"})
}
fn no_lsm() -> Value {
    json!({"apparmor": false, "selinux": false, "cgroup": 2, "kernel": "6.12.0"})
}

#[test]
fn s01_sys_admin_is_an_escape_only_where_no_lsm_stops_what_it_opens() {
    let given = "docker run --cap-add SYS_ADMIN a";
    let (_, judgement) = judged(given, usual());
    assert_eq!(judgement.subjects[0].verdict, Verdict::Held);
    assert_eq!(judgement.subjects[0].depth.min, 1);
    let walls: Vec<String> =
        judgement.subjects[0].cuts.iter().flat_map(|c| c.iter()).map(|b| b.to_string()).collect();
    assert!(walls.contains(&"LSM".to_owned()), "confinement rests on AppArmor: {walls:?}");
    assert_eq!(
        verdict("docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined a", usual()),
        Verdict::Open
    );
}

#[test]
fn s01b_apparmor_does_not_see_move_mount_before_linux_6_7() {
    let given = "docker run --cap-add SYS_ADMIN a";
    let old = json!({"apparmor": true, "cgroup": 2, "kernel": "6.6.0"});
    assert_eq!(condition(given, usual(), "lsm(move-mount)"), Truth::False);
    assert_ne!(condition(given, old, "lsm(move-mount)"), Truth::False);
}

#[test]
fn s02_cgroup_breakout_wants_version_1() {
    let given = "docker run --cap-add SYS_ADMIN --security-opt apparmor=unconfined a";
    let v1 = json!({"apparmor": true, "cgroup": 1, "kernel": "6.12.0"});
    assert!(open_by(given, v1).contains(&"release-agent"));
    assert!(!open_by(given, usual()).contains(&"release-agent"));
}

#[test]
fn s03_sys_ptrace_wants_another_pid_namespace_and_no_apparmor() {
    assert_eq!(verdict("docker run --cap-add SYS_PTRACE a", no_lsm()), Verdict::Held);
    assert_eq!(verdict("docker run --cap-add SYS_PTRACE --pid host a", no_lsm()), Verdict::Open);
    assert_eq!(verdict("docker run --cap-add SYS_PTRACE --pid host a", usual()), Verdict::Held);
}

#[test]
fn s04_ptrace_of_a_host_process_does_not_want_sys_admin() {
    let open = open_by("docker run --cap-add SYS_PTRACE --pid host a", no_lsm());
    assert!(open.contains(&"ptrace-host-process"), "{open:?}");
    assert!(!open.contains(&"enter-host-namespaces"), "setns(2) does: {open:?}");
    let both = open_by("docker run --cap-add SYS_PTRACE --cap-add SYS_ADMIN --pid host a", no_lsm());
    assert!(both.contains(&"enter-host-namespaces"), "{both:?}");
}

#[test]
fn s05_the_host_pid_namespace_without_capabilities_shows_the_root_of_a_process_of_the_same_user() {
    let mut host = no_lsm();
    host["process-uids"] = json!([0, 1000]);
    let given = "docker run --user 1000 --pid host a";
    assert!(open_by(given, host.clone()).contains(&"proc-root-link"));
    assert!(!open_by("docker run --user 4242 --pid host a", host).contains(&"proc-root-link"));
}

#[test]
fn s06_a_read_only_socket_is_as_good_as_a_writable_one_and_useless_to_another_user() {
    for path in ["/var/run/docker.sock", "/run/docker.sock", "//var/run/docker.sock"] {
        let given = format!("docker run -v {path}:/s:ro a");
        assert!(open_by(&given, json!({})).contains(&"engine-api"), "{path}");
    }
    assert_eq!(verdict("docker run --user 1000 -v /var/run/docker.sock:/s:ro a", json!({})), Verdict::Held);
}

#[test]
fn s07_var_run_holds_the_sockets() {
    assert!(open_by("docker run -v /var/run/:/host a", json!({})).contains(&"engine-api"));
    assert_eq!(verdict("docker run -v /var/run/myapp:/host a", json!({})), Verdict::Held);
}

#[test]
fn s08_sysctls_are_guarded_by_the_user_and_not_by_capabilities() {
    let all_dropped = "docker run --cap-drop ALL -v /proc/sys/kernel:/k a";
    assert!(open_by(all_dropped, json!({})).contains(&"core-pattern-handler"));
    assert_eq!(verdict("docker run --user 1000 -v /proc/sys/kernel:/k a", json!({})), Verdict::Held);
    assert_eq!(verdict("docker run -v /proc/sys/kernel:/k:ro a", json!({})), Verdict::Held);
}

#[test]
fn s09_an_added_capability_is_effective_for_another_user_under_podman_only() {
    let effective =
        |given: &str| world(given, json!({})).subjects[0].confinement.capabilities.effective.value;
    assert!(effective("docker run --user 1000 --cap-add SYS_ADMIN a").unwrap().is_empty());
    assert!(effective("podman run --user 1000 --cap-add SYS_ADMIN a").unwrap().has(Capability::SYS_ADMIN));
    // It widens the filter all the same.
    assert_eq!(condition("docker run --user 1000 a", json!({}), "syscall(mount)"), Truth::False);
    assert_eq!(
        condition("docker run --user 1000 --cap-add SYS_ADMIN a", json!({}), "syscall(mount)"),
        Truth::True
    );
}

#[test]
fn s10_a_named_profile_stays_on_a_privileged_container_of_docker() {
    let seccomp = |given: &str| world(given, json!({})).subjects[0].confinement.seccomp.value.clone();
    assert_eq!(seccomp("docker run --privileged a"), Some(Seccomp::Disabled));
    // Docker since 27 (moby#47500), and Podman; the file is not there to be read, but a filter is loaded.
    let named = "--privileged --security-opt seccomp=/absent/filter.json a";
    assert_eq!(seccomp(&format!("@docker-27 docker run {named}")), Some(Seccomp::Opaque));
    assert_eq!(seccomp(&format!("@docker-26 docker run {named}")), Some(Seccomp::Disabled));
    assert_eq!(seccomp(&format!("@podman-4 podman run {named}")), Some(Seccomp::Opaque));
    let named = pod("", "securityContext:\n  privileged: true\n  seccompProfile: {type: RuntimeDefault}");
    assert_eq!(seccomp(&named), Some(Seccomp::Disabled), "containerd drops it");
}

#[test]
fn s11_no_new_privileges_takes_nothing_from_a_privileged_container() {
    assert_eq!(verdict("docker run --privileged --security-opt no-new-privileges a", usual()), Verdict::Open);
    assert_eq!(verdict("docker run --security-opt no-new-privileges a", usual()), Verdict::Held);
}

#[test]
fn s12_read_only_paths_do_not_hold_sys_admin_without_an_lsm() {
    let sys_admin = open_by("docker run --cap-add SYS_ADMIN a", no_lsm());
    assert!(sys_admin.contains(&"core-pattern-handler"), "{sys_admin:?}");
    assert_eq!(verdict("docker run a", no_lsm()), Verdict::Held);
    let elsewhere = open_by("docker run -v /proc:/host/proc a", usual());
    assert!(elsewhere.contains(&"core-pattern-handler"), "another bind of /proc: {elsewhere:?}");
}

#[test]
fn s13_a_read_only_root_file_system_has_nothing_to_say_about_binds() {
    assert_eq!(verdict("docker run --read-only -v /etc:/e a", json!({})), Verdict::Open);
    assert_eq!(verdict("docker run --read-only -v /srv/a:/e a", json!({})), Verdict::Held);
    // Before Docker 25 a read-only bind of / leaves /proc below it writable.
    let old = "@docker-20.10 docker run -v /:/host:ro a";
    assert!(open_by(old, usual()).contains(&"core-pattern-handler"));
    assert!(!open_by("@docker-29 docker run -v /:/host:ro a", usual()).contains(&"core-pattern-handler"));
}

#[test]
fn s14_mknod_opens_no_disk() {
    assert_eq!(verdict("docker run --cap-add MKNOD a", json!({})), Verdict::Held);
    let rule = open_by("docker run --device-cgroup-rule 'a *:* rwm' a", json!({}));
    assert!(rule.contains(&"block-device"), "{rule:?}");
    assert_eq!(
        verdict("docker run --cap-drop MKNOD --device-cgroup-rule 'a *:* rwm' a", json!({})),
        Verdict::Held
    );
}

#[test]
fn s15_net_admin_counts_on_the_hosts_network_only() {
    let traffic = |given: &str| {
        let (_, judgement) = judged(given, usual());
        judgement.subjects[0].weaknesses.iter().any(|w| w.technique().id == "control-host-network")
    };
    assert_eq!(verdict("docker run --cap-add NET_ADMIN a", json!({})), Verdict::Held);
    assert!(traffic("docker run --cap-add NET_ADMIN --network host a"));
    assert!(!traffic("docker run --cap-add NET_ADMIN a"));
}

#[test]
fn s16_sys_boot_ends_the_host_from_its_own_pid_namespace_only() {
    let reboots = |given: &str| {
        let (_, judgement) = judged(given, usual());
        judgement.subjects[0].weaknesses.iter().any(|w| w.technique().id == "reboot-host")
    };
    assert!(reboots("docker run --cap-add SYS_BOOT --pid host a"));
    assert!(!reboots("docker run --cap-add SYS_BOOT a"));
}

#[test]
fn s17_a_user_namespace_leaves_a_privileged_container_what_is_not_owned_by_root() {
    let userns = pod("hostUsers: false", "securityContext: {privileged: true}");
    assert_eq!(verdict(&userns, usual()), Verdict::Held);
    assert_eq!(condition(&userns, usual(), "unmasked(kcore)"), Truth::True, "the unmasking stays");
    assert_eq!(verdict(&pod("", "securityContext: {privileged: true}"), usual()), Verdict::Open);
}

#[test]
fn s18_docker_gives_all_containers_one_range_of_ids() {
    let mut engine = Engine::assumed("docker-29").expect("a profile");
    engine.settings.userns_remap = Fact::known(true, Origin::assumed("daemon.json says userns-remap"));
    let host = Arc::new(support::host(&facts(usual())));
    let remapped = confine(&Request::default(), &Arc::new(engine), &host);
    assert_eq!(remapped.user_namespace.initial.value, Some(false));
    let same_ids = Condition::parse("same-ids").expect("a condition");
    assert_eq!(same_ids.check(&remapped, &Filter::of(&remapped), &mut ()), Truth::True);
    assert_eq!(condition(&pod("hostUsers: false", ""), json!({}), "same-ids"), Truth::False);
}

#[test]
fn s19_the_runtimes_default_filter_is_not_the_same_everywhere() {
    for call in
        ["mount", "unshare", "keyctl", "pivot_root", "syslog", "ptrace", "process_vm_writev", "reboot"]
    {
        let text = format!("syscall({call})");
        assert_eq!(condition("podman run a", usual(), &text), Truth::True, "Podman permits {call}");
    }
    for call in ["mount", "unshare", "keyctl", "pivot_root", "syslog", "reboot"] {
        let text = format!("syscall({call})");
        assert_eq!(condition("docker run a", usual(), &text), Truth::False, "Docker denies {call}");
    }
    assert_eq!(condition("podman run a", usual(), "socket-family(alg)"), Truth::True);
    assert_eq!(condition("docker run a", usual(), "socket-family(alg)"), Truth::False);
}

#[test]
fn s21_an_lsm_on_the_host_says_nothing_of_one_container() {
    let confined = |given: &str| condition(given, usual(), "lsm(mount)");
    assert_eq!(confined("docker run a"), Truth::False);
    assert_eq!(confined("docker run --security-opt apparmor=unconfined a"), Truth::True);
    assert_eq!(confined("docker run --privileged a"), Truth::True);
}

#[test]
fn s22_the_default_profile_does_not_part_containers() {
    let reach = |given: &str| {
        let world = world(given, usual());
        let judgement = judge(&world, Options::default());
        judgement.subjects.iter().flat_map(|j| &j.lateral).any(|l| l.technique().id == "shared-pid-namespace")
    };
    let compose = |second: &str| format!("services:\n  a:\n    image: i\n  b:\n    image: i\n{second}");
    assert!(reach(&compose("    pid: service:a\n")));
    assert!(!reach(&compose("")));
}

#[test]
fn s23_a_pod_without_a_seccomp_profile_has_none() {
    assert_eq!(condition(&pod("", ""), json!({}), "seccomp-off"), Truth::True);
    let set = pod("securityContext: {seccompProfile: {type: RuntimeDefault}}", "");
    assert_eq!(condition(&set, json!({}), "seccomp-off"), Truth::False);
}

#[test]
fn s24_run_as_non_root_leaves_the_bounding_set_full() {
    let non_root = pod("securityContext: {runAsNonRoot: true}", "");
    let set = world(&non_root, json!({})).subjects[0].confinement.capabilities.clone();
    assert!(set.effective.value.unwrap().is_empty());
    assert!(set.bounding.value.unwrap().has(Capability::SETUID));
    assert_eq!(condition(&non_root, json!({}), "privileges-can-rise"), Truth::True);
    let cut =
        pod("securityContext: {runAsNonRoot: true}", "securityContext: {allowPrivilegeEscalation: false}");
    assert_eq!(condition(&cut, json!({}), "privileges-can-rise"), Truth::False);
}

#[test]
fn s25_the_filter_opens_open_by_handle_at_with_the_capability() {
    assert_eq!(condition("docker run a", json!({}), "syscall(open_by_handle_at)"), Truth::False);
    let given = "docker run --cap-add DAC_READ_SEARCH -v /srv/a:/a a";
    assert_eq!(condition(given, json!({}), "syscall(open_by_handle_at)"), Truth::True);
    assert!(open_by(given, json!({})).contains(&"open-by-handle"));
    assert_eq!(verdict("docker run -v /srv/a:/a a", json!({})), Verdict::Held);
}

#[test]
fn s26_the_type_of_a_host_path_narrows_nothing() {
    let host_path = |path: &str, kind: &str| {
        pod(
            &format!("volumes: [{{name: v, hostPath: {{path: {path}{kind}}}}}]"),
            "volumeMounts: [{name: v, mountPath: /v}]",
        )
    };
    for kind in ["", ", type: Socket", ", type: File", ", type: Directory"] {
        let verdict = |path| verdict(&host_path(path, kind), json!({}));
        assert_eq!(verdict("/run/containerd/containerd.sock"), Verdict::Open, "{kind}");
        assert_eq!(verdict("/run/myapp.sock"), Verdict::Held, "{kind}");
    }
}

#[test]
fn s27_a_host_path_is_what_it_resolves_to() {
    for path in ["/var/run/../run/docker.sock", "/var/run/docker.sock/", "/run//docker.sock"] {
        let given = format!("docker run -v {path}:/s a");
        assert_eq!(verdict(&given, json!({})), Verdict::Open, "{path}");
    }
    let sub_path = pod(
        "volumes: [{name: v, hostPath: {path: /var}}]",
        "volumeMounts: [{name: v, mountPath: /v, subPath: run/docker.sock}]",
    );
    let subject = &world(&sub_path, json!({})).subjects[0];
    let shows =
        subject.confinement.mounts.iter().any(
            |m| matches!(m.source.get(), Some(MountSource::Host(p)) if p.as_str() == "/run/docker.sock"),
        );
    assert!(shows, "subPath is joined and resolved");
}

#[test]
fn s28_capabilities_are_read_in_every_spelling_and_in_the_engines_order() {
    let bounding =
        |given: &str| world(given, json!({})).subjects[0].confinement.capabilities.bounding.value.unwrap();
    for name in ["SYS_ADMIN", "CAP_SYS_ADMIN", "cap_sys_admin", "sys_admin"] {
        assert!(bounding(&format!("docker run --cap-add {name} a")).has(Capability::SYS_ADMIN), "{name}");
    }
    assert!(bounding("docker run --cap-add ALL a").has(Capability::SYS_MODULE));
    // containerd: add ALL, drop ALL, then the adds, then the drops.
    let caps = |add: &str, drop: &str| {
        bounding(&pod("", &format!("securityContext: {{capabilities: {{add: [{add}], drop: [{drop}]}}}}")))
    };
    assert!(!caps("ALL", "SYS_ADMIN").has(Capability::SYS_ADMIN));
    assert!(caps("NET_BIND_SERVICE", "ALL").has(Capability::NET_BIND_SERVICE));
    assert!(!caps("NET_BIND_SERVICE", "ALL").has(Capability::CHOWN));
}

#[test]
fn s29_masks_under_a_kubelet_are_there_unless_proc_mount_lifts_them() {
    assert_eq!(condition(&pod("", ""), json!({}), "unmasked(kcore)"), Truth::False);
    let lifted = pod("hostUsers: false", "securityContext: {procMount: Unmasked}");
    assert_eq!(condition(&lifted, json!({}), "unmasked(kcore)"), Truth::True);
}

#[test]
fn the_ladder_rises_step_by_step() {
    let privileged = depth("docker run --privileged a", json!({}));
    let default = depth("docker run a", json!({}));
    let remapped = depth(
        &pod("hostUsers: false", "securityContext: {seccompProfile: {type: RuntimeDefault}}"),
        json!({}),
    );
    let hard = depth(
        &pod(
            "hostUsers: false",
            "securityContext: {runAsUser: 1000, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}",
        ),
        json!({}),
    );
    assert_eq!((privileged, default), (0, 1));
    assert!(default < remapped && remapped < hard, "{privileged} {default} {remapped} {hard}");
}

#[test]
fn must_not_be_open() {
    for given in [
        &pod("hostUsers: false", "securityContext: {capabilities: {add: [SYS_ADMIN]}}"),
        "docker run --cap-add SYS_PTRACE a",
        "docker run --cap-add NET_ADMIN a",
        "docker run --cap-add MKNOD a",
        "docker run -v /data/app:/data a",
    ] {
        for host in [json!({}), usual(), no_lsm()] {
            assert_ne!(verdict(given, host), Verdict::Open, "{given}");
        }
    }
}

#[test]
fn must_be_open_by_the_right_technique() {
    let ephemeral = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n  ephemeralContainers: [{name: debug, image: i, securityContext: {privileged: true}}]\n";
    let volume = "apiVersion: v1\nkind: PersistentVolume\nmetadata: {name: all}\nspec: {capacity: {storage: 1Gi}, accessModes: [ReadWriteOnce], hostPath: {path: /}, claimRef: {name: claim, namespace: default}}\n---\napiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: claim, namespace: default}\nspec: {volumeName: all, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: default}\nspec:\n  volumes: [{name: v, persistentVolumeClaim: {claimName: claim}}]\n  containers: [{name: c, image: i, volumeMounts: [{name: v, mountPath: /v}]}]\n";
    for (given, technique) in [
        ("docker run --cap-add DAC_READ_SEARCH -v /srv/a:/a a", "open-by-handle"),
        (
            "docker run --pid host --cap-add SYS_PTRACE --security-opt apparmor=unconfined a",
            "ptrace-host-process",
        ),
        ("docker run --cap-drop ALL -v /proc/sys/kernel:/k a", "core-pattern-handler"),
        ("docker run --device-cgroup-rule 'a *:* rwm' a", "block-device"),
        ("docker run -v /var/lib/kubelet:/k a", "kubelet-pod-credentials"),
        ("docker run -v /opt/cni/bin:/b a", "host-execution-path"),
        (ephemeral, "load-kernel-module"),
        (volume, "host-root-mount"),
    ] {
        let world = world(given, json!({}));
        let judgement = judge(&world, Options::default());
        let open: Vec<&str> = judgement
            .subjects
            .iter()
            .flat_map(|j| &j.paths)
            .filter(|p| p.is_complete())
            .map(|p| p.technique().id)
            .collect();
        assert!(open.contains(&technique), "{given}: {technique} is not among {open:?}");
    }
}

#[test]
fn the_table_of_statements_names_tests_that_are_there() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");
    let table = std::fs::read_to_string(format!("{root}/docs/statements.md")).expect("docs/statements.md");
    let mut statements = Vec::new();
    for row in table.lines().filter_map(|l| l.strip_prefix("| ")) {
        let cells: Vec<&str> = row.split(" | ").map(|c| c.trim_end_matches('|').trim()).collect();
        let [number, _, tests] = cells[..] else { panic!("three columns: {row}") };
        if !number.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        statements.push(number.to_owned());
        for test in tests.split("; ") {
            let (name, file) = test.split_once(" (").expect("a test and its file");
            let (name, file) = (name.trim_matches('`'), file.trim_end_matches(')'));
            let text = std::fs::read_to_string(format!("{root}/{file}")).expect(file);
            assert!(text.contains(&format!("fn {name}()")), "{name} in {file}");
        }
    }
    let mut expected: Vec<String> = (1..=30).map(|n: u32| n.to_string()).collect();
    expected.insert(1, "1b".to_owned());
    assert_eq!(statements, expected);
}
