//! The solver: from the truth of conditions to cut sets and depth.
//!
//! A technique is a disjunction of conjunctions (its terms). For one term, the barriers of its false conditions are
//! what must fail for it to be complete: a cut set. The depth of a technique is the size of its smallest one. An
//! unknown condition may be true or false, so that depth is a range: at least what certainly stands, at most what
//! stands if every unknown is a wall.

use serde::Serialize;

use confinement::{Confinement, Truth};

use crate::barrier::{Barrier, Barriers};
use crate::condition::{Condition, Filter};
use crate::technique::{Catalogue, ConditionId, Technique};

/// Room in a [`Vector`].
pub const MAX_CONDITIONS: usize = 512;
const WORDS: usize = MAX_CONDITIONS / 64;

/// The truth of every condition of a catalogue, for one container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Vector {
    yes: [u64; WORDS],
    unknown: [u64; WORDS],
}

impl Vector {
    pub fn set(&mut self, id: ConditionId, truth: Truth) {
        let (word, bit) = (id as usize / 64, 1u64 << (id % 64));
        self.yes[word] &= !bit;
        self.unknown[word] &= !bit;
        match truth {
            Truth::True => self.yes[word] |= bit,
            Truth::Unknown => self.unknown[word] |= bit,
            Truth::False => {}
        }
    }
    pub fn get(&self, id: ConditionId) -> Truth {
        let (word, bit) = (id as usize / 64, 1u64 << (id % 64));
        if self.yes[word] & bit != 0 {
            Truth::True
        } else if self.unknown[word] & bit != 0 {
            Truth::Unknown
        } else {
            Truth::False
        }
    }
}

/// The least and the most number of walls that must fall.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Depth {
    pub min: u8,
    pub max: u8,
}

impl Depth {
    /// No path at all.
    pub const NONE: Depth = Depth { min: u8::MAX, max: u8::MAX };

    #[must_use]
    pub fn least(self, other: Depth) -> Depth {
        Depth { min: self.min.min(other.min), max: self.max.min(other.max) }
    }
    #[must_use]
    pub fn plus(self, other: Depth) -> Depth {
        Depth { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }
}

/// What one technique comes to for one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Index in [`Catalogue::techniques`].
    pub technique: u16,
    pub depth: Depth,
    /// Minimal cut sets by what certainly stands, smallest first.
    pub cuts: Vec<Barriers>,
    /// The term that is nearest to complete: its evidence is shown.
    pub term: u16,
}

/// What all techniques come to for one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution {
    pub outcomes: Vec<Outcome>,
    /// Techniques whose premise is not known to hold or not to.
    pub not_judged: Vec<u16>,
}

/// Asks every condition of the catalogue that is neither about seccomp nor about the host's flaws.
pub fn evaluate(catalogue: &Catalogue, c: &Confinement) -> Vector {
    let mut vector = Vector::default();
    let filter = Filter::unasked();
    for (id, condition) in (0..).zip(&catalogue.conditions) {
        if !condition.is_seccomp() && !condition.is_flaw() {
            vector.set(id, condition.check(c, &filter, &mut ()));
        }
    }
    vector
}

/// Asks the conditions about seccomp, whose answers are the same for every container with the same filter,
/// bounding set, machine and kernel.
pub fn evaluate_seccomp(catalogue: &Catalogue, c: &Confinement) -> Vec<(ConditionId, Truth)> {
    let filter = Filter::of(c);
    (0..)
        .zip(&catalogue.conditions)
        .filter(|(_, condition)| condition.is_seccomp())
        .map(|(id, condition)| (id, condition.check(c, &filter, &mut ())))
        .collect()
}

/// Asks which flaws are present, whose answers are the same for every container of a host.
pub fn evaluate_flaws(catalogue: &Catalogue, c: &Confinement) -> Vec<(ConditionId, Truth)> {
    let filter = Filter::unasked();
    (0..)
        .zip(&catalogue.conditions)
        .filter(|(_, condition)| condition.is_flaw())
        .map(|(id, condition)| (id, condition.check(c, &filter, &mut ())))
        .collect()
}

/// Solves every technique.
pub fn solve(catalogue: &Catalogue, vector: &Vector) -> Solution {
    let mut solution = Solution::default();
    for (number, technique) in (0..).zip(&catalogue.techniques) {
        let premise = technique.premise.iter().fold(Truth::True, |t, c| t.and(vector.get(*c)));
        match premise {
            Truth::False => {}
            Truth::Unknown => solution.not_judged.push(number),
            Truth::True => solution.outcomes.push(solve_one(number, technique, vector, &catalogue.barriers)),
        }
    }
    solution
}

fn solve_one(number: u16, technique: &Technique, vector: &Vector, barriers: &[Barrier]) -> Outcome {
    let mut depth = Depth::NONE;
    let mut cuts: Vec<Barriers> = Vec::new();
    let mut best = (u8::MAX, u8::MAX, 0u16);
    for (i, term) in (0..).zip(&technique.terms) {
        let (mut stands, mut may_stand) = (Barriers::NONE, Barriers::NONE);
        for id in term {
            let Some(barrier) = barriers.get(*id as usize) else { continue };
            match vector.get(*id) {
                Truth::True => {}
                Truth::Unknown => may_stand = may_stand.with(*barrier),
                Truth::False => stands = stands.with(*barrier),
            }
        }
        let (min, max) = (stands.len() as u8, Barriers(stands.0 | may_stand.0).len() as u8);
        depth = depth.least(Depth { min, max });
        if (min, max) < (best.0, best.1) {
            best = (min, max, i);
        }
        if !cuts.iter().any(|c| c.is_subset(stands)) {
            cuts.retain(|c| !stands.is_subset(*c));
            cuts.push(stands);
        }
    }
    cuts.sort_by_key(|c| (c.len(), c.0));
    Outcome { technique: number, depth, cuts, term: best.2 }
}

/// The depth of one technique whose premise holds.
pub(crate) fn solve_technique(
    number: u16,
    technique: &Technique,
    vector: &Vector,
    barriers: &[Barrier],
) -> Depth {
    solve_one(number, technique, vector, barriers).depth
}

/// The conditions of one technique's term, with their truth.
pub fn term_conditions<'a>(
    catalogue: &'a Catalogue,
    outcome: &Outcome,
    vector: &'a Vector,
) -> impl Iterator<Item = (ConditionId, &'a Condition, Truth)> + 'a {
    let technique = catalogue.techniques.get(outcome.technique as usize);
    let term = technique.and_then(|t| t.terms.get(outcome.term as usize));
    let premise = technique.map(|t| t.premise.as_slice()).unwrap_or_default();
    premise
        .iter()
        .chain(term.map(|t| &**t).unwrap_or_default())
        .filter_map(move |id| Some((*id, catalogue.conditions.get(*id as usize)?, vector.get(*id))))
}
