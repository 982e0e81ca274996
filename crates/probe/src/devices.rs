//! Device nodes under `/dev`, two levels deep. They are looked at and never opened: an open can rewind a
//! tape, arm a watchdog or raise a modem line.

use std::fs::Metadata;
use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::files;
use crate::measurement::{Device, Mount};
use crate::paths::device_numbers;

const MOST_NODES: usize = 4096;
const MOST_ENTRIES: usize = 4096;
/// No nodes in them but many files, or file systems of their own.
const NOT_ENTERED: &[&str] = &["/dev/shm", "/dev/mqueue", "/dev/hugepages", "/dev/fd"];

pub(crate) fn measure(mounts: &[Mount], notes: &mut Vec<String>) -> Vec<Device> {
    let mut devices = Vec::new();
    let mut cut = scan("/dev", mounts, &mut devices, true);
    devices.sort_by(|a, b| a.path.cmp(&b.path));
    if devices.len() > MOST_NODES {
        devices.truncate(MOST_NODES);
        cut = true;
    }
    if cut {
        notes.push(format!("/dev is large; {} nodes of it are here", devices.len()));
    }
    devices
}

/// Adds what is in a directory; whether anything was left out.
fn scan(directory: &str, mounts: &[Mount], devices: &mut Vec<Device>, enter: bool) -> bool {
    let (names, mut cut) = files::names(directory, MOST_ENTRIES);
    for name in names {
        if devices.len() > MOST_NODES {
            return true;
        }
        let path = format!("{directory}/{name}");
        let Ok(metadata) = files::look(&path, mounts) else { continue };
        if metadata.is_dir() && enter && !NOT_ENTERED.contains(&path.as_str()) {
            cut |= scan(&path, mounts, devices, false);
        } else if let Some(device) = device(path, &metadata) {
            devices.push(device);
        }
    }
    cut
}

fn device(path: String, metadata: &Metadata) -> Option<Device> {
    let kind = match () {
        () if metadata.file_type().is_char_device() => "c",
        () if metadata.file_type().is_block_device() => "b",
        () => return None,
    };
    let (major, minor) = device_numbers(metadata.rdev());
    Some(Device {
        path,
        kind: kind.to_owned(),
        major,
        minor,
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}
