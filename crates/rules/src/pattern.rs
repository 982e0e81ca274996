//! How texts are matched: shell patterns, and paths by their leading components. All over bytes: what a process chose
//! need not be UTF-8.

use rustc_hash::FxHashMap;

/// A shell pattern as fnmatch(3) without flags has it, which Falco uses: `*` and `?` match `/` too, `[a-z]`, `[!a]`,
/// `\` takes the next character as it is.
#[derive(Clone, Debug)]
pub(crate) struct Glob {
    parts: Box<[Part]>,
    ignoring_case: bool,
}

#[derive(Clone, Debug)]
enum Part {
    Byte(u8),
    Any,
    Star,
    Class(Box<[bool; 256]>),
}

impl Glob {
    pub(crate) fn new(pattern: &[u8], ignoring_case: bool) -> Glob {
        let mut parts = Vec::new();
        let mut at = 0;
        while let Some(byte) = pattern.get(at).copied() {
            at += 1;
            parts.push(match byte {
                b'*' if matches!(parts.last(), Some(Part::Star)) => continue,
                b'*' => Part::Star,
                b'?' => Part::Any,
                b'\\' if at < pattern.len() => {
                    at += 1;
                    Part::Byte(fold(pattern[at - 1], ignoring_case))
                }
                b'[' => match class(pattern, at, ignoring_case) {
                    Some((class, end)) => {
                        at = end;
                        Part::Class(class)
                    }
                    None => Part::Byte(b'['),
                },
                other => Part::Byte(fold(other, ignoring_case)),
            });
        }
        Glob { parts: parts.into(), ignoring_case }
    }

    /// In time of at most the product of both lengths: only the last star is ever gone back to.
    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        let (mut at, mut part) = (0, 0);
        let mut star: Option<(usize, usize)> = None;
        loop {
            let advanced = match (self.parts.get(part), text.get(at)) {
                (None, None) => return true,
                (Some(Part::Star), _) => {
                    star = Some((part + 1, at));
                    part += 1;
                    continue;
                }
                (Some(Part::Any), Some(_)) => true,
                (Some(Part::Byte(wanted)), Some(byte)) => *wanted == fold(*byte, self.ignoring_case),
                (Some(Part::Class(class)), Some(byte)) => class[usize::from(*byte)],
                _ => false,
            };
            if advanced {
                at += 1;
                part += 1;
                continue;
            }
            match star {
                Some((after, from)) if from < text.len() => {
                    star = Some((after, from + 1));
                    at = from + 1;
                    part = after;
                }
                _ => return false,
            }
        }
    }
}

fn fold(byte: u8, ignoring_case: bool) -> u8 {
    if ignoring_case { byte.to_ascii_lowercase() } else { byte }
}

/// A bracket expression whose `[` stands before `at`: what it holds, and where it ends. None where it is not closed.
fn class(pattern: &[u8], mut at: usize, ignoring_case: bool) -> Option<(Box<[bool; 256]>, usize)> {
    let negated = matches!(pattern.get(at), Some(b'!' | b'^'));
    at += usize::from(negated);
    let mut holds = Box::new([false; 256]);
    let mut first = true;
    loop {
        let mut low = *pattern.get(at)?;
        at += 1;
        if low == b']' && !first {
            break;
        }
        first = false;
        if low == b'[' && pattern.get(at) == Some(&b':') {
            let name = pattern.get(at + 1..)?;
            let length = name.windows(2).position(|w| w == b":]")?;
            let member = named_class(name.get(..length)?)?;
            (0..=255u8).filter(member).for_each(|b| holds[usize::from(b)] = true);
            at += length + 3;
            continue;
        }
        if low == b'\\' {
            low = *pattern.get(at)?;
            at += 1;
        }
        let mut high = low;
        if pattern.get(at) == Some(&b'-') && pattern.get(at + 1).is_some_and(|b| *b != b']') {
            high = *pattern.get(at + 1)?;
            at += 2;
            if high == b'\\' {
                high = *pattern.get(at)?;
                at += 1;
            }
        }
        (low..=high).for_each(|b| holds[usize::from(b)] = true);
    }
    if ignoring_case {
        for upper in b'A'..=b'Z' {
            let lower = usize::from(upper.to_ascii_lowercase());
            let either = holds[usize::from(upper)] || holds[lower];
            holds[usize::from(upper)] = either;
            holds[lower] = either;
        }
    }
    if negated {
        holds.iter_mut().for_each(|held| *held = !*held);
    }
    Some((holds, at))
}

