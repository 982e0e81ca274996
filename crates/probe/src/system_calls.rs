//! The system-call probes: calls whose arguments the kernel rejects after seccomp has judged them and before
//! they have any effect, and what the answers mean.
//!
//! A row of [`PROBES`] is one call. `reached` are the answers that only the kernel's own function gives: any
//! of them shows that no filter stopped the call. `check` is a capability that the function asks for *before*
//! it looks at the arguments: then EPERM has two causes, and which one it is is resolved with other facts
//! where it can be. `harmless` says which check of which kernel function rejects the call.
//!
//! Every row was read in Linux 6.1 and 6.12 and measured on 6.1, 6.12 and 6.18, as root and as a uid without
//! capabilities. Of older kernels no run and only parts were read (open_by_handle_at, pivot_root, swapon,
//! quotactl, settimeofday, userfaultfd, bpf): where an order of checks differs, the row says so; and no
//! argument of a row names a thing that exists, so that no order of checks lets a call have an effect.
//!
//! Limits. A filter that answers with the very error that the kernel would give cannot be told from the
//! kernel. A filter that judges arguments is asked about these arguments only. An LSM hook behind the
//! rejecting check is not asked: that seccomp permits mount(2) says nothing of AppArmor.
//!
//! Left out, because no arguments exist, or could be shown, that have no effect on every kernel from 4.19 on:
//!
//! * `acct`: NULL stops accounting; a bad pointer would be refused, but the harm is one argument away.
//! * `init_module`: a refused image is counted in debugfs (copy_module_from_user(), 6.4+);
//!   finit_module with unknown flags is refused before, and filters hold both in one group.
//! * `kexec_load`, `kexec_file_load`: kexec_load_permitted() (6.3+) takes one from `kexec_load_limit_*`
//!   before it looks at the arguments.
//! * `vhangup`, `sync`, `setsid`: have no arguments.
//! * `swapoff`, `umount` without flags, `rmdir`-like calls: refused by path only, which another may create.
//! * `capset`, `setrlimit`, `sched_setscheduler`, `prctl(PR_SET_*)`: change the caller where permitted.
//! * `semctl`, `shmctl`, `msgctl`, `mq_*`: identifiers of other processes may match.
//! * the ia32 entry (`int $0x80`): without emulation the fault is written to the kernel log.
//! * `ioctl(TIOCSTI)`, `ioctl(TIOCLINUX)`: act on a terminal.

use std::collections::BTreeMap;

use confinement::Capability;
use libc::{c_long, *};

use crate::measurement::{Answer, Conclusion, Namespace, Probe, Process, Reading, ShownCapability, Value};
use crate::sys::{Answers, Arg, Batch, CallId};

/// An argument as the table writes it.
#[derive(Clone, Copy)]
enum A {
    Int(i64),
    Null,
    /// A pointer to an empty string.
    Empty,
    /// [`Arg::TornHandle`].
    TornHandle,
    /// [`Arg::Unreadable`].
    Unreadable,
}

