//! `stockade audit`: targets become a world, the world is judged, the judgement is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use confinement::{
    Engine, EngineKind, Fact, Form, Origin, PodDeclaration, Problem, Subject, SubjectKind, World,
};
use policy::{Decision, Mode, Outcome, Standard, StandardResult, Waived};
use report::{Report, text};
use sources::engine_api::{self, Wanted};
use sources::gather::{self as files_of, Overlay};
use sources::host::read_host;
use sources::inventory::{Asked, HostInventory, Inventory};
use sources::node::Facts;
use sources::{Context, compose, process, run};
use techniques::judge::{self, Judged, Options, Verdict};
use techniques::severity::Severity;
use techniques::technique::Catalogue;

use crate::arguments::{Audit, Colour, ContextArguments, Format, Threshold};
use crate::policy::{decide, tell};

/// Standard input is read up to here.
const MAX_STDIN_BYTES: u64 = 64 << 20;

pub(crate) fn run(arguments: &Audit) -> anyhow::Result<u8> {
    let mut input = Input::default();
    let here = is_bare(arguments);
    let targets = if here { whatever_is_here() } else { arguments.targets.clone() };
    let (context, notes) = context_of(&arguments.given.context, &targets)?;
    let mut world = gather(
        &targets,
        &arguments.given.run,
        &arguments.given.files,
        &context,
        &Overlay::new(),
        &mut input,
    )?;
    world.notes.extend(notes);
    let (standards, noted) = standards(arguments, &targets, &world)?;
    world.notes.extend(noted);
    let governance = &arguments.governance;
    let policy = governance.policy()?;
    let judgement = judge::judge(&world, Options { depth: arguments.depth });
    let today = governance.today();
    let waivers = governance.waivers(&mut world, &judgement, &input, policy.as_ref())?;
    let decisions = policy.as_ref().map(|p| decide(p, &world, &judgement, arguments.depth, &waivers, today));
    let decisions = decisions.unwrap_or_default();
    let mut waived = Waived::of(&world, &judgement, waivers, today);
    decisions.iter().for_each(|(_, decision)| waived.note(decision));
    let fails_standard = fails_standard(&world, &standards, &mut waived);
    tell(&waived, &mut world);
    let report = Report {
        world: &world,
        judgement: &judgement,
        catalogue: Catalogue::get(),
        standards: &standards,
        waived: &waived,
        decisions: &decisions,
        targets: &targets,
        version: env!("CARGO_PKG_VERSION"),
        threshold: arguments.depth,
        all: arguments.all,
    };
    match &arguments.output {
        Some(path) => {
            let mut file =
                BufWriter::new(fs::File::create(path).with_context(|| path.display().to_string())?);
            write(arguments, &report, &input, false, &mut file)?;
            file.flush()?;
        }
        None => {
            let terminal = io::stdout().is_terminal();
            let mut out = BufWriter::new(io::stdout().lock());
            let written = write(arguments, &report, &input, terminal, &mut out)
                .and_then(|()| out.flush().map_err(Into::into));
            // Whoever reads has seen enough (`| head`); what was found is found all the same.
            if let Err(error) = written
                && !crate::is_broken_pipe(&error)
            {
                return Err(error);
            }
        }
    }
    for problem in &world.problems {
        eprintln!("error: {}", report::printable(&problem.to_string()));
    }
    let code = exit_code(arguments, &report, fails_standard);
    // What could not be decided does not pass.
    let undecided = standards.iter().any(|(_, result)| result.result == policy::Verdict::Unknown);
    Ok(if code == 0 && undecided { 2 } else { code })
}

/// 2 if something could not be read or judged, so that a partial view never passes; 1 for findings; 0 otherwise.
fn exit_code(arguments: &Audit, report: &Report<'_>, fails_standard: bool) -> u8 {
    let Report { world, judgement, .. } = report;
    if !world.problems.is_empty() {
        return 2;
    }
    let threshold: Severity = arguments.threshold.into();
    if fails_standard || report.waived.has_expired() {
        return 1;
    }
    if arguments.governance.policy.is_some() {
        return decided(report.decisions);
    }
    let counts = |f: &judge::Finding| f.severity >= threshold && f.depth.max < arguments.depth.max(1);
    let finds =
        |j: &Judged| j.paths.iter().chain(&j.lateral).any(|f| counts(f) && report.waiver(j, f).is_none());
    if judgement.subjects.iter().any(finds) {
        return 1;
    }
    let decides = |j: &Judged| {
        let mut possible = j.paths.iter().filter(|f| f.depth.min == 0 && f.depth.max > 0).peekable();
        j.verdict == Verdict::Undetermined
            && (possible.peek().is_none() || possible.any(|f| report.waiver(j, f).is_none()))
    };
    if judgement.subjects.iter().any(decides) { 2 } else { 0 }
}

