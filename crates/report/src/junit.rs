//! JUnit's XML, for servers that show test results: a suite for each file or live source, a case for each subject. A
//! finding is a failure; what could not be read or decided is an error. There is no standard: the members written are those that
//! Jenkins, GitLab and the Ant tasks read.

use std::collections::BTreeMap;
use std::io::{self, Write};

use confinement::{Problem, Subject};
use techniques::judge::{Finding, Judged, Verdict};

use crate::escape::markup;
use crate::words::{is_certain, place, sentence, standing, title};
use crate::{Class, Report, words};

/// One case with its outcome.
struct Case<'a> {
    name: &'a str,
    /// File and line, where there are any.
    at: Option<(&'a str, u32)>,
    /// The element's name, its message, its kind, its text.
    outcome: Option<(&'static str, String, String, String)>,
    /// Weaknesses, which fail nothing, and where it stands.
    output: String,
}

pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let suites = suites(report);
    let count = |kind: &str, cases: &[Case<'_>]| {
        cases.iter().filter(|c| c.outcome.as_ref().is_some_and(|o| o.0 == kind)).count()
    };
    let total = |kind: &str| suites.iter().map(|(_, cases)| count(kind, cases)).sum::<usize>();
    let tests: usize = suites.iter().map(|(_, cases)| cases.len()).sum();
    writeln!(out, r#"<?xml version="1.0" encoding="UTF-8"?>"#)?;
    writeln!(
        out,
        r#"<testsuites name="stockade audit" tests="{tests}" failures="{}" errors="{}" time="0">"#,
        total(FAILURE),
        total(ERROR)
    )?;
    for (name, cases) in &suites {
        let name = markup(name);
        writeln!(
            out,
            r#"  <testsuite name="{name}" tests="{}" failures="{}" errors="{}" skipped="0" time="0">"#,
            cases.len(),
            count(FAILURE, cases),
            count(ERROR, cases)
        )?;
        for case in cases {
            write_case(&name, case, &mut out)?;
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")?;
    out.flush()
}

const FAILURE: &str = "failure";
const ERROR: &str = "error";

fn write_case(suite: &str, case: &Case<'_>, out: &mut dyn Write) -> io::Result<()> {
    write!(out, r#"    <testcase classname="{suite}" name="{}""#, markup(case.name))?;
    if let Some((file, line)) = case.at {
        write!(out, r#" file="{}" line="{line}""#, markup(file))?;
    }
    write!(out, r#" time="0">"#)?;
    if let Some((element, message, kind, text)) = &case.outcome {
        let (message, kind) = (markup(message), markup(kind));
        write!(out, "\n      <{element} message=\"{message}\" type=\"{kind}\">{}</{element}>", markup(text))?;
    }
    writeln!(out, "\n      <system-out>{}</system-out>\n    </testcase>", markup(&case.output))
}

/// Suites in the order in which their first subject or problem comes.
fn suites<'a>(report: &Report<'a>) -> Vec<(&'a str, Vec<Case<'a>>)> {
    let mut index: BTreeMap<&str, usize> = BTreeMap::new();
    let mut suites: Vec<(&str, Vec<Case<'_>>)> = Vec::new();
    let subjects = report.subjects().map(|(s, j)| (source(s), subject_case(report, s, j)));
    let problems = report.world.problems.iter().map(|p| (words::source(&p.path), problem_case(p)));
    for (name, case) in subjects.chain(problems) {
        let at = *index.entry(name).or_insert(suites.len());
        if at == suites.len() {
            suites.push((name, Vec::new()));
        }
        if let Some((_, cases)) = suites.get_mut(at) {
            cases.push(case);
        }
    }
    suites
}

/// The file a subject stands in, or the live source before its name.
fn source(subject: &Subject) -> &str {
    match &subject.place {
        Some(place) => &place.path,
        None => subject.id.split_once([':', '#']).map_or(&*subject.id, |(source, _)| source),
    }
}

fn subject_case<'a>(report: &Report<'a>, subject: &'a Subject, judged: &'a Judged) -> Case<'a> {
    let findings: Vec<(Class, &Finding)> = report.findings(judged).collect();
    let (waived, findings): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|(_, f)| report.waiver(judged, f).is_some());
    let (weak, weighty): (Vec<_>, Vec<_>) =
        findings.into_iter().partition(|(class, _)| *class == Class::Weakness);
    let certain = weighty.iter().find(|(class, f)| is_certain(report, *class, f));
    let mut lines: Vec<String> = weighty.iter().map(|(c, f)| line(report, subject, *c, f)).collect();
    let mut broken: Vec<String> = Vec::new();
    for standard in report.standards_of(judged.subject) {
        for control in standard.controls.iter().filter(|c| c.result == policy::Verdict::Fail) {
            let at = control.location.as_ref().map(|l| format!("{}: ", place(l))).unwrap_or_default();
            broken.push(format!("{at}{}/{}: {}", standard.standard, control.id, control.message));
        }
    }
    let first = certain.or(weighty.first());
    let outcome = match first {
        Some((class, finding)) if certain.is_some() || judged.verdict != Verdict::Undetermined => {
            Some((FAILURE, title(report, &subject.name, *class, finding), finding.technique().id.to_owned()))
        }
        _ if !broken.is_empty() => {
            let message = format!("{} does not meet {}", subject.name, names_of(report, judged.subject));
            Some((FAILURE, message, "standard".to_owned()))
        }
        Some((class, finding)) => {
            Some((ERROR, title(report, &subject.name, *class, finding), "undetermined".to_owned()))
        }
        None if judged.verdict == Verdict::Undetermined => {
            Some((ERROR, format!("{} is undetermined", subject.name), "undetermined".to_owned()))
        }
        None => None,
    };
    lines.extend(broken);
    let mut output = format!("{}: {}", subject.name, standing(judged));
    for (class, finding) in waived {
        let waiver = report.waiver(judged, finding);
        let words = waiver.map(|w| format!("\n{}: {}: ", words::waived(w), w.reason));
        output.push_str(&words.unwrap_or_default());
        output.push_str(&line(report, subject, class, finding));
    }
    for (class, finding) in weak {
        output.push('\n');
        output.push_str(&line(report, subject, class, finding));
    }
    Case {
        name: &subject.name,
        at: subject.place.as_ref().map(|p| (&*p.path, p.line)),
        outcome: outcome.map(|(element, message, kind)| (element, message, kind, lines.join("\n"))),
        output,
    }
}

/// The standards that a subject does not meet.
fn names_of(report: &Report<'_>, subject: usize) -> String {
    let failed = report.standards_of(subject).filter(|s| s.result == policy::Verdict::Fail);
    failed.map(|s| format!("{}@{}", s.standard, s.version)).collect::<Vec<_>>().join(", ")
}

fn line(report: &Report<'_>, subject: &Subject, class: Class, finding: &Finding) -> String {
    let at = finding.evidence.iter().find_map(|e| e.origin.place()).or(subject.place.as_ref());
    let at = at.map(|p| format!("{}: ", place(p))).unwrap_or_default();
    let severity = finding.severity;
    format!(
        "{at}{severity}: {} [{}]",
        sentence(report, &subject.name, class, finding),
        finding.technique().id
    )
}

fn problem_case(problem: &Problem) -> Case<'_> {
    Case {
        name: "is read",
        at: problem.line.map(|line| (&*problem.path, line)),
        outcome: Some((ERROR, problem.message.clone(), "unreadable".into(), words::problem(problem))),
        output: String::new(),
    }
}
