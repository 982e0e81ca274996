//! The plan: for each subject the cheapest remedies after which every path to the host has the asked depth.
//!
//! What a remedy does is done to the confinement and all techniques are solved again, so whatever remedies have to do
//! with each other (a capability and its seccomp group, a user and its capabilities) is accounted for without a rule.
//! The search over sets of remedies is exact ([`cover`]). A path through other subjects is no shorter than the last
//! subject's own, so subjects are planned one by one; only where one cannot be closed do the ways to it become
//! obligations of the others. Settings of an engine are shared: each set of them is tried, and its cost counts once.

pub mod cover;
mod obligations;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use confinement::{Confinement, Form, Namespace, NamespaceKind, Origin, Subject, SubjectKind, World};
use rayon::prelude::*;
use serde::Serialize;

use crate::judge::{self, Solved, Solver};
use crate::keep::Keep;
use crate::needs;
use crate::reach::Reach;
use crate::recommended;
use crate::remedy::{Advice, Remedy, apply_all};
use crate::solver::Depth;
use crate::technique::{Catalogue, Technique};
use obligations::{Obligations, Way};

/// States that the search for one subject may visit. Reached by no subject that has been seen; a plan that reaches it
/// says that it is not proven.
const BUDGET: usize = 20_000;

/// Costs that differ from `data/remedies.yaml`, by identifier of the remedy.
pub type Costs = BTreeMap<String, u8>;

/// What is asked of a plan.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Walls that must stand in every path.
    pub depth: u8,
    /// How many plans besides the best are wanted.
    pub alternatives: usize,
    pub costs: &'a Costs,
    /// The pins, as the user wrote them, that forbid a remedy for a subject.
    pub pinned: &'a (dyn Fn(&Remedy, &Confinement) -> Vec<Arc<str>> + Sync),
    /// Good practice beyond paths is wanted too, under these pins.
    pub recommended: Option<&'a [Keep]>,
    /// Whether what the subject was read from can say the remedy.
    pub can: &'a (dyn Fn(&Subject, &Remedy) -> bool + Sync),
}

impl Asked<'_> {
    /// What a remedy costs: the user's word, or else the data's.
    fn cost(&self, remedy: &Remedy, c: &Confinement) -> u8 {
        self.costs.get(remedy.id(c)).copied().unwrap_or_else(|| remedy.cost(c))
    }
}

/// Remedies that are made together, and what they cost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Remedies {
    pub remedies: Vec<Advice>,
    pub cost: u32,
}

impl Remedies {
    pub fn list(&self) -> Vec<Remedy> {
        self.remedies.iter().map(|advice| advice.remedy.clone()).collect()
    }
}

/// A technique that no remedy allowed here brings to the asked depth.
#[derive(Clone, Debug)]
pub struct Left {
    pub technique: &'static Technique,
    /// After all that the plan does.
    pub depth: Depth,
    /// Pins that forbid what would close it.
    pub pins: Vec<Arc<str>>,
    /// What would close it, or help to, but cannot be said in the file the subject was read from.
    pub elsewhere: Vec<Advice>,
}

/// The plan for one subject.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Index in the world's subjects.
    pub subject: usize,
    pub before: Depth,
    pub after: Depth,
    pub plan: Remedies,
    /// Beyond paths, where that was asked for.
    pub recommended: Vec<Recommended>,
    pub alternatives: Vec<Remedies>,
    pub left: Vec<Left>,
    /// The plan is proven to be the cheapest.
    pub proven: bool,
}

/// A remedy of the recommended level.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Recommended {
    #[serde(flatten)]
    pub advice: Advice,
    pub why: String,
    /// Nothing is known of this image that says it will work.
    pub guess: bool,
}

impl Planned {
    /// Everything that is to be done: the plan, and what is recommended beyond it.
    pub fn remedies(&self) -> Vec<Remedy> {
        let keeps = |r: &Remedy| matches!(r, Remedy::KeepCapabilities(_));
        let sets_capabilities = self.recommended.iter().any(|r| keeps(&r.advice.remedy));
        // A set of capabilities that is said whole was made of what single ones leave.
        let said = |r: &Remedy| matches!(r, Remedy::DropCapability(_) | Remedy::RemoveAllCapabilities);
        let mut list: Vec<Remedy> = self.plan.list();
        list.retain(|r| !(sets_capabilities && said(r)));
        for recommended in &self.recommended {
            if !list.contains(&recommended.advice.remedy) {
                list.push(recommended.advice.remedy.clone());
            }
        }
        list
    }
}

/// The plan for a world.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub subjects: Vec<Planned>,
    /// Settings of engines that the plan makes: subject of the engine, and the remedy, which is in its plan too.
    pub engine: Vec<(usize, Remedy)>,
    /// The world as it will be, for checking what was written.
    pub after: World,
    /// What was taken for granted anywhere, with how many subjects it touches.
    pub assumptions: Vec<(String, usize)>,
}

