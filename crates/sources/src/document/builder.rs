//! Puts a [`Tree`] together from what a parser meets, in the order of the file, and holds the limits.
//!
//! No recursion: what is open stands on a stack, so that nesting costs memory in proportion and nothing else.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::tree::{Entry, File, Kind, NONE, Style, Tree};
use super::{DocumentError, Limits, clamp};

/// A position in the file: byte offset, line and column (both from 1).
#[derive(Clone, Copy, Debug)]
pub(super) struct Position {
    pub(super) byte: u32,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A complaint about a position.
pub(super) struct Fault {
    pub(super) at: Position,
    pub(super) message: String,
    /// Nothing more of the file can be read.
    pub(super) ends_file: bool,
}

impl Fault {
    pub(super) fn new(at: Position, message: impl Into<String>) -> Fault {
        Fault { at, message: message.into(), ends_file: false }
    }

    pub(super) fn into_error(self, path: &Arc<str>) -> DocumentError {
        DocumentError::new(path, self.at.line, self.at.column, self.message)
    }
}

/// A mapping of more keys than this looks for duplicates with a hash table.
const FEW_KEYS: usize = 16;

struct Open {
    index: u32,
    /// Where this collection's children begin in `Builder::pending`.
    first: usize,
    weight: Weight,
    anchor: usize,
}

/// The size and height of what a node reaches when aliases are followed.
#[derive(Clone, Copy, Default)]
struct Weight {
    nodes: u64,
    height: usize,
}

struct Anchor {
    index: u32,
    /// `None` while the collection is open: an alias to it would contain itself.
    weight: Option<Weight>,
}

pub(super) struct Builder<'a> {
    file: Arc<File>,
    limits: &'a Limits,
    entries: Vec<Entry>,
    children: Vec<u32>,
    decoded: String,
    tags: Vec<Box<str>>,
    pending: Vec<u32>,
    open: Vec<Open>,
    anchors: HashMap<usize, Anchor>,
    /// Nodes of the documents before this one.
    nodes_before: usize,
}

/// What a scalar says: a range of the file, or text that was decoded from it.
pub(super) enum Text<'a> {
    InFile(u32, u32),
    Decoded(Cow<'a, str>),
}

