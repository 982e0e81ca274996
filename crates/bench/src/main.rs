#![forbid(unsafe_code)]
//! `bench STOCKADE FOLDER [--checkov PROGRAM] [--compose-lint PROGRAM] [--part NAME]`: generates input in FOLDER, measures the release
//! binary on it, beside the tools that are given, and prints a table.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread::available_parallelism;
use std::time::Duration;

use bench::gate_docker;
use bench::gate_kubernetes;
use bench::gate_oci;
use bench::input::{self, Variety};
use bench::measure::{self, Cost};
use bench::table::{Figure, Part, Row, Target};
use confinement::World;
use harden::editor;
use sources::{Context, gather};
use techniques::judge::{Options, judge};
use techniques::plan::{Asked, Costs, plan};
use techniques::technique::Catalogue;

/// Files of the large measurements.
const FILES: usize = 10_000;
/// Files given to the other tools, which take long.
const FILES_BESIDE: usize = 1_000;
/// Runs of what ends at once, and of what does not.
const MANY: usize = 200;
const FEW: usize = 5;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = env::args_os().skip(1).collect();
    let result = match arguments.split_first() {
        Some((first, command)) if first == measure::STARTER => measure::start(command),
        _ => Tools::parse(&arguments).and_then(|tools| all(&tools)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

struct Tools {
    stockade: OsString,
    folder: PathBuf,
    checkov: Option<OsString>,
    compose_lint: Option<OsString>,
    /// One part alone.
    part: Option<OsString>,
}

/// Measures one thing.
type Measure = fn(&Tools) -> io::Result<Part>;

const PARTS: [(&str, Measure); 9] = [
    ("start", start_up),
    ("manifests", manifests),
    ("installation", installation),
    ("solver", solver),
    ("hardening", hardening),
    ("gate-docker", gate_docker),
    ("gate-kubernetes", gate_of_kubernetes),
    ("gate-oci", gate_of_runtime),
    ("beside", beside),
];

impl Tools {
    fn parse(arguments: &[OsString]) -> io::Result<Tools> {
        let usage = || {
            io::Error::other(
                "bench STOCKADE FOLDER [--checkov PROGRAM] [--compose-lint PROGRAM] [--part NAME]",
            )
        };
        let (stockade, rest) = arguments.split_first().ok_or_else(usage)?;
        let (folder, rest) = rest.split_first().ok_or_else(usage)?;
        let mut tools = Tools {
            stockade: stockade.clone(),
            folder: folder.into(),
            checkov: None,
            compose_lint: None,
            part: None,
        };
        for pair in rest.chunks(2) {
            let [flag, program] = pair else { return Err(usage()) };
            match flag.to_str() {
                Some("--checkov") => tools.checkov = Some(program.clone()),
                Some("--part") => tools.part = Some(program.clone()),
                Some("--compose-lint") => tools.compose_lint = Some(program.clone()),
                _ => return Err(usage()),
            }
        }
        Ok(tools)
    }

    fn audit_json(&self, target: &Path) -> Vec<OsString> {
        let report = self.folder.join("report.json");
        let words: [&str; 4] = ["audit", "--format", "json", "--output"];
        let mut command = vec![self.stockade.clone()];
        command.extend(words.map(OsString::from));
        command.extend([report.into_os_string(), target.into()]);
        command
    }
}

fn all(tools: &Tools) -> io::Result<()> {
    let cores = available_parallelism().map_or(1, usize::from);
    println!("machine: {cores} cores, {}; load of the last minute {}", processor(), load());
    for (name, measure) in PARTS {
        if tools.part.as_ref().is_none_or(|wanted| wanted == name) {
            print!("{}", measure(tools)?);
        }
    }
    println!("\nload of the last minute {}; a busy machine makes every time above longer", load());
    Ok(())
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    line.map_or(env::consts::ARCH, |(_, name)| name).trim().to_owned()
}

fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or("unknown").to_owned()
}

fn row(what: impl Into<String>, figure: Figure, target: Target) -> Row {
    Row { what: what.into(), figure, target }
}

fn under(limit: Duration) -> Target {
    Target::Under(Figure::Time(limit))
}

/// A folder of generated files, made once.
fn folder(
    tools: &Tools,
    name: &str,
    count: usize,
    file: impl Fn(usize) -> String,
    text: impl Fn(usize) -> String,
) -> io::Result<PathBuf> {
    let folder = tools.folder.join(name);
    input::write_files(&folder, count, file, text)?;
    Ok(folder)
}

fn start_up(tools: &Tools) -> io::Result<Part> {
    let one = folder(tools, "one", 1, |_| "compose.yaml".into(), input::compose)?.join("compose.yaml");
    let nothing = measure::start_to_end(MANY, &["true".into()])?;
    let version = measure::start_to_end(MANY, &[tools.stockade.clone(), "--version".into()])?;
    let compose = measure::start_to_end(MANY, &[tools.stockade.clone(), "audit".into(), one.into()])?;
    Ok(Part {
        title: format!("start to end (median of {MANY} runs)"),
        rows: vec![
            row("true(1), the cost of starting any program", Figure::Time(nothing), Target::None),
            row("stockade --version", Figure::Time(version), under(Duration::from_millis(10))),
            row("stockade audit compose.yaml", Figure::Time(compose), under(Duration::from_millis(20))),
        ],
    })
}

/// Runs an audit to JSON and refuses to measure one that did not judge.
fn audit(tools: &Tools, target: &Path) -> io::Result<Cost> {
    let cost = measure::median_of(FEW, &tools.audit_json(target))?;
    match cost.code {
        Some(0 | 1) => Ok(cost),
        code => Err(io::Error::other(format!("{}: the audit ended with {code:?}", target.display()))),
    }
}

fn manifests(tools: &Tools) -> io::Result<Part> {
    let name = |n: usize| format!("{:02}/pod-{n:05}.yaml", n / 100);
    let mut rows = Vec::new();
    let mut measured = |what: &str, cost: Cost| {
        let rate = FILES as f64 / cost.wall.as_secs_f64();
        let processor = cost.processor.as_secs_f64() / cost.wall.as_secs_f64();
        let at_least = Target::AtLeast(Figure::PerSecond(10_000.0));
        rows.push(row(what, Figure::PerSecond(rate), at_least));
        let most = Target::Under(Figure::Bytes(100_000_000));
        rows.push(row(format!("  peak memory; {processor:.1} cores busy"), Figure::Bytes(cost.peak), most));
    };
    for (what, variety) in [("alike", Variety::Alike), ("different", Variety::Different)] {
        let sound = folder(tools, &format!("pods-{what}"), FILES, name, |n| input::pod(n, variety))?;
        measured(&format!("{FILES} sound pods, all {what}"), audit(tools, &sound)?);
        let bare = folder(tools, &format!("bare-{what}"), FILES, name, |n| input::bare_pod(n, variety))?;
        measured(&format!("{FILES} pods with everything at its default, all {what}"), audit(tools, &bare)?);
    }
    let many = folder(
        tools,
        "one-file",
        1,
        |_| "pods.yaml".into(),
        |_| input::pods_in_one(FILES, Variety::Different),
    )?;
    measured(&format!("one file of {FILES} sound pods, all different"), audit(tools, &many)?);
    Ok(Part { title: format!("pod manifests on disk to JSON (median of {FEW} runs)"), rows })
}

const PROJECTS: usize = 100;
const SERVICES: usize = 1_000;

fn projects(tools: &Tools) -> io::Result<PathBuf> {
    let file = |n: usize| format!("project-{n:03}/compose.yaml");
    folder(tools, "projects", PROJECTS, file, |n| input::project(n, SERVICES))
}

fn installation(tools: &Tools) -> io::Result<Part> {
    let cost = audit(tools, &projects(tools)?)?;
    let what = format!("{PROJECTS} projects of {SERVICES} services, files to JSON");
    Ok(Part {
        title: "100,000 containers that differ in few ways and share volumes".into(),
        rows: vec![
            row(what, Figure::Time(cost.wall), under(Duration::from_secs(5))),
            row("  peak memory", Figure::Bytes(cost.peak), Target::None),
        ],
    })
}

const WEAK_SERVICES: usize = 50;

/// A file of weak services planned, edited, and proven by reading it again; and the plan alone.
fn hardening(tools: &Tools) -> io::Result<Part> {
    let file = folder(tools, "weak", 1, |_| "compose.yaml".into(), |_| input::weak_services(WEAK_SERVICES))?
        .join("compose.yaml");
    let command = |verb: &str, more: &[&str]| {
        let mut command = vec![tools.stockade.clone(), verb.into()];
        command.extend(more.iter().map(OsString::from));
        command.push(file.clone().into());
        command
    };
    let runs = 20;
    let audit = measure::start_to_end(runs, &command("audit", &[]))?;
    let mut rows = vec![row(
        format!("stockade audit, {WEAK_SERVICES} weak services"),
        Figure::Time(audit),
        Target::None,
    )];
    for depth in ["1", "2"] {
        let time = measure::start_to_end(runs, &command("harden", &["--depth", depth]))?;
        let what = format!("stockade harden --depth {depth}, the same file, planned, edited and proven");
        rows.push(row(what, Figure::Time(time), under(Duration::from_millis(50))));
    }
    let world = gather::paths(std::slice::from_ref(&file), &Context::assumed());
    for depth in [1, 2] {
        let mut times: Vec<Duration> = world
            .subjects
            .iter()
            .map(|subject| {
                let alone = World { subjects: vec![subject.clone()], ..World::default() };
                measure::in_process(FEW, || plan(&alone, &asked(depth)))
            })
            .collect();
        times.sort();
        let median = times.get(times.len() / 2).copied().unwrap_or_default();
        let most = times.last().copied().unwrap_or_default();
        let what = format!("the plan of one of them at depth {depth}, median");
        rows.push(row(what, Figure::Time(median), under(Duration::from_millis(1))));
        rows.push(row("  the slowest", Figure::Time(most), Target::None));
    }
    Ok(Part { title: format!("hardening (median of {runs} runs)"), rows })
}

fn asked(depth: u8) -> Asked<'static> {
    static COSTS: Costs = Costs::new();
    Asked {
        depth,
        alternatives: 0,
        costs: &COSTS,
        pinned: &|_, _| Vec::new(),
        recommended: None,
        can: &editor::can,
    }
}

