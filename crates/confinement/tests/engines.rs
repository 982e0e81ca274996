//! What engines do by themselves, each rule with the release that has it and the one that has not.

use std::sync::Arc;

use confinement::confine::{
    AppArmorRequest, NamespaceRequest, Request, SeLinuxRequest, SeccompRequest, UserNamespaceRequest, confine,
};
use confinement::{
    AppArmor, Capability, CapabilitySet, Confinement, Engine, EngineKind, Fact, Host, Namespace, Origin,
    SeLinux, Seccomp,
};

fn said<T>(value: T) -> Option<Fact<T>> {
    Some(Fact::known(value, Origin::assumed("the test says so")))
}
fn name(text: &str) -> Fact<Arc<str>> {
    Fact::known(text.into(), Origin::assumed("the test says so"))
}

fn host(cgroup: u8) -> Host {
    let mut host = Host::unseen();
    host.cgroup_version = said(cgroup).unwrap();
    host.lsms = said([Arc::from("apparmor"), Arc::from("selinux")].into()).unwrap();
    host.selinux_enforcing = said(true).unwrap();
    host
}

fn on(engine: Engine, request: Request) -> Confinement {
    confine(&request, &Arc::new(engine), &Arc::new(host(2)))
}
fn under(engine: &str, request: Request) -> Confinement {
    on(Engine::assumed(engine).unwrap(), request)
}

fn masks(kind: EngineKind, release: &str, path: &str) -> bool {
    Engine::of_release(kind, release).masked_paths().iter().any(|p| &**p == path)
}

#[test]
fn paths_are_masked_since_the_release_that_added_them() {
    let powercap = |kind, release| masks(kind, release, "/sys/devices/virtual/powercap");
    let interrupts = |kind, release| masks(kind, release, "/proc/interrupts");
    let selinux = |kind, release| masks(kind, release, "/sys/fs/selinux");
    use EngineKind::{Containerd, Crio, Docker, Podman};
    for (kind, without, with) in [
        (Docker, "24.0.6", "24.0.7"),
        (Docker, "20.10.24+dfsg1", "20.10.27"),
        (Docker, "23.0.6", "25.0.0"),
        (Podman, "4.7.1", "4.7.2"),
        (Crio, "1.27.0", "1.28.0"),
    ] {
        assert!(!powercap(kind, without), "{kind:?} {without}");
        assert!(powercap(kind, with), "{kind:?} {with}");
    }
    for (kind, without, with) in
        [(Docker, "28.0.1", "28.0.2"), (Podman, "5.4.2", "5.5.0"), (Crio, "1.30.9", "1.31.0")]
    {
        assert!(!interrupts(kind, without), "{kind:?} {without}");
        assert!(interrupts(kind, with), "{kind:?} {with}");
    }
    // A kubelet's list, whatever containerd's release is.
    assert!(powercap(Containerd, "1.6.20") && interrupts(Containerd, "1.6.20"));
    assert!(!selinux(Crio, "1.32.0") && selinux(Crio, "1.33.0"));
}

#[test]
fn a_private_cgroup_namespace_is_the_default_on_version_2_alone() {
    for engine in ["docker-29", "podman-5", "containerd-2", "crio-1.36"] {
        let engine = Arc::new(Engine::assumed(engine).unwrap());
        let cgroup = |version| {
            let host = Arc::new(host(version));
            confine(&Request::default(), &engine, &host).namespaces.cgroup.value
        };
        assert_eq!(cgroup(1), Some(Namespace::Host), "{}", engine.label);
        assert_eq!(cgroup(2), Some(Namespace::Own), "{}", engine.label);
    }
}

#[test]
fn only_containerd_leaves_a_container_on_the_hosts_network_the_hosts_name() {
    for (engine, expected) in [
        ("docker-29", Namespace::Own),
        ("podman-5", Namespace::Own),
        ("containerd-2", Namespace::Host),
        ("crio-1.36", Namespace::Own),
    ] {
        let request = Request { net: said(NamespaceRequest::Host), ..Request::default() };
        assert_eq!(under(engine, request).namespaces.uts.value, Some(expected), "{engine}");
    }
}

#[test]
fn a_remapping_daemon_leaves_the_cgroup_tree_writable_and_a_rootless_one_does_not() {
    let with = |set: fn(&mut Engine)| {
        let mut engine = Engine::assumed("docker-29").unwrap();
        set(&mut engine);
        on(engine, Request { user_namespace: said(UserNamespaceRequest::Host), ..Request::default() })
    };
    assert_eq!(with(|_| {}).cgroup.writable.value, Some(false));
    assert_eq!(with(|e| e.settings.userns_remap = said(true).unwrap()).cgroup.writable.value, Some(true));
    assert_eq!(with(|e| e.settings.rootless = said(true).unwrap()).cgroup.writable.value, Some(false));
}

fn privileged(seccomp: Option<Fact<SeccompRequest>>) -> Request {
    Request { privileged: said(true), seccomp, ..Request::default() }
}

