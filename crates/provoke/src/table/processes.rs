//! Processes: those of others reached for, and what is executed where nothing should be.

use libc::*;

use super::{
    Argument, Attempt, EMPTY, NONE, NOT_WRITTEN, NULL, READ_AND_CLOSED, ZERO, call, own, read, write,
};
use crate::perform::steps;

const PTRACE_PEEKDATA: i64 = 2;
const PTRACE_SEIZE: i64 = 0x4206;
const PIDFD_GETFD: c_long = 438;
const PROCESS_MADVISE: c_long = 440;
const NOTHING_RUNS: &str = "a copy of this program, which ends at once; its folder is removed";

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "ptrace",
        techniques: &["ptrace-host-process", "ptrace-neighbour"],
        harmless: "sys_ptrace(): no process has the number 0; PTRACE_SEIZE with an address is refused before it attaches",
        steps: &[
            call(
                "ptrace(PTRACE_PEEKDATA, 0, NULL, NULL)",
                SYS_ptrace,
                &[Argument::Int(PTRACE_PEEKDATA), ZERO, NULL, NULL],
            ),
            call(
                "ptrace(PTRACE_SEIZE, parent, ~0, 0)",
                SYS_ptrace,
                &[Argument::Int(PTRACE_SEIZE), Argument::Parent, NONE, ZERO],
            ),
        ],
    },
    Attempt {
        name: "process-vm-readv",
        techniques: &["ptrace-host-process", "ptrace-neighbour"],
        harmless: "process_vm_rw(): flags are refused first",
        steps: &[call(
            "process_vm_readv(parent, NULL, 0, NULL, 0, ~0)",
            SYS_process_vm_readv,
            &[Argument::Parent, NULL, ZERO, NULL, ZERO, NONE],
        )],
    },
    Attempt {
        name: "process-vm-writev",
        techniques: &["ptrace-host-process", "ptrace-neighbour"],
        harmless: "process_vm_rw(): flags are refused first",
        steps: &[call(
            "process_vm_writev(parent, NULL, 0, NULL, 0, ~0)",
            SYS_process_vm_writev,
            &[Argument::Parent, NULL, ZERO, NULL, ZERO, NONE],
        )],
    },
    Attempt {
        name: "pidfd-getfd",
        techniques: &["ptrace-host-process"],
        harmless: "sys_pidfd_getfd(): flags are refused first",
        steps: &[call("pidfd_getfd(-1, -1, ~0)", PIDFD_GETFD, &[NONE, NONE, NONE])],
    },
    Attempt {
        name: "process-madvise",
        techniques: &[],
        harmless: "sys_process_madvise(): flags are refused first",
        steps: &[call(
            "process_madvise(-1, NULL, 0, 0, ~0)",
            PROCESS_MADVISE,
            &[NONE, NULL, ZERO, ZERO, NONE],
        )],
    },
    Attempt {
        name: "kcmp",
        techniques: &[],
        harmless: "sys_kcmp(): no process has the number 0",
        steps: &[call("kcmp(0, 0, ~0, 0, 0)", SYS_kcmp, &[ZERO, ZERO, NONE, ZERO, ZERO])],
    },
    Attempt {
        name: "process-memory",
        techniques: &["ptrace-host-process", "ptrace-neighbour"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/1/mem"), read("/proc/1/mem")],
    },
    Attempt {
        name: "own-memory-file",
        techniques: &[],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/self/mem")],
    },
    Attempt {
        name: "process-root",
        techniques: &["proc-root-link", "processes-of-other-containers", "shared-pid-namespace"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/1/root/etc/passwd"), read("/proc/1/cwd/etc/passwd")],
    },
    Attempt {
        name: "process-environment",
        techniques: &["processes-of-other-containers"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/1/environ")],
    },
    Attempt {
        name: "process-command-line",
        techniques: &["host-process-info"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/1/cmdline"), read("/proc/1/cgroup")],
    },
    Attempt {
        name: "process-map-files",
        techniques: &["checkpoint-restore"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/1/map_files")],
    },
    Attempt {
        name: "set-memory-map",
        techniques: &["checkpoint-restore"],
        harmless: "prctl_set_mm(): a fifth argument is refused first",
        steps: &[call(
            "prctl(PR_SET_MM, ~0, 0, 0, 1)",
            SYS_prctl,
            &[Argument::Int(PR_SET_MM as i64), NONE, ZERO, ZERO, Argument::Int(1)],
        )],
    },
    Attempt {
        name: "kill",
        techniques: &["signal-host-processes"],
        harmless: "signal 0 is not delivered, no process has the greatest number, and no signal the number 255",
        steps: &[
            call("kill(1, 0)", SYS_kill, &[Argument::Int(1), ZERO]),
            call("kill(2147483647, 9)", SYS_kill, &[Argument::Int(i32::MAX as i64), Argument::Int(9)]),
            call("kill(1, 255)", SYS_kill, &[Argument::Int(1), Argument::Int(255)]),
        ],
    },
    Attempt {
        name: "memfd-execution",
        techniques: &["writable-root-filesystem"],
        harmless: NOTHING_RUNS,
        steps: &[
            own("memfd_create, execveat(fd, \"\", AT_EMPTY_PATH)", steps::run_from_memory),
            own("memfd_create, execve(/proc/self/fd/N)", steps::run_from_memory_by_path),
        ],
    },
    Attempt {
        name: "dropped-execution",
        techniques: &["writable-root-filesystem"],
        harmless: NOTHING_RUNS,
        steps: &[own("execve of a file just written", |f| steps::run_copy(f, "dropped", 0o755))],
    },
    Attempt {
        name: "hidden-execution",
        techniques: &["writable-root-filesystem"],
        harmless: NOTHING_RUNS,
        steps: &[own("execve of a hidden file just written", |f| steps::run_copy(f, ".hidden", 0o755))],
    },
    Attempt {
        name: "shared-memory-execution",
        techniques: &["writable-root-filesystem"],
        harmless: NOTHING_RUNS,
        steps: &[own("execve of a file in /dev/shm", |_| steps::run_in_shared_memory())],
    },
    Attempt {
        name: "debugfs-tool",
        techniques: &["block-device"],
        harmless: NOTHING_RUNS,
        steps: &[own("execve of a copy named debugfs", |f| steps::run_copy(f, "debugfs", 0o755))],
    },
    Attempt {
        name: "set-user-id-execution",
        techniques: &["regain-privileges"],
        harmless: NOTHING_RUNS,
        steps: &[own("execve of a set-user-ID copy", |f| steps::run_copy(f, "set-user-id", 0o4755))],
    },
    Attempt {
        name: "shell",
        techniques: &[],
        harmless: "the shell is given the command `:`, which does nothing",
        steps: &[own("execve(\"/bin/sh\", \"-c\", \":\")", |_| steps::run_shell())],
    },
    Attempt {
        name: "preload",
        techniques: &[],
        harmless: "the library does not exist and the program is linked statically",
        steps: &[own("execve with LD_PRELOAD=/provoke-none.so", |_| steps::run_with_preload())],
    },
    Attempt {
        name: "stdio-over-socket",
        techniques: &[],
        harmless: "the socket is of the loopback address, and the program ends at once",
        steps: &[own("execve with a TCP socket for input and output", |_| steps::run_over_socket())],
    },
    Attempt {
        name: "executable-memory",
        techniques: &[],
        harmless: "a page of its own memory, which is unmapped again and not run",
        steps: &[own("mprotect(own page, PROT_EXEC)", |_| Ok(crate::sys::make_a_page_executable()))],
    },
    Attempt {
        name: "setuid",
        techniques: &["regain-privileges"],
        harmless: "make_kuid(): the number -1 is no user; setresuid(-1, -1, -1) changes nothing",
        steps: &[
            call("setuid(-1)", SYS_setuid, &[NONE]),
            call("setresuid(-1, -1, -1)", SYS_setresuid, &[NONE, NONE, NONE]),
            call("setgid(-1)", SYS_setgid, &[NONE]),
        ],
    },
    Attempt {
        name: "capset",
        techniques: &["resource-capabilities"],
        harmless: "sys_capset(): the header cannot be read",
        steps: &[call("capset(NULL, NULL)", SYS_capset, &[NULL, NULL])],
    },
    Attempt {
        name: "set-scheduler",
        techniques: &["resource-capabilities"],
        harmless: "do_sched_setscheduler(): a missing parameter is refused first",
        steps: &[call(
            "sched_setscheduler(0, 1, NULL)",
            SYS_sched_setscheduler,
            &[ZERO, Argument::Int(1), NULL],
        )],
    },
    Attempt {
        name: "change-directory-to-descriptor",
        techniques: &[],
        harmless: "the folder is the container's own root, and the process ends",
        steps: &[own("chdir(/proc/self/fd/N)", |_| steps::change_to_descriptor())],
    },
    Attempt {
        name: "received-folder-of-host",
        techniques: &[],
        harmless: "the folder is one that the test made and sends; it is entered and closed, and nothing in it is opened",
        steps: &[own("recvmsg(SCM_RIGHTS), fchdir", |_| steps::enter_received_folder())],
    },
    Attempt {
        name: "runtime-overwrite",
        techniques: &["write-runtime-state"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/self/exe"), write("/proc/1/exe")],
    },
    Attempt {
        name: "personality",
        techniques: &[],
        harmless: "personality(0xffffffff) asks and changes nothing",
        steps: &[call("personality(0xffffffff)", SYS_personality, &[Argument::Int(0xffff_ffff)])],
    },
    Attempt {
        name: "accounting",
        techniques: &["resource-capabilities"],
        harmless: "sys_acct(): the empty path names no file; accounting is stopped by NULL alone",
        steps: &[call("acct(\"\")", SYS_acct, &[EMPTY])],
    },
];
