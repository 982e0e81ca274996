//! The syntax of systemd unit files, systemd.syntax(7), as Podman's generator reads it
//! (pkg/systemd/parser/unitfile.go): sections, `Key=Value` with continued lines, repeated keys, an empty value that
//! takes back those before it, words with quotes, and specifiers.

use std::ops::Range;
use std::sync::Arc;

use confinement::{Place, Problem};

use crate::options::UNKNOWN;
use crate::run::shell::Word;

/// One assignment.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
    /// Of the value, or of the key where the value is empty.
    pub(super) place: Place,
    /// The bytes of its lines, with the last one's end.
    pub(super) lines: Range<usize>,
    /// The parts of the value that stand in the text letter by letter: offset in the value, offset in the text, length.
    pieces: Vec<(usize, usize, usize)>,
}

impl Entry {
    /// The bytes of the text that hold a part of the value.
    pub(super) fn span(&self, from: usize, to: usize) -> Range<usize> {
        let at = |offset: usize, is_end: bool| {
            let piece = self.pieces.iter().rev().find(|(value, ..)| *value + usize::from(is_end) <= offset);
            piece.or(self.pieces.first()).map_or(self.lines.end, |(value, text, length)| {
                text + offset.saturating_sub(*value).min(*length)
            })
        };
        let start = at(from, false);
        start..at(to, to > from).max(start)
    }
}

#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    pub(super) entries: Vec<Entry>,
}

impl Unit {
    pub(super) fn parse(text: &str, path: &Arc<str>, problems: &mut Vec<Problem>) -> Unit {
        let mut unit = Unit::default();
        let mut section = String::new();
        let offset_of = |part: &str| (part.as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let trimmed = line.trim();
            let place = |column: usize, length: usize| {
                let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                Place::new(path, clamp(number + 1), clamp(column + 1), clamp(length))
            };
            let indent = line.chars().take_while(|c| c.is_whitespace()).count();
            if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
                continue;
            }
            if let Some(name) = trimmed.strip_prefix('[') {
                match name.strip_suffix(']') {
                    Some(name) => section = name.to_owned(),
                    None => problems.push(Problem::at(
                        &place(indent, trimmed.chars().count()),
                        "a section header ends with `]`",
                    )),
                }
                continue;
            }
            let Some((key, rest)) = line.split_once('=') else {
                let message = "neither a section, a comment nor KEY=VALUE";
                problems.push(Problem::at(&place(indent, trimmed.chars().count()), message));
                continue;
            };
            let start = rest.trim_start();
            let column = line.chars().count() - start.chars().count();
            let mut value = start.trim_end().to_owned();
            let first = value.chars().count();
            let mut pieces = vec![(0, offset_of(start), value.len())];
            let mut last_line = line;
            // A continued line goes on behind comments, with a blank in place of the backslash.
            while let Some(body) = value.strip_suffix('\\') {
                value = body.to_owned();
                let mut next = lines.next();
                while next.is_some_and(|(_, line)| line.trim_start().starts_with(['#', ';'])) {
                    next = lines.next();
                }
                if let Some((_, _, length)) = pieces.last_mut() {
                    *length -= 1;
                }
                let Some((_, line)) = next else { break };
                value.push(' ');
                pieces.push((value.len(), offset_of(line.trim()), line.trim().len()));
                value.push_str(line.trim());
                last_line = line;
            }
            let blank = value.len() - value.trim_start().len();
            for (at, text, length) in &mut pieces {
                let cut = blank.saturating_sub(*at).min(*length);
                (*at, *text, *length) = ((*at + cut).saturating_sub(blank), *text + cut, *length - cut);
            }
            let end = offset_of(last_line) + last_line.len();
            let newline = text.get(end..).map_or(0, |rest| match rest {
                _ if rest.starts_with("\r\n") => 2,
                _ => usize::from(rest.starts_with('\n')),
            });
            let key = key.trim();
            let place =
                if value.is_empty() { place(indent, key.chars().count()) } else { place(column, first) };
            unit.entries.push(Entry {
                section: section.clone(),
                key: key.to_owned(),
                value: value.trim().to_owned(),
                place,
                lines: offset_of(line)..end + newline,
                pieces,
            });
        }
        unit
    }

    /// The assignments of a key that hold: those behind the last empty one.
    pub(super) fn all<'u>(&'u self, section: &str, key: &str) -> Vec<&'u Entry> {
        let mut found = Vec::new();
        for entry in self.entries.iter().filter(|entry| entry.section == section && entry.key == key) {
            if entry.value.is_empty() {
                found.clear();
            } else {
                found.push(entry);
            }
        }
        found
    }

    pub(super) fn last<'u>(&'u self, section: &str, key: &str) -> Option<&'u Entry> {
        self.all(section, key).pop()
    }
}

