//! Gives a condition its meaning: fields are looked up, values are read by the field's kind, lists and macros are put in,
//! and the result is added to the graph that all rules share.

use std::collections::HashMap;

use crate::ast::{
    Argument, Check, Expression, Literal, Modifier, Operand, Operator, Right, Span, Transformer,
};
use crate::event::Value;
use crate::fields::{Field, FieldError, FieldId, Kind};
use crate::graph::{Edge, Graph};
use crate::parse::ParseError;
use crate::test::{Misfit, Test, lossy};
use crate::transform::Computed;
use crate::types::{EventType, TypeSet};

/// Levels of a condition, those reached through macros included.
const MAXIMUM_DEPTH: usize = 400;
/// Elements of all lists that one comparison names.
const MAXIMUM_ELEMENTS: usize = 100_000;
/// Elements that all comparisons together name, a list that is named twice counted twice.
const MAXIMUM_ALL_ELEMENTS: usize = 1_000_000;
/// Bytes of these.
const MAXIMUM_ALL_BYTES: usize = 256 << 20;
/// Regular expressions of one load: each may take a megabyte.
const MAXIMUM_EXPRESSIONS: usize = 1000;

#[derive(Clone, Debug)]
pub(crate) struct CheckError {
    pub(crate) span: Span,
    pub(crate) message: String,
    /// A field, an event type or a transformer that another version may know (`skip-if-unknown-filter`).
    pub(crate) unknown: bool,
}

impl CheckError {
    fn new(span: Span, message: impl Into<String>) -> CheckError {
        CheckError { span, message: message.into(), unknown: false }
    }
}

pub(crate) struct Macro {
    pub(crate) expression: Option<Expression>,
    /// Where it was first defined, in the order of all entries.
    pub(crate) index: usize,
    /// Where it was last defined or changed: it sees macros that were first defined before.
    pub(crate) visibility: usize,
    pub(crate) state: State,
    pub(crate) used: bool,
}

#[derive(Clone)]
pub(crate) enum State {
    Unchecked,
    UnderWay,
    Done(Edge),
    Broken(CheckError),
}

pub(crate) struct List {
    pub(crate) values: Vec<Vec<u8>>,
    pub(crate) used: bool,
}

/// What conditions may name, and the graph they become.
pub(crate) struct Checker {
    pub(crate) graph: Graph,
    pub(crate) macros: HashMap<String, Macro>,
    pub(crate) lists: HashMap<String, List>,
    /// Fields that still work and soon will not.
    pub(crate) deprecated: Vec<(Span, String)>,
    depth: usize,
    elements: usize,
    bytes: usize,
    expressions: usize,
}

impl Checker {
    pub(crate) fn new() -> Checker {
        Checker {
            graph: Graph::new(),
            macros: HashMap::new(),
            lists: HashMap::new(),
            deprecated: Vec::new(),
            depth: 0,
            elements: 0,
            bytes: 0,
            expressions: 0,
        }
    }

    /// A rule's condition; it sees every macro.
    pub(crate) fn rule(&mut self, expression: &Expression) -> Result<Edge, CheckError> {
        self.depth = 0;
        self.expression(expression, usize::MAX)
    }

    /// Checks a macro before the ones that use it, so that long chains need no deep recursion. What is wrong with it is
    /// said when a rule uses it.
    pub(crate) fn prepare(&mut self, name: &str) {
        self.depth = 0;
        let _ = self.named(name, Span::default(), usize::MAX, false);
    }

