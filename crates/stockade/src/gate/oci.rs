//! `stockade gate oci`, and the program under the name `stockade-runtime`: a runtime to the engine, which judges what is to
//! be started and then becomes the real runtime. What starts nothing becomes it at once.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, bail};
use clap::Args;
use confinement::{Host, Runtime};
use gate::log::Log;
use gate::oci::complaint;
use gate::oci::invocation::{self, Invocation};
use gate::oci::trusted::Owners;
use gate::oci::{Gate, HookState};
use gate::{Door, InForce, Record, Ruling, Who};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use policy::{Outcome, Policy, Waivers};
use serde::Deserialize;
use sources::node::Facts;

use super::GateRules;
use crate::policy::{read_policy, read_waivers};

/// Read where nothing else is named, if it is there.
const SETTINGS: &str = "/etc/stockade/runtime.toml";

/// The name that makes this program a runtime; `stockade-runc`, `stockade-crun` and `stockade-youki` stand before the
/// runtime that they name.
const NAME: &str = "stockade-";

/// Where distributions and the projects themselves put runtimes. `PATH` is the engine's, and no door hangs on it.
const FOLDERS: [&str; 4] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"];

const SETTINGS_LIMIT: u64 = 1 << 20;
const RULES_LIMIT: u64 = 1 << 20;
/// A facts file of a host has some 200 KB.
const FACTS_LIMIT: u64 = 16 << 20;
const STATE_LIMIT: u64 = 1 << 20;

/// What whoever is refused gets for an exit code, as of runc.
const REFUSED: u8 = 1;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The runtime that stands behind this door
    #[arg(long, value_name = "PROGRAM")]
    runtime: Option<PathBuf>,

    #[command(flatten)]
    rules: GateRules,

    /// What is known of this host, as `stockade facts` writes it; without it the kernel's settings are read at each start
    #[arg(long, value_name = "FILE")]
    facts: Option<PathBuf>,

    /// Keep every decision in this log (docs/gate-log.md); what cannot be recorded is refused
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Settings; flags come before them [default: /etc/stockade/runtime.toml, if it is there]
    #[arg(long, value_name = "FILE")]
    settings: Option<PathBuf>,

    /// Be a hook: read the state of a container on standard input and fail if it may not be
    #[arg(long, conflicts_with = "arguments")]
    hook: bool,

    /// The runtime's own arguments, as an engine gives them
    #[arg(last = true, value_name = "ARGUMENT")]
    arguments: Vec<OsString>,
}

/// What is done when this door itself is broken: its rules cannot be read, its log cannot be written. What cannot be read
/// of a container is always refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Failing {
    #[default]
    Closed,
    Open,
}

/// `/etc/stockade/runtime.toml`; docs/gate-oci.md describes every key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Settings {
    runtime: Option<PathBuf>,
    policy: Option<PathBuf>,
    waivers: Option<PathBuf>,
    facts: Option<PathBuf>,
    record: Option<PathBuf>,
    failing: Failing,
    allow_annotations: Vec<String>,
    hooks: Option<Vec<PathBuf>>,
}

impl Settings {
    fn read(named: Option<&Path>) -> anyhow::Result<Settings> {
        let path = named.unwrap_or(Path::new(SETTINGS));
        if named.is_none()
            && matches!(fs::symlink_metadata(path), Err(e) if e.kind() == io::ErrorKind::NotFound)
        {
            return Ok(Settings::default());
        }
        let bytes = Owners::of_this_process().read(path, SETTINGS_LIMIT)?;
        let text = String::from_utf8(bytes).with_context(|| path.display().to_string())?;
        toml::from_str(&text).with_context(|| path.display().to_string())
    }
}

pub(super) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let settings = Settings::read(arguments.settings.as_deref());
    let mut settings = match (settings, arguments.hook) {
        (Ok(settings), _) => settings,
        (Err(error), true) => {
            return Ok(refuse(&[], &format!("denied: the settings cannot be read: {error:#}")));
        }
        (Err(error), false) => return broken(&arguments.arguments, arguments.runtime.as_deref(), &error),
    };
    let given = |flag: &Option<PathBuf>, setting: &mut Option<PathBuf>| {
        if flag.is_some() {
            setting.clone_from(flag);
        }
    };
    given(&arguments.runtime, &mut settings.runtime);
    given(&arguments.rules.policy, &mut settings.policy);
    given(&arguments.rules.waivers, &mut settings.waivers);
    given(&arguments.facts, &mut settings.facts);
    given(&arguments.record, &mut settings.record);
    if arguments.hook {
        return Ok(hook(&settings));
    }
    if arguments.arguments.is_empty() {
        bail!(
            "nothing is asked of the runtime: write its arguments after `--`, or call this program {NAME}runtime"
        );
    }
    let Some(program) = settings.runtime.clone().or_else(default_runtime) else {
        bail!("no runtime is found in {}; name one with --runtime", FOLDERS.join(", "));
    };
    Ok(pass(&settings, &program, &arguments.arguments))
}

