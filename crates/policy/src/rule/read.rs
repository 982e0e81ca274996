//! A policy file becomes rules. Everything that is wrong in it is told at once.

use std::sync::Arc;

use confinement::{Form, Problem, SubjectKind};
use sources::document::Node;
use techniques::judge::Verdict;
use techniques::technique::{Catalogue, Gain};

use super::rego::{RegoFile, RegoPolicy};
use super::{Condition, Forbid, Images, Mode, Require, Rule, Selector};
use crate::decide::{InPlace, Outcome, Policy};
use crate::doors::Doors;
use crate::pattern::Pattern;
use crate::reading::{ReadError, Reader};
use crate::standard::Standard;

const OUTCOMES: [(&str, Outcome); 3] =
    [("allow", Outcome::Allow), ("warn", Outcome::Warn), ("deny", Outcome::Deny)];
const MODES: [(&str, Mode); 3] = [("enforce", Mode::Enforce), ("warn", Mode::Warn), ("record", Mode::Record)];
const VERDICTS: [(&str, Verdict); 3] =
    [("held", Verdict::Held), ("undetermined", Verdict::Undetermined), ("open", Verdict::Open)];
const GAINS: [(&str, Gain); 9] = [
    ("host-root", Gain::HostRoot),
    ("host-write", Gain::HostWrite),
    ("host-read", Gain::HostRead),
    ("credentials", Gain::Credentials),
    ("other-container", Gain::OtherContainer),
    ("other-traffic", Gain::OtherTraffic),
    ("host-info", Gain::HostInfo),
    ("kernel-surface", Gain::KernelSurface),
    ("denial-of-service", Gain::DenialOfService),
];
const FORMS: [(&str, Form); 11] = [
    ("compose", Form::Compose),
    ("docker-run", Form::DockerRun),
    ("podman-run", Form::PodmanRun),
    ("quadlet", Form::Quadlet),
    ("kubernetes", Form::Kubernetes),
    ("oci", Form::Oci),
    ("dockerfile", Form::Dockerfile),
    ("daemon", Form::Daemon),
    ("docker-live", Form::DockerLive),
    ("podman-live", Form::PodmanLive),
    ("measured", Form::Measured),
];
const KINDS: [(&str, SubjectKind); 5] = [
    ("container", SubjectKind::Container),
    ("workload", SubjectKind::Workload),
    ("engine", SubjectKind::Engine),
    ("image", SubjectKind::Image),
    ("host", SubjectKind::Host),
];
const IN_PLACE: [(&str, InPlace); 3] =
    [("never", InPlace::Never), ("audit", InPlace::Audit), ("everywhere", InPlace::Everywhere)];

/// Rules are tried one after another.
const MAX_RULES: usize = 1000;

/// Gives the files of Rego that a policy names.
pub trait RegoFiles {
    /// Every `.rego` file at or below a path that a policy file names, sorted, tests (`_test.rego`) left out.
    fn rego(&self, path: &str) -> Result<Vec<RegoFile>, String>;
}

/// No files at all, for policies without Rego.
pub struct NoFiles;

impl RegoFiles for NoFiles {
    fn rego(&self, _: &str) -> Result<Vec<RegoFile>, String> {
        Err("files cannot be read from here".into())
    }
}

/// Reads a policy. What can be told of as wrong is told all at once.
pub(crate) fn policy(text: &str, path: &Arc<str>, files: &dyn RegoFiles) -> Result<Policy, ReadError> {
    let mut reader = Reader::default();
    let policy = reader.document(text, path, "a policy").map(|document| {
        let root = &document.root;
        let keys = ["version", "open", "undetermined", "waivers-in-place", "rules", "rego", "doors"];
        reader.keys(root, "a policy", &keys);
        let mut policy = Policy::of_file(path.clone());
        policy.open = reader.word(root, "open", &OUTCOMES).unwrap_or(policy.open);
        policy.undetermined = reader.word(root, "undetermined", &OUTCOMES).unwrap_or(policy.undetermined);
        policy.in_place = reader.word(root, "waivers-in-place", &IN_PLACE).unwrap_or(policy.in_place);
        let items = reader.items(root, "rules");
        if items.len() > MAX_RULES {
            reader.problem(root, format!("a policy has at most {MAX_RULES} rules"));
        }
        for item in items.iter().take(MAX_RULES) {
            let Some(rule) = rule(&mut reader, item) else { continue };
            if let Some(first) = policy.rules.iter().find(|r| r.name == rule.name) {
                let line = first.place.line;
                reader.problem(item, format!("the rule `{}` is there already, in line {line}", rule.name));
            }
            if matches!(&*rule.name, "open" | "undetermined") {
                let message = format!("`{}` names the policy's own decision; choose another name", rule.name);
                reader.problem(item, message);
            }
            policy.rules.push(rule);
        }
        for item in reader.mappings(root, "rego") {
            policy.rego.extend(rego(&mut reader, &item, files));
        }
        if let Some(doors) = reader.value(root, "doors") {
            policy.doors = Doors::read(&mut reader, &doors);
        }
        policy
    });
    reader.finish(policy)
}