    fn expression(&mut self, expression: &Expression, sees: usize) -> Result<Edge, CheckError> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            let message = format!("nested deeper than {MAXIMUM_DEPTH} levels, macros included");
            return Err(CheckError::new(span_of(expression), message));
        }
        let edge = match expression {
            Expression::And(children) => {
                let edges = self.expressions(children, sees)?;
                self.graph.and(edges)
            }
            Expression::Or(children) => {
                let edges = self.expressions(children, sees)?;
                self.graph.or(edges)
            }
            Expression::Not(child) => self.expression(child, sees)?.not(),
            Expression::Macro(name, span) => self.named(name, *span, sees, true)?,
            Expression::Check(check) => self.check(check)?,
        };
        self.depth -= 1;
        // Macros that were checked before count with their depth.
        if self.graph.depth(edge) as usize > MAXIMUM_DEPTH {
            let message = format!("nested deeper than {MAXIMUM_DEPTH} levels, macros included");
            return Err(CheckError::new(span_of(expression), message));
        }
        Ok(edge)
    }

    fn expressions(&mut self, children: &[Expression], sees: usize) -> Result<Vec<Edge>, CheckError> {
        children.iter().map(|child| self.expression(child, sees)).collect()
    }

    fn named(&mut self, name: &str, span: Span, sees: usize, using: bool) -> Result<Edge, CheckError> {
        let Some(found) = self.macros.get_mut(name).filter(|m| m.index < sees) else {
            return Err(CheckError::new(span, self.no_macro(name)));
        };
        found.used |= using;
        let (expression, visibility) = match found.state.clone() {
            State::Done(edge) => return Ok(edge),
            State::Broken(error) => return Err(error),
            State::UnderWay => {
                return Err(CheckError::new(span, format!("the macro `{name}` leads back to itself")));
            }
            State::Unchecked => {
                found.state = State::UnderWay;
                (found.expression.take(), found.visibility)
            }
        };
        let outcome = match &expression {
            Some(expression) => self.expression(expression, visibility),
            None => Err(CheckError::new(span, format!("the macro `{name}` is broken"))),
        };
        if let Some(found) = self.macros.get_mut(name) {
            found.state = match &outcome {
                Ok(edge) => State::Done(*edge),
                Err(error) => State::Broken(error.clone()),
            };
        }
        outcome
    }

    fn no_macro(&self, name: &str) -> String {
        if self.lists.contains_key(name) {
            return format!("`{name}` is a list; compare a field with it: `proc.name in ({name})`");
        }
        match self.macros.contains_key(name) {
            true => format!("the macro `{name}` is defined only later; a macro sees those before it"),
            false => format!("there is no macro `{name}`"),
        }
    }

    fn check(&mut self, check: &Check) -> Result<Edge, CheckError> {
        let subject = self.operand(&check.left)?;
        let values = match &check.right {
            Right::Operand(right) => {
                let right_computed = self.operand(right)?;
                return self.against(check, subject, right_computed, right.span());
            }
            Right::Nothing => Vec::new(),
            Right::Value(literal) => vec![self.single(literal)?],
            Right::List(literals) => self.elements(literals)?,
        };
        let Some(modifier) = check.modifier else {
            return self.compared(check, &subject, check.operator, values);
        };
        let mut edges = Vec::with_capacity(values.len());
        for value in values {
            edges.push(self.compared(check, &subject, check.operator, vec![value])?);
        }
        Ok(match modifier {
            // Over nothing, none of them holds.
            _ if edges.is_empty() => Edge::FALSE,
            Modifier::AnyOf => self.graph.or(edges),
            Modifier::AllOf => self.graph.and(edges),
            Modifier::OneOf => self.graph.one(edges),
        })
    }

    fn compared(
        &mut self,
        check: &Check,
        subject: &Computed,
        operator: Operator,
        values: Vec<(Vec<u8>, Span)>,
    ) -> Result<Edge, CheckError> {
        let spans: Vec<Span> = values.iter().map(|v| v.1).collect();
        let values: Vec<Vec<u8>> = values.into_iter().map(|v| v.0).collect();
        self.expressions += usize::from(operator == Operator::Regex);
        if self.expressions > MAXIMUM_EXPRESSIONS {
            let message = format!("more than {MAXIMUM_EXPRESSIONS} regular expressions in all rules");
            return Err(CheckError::new(check.span, message));
        }
        let test = Test::new(subject.kind(), operator, &values).map_err(|Misfit { value, message }| {
            let span = value.and_then(|at| spans.get(at)).copied().unwrap_or(check.span);
            CheckError::new(span, message)
        })?;
        match subject {
            Computed::Field(field) if about_types(field.id) => {
                self.about_types(check, field, operator, &values, &spans, &test)
            }
            _ => Ok(self.graph.test(subject.clone(), operator, values, test)),
        }
    }

    /// Comparisons that the type of an event decides alone.
    fn about_types(
        &mut self,
        check: &Check,
        field: &Field,
        operator: Operator,
        values: &[Vec<u8>],
        spans: &[Span],
        test: &Test,
    ) -> Result<Edge, CheckError> {
        let exists = operator == Operator::Exists;
        let negated = operator == Operator::NotEqual;
        let accepts = |value: &Value<'_>| exists || test.accepts(value) != negated;
        match field.id {
            FieldId::EvtDir => {
                let message =
                    "`evt.dir` is deprecated: events are told when a call returns, so `<` always holds";
                self.deprecated.push((check.left.span(), message.into()));
                Ok(if accepts(&Value::text("<")) { Edge::TRUE } else { Edge::FALSE })
            }
            FieldId::EvtTypeIs => {
                let name = field.key().unwrap_or_default();
                let Some(wanted) = EventType::by_name(name) else {
                    return Err(unknown_type(name, check.left.span()));
                };
                let set =
                    EventType::all().filter(|t| accepts(&Value::Unsigned(u64::from(*t == wanted)))).collect();
                Ok(self.graph.types(set))
            }
            _ => {
                let calls_only = field.id == FieldId::SyscallType;
                let exact = matches!(
                    operator,
                    Operator::Equal | Operator::NotEqual | Operator::In | Operator::Intersects
                );
                let set: TypeSet = if exact {
                    let mut named = TypeSet::none();
                    for (value, span) in values.iter().zip(spans) {
                        let name = lossy(value);
                        named.insert(EventType::by_name(&name).ok_or_else(|| unknown_type(&name, *span))?);
                    }
                    if negated { named.complement() } else { named }
                } else {
                    EventType::all().filter(|t| accepts(&Value::text(t.name()))).collect()
                };
                let set = match calls_only {
                    true => set.intersection(&EventType::all().filter(|t| t.is_system_call()).collect()),
                    false => set,
                };
                Ok(self.graph.types(set))
            }
        }
    }

    fn against(
        &mut self,
        check: &Check,
        left: Computed,
        right: Computed,
        right_span: Span,
    ) -> Result<Edge, CheckError> {
        use Operator::*;
        let single = |computed: &Computed| !matches!(computed, Computed::Field(field) if field.is_any());
        if !single(&left) || !single(&right) {
            let message =
                "a field that stands for several values is compared with constants only; give it an index";
            return Err(CheckError::new(if single(&left) { right_span } else { check.left.span() }, message));
        }
        let (kinds, operator) = ((class(left.kind()), class(right.kind())), check.operator);
        let fits = match operator {
            Equal | NotEqual => kinds.0 != Class::List && kinds.1 != Class::List,
            Less | LessOrEqual | Greater | GreaterOrEqual => {
                matches!(kinds.0, Class::Number | Class::Text | Class::Any)
            }
            Contains | ContainsIgnoringCase | StartsWith | EndsWith | Glob | GlobIgnoringCase => {
                matches!(kinds.0, Class::Text | Class::Any)
            }
            In | Intersects => true,
            ContainsBytes | StartsWithBytes | Regex | PathPrefix | Exists => false,
        };
        if !fits {
            let message = format!("`{}` does not compare a field with a field so", operator.word());
            return Err(CheckError::new(check.span, message));
        }
        let same = kinds.0 == kinds.1
            || matches!(kinds, (Class::Any, _) | (_, Class::Any))
            || (matches!(operator, In | Intersects)
                && matches!(kinds, (Class::Text | Class::List, Class::Text | Class::List)));
        if !same {
            let message = format!("{} is compared with {}", kinds.0.name(), kinds.1.name());
            return Err(CheckError::new(right_span, message));
        }
        Ok(self.graph.against(left, operator, right))
    }

    /// A value; a bare word that names a list of one stands for its element, as where Falco writes lists out.
    fn single(&mut self, literal: &Literal) -> Result<(Vec<u8>, Span), CheckError> {
        let elements = self.elements(std::slice::from_ref(literal))?;
        let count = elements.len();
        match elements.into_iter().next() {
            Some(only) if count == 1 => Ok(only),
            _ => {
                let message =
                    format!("`{}` is a list of {count}; one value is expected here", lossy(&literal.bytes));
                Err(CheckError::new(literal.span, message))
            }
        }
    }

    fn elements(&mut self, literals: &[Literal]) -> Result<Vec<(Vec<u8>, Span)>, CheckError> {
        let mut elements = Vec::with_capacity(literals.len());
        for literal in literals {
            let list = match std::str::from_utf8(&literal.bytes) {
                Ok(name) if !literal.quoted => self.lists.get_mut(name),
                _ => None,
            };
            match list {
                Some(list) => {
                    list.used = true;
                    elements.extend(list.values.iter().map(|value| (value.clone(), literal.span)));
                }
                None => elements.push((literal.bytes.clone(), literal.span)),
            }
            if elements.len() > MAXIMUM_ELEMENTS {
                let message = format!("more than {MAXIMUM_ELEMENTS} elements");
                return Err(CheckError::new(literal.span, message));
            }
        }
        self.elements += elements.len();
        self.bytes += elements.iter().map(|element| element.0.len()).sum::<usize>();
        if self.elements > MAXIMUM_ALL_ELEMENTS || self.bytes > MAXIMUM_ALL_BYTES {
            let span = literals.first().map_or(Span::default(), |literal| literal.span);
            let message =
                format!("the comparisons of all rules name more than {MAXIMUM_ALL_ELEMENTS} elements");
            return Err(CheckError::new(span, message));
        }
        Ok(elements)
    }

    pub(crate) fn operand(&mut self, operand: &Operand) -> Result<Computed, CheckError> {
        match operand {
            Operand::Field { name, argument, span } => match Field::from_parts(name, argument.as_deref()) {
                Ok(field) => Ok(Computed::Field(field)),
                Err(error) => {
                    let unknown = matches!(error, FieldError::Unknown { .. });
                    Err(CheckError { span: *span, message: error.to_string(), unknown })
                }
            },
            Operand::Transformed { transformer, arguments, selector, span } => {
                self.transformed(*transformer, arguments, selector.as_deref(), *span)
            }
        }
    }

    fn transformed(
        &mut self,
        transformer: Transformer,
        arguments: &[Argument],
        selector: Option<&str>,
        span: Span,
    ) -> Result<Computed, CheckError> {
        let word = transformer.word();
        let wrong = |message: String| CheckError::new(span, message);
        if selector.is_some() && transformer != Transformer::Getopt {
            return Err(wrong(format!("`{word}` takes nothing in brackets")));
        }
        let mut computed =
            arguments.iter().map(|argument| self.argument(argument)).collect::<Result<Vec<_>, _>>()?;
        if let Some(Computed::Field(field)) =
            computed.iter().find(|c| matches!(c, Computed::Field(field) if field.is_any()))
        {
            return Err(wrong(format!("`{field}` stands for several values; give it an index")));
        }
        if transformer == Transformer::Concat {
            return match computed.len() {
                0 | 1 => Err(wrong("`concat` takes at least two arguments".into())),
                _ => Ok(Computed::Concat(computed.into())),
            };
        }
        if matches!(transformer, Transformer::Join | Transformer::Getopt) {
            let (Some(second), Some(first), None) = (computed.pop(), computed.pop(), computed.pop()) else {
                return Err(wrong(match transformer {
                    Transformer::Join => "`join` takes two arguments: a separator and a list".into(),
                    _ => "`getopt` takes two arguments: the command line's and the options, such as \"nt:\""
                        .into(),
                }));
            };
            if transformer == Transformer::Join {
                return Ok(Computed::Join(Box::new((first, second))));
            }
            let selector = match selector.map(str::as_bytes) {
                None => None,
                Some([option]) => Some(*option),
                Some(_) => return Err(wrong("one option stands between the brackets of `getopt`".into())),
            };
            return Ok(Computed::Getopt { arguments: Box::new(first), options: Box::new(second), selector });
        }
        let (Some(only), None) = (computed.pop(), computed.pop()) else {
            return Err(wrong(format!("`{word}` takes one argument")));
        };
        let textual = matches!(only.kind(), Kind::Text | Kind::Bytes | Kind::TextList | Kind::Dynamic);
        if !textual {
            return Err(wrong(format!("`{word}` is for texts; this is {}", class(only.kind()).name())));
        }
        let only = Box::new(only);
        Ok(match transformer {
            Transformer::ToLower => Computed::ToLower(only),
            Transformer::ToUpper => Computed::ToUpper(only),
            Transformer::Base64 => Computed::Base64(only),
            Transformer::Basename => Computed::Basename(only),
            _ => Computed::Length(only),
        })
    }

    fn argument(&mut self, argument: &Argument) -> Result<Computed, CheckError> {
        Ok(match argument {
            Argument::Operand(operand) => self.operand(operand)?,
            Argument::Text(literal) => Computed::Constant(literal.bytes.clone().into()),
            Argument::List(items) => {
                Computed::List(items.iter().map(|item| self.argument(item)).collect::<Result<_, _>>()?)
            }
        })
    }
}

