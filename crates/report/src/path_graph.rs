//! The paths of a report as a graph: subjects, the techniques they can use, and what those yield. Graphviz, Mermaid and
//! the picture in the HTML page are drawn from it. Only what was judged is in it; subjects that are alike share a node where there
//! are many, and what is left out is named.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use techniques::judge::{Finding, Judged, Verdict};
use techniques::severity::Severity;
use techniques::technique::{Gain, Technique};

use crate::words::{is_certain, place, standing};
use crate::{Class, Report};

/// Up to so many subjects each have a node of their own.
const SINGLE: usize = 24;
/// So many nodes of subjects are drawn; the rest share one.
const GROUPS: usize = 40;
/// A finding that reaches more than so many others is drawn to the gain alone.
const REACHES: usize = 4;
/// Techniques between the same subjects and the same gain that are drawn apart.
const TECHNIQUES: usize = 2;
/// With more edges than this only what no wall holds is drawn, where there is any.
const EDGES: usize = 64;
/// Names in the label of a group.
const NAMES: usize = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Subjects { first: usize, verdict: Verdict },
    Technique,
    Gain,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) label: String,
    /// A second line.
    pub(crate) detail: String,
    /// The worst of what runs through it.
    pub(crate) severity: Severity,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) severity: Severity,
    /// False where an unknown fact decides whether the path is there.
    pub(crate) certain: bool,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PathGraph {
    pub(crate) nodes: Vec<Node>,
    pub(crate) edges: Vec<Edge>,
    /// What is not drawn, in words.
    pub(crate) left_out: Vec<String>,
}

