//! What an untyped scalar means.
//!
//! The rules are go-yaml's (`resolve.go` of `gopkg.in/yaml.v3`): the YAML 1.2 core schema, with the YAML 1.1
//! integers `0644` (octal), `0b101` and `1_000` kept. `0644` matters: it is how file modes are written.

use super::tree::Value;

/// The meaning of a plain scalar.
pub(super) fn resolve(text: &str) -> Value {
    let Some(first) = text.bytes().next() else { return Value::Null };
    match first {
        b'~' | b'n' | b'N' if matches!(text, "~" | "null" | "Null" | "NULL") => Value::Null,
        b't' | b'T' if matches!(text, "true" | "True" | "TRUE") => Value::Bool(true),
        b'f' | b'F' if matches!(text, "false" | "False" | "FALSE") => Value::Bool(false),
        b'0'..=b'9' | b'+' | b'-' | b'.' => number(text).unwrap_or(Value::String),
        _ => Value::String,
    }
}

/// The booleans of YAML 1.1, which go-yaml still takes where a boolean is asked for.
pub(super) fn bool_yaml11(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" | "true" | "True" | "TRUE" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" | "false" | "False" | "FALSE" => Some(false),
        _ => None,
    }
}

/// An integer that fits 64 bits, else a float; `None` for text that is no number.
pub(super) fn number(text: &str) -> Option<Value> {
    let special = match text {
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => Some(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => Some(f64::NEG_INFINITY),
        ".nan" | ".NaN" | ".NAN" => Some(f64::NAN),
        _ => None,
    };
    if let Some(float) = special {
        return Some(Value::Float(float));
    }
    // A number is short; without this bound a long line of digits would be copied to no use.
    if text.len() > 400 {
        return None;
    }
    let without_underscores;
    let plain = if text.contains('_') && text.as_bytes().first().is_some_and(|b| *b != b'.') {
        without_underscores = text.replace('_', "");
        without_underscores.as_str()
    } else {
        text
    };
    integer(plain).or_else(|| float(plain))
}

fn integer(text: &str) -> Option<Value> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    let (radix, digits) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (16, digits.get(2..)?),
        [b'0', b'o' | b'O', ..] => (8, digits.get(2..)?),
        [b'0', b'b' | b'B', ..] => (2, digits.get(2..)?),
        [b'0', _, ..] => (8, digits.get(1..)?),
        _ => (10, digits),
    };
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let value = if negative { -magnitude } else { magnitude };
    Some(i64::try_from(value).map_or(Value::Float(value as f64), Value::Integer))
}

/// `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`, as go-yaml's `yamlStyleFloat`. Rust's own parser
/// takes more (`inf`, `nan`), so the shape is checked first.
fn float(text: &str) -> Option<Value> {
    let digits = text.bytes().any(|b| b.is_ascii_digit());
    let shape = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    if !digits || !shape {
        return None;
    }
    text.parse::<f64>().ok().map(Value::Float)
}

/// A JSON number (RFC 8259, section 6); the scanner has already checked its shape.
pub(super) fn json_number(text: &str) -> Value {
    match text.parse::<i64>() {
        Ok(integer) => Value::Integer(integer),
        Err(_) => Value::Float(text.parse().unwrap_or(f64::NAN)),
    }
}
