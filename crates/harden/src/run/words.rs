//! Words of a shell command or a unit's list, changed in the bytes they are written in: a part of a word replaced
//! inside its quotes, a word removed with the white space or the continued line that it leaves empty.

use std::ops::Range;

use crate::draft::Edit;

/// How a character of a word's value is written.
#[derive(Clone, Debug, PartialEq)]
enum Piece {
    /// The character, its bytes, and whether it stands in quotes.
    Literal(char, Range<usize>, bool),
    /// A variable, a substitution, an escape: what it stands for is not read here.
    Other(Range<usize>),
}

impl Piece {
    fn range(&self) -> &Range<usize> {
        match self {
            Piece::Literal(_, range, _) | Piece::Other(range) => range,
        }
    }
}

/// How words are quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// POSIX.1-2017, Shell Command Language, 2.2 Quoting.
    Shell,
    /// systemd.syntax(7), Quoting, and systemd.unit(5), Specifiers.
    UnitWord,
    /// A value that is taken as it is, but for specifiers.
    UnitValue,
}

/// Characters that mean themselves in every syntax, quoted or not.
pub(crate) fn is_plain(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./:=,@+".contains(c))
}

/// The edit that turns the word written at `span`, whose value is `old`, into one with the value `new`. `None` where
/// the part that changes is not written letter by letter.
pub(crate) fn change(text: &str, span: &Range<usize>, syntax: Syntax, old: &str, new: &str) -> Option<Edit> {
    let pieces = pieces(text, span, syntax)?;
    let (old, new): (Vec<char>, Vec<char>) = (old.chars().collect(), new.chars().collect());
    let is =
        |piece: &Piece, c: Option<&char>| matches!(piece, Piece::Literal(written, ..) if Some(written) == c);
    let leading = pieces.iter().zip(&old).take_while(|(piece, c)| is(piece, Some(c))).count();
    let trailing =
        pieces.iter().rev().zip(old.iter().rev()).take_while(|(piece, c)| is(piece, Some(c))).count();
    let prefix = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let most = old.len().min(new.len()) - prefix;
    let suffix = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).take(most).count();
    let (end, inserted) = (old.len() - suffix, new.get(prefix..new.len() - suffix)?);
    // Without a variable every character of the value is one of the text.
    if pieces.len() != old.len() && !pieces.iter().any(|piece| matches!(piece, Piece::Other(_))) {
        return None;
    }
    // The numbers of the pieces that go: counted from the front, or from the back behind a variable.
    let gone = if leading >= end && (end > prefix || prefix > 0 || leading > 0) {
        prefix..end
    } else if trailing >= old.len() - prefix {
        let back = pieces.len() - (old.len() - prefix);
        back..back + (end - prefix)
    } else {
        return None;
    };
    let at = match (gone.start.checked_sub(1).and_then(|before| pieces.get(before)), pieces.get(gone.start)) {
        (_, Some(piece)) if !gone.is_empty() => piece.range().start,
        (Some(before), _) => before.range().end,
        (None, Some(piece)) => piece.range().start,
        (None, None) => return None,
    };
    let going = pieces.get(gone.clone())?;
    let mut end = going.last().map_or(at, |last| last.range().end);
    // Quotes that stand in between go as well, if they are whole.
    if going.windows(2).any(|pair| matches!(pair, [a, b] if a.range().end != b.range().start)) {
        let is_open = |piece: Option<&Piece>| matches!(piece, Some(Piece::Literal(_, _, false)));
        if !is_open(going.first()) {
            return None;
        }
        if !is_open(going.last()) {
            if gone.end < pieces.len() {
                return None;
            }
            end = span.end;
        }
    }
    let inserted: String = inserted.iter().collect();
    // `$NAME` takes letters that follow it for its own.
    let follows_name = text.get(..at).is_some_and(|before| !before.ends_with(['}', ')', '"', '\'', '`']))
        && gone.start > 0
        && matches!(pieces.get(gone.start - 1), Some(Piece::Other(_)))
        && !inserted.starts_with([':', ',']);
    (is_plain(&inserted) && !follows_name).then_some(Edit { range: at..end, text: inserted })
}

