//! Which files of a directory may hold something to judge, and how a file is read: bounded, and never
//! hanging on what is no file.
//!
//! What git ignores and what is hidden is left out, as it is not part of what is deployed; a file or
//! directory that the user names is always taken. Symbolic links to directories are not followed, so there
//! are no loops; a link to a file is, if the file lies below the directory that was named. (A mounted
//! ConfigMap is such links, and a link out of a checked-out tree may point to anything on the machine.)

use std::ffi::OsStr;
use std::fs::{self, File, FileType, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ignore::{DirEntry, WalkBuilder, WalkState};
use rustix::fs::OFlags;

/// A file or directory that could not be looked at.
#[derive(Debug, thiserror::Error)]
#[error("{}: {message}", path.display())]
pub struct WalkError {
    pub path: PathBuf,
    pub message: String,
}

impl WalkError {
    fn new(path: &Path, message: impl ToString) -> WalkError {
        WalkError { path: path.to_owned(), message: message.to_string() }
    }
}

/// What a file is by its name; its content has the last word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likely {
    /// YAML or JSON: Compose, Kubernetes, `config.json`, `daemon.json`.
    Document,
    Dockerfile,
    /// A Quadlet unit, or a drop-in for one.
    Quadlet,
    /// A shell script, which may hold `docker run` lines.
    Script,
}

/// The unit types of podman-systemd.unit(5).
const QUADLET: [&str; 8] = ["container", "volume", "network", "kube", "pod", "build", "image", "artifact"];

const SHELLS: [&[u8]; 7] = [b"sh", b"bash", b"dash", b"ash", b"ksh", b"mksh", b"zsh"];

/// What a file is likely to be, from its name and that of its directory.
pub fn likely(path: &Path) -> Option<Likely> {
    let name = path.file_name()?.to_string_lossy();
    let lower = name.to_ascii_lowercase();
    if lower.starts_with("dockerfile") || lower.starts_with("containerfile") {
        return Some(Likely::Dockerfile);
    }
    match lower.rsplit_once('.')?.1 {
        "yaml" | "yml" | "json" => Some(Likely::Document),
        "dockerfile" | "containerfile" => Some(Likely::Dockerfile),
        "sh" | "bash" => Some(Likely::Script),
        "conf" => is_drop_in(path).then_some(Likely::Quadlet),
        extension => QUADLET.contains(&extension).then_some(Likely::Quadlet),
    }
}

/// `web.container.d/10-limits.conf`, or `container.d/10-limits.conf` for all containers.
fn is_drop_in(path: &Path) -> bool {
    let directory = path.parent().and_then(Path::file_name).map(OsStr::to_string_lossy);
    let unit = directory.as_deref().and_then(|name| name.strip_suffix(".d"));
    unit.and_then(|unit| unit.rsplit('.').next()).is_some_and(|kind| QUADLET.contains(&kind))
}

/// The files to judge at and below a path, sorted. A path that is a file is taken as it is.
pub fn files(root: &Path) -> Vec<Result<PathBuf, WalkError>> {
    let metadata = match fs::metadata(root) {
        Ok(metadata) => metadata,
        Err(error) => return vec![Err(WalkError::new(root, error))],
    };
    if !metadata.is_dir() {
        return vec![regular(root, metadata.file_type()).map(|()| root.to_owned())];
    }
    let real_root = match root.canonicalize() {
        Ok(real_root) => real_root,
        Err(error) => return vec![Err(WalkError::new(root, error))],
    };
    let found = Mutex::new(Vec::new());
    walker(root).build_parallel().run(|| {
        Box::new(|entry| {
            let taken = match entry {
                Ok(entry) => take(&entry, &real_root),
                Err(error) => Some(Err(unreadable(root, &error))),
            };
            if let Some(taken) = taken {
                found.lock().unwrap_or_else(PoisonError::into_inner).push(taken);
            }
            WalkState::Continue
        })
    });
    let mut found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    found.sort_unstable_by(|a, b| path_of(a).cmp(path_of(b)));
    found
}

fn path_of(found: &Result<PathBuf, WalkError>) -> &Path {
    match found {
        Ok(path) => path,
        Err(error) => &error.path,
    }
}

/// Only what the tree itself says counts, so that two machines see the same files: `.gitignore` is read,
/// also above the root and outside a repository; the user's own git configuration is not.
fn walker(root: &Path) -> WalkBuilder {
    let mut builder = WalkBuilder::new(root);
    builder.hidden(true).parents(true).git_ignore(true).require_git(false);
    builder.ignore(false).git_global(false).git_exclude(false).follow_links(false);
    builder.threads(std::thread::available_parallelism().map_or(1, usize::from));
    builder
}

