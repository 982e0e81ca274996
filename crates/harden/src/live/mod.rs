//! A running container, written anew: from an engine's inspection of it and of its image to a `docker run` or `podman
//! run` line and to a Compose service that make the same container again. What the image brings is left out, as are
//! the labels that Compose keeps its books with. What cannot be said in one of the forms is a note.
//!
//! [`docker`] and [`podman`] read an inspection into [`Made`](made::Made), one option of the command line after the
//! other; [`line`] and [`compose`] write it; [`remedied`] puts the remedies in, by the editors of those two forms.

mod compose;
mod docker;
mod line;
mod made;
mod podman;
mod remedied;
mod yaml;

pub(crate) use line::{quote, single_quoted};

#[cfg(test)]
mod tests;

use confinement::{Engine, EngineKind, Host};
use serde_json::Value;
use sources::engine_api::answer::Answer;

pub use remedied::Remedied;

/// Texts that make a container again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reproduced {
    /// The command, over several lines; where the container stands in more networks than one, the commands that
    /// attach it to the others follow.
    pub run_line: String,
    /// A Compose file with one service.
    pub compose: String,
    /// Files that both texts name, relative to the folder they are used in.
    pub files: Vec<SideFile>,
    pub notes: Vec<String>,
}

/// A file that is needed beside the texts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SideFile {
    pub path: String,
    pub text: String,
}

/// Why a container cannot be written anew.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreproducible {
    #[error("the inspection has no `{0}`; give the whole answer of `inspect` for one container")]
    Missing(&'static str),
    #[error("this is the infrastructure container of pod {0}, which Podman makes; look at the pod instead")]
    Infrastructure(String),
}

/// The texts for a container as `inspect` shows it. `image` is the inspection of the image that it was made of
/// (`.Image`); without it nothing is known to come from there, and all is written out. `engine` and `host` say
/// what goes without saying.
pub fn reproduce(
    inspect: &Value,
    image: Option<&Value>,
    engine: &Engine,
    host: &Host,
) -> Result<Reproduced, Unreproducible> {
    let asked = |what: &str| format!("{} {what}", engine.kind.name());
    let container = Answer::new(first(inspect).clone(), asked("inspect"));
    let image = image.map(|image| Answer::new(first(image).clone(), asked("image inspect")));
    let image_root = image.as_ref().map(Answer::root);
    let read = docker::Reading { root: container.root(), image: image_root, engine, host };
    let mut made = match engine.kind {
        EngineKind::Podman => podman::made(&read)?,
        _ => docker::made(&read)?,
    };
    let run_line = line::write(&made);
    let compose = compose::write(&mut made);
    let mut notes = std::mem::take(&mut made.notes);
    if run_line.contains(|c: char| c.is_control() && !matches!(c, '\n' | '\t')) {
        notes.push(
            "the command line has control characters in it, as the container has; do not print it raw".into(),
        );
    }
    // A field of another type than is documented may have hidden a setting.
    let answers = [Some(container), image];
    let problems = answers.into_iter().flatten().flat_map(Answer::into_problems);
    notes.extend(problems.map(|problem| format!("{problem}; what it sets is not in the texts")));
    notes.dedup();
    Ok(Reproduced { run_line, compose, files: made.files, notes })
}

/// The commands print a list even of one.
fn first(inspect: &Value) -> &Value {
    inspect.as_array().and_then(|list| list.first()).unwrap_or(inspect)
}
