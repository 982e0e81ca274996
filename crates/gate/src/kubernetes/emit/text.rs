//! Texts of CEL: literals, and patterns of names as expressions.

use policy::pattern::Pattern;

/// A string literal.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('\'');
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\'' => quoted.push_str("\\'"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('\'');
    quoted
}

/// A regular expression, as it is where it can be.
pub(super) fn pattern(expression: &str) -> String {
    if expression.contains('\'') || expression.chars().any(char::is_control) {
        quote(expression)
    } else {
        format!("r'{expression}'")
    }
}

/// A list of string literals.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<String> = items.iter().map(|item| quote(item.as_ref())).collect();
    format!("[{}]", items.join(", "))
}

/// What stands for itself in a regular expression of RE2.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if "\\.+*?()|[]{}^$".contains(c) {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

/// Whether the text of `subject` (an expression) is what a pattern stands for.
pub(super) fn matches(pattern: &Pattern, subject: &str) -> String {
    let text = pattern.as_str();
    let parts: Vec<&str> = text.split('*').collect();
    match parts.as_slice() {
        [whole] => format!("{subject} == {}", quote(whole)),
        _ if parts.iter().all(|part| part.is_empty()) => "true".to_owned(),
        [start, ""] => format!("{subject}.startsWith({})", quote(start)),
        ["", end] => format!("{subject}.endsWith({})", quote(end)),
        _ => {
            let parts: Vec<String> = parts.iter().map(|part| escape(part)).collect();
            format!("{subject}.matches({})", self::pattern(&format!("(?s)^{}$", parts.join(".*"))))
        }
    }
}

/// Alternatives, of which one is enough.
pub(super) fn any(parts: Vec<String>) -> String {
    joined(parts, " || ", "true", "false")
}

/// Parts that must all be so.
pub(super) fn all(parts: Vec<String>) -> String {
    joined(parts, " && ", "false", "true")
}

/// `decides` alone decides; `neutral` is left out, and is what nothing at all comes to.
fn joined(mut parts: Vec<String>, operator: &str, decides: &str, neutral: &str) -> String {
    if parts.iter().any(|part| part == decides) {
        return decides.to_owned();
    }
    parts.retain(|part| part != neutral);
    parts.dedup();
    match parts.len() {
        0 => neutral.to_owned(),
        1 => parts.remove(0),
        _ => parts.iter().map(|part| grouped(part)).collect::<Vec<_>>().join(operator),
    }
}

/// In brackets, where an operator beside it could take it apart.
pub(super) fn grouped(part: &str) -> String {
    if part.contains(" || ") || part.contains(" ? ") || part.contains(" && ") {
        format!("({part})")
    } else {
        part.to_owned()
    }
}

/// The opposite.
pub(super) fn not(part: &str) -> String {
    match part {
        "true" => "false".to_owned(),
        "false" => "true".to_owned(),
        _ if part.contains(' ') => format!("!({part})"),
        _ => format!("!{part}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_becomes_the_simplest_expression_that_says_the_same() {
        for (pattern, expected) in [
            ("web", "n == 'web'"),
            ("web-*", "n.startsWith('web-')"),
            ("*.example.com", "n.endsWith('.example.com')"),
            ("*", "true"),
            ("a*b.c", "n.matches(r'(?s)^a.*b\\.c$')"),
            ("a'*b.c", "n.matches('(?s)^a\\'.*b\\\\.c$')"),
            ("it's", "n == 'it\\'s'"),
        ] {
            assert_eq!(matches(&Pattern::new(pattern), "n"), expected);
        }
    }
}
