//! The network namespace, passively: what listens in it, and where its packets leave.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::files;
use crate::measurement::Network;

const MOST_LISTENERS: usize = 256;
/// The listening sockets come first in `/proc/net/tcp`; the connections behind them are not read.
const LIMIT: u64 = 512 * 1024;

pub(crate) fn measure() -> Network {
    let text = |path| files::read(path, LIMIT).map(|(text, _)| text).unwrap_or_default();
    let mut tcp_listeners = listeners(&text("/proc/net/tcp"));
    tcp_listeners.extend(listeners(&text("/proc/net/tcp6")));
    let (interfaces, _) = files::names("/sys/class/net", 64);
    Network {
        abstract_listeners: abstract_listeners(&text("/proc/net/unix")),
        tcp_listeners,
        default_gateway: default_gateway(&text("/proc/net/route")),
        interfaces,
    }
}

/// `Num: RefCount Protocol Flags Type St Inode Path`; the flag is `__SO_ACCEPTCON` (unix_seq_show()).
fn abstract_listeners(text: &str) -> Vec<String> {
    let mut names: Vec<String> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
            let name = fields.nth(3)?;
            (flags & 0x10000 != 0 && name.starts_with('@')).then(|| name.to_owned())
        })
        .take(MOST_LISTENERS)
        .collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// `sl local_address rem_address st …`; the state 0A is TCP_LISTEN, addresses are words in host order.
fn listeners(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let local = fields.nth(1)?;
            (fields.nth(1)? == "0A").then(|| address(local)).flatten()
        })
        .take(MOST_LISTENERS)
        .collect()
}

fn address(text: &str) -> Option<String> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for start in (0..address.len()).step_by(8) {
        let word = u32::from_str_radix(address.get(start..start + 8)?, 16).ok()?;
        bytes.extend(word.to_ne_bytes());
    }
    match bytes.len() {
        4 => Some(format!("{}:{port}", Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?))),
        16 => Some(format!("[{}]:{port}", Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?))),
        _ => None,
    }
}

/// `Iface Destination Gateway Flags RefCnt Use Metric Mask …`.
fn default_gateway(text: &str) -> Option<String> {
    text.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let everything = *fields.get(1)? == "00000000" && *fields.get(7)? == "00000000";
        let gateway = u32::from_str_radix(fields.get(2)?, 16).ok()?;
        (everything && gateway != 0).then(|| Ipv4Addr::from(gateway.to_ne_bytes()).to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn only_listening_sockets_are_told() {
        let tcp = "  sl  local_address rem_address   st\n   0: 0100007F:0943 00000000:0000 0A 0\n   \
                   1: 0100007F:0944 0100007F:1234 01 0\n";
        assert_eq!(listeners(tcp), ["127.0.0.1:2371"]);
        let tcp6 = "   0: 00000000000000000000000001000000:1F90 0:0 0A\n   1: 00:1 0:0 0A\n";
        assert_eq!(listeners(tcp6), ["[::1]:8080"]);
        let unix = "Num RefCount Protocol Flags Type St Inode Path\n\
                    0: 00000002 00000000 00010000 0001 01 100 @/containerd-shim/x.sock\n\
                    0: 00000002 00000000 00000000 0001 03 101 @peer\n\
                    0: 00000002 00000000 00010000 0001 01 102 /run/x.sock\n\
                    0: 00000002 00000000 00010000 0001 01 103\n";
        assert_eq!(abstract_listeners(unix), ["@/containerd-shim/x.sock"]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_default_route_names_the_gateway() {
        let route = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
                     eth0 000011AC 00000000 0001 0 0 0 0000FFFF 0 0 0\n\
                     eth0 00000000 010011AC 0003 0 0 0 00000000 0 0 0\n";
        assert_eq!(default_gateway(route), Some("172.17.0.1".into()));
        assert_eq!(default_gateway("short\nline\n"), None);
    }
}
