//! Techniques: the documented ways out, read from `techniques/*.yaml`, and their formulas made ready to solve.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use serde::de::{self, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

use crate::barrier::Barrier;
use crate::condition::Condition;
use crate::flaw_technique;

/// What a technique yields, in falling order of weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Gain {
    HostRoot,
    HostWrite,
    HostRead,
    Credentials,
    /// Control or data of another container.
    OtherContainer,
    /// Other containers' traffic.
    OtherTraffic,
    HostInfo,
    KernelSurface,
    DenialOfService,
}

impl Gain {
    /// Whether it reaches the host, so that a complete path makes a subject open.
    pub fn is_host(self) -> bool {
        self <= Gain::Credentials
    }
    /// Whether it reaches other containers, reported apart.
    pub fn is_lateral(self) -> bool {
        self == Gain::OtherContainer
    }
    pub fn name(self) -> &'static str {
        match self {
            Gain::HostRoot => "host-root",
            Gain::HostWrite => "host-write",
            Gain::HostRead => "host-read",
            Gain::Credentials => "credentials",
            Gain::OtherContainer => "other-container",
            Gain::OtherTraffic => "other-traffic",
            Gain::HostInfo => "host-info",
            Gain::KernelSurface => "kernel-surface",
            Gain::DenialOfService => "denial-of-service",
        }
    }
    /// What a subject can do that has it, to follow its name.
    pub fn says(self) -> &'static str {
        match self {
            Gain::HostRoot => "can become root on the host",
            Gain::HostWrite => "can write files of the host",
            Gain::HostRead => "can read files of the host",
            Gain::Credentials => "can take credentials that reach beyond it",
            Gain::OtherContainer => "can reach into another container",
            Gain::OtherTraffic => "can see or change other containers' traffic",
            Gain::HostInfo => "can learn about the host",
            Gain::KernelSurface => "meets more of the kernel than it needs",
            Gain::DenialOfService => "can exhaust or disturb the host",
        }
    }
}

/// How a technique with a gain in another container finds that container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// The other mounts a volume or host folder that this one writes.
    WritesVolumeOf,
    SharesPidNamespaceWith,
    SharesIpcNamespaceWith,
    SharesNetworkWith,
    /// RBAC lets this one run programs in the other.
    MayExecInto,
    /// Every other container of the host or engine.
    AnyOnHost,
}

/// A technique as its file says it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Written {
    id: String,
    title: String,
    gain: Gain,
    #[serde(default)]
    covers: Vec<String>,
    explanation: String,
    /// Shown as a drawing: what is reached, step by step.
    path: Vec<String>,
    #[serde(default)]
    premise: Vec<Formula>,
    needs: Vec<Formula>,
    #[serde(default)]
    relation: Option<Relation>,
    sensor: Vec<String>,
    #[serde(default)]
    mitigations: Vec<String>,
    #[serde(default)]
    references: References,
    #[serde(default)]
    cases: Vec<Case>,
    file: String,
}

/// A formula as written: a condition, or a list under `all`, `any`.
#[derive(Clone, Debug)]
enum Formula {
    Condition(String),
    All { all: Vec<Formula> },
    Any { any: Vec<Formula> },
}

