//! What must hold for every input, shared by the targets in `src/bin`.

use std::collections::HashSet;
use std::sync::Arc;

use confinement::{Place, World};
use sources::document::{Document, Limits, Node, Step, Value};

/// Small, so that the limits are reached.
pub fn limits() -> Limits {
    Limits { bytes: 1 << 20, depth: 64, nodes: 20_000, documents: 1_000, reachable: 50_000 }
}

pub fn path(name: &str) -> Arc<str> {
    name.into()
}

/// Everything a reader may ask of a document is answered, and the answers agree with each other.
pub fn check_document(document: &Document) {
    // Aliases let a small file reach many nodes.
    let mut budget = 2_000;
    check_node(document, &document.root, &mut budget);
}

fn check_node(document: &Document, node: &Node, budget: &mut usize) {
    if *budget == 0 {
        return;
    }
    *budget -= 1;
    let text = document.text();
    let bytes = node.bytes();
    assert_eq!(text.get(bytes.clone()), Some(node.source()), "bytes {bytes:?} are not within the text");
    let place = node.place();
    let line_start = text[..bytes.start].rfind('\n').map_or(0, |newline| newline + 1);
    // A lone carriage return ends a line, too, and a byte order mark between documents has no width.
    if !text[..bytes.start].contains(['\r', '\u{FEFF}']) {
        assert_eq!(place.line as usize, text[..bytes.start].matches('\n').count() + 1);
        assert_eq!(place.column as usize, text[line_start..bytes.start].chars().count() + 1);
    }
    assert!(leads_to(&document.root, &node.route(), node), "{:?}", node.route());
    if let Some(used) = node.alias_place() {
        assert!(used.length > 1, "an alias has at least `*` and a name");
    }
    check_scalar(node);
    for (key, value) in node.entries() {
        if let Some(name) = key.as_str() {
            assert!(node.get(name).is_some_and(|found| found.is_same(&value)), "{name:?}");
        }
        check_node(document, &key, budget);
        check_node(document, &value, budget);
    }
    for item in node.items() {
        check_node(document, &item, budget);
    }
}

fn check_scalar(node: &Node) {
    let value = node.value();
    assert_eq!(node.is_null(), value == Value::Null);
    assert_eq!(node.as_str().is_some(), node.is_scalar() && !node.is_null());
    assert_eq!(node.as_string_strict().is_some(), value == Value::String);
    assert_eq!(node.as_bool().is_some(), matches!(value, Value::Bool(_)));
    assert!(node.as_bool().is_none() || node.as_bool_yaml11() == node.as_bool());
    assert!(node.as_i64().is_none() || node.as_f64().is_some());
}

/// Whether a route leads to a node. A key's route is its value's, and a key need not be a string.
fn leads_to(root: &Node, route: &[Step], node: &Node) -> bool {
    match route.split_first() {
        None => root.is_same(node),
        Some((Step::Index(index), rest)) => root.item(*index).is_some_and(|item| leads_to(&item, rest, node)),
        Some((Step::Key(name), rest)) => root.own_entries().any(|(key, value)| {
            // A null's text is not given, and a collection has none.
            key.as_str().is_none_or(|text| *text == **name)
                && (leads_to(&value, rest, node) || leads_to(&key, rest, node))
        }),
    }
}

/// What every reader of text promises: a subject of its own for each container, and places that are in the text.
pub fn check_world(world: &World, text: &str) {
    let lines: Vec<usize> = text.split('\n').map(|line| line.chars().count()).collect();
    let within = |place: &Place| {
        let line = lines.get(place.line.saturating_sub(1) as usize);
        assert!(place.line > 0 && place.column > 0, "{place:?}");
        assert!(
            line.is_some_and(|length| place.column as usize <= length + 1),
            "{place:?} is not in the text"
        );
    };
    let mut ids = HashSet::new();
    for subject in &world.subjects {
        assert!(ids.insert(&subject.id), "two subjects are {}", subject.id);
        subject.place.iter().for_each(within);
        for mount in &subject.confinement.mounts {
            mount.origin().place().into_iter().for_each(within);
        }
        let capabilities = &subject.confinement.capabilities;
        if let (Some(effective), Some(bounding)) = (capabilities.effective.get(), capabilities.bounding.get())
        {
            let ambient = capabilities.ambient.get().copied().unwrap_or_default();
            let inheritable = capabilities.inheritable.get().copied().unwrap_or_default();
            assert!(effective.minus(*bounding).minus(ambient).minus(inheritable).is_empty());
        }
    }
    for problem in world.problems.iter().chain(&world.notes) {
        assert!(!problem.message.is_empty());
        assert!(problem.line != Some(0) && problem.column != Some(0), "{problem}");
    }
}
