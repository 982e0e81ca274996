//! An engine's JSON answer as fields that know their names: a field gives a typed value, or nothing where it is
//! absent or null, or an unknown fact and a [`Problem`] where it has another type than the API documents. So one
//! odd field never hides the rest of a container.

use std::cell::RefCell;
use std::sync::Arc;

use confinement::{Fact, Origin, Problem};
use serde_json::Value;

/// One answer, and what was wrong with it.
pub struct Answer {
    json: Value,
    /// What was asked, as people would ask it: `docker inspect web`.
    asked: Arc<str>,
    problems: RefCell<Vec<Problem>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the answer is not the JSON that was asked for: {0}")]
pub struct NotJson(#[from] serde_json::Error);

impl Answer {
    pub fn parse(bytes: &[u8], asked: impl Into<Arc<str>>) -> Result<Answer, NotJson> {
        let json = serde_json::from_slice(bytes).map_err(NotJson)?;
        Ok(Answer::new(json, asked))
    }
    pub fn new(json: Value, asked: impl Into<Arc<str>>) -> Answer {
        Answer { json, asked: asked.into(), problems: RefCell::default() }
    }
    pub fn root(&self) -> Field<'_> {
        Field { answer: self, value: &self.json, path: String::new() }
    }
    pub fn into_json(self) -> Value {
        self.json
    }
    pub fn into_problems(self) -> Vec<Problem> {
        self.problems.into_inner()
    }
}

/// A member of the answer, or the answer itself.
#[derive(Clone)]
pub struct Field<'a> {
    answer: &'a Answer,
    value: &'a Value,
    path: String,
}

static NULL: Value = Value::Null;

impl<'a> Field<'a> {
    /// A member; an absent one is the same as null.
    pub fn get(&self, name: &str) -> Field<'a> {
        let path = if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) };
        let value = match self.value {
            Value::Object(members) => members.get(name).unwrap_or(&NULL),
            Value::Null => &NULL,
            _ => {
                self.wrong("an object");
                &NULL
            }
        };
        Field { answer: self.answer, value, path }
    }

    pub fn origin(&self) -> Origin {
        match self.path.as_str() {
            "" => Origin::measured(self.answer.asked.clone()),
            path => Origin::measured(format!("{}: {path}", self.answer.asked)),
        }
    }

    pub fn is_absent(&self) -> bool {
        self.value.is_null()
    }

    fn wrong(&self, expected: &str) {
        let path = if self.path.is_empty() { "the answer" } else { &self.path };
        let found = match self.value {
            Value::Null => "nothing",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a text",
            Value::Array(_) => "a list",
            Value::Object(_) => "an object",
        };
        let message = format!("{path} should be {expected} and is {found}");
        self.answer.problems.borrow_mut().push(Problem::new(self.answer.asked.clone(), message));
    }

    fn typed<T>(&self, expected: &str, read: impl FnOnce(&'a Value) -> Option<T>) -> Option<Fact<T>> {
        if self.value.is_null() {
            return None;
        }
        let value = read(self.value);
        if value.is_none() {
            self.wrong(expected);
        }
        Some(Fact { value, origin: self.origin() })
    }

    pub fn boolean(&self) -> Option<Fact<bool>> {
        self.typed("true or false", Value::as_bool)
    }
    pub fn integer(&self) -> Option<Fact<i64>> {
        self.typed("a whole number", Value::as_i64)
    }
    pub fn text(&self) -> Option<Fact<Arc<str>>> {
        self.typed("a text", |v| v.as_str().map(Arc::from))
    }
    /// The text where it is one and is not empty. Engines leave most texts empty for "not set".
    pub fn filled(&self) -> Option<Fact<Arc<str>>> {
        self.text().filter(|text| text.get().is_none_or(|t| !t.is_empty()))
    }
    /// A text to show or to look up by, where a wrong type is only a problem.
    pub fn plain(&self) -> Option<Arc<str>> {
        self.text().and_then(|fact| fact.value)
    }

    /// The elements of a list; none where it is absent.
    pub fn list(&self) -> Vec<Field<'a>> {
        match self.value {
            Value::Null => Vec::new(),
            Value::Array(items) => {
                let item =
                    |(i, value)| Field { answer: self.answer, value, path: format!("{}[{i}]", self.path) };
                items.iter().enumerate().map(item).collect()
            }
            _ => {
                self.wrong("a list");
                Vec::new()
            }
        }
    }
    /// The texts of a list. A list that is not one is one unknown text, so that it is not taken for empty.
    pub fn texts(&self) -> Vec<Fact<Arc<str>>> {
        match self.value {
            Value::Null | Value::Array(_) => self.list().iter().filter_map(Field::text).collect(),
            _ => {
                self.wrong("a list");
                vec![Fact::unknown(self.origin())]
            }
        }
    }
    /// The members of an object with their names; none where it is absent.
    pub fn members(&self) -> Vec<(&'a str, Field<'a>)> {
        match self.value {
            Value::Null => Vec::new(),
            Value::Object(members) => members
                .iter()
                .map(|(name, value)| {
                    let path = format!("{}.{name}", self.path);
                    (name.as_str(), Field { answer: self.answer, value, path })
                })
                .collect(),
            _ => {
                self.wrong("an object");
                Vec::new()
            }
        }
    }
    pub fn json(&self) -> &'a Value {
        self.value
    }
    pub fn problem(&self, message: impl Into<String>) {
        let message = match self.path.as_str() {
            "" => message.into(),
            path => format!("{path}: {}", message.into()),
        };
        self.answer.problems.borrow_mut().push(Problem::new(self.answer.asked.clone(), message));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::printable;

    #[test]
    fn a_field_of_another_type_is_unknown_and_a_problem_and_never_absent() {
        let answer =
            Answer::parse(br#"{"A": {"B": "yes", "L": 3, "N": null}, "C": true}"#, "inspect x").unwrap();
        let root = answer.root();
        assert_eq!(root.get("A").get("B").boolean().map(|f| f.value), Some(None));
        assert_eq!(root.get("A").get("N").boolean(), None);
        assert_eq!(root.get("A").get("Absent").get("Deeper").boolean(), None);
        assert_eq!(root.get("A").get("L").texts().len(), 1);
        assert_eq!(root.get("C").boolean().and_then(|f| f.value), Some(true));
        assert_eq!(root.get("C").get("D").text(), None);
        let problems: Vec<String> = answer.into_problems().iter().map(ToString::to_string).collect();
        assert_eq!(
            problems,
            [
                "inspect x: A.B should be true or false and is a text",
                "inspect x: A.L should be a list and is a number",
                "inspect x: C should be an object and is true or false",
            ]
        );
    }

    #[test]
    fn control_characters_do_not_reach_a_terminal() {
        assert_eq!(printable("a\u{1b}[31m\nb\u{85}"), "a\\033[31m\\012b\\302\\205");
        assert!(printable(&"x".repeat(10_000)).len() < 300);
    }
}
