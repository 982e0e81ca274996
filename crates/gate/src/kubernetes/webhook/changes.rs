//! Whether files have changed: by what the file system says of them. A Secret or ConfigMap in a pod is changed by another
//! link (kubernetes.io, concepts/configuration/configmap: mounted ConfigMaps are updated automatically), so links are
//! followed.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Policies are small; a folder that is not is not looked through.
const MOST_FILES: usize = 1000;
const DEEPEST: usize = 8;

#[derive(Debug)]
pub(super) struct Changes {
    paths: Vec<PathBuf>,
    seen: u64,
}

impl Changes {
    /// Files, and folders with all that is in them.
    pub(super) fn of(paths: Vec<PathBuf>) -> Changes {
        let seen = look(&paths);
        Changes { paths, seen }
    }

    /// Whether anything is not as it was when this was asked last.
    pub(super) fn have_come(&mut self) -> bool {
        let now = look(&self.paths);
        std::mem::replace(&mut self.seen, now) != now
    }
}

fn look(paths: &[PathBuf]) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut left = MOST_FILES;
    for path in paths {
        look_at(path, DEEPEST, &mut left, &mut hasher);
    }
    hasher.finish()
}

fn look_at(path: &Path, levels: usize, left: &mut usize, hasher: &mut DefaultHasher) {
    let Some(rest) = left.checked_sub(1) else { return };
    *left = rest;
    path.hash(hasher);
    let Ok(metadata) = fs::metadata(path) else { return };
    (metadata.dev(), metadata.ino(), metadata.len()).hash(hasher);
    (metadata.mtime(), metadata.mtime_nsec(), metadata.ctime(), metadata.ctime_nsec()).hash(hasher);
    if metadata.is_dir() && levels > 0 {
        let mut entries: Vec<PathBuf> =
            fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
        entries.sort();
        for entry in entries {
            look_at(&entry, levels - 1, left, hasher);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_changed_file_another_link_and_a_new_file_in_a_folder_are_changes() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two, link) =
            (folder.path().join("one"), folder.path().join("two"), folder.path().join("link"));
        fs::write(&one, "1").unwrap();
        fs::write(&two, "2").unwrap();
        symlink(&one, &link).unwrap();
        let mut file = Changes::of(vec![link.clone()]);
        assert!(!file.have_come());
        fs::write(&one, "11").unwrap();
        assert!(file.have_come());
        assert!(!file.have_come());
        fs::remove_file(&link).unwrap();
        assert!(file.have_come());
        symlink(&two, &link).unwrap();
        assert!(file.have_come());

        let mut all = Changes::of(vec![folder.path().to_owned()]);
        assert!(!all.have_come());
        fs::create_dir(folder.path().join("below")).unwrap();
        assert!(all.have_come());
        fs::write(folder.path().join("below/three"), "3").unwrap();
        assert!(all.have_come());
    }
}
