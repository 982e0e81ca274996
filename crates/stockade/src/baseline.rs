//! `stockade baseline`: the approved state of a tree or a host, written and compared with what is there now.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::{Args, Subcommand, ValueEnum};
use confinement::{Origin, Place, World};
use policy::baseline::{
    Baseline, Change, Depth, Drift, DriftedSubject, FactChange, MAX_BYTES, NewSubject, OPTIONS, Standing,
};
use serde::Serialize;
use serde_json::Value;
use sources::gather::Overlay;
use techniques::judge::{self, Judgement};

use crate::arguments::Given;
use crate::audit::{Input, context_of, gather, whatever_is_here};

const DEFAULT: &str = "stockade-baseline.json";
/// Facts of one subject that are shown; JSON has all.
const FACTS: usize = 12;
/// What became worse, of one subject: the weightiest first.
const WORSE: usize = 8;
/// What became better, of one subject.
const BETTER: usize = 4;
/// Characters of a value that are shown.
const VALUE: usize = 120;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Write the state that is there now as the approved one
    Write {
        #[command(flatten)]
        common: Common,
    },
    /// Compare with the approved state: exit with 1 where something became worse
    Check {
        #[command(flatten)]
        common: Common,

        /// Approve what became better: the baseline is written anew with it
        #[arg(long)]
        tighten: bool,

        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,

        /// Write the report here instead of to standard output
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
    },
}

#[derive(Debug, Args)]
struct Common {
    /// Files, folders, `-`, or docker:[NAME], podman:[NAME], proc:[ID], host:. None: whatever is here
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    #[command(flatten)]
    given: Given,

    /// The approved state
    #[arg(long, value_name = "FILE", default_value = DEFAULT)]
    baseline: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    match &arguments.what {
        What::Write { common } => write(common),
        What::Check { common, tighten, format, output } => check(common, *tighten, *format, output.as_ref()),
    }
}

fn read(common: &Common) -> anyhow::Result<(World, Judgement)> {
    let given = &common.given;
    let bare = common.targets.is_empty() && given.run.is_empty() && given.files.is_empty();
    let targets = if bare { whatever_is_here() } else { common.targets.clone() };
    let (context, notes) = context_of(&given.context, &targets)?;
    let mut input = Input::default();
    let mut world = gather(&targets, &given.run, &given.files, &context, &Overlay::new(), &mut input)?;
    world.notes.extend(notes);
    for problem in &world.problems {
        eprintln!("error: {}", report::printable(&problem.to_string()));
    }
    let judgement = judge::judge(&world, OPTIONS);
    Ok((world, judgement))
}

fn write(common: &Common) -> anyhow::Result<u8> {
    let (world, judgement) = read(common)?;
    if !world.problems.is_empty() {
        eprintln!("error: nothing is written: what could not be read would not be approved");
        return Ok(2);
    }
    let baseline = Baseline::of(&world, &judgement, env!("CARGO_PKG_VERSION"));
    put(&common.baseline, &baseline)?;
    let open = baseline.subjects.iter().filter(|s| s.verdict == Standing::Open).count();
    let mut out = io::stdout().lock();
    let path = common.baseline.display();
    writeln!(out, "{path}: {} approved, {open} of them open", subjects(baseline.subjects.len()))?;
    Ok(0)
}

/// Beside its place first, so that a baseline is never half written.
fn put(path: &Path, baseline: &Baseline) -> anyhow::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::write(&beside, baseline.to_json()).with_context(|| beside.display().to_string())?;
    fs::rename(&beside, path).with_context(|| path.display().to_string())
}

fn check(common: &Common, tighten: bool, format: Format, output: Option<&PathBuf>) -> anyhow::Result<u8> {
    let path = &common.baseline;
    let name = path.display().to_string();
    if !path.exists() {
        bail!("{name}: there is no baseline; write one with `stockade baseline write`");
    }
    let bytes = sources::walk::read_bounded(path, MAX_BYTES)
        .map_err(|error| anyhow::anyhow!("{name}: {}", error.message))?;
    let text = String::from_utf8(bytes).with_context(|| name.clone())?;
    let baseline = Baseline::parse(&text, &name)?;
    let (world, judgement) = read(common)?;
    let drift = baseline.compare(&world, &judgement);
    match output {
        Some(path) => {
            let name = || path.display().to_string();
            let mut file = BufWriter::new(fs::File::create(path).with_context(name)?);
            show(format, &drift, tighten, &mut file).and_then(|()| file.flush()).with_context(name)?;
        }
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            show(format, &drift, tighten, &mut out).and_then(|()| out.flush())?;
        }
    }
    if !world.problems.is_empty() {
        return Ok(2);
    }
    if tighten {
        put(path, &baseline.tightened(&world, &judgement))?;
    }
    Ok(u8::from(drift.is_worse()))
}

