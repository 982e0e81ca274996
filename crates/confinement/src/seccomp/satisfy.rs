//! Answers questions of a [`Program`]: the action for exact arguments, and whether there are arguments, among
//! those still possible, for which the call is permitted. The second is a search over the ways through the
//! program; a way counts only if some value satisfies all it asks of each word.

use super::chain::{Test, Word};
use super::program::{Accumulator, Block, Program, Target};
use super::{Action, Arguments};
use crate::fact::Truth;

/// How many steps a search may take before it gives up and answers "unknown". An engine's profile needs fewer
/// than a hundred; finding a value that avoids many masked comparisons is as hard as satisfiability.
const BUDGET: u32 = 200_000;

/// The action for exactly these arguments.
pub(super) fn exact(program: &Program, arguments: &[u64; 6]) -> Action {
    let mut value = 0;
    let mut target = program.start();
    loop {
        let block = match target {
            Target::Return(action) => return action,
            Target::Block(id) => program.block(id),
        };
        if let Some(loaded) = block.load {
            value = half(arguments[usize::from(loaded.word.argument)], loaded.word.high) & loaded.mask;
        }
        value &= block.and.unwrap_or(u32::MAX);
        target = if holds(block.test, value, block.datum) { block.on_true } else { block.on_false };
    }
}

/// Whether some arguments that agree with what is known are permitted.
pub(super) fn some_permitted(program: &Program, known: &Arguments) -> Truth {
    let mut search = Search { program, known, taken: Vec::new(), best: Truth::False, budget: BUDGET };
    search.walk(program.start(), None);
    // A search that was cut short may have missed a permission, but cannot have invented one.
    if search.budget == 0 { search.best.or(Truth::Unknown) } else { search.best }
}

fn half(value: u64, high: bool) -> u32 {
    if high { (value >> 32) as u32 } else { value as u32 }
}

fn holds(test: Test, value: u32, datum: u32) -> bool {
    match test {
        Test::Equal | Test::MaskedEqual => value == datum,
        Test::Greater => value > datum,
        Test::GreaterOrEqual => value >= datum,
    }
}

/// What one branch asks of a word.
#[derive(Clone, Copy)]
struct Demand {
    word: Word,
    mask: u32,
    test: Test,
    datum: u32,
    side: bool,
}

struct Search<'p> {
    program: &'p Program,
    known: &'p Arguments,
    /// What the way up to here asks.
    taken: Vec<Demand>,
    best: Truth,
    budget: u32,
}

impl Search<'_> {
    fn walk(&mut self, mut target: Target, mut accumulator: Option<Accumulator>) {
        let start = self.taken.len();
        while !self.best.is_true() && self.spend() {
            let block = match target {
                Target::Return(action) => {
                    self.best = self.best.or(action.permits());
                    break;
                }
                Target::Block(id) => *self.program.block(id),
            };
            accumulator = block.load.or(accumulator);
            // The first block of a program always loads.
            let Some(held) = accumulator.as_mut() else { break };
            held.mask &= block.and.unwrap_or(u32::MAX);
            let held = *held;
            if self.take(&block, held, true) {
                self.walk(block.on_true, accumulator);
            }
            self.taken.pop();
            if !self.take(&block, held, false) {
                break;
            }
            target = block.on_false;
        }
        self.taken.truncate(start);
    }

    fn spend(&mut self) -> bool {
        self.budget = self.budget.saturating_sub(1);
        self.budget > 0
    }

    /// Notes a branch; whether some value of its word takes it and every branch before. Not, where the budget
    /// ends.
    fn take(&mut self, block: &Block, held: Accumulator, side: bool) -> bool {
        let Accumulator { word, mask } = held;
        self.taken.push(Demand { word, mask, test: block.test, datum: block.datum, side });
        let argument = self.known.0[usize::from(word.argument)];
        let values = Values {
            mask: half(argument.mask, word.high),
            value: half(argument.value, word.high),
            word,
            taken: &self.taken,
        };
        let mut budget = self.budget;
        let possible = values.guess() || values.find(0, 32, &mut budget) && budget > 0;
        self.budget = budget;
        possible
    }
}

/// The values of a word that are still possible.
struct Values<'t> {
    /// Bits that are one way only, and which.
    mask: u32,
    value: u32,
    word: Word,
    taken: &'t [Demand],
}

impl Values<'_> {
    fn demands(&self) -> impl Iterator<Item = &Demand> {
        self.taken.iter().filter(|d| d.word == self.word)
    }

    /// Tries the likely values: at, above and below what is compared with.
    fn guess(&self) -> bool {
        let near = self.demands().flat_map(|d| [d.datum, d.datum.wrapping_add(1), d.datum.wrapping_sub(1)]);
        near.chain([0]).any(|v| {
            let value = v & !self.mask | self.value;
            self.demands().all(|d| holds(d.test, value & d.mask, d.datum) == d.side)
        })
    }

    /// Searches from the highest bit down. `prefix` holds the bits chosen, `left` is how many are still free.
    fn find(&self, prefix: u32, left: u32, budget: &mut u32) -> bool {
        *budget = budget.saturating_sub(1);
        if *budget == 0 {
            return true;
        }
        let free = if left == 32 { u32::MAX } else { (1 << left) - 1 };
        // The bits on which a comparison still depends.
        let mut open = 0;
        for demand in self.demands() {
            match demand.outcome(prefix, free) {
                Some(side) if side != demand.side => return false,
                Some(_) => {}
                None => open |= demand.mask,
            }
        }
        if open == 0 || left == 0 {
            return true;
        }
        let bit = 1 << (left - 1);
        let fixed = self.mask & bit != 0;
        if fixed || open & bit == 0 {
            return self.find(prefix | self.value & bit, left - 1, budget);
        }
        self.find(prefix, left - 1, budget) || self.find(prefix | bit, left - 1, budget)
    }
}

impl Demand {
    /// How the comparison ends for every choice of the free bits, if it ends the same for all.
    fn outcome(&self, prefix: u32, free: u32) -> Option<bool> {
        let (least, most) = (prefix & self.mask, (prefix | free) & self.mask);
        match self.test {
            Test::Equal | Test::MaskedEqual if (least ^ self.datum) & !(free & self.mask) != 0 => Some(false),
            Test::Equal | Test::MaskedEqual => (least == most).then_some(true),
            Test::Greater if least > self.datum => Some(true),
            Test::Greater => (most <= self.datum).then_some(false),
            Test::GreaterOrEqual if least >= self.datum => Some(true),
            Test::GreaterOrEqual => (most < self.datum).then_some(false),
        }
    }
}
