//! Processes: what they execute, fork and reach into; containers, as they begin and end.

use super::{Call, ONLY, PIDFD, RETURNED, Test};
use crate::event::{File, FileId, What};
use crate::kinds::Kind;
use crate::record::{FLAG_ENTERED, Record};

const PROT_EXEC: u64 = 4;
const MAP_ANONYMOUS: u64 = 0x20;

pub(crate) const CALLS: &[Call] = &[
    Call {
        text: [1, 0, 0, 0],
        directory: [super::WORKING_DIRECTORY, 0],
        ..Call::bulk(&["execve"], Kind::Execve, execve)
    },
    Call { text: [2, 0, 0, 0], directory: [1, 0], ..Call::bulk(&["execveat"], Kind::Execve, execve) },
    Call { process: 1, ..Call::bulk(&["kill", "tkill"], Kind::Kill, kill) },
    Call { process: 2, ..Call::bulk(&["tgkill"], Kind::Kill, tgkill) },
    Call { process: 1, ..Call::bulk(&["rt_sigqueueinfo"], Kind::Kill, kill) },
    Call { process: 2, ..Call::bulk(&["rt_tgsigqueueinfo"], Kind::Kill, tgkill) },
    Call { process: 1, flags: PIDFD, ..Call::bulk(&["pidfd_send_signal"], Kind::Kill, kill) },
    Call {
        text: [1, 0, 0, 0],
        file: [RETURNED, 0],
        ..Call::rare(&["memfd_create"], Kind::MemfdCreate, memfd_create)
    },
    Call {
        test: Test::Bits(3, PROT_EXEC),
        flags: ONLY,
        ..Call::bulk(&["mprotect", "pkey_mprotect"], Kind::MakeExecutable, mprotect)
    },
    Call {
        file: [5, 0],
        test: Test::Bits(3, PROT_EXEC),
        flags: ONLY,
        ..Call::bulk(&["mmap", "mmap2"], Kind::MakeExecutable, mmap)
    },
    Call { process: 2, ..Call::rare(&["ptrace"], Kind::Ptrace, ptrace) },
    Call {
        process: 1,
        ..Call::rare(&["process_vm_readv", "process_vm_writev", "kcmp"], Kind::OtherProcess, other_process)
    },
    Call {
        process: 1,
        flags: PIDFD,
        ..Call::rare(&["pidfd_getfd", "process_madvise"], Kind::OtherProcess, other_process)
    },
];

/// An execve(2) that failed; one that did not is told by the tracepoint.
fn execve(record: &Record<'_>) -> What {
    What::Execve {
        file: File { path: record.named(0), ..File::default() },
        asked: record.text(0),
        arguments: Vec::new(),
        environment: Vec::new(),
        directory: record.path(8).unwrap_or_default(),
        directory_mount_namespace: 0,
        terminal: None,
        session: 0,
        group: 0,
        before: record.head.actor.credentials,
        entered: false,
    }
}

fn kill(record: &Record<'_>) -> What {
    kill_with(record, record.word(1) as i32)
}

fn tgkill(record: &Record<'_>) -> What {
    kill_with(record, record.word(2) as i32)
}

fn kill_with(record: &Record<'_>, signal: i32) -> What {
    let (target, target_container, _) = record.task().unwrap_or_default();
    What::Kill { target, target_container, signal }
}

fn memfd_create(record: &Record<'_>) -> What {
    What::MemfdCreate { name: record.text(0) }
}

fn mprotect(record: &Record<'_>) -> What {
    What::MakeExecutable { file: None, protection: record.word(2) }
}

fn mmap(record: &Record<'_>) -> What {
    let file = record.file(0).filter(|_| record.argument(3) & MAP_ANONYMOUS == 0);
    What::MakeExecutable { file, protection: record.word(2) }
}

fn ptrace(record: &Record<'_>) -> What {
    let (target, target_container, _) = record.task().unwrap_or_default();
    What::Ptrace { request: record.argument(0), target, target_container }
}

fn other_process(record: &Record<'_>) -> What {
    let (target, target_container, _) = record.task().unwrap_or_default();
    What::OtherProcess { call: record.call_name(), target, target_container }
}

pub(crate) fn decode(kind: Kind, record: &Record<'_>) -> Option<What> {
    let actor = &record.head.actor;
    Some(match kind {
        Kind::Fork => {
            let (child, _, child_inside) = record.task().unwrap_or_default();
            What::Fork { child, child_inside, flags: record.argument(0) }
        }
        Kind::Execve => executed(record),
        Kind::UsermodeHelper => What::UsermodeHelper {
            file: record.file(0).unwrap_or_default(),
            arguments: record.block_texts(0),
        },
        Kind::Exit => {
            // As wait(2) encodes it: the low 7 bits are the signal, the next byte the status.
            let status = record.word(0);
            What::Exit { status: (status >> 8 & 0xff) as i32, signal: (status & 0x7f) as i32 }
        }
        Kind::ContainerStarted => What::ContainerStarted {
            key: actor.container?,
            cgroup_path: record.cgroup_path().unwrap_or_default(),
            root: record.file(0).map_or_else(FileId::default, |file| file.id),
        },
        Kind::ContainerEnded => What::ContainerEnded { key: actor.container? },
        Kind::UnexplainedGain => {
            let (before, namespaces_before) = record.before()?;
            What::UnexplainedGain { before, after: actor.credentials, namespaces_before }
        }
        _ => return None,
    })
}

fn executed(record: &Record<'_>) -> What {
    let execution = record.execution();
    What::Execve {
        file: record.file(0).unwrap_or_default(),
        asked: record.text(0),
        arguments: record.block_texts(0),
        environment: record.block_texts(1),
        directory: record.path(1).unwrap_or_default(),
        directory_mount_namespace: execution.as_ref().map_or(0, |e| e.directory_mount_namespace),
        terminal: execution.as_ref().and_then(|e| e.terminal),
        session: execution.as_ref().map_or(0, |e| e.session),
        group: execution.as_ref().map_or(0, |e| e.group),
        before: record.before().map(|(credentials, _)| credentials).unwrap_or_default(),
        entered: record.head.flags & FLAG_ENTERED != 0,
    }
}
