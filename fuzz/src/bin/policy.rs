//! A policy of whatever text is refused with places within it, or decides: without a panic, soon, and the same twice. What
//! is above a line of `---rego` is the policy, what is below it the Rego that it may name.
#![no_main]

use std::sync::{Arc, LazyLock};

use confinement::World;
use libfuzzer_sys::fuzz_target;
use policy::{Date, Policy, RegoFile, RegoFiles, Waivers, cases, check};
use sources::{Context, run};
use techniques::judge::{Judgement, Options, judge};

/// An open, an undetermined and a held container.
static JUDGED: LazyLock<(World, Judgement)> = LazyLock::new(|| {
    let mut world = World::default();
    for line in [
        "docker run --name a -l team=web --privileged -v /var/run/docker.sock:/s:ro -v v:/v nginx",
        "docker run --name b --pid host --cap-add SYS_PTRACE --device /dev/fuse ghcr.io/o/n@sha256:00",
        "docker run --name c --user 1000 -m 1g registry.example.com/c:1",
    ] {
        world.extend(run::read_line(line, &fuzz::path("run.sh"), 1, &Context::assumed()));
    }
    let judgement = judge(&world, Options { depth: 2 });
    (world, judgement)
});

struct Text<'a>(&'a str);

impl RegoFiles for Text<'_> {
    fn rego(&self, path: &str) -> Result<Vec<RegoFile>, String> {
        Ok(vec![RegoFile { path: path.into(), text: self.0.into() }])
    }
}

fuzz_target!(|text: &str| {
    let (text, rego) = text.split_once("\n---rego\n").unwrap_or((text, "package main\n"));
    let path = fuzz::path("p.yaml");
    let _ = cases::parse(text, &path);
    let policy = match Policy::parse(text, &path, &Text(rego)) {
        Ok(policy) => Arc::new(policy),
        Err(error) => {
            assert!(!error.problems.is_empty());
            // A lone carriage return ends a line of YAML too.
            let lines = text.matches(['\n', '\r']).count() as u32 + 1;
            let within = error.problems.iter().filter(|p| p.path == path);
            assert!(within.filter_map(|p| p.line).all(|line| line <= lines), "{error}");
            return;
        }
    };
    let _ = check::oddities(&policy);
    let (world, judgement) = &*JUDGED;
    for judged in &judgement.subjects {
        let subject = &world.subjects[judged.subject];
        let decide = || policy.decide(world, subject, judged, &Waivers::default(), Date::ZERO);
        let decision = decide();
        assert_eq!(decision.outcome, decide().outcome);
        let _ = decision.message(&subject.name);
    }
});
