//! A command line taken apart without reading what its options mean, for those who put it together again.

use std::sync::Arc;

use confinement::{EngineKind, Place};

use super::asked::{self, Taken};
use super::shell::{Command, Word};
use super::{Made, Verb, made};

/// A `docker run`, `docker create`, `podman run` or `podman create` line in its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    pub engine: EngineKind,
    /// The engine's program, with what stands before it (`sudo`) and the options before the verb.
    pub program: Vec<String>,
    pub options: Vec<GivenOption>,
    pub image: String,
    /// What follows the image.
    pub command: Vec<String>,
}

/// One option by its long name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenOption {
    pub name: &'static str,
    /// Of a switch only where one is written: `--read-only=false`.
    pub value: Option<String>,
}

/// Takes apart the words of a command line, as the system hands them to a program.
pub fn split(words: &[String]) -> Result<Split, String> {
    let path: Arc<str> = "-".into();
    let word = |text: &String| Word {
        value: text.clone(),
        place: Place::new(&path, 1, 1, 0),
        unknown: Vec::new(),
        splits: false,
        span: 0..0,
        alone: true,
    };
    let command =
        Command { words: words.iter().map(word).collect(), folder: Some("/".into()), ..Command::default() };
    let Some(Made { engine, verb: Verb::Container, words: rest, at_verb, .. }) = made(&command) else {
        return Err("this is no `docker run`, `docker create`, `podman run` or `podman create` line".into());
    };
    let program = words.get(..at_verb).unwrap_or_default().to_vec();
    let mut options = Vec::new();
    let mut at = 0;
    loop {
        match asked::take(rest, at, engine) {
            Taken::Options(given, used) => {
                options.extend(given.into_iter().map(|(name, value)| GivenOption { name, value }));
                at += used;
            }
            Taken::End(used) => {
                at += used;
                break;
            }
            Taken::Unknown(name) => {
                return Err(format!(
                    "`{name}` is not an option of `{} run` that is known here",
                    engine.name()
                ));
            }
            Taken::NoValue(name) => return Err(format!("`--{name}` has no value")),
        }
    }
    let image = rest.get(at).ok_or("this line names no image")?.value.clone();
    let command = rest.get(at + 1..).unwrap_or_default().iter().map(|word| word.value.clone()).collect();
    Ok(Split { engine, program, options, image, command })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_taken_apart_as_the_engine_would_take_it() {
        let line =
            "sudo docker -H unix:///d.sock container run -itd -p80:80 --user=1 --init -e A=b nginx -g x";
        let split = split(&words(line)).unwrap();
        assert_eq!(split.program, words("sudo docker -H unix:///d.sock"));
        let options: Vec<_> = split.options.iter().map(|o| (o.name, o.value.as_deref())).collect();
        let expected = [
            ("interactive", None),
            ("tty", None),
            ("detach", None),
            ("publish", Some("80:80")),
            ("user", Some("1")),
            ("init", None),
            ("env", Some("A=b")),
        ];
        assert_eq!(options, expected);
        assert_eq!((split.image.as_str(), split.command), ("nginx", words("-g x")));
    }

    #[test]
    fn what_cannot_be_taken_apart_is_said() {
        assert!(split(&words("docker ps")).unwrap_err().contains("docker run"));
        assert!(split(&words("podman run --nonsense x y")).unwrap_err().contains("--nonsense"));
        assert!(split(&words("docker run --user")).unwrap_err().contains("no value"));
        assert!(split(&words("docker run -d")).unwrap_err().contains("no image"));
    }
}
