//! The engine's own program, called with words and never through a shell.
//!
//! The program and not the API: the user's line is in the program's language, and the program reads it as the user's
//! own call would be read (variables' files, contexts, certificates, `sudo`); Docker and Podman differ here in a few
//! options alone. Nothing is pulled: an image that is not there is an error.

use std::fs::File;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use confinement::EngineKind;
use serde_json::Value;

use super::TrialError;
use super::owner::{DEADLINE_LABEL, LABEL, OWNER_LABEL, Owner, is_left_behind};
use super::program::{self, Limits, Output};

/// The longest that one call may take. Starting a container on a busy machine takes seconds.
const CALL_LIMIT: Duration = Duration::from_secs(120);

#[derive(Clone, Debug)]
pub(super) struct Engine {
    pub(super) kind: EngineKind,
    /// The program with what stands before it and its options before the verb.
    pub(super) program: Vec<String>,
    /// Whether the containers are processes of this machine, so that /proc and the files of binds are theirs.
    pub(super) local: bool,
}

impl Engine {
    pub(super) fn new(kind: EngineKind, program: Vec<String>) -> Result<Engine, TrialError> {
        let name = program.first().cloned().unwrap_or_default();
        if !is_program(&name) {
            return Err(TrialError::NoEngine { program: name });
        }
        let local = is_local(kind, &program);
        Ok(Engine { kind, program, local })
    }

    pub(super) fn words<S: AsRef<str>>(&self, arguments: &[S]) -> Vec<String> {
        self.program.iter().cloned().chain(arguments.iter().map(|word| word.as_ref().to_owned())).collect()
    }

    /// A call with its output, whatever its exit code.
    pub(super) fn call<S: AsRef<str>>(&self, arguments: &[S]) -> Result<Output, TrialError> {
        self.call_with(arguments, None)
    }

    pub(super) fn call_with<S: AsRef<str>>(
        &self,
        arguments: &[S],
        input: Option<File>,
    ) -> Result<Output, TrialError> {
        let words = self.words(arguments);
        let limits = Limits { time: CALL_LIMIT, interrupt: None };
        let output = program::run(&words, input, &limits)
            .map_err(|error| self.failed(arguments, &error.to_string()))?;
        if output.timed_out {
            let message = format!("no answer in {} s", CALL_LIMIT.as_secs());
            return Err(self.failed(arguments, &message));
        }
        Ok(output)
    }

    /// A call that must succeed.
    pub(super) fn ask<S: AsRef<str>>(&self, arguments: &[S]) -> Result<String, TrialError> {
        let output = self.call(arguments)?;
        if output.success() { Ok(output.stdout) } else { Err(self.failed(arguments, &output.stderr)) }
    }

    fn failed<S: AsRef<str>>(&self, arguments: &[S], message: &str) -> TrialError {
        let verb: Vec<&str> = arguments.iter().take(2).map(AsRef::as_ref).collect();
        TrialError::Engine {
            call: format!("{} {}", self.kind.name(), verb.join(" ")),
            message: last_words(message),
        }
    }

    pub(super) fn inspect_image(&self, image: &str) -> Result<Value, TrialError> {
        let output = self.call(&["image", "inspect", image])?;
        let parsed = serde_json::from_str::<Value>(&output.stdout).ok();
        match parsed.and_then(|list| list.get(0).cloned()) {
            Some(found) if output.success() => Ok(found),
            _ if is_absent(&output.stderr) => {
                Err(TrialError::NoImage { image: image.into(), engine: self.kind.name() })
            }
            _ => Err(self.failed(&["image", "inspect"], &output.stderr)),
        }
    }

    /// `None` where the container is gone.
    pub(super) fn inspect(&self, container: &str) -> Result<Option<Value>, TrialError> {
        let output = self.call(&["container", "inspect", container])?;
        if !output.success() {
            return Ok(None);
        }
        Ok(serde_json::from_str::<Value>(&output.stdout).ok().and_then(|list| list.get(0).cloned()))
    }

    /// Containers and networks that carry the label of a trial, or of all trials.
    fn labelled(&self, id: Option<&str>) -> Result<Vec<Labelled>, TrialError> {
        let filter = match id {
            Some(id) => format!("label={LABEL}={id}"),
            None => format!("label={LABEL}"),
        };
        let lists: [(&str, &[&str]); 2] =
            [("container", &["container", "ls", "--all", "--no-trunc"]), ("network", &["network", "ls"])];
        let mut found = Vec::new();
        for (kind, list) in lists {
            let quiet = [list, &["--quiet", "--filter", &filter]].concat();
            for name in self.ask(&quiet)?.split_whitespace() {
                let output = self.call(&[kind, "inspect", name])?;
                let answer = serde_json::from_str::<Value>(&output.stdout).unwrap_or_default();
                let labels = ["/0/Config/Labels", "/0/Labels", "/0/labels"]
                    .iter()
                    .find_map(|pointer| answer.pointer(pointer).filter(|labels| labels.is_object()));
                let label = |key: &str| {
                    let value = labels.and_then(|labels| labels.get(key)).and_then(Value::as_str);
                    value.unwrap_or_default().to_owned()
                };
                found.push(Labelled {
                    is_network: kind == "network",
                    name: name.to_owned(),
                    owner: label(OWNER_LABEL),
                    deadline: label(DEADLINE_LABEL),
                });
            }
        }
        Ok(found)
    }