/// Whether this program was called as a runtime: then its end. Nothing that can be put off is done before that.
pub(crate) fn called_as_runtime() -> Option<u8> {
    let mut words = env::args_os();
    let name = words.next()?;
    let behind = Path::new(&name).file_name()?.to_str()?.strip_prefix(NAME)?.to_owned();
    if !matches!(behind.as_str(), "runtime" | "runc" | "crun" | "youki") {
        return None;
    }
    let arguments: Vec<OsString> = words.collect();
    let settings = match Settings::read(None) {
        Ok(settings) => settings,
        Err(error) => {
            let program = if behind == "runtime" { None } else { installed(&behind) };
            return Some(broken(&arguments, program.as_deref(), &error).unwrap_or(REFUSED));
        }
    };
    let program = match behind.as_str() {
        "runtime" => settings.runtime.clone().or_else(default_runtime),
        named => installed(named),
    };
    let Some(program) = program else {
        let message = format!("no runtime is found in {}; name one in {SETTINGS}", FOLDERS.join(", "));
        return Some(refuse(&arguments, &message));
    };
    Some(pass(&settings, &program, &arguments))
}

/// Without its settings this door starts nothing, but what runs can still be stopped and looked at.
fn broken(arguments: &[OsString], program: Option<&Path>, error: &anyhow::Error) -> anyhow::Result<u8> {
    let program = program.map(Path::to_owned).or_else(default_runtime);
    match (invocation::read(arguments), program) {
        (Ok(Invocation::Other), Some(program)) if !arguments.is_empty() => {
            Ok(become_runtime(&program, arguments))
        }
        _ => Ok(refuse(arguments, &format!("denied: the settings of this door cannot be read: {error:#}"))),
    }
}

