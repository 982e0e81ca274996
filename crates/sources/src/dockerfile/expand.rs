//! Variables and the `NAME=VALUE` lists of Dockerfiles, as moby/buildkit's frontend/dockerfile/shell and
//! parser/line_parsers.go read them.

use crate::options::UNKNOWN;

/// A value longer than this is not known.
const LONGEST: usize = 8 << 10;
const DEEPEST: usize = 16;

/// What a variable stands for: `None` where nothing declares it, `Some(None)` where its value is given at build time.
type Lookup<'l> = &'l dyn Fn(&str) -> Option<Option<String>>;

/// Text with quotes removed and variables put in. What is not known becomes [`UNKNOWN`].
pub(super) fn expand(text: &str, lookup: Lookup<'_>) -> String {
    let mut value = String::new();
    let mut rest = text;
    word(&mut rest, lookup, None, 0, &mut value);
    if value.len() > LONGEST {
        return UNKNOWN.to_string();
    }
    value
}

/// Reads up to the end, or up to a closing brace where there is one to find.
fn word(rest: &mut &str, lookup: Lookup<'_>, until: Option<char>, depth: usize, value: &mut String) {
    let mut double = false;
    while let Some(c) = rest.chars().next() {
        let after = rest.get(c.len_utf8()..).unwrap_or("");
        match c {
            _ if Some(c) == until && !double => {
                *rest = after;
                return;
            }
            '\'' if !double => {
                let end = after.find('\'').unwrap_or(after.len());
                value.push_str(after.get(..end).unwrap_or(""));
                *rest = after.get(end + 1..).unwrap_or("");
            }
            '"' => {
                double = !double;
                *rest = after;
            }
            '\\' => {
                let next = after.chars().next();
                value.extend(next);
                *rest = after.get(next.map_or(0, char::len_utf8)..).unwrap_or("");
            }
            '$' if depth < DEEPEST => {
                *rest = after;
                variable(rest, lookup, depth, value);
            }
            _ => {
                value.push(c);
                *rest = after;
            }
        }
        if value.len() > LONGEST {
            *rest = "";
        }
    }
}

fn variable<'t>(rest: &mut &'t str, lookup: Lookup<'_>, depth: usize, value: &mut String) {
    let braced = rest.starts_with('{');
    let whole: &'t str = rest;
    let body = if braced { whole.get(1..).unwrap_or("") } else { whole };
    let end = body.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(body.len());
    let name = body.get(..end).unwrap_or("");
    let after = body.get(end..).unwrap_or("");
    if name.is_empty() && !braced {
        value.push('$');
        return;
    }
    let found = lookup(name);
    let known = found.clone().flatten();
    if !braced {
        *rest = after;
        match known {
            Some(text) => value.push_str(&text),
            None => value.push(UNKNOWN),
        }
        return;
    }
    let colon = after.strip_prefix(':').unwrap_or(after);
    let operator = colon.chars().next();
    let mut operand_rest = colon.get(operator.map_or(0, char::len_utf8)..).unwrap_or("");
    let set = known.as_ref().filter(|text| !text.is_empty() || !after.starts_with(':'));
    match operator {
        Some('}') if colon.len() == after.len() => {
            *rest = operand_rest;
            match known {
                Some(text) => value.push_str(&text),
                None => value.push(UNKNOWN),
            }
        }
        Some('-') => {
            let mut default = String::new();
            word(&mut operand_rest, lookup, Some('}'), depth + 1, &mut default);
            *rest = operand_rest;
            value.push_str(set.unwrap_or(&default));
        }
        Some('+') => {
            let mut alternative = String::new();
            word(&mut operand_rest, lookup, Some('}'), depth + 1, &mut alternative);
            *rest = operand_rest;
            match (set, found) {
                (Some(_), _) => value.push_str(&alternative),
                // Declared, and given or not when the image is built.
                (None, Some(None)) => value.push(UNKNOWN),
                (None, _) => {}
            }
        }
        // `${NAME#pattern}`, `${NAME%pattern}`, `${NAME/a/b}`, `${NAME:?message}`
        _ => {
            let mut ignored = String::new();
            word(&mut operand_rest, lookup, Some('}'), depth + 1, &mut ignored);
            *rest = operand_rest;
            match (operator, known) {
                (Some('?'), Some(text)) => value.push_str(&text),
                _ => value.push(UNKNOWN),
            }
        }
    }
}

