//! The report for a person at a terminal: what is open first, with the line that opens it, the path and the fix;
//! then what hangs on something unknown; then a line for each that is held.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::Arc;

use crate::escape::{one_line, same_length, visible};
use crate::{Report, cis, words};
use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use confinement::{Origin, Place, Subject, World};
use policy::Outcome;
use techniques::barrier::Barriers;
use techniques::condition::Condition;
use techniques::judge::{Evidence, Finding, Judged, Judgement, Verdict};
use techniques::severity::Severity;
use techniques::technique::Catalogue;

/// What to show, and how.
pub struct Options<'a> {
    /// Weaknesses and every further path too.
    pub all: bool,
    pub colour: bool,
    /// Columns of the terminal.
    pub width: usize,
    /// The text of a file that a place names, for the excerpt.
    pub excerpt: &'a dyn Fn(&str) -> Option<Arc<str>>,
}

/// Paths of one subject that are named without their own block before "and N more".
const NAMED_PATHS: usize = 6;
/// Facts shown below a path.
const FACTS: usize = 8;

pub fn write(report: &Report<'_>, options: &Options<'_>, out: &mut dyn Write) -> io::Result<()> {
    let Report { world, judgement, .. } = *report;
    let renderer = if options.colour { Renderer::styled() } else { Renderer::plain() };
    let renderer = renderer.decor_style(DecorStyle::Ascii).term_width(options.width);
    let page = Page { world, options, renderer, report };
    let mut order: Vec<&Judged> = judgement.subjects.iter().collect();
    order.sort_by_key(|j| {
        let worst = j.paths.first().map(|p| p.severity);
        (std::cmp::Reverse(j.verdict), std::cmp::Reverse(worst), page.name(j.subject))
    });
    for judged in order.iter().filter(|j| j.verdict == Verdict::Open) {
        page.open(judged, out)?;
    }
    for judged in order.iter().filter(|j| j.verdict == Verdict::Undetermined) {
        page.undetermined(judged, out)?;
    }
    // With a greater depth asked for, a held subject has findings too.
    for judged in order.iter().filter(|j| j.verdict == Verdict::Held && !j.paths.is_empty()) {
        page.open(judged, out)?;
    }
    for judged in &order {
        let shown = |f: &&Finding| {
            (options.all || f.severity >= Severity::Medium) && report.waiver(judged, f).is_none()
        };
        for finding in judged.lateral.iter().filter(shown) {
            page.block(finding, &[], out)?;
        }
    }
    if options.all {
        for judged in &order {
            page.weaknesses(judged, out)?;
        }
    }
    standards(report, options, out)?;
    cis::write(report, options, out)?;
    page.waived(&order, out)?;
    page.decisions(out)?;
    page.held(&order, out)?;
    page.summary(judgement, out)
}

/// For each pod and standard one line, and one for each control that fails.
fn standards(report: &Report<'_>, options: &Options<'_>, out: &mut dyn Write) -> io::Result<()> {
    let of_pods = || report.standards.iter().filter(|(_, result)| result.standard != policy::cis::NAME);
    for (subject, result) in of_pods() {
        let pass = result.result == policy::Verdict::Pass;
        if pass && !options.all {
            continue;
        }
        let word = if pass { "passes" } else { "fails" };
        let name = report
            .world
            .subjects
            .get(*subject)
            .map_or("?", |s| s.pod.as_ref().map_or(&*s.name, |p| &*p.name));
        writeln!(out, "{} {word} {}@{}", one_line(name), result.standard, result.version)?;
        for control in result.controls.iter().filter(|c| c.result == policy::Verdict::Fail) {
            let at = control
                .location
                .as_ref()
                .map_or(String::new(), |p| format!("{}:{}:{}: ", p.path, p.line, p.column));
            writeln!(out, "{}", apart(&format!("  {at}{}: {}", control.id, control.message)))?;
        }
    }
    if of_pods().next().is_some() {
        let passed = of_pods().filter(|(_, r)| r.result == policy::Verdict::Pass).count();
        writeln!(out, "{passed} of {} pass the standards asked for\n", of_pods().count())?;
    }
    Ok(())
}

