//! A small YAML document, written in block style. Compose replaces variables in every text, so a `$` is doubled.

/// A node to write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    /// A text, quoted where YAML would take it for something else.
    Text(String),
    /// A number or truth value, as it stands.
    Bare(String),
    Null,
    List(Vec<Node>),
    Map(Vec<(String, Node)>),
}

impl Node {
    pub(super) fn text(text: impl Into<String>) -> Node {
        Node::Text(text.into())
    }
    pub(super) fn texts<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Node {
        Node::List(texts.into_iter().map(Node::text).collect())
    }
    /// A number where it is one, for keys that take either.
    pub(super) fn number(text: &str) -> Node {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let decimal = !digits.is_empty()
            && digits.chars().all(|c| c.is_ascii_digit() || c == '.')
            && digits.matches('.').count() <= 1
            && digits.starts_with(|c: char| c.is_ascii_digit())
            && digits.ends_with(|c: char| c.is_ascii_digit())
            && (digits.len() == 1 || !digits.starts_with('0') || digits.starts_with("0."));
        if decimal { Node::Bare(text.to_owned()) } else { Node::text(text) }
    }
    fn is_empty(&self) -> bool {
        match self {
            Node::List(items) => items.is_empty(),
            Node::Map(entries) => entries.is_empty(),
            _ => false,
        }
    }
}

/// The document, ending in a newline.
pub(super) fn write(root: &Node) -> String {
    let mut out = String::new();
    block(root, 0, &mut out);
    out
}

fn block(node: &Node, depth: usize, out: &mut String) {
    match node {
        Node::Map(entries) => {
            for (key, value) in entries {
                indent(depth, out);
                out.push_str(&scalar(key));
                out.push(':');
                child(value, depth, out);
            }
        }
        Node::List(items) => {
            for item in items {
                indent(depth, out);
                out.push('-');
                match item {
                    // The first entry stands beside the dash.
                    Node::Map(entries) if !entries.is_empty() => {
                        let mut inner = String::new();
                        block(item, depth + 1, &mut inner);
                        out.push(' ');
                        out.push_str(inner.trim_start_matches(' '));
                    }
                    _ => child(item, depth, out),
                }
            }
        }
        leaf => {
            out.push_str(&inline(leaf));
            out.push('\n');
        }
    }
}

fn child(node: &Node, depth: usize, out: &mut String) {
    match node {
        Node::Map(_) | Node::List(_) if !node.is_empty() => {
            out.push('\n');
            block(node, depth + 1, out);
        }
        Node::Null => out.push('\n'),
        leaf => {
            out.push(' ');
            out.push_str(&inline(leaf));
            out.push('\n');
        }
    }
}

fn inline(node: &Node) -> String {
    match node {
        Node::Text(text) => scalar(&text.replace('$', "$$")),
        Node::Bare(text) => text.clone(),
        Node::Null => String::new(),
        Node::List(_) => "[]".to_owned(),
        Node::Map(_) => "{}".to_owned(),
    }
}

fn indent(depth: usize, out: &mut String) {
    out.extend(std::iter::repeat_n("  ", depth));
}

/// Words that YAML 1.1 or 1.2 reads as something else than a text.
const RESERVED: &[&str] = &["true", "false", "yes", "no", "on", "off", "null", "y", "n"];

/// Plain where nothing can be mistaken, else in single quotes, else with escapes.
fn scalar(text: &str) -> String {
    let inside = |c: char| c.is_ascii_alphanumeric() || "_./:@=+-".contains(c);
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/' || c == '_')
        && text.chars().all(inside)
        && !text.ends_with(':')
        && !RESERVED.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    // Printable characters but line breaks (YAML 1.2.2, 5.1).
    let printable = |c: char| {
        !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
    };
    if text.chars().all(printable) {
        return format!("'{}'", text.replace('\'', "''"));
    }
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if printable(c) => out.push(c),
            c if (c as u32) < 0x100 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push_str(&format!("\\u{:04x}", c as u32)),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_yaml_would_take_for_something_else_is_quoted() {
        for (text, expected) in [
            ("/a:/b:ro", "/a:/b:ro"),
            ("no", "'no'"),
            ("80:80", "'80:80'"),
            ("a: b", "'a: b'"),
            ("a #b", "'a #b'"),
            ("it's", "'it''s'"),
            ("", "''"),
            ("a\n\u{1b}\u{2028}\"", "\"a\\n\\x1b\\u2028\\\"\""),
            ("a:", "'a:'"),
        ] {
            assert_eq!(scalar(text), expected);
        }
        assert_eq!(Node::number("1.5"), Node::Bare("1.5".into()));
        assert_eq!(Node::number("010"), Node::text("010"));
        assert_eq!(Node::number("-1"), Node::Bare("-1".into()));
    }

    #[test]
    fn a_tree_is_written_in_block_style_with_dollars_doubled() {
        let map = |entries: &[(&str, Node)]| {
            Node::Map(entries.iter().map(|(key, node)| ((*key).to_owned(), node.clone())).collect())
        };
        let list = Node::List(vec![map(&[("a", Node::text("$x")), ("b", Node::Null)]), Node::text("c")]);
        let root =
            map(&[("l", list), ("e", Node::List(Vec::new())), ("m", map(&[("k", Node::number("1"))]))]);
        assert_eq!(write(&root), "l:\n  - a: '$$x'\n    b:\n  - c\ne: []\nm:\n  k: 1\n");
    }
}
