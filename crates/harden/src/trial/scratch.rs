//! What stands in for the user's volumes. They are never written: what they hold is copied once, within a bound, and
//! put anew into an anonymous volume of each trial container, which is removed with the container. What the user mounts
//! read-only is shared read-only where no socket is in it, since a read-only mount does not stop a connection.

use std::fmt;
use std::fs::{DirBuilder, File};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use confinement::{EngineKind, HostPath, MountSource};
use rustix::process::geteuid;

use super::TrialError;
use super::engine::Engine;
use super::grant::Grant;
use super::observe::parent;
use super::owner::Owner;
use super::program::{self, Limits, Saved};
use super::workload::{Workload, source};

/// Where a volume stands in the container that it is copied from, or below it by the last name of its target.
const COPY_FROM: &str = "/stockade-copy";
/// Entries of a folder that are looked at for sockets.
const MOST_ENTRIES: usize = 200_000;
const COPY_TIME: Duration = Duration::from_secs(120);
/// In the name of every scratch folder, before its owner.
const PREFIX: &str = "stockade-trial-";

#[derive(Clone, Debug)]
enum Prepared {
    /// As it is, by an option.
    Shared {
        option: String,
    },
    /// As [`Prepared::Shared`], where the grant is there.
    Granted {
        grant: Grant,
        option: String,
    },
    Copied {
        target: String,
        archive: PathBuf,
    },
    File {
        target: String,
        copy: PathBuf,
        read_only: bool,
    },
    Empty {
        target: String,
    },
}

/// A folder of this trial's own, and the mounts that replace the user's.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: PathBuf,
    prepared: Vec<Prepared>,
    pub(super) notes: Vec<String>,
    /// Sockets and device nodes that are handed in.
    pub(super) grants: Vec<Grant>,
}

/// What copying needs.
pub(super) struct Copying<'a> {
    pub(super) workload: &'a Workload,
    pub(super) engine: &'a Engine,
    /// Of the containers that are made for it.
    pub(super) labels: &'a [String],
    /// The largest copy of a volume, in bytes.
    pub(super) limit: u64,
    pub(super) allow_socket: bool,
}

/// Where a mount stands.
struct At {
    /// Among the mounts of the workload.
    number: usize,
    target: String,
    read_only: bool,
}

/// What is copied.
enum From<'a> {
    Folder(&'a HostPath),
    Volume(&'a str),
}

impl fmt::Display for From<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            From::Folder(path) => write!(f, "{path}"),
            From::Volume(name) => write!(f, "volume {name}"),
        }
    }
}

/// How copies reach a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// `docker cp` into the parent of a volume: into the volume itself, its own owner and mode would not change.
    Beside,
    /// `podman cp` into the volume, which it does not see from the parent. Of the volume itself the owner is lost.
    Into,
    /// Bound from the scratch folder: Podman gives a volume that is new to the container's user.
    Bound,
}

/// The name of the folder itself in an archive that is unpacked and bound.
const BOUND: &str = "volume";

impl Way {
    fn of(engine: &Engine) -> Way {
        match engine.kind {
            EngineKind::Podman if engine.local && geteuid().is_root() => Way::Bound,
            EngineKind::Podman => Way::Into,
            _ => Way::Beside,
        }
    }
}

impl From<'_> {
    fn save(&self, target: &str, archive: &Path, copying: &Copying<'_>) -> Result<Saved, TrialError> {
        let engine = copying.engine;
        let way = Way::of(engine);
        // What `podman cp` gives out is all root's, whoever owns it inside.
        if way == Way::Bound
            && let Some(folder) = self.folder(engine)?
        {
            let mut file = new_file(archive)?;
            return archive_folder(&folder, BOUND, &mut file, copying.limit)
                .map_err(|error| TrialError::file(&folder, &error));
        }
        // Through a container that is never started, so that the engine reads what its user may not.
        let name = target.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let (place, wanted) = match way {
            Way::Into => (COPY_FROM.to_owned(), format!("{COPY_FROM}/.")),
            _ => (format!("{COPY_FROM}/{name}"), format!("{COPY_FROM}/{name}")),
        };
        let option = match self {
            From::Folder(path) => bind_option(path.as_str(), &place, true),
            From::Volume(volume) => format!("--volume={volume}:{place}:ro"),
        };
        let container = create_unstarted(engine, &copying.workload.image, copying.labels, &[option])?;
        let saved = save_from(engine, &container, &wanted, archive, copying.limit);
        engine.remove_container(&container)?;
        saved
    }

    /// Where it is on this machine.
    fn folder(&self, engine: &Engine) -> Result<Option<PathBuf>, TrialError> {
        match self {
            From::Folder(path) => Ok(Some(PathBuf::from(path.as_str()))),
            From::Volume(name) => {
                let answer = engine.ask(&["volume", "inspect", name])?;
                let answer = serde_json::from_str::<serde_json::Value>(&answer).unwrap_or_default();
                let folder = answer.pointer("/0/Mountpoint").and_then(serde_json::Value::as_str);
                Ok(folder.filter(|_| engine.local).map(PathBuf::from))
            }
        }
    }
}

