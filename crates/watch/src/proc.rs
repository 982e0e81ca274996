//! What `/proc` says of a process now: its namespaces and what it executes. `folder` is a process's, such as
//! `/proc/PID`; another one in tests.

use std::path::{Path, PathBuf};

use sensor::event::Namespaces;

/// Arguments of a process that are read, and bytes of them.
const ARGUMENTS: usize = 64;
const COMMAND_LINE: u64 = 64 << 10;

/// The folder of a process of this machine.
pub(crate) fn of(pid: u32) -> PathBuf {
    Path::new("/proc").join(pid.to_string())
}

/// The inode number in `kind:[NUMBER]` (namespaces(7)); 0 where it cannot be read.
pub(crate) fn namespace(folder: &Path, name: &str) -> u32 {
    let read = || {
        let target = std::fs::read_link(folder.join("ns").join(name)).ok()?;
        let text = target.to_str()?;
        text.split_once(":[")?.1.strip_suffix(']')?.parse().ok()
    };
    read().unwrap_or(0)
}

pub(crate) fn namespaces(folder: &Path) -> Namespaces {
    let of = |name: &str| namespace(folder, name);
    Namespaces {
        user: of("user"),
        mount: of("mnt"),
        pid: of("pid"),
        network: of("net"),
        ipc: of("ipc"),
        uts: of("uts"),
        cgroup: of("cgroup"),
    }
}

/// Those of the first process of `proc`; where they may not be read (ptrace(2), access mode checking), this program's
/// own, which runs on the host.
pub(crate) fn host_namespaces(proc: &Path) -> Namespaces {
    let first = namespaces(&proc.join("1"));
    let own = namespaces(&proc.join("self"));
    let known = |first: u32, own: u32| if first == 0 { own } else { first };
    Namespaces {
        user: known(first.user, own.user),
        mount: known(first.mount, own.mount),
        pid: known(first.pid, own.pid),
        network: known(first.network, own.network),
        ipc: known(first.ipc, own.ipc),
        uts: known(first.uts, own.uts),
        cgroup: known(first.cgroup, own.cgroup),
    }
}

/// Path of the executable, and the arguments.
pub(crate) fn command(folder: &Path) -> (Option<String>, Vec<String>) {
    let executable = std::fs::read_link(folder.join("exe")).ok();
    let bytes =
        sources::process::files::read_bytes(&folder.join("cmdline"), COMMAND_LINE).unwrap_or_default();
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    // Each ends with a zero byte; a thread of the kernel has none.
    let words = bytes.split_inclusive(|byte| *byte == 0).map(|word| word.strip_suffix(b"\0").unwrap_or(word));
    (executable.map(|e| e.to_string_lossy().into_owned()), words.take(ARGUMENTS).map(text).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_and_command_of_this_process_are_read() {
        let own = Path::new("/proc/self");
        assert_ne!(namespaces(own).mount, 0);
        let (executable, arguments) = command(own);
        assert!(executable.is_some() && !arguments.is_empty());
        assert_eq!(namespaces(Path::new("/proc/4294967295")), Namespaces::default());
    }
}
