//! The tree itself. One document is one flat table of entries; a [`Node`] is a shared pointer to the table
//! and a number, so that it costs nothing to copy, and text that stands in the file as it is meant is not
//! copied out of it.

use std::collections::HashSet;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use confinement::{Origin, Place};

use super::scalar;

/// No entry: the root's parent, and a node that was not reached through an alias.
pub(super) const NONE: u32 = u32::MAX;

/// A place's length beyond this many characters is cut: it underlines an excerpt.
const LONGEST_PLACE: usize = 1000;

/// The file, shared by all its documents.
#[derive(Debug)]
pub(super) struct File {
    pub(super) path: Arc<str>,
    pub(super) text: Box<str>,
    pub(super) json: bool,
}

/// One document.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) file: Arc<File>,
    pub(super) entries: Box<[Entry]>,
    /// Children of all collections; a mapping's are key, value, key, value.
    pub(super) children: Box<[u32]>,
    /// Scalars whose meaning differs from their source: escapes, folded lines, block scalars.
    pub(super) decoded: Box<str>,
    pub(super) tags: Box<[Box<str>]>,
    pub(super) root: u32,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    /// Source bytes.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Both from 1.
    pub(super) line: u32,
    pub(super) column: u32,
    pub(super) parent: u32,
    /// Into `decoded` or the file's text for a scalar, into `children` for a collection; for an alias
    /// `from` is the entry it names.
    pub(super) from: u32,
    pub(super) to: u32,
    /// 0 is no tag, else one more than the index into `tags`.
    pub(super) tag: u16,
    pub(super) kind: Kind,
    /// The text is in `decoded`.
    pub(super) is_decoded: bool,
    /// A mapping with a merge key among its own keys.
    pub(super) merges: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Scalar(Style),
    Sequence { flow: bool },
    Mapping { flow: bool },
    Alias,
}

/// How a scalar is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    Plain,
    SingleQuoted,
    DoubleQuoted,
    /// `|`
    Literal,
    /// `>`
    Folded,
}

/// What a node is. A string's text is [`Node::as_str`], a collection's content [`Node::items`] and
/// [`Node::entries`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value {
    Null,
    Bool(bool),
    Integer(i64),
    /// Also an integer that does not fit 64 bits.
    Float(f64),
    String,
    Sequence,
    Mapping,
}

/// One step from a collection to what is in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    Key(Arc<str>),
    Index(usize),
}

/// The way from a document's root to a node.
pub type Route = Vec<Step>;

/// One node of a document. Cheap to clone.
///
/// An alias is followed: the node, its place and its route are those of the anchor it names, because that
/// is where the value is written. [`Node::alias_place`] says where it was used.
#[derive(Clone)]
pub struct Node {
    tree: Arc<Tree>,
    index: u32,
    alias: u32,
}

impl Node {
    pub(super) fn root(tree: Arc<Tree>) -> Node {
        let root = tree.root;
        Node::at(&tree, root)
    }

    fn at(tree: &Arc<Tree>, index: u32) -> Node {
        let target = tree.target(index);
        let alias = if target == index { NONE } else { index };
        Node { tree: tree.clone(), index: target, alias }
    }

    fn entry(&self) -> &Entry {
        self.tree.entry(self.index)
    }

    /// Where the value is written. The length covers the node's first line.
    pub fn place(&self) -> Place {
        self.tree.place(self.index)
    }

    /// Where the alias stands, for a node reached through `*name`.
    pub fn alias_place(&self) -> Option<Place> {
        (self.alias != NONE).then(|| self.tree.place(self.alias))
    }

    pub fn origin(&self) -> Origin {
        Origin::File(self.place())
    }

    /// The bytes of [`Document::text`](super::Document::text) that hold the node, its tag and anchor not
    /// included. An absent value (`key:`)
    /// has an empty range where the value would stand. A block scalar's range starts with
    /// its header.
    pub fn bytes(&self) -> Range<usize> {
        let entry = self.entry();
        entry.start as usize..entry.end as usize
    }

    /// The source text of [`Node::bytes`].
    pub fn source(&self) -> &str {
        self.tree.file.text.get(self.bytes()).unwrap_or("")
    }

    /// The bytes of the alias, for a node reached through `*name`.
    pub fn alias_bytes(&self) -> Option<Range<usize>> {
        let entry = self.tree.entry(self.alias);
        (self.alias != NONE).then_some(entry.start as usize..entry.end as usize)
    }

    /// The collection that the node is written in; `None` for the root.
    pub fn parent(&self) -> Option<Node> {
        let parent = self.entry().parent;
        (parent != NONE).then(|| Node::at(&self.tree, parent))
    }

