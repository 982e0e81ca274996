//! The measurement under seccomp filters: what is blocked, in whatever way a filter blocks, is read as such,
//! and no filter takes the program down.
#![allow(unsafe_code, reason = "a filter is loaded between fork and exec")]

mod common;

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt;
use std::process::Command;

use common::{Room, is_root, measure, skipped};
use probe::{Measurement, Reading};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn every(calls: &[libc::c_long]) -> Rules {
    calls.iter().map(|number| (*number, Vec::new())).collect()
}

/// Runs `command` under a filter that answers the rules with `action` and everything else with `otherwise`.
fn filtered(
    command: &mut Command,
    rules: Rules,
    action: SeccompAction,
    otherwise: SeccompAction,
) -> Measurement {
    let arch = std::env::consts::ARCH.try_into().unwrap();
    let program: BpfProgram = SeccompFilter::new(rules, otherwise, action, arch).unwrap().try_into().unwrap();
    // SAFETY: between fork and exec, prctl(2) and seccomp(2) only.
    unsafe {
        command.pre_exec(move || {
            seccompiler::apply_filter(&program).map_err(|_| std::io::Error::from_raw_os_error(libc::EPERM))
        })
    };
    measure(command)
}

fn denied(name: &str, calls: &[libc::c_long], action: SeccompAction) -> Measurement {
    filtered(&mut Room::new(name).command(), every(calls), action, SeccompAction::Allow)
}

fn reading(m: &Measurement, call: &str) -> Reading {
    m.system_calls[call].reads_as
}

const SOME: &[libc::c_long] = &[
    libc::SYS_mount,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_keyctl,
    libc::SYS_ptrace,
    libc::SYS_umount2,
];
const NAMES: &[&str] =
    &["mount", "setns", "unshare", "unshare(CLONE_NEWUSER)", "keyctl", "ptrace", "umount2"];

fn assert_only_blocked(m: &Measurement, blocked: &[&str]) {
    assert_eq!(m.process.seccomp_mode, Some(2));
    for (name, conclusion) in &m.system_calls {
        if blocked.contains(&name.as_str()) {
            assert_eq!(conclusion.reads_as, Reading::Blocked, "{name}: {conclusion:?}");
        } else {
            // What the kernel lacks answers ENOSYS, which a filter could have given.
            let fine = conclusion.reads_as == Reading::Permitted || conclusion.why.starts_with("ENOSYS");
            assert!(fine || conclusion.why.starts_with("EPERM"), "{name}: {conclusion:?}");
        }
    }
}

#[test]
fn a_call_that_a_filter_answers_with_eperm_reads_as_blocked() {
    assert_only_blocked(&denied("eperm", SOME, SeccompAction::Errno(libc::EPERM as u32)), NAMES);
}

#[test]
fn a_call_that_a_filter_kills_for_reads_as_blocked_and_the_rest_is_measured() {
    for (name, action) in [
        ("kill", SeccompAction::KillProcess),
        ("thread", SeccompAction::KillThread),
        ("trap", SeccompAction::Trap),
    ] {
        let measured = denied(name, SOME, action);
        assert_only_blocked(&measured, NAMES);
        let mount = measured.probes.iter().find(|p| p.name == "mount").unwrap();
        assert_eq!(mount.answer.killed.as_deref(), Some("SIGSYS"), "{name}");
    }
}

#[test]
fn enosys_is_a_filter_where_every_kernel_has_the_call_and_ambiguous_elsewhere() {
    let calls = [libc::SYS_clone3, libc::SYS_mount, libc::SYS_bpf];
    let measured = denied("enosys", &calls, SeccompAction::Errno(libc::ENOSYS as u32));
    assert_eq!(reading(&measured, "mount"), Reading::Blocked);
    assert_eq!(reading(&measured, "bpf"), Reading::Ambiguous);
    let release = &measured.kernel.release;
    if release.starts_with("6.") {
        assert_eq!(reading(&measured, "clone3"), Reading::Blocked, "{release}");
    }
}

#[test]
fn a_filter_that_feigns_success_reads_as_blocked() {
    let measured = denied("success", &[libc::SYS_mount], SeccompAction::Errno(0));
    assert_eq!(reading(&measured, "mount"), Reading::Blocked);
}

