//! Programs run to their end within a time, their output bounded, never through a shell. Each gets a process group of
//! its own, so that an interrupt typed at the terminal reaches this process alone, which then ends what it started.

use std::fs::File;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How much is kept of each stream.
const MOST_OUTPUT: u64 = 4 << 20;

#[derive(Debug)]
pub(super) struct Output {
    /// `None` where a signal or the end of its time ended it.
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
    pub(super) timed_out: bool,
}

impl Output {
    pub(super) fn success(&self) -> bool {
        self.code == Some(0)
    }
}

pub(super) struct Limits<'a> {
    pub(super) time: Duration,
    /// Ends the program early when it becomes true.
    pub(super) interrupt: Option<&'a AtomicBool>,
}

/// Runs a program. `input` becomes its standard input, which is empty otherwise.
pub(super) fn run(words: &[String], input: Option<File>, limits: &Limits<'_>) -> std::io::Result<Output> {
    run_with(words, &[], input, limits)
}

/// As [`run`], with variables added to the environment.
pub(super) fn run_with(
    words: &[String],
    environment: &[(&str, &str)],
    input: Option<File>,
    limits: &Limits<'_>,
) -> std::io::Result<Output> {
    let mut child = command(words)?
        .envs(environment.iter().copied())
        .stdin(input.map_or_else(Stdio::null, Stdio::from))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let out = scope.spawn(|| read(stdout));
        let err = scope.spawn(|| read(stderr));
        let (code, timed_out) = wait(&mut child, limits)?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Output {
            code,
            stdout: text(out.join().unwrap_or_default()),
            stderr: text(err.join().unwrap_or_default()),
            timed_out,
        })
    })
}

/// How a program that writes a file of bounded size ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Saved {
    Whole,
    /// More came than was wanted; it was ended.
    TooMuch,
    /// It failed, with the end of what it said.
    Failed(String),
}

/// Runs a program with its standard output in a file.
pub(super) fn save(
    words: &[String],
    to: &mut File,
    most: u64,
    limits: &Limits<'_>,
) -> std::io::Result<Saved> {
    let mut child =
        command(words)?.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    std::thread::scope(|scope| {
        let (done, ended) = std::sync::mpsc::channel();
        let out = scope.spawn(move || {
            let copied = stdout.map_or(Ok(0), |stdout| std::io::copy(&mut stdout.take(most + 1), to));
            // What is still to come finds the pipe closed.
            let _ = done.send(());
            copied
        });
        let err = scope.spawn(|| read(stderr));
        let waited = match ended.recv_timeout(limits.time) {
            Ok(()) => {
                wait(&mut child, &Limits { time: Duration::from_secs(10), interrupt: limits.interrupt })
            }
            Err(_) => {
                end(&mut child);
                Ok((None, true))
            }
        };
        let copied = out.join().unwrap_or(Ok(0))?;
        let said = String::from_utf8_lossy(&err.join().unwrap_or_default()).into_owned();
        Ok(match waited? {
            _ if copied > most => Saved::TooMuch,
            (Some(0), _) => Saved::Whole,
            _ => Saved::Failed(super::engine::last_words(&said)),
        })
    })
}

/// A command in a process group of its own.
pub(super) fn command(words: &[String]) -> std::io::Result<Command> {
    let missing = || std::io::Error::new(std::io::ErrorKind::InvalidInput, "no program is named");
    let (program, arguments) = words.split_first().ok_or_else(missing)?;
    let mut command = Command::new(program);
    command.args(arguments).process_group(0);
    Ok(command)
}

fn read(stream: Option<impl Read>) -> Vec<u8> {
    let mut kept = Vec::new();
    if let Some(mut stream) = stream {
        let _ = stream.by_ref().take(MOST_OUTPUT).read_to_end(&mut kept);
        // Read on, so that the program does not wait for a reader.
        let _ = std::io::copy(&mut stream, &mut std::io::sink());
    }
    kept
}

fn wait(child: &mut Child, limits: &Limits<'_>) -> std::io::Result<(Option<i32>, bool)> {
    let started = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((status.code(), false));
        }
        let interrupted = limits.interrupt.is_some_and(|flag| flag.load(Ordering::Relaxed));
        if interrupted || started.elapsed() >= limits.time {
            end(child);
            return Ok((None, !interrupted));
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Kills a program with what it started in its group, and waits for it.
pub(super) fn end(child: &mut Child) {
    if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &[&str]) -> Vec<String> {
        line.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn a_program_that_takes_too_long_is_ended_with_its_children() {
        let limits = Limits { time: Duration::from_millis(200), interrupt: None };
        let started = Instant::now();
        let output = run(&words(&["sh", "-c", "echo begun; sleep 30; echo done"]), None, &limits).unwrap();
        assert!(output.timed_out && output.code.is_none());
        assert_eq!(output.stdout, "begun\n");
        assert!(started.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn an_interrupt_ends_a_program() {
        let flag = AtomicBool::new(true);
        let limits = Limits { time: Duration::from_secs(30), interrupt: Some(&flag) };
        let output = run(&words(&["sleep", "30"]), None, &limits).unwrap();
        assert!(output.code.is_none() && !output.timed_out);
    }

    #[test]
    fn words_are_handed_over_as_they_are() {
        let limits = Limits { time: Duration::from_secs(10), interrupt: None };
        let output = run(&words(&["printf", "%s|", "a b", "$HOME;", "*"]), None, &limits).unwrap();
        assert_eq!((output.code, output.stdout.as_str()), (Some(0), "a b|$HOME;|*|"));
    }
}