fn named_class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alpha" => u8::is_ascii_alphabetic,
        b"digit" => u8::is_ascii_digit,
        b"alnum" => u8::is_ascii_alphanumeric,
        b"upper" => u8::is_ascii_uppercase,
        b"lower" => u8::is_ascii_lowercase,
        b"space" => |b| b.is_ascii_whitespace() || *b == 0x0b,
        b"blank" => |b| matches!(b, b' ' | b'\t'),
        b"punct" => u8::is_ascii_punctuation,
        b"print" => |b| b.is_ascii_graphic() || *b == b' ',
        b"graph" => u8::is_ascii_graphic,
        b"cntrl" => u8::is_ascii_control,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

/// Paths by their leading components: `/var/run` holds for itself and all below it. A component may be a shell
/// pattern. Empty components do not count, so a path need not begin with `/` (falcosecurity/libs, `prefix_search.h`).
#[derive(Clone, Debug, Default)]
pub(crate) struct PathTrie {
    /// A path ends here: everything below matches.
    ends: bool,
    named: FxHashMap<Box<[u8]>, PathTrie>,
    patterns: Vec<(Glob, PathTrie)>,
}

impl PathTrie {
    pub(crate) fn new<'a>(paths: impl IntoIterator<Item = &'a [u8]>) -> PathTrie {
        let mut root = PathTrie::default();
        for path in paths {
            let mut node = &mut root;
            for component in components(path) {
                node = if component.iter().any(|b| matches!(b, b'*' | b'?' | b'[')) {
                    node.patterns.push((Glob::new(component, false), PathTrie::default()));
                    match node.patterns.last_mut() {
                        Some(last) => &mut last.1,
                        None => return root,
                    }
                } else {
                    node.named.entry(component.into()).or_default()
                };
            }
            node.ends = true;
        }
        root
    }

    pub(crate) fn matches(&self, path: &[u8]) -> bool {
        if self.ends {
            return true;
        }
        let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
        let path = &path[start..];
        if path.is_empty() {
            return false;
        }
        let (component, rest) = path.split_at(memchr::memchr(b'/', path).unwrap_or(path.len()));
        self.named.get(component).is_some_and(|trie| trie.matches(rest))
            || self.patterns.iter().any(|(glob, trie)| glob.matches(component) && trie.matches(rest))
    }
}

fn components(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    path.split(|b| *b == b'/').filter(|component| !component.is_empty())
}

/// Texts by their first bytes (or, read backwards, their last): which of a set of prefixes a text begins with, in one
/// walk.
#[derive(Clone, Debug)]
pub(crate) struct ByteTrie {
    nodes: Vec<TrieNode>,
}

#[derive(Clone, Debug, Default)]
struct TrieNode {
    /// Sorted by byte.
    edges: Vec<(u8, u32)>,
    /// The prefixes that end here or above, by their numbers.
    ends: Vec<u32>,
}

impl ByteTrie {
    pub(crate) fn new(entries: impl IntoIterator<Item = (impl Iterator<Item = u8>, u32)>) -> ByteTrie {
        let mut nodes = vec![TrieNode::default()];
        for (bytes, number) in entries {
            let mut at = 0;
            for byte in bytes {
                let next = nodes.len();
                let edges = &mut nodes[at].edges;
                at = match edges.binary_search_by_key(&byte, |edge| edge.0) {
                    Ok(found) => edges[found].1 as usize,
                    Err(place) => {
                        edges.insert(place, (byte, next as u32));
                        nodes.push(TrieNode::default());
                        next
                    }
                };
            }
            nodes[at].ends.push(number);
        }
        // A node lies after the one above it.
        for at in 0..nodes.len() {
            let above = nodes[at].ends.clone();
            for edge in nodes[at].edges.clone() {
                nodes[edge.1 as usize].ends.extend_from_slice(&above);
            }
        }
        ByteTrie { nodes }
    }

