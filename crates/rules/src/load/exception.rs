//! Exceptions of a rule: fields, comparisons and values that stand for a condition which must not hold.

use std::sync::Arc;

use crate::ast::{Check, Expression, Literal, Modifier, Operand, Operator, Right, Span};
use crate::document::{Node, Value};
use crate::parse::{parse_operand_prefix, parse_values};

use super::source::{Place, Sources, Text};

#[derive(Clone, Debug)]
pub(super) struct Exception {
    pub(super) name: String,
    pub(super) fields: Option<Entry>,
    pub(super) comparisons: Option<Entry>,
    pub(super) values: Vec<Entry>,
    pub(super) place: Place,
}

#[derive(Clone, Debug)]
pub(super) enum Entry {
    Single(Place),
    Many(Vec<Entry>, Place),
}

/// What is wrong, and where.
type Complaint = (Place, String);

/// Levels of lists that an exception's values may have.
const MAXIMUM_LEVELS: usize = 4;

impl Entry {
    pub(super) fn read(place: &Place, levels: usize) -> Result<Entry, Complaint> {
        match &place.node.value {
            Value::Scalar(_) if place.node.is_null() => Err((place.clone(), "a text is expected".into())),
            Value::Scalar(_) => Ok(Entry::Single(place.clone())),
            Value::Sequence(items) if levels < MAXIMUM_LEVELS => {
                let items = items.iter().map(|item: &Arc<Node>| Entry::read(&place.of(item), levels + 1));
                Ok(Entry::Many(items.collect::<Result<_, _>>()?, place.clone()))
            }
            _ => Err((place.clone(), "a text or a list of texts is expected".into())),
        }
    }

    pub(super) fn place(&self) -> &Place {
        match self {
            Entry::Single(place) | Entry::Many(_, place) => place,
        }
    }
}

/// An operator with its modifier: `startswith anyof`.
type Comparison = (Operator, Option<Modifier>);

fn comparison(place: &Place) -> Result<Comparison, Complaint> {
    let mut words = place.text().split_ascii_whitespace();
    let complaint = |message: String| (place.clone(), message);
    let word = words.next().unwrap_or_default();
    let operator = Operator::by_word(word)
        .filter(|operator| *operator != Operator::Exists)
        .ok_or_else(|| complaint(format!("`{word}` is no operator of an exception")))?;
    let modifier = match words.next() {
        None => None,
        Some(word) => {
            let modifier = Modifier::ALL.iter().copied().find(|m| m.word() == word);
            match modifier.filter(|_| operator.takes_modifier()) {
                None => return Err(complaint(format!("`{word}` does not follow `{}`", operator.word()))),
                some => some,
            }
        }
    };
    match words.next() {
        Some(more) => Err(complaint(format!("`{more}` is too much"))),
        None => Ok((operator, modifier)),
    }
}

fn takes_list(comparison: Comparison) -> bool {
    comparison.0.takes_list() || comparison.1.is_some()
}

impl Exception {
    /// What Falco demands when an exception is defined.
    pub(super) fn validate(&self) -> Result<(), Complaint> {
        match (&self.fields, &self.comparisons) {
            (None, _) => Err((self.place.clone(), format!("the exception `{}` has no fields", self.name))),
            (Some(Entry::Single(_)), None) => Ok(()),
            (Some(Entry::Single(_)), Some(Entry::Single(comps))) => match takes_list(comparison(comps)?) {
                true => Ok(()),
                false => Err((
                    comps.clone(),
                    "with one field, comps is in, pmatch, intersects, or an operator with oneof, anyof or allof".into(),
                )),
            },
            (Some(Entry::Single(_)), Some(Entry::Many(_, place))) => {
                Err((place.clone(), "fields and comps are both texts or both lists".into()))
            }
            (Some(Entry::Many(..)), None) => Ok(()),
            (Some(Entry::Many(..)), Some(Entry::Single(place))) => {
                Err((place.clone(), "fields and comps are both texts or both lists".into()))
            }
            (Some(Entry::Many(fields, _)), Some(Entry::Many(comps, place))) => {
                if fields.len() != comps.len() {
                    let message = format!("{} fields and {} comps; they must be as many", fields.len(), comps.len());
                    return Err((place.clone(), message));
                }
                comps.iter().try_for_each(|entry| single(entry).and_then(comparison).map(|_| ()))
            }
        }
    }

