//! Tests of policies, in files beside them (`stockade-policy.test.yaml`): something that can be judged, and what the
//! policy must decide about it.

use std::path::Path;
use std::sync::Arc;

use confinement::{Engine, EngineKind, Place, World};
use jiff::civil::Date;
use sources::document::Node;
use sources::{Context, gather, run};
use techniques::judge::judge;

use crate::decide::{Decision, Outcome, Policy};
use crate::reading::{ReadError, Reader};
use crate::waiver::Waivers;

/// A file of cases.
#[derive(Clone, Debug)]
pub struct Cases {
    /// The policy that is tested, as the file names it; beside the file.
    pub policy: Option<Arc<str>>,
    pub list: Vec<Case>,
}

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: Arc<str>,
    pub place: Place,
    given: Given,
    /// Engines other than the assumed ones.
    assume: Vec<Engine>,
    /// Which of the subjects is meant, by name; without it all of them, and the worst decision counts.
    subject: Option<Arc<str>>,
    waivers: Waivers,
    today: Date,
    expect: Outcome,
    expect_place: Place,
    /// Rules that must be among the reasons or errors.
    rules: Vec<Arc<str>>,
}

#[derive(Clone, Debug)]
enum Given {
    /// A `docker run` or `podman run` line.
    Line(Arc<str>),
    /// A document, of the name that says what it is.
    Document { name: Arc<str>, text: Arc<str> },
    /// A file beside the file of cases.
    File(Arc<str>),
}

/// A case that did not come out as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub place: Place,
    pub message: String,
}

/// Reads a file of cases.
pub fn parse(text: &str, path: &Arc<str>) -> Result<Cases, ReadError> {
    let mut reader = Reader::default();
    let cases = reader.document(text, path, "a file of tests").map(|document| {
        let root = &document.root;
        reader.keys(root, "a file of tests", &["version", "policy", "cases"]);
        let policy = reader.text(root, "policy").map(|t| t.value);
        let items = reader.items(root, "cases");
        if items.is_empty() && reader.problems.is_empty() {
            reader.problem(root, "there are no `cases`: a test without one says nothing");
        }
        let list = items.iter().filter_map(|item| case(&mut reader, item)).collect();
        Cases { policy, list }
    });
    reader.finish(cases)
}

fn case(reader: &mut Reader, node: &Node) -> Option<Case> {
    let keys = ["name", "given", "named", "file", "assume", "subject", "waivers", "today", "expect", "rules"];
    if !reader.keys(node, "a case", &keys) {
        return None;
    }
    let name = reader.needed(node, "name", "the case", "say in a sentence what is so");
    let given = given(reader, node);
    let mut assume = Vec::new();
    for text in reader.texts(node, "assume").unwrap_or_default() {
        match Engine::assumed(&text.value) {
            Some(engine) => assume.push(engine),
            None => {
                let known = confinement::engine::PROFILES.join(", ");
                let message = format!("`{}` is no engine that is known; known are {known}", text.value);
                reader.problems.push(confinement::Problem::at(&text.place, message));
            }
        }
    }
    let subject = reader.text(node, "subject").map(|t| t.value);
    let today = reader.date(node, "today");
    let waivers = reader.text(node, "waivers").map(|text| {
        Waivers::parse(&text.value, &"waivers".into()).unwrap_or_else(|error| {
            reader
                .problems
                .extend(error.problems.iter().map(|p| confinement::Problem::at(&text.place, p.to_string())));
            Waivers::default()
        })
    });
    if waivers.is_some() && today.is_none() {
        reader.problem(
            node,
            "a case with `waivers` has `today`, which they are judged on: `today: 2027-01-01`",
        );
    }
    const OUTCOMES: [(&str, Outcome); 3] =
        [("allow", Outcome::Allow), ("warn", Outcome::Warn), ("deny", Outcome::Deny)];
    if node.get("expect").is_none() {
        reader.problem(node, "the case has no `expect`: write allow, warn or deny");
    }
    let expect = reader.word(node, "expect", &OUTCOMES);
    let rules = reader.texts(node, "rules").unwrap_or_default().into_iter().map(|t| t.value).collect();
    let name = name?;
    Some(Case {
        name: name.value,
        place: name.place,
        given: given?,
        assume,
        subject,
        waivers: waivers.unwrap_or_default(),
        today: today.unwrap_or(Date::ZERO),
        expect: expect?,
        expect_place: node.get("expect").map_or_else(|| node.place(), |n| n.place()),
        rules,
    })
}

