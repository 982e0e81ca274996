//! Runs a program and says what it cost: wall-clock time, processor time, peak memory.
//!
//! The kernel tells a parent only the greatest peak among all its children that have ended (getrusage(2),
//! `RUSAGE_CHILDREN`), so each program is started by a process of its own, which is this program again.

use std::env;
use std::ffi::{OsStr, OsString};
use std::io;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The first argument that makes this program the one that starts another.
pub const STARTER: &str = "start-and-measure";

/// What one run cost.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    pub wall: Duration,
    /// Processor time over all threads and all descendants, in the program and in the kernel for it.
    pub processor: Duration,
    /// The greatest resident set of one process, in bytes.
    pub peak: u64,
    /// What the program ended with; `None` where a signal ended it.
    pub code: Option<i32>,
}

/// A program that could not be measured.
fn failure(program: &OsStr, why: impl std::fmt::Display) -> io::Error {
    io::Error::other(format!("{}: {why}", program.to_string_lossy()))
}

/// Runs a command without input, its output thrown away. Its environment is that of this process.
pub fn run(command: &[OsString]) -> io::Result<Cost> {
    let program = command.first().map(OsString::as_os_str).unwrap_or_default();
    let output = Command::new(env::current_exe()?).arg(STARTER).args(command).output()?;
    if !output.status.success() {
        return Err(failure(program, String::from_utf8_lossy(&output.stderr).trim()));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| failure(program, "no measurement came back"))
}

fn parse(line: &str) -> Option<Cost> {
    let mut numbers = line.split_whitespace().map(str::parse::<i64>);
    let mut next = || numbers.next()?.ok();
    let mut microseconds = || Some(Duration::from_micros(u64::try_from(next()?).ok()?));
    let (wall, processor) = (microseconds()?, microseconds()?);
    let peak = u64::try_from(next()?).ok()?.checked_mul(1024)?;
    let code = i32::try_from(next()?).ok()?;
    Some(Cost { wall, processor, peak, code: (code >= 0).then_some(code) })
}

/// The other side of [`run`]: starts the command, waits for it, and writes one line of numbers.
pub fn start(command: &[OsString]) -> io::Result<()> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    let started = Instant::now();
    let status = command.status().map_err(|e| failure(program, e))?;
    let wall = started.elapsed();
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let processor = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    println!("{} {processor} {} {}", wall.as_micros(), usage.max_rss(), status.code().unwrap_or(-1));
    Ok(())
}

/// The middle of several runs by wall-clock time, with the greatest peak of them all.
pub fn median_of(runs: usize, command: &[OsString]) -> io::Result<Cost> {
    let mut costs = (0..runs.max(1)).map(|_| run(command)).collect::<io::Result<Vec<Cost>>>()?;
    costs.sort_by_key(|cost| cost.wall);
    let peak = costs.iter().map(|cost| cost.peak).max().unwrap_or_default();
    let middle = costs.get(costs.len() / 2).copied().ok_or_else(|| io::Error::other("no run"))?;
    Ok(Cost { peak, ..middle })
}

/// The median of a program's wall-clock time from its start to its end, for programs that end at once: started here and not
/// by a process between.
pub fn start_to_end(runs: usize, command: &[OsString]) -> io::Result<Duration> {
    let (program, arguments) = command.split_first().ok_or_else(|| io::Error::other("no command"))?;
    let mut times = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let started = Instant::now();
        command.status().map_err(|e| failure(program, e))?;
        times.push(started.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(times.len() / 2).copied().unwrap_or_default())
}

/// The median time of something done in this process.
pub fn in_process<T>(runs: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..runs.max(1))
        .map(|_| {
            let started = Instant::now();
            let result = work();
            let time = started.elapsed();
            drop(result);
            time
        })
        .collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_numbers_is_a_cost_and_a_negative_code_is_a_signal() {
        let cost = parse("1500 3000 2048 -1\n").expect("a cost");
        assert_eq!((cost.wall, cost.processor), (Duration::from_micros(1500), Duration::from_micros(3000)));
        assert_eq!((cost.peak, cost.code), (2 << 20, None));
        assert_eq!(parse("1 2 3 1").and_then(|c| c.code), Some(1));
        assert!(parse("1 2 3").is_none() && parse("error").is_none());
    }
}
