//! The judgement: a world of subjects goes in, verdicts with paths, evidence and remedies come out.
//!
//! Each distinct confinement is solved once. Then paths are chained across subjects: what one technique gains in
//! another container is a step on the way, and the way is followed to a fixpoint.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock, Mutex};

use confinement::seccomp::Builtin;
use confinement::{
    CapabilitySet, Confinement, EngineKind, Form, Host, Origin, Seccomp, Subject, Truth, World,
};
use rayon::prelude::*;
use serde::Serialize;

use crate::barrier::Barriers;
use crate::condition::{Condition, Filter};
use crate::reach::{Chain, Reach, volume_name};
use crate::remedy::{Advice, Remedy, candidates};
use crate::severity::Severity;
use crate::solver::{
    Depth, Outcome, Solution, Vector, evaluate, evaluate_flaws, evaluate_seccomp, solve, term_conditions,
};
use crate::technique::{Catalogue, ConditionId, Gain, Relation, Technique};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// A path is a finding when fewer walls than this stand. 1: only what is open now.
    pub depth: u8,
}

impl Default for Options {
    fn default() -> Options {
        Options { depth: 1 }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    Held,
    Undetermined,
    Open,
}

impl Verdict {
    pub fn of(depth: Depth) -> Verdict {
        match depth {
            Depth { max: 0, .. } => Verdict::Open,
            Depth { min: 0, .. } => Verdict::Undetermined,
            _ => Verdict::Held,
        }
    }
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Undetermined => "undetermined",
            Verdict::Open => "open",
        }
    }
}

/// A fact that bears on a condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    pub condition: ConditionId,
    pub value: Truth,
    pub fact: String,
    pub origin: Origin,
}

/// One technique of a path, and whose container it starts in.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub technique: &'static Technique,
    /// Index in the world's subjects.
    pub subject: usize,
}

/// A path or a weakness of one subject.
#[derive(Clone, Debug)]
pub struct Finding {
    pub steps: Vec<Step>,
    pub gain: Gain,
    pub severity: Severity,
    pub depth: Depth,
    /// What still stands in the way, by the smallest cut set.
    pub barriers: Barriers,
    pub evidence: Vec<Evidence>,
    /// Single settings that break the path.
    pub remedies: Vec<Advice>,
    /// Other subjects that are reached on the way.
    pub reaches: Vec<usize>,
    /// Stable under edits that move the place: techniques and subject, no lines and no prose.
    pub fingerprint: String,
}

impl Finding {
    /// The technique that names the finding: the last step's.
    pub fn technique(&self) -> &'static Technique {
        // A finding is made with at least one step.
        self.steps.last().map(|s| s.technique).expect("a finding has a step")
    }
    pub fn is_complete(&self) -> bool {
        self.depth.max == 0
    }
}

/// A remedy for a held subject, and the depth it brings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hint {
    #[serde(flatten)]
    pub advice: Advice,
    pub depth: Depth,
}

#[derive(Clone, Debug)]
pub struct Judged {
    /// Index in the world's subjects.
    pub subject: usize,
    pub verdict: Verdict,
    pub depth: Depth,
    /// The smallest cut sets over every technique that reaches the host.
    pub cuts: Vec<Barriers>,
    pub paths: Vec<Finding>,
    pub lateral: Vec<Finding>,
    pub weaknesses: Vec<Finding>,
    /// For an undetermined subject: what is not known, and would decide.
    pub undecided: Vec<Evidence>,
    /// The cheapest remedies that each add a wall, for a held subject.
    pub hints: Vec<Hint>,
}

/// Techniques that were not judged because nothing says whether their premise holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotJudged {
    pub technique: &'static str,
    pub subjects: usize,
}

#[derive(Clone, Debug)]
pub struct Judgement {
    pub subjects: Vec<Judged>,
    pub not_judged: Vec<NotJudged>,
    /// What was taken for granted, each once, with the number of subjects it was for.
    pub assumptions: Vec<(String, usize)>,
}

