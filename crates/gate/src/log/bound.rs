//! A record whose line would be longer than may be: what is largest is left out, and `leftOut` says what.

use serde_json::{Value, json};

use super::line::Hash;
use super::{CHAIN, LONGEST, LogError};
use crate::Record;

const MOST: usize = LONGEST - CHAIN;
/// Of a text, where all of a record is too long.
const TEXT: usize = 4096;
const ITEMS: usize = 64;

/// The record as JSON, within bounds.
pub(super) fn json(record: &Record<'_>) -> Result<Vec<u8>, LogError> {
    let json = serde_json::to_vec(record).map_err(LogError::Json)?;
    if json.len() <= MOST {
        return Ok(json);
    }
    let (bytes, sha256) = (json.len(), Hash::of(&json).to_string());
    let mut value: Value = serde_json::from_slice(&json).map_err(LogError::Json)?;
    drop(json);
    for (what, shorten) in [("evidence", evidence as fn(&mut Value)), ("texts and lists", everything)] {
        shorten(&mut value);
        value["leftOut"] = json!({ "what": what, "bytes": bytes, "sha256": sha256 });
        let shorter = serde_json::to_vec(&value).map_err(LogError::Json)?;
        if shorter.len() <= MOST {
            return Ok(shorter);
        }
    }
    // Many short members, each of many: who asked what, and the answer, are kept at least.
    if let Some(members) = value.as_object_mut() {
        members.remove("subjects");
    }
    value["leftOut"]["what"] = "subjects".into();
    let shorter = serde_json::to_vec(&value).map_err(LogError::Json)?;
    if shorter.len() <= MOST { Ok(shorter) } else { Err(LogError::Long { bytes }) }
}

/// What each subject was judged to be; the decision with its reasons stays.
fn evidence(record: &mut Value) {
    let subjects = record.get_mut("subjects").and_then(Value::as_array_mut);
    for subject in subjects.into_iter().flatten() {
        if let Some(members) = subject.as_object_mut() {
            members.remove("judged");
        }
    }
}

/// Every long text and list.
fn everything(value: &mut Value) {
    match value {
        Value::String(text) if text.len() > TEXT => {
            let end = (0..=TEXT).rev().find(|end| text.is_char_boundary(*end));
            text.truncate(end.unwrap_or(0));
            text.push('…');
        }
        Value::Array(items) => {
            items.truncate(ITEMS);
            items.iter_mut().for_each(everything);
        }
        Value::Object(members) => members.values_mut().for_each(everything),
        _ => {}
    }
}
