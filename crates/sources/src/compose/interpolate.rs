//! Interpolation of variables in Compose values, as the Compose specification's "Interpolation" says.

use std::collections::BTreeMap;

use crate::options::UNKNOWN;

/// Variables by name. What is not there is unset.
pub type Environment = BTreeMap<String, String>;

/// Nested defaults (`${A:-${B:-c}}`) deeper than this are not followed.
const MAX_DEPTH: u8 = 16;

/// What became of a value.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interpolated {
    /// With [`UNKNOWN`] where a variable is not set and has no default.
    pub text: String,
    /// Names of such variables.
    pub unset: Vec<String>,
    /// `${NAME:?message}` of a variable that is not set: Compose refuses the file.
    pub refused: Option<String>,
}

/// Replaces `$NAME` and `${NAME…}`; `$$` is a dollar sign. An unset variable, which Compose would replace by
/// nothing with a warning, is not known here: the machine that runs the file may set it.
pub(super) fn interpolate(value: &str, environment: &Environment) -> Result<Interpolated, String> {
    let mut out = Interpolated { text: String::with_capacity(value.len()), unset: Vec::new(), refused: None };
    expand(value, environment, &mut out, 0)?;
    Ok(out)
}

fn expand(value: &str, environment: &Environment, out: &mut Interpolated, depth: u8) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("variables are nested too deep".into());
    }
    let mut rest = value;
    while let Some(at) = rest.find('$') {
        let (before, after) = rest.split_at(at);
        out.text.push_str(before);
        let after = &after[1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.text.push('$');
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('{') {
            let end = closing(inner).ok_or_else(|| format!("`{value}` has a `${{` that is not closed"))?;
            braced(&inner[..end], value, environment, out, depth)?;
            rest = &inner[end + 1..];
        } else {
            let name = name_of(after);
            if name.is_empty() {
                // A dollar sign before anything else is one, as in regular expressions.
                out.text.push('$');
            } else {
                substitute(name, environment, out);
            }
            rest = &after[name.len()..];
        }
    }
    out.text.push_str(rest);
    Ok(())
}

fn name_of(text: &str) -> &str {
    let starts = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if starts { &text[..end] } else { "" }
}

/// Where the brace that closes this one stands.
fn closing(inner: &str) -> Option<usize> {
    let mut open = 0usize;
    let mut previous = ' ';
    for (i, c) in inner.char_indices() {
        match c {
            '{' if previous == '$' => open += 1,
            '}' if open == 0 => return Some(i),
            '}' => open -= 1,
            _ => {}
        }
        previous = c;
    }
    None
}

fn substitute(name: &str, environment: &Environment, out: &mut Interpolated) {
    match environment.get(name) {
        Some(value) => out.text.push_str(value),
        None => {
            out.text.push(UNKNOWN);
            out.unset.push(name.to_owned());
        }
    }
}

fn braced(
    inner: &str,
    whole: &str,
    environment: &Environment,
    out: &mut Interpolated,
    depth: u8,
) -> Result<(), String> {
    let name = name_of(inner);
    if name.is_empty() {
        return Err(format!("`{whole}` names no variable"));
    }
    let operator = &inner[name.len()..];
    let value = environment.get(name);
    let non_empty = value.filter(|v| !v.is_empty());
    // (the variable's value if it counts as set, the word after the operator)
    let (set, kind, word) = match operator.strip_prefix(':') {
        Some(rest) => (non_empty, rest.chars().next(), rest.get(1..).unwrap_or("")),
        None => (value, operator.chars().next(), operator.get(1..).unwrap_or("")),
    };
    match kind {
        None if operator.is_empty() => substitute(name, environment, out),
        Some('-') => match set {
            Some(value) => out.text.push_str(value),
            None => expand(word, environment, out, depth + 1)?,
        },
        Some('+') if set.is_some() => expand(word, environment, out, depth + 1)?,
        Some('+') => {}
        Some('?') => match set {
            Some(value) => out.text.push_str(value),
            None => {
                out.text.push(UNKNOWN);
                out.refused = Some(format!("variable {name} must be set: {word}"));
            }
        },
        _ => return Err(format!("`{whole}` is not an interpolation that Compose knows")),
    }
    Ok(())
}

/// Reads an `.env` file: `NAME=value` lines, `export` allowed, single or double quotes, `#` comments.
pub fn parse_env(text: &str) -> Environment {
    let mut environment = Environment::new();
    for line in text.lines() {
        let line = line.trim_start();
        let line = line.strip_prefix("export ").unwrap_or(line);
        if line.starts_with('#') {
            continue;
        }
        let Some((name, value)) = line.split_once('=') else { continue };
        let value = value.trim_start();
        let value = match value.chars().next() {
            Some(quote @ ('"' | '\'')) => value[1..].split(quote).next().unwrap_or(""),
            _ => value.split(" #").next().unwrap_or("").trim_end(),
        };
        environment.insert(name.trim().to_owned(), value.to_owned());
    }
    environment
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(value: &str) -> String {
        let environment = Environment::from([("A".into(), "a".into()), ("EMPTY".into(), String::new())]);
        interpolate(value, &environment).unwrap().text
    }

    #[test]
    fn every_form_of_the_specification_is_replaced() {
        for (value, expected) in [
            ("$A/${A}", "a/a"),
            ("${B:-x}${B-y}", "xy"),
            ("${EMPTY:-x}[${EMPTY-y}]", "x[]"),
            ("${A:+set}${B:+set}${EMPTY:+no}${EMPTY+yes}", "setyes"),
            ("$$A $${A}", "$A ${A}"),
            ("${B:-${C:-${A}}}", "a"),
            ("cost: 5$ and $1", "cost: 5$ and $1"),
            ("$B", "\u{FFFC}"),
        ] {
            assert_eq!(run(value), expected, "{value}");
        }
    }

    #[test]
    fn a_variable_that_must_be_set_is_refused() {
        let got = interpolate("${B:?say which}", &Environment::new()).unwrap();
        assert_eq!(got.refused.as_deref(), Some("variable B must be set: say which"));
    }

    #[test]
    fn broken_interpolations_are_errors() {
        for value in ["${A", "${}", "${A!x}", "${1}"] {
            assert!(interpolate(value, &Environment::new()).is_err(), "{value}");
        }
    }

    #[test]
    fn env_files_are_read_with_quotes_and_comments() {
        let env = parse_env("# c\nA=1\nexport B='two # x'\nC=\"three\" # c\nD=four # c\nno line\n");
        let get = |k: &str| env.get(k).map(String::as_str);
        assert_eq!(
            [get("A"), get("B"), get("C"), get("D")],
            [Some("1"), Some("two # x"), Some("three"), Some("four")]
        );
    }
}
