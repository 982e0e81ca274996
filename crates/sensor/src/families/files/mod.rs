//! Files: opens told from the kernel's own file, and the calls that name, link, change and remove files.

use super::{After, Call, NOTED, Program, Test, WORKING_DIRECTORY};
use crate::event::{File, Lane, What};
use crate::kinds::Kind;
use crate::record::Record;

const CWD: u8 = WORKING_DIRECTORY;
const S_IFCHR: u64 = 0o020_000;
const SET_ID: u64 = 0o6000;

const fn open_call(
    names: &'static [&'static str],
    text: u8,
    directory: u8,
    decode: fn(&Record<'_>) -> What,
) -> Call {
    Call {
        program: Program::Open,
        text: [text, 0, 0, 0],
        directory: [directory, 0],
        ..Call::bulk(names, Kind::Open, decode)
    }
}

/// Two names, each with the directory it counts from.
const fn two_names(
    names: &'static [&'static str],
    kind: Kind,
    text: [u8; 2],
    directory: [u8; 2],
    decode: fn(&Record<'_>) -> What,
) -> Call {
    Call { text: [text[0], text[1], 0, 0], directory, flags: NOTED, ..Call::bulk(names, kind, decode) }
}

const fn one_name(
    names: &'static [&'static str],
    kind: Kind,
    text: u8,
    directory: u8,
    decode: fn(&Record<'_>) -> What,
) -> Call {
    Call { text: [text, 0, 0, 0], directory: [directory, 0], ..Call::bulk(names, kind, decode) }
}

pub(crate) const CALLS: &[Call] = &[
    open_call(&["open"], 1, CWD, open),
    open_call(&["creat"], 1, CWD, creat),
    open_call(&["openat"], 2, 1, openat),
    Call { block: (3, 24), ..open_call(&["openat2"], 2, 1, openat2) },
    Call {
        program: Program::Open,
        lane: Lane::Rare,
        ..Call::rare(&["open_by_handle_at"], Kind::OpenByHandle, open_by_handle)
    },
    Call {
        text: [2, 0, 0, 0],
        directory: [1, 0],
        ..Call::rare(&["name_to_handle_at"], Kind::NameToHandle, name_to_handle)
    },
    Call::bulk(&["close"], Kind::Close, close),
    one_name(&["truncate", "truncate64"], Kind::Truncate, 1, CWD, truncate),
    Call {
        file: [1, 0],
        ..Call::bulk(&["ftruncate", "ftruncate64"], Kind::Truncate, by_descriptor_truncate)
    },
    two_names(&["rename"], Kind::Rename, [1, 2], [CWD, CWD], rename),
    two_names(&["renameat", "renameat2"], Kind::Rename, [2, 4], [1, 3], rename),
    two_names(&["link"], Kind::Link, [1, 2], [CWD, CWD], link),
    two_names(&["linkat"], Kind::Link, [2, 4], [1, 3], link),
    two_names(&["symlink"], Kind::Symlink, [1, 2], [0, CWD], symlink),
    two_names(&["symlinkat"], Kind::Symlink, [1, 3], [0, 2], symlink),
    one_name(&["unlink"], Kind::Unlink, 1, CWD, unlink),
    one_name(&["unlinkat"], Kind::Unlink, 2, 1, unlinkat),
    one_name(&["rmdir"], Kind::Unlink, 1, CWD, rmdir),
    one_name(&["mkdir"], Kind::Mkdir, 1, CWD, mkdir),
    one_name(&["mkdirat"], Kind::Mkdir, 2, 1, mkdirat),
    // Devices are made rarely, and are never bulk.
    Call { test: Test::Bits(2, S_IFCHR), flags: NOTED, ..one_name(&["mknod"], Kind::Mknod, 1, CWD, mknod) },
    Call { test: Test::Bits(3, S_IFCHR), flags: NOTED, ..one_name(&["mknodat"], Kind::Mknod, 2, 1, mknodat) },
    // Set-user-id and set-group-id.
    Call { test: Test::Bits(2, SET_ID), ..one_name(&["chmod"], Kind::Chmod, 1, CWD, chmod) },
    Call { test: Test::Bits(3, SET_ID), ..one_name(&["fchmodat", "fchmodat2"], Kind::Chmod, 2, 1, fchmodat) },
    Call { test: Test::Bits(2, SET_ID), file: [1, 0], ..Call::bulk(&["fchmod"], Kind::Chmod, fchmod) },
    one_name(&["chown", "lchown", "chown32", "lchown32"], Kind::Chown, 1, CWD, chown),
    one_name(&["fchownat"], Kind::Chown, 2, 1, fchownat),
    Call { file: [1, 0], ..Call::bulk(&["fchown", "fchown32"], Kind::Chown, fchown) },
    Call {
        text: [1, 2, 0, 0],
        directory: [CWD, 0],
        ..Call::rare(&["setxattr", "lsetxattr", "removexattr", "lremovexattr"], Kind::Setxattr, setxattr)
    },
    Call {
        text: [0, 2, 0, 0],
        file: [1, 0],
        ..Call::rare(&["fsetxattr", "fremovexattr"], Kind::Setxattr, setxattr)
    },
    Call { text: [2, 4, 0, 0], directory: [1, 0], ..Call::rare(&["setxattrat"], Kind::Setxattr, setxattr) },
    Call { after: After::WorkingDirectory, ..one_name(&["chdir"], Kind::Chdir, 1, CWD, chdir) },
    Call { after: After::WorkingDirectory, file: [1, 0], ..Call::bulk(&["fchdir"], Kind::Chdir, chdir) },
    Call::bulk(&["dup", "dup2", "dup3"], Kind::Dup, dup),
    Call { file: [2, 1], ..Call::bulk(&["sendfile", "sendfile64"], Kind::Splice, splice) },
    Call { file: [1, 3], ..Call::bulk(&["splice", "copy_file_range"], Kind::Splice, splice) },
    Call { file: [1, 2], ..Call::bulk(&["tee"], Kind::Splice, splice) },
    Call { file: [1, 0], ..Call::bulk(&["vmsplice"], Kind::Splice, vmsplice) },
];

