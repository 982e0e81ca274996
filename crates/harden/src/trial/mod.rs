//! Trials: the least that a workload needs, found by running it.
//!
//! A trial starts the container of a `docker run` line or of a Compose service with everything removed that the
//! recommended level removes, asks a [`Check`] whether the workload works, and by delta debugging finds a set of grants
//! from which nothing can be taken. [`workload`] reads what is tried, [`scratch`] stands in for its volumes,
//! [`containers`] runs one attempt, [`search`] decides what to attempt, [`journal`] keeps every run as evidence, and
//! [`outcome`] says what was found. Documented in `docs/trial.md`.
//!
//! Everything a trial makes is labelled with its owner and removed when it ends; what a killed trial left is removed by
//! the next.

mod check;
mod containers;
mod engine;
pub mod evidence;
pub mod grant;
pub mod journal;
pub mod minimise;
mod observe;
pub mod outcome;
mod owner;
mod program;
mod scratch;
mod search;
mod workload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use confinement::{Capability, CapabilitySet, EngineKind, Problem};
use sources::Context;
use sources::compose::Files;

pub use check::Check;
pub use grant::{Grant, User};
pub use outcome::{Report, Solution, State};
pub use workload::Target;

use containers::Containers;
use engine::Engine;
use journal::{Event, Header, Journal, Run, fingerprint};
use owner::{DEADLINE_LABEL, LABEL, OWNER_LABEL, Owner};
use scratch::{Copying, Scratch};
use search::{Budget, Cut, Search, Universe};
use workload::Workload;

/// Why a trial came to nothing. Each says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    #[error("`{program}` is not a program here; install it, or name the engine that is there")]
    NoEngine { program: String },
    #[error("{call}: {message}")]
    Engine { call: String, message: String },
    #[error("{engine} has no image `{image}`; nothing is pulled for a trial: pull or build it first")]
    NoImage { image: String, engine: &'static str },
    #[error("service `{service}` names no `image:`; build it and name it")]
    NoImageNamed { service: String },
    #[error("{0}")]
    Line(String),
    #[error("{}", problems(.0))]
    Problems(Vec<Problem>),
    #[error("--check {0}")]
    Check(String),
    #[error(
        "the check fails with everything granted, so nothing can be learnt from it; run {}: {}{}",
        run.number, run.reason(), log_of(run)
    )]
    CheckFails { run: Box<Run> },
    #[error(
        "the check passes where the workload does not run (run {run}{}), so it says nothing of it; \
         check something that the workload does, or give --allow-vacuous",
        if said.is_empty() { String::new() } else { format!(": {said}") }
    )]
    Vacuous { run: u32, said: String },
    #[error(
        "runs of the same grants disagree too often to tell what is needed ({}); make the check steadier",
        runs.iter().map(|run| format!("run {run}")).collect::<Vec<_>>().join(", ")
    )]
    Flaky { runs: Vec<u32> },
    #[error("{}:{line}: {message}", path.display())]
    Journal { path: PathBuf, line: usize, message: String },
    #[error("{}: this journal is of another trial: {message}", path.display())]
    OtherTrial { path: PathBuf, message: String },
    #[error("{path}: {message}")]
    File { path: String, message: String },
    #[error("interrupted")]
    Interrupted,
}

impl TrialError {
    fn file(path: &Path, error: &std::io::Error) -> TrialError {
        TrialError::File { path: path.display().to_string(), message: error.to_string() }
    }
}

fn problems(problems: &[Problem]) -> String {
    match problems {
        [] => "what is to be tried cannot be read".to_owned(),
        list => list.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"),
    }
}

/// The last lines of a run's log, indented.
fn log_of(run: &Run) -> String {
    let last = run.log.get(run.log.len().saturating_sub(8)..).unwrap_or_default();
    last.iter().map(|line| format!("\n  | {line}")).collect()
}

/// A flag that ends waiting.
trait Interrupt {
    fn ended(&self) -> Result<(), TrialError>;
}

impl Interrupt for AtomicBool {
    fn ended(&self) -> Result<(), TrialError> {
        if self.load(Ordering::Relaxed) { Err(TrialError::Interrupted) } else { Ok(()) }
    }
}

