//! `stockade ci`: what a change made worse, against a revision of git. The tree as it is now is judged, and again with the
//! files that changed as they were; only what is worse now is told, and only that fails.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use clap::{Args, ValueEnum};
use confinement::{Problem, World};
use policy::baseline::{Baseline, OPTIONS};
use policy::change::{Known, made_worse};
use policy::{Decision, Mode, Outcome, Policy, Waived, Waivers};
use report::{Report, text};
use sources::gather::Overlay;
use techniques::judge::{self, Options};
use techniques::severity::Severity;
use techniques::technique::Catalogue;

use crate::arguments::{Colour, ContextArguments, Governance, Threshold};
use crate::audit::{Input, colour, context_of, gather, is_live};
use crate::policy::{decide, tell};

/// Files of one change that are read at their base revision.
const MAX_FILES: usize = 20_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Files and folders; the current folder where none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,

    /// The revision to compare with. Without it: the base of the pull or merge request that a CI server names, else HEAD
    #[arg(long, value_name = "REVISION")]
    base: Option<String>,

    #[command(flatten)]
    context: ContextArguments,

    /// A path counts when fewer walls than this stand in its way; 1 counts what is open now
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=9))]
    depth: u8,

    /// Exit with 1 only for findings of at least this severity
    #[arg(long, value_name = "SEVERITY", default_value = "medium")]
    threshold: Threshold,

    #[command(flatten)]
    governance: Governance,

    /// What to print; `auto` is annotations on GitHub and text elsewhere
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    format: Format,

    /// Write SARIF too
    #[arg(long, value_name = "FILE")]
    sarif: Option<PathBuf>,

    /// Write JUnit's XML too
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,

    /// Write GitLab's code quality report too
    #[arg(long, value_name = "FILE")]
    gitlab: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    Auto,
    Text,
    Github,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<u8> {
    let targets = if arguments.targets.is_empty() { vec![".".to_owned()] } else { arguments.targets.clone() };
    if let Some(live) = targets.iter().find(|t| is_live(t) || *t == "-") {
        bail!("{live}: only files have a base revision; `stockade baseline check` compares what runs");
    }
    let base = base(arguments.base.as_deref())?;
    let (context, _) = context_of(&arguments.context, &targets)?;
    let read = |targets: &[String], overlay: &Overlay| {
        gather(targets, &[], &[], &context, overlay, &mut Input::default())
    };
    let earlier = Earlier::of(&base)?;
    // What was deleted is not met on a walk through what is there.
    let deleted = earlier.deleted.iter().filter(|path| targets.iter().any(|t| is_below(path, t))).cloned();
    let earlier_targets: Vec<String> = targets.iter().cloned().chain(deleted).collect();
    let before = read(&earlier_targets, &earlier.overlay)?;
    let mut world = read(&targets, &Overlay::new())?;
    not_new(&mut world, &before);

    let baseline = Baseline::of(&before, &judge::judge(&before, OPTIONS), env!("CARGO_PKG_VERSION"));
    let drift = baseline.compare(&world, &judge::judge(&world, OPTIONS));
    let judgement = judge::judge(&world, Options { depth: arguments.depth });
    let governance = &arguments.governance;
    let policy = governance.policy()?;
    let today = governance.today();
    let waivers = governance.waivers(&mut world, &judgement, &Input::default(), policy.as_ref())?;
    let decisions = match &policy {
        Some(policy) => {
            let decided = decide(policy, &world, &judgement, arguments.depth, &waivers, today);
            since(policy, &before, &world, arguments.depth, decided, today)
        }
        None => Vec::new(),
    };
    let mut waived = Waived::of(&world, &judgement, waivers, today);
    decisions.iter().for_each(|(_, decision)| waived.note(decision));
    tell(&waived, &mut world);

    let worse = made_worse(&drift, &world, &judgement);
    let report = Report {
        world: &world,
        judgement: &worse,
        catalogue: Catalogue::get(),
        standards: &[],
        waived: &waived,
        decisions: &decisions,
        targets: &targets,
        version: env!("CARGO_PKG_VERSION"),
        threshold: arguments.depth,
        all: false,
    };
    put(arguments, &report)?;
    for problem in &world.problems {
        eprintln!("error: {}", report::printable(&problem.to_string()));
    }
    Ok(exit_code(arguments, &report))
}

