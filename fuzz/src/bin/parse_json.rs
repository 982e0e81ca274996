//! JSON text is read as `serde_json` reads it, or refused as it refuses it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::document::{Node, Value, parse_json};

fuzz_target!(|text: &str| {
    let ours = parse_json(text, &fuzz::path("fuzz.json"), &fuzz::limits());
    let theirs = serde_json::from_str::<serde_json::Value>(text);
    match (&ours, &theirs) {
        (Ok(document), Ok(value)) => {
            fuzz::check_document(document);
            assert!(same(&document.root, value), "{:?} is not {value:?}", document.root);
        }
        (Ok(document), Err(error)) => panic!("read as {:?}, but: {error}", document.root),
        (Err(error), Ok(_)) => {
            // What serde_json lets pass and this reader does not.
            let reasons = ["duplicate key", "nested deeper", "more nodes", "larger than"];
            let expected = reasons.iter().any(|reason| error.message.contains(reason));
            assert!(expected || text.starts_with('\u{FEFF}'), "refused: {error}");
        }
        (Err(_), Err(_)) => {}
    }
});

fn same(node: &Node, value: &serde_json::Value) -> bool {
    match value {
        serde_json::Value::Null => node.is_null(),
        serde_json::Value::Bool(value) => node.as_bool() == Some(*value),
        serde_json::Value::Number(number) => {
            matches!(node.value(), Value::Integer(_) | Value::Float(_))
                && node.as_str().and_then(|text| text.parse::<f64>().ok()) == number.as_str().parse().ok()
        }
        serde_json::Value::String(text) => node.as_string_strict() == Some(text),
        serde_json::Value::Array(items) => {
            node.len() == items.len() && node.items().zip(items).all(|(node, item)| same(&node, item))
        }
        serde_json::Value::Object(members) => {
            node.len() == members.len()
                && members.iter().all(|(key, value)| node.get(key).is_some_and(|node| same(&node, value)))
        }
    }
}
