//! The stock rules load unchanged.

use std::path::PathBuf;

use rules::{Loader, Matcher, Selection};

/// The file, or None with a word about it.
fn stock() -> Option<PathBuf> {
    let corpora = std::env::var_os("STOCKADE_CORPORA").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora")),
        PathBuf::from,
    );
    let file = corpora.join("falco-rules/falco-incubating_rules.yaml");
    if file.exists() {
        return Some(file);
    }
    eprintln!("skipped: no stock rules at {}", file.display());
    None
}

#[test]
fn the_stock_incubating_rules_load_without_an_error() {
    let Some(file) = stock() else { return };
    let mut loader = Loader::new(Default::default());
    loader.file(&file);
    let loaded = loader.finish();
    let errors: Vec<String> =
        loaded.problems.iter().map(ToString::to_string).filter(|p| p.starts_with("error")).collect();
    assert!(errors.is_empty(), "{errors:#?}");
    assert_eq!((loaded.rules.len(), loaded.macros, loaded.lists), (31, 82, 54));
    for rule in &loaded.rules {
        assert!(!rule.types.is_empty() && rule.types.len() < 50, "{}: {:?}", rule.name, rule.types);
    }
    let matcher = Matcher::new(&loaded, &Selection::default());
    assert_eq!(matcher.rules().len(), 31);
    assert!(matcher.required_event_types().len() > 20);
    assert!(matcher.required_fields().len() > 40);
}
