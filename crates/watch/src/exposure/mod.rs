//! Exposure: whether a technique that was tried is open for the container it was tried in.
//!
//! A container's confinement comes from `containers`, made by the audit's own readers; the audit's solver says here
//! once for each distinct confinement what every technique comes to. `containers` asks for one technique at a time,
//! with the credentials of the process that tried it, which may be more than the container was given ([`actor`]).
//! What the kernel tells of a container before anything was read of it is judged too ([`at_start`]), and what that
//! leaves open stays "not known".

mod actor;
mod at_start;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use confinement::{Confinement, Host, Subject, SubjectKind, World};
use sensor::event::{Actor, ContainerKey, Credentials, Namespaces};
use techniques::barrier::Barriers;
use techniques::judge::{Solver, Verdict, states};
use techniques::solver::{Depth, Outcome, Solution, Vector, solve, term_conditions};
use techniques::technique::{Catalogue, ConditionId};

use crate::alert::Exposure;

/// Solutions are kept for this many distinct confinements; then all are forgotten and solved again as they come.
const KEPT: usize = 8192;
/// Credentials beyond a container's own that solutions are kept for.
const KEPT_RAISED: usize = 512;

/// What all techniques come to for one confinement.
#[derive(Clone, Debug)]
pub struct Judged {
    pub confinement: Arc<Confinement>,
    /// Of this container alone; paths through others are in [`Judge::depths`].
    pub depth: Depth,
    vector: Vector,
    solution: Arc<Solution>,
    /// Made of the kernel's first event alone: what it does not tell is unknown, not absent.
    pub is_provisional: bool,
}

impl Judged {
    /// `open`, `held by 2`, `undetermined`.
    pub fn verdict(depth: Depth) -> String {
        match Verdict::of(depth) {
            Verdict::Held if depth == Depth::NONE => "held".to_owned(),
            Verdict::Held => format!("held by {}", depth.min),
            other => other.name().to_owned(),
        }
    }

    /// Whether a process with these credentials has more than the container was given.
    pub fn is_exceeded_by(&self, own_user_namespace: u32, actor: &Credentials) -> bool {
        actor::Raised::of(&self.confinement, own_user_namespace, actor).is_some()
    }

    /// Whether the technique is open for whoever is confined so. Any identifier of the catalogue is answered for; one
    /// that is not in it, or whose premise does not hold here (a flaw that is fixed), does not apply.
    pub fn exposure(&self, technique: &str) -> Exposure {
        let catalogue = Catalogue::get();
        let Some(number) = number_of(catalogue, technique) else { return Exposure::DoesNotApply };
        match self.solution.outcomes.binary_search_by_key(&number, |o| o.technique) {
            Ok(at) => {
                self.solution.outcomes.get(at).map_or(Exposure::DoesNotApply, |o| self.outcome(catalogue, o))
            }
            Err(_) if self.solution.not_judged.contains(&number) => {
                let technique = catalogue.techniques.get(usize::from(number));
                let premise = technique.map(|t| t.premise.as_slice()).unwrap_or_default();
                Exposure::NotKnown { missing: self.missing(catalogue, number, premise) }
            }
            Err(_) => Exposure::DoesNotApply,
        }
    }

    fn outcome(&self, catalogue: &Catalogue, outcome: &Outcome) -> Exposure {
        match outcome.depth {
            Depth { max: 0, .. } => Exposure::Open,
            Depth { min: 0, .. } => {
                let ids: Vec<ConditionId> =
                    term_conditions(catalogue, outcome, &self.vector).map(|(id, _, _)| id).collect();
                Exposure::NotKnown { missing: self.missing(catalogue, outcome.technique, &ids) }
            }
            depth => Exposure::Held {
                barriers: names(outcome.cuts.first().copied().unwrap_or_default()),
                depth: depth.min,
            },
        }
    }

    /// What is not known of these conditions, in words.
    fn missing(&self, catalogue: &Catalogue, technique: u16, among: &[ConditionId]) -> Vec<String> {
        let Some(technique) = catalogue.techniques.get(usize::from(technique)) else { return Vec::new() };
        let mut missing: Vec<String> = Vec::new();
        let unknown = |id: &ConditionId| among.contains(id) && self.vector.get(*id).is_unknown();
        for state in states(technique, &self.confinement).iter().filter(|s| unknown(&s.condition)) {
            let name = catalogue.conditions.get(usize::from(state.condition)).map(ToString::to_string);
            let name = name.unwrap_or_default();
            // A fact that is read as false here may only be one that was not read.
            let said = if self.is_provisional { Vec::new() } else { state.facts.clone() };
            let text = match said.into_iter().next() {
                Some((fact, _)) => format!("{name}: {fact}"),
                None => name,
            };
            if !missing.contains(&text) {
                missing.push(text);
            }
        }
        missing
    }
}

fn names(barriers: Barriers) -> Vec<String> {
    barriers.iter().map(|b| b.name().to_owned()).collect()
}