    /// The node where the walk along the bytes ends.
    pub(crate) fn walk(&self, bytes: impl Iterator<Item = u8>) -> usize {
        let mut at = 0;
        for byte in bytes {
            let Some(node) = self.nodes.get(at) else { break };
            let next = match node.edges.as_slice() {
                [] => break,
                [(only, next)] if *only == byte => Ok(*next),
                [_] => break,
                edges => edges.binary_search_by_key(&byte, |edge| edge.0).map(|found| edges[found].1),
            };
            match next {
                Ok(next) => at = next as usize,
                Err(_) => break,
            }
        }
        at
    }

    /// The prefixes that a walk to each node has met, node by node.
    pub(crate) fn ends(&self) -> impl Iterator<Item = &[u32]> {
        self.nodes.iter().map(|node| node.ends.as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn glob(pattern: &str, text: &str) -> bool {
        Glob::new(pattern.as_bytes(), false).matches(text.as_bytes())
    }

    #[test]
    fn patterns_match_as_fnmatch_does_without_flags() {
        for (pattern, text, matches) in [
            ("/home/*/.ssh/*", "/home/a/b/.ssh/id", true),
            ("*.so", "lib.so.1", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("[a-c]x", "bx", true),
            ("[!a-c]x", "bx", false),
            ("[]a]", "]", true),
            ("[[:digit:]]*", "7z", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("[ab", "[ab", true),
            ("", "", true),
            ("*", "", true),
            ("**a", "bba", true),
        ] {
            assert_eq!(glob(pattern, text), matches, "{pattern} {text}");
        }
        assert!(Glob::new(b"*PASS[a-z]", true).matches(b"my_passW"));
        assert!(!glob("?", "\u{e9}") && Glob::new(b"a?", false).matches(b"a\xff"));
    }

    #[test]
    fn a_pattern_of_many_stars_is_decided_soon() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!glob(&pattern, &"a".repeat(20_000)));
    }

    #[test]
    fn a_path_matches_itself_and_what_lies_below() {
        let trie = PathTrie::new([b"/var/run".as_slice(), b"/etc/", b"/var/*/x.d"]);
        for (path, matches) in [
            ("/var/run", true),
            ("/var/run/docker.sock", true),
            ("/var/running", false),
            ("/var", false),
            ("//etc//passwd", true),
            ("etc", true),
            ("/var/lib/x.d/y", true),
            ("/var/lib/x.e", false),
            ("", false),
        ] {
            assert_eq!(trie.matches(path.as_bytes()), matches, "{path}");
        }
        assert!(PathTrie::new([b"/".as_slice()]).matches(b"/anything"));
    }

    proptest! {
        #[test]
        fn a_pattern_and_the_regular_expression_for_it_agree(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            let expression = pattern.replace('*', ".*").replace('?', ".");
            let expression = regex::Regex::new(&format!("^{expression}$")).unwrap();
            prop_assert_eq!(glob(&pattern, &text), expression.is_match(&text));
        }

        #[test]
        fn a_walk_meets_exactly_the_prefixes_of_a_text(
            prefixes in proptest::collection::vec("[ab]{0,4}", 0..8),
            text in "[abc]{0,8}",
        ) {
            let trie = ByteTrie::new(prefixes.iter().enumerate().map(|(i, p)| (p.bytes(), i as u32)));
            let at = trie.walk(text.bytes());
            let mut met: Vec<u32> = trie.ends().nth(at).unwrap().to_vec();
            met.sort_unstable();
            let expected: Vec<u32> =
                (0..prefixes.len()).filter(|i| text.starts_with(&prefixes[*i])).map(|i| i as u32).collect();
            prop_assert_eq!(met, expected);
        }
    }
}
