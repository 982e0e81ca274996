//! Reads a condition. The grammar is Falco's (falcosecurity/libs, `userspace/libsinsp/filter/parser.h`):
//!
//! ```text
//! Expression   ::= And ('or' And)*                    `or`, `and` and `not` end at a blank or at `(`
//! And          ::= Not ('and' Not)*
//! Not          ::= 'not'* Primary
//! Primary      ::= '(' Expression ')' | Operand Condition | Macro
//! Operand      ::= Field | Transformed
//! Field        ::= FieldName ('[' (Quoted | BareArgument) ']')?
//! Transformed  ::= Transformer '(' Argument (',' Argument)* ')' ('[' (Quoted | BareArgument) ']')?
//! Argument     ::= Operand | Quoted | Number | '(' (Argument (',' Argument)*)? ')'
//! Transformer  ::= 'tolower' | 'toupper' | 'b64' | 'basename' | 'len' | 'join' | 'concat' | 'getopt'
//! Condition    ::= 'exists'
//!                | ('<' | '<=' | '>' | '>=') (Number | RightOperand)
//!                | TextOperator (Value | RightOperand | Modifier List)
//!                | ('in' | 'intersects' | 'pmatch') (List | RightOperand | Name)
//! TextOperator ::= '=' | '==' | '!=' | 'contains' | 'icontains' | 'bcontains' | 'startswith' | 'bstartswith'
//!                | 'endswith' | 'glob' | 'iglob' | 'regex'
//! Modifier     ::= 'oneof' | 'anyof' | 'allof'
//! RightOperand ::= 'val(' Field ')' | Transformed
//! List         ::= '(' (Value (',' Value)*)? ')'
//! Value        ::= Quoted | Bare
//! Macro, Name  ::= [a-zA-Z][a-zA-Z0-9_]*
//! FieldName    ::= Macro ('.' Macro)+
//! Number       ::= 0[xX][0-9a-fA-F]+ | [+-]?[0-9]+(\.[0-9]*)?([eE][+-][0-9]+)?
//! Bare         ::= everything but blanks, ( ) " ' = ,
//! BareArgument ::= everything but blanks, [ ] " '
//! Quoted       ::= "…" or '…' with the escapes \b \f \n \r \t \\ \/ \xHH and the quote itself
//! ```
//!
//! `\ ` in quotes is a backslash, as Falco reads it for the sake of old rules.

use crate::ast::{
    Argument, Check, Expression, Literal, Modifier, Operand, Operator, Right, Span, Transformer, is_bare,
    is_bare_argument, is_blank,
};

/// Levels of parentheses, `not`s and transformers within each other.
pub const MAXIMUM_DEPTH: usize = 200;
/// Bytes of one condition, appended parts and exceptions included.
pub const MAXIMUM_LENGTH: usize = 1 << 20;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ParseError {
    pub span: Span,
    pub message: String,
}

type Result<T> = std::result::Result<T, ParseError>;

/// Reads a whole condition.
pub fn parse(text: &str) -> Result<Expression> {
    parse_source(text, 0)
}

/// As [`parse`], with the source's number in every span.
pub(crate) fn parse_source(text: &str, source: u32) -> Result<Expression> {
    let mut parser = Parser::new(text, source);
    if text.len() > MAXIMUM_LENGTH {
        return Err(parser.error_at(0, 0, format!("the condition is longer than {MAXIMUM_LENGTH} bytes")));
    }
    let expression = parser.or()?;
    parser.blanks();
    if parser.at < text.len() {
        return Err(parser.unexpected());
    }
    Ok(expression)
}

/// Reads values with commas between, as a list's item or an exception's value holds them; with `parenthesised`, the
/// parentheses may be there.
pub(crate) fn parse_values(text: &str, source: u32) -> Result<Vec<Literal>> {
    let mut parser = Parser::new(text, source);
    parser.blanks();
    let values = if parser.peek() == Some(b'(') {
        parser.list()?
    } else {
        let mut values = vec![parser.value()?];
        parser.blanks();
        while parser.eat(b',') {
            parser.blanks();
            values.push(parser.value()?);
            parser.blanks();
        }
        values
    };
    parser.blanks();
    if parser.at < text.len() {
        return Err(parser
            .error_here("a comma or the end of the value is expected; text with such characters is quoted"));
    }
    Ok(values)
}

