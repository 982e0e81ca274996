//! Admission without a webhook: what of a policy CEL can say becomes ValidatingAdmissionPolicy objects, which the API
//! server evaluates by itself; what it cannot say stands in a [`Report`]. The rules in force come in, with the engine and
//! the host that the nodes are taken to have; objects for `kubectl apply` go out. [`evaluate`] is the other end: what an
//! API server would decide by them.
//!
//! Each rule becomes a policy and its binding. The verdict is compiled technique by technique: the formulas are the
//! catalogue's, over conditions that are asked of the confinement which an engine makes of each combination of the
//! fields that decide them ([`condition`]).

mod condition;
mod cube;
pub mod evaluate;
mod field;
mod mount;
pub mod object;
pub mod report;
mod select;
mod shape;
mod standard;
mod text;
mod verdict;

use std::collections::BTreeSet;

use policy::rule::{Images, Rule};
use policy::{Mode, Outcome, Standard, pod_security};
use sources::Context;
use techniques::technique::{Catalogue, Technique};

use crate::rules::InForce;
use object::{
    API_VERSION, Action, AdmissionPolicy, BINDING, Binding, BindingSpec, FailurePolicy, Metadata, Object,
    POLICY, PolicySpec, Validation,
};
use report::{Report, Said};
use select::{Selected, selected, with_image_name};
use shape::named;
use standard::{Check, Of};
use text::{all, any, not, quote};
use verdict::{Polarity, Verdicts};

/// Objects to apply, and what they do not say.
#[derive(Debug)]
pub struct Emitted {
    pub objects: Vec<Object>,
    pub report: Report,
}

impl Emitted {
    /// One document an object.
    pub fn yaml(&self) -> Result<String, yaml_serde::Error> {
        let documents: Vec<String> =
            self.objects.iter().map(yaml_serde::to_string).collect::<Result<_, _>>()?;
        Ok(documents.iter().map(|document| format!("---\n{document}")).collect())
    }
}

/// Compiles rules for nodes of the context's engine and host.
pub fn emit(rules: &InForce, context: &Context) -> Emitted {
    let mut emitter = Emitter {
        verdicts: Verdicts::new(context),
        emitted: Emitted { objects: Vec::new(), report: Report::default() },
        names: BTreeSet::new(),
    };
    let policy = &rules.policy;
    emitter.own(policy.open, policy.undetermined);
    emitter.not_judged(policy.doors.kubernetes.not_judged.unwrap_or(Outcome::Deny));
    emitter.doors();
    for rule in &policy.rules {
        emitter.rule(rule, policy.undetermined);
    }
    for rego in &policy.rego {
        emitter.not_said(
            &rego.name,
            "Rego",
            "Rego sees the published confinement, which CEL in an API server does not",
        );
    }
    for waiver in rules.waivers.iter() {
        let why = "CEL in an API server has no clock to end a waiver by, so what it waives is refused";
        emitter.emitted.report.add("waivers", waiver.subject(), Said::Stricter, why);
    }
    emitter.emitted
}

struct Emitter<'c> {
    verdicts: Verdicts<'c>,
    emitted: Emitted,
    names: BTreeSet<String>,
}

/// A policy in the making.
struct Draft<'r> {
    rule: &'r str,
    mode: Mode,
    message: Option<&'r str>,
    /// Over the request.
    request: String,
    variables: Vec<object::Named>,
    validations: Vec<Validation>,
}

