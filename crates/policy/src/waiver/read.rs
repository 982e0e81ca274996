//! The file of waivers, `stockade-waivers.yaml`.

use std::sync::Arc;

use sources::document::Node;

use super::{Scope, Waiver};
use crate::pattern::Pattern;
use crate::reading::{ReadError, Reader, Text};
use crate::rule::read::{fields, unknown_technique};

/// More than anyone keeps in order.
const MAX_WAIVERS: usize = 10_000;

const KEYS: [&str; 14] = [
    "fingerprint",
    "technique",
    "rule",
    "namespaces",
    "labels",
    "images",
    "names",
    "paths",
    "forms",
    "kinds",
    "reason",
    "owner",
    "ticket",
    "until",
];

pub(super) fn waivers(text: &str, path: &Arc<str>) -> Result<Vec<Waiver>, ReadError> {
    let mut reader = Reader::default();
    let list = reader.document(text, path, "a file of waivers").map(|document| {
        let root = &document.root;
        reader.keys(root, "a file of waivers", &["version", "waivers"]);
        let items = reader.items(root, "waivers");
        if items.len() > MAX_WAIVERS {
            reader.problem(root, format!("a file has at most {MAX_WAIVERS} waivers"));
        }
        items.iter().take(MAX_WAIVERS).filter_map(|item| waiver(&mut reader, item)).collect()
    });
    reader.finish(list)
}

fn waiver(reader: &mut Reader, node: &Node) -> Option<Waiver> {
    if !reader.keys(node, "a waiver", &KEYS) {
        return None;
    }
    let scope = scope(reader, node);
    let what = "the waiver";
    let reason = reader.needed(node, "reason", what, "say why this is accepted");
    let owner = reader.needed(node, "owner", what, "name who answers for it");
    let ticket = reader.text(node, "ticket");
    if node.get("until").is_none() {
        let message = "the waiver has no `until`: write its last day, such as `until: 2027-01-31`; a waiver without an end is no waiver";
        reader.problem(node, message);
    }
    let until = reader.date(node, "until");
    let value = |text: Text| text.value;
    Some(Waiver {
        scope: scope?,
        reason: reason?.value,
        owner: Some(owner?.value),
        ticket: ticket.map(value),
        until: until?,
        place: node.place(),
    })
}

fn scope(reader: &mut Reader, node: &Node) -> Option<Scope> {
    let subjects = fields(reader, node);
    let technique = reader.text(node, "technique");
    let rule = reader.text(node, "rule");
    if let Some(fingerprint) = reader.text(node, "fingerprint") {
        if technique.is_some() || rule.is_some() || !subjects.is_empty() {
            reader.problem(node, "`fingerprint` names one finding; nothing else may select beside it");
        }
        return Some(Scope::Fingerprint(fingerprint.value.as_ref().into()));
    }
    if technique.is_none() && rule.is_none() {
        let message = "the waiver does not say what it waives: give it `fingerprint`, `technique` (`*` for all) or `rule`";
        reader.problem(node, message);
        return None;
    }
    let technique = technique.map(|text| {
        let pattern = Pattern::new(&*text.value);
        // Controls of standards are named `pss-baseline/hostPathVolumes`.
        if !text.value.contains('/')
            && let Some(message) = unknown_technique(&pattern)
        {
            reader.problems.push(confinement::Problem::at(&text.place, message));
        }
        pattern
    });
    let rule = rule.map(|text| Pattern::new(&*text.value));
    Some(Scope::Selected { technique, rule, subjects })
}
