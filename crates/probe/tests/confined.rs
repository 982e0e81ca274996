//! The measurement of confined processes on this machine: another uid, namespaces, mounts.

mod common;

use std::os::unix::net::UnixListener;

use common::{Room, is_root, measure, skipped};
use confinement::{Capability, CapabilitySet};
use probe::measurement::{Answer, Visibility};
use probe::{Measurement, Options, Reading};

fn interface<'a>(m: &'a Measurement, path: &str) -> &'a probe::measurement::KernelInterface {
    m.kernel_interfaces.iter().find(|i| i.path == path).unwrap()
}
fn masked(m: &Measurement, path: &str) -> Visibility {
    m.masked_paths.iter().find(|p| p.path == path).unwrap().state
}
fn shown(m: &Measurement, capability: &str, over: &str) -> Vec<Reading> {
    let all = m.capabilities.get(capability).into_iter().flatten();
    all.filter(|s| s.over == over).map(|s| s.reads_as).collect()
}

#[test]
fn a_facts_file_is_read_back_as_it_was_written() {
    let measured = probe::measure(&Options { active: false });
    assert_eq!(measured.schema, "stockade.facts/1");
    let text = serde_json::to_string(&measured).unwrap();
    assert_eq!(serde_json::from_str::<Measurement>(&text).unwrap(), measured);
}

#[test]
fn a_facts_file_of_another_version_is_read_as_far_as_it_is_known() {
    let text = r#"{"schema": "stockade.facts/1", "new": {"a": 1}, "process": {"uids": [7], "later": true},
        "system_calls": {"mount": {"reads_as": "a word of later", "why": "x"}}, "masked_paths": [{}]}"#;
    let read: Measurement = serde_json::from_str(text).unwrap();
    assert_eq!(read.process.uids, [7]);
    assert_eq!(read.system_calls["mount"].reads_as, Reading::Unmeasured);
    assert_eq!(serde_json::from_str::<Measurement>("{}").unwrap(), Measurement::default());
}

#[test]
fn every_probe_is_answered_without_a_filter() {
    let measured = measure(&mut Room::new("plain").command());
    if measured.process.seccomp_mode != Some(0) {
        return skipped("a filter is in force here");
    }
    for probe in &measured.probes {
        assert!(matches!(probe.reads_as, Reading::Permitted | Reading::Absent), "{probe:?}");
        assert!(probe.answer.killed.is_none(), "{probe:?}");
    }
    assert!(measured.probes.len() >= 50);
    assert_eq!(measured.notes, Vec::<String>::new());
}