/// A whole value as a word.
pub(super) fn word(entry: &Entry, value: String) -> Word {
    Word {
        value,
        place: entry.place.clone(),
        unknown: Vec::new(),
        splits: false,
        span: entry.span(0, entry.value.len()),
        alone: true,
    }
}

/// A value cut into words at blanks; quotes hold words together, backslashes escape as in C.
pub(super) fn words(entry: &Entry, specifiers: &dyn Fn(&str) -> String) -> Vec<Word> {
    let mut found = Vec::new();
    let mut characters = entry.value.chars().enumerate().peekable();
    let offsets: Vec<usize> = entry.value.char_indices().map(|(at, _)| at).collect();
    let offset = |number: usize| offsets.get(number).copied().unwrap_or(entry.value.len());
    loop {
        while characters.next_if(|(_, c)| c.is_whitespace()).is_some() {}
        let Some((start, _)) = characters.peek().copied() else { return found };
        let mut value = String::new();
        let mut quote = None;
        let mut end = start;
        while let Some((at, c)) = characters.peek().copied() {
            if quote.is_none() && c.is_whitespace() {
                break;
            }
            characters.next();
            end = at + 1;
            match (quote, c) {
                (None, '"' | '\'') => quote = Some(c),
                (Some(open), c) if c == open => quote = None,
                (_, '\\') => {
                    let escaped = characters.next().map(|(_, c)| c);
                    end += usize::from(escaped.is_some());
                    match escaped {
                        Some('n') => value.push('\n'),
                        Some('t') => value.push('\t'),
                        Some('s') => value.push(' '),
                        Some('x') => {
                            let digits: String =
                                std::iter::from_fn(|| characters.next_if(|(_, c)| c.is_ascii_hexdigit()))
                                    .take(2)
                                    .map(|(_, c)| c)
                                    .collect();
                            end += digits.len();
                            let code = u8::from_str_radix(&digits, 16).ok().filter(u8::is_ascii);
                            value.extend(code.map(char::from));
                        }
                        Some(c) => value.push(c),
                        None => {}
                    }
                }
                (_, c) => value.push(c),
            }
        }
        let clamp = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let mut place = entry.place.clone();
        // Behind a continued line the columns are another line's.
        if clamp(end) <= place.length {
            place.column = place.column.saturating_add(clamp(start));
            place.length = clamp(end - start);
        }
        let span = entry.span(offset(start), offset(end));
        found.push(Word {
            value: specifiers(&value),
            place,
            unknown: Vec::new(),
            splits: false,
            span,
            alone: true,
        });
    }
}

/// systemd.unit(5), "Specifiers", for a unit of the system's or a user's manager. What differs between machines and
/// instances is unknown.
pub(super) fn specifiers(text: &str, name: &str, user: bool, home: &str) -> String {
    let mut value = String::with_capacity(text.len());
    let mut characters = text.chars();
    let unit = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    while let Some(c) = characters.next() {
        if c != '%' {
            value.push(c);
            continue;
        }
        match characters.next() {
            Some('%') => value.push('%'),
            Some('h') => value.push_str(home),
            Some('t') if !user => value.push_str("/run"),
            Some('t') => value.push_str("/run/user/1000"),
            Some('S') if !user => value.push_str("/var/lib"),
            Some('C') if !user => value.push_str("/var/cache"),
            Some('L') if !user => value.push_str("/var/log"),
            Some('E') if !user => value.push_str("/etc"),
            Some('S') => value.push_str(&format!("{home}/.local/state")),
            Some('C') => value.push_str(&format!("{home}/.cache")),
            Some('E') => value.push_str(&format!("{home}/.config")),
            Some('T') => value.push_str("/tmp"),
            Some('V') => value.push_str("/var/tmp"),
            Some('u' | 'g') if !user => value.push_str("root"),
            Some('U' | 'G') if !user => value.push('0'),
            Some('N' | 'p') if !unit.contains('@') => value.push_str(unit),
            Some('n') if !unit.contains('@') => value.push_str(&format!("{unit}.service")),
            Some('p') => value.push_str(unit.split('@').next().unwrap_or(unit)),
            _ => value.push(UNKNOWN),
        }
    }
    value
}
