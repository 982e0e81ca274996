//! SARIF 2.1.0 (OASIS), for code scanning. Techniques that occur are the rules, findings are the results, and what could
//! not be read stands among the invocation's notifications. Only what GitHub and the SARIF viewers read is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use confinement::{Place, Problem, Subject};
use policy::{ControlResult, StandardResult, Waiver};
use serde::Serialize;
use serde_json::{Value, json};
use techniques::judge::{Finding, Judged};
use techniques::severity::Severity;
use techniques::technique::Technique;

use crate::escape::{one_line, uri, visible};
use crate::words::{is_certain, sentence};
use crate::{Class, Each, Report, TOOL, io_error, walls, words};

/// Where the published schema of SARIF is found; a name, never fetched.
pub(crate) const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Code scanning takes no more related locations or steps that anyone would read.
const MAX_RELATED: usize = 50;

pub fn write(report: &Report<'_>, out: &mut dyn Write) -> io::Result<()> {
    let mut out = io::BufWriter::with_capacity(1 << 16, out);
    let rules = Rules::of(report);
    let run = Run {
        tool: rules.tool(report),
        taxonomies: rules.taxonomies(),
        invocations: [invocation(&report.world.problems, &report.world.notes)],
        column_kind: "unicodeCodePoints",
        original_uri_base_ids: json!({ "%SRCROOT%": { "description": { "text": "The folder that the audit was run in." } } }),
        results: Each(|| results(report, &rules)),
        properties: json!({
            "targets": report.targets,
            "assumptions": report.judgement.assumptions.iter().map(|(text, _)| text).collect::<Vec<_>>(),
            "notJudged": report.judgement.not_judged.iter().map(|n| n.technique).collect::<Vec<_>>(),
        }),
    };
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run] };
    serde_json::to_writer(&mut out, &log).map_err(io_error)?;
    out.write_all(b"\n")?;
    out.flush()
}

#[derive(Serialize)]
struct Log<R: Serialize> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [R; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<R: Serialize> {
    tool: Value,
    taxonomies: Vec<Value>,
    invocations: [Value; 1],
    column_kind: &'static str,
    original_uri_base_ids: Value,
    results: R,
    properties: Value,
}

/// The rules that occur, in the order of their index.
struct Rules<'a> {
    /// With the worst severity among their findings: the format keeps severity at the rule.
    techniques: BTreeMap<&'static str, (&'static Technique, Severity)>,
    /// Identifier of the rule → the standard and its control.
    controls: BTreeMap<String, (&'a StandardResult, &'a ControlResult)>,
    attack: BTreeSet<&'static str>,
}