fn pieces(text: &str, span: &Range<usize>, syntax: Syntax) -> Option<Vec<Piece>> {
    let source = text.get(span.clone())?;
    let mut found = Vec::new();
    let mut quote: Option<char> = None;
    let mut characters = source.char_indices().map(|(at, c)| (span.start + at, c)).peekable();
    while let Some((at, c)) = characters.next() {
        let end = at + c.len_utf8();
        match (syntax, quote, c) {
            (Syntax::UnitValue | Syntax::UnitWord, _, '%') => {
                let end = characters.next().map_or(end, |(at, c)| at + c.len_utf8());
                found.push(Piece::Other(at..end));
            }
            (Syntax::UnitValue, _, '\\') => found.push(Piece::Other(at..end)),
            (Syntax::UnitValue, ..) => found.push(Piece::Literal(c, at..end, quote.is_some())),
            (_, None, '\'' | '"') => quote = Some(c),
            (_, Some(open), c) if open == c => quote = None,
            (Syntax::Shell, Some('\''), c) => found.push(Piece::Literal(c, at..end, quote.is_some())),
            // Before other characters a backslash in double quotes is one.
            (Syntax::Shell, Some(_), '\\') if !escapes_in_quotes(characters.peek()) => {
                found.push(Piece::Literal(c, at..end, quote.is_some()));
            }
            (_, _, '\\') => match characters.next() {
                Some((next, c)) if syntax == Syntax::Shell && !matches!(c, '\n' | '\r') => {
                    found.push(Piece::Literal(c, at..next + c.len_utf8(), quote.is_some()));
                }
                escaped => {
                    let end = escaped.map_or(end, |(at, c)| at + c.len_utf8());
                    found.push(Piece::Other(at..end));
                }
            },
            (Syntax::Shell, _, '$' | '`') => {
                let end = expansion_end(text, at, span.end);
                while characters.next_if(|(next, _)| *next < end).is_some() {}
                found.push(Piece::Other(at..end));
            }
            _ => found.push(Piece::Literal(c, at..end, quote.is_some())),
        }
    }
    quote.is_none().then_some(found)
}

fn escapes_in_quotes(next: Option<&(usize, char)>) -> bool {
    next.is_none_or(|(_, c)| matches!(c, '"' | '\\' | '$' | '`' | '\n' | '\r'))
}

/// The end of what a `$` or a backquote begins.
fn expansion_end(text: &str, at: usize, limit: usize) -> usize {
    let rest = text.get(at..limit).unwrap_or("");
    let mut characters = rest.char_indices().skip(1).peekable();
    let (close, open) = match (rest.chars().next(), characters.peek()) {
        (Some('`'), _) => ('`', None),
        (_, Some((_, '{'))) => ('}', Some('{')),
        (_, Some((_, '('))) => (')', Some('(')),
        (_, Some((_, '\''))) => {
            characters.next();
            ('\'', None)
        }
        (_, Some((_, c))) if c.is_ascii_alphabetic() || *c == '_' => {
            let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
            let name = rest.get(1..).and_then(|name| name.find(is_end)).map_or(rest.len(), |end| end + 1);
            return at + name;
        }
        (_, Some((next, c))) => return at + next + c.len_utf8(),
        (_, None) => return limit,
    };
    let mut depth = usize::from(open.is_none());
    while let Some((offset, c)) = characters.next() {
        if c == '\\' {
            characters.next();
        } else if Some(c) == open {
            depth += 1;
        } else if c == close {
            depth = depth.saturating_sub(1);
            if depth == 0 {
                return at + offset + c.len_utf8();
            }
        }
    }
    limit
}