/// What could not be read before the change either is worth a note, and is not the change's.
fn not_new(world: &mut World, before: &World) {
    let known: BTreeSet<(&str, &str)> =
        before.problems.iter().map(|p| (&*p.path, p.message.as_str())).collect();
    let (old, new) = std::mem::take(&mut world.problems)
        .into_iter()
        .partition(|p| known.contains(&(&*p.path, p.message.as_str())));
    world.problems = new;
    world.notes.extend::<Vec<Problem>>(old);
}

fn exit_code(arguments: &Arguments, report: &Report<'_>) -> u8 {
    if !report.world.problems.is_empty() {
        return 2;
    }
    if report.waived.has_expired() {
        return 1;
    }
    if arguments.governance.policy.is_some() {
        let denied = report.decisions.iter().any(|(_, d)| d.outcome == Outcome::Deny);
        return u8::from(denied);
    }
    let threshold: Severity = arguments.threshold.into();
    let counts = |possible: bool| {
        report.judgement.subjects.iter().any(|j| {
            j.paths.iter().chain(&j.lateral).any(|f| {
                let certain = f.depth.max < arguments.depth;
                f.severity >= threshold && certain != possible && report.waiver(j, f).is_none()
            })
        })
    };
    match (counts(false), counts(true)) {
        (true, _) => 1,
        (false, true) => 2,
        (false, false) => 0,
    }
}

/// Of the decisions only what was not against the same subject before.
fn since(
    policy: &Policy,
    before: &World,
    world: &World,
    depth: u8,
    decided: Vec<(usize, Decision)>,
    today: policy::Date,
) -> Vec<(usize, Decision)> {
    let judged = judge::judge(before, Options { depth });
    // What was waived before is not new where its waiver is taken away: an end of a waiver is told on its own.
    let earlier = decide(policy, before, &judged, depth, &Waivers::default(), today);
    let known: HashMap<&str, Known> = earlier
        .iter()
        .filter_map(|(i, decision)| Some((&*before.subjects.get(*i)?.id, decision.known())))
        .collect();
    let nothing = Known::default();
    decided
        .into_iter()
        .map(|(i, decision)| {
            let id = world.subjects.get(i).map(|s| &*s.id).unwrap_or_default();
            (i, decision.without(known.get(id).unwrap_or(&nothing)))
        })
        .filter(|(_, decision)| {
            decision.reasons.iter().any(|r| r.mode > Mode::Record) || !decision.errors.is_empty()
        })
        .collect()
}