    /// What must not hold; None where the exception has no values.
    pub(super) fn expression(&self, sources: &mut Sources) -> Result<Option<Expression>, Complaint> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let alternatives = match &self.fields {
            None => return Ok(None),
            Some(Entry::Single(field)) => {
                let (operator, modifier) = match &self.comparisons {
                    Some(Entry::Single(comps)) => comparison(comps)?,
                    _ => (Operator::In, None),
                };
                let left = operand(field, sources)?;
                let mut literals = Vec::new();
                for value in &self.values {
                    literals.extend(self::literals(single(value)?, sources)?);
                }
                let right = Right::List(literals);
                vec![Expression::Check(Check { left, operator, modifier, right, span: Span::default() })]
            }
            Some(Entry::Many(fields, _)) => {
                let comparisons = match &self.comparisons {
                    Some(Entry::Many(comps, _)) => {
                        comps.iter().map(|c| single(c).and_then(comparison)).collect::<Result<Vec<_>, _>>()?
                    }
                    _ => vec![(Operator::Equal, None); fields.len()],
                };
                let mut rows = Vec::new();
                for row in &self.values {
                    rows.push(self.row(row, fields, &comparisons, sources)?);
                }
                rows
            }
        };
        Ok(match alternatives.len() {
            0 => None,
            1 => alternatives.into_iter().next(),
            _ => Some(Expression::Or(alternatives)),
        })
    }

    fn row(
        &self,
        row: &Entry,
        fields: &[Entry],
        comparisons: &[Comparison],
        sources: &mut Sources,
    ) -> Result<Expression, Complaint> {
        let values = match row {
            Entry::Many(values, _) if values.len() == fields.len() => values,
            other => {
                let found = if let Entry::Many(values, _) = other { values.len() } else { 1 };
                let message = format!("{} values are expected, one a field; here are {found}", fields.len());
                return Err((other.place().clone(), message));
            }
        };
        let mut checks = Vec::new();
        for ((field, comparison), value) in fields.iter().zip(comparisons).zip(values) {
            let left = operand(single(field)?, sources)?;
            let right = match value {
                Entry::Many(items, _) if takes_list(*comparison) => {
                    let mut literals = Vec::new();
                    for item in items {
                        literals.extend(self::literals(single(item)?, sources)?);
                    }
                    Right::List(literals)
                }
                Entry::Single(place) if takes_list(*comparison) => Right::List(literals(place, sources)?),
                Entry::Single(place) => {
                    let mut found = literals(place, sources)?;
                    match (found.pop(), found.pop()) {
                        (Some(only), None) => Right::Value(only),
                        _ => return Err((place.clone(), "one value is expected".into())),
                    }
                }
                Entry::Many(_, place) => {
                    let message = format!("`{}` takes one value, not a list", comparison.0.word());
                    return Err((place.clone(), message));
                }
            };
            let (operator, modifier) = *comparison;
            checks.push(Expression::Check(Check { left, operator, modifier, right, span: Span::default() }));
        }
        Ok(match checks.len() {
            1 => checks.remove(0),
            _ => Expression::And(checks),
        })
    }
}

fn single(entry: &Entry) -> Result<&Place, Complaint> {
    match entry {
        Entry::Single(place) => Ok(place),
        Entry::Many(_, place) => Err((place.clone(), "a text is expected here, not a list".into())),
    }
}

fn operand(place: &Place, sources: &mut Sources) -> Result<Operand, Complaint> {
    let source = sources.add(Text::of(place.clone()));
    match parse_operand_prefix(place.text(), source, 0) {
        Ok((operand, end)) if end == place.text().len() => Ok(operand),
        _ => Err((place.clone(), format!("`{}` is no field", place.text()))),
    }
}

/// The values that one scalar stands for, as if it were written into the condition: text with a blank counts as quoted,
/// a name may be a list's, and there may be several with commas between.
pub(super) fn literals(place: &Place, sources: &mut Sources) -> Result<Vec<Literal>, Complaint> {
    let text = place.text();
    let source = sources.add(Text::of(place.clone()));
    let quoted = text.starts_with(['"', '\'']);
    let listed = text.starts_with('(') && text.ends_with(')');
    if text.is_empty() || (text.contains(' ') && !quoted && !listed) {
        let span = Span { source, start: 0, end: u32::try_from(text.len()).unwrap_or(u32::MAX) };
        return Ok(vec![Literal { bytes: text.as_bytes().to_vec(), quoted: true, span }]);
    }
    parse_values(text, source).map_err(|error| {
        let at = text.get(error.span.start as usize..).unwrap_or("");
        let at = at.chars().next().map(|c| format!(" at `{c}`")).unwrap_or_default();
        (place.clone(), format!("{}{at}", error.message))
    })
}
