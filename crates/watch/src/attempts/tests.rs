//! The table is complete, its cases hold, and what ordinary software does stays quiet.

use std::collections::BTreeSet;

use sensor::event::{ContainerKey, Namespaces};
use serde_json::json;
use techniques::technique::Catalogue;

use super::case::{self, Expected};
use super::*;

/// What each detector says of a recorded event.
fn seen_by(event: &Event, context: &dyn Context) -> Vec<Attempt> {
    let mut found = Vec::new();
    let index = Index::new(detector::all());
    look(&index, event, context, &mut |attempt| found.push(attempt));
    found
}

fn attempts(written: serde_json::Value) -> Vec<Attempt> {
    let case = case::read(&written).unwrap_or_else(|error| panic!("{written}: {error}"));
    seen_by(&case.event, &case.context)
}

fn ids(attempts: &[Attempt]) -> Vec<&str> {
    attempts.iter().map(|a| a.detector.id.as_str()).collect()
}

fn held(_: &str) -> Exposure {
    Exposure::Held { barriers: vec!["mount namespace".into()], depth: 1 }
}

#[test]
fn every_case_of_every_detector_holds() {
    let index = Index::new(detector::all());
    let mut wrong = Vec::new();
    for detector in detector::all() {
        for (number, written) in detector.cases.iter().enumerate() {
            let case = match case::read(written) {
                Ok(case) => case,
                Err(error) => {
                    wrong.push(format!("{} case {}: {error}", detector.id, number + 1));
                    continue;
                }
            };
            let mut seen = false;
            look(&index, &case.event, &case.context, &mut |a| seen |= a.detector.id == detector.id);
            if seen != (case.is == Expected::Seen) {
                wrong.push(format!("{} case {}: {written} is not {:?}", detector.id, number + 1, case.is));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_detector_has_a_case_that_is_seen_and_a_neighbour_that_is_not() {
    for detector in detector::all() {
        if detector.when.iter().all(|look| matches!(look, Look::Check(_))) {
            continue;
        }
        let cases: Vec<Expected> =
            detector.cases.iter().filter_map(|c| case::read(c).ok()).map(|c| c.is).collect();
        assert!(cases.contains(&Expected::Seen) && cases.contains(&Expected::Quiet), "{}", detector.id);
    }
}

#[test]
fn every_technique_with_a_sensor_line_has_a_detector_or_a_reason() {
    let watched: BTreeSet<&str> =
        detector::all().iter().flat_map(|d| &d.techniques).map(String::as_str).collect();
    for technique in Catalogue::get().techniques.iter().filter(|t| !t.id.starts_with("CVE-")) {
        let reason = rows::not_watched().contains_key(technique.id);
        assert!(watched.contains(technique.id) != reason, "{}: one of the two", technique.id);
    }
    for id in watched.iter().copied().chain(rows::not_watched().keys().map(String::as_str)) {
        let flaw = techniques::flaw::load().iter().any(|f| f.id == id);
        assert!(flaw || Catalogue::get().technique(id).is_some(), "`{id}` is no technique");
    }
}

/// The kinds of attempts that defenders know. One that leaves the table has to leave this list by hand.
const ROWS: &str = "accounts binfmt-misc bpf-program capable-start cgroup-control change-of-root cloud-metadata
    core-pattern debugfs-tool dirty-pipe engine-socket graphics-hooks host-disk host-hooks host-namespace host-path
    io-uring kernel-file-system-mounts kernel-hooks kernel-memory kernel-module kernel-table-hooks kexec
    leaked-descriptor loader modprobe-path mount-host-device nameless-executable new-executable new-mount-calls
    notify-on-release odd-stack other-engine-sockets other-process process-environment process-root release-agent
    runtime-binary sensitive-links service-account set-user-id socket-families sysrq uevent-helper unexplained-gain
    user-namespace userfaultfd";

#[test]
fn every_known_kind_of_attempt_has_a_detector_or_a_reason() {
    let rows: BTreeSet<&str> = rows::rows().keys().map(String::as_str).collect();
    assert_eq!(rows, ROWS.split_whitespace().collect());
    let covered: BTreeSet<&str> = detector::all().iter().flat_map(|d| &d.rows).map(String::as_str).collect();
    for (id, row) in rows::rows() {
        assert!(covered.contains(id.as_str()) != row.left_out.is_some(), "{id}: one of the two");
    }
    assert!(covered.is_subset(&rows), "{:?}", covered.difference(&rows));
}

#[test]
fn a_detector_without_a_technique_says_how_grave_it_is() {
    for d in detector::all() {
        assert!(d.catalogued().next().is_some() || d.severity.is_some(), "{}", d.id);
        assert!(d.at_most.is_none() || d.severity.is_none(), "{}", d.id);
    }
}

#[test]
fn the_sentence_says_who_what_and_what_the_kernel_answered() {
    let done = attempts(
        json!({"is": "seen", "open": {"file": {"system": "proc", "path": "/sys/kernel/core_pattern", "at": "/x/y"}, "flags": 1}}),
    );
    assert_eq!(
        done[0].summary(),
        "sh (101) opened core_pattern for writing, which names the program that the kernel runs for core dumps: \
         /x/y (/sys/kernel/core_pattern of proc)"
    );
    let refused = attempts(json!({"is": "seen", "result": "EPERM", "kexec": {"call": "kexec_load"}}));
    assert_eq!(
        refused[0].summary(),
        "sh (101) tried to load another kernel, or start it and was refused (EPERM): kexec_load(2)"
    );
    let asked = attempts(json!({"is": "seen", "result": "EACCES",
        "open": {"file": {}, "asked": {"text": "/proc/sysrq-trigger", "source": "user"}, "flags": 1}}));
    assert!(
        asked[0].summary().ends_with("/proc/sysrq-trigger (as the process said it)"),
        "{}",
        asked[0].summary()
    );
}

#[test]
fn every_verb_of_the_table_has_a_past() {
    const REGULAR: &str = "adjust attach change connect count enter load mount open reach reboot replace restart \
                           signal splice start trace unmount use";
    for d in detector::all() {
        let verb = d.tries.split(' ').next().unwrap_or_default();
        let known = detector::PAST.iter().any(|(v, _)| *v == verb) || REGULAR.split(' ').any(|v| v == verb);
        assert!(known, "{}: is `{}` right?", d.id, d.done());
    }
}

/// docs/detectors.md; `STOCKADE_WRITE_DOCS=1 cargo test -p watch page` writes it anew, as `make docs` does.
#[test]
fn the_page_in_docs_is_what_the_tables_say() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/detectors.md");
    let page = format!(
        "# Detectors\n\n<!-- Generated by `make docs`; edit the files it is made from. -->\n\n{}",
        page::detectors()
    );
    if std::env::var_os("STOCKADE_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).expect("docs can be written");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == page, "docs/detectors.md is stale: run `make docs`");
}

#[test]
fn the_table_of_severities_in_docs_is_the_one_that_is_used() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/alerts.md");
    let written = std::fs::read_to_string(path).expect("docs/alerts.md is there");
    assert!(written.contains(&severity::page_table()), "{}", severity::page_table());
}

#[test]
fn every_name_of_an_attempt_to_provoke_is_one() {
    for d in detector::all() {
        if let Some(name) = &d.provoke {
            assert!(provoke::find(name).is_some(), "{}: `{name}`", d.id);
        }
    }
}

/// What can be triggered harmlessly, and what is seen by others than detectors: rules, the engine's trail.
#[test]
fn every_technique_that_an_attempt_to_provoke_names_is_watched_by_a_detector() {
    let watched: BTreeSet<&str> =
        detector::all().iter().flat_map(|d| &d.techniques).map(String::as_str).collect();
    for attempt in provoke::ATTEMPTS.iter().flat_map(|family| family.iter()) {
        for technique in attempt.techniques {
            assert!(watched.contains(technique), "{}: {technique}", attempt.name);
        }
    }
}

// What hides an attempt from rules that match names and numbers.

/// Each is the write of core_pattern, hidden.
#[test]
fn an_attempt_is_seen_however_it_is_hidden() {
    let file = json!({"system": "proc", "path": "/sys/kernel/core_pattern", "at": "/tmp/innocent"});
    let open = |more: serde_json::Value| {
        let mut case = json!({"is": "seen", "open": {"file": file.clone(), "flags": 1}});
        for (key, value) in more.as_object().into_iter().flatten() {
            case[key.as_str()] = value.clone();
        }
        case
    };
    let ways = [
        ("32-bit call", open(json!({"entry": {"compat": 295}}))),
        ("io_uring", open(json!({"entry": {"io-uring": 18}, "actor": {"io_worker": true}}))),
        ("renamed program", open(json!({"actor": {"name": "nginx"}}))),
        ("openat2", open(json!({"entry": {"system-call": 437}}))),
        (
            "symbolic link",
            json!({"is": "seen", "open": {"file": file.clone(), "asked": {"text": "/tmp/link", "source": "user"}, "flags": 1}}),
        ),
        (
            "/proc/self/root",
            json!({"is": "seen", "open": {"file": file.clone(), "asked": {"text": "/proc/self/root/proc/sys/kernel/core_pattern", "source": "user"}, "flags": 1}}),
        ),
        (
            "relative to a folder's descriptor",
            json!({"is": "seen", "open": {"file": file.clone(), "asked": {"text": "core_pattern", "source": "user"}, "flags": 1}}),
        ),
        ("passed descriptor", json!({"is": "seen", "received-file": {"file": file.clone()}})),
        ("descriptor from before", json!({"is": "seen", "write": {"file": file.clone()}})),
        ("splice", json!({"is": "seen", "splice": {"call": "splice", "to": file.clone()}})),
        ("truncate", json!({"is": "seen", "truncate": {"file": file.clone()}})),
        ("by handle", json!({"is": "seen", "open-by-handle": {"file": file.clone(), "flags": 1}})),
    ];
    for (way, case) in ways {
        let found = attempts(case);
        assert!(ids(&found).contains(&"core-pattern"), "{way}: {:?}", ids(&found));
    }
}

#[test]
fn a_program_from_memory_or_with_another_name_is_judged_by_what_it_does() {
    for executable in [
        json!({"system": "tmpfs", "nameless": true}),
        json!({"system": "overlay", "path": "/usr/sbin/nginx", "upper_layer": true}),
    ] {
        let found = attempts(
            json!({"is": "seen", "actor": {"name": "nginx"}, "knows": {"executable": executable},
            "mount": {"source": "/dev/sda1", "target": "/mnt", "file_system": "ext4", "source_device": [8, 1]}}),
        );
        assert!(ids(&found).contains(&"mount-disk"));
    }
}

#[test]
fn a_hard_link_to_a_file_of_the_host_is_that_file() {
    let found = attempts(
        json!({"is": "seen", "open": {"file": {"host": "/etc/shadow", "at": "/data/innocent"}, "flags": 0}}),
    );
    assert!(ids(&found).contains(&"host-system-files"), "{:?}", ids(&found));
}

#[test]
fn a_device_is_its_numbers_in_the_upper_layer_too() {
    let found = attempts(
        json!({"is": "seen", "open": {"file": {"system": "overlay", "path": "/tmp/innocent", "type": "block", "device": [8, 0], "upper_layer": true}, "flags": 2}}),
    );
    assert!(ids(&found).contains(&"write-disk"), "{:?}", ids(&found));
}

/// A sensor that could not walk the dentries tells no path within the file system.
#[test]
fn a_file_whose_path_within_its_file_system_is_not_told_is_known_by_the_usual_place() {
    for (system, path, flags, detector) in [
        ("proc", "/proc/sys/kernel/core_pattern", 1, "core-pattern"),
        ("proc", "/host/proc/sys/vm/panic_on_oom", 1, "kernel-setting"),
        ("cgroup2", "/sys/fs/cgroup/x/cgroup.procs", 1, "other-cgroup"),
        ("overlay", "/etc/sudoers.d/x", 1, "accounts"),
        ("tracefs", "/sys/kernel/tracing/kprobe_events", 1, "debug-file-system"),
    ] {
        let found =
            attempts(json!({"is": "seen", "open": {"file": {"system": system, "at": path}, "flags": flags}}));
        assert!(ids(&found).contains(&detector), "{path}: {:?}", ids(&found));
    }
    let found = attempts(
        json!({"is": "quiet", "open": {"file": {"system": "overlay", "at": "/srv/etc/passwd"}, "flags": 1}}),
    );
    assert!(found.is_empty(), "{:?}", ids(&found));
}

// What ordinary software does, in a sound container.

/// Each is a step that a sound workload was seen to take.
fn ordinary() -> Vec<(&'static str, serde_json::Value)> {
    let overlay = |path: &str, flags: u64| json!({"is": "quiet", "open": {"file": {"system": "overlay", "path": path}, "flags": flags}});
    let proc = |path: &str| json!({"is": "quiet", "open": {"file": {"system": "proc", "path": path, "process": "self"}, "flags": 0}});
    vec![
        (
            "ld.so: no preload",
            json!({"is": "quiet", "result": "ENOENT", "open": {"file": {}, "asked": "/etc/ld.so.preload", "flags": 0}}),
        ),
        ("ld.so: a library", overlay("/usr/lib/x86_64-linux-gnu/libc.so.6", 0)),
        ("nginx: its log", overlay("/var/log/nginx/access.log", 1025)),
        (
            "nginx: sendfile",
            json!({"is": "quiet", "splice": {"call": "sendfile", "from": {"system": "overlay", "path": "/usr/share/nginx/html/index.html"}}}),
        ),
        (
            "nginx: user of its workers",
            json!({"is": "quiet", "setuid": {"call": "setuid", "ids": [101, 0, 0]}}),
        ),
        ("redis: overcommit", proc("/sys/vm/overcommit_memory")),
        (
            "redis: huge pages",
            json!({"is": "quiet", "open": {"file": {"system": "sysfs", "path": "/kernel/mm/transparent_hugepage/enabled"}, "flags": 0}}),
        ),
        (
            "redis: its volume",
            json!({"is": "quiet", "knows": {"shown-by": "/var/lib/docker/volumes/v/_data"}, "open": {"file": {"host": "/var/lib/docker/volumes/v/_data/dump.rdb", "at": "/data/dump.rdb"}, "flags": 66}}),
        ),
        (
            "postgres: shared memory",
            json!({"is": "quiet", "rare-call": {"call": "shmget", "arguments": [0, 56, 0]}}),
        ),
        (
            "postgres: POSIX shared memory",
            json!({"is": "quiet", "open": {"file": {"system": "tmpfs", "path": "/PostgreSQL.1", "at": "/dev/shm/PostgreSQL.1"}, "flags": 66}}),
        ),
        (
            "postgres: out-of-memory score",
            json!({"is": "quiet", "open": {"file": {"system": "proc", "path": "/101/oom_score_adj", "process": "own"}, "flags": 1}}),
        ),
        ("postgres: signal to a worker", json!({"is": "quiet", "kill": {"target": "own", "signal": 10}})),
        (
            "gosu",
            json!({"is": "quiet", "actor": {"credentials": {"euid": 999, "effective": 0}}, "execve": {"file": {"system": "overlay", "path": "/usr/local/bin/postgres"}}}),
        ),
        (
            "apt: accounts",
            json!({"is": "quiet", "rename": {"from": "/etc/passwd+", "to": "/etc/passwd", "file": {"system": "overlay", "path": "/etc/passwd"}}}),
        ),
        (
            "apt: a set-user-ID program",
            json!({"is": "quiet", "chmod": {"file": {"system": "overlay", "path": "/usr/bin/su"}, "mode": 2541}}),
        ),
        (
            "apt: file capabilities",
            json!({"is": "quiet", "setxattr": {"file": {"system": "overlay", "path": "/usr/bin/ping"}, "name": "security.capability"}}),
        ),
        (
            "apt: the C library",
            json!({"is": "quiet", "rename": {"from": "/lib64/ld.dpkg-new", "to": "/lib64/ld-linux-x86-64.so.2", "file": {"system": "overlay", "path": "/usr/lib64/ld-linux-x86-64.so.2"}}}),
        ),
        (
            "apt: what it installed",
            json!({"is": "quiet", "execve": {"file": {"system": "overlay", "path": "/usr/bin/curl", "upper_layer": true}}}),
        ),
        (
            "apt: no systemd",
            json!({"is": "quiet", "result": "ENOENT", "connect": {"address": {"unix": {"path": {"text": "/run/systemd/private", "source": "user"}}}}}),
        ),
        (
            "apt: no system bus",
            json!({"is": "quiet", "result": "ENOENT", "connect": {"address": {"unix": {"path": {"text": "/var/run/dbus/system_bus_socket", "source": "user"}}}}}),
        ),
        ("apt: chroot of a script", json!({"is": "quiet", "chroot": {"path": "/"}})),
        (
            "systemd: its cgroups",
            json!({"is": "quiet", "knows": {"cgroup": "/docker/own"}, "open": {"file": {"system": "cgroup2", "path": "/docker/own/system.slice/cgroup.procs"}, "flags": 1}}),
        ),
        (
            "systemd: tmpfs",
            json!({"is": "quiet", "result": "EPERM", "mount": {"source": "tmpfs", "target": "/run", "file_system": "tmpfs"}}),
        ),
        (
            "systemd: mounts of a service",
            json!({"is": "quiet", "result": "EPERM", "unshare": {"flags": 131_072}}),
        ),
        ("systemd: name", json!({"is": "quiet", "set-name": {"call": "sethostname", "name": "x"}})),
        ("systemd: Ctrl-Alt-Delete", json!({"is": "quiet", "result": "EPERM", "reboot": {"command": 0}})),
        (
            "systemd: device filter",
            json!({"is": "quiet", "result": "EPERM", "bpf": {"command": 5, "program_type": 15}}),
        ),
        (
            "systemd: audit",
            json!({"is": "quiet", "result": "EPERM", "netlink": {"protocol": 9, "message": 1001}}),
        ),
        (
            "systemd: kernel log",
            json!({"is": "quiet", "result": "ENOENT", "open": {"file": {}, "asked": "/dev/kmsg", "flags": 0}}),
        ),
        (
            "systemd: keyring",
            json!({"is": "quiet", "result": "EPERM", "keyctl": {"call": "keyctl", "operation": 1}}),
        ),
        (
            "systemd: a setting, refused",
            json!({"is": "quiet", "result": "EROFS", "open": {"file": {}, "asked": "/proc/sys/kernel/core_uses_pid", "flags": 1}}),
        ),
        (
            "systemd: its bus",
            json!({"is": "quiet", "connect": {"address": {"unix": {"path": "/run/dbus/system_bus_socket"}}, "peer": "own"}}),
        ),
        (
            "systemd: its own namespace",
            json!({"is": "quiet", "open": {"file": {"system": "nsfs", "path": "mnt:[4026532001]", "inode": 4_026_532_001u64}, "flags": 0}}),
        ),
        ("ps: a process", proc("/101/cmdline")),
        (
            "ps: the environment of another",
            json!({"is": "quiet", "open": {"file": {"system": "proc", "path": "/102/environ", "process": "own"}, "flags": 0}}),
        ),
        ("gdb", json!({"is": "quiet", "ptrace": {"request": 16902, "target": "own"}})),
        (
            "a shell writes to /dev/stdout",
            json!({"is": "quiet", "open": {"file": {"system": "overlay", "path": "/a"}, "asked": {"text": "/proc/self/fd/1", "source": "user"}, "flags": 1}}),
        ),
        ("ps: memory of the machine", proc("/meminfo")),
        (
            "shell: a terminal",
            json!({"is": "quiet", "open": {"file": {"system": "tmpfs", "path": "/tty", "at": "/dev/tty", "type": "character", "device": [5, 0]}, "flags": 2}}),
        ),
        (
            "shell: /dev/null",
            json!({"is": "quiet", "open": {"file": {"system": "tmpfs", "path": "/null", "at": "/dev/null", "type": "character", "device": [1, 3]}, "flags": 1}}),
        ),
        (
            "sudo",
            json!({"is": "quiet", "actor": {"credentials": {"euid": 0, "effective": 2_818_844_155u64}}, "execve": {"file": {"system": "overlay", "path": "/usr/bin/sudo"}, "before": {"uid": 1000, "euid": 1000}}}),
        ),
        ("ping", json!({"is": "quiet", "socket": {"family": 2, "kind": 3, "protocol": 1}})),
        ("Node.js: io_uring", json!({"is": "quiet", "result": "EPERM", "io-uring-setup": {"entries": 64}})),
        ("runc: the container's first program", json!({"is": "quiet", "container-started": {}})),
        (
            "docker exec",
            json!({"is": "quiet", "execve": {"file": {"system": "overlay", "path": "/bin/sh"}, "entered": true, "before": {"effective": 2_199_023_255_551u64}}}),
        ),
        (
            "runc: its own set-up",
            json!({"is": "quiet", "by": "host", "mount": {"source": "proc", "target": "/proc", "file_system": "proc"}}),
        ),
        (
            "runc: memory it runs from",
            json!({"is": "quiet", "by": "host", "execve": {"file": {"system": "tmpfs", "path": "/memfd:runc_cloned", "nameless": true}}}),
        ),
        (
            "health check: curl",
            json!({"is": "quiet", "connect": {"family": 2, "address": {"internet": {"address": "127.0.0.1", "port": 80}}}}),
        ),
        (
            "resolver",
            json!({"is": "quiet", "knows": {"shown-by": "/var/lib/docker/containers/i/resolv.conf"}, "open": {"file": {"host": "/var/lib/docker/containers/i/resolv.conf", "at": "/etc/resolv.conf"}, "flags": 0}}),
        ),
        ("getaddrinfo", json!({"is": "quiet", "netlink": {"protocol": 0, "message": 22}})),
        ("JVM: its cgroup", proc("/101/cgroup")),
        (
            "a client of the cluster",
            json!({"is": "quiet", "open": {"file": {"system": "tmpfs", "path": "/..d/token", "at": "/run/secrets/kubernetes.io/serviceaccount/..d/token"}, "flags": 0}}),
        ),
    ]
}

#[test]
fn what_ordinary_software_does_in_a_sound_container_is_info_at_most() {
    for (what, written) in ordinary() {
        for attempt in attempts(written) {
            let joined = attempt.join(held);
            assert!(
                joined.severity <= Severity::Info,
                "{what}: {} by {}",
                attempt.summary(),
                attempt.detector.id
            );
        }
    }
}

#[test]
fn most_of_what_ordinary_software_does_is_no_attempt_at_all() {
    let all = ordinary();
    let silent = all.iter().filter(|(_, written)| attempts(written.clone()).is_empty()).count();
    assert!(silent * 2 > all.len(), "{silent} of {}", all.len());
}

// Joining.

fn one(written: serde_json::Value, id: &str) -> Attempt {
    let mut found = attempts(written);
    let place = found.iter().position(|a| a.detector.id == id).unwrap_or_else(|| panic!("no {id}"));
    found.swap_remove(place)
}

fn core_pattern(result: serde_json::Value) -> Attempt {
    one(
        json!({"is": "seen", "result": result, "open": {"file": {"system": "proc", "path": "/sys/kernel/core_pattern"}, "flags": 1}}),
        "core-pattern",
    )
}

#[test]
fn the_same_attempt_differs_by_exposure() {
    let open = core_pattern(json!(3)).join(|_| Exposure::Open);
    assert_eq!(
        (open.severity, open.technique.map(|t| t.id)),
        (Severity::Critical, Some("core-pattern-handler"))
    );
    let refused = core_pattern(json!("EROFS"));
    assert_eq!(refused.join(held).severity, Severity::Low);
    let advice = refused.advice(&refused.join(held));
    assert!(advice.iter().any(|a| a.contains("held by mount namespace")), "{advice:?}");
    let attempt = core_pattern(json!(3));
    let advice = attempt.advice(&open);
    assert!(
        advice[0].contains("Pause the container") && advice.iter().any(|a| a.contains("Drop CAP_SYS_ADMIN")),
        "{advice:?}"
    );
}

#[test]
fn of_several_techniques_the_one_that_makes_it_gravest_speaks() {
    let attempt = one(
        json!({"is": "seen", "mount": {"source": "proc", "target": "/p", "file_system": "proc"}}),
        "mount-proc",
    );
    let joined = attempt.join(|id| if id == "mount-kernel-file-systems" { Exposure::Open } else { held(id) });
    assert_eq!(joined.technique.map(|t| t.id), Some("core-pattern-handler"), "done on a held path to root");
    let joined = attempt.join(|id| if id == "modprobe-handler" { Exposure::Open } else { held(id) });
    assert_eq!(
        (joined.technique.map(|t| t.id), joined.severity),
        (Some("modprobe-handler"), Severity::Medium)
    );
}

#[test]
fn a_flaw_that_the_host_does_not_have_makes_a_splice_info() {
    let attempt = one(
        json!({"is": "seen", "splice": {"call": "splice", "from": {"system": "overlay", "path": "/a"}}}),
        "splice-into-pipe",
    );
    assert_eq!(attempt.join(|_| Exposure::DoesNotApply).severity, Severity::Info);
    assert_eq!(attempt.join(|_| Exposure::Open).severity, Severity::Medium);
}

#[test]
fn a_gain_that_nothing_explains_is_critical_whatever_the_exposure() {
    let attempt = one(json!({"is": "seen", "unexplained-gain": {"after": {"euid": 0}}}), "unexplained-gain");
    assert_eq!(attempt.join(held).severity, Severity::Critical);
}

// Folding.

#[test]
fn repeats_are_told_once_and_then_with_their_count() {
    let mut detectors = Detectors::new();
    let case = case::read(&json!({"is": "seen", "result": "EROFS", "open": {"file": {"system": "proc", "path": "/sys/kernel/core_pattern"}, "flags": 1}})).unwrap();
    let mut event = case.event;
    let first = detectors.see(&event, &case.context);
    assert_eq!((first.len(), first[0].count, first[0].again), (1, 1, false));
    for _ in 0..10 {
        event.time += 1_000_000;
        event.count = 2;
        assert!(detectors.see(&event, &case.context).is_empty());
    }
    assert!(detectors.settle(event.time).is_empty(), "the window is open");
    let rest = detectors.settle(event.time + WINDOW);
    assert_eq!((rest.len(), rest[0].count, rest[0].again), (1, 20, true));
    assert!(detectors.settle(event.time + 2 * WINDOW).is_empty());
}

#[test]
fn another_outcome_object_executable_or_container_is_no_repeat() {
    let mut detectors = Detectors::new();
    let case = case::read(&json!({"is": "seen", "result": "EROFS", "open": {"file": {"system": "proc", "path": "/sys/kernel/core_pattern"}, "flags": 1}})).unwrap();
    let base = case.event;
    assert_eq!(detectors.see(&base, &case.context).len(), 1);
    let mut done = base.clone();
    done.result = 3;
    let mut container = base.clone();
    container.actor.container = Some(ContainerKey(9));
    let mut executable = base.clone();
    executable.actor.executable.inode = 77;
    for (what, event) in [("done", done), ("container", container), ("executable", executable)] {
        assert_eq!(detectors.see(&event, &case.context).len(), 1, "{what}");
        assert_eq!(detectors.see(&event, &case.context).len(), 0, "{what} again");
    }
}

#[test]
fn a_flood_of_different_attempts_stays_bounded_and_loses_no_count() {
    let mut detectors = Detectors::new();
    let case = case::read(&json!({"is": "seen", "module": {"call": "finit_module", "name": "m"}})).unwrap();
    let mut event = case.event;
    let mut told = 0;
    const SENT: u64 = 20_000;
    for n in 0..SENT / 2 {
        event.time += 1;
        event.actor.executable.inode = n;
        for _ in 0..2 {
            told += detectors.see(&event, &case.context).iter().map(|a| a.count).sum::<u64>();
        }
    }
    told += detectors.settle(event.time + 2 * WINDOW).iter().map(|a| a.count).sum::<u64>();
    assert_eq!(told, SENT);
}

#[test]
fn what_a_check_found_becomes_an_attempt() {
    let mut detectors = Detectors::new();
    let observation =
        integrity::Observation { check: integrity::Check::HiddenModule, object: "module x".into() };
    let found = detectors.found(&observation, 5);
    assert_eq!(ids(&found), ["hidden-module"]);
    assert_eq!(found[0].join(held).severity, Severity::Critical);
    assert_eq!(found[0].summary(), "the kernel hid a kernel module: module x");
    for check in integrity::Check::ALL {
        let used =
            detector::all().iter().any(|d| d.when.iter().any(|l| matches!(l, Look::Check(c) if *c == check)));
        assert!(used, "{check:?}");
    }
}

struct NothingKnown(Namespaces);

impl Context for NothingKnown {
    fn host(&self) -> &Namespaces {
        &self.0
    }
}

/// But where knowledge would excuse it: a daemon of the container's own, its own cgroup, its own namespaces.
#[test]
fn what_is_not_known_is_no_attempt() {
    let nothing = NothingKnown(Namespaces::default());
    let excused = |look: &Look| match look {
        Look::Connect(_) => true,
        Look::Call(look) => look.target == Some(files::Whose::Own),
        Look::File(look) => look.own_cgroup == Some(false),
        _ => false,
    };
    for detector in detector::all() {
        if !detector.apart.is_empty() || detector.when.iter().any(excused) {
            continue;
        }
        for case in detector.cases.iter().filter_map(|written| case::read(written).ok()) {
            if case.is == Expected::Quiet {
                let found = seen_by(&case.event, &nothing);
                assert!(
                    !ids(&found).contains(&detector.id.as_str()),
                    "{}: {:?}",
                    detector.id,
                    case.event.what
                );
            }
        }
    }
}