fn put(arguments: &Arguments, report: &Report<'_>) -> anyhow::Result<()> {
    type Writer = fn(&Report<'_>, &mut dyn Write) -> io::Result<()>;
    let files: [(&Option<PathBuf>, Writer); 3] = [
        (&arguments.sarif, report::sarif::write),
        (&arguments.junit, report::junit::write),
        (&arguments.gitlab, report::gitlab::write),
    ];
    for (path, write) in files {
        let Some(path) = path else { continue };
        let name = || path.display().to_string();
        let mut file = BufWriter::new(fs::File::create(path).with_context(name)?);
        write(report, &mut file).and_then(|()| file.flush()).with_context(name)?;
    }
    let on_github = std::env::var_os("GITHUB_ACTIONS").is_some_and(|v| v == "true");
    let mut out = BufWriter::new(io::stdout().lock());
    if arguments.format == Format::Github || arguments.format == Format::Auto && on_github {
        report::github::write(report, &mut out)?;
    } else {
        let input = Input::default();
        let terminal = io::IsTerminal::is_terminal(&io::stdout());
        let options = text::Options {
            all: false,
            colour: colour(Colour::Auto, terminal),
            width: 120,
            excerpt: &|path| input.text_of(path),
        };
        if report.judgement.subjects.is_empty() && report.decisions.is_empty() {
            writeln!(out, "the change makes nothing worse")?;
        } else {
            text::write(report, &options, &mut out)?;
        }
    }
    Ok(out.flush()?)
}

/// The revision that the change began from: where the branch left the one it goes to.
fn base(named: Option<&str>) -> anyhow::Result<String> {
    let variable = |name: &str| std::env::var(name).ok().filter(|v| !v.is_empty());
    let revision = named
        .map(str::to_owned)
        .or_else(|| variable("CI_MERGE_REQUEST_DIFF_BASE_SHA"))
        .or_else(|| variable("GITHUB_BASE_REF").map(|branch| format!("origin/{branch}")))
        .unwrap_or_else(|| "HEAD".to_owned());
    if revision.starts_with('-') {
        bail!("--base {revision}: that is no revision");
    }
    let merged =
        git(&["merge-base", &revision, "HEAD"]).or_else(|_| git(&["rev-parse", "--verify", &revision]));
    let found = merged.with_context(|| {
        format!("the revision {revision} is not here; fetch it (`git fetch --depth=1000`, or fetch-depth: 0), or name another with --base")
    })?;
    Ok(String::from_utf8_lossy(&found).trim().to_owned())
}

fn git(arguments: &[&str]) -> anyhow::Result<Vec<u8>> {
    let output = Command::new("git").args(arguments).output().context("git cannot be started")?;
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!("git {}: {}", arguments.first().unwrap_or(&""), told.trim());
    }
    Ok(output.stdout)
}

/// Whether a file would be met on the way through a target.
fn is_below(path: &str, target: &str) -> bool {
    let target = target.trim_start_matches("./").trim_end_matches('/');
    matches!(target, "" | ".")
        || path.strip_prefix(target).is_some_and(|r| r.is_empty() || r.starts_with('/'))
}

/// The tree at a revision, as far as it differs from the one that is there.
struct Earlier {
    /// The texts that files had. A file that is new since is empty; one that was renamed has its old text under its new
    /// name.
    overlay: Overlay,
    /// Files that are there no more; their texts are in the overlay.
    deleted: Vec<String>,
}

impl Earlier {
    fn of(base: &str) -> anyhow::Result<Earlier> {
        let mut earlier = Earlier { overlay: Overlay::new(), deleted: Vec::new() };
        let listed = git(&["diff", "--name-status", "--relative", "-M", "-z", base, "--"])?;
        let listed = String::from_utf8_lossy(&listed).into_owned();
        let mut fields = listed.split('\0').filter(|f| !f.is_empty());
        let mut count = 0usize;
        while let Some(status) = fields.next() {
            let Some(first) = fields.next() else { break };
            let (old, new) = match status.as_bytes().first() {
                Some(b'R' | b'C') => (Some(first), fields.next().unwrap_or(first)),
                Some(b'A') => (None, first),
                Some(b'D') => {
                    earlier.deleted.push(first.to_owned());
                    (Some(first), first)
                }
                _ => (Some(first), first),
            };
            count += 1;
            if count > MAX_FILES {
                bail!("more than {MAX_FILES} files changed; name a nearer revision with --base");
            }
            let text = match old {
                Some(old) => git(&["show", &format!("{base}:./{old}")])?,
                None => Vec::new(),
            };
            earlier.put(new, String::from_utf8_lossy(&text).into());
        }
        // Files that git does not know yet are new, too.
        let untracked = git(&["ls-files", "--others", "--exclude-standard", "-z"])?;
        let untracked: BTreeSet<String> = String::from_utf8_lossy(&untracked)
            .split('\0')
            .filter(|f| !f.is_empty())
            .map(str::to_owned)
            .collect();
        for path in untracked.iter().take(MAX_FILES) {
            if Path::new(path).is_file() {
                earlier.put(path, "".into());
            }
        }
        Ok(earlier)
    }

    /// As a folder that is walked names it, and as the command line does.
    fn put(&mut self, path: &str, text: Arc<str>) {
        self.overlay.insert(path.into(), text.clone());
        self.overlay.insert(format!("./{path}").into(), text);
    }
}
