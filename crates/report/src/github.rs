//! GitHub's workflow commands: an annotation for each finding and each problem, worst first, because GitHub shows no more than
//! ten of a kind for a step. What the values must not hold: `escapeData` and `escapeProperty` in `actions/toolkit`,
//! packages/core/src/command.ts.

use std::cmp::Reverse;
use std::io::{self, Write};

use confinement::Place;
use techniques::severity::Severity;

use crate::escape::{file, one_line, visible};
use crate::words::{is_certain, sentence, title};
use crate::{Class, Report, words};

struct Annotation<'a> {
    level: &'static str,
    /// For the order only.
    weight: (Severity, bool),
    place: Option<Place>,
    title: String,
    message: String,
    /// Where it stands if it stands in no file.
    subject: Option<&'a str>,
}

pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    for problem in &report.world.problems {
        let place = Place::new(&problem.path, problem.line.unwrap_or(0), problem.column.unwrap_or(0), 0);
        let is_file = file(&problem.path).is_some();
        let message = if is_file { problem.message.clone() } else { words::problem(problem) };
        let weight = (Severity::Critical, true);
        let title = "not judged".into();
        annotation(
            &Annotation { level: "error", weight, place: Some(place), title, message, subject: None },
            &mut out,
        )?;
    }
    let mut list = findings(report);
    // The sort is stable: among equals the order of the report stays.
    list.sort_by_key(|a| Reverse(a.weight));
    for a in &list {
        annotation(a, &mut out)?;
    }
    let counts = report.counts();
    writeln!(out, "{} open, {} held, {} undetermined", counts.open, counts.held, counts.undetermined)?;
    out.flush()
}

fn findings<'a>(report: &Report<'a>) -> Vec<Annotation<'a>> {
    let mut list = Vec::new();
    for (subject, judged) in report.subjects() {
        for (class, finding) in report.findings(judged) {
            let certain = is_certain(report, class, finding);
            let waiver = report.waiver(judged, finding);
            let waived = waiver.map(|w| format!("{}: ", words::waived(w))).unwrap_or_default();
            list.push(Annotation {
                level: if waiver.is_some() { "notice" } else { level(finding.severity, class, certain) },
                weight: if waiver.is_some() { (Severity::Info, false) } else { (finding.severity, certain) },
                place: finding
                    .evidence
                    .iter()
                    .find_map(|e| e.origin.place())
                    .or(subject.place.as_ref())
                    .cloned(),
                title: format!(
                    "{waived}{} [{}]",
                    title(report, &subject.name, class, finding),
                    finding.technique().id
                ),
                message: sentence(report, &subject.name, class, finding),
                subject: Some(&subject.id),
            });
        }
        for standard in report.standards_of(judged.subject) {
            for control in standard.controls.iter().filter(|c| c.result == policy::Verdict::Fail) {
                list.push(Annotation {
                    level: "warning",
                    weight: (Severity::Medium, true),
                    place: control.location.as_ref().or(subject.place.as_ref()).cloned(),
                    title: format!("{}@{} {}", standard.standard, standard.version, control.id),
                    message: format!("{}: {}", words::bearer(subject), control.message),
                    subject: Some(&subject.id),
                });
            }
        }
    }
    list
}

fn level(severity: Severity, class: Class, certain: bool) -> &'static str {
    match severity {
        Severity::Critical | Severity::High if certain => "error",
        Severity::Low | Severity::Info => "notice",
        _ if class == Class::Weakness => "notice",
        _ => "warning",
    }
}

fn annotation(a: &Annotation<'_>, out: &mut dyn Write) -> io::Result<()> {
    write!(out, "::{} ", a.level)?;
    let in_file = a.place.as_ref().and_then(|place| Some((file(&place.path)?, place)));
    if let Some((path, place)) = in_file {
        write!(out, "file={},", property(path))?;
        if place.line > 0 {
            write!(out, "line={},endLine={},", place.line, place.line)?;
        }
        if place.column > 0 {
            write!(out, "col={},", place.column)?;
        }
        if place.column > 0 && place.length > 0 {
            write!(out, "endColumn={},", place.column.saturating_add(place.length))?;
        }
    }
    let of = a.subject.filter(|_| in_file.is_none()).map(|id| format!("{id}: ")).unwrap_or_default();
    writeln!(out, "title={}::{}", property(&one_line(&a.title)), data(&format!("{of}{}", a.message)))
}

fn data(text: &str) -> String {
    visible(text).replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}
