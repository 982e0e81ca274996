//! The watch itself: events from the sensor through the pipeline, until somebody ends it.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use rules::{FieldId, Matcher};
use sensor::{Options, Sensor};
use watch::attempts::integrity::{Integrity, Observation};
use watch::containers::{self, Containers};
use watch::live_rules::LiveRules;
use watch::outputs::service::Service;
use watch::outputs::{Board, Outputs};
use watch::pipeline::{Deliver, Pipeline, Rules};
use watch::recorder::{self, Recorder};
use watch::store::{Record, Store};
use watch::top::{self, TopError};

use super::Arguments;
use super::terminal::Terminal;
use crate::settings::Settings;

/// The longest that the sensor is waited for: signals and the live view are looked at in between.
const TURN: Duration = Duration::from_millis(100);
const TICK: Duration = Duration::from_secs(1);
/// Between two periodic checks of the kernel.
const CHECK: Duration = Duration::from_secs(60);
/// What the store and the outputs have left at the end to write and send.
const LAST: Duration = Duration::from_secs(5);

/// What signals ask for.
#[derive(Default)]
struct Asked {
    end: Arc<AtomicBool>,
    reopen: Arc<AtomicBool>,
}

impl Asked {
    fn listen() -> anyhow::Result<Asked> {
        let asked = Asked::default();
        for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
            signal_hook::flag::register(signal, asked.end.clone())?;
        }
        signal_hook::flag::register(signal_hook::consts::SIGHUP, asked.reopen.clone())?;
        Ok(asked)
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let asked = Asked::listen()?;
    let settings = Settings::read(arguments.config.as_ref())?;
    let (mut store_settings, mut output_settings) = (settings.watch.store, settings.watch.outputs);
    arguments.outputs.apply(&mut store_settings, &mut output_settings);
    let rules = super::rule_files::load(arguments)?;
    let problems = rules.as_ref().map(|rules| rules.problems.clone()).unwrap_or_default();

    let store = if arguments.no_store { None } else { Some(Arc::new(Store::open(store_settings)?)) };
    let board = Board::default();
    let outputs = Arc::new(Outputs::from(&output_settings, &board)?);
    let terminal = if arguments.top {
        None
    } else {
        Some(Arc::new(Terminal::new(
            arguments.format,
            arguments.threshold.severity(),
            super::is_coloured(arguments),
        )))
    };

    let containers = Containers::start(containers::Options::default());
    let deliver = deliver_to(store.clone(), outputs.clone(), terminal.clone());
    let matcher = rules.map(|rules| rules.matcher);
    let mut options = matcher.as_ref().map(options_for).unwrap_or_default();
    options.host = arguments.host;
    let recorder = match &arguments.capture {
        Some(folder) => Some(
            Recorder::new(recorder::Settings::to(folder.clone()))
                .with_context(|| folder.display().to_string())?,
        ),
        None => None,
    };
    let over_events: Option<Box<dyn Rules>> = match (matcher, recorder) {
        (None, None) => None,
        (matcher, recorder) => Some(Box::new(LiveRules::new(matcher, recorder))),
    };
    let mut pipeline = Pipeline::start(containers, over_events, problems, deliver)?;
    // Most detectors read kinds that the sensor tells in bulk: a file of the host is opened like any other.
    options.bulk.extend_from_slice(pipeline.wants());
    options.bulk.sort_unstable();
    options.bulk.dedup();
    let mut sensor = Sensor::start(options).context("the sensor cannot start")?;
    if let Some(path) = &arguments.ready_file {
        std::fs::write(path, "").with_context(|| path.display().to_string())?;
    }
    let mut service = Service::begin();
    service.ready();
    let view = if arguments.top { Some(show(board.clone(), asked.end.clone())?) } else { None };
    let began = Instant::now();
    let mut ticked = began;
    let observations = check_integrity()?;
    while !asked.end.load(Ordering::Relaxed) && arguments.duration.is_none_or(|time| began.elapsed() < time) {
        sensor.poll(TURN, &mut |event| pipeline.see(&event))?;
        service.alive();
        if ticked.elapsed() >= TICK {
            ticked = Instant::now();
            pipeline.tick();
            board.publish(watch::outputs::Snapshot {
                store: store.as_ref().map(|store| store.status()),
                outputs: outputs.status(),
                ..pipeline.snapshot()
            });
        }
        for observation in observations.try_iter() {
            pipeline.found(&observation);
        }
        if asked.reopen.swap(false, Ordering::Relaxed) {
            outputs.reopen();
        }
        if terminal.as_ref().is_some_and(|terminal| terminal.is_closed()) {
            break;
        }
    }
    service.ends();
    asked.end.store(true, Ordering::Relaxed);
    if let Some(view) = view {
        view.join().map_err(|_| anyhow::anyhow!("the live view failed"))??;
    }
    sensor.stop(&mut |event| pipeline.see(&event));
    pipeline.finish();
    for output in outputs.close(LAST) {
        if output.dropped + output.refused > 0 {
            let (dropped, refused) = (output.dropped, output.refused);
            eprintln!("note: {}: {dropped} records were dropped, {refused} refused", output.name);
        }
    }
    if let Some(store) = store {
        let left = store.close(LAST);
        if left > 0 {
            eprintln!("error: {left} records could not be written within {} s", LAST.as_secs());
        }
    }
    Ok(0)
}

/// What rules ask about is told every time, and not only where the sensor itself finds it rare.
fn options_for(matcher: &Matcher) -> Options {
    let types = matcher.required_event_types();
    let bulk = types.iter().filter_map(|kind| sensor::kind_of_call(kind.name())).collect();
    // Fields of processes come from what was executed, and those of descriptors with each event.
    let environment = matcher.required_fields().iter().any(|field| field.id == FieldId::ProcEnv);
    Options { bulk, environment, ..Options::default() }
}

/// The live view, on a thread of its own. Where the user ends it, the watch ends; and the other way round.
fn show(board: Board, end: Arc<AtomicBool>) -> anyhow::Result<thread::JoinHandle<Result<(), TopError>>> {
    Ok(thread::Builder::new().name("top".into()).spawn(move || {
        let result = top::run(&board, &|| end.load(Ordering::Relaxed));
        end.store(true, Ordering::Relaxed);
        result
    })?)
}

/// The periodic checks, on a thread of their own: the kernel's list of symbols alone takes tens of milliseconds.
/// The thread ends when nobody listens any more.
fn check_integrity() -> anyhow::Result<Receiver<Observation>> {
    let (tell, observations) = channel();
    thread::Builder::new().name("integrity".into()).spawn(move || {
        let mut integrity = Integrity::new(Path::new("/"));
        loop {
            for observation in integrity.run() {
                if tell.send(observation).is_err() {
                    return;
                }
            }
            thread::sleep(CHECK);
        }
    })?;
    Ok(observations)
}

/// Every record goes to the store, which numbers alerts, then to the outputs and the terminal.
fn deliver_to(store: Option<Arc<Store>>, outputs: Arc<Outputs>, terminal: Option<Arc<Terminal>>) -> Deliver {
    Arc::new(move |mut record: Record| {
        if let Some(store) = &store {
            if let Record::Alert(alert) = &mut record {
                alert.id = store.next_alert();
            }
            store.keep(record.clone());
        }
        if let Some(terminal) = &terminal {
            terminal.show(&record);
        }
        outputs.offer(&Arc::new(record));
    })
}