impl Plan {
    /// Settings of engines, planned or recommended, with the engine's subject.
    pub fn engine_settings<'p>(&'p self, world: &'p World) -> Vec<(&'p Subject, &'p Remedy)> {
        let planned = self.engine.iter().map(|(i, remedy)| (*i, remedy));
        let recommended =
            self.subjects.iter().flat_map(|p| p.recommended.iter().map(|r| (p.subject, &r.advice.remedy)));
        let of_engine = |(i, remedy)| {
            let subject: &Subject = world.subjects.get(i)?;
            (subject.form == Form::Daemon).then_some((subject, remedy))
        };
        planned.chain(recommended).filter_map(of_engine).collect()
    }
}

/// Whether a setting of an engine reaches a subject.
pub fn is_reached(subject: &Subject, engine: &Subject, remedy: &Remedy) -> bool {
    engine.realm == subject.realm && follows(remedy, &subject.confinement)
}

/// Whether the subject itself must have the depth. An engine or an image is judged as the container it makes by
/// default, of which its own file can settle only a part.
pub fn is_asked(subject: &Subject) -> bool {
    matches!(subject.kind, SubjectKind::Container | SubjectKind::Workload)
}

/// What depends on nothing but these is planned once.
type Key = (Arc<Confinement>, Form, Vec<Way>);

/// Plans every subject of a world.
pub fn plan(world: &World, asked: &Asked<'_>) -> Plan {
    let before = stands(world);
    let shared = engine_wide(world, asked);
    let plans = subsets(&shared).map(|set| with_engine(world, asked, &before, &set));
    // The empty set is always among them.
    let (_, plan) = plans.min_by_key(|(cost, _)| *cost).unwrap_or_default();
    Plan { assumptions: judge::assumptions(world), ..plan }
}

/// How deep a subject is, and the other one that the shortest way leads through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stands {
    pub depth: Depth,
    pub through: Option<usize>,
}

/// The depth of every subject as the world is, ways through others included.
pub fn stands(world: &World) -> Vec<Stands> {
    stands_by(&mut Solver::new(Catalogue::get()), world)
}

fn stands_by(solver: &mut Solver, world: &World) -> Vec<Stands> {
    let (solved, reach) = solved_by(solver, world);
    let one = |(i, s): (usize, &Arc<Solved>)| match reach.chain(i, s.depth) {
        Some(chain) => {
            let next = chain.hops.get(1).map(|(next, _)| *next);
            Stands { depth: s.depth.least(chain.depth), through: next }
        }
        None => Stands { depth: s.depth, through: None },
    };
    solved.iter().enumerate().map(one).collect()
}

fn solved_by(solver: &mut Solver, world: &World) -> (Vec<Arc<Solved>>, Reach) {
    let solved: Vec<Arc<Solved>> = world.subjects.iter().map(|s| solver.solve(&s.confinement)).collect();
    let reach = Reach::find(Catalogue::get(), world, &solved);
    (solved, reach)
}

/// Whether a remedy of an engine's configuration touches a container of that engine.
fn follows(remedy: &Remedy, c: &Confinement) -> bool {
    match remedy {
        // `userns: host` is the container's own word.
        Remedy::UserNamespace => !matches!(c.user_namespace.initial.origin, Origin::File(_)),
        _ => true,
    }
}

/// What dockerd refuses to start with `userns-remap` (moby, `daemon_unix.go`): privileged containers, and those in
/// the host's pid or network namespace, unless they say `userns: host`.
fn is_refused_in_user_namespace(c: &Confinement) -> bool {
    let host = |kind| c.namespaces.get(kind).get() == Some(&Namespace::Host);
    c.privileged.value == Some(true) || host(NamespaceKind::Pid) || host(NamespaceKind::Net)
}

/// Settings of an engine whose configuration is among what was read: subject of the engine, and the remedy.
fn engine_wide(world: &World, asked: &Asked<'_>) -> Vec<(usize, Remedy)> {
    const SETTINGS: [Remedy; 3] =
        [Remedy::UserNamespace, Remedy::NoNewPrivileges, Remedy::EngineClientCertificates];
    let engines = world.subjects.iter().enumerate().filter(|(_, s)| s.form == Form::Daemon);
    engines
        .flat_map(|(i, subject)| {
            SETTINGS
                .into_iter()
                .filter(|r| r.apply(&subject.confinement) != *subject.confinement)
                .filter(|r| (asked.can)(subject, r) && (asked.pinned)(r, &subject.confinement).is_empty())
                .map(move |r| (i, r))
        })
        .take(6)
        .collect()
}

