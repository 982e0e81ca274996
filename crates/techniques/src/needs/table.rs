//! The table of known images: `data/image-needs.yaml`, as it is read.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use confinement::{Capability, CapabilitySet};
use serde::{Deserialize, Deserializer, de::Error as _};

use super::reference::{Reference, version};

/// What one image needs; the members are described at the top of the table.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ImageNeeds {
    /// The row's name.
    #[serde(skip)]
    pub image: String,
    pub paths: Vec<String>,
    #[serde(default)]
    pub since: Option<String>,
    #[serde(default)]
    pub before: Option<String>,
    #[serde(default)]
    pub variant: Option<String>,
    pub user: UserNeed,
    /// Of a start as root.
    #[serde(default, deserialize_with = "capabilities")]
    pub capabilities: CapabilitySet,
    #[serde(default, deserialize_with = "capabilities")]
    pub optional: CapabilitySet,
    /// What its program's file capabilities want in the bounding set.
    #[serde(default, deserialize_with = "capabilities")]
    pub bounding: CapabilitySet,
    #[serde(default)]
    pub low_port: Option<u16>,
    #[serde(default)]
    pub scratch: Vec<String>,
    #[serde(default)]
    pub volumes: Vec<String>,
    #[serde(default)]
    pub data: Vec<String>,
    #[serde(default)]
    pub edited: Vec<String>,
    pub no_new_privileges: NoNewPrivileges,
    /// It runs programs of one's own.
    #[serde(default)]
    pub programs: bool,
    /// Bytes.
    #[serde(default)]
    pub memory: Option<u64>,
    #[serde(default)]
    pub pids: Option<u64>,
    #[serde(default)]
    pub notes: Option<String>,
    pub source: String,
    pub confidence: Confidence,
    /// Members of a row that was read whose values are recalled.
    #[serde(default)]
    pub recalled: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct UserNeed {
    pub kind: UserKind,
    /// Of its own user; `None` where any will do or none is known.
    #[serde(default, deserialize_with = "ids")]
    pub ids: Option<(u32, u32)>,
    #[serde(default, deserialize_with = "ids")]
    pub alpine: Option<(u32, u32)>,
    /// What else has to change, to follow "with".
    #[serde(default)]
    pub changes: Option<String>,
    /// An image of the same program that takes it as it is.
    #[serde(default)]
    pub instead: Option<String>,
}

/// What is documented of running as a user other than root.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UserKind {
    /// The image names one itself.
    Named,
    /// It takes `--user`.
    Takes,
    /// It takes it, where something else is changed too.
    Changes,
    /// It must be started as root.
    Root,
    /// It starts as root, and nothing is said of others.
    Undocumented,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NoNewPrivileges {
    Safe,
    Breaks,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Confidence {
    /// Read in the source that is named.
    Read,
    /// Stated from general knowledge.
    Recalled,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    costs: Costs,
    #[serde(deserialize_with = "capabilities")]
    stepping_down: CapabilitySet,
    scratch: Vec<String>,
    images: BTreeMap<String, ImageNeeds>,
}

/// What is added to the cost of a remedy.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct Costs {
    pub(super) run_as_non_root: UserCosts,
    pub(super) capability: CapabilityCosts,
    pub(super) read_only_rootfs: RootfsCosts,
    pub(super) no_new_privileges: PrivilegeCosts,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct UserCosts {
    pub(super) named: u8,
    pub(super) takes: u8,
    pub(super) takes_with_volumes: u8,
    pub(super) changes: u8,
    pub(super) undocumented: u8,
    pub(super) unknown: u8,
    pub(super) root: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct CapabilityCosts {
    pub(super) optional: u8,
    pub(super) stepping_down: u8,
    pub(super) needed: u8,
    pub(super) bounding: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct RootfsCosts {
    pub(super) known: u8,
    pub(super) unknown: u8,
    pub(super) data: u8,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct PrivilegeCosts {
    pub(super) safe: u8,
    pub(super) breaks: u8,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    let json = include_str!(concat!(env!("OUT_DIR"), "/image-needs.json"));
    let mut table: Table = serde_json::from_str(json).expect("a test reads the table");
    for (name, row) in &mut table.images {
        row.image.clone_from(name);
    }
    table
});

/// Rows by the last name of their repositories.
static BY_NAME: LazyLock<HashMap<&'static str, Vec<&'static ImageNeeds>>> = LazyLock::new(|| {
    let mut by_name: HashMap<&str, Vec<&ImageNeeds>> = HashMap::new();
    for row in TABLE.images.values() {
        for path in &row.paths {
            let rows = by_name.entry(path.rsplit('/').next().unwrap_or(path)).or_default();
            // One row may list a program under two publishers.
            if !rows.iter().any(|known| std::ptr::eq(*known, row)) {
                rows.push(row);
            }
        }
    }
    by_name
});

/// Every known image, by the name of its row.
pub fn all() -> impl Iterator<Item = &'static ImageNeeds> {
    TABLE.images.values()
}

pub(super) fn costs() -> &'static Costs {
    &TABLE.costs
}

/// What entrypoints use that change the owner of their data and step down to another user.
pub fn stepping_down() -> CapabilitySet {
    TABLE.stepping_down
}

/// Where programs write that nothing is known of.
pub fn scratch() -> &'static [String] {
    &TABLE.scratch
}

/// The row of an image, by its repository and the version and variant in its tag. An image of the same name by another
/// publisher is none of these (see [`looks_like`]).
pub fn of(reference: &str) -> Option<&'static ImageNeeds> {
    let reference = Reference::parse(reference);
    let rows = BY_NAME.get(reference.name())?.iter().copied();
    best(rows.filter(|row| row.paths.iter().any(|path| reference.is(path))), &reference)
}

/// The row of an image that bears the same name and comes from another publisher: `someone/nginx`. It may be built
/// from the known one, or have nothing to do with it; nothing is decided by it.
pub fn looks_like(reference: &str) -> Option<&'static ImageNeeds> {
    let parsed = Reference::parse(reference);
    let rows = BY_NAME.get(parsed.name())?;
    if of(reference).is_some() { None } else { best(rows.iter().copied(), &parsed) }
}

/// Of several rows that fit, the one that says most of the tag.
fn best(
    rows: impl Iterator<Item = &'static ImageNeeds>,
    reference: &Reference<'_>,
) -> Option<&'static ImageNeeds> {
    let at = reference.version();
    rows.filter(|row| row.since.as_deref().is_none_or(|since| at >= version(since, 0)))
        .filter(|row| row.before.as_deref().is_none_or(|before| at < version(before, 0)))
        .filter(|row| row.variant.as_deref().is_none_or(|variant| reference.has_variant(variant)))
        .max_by_key(|row| (row.variant.is_some(), row.since.as_deref().map(|since| version(since, 0))))
}

impl UserNeed {
    /// The ids under this tag.
    pub fn ids_of(&self, reference: &str) -> Option<(u32, u32)> {
        match self.alpine {
            Some(ids) if Reference::parse(reference).has_variant("alpine") => Some(ids),
            _ => self.ids,
        }
    }
}

fn capabilities<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CapabilitySet, D::Error> {
    let names = Vec::<String>::deserialize(deserializer)?;
    names.iter().try_fold(CapabilitySet::EMPTY, |set, name| match Capability::parse(name) {
        Some(cap) => Ok(set.with(cap)),
        None => Err(D::Error::custom(format!("{name} is no capability"))),
    })
}

fn ids<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<(u32, u32)>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let ids = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
    ids.map(Some).ok_or_else(|| D::Error::custom(format!("`{text}` is not uid:gid")))
}
