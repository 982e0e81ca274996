//! Answers questions of a [`Chain`]: the action for exact arguments, and whether there are arguments, among those
//! still possible, for which the call is permitted. The second is a search over the ways through the tree; a way
//! counts only if some value satisfies all it asks of each word.

use super::chain::{Chain, Edge, LevelId, Node, State, Test, Word};
use super::{Action, Argument, Arguments};
use crate::fact::Truth;

/// How many steps a search may take before it gives up and answers "unknown". An engine's profile needs fewer than
/// a hundred; finding a value that avoids many masked comparisons is as hard as satisfiability.
const BUDGET: u32 = 200_000;

/// The action for exactly these arguments.
pub(super) fn exact(chain: &Chain, default: Action, arguments: &[u64; 6]) -> Action {
    match chain.state() {
        State::Empty => default,
        State::Always(action) => action,
        State::Tree(root) => follow(chain, root, arguments).unwrap_or(default),
    }
}

fn follow(chain: &Chain, level: LevelId, arguments: &[u64; 6]) -> Option<Action> {
    chain.level(level).iter().map(|id| chain.node(*id)).find_map(|node| {
        let argument = arguments[usize::from(node.word.argument)];
        let word = if node.word.high { (argument >> 32) as u32 } else { argument as u32 };
        match if holds(node, word) { node.on_true } else { node.on_false } {
            Edge::Next => None,
            Edge::Act(action) => Some(action),
            Edge::Down(below) => follow(chain, below, arguments),
        }
    })
}

fn holds(node: &Node, word: u32) -> bool {
    let word = word & node.mask;
    match node.test {
        Test::Equal | Test::MaskedEqual => word == node.datum,
        Test::Greater => word > node.datum,
        Test::GreaterOrEqual => word >= node.datum,
    }
}

/// Whether some arguments that agree with what is known are permitted.
pub(super) fn some_permitted(chain: &Chain, default: Action, known: &Arguments) -> Truth {
    match chain.state() {
        State::Empty => default.permits(),
        State::Always(action) => action.permits(),
        State::Tree(root) => {
            let mut search =
                Search { chain, default, known, taken: Vec::new(), best: Truth::False, budget: BUDGET };
            search.walk(Position { level: root, place: 0, outer: None });
            // A search that was cut short may have missed a permission, but cannot have invented one.
            if search.budget == 0 { search.best.or(Truth::Unknown) } else { search.best }
        }
    }
}

/// A node about to be tried, and where to go on when its level ends.
#[derive(Clone, Copy)]
struct Position<'a> {
    level: LevelId,
    place: usize,
    outer: Option<&'a Position<'a>>,
}

struct Search<'c> {
    chain: &'c Chain,
    default: Action,
    known: &'c Arguments,
    /// The comparisons on the way here, with the side taken.
    taken: Vec<(Node, bool)>,
    best: Truth,
    budget: u32,
}

