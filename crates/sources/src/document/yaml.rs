//! YAML, from the events of `granit-parser`.

use std::borrow::Cow;
use std::sync::Arc;

use granit_parser::{
    Event, Marker, Options, Parser, ScalarStyle, ScanError, Span, StrInput, StructureStyle, Tag,
};

use super::builder::{Builder, Fault, Position, Text};
use super::template::looks_templated;
use super::tree::{File, Kind, Node, Style};
use super::{Document, DocumentError, Limits, check_size, clamp};

const NOT_RENDERED: &str = "a value that a template tool has not rendered; give the rendered file \
     (for example the output of `helm template`)";

/// Reads every document of a YAML text. A document with an error stands as that error in its place; reading
/// goes on at the next `---`.
pub fn parse_yaml(text: &str, path: &Arc<str>, limits: &Limits) -> Vec<Result<Document, DocumentError>> {
    if let Err(error) = check_size(text.len(), path, limits) {
        return vec![Err(error)];
    }
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let file = Arc::new(File { path: path.clone(), text: text.into(), json: false });
    let mut reader = Reader {
        path,
        text: &file.text,
        parser: Parser::new_from_str_with_options(&file.text, options(limits)),
        builder: Builder::new(file.clone(), limits),
        document: Position { byte: 0, line: 1, column: 1 },
    };
    let mut documents = Vec::new();
    loop {
        if documents.len() >= limits.documents {
            let message = format!("more documents than the limit of {}", limits.documents);
            documents.push(Err(DocumentError::whole_file(path, message)));
            return documents;
        }
        match reader.next_document() {
            Ok(None) => return documents,
            Ok(Some(root)) => {
                documents.push(Ok(Document { root, path: path.clone(), index: documents.len() }));
            }
            Err(fault) => {
                let ends_file = fault.ends_file;
                documents.push(Err(reader.explain(fault)));
                if ends_file || !matches!(reader.parser.proceed_next_document(), Ok(true)) {
                    return documents;
                }
            }
        }
    }
}

fn options(limits: &Limits) -> Options {
    // The builder reports depth first; the parser's bound is for what the scanner holds.
    let nesting = limits.depth.saturating_add(2);
    granit_parser::options! {
        emit_comments: false,
        block_scalar_eof_without_line_feed: true,
        flow_nesting_limit: nesting,
        block_nesting_limit: nesting,
    }
}

struct Reader<'a> {
    path: &'a Arc<str>,
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    builder: Builder<'a>,
    /// Where the document under way starts, as far as is known.
    document: Position,
}

impl<'a> Reader<'a> {
    /// The root of the next document, or `None` at the end of the stream.
    fn next_document(&mut self) -> Result<Option<Node>, Fault> {
        self.builder.start_document();
        while let Some(next) = self.parser.next_event() {
            let (event, span) = next.map_err(|error| fault(&error))?;
            match event {
                Event::DocumentEnd => {
                    return Ok(self.builder.finish_document().map(|tree| Node::root(Arc::new(tree))));
                }
                Event::StreamEnd => return Ok(None),
                Event::DocumentStart(..) => self.document = position(span.start),
                event => self.take(event, span)?,
            }
        }
        Ok(None)
    }

    fn take(&mut self, event: Event<'a>, span: Span) -> Result<(), Fault> {
        let start = position(span.start);
        let end = clamp(byte(span.end));
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let style = scalar_style(style);
                let (start, end) = match style {
                    Style::Literal | Style::Folded => self.block_scalar(start, end, &text),
                    Style::Plain if start.byte == end => {
                        let start = self.absent_value(start);
                        (start, start.byte)
                    }
                    _ => (start, end),
                };
                let (text, tag) = (self.text(text), tag.as_deref().map(tag_name));
                self.builder.scalar(start, end, style, text, tag.as_deref(), anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                let flow = style == StructureStyle::Flow;
                let start = if flow { start } else { self.sequence_start(start) };
                let tag = tag.as_deref().map(tag_name);
                self.builder.open(start, Kind::Sequence { flow }, tag.as_deref(), anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_marker(start)?;
                let kind = Kind::Mapping { flow: style == StructureStyle::Flow };
                self.builder.open(start, kind, tag.as_deref().map(tag_name).as_deref(), anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.builder.close(end),
            Event::Alias(anchor) => self.builder.alias(start, end, anchor),
            _ => Ok(()),
        }
    }

    /// `key: {{ .Values.x }}` is sound YAML: a mapping whose key is a mapping. Nobody means that.
    fn refuse_marker(&self, start: Position) -> Result<(), Fault> {
        let is_first_key = matches!(self.builder.innermost(), Some((Kind::Mapping { flow: true }, 0)));
        let brace_before = (start.byte as usize).checked_sub(1).and_then(|at| self.text.as_bytes().get(at));
        if is_first_key && brace_before == Some(&b'{') {
            let column = start.column.saturating_sub(1).max(1);
            return Err(Fault::new(Position { column, ..start }, NOT_RENDERED));
        }
        Ok(())
    }

    /// The range of the file that a scalar's text is, where the parser did not have to change it.
    fn text<'t>(&self, text: Cow<'t, str>) -> Text<'t> {
        if let Cow::Borrowed(borrowed) = text
            && let Some(from) = (borrowed.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)
            && from + borrowed.len() <= self.text.len()
        {
            return Text::InFile(clamp(from), clamp(from + borrowed.len()));
        }
        Text::Decoded(text)
    }

