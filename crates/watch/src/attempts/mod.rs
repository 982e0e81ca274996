//! Attempts: kernel events that a technique needs, seen at run time. Detectors are a table (`data/detectors.yaml`),
//! each bound to techniques of the catalogue; the table's looks read the kernel's objects, not names of processes, and
//! path text only where a failed call left no object.
//!
//! Data comes from the sensor as [`Event`]s, with a [`Context`] that knows whose things are, and from the periodic
//! checks of [`integrity`]; attempts go to the pipeline, which joins them with the container's exposure
//! ([`Attempt::join`]) into alerts.

pub mod case;
mod code;
pub mod context;
pub mod detector;
mod files;
mod fold;
mod index;
pub mod integrity;
mod looks;
pub mod outcome;
pub mod page;
mod pattern;
pub mod rows;
pub mod severity;

use sensor::event::{Entry, Event, Kind, Source};
use techniques::technique::{Gain, Technique};

use self::detector::{Detector, Look};
use self::files::Seen;
use self::index::Index;
use self::looks::Object;
use crate::alert::{Cause, Exposure, Outcome, Severity};

pub use self::context::{Context, HostFile, Owner};
pub use self::fold::WINDOW;

/// A kernel event that a technique needs.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub detector: &'static Detector,
    /// What it was aimed at, as a person would name it.
    pub object: String,
    /// Where the object's name was read.
    pub source: Source,
    pub outcome: Outcome,
    /// How many times, where repeats were folded.
    pub count: u64,
    /// The same was told less than a while ago.
    pub again: bool,
    /// The event, of the last one where folded.
    pub event: Box<Event>,
}

/// An attempt joined with what is known of the container.
#[derive(Clone, Debug)]
pub struct Joined {
    /// The technique that makes it gravest; None where the detector is bound to none.
    pub technique: Option<&'static Technique>,
    pub exposure: Exposure,
    pub severity: Severity,
}

/// Looks at every event, and remembers what it told for as long as repeats are folded.
#[derive(Debug)]
pub struct Detectors {
    index: Index,
    folds: fold::Folds,
}

impl Default for Detectors {
    fn default() -> Detectors {
        Detectors::new()
    }
}

impl Detectors {
    pub fn new() -> Detectors {
        Detectors { index: Index::new(detector::all()), folds: fold::Folds::default() }
    }

    /// The kinds of events that some detector reads.
    pub fn wants(&self) -> &[Kind] {
        self.index.wants()
    }

    /// The attempts that an event is, without the repeats of what was told.
    pub fn see(&mut self, event: &Event, context: &dyn Context) -> Vec<Attempt> {
        let mut told = Vec::new();
        let folds = &mut self.folds;
        look(&self.index, event, context, &mut |attempt| folds.take(attempt, &mut told));
        told
    }

    /// What the periodic checks found, as attempts.
    pub fn found(&mut self, observation: &integrity::Observation, time: u64) -> Vec<Attempt> {
        let mut told = Vec::new();
        for detector in detector::all() {
            let looks = |look: &Look| matches!(look, Look::Check(check) if *check == observation.check);
            if detector.when.iter().any(looks) {
                let event = observation.event(time);
                self.folds.take(attempt(detector, Object::new(&observation.object), &event), &mut told);
            }
        }
        told
    }

    /// The repeats that were folded and not told, of windows that have passed. To be called once in a while; `time`
    /// is nanoseconds since boot.
    pub fn settle(&mut self, time: u64) -> Vec<Attempt> {
        let mut told = Vec::new();
        self.folds.settle(time, &mut told);
        told
    }
}

/// Each attempt that the event is, repeats among them.
fn look(index: &Index, event: &Event, context: &dyn Context, found: &mut dyn FnMut(Attempt)) {
    let kind = event.what.kind();
    let in_container = event.actor.container.is_some();
    // One attempt a detector, whichever of its looks sees it.
    let mut seen_by: Vec<u16> = Vec::new();
    let mut tell = |place: index::Place, object: Object| {
        let detector = index.detector(place);
        if detector.concerns(event, context) && !seen_by.contains(&place.detector) {
            seen_by.push(place.detector);
            found(attempt(detector, object, event));
        }
    };
    if in_container && index.reads_files(kind) {
        files::each(&event.what, &mut |view| {
            let seen = Seen::new(view, event, context);
            index.candidates(&seen, event, &mut |place, look| {
                if look.sees(&seen, event, context) {
                    tell(place, Object { text: seen.name(), source: seen.source(), masked: seen.masked });
                }
            });
        });
    }
    for &place in index.others(kind, in_container) {
        let object = match index.look(place) {
            Look::Call(look) => look.sees(event, context),
            Look::Connect(look) => look.sees(event, context),
            Look::Mount(look) => look.sees(event, context),
            Look::Code(code) => code.sees(event, context),
            Look::File(_) | Look::Compat {} | Look::Check(_) => None,
        };
        if let Some(object) = object {
            tell(place, object);
        }
    }
    if let Entry::Compat(number) = event.entry {
        for &place in index.compat() {
            tell(place, Object::new(format!("32-bit system call {number}")));
        }
    }
}

