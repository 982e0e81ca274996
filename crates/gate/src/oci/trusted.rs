//! Files that nobody but root and this process's own user can change. The runtime reads a bundle a second time after it was
//! judged, so what is judged is what is run only where nobody else can write in between; the same goes for the rules.
//!
//! Every folder and link on the way is looked at, as whoever can change one of them chooses what is found at its end.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Component, Path, PathBuf};

use thiserror::Error;

/// Links on one way; the kernel follows as many (path_resolution(7)).
const MOST_LINKS: usize = 40;

const WRITABLE_BY_GROUP: u32 = 0o020;
const WRITABLE_BY_OTHERS: u32 = 0o002;
/// In such a folder only its owner and the owner of an entry may rename or remove that (inode(7)).
const STICKY: u32 = 0o1000;

#[derive(Debug, Error)]
pub enum TrustError {
    #[error("{}: {error}", path.display())]
    Unreadable { path: PathBuf, error: io::Error },
    #[error("{}: it belongs to user {owner}, who could change it after it was judged; only root may own it", path.display())]
    Owner { path: PathBuf, owner: u32 },
    #[error(
        "{}: its mode {:o} lets others write to it, who could change it after it was judged; take that right away (chmod go-w)",
        path.display(), mode & 0o7777
    )]
    Writable { path: PathBuf, mode: u32 },
    #[error("{}: it is not a regular file", path.display())]
    NotAFile { path: PathBuf },
    #[error("{}: it is larger than {limit} bytes", path.display())]
    TooLarge { path: PathBuf, limit: u64 },
    #[error("{}: more than {MOST_LINKS} links lead there", path.display())]
    Links { path: PathBuf },
}

/// Whose files are taken.
#[derive(Clone, Copy, Debug)]
pub struct Owners {
    user: u32,
    group: u32,
    /// What owners look like that have no id in this process's user namespace: inside one, root of the host is such.
    unmapped: Option<u32>,
}

impl Owners {
    /// Root, and the user that this process runs as.
    pub fn of_this_process() -> Owners {
        // The kernel makes these entries with the ids of the process (proc_pid(5)).
        let own = fs::metadata("/proc/self").ok();
        let in_initial = crate::oci::surroundings::in_initial_user_namespace();
        let unmapped = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
        Owners {
            user: own.as_ref().map_or(0, Metadata::uid),
            group: own.as_ref().map_or(0, Metadata::gid),
            unmapped: unmapped.and_then(|text| text.trim().parse().ok()).filter(|_| !in_initial),
        }
    }

    fn check(&self, path: &Path, metadata: &Metadata) -> Result<(), TrustError> {
        let (owner, mode) = (metadata.uid(), metadata.mode());
        if owner != 0 && owner != self.user && Some(owner) != self.unmapped {
            return Err(TrustError::Owner { path: path.into(), owner });
        }
        let own_group = metadata.gid() == 0 || metadata.gid() == self.group;
        let writable = mode & WRITABLE_BY_OTHERS != 0 || (mode & WRITABLE_BY_GROUP != 0 && !own_group);
        if writable && !(metadata.is_dir() && mode & STICKY != 0) && !metadata.is_symlink() {
            return Err(TrustError::Writable { path: path.into(), mode });
        }
        Ok(())
    }

    /// The file's bytes, where nobody else can change what is found under its name.
    pub fn read(&self, path: &Path, limit: u64) -> Result<Vec<u8>, TrustError> {
        let real = self.resolve(path)?;
        let unreadable = |error| TrustError::Unreadable { path: path.into(), error };
        let file = File::open(&real).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(TrustError::NotAFile { path: path.into() });
        }
        self.check(&real, &metadata)?;
        let mut bytes = Vec::with_capacity(usize::try_from(metadata.len().min(limit)).unwrap_or(0));
        file.take(limit + 1).read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > limit {
            return Err(TrustError::TooLarge { path: path.into(), limit });
        }
        Ok(bytes)
    }

    /// The path without links, where nobody else can lead it elsewhere. What is there is a regular file or a folder.
    pub fn resolve(&self, path: &Path) -> Result<PathBuf, TrustError> {
        let unreadable = |at: &Path, error| TrustError::Unreadable { path: at.into(), error };
        let mut rest: VecDeque<OsString> = VecDeque::new();
        let mut here = PathBuf::from("/");
        if path.is_relative() {
            let folder = std::env::current_dir().map_err(|error| unreadable(path, error))?;
            push_front(&mut rest, &folder);
        }
        push_back(&mut rest, path);
        let mut links = 0;
        let mut metadata = fs::symlink_metadata(&here).map_err(|error| unreadable(&here, error))?;
        self.check(&here, &metadata)?;
        while let Some(part) = rest.pop_front() {
            if part == ".." {
                here.pop();
                continue;
            }
            let next = here.join(&part);
            metadata = fs::symlink_metadata(&next).map_err(|error| unreadable(&next, error))?;
            self.check(&next, &metadata)?;
            if metadata.is_symlink() {
                links += 1;
                if links > MOST_LINKS {
                    return Err(TrustError::Links { path: path.into() });
                }
                let target = fs::read_link(&next).map_err(|error| unreadable(&next, error))?;
                if target.is_absolute() {
                    here = PathBuf::from("/");
                }
                push_front(&mut rest, &target);
                continue;
            }
            here = next;
        }
        let metadata = fs::symlink_metadata(&here).map_err(|error| unreadable(&here, error))?;
        // Opening something else may wait for ever.
        if !metadata.is_file() && !metadata.is_dir() {
            return Err(TrustError::NotAFile { path: path.into() });
        }
        Ok(here)
    }
}

