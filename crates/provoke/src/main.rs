#![forbid(unsafe_code)]
//! Makes the harmless attempts of the table: see the crate's documentation.
//!
//! ```text
//! provoke list                     what there is: name, techniques, why it has no effect
//! provoke [--by WAY] NAME…|all     each in a process of its own; one line a call
//! ```
//!
//! A line says, between tabs: the process that made the call, the attempt, the call, what the kernel answered.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, ExitCode};

use provoke::{ATTEMPTS, Attempt, Way, find, perform};

const USAGE: &str = "usage: provoke list | provoke [--by WAY] NAME…|all";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let ended = match words.as_slice() {
        // What a copy of this program does.
        ["nothing"] => return ExitCode::SUCCESS,
        ["list"] => list(),
        ["--here", way, name] => here(way, name),
        ["--by", way, names @ ..] if !names.is_empty() => all(way, names),
        names @ [first, ..] if !first.starts_with('-') => all("plain", names),
        _ => Err(io::Error::other(USAGE)),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("provoke: {error}");
            ExitCode::from(2)
        }
    }
}

fn list() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for attempt in ATTEMPTS.iter().flat_map(|family| family.iter()) {
        writeln!(out, "{}\t{}\t{}", attempt.name, attempt.techniques.join(","), attempt.harmless)?;
    }
    Ok(())
}

fn way_of(name: &str) -> io::Result<Way> {
    Way::parse(name).ok_or_else(|| {
        let names: Vec<&str> = Way::ALL.iter().map(|w| w.name()).collect();
        io::Error::other(format!("there is no way {name:?}; there are: {}", names.join(" ")))
    })
}

fn attempt_of(name: &str) -> io::Result<&'static Attempt> {
    find(name)
        .ok_or_else(|| io::Error::other(format!("there is no attempt {name:?}; `provoke list` names them")))
}

/// Makes one attempt in this process.
fn here(way: &str, name: &str) -> io::Result<()> {
    let process = std::process::id();
    let mut out = io::stdout().lock();
    let mut told = Ok(());
    perform(attempt_of(name)?, way_of(way)?, |answer| {
        let line = format!("{process}\t{name}\t{}\t{}", answer.call, answer.result);
        told = writeln!(out, "{line}").and_then(|()| out.flush());
    })?;
    told
}

/// Starts a process for each attempt, one after another.
fn all(way: &str, names: &[&str]) -> io::Result<()> {
    let kind = way_of(way)?;
    let attempts: Vec<&Attempt> = match names {
        ["all"] => ATTEMPTS.iter().flat_map(|family| family.iter()).collect(),
        names => names.iter().map(|name| attempt_of(name)).collect::<io::Result<_>>()?,
    };
    let program = match kind {
        Way::Renamed => renamed()?,
        _ => "/proc/self/exe".to_owned(),
    };
    let mut failed = false;
    for attempt in attempts {
        let status = Command::new(&program).args(["--here", way, attempt.name]).status()?;
        failed |= !status.success();
        if !status.success() {
            eprintln!("provoke: {}: {status}", attempt.name);
        }
    }
    if kind == Way::Renamed {
        std::fs::remove_file(&program)?;
    }
    if failed { Err(io::Error::other("some attempts could not be made")) } else { Ok(()) }
}

/// A copy of this program under the name of a common one.
fn renamed() -> io::Result<String> {
    let path = std::env::temp_dir().join("nginx");
    std::fs::copy("/proc/self/exe", &path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path.to_string_lossy().into_owned())
}
