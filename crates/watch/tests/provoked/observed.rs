//! The sensor while containers run, and its events by the call that `provoke` says it made.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sensor::event::{ContainerKey, Event, What};
use sensor::{Kind, Options, Sensor};

use crate::containers::{Ran, Runtime, Strength};
use crate::detected::{Detected, Looking};
use crate::expected::tells;

/// What the sensor told while a container ran.
pub(crate) struct Observed {
    pub(crate) ran: Ran,
    pub(crate) key: ContainerKey,
    pub(crate) events: Vec<Event>,
}

/// How long events of a container that has ended may take to come.
const SETTLE: Duration = Duration::from_millis(600);

/// The sensor of this process, started by the first test: the kernel takes seconds to verify its programs.
static SENSOR: Mutex<Option<Sensor>> = Mutex::new(None);
static REFUSED: AtomicBool = AtomicBool::new(false);

/// Runs `provoke` with these arguments in a container that the sensor and all detectors watch. None, with the reason printed, where
/// this machine cannot.
pub(crate) fn observe(runtime: Runtime, strength: Strength, arguments: &[&str]) -> Option<Detected> {
    // A test that failed while it held the sensor leaves it as it is.
    let mut slot = SENSOR.lock().unwrap_or_else(PoisonError::into_inner);
    if slot.is_none() {
        // Everything, and nothing folded: a masked path is the same file as another one.
        *slot = Some(start(Options {
            bulk: Kind::ALL.to_vec(),
            fold: Duration::ZERO,
            budget: 1_000_000,
            rare_buffer: 32 << 20,
            bulk_buffer: 32 << 20,
            ..Options::default()
        })?);
    }
    let mut looking = Looking::new();
    let sensor = slot.as_mut()?;
    let observed = observe_by(sensor, runtime, strength, arguments, &mut |event| looking.see(event));
    Some(looking.end(observed))
}

/// By a sensor of its own; `see` gets every event when it comes.
pub(crate) fn observe_with(
    options: Options,
    runtime: Runtime,
    strength: Strength,
    arguments: &[&str],
    see: &mut dyn FnMut(&Event),
) -> Option<Observed> {
    Some(observe_by(&mut start(options)?, runtime, strength, arguments, see))
}

fn observe_by(
    sensor: &mut Sensor,
    runtime: Runtime,
    strength: Strength,
    arguments: &[&str],
    see: &mut dyn FnMut(&Event),
) -> Observed {
    let mut events: Vec<Event> = Vec::new();
    let mut poll = |wait: Duration| {
        let mut take = |event: Event| {
            see(&event);
            events.push(event);
        };
        sensor.poll(wait, &mut take).expect("the sensor is polled");
    };
    let ran = runtime.run(strength, arguments, &mut poll).expect("the container runs");
    let end = Instant::now() + SETTLE;
    while Instant::now() < end {
        poll(Duration::from_millis(50));
    }
    let key = key_of(&events, &ran.id);
    Observed { ran, key, events }
}

fn start(options: Options) -> Option<Sensor> {
    assert!(!REFUSED.load(Ordering::Relaxed), "the sensor did not start for another test");
    let begun = Instant::now();
    match Sensor::start(options) {
        Ok(sensor) => {
            println!("started in {:.1} s", begun.elapsed().as_secs_f32());
            for capability in sensor.capabilities() {
                let reason = capability.reason.as_deref().unwrap_or("works");
                println!("capability: {} {}: {reason}", capability.layer, capability.hook);
            }
            Some(sensor)
        }
        Err(error) if !rustix::process::geteuid().is_root() => {
            eprintln!("skipped: the sensor needs root: {error}");
            None
        }
        Err(error) => {
            // The other tests of this process need not wait for the same answer.
            REFUSED.store(true, Ordering::Relaxed);
            panic!("the sensor does not start: {error}")
        }
    }
}

/// The container whose cgroup is named after the engine's identifier.
fn key_of(events: &[Event], id: &str) -> ContainerKey {
    let mut keys: BTreeSet<ContainerKey> = BTreeSet::new();
    let mut paths = Vec::new();
    for event in events {
        if let What::ContainerStarted { key, cgroup_path, .. } = &event.what {
            paths.push(cgroup_path.clone());
            if cgroup_path.contains(id) {
                keys.insert(*key);
            }
        }
    }
    assert_eq!(
        keys.len(),
        1,
        "containers started with the cgroup {id}: {keys:?}; all that started: {paths:?}"
    );
    keys.pop_first().expect("one key")
}

impl Observed {
    /// The events of each process that `provoke` started in the container, those of its children among them, by the
    /// number that it has inside.
    pub(crate) fn by_process(&self) -> BTreeMap<u32, Vec<&Event>> {
        let own = || self.events.iter().filter(|event| event.actor.container == Some(self.key));
        // All forks first: those come by the rare lane, and what a child did by the other one may be read before.
        let started_by: BTreeMap<u32, u32> = own()
            .filter_map(|event| match &event.what {
                What::Fork { child_inside, .. } => Some((*child_inside, event.actor.process_inside)),
                _ => None,
            })
            .collect();
        let mut groups: BTreeMap<u32, Vec<&Event>> = BTreeMap::new();
        let makers: BTreeSet<u32> = self.ran.made.iter().map(|made| made.process).collect();
        for event in own() {
            let mut maker = event.actor.process_inside;
            while !makers.contains(&maker) {
                match started_by.get(&maker) {
                    Some(parent) => maker = *parent,
                    None => break,
                }
            }
            groups.entry(maker).or_default().push(event);
        }
        groups
    }

    /// What was told while an attempt was made, for a person.
    pub(crate) fn told(&self, attempt: &str) -> String {
        let groups = self.by_process();
        let processes: BTreeSet<u32> =
            self.ran.made.iter().filter(|made| made.attempt == attempt).map(|made| made.process).collect();
        let events = processes.iter().filter_map(|process| groups.get(process)).flatten();
        events.map(|e| format!("{:?} = {}: {:?}\n", e.entry, e.result, e.what)).collect()
    }

    /// The calls that no event tells, as lines for a person.
    pub(crate) fn untold(&self) -> Vec<String> {
        let groups = self.by_process();
        let mut untold = Vec::new();
        for made in &self.ran.made {
            let events = groups.get(&made.process).map_or(&[][..], Vec::as_slice);
            if !events.iter().any(|event| tells(event, made)) {
                let mut seen: Vec<String> =
                    events.iter().map(|e| format!("{}={}", e.what.name(), e.result)).collect();
                seen.dedup();
                untold.push(format!(
                    "{}: {} = {}; told: {}",
                    made.attempt,
                    made.call,
                    made.result,
                    seen.join(" ")
                ));
            }
        }
        untold
    }
}
