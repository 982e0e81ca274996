//! One HTML file that needs nothing else: summary, the picture of paths, every subject with its findings, their evidence and
//! remedies, and the techniques found. Its content security policy lets in only the style and the script that are
//! written here, by their hashes, so that even text which slipped past the escaper could not run or fetch anything.
//!
//! The page is made by `templates/page.html`; this module only chooses what goes where, and what does not fit.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use askama::Template;
use base64::Engine as _;
use confinement::Subject;
use policy::Waiver;
use sha2::{Digest, Sha256};
use techniques::judge::{Evidence, Finding, Judged, NotJudged, Verdict};
use techniques::remedy::Advice;
use techniques::severity::Severity;
use techniques::technique::Technique;

use crate::picture::{Picture, picture};
use crate::words::{self, origin, place, standing, title};
use crate::{Class, Counts, Report, every_finding};

const STYLE: &str = include_str!("../templates/style.css");
const SCRIPT: &str = include_str!("../templates/script.js");

/// Cards on a page. A browser stays quick with these, worst first; what is left out is said on the page.
const CARDS: usize = 500;
/// Findings of a card that are shown in full, paths first; the rest have a line each.
const FULL: usize = 5;
/// Facts of one finding, and problems and notes of a page.
const FACTS: usize = 60;
const PROBLEMS: usize = 200;
/// Paths of a card that are unfolded when it is.
const UNFOLDED: usize = 1;

pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    page(report).write_into(&mut out)?;
    out.flush()
}

#[derive(Template)]
#[template(path = "page.html")]
struct Page<'a> {
    version: &'a str,
    targets: &'a [String],
    threshold: u8,
    style: &'static str,
    script: &'static str,
    style_hash: String,
    script_hash: String,
    counts: Counts,
    tiles: Vec<Tile>,
    severities: Vec<(&'static str, usize)>,
    problems: Vec<String>,
    problems_left_out: usize,
    picture: Option<Picture>,
    kinds: BTreeSet<&'static str>,
    cards: Vec<Card<'a>>,
    left_out: Vec<String>,
    techniques: Vec<TechniqueEntry>,
    assumptions: &'a [(String, usize)],
    not_judged: &'a [NotJudged],
    notes: Vec<String>,
}

struct Tile {
    class: &'static str,
    /// The value that the filter is set to.
    value: &'static str,
    name: &'static str,
    hint: &'static str,
    number: usize,
}

struct Card<'a> {
    /// In the world's subjects; the anchor of the card.
    index: usize,
    id: &'a str,
    name: &'a str,
    kind: &'static str,
    verdict: &'static str,
    /// The worst finding's severity, `info` without one.
    severity: &'static str,
    /// The same, where it is worth a badge.
    worst: Option<&'static str>,
    says: String,
    place: String,
    /// What the text filter looks through, in lower case.
    search: String,
    unfolded: bool,
    undecided: Vec<String>,
    /// Paths and reach to others: the worst in full, the others briefly.
    findings: Vec<Entry<'a>>,
    more: Vec<Brief<'a>>,
    weaknesses: Vec<Brief<'a>>,
    /// Summary, cost, and how many walls there are then.
    hints: Vec<(&'a str, u8, String)>,
    standards: Vec<StandardEntry<'a>>,
}

struct Entry<'a> {
    severity: &'static str,
    title: String,
    /// The technique that is said beside it.
    by: &'a str,
    path: Vec<&'a str>,
    /// Identifier and title.
    techniques: Vec<(&'static str, &'a str)>,
    walls: String,
    reaches: String,
    evidence: Vec<Fact<'a>>,
    facts_left_out: usize,
    remedies: &'a [Advice],
    fingerprint: &'a str,
    /// Who accepts it, until when, and why.
    waiver: Option<String>,
    unfolded: bool,
}

/// A finding on one line.
struct Brief<'a> {
    severity: &'static str,
    technique: &'static Technique,
    says: String,
    /// Its first fact that is in a file, or its first.
    fact: Option<Fact<'a>>,
    remedy: &'a str,
}

