//! JSON as RFC 8259 has it, from the tokens of `jsonc-parser` with its extensions off.

use std::borrow::Cow;
use std::sync::Arc;

use jsonc_parser::tokens::Token;
use jsonc_parser::{Scanner, ScannerOptions};

use super::builder::{Builder, Fault, Position, Text};
use super::tree::{File, Kind, Node, Style};
use super::{Document, DocumentError, Limits, check_size, clamp};

/// Reads one JSON document. Comments, trailing commas and duplicate keys are errors.
pub fn parse_json(text: &str, path: &Arc<str>, limits: &Limits) -> Result<Document, DocumentError> {
    check_size(text.len(), path, limits)?;
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let file = Arc::new(File { path: path.clone(), text: text.into(), json: true });
    let mut reader = Reader {
        text: &file.text,
        scanner: Scanner::new(&file.text, &STRICT),
        builder: Builder::new(file.clone(), limits),
        at: Position { byte: 0, line: 1, column: 1 },
    };
    reader.read().map_err(|fault| fault.into_error(path))?;
    match reader.builder.finish_document() {
        Some(tree) => Ok(Document { root: Node::root(Arc::new(tree)), path: path.clone(), index: 0 }),
        None => Err(DocumentError::whole_file(path, "the file is empty; a JSON value was expected")),
    }
}

const STRICT: ScannerOptions = ScannerOptions {
    allow_single_quoted_strings: false,
    allow_hexadecimal_numbers: false,
    allow_unary_plus_numbers: false,
    allow_bare_decimal_point_numbers: false,
    allow_non_finite_numbers: false,
    allow_extended_string_escapes: false,
};

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    /// After `[`.
    ValueOrEnd,
    Key,
    /// After `{`.
    KeyOrEnd,
    Colon,
    CommaOrEnd,
    Nothing,
}

struct Reader<'a> {
    text: &'a str,
    scanner: Scanner<'a>,
    builder: Builder<'a>,
    /// The last position whose line and column were counted; each byte is counted once.
    at: Position,
}

impl<'a> Reader<'a> {
    fn read(&mut self) -> Result<(), Fault> {
        let mut expect = Expect::Value;
        loop {
            let before = self.scanner.token_end();
            let token = match self.scanner.scan() {
                Ok(Some(token)) => token,
                Ok(None) => {
                    self.check_blank(before, self.text.len())?;
                    break;
                }
                Err(error) => {
                    let at = self.position(error.range().start);
                    return Err(Fault::new(at, error.kind().to_string()));
                }
            };
            self.check_blank(before, self.scanner.token_start())?;
            let start = self.position(self.scanner.token_start());
            let end = clamp(self.scanner.token_end());
            expect = self.take(token, start, end, expect)?;
        }
        let end = self.position(self.text.len());
        match (expect, self.builder.depth()) {
            (Expect::Nothing, _) => Ok(()),
            (Expect::Value, 0) => Err(Fault::new(end, "the file is empty; a JSON value was expected")),
            _ => Err(Fault::new(end, "the file ends within a value")),
        }
    }

    /// The scanner also skips the blanks of other languages; JSON has four.
    fn check_blank(&mut self, from: usize, to: usize) -> Result<(), Fault> {
        let between = self.text.get(from..to).unwrap_or("");
        match between.bytes().position(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r')) {
            None => Ok(()),
            Some(at) => {
                let at = self.position(from + at);
                Err(Fault::new(at, "this character may not stand between values"))
            }
        }
    }

