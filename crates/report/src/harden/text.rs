//! For people: the plan in words, then the change as a unified diff that `git apply` takes.

use std::io::{self, Write};

use confinement::Subject;
use harden::diff;
use techniques::plan::{Left, Planned, Remedies};

use super::{HardenReport, State, standing};
use crate::escape::one_line;

pub struct Options {
    pub colour: bool,
    /// Subjects for which nothing is to be done too.
    pub all: bool,
}

pub fn write(report: &HardenReport<'_>, options: &Options, out: &mut dyn Write) -> io::Result<()> {
    let sound = plan(report, options, out)?;
    for file in &report.hardening.files {
        let suggestion = report.hardening.is_suggestion(report.world, &file.path);
        if suggestion {
            writeln!(out, "a suggestion, never written by itself: build the image with it and try it")?;
        }
        if !report.wrote || suggestion {
            if report.typed.is_typed(&file.path) {
                writeln!(out, "{}\n", file.after.trim_end())?;
            } else {
                coloured_diff(&diff::unified(file), options.colour, out)?;
                writeln!(out)?;
            }
        }
    }
    summary(report, sound, out)
}

/// The plan alone, in words; gives how many subjects it passes over because they have nothing to change.
pub fn plan(report: &HardenReport<'_>, options: &Options, out: &mut dyn Write) -> io::Result<usize> {
    let mut sound = 0;
    let mut shown = false;
    for planned in &report.plan.subjects {
        let Some(subject) = report.world.subjects.get(planned.subject) else { continue };
        let state = report.state(planned);
        if state == State::Sound && !options.all {
            sound += 1;
            continue;
        }
        subject_block(report, planned, subject, state, options, out)?;
        shown = true;
    }
    if shown {
        writeln!(out)?;
    }
    Ok(sound)
}