/// A confinement solved: shared by all subjects that are confined alike.
#[derive(Debug)]
pub(crate) struct Solved {
    pub(crate) vector: Vector,
    pub(crate) solution: Arc<Solution>,
    /// Over techniques that reach the host from this container alone.
    pub(crate) depth: Depth,
    cuts: Vec<Barriers>,
}

/// Conditions with their truth.
type Answers = Vec<(ConditionId, Truth)>;

/// The answers about seccomp for a filter that is built in, which solvers on all threads share: a plan asks for the same
/// few hundred bounding sets again and again.
fn known_to_all(key: SeccompKey, catalogue: &Catalogue, c: &Confinement) -> Arc<Answers> {
    static KNOWN: LazyLock<Mutex<HashMap<SeccompKey, Arc<Answers>>>> = LazyLock::new(Mutex::default);
    if let Some(known) = KNOWN.lock().ok().and_then(|map| map.get(&key).cloned()) {
        return known;
    }
    let answers = Arc::new(evaluate_seccomp(catalogue, c));
    if let Ok(mut map) = KNOWN.lock() {
        map.insert(key, answers.clone());
    }
    answers
}

/// What the answers about seccomp hang on.
#[derive(Clone, PartialEq, Eq, Hash)]
struct SeccompKey {
    builtin: Option<Builtin>,
    /// The address of a profile from a file, which the confinement keeps alive as long as this key.
    profile: usize,
    state: u8,
    bounding: Option<CapabilitySet>,
    machine: Option<Arc<str>>,
    kernel: Option<(u32, u32)>,
}

/// Solves confinements, each distinct one once.
pub struct Solver {
    catalogue: &'static Catalogue,
    solved: HashMap<Arc<Confinement>, Arc<Solved>>,
    solutions: HashMap<Vector, Arc<Solution>>,
    seccomp: HashMap<SeccompKey, Arc<Answers>>,
    /// By the host's address; the host is kept, so that the address stays its own.
    flaws: HashMap<usize, (Arc<Host>, Answers)>,
    hints: HashMap<(Vector, Option<EngineKind>, Form), Vec<Hint>>,
}

impl Solver {
    pub fn new(catalogue: &'static Catalogue) -> Solver {
        Solver {
            catalogue,
            solved: HashMap::new(),
            solutions: HashMap::new(),
            seccomp: HashMap::new(),
            flaws: HashMap::new(),
            hints: HashMap::new(),
        }
    }

    /// The truth of every condition for a confinement.
    pub fn vector(&mut self, c: &Confinement) -> Vector {
        let catalogue = self.catalogue;
        let mut vector = evaluate(catalogue, c);
        let (_, flaws) = self
            .flaws
            .entry(Arc::as_ptr(&c.host) as usize)
            .or_insert_with(|| (c.host.clone(), evaluate_flaws(catalogue, c)));
        for (id, truth) in flaws {
            vector.set(*id, *truth);
        }
        let kept_apart = match c.seccomp.get() {
            // What was measured differs from container to container.
            Some(Seccomp::Measured(_)) => None,
            other => Some(SeccompKey {
                builtin: match other {
                    Some(Seccomp::Builtin(b)) => Some(*b),
                    _ => None,
                },
                profile: match other {
                    Some(Seccomp::Profile { profile, .. }) => Arc::as_ptr(profile) as usize,
                    _ => 0,
                },
                state: match other {
                    None => 0,
                    Some(Seccomp::Disabled) => 1,
                    Some(Seccomp::Opaque) => 2,
                    Some(_) => 3,
                },
                bounding: c.capabilities.bounding.value,
                machine: c.host.machine.value.clone(),
                kernel: c.host.kernel_version(),
            }),
        };
        match kept_apart {
            // An address may be used again once its profile is gone, so only profiles that live as long as the program are kept.
            Some(key) if key.profile == 0 => {
                let answers =
                    self.seccomp.entry(key.clone()).or_insert_with(|| known_to_all(key, catalogue, c));
                for (id, truth) in answers.iter() {
                    vector.set(*id, *truth);
                }
            }
            _ => {
                for (id, truth) in evaluate_seccomp(catalogue, c) {
                    vector.set(id, truth);
                }
            }
        }
        vector
    }

