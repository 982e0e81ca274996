#![forbid(unsafe_code)]
//! The kernel has the last word: random containers are started with real runtimes, each measures itself with the
//! probes of `stockade facts`, and every condition that they decide is compared with what is predicted from the same
//! `config.json`. A disagreement is a bug in a reader, in a condition, in a probe, or in what was believed of the
//! kernel.
//!
//! `truth --payload PROGRAM [--count N] [--seed SEED] [--jobs N] [--only NUMBER] [--out FOLDER]`
//!
//! The program starts itself again inside a tree made for the run (`tree`), draws configurations (`configuration`,
//! `filter`), runs them (`container`), reads what they measured (`measured`) and compares (`compare`).

mod compare;
mod configuration;
mod container;
mod filter;
mod measured;
mod report;
mod tree;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use confinement::{Confinement, Fact, Origin, Runtime as ConfinementRuntime};
use sources::Context;
use sources::document::{Limits as DocumentLimits, parse_json};

use crate::configuration::{Limits, Runtime, Sample};
use crate::container::Bundle;
use crate::measured::Here;
use crate::report::Report;

struct Arguments {
    payload: PathBuf,
    count: usize,
    seed: u64,
    jobs: usize,
    only: Option<usize>,
    out: PathBuf,
    inside: bool,
    apparmor_profiles: Vec<String>,
}

fn arguments() -> Result<Arguments, String> {
    let clock = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_nanos() as u64);
    let mut parsed = Arguments {
        payload: PathBuf::new(),
        count: 1000,
        seed: clock & 0xFFFF_FFFF,
        jobs: 4,
        only: None,
        out: PathBuf::from("target/kernel-truth"),
        inside: false,
        apparmor_profiles: Vec::new(),
    };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} wants a value"));
        let number = |text: String| text.parse::<u64>().map_err(|_| format!("`{text}` is not a number"));
        match word.as_str() {
            "--payload" => parsed.payload = value()?.into(),
            "--count" => parsed.count = number(value()?)? as usize,
            "--seed" => parsed.seed = number(value()?)?,
            "--jobs" => parsed.jobs = (number(value()?)? as usize).max(1),
            "--only" => parsed.only = Some(number(value()?)? as usize),
            "--out" => parsed.out = value()?.into(),
            "--apparmor" => parsed.apparmor_profiles.push(value()?),
            "--inside" => parsed.inside = true,
            other => return Err(format!("`{other}` is not an option")),
        }
    }
    Ok(parsed)
}

fn main() -> ExitCode {
    let arguments = match arguments() {
        Ok(arguments) => arguments,
        Err(message) => {
            eprintln!("truth: {message}");
            return ExitCode::from(2);
        }
    };
    let result = if arguments.inside { inside(&arguments) } else { outside(&arguments) };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(message) => {
            eprintln!("truth: {message}");
            ExitCode::from(2)
        }
    }
}

/// Makes the folders and starts this program again in the tree.
fn outside(arguments: &Arguments) -> Result<bool, String> {
    let said = |what: &Path, error: std::io::Error| format!("{}: {error}", what.display());
    let tree = std::env::temp_dir().join(format!("stockade-truth-{}", std::process::id()));
    std::fs::create_dir(&tree).map_err(|e| said(&tree, e))?;
    std::fs::create_dir_all(&arguments.out).map_err(|e| said(&arguments.out, e))?;
    let canonical = |path: &Path| path.canonicalize().map_err(|e| said(path, e));
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut command =
        tree::enter(&tree, &canonical(&arguments.out)?, &program, &canonical(&arguments.payload)?);
    command.args(["--count", &arguments.count.to_string(), "--seed", &arguments.seed.to_string()]);
    command.args(["--jobs", &arguments.jobs.to_string()]);
    if let Some(only) = arguments.only {
        command.args(["--only", &only.to_string()]);
    }
    for profile in &arguments.apparmor_profiles {
        command.args(["--apparmor", profile]);
    }
    let status = command.status();
    // The tree's own mount went with the namespace; what is left is an empty folder.
    let _ = std::fs::remove_dir(&tree);
    match status.map_err(|e| format!("unshare: {e}"))?.code() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        code => Err(format!("the run ended with {code:?}")),
    }
}

fn inside(arguments: &Arguments) -> Result<bool, String> {
    tree::furnish().map_err(|e| format!("cannot furnish the tree: {e}"))?;
    let here = Here::look()?;
    let limits = Limits { bounding: here.bounding, apparmor_profiles: arguments.apparmor_profiles.clone() };
    let conditions = compare::conditions();
    let context = Context { host: here.host.clone(), ..Context::assumed() };
    println!("seed {}, {} containers", arguments.seed, arguments.count);
    let started = Instant::now();
    let report = Mutex::new(Report::new(arguments.seed));
    let numbers: Vec<usize> = match arguments.only {
        Some(number) => vec![number],
        None => (0..arguments.count).collect(),
    };
    let next = AtomicUsize::new(0);
    let broken = Mutex::new(None);
    std::thread::scope(|scope| {
        for worker in 0..arguments.jobs {
            let (next, numbers, report, broken) = (&next, &numbers, &report, &broken);
            let (here, limits, conditions, context) = (&here, &limits, &conditions, &context);
            scope.spawn(move || {
                let bundle = match Bundle::new(worker) {
                    Ok(bundle) => bundle,
                    Err(error) => {
                        *lock(broken) = Some(format!("cannot make a bundle: {error}"));
                        return;
                    }
                };
                while let Some(number) = numbers.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let sample = Sample::new(arguments.seed, *number, limits);
                    let predicted = match predict(&sample, context) {
                        Ok(predicted) => predicted,
                        Err(message) => {
                            lock(report).unread(&sample, &message);
                            continue;
                        }
                    };
                    match bundle.run(&sample) {
                        Err(message) => lock(report).not_started(&sample, &message),
                        Ok(found) => {
                            let (tally, disagreements) =
                                compare::compare(conditions, &sample, &predicted, &found, here);
                            lock(report).compared(&sample, &found.measured, tally, disagreements);
                        }
                    }
                }
            });
        }
    });
    tree::remove_cgroups();
    if let Some(message) = lock(&broken).take() {
        return Err(message);
    }
    let report = lock(&report);
    Ok(report.print(started.elapsed()))
}

/// A worker that panicked has been told of already; what the others counted stands.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The confinement that is read from the configuration.
fn predict(sample: &Sample, context: &Context) -> Result<Confinement, String> {
    let text = sample.config.to_string();
    let path = format!("{}/config.json", sample.number).into();
    let document = parse_json(&text, &path, &DocumentLimits::default()).map_err(|e| e.to_string())?;
    let runtime = match sample.runtime {
        Runtime::Crun => ConfinementRuntime::Crun,
        Runtime::Runc => ConfinementRuntime::Runc,
    };
    let runtime = Fact::known(runtime, Origin::assumed("the run chose it"));
    let world = sources::oci::read_with(&document, &runtime, context);
    if let Some(problem) = world.problems.first() {
        return Err(problem.to_string());
    }
    let subject = world.subjects.first().ok_or("no subject")?;
    Ok((*subject.confinement).clone())
}
