//! What a gate spends on the decision about one container, after it was judged: by the policy without a file, by rules,
//! by a condition in CEL, by Rego.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use policy::{Date, Policy, RegoFile, RegoFiles, Waivers};
use sources::{Context, run};
use techniques::judge::judge;

struct Rego;

impl RegoFiles for Rego {
    fn rego(&self, path: &str) -> Result<Vec<RegoFile>, String> {
        let text =
            "package main\ndeny contains msg if { input.confinement.privileged == true; msg := \"no\" }\n";
        Ok(vec![RegoFile { path: path.into(), text: text.into() }])
    }
}

const RULES: &str = "version: 1
rules:
- name: registry
  subjects: {images: ['*']}
  require: {images: {registries: [registry.example.com], latest: false}}
- name: techniques
  except: {names: 'agent-*'}
  forbid: {techniques: ['CVE-*', engine-api], gains: [credentials]}
- name: depth
  mode: warn
  require: {depth: 2}
";
const CONDITION: &str = "version: 1
rules:
- name: folders
  condition: >-
    confinement.mounts.all(m, m.source == null || m.source.kind != 'host' || m.source.path.startsWith('/srv/'))
";

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("decide");
    for (name, text) in [
        ("without a file", "version: 1\n"),
        ("rules", RULES),
        ("a condition", CONDITION),
        ("the CIS benchmark", "version: 1\nrules:\n- name: c\n  require: {standards: cis-docker@1.6}\n"),
        ("Rego", "version: 1\nrego: p\n"),
    ] {
        let policy = Policy::parse(text, &"p.yaml".into(), &Rego).expect("a policy");
        for (kind, line) in [
            ("held", "docker run --user 1000 -v /srv/a:/a registry.example.com/web:1"),
            ("open", "docker run -v /var/run/docker.sock:/s registry.example.com/web:1"),
        ] {
            let world = run::read_line(line, &"run".into(), 1, &Context::assumed());
            let judgement = judge(&world, policy.options());
            let (subject, judged) = (&world.subjects[0], &judgement.subjects[0]);
            let waivers = Waivers::default();
            group.bench_function(format!("{name}, {kind}"), |b| {
                b.iter(|| policy.decide(&world, subject, black_box(judged), &waivers, Date::ZERO));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, decide);
criterion_main!(benches);