/// What the command line says of a trial.
#[derive(Clone, Debug)]
pub struct Options {
    pub target: Target,
    pub check: Check,
    /// As it was given, for the report and the journal.
    pub check_text: String,
    /// How long the first run may take to pass its check. Later ones get three times what the slowest took that
    /// passed, and two seconds, and never more than this.
    pub start_timeout: Duration,
    pub max_runs: u32,
    pub max_time: Duration,
    /// Containers at the same time.
    pub jobs: usize,
    /// Look also for what it needs under the user of its own line or image, where another does.
    pub also_own_user: bool,
    /// Where the journal goes: a new file, one to go on with, or none.
    pub journal: JournalAt,
    /// The largest volume that is copied, in bytes.
    pub copy_limit: u64,
    pub allow_socket: bool,
    pub allow_host_network: bool,
    pub allow_vacuous: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JournalAt {
    Nowhere,
    New(PathBuf),
    /// A journal of the same trial, whose runs are not run again.
    Resume(PathBuf),
}

impl Options {
    /// With the defaults of the command line.
    pub fn new(target: Target, check: &str) -> Result<Options, TrialError> {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Options {
            target,
            check: check.parse()?,
            check_text: check.to_owned(),
            start_timeout: Duration::from_secs(60),
            max_runs: 200,
            max_time: Duration::from_secs(30 * 60),
            jobs: (processors / 2).clamp(1, 4),
            also_own_user: false,
            journal: JournalAt::Nowhere,
            copy_limit: 64 << 20,
            allow_socket: false,
            allow_host_network: false,
            allow_vacuous: false,
        })
    }
}

/// Where journals are kept when nobody says: `$XDG_STATE_HOME/stockade/trials`, or the same in the home folder
/// (XDG Base Directory Specification). `None` without a home.
pub fn default_journal() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    Some(state.join(format!("stockade/trials/{}.jsonl", new_id())))
}

/// A flag that SIGINT, SIGTERM and SIGHUP set. A second one ends the process at once; what it leaves is removed by the
/// next trial.
pub fn interrupt_on_signals() -> std::io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM, signal_hook::consts::SIGHUP] {
        // Registered first, it acts on the flag that an earlier signal set.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, flag.clone())?;
        signal_hook::flag::register(signal, flag.clone())?;
    }
    Ok(flag)
}

/// Told before each run, with its number and what it is for.
pub type Progress<'a> = dyn Fn(u32, &str) + Sync + 'a;

/// Short, and not the same for two trials of one machine.
fn new_id() -> String {
    use std::sync::atomic::AtomicU32;
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    format!("{:x}-{:x}-{count:x}", owner::now(), std::process::id())
}

/// Removes what trials that have ended without cleaning up left with this engine, and tells how many things that were.
/// What a running trial uses stays.
pub fn clean_up(engine: EngineKind, program: Vec<String>) -> Result<usize, TrialError> {
    let own = Owner::current();
    Ok(Engine::new(engine, program)?.sweep(&own)? + scratch::sweep(&own))
}

/// Removes what a trial made, however it ends.
struct Cleaning<'a> {
    engine: &'a Engine,
    id: &'a str,
    done: bool,
}

impl Cleaning<'_> {
    fn now(mut self) -> Result<(), TrialError> {
        self.done = true;
        self.engine.remove_trial(self.id)
    }
}

impl Drop for Cleaning<'_> {
    fn drop(&mut self) {
        if !self.done {
            // The error that led here is the one to tell; what stays is swept by the next trial.
            let _ = self.engine.remove_trial(self.id);
        }
    }
}