struct Fact<'a> {
    condition: String,
    value: &'static str,
    fact: &'a str,
    origin: String,
    in_file: bool,
}

struct StandardEntry<'a> {
    name: String,
    result: &'static str,
    /// Control, message, place.
    failed: Vec<(&'a str, &'a str, String)>,
}

struct TechniqueEntry {
    id: &'static str,
    title: &'static str,
    gain: &'static str,
    explanation: &'static str,
    mitigations: &'static [String],
    sensor: &'static [String],
    references: String,
}

fn page<'a>(report: &Report<'a>) -> Page<'a> {
    let counts = report.counts();
    let mut order: Vec<(&Subject, &Judged)> = report.subjects().collect();
    // Worst first; the sort is stable.
    order.sort_by_key(|(_, j)| (Reverse(j.verdict), Reverse(worst(j)), j.depth.min));
    let rest = order.split_off(CARDS.min(order.len()));
    let shown: BTreeSet<usize> = order.iter().map(|(_, j)| j.subject).collect();
    let mut severities: BTreeMap<Severity, usize> = BTreeMap::new();
    for (_, finding) in report.judgement.subjects.iter().flat_map(every_finding) {
        *severities.entry(finding.severity).or_default() += 1;
    }
    let problems = &report.world.problems;
    Page {
        version: report.version,
        targets: report.targets,
        threshold: report.threshold,
        style: STYLE,
        script: SCRIPT,
        style_hash: hash(STYLE),
        script_hash: hash(SCRIPT),
        counts,
        tiles: tiles(counts),
        severities: [Severity::Critical, Severity::High, Severity::Medium, Severity::Low]
            .map(|s| (s.name(), severities.get(&s).copied().unwrap_or(0)))
            .to_vec(),
        problems: problems.iter().take(PROBLEMS).map(words::problem).collect(),
        problems_left_out: problems.len().saturating_sub(PROBLEMS),
        picture: picture(report, &|subject| shown.contains(&subject)),
        kinds: order.iter().map(|(s, _)| kind(s)).collect(),
        cards: order.iter().map(|(s, j)| card(report, s, j)).collect(),
        left_out: left_out(&rest),
        techniques: techniques(report),
        assumptions: &report.judgement.assumptions,
        not_judged: &report.judgement.not_judged,
        notes: report.world.notes.iter().take(PROBLEMS).map(words::problem).collect(),
    }
}

/// Text with `code` in it, in parts, and whether each is code.
fn parts(text: &str) -> impl Iterator<Item = (bool, &str)> {
    // Without its second mark a mark is a character like others.
    let whole = text.matches('`').count() % 2 == 1;
    let mut pieces = if whole { vec![text] } else { text.split('`').collect() }.into_iter();
    let mut code = true;
    std::iter::from_fn(move || {
        code = !code;
        pieces.next().map(|piece| (code, piece))
    })
}

fn hash(text: &str) -> String {
    base64::engine::general_purpose::STANDARD.encode(Sha256::digest(text.as_bytes()))
}

fn tiles(counts: Counts) -> Vec<Tile> {
    let class = |name, number| if number == 0 { "zero" } else { name };
    vec![
        Tile { class: "all", value: "", name: "subjects", hint: "judged", number: counts.subjects },
        Tile {
            class: class("open", counts.open),
            value: "open",
            name: "open",
            hint: "a complete path to the host",
            number: counts.open,
        },
        Tile {
            class: class("undetermined", counts.undetermined),
            value: "undetermined",
            name: "undetermined",
            hint: "an unknown fact decides",
            number: counts.undetermined,
        },
        Tile {
            class: class("held", counts.held),
            value: "held",
            name: "held",
            hint: "at least one wall stands",
            number: counts.held,
        },
    ]
}