fn given(reader: &mut Reader, node: &Node) -> Option<Given> {
    if let Some(file) = reader.text(node, "file") {
        return Some(Given::File(file.value));
    }
    let given = reader.needed(
        node,
        "given",
        "the case",
        "write a `docker run` line or a document, or name a `file`",
    )?;
    let named = reader.text(node, "named").map(|t| t.value);
    let trimmed = given.value.trim_start();
    let is_line = ["docker", "podman", "sudo"].iter().any(|word| trimmed.starts_with(word));
    Some(match named {
        Some(name) => Given::Document { name, text: given.value },
        None if is_line => Given::Line(given.value),
        // Everything that Compose, Kubernetes and OCI write is YAML.
        None => Given::Document { name: "given.yaml".into(), text: given.value },
    })
}

impl Case {
    fn context(&self) -> Context {
        let mut context = Context::assumed();
        for engine in &self.assume {
            let engine = Arc::new(engine.clone());
            match engine.kind {
                EngineKind::Docker => context.docker = engine,
                EngineKind::Podman => context.podman = engine,
                EngineKind::Containerd | EngineKind::Crio => context.kubernetes = engine,
            }
        }
        context
    }

    fn world(&self, folder: &Path) -> World {
        let context = self.context();
        let mut world = match &self.given {
            Given::Line(line) => run::read_line(line, &"given".into(), 1, &context),
            Given::Document { name, text } => gather::text(text.as_bytes(), Path::new(&**name), &context),
            Given::File(file) => gather::paths(&[folder.join(&**file)], &context),
        };
        world.follow_namespaces();
        world
    }

    /// Runs the case; files are named from `folder`.
    pub fn check(&self, policy: &Policy, folder: &Path) -> Result<(), Failure> {
        let fail = |place: &Place, message: String| Err(Failure { place: place.clone(), message });
        let world = self.world(folder);
        if let Some(problem) = world.problems.first() {
            return fail(&self.place, format!("what is given cannot be read: {problem}"));
        }
        let judgement = judge(&world, policy.options());
        let mut decisions: Vec<(Arc<str>, Decision)> = Vec::new();
        for judged in &judgement.subjects {
            let Some(subject) = world.subjects.get(judged.subject) else { continue };
            if self.subject.as_ref().is_none_or(|name| **name == *subject.name) {
                let decision = policy.decide(&world, subject, judged, &self.waivers, self.today);
                decisions.push((subject.name.clone(), decision));
            }
        }
        let Some((name, worst)) = decisions.iter().max_by_key(|(_, d)| d.outcome) else {
            let names: Vec<&str> = world.subjects.iter().map(|s| &*s.name).collect();
            let message = match &self.subject {
                Some(name) => format!("there is no subject `{name}`; there are {}", names.join(", ")),
                None => "what is given holds nothing that can be judged".to_owned(),
            };
            return fail(&self.place, message);
        };
        if worst.outcome != self.expect {
            let why = match worst.outcome {
                Outcome::Allow => format!("{name}: nothing is against it"),
                _ => worst.message(name),
            };
            let message = format!("expected {}, decided {}: {why}", self.expect.name(), worst.outcome.name());
            return fail(&self.expect_place, message);
        }
        let named = |rule: &Arc<str>| {
            decisions.iter().any(|(_, d)| {
                d.reasons.iter().any(|r| r.rule == *rule) || d.errors.iter().any(|e| e.rule == *rule)
            })
        };
        match self.rules.iter().find(|rule| !named(rule)) {
            None => Ok(()),
            Some(rule) => {
                let mut found: Vec<&str> =
                    decisions.iter().flat_map(|(_, d)| &d.reasons).map(|r| &*r.rule).collect();
                found.dedup();
                let found = if found.is_empty() { "none".to_owned() } else { found.join(", ") };
                fail(
                    &self.place,
                    format!("the rule `{rule}` is not among the reasons, which are by: {found}"),
                )
            }
        }
    }
}