impl Scratch {
    pub(super) fn new(id: &str, owner: &Owner) -> Result<Scratch, TrialError> {
        let folder = std::env::temp_dir().join(format!("{PREFIX}{id}.{owner}"));
        DirBuilder::new().mode(0o700).create(&folder).map_err(|error| TrialError::file(&folder, &error))?;
        Ok(Scratch { folder, prepared: Vec::new(), notes: Vec::new(), grants: Vec::new() })
    }

    /// Copies what is to be copied. Containers are made for it, and none is started.
    pub(super) fn prepare(&mut self, copying: &Copying<'_>) -> Result<(), TrialError> {
        for (number, mount) in copying.workload.mounts.iter().enumerate() {
            let at = At {
                number,
                target: mount.target.to_string(),
                read_only: mount.read_only.value == Some(true),
            };
            let prepared = self.mount(source(mount), at, copying)?;
            if let Some(Prepared::Granted { grant, .. }) = &prepared {
                self.grants.push(grant.clone());
            }
            self.prepared.extend(prepared);
        }
        Ok(())
    }

    fn mount(
        &mut self,
        source: Option<&MountSource>,
        at: At,
        copying: &Copying<'_>,
    ) -> Result<Option<Prepared>, TrialError> {
        let target = at.target.clone();
        let empty = |this: &mut Scratch, what: &str, why: &str| {
            this.notes.push(format!("{what} at {target} is replaced by an empty volume: {why}"));
            Ok(Some(Prepared::Empty { target: target.clone() }))
        };
        match source {
            Some(MountSource::Private) => Ok(Some(Prepared::Empty { target })),
            Some(MountSource::Host(path)) if !copying.engine.local => {
                empty(self, path.as_str(), "the engine is not on this machine")
            }
            Some(MountSource::Host(path)) => self.bind(path, at, copying),
            Some(MountSource::Volume(name)) => {
                // The reader puts the engine's realm before a line's volumes.
                let name = name.rsplit('/').next().unwrap_or(name);
                if !copying.engine.call(&["volume", "inspect", name])?.success() {
                    return Ok(Some(Prepared::Empty { target }));
                }
                if at.read_only {
                    return Ok(Some(Prepared::Shared { option: format!("--volume={name}:{target}:ro") }));
                }
                self.copy(&From::Volume(name), at, copying)
            }
            Some(MountSource::Kernel(_)) => Ok(None),
            Some(MountSource::Other(what)) => empty(self, what, "it is no folder that can be copied"),
            None => Err(TrialError::Line(format!(
                "what is mounted at `{target}` cannot be known from here, so nothing can stand in for it"
            ))),
        }
    }