/// Runs a trial to its end, or to that of its budget. `interrupt` ends it early, with what is known by then.
pub fn run(
    options: &Options,
    files: &dyn Files,
    context: &Context,
    interrupt: &AtomicBool,
    progress: &Progress<'_>,
) -> Result<Report, TrialError> {
    let begun = Instant::now();
    let workload = workload::read(&options.target, files, context, options.allow_host_network)?;
    let engine = Engine::new(workload.engine, workload.program.clone())?;
    let own = Owner::current();
    let image = engine.inspect_image(&workload.image)?;
    let image_id = image.get("Id").and_then(serde_json::Value::as_str).unwrap_or_default().to_owned();
    let header = Header {
        id: new_id(),
        started: owner::now(),
        engine: engine.kind.name().to_owned(),
        image: workload.image.clone(),
        image_id: image_id.clone(),
        check: options.check_text.clone(),
        fingerprint: of_trial(&workload, options, &image_id),
    };
    let (mut journal, past) = open_journal(&options.journal, &header)?;
    let mut notes = workload.notes.clone();
    let swept = engine.sweep(&own)? + scratch::sweep(&own);
    if swept > 0 {
        notes.push(format!("removed {swept} things that an earlier trial left when it was killed"));
    }
    let id = header.id.clone();
    let cleaning = Cleaning { engine: &engine, id: &id, done: false };
    let deadline = owner::now() + options.max_time.as_secs() + 600;
    let labels = [
        format!("--label={LABEL}={id}"),
        format!("--label={OWNER_LABEL}={own}"),
        format!("--label={DEADLINE_LABEL}={deadline}"),
    ];
    let mut scratch = Scratch::new(&id, &own)?;
    scratch.prepare(&Copying {
        workload: &workload,
        engine: &engine,
        labels: &labels,
        limit: options.copy_limit,
        allow_socket: options.allow_socket,
    })?;
    notes.append(&mut scratch.notes);
    interrupt.ended()?;
    let network = make_network(&engine, &workload, &id, &labels)?;
    let own_user = own_user(&engine, &workload, &image, &scratch, &labels)?;
    let health = workload.health.clone().or_else(|| observe::image_health(&image));
    if options.check == Check::Health && health.is_none() {
        return Err(TrialError::Check("health: neither the image nor the line has a health check".into()));
    }
    let universe = universe(&workload, &scratch, own_user.clone());
    let containers = Containers {
        engine: &engine,
        workload: &workload,
        scratch: &scratch,
        scratch_file: scratch.file("look.tar"),
        id: &id,
        labels: &labels,
        network,
        check: &options.check,
        health,
        own: own_user,
        image_volumes: observe::image_volumes(&image),
        interrupt,
        folders: Mutex::new(BTreeMap::new()),
        last_address: Mutex::new(String::new()),
    };
    let budget = Budget {
        runs: options.max_runs,
        time: options.max_time,
        start_timeout: options.start_timeout,
        jobs: options.jobs,
        also_own_user: options.also_own_user,
        allow_vacuous: options.allow_vacuous,
    };
    let found = Search::new(&containers, &universe, &budget, &mut journal, past, progress).run();
    let cleaned = cleaning.now();
    let found = found?;
    cleaned?;
    let state = match found.cut {
        None => State::Complete,
        Some(Cut::Runs) => State::OutOfRuns,
        Some(Cut::Time) => State::OutOfTime,
        Some(Cut::Interrupted) => State::Interrupted,
    };
    journal.write(Event::End { state: state.words().to_owned() })?;
    notes.extend(found.notes);
    Ok(Report {
        schema: journal::SCHEMA,
        event: "report",
        id: id.clone(),
        subject: workload.subject.name.clone(),
        image: workload.image.clone(),
        check: options.check_text.clone(),
        state,
        runs: found.runs,
        seconds: begun.elapsed().as_secs(),
        solutions: found.solutions,
        failed_users: found.failed_users,
        notes,
        journal: journal.path().map(Path::to_owned),
        confinement: workload.confinement().clone(),
    })
}

/// Everything that decides what a run is, the budget apart.
fn of_trial(workload: &Workload, options: &Options, image_id: &str) -> String {
    let lists = format!(
        "{:?} {:?} {:?} {:?} {:?}",
        workload.program, workload.kept, workload.command, workload.asked, workload.asked_user
    );
    let mounts: Vec<String> = workload
        .mounts
        .iter()
        .map(|m| format!("{} {:?} {:?}", m.target, m.source.value, m.read_only.value))
        .collect();
    let switches = format!(
        "{} {} {} {} {} {:?}",
        workload.asked_privileged,
        workload.asked_read_only,
        workload.asked_no_new_privileges,
        options.allow_socket,
        options.allow_host_network,
        workload.capabilities
    );
    fingerprint(&[image_id, &options.check_text, &lists, &mounts.join("|"), &switches])
}

