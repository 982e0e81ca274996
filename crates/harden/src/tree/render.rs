//! How new values are written: in the style of the document they go into.

use sources::document::{Node, Style};

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Written as it is: a boolean, a number, `null`. The same in YAML and JSON.
    Literal(String),
    /// A string, quoted where it must be.
    Text(String),
    List(Vec<Value>),
    Map(Vec<(String, Value)>),
}

impl Value {
    pub fn bool(value: bool) -> Value {
        Value::Literal(value.to_string())
    }
    pub fn number(value: impl std::fmt::Display) -> Value {
        Value::Literal(value.to_string())
    }
    pub fn text(text: impl Into<String>) -> Value {
        Value::Text(text.into())
    }
    pub fn texts<S: Into<String>>(texts: impl IntoIterator<Item = S>) -> Value {
        Value::List(texts.into_iter().map(Value::text).collect())
    }
    pub fn map<K: Into<String>>(entries: impl IntoIterator<Item = (K, Value)>) -> Value {
        Value::Map(entries.into_iter().map(|(k, v)| (k.into(), v)).collect())
    }
}

/// The document's own way of writing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Layout {
    pub(super) json: bool,
    pub(super) newline: &'static str,
    /// One step of indentation.
    pub(super) unit: String,
    /// How much deeper than its key a block sequence stands.
    pub(super) dash_indent: String,
    /// Between a JSON key's colon and its value.
    pub(super) colon: &'static str,
    /// JSON: each entry on a line of its own.
    pub(super) open: bool,
    /// JSON: each item of a list on a line of its own.
    pub(super) open_lists: bool,
}

/// No more nodes than this are looked at to learn the style.
const SAMPLE: usize = 4000;

impl Layout {
    pub(super) fn of(node: &Node) -> Layout {
        let text = node.file_text();
        let newline = match text.find('\n') {
            Some(at) if text.get(..at).is_some_and(|line| line.ends_with('\r')) => "\r\n",
            _ => "\n",
        };
        let json = node.is_json();
        let root = node.document_root();
        let mut layout = Layout {
            json,
            newline,
            unit: "  ".into(),
            dash_indent: "  ".into(),
            colon: " ",
            open: root.is_empty() || root.source().contains('\n'),
            open_lists: root.is_empty() || root.source().contains('\n'),
        };
        if json {
            layout.learn_json(&root)
        } else {
            layout.learn_yaml(&root)
        }
        layout
    }

    fn learn_yaml(&mut self, root: &Node) {
        let (mut unit, mut dash) = (None, None);
        walk(root, &mut |parent, child| {
            if parent.is_mapping() && !parent.is_flow() && !child.is_flow() && !child.is_empty() {
                let deeper = column(child).checked_sub(column(parent));
                match deeper {
                    Some(deeper) if child.is_mapping() && deeper > 0 => unit = unit.or(Some(deeper)),
                    Some(deeper) if child.is_sequence() => dash = dash.or(Some(deeper)),
                    _ => {}
                }
            }
            unit.is_some() && dash.is_some()
        });
        self.unit = " ".repeat(unit.unwrap_or(2).min(16));
        self.dash_indent = " ".repeat(dash.or(unit).unwrap_or(2).min(16));
    }