const O_CREAT: u64 = 0o100;

/// What a security hook tells of io_uring: the file, and nothing of how it was asked for.
pub(crate) fn decode(kind: Kind, record: &Record<'_>) -> Option<What> {
    let flags = u64::from(record.open_flags().unwrap_or(0));
    (kind == Kind::Open).then(|| opened(record, flags, 0))
}

fn opened(record: &Record<'_>, flags: u64, resolve: u64) -> What {
    let asked = record.text(0);
    let file = record.file(0).unwrap_or_else(|| File { path: record.named(0), ..File::default() });
    What::Open { file, asked, flags, resolve, created: flags & O_CREAT != 0 }
}

fn open(record: &Record<'_>) -> What {
    opened(record, record.argument(1), 0)
}

fn creat(record: &Record<'_>) -> What {
    // O_CREAT | O_WRONLY | O_TRUNC, as the kernel takes it.
    opened(record, 0o1101, 0)
}

fn openat(record: &Record<'_>) -> What {
    opened(record, record.argument(2), 0)
}

/// `struct open_how`: flags, mode, resolve (include/uapi/linux/openat2.h).
fn openat2(record: &Record<'_>) -> What {
    opened(record, record.block_u64(0), record.block_u64(16))
}

fn open_by_handle(record: &Record<'_>) -> What {
    What::OpenByHandle { file: record.file(0).unwrap_or_default(), flags: record.argument(2) }
}

fn name_to_handle(record: &Record<'_>) -> What {
    What::NameToHandle { path: record.named(0) }
}

fn close(record: &Record<'_>) -> What {
    What::Close { descriptor: record.word(0) as i32 }
}

/// The file of a descriptor argument, or one that is known only by the name that was asked for.
fn file_or_name(record: &Record<'_>) -> File {
    record.file(0).unwrap_or_else(|| File { path: record.named(0), ..File::default() })
}

