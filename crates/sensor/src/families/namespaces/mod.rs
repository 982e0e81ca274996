//! Namespaces and credentials: calls that change what a task is, and so explain what it has gained.

use super::{After, Call, EXPLAINS, NOT_ZERO, NOTED, ONLY, Test, WORKING_DIRECTORY};
use crate::event::{Namespaces, What};
use crate::kinds::Kind;
use crate::record::Record;

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET, NEWTIME (include/uapi/linux/sched.h).
const NAMESPACE_FLAGS: u64 = 0x7e02_0080;
/// Of clone(2), whose low byte is the signal sent at exit.
const CLONE_NAMESPACE_FLAGS: u64 = 0x7e02_0000;

/// Options of prctl(2) that change or show what a task may do: PDEATHSIG and names are not among them.
/// KEEPCAPS 8, SECCOMP 22, CAPBSET_DROP 24, SECUREBITS 28, MM 35, CHILD_SUBREAPER 36, NO_NEW_PRIVS 38, CAP_AMBIENT 47,
/// DUMPABLE 4; those above 63 (PTRACER, VMA names) are told as well.
const PRCTL_RARE: u64 = 1 << 4 | 1 << 8 | 1 << 22 | 1 << 24 | 1 << 28 | 1 << 35 | 1 << 38 | 1 << 47;

pub(crate) const CALLS: &[Call] = &[
    Call { file: [1, 0], flags: EXPLAINS, ..Call::rare(&["setns"], Kind::Setns, setns) },
    Call { flags: EXPLAINS, ..Call::rare(&["unshare"], Kind::Unshare, unshare) },
    Call {
        test: Test::Bits(1, CLONE_NAMESPACE_FLAGS),
        flags: ONLY | NOT_ZERO,
        ..Call::rare(&["clone"], Kind::CloneNamespaces, clone)
    },
    Call {
        test: Test::BitsAt(1, NAMESPACE_FLAGS),
        flags: ONLY | NOT_ZERO,
        ..Call::rare(&["clone3"], Kind::CloneNamespaces, clone3)
    },
    Call {
        text: [1, 0, 0, 0],
        directory: [WORKING_DIRECTORY, 0],
        after: After::Root,
        flags: NOTED,
        ..Call::rare(&["chroot"], Kind::Chroot, chroot)
    },
    Call {
        text: [1, 2, 0, 0],
        directory: [WORKING_DIRECTORY, WORKING_DIRECTORY],
        flags: NOTED,
        ..Call::rare(&["pivot_root"], Kind::PivotRoot, pivot_root)
    },
    Call {
        flags: EXPLAINS,
        ..Call::rare(
            &[
                "setuid",
                "setgid",
                "setreuid",
                "setregid",
                "setresuid",
                "setresgid",
                "setfsuid",
                "setfsgid",
                "setgroups",
                "setuid32",
                "setgid32",
                "setreuid32",
                "setregid32",
                "setresuid32",
                "setresgid32",
                "setfsuid32",
                "setfsgid32",
                "setgroups32",
            ],
            Kind::Setuid,
            setuid,
        )
    },
    Call { flags: EXPLAINS, ..Call::rare(&["capset"], Kind::Capset, capset) },
    Call { flags: EXPLAINS, test: Test::Number(1, PRCTL_RARE), ..Call::rare(&["prctl"], Kind::Prctl, prctl) },
    Call { flags: EXPLAINS, ..Call::rare(&["keyctl"], Kind::Keyctl, keyctl) },
    Call { text: [1, 2, 0, 0], ..Call::rare(&["add_key", "request_key"], Kind::Keyctl, keyctl) },
];

/// CLONE_* flag of the namespace that has this inode number among the task's.
fn kind_of(namespaces: &Namespaces, number: u32) -> Option<u32> {
    [
        (namespaces.mount, 0x0002_0000),
        (namespaces.user, 0x1000_0000),
        (namespaces.pid, 0x2000_0000),
        (namespaces.network, 0x4000_0000),
        (namespaces.ipc, 0x0800_0000),
        (namespaces.uts, 0x0400_0000),
        (namespaces.cgroup, 0x0200_0000),
    ]
    .into_iter()
    .find_map(|(inode, kind)| (inode == number).then_some(kind))
}

/// Inode numbers of the first namespaces: ipc, uts, user, pid, cgroup, time (include/linux/proc_ns.h).
const INITIAL: std::ops::RangeInclusive<u32> = 0xeffffffa..=0xefffffff;

fn setns(record: &Record<'_>) -> What {
    let namespace = record.file(0).map_or(0, |file| file.id.inode as u32);
    let asked = record.word(1);
    let kind =
        if asked != 0 { asked } else { kind_of(&record.head.actor.namespaces, namespace).unwrap_or(0) };
    What::Setns {
        kind,
        namespace,
        target_is_host: INITIAL.contains(&namespace) || namespace == record.host_mount,
    }
}

fn unshare(record: &Record<'_>) -> What {
    What::Unshare { flags: record.argument(0), after: record.head.actor.namespaces }
}

fn clone(record: &Record<'_>) -> What {
    What::CloneNamespaces { flags: record.argument(0) & CLONE_NAMESPACE_FLAGS }
}

fn clone3(record: &Record<'_>) -> What {
    What::CloneNamespaces { flags: record.argument(7) & NAMESPACE_FLAGS }
}

fn chroot(record: &Record<'_>) -> What {
    What::Chroot { path: record.path(0).unwrap_or_else(|| record.named(0)), file: record.object(0) }
}

fn pivot_root(record: &Record<'_>) -> What {
    What::PivotRoot { new_root: record.named(0), put_old: record.named(1), file: record.object(0) }
}

/// Identities that the call does not take are told as -1, which means "unchanged" to those that take them.
fn setuid(record: &Record<'_>) -> What {
    let call = record.call_name();
    let taken = if call.starts_with("setres") {
        3
    } else if call.starts_with("setre") {
        2
    } else {
        1
    };
    let mut ids = [u32::MAX; 3];
    for (position, id) in ids.iter_mut().enumerate().take(taken) {
        *id = record.word(position);
    }
    What::Setuid { call, ids }
}

fn capset(record: &Record<'_>) -> What {
    let after = record.head.actor.credentials;
    What::Capset { before: record.before().map_or(after, |(before, _)| before), after }
}

fn prctl(record: &Record<'_>) -> What {
    What::Prctl { option: record.word(0), argument: record.argument(1) }
}

fn keyctl(record: &Record<'_>) -> What {
    What::Keyctl { call: record.call_name(), operation: record.word(0), argument: record.argument(1) }
}
