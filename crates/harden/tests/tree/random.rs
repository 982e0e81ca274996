//! Random edits of random documents, checked by another parser (`yaml_serde`, a port of libyaml): what is read after
//! the edit is what was read before, changed in memory; comments stay, and so do the lines that nothing touched.

use std::collections::BTreeSet;
use std::sync::Arc;

use harden::draft::Drafts;
use harden::tree::{self, Items, Value};
use proptest::prelude::*;
use proptest::test_runner::{TestError, TestRunner};
use sources::document::{Node, Step};

/// Decisions, taken from random bytes; 0 when they run out, so that documents end and failures shrink.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, n: usize) -> usize {
        self.0.next().map_or(0, |byte| usize::from(*byte) % n)
    }
    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == n - 1
    }
    fn pick<'t>(&mut self, list: &[&'t str]) -> &'t str {
        list[self.below(list.len())]
    }
}

const SCALARS: [&str; 12] = [
    "plain",
    "x#y",
    "'it''s # no comment'",
    "\"a \\\" # no\"",
    "true",
    "17",
    "a b",
    "/var/run",
    "\"\"",
    "~",
    "''",
    "http://a:80",
];
const JSON_SCALARS: [&str; 6] = ["\"s # t\"", "1", "true", "null", "\"\"", "\"a\\\"b\""];

struct Writer<'a> {
    choices: Choices<'a>,
    out: String,
    newline: &'static str,
    unit: usize,
    comments: usize,
    anchors: usize,
}