/// One `NAME=VALUE` with the bytes of the text where its value (or name) stands. Quotes are still in the value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) value: Option<String>,
    pub(super) offset: usize,
    pub(super) length: usize,
}

/// The pairs of an instruction. `legacy`: `ENV NAME VALUE`, one pair with everything behind the name as its value.
pub(super) fn pairs(text: &str, legacy: bool) -> Vec<Pair> {
    let mut found = Vec::new();
    for (offset, word) in words(text) {
        match word.split_once('=') {
            Some((name, value)) => {
                let from = offset + name.len() + 1;
                found.push(Pair {
                    name: name.trim_matches(['"', '\'']).to_owned(),
                    value: Some(value.to_owned()),
                    offset: from,
                    length: value.len(),
                });
            }
            None if legacy && found.is_empty() => {
                let behind = text.get(offset + word.len()..).unwrap_or("");
                let value = behind.trim();
                let from = offset + word.len() + (behind.len() - behind.trim_start().len());
                return vec![Pair {
                    name: word.to_owned(),
                    value: Some(value.to_owned()),
                    offset: from,
                    length: value.len(),
                }];
            }
            None if legacy => {}
            None => {
                found.push(Pair { name: word.to_owned(), value: None, offset, length: word.len() });
            }
        }
    }
    found
}

/// Words parted by blanks, quotes respected and kept, each with its offset.
fn words(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut start = None;
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        if escaped {
            escaped = false;
            continue;
        }
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if let Some(from) = start.take() {
                    found.push((from, text.get(from..at).unwrap_or("")));
                }
                continue;
            }
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (Some('\''), _) => {}
            (_, '\\') => escaped = true,
            _ => {}
        }
        start.get_or_insert(at);
    }
    if let Some(from) = start {
        found.push((from, text.get(from..).unwrap_or("")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(text: &str) -> String {
        expand(text, &|name| match name {
            "A" => Some(Some("one".to_owned())),
            "EMPTY" => Some(Some(String::new())),
            "GIVEN" => Some(None),
            _ => None,
        })
    }

    #[test]
    fn variables_and_quotes_are_read_as_the_builder_reads_them() {
        for (text, value) in [
            ("$A", "one"),
            ("${A}x", "onex"),
            ("\"$A\" '$A' \\$A", "one $A $A"),
            ("${B:-two}", "two"),
            ("${B:-${A}}", "one"),
            ("${EMPTY:-two}", "two"),
            ("${EMPTY-two}", ""),
            ("${A:+three}", "three"),
            ("${EMPTY:+three}", ""),
            ("${B:+three}", ""),
            ("a$", "a$"),
            ("$B", "\u{FFFC}"),
            ("${GIVEN:+three}", "\u{FFFC}"),
            ("${A%e}", "\u{FFFC}"),
            ("${A:?needed}", "one"),
        ] {
            assert_eq!(with(text), value, "{text}");
        }
    }

    #[test]
    fn what_grows_without_bound_or_never_closes_ends() {
        with(&"${A:-".repeat(100_000));
        with(&"${".repeat(100_000));
        assert_eq!(with(&"$A".repeat(100_000)), "\u{FFFC}");
        with("'");
        with("\"");
        with("\\");
        with("$\u{e9}");
    }

    #[test]
    fn lists_of_pairs() {
        let names = |text: &str, legacy| -> Vec<(String, Option<String>)> {
            pairs(text, legacy).into_iter().map(|pair| (pair.name, pair.value)).collect()
        };
        let pair = |name: &str, value: &str| (name.to_owned(), Some(value.to_owned()));
        assert_eq!(names("A=1 B=\"2 3\"", true), [pair("A", "1"), pair("B", "\"2 3\"")]);
        assert_eq!(names("A b c=d", true), [pair("A", "b c=d")]);
        assert_eq!(names("A B=2", false), [("A".to_owned(), None), pair("B", "2")]);
        assert_eq!(names("", true), []);
        let pairs = pairs("A=1 BC=22", true);
        assert_eq!((pairs[1].offset, pairs[1].length), (7, 2));
    }
}
