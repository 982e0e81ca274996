//! Files replaced whole or not at all: a new file beside the old one, with its mode and owner, renamed over it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    #[error("{path}: the file has changed since it was read; nothing was written to it, run this again")]
    Changed { path: String },
    #[error("{path}: the file is read-only; nothing was written to it, make it writable (chmod u+w) first")]
    ReadOnly { path: String },
    #[error("{path}: {error}")]
    Io { path: String, error: io::Error },
}

const BYTE_ORDER_MARK: &str = "\u{feff}";

/// Puts `after` in the place of a file that still holds `before`; `None` where there is to be no file yet. A byte
/// order mark, which texts leave out, is kept. A symbolic link stays, and what it names is replaced.
pub fn replace(path: &Path, before: Option<&str>, after: &str) -> Result<(), WriteError> {
    let failed = |error: io::Error| WriteError::Io { path: path.display().to_string(), error };
    let changed = || WriteError::Changed { path: path.display().to_string() };
    let real = match fs::canonicalize(path) {
        Ok(real) => real,
        Err(error) if error.kind() == io::ErrorKind::NotFound && before.is_none() => path.to_path_buf(),
        Err(error) => return Err(failed(error)),
    };
    let metadata = match fs::metadata(&real) {
        Ok(metadata) => Some(metadata),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    // Renaming another over it would get past that.
    if metadata.as_ref().is_some_and(|metadata| metadata.permissions().readonly()) {
        return Err(WriteError::ReadOnly { path: path.display().to_string() });
    }
    let mut mark = "";
    match (&metadata, before) {
        (None, None) => {}
        (Some(_), Some(before)) => {
            let now = fs::read(&real).map_err(failed)?;
            let text = match now.strip_prefix(BYTE_ORDER_MARK.as_bytes()) {
                Some(rest) => {
                    mark = BYTE_ORDER_MARK;
                    rest
                }
                None => &now,
            };
            if text != before.as_bytes() {
                return Err(changed());
            }
        }
        _ => return Err(changed()),
    }
    let (beside, mut file) = create_beside(&real).map_err(failed)?;
    let written = (|| {
        file.write_all(mark.as_bytes())?;
        file.write_all(after.as_bytes())?;
        if let Some(metadata) = &metadata {
            fchown(&file, Some(metadata.uid()), Some(metadata.gid())).or_else(|error| {
                // Whoever is not root keeps the group it may, and owns the file already.
                if error.kind() == io::ErrorKind::PermissionDenied { Ok(()) } else { Err(error) }
            })?;
            file.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
        }
        file.sync_all()?;
        fs::rename(&beside, &real)
    })();
    if let Err(error) = written {
        let _ = fs::remove_file(&beside);
        return Err(failed(error));
    }
    Ok(())
}

/// A file of its own in the same folder, so that renaming it is one step.
fn create_beside(path: &Path) -> io::Result<(PathBuf, File)> {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("file");
    let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
    for number in 0..100 {
        let beside = path.with_file_name(format!(".{name}.stockade-{}-{number}", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside) {
            Ok(file) => return Ok((beside, file)),
            Err(error) => last = error,
        }
        if last.kind() != io::ErrorKind::AlreadyExists {
            break;
        }
    }
    Err(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("stockade-write-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).unwrap();
        path
    }

    #[test]
    fn mode_and_byte_order_mark_stay_and_nothing_is_left_beside() {
        let folder = folder("mode");
        let path = folder.join("f");
        fs::write(&path, "\u{feff}old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, Some("old"), "new").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "\u{feff}new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_changed_meanwhile_is_left_as_it_is() {
        let folder = folder("changed");
        let path = folder.join("f");
        fs::write(&path, "somebody else's").unwrap();
        assert!(matches!(replace(&path, Some("old"), "new"), Err(WriteError::Changed { .. })));
        assert!(matches!(replace(&path, None, "new"), Err(WriteError::Changed { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "somebody else's");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_file_that_is_read_only_stays_as_it_is() {
        let folder = folder("read-only");
        let path = folder.join("f");
        fs::write(&path, "old").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        assert!(matches!(replace(&path, Some("old"), "new"), Err(WriteError::ReadOnly { .. })));
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_symbolic_link_stays_and_its_target_is_replaced() {
        let folder = folder("link");
        fs::write(folder.join("real"), "old").unwrap();
        std::os::unix::fs::symlink("real", folder.join("link")).unwrap();
        replace(&folder.join("link"), Some("old"), "new").unwrap();
        assert!(fs::symlink_metadata(folder.join("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(folder.join("real")).unwrap(), "new");
        fs::remove_dir_all(&folder).unwrap();
    }
}