impl Emitter<'_> {
    fn not_said(&mut self, rule: &str, what: &str, why: &str) {
        self.emitted.report.add(rule, what, Said::Not, why);
    }

    /// Pods of Windows nodes, which the webhook does not judge.
    fn not_judged(&mut self, outcome: Outcome) {
        const RULE: &str = "doors.kubernetes.not-judged";
        let Some(mode) = mode(outcome) else {
            let why = "standards are asked of pods on Windows too, which the webhook lets in unasked";
            self.emitted.report.add(RULE, "pods on Windows", Said::Stricter, why);
            return;
        };
        self.emitted.report.add(RULE, "pods on Windows", Said::Exactly, "");
        let mut draft = Draft::new(RULE, mode, None, "true", "true");
        let bad = "variables.subjects.size() > 0 && variables.onWindows";
        draft.add(
            bad,
            &quote("the pod"),
            "runs on Windows nodes: its containers cannot be judged",
            "windows",
        );
        self.finish(draft);
    }

    /// What the webhook decides beside the pods of Kubernetes' own kinds.
    fn doors(&mut self) {
        for (what, why) in [
            ("roles and their bindings", "what rights open is judged with a token that has them"),
            ("PersistentVolumes", "they are judged by what they would show a container"),
            ("exec, attach, portforward, proxy", "connections are decided by who asks, in order"),
            ("pod templates in custom resources", "the pods made of them are judged instead"),
            ("claims that end in a folder of the host", "which volume a claim gets stands in other objects"),
        ] {
            self.not_said("doors.kubernetes", what, why);
        }
    }

    /// What the policy does with what is open, and with what may be.
    fn own(&mut self, open: Outcome, undetermined: Outcome) {
        let host = |technique: &Technique| technique.gain.is_host();
        match (mode(open), mode(undetermined)) {
            (Some(open), Some(undetermined)) if open == undetermined => {
                self.verdict("open", open, Polarity::Possible, host);
            }
            (open, undetermined) => {
                if let Some(mode) = open {
                    self.verdict("open", mode, Polarity::Certain, host);
                }
                if let Some(mode) = undetermined {
                    if open.is_none_or(|open| open < mode) {
                        let why = "it is refused what is open for certain, too, which the policy lets in";
                        self.emitted.report.add("undetermined", "what is open", Said::Stricter, why);
                    }
                    self.verdict("undetermined", mode, Polarity::Possible, host);
                }
            }
        }
    }

    fn verdict(&mut self, rule: &str, mode: Mode, polarity: Polarity, which: impl Fn(&Technique) -> bool) {
        let mut draft = Draft::new(rule, mode, None, "true", "true");
        self.techniques(&mut draft, polarity, which);
        self.finish(draft);
    }

    fn rule(&mut self, rule: &Rule, undetermined: Outcome) {
        let (request, container) = match selected(rule.subjects.as_ref(), &rule.except) {
            Selected::Nothing(why) => {
                self.emitted.report.add(&rule.name, "the whole rule", Said::Exactly, why);
                return;
            }
            Selected::Some { request, container } => (request, container),
        };
        let mut draft = Draft::new(&rule.name, rule.mode, rule.message.as_deref(), &request, &container);
        let require = &rule.require;
        for standard in &require.standards {
            match standard {
                Standard::PodSecurity(standard) => {
                    self.emitted.report.add(&rule.name, standard.to_string(), Said::Exactly, "");
                    draft.standard(standard);
                }
                Standard::CisDocker => {
                    let why = "it is about what Docker is asked for, not about pods";
                    self.not_said(&rule.name, &standard.to_string(), why);
                }
            }
        }
        if let Some(images) = &require.images {
            self.emitted.report.add(&rule.name, "images", Said::Exactly, "");
            draft.images(images);
        }
        if !require.verdict.is_empty() {
            use techniques::judge::Verdict;
            let allows = |verdict| require.verdict.contains(&verdict);
            if !allows(Verdict::Held) {
                self.not_said(
                    &rule.name,
                    "require verdict without held",
                    "CEL is compiled against what is open",
                );
            }
            let polarity = match (allows(Verdict::Open), allows(Verdict::Undetermined)) {
                (true, true) => None,
                (false, true) => Some(Polarity::Certain),
                (false, false) => Some(Polarity::Possible),
                (true, false) => {
                    let why = "what is open for certain is refused too, which the rule lets in";
                    self.emitted.report.add(&rule.name, "what is open", Said::Stricter, why);
                    Some(Polarity::Possible)
                }
            };
            if let Some(polarity) = polarity {
                self.techniques(&mut draft, polarity, |t| t.gain.is_host());
            }
        }
        if let Some(depth) = require.depth {
            self.techniques(&mut draft, Polarity::Possible, |t| t.gain.is_host());
            if depth > 1 {
                let what = format!("depth {depth}");
                self.not_said(
                    &rule.name,
                    &what,
                    "walls are not counted in CEL: only what has none left is refused",
                );
            }
        }
        let forbid = &rule.forbid;
        if !forbid.techniques.is_empty() || !forbid.gains.is_empty() {
            let polarity = if undetermined == Outcome::Deny { Polarity::Possible } else { Polarity::Certain };
            let named = |technique: &Technique| {
                forbid.techniques.iter().any(|p| p.matches(technique.id))
                    || forbid.gains.contains(&technique.gain)
            };
            self.techniques(&mut draft, polarity, named);
        }
        if rule.condition.is_some() {
            let why = "it is over the published confinement, which an API server does not have";
            self.not_said(&rule.name, "condition", why);
        }
        self.finish(draft);
    }

    fn techniques(&mut self, draft: &mut Draft<'_>, polarity: Polarity, which: impl Fn(&Technique) -> bool) {
        let catalogue = Catalogue::get();
        let mut found = Vec::new();
        for technique in catalogue.techniques.iter().filter(|t| which(t)) {
            let compiled = self.verdicts.technique(technique, polarity);
            self.emitted.report.add(draft.rule, technique.id, compiled.said, compiled.why);
            if let Some(formula) = compiled.formula.filter(|f| !f.is_never()) {
                found.push((technique, formula));
            }
        }
        // The plainest first: whoever is refused is told the first.
        found.sort_by_key(|(technique, formula)| (technique.gain, formula.size(), technique.id));
        for (technique, formula) in found {
            self.verdicts.variables(&formula, &mut draft.variables);
            draft.technique(technique, &self.verdicts.expression(&formula), polarity);
        }
    }

    fn finish(&mut self, draft: Draft<'_>) {
        if draft.validations.is_empty() {
            return;
        }
        let name = self.name(draft.rule);
        let [policy, binding] = draft.objects(name);
        self.emitted.objects.extend([policy, binding]);
    }

    /// A name that the API server takes for an object (RFC 1123), and that no other has.
    fn name(&mut self, rule: &str) -> String {
        let mut slug: String = rule
            .to_lowercase()
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .take(200)
            .collect();
        slug = slug.trim_matches('-').to_owned();
        let base = if slug.is_empty() { "stockade".to_owned() } else { format!("stockade-{slug}") };
        let mut name = base.clone();
        let mut n = 2;
        while !self.names.insert(name.clone()) {
            name = format!("{base}-{n}");
            n += 1;
        }
        name
    }
}