impl Search<'_> {
    fn walk(&mut self, mut position: Position<'_>) {
        let start = self.taken.len();
        while !self.best.is_true() && !self.spend() {
            let Some(id) = self.chain.level(position.level).get(position.place) else {
                match position.outer {
                    Some(outer) => position = *outer,
                    None => {
                        self.reach(self.default);
                        break;
                    }
                }
                continue;
            };
            let node = *self.chain.node(*id);
            position.place += 1;
            let sides = [(true, node.on_true), (false, node.on_false)];
            for (side, edge) in sides {
                self.taken.push((node, side));
                match edge {
                    Edge::Next => {}
                    Edge::Act(action) if self.possible(node.word) => self.reach(action),
                    Edge::Down(level) if self.possible(node.word) => {
                        self.walk(Position { level, place: 0, outer: Some(&position) });
                    }
                    Edge::Act(_) | Edge::Down(_) => {}
                }
                self.taken.pop();
            }
            // At most one side goes on along the level; a node of which both do decides nothing.
            let mut along = sides.iter().filter(|(_, edge)| *edge == Edge::Next);
            match (along.next(), along.next()) {
                (None, _) => break,
                (Some(_), Some(_)) => {}
                (Some((side, _)), None) => {
                    self.taken.push((node, *side));
                    if !self.possible(node.word) {
                        break;
                    }
                }
            }
        }
        self.taken.truncate(start);
    }

    fn reach(&mut self, action: Action) {
        self.best = self.best.or(action.permits());
    }

    fn spend(&mut self) -> bool {
        self.budget = self.budget.saturating_sub(1);
        self.budget == 0
    }

    /// Whether some value of this word takes every branch taken so far; not, where the budget ends.
    fn possible(&mut self, word: Word) -> bool {
        let argument = self.known.0[usize::from(word.argument)];
        let mut values = Values::of(argument, word.high);
        for (node, side) in self.taken.iter().filter(|(node, _)| node.word == word) {
            values.narrow(node, *side);
        }
        let mut budget = self.budget;
        let found = values.find(0, 32, &mut budget);
        self.budget = budget;
        found && budget > 0
    }
}

/// The values of a 32-bit word that are still possible.
struct Values {
    /// Bits that must be set one way.
    mask: u32,
    value: u32,
    /// Two comparisons ask for different values of the same bit.
    contradiction: bool,
    lowest: u32,
    highest: u32,
    empty: bool,
    /// `word & mask` must differ from the second.
    avoided: Vec<(u32, u32)>,
}

impl Values {
    fn of(argument: Argument, high: bool) -> Values {
        let half = |v: u64| if high { (v >> 32) as u32 } else { v as u32 };
        Values {
            mask: half(argument.mask),
            value: half(argument.value),
            contradiction: false,
            lowest: 0,
            highest: u32::MAX,
            empty: false,
            avoided: Vec::new(),
        }
    }

    fn narrow(&mut self, node: &Node, side: bool) {
        match (node.test, side) {
            (Test::Equal | Test::MaskedEqual, true) => {
                self.contradiction |= (self.value ^ node.datum) & self.mask & node.mask != 0;
                self.mask |= node.mask;
                self.value |= node.datum;
            }
            (Test::Equal | Test::MaskedEqual, false) => self.avoided.push((node.mask, node.datum)),
            (Test::Greater, true) => match node.datum.checked_add(1) {
                Some(least) => self.lowest = self.lowest.max(least),
                None => self.empty = true,
            },
            (Test::Greater, false) => self.highest = self.highest.min(node.datum),
            (Test::GreaterOrEqual, true) => self.lowest = self.lowest.max(node.datum),
            (Test::GreaterOrEqual, false) => match node.datum.checked_sub(1) {
                Some(most) => self.highest = self.highest.min(most),
                None => self.empty = true,
            },
        }
    }

    /// Searches from the highest bit down. `prefix` holds the bits chosen, `left` is how many are still free.
    fn find(&self, prefix: u32, left: u32, budget: &mut u32) -> bool {
        if self.contradiction || self.empty {
            return false;
        }
        *budget = budget.saturating_sub(1);
        if *budget == 0 {
            return true;
        }
        let free = if left == 32 { u32::MAX } else { (1 << left) - 1 };
        let highest = prefix | free;
        if highest < self.lowest || prefix > self.highest || (prefix ^ self.value) & self.mask & !free != 0 {
            return false;
        }
        let hit = |(mask, datum): &(u32, u32)| (prefix ^ datum) & mask & !free == 0;
        let mut near = self.avoided.iter().filter(|a| hit(a)).peekable();
        let within = self.lowest <= prefix && highest <= self.highest;
        if near.peek().is_none() && within {
            return true;
        }
        if near.any(|(mask, _)| mask & free == 0) {
            return false;
        }
        if left == 0 {
            return true;
        }
        let bit = 1 << (left - 1);
        self.find(prefix, left - 1, budget) || self.find(prefix | bit, left - 1, budget)
    }
}
