//! From events to alerts: each event is entered where state is kept, shown to the detectors and the rules, and what they find
//! is joined with the container's exposure and handed to whoever keeps and carries records.
//!
//! Data comes from the sensor, one event at a time, and goes to `deliver` as [`Record`]s. Nothing here waits: metadata, hashes,
//! the store and the outputs have threads of their own.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use sensor::event::{ContainerKey, Event, Kind, Lane, What};

use crate::alert::{Alert, Cause, Container, Exposure, Outcome, Severity};
use crate::attempts::{Attempt, Detectors};
use crate::clock::{self, Offset};
use crate::containers::{Containers, News};
use crate::executables::Executables;
use crate::outputs::{AlertCount, ContainerLine, EventCount, Snapshot};
use crate::store::{Blind, Heartbeat, Record, Seen, Trail};
use crate::surroundings::Surroundings;

/// Alerts that the live view shows.
const RECENT: usize = 200;
/// Between two heartbeats, nanoseconds.
const HEARTBEAT: u64 = 60_000_000_000;
/// Between two looks at the host's mounts and addresses, nanoseconds.
const REFRESH: u64 = 10_000_000_000;
/// Containers for which counts are kept after they ended.
const COUNTED: usize = 16_384;

/// What rules say of events, and what is recorded around alerts. Implemented by [`crate::live_rules`].
pub trait Rules {
    /// Matches of an event, in the order of the rules; called for every event.
    fn see(&mut self, event: &Event, container: Option<&Arc<Container>>, matched: &mut dyn FnMut(RuleMatch));
    /// An alert was made.
    fn alerted(&mut self, alert: &Alert);
    /// The clock of the machine was read again.
    fn clock(&mut self, offset: Offset);
    /// What went wrong since the last call.
    fn take_problems(&mut self) -> Vec<String>;
    /// Ends it; what went wrong then.
    fn close(self: Box<Self>) -> Vec<String>;
}

/// A match, as the rule words it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleMatch {
    pub rule: String,
    pub priority: String,
    pub severity: Severity,
    pub tags: Vec<String>,
    pub output: String,
    pub source_file: String,
}

/// Where records go. Called from several threads.
pub type Deliver = Arc<dyn Fn(Record) + Send + Sync>;

#[derive(Default)]
struct Tally {
    rare: u64,
    bulk: u64,
    lost: u64,
    alerts: [u64; Severity::ALL.len()],
    last_alert: Option<i64>,
}