fn subsets<T: Clone>(of: &[T]) -> impl Iterator<Item = Vec<T>> + '_ {
    (0..1usize << of.len()).map(|bits| {
        of.iter().enumerate().filter(|(i, _)| bits >> i & 1 == 1).map(|(_, item)| item.clone()).collect()
    })
}

/// The plan where these settings of engines are made. Its cost: what cannot be closed weighs more than any remedy.
fn with_engine(world: &World, asked: &Asked<'_>, before: &[Stands], set: &[(usize, Remedy)]) -> (u64, Plan) {
    let mut given = world.clone();
    for (engine, remedy) in set {
        let Some(engine) = world.subjects.get(*engine) else { continue };
        for subject in given.subjects.iter_mut().filter(|s| is_reached(s, engine, remedy)) {
            subject.confinement = Arc::new(remedy.apply(&subject.confinement));
        }
    }
    let mut planner = Planner::new(asked);
    // Each thread takes a run of neighbours, which are most alike, and keeps its own memory.
    let run = given.subjects.len().div_ceil(rayon::current_num_threads()).max(4);
    let mut subjects: Vec<Planned> = given
        .subjects
        .par_chunks(run)
        .enumerate()
        .flat_map_iter(|(chunk, run_of)| {
            let mut planner = Planner::new(asked);
            run_of.iter().enumerate().map(move |(at, subject)| {
                let i = chunk * run + at;
                planner.one(i, subject, &[], before.get(i).map_or(Depth::NONE, |b| b.depth))
            })
        })
        .collect();
    // Whoever extends a service that is given a user has it too, and needs what is left then.
    for i in 0..given.subjects.len() {
        let heir = given.subjects.get(i).filter(|heir| inherits_user(heir, &given, &subjects));
        let Some(user) = heir.map(|heir| Remedy::RunAsNonRoot.apply(&heir.confinement)) else { continue };
        if let (Some(subject), Some(planned)) = (given.subjects.get_mut(i), subjects.get_mut(i)) {
            subject.confinement = Arc::new(user);
            *planned = planner.one(i, subject, &[], planned.before);
        }
    }
    let mut after = planner.applied(&given, &subjects);
    // Ways to what stays open are cut from where they start. Each round closes at least one, or ends.
    for _ in 0..=world.subjects.len() {
        let ways = planner.ways(&after);
        if ways.iter().all(Vec::is_empty) {
            break;
        }
        let mut changed = false;
        for (i, ways) in ways.into_iter().enumerate().filter(|(_, ways)| !ways.is_empty()) {
            let (Some(subject), Some(planned)) = (given.subjects.get(i), subjects.get_mut(i)) else {
                continue;
            };
            let next = planner.one(i, subject, &ways, planned.before);
            changed |= next.plan != planned.plan;
            *planned = next;
        }
        if !changed {
            break;
        }
        after = planner.applied(&given, &subjects);
    }
    for (stands, planned) in stands_by(&mut planner.solver, &after).into_iter().zip(&mut subjects) {
        planned.after = stands.depth;
    }
    let mut cost: u64 = 0;
    for planned in &mut subjects {
        // A subject that stays below the depth weighs more than anything a plan may cost.
        let short = u64::from(asked.depth.saturating_sub(planned.after.min));
        cost += short * 1_000_000 + u64::from(planned.plan.cost);
    }
    if set.iter().any(|(_, remedy)| *remedy == Remedy::UserNamespace) {
        // They could not be started any more.
        let refused = after.subjects.iter().zip(&given.subjects).filter(|(after, given)| {
            given.confinement.user_namespace.initial.value == Some(false)
                && is_refused_in_user_namespace(&after.confinement)
        });
        cost += 500_000 * refused.count() as u64;
    }
    for (engine, remedy) in set {
        let (Some(planned), Some(subject)) = (subjects.get_mut(*engine), world.subjects.get(*engine)) else {
            continue;
        };
        let mut advice = planner.advice(remedy, subject);
        if !asked.costs.contains_key(&advice.id) {
            advice.cost = remedy.engine_cost().unwrap_or(advice.cost);
        }
        cost += u64::from(advice.cost);
        planned.plan.cost += u32::from(advice.cost);
        planned.plan.remedies.push(advice);
    }
    (cost, Plan { subjects, engine: set.to_vec(), after, assumptions: Vec::new() })
}

/// Services that this one extends, lowest first.
pub fn extended<'w>(subject: &'w Subject, world: &'w World) -> impl Iterator<Item = usize> + 'w {
    let declared = if subject.form == Form::Compose { subject.declared.as_slice() } else { &[] };
    let below = declared.iter().filter(|place| Some(*place) != subject.place.as_ref());
    below.filter_map(|place| world.subjects.iter().position(|s| s.place.as_ref() == Some(place)))
}

