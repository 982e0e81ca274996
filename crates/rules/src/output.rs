//! Output templates: `%field`, `%field[argument]`, `%transformer(…)`, `%10field` for a column of that width, `%%` for a
//! per cent sign. A value that is absent stands as `<NA>`.

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::ast::{Operand, Span};
use crate::event::{Event, Value};
use crate::fields::Field;
use crate::parse::{ParseError, parse_operand_prefix};
use crate::transform::Computed;

#[derive(Clone, Debug)]
pub struct Template {
    parts: Vec<Part>,
    /// A `*` before the template: without it, an event that lacks a value it names is not told by sysdig. Rules always
    /// tell, as Falco's do.
    pub tells_incomplete: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Text(String),
    Value {
        /// As it is written.
        name: String,
        computed: Computed,
        width: usize,
    },
}

/// What stands for an absent value.
pub const NOT_AVAILABLE: &str = "<NA>";
/// Columns beyond this are cut.
const MAXIMUM_WIDTH: usize = 1000;

impl Template {
    pub(crate) fn parse(
        text: &str,
        source: u32,
        compute: &mut dyn FnMut(&Operand) -> Result<Computed, ParseError>,
    ) -> Result<Template, ParseError> {
        let tells_incomplete = text.starts_with('*');
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut at = usize::from(tells_incomplete);
        while let Some(rest) = text.get(at..).filter(|rest| !rest.is_empty()) {
            let Some(before) = rest.find('%') else {
                literal.push_str(rest);
                break;
            };
            literal.push_str(rest.get(..before).unwrap_or(""));
            at += before + 1;
            if text.as_bytes().get(at) == Some(&b'%') {
                literal.push('%');
                at += 1;
                continue;
            }
            let digits = text.get(at..).unwrap_or("").bytes().take_while(u8::is_ascii_digit).count();
            let width =
                text.get(at..at + digits).and_then(|d| d.parse().ok()).unwrap_or(0).min(MAXIMUM_WIDTH);
            let start = at + digits;
            // `%container.info` stands for nothing since Falco's container plugin adds fields of its own.
            if let Some(after) = text.get(start..).and_then(|rest| rest.strip_prefix("container.info")) {
                at = text.len() - after.len();
                continue;
            }
            let (operand, end) =
                parse_operand_prefix(text, source, start).map_err(|error| match start >= text.len() {
                    true => ParseError {
                        span: Span { source, start: (start - 1) as u32, end: start as u32 },
                        message: "no field follows `%`; a per cent sign is `%%`".into(),
                    },
                    false => error,
                })?;
            let computed = compute(&operand)?;
            if !literal.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut literal)));
            }
            let name = text.get(start..end).unwrap_or("").to_owned();
            parts.push(Part::Value { name, computed, width });
            at = end;
        }
        if !literal.is_empty() {
            parts.push(Part::Text(literal));
        }
        Ok(Template { parts, tells_incomplete })
    }

    /// The template with the event's values.
    pub fn format<E: Event + ?Sized>(&self, event: &E) -> String {
        let mut text = String::new();
        for part in &self.parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Value { computed, width, .. } => {
                    let value = computed.value(event);
                    let shown = show(value.as_ref());
                    match width {
                        0 => text.push_str(&shown),
                        width => {
                            let cut: String = shown.chars().take(*width).collect();
                            let _ = write!(text, "{cut:<width$}");
                        }
                    }
                }
            }
        }
        text
    }

    /// The values it shows by their names, in order; None for an absent one.
    pub fn values<E: Event + ?Sized>(&self, event: &E) -> Vec<(&str, Option<String>)> {
        let parts = self.parts.iter().filter_map(|part| match part {
            Part::Text(_) => None,
            Part::Value { name, computed, .. } => Some((name.as_str(), computed)),
        });
        parts
            .map(|(name, computed)| (name, computed.value(event).map(|v| show(Some(&v)).into_owned())))
            .collect()
    }

    pub(crate) fn fields<'t>(&'t self, visit: &mut dyn FnMut(&'t Field)) {
        for part in &self.parts {
            if let Part::Value { computed, .. } = part {
                computed.fields(visit);
            }
        }
    }
}

fn show<'v>(value: Option<&'v Value<'_>>) -> Cow<'v, str> {
    match value {
        None => Cow::Borrowed(NOT_AVAILABLE),
        Some(Value::Text(text)) => String::from_utf8_lossy(text),
        Some(other) => Cow::Owned(String::from_utf8_lossy(&plain(other)).into_owned()),
    }
}

/// A value as conditions compare it with text: a list is its elements with commas between.
pub(crate) fn compared(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::List(items) => items.iter().map(plain).collect::<Vec<_>>().join(b",".as_slice()),
        single => plain(single),
    }
}

/// A value as text; of a list, its elements with commas between, in parentheses.
pub(crate) fn plain(value: &Value<'_>) -> Vec<u8> {
    match value {
        Value::Text(text) => text.to_vec(),
        Value::Unsigned(number) => number.to_string().into_bytes(),
        Value::Signed(number) => number.to_string().into_bytes(),
        Value::Float(number) => number.to_string().into_bytes(),
        Value::Bool(value) => value.to_string().into_bytes(),
        Value::Address(address) => address.to_string().into_bytes(),
        Value::Network(network) => format!("{}/{}", network.address, network.prefix).into_bytes(),
        Value::List(items) => {
            let items: Vec<_> = items.iter().map(plain).collect();
            [b"(".as_slice(), &items.join(b",".as_slice()), b")"].concat()
        }
    }
}