impl Writer<'_> {
    fn comment(&mut self) -> String {
        self.comments += 1;
        format!("# c{} it's", self.comments)
    }
    /// The rest of a line, perhaps with a comment.
    fn end_line(&mut self) {
        if self.choices.one_in(3) {
            let comment = self.comment();
            self.out.push_str("  ");
            self.out.push_str(&comment);
        }
        self.out.push_str(self.newline);
    }
    fn lines_above(&mut self, indent: usize) {
        if self.choices.one_in(4) {
            let comment = self.comment();
            self.out.push_str(&" ".repeat(indent));
            self.out.push_str(&comment);
            self.out.push_str(self.newline);
        }
        if self.choices.one_in(6) {
            self.out.push_str(self.newline);
        }
    }
    fn key(&mut self, n: usize) -> String {
        match self.choices.below(5) {
            3 => format!("\"k {n}\""),
            4 => format!("'k#{n}'"),
            _ => format!("k{n}"),
        }
    }

    /// What follows `key:` or `-`, with the line's end. `column` is where nested collections may begin.
    fn value(&mut self, parent: usize, in_sequence: bool, depth: usize) {
        let deeper = parent + self.unit;
        match self.choices.below(if depth > 3 { 5 } else { 9 }) {
            0 | 1 => {
                let scalar = self.choices.pick(&SCALARS);
                self.out.push(' ');
                if self.choices.one_in(8) {
                    self.anchors += 1;
                    self.out.push_str(&format!("&n{} ", self.anchors));
                }
                self.out.push_str(scalar);
                self.end_line();
            }
            2 => {
                if self.anchors > 0 && self.choices.one_in(2) {
                    let n = self.choices.below(self.anchors) + 1;
                    self.out.push_str(&format!(" *n{n}"));
                }
                self.end_line();
            }
            3 => {
                self.out.push(' ');
                let open = self.choices.one_in(2);
                self.flow(deeper, open, depth);
                self.end_line();
            }
            4 => {
                let header = self.choices.pick(&["|", ">-", "|+", "|-", ">"]);
                self.out.push(' ');
                self.out.push_str(header);
                self.end_line();
                for _ in 0..=self.choices.below(3) {
                    let line = self.choices.pick(&["text", "# text", "  deep: - x", "", "a: b # c"]);
                    if !line.is_empty() {
                        self.out.push_str(&" ".repeat(deeper));
                    }
                    self.out.push_str(if line.starts_with(' ') { "more" } else { line });
                    self.out.push_str(self.newline);
                }
            }
            5 | 6 => {
                if in_sequence && self.choices.one_in(2) {
                    self.out.push(' ');
                    return self.mapping(parent + 2, depth + 1, true);
                }
                self.end_line();
                self.mapping(deeper, depth + 1, false);
            }
            _ => {
                if in_sequence && self.choices.one_in(2) {
                    self.out.push(' ');
                    return self.sequence(parent + 2, depth + 1, true);
                }
                let indent = if !in_sequence && self.choices.one_in(2) { parent } else { deeper };
                self.end_line();
                self.sequence(indent, depth + 1, false);
            }
        }
    }

    fn mapping(&mut self, indent: usize, depth: usize, mut beside: bool) {
        for n in 0..=self.choices.below(4) {
            if !std::mem::take(&mut beside) {
                self.lines_above(indent);
                self.out.push_str(&" ".repeat(indent));
            }
            let key = self.key(n);
            self.out.push_str(&key);
            self.out.push(':');
            self.value(indent, false, depth);
        }
    }

    fn sequence(&mut self, indent: usize, depth: usize, mut beside: bool) {
        for _ in 0..=self.choices.below(3) {
            if !std::mem::take(&mut beside) {
                self.lines_above(indent);
                self.out.push_str(&" ".repeat(indent));
            }
            self.out.push('-');
            self.value(indent, true, depth);
        }
    }

    /// `open`: over several lines, with comments.
    fn flow(&mut self, indent: usize, open: bool, depth: usize) {
        let mapping = self.choices.one_in(2);
        let count = self.choices.below(4);
        let trailing = self.choices.one_in(4);
        self.out.push(if mapping { '{' } else { '[' });
        for n in 0..count {
            if open && (n == 0 || !self.choices.one_in(4)) {
                self.end_line();
                self.out.push_str(&" ".repeat(indent + self.unit));
            } else if n > 0 {
                self.out.push(' ');
            }
            if mapping {
                let key = self.key(n);
                self.out.push_str(&format!("{key}: "));
            }
            if depth < 4 && self.choices.one_in(4) {
                self.flow(indent + self.unit, open, depth + 1);
            } else {
                let scalar = self.choices.pick(&SCALARS);
                self.out.push_str(scalar);
            }
            if n + 1 < count || trailing {
                self.out.push(',');
            }
        }
        if open && count > 0 {
            self.end_line();
            self.out.push_str(&" ".repeat(indent));
        }
        self.out.push(if mapping { '}' } else { ']' });
    }

    fn json(&mut self, indent: usize, depth: usize) {
        let kind = self.choices.below(if depth == 0 {
            2
        } else if depth > 3 {
            3
        } else {
            5
        });
        if depth > 0 && kind < 3 {
            let scalar = self.choices.pick(&JSON_SCALARS);
            return self.out.push_str(scalar);
        }
        let mapping = depth == 0 || kind == 3;
        let open = self.unit > 0 && !self.choices.one_in(4);
        let count = self.choices.below(4);
        self.out.push(if mapping { '{' } else { '[' });
        for n in 0..count {
            if open {
                self.out.push_str(self.newline);
                self.out.push_str(&" ".repeat(indent + self.unit));
            }
            if mapping {
                self.out.push_str(&format!("\"k{n}\":{}", if self.unit > 0 { " " } else { "" }));
            }
            self.json(indent + if open { self.unit } else { 0 }, depth + 1);
            if n + 1 < count {
                self.out.push_str(if open || self.unit == 0 { "," } else { ", " });
            }
        }
        if open && count > 0 {
            self.out.push_str(self.newline);
            self.out.push_str(&" ".repeat(indent));
        }
        self.out.push(if mapping { '}' } else { ']' });
    }
}

fn document(choices: Choices<'_>, json: bool) -> (String, usize, Choices<'_>) {
    let mut writer = Writer { choices, out: String::new(), newline: "\n", unit: 2, comments: 0, anchors: 0 };
    if writer.choices.one_in(3) {
        writer.newline = "\r\n";
    }
    writer.unit = [2, 4, if json { 0 } else { 3 }][writer.choices.below(3)];
    let cut = writer.choices.one_in(4);
    if json {
        writer.json(0, 0);
    } else {
        writer.mapping(0, 0, false);
    }
    if cut {
        let length = writer.out.trim_end_matches(['\r', '\n']).len();
        writer.out.truncate(length);
    } else if json {
        writer.out.push_str(writer.newline);
    }
    (writer.out, writer.comments, writer.choices)
}

