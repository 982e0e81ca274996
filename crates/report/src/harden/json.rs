//! JSON by the published schema `stockade.harden/1` (`schemas/stockade.harden-1.schema.json`), which only grows.

use std::io::{self, Write};

use harden::diff;
use serde_json::{Value, json};
use techniques::plan::{Planned, Remedies};
use techniques::solver::Depth;

use super::{HardenReport, State};
use crate::{TOOL, io_error, walls};

/// The value of `schema`.
pub const SCHEMA: &str = "stockade.harden/1";

/// Writes one object and a newline.
pub fn write(report: &HardenReport<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    serde_json::to_writer(&mut out, &value(report)).map_err(io_error)?;
    out.write_all(b"\n")?;
    out.flush()
}

/// The object itself, for those who put it into a larger one.
pub fn value(report: &HardenReport<'_>) -> Value {
    let subjects: Vec<Value> = report.plan.subjects.iter().filter_map(|p| subject(report, p)).collect();
    let files: Vec<Value> = report
        .hardening
        .files
        .iter()
        .map(|file| json!({ "path": file.path, "diff": diff::unified(file) }))
        .collect();
    json!({
        "schema": SCHEMA,
        "tool": { "name": TOOL, "version": report.version },
        "targets": report.targets,
        "depth": report.depth,
        "written": report.wrote,
        "assumptions": report.plan.assumptions.iter().map(|(text, _)| text).collect::<Vec<_>>(),
        "errors": report.world.problems,
        "subjects": subjects,
        "files": files,
    })
}

fn subject(report: &HardenReport<'_>, planned: &Planned) -> Option<Value> {
    let subject = report.world.subjects.get(planned.subject)?;
    let refusal = report.hardening.subjects.get(planned.subject).and_then(|w| w.refusal.as_ref());
    let state = match report.state(planned) {
        State::Sound => "sound",
        State::Changed => "changed",
        State::Refused => "refused",
        State::Left => "left",
    };
    let left: Vec<Value> = planned
        .left
        .iter()
        .map(|left| {
            json!({
                "technique": left.technique.id,
                "depth": depth(left.depth),
                "pins": left.pins,
                "elsewhere": left.elsewhere,
            })
        })
        .collect();
    let mut value = json!({
        "id": subject.id,
        "name": subject.name,
        "form": subject.form,
        "place": subject.place,
        "state": state,
        "before": depth(planned.before),
        "after": depth(report.after(planned)),
        "plan": remedies(&planned.plan),
        "recommended": planned.recommended,
        "proven": planned.proven,
        "alternatives": planned.alternatives.iter().map(remedies).collect::<Vec<_>>(),
        "left": left,
    });
    if let Some(object) = value.as_object_mut() {
        object.extend(refusal.map(|problem| ("refusal".into(), json!(problem))));
        object.extend(report.why_short(planned).map(|why| ("why".into(), json!(why))));
    }
    Some(value)
}

fn depth(depth: Depth) -> Value {
    json!({ "min": walls(depth.min), "max": walls(depth.max) })
}

fn remedies(plan: &Remedies) -> Value {
    json!({ "cost": plan.cost, "remedies": plan.remedies })
}
