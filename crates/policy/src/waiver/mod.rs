//! Waivers: exceptions with a reason, an owner and an end. They come from a file under version control ([`read`]) or stand
//! beside what they waive ([`in_place`]). What is waived stays visible; a waiver whose day is past waives nothing.
//!
//! The day is handed in, never read from a clock here.

mod in_place;
mod read;

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use confinement::{Place, Problem, Subject, World};
use jiff::civil::Date;
use serde::Serialize;
use techniques::judge::{Finding, Judgement};

use crate::decide::Decision;
use crate::pattern::Pattern;
use crate::published::every_finding;
use crate::reading::ReadError;
use crate::rule::Selector;

/// A waiver is warned of from so many days before its last.
pub const WARN_DAYS: i32 = 14;

/// What a waiver is for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Scope {
    /// One finding, by its fingerprint.
    Fingerprint(Box<str>),
    /// A technique (or a rule of the policy) of the subjects that are selected.
    Selected { technique: Option<Pattern>, rule: Option<Pattern>, subjects: Selector },
    /// A technique, where what completes it or the subject stands in these lines.
    Lines { technique: Pattern, path: Arc<str>, lines: RangeInclusive<u32> },
}

/// One exception.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiver {
    scope: Scope,
    pub reason: Arc<str>,
    pub owner: Option<Arc<str>>,
    pub ticket: Option<Arc<str>>,
    /// The last day it holds.
    pub until: Date,
    /// Where it is written.
    pub place: Place,
}

/// What a waiver is on a day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It holds for so many days more; 0 is its last.
    Holds { days: i32 },
    /// Its last day was so many days ago.
    Expired { days: i32 },
}

impl Waiver {
    pub fn state(&self, today: Date) -> State {
        let days = (self.until - today).get_days();
        if days >= 0 { State::Holds { days } } else { State::Expired { days: -days } }
    }

    pub fn holds(&self, today: Date) -> bool {
        matches!(self.state(today), State::Holds { .. })
    }

    /// Whether it stands beside what it waives, and not in a file of waivers.
    pub fn is_in_place(&self) -> bool {
        matches!(self.scope, Scope::Lines { .. })
    }

    /// What it waives, in words: "engine-api for deploy-*".
    pub fn subject(&self) -> String {
        match &self.scope {
            Scope::Fingerprint(fingerprint) => format!("finding {fingerprint}"),
            Scope::Lines { technique, .. } => technique.to_string(),
            Scope::Selected { technique, rule, subjects } => {
                let mut text = match (technique, rule) {
                    (Some(technique), _) => technique.to_string(),
                    (None, rule) => rule.as_ref().map(|r| format!("rule {r}")).unwrap_or_default(),
                };
                let names: Vec<&str> = subjects.names.iter().map(Pattern::as_str).collect();
                if !names.is_empty() {
                    text.push_str(&format!(" for {}", names.join(", ")));
                }
                text
            }
        }
    }

    fn covers(&self, item: &Item<'_>) -> bool {
        match &self.scope {
            Scope::Fingerprint(fingerprint) => item.fingerprint == Some(&**fingerprint),
            Scope::Selected { technique, rule, subjects } => {
                let named = |pattern: &Option<Pattern>, id: Option<&str>| {
                    pattern.as_ref().is_none_or(|p| id.is_some_and(|id| p.matches(id)))
                };
                // What is not known about a subject does not make an exception fit.
                named(technique, item.id)
                    && named(rule, item.rule)
                    && subjects.matches(item.subject).is_true()
            }
            Scope::Lines { technique, path, lines } => {
                let here = |place: &Place| place.path == *path && lines.contains(&place.line);
                item.id.is_some_and(|id| technique.matches(id))
                    && (item.subject.place.iter().chain(&item.subject.declared).any(here)
                        || item.places().any(here))
            }
        }
    }
}

/// What may be waived: a finding, a control that is not met, or what a rule has against a subject.
#[derive(Clone, Copy)]
pub(crate) struct Item<'a> {
    pub(crate) subject: &'a Subject,
    /// The technique, or `pss-baseline/hostPathVolumes`.
    pub(crate) id: Option<&'a str>,
    pub(crate) rule: Option<&'a str>,
    pub(crate) fingerprint: Option<&'a str>,
    pub(crate) finding: Option<&'a Finding>,
    pub(crate) place: Option<&'a Place>,
}

