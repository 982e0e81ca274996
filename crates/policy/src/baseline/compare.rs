//! What is different from what was approved: what became worse, what became better, and the facts behind it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use confinement::{Form, Origin, Place, Subject, World};
use serde::Serialize;
use serde_json::Value;
use techniques::judge::{Judged, Judgement};
use techniques::severity::Severity;

use super::{Approval, Approved, Baseline, Depth, Standing, approved, kept_facts};

/// The whole difference.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Drift {
    /// Subjects that are in both, and differ.
    pub changed: Vec<DriftedSubject>,
    /// Subjects that nobody approved.
    pub new: Vec<NewSubject>,
    /// Approved subjects that are not there.
    pub gone: Vec<String>,
    /// Subjects that are as they were approved.
    pub same: usize,
}

#[derive(Clone, Debug, Serialize)]
pub struct DriftedSubject {
    pub id: String,
    pub name: String,
    #[serde(rename = "location", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    pub worse: Vec<Change>,
    pub better: Vec<Change>,
    pub facts: Vec<FactChange>,
    /// When the engine made it, and what manages it, where the engine says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
pub struct NewSubject {
    pub id: String,
    pub name: String,
    #[serde(rename = "location", skip_serializing_if = "Option::is_none")]
    pub place: Option<Place>,
    pub verdict: Standing,
    /// What is against approving it unseen; empty for one that is held.
    pub worse: Vec<Change>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub made: Option<String>,
}

/// Something that became better or worse.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Change {
    Verdict {
        old: Standing,
        new: Standing,
    },
    /// Walls in every path to the host.
    Depth {
        old: Depth,
        new: Depth,
    },
    /// A path, reach to another container, or weakness that was not there, or is no more.
    Finding {
        techniques: String,
        class: String,
        gain: String,
        depth: Depth,
    },
    /// Walls in the way of one finding.
    FindingDepth {
        techniques: String,
        old: Depth,
        new: Depth,
    },
    /// Something is within reach, with no wall left, that was not before.
    Gain {
        gain: String,
    },
}

/// A fact with another value.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FactChange {
    /// `mounts[/data].readOnly`.
    pub fact: String,
    /// Absent: it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<Value>,
    /// Where the new value was learnt.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Drift {
    pub fn is_worse(&self) -> bool {
        self.changed.iter().any(|s| !s.worse.is_empty()) || self.new.iter().any(|s| !s.worse.is_empty())
    }
}

impl Baseline {
    /// Compares a world that was judged with [`super::OPTIONS`] with what was approved.
    pub fn compare(&self, world: &World, judgement: &Judgement) -> Drift {
        let (pairs, new, gone) = self.pairs(world, judgement);
        let mut drift = Drift { gone: gone.iter().map(|a| a.name.clone()).collect(), ..Drift::default() };
        for (approved, subject, judged) in pairs {
            match difference(approved, subject, judged) {
                Some(changed) => drift.changed.push(changed),
                None => drift.same += 1,
            }
        }
        drift.new = new.into_iter().map(|(subject, judged)| unapproved(subject, judged)).collect();
        drift
            .changed
            .sort_by(|a, b| (a.worse.is_empty(), &a.name, &a.id).cmp(&(b.worse.is_empty(), &b.name, &b.id)));
        drift
    }

    /// The baseline with all that became better, and without what is gone. Nothing that became worse is taken over, and
    /// nothing that nobody approved.
    #[must_use]
    pub fn tightened(&self, world: &World, judgement: &Judgement) -> Baseline {
        let (pairs, _, _) = self.pairs(world, judgement);
        let mut subjects: Vec<Approved> = pairs.into_iter().map(|(a, s, j)| tighten(a, s, j)).collect();
        subjects.sort_by(|a, b| a.id.cmp(&b.id));
        Baseline { subjects, ..self.clone() }
    }

    /// Approved subjects with those of the world: by identifier; then by name, where a file was renamed.
    fn pairs<'a>(
        &'a self,
        world: &'a World,
        judgement: &'a Judgement,
    ) -> (Vec<Pair<'a>>, Vec<Here<'a>>, Vec<&'a Approved>) {
        let mut pairs = Vec::new();
        let mut here: Vec<Here<'_>> =
            judgement.subjects.iter().filter_map(|j| Some((world.subjects.get(j.subject)?, j))).collect();
        let mut there: Vec<&Approved> = self.subjects.iter().collect();
        let by_id = |s: &Subject| Some(s.id.to_string());
        take(&mut pairs, &mut here, &mut there, |a| Some(a.id.clone()), by_id);
        let name = |form: Form, namespace: &str, name: &str| Some(format!("{form:?}/{namespace}/{name}"));
        take(
            &mut pairs,
            &mut here,
            &mut there,
            |a| name(a.form, a.namespace.as_deref().unwrap_or(""), &a.name),
            |s| name(s.form, s.namespace.as_deref().unwrap_or(""), &s.name),
        );
        pairs.sort_by(|a, b| a.0.id.cmp(&b.0.id));
        (pairs, here, there)
    }
}

