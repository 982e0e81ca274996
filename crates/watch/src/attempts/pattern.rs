//! Patterns over paths: names between slashes, `*` for part of a name, `**` for any number of names.

use serde::{Deserialize, Deserializer};

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Name(String),
    /// What comes before the star, and after.
    Part(String, String),
    Any,
}

impl Pattern {
    pub fn new(text: &str) -> Pattern {
        let piece = |name: &str| match (name, name.split_once('*')) {
            ("**", _) => Piece::Any,
            (_, Some((before, after))) => Piece::Part(before.to_owned(), after.to_owned()),
            (name, None) => Piece::Name(name.to_owned()),
        };
        Pattern { pieces: names(text).map(piece).collect() }
    }

    /// The last name, where the pattern says it.
    pub(crate) fn last_name(&self) -> Option<&str> {
        match self.pieces.last() {
            Some(Piece::Name(name)) => Some(name),
            _ => None,
        }
    }

    /// The first names, as far as the pattern says them, and two at most.
    pub(crate) fn first_names(&self) -> impl Iterator<Item = &str> {
        self.pieces.iter().take(2).map_while(|piece| match piece {
            Piece::Name(name) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether this is the path.
    pub fn is(&self, path: &str) -> bool {
        fits(&self.pieces, path, false)
    }

    /// Whether the path ends so: for a path whose beginning is not known.
    pub fn ends(&self, path: &str) -> bool {
        let mut rest = path.trim_start_matches('/');
        loop {
            if self.is(rest) {
                return true;
            }
            match rest.split_once('/') {
                Some((_, after)) => rest = after,
                None => return false,
            }
        }
    }

    /// Whether the path is this or lies below it.
    pub fn holds(&self, path: &str) -> bool {
        fits(&self.pieces, path, true)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pattern, D::Error> {
        Ok(Pattern::new(&String::deserialize(deserializer)?))
    }
}

pub(crate) fn names(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/').filter(|name| !name.is_empty())
}

fn next_name(path: &str) -> Option<(&str, &str)> {
    let path = path.trim_start_matches('/');
    if path.is_empty() {
        return None;
    }
    Some(path.split_once('/').unwrap_or((path, "")))
}

fn fits(pieces: &[Piece], path: &str, below: bool) -> bool {
    let Some((piece, pieces)) = pieces.split_first() else { return below || next_name(path).is_none() };
    if *piece == Piece::Any {
        return pieces.is_empty()
            || fits(pieces, path, below)
            || next_name(path).is_some_and(|(_, rest)| {
                let mut rest = rest;
                loop {
                    if fits(pieces, rest, below) {
                        return true;
                    }
                    match next_name(rest) {
                        Some((_, after)) => rest = after,
                        None => return false,
                    }
                }
            });
    }
    let Some((name, rest)) = next_name(path) else { return false };
    let same = match piece {
        Piece::Name(wanted) => wanted == name,
        Piece::Part(before, after) => {
            name.len() >= before.len() + after.len()
                && name.starts_with(before.as_str())
                && name.ends_with(after.as_str())
        }
        Piece::Any => true,
    };
    same && fits(pieces, rest, below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_the_path_name_by_name() {
        let p = Pattern::new("sys/kernel/core_pattern");
        assert!(p.is("/sys/kernel/core_pattern") && p.is("//sys/kernel//core_pattern/"));
        assert!(
            !p.is("/sys/kernel") && !p.is("/sys/kernel/core_pattern/x") && !p.is("/sys/kernel/core_pattern2")
        );
    }

    #[test]
    fn a_star_stands_for_part_of_a_name_and_two_for_any_names() {
        assert!(Pattern::new("*/mem").is("/17/mem") && !Pattern::new("*/mem").is("/17/task/18/mem"));
        assert!(Pattern::new("**/release_agent").is("/release_agent"));
        assert!(Pattern::new("**/release_agent").is("/a/b/c/release_agent"));
        assert!(Pattern::new("sys/**").is("/sys/a/b") && Pattern::new("**/*.max").is("/x/pids.max"));
        assert!(!Pattern::new("**/release_agent").is("/a/release_agent/b"));
        assert!(Pattern::new("**/a/**/z").is("/a/a/b/c/z") && !Pattern::new("**/a/**/z").is("/b/z"));
    }

    #[test]
    fn the_end_and_the_beginning_of_a_path_can_be_asked_for() {
        let p = Pattern::new("sys/kernel/core_pattern");
        assert!(p.ends("/host/proc/sys/kernel/core_pattern") && !p.ends("/host/xsys/kernel/core_pattern"));
        assert!(
            Pattern::new("/etc/cron.d").holds("/etc/cron.d/job")
                && !Pattern::new("/etc/cron.d").holds("/etc")
        );
    }
}
