//! Every technique's cases, through the real readers: what its file says must come out.

mod support;

use techniques::judge::{Solver, Verdict};
use techniques::solver::{Depth, solve};
use techniques::technique::{Catalogue, Expected};

#[test]
fn every_case_of_every_technique_comes_out_as_its_file_says() {
    let catalogue = Catalogue::get();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (number, technique) in catalogue.techniques.iter().enumerate() {
        for case in &technique.cases {
            count += 1;
            let world = support::case_world(case);
            let mut solver = Solver::new(catalogue);
            // The worst of the subjects counts: a case may need helpers beside the one it is about.
            let outcomes: Vec<Option<Depth>> = world
                .subjects
                .iter()
                .map(|s| {
                    let solution = solve(catalogue, &solver.vector(&s.confinement));
                    solution.outcomes.iter().find(|o| usize::from(o.technique) == number).map(|o| o.depth)
                })
                .collect();
            let depth = outcomes.iter().flatten().copied().reduce(Depth::least);
            let got = match depth {
                None => Expected::Absent,
                Some(Depth { max: 0, .. }) => Expected::Open,
                Some(Depth { min: 0, .. }) => Expected::Undetermined,
                Some(_) => Expected::Held,
            };
            if got != case.is || case.depth.is_some_and(|wanted| depth.is_none_or(|d| d.min != wanted)) {
                wrong.push(format!(
                    "{} ({}): wanted {:?} {:?}, got {got:?} {depth:?}\n    {}",
                    technique.id,
                    technique.file,
                    case.is,
                    case.depth,
                    case.given.replace('\n', "\n    ")
                ));
            }
        }
    }
    assert!(count > 60, "only {count} cases");
    assert!(wrong.is_empty(), "{} of {count} cases:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn the_verdict_names_are_the_ones_the_interface_promises() {
    let names: Vec<&str> =
        [Verdict::Open, Verdict::Held, Verdict::Undetermined].iter().map(|v| v.name()).collect();
    assert_eq!(names, ["open", "held", "undetermined"]);
}