    /// Where aliases name this node.
    pub fn uses(&self) -> impl Iterator<Item = Place> + '_ {
        let is_use = |entry: &Entry| entry.kind == Kind::Alias && entry.from == self.index;
        let indices = 0..super::clamp(self.tree.entries.len());
        indices.filter(move |i| is_use(self.tree.entry(*i))).map(|i| self.tree.place(i))
    }

    /// Whether the file is JSON and not YAML.
    pub fn is_json(&self) -> bool {
        self.tree.file.json
    }

    /// The root of the document that the node is written in.
    pub fn document_root(&self) -> Node {
        Node::root(self.tree.clone())
    }

    /// Where the key of this value stands, for a value of a mapping.
    pub fn key_place(&self) -> Option<Place> {
        let parent = self.entry().parent;
        if parent == NONE || !matches!(self.tree.entry(parent).kind, Kind::Mapping { .. }) {
            return None;
        }
        let children = self.tree.children(parent);
        let position = children.iter().position(|child| *child == self.index)?;
        children.get(position & !1).map(|key| self.tree.place(*key))
    }

    /// The whole file.
    pub fn file_text(&self) -> &str {
        &self.tree.file.text
    }

    /// The way from the root of the document to where the value is written.
    pub fn route(&self) -> Route {
        let mut route = Route::new();
        let mut index = self.index;
        loop {
            let parent = self.tree.entry(index).parent;
            if parent == NONE {
                break;
            }
            let position = self.tree.children(parent).iter().position(|child| *child == index).unwrap_or(0);
            route.push(match self.tree.entry(parent).kind {
                Kind::Mapping { .. } => {
                    let key = self.tree.children(parent).get(position & !1).copied().unwrap_or(index);
                    Step::Key(self.tree.text(self.tree.target(key)).unwrap_or("").into())
                }
                _ => Step::Index(position),
            });
            index = parent;
        }
        route.reverse();
        route
    }

    pub fn value(&self) -> Value {
        let entry = self.entry();
        let style = match entry.kind {
            Kind::Scalar(style) => style,
            Kind::Sequence { .. } => return Value::Sequence,
            Kind::Mapping { .. } => return Value::Mapping,
            // Aliases are followed when the node is made.
            Kind::Alias => return Value::Null,
        };
        let text = self.tree.text(self.index).unwrap_or("");
        let plain = style == Style::Plain;
        if self.tree.file.json {
            return match text.as_bytes().first() {
                _ if !plain => Value::String,
                Some(b'n') => Value::Null,
                Some(b't') => Value::Bool(true),
                Some(b'f') => Value::Bool(false),
                _ => scalar::json_number(text),
            };
        }
        match self.tag() {
            Some("!" | "!!str" | "!!binary" | "!!timestamp") => Value::String,
            Some("!!null") => Value::Null,
            Some("!!bool") => scalar::bool_yaml11(text).map_or(Value::String, Value::Bool),
            Some("!!int") => scalar::number(text).unwrap_or(Value::String),
            Some("!!float") => match scalar::number(text) {
                Some(Value::Integer(integer)) => Value::Float(integer as f64),
                other => other.unwrap_or(Value::String),
            },
            _ if plain => scalar::resolve(text),
            _ => Value::String,
        }
    }

    /// The text of a scalar that is not null: a string, or a number or boolean as it is written.
    pub fn as_str(&self) -> Option<&str> {
        if self.value() == Value::Null {
            return None;
        }
        self.tree.text(self.index)
    }

    /// The text of a scalar that is a string and nothing else: `"8080"` but not `8080`.
    pub fn as_string_strict(&self) -> Option<&str> {
        if self.value() != Value::String {
            return None;
        }
        self.tree.text(self.index)
    }

    /// YAML 1.2's booleans: an unquoted `true` or `false`.
    pub fn as_bool(&self) -> Option<bool> {
        match self.value() {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// YAML 1.1's booleans too, unquoted `yes`, `no`, `on`, `off`, `y`, `n`: what the Kubernetes tools take,
    /// which read with go-yaml 2.
    pub fn as_bool_yaml11(&self) -> Option<bool> {
        match self.value() {
            Value::Bool(value) => Some(value),
            Value::String if !self.is_quoted() && self.tag().is_none() && !self.tree.file.json => {
                scalar::bool_yaml11(self.tree.text(self.index)?)
            }
            _ => None,
        }
    }

    pub fn as_i64(&self) -> Option<i64> {
        match self.value() {
            Value::Integer(value) => Some(value),
            _ => None,
        }
    }

    /// An integer or a float.
    pub fn as_f64(&self) -> Option<f64> {
        match self.value() {
            Value::Integer(value) => Some(value as f64),
            Value::Float(value) => Some(value),
            _ => None,
        }
    }

    pub fn is_null(&self) -> bool {
        self.value() == Value::Null
    }

    pub fn is_mapping(&self) -> bool {
        matches!(self.entry().kind, Kind::Mapping { .. })
    }

    pub fn is_sequence(&self) -> bool {
        matches!(self.entry().kind, Kind::Sequence { .. })
    }

    pub fn is_scalar(&self) -> bool {
        matches!(self.entry().kind, Kind::Scalar(_))
    }

    /// A scalar that cannot be anything but a string: quoted, or a block scalar.
    pub fn is_quoted(&self) -> bool {
        matches!(self.entry().kind, Kind::Scalar(style) if style != Style::Plain)
    }

    /// How a scalar is written; `None` for a collection.
    pub fn style(&self) -> Option<Style> {
        match self.entry().kind {
            Kind::Scalar(style) => Some(style),
            _ => None,
        }
    }

    /// A collection written as `[…]` or `{…}`.
    pub fn is_flow(&self) -> bool {
        matches!(self.entry().kind, Kind::Sequence { flow: true } | Kind::Mapping { flow: true })
    }

    /// The tag as its standard form: `!!str` for YAML's own, `!reset` for an application's.
    pub fn tag(&self) -> Option<&str> {
        let index = usize::from(self.entry().tag).checked_sub(1)?;
        self.tree.tags.get(index).map(|tag| &**tag)
    }

    /// An unquoted string with a template marker in it, such as `registry/{{ .Values.image }}`.
    pub fn is_templated(&self) -> bool {
        !self.is_quoted() && self.tree.text(self.index).is_some_and(super::template::has_marker)
    }

    /// How many items or own keys the collection has; 0 for a scalar. Merged keys are not counted.
    pub fn len(&self) -> usize {
        match self.entry().kind {
            Kind::Sequence { .. } => self.tree.children(self.index).len(),
            Kind::Mapping { .. } => self.tree.children(self.index).len() / 2,
            _ => 0,
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of a key, merge keys (`<<`) honoured: own keys win over merged, earlier merges over later.
    pub fn get(&self, key: &str) -> Option<Node> {
        self.get_key(key).map(|(_, value)| value)
    }

    /// As [`Node::get`], with the key's own node.
    pub fn get_key(&self, key: &str) -> Option<(Node, Node)> {
        let tree = &self.tree;
        let found = tree.find_own(self.index, key).or_else(|| {
            if !self.entry().merges {
                return None;
            }
            let merged = tree.merged_mappings(self.index);
            merged.into_iter().find_map(|mapping| tree.find_own(mapping, key))
        })?;
        Some((Node::at(tree, found.0), Node::at(tree, found.1)))
    }

    /// The keys and values of a mapping: its own in order, then those merged in (`<<`) that it does not set
    /// itself. Nothing for what is no mapping.
    pub fn entries(&self) -> impl Iterator<Item = (Node, Node)> + '_ {
        let own = self.own_entries().filter(move |(key, _)| !self.tree.is_merge_key(key.index));
        own.chain(self.merged_entries())
    }

    /// The keys and values as written, merge keys among them as keys.
    pub fn own_entries(&self) -> impl Iterator<Item = (Node, Node)> + '_ {
        let children = if self.is_mapping() { self.tree.children(self.index) } else { &[] };
        children
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[key, value]| (Node::at(&self.tree, *key), Node::at(&self.tree, *value)))
    }

    fn merged_entries(&self) -> impl Iterator<Item = (Node, Node)> + '_ {
        let mut merged = Vec::new();
        if self.entry().merges {
            let mut seen = HashSet::new();
            for mapping in std::iter::once(self.index).chain(self.tree.merged_mappings(self.index)) {
                for [key, value] in self.tree.children(mapping).as_chunks::<2>().0 {
                    let key = self.tree.target(*key);
                    let fresh = match self.tree.text(key) {
                        Some(text) => !self.tree.is_merge_key(key) && seen.insert(text),
                        None => true,
                    };
                    if fresh && mapping != self.index {
                        merged.push((key, *value));
                    }
                }
            }
        }
        merged.into_iter().map(|(key, value)| (Node::at(&self.tree, key), Node::at(&self.tree, value)))
    }

    /// The items of a sequence; nothing for what is no sequence.
    pub fn items(&self) -> impl ExactSizeIterator<Item = Node> + '_ {
        let children = if self.is_sequence() { self.tree.children(self.index) } else { &[] };
        children.iter().map(|child| Node::at(&self.tree, *child))
    }

    /// The item of a sequence at a position.
    pub fn item(&self, position: usize) -> Option<Node> {
        if !self.is_sequence() {
            return None;
        }
        self.tree.children(self.index).get(position).map(|child| Node::at(&self.tree, *child))
    }

    /// Whether both are the same node of the same document.
    pub fn is_same(&self, other: &Node) -> bool {
        Arc::ptr_eq(&self.tree, &other.tree) && self.index == other.index
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_mapping() {
            return f.debug_map().entries(self.own_entries()).finish();
        }
        if self.is_sequence() {
            return f.debug_list().entries(self.items()).finish();
        }
        match self.value() {
            Value::String => write!(f, "{:?}", self.tree.text(self.index).unwrap_or("")),
            Value::Null => write!(f, "null"),
            _ => write!(f, "{}", self.tree.text(self.index).unwrap_or("")),
        }
    }
}