/// Reads an operand at the start of the text and says where it ends: an output's `%tolower(proc.name)`.
pub(crate) fn parse_operand_prefix(text: &str, source: u32, offset: usize) -> Result<(Operand, usize)> {
    let mut parser = Parser::new(text, source);
    parser.at = offset;
    match parser.operand()? {
        Some(operand) => Ok((operand, parser.at)),
        None => {
            Err(parser.error_here("a field or a transformer is expected after `%`; a per cent sign is `%%`"))
        }
    }
}

struct Parser<'a> {
    text: &'a str,
    source: u32,
    at: usize,
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, source: u32) -> Parser<'a> {
        Parser { text, source, at: 0, depth: 0 }
    }

    fn or(&mut self) -> Result<Expression> {
        let mut children = vec![self.and()?];
        while self.word("or")? {
            children.push(self.and()?);
        }
        Ok(single(children, Expression::Or))
    }

    fn and(&mut self) -> Result<Expression> {
        let mut children = vec![self.not()?];
        while self.word("and")? {
            children.push(self.not()?);
        }
        Ok(single(children, Expression::And))
    }

    fn not(&mut self) -> Result<Expression> {
        let mut negated = false;
        while self.is_not() {
            self.at += "not".len();
            negated = !negated;
        }
        let inner = self.primary()?;
        Ok(if negated { Expression::Not(Box::new(inner)) } else { inner })
    }

    /// `not` before a blank or a parenthesis; `nothing` is a macro.
    fn is_not(&mut self) -> bool {
        self.blanks();
        let after = self.rest().strip_prefix("not").map(|rest| rest.bytes().next());
        matches!(after, Some(Some(byte)) if is_blank(byte) || byte == b'(')
    }

    /// Takes `and` or `or`, which ends at a blank or at a parenthesis.
    fn word(&mut self, word: &str) -> Result<bool> {
        self.blanks();
        let Some(rest) = self.rest().strip_prefix(word) else { return Ok(false) };
        match rest.bytes().next() {
            Some(byte) if is_blank(byte) || byte == b'(' => {
                self.at += word.len();
                Ok(true)
            }
            None => Err(self.error_at(self.at, self.text.len(), format!("nothing follows `{word}`"))),
            Some(_) => Ok(false),
        }
    }

    fn primary(&mut self) -> Result<Expression> {
        self.blanks();
        if self.peek() == Some(b'(') {
            let open = self.at;
            self.at += 1;
            let inner = self.deeper(Parser::or)?;
            self.blanks();
            if !self.eat(b')') {
                return Err(match self.at < self.text.len() {
                    true => self.unexpected(),
                    false => self.error_at(open, open + 1, "this parenthesis is not closed"),
                });
            }
            return Ok(inner);
        }
        if let Some(left) = self.operand()? {
            return Ok(Expression::Check(self.condition(left)?));
        }
        let start = self.at;
        match self.identifier() {
            Some(name) => Ok(Expression::Macro(name.to_owned(), self.span(start, self.at))),
            None if self.at >= self.text.len() => {
                Err(self.error_here("the condition ends here; a check, a macro or a parenthesis is expected"))
            }
            None => Err(self.error_token("a check, a macro or a parenthesis is expected")),
        }
    }

    /// A field or a transformed field, where one starts here.
    fn operand(&mut self) -> Result<Option<Operand>> {
        let start = self.at;
        if let Some(name) = self.field_name() {
            let name = name.to_owned();
            let argument = self.bracketed()?;
            return Ok(Some(Operand::Field { name, argument, span: self.span(start, self.at) }));
        }
        let Some(transformer) = self.transformer() else { return Ok(None) };
        let arguments = self.deeper(Parser::arguments)?;
        let selector = self.bracketed()?;
        Ok(Some(Operand::Transformed { transformer, arguments, selector, span: self.span(start, self.at) }))
    }

    /// What stands between a transformer's parentheses, the closing one included.
    fn arguments(&mut self) -> Result<Vec<Argument>> {
        let mut arguments = Vec::new();
        loop {
            arguments.push(self.argument()?);
            self.blanks();
            if self.eat(b')') {
                return Ok(arguments);
            }
            if !self.eat(b',') {
                return Err(self.error_token("a comma or `)` is expected after a transformer's argument"));
            }
        }
    }

    fn argument(&mut self) -> Result<Argument> {
        self.blanks();
        if let Some(quoted) = self.quoted()? {
            return Ok(Argument::Text(quoted));
        }
        if let Some(number) = self.number() {
            return Ok(Argument::Text(number));
        }
        if self.eat(b'(') {
            self.blanks();
            if self.eat(b')') {
                return Ok(Argument::List(Vec::new()));
            }
            return self.deeper(Parser::arguments).map(Argument::List);
        }
        match self.operand()? {
            Some(operand) => Ok(Argument::Operand(operand)),
            None => {
                Err(self.error_token("a field, a transformer, a quoted text, a number or a list is expected"))
            }
        }
    }

    fn bracketed(&mut self) -> Result<Option<String>> {
        let open = self.at;
        if !self.eat(b'[') {
            return Ok(None);
        }
        let argument = match self.quoted()? {
            Some(literal) => String::from_utf8(literal.bytes)
                .map_err(|_| self.error_at(open, self.at, "a field's argument is UTF-8"))?,
            None => {
                let argument = self.take_while(is_bare_argument).to_owned();
                if argument.is_empty() {
                    return Err(self.error_token("a field's argument is expected after `[`"));
                }
                argument
            }
        };
        match self.eat(b']') {
            true => Ok(Some(argument)),
            false => Err(self.error_at(open, self.at.max(open + 1), "this bracket is not closed")),
        }
    }

    fn condition(&mut self, left: Operand) -> Result<Check> {
        self.blanks();
        let start = self.at;
        let Some(operator) = self.operator() else {
            return Err(match start >= self.text.len() {
                true => self.error_here(
                    "an operator is expected after the field; `exists` asks whether it has a value",
                ),
                false => self.error_token(&format!("an operator is expected, one of {}", operators())),
            });
        };
        let span = self.span(start, self.at);
        self.blanks();
        let (modifier, right) = if operator == Operator::Exists {
            (None, Right::Nothing)
        } else if let Some(operand) = self.right_operand()? {
            (None, Right::Operand(operand))
        } else if operator.takes_list() {
            (None, self.list_or_name()?)
        } else if operator.takes_number() {
            (None, Right::Value(self.expect_number()?))
        } else if let Some(modifier) = self.modifier() {
            (Some(modifier), Right::List(self.list()?))
        } else {
            (None, Right::Value(self.value()?))
        };
        Ok(Check { left, operator, modifier, right, span })
    }

    fn operator(&mut self) -> Option<Operator> {
        const SYMBOLS: [&str; 7] = ["==", "!=", "<=", ">=", "=", "<", ">"];
        if let Some(symbol) = SYMBOLS.into_iter().find(|s| self.rest().starts_with(s)) {
            self.at += symbol.len();
            return Operator::by_word(symbol);
        }
        let word = self.rest().split(|c: char| !c.is_ascii_alphabetic()).next()?;
        let operator = Operator::by_word(word)?;
        self.at += word.len();
        Some(operator)
    }

    /// `oneof`, `anyof` or `allof`, if a list follows; without one it is a value.
    fn modifier(&mut self) -> Option<Modifier> {
        let (word, modifier) =
            Modifier::ALL.iter().map(|m| (m.word(), *m)).find(|(w, _)| self.rest().starts_with(w))?;
        let after = self.rest().get(word.len()..)?;
        if !after.trim_start_matches(|c: char| u8::try_from(c).is_ok_and(is_blank)).starts_with('(') {
            return None;
        }
        self.at += word.len();
        self.blanks();
        Some(modifier)
    }

    /// `val(field)` or a transformed field.
    fn right_operand(&mut self) -> Result<Option<Operand>> {
        if !self.rest().starts_with("val(") {
            return match self.peek_transformer() {
                Some(_) => self.operand(),
                None => Ok(None),
            };
        }
        self.at += "val(".len();
        self.blanks();
        let operand = match self.operand()? {
            Some(field @ Operand::Field { .. }) => field,
            _ => return Err(self.error_token("a field is expected between the parentheses of `val`")),
        };
        self.blanks();
        match self.eat(b')') {
            true => Ok(Some(operand)),
            false => Err(self.error_token("`)` is expected after the field of `val`")),
        }
    }

    fn list_or_name(&mut self) -> Result<Right> {
        if self.peek() == Some(b'(') {
            return self.list().map(Right::List);
        }
        let start = self.at;
        match self.identifier() {
            Some(name) => {
                let bytes = name.as_bytes().to_vec();
                Ok(Right::List(vec![Literal { bytes, quoted: false, span: self.span(start, self.at) }]))
            }
            None => Err(self.error_token("a list is expected: `(`, values with commas between, `)`")),
        }
    }

    fn list(&mut self) -> Result<Vec<Literal>> {
        let open = self.at;
        if !self.eat(b'(') {
            return Err(self.error_token("a list is expected: `(`, values with commas between, `)`"));
        }
        let mut values = Vec::new();
        self.blanks();
        if self.eat(b')') {
            return Ok(values);
        }
        loop {
            self.blanks();
            values.push(self.value()?);
            self.blanks();
            if self.eat(b')') {
                return Ok(values);
            }
            if !self.eat(b',') {
                return Err(match self.at < self.text.len() {
                    true => self.error_token("a comma or `)` is expected after a value"),
                    false => self.error_at(open, open + 1, "this list is not closed"),
                });
            }
        }
    }

    fn value(&mut self) -> Result<Literal> {
        if let Some(quoted) = self.quoted()? {
            return Ok(quoted);
        }
        let start = self.at;
        let bare = self.take_while(is_bare);
        if bare.is_empty() {
            return Err(self.error_token("a value is expected"));
        }
        Ok(Literal { bytes: bare.as_bytes().to_vec(), quoted: false, span: self.span(start, self.at) })
    }

    fn expect_number(&mut self) -> Result<Literal> {
        match self.number() {
            Some(number) => Ok(number),
            None => Err(self.error_token("a number is expected")),
        }
    }

    fn number(&mut self) -> Option<Literal> {
        let start = self.at;
        let length = number_length(self.rest().as_bytes());
        if length == 0 {
            return None;
        }
        self.at += length;
        let bytes = self.text.get(start..self.at)?.as_bytes().to_vec();
        Some(Literal { bytes, quoted: false, span: self.span(start, self.at) })
    }

    /// A quoted text, where a quote stands here.
    fn quoted(&mut self) -> Result<Option<Literal>> {
        let Some(quote @ (b'"' | b'\'')) = self.peek() else { return Ok(None) };
        let start = self.at;
        let mut bytes = Vec::new();
        let mut input = self.rest().bytes().enumerate().skip(1);
        while let Some((index, byte)) = input.next() {
            if byte == quote {
                self.at = start + index + 1;
                return Ok(Some(Literal { bytes, quoted: true, span: self.span(start, self.at) }));
            }
            if byte != b'\\' {
                bytes.push(byte);
                continue;
            }
            let Some((_, escaped)) = input.next() else { break };
            bytes.push(match escaped {
                b'b' => b'\x08',
                b'f' => b'\x0c',
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'\\' | b' ' => b'\\',
                b'/' => b'/',
                other if other == quote => quote,
                b'x' => {
                    let digits = [input.next(), input.next()].map(|d| d.and_then(|(_, d)| hex(d)));
                    let [Some(high), Some(low)] = digits else {
                        let at = start + index;
                        return Err(self.error_at(at, at + 2, "`\\x` is followed by two hexadecimal digits"));
                    };
                    high << 4 | low
                }
                _ => {
                    let at = start + index;
                    let known =
                        "no such escape; there are \\b \\f \\n \\r \\t \\\\ \\/ \\xHH and the quote itself";
                    return Err(self.error_at(at, at + 2, known));
                }
            });
        }
        Err(self.error_at(start, start + 1, "this quote is not closed"))
    }

    fn field_name(&mut self) -> Option<&'a str> {
        let text = self.text;
        let rest = text.get(self.at..)?;
        let mut length = 0;
        let mut parts = 0;
        loop {
            let part = identifier_length(rest.as_bytes().get(length..)?);
            if part == 0 {
                // A dot that no part follows is not the name's.
                length -= usize::from(parts > 0);
                break;
            }
            length += part;
            parts += 1;
            if rest.as_bytes().get(length) != Some(&b'.') {
                break;
            }
            length += 1;
        }
        let name = rest.get(..length).filter(|_| parts > 1)?;
        self.at += length;
        Some(name)
    }

    fn identifier(&mut self) -> Option<&'a str> {
        let text = self.text;
        let rest = text.get(self.at..)?;
        let name = rest.get(..identifier_length(rest.as_bytes())).filter(|name| !name.is_empty())?;
        self.at += name.len();
        Some(name)
    }

    /// A transformer's word and the parenthesis after it.
    fn transformer(&mut self) -> Option<Transformer> {
        let transformer = self.peek_transformer()?;
        self.at += transformer.word().len() + 1;
        Some(transformer)
    }

    fn peek_transformer(&self) -> Option<Transformer> {
        let rest = self.rest();
        Transformer::ALL
            .iter()
            .copied()
            .find(|t| rest.strip_prefix(t.word()).is_some_and(|r| r.starts_with('(')))
    }

    fn deeper<T>(&mut self, read: impl FnOnce(&mut Parser<'a>) -> Result<T>) -> Result<T> {
        self.depth += 1;
        if self.depth > MAXIMUM_DEPTH {
            return Err(self.error_here(&format!("nested deeper than {MAXIMUM_DEPTH} levels")));
        }
        let result = read(self);
        self.depth -= 1;
        result
    }

    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn blanks(&mut self) {
        self.take_while(is_blank);
    }

    fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a str {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.text.get(start..self.at).unwrap_or("")
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span { source: self.source, start: clamp(start), end: clamp(end) }
    }

    fn error_at(&self, start: usize, end: usize, message: impl Into<String>) -> ParseError {
        ParseError { span: self.span(start, end), message: message.into() }
    }

    fn error_here(&self, message: &str) -> ParseError {
        self.error_at(self.at, self.at, message)
    }

    /// Points to the word that stands here.
    fn error_token(&self, message: &str) -> ParseError {
        let word = self.rest().bytes().take_while(|b| !is_blank(*b)).count();
        self.error_at(self.at, self.at + word, message)
    }

    fn unexpected(&self) -> ParseError {
        if self.peek() == Some(b')') {
            return self.error_at(self.at, self.at + 1, "no parenthesis is open that this one closes");
        }
        self.error_token("`and` or `or` is expected here; text with blanks is quoted")
    }
}

