//! Device nodes. One whose driver does something when it is opened (a watchdog is armed, a tape rewound, a modem's
//! lines raised) is only named: the kernel refuses it as a folder.

use libc::*;

use super::{Argument, Attempt, NO_DRIVER, NONE, READ_AND_CLOSED, call, named, own, read};
use crate::perform::steps;

pub(super) static ROWS: &[Attempt] = &[
    Attempt {
        name: "raw-memory",
        techniques: &["raw-memory-and-ports"],
        harmless: READ_AND_CLOSED,
        steps: &[read("/dev/mem"), read("/dev/kmem"), read("/dev/port")],
    },
    Attempt {
        name: "block-device",
        techniques: &["block-device", "read-block-device"],
        harmless: NO_DRIVER,
        steps: &[named("/dev/sda"), named("/dev/vda"), named("/dev/nvme0n1"), named("/dev/dm-0")],
    },
    Attempt {
        name: "given-block-device",
        techniques: &["block-device", "read-block-device"],
        harmless: "a block device that whoever started the container gave it, of a loop device or of compressed memory; \
                   opened for reading and closed",
        steps: &[read("/dev/provoked-disk")],
    },
    Attempt {
        name: "hypervisor-device",
        techniques: &["hypervisor-device"],
        harmless: NO_DRIVER,
        steps: &[named("/dev/kvm"), named("/dev/vhost-net"), named("/dev/vhost-vsock")],
    },
    Attempt {
        name: "direct-device",
        techniques: &["direct-device-access"],
        harmless: NO_DRIVER,
        steps: &[named("/dev/vfio/vfio"), named("/dev/uio0")],
    },
    Attempt {
        name: "kernel-device",
        techniques: &["kernel-device"],
        harmless: NO_DRIVER,
        steps: &[
            named("/dev/fuse"),
            named("/dev/net/tun"),
            named("/dev/loop-control"),
            named("/dev/mapper/control"),
        ],
    },
    Attempt {
        name: "input-device",
        techniques: &["input-device"],
        harmless: NO_DRIVER,
        steps: &[
            named("/dev/input/event0"),
            named("/dev/hidraw0"),
            named("/dev/bus/usb/001/001"),
            named("/dev/tty1"),
        ],
    },
    Attempt {
        name: "machine-control-device",
        techniques: &["machine-control-device"],
        harmless: NO_DRIVER,
        steps: &[named("/dev/watchdog"), named("/dev/rtc0"), named("/dev/ipmi0"), named("/dev/tpm0")],
    },
    Attempt {
        name: "graphics-device",
        techniques: &["graphics-device"],
        harmless: NO_DRIVER,
        steps: &[named("/dev/nvidia0"), named("/dev/nvidiactl"), named("/dev/dri/card0"), named("/dev/kfd")],
    },
    Attempt {
        name: "ports",
        techniques: &["raw-memory-and-ports"],
        harmless: "sys_iopl(): a level above 3 is refused first; ioperm(): ports above the last are refused first",
        steps: &[
            call("iopl(~0)", SYS_iopl, &[NONE]),
            call("ioperm(~0, ~0, 1)", SYS_ioperm, &[NONE, NONE, Argument::Int(1)]),
        ],
    },
    Attempt {
        name: "terminal-injection",
        techniques: &["input-device"],
        harmless: "a regular file of its own is no terminal: ENOTTY",
        steps: &[own("ioctl(own file, TIOCSTI)", steps::inject_into_no_terminal)],
    },
];
