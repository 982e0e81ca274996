//! SARIF 2.1.0 with `fixes`: one result for each subject that has a plan, whose fix editors and code hosts can apply.

use std::io::{self, Write};
use std::sync::Arc;

use harden::draft::Edit;
use serde_json::{Value, json};
use techniques::plan::Planned;

use super::{HardenReport, State, standing};
use crate::escape::uri;
use crate::sarif::{self, location, message};
use crate::{TOOL, io_error};

const RULE: &str = "harden";

pub fn write(report: &HardenReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let results: Vec<Value> = report.plan.subjects.iter().filter_map(|p| result(report, p)).collect();
    let log = json!({
        "$schema": sarif::SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": TOOL,
                "version": report.version,
                "rules": [{
                    "id": RULE,
                    "name": "Harden",
                    "shortDescription": { "text": "A setting that puts a wall back" },
                    "fullDescription": { "text": "The cheapest set of settings after which every path to the host has the walls that were asked for." },
                    "defaultConfiguration": { "level": "warning" },
                }],
            } },
            "invocations": [sarif::invocation(&report.world.problems, &report.world.notes)],
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    serde_json::to_writer(&mut out, &log).map_err(io_error)?;
    out.write_all(b"\n")?;
    out.flush()
}

fn result(report: &HardenReport<'_>, planned: &Planned) -> Option<Value> {
    let subject = report.world.subjects.get(planned.subject)?;
    let written = report.hardening.subjects.get(planned.subject)?;
    let state = report.state(planned);
    if state == State::Sound {
        return None;
    }
    let recommended = planned.recommended.iter().map(|r| &r.advice);
    let what: Vec<&str> =
        planned.plan.remedies.iter().chain(recommended).map(|a| a.summary.as_str()).collect();
    let mut text = format!("{} is {}", subject.name, standing(planned.before));
    if !what.is_empty() {
        text.push_str(&format!("; {} afterwards: {}", standing(report.after(planned)), what.join("; ")));
    }
    if let Some(problem) = &written.refusal {
        text.push_str(&format!(". To be done by hand: {}", problem.message));
    }
    for left in &planned.left {
        text.push_str(&format!(". Left: {}", left.technique.title));
    }
    text.push('.');
    let mut result = json!({
        "ruleId": RULE,
        "ruleIndex": 0,
        "level": "warning",
        "message": message(&text),
        "locations": [location(subject, subject.place.as_ref())],
        "partialFingerprints": { "stockadeHarden/v1": subject.id },
        "properties": { "cost": planned.plan.cost, "remedies": planned.plan.remedies },
    });
    if !written.edits.is_empty() {
        result["fixes"] = json!([{
            "description": message(&what.join("; ")),
            "artifactChanges": changes(report, &written.edits),
        }]);
    }
    Some(result)
}

fn changes(report: &HardenReport<'_>, edits: &[(Arc<str>, Edit)]) -> Vec<Value> {
    let mut paths: Vec<&Arc<str>> = edits.iter().map(|(path, _)| path).collect();
    paths.dedup();
    paths
        .into_iter()
        .filter_map(|path| {
            let file = report.hardening.files.iter().find(|f| f.path == *path)?;
            let replacements: Vec<Value> = edits
                .iter()
                .filter(|(p, _)| p == path)
                .map(|(_, edit)| {
                    let (start, end) =
                        (position(&file.before, edit.range.start), position(&file.before, edit.range.end));
                    json!({
                        "deletedRegion": {
                            "startLine": start.0, "startColumn": start.1, "endLine": end.0, "endColumn": end.1,
                        },
                        "insertedContent": { "text": edit.text },
                    })
                })
                .collect();
            Some(json!({ "artifactLocation": { "uri": uri(path)? }, "replacements": replacements }))
        })
        .collect()
}

/// Line and column from 1, columns in characters.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.bytes().filter(|b| *b == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |i| i + 1);
    (line, before.get(start..).unwrap_or("").chars().count() + 1)
}
