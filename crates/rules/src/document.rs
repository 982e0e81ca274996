//! A rule file's YAML as a tree in which every node knows where it stands. Where a part is no YAML, what stands before
//! it is kept, and reading goes on at the next entry.

use std::collections::HashMap;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span as YamlSpan, StrInput};

/// What one file may cost.
pub(crate) const MAXIMUM_BYTES: usize = 8 << 20;
/// Levels of nesting; the language needs six.
pub(crate) const MAXIMUM_NESTING: usize = 32;
/// Nodes of one file.
pub(crate) const MAXIMUM_NODES: usize = 1_000_000;
/// How often reading goes on after a fault.
const MAXIMUM_RESTARTS: usize = 100;

/// The text of one file.
#[derive(Debug)]
pub(crate) struct File {
    pub(crate) path: Arc<str>,
    pub(crate) text: String,
    line_starts: Vec<usize>,
}

impl File {
    pub(crate) fn new(path: Arc<str>, text: &str) -> File {
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text).to_owned();
        let line_starts = std::iter::once(0)
            .chain(text.bytes().enumerate().filter(|b| b.1 == b'\n').map(|b| b.0 + 1))
            .collect();
        File { path, text, line_starts }
    }

    /// Line and column (in characters) of a byte, both from 1.
    pub(crate) fn line_and_column(&self, byte: usize) -> (usize, usize) {
        let line = self.line_starts.partition_point(|start| *start <= byte).max(1);
        let start = self.line_starts.get(line - 1).copied().unwrap_or(0);
        let before = self.text.get(start..byte).map_or(byte - start, |text| text.chars().count());
        (line, before + 1)
    }

    pub(crate) fn line(&self, number: usize) -> &str {
        let start = self.line_starts.get(number.saturating_sub(1)).copied().unwrap_or(self.text.len());
        let end = self.line_starts.get(number).copied().unwrap_or(self.text.len());
        self.text.get(start..end).unwrap_or("").trim_end_matches(['\n', '\r'])
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    /// Bytes of the file that it may be found in.
    pub(crate) start: usize,
    pub(crate) end: usize,
}

#[derive(Debug)]
pub(crate) enum Value {
    Scalar(Scalar),
    Sequence(Vec<Arc<Node>>),
    Mapping(Vec<(Arc<Node>, Arc<Node>)>),
}

#[derive(Debug)]
pub(crate) struct Scalar {
    pub(crate) text: String,
    pub(crate) style: Style,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    Block,
}

impl Node {
    /// Whether it is YAML's null: `null`, `~` or nothing.
    pub(crate) fn is_null(&self) -> bool {
        match &self.value {
            Value::Scalar(scalar) => {
                scalar.style == Style::Plain
                    && matches!(scalar.text.as_str(), "" | "~" | "null" | "Null" | "NULL")
            }
            _ => false,
        }
    }

    /// The value of a key; the first, where the key stands twice.
    pub(crate) fn get(&self, key: &str) -> Option<&Arc<Node>> {
        let Value::Mapping(entries) = &self.value else { return None };
        entries.iter().find(|(k, _)| k.text() == Some(key)).map(|(_, value)| value)
    }

    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }
}

/// What is wrong with the YAML, at a byte of the file.
pub(crate) struct Fault {
    pub(crate) byte: usize,
    pub(crate) message: String,
}

/// Reads every document of a file: their roots, and what is wrong.
pub(crate) fn read(file: &File) -> (Vec<Arc<Node>>, Vec<Fault>) {
    let mut roots = Vec::new();
    let mut faults = Vec::new();
    if file.text.len() > MAXIMUM_BYTES {
        faults.push(Fault {
            byte: 0,
            message: format!("the file is larger than the limit of {MAXIMUM_BYTES} bytes"),
        });
        return (roots, faults);
    }
    let mut from = 0;
    let mut nodes = 0;
    for _ in 0..MAXIMUM_RESTARTS {
        let Some(text) = file.text.get(from..) else { break };
        let mut reader = Reader { offset: from, text, nodes, anchors: HashMap::new(), open: Vec::new() };
        let fault = reader.read(&mut roots);
        nodes = reader.nodes;
        let Some((fault, broken)) = fault else { break };
        let next = next_entry(&file.text, broken.max(from));
        let goes_on = nodes < MAXIMUM_NODES;
        faults.push(fault);
        match next {
            Some(next) if next > from && goes_on => from = next,
            _ => break,
        }
    }
    (roots, faults)
}

