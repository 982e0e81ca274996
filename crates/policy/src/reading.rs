//! Reads the project's own YAML (policies, waivers, tests of policies) strictly: every key is known, every value has
//! its type, and each error has a line and says what to write.

use std::sync::Arc;

use confinement::{Place, Problem};
use jiff::civil::Date;
use sources::document::{Document, Limits, Node, parse_bytes};

use crate::pattern::Pattern;

/// What people write by hand is small.
const LIMITS: Limits = Limits { bytes: 1 << 20, depth: 24, nodes: 50_000, documents: 8, reachable: 100_000 };

/// Why a file of a policy could not be taken: each problem with its place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ReadError {
    pub problems: Vec<Problem>,
}

impl ReadError {
    pub fn one(problem: Problem) -> ReadError {
        ReadError { problems: vec![problem] }
    }
}

/// A text and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Text {
    pub(crate) value: Arc<str>,
    pub(crate) place: Place,
}

#[derive(Debug, Default)]
pub(crate) struct Reader {
    pub(crate) problems: Vec<Problem>,
}

impl Reader {
    pub(crate) fn problem(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(Problem::at(&node.place(), message));
    }

    /// The one document of a file, of a version that is read here.
    pub(crate) fn document(&mut self, text: &str, path: &Arc<str>, what: &str) -> Option<Document> {
        let mut documents = Vec::new();
        for document in parse_bytes(text.as_bytes(), path, &LIMITS) {
            match document {
                Ok(document) => documents.push(document),
                Err(error) => self.problems.push(error.problem()),
            }
        }
        if documents.len() > 1 {
            let second = documents.get(1).map(|d| d.root.place());
            let message = format!("{what} is one document; write the second one to a file of its own");
            self.problems.extend(second.map(|place| Problem::at(&place, message)));
        }
        let Some(document) = documents.into_iter().next() else {
            if self.problems.is_empty() {
                let message = format!("the file is empty; {what} begins with `version: 1`");
                self.problems.push(Problem::new(path.clone(), message));
            }
            return None;
        };
        let root = &document.root;
        if !root.is_mapping() {
            self.problem(root, format!("{what} is a mapping that begins with `version: 1`"));
            return None;
        }
        match root.get("version") {
            None => self.problem(root, "`version` is missing; write `version: 1` first"),
            Some(version) if version.as_i64() != Some(1) => {
                self.problem(&version, "only version 1 is known here; write `version: 1`");
                return None;
            }
            Some(_) => {}
        }
        Some(document)
    }

    /// Tells of keys that are not known, and whether it is a mapping at all.
    pub(crate) fn keys(&mut self, node: &Node, what: &str, known: &[&str]) -> bool {
        if !node.is_mapping() {
            self.problem(node, format!("{what} must be a mapping of {}", known.join(", ")));
            return false;
        }
        for (key, _) in node.entries() {
            match key.as_str() {
                Some(name) if known.contains(&name) => {}
                Some(name) => {
                    let meant = known.iter().find(|k| alike(k, name));
                    let tail = match meant {
                        Some(meant) => format!("; did you mean `{meant}`?"),
                        None => format!("; known are {}", known.join(", ")),
                    };
                    self.problem(&key, format!("`{name}` is not a key of {what}{tail}"));
                }
                None => self.problem(&key, format!("a key of {what} must be a plain word")),
            }
        }
        true
    }

    /// A value that is there and not empty (`key:` alone is an error: it asks for nothing).
    pub(crate) fn value(&mut self, node: &Node, key: &str) -> Option<Node> {
        let value = node.get(key)?;
        if value.is_null() {
            self.problem(&value, format!("`{key}` has no value; write one, or take the key out"));
            return None;
        }
        Some(value)
    }

    pub(crate) fn text(&mut self, node: &Node, key: &str) -> Option<Text> {
        let value = self.value(node, key)?;
        self.text_of(&value, key)
    }

    pub(crate) fn text_of(&mut self, value: &Node, key: &str) -> Option<Text> {
        match value.as_str().filter(|text| !text.trim().is_empty()) {
            Some(text) => Some(Text { value: text.into(), place: value.place() }),
            None => {
                self.problem(value, format!("`{key}` must be a text"));
                None
            }
        }
    }

    /// A text that must be there.
    pub(crate) fn needed(&mut self, node: &Node, key: &str, what: &str, why: &str) -> Option<Text> {
        if node.get(key).is_none() {
            self.problem(node, format!("{what} has no `{key}`: {why}"));
            return None;
        }
        self.text(node, key)
    }

    /// A list of texts; a single one may stand without the list.
    pub(crate) fn texts(&mut self, node: &Node, key: &str) -> Option<Vec<Text>> {
        let value = self.value(node, key)?;
        if value.is_scalar() {
            return self.text_of(&value, key).map(|text| vec![text]);
        }
        if !value.is_sequence() {
            self.problem(&value, format!("`{key}` must be a list of texts"));
            return None;
        }
        let items: Vec<Node> = value.items().collect();
        Some(items.iter().filter_map(|item| self.text_of(item, key)).collect())
    }

