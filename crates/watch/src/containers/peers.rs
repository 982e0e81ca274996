//! Who is connected to an engine's socket now: sock_diag(7) names the other end of each connection, `/proc/PID/fd` the
//! process that holds it. For a machine whose sensor is not told to watch the host's own processes.
//!
//! The socket is known by its file (inode and device), so that no other name of it matters.

use std::collections::{HashMap, HashSet};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{self, Timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink};
use sensor::event::{Actor, Credentials, Task};

use super::process::{self, TICK};

/// How long all processes are looked through; on a machine with 30,000 of them that is half a second.
const LIMIT: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_millis(200);
/// Connections of one socket that are told apart.
const MOST: usize = 1024;

/// A socket's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SocketFile {
    pub(super) device: (u32, u32),
    pub(super) inode: u64,
}

impl SocketFile {
    pub(super) fn of(path: &Path) -> Option<SocketFile> {
        let stat = rustix::fs::stat(path).ok()?;
        let device = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        Some(SocketFile { device, inode: stat.st_ino })
    }
}

/// The connections of one engine that were seen before: what is new is who has just come.
#[derive(Debug, Default)]
pub(super) struct Peers {
    known: HashSet<u32>,
}

impl Peers {
    /// Processes that hold a connection which was not there the last time.
    pub(super) fn newcomers(&mut self, socket: SocketFile) -> Vec<Actor> {
        let now = clients(socket).unwrap_or_default();
        let new: HashSet<u32> = now.difference(&self.known).copied().collect();
        self.known = now;
        if new.is_empty() { Vec::new() } else { holders(&new).into_iter().filter_map(actor).collect() }
    }
}

/// From linux/sock_diag.h, linux/unix_diag.h and linux/netlink.h.
const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const UDIAG_SHOW_VFS: u32 = 2;
const UDIAG_SHOW_PEER: u32 = 4;
const UNIX_DIAG_VFS: u16 = 1;
const UNIX_DIAG_PEER: u16 = 2;
/// `TCP_ESTABLISHED`, which Unix sockets use too.
const ESTABLISHED: u32 = 1 << 1;
const AF_UNIX: u8 = 1;

/// Inodes of the clients' ends of the connections that a listener on this file has taken.
fn clients(file: SocketFile) -> rustix::io::Result<HashSet<u32>> {
    let socket: OwnedFd = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(ANSWER))?;
    rustix::net::send(&socket, &request(), SendFlags::empty())?;
    let mut found = HashSet::new();
    let mut buffer = vec![0; 32 << 10];
    let began = Instant::now();
    while began.elapsed() < LIMIT {
        let (count, _) = rustix::net::recv(socket.as_fd(), buffer.as_mut_slice(), RecvFlags::empty())?;
        if take(buffer.get(..count).unwrap_or_default(), file, &mut found) {
            break;
        }
    }
    Ok(found)
}

/// `struct nlmsghdr` and `struct unix_diag_req`.
fn request() -> Vec<u8> {
    let mut message = Vec::with_capacity(40);
    message.extend(40u32.to_ne_bytes());
    message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
    message.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
    message.extend([0; 8]);
    message.extend([AF_UNIX, 0, 0, 0]);
    message.extend(ESTABLISHED.to_ne_bytes());
    message.extend(0u32.to_ne_bytes());
    message.extend((UDIAG_SHOW_VFS | UDIAG_SHOW_PEER).to_ne_bytes());
    message.extend([0xff; 8]);
    message
}

