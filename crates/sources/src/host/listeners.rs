//! Control daemons that listen on TCP or on abstract Unix sockets of the host's network namespace: whoever shares
//! that namespace, or reaches the address, can speak to them.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::Listening;
use crate::measured::printable;
use crate::process::files::{read_bytes, read_text};
use crate::process::{View, read_namespace};

const TABLE_LIMIT: u64 = 64 << 20;

/// Programs whose API controls containers or the host, and what they are called here.
const DAEMONS: &[(&str, &str)] = &[
    ("dockerd", "docker"),
    ("docker-proxy", "published-port"),
    ("podman", "podman"),
    ("containerd", "containerd"),
    ("containerd-shim", "containerd-shim"),
    ("crio", "crio"),
    ("kubelet", "kubelet"),
    ("kube-apiserver", "kube-apiserver"),
    ("kube-scheduler", "kube-scheduler"),
    ("kube-controller", "kube-controller-manager"),
    ("etcd", "etcd"),
    ("buildkitd", "buildkit"),
    ("incusd", "incus"),
    ("lxd", "lxd"),
    ("nomad", "nomad"),
    ("consul", "consul"),
    ("libvirtd", "libvirt"),
    ("systemd-journal", "journald"),
];

/// Ports that say whose they are where the process cannot be seen: IANA's and each project's own.
const PORTS: &[(u16, &str)] =
    &[(2375, "docker"), (2376, "docker"), (10250, "kubelet"), (10255, "kubelet"), (2379, "etcd")];

/// `None` where the tables of the host's network namespace cannot be read.
pub(super) fn read(view: &View, notes: &mut Vec<String>) -> Option<Vec<Listening>> {
    // /proc/net is that of this process; the host's is the first process's.
    let own = read_namespace(std::process::id(), "net").ok();
    let folder = if own.is_some() && own == view.namespaces.get(&confinement::NamespaceKind::Net).copied() {
        "/proc/self/net"
    } else {
        "/proc/1/net"
    };
    let table = |name: &str| {
        let bytes = read_bytes(Path::new(&format!("{folder}/{name}")), TABLE_LIMIT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let tcp = table("tcp")?;
    let sockets: Vec<(SocketAddr, u64)> =
        tcp.lines().chain(table("tcp6").unwrap_or_default().lines()).filter_map(tcp_listener).collect();
    let abstract_sockets: Vec<(String, u64)> = table("unix")?
        .lines()
        .filter_map(abstract_listener)
        .map(|(name, inode)| (name.to_owned(), inode))
        .collect();
    let owners = owners(notes);
    let mut found = Vec::new();
    for (address, inode) in sockets {
        let owner = owners.get(&inode);
        let by_port = || PORTS.iter().find(|(port, _)| *port == address.port()).map(|(_, daemon)| *daemon);
        let Some(daemon) = owner.map(|o| o.daemon).or_else(by_port) else { continue };
        if daemon == "published-port" {
            continue;
        }
        found.push(Listening {
            daemon: daemon.into(),
            address: address.to_string(),
            local_only: address.ip().to_canonical().is_loopback(),
            authenticated: owner.and_then(|owner| asks_clients(owner, address.port())),
        });
    }
    for (name, inode) in abstract_sockets {
        // A shim's socket bears its name, whoever holds it by now.
        let shim = name.contains("containerd-shim").then_some("containerd-shim");
        let Some(daemon) = shim.or_else(|| owners.get(&inode).map(|o| o.daemon)) else { continue };
        found.push(Listening {
            daemon: daemon.into(),
            address: printable(&name),
            local_only: true,
            authenticated: None,
        });
    }
    found.sort_by(|a, b| (&a.daemon, &a.address).cmp(&(&b.daemon, &b.address)));
    found.dedup();
    Some(found)
}

struct Owner {
    daemon: &'static str,
    words: Vec<String>,
}

/// Socket inodes of known daemons.
fn owners(notes: &mut Vec<String>) -> BTreeMap<u64, Owner> {
    let mut found = BTreeMap::new();
    let Ok(entries) = std::fs::read_dir("/proc") else { return found };
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let Ok(name) = read_text(Path::new(&format!("/proc/{pid}/comm"))) else { continue };
        let name = name.trim_end();
        // comm holds 15 characters; a shim's name goes on behind `containerd-shim`.
        let Some((_, daemon)) =
            DAEMONS.iter().find(|(program, _)| name == program.get(..15).unwrap_or(program))
        else {
            continue;
        };
        let bytes = read_bytes(Path::new(&format!("/proc/{pid}/cmdline")), 1 << 20).unwrap_or_default();
        let words: Vec<String> = bytes
            .split(|b| *b == 0)
            .filter(|w| !w.is_empty())
            .map(|w| String::from_utf8_lossy(w).into_owned())
            .collect();
        let Ok(files) = std::fs::read_dir(format!("/proc/{pid}/fd")) else {
            notes.push(format!("the sockets of {daemon}, process {pid}, cannot be read (run as root)"));
            continue;
        };
        for file in files.flatten() {
            let Ok(link) = std::fs::read_link(file.path()) else { continue };
            let inode =
                link.to_str().and_then(|l| l.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                found.insert(inode, Owner { daemon, words: words.clone() });
            }
        }
    }
    found
}

/// What the command line settles: dockerd's `--tlsverify`, kubelet's anonymous access (off by default only in
/// its configuration file, which is not looked for).
fn asks_clients(owner: &Owner, port: u16) -> Option<bool> {
    let says = |flag: &str| owner.words.iter().any(|w| w.strip_prefix("--").is_some_and(|w| w == flag));
    match owner.daemon {
        "docker" => says("tlsverify").then_some(true).or((port == 2375).then_some(false)),
        "kubelet" if port == 10255 => Some(false),
        "kubelet" if says("anonymous-auth=false") => Some(true),
        "etcd" => says("client-cert-auth").then_some(true).or(says("client-cert-auth=true").then_some(true)),
        _ => None,
    }
}

/// A line of `/proc/net/tcp` or `tcp6` in the state LISTEN (proc_pid_net(5)).
fn tcp_listener(line: &str) -> Option<(SocketAddr, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let local = fields.nth(1)?;
    let state = fields.nth(1)?;
    let inode = fields.nth(5)?.parse().ok()?;
    if state != "0A" {
        return None;
    }
    let (address, port) = local.split_once(':')?;
    Some((SocketAddr::new(ip_address(address)?, u16::from_str_radix(port, 16).ok()?), inode))
}

/// Words of four bytes, each printed as a number of the machine's byte order (get_tcp4_sock, net/ipv4/tcp_ipv4.c).
fn ip_address(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => Some(IpAddr::V4(Ipv4Addr::from(word(0)?))),
        32 => {
            let mut bytes = [0; 16];
            for (at, part) in bytes.chunks_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Some(IpAddr::V6(Ipv6Addr::from(bytes)))
        }
        _ => None,
    }
}