#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    #[serde(flatten)]
    drift: &'a Drift,
}

fn show(format: Format, drift: &Drift, tighten: bool, out: &mut dyn Write) -> io::Result<()> {
    match format {
        Format::Json => {
            serde_json::to_writer_pretty(&mut *out, &Report { schema: "stockade.drift/1", drift })?;
            writeln!(out)
        }
        Format::Text => text(drift, tighten, out),
    }
}

fn text(drift: &Drift, tighten: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut lines: Vec<String> = Vec::new();
    for subject in &drift.changed {
        changed(subject, &mut lines);
    }
    for subject in &drift.new {
        unapproved(subject, &mut lines);
    }
    for name in &drift.gone {
        lines.push(format!("gone: {name}"));
    }
    for line in &lines {
        writeln!(out, "{}", report::printable(line))?;
    }
    if !lines.is_empty() {
        writeln!(out)?;
    }
    let worse = drift.changed.iter().filter(|s| !s.worse.is_empty()).count();
    let better = drift.changed.iter().filter(|s| s.worse.is_empty() && !s.better.is_empty()).count();
    let other = drift.changed.len() - worse - better;
    let refused = drift.new.iter().filter(|s| !s.worse.is_empty()).count();
    writeln!(
        out,
        "{worse} worse, {better} better, {other} changed otherwise, {} new ({refused} not to be approved unseen), {} gone, {} as approved",
        drift.new.len(),
        drift.gone.len(),
        drift.same
    )?;
    let offers = drift.changed.iter().any(|s| !s.better.is_empty()) || !drift.gone.is_empty();
    if tighten && offers {
        writeln!(out, "what became better is approved now, and what is gone is not any more")?;
    } else if offers {
        writeln!(out, "--tighten approves what became better")?;
    }
    if !drift.new.is_empty() {
        writeln!(out, "`stockade baseline write` approves what is new")?;
    }
    Ok(())
}

fn changed(subject: &DriftedSubject, lines: &mut Vec<String>) {
    let word = match (subject.worse.is_empty(), subject.better.is_empty()) {
        (false, _) => "worse",
        (true, false) => "better",
        (true, true) => "changed",
    };
    lines.push(format!("{word}: {}{}", subject.name, at(subject.place.as_ref())));
    lines.extend(subject.worse.iter().take(WORSE).map(|c| format!("  {}", worse(c))));
    let more = subject.worse.len().saturating_sub(WORSE);
    if more > 0 {
        lines.push(format!("  and {more} more that became worse (--format json)"));
    }
    lines.extend(subject.better.iter().take(BETTER).map(|c| format!("  better: {}", better(c))));
    let more = subject.better.len().saturating_sub(BETTER);
    if more > 0 {
        lines.push(format!("  better: and {more} more (--format json)"));
    }
    lines.extend(subject.facts.iter().take(FACTS).map(|f| format!("  changed: {}", fact(f))));
    let more = subject.facts.len().saturating_sub(FACTS);
    if more > 0 {
        lines.push(format!("  and {more} more facts (--format json)"));
    }
    lines.extend(subject.made.iter().map(|made| format!("  {made}")));
}

fn unapproved(subject: &NewSubject, lines: &mut Vec<String>) {
    let (name, place) = (&subject.name, at(subject.place.as_ref()));
    lines.push(format!("new: {name}{place} is {}, and nobody approved it", subject.verdict.name()));
    lines.extend(subject.worse.iter().map(|c| format!("  {}", worse(c))));
    lines.extend(subject.made.iter().map(|made| format!("  {made}")));
}

fn at(place: Option<&Place>) -> String {
    place.map(|p| format!(" ({}:{}:{})", p.path, p.line, p.column)).unwrap_or_default()
}

