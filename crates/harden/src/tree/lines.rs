//! Block collections: what stands on lines of its own.

use std::ops::Range;
use std::sync::Arc;

use sources::document::{Node, Style};

use super::render::{self, Layout, Value};
use super::{depth, refuse};
use crate::draft::{Drafts, LineBreak, Refusal};

/// The text that nodes and edits count in.
pub(super) struct Page {
    pub(super) path: Arc<str>,
    text: Arc<str>,
    newline: &'static str,
}

impl Page {
    pub(super) fn open(drafts: &mut Drafts<'_>, node: &Node) -> Result<Page, Refusal> {
        let path = node.place().path;
        let text = drafts.text(&path)?;
        if *text != *node.file_text() {
            return Err(Refusal::at(&node.place(), "the file is not as it was read"));
        }
        let newline = match drafts.line_break(&path)? {
            LineBreak::LineFeed => "\n",
            LineBreak::Both => "\r\n",
            LineBreak::CarriageReturn => {
                let message =
                    "a carriage return without a line feed; save the file with one kind of line ending";
                return Err(Refusal::file(path, message));
            }
        };
        Ok(Page { path, text, newline })
    }

    pub(super) fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or("")
    }

    pub(super) fn line_start(&self, at: usize) -> usize {
        self.slice(0..at).rfind('\n').map_or(0, |newline| newline + 1)
    }

    /// Where the line's break begins, or the text ends.
    pub(super) fn line_end(&self, at: usize) -> usize {
        let rest = self.slice(at..self.text.len());
        let length = rest.find('\n').unwrap_or(rest.len());
        let line = rest.get(..length).unwrap_or("");
        at + line.strip_suffix('\r').unwrap_or(line).len()
    }

    /// Where the next line starts; `None` where the text ends without a line break.
    fn next_line(&self, at: usize) -> Option<usize> {
        self.slice(at..self.text.len()).find('\n').map(|newline| at + newline + 1)
    }

    /// In bytes, from 0.
    pub(super) fn column(&self, at: usize) -> usize {
        at - self.line_start(at)
    }

    /// The white space at the start of the line.
    pub(super) fn line_indent(&self, at: usize) -> String {
        let line = self.slice(self.line_start(at)..at);
        line.get(..line.len() - line.trim_start().len()).unwrap_or("").to_owned()
    }

    /// Spaces up to what stands first on its line, but for the dashes of the sequences it begins.
    pub(super) fn indent_of(&self, node: &Node, at: usize) -> Result<String, Refusal> {
        let before = self.slice(self.line_start(at)..at);
        if before.chars().any(|c| c != ' ' && c != '-') || before.starts_with("--") || before.contains("--") {
            return Err(refuse(node, "does not begin on a line of its own"));
        }
        Ok(" ".repeat(before.len()))
    }

    /// Behind the colon of a block mapping's or flow mapping's key.
    pub(super) fn colon(&self, key: &Node) -> Result<usize, Refusal> {
        let end = key.bytes().end;
        let rest = self.slice(end..self.line_end(end));
        let blank = rest.len() - rest.trim_start().len();
        if rest.trim_start().starts_with(':') {
            return Ok(end + blank + 1);
        }
        Err(refuse(key, "is a key without a colon beside it"))
    }

    /// Behind the end of an edited value, only a comment may follow on its line.
    pub(super) fn check_rest(&self, node: &Node, end: usize) -> Result<(), Refusal> {
        let rest = self.slice(end..self.line_end(end));
        let comment = rest.trim_start();
        if comment.is_empty() || (comment.starts_with('#') && comment.len() < rest.len()) {
            return Ok(());
        }
        Err(refuse(node, "shares its line with something else, an anchor or a tag perhaps"))
    }

    /// The dash of the item that starts at `start`, after `from`, at the sequence's column.
    pub(super) fn dash_before(&self, from: usize, start: usize, column: usize) -> Option<usize> {
        let mut at = start;
        loop {
            let line = self.line_start(at);
            let dash = line + column;
            if self.slice(dash..dash + 1) == "-" && dash < start && dash >= from {
                return Some(dash);
            }
            if line <= from || line == 0 {
                return None;
            }
            at = line - 1;
        }
    }

    /// The comments of a range, with those that go on behind its end, not looking into scalars.
    pub(super) fn comments(&self, range: Range<usize>, scalars: &[Range<usize>]) -> Vec<Range<usize>> {
        let mut found = Vec::new();
        let mut at = range.start;
        let bytes = self.text.as_bytes();
        while at < range.end {
            if let Some(scalar) = scalars.iter().find(|s| s.contains(&at)) {
                at = scalar.end;
                continue;
            }
            let after_blank = at == 0 || bytes.get(at - 1).is_some_and(u8::is_ascii_whitespace);
            if bytes.get(at) == Some(&b'#') && after_blank {
                let end = self.line_end(at);
                found.push(at..end);
                at = end;
            } else {
                at += 1;
            }
        }
        found
    }

    /// The end of the comments on lines right below `end` that stand deeper than an indentation: they are about what
    /// is above them.
    pub(super) fn end_of_deeper_comments(&self, end: usize, indent: usize) -> usize {
        let mut end = end;
        while let Some(start) = self.next_line(end) {
            let line = self.slice(start..self.line_end(start));
            let deep = line.len() - line.trim_start_matches(' ').len();
            if deep <= indent || !line.trim_start().starts_with('#') {
                break;
            }
            end = start + line.trim_end().len();
        }
        end
    }

    /// The comment behind the end of a value on its line.
    fn trailing_comment(&self, end: usize) -> Option<Range<usize>> {
        let line_end = self.line_end(end);
        let rest = self.slice(end..line_end);
        let comment = rest.trim_start();
        comment.starts_with('#').then(|| line_end - comment.len()..line_end)
    }
}