/// What the page has no card for, by verdict.
fn left_out(rest: &[(&Subject, &Judged)]) -> Vec<String> {
    if rest.is_empty() {
        return Vec::new();
    }
    let of = |verdict: Verdict| rest.iter().filter(|(_, j)| j.verdict == verdict).count();
    let parts: Vec<String> = [Verdict::Open, Verdict::Undetermined, Verdict::Held]
        .into_iter()
        .map(|v| (of(v), v.name()))
        .filter(|(number, _)| *number > 0)
        .map(|(number, name)| format!("{number} {name}"))
        .collect();
    vec![format!(
        "This page lists the {CARDS} worst subjects. Left out: {}. They are counted above, and the JSON report (--format json) holds every one.",
        parts.join(", ")
    )]
}

fn worst(judged: &Judged) -> Option<Severity> {
    every_finding(judged).map(|(_, f)| f.severity).max()
}

fn kind(subject: &Subject) -> &'static str {
    use confinement::SubjectKind::{Container, Engine, Host, Image, Workload};
    match subject.kind {
        Container => "container",
        Workload => "workload",
        Engine => "engine",
        Image => "image",
        Host => "host",
    }
}

fn card<'a>(report: &Report<'a>, subject: &'a Subject, judged: &'a Judged) -> Card<'a> {
    let severity = worst(judged);
    let paths = judged.paths.iter().map(|f| (Class::Path, f));
    let paths: Vec<_> = paths.chain(judged.lateral.iter().map(|f| (Class::Lateral, f))).collect();
    let at = subject.place.as_ref().map(place).unwrap_or_default();
    let mut search = format!("{} {} {at}", subject.name, subject.id);
    for step in every_finding(judged).flat_map(|(_, f)| &f.steps) {
        search.push_str(&format!(" {} {}", step.technique.id, step.technique.title));
    }
    for standard in report.standards_of(judged.subject) {
        search.push_str(&format!(" {}", standard.standard));
    }
    Card {
        index: judged.subject,
        id: &subject.id,
        name: &subject.name,
        kind: kind(subject),
        verdict: judged.verdict.name(),
        severity: severity.unwrap_or(Severity::Info).name(),
        worst: severity.filter(|_| judged.verdict != Verdict::Held).map(Severity::name),
        says: says(report, judged),
        place: at,
        search: search.to_lowercase(),
        unfolded: false,
        undecided: judged
            .undecided
            .iter()
            .map(|e| format!("{} ({})", e.fact, report.condition(e.condition)))
            .collect(),
        findings: paths
            .iter()
            .take(FULL)
            .enumerate()
            .map(|(i, (class, f))| entry(report, subject, *class, f, report.waiver(judged, f), i < UNFOLDED))
            .collect(),
        more: paths.iter().skip(FULL).map(|(class, f)| brief(report, *class, f)).collect(),
        weaknesses: judged.weaknesses.iter().map(|f| brief(report, Class::Weakness, f)).collect(),
        hints: judged
            .hints
            .iter()
            .map(|h| (h.advice.summary.as_str(), h.advice.cost, words::walls(h.depth.min)))
            .collect(),
        standards: report.standards_of(judged.subject).map(standard).collect(),
    }
}

/// The line beside the name: the worst of an open subject, the walls of a held one.
fn says(report: &Report<'_>, judged: &Judged) -> String {
    match (judged.verdict, judged.paths.first()) {
        (Verdict::Held, _) | (_, None) => standing(judged),
        (Verdict::Open, Some(path)) => path.gain.says().to_owned(),
        (Verdict::Undetermined, Some(path)) => title(report, "it", Class::Path, path),
    }
}