fn rule(reader: &mut Reader, node: &Node) -> Option<Rule> {
    let keys = ["name", "mode", "subjects", "except", "require", "forbid", "condition", "message"];
    if !reader.keys(node, "a rule", &keys) {
        return None;
    }
    let before = reader.problems.len();
    let name = reader.needed(node, "name", "the rule", "decisions and waivers name the rule by it");
    let mode = reader.word(node, "mode", &MODES).unwrap_or(Mode::Enforce);
    let subjects = reader.value(node, "subjects").and_then(|n| selector(reader, &n, "subjects"));
    let except = except(reader, node);
    let require = reader.value(node, "require").map(|n| require(reader, &n)).unwrap_or_default();
    let forbid = reader.value(node, "forbid").map(|n| forbid(reader, &n)).unwrap_or_default();
    let condition = reader.text(node, "condition").and_then(|text| {
        Condition::compile(&text.value, &text.place).map_err(|problem| reader.problems.push(problem)).ok()
    });
    let message = reader.text(node, "message").map(|text| text.value);
    let name = name?;
    let rule = Rule {
        name: name.value,
        place: name.place,
        mode,
        subjects,
        except,
        require,
        forbid,
        condition,
        message,
    };
    // What could not be read was told of already.
    if !rule.asks() && reader.problems.len() == before {
        let message =
            format!("the rule `{}` asks nothing: give it `require`, `forbid` or `condition`", rule.name);
        reader.problem(node, message);
    }
    Some(rule)
}

pub(crate) fn except(reader: &mut Reader, node: &Node) -> Vec<Selector> {
    let items = reader.mappings(node, "except");
    items.iter().filter_map(|item| selector(reader, item, "except")).collect()
}

/// Reads a selector; an empty one is an error, as it selects everything and says nothing.
pub(crate) fn selector(reader: &mut Reader, node: &Node, what: &str) -> Option<Selector> {
    let keys = ["namespaces", "labels", "images", "names", "paths", "forms", "kinds"];
    if !reader.keys(node, &format!("`{what}`"), &keys) {
        return None;
    }
    let selector = fields(reader, node);
    if selector.is_empty() {
        let message =
            format!("`{what}` selects nothing in particular; give it {}, or take it out", keys.join(", "));
        reader.problem(node, message);
    }
    Some(selector)
}

/// The fields of a selector that stand in a mapping, among others or alone.
pub(crate) fn fields(reader: &mut Reader, node: &Node) -> Selector {
    let mut labels = Vec::new();
    if let Some(value) = reader.value(node, "labels") {
        if !value.is_mapping() {
            reader.problem(&value, "`labels` must be a mapping of labels to values, `*` for any value");
        }
        for (key, value) in value.entries() {
            let (Some(key), Some(text)) = (key.as_str().map(Box::from), reader.text_of(&value, "labels"))
            else {
                continue;
            };
            labels.push((key, Pattern::new(&*text.value)));
        }
    }
    let mut patterns = |key: &str| {
        let found = reader.patterns(node, key);
        if found.as_ref().is_some_and(Vec::is_empty)
            && let Some(value) = node.get(key)
        {
            reader.problem(&value, format!("`{key}` is an empty list, which matches nothing"));
        }
        found.unwrap_or_default()
    };
    let namespaces = patterns("namespaces");
    let images = patterns("images");
    let names = patterns("names");
    let paths = patterns("paths");
    Selector {
        namespaces,
        labels,
        images,
        names,
        paths,
        forms: reader.words(node, "forms", &FORMS).unwrap_or_default(),
        kinds: reader.words(node, "kinds", &KINDS).unwrap_or_default(),
    }
}

