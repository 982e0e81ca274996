//! Device nodes in a container's `/dev`, looked at but never opened: opening a tape rewinds it, opening a watchdog
//! arms it.
//!
//! The container owns that directory. The walk resolves every path inside the container's root (openat2(2)), follows
//! no links, crosses no mount but `/dev` itself, stays out of FUSE, whose answers the container could delay, and
//! stops at a count.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use confinement::{DeviceKind, DeviceNode, HostPath};
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, RawDir, ResolveFlags, Statx, StatxFlags};

use super::files::read_text;
use super::mountinfo::MountTable;

/// A host with every driver loaded has some 1,000 nodes.
const NODE_LIMIT: usize = 8192;
const DEPTH_LIMIT: usize = 4;

/// Block or character, major, minor.
pub(super) type Number = (bool, u32, u32);

/// Nodes that every engine makes: runtime-spec config-linux.md, "Default Devices".
const USUAL: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "console", "ptmx"];
/// Not part of what a privileged container is given (moby pkg devices, `HostDevices`).
const LEFT_OUT: &[&str] = &["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev", "hugepages"];

/// A node as it stands in a `/dev`, ids as the reader has them.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Below `/dev`.
    pub name: String,
    pub number: Number,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
}

/// The nodes of the `/dev` under `root` (`/`, `/proc/PID/root`), without those every container has.
pub(super) fn nodes(root: &Path, mounts: &MountTable) -> io::Result<Vec<Seen>> {
    let on_fuse = |place: &str| {
        let holds =
            |target: &str| place == target || place.strip_prefix(target).is_some_and(|r| r.starts_with('/'));
        let visible = mounts.visible();
        let under =
            visible.iter().filter(|m| m.target == "/" || holds(&m.target)).max_by_key(|m| m.target.len());
        under.is_none_or(|m| m.kind.starts_with("fuse"))
    };
    if on_fuse("/dev") {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "/dev is on a FUSE file system, which is not asked",
        ));
    }
    // The link itself is the kernel's; what lies behind it is the container's.
    let root = rustix::fs::open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let inside = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let dev = rustix::fs::openat2(&root, "dev", flags, Mode::empty(), inside)?;
    let fuse_nodes: Vec<&str> = mounts
        .entries
        .iter()
        .filter(|m| m.kind.starts_with("fuse"))
        .filter_map(|m| m.target.strip_prefix("/dev/"))
        .collect();
    let mut found = Vec::new();
    walk(&dev, "", 0, &fuse_nodes, &mut found)?;
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

fn walk(
    folder: &OwnedFd,
    prefix: &str,
    depth: usize,
    fuse: &[&str],
    found: &mut Vec<Seen>,
) -> io::Result<()> {
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(folder, buffer.spare_capacity_mut());
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "." || name == ".." {
            continue;
        }
        names.push((name, entry.file_type()));
        if names.len() > NODE_LIMIT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "too many files in /dev"));
        }
    }
    for (name, kind) in names {
        let path = format!("{prefix}{name}");
        if fuse.contains(&path.as_str()) {
            continue;
        }
        match kind {
            FileType::Directory
                if depth < DEPTH_LIMIT && !(depth == 0 && LEFT_OUT.contains(&name.as_str())) =>
            {
                let inside = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_XDEV;
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                // Another mount, or gone by now.
                let Ok(below) = rustix::fs::openat2(folder, name.as_str(), flags, Mode::empty(), inside)
                else {
                    continue;
                };
                walk(&below, &format!("{path}/"), depth + 1, fuse, found)?;
            }
            // A node bound into a container with a user namespace stands over an ordinary file.
            FileType::BlockDevice | FileType::CharacterDevice | FileType::RegularFile | FileType::Unknown => {
                let usual = depth == 0 && USUAL.contains(&name.as_str());
                if let Some(seen) = stat(folder, &name).filter(|_| !usual) {
                    found.push(Seen { name: path, ..seen });
                }
                if found.len() > NODE_LIMIT {
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "too many devices in /dev"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

fn stat(folder: &OwnedFd, name: &str) -> Option<Seen> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let found: Statx = rustix::fs::statx(folder, name, flags, StatxFlags::BASIC_STATS).ok()?;
    let mode = u32::from(found.stx_mode);
    let block = match FileType::from_raw_mode(mode) {
        FileType::BlockDevice => true,
        FileType::CharacterDevice => false,
        _ => return None,
    };
    Some(Seen {
        name: String::new(),
        number: (block, found.stx_rdev_major, found.stx_rdev_minor),
        mode: mode & 0o7777,
        uid: found.stx_uid,
        gid: found.stx_gid,
    })
}

/// The host's nodes by number.
#[derive(Clone, Debug, Default)]
pub struct HostDevices {
    names: BTreeMap<Number, String>,
}

impl HostDevices {
    pub fn read(mounts: &MountTable) -> HostDevices {
        let nodes = nodes(Path::new("/"), mounts).unwrap_or_default();
        HostDevices { names: nodes.into_iter().rev().map(|n| (n.number, n.name)).collect() }
    }

    /// Whether nodes of all the host's devices are among `seen`, but for a tenth that may have come or gone since
    /// the container was started.
    pub fn all_among(&self, seen: &[Seen]) -> bool {
        let there = self.names.keys().filter(|number| seen.iter().any(|s| s.number == **number)).count();
        !self.names.is_empty() && there * 10 >= self.names.len() * 9
    }

    pub fn node(&self, seen: &Seen, uid: u32, gid: u32) -> DeviceNode {
        let (block, major, minor) = seen.number;
        let name = self.names.get(&seen.number).cloned().or_else(|| kernel_name(seen.number));
        DeviceNode {
            host: HostPath::new(&format!("/dev/{}", name.as_ref().unwrap_or(&seen.name))),
            kind: Some(if block { DeviceKind::Block } else { DeviceKind::Char }),
            major: Some(major),
            minor: Some(minor),
            mode: Some(seen.mode),
            uid: Some(uid),
            gid: Some(gid),
        }
    }

    /// Fills in what is known of a host device that a request names only by its path.
    pub fn number_of(path: &HostPath) -> Option<Number> {
        let folder = rustix::fs::openat(
            CWD,
            Path::new(path.as_str()).parent()?,
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let name = path.as_str().rsplit('/').next()?;
        stat(&folder.ok()?, name).map(|seen| seen.number)
    }
}

/// What the kernel calls a device whose node the host's `/dev` lacks.
fn kernel_name((block, major, minor): Number) -> Option<String> {
    let class = if block { "block" } else { "char" };
    let text = read_text(Path::new(&format!("/sys/dev/{class}/{major}:{minor}/uevent"))).ok()?;
    text.lines().find_map(|line| line.strip_prefix("DEVNAME=")).map(str::to_owned)
}
