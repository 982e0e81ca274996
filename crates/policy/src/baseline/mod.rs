//! The baseline: the approved state of a tree or a host, as `stockade.baseline/1`. It keeps what confines each subject and
//! what that comes to, and nothing of where or in which order it is written, so that only a change of meaning is a change.

mod compare;

use std::collections::{BTreeMap, BTreeSet};

use confinement::{Form, Subject, SubjectKind, World};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use techniques::judge::{Finding, Judged, Judgement, Options, Verdict};

use crate::published::{self, Class, Key, every_finding};

pub use compare::{Change, Drift, DriftedSubject, FactChange, NewSubject};

/// The value of `schema`.
pub const SCHEMA: &str = "stockade.baseline/1";
/// A baseline larger than this is not read.
pub const MAX_BYTES: usize = 256 << 20;

/// What baselines are made and compared with: every path, however deep.
pub const OPTIONS: Options = Options { depth: 9 };

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Baseline {
    schema: String,
    tool: Tool,
    pub subjects: Vec<Approved>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Tool {
    name: String,
    version: String,
}

/// One approved subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Approved {
    pub id: String,
    pub name: String,
    pub kind: SubjectKind,
    pub form: Form,
    pub namespace: Option<String>,
    pub verdict: Standing,
    pub depth: Depth,
    /// What there is against it, by the techniques of the path in order (`shared-volume > engine-api`).
    pub findings: BTreeMap<String, Approval>,
    /// Facts of its confinement by their names; null is "not known".
    pub facts: BTreeMap<String, Value>,
}

/// One approved finding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// `path`, `lateral` or `weakness`.
    pub class: String,
    pub gain: String,
    pub depth: Depth,
    pub fingerprint: String,
}

/// A number of walls; null where there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Depth {
    pub min: Option<u8>,
    pub max: Option<u8>,
}

impl From<techniques::solver::Depth> for Depth {
    fn from(depth: techniques::solver::Depth) -> Depth {
        let walls = published::Walls::from(depth);
        Depth { min: walls.min, max: walls.max }
    }
}

impl Depth {
    fn least(self) -> u8 {
        self.min.unwrap_or(u8::MAX)
    }
    fn most(self) -> u8 {
        self.max.unwrap_or(u8::MAX)
    }
}

/// A verdict, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Held,
    Undetermined,
    Open,
}

impl From<Verdict> for Standing {
    fn from(verdict: Verdict) -> Standing {
        match verdict {
            Verdict::Held => Standing::Held,
            Verdict::Undetermined => Standing::Undetermined,
            Verdict::Open => Standing::Open,
        }
    }
}

impl Standing {
    pub fn name(self) -> &'static str {
        match self {
            Standing::Held => "held",
            Standing::Undetermined => "undetermined",
            Standing::Open => "open",
        }
    }
}

/// Why a baseline could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    #[error(
        "{path}:{line}:{column}: this is no baseline: {message}; write one with `stockade baseline write`"
    )]
    Syntax { path: String, line: usize, column: usize, message: String },
    #[error("{path}: the schema is `{found}`, and only `{SCHEMA}` is known here; write the baseline anew")]
    Schema { path: String, found: String },
}

impl Baseline {
    /// The state of a world that was judged with [`OPTIONS`].
    pub fn of(world: &World, judgement: &Judgement, version: &str) -> Baseline {
        let mut subjects: Vec<Approved> = judgement
            .subjects
            .iter()
            .filter_map(|judged| Some(approved(world.subjects.get(judged.subject)?, judged)))
            .collect();
        subjects.sort_by(|a, b| a.id.cmp(&b.id));
        Baseline {
            schema: SCHEMA.into(),
            tool: Tool { name: "stockade".into(), version: version.into() },
            subjects,
        }
    }

    pub fn parse(text: &str, path: &str) -> Result<Baseline, BaselineError> {
        let baseline: Baseline = serde_json::from_str(text).map_err(|error| BaselineError::Syntax {
            path: path.into(),
            line: error.line(),
            column: error.column(),
            message: error.to_string(),
        })?;
        if baseline.schema != SCHEMA {
            return Err(BaselineError::Schema { path: path.into(), found: baseline.schema });
        }
        Ok(baseline)
    }

    /// As it is kept: one fact a line, so that a review shows what is approved.
    pub fn to_json(&self) -> String {
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        text
    }
}

/// One subject as a baseline keeps it.
fn approved(subject: &Subject, judged: &Judged) -> Approved {
    Approved {
        id: subject.id.to_string(),
        name: subject.name.to_string(),
        kind: subject.kind,
        form: subject.form,
        namespace: subject.namespace.as_ref().map(ToString::to_string),
        verdict: judged.verdict.into(),
        depth: judged.depth.into(),
        findings: kept_findings(judged).map(|(class, f)| (chain(f), approval(class, f))).collect(),
        facts: kept_facts(subject).map(|(key, fact)| (key, fact.value)).collect(),
    }
}

/// Findings that a baseline keeps. Reach into another container that a wall holds is there or not by whether there is
/// another container at all, which is nothing of this one's.
fn kept_findings(judged: &Judged) -> impl Iterator<Item = (Class, &Finding)> {
    every_finding(judged).filter(|(class, f)| *class != Class::Lateral || f.depth.min == 0)
}

/// The techniques of a finding, in the order of the path.
fn chain(finding: &Finding) -> String {
    finding.steps.iter().map(|s| s.technique.id).collect::<Vec<_>>().join(" > ")
}

fn approval(class: Class, finding: &Finding) -> Approval {
    Approval {
        class: class.name().into(),
        gain: finding.gain.name().into(),
        depth: finding.depth.into(),
        fingerprint: finding.fingerprint.clone(),
    }
}

/// The facts that a baseline keeps of a subject: its own. What the engine and the host set for all is kept once, with
/// them. Ranges of ids are an engine's to choose anew at each start.
fn kept_facts(subject: &Subject) -> impl Iterator<Item = (String, published::Fact<'_>)> {
    let shared = matches!(subject.kind, SubjectKind::Engine | SubjectKind::Host);
    let chosen: BTreeSet<&str> = ["userNamespace.uidMap", "userNamespace.gidMap"].into();
    published::facts(&subject.confinement)
        .into_iter()
        .filter(move |fact| {
            let base = fact.key.base();
            !chosen.contains(base) && (shared || !(base.starts_with("engine.") || base.starts_with("host.")))
        })
        .map(|mut fact| {
            without_file(&mut fact.value);
            (name(&fact.key), fact)
        })
}

fn name(key: &Key) -> String {
    key.to_string()
}

/// `container:ops/compose.yaml#service/db` names a file, and a file may be renamed.
fn without_file(value: &mut Value) {
    if let Value::String(text) = value
        && let Some((_, rest)) = text.strip_prefix("container:").and_then(|id| id.split_once('#'))
    {
        *text = format!("container:{rest}");
    }
}