impl<'r> Draft<'r> {
    fn new(rule: &'r str, mode: Mode, message: Option<&'r str>, request: &str, container: &str) -> Draft<'r> {
        let mut variables = shape::variables();
        let subjects = match container {
            "true" => "variables.judged".to_owned(),
            _ => format!("variables.judged.filter(c, {container})"),
        };
        variables.push(named("subjects", subjects));
        Draft { rule, mode, message, request: request.to_owned(), variables, validations: Vec::new() }
    }

    /// Adds a validation, whose message ends in what refuses it.
    fn add(&mut self, bad: &str, who: &str, what: &str, by: &str) {
        let tail = format!(" ({by}, rule {})", self.rule);
        let say = self.message.map(|say| format!("{say}: ")).unwrap_or_default();
        // A container that has no name is an error of the message alone, and this text is told then.
        let message = one_line(&format!("{say}{what}{tail}"));
        self.validations.push(Validation {
            // On lines of its own, which YAML keeps as they are.
            expression: format!("!(\n{}\n)", bad.replace(" || (", " ||\n(")),
            message,
            message_expression: Some(format!(
                "{}{who} + {}",
                if say.is_empty() { String::new() } else { format!("{} + ", quote(&one_line(&say))) },
                quote(&one_line(&format!(" {what}{tail}")))
            )),
            reason: "Forbidden".to_owned(),
        });
    }

    fn standard(&mut self, standard: &pod_security::Standard) {
        for Check { control, of, must } in standard::checks(standard) {
            let by = format!("{}/{control}", standard.name());
            let (bad, who) = match &of {
                Of::Pod(bad) => (bad.clone(), quote("the pod")),
                Of::Containers(bad) => (
                    format!("variables.containers.exists(c, {bad})"),
                    names("containers", "c", bad, "container"),
                ),
                Of::Volumes(bad) => (
                    format!("variables.spec.?volumes.orValue([]).exists(v, {bad})"),
                    names("spec.?volumes.orValue([])", "v", bad, "volume"),
                ),
            };
            // A standard is about the pod as a whole, as soon as one of its containers is to be judged.
            let bad = all(vec!["variables.subjects.size() > 0".to_owned(), bad]);
            self.add(&bad, &who, &must, &by);
        }
    }

    fn images(&mut self, images: &Images) {
        let mut ask = |bad: &str, what: &str| {
            let who = names("subjects", "c", bad, "container");
            self.add(&format!("variables.subjects.exists(c, {bad})"), &who, what, "images");
        };
        let unknown = "c.?image.orValue('') == ''".to_owned();
        if !images.registries.is_empty() {
            let repository = "(i.matches(':[^/]*$') ? i.substring(0, i.lastIndexOf(':')) : i)";
            let from = images.registries.iter().flat_map(|p| {
                [text::matches(p, "i.substring(0, i.indexOf('/'))"), text::matches(p, repository)]
            });
            let bad = any(vec![unknown.clone(), not(&with_image_name(&any(from.collect())))]);
            let registries: Vec<&str> = images.registries.iter().map(|p| p.as_str()).collect();
            ask(&bad, &format!("must have an image from {}", registries.join(", ")));
        }
        if images.digest {
            ask("!c.?image.orValue('').contains('@')", "must name its image by digest");
        }
        if images.no_latest {
            let latest = with_image_name("!i.matches(':[^/]*$') || i.endsWith(':latest')");
            let bad = any(vec![unknown, all(vec!["!c.?image.orValue('').contains('@')".to_owned(), latest])]);
            ask(&bad, "must not have an image with the tag latest, which moves");
        }
    }

    fn technique(&mut self, technique: &Technique, formula: &str, polarity: Polarity) {
        // What a pod on Windows does is not known here.
        let bad = format!("!variables.onWindows && variables.subjects.exists(c, {formula})");
        let who = names("subjects", "c", formula, "container");
        let may = match polarity {
            Polarity::Certain => "",
            Polarity::Possible => ", or may (what is not known counts)",
        };
        let mitigation = technique.mitigations.first().map(|m| m.trim_end_matches('.').to_owned());
        let mitigation = mitigation.map(|m| format!("; {m}")).unwrap_or_default();
        let what = format!("{}{may}: {}{mitigation}", technique.gain.says(), technique.title);
        self.add(&bad, &who, &what, technique.id);
    }

    fn objects(self, name: String) -> [Object; 2] {
        let mut conditions = vec![shape::not_static()];
        if self.request != "true" {
            conditions.push(named("namespaces", self.request));
        }
        let labels = vec![("app.kubernetes.io/managed-by".to_owned(), "stockade".to_owned())];
        let annotations = vec![("stockade.dev/rule".to_owned(), self.rule.to_owned())];
        let metadata =
            |name: String| Metadata { name, labels: labels.clone(), annotations: annotations.clone() };
        let policy = AdmissionPolicy {
            api_version: API_VERSION.to_owned(),
            kind: POLICY.to_owned(),
            metadata: metadata(name.clone()),
            spec: PolicySpec {
                failure_policy: FailurePolicy::Fail,
                match_constraints: shape::constraints(),
                match_conditions: conditions,
                variables: self.variables,
                validations: self.validations,
            },
        };
        let binding = Binding {
            api_version: API_VERSION.to_owned(),
            kind: BINDING.to_owned(),
            metadata: metadata(name.clone()),
            spec: BindingSpec { policy_name: name, validation_actions: actions(self.mode) },
        };
        [Object::Policy(policy), Object::Binding(binding)]
    }
}

fn mode(outcome: Outcome) -> Option<Mode> {
    match outcome {
        Outcome::Deny => Some(Mode::Enforce),
        Outcome::Warn => Some(Mode::Warn),
        Outcome::Allow => None,
    }
}

/// What is refused or told stands in the audit log of the API server too.
fn actions(mode: Mode) -> Vec<Action> {
    match mode {
        Mode::Enforce => vec![Action::Deny, Action::Audit],
        Mode::Warn => vec![Action::Warn, Action::Audit],
        Mode::Record => vec![Action::Audit],
    }
}

/// The names of those of a list that are meant: `container web`, `container web, sidecar`.
fn names(list: &str, item: &str, bad: &str, word: &str) -> String {
    format!("'{word} ' + variables.{list}.filter({item}, {bad}).map({item}, {item}.name).join(', ')")
}

/// Kubernetes takes no message of several lines.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}
