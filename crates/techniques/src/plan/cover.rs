//! Exact minimum-weight covers by branch and bound.
//!
//! A problem says, for what has been chosen so far, which obligations are not met, and for each the choices of which
//! at least one more must be made. The search branches on the obligation with the fewest choices: into solutions with
//! the first choice, those with the second and without the first, and so on, which share no solution and miss none.
//! A branch ends when what it has spent, and what it must still spend, is no less than the best solution known. What
//! it must still spend is bounded from below by obligations that share no choice: each needs one of its own.

use std::collections::HashSet;

/// Number of a choice.
pub type Choice = u16;

pub trait Cover {
    /// Obligations that `chosen` leaves: of each list at least one choice is in every solution that holds `chosen`.
    /// A list without choices cannot be met.
    fn unmet(&mut self, chosen: &[Choice]) -> Vec<Vec<Choice>>;
    /// More than 0.
    fn weight(&self, choice: Choice) -> u64;
}

/// One solution: no choice can be taken out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// In rising order.
    pub chosen: Vec<Choice>,
    pub weight: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covers {
    /// The lightest solutions, lightest first; none where there is no solution.
    pub found: Vec<Found>,
    /// Whether the search ended by itself: the first solution is proven to be the lightest.
    pub proven: bool,
}

/// The `count` lightest solutions. Stops after `budget` states, with the best it has.
pub fn solve(problem: &mut impl Cover, count: usize, budget: usize) -> Covers {
    let mut search = Search { problem, count: count.max(1), budget, found: Vec::new() };
    let proven = search.branch(&mut Vec::new(), &mut HashSet::new(), 0);
    Covers { found: search.found, proven }
}

struct Search<'p, P: Cover> {
    problem: &'p mut P,
    count: usize,
    budget: usize,
    found: Vec<Found>,
}

impl<P: Cover> Search<'_, P> {
    /// Weights from here on are not wanted.
    fn limit(&self) -> u64 {
        if self.found.len() < self.count {
            u64::MAX
        } else {
            self.found.last().map_or(u64::MAX, |f| f.weight)
        }
    }

    /// False where the budget ran out.
    fn branch(&mut self, chosen: &mut Vec<Choice>, excluded: &mut HashSet<Choice>, weight: u64) -> bool {
        if weight >= self.limit() {
            return true;
        }
        let Some(rest) = self.budget.checked_sub(1) else { return false };
        self.budget = rest;
        let mut unmet = self.problem.unmet(chosen);
        if unmet.is_empty() {
            self.record(chosen, weight);
            return true;
        }
        for choices in &mut unmet {
            choices.retain(|c| !excluded.contains(c) && !chosen.contains(c));
            if choices.is_empty() {
                return true;
            }
        }
        if weight.saturating_add(self.bound(&mut unmet)) >= self.limit() {
            return true;
        }
        // `bound` sorts: the first has the fewest choices, and among those the dearest.
        let Some(mut choices) = unmet.into_iter().next() else { return true };
        choices.sort_by_key(|c| (self.problem.weight(*c), *c));
        choices.dedup();
        let mut complete = true;
        let mut added = Vec::new();
        for choice in choices {
            let next = weight.saturating_add(self.problem.weight(choice));
            chosen.push(choice);
            complete = self.branch(chosen, excluded, next);
            chosen.pop();
            if !complete {
                break;
            }
            if excluded.insert(choice) {
                added.push(choice);
            }
        }
        for choice in added {
            excluded.remove(&choice);
        }
        complete
    }

    /// What obligations without a common choice cost at least.
    fn bound(&self, unmet: &mut [Vec<Choice>]) -> u64 {
        let least = |choices: &[Choice]| choices.iter().map(|c| self.problem.weight(*c)).min().unwrap_or(0);
        unmet.sort_by_key(|choices| (choices.len(), std::cmp::Reverse(least(choices))));
        let mut used: HashSet<Choice> = HashSet::new();
        let mut bound: u64 = 0;
        for choices in unmet.iter() {
            if choices.iter().all(|c| !used.contains(c)) {
                bound = bound.saturating_add(least(choices));
                used.extend(choices);
            }
        }
        bound
    }

    fn record(&mut self, chosen: &[Choice], weight: u64) {
        // The lightest has no excess by itself, as every choice weighs something.
        if self.count > 1 {
            for left_out in 0..chosen.len() {
                let mut fewer = chosen.to_vec();
                fewer.remove(left_out);
                if self.problem.unmet(&fewer).is_empty() {
                    return;
                }
            }
        }
        let mut chosen = chosen.to_vec();
        chosen.sort_unstable();
        let at = self.found.partition_point(|f| (f.weight, &f.chosen) < (weight, &chosen));
        self.found.insert(at, Found { chosen, weight });
        self.found.truncate(self.count);
    }
}