/// A line of `/proc/net/unix` that listens under an abstract name; the flag is `__SO_ACCEPTCON`.
fn abstract_listener(line: &str) -> Option<(&str, u64)> {
    let mut fields = line.split_ascii_whitespace();
    let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
    let inode = fields.nth(2)?.parse().ok()?;
    let name = fields.next()?;
    (flags & 0x10000 != 0 && name.starts_with('@')).then_some((name, inode))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listening_sockets_are_read_with_their_addresses() {
        let line = "   0: 0100007F:0947 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 12345 1 0";
        let (address, inode) = tcp_listener(line).unwrap();
        assert_eq!((address.to_string().as_str(), inode), ("127.0.0.1:2375", 12345));
        assert_eq!(tcp_listener(&line.replace(" 0A ", " 01 ")), None);
        let six = "   0: 00000000000000000000000001000000:280A 00000000000000000000000000000000:0000 0A 0:0 0:0 0 0 0 7 1 0";
        assert_eq!(tcp_listener(six).unwrap().0.to_string(), "[::1]:10250");
        assert_eq!(tcp_listener("  sl  local_address rem_address   st tx_queue rx_queue"), None);
    }

    #[test]
    fn abstract_sockets_are_read_by_name() {
        let line =
            "0000000000000000: 00000002 00000000 00010000 0001 01 2345 @/containerd-shim/moby/x/shim.sock@";
        assert_eq!(abstract_listener(line), Some(("@/containerd-shim/moby/x/shim.sock@", 2345)));
        assert_eq!(abstract_listener(&line.replace("00010000", "00000000")), None);
        assert_eq!(abstract_listener(&line.replace('@', "/run")), None);
    }
}
