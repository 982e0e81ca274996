//! Which technique judges which row of the catalogue of techniques (sections 1a to 1g), and why a row is judged by
//! none. Table: `data/rows.yaml`; the table in the documents is made from it.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Row {
    /// `1a` to `1g`.
    pub section: String,
    /// The whole name, where the key is its beginning.
    pub row: Option<String>,
    /// Identifiers of techniques.
    #[serde(default)]
    pub covered_by: Vec<String>,
    /// Components with known flaws, or identifiers of flaws.
    #[serde(default)]
    pub flaws: Vec<String>,
    /// The fact or condition that the row is, where it is no way out by itself.
    pub fact: Option<String>,
    /// Why the row is not judged.
    pub left_out: Option<String>,
}

static ROWS: LazyLock<BTreeMap<String, Row>> = LazyLock::new(|| {
    serde_json::from_str(include_str!(concat!(env!("OUT_DIR"), "/rows.json"))).expect("checked by the build")
});

/// Every row by its identifier.
pub fn rows() -> &'static BTreeMap<String, Row> {
    &ROWS
}
