//! A process of `/proc`, told from another that came to have its number by when it started.

use std::path::Path;

use sensor::event::{Namespaces, Task};
use sources::process::{read_namespace, read_text};

/// Nanoseconds in what `/proc/PID/stat` counts in: `USER_HZ` is 100 on every architecture that is built for
/// (include/asm-generic/param.h).
pub(super) const TICK: u64 = 10_000_000;

/// Whether the process is the one that was seen: the same number and the same start.
pub(super) fn is(task: Task) -> bool {
    match (started(task.process), task.start) {
        (Some(_), 0) => true,
        (Some(ticks), start) => ticks.abs_diff(start / TICK) <= 1,
        (None, _) => false,
    }
}

/// When it started, in ticks since boot: field 22 of proc_pid_stat(5). The name in field 2 may hold anything; its
/// closing bracket is the last.
pub(super) fn started(pid: u32) -> Option<u64> {
    let text = read_text(Path::new(&format!("/proc/{pid}/stat"))).ok()?;
    text.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)?.parse().ok()
}

/// Its real user id, as this program's user namespace numbers it.
pub(super) fn uid(pid: u32) -> Option<u32> {
    let status = read_text(Path::new(&format!("/proc/{pid}/status"))).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// The namespaces of a process; 0 for one that cannot be read.
pub(super) fn namespaces(pid: u32) -> Namespaces {
    let number = |name: &str| read_namespace(pid, name).ok().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    Namespaces {
        user: number("user"),
        mount: number("mnt"),
        pid: number("pid"),
        network: number("net"),
        ipc: number("ipc"),
        uts: number("uts"),
        cgroup: number("cgroup"),
    }
}

/// Path of the executable, and the arguments, as `/proc` has them now.
pub(super) fn command(pid: u32) -> (Option<String>, Vec<String>) {
    let executable = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let bytes = sources::process::files::read_bytes(Path::new(&format!("/proc/{pid}/cmdline")), 64 << 10);
    let words = |bytes: Vec<u8>| {
        let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
        bytes.strip_suffix(b"\0").unwrap_or(&bytes).split(|b| *b == 0).take(64).map(text).collect()
    };
    (executable.map(|e| e.to_string_lossy().into_owned()), bytes.map(words).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_another_with_its_number() {
        let pid = std::process::id();
        let start = started(pid).unwrap() * TICK;
        assert!(is(Task { process: pid, thread: pid, start: start + 5_000_000 }));
        assert!(!is(Task { process: pid, thread: pid, start: start.saturating_sub(1_000_000_000).max(1) }));
        assert!(!is(Task { process: u32::MAX, thread: 1, start }));
    }

    #[test]
    fn namespaces_and_command_of_this_process_are_read() {
        let pid = std::process::id();
        assert_ne!(namespaces(pid).mount, 0);
        assert_eq!(uid(pid), Some(rustix::process::getuid().as_raw()));
        let (executable, arguments) = command(pid);
        assert!(executable.is_some() && !arguments.is_empty());
        assert_eq!(namespaces(u32::MAX), Namespaces::default());
    }
}