/// The time to judge a world, for each of its containers.
fn judging(world: &World) -> Figure {
    let time = measure::in_process(FEW, || judge(world, Options::default()));
    Figure::Time(time.div_f64(world.subjects.len().max(1) as f64))
}

fn solver(tools: &Tools) -> io::Result<Part> {
    // Made ready before the clock starts, as it is once in every run.
    Catalogue::get();
    let context = Context::assumed();
    let target = under(Duration::from_micros(20));
    let mut rows = Vec::new();
    for (name, what, target) in [
        ("pods-alike", "sound pods, all alike", target),
        ("bare-alike", "pods at their defaults, all alike", target),
        ("pods-different", "sound pods, all different: none is merged", Target::None),
        ("bare-different", "pods at their defaults, all different: none is merged", Target::None),
        ("projects", "100,000 services that differ in few ways and share volumes", target),
    ] {
        let world = gather::paths(&[tools.folder.join(name)], &context);
        rows.push(row(what, judging(&world), target));
    }
    Ok(Part { title: "judging, a container (in one process, without reading and writing)".into(), rows })
}

fn gate_docker(tools: &Tools) -> io::Result<Part> {
    gate_docker::part(Path::new(&tools.stockade), &tools.folder)
}

/// Reviews over TLS at a steady rate, without a record and with one.
fn gate_of_kubernetes(tools: &Tools) -> io::Result<Part> {
    let mut rows = Vec::new();
    for (record, how) in [(false, "not recorded"), (true, "recorded in the log")] {
        let name = if record { "gate-recorded" } else { "gate" };
        let load = gate_kubernetes::measure(&tools.stockade, &tools.folder.join(name), record)?;
        let what = format!("a review, median of {}, {how}", load.asked);
        rows.push(row(what, Figure::Time(load.median), under(Duration::from_millis(2))));
        rows.push(row("  99 of 100", Figure::Time(load.slow), under(Duration::from_millis(20))));
        rows.push(row("  the slowest", Figure::Time(load.slowest), Target::None));
    }
    let (rate, connections) = (gate_kubernetes::RATE, gate_kubernetes::CONNECTIONS);
    let title = format!(
        "the gate for Kubernetes: {rate} reviews/s on {connections} TLS connections, one of ten denied"
    );
    Ok(Part { title, rows })
}

