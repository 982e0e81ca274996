//! A condition as it is written: what the parser makes and the checker reads. Printed, it is a condition again that
//! parses to the same tree.

use std::fmt;

/// Where something stands: bytes of one of the loader's source texts. Two things are the same wherever they stand, so
/// spans are always equal.
#[derive(Clone, Copy, Debug, Default, Eq)]
pub struct Span {
    pub source: u32,
    pub start: u32,
    pub end: u32,
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    And(Vec<Expression>),
    Or(Vec<Expression>),
    Not(Box<Expression>),
    /// A macro by its name.
    Macro(String, Span),
    Check(Check),
}

/// One comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub left: Operand,
    pub operator: Operator,
    pub modifier: Option<Modifier>,
    pub right: Right,
    /// The operator, where a complaint about how it fits points to.
    pub span: Span,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operand {
    Field { name: String, argument: Option<String>, span: Span },
    Transformed { transformer: Transformer, arguments: Vec<Argument>, selector: Option<String>, span: Span },
}

impl Operand {
    pub fn span(&self) -> Span {
        match self {
            Operand::Field { span, .. } | Operand::Transformed { span, .. } => *span,
        }
    }
}

/// What a transformer is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Argument {
    Operand(Operand),
    Text(Literal),
    List(Vec<Argument>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// Of `exists`.
    Nothing,
    Value(Literal),
    /// In parentheses; an element that is not quoted may name a list.
    List(Vec<Literal>),
    /// `val(field)`, or a transformed field.
    Operand(Operand),
}

/// A value as it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// Escapes resolved; `\xHH` makes any byte.
    pub bytes: Vec<u8>,
    /// Quoted text is never the name of a list.
    pub quoted: bool,
    pub span: Span,
}

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum $name { $($variant,)* }

        impl $name {
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// As it is written.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }
    };
}

words! {
    Operator {
        Equal "=",
        NotEqual "!=",
        Less "<",
        LessOrEqual "<=",
        Greater ">",
        GreaterOrEqual ">=",
        Contains "contains",
        ContainsIgnoringCase "icontains",
        ContainsBytes "bcontains",
        StartsWith "startswith",
        StartsWithBytes "bstartswith",
        EndsWith "endswith",
        Glob "glob",
        GlobIgnoringCase "iglob",
        Regex "regex",
        Exists "exists",
        In "in",
        Intersects "intersects",
        PathPrefix "pmatch",
    }
}

words! {
    /// How the comparisons with each element of a list are joined.
    Modifier {
        OneOf "oneof",
        AnyOf "anyof",
        AllOf "allof",
    }
}

words! {
    Transformer {
        ToLower "tolower",
        ToUpper "toupper",
        Base64 "b64",
        Basename "basename",
        Length "len",
        Join "join",
        Concat "concat",
        Getopt "getopt",
    }
}

impl Operator {
    /// Takes a list (or the name of one in parentheses) on its right.
    pub fn takes_list(self) -> bool {
        matches!(self, Operator::In | Operator::Intersects | Operator::PathPrefix)
    }

    /// Takes a number on its right, as the grammar has it.
    pub fn takes_number(self) -> bool {
        use Operator::*;
        matches!(self, Less | LessOrEqual | Greater | GreaterOrEqual)
    }

    /// May be followed by a modifier.
    pub fn takes_modifier(self) -> bool {
        !self.takes_list() && !self.takes_number() && self != Operator::Exists
    }

    pub fn by_word(word: &str) -> Option<Operator> {
        match word {
            "==" => Some(Operator::Equal),
            _ => Operator::ALL.iter().copied().find(|o| o.word() == word),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Expression::And(children) => joined(f, children, " and "),
            Expression::Or(children) => joined(f, children, " or "),
            Expression::Not(child) => {
                f.write_str("not ")?;
                nested(f, child)
            }
            Expression::Macro(name, _) => f.write_str(name),
            Expression::Check(check) => write!(f, "{check}"),
        }
    }
}

fn joined(f: &mut fmt::Formatter<'_>, children: &[Expression], word: &str) -> fmt::Result {
    for (index, child) in children.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        nested(f, child)?;
    }
    Ok(())
}

fn nested(f: &mut fmt::Formatter<'_>, child: &Expression) -> fmt::Result {
    match child {
        Expression::And(_) | Expression::Or(_) | Expression::Not(_) => write!(f, "({child})"),
        _ => write!(f, "{child}"),
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.left, self.operator.word())?;
        if let Some(modifier) = self.modifier {
            write!(f, " {}", modifier.word())?;
        }
        match &self.right {
            Right::Nothing => Ok(()),
            Right::Value(literal) => write!(f, " {literal}"),
            Right::List(literals) => {
                f.write_str(" (")?;
                separated(f, literals)?;
                f.write_str(")")
            }
            Right::Operand(field @ Operand::Field { .. }) => write!(f, " val({field})"),
            Right::Operand(operand) => write!(f, " {operand}"),
        }
    }
}

fn separated<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: &[T]) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(", ")?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operand::Field { name, argument, .. } => {
                f.write_str(name)?;
                match argument {
                    None => Ok(()),
                    Some(argument) => bracketed(f, argument),
                }
            }
            Operand::Transformed { transformer, arguments, selector, .. } => {
                write!(f, "{}(", transformer.word())?;
                separated(f, arguments)?;
                f.write_str(")")?;
                match selector {
                    None => Ok(()),
                    Some(selector) => bracketed(f, selector),
                }
            }
        }
    }
}

fn bracketed(f: &mut fmt::Formatter<'_>, argument: &str) -> fmt::Result {
    let bare = !argument.is_empty() && argument.bytes().all(is_bare_argument);
    match bare {
        true => write!(f, "[{argument}]"),
        false => write!(f, "[{}]", Quoted(argument.as_bytes())),
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Argument::Operand(operand) => operand.fmt(f),
            Argument::Text(literal) if literal.quoted => literal.fmt(f),
            Argument::Text(literal) => f.write_str(&String::from_utf8_lossy(&literal.bytes)),
            Argument::List(items) => {
                f.write_str("(")?;
                separated(f, items)?;
                f.write_str(")")
            }
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match std::str::from_utf8(&self.bytes) {
            Ok(text) if !self.quoted => f.write_str(text),
            _ => Quoted(&self.bytes).fmt(f),
        }
    }
}

/// Text between quotes, with the escapes it needs.
pub struct Quoted<'a>(pub &'a [u8]);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                match character {
                    '"' => f.write_str("\\\"")?,
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    '\x08' => f.write_str("\\b")?,
                    '\x0c' => f.write_str("\\f")?,
                    c if c.is_ascii_control() => write!(f, "\\x{:02X}", c as u32)?,
                    c => write!(f, "{c}")?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02X}")?;
            }
        }
        f.write_str("\"")
    }
}

/// What may stand in a bare value: everything but blanks, parentheses, quotes, commas and `=`.
pub(crate) fn is_bare(byte: u8) -> bool {
    !is_blank(byte)
        && !matches!(byte, b'(' | b')' | b'"' | b'\'' | b'=' | b',')
        && byte != b'\x0b'
        && byte != b'\x0c'
}

/// What may stand bare between a field's brackets.
pub(crate) fn is_bare_argument(byte: u8) -> bool {
    !is_blank(byte) && !matches!(byte, b'[' | b']' | b'"' | b'\'' | b'\x0b' | b'\x0c')
}

pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | b'\x08')
}

/// The name of a macro: a letter, then letters, digits and underscores.
pub(crate) fn is_identifier(name: &str) -> bool {
    name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}