#[test]
fn a_privileged_container_keeps_a_filter_that_is_named_under_docker_since_27_and_podman() {
    let named = |path: &str| said(SeccompRequest::Unread(path.into()));
    for (engine, expected) in [
        ("docker-26", Seccomp::Disabled),
        ("docker-27", Seccomp::Opaque),
        ("podman-4", Seccomp::Opaque),
        ("containerd-2", Seccomp::Disabled),
        ("crio-1.36", Seccomp::Disabled),
    ] {
        let seccomp = under(engine, privileged(named("/etc/filter.json"))).seccomp.value;
        assert_eq!(seccomp, Some(expected), "{engine}");
        assert_eq!(under(engine, privileged(None)).seccomp.value, Some(Seccomp::Disabled), "{engine}");
    }
    let default = named("/usr/share/containers/seccomp.json");
    assert_eq!(under("podman-4", privileged(default)).seccomp.value, Some(Seccomp::Disabled));
}

#[test]
fn a_privileged_container_keeps_a_profile_of_apparmor_that_is_named_but_under_crio() {
    for (engine, kept) in
        [("docker-29", true), ("podman-5", true), ("containerd-2", true), ("crio-1.36", false)]
    {
        let apparmor = said(AppArmorRequest::Named("mine".into()));
        let request = Request { privileged: said(true), apparmor, ..Request::default() };
        let found = under(engine, request).apparmor.value;
        assert_eq!(matches!(found, Some(AppArmor::Profile { .. })), kept, "{engine}");
        assert_eq!(found == Some(AppArmor::Unconfined), !kept, "{engine}");
    }
}

fn selinux(engine: &str, request: Request) -> SeLinux {
    let mut engine = Engine::assumed(engine).unwrap();
    engine.settings.selinux_enabled = said(true).unwrap();
    on(engine, request).selinux.value.unwrap()
}

#[test]
fn the_hosts_pid_or_ipc_namespace_lifts_the_label() {
    let shares = |pid: bool, ipc: bool, net: bool| {
        let share = |yes: bool| yes.then_some(NamespaceRequest::Host).and_then(said);
        Request { pid: share(pid), ipc: share(ipc), net: share(net), ..Request::default() }
    };
    let confined = |s: SeLinux| matches!(s, SeLinux::Confined { .. });
    for engine in ["docker-29", "podman-5", "crio-1.36"] {
        assert!(confined(selinux(engine, shares(false, false, false))), "{engine}");
        assert_eq!(selinux(engine, shares(true, false, false)), SeLinux::Unconfined, "{engine}");
        assert_eq!(selinux(engine, shares(false, true, false)), SeLinux::Unconfined, "{engine}");
    }
    assert!(confined(selinux("docker-29", shares(false, false, true))));
    assert_eq!(selinux("crio-1.36", shares(false, false, true)), SeLinux::Unconfined);
}

#[test]
fn dockers_label_option_wins_over_privileged_and_podmans_does_not() {
    let request = || Request {
        privileged: said(true),
        selinux: said(SeLinuxRequest::Domain("container_t".into())),
        ..Request::default()
    };
    assert!(matches!(selinux("docker-29", request()), SeLinux::Confined { .. }));
    assert_eq!(selinux("podman-5", request()), SeLinux::Unconfined);
}

#[test]
fn podman_hands_added_capabilities_to_a_user_and_privileged_alone_hands_none() {
    let effective = |privileged: bool, add: &[&str]| {
        let request = Request {
            user: Some(name("1000")),
            privileged: said(privileged),
            cap_add: add.iter().map(|c| name(c)).collect(),
            ..Request::default()
        };
        under("podman-4", request).capabilities.effective.value.unwrap()
    };
    let net_admin = CapabilitySet::of(&[Capability::NET_ADMIN]);
    assert_eq!(effective(true, &[]), CapabilitySet::EMPTY);
    assert_eq!(effective(true, &["NET_ADMIN"]), net_admin);
    assert_eq!(effective(false, &["NET_ADMIN"]), net_admin);
}

#[test]
fn docker_before_23_does_not_know_the_newest_capabilities() {
    let bounding = |engine, request| under(engine, request).capabilities.bounding.value.unwrap();
    for request in [
        Request { privileged: said(true), ..Request::default() },
        Request { cap_add: vec![name("ALL")], ..Request::default() },
    ] {
        assert_eq!(bounding("docker-20.10", request.clone()).0, 0x3f_ffff_ffff);
        assert_eq!(bounding("docker-23", request), CapabilitySet::ALL);
    }
}

#[test]
fn keep_id_runs_as_who_calls_unless_a_user_is_named() {
    let root = |user: Option<&str>, image_user: Option<&str>| {
        let request = Request {
            user: user.map(name),
            image_user: image_user.map(name),
            user_namespace: said(UserNamespaceRequest::KeepId),
            ..Request::default()
        };
        under("podman-5", request).identity.root.value
    };
    assert_eq!(root(None, None), Some(false));
    assert_eq!(root(None, Some("")), Some(false));
    assert_eq!(root(None, Some("root")), Some(true));
    assert_eq!(root(Some("0"), None), Some(true));
}
