//! Command lines as they are written, for those who change them: which bytes each word stands in, which words are
//! the options, and what each option holds. What the options mean is read elsewhere; nothing is judged here.

use std::ops::Range;
use std::sync::Arc;

use confinement::{EngineKind, Place};

use super::asked::{Next, walk};
use super::flags::Takes;
use super::shell::{self, Command, Start, Word};
use super::{Made, Verb, folder_of, made};
use crate::options::ASSUMED_HOME;

/// A command that makes a container.
#[derive(Clone, Debug)]
pub struct CommandLine {
    pub engine: EngineKind,
    /// Of the word that names the engine: the place of the subject.
    pub place: Place,
    /// All words of the command, as the engine would get them, with what stands before the engine.
    pub words: Vec<CommandWord>,
    /// The number of the first word behind `run` or `create`.
    pub first: usize,
    /// The number of the first word that is no option: `--`, the image, or the count of words.
    pub end: usize,
    pub options: Vec<CommandOption>,
    /// Words that may hold options, which cannot be seen or are not known.
    pub hidden: Vec<Range<usize>>,
    /// The working folder, where it is known.
    pub folder: Option<Arc<str>>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CommandWord {
    /// With [`UNKNOWN`](crate::options::UNKNOWN) for what only a running shell could know.
    pub value: String,
    pub place: Place,
    /// The bytes it is written in, with its quotes. Words of one variable have one span.
    pub span: Range<usize>,
    /// What is written there stands for this word and no other.
    pub alone: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct CommandOption {
    /// The long name, without its dashes.
    pub name: &'static str,
    /// Podman splits the value at commas.
    pub is_list: bool,
    /// The numbers of the words it is in: one, or two where the value is a word of its own. Short options written
    /// together share a word.
    pub words: Range<usize>,
    pub value: Option<String>,
    /// Where the option begins in its first word: more than 0 in `-itv`.
    pub starts_at: usize,
}

impl From<&Word> for CommandWord {
    fn from(word: &Word) -> CommandWord {
        CommandWord {
            value: word.value.clone(),
            place: word.place.clone(),
            span: word.span.clone(),
            alone: word.alone,
        }
    }
}

/// Every command of a text that makes a container, in order. `path` is the name that the text was read under.
pub fn command_lines(text: &str, path: &Arc<str>) -> Vec<CommandLine> {
    let folder = folder_of(path);
    let start = Start { path, line: 1, folder: &folder, home: ASSUMED_HOME };
    let mut found = Vec::new();
    shell::commands(text, &start, &mut |command| found.extend(command_line(&command)));
    found
}

fn command_line(command: &Command) -> Option<CommandLine> {
    let Made { engine, engine_word, verb, words, first, .. } = made(command)?;
    if verb != Verb::Container {
        return None;
    }
    let (options, hidden, end) = options(words, engine, first);
    Some(CommandLine {
        engine,
        place: engine_word.place.clone(),
        words: command.words.iter().map(CommandWord::from).collect(),
        first,
        end,
        options,
        hidden,
        folder: command.folder.clone(),
    })
}

type Options = (Vec<CommandOption>, Vec<Range<usize>>, usize);

/// The options among words whose first has the number `first`, what hides others, and the number behind the last.
pub(crate) fn options(words: &[Word], engine: EngineKind, first: usize) -> Options {
    let (mut options, mut hidden, mut ended) = (Vec::new(), Vec::new(), false);
    let used = walk(words, engine, &[], &mut |step, at, used| {
        let at = first + at;
        match step {
            Next::Options(given, used) => {
                let is_short = words.get(at - first).is_some_and(|word| !word.value.starts_with("--"));
                for (number, given) in given.into_iter().enumerate() {
                    options.push(CommandOption {
                        name: given.flag.long,
                        is_list: given.flag.takes == Takes::List && engine == EngineKind::Podman,
                        words: at..at + used,
                        value: given.value.map(str::to_owned),
                        // Short names are ASCII letters, one byte each, behind a dash.
                        starts_at: if is_short && number > 0 { number + 1 } else { 0 },
                    });
                }
            }
            Next::Stop | Next::UnknownOption(..) | Next::NoValue(_) => hidden.push(at..at + used),
            Next::End => ended = true,
        }
    });
    let end = first + used - usize::from(ended);
    (options, hidden, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<CommandLine> {
        command_lines(text, &"x.sh".into())
    }

    #[test]
    fn options_are_told_with_the_bytes_of_their_words() {
        let text =
            "sudo docker run -itv '/a b:/c' --cap-add=NET_ADMIN \\\n  --privileged -- img --privileged";
        let lines = lines(text);
        let line = &lines[0];
        let written: Vec<(&str, Vec<&str>, usize)> = line
            .options
            .iter()
            .map(|option| {
                let words = &line.words[option.words.clone()];
                (option.name, words.iter().map(|w| &text[w.span.clone()]).collect(), option.starts_at)
            })
            .collect();
        assert_eq!(
            written,
            [
                ("interactive", vec!["-itv", "'/a b:/c'"], 0),
                ("tty", vec!["-itv", "'/a b:/c'"], 2),
                ("volume", vec!["-itv", "'/a b:/c'"], 3),
                ("cap-add", vec!["--cap-add=NET_ADMIN"], 0),
                ("privileged", vec!["--privileged"], 0),
            ]
        );
        assert_eq!(line.options[2].value.as_deref(), Some("/a b:/c"));
        assert_eq!(&text[line.words[line.first - 1].span.clone()], "run");
        assert_eq!(&text[line.words[line.end].span.clone()], "--");
        assert_eq!(line.place.column, 6);
    }

    #[test]
    fn words_of_one_variable_share_its_span() {
        let text = "O='--rm --privileged'; docker run $O \"$MORE\" --pid host img";
        let line = &lines(text)[0];
        let of = |n: usize| (&text[line.words[n].span.clone()], line.words[n].alone);
        assert_eq!((of(2), of(3)), (("$O", false), ("$O", false)));
        assert_eq!(line.options.len(), 2);
        assert_eq!(line.end, 4);
        let line = &lines("docker run $OPTS --pid host img")[0];
        assert_eq!((line.hidden.first(), line.hidden.len(), line.end), (Some(&(2..3)), 1, 5));
    }
}