/// Where the scalars of a value stand; of block scalars the lines of content. What an alias names is not among them.
pub(super) fn scalars(page: &Page, node: &Node) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut open = vec![node.clone()];
    while let Some(node) = open.pop() {
        if node.alias_place().is_some() {
            continue;
        }
        if node.is_scalar() {
            let range = node.bytes().start..end_of(page, &node);
            let is_block = matches!(node.style(), Some(Style::Literal | Style::Folded));
            let start = if is_block { page.line_end(range.start).min(range.end) } else { range.start };
            if start < range.end {
                found.push(start..range.end);
            }
            continue;
        }
        for (key, value) in node.own_entries() {
            open.push(key);
            open.push(value);
        }
        open.extend(node.items());
    }
    found
}

/// Where a value ends. A block scalar ends with its last line of content; one that keeps its blank lines (`|+`) with
/// the last of those.
pub(super) fn end_of(page: &Page, node: &Node) -> usize {
    if let Some(alias) = node.alias_bytes() {
        return alias.end;
    }
    let bytes = node.bytes();
    if node.is_flow() {
        return bytes.end;
    }
    if node.is_mapping() || node.is_sequence() {
        let last = node.own_entries().last().map(|(key, value)| (Some(key), value));
        let last = last.or_else(|| node.items().last().map(|item| (None, item)));
        return match last {
            Some((key, value)) => {
                let key_end = key.and_then(|key| page.colon(&key).ok()).unwrap_or(bytes.start);
                end_of(page, &value).max(key_end)
            }
            None => bytes.end,
        };
    }
    match node.style() {
        Some(Style::Literal | Style::Folded) => block_scalar_end(page, &bytes),
        _ => bytes.end,
    }
}

fn block_scalar_end(page: &Page, bytes: &Range<usize>) -> usize {
    let header_end = page.line_end(bytes.start);
    let header = page.slice(bytes.start..header_end);
    let header = header.split_whitespace().next().unwrap_or("");
    let (mut end, mut indent) = (header_end, None);
    let mut at = page.next_line(bytes.start);
    let mut blank_end = None;
    while let Some(start) = at {
        let line_end = page.line_end(start);
        let line = page.slice(start..line_end);
        let deep = line.len() - line.trim_start_matches(' ').len();
        if line.trim().is_empty() {
            if start < page.text.len() {
                blank_end = Some(line_end);
            }
        } else if start >= bytes.end || deep < *indent.get_or_insert(deep) {
            break;
        } else {
            end = line_end;
            blank_end = None;
        }
        at = page.next_line(start);
    }
    match blank_end {
        Some(blank_end) if header.contains('+') => blank_end,
        // A text of nothing but blank lines has its end where the parser says.
        _ => end,
    }
}

/// The header of the block scalar whose last line ends here.
fn block_scalar_that_ends<'p>(page: &'p Page, node: &Node, at: usize) -> Option<&'p str> {
    let mut open = vec![node.document_root()];
    while let Some(node) = open.pop() {
        if matches!(node.style(), Some(Style::Literal | Style::Folded)) && end_of(page, &node) == at {
            let start = node.bytes().start;
            return page.slice(start..page.line_end(start)).split_whitespace().next();
        }
        let children = node.own_entries().map(|(_, value)| value).chain(node.items());
        open.extend(children.filter(|child| child.alias_place().is_none()));
    }
    None
}

