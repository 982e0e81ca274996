//! Text that others wrote (names, paths, messages) made safe for the place it is put in. Each format has its own rules;
//! what no reader should meet raw, such as terminal controls and marks that turn the direction of text, is made visible
//! first.

use std::borrow::Cow;
use std::fmt::{self, Write as _};

/// Control characters and those that hide or reorder others, as `\u{202e}`. Line feeds and tabs stay.
pub(crate) fn visible(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if is_hidden(c) {
            // Writing to a String does not fail.
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// As [`visible`], on one line.
pub(crate) fn one_line(text: &str) -> Cow<'_, str> {
    if text.contains(['\n', '\t']) {
        let words: Vec<&str> = text.split_whitespace().collect();
        return Cow::Owned(visible(&words.join(" ")).into_owned());
    }
    visible(text)
}

/// As [`visible`], for an excerpt whose spans count bytes: each hidden character becomes one that is as long.
pub(crate) fn same_length(text: &str) -> Cow<'_, str> {
    // A CR before its LF ends a line.
    let hidden = |c: char| is_hidden(c) && c != '\r';
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let stand_in = |c: char| match (hidden(c), c.len_utf8()) {
        (false, _) => c,
        (true, 1) => '?',
        (true, 2) => '\u{bf}',
        (true, _) => '\u{fffd}',
    };
    Cow::Owned(text.chars().map(stand_in).collect())
}

/// Controls (Cc), bidirectional marks (UAX #9, and CVE-2021-42574 for why), invisible joiners, the byte-order mark, and
/// what XML 1.0 forbids.
fn is_hidden(c: char) -> bool {
    (c.is_control() && c != '\n' && c != '\t')
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
        || matches!(c, '\u{fffe}' | '\u{ffff}')
}

/// For the text of an element and for a quoted attribute, in HTML and in XML 1.0.
pub(crate) fn markup(text: &str) -> Cow<'_, str> {
    let text = visible(text);
    if !text.contains(['&', '<', '>', '"', '\'', '\n', '\t', '`']) {
        return text;
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            '`' => out.push_str("&#96;"),
            // An attribute's value is normalised to spaces otherwise (XML 1.0, 3.3.3).
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// [`markup`] for the templates, which put all text through it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Markup;

impl askama::filters::Escaper for Markup {
    fn write_escaped_str<W: fmt::Write>(&self, mut out: W, text: &str) -> fmt::Result {
        out.write_str(&markup(text))
    }
}

/// The path of a file as a URI reference (RFC 3986): relative ones stay so, absolute ones become `file:` URIs. `None` where the path
/// is no file: standard input, a `--run` line, a live source.
pub(crate) fn uri(path: &str) -> Option<String> {
    let path = file(path)?;
    let mut out = String::with_capacity(path.len() + 8);
    if path.starts_with('/') {
        out.push_str("file://");
    }
    for byte in path.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                out.push(byte.into())
            }
            _ => {
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    Some(out)
}

/// The path without `./` before it, where it is a file's.
pub(crate) fn file(path: &str) -> Option<&str> {
    const LIVE: &[&str] = &["docker:", "podman:", "containerd:", "kubernetes:", "proc:", "host:"];
    let is_file = !path.is_empty()
        && path != "-"
        && !path.starts_with("--run")
        && !LIVE.iter().any(|scheme| path.starts_with(scheme));
    let mut path = Some(path).filter(|_| is_file)?;
    while let Some(rest) = path.strip_prefix("./").filter(|rest| !rest.is_empty()) {
        path = rest.trim_start_matches('/');
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::{file, markup, one_line, same_length, uri, visible};

    #[test]
    fn hidden_characters_become_visible_and_others_stay() {
        assert_eq!(visible("caf\u{e9} \u{1f600}\nx"), "caf\u{e9} \u{1f600}\nx");
        assert_eq!(visible("a\u{1b}[31m\u{202e}\0\u{85}"), "a\\u{1b}[31m\\u{202e}\\u{0}\\u{85}");
        assert_eq!(one_line("a\n  b\tc"), "a b c");
    }

    #[test]
    fn an_excerpt_keeps_its_length_and_loses_its_controls() {
        let text = "a\u{1b}[31m\u{9b}\u{202e}\u{e9}\r\n";
        let safe = same_length(text);
        assert_eq!(safe, "a?[31m\u{bf}\u{fffd}\u{e9}\r\n");
        assert_eq!(safe.len(), text.len());
    }

    #[test]
    fn markup_leaves_no_way_out_of_text_or_attribute() {
        assert_eq!(
            markup("</script><a b='c' d=\"e\">&`"),
            "&lt;/script&gt;&lt;a b=&#39;c&#39; d=&quot;e&quot;&gt;&amp;&#96;"
        );
        assert_eq!(markup("a\nb\tc"), "a&#10;b&#9;c");
    }

    #[test]
    fn paths_become_uri_references() {
        assert_eq!(uri("./a/b c.yaml").as_deref(), Some("a/b%20c.yaml"));
        assert_eq!(uri("../\u{e9}%:x").as_deref(), Some("../%C3%A9%25%3Ax"));
        assert_eq!(uri("/etc/app.yaml").as_deref(), Some("file:///etc/app.yaml"));
        assert_eq!(uri("-"), None);
        assert_eq!(uri("--run#2"), None);
        assert_eq!(uri("docker:web"), None);
        assert_eq!(file(".//x"), Some("x"));
    }
}
