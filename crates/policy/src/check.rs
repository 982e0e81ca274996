//! What is odd in a policy that can be read: rules that can never match, or that say nothing that is not said before.

use confinement::{Form, Problem};

use crate::decide::{Outcome, Policy};
use crate::rule::{Mode, Rule, Selector};
use crate::standard::Standard;

/// Everything odd, in the order of the rules.
pub fn oddities(policy: &Policy) -> Vec<Problem> {
    let mut found = Vec::new();
    for rule in &policy.rules {
        let mut tell = |message: String| found.push(Problem::at(&rule.place, message));
        if let Some(why) = never_applies(rule.subjects.as_ref(), &rule.except) {
            tell(format!("the rule `{}` can never match: {why}", rule.name));
            continue;
        }
        if let Some(why) = never_fails(rule) {
            tell(format!("the rule `{}` can never match: {why}", rule.name));
        }
        if let Some(condition) = rule.condition.as_ref().filter(|c| c.is_constant()) {
            tell(format!(
                "the condition of `{}` looks at nothing: `{}` is the same for every subject",
                rule.name,
                condition.source.trim()
            ));
        }
        for text in contradictions(policy, rule) {
            tell(text);
        }
    }
    for rego in &policy.rego {
        if let (Some(why), Some(path)) =
            (never_applies(rego.subjects.as_ref(), &rego.except), policy.path.clone())
        {
            found.push(Problem::new(path, format!("the Rego in {} can never match: {why}", rego.name)));
        }
    }
    found
}

fn never_applies(subjects: Option<&Selector>, except: &[Selector]) -> Option<String> {
    let everything = Selector::default();
    let selected = subjects.unwrap_or(&everything);
    if let Some(why) = selected.never() {
        return Some(why);
    }
    let covering = except.iter().find(|e| e.covers(selected));
    covering.map(|_| "`except` leaves out all that `subjects` selects".to_owned())
}

fn never_fails(rule: &Rule) -> Option<String> {
    let require = &rule.require;
    let only_standards = require.verdict.is_empty()
        && require.depth.is_none()
        && require.images.is_none()
        && !require.standards.is_empty()
        && rule.forbid.techniques.is_empty()
        && rule.forbid.gains.is_empty()
        && rule.condition.is_none();
    let forms = rule.subjects.as_ref().map(|s| s.forms.as_slice()).unwrap_or_default();
    let all_of_pods = require.standards.iter().all(|s| matches!(s, Standard::PodSecurity(_)));
    if only_standards && all_of_pods && !forms.is_empty() && !forms.contains(&Form::Kubernetes) {
        return Some("the Pod Security Standards are about subjects of the form kubernetes only".into());
    }
    let all_of_docker = require.standards.iter().all(|s| *s == Standard::CisDocker);
    const OF_DOCKER: [Form; 5] =
        [Form::Compose, Form::DockerRun, Form::Dockerfile, Form::Daemon, Form::DockerLive];
    if only_standards && all_of_docker && !forms.is_empty() && !forms.iter().any(|f| OF_DOCKER.contains(f)) {
        return Some("the CIS Docker Benchmark is about Docker only".into());
    }
    let allows_all = |s: &Standard| matches!(s, Standard::PodSecurity(standard) if standard.level == crate::Level::Privileged);
    if only_standards && require.standards.iter().all(allows_all) {
        return Some("pss-privileged allows everything".into());
    }
    if require.verdict.len() == 3 {
        return Some("`verdict` names all there are".into());
    }
    None
}

/// A rule in force that a decision of the policy makes needless.
fn contradictions(policy: &Policy, rule: &Rule) -> Vec<String> {
    let mut told = Vec::new();
    let weaker = rule.mode < Mode::Enforce && policy.open == Outcome::Deny;
    if weaker && rule.require.verdict == [techniques::judge::Verdict::Held] && rule.require.depth.is_none() {
        told.push(format!(
            "the rule `{}` {}s of what `open: deny` refuses already; set `open: allow` for it to decide",
            rule.name,
            rule.mode.name()
        ));
    }
    told
}