    fn bind(
        &mut self,
        path: &HostPath,
        at: At,
        copying: &Copying<'_>,
    ) -> Result<Option<Prepared>, TrialError> {
        let At { target, read_only, .. } = &at;
        let share = |read_only: bool| bind_option(path.as_str(), target, read_only);
        let Ok(metadata) = std::fs::metadata(path.as_str()) else {
            self.notes.push(format!("{path} is not there; an empty volume stands for it"));
            return Ok(Some(Prepared::Empty { target: target.clone() }));
        };
        let kind = metadata.file_type();
        let grant = Grant::Mount(target.clone());
        if kind.is_socket() && !copying.allow_socket {
            self.notes.push(format!("the socket {path} is not handed in (--allow-socket does)"));
            return Ok(None);
        }
        if kind.is_socket() || kind.is_char_device() || kind.is_block_device() {
            return Ok(Some(Prepared::Granted { grant, option: share(*read_only) }));
        }
        if kind.is_file() {
            if *read_only {
                return Ok(Some(Prepared::Shared { option: share(true) }));
            }
            return self.copy_file(path, at, metadata.len(), copying);
        }
        if !kind.is_dir() {
            self.notes.push(format!("{path} is neither file nor folder; it is not handed in"));
            return Ok(None);
        }
        // Nothing of the kernel's can be copied.
        if ["/proc", "/sys", "/dev"].iter().any(|root| path.is_at_or_below(root)) {
            self.notes.push(format!("{path} is shared read-only"));
            return Ok(Some(Prepared::Granted { grant, option: share(true) }));
        }
        if *read_only && (copying.allow_socket || !may_hold_socket(Path::new(path.as_str()))) {
            return Ok(Some(Prepared::Shared { option: share(true) }));
        }
        self.copy(&From::Folder(path), at, copying)
    }

    /// A file cannot be an anonymous volume: it is copied beside, and a fresh copy bound for each run.
    fn copy_file(
        &mut self,
        path: &HostPath,
        at: At,
        size: u64,
        copying: &Copying<'_>,
    ) -> Result<Option<Prepared>, TrialError> {
        let At { number, target, .. } = at;
        if size > copying.limit {
            self.notes.push(format!("{path} is larger than --copy-limit; it is shared read-only"));
            return Ok(Some(Prepared::Shared { option: bind_option(path.as_str(), &target, true) }));
        }
        let copy = self.file(&format!("file-{number}"));
        copy_with_owner(Path::new(path.as_str()), &copy).map_err(|error| TrialError::file(&copy, &error))?;
        Ok(Some(Prepared::File { target, copy, read_only: false }))
    }

    fn copy(
        &mut self,
        from: &From<'_>,
        at: At,
        copying: &Copying<'_>,
    ) -> Result<Option<Prepared>, TrialError> {
        let At { number, target, .. } = at;
        let archive = self.file(&format!("volume-{number}.tar"));
        match from.save(&target, &archive, copying)? {
            Saved::Whole => Ok(Some(Prepared::Copied { target, archive })),
            Saved::TooMuch => {
                let _ = std::fs::remove_file(&archive);
                self.notes.push(format!(
                    "{from} at {target} is larger than --copy-limit ({} MiB); an empty volume stands for it",
                    copying.limit >> 20
                ));
                Ok(Some(Prepared::Empty { target }))
            }
            Saved::Failed(message) => Err(TrialError::Engine { call: format!("copying {from}"), message }),
        }
    }

    /// The options of one run's mounts. `run` is its number: files of its own lie under it.
    pub(super) fn options(
        &self,
        run: u32,
        engine: &Engine,
        has: impl Fn(&Grant) -> bool,
    ) -> Result<Vec<String>, TrialError> {
        // Where SELinux is on, a container reads what is labelled for it; these are copies.
        let relabel = if engine.kind == EngineKind::Podman { ",relabel=private" } else { "" };
        let mut options = Vec::new();
        for (number, prepared) in self.prepared.iter().enumerate() {
            match prepared {
                Prepared::Shared { option } => options.push(option.clone()),
                Prepared::Granted { grant, option } if has(grant) => options.push(option.clone()),
                Prepared::Granted { .. } => {}
                Prepared::Copied { target, archive } if Way::of(engine) == Way::Bound => {
                    let own = self.run_file(run, number);
                    unpack(archive, &own).map_err(|error| TrialError::file(&own, &error))?;
                    let folder = own.join(BOUND);
                    options.push(bind_option(&folder.to_string_lossy(), target, false) + relabel);
                }
                // From the container that [`Scratch::fill`] makes.
                Prepared::Copied { .. } => {}
                Prepared::Empty { target } => options.push(format!("--volume={target}")),
                Prepared::File { target, copy, read_only } => {
                    let own = self.run_file(run, number);
                    copy_with_owner(copy, &own).map_err(|error| TrialError::file(&own, &error))?;
                    options.push(bind_option(&own.to_string_lossy(), target, *read_only) + relabel);
                }
            }
        }
        Ok(options)
    }

