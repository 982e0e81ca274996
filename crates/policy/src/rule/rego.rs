//! Rego policies in conftest's layout (<https://www.conftest.dev>): `package main`, with rules whose names begin with
//! `deny`, `violation` or `warn` and whose values are sets of texts or of objects with `msg`. The input is
//! `stockade.confinement/1`.
//!
//! Evaluation is bounded in time, has no network and no files. An error of a built-in function is an error and not
//! "undefined", which would let a `deny` rule say nothing: what fails to evaluate denies.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use confinement::Problem;
use regorus::utils::limits::ExecutionTimerConfig;
use regorus::{Engine, Value};

use super::{Mode, Selector};

/// Longer than any sound policy takes for one subject, and short enough for a gate.
const TIME: Duration = Duration::from_millis(250);
/// The package that is asked.
const PACKAGE: &str = "data.main";
/// Messages of one rule; more are not read by anyone.
const MAX_MESSAGES: usize = 100;

/// A file of Rego, and its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegoFile {
    pub path: Arc<str>,
    pub text: Arc<str>,
}

/// Files that are evaluated together.
pub struct RegoPolicy {
    /// The path in the policy, which names it in reasons.
    pub name: Arc<str>,
    /// Of `deny` and `violation` rules; `warn` rules never do more than warn.
    pub mode: Mode,
    pub subjects: Option<Selector>,
    pub except: Vec<Selector>,
    template: Engine,
    /// Engines at rest. Evaluation needs one of its own, and a prepared one is dear to copy.
    rest: Mutex<Vec<Engine>>,
}

impl std::fmt::Debug for RegoPolicy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegoPolicy")
            .field("name", &self.name)
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// What a rule said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// `deny`, `violation_images`, ….
    pub rule: Arc<str>,
    pub warns: bool,
    pub message: String,
}

/// Why a policy could not be evaluated.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RegoError(String);

