//! Repeats of one attempt, told once in a while with a count: same detector, container, executable, object, outcome.

use std::collections::HashMap;

use sensor::event::{ContainerKey, FileId};

use super::Attempt;
use crate::alert::Outcome;

/// Nanoseconds in which repeats are one.
pub const WINDOW: u64 = 60_000_000_000;
/// Different attempts that are kept apart at once. Beyond, the one that began first is told and forgotten.
const KEPT: usize = 4096;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Same {
    detector: &'static str,
    container: Option<ContainerKey>,
    executable: FileId,
    object: String,
    /// 0 done, 1 not known, else the errno, negative.
    outcome: i32,
}

#[derive(Debug)]
struct Window {
    from: u64,
    /// The last one, with the repeats since one was told.
    untold: Option<Attempt>,
}

#[derive(Debug, Default)]
pub(super) struct Folds {
    windows: HashMap<Same, Window>,
}

impl Folds {
    /// Passes the first of its kind on, keeps the repeats. `told` gets what is to be told now.
    pub(super) fn take(&mut self, attempt: Attempt, told: &mut Vec<Attempt>) {
        let now = attempt.event.time;
        let key = Same {
            detector: &attempt.detector.id,
            container: attempt.event.actor.container,
            executable: attempt.event.actor.executable,
            object: if attempt.detector.whatever_object { String::new() } else { attempt.object.clone() },
            outcome: match &attempt.outcome {
                Outcome::Done => 0,
                Outcome::NotKnown => 1,
                Outcome::Refused { errno, .. } => -errno,
            },
        };
        if let Some(window) = self.windows.get_mut(&key) {
            if now.saturating_sub(window.from) < WINDOW {
                let count = attempt.count + window.untold.as_ref().map_or(0, |a| a.count);
                window.untold = Some(Attempt { count, again: true, ..attempt });
                return;
            }
            let untold = window.untold.take().map_or(0, |a| a.count);
            window.from = now;
            told.push(Attempt { count: attempt.count + untold, again: true, ..attempt });
            return;
        }
        if self.windows.len() >= KEPT {
            self.settle(now, told);
            self.forget_first(told);
        }
        self.windows.insert(key, Window { from: now, untold: None });
        told.push(attempt);
    }

    /// Tells the repeats of windows that have passed, and forgets those windows.
    pub(super) fn settle(&mut self, now: u64, told: &mut Vec<Attempt>) {
        self.windows.retain(|_, window| {
            let open = now.saturating_sub(window.from) < WINDOW;
            if !open {
                told.extend(window.untold.take());
            }
            open
        });
    }

    fn forget_first(&mut self, told: &mut Vec<Attempt>) {
        if self.windows.len() < KEPT {
            return;
        }
        let first = self.windows.iter().min_by_key(|(_, window)| window.from).map(|(key, _)| key.clone());
        if let Some(window) = first.and_then(|key| self.windows.remove(&key)) {
            told.extend(window.untold);
        }
    }
}
