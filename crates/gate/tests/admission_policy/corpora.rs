//! The Kubernetes files of the corpora, where they are there, and the tables of who decides alike.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::Value;
use sources::document::{Limits, parse_bytes};

#[path = "../support/corpora.rs"]
mod files;

use files::{corpora, to_json};

use crate::agreement::{Deciders, Denied, SHAPES};

/// With what the three are asked.
const POLICIES: &[(&str, &str)] = &[
    ("what is open or may be", "version: 1\n"),
    ("what is open", "version: 1\nundetermined: allow\n"),
    (
        "baseline",
        "version: 1\nopen: allow\nundetermined: allow\nrules:\n- {name: s, require: {standards: pss-baseline@1.37}}\n",
    ),
    (
        "restricted",
        "version: 1\nopen: allow\nundetermined: allow\nrules:\n- {name: s, require: {standards: pss-restricted@1.37}}\n",
    ),
    (
        "images",
        "version: 1\nopen: allow\nundetermined: allow\nrules:\n- name: i\n  require: {images: {registries: [docker.io, '*gcr.io', \
         registry.k8s.io], latest: false}}\n",
    ),
    (
        "images by digest",
        "version: 1\nopen: allow\nundetermined: allow\nrules:\n- name: i\n  subjects: {images: ['*nginx*', 'docker.io/re*']}\n  require: \
         {images: {digest: true}}\n",
    ),
];

/// As an API server decodes it: what is null is absent.
fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            members.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k, without_nulls(v))).collect()
        }
        Value::Array(items) => items.into_iter().map(without_nulls).collect(),
        other => other,
    }
}

/// Objects of the kinds that the emitted policies are about.
fn objects(folder: &Path) -> Vec<(String, Value)> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let mut found = Vec::new();
    for file in files.iter().filter(|f| f.is_file()) {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(file).expect("a file");
        for document in
            parse_bytes(&bytes, &Arc::from(name.as_str()), &Limits::default()).into_iter().flatten()
        {
            let Some(object) = to_json(&document.root).map(without_nulls) else { continue };
            let items = object.get("items").and_then(Value::as_array).cloned();
            for object in items.unwrap_or_else(|| vec![object]) {
                let of = |(group, kind, ..): &(&str, &str, &str, &str)| {
                    let version = if group.is_empty() { "v1".to_owned() } else { format!("{group}/v1") };
                    object["kind"] == *kind && object["apiVersion"] == version.as_str()
                };
                // No API server ever gets what a template tool has not rendered: the audit says that it cannot judge it, and
                // to the webhook braces are a text like any other.
                let text = object.to_string();
                if text.contains("{{") && text.contains("}}") {
                    println!("left out: {name} is not rendered");
                } else if SHAPES.iter().any(of) {
                    found.push((name.clone(), object));
                }
            }
        }
    }
    found
}

#[test]
fn the_corpora_are_decided_alike_by_all_three() {
    let Some(folder) = corpora() else { return };
    let objects = objects(&folder);
    assert!(objects.len() > 100, "{}", objects.len());
    let mut differences = Vec::new();
    for (what, policy) in POLICIES {
        let deciders = Deciders::of(policy);
        let mut table: BTreeMap<(bool, bool, bool), usize> = BTreeMap::new();
        for (file, object) in &objects {
            let (Denied { audit, webhook, emitted }, told) = deciders.create(object);
            *table.entry((audit, webhook, emitted)).or_default() += 1;
            if audit != webhook || webhook != emitted {
                differences.push(format!(
                    "{what}: {file}: audit {audit}, webhook {webhook}, emitted {emitted}\n{told}"
                ));
            }
        }
        println!(
            "{what}: {} objects; refused by all {}, let in by all {}, other {}",
            objects.len(),
            table.get(&(true, true, true)).unwrap_or(&0),
            table.get(&(false, false, false)).unwrap_or(&0),
            table.iter().filter(|((a, w, e), _)| a != w || w != e).map(|(_, n)| n).sum::<usize>()
        );
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