    fn learn_json(&mut self, root: &Node) {
        let text = root.file_text();
        let mut unit = None;
        let mut list = None;
        walk(root, &mut |parent, child| {
            let at = child.bytes().start;
            let own_line = |at: usize| {
                let before = text.get(..at).unwrap_or("");
                let line = before.get(before.rfind('\n').map_or(0, |n| n + 1)..).unwrap_or("");
                line.trim().is_empty().then(|| line.to_owned())
            };
            if parent.is_sequence() {
                list = list.or(Some(own_line(at).is_some()));
            } else if unit.is_none() {
                let key = parent.own_entries().next().map(|(key, _)| key.bytes());
                if let Some(deeper) = key.and_then(|key| own_line(key.start)) {
                    let line = text.get(..parent.bytes().start).unwrap_or("");
                    let line = line.get(line.rfind('\n').map_or(0, |n| n + 1)..).unwrap_or("");
                    let outer = line.get(..line.len() - line.trim_start().len()).unwrap_or("");
                    unit = deeper.strip_prefix(outer).filter(|u| !u.is_empty()).map(str::to_owned);
                }
            }
            unit.is_some() && list.is_some()
        });
        let first = root.own_entries().next();
        if let Some((key, value)) = first {
            let between = text.get(key.bytes().end..value.bytes().start).unwrap_or(": ");
            self.colon = if between.ends_with(':') { "" } else { " " };
        }
        self.unit = unit.unwrap_or_else(|| "  ".into());
        self.open_lists = list.unwrap_or(self.open);
    }
}

/// Children with the collection they are in, in the order of the file, until there is nothing left to learn.
fn walk(root: &Node, visit: &mut dyn FnMut(&Node, &Node) -> bool) {
    let mut open = vec![root.clone()];
    for _ in 0..SAMPLE {
        let Some(node) = open.pop() else { return };
        let children: Vec<Node> = node
            .own_entries()
            .map(|(_, value)| value)
            .chain(node.items())
            .filter(|child| child.alias_place().is_none())
            .take(SAMPLE)
            .collect();
        if children.iter().any(|child| visit(&node, child)) {
            return;
        }
        open.extend(children.into_iter().rev());
    }
}

fn column(node: &Node) -> usize {
    node.place().column as usize
}

/// Whole lines, without the last line break, for a new entry of a block mapping.
pub(super) fn entry_lines(key: &str, value: &Value, indent: &str, layout: &Layout) -> String {
    format!("{indent}{}:{}", scalar(key, false, false), after_colon(value, indent, layout))
}

/// The same for a new item of a block sequence.
pub(super) fn item_lines(value: &Value, indent: &str, layout: &Layout) -> String {
    format!("{indent}- {}", after_dash(value, &format!("{indent}  "), layout))
}

/// What stands behind the colon of a block mapping's key.
pub(super) fn after_colon(value: &Value, indent: &str, layout: &Layout) -> String {
    let newline = layout.newline;
    match value {
        Value::List(items) if !items.is_empty() => {
            let indent = format!("{indent}{}", layout.dash_indent);
            items.iter().map(|item| format!("{newline}{}", item_lines(item, &indent, layout))).collect()
        }
        Value::Map(entries) if !entries.is_empty() => {
            let indent = format!("{indent}{}", layout.unit);
            entries.iter().map(|(k, v)| format!("{newline}{}", entry_lines(k, v, &indent, layout))).collect()
        }
        _ => format!(" {}", flow(value, indent, layout)),
    }
}

fn after_dash(value: &Value, indent: &str, layout: &Layout) -> String {
    let lines: Vec<String> = match value {
        Value::List(items) if !items.is_empty() => {
            items.iter().map(|item| item_lines(item, indent, layout)).collect()
        }
        Value::Map(entries) if !entries.is_empty() => {
            entries.iter().map(|(k, v)| entry_lines(k, v, indent, layout)).collect()
        }
        Value::Text(text) => return scalar(text, false, false),
        _ => return flow(value, indent, layout),
    };
    let text = lines.join(layout.newline);
    text.strip_prefix(indent).unwrap_or(&text).to_owned()
}

