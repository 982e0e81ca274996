//! Mounts, by mount(2) and by the calls that came after it.

use super::{CONTEXT, Call, NOTED, RETURNED, WORKING_DIRECTORY};
use crate::event::{Text, What};
use crate::kinds::Kind;
use crate::record::Record;

const CWD: u8 = WORKING_DIRECTORY;

pub(crate) const CALLS: &[Call] = &[
    Call {
        text: [1, 2, 3, 5],
        directory: [0, CWD],
        flags: NOTED,
        ..Call::rare(&["mount"], Kind::Mount, mount)
    },
    Call {
        text: [1, 0, 0, 0],
        directory: [CWD, 0],
        flags: NOTED,
        ..Call::rare(&["umount2", "umount"], Kind::Umount, umount)
    },
    Call { text: [1, 0, 0, 0], ..Call::rare(&["fsopen"], Kind::Fsopen, fsopen) },
    Call { text: [2, 0, 0, 0], directory: [1, 0], ..Call::rare(&["fspick"], Kind::Fsopen, fspick) },
    Call { text: [3, 4, 0, 0], flags: CONTEXT, ..Call::rare(&["fsconfig"], Kind::Fsconfig, fsconfig) },
    Call { file: [RETURNED, 0], flags: CONTEXT, ..Call::rare(&["fsmount"], Kind::Fsmount, fsmount) },
    Call {
        text: [2, 0, 0, 0],
        directory: [1, 0],
        file: [RETURNED, 0],
        ..Call::rare(&["open_tree", "open_tree_attr"], Kind::OpenTree, open_tree)
    },
    Call {
        text: [2, 4, 0, 0],
        directory: [1, 3],
        flags: NOTED,
        ..Call::rare(&["move_mount"], Kind::MoveMount, move_mount)
    },
    Call {
        text: [2, 0, 0, 0],
        directory: [1, 0],
        block: (4, 32),
        ..Call::rare(&["mount_setattr"], Kind::MountSetattr, mount_setattr)
    },
];

fn mount(record: &Record<'_>) -> What {
    What::Mount {
        source: record.text(0),
        target: record.named(1),
        file_system: record.text(2),
        flags: record.argument(3),
        data: record.text(3),
        source_device: (0, 0),
        file: record.object(0),
    }
}

fn umount(record: &Record<'_>) -> What {
    let flags = if record.call_name() == "umount2" { record.argument(1) } else { 0 };
    What::Umount { target: record.named(0), flags, file: record.object(0) }
}

fn fsopen(record: &Record<'_>) -> What {
    What::Fsopen { file_system: record.text(0), flags: record.argument(1) }
}

/// The path that was picked stands where fsopen(2) has the file system.
fn fspick(record: &Record<'_>) -> What {
    What::Fsopen { file_system: record.named(0), flags: record.argument(2) }
}

fn fsconfig(record: &Record<'_>) -> What {
    What::Fsconfig {
        command: record.word(1),
        key: record.text(0),
        value: record.text(1),
        file_system: kernel_text(record, 2),
    }
}

fn fsmount(record: &Record<'_>) -> What {
    What::Fsmount { file_system: kernel_text(record, 2), attributes: record.argument(2) }
}

fn open_tree(record: &Record<'_>) -> What {
    // The tree itself is detached where it was cloned: its path then says nothing.
    let own = record.file(0).filter(|file| file.mount_namespace == record.head.actor.namespaces.mount);
    let file = own.unwrap_or_else(|| record.object(0));
    let path = if file.path.text.is_empty() { record.named(0) } else { file.path.clone() };
    What::OpenTree { path, flags: record.argument(2), file }
}

fn move_mount(record: &Record<'_>) -> What {
    What::MoveMount {
        from: record.named(0),
        to: record.named(1),
        flags: record.argument(4),
        file: record.object(0),
        onto: record.object(1),
    }
}

/// `struct mount_attr`: set, clear, propagation, user namespace (include/uapi/linux/mount.h).
fn mount_setattr(record: &Record<'_>) -> What {
    What::MountSetattr {
        path: record.named(0),
        flags: record.argument(2),
        set: record.block_u64(0),
        clear: record.block_u64(8),
        propagation: record.block_u64(16),
        file: record.object(0),
    }
}

fn kernel_text(record: &Record<'_>, index: u8) -> Text {
    record.text(index)
}
