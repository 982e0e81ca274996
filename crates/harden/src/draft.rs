//! Texts while they are edited: replacements of byte ranges, collected against the text as it was read, and put in
//! all at once. What no edit names stays as it is, to the byte.
//!
//! Editors get their ranges from the tree of the same text ([`Drafts::documents`]) or from the places of facts
//! ([`Drafts::range_of`]), and never see each other's edits: two that touch the same bytes are an error, not a guess.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use confinement::{Place, Problem, Subject};
use sources::document::{Document, Limits, parse_bytes};
use techniques::remedy::Remedy;

/// One subject, and what is to be changed about it.
#[derive(Clone, Copy, Debug)]
pub struct Task<'a> {
    pub subject: &'a Subject,
    pub remedies: &'a [Remedy],
    /// All that is changed in this run: what several subjects share may be changed where each of them wants it.
    pub all: &'a [(&'a Subject, &'a [Remedy])],
}

impl<'a> Task<'a> {
    /// A task beside which nothing else is changed.
    pub fn alone(subject: &'a Subject, remedies: &'a [Remedy]) -> Task<'a> {
        Task { subject, remedies, all: &[] }
    }
}

/// Why a change cannot be written, with what to do instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}")]
pub struct Refusal {
    pub problem: Problem,
}

impl Refusal {
    pub fn at(place: &Place, message: impl Into<String>) -> Refusal {
        Refusal { problem: Problem::at(place, message) }
    }
    pub fn file(path: impl Into<Arc<str>>, message: impl Into<String>) -> Refusal {
        Refusal { problem: Problem::new(path, message) }
    }
}

/// Where texts come from.
pub trait Texts {
    /// The text of a file as it was read for the plan, without a byte order mark, or why it cannot be had.
    fn text(&self, path: &str) -> Result<Arc<str>, String>;
}

impl<F: Fn(&str) -> Result<Arc<str>, String>> Texts for F {
    fn text(&self, path: &str) -> Result<Arc<str>, String> {
        self(path)
    }
}

/// One replacement. An empty range inserts; an empty text deletes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    pub range: Range<usize>,
    pub text: String,
}

#[derive(Debug)]
struct Draft {
    text: Arc<str>,
    documents: Option<Vec<Document>>,
    line_break: Option<LineBreak>,
    edits: Vec<Asked>,
    /// Numbers of edits by where they start.
    by_start: HashMap<usize, Vec<usize>>,
}

impl Draft {
    fn at(&self, start: usize) -> impl Iterator<Item = &Asked> {
        let numbers = self.by_start.get(&start).map(Vec::as_slice).unwrap_or_default();
        numbers.iter().filter_map(|number| self.edits.get(*number))
    }

    fn push(&mut self, asked: Asked) {
        self.by_start.entry(asked.edit.range.start).or_default().push(self.edits.len());
        self.edits.push(asked);
    }

    fn truncate(&mut self, length: usize) {
        for asked in self.edits.drain(length.min(self.edits.len())..) {
            if let Some(numbers) = self.by_start.get_mut(&asked.edit.range.start) {
                numbers.retain(|number| *number < length);
            }
        }
    }
}

/// How a text's lines end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LineBreak {
    LineFeed,
    /// `\r\n`, at the first line at least.
    Both,
    /// There is a carriage return that no line feed follows.
    CarriageReturn,
}

impl LineBreak {
    fn of(text: &str) -> LineBreak {
        let bytes = text.as_bytes();
        if !bytes.contains(&b'\r') {
            return LineBreak::LineFeed;
        }
        let pairs = bytes.windows(2).filter(|pair| *pair == b"\r\n").count();
        if bytes.iter().filter(|byte| **byte == b'\r').count() > pairs {
            return LineBreak::CarriageReturn;
        }
        match text.split_once('\n') {
            Some((first, _)) if first.ends_with('\r') => LineBreak::Both,
            _ => LineBreak::LineFeed,
        }
    }
}

/// An edit, and how deep in the document what it inserts stands.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    edit: Edit,
    depth: usize,
}

/// A file before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edited {
    pub path: Arc<str>,
    pub before: Arc<str>,
    pub after: Arc<str>,
}

/// All texts of one run that are being edited.
pub struct Drafts<'a> {
    texts: &'a dyn Texts,
    files: BTreeMap<Arc<str>, Draft>,
}

/// The state of [`Drafts`] that [`Drafts::roll_back`] returns to: how many edits each file had.
#[derive(Clone, Debug)]
pub struct Mark(BTreeMap<Arc<str>, usize>);

