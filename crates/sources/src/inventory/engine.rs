//! Images, swarm mode and networks of a Docker engine, as its API tells them; `engine_api` asks.

use serde::{Deserialize, Serialize};

use crate::dockerfile::{Packages, packages};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImageInventory {
    /// A tag, or the id where it has none.
    pub name: String,
    /// `None`: the image could not be inspected.
    pub health_check: Option<bool>,
    /// Steps of its build that `ADD` files, but for the first, which is how a base image gets its content; `None`: the
    /// history could not be read.
    pub added: Option<Vec<String>>,
    /// Steps that refresh a package index and install nothing.
    pub lone_updates: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Swarm {
    pub active: bool,
    /// Whether this node is a manager, who alone is told the rest.
    pub manager: bool,
    pub managers: Option<u64>,
    pub auto_lock: Option<bool>,
    /// Seconds for which a node's certificate holds.
    pub certificate_seconds: Option<u64>,
    pub secrets: Option<u64>,
    /// Whether its port for managers is open on every address of the host.
    pub listens_everywhere: Option<bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Network {
    pub name: String,
    pub encrypted: bool,
}

/// `ADD` steps and lone updates of a build, from the commands of its history, newest first as engines tell it.
pub fn image_history(commands: &[String]) -> (Vec<String>, Vec<String>) {
    let (mut added, mut lone) = (Vec::new(), Vec::new());
    let steps = commands.len();
    for (at, command) in commands.iter().enumerate() {
        let text = command.trim();
        // The classic builder writes `/bin/sh -c #(nop) ADD file:… in /`, BuildKit `ADD . /app # buildkit`.
        let (instruction, is_run) = match text.split_once("#(nop)") {
            Some((_, rest)) => (rest.trim(), false),
            None => (text, !starts_with_instruction(text)),
        };
        let short = || instruction.chars().filter(|c| !c.is_control()).take(80).collect::<String>();
        if instruction.starts_with("ADD ") && at + 1 < steps {
            added.push(short());
        }
        if is_run || instruction.starts_with("RUN ") {
            let parts = instruction.split(['&', '|', ';', '\n']).map(|part| {
                let words = part.split_whitespace();
                words.filter(|w| !matches!(*w, "RUN" | "/bin/sh" | "-c")).collect::<Vec<&str>>()
            });
            let (mut updates, mut installs) = (false, false);
            for words in parts {
                match packages(&words) {
                    Some(Packages::Update) => updates = true,
                    Some(Packages::Install) => installs = true,
                    None => {}
                }
            }
            if updates && !installs {
                lone.push(short());
            }
        }
    }
    (added, lone)
}

fn starts_with_instruction(text: &str) -> bool {
    let word = text.split_whitespace().next().unwrap_or("");
    word != "RUN" && !word.is_empty() && word.chars().all(|c| c.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(commands: &[&str]) -> (Vec<String>, Vec<String>) {
        image_history(&commands.iter().map(|c| (*c).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn what_both_builders_write_is_read() {
        let (added, lone) = history(&[
            "ADD . /app # buildkit",
            "/bin/sh -c #(nop) ADD file:1 in /x ",
            "RUN /bin/sh -c apt-get update # buildkit",
            "/bin/sh -c apt-get update && apt-get install -y curl",
            "/bin/sh -c apk update",
            "CMD [\"update\"]",
            "/bin/sh -c #(nop) ADD file:0 in / ",
        ]);
        assert_eq!(added.len(), 2, "{added:?}");
        assert_eq!(lone.len(), 2, "{lone:?}");
    }

    #[test]
    fn the_word_update_alone_is_no_update() {
        let (_, lone) = history(&["RUN /bin/sh -c ./update-certificates.sh", "ENV update=1", "RUN x update"]);
        assert!(lone.is_empty(), "{lone:?}");
        assert_eq!(history(&[]), (Vec::new(), Vec::new()));
    }
}
