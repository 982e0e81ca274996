//! What each pin forbids, and what it leaves.

mod support;

use std::collections::HashMap;
use std::sync::Arc;

use confinement::{Capability, CapabilitySet, Confinement, NamespaceKind};
use techniques::keep::{ACCEPTED, Keep};
use techniques::remedy::{LimitKind, Remedy};

fn confinement(given: &str) -> Arc<Confinement> {
    support::world(given, None, &HashMap::new()).subjects[0].confinement.clone()
}

fn forbids(pin: &str, remedy: &Remedy, given: &str) -> bool {
    Keep::parse(pin).unwrap().forbids(remedy, &confinement(given))
}

/// The pin forbids each remedy of the first list on that container, and none of the second.
#[track_caller]
fn check(given: &str, pin: &str, forbidden: &[Remedy], allowed: &[Remedy]) {
    for remedy in forbidden {
        assert!(forbids(pin, remedy, given), "{given}: {pin} should forbid {remedy:?}");
    }
    for remedy in allowed {
        assert!(!forbids(pin, remedy, given), "{given}: {pin} should allow {remedy:?}");
    }
}

fn set(list: &[Capability]) -> CapabilitySet {
    CapabilitySet::of(list)
}

#[test]
fn every_pin_is_printed_as_it_is_read() {
    for text in [
        "cap:NET_ADMIN",
        "mount:/srv/data",
        "mount:/srv/data:ro",
        "mount:data",
        "device:/dev/fuse",
        "namespace:pid",
        "namespace:user",
        "sysctl:net.core.somaxconn",
        "unlimited:memory",
        "unlimited:cpu",
        "unlimited:pids",
        "root",
        "privileged",
        "writable-rootfs",
        "new-privileges",
        "seccomp",
        "lsm",
        "system-paths",
        "network",
        "control-api",
        "service-account-token",
    ] {
        assert_eq!(Keep::parse(text).unwrap().to_string(), text);
    }
    assert_eq!(Keep::parse("cap:cap_net_admin").unwrap().to_string(), "cap:NET_ADMIN");
}

#[test]
fn what_is_listed_as_accepted_is_accepted() {
    for (spelling, _) in ACCEPTED {
        let text = spelling
            .replace("namespace:KIND", "namespace:pid")
            .replace("unlimited:KIND", "unlimited:pids")
            .replace("NAME", "KILL")
            .replace("PATH", "/x")
            .replace("KEY", "a.b");
        assert!(Keep::parse(&text).is_ok(), "{text}");
    }
}

#[test]
fn an_error_says_what_is_accepted() {
    let error = |text: &str| Keep::parse(text).unwrap_err().to_string();
    for unknown in ["", "rot", "capability:KILL", "mount", "cap", "namespace", "/var/run/docker.sock"] {
        let message = error(unknown);
        for (spelling, _) in ACCEPTED {
            assert!(message.contains(spelling), "{message} lacks {spelling}");
        }
    }
    assert!(error("cap:NET_ADMINN").contains("NET_ADMINN"));
    assert!(error("cap:ALL").contains("privileged"));
    assert!(error("namespace:mount").contains("pid, net, ipc"));
    assert!(error("namespace:time").contains("pid, net, ipc"));
    assert!(error("device:fuse").contains("/dev/fuse"));
    assert!(error("unlimited:disk").contains("memory"));
    for nothing in ["cap:", "mount:", "mount::ro", "sysctl:", "mount:/a:/b"] {
        assert!(Keep::parse(nothing).is_err(), "{nothing}");
    }
}

#[test]
fn a_pinned_capability_is_not_dropped() {
    use Capability::{CHOWN, NET_ADMIN};
    check(
        "docker run --cap-add NET_ADMIN a",
        "cap:NET_ADMIN",
        &[
            Remedy::DropCapability(NET_ADMIN),
            Remedy::KeepCapabilities(set(&[CHOWN])),
            Remedy::KeepCapabilities(CapabilitySet::EMPTY),
            // Docker gives a user other than root none of its capabilities.
            Remedy::RunAsNonRoot,
        ],
        &[
            Remedy::DropCapability(CHOWN),
            Remedy::KeepCapabilities(set(&[NET_ADMIN])),
            Remedy::NoNewPrivileges,
            Remedy::ReadOnlyRootfs,
            // Over its own namespaces it still has it.
            Remedy::UserNamespace,
        ],
    );
}

