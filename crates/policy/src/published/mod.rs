//! What Stockade publishes of a subject as JSON, in one way for all who read it: `stockade.confinement/1`
//! (`schemas/stockade.confinement-1.schema.json`) is the input of CEL conditions and of Rego policies, baselines keep its
//! facts, and `report` writes findings as they are written here.
//!
//! Facts are plain values: `null` is "not known". Members are only added within a version.

mod facts;
mod image;

use std::sync::Arc;

use confinement::{Place, Subject, SubjectKind, Truth, World};
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use techniques::barrier::Barriers;
use techniques::judge::{Evidence, Finding, Judged};
use techniques::remedy::Advice;
use techniques::severity::Severity;
use techniques::solver::Depth;
use techniques::technique::{Catalogue, Gain, References};

use crate::waiver::{Waiver, WaiverEntry};

pub use facts::{Fact, Key, confinement, facts};
pub use image::Reference;

/// The value of `schema`.
pub const SCHEMA: &str = "stockade.confinement/1";

/// Members of the document; CEL conditions see each as a variable.
pub const MEMBERS: [&str; 6] = ["schema", "subject", "verdict", "depth", "findings", "confinement"];

/// What a finding is, beside its gain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Class {
    /// A path to the host.
    Path,
    /// A path to other containers.
    Lateral,
    Weakness,
}

impl Class {
    pub fn name(self) -> &'static str {
        match self {
            Class::Path => "path",
            Class::Lateral => "lateral",
            Class::Weakness => "weakness",
        }
    }
}

/// Every finding of a subject: paths, reach to others, weaknesses.
pub fn every_finding(judged: &Judged) -> impl Iterator<Item = (Class, &Finding)> {
    let paths = judged.paths.iter().map(|f| (Class::Path, f));
    let lateral = judged.lateral.iter().map(|f| (Class::Lateral, f));
    paths.chain(lateral).chain(judged.weaknesses.iter().map(|f| (Class::Weakness, f)))
}

/// One subject as it was judged, by `stockade.confinement/1`.
pub fn document(world: &World, subject: &Subject, judged: &Judged) -> Value {
    let catalogue = Catalogue::get();
    let findings: Vec<Value> = every_finding(judged)
        .map(|(class, f)| {
            let mut value = serde_json::to_value(finding(world, catalogue, f, None)).unwrap_or_default();
            value["class"] = class.name().into();
            value
        })
        .collect();
    let mut document = Map::new();
    document.insert("schema".into(), SCHEMA.into());
    document.insert("subject".into(), about(subject));
    document.insert("verdict".into(), judged.verdict.name().into());
    document.insert("depth".into(), serde_json::to_value(Walls::from(judged.depth)).unwrap_or_default());
    document.insert("findings".into(), findings.into());
    document.insert("confinement".into(), confinement(&subject.confinement));
    Value::Object(document)
}

fn about(subject: &Subject) -> Value {
    let labels: Map<String, Value> =
        subject.labels.iter().map(|(k, v)| (k.to_string(), (&**v).into())).collect();
    json!({
        "id": subject.id,
        "name": subject.name,
        "kind": subject.kind,
        "form": subject.form,
        "namespace": subject.namespace,
        "realm": subject.realm,
        "labels": labels,
        "location": subject.place,
        "workload": subject.pod.as_ref().map(|pod| json!({ "kind": pod.kind, "name": pod.name })),
    })
}

/// A depth; null where there is no path at all.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Walls {
    pub min: Option<u8>,
    pub max: Option<u8>,
}

impl From<Depth> for Walls {
    fn from(depth: Depth) -> Walls {
        let walls = |n: u8| (n != u8::MAX).then_some(n);
        Walls { min: walls(depth.min), max: walls(depth.max) }
    }
}

#[derive(Serialize)]
struct FindingEntry<'a, T: Serialize, E: Serialize, R: Serialize> {
    techniques: T,
    gain: Gain,
    severity: Severity,
    depth: Walls,
    barriers: Barriers,
    evidence: E,
    remedies: &'a [Advice],
    reaches: R,
    fingerprint: &'a str,
    references: ReferencesEntry<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    waiver: Option<WaiverEntry<'a>>,
}

/// What other catalogues call the techniques of a path, each once.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReferencesEntry<'a> {
    attack: Vec<&'a str>,
    cis_docker: Vec<&'a str>,
    #[serde(rename = "nist800190")]
    nist: Vec<&'a str>,
}

impl<'a> ReferencesEntry<'a> {
    fn of(finding: &'a Finding) -> ReferencesEntry<'a> {
        let all = |of: fn(&References) -> &Vec<String>| {
            let mut found: Vec<&str> = Vec::new();
            for name in finding.steps.iter().flat_map(|step| of(&step.technique.references)) {
                if !found.contains(&name.as_str()) {
                    found.push(name);
                }
            }
            found
        };
        ReferencesEntry {
            attack: all(|r| &r.attack),
            cis_docker: all(|r| &r.cis_docker),
            nist: all(|r| &r.nist_800_190),
        }
    }
}

#[derive(Serialize)]
struct EvidenceEntry<'a> {
    condition: String,
    value: Truth,
    fact: &'a str,
    origin: &'a confinement::Origin,
}

/// A finding, as `stockade.audit/1` has it too, with the waiver that holds for it.
pub fn finding<'a>(
    world: &'a World,
    catalogue: &'a Catalogue,
    finding: &'a Finding,
    waiver: Option<&'a Waiver>,
) -> impl Serialize + use<'a> {
    let id = |index: usize| world.subjects.get(index).map_or("", |s| &*s.id);
    FindingEntry {
        techniques: Each(|| finding.steps.iter().map(|s| s.technique.id)),
        gain: finding.gain,
        severity: finding.severity,
        depth: finding.depth.into(),
        barriers: finding.barriers,
        evidence: evidence(catalogue, &finding.evidence),
        remedies: &finding.remedies,
        reaches: Each(move || finding.reaches.iter().map(move |i| id(*i))),
        fingerprint: &finding.fingerprint,
        references: ReferencesEntry::of(finding),
        waiver: waiver.map(WaiverEntry::from),
    }
}

/// Facts that bear on conditions, as `stockade.audit/1` has them too.
pub fn evidence<'a>(catalogue: &'a Catalogue, list: &'a [Evidence]) -> impl Serialize + use<'a> {
    Each(move || {
        list.iter().map(move |e| EvidenceEntry {
            condition: catalogue
                .conditions
                .get(usize::from(e.condition))
                .map(ToString::to_string)
                .unwrap_or_default(),
            value: e.value,
            fact: &e.fact,
            origin: &e.origin,
        })
    })
}

/// A list that is made while it is written.
struct Each<F>(F);

impl<F, I> Serialize for Each<F>
where
    F: Fn() -> I,
    I: Iterator<Item: Serialize>,
{
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq((self.0)())
    }
}

/// Where somebody would mend a finding: the first place its evidence names, else the subject's own.
pub fn place_of<'a>(subject: &'a Subject, finding: &'a Finding) -> Option<&'a Place> {
    finding.evidence.iter().find_map(|e| e.origin.place()).or(subject.place.as_ref())
}

/// The name of a kind of subject, as JSON has it.
pub fn kind_name(kind: SubjectKind) -> &'static str {
    match kind {
        SubjectKind::Container => "container",
        SubjectKind::Workload => "workload",
        SubjectKind::Engine => "engine",
        SubjectKind::Image => "image",
        SubjectKind::Host => "host",
    }
}

pub(crate) fn text(text: &Arc<str>) -> Value {
    Value::String(text.to_string())
}
