//! The kernel itself: modules, programs, another kernel, keys, clocks, names, and calls that few programs need.

use libc::*;

use super::{Argument, Attempt, EMPTY, NONE, NULL, Step, ZERO, call, own};
use crate::perform::steps;

const FANOTIFY_INIT: c_long = SYS_fanotify_init;
const BPF_MAP_CREATE: Argument = Argument::Int(0);
const BPF_PROG_LOAD: Argument = Argument::Int(5);
const BPF_OBJ_GET: Argument = Argument::Int(7);
const BPF_RAW_TRACEPOINT_OPEN: Argument = Argument::Int(17);
const SYSLOG_ACTION_SIZE_BUFFER: Argument = Argument::Int(10);
const NO_CLOCK: Argument = Argument::Int(63);

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "kernel-module",
        techniques: &["load-kernel-module"],
        harmless: "sys_finit_module(): flags are refused before the descriptor is looked up; delete_module(): the name \
                   cannot be read",
        steps: &[
            call("finit_module(-1, \"\", ~0)", SYS_finit_module, &[NONE, EMPTY, NONE]),
            call(
                "delete_module(NULL, O_NONBLOCK)",
                SYS_delete_module,
                &[NULL, Argument::Int(O_NONBLOCK as i64)],
            ),
        ],
    },
    Attempt {
        name: "bpf-load",
        techniques: &["load-bpf-programs", "trace-host-kernel"],
        harmless: "__sys_bpf(): with a size of 0 all attributes are 0: a program without instructions, a map of no type",
        steps: &[
            call("bpf(-1, NULL, 0)", SYS_bpf, &[NONE, NULL, ZERO]),
            call("bpf(BPF_PROG_LOAD, NULL, 0)", SYS_bpf, &[BPF_PROG_LOAD, NULL, ZERO]),
            call("bpf(BPF_MAP_CREATE, NULL, 0)", SYS_bpf, &[BPF_MAP_CREATE, NULL, ZERO]),
        ],
    },
    Attempt {
        name: "bpf-pinned",
        techniques: &["security-file-systems"],
        harmless: "bpf_obj_get(): the path cannot be read",
        steps: &[call("bpf(BPF_OBJ_GET, NULL, 0)", SYS_bpf, &[BPF_OBJ_GET, NULL, ZERO])],
    },
    Attempt {
        name: "bpf-tracing",
        techniques: &["trace-host-kernel"],
        harmless: "bpf_raw_tracepoint_open(): descriptor 0 is no program",
        steps: &[call(
            "bpf(BPF_RAW_TRACEPOINT_OPEN, NULL, 0)",
            SYS_bpf,
            &[BPF_RAW_TRACEPOINT_OPEN, NULL, ZERO],
        )],
    },
    Attempt {
        name: "performance-events",
        techniques: &["performance-events", "trace-host-kernel"],
        harmless: "sys_perf_event_open(): flags are refused first",
        steps: &[call(
            "perf_event_open(NULL, 0, -1, -1, ~0)",
            SYS_perf_event_open,
            &[NULL, ZERO, NONE, NONE, NONE],
        )],
    },
    Attempt {
        name: "kexec",
        techniques: &["replace-running-kernel"],
        harmless: "CAP_SYS_BOOT is given up first, so kexec_load_permitted() refuses; the flags are unknown as well",
        steps: &[
            Step::Prepare { run: steps::give_up_boot },
            call("kexec_load(0, 0, NULL, ~0)", SYS_kexec_load, &[ZERO, ZERO, NULL, NONE]),
            call(
                "kexec_file_load(-1, -1, 0, NULL, ~0)",
                SYS_kexec_file_load,
                &[NONE, NONE, ZERO, NULL, NONE],
            ),
        ],
    },
    Attempt {
        name: "reboot",
        techniques: &["reboot-host", "replace-running-kernel"],
        harmless: "CAP_SYS_BOOT is given up first; and sys_reboot() refuses numbers that are not its magic ones",
        steps: &[
            Step::Prepare { run: steps::give_up_boot },
            call("reboot(0, 0, 0, NULL)", SYS_reboot, &[ZERO, ZERO, ZERO, NULL]),
        ],
    },
    Attempt {
        name: "keyrings",
        techniques: &["kernel-keyrings", "rarely-used-system-calls"],
        harmless: "no operation of keyctl(2) has the greatest number; the others cannot read the type",
        steps: &[
            call("keyctl(~0)", SYS_keyctl, &[NONE]),
            call("add_key(NULL, NULL, NULL, 0, 0)", SYS_add_key, &[NULL, NULL, NULL, ZERO, ZERO]),
            call("request_key(NULL, NULL, NULL, 0)", SYS_request_key, &[NULL, NULL, NULL, ZERO]),
        ],
    },
    Attempt {
        name: "kernel-log",
        techniques: &["kernel-log"],
        harmless: "syslog(SIZE_BUFFER) asks for a size",
        steps: &[call("syslog(10, NULL, 0)", SYS_syslog, &[SYSLOG_ACTION_SIZE_BUFFER, NULL, ZERO])],
    },
    Attempt {
        name: "host-name",
        techniques: &["host-name"],
        harmless: "sys_sethostname(): a negative length is refused",
        steps: &[
            call("sethostname(NULL, -1)", SYS_sethostname, &[NULL, NONE]),
            call("setdomainname(NULL, -1)", SYS_setdomainname, &[NULL, NONE]),
        ],
    },
    Attempt {
        name: "clock",
        techniques: &["set-clock"],
        harmless: "no clock has the number 63",
        steps: &[
            call("clock_settime(63, NULL)", SYS_clock_settime, &[NO_CLOCK, NULL]),
            own("clock_adjtime(63, ADJ_OFFSET)", |_| Ok(steps::adjust_no_clock())),
        ],
    },
    Attempt {
        name: "io-uring",
        techniques: &["rarely-used-system-calls"],
        harmless: "io_uring_setup(): the parameters cannot be read",
        steps: &[call("io_uring_setup(0, NULL)", SYS_io_uring_setup, &[ZERO, NULL])],
    },
    Attempt {
        name: "userfaultfd",
        techniques: &["rarely-used-system-calls"],
        harmless: "sys_userfaultfd(): flags are refused",
        steps: &[call("userfaultfd(~0)", SYS_userfaultfd, &[NONE])],
    },
    Attempt {
        name: "rare-calls",
        techniques: &["rarely-used-system-calls"],
        harmless: "unknown flags, commands and empty paths are refused first",
        steps: &[
            call("swapon(\"\", ~0)", SYS_swapon, &[EMPTY, NONE]),
            call("quotactl(~0, NULL, 0, NULL)", SYS_quotactl, &[NONE, NULL, ZERO, NULL]),
            call("fanotify_init(~0, 0)", FANOTIFY_INIT, &[NONE, ZERO]),
            call(
                "move_pages(0, 0, NULL, NULL, NULL, ~0)",
                SYS_move_pages,
                &[ZERO, ZERO, NULL, NULL, NULL, NONE],
            ),
        ],
    },
    Attempt {
        name: "compat-calls",
        techniques: &["compat-system-calls"],
        harmless: "socketcall(2) with a call number that does not exist is refused first",
        steps: &[own("int 0x80: socketcall(0, NULL)", |_| Ok(steps::compat_socketcall()))],
    },
];
