//! `stockade harden`: targets become a world, the world a plan, the plan an edit that is proven before it is shown.
//! Containers that run ([`live`]), the host itself ([`host`]) and trials ([`trial`]) go their own ways.

mod host;
mod live;
pub(crate) mod trial;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;

use ::harden::hardening::{self, Hardening};
use ::harden::{editor, write};
use anyhow::{Context as _, bail};
use confinement::{Confinement, Problem, World};
use report::harden::{HardenReport, IsTyped, json, sarif, text};
use sources::gather::Overlay;
use techniques::keep::Keep;
use techniques::plan::{Asked, is_asked, plan};
use techniques::remedy::Remedy;

use crate::arguments::{Harden, HardenFormat, Level};
use crate::audit::{self, Input};
use crate::settings::Settings;

pub(crate) fn run(arguments: &Harden) -> anyhow::Result<u8> {
    if arguments.trial.trial {
        return trial::run(arguments);
    }
    let settings = Settings::read(arguments.config.as_ref())?;
    let mut targets = arguments.targets.clone();
    // `--check` takes a word only in a trial; here the word is a target.
    let check = arguments.check.is_some();
    targets.extend(arguments.check.iter().flatten().cloned());
    if targets.is_empty() && arguments.given.run.is_empty() && arguments.given.files.is_empty() {
        bail!(
            "nothing is named to be hardened; name a file, a folder, `-`, docker:NAME or host:, or give --run"
        );
    }
    if arguments.write && check {
        bail!("--write writes and --check only looks: give one of them");
    }
    let keep: Vec<Keep> = arguments
        .keep
        .iter()
        .chain(&settings.harden.keep)
        .map(|text| Keep::parse(text))
        .collect::<Result<_, _>>()?;
    let (context, notes) = audit::context_of(&arguments.given.context, &targets)?;
    let elsewhere: Vec<&String> = targets.iter().filter(|t| audit::is_live(t)).collect();
    if !elsewhere.is_empty() && elsewhere.len() < targets.len() {
        bail!(
            "files are hardened where they stand, and what runs is written anew: name them in runs of their own"
        );
    }
    let pinned = |remedy: &Remedy, c: &Confinement| -> Vec<Arc<str>> {
        let forbid = keep.iter().filter(|keep| keep.forbids(remedy, c));
        forbid.map(|keep| keep.to_string().into()).collect()
    };
    let asked = Asked {
        depth: arguments.depth,
        alternatives: usize::from(arguments.alternatives),
        recommended: (arguments.level == Level::Recommended).then_some(keep.as_slice()),
        costs: &settings.harden.costs,
        pinned: &pinned,
        can: &editor::can,
    };
    match elsewhere.as_slice() {
        [] => {}
        [target] if *target == "host:" => return host::run(arguments, &context.host),
        targets => return live::run(arguments, targets, &asked, &context),
    }
    let mut input = Input::default();
    let gather = |overlay: &Overlay, input: &mut Input| {
        audit::gather(&targets, &arguments.given.run, &arguments.given.files, &context, overlay, input)
    };
    let mut world = gather(&Overlay::new(), &mut input)?;
    world.notes.extend(notes);
    let plan = plan(&world, &asked);
    let texts =
        |path: &str| input.text_of(path).ok_or_else(|| "the file cannot be read again as text".to_owned());
    let read_again = std::cell::RefCell::new(input.again());
    let reread = |overlay: Overlay| {
        gather(&overlay, &mut read_again.borrow_mut()).unwrap_or_else(|error| World {
            problems: vec![Problem::new("-", format!("{error:#}"))],
            ..World::default()
        })
    };
    let hardening = hardening::harden(&world, &plan, &texts, &reread, arguments.level == Level::Recommended);
    let mut errors = Vec::new();
    if arguments.write {
        errors = write_files(&world, &hardening, &input);
    }
    let report = HardenReport {
        world: &world,
        plan: &plan,
        hardening: &hardening,
        targets: &targets,
        version: env!("CARGO_PKG_VERSION"),
        depth: arguments.depth,
        wrote: arguments.write && errors.is_empty(),
        typed: &input,
    };
    show(arguments, &report)?;
    for problem in
        world.problems.iter().map(ToString::to_string).chain(errors.iter().map(ToString::to_string))
    {
        eprintln!("error: {}", report::printable(&problem));
    }
    Ok(exit_code(arguments, &world, &hardening, check, !errors.is_empty()))
}

impl IsTyped for Input {
    fn is_typed(&self, path: &str) -> bool {
        self.texts.contains_key(path)
    }
}

fn write_files(world: &World, hardening: &Hardening, input: &Input) -> Vec<write::WriteError> {
    let stays = |path: &str| input.is_typed(path) || hardening.is_suggestion(world, path);
    let files = hardening.files.iter().filter(|file| !stays(&file.path));
    files.filter_map(|f| write::replace(Path::new(&*f.path), Some(&f.before), &f.after).err()).collect()
}

fn show(arguments: &Harden, report: &HardenReport<'_>) -> anyhow::Result<()> {
    write_to(arguments, &|out, colour| match arguments.format {
        HardenFormat::Text => text::write(report, &text::Options { colour, all: arguments.all }, out),
        HardenFormat::Json => json::write(report, out),
        HardenFormat::Sarif => sarif::write(report, out),
    })
}

/// Writes to the file that was asked for, or to standard output, with whether colours are wanted.
fn write_to(
    arguments: &Harden,
    write: &dyn Fn(&mut dyn Write, bool) -> io::Result<()>,
) -> anyhow::Result<()> {
    match &arguments.output {
        Some(path) => {
            let file = fs::File::create(path).with_context(|| path.display().to_string())?;
            let mut out = BufWriter::new(file);
            write(&mut out, audit::colour(arguments.color, false))?;
            out.flush()?;
        }
        None => {
            let colour = audit::colour(arguments.color, io::stdout().is_terminal());
            let mut out = BufWriter::new(io::stdout().lock());
            match write(&mut out, colour).and_then(|()| out.flush()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
                _ => {}
            }
        }
    }
    Ok(())
}

/// 2 where something could not be read, edited or written; 1 where a path stays, or with `--check` a change is due.
fn exit_code(arguments: &Harden, world: &World, hardening: &Hardening, check: bool, failed: bool) -> u8 {
    let refused: BTreeSet<usize> =
        hardening.subjects.iter().enumerate().filter(|(_, w)| w.refusal.is_some()).map(|(i, _)| i).collect();
    if failed || !world.problems.is_empty() || !refused.is_empty() {
        return 2;
    }
    let stands = world.subjects.iter().zip(&hardening.stands);
    let stays = stands.into_iter().any(|(s, stands)| stands.depth.min < arguments.depth && is_asked(s));
    let due = check && hardening.files.iter().any(|file| !hardening.is_suggestion(world, &file.path));
    u8::from(stays || due)
}
