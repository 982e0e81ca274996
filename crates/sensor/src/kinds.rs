//! Kinds of events: what is asked for in bulk and what loss is counted by. The numbers are those of `bpf/record.h` for
//! the kinds that the programs name themselves.

use serde::{Deserialize, Serialize};

use crate::event::What;

macro_rules! kinds {
    ($($name:ident = $number:literal $text:literal,)*) => {
        /// A kind of event, named as the variant of [`crate::event::What`] that tells it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        #[repr(u16)]
        pub enum Kind {
            $($name = $number,)*
        }

        impl Kind {
            pub const ALL: &'static [Kind] = &[$(Kind::$name,)*];
            /// Above every number: the length of a table that is indexed by kind.
            pub const TABLE: usize = 128;

            /// As in JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Kind::$name => $text,)*
                }
            }

            #[cfg(any(test, feature = "loader"))]
            pub(crate) fn from_number(number: u16) -> Option<Kind> {
                match number {
                    $($number => Some(Kind::$name),)*
                    _ => None,
                }
            }
        }

        impl What {
            /// The variant without its facts.
            pub const fn kind(&self) -> Kind {
                match self { $(What::$name { .. } => Kind::$name,)* }
            }
        }
    };
}

kinds! {
    Fork = 1 "fork",
    Execve = 2 "execve",
    Exit = 3 "exit",
    ContainerStarted = 4 "container-started",
    ContainerEnded = 5 "container-ended",
    UnexplainedGain = 6 "unexplained-gain",
    Open = 7 "open",
    UsermodeHelper = 8 "usermode-helper",
    Module = 9 "module",
    CgroupMade = 10 "cgroup-made",
    CgroupRemoved = 11 "cgroup-removed",
    IoUringRequest = 12 "io-uring-request",
    Tampering = 13 "tampering",
    CapabilityUsed = 14 "capability-used",
    Connect = 15 "connect",
    Kill = 24 "kill",
    MemfdCreate = 25 "memfd-create",
    MakeExecutable = 26 "make-executable",
    Setns = 27 "setns",
    Unshare = 28 "unshare",
    CloneNamespaces = 29 "clone-namespaces",
    Chroot = 30 "chroot",
    PivotRoot = 31 "pivot-root",
    Setuid = 32 "setuid",
    Capset = 33 "capset",
    Prctl = 34 "prctl",
    Keyctl = 35 "keyctl",
    Ptrace = 36 "ptrace",
    OtherProcess = 37 "other-process",
    Mount = 38 "mount",
    Umount = 39 "umount",
    Fsopen = 40 "fsopen",
    Fsconfig = 41 "fsconfig",
    Fsmount = 42 "fsmount",
    OpenTree = 43 "open-tree",
    MoveMount = 44 "move-mount",
    MountSetattr = 45 "mount-setattr",
    OpenByHandle = 46 "open-by-handle",
    Close = 47 "close",
    Write = 48 "write",
    Truncate = 49 "truncate",
    Rename = 50 "rename",
    Link = 51 "link",
    Symlink = 52 "symlink",
    Unlink = 53 "unlink",
    Mkdir = 54 "mkdir",
    Mknod = 55 "mknod",
    Chmod = 56 "chmod",
    Chown = 57 "chown",
    Setxattr = 58 "setxattr",
    Ioctl = 59 "ioctl",
    Chdir = 60 "chdir",
    Dup = 61 "dup",
    ReceivedFile = 62 "received-file",
    NameToHandle = 63 "name-to-handle",
    Splice = 64 "splice",
    Socket = 65 "socket",
    Bind = 66 "bind",
    Listen = 67 "listen",
    Accept = 68 "accept",
    Send = 69 "send",
    Receive = 70 "receive",
    Netlink = 71 "netlink",
    Bpf = 72 "bpf",
    Kexec = 73 "kexec",
    Reboot = 74 "reboot",
    PerfEventOpen = 75 "perf-event-open",
    Userfaultfd = 76 "userfaultfd",
    Syslog = 77 "syslog",
    SetTime = 78 "set-time",
    SetName = 79 "set-name",
    Iopl = 80 "iopl",
    Personality = 81 "personality",
    RareCall = 82 "rare-call",
    IoUringSetup = 83 "io-uring-setup",
    Blind = 84 "blind",
}

/// Names of kinds for serialised accounts, where a record carries a number that no kind has.
#[cfg(feature = "loader")]
pub(crate) fn name_of_number(number: u16) -> String {
    Kind::from_number(number).map_or_else(|| format!("kind-{number}"), |kind| kind.name().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_are_those_of_the_programs() {
        let header = include_str!("bpf/record.h");
        let kinds = header.split("enum kind {").nth(1).and_then(|rest| rest.split("};").next()).unwrap_or("");
        let mut compared = 0;
        for line in kinds.lines().filter_map(|line| line.trim().strip_prefix("KIND_")) {
            let Some((name, number)) = line.trim_end_matches(',').split_once(" = ") else { continue };
            let number: u16 = number.parse().unwrap();
            let name = name.to_lowercase().replace('_', "-").replace("module-loaded", "module");
            if number == 0 {
                continue;
            }
            assert_eq!(Kind::from_number(number).map(Kind::name), Some(name.as_str()));
            compared += 1;
        }
        assert!(compared > 10);
    }

    #[test]
    fn every_kind_fits_the_accounts_and_is_named_once() {
        let mut names: Vec<_> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        assert!(Kind::ALL.iter().all(|kind| (*kind as usize) < Kind::TABLE));
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Kind::ALL.len());
    }
}
