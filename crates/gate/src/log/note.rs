//! What the log says of itself, as lines of the chain.

use std::path::PathBuf;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::LogError;
use super::line::Hash;
use crate::record::SCHEMA;

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "kind")]
pub enum Note {
    /// Nothing was here.
    Began,
    /// A new file; the one before it ended with this line.
    Continued {
        sequence: u64,
        #[serde(serialize_with = "hash")]
        previous: Hash,
        /// Rotation removed a file that ended with this line.
        #[serde(skip_serializing_if = "Option::is_none", rename = "removedTo")]
        removed_to: Option<u64>,
    },
    /// A writer was cut off within a line, which is kept aside.
    Torn {
        bytes: u64,
        #[serde(serialize_with = "hash")]
        sha256: Hash,
        kept: PathBuf,
    },
    /// These lines were written and are not in the file any more.
    Missing { from: u64, to: u64 },
}

impl Note {
    pub(super) fn json(&self, time: Timestamp) -> Result<Vec<u8>, LogError> {
        #[derive(Serialize)]
        struct Line<'a> {
            schema: &'static str,
            time: Timestamp,
            note: &'a Note,
        }
        serde_json::to_vec(&Line { schema: SCHEMA, time, note: self }).map_err(LogError::Json)
    }
}

fn hash<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}
