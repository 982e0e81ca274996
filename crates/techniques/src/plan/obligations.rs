//! One subject's plan as a cover: every term of every technique that stands below the asked depth is an obligation,
//! and the settings that make one of its conditions false are the choices.

use std::collections::HashMap;

use confinement::{Capability, Confinement, Form, Namespace, NamespaceKind, Subject};

use super::cover::{Choice, Cover};
use super::{Asked, Left};
use crate::barrier::Barriers;
use crate::judge::{Solver, is_host};
use crate::reach::{Meeting, meetings_of, volume_name};
use crate::remedy::{Candidates, Remedy, apply_all};
use crate::solver::{Vector, solve_technique};
use crate::technique::{Catalogue, ConditionId, Technique};

/// A way to another subject that must have so many walls by itself, or be gone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Way {
    pub(crate) technique: u16,
    pub(crate) meeting: Meeting,
    pub(crate) need: u8,
}

/// A technique, as one of the ways where it belongs to one.
type Place = (u16, Option<u16>);

pub(crate) struct Obligations<'a> {
    solver: &'a mut Solver,
    catalogue: &'static Catalogue,
    subject: &'a Subject,
    ways: &'a [Way],
    asked: &'a Asked<'a>,
    remedies: Vec<Remedy>,
    weights: Vec<u64>,
    numbers: HashMap<Remedy, Option<Choice>>,
    /// What nothing allowed here brings to the depth, with the depth that it can have.
    reachable: HashMap<Place, u8>,
    /// The state before anything is chosen, which is asked for more than once.
    first: Option<Vec<Vec<Choice>>>,
}

/// One state of the search while its obligations are worked out.
struct State<'s> {
    candidates: Candidates<'s>,
    /// By condition.
    choices: Vec<Option<Box<[Choice]>>>,
    vector: &'s Vector,
}

/// What one state leaves to do.
struct Open {
    place: Place,
    /// Walls that stand in it.
    stands: u8,
    choices: Vec<Choice>,
}