    fn solution(&mut self, vector: Vector) -> Arc<Solution> {
        let catalogue = self.catalogue;
        self.solutions.entry(vector).or_insert_with(|| Arc::new(solve(catalogue, &vector))).clone()
    }

    pub(crate) fn solve(&mut self, c: &Arc<Confinement>) -> Arc<Solved> {
        if let Some(solved) = self.solved.get(c) {
            return solved.clone();
        }
        let solved = Arc::new(self.solve_afresh(c));
        self.solved.insert(c.clone(), solved.clone());
        solved
    }

    fn solve_afresh(&mut self, c: &Confinement) -> Solved {
        let vector = self.vector(c);
        let solution = self.solution(vector);
        let (depth, cuts) = host_depth(self.catalogue, &solution);
        Solved { vector, solution, depth, cuts }
    }

    /// The truth of every condition for a confinement, and what all techniques come to; kept for those confined alike.
    pub fn solution_of(&mut self, c: &Arc<Confinement>) -> (Vector, Arc<Solution>) {
        let solved = self.solve(c);
        (solved.vector, solved.solution.clone())
    }

    /// How many confinements, vectors and hosts are kept. Who solves for as long as a machine runs starts a new solver
    /// from time to time.
    pub fn kept(&self) -> usize {
        self.solved.len() + self.solutions.len() + self.flaws.len()
    }

    /// The depth of every subject of a world, as [`judge`] finds it: alone, or through others where that is nearer.
    pub fn depths(&mut self, world: &World) -> Vec<Depth> {
        let solved: Vec<Arc<Solved>> = world.subjects.iter().map(|s| self.solve(&s.confinement)).collect();
        let reach = Reach::find(self.catalogue, world, &solved);
        let through = |(i, own): (usize, &Arc<Solved>)| match reach.chain(i, own.depth) {
            Some(chain) => own.depth.least(chain.depth),
            None => own.depth,
        };
        solved.iter().enumerate().map(through).collect()
    }

    /// The depth of a confinement by itself, without other subjects.
    pub fn depth(&mut self, c: &Confinement) -> Depth {
        self.solve_afresh(c).depth
    }

    /// Single remedies that break one technique for a container: after each, the technique is no longer below `depth`.
    fn remedies(
        &mut self,
        c: &Confinement,
        outcome: &Outcome,
        vector: &Vector,
        depth: u8,
        form: Form,
    ) -> Vec<Advice> {
        let mut tried: Vec<Remedy> = Vec::new();
        for (_, condition, truth) in term_conditions(self.catalogue, outcome, vector) {
            if !truth.is_false() {
                for remedy in candidates(condition, c) {
                    if !tried.contains(&remedy) {
                        tried.push(remedy);
                    }
                }
            }
        }
        without_parts(&mut tried, c);
        let mut settling: Vec<Advice> = Vec::new();
        let mut others: Vec<Advice> = Vec::new();
        for remedy in tried {
            let changed = remedy.apply(c);
            let after = self.vector(&changed);
            let solution = self.solution(after);
            let now = solution.outcomes.iter().find(|o| o.technique == outcome.technique);
            if now.is_some_and(|o| o.depth.min < depth) {
                continue;
            }
            let settles = host_depth(self.catalogue, &solution).0.min >= depth;
            if settles { &mut settling } else { &mut others }.push(remedy.advice(c, form));
        }
        sort_advice(&mut settling);
        sort_advice(&mut others);
        // Where some setting breaks every path to the host, one that leaves others open comes after it and says so.
        if !settling.is_empty() {
            for advice in &mut others {
                advice.summary.push_str(" (leaves other paths)");
            }
        }
        settling.extend(others);
        settling
    }

