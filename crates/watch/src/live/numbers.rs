//! Which call a live event stands for, by the name that rules know it by.

use sensor::event::{Entry, Event, What};

/// The name of the call, or of what happened without one.
pub(super) fn call(event: &Event) -> Option<&'static str> {
    let named = match event.entry {
        Entry::SystemCall(number) => sensor::call_name(number, false),
        Entry::Compat(number) => sensor::call_name(number, true).map(without_width),
        Entry::IoUring(opcode) => io_uring(opcode),
        Entry::Kernel | Entry::Before => None,
    };
    // Exits are told by the kernel, whatever call or signal brought them about.
    if matches!(event.what, What::Exit { .. }) {
        return Some("procexit");
    }
    named.or_else(|| by_kind(&event.what))
}

/// Calls that the 32-bit table has twice go by the name of the 64-bit one.
fn without_width(name: &'static str) -> &'static str {
    match name {
        "setuid32" => "setuid",
        "setgid32" => "setgid",
        "setreuid32" => "setreuid",
        "setregid32" => "setregid",
        "setresuid32" => "setresuid",
        "setresgid32" => "setresgid",
        "chown32" => "chown",
        "fchown32" => "fchown",
        "lchown32" => "lchown",
        "fcntl64" => "fcntl",
        "sendfile64" => "sendfile",
        name => name,
    }
}

/// The call that an io_uring request does the same as (`include/uapi/linux/io_uring.h`, `enum io_uring_op`).
fn io_uring(opcode: u8) -> Option<&'static str> {
    Some(match opcode {
        9 => "sendmsg",
        10 => "recvmsg",
        13 => "accept4",
        16 => "connect",
        18 => "openat",
        19 => "close",
        22 => "read",
        23 => "write",
        26 => "sendto",
        27 => "recvfrom",
        28 => "openat2",
        35 => "renameat2",
        36 => "unlinkat",
        37 => "mkdirat",
        38 => "symlinkat",
        39 => "linkat",
        45 => "socket",
        56 => "bind",
        57 => "listen",
        _ => return None,
    })
}

/// Where the entry does not say it: the call that does such a thing today.
fn by_kind(what: &What) -> Option<&'static str> {
    Some(match what {
        What::Fork { .. } | What::CloneNamespaces { .. } => "clone",
        What::Execve { .. } => "execve",
        What::Kill { .. } => "kill",
        What::MemfdCreate { .. } => "memfd_create",
        What::MakeExecutable { .. } => "mprotect",
        What::Setns { .. } => "setns",
        What::Unshare { .. } => "unshare",
        What::Chroot { .. } => "chroot",
        What::PivotRoot { .. } => "pivot_root",
        What::Capset { .. } => "capset",
        What::Prctl { .. } => "prctl",
        What::Keyctl { .. } => "keyctl",
        What::Ptrace { .. } => "ptrace",
        What::Mount { .. } => "mount",
        What::Umount { .. } => "umount2",
        What::Fsopen { .. } => "fsopen",
        What::Fsconfig { .. } => "fsconfig",
        What::Fsmount { .. } => "fsmount",
        What::OpenTree { .. } => "open_tree",
        What::MoveMount { .. } => "move_mount",
        What::MountSetattr { .. } => "mount_setattr",
        What::Open { .. } => "openat",
        What::OpenByHandle { .. } => "open_by_handle_at",
        What::Close { .. } => "close",
        What::Write { .. } => "write",
        What::Rename { .. } => "renameat2",
        What::Link { .. } => "linkat",
        What::Symlink { .. } => "symlinkat",
        What::Unlink { .. } => "unlinkat",
        What::Mkdir { .. } => "mkdirat",
        What::Mknod { .. } => "mknodat",
        What::Chmod { .. } => "fchmodat",
        What::Chown { .. } => "fchownat",
        What::Ioctl { .. } => "ioctl",
        What::Chdir { .. } => "chdir",
        What::Dup { .. } => "dup3",
        What::Socket { .. } => "socket",
        What::Connect { .. } => "connect",
        What::Bind { .. } => "bind",
        What::Listen { .. } => "listen",
        What::Accept { .. } => "accept4",
        What::Send { .. } => "sendmsg",
        What::Receive { .. } => "recvmsg",
        What::Module { .. } => "finit_module",
        What::Bpf { .. } => "bpf",
        What::Userfaultfd { .. } => "userfaultfd",
        What::IoUringSetup { .. } => "io_uring_setup",
        _ => return None,
    })
}