/// What the door before the runtime adds to a start.
fn gate_of_runtime(tools: &Tools) -> io::Result<Part> {
    let title = "the door before the runtime (medians, in turns)".to_owned();
    let Some(measured) = gate_oci::measure(&tools.stockade, &tools.folder)? else {
        println!("\nthe door before the runtime: left out, as there is no runc or no busybox");
        return Ok(Part { title, rows: Vec::new() });
    };
    let asked = under(Duration::from_millis(5));
    let added = |with: Duration, without: Duration| Figure::Time(with.saturating_sub(without));
    let ratio = measured.door.as_secs_f64() / measured.alone.as_secs_f64().max(f64::MIN_POSITIVE);
    let time = |time: Duration| Figure::Time(time);
    Ok(Part {
        title,
        rows: vec![
            row("runc run of a program that ends at once", time(measured.alone), Target::None),
            row("the same through the door", time(measured.door), Target::None),
            row("  times as long", Figure::Times(ratio), Target::None),
            row("  added", added(measured.door, measured.alone), asked),
            row("  added with a rule in CEL", added(measured.with_cel, measured.alone), asked),
            row("  added with a policy in Rego", added(measured.with_rego, measured.alone), asked),
            row(
                "added where the program behind it does nothing",
                added(measured.door_to_nothing, measured.nothing),
                asked,
            ),
            row("runc state", time(measured.state_alone), Target::None),
            row("  added by the door", added(measured.state_door, measured.state_alone), asked),
        ],
    })
}

