//! A folder of this process's own, removed at its end.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// Below `TMPDIR` or `/tmp`.
    pub(crate) fn new() -> io::Result<Folder> {
        let path = std::env::temp_dir().join(format!("provoke-{}", std::process::id()));
        fs::create_dir_all(&path)?;
        Ok(Folder { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn name(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// An empty file.
    pub(crate) fn file(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.name(name);
        fs::write(&path, b"")?;
        Ok(path)
    }

    /// A copy of this program, executable, with this mode.
    pub(crate) fn copy_of_this_program(&self, name: &str, mode: u32) -> io::Result<PathBuf> {
        let path = self.name(name);
        fs::copy("/proc/self/exe", &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
