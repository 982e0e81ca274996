//! What hardening changes: the plan for each subject, what of it is written where, and what is left to a person.

pub mod json;
pub mod sarif;
pub mod text;

use confinement::World;
use harden::hardening::Hardening;
use techniques::plan::{Plan, Planned, is_asked};
use techniques::solver::Depth;

/// All that one run of `stockade harden` found, for every format.
#[derive(Clone, Copy, Debug)]
pub struct HardenReport<'a> {
    pub world: &'a World,
    pub plan: &'a Plan,
    pub hardening: &'a Hardening,
    /// What was asked to be hardened, as the user wrote it.
    pub targets: &'a [String],
    /// The version of the program.
    pub version: &'a str,
    /// Walls that were asked for.
    pub depth: u8,
    /// The files were written, and not only shown.
    pub wrote: bool,
    /// Paths that are no files: what was typed, whose new text is shown whole.
    pub typed: &'a dyn IsTyped,
}

/// Whether a path stands for text that was typed.
pub trait IsTyped: std::fmt::Debug {
    fn is_typed(&self, path: &str) -> bool;
}

/// What is to be said of one subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It has the depth, and nothing is to be done.
    Sound,
    /// Its plan is in the edited text.
    Changed,
    /// It has a plan that cannot be written for it.
    Refused,
    /// No plan brings it to the depth.
    Left,
}

impl HardenReport<'_> {
    /// The depth with what is written, as it was solved anew.
    fn after(&self, planned: &Planned) -> Depth {
        self.hardening.stands.get(planned.subject).map_or(planned.after, |s| s.depth)
    }

    /// Why a subject stays below the depth though its own plan is made, or it needs none.
    fn why_short(&self, planned: &Planned) -> Option<String> {
        if !self.is_short(planned) || !planned.left.is_empty() {
            return None;
        }
        let stands = self.hardening.stands.get(planned.subject)?;
        if let Some(other) = stands.through.and_then(|i| self.world.subjects.get(i)) {
            return Some(format!("there is a way through {}, which has to be closed first", other.name));
        }
        let is_refused =
            |i: usize| self.hardening.subjects.get(i).is_some_and(|written| written.refusal.is_some());
        let engine = self.plan.engine.iter().find(|(i, _)| is_refused(*i))?.0;
        let engine = self.world.subjects.get(engine)?;
        Some(format!("the plan counts on a setting of {}, which is not written", engine.name))
    }

    /// Whether the subject is to have the depth, and has it not.
    fn is_short(&self, planned: &Planned) -> bool {
        let subject = self.world.subjects.get(planned.subject);
        subject.is_some_and(is_asked) && self.after(planned).min < self.depth
    }

    fn state(&self, planned: &Planned) -> State {
        let written = self.hardening.subjects.get(planned.subject);
        if written.is_some_and(|w| w.refusal.is_some()) {
            State::Refused
        } else if !planned.left.is_empty() || self.is_short(planned) {
            State::Left
        } else if planned.plan.remedies.is_empty() && planned.recommended.is_empty() {
            State::Sound
        } else {
            State::Changed
        }
    }
}

/// "open", "held by 2 walls", "held; no path is known".
fn standing(depth: Depth) -> String {
    match depth {
        Depth { max: 0, .. } => "open".into(),
        Depth { min: 0, .. } => "undetermined".into(),
        Depth { min: u8::MAX, .. } => "held; no path is known".into(),
        Depth { min, .. } => format!("held by {}", crate::words::walls(min)),
    }
}
