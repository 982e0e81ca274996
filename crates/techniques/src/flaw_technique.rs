//! Known flaws as techniques: one technique for each flaw that can be judged, whose premise is that the flaw is
//! present on the host. A flaw that is fixed is no wall, so without that premise the technique does not exist.

use confinement::{Host, Origin, Truth};
use serde_json::{Value, json};

use crate::condition::{Condition, Sink};
use crate::flaw::{self, Flaw, Needs, Presence};

/// Why a flaw is listed but never judged.
pub fn not_judged(flaw: &Flaw) -> Option<String> {
    if let Some(why) = &flaw.undecidable {
        return Some(why.clone());
    }
    if flaw.affected.is_none() {
        return Some("no version range is known".into());
    }
    let unknown: Vec<&str> = flaw
        .needs
        .iter()
        .flat_map(Needs::conditions)
        .filter(|text| !text.starts_with("cap(") && Condition::parse(text).is_err())
        .collect();
    (!unknown.is_empty())
        .then(|| format!("it needs what no fact of a running container says: {}", unknown.join(", ")))
}

/// Every flaw that can be judged, in the form of a technique's file.
pub fn as_techniques() -> Vec<Value> {
    flaw::load().iter().filter(|f| not_judged(f).is_none()).map(as_technique).collect()
}

fn as_technique(flaw: &Flaw) -> Value {
    let mut needs: Vec<Value> = flaw.needs.iter().map(formula).collect();
    let kernel = flaw.component == "linux";
    if kernel {
        needs.push(json!("host-kernel"));
    }
    let relation = (flaw.gain == "other-container").then_some("any-on-host");
    let mut technique = json!({
        "id": flaw.id,
        "title": flaw.title,
        "gain": flaw.gain,
        "covers": [covered_row(flaw.component)],
        "explanation": format!("{}. Reachable when: {}.", flaw.title.trim_end_matches('.'), flaw.when.trim_end_matches('.')),
        "path": ["the container", format!("{} in {}", flaw.id, flaw.component), "the host"],
        "premise": [format!("flaw({})", flaw.id), format!("runs-under({})", flaw.component)],
        "needs": needs,
        "sensor": [if kernel { "the system calls that its conditions name" } else { "creation of a container, or exec into one" }],
        "mitigations": [format!("Update {}.", flaw.component)],
        "references": { "attack": ["T1611"], "nist-800-190": ["3.5.1"], "see": flaw.references },
        "file": format!("crates/techniques/flaws, {}", flaw.component),
    });
    if let (Some(relation), Some(members)) = (relation, technique.as_object_mut()) {
        members.insert("relation".into(), json!(relation));
    }
    technique
}

/// The row of the catalogue that a component's flaws belong to.
fn covered_row(component: &str) -> &'static str {
    match component {
        "linux" => "VER-KERNEL",
        "runc" | "crun" | "youki" => "VER-RUNC",
        "nvidia-container-toolkit" => "DEV-GPU-HOOK",
        _ => "VER-CONTAINERD/DOCKER/BUILDKIT/CRI-O/PODMAN",
    }
}

fn formula(needs: &Needs) -> Value {
    match needs {
        Needs::Condition(text) => json!(text),
        Needs::All { all } => json!({ "all": all.iter().map(formula).collect::<Vec<_>>() }),
        Needs::Any { any } => json!({ "any": any.iter().map(formula).collect::<Vec<_>>() }),
    }
}

/// Whether a flaw is present on a host.
pub(crate) fn is_present<S: Sink>(id: &str, host: &Host, sink: &mut S) -> Truth {
    let Some(flaw) = flaw::load().iter().find(|f| f.id == id) else { return Truth::Unknown };
    let installed = match flaw.component {
        "linux" => Some(&host.kernel),
        component => host.components.get(component),
    };
    let Some(fact) = installed else {
        // A host that was looked at and has no such program has no flaw of it.
        return if host.components.is_empty() { Truth::Unknown } else { Truth::False };
    };
    let Some(installed) = fact.get() else { return Truth::Unknown };
    let presence = flaw.presence(installed);
    let origin: &Origin = &fact.origin;
    match presence {
        Presence::Present { why } => {
            sink.note(|| format!("{id} is present: {why}"), origin);
            Truth::True
        }
        Presence::Fixed { why } => {
            sink.note(|| format!("{id} is fixed: {why}"), origin);
            Truth::False
        }
        Presence::Unknown { why } => {
            sink.note(|| format!("whether {id} is present is not known: {why}"), origin);
            Truth::Unknown
        }
    }
}
