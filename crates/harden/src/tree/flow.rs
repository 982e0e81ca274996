//! Flow collections, `[…]` and `{…}`, and all of JSON.

use std::ops::Range;

use sources::document::Node;

use super::lines::{Page, scalars};
use super::render::{self, Layout, Value};
use super::{depth, refuse, written};
use crate::draft::{Drafts, Refusal};

/// Something to add.
pub(super) enum New<'a> {
    Item(&'a Value),
    Entry(&'a str, &'a Value),
}

/// A child, and where the comma behind it stands.
struct Child {
    range: Range<usize>,
    comma: Option<usize>,
}

pub(super) fn change(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    remove: &[usize],
    replace: &[(usize, Value)],
    add: &[New<'_>],
    layout: &Layout,
) -> Result<(), Refusal> {
    let children = children(page, node)?;
    let goes = |i: usize| remove.contains(&i);
    let last_kept = (0..children.len()).rev().find(|i| !goes(*i));
    let mut add = add.iter();
    let mut removed = Vec::new();
    for (i, value) in replace.iter().filter(|(i, _)| !goes(*i)) {
        let Some(child) = children.get(*i) else { continue };
        check_comments(page, node, child)?;
        let text = render::flow(value, &page.line_indent(child.range.start), layout);
        drafts.replace(&page.path, child.range.clone(), text)?;
    }
    // Where everything goes and something comes, the new takes the place of the first.
    let (anchor, taken) = match (last_kept, children.first()) {
        (None, Some(first)) => match add.next() {
            Some(new) => {
                check_comments(page, node, first)?;
                let text = render_new(new, &page.line_indent(first.range.start), layout, node);
                drafts.replace(&page.path, first.range.clone(), text)?;
                (Some(0), true)
            }
            None => (None, false),
        },
        (kept, _) => (kept, false),
    };
    let trailing = children.last().and_then(|last| last.comma).is_some();
    for (i, child) in children.iter().enumerate() {
        let keeps = !goes(i) || (taken && i == 0);
        if !keeps {
            check_comments(page, node, child)?;
            removed.push(around(page, node, child, anchor.is_none_or(|last| i > last)));
        } else if Some(i) == anchor && !trailing && add.len() == 0 {
            removed.extend(child.comma.map(|comma| comma..comma + 1));
        }
    }
    // In the order of the file, those that meet joined.
    removed.sort_by_key(|range| (range.start, range.end));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in removed {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    for range in joined {
        drafts.replace(&page.path, range, "")?;
    }
    for (n, new) in add.enumerate() {
        match anchor.and_then(|i| children.get(i)) {
            Some(child) => append(drafts, page, node, child, (n == 0, trailing), new, layout)?,
            None => into_empty(drafts, page, node, new, layout)?,
        }
    }
    Ok(())
}

/// What goes as a whole must not hold comments: there is no place for them.
fn check_comments(page: &Page, node: &Node, child: &Child) -> Result<(), Refusal> {
    if page.comments(child.range.clone(), &scalars(page, node)).is_empty() {
        return Ok(());
    }
    Err(refuse(node, "holds comments that the change would lose"))
}

/// The children with their commas. Anything else between them is refused: an anchor or a tag belongs to what
/// follows, and is not to be torn off.
fn children(page: &Page, node: &Node) -> Result<Vec<Child>, Refusal> {
    let bytes = node.bytes();
    let (left, right) = if node.is_mapping() { ('{', '}') } else { ('[', ']') };
    let source = page.slice(bytes.clone());
    if !source.starts_with(left) || !source.ends_with(right) || source.len() < 2 {
        return Err(refuse(node, "is written in a way that cannot be edited safely"));
    }
    let ranges: Vec<Range<usize>> = if node.is_mapping() {
        let mut ranges = Vec::new();
        for (key, value) in node.own_entries() {
            if key.alias_place().is_some() || !key.is_scalar() {
                return Err(refuse(node, "has a key that is an alias or a collection"));
            }
            let value = written(page, &value);
            ranges.push(key.bytes().start..value.end.max(key.bytes().end));
        }
        ranges
    } else {
        node.items().map(|item| written(page, &item)).collect()
    };
    let mut found = Vec::new();
    let mut at = bytes.start + 1;
    let close = bytes.end - 1;
    for (i, range) in ranges.iter().enumerate() {
        let before = strip_comments(page.slice(at..range.start));
        let next = ranges.get(i + 1).map_or(close, |next| next.start);
        let gap = strip_comments(page.slice(range.end..next));
        let commas = gap.matches(',').count();
        let only_commas = gap.chars().all(|c| c.is_whitespace() || c == ',');
        let is_last = i + 1 == ranges.len();
        if !before.trim().is_empty() || range.is_empty() || !only_commas || commas > 1 {
            return Err(refuse(node, "is written in a way that cannot be edited safely"));
        }
        let comma = gap.find(',').map(|offset| range.end + offset);
        if comma.is_none() && !is_last {
            return Err(refuse(node, "is written in a way that cannot be edited safely"));
        }
        if let Some(comma) = comma
            && page.slice(range.end..comma).contains('\n')
        {
            return Err(refuse(node, "has its commas at the start of lines"));
        }
        at = comma.map_or(range.end, |comma| comma + 1);
        found.push(Child { range: range.clone(), comma });
    }
    Ok(found)
}

/// The same text, comments blanked out byte by byte.
fn strip_comments(gap: &str) -> String {
    let mut out = String::with_capacity(gap.len());
    for (n, line) in gap.split_inclusive('\n').enumerate() {
        let is_comment = |at: &usize| match at.checked_sub(1).and_then(|before| line.as_bytes().get(before)) {
            Some(before) => before.is_ascii_whitespace(),
            None => n > 0,
        };
        let comment = line.match_indices('#').map(|(at, _)| at).find(is_comment);
        let keep = comment.unwrap_or(line.len());
        out.push_str(line.get(..keep).unwrap_or(""));
        out.extend(std::iter::repeat_n(' ', line.len() - keep));
    }
    out
}

/// What goes with a child: its comma, and its line or the blank beside it.
fn around(page: &Page, node: &Node, child: &Child, is_tail: bool) -> Range<usize> {
    let end = child.comma.map_or(child.range.end, |comma| comma + 1);
    let start = child.range.start;
    let line_start = page.line_start(start).max(node.bytes().start + 1);
    let before = page.slice(line_start..start);
    let after = page.slice(end..page.line_end(end));
    let rest = after.trim_start();
    let blank = after.len() - rest.len();
    let own_line = before.trim().is_empty() && page.line_start(start) > node.bytes().start;
    if own_line && rest.is_empty() {
        let next = page.slice(end..node.bytes().end).find('\n').map_or(end, |at| end + at + 1);
        return line_start..next;
    }
    let closes = end + blank + 1 >= node.bytes().end;
    if rest.is_empty() || closes || (is_tail && !rest.starts_with('#')) {
        return start - (before.len() - before.trim_end().len())..end;
    }
    start..end + blank
}

/// Puts a new child behind the last one that stays. A comma that is there already is used.
fn append(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    last: &Child,
    (is_first, trailing): (bool, bool),
    new: &New<'_>,
    layout: &Layout,
) -> Result<(), Refusal> {
    let line_start = page.line_start(last.range.start);
    let before = page.slice(line_start..last.range.start);
    let own_line = before.trim().is_empty() && line_start > node.bytes().start;
    let depth = depth(node) + 1;
    let text = render_new(new, &page.line_indent(last.range.start), layout, node);
    let text = match own_line {
        true => format!("{}{before}{text}", layout.newline),
        false if layout.json && layout.colon.is_empty() => text,
        false => format!(" {text}"),
    };
    let end = last.comma.map_or(last.range.end, |comma| comma + 1);
    let line_end = page.line_end(end);
    let comment = own_line && page.slice(end..line_end).trim_start().starts_with('#');
    let at = if comment { line_end } else { end };
    if drafts.insertions(&page.path, at).any(|earlier| earlier.trim_matches(',') == text) {
        return Ok(());
    }
    if trailing {
        return drafts.insert_once(&page.path, at, depth, format!("{text},"));
    }
    if last.comma.is_some() && is_first {
        return drafts.insert_once(&page.path, at, depth, text);
    }
    // A comma stands before the comment, and what is added behind it. What was added before takes its own comma.
    if comment && last.comma.is_none() && drafts.insertions(&page.path, at).next().is_none() {
        drafts.insert_once(&page.path, end, depth, ",")?;
        return drafts.insert_once(&page.path, at, depth, text);
    }
    drafts.insert_once(&page.path, at, depth, format!(",{text}"))
}

fn into_empty(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    new: &New<'_>,
    layout: &Layout,
) -> Result<(), Refusal> {
    let inside = node.bytes().start + 1..node.bytes().end - 1;
    if !page.slice(inside.clone()).trim().is_empty() {
        return Err(refuse(node, "is written in a way that cannot be edited safely"));
    }
    let depth = depth(node) + 1;
    let indent = page.line_indent(node.bytes().start);
    let deeper = format!("{indent}{}", layout.unit);
    let open = layout.json && if node.is_mapping() { layout.open } else { layout.open_lists };
    let earlier = drafts.insertions(&page.path, inside.start).next().is_some();
    let text = render_new(new, if open { &deeper } else { &indent }, layout, node);
    if drafts.insertions(&page.path, inside.start).any(|t| t.trim_start_matches(',').trim_start() == text) {
        return Ok(());
    }
    let comma = if earlier { "," } else { "" };
    let newline = layout.newline;
    if !inside.is_empty() {
        drafts.replace(&page.path, inside.clone(), "")?;
    }
    if !open {
        let space = if earlier && !(layout.json && layout.colon.is_empty()) { " " } else { "" };
        return drafts.insert_once(&page.path, inside.start, depth, format!("{comma}{space}{text}"));
    }
    drafts.insert_once(&page.path, inside.start, depth, format!("{comma}{newline}{deeper}{text}"))?;
    // Behind all that is put in, because it stands less deep.
    drafts.insert_once(&page.path, inside.start, depth - 1, format!("{newline}{indent}"))
}

/// The new child in the style of its neighbours: on one line where the last of them is.
fn render_new(new: &New<'_>, indent: &str, layout: &Layout, node: &Node) -> String {
    let neighbours = node.own_entries().map(|(_, value)| value).chain(node.items());
    let last = neighbours.filter(|n| !n.is_scalar() && !n.is_empty() && n.alias_place().is_none()).last();
    let closed = last.is_some_and(|last| !last.source().contains('\n'));
    // Quoted keys are JSON's, in a YAML file too.
    let quoted = node.own_entries().next().is_some_and(|(key, _)| key.is_quoted());
    let layout = &Layout {
        json: layout.json || quoted,
        open: layout.open && !closed,
        open_lists: layout.open_lists && !closed,
        ..layout.clone()
    };
    match new {
        New::Item(value) => render::flow(value, indent, layout),
        New::Entry(key, value) => render::flow_entry(key, value, indent, layout),
    }
}
