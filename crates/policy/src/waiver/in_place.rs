//! Waivers beside what they waive:
//!
//! * a comment `# stockade: waive TECHNIQUE until=2027-01-31 reason="…" owner=…`, on the line, or above it: then it is
//!   for that line and for what stands deeper below it, or for the lines that continue it;
//! * the annotation `stockade.dev/waive` of a Kubernetes object or of its pod template, one waiver a line;
//! * `x-stockade: {waive: […]}` in a Compose service, or at the top of the file for all its services.

use std::ops::RangeInclusive;
use std::sync::Arc;

use confinement::{Place, Problem};
use sources::document::{Limits, Node, parse_bytes};

use super::{Scope, Waiver};
use crate::pattern::Pattern;
use crate::reading::{Reader, parse_date};
use crate::rule::read::unknown_technique;

const ANNOTATION: &str = "stockade.dev/waive";
const EXTENSION: &str = "x-stockade";
/// Of one file.
const MAX_WAIVERS: usize = 10_000;
/// Nodes looked through for annotations, aliases followed.
const MAX_NODES: usize = 500_000;

pub(super) fn find(text: &str, path: &Arc<str>) -> (Vec<Waiver>, Vec<Problem>) {
    let mut found = Found { path, list: Vec::new(), problems: Vec::new() };
    if text.contains("stockade:") {
        found.comments(text);
    }
    if text.contains(ANNOTATION) || text.contains(EXTENSION) {
        let mut budget = MAX_NODES;
        // What cannot be read is told of by whoever judges the file.
        for document in parse_bytes(text.as_bytes(), path, &Limits::default()).into_iter().flatten() {
            found.nodes(&document.root, &mut budget);
        }
    }
    (found.list, found.problems)
}

struct Found<'a> {
    path: &'a Arc<str>,
    list: Vec<Waiver>,
    problems: Vec<Problem>,
}

impl Found<'_> {
    fn add(&mut self, waiver: Result<Waiver, Problem>) {
        if self.list.len() + self.problems.len() >= MAX_WAIVERS {
            return;
        }
        match waiver {
            Ok(waiver) => self.list.push(waiver),
            Err(problem) => self.problems.push(problem),
        }
    }

    fn comments(&mut self, text: &str) {
        let lines: Vec<&str> = text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let Some((column, words)) = comment(line) else { continue };
            let number = clamp(i + 1);
            let place = Place::new(self.path, number, column, clamp(words.chars().count()));
            let alone = line.trim_start().starts_with('#');
            let covered = if alone { below(&lines, i) } else { Some(number..=number) };
            let waiver = match covered {
                Some(covered) => waiver(words, &place, covered),
                None => Err(Problem::at(
                    &place,
                    "nothing stands below this waiver; write it on or above the line it is for",
                )),
            };
            self.add(waiver);
        }
    }

    fn nodes(&mut self, node: &Node, budget: &mut usize) {
        if *budget == 0 {
            return;
        }
        *budget -= 1;
        for (key, value) in node.entries() {
            match key.as_str() {
                Some("metadata") if value.is_mapping() => {
                    if let Some(text) = value.get("annotations").and_then(|a| a.get(ANNOTATION)) {
                        self.annotation(node, &text);
                    }
                }
                Some(EXTENSION) => self.extension(node, &value),
                _ => {}
            }
            if !value.is_scalar() {
                self.nodes(&value, budget);
            }
        }
        if node.is_sequence() {
            for item in node.items() {
                if !item.is_scalar() {
                    self.nodes(&item, budget);
                }
            }
        }
    }

    fn annotation(&mut self, object: &Node, value: &Node) {
        let place = value.place();
        let Some(text) = value.as_str() else {
            return self.add(Err(Problem::at(&place, format!("`{ANNOTATION}` must be a text"))));
        };
        for words in text.lines().map(str::trim).filter(|l| !l.is_empty()) {
            self.add(waiver(words, &place, lines_of(object)));
        }
    }

    fn extension(&mut self, holder: &Node, value: &Node) {
        let mut reader = Reader::default();
        if reader.keys(value, "`x-stockade`", &["waive"]) {
            let lines = lines_of(holder);
            let Some(waive) = reader.value(value, "waive") else {
                self.problems.extend(reader.problems);
                return;
            };
            let items: Vec<Node> = if waive.is_sequence() { waive.items().collect() } else { vec![waive] };
            for item in items {
                if let Some(words) = item.as_str() {
                    self.add(waiver(words, &item.place(), lines.clone()));
                } else if reader.keys(&item, "a waiver", &["technique", "until", "reason", "owner", "ticket"])
                {
                    let mut asked = Asked::default();
                    let mut text = |key| reader.text(&item, key).map(|t| t.value);
                    asked.technique = text("technique");
                    asked.until = text("until");
                    asked.reason = text("reason");
                    asked.owner = text("owner");
                    asked.ticket = text("ticket");
                    self.add(asked.waiver(&item.place(), lines.clone()));
                }
            }
        }
        self.problems.extend(reader.problems);
    }
}

