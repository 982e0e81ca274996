//! What detectors have to cover: the rows of known attempts with the peers that see them (`data/attempt-rows.yaml`),
//! and the techniques that are not watched, with the reason (`data/not-watched.yaml`).

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

/// A kind of attempt that defenders know, in our words.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Row {
    pub says: String,
    /// Other tools that ship a rule, detector or policy for it, and how far it goes. Empty: none of those read does.
    #[serde(default)]
    pub peers: Vec<String>,
    /// Why nothing here watches it.
    #[serde(default)]
    pub left_out: Option<String>,
}

static ROWS: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/attempt-rows.json")))
        .unwrap_or_else(|error| panic!("data/attempt-rows.yaml: {error}"))
});
static NOT_WATCHED: LazyLock<BTreeMap<String, String>> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/not-watched.json")))
        .unwrap_or_else(|error| panic!("data/not-watched.yaml: {error}"))
});

pub fn rows() -> &'static BTreeMap<String, Row> {
    &ROWS
}

/// Techniques without a detector, and why.
pub fn not_watched() -> &'static BTreeMap<String, String> {
    &NOT_WATCHED
}
