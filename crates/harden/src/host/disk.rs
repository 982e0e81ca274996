//! Files of the host, under the root folder that is given. Reads are bounded; what cannot be read is absent.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The largest file that is read.
const LARGEST: u64 = 4 << 20;
/// A volume is counted up to here.
const MOST_FILES: usize = 50_000;
const DEEPEST: usize = 64;

pub(super) struct Disk<'a> {
    root: &'a Path,
}

/// A running program.
pub(super) struct Process {
    pub(super) words: Vec<String>,
}

/// Who owns a file and what others may do with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) is_socket: bool,
}

/// How many files each user and group owns below a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Owned {
    pub(super) by: BTreeMap<(u32, u32), usize>,
    /// There are more than were counted.
    pub(super) cut_off: bool,
}

impl<'a> Disk<'a> {
    pub(super) fn new(root: &'a Path) -> Disk<'a> {
        Disk { root }
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    pub(super) fn exists(&self, path: &str) -> bool {
        self.path(path).exists()
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        let file = fs::File::open(self.path(path)).ok()?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > LARGEST {
            return None;
        }
        String::from_utf8(bytes).ok()
    }

    pub(super) fn names(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path(folder)) else { return Vec::new() };
        let mut names: Vec<String> =
            entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
        names.sort();
        names
    }

    pub(super) fn owner(&self, path: &str) -> Option<Owner> {
        let metadata = fs::metadata(self.path(path)).ok()?;
        Some(Owner {
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: metadata.mode(),
            is_socket: metadata.file_type().is_socket(),
        })
    }

    /// Counts what is below a folder, itself included, without following links.
    pub(super) fn owned(&self, folder: &str) -> Option<Owned> {
        let path = self.path(folder);
        fs::symlink_metadata(&path).ok()?;
        let mut owned = Owned::default();
        let mut counted = 0;
        count(&path, 0, &mut counted, &mut owned);
        Some(owned)
    }

    /// Running programs of one name, by process id.
    pub(super) fn processes(&self, name: &str) -> Vec<Process> {
        let mut numbers: Vec<u32> = self.names("/proc").iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        let found = numbers.into_iter().filter_map(|pid| {
            if self.read(&format!("/proc/{pid}/comm"))?.trim_end() != name {
                return None;
            }
            let line = self.read(&format!("/proc/{pid}/cmdline"))?;
            let words = line.split('\0').filter(|word| !word.is_empty()).map(str::to_owned).collect();
            Some(Process { words })
        });
        found.collect()
    }

    /// Names of the processes that have a file of the kernel's open: `anon_inode:[io_uring]`.
    pub(super) fn users_of(&self, target: &str) -> Vec<String> {
        let mut found = Vec::new();
        for pid in self.names("/proc").into_iter().filter(|name| name.parse::<u32>().is_ok()) {
            let folder = format!("/proc/{pid}/fd");
            let has = self.names(&folder).iter().any(|number| {
                let link = fs::read_link(self.path(&format!("{folder}/{number}")));
                link.is_ok_and(|link| link.to_string_lossy() == target)
            });
            if has && let Some(name) = self.read(&format!("/proc/{pid}/comm")) {
                found.push(name.trim_end().to_owned());
            }
        }
        found.sort();
        found.dedup();
        found
    }

    /// A sysctl's present value; `None` where the kernel has no such setting.
    pub(super) fn sysctl(&self, key: &str) -> Option<String> {
        Some(self.read(&format!("/proc/sys/{}", key.replace('.', "/")))?.trim().to_owned())
    }
}

fn count(path: &Path, depth: usize, counted: &mut usize, owned: &mut Owned) {
    if *counted >= MOST_FILES || depth > DEEPEST {
        owned.cut_off = true;
        return;
    }
    let Ok(metadata) = fs::symlink_metadata(path) else { return };
    *counted += 1;
    *owned.by.entry((metadata.uid(), metadata.gid())).or_default() += 1;
    if metadata.is_dir()
        && let Ok(entries) = fs::read_dir(path)
    {
        for entry in entries.flatten() {
            count(&entry.path(), depth + 1, counted, owned);
        }
    }
}