impl<'a> Drafts<'a> {
    pub fn new(texts: &'a dyn Texts) -> Drafts<'a> {
        Drafts { texts, files: BTreeMap::new() }
    }

    fn draft(&mut self, path: &str) -> Result<&mut Draft, Refusal> {
        if !self.files.contains_key(path) {
            let text = self.texts.text(path).map_err(|why| Refusal::file(path, why))?;
            self.files.insert(
                path.into(),
                Draft {
                    text,
                    documents: None,
                    line_break: None,
                    edits: Vec::new(),
                    by_start: HashMap::new(),
                },
            );
        }
        // Put there just now, where it was not.
        self.files.get_mut(path).ok_or_else(|| Refusal::file(path, "the file is not open"))
    }

    /// The text as it was read: what ranges count in.
    pub fn text(&mut self, path: &str) -> Result<Arc<str>, Refusal> {
        Ok(self.draft(path)?.text.clone())
    }

    /// How the text's lines end.
    pub fn line_break(&mut self, path: &str) -> Result<LineBreak, Refusal> {
        let draft = self.draft(path)?;
        Ok(*draft.line_break.get_or_insert_with(|| LineBreak::of(&draft.text)))
    }

    /// The documents of a YAML or JSON file, parsed once. A file with an unreadable document is refused: what
    /// cannot be read cannot be edited safely.
    pub fn documents(&mut self, path: &str) -> Result<&[Document], Refusal> {
        let name: Arc<str> = path.into();
        let draft = self.draft(path)?;
        if draft.documents.is_none() {
            let mut documents = Vec::new();
            for result in parse_bytes(draft.text.as_bytes(), &name, &Limits::default()) {
                documents.push(result.map_err(|error| Refusal { problem: error.problem() })?);
            }
            draft.documents = Some(documents);
        }
        Ok(draft.documents.as_deref().unwrap_or_default())
    }

    /// The bytes that a place of this file covers, at the length it has.
    pub fn range_of(&mut self, place: &Place) -> Result<Range<usize>, Refusal> {
        let text = self.text(&place.path)?;
        range_in(&text, place).ok_or_else(|| Refusal::at(place, "the file is not as it was read"))
    }

    pub fn replace(
        &mut self,
        path: &str,
        range: Range<usize>,
        text: impl Into<String>,
    ) -> Result<(), Refusal> {
        let is_insertion = range.is_empty();
        self.ask(path, Asked { edit: Edit { range, text: text.into() }, depth: 0 }, !is_insertion)
    }

    fn ask(&mut self, path: &str, asked: Asked, once: bool) -> Result<(), Refusal> {
        let draft = self.draft(path)?;
        if draft.text.get(asked.edit.range.clone()).is_none() {
            return Err(Refusal::file(path, "an edit is outside the text"));
        }
        // Two subjects that share a setting ask for one edit.
        if !once || !draft.at(asked.edit.range.start).any(|earlier| *earlier == asked) {
            draft.push(asked);
        }
        Ok(())
    }

    pub fn insert(&mut self, path: &str, at: usize, text: impl Into<String>) -> Result<(), Refusal> {
        self.replace(path, at..at, text)
    }

    /// Inserts what stands `depth` levels deep in the document, once however often it is asked for. Where a nested
    /// collection and the one around it end at the same place, what is added to the inner one comes first.
    pub fn insert_once(
        &mut self,
        path: &str,
        at: usize,
        depth: usize,
        text: impl Into<String>,
    ) -> Result<(), Refusal> {
        self.ask(path, Asked { edit: Edit { range: at..at, text: text.into() }, depth }, true)
    }

    /// What was inserted at a place so far.
    pub fn insertions(&self, path: &str, at: usize) -> impl Iterator<Item = &str> {
        let edits = self.files.get(path).into_iter().flat_map(move |draft| draft.at(at));
        edits.filter(|asked| asked.edit.range.is_empty()).map(|asked| asked.edit.text.as_str())
    }

    /// The state to come back to when a subject's edits turn out not to be possible.
    pub fn mark(&self) -> Mark {
        Mark(self.files.iter().map(|(path, draft)| (path.clone(), draft.edits.len())).collect())
    }

    /// The edits made after a mark.
    pub fn since(&self, mark: &Mark) -> Vec<(Arc<str>, Edit)> {
        let mut edits = Vec::new();
        for (path, draft) in &self.files {
            let from = mark.0.get(path).copied().unwrap_or(0);
            let new = draft.edits.get(from..).unwrap_or_default();
            edits.extend(new.iter().map(|asked| (path.clone(), asked.edit.clone())));
        }
        edits
    }

    pub fn roll_back(&mut self, mark: &Mark) {
        for (path, draft) in &mut self.files {
            draft.truncate(mark.0.get(path).copied().unwrap_or(0));
        }
    }

    /// The edited texts: files that no edit changes are not among them. Edits that overlap are an error.
    pub fn finish(&self) -> Result<Vec<Edited>, Refusal> {
        let mut done = Vec::new();
        for (path, draft) in &self.files {
            if draft.edits.is_empty() {
                continue;
            }
            let mut asked = draft.edits.clone();
            asked.sort_by_key(|a| std::cmp::Reverse(a.depth));
            let edits: Vec<Edit> = asked.into_iter().map(|a| a.edit).collect();
            let after = put_in(&draft.text, &edits).ok_or_else(|| {
                Refusal::file(
                    path.clone(),
                    "two changes touch the same words; make one of them by hand first",
                )
            })?;
            if *after != *draft.text {
                done.push(Edited { path: path.clone(), before: draft.text.clone(), after: after.into() });
            }
        }
        Ok(done)
    }
}

/// The text with all edits made; `None` where two overlap. Insertions at one place keep their order.
pub fn put_in(text: &str, edits: &[Edit]) -> Option<String> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|edit| (edit.range.start, edit.range.end));
    let mut out = String::with_capacity(text.len() + 256);
    let mut at = 0;
    for edit in sorted {
        out.push_str(text.get(at..edit.range.start)?);
        out.push_str(&edit.text);
        at = edit.range.end;
    }
    out.push_str(text.get(at..)?);
    Some(out)
}