/// A value inside `{…}` or `[…]`, or all of JSON. `indent` is that of the line it begins on.
pub(super) fn flow(value: &Value, indent: &str, layout: &Layout) -> String {
    let newline = layout.newline;
    let inner = format!("{indent}{}", layout.unit);
    let (brackets, open, parts): (_, _, Vec<String>) = match value {
        Value::Literal(text) => return text.clone(),
        Value::Text(text) => return scalar(text, true, layout.json),
        Value::List(items) => {
            let open = layout.json && layout.open_lists;
            ("[]", open, items.iter().map(|item| flow(item, &inner, layout)).collect())
        }
        Value::Map(entries) => {
            let open = layout.json && layout.open;
            ("{}", open, entries.iter().map(|(k, v)| flow_entry(k, v, &inner, layout)).collect())
        }
    };
    let (left, right) = brackets.split_at(1);
    if parts.is_empty() {
        return brackets.to_owned();
    }
    if open {
        return format!(
            "{left}{newline}{inner}{}{newline}{indent}{right}",
            parts.join(&format!(",{newline}{inner}"))
        );
    }
    let comma = if layout.json && layout.colon.is_empty() { "," } else { ", " };
    format!("{left}{}{right}", parts.join(comma))
}

pub(super) fn flow_entry(key: &str, value: &Value, indent: &str, layout: &Layout) -> String {
    let space = if layout.json { layout.colon } else { " " };
    format!("{}:{space}{}", scalar(key, true, layout.json), flow(value, indent, layout))
}

/// A string, in quotes where it would else be something other.
fn scalar(text: &str, in_flow: bool, json: bool) -> String {
    if !json && is_plain_string(text, in_flow) { text.to_owned() } else { double_quoted(text) }
}

/// A scalar's new text in the style that it has.
pub(super) fn scalar_as(style: Style, text: &str, json: bool, in_flow: bool) -> String {
    match style {
        Style::SingleQuoted if !text.chars().any(char::is_control) => {
            format!("'{}'", text.replace('\'', "''"))
        }
        Style::Plain if json || is_plain(text, in_flow) => text.to_owned(),
        _ => double_quoted(text),
    }
}

/// JSON's escapes are among those of YAML's double quotes (YAML 1.2.2, 5.7).
fn double_quoted(text: &str) -> String {
    let mut out = serde_json::Value::from(text).to_string();
    // Line breaks to YAML 1.1, and what no YAML may hold unescaped (5.1).
    if out.contains(is_unprintable) {
        out = out
            .chars()
            .map(|c| if is_unprintable(c) { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() })
            .collect();
    }
    out
}

fn is_unprintable(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// Whether YAML reads the text, unquoted, as one plain scalar (YAML 1.2.2, 7.3.3). Stricter than the grammar.
fn is_plain(text: &str, in_flow: bool) -> bool {
    let Some(first) = text.chars().next() else { return false };
    let starts = first.is_ascii_alphanumeric()
        || matches!(first, '_' | '/' | '.' | '+' | '$' | '~' | '(' | '^' | '=' | '<')
        || (!first.is_ascii() && first.is_alphabetic())
        || (first == '-' && text.chars().nth(1).is_some_and(|c| c.is_ascii_alphanumeric()));
    let flow_signs = |c: char| matches!(c, ',' | '[' | ']' | '{' | '}');
    starts
        && !text.contains(": ")
        && !text.contains(" #")
        && !text.ends_with([':', ' '])
        && !text.starts_with("...")
        && !text.chars().any(|c| c.is_control() || is_unprintable(c))
        && !(in_flow && text.contains(flow_signs))
        && !(in_flow && text.contains("://") && text.contains('"'))
}

/// Whether an unquoted text is a string to the readers of YAML 1.1 and 1.2 alike.
pub(super) fn is_plain_string(text: &str, in_flow: bool) -> bool {
    const WORDS: [&str; 12] = ["null", "~", "true", "false", "yes", "no", "on", "off", "y", "n", "<<", "="];
    // Numbers of all kinds, sexagesimal ones (`22:22`), dates, `.inf`.
    let like_number = text.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.'))
        && text.chars().all(|c| {
            c.is_ascii_hexdigit() || matches!(c, '+' | '-' | '.' | ':' | '_' | 'x' | 'o' | 'T' | 'Z' | ' ')
        })
        || matches!(text.trim_start_matches(['+', '-']).to_ascii_lowercase().as_str(), ".inf" | ".nan");
    is_plain(text, in_flow) && !like_number && !WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}
