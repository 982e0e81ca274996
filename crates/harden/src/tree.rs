//! Edits of YAML and JSON by the node: set a scalar, add or take away an entry of a mapping or an item of a sequence.
//!
//! Nodes come from [`Drafts::documents`] (or from the same text read elsewhere), changes go to [`Drafts`]. Only the
//! lines that hold what changes are touched. Comments stay: those of a line that goes are left as lines of their own.
//! What cannot be kept so is refused. Whether a node may be changed at all, or others use it by an anchor, is for
//! the caller to ask ([`is_shared`], [`in_own_text`]).

use std::ops::Range;

use confinement::Place;
use sources::document::{Node, Style};

use crate::draft::{Drafts, Refusal};

mod flow;
mod lines;
mod render;
mod wish;

use lines::{Cut, Page};
use render::Layout;
pub use render::Value;
pub use wish::{Wish, fulfil, own_value, wish};

/// What to change about a sequence. Positions count in the sequence as it was read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Items {
    pub remove: Vec<usize>,
    pub replace: Vec<(usize, Value)>,
    pub append: Vec<Value>,
}

/// A place outside of `node` that changes with it: an alias or merge key that names the node, or a collection it
/// stands in up to and with `within`.
pub fn is_shared(node: &Node, within: &Node) -> Option<Place> {
    let mut at = Some(node.clone());
    while let Some(node) = at {
        if let Some(place) = node.uses().next() {
            return Some(place);
        }
        if node.is_same(within) {
            return None;
        }
        at = node.parent();
    }
    None
}

/// Whether the node is written inside `within`, and not reached by an alias or a merge key.
pub fn in_own_text(node: &Node, within: &Node) -> bool {
    if node.alias_place().is_some() {
        return false;
    }
    let mut at = Some(node.clone());
    while let Some(node) = at {
        if node.is_same(within) {
            return true;
        }
        at = node.parent();
    }
    false
}

/// Gives a scalar another text in the quotes it has; a plain one stays plain where the text permits, so `false` stays
/// a boolean. An absent value (`key:`) is filled in.
pub fn set_scalar(drafts: &mut Drafts<'_>, node: &Node, text: &str) -> Result<(), Refusal> {
    let page = Page::open(drafts, node)?;
    if !node.is_scalar() {
        return Err(refuse(node, "is not a plain value"));
    }
    if node.alias_place().is_some() {
        return Err(refuse(node, "is reached by an alias; change it where it is written"));
    }
    if node.is_templated() {
        return Err(refuse(node, "is filled in by a template"));
    }
    let range = node.bytes();
    if range.is_empty() {
        let text = render::scalar_as(Style::Plain, text, node.is_json(), is_in_flow(node));
        return fill_absent(drafts, &page, node, &text);
    }
    let style = match node.style() {
        Some(style @ (Style::Plain | Style::SingleQuoted | Style::DoubleQuoted)) => style,
        _ => return Err(refuse(node, "is a block of text; change it by hand")),
    };
    if node.tag().is_some() && style == Style::Plain {
        return Err(refuse(node, "has a tag; change it by hand"));
    }
    let text = render::scalar_as(style, text, node.is_json(), is_in_flow(node));
    drafts.replace(&page.path, range, text)
}

/// Sets the value of a mapping's own key: in place where it is there, as a new entry where not.
pub fn set_entry(drafts: &mut Drafts<'_>, mapping: &Node, key: &str, value: &Value) -> Result<(), Refusal> {
    let Some((key_node, old)) = own_entry(mapping, key) else {
        return insert_entry(drafts, mapping, key, value);
    };
    match value {
        Value::Literal(text) | Value::Text(text) if keeps_style(&old, value) => {
            set_scalar(drafts, &old, text)
        }
        _ => replace_value(drafts, mapping, &key_node, &old, value),
    }
}

/// Whether the new value may take over how the old scalar is written.
fn keeps_style(old: &Node, value: &Value) -> bool {
    let quoted = old.is_quoted();
    old.is_scalar()
        && old.alias_place().is_none()
        && match value {
            Value::Literal(_) => !quoted,
            Value::Text(text) => {
                matches!(old.style(), Some(Style::SingleQuoted | Style::DoubleQuoted))
                    || (!quoted && !old.is_json() && render::is_plain_string(text, is_in_flow(old)))
            }
            _ => false,
        }
}

