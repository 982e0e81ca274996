//! Plans: the search against brute force, remedies against what they falsify, and plans of whole worlds.

mod support;

use std::collections::{BTreeMap, HashMap, HashSet};

use confinement::{Confinement, Subject, Truth};
use proptest::prelude::*;
use techniques::condition::Condition;
use techniques::judge::Solver;
use techniques::plan::cover::{self, Choice, Cover};
use techniques::plan::{Asked, Costs, Plan, plan};
use techniques::remedy::{Remedy, apply_all, candidates};
use techniques::technique::Catalogue;

// ---- the search alone ---------------------------------------------------------------------------------------

/// Obligations of which some only come up once others are met, as with settings that hide each other.
#[derive(Clone, Debug)]
struct Instance {
    weights: Vec<u64>,
    /// What must have been chosen before the obligation is there, and its choices.
    obligations: Vec<(Option<Choice>, Vec<Choice>)>,
}

impl Cover for Instance {
    fn unmet(&mut self, chosen: &[Choice]) -> Vec<Vec<Choice>> {
        self.obligations
            .iter()
            .filter(|(after, choices)| {
                after.is_none_or(|a| chosen.contains(&a)) && !choices.iter().any(|c| chosen.contains(c))
            })
            .map(|(_, choices)| choices.clone())
            .collect()
    }
    fn weight(&self, choice: Choice) -> u64 {
        self.weights[choice as usize]
    }
}

impl Instance {
    /// Every set of choices that meets all, with its weight.
    fn brute_force(&mut self) -> Vec<(u64, Vec<Choice>)> {
        let n = self.weights.len() as u32;
        let mut all = Vec::new();
        for bits in 0u32..1 << n {
            let chosen: Vec<Choice> = (0..n).filter(|i| bits >> i & 1 == 1).map(|i| i as Choice).collect();
            if self.unmet(&chosen).is_empty() {
                all.push((chosen.iter().map(|c| self.weights[*c as usize]).sum(), chosen));
            }
        }
        all.sort();
        all
    }
}

