//! Hostile shapes cost time in proportion to their size, and everything real is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sources::document::{Document, DocumentError, Limits, Node, parse_bytes, parse_json, parse_yaml};

/// Unoptimised parsers are some thirty times slower; the shapes are as much smaller.
const SIZE: usize = if cfg!(debug_assertions) { 40_000 } else { 3_000_000 };

/// A name, and a text of about so many bytes.
type Shape = (&'static str, fn(usize) -> String);

fn repeat(unit: &str, bytes: usize) -> String {
    unit.repeat(bytes.div_ceil(unit.len()))
}

/// Runs a parser on a shape, and on one four times as large. The best of three runs counts, and a fixed
/// allowance covers what is too short to measure.
fn assert_linear(name: &str, shape: impl Fn(usize) -> String, parse: impl Fn(&str)) {
    let best = |text: &str| {
        let run = |_| {
            let start = Instant::now();
            parse(text);
            start.elapsed()
        };
        (0..3).map(run).min().unwrap()
    };
    let (small, large) = (best(&shape(SIZE)), best(&shape(4 * SIZE)));
    println!("{name}: {small:?}, four times as large {large:?}");
    assert!(large < 10 * small + Duration::from_millis(200), "{name}: {small:?}, then {large:?}");
}

fn yaml(text: &str) {
    let limits = Limits { nodes: 20_000_000, documents: 20_000_000, ..Limits::default() };
    let documents = parse_yaml(text, &"shape.yaml".into(), &limits);
    // Each answer a reader asks for must be as cheap.
    for document in documents.iter().flatten() {
        visit(&document.root);
    }
}

fn visit(node: &Node) {
    std::hint::black_box((node.value(), node.place()));
    for (key, value) in node.entries().take(1000) {
        std::hint::black_box(key.place());
        visit(&value);
    }
    for item in node.items().take(1000) {
        visit(&item);
    }
}

#[test]
fn yaml_of_any_shape_takes_linear_time() {
    let shapes: [Shape; 36] = [
        ("one line of items", |n| format!("a: [{}]", repeat("{b: c, d: \"1\"}, ", n))),
        ("one line of nested items", |n| format!("a: [{}]", repeat("[[[{b: [1]}]]], ", n))),
        ("one plain scalar", |n| format!("a: {}", repeat("words and ", n))),
        ("one word", |n| format!("a: {}", repeat("word", n))),
        ("one number", |n| format!("a: {}", repeat("1", n))),
        ("one number with underscores", |n| format!("a: 1{}", repeat("_", n))),
        ("one quoted scalar", |n| format!("a: \"{}\"", repeat("x\\n", n))),
        ("one folded quoted scalar", |n| format!("a: '{}'", repeat("x\n ", n))),
        ("an unclosed quote", |n| format!("a: \"{}", repeat("x ", n))),
        ("unclosed quotes", |n| repeat("---\na: \"b\n", n)),
        ("documents", |n| repeat("---\na: 1\n", n)),
        ("documents that are broken", |n| repeat("---\n}\n", n)),
        ("documents that are broken, without markers", |n| repeat("}\n...\n", n)),
        ("documents that are templates", |n| repeat("a: {{ .x }}\n---\n", n)),
        ("documents with duplicate keys", |n| repeat("a: 1\na: 2\n---\n", n)),
        ("deep flow nesting", |n| repeat("[", n)),
        ("deep flow mappings", |n| repeat("{a: ", n)),
        ("deep block nesting", |n| repeat("- ", n)),
        ("deep explicit keys", |n| repeat("? ", n)),
        ("deep nesting in each document", |n| repeat(&format!("---\n{}\n", "[".repeat(500)), n)),
        ("keys", |n| (0..n / 10).map(|k| format!("k{k}: 1\n")).collect()),
        ("keys that are anchors", |n| (0..n / 20).map(|k| format!("&k{k} k{k}: *k{k}\n")).collect()),
        ("aliases", |n| format!("a: &a [x]\nb: [{}]", repeat("*a, ", n))),
        ("merges", |n| format!("a: &a {{x: 1}}\nb: {{<<: [{}]}}", repeat("*a, ", n))),
        ("a chain of merges", |n| {
            let link = |k| format!("m{}: &m{} {{<<: *m{k}}}\n", k + 1, k + 1);
            format!("m0: &m0 {{x: 1}}\n{}", (0..n / 30).map(link).collect::<String>())
        }),
        ("comments", |n| format!("{}a: 1\n", repeat("# c\n", n))),
        ("comments within", |n| repeat("- a # c\n# d\n", n)),
        ("empty block scalars", |n| repeat("- |\n# c\n# d\n\n", n)),
        ("block scalars", |n| repeat("- |\n  x\n\n  y\n", n)),
        ("one block scalar of blank lines", |n| format!("a: |\n{}  x\n", repeat("\n", n))),
        ("absent values", |n| repeat("-\n", n)),
        ("anchors without nodes", |n| repeat("- &a\n", n)),
        ("tags", |n| repeat("- !!str a\n", n)),
        ("colons", |n| repeat(":", n)),
        ("tabs", |n| repeat("\t", n)),
        ("markers", |n| repeat("{{ ", n)),
    ];
    for (name, shape) in shapes {
        assert_linear(name, shape, yaml);
    }
}

#[test]
fn json_of_any_shape_takes_linear_time() {
    let shapes: [Shape; 7] = [
        ("items", |n| format!("[{}1]", repeat("{\"a\": [true, \"\\n\"]}, ", n))),
        ("lines", |n| format!("[{}1]", repeat("1,\n", n))),
        ("one string", |n| format!("\"{}\"", repeat("words ", n))),
        ("one string of escapes", |n| format!("\"{}\"", repeat("\\u00e9", n))),
        ("one number", |n| repeat("1", n)),
        ("deep nesting", |n| repeat("[", n)),
        ("keys", |n| {
            let keys: String = (0..n / 10).map(|k| format!("\"k{k}\":1,")).collect();
            format!("{{{keys}\"z\":1}}")
        }),
    ];
    for (name, shape) in shapes {
        assert_linear(name, shape, |text| {
            let limits = Limits { nodes: 20_000_000, ..Limits::default() };
            if let Ok(document) = parse_json(text, &"shape.json".into(), &limits) {
                visit(&document.root);
            }
        });
    }
}

#[test]
fn a_hundred_thousand_documents_are_read() {
    let count = if cfg!(debug_assertions) { 10_000 } else { 100_000 };
    let text = "---\nkind: Pod\nspec: {containers: [{name: a, image: b}]}\n".repeat(count);
    let documents = parse_yaml(&text, &"many.yaml".into(), &Limits::default());
    assert_eq!(documents.len(), count);
    assert!(documents.iter().all(Result::is_ok));
    let last = documents.last().unwrap().as_ref().unwrap();
    assert_eq!(last.root.place().line as usize, 3 * count - 1);
}

/// Real files, if they are there.
fn corpus(folder: &str) -> Vec<PathBuf> {
    let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora");
    let corpora = std::env::var_os("STOCKADE_CORPORA").map_or_else(|| PathBuf::from(default), PathBuf::from);
    let Ok(entries) = fs::read_dir(corpora.join(folder)) else {
        println!("skipped: no corpus at {}", corpora.join(folder).display());
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files
}

fn parse_file(file: &Path) -> Vec<Result<Document, DocumentError>> {
    let name: Arc<str> = file.file_name().unwrap().to_string_lossy().into();
    parse_bytes(&fs::read(file).unwrap(), &name, &Limits::default())
}

#[test]
fn every_real_compose_file_and_manifest_is_read_but_templates_and_duplicate_keys() {
    let files = [corpus("compose"), corpus("kubernetes"), corpus("falco-rules"), corpus("engine-defaults")];
    let mut unexpected = Vec::new();
    for document in files.iter().flatten().flat_map(|file| parse_file(file)) {
        match document {
            Ok(document) => visit(&document.root),
            Err(error) => {
                println!("{error}");
                // Some old manifests do set a key twice. `kubectl apply` refuses them, too: its field
                // validation is strict (KEP-2885).
                if !error.templated && !error.message.starts_with("duplicate key") {
                    unexpected.push(error.to_string());
                }
            }
        }
    }
    assert_eq!(unexpected, Vec::<String>::new());
}
