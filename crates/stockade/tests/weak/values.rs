//! What another parser than the program's reads in a file, and where two files differ in it.

use serde_json::Value;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// The documents of a file; `None` where its kind has no such parser here. An error says that it does not parse.
pub(crate) fn parse(path: &str, bytes: &[u8]) -> Option<Result<Vec<Value>, String>> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => return Some(Err(error.to_string())),
    };
    if path.ends_with(".json") {
        return Some(serde_json::from_str(text).map(|value| vec![value]).map_err(|e| e.to_string()));
    }
    if path.ends_with(".yaml") || path.ends_with(".yml") {
        return Some(yaml(text));
    }
    if path.ends_with(".sh") {
        return Some(shell(text).map(|()| Vec::new()));
    }
    None
}

fn yaml(text: &str) -> Result<Vec<Value>, String> {
    use serde::Deserialize as _;
    let mut documents = Vec::new();
    for document in yaml_serde::Deserializer::from_str(text) {
        let value = yaml_serde::Value::deserialize(document).map_err(|e| e.to_string())?;
        documents.push(plain(&value));
    }
    Ok(documents)
}

/// As JSON, with keys and tags as text.
fn plain(value: &yaml_serde::Value) -> Value {
    use yaml_serde::Value as Yaml;
    match value {
        Yaml::Null => Value::Null,
        Yaml::Bool(b) => Value::Bool(*b),
        Yaml::Number(n) => Value::String(n.to_string()),
        Yaml::String(s) => Value::String(s.clone()),
        Yaml::Sequence(items) => Value::Array(items.iter().map(plain).collect()),
        Yaml::Mapping(entries) => {
            let key = |key: &Yaml| match plain(key) {
                Value::String(text) => text,
                other => other.to_string(),
            };
            Value::Object(entries.iter().map(|(k, v)| (key(k), plain(v))).collect())
        }
        Yaml::Tagged(tagged) => {
            Value::Object([(tagged.tag.to_string(), plain(&tagged.value))].into_iter().collect())
        }
    }
}

fn shell(text: &str) -> Result<(), String> {
    // bash takes a carriage return for a word; the scripts of another system are read as there.
    let mut child = Command::new("bash")
        .args(["-n", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("bash: {e}"))?;
    let text = text.replace("\r\n", "\n");
    child.stdin.take().ok_or("no standard input")?.write_all(text.as_bytes()).map_err(|e| e.to_string())?;
    let output = child.wait_with_output().map_err(|e| e.to_string())?;
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The routes at which two values differ, as deep as both are collections of the same kind.
pub(crate) fn differences(a: &Value, b: &Value) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    differ(a, b, &mut Vec::new(), &mut found);
    found
}

fn differ(a: &Value, b: &Value, route: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match (a, b) {
        _ if a == b => {}
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                route.push(key.clone());
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => differ(a, b, route, found),
                    _ => found.push(route.clone()),
                }
                route.pop();
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (i, (a, b)) in a.iter().zip(b).enumerate() {
                route.push(i.to_string());
                differ(a, b, route, found);
                route.pop();
            }
        }
        _ => found.push(route.clone()),
    }
}
