//! What judging costs, part by part: the conditions of one container, the solution of their truth, a thousand containers
//! that are alike or all different, and the JSON of what was found.

use std::hint::black_box;
use std::path::Path;

use bench::input::{self, Variety};
use confinement::World;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use report::{Report, json};
use sources::{Context, gather};
use techniques::judge::{Options, Solver, judge};
use techniques::solver::{evaluate, solve};
use techniques::technique::Catalogue;

const COUNT: usize = 1_000;

fn world(text: &str, name: &str) -> World {
    gather::text(text.as_bytes(), Path::new(name), &Context::assumed())
}

fn one(criterion: &mut Criterion) {
    let catalogue = Catalogue::get();
    let world = world(&input::bare_pod(0, Variety::Alike), "pod.yaml");
    let Some(subject) = world.subjects.first() else { return };
    let confinement = &subject.confinement;
    let mut group = criterion.benchmark_group("one container");
    group.bench_function("conditions", |b| b.iter(|| evaluate(catalogue, black_box(confinement))));
    let vector = Solver::new(catalogue).vector(confinement);
    group.bench_function("solution", |b| b.iter(|| solve(catalogue, black_box(&vector))));
    group.finish();
}

fn many(criterion: &mut Criterion) {
    let join = |variety| (0..COUNT).map(|n| input::bare_pod(n, variety)).collect::<Vec<_>>().join("---\n");
    let mut group = criterion.benchmark_group("judge");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(20);
    for (name, text, file) in [
        ("pods alike", join(Variety::Alike), "pods.yaml"),
        ("pods different", join(Variety::Different), "pods.yaml"),
        ("services that share volumes", input::project(0, COUNT), "compose.yaml"),
    ] {
        let world = world(&text, file);
        group.bench_function(name, |b| b.iter(|| judge(black_box(&world), Options::default())));
        let judgement = judge(&world, Options::default());
        let report = Report {
            world: &world,
            judgement: &judgement,
            catalogue: Catalogue::get(),
            standards: &[],
            waived: &Default::default(),
            decisions: &[],
            targets: &[],
            version: "0",
            threshold: 1,
            all: false,
        };
        group.bench_function(format!("{name}: JSON"), |b| {
            b.iter(|| json::write(black_box(&report), &mut std::io::sink()));
        });
    }
    group.finish();
}

criterion_group!(benches, one, many);
criterion_main!(benches);