/// The column and words of a waiver in a line's comment.
fn comment(line: &str) -> Option<(u32, &str)> {
    let mut from = 0;
    while let Some(at) = line.get(from..)?.find('#').map(|at| from + at) {
        let before = line.get(..at)?;
        let rest = line.get(at + 1..)?;
        from = at + 1;
        if !before.is_empty() && !before.ends_with([' ', '\t']) {
            continue;
        }
        let words = rest.trim_start().strip_prefix("stockade:").map(str::trim_start);
        let words = words
            .and_then(|w| w.strip_prefix("waive"))
            .filter(|w| w.starts_with([' ', '\t']) || w.is_empty());
        if let Some(words) = words {
            return Some((clamp(before.chars().count() + 1), words.trim()));
        }
    }
    None
}

/// The lines that a comment alone on its line is for.
fn below(lines: &[&str], comment: usize) -> Option<RangeInclusive<u32>> {
    let blank = |line: &str| line.trim().is_empty() || line.trim_start().starts_with('#');
    let first = (comment + 1..lines.len()).find(|i| lines.get(*i).is_some_and(|l| !blank(l)))?;
    let indent = |line: &str| line.len() - line.trim_start_matches([' ', '\t', '-']).len();
    // `- name: x` and the keys below it belong together, so a dash counts as indentation of the item's keys only.
    let outer = |line: &str| line.len() - line.trim_start_matches([' ', '\t']).len();
    let head = lines.get(first).copied().unwrap_or_default();
    let mut last = first;
    for (i, line) in lines.iter().enumerate().skip(first + 1) {
        let continued = lines.get(i - 1).is_some_and(|before| before.trim_end().ends_with('\\'));
        if continued {
            last = i;
        } else if blank(line) {
            continue;
        } else if outer(line) > outer(head) && indent(line) > outer(head) {
            last = i;
        } else {
            break;
        }
    }
    Some(clamp(first + 1)..=clamp(last + 1))
}

/// The lines of a node, its key's included; of a whole document, all of it.
fn lines_of(node: &Node) -> RangeInclusive<u32> {
    let first = node.key_place().unwrap_or_else(|| node.place()).line;
    let breaks = clamp(node.source().matches('\n').count());
    first..=node.place().line.saturating_add(breaks)
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[derive(Default)]
struct Asked {
    technique: Option<Arc<str>>,
    until: Option<Arc<str>>,
    reason: Option<Arc<str>>,
    owner: Option<Arc<str>>,
    ticket: Option<Arc<str>>,
}

impl Asked {
    fn waiver(self, place: &Place, lines: RangeInclusive<u32>) -> Result<Waiver, Problem> {
        let fail = |message: String| Err(Problem::at(place, message));
        let Some(technique) = self.technique else {
            return fail(
                "the waiver names no technique: write `waive TECHNIQUE until=2027-01-31 reason=\"…\"`".into(),
            );
        };
        let pattern = Pattern::new(&*technique);
        if !technique.contains('/')
            && let Some(message) = unknown_technique(&pattern)
        {
            return fail(message);
        }
        let Some(until) = self.until else {
            return fail("the waiver has no end: add its last day, such as until=2027-01-31".into());
        };
        let Some(until) = parse_date(&until) else {
            return fail(format!("`until={until}` is no day; write it as 2027-01-31"));
        };
        let Some(reason) = self.reason else {
            return fail("the waiver has no reason: add reason=\"…\"".into());
        };
        Ok(Waiver {
            scope: Scope::Lines { technique: pattern, path: place.path.clone(), lines },
            reason,
            owner: self.owner,
            ticket: self.ticket,
            until,
            place: place.clone(),
        })
    }
}

/// Reads `TECHNIQUE until=2027-01-31 reason="…" owner=… ticket=…`.
fn waiver(words: &str, place: &Place, lines: RangeInclusive<u32>) -> Result<Waiver, Problem> {
    let mut asked = Asked::default();
    for word in split(words).map_err(|message| Problem::at(place, message))? {
        let Some((key, value)) = word.split_once('=') else {
            if asked.technique.is_some() {
                let message = format!(
                    "`{word}` is not understood: after the technique come until=…, reason=\"…\", owner=…, ticket=…"
                );
                return Err(Problem::at(place, message));
            }
            asked.technique = Some(word.as_str().into());
            continue;
        };
        let slot = match key {
            "until" => &mut asked.until,
            "reason" => &mut asked.reason,
            "owner" => &mut asked.owner,
            "ticket" => &mut asked.ticket,
            _ => {
                let message =
                    format!("`{key}` is not a part of a waiver; known are until, reason, owner, ticket");
                return Err(Problem::at(place, message));
            }
        };
        if value.trim().is_empty() || slot.is_some() {
            return Err(Problem::at(place, format!("`{key}` is empty or stands twice")));
        }
        *slot = Some(value.into());
    }
    asked.waiver(place, lines)
}

/// Words, with `"…"` kept together; a backslash before a quote keeps the quote.
fn split(text: &str) -> Result<Vec<String>, &'static str> {
    let mut words: Vec<String> = Vec::new();
    let (mut word, mut quoted, mut open) = (String::new(), false, false);
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' if quoted => word.extend(chars.next()),
            '"' => {
                quoted = !quoted;
                open = true;
            }
            c if c.is_whitespace() && !quoted => {
                if open || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                    open = false;
                }
            }
            c => word.push(c),
        }
    }
    if quoted {
        return Err("a quote is opened and not closed");
    }
    if open || !word.is_empty() {
        words.push(word);
    }
    Ok(words)
}
