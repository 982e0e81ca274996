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
                let text_in_file = self.text_in_file(&text);
                let text = text_in_file.unwrap_or(Text::Decoded(&text));
                let tag = tag.as_deref().map(tag_name);
                self.builder.scalar(start, end, scalar_style(style), text, tag.as_deref(), anchor)
            }
            Event::SequenceStart(style, anchor, tag) => {
                let kind = Kind::Sequence { flow: style == StructureStyle::Flow };
                self.builder.open(start, kind, tag.as_deref().map(tag_name).as_deref(), anchor)
            }
            Event::MappingStart(style, anchor, tag) => {
                self.refuse_marker(start)?;
                let kind = Kind::Mapping { flow: style == StructureStyle::Flow };
                self.builder.open(start, kind, tag.as_deref().map(tag_name).as_deref(), anchor)
            }
            Event::SequenceEnd | Event::MappingEnd => self.builder.close(start, end),
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
    fn text_in_file(&self, text: &Cow<'a, str>) -> Option<Text<'static>> {
        let Cow::Borrowed(borrowed) = text else { return None };
        let from = (borrowed.as_ptr() as usize).checked_sub(self.text.as_ptr() as usize)?;
        let to = from.checked_add(borrowed.len())?;
        (to <= self.text.len()).then(|| Text::InFile(clamp(from), clamp(to)))
    }

    /// The error, with the likely reason where the document is a template.
    fn explain(&self, fault: Fault) -> DocumentError {
        let from = document_start(self.text, fault.at.byte as usize);
        let rest = self.text.get(from..).unwrap_or("");
        let document = rest.get(..document_end(rest)).unwrap_or(rest);
        let mut error = fault.into_error(self.path);
        if error.message == NOT_RENDERED {
            error.templated = true;
        } else if let Some((line, _)) = looks_templated(document) {
            let before = self.text.get(..from).unwrap_or("").bytes().filter(|b| *b == b'\n').count();
            let line = clamp(before).saturating_add(line);
            error.message = format!("{} (line {line} holds {NOT_RENDERED})", error.message);
            error.templated = true;
        }
        error
    }
}

/// Where the document that holds the offset starts.
fn document_start(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or(text);
    before.rfind("\n---").map_or(0, |newline| newline + 1)
}

/// Where the first document of the text ends.
fn document_end(text: &str) -> usize {
    let after_marker = if text.starts_with("---") { 3 } else { 0 };
    let rest = text.get(after_marker..).unwrap_or("");
    rest.find("\n---").map_or(text.len(), |newline| after_marker + newline)
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
