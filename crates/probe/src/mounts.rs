//! `/proc/self/mountinfo` (proc_pid_mountinfo(5)), and statfs(2) of the places whose file system matters.

use crate::files;
use crate::measurement::{FileSystem, Mount};
use crate::sys::{Answers, Arg, Batch, CallId, OutputId};

/// A process may see this many mounts (`fs.mount-max` is 100,000); more are left out with a note.
const MOST_MOUNTS: usize = 8192;
/// A mount's line is a few hundred bytes; overlay with many layers, a few thousand.
const MOUNTINFO_LIMIT: u64 = 8 << 20;

pub(crate) fn measure(notes: &mut Vec<String>) -> Vec<Mount> {
    match files::read("/proc/self/mountinfo", MOUNTINFO_LIMIT) {
        Ok((text, cut)) => {
            let mut mounts: Vec<Mount> = text.lines().take(MOST_MOUNTS + 1).filter_map(parse_line).collect();
            if cut || mounts.len() > MOST_MOUNTS {
                mounts.truncate(MOST_MOUNTS);
                notes.push(format!(
                    "/proc/self/mountinfo is long; the first {} mounts are here",
                    mounts.len()
                ));
            }
            mounts
        }
        Err(error) => {
            notes.push(format!("/proc/self/mountinfo: {error}; mounts are not known"));
            Vec::new()
        }
    }
}

/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`
fn parse_line(line: &str) -> Option<Mount> {
    let mut fields = line.split(' ');
    let mut mount = Mount {
        id: fields.next()?.parse().ok()?,
        parent: fields.next()?.parse().ok()?,
        device: fields.next()?.to_owned(),
        root: unescape(fields.next()?),
        mount_point: unescape(fields.next()?),
        options: options(fields.next()?),
        ..Mount::default()
    };
    for tag in fields.by_ref() {
        match tag.split_once(':') {
            Some(("shared", group)) => mount.shared = group.parse().ok(),
            Some(("master", group)) => mount.master = group.parse().ok(),
            Some(("propagate_from", group)) => mount.propagate_from = group.parse().ok(),
            None if tag == "unbindable" => mount.unbindable = true,
            None if tag == "-" => break,
            _ => {}
        }
    }
    mount.file_system = unescape(fields.next()?);
    mount.source = unescape(fields.next()?);
    mount.super_options = options(fields.next().unwrap_or_default());
    Some(mount)
}

fn options(text: &str) -> Vec<String> {
    text.split(',').filter(|o| !o.is_empty()).map(unescape).collect()
}

/// Resolves `\040` and the like: the kernel escapes space, tab, newline, backslash and `#` (mangle()).
fn unescape(text: &str) -> String {
    if !text.contains('\\') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let digits = tail.get(..3).filter(|d| *first == b'\\' && d.iter().all(|b| (b'0'..=b'7').contains(b)));
        match digits {
            Some([a, b, c]) => {
                bytes.push((a - b'0').wrapping_mul(64).wrapping_add((b - b'0') * 8 + (c - b'0')));
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Places whose file system decides what a path there is.
const PLACES: &[&str] =
    &["/", "/proc", "/proc/sys", "/sys", "/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/dev", "/dev/shm"];

/// `f_type` values of statfs(2).
const MAGICS: &[(u64, &str)] = &[
    (0x9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6367_7270, "cgroup2"),
    (0x27_e0eb, "cgroup"),
    (0x0102_1994, "tmpfs"),
    (0x1373, "devfs"),
    (0x1cd1, "devpts"),
    (0x794c_7630, "overlay"),
    (0xef53, "ext"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x6573_5546, "fuse"),
    (0x6969, "nfs"),
    (0x0102_1997, "9p"),
    (0x187, "autofs"),
    (0x6462_6720, "debugfs"),
    (0x7472_6163, "tracefs"),
    (0x7363_6673, "securityfs"),
    (0xcafe_4a11, "bpf"),
    (0xf97c_ff8c, "selinux"),
    (0x858458f6, "ramfs"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0x2fc1_2fc1, "zfs"),
];

/// `struct statfs` of the 64-bit architectures (asm-generic/statfs.h): fifteen words, `f_type` first.
const STATFS_WORDS: usize = 15;
const STATFS_FLAGS: usize = 10;
/// `ST_RDONLY` in `f_flags`: read-only by the mount or by the file system (statfs(2)).
const READ_ONLY: u64 = 1;

/// statfs(2) of one path, to be asked in a batch: it may wait for a file server.
pub(crate) struct Asked {
    path: String,
    call: Option<CallId>,
    output: Option<OutputId>,
}

impl Asked {
    pub(crate) fn new(batch: &mut Batch, path: &str, mounts: &[Mount]) -> Asked {
        if files::would_automount(path, mounts) {
            // statfs(2) looks paths up with LOOKUP_AUTOMOUNT.
            return Asked { path: path.to_owned(), call: None, output: None };
        }
        let text = batch.text(path);
        let output = batch.output(STATFS_WORDS * 8);
        let call = batch.call(libc::SYS_statfs, &[Arg::Text(text), Arg::Output(output)]);
        Asked { path: path.to_owned(), call: Some(call), output: Some(output) }
    }

    pub(crate) fn read(&self, answers: &Answers) -> FileSystem {
        let path = self.path.clone();
        let (Some(call), Some(output)) = (self.call, self.output) else {
            let error = Some("not looked at: it would trigger an automount".to_owned());
            return FileSystem { path, error, ..FileSystem::default() };
        };
        let answer = answers.of(call);
        if answer.value != Some(0) {
            let error = answer.error.or(answer.killed).or(answer.skipped);
            return FileSystem { path, error, ..FileSystem::default() };
        }
        let words = answers.words(output);
        let magic = words.first().copied();
        let flags = words.get(STATFS_FLAGS).copied();
        FileSystem {
            path,
            magic,
            name: magic
                .and_then(|m| MAGICS.iter().find(|(number, _)| *number == m))
                .map(|(_, name)| (*name).to_owned()),
            read_only: flags.map(|f| f & READ_ONLY != 0),
            error: None,
        }
    }
}

pub(crate) fn ask_places(batch: &mut Batch, mounts: &[Mount]) -> Vec<Asked> {
    PLACES.iter().map(|path| Asked::new(batch, path, mounts)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mountinfo_line_gives_propagation_and_unescaped_paths() {
        let line = concat!(
            r"36 35 98:0 /a\040b /mnt\134c rw,noatime ",
            "shared:7 master:1 propagate_from:2 unbindable - ext4 /dev/x rw,x=1"
        );
        let mount = parse_line(line).unwrap();
        assert_eq!(mount.root, "/a b");
        assert_eq!(mount.mount_point, r"/mnt\c");
        assert_eq!((mount.shared, mount.master, mount.propagate_from), (Some(7), Some(1), Some(2)));
        assert!(mount.unbindable);
        assert_eq!(mount.super_options, ["rw", "x=1"]);
    }

    #[test]
    fn a_line_that_is_not_mountinfo_is_left_out() {
        for line in ["", "1 2", "a b c d e f - g h i", "1 2 3:4 / /x rw shared:1"] {
            assert_eq!(parse_line(line), None, "{line}");
        }
        assert_eq!(unescape(r"\9 \04"), r"\9 \04");
    }
}
