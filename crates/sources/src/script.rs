//! Shell scripts: every `docker run` and `podman run` command line in them, as [`run`](crate::run) reads it, at
//! its line and column.

use std::sync::Arc;

use confinement::{Problem, World};

use crate::{Context, run};

/// The largest script that is read.
const LARGEST: usize = 4 << 20;

/// Whether bytes are a shell script: the first line says so (`#!/bin/sh`, `#!/usr/bin/env bash`), or the name ends
/// as a script's does and the bytes are text.
pub fn recognise(bytes: &[u8], path: &str) -> bool {
    let head = bytes.get(..256).unwrap_or(bytes);
    let first = head.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if let Some(interpreter) = first.strip_prefix(b"#!") {
        let interpreter = String::from_utf8_lossy(interpreter);
        let mut words =
            interpreter.split_ascii_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
        let program = words.find(|word| *word != "env" && !word.starts_with('-') && !word.contains('='));
        return program.is_some_and(is_shell);
    }
    let extension =
        path.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map(|(_, extension)| extension);
    extension.is_some_and(is_shell) && !head.contains(&0)
}

fn is_shell(name: &str) -> bool {
    matches!(name, "sh" | "bash" | "dash" | "ash" | "ksh" | "zsh" | "busybox")
}

/// The containers that a script's commands make. A script without any is an empty world.
pub fn read(bytes: &[u8], path: &Arc<str>, context: &Context) -> World {
    let mut world = World::default();
    if bytes.len() > LARGEST {
        let message = format!("the script is larger than the limit of {LARGEST} bytes");
        world.problems.push(Problem::new(path.clone(), message));
        return world;
    }
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    match std::str::from_utf8(bytes) {
        Ok(text) => run::read_text(text, path, 1, context),
        Err(error) => {
            let before = bytes.get(..error.valid_up_to()).unwrap_or_default();
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            world.problems.push(Problem {
                path: path.clone(),
                line: u32::try_from(line).ok(),
                column: None,
                message: "this line is not valid UTF-8".to_owned(),
            });
            world
        }
    }
}

#[cfg(test)]
mod tests;
