//! Units as they are written, for those who change them: which bytes each key's value stands in, and which options
//! of `podman run` it becomes. What the options mean is read elsewhere; nothing is judged here.

use std::ops::Range;
use std::sync::Arc;

use confinement::{EngineKind, Place};

use super::unit::{self, Entry, Unit};
use super::{KEYS, Reader, Values, truth};
use crate::Context;
use crate::run::shell::Word;
use crate::run::written::{CommandWord, options};

/// A `.container` unit.
#[derive(Clone, Debug, Default)]
pub struct WrittenUnit {
    /// Every assignment, in order.
    pub assignments: Vec<Assignment>,
    /// The options that the keys of `[Container]` become, as far as they say something about confinement.
    pub options: Vec<UnitOption>,
    /// Words of `PodmanArgs=`, in order.
    pub arguments: Vec<CommandWord>,
    /// The assignment that each of these words is in.
    pub argument_assignments: Vec<usize>,
    /// Words of `PodmanArgs=` that may hold options, which cannot be seen or are not known.
    pub hidden: Vec<Range<usize>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Assignment {
    pub section: String,
    pub key: String,
    /// As written; continued lines are joined with a blank.
    pub value: String,
    /// The bytes of the value.
    pub span: Range<usize>,
    /// The bytes of its lines, with the last one's end.
    pub lines: Range<usize>,
    pub place: Place,
}

/// How an option is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Written {
    /// The whole value of an assignment, one of as many as there are.
    Each,
    /// The whole value of an assignment, the last of which counts.
    Last,
    /// A truth value, which is true.
    Switch,
    /// One word of an assignment's value.
    Word(Range<usize>),
    /// Words of `PodmanArgs=`, by number, and where the option begins in its first word.
    Arguments(Range<usize>, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub struct UnitOption {
    /// The long name of the option of `podman run`.
    pub name: &'static str,
    /// What the key stands for before its value: `seccomp=` for `SeccompProfile`.
    pub prefix: &'static str,
    /// The option's value, with the prefix and with specifiers read.
    pub value: Option<String>,
    /// Podman splits the value at commas.
    pub is_list: bool,
    /// The number of the assignment.
    pub assignment: usize,
    pub written: Written,
    /// Of the word that holds the value.
    pub place: Place,
}

/// The unit of a text. `path` is the name that it was read under.
pub fn written(text: &str, path: &Arc<str>) -> WrittenUnit {
    let context = Context::assumed();
    let unit = Unit::parse(text, path, &mut Vec::new());
    let reader = Reader::new(path, &|_| None, &context);
    let mut found = WrittenUnit {
        assignments: unit.entries.iter().map(Assignment::from).collect(),
        ..WrittenUnit::default()
    };
    let number =
        |entry: &Entry| unit.entries.iter().position(|other| std::ptr::eq(other, entry)).unwrap_or(0);
    let remapped = ("RemapUsers", Values::Last, "userns", "");
    let others = [("User", Values::Last, "user", ""), ("Pod", Values::Last, "pod", "")];
    let keys = KEYS.iter().chain(&others);
    // `RemapUsers` is the older form of `UserNS`, and counts without it.
    let remapped = unit.last("Container", "UserNS").is_none().then_some(&remapped);
    for (key, values, name, prefix) in keys.chain(remapped) {
        for entry in reader.entries(&unit, "Container", key, *values) {
            let option = |word: Word, written: Written| UnitOption {
                name,
                prefix,
                value: Some(format!("{prefix}{}", reader.rewritten(key, &word.value))),
                is_list: is_list(name),
                assignment: number(entry),
                written,
                place: word.place,
            };
            let whole = || unit::word(entry, reader.specifiers(&entry.value));
            match values {
                Values::Words => {
                    let words = unit::words(entry, &|text| reader.specifiers(text));
                    found.options.extend(words.into_iter().map(|word| {
                        let span = word.span.clone();
                        option(word, Written::Word(span))
                    }));
                }
                Values::Switch if truth(&entry.value) != Some(true) => {}
                Values::Switch => {
                    let word = Word { value: String::new(), ..whole() };
                    let mut switch = option(word, Written::Switch);
                    // What stands for true is the option's whole value.
                    switch.value = Some((*prefix).to_owned());
                    found.options.push(switch);
                }
                Values::Each => found.options.push(option(whole(), Written::Each)),
                Values::Last => found.options.push(option(whole(), Written::Last)),
            }
        }
    }
    let mut words: Vec<Word> = Vec::new();
    for entry in unit.all("Container", "PodmanArgs") {
        words.extend(unit::words(entry, &|text| reader.specifiers(text)));
        found.argument_assignments.resize(words.len(), number(entry));
    }
    let (given, hidden, _) = options(&words, EngineKind::Podman, 0);
    for option in given {
        let last = words.get(option.words.end.saturating_sub(1));
        found.options.push(UnitOption {
            name: option.name,
            prefix: "",
            value: option.value,
            is_list: option.is_list,
            assignment: found.argument_assignments.get(option.words.start).copied().unwrap_or(0),
            place: last.map_or_else(|| Place::new(path, 1, 1, 0), |word| word.place.clone()),
            written: Written::Arguments(option.words, option.starts_at),
        });
    }
    found.hidden = hidden;
    found.arguments = words.iter().map(CommandWord::from).collect();
    found
}

fn is_list(name: &str) -> bool {
    crate::run::is_podman_list(name)
}

impl From<&Entry> for Assignment {
    fn from(entry: &Entry) -> Assignment {
        Assignment {
            section: entry.section.clone(),
            key: entry.key.clone(),
            value: entry.value.clone(),
            span: entry.span(0, entry.value.len()),
            lines: entry.lines.clone(),
            place: entry.place.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_told_with_the_bytes_of_their_values() {
        let text = "[Container]\n# c\nImage = x\nAddCapability=A \\\n# why\n  'B'\r\nVolume =  %h/x:/y \n\
                    NoNewPrivileges=yes\nReadOnly=no\nPodmanArgs=--privileged -it \\\n  -v /a:/b\n[Unit]\nVolume=/c:/d\n";
        let unit = written(text, &"/etc/containers/systemd/a.container".into());
        let told: Vec<(&str, Option<&str>, &str)> = unit
            .options
            .iter()
            .map(|option| {
                let span = match &option.written {
                    Written::Word(span) => span.clone(),
                    Written::Arguments(words, _) => {
                        unit.arguments[words.start].span.start..unit.arguments[words.end - 1].span.end
                    }
                    _ => unit.assignments[option.assignment].span.clone(),
                };
                (option.name, option.value.as_deref(), &text[span])
            })
            .collect();
        assert_eq!(
            told,
            [
                ("cap-add", Some("A"), "A"),
                ("cap-add", Some("B"), "'B'"),
                ("security-opt", Some("no-new-privileges"), "yes"),
                ("volume", Some("/root/x:/y"), "%h/x:/y"),
                ("privileged", None, "--privileged"),
                ("interactive", None, "-it"),
                ("tty", None, "-it"),
                ("volume", Some("/a:/b"), "-v /a:/b"),
            ]
        );
        let lines: Vec<&str> = unit.assignments.iter().map(|a| &text[a.lines.clone()]).collect();
        assert_eq!(lines[1], "AddCapability=A \\\n# why\n  'B'\r\n");
        assert_eq!(lines.last(), Some(&"Volume=/c:/d\n"));
    }
}