/// Adds an entry at the end of a mapping, or to a null where a mapping belongs.
pub fn insert_entry(
    drafts: &mut Drafts<'_>,
    mapping: &Node,
    key: &str,
    value: &Value,
) -> Result<(), Refusal> {
    change_entries(drafts, mapping, &[], &[(key, value.clone())])
}

/// Takes away a mapping's own entry. The last one leaves `{}`.
pub fn remove_entry(drafts: &mut Drafts<'_>, mapping: &Node, key: &str) -> Result<(), Refusal> {
    change_entries(drafts, mapping, &[key], &[])
}

/// Takes away and adds entries of one mapping at once.
pub fn change_entries(
    drafts: &mut Drafts<'_>,
    mapping: &Node,
    remove: &[&str],
    insert: &[(&str, Value)],
) -> Result<(), Refusal> {
    let page = Page::open(drafts, mapping)?;
    if mapping.alias_place().is_some() {
        return Err(refuse(mapping, "is reached by an alias; change it where it is written"));
    }
    let layout = Layout::of(mapping);
    for (key, _) in insert {
        if own_entry(mapping, key).is_some() && !remove.contains(key) {
            return Err(refuse(mapping, &format!("has the key `{key}` already")));
        }
    }
    if remove.is_empty() && insert.is_empty() {
        return Ok(());
    }
    if mapping.is_null() && mapping.is_scalar() {
        return lines::fill(drafts, &page, mapping, insert, &layout);
    }
    if !mapping.is_mapping() {
        return Err(refuse(mapping, "is not a mapping"));
    }
    let mut removed = Vec::new();
    for key in remove {
        match mapping.own_entries().position(|(k, _)| k.as_str() == Some(key)) {
            Some(position) => removed.push(position),
            None => return Err(refuse(mapping, &format!("has no key `{key}` of its own"))),
        }
    }
    if mapping.is_flow() {
        if mapping.is_empty() && lines::fills_block(&page, mapping) {
            return lines::fill(drafts, &page, mapping, insert, &layout);
        }
        let texts: Vec<flow::New<'_>> = insert.iter().map(|(k, v)| flow::New::Entry(k, v)).collect();
        return flow::change(drafts, &page, mapping, &removed, &[], &texts, &layout);
    }
    let parts = block_entries(&page, mapping)?;
    let cut = Cut { parts: &parts, remove: &removed, empty: "{}", refill: !insert.is_empty() };
    lines::cut(drafts, &page, mapping, &cut)?;
    if insert.is_empty() {
        return Ok(());
    }
    let indent = page.indent_of(mapping, mapping.bytes().start)?;
    let Some(last) = parts.last() else { return Err(refuse(mapping, "has no entry")) };
    page.check_rest(mapping, last.end)?;
    let end = page.end_of_deeper_comments(last.end, indent.len());
    for (key, value) in insert {
        let text = render::entry_lines(key, value, &indent, &layout);
        lines::insert_after(drafts, &page, mapping, end, depth(mapping) + 1, &text)?;
    }
    Ok(())
}

/// Adds an item at the end of a sequence.
pub fn append_item(drafts: &mut Drafts<'_>, sequence: &Node, value: &Value) -> Result<(), Refusal> {
    change_items(drafts, sequence, &Items { append: vec![value.clone()], ..Items::default() })
}

/// Takes away items of a sequence; without any item left, it is `[]`.
pub fn remove_items(drafts: &mut Drafts<'_>, sequence: &Node, positions: &[usize]) -> Result<(), Refusal> {
    change_items(drafts, sequence, &Items { remove: positions.to_vec(), ..Items::default() })
}