#[test]
fn a_pinned_capability_outlives_all_and_privileged_only_where_it_is_there_without_them() {
    use Capability::{CHOWN, SYS_ADMIN};
    let all = "docker run --cap-add ALL a";
    check(all, "cap:SYS_ADMIN", &[Remedy::RemoveAllCapabilities, Remedy::DropCapability(SYS_ADMIN)], &[]);
    check(all, "cap:CHOWN", &[Remedy::DropCapability(CHOWN)], &[Remedy::RemoveAllCapabilities]);
    check("docker run --privileged a", "cap:SYS_ADMIN", &[Remedy::DropPrivileged], &[]);
    check("docker run --privileged a", "cap:CHOWN", &[], &[Remedy::DropPrivileged]);
    check("docker run --privileged --cap-add SYS_ADMIN a", "cap:SYS_ADMIN", &[], &[Remedy::DropPrivileged]);
}

#[test]
fn a_capability_the_container_never_had_is_not_lost() {
    let given = "docker run a";
    check(
        given,
        "cap:SYS_ADMIN",
        &[],
        &[Remedy::KeepCapabilities(CapabilitySet::EMPTY), Remedy::RunAsNonRoot, Remedy::NoNewPrivileges],
    );
}

#[test]
fn a_capability_of_a_user_other_than_root_is_there_by_file_capabilities() {
    let given = "docker run --user 1000 a";
    check(
        given,
        "cap:NET_BIND_SERVICE",
        &[Remedy::NoNewPrivileges, Remedy::DropCapability(Capability::NET_BIND_SERVICE)],
        &[Remedy::RunAsNonRoot],
    );
    // Podman hands an added one over as ambient.
    check(
        "podman run --user 1000 --cap-add NET_ADMIN a",
        "cap:NET_ADMIN",
        &[Remedy::DropCapability(Capability::NET_ADMIN)],
        &[Remedy::NoNewPrivileges],
    );
}

#[test]
fn a_capability_that_counts_on_the_host_alone_is_lost_in_a_user_namespace() {
    check("docker run --cap-add SYS_TIME a", "cap:SYS_TIME", &[Remedy::UserNamespace], &[]);
}

#[test]
fn a_capability_of_an_unknown_set_is_kept_by_name() {
    let given = "services: {a: {image: a, cap_add: ['${NEEDED:?}']}}";
    let context = support::context(None, &HashMap::new());
    let world =
        sources::gather::text(given.as_bytes(), std::path::Path::new("/srv/case/case.yaml"), &context);
    let c = &world.subjects[0].confinement;
    assert!(c.capabilities.bounding.value.is_none(), "the variable has no value");
    let pin = Keep::parse("cap:NET_ADMIN").unwrap();
    assert!(pin.forbids(&Remedy::KeepCapabilities(CapabilitySet::EMPTY), c));
    assert!(pin.forbids(&Remedy::DropCapability(Capability::NET_ADMIN), c));
    assert!(!pin.forbids(&Remedy::DropCapability(Capability::NET_RAW), c));
}

#[test]
fn a_mount_is_pinned_by_any_spelling_of_either_of_its_paths() {
    let given = "docker run -v /var/run/docker.sock:/tmp/engine.sock -v /srv/a:/srv/b a";
    let socket = Remedy::RemoveMount("/tmp/engine.sock".into());
    let other = Remedy::RemoveMount("/srv/b".into());
    for pin in ["mount:/run/docker.sock", "mount:/var/run/docker.sock", "mount:/tmp//engine.sock/"] {
        check(
            given,
            pin,
            &[socket.clone(), Remedy::ReadOnlyMount("/tmp/engine.sock".into())],
            std::slice::from_ref(&other),
        );
    }
    check(
        given,
        "mount:/srv/a:ro",
        std::slice::from_ref(&other),
        &[Remedy::ReadOnlyMount("/srv/b".into()), socket, Remedy::PrivatePropagation("/srv/b".into())],
    );
}

#[test]
fn a_file_seen_through_a_mounted_folder_pins_the_folder_unless_it_has_a_mount_of_its_own() {
    let whole = Remedy::RemoveMount("/host".into());
    check("docker run -v /:/host a", "mount:/run/docker.sock", std::slice::from_ref(&whole), &[]);
    check(
        "docker run -v /:/host -v /var/run/docker.sock:/var/run/docker.sock a",
        "mount:/run/docker.sock",
        &[Remedy::RemoveMount("/var/run/docker.sock".into())],
        &[whole],
    );
}

#[test]
fn a_mount_that_is_read_only_already_loses_nothing_by_it() {
    let read_only = Remedy::ReadOnlyMount("/b".into());
    check("docker run -v /srv/a:/b:ro a", "mount:/b", &[Remedy::RemoveMount("/b".into())], &[read_only]);
}