#[test]
fn eperm_where_the_capability_is_missing_is_ambiguous_and_where_it_is_effective_is_the_filter() {
    if !is_root() {
        return skipped("needs root");
    }
    let calls = [libc::SYS_sethostname, libc::SYS_pivot_root, libc::SYS_reboot];
    let names = ["sethostname", "pivot_root", "reboot"];
    let action = SeccompAction::Errno(libc::EPERM as u32);
    let measured = denied("capable", &calls, action.clone());
    for name in names {
        assert_eq!(reading(&measured, name), Reading::Blocked, "{:?}", measured.system_calls[name]);
    }
    assert_eq!(reading(&measured, "setdomainname"), Reading::Permitted);

    let room = Room::new("incapable");
    let mut command = room.under(&["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    let measured = filtered(&mut command, every(&calls), action, SeccompAction::Allow);
    for name in names.into_iter().chain(["setdomainname"]) {
        assert_eq!(reading(&measured, name), Reading::Ambiguous, "{:?}", measured.system_calls[name]);
    }
    for shown in &measured.capabilities["SYS_ADMIN"] {
        let asked = shown.by.starts_with("sethostname") || shown.by.starts_with("pivot_root");
        assert!(!asked || shown.reads_as == Reading::Ambiguous, "{shown:?}");
    }
    // What is asked with unreadable arguments shows the filter's part, and so the capability's.
    assert_eq!(reading(&measured, "settimeofday"), Reading::Permitted);
    assert_eq!(measured.capabilities["SYS_TIME"][0].reads_as, Reading::Blocked);
}

#[test]
fn a_filter_that_looks_at_arguments_is_told_from_one_that_does_not() {
    let equals = |index, value| {
        SeccompCondition::new(index, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value).unwrap()
    };
    let masked = |mask, value| {
        SeccompCondition::new(0, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(mask), value).unwrap()
    };
    let new_user = libc::CLONE_NEWUSER as u64;
    let rules: Rules = [
        (libc::SYS_socket, vec![SeccompRule::new(vec![equals(0, 38)]).unwrap()]),
        (libc::SYS_clone, vec![SeccompRule::new(vec![masked(new_user, new_user)]).unwrap()]),
        (libc::SYS_unshare, vec![SeccompRule::new(vec![masked(new_user, new_user)]).unwrap()]),
    ]
    .into();
    let action = SeccompAction::Errno(libc::EPERM as u32);
    let measured = filtered(&mut Room::new("arguments").command(), rules, action, SeccompAction::Allow);
    let blocked = ["socket(AF_ALG)", "clone(CLONE_NEWUSER)", "unshare(CLONE_NEWUSER)"];
    assert_only_blocked(&measured, &blocked);
    assert_eq!(reading(&measured, "unshare"), Reading::Permitted);
    assert_eq!(reading(&measured, "socket(AF_VSOCK)"), Reading::Permitted);
}

/// What a static or dynamic Rust program needs to start, read files and fork; nothing that is probed.
const NEEDED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_close,
    libc::SYS_lseek,
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_fstat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_mmap,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_mprotect,
    libc::SYS_madvise,
    libc::SYS_brk,
    libc::SYS_pipe2,
    libc::SYS_clone,
    libc::SYS_ppoll,
    libc::SYS_wait4,
    libc::SYS_kill,
    libc::SYS_exit_group,
    libc::SYS_execve,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_sched_getaffinity,
    libc::SYS_set_tid_address,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_prlimit64,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_fcntl,
    libc::SYS_getresuid,
    libc::SYS_getresgid,
    libc::SYS_getgroups,
    libc::SYS_uname,
    libc::SYS_clock_gettime,
    libc::SYS_pread64,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_arch_prctl,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_access,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_readlink,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_poll,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_stat,
];

#[test]
fn a_filter_that_kills_for_everything_not_needed_leaves_a_whole_measurement() {
    let room = Room::new("allowlist");
    let mut command = room.command();
    let measured = filtered(&mut command, every(NEEDED), SeccompAction::Allow, SeccompAction::KillProcess);
    assert_eq!(measured.process.seccomp_mode, Some(2));
    assert!(measured.process.capabilities.effective.is_some());
    for (name, conclusion) in &measured.system_calls {
        // clone(2) is needed for the child.
        let expected = if name.starts_with("clone(") { Reading::Permitted } else { Reading::Blocked };
        let skipped = name == "syslog" && conclusion.reads_as == Reading::Unmeasured;
        assert!(skipped || conclusion.reads_as == expected, "{name}: {conclusion:?}");
    }
}

#[test]
fn where_no_child_can_be_made_under_a_filter_nothing_is_risked() {
    let calls = [libc::SYS_clone, libc::SYS_fork, libc::SYS_vfork];
    let measured = denied("nochild", &calls, SeccompAction::Errno(libc::EPERM as u32));
    for probe in &measured.probes {
        assert_eq!(probe.reads_as, Reading::Unmeasured, "{probe:?}");
    }
    assert!(measured.process.capabilities.bounding.is_some());
}