impl<'a> Item<'a> {
    fn of_finding(subject: &'a Subject, finding: &'a Finding) -> Item<'a> {
        Item {
            subject,
            id: Some(finding.technique().id),
            rule: None,
            fingerprint: Some(&finding.fingerprint),
            finding: Some(finding),
            place: None,
        }
    }

    /// Where it stands. A path through other subjects stands in their lines too, which waive nothing of this one's.
    fn places(&self) -> impl Iterator<Item = &'a Place> + use<'a> {
        let own = self.finding.filter(|f| f.steps.len() == 1);
        own.into_iter().flat_map(|f| f.evidence.iter().filter_map(|e| e.origin.place())).chain(self.place)
    }
}

/// Waivers from everywhere, together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Waivers {
    list: Vec<Waiver>,
}

impl Waivers {
    /// Reads a file of waivers.
    pub fn parse(text: &str, path: &Arc<str>) -> Result<Waivers, ReadError> {
        read::waivers(text, path).map(|list| Waivers { list })
    }

    /// Finds the waivers that stand in a file that is judged: comments, annotations, `x-stockade`. What is meant as one and
    /// cannot be read is a problem, and waives nothing.
    pub fn in_place(text: &str, path: &Arc<str>) -> (Waivers, Vec<Problem>) {
        let (list, problems) = in_place::find(text, path);
        (Waivers { list }, problems)
    }

    pub fn extend(&mut self, other: Waivers) {
        self.list.extend(other.list);
    }

    pub fn iter(&self) -> impl Iterator<Item = &Waiver> {
        self.list.iter()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The waiver that holds longest, or the one that expired last.
    fn best(&self, item: &Item<'_>) -> Option<usize> {
        let covering = self.list.iter().enumerate().filter(|(_, w)| w.covers(item));
        covering.max_by_key(|(i, w)| (w.until, std::cmp::Reverse(*i))).map(|(i, _)| i)
    }

    pub(crate) fn of(&self, item: &Item<'_>) -> Option<&Waiver> {
        self.best(item).and_then(|i| self.list.get(i))
    }

    /// The waiver of a finding, whether it holds or not.
    pub fn of_finding(&self, subject: &Subject, finding: &Finding) -> Option<&Waiver> {
        self.of(&Item::of_finding(subject, finding))
    }
}

/// What of a judgement is waived on a day, for reports.
#[derive(Clone, Debug, Default)]
pub struct Waived {
    waivers: Waivers,
    today: Option<Date>,
    /// The best waiver of each finding that has one, by the subject's index.
    of: HashMap<(usize, Box<str>), usize>,
    used: Vec<bool>,
}

/// One line about a waiver that somebody must look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub kind: NoticeKind,
    pub problem: Problem,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NoticeKind {
    /// It matches nothing that was judged.
    Unused,
    /// Its last day is near.
    Ending,
    /// Its last day is past, and what it waived is there still.
    Expired,
}

impl Waived {
    pub fn of(world: &World, judgement: &Judgement, waivers: Waivers, today: Date) -> Waived {
        let mut of = HashMap::new();
        let mut used = vec![false; waivers.list.len()];
        if !waivers.is_empty() {
            for judged in &judgement.subjects {
                let Some(subject) = world.subjects.get(judged.subject) else { continue };
                for (_, finding) in every_finding(judged) {
                    let item = Item::of_finding(subject, finding);
                    let covering = waivers.list.iter().enumerate().filter(|(_, w)| w.covers(&item));
                    for (i, _) in covering {
                        if let Some(used) = used.get_mut(i) {
                            *used = true;
                        }
                    }
                    if let Some(i) = waivers.best(&item) {
                        of.insert((judged.subject, finding.fingerprint.as_str().into()), i);
                    }
                }
            }
        }
        Waived { waivers, today: Some(today), of, used }
    }

    /// Notes the waivers that were of use in decisions of a policy.
    pub fn note(&mut self, decision: &Decision) {
        for waived in &decision.waived {
            if let Some(i) = self.waivers.list.iter().position(|w| *w == waived.waiver)
                && let Some(used) = self.used.get_mut(i)
            {
                *used = true;
            }
        }
    }