/// Whether the user of a Compose service is that of one it extends, which is planned to get another.
fn inherits_user(heir: &Subject, world: &World, subjects: &[Planned]) -> bool {
    let origin = &heir.confinement.identity.uid.origin;
    heir.confinement.identity.root.value != Some(false)
        && extended(heir, world).any(|below| {
            let is_given = subjects.get(below).is_some_and(|p| p.remedies().contains(&Remedy::RunAsNonRoot));
            let below = world.subjects.get(below);
            is_given && below.is_some_and(|b| b.confinement.identity.uid.origin == *origin)
        })
}

struct Planner<'a> {
    asked: &'a Asked<'a>,
    solver: Solver,
    done: HashMap<Key, Planned>,
}

impl<'a> Planner<'a> {
    fn new(asked: &'a Asked<'a>) -> Planner<'a> {
        Planner { asked, solver: Solver::new(Catalogue::get()), done: HashMap::new() }
    }

    fn advice(&self, remedy: &Remedy, subject: &Subject) -> Advice {
        let mut advice = remedy.advice(&subject.confinement, subject.form);
        advice.note = needs::advice_note(remedy, &subject.confinement);
        advice.cost = self.asked.cost(remedy, &subject.confinement);
        advice
    }

    fn applied(&self, world: &World, planned: &[Planned]) -> World {
        let mut after = world.clone();
        for (subject, planned) in after.subjects.iter_mut().zip(planned) {
            let remedies = planned.remedies();
            if !remedies.is_empty() {
                subject.confinement = Arc::new(apply_all(&remedies, &subject.confinement));
            }
        }
        after
    }

    /// For each subject the ways to others through which the host is nearer than the asked depth.
    fn ways(&mut self, world: &World) -> Vec<Vec<Way>> {
        let (solved, reach) = solved_by(&mut self.solver, world);
        let depth = self.asked.depth;
        let mut all = Vec::new();
        for (i, own) in solved.iter().enumerate() {
            let mut ways: Vec<Way> = Vec::new();
            if own.depth.min >= depth && reach.by_min.get(i).is_some_and(|best| best.depth < depth) {
                for (technique, step, meeting) in reach.ways.get(i).into_iter().flatten() {
                    let members = reach.members.get(meeting).into_iter().flatten();
                    let nearest = members
                        .filter(|m| **m != i)
                        .filter_map(|m| reach.by_min.get(*m))
                        .map(|b| b.depth)
                        .min();
                    let Some(beyond) = nearest else { continue };
                    if step.min.saturating_add(beyond) < depth {
                        let need = depth - beyond;
                        ways.push(Way { technique: *technique, meeting: meeting.clone(), need });
                    }
                }
            }
            all.push(ways);
        }
        all
    }

    fn one(&mut self, i: usize, subject: &Subject, ways: &[Way], before: Depth) -> Planned {
        let key = (subject.confinement.clone(), subject.form, ways.to_vec());
        if let Some(known) = self.done.get(&key) {
            return Planned { subject: i, before, ..known.clone() };
        }
        let mut problem = Obligations::new(&mut self.solver, subject, ways, self.asked);
        let covers = if problem.is_met() {
            cover::Covers { found: vec![cover::Found { chosen: Vec::new(), weight: 0 }], proven: true }
        } else {
            problem.ask_what_can_be_had();
            cover::solve(&mut problem, 1 + self.asked.alternatives, BUDGET)
        };
        let sets: Vec<Vec<Remedy>> = covers.found.iter().map(|f| problem.remedies(&f.chosen)).collect();
        let first = sets.first().cloned().unwrap_or_default();
        let left = if is_asked(subject) { problem.left(&first) } else { Vec::new() };
        let mut plans = sets.into_iter().map(|set| {
            let remedies: Vec<Advice> = set.iter().map(|r| self.advice(r, subject)).collect();
            Remedies { cost: remedies.iter().map(|a| u32::from(a.cost)).sum(), remedies }
        });
        let plan = plans.next().unwrap_or_default();
        let alternatives = plans.filter(|p| !p.remedies.is_empty()).collect();
        let recommended = self.recommended(subject, &first);
        let proven = covers.proven;
        // What it comes to hangs on the others' plans too, and is solved when all are made.
        let after = before;
        let planned = Planned { subject: i, before, after, plan, recommended, alternatives, left, proven };
        self.done.insert(key, planned.clone());
        planned
    }

    /// What good practice adds once the plan is made, as far as the form can say it.
    fn recommended(&self, subject: &Subject, done: &[Remedy]) -> Vec<Recommended> {
        let Some(pins) = self.asked.recommended else { return Vec::new() };
        let after = apply_all(done, &subject.confinement);
        recommended::recommended(&after, pins, None)
            .into_iter()
            .filter(|r| (self.asked.can)(subject, &r.remedy))
            .map(|r| Recommended { advice: self.advice(&r.remedy, subject), why: r.why, guess: r.guess })
            .collect()
    }
}
