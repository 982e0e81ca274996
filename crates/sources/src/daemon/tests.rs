use confinement::{AppArmor, Confinement, Namespace, Runtime, Seccomp};

use super::*;
use crate::document::{self, parse_json};

fn document(text: &str) -> Document {
    parse_json(text, &"/etc/docker/daemon.json".into(), &document::Limits::default()).unwrap()
}

fn world(text: &str) -> World {
    read(&document(text), &Context::assumed())
}

fn judged(text: &str) -> Confinement {
    let mut world = world(text);
    assert_eq!(world.problems, [], "{text}");
    (*world.subjects.remove(0).confinement).clone()
}

fn engine(text: &str) -> Engine {
    let mut engine = (*Context::assumed().docker).clone();
    assert_eq!(apply(&document(text), &mut engine), [], "{text}");
    engine
}

#[test]
fn an_empty_file_changes_nothing() {
    let world = world("{}");
    let subject = &world.subjects[0];
    assert_eq!((subject.kind, &*subject.id), (SubjectKind::Engine, "/etc/docker/daemon.json#engine"));
    assert_eq!(engine("{}"), *Context::assumed().docker);
}

#[test]
fn each_setting_changes_what_a_container_gets() {
    assert_eq!(judged(r#"{"userns-remap": "default"}"#).user_namespace.initial.value, Some(false));
    assert_eq!(judged(r#"{"userns-remap": ""}"#).user_namespace.initial.value, Some(true));
    assert_eq!(judged(r#"{"no-new-privileges": true}"#).identity.no_new_privileges.value, Some(true));
    assert_eq!(judged(r#"{"seccomp-profile": "unconfined"}"#).seccomp.value, Some(Seccomp::Disabled));
    assert_eq!(judged(r#"{"seccomp-profile": "/absent/x.json"}"#).seccomp.value, Some(Seccomp::Opaque));
    assert!(matches!(judged(r#"{"seccomp-profile": "builtin"}"#).seccomp.value, Some(Seccomp::Builtin(_))));
    let cgroup = judged(r#"{"default-cgroupns-mode": "host"}"#).namespaces.cgroup.value;
    assert_eq!(cgroup, Some(Namespace::Host));
    assert_eq!(
        judged(r#"{"cgroup-parent": "/x"}"#).cgroup.parent.and_then(|p| p.value).as_deref(),
        Some("/x")
    );
    assert_eq!(judged("{}").apparmor.value, None::<AppArmor>);
    let place = judged("{\n  \"no-new-privileges\": true\n}").identity.no_new_privileges.origin;
    assert_eq!(place.place().map(|p| (p.line, p.column)), Some((2, 24)));
}

#[test]
fn the_default_runtime_is_the_program_behind_the_name() {
    let runtime = |text: &str| judged(text).runtime.value;
    assert_eq!(
        runtime(r#"{"default-runtime": "runsc", "runtimes": {"runsc": {"path": "/usr/bin/runsc"}}}"#),
        Some(Runtime::Gvisor)
    );
    assert_eq!(
        runtime(r#"{"default-runtime": "safe", "runtimes": {"safe": {"path": "/usr/bin/runsc"}}}"#),
        Some(Runtime::Gvisor)
    );
    let kata = r#"{"default-runtime": "vm", "runtimes": {"vm": {"runtimeType": "io.containerd.kata.v2"}}}"#;
    assert_eq!(runtime(kata), Some(Runtime::Kata));
    assert_eq!(
        runtime(r#"{"default-runtime": "kata", "runtimes": {"kata": {"path": "/opt/x"}}}"#),
        Some(Runtime::Kata)
    );
    assert_eq!(runtime(r#"{"runtimes": {"runsc": {"path": "/usr/bin/runsc"}}}"#), Some(Runtime::Runc));
}

#[test]
fn tcp_listeners_and_whether_they_ask_for_a_certificate() {
    let tcp = |text: &str| -> Vec<(String, bool)> {
        let tcp = engine(text).settings.tcp;
        tcp.iter()
            .filter_map(|f| f.get().map(|api| (api.address.to_string(), api.verifies_clients)))
            .collect()
    };
    let open = [("tcp://0.0.0.0:2375".to_owned(), false)];
    assert_eq!(tcp(r#"{"hosts": ["unix:///run/docker.sock", "tcp://0.0.0.0:2375", "fd://"]}"#), open);
    assert_eq!(tcp(r#"{"hosts": ["tcp://0.0.0.0:2375"], "tls": true}"#), open);
    let closed = [("tcp://0.0.0.0:2376".to_owned(), true)];
    assert_eq!(tcp(r#"{"hosts": ["tcp://0.0.0.0:2376"], "tlsverify": true, "tlscacert": "/x"}"#), closed);
    assert_eq!(tcp(r#"{"hosts": []}"#), []);
}

#[test]
fn other_settings() {
    let text = r#"{"icc": false, "live-restore": true, "userland-proxy": false, "experimental": true,
        "selinux-enabled": true, "insecure-registries": ["r:5000"], "authorization-plugins": ["a"],
        "log-driver": "local", "default-ipc-mode": "private", "default-ulimits": {"nofile": {"Hard": 1}}}"#;
    let settings = engine(text).settings;
    assert_eq!((settings.inter_container.value, settings.live_restore.value), (Some(false), Some(true)));
    assert_eq!((settings.userland_proxy.value, settings.experimental.value), (Some(false), Some(true)));
    assert_eq!((settings.selinux_enabled.value, settings.default_ulimits), (Some(true), true));
    assert_eq!(settings.insecure_registries.len(), 1);
    assert_eq!(settings.authorization_plugins.get().map(|p| p.len()), Some(1));
    assert!(settings.log_driver.is_some() && settings.default_ipc.is_some());
}

#[test]
fn wrong_types_and_unknown_keys_are_problems_and_unknown_facts() {
    for text in [
        r#"{"userns-remap": true}"#,
        r#"{"no-new-privileges": "yes"}"#,
        r#"{"seccomp-profile": {}}"#,
        r#"{"hosts": "tcp://0.0.0.0:2375"}"#,
        r#"{"hosts": [5]}"#,
        r#"{"tlsverify": 1, "hosts": ["tcp://x:1"]}"#,
        r#"{"default-cgroupns-mode": "both"}"#,
        r#"{"runtimes": []}"#,
        r#"{"no-new-privilege": true}"#,
        "[]",
    ] {
        let world = world(text);
        assert_eq!(world.problems.len(), 1, "{text}: {:?}", world.problems);
        assert!(world.problems[0].line.is_some());
        assert_eq!(world.subjects.len(), 1);
    }
    assert_eq!(world(r#"{"userns-remap": true}"#).subjects[0].confinement.user_namespace.initial.value, None);
}

#[test]
fn the_file_changes_no_other_engine() {
    let mut podman = (*Context::assumed().podman).clone();
    let before = podman.clone();
    apply(&document(r#"{"userns-remap": "default"}"#), &mut podman);
    assert_eq!(podman, before);
}

#[test]
fn a_configuration_is_recognised_by_its_keys() {
    let is = |text: &str, path: &str| recognise(&document(text).root, path);
    assert!(
        is(r#"{"userns-remap": "default"}"#, "x.json") && is(r#"{"debug": true}"#, "/etc/docker/daemon.json")
    );
    assert!(is(r#"{"icc": false, "log-levle": "x", "hosts": []}"#, "x.json"));
    assert!(!is(r#"{"debug": true}"#, "x.json") && !is("{}", "daemon.json") && !is("[]", "daemon.json"));
    assert!(!is(r#"{"ociVersion": "1", "process": {}, "hosts": []}"#, "config.json"));
    assert!(!is(r#"{"icc": 1, "name": 1, "version": 1, "scripts": 1}"#, "package.json"));
}
