//! JSON by the published schema `stockade.audit/1` (`schemas/stockade.audit-1.schema.json`), which only grows. Members are
//! written as they are come to, so that a run over many subjects takes no memory of its own.

use std::io::{self, Write};

use confinement::{Place, Problem, Subject, SubjectKind};
use policy::published::{self, Walls};
use policy::{Decision, StandardResult};
use serde::Serialize;
use techniques::barrier::Barriers;
use techniques::judge::{Finding, Hint, Judged, Verdict};
use techniques::remedy::Advice;

use crate::{Each, Report, TOOL, io_error};

/// The value of `schema`.
pub const SCHEMA: &str = "stockade.audit/1";

/// Writes one object and a newline.
pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    serde_json::to_writer(&mut out, &audit(report)).map_err(io_error)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Audit<'a, A, N, S>
where
    A: Serialize,
    N: Serialize,
    S: Serialize,
{
    schema: &'static str,
    tool: Tool<'a>,
    targets: &'a [String],
    /// The threshold: a path is listed when fewer walls than this stand.
    threshold: u8,
    summary: Summary,
    assumptions: A,
    not_judged: N,
    errors: &'a [Problem],
    notes: &'a [Problem],
    /// Standards whose controls are about the whole run, and what they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    standards: Vec<StandardEntry>,
    subjects: S,
}

/// A standard and each of its controls, with the number of subjects of each result.
#[derive(Serialize)]
struct StandardEntry {
    standard: &'static str,
    version: &'static str,
    /// Of all subjects together: `fail`, `unknown` or `pass`.
    result: policy::Verdict,
    controls: Vec<ControlEntry>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ControlEntry {
    id: &'static str,
    title: &'static str,
    level: u8,
    assessment: &'static str,
    remedy: &'static str,
    /// Techniques of the catalogue that it stands against.
    techniques: Vec<&'static str>,
    attack: Vec<&'static str>,
    #[serde(rename = "nist800190")]
    nist: &'static [&'static str],
    /// `null`: no subject was asked.
    result: Option<policy::Verdict>,
    subjects: policy::cis::Counts,
}

fn cis_docker(report: &Report<'_>) -> Option<StandardEntry> {
    crate::cis::results(report).next()?;
    let summary = policy::cis::summary(crate::cis::results(report).map(|(_, result)| result));
    let controls: Vec<ControlEntry> = summary
        .into_iter()
        .map(|(check, counts)| ControlEntry {
            id: check.id,
            title: check.title,
            level: check.level,
            assessment: if check.automated { "automated" } else { "manual" },
            remedy: check.remedy,
            techniques: check.techniques().collect(),
            attack: check.attack(),
            nist: check.nist,
            result: counts.verdict(),
            subjects: counts,
        })
        .collect();
    let has = |verdict| controls.iter().any(|control| control.result == Some(verdict));
    let result = match (has(policy::Verdict::Fail), has(policy::Verdict::Unknown)) {
        (true, _) => policy::Verdict::Fail,
        (false, true) => policy::Verdict::Unknown,
        (false, false) => policy::Verdict::Pass,
    };
    Some(StandardEntry { standard: policy::cis::NAME, version: policy::cis::VERSION, result, controls })
}

#[derive(Serialize)]
struct Tool<'a> {
    name: &'static str,
    version: &'a str,
}

#[derive(Serialize)]
struct Summary {
    subjects: usize,
    open: usize,
    held: usize,
    undetermined: usize,
}

#[derive(Serialize)]
struct Assumption<'a> {
    assumption: &'a str,
    subjects: usize,
}

#[derive(Serialize)]
struct NotJudged<'a> {
    technique: &'a str,
    subjects: usize,
}

#[derive(Serialize)]
struct SubjectEntry<'a, F: Serialize, D: Serialize, H: Serialize, T: Serialize> {
    id: &'a str,
    name: &'a str,
    kind: SubjectKind,
    location: Option<&'a Place>,
    verdict: Verdict,
    depth: Walls,
    /// The smallest cut sets: each is a set of walls that hold by themselves.
    cuts: &'a [Barriers],
    paths: F,
    lateral: F,
    weaknesses: F,
    undecided: D,
    hints: H,
    standards: T,
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<&'a Decision>,
}

#[derive(Serialize)]
struct HintEntry<'a> {
    #[serde(flatten)]
    advice: &'a Advice,
    depth: Walls,
}

fn audit<'a>(report: &'a Report<'_>) -> impl Serialize + 'a {
    let counts = report.counts();
    Audit {
        schema: SCHEMA,
        tool: Tool { name: TOOL, version: report.version },
        targets: report.targets,
        threshold: report.threshold,
        summary: Summary {
            subjects: counts.subjects,
            open: counts.open,
            held: counts.held,
            undetermined: counts.undetermined,
        },
        assumptions: Each(|| {
            let list = report.judgement.assumptions.iter();
            list.map(|(assumption, subjects)| Assumption { assumption, subjects: *subjects })
        }),
        not_judged: Each(|| {
            let list = report.judgement.not_judged.iter();
            list.map(|n| NotJudged { technique: n.technique, subjects: n.subjects })
        }),
        errors: &report.world.problems,
        notes: &report.world.notes,
        standards: cis_docker(report).into_iter().collect(),
        subjects: Each(|| report.subjects().map(|(s, j)| subject(report, s, j))),
    }
}

fn subject<'a>(report: &'a Report<'_>, subject: &'a Subject, judged: &'a Judged) -> impl Serialize + 'a {
    let findings = |list: &'a [Finding]| {
        Each(move || {
            list.iter()
                .map(move |f| published::finding(report.world, report.catalogue, f, report.waiver(judged, f)))
        })
    };
    SubjectEntry {
        id: &subject.id,
        name: &subject.name,
        kind: subject.kind,
        location: subject.place.as_ref(),
        verdict: judged.verdict,
        depth: judged.depth.into(),
        cuts: &judged.cuts,
        paths: findings(&judged.paths),
        lateral: findings(&judged.lateral),
        weaknesses: findings(&judged.weaknesses),
        undecided: published::evidence(report.catalogue, &judged.undecided),
        hints: Each(|| {
            judged.hints.iter().map(|Hint { advice, depth }| HintEntry { advice, depth: (*depth).into() })
        }),
        standards: Each(|| report.standards_of(judged.subject).map(|s: &StandardResult| s)),
        decision: report.decision_of(judged.subject),
    }
}
