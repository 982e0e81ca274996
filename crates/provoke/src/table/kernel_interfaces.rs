//! Files of /proc, /sys and the cgroup trees through which the kernel is told something.

use super::{Attempt, NOT_WRITTEN, READ_AND_CLOSED, own, read, write};
use crate::perform::steps;

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "core-pattern",
        techniques: &["core-pattern-handler"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/sys/kernel/core_pattern")],
    },
    Attempt {
        name: "core-pattern-elsewhere",
        techniques: &["core-pattern-handler"],
        harmless: "below a mount that whoever started the container made; opened for writing, not created and not cut, \
                   and closed",
        steps: &[write("/provoked/bound/core_pattern")],
    },
    Attempt {
        name: "modprobe",
        techniques: &["modprobe-handler"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/sys/kernel/modprobe")],
    },
    Attempt {
        name: "binfmt",
        techniques: &["binfmt-handler"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/sys/fs/binfmt_misc/register")],
    },
    Attempt {
        name: "uevent-helper",
        techniques: &["uevent-helper"],
        harmless: NOT_WRITTEN,
        steps: &[write("/sys/kernel/uevent_helper")],
    },
    Attempt {
        name: "sysrq",
        techniques: &["sysrq-trigger"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/sysrq-trigger"), write("/proc/sys/kernel/sysrq")],
    },
    Attempt {
        name: "sysctl",
        techniques: &["write-sysctls"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/sys/vm/panic_on_oom"), write("/proc/sys/kernel/yama/ptrace_scope")],
    },
    Attempt {
        name: "usermode-helper-capabilities",
        techniques: &["write-sysctls"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/sys/kernel/usermodehelper/bset")],
    },
    Attempt {
        name: "kernel-memory-file",
        techniques: &["kernel-memory-file"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/kcore")],
    },
    Attempt {
        name: "kernel-symbols",
        techniques: &["unmasked-proc"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/kallsyms")],
    },
    Attempt {
        name: "kernel-log-file",
        techniques: &["kernel-log"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/kmsg"), read("/dev/kmsg")],
    },
    Attempt {
        name: "masked-paths",
        techniques: &["unmasked-proc", "side-channel-files"],
        harmless: READ_AND_CLOSED,
        steps: &[
            read("/proc/keys"),
            read("/proc/timer_list"),
            read("/proc/acpi"),
            read("/proc/scsi"),
            read("/proc/sched_debug"),
            read("/proc/interrupts"),
            read("/sys/firmware"),
            read("/sys/devices/virtual/powercap"),
        ],
    },
    Attempt {
        name: "address-randomisation",
        techniques: &[],
        harmless: READ_AND_CLOSED,
        steps: &[read("/proc/sys/kernel/randomize_va_space")],
    },
    Attempt {
        name: "user-map",
        techniques: &["nested-user-namespace"],
        harmless: NOT_WRITTEN,
        steps: &[write("/proc/self/uid_map"), write("/proc/self/gid_map")],
    },
    Attempt {
        name: "sysfs",
        techniques: &["write-sysfs"],
        harmless: NOT_WRITTEN,
        steps: &[write("/sys/kernel/profiling"), write("/sys/power/state"), write("/sys/bus/pci/rescan")],
    },
    Attempt {
        name: "lsm-policy",
        techniques: &["change-lsm-policy"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/sys/kernel/security/apparmor/.load"),
            write("/sys/kernel/security/apparmor/.replace"),
            write("/sys/kernel/security/apparmor/.remove"),
        ],
    },
    Attempt {
        name: "security-file-system",
        techniques: &["security-file-systems"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/sys/kernel/security/lsm")],
    },
    Attempt {
        name: "debug-file-systems",
        techniques: &["debug-file-systems"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/sys/kernel/debug/tracing"), read("/sys/kernel/tracing/trace_marker")],
    },
    Attempt {
        name: "release-agent",
        techniques: &["release-agent"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/sys/fs/cgroup/release_agent"),
            write("/sys/fs/cgroup/memory/release_agent"),
            write("/provoked/cgroup/memory/release_agent"),
        ],
    },
    Attempt {
        name: "release-agent-rename",
        techniques: &["release-agent"],
        harmless: "an empty file in a folder of its own, which is removed",
        steps: &[own("rename(own file, \"release_agent\")", steps::rename_to_release_agent)],
    },
    Attempt {
        name: "notify-on-release",
        techniques: &["release-agent"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/sys/fs/cgroup/memory/notify_on_release"),
            write("/provoked/cgroup/memory/notify_on_release"),
        ],
    },
    Attempt {
        name: "device-cgroup",
        techniques: &["widen-device-cgroup"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/sys/fs/cgroup/devices/devices.allow"),
            write("/provoked/cgroup/devices/devices.allow"),
        ],
    },
    Attempt {
        name: "cgroup-processes",
        techniques: &["host-cgroup-tree"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/sys/fs/cgroup/cgroup.procs"),
            write("/sys/fs/cgroup/memory/cgroup.procs"),
            write("/sys/fs/cgroup/memory/tasks"),
            write("/provoked/cgroup/memory/cgroup.procs"),
        ],
    },
    Attempt {
        name: "cgroup-limits",
        techniques: &["own-cgroup-limits"],
        harmless: NOT_WRITTEN,
        steps: &[
            write("/sys/fs/cgroup/memory.max"),
            write("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
            write("/sys/fs/cgroup/cgroup.freeze"),
            write("/sys/fs/cgroup/cgroup.kill"),
        ],
    },
];
