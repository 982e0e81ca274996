//! `stockade.toml`: what a user sets once. Flags come before it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use techniques::remedy;

/// Read where no `--config` names another.
const DEFAULT: &str = "stockade.toml";

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Settings {
    pub(crate) harden: Harden,
    pub(crate) watch: Watch,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Harden {
    /// Costs of remedies by their identifier, from 1 (nobody notices) to 100.
    pub(crate) costs: BTreeMap<String, u8>,
    /// As `--keep`, for every run.
    pub(crate) keep: Vec<String>,
}

/// docs/events.md and docs/outputs.md describe every key.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub(crate) struct Watch {
    pub(crate) store: watch::store::Settings,
    #[allow(dead_code, reason = "read by `stockade watch`")]
    pub(crate) outputs: watch::outputs::Settings,
}

impl Settings {
    /// The settings of a file; of the default one where it is there.
    pub(crate) fn read(named: Option<&PathBuf>) -> anyhow::Result<Settings> {
        let path = named.map_or(Path::new(DEFAULT), PathBuf::as_path);
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
                return Ok(Settings::default());
            }
            Err(error) => return Err(error).context(path.display().to_string()),
        };
        let settings: Settings = toml::from_str(&text).with_context(|| path.display().to_string())?;
        for (id, cost) in &settings.harden.costs {
            if !remedy::ids().contains(&id.as_str()) {
                let known = remedy::ids().join(", ");
                bail!("{}: [harden.costs] {id}: there is no such remedy; known are {known}", path.display());
            }
            if !(1..=100).contains(cost) {
                bail!("{}: [harden.costs] {id} = {cost}: a cost is a number from 1 to 100", path.display());
            }
        }
        Ok(settings)
    }
}