impl<'a> Obligations<'a> {
    pub(crate) fn new(
        solver: &'a mut Solver,
        subject: &'a Subject,
        ways: &'a [Way],
        asked: &'a Asked<'a>,
    ) -> Obligations<'a> {
        Obligations {
            solver,
            catalogue: Catalogue::get(),
            subject,
            ways,
            asked,
            remedies: Vec::new(),
            weights: Vec::new(),
            numbers: HashMap::new(),
            reachable: HashMap::new(),
            first: None,
        }
    }

    pub(crate) fn is_met(&mut self) -> bool {
        let first = self.unmet(&[]);
        let met = first.is_empty();
        self.first = Some(first);
        met
    }

    pub(crate) fn remedies(&self, chosen: &[Choice]) -> Vec<Remedy> {
        chosen.iter().filter_map(|c| self.remedies.get(*c as usize).cloned()).collect()
    }

    /// The number of a remedy that may be chosen; `None` where a pin or the form forbids it.
    fn number(&mut self, remedy: Remedy) -> Option<Choice> {
        if let Some(known) = self.numbers.get(&remedy) {
            return *known;
        }
        let c = &*self.subject.confinement;
        // An engine's own settings reach all its containers, and are tried for all of them together.
        let is_shared = self.subject.form == Form::Daemon && remedy.engine_cost().is_some();
        let allowed = !is_shared
            && (self.asked.can)(self.subject, &remedy)
            && (self.asked.pinned)(&remedy, c).is_empty();
        let number = allowed.then_some(self.remedies.len() as Choice);
        if allowed {
            // Cost decides; then fewer remedies; then those that take back what was asked for.
            let cost = self.asked.cost(&remedy, c);
            let weight = u64::from(cost.max(1)) << 20 | 1 << 8 | u64::from(!remedy.takes_back());
            self.weights.push(weight);
            self.remedies.push(remedy.clone());
        }
        self.numbers.insert(remedy, number);
        number
    }

    /// The terms below their depth in a state.
    fn open(&mut self, changed: &Confinement, vector: &Vector) -> Vec<Open> {
        let catalogue = self.catalogue;
        let mut state = State { candidates: Candidates::of(changed), choices: Vec::new(), vector };
        state.choices.resize(catalogue.conditions.len(), None);
        let mut open = Vec::new();
        for (number, technique) in (0..).zip(&catalogue.techniques) {
            if is_host(catalogue, number) && is_judged(technique, vector) {
                self.open_terms((number, None), technique, self.asked.depth, &mut state, &mut open);
            }
        }
        for (at, way) in (0..).zip(self.ways) {
            let Some(technique) = catalogue.techniques.get(way.technique as usize) else { continue };
            let Some(relation) = technique.relation else { continue };
            let still = meetings_of(self.subject, changed, relation).contains(&way.meeting);
            if still && is_judged(technique, vector) {
                self.open_terms((way.technique, Some(at)), technique, way.need, &mut state, &mut open);
            }
        }
        open
    }

    fn open_terms(
        &mut self,
        place: Place,
        technique: &'static Technique,
        need: u8,
        state: &mut State<'_>,
        open: &mut Vec<Open>,
    ) {
        let need = self.reachable.get(&place).copied().unwrap_or(need);
        for term in &technique.terms {
            let stands = self.stands(term, state.vector);
            if stands.len() as u8 >= need {
                continue;
            }
            let mut choices: Vec<Choice> = Vec::new();
            for id in self.conditions_to_break(technique, term, stands, state.vector) {
                choices.extend_from_slice(self.choices_for(id, state));
            }
            if let Some(way) = place.1.and_then(|w| self.ways.get(w as usize)) {
                let leaving = leaving(&way.meeting, state.candidates.confinement());
                choices.extend(leaving.into_iter().filter_map(|remedy| self.number(remedy)));
            }
            choices.sort_unstable();
            choices.dedup();
            open.push(Open { place, stands: stands.len() as u8, choices });
        }
    }

    /// The choices of a condition, worked out once in a state.
    fn choices_for<'s>(&mut self, id: ConditionId, state: &'s mut State<'_>) -> &'s [Choice] {
        let Some(known) = state.choices.get_mut(id as usize) else { return &[] };
        if known.is_none()
            && let Some(condition) = self.catalogue.conditions.get(id as usize)
        {
            let c = state.candidates.confinement();
            let form = self.subject.form;
            let remedies = state.candidates.for_condition(condition).into_iter();
            *known = Some(remedies.filter_map(|remedy| self.number(first(remedy, c, form))).collect());
        }
        known.as_deref().unwrap_or_default()
    }

    /// The walls that certainly stand in a term.
    fn stands(&self, term: &[ConditionId], vector: &Vector) -> Barriers {
        let walls = term.iter().filter(|id| vector.get(**id).is_false());
        let walls = walls.filter_map(|id| self.catalogue.barriers.get(*id as usize));
        walls.fold(Barriers::NONE, |stands, barrier| stands.with(*barrier))
    }

    /// Conditions that add a wall to a term when they are made false: those whose barrier does not stand in it yet.
    /// And the premise, without which there is no such technique.
    fn conditions_to_break<'t>(
        &self,
        technique: &'t Technique,
        term: &'t [ConditionId],
        stands: Barriers,
        vector: &Vector,
    ) -> impl Iterator<Item = ConditionId> + use<'t> {
        let barriers = &self.catalogue.barriers;
        let vector = *vector;
        let adds = move |id: &ConditionId| {
            let barrier = barriers.get(*id as usize);
            !vector.get(*id).is_false() && barrier.is_some_and(|barrier| !stands.has(*barrier))
        };
        term.iter().copied().filter(adds).chain(technique.premise.iter().copied())
    }

    fn state(&mut self, chosen: &[Choice]) -> (Confinement, Vector) {
        let remedies = chosen.iter().filter_map(|c| self.remedies.get(*c as usize));
        let changed = apply_all(remedies, &self.subject.confinement);
        let vector = self.solver.vector(&changed);
        (changed, vector)
    }

    /// Finds what stays below the depth with everything done that is allowed, and asks no more of it than it can have.
    pub(crate) fn ask_what_can_be_had(&mut self) {
        self.first = None;
        let mut all: Vec<Choice> = Vec::new();
        loop {
            let (changed, vector) = self.state(&all);
            let open = self.open(&changed, &vector);
            let more: Vec<Choice> =
                open.iter().flat_map(|o| &o.choices).copied().filter(|c| !all.contains(c)).collect();
            if more.is_empty() {
                for term in open {
                    let reachable = self.reachable.entry(term.place).or_insert(term.stands);
                    *reachable = term.stands.min(*reachable);
                }
                return;
            }
            for choice in more {
                if !all.contains(&choice) {
                    all.push(choice);
                }
            }
        }
    }

    /// What stays below the depth after these remedies, by technique, and why.
    pub(crate) fn left(&mut self, done: &[Remedy]) -> Vec<Left> {
        if self.reachable.is_empty() {
            return Vec::new();
        }
        let c = &*self.subject.confinement;
        let changed = apply_all(done, c);
        let vector = self.solver.vector(&changed);
        let mut candidates = Candidates::of(&changed);
        let mut left: Vec<Left> = Vec::new();
        for (number, way) in self.reachable.keys() {
            let Some(technique) = self.catalogue.techniques.get(*number as usize) else { continue };
            let depth = solve_technique(*number, technique, &vector, &self.catalogue.barriers);
            let mut entry = Left { technique, depth, pins: Vec::new(), elsewhere: Vec::new() };
            for term in &technique.terms {
                let stands = self.stands(term, &vector);
                if stands.len() as u8 >= self.asked.depth {
                    continue;
                }
                let mut remedies: Vec<Remedy> = Vec::new();
                for id in self.conditions_to_break(technique, term, stands, &vector) {
                    if let Some(condition) = self.catalogue.conditions.get(id as usize) {
                        remedies.extend(candidates.for_condition(condition));
                    }
                }
                if let Some(way) = way.and_then(|w| self.ways.get(w as usize)) {
                    remedies.extend(leaving(&way.meeting, &changed));
                }
                for remedy in remedies {
                    let pins = (self.asked.pinned)(&remedy, c);
                    if pins.is_empty() && !(self.asked.can)(self.subject, &remedy) {
                        entry.elsewhere.push(remedy.advice(c, self.subject.form));
                    }
                    entry.pins.extend(pins);
                }
            }
            entry.pins.sort_unstable();
            entry.pins.dedup();
            entry.elsewhere.sort_by(|a, b| (a.cost, &a.summary).cmp(&(b.cost, &b.summary)));
            entry.elsewhere.dedup();
            if !left.iter().any(|l| l.technique.id == technique.id) {
                left.push(entry);
            }
        }
        // Those with the same answer stand together.
        left.sort_by_cached_key(|l| {
            let elsewhere: Vec<String> = l.elsewhere.iter().map(|a| a.summary.clone()).collect();
            (l.pins.clone(), elsewhere, l.technique.id)
        });
        left
    }
}

