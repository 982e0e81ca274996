//! Opening the files of the log so that nobody else decides what is written to.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use super::LogError;

/// Opens the file for appending and reading, or makes it, for its owner alone.
pub(super) fn open(path: &Path) -> Result<File, LogError> {
    let file = with_flags(path, OpenOptions::new().read(true).append(true).create(true))?;
    check(path, &file.metadata().map_err(LogError::io(path, "look at it"))?)?;
    Ok(file)
}

/// Opens the file for reading, where there is one.
pub(super) fn open_to_read(path: &Path) -> Result<Option<File>, LogError> {
    match with_flags(path, OpenOptions::new().read(true)) {
        Ok(file) if file.metadata().map_err(LogError::io(path, "look at it"))?.is_file() => Ok(Some(file)),
        Ok(_) => Err(LogError::NotAFile { path: path.to_owned(), what: "a pipe or a device" }),
        Err(LogError::Io { error, .. }) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Opens the file for reading and writing in place, or makes it.
pub(super) fn open_in_place(path: &Path) -> Result<File, LogError> {
    let file = with_flags(path, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
    check(path, &file.metadata().map_err(LogError::io(path, "look at it"))?)?;
    Ok(file)
}

fn with_flags(path: &Path, options: &mut OpenOptions) -> Result<File, LogError> {
    // A pipe or a device must not stop the door before it is refused.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = options.mode(0o600).custom_flags(flags.bits().cast_signed()).open(path);
    opened.map_err(|error| match error.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::LOOP) => {
            LogError::NotAFile { path: path.to_owned(), what: "a symbolic link" }
        }
        Some(rustix::io::Errno::ISDIR) => LogError::NotAFile { path: path.to_owned(), what: "a folder" },
        Some(rustix::io::Errno::NXIO) => {
            LogError::NotAFile { path: path.to_owned(), what: "a pipe or a socket" }
        }
        _ => LogError::io(path, "open it")(error),
    })
}

fn check(path: &Path, file: &Metadata) -> Result<(), LogError> {
    let path = || path.to_owned();
    if !file.is_file() {
        return Err(LogError::NotAFile { path: path(), what: "a pipe or a device" });
    }
    let owner = file.uid();
    if owner != 0 && owner != rustix::process::geteuid().as_raw() {
        return Err(LogError::Owner { path: path(), owner });
    }
    if file.mode() & 0o022 != 0 {
        return Err(LogError::Writable { path: path(), mode: file.mode() & 0o7777 });
    }
    if file.nlink() > 1 {
        return Err(LogError::Linked { path: path(), links: file.nlink() });
    }
    Ok(())
}

/// Whoever may replace files in a folder decides what the log is.
pub(super) fn check_folder(path: &Path) -> Result<(), LogError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mode = fs::metadata(folder).map_err(LogError::io(folder, "look at the folder"))?.mode() & 0o7777;
    if mode & 0o1002 == 0o0002 {
        return Err(LogError::Folder { path: folder.to_owned(), mode });
    }
    Ok(())
}

/// The path still names this file.
pub(super) fn is_at(path: &Path, file: &File) -> io::Result<bool> {
    let open = file.metadata()?;
    match fs::symlink_metadata(path) {
        Ok(there) => Ok((there.dev(), there.ino()) == (open.dev(), open.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}