/// A subject of the world, as it was judged.
type Here<'a> = (&'a Subject, &'a Judged);
/// It, with what was approved of it.
type Pair<'a> = (&'a Approved, &'a Subject, &'a Judged);

/// Pairs off what has the same key, where the key names one on either side.
fn take<'a>(
    pairs: &mut Vec<Pair<'a>>,
    here: &mut Vec<Here<'a>>,
    there: &mut Vec<&'a Approved>,
    old: impl Fn(&Approved) -> Option<String>,
    new: impl Fn(&Subject) -> Option<String>,
) {
    let mut keys: HashMap<String, (Vec<&'a Approved>, Vec<Here<'a>>)> = HashMap::new();
    for a in there.iter() {
        if let Some(key) = old(a) {
            keys.entry(key).or_default().0.push(a);
        }
    }
    for (s, j) in here.iter() {
        if let Some(key) = new(s) {
            keys.entry(key).or_default().1.push((s, j));
        }
    }
    let found: Vec<_> = keys
        .into_values()
        .filter_map(|(old, new)| match (old.as_slice(), new.as_slice()) {
            ([a], [(s, j)]) => Some((*a, *s, *j)),
            _ => None,
        })
        .collect();
    let taken: BTreeSet<&str> = found.iter().map(|(a, _, _)| a.id.as_str()).collect();
    let used: BTreeSet<&str> = found.iter().map(|(_, s, _)| &*s.id).collect();
    there.retain(|a| !taken.contains(a.id.as_str()));
    here.retain(|(s, _)| !used.contains(&*s.id));
    pairs.extend(found);
}

fn difference(old: &Approved, subject: &Subject, judged: &Judged) -> Option<DriftedSubject> {
    let new = approved(subject, judged);
    let (worse, better) = changes(old, &new);
    let facts = fact_changes(&old.facts, subject);
    if worse.is_empty() && better.is_empty() && facts.is_empty() {
        return None;
    }
    Some(DriftedSubject {
        id: new.id,
        name: new.name,
        place: subject.place.clone(),
        worse,
        better,
        facts,
        made: made(subject),
    })
}

/// What became worse, and what became better.
fn changes(old: &Approved, new: &Approved) -> (Vec<Change>, Vec<Change>) {
    let (mut worse, mut better) = (Vec::new(), Vec::new());
    if old.verdict != new.verdict {
        let change = Change::Verdict { old: old.verdict, new: new.verdict };
        if new.verdict > old.verdict { &mut worse } else { &mut better }.push(change);
    } else if old.depth != new.depth {
        let change = Change::Depth { old: old.depth, new: new.depth };
        let less = new.depth.least() < old.depth.least() || new.depth.most() < old.depth.most();
        if less { &mut worse } else { &mut better }.push(change);
    }
    for (techniques, approval) in &new.findings {
        match old.findings.get(techniques) {
            None => worse.push(finding(techniques, approval)),
            Some(before) if before.depth != approval.depth => {
                let change = Change::FindingDepth {
                    techniques: techniques.clone(),
                    old: before.depth,
                    new: approval.depth,
                };
                let less = approval.depth.least() < before.depth.least()
                    || approval.depth.most() < before.depth.most();
                if less { &mut worse } else { &mut better }.push(change);
            }
            Some(_) => {}
        }
    }
    for (techniques, approval) in &old.findings {
        if !new.findings.contains_key(techniques) {
            better.push(finding(techniques, approval));
        }
    }
    let (before, now) = (open_gains(old), open_gains(new));
    worse.extend(now.difference(&before).map(|gain| Change::Gain { gain: (*gain).to_owned() }));
    better.extend(before.difference(&now).map(|gain| Change::Gain { gain: (*gain).to_owned() }));
    // The weightiest first: what is open now, then what is nearer to it.
    let weight = |change: &Change| match change {
        Change::Verdict { .. } => 0,
        Change::Finding { depth, class, .. } if depth.max == Some(0) && class != "weakness" => 1,
        Change::FindingDepth { new, .. } if new.max == Some(0) => 1,
        Change::Gain { .. } => 2,
        Change::Depth { .. } => 3,
        Change::FindingDepth { .. } => 4,
        Change::Finding { .. } => 5,
    };
    worse.sort_by_key(weight);
    (worse, better)
}