    /// The cheapest remedies that raise the depth of a held container, each by itself.
    fn hints(&mut self, c: &Confinement, solved: &Solved, form: Form) -> Vec<Hint> {
        let key = (solved.vector, c.engine.as_ref().map(|e| e.kind), form);
        if let Some(hints) = self.hints.get(&key) {
            return hints.clone();
        }
        let catalogue = self.catalogue;
        let mut tried: Vec<Remedy> = Vec::new();
        for outcome in solved
            .solution
            .outcomes
            .iter()
            .filter(|o| o.depth.min == solved.depth.min && is_host(catalogue, o.technique))
        {
            for (_, condition, truth) in term_conditions(catalogue, outcome, &solved.vector) {
                if truth.is_true() {
                    for remedy in candidates(condition, c) {
                        if !tried.contains(&remedy) {
                            tried.push(remedy);
                        }
                    }
                }
            }
        }
        without_parts(&mut tried, c);
        let mut hints: Vec<Hint> = Vec::new();
        for remedy in tried {
            let changed = remedy.apply(c);
            let vector = self.vector(&changed);
            let solution = self.solution(vector);
            let (depth, _) = host_depth(catalogue, &solution);
            if depth.min > solved.depth.min {
                hints.push(Hint { advice: remedy.advice(c, form), depth });
            }
        }
        hints.sort_by(|a, b| (a.advice.cost, &a.advice.summary).cmp(&(b.advice.cost, &b.advice.summary)));
        hints.truncate(3);
        self.hints.insert(key, hints.clone());
        hints
    }
}

pub(crate) fn is_host(catalogue: &Catalogue, technique: u16) -> bool {
    catalogue.techniques.get(technique as usize).is_some_and(|t| t.gain.is_host())
}

/// Depth and smallest cut sets over the techniques that reach the host.
fn host_depth(catalogue: &Catalogue, solution: &Solution) -> (Depth, Vec<Barriers>) {
    let mut depth = Depth::NONE;
    for outcome in solution.outcomes.iter().filter(|o| is_host(catalogue, o.technique)) {
        depth = depth.least(outcome.depth);
    }
    let mut cuts: Vec<Barriers> = Vec::new();
    for outcome in solution.outcomes.iter().filter(|o| is_host(catalogue, o.technique)) {
        for cut in &outcome.cuts {
            if cut.len() == u32::from(depth.min) && !cuts.contains(cut) {
                cuts.push(*cut);
            }
        }
    }
    cuts.sort_by_key(|c| c.0);
    (depth, cuts)
}

/// Nobody takes capabilities back one by one that came with `ALL`.
fn without_parts(remedies: &mut Vec<Remedy>, c: &Confinement) {
    if remedies.contains(&Remedy::RemoveAllCapabilities) {
        let added =
            |r: &Remedy| matches!(r, Remedy::DropCapability(_)) && r.id(c) == "remove-added-capability";
        remedies.retain(|remedy| !added(remedy));
    }
}

/// The conditions of an outcome that hold or may hold, with the facts that say so.
fn evidence(catalogue: &Catalogue, c: &Confinement, outcome: &Outcome, vector: &Vector) -> Vec<Evidence> {
    let filter = Filter::of(c);
    let mut list = Vec::new();
    for (id, condition, truth) in term_conditions(catalogue, outcome, vector) {
        let mut facts: Vec<(String, Origin)> = Vec::new();
        condition.check(c, &filter, &mut facts);
        if facts.is_empty() && truth.is_unknown() {
            facts.push((format!("{condition} is not known"), Origin::Nowhere));
        }
        list.extend(facts.into_iter().map(|(fact, origin)| Evidence {
            condition: id,
            value: truth,
            fact,
            origin,
        }));
    }
    list
}