#[test]
fn another_uid_has_no_capability_and_cannot_write_sysctls() {
    if !is_root() {
        return skipped("needs root");
    }
    let room = Room::new("uid");
    let measured =
        measure(room.under(&["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]).arg("--active"));
    assert_eq!(measured.process.uids, [65534; 4]);
    assert_eq!(measured.process.capabilities.effective, Some(CapabilitySet::EMPTY));
    assert_ne!(measured.process.capabilities.bounding, Some(CapabilitySet::EMPTY));
    let core_pattern = interface(&measured, "/proc/sys/kernel/core_pattern");
    assert!(core_pattern.write_access.is_error("EACCES"), "{core_pattern:?}");
    assert!(core_pattern.write_open.as_ref().unwrap().is_error("EACCES"));
    assert_eq!(core_pattern.reads_as, Reading::Blocked);
    assert_eq!(shown(&measured, "SYS_ADMIN", "owner of uts"), [Reading::Blocked; 2]);
    assert_eq!(shown(&measured, "SYS_TIME", "initial"), [Reading::Blocked]);
    assert_eq!(shown(&measured, "DAC_READ_SEARCH", "initial"), [Reading::Blocked]);
    // Without a filter seccomp permits what the capability check refuses.
    assert_eq!(measured.system_calls["sethostname"].reads_as, Reading::Permitted);
}

#[test]
fn root_without_capabilities_still_writes_sysctls() {
    if !is_root() {
        return skipped("needs root");
    }
    let room = Room::new("drop");
    let measured = measure(
        room.under(&["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--ambient-caps=-all"])
            .arg("--active"),
    );
    assert_eq!(measured.process.capabilities.effective, Some(CapabilitySet::EMPTY));
    assert_eq!(measured.process.capabilities.bounding, Some(CapabilitySet::EMPTY));
    // test_perm() of fs/proc/proc_sysctl.c asks for the uid and for no capability.
    assert_eq!(interface(&measured, "/proc/sys/kernel/core_pattern").reads_as, Reading::Permitted);
    assert_eq!(shown(&measured, "SYS_ADMIN", "owner of mnt"), [Reading::Blocked; 5]);
}

#[test]
fn a_user_namespace_owns_only_the_namespaces_made_with_it() {
    if !is_root() {
        return skipped("needs root, as unprivileged user namespaces may be off");
    }
    let room = Room::new("userns");
    let measured = measure(&mut room.under(&["unshare", "--user", "--map-root-user", "--uts"]));
    let namespace = |kind: &str| &measured.namespaces[kind];
    assert_eq!(namespace("user").initial, Some(false));
    assert_eq!(namespace("uts").initial, Some(false));
    assert_eq!(namespace("uts").owned_by_own_user_namespace, Some(true));
    assert_eq!(namespace("pid").initial, Some(true));
    assert_eq!(namespace("pid").owned_by_own_user_namespace, Some(false));
    assert_eq!(measured.id_maps.uid.len(), 1);
    assert_eq!(measured.id_maps.uid[0].length, 1);
    assert_eq!(measured.id_maps.setgroups.as_deref(), Some("deny"));
    assert!(measured.process.capabilities.effective.unwrap().has(Capability::SYS_ADMIN));
    assert_eq!(shown(&measured, "SYS_ADMIN", "owner of uts"), [Reading::Permitted; 2]);
    assert_eq!(shown(&measured, "SYS_ADMIN", "owner of mnt"), [Reading::Blocked; 5]);
    assert_eq!(shown(&measured, "SYS_BOOT", "owner of pid"), [Reading::Blocked]);
    assert_eq!(shown(&measured, "SYS_TIME", "initial"), [Reading::Blocked]);
}

#[test]
fn every_kind_of_namespace_is_told_from_the_first_one() {
    if !is_root() {
        return skipped("needs root");
    }
    let kinds =
        ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--time", "--fork", "--mount-proc"];
    let room = Room::new("namespaces");
    let words: Vec<&str> = std::iter::once("unshare").chain(kinds).collect();
    let measured = measure(&mut room.under(&words));
    let release: Vec<u32> =
        measured.kernel.release.split(['.', '-']).take(2).filter_map(|n| n.parse().ok()).collect();
    for (kind, namespace) in &measured.namespaces {
        let fixed = !matches!(kind.as_str(), "mnt" | "net") || release >= vec![6, 18];
        let expected = fixed.then_some(kind == "user");
        assert_eq!(namespace.initial, expected, "{kind}");
    }
    assert_eq!(measured.processes.kernel_threads_visible, Some(false));
    assert_eq!(measured.processes.visible, Some(1));
    assert_eq!(measured.process.pid, Some(1));
}

#[test]
fn masked_and_read_only_paths_are_seen_as_such() {
    if !is_root() {
        return skipped("needs root");
    }
    let room = Room::new("masks");
    let script = "mount --bind /dev/null /proc/timer_list
        mount -t tmpfs -o ro none /proc/acpi
        mount --bind /proc/sys /proc/sys
        mount -o remount,ro,bind /proc/sys";
    let measured = measure(room.after(script).arg("--active"));
    assert_eq!(masked(&measured, "/proc/timer_list"), Visibility::Masked);
    assert_eq!(masked(&measured, "/proc/acpi"), Visibility::Masked);
    assert_eq!(masked(&measured, "/proc/interrupts"), Visibility::Visible);
    let core_pattern = interface(&measured, "/proc/sys/kernel/core_pattern");
    assert!(core_pattern.write_access.is_error("EROFS"), "{core_pattern:?}");
    assert!(core_pattern.write_open.as_ref().unwrap().is_error("EROFS"));
    assert_eq!(core_pattern.read_only, Some(true));
    let sys = measured.mounts.iter().find(|m| m.mount_point == "/proc/sys").unwrap();
    assert_eq!((sys.root.as_str(), sys.file_system.as_str()), ("/sys", "proc"));
    assert!(sys.options.iter().any(|o| o == "ro") && sys.shared.is_none());
}

#[test]
fn without_procfs_and_sysfs_the_calls_tell_the_credentials() {
    if !is_root() {
        return skipped("needs root");
    }
    let room = Room::new("noproc");
    let measured = measure(&mut room.after("mount -t tmpfs none /sys\nmount -t tmpfs none /proc"));
    let process = &measured.process;
    assert_eq!(process.uids, [0; 3]);
    assert_eq!(process.seccomp_mode, Some(0));
    assert_eq!(process.no_new_privs, Some(false));
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let bounding = status.lines().find_map(|l| l.strip_prefix("CapBnd:\t")).unwrap();
    let bounding = u64::from_str_radix(bounding, 16).unwrap();
    assert_eq!(process.capabilities.bounding.map(|s| s.0), Some(bounding));
    assert_eq!(process.capabilities.effective.map(|s| s.0), Some(bounding));
    assert_eq!(process.capabilities.ambient, Some(CapabilitySet::EMPTY));
    assert_eq!(measured.system_calls["mount"].reads_as, Reading::Permitted);
    assert_eq!(measured.notes.len(), 2, "{:?}", measured.notes);
    assert_eq!(measured.security_modules.landlock_abi.skipped, None);
}

#[test]
fn a_socket_mounted_read_only_is_found_and_connected_to_by_whom_its_mode_lets() {
    if !is_root() {
        return skipped("needs root");
    }
    let room = Room::new("socket");
    let socket = room.path.join("listening");
    let _listener = UnixListener::bind(&socket).unwrap();
    std::os::unix::fs::chown(&socket, Some(0), Some(4242)).unwrap();
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o660)).unwrap();
    let target = room.path.join("docker.sock");
    std::fs::write(&target, "").unwrap();
    let (socket, target) = (socket.display(), target.display());
    let script = format!("mount --bind {socket} {target}\nmount -o remount,ro,bind {target}");
    let found = |m: &Measurement| m.sockets.iter().find(|s| s.path == target.to_string()).unwrap().clone();

    let root = found(&measure(room.after(&script).arg("--active")));
    assert_eq!((root.serves.as_deref(), root.mode, root.gid), (Some("docker"), 0o660, 4242));
    assert_eq!(root.write_access, Answer { value: Some(0), ..Answer::default() });
    assert_eq!((root.connect.unwrap().value, root.reads_as), (Some(0), Reading::Permitted));

    let as_nobody = |groups: &str| {
        let words = format!(
            "exec setpriv --reuid=65534 --regid=65534 {groups} {} --active",
            room.program().display()
        );
        found(&measure(&mut room.after(&format!("{script}\n{words}"))))
    };
    let nobody = as_nobody("--clear-groups");
    assert!(nobody.connect.unwrap().is_error("EACCES"));
    assert_eq!(nobody.reads_as, Reading::Blocked);
    let member = as_nobody("--groups=4242");
    assert_eq!((member.connect.unwrap().value, member.reads_as), (Some(0), Reading::Permitted));
}
