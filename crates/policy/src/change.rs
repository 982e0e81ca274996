//! What a change made worse: of a judgement only the findings that were not there before it, for CI, which fails on nothing
//! else.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use confinement::World;
use techniques::judge::{Finding, Judged, Judgement};

use crate::baseline::{Change, Drift};
use crate::decide::{Decision, Outcome};
use crate::rule::Mode;

/// The findings of a judgement that a drift names as worse, with the subjects they are of. A subject that is new has all of
/// its findings here.
pub fn made_worse(drift: &Drift, world: &World, judgement: &Judgement) -> Judgement {
    let new: BTreeSet<&str> = drift.new.iter().map(|s| s.id.as_str()).collect();
    let worse: BTreeMap<&str, BTreeSet<&str>> = drift
        .changed
        .iter()
        .map(|s| (s.id.as_str(), s.worse.iter().filter_map(techniques).collect()))
        .collect();
    let subjects = judgement.subjects.iter().filter_map(|judged| {
        let id = &*world.subjects.get(judged.subject)?.id;
        if new.contains(id) {
            return Some(judged.clone());
        }
        let worse = worse.get(id)?;
        let keep = |list: &[Finding]| -> Vec<Finding> {
            list.iter().filter(|f| worse.contains(chain(f).as_str())).cloned().collect()
        };
        let kept = Judged {
            paths: keep(&judged.paths),
            lateral: keep(&judged.lateral),
            weaknesses: keep(&judged.weaknesses),
            ..judged.clone()
        };
        let any = !kept.paths.is_empty() || !kept.lateral.is_empty() || !kept.weaknesses.is_empty();
        any.then_some(kept)
    });
    Judgement { subjects: subjects.collect(), ..judgement.clone() }
}

fn techniques(change: &Change) -> Option<&str> {
    match change {
        Change::Finding { techniques, .. } | Change::FindingDepth { techniques, .. } => Some(techniques),
        _ => None,
    }
}

fn chain(finding: &Finding) -> String {
    finding.steps.iter().map(|s| s.technique.id).collect::<Vec<_>>().join(" > ")
}

/// What a policy had against a subject: rules, each with the technique or the words.
pub type Known = HashSet<(Arc<str>, Arc<str>)>;

fn key(rule: &Arc<str>, technique: Option<&Arc<str>>, message: &str) -> (Arc<str>, Arc<str>) {
    (rule.clone(), technique.cloned().unwrap_or_else(|| message.into()))
}

impl Decision {
    /// Everything that is against the subject, to tell it from what comes later.
    pub fn known(&self) -> Known {
        let reasons = self.reasons.iter().map(|r| key(&r.rule, r.technique.as_ref(), &r.message));
        reasons.chain(self.errors.iter().map(|e| key(&e.rule, None, &e.message))).collect()
    }

    /// The decision by what was not known before.
    #[must_use]
    pub fn without(mut self, known: &Known) -> Decision {
        self.reasons.retain(|r| !known.contains(&key(&r.rule, r.technique.as_ref(), &r.message)));
        self.errors.retain(|e| !known.contains(&key(&e.rule, None, &e.message)));
        let modes = self.reasons.iter().map(|r| r.mode).chain(self.errors.iter().map(|e| e.mode));
        self.outcome = match modes.max() {
            Some(Mode::Enforce) => Outcome::Deny,
            Some(Mode::Warn) => Outcome::Warn,
            Some(Mode::Record) | None => Outcome::Allow,
        };
        self
    }
}