    /// Puts the copies into new volumes of a container that is made for them and never started. A container with a
    /// read-only root file system would not take them. Gives nothing where nothing is copied.
    pub(super) fn fill(
        &self,
        engine: &Engine,
        image: &str,
        labels: &[String],
    ) -> Result<Option<String>, TrialError> {
        let copies = self.prepared.iter().filter_map(|prepared| match prepared {
            Prepared::Copied { target, archive } => Some((target, archive)),
            _ => None,
        });
        // A mount inside another is filled after it.
        let mut copies: Vec<(&String, &PathBuf)> = copies.collect();
        copies.sort();
        let way = Way::of(engine);
        if copies.is_empty() || way == Way::Bound {
            return Ok(None);
        }
        let options: Vec<String> = copies.iter().map(|(target, _)| format!("--volume={target}")).collect();
        let container = create_unstarted(engine, image, labels, &options)?;
        for (target, archive) in copies {
            let input = File::open(archive).map_err(|error| TrialError::file(archive, &error))?;
            let into = format!("{container}:{target}");
            let beside = format!("{container}:{}", parent(target.trim_end_matches('/')));
            // podman-cp(1), --archive: switched off, owners stay those of the archive.
            let words: &[&str] = match way {
                Way::Into => &["cp", "--archive=false", "-", &into],
                _ => &["cp", "-", &beside],
            };
            let output = engine.call_with(words, Some(input))?;
            if !output.success() {
                let message = super::engine::last_words(&output.stderr);
                engine.remove_container(&container)?;
                return Err(TrialError::Engine { call: format!("filling {target}"), message });
            }
        }
        Ok(Some(container))
    }

    /// A file of the trial's own.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn run_file(&self, run: u32, number: usize) -> PathBuf {
        self.folder.join(format!("run-{run}-{number}"))
    }

    pub(super) fn end_run(&self, run: u32) {
        for number in 0..self.prepared.len() {
            let file = self.run_file(run, number);
            let _ = std::fs::remove_file(&file).or_else(|_| std::fs::remove_dir_all(&file));
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Removes the scratch folders of this user's trials that have ended.
pub(super) fn sweep(own: &Owner) -> usize {
    let mut removed = 0;
    let user = geteuid().as_raw();
    for entry in std::fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some((_, owner)) = name.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')) else {
            continue;
        };
        // No link is followed: what is asked is the entry's own.
        let is_own = entry.metadata().is_ok_and(|metadata| metadata.is_dir() && metadata.uid() == user);
        let ended = owner.parse::<Owner>().is_ok_and(|owner| owner.has_ended(own));
        if is_own && ended && std::fs::remove_dir_all(entry.path()).is_ok() {
            removed += 1;
        }
    }
    removed
}

/// A container of the image that is not meant to run. Gives its id.
pub(super) fn create_unstarted(
    engine: &Engine,
    image: &str,
    labels: &[String],
    options: &[String],
) -> Result<String, TrialError> {
    let mut words: Vec<String> = ["create", "--pull=never", "--network=none"].map(str::to_owned).to_vec();
    words.extend(labels.iter().cloned());
    words.extend(options.iter().cloned());
    // An image without a command needs one.
    words.extend([image.to_owned(), "true".to_owned()]);
    let id = engine.ask(&words)?;
    Ok(id.lines().last().unwrap_or_default().trim().to_owned())
}

/// Saves what `cp` gives of a path of a container, as an archive.
pub(super) fn save_from(
    engine: &Engine,
    container: &str,
    path: &str,
    archive: &Path,
    most: u64,
) -> Result<Saved, TrialError> {
    save(engine, &["cp", &format!("{container}:{path}"), "-"], archive, most)
}

/// Saves what a call prints.
fn save(engine: &Engine, call: &[&str], archive: &Path, most: u64) -> Result<Saved, TrialError> {
    let mut file = new_file(archive)?;
    let limits = Limits { time: COPY_TIME, interrupt: None };
    program::save(&engine.words(call), &mut file, most, &limits)
        .map_err(|error| TrialError::file(archive, &error))
}

fn new_file(path: &Path) -> Result<File, TrialError> {
    let options = File::options().write(true).create_new(true).mode(0o600).open(path);
    options.map_err(|error| TrialError::file(path, &error))
}