/// Lines and columns count from 1, columns and the length in characters.
fn range_in(text: &str, place: &Place) -> Option<Range<usize>> {
    let mut start = 0;
    for _ in 1..place.line {
        start += text.get(start..)?.find('\n')? + 1;
    }
    let mut indices = text.get(start..)?.char_indices().map(|(i, _)| start + i).chain([text.len()]);
    let from = indices.nth((place.column.max(1) - 1) as usize)?;
    let to = match place.length {
        0 => from,
        n => indices.nth(n as usize - 1)?,
    };
    Some(from..to)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(range: Range<usize>, text: &str) -> Edit {
        Edit { range, text: text.into() }
    }

    #[test]
    fn edits_are_made_against_the_text_as_it_was_read() {
        let edits = [edit(4..5, "X"), edit(0..1, ""), edit(2..2, "++"), edit(2..2, "--")];
        assert_eq!(put_in("abcdef", &edits).as_deref(), Some("b++--cdXf"));
    }

    #[test]
    fn edits_that_overlap_are_refused() {
        assert_eq!(put_in("abcdef", &[edit(0..3, "x"), edit(2..4, "y")]), None);
    }

    #[test]
    fn a_place_is_found_in_characters_and_not_in_bytes() {
        let place = Place::new(&"f".into(), 2, 3, 2);
        assert_eq!(range_in("one\nä-üß x\n", &place), Some(7..11).map(|_: Range<usize>| 7..11));
    }

    #[test]
    fn at_one_place_what_is_deeper_comes_first_and_once() {
        let read = |_: &str| Ok::<Arc<str>, String>("ab".into());
        let mut drafts = Drafts::new(&read);
        for (depth, text) in [(1, "1"), (3, "3"), (1, "2"), (1, "1")] {
            drafts.insert_once("f", 1, depth, text).unwrap();
        }
        assert_eq!(drafts.insertions("f", 1).collect::<Vec<_>>(), ["1", "3", "2"]);
        assert_eq!(&*drafts.finish().unwrap()[0].after, "a312b");
    }

    #[test]
    fn the_end_of_lines_is_known() {
        for (text, line_break) in [
            ("a\nb", LineBreak::LineFeed),
            ("", LineBreak::LineFeed),
            ("a\r\nb\n", LineBreak::Both),
            ("a\nb\r\n", LineBreak::LineFeed),
            ("a\rb\n", LineBreak::CarriageReturn),
            ("a\r\r\n", LineBreak::CarriageReturn),
            ("a\r\nb\r", LineBreak::CarriageReturn),
        ] {
            assert_eq!(LineBreak::of(text), line_break, "{text:?}");
        }
    }

    #[test]
    fn what_is_rolled_back_leaves_no_edit() {
        let read = |_: &str| Ok::<Arc<str>, String>("abc".into());
        let mut drafts = Drafts::new(&read);
        drafts.replace("f", 0..1, "x").unwrap();
        let mark = drafts.mark();
        drafts.replace("f", 1..2, "y").unwrap();
        drafts.replace("g", 1..2, "y").unwrap();
        drafts.insert_once("f", 1, 2, "z").unwrap();
        drafts.roll_back(&mark);
        assert_eq!(drafts.insertions("f", 1).count(), 0);
        let done = drafts.finish().unwrap();
        assert_eq!(done.len(), 1);
        assert_eq!(&*done[0].after, "xbc");
    }
}