/// What can be compared with each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Text,
    Number,
    Bool,
    Address,
    List,
    Any,
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Text => "a text",
            Class::Number => "a number",
            Class::Bool => "true or false",
            Class::Address => "an address",
            Class::List => "a list",
            Class::Any => "a value of any kind",
        }
    }
}

fn class(kind: Kind) -> Class {
    match kind {
        Kind::Text | Kind::Bytes => Class::Text,
        Kind::Unsigned | Kind::Signed | Kind::Float | Kind::Time | Kind::Duration | Kind::Port => {
            Class::Number
        }
        Kind::Bool => Class::Bool,
        Kind::Address | Kind::Network => Class::Address,
        Kind::TextList => Class::List,
        Kind::Dynamic => Class::Any,
    }
}

fn about_types(id: FieldId) -> bool {
    matches!(id, FieldId::EvtType | FieldId::SyscallType | FieldId::EvtTypeIs | FieldId::EvtDir)
}

fn unknown_type(name: &str, span: Span) -> CheckError {
    CheckError { span, message: format!("there is no type of event `{name}`"), unknown: true }
}

fn span_of(expression: &Expression) -> Span {
    match expression {
        Expression::And(children) | Expression::Or(children) => {
            children.first().map_or(Span::default(), span_of)
        }
        Expression::Not(child) => span_of(child),
        Expression::Macro(_, span) => *span,
        Expression::Check(check) => check.left.span(),
    }
}

impl From<ParseError> for CheckError {
    fn from(error: ParseError) -> CheckError {
        CheckError { span: error.span, message: error.message, unknown: false }
    }
}

impl From<CheckError> for ParseError {
    fn from(error: CheckError) -> ParseError {
        ParseError { span: error.span, message: error.message }
    }
}
