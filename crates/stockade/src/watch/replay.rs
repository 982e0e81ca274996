//! `stockade watch --replay`: a capture instead of the kernel. With rules, their matches; without, what is in it.

use std::collections::BTreeMap;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::{Context as _, bail};
use rules::Matcher;
use watch::matched::captured;
use watch::outputs::text;
use watch::replay::{self, Replay};
use watch::store::Record;

use super::{Arguments, Format};
use crate::COULD_NOT_JUDGE;

pub(super) fn run(arguments: &Arguments, path: &Path) -> anyhow::Result<u8> {
    let mut replay = Replay::open(path).with_context(|| path.display().to_string())?;
    let mut out = BufWriter::new(io::stdout().lock());
    let found = match super::rule_files::load(arguments)? {
        Some(loaded) => rules_over(arguments, &mut replay, &loaded.matcher, &mut out)?,
        None => events_of(arguments.format, &mut replay, &mut out).map(|()| false)?,
    };
    out.flush()?;
    let faults = replay.fault_count();
    for fault in replay.faults() {
        eprintln!("error: {}: {}", path.display(), report::printable(&fault.to_string()));
    }
    if faults > 0 {
        let events = replay.counts().events;
        eprintln!("error: {}: {faults} faults; {events} events could be read", path.display());
        return Ok(COULD_NOT_JUDGE);
    }
    Ok(u8::from(found))
}

/// Whether something of at least the threshold matched.
fn rules_over(
    arguments: &Arguments,
    replay: &mut Replay,
    matcher: &Matcher,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let mut scratch = matcher.scratch();
    let threshold = arguments.threshold.severity();
    let colour = text::Options { colour: super::is_coloured(arguments) };
    let mut matches: BTreeMap<String, u64> = BTreeMap::new();
    let mut failed = None;
    replay.for_each_of(&matcher.required_event_types(), |view| {
        for rule in matcher.matches(view, &mut scratch) {
            let alert = captured(rule, view);
            if alert.severity < threshold || failed.is_some() {
                continue;
            }
            *matches.entry(rule.name.clone()).or_default() += 1;
            let written = match arguments.format {
                Format::Text => write!(out, "{}", text::block(&alert, colour)),
                Format::Json => writeln!(out, "{}", Record::from(alert).to_json()),
            };
            failed = written.err();
        }
    });
    if let Some(error) = failed {
        return Err(error.into());
    }
    if arguments.format == Format::Text {
        for (rule, count) in &matches {
            writeln!(out, "{count:8}  {}", report::printable(rule))?;
        }
        let rules = matches.len();
        let sum: u64 = matches.values().sum();
        let events = count(replay.counts().events, "event");
        writeln!(out, "{sum} matches of {} in {events}", count(rules as u64, "rule"))?;
    }
    Ok(!matches.is_empty())
}

fn events_of(format: Format, replay: &mut Replay, out: &mut dyn Write) -> anyhow::Result<()> {
    if format == Format::Json {
        let mut failed = None;
        let mut out = out;
        replay.for_each(|view| {
            failed = replay::write_line(&mut out, view).err();
            failed.is_none()
        });
        return failed.map_or(Ok(()), |error| Err(error.into()));
    }
    replay.for_each(|_| true);
    let counts = replay.counts();
    if counts.events == 0 && replay.fault_count() == 0 {
        bail!("the capture holds no events");
    }
    let mut by_type: Vec<(&str, u64)> = counts.by_type().into_iter().collect();
    by_type.sort_by_key(|(name, count)| (std::cmp::Reverse(*count), *name));
    for (name, count) in by_type {
        writeln!(out, "{count:10}  {name}")?;
    }
    let events = count(counts.events, "event");
    writeln!(out, "{events}; give --rules FILE to match them, or --format json to see them")?;
    Ok(())
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}
