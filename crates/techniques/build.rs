//! Turns the knowledge, which people write as YAML, into JSON that the binary embeds: `flaws/**/*.yaml` becomes
//! `$OUT_DIR/flaws.json`, `techniques/**/*.yaml` at the top of the project becomes `$OUT_DIR/catalogue.json`. Each is an array with one
//! object a file, in the order of the paths, and the path (from this crate) as its member "file".
//! A file that is not YAML, or not a mapping, fails the build with its place.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use serde_json::{Map, Value};

fn main() {
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let mut errors = Vec::new();
    // The techniques stand at the top of the project, where people look for them.
    for (folder, name) in [("flaws", "flaws"), ("../../techniques", "catalogue")] {
        let files = convert(&root, folder, &mut errors);
        write(&out.join(format!("{name}.json")), &Value::Array(files), &mut errors);
    }
    for name in ["objects", "devices", "remedies", "rows", "image-needs"] {
        let file = format!("data/{name}.yaml");
        println!("cargo::rerun-if-changed={file}");
        match read(&root.join(&file), &file) {
            Ok(members) => write(&out.join(format!("{name}.json")), &Value::Object(members), &mut errors),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        fail(&errors);
    }
}

fn write(target: &Path, json: &Value, errors: &mut Vec<String>) {
    if let Err(error) = fs::write(target, json.to_string()) {
        errors.push(format!("{}: {error}", target.display()));
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| fail(&[format!("{name} is not set: run this through cargo")]))
}

fn fail(errors: &[String]) -> ! {
    for error in errors {
        println!("cargo::error={error}");
    }
    process::exit(1)
}

/// Every YAML file of a folder as a JSON object; nothing where the folder does not exist.
fn convert(root: &Path, folder: &str, errors: &mut Vec<String>) -> Vec<Value> {
    // Cargo watches the folder whole, so a new file is seen as well; a folder that comes later changes the crate's.
    println!("cargo::rerun-if-changed={}", if root.join(folder).is_dir() { folder } else { "." });
    let mut paths = Vec::new();
    if root.join(folder).is_dir() {
        yaml_files(&root.join(folder), &mut paths, errors);
    }
    paths.sort();
    paths
        .iter()
        .filter_map(|path| {
            let name = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
            let mut members = read(path, &name).map_err(|error| errors.push(error)).ok()?;
            members.insert("file".into(), Value::String(name.trim_start_matches("../").into()));
            Some(Value::Object(members))
        })
        .collect()
}

fn yaml_files(folder: &Path, found: &mut Vec<PathBuf>, errors: &mut Vec<String>) {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) => return errors.push(format!("{}: {error}", folder.display())),
    };
    for entry in entries {
        match entry.map(|entry| entry.path()) {
            Ok(path) if path.is_dir() => yaml_files(&path, found, errors),
            Ok(path) if path.extension().is_some_and(|extension| extension == "yaml") => found.push(path),
            Ok(_) => {}
            Err(error) => errors.push(format!("{}: {error}", folder.display())),
        }
    }
}

fn read(path: &Path, name: &str) -> Result<Map<String, Value>, String> {
    let text = fs::read_to_string(path).map_err(|error| format!("{name}: {error}"))?;
    let value: Value = serde_saphyr::from_str(&text).map_err(|error| {
        let message = error.to_string();
        let message = message.lines().next().unwrap_or("not YAML").trim_start_matches("error: ");
        let Some(at) = error.location() else { return format!("{name}: {message}") };
        let (line, column) = (at.line(), at.column());
        let message = message.trim_start_matches(&format!("line {line} column {column}: "));
        format!("{name}:{line}:{column}: {message}")
    })?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(format!("{name}:1:1: the file must be a mapping")),
    }
}
