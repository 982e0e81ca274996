//! Where texts come from, so that a complaint about a byte of a condition finds its line and column in the file.

use std::ops::Range;
use std::sync::Arc;

use crate::ast::Span;
use crate::document::{File, Node, locate};
use crate::problem::{Problem, Severity};

/// A node of a file.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) file: Arc<File>,
    pub(super) node: Arc<Node>,
}

impl Place {
    pub(super) fn of(&self, node: &Arc<Node>) -> Place {
        Place { file: self.file.clone(), node: node.clone() }
    }

    /// The value of a key of this mapping.
    pub(super) fn get(&self, key: &str) -> Option<Place> {
        self.node.get(key).map(|node| self.of(node))
    }

    pub(super) fn text(&self) -> &str {
        self.node.text().unwrap_or("")
    }

    pub(super) fn problem(&self, severity: Severity, message: String) -> Problem {
        let start = locate(&self.file, &self.node, 0);
        let first_line = self.file.text.get(start..self.node.end).and_then(|t| t.lines().next());
        let length = first_line.map_or(1, |line| line.trim_end().len().max(1));
        problem_at(&self.file, start..start + length, severity, message)
    }

    pub(super) fn line(&self) -> usize {
        self.file.line_and_column(self.node.start).0
    }
}

pub(super) fn problem_at(file: &File, bytes: Range<usize>, severity: Severity, message: String) -> Problem {
    let (line, column) = file.line_and_column(bytes.start);
    let text = file.line(line).to_owned();
    let length =
        file.text.get(bytes).map_or(1, |about| about.lines().next().map_or(0, |line| line.chars().count()));
    let length = length.min(text.chars().count().saturating_sub(column - 1));
    Problem { severity, path: file.path.clone(), line, column, length, message, text }
}

/// A text put together from scalars, with a blank between each.
#[derive(Clone, Debug, Default)]
pub(super) struct Text {
    pub(super) parts: Vec<Place>,
}

impl Text {
    pub(super) fn of(place: Place) -> Text {
        Text { parts: vec![place] }
    }

    pub(super) fn joined(&self) -> String {
        self.parts.iter().map(Place::text).collect::<Vec<_>>().join(" ")
    }
}

/// The texts that spans refer to by their number.
#[derive(Default)]
pub(super) struct Sources {
    texts: Vec<Text>,
}

impl Sources {
    pub(super) fn add(&mut self, text: Text) -> u32 {
        self.texts.push(text);
        u32::try_from(self.texts.len() - 1).unwrap_or(u32::MAX)
    }

    /// The problem at a span; at `otherwise` where the text is of no file.
    pub(super) fn problem(
        &self,
        span: Span,
        otherwise: &Place,
        severity: Severity,
        message: String,
    ) -> Problem {
        let mut start = span.start as usize;
        let length = span.end.saturating_sub(span.start) as usize;
        let parts =
            self.texts.get(span.source as usize).map(|text| text.parts.as_slice()).unwrap_or_default();
        for (index, part) in parts.iter().enumerate() {
            let size = part.text().len();
            if start <= size || index + 1 == parts.len() {
                // The end of a text is where its last character ends.
                let from = match start < size || size == 0 {
                    true => locate(&part.file, &part.node, start),
                    false => locate(&part.file, &part.node, size - 1) + 1,
                };
                let last = (start + length).min(size).saturating_sub(1).max(start);
                let to = if length == 0 { from } else { locate(&part.file, &part.node, last) + 1 };
                return problem_at(&part.file, from..to.max(from), severity, message);
            }
            start -= size + 1;
        }
        otherwise.problem(severity, message)
    }
}
