//! A YAML or JSON document as a tree that knows where every node stands in its file.
//!
//! Every reader of text (Compose, Kubernetes, OCI `config.json`, `daemon.json`) starts here: text goes in,
//! [`Document`]s come out, and each fact a reader makes takes its [`Place`] from the node it was read from.
//! `harden` edits the same text by [`Node::route`] and [`Node::bytes`].
//!
//! Untyped scalars mean what they mean to go-yaml, because Docker Compose and the Kubernetes tools read
//! their files with it (`scalar.rs` holds the rules).

mod builder;
mod json;
mod scalar;
mod template;
mod tree;
mod yaml;

use std::path::Path;
use std::sync::Arc;

use confinement::{Place, Problem};

pub use json::parse_json;
pub use template::looks_templated;
pub use tree::{Node, Route, Step, Style, Value};
pub use yaml::parse_yaml;

/// One document of a file. A YAML file may hold many.
#[derive(Clone, Debug)]
pub struct Document {
    pub root: Node,
    pub path: Arc<str>,
    /// Which document of the file this is, counted from 0, documents with errors included.
    pub index: usize,
}

impl Document {
    /// The whole file this document stands in, without a byte order mark at its start.
    pub fn text(&self) -> &str {
        self.root.file_text()
    }
}

/// What one file may cost. A file beyond a limit is an error about that file.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Size of the file in bytes.
    pub bytes: usize,
    /// Levels of nesting, those reached through aliases included.
    pub depth: usize,
    /// Nodes in the file, all documents together.
    pub nodes: usize,
    /// Documents in the file.
    pub documents: usize,
    /// Nodes of one document when every alias is followed. Aliases share the node they name, so memory
    /// does not grow with this, but a reader that walks the tree visits as many.
    pub reachable: u64,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { bytes: 32 << 20, depth: 64, nodes: 2_000_000, documents: 200_000, reachable: 10_000_000 }
    }
}

/// Why a document could not be read. Lines and columns count from 1; line 0 means the file as a whole.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", prefix(path, *line, *column))]
pub struct DocumentError {
    pub path: Arc<str>,
    pub line: u32,
    pub column: u32,
    pub message: String,
    /// The text holds template markers, so it is probably not meant to be read as it stands.
    pub templated: bool,
}

impl DocumentError {
    fn new(path: &Arc<str>, line: u32, column: u32, message: impl Into<String>) -> DocumentError {
        DocumentError { path: path.clone(), line, column, message: message.into(), templated: false }
    }

    fn whole_file(path: &Arc<str>, message: impl Into<String>) -> DocumentError {
        DocumentError::new(path, 0, 0, message)
    }

    /// The error as a run reports it.
    pub fn problem(&self) -> Problem {
        match self.place() {
            Some(place) => Problem::at(&place, self.message.clone()),
            None => Problem::new(self.path.clone(), self.message.clone()),
        }
    }

    /// The place of the error, where it has one.
    pub fn place(&self) -> Option<Place> {
        (self.line > 0).then(|| Place::new(&self.path, self.line, self.column, 0))
    }
}

/// `compose.yaml:14:9: `, or without the numbers where the file as a whole is meant.
fn prefix(path: &str, line: u32, column: u32) -> String {
    match line {
        0 => format!("{path}: "),
        _ => format!("{path}:{line}:{column}: "),
    }
}

/// Reads a file of either format: `.json` is JSON, everything else is YAML (of which JSON is nearly a
/// subset). Text without a name (`-`) that starts with `{` is tried as JSON first.
pub fn parse_bytes(bytes: &[u8], path: &Arc<str>, limits: &Limits) -> Vec<Result<Document, DocumentError>> {
    let text = match decode(bytes, path, limits) {
        Ok(text) => text,
        Err(error) => return vec![Err(error)],
    };
    let extension = Path::new(&**path).extension().and_then(|e| e.to_str()).unwrap_or("");
    if extension.eq_ignore_ascii_case("json") {
        return vec![parse_json(text, path, limits)];
    }
    let known = extension.eq_ignore_ascii_case("yaml") || extension.eq_ignore_ascii_case("yml");
    if !known
        && text.trim_start().starts_with('{')
        && let Ok(document) = parse_json(text, path, limits)
    {
        return vec![Ok(document)];
    }
    parse_yaml(text, path, limits)
}

/// Bytes to text: UTF-8 with or without a byte order mark, within the limit, and without NUL bytes.
fn decode<'a>(bytes: &'a [u8], path: &Arc<str>, limits: &Limits) -> Result<&'a str, DocumentError> {
    check_size(bytes.len(), path, limits)?;
    let utf16 = match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => true,
        // ASCII text in UTF-16 without a mark: every other byte is NUL (YAML 1.2.2, section 5.2).
        [0, second, ..] => *second != 0,
        [first, 0, ..] => *first != 0,
        _ => false,
    };
    if utf16 {
        let message = "the text is UTF-16; save it as UTF-8 (for example: iconv -f UTF-16 -t UTF-8)";
        return Err(DocumentError::whole_file(path, message));
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let (line, column) = lossy_position(bytes, error.valid_up_to());
            return Err(DocumentError::new(path, line, column, "this byte is not valid UTF-8"));
        }
    };
    if let Some(at) = bytes.iter().position(|byte| *byte == 0) {
        let (line, column) = lossy_position(bytes, at);
        return Err(DocumentError::new(path, line, column, "a NUL byte: this is not a text file"));
    }
    Ok(text)
}

fn check_size(length: usize, path: &Arc<str>, limits: &Limits) -> Result<(), DocumentError> {
    // Offsets are kept in 32 bits.
    let most = limits.bytes.min(u32::MAX as usize - 1);
    if length > most {
        let message = format!("the file is larger than the limit of {most} bytes");
        return Err(DocumentError::whole_file(path, message));
    }
    Ok(())
}

/// Line and column, both from 1, of a byte offset.
fn lossy_position(bytes: &[u8], at: usize) -> (u32, u32) {
    let before = bytes.get(..at).unwrap_or(bytes);
    let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1);
    let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = String::from_utf8_lossy(before.get(line_start..).unwrap_or_default()).chars().count() + 1;
    (clamp(line), clamp(column))
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