/// The next line that begins an entry of the outermost sequence.
fn next_entry(text: &str, from: usize) -> Option<usize> {
    let rest = text.get(floor(text, from)..)?;
    let start = text.len() - rest.len();
    rest.match_indices('\n').map(|(at, _)| start + at + 1).find(|line| {
        let line = text.get(*line..).unwrap_or("");
        line.starts_with("- ") || line.starts_with("---")
    })
}

fn floor(text: &str, mut at: usize) -> usize {
    at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}

/// A collection that is not closed yet, or the document itself.
struct Open {
    start: usize,
    mapping: bool,
    anchor: usize,
    children: Vec<Arc<Node>>,
}

struct Reader<'a> {
    /// Where `text` starts in the file.
    offset: usize,
    text: &'a str,
    nodes: usize,
    anchors: HashMap<usize, Arc<Node>>,
    open: Vec<Open>,
}

impl Reader<'_> {
    /// What is wrong, and where the entry begins that it breaks: a bracket that is not closed is found out only later.
    fn read(&mut self, roots: &mut Vec<Arc<Node>>) -> Option<(Fault, usize)> {
        let options = granit_parser::options! {
            emit_comments: false,
            block_scalar_eof_without_line_feed: true,
            flow_nesting_limit: MAXIMUM_NESTING + 2,
            block_nesting_limit: MAXIMUM_NESTING + 2,
        };
        let text = self.text;
        let mut parser: Parser<'_, StrInput<'_>> = Parser::new_from_str_with_options(text, options);
        let mut fault = None;
        while let Some(next) = parser.next_event() {
            let outcome = match next {
                Ok((event, span)) => self.take(event, span, roots),
                Err(error) => {
                    Err(Fault { byte: self.byte(*error.marker()), message: error.info().to_owned() })
                }
            };
            if let Err(found) = outcome {
                fault = Some(found);
                break;
            }
        }
        // The entries that were whole when the fault came are kept.
        let fault = fault?;
        let broken = self.open.get(1).map_or(fault.byte, |entry| entry.start);
        self.open.truncate(1);
        if let Some(outermost) = self.open.pop()
            && !outermost.mapping
        {
            roots.push(Arc::new(finished(outermost, 0)));
        }
        Some((fault, broken))
    }

    fn take(&mut self, event: Event<'_>, span: YamlSpan, roots: &mut Vec<Arc<Node>>) -> Result<(), Fault> {
        let start = self.byte(span.start);
        let end = self.byte(span.end);
        match event {
            Event::DocumentStart(..) => self.anchors.clear(),
            Event::Scalar(text, style, anchor, _) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted => Style::SingleQuoted,
                    ScalarStyle::DoubleQuoted => Style::DoubleQuoted,
                    ScalarStyle::Literal | ScalarStyle::Folded => Style::Block,
                };
                let value = Value::Scalar(Scalar { text: text.into_owned(), style });
                self.add(Arc::new(Node { value, start, end }), anchor, roots)?;
            }
            Event::SequenceStart(_, anchor, _) => self.open(start, false, anchor)?,
            Event::MappingStart(_, anchor, _) => self.open(start, true, anchor)?,
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(open) = self.open.pop() {
                    let anchor = open.anchor;
                    self.add(Arc::new(finished(open, end)), anchor, roots)?;
                }
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned();
                let message = "an alias to something that is not complete here".to_owned();
                self.add(node.ok_or(Fault { byte: start, message })?, 0, roots)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn open(&mut self, start: usize, mapping: bool, anchor: usize) -> Result<(), Fault> {
        if self.open.len() >= MAXIMUM_NESTING {
            let message = format!("nested deeper than the limit of {MAXIMUM_NESTING} levels");
            return Err(Fault { byte: start, message });
        }
        self.open.push(Open { start, mapping, anchor, children: Vec::new() });
        Ok(())
    }

    fn add(&mut self, node: Arc<Node>, anchor: usize, roots: &mut Vec<Arc<Node>>) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > MAXIMUM_NODES {
            let message = format!("more than the limit of {MAXIMUM_NODES} nodes");
            return Err(Fault { byte: node.start, message });
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            Some(open) => open.children.push(node),
            None => roots.push(node),
        }
        Ok(())
    }

    fn byte(&self, marker: Marker) -> usize {
        self.offset + marker.byte_offset().unwrap_or(0).min(self.text.len())
    }
}

