//! Turns the tables, which people write as YAML, into JSON that the binary embeds: `data/NAME.yaml` becomes
//! `$OUT_DIR/NAME.json`. A file that is not YAML, or not a mapping, fails the build with its place.

use std::path::PathBuf;
use std::{env, fs, process};

use serde_json::Value;

fn main() {
    let (Ok(root), Ok(out)) = (env::var("CARGO_MANIFEST_DIR"), env::var("OUT_DIR")) else {
        fail("CARGO_MANIFEST_DIR and OUT_DIR are not set: run this through cargo")
    };
    for name in ["detectors", "attempt-rows", "not-watched"] {
        let file = format!("data/{name}.yaml");
        println!("cargo::rerun-if-changed={file}");
        let path = PathBuf::from(&root).join(&file);
        let text = fs::read_to_string(&path).unwrap_or_else(|error| fail(&format!("{file}: {error}")));
        let value: Value = serde_saphyr::from_str(&text).unwrap_or_else(|error| {
            let message = error.to_string();
            let message = message.lines().next().unwrap_or("not YAML").to_owned();
            match error.location() {
                Some(at) => fail(&format!("{file}:{}:{}: {message}", at.line(), at.column())),
                None => fail(&format!("{file}: {message}")),
            }
        });
        if !value.is_object() {
            fail(&format!("{file}:1:1: the file must be a mapping"));
        }
        let target = PathBuf::from(&out).join(format!("{name}.json"));
        fs::write(&target, value.to_string())
            .unwrap_or_else(|error| fail(&format!("{}: {error}", target.display())));
    }
}

fn fail(message: &str) -> ! {
    println!("cargo::error={message}");
    process::exit(1)
}
