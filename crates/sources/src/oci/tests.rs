use confinement::{DeviceKind, HostPath, MountSource, Propagation};

use super::*;
use crate::document::{self, parse_json};

/// A configuration that confines well; tests change one thing.
const SOUND: &str = r#"{
  "ociVersion": "1.0.2",
  "process": {
    "user": {"uid": 0, "gid": 0, "additionalGids": [20, 10, 10]},
    "args": ["sh"],
    "env": ["PATH=/bin"],
    "capabilities": {
      "bounding": ["CAP_CHOWN", "CAP_KILL"],
      "effective": ["CAP_CHOWN", "CAP_KILL"],
      "permitted": ["CAP_CHOWN", "CAP_KILL"]
    },
    "noNewPrivileges": true
  },
  "root": {"path": "rootfs", "readonly": true},
  "hostname": "box",
  "mounts": [
    {"destination": "/proc", "type": "proc", "source": "proc", "options": ["nosuid", "noexec", "nodev"]},
    {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
    {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["ro"]}
  ],
  "linux": {
    "namespaces": [{"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}],
    "maskedPaths": ["/proc/kcore"],
    "readonlyPaths": ["/proc/sys"],
    "resources": {"devices": [{"allow": false, "access": "rwm"}], "memory": {"limit": 1048576}, "pids": {"limit": 0}},
    "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}
  }
}"#;

fn world_by(text: &str, runtime: Runtime, host: Host) -> World {
    let path: Arc<str> = "/srv/bundle/config.json".into();
    let document = parse_json(text, &path, &document::Limits::default()).unwrap();
    let mut context = Context::assumed();
    context.host = Arc::new(host);
    read_with(&document, &Fact::known(runtime, Origin::measured("a test")), &context)
}

fn world(text: &str) -> World {
    world_by(text, Runtime::Runc, Host::unseen())
}

fn judged(text: &str) -> Confinement {
    let mut world = world(text);
    assert_eq!(world.problems, [], "{text}");
    (*world.subjects.remove(0).confinement).clone()
}

/// The sound configuration with one text replaced.
fn changed(from: &str, to: &str) -> Confinement {
    assert!(SOUND.contains(from), "{from}");
    judged(&SOUND.replacen(from, to, 1))
}

fn with_mount(mount: &str) -> Mount_ {
    let confinement = changed("\"mounts\": [", &format!("\"mounts\": [{mount},"));
    Mount_ { mount: confinement.mounts[0].clone(), confinement }
}

struct Mount_ {
    mount: confinement::Mount,
    confinement: Confinement,
}

#[test]
fn the_sound_configuration_is_read_as_it_stands() {
    let c = judged(SOUND);
    assert_eq!((c.identity.uid.value, c.identity.root.value), (Some(0), Some(true)));
    assert_eq!(c.identity.groups.get().map(|g| g.to_vec()), Some(vec![10, 20]));
    assert_eq!(c.identity.no_new_privileges.value, Some(true));
    let two = CapabilitySet::of(&[Capability::CHOWN, Capability::KILL]);
    assert_eq!((c.capabilities.effective.value, c.capabilities.bounding.value), (Some(two), Some(two)));
    assert_eq!(c.namespaces.pid.value, Some(Namespace::Own));
    assert_eq!(
        (&c.namespaces.cgroup.value, &c.namespaces.time.value),
        (&Some(Namespace::Host), &Some(Namespace::Host))
    );
    assert_eq!(
        (c.user_namespace.initial.value, c.user_namespace.root_is_host_root.value),
        (Some(true), Some(true))
    );
    assert_eq!(c.masked_paths.get().map(|p| p.len()), Some(1));
    assert_eq!(c.read_only_rootfs.value, Some(true));
    assert!(matches!(c.seccomp.get(), Some(Seccomp::Profile { .. })));
    assert_eq!(c.cgroup.writable.value, Some(false));
    assert_eq!((c.limits.memory.value, c.limits.pids.value), (Some(Some(1048576)), Some(None)));
    assert_eq!((c.network.attached.value, c.network.shared_segment.value), (Some(false), Some(false)));
    assert_eq!(c.mounts[1].source.value, Some(MountSource::Kernel("sysfs".into())));
    assert!(c.mounts[0].nosuid && c.mounts[0].noexec && c.mounts[0].nodev && !c.mounts[1].nosuid);
    let subject = world(SOUND).subjects.remove(0);
    assert_eq!((&*subject.id, &*subject.name), ("/srv/bundle/config.json#container", "box"));
    let place = c.identity.no_new_privileges.origin.place().cloned().unwrap();
    assert_eq!((place.line, place.column), (12, 24));
}

#[test]
fn capabilities_are_those_after_execve() {
    let c = changed("\"uid\": 0", "\"uid\": 1000");
    assert_eq!(c.capabilities.effective.value, Some(CapabilitySet::EMPTY));
    assert!(!c.capabilities.bounding.get().unwrap().is_empty());
    // Root gains the bounding set, unless it may gain nothing.
    let permitted = "\"permitted\": [\"CAP_CHOWN\", \"CAP_KILL\"]";
    let c = changed(permitted, "\"permitted\": []");
    assert_eq!(c.capabilities.effective.value, Some(CapabilitySet::EMPTY));
    let c = judged(&SOUND.replace(permitted, "\"permitted\": []").replace("true\n  },", "false\n  },"));
    assert_eq!(c.capabilities.effective.value.map(|set| set.iter().count()), Some(2));
    // A user other than root has the ambient set, as far as it is permitted and inheritable.
    let ambient = SOUND.replace("\"uid\": 0", "\"uid\": 7").replace(
        permitted,
        "\"permitted\": [\"CAP_CHOWN\"], \"inheritable\": [\"CAP_CHOWN\"], \"ambient\": [\"CAP_CHOWN\", \"CAP_KILL\"]",
    );
    let c = judged(&ambient);
    assert_eq!(c.capabilities.effective.value, Some(CapabilitySet::of(&[Capability::CHOWN])));
    // Without the object everything is dropped.
    let start = SOUND.find("\"capabilities\"").unwrap();
    let end = SOUND.find("\"noNewPrivileges\"").unwrap();
    let c = judged(&format!("{}{}", &SOUND[..start], &SOUND[end..]));
    assert_eq!(c.capabilities.bounding.value, Some(CapabilitySet::EMPTY));
    let world = world(&SOUND.replacen("\"CAP_CHOWN\"", "\"CAP_NONSENSE\"", 1));
    assert_eq!((world.problems.len(), world.notes.len()), (0, 1));
}

#[test]
fn namespaces_absent_are_the_hosts_and_paths_are_anothers() {
    let c = changed("{\"type\": \"pid\"}, ", "");
    assert_eq!(c.namespaces.pid.value, Some(Namespace::Host));
    let c = changed("{\"type\": \"network\"}", "{\"type\": \"network\", \"path\": \"/var/run/netns/a\"}");
    assert_eq!(c.namespaces.net.value, Some(Namespace::Container("ns:/run/netns/a".into())));
    assert_eq!(c.network.attached.value, None);
    let c = changed("{\"type\": \"ipc\"}", "{\"type\": \"ipc\", \"path\": \"/proc/1/ns/ipc\"}");
    assert_eq!(c.namespaces.ipc.value, Some(Namespace::Host));
    let c = changed("{\"type\": \"uts\"}", "{\"type\": \"cgroup\"}, {\"type\": \"time\", \"path\": \"\"}");
    assert_eq!(
        (c.namespaces.uts.value, c.namespaces.cgroup.value),
        (Some(Namespace::Host), Some(Namespace::Own))
    );
    assert_eq!(c.namespaces.time.value, Some(Namespace::Own));
    // A chroot is not a container.
    assert_eq!(world(&SOUND.replacen(", {\"type\": \"mount\"}", "", 1)).problems.len(), 1);
}

#[test]
fn user_namespaces_and_their_maps() {
    let with = |namespace: &str, maps: &str| {
        judged(&SOUND.replacen("{\"type\": \"pid\"}", namespace, 1).replacen("\"linux\": {", maps, 1))
            .user_namespace
    };
    let map = |outside: u32| {
        format!(
            "\"linux\": {{ \"uidMappings\": [{{\"containerID\": 0, \"hostID\": {outside}, \"size\": 65536}}], \
                 \"gidMappings\": [{{\"containerID\": 0, \"hostID\": 5, \"size\": 1}}],"
        )
    };
    let mapped = with("{\"type\": \"user\"}", &map(100000));
    assert_eq!((mapped.initial.value, mapped.root_is_host_root.value), (Some(false), Some(false)));
    let range = IdRange { inside: 0, outside: 100000, count: 65536 };
    assert_eq!(mapped.uid_map.get().map(|m| m.to_vec()), Some(vec![range]));
    let identity = with("{\"type\": \"user\"}", &map(0));
    assert_eq!((identity.initial.value, identity.root_is_host_root.value), (Some(false), Some(true)));
    let joined = with("{\"type\": \"user\", \"path\": \"/proc/812/ns/user\"}", "\"linux\": {");
    assert_eq!((joined.initial.value, joined.root_is_host_root.value), (Some(false), None));
    let hosts = with("{\"type\": \"user\", \"path\": \"/proc/1/ns/user\"}", "\"linux\": {");
    assert_eq!(hosts.initial.value, Some(true));
}

#[test]
fn bind_mounts_with_their_options() {
    let mount =
        with_mount(r#"{"destination": "/h", "source": "/etc", "options": ["rbind", "ro", "nosuid"]}"#).mount;
    assert_eq!(mount.host_path(), Some(&HostPath::new("/etc")));
    assert_eq!(
        (mount.read_only.value, mount.recursive_read_only.value, mount.recursive),
        (Some(true), Some(false), true)
    );
    assert!(mount.nosuid && !mount.nodev);
    let mount =
        with_mount(r#"{"destination": "/h", "source": "/etc", "type": "bind", "options": ["rbind", "rro"]}"#)
            .mount;
    assert_eq!((mount.read_only.value, mount.recursive_read_only.value), (Some(true), Some(true)));
    let mount = with_mount(
        r#"{"destination": "/h", "source": "data", "type": "bind", "options": ["ro", "rw", "bind"]}"#,
    )
    .mount;
    assert_eq!(mount.host_path(), Some(&HostPath::new("/srv/bundle/data")));
    assert_eq!((mount.read_only.value, mount.recursive), (Some(false), false));
    let mount = with_mount(r#"{"destination": "/d", "type": "debugfs", "source": "debugfs"}"#).mount;
    assert_eq!(mount.host_path(), Some(&HostPath::new("/sys/kernel/debug")));
    let mount = with_mount(r#"{"destination": "/d", "type": "tmpfs", "source": "tmpfs"}"#).mount;
    assert_eq!(mount.source.value, Some(MountSource::Private));
    let c = changed("\"path\": \"rootfs\"", "\"path\": \"/\"");
    assert!(c.mounts[0].host_path().is_some_and(HostPath::is_root));
    let dev =
        with_mount(r#"{"destination": "/dev", "type": "bind", "source": "/dev", "options": ["rbind"]}"#);
    assert_eq!(dev.confinement.devices.all_host_nodes.value, Some(true));
}

#[test]
fn a_cgroup_mount_is_writable_unless_it_says_ro() {
    let ro = "\"source\": \"cgroup\", \"options\": [\"ro\"]";
    assert_eq!(changed(ro, "\"source\": \"cgroup\"").cgroup.writable.value, Some(true));
    assert_eq!(
        changed(ro, "\"source\": \"cgroup\", \"options\": [\"rw\"]").cgroup.writable.value,
        Some(true)
    );
    let bound = changed(ro, "\"source\": \"/sys/fs/cgroup\", \"options\": [\"rbind\"]");
    assert_eq!(bound.cgroup.writable.value, Some(true));
}

#[test]
fn a_mount_is_shared_with_the_host_only_where_the_root_stays_shared() {
    let propagation = |root: &str, option: &str, runtime: Runtime| {
        let option = if option.is_empty() { String::new() } else { format!(",\"{option}\"") };
        let mount =
            format!(r#""mounts": [{{"destination": "/h", "source": "/a", "options": ["rbind"{option}]}},"#);
        let linux = if root.is_empty() {
            "\"linux\": {".to_owned()
        } else {
            format!("\"linux\": {{\"rootfsPropagation\": \"{root}\",")
        };
        let text = SOUND.replacen("\"mounts\": [", &mount, 1).replacen("\"linux\": {", &linux, 1);
        world_by(&text, runtime, Host::unseen()).subjects.remove(0).confinement.mounts[0].propagation.value
    };
    use Propagation::{Private, Shared, Slave};
    // Measured, but for the types that a bind takes from a mount of the host.
    for (root, option, runc, crun) in [
        ("", "", Some(Slave), Some(Private)),
        ("", "rshared", Some(Slave), Some(Private)),
        ("", "rprivate", Some(Private), Some(Private)),
        ("rshared", "rshared", Some(Shared), Some(Shared)),
        ("rshared", "rprivate", Some(Private), Some(Private)),
        ("rshared", "slave", Some(Slave), Some(Slave)),
        ("rslave", "rshared", Some(Slave), Some(Slave)),
        ("rprivate", "shared", Some(Slave), Some(Private)),
        ("rprivate", "", Some(Private), Some(Private)),
        ("shared", "rshared", None, None),
        ("shared", "rprivate", Some(Private), Some(Private)),
        ("shared", "", None, None),
        ("rshared", "", None, Some(Shared)),
    ] {
        assert_eq!(propagation(root, option, Runtime::Runc), runc, "runc {root} {option}");
        assert_eq!(propagation(root, option, Runtime::Crun), crun, "crun {root} {option}");
    }
}

/// Whether the last rule that names a device allows all of the access.
fn allows(devices: &confinement::Devices, kind: DeviceKind, major: u32, minor: u32) -> Option<bool> {
    let rules = devices.rules.get()?;
    let names = |rule: &&confinement::DeviceRule| {
        (rule.kind == DeviceKind::All || rule.kind == kind)
            && rule.major.is_none_or(|m| m == major)
            && rule.minor.is_none_or(|m| m == minor)
            && rule.access.write
    };
    rules.iter().rev().find(names).map(|rule| rule.allow)
}

#[test]
fn device_rules_are_what_the_runtime_makes_of_them() {
    let devices = |rules: &str, runtime: Runtime, version: u8| {
        let text = SOUND.replacen("[{\"allow\": false, \"access\": \"rwm\"}]", rules, 1);
        let mut host = Host::unseen();
        host.cgroup_version = Fact::known(version, Origin::measured("a test"));
        world_by(&text, runtime, host).subjects.remove(0).confinement.devices.clone()
    };
    use DeviceKind::{Block, Char};
    let deny = r#"[{"allow": false, "access": "rwm"}]"#;
    for version in [1, 2] {
        // runc refuses what nothing names, with rules and without.
        for rules in ["[]", deny, "null"] {
            let runc = devices(rules, Runtime::Runc, version);
            assert_eq!(allows(&runc, Block, 8, 0), Some(false), "{rules}");
            assert_eq!(allows(&runc, Char, 1, 3), Some(true), "{rules}");
            // TUN is on runc's own list, but for 1.2.0 to 1.2.3.
            assert_eq!(allows(&runc, Char, 10, 200), Some(true), "{rules}");
        }
        // crun without rules changes nothing.
        assert_eq!(allows(&devices("[]", Runtime::Crun, version), Block, 8, 0), Some(true));
        assert_eq!(allows(&devices(deny, Runtime::Crun, version), Block, 8, 0), Some(false));
        assert_eq!(allows(&devices(deny, Runtime::Crun, version), Char, 10, 200), Some(false));
        let all = r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "a", "access": "rwm"}]"#;
        for runtime in [Runtime::Runc, Runtime::Crun] {
            assert_eq!(allows(&devices(all, runtime.clone(), version), Block, 8, 0), Some(true));
            // The runtime's own list cannot be taken away.
            let null = r#"[{"allow": false, "access": "rwm"},
                {"allow": false, "type": "c", "major": 1, "minor": 3, "access": "rwm"}]"#;
            assert_eq!(allows(&devices(null, runtime, version), Char, 1, 3), Some(true));
        }
    }
    // Version 1 forgets a rule against part of an exception, version 2 does not.
    let part = r#"[{"allow": false, "access": "rwm"}, {"allow": true, "type": "c", "major": 10, "access": "rwm"},
        {"allow": false, "type": "c", "major": 10, "minor": 229, "access": "rwm"}]"#;
    assert_eq!(allows(&devices(part, Runtime::Crun, 1), Char, 10, 229), Some(true));
    assert_eq!(allows(&devices(part, Runtime::Crun, 2), Char, 10, 229), Some(false));
    // One rule that allows: on version 1 crun leaves the rest as it was, on version 2 its program refuses it.
    let one = r#"[{"allow": true, "type": "b", "major": 7, "minor": 0, "access": "rw"}]"#;
    assert_eq!(allows(&devices(one, Runtime::Crun, 1), Block, 8, 0), Some(true));
    assert_eq!(allows(&devices(one, Runtime::Crun, 2), Block, 8, 0), Some(false));
    assert_eq!(allows(&devices(one, Runtime::Crun, 2), Block, 7, 0), Some(true));
}

#[test]
fn device_nodes_beyond_the_default_ones() {
    let c = changed(
        "\"linux\": {",
        r#""linux": {"devices": [
            {"path": "/dev/null", "type": "c", "major": 1, "minor": 3},
            {"path": "/dev/sda", "type": "b", "major": 8, "minor": 0, "fileMode": 432, "uid": 0, "gid": 6},
            {"path": "/dev/pipe", "type": "p"}],"#,
    );
    assert_eq!(c.devices.nodes.len(), 1);
    let node = c.devices.nodes[0].get().unwrap();
    assert_eq!((node.host.as_str(), node.major, node.mode), ("/dev/sda", Some(8), Some(0o660)));
}

#[test]
fn lsm_labels() {
    let c = changed("\"noNewPrivileges\"", "\"apparmorProfile\": \"docker-default\", \"noNewPrivileges\"");
    assert!(matches!(c.apparmor.get(), Some(AppArmor::Profile { template: AppArmorTemplate::Docker, .. })));
    assert_eq!(judged(SOUND).apparmor.value, Some(AppArmor::Unconfined));
    let label = "\"selinuxLabel\": \"system_u:system_r:container_t:s0:c1,c2\", \"noNewPrivileges\"";
    assert_eq!(changed("\"noNewPrivileges\"", label).selinux.value, None);
    let mut host = Host::unseen();
    host.lsms = Fact::known([Arc::from("selinux")].into(), Origin::measured("a test"));
    host.selinux_enforcing = Fact::known(true, Origin::measured("a test"));
    let text = SOUND.replacen("\"noNewPrivileges\"", label, 1);
    let world = world_by(&text, Runtime::Runc, host.clone());
    let confined = SeLinux::Confined { domain: "container_t".into() };
    assert_eq!(world.subjects[0].confinement.selinux.value, Some(confined));
    assert_eq!(
        world_by(SOUND, Runtime::Runc, host).subjects[0].confinement.selinux.value,
        Some(SeLinux::Unconfined)
    );
}

#[test]
fn what_is_missing_is_what_runc_does() {
    let c = judged(r#"{"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": "mount"}]}}"#);
    assert_eq!(c.identity.root.value, Some(true));
    assert_eq!(c.capabilities.bounding.value, Some(CapabilitySet::EMPTY));
    assert_eq!((c.seccomp.value, c.namespaces.pid.value), (Some(Seccomp::Disabled), Some(Namespace::Host)));
    assert_eq!(c.masked_paths.get().map(|p| p.len()), Some(0));
    assert_eq!((c.identity.no_new_privileges.value, c.read_only_rootfs.value), (Some(false), Some(false)));
    assert_eq!(c.network.attached.value, Some(true));
}

#[test]
fn other_fields() {
    let c = changed(
        "\"linux\": {",
        "\"linux\": {\"sysctl\": {\"net.ipv4.ip_forward\": \"1\"}, \"cgroupsPath\": \"/a/b\",",
    );
    assert_eq!(&*c.sysctls[0].0, "net.ipv4.ip_forward");
    assert_eq!(c.cgroup.parent.and_then(|p| p.value).as_deref(), Some("/a"));
    let c = changed("\"linux\": {", "\"linux\": {\"cgroupsPath\": \"user.slice:crun:x\",");
    assert_eq!(c.cgroup.parent.and_then(|p| p.value).as_deref(), Some("user.slice"));
    let c = changed("\"PATH=/bin\"", "\"PATH=/bin\", \"DOCKER_HOST=tcp://h:2375\"");
    assert_eq!(c.control_apis.len(), 1);
    let c = changed("\"memory\"", "\"cpu\": {\"quota\": 50000, \"period\": 100000}, \"memory\"");
    assert_eq!(c.limits.cpu.value, Some(Some(500)));
    let hooked =
        SOUND.replacen("\"hostname\"", "\"hooks\": {\"prestart\": [{\"path\": \"/x\"}]}, \"hostname\"", 1);
    let world = world(&hooked);
    assert_eq!(world.notes.len(), 1);
    assert_eq!(world.subjects[0].confinement.network.attached.value, None);
}

#[test]
fn wrong_types_are_problems_and_unknown_facts() {
    for (from, to) in [
        ("\"noNewPrivileges\": true", "\"noNewPrivileges\": \"yes\""),
        ("\"uid\": 0", "\"uid\": \"root\""),
        ("\"uid\": 0", "\"uid\": -1"),
        ("[20, 10, 10]", "[\"x\"]"),
        ("\"bounding\": [\"CAP_CHOWN\", \"CAP_KILL\"]", "\"bounding\": {}"),
        ("\"readonly\": true", "\"readonly\": 1"),
        ("\"maskedPaths\": [\"/proc/kcore\"]", "\"maskedPaths\": \"/proc/kcore\""),
        ("{\"type\": \"pid\"}", "{\"type\": 5}"),
        ("{\"type\": \"pid\"}", "\"pid\""),
        ("{\"allow\": false, \"access\": \"rwm\"}", "{\"allow\": \"no\", \"access\": \"rwm\"}"),
        (
            "{\"allow\": false, \"access\": \"rwm\"}",
            "{\"allow\": false, \"type\": \"c\", \"access\": \"xyz\"}",
        ),
        ("\"SCMP_ACT_ERRNO\"", "\"SCMP_ACT_WAT\""),
        ("\"options\": [\"ro\"]", "\"options\": \"ro\""),
        ("\"mounts\": [", "\"mounts\": [5,"),
        ("\"limit\": 1048576", "\"limit\": \"1m\""),
    ] {
        assert!(SOUND.contains(from), "{from}");
        let world = world(&SOUND.replacen(from, to, 1));
        assert_eq!(world.subjects.len(), 1, "{to}");
        assert!(!world.problems.is_empty(), "{to}");
        assert!(world.problems.iter().all(|p| p.line.is_some()), "{to}");
        assert!(
            *world.subjects[0].confinement != judged(SOUND),
            "{to}: the wrong value must not read as the right one"
        );
    }
    for text in ["[]", "{}", "null", "{\"ociVersion\": 1, \"process\": [], \"linux\": 3, \"mounts\": {}}"] {
        world(text);
    }
}

#[test]
fn a_configuration_is_recognised_by_its_keys() {
    let root = |text: &str| parse_json(text, &"c".into(), &document::Limits::default()).unwrap().root;
    assert!(recognise(&root(SOUND)));
    assert!(!recognise(&root(r#"{"ociVersion": "1.0.2"}"#)) && !recognise(&root("[]")));
    assert!(!recognise(&root(r#"{"process": {}, "root": {}}"#)));
}

#[test]
fn no_change_of_one_value_panics() {
    let places: Vec<usize> =
        SOUND.char_indices().filter(|(_, c)| "[{\"0t".contains(*c)).map(|(at, _)| at).collect();
    for at in places {
        for other in ["null", "[]", "{}", "1e400", "\"\\u0000\"", "-0", "{\"path\": {}}"] {
            let text = format!("{}{other}{}", &SOUND[..at], &SOUND[at + 1..]);
            let path: Arc<str> = "c.json".into();
            if let Ok(document) = parse_json(&text, &path, &document::Limits::default()) {
                read(&document, &Context::assumed());
            }
        }
    }
}

#[test]
fn a_file_that_an_engine_makes_for_the_container_shows_no_more_of_the_engines_state() {
    let id = "66f77c1c2ebef3a583786592adb05546ecf92e0e0650baa2cdc7ea8428d6e522";
    let bound = |target: &str, source: &str| {
        let source = source.replace("ID", id);
        let mount = format!(
            r#"{{"destination": "{target}", "type": "bind", "source": "{source}", "options": ["rbind"]}}"#
        );
        let confinement = with_mount(&mount).confinement;
        confinement.mounts.iter().any(|m| m.host_path().is_some())
    };
    for (target, source) in [
        ("/etc/hosts", "/var/lib/docker/containers/ID/hosts"),
        ("/dev/shm", "/var/lib/docker/containers/ID/mounts/shm"),
        ("/etc/hostname", "/run/containers/storage/overlay-containers/ID/userdata/hostname"),
        ("/run/.containerenv", "/run/containers/storage/vfs-containers/ID/userdata/.containerenv"),
        ("/etc/resolv.conf", "/var/lib/containerd/io.containerd.grpc.v1.cri/sandboxes/ID/resolv.conf"),
        ("/etc/hosts", "/var/lib/kubelet/pods/1b4e28ba-2fa1-11d2-883f-0016d3cca427/etc-hosts"),
    ] {
        assert!(!bound(target, source), "{source}");
    }
    for (target, source) in [
        // The folder with all that the engine knows of it, and what only looks like the engine's.
        ("/etc/hosts", "/var/lib/docker/containers/ID"),
        ("/etc/hosts", "/var/lib/docker/containers/ID/config.v2.json"),
        ("/state", "/var/lib/docker/containers/ID/hosts"),
        ("/etc/hosts", "/var/lib/docker/containers/ID/../hosts"),
        ("/etc/hosts", "/home/me/containers/ID/hosts"),
        ("/etc/hosts", "/var/lib/docker/containers/web/hosts"),
        ("/etc/hosts", "/var/lib/docker/own/ID/hosts"),
    ] {
        assert!(bound(target, source), "{source}");
    }
}

#[test]
fn dockers_name_for_the_hosts_network_is_the_hosts_network() {
    for path in ["/var/run/docker/netns/default", "/run/docker/netns/default"] {
        let joined = format!(r#"{{"type": "network", "path": "{path}"}}"#);
        let c = changed(r#"{"type": "network"}"#, &joined);
        assert_eq!(c.namespaces.net.get(), Some(&Namespace::Host), "{path}");
    }
    let other = changed(r#"{"type": "network"}"#, r#"{"type": "network", "path": "/run/docker/netns/1"}"#);
    assert!(matches!(other.namespaces.net.get(), Some(Namespace::Container(_))));
}
