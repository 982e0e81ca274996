//! Bounded reads of files, and looks at paths, that have no effect.
//!
//! Two things a plain look at a path can do are avoided here: opening something that is not a regular file
//! (a device whose open has a meaning, a FIFO that waits), and walking into an autofs mount point, which asks
//! a daemon of the host to mount something there (`/proc/sys/fs/binfmt_misc` under systemd).

use std::fs::{self, Metadata, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::errno;
use crate::measurement::{Mount, Value};

/// Reads at most this much of a file whose length the measured side decides.
pub(crate) const READ_LIMIT: u64 = 1 << 20;

/// The text of a regular file, and whether it was cut at `limit`. The error is its name.
pub(crate) fn read(path: &str, limit: u64) -> Result<(String, bool), String> {
    let kind = fs::metadata(path).map_err(|e| error_name(&e))?;
    if !kind.is_file() {
        return Err("not a regular file".to_owned());
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(|e| error_name(&e))?;
    let mut bytes = Vec::new();
    file.take(limit + 1).read_to_end(&mut bytes).map_err(|e| error_name(&e))?;
    let cut = bytes.len() as u64 > limit;
    bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    Ok((String::from_utf8_lossy(&bytes).into_owned(), cut))
}

/// A file of one value, such as a sysctl, without the line's end.
pub(crate) fn value(path: &str) -> Value {
    match read(path, 4096) {
        Ok((text, _)) => Value { value: Some(text.trim_end_matches(['\n', '\0']).to_owned()), error: None },
        Err(error) => Value { value: None, error: Some(error) },
    }
}

pub(crate) fn error_name(error: &std::io::Error) -> String {
    error.raw_os_error().map_or_else(|| error.to_string(), errno::name)
}

/// Whether looking at `path` would walk onto an autofs mount that nothing covers yet.
pub(crate) fn would_automount(path: &str, mounts: &[Mount]) -> bool {
    mounts.iter().filter(|m| m.file_system == "autofs" && is_within(path, &m.mount_point)).any(|autofs| {
        !mounts.iter().any(|over| over.parent == autofs.id && over.mount_point == autofs.mount_point)
    })
}

/// Whether `path` is `directory` or lies below it; both absolute and plain.
pub(crate) fn is_within(path: &str, directory: &str) -> bool {
    let directory = directory.trim_end_matches('/');
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// lstat(2), or why not.
pub(crate) fn look(path: &str, mounts: &[Mount]) -> Result<Metadata, String> {
    if would_automount(path, mounts) {
        return Err("not looked at: it would trigger an automount".to_owned());
    }
    fs::symlink_metadata(path).map_err(|e| error_name(&e))
}

/// The names in a directory, sorted, at most `limit`, and whether there were more.
pub(crate) fn names(directory: &str, limit: usize) -> (Vec<String>, bool) {
    let Ok(entries) = fs::read_dir(Path::new(directory)) else { return (Vec::new(), false) };
    let mut names: Vec<String> =
        entries.take(limit + 1).flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
    let more = names.len() > limit;
    names.truncate(limit);
    names.sort_unstable();
    (names, more)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mount(id: u64, parent: u64, file_system: &str, mount_point: &str) -> Mount {
        Mount {
            id,
            parent,
            file_system: file_system.into(),
            mount_point: mount_point.into(),
            ..Mount::default()
        }
    }

    #[test]
    fn a_path_behind_an_uncovered_autofs_is_not_walked() {
        let autofs = mount(40, 22, "autofs", "/proc/sys/fs/binfmt_misc");
        let over = mount(90, 40, "binfmt_misc", "/proc/sys/fs/binfmt_misc");
        let register = "/proc/sys/fs/binfmt_misc/register";
        assert!(would_automount(register, std::slice::from_ref(&autofs)));
        assert!(!would_automount(register, &[autofs.clone(), over]));
        assert!(!would_automount("/proc/sys/fs/binfmt_misc2", &[autofs]));
    }

    #[test]
    fn what_is_not_a_regular_file_is_never_opened() {
        assert_eq!(read("/dev/null", 10), Err("not a regular file".to_owned()));
        assert_eq!(read("/proc", 10), Err("not a regular file".to_owned()));
    }

    #[test]
    fn a_long_file_is_cut_and_says_so() {
        let (text, cut) = read("/proc/self/status", 5).unwrap();
        assert_eq!((text.as_str(), cut), ("Name:", true));
    }
}
