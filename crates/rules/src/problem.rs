//! What is wrong with a rule file, and where.

use std::fmt;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Loaded, but probably not as meant.
    Warning,
    /// Not loaded.
    Error,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub severity: Severity,
    pub path: Arc<str>,
    /// Counts from 1; 0 where the file as a whole is meant.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// How many characters it is about; 0 for a place between two.
    pub length: usize,
    /// What was found there, and what to do.
    pub message: String,
    /// The line of the file.
    pub text: String,
}

/// A longer line is shown from the column on.
const SHOWN: usize = 100;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "error: ",
        })?;
        if self.line == 0 {
            return write!(f, "{}: {}", self.path, self.message);
        }
        write!(f, "{}:{}:{}: {}", self.path, self.line, self.column, self.message)
    }
}

impl Problem {
    /// The line it is about with a mark below; None where there is no line.
    pub fn excerpt(&self) -> Option<String> {
        if self.line == 0 || self.text.trim().is_empty() {
            return None;
        }
        let before = self.column.saturating_sub(1);
        let skipped = if self.text.chars().count() > SHOWN { before.saturating_sub(SHOWN / 2) } else { 0 };
        let line: String = self.text.chars().skip(skipped).take(SHOWN).map(visible).collect();
        let number = self.line.to_string();
        let space = " ".repeat(number.len());
        let column = before - skipped;
        let marks = "^".repeat(self.length.clamp(1, SHOWN.saturating_sub(column).max(1)));
        Some(format!("{number} | {line}\n{space} | {}{marks}", " ".repeat(column)))
    }
}

/// No control character reaches a terminal.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        c if c.is_control() => '\u{FFFD}',
        c => c,
    }
}