fn truncate(record: &Record<'_>) -> What {
    What::Truncate { file: file_or_name(record) }
}

fn by_descriptor_truncate(record: &Record<'_>) -> What {
    What::Truncate { file: record.file(0).unwrap_or_default() }
}

fn rename(record: &Record<'_>) -> What {
    let flags = if record.call_name() == "renameat2" { record.argument(4) } else { 0 };
    What::Rename { from: record.named(0), to: record.named(1), flags, file: record.object(0) }
}

fn link(record: &Record<'_>) -> What {
    What::Link { from: record.named(0), to: record.named(1), file: record.object(0) }
}

fn symlink(record: &Record<'_>) -> What {
    What::Symlink { target: record.text(0), path: record.named(1), file: record.object(0) }
}

fn unlink(record: &Record<'_>) -> What {
    What::Unlink { path: record.named(0), directory: false, file: record.object(0) }
}

fn unlinkat(record: &Record<'_>) -> What {
    const AT_REMOVEDIR: u64 = 0x200;
    What::Unlink {
        path: record.named(0),
        directory: record.argument(2) & AT_REMOVEDIR != 0,
        file: record.object(0),
    }
}

fn rmdir(record: &Record<'_>) -> What {
    What::Unlink { path: record.named(0), directory: true, file: record.object(0) }
}

fn mkdir(record: &Record<'_>) -> What {
    What::Mkdir { path: record.named(0), mode: record.word(1), file: record.object(0) }
}

fn mkdirat(record: &Record<'_>) -> What {
    What::Mkdir { path: record.named(0), mode: record.word(2), file: record.object(0) }
}

/// The number of a device as mknod(2) takes it (new_decode_dev(), include/linux/kdev_t.h).
fn device(number: u32) -> (u32, u32) {
    ((number & 0xf_ff00) >> 8, number & 0xff | number >> 12 & 0xf_ff00)
}

fn mknod(record: &Record<'_>) -> What {
    What::Mknod {
        path: record.named(0),
        mode: record.word(1),
        device: device(record.word(2)),
        file: record.object(0),
    }
}

fn mknodat(record: &Record<'_>) -> What {
    What::Mknod {
        path: record.named(0),
        mode: record.word(2),
        device: device(record.word(3)),
        file: record.object(0),
    }
}

fn chmod(record: &Record<'_>) -> What {
    What::Chmod { file: file_or_name(record), mode: record.word(1) }
}

fn fchmodat(record: &Record<'_>) -> What {
    What::Chmod { file: file_or_name(record), mode: record.word(2) }
}

fn fchmod(record: &Record<'_>) -> What {
    What::Chmod { file: record.file(0).unwrap_or_default(), mode: record.word(1) }
}

fn chown(record: &Record<'_>) -> What {
    What::Chown { file: file_or_name(record), uid: record.word(1), gid: record.word(2) }
}

fn fchownat(record: &Record<'_>) -> What {
    What::Chown { file: file_or_name(record), uid: record.word(2), gid: record.word(3) }
}

fn fchown(record: &Record<'_>) -> What {
    What::Chown { file: record.file(0).unwrap_or_default(), uid: record.word(1), gid: record.word(2) }
}

fn setxattr(record: &Record<'_>) -> What {
    What::Setxattr { file: file_or_name(record), name: record.text(1) }
}

fn chdir(record: &Record<'_>) -> What {
    What::Chdir {
        path: record.path(0).unwrap_or_else(|| record.named(0)),
        file: record.file(0).unwrap_or_else(|| record.object(0)),
    }
}

fn dup(record: &Record<'_>) -> What {
    What::Dup { from: record.word(0) as i32, to: record.head.result as i32 }
}

fn splice(record: &Record<'_>) -> What {
    What::Splice { call: record.call_name(), from: record.file(0), to: record.file(1) }
}

fn vmsplice(record: &Record<'_>) -> What {
    What::Splice { call: record.call_name(), from: None, to: record.file(0) }
}