fn parts(path: &Path) -> impl DoubleEndedIterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::CurDir | Component::RootDir | Component::Prefix(_) => None,
    })
}

fn push_front(rest: &mut VecDeque<OsString>, path: &Path) {
    parts(path).rev().for_each(|part| rest.push_front(part));
}

fn push_back(rest: &mut VecDeque<OsString>, path: &Path) {
    rest.extend(parts(path));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    /// A folder of this user's below the temporary one, which is sticky.
    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().unwrap()
    }
    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }
    fn owners() -> Owners {
        Owners::of_this_process()
    }

    #[test]
    fn a_file_that_only_its_owner_can_change_is_read() {
        let folder = folder();
        let path = folder.path().join("config.json");
        fs::write(&path, "{}").unwrap();
        assert_eq!(owners().read(&path, 100).unwrap(), b"{}");
        assert!(matches!(owners().read(&path, 1), Err(TrustError::TooLarge { .. })));
        assert!(matches!(owners().read(folder.path(), 1), Err(TrustError::NotAFile { .. })));
        assert!(owners().read(Path::new("/dev/null"), 1).is_err());
        let missing = owners().read(&folder.path().join("none"), 1).unwrap_err().to_string();
        assert!(missing.ends_with("No such file or directory (os error 2)"), "{missing}");
    }

    #[test]
    fn what_others_may_write_to_or_exchange_is_refused() {
        let folder = folder();
        let inner = folder.path().join("bundle");
        fs::create_dir(&inner).unwrap();
        let path = inner.join("config.json");
        fs::write(&path, "{}").unwrap();
        for (what, mode) in [(&path, 0o666), (&inner, 0o777), (&folder.path().to_path_buf(), 0o757)] {
            let before = fs::metadata(what).unwrap().mode();
            set_mode(what, mode);
            assert!(matches!(owners().read(&path, 100), Err(TrustError::Writable { .. })), "{what:?}");
            // In a sticky folder nobody else can exchange it.
            if what.is_dir() {
                set_mode(what, mode | STICKY);
                assert!(owners().read(&path, 100).is_ok(), "{what:?}");
            }
            set_mode(what, before);
        }
        assert!(owners().read(&path, 100).is_ok());
    }

    #[test]
    fn links_are_followed_and_what_they_pass_is_looked_at() {
        let folder = folder();
        let (open, closed) = (folder.path().join("open"), folder.path().join("closed"));
        fs::create_dir(&open).unwrap();
        fs::create_dir(&closed).unwrap();
        fs::write(closed.join("config.json"), "{}").unwrap();
        let link = folder.path().join("link");
        symlink("closed", &link).unwrap();
        assert_eq!(owners().read(&link.join("config.json"), 100).unwrap(), b"{}");
        let through = folder.path().join("through");
        symlink("open/../closed", &through).unwrap();
        set_mode(&open, 0o777);
        assert!(matches!(owners().read(&through.join("config.json"), 9), Err(TrustError::Writable { .. })));
        let round = folder.path().join("round");
        symlink("round", &round).unwrap();
        assert!(matches!(owners().read(&round, 9), Err(TrustError::Links { .. })));
    }

    #[test]
    fn what_belongs_to_somebody_else_is_refused() {
        let owners = Owners { user: 12345, group: 12345, unmapped: None };
        let folder = folder();
        let path = folder.path().join("config.json");
        fs::write(&path, "{}").unwrap();
        if fs::metadata(&path).unwrap().uid() != 0 {
            assert!(matches!(owners.read(&path, 9), Err(TrustError::Owner { .. })));
        } else {
            std::os::unix::fs::chown(&path, Some(12346), None).unwrap();
            assert!(matches!(owners.read(&path, 9), Err(TrustError::Owner { owner: 12346, .. })));
            std::os::unix::fs::chown(&path, Some(12345), None).unwrap();
            assert!(owners.read(&path, 9).is_ok());
        }
    }
}
