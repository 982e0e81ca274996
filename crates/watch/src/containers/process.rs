//! A process of `/proc`, told from another that came to have its number by when it started.

use std::path::Path;

use sensor::event::Task;
use sources::process::read_text;

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
    fn the_user_of_this_process_is_read() {
        assert_eq!(uid(std::process::id()), Some(rustix::process::getuid().as_raw()));
    }
}
