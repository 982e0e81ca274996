//! The namespaces of the process, whether each is the machine's first, and who owns it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

use crate::files;
use crate::measurement::{IdMapping, IdMaps, Namespace};
use crate::sys::{Answers, Batch, CallId};

/// The fixed inode numbers of the first namespaces: `enum proc_ns_ino` in include/linux/proc_ns.h, since 3.8;
/// `time` since 5.6. Those of `mnt` and `net` are fixed since 6.18 (`enum init_ns_ino` in
/// include/uapi/linux/nsfs.h); measured there: 0xeffffff8 and 0xeffffff9. Numbers given at run time start at
/// 0xf0000000 (`PROC_DYNAMIC_FIRST`), so a fixed number is never another namespace's.
const KINDS: &[(&str, u64, (u32, u32))] = &[
    ("cgroup", 0xefff_fffb, (4, 6)),
    ("ipc", 0xefff_ffff, (3, 8)),
    ("mnt", 0xefff_fff8, (6, 18)),
    ("net", 0xefff_fff9, (6, 18)),
    ("pid", 0xefff_fffc, (3, 8)),
    ("time", 0xefff_fffa, (5, 6)),
    ("user", 0xefff_fffd, (3, 8)),
    ("uts", 0xefff_fffe, (3, 8)),
];

pub(crate) struct Plan {
    found: Vec<Found>,
}

struct Found {
    kind: &'static str,
    namespace: Namespace,
    owner: Option<CallId>,
    /// Held open until the batch has run.
    _file: Option<File>,
}

impl Plan {
    pub(crate) fn new(batch: &mut Batch, release: Option<(u32, u32)>) -> Plan {
        let found = KINDS
            .iter()
            .map(|&(kind, first_inode, fixed_since)| {
                let path = format!("/proc/self/ns/{kind}");
                let mut namespace = Namespace::default();
                match fs::metadata(&path) {
                    Ok(metadata) => {
                        let inode = metadata.ino();
                        namespace.inode = Some(inode);
                        namespace.initial = is_initial(inode, first_inode, fixed_since, release);
                    }
                    Err(error) => namespace.error = Some(files::error_name(&error)),
                }
                let file = File::open(&path).ok();
                let owner = file.as_ref().map(|f| batch.namespace_owner(f.as_raw_fd()));
                Found { kind, namespace, owner, _file: file }
            })
            .collect();
        Plan { found }
    }

    pub(crate) fn read(self, answers: &Answers) -> BTreeMap<String, Namespace> {
        let own_user =
            self.found.iter().find(|f| f.kind == "user").and_then(|f| f.namespace.inode).unwrap_or_default();
        let answered =
            self.found.iter().any(|f| f.owner.is_some_and(|call| answers.of(call).value.is_some()));
        self.found
            .into_iter()
            .map(|found| {
                let mut namespace = found.namespace;
                let answer = found.owner.map(|call| answers.of(call)).unwrap_or_default();
                if let Some(inode) = answer.value {
                    namespace.owner_inode = Some(inode as u64);
                    namespace.owned_by_own_user_namespace =
                        (found.kind != "user").then_some(inode as u64 == own_user);
                } else if answer.is_error("EPERM") && found.kind != "user" && answered {
                    // ns_get_owner() in kernel/user_namespace.c: EPERM where the owner lies outside the
                    // caller's user namespace. A filter that denies ioctl(2) says so of every namespace.
                    namespace.owned_by_own_user_namespace = Some(false);
                }
                (found.kind.to_owned(), namespace)
            })
            .collect()
    }
}

fn is_initial(inode: u64, first: u64, since: (u32, u32), release: Option<(u32, u32)>) -> Option<bool> {
    if inode == first {
        return Some(true);
    }
    release.filter(|r| *r >= since).map(|_| false)
}

/// Major and minor number of a kernel release.
pub(crate) fn release_numbers(release: &str) -> Option<(u32, u32)> {
    let mut parts = release.split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

pub(crate) fn id_maps() -> IdMaps {
    let map =
        |path| files::read(path, files::READ_LIMIT).map(|(text, _)| parse_map(&text)).unwrap_or_default();
    IdMaps {
        uid: map("/proc/self/uid_map"),
        gid: map("/proc/self/gid_map"),
        setgroups: files::value("/proc/self/setgroups").value,
    }
}

fn parse_map(text: &str) -> Vec<IdMapping> {
    text.lines()
        .filter_map(|line| {
            let mut numbers = line.split_whitespace().map(|n| n.parse().ok());
            Some(IdMapping { inside: numbers.next()??, outside: numbers.next()??, length: numbers.next()?? })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inode_without_a_fixed_number_on_that_kernel_decides_nothing() {
        assert_eq!(is_initial(0xf000_0000, 0xefff_fff8, (6, 18), Some((6, 12))), None);
        assert_eq!(is_initial(0xf000_0000, 0xefff_fff8, (6, 18), Some((6, 18))), Some(false));
        assert_eq!(is_initial(0xefff_fff8, 0xefff_fff8, (6, 18), None), Some(true));
        assert_eq!(is_initial(0xf000_0000, 0xefff_fffc, (3, 8), Some((4, 19))), Some(false));
    }

    #[test]
    fn a_release_is_read_from_any_distributions_spelling() {
        assert_eq!(release_numbers("6.18.44-fc-v657"), Some((6, 18)));
        assert_eq!(release_numbers("4.18.0-553.el8_10.x86_64"), Some((4, 18)));
        assert_eq!(release_numbers("6.12+bpo"), Some((6, 12)));
        assert_eq!(release_numbers("unknown"), None);
    }

    #[test]
    fn an_id_map_is_read_line_by_line() {
        assert_eq!(
            parse_map("         0     100000      65536\nbroken\n 65536 1 1\n"),
            [
                IdMapping { inside: 0, outside: 100_000, length: 65536 },
                IdMapping { inside: 65536, outside: 1, length: 1 }
            ]
        );
    }
}