    fn take(&mut self, token: Token<'a>, start: Position, end: u32, expect: Expect) -> Result<Expect, Fault> {
        let value_may_come = matches!(expect, Expect::Value | Expect::ValueOrEnd);
        match token {
            Token::OpenBrace if value_may_come => {
                self.builder.open(start, Kind::Mapping { flow: true }, None, 0)?;
                Ok(Expect::KeyOrEnd)
            }
            Token::OpenBracket if value_may_come => {
                self.builder.open(start, Kind::Sequence { flow: true }, None, 0)?;
                Ok(Expect::ValueOrEnd)
            }
            Token::CloseBrace if self.may_close(expect, Expect::KeyOrEnd, true) => self.close(end),
            Token::CloseBracket if self.may_close(expect, Expect::ValueOrEnd, false) => self.close(end),
            Token::String(text) if matches!(expect, Expect::Key | Expect::KeyOrEnd) => {
                self.string(start, end, text)?;
                Ok(Expect::Colon)
            }
            Token::String(text) if value_may_come => {
                self.string(start, end, text)?;
                Ok(self.after_value())
            }
            Token::Number(_) | Token::Boolean(_) | Token::Null if value_may_come => {
                let text = Text::InFile(start.byte, end);
                self.builder.scalar(start, end, Style::Plain, text, None, 0)?;
                Ok(self.after_value())
            }
            Token::Colon if expect == Expect::Colon => Ok(Expect::Value),
            Token::Comma if expect == Expect::CommaOrEnd => Ok(match self.builder.innermost() {
                Some((Kind::Mapping { .. }, _)) => Expect::Key,
                _ => Expect::Value,
            }),
            Token::CommentLine(_) | Token::CommentBlock(_) => {
                Err(Fault::new(start, "a comment: JSON has none, and the engines refuse it"))
            }
            _ => Err(Fault::new(start, format!("expected {}", expected(expect)))),
        }
    }

    fn may_close(&self, expect: Expect, when_empty: Expect, mapping: bool) -> bool {
        let Some((kind, _)) = self.builder.innermost() else { return false };
        let fits = matches!(kind, Kind::Mapping { .. }) == mapping;
        fits && (expect == when_empty || expect == Expect::CommaOrEnd)
    }

    fn close(&mut self, end: u32) -> Result<Expect, Fault> {
        self.builder.close(end)?;
        Ok(self.after_value())
    }

    fn after_value(&self) -> Expect {
        if self.builder.depth() == 0 { Expect::Nothing } else { Expect::CommaOrEnd }
    }

    fn string(&mut self, start: Position, end: u32, text: Cow<'a, str>) -> Result<(), Fault> {
        let source = self.text.get(start.byte as usize..end as usize).unwrap_or("");
        if let Some(at) = source.bytes().position(|byte| byte < 0x20) {
            let at = self.position(start.byte as usize + at);
            return Err(Fault::new(at, "a control character within a string; write it as an escape"));
        }
        let text = match text {
            // Within its quotes.
            Cow::Borrowed(_) => Text::InFile(start.byte + 1, end.saturating_sub(1)),
            decoded => Text::Decoded(decoded),
        };
        self.builder.scalar(start, end, Style::DoubleQuoted, text, None, 0)
    }

    /// Line and column of an offset at or behind the last one asked for.
    fn position(&mut self, byte: usize) -> Position {
        let between = self.text.get(self.at.byte as usize..byte).unwrap_or("");
        match between.rfind('\n') {
            Some(newline) => {
                let lines = between.bytes().filter(|b| *b == b'\n').count();
                self.at.line = self.at.line.saturating_add(clamp(lines));
                self.at.column = clamp(between.get(newline + 1..).unwrap_or("").chars().count() + 1);
            }
            None => self.at.column = self.at.column.saturating_add(clamp(between.chars().count())),
        }
        self.at.byte = clamp(byte);
        self.at
    }
}

fn expected(expect: Expect) -> &'static str {
    match expect {
        Expect::Value => "a value",
        Expect::ValueOrEnd => "a value or `]`",
        Expect::Key => "a key in double quotes",
        Expect::KeyOrEnd => "a key in double quotes or `}`",
        Expect::Colon => "`:` after the key",
        Expect::CommaOrEnd => "`,` or the end of the collection",
        Expect::Nothing => "the end of the file after the value",
    }
}