/// Numbers of techniques by identifier, which [`Catalogue`] has only for itself.
fn number_of(catalogue: &Catalogue, id: &str) -> Option<u16> {
    static NUMBERS: std::sync::LazyLock<HashMap<&'static str, u16>> = std::sync::LazyLock::new(|| {
        (0..).zip(&Catalogue::get().techniques).map(|(number, technique)| (technique.id, number)).collect()
    });
    debug_assert!(std::ptr::eq(catalogue, Catalogue::get()));
    NUMBERS.get(id).copied()
}

/// Solves confinements, each distinct one once.
pub struct Judge {
    catalogue: &'static Catalogue,
    solver: Solver,
    /// One of each, so that containers that are confined alike share theirs.
    distinct: HashSet<Arc<Confinement>>,
    raised: HashMap<actor::Raised, Arc<Judged>>,
}

impl Default for Judge {
    fn default() -> Judge {
        let catalogue = Catalogue::get();
        Judge { catalogue, solver: Solver::new(catalogue), distinct: HashSet::new(), raised: HashMap::new() }
    }
}

impl Judge {
    /// Judges a confinement.
    pub fn judge(&mut self, confinement: Confinement) -> Judged {
        self.forget_when_full();
        let confinement = match self.distinct.get(&confinement) {
            Some(known) => known.clone(),
            None => {
                let new = Arc::new(confinement);
                self.distinct.insert(new.clone());
                new
            }
        };
        let (vector, solution) = self.solver.solution_of(&confinement);
        let depth = host_depth(self.catalogue, &solution);
        Judged { confinement, depth, vector, solution, is_provisional: false }
    }

    /// What the kernel's first event of a container says of it, with what it does not tell as unknown.
    pub fn judge_at_start(
        &mut self,
        actor: &Actor,
        host_namespaces: &Namespaces,
        host: &Arc<Host>,
    ) -> Judged {
        let confinement = Arc::new(at_start::confinement(actor, host_namespaces, host));
        let (mut vector, _) = self.solver.solution_of(&confinement);
        at_start::forget_what_was_not_told(self.catalogue, &mut vector);
        let solution = Arc::new(solve(self.catalogue, &vector));
        let depth = host_depth(self.catalogue, &solution);
        Judged { confinement, depth, vector, solution, is_provisional: true }
    }

    /// The exposure to a technique of a process in the container, by what the container was given and by what this
    /// process has beyond it. `own` is the user namespace of the container.
    pub fn exposure(
        &mut self,
        judged: &Judged,
        technique: &str,
        own_user_namespace: u32,
        actor: &Credentials,
    ) -> Exposure {
        match self.for_actor(judged, own_user_namespace, actor) {
            Some(raised) => raised.exposure(technique),
            None => judged.exposure(technique),
        }
    }

    /// The judgement for a process that has more than its container; `None` where it has not.
    fn for_actor(&mut self, judged: &Judged, own: u32, actor: &Credentials) -> Option<Arc<Judged>> {
        let raised = actor::Raised::of(&judged.confinement, own, actor)?;
        if let Some(known) = self.raised.get(&raised) {
            return Some(known.clone());
        }
        if self.raised.len() >= KEPT_RAISED {
            self.raised.clear();
        }
        let mut found = self.judge(raised.apply());
        if judged.is_provisional {
            at_start::forget_what_was_not_told(self.catalogue, &mut found.vector);
            found.solution = Arc::new(solve(self.catalogue, &found.vector));
            found.is_provisional = true;
        }
        let found = Arc::new(found);
        self.raised.insert(raised, found.clone());
        Some(found)
    }

    /// The depth of each container, alone or through others: techniques whose gain is another container lead on to
    /// what that one reaches, as in the audit.
    pub fn depths(&mut self, containers: &[(ContainerKey, Arc<Confinement>)]) -> Vec<Depth> {
        self.forget_when_full();
        let subject = |(key, confinement): &(ContainerKey, Arc<Confinement>)| Subject {
            id: subject_id(*key),
            name: subject_id(*key),
            kind: SubjectKind::Container,
            form: confinement::Form::Measured,
            place: None,
            declared: Vec::new(),
            realm: "host".into(),
            namespace: None,
            labels: Default::default(),
            made: None,
            confinement: confinement.clone(),
            pod: None,
        };
        let world = World { subjects: containers.iter().map(subject).collect(), ..World::default() };
        self.solver.depths(&world)
    }

    /// A machine runs for longer than the audit, and confinements differ without end.
    fn forget_when_full(&mut self) {
        if self.solver.kept() > KEPT || self.distinct.len() > KEPT {
            self.solver = Solver::new(self.catalogue);
            self.distinct.clear();
            self.raised.clear();
        }
    }
}

/// What other containers call this one where they share a namespace of its.
pub fn subject_id(key: ContainerKey) -> Arc<str> {
    format!("container:{}", key.0).into()
}

/// Over the techniques that reach the host.
fn host_depth(catalogue: &Catalogue, solution: &Solution) -> Depth {
    let reaches_host =
        |o: &&Outcome| catalogue.techniques.get(usize::from(o.technique)).is_some_and(|t| t.gain.is_host());
    solution.outcomes.iter().filter(reaches_host).fold(Depth::NONE, |least, o| least.least(o.depth))
}

#[cfg(test)]
mod tests;
