//! The promise: measuring changes nothing, of the process or of the machine.
#![allow(unsafe_code, reason = "reads the state of the own process through libc")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Mutex, PoisonError};

use common::{is_root, skipped};
use probe::Options;

/// The tests of this file look at, or change, what belongs to the whole process: one at a time.
static ALONE: Mutex<()> = Mutex::new(());

/// Files that tell the machine's state and that no other process changes while tests run, or only by name.
const STATE: &[&str] = &[
    "/proc/sys/kernel/hostname",
    "/proc/sys/kernel/domainname",
    "/proc/sys/kernel/core_pattern",
    "/proc/sys/kernel/modprobe",
    "/proc/sys/kernel/tainted",
    "/proc/sys/kernel/panic",
    "/proc/sys/kernel/shmmax",
    "/proc/sys/kernel/usermodehelper/bset",
    "/proc/sys/kernel/kexec_load_limit_reboot",
    "/proc/sys/kernel/kexec_load_limit_panic",
    "/proc/sys/kernel/acct",
    "/proc/sys/kernel/printk",
    "/proc/sys/vm/panic_on_oom",
    "/proc/sys/vm/overcommit_memory",
    "/proc/sys/fs/file-max",
    "/proc/sys/fs/suid_dumpable",
    "/proc/sys/net/ipv4/ip_forward",
    "/proc/self/mountinfo",
    "/proc/self/cgroup",
    "/proc/self/uid_map",
    "/proc/self/limits",
    "/proc/self/personality",
    "/proc/self/oom_score_adj",
    "/proc/self/coredump_filter",
    "/proc/self/timerslack_ns",
    "/proc/self/io_uring",
    "/proc/swaps",
    "/proc/modules",
    "/proc/filesystems",
    "/proc/consoles",
    "/proc/sysvipc/shm",
    "/proc/sysvipc/sem",
];

fn state() -> BTreeMap<String, String> {
    let mut state: BTreeMap<String, String> = STATE
        .iter()
        .map(|path| ((*path).to_owned(), fs::read_to_string(path).unwrap_or_else(|e| e.to_string())))
        .collect();
    let keys = fs::read_to_string("/proc/keys").unwrap_or_default();
    let mut add = |name: &str, value: String| state.insert(name.to_owned(), value);
    for kind in fs::read_dir("/proc/self/ns").unwrap().flatten() {
        add(&format!("ns {:?}", kind.file_name()), format!("{:?}", fs::read_link(kind.path()).unwrap()));
    }
    let mut descriptors: Vec<String> = fs::read_dir("/proc/self/fd")
        .unwrap()
        .flatten()
        .filter_map(|e| fs::read_link(e.path()).ok().map(|to| format!("{:?} {to:?}", e.file_name())))
        .collect();
    descriptors.sort();
    // Without the count of references, which a login elsewhere on the machine changes.
    let keys = keys.lines().map(|l| l.split_whitespace().enumerate().filter(|(i, _)| *i != 2));
    add(
        "keys",
        keys.map(|l| l.map(|(_, word)| word).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>().join("\n"),
    );
    add("descriptors", descriptors.join("\n"));
    // Memory, times and the state of threads change by themselves.
    let lines =
        ["Umask", "TracerPid", "Uid", "Gid", "Groups", "Threads", "Sig", "Shd", "Cap", "NoNew", "Seccomp"];
    let status = fs::read_to_string("/proc/thread-self/status").unwrap();
    add(
        "status",
        status.lines().filter(|l| lines.iter().any(|n| l.starts_with(n))).collect::<Vec<_>>().join("\n"),
    );
    let children: String = fs::read_dir("/proc/self/task")
        .unwrap()
        .flatten()
        .map(|task| fs::read_to_string(task.path().join("children")).unwrap_or_default())
        .collect();
    add("children", children);
    // SAFETY: the calls read the state of this process.
    unsafe {
        add("dumpable", libc::prctl(libc::PR_GET_DUMPABLE).to_string());
        add("securebits", libc::prctl(libc::PR_GET_SECUREBITS).to_string());
        add("session", libc::getsid(0).to_string());
        add(
            "no child is left",
            libc::waitpid(-1, std::ptr::null_mut(), libc::WNOHANG | libc::__WALL).to_string(),
        );
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGSYS, std::ptr::null(), &mut action);
        add("SIGSYS", action.sa_sigaction.to_string());
    }
    add("directory", format!("{:?}", std::env::current_dir().unwrap()));
    state
}

#[test]
fn measuring_changes_nothing_of_the_process_or_the_machine() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    if !is_root() {
        skipped("as another uid the kernel refuses most effects; run as root for the full test");
    }
    let _warm = probe::measure(&Options { active: true });
    // Other tests start containers meanwhile, which mount and set things; what measuring itself did would show
    // every time.
    let mut last = None;
    for _ in 0..5 {
        let before = state();
        let clock = std::time::Instant::now();
        let measured = probe::measure(&Options { active: true });
        let took = clock.elapsed();
        let after = state();
        let same = before == after;
        last = Some((before, after, measured, took));
        if same {
            break;
        }
    }
    let (before, after, measured, took) = last.expect("measured at least once");
    for (name, value) in &before {
        assert_eq!(Some(value), after.get(name), "{name}");
    }
    assert_eq!(before.len(), after.len());
    assert!(measured.probes.iter().all(|p| p.answer.value.is_some() || p.answer.error.is_some()));
    eprintln!("one measurement took {took:?}");
}

#[test]
fn a_program_that_ignores_or_awaits_its_children_is_not_disturbed() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: sets and restores one disposition of this test's process.
    let before = unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
    let measured = probe::measure(&Options::default());
    // SAFETY: as above.
    unsafe { libc::signal(libc::SIGCHLD, before) };
    assert!(measured.probes.iter().all(|p| p.answer.skipped.is_none() || p.name == "syslog"));

    let mut child = std::process::Command::new("sleep").arg("0.05").spawn().unwrap();
    probe::measure(&Options::default());
    assert!(child.wait().unwrap().success());
}