/// Takes one datagram of the answer; true at its end.
fn take(mut bytes: &[u8], file: SocketFile, found: &mut HashSet<u32>) -> bool {
    while let (Some(length), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let length = length as usize;
        if kind == NLMSG_DONE || kind == NLMSG_ERROR || length < 16 {
            return true;
        }
        // `struct unix_diag_msg` has 16 bytes; its attributes follow.
        let attributes = bytes.get(32..length.min(bytes.len())).unwrap_or_default();
        let vfs = attribute(attributes, UNIX_DIAG_VFS);
        let of_file = vfs.is_some_and(|vfs| {
            let inode = u32_at(vfs, 0);
            let device = u32_at(vfs, 4).map(|device| (device >> 20, device & 0xf_ffff));
            inode == Some((file.inode & 0xffff_ffff) as u32) && device == Some(file.device)
        });
        let peer = attribute(attributes, UNIX_DIAG_PEER).and_then(|peer| u32_at(peer, 0));
        if let (true, Some(peer)) = (of_file && found.len() < MOST, peer) {
            found.insert(peer);
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// The payload of an attribute (`struct nlattr`).
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (length, kind) = (usize::from(u16_at(bytes, 0)?), u16_at(bytes, 2)?);
        if length < 4 {
            return None;
        }
        if kind == wanted {
            return bytes.get(4..length);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Processes that hold one of these sockets.
fn holders(inodes: &HashSet<u32>) -> Vec<u32> {
    let began = Instant::now();
    let links: HashMap<String, u32> =
        inodes.iter().map(|inode| (format!("socket:[{inode}]"), *inode)).collect();
    let mut left = inodes.clone();
    let mut found = Vec::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return found };
    let mut pids: Vec<u32> =
        entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    // Clients are mostly young.
    pids.sort_unstable_by(|a, b| b.cmp(a));
    for pid in pids {
        if left.is_empty() || began.elapsed() > LIMIT {
            break;
        }
        let Ok(descriptors) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        for descriptor in descriptors.flatten() {
            let Ok(link) = std::fs::read_link(descriptor.path()) else { continue };
            if let Some(inode) = link.to_str().and_then(|link| links.get(link)) {
                left.remove(inode);
                if !found.contains(&pid) {
                    found.push(pid);
                }
            }
        }
    }
    found
}

/// A process as the sensor would tell of it, as far as `/proc` does.
fn actor(pid: u32) -> Option<Actor> {
    let start = process::started(pid)?.checked_mul(TICK)?;
    let status = sources::process::read_text(Path::new(&format!("/proc/{pid}/status"))).ok()?;
    let line =
        |name: &str| status.lines().find_map(|l| l.strip_prefix(name)?.strip_prefix(':')).map(str::trim);
    let mut ids = line("Uid")?.split_ascii_whitespace().map_while(|id| id.parse().ok());
    let login = sources::process::files::read_word(Path::new(&format!("/proc/{pid}/loginuid")));
    Some(Actor {
        task: Task { process: pid, thread: pid, start },
        name: line("Name")?.to_owned(),
        credentials: Credentials { uid: ids.next()?, euid: ids.next()?, ..Credentials::default() },
        login_uid: login.and_then(|id| id.parse().ok()).unwrap_or(u32::MAX),
        namespaces: crate::proc::namespaces(&crate::proc::of(pid)),
        ..Actor::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::{UnixListener, UnixStream};

    #[test]
    fn whoever_has_just_connected_is_found_once() {
        let folder = tempfile::tempdir().unwrap();
        let (path, other) = (folder.path().join("s"), folder.path().join("other"));
        let (listener, elsewhere) = (UnixListener::bind(&path).unwrap(), UnixListener::bind(&other).unwrap());
        let file = SocketFile::of(&path).unwrap();
        let mut peers = Peers::default();
        let _not_it = UnixStream::connect(&other).unwrap();
        let _taken = elsewhere.accept().unwrap();
        if clients(file).is_err() {
            eprintln!("skipped: this kernel has no unix_diag");
            return;
        }
        assert_eq!(peers.newcomers(file), []);
        // By another name of the same file.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let client = UnixStream::connect(&link).unwrap();
        let _server = listener.accept().unwrap();
        let found = peers.newcomers(file);
        assert_eq!(found.iter().map(|a| a.task.process).collect::<Vec<_>>(), [std::process::id()]);
        assert_eq!(found[0].credentials.uid, rustix::process::getuid().as_raw());
        assert!(process::is(found[0].task));
        assert_eq!(peers.newcomers(file), [], "it is known by now");
        drop(client);
        let _again = UnixStream::connect(&path).unwrap();
        let _server = listener.accept().unwrap();
        assert_eq!(peers.newcomers(file).len(), 1);
    }

    #[test]
    fn any_bytes_are_survived_as_an_answer() {
        let file = SocketFile { device: (0, 1), inode: 1 };
        for length in 0..80u32 {
            for fill in [0, 1, 2, 4, 16, 255] {
                let mut bytes = vec![fill; length as usize];
                take(&bytes, file, &mut HashSet::new());
                if let Some(head) = bytes.get_mut(..4) {
                    head.copy_from_slice(&length.to_ne_bytes());
                }
                take(&bytes, file, &mut HashSet::new());
            }
        }
    }
}
