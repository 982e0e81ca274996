//! Every attempt that `provoke` can make, in containers of this test's own: the sensor tells each call, with the
//! container it was made in, and a detector of one of the attempt's techniques sees it. And the ways around a sensor
//! that looks at names and at one table of system calls.
//!
//! Runs in the virtual machine of scripts/watch-vm too, by an OCI runtime alone.

mod containers;
mod detected;
mod expected;
mod observed;
mod ordinary;

use containers::{Strength, runtime};
use detected::Detected;
use observed::observe;

/// Each call is told by an event; and each detector that names one of the attempts sees it, where `detected` is set.
fn all_are_told(strength: Strength, arguments: &[&str], at_least: usize, detected: bool) -> Option<Detected> {
    let seen = observe(runtime()?, strength, arguments)?;
    let made = &seen.observed.ran.made;
    assert!(made.len() >= at_least, "{arguments:?}: {} calls were made", made.len());
    let untold = seen.observed.untold();
    assert!(
        untold.is_empty(),
        "{strength:?}, {arguments:?}: {} of {} calls were not told:\n{}",
        untold.len(),
        made.len(),
        untold.join("\n")
    );
    let blind = if detected { seen.blind(concerns_weak) } else { Vec::new() };
    assert!(blind.is_empty(), "{} detectors are blind:\n{}", blind.len(), blind.join("\n"));
    Some(seen)
}

/// Detectors that need no namespace of the host.
fn concerns_weak(detector: &watch::attempts::detector::Detector) -> bool {
    detector.shares.is_empty() && !detector.looks_at_host()
}

const MOST: usize = 200;

#[test]
fn every_call_in_a_weak_container_is_told_with_its_container() {
    let _ = all_are_told(Strength::Weak, &["all"], MOST, true);
}

#[test]
fn every_call_in_a_sound_container_is_told_although_most_are_refused_by_its_filter() {
    let _ = all_are_told(Strength::Sound, &["all"], MOST, false);
}

/// Attempts that open a file, of different file systems.
const OPENS: &[&str] = &[
    "core-pattern",
    "core-pattern-elsewhere",
    "accounts",
    "process-memory",
    "service-account-token",
    "sysctl",
];
/// Those that are not refused. Of one that is, the base layer has what was asked for and nothing else; the objects
/// come with the hooks, where the kernel takes them.
const OPENS_PERMITTED: &[&str] =
    &["core-pattern-elsewhere", "accounts", "process-memory", "service-account-token"];

/// In a weak container: each call is told, and each detector that names one of the attempts sees it.
fn by(way: &str, attempts: &[&str], at_least: usize) {
    let arguments: Vec<&str> = ["--by", way].into_iter().chain(attempts.iter().copied()).collect();
    let Some(seen) = all_are_told(Strength::Weak, &arguments, at_least, true) else { return };
    if attempts.contains(&"core-pattern-elsewhere") {
        let by_whom = seen.seen.get("core-pattern-elsewhere");
        let told = seen.observed.told("core-pattern-elsewhere");
        assert!(by_whom.is_some_and(|ids| ids.contains("core-pattern")), "{way}: {by_whom:?}\n{told}");
    }
}

#[test]
fn attempts_of_a_renamed_program_are_told() {
    by("renamed", &["all"], MOST);
}

#[test]
fn opens_through_a_symbolic_link_are_told() {
    by("symlink", OPENS_PERMITTED, 5);
}

#[test]
fn opens_through_a_hard_link_are_told() {
    by("hard-link", &["accounts"], 2);
}

#[test]
fn opens_below_proc_self_root_are_told() {
    by("self-root", OPENS, 5);
}

#[test]
fn opens_with_parent_folders_in_the_path_are_told() {
    by("parent", OPENS, 5);
}

#[test]
fn opens_below_a_descriptor_that_was_passed_are_told() {
    by("passed-descriptor", OPENS, 5);
}

#[test]
fn opens_by_openat2_are_told() {
    by("openat2", OPENS, 5);
}

#[test]
fn opens_and_connections_by_io_uring_are_told() {
    by(
        "io-uring",
        &["core-pattern", "core-pattern-elsewhere", "accounts", "docker-socket", "cloud-metadata"],
        5,
    );
}

#[test]
fn calls_by_the_32_bit_entry_are_told() {
    by(
        "compat",
        &[
            "core-pattern",
            "core-pattern-elsewhere",
            "docker-socket",
            "mount",
            "setns",
            "unshare",
            "bpf-load",
            "move-mount",
        ],
        8,
    );
}

#[test]
fn opens_through_a_bind_mount_are_told() {
    by("bind-mount", &["core-pattern"], 1);
}

#[test]
fn the_new_mount_calls_are_told() {
    let calls = ["fsopen", "fsconfig", "fsmount", "fspick", "open-tree", "move-mount", "mount-setattr"];
    let _ = all_are_told(Strength::Weak, &[&calls[..], &["new-mount-of-block-device"]].concat(), 10, true);
}

/// Harmless attempts in a weak container; those that want a namespace of the host are in the test below.
#[test]
fn every_detector_sees_the_attempt_that_it_names() {
    let Some(runtime) = runtime() else { return };
    let Some(detected) = detected::detect(runtime, Strength::Weak, &["all"]) else { return };
    let blind = detected.blind(concerns_weak);
    assert!(blind.is_empty(), "{} detectors are blind:\n{}", blind.len(), blind.join("\n"));
}

/// Attempts at the host's processes, names and network: none of them is written to, traced or sent anything.
const AT_THE_HOST: &[&str] = &[
    "process-memory",
    "process-environment",
    "process-command-line",
    "process-root",
    "setns-of-first-process",
    "packet-socket",
    "host-name",
    "shared-memory",
    "interface-flags",
    "abstract-socket",
    "shadow-of-host",
];

#[test]
fn every_detector_of_what_is_the_hosts_sees_its_attempt_where_namespaces_are_shared() {
    let Some(runtime) = runtime() else { return };
    let Some(detected) = detected::detect(runtime, Strength::Sharing, AT_THE_HOST) else { return };
    let blind = detected.blind(|d| !d.shares.is_empty() || d.looks_at_host());
    assert!(blind.is_empty(), "{} detectors are blind:\n{}", blind.len(), blind.join("\n"));
}

/// A detector looks at the object that is reached, whichever call and path lead there.
#[test]
fn core_pattern_is_seen_whichever_way_it_is_reached() {
    const WAYS: &[&str] = &[
        "renamed",
        "symlink",
        "self-root",
        "parent",
        "passed-descriptor",
        "openat2",
        "io-uring",
        "compat",
        "bind-mount",
    ];
    let mut blind = Vec::new();
    for way in WAYS {
        let arguments = ["--by", way, "core-pattern"];
        let Some(detected) = runtime().and_then(|r| observe(r, Strength::Weak, &arguments)) else { return };
        let seen = detected.seen.get("core-pattern").unwrap_or_else(|| panic!("{way}: nothing was made"));
        // Where the open is refused, as here by a read-only mount, nothing tells where a link led: the link is seen.
        let by = if *way == "symlink" { "sensitive-link" } else { "core-pattern" };
        if !seen.contains(by) {
            blind.push(format!("{way}: seen by {seen:?}"));
        }
    }
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}