fn installed(name: &str) -> Option<PathBuf> {
    FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

fn default_runtime() -> Option<PathBuf> {
    installed("runc").or_else(|| installed("crun"))
}

/// Judges one call and hands it on.
fn pass(settings: &Settings, program: &Path, arguments: &[OsString]) -> u8 {
    let invocation = match invocation::read(arguments) {
        Ok(Invocation::Other) => return become_runtime(program, arguments),
        Ok(invocation) => invocation,
        Err(error) => return refuse(arguments, &format!("denied: {error}")),
    };
    let runtime = runtime_of(program);
    let state = state_folders(&runtime);
    let asked = invocation.in_words();
    let ruling = rule(settings, Door::OciRuntime, &asked, runtime, state, |gate| gate.rule(&invocation));
    if ruling.is_denied() {
        return refuse(arguments, &ruling.message);
    }
    become_runtime(program, arguments)
}

fn hook(settings: &Settings) -> u8 {
    let mut text = Vec::new();
    let state = io::stdin()
        .lock()
        .take(STATE_LIMIT)
        .read_to_end(&mut text)
        .map_err(anyhow::Error::from)
        .and_then(|_| Ok(serde_json::from_slice::<HookState>(&text)?));
    let state = match state {
        Ok(state) => state,
        Err(error) => {
            return refuse(&[], &format!("denied: no state of a container is on standard input: {error}"));
        }
    };
    let program = settings.runtime.clone().or_else(default_runtime);
    let runtime = program.as_deref().map_or(Runtime::Runc, runtime_of);
    let asked = format!("create {}", state.id);
    let ruling = rule(settings, Door::OciHook, &asked, runtime, Vec::new(), |gate| gate.rule_hook(&state));
    if ruling.is_denied() { refuse(&[], &ruling.message) } else { 0 }
}

/// Reads the rules, rules by them, and keeps what was decided.
fn rule(
    settings: &Settings,
    door: Door,
    asked: &str,
    runtime: Runtime,
    state: Vec<PathBuf>,
    ask: impl Fn(&Gate<'_>) -> Ruling,
) -> Ruling {
    let (now, begun) = (Timestamp::now(), Instant::now());
    let ruling = match rules(settings).and_then(|rules| Ok((rules, host(settings)?))) {
        Ok((rules, host)) => ask(&Gate {
            rules: &rules,
            today: now.to_zoned(TimeZone::UTC).date(),
            runtime,
            host,
            state,
            allow_annotations: &settings.allow_annotations,
            hooks: settings.hooks.as_deref(),
        }),
        Err(error) => settings.failing.ruling(&format!("the rules cannot be read: {error:#}")),
    };
    let Some(path) = &settings.record else { return ruling };
    let policy = settings.policy.as_ref().map(|path| path.to_string_lossy());
    let record = Record {
        schema: gate::record::SCHEMA,
        time: now,
        door,
        who: &own_process(),
        asked,
        policy: policy.as_deref(),
        ruling: &ruling,
        took: begun.elapsed(),
    };
    match Log::open(path).and_then(|log| log.append(&record)) {
        Ok(()) => ruling,
        Err(error) if !ruling.is_denied() => {
            let failed = settings.failing.ruling(&format!("the decision cannot be recorded: {error}"));
            ruling.and(failed)
        }
        Err(error) => {
            eprintln!("stockade: {}", complaint::line(&format!("the decision cannot be recorded: {error}")));
            ruling
        }
    }
}

impl Failing {
    /// What is said where this door is broken.
    fn ruling(self, why: &str) -> Ruling {
        match self {
            Failing::Closed => Ruling::deny(format!("denied: {why}")),
            Failing::Open => {
                let message = format!("let in, as `failing` is open: {why}");
                eprintln!("stockade: {}", complaint::line(&message));
                Ruling { outcome: Outcome::Warn, message, subjects: Vec::new() }
            }
        }
    }
}

/// The engine is not known here: its shim or monitor is who calls, as the user that this process runs as.
fn own_process() -> Who {
    let uid = fs::metadata("/proc/self").ok().map(|metadata| metadata.uid());
    Who { uid, pid: Some(std::os::unix::process::parent_id()), ..Who::default() }
}

/// The rules, out of files that only root can change.
fn rules(settings: &Settings) -> anyhow::Result<InForce> {
    let owners = Owners::of_this_process();
    let first = |problems: policy::ReadError| anyhow::anyhow!("{problems}");
    let mut rules = InForce { policy: Policy::default(), waivers: Waivers::default() };
    if let Some(path) = &settings.policy {
        owners.read(path, RULES_LIMIT)?;
        rules.policy = read_policy(path).map_err(first)?;
    }
    if let Some(path) = &settings.waivers {
        owners.read(path, RULES_LIMIT)?;
        rules.waivers = read_waivers(path).map_err(first)?;
    }
    Ok(rules)
}

fn host(settings: &Settings) -> anyhow::Result<Arc<Host>> {
    let Some(path) = &settings.facts else { return Ok(Arc::new(sources::host::read_settings())) };
    let name: Arc<str> = path.to_string_lossy().into();
    let bytes = Owners::of_this_process().read(path, FACTS_LIMIT)?;
    let text = String::from_utf8(bytes).with_context(|| name.to_string())?;
    let facts = Facts::parse(&text, &name).map_err(|problem| anyhow::anyhow!("{problem}"))?;
    Ok(Arc::new(facts.host(&name)))
}

/// By the name of the program that a link leads to.
fn runtime_of(program: &Path) -> Runtime {
    let real = program.canonicalize();
    Runtime::parse(&real.as_deref().unwrap_or(program).to_string_lossy())
}

/// Where runtimes keep their state without `--root` (runc main.go; crun src/libcrun/status.c, get_run_directory).
fn state_folders(runtime: &Runtime) -> Vec<PathBuf> {
    let name = if *runtime == Runtime::Crun { "crun" } else { "runc" };
    let own = env::var_os("XDG_RUNTIME_DIR").filter(|folder| !folder.is_empty()).map(PathBuf::from);
    let own = own.map(|folder| folder.join(name));
    let shared = Path::new("/run").join(name);
    let is_root = fs::metadata("/proc/self").is_ok_and(|m| m.uid() == 0);
    match (own, *runtime == Runtime::Crun || !is_root) {
        (Some(own), true) => vec![own, shared],
        (Some(own), false) => vec![shared, own],
        (None, _) => vec![shared],
    }
}

/// Says no where the engine looks for it.
fn refuse(arguments: &[OsString], message: &str) -> u8 {
    let message = format!("stockade: {message}");
    eprintln!("{}", complaint::line(&message));
    if let Some((path, is_json)) = invocation::log(arguments)
        && let Err(error) = complaint::log(&path, is_json, &message, Timestamp::now())
    {
        eprintln!("stockade: {}: {error}", path.display());
    }
    REFUSED
}

/// Gives this process to the runtime; returns only where that cannot be.
fn become_runtime(program: &Path, arguments: &[OsString]) -> u8 {
    let name: &OsStr = program.as_os_str();
    let error = Command::new(program).arg0(name).args(arguments).exec();
    refuse(arguments, &format!("the runtime {} cannot be started: {error}", program.display()))
}
