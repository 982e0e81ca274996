//! The table of attempts: what is tried, the techniques that it belongs to, how it is made, and why it has no effect.
//! One file a family; the test in crates/stockade/tests says what a sensor must tell of each row.

mod devices;
mod files;
mod kernel;
mod kernel_interfaces;
mod mounts;
mod namespaces;
mod processes;
mod sockets;

use std::ffi::CStr;
use std::io;

use libc::c_long;

use crate::folder::Folder;

/// One thing that can be tried.
pub struct Attempt {
    pub name: &'static str,
    /// Identifiers of `techniques/*.yaml`; empty where a row of the table of detectors belongs to no technique.
    pub techniques: &'static [&'static str],
    /// Which check of the kernel rejects it, or what is left undone.
    pub harmless: &'static str,
    pub(crate) steps: &'static [Step],
}

impl Attempt {
    /// The calls that are made, each as the answer to it is told.
    pub fn calls(&self) -> Vec<String> {
        self.steps.iter().filter_map(Step::text).collect()
    }
}

/// One call, or a few that belong together.
pub(crate) enum Step {
    /// One system call; `text` is how a person writes it.
    Call { text: &'static str, number: c_long, arguments: &'static [Argument] },
    /// open(2) of a path that is not created and not cut, and close(2).
    Open { path: &'static str, flags: i32 },
    /// A stream socket connected to a path (`@` for an abstract name), and closed.
    ConnectUnix { path: &'static str },
    /// A stream socket bound to the loopback address, so that no packet leaves the machine, connected and closed.
    ConnectInternet { address: &'static str, port: u16 },
    /// What is done first; where it fails, the attempt ends there.
    Prepare { run: fn() -> io::Result<()> },
    /// What needs more than one call.
    Own { text: &'static str, run: fn(&Folder) -> io::Result<i64> },
}

impl Step {
    fn text(&self) -> Option<String> {
        match self {
            Step::Call { text, .. } | Step::Own { text, .. } => Some((*text).to_owned()),
            Step::Open { path, flags } => Some(format!("open(\"{path}\", {})", access(*flags))),
            Step::ConnectUnix { path } => Some(format!("connect(\"{path}\")")),
            Step::ConnectInternet { address, port } => Some(format!("connect({address} port {port})")),
            Step::Prepare { .. } => None,
        }
    }
}

/// The name of an access mode of open(2).
pub(crate) fn access(flags: i32) -> &'static str {
    match flags & libc::O_ACCMODE {
        libc::O_WRONLY => "O_WRONLY",
        libc::O_RDWR => "O_RDWR",
        _ => "O_RDONLY",
    }
}

pub(crate) enum Argument {
    Int(i64),
    Null,
    Text(&'static CStr),
    /// The path of an empty file of this process's own.
    OwnFile,
    /// The process that started this one: `provoke` itself.
    Parent,
}

/// All bits: more flags than any kernel knows, and no descriptor.
pub(crate) const NONE: Argument = Argument::Int(-1);
pub(crate) const ZERO: Argument = Argument::Int(0);
pub(crate) const NULL: Argument = Argument::Null;
pub(crate) const EMPTY: Argument = Argument::Text(c"");
pub(crate) const HERE: Argument = Argument::Int(libc::AT_FDCWD as i64);

pub(crate) const fn call(text: &'static str, number: c_long, arguments: &'static [Argument]) -> Step {
    Step::Call { text, number, arguments }
}

pub(crate) const fn read(path: &'static str) -> Step {
    Step::Open { path, flags: libc::O_RDONLY }
}

/// For writing; nothing is written.
pub(crate) const fn write(path: &'static str) -> Step {
    Step::Open { path, flags: libc::O_WRONLY }
}

/// As a folder: of a device node the kernel looks the path up and answers ENOTDIR, and no driver is called.
pub(crate) const fn named(path: &'static str) -> Step {
    Step::Open { path, flags: libc::O_RDONLY | libc::O_DIRECTORY }
}

pub(crate) const fn unix(path: &'static str) -> Step {
    Step::ConnectUnix { path }
}

pub(crate) const fn internet(address: &'static str, port: u16) -> Step {
    Step::ConnectInternet { address, port }
}

pub(crate) const fn own(text: &'static str, run: fn(&Folder) -> io::Result<i64>) -> Step {
    Step::Own { text, run }
}

pub(crate) const READ_AND_CLOSED: &str = "opened for reading and closed; no byte is read";
pub(crate) const NOT_WRITTEN: &str =
    "opened for writing, not created and not cut, and closed; no byte is written";
pub(crate) const NO_DRIVER: &str =
    "opened as a folder: the kernel answers ENOTDIR before it calls the driver";
pub(crate) const CONNECTED_AND_CLOSED: &str = "connected and closed; no byte is sent";
pub(crate) const STAYS_HERE: &str = "the socket is bound to the loopback address: the kernel refuses a route by any other device, or nobody listens";

/// All attempts, by family.
pub static ATTEMPTS: &[&[Attempt]] = &[
    mounts::ROWS,
    namespaces::ROWS,
    processes::ROWS,
    kernel_interfaces::ROWS,
    files::ROWS,
    devices::ROWS,
    sockets::ROWS,
    kernel::ROWS,
];

pub fn find(name: &str) -> Option<&'static Attempt> {
    ATTEMPTS.iter().flat_map(|family| family.iter()).find(|attempt| attempt.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_attempt_has_a_name_of_its_own_a_step_and_a_reason() {
        let mut names = Vec::new();
        for attempt in ATTEMPTS.iter().flat_map(|f| f.iter()) {
            assert!(!attempt.steps.is_empty(), "{}", attempt.name);
            assert!(attempt.harmless.len() > 20, "{}", attempt.name);
            assert!(attempt.name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'));
            names.push(attempt.name);
        }
        let count = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), count);
    }

    #[test]
    fn no_attempt_creates_or_cuts_the_file_that_it_opens() {
        for attempt in ATTEMPTS.iter().flat_map(|f| f.iter()) {
            for step in attempt.steps {
                if let Step::Open { flags, .. } = step {
                    let known = libc::O_ACCMODE | libc::O_DIRECTORY;
                    assert_eq!(flags & !known, 0, "{}", attempt.name);
                }
            }
        }
    }

    #[test]
    fn every_technique_that_an_attempt_names_is_a_file_of_the_catalogue() {
        let catalogue = concat!(env!("CARGO_MANIFEST_DIR"), "/../../techniques");
        for attempt in ATTEMPTS.iter().flat_map(|f| f.iter()) {
            for technique in attempt.techniques {
                let file = format!("{catalogue}/{technique}.yaml");
                assert!(std::path::Path::new(&file).exists(), "{}: {technique}", attempt.name);
            }
        }
    }
}