/// A folder as an archive under a name of its own, links as links; what is neither file, folder nor link is left out.
fn archive_folder(folder: &Path, name: &str, to: &mut File, most: u64) -> std::io::Result<Saved> {
    let mut builder = tar::Builder::new(to);
    builder.follow_symlinks(false);
    let mut size = 0;
    let mut left = vec![PathBuf::new()];
    while let Some(relative) = left.pop() {
        let path = folder.join(&relative);
        let metadata = std::fs::symlink_metadata(&path)?;
        // A header is one block, and a file is rounded up to blocks.
        size += 1024 + if metadata.is_file() { metadata.len() } else { 0 };
        if size > most {
            return Ok(Saved::TooMuch);
        }
        let name = Path::new(name).join(&relative);
        if metadata.is_dir() {
            builder.append_dir(&name, &path)?;
            for entry in std::fs::read_dir(&path)? {
                left.push(relative.join(entry?.file_name()));
            }
        } else if metadata.is_file() || metadata.is_symlink() {
            builder.append_path_with_name(&path, &name)?;
        }
    }
    builder.finish()?;
    Ok(Saved::Whole)
}

/// `--mount` takes its parts as a line of comma-separated values (docker/cli opts/mount.go).
fn bind_option(source: &str, target: &str, read_only: bool) -> String {
    let field = |key: &str, value: &str| {
        let field = format!("{key}={value}");
        if field.contains([',', '"']) { format!("\"{}\"", field.replace('"', "\"\"")) } else { field }
    };
    let read_only = if read_only { ",readonly" } else { "" };
    format!("--mount=type=bind,{},{}{read_only}", field("source", source), field("target", target))
}

/// An archive of [`archive_folder`]'s, with owners and modes.
fn unpack(archive: &Path, to: &Path) -> std::io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    let mut archive = tar::Archive::new(File::open(archive)?);
    archive.set_preserve_permissions(true);
    archive.set_preserve_ownerships(true);
    archive.unpack(to)
}

fn copy_with_owner(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::copy(from, to)?;
    let metadata = std::fs::metadata(from)?;
    // Only root may give a file away; where that is refused the copy is this user's.
    let _ = chown(to, Some(metadata.uid()), Some(metadata.gid()));
    Ok(())
}

/// Whether a socket is at or below a folder, or there is more than is looked at. Other file systems below it count too;
/// links are not followed, since inside the container they lead elsewhere.
fn may_hold_socket(folder: &Path) -> bool {
    let mut folders = vec![folder.to_owned()];
    let mut seen = 0;
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { return true };
        for entry in entries {
            let Ok(kind) = entry.as_ref().map_err(|_| ()).and_then(|entry| entry.file_type().map_err(|_| ()))
            else {
                return true;
            };
            seen += 1;
            if kind.is_socket() || seen > MOST_ENTRIES {
                return true;
            }
            if let (true, Ok(entry)) = (kind.is_dir(), entry) {
                folders.push(entry.path());
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_commas_and_quotes_stays_one_field() {
        assert_eq!(
            bind_option("/a,b", "/c\"d", true),
            "--mount=type=bind,\"source=/a,b\",\"target=/c\"\"d\",readonly"
        );
    }

    #[test]
    fn a_folder_with_a_socket_somewhere_in_it_is_known() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b");
        std::fs::create_dir_all(&inner).unwrap();
        std::fs::write(inner.join("file"), "x").unwrap();
        assert!(!may_hold_socket(folder.path()));
        let _socket = std::os::unix::net::UnixListener::bind(inner.join("s")).unwrap();
        assert!(may_hold_socket(folder.path()));
    }

    #[test]
    fn scratch_folders_of_ended_trials_are_swept_and_those_of_running_ones_stay() {
        let own = Owner::current();
        let running = Scratch::new(&format!("test{}", std::process::id()), &own).unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let ended =
            own.to_string().replace(&format!(".{}.", std::process::id()), &format!(".{}.", child.id()));
        child.wait().unwrap();
        let left = std::env::temp_dir().join(format!("{PREFIX}left{}.{ended}", std::process::id()));
        std::fs::create_dir(&left).unwrap();
        assert!(sweep(&own) >= 1);
        assert!(!left.exists() && running.folder.exists());
        let folder = running.folder.clone();
        drop(running);
        assert!(!folder.exists());
    }
}
