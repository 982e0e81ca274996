//! A Unix socket to listen at. It appears under its name with its mode and group already set, so that nobody connects
//! before; a socket that a dead run left is replaced, one that somebody listens at is not.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Where to listen, and who may connect.
#[derive(Clone, Debug)]
pub struct Place {
    pub path: PathBuf,
    /// Permissions of the socket: whoever may write to it may connect (unix(7)).
    pub mode: u32,
    /// Number of the group that owns it; without one, the group of the process.
    pub group: Option<u32>,
}

#[derive(Debug, Error)]
pub enum ListenError {
    #[error("{}: another process listens there already", .0.display())]
    Live(PathBuf),
    #[error("{}: there is something else than a socket; name another path", .0.display())]
    NotASocket(PathBuf),
    #[error("{}: cannot listen: {error}", path.display())]
    Io { path: PathBuf, error: io::Error },
}

/// A socket that is listened at. Its file goes with it.
#[derive(Debug)]
pub struct Listening {
    pub listener: UnixListener,
    path: PathBuf,
    inode: u64,
}

pub fn listen(place: &Place) -> Result<Listening, ListenError> {
    let failed = |error| ListenError::Io { path: place.path.clone(), error };
    clear(&place.path)?;
    let folder = Scratch::beside(&place.path).map_err(failed)?;
    let made = folder.0.join("socket");
    let listener = UnixListener::bind(&made).map_err(failed)?;
    if place.group.is_some() {
        std::os::unix::fs::chown(&made, None, place.group).map_err(failed)?;
    }
    fs::set_permissions(&made, Permissions::from_mode(place.mode)).map_err(failed)?;
    let inode = fs::symlink_metadata(&made).map_err(failed)?.ino();
    // Not over what appeared there meanwhile.
    let at = rustix::fs::CWD;
    rustix::fs::renameat_with(at, &made, at, &place.path, rustix::fs::RenameFlags::NOREPLACE)
        .map_err(|error| failed(error.into()))?;
    Ok(Listening { listener, path: place.path.clone(), inode })
}

impl Drop for Listening {
    fn drop(&mut self) {
        // Another run may have put its own socket there.
        if fs::symlink_metadata(&self.path).is_ok_and(|there| there.ino() == self.inode) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Takes away a socket that nobody listens at.
fn clear(path: &Path) -> Result<(), ListenError> {
    let failed = |error| ListenError::Io { path: path.to_owned(), error };
    let there = match fs::symlink_metadata(path) {
        Ok(there) => there,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    if !there.file_type().is_socket() {
        return Err(ListenError::NotASocket(path.to_owned()));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed)
        }
        Ok(_) => Err(ListenError::Live(path.to_owned())),
        Err(error) => Err(failed(error)),
    }
}

/// A folder that only this user can enter, beside where the socket will be; it goes away again.
struct Scratch(PathBuf);

impl Scratch {
    fn beside(path: &Path) -> io::Result<Scratch> {
        let parent = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // Short: the path of a socket has at most 107 bytes.
        let folder = parent.join(format!(".s{}", std::process::id()));
        let _ = fs::remove_file(folder.join("socket"));
        let _ = fs::remove_dir(&folder);
        DirBuilder::new().mode(0o700).create(&folder)?;
        Ok(Scratch(folder))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0.join("socket"));
        let _ = fs::remove_dir(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(folder: &Path) -> Place {
        Place { path: folder.join("docker.sock"), mode: 0o620, group: None }
    }

    #[test]
    fn the_socket_has_its_mode_and_is_gone_with_its_listener() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let listening = listen(&place).unwrap();
        assert_eq!(fs::metadata(&place.path).unwrap().mode() & 0o7777, 0o620);
        assert!(UnixStream::connect(&place.path).is_ok());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left there");
        drop(listening);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_dead_socket_is_replaced_and_a_live_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        drop(UnixListener::bind(&place.path).unwrap());
        let first = listen(&place).unwrap();
        assert!(matches!(listen(&place), Err(ListenError::Live(_))));
        assert!(UnixStream::connect(&place.path).is_ok(), "the first is still there");
        drop(first);
    }

    #[test]
    fn a_file_is_not_taken_away() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        fs::write(&place.path, "mine").unwrap();
        assert!(matches!(listen(&place), Err(ListenError::NotASocket(_))));
        assert_eq!(fs::read_to_string(&place.path).unwrap(), "mine");
    }

    #[test]
    fn a_socket_that_another_run_put_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let place = place(folder.path());
        let first = listen(&place).unwrap();
        fs::remove_file(&place.path).unwrap();
        let second = listen(&place).unwrap();
        drop(first);
        assert!(UnixStream::connect(&place.path).is_ok());
        drop(second);
    }
}