/// Judges every subject of a world.
pub fn judge(world: &World, options: Options) -> Judgement {
    let catalogue = Catalogue::get();
    let solve = |subjects: &[Subject]| -> Vec<Arc<Solved>> {
        let mut solver = Solver::new(catalogue);
        subjects.iter().map(|s| solver.solve(&s.confinement)).collect()
    };
    let solved = in_runs(&world.subjects, |_, subjects| solve(subjects));
    let reach = Reach::find(catalogue, world, &solved);
    let mut not_judged: HashMap<u16, usize> = HashMap::new();
    for technique in solved.iter().flat_map(|s| &s.solution.not_judged) {
        *not_judged.entry(*technique).or_default() += 1;
    }
    let subjects = in_runs(&world.subjects, |first, subjects| {
        let mut solver = Solver::new(catalogue);
        let judged = subjects
            .iter()
            .enumerate()
            .map(|(i, subject)| judge_one(&mut solver, world, subject, first + i, &solved, &reach, options));
        judged.collect::<Vec<Judged>>()
    });
    let mut not_judged: Vec<NotJudged> = not_judged
        .into_iter()
        .filter_map(|(t, n)| {
            Some(NotJudged { technique: catalogue.techniques.get(t as usize)?.id, subjects: n })
        })
        .collect();
    not_judged.sort_by_key(|n| n.technique);
    Judgement { subjects, not_judged, assumptions: assumptions(world) }
}

/// The fewest subjects that one thread takes.
const RUN: usize = 64;

/// What `each` makes of the subjects, in their order. Each thread takes a run of neighbours, which are most alike, and
/// keeps its own memory of what it has solved. A few are not worth the threads: a gate judges one and waits for it.
fn in_runs<T: Send>(subjects: &[Subject], each: impl Fn(usize, &[Subject]) -> Vec<T> + Sync) -> Vec<T> {
    if subjects.len() <= RUN {
        return each(0, subjects);
    }
    let run = (subjects.len() / (rayon::current_num_threads() * 4)).clamp(RUN, 4096);
    let runs = subjects.par_chunks(run).enumerate();
    runs.flat_map_iter(|(number, subjects)| each(number * run, subjects)).collect()
}

fn judge_one(
    solver: &mut Solver,
    world: &World,
    subject: &Subject,
    i: usize,
    all: &[Arc<Solved>],
    reach: &Reach,
    options: Options,
) -> Judged {
    let catalogue = solver.catalogue;
    let c = &*subject.confinement;
    let solved = &all[i];
    let form = subject.form;
    let (mut paths, mut lateral, mut weaknesses) = (Vec::new(), Vec::new(), Vec::new());
    for outcome in &solved.solution.outcomes {
        let Some(technique) = catalogue.techniques.get(outcome.technique as usize) else { continue };
        let severity = Severity::of(technique.gain, outcome.depth.min);
        let counts = if technique.gain.is_host() || technique.gain.is_lateral() {
            outcome.depth.min < options.depth
        } else {
            outcome.depth.max == 0
        };
        if !counts {
            continue;
        }
        let others = match technique.relation {
            Some(relation) => {
                let others = reach.others(i, relation, world, all);
                if others.is_empty() {
                    continue;
                }
                others
            }
            None => Vec::new(),
        };
        let remedies = if technique.gain.is_host() || technique.gain.is_lateral() {
            solver.remedies(c, outcome, &solved.vector, options.depth, form)
        } else {
            weakness_remedies(catalogue, c, outcome, &solved.vector, form)
        };
        let finding = Finding {
            steps: vec![Step { technique, subject: i }],
            gain: technique.gain,
            severity,
            depth: outcome.depth,
            barriers: outcome.cuts.first().copied().unwrap_or_default(),
            evidence: evidence(catalogue, c, outcome, &solved.vector),
            remedies,
            fingerprint: fingerprint(&[technique.id], subject),
            reaches: others,
        };
        if technique.gain.is_host() {
            paths.push(finding);
        } else if technique.gain.is_lateral() {
            lateral.push(finding);
        } else {
            weaknesses.push(finding);
        }
    }
    let mut depth = solved.depth;
    if let Some(chain) = reach.chain(i, depth) {
        if chain.depth.min < options.depth {
            paths.extend(chained(solver, world, &chain, i, all, options, form));
        }
        depth = depth.least(chain.depth);
    }
    // Worst first: complete before possible, then by severity, then by what the path yields, the plainest first.
    let order = |f: &Finding| {
        // What somebody wrote is shown before a flaw that only an update mends.
        let flaw = f.technique().id.starts_with("CVE-");
        let plain = (flaw, f.steps.len(), f.evidence.len(), f.technique().id);
        (f.depth.max > 0, Reverse(f.severity), f.gain, f.depth.min, plain)
    };
    paths.sort_by(|a, b| order(a).cmp(&order(b)));
    lateral.sort_by(|a, b| order(a).cmp(&order(b)));
    weaknesses.sort_by(|a, b| order(a).cmp(&order(b)));
    let verdict = Verdict::of(depth);
    let undecided = if verdict == Verdict::Undetermined { undecided(&paths) } else { Vec::new() };
    let hints = if verdict == Verdict::Held { solver.hints(c, solved, form) } else { Vec::new() };
    Judged {
        subject: i,
        verdict,
        depth,
        cuts: solved.cuts.clone(),
        paths,
        lateral,
        weaknesses,
        undecided,
        hints,
    }
}