impl RegoPolicy {
    pub(crate) fn compile(
        name: &Arc<str>,
        files: &[RegoFile],
        mode: Mode,
        subjects: Option<Selector>,
        except: Vec<Selector>,
    ) -> Result<RegoPolicy, Vec<Problem>> {
        let mut engine = Engine::new();
        engine.set_strict_builtin_errors(true);
        engine.set_gather_prints(true);
        engine.set_execution_timer_config(ExecutionTimerConfig {
            limit: TIME,
            check_interval: NonZeroU32::MIN.saturating_add(63),
        });
        let mut problems = Vec::new();
        let mut has_main = false;
        for file in files {
            match add(&mut engine, file) {
                Ok(package) => has_main |= package == PACKAGE,
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() && !has_main {
            let message = "no file has `package main`, whose deny, violation and warn rules are asked";
            problems.push(Problem::new(name.clone(), message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        // Without input nothing is defined, so what fails now is the policy itself.
        engine.set_input(Value::new_object());
        if let Err(error) = engine.eval_query(PACKAGE.to_owned(), false) {
            return Err(vec![problem(name, &error.to_string())]);
        }
        let rest = Mutex::default();
        Ok(RegoPolicy { name: name.clone(), mode, subjects, except, template: engine, rest })
    }

    /// What the rules say of a document.
    pub fn evaluate(&self, document: &Value) -> Result<Vec<Said>, RegoError> {
        let resting = self.rest.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut engine = resting.unwrap_or_else(|| self.template.clone());
        engine.set_input(document.clone());
        let result = engine.eval_query(PACKAGE.to_owned(), false);
        let _ = engine.take_prints();
        let results = match result {
            Ok(results) => results,
            // An engine that was stopped half-way is not used again.
            Err(error) => return Err(RegoError(first_line(&error.to_string()))),
        };
        let value = results.result.first().and_then(|r| r.expressions.first()).map(|e| e.value.clone());
        let said = said(&value.unwrap_or(Value::Undefined));
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).push(engine);
        said
    }
}

/// Adds a file in Rego v1, or in v0 where it is that: conftest reads both.
fn add(engine: &mut Engine, file: &RegoFile) -> Result<String, Problem> {
    engine.set_rego_v0(false);
    let error = match engine.add_policy(file.path.to_string(), file.text.to_string()) {
        Ok(package) => return Ok(package),
        Err(error) => error,
    };
    engine.set_rego_v0(true);
    let old = engine.add_policy(file.path.to_string(), file.text.to_string());
    engine.set_rego_v0(false);
    old.map_err(|_| problem(&file.path, &error.to_string()))
}

/// The interpreter shows an excerpt; its place and its message are what is wanted.
fn problem(path: &Arc<str>, error: &str) -> Problem {
    let mut problem = Problem::new(path.clone(), first_line(error));
    if let Some(at) = error.lines().find_map(|l| l.trim().strip_prefix("--> ")) {
        let mut parts = at.rsplitn(3, ':');
        let column = parts.next().and_then(|n| n.trim().parse().ok());
        let line = parts.next().and_then(|n| n.parse().ok());
        if let (Some(file), Some(_), Some(_)) = (parts.next(), line, column) {
            (problem.path, problem.line, problem.column) = (file.into(), line, column);
        }
    }
    problem
}

fn first_line(error: &str) -> String {
    let told = error.lines().find_map(|l| l.trim().strip_prefix("error: "));
    let mut text =
        told.or_else(|| error.lines().find(|l| !l.trim().is_empty())).unwrap_or("unknown").to_owned();
    if let Some((at, _)) = text.char_indices().nth(300) {
        text.truncate(at);
        text.push('…');
    }
    text
}

fn said(package: &Value) -> Result<Vec<Said>, RegoError> {
    let mut found = Vec::new();
    let Ok(members) = package.as_object() else { return Ok(found) };
    for (name, value) in members.iter() {
        let Ok(name) = name.as_string() else { continue };
        let Some(warns) = kind(name) else { continue };
        let rule: Arc<str> = (&**name).into();
        let mut add = |value: &Value| -> Result<(), RegoError> {
            if found.len() >= MAX_MESSAGES {
                return Ok(());
            }
            let message = message(value).ok_or_else(|| {
                RegoError(format!("`{rule}` holds what is neither a text nor an object with a text `msg`"))
            })?;
            found.push(Said { rule: rule.clone(), warns, message });
            Ok(())
        };
        match value {
            Value::Set(items) => items.iter().try_for_each(&mut add)?,
            Value::Array(items) => items.iter().try_for_each(&mut add)?,
            Value::Bool(false) | Value::Undefined => {}
            Value::Bool(true) => {
                let message = format!("the rule `{rule}` holds");
                found.push(Said { rule: rule.clone(), warns, message });
            }
            _ => return Err(RegoError(format!("`{rule}` is neither a set, a list, true nor false"))),
        }
    }
    Ok(found)
}

/// conftest's names: `^(deny|violation)(_[a-zA-Z0-9]+)*$` refuse, `^warn(_[a-zA-Z0-9]+)*$` warn (policy/engine.go).
fn kind(name: &str) -> Option<bool> {
    let (word, rest) = name.split_once('_').map_or((name, None), |(word, rest)| (word, Some(rest)));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    if !rest.is_none_or(|rest| rest.split('_').all(plain)) {
        return None;
    }
    match word {
        "deny" | "violation" => Some(false),
        "warn" => Some(true),
        _ => None,
    }
}

fn message(value: &Value) -> Option<String> {
    let text = match value {
        Value::Object(members) => members.get(&Value::from("msg"))?.as_string().ok()?,
        other => other.as_string().ok()?,
    };
    let mut text = text.to_string();
    if let Some((at, _)) = text.char_indices().nth(1000) {
        text.truncate(at);
        text.push('…');
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn compile(text: &str) -> Result<RegoPolicy, String> {
        let files = [RegoFile { path: "p/a.rego".into(), text: text.into() }];
        RegoPolicy::compile(&"p".into(), &files, Mode::Enforce, None, Vec::new())
            .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
    fn evaluate(text: &str, input: serde_json::Value) -> Result<Vec<String>, String> {
        let policy = compile(text)?;
        let said = policy.evaluate(&Value::from(input)).map_err(|e| e.to_string())?;
        Ok(said
            .iter()
            .map(|s| format!("{}{}: {}", if s.warns { "warns " } else { "" }, s.rule, s.message))
            .collect())
    }

    #[test]
    fn deny_violation_and_warn_rules_say_why() {
        let policy = r#"
            package main
            deny contains msg if { input.confinement.privileged; msg := "privileged" }
            violation_image contains {"msg": "no digest", "details": 1} if { not input.confinement.image.pinned }
            warn contains "old" if { input.old }
            helper := 3
            denying contains "not asked" if { true }
        "#;
        let input =
            json!({ "confinement": { "privileged": true, "image": { "pinned": false } }, "old": true });
        assert_eq!(
            evaluate(policy, input),
            Ok(vec![
                "deny: privileged".into(),
                "violation_image: no digest".into(),
                "warns warn: old".into()
            ])
        );
        assert_eq!(evaluate(policy, json!({ "confinement": { "image": { "pinned": true } } })), Ok(vec![]));
    }

    #[test]
    fn the_older_language_is_read_too() {
        let policy = "package main\ndeny[msg] { input.x == 1; msg = \"one\" }\n";
        assert_eq!(evaluate(policy, json!({ "x": 1 })), Ok(vec!["deny: one".into()]));
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told_with_its_line() {
        let told = compile("package main\ndeny contains msg if {\n  msg := := 1\n}\n").expect_err("no Rego");
        assert!(told.starts_with("p/a.rego:3:"), "{told}");
        let told =
            compile("package main\ndeny contains msg if { msg := nothing(1) }\n").expect_err("no function");
        assert!(told.contains("p/a.rego:2:"), "{told}");
        let told = compile("package other\ndeny contains \"x\" if { true }\n").expect_err("not main");
        assert!(told.contains("package main"), "{told}");
    }

    #[test]
    fn an_error_of_a_built_in_function_is_no_silence() {
        let policy = "package main\ndeny contains \"big\" if { to_number(input.x) > 3 }\n";
        assert_eq!(evaluate(policy, json!({ "x": "5" })), Ok(vec!["deny: big".into()]));
        assert!(evaluate(policy, json!({ "x": "many" })).is_err());
        assert!(evaluate("package main\ndeny contains 3 if { true }\n", json!({})).is_err());
        assert!(evaluate("package main\ndeny := {\"a\": 1}\n", json!({})).is_err());
    }

    #[test]
    fn a_policy_that_does_not_end_is_stopped() {
        let policy = "package main\nn := numbers.range(1, 3000)\n\
             deny contains \"x\" if { input.go; some a in n; some b in n; some c in n; a + b + c == 1 }\n";
        let started = std::time::Instant::now();
        let told = evaluate(policy, json!({ "go": true })).expect_err("stopped");
        assert!(told.contains("time"), "{told}");
        assert!(started.elapsed().as_secs() < 5);
    }

    #[test]
    fn threads_share_a_policy() {
        let policy = Arc::new(
            compile("package main\ndeny contains msg if { msg := sprintf(\"%d\", [input.n]) }\n")
                .expect("a policy"),
        );
        std::thread::scope(|scope| {
            for n in 0..8 {
                let policy = policy.clone();
                scope.spawn(move || {
                    for _ in 0..20 {
                        let said = policy.evaluate(&Value::from(json!({ "n": n }))).expect("evaluated");
                        assert_eq!(said.first().map(|s| s.message.clone()), Some(n.to_string()));
                    }
                });
            }
        });
    }
}
