//! The Kubernetes files of the corpora, where they are there, and their documents as JSON.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sources::document::{Node, Value as Kind};

pub(crate) fn corpora() -> Option<PathBuf> {
    let folder = std::env::var_os("STOCKADE_CORPORA").map_or_else(
        || Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")).to_owned(),
        PathBuf::from,
    );
    let folder = folder.join("kubernetes");
    if !folder.is_dir() {
        println!("skipped: {} is absent", folder.display());
        return None;
    }
    Some(folder)
}

/// A document as JSON; none where a key is no text or a number none that JSON has.
pub(crate) fn to_json(node: &Node) -> Option<Value> {
    Some(match node.value() {
        Kind::Null => Value::Null,
        Kind::Bool(value) => value.into(),
        Kind::Integer(value) => value.into(),
        Kind::Float(value) => serde_json::Number::from_f64(value)?.into(),
        Kind::String => node.as_str()?.into(),
        Kind::Sequence => node.items().map(|item| to_json(&item)).collect::<Option<Vec<_>>>()?.into(),
        Kind::Mapping => {
            let fields =
                node.entries().map(|(key, value)| Some((key.as_str()?.to_owned(), to_json(&value)?)));
            Value::Object(fields.collect::<Option<_>>()?)
        }
    })
}
