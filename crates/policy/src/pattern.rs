//! Patterns of names: `*` stands for any characters, the slash included; everything else for itself.

use std::fmt;

/// A name, or a pattern of names.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(Box<str>);

impl Pattern {
    pub fn new(text: impl Into<Box<str>>) -> Pattern {
        Pattern(text.into())
    }

    /// Whether it stands for the name; time grows with the product of both lengths at most.
    pub fn matches(&self, name: &str) -> bool {
        let mut parts = self.0.split('*');
        let first = parts.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(first) else { return false };
        let Some(last) = parts.next_back() else { return rest.is_empty() };
        // The leftmost place for each part leaves the most room for what follows.
        for part in parts {
            match rest.find(part).and_then(|at| rest.get(at + part.len()..)) {
                Some(after) => rest = after,
                None => return false,
            }
        }
        rest.ends_with(last)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether everything that `other` stands for is stood for here: certain where it says so.
    pub(crate) fn covers(&self, other: &Pattern) -> bool {
        self.0.chars().all(|c| c == '*') && !self.0.is_empty() || self == other || {
            !other.0.contains('*') && self.matches(&other.0)
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_characters_and_nothing_else_does() {
        for (pattern, name, expected) in [
            ("web", "web", true),
            ("web", "web2", false),
            ("web*", "web", true),
            ("*web", "my-web", true),
            ("a*b*c", "a/x/b/y/c", true),
            ("a*b*c", "acb", false),
            ("*", "", true),
            ("**", "x", true),
            ("", "", true),
            ("", "x", false),
            ("a*a", "a", false),
            ("w?b", "web", false),
            ("é*é", "éé", true),
        ] {
            assert_eq!(Pattern::new(pattern).matches(name), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_long_time() {
        let pattern = Pattern::new("*a".repeat(500) + "b");
        assert!(!pattern.matches(&"a".repeat(20_000)));
    }
}