    fn remove(&self, labelled: &Labelled) -> Result<(), TrialError> {
        if labelled.is_network {
            // What is on it went before it.
            self.call_until_gone(&["network", "rm", &labelled.name], &["network", "rm"])
        } else {
            self.remove_container(&labelled.name)
        }
    }

    /// With its anonymous volumes. One that is gone already is no error.
    pub(super) fn remove_container(&self, container: &str) -> Result<(), TrialError> {
        let mut words = vec!["rm", "--force", "--volumes"];
        if self.kind == EngineKind::Podman {
            // Podman waits ten seconds for a program that heeds no signal.
            words.extend(["--time", "0"]);
        }
        words.push(container);
        self.call_until_gone(&words, &["rm"])
    }

    /// Removes a thing. One that is gone already is no error; one that the engine is still busy with, because another
    /// removal of it or of what is on it has not ended, is asked for again.
    fn call_until_gone(&self, words: &[&str], name: &[&str]) -> Result<(), TrialError> {
        let begun = Instant::now();
        loop {
            let output = self.call(words)?;
            if output.success() || is_absent(&output.stderr) {
                return Ok(());
            }
            if !is_busy(&output.stderr) || begun.elapsed() > BUSY {
                return Err(self.failed(name, &output.stderr));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Removes what this trial made.
    pub(super) fn remove_trial(&self, id: &str) -> Result<(), TrialError> {
        let mut result = Ok(());
        for labelled in self.labelled(Some(id))? {
            result = self.remove(&labelled).and(result);
        }
        result
    }

    /// Removes what trials that have ended left behind, and tells how many things that were.
    pub(super) fn sweep(&self, own: &Owner) -> Result<usize, TrialError> {
        let mut removed = 0;
        for labelled in self.labelled(None)? {
            if is_left_behind(&labelled.owner, &labelled.deadline, own) {
                self.remove(&labelled)?;
                removed += 1;
            }
        }
        Ok(removed)
    }
}

struct Labelled {
    is_network: bool,
    name: String,
    owner: String,
    deadline: String,
}

/// "No such image", "image not known", "no container with name or ID".
fn is_absent(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["no such", "not known", "not found", "no container with"].iter().any(|text| lower.contains(text))
}

/// How long an engine may be busy with a removal that somebody else asked for.
const BUSY: Duration = Duration::from_secs(20);

/// "removal of container … is already in progress", "network … has active endpoints", "network is being used".
fn is_busy(message: &str) -> bool {
    let lower = message.to_lowercase();
    ["already in progress", "active endpoints", "being used", "is in use"]
        .iter()
        .any(|text| lower.contains(text))
}

/// The end of a message, on one line.
pub(super) fn last_words(message: &str) -> String {
    let lines: Vec<&str> = message.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let lines = lines.get(lines.len().saturating_sub(3)..).unwrap_or_default();
    super::evidence::printable(&lines.join(" "))
}

fn is_program(name: &str) -> bool {
    if name.contains('/') {
        return PathBuf::from(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !name.is_empty() && std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

/// Whether the engine is this machine's: nothing in the line or the environment leads elsewhere.
fn is_local(kind: EngineKind, program: &[String]) -> bool {
    let elsewhere =
        |address: &str| !address.is_empty() && !address.starts_with("unix:") && address != "default";
    let options: &[&str] = &["-H", "--host", "-c", "--context", "--url", "--connection"];
    let in_line = program.iter().enumerate().any(|(at, word)| match word.split_once('=') {
        Some((option, value)) => options.contains(&option) && elsewhere(value),
        None if matches!(word.as_str(), "--remote" | "-r") && kind == EngineKind::Podman => true,
        None => options.contains(&word.as_str()) && program.get(at + 1).is_some_and(|next| elsewhere(next)),
    });
    let variables: &[&str] = match kind {
        EngineKind::Podman => &["CONTAINER_HOST", "CONTAINER_CONNECTION"],
        _ => &["DOCKER_HOST", "DOCKER_CONTEXT"],
    };
    let named =
        options.iter().any(|option| program.iter().any(|word| word.split('=').next() == Some(option)));
    let in_environment =
        || variables.iter().any(|name| std::env::var(name).is_ok_and(|value| elsewhere(&value)));
    !in_line && (named || !in_environment())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_elsewhere_is_known_by_its_line() {
        let local =
            |kind, line: &str| is_local(kind, &line.split(' ').map(str::to_owned).collect::<Vec<_>>());
        assert!(local(EngineKind::Docker, "sudo docker -H unix:///run/docker.sock"));
        assert!(local(EngineKind::Docker, "docker --context=default"));
        assert!(!local(EngineKind::Docker, "docker --host=tcp://10.0.0.1:2376"));
        assert!(!local(EngineKind::Docker, "docker --context far"));
        assert!(!local(EngineKind::Podman, "podman --remote"));
        assert!(!local(EngineKind::Podman, "podman --url ssh://a@b/run/podman.sock"));
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        assert!(is_program("sh"));
        let error = Engine::new(EngineKind::Docker, vec!["no-such-docker".into()]).unwrap_err();
        assert!(error.to_string().contains("no-such-docker"));
    }

    #[test]
    fn a_removal_that_another_one_has_begun_is_waited_for_and_no_failure() {
        for message in [
            "Error response from daemon: removal of container bf93abc is already in progress",
            "Error response from daemon: error while removing network: network stockade-trial-1 has active endpoints",
            "Error: \"stockade-trial-1\" has associated containers with it. network is being used",
        ] {
            assert!(is_busy(message) && !is_absent(message), "{message}");
        }
        assert!(!is_busy("Error response from daemon: permission denied"));
    }
}
