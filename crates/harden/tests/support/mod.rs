//! What tests of trials have in common: the engines, turns, and a trial in a process of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use harden::trial::{self, JournalAt, Options, Report, Target, TrialError, interrupt_on_signals};
use rustix::process::Signal;
use sources::Context;
use sources::gather::Disk;

pub(crate) const BUSYBOX: &str = "stockade-test-busybox";
/// The newer docker client that may stand elsewhere in PATH refuses nothing, but Debian's belongs to the daemon.
pub(crate) const DOCKER: &[&str] = &["/usr/bin/docker", "-H", "unix:///run/docker.sock"];
pub(crate) const PODMAN: &[&str] = &["podman", "--runtime", "runc"];
/// This kernel's root may not raise limits, which Podman does unless told otherwise.
const PODMAN_RUN: &[&str] = &["--ulimit=nofile=20000:20000", "--ulimit=nproc=10000:10000"];

pub(crate) fn output(engine: &[&str], more: &[&str]) -> std::io::Result<Output> {
    Command::new(engine[0]).args(&engine[1..]).args(more).output()
}

/// A test's turn beside others of the engines; one that binds the host's root runs alone (crates/sources/tests).
pub(crate) struct Turn(
    #[allow(dead_code, reason = "the lock lasts as long as the file is open")] std::fs::File,
);

/// Waits for a turn, where the image is there to be tried.
pub(crate) fn present(engine: &[&str], image: &str) -> Option<Turn> {
    let there = output(engine, &["image", "inspect", image]).is_ok_and(|output| output.status.success());
    if !there {
        assert!(
            std::env::var_os("STOCKADE_ENGINES").is_none(),
            "{engine:?} has no {image}: scripts/workloads"
        );
        eprintln!("skipped: {engine:?} has no image {image}; run scripts/engines and scripts/workloads");
        return None;
    }
    let path = std::env::temp_dir().join("stockade-engine-tests.lock");
    let file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockShared).unwrap();
    Some(Turn(file))
}

/// A command line for an engine.
pub(crate) fn engine_line(engine: &[&str], more: &[&str]) -> Vec<String> {
    let mut words: Vec<&str> = engine.to_vec();
    match more.split_first() {
        Some((verb, rest)) if engine == PODMAN => {
            words.push(verb);
            words.extend(PODMAN_RUN);
            words.extend(rest);
        }
        _ => words.extend(more),
    }
    words.into_iter().map(str::to_owned).collect()
}

pub(crate) fn options(line: Vec<String>, check: &str) -> Options {
    Options { max_time: Duration::from_secs(300), ..Options::new(Target::Line(line), check).unwrap() }
}

pub(crate) fn try_run(options: &Options) -> Result<Report, TrialError> {
    let interrupt = AtomicBool::new(false);
    trial::run(options, &Disk::new(), &Context::assumed(), &interrupt, &|_, _| {})
}

pub(crate) fn run(options: &Options) -> Report {
    let report = try_run(options).unwrap_or_else(|error| panic!("{error}"));
    println!("{}", report.text());
    report
}

/// Names of the containers and networks of a trial, or of all.
pub(crate) fn labelled(engine: &[&str], id: Option<&str>) -> Vec<String> {
    let filter = match id {
        Some(id) => format!("label=dev.stockade.trial={id}"),
        None => "label=dev.stockade.trial".to_owned(),
    };
    let mut names = Vec::new();
    for list in [&["container", "ls", "--all", "--quiet"][..], &["network", "ls", "--quiet"]] {
        let listed = output(engine, &[list, &["--filter", &filter]].concat()).unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        names.extend(String::from_utf8_lossy(&listed.stdout).split_whitespace().map(str::to_owned));
    }
    names
}

pub(crate) fn scratch_folder(id: &str) -> Option<PathBuf> {
    let start = format!("stockade-trial-{id}.");
    let entries = std::fs::read_dir(std::env::temp_dir()).unwrap().flatten();
    entries
        .map(|entry| entry.path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with(&start))
}

fn events(journal: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(journal).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub(crate) fn id_in(journal: &Path) -> String {
    events(journal)[0]["id"].as_str().unwrap().to_owned()
}

pub(crate) fn runs_in(journal: &Path) -> usize {
    events(journal).iter().filter(|event| event["event"] == "run").count()
}

const CHILD: &str = "STOCKADE_TRIAL_CHILD";

/// A trial in a process of its own, which may be killed.
pub(crate) struct Child {
    process: std::process::Child,
    journal: PathBuf,
}

impl Child {
    pub(crate) fn start(journal: &Path, script: &str, check: &str) -> Child {
        let settings = journal.with_extension("child");
        std::fs::write(&settings, format!("{script}\n{check}\n")).unwrap();
        let process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "a_trial_when_asked", "--nocapture"])
            .env(CHILD, journal)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        Child { process, journal: journal.to_owned() }
    }

    /// Waits until so many runs are in the journal; gives the trial's id.
    pub(crate) fn wait_for_run(&mut self, count: usize) -> String {
        let begun = Instant::now();
        while runs_in(&self.journal) < count {
            assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", events(&self.journal));
            assert!(self.process.try_wait().unwrap().is_none(), "it ended: {:?}", events(&self.journal));
            std::thread::sleep(Duration::from_millis(20));
        }
        id_in(&self.journal)
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.process.id()).unwrap()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits for its end; whether that was a good one.
    pub(crate) fn finish(&mut self) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(120) {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.success();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        false
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The options that a child of this journal has.
pub(crate) fn child_options(journal: &Path) -> Options {
    let settings = std::fs::read_to_string(journal.with_extension("child")).unwrap();
    let (script, check) = settings.trim_end().split_once('\n').unwrap();
    let line = engine_line(DOCKER, &["run", "-d", BUSYBOX, "sh", "-c", script]);
    let journal = JournalAt::New(journal.to_owned());
    Options { jobs: 1, journal, ..options(line, check) }
}

pub(crate) fn trial_when_asked() {
    let Some(journal) = std::env::var_os(CHILD) else { return };
    let options = child_options(Path::new(&journal));
    let interrupt = interrupt_on_signals().unwrap();
    trial::run(&options, &Disk::new(), &Context::assumed(), &interrupt, &|_, _| {}).unwrap();
}

/// Each line against the published schema.
pub(crate) fn matches_schema(lines: &str) {
    let schema = include_str!("../../../../schemas/stockade.trial-1.schema.json");
    let validator = jsonschema::validator_for(&serde_json::from_str(schema).unwrap()).unwrap();
    for line in lines.lines() {
        let value = serde_json::from_str(line).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{line}: {errors:?}");
    }
}