/// Whether an entry of the walk is to be judged.
fn take(entry: &DirEntry, real_root: &Path) -> Option<Result<PathBuf, WalkError>> {
    let path = entry.path();
    let file_type = entry.file_type()?;
    if file_type.is_symlink() {
        return take_link(path, real_root);
    }
    if !file_type.is_file() {
        return None;
    }
    if likely(path).is_some() {
        return Some(Ok(path.to_owned()));
    }
    if path.extension().is_some() {
        return None;
    }
    match is_shell_script(path) {
        Ok(true) => Some(Ok(path.to_owned())),
        Ok(false) => None,
        Err(error) => Some(Err(error)),
    }
}

fn take_link(path: &Path, real_root: &Path) -> Option<Result<PathBuf, WalkError>> {
    likely(path)?;
    let target = match path.canonicalize() {
        Ok(target) => target,
        Err(error) => return Some(Err(WalkError::new(path, format!("a broken symbolic link: {error}")))),
    };
    if !fs::metadata(&target).is_ok_and(|metadata| metadata.is_file()) {
        return None;
    }
    if !target.starts_with(real_root) {
        let message = format!(
            "a symbolic link out of the directory, to {}; name that file to have it judged",
            target.display()
        );
        return Some(Err(WalkError::new(path, message)));
    }
    Some(Ok(path.to_owned()))
}

/// Whether the file's first line names a shell: `#!/bin/sh -e`, `#!/usr/bin/env bash`.
fn is_shell_script(path: &Path) -> Result<bool, WalkError> {
    let mut start = Vec::with_capacity(128);
    open(path)?.take(128).read_to_end(&mut start).map_err(|error| WalkError::new(path, error))?;
    let Some(line) = start.strip_prefix(b"#!") else { return Ok(false) };
    let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let mut words = line.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let program = |word: &[u8]| word.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec();
    let interpreter = words.next().map(program);
    let name = match interpreter.as_deref() {
        Some(b"env") => words.find(|word| !word.starts_with(b"-")).map(program),
        _ => interpreter,
    };
    Ok(name.is_some_and(|name| SHELLS.contains(&name.as_slice())))
}

fn unreadable(root: &Path, error: &ignore::Error) -> WalkError {
    fn path(error: &ignore::Error) -> Option<&Path> {
        match error {
            ignore::Error::WithPath { path, .. } => Some(path),
            ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path(err),
            _ => None,
        }
    }
    let message = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
    WalkError::new(path(error).unwrap_or(root), message)
}

/// A whole file, which must be a regular one of at most `limit` bytes.
pub fn read_bounded(path: &Path, limit: usize) -> Result<Vec<u8>, WalkError> {
    let file = open(path)?;
    let size = file.metadata().map_or(0, |metadata| metadata.len());
    // A file of /proc says 0, and one that is being written says less than comes.
    let expected = usize::try_from(size).unwrap_or(limit).min(limit);
    read_stream_bounded(file, path, limit, expected)
}

/// All of a stream, such as standard input, which must end within `limit` bytes. `path` is its name.
pub fn read_stream(stream: impl Read, path: &Path, limit: usize) -> Result<Vec<u8>, WalkError> {
    read_stream_bounded(stream, path, limit, 0)
}

fn read_stream_bounded(
    stream: impl Read,
    path: &Path,
    limit: usize,
    expected: usize,
) -> Result<Vec<u8>, WalkError> {
    let mut bytes = Vec::with_capacity(expected.saturating_add(1));
    let most = u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1);
    stream.take(most).read_to_end(&mut bytes).map_err(|error| WalkError::new(path, error))?;
    if bytes.len() > limit {
        return Err(WalkError::new(path, format!("larger than the limit of {limit} bytes")));
    }
    Ok(bytes)
}

/// Opens a regular file, and nothing else: opening a FIFO waits for a writer, and opening a device may act
/// (the watchdog reboots). It is asked before, and, as it may be replaced between, not waited for.
fn open(path: &Path) -> Result<File, WalkError> {
    let metadata = fs::metadata(path).map_err(|error| WalkError::new(path, error))?;
    regular(path, metadata.file_type())?;
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC).bits();
    let file = OpenOptions::new().read(true).custom_flags(flags.cast_signed()).open(path);
    let file = file.map_err(|error| WalkError::new(path, error))?;
    let metadata = file.metadata().map_err(|error| WalkError::new(path, error))?;
    regular(path, metadata.file_type())?;
    Ok(file)
}

fn regular(path: &Path, file_type: FileType) -> Result<(), WalkError> {
    let kind = match () {
        () if file_type.is_file() => return Ok(()),
        () if file_type.is_dir() => "a directory",
        () if file_type.is_fifo() => "a FIFO",
        () if file_type.is_socket() => "a socket",
        () => "a device",
    };
    let message = format!("{kind}, not a regular file; give its content on standard input (`-`)");
    Err(WalkError::new(path, message))
}