impl<'a> Rules<'a> {
    fn of(report: &Report<'a>) -> Rules<'a> {
        let mut rules =
            Rules { techniques: BTreeMap::new(), controls: BTreeMap::new(), attack: BTreeSet::new() };
        for (_, judged) in report.subjects() {
            for (_, finding) in report.findings(judged) {
                let technique = finding.technique();
                let entry = rules.techniques.entry(technique.id).or_insert((technique, finding.severity));
                entry.1 = entry.1.max(finding.severity);
            }
        }
        for (technique, _) in rules.techniques.values() {
            rules.attack.extend(technique.references.attack.iter().map(String::as_str));
        }
        for (_, standard) in report.standards {
            for control in standard.controls.iter().filter(|c| c.result == policy::Verdict::Fail) {
                rules.controls.insert(control_rule(standard, control), (standard, control));
            }
        }
        rules
    }

    fn index(&self, id: &str) -> usize {
        let techniques = || self.techniques.keys().position(|k| *k == id);
        let controls = || self.controls.keys().position(|k| k == id).map(|i| i + self.techniques.len());
        techniques().or_else(controls).unwrap_or_default()
    }

    fn tool(&self, report: &Report<'_>) -> Value {
        let techniques = self.techniques.values().map(|(t, worst)| self.technique(t, *worst));
        let controls = self.controls.iter().map(|(id, (standard, control))| match policy::cis::check(control.id) {
            Some(check) if standard.standard == policy::cis::NAME => cis_rule(id, check),
            _ => json!({
            "id": id,
            "name": pascal_case(control.id),
            "shortDescription": { "text": format!("{} of {}", control.id, standard.standard) },
            "fullDescription": { "text": format!("The control {} of {} in version {}.", control.id, standard.standard, standard.version) },
            "helpUri": "https://kubernetes.io/docs/concepts/security/pod-security-standards/",
            "help": { "text": format!("The Pod Security Standards, {}, version {}.", standard.standard, standard.version) },
            "defaultConfiguration": { "level": "warning" },
            "properties": { "tags": ["security", "container", standard.standard] },
        })});
        let mut driver = json!({
            "name": TOOL,
            "version": report.version,
            "rules": techniques.chain(controls).collect::<Vec<_>>(),
        });
        if !self.attack.is_empty() {
            driver["supportedTaxonomies"] = json!([{ "name": ATTACK, "index": 0 }]);
        }
        json!({ "driver": driver })
    }

    fn technique(&self, technique: &Technique, worst: Severity) -> Value {
        let mut tags = vec!["security".to_owned(), "container".to_owned(), technique.gain.name().to_owned()];
        let references = &technique.references;
        tags.extend(references.attack.iter().map(|id| format!("attack/{id}")));
        tags.extend(references.cis_docker.iter().map(|id| format!("cis-docker/{id}")));
        tags.extend(references.nist_800_190.iter().map(|id| format!("nist-800-190/{id}")));
        // GitHub shows no more than twenty.
        tags.truncate(20);
        let relationships: Vec<Value> = references
            .attack
            .iter()
            .filter_map(|id| {
                let index = self.attack.iter().position(|k| k == id)?;
                Some(json!({
                    "target": { "id": id, "index": index, "toolComponent": { "name": ATTACK, "index": 0 } },
                    "kinds": ["relevant"],
                }))
            })
            .collect();
        let mut rule = json!({
            "id": technique.id,
            "name": pascal_case(technique.id),
            "shortDescription": { "text": technique.title },
            "fullDescription": { "text": technique.explanation.trim() },
            "help": help(technique),
            "defaultConfiguration": { "level": level(worst), "rank": rank(worst) },
            "properties": {
                "tags": tags,
                "precision": "very-high",
                "problem.severity": problem_severity(worst),
                "security-severity": security_severity(worst),
                "gain": technique.gain.name(),
            },
        });
        if !relationships.is_empty() {
            rule["relationships"] = relationships.into();
        }
        if let Some(link) = references.see.iter().find(|s| s.starts_with("https://")) {
            rule["helpUri"] = link.as_str().into();
        }
        rule
    }

    fn taxonomies(&self) -> Vec<Value> {
        if self.attack.is_empty() {
            return Vec::new();
        }
        let taxa: Vec<Value> = self
            .attack
            .iter()
            .map(|id| {
                // A sub-technique's page lies below its technique's.
                json!({ "id": id, "helpUri": format!("https://attack.mitre.org/techniques/{}/", id.replace('.', "/")) })
            })
            .collect();
        vec![json!({
            "name": ATTACK,
            "organization": "MITRE",
            "informationUri": "https://attack.mitre.org/",
            "shortDescription": { "text": "MITRE ATT&CK: tactics and techniques of adversaries" },
            "isComprehensive": false,
            "taxa": taxa,
        })]
    }
}

const ATTACK: &str = "MITRE ATT&CK";

fn control_rule(standard: &StandardResult, control: &ControlResult) -> String {
    let between = if standard.standard == policy::cis::NAME { '-' } else { '/' };
    format!("{}{between}{}", standard.standard, control.id)
}

/// `cis-docker-5.4`: code scanning shows identifiers, and numbers of benchmarks are known by their own.
fn cis_rule(id: &str, check: &policy::cis::Check) -> Value {
    let status = if check.automated { "automated" } else { "manual" };
    let mut tags = vec!["security".to_owned(), "container".to_owned(), policy::cis::NAME.to_owned()];
    tags.extend(check.attack().into_iter().map(|id| format!("attack/{id}")));
    tags.extend(check.nist.iter().map(|id| format!("nist-800-190/{id}")));
    json!({
        "id": id,
        "name": pascal_case(&format!("cis-docker-{}", check.id.replace('.', "-"))),
        "shortDescription": { "text": format!("{} {}", check.id, check.title) },
        "fullDescription": { "text": format!("CIS Docker Benchmark {}, {}: {}.", policy::cis::VERSION, check.id, check.title) },
        "helpUri": "https://www.cisecurity.org/benchmark/docker",
        "help": { "text": format!("Level {}, assessment {status}. To meet it: {}.", check.level, check.remedy) },
        "defaultConfiguration": { "level": "warning" },
        "properties": {
            "tags": tags,
            "level": check.level,
            "assessment": status,
            "techniques": check.techniques().collect::<Vec<_>>(),
        },
    })
}

fn help(technique: &Technique) -> Value {
    let mut text = technique.explanation.trim().to_owned();
    let mut markdown = text.clone();
    if !technique.path.is_empty() {
        text.push_str(&format!("\n\nThe way: {}.", technique.path.join(" -> ")));
        markdown.push_str(&format!("\n\n**The way:** {}", technique.path.join(" → ")));
    }
    if !technique.mitigations.is_empty() {
        text.push_str("\n\nWhat helps:");
        markdown.push_str("\n\n**What helps**\n");
        for mitigation in &technique.mitigations {
            text.push_str(&format!("\n- {mitigation}"));
            markdown.push_str(&format!("\n- {mitigation}"));
        }
    }
    if !technique.references.see.is_empty() {
        text.push_str(&format!("\n\nSee: {}.", technique.references.see.join(", ")));
        markdown.push_str(&format!("\n\n**See** {}", technique.references.see.join(", ")));
    }
    json!({ "text": text, "markdown": markdown })
}

fn results<'a>(report: &'a Report<'_>, rules: &'a Rules<'_>) -> impl Iterator<Item = Value> + 'a {
    report.subjects().flat_map(move |(subject, judged)| {
        let findings = report
            .findings(judged)
            .map(move |(class, f)| finding_result(report, rules, subject, judged, class, f));
        let standards = report.standards_of(judged.subject).flat_map(move |standard| {
            let failed = standard.controls.iter().filter(|c| c.result == policy::Verdict::Fail);
            failed.map(move |control| control_result(rules, subject, standard, control))
        });
        findings.chain(standards)
    })
}

fn finding_result(
    report: &Report<'_>,
    rules: &Rules<'_>,
    subject: &Subject,
    judged: &Judged,
    class: Class,
    finding: &Finding,
) -> Value {
    let technique = finding.technique();
    let certain = is_certain(report, class, finding);
    let mut places: Vec<(&Place, &str)> =
        finding.evidence.iter().filter_map(|e| Some((e.origin.place()?, e.fact.as_str()))).collect();
    places.dedup_by(|a, b| a.0 == b.0);
    // The setting that opens the path is where one would mend it; without one, the subject itself.
    let primary = places.first().map(|(place, _)| *place).or(subject.place.as_ref());
    let related: Vec<Value> = (0..)
        .zip(places.iter().skip(1).take(MAX_RELATED))
        .filter_map(|(id, (place, fact))| {
            let mut location = physical(place)?;
            location["id"] = json!(id);
            location["message"] = message(fact);
            Some(location)
        })
        .collect();
    let mut result = json!({
        "ruleId": technique.id,
        "ruleIndex": rules.index(technique.id),
        // 3.27.9: "open" is a result that wants more information to be decided; it has no level (3.27.10).
        "kind": if certain { "fail" } else { "open" },
        "level": if certain { level(finding.severity) } else { "none" },
        "rank": rank(finding.severity),
        "message": message(&sentence(report, &subject.name, class, finding)),
        "locations": [location(subject, primary)],
        "partialFingerprints": { "stockadeFinding/v1": finding.fingerprint },
        "properties": {
            "class": class.name(),
            "subject": subject.id,
            "techniques": finding.steps.iter().map(|s| s.technique.id).collect::<Vec<_>>(),
            "gain": finding.gain,
            "severity": finding.severity,
            "depth": { "min": walls(finding.depth.min), "max": walls(finding.depth.max) },
            "barriers": finding.barriers,
            "remedies": finding.remedies,
        },
    });
    if !related.is_empty() {
        result["relatedLocations"] = related.into();
    }
    let holding = report.waiver(judged, finding).map(|w| suppression(w, "accepted"));
    // Of a result with a rejected suppression, viewers know that it is not suppressed (3.35.3).
    let ended = report.waived.expired(judged.subject, finding).map(|w| suppression(w, "rejected"));
    if let Some(suppression) = holding.or(ended) {
        result["suppressions"] = json!([suppression]);
    }
    if finding.steps.len() > 1 {
        result["codeFlows"] = json!([{ "threadFlows": [{ "locations": steps(report, finding) }] }]);
    }
    result
}

/// A waiver as SARIF has exceptions (3.35).
fn suppression(waiver: &Waiver, status: &str) -> Value {
    let mut justification = waiver.reason.to_string();
    if let Some(owner) = &waiver.owner {
        justification.push_str(&format!(" (owner: {owner})"));
    }
    if let Some(ticket) = &waiver.ticket {
        justification.push_str(&format!(" (ticket: {ticket})"));
    }
    let mut value = json!({
        "kind": if waiver.is_in_place() { "inSource" } else { "external" },
        "status": status,
        "justification": format!("{justification}; until {}", waiver.until),
        "properties": { "until": waiver.until.to_string(), "owner": waiver.owner, "ticket": waiver.ticket },
    });
    if let Some(location) = physical(&waiver.place) {
        value["location"] = location;
    }
    value
}

/// The steps of a path through several subjects.
fn steps(report: &Report<'_>, finding: &Finding) -> Vec<Value> {
    let steps = finding.steps.iter().take(MAX_RELATED);
    steps
        .filter_map(|step| {
            let subject = report.world.subjects.get(step.subject)?;
            let mut location = location(subject, subject.place.as_ref());
            location["message"] = message(&format!("{}: {}", subject.name, step.technique.title));
            Some(json!({ "location": location, "importance": "essential" }))
        })
        .collect()
}

fn control_result(
    rules: &Rules<'_>,
    subject: &Subject,
    standard: &StandardResult,
    control: &ControlResult,
) -> Value {
    let id = control_rule(standard, control);
    let place = control.location.as_ref().or(subject.place.as_ref());
    json!({
        "ruleId": id,
        "ruleIndex": rules.index(&id),
        "kind": "fail",
        "level": "warning",
        "message": message(&format!("{} does not meet {}: {}", words::bearer(subject), standard.standard, control.message)),
        "locations": [location(subject, place)],
        // Control and subject, which is all that names it.
        "partialFingerprints": { "stockadeControl/v1": format!("{id}#{}", subject.id) },
        "properties": { "subject": subject.id, "standard": standard.standard, "version": standard.version },
    })
}

pub(crate) fn location(subject: &Subject, place: Option<&Place>) -> Value {
    let mut location = place.and_then(physical).unwrap_or_else(|| json!({}));
    location["logicalLocations"] =
        json!([{ "name": one_line(&subject.name), "fullyQualifiedName": subject.id, "kind": "object" }]);
    location
}

fn physical(place: &Place) -> Option<Value> {
    let mut region = json!({ "startLine": place.line.max(1), "startColumn": place.column.max(1) });
    if place.length > 0 {
        region["endColumn"] = place.column.max(1).saturating_add(place.length).into();
    }
    Some(json!({ "physicalLocation": { "artifactLocation": artifact(&place.path)?, "region": region } }))
}

fn artifact(path: &str) -> Option<Value> {
    let uri = uri(path)?;
    Some(match uri.starts_with("file:") {
        true => json!({ "uri": uri }),
        false => json!({ "uri": uri, "uriBaseId": "%SRCROOT%" }),
    })
}

pub(crate) fn invocation(problems: &[Problem], notes: &[Problem]) -> Value {
    let notification = |level: &str, problem: &Problem| {
        let mut value = json!({ "level": level, "message": message(&words::problem(problem)) });
        if let Some(artifact) = artifact(&problem.path) {
            let mut place = json!({ "artifactLocation": artifact });
            if let Some(line) = problem.line {
                place["region"] =
                    json!({ "startLine": line.max(1), "startColumn": problem.column.unwrap_or(1).max(1) });
            }
            value["locations"] = json!([{ "physicalLocation": place }]);
        }
        value
    };
    let errors = problems.iter().map(|p| notification("error", p));
    let notes = notes.iter().map(|p| notification("note", p));
    json!({
        "executionSuccessful": problems.is_empty(),
        "toolExecutionNotifications": errors.chain(notes).collect::<Vec<_>>(),
    })
}

/// A message in plain text. `[text](target)` would be a link (3.11.6), which nobody's name may make.
pub(crate) fn message(text: &str) -> Value {
    let text = visible(text);
    if !text.contains("](") {
        return json!({ "text": text });
    }
    json!({ "text": text.replace('\\', "\\\\").replace('[', "\\[").replace(']', "\\]") })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

fn problem_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "recommendation",
    }
}

/// GitHub's bands: above 9.0 critical, from 7.0 high, from 4.0 medium, above 0 low.
fn security_severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "9.5",
        Severity::High => "8.0",
        Severity::Medium => "5.5",
        Severity::Low => "2.0",
        Severity::Info => "0.1",
    }
}

/// 0 to 100 (3.27.25).
fn rank(severity: Severity) -> f32 {
    match severity {
        Severity::Critical => 95.0,
        Severity::High => 80.0,
        Severity::Medium => 55.0,
        Severity::Low => 20.0,
        Severity::Info => 1.0,
    }
}

fn pascal_case(id: &str) -> String {
    let mut out = String::with_capacity(id.len());
    for part in id.split(|c: char| !c.is_ascii_alphanumeric()) {
        let mut chars = part.chars();
        out.extend(chars.next().map(|c| c.to_ascii_uppercase()));
        out.push_str(chars.as_str());
    }
    out
}