    /// The parser places a block scalar at its first line of content, and its end at the next token. It is
    /// taken from its header (`|`, `>`) to the end of its last line that is not blank.
    fn block_scalar(&self, start: Position, end: u32, text: &str) -> (Position, u32) {
        // Without content before the end of the file, the parser does place it at the header.
        let at_header = matches!(self.text.as_bytes().get(start.byte as usize), Some(b'|' | b'>'));
        if at_header && text.trim().is_empty() {
            return (start, end);
        }
        let mut line_end = start.byte as usize;
        let mut line = start.line;
        let start = loop {
            let line_start = line_start(self.text, line_end);
            let text = self.text.get(line_start..line_end).unwrap_or("");
            if let Some(at) = block_scalar_header(text) {
                let column = clamp(text.get(..at).unwrap_or("").chars().count() + 1);
                break Position { byte: clamp(line_start + at), line, column };
            }
            let between = text.trim_start();
            if line_start == 0 || !(between.is_empty() || between.starts_with('#')) {
                break start;
            }
            line_end = before_line_break(self.text, line_start);
            line = line.saturating_sub(1);
        };
        let source = self.text.get(start.byte as usize..end as usize).unwrap_or("");
        (start, start.byte + clamp(source.trim_end().len()))
    }

    /// The parser places an indentless sequence (its dashes under the key) at its first item.
    fn sequence_start(&self, start: Position) -> Position {
        let Some(mapping) = self.builder.open_block_mapping() else { return start };
        let line_start = line_start(self.text, start.byte as usize);
        let line = self.text.get(line_start..start.byte as usize).unwrap_or("");
        let indent = line.len() - line.trim_start_matches(' ').len();
        if line.as_bytes().get(indent) == Some(&b'-') && mapping.column as usize == indent + 1 {
            return Position { byte: clamp(line_start + indent), column: mapping.column, ..start };
        }
        start
    }

    /// The parser places an absent value at the colon before it.
    fn absent_value(&self, start: Position) -> Position {
        let is_value = matches!(self.builder.innermost(), Some((Kind::Mapping { .. }, n)) if n % 2 == 1);
        if is_value && self.text.as_bytes().get(start.byte as usize) == Some(&b':') {
            return Position { byte: start.byte + 1, column: start.column + 1, ..start };
        }
        start
    }

    /// The error, with the likely reason where the document is a template.
    fn explain(&mut self, fault: Fault) -> DocumentError {
        let from = std::mem::replace(&mut self.document, fault.at);
        let end = document_end(self.text, fault.at.byte as usize);
        let document = self.text.get(from.byte as usize..end).unwrap_or("");
        let mut error = fault.into_error(self.path);
        if error.message == NOT_RENDERED {
            error.templated = true;
        } else if let Some((line, _)) = looks_templated(document) {
            let line = from.line.saturating_add(line).saturating_sub(1);
            error.message = format!("{} (line {line} holds {NOT_RENDERED})", error.message);
            error.templated = true;
        }
        error
    }
}

/// Where the line that holds the offset starts. A lone carriage return ends a line, too (YAML 1.2.2, 5.4).
fn line_start(text: &str, at: usize) -> usize {
    text.get(..at).unwrap_or("").rfind(['\n', '\r']).map_or(0, |line_break| line_break + 1)
}

/// The end of the line before one that starts at the offset.
fn before_line_break(text: &str, line_start: usize) -> usize {
    let before = text.get(..line_start).unwrap_or("");
    let cut = before.strip_suffix("\r\n").or_else(|| before.strip_suffix(['\n', '\r']));
    cut.map_or(0, str::len)
}

/// Where on a line a block scalar's header stands: `key: |2- # comment`, up to the end of the line.
fn block_scalar_header(line: &str) -> Option<usize> {
    line.match_indices(['|', '>']).map(|(at, _)| at).find(|at| {
        let before = line.as_bytes().get(..*at).and_then(|before| before.last());
        let after = line.get(at + 1..).unwrap_or("").trim_start_matches(['+', '-']);
        let after = after.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches(['+', '-']);
        let rest = after.trim_start();
        let blank_between = rest.len() < after.len();
        matches!(before, None | Some(b' ' | b'\t'))
            && (rest.is_empty() || (blank_between && rest.starts_with('#')))
    })
}

/// Where the document that holds the offset ends.
fn document_end(text: &str, at: usize) -> usize {
    let rest = text.get(at..).unwrap_or("");
    let marker = rest.match_indices('\n').find(|(newline, _)| {
        let line = rest.get(newline + 1..).unwrap_or("");
        line.starts_with("---") || line.starts_with("...")
    });
    marker.map_or(text.len(), |(newline, _)| at + newline)
}

fn fault(error: &ScanError) -> Fault {
    Fault::new(position(*error.marker()), error.info())
}

fn position(marker: Marker) -> Position {
    Position { byte: clamp(byte(marker)), line: clamp(marker.line()), column: clamp(marker.col() + 1) }
}

/// A text input always knows its byte offsets.
fn byte(marker: Marker) -> usize {
    marker.byte_offset().unwrap_or(0)
}

fn scalar_style(style: ScalarStyle) -> Style {
    match style {
        ScalarStyle::Plain => Style::Plain,
        ScalarStyle::SingleQuoted => Style::SingleQuoted,
        ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
        ScalarStyle::Literal => Style::Literal,
        ScalarStyle::Folded => Style::Folded,
    }
}

fn tag_name(tag: &Tag) -> Cow<'static, str> {
    match tag.core_suffix() {
        Some("str") => Cow::Borrowed("!!str"),
        Some(suffix) => Cow::Owned(format!("!!{suffix}")),
        None => Cow::Owned(tag.to_string()),
    }
}
