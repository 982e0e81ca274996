//! The CIS Docker Benchmark in the terminal's report: by section and check over all subjects, because a host, its
//! engine and its containers are one system to it.

use std::collections::BTreeMap;
use std::io::{self, Write};

use confinement::Origin;
use policy::cis::{self, Check, Counts};
use policy::{ControlResult, StandardResult, Verdict};

use crate::escape::one_line;
use crate::text::{Options, apart};
use crate::{Report, words};

/// Subjects named under one check before "and N more".
const NAMED: usize = 10;

/// A subject with what a check says of it.
type Said<'a> = (usize, &'a ControlResult);

pub(crate) fn results<'a>(
    report: &Report<'a>,
) -> impl Iterator<Item = (usize, &'a StandardResult)> + use<'a> {
    report
        .standards
        .iter()
        .filter(|(_, r)| r.standard == cis::NAME)
        .map(|(subject, result)| (*subject, result))
}

pub(crate) fn write(report: &Report<'_>, options: &Options<'_>, out: &mut dyn Write) -> io::Result<()> {
    if results(report).next().is_none() {
        return Ok(());
    }
    let mut by_check: BTreeMap<&str, Vec<Said<'_>>> = BTreeMap::new();
    for (subject, result) in results(report) {
        for control in &result.controls {
            by_check.entry(control.id).or_default().push((subject, control));
        }
    }
    let summary = cis::summary(results(report).map(|(_, result)| result));
    let is_shown = |counts: &Counts| match counts.verdict() {
        Some(Verdict::Fail) => true,
        Some(_) => options.all,
        None => false,
    };
    if summary.iter().any(|(_, counts)| is_shown(counts)) {
        writeln!(out, "{}@{}", cis::NAME, cis::VERSION)?;
    }
    for (section, title) in cis::SECTIONS {
        let mut shown =
            summary.iter().filter(|(c, counts)| c.section() == *section && is_shown(counts)).peekable();
        if shown.peek().is_some() {
            writeln!(out, " {section} {title}")?;
        }
        for (check, counts) in shown {
            let said = by_check.get(check.id).map(Vec::as_slice).unwrap_or_default();
            one(report, options, check, counts, said, out)?;
        }
    }
    count_line(&summary, out)
}

fn one(
    report: &Report<'_>,
    options: &Options<'_>,
    check: &Check,
    counts: &Counts,
    said: &[Said<'_>],
    out: &mut dyn Write,
) -> io::Result<()> {
    let verdict = counts.verdict().unwrap_or(Verdict::NotApplicable);
    let status = if check.automated { "" } else { ", manual" };
    writeln!(
        out,
        "  {:<14} {:<6} {} (level {}{status})",
        verdict.name(),
        check.id,
        check.title,
        check.level
    )?;
    let told = said.iter().filter(|(_, control)| !control.message.is_empty());
    let mut told: Vec<&Said<'_>> =
        told.filter(|(_, control)| options.all || control.result == Verdict::Fail).collect();
    told.sort_by_key(|(_, control)| control.result != Verdict::Fail);
    let named = if options.all { told.len() } else { NAMED };
    for (subject, control) in told.iter().take(named) {
        let at = match (&control.location, &control.origin) {
            (Some(p), _) => format!("{}:{}:{}: ", p.path, p.line, p.column),
            (None, Some(Origin::Measurement { what })) => format!("{what}: "),
            _ => String::new(),
        };
        let word =
            if control.result == verdict { String::new() } else { format!("{}: ", control.result.name()) };
        let name = report.world.subjects.get(*subject).map_or("?", words::bearer);
        writeln!(out, "{}", apart(&format!("         {at}{}: {word}{}", one_line(name), control.message)))?;
    }
    if told.len() > named {
        writeln!(out, "         and {} more", told.len() - named)?;
    }
    if counts.fail > 0 {
        writeln!(out, "         fix: {}", check.remedy)?;
    }
    Ok(())
}

fn count_line(summary: &[(&Check, Counts)], out: &mut dyn Write) -> io::Result<()> {
    let of = |verdict| summary.iter().filter(|(_, counts)| counts.verdict() == Some(verdict)).count();
    let not_asked: Vec<&Check> =
        summary.iter().filter(|(_, counts)| counts.verdict().is_none()).map(|(check, _)| *check).collect();
    writeln!(
        out,
        "{}@{}: {} of {} checks: {} pass, {} fail, {} unknown, {} by hand, {} not applicable",
        cis::NAME,
        cis::VERSION,
        summary.len() - not_asked.len(),
        summary.len(),
        of(Verdict::Pass),
        of(Verdict::Fail),
        of(Verdict::Unknown),
        of(Verdict::Manual),
        of(Verdict::NotApplicable),
    )?;
    let unknown: Vec<&str> = summary
        .iter()
        .filter(|(_, c)| c.verdict() == Some(Verdict::Unknown))
        .map(|(check, _)| check.id)
        .collect();
    if !unknown.is_empty() {
        writeln!(out, "unknown: {} (--all says why)", unknown.join(", "))?;
    }
    let live = not_asked.iter().filter(|check| check.needs_live()).count();
    if live > 0 {
        let more = not_asked.len() - live;
        let rest = if more > 0 {
            format!(", {more} of settings, images or containers that are not here")
        } else {
            String::new()
        };
        writeln!(out, "not looked at: {live} of the host and a live engine (add host: and docker:){rest}")?;
    } else if !not_asked.is_empty() {
        writeln!(
            out,
            "not looked at: {} of settings, images or containers that are not here",
            not_asked.len()
        )?;
    }
    writeln!(out)
}
