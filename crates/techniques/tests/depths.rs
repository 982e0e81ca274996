//! A solver that is kept says of a world what the judgement says.

mod support;

use std::collections::HashMap;

use techniques::judge::{Options, Solver, Verdict, judge};
use techniques::solver::Depth;
use techniques::technique::Catalogue;

#[test]
fn kept_solvers_find_the_judgements_depths_alone_and_through_others() {
    let given = "services:\n  a:\n    image: x\n    user: '10001'\n    volumes: ['shared:/d']\n  \
                 b:\n    image: x\n    privileged: true\n    volumes: ['shared:/d']\n  \
                 c:\n    image: x\n    user: '10001'\n    read_only: true\n    cap_drop: [ALL]\nvolumes: {shared: {}}\n";
    let world = support::world(given, None, &HashMap::new());
    let judged: Vec<Depth> =
        judge(&world, Options::default()).subjects.into_iter().map(|j| j.depth).collect();
    let mut solver = Solver::new(Catalogue::get());
    let depths = solver.depths(&world);
    assert_eq!(depths, judged);
    let alone = |i: usize| {
        let mut only = world.clone();
        only.subjects = vec![world.subjects[i].clone()];
        Solver::new(Catalogue::get()).depths(&only)[0]
    };
    let a = world.subjects.iter().position(|s| s.id.ends_with('a')).unwrap();
    assert!(depths[a].min < alone(a).min, "the volume leads through b: {depths:?}");
    let b = world.subjects.iter().position(|s| s.id.ends_with('b')).unwrap();
    assert_eq!(Verdict::of(depths[b]), Verdict::Open);
    let kept = solver.kept();
    solver.depths(&world);
    assert_eq!(solver.kept(), kept, "solved once");
}