fn finished(open: Open, end: usize) -> Node {
    let value = match open.mapping {
        false => Value::Sequence(open.children),
        true => {
            let mut children = open.children.into_iter();
            let pairs = std::iter::from_fn(|| Some((children.next()?, children.next()?)));
            Value::Mapping(pairs.collect())
        }
    };
    Node { value, start: open.start, end }
}

/// The byte of the file at which a byte of a scalar's text stands. A scalar that is folded or escaped is not in the file
/// as it reads: its text is followed through the file, blank space not counted.
pub(crate) fn locate(file: &File, node: &Node, wanted: usize) -> usize {
    let Value::Scalar(scalar) = &node.value else { return node.start };
    let raw = file.text.as_bytes();
    let end = node.end.min(raw.len());
    let mut at = node.start;
    for (index, byte) in scalar.text.bytes().enumerate() {
        if !byte.is_ascii_whitespace() {
            at = next_occurrence(raw, at, end, byte, scalar.style);
        }
        if index >= wanted {
            return at;
        }
        if !byte.is_ascii_whitespace() {
            at += 1;
        }
    }
    at.min(end)
}

/// Where the byte stands, from `at` on; escapes of quoted styles are stepped over. An escape that hides the byte
/// (`\x41`) costs exactness and nothing else.
fn next_occurrence(raw: &[u8], at: usize, end: usize, byte: u8, style: Style) -> usize {
    let quoted = matches!(style, Style::DoubleQuoted | Style::SingleQuoted);
    let mut position = at;
    while position < end {
        let here = raw.get(position).copied().unwrap_or(0);
        if here == byte {
            // Two quotes are one, and two backslashes: the second is the one that counts.
            let doubled = match style {
                Style::SingleQuoted => byte == b'\'',
                Style::DoubleQuoted => byte == b'\\',
                _ => false,
            };
            return position + usize::from(doubled && raw.get(position + 1) == Some(&byte));
        }
        if quoted && style == Style::DoubleQuoted && here == b'\\' && raw.get(position + 1) == Some(&byte) {
            return position + 1;
        }
        position += 1;
    }
    at.min(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn only(text: &str) -> (File, Arc<Node>) {
        let file = File::new("test.yaml".into(), text);
        let (roots, faults) = read(&file);
        assert!(faults.is_empty(), "{:?}", faults.iter().map(|f| &f.message).collect::<Vec<_>>());
        let root = roots.into_iter().next().unwrap();
        (file, root)
    }

    fn found(text: &str, word: &str) -> (usize, usize) {
        let (file, root) = only(text);
        let node = root.get("key").unwrap();
        let at = node.text().unwrap().find(word).unwrap();
        file.line_and_column(locate(&file, node, at))
    }

    #[test]
    fn a_word_of_a_scalar_is_found_in_the_file_in_every_style() {
        assert_eq!(found("key: one two three\n", "three"), (1, 14));
        assert_eq!(found("key: one\n  two\n  three\n", "three"), (3, 3));
        assert_eq!(found("key: >\n  one\n\n  two\n  three\n", "three"), (5, 3));
        assert_eq!(found("key: |-\n    one\n      two three\n", "three"), (3, 11));
        assert_eq!(found("key: 'it''s one two'\n", "two"), (1, 17));
        assert_eq!(found("key: \"a \\\"b\\\" two\"\n", "two"), (1, 15));
    }

    #[test]
    fn entries_before_and_after_a_fault_are_kept() {
        let file = File::new("test.yaml".into(), "- a: 1\n- b: [1\n- c: 3\n  d: 4\n- e: 5\n");
        let (roots, faults) = read(&file);
        assert_eq!(faults.len(), 1);
        let names: Vec<_> = roots
            .iter()
            .flat_map(|root| match &root.value {
                Value::Sequence(items) => items.clone(),
                _ => Vec::new(),
            })
            .filter_map(|item| match &item.value {
                Value::Mapping(entries) => entries[0].0.text().map(str::to_owned),
                _ => None,
            })
            .collect();
        assert_eq!(names, ["a", "c", "e"]);
    }

    #[test]
    fn nesting_and_aliases_are_bounded() {
        let deep = format!("- {}x{}\n", "[".repeat(60), "]".repeat(60));
        let (_, faults) = read(&File::new("test.yaml".into(), &deep));
        assert_eq!(faults.len(), 1);
        let (_, root) = only("- &a [1, 2]\n- *a\n");
        assert!(matches!(&root.value, Value::Sequence(items) if items.len() == 2));
    }
}
