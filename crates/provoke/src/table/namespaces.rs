//! Entering and making namespaces.

use libc::*;

use super::{Argument, Attempt, NONE, ZERO, call, own, read};
use crate::perform::steps;

/// Flags of clone(2) that unshare(2) has never known: CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT.
const NOT_FOR_UNSHARE: i64 = 0x2000 | 0x4000 | 0x8000;

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "setns",
        techniques: &["enter-host-namespaces"],
        harmless: "sys_setns(): the descriptor is looked up first, and there is none",
        steps: &[call("setns(-1, 0)", SYS_setns, &[NONE, ZERO])],
    },
    Attempt {
        name: "setns-of-first-process",
        techniques: &["enter-host-namespaces"],
        harmless: "sys_setns(): the namespace's kind is compared with the one asked for first, and is another",
        steps: &[
            read("/proc/1/ns/mnt"),
            own("setns(/proc/1/ns/mnt, CLONE_NEWNET)", steps::setns_of_another_kind),
        ],
    },
    Attempt {
        name: "unshare",
        techniques: &["seccomp-opened-by-capability"],
        harmless: "ksys_unshare(): with no flag nothing is unshared",
        steps: &[call("unshare(0)", SYS_unshare, &[ZERO])],
    },
    Attempt {
        name: "unshare-user",
        techniques: &["nested-user-namespace"],
        harmless: "check_unshare_flags() comes first and refuses flags it does not know",
        steps: &[call(
            "unshare(CLONE_NEWUSER|CLONE_PTRACE|CLONE_VFORK|CLONE_PARENT)",
            SYS_unshare,
            &[Argument::Int(CLONE_NEWUSER as i64 | NOT_FOR_UNSHARE)],
        )],
    },
    Attempt {
        name: "clone-user",
        techniques: &["nested-user-namespace"],
        harmless: "copy_process() begins by refusing CLONE_FS with CLONE_NEWUSER; no process is made",
        steps: &[call(
            "clone(CLONE_NEWUSER|CLONE_FS, NULL, NULL, NULL, 0)",
            SYS_clone,
            &[Argument::Int((CLONE_NEWUSER | CLONE_FS) as i64), ZERO, ZERO, ZERO, ZERO],
        )],
    },
    Attempt {
        name: "clone3-user",
        techniques: &["nested-user-namespace"],
        harmless: "copy_process() begins by refusing CLONE_FS with CLONE_NEWUSER; no process is made",
        steps: &[own("clone3({CLONE_NEWUSER|CLONE_FS})", steps::clone3_refused)],
    },
];