struct Page<'a> {
    report: &'a Report<'a>,
    world: &'a World,
    options: &'a Options<'a>,
    renderer: Renderer,
}

impl Page<'_> {
    fn name(&self, subject: usize) -> &str {
        self.world.subjects.get(subject).map_or("?", |s| &s.name)
    }

    fn subject(&self, i: usize) -> Option<&Subject> {
        self.world.subjects.get(i)
    }

    /// An open subject: its worst path in full, the others by name.
    fn open(&self, judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
        let paths = self.not_waived(judged);
        let shown = if self.options.all { paths.len() } else { 1 };
        for (i, finding) in paths.iter().take(shown).enumerate() {
            let more = if i + 1 == shown { paths.get(shown..).unwrap_or_default() } else { &[] };
            self.block(finding, more, out)?;
        }
        Ok(())
    }

    fn undetermined(&self, judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
        let paths = self.not_waived(judged);
        let Some(finding) = paths.first() else { return Ok(()) };
        self.block(finding, paths.get(1..).unwrap_or_default(), out)
    }

    fn not_waived<'j>(&self, judged: &'j Judged) -> Vec<&'j Finding> {
        judged.paths.iter().filter(|f| self.report.waiver(judged, f).is_none()).collect()
    }

    /// A line for each finding that is waived: it is there, somebody answers for it, and until when.
    fn waived(&self, order: &[&Judged], out: &mut dyn Write) -> io::Result<()> {
        let mut any = false;
        for judged in order {
            for (class, finding) in self.report.findings(judged) {
                let Some(waiver) = self.report.waiver(judged, finding) else { continue };
                let what = words::title(self.report, self.name(judged.subject), class, finding);
                let place = &waiver.place;
                let line = format!(
                    "{}: {what} [{}]: {} ({}:{})",
                    words::waived(waiver),
                    finding.technique().id,
                    waiver.reason,
                    place.path,
                    place.line
                );
                writeln!(out, "{}", one_line(&line))?;
                any = true;
            }
        }
        if any { writeln!(out) } else { Ok(()) }
    }

    /// What a policy has against subjects, which no finding above says.
    fn decisions(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut any = false;
        for (subject, decision) in self.report.decisions {
            if decision.outcome > Outcome::Allow {
                writeln!(out, "{}", one_line(&decision.message(self.name(*subject))))?;
                any = true;
            }
        }
        if any { writeln!(out) } else { Ok(()) }
    }

    fn block(&self, finding: &Finding, more: &[&Finding], out: &mut dyn Write) -> io::Result<()> {
        let subject = finding.steps.first().map_or("?", |s| self.name(s.subject));
        let technique = finding.technique();
        let complete = finding.is_complete();
        let possible = finding.depth.min == 0 && !complete;
        let title = if possible {
            format!("whether {subject} {} is not known", finding.gain.says())
        } else {
            match finding.depth.min {
                0 => format!("{subject} {}", finding.gain.says()),
                n => format!("{n} wall{} between {subject} and: {}", plural(n), finding.gain.name()),
            }
        };
        let word = if possible { "undetermined" } else { finding.severity.name() };
        let level = match finding.severity {
            _ if possible => Level::WARNING,
            Severity::Critical | Severity::High => Level::ERROR,
            Severity::Medium => Level::WARNING,
            _ => Level::NOTE,
        };
        let title = format!("{} [{}]", one_line(&title), technique.id);
        let facts: Vec<&Evidence> = finding.evidence.iter().collect();
        let places: Vec<(&Evidence, &Place)> =
            facts.iter().filter_map(|e| e.origin.place().map(|p| (*e, p))).collect();
        let mut files: Vec<(Arc<str>, Arc<str>)> = Vec::new();
        for (_, place) in &places {
            if !files.iter().any(|(path, _)| *path == place.path)
                && let Some(text) = (self.options.excerpt)(&place.path)
            {
                files.push((place.path.clone(), same_length(&text).into()));
            }
        }
        let marked: Vec<Vec<(std::ops::Range<usize>, String)>> =
            files.iter().map(|(path, text)| marks(&places, path, text)).collect();
        let mut group = Group::with_title(level.with_name(word).primary_title(&*title));
        for ((path, text), marks) in files.iter().zip(&marked).filter(|(_, marks)| !marks.is_empty()) {
            let annotations = marks.iter().enumerate().map(|(i, (span, label))| {
                let kind = if i == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                kind.span(span.clone()).label(label.as_str())
            });
            let snippet = Snippet::source(text.as_ref()).path(one_line(path)).fold(true);
            group = group.element(snippet.annotations(annotations.collect::<Vec<_>>()));
        }
        if files.is_empty()
            && let Some(place) =
                finding.steps.first().and_then(|s| self.subject(s.subject)).and_then(|s| s.place.as_ref())
        {
            let line = place.line as usize;
            group = group.element(annotate_snippets::Origin::path(one_line(&place.path)).line(line));
        }
        let because = self.because(&facts);
        let path = self.path_of(finding);
        let fixes: Vec<String> = finding.remedies.iter().take(3).map(|r| r.summary.clone()).collect();
        let mut notes: Vec<String> = Vec::new();
        if !because.is_empty() {
            notes.push(format!("because: {}", because.join("; ")));
        }
        notes.push(format!("path:    {path}"));
        let unknown: Vec<String> =
            facts.iter().filter(|e| e.value.is_unknown()).map(|e| e.fact.clone()).collect();
        if possible {
            notes.push(format!("hangs on: {}", unknown.join("; ")));
        }
        if !fixes.is_empty() {
            notes.push(format!("fix:     {}", fixes.join(", or ")));
        }
        if !more.is_empty() {
            let named: Vec<&str> = more.iter().take(NAMED_PATHS).map(|f| f.technique().id).collect();
            let rest = more.len().saturating_sub(NAMED_PATHS);
            let tail = if rest > 0 { format!(" and {rest} more (--all)") } else { String::new() };
            notes.push(format!("also:    {}{tail}", named.join(", ")));
        }
        // What others wrote may hold line feeds and terminal controls.
        let notes: Vec<String> = notes.iter().map(|note| apart(note)).collect();
        for note in &notes {
            group = group.element(Level::NOTE.no_name().message(note.as_str()));
        }
        writeln!(out, "{}", self.renderer.render(&[group]))?;
        writeln!(out)
    }

    /// Facts without a place in a file, each once.
    fn because(&self, facts: &[&Evidence]) -> Vec<String> {
        let mut said: Vec<String> = Vec::new();
        for e in facts {
            let from = match &e.origin {
                Origin::File(_) => continue,
                _ if e.value.is_unknown() => continue,
                Origin::EngineDefault { engine } => format!(" (default of {engine})"),
                Origin::Measurement { what } => format!(" ({what})"),
                Origin::Assumption { why } => format!(" (assumed: {why})"),
                Origin::Nowhere => String::new(),
            };
            let text = format!("{}{from}", e.fact);
            if !said.contains(&text) {
                said.push(text);
            }
        }
        let rest = said.len().saturating_sub(FACTS);
        if rest > 0 && !self.options.all {
            said.truncate(FACTS);
            said.push(format!("and {rest} more facts (--all)"));
        }
        said
    }

    /// `container -> engine's API -> root on the host`, through other subjects where the path goes there.
    fn path_of(&self, finding: &Finding) -> String {
        let mut words: Vec<String> = Vec::new();
        for (i, step) in finding.steps.iter().enumerate() {
            for (j, word) in step.technique.path.iter().enumerate() {
                let word = if j == 0 { self.name(step.subject).to_owned() } else { word.clone() };
                // A step ends where the next one begins.
                if i > 0 && j == 0 {
                    words.pop();
                }
                words.push(word);
            }
        }
        words.join(" -> ")
    }

    fn weaknesses(&self, judged: &Judged, out: &mut dyn Write) -> io::Result<()> {
        for finding in judged.weaknesses.iter().filter(|f| self.report.waiver(judged, f).is_none()) {
            let technique = finding.technique();
            let place = finding.evidence.iter().find_map(|e| e.origin.place());
            let at = place.map_or(String::new(), |p| format!("{}:{}:{}: ", p.path, p.line, p.column));
            let fix = finding.remedies.first().map_or(String::new(), |r| format!("; fix: {}", r.summary));
            let name = self.name(judged.subject);
            let line =
                format!("{}: {at}{name}: {} [{}]{fix}", finding.severity, technique.title, technique.id);
            writeln!(out, "{}", one_line(&line))?;
        }
        Ok(())
    }

    /// One line for each held subject; equal ones share a line.
    fn held(&self, order: &[&Judged], out: &mut dyn Write) -> io::Result<()> {
        let mut lines: BTreeMap<(u8, String), Vec<&str>> = BTreeMap::new();
        for judged in order.iter().filter(|j| j.verdict == Verdict::Held) {
            lines.entry((judged.depth.min, held_by(judged))).or_default().push(self.name(judged.subject));
        }
        let any = !lines.is_empty();
        for ((_, text), names) in lines {
            let shown = names.iter().take(4).copied().collect::<Vec<_>>().join(", ");
            let rest = names.len().saturating_sub(4);
            let tail = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            writeln!(out, "{}", one_line(&format!("held: {shown}{tail} {text}")))?;
        }
        if any { writeln!(out) } else { Ok(()) }
    }

    fn summary(&self, judgement: &Judgement, out: &mut dyn Write) -> io::Result<()> {
        let count = |v: Verdict| judgement.subjects.iter().filter(|j| j.verdict == v).count();
        let weaknesses: usize = judgement.subjects.iter().map(|j| j.weaknesses.len()).sum();
        let lateral: usize = judgement
            .subjects
            .iter()
            .flat_map(|j| &j.lateral)
            .filter(|f| f.severity < Severity::Medium)
            .count();
        let waived = judgement.subjects.iter().filter(|j| self.report.is_waived(j)).count();
        let waived = if waived > 0 { format!(" ({waived} waived)") } else { String::new() };
        let mut line = format!(
            "{} open{waived}, {} held, {} undetermined",
            count(Verdict::Open),
            count(Verdict::Held),
            count(Verdict::Undetermined)
        );
        let hidden = weaknesses + lateral;
        if hidden > 0 && !self.options.all {
            let word = if hidden == 1 { "weakness" } else { "weaknesses" };
            line.push_str(&format!("; {hidden} {word} not shown (--all)"));
        }
        writeln!(out, "{line}")?;
        let assumed: Vec<String> = judgement
            .assumptions
            .iter()
            .map(|(text, subjects)| match *subjects == judgement.subjects.len() {
                true => text.clone(),
                false => format!("{text} ({subjects} subjects)"),
            })
            .collect();
        if !assumed.is_empty() {
            writeln!(out, "{}", one_line(&format!("assumed: {}", assumed.join("; "))))?;
        }
        not_judged(judgement, out)
    }
}