fn open_journal(at: &JournalAt, header: &Header) -> Result<(Journal, Vec<Event>), TrialError> {
    let start = |mut journal: Journal| {
        journal.write(Event::Trial(header.clone()))?;
        Ok((journal, Vec::new()))
    };
    match at {
        JournalAt::Nowhere => Ok((Journal::none(), Vec::new())),
        JournalAt::New(path) => {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                std::fs::create_dir_all(folder).map_err(|error| TrialError::file(folder, &error))?;
            }
            start(Journal::create(path)?)
        }
        JournalAt::Resume(path) => {
            let (journal, events) = Journal::open(path)?;
            let other = |message: String| TrialError::OtherTrial { path: path.clone(), message };
            match events.first() {
                None => start(journal),
                Some(Event::Trial(first)) if first.fingerprint == header.fingerprint => Ok((journal, events)),
                Some(Event::Trial(first)) => Err(other(format!(
                    "it tried {} with the check `{}`, or was given other options",
                    first.image, first.check
                ))),
                Some(_) => Err(other("it does not begin with a trial".into())),
            }
        }
    }
}

/// The network of this trial, from which nothing outside is reached.
fn make_network(
    engine: &Engine,
    workload: &Workload,
    id: &str,
    labels: &[String],
) -> Result<String, TrialError> {
    if workload.no_network {
        return Ok("none".to_owned());
    }
    let name = format!("stockade-trial-{id}");
    let mut words = vec!["network".to_owned(), "create".to_owned(), "--internal".to_owned()];
    words.extend(labels.iter().cloned());
    words.push(name.clone());
    engine.ask(&words)?;
    Ok(name)
}

/// The user of the line, or of the image, in numbers where the image knows it.
fn own_user(
    engine: &Engine,
    workload: &Workload,
    image: &serde_json::Value,
    scratch: &Scratch,
    labels: &[String],
) -> Result<User, TrialError> {
    let of_image = ["/Config/User", "/User"]
        .iter()
        .find_map(|pointer| image.pointer(pointer).and_then(serde_json::Value::as_str))
        .unwrap_or_default();
    let name = workload.asked_user.as_deref().unwrap_or(of_image);
    let mut ids = observe::resolve(name, "", "");
    if !name.is_empty() {
        let container = scratch::create_unstarted(engine, &workload.image, labels, &[])?;
        let file = |path| observe::file(engine, &container, path, &scratch.file("passwd.tar"));
        let found = file("/etc/passwd").and_then(|passwd| Ok((passwd, file("/etc/group")?)));
        engine.remove_container(&container)?;
        let (passwd, group) = found?;
        ids = observe::resolve(name, &passwd, &group);
    }
    Ok(User { option: workload.asked_user.clone(), ids })
}

fn universe(workload: &Workload, scratch: &Scratch, own: User) -> Universe {
    let mut asked = workload.asked.clone();
    asked.extend(scratch.grants.iter().cloned());
    let mut capabilities = workload.capabilities;
    if workload.asked_privileged {
        // Its parts, so that some of them may do.
        let parts: &[&str] = match workload.engine {
            EngineKind::Podman => {
                &["seccomp=unconfined", "apparmor=unconfined", "label=disable", "unmask=ALL"]
            }
            _ => &["seccomp=unconfined", "apparmor=unconfined", "label=disable", "systempaths=unconfined"],
        };
        asked.extend(parts.iter().map(|part| Grant::Option("security-opt".into(), (*part).to_owned())));
        // Engines older than these capabilities do not know their names (Docker before 20.10.?, runc before 1.0-rc93).
        for new in [Capability::PERFMON, Capability::BPF, Capability::CHECKPOINT_RESTORE] {
            capabilities = capabilities.without(new);
        }
    }
    asked.dedup();
    let (uid, gid) = techniques::needs::user(workload.confinement());
    let mut more_users = vec![User::of_ids(uid, gid)];
    let anybody = User::of_ids(techniques::needs::NON_ROOT.0, techniques::needs::NON_ROOT.1);
    if !more_users.contains(&anybody) {
        more_users.push(anybody);
    }
    Universe {
        asked,
        capabilities: if capabilities.is_empty() { CapabilitySet::EMPTY } else { capabilities },
        privileged: workload.asked_privileged,
        read_only: workload.asked_read_only,
        no_new_privileges: workload.asked_no_new_privileges,
        own,
        more_users,
    }
}
