//! The program beside this file, built by Go and asked line by line.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use gate::docker::go_json::Shape;
use serde_json::{Value, json};

pub(crate) struct Oracle {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
}

/// What Go makes of a body.
#[derive(Debug)]
pub(crate) enum Answer {
    Decoded(Value),
    Syntax(String),
    Type(String),
}

impl Oracle {
    /// None where there is no Go, said.
    pub(crate) fn start() -> Option<Oracle> {
        if Command::new("go").arg("version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
            assert!(
                std::env::var_os("STOCKADE_ENGINES").is_none(),
                "there is no Go: scripts/test installs it"
            );
            eprintln!("skipped: there is no Go");
            return None;
        }
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Each test builds its own, as they run at once; the second finds all in Go's cache.
        let program =
            folder.join(format!("go-json-oracle-{}-{:?}", std::process::id(), std::thread::current().id()));
        let built = Command::new("go")
            .args(["build", "-o"])
            .arg(&program)
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/go_json/oracle.go"))
            .env("GO111MODULE", "off")
            .env("GOCACHE", folder.join("go-cache"))
            .env("GOFLAGS", "")
            .output()
            .expect("go runs");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let mut child = Command::new(&program)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the oracle starts");
        // It runs on without its name.
        let _ = std::fs::remove_file(&program);
        let to = child.stdin.take();
        let from = BufReader::new(child.stdout.take().expect("a pipe"));
        Some(Oracle { child, to, from })
    }

    fn ask(&mut self, line: &str) -> (String, String) {
        let to = self.to.as_mut().expect("a pipe");
        writeln!(to, "{line}").expect("the oracle listens");
        let mut answer = String::new();
        self.from.read_line(&mut answer).expect("the oracle answers");
        let answer = answer.trim_end_matches('\n');
        let (word, rest) = answer.split_once(' ').unwrap_or((answer, ""));
        (word.to_owned(), rest.to_owned())
    }

    pub(crate) fn decode(&mut self, body: &[u8]) -> Answer {
        let hex: String = body.iter().map(|byte| format!("{byte:02x}")).collect();
        let (word, rest) = self.ask(&format!("body {hex}"));
        match word.as_str() {
            "ok" => Answer::Decoded(serde_json::from_str(&rest).expect("Go writes JSON")),
            "syntax" => Answer::Syntax(rest),
            "type" => Answer::Type(rest),
            other => panic!("the oracle says {other:?} {rest}"),
        }
    }

    /// What bodies are decoded into from now on.
    pub(crate) fn shape(&mut self, shape: &Shape) {
        assert_eq!(self.ask(&format!("shape {}", described(shape))).0, "ok");
    }

    /// Every key of the type of a create body, and sets that type.
    pub(crate) fn create_keys(&mut self) -> Vec<String> {
        self.ask("create").1.split(' ').map(str::to_owned).collect()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.to.take());
        let _ = self.child.wait();
    }
}

fn described(shape: &Shape) -> Value {
    let of = |kind: &str, inner: &Shape| json!({ "Kind": kind, "Shapes": [described(inner)] });
    match shape {
        Shape::Struct(fields) => json!({
            "Kind": "struct",
            "Names": fields.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            "Shapes": fields.iter().map(|(_, shape)| described(shape)).collect::<Vec<_>>(),
        }),
        Shape::Pointer(inner) => of("pointer", inner),
        Shape::Slice(inner) => of("slice", inner),
        Shape::Map(inner) => of("map", inner),
        Shape::Text => json!({ "Kind": "text" }),
        Shape::Number => json!({ "Kind": "number" }),
        Shape::Bool => json!({ "Kind": "bool" }),
        Shape::Any => json!({ "Kind": "any" }),
        Shape::TextOrList => json!({ "Kind": "text-or-list" }),
    }
}