    /// The waiver that holds for a control of a standard that is not met (`pss-baseline/hostPathVolumes`), and notes
    /// that it was of use.
    pub fn control(&mut self, subject: &Subject, id: &str, place: Option<&Place>) -> Option<&Waiver> {
        let item = Item { subject, id: Some(id), rule: None, fingerprint: None, finding: None, place };
        let best = self.waivers.best(&item)?;
        *self.used.get_mut(best)? = true;
        let today = self.today?;
        self.waivers.list.get(best).filter(|w| w.holds(today))
    }

    /// The waiver that holds for a finding.
    pub fn waiver(&self, subject: usize, finding: &Finding) -> Option<&Waiver> {
        let waiver = self.any(subject, finding)?;
        waiver.holds(self.today?).then_some(waiver)
    }

    /// The waiver that held for a finding until its day.
    pub fn expired(&self, subject: usize, finding: &Finding) -> Option<&Waiver> {
        let waiver = self.any(subject, finding)?;
        (!waiver.holds(self.today?)).then_some(waiver)
    }

    fn any(&self, subject: usize, finding: &Finding) -> Option<&Waiver> {
        if self.of.is_empty() {
            return None;
        }
        let i = *self.of.get(&(subject, finding.fingerprint.as_str().into()))?;
        self.waivers.list.get(i)
    }

    pub fn waivers(&self) -> &Waivers {
        &self.waivers
    }

    /// What must be looked at, in the order of the files.
    pub fn notices(&self) -> Vec<Notice> {
        let Some(today) = self.today else { return Vec::new() };
        let mut notices = Vec::new();
        for (waiver, used) in self.waivers.list.iter().zip(&self.used) {
            let what = waiver.subject();
            let until = waiver.until;
            let owner = waiver.owner.as_ref().map(|o| format!(" by {o}")).unwrap_or_default();
            let (kind, message) = match (waiver.state(today), used) {
                (_, false) => (
                    NoticeKind::Unused,
                    format!(
                        "the waiver of {what} matches nothing that was judged; take it out if nothing else needs it"
                    ),
                ),
                (State::Expired { days }, true) => (
                    NoticeKind::Expired,
                    format!(
                        "the waiver of {what}{owner} ended on {until}, {}; what it waived is still there",
                        match days {
                            1 => "yesterday".to_owned(),
                            n => format!("{n} days ago"),
                        }
                    ),
                ),
                (State::Holds { days }, true) if days <= WARN_DAYS => (
                    NoticeKind::Ending,
                    format!(
                        "the waiver of {what}{owner} ends {} ({until}); mend what it waives, or decide anew",
                        match days {
                            0 => "today".to_owned(),
                            1 => "tomorrow".to_owned(),
                            n => format!("in {n} days"),
                        }
                    ),
                ),
                _ => continue,
            };
            notices.push(Notice { kind, problem: Problem::at(&waiver.place, message) });
        }
        notices
    }

    /// Whether a waiver's day is past while what it waived is still there: the run fails.
    pub fn has_expired(&self) -> bool {
        self.notices().iter().any(|n| n.kind == NoticeKind::Expired)
    }
}

/// A waiver as reports in JSON have it.
#[derive(Clone, Debug, Serialize)]
pub struct WaiverEntry<'a> {
    /// `external`: in a file of waivers; `in-source`: beside what it waives. SARIF's words (3.35.2).
    pub kind: &'static str,
    pub reason: &'a str,
    pub owner: Option<&'a str>,
    pub ticket: Option<&'a str>,
    pub until: String,
    pub location: &'a Place,
}

impl<'a> From<&'a Waiver> for WaiverEntry<'a> {
    fn from(waiver: &'a Waiver) -> WaiverEntry<'a> {
        WaiverEntry {
            kind: if waiver.is_in_place() { "in-source" } else { "external" },
            reason: &waiver.reason,
            owner: waiver.owner.as_deref(),
            ticket: waiver.ticket.as_deref(),
            until: waiver.until.to_string(),
            location: &waiver.place,
        }
    }
}