/// "by 1 wall (mount namespace, or device cgroup); run as a user other than root: 2 walls".
fn held_by(judged: &Judged) -> String {
    let depth = judged.depth.min;
    if judged.cuts.is_empty() {
        return "with no path known".into();
    }
    if judged.cuts.iter().all(|c| c.len() > u32::from(depth)) {
        let see = depth + 1;
        return format!(
            "by {depth} wall{}, through another container (--depth {see} shows how)",
            plural(depth)
        );
    }
    let walls: Vec<String> = judged.cuts.iter().take(4).map(|c| wall_names(*c)).collect();
    let rest = judged.cuts.len().saturating_sub(4);
    let more = if rest > 0 { format!(", or {rest} other sets") } else { String::new() };
    let mut text = format!("by {depth} wall{} ({}{more})", plural(depth), walls.join(", or "));
    if let Some(hint) = judged.hints.first() {
        text.push_str(&format!("; {} for {} walls", hint.advice.summary, hint.depth.min));
    }
    text
}

/// On one line, with the spaces that set its parts apart.
pub(crate) fn apart(text: &str) -> String {
    text.split(['\n', '\t']).map(visible).collect::<Vec<_>>().join(" ")
}

fn wall_names(cut: Barriers) -> String {
    cut.iter().map(|b| b.name()).collect::<Vec<_>>().join(" + ")
}

