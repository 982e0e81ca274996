//! JSON as Go's `encoding/json` decodes it into a given type, so that a request means here what it means to the daemon.
//!
//! Where it differs from reading a document as such (Go 1.x, `encoding/json/decode.go`):
//! * a key finds a field of a struct by its exact name first, else with letters folded: ASCII case, and the two letters
//!   that Unicode folds into ASCII, U+017F (ſ, as s) and U+212A (the Kelvin sign, as k) (`fold.go`);
//! * a key may come again. A scalar is replaced; a struct, and a pointer that is not nil, is decoded into, so that fields that are not
//!   named again stay; a map keeps its other keys, its values are made anew;
//! * an array into a slice sets its length to zero and then decodes each element *into what lay there before*
//!   (golang/go#21092), so that a second list can inherit fields of the elements of the first;
//! * `null` empties a pointer, a map, a slice; a struct or scalar stays as it is;
//! * unknown keys are passed over, whatever they hold; bytes that are no UTF-8, and lone surrogates, become U+FFFD;
//! * a stream decoder stops after the first value; what follows is never looked at;
//! * nesting is limited to 10,000 levels.
//!
//! Pure: bytes and a [`Shape`] in, a value with canonical names out.

use serde_json::{Map, Number, Value};
use thiserror::Error;

/// Deeper documents are refused. Go stops at 10,000; nothing the daemon takes is deeper than a few dozen, and a body that
/// is denied for its depth opens nothing.
const DEEPEST: usize = 256;