/// What a remedy cannot be without, where the API server refuses it beside something else (Kubernetes,
/// `ValidatePodSpec`): a set that holds the remedy holds that too.
fn first(remedy: Remedy, c: &Confinement, form: Form) -> Remedy {
    if form != Form::Kubernetes {
        return remedy;
    }
    match remedy {
        Remedy::NoNewPrivileges if c.privileged.value == Some(true) => Remedy::DropPrivileged,
        Remedy::NoNewPrivileges
            if c.capabilities.bounding.get().is_some_and(|set| set.has(Capability::SYS_ADMIN)) =>
        {
            Remedy::DropCapability(Capability::SYS_ADMIN)
        }
        Remedy::UserNamespace => {
            let kinds = [NamespaceKind::Pid, NamespaceKind::Net, NamespaceKind::Ipc];
            let host = kinds.into_iter().find(|k| c.namespaces.get(*k).get() == Some(&Namespace::Host));
            host.map_or(Remedy::UserNamespace, Remedy::PrivateNamespace)
        }
        other => other,
    }
}

/// The technique exists here: what its premise says is known to hold.
fn is_judged(technique: &Technique, vector: &Vector) -> bool {
    technique.premise.iter().all(|c| vector.get(*c).is_true())
}

/// What takes a subject away from where it meets others.
fn leaving(meeting: &Meeting, c: &Confinement) -> Vec<Remedy> {
    match meeting {
        Meeting::Volume(_, name) => c
            .mounts
            .iter()
            .filter(|m| m.read_only.value == Some(false) && volume_name(m).as_ref() == Some(name))
            .flat_map(|m| [Remedy::ReadOnlyMount(m.target.clone()), Remedy::RemoveMount(m.target.clone())])
            .collect(),
        Meeting::Namespace(kind, ..) => vec![Remedy::PrivateNamespace(*kind)],
        Meeting::Realm(_) | Meeting::Exec(..) => Vec::new(),
    }
}

impl Cover for Obligations<'_> {
    fn unmet(&mut self, chosen: &[Choice]) -> Vec<Vec<Choice>> {
        if chosen.is_empty()
            && let Some(first) = self.first.take()
        {
            return first;
        }
        let (changed, vector) = self.state(chosen);
        let mut lists: Vec<Vec<Choice>> =
            self.open(&changed, &vector).into_iter().map(|open| open.choices).collect();
        lists.sort_unstable();
        lists.dedup();
        lists
    }

    fn weight(&self, choice: Choice) -> u64 {
        self.weights.get(choice as usize).copied().unwrap_or(u64::MAX)
    }
}