/// A new line (or several, without the last line break) behind the line that ends at `end`.
pub(super) fn insert_after(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    end: usize,
    depth: usize,
    lines: &str,
) -> Result<(), Refusal> {
    page.check_rest(node, end)?;
    let newline = page.newline;
    match page.next_line(end) {
        Some(at) => drafts.insert_once(&page.path, at, depth, format!("{lines}{newline}")),
        // Without a line break at the end, the last block scalar has none either; it would get one.
        None if block_scalar_that_ends(page, node, end).is_some() => {
            Err(refuse(node, "ends in a block of text without a line break; add the line break first"))
        }
        None => drafts.insert_once(&page.path, page.text.len(), depth, format!("{newline}{lines}")),
    }
}

/// Whether entries can be put below the line of this null or `{}`.
pub(super) fn fills_block(page: &Page, node: &Node) -> bool {
    let parent = node.parent().filter(|parent| parent.is_mapping() && !parent.is_flow());
    let inside = page.slice(node.bytes());
    let inside = inside.trim_start_matches('{').trim_end_matches('}');
    parent.is_some() && inside.trim().is_empty() && page.check_rest(node, node.bytes().end).is_ok()
}

/// Entries for a null or `{}`: on lines below its key, where that is the value of a block mapping.
pub(super) fn fill(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    insert: &[(&str, Value)],
    layout: &Layout,
) -> Result<(), Refusal> {
    let range = node.bytes();
    if node.tag().is_some() {
        return Err(refuse(node, "has a tag; change it by hand"));
    }
    let Some(parent) = node.parent() else {
        return Err(refuse(node, "is an empty document"));
    };
    if layout.json || parent.is_flow() {
        let indent = page.line_indent(range.start);
        let entries = insert.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        let text = render::flow(&Value::Map(entries), &indent, layout);
        if range.is_empty() {
            return super::fill_absent(drafts, page, node, &text);
        }
        return drafts.replace(&page.path, range, text);
    }
    let key = parent.own_entries().find(|(_, value)| value.is_same(node) && value.alias_place().is_none());
    let Some((key, _)) = key else { return Err(refuse(node, "is an empty item")) };
    let colon = page.colon(&key)?;
    page.check_rest(node, range.end.max(colon))?;
    // An anchor before the value may stay; anything on another line is too unusual to touch.
    let between = page.slice(colon..range.start);
    if between.contains('\n') {
        return Err(refuse(node, "does not stand beside its key"));
    }
    if !range.is_empty() {
        let blank = between.len() - between.trim_end().len();
        drafts.replace(&page.path, range.start - blank..range.end, "")?;
    }
    let indent = page.indent_of(&parent, parent.bytes().start)?;
    let indent = format!("{indent}{}", layout.unit);
    for (key, value) in insert {
        let text = render::entry_lines(key, value, &indent, layout);
        insert_after(drafts, page, node, range.end.max(colon), depth(node) + 1, &text)?;
    }
    Ok(())
}

/// Which parts of a block collection go.
pub(super) struct Cut<'a> {
    pub(super) parts: &'a [Range<usize>],
    pub(super) remove: &'a [usize],
    /// What is left where all parts go.
    pub(super) empty: &'a str,
    /// Something is put in their place.
    pub(super) refill: bool,
}

pub(super) fn cut(drafts: &mut Drafts<'_>, page: &Page, node: &Node, cut: &Cut<'_>) -> Result<(), Refusal> {
    if cut.remove.is_empty() {
        return Ok(());
    }
    let indent = page.indent_of(node, node.bytes().start)?;
    let scalars = scalars(page, node);
    let goes = |i: usize| cut.remove.contains(&i);
    let all = (0..cut.parts.len()).all(goes);
    let on_dash = page.slice(page.line_start(node.bytes().start)..node.bytes().start).contains('-');
    if all && (!cut.refill || on_dash) {
        if cut.refill {
            return Err(refuse(node, "would be replaced as a whole; change it by hand"));
        }
        return empty(drafts, page, node, cut, &indent, &scalars);
    }
    let mut gone: Vec<(Range<usize>, String)> = Vec::new();
    let mut at_end_of_text = false;
    let mut skip = 0;
    if on_dash && goes(0) {
        skip = (0..cut.parts.len()).take_while(|i| goes(*i)).count();
        cut_on_dash_line(drafts, page, node, cut.parts.split_at(skip), &indent, &scalars)?;
    }
    for (_, part) in cut.parts.iter().enumerate().skip(skip).filter(|(i, _)| goes(*i)) {
        page.check_rest(node, part.end)?;
        let comments = comments_of(page, part.clone(), &scalars);
        let line_start = page.line_start(part.start);
        let text: String = comments.iter().map(|c| format!("{indent}{c}{}", page.newline)).collect();
        let mut end = page.next_line(part.end);
        // Blank lines would become part of a text that keeps them (`|+`).
        let above = gone.last().filter(|(last, text)| last.end == line_start && text.is_empty());
        let above = before_break(page, above.map_or(line_start, |(last, _)| last.start));
        let refilled = cut.refill && cut.parts.last() == Some(part);
        if text.is_empty()
            && !refilled
            && block_scalar_that_ends(page, node, above).is_some_and(|h| h.contains('+'))
        {
            while let Some(at) = end.filter(|at| *at < page.text.len())
                && page.slice(at..page.line_end(at)).trim().is_empty()
            {
                end = page.next_line(at);
            }
        }
        let line = (line_start..end.unwrap_or(page.text.len()), text);
        match gone.last_mut() {
            Some(last) if last.0.end == line.0.start => {
                last.0.end = line.0.end;
                last.1.push_str(&line.1);
            }
            _ => gone.push(line),
        }
        if end.is_none() {
            at_end_of_text = true;
        }
    }
    if at_end_of_text {
        end_without_break(page, node, &mut gone, cut.refill);
    }
    for (range, text) in gone {
        drafts.replace(&page.path, range, text)?;
    }
    Ok(())
}