/// Stands in for an index that the builder never makes, so that no lookup can panic.
const ABSENT: Entry = Entry {
    start: 0,
    end: 0,
    line: 1,
    column: 1,
    parent: NONE,
    from: 0,
    to: 0,
    tag: 0,
    kind: Kind::Scalar(Style::Plain),
    is_decoded: true,
    merges: false,
};

impl Tree {
    fn entry(&self, index: u32) -> &Entry {
        self.entries.get(index as usize).unwrap_or(&ABSENT)
    }

    /// The entry an alias names; an entry that is no alias is its own. An alias never names an alias.
    fn target(&self, index: u32) -> u32 {
        let entry = self.entry(index);
        if entry.kind == Kind::Alias { entry.from } else { index }
    }

    fn children(&self, index: u32) -> &[u32] {
        let entry = self.entry(index);
        self.children.get(entry.from as usize..entry.to as usize).unwrap_or(&[])
    }

    fn text(&self, index: u32) -> Option<&str> {
        let entry = self.entry(index);
        if !matches!(entry.kind, Kind::Scalar(_)) {
            return None;
        }
        let all: &str = if entry.is_decoded { &self.decoded } else { &self.file.text };
        all.get(entry.from as usize..entry.to as usize)
    }

    fn place(&self, index: u32) -> Place {
        let entry = self.entry(index);
        let end = self.first_line_end(index);
        let source = self.file.text.get(entry.start as usize..end as usize).unwrap_or("");
        let length = source.chars().take(LONGEST_PLACE).take_while(|c| !matches!(c, '\n' | '\r')).count();
        Place::new(&self.file.path, entry.line, entry.column, super::clamp(length))
    }