/// Takes away items of the sequence that is the value of a mapping's key, and the key with the last of them.
pub fn remove_items_or_entry(
    drafts: &mut Drafts<'_>,
    mapping: &Node,
    key: &str,
    positions: &[usize],
) -> Result<(), Refusal> {
    let Some((_, sequence)) = own_entry(mapping, key) else {
        return Err(refuse(mapping, &format!("has no key `{key}` of its own")));
    };
    let all = (0..sequence.len()).all(|i| positions.contains(&i));
    if all { remove_entry(drafts, mapping, key) } else { remove_items(drafts, &sequence, positions) }
}

/// Takes away, replaces and adds items of one sequence at once.
pub fn change_items(drafts: &mut Drafts<'_>, sequence: &Node, items: &Items) -> Result<(), Refusal> {
    let page = Page::open(drafts, sequence)?;
    if sequence.alias_place().is_some() {
        return Err(refuse(sequence, "is reached by an alias; change it where it is written"));
    }
    if !sequence.is_sequence() {
        return Err(refuse(sequence, "is not a list"));
    }
    let positions = items.remove.iter().chain(items.replace.iter().map(|(position, _)| position));
    if positions.into_iter().any(|position| *position >= sequence.len()) {
        return Err(refuse(sequence, "is shorter than it was"));
    }
    let layout = Layout::of(sequence);
    if sequence.is_flow() {
        let added: Vec<flow::New<'_>> = items.append.iter().map(flow::New::Item).collect();
        return flow::change(drafts, &page, sequence, &items.remove, &items.replace, &added, &layout);
    }
    let parts = block_items(&page, sequence)?;
    let cut = Cut { parts: &parts, remove: &items.remove, empty: "[]", refill: !items.append.is_empty() };
    lines::cut(drafts, &page, sequence, &cut)?;
    let indent = page.indent_of(sequence, sequence.bytes().start)?;
    for (position, value) in &items.replace {
        let (Some(part), Some(node)) = (parts.get(*position), sequence.item(*position)) else { continue };
        replace_block_item(drafts, &page, &node, part, value, &indent, &layout)?;
    }
    let Some(last) = parts.last() else { return Err(refuse(sequence, "has no item")) };
    for value in &items.append {
        let text = render::item_lines(value, &indent, &layout);
        lines::insert_after(drafts, &page, sequence, last.end, depth(sequence) + 1, &text)?;
    }
    Ok(())
}

fn replace_block_item(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    part: &Range<usize>,
    value: &Value,
    indent: &str,
    layout: &Layout,
) -> Result<(), Refusal> {
    let text = render::item_lines(value, indent, layout);
    let text = text.strip_prefix(indent).unwrap_or(&text);
    let comments = page.comments(part.clone(), &lines::scalars(page, node));
    if !comments.is_empty() {
        return Err(refuse(node, "holds comments that the change would lose"));
    }
    page.check_rest(node, part.end)?;
    drafts.replace(&page.path, part.clone(), text)
}

/// Another value for a key that is there, of whatever kind the old and the new are.
fn replace_value(
    drafts: &mut Drafts<'_>,
    mapping: &Node,
    key: &Node,
    old: &Node,
    value: &Value,
) -> Result<(), Refusal> {
    let page = Page::open(drafts, mapping)?;
    let layout = Layout::of(mapping);
    if old.is_templated() {
        return Err(refuse(old, "is filled in by a template"));
    }
    let range = written(&page, old);
    let colon = page.colon(key)?;
    let between = page.slice(colon..range.start);
    let in_flow = mapping.is_flow();
    if !page.comments(colon..range.end, &lines::scalars(&page, old)).is_empty() {
        return Err(refuse(old, "holds comments that the change would lose"));
    }
    if !between.trim().is_empty() {
        return Err(refuse(old, "has an anchor or a tag; change it by hand"));
    }
    let text = if in_flow {
        let space = if between.is_empty() && !layout.json { " " } else { between };
        let indent = page.line_indent(key.bytes().start);
        format!("{space}{}", render::flow(value, &indent, &layout))
    } else {
        page.check_rest(old, range.end)?;
        let indent = page.indent_of(mapping, mapping.bytes().start)?;
        render::after_colon(value, &indent, &layout)
    };
    drafts.replace(&page.path, colon..range.end, text)
}