#[test]
fn a_volume_is_pinned_by_its_name() {
    let given =
        "services: {a: {image: a, volumes: ['data:/b', 'otherdata:/c']}}\nvolumes: {data: {}, otherdata: {}}";
    let remove = |target: &str| Remedy::RemoveMount(target.into());
    check(given, "mount:data", &[remove("/b")], &[remove("/c")]);
}

#[test]
fn the_engine_socket_of_compose_is_pinned_like_the_mount_it_is() {
    let given = "services: {a: {image: a, use_api_socket: true}}";
    check(given, "mount:/var/run/docker.sock", &[Remedy::RemoveControlApi], &[]);
    check(given, "control-api", &[Remedy::RemoveControlApi], &[]);
    check(given, "mount:/srv", &[], &[Remedy::RemoveControlApi]);
}

#[test]
fn root_is_lost_to_another_user_and_not_to_a_user_namespace() {
    check("docker run a", "root", &[Remedy::RunAsNonRoot], &[Remedy::UserNamespace, Remedy::DropPrivileged]);
    check("docker run a", "namespace:user", &[Remedy::UserNamespace], &[Remedy::RunAsNonRoot]);
    check("docker run --user 5 a", "root", &[], &[Remedy::RunAsNonRoot]);
}

#[test]
fn a_shared_namespace_is_pinned_and_an_own_one_is_nothing_to_lose() {
    let private = Remedy::PrivateNamespace;
    check(
        "docker run --pid host --network host a",
        "namespace:pid",
        &[private(NamespaceKind::Pid)],
        &[private(NamespaceKind::Net)],
    );
    check("docker run a", "namespace:pid", &[], &[private(NamespaceKind::Pid)]);
}

#[test]
fn a_device_is_pinned_with_the_rules_that_permit_it() {
    let given = "docker run --device /dev/fuse --device /dev/kvm --device-cgroup-rule 'c 10:* rwm' \
                 --device-cgroup-rule 'b 8:* r' a";
    check(
        given,
        "device:/dev/fuse",
        &[Remedy::RemoveDevice("/dev/fuse".into()), Remedy::RemoveDeviceRule("c 10:* rwm".into())],
        &[Remedy::RemoveDevice("/dev/kvm".into()), Remedy::RemoveDeviceRule("b 8:* r".into())],
    );
    check("docker run --privileged a", "device:/dev/fuse", &[Remedy::DropPrivileged], &[]);
    check("docker run --privileged --device /dev/fuse a", "device:/dev/fuse", &[], &[Remedy::DropPrivileged]);
}

#[test]
fn single_words_pin_the_setting_they_name() {
    use Remedy as R;
    let open = "docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
                --security-opt systempaths=unconfined --sysctl net.core.somaxconn=1 a";
    check(open, "seccomp", &[R::SeccompDefault], &[R::LsmDefault]);
    check(open, "lsm", &[R::LsmDefault], &[R::SeccompDefault]);
    check(open, "system-paths", &[R::DefaultPaths], &[R::SeccompDefault]);
    check(open, "sysctl:net/core/somaxconn", &[R::RemoveSysctl("net.core.somaxconn".into())], &[]);
    check(open, "writable-rootfs", &[R::ReadOnlyRootfs], &[R::RunAsNonRoot]);
    check(open, "new-privileges", &[R::NoNewPrivileges], &[R::RunAsNonRoot]);
    check(open, "network", &[R::OwnNetwork], &[R::RunAsNonRoot]);
    check(open, "unlimited:memory", &[R::Limit(LimitKind::Memory)], &[R::Limit(LimitKind::Pids)]);
    check("docker run --memory 1g a", "unlimited:memory", &[], &[R::Limit(LimitKind::Memory)]);
    check("docker run --privileged a", "privileged", &[R::DropPrivileged], &[R::UserNamespace]);
    check("docker run --privileged a", "seccomp", &[R::DropPrivileged], &[]);
    check(
        "docker run -e DOCKER_HOST=tcp://d:2375 a",
        "control-api",
        &[R::RemoveControlApi],
        &[R::RunAsNonRoot],
    );
}

#[test]
fn a_pinned_token_stays_mounted() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c, image: i}]}";
    check(pod, "service-account-token", &[Remedy::NoServiceAccountToken], &[Remedy::RunAsNonRoot]);
    let without = pod.replace("{containers", "{automountServiceAccountToken: false, containers");
    check(&without, "service-account-token", &[], &[Remedy::NoServiceAccountToken]);
}
