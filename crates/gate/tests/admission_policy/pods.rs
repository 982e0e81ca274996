//! Pods of both standards: each control's allowed and forbidden values, in every version that changed a control, in every
//! kind of object.

use std::ops::Range;

use policy::Level;
use policy::pod_security::LATEST;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::agreement::{Deciders, NAMESPACE, SHAPES, in_shape, request};

const CONTROLS: &str = include_str!("controls.yaml");
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
struct Control {
    level: String,
    at: String,
    allowed: Vec<Value>,
    forbidden: Vec<Value>,
    since: Option<u32>,
    until: Option<u32>,
    restricted: Option<String>,
    #[serde(default)]
    with: serde_json::Map<String, Value>,
}

/// A pod with one field set, and at what level in which versions it is forbidden.
struct Case {
    pod: Value,
    what: String,
    forbidden: Option<Forbidden>,
}

#[derive(Clone)]
struct Forbidden {
    from: Level,
    versions: Range<u32>,
    /// At the restricted level in every version.
    always_restricted: bool,
}

impl Case {
    fn is_forbidden(&self, level: Level, minor: u32) -> bool {
        self.forbidden.as_ref().is_some_and(|f| {
            f.from <= level && f.versions.contains(&minor)
                || f.always_restricted && level == Level::Restricted
        })
    }

    /// Versions in which the answer may differ from the one before, and the newest.
    fn versions(&self) -> Vec<u32> {
        let ends = self.forbidden.iter().flat_map(|f| [f.versions.start, f.versions.end]);
        let mut versions: Vec<u32> = ends.flat_map(|v| [v.saturating_sub(1), v]).chain([0, LATEST]).collect();
        versions.retain(|v| *v <= LATEST);
        versions.sort_unstable();
        versions.dedup();
        versions
    }
}

/// Valid at every level in every version.
fn valid() -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example.com/app:1",
            "securityContext": { "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } },
        })
    };
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "p", "namespace": NAMESPACE, "annotations": {} },
        "spec": {
            "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            "initContainers": [container("init")],
            "containers": [container("main")],
            "ephemeralContainers": [container("debug")],
        },
    })
}

fn set(object: &mut Value, route: &[&str], value: &Value) {
    let Some((key, rest)) = route.split_first() else {
        *object = value.clone();
        return;
    };
    if rest.is_empty() && value.is_null() {
        object.as_object_mut().expect("an object").remove(*key);
        return;
    }
    let members = object.as_object_mut().expect("an object");
    set(members.entry((*key).to_owned()).or_insert_with(|| json!({})), rest, value);
}

fn cases() -> Vec<Case> {
    let controls: Vec<Control> = yaml_serde::from_str(CONTROLS).expect("the table can be read");
    let mut cases = Vec::new();
    for control in &controls {
        let (of, field) = control.at.split_once('.').expect("`at` is WHO.FIELD");
        let versions = control.since.unwrap_or(0)..control.until.unwrap_or(u32::MAX);
        let level = if control.level == "baseline" { Level::Baseline } else { Level::Restricted };
        let allowed = control.allowed.iter().map(|value| (value, None));
        let always_restricted = control.restricted.as_deref() == Some("always");
        let forbidden = Forbidden { from: level, versions, always_restricted };
        let forbidden = control.forbidden.iter().map(|value| (value, Some(forbidden.clone())));
        for (value, forbidden) in allowed.chain(forbidden) {
            let lists: &[&str] = match of {
                "container" => &["initContainers", "containers", "ephemeralContainers"],
                _ => &[""],
            };
            for list in lists {
                let mut pod = valid();
                for (key, value) in &control.with {
                    set(&mut pod["spec"], &[key], value);
                }
                let route: Vec<&str> = field.split('.').collect();
                match of {
                    "pod" => set(&mut pod["spec"], &route, value),
                    "container" => set(&mut pod["spec"][list][0], &route, value),
                    "annotation" => set(&mut pod["metadata"]["annotations"], &[field], value),
                    other => panic!("`at` begins with {other}"),
                }
                let what = format!("{} {list} = {value}", control.at);
                cases.push(Case { pod, what, forbidden: forbidden.clone() });
            }
        }
    }
    cases
}

fn deciders(level: Level, minor: u32) -> Deciders {
    let name = if level == Level::Baseline { "pss-baseline" } else { "pss-restricted" };
    Deciders::of(&format!(
        "version: 1\nopen: allow\nundetermined: allow\nrules:\n- name: standard\n  require: {{standards: {name}@1.{minor}}}\n"
    ))
}

#[test]
fn every_control_is_decided_alike_by_all_three_and_as_the_standard_says_in_every_version() {
    let cases = cases();
    let (mut asked, mut refused) = (0, 0);
    for minor in 0..=LATEST {
        let of_version: Vec<&Case> = cases.iter().filter(|case| case.versions().contains(&minor)).collect();
        if of_version.is_empty() {
            continue;
        }
        for level in [Level::Baseline, Level::Restricted] {
            let deciders = deciders(level, minor);
            for case in &of_version {
                let (denied, told) = deciders.create(&case.pod);
                let expected = case.is_forbidden(level, minor);
                assert!(
                    denied.alike() && denied.emitted == expected,
                    "{level:?} 1.{minor}, {}: {denied:?}, expected denied: {expected}\n{told}\n{}",
                    case.what,
                    case.pod
                );
                asked += 1;
                refused += usize::from(expected);
            }
        }
    }
    println!(
        "{} pods: asked {asked} times at 2 levels, all decided alike, {refused} times refused",
        cases.len()
    );
    assert!(refused > 300 && asked - refused > 300);
}

#[test]
fn every_kind_that_holds_a_pod_is_decided_as_the_pod_is() {
    let cases = cases();
    let mut asked = 0;
    for level in [Level::Baseline, Level::Restricted] {
        let deciders = deciders(level, LATEST);
        for (n, case) in cases.iter().enumerate() {
            // Each in two kinds, and each kind often enough.
            for shape in SHAPES.iter().cycle().skip(n).step_by(2).take(2) {
                let (denied, told) = deciders.create(&in_shape(&case.pod, shape));
                let expected = case.is_forbidden(level, LATEST);
                assert!(
                    denied.alike() && denied.emitted == expected,
                    "{level:?}, {} in a {}: {denied:?}, expected denied: {expected}\n{told}",
                    case.what,
                    shape.1
                );
                asked += 1;
            }
        }
    }
    println!(
        "{} pods in {} kinds of objects: asked {asked} times, all decided alike",
        cases.len(),
        SHAPES.len()
    );
}

#[test]
fn a_refusal_names_the_container_the_field_and_the_control() {
    let mut pod = valid();
    pod["spec"]["containers"][0]["securityContext"]["privileged"] = true.into();
    let answer = deciders(Level::Baseline, LATEST).emitted(&request(&pod, None));
    let told: Vec<&str> = answer.objections.iter().map(|o| o.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "container main must not set securityContext.privileged to true (pss-baseline/privileged, rule standard)"
        ]
    );
}