fn single(mut children: Vec<Expression>, join: fn(Vec<Expression>) -> Expression) -> Expression {
    match children.len() {
        1 => children.remove(0),
        _ => join(children),
    }
}

fn identifier_length(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(first) if first.is_ascii_alphabetic() => {
            bytes.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count()
        }
        _ => 0,
    }
}

/// How many bytes of a number stand at the start.
fn number_length(bytes: &[u8]) -> usize {
    let digits = |from: usize| bytes.iter().skip(from).take_while(|b| b.is_ascii_digit()).count();
    if let [b'0', b'x' | b'X', rest @ ..] = bytes {
        let hexadecimal = rest.iter().take_while(|b| b.is_ascii_hexdigit()).count();
        return if hexadecimal > 0 { hexadecimal + 2 } else { 1 };
    }
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let whole = digits(sign);
    if whole == 0 {
        return 0;
    }
    let mut length = sign + whole;
    if bytes.get(length) == Some(&b'.') {
        length += 1;
        length += digits(length);
    }
    if let (Some(b'e' | b'E'), Some(b'+' | b'-')) = (bytes.get(length), bytes.get(length + 1)) {
        let exponent = digits(length + 2);
        if exponent > 0 {
            length += 2 + exponent;
        }
    }
    length
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|d| u8::try_from(d).ok())
}

fn operators() -> String {
    Operator::ALL.iter().map(|o| o.word()).collect::<Vec<_>>().join(" ")
}

fn clamp(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}
