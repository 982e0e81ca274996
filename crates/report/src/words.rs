//! The same thing said in the same words by every format that people read.

use confinement::{Origin, Place, Problem};
use policy::Waiver;
use techniques::barrier::Barriers;
use techniques::judge::{Evidence, Finding, Judged, Verdict};

use crate::{Class, Report};

/// Facts shown in a sentence; a page shows all.
const FACTS: usize = 4;

/// Whether a finding stands for certain: for a path, fewer walls stand than the threshold even if every unknown is one.
pub(crate) fn is_certain(report: &Report<'_>, class: Class, finding: &Finding) -> bool {
    match class {
        Class::Weakness => finding.depth.max == 0,
        Class::Path | Class::Lateral => finding.depth.max < report.threshold.max(1),
    }
}

/// "deploy-bot can become root on the host".
pub(crate) fn title(report: &Report<'_>, subject: &str, class: Class, finding: &Finding) -> String {
    let says = finding.gain.says();
    match (class, finding.depth.min) {
        (Class::Weakness, _) => format!("{subject} {says}"),
        (_, 0) if !is_certain(report, class, finding) => format!("whether {subject} {says} is not known"),
        (_, 0) => format!("{subject} {says}"),
        (_, n) => format!("{subject} {says} when {} fall{}", walls(n), if n == 1 { "s" } else { "" }),
    }
}

/// The finding in one sentence for formats that have no more room: what, by which way, because of what, and what to do.
pub(crate) fn sentence(report: &Report<'_>, subject: &str, class: Class, finding: &Finding) -> String {
    let mut text = title(report, subject, class, finding);
    text.push_str(&format!(": {}", path(report, finding).join(" -> ")));
    if !finding.barriers.is_empty() {
        text.push_str(&format!(". What stands: {}", names(finding.barriers)));
    }
    let (unknown, known): (Vec<&Evidence>, Vec<&Evidence>) =
        finding.evidence.iter().partition(|e| e.value.is_unknown());
    for (word, facts) in [("Because", known), ("Hangs on", unknown)] {
        let mut said: Vec<String> = Vec::new();
        for fact in facts.into_iter().map(fact) {
            if !said.contains(&fact) {
                said.push(fact);
            }
        }
        let rest = said.len().saturating_sub(FACTS);
        said.truncate(FACTS);
        if !said.is_empty() {
            let tail = if rest > 0 { format!("; and {rest} more facts") } else { String::new() };
            text.push_str(&format!(". {word}: {}{tail}", said.join("; ")));
        }
    }
    if let Some(remedy) = finding.remedies.first() {
        text.push_str(&format!(". Fix: {}", remedy.summary));
    }
    text.push('.');
    text
}

/// A fact with where it comes from, unless that is a file, whose place is shown apart.
fn fact(evidence: &Evidence) -> String {
    match &evidence.origin {
        Origin::File(_) | Origin::Nowhere => evidence.fact.clone(),
        other => format!("{} ({})", evidence.fact, origin(other)),
    }
}

/// "compose.yaml:14:9", "default of docker-29".
pub(crate) fn origin(origin: &Origin) -> String {
    match origin {
        Origin::File(at) => place(at),
        Origin::EngineDefault { engine } => format!("default of {engine}"),
        Origin::Measurement { what } => what.to_string(),
        Origin::Assumption { why } => format!("assumed: {why}"),
        Origin::Nowhere => "not said anywhere".into(),
    }
}

pub(crate) fn place(place: &Place) -> String {
    format!("{}:{}:{}", place.path, place.line, place.column)
}

/// "broken.yaml:3:7: a mapping value is not allowed here", "docker: permission denied".
pub(crate) fn problem(problem: &Problem) -> String {
    match problem.line {
        Some(_) => problem.to_string(),
        None => format!("{}: {}", source(&problem.path), problem.message),
    }
}

/// A file's path, or the name of a live source without the colon that targets end with.
pub(crate) fn source(path: &str) -> &str {
    path.strip_suffix(':').filter(|name| !name.is_empty()).unwrap_or(path)
}

/// The path step by step: the subject, what it reaches on the way, and at last the gain.
pub(crate) fn path<'a>(report: &Report<'a>, finding: &'a Finding) -> Vec<&'a str> {
    let mut words: Vec<&str> = Vec::new();
    for (i, step) in finding.steps.iter().enumerate() {
        // A step ends where the next one begins.
        if i > 0 {
            words.pop();
        }
        words.push(report.subject_name(step.subject));
        words.extend(step.technique.path.iter().skip(1).map(String::as_str));
    }
    words
}

/// "open", "held by 2 walls (mount namespace + identity)", "held; no path is known".
pub(crate) fn standing(judged: &Judged) -> String {
    match judged.verdict {
        Verdict::Open => "open".into(),
        Verdict::Undetermined => "undetermined".into(),
        Verdict::Held if judged.depth.min == u8::MAX => "held; no path is known".into(),
        Verdict::Held => {
            let sets: Vec<String> = judged.cuts.iter().take(3).map(|cut| names(*cut)).collect();
            let rest = judged.cuts.len().saturating_sub(3);
            let tail = if rest > 0 { format!(", or {rest} other sets") } else { String::new() };
            let which =
                if sets.is_empty() { String::new() } else { format!(" ({}{tail})", sets.join(", or ")) };
            format!("held by {}{which}", walls(judged.depth.min))
        }
    }
}

pub(crate) fn walls(n: u8) -> String {
    format!("{n} wall{}", if n == 1 { "" } else { "s" })
}

pub(crate) fn names(barriers: Barriers) -> String {
    barriers.iter().map(|b| b.name()).collect::<Vec<_>>().join(" + ")
}

/// "waived until 2027-01-31 by ops (OPS-12)".
pub(crate) fn waived(waiver: &Waiver) -> String {
    let mut text = format!("waived until {}", waiver.until);
    if let Some(owner) = &waiver.owner {
        text.push_str(&format!(" by {owner}"));
    }
    if let Some(ticket) = &waiver.ticket {
        text.push_str(&format!(" ({ticket})"));
    }
    text
}

/// Who a standard's result is about: a host is judged by what its engine gives a container, and is itself what a
/// standard means.
pub(crate) fn bearer(subject: &confinement::Subject) -> &str {
    if subject.kind == confinement::SubjectKind::Host { &subject.id } else { &subject.name }
}
