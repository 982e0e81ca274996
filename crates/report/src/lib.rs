#![forbid(unsafe_code)]
//! Reports: what was judged, written for people and for programs. A [`Report`] comes in, made of what `sources` read and
//! `techniques` and `policy` said; each format is one module with one `write` function. Nothing is computed here: what a
//! report says was said before.

mod cis;
pub mod github;
pub mod gitlab;
pub mod graph;
pub mod harden;
pub mod html;
pub mod json;
pub mod junit;
pub mod sarif;
pub mod text;

mod escape;
mod layout;
mod path_graph;
mod picture;
mod words;

use std::io;

use confinement::{Subject, World};
pub use policy::published::{Class, every_finding};
use policy::{Decision, StandardResult, Waived, Waiver};
use serde::{Serialize, Serializer};
use techniques::judge::{Finding, Judged, Judgement, Verdict};
use techniques::severity::Severity;
use techniques::technique::{Catalogue, ConditionId};

/// All that one run found, for every format.
#[derive(Clone, Copy, Debug)]
pub struct Report<'a> {
    pub world: &'a World,
    pub judgement: &'a Judgement,
    /// The catalogue that was judged by.
    pub catalogue: &'a Catalogue,
    /// Results of standards by the subject's index, in rising order of it; a subject may have several.
    pub standards: &'a [(usize, StandardResult)],
    /// What of it is waived.
    pub waived: &'a Waived,
    /// What a policy decides, by the subject's index, in rising order of it; empty where none was asked.
    pub decisions: &'a [(usize, Decision)],
    /// What was asked to be judged, as the user wrote it.
    pub targets: &'a [String],
    /// The version of the program.
    pub version: &'a str,
    /// A path is a finding when fewer walls than this stand (`--depth`).
    pub threshold: u8,
    /// Weaknesses and what is only informative are wanted too (`--all`). JSON and HTML hold them always.
    pub all: bool,
}

/// Text that others wrote, safe to show at a terminal: on one line, and controls made visible.
pub fn printable(text: &str) -> std::borrow::Cow<'_, str> {
    escape::one_line(text)
}

/// The name of the program in machine-readable reports.
pub const TOOL: &str = "stockade";

/// How many subjects have which verdict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub subjects: usize,
    pub open: usize,
    pub held: usize,
    pub undetermined: usize,
}

impl<'a> Report<'a> {
    pub fn counts(&self) -> Counts {
        let mut counts = Counts { subjects: self.judgement.subjects.len(), ..Counts::default() };
        for judged in &self.judgement.subjects {
            *match judged.verdict {
                Verdict::Open => &mut counts.open,
                Verdict::Held => &mut counts.held,
                Verdict::Undetermined => &mut counts.undetermined,
            } += 1;
        }
        counts
    }

    /// Every judged subject with what was judged.
    pub fn subjects(&self) -> impl Iterator<Item = (&'a Subject, &'a Judged)> + use<'a> {
        let world = self.world;
        self.judgement.subjects.iter().filter_map(|j| Some((world.subjects.get(j.subject)?, j)))
    }

    /// The findings of a subject that are asked for: paths, and reach to others that is of weight; with `--all` the rest.
    pub fn findings(&self, judged: &'a Judged) -> impl Iterator<Item = (Class, &'a Finding)> + use<'a> {
        let all = self.all;
        every_finding(judged).filter(move |(class, f)| match class {
            Class::Path => all || f.severity > Severity::Info,
            Class::Lateral => all || f.severity >= Severity::Medium,
            Class::Weakness => all,
        })
    }

    /// The results of standards for a subject, by its index.
    pub fn standards_of(&self, subject: usize) -> impl Iterator<Item = &'a StandardResult> + use<'a> {
        let from = self.standards.partition_point(|(i, _)| *i < subject);
        let rest = self.standards.get(from..).unwrap_or_default();
        rest.iter().take_while(move |(i, _)| *i == subject).map(|(_, result)| result)
    }

    /// The waiver that holds for a finding of a subject.
    pub fn waiver(&self, judged: &Judged, finding: &Finding) -> Option<&'a Waiver> {
        self.waived.waiver(judged.subject, finding)
    }

    /// Whether a subject is open, and all that opens it is waived.
    pub fn is_waived(&self, judged: &Judged) -> bool {
        let mut open = judged.paths.iter().filter(|f| f.is_complete()).peekable();
        open.peek().is_some() && open.all(|f| self.waiver(judged, f).is_some())
    }

    /// The decision about a subject, by its index.
    pub fn decision_of(&self, subject: usize) -> Option<&'a Decision> {
        let at = self.decisions.binary_search_by_key(&subject, |(i, _)| *i).ok()?;
        self.decisions.get(at).map(|(_, decision)| decision)
    }

    /// A condition as technique files write it.
    pub fn condition(&self, id: ConditionId) -> String {
        self.catalogue.conditions.get(id as usize).map(ToString::to_string).unwrap_or_default()
    }

    /// The identifier of a subject, by its index.
    pub fn subject_id(&self, index: usize) -> &'a str {
        self.world.subjects.get(index).map(|s| &*s.id).unwrap_or_default()
    }

    /// The name of a subject for people, by its index.
    pub fn subject_name(&self, index: usize) -> &'a str {
        self.world.subjects.get(index).map(|s| &*s.name).unwrap_or_default()
    }
}

/// A number of walls that stand for "no path at all" in [`techniques::solver::Depth`].
pub(crate) fn walls(depth: u8) -> Option<u8> {
    (depth != u8::MAX).then_some(depth)
}

/// An error of a serialiser is one of writing: what is written here has no other.
pub(crate) fn io_error(error: serde_json::Error) -> io::Error {
    error.into()
}

/// A list that is made while it is written.
pub(crate) struct Each<F>(pub(crate) F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}