fn attempt(detector: &'static Detector, object: Object, event: &Event) -> Attempt {
    let outcome = match object.masked {
        true => Outcome::Refused { errno: 0, name: "masked".to_owned() },
        false => outcome::of(event),
    };
    Attempt {
        detector,
        object: object.text,
        source: object.source,
        outcome,
        count: u64::from(event.count.max(1)),
        again: false,
        event: Box::new(event.clone()),
    }
}

impl Attempt {
    /// One sentence: who did or tried what, and what it was aimed at.
    pub fn summary(&self) -> String {
        let actor = &self.event.actor;
        let who = match (actor.name.as_str(), actor.task.process) {
            ("", 0) => "the kernel".to_owned(),
            ("", process) => format!("process {process}"),
            (name, process) => format!("{name} ({process})"),
        };
        let object = match self.source {
            Source::Kernel => self.object.clone(),
            Source::User => format!("{} (as the process said it)", self.object),
        };
        match &self.outcome {
            Outcome::Done => format!("{who} {}: {object}", self.detector.done()),
            Outcome::Refused { name, .. } => {
                format!("{who} tried to {} and was refused ({name}): {object}", self.detector.tries)
            }
            Outcome::NotKnown => format!("{who} tried to {}: {object}", self.detector.tries),
        }
    }

    /// Joins it with the exposure that `exposure_of` gives for a technique: the one that makes it gravest counts.
    pub fn join(&self, mut exposure_of: impl FnMut(&str) -> Exposure) -> Joined {
        let mut gravest: Option<Joined> = None;
        for technique in self.detector.catalogued() {
            let exposure = exposure_of(technique.id);
            let severity = self.weigh(&exposure, technique.gain);
            if gravest.as_ref().is_none_or(|g| (severity, rank(&exposure)) > (g.severity, rank(&g.exposure)))
            {
                gravest = Some(Joined { technique: Some(technique), exposure, severity });
            }
        }
        gravest.unwrap_or(Joined {
            technique: None,
            exposure: Exposure::DoesNotApply,
            severity: self.detector.severity.unwrap_or(Severity::Info),
        })
    }

    fn weigh(&self, exposure: &Exposure, gain: Gain) -> Severity {
        let by_table = severity::severity(exposure, &self.outcome, gain);
        let at_least = self.detector.severity.unwrap_or(Severity::Info);
        by_table.min(self.detector.at_most.unwrap_or(Severity::Critical)).max(at_least)
    }

    /// What to do, the best first: about this attempt now, then what breaks the technique.
    pub fn advice(&self, joined: &Joined) -> Vec<String> {
        let mut advice = self.detector.advice.clone();
        let reached = joined.exposure == Exposure::Open && self.outcome == Outcome::Done;
        if let Some(technique) = joined.technique {
            if reached && technique.gain.is_host() && joined.severity >= Severity::High {
                advice.insert(
                    0,
                    format!(
                        "Pause the container and keep it for evidence: it {}, by a path that is open.",
                        technique.gain.says()
                    ),
                );
            }
            if let Exposure::Held { barriers, .. } = &joined.exposure {
                advice.push(format!("The path is held by {}: keep it so.", barriers.join(" and ")));
            } else {
                advice.extend(technique.mitigations.iter().cloned());
            }
            advice.push(format!("`stockade explain {}` shows what the path needs.", technique.id));
        }
        advice
    }

    pub fn cause(&self, joined: &Joined) -> Cause {
        Cause::Attempt {
            technique: joined.technique.map(|t| t.id.to_owned()).unwrap_or_default(),
            detector: self.detector.id.clone(),
            attack: joined.technique.map(|t| t.references.attack.clone()).unwrap_or_default(),
        }
    }
}

/// Of two equally grave, the one that is known to be open speaks.
fn rank(exposure: &Exposure) -> u8 {
    match exposure {
        Exposure::Open => 3,
        Exposure::NotKnown { .. } => 2,
        Exposure::Held { .. } => 1,
        Exposure::DoesNotApply => 0,
    }
}

#[cfg(test)]
mod tests;
