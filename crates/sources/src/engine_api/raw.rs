//! An engine's own answers, as it gives them: for those who write a container anew or propose settings for the
//! engine, and so need what a confinement leaves out (names, addresses, commands).

use std::sync::Arc;

use confinement::{Engine, EngineKind, Problem};
use serde_json::Value;

use super::{Wanted, docker, podman};

/// A container with the image it was made of.
#[derive(Clone, Debug, Default)]
pub struct Inspected {
    pub container: Value,
    /// `None` where the engine no longer has it.
    pub image: Option<Value>,
}

/// What one engine says of itself and of what it holds.
#[derive(Clone, Debug, Default)]
pub struct Raw {
    /// The engine as these answers set it up; there in all that an engine answered.
    pub engine: Option<Arc<Engine>>,
    pub info: Value,
    pub containers: Vec<Inspected>,
    pub volumes: Vec<Value>,
    /// Docker's; Podman's are not asked for.
    pub networks: Vec<Value>,
}

/// The answers of the engine that `docker:` or `podman:` stands for, about the containers that are wanted.
pub fn raw(kind: EngineKind, wanted: Wanted<'_>) -> Result<Raw, Problem> {
    let raw = match kind {
        EngineKind::Podman => podman::raw(wanted)?,
        _ => docker::raw(wanted)?,
    };
    match wanted.name {
        Some(name) if raw.containers.is_empty() => {
            let message = format!("there is no container `{}`", crate::measured::printable(name));
            Err(Problem::new(format!("{}:", kind.name()), message))
        }
        _ => Ok(raw),
    }
}

/// The elements of a list that is the answer, or a member of it.
pub(super) fn elements(answer: Value) -> Vec<Value> {
    match answer {
        Value::Array(items) => items,
        _ => Vec::new(),
    }
}
