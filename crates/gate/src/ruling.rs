//! What a door answers, and why: the subjects a request would make, judged as the audit judges them and decided by the
//! rules in force; or the plain word of a rule about requests that make no container.

use confinement::{Subject, World};
use policy::{Date, Decision, Outcome, Policy, Waivers, published};
use serde::Serialize;
use serde_json::Value;
use techniques::judge::judge;

use crate::rules::InForce;

/// The answer to one request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ruling {
    pub outcome: Outcome,
    /// What whoever asked is told: nothing where all is well.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subjects: Vec<Ruled>,
}

/// One subject of a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ruled {
    pub decision: Decision,
    /// The evidence, as the audit publishes it: `stockade.confinement/1`.
    pub judged: Value,
}

impl Ruling {
    /// Nothing is against it.
    pub fn allow() -> Ruling {
        Ruling { outcome: Outcome::Allow, message: String::new(), subjects: Vec::new() }
    }

    /// Refused, for a reason that is no judgement of a container: what cannot be read, what the policy forbids as such.
    pub fn deny(message: impl Into<String>) -> Ruling {
        Ruling { outcome: Outcome::Deny, message: message.into(), subjects: Vec::new() }
    }

    pub fn is_denied(&self) -> bool {
        self.outcome == Outcome::Deny
    }

    /// Judges every subject of a world and decides. What could not be read of the request is refused: a door that lets in
    /// what it did not understand is none.
    pub fn of(world: &World, rules: &InForce, today: Date) -> Ruling {
        Ruling::by(world, |_| true, &rules.policy, &rules.waivers, today)
    }

    /// As [`Ruling::of`], of the subjects that were `asked` for; the others of the world surround them.
    pub fn by(
        world: &World,
        asked: impl Fn(&Subject) -> bool,
        policy: &Policy,
        waivers: &Waivers,
        today: Date,
    ) -> Ruling {
        if let Some(problem) = world.problems.first() {
            let more = world.problems.len() - 1;
            let more = if more == 0 { String::new() } else { format!(" (and {more} more)") };
            return Ruling::deny(format!("denied: what is asked for cannot be read: {problem}{more}"));
        }
        let mut ruling = Ruling::allow();
        let mut told = Vec::new();
        for judged in &judge(world, policy.options()).subjects {
            let Some(subject) = world.subjects.get(judged.subject).filter(|s| asked(s)) else { continue };
            let decision = policy.decide(world, subject, judged, waivers, today);
            ruling.outcome = ruling.outcome.max(decision.outcome);
            if decision.outcome != Outcome::Allow {
                told.push((decision.outcome, decision.message(&subject.name)));
            }
            let judged = published::document(world, subject, judged);
            ruling.subjects.push(Ruled { decision, judged });
        }
        // What is refused first: a reader may see one line only.
        told.sort_by_key(|(outcome, _)| std::cmp::Reverse(*outcome));
        ruling.message = told.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(". ");
        ruling
    }

    /// Both together: the worse outcome, and what both say.
    #[must_use]
    pub fn and(mut self, other: Ruling) -> Ruling {
        let worse_first = other.outcome > self.outcome;
        let messages =
            if worse_first { [other.message, self.message] } else { [self.message, other.message] };
        self.message = messages.into_iter().filter(|m| !m.is_empty()).collect::<Vec<_>>().join(". ");
        self.outcome = self.outcome.max(other.outcome);
        self.subjects.extend(other.subjects);
        self
    }
}