/// The user namespace that a capability check looks at.
#[derive(Clone, Copy)]
enum Over {
    /// `capable()`: the initial one.
    Initial,
    /// `ns_capable()` of the owner of this namespace of the caller's.
    OwnerOf(&'static str),
}

/// A refusal with EPERM that comes before the arguments are looked at.
struct Check {
    capability: Capability,
    over: Over,
    /// The check is made only while this sysctl does not have this value.
    unless: Option<(&'static str, &'static str)>,
    /// The call is refused to everyone while this sysctl does not have this value.
    also: Option<(&'static str, &'static str)>,
    /// The kernel from which on the check no longer precedes the arguments.
    until: Option<(u32, u32)>,
    /// Whether an answer from behind the check shows the capability. Not where some kernels look at an
    /// argument first, or let something else stand in for the capability.
    shows: bool,
}

struct Row {
    /// The key of the conclusion; rows of one name are concluded from together.
    name: &'static str,
    call: &'static str,
    number: c_long,
    arguments: &'static [A],
    reached: &'static [i32],
    /// Whether a result that is no error also shows that the call was reached.
    returns: bool,
    /// First kernel with the call.
    since: (u32, u32),
    /// Whether a kernel may be built without it.
    optional: bool,
    check: Option<Check>,
    #[allow(dead_code, reason = "read by people and by the test that asks each row for its reason")]
    harmless: &'static str,
}

const BASE: Row = Row {
    name: "",
    call: "",
    number: 0,
    arguments: &[],
    reached: &[],
    returns: false,
    since: (4, 19),
    optional: false,
    check: None,
    harmless: "",
};

/// `may_mount()` in fs/namespace.c: CAP_SYS_ADMIN over the owner of the mount namespace.
const MAY_MOUNT: Option<Check> = Some(Check {
    capability: Capability::SYS_ADMIN,
    over: Over::OwnerOf("mnt"),
    unless: None,
    also: None,
    until: None,
    shows: true,
});

const fn initial(capability: Capability) -> Check {
    Check { capability, over: Over::Initial, unless: None, also: None, until: None, shows: true }
}
const fn owner_of(namespace: &'static str, capability: Capability) -> Check {
    Check { capability, over: Over::OwnerOf(namespace), unless: None, also: None, until: None, shows: true }
}

/// All bits: more flags than any kernel knows.
const ALL_BITS: A = A::Int(-1);
const NO_FD: A = A::Int(-1);
const ZERO: A = A::Int(0);

// Numbers from 424 on are the same on every architecture; not every C library's headers have them.
const OPEN_TREE: c_long = 428;
const MOVE_MOUNT: c_long = 429;
const FSOPEN: c_long = 430;
const FSCONFIG: c_long = 431;
const FSMOUNT: c_long = 432;
const FSPICK: c_long = 433;
const IO_URING_SETUP: c_long = 425;
const CLONE3: c_long = 435;
const PIDFD_GETFD: c_long = 438;
const PROCESS_MADVISE: c_long = 440;
const MOUNT_SETATTR: c_long = 442;
const QUOTACTL_FD: c_long = 443;

const PTRACE_PEEKDATA_REQUEST: i64 = 2;
/// Flags of clone(2) that unshare(2) has never known: CLONE_PTRACE, CLONE_VFORK, CLONE_PARENT.
const NOT_FOR_UNSHARE: i64 = 0x2000 | 0x4000 | 0x8000;
/// No socket type has this number (SOCK_MAX is 11; SOCK_TYPE_MASK is 15).
const NO_SOCKET_TYPE: A = A::Int(15);
const SYSLOG_ACTION_SIZE_BUFFER: A = A::Int(10);

/// The clone(2) probe goes through [`Batch::clone_call`].
const CLONE_NEWUSER_PROBE: &str = "clone(CLONE_NEWUSER)";

static PROBES: &[Row] = &[
    Row {
        name: "unshare",
        call: "unshare(0)",
        number: SYS_unshare,
        arguments: &[ZERO],
        returns: true,
        harmless: "ksys_unshare(): with no flag nothing is unshared and nothing is installed",
        ..BASE
    },
    Row {
        name: "unshare(CLONE_NEWUSER)",
        call: "unshare(CLONE_NEWUSER|CLONE_PTRACE|CLONE_VFORK|CLONE_PARENT)",
        number: SYS_unshare,
        arguments: &[A::Int(CLONE_NEWUSER as i64 | NOT_FOR_UNSHARE)],
        reached: &[EINVAL],
        harmless: "check_unshare_flags() comes first and refuses flags it does not know",
        ..BASE
    },
    Row {
        name: CLONE_NEWUSER_PROBE,
        call: "clone(CLONE_NEWUSER|CLONE_FS, NULL, …)",
        number: SYS_clone,
        arguments: &[A::Int((CLONE_NEWUSER | CLONE_FS) as i64)],
        reached: &[EINVAL],
        harmless: "copy_process() begins by refusing CLONE_FS with CLONE_NEWUSER; no process is made",
        ..BASE
    },
    Row {
        name: "clone3",
        call: "clone3(NULL, 0)",
        number: CLONE3,
        arguments: &[A::Null, ZERO],
        reached: &[EINVAL],
        since: (5, 3),
        harmless: "copy_clone_args_from_user(): a size below CLONE_ARGS_SIZE_VER0 is refused first",
        ..BASE
    },
    Row {
        name: "setns",
        call: "setns(-1, 0)",
        number: SYS_setns,
        arguments: &[NO_FD, ZERO],
        reached: &[EBADF],
        harmless: "sys_setns(): the descriptor is looked up first",
        ..BASE
    },
    Row {
        name: "mount",
        call: "mount(NULL, NULL, NULL, 0, NULL)",
        number: SYS_mount,
        arguments: &[A::Null, A::Null, A::Null, ZERO, A::Null],
        reached: &[EFAULT],
        harmless: "do_mount(): the target is looked up before security_sb_mount() and may_mount()",
        ..BASE
    },
    Row {
        name: "umount2",
        call: "umount2(\"\", ~0)",
        number: SYS_umount2,
        arguments: &[A::Empty, ALL_BITS],
        reached: &[EINVAL],
        harmless: "ksys_umount(): unknown flags are refused first, and the empty path is no mount",
        ..BASE
    },
    Row {
        name: "pivot_root",
        call: "pivot_root(NULL, NULL)",
        number: SYS_pivot_root,
        arguments: &[A::Null, A::Null],
        reached: &[EFAULT],
        check: MAY_MOUNT,
        harmless: "sys_pivot_root(): both paths are looked up before anything is changed",
        ..BASE
    },
    Row {
        name: "move_mount",
        call: "move_mount(-1, NULL, -1, NULL, ~0)",
        number: MOVE_MOUNT,
        arguments: &[NO_FD, A::Null, NO_FD, A::Null, ALL_BITS],
        reached: &[EINVAL],
        since: (5, 2),
        check: MAY_MOUNT,
        harmless: "unknown flags are refused behind may_mount(); the paths are NULL",
        ..BASE
    },
    Row {
        name: "open_tree",
        call: "open_tree(-1, NULL, ~0)",
        number: OPEN_TREE,
        arguments: &[NO_FD, A::Null, ALL_BITS],
        reached: &[EINVAL],
        since: (5, 2),
        harmless: "sys_open_tree(): unknown flags are refused first",
        ..BASE
    },
    Row {
        name: "fsopen",
        call: "fsopen(NULL, ~0)",
        number: FSOPEN,
        arguments: &[A::Null, ALL_BITS],
        reached: &[EINVAL],
        since: (5, 2),
        check: MAY_MOUNT,
        harmless: "unknown flags are refused behind may_mount(), before the name is read",
        ..BASE
    },
    Row {
        name: "fsconfig",
        call: "fsconfig(-1, ~0, NULL, NULL, 0)",
        number: FSCONFIG,
        arguments: &[NO_FD, ALL_BITS, A::Null, A::Null, ZERO],
        reached: &[EINVAL],
        since: (5, 2),
        harmless: "sys_fsconfig(): a negative descriptor is refused first",
        ..BASE
    },
    Row {
        name: "fsmount",
        call: "fsmount(-1, ~0, 0)",
        number: FSMOUNT,
        arguments: &[NO_FD, ALL_BITS, ZERO],
        reached: &[EINVAL],
        since: (5, 2),
        check: MAY_MOUNT,
        harmless: "unknown flags are refused behind may_mount()",
        ..BASE
    },
    Row {
        name: "fspick",
        call: "fspick(-1, NULL, ~0)",
        number: FSPICK,
        arguments: &[NO_FD, A::Null, ALL_BITS],
        reached: &[EINVAL],
        since: (5, 2),
        check: MAY_MOUNT,
        harmless: "unknown flags are refused behind may_mount()",
        ..BASE
    },
    Row {
        name: "mount_setattr",
        call: "mount_setattr(-1, NULL, ~0, NULL, 0)",
        number: MOUNT_SETATTR,
        arguments: &[NO_FD, A::Null, ALL_BITS, A::Null, ZERO],
        reached: &[EINVAL],
        since: (5, 12),
        harmless: "sys_mount_setattr(): unknown flags are refused first",
        ..BASE
    },
    Row {
        name: "open_by_handle_at",
        call: "open_by_handle_at(-1, NULL, 0)",
        number: SYS_open_by_handle_at,
        arguments: &[NO_FD, A::Null, ZERO],
        reached: &[EBADF, EFAULT],
        optional: true,
        // handle_to_path() asks for the capability first in 6.1, behind the descriptor in 6.12, and behind
        // the header's copy in 6.18 (measured on each).
        check: Some(Check { until: Some((6, 18)), shows: false, ..initial(Capability::DAC_READ_SEARCH) }),
        harmless: "handle_to_path(): neither the descriptor nor the handle can be read",
        ..BASE
    },
    Row {
        name: "open_by_handle_at",
        call: "open_by_handle_at(AT_FDCWD, {8 bytes, of which none can be read}, 0)",
        number: SYS_open_by_handle_at,
        arguments: &[A::Int(AT_FDCWD as i64), A::TornHandle, ZERO],
        reached: &[EFAULT],
        optional: true,
        check: Some(initial(Capability::DAC_READ_SEARCH)),
        harmless: "handle_to_path(): the handle's bytes are copied behind the capability check and before they \
                   are decoded, in every order that the checks have had; they lie on an unreadable page",
        ..BASE
    },
    Row {
        name: "name_to_handle_at",
        call: "name_to_handle_at(-1, NULL, NULL, NULL, ~0)",
        number: SYS_name_to_handle_at,
        arguments: &[NO_FD, A::Null, A::Null, A::Null, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        harmless: "sys_name_to_handle_at(): unknown flags are refused first",
        ..BASE
    },
    Row {
        name: "chroot",
        call: "chroot(\"\")",
        number: SYS_chroot,
        arguments: &[A::Empty],
        reached: &[ENOENT],
        harmless: "an empty path is refused by getname(), before CAP_SYS_CHROOT is asked for",
        ..BASE
    },
    Row {
        name: "mknodat",
        call: "mknodat(-1, NULL, S_IFBLK, 0)",
        number: SYS_mknodat,
        arguments: &[NO_FD, A::Null, A::Int(S_IFBLK as i64), ZERO],
        reached: &[EFAULT, EBADF],
        harmless: "do_mknodat(): without a name nothing can be created",
        ..BASE
    },
    Row {
        name: "fsetxattr",
        call: "fsetxattr(-1, NULL, NULL, 0, 0)",
        number: SYS_fsetxattr,
        arguments: &[NO_FD, A::Null, A::Null, ZERO, ZERO],
        reached: &[EBADF, EFAULT],
        harmless: "sys_fsetxattr(): there is neither a file nor a name",
        ..BASE
    },
    Row {
        name: "fanotify_init",
        call: "fanotify_init(~0, ~0)",
        number: SYS_fanotify_init,
        arguments: &[ALL_BITS, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        check: Some(initial(Capability::SYS_ADMIN)),
        harmless: "sys_fanotify_init(): unknown flags are refused behind the capability check",
        ..BASE
    },
    Row {
        name: "fanotify_init",
        call: "fanotify_init(FAN_REPORT_FID|1<<31, 0)",
        number: SYS_fanotify_init,
        arguments: &[A::Int(0x200 | 1 << 31), ZERO],
        reached: &[EINVAL],
        optional: true,
        // From 5.13 on a group that reports file handles needs no capability.
        check: Some(Check { until: Some((5, 13)), shows: false, ..initial(Capability::SYS_ADMIN) }),
        harmless: "sys_fanotify_init(): an unknown flag is refused before a group is made",
        ..BASE
    },
    Row {
        name: "quotactl",
        call: "quotactl(0xff, NULL, 0, NULL)",
        number: SYS_quotactl,
        arguments: &[A::Int(0xff), A::Null, ZERO, A::Null],
        // Before the type was checked first, a missing device was (ENODEV).
        reached: &[EINVAL, ENODEV],
        optional: true,
        harmless: "sys_quotactl(): a quota type above MAXQUOTAS is refused first",
        ..BASE
    },
    Row {
        name: "quotactl_fd",
        call: "quotactl_fd(-1, 0xff, 0, NULL)",
        number: QUOTACTL_FD,
        arguments: &[NO_FD, A::Int(0xff), ZERO, A::Null],
        reached: &[EBADF, EINVAL],
        since: (5, 14),
        optional: true,
        harmless: "sys_quotactl_fd(): neither the descriptor nor the quota type exists",
        ..BASE
    },
    Row {
        name: "swapon",
        call: "swapon(NULL, ~0)",
        number: SYS_swapon,
        arguments: &[A::Null, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        harmless: "sys_swapon(): unknown flags are refused first, before CAP_SYS_ADMIN and the NULL path",
        ..BASE
    },
    Row {
        name: "ptrace",
        call: "ptrace(PTRACE_PEEKDATA, 0, NULL, NULL)",
        number: SYS_ptrace,
        arguments: &[A::Int(PTRACE_PEEKDATA_REQUEST), ZERO, A::Null, A::Null],
        reached: &[ESRCH],
        harmless: "sys_ptrace(): no process has the number 0; only PTRACE_TRACEME acts without a process",
        ..BASE
    },
    Row {
        name: "process_vm_readv",
        call: "process_vm_readv(0, NULL, 0, NULL, 0, ~0)",
        number: SYS_process_vm_readv,
        arguments: &[ZERO, A::Null, ZERO, A::Null, ZERO, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        harmless: "process_vm_rw(): flags must be 0",
        ..BASE
    },
    Row {
        name: "process_vm_writev",
        call: "process_vm_writev(0, NULL, 0, NULL, 0, ~0)",
        number: SYS_process_vm_writev,
        arguments: &[ZERO, A::Null, ZERO, A::Null, ZERO, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        harmless: "process_vm_rw(): flags must be 0",
        ..BASE
    },
    Row {
        name: "process_madvise",
        call: "process_madvise(-1, NULL, 0, 0, ~0)",
        number: PROCESS_MADVISE,
        arguments: &[NO_FD, A::Null, ZERO, ZERO, ALL_BITS],
        reached: &[EINVAL, EBADF],
        since: (5, 10),
        optional: true,
        harmless: "sys_process_madvise(): flags must be 0, and there is no process descriptor",
        ..BASE
    },
    Row {
        name: "pidfd_getfd",
        call: "pidfd_getfd(-1, -1, ~0)",
        number: PIDFD_GETFD,
        arguments: &[NO_FD, NO_FD, ALL_BITS],
        reached: &[EINVAL],
        since: (5, 6),
        harmless: "sys_pidfd_getfd(): flags must be 0",
        ..BASE
    },
    Row {
        name: "kcmp",
        call: "kcmp(0, 0, 0, 0, 0)",
        number: SYS_kcmp,
        arguments: &[ZERO, ZERO, ZERO, ZERO, ZERO],
        reached: &[ESRCH],
        optional: true,
        harmless: "sys_kcmp(): no process has the number 0",
        ..BASE
    },
    Row {
        name: "bpf",
        call: "bpf(-1, NULL, 0)",
        number: SYS_bpf,
        arguments: &[A::Int(-1), A::Null, ZERO],
        reached: &[EINVAL, EFAULT],
        optional: true,
        check: Some(Check {
            unless: Some(("kernel.unprivileged_bpf_disabled", "0")),
            // __sys_bpf() of 6.1: only BPF_MAP_CREATE and BPF_PROG_LOAD are refused up front.
            until: Some((6, 1)),
            // From 5.8 on CAP_BPF is enough.
            shows: false,
            ..initial(Capability::SYS_ADMIN)
        }),
        harmless: "__sys_bpf(): there is no such command",
        ..BASE
    },
    Row {
        name: "perf_event_open",
        call: "perf_event_open(NULL, 0, -1, -1, ~0)",
        number: SYS_perf_event_open,
        arguments: &[A::Null, ZERO, NO_FD, NO_FD, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        harmless: "sys_perf_event_open(): unknown flags are refused first",
        ..BASE
    },
    Row {
        name: "finit_module",
        call: "finit_module(-1, \"\", ~0)",
        number: SYS_finit_module,
        arguments: &[NO_FD, A::Empty, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        check: Some(Check {
            also: Some(("kernel.modules_disabled", "0")),
            ..initial(Capability::SYS_MODULE)
        }),
        harmless: "unknown flags are refused behind may_init_module(); there is no file",
        ..BASE
    },
    Row {
        name: "delete_module",
        call: "delete_module(NULL, 0)",
        number: SYS_delete_module,
        arguments: &[A::Null, ZERO],
        reached: &[EFAULT],
        optional: true,
        check: Some(Check {
            also: Some(("kernel.modules_disabled", "0")),
            ..initial(Capability::SYS_MODULE)
        }),
        harmless: "sys_delete_module(): the name is copied behind the capability check; there is none",
        ..BASE
    },
    Row {
        name: "reboot",
        call: "reboot(0, 0, 0xffffffff, NULL)",
        number: SYS_reboot,
        arguments: &[ZERO, ZERO, A::Int(0xffff_ffff), A::Null],
        reached: &[EINVAL],
        check: Some(owner_of("pid", Capability::SYS_BOOT)),
        harmless: "sys_reboot(): the magic numbers are wrong, and there is no such command",
        ..BASE
    },
    Row {
        name: "sethostname",
        call: "sethostname(\"\", -1)",
        number: SYS_sethostname,
        arguments: &[A::Empty, A::Int(-1)],
        reached: &[EINVAL],
        check: Some(owner_of("uts", Capability::SYS_ADMIN)),
        harmless: "sys_sethostname(): a negative length is refused before the name is copied",
        ..BASE
    },
    Row {
        name: "setdomainname",
        call: "setdomainname(\"\", -1)",
        number: SYS_setdomainname,
        arguments: &[A::Empty, A::Int(-1)],
        reached: &[EINVAL],
        check: Some(owner_of("uts", Capability::SYS_ADMIN)),
        harmless: "sys_setdomainname(): a negative length is refused before the name is copied",
        ..BASE
    },
    Row {
        name: "settimeofday",
        call: "settimeofday(NULL, NULL)",
        number: SYS_settimeofday,
        arguments: &[A::Null, A::Null],
        returns: true,
        check: Some(initial(Capability::SYS_TIME)),
        harmless: "do_sys_settimeofday64(): with neither time nor zone only security_settime64() is asked",
        ..BASE
    },
    Row {
        name: "settimeofday",
        call: "settimeofday({unreadable}, NULL)",
        number: SYS_settimeofday,
        arguments: &[A::Unreadable, A::Null],
        reached: &[EFAULT],
        harmless: "sys_settimeofday(): the time is copied first, and cannot be read",
        ..BASE
    },
    Row {
        name: "clock_settime",
        call: "clock_settime(0x7fffffff, NULL)",
        number: SYS_clock_settime,
        arguments: &[A::Int(0x7fff_ffff), A::Null],
        reached: &[EINVAL],
        harmless: "sys_clock_settime(): there is no such clock",
        ..BASE
    },
    Row {
        name: "syslog",
        call: "syslog(SYSLOG_ACTION_SIZE_BUFFER, NULL, 0)",
        number: SYS_syslog,
        arguments: &[SYSLOG_ACTION_SIZE_BUFFER, A::Null, ZERO],
        returns: true,
        optional: true,
        check: Some(Check { unless: Some(("kernel.dmesg_restrict", "0")), ..initial(Capability::SYSLOG) }),
        harmless: "do_syslog() returns the size of the log's buffer",
        ..BASE
    },
    Row {
        name: "keyctl",
        call: "keyctl(-1, 0, 0, 0, 0)",
        number: SYS_keyctl,
        arguments: &[A::Int(-1), ZERO, ZERO, ZERO, ZERO],
        reached: &[EOPNOTSUPP],
        optional: true,
        harmless: "sys_keyctl(): there is no such operation",
        ..BASE
    },
    Row {
        name: "add_key",
        call: "add_key(NULL, NULL, NULL, 0, 0)",
        number: SYS_add_key,
        arguments: &[A::Null, A::Null, A::Null, ZERO, ZERO],
        reached: &[EFAULT],
        optional: true,
        harmless: "sys_add_key(): the type is copied first, before a keyring is looked up; there is none",
        ..BASE
    },
    Row {
        name: "request_key",
        call: "request_key(NULL, NULL, NULL, 0)",
        number: SYS_request_key,
        arguments: &[A::Null, A::Null, A::Null, ZERO],
        reached: &[EFAULT],
        optional: true,
        harmless: "sys_request_key(): the type is copied first; there is none",
        ..BASE
    },
    Row {
        name: "io_uring_setup",
        call: "io_uring_setup(0, NULL)",
        number: IO_URING_SETUP,
        arguments: &[ZERO, A::Null],
        reached: &[EFAULT],
        since: (5, 1),
        optional: true,
        check: Some(Check {
            unless: Some(("kernel.io_uring_disabled", "0")),
            // With 1, members of io_uring_group are let through (io_uring_allowed()).
            shows: false,
            ..initial(Capability::SYS_ADMIN)
        }),
        harmless: "sys_io_uring_setup(): the parameters are copied before a ring is made; there are none",
        ..BASE
    },
    Row {
        name: "userfaultfd",
        call: "userfaultfd(~0)",
        number: SYS_userfaultfd,
        arguments: &[ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        // From 5.11 on UFFD_USER_MODE_ONLY, which is among all bits, is permitted to everyone.
        check: Some(Check {
            unless: Some(("vm.unprivileged_userfaultfd", "1")),
            until: Some((5, 11)),
            shows: false,
            ..initial(Capability::SYS_PTRACE)
        }),
        harmless: "new_userfaultfd(): unknown flags are refused before anything is made",
        ..BASE
    },
    Row {
        name: "get_mempolicy",
        call: "get_mempolicy(NULL, NULL, 0, NULL, ~0)",
        number: SYS_get_mempolicy,
        arguments: &[A::Null, A::Null, ZERO, A::Null, ALL_BITS],
        reached: &[EINVAL],
        optional: true,
        harmless: "do_get_mempolicy(): unknown flags are refused first; the call only reads",
        ..BASE
    },
    socket("socket(AF_UNIX)", "socket(AF_UNIX, 15, 0)", &[A::Int(1), NO_SOCKET_TYPE, ZERO]),
    socket("socket(AF_INET)", "socket(AF_INET, 15, 0)", &[A::Int(2), NO_SOCKET_TYPE, ZERO]),
    socket("socket(AF_NETLINK)", "socket(AF_NETLINK, 15, 0)", &[A::Int(16), NO_SOCKET_TYPE, ZERO]),
    socket("socket(AF_PACKET)", "socket(AF_PACKET, 15, 0)", &[A::Int(17), NO_SOCKET_TYPE, ZERO]),
    socket("socket(AF_CAN)", "socket(AF_CAN, 15, 0)", &[A::Int(29), NO_SOCKET_TYPE, ZERO]),
    socket("socket(AF_BLUETOOTH)", "socket(AF_BLUETOOTH, 15, 0)", &[A::Int(31), NO_SOCKET_TYPE, ZERO]),
    socket("socket(AF_ALG)", "socket(AF_ALG, 15, 0)", &[A::Int(38), NO_SOCKET_TYPE, ZERO]),
    socket("socket(AF_VSOCK)", "socket(AF_VSOCK, 15, 0)", &[A::Int(40), NO_SOCKET_TYPE, ZERO]),
    #[cfg(target_arch = "x86_64")]
    Row {
        name: "iopl",
        call: "iopl(4)",
        number: SYS_iopl,
        arguments: &[A::Int(4)],
        reached: &[EINVAL],
        optional: true,
        harmless: "sys_iopl(): a level above 3 is refused first",
        ..BASE
    },
    #[cfg(target_arch = "x86_64")]
    Row {
        name: "ioperm",
        call: "ioperm(~0, 1, 0)",
        number: SYS_ioperm,
        arguments: &[ALL_BITS, A::Int(1), ZERO],
        reached: &[EINVAL],
        optional: true,
        harmless: "ksys_ioperm(): a range that wraps is refused first; nothing is turned on",
        ..BASE
    },
];

const fn socket(name: &'static str, call: &'static str, arguments: &'static [A]) -> Row {
    Row {
        name,
        call,
        number: SYS_socket,
        arguments,
        reached: &[EINVAL],
        harmless: "__sock_create(): a bad type is refused before the LSM is asked and a module is loaded",
        ..BASE
    }
}

pub(crate) struct Plan {
    calls: Vec<Result<CallId, &'static str>>,
}

impl Plan {
    /// `process`: what procfs said of it, to leave out what would be written to the log.
    pub(crate) fn new(batch: &mut Batch, process: Option<&Process>) -> Plan {
        let calls = PROBES.iter().map(|row| plan_row(row, batch, process)).collect();
        Plan { calls }
    }
}

fn plan_row(row: &Row, batch: &mut Batch, process: Option<&Process>) -> Result<CallId, &'static str> {
    if row.name == "syslog" && !syslog_is_silent(process) {
        return Err(
            "some kernels (6.1, not 6.12) write to their log when CAP_SYS_ADMIN stands in for CAP_SYSLOG",
        );
    }
    if row.name == CLONE_NEWUSER_PROBE {
        return Ok(batch.clone_call(CLONE_NEWUSER | CLONE_FS));
    }
    let arguments: Vec<Arg> = row
        .arguments
        .iter()
        .map(|argument| match argument {
            A::Int(number) => Arg::Int(*number),
            A::Null => Arg::Int(0),
            A::Empty => Arg::Text(batch.text("")),
            A::TornHandle => Arg::TornHandle,
            A::Unreadable => Arg::Unreadable,
        })
        .collect();
    Ok(batch.call(row.number, &arguments))
}

/// check_syslog_permissions() warns once where CAP_SYS_ADMIN is effective and CAP_SYSLOG is not.
fn syslog_is_silent(process: Option<&Process>) -> bool {
    process
        .and_then(|p| p.capabilities.effective)
        .is_some_and(|effective| effective.has(Capability::SYSLOG) || !effective.has(Capability::SYS_ADMIN))
}

/// What the readings are resolved with.
pub(crate) struct Known<'a> {
    pub(crate) process: &'a Process,
    pub(crate) namespaces: &'a BTreeMap<String, Namespace>,
    pub(crate) sysctls: &'a BTreeMap<String, Value>,
    pub(crate) release: Option<(u32, u32)>,
    /// An LSM confines the process, and may refuse a capability that it has.
    pub(crate) confined: bool,
}

/// Probes, whether seccomp permits each call, and which capabilities were shown.
pub(crate) struct Read {
    pub(crate) probes: Vec<Probe>,
    pub(crate) system_calls: BTreeMap<String, Conclusion>,
    pub(crate) capabilities: BTreeMap<String, Vec<ShownCapability>>,
}

impl Plan {
    pub(crate) fn read(self, answers: &Answers, known: &Known<'_>) -> Read {
        let answered: Vec<(&Row, Answer)> = PROBES
            .iter()
            .zip(self.calls)
            .map(|(row, call)| (row, call.map_or_else(Answer::skipped, |id| answers.of(id))))
            .collect();
        conclude(&answered, known)
    }
}

fn conclude(answered: &[(&Row, Answer)], known: &Known<'_>) -> Read {
    let mut read = Read { probes: Vec::new(), system_calls: BTreeMap::new(), capabilities: BTreeMap::new() };
    for (row, answer) in answered {
        let conclusion = seccomp_reading(row, answer, known);
        let all = read.system_calls.entry(row.name.to_owned()).or_default();
        if rank(conclusion.reads_as) > rank(all.reads_as) {
            *all = conclusion.clone();
        }
        read.probes.push(Probe {
            name: row.name.to_owned(),
            call: row.call.to_owned(),
            answer: answer.clone(),
            reads_as: conclusion.reads_as,
            why: conclusion.why,
        });
    }
    for (row, answer) in answered {
        let Some(check) = applicable_check(row, known) else { continue };
        let permitted = read.system_calls.get(row.name).map(|c| c.reads_as).unwrap_or_default();
        if let Some(shown) = capability_reading(row, check, answer, permitted, known) {
            read.capabilities.entry(check.capability.name().to_owned()).or_default().push(shown);
        }
    }
    read
}

/// Of several probes of one call the most decided one is believed: each reading but `Ambiguous` is certain.
fn rank(reading: Reading) -> u8 {
    match reading {
        Reading::Unmeasured => 0,
        Reading::Ambiguous => 1,
        Reading::Absent => 2,
        Reading::Blocked => 3,
        Reading::Permitted => 4,
    }
}

fn reached(row: &Row, answer: &Answer) -> bool {
    let error = |name: &str| row.reached.iter().any(|number| crate::errno::name(*number) == name);
    answer.error.as_deref().is_some_and(error) || (row.returns && answer.value.is_some())
}

fn no_filter(known: &Known<'_>) -> bool {
    known.process.seccomp_mode == Some(0)
}

fn seccomp_reading(row: &Row, answer: &Answer, known: &Known<'_>) -> Conclusion {
    let says = |reads_as, why: String| Conclusion { reads_as, why };
    if let Some(why) = &answer.skipped {
        // The mode alone decides, whatever the call would answer.
        if no_filter(known) {
            return says(Reading::Permitted, format!("no filter is in force; not probed: {why}"));
        }
        return says(Reading::Unmeasured, why.clone());
    }
    if let Some(signal) = &answer.killed {
        return match signal.as_str() {
            "SIGSYS" => says(Reading::Blocked, "a filter kills the caller".to_owned()),
            other => says(Reading::Ambiguous, format!("the caller was ended by {other}")),
        };
    }
    let Some(error) = answer.error.as_deref().filter(|_| !reached(row, answer)) else {
        return match (&answer.error, reached(row, answer)) {
            (Some(error), true) => {
                says(Reading::Permitted, format!("{error}: the kernel refused the arguments"))
            }
            (_, true) => says(Reading::Permitted, "the kernel answered".to_owned()),
            // A value where the kernel has none to give: a filter that answers "success" (errno 0).
            _ => says(Reading::Blocked, "the call returned success without being made".to_owned()),
        };
    };
    if no_filter(known) {
        return match error {
            "ENOSYS" => {
                says(Reading::Absent, "no filter is in force and the kernel lacks the call".to_owned())
            }
            _ => says(Reading::Permitted, format!("no filter is in force; {error} is the kernel's")),
        };
    }
    match error {
        "ENOSYS" if !row.optional && known.release.is_some_and(|r| r >= row.since) => {
            let (major, minor) = row.since;
            says(Reading::Blocked, format!("ENOSYS, and every kernel since {major}.{minor} has the call"))
        }
        "ENOSYS" => says(Reading::Ambiguous, "ENOSYS: a filter, or a kernel without the call".to_owned()),
        "EPERM" => match applicable_check(row, known).and_then(|check| other_cause(check, known)) {
            None => says(Reading::Blocked, "EPERM, and nothing but a filter gives it here".to_owned()),
            Some(cause) => says(Reading::Ambiguous, format!("EPERM: a filter, or {cause}")),
        },
        "EACCES" if applicable_check(row, known).is_none() && !known.confined => {
            says(Reading::Blocked, "EACCES, and nothing but a filter gives it here".to_owned())
        }
        other => says(Reading::Ambiguous, format!("{other} is not an answer of the kernel's to this call")),
    }
}

fn sysctl_is(known: &Known<'_>, (name, value): (&str, &str)) -> Option<bool> {
    let read = known.sysctls.get(name)?;
    match (&read.value, read.error.as_deref()) {
        (Some(is), _) => Some(is == value),
        _ => None,
    }
}

/// The row's check, where this kernel and its settings make it.
fn applicable_check<'a>(row: &'a Row, known: &Known<'_>) -> Option<&'a Check> {
    let check = row.check.as_ref()?;
    let past = check.until.zip(known.release).is_some_and(|(until, release)| release >= until);
    let waived = check.unless.is_some_and(|knob| sysctl_is(known, knob) == Some(true));
    (!past && !waived).then_some(check)
}

/// Why the kernel itself may have answered EPERM; `None` where it cannot have.
fn other_cause(check: &Check, known: &Known<'_>) -> Option<String> {
    let name = check.capability;
    match effective_over(check, known) {
        Some(true) if known.confined => return Some(format!("the LSM refuses {name}")),
        Some(true) => {}
        Some(false) => return Some(format!("{name} is not effective")),
        None => return Some(format!("{name} may not be effective")),
    }
    let knob = check.also.filter(|knob| sysctl_is(known, *knob) != Some(true));
    knob.map(|(name, _)| format!("sysctl {name}"))
}

/// Whether the process has the capability over the namespace that the check looks at.
fn effective_over(check: &Check, known: &Known<'_>) -> Option<bool> {
    if !known.process.capabilities.effective?.has(check.capability) {
        return Some(false);
    }
    let initial = known.namespaces.get("user").and_then(|n| n.initial);
    match check.over {
        Over::Initial => initial,
        // Every user namespace descends from the initial one, and a capability reaches down
        // (cap_capable() in security/commoncap.c).
        Over::OwnerOf(_) if initial == Some(true) => Some(true),
        Over::OwnerOf(kind) => known.namespaces.get(kind).and_then(|n| n.owned_by_own_user_namespace),
    }
}

fn capability_reading(
    row: &Row,
    check: &Check,
    answer: &Answer,
    seccomp: Reading,
    known: &Known<'_>,
) -> Option<ShownCapability> {
    let over = match check.over {
        Over::Initial => "initial".to_owned(),
        Over::OwnerOf(kind) => format!("owner of {kind}"),
    };
    let (reads_as, why) = if reached(row, answer) {
        // A sysctl that may waive the check and could not be read leaves it open whether it was made.
        if !check.shows || check.unless.is_some_and(|knob| sysctl_is(known, knob).is_none()) {
            return None;
        }
        (Reading::Permitted, "the check passed".to_owned())
    } else if answer.is_error("EPERM") {
        let knob = check.also.filter(|knob| sysctl_is(known, *knob) == Some(false));
        match (seccomp, knob) {
            (Reading::Permitted, Some((name, _))) => {
                (Reading::Ambiguous, format!("EPERM: the capability, or sysctl {name}"))
            }
            (Reading::Permitted, None) => {
                (Reading::Blocked, "EPERM, and seccomp permits the call".to_owned())
            }
            _ => (Reading::Ambiguous, "EPERM: a filter, or the capability".to_owned()),
        }
    } else {
        return None;
    };
    Some(ShownCapability { by: row.call.to_owned(), over, reads_as, why })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::Capabilities;
    use confinement::CapabilitySet;

    struct Facts {
        process: Process,
        namespaces: BTreeMap<String, Namespace>,
        sysctls: BTreeMap<String, Value>,
        release: (u32, u32),
    }

    impl Facts {
        fn new(seccomp_mode: u32, effective: CapabilitySet) -> Facts {
            let capabilities = Capabilities { effective: Some(effective), ..Capabilities::default() };
            let initial = Namespace { initial: Some(true), ..Namespace::default() };
            Facts {
                process: Process { seccomp_mode: Some(seccomp_mode), capabilities, ..Process::default() },
                namespaces: [("user".to_owned(), initial)].into(),
                sysctls: BTreeMap::new(),
                release: (6, 12),
            }
        }
        /// The same answer to every row of this name.
        fn read(&self, name: &str, answer: &Answer) -> Read {
            let known = Known {
                process: &self.process,
                namespaces: &self.namespaces,
                sysctls: &self.sysctls,
                release: Some(self.release),
                confined: false,
            };
            let rows: Vec<_> =
                PROBES.iter().filter(|row| row.name == name).map(|row| (row, answer.clone())).collect();
            assert!(!rows.is_empty(), "{name}");
            conclude(&rows, &known)
        }
        fn reading(&self, name: &str, error: &str) -> Reading {
            let answer = Answer { error: Some(error.to_owned()), ..Answer::default() };
            self.read(name, &answer).system_calls[name].reads_as
        }
    }

    #[test]
    fn every_probe_says_why_it_is_harmless_and_what_the_kernel_answers() {
        for row in PROBES {
            assert!(row.harmless.contains("()") && row.harmless.len() > 30, "{}", row.call);
            assert!(row.returns || !row.reached.is_empty(), "{}", row.call);
            assert!(row.arguments.len() <= 6, "{}", row.call);
            let function = row.call.split('(').next().unwrap_or_default();
            assert!(row.name.starts_with(function), "{}: {}", row.name, row.call);
            for error in row.reached {
                assert!(![EPERM, EACCES, ENOSYS].contains(error), "{}: a filter gives that too", row.call);
            }
        }
    }

    #[test]
    fn no_two_probes_make_the_same_call() {
        let calls: std::collections::HashSet<_> = PROBES.iter().map(|row| row.call).collect();
        assert_eq!(calls.len(), PROBES.len());
    }

    #[test]
    fn what_an_argument_may_precede_shows_no_capability() {
        // open_by_handle_at(-1, …) of 6.12 looks the descriptor up before it asks for the capability.
        let answer = Answer { error: Some("EBADF".to_owned()), ..Answer::default() };
        let read = Facts::new(0, CapabilitySet::EMPTY).read("open_by_handle_at", &answer);
        assert!(read.capabilities.is_empty(), "{:?}", read.capabilities);
        assert_eq!(read.system_calls["open_by_handle_at"].reads_as, Reading::Permitted);
    }

    #[test]
    fn the_same_eperm_reads_by_what_else_is_known() {
        let none = CapabilitySet::EMPTY;
        let admin = none.with(Capability::SYS_ADMIN);
        assert_eq!(Facts::new(2, none).reading("fsopen", "EPERM"), Reading::Ambiguous);
        assert_eq!(Facts::new(2, admin).reading("fsopen", "EPERM"), Reading::Blocked);
        assert_eq!(Facts::new(0, none).reading("fsopen", "EPERM"), Reading::Permitted);
        assert_eq!(Facts::new(2, none).reading("mount", "EPERM"), Reading::Blocked);
        let mut facts = Facts::new(2, none);
        facts.release = (5, 10);
        assert_eq!(facts.reading("bpf", "EPERM"), Reading::Ambiguous);
        let zero = Value { value: Some("0".into()), error: None };
        facts.sysctls.insert("kernel.unprivileged_bpf_disabled".into(), zero);
        assert_eq!(facts.reading("bpf", "EPERM"), Reading::Blocked);
    }

    #[test]
    fn a_capability_in_a_user_namespace_of_its_own_leaves_an_initial_check_ambiguous() {
        let mut facts = Facts::new(2, CapabilitySet::ALL);
        facts.namespaces.insert("user".into(), Namespace { initial: Some(false), ..Namespace::default() });
        assert_eq!(facts.reading("delete_module", "EPERM"), Reading::Ambiguous);
        let owned = Namespace { owned_by_own_user_namespace: Some(true), ..Namespace::default() };
        facts.namespaces.insert("mnt".into(), owned);
        assert_eq!(facts.reading("fsopen", "EPERM"), Reading::Blocked);
    }

    #[test]
    fn an_answer_that_is_nobodys_decides_nothing() {
        assert_eq!(Facts::new(2, CapabilitySet::ALL).reading("mount", "ENOTTY"), Reading::Ambiguous);
    }
}