/// For a weakness a remedy counts when it makes one of its conditions false; nothing deeper hangs on it.
fn weakness_remedies(
    catalogue: &Catalogue,
    c: &Confinement,
    outcome: &Outcome,
    vector: &Vector,
    form: Form,
) -> Vec<Advice> {
    let mut advice: Vec<Advice> = Vec::new();
    for (_, condition, truth) in term_conditions(catalogue, outcome, vector) {
        if !truth.is_true() {
            continue;
        }
        for remedy in candidates(condition, c) {
            let changed = remedy.apply(c);
            if condition.check(&changed, &Filter::of(&changed), &mut ()).is_false() {
                let next = remedy.advice(c, form);
                if !advice.contains(&next) {
                    advice.push(next);
                }
            }
        }
    }
    sort_advice(&mut advice);
    advice
}

/// What takes back a setting comes before what adds a wall; then the cheapest.
fn sort_advice(advice: &mut [Advice]) {
    advice.sort_by(|a, b| {
        let takes_back = |x: &Advice| x.remedy.takes_back() || x.id == "remove-added-capability";
        let key = |x: &Advice| (!takes_back(x), x.cost);
        key(a).cmp(&key(b)).then_with(|| a.summary.cmp(&b.summary))
    });
}

/// The unknown facts of the paths that may be open, each once.
fn undecided(paths: &[Finding]) -> Vec<Evidence> {
    let mut seen = HashSet::new();
    paths
        .iter()
        .filter(|p| p.depth.min == 0)
        .flat_map(|p| &p.evidence)
        .filter(|e| e.value.is_unknown() && seen.insert((e.condition, e.fact.clone())))
        .cloned()
        .collect()
}

/// A path through other subjects, with the evidence of every step.
fn chained(
    solver: &mut Solver,
    world: &World,
    chain: &Chain,
    i: usize,
    all: &[Arc<Solved>],
    options: Options,
    form: Form,
) -> Option<Finding> {
    let catalogue = solver.catalogue;
    let by_volume = catalogue.condition_id(&Condition::WritableSharedMount).unwrap_or_default();
    let mut steps = Vec::new();
    let mut facts = Vec::new();
    let mut barriers = Barriers::NONE;
    let mut remedies = Vec::new();
    for (hop, (subject, technique)) in chain.hops.iter().enumerate() {
        let c = &*world.subjects.get(*subject)?.confinement;
        let solved = all.get(*subject)?;
        let outcome = match technique {
            Some(number) => solved.solution.outcomes.iter().find(|o| o.technique == *number),
            None => nearest(catalogue, &solved.solution),
        }?;
        let technique = catalogue.techniques.get(outcome.technique as usize)?;
        if hop == 0 {
            remedies = solver.remedies(c, outcome, &solved.vector, options.depth, form);
            if technique.relation == Some(Relation::WritesVolumeOf) {
                let shared = chain.volume.as_ref();
                let of =
                    |m: &&confinement::Mount| shared.is_some_and(|v| volume_name(m).as_deref() == Some(&**v));
                for m in c.mounts.iter().filter(of) {
                    let advice = Remedy::ReadOnlyMount(m.target.clone()).advice(c, form);
                    if !remedies.contains(&advice) {
                        remedies.push(advice);
                    }
                    facts.push(Evidence {
                        condition: by_volume,
                        value: Truth::True,
                        fact: format!(
                            "{} is mounted writable at {}, and in the next container too",
                            volume_name(m).unwrap_or_default(),
                            m.target
                        ),
                        origin: m.origin().clone(),
                    });
                }
            }
        }
        steps.push(Step { technique, subject: *subject });
        barriers = Barriers(barriers.0 | outcome.cuts.first().copied().unwrap_or_default().0);
        facts.extend(evidence(catalogue, c, outcome, &solved.vector));
    }
    let gain = steps.last()?.technique.gain;
    let ids: Vec<&str> = steps.iter().map(|s| s.technique.id).collect();
    Some(Finding {
        gain,
        severity: Severity::of(gain, chain.depth.min),
        depth: chain.depth,
        barriers,
        evidence: facts,
        remedies,
        reaches: chain.hops.iter().skip(1).map(|(s, _)| *s).collect(),
        fingerprint: fingerprint(&ids, world.subjects.get(i)?),
        steps,
    })
}