fn plural(n: u8) -> &'static str {
    if n == 1 { "" } else { "s" }
}

/// What was left out because nothing says whether its premise holds, by what would have to be known.
fn not_judged(judgement: &Judgement, out: &mut dyn Write) -> io::Result<()> {
    let mut flaws = 0;
    let mut reasons: Vec<&str> = Vec::new();
    for left_out in &judgement.not_judged {
        match premise(left_out.technique) {
            Premise::Flaw => flaws += 1,
            Premise::Fact(reason) if !reasons.contains(&reason) => reasons.push(reason),
            Premise::Fact(_) => {}
        }
    }
    let mut left_out: Vec<String> = Vec::new();
    if flaws > 0 {
        left_out.push(format!("{flaws} known flaws of kernel and runtimes"));
    }
    left_out.extend(reasons.iter().map(|reason| format!("what hangs on {reason}")));
    if !left_out.is_empty() {
        writeln!(out, "not judged (give --facts, or audit on the host): {}", left_out.join("; "))?;
    }
    Ok(())
}

/// What a technique that was not judged hangs on.
enum Premise {
    Flaw,
    Fact(&'static str),
}

fn premise(technique: &str) -> Premise {
    let catalogue = Catalogue::get();
    let ids = catalogue.technique(technique).map(|t| t.premise.as_slice()).unwrap_or_default();
    let first = ids.first().and_then(|id| catalogue.conditions.get(usize::from(*id)));
    match first {
        Some(Condition::Flaw(_)) => Premise::Flaw,
        Some(Condition::Grants { .. }) => {
            Premise::Fact("what service accounts may do (give their Roles and bindings too)")
        }
        Some(Condition::CloudMetadata) => Premise::Fact("whether the host is a cloud instance"),
        Some(Condition::Listener { .. } | Condition::EngineTcp { .. }) => {
            Premise::Fact("what listens on the host")
        }
        Some(Condition::KernelOption(_)) => Premise::Fact("how the host's kernel was built"),
        _ => Premise::Fact("the host's accounts and processes"),
    }
}

/// The spans of one file that facts name, each with what they say.
fn marks(places: &[(&Evidence, &Place)], path: &str, text: &str) -> Vec<(std::ops::Range<usize>, String)> {
    let mut marked: Vec<(std::ops::Range<usize>, String)> = Vec::new();
    for (evidence, place) in places.iter().filter(|(_, p)| &*p.path == path) {
        let Some(span) = span(text, place) else { continue };
        match marked.iter().position(|(s, _)| *s == span) {
            Some(i) => {
                let label = &mut marked[i].1;
                let fact = one_line(&evidence.fact);
                if !label.contains(&*fact) {
                    label.push_str("; ");
                    label.push_str(&fact);
                }
            }
            None if marked.len() < FACTS => marked.push((span, one_line(&evidence.fact).into_owned())),
            None => {}
        }
    }
    marked
}

/// The bytes that a place covers.
fn span(text: &str, place: &Place) -> Option<std::ops::Range<usize>> {
    let line_start = if place.line <= 1 {
        0
    } else {
        text.match_indices('\n').nth(place.line as usize - 2).map(|(i, _)| i + 1)?
    };
    let line = text.get(line_start..)?.lines().next().unwrap_or("");
    let from = (place.column as usize).saturating_sub(1);
    let mut offsets = line.char_indices().map(|(i, _)| i).chain([line.len()]);
    let start = offsets.nth(from)?;
    let end = match place.length {
        0 => line.len().min(start + 1),
        n => line
            .char_indices()
            .map(|(i, _)| i)
            .chain([line.len()])
            .nth(from + n as usize)
            .unwrap_or(line.len()),
    };
    (start < end || !line.is_empty()).then_some(line_start + start..line_start + end.max(start))
}