/// The edits that remove words, in order, with the white space that parts them from the others. What stands alone on
/// continued lines goes with its lines. `None` where a comment stands in the way.
pub(crate) fn removal(text: &str, words: &[Range<usize>]) -> Option<Vec<Edit>> {
    let mut edits: Vec<Edit> = Vec::new();
    let mut at = 0;
    while let Some(first) = words.get(at) {
        // The words that stand together on one line.
        let mut last = first;
        at += 1;
        while let Some(next) = words.get(at).filter(|next| {
            text.get(last.end..next.start).is_some_and(|gap| gap.chars().all(|c| c == ' ' || c == '\t'))
        }) {
            last = next;
            at += 1;
        }
        let (from, to) = (first.start, last.end);
        let line = text.get(..from)?.rfind('\n').map_or(0, |newline| newline + 1);
        let before = text.get(line..from)?;
        let after_line = text.get(to..)?.find('\n').map_or(text.len(), |newline| to + newline);
        let after = text.get(to..after_line)?.trim_end_matches('\r');
        let above = without_comments(text.get(..line)?);
        let is_continued = is_continuation(above);
        let goes_on = after.trim_start_matches([' ', '\t']) == "\\";
        let range = if !before.trim().is_empty() {
            let blank = before.len() - before.trim_end_matches([' ', '\t']).len();
            // Words that touch are parted by what is left of the white space.
            let touches = after.starts_with(|c: char| !c.is_whitespace() && !";&|()<>".contains(c));
            match blank {
                0 if before.ends_with('=') => to_next(text, from, to),
                0 => from..to,
                _ if touches => from..to,
                _ => from - blank..to,
            }
        } else if is_continued && goes_on {
            line..(after_line + 1).min(text.len())
        } else if is_continued && after.trim().is_empty() {
            let mut start = before_blank(text.get(..from)?);
            // The lines before it may go as well.
            while let Some(before) = edits.pop_if(|before| before.range.end >= start) {
                start = before_blank(text.get(..before.range.start)?).min(before.range.start);
            }
            // A comment cannot be continued: the line above it would go on behind it.
            let head = text.get(..start)?;
            let head = head.strip_suffix('\n').unwrap_or(head).rsplit('\n').next().unwrap_or("");
            if head.trim_start().starts_with(['#', ';']) {
                return None;
            }
            start..to
        } else {
            to_next(text, from, to)
        };
        edits.push(Edit { range, text: String::new() });
    }
    Some(edits)
}

/// From a word to what follows it on its line.
fn to_next(text: &str, from: usize, to: usize) -> Range<usize> {
    let rest = text.get(to..).unwrap_or("");
    let blank = rest.len() - rest.trim_start_matches([' ', '\t']).len();
    from..to + blank
}

/// Where the white space and the continued line ends that a text ends with begin.
fn before_blank(text: &str) -> usize {
    let mut rest = text;
    loop {
        let shorter = rest.trim_end_matches([' ', '\t']);
        let shorter = match shorter.strip_suffix("\r\n").or(shorter.strip_suffix('\n')) {
            Some(line) => line.strip_suffix('\\').unwrap_or(shorter),
            None => shorter,
        };
        if shorter.len() == rest.len() {
            return rest.len();
        }
        rest = shorter;
    }
}

/// A text without the comments that its last lines are.
fn without_comments(text: &str) -> &str {
    let mut rest = text;
    while let Some(above) = rest.strip_suffix('\n') {
        let start = above.rfind('\n').map_or(0, |newline| newline + 1);
        if !above.get(start..).is_some_and(|line| line.trim_start().starts_with(['#', ';'])) {
            break;
        }
        rest = rest.get(..start).unwrap_or("");
    }
    rest
}