fn entry<'a>(
    report: &Report<'a>,
    subject: &'a Subject,
    class: Class,
    finding: &'a Finding,
    waiver: Option<&Waiver>,
    unfolded: bool,
) -> Entry<'a> {
    let depth = finding.depth;
    let walls = match (depth.min, depth.max) {
        (_, 0) => "none stands".to_owned(),
        (least, most) if least == most => {
            format!("{} stand: {}", words::walls(most), words::names(finding.barriers))
        }
        (least, most) if finding.barriers.is_empty() => {
            format!("{least} to {most}, by facts that are not known")
        }
        (least, most) => {
            format!("{least} to {most}, by facts that are not known: {}", words::names(finding.barriers))
        }
    };
    let reached: Vec<&str> = finding.reaches.iter().take(8).map(|i| report.subject_name(*i)).collect();
    let more = finding.reaches.len().saturating_sub(reached.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    Entry {
        severity: finding.severity.name(),
        title: title(report, &subject.name, class, finding),
        by: &finding.technique().title,
        path: words::path(report, finding),
        techniques: finding.steps.iter().map(|s| (s.technique.id, s.technique.title.as_str())).collect(),
        walls,
        reaches: reached.join(", ") + &tail,
        evidence: finding.evidence.iter().take(FACTS).map(|e| fact(report, e)).collect(),
        facts_left_out: finding.evidence.len().saturating_sub(FACTS),
        remedies: &finding.remedies,
        fingerprint: &finding.fingerprint,
        waiver: waiver.map(|w| format!("{}: {}", words::waived(w), w.reason)),
        // What somebody answers for already is not what one looks at first.
        unfolded: unfolded && waiver.is_none(),
    }
}

fn brief<'a>(report: &Report<'a>, class: Class, finding: &'a Finding) -> Brief<'a> {
    let in_file = finding.evidence.iter().find(|e| e.origin.place().is_some());
    Brief {
        severity: finding.severity.name(),
        technique: finding.technique(),
        says: title(report, "it", class, finding),
        fact: in_file.or(finding.evidence.first()).map(|e| fact(report, e)),
        remedy: finding.remedies.first().map(|r| r.summary.as_str()).unwrap_or_default(),
    }
}

fn fact<'a>(report: &Report<'a>, evidence: &'a Evidence) -> Fact<'a> {
    use confinement::Truth::{False, True, Unknown};
    Fact {
        condition: report.condition(evidence.condition),
        value: match evidence.value {
            True => "true",
            False => "false",
            Unknown => "unknown",
        },
        fact: &evidence.fact,
        origin: origin(&evidence.origin),
        in_file: evidence.origin.place().is_some(),
    }
}

fn standard(result: &policy::StandardResult) -> StandardEntry<'_> {
    let failed = result.controls.iter().filter(|c| c.result == policy::Verdict::Fail);
    StandardEntry {
        name: format!("{}@{}", result.standard, result.version),
        result: if result.result == policy::Verdict::Fail { "fails" } else { "passes" },
        failed: failed
            .map(|c| (c.id, c.message.as_str(), c.location.as_ref().map(place).unwrap_or_default()))
            .collect(),
    }
}

/// Every technique that occurs, once.
fn techniques(report: &Report<'_>) -> Vec<TechniqueEntry> {
    let mut found: BTreeMap<&'static str, &'static Technique> = BTreeMap::new();
    for (_, finding) in report.judgement.subjects.iter().flat_map(every_finding) {
        for step in &finding.steps {
            found.insert(step.technique.id, step.technique);
        }
    }
    let mut list: Vec<&'static Technique> = found.into_values().collect();
    list.sort_by_key(|t| (t.gain, t.id));
    list.into_iter()
        .map(|t| {
            let r = &t.references;
            let groups =
                [("ATT&CK", &r.attack), ("CIS Docker", &r.cis_docker), ("NIST SP 800-190", &r.nist_800_190)];
            let mut references: Vec<String> = groups
                .into_iter()
                .filter(|(_, list)| !list.is_empty())
                .map(|(name, list)| format!("{name} {}", list.join(", ")))
                .collect();
            references.extend(r.see.iter().cloned());
            TechniqueEntry {
                id: t.id,
                title: &t.title,
                gain: t.gain.name(),
                explanation: &t.explanation,
                mitigations: &t.mitigations,
                sensor: &t.sensor,
                references: references.join("; "),
            }
        })
        .collect()
}