fn walls(depth: Depth) -> String {
    let one = |n: u8| format!("{n} wall{}", if n == 1 { "" } else { "s" });
    match (depth.min, depth.max) {
        (None, _) => "no path known".into(),
        (Some(least), Some(most)) if least == most => one(least),
        (Some(least), Some(most)) => format!("{least} to {}", one(most)),
        (Some(least), None) => format!("{} or no path", one(least)),
    }
}

fn worse(change: &Change) -> String {
    match change {
        Change::Finding { techniques, class, gain, .. } if class == "weakness" => {
            format!("new weakness: {techniques} ({gain})")
        }
        Change::Finding { techniques, gain, depth, .. } if depth.max == Some(0) => {
            format!("new open path: {techniques} ({gain})")
        }
        Change::Finding { techniques, gain, depth, .. } => {
            format!("new path: {techniques} ({gain}), behind {}", walls(*depth))
        }
        Change::FindingDepth { techniques, old, new } if new.max == Some(0) => {
            format!("new open path: {techniques} ({} before)", walls(*old))
        }
        Change::Gain { gain } => format!("new gain: {gain}"),
        other => moved(other),
    }
}

fn better(change: &Change) -> String {
    match change {
        Change::Finding { techniques, gain, .. } => format!("no more: {techniques} ({gain})"),
        Change::Gain { gain } => format!("no more within reach: {gain}"),
        other => moved(other),
    }
}

fn moved(change: &Change) -> String {
    match change {
        Change::Verdict { old, new } => format!("{} -> {}", old.name(), new.name()),
        Change::Depth { old, new } => format!("every path: {} -> {}", walls(*old), walls(*new)),
        Change::FindingDepth { techniques, old, new } => {
            format!("{techniques}: {} -> {}", walls(*old), walls(*new))
        }
        Change::Finding { techniques, .. } => techniques.clone(),
        Change::Gain { gain } => gain.clone(),
    }
}

/// `mounts[/s]: not there -> {…} (compose.yaml:7:9)`.
fn fact(change: &FactChange) -> String {
    let name = &change.fact;
    let from = match &change.origin {
        Some(Origin::File(place)) => at(Some(place)),
        Some(Origin::EngineDefault { engine }) => format!(" (default of {engine})"),
        Some(Origin::Measurement { what }) => format!(" ({what})"),
        Some(Origin::Assumption { why }) => format!(" (assumed: {why})"),
        Some(Origin::Nowhere) | None => String::new(),
    };
    let change = match (&change.old, &change.new) {
        (Some(Value::Array(old)), Some(Value::Array(new))) => items(old, new),
        (old, new) => format!("{} -> {}", value(old.as_ref()), value(new.as_ref())),
    };
    format!("{name}: {change}{from}")
}

/// What a list has more and less.
fn items(old: &[Value], new: &[Value]) -> String {
    let only = |these: &[Value], those: &[Value], sign: char| {
        let only = these.iter().filter(|item| !those.contains(item));
        only.map(|item| format!("{sign}{}", value(Some(item)))).collect::<Vec<_>>()
    };
    let mut told = only(new, old, '+');
    told.extend(only(old, new, '-'));
    let more = told.len().saturating_sub(8);
    told.truncate(8);
    if more > 0 {
        told.push(format!("and {more} more"));
    }
    if told.is_empty() { "in another order".into() } else { told.join(" ") }
}

fn value(value: Option<&Value>) -> String {
    let text = match value {
        None => return "not there".into(),
        Some(Value::Null) => return "not known".into(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Object(members)) if members.contains_key("target") => mount(members),
        Some(other) => other.to_string(),
    };
    match text.char_indices().nth(VALUE) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// `host /run/docker.sock, writable`.
fn mount(members: &serde_json::Map<String, Value>) -> String {
    let source = members.get("source");
    let part = |name: &str| source.and_then(|s| s.get(name)).and_then(Value::as_str);
    let from = [part("kind"), part("path").or(part("name"))];
    let from: Vec<&str> = from.into_iter().flatten().collect();
    let from = if from.is_empty() { "a source that is not known".to_owned() } else { from.join(" ") };
    let access = match members.get("readOnly").and_then(Value::as_bool) {
        Some(true) => "read-only",
        Some(false) => "writable",
        None => "not known whether writable",
    };
    format!("{from}, {access}")
}

fn subjects(n: usize) -> String {
    format!("{n} subject{}", if n == 1 { "" } else { "s" })
}