fn finding(techniques: &str, approval: &Approval) -> Change {
    Change::Finding {
        techniques: techniques.to_owned(),
        class: approval.class.clone(),
        gain: approval.gain.clone(),
        depth: approval.depth,
    }
}

/// What is within reach with no wall left.
fn open_gains(approved: &Approved) -> BTreeSet<&str> {
    let open = approved.findings.values().filter(|a| a.depth.max == Some(0) && a.class != "weakness");
    open.map(|a| a.gain.as_str()).collect()
}

fn fact_changes(old: &BTreeMap<String, Value>, subject: &Subject) -> Vec<FactChange> {
    let mut changes = Vec::new();
    let mut seen: BTreeSet<String> = BTreeSet::new();
    for (name, fact) in kept_facts(subject) {
        let before = old.get(&name);
        if before != Some(&fact.value) {
            let origin = (*fact.origin != Origin::Nowhere).then(|| fact.origin.clone());
            one_fact(&name, before, Some(fact.value), origin, &mut changes);
        }
        seen.insert(name);
    }
    for (name, value) in old {
        if !seen.contains(name) {
            let change = FactChange { fact: name.clone(), old: Some(value.clone()), new: None, origin: None };
            changes.push(change);
        }
    }
    changes
}

/// Of an object only the members that differ.
fn one_fact(
    name: &str,
    old: Option<&Value>,
    new: Option<Value>,
    origin: Option<Origin>,
    changes: &mut Vec<FactChange>,
) {
    if let (Some(Value::Object(before)), Some(Value::Object(now))) = (old, &new) {
        let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
        for key in keys {
            let (old, new) = (before.get(key), now.get(key));
            if old != new {
                one_fact(&format!("{name}.{key}"), old, new.cloned(), origin.clone(), changes);
            }
        }
        return;
    }
    changes.push(FactChange { fact: name.to_owned(), old: old.cloned(), new, origin });
}

fn unapproved(subject: &Subject, judged: &Judged) -> NewSubject {
    let state = approved(subject, judged);
    let weighty = judged.paths.iter().chain(&judged.lateral);
    let weighty = weighty.filter(|f| f.depth.min == 0 && f.severity >= Severity::Medium);
    let worse = weighty
        .filter_map(|f| {
            let techniques = super::chain(f);
            let approval = state.findings.get(&techniques)?;
            Some(finding(&techniques, approval))
        })
        .collect();
    NewSubject {
        id: state.id,
        name: state.name,
        place: subject.place.clone(),
        verdict: state.verdict,
        worse,
        made: made(subject),
    }
}

fn tighten(old: &Approved, subject: &Subject, judged: &Judged) -> Approved {
    let new = approved(subject, judged);
    let (worse, _) = changes(old, &new);
    if worse.is_empty() {
        return new;
    }
    // Better in one thing and worse in another: what is better is kept, and the rest stays as it was approved.
    let mut kept = old.clone();
    (kept.id, kept.name) = (new.id, new.name);
    kept.verdict = kept.verdict.min(new.verdict);
    if new.depth.least() > kept.depth.least() && new.depth.most() >= kept.depth.most() {
        kept.depth = new.depth;
    }
    kept.findings.retain(|techniques, _| new.findings.contains_key(techniques));
    for (techniques, approval) in &mut kept.findings {
        if let Some(now) = new.findings.get(techniques)
            && now.depth.least() >= approval.depth.least()
            && now.depth.most() >= approval.depth.most()
        {
            *approval = now.clone();
        }
    }
    kept
}

/// When the engine made it, and by what it is managed: labels that those programs put there (Compose, Swarm, the kubelet,
/// Podman's systemd units). No engine says which person asked.
fn made(subject: &Subject) -> Option<String> {
    const MANAGERS: [(&str, &str); 6] = [
        ("com.docker.compose.project.config_files", "Compose file"),
        ("com.docker.compose.project", "Compose project"),
        ("io.podman.compose.project", "Compose project"),
        ("com.docker.swarm.service.name", "Swarm service"),
        ("io.kubernetes.pod.name", "pod"),
        ("PODMAN_SYSTEMD_UNIT", "unit"),
    ];
    let live = matches!(subject.form, Form::DockerLive | Form::PodmanLive);
    let manager = MANAGERS.iter().filter(|_| live).find_map(|(label, word)| {
        let value = subject.labels.get(*label)?;
        Some(format!("by the {word} {value}"))
    });
    let words: Vec<String> = subject.made.iter().map(ToString::to_string).chain(manager).collect();
    (!words.is_empty()).then(|| words.join(", "))
}