/// FNV-1a over technique identifiers and the subject's identifier, which holds no line.
fn fingerprint(techniques: &[&str], subject: &Subject) -> String {
    let mut hash: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    let parts = techniques.iter().copied().chain([&*subject.id]);
    for byte in parts.flat_map(|p| p.bytes().chain([0])) {
        hash ^= u128::from(byte);
        hash = hash.wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013b);
    }
    format!("{hash:032x}")
}

/// What was taken for granted anywhere in the world, with how many subjects it touches.
pub fn assumptions(world: &World) -> Vec<(String, usize)> {
    let mut counts: HashMap<Arc<str>, usize> = HashMap::new();
    for subject in &world.subjects {
        let c = &*subject.confinement;
        let mut here: HashSet<Arc<str>> = HashSet::new();
        if let Some(engine) = &c.engine {
            here.insert(engine.label.clone());
        }
        for origin in [&c.identity.root.origin, &c.identity.setuid_programs.origin] {
            if let Origin::Assumption { why } = origin {
                here.insert(why.clone());
            }
        }
        if c.host.kernel_release.value.is_none() {
            here.insert("kernel settings are taken at the kernel's defaults".into());
        }
        for text in here {
            *counts.entry(text).or_default() += 1;
        }
    }
    let mut list: Vec<(String, usize)> = counts.into_iter().map(|(k, v)| (k.to_string(), v)).collect();
    list.sort();
    list
}

/// The technique that is nearest to the host, and yields most.
fn nearest<'s>(catalogue: &Catalogue, solution: &'s Solution) -> Option<&'s Outcome> {
    let gain = |o: &Outcome| catalogue.techniques.get(o.technique as usize).map(|t| t.gain);
    solution
        .outcomes
        .iter()
        .filter(|o| is_host(catalogue, o.technique))
        .min_by_key(|o| (o.depth.max, o.depth.min, gain(o)))
}

/// A condition, its truth for one subject, and the facts that say so.
#[derive(Clone, Debug)]
pub struct State {
    pub condition: ConditionId,
    pub truth: Truth,
    pub facts: Vec<(String, Origin)>,
}

/// The state of each condition of one technique for a subject, for `stockade explain`.
pub fn states(technique: &Technique, c: &Confinement) -> Vec<State> {
    let catalogue = Catalogue::get();
    let filter = Filter::of(c);
    let mut ids: Vec<ConditionId> = technique.premise.clone();
    ids.extend(technique.terms.iter().flat_map(|t| t.iter().copied()));
    ids.sort_unstable();
    ids.dedup();
    ids.into_iter()
        .filter_map(|id| {
            let condition: &Condition = catalogue.conditions.get(id as usize)?;
            let mut facts = Vec::new();
            let truth = condition.check(c, &filter, &mut facts);
            Some(State { condition: id, truth, facts })
        })
        .collect()
}