/// The last line goes from a text that ends without a line break, and the text shall end so again.
fn end_without_break(page: &Page, node: &Node, gone: &mut Vec<(Range<usize>, String)>, refill: bool) {
    let Some((mut range, mut text)) = gone.pop() else { return };
    let mut start = range.start;
    loop {
        if let Some(line) = text.strip_suffix(page.newline) {
            text.truncate(line.len());
            break;
        }
        let before = before_break(page, start);
        if !refill && block_scalar_that_ends(page, node, before).is_some() {
            break;
        }
        start = before;
        range.start = start;
        let line = page.line_start(before);
        match gone.pop() {
            Some((last, earlier)) if last.end > line => {
                start = last.start;
                range.start = start;
                text = earlier;
                continue;
            }
            other => gone.extend(other),
        }
        if refill || before == 0 || !page.slice(line..before).trim().is_empty() {
            break;
        }
        start = line;
    }
    gone.push((range, text));
}

fn before_break(page: &Page, line_start: usize) -> usize {
    let before = page.slice(0..line_start);
    before.strip_suffix("\r\n").or_else(|| before.strip_suffix('\n')).map_or(0, str::len)
}

/// The comments in a part and behind it.
fn comments_of<'p>(page: &'p Page, part: Range<usize>, scalars: &[Range<usize>]) -> Vec<&'p str> {
    let trailing = page.trailing_comment(part.end);
    page.comments(part, scalars).into_iter().chain(trailing).map(|comment| page.slice(comment)).collect()
}

/// The first parts of a collection that begins behind a dash: the next one moves up, or a comment takes their place.
fn cut_on_dash_line(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    (gone, kept): (&[Range<usize>], &[Range<usize>]),
    indent: &str,
    scalars: &[Range<usize>],
) -> Result<(), Refusal> {
    let (Some(first), Some(last), Some(next)) = (gone.first(), gone.last(), kept.first()) else {
        return Err(refuse(node, "would be empty"));
    };
    page.check_rest(node, last.end)?;
    let comments = comments_of(page, first.start..last.end, scalars);
    if comments.is_empty() {
        let between = page.slice(last.end..next.start);
        let blank = between.len() - between.trim_start().len();
        return drafts.replace(&page.path, first.start..last.end + blank, "");
    }
    let text = comments.join(&format!("{}{indent}", page.newline));
    drafts.replace(&page.path, first.start..page.line_end(last.end), text)
}

/// Nothing is left: `{}` or `[]`, with the comments below.
fn empty(
    drafts: &mut Drafts<'_>,
    page: &Page,
    node: &Node,
    cut: &Cut<'_>,
    indent: &str,
    scalars: &[Range<usize>],
) -> Result<(), Refusal> {
    let (Some(first), Some(last)) = (cut.parts.first(), cut.parts.last()) else { return Ok(()) };
    page.check_rest(node, last.end)?;
    // A bracket must stand deeper than the key it belongs to; dashes need not.
    let beside_key = node
        .parent()
        .is_some_and(|p| p.is_mapping() && page.column(p.bytes().start) == page.column(first.start));
    let space = if beside_key { "  " } else { "" };
    let mut text = format!("{space}{}", cut.empty);
    let inside = page.comments(first.start..last.end, scalars);
    // The one behind the end stays beside the brackets, or on a line of its own behind the others.
    let behind = page.trailing_comment(last.end).filter(|_| !inside.is_empty());
    let end = behind.as_ref().map_or(last.end, |comment| comment.end);
    for comment in inside.into_iter().chain(behind) {
        text = format!("{text}{}{indent}{}", page.newline, page.slice(comment));
    }
    drafts.replace(&page.path, first.start..end, text)
}
