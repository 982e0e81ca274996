//! Every object of the corpora and of the standards' cases, in a review: decided as the audit decides about the same object
//! in a file, and answered at all.

#[path = "kubernetes/objects.rs"]
mod objects;
#[path = "kubernetes/wrap.rs"]
mod wrap;

use gate::InForce;
use gate::kubernetes::review::decide;
use objects::{audited, corpora, objects, standards, today};
use policy::{NoFiles, Outcome, Policy, Waivers};
use serde_json::Value;
use sources::Context;
use wrap::Review;

const POLICIES: [&str; 3] = [
    "version: 1\n",
    "version: 1\nopen: warn\nundetermined: allow\nrules:\n- {name: pss, require: {standards: pss-baseline@latest}}\n",
    "version: 1\nrules:\n- {name: pss, mode: warn, require: {standards: pss-restricted@latest}}\n\
     - {name: images, require: {images: {latest: false}}}\n",
];

fn is_judged_otherwise(object: &Value) -> bool {
    let kind = object["kind"].as_str().unwrap_or_default();
    matches!(kind, "PersistentVolume" | "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding")
}

#[test]
fn objects_of_the_corpora_are_decided_as_the_audit_decides() {
    let Some(folder) = corpora() else { return };
    let (mut reviewed, mut subjects, mut denied) = (0, 0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for mut object in objects(&bytes, &path) {
            // As the API server does before admission.
            if object.pointer("/metadata/namespace").is_none() && object["metadata"].is_object() {
                object["metadata"]["namespace"] = "default".into();
            }
            for text in POLICIES {
                let policy = || Policy::parse(text, &"p.yaml".into(), &NoFiles).unwrap();
                let rules = InForce { policy: policy(), waivers: Waivers::default() };
                let review = serde_json::to_vec(&Review::create(object.clone()).to_json()).unwrap();
                let decided = decide(&review, &Context::assumed(), &rules, today()).unwrap();
                reviewed += 1;
                if is_judged_otherwise(&object) {
                    continue;
                }
                // No API server holds what a template tool has yet to render; a file may.
                if ["{{", "{%", "${"].iter().any(|marker| object.to_string().contains(marker)) {
                    continue;
                }
                let (outcome, count) = audited(&object, &policy());
                let told = format!("{} {}: {}", path.display(), object["kind"], decided.ruling.message);
                subjects += count;
                denied += usize::from(outcome == Outcome::Deny);
                if count == 0 && outcome == Outcome::Allow {
                    // A workload without a pod: the audit has nothing to say, the gate lets nothing in unjudged.
                    assert!(decided.ruling.subjects.is_empty(), "{told}");
                } else {
                    assert_eq!(decided.ruling.outcome, outcome, "{told}");
                    let read = !decided.ruling.message.contains("cannot be read");
                    assert!(decided.ruling.subjects.len() == count || !read, "{told}");
                }
            }
        }
    }
    println!("{reviewed} reviews, {subjects} subjects, {denied} denied");
    assert!(reviewed > 500 && subjects > 300 && denied > 20);
}

#[test]
fn pods_of_both_standards_are_decided_as_the_audit_decides() {
    let (mut passed, mut failed) = (0, 0);
    for level in ["baseline", "restricted"] {
        for (name, pod) in standards() {
            let text = format!(
                "version: 1\nopen: allow\nundetermined: allow\nrules:\n\
                 - {{name: pss, require: {{standards: pss-{level}@latest}}}}\n"
            );
            let policy = || Policy::parse(&text, &"p.yaml".into(), &NoFiles).unwrap();
            let rules = InForce { policy: policy(), waivers: Waivers::default() };
            let review = serde_json::to_vec(&Review::create(pod.clone()).to_json()).unwrap();
            let decided = decide(&review, &Context::assumed(), &rules, today()).unwrap();
            let (outcome, _) = audited(&pod, &policy());
            assert_eq!(decided.ruling.outcome, outcome, "{level} {name}: {}", decided.ruling.message);
            if outcome == Outcome::Deny { failed += 1 } else { passed += 1 }
        }
    }
    assert_eq!((passed, failed), (3 + 8, 41 - 8));
}