/// Whether a control is not met that nobody waives.
fn fails_standard(world: &World, standards: &[(usize, StandardResult)], waived: &mut Waived) -> bool {
    let mut fails = false;
    for (i, result) in standards {
        for control in result.controls.iter().filter(|c| c.result == policy::Verdict::Fail) {
            let id = format!("{}/{}", result.standard, control.id);
            let subject = world.subjects.get(*i);
            fails |= subject.is_none_or(|s| waived.control(s, &id, control.location.as_ref()).is_none());
        }
    }
    fails
}

/// 1 for what a policy denies; 2 where all that it denies is what could not be decided.
fn decided(decisions: &[(usize, Decision)]) -> u8 {
    let denied = || decisions.iter().map(|(_, d)| d).filter(|d| d.outcome == Outcome::Deny);
    let refused =
        |d: &Decision| d.reasons.iter().any(|r| r.mode == Mode::Enforce && &*r.rule != "undetermined");
    match (denied().any(refused), denied().next().is_some()) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    }
}

impl From<Threshold> for Severity {
    fn from(threshold: Threshold) -> Severity {
        match threshold {
            Threshold::Low => Severity::Low,
            Threshold::Medium => Severity::Medium,
            Threshold::High => Severity::High,
            Threshold::Critical => Severity::Critical,
        }
    }
}

/// What the user typed, for excerpts: text that is in no file. And what live sources said, which is asked once.
#[derive(Debug, Default)]
pub(crate) struct Input {
    pub(crate) texts: BTreeMap<String, Arc<str>>,
    typed: Vec<u8>,
    live: Option<World>,
}

impl Input {
    /// For reading the same targets again: what was typed and what live sources said is not asked for twice.
    pub(crate) fn again(&self) -> Input {
        Input { texts: self.texts.clone(), typed: self.typed.clone(), live: self.live.clone() }
    }

    pub(crate) fn text_of(&self, path: &str) -> Option<Arc<str>> {
        if let Some(text) = self.texts.get(path) {
            return Some(text.clone());
        }
        let bytes = sources::walk::read_bounded(Path::new(path), files_of::MAX_FILE_BYTES).ok()?;
        String::from_utf8(bytes).ok().map(|t| t.trim_start_matches('\u{feff}').into())
    }
}

/// Whether nothing was named to be judged.
fn is_bare(arguments: &Audit) -> bool {
    arguments.targets.is_empty() && arguments.given.run.is_empty() && arguments.given.files.is_empty()
}

/// Targets that are read from this machine as it runs.
pub(crate) fn is_live(target: &str) -> bool {
    ["docker:", "podman:", "proc:", "host:"].iter().any(|scheme| target.starts_with(scheme))
}

/// This host, the engines whose sockets are here, and every container that /proc shows.
pub(crate) fn whatever_is_here() -> Vec<String> {
    let mut targets = vec!["host:".to_owned()];
    let socket = |path: &str| Path::new(path).exists();
    let user = std::env::var("XDG_RUNTIME_DIR").unwrap_or_default();
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    if set("DOCKER_HOST") || socket("/run/docker.sock") || socket(&format!("{user}/docker.sock")) {
        targets.push("docker:".to_owned());
    }
    if set("CONTAINER_HOST")
        || socket("/run/podman/podman.sock")
        || socket(&format!("{user}/podman/podman.sock"))
    {
        targets.push("podman:".to_owned());
    }
    targets.push("proc:".to_owned());
    targets
}

/// The host, judged by what the engine that is installed gives any container it starts here.
fn host_subject(context: &Context) -> Subject {
    let host = &context.host;
    let installed =
        |name: &str| host.components.get(name).and_then(|c| c.get()).and_then(|c| c.version.clone());
    let engine = [
        ("docker", EngineKind::Docker),
        ("podman", EngineKind::Podman),
        ("containerd", EngineKind::Containerd),
    ]
    .into_iter()
    .find_map(|(name, kind)| Some(Engine::of_release(kind, &installed(name)?)))
    .map_or_else(|| context.docker.clone(), Arc::new);
    let name = host.name.clone().unwrap_or_else(|| "this host".into());
    Subject {
        id: format!("host:{name}").into(),
        name: format!("a container by default of {} on {name}", engine.label).into(),
        kind: SubjectKind::Host,
        form: Form::Measured,
        place: None,
        declared: Vec::new(),
        realm: "host".into(),
        namespace: None,
        confinement: Arc::new(confinement::confine(&confinement::Request::default(), &engine, host)),
        pod: None,
        labels: Default::default(),
        made: None,
    }
}

