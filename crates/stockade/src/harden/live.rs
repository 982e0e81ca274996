//! `stockade harden docker:NAME`: a container that runs, written anew with the remedies in it.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use ::harden::live::{Remedied, Reproduced, reproduce};
use anyhow::bail;
use confinement::{Engine, EngineKind, Fact, Origin, Problem, World};
use report::harden::{HardenReport, IsTyped, json, text};
use serde_json::{Value, json};
use sources::Context;
use sources::engine_api::{self, Inspected, Wanted};
use techniques::plan::Asked;

use super::write_to;
use crate::arguments::{Harden, HardenFormat};

/// The value of `schema`.
const SCHEMA: &str = "stockade.harden-live/1";

/// One container, both of its texts with the remedies in them.
struct Anew {
    name: String,
    reproduced: Reproduced,
    line: Remedied,
    compose: Remedied,
}

/// 1 where a path stays; 2 where a container could not be read or written anew.
pub(super) fn run(
    arguments: &Harden,
    targets: &[&String],
    asked: &Asked<'_>,
    context: &Context,
) -> anyhow::Result<u8> {
    if arguments.write {
        bail!(
            "a container that runs is not changed: start it anew by the line or the service that is printed"
        );
    }
    let mut all = Vec::new();
    let mut problems: Vec<Problem> = Vec::new();
    for target in targets {
        let (kind, name) = match target.split_once(':') {
            Some(("docker", name)) => (EngineKind::Docker, name),
            Some(("podman", name)) => (EngineKind::Podman, name),
            Some(("host", _)) => bail!("host: is hardened in a run of its own"),
            _ => bail!(
                "{target}: a process says not how it was started; name its container by docker: or podman:"
            ),
        };
        let wanted = Wanted { name: Some(name).filter(|n| !n.is_empty()), stopped: false };
        match containers(kind, wanted, asked, context) {
            Ok(list) => {
                for result in list {
                    match result {
                        Ok(anew) => all.push(anew),
                        Err(problem) => problems.push(problem),
                    }
                }
            }
            Err(problem) => problems.push(problem),
        }
    }
    let targets: Vec<String> = targets.iter().map(ToString::to_string).collect();
    write_to(arguments, &|out, colour| match arguments.format {
        HardenFormat::Json | HardenFormat::Sarif => {
            let containers: Vec<Value> = all.iter().map(|anew| as_json(anew, arguments, &targets)).collect();
            writeln!(out, "{}", json!({ "schema": SCHEMA, "containers": containers, "errors": problems }))
        }
        HardenFormat::Text => {
            for anew in &all {
                as_text(anew, arguments, &targets, colour, out)?;
            }
            Ok(())
        }
    })?;
    for problem in &problems {
        eprintln!("error: {}", report::printable(&problem.to_string()));
    }
    let refused = |r: &Remedied| r.hardening.subjects.iter().any(|w| w.refusal.is_some());
    if !problems.is_empty() || all.iter().any(|a| refused(&a.line) || refused(&a.compose)) {
        return Ok(2);
    }
    let stays = |r: &Remedied| r.hardening.stands.iter().any(|s| s.depth.min < arguments.depth);
    let due = arguments.check.is_some() && all.iter().any(|a| !a.line.hardening.files.is_empty());
    Ok(u8::from(due || all.iter().any(|a| stays(&a.line))))
}

fn containers(
    kind: EngineKind,
    wanted: Wanted<'_>,
    asked: &Asked<'_>,
    context: &Context,
) -> Result<Vec<Result<Anew, Problem>>, Problem> {
    let raw = engine_api::raw(kind, wanted)?;
    let Some(engine) = &raw.engine else {
        let message = "the engine does not say how it is set up";
        return Err(Problem::new(format!("{}:", kind.name()), message));
    };
    Ok(raw.containers.iter().map(|inspected| anew(inspected, engine, asked, context)).collect())
}

fn anew(
    inspected: &Inspected,
    engine: &Arc<Engine>,
    asked: &Asked<'_>,
    context: &Context,
) -> Result<Anew, Problem> {
    let text =
        |value: &Value, pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
    let name = text(&inspected.container, "/Name").unwrap_or_default().trim_start_matches('/').to_owned();
    let problem = |message: String| Problem::new(format!("{}:{name}", engine.kind.name()), message);
    let reproduced = reproduce(&inspected.container, inspected.image.as_ref(), engine, &context.host)
        .map_err(|error| problem(error.to_string()))?;
    let mut context = context.clone();
    match engine.kind {
        EngineKind::Podman => context.podman = engine.clone(),
        _ => context.docker = engine.clone(),
    }
    if let (Some(image), Some(inspected)) = (text(&inspected.container, "/Config/Image"), &inspected.image) {
        let user = text(inspected, "/Config/User").unwrap_or_default();
        let mut users: BTreeMap<Arc<str>, Fact<Arc<str>>> = (*context.image_users).clone();
        users.insert(image.into(), Fact::known(user.into(), Origin::measured("the image's inspection")));
        context.image_users = Arc::new(users);
    }
    let line = reproduced.remedied_line(&context, asked);
    let compose = reproduced.remedied_compose(&context, asked);
    Ok(Anew { name, reproduced, line, compose })
}

/// Nothing of it is a file.
#[derive(Debug)]
struct Typed;

impl IsTyped for Typed {
    fn is_typed(&self, _: &str) -> bool {
        true
    }
}

fn report_of<'a>(remedied: &'a Remedied, arguments: &Harden, targets: &'a [String]) -> HardenReport<'a> {
    HardenReport {
        world: &remedied.world,
        plan: &remedied.plan,
        hardening: &remedied.hardening,
        targets,
        version: env!("CARGO_PKG_VERSION"),
        depth: arguments.depth,
        wrote: false,
        typed: &Typed,
    }
}

fn problems_of(world: &World) -> impl Iterator<Item = &Problem> {
    world.problems.iter().chain(&world.notes)
}

fn as_text(
    anew: &Anew,
    arguments: &Harden,
    targets: &[String],
    colour: bool,
    out: &mut dyn io::Write,
) -> io::Result<()> {
    let report = report_of(&anew.line, arguments, targets);
    text::plan(&report, &text::Options { colour, all: true }, out)?;
    writeln!(out, "As a command line:\n\n{}\n", anew.line.text.trim_end())?;
    writeln!(out, "As a Compose service:\n\n{}\n", anew.compose.text.trim_end())?;
    for file in &anew.reproduced.files {
        writeln!(out, "Beside it, {}:\n\n{}\n", file.path, file.text.trim_end())?;
    }
    for note in &anew.reproduced.notes {
        writeln!(out, "note: {}", report::printable(note))?;
    }
    for problem in problems_of(&anew.compose.world) {
        writeln!(out, "note: {}", report::printable(&problem.to_string()))?;
    }
    Ok(())
}

fn as_json(anew: &Anew, arguments: &Harden, targets: &[String]) -> Value {
    let files: Vec<Value> =
        anew.reproduced.files.iter().map(|f| json!({ "path": f.path, "text": f.text })).collect();
    json!({
        "name": anew.name,
        "harden": json::value(&report_of(&anew.line, arguments, targets)),
        "runLine": anew.line.text,
        "compose": anew.compose.text,
        "files": files,
        "notes": anew.reproduced.notes,
    })
}
