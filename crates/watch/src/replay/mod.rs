//! Replays a capture: reads it, keeps the state that its events make, and gives each event with all that answers for
//! its fields. What is wrong with the capture is kept, and what can be read still is.

mod json;

use std::collections::BTreeMap;
use std::path::Path;

use capture::reader::Skipped;
use capture::{Error, Item, Reader};
use rules::types::TypeSet;

use crate::fields::{Clock, View};
use crate::state::{Bounds, Dropped, State};

pub use json::write_line;

/// How many faults are kept in words; all are counted.
const MOST_FAULTS: usize = 100;

/// A capture that is being replayed.
pub struct Replay {
    reader: Reader,
    state: State,
    counts: Counts,
    faults: Vec<Error>,
    fault_count: u64,
    /// Events so far, those of the sensor's own making included: sysdig's numbers.
    ordinal: u64,
    /// Something happened: what is told of containers from now on is an event.
    begun: bool,
    clock: Clock,
    time: u64,
}

/// Events, counted.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// By code of the capture; generic events also by their call.
    by_code: Vec<u64>,
    by_call: BTreeMap<u16, u64>,
    /// Told before anything happened, or by the sensor itself: no events of processes.
    pub internal: u64,
    pub events: u64,
}

impl Counts {
    fn add(&mut self, event: &capture::Event<'_>) {
        self.events += 1;
        let code = usize::from(event.code);
        if code <= 1 {
            *self.by_call.entry(event.number(0).unwrap_or_default() as u16).or_default() += 1;
            return;
        }
        if let Some(count) = self.by_code.get_mut(code) {
            *count += 1;
        }
    }

    /// How many of each type there were, enter and exit together.
    pub fn by_type(&self) -> BTreeMap<&'static str, u64> {
        let mut counts = BTreeMap::new();
        for (code, count) in self.by_code.iter().enumerate().filter(|(_, count)| **count > 0) {
            if let Some(kind) = u16::try_from(code).ok().and_then(capture::table::event_type_of) {
                *counts.entry(kind.name).or_default() += count;
            }
        }
        for (call, count) in &self.by_call {
            *counts.entry(capture::table::call_name(*call).unwrap_or("unknown")).or_default() += count;
        }
        counts
    }
}

impl Replay {
    pub fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self::new(Reader::open(path)?))
    }

    pub fn new(reader: Reader) -> Self {
        let types = capture::table::event_types().len();
        Replay {
            reader,
            state: State::new(Bounds::default()),
            counts: Counts { by_code: vec![0; types], ..Counts::default() },
            faults: Vec::new(),
            fault_count: 0,
            ordinal: 0,
            begun: false,
            clock: Clock::default(),
            time: 0,
        }
    }

    /// Takes the next item of the capture; `None` at the end. A step gives an event, or nothing where the item only
    /// changed the state: lists, events of the sensor's own making, containers told before anything happened.
    #[inline]
    pub fn step(&mut self) -> Option<Option<View<'_>>> {
        let item = match self.reader.next() {
            Ok(item) => item?,
            Err(fault) => {
                self.fault_count += 1;
                if self.faults.len() < MOST_FAULTS {
                    self.faults.push(fault);
                }
                return Some(None);
            }
        };
        let event = match item {
            Item::Event(event) => event,
            other => {
                take(&mut self.state, other);
                return Some(None);
            }
        };
        self.ordinal += 1;
        let applied = self.state.apply(&event);
        self.begun |= event.kind.name != "container";
        if self.clock.first == 0 {
            self.clock.first = event.time;
            self.time = event.time;
        }
        if applied.plan.internal || !self.begun {
            self.counts.internal += 1;
            return Some(None);
        }
        self.clock.previous = std::mem::replace(&mut self.time, event.time);
        self.counts.add(&event);
        Some(Some(View::new(&self.state, event, applied, self.ordinal, self.clock)))
    }

    /// Gives every event to `visit`, until that says false.
    pub fn for_each(&mut self, mut visit: impl FnMut(&View<'_>) -> bool) {
        while let Some(step) = self.step() {
            if let Some(view) = step
                && !visit(&view)
            {
                break;
            }
        }
    }

    /// Gives `visit` the events that rules are asked about (calls that returned, and what has no return) and whose type
    /// is wanted; the others are only counted.
    pub fn for_each_of(&mut self, wanted: &TypeSet, mut visit: impl FnMut(&View<'_>)) {
        while let Some(step) = self.step() {
            if let Some(view) = step
                && view.is_matched()
                && wanted.contains(view.applied.plan.event_type)
            {
                visit(&view);
            }
        }
    }

    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    pub fn state(&self) -> &State {
        &self.state
    }

    /// What was wrong with the capture: the first hundred faults.
    pub fn faults(&self) -> &[Error] {
        &self.faults
    }

    /// How many there were in all.
    pub fn fault_count(&self) -> u64 {
        self.fault_count
    }

    /// Blocks and events of unknown types.
    pub fn skipped(&self) -> Skipped {
        self.reader.skipped()
    }

    /// What the bounds of the state did not allow to be kept.
    pub fn dropped(&self) -> Dropped {
        self.state.dropped()
    }
}

fn take(state: &mut State, item: Item<'_>) {
    match item {
        Item::Section { .. } => state.clear(),
        Item::Machine(machine) => state.add_machine(&machine),
        Item::Interface(interface) => state.add_interface(&interface),
        Item::Account(account) => state.add_account(None, &account),
        Item::Process(process) => state.add_process(&process),
        Item::Descriptor(thread, descriptor) => state.add_descriptor(thread, &descriptor),
        Item::Event(_) => {}
    }
}
