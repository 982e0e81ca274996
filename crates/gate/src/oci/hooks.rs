//! Hooks: programs that the runtime runs on the host, as root, around a container (config.md, "POSIX-platform Hooks").
//! Only an engine and root's own configuration write them, but nothing in a configuration says so. Judged is what can be
//! seen: whether somebody else than root can change the program, whether the container itself can, and whether the
//! container's environment steers it.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use confinement::{Confinement, HostPath, MountSource};
use sources::document::Node;

use super::trusted::Owners;

/// In the order of the specification. The last is whether the program is one of the container's own, which then runs as
/// confined as the container does.
const KINDS: &[(&str, bool)] = &[
    ("prestart", false),
    ("createRuntime", false),
    ("createContainer", false),
    ("startContainer", true),
    ("poststart", false),
    ("poststop", false),
];

/// Variables by which the dynamic linker runs other code (ld.so(8)).
const LINKER: &[&str] = &["LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT"];

/// What is said of the first hook that may not be. `rootfs` is the folder of the container's root file system.
pub(super) fn refused(
    root: &Node,
    confinement: &Confinement,
    rootfs: Option<&str>,
    only: Option<&[PathBuf]>,
) -> Option<String> {
    let hooks = root.get("hooks").filter(Node::is_mapping)?;
    let owners = Owners::of_this_process();
    for (kind, _) in KINDS.iter().filter(|(_, own)| !own) {
        for hook in hooks.get(kind).into_iter().flat_map(|list| list.items().collect::<Vec<_>>()) {
            let path = hook.get("path");
            let Some(path) = path.as_ref().and_then(Node::as_string_strict) else { continue };
            let found = program(Path::new(path), &owners)
                .and_then(|program| placed(&program, confinement, rootfs).map(|()| program))
                .and_then(|program| named(&program, Path::new(path), only));
            let found = found.and_then(|()| steered(root, &hook, kind));
            if let Err(why) = found {
                return Some(format!("the {kind} hook `{path}` runs as root on the host, and {why}"));
            }
        }
    }
    None
}

/// The program itself, where only root can change it.
fn program(path: &Path, owners: &Owners) -> Result<PathBuf, String> {
    if !path.is_absolute() {
        return Err("its path is not absolute".into());
    }
    // `/proc/PID/exe` is the running program and no name for it: dockerd's hook for the network is itself, which may
    // have been replaced by a newer one since.
    if is_running_program(path) {
        let running = fs::metadata(path).map_err(|error| format!("it cannot be looked at: {error}"))?;
        let changeable = running.permissions().mode() & 0o022 != 0;
        return match (running.uid(), changeable) {
            (0, false) => Ok(fs::read_link(path).unwrap_or_else(|_| path.into())),
            _ => Err("somebody else than root can change it".into()),
        };
    }
    let real = owners.resolve(path).map_err(|error| format!("it cannot be trusted: {error}"))?;
    Ok(real)
}

fn is_running_program(path: &Path) -> bool {
    let Some(process) = path.to_str().and_then(|p| p.strip_prefix("/proc/")?.strip_suffix("/exe")) else {
        return false;
    };
    process == "self" || (!process.is_empty() && process.bytes().all(|b| b.is_ascii_digit()))
}

/// A program that the container can write is the container's to replace, for the next start of anything.
fn placed(program: &Path, confinement: &Confinement, rootfs: Option<&str>) -> Result<(), String> {
    let program = HostPath::new(&program.to_string_lossy());
    let within = |folder: &HostPath| !folder.is_root() && program.is_at_or_below(folder.as_str());
    if rootfs.is_some_and(|rootfs| within(&HostPath::new(rootfs))) {
        return Err("it lies in the container's own root file system".into());
    }
    for mount in confinement.mounts.iter().filter(|mount| mount.read_only.value != Some(true)) {
        let folder = match mount.source.get() {
            Some(MountSource::Host(path)) => path.clone(),
            Some(MountSource::Volume(path)) if path.starts_with('/') => HostPath::new(path),
            _ => continue,
        };
        if within(&folder) {
            return Err(format!("the container can write to it through {}", mount.target));
        }
    }
    Ok(())
}

fn named(program: &Path, path: &Path, only: Option<&[PathBuf]>) -> Result<(), String> {
    match only {
        Some(only) if !only.iter().any(|named| named == path || named == program) => {
            Err("the settings do not name it under hooks".into())
        }
        _ => Ok(()),
    }
}

/// A createContainer hook runs in the container's process, and one without an environment of its own gets that process's,
/// which is the container's: an image then chooses libraries for a program from outside (CVE-2025-23266;
/// opencontainers/runc#4323, containers/crun#911).
fn steered(root: &Node, hook: &Node, kind: &str) -> Result<(), String> {
    if kind != "createContainer" || hook.get("env").is_some_and(|env| env.items().len() > 0) {
        return Ok(());
    }
    let env = root.get("process").and_then(|process| process.get("env"));
    let set = env.into_iter().flat_map(|env| env.items().collect::<Vec<_>>()).find_map(|item| {
        let name = item.as_string_strict()?.split_once('=')?.0;
        LINKER.iter().find(|known| **known == name)
    });
    match set {
        Some(name) => Err(format!("takes `{name}` from the container's environment (CVE-2025-23266)")),
        None => Ok(()),
    }
}