pub struct Pipeline {
    surroundings: Surroundings,
    detectors: Detectors,
    rules: Option<Box<dyn Rules>>,
    containers: Containers,
    executables: Executables,
    deliver: Deliver,
    offset: Offset,
    began: u64,
    /// Said in every heartbeat.
    problems: Vec<String>,
    events: HashMap<(Lane, &'static str), (u64, u64)>,
    tallies: HashMap<ContainerKey, Tally>,
    alerts: BTreeMap<(&'static str, String, Severity), u64>,
    recent: VecDeque<Arc<Alert>>,
    last_heartbeat: u64,
    last_refresh: u64,
}

impl Pipeline {
    /// `problems` are what is wrong from the start, such as a rule file that is broken.
    pub fn start(
        containers: Containers,
        rules: Option<Box<dyn Rules>>,
        problems: Vec<String>,
        deliver: Deliver,
    ) -> std::io::Result<Pipeline> {
        let carry = deliver.clone();
        let executables = Executables::start(move |alert| carry(Record::Alert(Box::new(alert))))?;
        let now = clock::since_boot();
        Ok(Pipeline {
            surroundings: Surroundings::read(),
            detectors: Detectors::new(),
            rules,
            containers,
            executables,
            deliver,
            offset: Offset::now(),
            began: now,
            problems,
            events: HashMap::new(),
            tallies: HashMap::new(),
            alerts: BTreeMap::new(),
            recent: VecDeque::new(),
            last_heartbeat: now,
            last_refresh: now,
        })
    }

    /// The kinds of events that detectors read.
    pub fn wants(&self) -> &[Kind] {
        self.detectors.wants()
    }

    /// Takes in one event of the sensor.
    pub fn see(&mut self, event: &Event) {
        self.count(event);
        self.surroundings.see(event);
        self.containers.see(event);
        match &event.what {
            What::Blind { .. } => self.blind(event),
            What::Tampering { how, target } => {
                let from_container = event.actor.container.is_some();
                let (severity, summary) = match how.as_str() {
                    how if asks_to_end(how) && !from_container => (
                        Severity::Info,
                        format!("somebody on the host asks the watch to end or begin anew: {how}"),
                    ),
                    how => (Severity::High, format!("somebody reached for the sensor: {how} of {target}")),
                };
                self.about_sensor("tampering", severity, summary, Some(event));
            }
            _ => {}
        }
        for attempt in self.detectors.see(event, &self.surroundings) {
            self.attempt(&attempt);
        }
        self.match_rules(event);
    }

    /// To be called about once a second: repeats, news, heartbeats.
    pub fn tick(&mut self) {
        let now = clock::since_boot();
        if let Some(jump) = self.offset.update(Offset::now()) {
            let seconds = jump / 1_000_000_000;
            let summary =
                format!("the machine's clock was set by {seconds} s; order is kept by the time since boot");
            self.about_sensor("clock-set", Severity::Info, summary, None);
        }
        if let Some(rules) = &mut self.rules {
            rules.clock(self.offset);
            for problem in rules.take_problems() {
                self.problem(problem);
            }
        }
        for attempt in self.detectors.settle(now) {
            self.attempt(&attempt);
        }
        for news in self.containers.take_news() {
            self.news(news);
        }
        if now.saturating_sub(self.last_refresh) >= REFRESH {
            self.last_refresh = now;
            self.surroundings.refresh();
        }
        if now.saturating_sub(self.last_heartbeat) >= HEARTBEAT {
            self.heartbeat(now);
        }
    }

    /// Something that does not work as it should; told in every heartbeat from now on.
    pub fn problem(&mut self, problem: String) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// What the periodic checks found.
    pub fn found(&mut self, observation: &crate::attempts::integrity::Observation) {
        for attempt in self.detectors.found(observation, clock::since_boot()) {
            self.attempt(&attempt);
        }
    }

    /// Repeats that wait are told, and every alert is delivered.
    pub fn finish(mut self) {
        for attempt in self.detectors.settle(u64::MAX) {
            self.attempt(&attempt);
        }
        for news in self.containers.take_news() {
            self.news(news);
        }
        for problem in self.rules.take().map(Rules::close).unwrap_or_default() {
            self.problem(problem);
        }
        self.heartbeat(clock::since_boot());
        self.executables.finish();
    }

    fn count(&mut self, event: &Event) {
        let count = u64::from(event.count.max(1));
        if let What::Blind { lane, container, lost, .. } = &event.what {
            self.events.entry((*lane, "lost")).or_default().1 += lost;
            if let Some(key) = container {
                self.tally(*key).lost += lost;
            }
            return;
        }
        self.events.entry((event.lane, event.what.kind().name())).or_default().0 += count;
        if let Some(key) = event.actor.container {
            let lane = event.lane;
            let tally = self.tally(key);
            match lane {
                Lane::Rare => tally.rare += count,
                Lane::Bulk => tally.bulk += count,
            }
        }
    }

    fn tally(&mut self, key: ContainerKey) -> &mut Tally {
        if self.tallies.len() >= COUNTED && !self.tallies.contains_key(&key) {
            let containers = &self.containers;
            self.tallies.retain(|key, _| containers.get(*key).is_some());
        }
        self.tallies.entry(key).or_default()
    }

    fn attempt(&mut self, attempt: &Attempt) {
        let actor = &attempt.event.actor;
        let containers = &self.containers;
        let joined = attempt.join(|technique| match actor.container {
            Some(key) => containers.exposure(key, technique, &actor.credentials),
            None => Exposure::DoesNotApply,
        });
        let alert = Alert {
            severity: joined.severity,
            summary: attempt.summary(),
            outcome: attempt.outcome.clone(),
            exposure: joined.exposure.clone(),
            advice: attempt.advice(&joined),
            count: attempt.count,
            ..self.alert(attempt.cause(&joined), &attempt.event)
        };
        self.tell(alert);
    }

    fn match_rules(&mut self, event: &Event) {
        let Some(rules) = &mut self.rules else { return };
        let container = event.actor.container.and_then(|key| self.containers.get(key));
        let mut matches = Vec::new();
        rules.see(event, container.as_ref(), &mut |matched| matches.push(matched));
        for matched in matches {
            let (severity, summary) = (matched.severity, matched.output.clone());
            let alert = Alert { severity, summary, ..self.alert(matched.cause(), event) };
            self.tell(alert);
        }
    }

    /// An alert about an event, still without what was found.
    fn alert(&self, cause: Cause, event: &Event) -> Alert {
        let container = event.actor.container.and_then(|key| self.containers.get(key));
        Alert {
            id: 0,
            time: self.offset.wall(event.time),
            since_boot: event.time,
            cause,
            severity: Severity::Info,
            summary: String::new(),
            outcome: crate::attempts::outcome::of(event),
            exposure: Exposure::DoesNotApply,
            container: container.map(Arc::unwrap_or_clone),
            processes: self.surroundings.line(&event.actor),
            advice: Vec::new(),
            count: u64::from(event.count.max(1)),
            event: Some(event.clone()),
        }
    }

    fn about_sensor(&mut self, what: &str, severity: Severity, summary: String, event: Option<&Event>) {
        let cause = Cause::Sensor { what: what.to_owned() };
        let now = clock::since_boot();
        let alert = match event {
            Some(event) => Alert { severity, summary, ..self.alert(cause, event) },
            None => Alert {
                id: 0,
                time: self.offset.wall(now),
                since_boot: now,
                cause,
                severity,
                summary,
                outcome: Outcome::NotKnown,
                exposure: Exposure::DoesNotApply,
                container: None,
                processes: Vec::new(),
                advice: Vec::new(),
                count: 1,
                event: None,
            },
        };
        self.tell(alert);
    }

    fn tell(&mut self, alert: Alert) {
        let name = match &alert.cause {
            Cause::Attempt { technique, detector, .. } if technique.is_empty() => {
                ("technique", detector.clone())
            }
            Cause::Attempt { technique, .. } => ("technique", technique.clone()),
            Cause::Rule { name, .. } => ("rule", name.clone()),
            Cause::Sensor { what } => ("sensor", what.clone()),
        };
        *self.alerts.entry((name.0, name.1, alert.severity)).or_default() += 1;
        if let Some(container) = &alert.container {
            let (severity, time) = (alert.severity, alert.time);
            let tally = self.tally(container.key);
            if let Some(count) = tally.alerts.get_mut(severity as usize) {
                *count += 1;
            }
            tally.last_alert = Some(time);
        }
        if self.recent.len() >= RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::new(alert.clone()));
        if let Some(rules) = &mut self.rules {
            rules.alerted(&alert);
        }
        if let Err(alert) = self.executables.take(alert) {
            (self.deliver)(Record::Alert(alert));
        }
    }

    /// What was lost is kept, and alerted on where it was of the rare lane.
    fn blind(&mut self, event: &Event) {
        let What::Blind { from, until, lane, kind, container, lost } = &event.what else { return };
        (self.deliver)(Record::Blind(Blind {
            time: self.offset.wall(*until),
            since_boot: *until,
            from: *from,
            lane: *lane,
            kind: kind.clone(),
            container: *container,
            lost: *lost,
        }));
        if *lane == Lane::Rare {
            let milliseconds = until.saturating_sub(*from) / 1_000_000;
            let summary = format!("blind for {milliseconds} ms: {lost} events of kind {kind} were lost");
            self.about_sensor("blind", Severity::Medium, summary, Some(event));
        }
    }

    fn news(&mut self, news: News) {
        let now = clock::since_boot();
        match news {
            News::Known { container, .. } => self.seen(&container, now),
            News::Verdict { key, .. } => {
                if let Some(container) = self.containers.get(key) {
                    self.seen(&container, now);
                }
            }
            News::Trail(record) => self.trail(&record),
            News::EngineLost { engine, endpoint, why } => {
                let summary =
                    format!("{engine} at {endpoint} does not answer: {why}; its metadata is as it was");
                self.about_sensor("engine-lost", Severity::Low, summary, None);
            }
            News::EngineBack { engine, endpoint, missed } => {
                let gap = match missed {
                    Some(missed) if !missed.told_afterwards => {
                        let seconds = missed.until.saturating_sub(missed.from) / 1_000_000_000;
                        format!("; its events of {seconds} s are not known")
                    }
                    _ => String::new(),
                };
                self.about_sensor(
                    "engine-back",
                    Severity::Info,
                    format!("{engine} at {endpoint} answers{gap}"),
                    None,
                );
            }
            News::Contradiction { key, what } => {
                let name = self
                    .containers
                    .get(key)
                    .and_then(|c| c.name.clone())
                    .unwrap_or_else(|| key.0.to_string());
                let summary = format!(
                    "engine and kernel disagree about {name}, the kernel counts: {}",
                    what.join("; ")
                );
                self.about_sensor("contradiction", Severity::Medium, summary, None);
            }
            News::Disputed { key, id } => {
                let summary = format!(
                    "container {} is in a cgroup that names container {id}, which is another one",
                    key.0
                );
                self.about_sensor("disputed-identity", Severity::Medium, summary, None);
            }
            News::Lost { what, count } => {
                self.about_sensor("metadata-lost", Severity::Low, format!("{count} lost: {what}"), None);
            }
            News::Failed { what } => self.problem(what),
        }
    }

    fn seen(&self, container: &Container, now: u64) {
        (self.deliver)(Record::Container(Box::new(Seen {
            time: self.offset.wall(now),
            since_boot: now,
            container: container.clone(),
            ended: None,
        })));
    }

    fn trail(&mut self, record: &crate::trail::Record) {
        let container = record.container.and_then(|key| self.containers.get(key));
        let since_boot = clock::since_boot();
        let notice = record.notice();
        (self.deliver)(Record::Trail(Box::new(Trail { since_boot, step: record.clone() })));
        if let Some(notice) = notice {
            let alert = Alert {
                id: 0,
                time: record.time,
                since_boot,
                cause: Cause::Sensor { what: "privileges-raised".to_owned() },
                severity: Severity::Medium,
                summary: notice,
                outcome: Outcome::Done,
                exposure: Exposure::DoesNotApply,
                container: container.map(Arc::unwrap_or_clone),
                processes: Vec::new(),
                advice: vec![
                    "Find out who ran it and whether it was meant; `stockade events` shows the trail."
                        .to_owned(),
                ],
                count: 1,
                event: None,
            };
            self.tell(alert);
        }
    }

    fn heartbeat(&mut self, now: u64) {
        self.last_heartbeat = now;
        let sum = |wanted: Lane| {
            let of_lane = self.events.iter().filter(|((lane, _), _)| *lane == wanted);
            of_lane.fold((0, 0), |(seen, lost), (_, (s, l))| (seen + s, lost + l))
        };
        let ((rare, rare_lost), (bulk, bulk_lost)) = (sum(Lane::Rare), sum(Lane::Bulk));
        (self.deliver)(Record::Heartbeat(Heartbeat {
            time: self.offset.wall(now),
            since_boot: now,
            containers: u64::try_from(self.containers.all().iter().filter(|c| c.ended.is_none()).count())
                .unwrap_or(0),
            rare,
            rare_lost,
            bulk,
            bulk_lost,
            memory: memory(),
            problems: self.problems.clone(),
        }));
    }

    /// The state of the watch for the live view and the metrics; what others know is left empty.
    pub fn snapshot(&self) -> Snapshot {
        let now = clock::since_boot();
        let mut events: Vec<EventCount> = self
            .events
            .iter()
            .map(|((lane, kind), (seen, lost))| EventCount {
                lane: *lane,
                kind: (*kind).to_owned(),
                seen: *seen,
                lost: *lost,
            })
            .collect();
        events.sort_by(|a, b| (a.lane == Lane::Bulk, &a.kind).cmp(&(b.lane == Lane::Bulk, &b.kind)));
        let empty = Tally::default();
        let line = |live: crate::containers::Live| {
            let tally = self.tallies.get(&live.container.key).unwrap_or(&empty);
            ContainerLine {
                container: Arc::unwrap_or_clone(live.container),
                rare: tally.rare,
                bulk: tally.bulk,
                lost: tally.lost,
                alerts: tally.alerts,
                last_alert: tally.last_alert,
            }
        };
        let alerts = self.alerts.iter().map(|((cause, name, severity), count)| AlertCount {
            cause,
            name: name.clone(),
            severity: *severity,
            count: *count,
        });
        Snapshot {
            time: self.offset.wall(now),
            since_boot: now,
            began: self.began,
            events,
            alerts: alerts.collect(),
            containers: self
                .containers
                .all()
                .into_iter()
                .filter(|live| live.ended.is_none())
                .map(line)
                .collect(),
            recent: self.recent.iter().cloned().collect(),
            memory: memory(),
            processor: processor(),
            problems: self.problems.clone(),
            ..Snapshot::default()
        }
    }
}

/// SIGHUP, SIGINT and SIGTERM: how services and terminals end a program.
fn asks_to_end(how: &str) -> bool {
    matches!(how, "signal 1" | "signal 2" | "signal 15")
}

/// Resident bytes of this process (proc_pid_statm(5)).
fn memory() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok()).unwrap_or(0);
    pages * u64::try_from(rustix::param::page_size()).unwrap_or(4096)
}

/// Processor time of this process, nanoseconds.
fn processor() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}