fn collections(root: &Node) -> Vec<Node> {
    let mut found = Vec::new();
    let mut open = vec![root.clone()];
    while let Some(node) = open.pop() {
        if node.alias_place().is_some() {
            continue;
        }
        open.extend(node.own_entries().map(|(_, value)| value).chain(node.items()));
        found.push(node);
    }
    found
}

fn at_route<'v>(value: &'v mut yaml_serde::Value, route: &[Step]) -> &'v mut yaml_serde::Value {
    route.iter().fold(value, |value, step| match step {
        Step::Key(key) => value.get_mut(&**key).expect("the key"),
        Step::Index(n) => value.get_mut(*n).expect("the item"),
    })
}

fn plain(value: &Value) -> yaml_serde::Value {
    match value {
        Value::Literal(text) => yaml_serde::from_str(text).expect("a literal"),
        Value::Text(text) => text.as_str().into(),
        Value::List(items) => yaml_serde::Value::Sequence(items.iter().map(plain).collect()),
        Value::Map(entries) => {
            yaml_serde::Value::Mapping(entries.iter().map(|(k, v)| (k.as_str().into(), plain(v))).collect())
        }
    }
}

fn new_value(choices: &mut Choices<'_>) -> Value {
    match choices.below(5) {
        0 => Value::bool(true),
        1 => Value::text(
            choices.pick(&["new", "new: # x", "yes", "1:20", "[", "a, b", "", "- z", "ü\u{85}", "a\nb"]),
        ),
        2 => Value::texts(["new", "a: b"]),
        3 => Value::map([
            ("p", Value::number(8)),
            ("q", Value::List(vec![Value::map([("r", Value::texts(["s"]))])])),
        ]),
        _ => Value::Map(vec![]),
    }
}