impl<'a> Builder<'a> {
    pub(super) fn new(file: Arc<File>, limits: &'a Limits) -> Builder<'a> {
        Builder {
            file,
            limits,
            entries: Vec::new(),
            children: Vec::new(),
            decoded: String::new(),
            tags: Vec::new(),
            pending: Vec::new(),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes_before: 0,
        }
    }

    /// Forgets the document under way.
    pub(super) fn start_document(&mut self) {
        self.nodes_before += self.entries.len();
        self.entries.clear();
        self.children.clear();
        self.decoded.clear();
        self.tags.clear();
        self.pending.clear();
        self.open.clear();
        self.anchors.clear();
    }

    /// The document; `None` if it holds no node.
    pub(super) fn finish_document(&mut self) -> Option<Tree> {
        let root = self.pending.first().copied()?;
        Some(Tree {
            file: self.file.clone(),
            entries: self.entries.as_slice().into(),
            children: self.children.as_slice().into(),
            decoded: self.decoded.as_str().into(),
            tags: std::mem::take(&mut self.tags).into(),
            root,
        })
    }

    pub(super) fn scalar(
        &mut self,
        start: Position,
        end: u32,
        style: Style,
        text: Text<'_>,
        tag: Option<&str>,
        anchor: usize,
    ) -> Result<(), Fault> {
        let (from, to, is_decoded) = match text {
            Text::InFile(from, to) => (from, to, false),
            Text::Decoded(text) => {
                let from = clamp(self.decoded.len());
                self.decoded.push_str(&text);
                (from, clamp(self.decoded.len()), true)
            }
        };
        let tag = self.tag(tag, start)?;
        let kind = Kind::Scalar(style);
        let index = self.push(start, Entry { end, from, to, tag, kind, is_decoded, ..entry(start) })?;
        let weight = Weight { nodes: 1, height: 1 };
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor { index, weight: Some(weight) });
        }
        self.add(index, weight);
        Ok(())
    }

    pub(super) fn open(
        &mut self,
        start: Position,
        kind: Kind,
        tag: Option<&str>,
        anchor: usize,
    ) -> Result<(), Fault> {
        if self.open.len() >= self.limits.depth {
            return Err(self.too_deep(start));
        }
        let tag = self.tag(tag, start)?;
        let index = self.push(start, Entry { tag, kind, ..entry(start) })?;
        if anchor != 0 {
            self.anchors.insert(anchor, Anchor { index, weight: None });
        }
        let weight = Weight { nodes: 1, height: 1 };
        self.open.push(Open { index, first: self.pending.len(), weight, anchor });
        Ok(())
    }

    /// Closes the innermost collection. A block collection ends where its last child does (the parser says
    /// where the next token starts, which may be many comments later); a flow one ends at its bracket.
    pub(super) fn close(&mut self, flow_end: u32) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let from = self.children.len();
        self.children.extend(self.pending.drain(open.first..));
        let children = self.children.get(from..).unwrap_or_default();
        for child in children {
            if let Some(entry) = self.entries.get_mut(*child as usize) {
                entry.parent = open.index;
            }
        }
        let last_end = children.last().and_then(|child| self.entries.get(*child as usize)).map(|e| e.end);
        let Some(entry) = self.entries.get_mut(open.index as usize) else { return Ok(()) };
        entry.from = clamp(from);
        entry.to = clamp(self.children.len());
        entry.end = match entry.kind {
            Kind::Sequence { flow: true } | Kind::Mapping { flow: true } => flow_end,
            _ => last_end.unwrap_or(entry.start),
        }
        .max(entry.start);
        let start = Position { byte: entry.start, line: entry.line, column: entry.column };
        if matches!(entry.kind, Kind::Mapping { .. }) {
            let merges = self.check_keys(from)?;
            if let Some(entry) = self.entries.get_mut(open.index as usize) {
                entry.merges = merges;
            }
        }
        if open.weight.nodes > self.limits.reachable {
            let most = self.limits.reachable;
            let message = format!("anchors expand without bound: more than {most} nodes below this one");
            return Err(Fault::new(start, message));
        }
        if open.anchor != 0
            && let Some(anchor) = self.anchors.get_mut(&open.anchor)
        {
            anchor.weight = Some(open.weight);
        }
        self.add(open.index, open.weight);
        Ok(())
    }

    pub(super) fn alias(&mut self, start: Position, end: u32, anchor: usize) -> Result<(), Fault> {
        let (target, weight) = match self.anchors.get(&anchor) {
            Some(Anchor { index, weight: Some(weight) }) => (*index, *weight),
            Some(_) => return Err(Fault::new(start, "the anchor that this alias names contains the alias")),
            None => return Err(Fault::new(start, "this alias names no anchor before it")),
        };
        if self.open.len() + weight.height > self.limits.depth + 1 {
            return Err(self.too_deep(start));
        }
        let index = self.push(start, Entry { end, from: target, kind: Kind::Alias, ..entry(start) })?;
        self.add(index, weight);
        Ok(())
    }

    /// How many collections are open.
    pub(super) fn depth(&self) -> usize {
        self.open.len()
    }

    /// The innermost open collection and how many children it has so far.
    pub(super) fn innermost(&self) -> Option<(Kind, usize)> {
        let open = self.open.last()?;
        let entry = self.entries.get(open.index as usize)?;
        Some((entry.kind, self.pending.len() - open.first))
    }

    /// Where the innermost open collection starts, if it is a block mapping.
    pub(super) fn open_block_mapping(&self) -> Option<Position> {
        let entry = self.entries.get(self.open.last()?.index as usize)?;
        let block = entry.kind == Kind::Mapping { flow: false };
        block.then_some(Position { byte: entry.start, line: entry.line, column: entry.column })
    }

    fn too_deep(&self, at: Position) -> Fault {
        Fault::new(at, format!("nested deeper than the limit of {} levels", self.limits.depth))
    }

    fn push(&mut self, at: Position, entry: Entry) -> Result<u32, Fault> {
        let count = self.entries.len();
        if self.nodes_before + count >= self.limits.nodes {
            let message = format!("more nodes than the limit of {}", self.limits.nodes);
            return Err(Fault { ends_file: true, ..Fault::new(at, message) });
        }
        self.entries.push(entry);
        Ok(clamp(count))
    }

    fn add(&mut self, index: u32, weight: Weight) {
        self.pending.push(index);
        if let Some(open) = self.open.last_mut() {
            open.weight.nodes = open.weight.nodes.saturating_add(weight.nodes);
            open.weight.height = open.weight.height.max(weight.height + 1);
        }
    }

    fn tag(&mut self, tag: Option<&str>, at: Position) -> Result<u16, Fault> {
        let Some(tag) = tag else { return Ok(0) };
        let index = match self.tags.iter().position(|known| **known == *tag) {
            Some(index) => index,
            None => {
                self.tags.push(tag.into());
                self.tags.len() - 1
            }
        };
        // A document uses a handful of tags; the bound keeps the search above short.
        if index > 255 {
            return Err(Fault::new(at, "more than 256 different tags"));
        }
        Ok(u16::try_from(index + 1).unwrap_or(0))
    }

    /// No scalar key may stand twice (go-yaml compares their text, whatever their style). Says whether a
    /// merge key is among them.
    fn check_keys(&self, from: usize) -> Result<bool, Fault> {
        let pairs = self.children.get(from..).unwrap_or_default().as_chunks::<2>().0;
        let mut merges = false;
        if pairs.len() <= FEW_KEYS {
            for (n, [key, _]) in pairs.iter().enumerate() {
                let Some(text) = self.key_text(*key) else { continue };
                merges |= text == "<<";
                let earlier = pairs.get(..n).unwrap_or_default();
                if let Some([first, _]) = earlier.iter().find(|[k, _]| self.key_text(*k) == Some(text)) {
                    return Err(self.duplicate(*key, *first, text));
                }
            }
            return Ok(merges);
        }
        let mut seen: HashMap<&str, u32> = HashMap::with_capacity(pairs.len());
        for [key, _] in pairs {
            let Some(text) = self.key_text(*key) else { continue };
            merges |= text == "<<";
            if let Some(first) = seen.insert(text, *key) {
                return Err(self.duplicate(*key, first, text));
            }
        }
        Ok(merges)
    }

    fn duplicate(&self, key: u32, first: u32, text: &str) -> Fault {
        let place = |index: u32| match self.entries.get(index as usize) {
            Some(entry) => Position { byte: entry.start, line: entry.line, column: entry.column },
            None => Position { byte: 0, line: 1, column: 1 },
        };
        let shown: String = text.chars().take(80).collect();
        Fault::new(place(key), format!("duplicate key `{shown}` (first at line {})", place(first).line))
    }

    fn key_text(&self, index: u32) -> Option<&str> {
        let mut entry = self.entries.get(index as usize)?;
        if entry.kind == Kind::Alias {
            entry = self.entries.get(entry.from as usize)?;
        }
        if !matches!(entry.kind, Kind::Scalar(_)) {
            return None;
        }
        let all: &str = if entry.is_decoded { &self.decoded } else { &self.file.text };
        all.get(entry.from as usize..entry.to as usize)
    }
}

fn entry(start: Position) -> Entry {
    Entry {
        start: start.byte,
        end: start.byte,
        line: start.line,
        column: start.column,
        parent: NONE,
        from: 0,
        to: 0,
        tag: 0,
        kind: Kind::Alias,
        is_decoded: false,
        merges: false,
    }
}
