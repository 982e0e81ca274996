//! `stockade harden host:`: files and commands that put walls back for every container of a host, to be reviewed,
//! each with its reason. What is known of the host and its engines comes from `sources`; files of the host are read
//! under a root folder, so that a test can give another.
//!
//! Each module below proposes for one place: [`daemon`] dockerd's file with [`remap`] for what user namespaces would
//! break here, [`podman`] Podman's, [`sysctl`] and [`modules`] the kernel's settings and modules, [`updates`] what
//! only an update mends, [`access`] who may use the engine. Nothing is changed but by [`write`], and no command is
//! ever run.

mod access;
mod daemon;
mod disk;
mod modules;
mod podman;
mod remap;
mod sysctl;
mod text;
mod updates;

#[cfg(test)]
mod tests;

use std::path::Path;

use confinement::{Engine, Host};
use serde::Serialize;
use sources::engine_api::Raw;

use crate::write::{self, WriteError};
use disk::Disk;

pub use text::text;

/// What is known before anything is proposed.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    pub host: &'a Host,
    /// The Docker daemon, where one answers.
    pub docker: Option<Running<'a>>,
    pub podman: Option<Running<'a>>,
}

/// An engine as it is set up, and all that it holds, containers that do not run among it.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    pub engine: &'a Engine,
    pub raw: &'a Raw,
}

/// How far user namespaces for all of Docker's containers are proposed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Remap {
    /// Where nothing that is here breaks by it; else what would is said.
    #[default]
    WhereNothingBreaks,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    pub remap: Remap,
}

/// Everything to review.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Proposal {
    pub files: Vec<FileProposal>,
    pub commands: Vec<Command>,
    /// What will not work any more as it does here now.
    pub breaks: Vec<String>,
    pub updates: Vec<Update>,
    pub notes: Vec<String>,
}

/// A file before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FileProposal {
    /// Absolute, as the host has it.
    pub path: String,
    /// `None` where there is no such file.
    pub before: Option<String>,
    pub after: String,
    pub reasons: Vec<Reason>,
}

/// Why one setting is in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Reason {
    /// The setting as the file has it.
    pub setting: String,
    pub why: String,
    /// Techniques by their identifiers, flaws by their numbers, `CIS Docker 2.9`.
    pub answers: Vec<String>,
}

/// A command for the operator to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Command {
    pub argv: Vec<String>,
    pub why: String,
    /// What takes it back.
    pub undoes: Option<String>,
}

/// A flaw that is present here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Update {
    pub flaw: String,
    pub title: String,
    pub component: String,
    /// How it is known to be here.
    pub why: String,
    /// The first version with the fix, of the distribution's package or of the component; `None`: none is known.
    pub fixed: Option<String>,
    /// What of the above closes its way in the meantime; empty where only the update does.
    pub meanwhile: Vec<String>,
}

impl Command {
    fn new<S: Into<String>>(argv: impl IntoIterator<Item = S>, why: impl Into<String>) -> Command {
        Command { argv: argv.into_iter().map(Into::into).collect(), why: why.into(), undoes: None }
    }
    fn undone_by(mut self, undoes: impl Into<String>) -> Command {
        self.undoes = Some(undoes.into());
        self
    }
}

impl Reason {
    fn new(setting: impl Into<String>, why: impl Into<String>, answers: &[&str]) -> Reason {
        let answers = answers.iter().map(|answer| (*answer).to_owned()).collect();
        Reason { setting: setting.into(), why: why.into(), answers }
    }
}

/// What a host's files and settings should be, with `root` as its root folder.
pub fn propose(known: &Known<'_>, options: Options, root: &Path) -> Proposal {
    let disk = Disk::new(root);
    let mut proposal = Proposal::default();
    daemon::propose(known, options, &disk, &mut proposal);
    podman::propose(known, &disk, &mut proposal);
    let flaws = updates::present(known);
    sysctl::propose(known, &flaws, &disk, &mut proposal);
    modules::propose(known, &flaws, &disk, &mut proposal);
    updates::propose(known, &flaws, &disk, &mut proposal);
    access::propose(known, &disk, &mut proposal);
    proposal
}

/// Writes the files of a proposal, each whole or not at all. One that changed since it was read is refused, and the
/// files before it stay written.
pub fn write(proposal: &Proposal, root: &Path) -> Result<(), WriteError> {
    for file in &proposal.files {
        let path = root.join(file.path.trim_start_matches('/'));
        if let Some(folder) = path.parent().filter(|folder| !folder.exists()) {
            std::fs::create_dir_all(folder)
                .map_err(|error| WriteError::Io { path: folder.display().to_string(), error })?;
        }
        write::replace(&path, file.before.as_deref(), &file.after)?;
    }
    Ok(())
}