/// Read as it comes: trying one form after the other, as `untagged` does, takes a third of the time that a gate's start
/// may take.
impl<'de> Deserialize<'de> for Formula {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Formula, D::Error> {
        struct Form;
        impl<'de> Visitor<'de> for Form {
            type Value = Formula;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a condition, or a list under `all` or `any`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Formula, E> {
                Ok(Formula::Condition(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Formula, A::Error> {
                let formula = match members.next_key::<String>()?.as_deref() {
                    Some("all") => Formula::All { all: members.next_value()? },
                    Some("any") => Formula::Any { any: members.next_value()? },
                    Some(other) => return Err(de::Error::unknown_field(other, &["all", "any"])),
                    None => return Err(de::Error::custom("`all` or `any` is missing")),
                };
                match members.next_key::<String>()? {
                    None => Ok(formula),
                    Some(more) => Err(de::Error::custom(format!("`{more}` stands beside `all` or `any`"))),
                }
            }
        }
        deserializer.deserialize_any(Form)
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct References {
    /// MITRE ATT&CK for Containers.
    pub attack: Vec<String>,
    /// CIS Docker Benchmark 1.6 numbers.
    pub cis_docker: Vec<String>,
    /// NIST SP 800-190 sections.
    pub nist_800_190: Vec<String>,
    /// Manual pages, kernel functions, advisories.
    pub see: Vec<String>,
}

/// A subject and what must be said of the technique for it; run by the tests, read by people.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Case {
    /// A `docker run` or `podman run` line, or a document in YAML.
    pub given: String,
    /// An engine other than the default of the kind of input.
    #[serde(default)]
    pub assume: Option<String>,
    /// What is known of the host: `apparmor: true`, `cgroup: 1`, `kernel: 5.10.1`, `sysctl: {…}`.
    #[serde(default)]
    pub host: HashMap<String, serde_json::Value>,
    pub is: Expected,
    /// Depth that must result for this technique, where the case is about it.
    #[serde(default)]
    pub depth: Option<u8>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Expected {
    Open,
    Held,
    Undetermined,
    /// The premise does not hold or is not known: the technique is not judged.
    Absent,
}

/// Index of a condition in [`Catalogue::conditions`].
pub type ConditionId = u16;

/// A conjunction of conditions.
pub type Term = Box<[ConditionId]>;

#[derive(Debug)]
pub struct Technique {
    pub id: &'static str,
    pub title: String,
    pub gain: Gain,
    /// Rows of the catalogue of techniques that it stands for.
    pub covers: Vec<String>,
    pub explanation: String,
    pub path: Vec<String>,
    /// Must be known to be true for the technique to exist here: a flaw that is present, a cloud.
    pub premise: Vec<ConditionId>,
    /// The formula as a disjunction of conjunctions, none of which holds another.
    pub terms: Vec<Term>,
    pub relation: Option<Relation>,
    pub sensor: Vec<String>,
    pub mitigations: Vec<String>,
    pub references: References,
    pub cases: Vec<Case>,
    /// Where it is written, from the top of the project.
    pub file: String,
    /// The formula as indented text, one condition a line.
    pub formula: Vec<FormulaLine>,
}

/// A line of a formula for printing: `all of`, `any of`, or a condition.
#[derive(Clone, Debug)]
pub struct FormulaLine {
    pub indent: u8,
    pub what: FormulaItem,
}

#[derive(Clone, Debug)]
pub enum FormulaItem {
    All,
    Any,
    Condition(ConditionId),
}

/// All techniques with the conditions they use, each condition once.
#[derive(Debug)]
pub struct Catalogue {
    pub techniques: Vec<Technique>,
    pub conditions: Vec<Condition>,
    pub barriers: Vec<Barrier>,
    by_id: HashMap<&'static str, usize>,
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("{file}: technique `{technique}`: {message}")]
pub struct CatalogueError {
    pub file: String,
    pub technique: String,
    pub message: String,
}

/// A formula may not grow beyond this many conjunctions; one that does wants to be two techniques.
const MAX_TERMS: usize = 1024;

static CATALOGUE: LazyLock<Catalogue> = LazyLock::new(|| {
    let json = include_str!(concat!(env!("OUT_DIR"), "/catalogue.json"));
    Catalogue::build(json).unwrap_or_else(|e| panic!("{e}"))
});

/// One technique.
fn read(value: serde_json::Value) -> Result<Written, CatalogueError> {
    let member = |key: &str| value[key].as_str().unwrap_or("?").to_owned();
    let (file, technique) = (member("file"), member("id"));
    serde_json::from_value(value).map_err(|e| CatalogueError { file, technique, message: e.to_string() })
}

/// The technique that cannot be read, of a catalogue that cannot.
fn which(json: &str, error: &serde_json::Error) -> CatalogueError {
    let values: Vec<serde_json::Value> = serde_json::from_str(json).unwrap_or_default();
    let found = values.into_iter().find_map(|value| read(value).err());
    found.unwrap_or_else(|| CatalogueError {
        file: "techniques".into(),
        technique: String::new(),
        message: error.to_string(),
    })
}

impl Catalogue {
    /// The catalogue that is built in.
    pub fn get() -> &'static Catalogue {
        &CATALOGUE
    }

    /// Builds a catalogue from the JSON that the build makes of `techniques/*.yaml`, and adds the known flaws.
    pub fn build(json: &str) -> Result<Catalogue, CatalogueError> {
        let written: Vec<Written> = serde_json::from_str(json).map_err(|e| which(json, &e))?;
        let mut catalogue = Catalogue {
            techniques: Vec::with_capacity(written.len()),
            conditions: Vec::new(),
            barriers: Vec::new(),
            by_id: HashMap::new(),
        };
        let mut index = HashMap::new();
        let flaws = flaw_technique::as_techniques().into_iter().map(read);
        for written in written.into_iter().map(Ok).chain(flaws) {
            let written = written?;
            let (file, id) = (written.file.clone(), written.id.clone());
            let fail = |message: String| CatalogueError { file, technique: id, message };
            let technique = match catalogue.add(written, &mut index) {
                Ok(technique) => technique,
                Err(message) => return Err(fail(message)),
            };
            if catalogue.by_id.insert(technique.id, catalogue.techniques.len()).is_some() {
                return Err(fail("the identifier is used twice".into()));
            }
            catalogue.techniques.push(technique);
        }
        catalogue.barriers = catalogue.conditions.iter().map(Condition::barrier).collect();
        Ok(catalogue)
    }

    fn add(
        &mut self,
        written: Written,
        index: &mut HashMap<Condition, ConditionId>,
    ) -> Result<Technique, String> {
        if written.gain == Gain::OtherContainer && written.relation.is_none() {
            return Err("a gain in another container wants a `relation`".into());
        }
        let mut formula = Vec::new();
        let needs = Formula::All { all: written.needs };
        self.print(&needs, 0, index, &mut formula)?;
        let terms = absorb(self.terms(&needs, index)?);
        let mut premise = Vec::new();
        for item in &written.premise {
            match self.terms(item, index)?.as_slice() {
                [term] => premise.extend(term.iter().copied()),
                _ => return Err("a premise is a list of conditions, without `any`".into()),
            }
        }
        Ok(Technique {
            id: written.id.leak(),
            title: written.title,
            gain: written.gain,
            covers: written.covers,
            explanation: written.explanation,
            path: written.path,
            premise,
            terms,
            relation: written.relation,
            sensor: written.sensor,
            mitigations: written.mitigations,
            references: written.references,
            cases: written.cases,
            file: written.file,
            formula,
        })
    }

    fn intern(
        &mut self,
        condition: Condition,
        index: &mut HashMap<Condition, ConditionId>,
    ) -> Result<ConditionId, String> {
        if let Some(id) = index.get(&condition) {
            return Ok(*id);
        }
        let id =
            ConditionId::try_from(self.conditions.len()).map_err(|_| "too many conditions".to_owned())?;
        if self.conditions.len() >= crate::solver::MAX_CONDITIONS {
            return Err(format!("more than {} conditions", crate::solver::MAX_CONDITIONS));
        }
        self.conditions.push(condition.clone());
        index.insert(condition, id);
        Ok(id)
    }

    /// A condition as written; `cap(X)` is short for `bounding(X)` and `usable(X)`, which are two walls.
    fn condition(
        &mut self,
        text: &str,
        index: &mut HashMap<Condition, ConditionId>,
    ) -> Result<Vec<ConditionId>, String> {
        match text.trim().strip_prefix("cap(").and_then(|rest| rest.strip_suffix(')')) {
            Some(name) => {
                let bounding = self.intern(Condition::parse(&format!("bounding({name})"))?, index)?;
                let usable = self.intern(Condition::parse(&format!("usable({name})"))?, index)?;
                Ok(vec![bounding, usable])
            }
            None => Ok(vec![self.intern(Condition::parse(text)?, index)?]),
        }
    }

    fn terms(
        &mut self,
        formula: &Formula,
        index: &mut HashMap<Condition, ConditionId>,
    ) -> Result<Vec<Term>, String> {
        Ok(match formula {
            Formula::Condition(text) => {
                let mut ids = self.condition(text, index)?;
                ids.sort_unstable();
                vec![ids.into()]
            }
            Formula::Any { any } => {
                let mut all = Vec::new();
                for part in any {
                    all.extend(self.terms(part, index)?);
                }
                all
            }
            Formula::All { all } => {
                let mut product: Vec<Term> = vec![Box::default()];
                for part in all {
                    let terms = self.terms(part, index)?;
                    let mut next = Vec::with_capacity(product.len() * terms.len());
                    for a in &product {
                        for b in &terms {
                            let mut joined: Vec<ConditionId> = a.iter().chain(b.iter()).copied().collect();
                            joined.sort_unstable();
                            joined.dedup();
                            next.push(joined.into());
                        }
                    }
                    if next.len() > MAX_TERMS {
                        return Err(format!(
                            "the formula has more than {MAX_TERMS} alternatives; make it two techniques"
                        ));
                    }
                    product = next;
                }
                product
            }
        })
    }

    fn print(
        &mut self,
        formula: &Formula,
        indent: u8,
        index: &mut HashMap<Condition, ConditionId>,
        lines: &mut Vec<FormulaLine>,
    ) -> Result<(), String> {
        match formula {
            Formula::Condition(text) => {
                for id in self.condition(text, index)? {
                    lines.push(FormulaLine { indent, what: FormulaItem::Condition(id) });
                }
            }
            Formula::All { all } => {
                lines.push(FormulaLine { indent, what: FormulaItem::All });
                for part in all {
                    self.print(part, indent + 1, index, lines)?;
                }
            }
            Formula::Any { any } => {
                lines.push(FormulaLine { indent, what: FormulaItem::Any });
                for part in any {
                    self.print(part, indent + 1, index, lines)?;
                }
            }
        }
        Ok(())
    }

    pub fn technique(&self, id: &str) -> Option<&Technique> {
        self.by_id.get(id).and_then(|i| self.techniques.get(*i))
    }
    pub fn condition_id(&self, condition: &Condition) -> Option<ConditionId> {
        self.conditions.iter().position(|c| c == condition).and_then(|i| ConditionId::try_from(i).ok())
    }
}

/// Leaves out every conjunction that another one is part of.
fn absorb(mut terms: Vec<Term>) -> Vec<Term> {
    terms.sort_by_key(|t| t.len());
    let mut kept: Vec<Term> = Vec::new();
    for term in terms {
        if !kept.iter().any(|k| k.iter().all(|c| term.contains(c))) {
            kept.push(term);
        }
    }
    kept
}
