//! JSON means the same when it is read as YAML (YAML 1.2.2, section 1.3), wherever the YAML reader takes it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sources::document::{Node, parse_json, parse_yaml};

fuzz_target!(|text: &str| {
    let Ok(json) = parse_json(text, &fuzz::path("fuzz.json"), &fuzz::limits()) else { return };
    let yaml = parse_yaml(text, &fuzz::path("fuzz.yaml"), &fuzz::limits());
    // YAML refuses some: keys over 1024 characters, tabs as indentation, a line break before `:`.
    let [Ok(yaml)] = yaml.as_slice() else { return };
    assert!(same(&json.root, &yaml.root), "{:?} became {:?}", json.root, yaml.root);
});

fn same(json: &Node, yaml: &Node) -> bool {
    if json.is_scalar() {
        return yaml.is_scalar() && json.as_str() == yaml.as_str() && json.is_quoted() == yaml.is_quoted();
    }
    json.is_mapping() == yaml.is_mapping()
        && json.is_sequence() == yaml.is_sequence()
        && json.len() == yaml.len()
        && json.bytes() == yaml.bytes()
        && json.items().zip(yaml.items()).all(|(json, yaml)| same(&json, &yaml))
        && json
            .own_entries()
            .zip(yaml.own_entries())
            .all(|(json, yaml)| same(&json.0, &yaml.0) && same(&json.1, &yaml.1))
}
