//! The mount family, old and new: what `fs/namespace.c` and `fs/fsopen.c` refuse.

use libc::*;

use super::{Argument, Attempt, EMPTY, HERE, NONE, NULL, ZERO, call, own};
use crate::perform::steps;

const OPEN_TREE: c_long = 428;
const MOVE_MOUNT: c_long = 429;
const FSOPEN: c_long = 430;
const FSCONFIG: c_long = 431;
const FSMOUNT: c_long = 432;
const FSPICK: c_long = 433;
const MOUNT_SETATTR: c_long = 442;

const REMOUNT: Argument = Argument::Int((MS_REMOUNT | MS_BIND | MS_RDONLY) as i64);
const TWO_KINDS: Argument = Argument::Int((MS_SHARED | MS_SLAVE) as i64);
const BIND: Argument = Argument::Int(MS_BIND as i64);

const TARGET_FIRST: &str = "do_mount(): the target is looked up first, and there is none";
const FLAGS_FIRST: &str = "flags that no kernel knows are refused before anything is looked up";
const NOT_MOUNTED: &str = "the target is a regular file and the option is not known: refused when the file system's \
     options are read, and at the latest when a folder would be put on a file; nothing is attached (the kernel's log may name the option)";

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "mount",
        techniques: &["mount-kernel-file-systems", "seccomp-opened-by-capability"],
        harmless: TARGET_FIRST,
        steps: &[call("mount(NULL, NULL, NULL, 0, NULL)", SYS_mount, &[NULL, NULL, NULL, ZERO, NULL])],
    },
    Attempt {
        name: "mount-block-device",
        techniques: &["mount-block-device"],
        harmless: "the device's node does not exist: lookup_bdev() answers ENOENT before a file system is made",
        steps: &[
            call(
                "mount(\"/dev/provoke-no-such-disk\", \"\", \"ext4\", MS_RDONLY, NULL)",
                SYS_mount,
                &[
                    Argument::Text(c"/dev/provoke-no-such-disk"),
                    EMPTY,
                    Argument::Text(c"ext4"),
                    Argument::Int(MS_RDONLY as i64),
                    NULL,
                ],
            ),
            own("mount(\"/dev/provoke-no-such-disk\", own folder)", steps::mount_of_no_disk),
        ],
    },
    Attempt {
        name: "mount-proc",
        techniques: &["core-pattern-handler", "mount-kernel-file-systems"],
        harmless: NOT_MOUNTED,
        steps: &[own("mount(proc, own file, proc, unknown option)", |f| steps::mount_refused(f, c"proc"))],
    },
    Attempt {
        name: "mount-sysfs",
        techniques: &["mount-kernel-file-systems"],
        harmless: NOT_MOUNTED,
        steps: &[own("mount(sysfs, own file, sysfs, unknown option)", |f| steps::mount_refused(f, c"sysfs"))],
    },
    Attempt {
        name: "mount-cgroup",
        techniques: &["release-agent"],
        harmless: NOT_MOUNTED,
        steps: &[own("mount(cgroup, own file, cgroup, unknown option)", |f| {
            steps::mount_refused(f, c"cgroup")
        })],
    },
    Attempt {
        name: "mount-securityfs",
        techniques: &["security-file-systems", "change-lsm-policy"],
        harmless: NOT_MOUNTED,
        steps: &[own("mount(securityfs, own file, securityfs, unknown option)", |f| {
            steps::mount_refused(f, c"securityfs")
        })],
    },
    Attempt {
        name: "mount-debugfs",
        techniques: &["debug-file-systems"],
        harmless: NOT_MOUNTED,
        steps: &[own("mount(debugfs, own file, debugfs, unknown option)", |f| {
            steps::mount_refused(f, c"debugfs")
        })],
    },
    Attempt {
        name: "mount-binfmt",
        techniques: &["binfmt-handler"],
        harmless: TARGET_FIRST,
        steps: &[call(
            "mount(\"binfmt_misc\", \"\", \"binfmt_misc\", 0, NULL)",
            SYS_mount,
            &[Argument::Text(c"binfmt_misc"), EMPTY, Argument::Text(c"binfmt_misc"), ZERO, NULL],
        )],
    },
    Attempt {
        name: "remount-read-only-path",
        techniques: &["core-pattern-handler", "write-sysctls"],
        harmless: "do_reconfigure_mnt(): /proc/sys/kernel is no root of a mount, and would stay read-only",
        steps: &[call(
            "mount(NULL, \"/proc/sys/kernel\", NULL, MS_REMOUNT|MS_BIND|MS_RDONLY, NULL)",
            SYS_mount,
            &[NULL, Argument::Text(c"/proc/sys/kernel"), NULL, REMOUNT, NULL],
        )],
    },
    Attempt {
        name: "umount-masked-path",
        techniques: &["unmasked-proc", "core-pattern-handler"],
        harmless: FLAGS_FIRST,
        steps: &[
            call("umount2(\"/proc/kcore\", ~0)", SYS_umount2, &[Argument::Text(c"/proc/kcore"), NONE]),
            call("umount2(\"/proc/sys\", ~0)", SYS_umount2, &[Argument::Text(c"/proc/sys"), NONE]),
        ],
    },
    Attempt {
        name: "mount-propagation",
        techniques: &["shared-mount-propagation"],
        harmless: "flags_to_propagation_type(): two kinds at once are refused",
        steps: &[call(
            "mount(NULL, \"/\", NULL, MS_SHARED|MS_SLAVE, NULL)",
            SYS_mount,
            &[NULL, Argument::Text(c"/"), NULL, TWO_KINDS, NULL],
        )],
    },
    Attempt {
        name: "mount-bind",
        techniques: &["shared-mount-propagation"],
        harmless: "do_loopback(): the source is looked up, and there is none",
        steps: &[call(
            "mount(\"/proc/provoke-none\", \"/\", NULL, MS_BIND, NULL)",
            SYS_mount,
            &[Argument::Text(c"/proc/provoke-none"), Argument::Text(c"/"), NULL, BIND, NULL],
        )],
    },
    Attempt {
        name: "fsopen",
        techniques: &["mount-block-device", "mount-kernel-file-systems"],
        harmless: FLAGS_FIRST,
        steps: &[
            call("fsopen(NULL, ~0)", FSOPEN, &[NULL, NONE]),
            call("fsopen(\"ext4\", ~0)", FSOPEN, &[Argument::Text(c"ext4"), NONE]),
            call("fsopen(\"proc\", ~0)", FSOPEN, &[Argument::Text(c"proc"), NONE]),
        ],
    },
    Attempt {
        name: "fsconfig",
        techniques: &["mount-block-device", "mount-kernel-file-systems"],
        harmless: "sys_fsconfig(): a negative descriptor is refused first",
        steps: &[call("fsconfig(-1, ~0, NULL, NULL, 0)", FSCONFIG, &[NONE, NONE, NULL, NULL, ZERO])],
    },
    Attempt {
        name: "fsmount",
        techniques: &["mount-block-device", "mount-kernel-file-systems"],
        harmless: FLAGS_FIRST,
        steps: &[call("fsmount(-1, ~0, 0)", FSMOUNT, &[NONE, NONE, ZERO])],
    },
    Attempt {
        name: "fspick",
        techniques: &["mount-kernel-file-systems"],
        harmless: FLAGS_FIRST,
        steps: &[call(
            "fspick(AT_FDCWD, \"/proc/sys\", ~0)",
            FSPICK,
            &[HERE, Argument::Text(c"/proc/sys"), NONE],
        )],
    },
    Attempt {
        name: "open-tree",
        techniques: &["core-pattern-handler"],
        harmless: FLAGS_FIRST,
        steps: &[
            call("open_tree(-1, NULL, ~0)", OPEN_TREE, &[NONE, NULL, NONE]),
            call("open_tree(AT_FDCWD, \"/proc\", ~0)", OPEN_TREE, &[HERE, Argument::Text(c"/proc"), NONE]),
        ],
    },
    Attempt {
        name: "move-mount",
        techniques: &["core-pattern-handler", "shared-mount-propagation"],
        harmless: FLAGS_FIRST,
        steps: &[
            call("move_mount(-1, NULL, -1, NULL, ~0)", MOVE_MOUNT, &[NONE, NULL, NONE, NULL, NONE]),
            call(
                "move_mount(AT_FDCWD, \"/proc\", AT_FDCWD, \"/\", ~0)",
                MOVE_MOUNT,
                &[HERE, Argument::Text(c"/proc"), HERE, Argument::Text(c"/"), NONE],
            ),
        ],
    },
    Attempt {
        name: "mount-setattr",
        techniques: &["core-pattern-handler"],
        harmless: FLAGS_FIRST,
        steps: &[
            call("mount_setattr(-1, NULL, ~0, NULL, 0)", MOUNT_SETATTR, &[NONE, NULL, NONE, NULL, ZERO]),
            call(
                "mount_setattr(AT_FDCWD, \"/proc/sys\", ~0, NULL, 0)",
                MOUNT_SETATTR,
                &[HERE, Argument::Text(c"/proc/sys"), NONE, NULL, ZERO],
            ),
        ],
    },
    Attempt {
        name: "new-mount-of-block-device",
        techniques: &["mount-block-device"],
        harmless: "the device's node does not exist: fsconfig(CREATE) answers ENOENT, no file system is made, and the \
                   context goes with its descriptor; fsmount(2) of it answers EINVAL",
        steps: &[own("fsopen, fsconfig(source), fsconfig(CREATE), fsmount", steps::new_mount_of_no_disk)],
    },
    Attempt {
        name: "pivot-root",
        techniques: &["mount-kernel-file-systems"],
        harmless: "sys_pivot_root(): the empty path is looked up first and is refused",
        steps: &[call("pivot_root(\"\", \"\")", SYS_pivot_root, &[EMPTY, EMPTY])],
    },
    Attempt {
        name: "chroot",
        techniques: &[],
        harmless: "sys_chroot(): the path is looked up first, and there is none",
        steps: &[
            call("chroot(\"\")", SYS_chroot, &[EMPTY]),
            call(
                "chroot(\"/proc/1/root/provoke-none\")",
                SYS_chroot,
                &[Argument::Text(c"/proc/1/root/provoke-none")],
            ),
        ],
    },
];