    pub(crate) fn patterns(&mut self, node: &Node, key: &str) -> Option<Vec<Pattern>> {
        let texts = self.texts(node, key)?;
        Some(texts.iter().map(|text| Pattern::new(&*text.value)).collect())
    }

    pub(crate) fn boolean(&mut self, node: &Node, key: &str) -> Option<bool> {
        let value = self.value(node, key)?;
        let boolean = value.as_bool();
        if boolean.is_none() {
            self.problem(&value, format!("`{key}` must be true or false"));
        }
        boolean
    }

    /// A mapping or a list of mappings.
    pub(crate) fn mappings(&mut self, node: &Node, key: &str) -> Vec<Node> {
        let Some(value) = self.value(node, key) else { return Vec::new() };
        if value.is_sequence() { value.items().collect() } else { vec![value] }
    }

    pub(crate) fn items(&mut self, node: &Node, key: &str) -> Vec<Node> {
        let Some(value) = self.value(node, key) else { return Vec::new() };
        if !value.is_sequence() {
            self.problem(&value, format!("`{key}` must be a list"));
            return Vec::new();
        }
        value.items().collect()
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, node: &Node, key: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.value(node, key)?;
        self.word_of(&value, key, words)
    }

    pub(crate) fn word_of<T: Copy>(&mut self, value: &Node, key: &str, words: &[(&str, T)]) -> Option<T> {
        let found = value.as_str().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.problem(value, format!("`{key}` must be one of {}", known.join(", ")));
        }
        found.map(|(_, meaning)| *meaning)
    }

    /// A list of a few words, or one of them.
    pub(crate) fn words<T: Copy>(&mut self, node: &Node, key: &str, words: &[(&str, T)]) -> Option<Vec<T>> {
        let value = self.value(node, key)?;
        let items: Vec<Node> = if value.is_sequence() { value.items().collect() } else { vec![value] };
        Some(items.iter().filter_map(|item| self.word_of(item, key, words)).collect())
    }

    pub(crate) fn date(&mut self, node: &Node, key: &str) -> Option<Date> {
        let value = self.value(node, key)?;
        let date = value.as_str().and_then(parse_date);
        if date.is_none() {
            self.problem(&value, format!("`{key}` must be a day written as 2027-01-31"));
        }
        date
    }

    /// What was read, where nothing was wrong.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, ReadError> {
        self.problems.sort_by(|a, b| (&a.path, a.line, a.column).cmp(&(&b.path, b.line, b.column)));
        match value {
            Some(value) if self.problems.is_empty() => Ok(value),
            _ => Err(ReadError { problems: self.problems }),
        }
    }
}

/// `2027-01-31` and nothing shorter or longer.
pub fn parse_date(text: &str) -> Option<Date> {
    let shape = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| match i {
            4 | 7 => b == b'-',
            _ => b.is_ascii_digit(),
        });
    if shape { text.parse().ok() } else { None }
}

/// Whether two words are one slip of the hand apart.
fn alike(a: &str, b: &str) -> bool {
    let (a, b): (Vec<char>, Vec<char>) =
        (a.chars().collect(), b.chars().take(a.len() + 2).flat_map(char::to_lowercase).collect());
    let simple = |c: &char| *c != '-' && *c != '_';
    if a.iter().filter(|c| simple(c)).eq(b.iter().filter(|c| simple(c))) {
        return true;
    }
    let (short, long) = if a.len() <= b.len() { (&a, &b) } else { (&b, &a) };
    if long.len() - short.len() > 1 || short.len() < 3 {
        return false;
    }
    let same = short.iter().zip(long.iter()).take_while(|(x, y)| x == y).count();
    let skip = usize::from(short.len() == long.len());
    let swapped = skip == 1
        && short.get(same) == long.get(same + 1)
        && short.get(same + 1) == long.get(same)
        && short.get(same + 2..) == long.get(same + 2..);
    swapped || short.get(same + skip..) == long.get(same + 1..)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_written_in_full() {
        assert!(parse_date("2027-01-31").is_some());
        for text in
            ["2027-02-30", "2027-1-31", "20270131", "2027-01-31T00:00", "", "99999-01-01", "2027-01-3é"]
        {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }

    #[test]
    fn one_slip_of_the_hand_is_recognised() {
        for (a, b) in [
            ("reason", "reasn"),
            ("owner", "ownner"),
            ("mode", "mede"),
            ("until", "Until"),
            ("open", "opne"),
            ("pss-a", "pss_a"),
        ] {
            assert!(alike(a, b), "{a} {b}");
        }
        for (a, b) in [("reason", "owner"), ("mode", "model-of"), ("a", "b")] {
            assert!(!alike(a, b), "{a} {b}");
        }
    }
}