/// The Go type that a value is decoded into.
#[derive(Clone, Copy, Debug)]
pub enum Shape {
    /// Fields by the names of their tags.
    Struct(&'static [(&'static str, Shape)]),
    /// A pointer to a struct: `null` takes it away.
    Pointer(&'static Shape),
    Slice(&'static Shape),
    /// A map with text keys, which are not folded.
    Map(&'static Shape),
    Text,
    Number,
    Bool,
    /// Something with a decoder of its own, or an interface: the last one counts, as it stands.
    Any,
    /// `strslice.StrSlice`: one text or a list of them (moby, api/types/strslice).
    TextOrList,
}

#[derive(Debug, Error, PartialEq, Eq)]
pub enum GoJsonError {
    #[error("the body is empty")]
    Empty,
    #[error("no JSON at byte {at}: {what}")]
    Syntax { at: usize, what: &'static str },
    #[error("nested more than {DEEPEST} levels deep, at byte {at}")]
    TooDeep { at: usize },
    #[error("{field} holds {found}, where the daemon takes {wanted}")]
    Type { field: String, found: &'static str, wanted: &'static str },
}

/// Decodes the first value of `body`, as `json.NewDecoder(body).Decode(&value)` does.
pub fn decode(body: &[u8], shape: &Shape) -> Result<Value, GoJsonError> {
    let mut reader = Reader { bytes: body, at: 0 };
    reader.space();
    if reader.at == body.len() {
        return Err(GoJsonError::Empty);
    }
    let document = reader.value(0)?;
    let mut slot = Slot::zero(shape);
    let mut field = String::new();
    slot.take(&document, shape, &mut field)?;
    Ok(slot.into_value())
}

/// A document as written: members in order, each as often as it comes.
#[derive(Debug)]
enum Node {
    Null,
    Bool(bool),
    Number(String),
    Text(String),
    List(Vec<Node>),
    Members(Vec<(String, Node)>),
}

impl Node {
    fn kind(&self) -> &'static str {
        match self {
            Node::Null => "null",
            Node::Bool(_) => "a boolean",
            Node::Number(_) => "a number",
            Node::Text(_) => "a text",
            Node::List(_) => "a list",
            Node::Members(_) => "an object",
        }
    }
    /// As it stands; of a key that comes twice the last one, as Go decodes into an interface.
    fn plain(&self) -> Value {
        match self {
            Node::Null => Value::Null,
            Node::Bool(b) => Value::Bool(*b),
            Node::Number(text) => number(text),
            Node::Text(text) => Value::String(text.clone()),
            Node::List(items) => items.iter().map(Node::plain).collect(),
            Node::Members(members) => {
                Value::Object(members.iter().map(|(key, value)| (key.clone(), value.plain())).collect())
            }
        }
    }
}

fn number(text: &str) -> Value {
    // `-0` is a whole number to Go, and a floating-point one to serde_json.
    let whole = text.parse::<i64>().map(Number::from).ok();
    whole.or_else(|| text.parse().ok()).map_or(Value::Null, Value::Number)
}

/// A Go variable: what it holds now, and for a slice what still lies behind its length.
#[derive(Debug)]
enum Slot {
    Absent,
    Plain(Value),
    Struct(Vec<(&'static str, Slot)>),
    Slice { elements: Vec<Slot>, length: usize },
    Map(Vec<(String, Slot)>),
}

impl Slot {
    fn zero(shape: &Shape) -> Slot {
        match shape {
            Shape::Struct(_) => Slot::Struct(Vec::new()),
            _ => Slot::Absent,
        }
    }

    fn take(&mut self, node: &Node, shape: &Shape, field: &mut String) -> Result<(), GoJsonError> {
        let wrong = |wanted| Err(GoJsonError::Type { field: field.clone(), found: node.kind(), wanted });
        match (shape, node) {
            // "To unmarshal JSON null into a value of any other type, the value is not changed."
            (Shape::Struct(_) | Shape::Text | Shape::Number | Shape::Bool, Node::Null) => {}
            (Shape::Any, _) => *self = Slot::Plain(node.plain()),
            (Shape::Pointer(_) | Shape::Slice(_) | Shape::Map(_) | Shape::TextOrList, Node::Null) => {
                *self = Slot::Absent;
            }
            (Shape::Pointer(inner), _) => {
                if matches!(self, Slot::Absent) {
                    *self = Slot::zero(inner);
                }
                self.take(node, inner, field)?;
            }
            (Shape::Struct(fields), Node::Members(members)) => {
                if !matches!(self, Slot::Struct(_)) {
                    *self = Slot::Struct(Vec::new());
                }
                if let Slot::Struct(held) = self {
                    take_members(held, members, fields, field)?;
                }
            }
            (Shape::Struct(_), _) => return wrong("an object"),
            (Shape::Slice(element), Node::List(items)) => {
                if !matches!(self, Slot::Slice { .. }) {
                    *self = Slot::Slice { elements: Vec::new(), length: 0 };
                }
                if let Slot::Slice { elements, length } = self {
                    for (i, item) in items.iter().enumerate() {
                        if elements.len() == i {
                            elements.push(Slot::zero(element));
                        }
                        let before = field.len();
                        field.push_str("[]");
                        elements[i].take(item, element, field)?;
                        field.truncate(before);
                    }
                    *length = items.len();
                    // An empty list is a new one, with nothing behind it.
                    if items.is_empty() {
                        elements.clear();
                    }
                }
            }
            (Shape::Slice(_), _) => return wrong("a list"),
            (Shape::Map(inner), Node::Members(members)) => {
                if !matches!(self, Slot::Map(_)) {
                    *self = Slot::Map(Vec::new());
                }
                if let Slot::Map(held) = self {
                    for (key, value) in members {
                        let mut slot = Slot::zero(inner);
                        let before = field.len();
                        enter(field, key);
                        slot.take(value, inner, field)?;
                        field.truncate(before);
                        match held.iter_mut().find(|(k, _)| k == key) {
                            Some((_, old)) => *old = slot,
                            None => held.push((key.clone(), slot)),
                        }
                    }
                }
            }
            (Shape::Map(_), _) => return wrong("an object"),
            (Shape::Text, Node::Text(_))
            | (Shape::Number, Node::Number(_))
            | (Shape::Bool, Node::Bool(_)) => *self = Slot::Plain(node.plain()),
            (Shape::Text, _) => return wrong("a text"),
            (Shape::Number, _) => return wrong("a number"),
            (Shape::Bool, _) => return wrong("a boolean"),
            (Shape::TextOrList, Node::Text(text)) => {
                *self = Slot::Plain(Value::Array(vec![Value::String(text.clone())]));
            }
            // A list that is made anew, in which `null` leaves the empty text.
            (Shape::TextOrList, Node::List(items))
                if items.iter().all(|item| matches!(item, Node::Text(_) | Node::Null)) =>
            {
                let texts = items.iter().map(|item| match item {
                    Node::Text(text) => Value::String(text.clone()),
                    _ => Value::String(String::new()),
                });
                *self = Slot::Plain(texts.collect());
            }
            (Shape::TextOrList, _) => return wrong("a text or a list of texts"),
        }
        Ok(())
    }

    fn into_value(self) -> Value {
        match self {
            Slot::Absent => Value::Null,
            Slot::Plain(value) => value,
            Slot::Struct(fields) => Value::Object(
                fields
                    .into_iter()
                    .map(|(name, slot)| (name.to_owned(), slot.into_value()))
                    .collect::<Map<_, _>>(),
            ),
            Slot::Slice { elements, length } => {
                elements.into_iter().take(length).map(Slot::into_value).collect()
            }
            Slot::Map(entries) => {
                Value::Object(entries.into_iter().map(|(key, slot)| (key, slot.into_value())).collect())
            }
        }
    }
}

fn enter(field: &mut String, key: &str) {
    if !field.is_empty() {
        field.push('.');
    }
    field.push_str(key);
}

fn take_members(
    held: &mut Vec<(&'static str, Slot)>,
    members: &[(String, Node)],
    fields: &'static [(&'static str, Shape)],
    field: &mut String,
) -> Result<(), GoJsonError> {
    for (key, value) in members {
        let Some((name, shape)) = field_of(key, fields) else { continue };
        let index = match held.iter().position(|(n, _)| *n == name) {
            Some(index) => index,
            None => {
                held.push((name, Slot::zero(&shape)));
                held.len() - 1
            }
        };
        let before = field.len();
        enter(field, name);
        held[index].1.take(value, &shape, field)?;
        field.truncate(before);
    }
    Ok(())
}

/// The field a key stands for: the one of that very name, else the first that is the same when folded.
fn field_of(key: &str, fields: &'static [(&'static str, Shape)]) -> Option<(&'static str, Shape)> {
    let exact = fields.iter().find(|(name, _)| *name == key);
    exact.or_else(|| fields.iter().find(|(name, _)| same_folded(name, key))).copied()
}

/// Whether two keys are one to Go. Field names are ASCII, so only letters that fold into ASCII matter.
fn same_folded(name: &str, key: &str) -> bool {
    let folded = key.chars().map(|c| match c {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        other => other.to_ascii_lowercase(),
    });
    name.chars().map(|c| c.to_ascii_lowercase()).eq(folded)
}

struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }
    fn fault<T>(&self, what: &'static str) -> Result<T, GoJsonError> {
        Err(GoJsonError::Syntax { at: self.at, what })
    }
    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }
    fn literal(&mut self, word: &'static [u8], node: Node) -> Result<Node, GoJsonError> {
        if self.bytes.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            return Ok(node);
        }
        self.fault("neither true, false nor null")
    }

    fn value(&mut self, depth: usize) -> Result<Node, GoJsonError> {
        if depth > DEEPEST {
            return Err(GoJsonError::TooDeep { at: self.at });
        }
        self.space();
        match self.peek() {
            Some(b'{') => self.members(depth),
            Some(b'[') => self.list(depth),
            Some(b'"') => Ok(Node::Text(self.text()?)),
            Some(b't') => self.literal(b"true", Node::Bool(true)),
            Some(b'f') => self.literal(b"false", Node::Bool(false)),
            Some(b'n') => self.literal(b"null", Node::Null),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.fault("no value begins so"),
            None => self.fault("it ends where a value is due"),
        }
    }

    fn members(&mut self, depth: usize) -> Result<Node, GoJsonError> {
        self.at += 1;
        let mut members = Vec::new();
        self.space();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Node::Members(members));
        }
        loop {
            self.space();
            if self.peek() != Some(b'"') {
                return self.fault("a key in quotes is due");
            }
            let key = self.text()?;
            self.space();
            if self.peek() != Some(b':') {
                return self.fault("a colon is due");
            }
            self.at += 1;
            members.push((key, self.value(depth + 1)?));
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Node::Members(members));
                }
                _ => return self.fault("a comma or a closing brace is due"),
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, GoJsonError> {
        self.at += 1;
        let mut items = Vec::new();
        self.space();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Node::List(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.space();
            match self.peek() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.at += 1;
                    return Ok(Node::List(items));
                }
                _ => return self.fault("a comma or a closing bracket is due"),
            }
        }
    }

    fn number(&mut self) -> Result<Node, GoJsonError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return self.fault("a digit is due"),
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        // Digits, signs, a point and an e: ASCII.
        Ok(Node::Number(String::from_utf8_lossy(&self.bytes[start..self.at]).into_owned()))
    }

    fn digits(&mut self) {
        while matches!(self.peek(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn some_digits(&mut self) -> Result<(), GoJsonError> {
        let start = self.at;
        self.digits();
        if self.at == start { self.fault("a digit is due") } else { Ok(()) }
    }

    fn text(&mut self) -> Result<String, GoJsonError> {
        self.at += 1;
        let mut bytes = Vec::new();
        loop {
            match self.peek() {
                None => return self.fault("a text does not end"),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(unicode(&bytes));
                }
                Some(b'\\') => {
                    self.at += 1;
                    let c = self.escape()?;
                    bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Some(0..0x20) => return self.fault("a control character in a text"),
                Some(byte) => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<char, GoJsonError> {
        let c = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode();
            }
            _ => return self.fault("no such escape"),
        };
        self.at += 1;
        Ok(c)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.bytes.get(self.at..self.at + 4)?;
        let mut unit = 0;
        for digit in digits {
            unit = unit * 16 + char::from(*digit).to_digit(16)?;
        }
        Some(unit)
    }

    fn unicode(&mut self) -> Result<char, GoJsonError> {
        let Some(unit) = self.hex() else { return self.fault("four hexadecimal digits are due") };
        self.at += 4;
        if let Some(c) = char::from_u32(unit) {
            return Ok(c);
        }
        // A pair of surrogates is one character; a lone one is not, and what follows it is read by itself.
        if (0xd800..0xdc00).contains(&unit) && self.bytes.get(self.at..self.at + 2) == Some(b"\\u") {
            self.at += 2;
            let low = self.hex();
            if let Some(low @ 0xdc00..0xe000) = low {
                self.at += 4;
                let code = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
                return Ok(char::from_u32(code).unwrap_or('\u{fffd}'));
            }
            self.at -= 2;
        }
        Ok('\u{fffd}')
    }
}

/// Text of bytes. Go makes a U+FFFD of each byte that is no part of a character (`unquoteBytes`), Rust's standard library one
/// of each sequence that begins like one: a path could be another path.
fn unicode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const MOUNT: Shape =
        Shape::Struct(&[("Type", Shape::Text), ("Source", Shape::Text), ("Target", Shape::Text)]);
    const HOST: Shape = Shape::Struct(&[
        ("Privileged", Shape::Bool),
        ("Binds", Shape::Slice(&Shape::Text)),
        ("CapAdd", Shape::TextOrList),
        ("Mounts", Shape::Slice(&MOUNT)),
        ("Sysctls", Shape::Map(&Shape::Text)),
        ("NetworkMode", Shape::Text),
    ]);
    const CREATE: Shape = Shape::Struct(&[
        ("Image", Shape::Text),
        ("HostConfig", Shape::Pointer(&HOST)),
        ("Labels", Shape::Any),
    ]);

    fn read(body: &str) -> Value {
        decode(body.as_bytes(), &CREATE).expect("it decodes")
    }

    #[test]
    fn keys_are_found_with_letters_folded_as_go_folds_them() {
        let value = read(
            "{\"hostconfig\": {\"PRIVILEGED\": true, \"networ\u{212a}mode\": \"host\", \"bind\u{17f}\": [\"/:/x\"]}}",
        );
        assert_eq!(
            value["HostConfig"],
            json!({"Privileged": true, "NetworkMode": "host", "Binds": ["/:/x"]})
        );
    }

    #[test]
    fn the_very_name_goes_before_a_folded_one_and_order_decides_what_stays() {
        assert_eq!(read(r#"{"Image": "a", "image": "b"}"#)["Image"], "b");
        assert_eq!(read(r#"{"image": "b", "Image": "a"}"#)["Image"], "a");
    }

    #[test]
    fn a_key_that_comes_again_is_merged_into_what_is_there() {
        let value = read(r#"{"HostConfig": {"Privileged": true}, "HostConfig": {"NetworkMode": "none"}}"#);
        assert_eq!(value["HostConfig"], json!({"Privileged": true, "NetworkMode": "none"}));
        let value = read(r#"{"HostConfig": {"Sysctls": {"a": "1"}, "Sysctls": {"b": "2"}}}"#);
        assert_eq!(value["HostConfig"]["Sysctls"], json!({"a": "1", "b": "2"}));
    }

    #[test]
    fn null_takes_a_pointer_away_and_leaves_a_scalar() {
        assert_eq!(
            read(r#"{"HostConfig": {"Privileged": true}, "HostConfig": null}"#)["HostConfig"],
            Value::Null
        );
        let value = read(r#"{"HostConfig": {"Privileged": true, "Privileged": null}}"#);
        assert_eq!(value["HostConfig"]["Privileged"], true);
    }

    #[test]
    fn a_second_list_inherits_from_the_elements_of_the_first() {
        let value = read(
            r#"{"HostConfig": {"Mounts": [{"Type": "bind", "Source": "/"}], "Mounts": [{"Target": "/x"}]}}"#,
        );
        assert_eq!(value["HostConfig"]["Mounts"], json!([{"Type": "bind", "Source": "/", "Target": "/x"}]));
        let shortened = r#"{"HostConfig": {"Mounts": [{"Source": "/a"}, {"Source": "/b"}], "Mounts": [{}], "Mounts": [{}, {}]}}"#;
        assert_eq!(read(shortened)["HostConfig"]["Mounts"], json!([{"Source": "/a"}, {"Source": "/b"}]));
        let emptied = r#"{"HostConfig": {"Mounts": [{"Source": "/a"}], "Mounts": [], "Mounts": [{}]}}"#;
        assert_eq!(read(emptied)["HostConfig"]["Mounts"], json!([{}]));
    }

    #[test]
    fn one_text_may_stand_for_a_list_of_texts() {
        assert_eq!(read(r#"{"HostConfig": {"CapAdd": "ALL"}}"#)["HostConfig"]["CapAdd"], json!(["ALL"]));
    }

    #[test]
    fn what_follows_the_first_value_is_not_looked_at() {
        assert_eq!(read(r#"{"Image": "a"} {"Image": "b"} ]["#)["Image"], "a");
    }

    #[test]
    fn texts_that_are_no_unicode_are_replaced_as_go_replaces_them() {
        assert_eq!(read(r#"{"Image": "\ud800x"}"#)["Image"], "\u{fffd}x");
        assert_eq!(read(r#"{"Image": "\ud83d\ude00"}"#)["Image"], "\u{1f600}");
        let image = |body: &[u8]| decode(body, &CREATE).expect("it decodes")["Image"].clone();
        assert_eq!(image(b"{\"Image\": \"\xff\"}"), "\u{fffd}");
        assert_eq!(image(b"{\"Image\": \"\xe2\x82\"}"), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_wrong_type_is_named_with_its_field() {
        let error = decode(br#"{"HostConfig": {"Privileged": "true"}}"#, &CREATE).expect_err("a text");
        assert_eq!(error.to_string(), "HostConfig.Privileged holds a text, where the daemon takes a boolean");
    }

    #[test]
    fn what_is_no_json_is_refused_with_the_byte() {
        for body in
            ["{", "{\"a\"}", "{\"a\":}", "[1,]", "01", "\"a", "{'a':1}", "nul", "\u{feff}{}", "{\"a\":1,}"]
        {
            assert!(
                matches!(
                    decode(body.as_bytes(), &CREATE),
                    Err(GoJsonError::Syntax { .. } | GoJsonError::Type { .. })
                ),
                "{body}"
            );
        }
        assert_eq!(decode(b" \n", &CREATE), Err(GoJsonError::Empty));
        let deep = "[".repeat(100_000);
        assert!(matches!(decode(deep.as_bytes(), &CREATE), Err(GoJsonError::TooDeep { .. })));
    }
}