fn require(reader: &mut Reader, node: &Node) -> Require {
    if !reader.keys(node, "`require`", &["verdict", "depth", "standards", "images"]) {
        return Require::default();
    }
    let depth = reader.value(node, "depth").and_then(|value| {
        let depth = value.as_i64().and_then(|n| u8::try_from(n).ok()).filter(|n| (1..=9).contains(n));
        if depth.is_none() {
            reader.problem(&value, "`depth` must be a number of walls from 1 to 9");
        }
        depth
    });
    let mut standards = Vec::new();
    for text in reader.texts(node, "standards").unwrap_or_default() {
        match Standard::parse(&text.value) {
            Ok(standard) => standards.push(standard),
            Err(error) => reader.problems.push(Problem::at(&text.place, error.to_string())),
        }
    }
    let images = reader.value(node, "images").and_then(|value| {
        if !reader.keys(&value, "`images`", &["registries", "digest", "latest"]) {
            return None;
        }
        let images = Images {
            registries: reader.patterns(&value, "registries").unwrap_or_default(),
            digest: reader.boolean(&value, "digest").unwrap_or(false),
            no_latest: !reader.boolean(&value, "latest").unwrap_or(true),
        };
        if images.registries.is_empty() && !images.digest && !images.no_latest {
            reader.problem(
                &value,
                "`images` asks nothing: give it `registries`, `digest: true` or `latest: false`",
            );
        }
        Some(images)
    });
    Require {
        verdict: reader.words(node, "verdict", &VERDICTS).unwrap_or_default(),
        depth,
        standards,
        images,
    }
}

fn forbid(reader: &mut Reader, node: &Node) -> Forbid {
    if !reader.keys(node, "`forbid`", &["techniques", "gains"]) {
        return Forbid::default();
    }
    let mut techniques = Vec::new();
    for text in reader.texts(node, "techniques").unwrap_or_default() {
        let pattern = Pattern::new(&*text.value);
        if let Some(message) = unknown_technique(&pattern) {
            reader.problems.push(Problem::at(&text.place, message));
        }
        techniques.push(pattern);
    }
    Forbid { techniques, gains: reader.words(node, "gains", &GAINS).unwrap_or_default() }
}

/// What to say of a pattern that stands for no technique.
pub(crate) fn unknown_technique(pattern: &Pattern) -> Option<String> {
    let known = Catalogue::get().techniques.iter().any(|t| pattern.matches(t.id));
    let see = "`stockade explain` lists them";
    (!known).then(|| match pattern.as_str().contains('*') {
        true => format!("no technique is called `{pattern}`, so this can never match; {see}"),
        false => format!("there is no technique `{pattern}`; {see}"),
    })
}

fn rego(reader: &mut Reader, node: &Node, files: &dyn RegoFiles) -> Option<RegoPolicy> {
    let (path, mode, subjects, except) = if node.is_scalar() {
        (reader.text_of(node, "rego")?, Mode::Enforce, None, Vec::new())
    } else {
        if !reader.keys(node, "`rego`", &["path", "mode", "subjects", "except"]) {
            return None;
        }
        let path =
            reader.needed(node, "path", "`rego`", "it names a file or folder of Rego beside this file");
        let mode = reader.word(node, "mode", &MODES).unwrap_or(Mode::Enforce);
        let subjects = reader.value(node, "subjects").and_then(|n| selector(reader, &n, "subjects"));
        (path?, mode, subjects, except(reader, node))
    };
    let found = match files.rego(&path.value) {
        Ok(found) if found.is_empty() => Err("there are no .rego files there".to_owned()),
        other => other,
    };
    match found {
        Ok(found) => match RegoPolicy::compile(&path.value, &found, mode, subjects, except) {
            Ok(policy) => Some(policy),
            Err(problems) => {
                reader.problems.extend(problems);
                None
            }
        },
        Err(why) => {
            reader.problems.push(Problem::at(&path.place, format!("{}: {why}", path.value)));
            None
        }
    }
}
