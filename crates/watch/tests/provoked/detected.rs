//! The detectors over what the sensor tells while `provoke` runs: each that names an attempt sees it.

use std::collections::{BTreeMap, BTreeSet};

use sensor::Options;
use sensor::event::Event;
use watch::attempts::{Detectors, detector};
use watch::surroundings::Surroundings;

use crate::containers::{Runtime, Strength};
use crate::observed::{Observed, observe_with};

/// What was observed, and the detectors by the attempt during which they saw something.
pub(crate) struct Detected {
    pub(crate) observed: Observed,
    pub(crate) seen: BTreeMap<String, BTreeSet<&'static str>>,
}

/// With a sensor that is asked for what `stockade watch` asks for: what detectors read. None where this machine cannot.
pub(crate) fn detect(runtime: Runtime, strength: Strength, arguments: &[&str]) -> Option<Detected> {
    let detectors = Detectors::new();
    let bulk = detectors.wants().to_vec();
    let options = Options { bulk, environment: true, ..Options::default() };
    let mut looking = Looking::new();
    let observed = observe_with(options, runtime, strength, arguments, &mut |event| looking.see(event))?;
    Some(looking.end(observed))
}

/// Detectors that see each event when it comes, while what it tells of is still there.
pub(crate) struct Looking {
    surroundings: Surroundings,
    detectors: Detectors,
    by_event: Vec<Vec<&'static str>>,
}

impl Looking {
    pub(crate) fn new() -> Looking {
        Looking { surroundings: Surroundings::read(), detectors: Detectors::new(), by_event: Vec::new() }
    }

    pub(crate) fn see(&mut self, event: &Event) {
        self.surroundings.see(event);
        // A repeat by another process is told as well.
        let mut alone = event.clone();
        alone.actor.executable.inode = u64::from(event.actor.task.process);
        let attempts = self.detectors.see(&alone, &self.surroundings);
        self.by_event.push(attempts.iter().map(|a| a.detector.id.as_str()).collect());
    }

    pub(crate) fn end(self, observed: Observed) -> Detected {
        let attempts: BTreeMap<u32, &str> =
            observed.ran.made.iter().map(|made| (made.process, made.attempt.as_str())).collect();
        let mut seen: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
        for (process, events) in observed.by_process() {
            let Some(attempt) = attempts.get(&process) else { continue };
            let ids = seen.entry((*attempt).to_owned()).or_default();
            for event in events {
                let place = observed.events.iter().position(|e| std::ptr::eq(e, event));
                ids.extend(place.and_then(|place| self.by_event.get(place)).into_iter().flatten());
            }
        }
        Detected { observed, seen }
    }
}

impl Detected {
    /// Detectors whose attempt was made and that did not see it; of those in `only`, where it names some.
    pub(crate) fn blind(&self, only: impl Fn(&detector::Detector) -> bool) -> Vec<String> {
        let made: BTreeSet<&str> = self.observed.ran.made.iter().map(|made| made.attempt.as_str()).collect();
        detector::all()
            .iter()
            .filter(|d| only(d))
            .filter_map(|d| Some((d, d.provoke.as_deref()?)))
            .filter(|(_, attempt)| made.contains(attempt))
            .filter(|(d, attempt)| !self.seen.get(*attempt).is_some_and(|ids| ids.contains(d.id.as_str())))
            .map(|(d, attempt)| {
                let others =
                    self.seen.get(attempt).map(|ids| ids.iter().copied().collect::<Vec<_>>().join(" "));
                format!("{} does not see {attempt}; seen by: {}", d.id, others.unwrap_or_default())
            })
            .collect()
    }
}