fn subject_block(
    report: &HardenReport<'_>,
    planned: &Planned,
    subject: &Subject,
    state: State,
    options: &Options,
    out: &mut dyn Write,
) -> io::Result<()> {
    let name = one_line(&subject.name);
    let (bold, plain) = if options.colour { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    let before = standing(planned.before);
    match state {
        State::Sound => return writeln!(out, "{bold}{name}{plain}: {before}; nothing to change"),
        State::Changed | State::Left => {
            let after = standing(report.after(planned));
            let verb = if report.wrote { "now" } else { "after the change" };
            if planned.plan.remedies.is_empty() && planned.recommended.is_empty() {
                writeln!(out, "{bold}{name}{plain}: {before}; no change that may be made here helps")?;
            } else {
                writeln!(
                    out,
                    "{bold}{name}{plain}: {before}; {verb} {after}{}",
                    cost(&planned.plan, planned)
                )?;
            }
        }
        State::Refused => {
            writeln!(
                out,
                "{bold}{name}{plain}: {before}; not changed, to be done by hand{}",
                cost(&planned.plan, planned)
            )?;
        }
    }
    remedies(&planned.plan, "  ", out)?;
    for recommended in &planned.recommended {
        let summary = one_line(&recommended.advice.summary);
        writeln!(
            out,
            "  {summary} [{}, recommended]: {}",
            recommended.advice.id,
            one_line(&recommended.why)
        )?;
    }
    if let Some(problem) = report.hardening.subjects.get(planned.subject).and_then(|w| w.refusal.as_ref()) {
        writeln!(out, "  not written: {}", one_line(&problem.to_string()))?;
    }
    for (number, alternative) in planned.alternatives.iter().enumerate() {
        writeln!(out, "  or, {} (cost {}):", ordinal(number), alternative.cost)?;
        remedies(alternative, "    ", out)?;
    }
    if let Some(why) = report.why_short(planned).filter(|_| state == State::Left) {
        writeln!(out, "  left: {}", one_line(&why))?;
    }
    for group in planned.left.chunk_by(is_alike) {
        what_is_left(group, out)?;
    }
    Ok(())
}

/// Left for the same reason, and to be closed by the same means.
fn is_alike(a: &Left, b: &Left) -> bool {
    let advice = |left: &Left| left.elsewhere.iter().map(|a| a.summary.clone()).collect::<Vec<_>>();
    a.pins == b.pins && advice(a) == advice(b) && (!advice(a).is_empty() || !a.pins.is_empty())
}

fn what_is_left(group: &[Left], out: &mut dyn Write) -> io::Result<()> {
    let Some(first) = group.first() else { return Ok(()) };
    write!(out, "  left: {} [{}]", first.technique.title, first.technique.id)?;
    if group.len() > 1 {
        let rest: Vec<&str> = group.iter().skip(1).map(|left| left.technique.id).collect();
        write!(out, ", and {} more ({})", rest.len(), rest.join(", "))?;
    }
    if !first.pins.is_empty() {
        let pins: Vec<&str> = first.pins.iter().map(|p| &**p).collect();
        write!(out, "; kept open by {}", pins.join(", "))?;
    }
    writeln!(out)?;
    for advice in &first.elsewhere {
        writeln!(out, "    elsewhere: {}", one_line(&advice.summary))?;
    }
    if first.pins.is_empty() && first.elsewhere.is_empty() {
        for mitigation in first.technique.mitigations.iter().take(2) {
            writeln!(out, "    by hand: {}", one_line(mitigation))?;
        }
    }
    Ok(())
}

fn cost(plan: &Remedies, planned: &Planned) -> String {
    if plan.remedies.is_empty() {
        return String::new();
    }
    let proven = if planned.proven { "" } else { ", not proven to be the least" };
    format!(" (cost {}{proven})", plan.cost)
}

fn remedies(plan: &Remedies, indent: &str, out: &mut dyn Write) -> io::Result<()> {
    for advice in &plan.remedies {
        let behaviour = if advice.changes_behaviour { "" } else { "; changes no behaviour" };
        writeln!(
            out,
            "{indent}{} [{}, cost {}{behaviour}]{}",
            one_line(&advice.summary),
            advice.id,
            advice.cost,
            advice.note.as_ref().map_or(String::new(), |note| format!(": {}", one_line(note)))
        )?;
    }
    Ok(())
}

fn ordinal(number: usize) -> String {
    match number {
        0 => "next best".into(),
        n => format!("next best {}", n + 1),
    }
}

fn coloured_diff(diff: &str, colour: bool, out: &mut dyn Write) -> io::Result<()> {
    if !colour {
        return out.write_all(diff.as_bytes());
    }
    for line in diff.split_inclusive('\n') {
        let code = match line.as_bytes() {
            [b'-', b'-', b'-', ..] | [b'+', b'+', b'+', ..] => "\x1b[1m",
            [b'-', ..] => "\x1b[31m",
            [b'+', ..] => "\x1b[32m",
            [b'@', ..] => "\x1b[36m",
            _ => "",
        };
        match code {
            "" => out.write_all(line.as_bytes())?,
            code => write!(
                out,
                "{code}{}\x1b[0m{}",
                line.trim_end_matches('\n'),
                if line.ends_with('\n') { "\n" } else { "" }
            )?,
        }
    }
    Ok(())
}

fn summary(report: &HardenReport<'_>, sound: usize, out: &mut dyn Write) -> io::Result<()> {
    let count = |state| report.plan.subjects.iter().filter(|p| report.state(p) == state).count();
    let files = report.hardening.files.len();
    // Two containers of a pod may share one edit.
    let has_edits = |p: &&Planned| {
        let own = report.hardening.subjects.get(p.subject).is_some_and(|w| !w.edits.is_empty());
        own || report.state(p) == State::Changed
    };
    let changed = report.plan.subjects.iter().filter(has_edits).count();
    let mut parts = vec![format!("{changed} to change in {}", plural(files, "file"))];
    if report.wrote {
        parts = vec![format!("{changed} changed in {}", plural(files, "file"))];
    }
    let (refused, left) = (count(State::Refused), count(State::Left));
    if refused > 0 {
        parts.push(format!("{refused} to change by hand"));
    }
    if left > 0 {
        parts.push(format!("{left} that no allowed change brings to {}", crate::words::walls(report.depth)));
    }
    if sound > 0 {
        parts.push(format!("{sound} not shown: nothing to change (--all)"));
    }
    writeln!(out, "{}", parts.join("; "))?;
    let some_file = report.hardening.files.iter().any(|f| !report.typed.is_typed(&f.path));
    if some_file && !report.wrote {
        writeln!(out, "nothing is written yet: --write writes it, or pipe this to `git apply`")?;
    }
    if !report.plan.assumptions.is_empty() {
        let texts: Vec<&str> = report.plan.assumptions.iter().map(|(text, _)| text.as_str()).collect();
        writeln!(out, "assumed: {}", texts.join("; "))?;
    }
    Ok(())
}

fn plural(n: usize, what: &str) -> String {
    if n == 1 { format!("1 {what}") } else { format!("{n} {what}s") }
}
