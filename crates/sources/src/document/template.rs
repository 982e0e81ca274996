//! Recognises text that a template tool (Helm, Jinja, Go templates) has still to render.

/// Whether a scalar holds a marker: `{{ … }}`, `{% … %}`.
pub(super) fn has_marker(text: &str) -> bool {
    find_marker(text).is_some()
}

fn find_marker(text: &str) -> Option<usize> {
    let go = text.find("{{").filter(|at| text.get(*at..).is_some_and(|rest| rest.contains("}}")));
    let jinja = text.find("{%").filter(|at| text.get(*at..).is_some_and(|rest| rest.contains("%}")));
    match (go, jinja) {
        (Some(go), Some(jinja)) => Some(go.min(jinja)),
        (go, jinja) => go.or(jinja),
    }
}

/// The line and column (both from 1) of the first template marker that is neither in a comment nor in
/// quotes nor in a block scalar: where it stands as YAML, and is not meant to.
pub fn looks_templated(text: &str) -> Option<(u32, u32)> {
    // The indentation of the line that opened a block scalar, while within it.
    let mut block: Option<usize> = None;
    for (n, line) in text.lines().enumerate() {
        let content = line.trim_start();
        let indent = line.len() - content.len();
        if let Some(outer) = block {
            if content.is_empty() || indent > outer {
                continue;
            }
            block = None;
        }
        let shown = before_comment(content);
        if let Some(at) = find_marker(shown).filter(|at| !is_quoted(shown, *at)) {
            let column = line.get(..indent + at).unwrap_or("").chars().count() + 1;
            return Some((super::clamp(n + 1), super::clamp(column)));
        }
        if opens_block_scalar(shown) {
            block = Some(indent);
        }
    }
    None
}

fn before_comment(content: &str) -> &str {
    if content.starts_with('#') {
        return "";
    }
    match content.find(" #") {
        Some(at) => content.get(..at).unwrap_or(content),
        None => content,
    }
}

/// Whether an odd number of quotes of one kind opens before the offset. Go templates hold quotes
/// themselves, but only behind the marker.
fn is_quoted(line: &str, at: usize) -> bool {
    let before = line.get(..at).unwrap_or("");
    before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1
}

/// `key: |`, `- >-`, `key: |2+`.
fn opens_block_scalar(line: &str) -> bool {
    let line = line.trim_end();
    let header = line.rsplit([' ', '\t']).next().unwrap_or(line);
    let rest = header.strip_prefix(['|', '>']).unwrap_or("x");
    header != line && rest.len() <= 2 && rest.bytes().all(|b| matches!(b, b'+' | b'-' | b'1'..=b'9'))
}
