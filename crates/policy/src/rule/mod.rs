//! The rules of a policy: which subjects each is about, what it asks of them, and how serious it is.

mod condition;
pub(crate) mod read;
pub(crate) mod rego;
mod select;

use std::sync::Arc;

use confinement::Place;
use serde::Serialize;
use techniques::judge::Verdict;
use techniques::technique::Gain;

use crate::pattern::Pattern;
use crate::standard::Standard;

pub use condition::{Condition, ConditionError, Input};
pub use rego::{RegoError, RegoFile, RegoPolicy};
pub use select::Selector;

/// How serious a rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Kept in the record; nobody is told.
    Record,
    /// Told, and let pass.
    Warn,
    /// Refused.
    Enforce,
}

impl Mode {
    pub fn name(self) -> &'static str {
        match self {
            Mode::Record => "record",
            Mode::Warn => "warn",
            Mode::Enforce => "enforce",
        }
    }
}

/// One rule of a policy.
#[derive(Debug)]
pub struct Rule {
    pub name: Arc<str>,
    pub place: Place,
    pub mode: Mode,
    /// What it is about: everything where there is none.
    pub subjects: Option<Selector>,
    /// Of those, what it leaves out.
    pub except: Vec<Selector>,
    pub require: Require,
    pub forbid: Forbid,
    pub condition: Option<Condition>,
    /// What to tell whoever is refused.
    pub message: Option<Arc<str>>,
}

/// What must be so.
#[derive(Clone, Debug, Default)]
pub struct Require {
    /// Verdicts that pass; empty: all.
    pub verdict: Vec<Verdict>,
    /// Walls that must stand in every path to the host.
    pub depth: Option<u8>,
    pub standards: Vec<Standard>,
    pub images: Option<Images>,
}

#[derive(Clone, Debug, Default)]
pub struct Images {
    /// Registries that images may come from, as patterns of the completed name: `docker.io`, `*.example.com`.
    pub registries: Vec<Pattern>,
    /// Named by digest.
    pub digest: bool,
    /// The tag `latest` is refused, written or left out.
    pub no_latest: bool,
}

/// What must not be.
#[derive(Clone, Debug, Default)]
pub struct Forbid {
    pub techniques: Vec<Pattern>,
    pub gains: Vec<Gain>,
}

impl Rule {
    /// Whether any of its parts asks something.
    pub(crate) fn asks(&self) -> bool {
        let require = &self.require;
        !require.verdict.is_empty()
            || require.depth.is_some()
            || !require.standards.is_empty()
            || require.images.is_some()
            || !self.forbid.techniques.is_empty()
            || !self.forbid.gains.is_empty()
            || self.condition.is_some()
    }
}