/// Everything the targets name, as one world. Where the overlay has a text for a path, that is read; text that was
/// typed has the path `--run` or `-`.
pub(crate) fn gather(
    targets: &[String],
    lines: &[String],
    files: &[PathBuf],
    context: &Context,
    overlay: &Overlay,
    input: &mut Input,
) -> anyhow::Result<World> {
    let mut world = World::default();
    let disk = files_of::Disk::with(overlay.clone());
    for (number, line) in lines.iter().enumerate() {
        let path: Arc<str> =
            if number == 0 { "--run".into() } else { format!("--run#{}", number + 1).into() };
        let text = input.texts.entry(path.to_string()).or_insert_with(|| line.as_str().into());
        let text = overlay.get(&path).unwrap_or(text).clone();
        world.extend(run::read_line(&text, &path, 1, context));
    }
    if !files.is_empty() {
        let names: Vec<String> = files.iter().map(|f| f.to_string_lossy().into_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        world.extend(compose::read(&names, &disk, context));
    }
    let mut paths: Vec<PathBuf> = Vec::new();
    for target in targets.iter().filter(|t| !is_live(t)) {
        match target.split_once(':').map(|(scheme, _)| scheme) {
            Some("kubernetes" | "containerd") => {
                world.problems.push(Problem::new(&**target, "this source is not read yet; use proc: for containerd's containers, and manifests for Kubernetes"));
            }
            _ if target == "-" => {
                if !input.texts.contains_key("-") {
                    let mut bytes = Vec::new();
                    io::stdin()
                        .lock()
                        .take(MAX_STDIN_BYTES)
                        .read_to_end(&mut bytes)
                        .context("standard input")?;
                    input.typed = bytes;
                    input.texts.insert("-".into(), String::from_utf8_lossy(&input.typed).into());
                }
                let bytes = overlay.get("-").map_or(input.typed.as_slice(), |text| text.as_bytes());
                world.extend(files_of::stdin(bytes, context));
            }
            _ => paths.push(target.into()),
        }
    }
    if !paths.is_empty() {
        world.extend(files_of::paths_on(&disk, &paths, context));
    }
    let live = input.live.get_or_insert_with(|| read_live(targets, context));
    world.extend(live.clone());
    world.follow_namespaces();
    Ok(world)
}

/// What runs on this machine, of the targets that name such.
fn read_live(targets: &[String], context: &Context) -> World {
    let mut world = World::default();
    let mut told: BTreeSet<Arc<str>> = BTreeSet::new();
    for target in targets {
        let Some((scheme, name)) = target.split_once(':') else { continue };
        let wanted = Wanted { name: Some(name).filter(|n| !n.is_empty()), stopped: false };
        let answer = match scheme {
            "docker" => engine_api::docker(wanted, &context.host),
            "podman" => engine_api::podman(wanted, &context.host),
            "host" if name.is_empty() => {
                world.subjects.push(host_subject(context));
                continue;
            }
            "host" => {
                let message = "only this host can be read: `host:`, without a name";
                world.problems.push(Problem::new(&**target, message));
                continue;
            }
            _ => continue,
        };
        told.extend(answer.container_ids);
        world.extend(answer.world);
    }
    // Last, so that what an engine has told of is not told again.
    for name in targets.iter().filter_map(|t| t.strip_prefix("proc:")) {
        world.extend(process::read(Some(name).filter(|n| !n.is_empty()), &context.host, &told));
    }
    world
}

/// Results with the index of their subject, and what could not be read for them.
type StandardResults = (Vec<(usize, StandardResult)>, Vec<Problem>);

/// What the standards asked for say of each subject that they are about; of a pod's containers the first stands for
/// all.
fn standards(arguments: &Audit, targets: &[String], world: &World) -> anyhow::Result<StandardResults> {
    let wanted: Vec<Standard> =
        arguments.standard.iter().map(|name| Standard::parse(name)).collect::<Result<_, _>>()?;
    let mut notes = Vec::new();
    let inventory = match wanted.contains(&Standard::CisDocker) {
        true => inventory(targets, world, &mut notes),
        false => Inventory::default(),
    };
    let mut results = Vec::new();
    let mut last: *const PodDeclaration = std::ptr::null();
    for (i, subject) in world.subjects.iter().enumerate() {
        let pod = subject.pod.as_ref().map_or(std::ptr::null(), Arc::as_ptr);
        if !pod.is_null() && std::ptr::eq(last, pod) {
            continue;
        }
        last = pod;
        let said = wanted.iter().filter_map(|standard| standard.evaluate(subject, &inventory));
        results.extend(said.map(|result| (i, result)));
    }
    Ok((results, notes))
}

/// What the CIS Docker Benchmark asks of this host and its engine beyond their confinement, where they are among the
/// targets.
fn inventory(targets: &[String], world: &World, notes: &mut Vec<Problem>) -> Inventory {
    let mut inventory = Inventory::default();
    let engine = world.subjects.iter().find(|s| s.kind == SubjectKind::Engine && s.form == Form::DockerLive);
    if let Some(subject) = engine {
        match engine_api::docker_inventory() {
            Ok(mut found) => {
                notes.extend(found.notes.iter().map(|note| Problem::new("docker:", note.clone())));
                found.heard(&subject.confinement.host);
                inventory.engine = Some(found);
            }
            Err(problem) => notes.push(problem),
        }
    }
    if targets.iter().any(|target| target == "host:") {
        let settings = engine.and_then(|s| s.confinement.engine.as_ref()).map(|engine| &engine.settings);
        let text = |fact: Option<&Fact<Arc<str>>>| fact.and_then(|f| f.get()).map(ToString::to_string);
        let tls = settings.map(|s| &s.tls);
        inventory.host = Some(HostInventory::read(&Asked {
            data_root: inventory.engine.as_ref().and_then(|engine| engine.data_root.clone()),
            userns_remap: settings.is_some_and(|s| s.userns_remap.value == Some(true)),
            tls_authority: text(tls.and_then(|tls| tls.authority.as_ref())),
            tls_certificate: text(tls.and_then(|tls| tls.certificate.as_ref())),
            tls_key: text(tls.and_then(|tls| tls.key.as_ref())),
        }));
    }
    inventory
}

/// The context for these targets, with this host read where one of them runs on it, and notes on what could not be
/// read of it.
pub(crate) fn context_of(
    arguments: &ContextArguments,
    targets: &[String],
) -> anyhow::Result<(Context, Vec<Problem>)> {
    let mut context = context(arguments)?;
    if arguments.facts.is_some() || !targets.iter().any(|t| is_live(t)) {
        return Ok((context, Vec::new()));
    }
    let (host, notes) = read_host();
    context.host = Arc::new(host);
    Ok((context, notes))
}

/// The engines, host and image users that files are judged with.
pub(crate) fn context(arguments: &ContextArguments) -> anyhow::Result<Context> {
    let mut context = Context::assumed();
    for name in &arguments.assume {
        let Some(engine) = Engine::assumed(name) else {
            bail!("--assume {name}: no such engine; known are {}", confinement::engine::PROFILES.join(", "));
        };
        let engine = Arc::new(engine);
        match engine.kind {
            EngineKind::Docker => context.docker = engine,
            EngineKind::Podman => context.podman = engine,
            EngineKind::Containerd | EngineKind::Crio => context.kubernetes = engine,
        }
    }
    if let Some(path) = &arguments.facts {
        let name: Arc<str> = path.to_string_lossy().into();
        let text = fs::read_to_string(path).with_context(|| name.to_string())?;
        let facts = Facts::parse(&text, &name).map_err(|problem| anyhow::anyhow!("{problem}"))?;
        context.host = Arc::new(facts.host(&name));
    }
    let mut users: BTreeMap<Arc<str>, Fact<Arc<str>>> = BTreeMap::new();
    for pair in &arguments.image_user {
        let Some((image, user)) = pair.split_once('=') else {
            bail!("--image-user {pair}: write IMAGE=USER, such as postgres:17=999");
        };
        users.insert(image.into(), Fact::known(user.into(), Origin::assumed(format!("--image-user {pair}"))));
    }
    context.image_users = Arc::new(users);
    Ok(context)
}

fn write(
    arguments: &Audit,
    report: &Report<'_>,
    input: &Input,
    terminal: bool,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match arguments.format {
        Format::Text => {
            let options = text::Options {
                all: arguments.all,
                colour: colour(arguments.color, terminal),
                width: 120,
                excerpt: &|path| input.text_of(path),
            };
            text::write(report, &options, out)?;
        }
        Format::Json => report::json::write(report, out)?,
        Format::Sarif => report::sarif::write(report, out)?,
        Format::Junit => report::junit::write(report, out)?,
        Format::Github => report::github::write(report, out)?,
        Format::Html => report::html::write(report, out)?,
        Format::Dot => report::graph::dot(report, out)?,
        Format::Mermaid => report::graph::mermaid(report, out)?,
    }
    Ok(())
}

/// <https://no-color.org> and <https://bixense.com/clicolors>.
pub(crate) fn colour(asked: Colour, terminal: bool) -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
    match asked {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto if set("NO_COLOR") => false,
        Colour::Auto if std::env::var_os("CLICOLOR_FORCE").is_some_and(|v| v != "0") => true,
        Colour::Auto => terminal && std::env::var_os("CLICOLOR").is_none_or(|v| v != "0"),
    }
}
