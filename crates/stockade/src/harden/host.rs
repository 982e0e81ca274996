//! `stockade harden host:`: files and commands for this host and its engines.

use std::path::Path;
use std::sync::Arc;

use ::harden::host::{self, Known, Options, Remap, Running};
use anyhow::bail;
use confinement::{Engine, EngineKind, Host, Subject};
use serde_json::json;
use sources::engine_api::{self, Raw, Wanted};

use super::write_to;
use crate::arguments::{Harden, HardenFormat, UsernsRemap};

/// The value of `schema`.
const SCHEMA: &str = "stockade.harden-host/1";

/// 0 where nothing is to be changed or it was written; with `--check` 1 where a file is to be changed.
pub(super) fn run(arguments: &Harden, host: &Arc<Host>) -> anyhow::Result<u8> {
    let docker = engine(EngineKind::Docker, host);
    let podman = engine(EngineKind::Podman, host);
    let known = Known {
        host,
        docker: docker.as_ref().map(|(engine, raw)| Running { engine, raw }),
        podman: podman.as_ref().map(|(engine, raw)| Running { engine, raw }),
    };
    let remap = match arguments.userns_remap {
        UsernsRemap::Safe => Remap::WhereNothingBreaks,
        UsernsRemap::Always => Remap::Always,
        UsernsRemap::Never => Remap::Never,
    };
    let proposal = host::propose(&known, Options { remap }, Path::new("/"));
    let mut text = match arguments.format {
        HardenFormat::Text => host::text(&proposal),
        HardenFormat::Json => {
            let whole = json!({ "schema": SCHEMA, "written": arguments.write, "proposal": proposal });
            serde_json::to_string(&whole)? + "\n"
        }
        HardenFormat::Sarif => bail!("a host has no places to point to: it is told as text or JSON"),
    };
    if text.is_empty() {
        text = "nothing to change\n".into();
    }
    write_to(arguments, &|out, _| out.write_all(text.as_bytes()))?;
    if arguments.write {
        host::write(&proposal, Path::new("/"))?;
    }
    Ok(u8::from(arguments.check.is_some() && !proposal.files.is_empty()))
}

/// An engine that answers here, and all it holds; `None` where none does.
fn engine(kind: EngineKind, host: &Arc<Host>) -> Option<(Arc<Engine>, Raw)> {
    let wanted = Wanted { name: None, stopped: true };
    let raw = engine_api::raw(kind, wanted).ok()?;
    let told = match kind {
        EngineKind::Podman => engine_api::podman(wanted, host),
        _ => engine_api::docker(wanted, host),
    };
    let engine = told.world.subjects.iter().find_map(|s: &Subject| s.confinement.engine.clone())?;
    Some((engine, raw))
}