/// Whether a text ends with a continued line's end.
pub(crate) fn is_continuation(text: &str) -> bool {
    text.strip_suffix("\r\n").or(text.strip_suffix('\n')).is_some_and(|line| line.ends_with('\\'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draft::put_in;

    fn changed(word: &str, syntax: Syntax, old: &str, new: &str) -> Option<String> {
        change(word, &(0..word.len()), syntax, old, new).and_then(|edit| put_in(word, &[edit]))
    }

    #[test]
    fn a_part_of_a_word_is_changed_inside_its_quotes() {
        let x = "\u{FFFC}";
        for (word, old, new, wanted) in [
            ("/a:/b", "/a:/b", "/a:/b:ro", Some("/a:/b:ro")),
            ("'/a b:/b'", "/a b:/b", "/a b:/b:ro", Some("'/a b:/b:ro'")),
            ("\"$A:/b\"", &format!("{x}:/b"), &format!("{x}:/b:ro"), Some("\"$A:/b:ro\"")),
            ("$A", "/a:/b", "/a:/b:ro", Some("$A:ro")),
            ("\"${A:-/x y}:/b:rw\"", "/x y:/b:rw", "/x y:/b:ro", Some("\"${A:-/x y}:/b:ro\"")),
            ("/a:\"$B\":rw", &format!("/a:{x}:rw"), &format!("/a:{x}:ro"), Some("/a:\"$B\":ro")),
            ("/a:$B", "/a:/b:rw", "/a:/b:ro", None),
            ("--user=\"0\"", "--user=0", "--user=65532:65532", Some("--user=\"65532:65532\"")),
            ("-itu0", "-itu0", "-itu7", Some("-itu7")),
            ("-it'u'0", "-itu0", "-it", None),
            ("-itu'0'", "-itu0", "-it", Some("-it")),
            ("a\"b\"c:d", "abc:d", "ax:d", None),
            ("ab\"c\"d:d", "abcd:d", "ax:d", Some("ax:d")),
            ("-itv/a:/b", "-itv/a:/b", "-it", Some("-it")),
            ("$(id -u):$(id -g)", &format!("{x}:{x}"), "1:1", None),
            ("a\\ b:/c", "a b:/c", "a b:/c:ro", Some("a\\ b:/c:ro")),
            ("\"-itv/q\\\"q\\d:/b\"", "-itv/q\"q\\d:/b", "-it", Some("\"-it\"")),
            ("$A", x, "xro", None),
            ("'open", "open", "opener", None),
        ] {
            assert_eq!(changed(word, Syntax::Shell, old, new).as_deref(), wanted, "{word}");
        }
        assert_eq!(
            changed("%h/x:/y:rw", Syntax::UnitValue, "/root/x:/y:rw", "/root/x:/y:ro").as_deref(),
            Some("%h/x:/y:ro")
        );
    }

    fn removed(text: &str, words: &[&str]) -> Option<String> {
        let at = |word: &&str| text.find(word).map(|at| at..at + word.len());
        let spans: Vec<Range<usize>> = words.iter().filter_map(at).collect();
        put_in(text, &removal(text, &spans)?)
    }

    #[test]
    fn removed_words_go_with_what_parted_them_and_a_line_of_their_own_goes_whole() {
        for (text, words, wanted) in [
            ("run --aa --bb c", &["--aa"][..], "run --bb c"),
            ("run --aa --bb c", &["--aa", "--bb"], "run c"),
            ("run \\\n  --aa \\\n  c", &["--aa"], "run \\\n  c"),
            ("run \\\r\n  --aa \\\r\n  c", &["--aa"], "run \\\r\n  c"),
            ("run \\\n  --aa 1 \\\n  --bb \\\n c", &["--aa", "1", "--bb"], "run \\\n c"),
            ("run \\\n  --aa --bb \\\n  c", &["--aa"], "run \\\n  --bb \\\n  c"),
            ("run \\\n  --aa --bb \\\n  c", &["--bb"], "run \\\n  --aa \\\n  c"),
            ("run --aa \\\n  --bb c", &["--aa", "--bb"], "run \\\n  c"),
            ("run --aa \\\n  --bb \\\n  c", &["--aa", "--bb"], "run \\\n  c"),
            ("run -v \\\n  /a:/b \\\n  c", &["-v", "/a:/b"], "run \\\n  c"),
            ("run --aa >log --bb c", &["--aa", "--bb"], "run >log c"),
            ("Key=--aa --bb\n", &["--aa"], "Key=--bb\n"),
            ("Key=--aa \\\n --bb\nX=1\n", &["--bb"], "Key=--aa\nX=1\n"),
        ] {
            assert_eq!(removed(text, words).as_deref(), Some(wanted), "{text:?}");
        }
        assert_eq!(removed("Key=--aa \\\n# why\n --bb\nX=1\n", &["--bb"]), None);
        assert_eq!(
            removed("Key=--aa \\\n# why\n --bb \\\n --cc\nX=1\n", &["--bb"]).as_deref(),
            Some("Key=--aa \\\n# why\n --cc\nX=1\n")
        );
    }
}