fn instances() -> impl Strategy<Value = Instance> {
    (1usize..=9).prop_flat_map(|n| {
        let choice = 0..n as Choice;
        let obligation =
            (prop::option::weighted(0.2, choice.clone()), prop::collection::hash_set(choice, 0..=4))
                .prop_map(|(after, choices)| (after, choices.into_iter().collect::<Vec<_>>()));
        (prop::collection::vec(1u64..10, n), prop::collection::vec(obligation, 0..9))
            .prop_map(|(weights, obligations)| Instance { weights, obligations })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_lightest_cover_weighs_what_brute_force_finds(mut instance in instances()) {
        let found = cover::solve(&mut instance, 1, usize::MAX);
        let all = instance.brute_force();
        prop_assert!(found.proven);
        prop_assert_eq!(found.found.first().map(|f| f.weight), all.first().map(|(w, _)| *w));
    }

    #[test]
    fn alternatives_are_the_lightest_covers_without_excess(mut instance in instances()) {
        // As with settings, what is chosen takes obligations away and never adds one.
        instance.obligations.iter_mut().for_each(|(after, _)| *after = None);
        let found = cover::solve(&mut instance, 4, usize::MAX);
        let all = instance.brute_force();
        let without_excess = all.iter().filter(|(_, set)| {
            !set.iter().any(|c| {
                let fewer: Vec<Choice> = set.iter().copied().filter(|x| x != c).collect();
                instance.unmet(&fewer).is_empty()
            })
        });
        let expected: Vec<u64> = without_excess.map(|(w, _)| *w).take(4).collect();
        prop_assert_eq!(found.found.iter().map(|f| f.weight).collect::<Vec<_>>(), expected);
    }
}

// ---- remedies and what they falsify ---------------------------------------------------------------------------

const FLAGS: &[&str] = &[
    "--privileged",
    "--cap-add SYS_ADMIN",
    "--cap-add SYS_PTRACE",
    "--cap-add SYS_MODULE",
    "--cap-add DAC_READ_SEARCH",
    "--cap-add NET_ADMIN",
    "--cap-add BPF",
    "--cap-add ALL",
    "--cap-drop ALL",
    "--cap-drop MKNOD",
    "--cap-drop SYS_CHROOT",
    "--security-opt seccomp=unconfined",
    "--security-opt apparmor=unconfined",
    "--security-opt no-new-privileges",
    "--security-opt systempaths=unconfined",
    "--pid host",
    "--network host",
    "--ipc host",
    "--uts host",
    "--cgroupns host",
    "--userns host",
    "-v /var/run/docker.sock:/s",
    "-v /run/containerd/containerd.sock:/c:ro",
    "-v /:/host",
    "-v /:/host2:ro",
    "-v /etc:/e",
    "-v /root:/r:ro",
    "-v /proc:/p",
    "-v /sys:/sysh",
    "-v /sys/fs/cgroup:/cg:rw",
    "-v /dev:/d",
    "-v /var/log:/l",
    "-v /srv:/srv:shared",
    "--device /dev/sda",
    "--device /dev/mem",
    "--device /dev/kvm",
    "--device /dev/fuse",
    "--device-cgroup-rule 'b 8:* rwm'",
    "--device-cgroup-rule 'c *:* rwm'",
    "--user 1000",
    "--user 0",
    "-e DOCKER_HOST=tcp://10.0.0.1:2375",
    "--read-only",
    "--sysctl kernel.shm_rmid_forced=1",
];

fn lines() -> impl Strategy<Value = (String, &'static str, Option<bool>)> {
    (
        prop::sample::subsequence(FLAGS, 0..5),
        prop::sample::select(vec!["docker-29", "docker-20.10", "podman-5"]),
        prop::option::of(any::<bool>()),
    )
        .prop_map(|(mut flags, engine, apparmor)| {
            // 20.10 refuses the name.
            flags.retain(|f| engine != "docker-20.10" || !f.ends_with(" BPF"));
            let program = engine.split('-').next().unwrap_or_default();
            (format!("{program} run {} alpine:3", flags.join(" ")), engine, apparmor)
        })
}

fn subject(line: &str, engine: &str, apparmor: Option<bool>) -> Subject {
    let mut facts = HashMap::new();
    if let Some(apparmor) = apparmor {
        facts.insert("apparmor".to_owned(), serde_json::Value::Bool(apparmor));
    }
    support::world(line, Some(engine), &facts).subjects.remove(0)
}

/// Every remedy that comes up when everything that comes up is done.
fn universe(subject: &Subject, can: &dyn Fn(&Subject, &Remedy) -> bool) -> Vec<Remedy> {
    let catalogue = Catalogue::get();
    let mut all: Vec<Remedy> = Vec::new();
    let host = |id: u16| {
        catalogue.techniques.iter().any(|t| {
            t.gain.is_host() && (t.premise.contains(&id) || t.terms.iter().any(|term| term.contains(&id)))
        })
    };
    let ids: Vec<u16> = (0..catalogue.conditions.len() as u16).filter(|id| host(*id)).collect();
    let mut solver = Solver::new(catalogue);
    let mut states: Vec<Vec<Remedy>> = vec![Vec::new()];
    while let Some(state) = states.pop() {
        let c = apply_all(&state, &subject.confinement);
        let vector = solver.vector(&c);
        for id in &ids {
            if vector.get(*id).is_false() {
                continue;
            }
            for remedy in candidates(&catalogue.conditions[*id as usize], &c) {
                if can(subject, &remedy) && !all.contains(&remedy) {
                    all.push(remedy.clone());
                    states.push(vec![remedy.clone()]);
                    states.push(all.clone());
                }
            }
        }
    }
    all
}

fn anything(_: &Subject, remedy: &Remedy) -> bool {
    // One setting of the engine, chosen apart.
    *remedy != Remedy::UserNamespace
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// What the search rests on: whatever makes a condition false is among the condition's candidates.
    #[test]
    fn a_remedy_that_falsifies_a_condition_is_a_candidate_of_it(
        (line, engine, apparmor) in lines(), picks in any::<u64>()
    ) {
        let subject = subject(&line, engine, apparmor);
        let catalogue = Catalogue::get();
        let all = universe(&subject, &anything);
        let mut solver = Solver::new(catalogue);
        let some: Vec<Remedy> =
            all.iter().enumerate().filter(|(i, _)| picks >> (i % 64) & 1 == 1).map(|(_, r)| r.clone()).collect();
        for state in [Vec::new(), some] {
            let c = apply_all(&state, &subject.confinement);
            let before = solver.vector(&c);
            for remedy in all.iter().filter(|r| !state.contains(r)) {
                let after = solver.vector(&apply_all(state.iter().chain([remedy]), &subject.confinement));
                for (id, condition) in (0u16..).zip(&catalogue.conditions) {
                    let falsified = !before.get(id).is_false() && after.get(id).is_false();
                    let used = catalogue.techniques.iter().any(|t| {
                        t.gain.is_host() && t.terms.iter().any(|term| term.contains(&id))
                    });
                    if falsified && used {
                        prop_assert!(
                            candidates(condition, &c).contains(remedy),
                            "{line}: after {state:?}, {remedy:?} falsifies {condition}, whose candidates are {:?}",
                            candidates(condition, &c)
                        );
                    }
                    // Podman hands what was added to a user other than root in this set too.
                    let handed = matches!(condition, Condition::Inheritable);
                    prop_assert!(
                        handed || !(before.get(id) == Truth::False && after.get(id) == Truth::True),
                        "{line}: after {state:?}, {remedy:?} makes {condition} true"
                    );
                }
            }
        }
    }
}

fn asked(depth: u8, costs: &Costs) -> Asked<'_> {
    Asked { depth, alternatives: 0, recommended: None, costs, pinned: &|_, _| Vec::new(), can: &anything }
}

fn plan_of(subject: &Subject, depth: u8) -> Plan {
    let world = confinement::World { subjects: vec![subject.clone()], ..Default::default() };
    plan(&world, &asked(depth, &BTreeMap::new()))
}

/// Whether all that can be brought to the depth is there: what no set of remedies reaches does not count.
fn reaches(c: &Confinement, all: &[Remedy], depth: u8, set: &[Remedy], solver: &mut Solver) -> bool {
    let catalogue = Catalogue::get();
    let mut depths = |c: &Confinement| -> HashMap<usize, u8> {
        let vector = solver.vector(c);
        let judged = catalogue
            .techniques
            .iter()
            .enumerate()
            .filter(|(_, t)| t.gain.is_host() && t.premise.iter().all(|id| vector.get(*id).is_true()));
        judged
            .map(|(t, technique)| {
                let walls = |term: &techniques::technique::Term| {
                    let walls = term.iter().filter(|id| vector.get(**id).is_false());
                    walls.map(|id| catalogue.barriers[*id as usize]).collect::<HashSet<_>>().len() as u8
                };
                (t, technique.terms.iter().map(walls).min().unwrap_or(u8::MAX))
            })
            .collect()
    };
    let most = depths(&apply_all(all, c));
    let now = depths(&apply_all(set, c));
    now.iter().all(|(t, walls)| *walls >= depth.min(most.get(t).copied().unwrap_or(u8::MAX)))
}

fn brute_force(subject: &Subject, depth: u8, limit: u32) -> Option<u32> {
    let c = &*subject.confinement;
    let mut solver = Solver::new(Catalogue::get());
    let all = universe(subject, &anything);
    let costs: Vec<u32> = all.iter().map(|r| u32::from(r.cost(c))).collect();
    // Sets that cost less than the plan: if one of them reaches the depth, the plan is not the cheapest.
    fn sets(
        costs: &[u32],
        from: usize,
        left: u32,
        set: &mut Vec<usize>,
        take: &mut dyn FnMut(&[usize]) -> bool,
    ) -> bool {
        if take(set) {
            return true;
        }
        for i in from..costs.len() {
            if costs[i] < left {
                set.push(i);
                let found = sets(costs, i + 1, left - costs[i], set, take);
                set.pop();
                if found {
                    return true;
                }
            }
        }
        false
    }
    let mut cheaper = None;
    if limit == 0 {
        return None;
    }
    sets(&costs, 0, limit, &mut Vec::new(), &mut |set| {
        let remedies: Vec<Remedy> = set.iter().map(|i| all[*i].clone()).collect();
        let reached = reaches(c, &all, depth, &remedies, &mut solver);
        if reached {
            cheaper = Some(set.iter().map(|i| costs[*i]).sum());
        }
        reached
    });
    cheaper
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_set_of_remedies_is_cheaper_than_the_plan(
        (line, engine, apparmor) in lines(), depth in 1u8..=3
    ) {
        let subject = subject(&line, engine, apparmor);
        let plan = plan_of(&subject, depth);
        let planned = &plan.subjects[0];
        prop_assert!(planned.proven, "{line}");
        let all = universe(&subject, &anything);
        let mut solver = Solver::new(Catalogue::get());
        let list = planned.plan.list();
        prop_assert!(reaches(&subject.confinement, &all, depth, &list, &mut solver), "{line} {depth}: {list:?}");
        if planned.plan.cost <= 14 {
            let cheaper = brute_force(&subject, depth, planned.plan.cost);
            prop_assert_eq!(cheaper, None, "{} {}: {:?} costs {}", line, depth, list, planned.plan.cost);
        }
    }
}

#[test]
fn a_planned_remedy_takes_away_what_was_asked_for_and_no_more() {
    let subject = subject(
        "docker run -v /var/run/docker.sock:/s --cap-add SYS_PTRACE --pid host a",
        "docker-29",
        Some(true),
    );
    let plan = plan_of(&subject, 1);
    let ids: Vec<&str> = plan.subjects[0].plan.remedies.iter().map(|a| a.id.as_str()).collect();
    assert!(plan.subjects[0].left.is_empty());
    assert!(plan.subjects[0].after.min >= 1, "{ids:?}");
    assert!(ids.len() <= 2, "{ids:?}");
}

#[test]
fn a_pin_that_forbids_the_only_remedy_is_named_with_its_path() {
    let subject = subject("docker run --user 0 -v /var/run/docker.sock:/s a", "docker-29", Some(true));
    let world = confinement::World { subjects: vec![subject], ..Default::default() };
    let pinned = |remedy: &Remedy, _: &Confinement| match remedy {
        Remedy::RemoveMount(_) => vec!["mount:/var/run/docker.sock".into()],
        Remedy::RunAsNonRoot => vec!["root".into()],
        _ => Vec::new(),
    };
    let costs = Costs::new();
    let asked = Asked { pinned: &pinned, ..asked(1, &costs) };
    let plan = plan(&world, &asked);
    let left = plan.subjects[0].left.iter().find(|l| l.technique.id == "engine-api").expect("it stays");
    assert_eq!(left.pins, ["mount:/var/run/docker.sock".into(), "root".into()] as [std::sync::Arc<str>; 2]);
    assert_eq!(plan.subjects[0].plan.list(), []);
}

#[test]
fn costs_that_the_user_sets_change_the_plan() {
    let subject = subject("docker run --user 0 -v /var/run/docker.sock:/s a", "docker-29", Some(true));
    let world = confinement::World { subjects: vec![subject], ..Default::default() };
    let chosen = |costs: &Costs| {
        let plan = plan(&world, &asked(1, costs));
        plan.subjects[0].plan.remedies.iter().map(|a| a.id.clone()).collect::<Vec<_>>()
    };
    let dear = |id: &str| Costs::from([(id.to_owned(), 10)]);
    assert_eq!(chosen(&dear("run-as-non-root")), ["remove-mount"]);
    assert_eq!(chosen(&dear("remove-mount")), ["run-as-non-root"]);
}

#[test]
fn a_neighbour_that_cannot_be_closed_is_cut_off() {
    let text = "services:\n  bot:\n    image: a\n    volumes: [data:/d, /var/run/docker.sock:/s]\n  web:\n    image: b\n    volumes: [data:/d]\nvolumes:\n  data:\n";
    let world = support::world(text, None, &HashMap::new());
    let pinned = |remedy: &Remedy, c: &Confinement| {
        let bot = c.mounts.iter().any(|m| &*m.target == "/s");
        if bot { vec!["all".into()] } else { Vec::<std::sync::Arc<str>>::new() }
            .into_iter()
            .filter(|_| remedy != &Remedy::NoNewPrivileges)
            .collect()
    };
    let costs = Costs::new();
    let asked = Asked { pinned: &pinned, ..asked(1, &costs) };
    let plan = plan(&world, &asked);
    let web = plan.subjects.iter().find(|p| &*world.subjects[p.subject].name == "web").unwrap();
    assert_eq!(web.before.min, 0, "the volume leads through bot to the host");
    assert!(web.after.min >= 1);
    assert_eq!(web.plan.list(), [Remedy::ReadOnlyMount("/d".into())]);
}