    /// Where to stop underlining: a block collection is shown by its first entry, so that a comment behind
    /// it is not.
    fn first_line_end(&self, mut index: u32) -> u32 {
        loop {
            let entry = self.entry(index);
            let first = match (entry.kind, self.children(index)) {
                (Kind::Sequence { flow: false }, [item, ..]) => *item,
                (Kind::Mapping { flow: false }, [key, value, ..]) => {
                    let on_line = self.entry(*value).line == self.entry(*key).line;
                    if on_line { *value } else { *key }
                }
                _ => return entry.end,
            };
            if self.entry(first).line != entry.line {
                return entry.end;
            }
            index = first;
        }
    }

    /// An unquoted `<<`, or one tagged `!!merge`, as go-yaml's `isMerge`.
    fn is_merge_key(&self, index: u32) -> bool {
        let entry = self.entry(index);
        let tag = usize::from(entry.tag).checked_sub(1).and_then(|tag| self.tags.get(tag));
        let merge = match tag.map(|tag| &**tag) {
            None => entry.kind == Kind::Scalar(Style::Plain),
            Some(tag) => tag == "!!merge",
        };
        merge && !self.file.json && self.text(index) == Some("<<")
    }

    fn find_own(&self, mapping: u32, key: &str) -> Option<(u32, u32)> {
        if !matches!(self.entry(mapping).kind, Kind::Mapping { .. }) {
            return None;
        }
        let merges = self.entry(mapping).merges;
        self.children(mapping).as_chunks::<2>().0.iter().find_map(|[k, value]| {
            let target = self.target(*k);
            let found = self.text(target) == Some(key) && !(merges && self.is_merge_key(target));
            found.then_some((*k, *value))
        })
    }

    /// The mappings merged into one, in the order in which they win, each once, itself not among them.
    /// A mapping met a second time can add nothing, so the walk ends however the anchors are knotted.
    fn merged_mappings(&self, mapping: u32) -> Vec<u32> {
        let mut found = Vec::new();
        let mut seen = HashSet::from([mapping]);
        let mut open = vec![mapping];
        while let Some(next) = open.pop() {
            if next != mapping {
                found.push(next);
            }
            let first = open.len();
            for [key, value] in self.children(next).as_chunks::<2>().0 {
                if !self.entry(next).merges || !self.is_merge_key(self.target(*key)) {
                    continue;
                }
                let value = self.target(*value);
                let merged = match self.entry(value).kind {
                    Kind::Sequence { .. } => self.children(value),
                    _ => &[value],
                };
                for child in merged.iter().map(|child| self.target(*child)) {
                    if matches!(self.entry(child).kind, Kind::Mapping { .. }) && seen.insert(child) {
                        open.push(child);
                    }
                }
            }
            open.get_mut(first..).unwrap_or_default().reverse();
        }
        found
    }
}
