//! Sockets: what they are is read from the kernel's socket; where they go from the kernel's too once connected, and from
//! the memory of the process where the call failed.

use super::{Call, NOTED, Program, Test};
use crate::event::{Address, Source, Text, What};
use crate::kinds::Kind;
use crate::record::{Record, string};

/// Every family but AF_UNSPEC, AF_UNIX (1), AF_INET (2) and AF_INET6 (10).
const UNUSUAL_FAMILIES: u64 = !(1 << 0 | 1 << 1 | 1 << 2 | 1 << 10);

const fn socket_call(
    names: &'static [&'static str],
    kind: Kind,
    address: u8,
    decode: fn(&Record<'_>) -> What,
) -> Call {
    Call { program: Program::Socket, socket: 1, address, ..Call::bulk(names, kind, decode) }
}

pub(crate) const CALLS: &[Call] = &[
    Call {
        test: Test::Number(1, UNUSUAL_FAMILIES),
        ..Call::bulk(&["socket", "socketpair"], Kind::Socket, socket)
    },
    Call { flags: NOTED, ..socket_call(&["connect"], Kind::Connect, 2, connect) },
    socket_call(&["bind"], Kind::Bind, 2, bind),
    socket_call(&["listen"], Kind::Listen, 0, listen),
    socket_call(&["accept", "accept4"], Kind::Accept, 0, accept),
    socket_call(&["sendto"], Kind::Send, 5, send),
    socket_call(&["sendmsg", "sendmmsg"], Kind::Send, 0, send),
    socket_call(&["recvfrom", "recvmmsg"], Kind::Receive, 0, receive),
    Call { program: Program::Received, ..socket_call(&["recvmsg"], Kind::Receive, 0, receive) },
    // The 32-bit table's multiplexer: the arguments are in memory, so only what was called is told.
    Call { block: (2, 24), ..Call::rare(&["socketcall"], Kind::Socket, socketcall) },
];

/// What comes with a call of another kind, and what a security hook tells of io_uring.
pub(crate) fn decode(kind: Kind, record: &Record<'_>) -> Option<What> {
    match kind {
        Kind::ReceivedFile => Some(What::ReceivedFile {
            file: record.file(0).unwrap_or_default(),
            descriptor: record.word(0) as i32,
        }),
        Kind::Connect => Some(connect(record)),
        _ => None,
    }
}

/// A `struct sockaddr` as the process gave it.
pub(crate) fn address_of(bytes: &[u8]) -> Option<Address> {
    let family = u16::from_le_bytes([*bytes.first()?, *bytes.get(1)?]);
    let word =
        |at: usize| -> Option<u32> { Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)) };
    let port = || Some(u16::from_be_bytes([*bytes.get(2)?, *bytes.get(3)?]));
    Some(match family {
        1 => Address::Unix { path: unix_path(bytes.get(2..)?, Source::User) },
        2 => {
            let octets: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
            Address::Internet { address: octets.into(), port: port()? }
        }
        10 => {
            let octets: [u8; 16] = bytes.get(8..24)?.try_into().ok()?;
            Address::Internet { address: octets.into(), port: port()? }
        }
        16 => Address::Netlink { port: word(4)?, groups: word(8)? },
        17 => Address::Packet { protocol: port()?, interface: word(4)? as i32 },
        38 => Address::Algorithm { kind: zero_ended(bytes.get(2..16)?), name: zero_ended(bytes.get(24..)?) },
        40 => Address::Vsock { port: word(4)?, cid: word(8)? },
        other => Address::Other(other),
    })
}

fn zero_ended(bytes: &[u8]) -> String {
    string(bytes.split(|byte| *byte == 0).next().unwrap_or_default())
}

/// `sun_path`: a path ended by 0, or an abstract name that begins with 0.
fn unix_path(bytes: &[u8], source: Source) -> Text {
    let text = match bytes.split_first() {
        Some((0, name)) => format!("@{}", string(name)),
        _ => zero_ended(bytes),
    };
    Text { text, source, cut: false }
}

pub(crate) fn address_of_block(record: &Record<'_>) -> Option<Address> {
    address_of(record.block(0)?)
}

/// Where a connected socket goes, as the kernel has it; as the process asked for where it has none.
fn remote(record: &Record<'_>) -> Option<Address> {
    if let Some(socket) = record.socket()
        && let Some((address, port)) = socket.remote
        && port != 0
        && record.head.result >= 0
    {
        return Some(Address::Internet { address, port });
    }
    address_of_block(record)
}

fn local(record: &Record<'_>) -> Option<Address> {
    let (address, port) = record.socket()?.local?;
    Some(Address::Internet { address, port })
}

fn family_and_kind(record: &Record<'_>) -> (u32, u32) {
    record.socket().map_or((0, 0), |socket| (socket.family, socket.kind))
}

fn socket(record: &Record<'_>) -> What {
    What::Socket { family: record.word(0), kind: record.word(1), protocol: record.word(2) }
}

fn socketcall(record: &Record<'_>) -> What {
    const SOCKET: u32 = 1;
    if record.word(0) == SOCKET {
        return What::Socket {
            family: record.block_u32(0),
            kind: record.block_u32(4),
            protocol: record.block_u32(8),
        };
    }
    super::rare_call(record)
}

fn connect(record: &Record<'_>) -> What {
    let (family, kind) = family_and_kind(record);
    let socket = record.socket();
    What::Connect {
        address: remote(record).unwrap_or(Address::Other(family as u16)),
        family,
        kind,
        peer: socket.as_ref().and_then(|socket| socket.peer),
        bound: socket
            .as_ref()
            .filter(|socket| !socket.peer_address.is_empty())
            .map(|socket| unix_path(socket.peer_address, Source::Kernel)),
        peer_file: socket.map(|socket| socket.peer_file).unwrap_or_default(),
    }
}

fn bind(record: &Record<'_>) -> What {
    let (family, kind) = family_and_kind(record);
    What::Bind { address: address_of_block(record).unwrap_or(Address::Other(family as u16)), family, kind }
}

fn listen(record: &Record<'_>) -> What {
    What::Listen { address: local(record) }
}

fn accept(record: &Record<'_>) -> What {
    What::Accept { address: remote(record), local: local(record) }
}

fn send(record: &Record<'_>) -> What {
    if let Some(socket) = record.socket()
        && socket.family == 16
    {
        return What::Netlink { protocol: socket.protocol, message: 0 };
    }
    What::Send { call: record.call_name(), address: remote(record), length: record.argument(2) }
}

fn receive(record: &Record<'_>) -> What {
    What::Receive {
        call: record.call_name(),
        address: remote(record),
        length: record.head.result.max(0) as u64,
    }
}
