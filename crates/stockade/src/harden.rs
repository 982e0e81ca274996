//! `stockade harden`: targets become a world, the world a plan, the plan an edit that is proven before it is shown.

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
use sources::host::read_host;
use techniques::keep::Keep;
use techniques::plan::{Asked, is_asked, plan};
use techniques::remedy::Remedy;

use crate::arguments::{Harden, HardenFormat, Level};
use crate::audit::{self, Input};
use crate::settings::Settings;
use crate::trial;

pub(crate) fn run(arguments: &Harden) -> anyhow::Result<u8> {
    if arguments.trial.trial {
        return trial::run(arguments);
    }
    let settings = Settings::read(arguments.config.as_ref())?;
    let mut targets = arguments.targets.clone();
    // `--check` takes a word only in a trial; here the word is a target.
    let check = arguments.check.is_some();
    targets.extend(arguments.check.iter().flatten().cloned());
    if targets.is_empty() && arguments.run.is_empty() && arguments.files.is_empty() {
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
    let mut context = audit::context(&arguments.context)?;
    let mut notes = Vec::new();
    if arguments.context.facts.is_none() && targets.iter().any(|t| audit::is_live(t)) {
        let (host, said) = read_host();
        context.host = Arc::new(host);
        notes = said;
    }
    let mut input = Input::default();
    let gather = |overlay: &Overlay, input: &mut Input| {
        audit::gather(&targets, &arguments.run, &arguments.files, &context, overlay, input)
    };
    let mut world = gather(&Overlay::new(), &mut input)?;
    world.notes.extend(notes);
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
    let write = |out: &mut dyn Write, terminal: bool| -> io::Result<()> {
        match arguments.format {
            HardenFormat::Text => {
                let colour = audit::colour(arguments.color, terminal);
                text::write(report, &text::Options { colour, all: arguments.all }, out)
            }
            HardenFormat::Json => json::write(report, out),
            HardenFormat::Sarif => sarif::write(report, out),
        }
    };
    match &arguments.output {
        Some(path) => {
            let file = fs::File::create(path).with_context(|| path.display().to_string())?;
            let mut out = BufWriter::new(file);
            write(&mut out, false)?;
            out.flush()?;
        }
        None => {
            let terminal = io::stdout().is_terminal();
            let mut out = BufWriter::new(io::stdout().lock());
            match write(&mut out, terminal).and_then(|()| out.flush()) {
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
