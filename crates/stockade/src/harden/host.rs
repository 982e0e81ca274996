//! `stockade harden host:`: files and commands for this host and its engines.

use std::path::Path;
use std::sync::Arc;

use ::harden::host::{self, Known, Options, Remap, Running};
use anyhow::bail;
use confinement::{EngineKind, Host};
use serde_json::json;
use sources::engine_api::{self, Raw, Wanted};

use super::write_to;
use crate::arguments::{Harden, HardenFormat, UsernsRemap};

/// The value of `schema`.
const SCHEMA: &str = "stockade.harden-host/1";

/// 0 where nothing is to be changed or it was written; with `--check` 1 where a file is to be changed.
pub(super) fn run(arguments: &Harden, host: &Arc<Host>) -> anyhow::Result<u8> {
    let wanted = Wanted { name: None, stopped: true };
    let docker = engine_api::raw(EngineKind::Docker, wanted).ok();
    let podman = engine_api::raw(EngineKind::Podman, wanted).ok();
    let known = Known { host, docker: running(docker.as_ref()), podman: running(podman.as_ref()) };
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
fn running(raw: Option<&Raw>) -> Option<Running<'_>> {
    let raw = raw?;
    Some(Running { engine: raw.engine.as_deref()?, raw })
}