/// `key:` with nothing behind it.
fn fill_absent(drafts: &mut Drafts<'_>, page: &Page, node: &Node, text: &str) -> Result<(), Refusal> {
    let at = node.bytes().start;
    let after = page.slice(at..page.line_end(at)).trim_start();
    let in_flow = is_in_flow(node) && after.starts_with([',', '}', ']']);
    if !page.slice(0..at).ends_with([':', '-']) || !(after.is_empty() || after.starts_with('#') || in_flow) {
        return Err(refuse(node, "has no value, and an anchor or a tag; change it by hand"));
    }
    drafts.insert_once(&page.path, at, depth(node), format!(" {text}"))
}

/// A mapping's own entry, merged ones not among them.
pub fn own_entry(mapping: &Node, key: &str) -> Option<(Node, Node)> {
    mapping.own_entries().find(|(k, _)| k.as_str() == Some(key) && k.alias_place().is_none())
}

/// How many collections the node stands in.
fn depth(node: &Node) -> usize {
    let mut depth = 0;
    let mut at = node.parent();
    while let Some(node) = at {
        depth += 1;
        at = node.parent();
    }
    depth
}

fn is_in_flow(node: &Node) -> bool {
    node.is_json() || node.parent().is_some_and(|parent| parent.is_flow())
}

/// The bytes that a value takes where it stands: of the alias, where it is one.
fn written(page: &Page, node: &Node) -> Range<usize> {
    match node.alias_bytes() {
        Some(range) => range,
        None => node.bytes().start..lines::end_of(page, node),
    }
}

/// Each entry of a block mapping from its key to the end of its value.
fn block_entries(page: &Page, mapping: &Node) -> Result<Vec<Range<usize>>, Refusal> {
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (key, value) in mapping.own_entries() {
        if key.alias_place().is_some() || !key.is_scalar() {
            return Err(refuse(mapping, "has a key that is an alias or a collection"));
        }
        let colon = page.colon(&key)?;
        let end = written(page, &value).end.max(colon);
        parts.push(key.bytes().start..end);
    }
    in_order(mapping, parts)
}

/// Each item of a block sequence from its dash to its end.
fn block_items(page: &Page, sequence: &Node) -> Result<Vec<Range<usize>>, Refusal> {
    let column = page.column(sequence.bytes().start);
    let mut parts: Vec<Range<usize>> = Vec::new();
    for item in sequence.items() {
        let range = written(page, &item);
        let from = parts.last().map_or(sequence.bytes().start, |part| part.end);
        let Some(dash) = page.dash_before(from, range.start, column) else {
            return Err(refuse(&item, "is written in a way that cannot be edited safely"));
        };
        if range.is_empty() && range.start != dash + 1 {
            return Err(refuse(&item, "is an empty item"));
        }
        parts.push(dash..range.end.max(dash + 1));
    }
    in_order(sequence, parts)
}

fn in_order(node: &Node, parts: Vec<Range<usize>>) -> Result<Vec<Range<usize>>, Refusal> {
    let sorted = parts.windows(2).all(|pair| matches!(pair, [a, b] if a.end <= b.start));
    if sorted { Ok(parts) } else { Err(refuse(node, "is written in a way that cannot be edited safely")) }
}

fn refuse(node: &Node, why: &str) -> Refusal {
    let place = node.alias_place().unwrap_or_else(|| node.place());
    let what = match node.route().last() {
        Some(sources::document::Step::Key(key)) => format!("`{key}` {why}"),
        _ => format!("this {why}"),
    };
    Refusal::at(&place, what)
}

/// The innermost node whose text holds this byte, aliases not followed.
pub fn written_at(root: &Node, at: usize) -> Option<Node> {
    let holds = |node: &Node| {
        let bytes = node.bytes();
        node.alias_place().is_none() && bytes.start <= at && at < bytes.end.max(bytes.start + 1)
    };
    let mut found = Some(root.clone()).filter(holds)?;
    loop {
        let inner = found
            .own_entries()
            .flat_map(|(key, value)| [key, value])
            .chain(found.items())
            .find(|child| holds(child));
        match inner {
            Some(inner) => found = inner,
            None => return Some(found),
        }
    }
}
