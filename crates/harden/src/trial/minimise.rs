//! Delta debugging: of a set that passes, a part that still passes and from which nothing can be taken.
//!
//! The algorithm is ddmin (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2),
//! 2002, figure 5) with the words turned round: there a failure is kept, here a pass. Its step that tests the chunks by
//! themselves is left out beyond two of them (Hodován and Kiss, "Practical Improvements to the Minimizing Delta
//! Debugging Algorithm", ICSOFT 2016): it is not needed for what comes out, and here a test that fails is the dear one,
//! since a container is waited for. What comes out is 1-minimal: it passes, and each set with one element fewer has been
//! tested and fails. That holds for any answers, also where a smaller set passes and a larger one does not.

/// Tells which of these sets is the first that passes. Sets may be tested at the same time.
pub trait FirstPassing<E>: FnMut(&[Vec<usize>]) -> Result<Option<usize>, E> {}
impl<E, F: FnMut(&[Vec<usize>]) -> Result<Option<usize>, E>> FirstPassing<E> for F {}

/// Minimises `passing`, whose elements stand with the dearest first: where there is a choice the dear ones go.
///
/// `smaller` is told each smaller set that passes, so that there is something to show when the tests are cut short.
pub fn minimise<E>(
    passing: Vec<usize>,
    mut first_passing: impl FirstPassing<E>,
    mut smaller: impl FnMut(&[usize]),
) -> Result<Vec<usize>, E> {
    let mut set = passing;
    if set.is_empty() {
        return Ok(set);
    }
    if first_passing(&[Vec::new()])?.is_some() {
        smaller(&[]);
        return Ok(Vec::new());
    }
    let mut parts = 2;
    while set.len() > 1 {
        let chunks = split(&set, parts);
        // The dear chunks stand first, and are the first to be left out.
        let complements: Vec<Vec<usize>> = chunks
            .iter()
            .map(|chunk| set.iter().copied().filter(|element| !chunk.contains(element)).collect())
            .collect();
        if let Some(found) = first_passing(&complements)?.and_then(|at| complements.get(at)) {
            set.clone_from(found);
            parts = (parts - 1).max(2);
        } else if parts < set.len() {
            parts = (parts * 2).min(set.len());
            continue;
        } else {
            break;
        }
        smaller(&set);
    }
    Ok(set)
}

/// Into this many chunks, whose sizes differ by one at most.
fn split(set: &[usize], parts: usize) -> Vec<Vec<usize>> {
    (0..parts)
        .map(|part| {
            let (from, to) = (part * set.len() / parts, (part + 1) * set.len() / parts);
            set.get(from..to).unwrap_or_default().to_vec()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    /// Needs as a disjunction of conjunctions: some set of grants is there whole. `poisons` are grants that break the
    /// workload unless another is there, so that answers need not be monotone.
    #[derive(Clone, Debug)]
    struct Workload {
        count: usize,
        ways: Vec<BTreeSet<usize>>,
        poisons: Vec<(usize, usize)>,
    }

    impl Workload {
        fn passes(&self, set: &[usize]) -> bool {
            let set: BTreeSet<usize> = set.iter().copied().collect();
            self.ways.iter().any(|way| way.is_subset(&set))
                && self.poisons.iter().all(|(poison, cure)| !set.contains(poison) || set.contains(cure))
        }
        fn minimise(&self) -> (Vec<usize>, usize) {
            let mut tests = 0;
            let oracle = |sets: &[Vec<usize>]| {
                tests += sets.len();
                Ok::<_, Infallible>(sets.iter().position(|set| self.passes(set)))
            };
            let Ok(found) = minimise((0..self.count).collect(), oracle, |_| {});
            (found, tests)
        }
        /// Every set that passes and of which no set with one element fewer passes.
        fn all_one_minimal(&self) -> BTreeSet<Vec<usize>> {
            let sets = (0..1_u32 << self.count)
                .map(|bits| (0..self.count).filter(|i| bits & (1 << i) != 0).collect::<Vec<usize>>());
            sets.filter(|set| self.passes(set))
                .filter(|set| {
                    set.iter().all(|out| {
                        let without: Vec<usize> = set.iter().copied().filter(|e| e != out).collect();
                        !self.passes(&without)
                    })
                })
                .collect()
        }
    }

    fn workloads() -> impl Strategy<Value = Workload> {
        (1..9_usize).prop_flat_map(|count| {
            let way = prop::collection::btree_set(0..count, 0..=count.min(5));
            let ways = prop::collection::vec(way, 1..4);
            let poisons = prop::collection::vec((0..count, 0..count), 0..3);
            (ways, poisons).prop_map(move |(ways, poisons)| Workload { count, ways, poisons })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]
        #[test]
        fn what_is_found_is_among_the_one_minimal_sets_that_brute_force_finds(workload in workloads()) {
            let all: Vec<usize> = (0..workload.count).collect();
            prop_assume!(workload.passes(&all));
            let (mut found, _) = workload.minimise();
            found.sort_unstable();
            let minimal = workload.all_one_minimal();
            prop_assert!(minimal.contains(&found), "{found:?} is not among {minimal:?}");
        }
    }

    fn needs(count: usize, ways: &[&[usize]]) -> Workload {
        let ways = ways.iter().map(|way| way.iter().copied().collect()).collect();
        Workload { count, ways, poisons: Vec::new() }
    }

    #[test]
    fn a_workload_that_needs_nothing_takes_one_test() {
        assert_eq!(needs(18, &[&[]]).minimise(), (vec![], 1));
    }

    #[test]
    fn of_two_ways_the_cheaper_is_taken() {
        assert_eq!(needs(8, &[&[0, 1], &[6]]).minimise().0, [6]);
    }

    #[test]
    fn few_needs_among_many_take_far_fewer_tests_than_sets() {
        let (found, tests) = needs(18, &[&[2, 7, 8, 15, 17]]).minimise();
        assert_eq!(found, [2, 7, 8, 15, 17]);
        assert!(tests < 60, "{tests}");
    }

    #[test]
    fn an_error_ends_it_and_what_was_found_so_far_has_been_told() {
        let mut tests = 0;
        let mut best = Vec::new();
        let oracle = |sets: &[Vec<usize>]| {
            tests += 1;
            if tests > 3 { Err(()) } else { Ok(sets.iter().position(|set| set.contains(&7))) }
        };
        assert_eq!(minimise((0..8).collect(), oracle, |set| best = set.to_vec()), Err(()));
        assert_eq!(best, [6, 7]);
    }
}
