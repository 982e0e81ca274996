//! An event that answers from a table.

// Each test uses a part of it.
#![allow(dead_code)]

use std::collections::HashMap;

use rules::{Event, EventType, Field, Value};

#[derive(Clone, Debug)]
pub(crate) struct TestEvent {
    pub(crate) event_type: EventType,
    /// Several values for a field that stands for several; none for an absent one.
    pub(crate) values: HashMap<Field, Vec<Value<'static>>>,
}

impl TestEvent {
    pub(crate) fn new(event_type: &str) -> TestEvent {
        TestEvent { event_type: EventType::by_name(event_type).unwrap(), values: HashMap::new() }
    }

    pub(crate) fn with(mut self, field: &str, value: Value<'static>) -> TestEvent {
        self.values.entry(Field::parse(field).unwrap()).or_default().push(value);
        self
    }
}

impl Event for TestEvent {
    fn event_type(&self) -> EventType {
        self.event_type
    }

    fn field<'a>(&'a self, field: &Field) -> Option<Value<'a>> {
        self.values.get(field)?.first().cloned()
    }

    fn any(&self, field: &Field, found: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        self.values.get(field).is_some_and(|values| values.iter().any(found))
    }
}

/// A rule file with this condition as its only rule, named `r`.
pub(crate) fn rule(condition: &str) -> String {
    // JSON's quoting is YAML's, but for `\/`.
    let quoted: String = condition.chars().fold(String::from("\""), |mut text, c| {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if (c as u32) < 32 => text.push_str(&format!("\\x{:02x}", c as u32)),
            c => text.push(c),
        }
        text
    });
    format!(
        "- rule: r\n  desc: d\n  condition: {quoted}\"\n  output: o\n  priority: INFO\n  warn_evttypes: false\n"
    )
}