/// The edit of one node, and what it should do. Also which lines of the old text it may change.
fn try_one(bytes: &[u8], json: bool) -> Result<bool, TestCaseError> {
    let (text, comments, mut choices) = document(Choices(bytes.iter()), json);
    let text: Arc<str> = text.into();
    let name = if json { "a.json" } else { "a.yaml" };
    // The other parser does not take every text (a comment right behind a quoted key's value, for one).
    let Ok(mut expected) = yaml_serde::from_str::<yaml_serde::Value>(&text) else { return Ok(false) };
    let read = |_: &str| Ok::<Arc<str>, String>(text.clone());
    let mut drafts = Drafts::new(&read);
    let Ok(documents) = drafts.documents(name) else { return Ok(false) };
    let root = documents[0].root.clone();
    let nodes = collections(&root);
    let node = nodes[choices.below(nodes.len())].clone();
    if tree::is_shared(&node, &root).is_some() {
        return Ok(false);
    }
    // Anchors in what is edited would take their aliases with them.
    if text.contains('*') && node.source().contains('&') {
        return Ok(false);
    }
    let route = node.route();
    let target = at_route(&mut expected, &route);
    let subset: Vec<usize> = (0..node.len()).filter(|_| choices.one_in(2)).collect();
    // What is asked for twice is added once.
    let mut added: Vec<Value> = (0..choices.below(3)).map(|_| new_value(&mut choices)).collect();
    added.dedup();
    let result = if node.is_mapping() || (node.is_null() && !route.is_empty()) {
        let keys: Vec<String> =
            node.own_entries().map(|(k, _)| k.as_str().unwrap_or("").to_owned()).collect();
        let removed: Vec<&str> = subset.iter().map(|i| keys[*i].as_str()).collect();
        let inserted: Vec<(String, Value)> =
            added.iter().enumerate().map(|(i, v)| (format!("new {i}"), v.clone())).collect();
        let inserted: Vec<(&str, Value)> = inserted.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        if !inserted.is_empty() || node.is_mapping() {
            if target.is_null() {
                *target = yaml_serde::Value::Mapping(Default::default());
            }
            let mapping = target.as_mapping_mut().expect("a mapping");
            for key in &removed {
                mapping.shift_remove(*key);
            }
            for (key, value) in &inserted {
                mapping.insert((*key).into(), plain(value));
            }
        }
        if inserted.is_empty() && node.is_null() {
            return Ok(false);
        }
        tree::change_entries(&mut drafts, &node, &removed, &inserted)
    } else if node.is_sequence() {
        let mut replace: Vec<(usize, Value)> = Vec::new();
        for i in (0..node.len()).filter(|i| !subset.contains(i)) {
            if choices.one_in(5) {
                replace.push((i, new_value(&mut choices)));
            }
        }
        let sequence = target.as_sequence_mut().expect("a sequence");
        for (i, value) in &replace {
            sequence[*i] = plain(value);
        }
        let mut position = 0;
        sequence.retain(|_| {
            position += 1;
            !subset.contains(&(position - 1))
        });
        sequence.extend(added.iter().map(plain));
        tree::change_items(&mut drafts, &node, &Items { remove: subset.clone(), replace, append: added })
    } else {
        let new = choices.pick(&["new", "false", "42"]);
        let quoted = node.is_quoted();
        *target = if quoted { new.into() } else { yaml_serde::from_str(new).expect("a scalar") };
        tree::set_scalar(&mut drafts, &node, new)
    };
    if result.is_err() {
        return Ok(false);
    }
    let edited = drafts.finish().map_err(|refusal| TestCaseError::fail(format!("{refusal}\n{text}")))?;
    let after = edited.first().map_or(text.clone(), |edited| edited.after.clone());
    let shown = format!("--- before\n{text}\n--- after\n{after}\n--- route {route:?}, remove {subset:?}");
    let got: yaml_serde::Value =
        yaml_serde::from_str(&after).map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
    prop_assert_eq!(&got, &expected, "{}", shown);
    for n in 1..=comments {
        let comment = format!("# c{n} it's");
        prop_assert_eq!(after.matches(&comment).count(), 1, "{} is lost\n{}", comment, shown);
    }
    // A block scalar that comes to be last needs its line break.
    let grows = after.ends_with('\n') && text.contains(['|', '>']);
    prop_assert!(text.ends_with('\n') == after.ends_with('\n') || grows, "another end of file\n{}", shown);
    if text.contains("\r\n") {
        prop_assert_eq!(after.matches('\n').count(), after.matches("\r\n").count(), "{}", shown);
    }
    untouched_lines_stay(&text, &after, &node)
        .map_err(|line| TestCaseError::fail(format!("the line `{line}` changed\n{shown}")))?;
    Ok(true)
}

/// Lines outside of the node are the same, in the same order.
fn untouched_lines_stay(before: &str, after: &str, node: &Node) -> Result<(), String> {
    let bytes = node.bytes();
    let first = before[..bytes.start].matches('\n').count();
    let last = before[..bytes.end].matches('\n').count();
    let touched: BTreeSet<usize> = (first..=last).collect();
    let mut rest = after.lines();
    for (_, line) in before.lines().enumerate().filter(|(n, _)| !touched.contains(n)) {
        // A blank line below a text block may go with it.
        if !rest.clone().any(|other| other == line) && !line.trim().is_empty() {
            return Err(line.to_owned());
        }
        if !line.trim().is_empty() {
            rest.by_ref().find(|other| *other == line);
        }
    }
    Ok(())
}

fn run(json: bool, cases: u32) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let edited = std::cell::Cell::new(0);
    let bytes = proptest::collection::vec(any::<u8>(), 0..300);
    TestRunner::new(config)
        .run(&bytes, |bytes| {
            edited.set(edited.get() + u32::from(try_one(&bytes, json)?));
            Ok(())
        })
        .unwrap_or_else(|error| match error {
            TestError::Fail(reason, bytes) => panic!("{reason}\n{bytes:?}"),
            TestError::Abort(reason) => panic!("{reason}"),
        });
    println!("{} of {cases} texts were edited", edited.get());
    // Refusals and unreadable texts are few.
    assert!(edited.get() * 3 > cases, "only {} of {cases} texts were edited", edited.get());
}

#[test]
fn an_edited_yaml_text_is_what_it_was_with_the_change_and_every_comment() {
    run(false, 6000);
}

#[test]
fn an_edited_json_text_is_what_it_was_with_the_change() {
    run(true, 3000);
}