/// The other tools on the same input in the same run.
fn beside(tools: &Tools) -> io::Result<Part> {
    let mut rows = Vec::new();
    let pods = |n: usize| format!("pod-{n:05}.yaml");
    let one_pod = folder(tools, "beside-pod", 1, pods, |n| input::bare_pod(n, Variety::Different))?;
    let many_pods =
        folder(tools, "beside-pods", FILES_BESIDE, pods, |n| input::bare_pod(n, Variety::Different))?;
    let files = |n: usize| format!("{n:04}/compose.yaml");
    let one_compose = folder(tools, "beside-compose", 1, files, input::compose)?;
    let many_compose = folder(tools, "beside-composes", FILES_BESIDE, files, input::compose)?;

    if let Some(checkov) = &tools.checkov {
        for (what, path) in [("one pod", &one_pod), ("1,000 pods", &many_pods)] {
            let mut command = vec![checkov.clone()];
            let words =
                ["--framework", "kubernetes", "--skip-download", "--quiet", "--compact", "-o", "json", "-d"];
            command.extend(words.map(OsString::from));
            command.push(path.into());
            compare(&mut rows, tools, "checkov", what, &command, path)?;
        }
    }
    if let Some(compose_lint) = &tools.compose_lint {
        let all: Vec<OsString> =
            (0..FILES_BESIDE).map(|n| many_compose.join(files(n)).into_os_string()).collect();
        let one = vec![one_compose.join(files(0)).into_os_string()];
        let cases = [("one Compose file", one, &one_compose), ("1,000 Compose files", all, &many_compose)];
        for (what, given, path) in cases {
            let mut command = vec![compose_lint.clone(), "--format".into(), "json".into()];
            command.extend(given);
            compare(&mut rows, tools, "compose-lint", what, &command, path)?;
        }
    }
    Ok(Part { title: "beside other tools, the same files, JSON out".into(), rows })
}

fn compare(
    rows: &mut Vec<Row>,
    tools: &Tools,
    name: &str,
    what: &str,
    command: &[OsString],
    path: &Path,
) -> io::Result<()> {
    let ours = audit(tools, path)?;
    // Both end with 0 or 1 when they could judge.
    let theirs = measure::run(command)?;
    if !matches!(theirs.code, Some(0 | 1)) {
        return Err(io::Error::other(format!("{name} ended with {:?} on {what}", theirs.code)));
    }
    rows.push(row(format!("{what}: stockade"), Figure::Time(ours.wall), Target::None));
    rows.push(row(format!("{what}: {name}"), Figure::Time(theirs.wall), Target::None));
    let ratio = |a: f64, b: f64| Figure::Times(a / b.max(f64::MIN_POSITIVE));
    let time = ratio(theirs.wall.as_secs_f64(), ours.wall.as_secs_f64());
    rows.push(row(format!("  {name} takes, times as long"), time, Target::None));
    let memory = ratio(theirs.peak as f64, ours.peak as f64);
    rows.push(row(format!("  {name} takes, times the memory"), memory, Target::None));
    Ok(())
}