/// What makes subjects alike in the picture: verdict, and for each path its techniques, the subjects on the way, its
/// severity and whether it is certain.
type Likeness = (Verdict, Vec<(Vec<&'static str>, Vec<usize>, Severity, bool)>);

pub(crate) fn path_graph(report: &Report<'_>) -> PathGraph {
    let graph = drawn(report, u8::MAX);
    if graph.edges.len() <= EDGES {
        return graph;
    }
    let mut open = drawn(report, 0);
    if open.edges.is_empty() {
        return graph;
    }
    let behind = report.judgement.subjects.iter().flat_map(|j| drawn_findings(report, j, u8::MAX));
    let behind = behind.filter(|(_, f)| f.depth.min > 0).count();
    if behind > 0 {
        open.left_out.push(format!("{behind} paths in whose way a wall stands"));
    }
    open
}

/// The graph of the findings of at most that depth.
fn drawn(report: &Report<'_>, depth: u8) -> PathGraph {
    let mut builder = Builder::new(report, depth);
    builder.add_subjects();
    for (i, judged) in report.judgement.subjects.iter().enumerate() {
        if builder.drawn.contains(&i) {
            for (class, finding) in drawn_findings(report, judged, depth) {
                builder.add(judged.subject, class, finding);
            }
        }
    }
    builder.finish()
}

/// Paths and reach to others; a weakness leads nowhere.
fn drawn_findings<'a>(
    report: &Report<'a>,
    judged: &'a Judged,
    depth: u8,
) -> impl Iterator<Item = (Class, &'a Finding)> + use<'a> {
    report.findings(judged).filter(move |(class, f)| *class != Class::Weakness && f.depth.min <= depth)
}

struct Builder<'a> {
    report: &'a Report<'a>,
    depth: u8,
    graph: PathGraph,
    /// Indices in the judgement's list of those that have a finding.
    drawn: BTreeSet<usize>,
    /// Subject → its node.
    node_of: HashMap<usize, usize>,
    techniques: HashMap<(&'static str, Option<usize>), usize>,
    gains: BTreeMap<Gain, usize>,
    edges: BTreeMap<(usize, usize), (Severity, bool)>,
}

impl PathGraph {
    /// Techniques that lead from the same nodes to the same nodes share one, but for the first few.
    fn gather_techniques(&mut self) {
        type Ends = BTreeSet<(bool, usize, bool)>;
        let mut ends: Vec<Ends> = vec![Ends::new(); self.nodes.len()];
        for edge in &self.edges {
            for (at, end) in [(edge.from, (true, edge.to)), (edge.to, (false, edge.from))] {
                if let Some(ends) = ends.get_mut(at) {
                    ends.insert((end.0, end.1, edge.certain));
                }
            }
        }
        let mut alike: BTreeMap<(Severity, &Ends), Vec<usize>> = BTreeMap::new();
        for (i, (node, ends)) in self.nodes.iter().zip(&ends).enumerate() {
            if node.kind == Kind::Technique {
                alike.entry((node.severity, ends)).or_default().push(i);
            }
        }
        let mut gone: BTreeSet<usize> = BTreeSet::new();
        let groups: Vec<Vec<usize>> = alike.into_values().filter(|g| g.len() > TECHNIQUES + 1).collect();
        for group in groups {
            let rest = group.get(TECHNIQUES..).unwrap_or_default();
            let names: Vec<String> =
                rest.iter().filter_map(|i| self.nodes.get(*i)).map(|n| n.detail.clone()).collect();
            gone.extend(rest.iter().skip(1));
            if let Some(node) = rest.first().and_then(|i| self.nodes.get_mut(*i)) {
                node.label = format!("{} more techniques", names.len());
                node.detail = names.join(", ");
            }
        }
        self.remove(&gone);
    }

    fn remove(&mut self, gone: &BTreeSet<usize>) {
        let mut number = HashMap::new();
        let mut kept = Vec::with_capacity(self.nodes.len() - gone.len());
        for (i, node) in std::mem::take(&mut self.nodes).into_iter().enumerate() {
            if !gone.contains(&i) {
                number.insert(i, kept.len());
                kept.push(node);
            }
        }
        self.nodes = kept;
        self.edges = std::mem::take(&mut self.edges)
            .into_iter()
            .filter_map(|e| Some(Edge { from: *number.get(&e.from)?, to: *number.get(&e.to)?, ..e }))
            .collect();
    }
}

impl<'a> Builder<'a> {
    fn new(report: &'a Report<'a>, depth: u8) -> Builder<'a> {
        Builder {
            report,
            depth,
            graph: PathGraph::default(),
            drawn: BTreeSet::new(),
            node_of: HashMap::new(),
            techniques: HashMap::new(),
            gains: BTreeMap::new(),
            edges: BTreeMap::new(),
        }
    }

    fn add_subjects(&mut self) {
        let (report, depth) = (self.report, self.depth);
        let mut position: HashMap<usize, usize> = HashMap::new();
        let mut members: BTreeSet<usize> = BTreeSet::new();
        for (i, judged) in report.judgement.subjects.iter().enumerate() {
            position.insert(judged.subject, i);
            for (_, finding) in drawn_findings(report, judged, depth) {
                self.drawn.insert(i);
                members.extend(finding.steps.iter().map(|s| s.subject));
                members.insert(judged.subject);
                if finding.reaches.len() <= REACHES {
                    members.extend(&finding.reaches);
                }
            }
        }
        let judged_of =
            |subject: &usize| position.get(subject).and_then(|i| report.judgement.subjects.get(*i));
        let mut groups: Vec<Vec<usize>> = if members.len() <= SINGLE {
            members.iter().map(|s| vec![*s]).collect()
        } else {
            let mut alike: BTreeMap<Likeness, Vec<usize>> = BTreeMap::new();
            for subject in &members {
                let likeness = judged_of(subject).map(|j| likeness(report, j, depth));
                alike.entry(likeness.unwrap_or((Verdict::Held, Vec::new()))).or_default().push(*subject);
            }
            alike.into_values().collect()
        };
        let worst = |subject: &usize| {
            let findings = judged_of(subject).into_iter().flat_map(|j| drawn_findings(report, j, depth));
            findings.map(|(_, f)| f.severity).max()
        };
        groups.sort_by_key(|group| (Reverse(group.first().and_then(worst)), group.first().copied()));
        if groups.len() > GROUPS {
            let rest: Vec<usize> = groups.split_off(GROUPS - 1).into_iter().flatten().collect();
            self.graph.left_out.push(format!("{} subjects with different paths share one node", rest.len()));
            groups.push(rest);
        }
        for group in groups {
            let Some(first) = group.first().copied() else { continue };
            let judged = judged_of(&first);
            for subject in &group {
                self.node_of.insert(*subject, self.graph.nodes.len());
            }
            self.graph.nodes.push(Node {
                kind: Kind::Subjects { first, verdict: judged.map_or(Verdict::Held, |j| j.verdict) },
                label: label(report, &group),
                detail: detail(report, &group, judged),
                severity: Severity::Info,
            });
        }
        let held = report.judgement.subjects.iter().filter(|j| !members.contains(&j.subject)).count();
        if held > 0 {
            let plural = if held == 1 { "subject has" } else { "subjects have" };
            self.graph.left_out.push(format!("{held} {plural} none of these paths"));
        }
    }

    fn add(&mut self, subject: usize, class: Class, finding: &Finding) {
        let weight = (finding.severity, is_certain(self.report, class, finding));
        for (step, next) in finding.steps.iter().zip(finding.steps.iter().skip(1)) {
            self.reach(step.subject, step.technique, next.subject, weight);
        }
        let Some(last) = finding.steps.last() else { return };
        let targets: BTreeSet<usize> = match class {
            Class::Lateral if finding.reaches.len() <= REACHES => finding.reaches.iter().copied().collect(),
            _ => BTreeSet::new(),
        };
        if !targets.is_empty() {
            for target in targets {
                self.reach(last.subject, last.technique, target, weight);
            }
            return;
        }
        let Some(from) = self.node_of.get(&last.subject).or(self.node_of.get(&subject)).copied() else {
            return;
        };
        let technique = self.technique(last.technique, None);
        let gain = self.gain(finding.gain);
        self.edge(from, technique, weight);
        self.edge(technique, gain, weight);
    }

    /// A step from one subject into another.
    fn reach(&mut self, from: usize, technique: &'static Technique, to: usize, weight: (Severity, bool)) {
        let (Some(from), Some(to)) = (self.node_of.get(&from).copied(), self.node_of.get(&to).copied())
        else {
            return;
        };
        let technique = self.technique(technique, Some(to));
        self.edge(from, technique, weight);
        if from == to {
            if let Some(node) = self.graph.nodes.get_mut(technique) {
                node.detail = "into each other".into();
            }
        } else {
            self.edge(technique, to, weight);
        }
    }

    fn technique(&mut self, technique: &'static Technique, into: Option<usize>) -> usize {
        let nodes = &mut self.graph.nodes;
        *self.techniques.entry((technique.id, into)).or_insert_with(|| {
            nodes.push(Node {
                kind: Kind::Technique,
                label: technique.title.clone(),
                detail: technique.id.to_owned(),
                severity: Severity::Info,
            });
            nodes.len() - 1
        })
    }

    fn gain(&mut self, gain: Gain) -> usize {
        let nodes = &mut self.graph.nodes;
        *self.gains.entry(gain).or_insert_with(|| {
            nodes.push(Node {
                kind: Kind::Gain,
                label: gain.name().to_owned(),
                detail: gain.says().to_owned(),
                severity: Severity::Info,
            });
            nodes.len() - 1
        })
    }

    fn edge(&mut self, from: usize, to: usize, (severity, certain): (Severity, bool)) {
        let edge = self.edges.entry((from, to)).or_insert((severity, certain));
        // What is certain weighs more than what may be, whatever it yields.
        *edge = (*edge).max_by_certainty((severity, certain));
        for end in [from, to] {
            if let Some(node) = self.graph.nodes.get_mut(end) {
                node.severity = node.severity.max(severity);
            }
        }
    }

    fn finish(mut self) -> PathGraph {
        let edges = self.edges.into_iter();
        self.graph.edges =
            edges.map(|((from, to), (severity, certain))| Edge { from, to, severity, certain }).collect();
        self.graph.gather_techniques();
        self.graph
    }
}

trait MaxByCertainty {
    fn max_by_certainty(self, other: Self) -> Self;
}

impl MaxByCertainty for (Severity, bool) {
    fn max_by_certainty(self, other: Self) -> Self {
        std::cmp::max_by_key(self, other, |(severity, certain)| (*certain, *severity))
    }
}

fn likeness(report: &Report<'_>, judged: &Judged, depth: u8) -> Likeness {
    let mut list: Vec<_> = drawn_findings(report, judged, depth)
        .map(|(class, f)| {
            let ids = f.steps.iter().map(|s| s.technique.id).collect();
            let on_the_way = f.steps.iter().skip(1).map(|s| s.subject);
            let reached = f.reaches.iter().copied().filter(|_| f.reaches.len() <= REACHES);
            let mut others: Vec<usize> = on_the_way.chain(reached).collect();
            others.sort_unstable();
            others.dedup();
            (ids, others, f.severity, is_certain(report, class, f))
        })
        .collect();
    list.sort();
    list.dedup();
    (judged.verdict, list)
}

fn label(report: &Report<'_>, group: &[usize]) -> String {
    let names: Vec<&str> = group.iter().take(NAMES).map(|s| report.subject_name(*s)).collect();
    let rest = group.len().saturating_sub(NAMES);
    let tail = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    names.join(", ") + &tail
}

fn detail(report: &Report<'_>, group: &[usize], judged: Option<&Judged>) -> String {
    match (group, judged) {
        ([one], Some(judged)) => {
            let at = report.world.subjects.get(*one).and_then(|s| s.place.as_ref()).map(place);
            at.unwrap_or_else(|| standing(judged))
        }
        (many, _) => format!("{} subjects", many.len()),
    }
}
