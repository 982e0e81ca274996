//! Open descriptors: what each number of a process stands for.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use capture::list::{self, DescriptorKind, descriptor_kind as kind};

use super::hash::NumberMap;

/// What a descriptor stands for.
#[derive(Clone, Debug)]
pub struct Descriptor {
    /// One of [`capture::list::descriptor_kind`].
    pub kind: u8,
    /// Path, both ends of a socket, or what the kernel calls it.
    pub name: Arc<[u8]>,
    /// The path as it was given to the call.
    pub raw: Option<Arc<[u8]>>,
    /// Of open(2), by the table `file_flags`.
    pub flags: u32,
    pub device: u32,
    pub inode: u64,
    pub socket: Option<Box<Socket>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Socket {
    /// Of a connection: the client's end.
    pub source: (IpAddr, u16),
    /// Of a connection: the server's end; of a listening socket: its address.
    pub destination: (IpAddr, u16),
    pub transport: u8,
    pub role: Role,
    pub connected: bool,
}

/// Transport protocols, as captures number them.
pub mod transport {
    pub const UNKNOWN: u8 = 0;
    pub const TCP: u8 = 2;
    pub const UDP: u8 = 3;
    pub const ICMP: u8 = 4;
    pub const RAW: u8 = 5;
}

/// Which end of a connection the process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    NotKnown,
    Client,
    Server,
}

const NOWHERE: (IpAddr, u16) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

impl Descriptor {
    pub fn new(kind: u8, name: impl Into<Arc<[u8]>>) -> Self {
        Descriptor { kind, name: name.into(), raw: None, flags: 0, device: 0, inode: 0, socket: None }
    }

    pub fn from_list(listed: &list::Descriptor<'_>) -> Self {
        let mut descriptor = match listed.what {
            DescriptorKind::File { path } => Descriptor::new(kind::FILE, path),
            DescriptorKind::Directory { path } => Descriptor::new(kind::DIRECTORY, path),
            DescriptorKind::OpenFile { path, flags, device } => {
                Descriptor { flags, device, ..Descriptor::new(kind::OPEN_FILE, path) }
            }
            DescriptorKind::Unix { path, .. } => Descriptor::new(kind::UNIX, path),
            DescriptorKind::Internet { source, destination, transport } => {
                Descriptor::internet(source, destination, transport)
            }
            DescriptorKind::Listening { address, transport } => Descriptor::listening(address, transport),
            DescriptorKind::Other { kind, name } => Descriptor::new(kind, name),
        };
        descriptor.inode = listed.inode;
        descriptor
    }

    /// For the list of a capture that is being written.
    pub fn to_list(&self, number: i64) -> list::Descriptor<'_> {
        let what = match (&self.socket, self.kind) {
            (Some(socket), kind::IPV4 | kind::IPV6) => DescriptorKind::Internet {
                source: socket.source,
                destination: socket.destination,
                transport: socket.transport,
            },
            (Some(socket), kind::IPV4_LISTENING | kind::IPV6_LISTENING) => {
                DescriptorKind::Listening { address: socket.destination, transport: socket.transport }
            }
            (_, kind::FILE | kind::OPEN_FILE) => {
                DescriptorKind::OpenFile { path: &self.name, flags: self.flags, device: self.device }
            }
            (_, kind::DIRECTORY) => DescriptorKind::Directory { path: &self.name },
            (_, kind::UNIX) => {
                let path = self.name.iter().position(|b| *b == b' ').and_then(|at| self.name.get(at + 1..));
                DescriptorKind::Unix { source: 0, destination: 0, path: path.unwrap_or(&self.name) }
            }
            (_, kind::IPV4..=kind::IPV6_LISTENING) => {
                DescriptorKind::Other { kind: kind::UNSUPPORTED, name: &self.name }
            }
            (_, kind) => DescriptorKind::Other { kind, name: &self.name },
        };
        list::Descriptor { number, inode: self.inode, what }
    }

    /// A socket before it has an address.
    pub fn socket(kind: u8, transport: u8) -> Self {
        let socket = Socket {
            source: NOWHERE,
            destination: NOWHERE,
            transport,
            role: Role::NotKnown,
            connected: false,
        };
        Descriptor { socket: Some(Box::new(socket)), ..Descriptor::new(kind, &b""[..]) }
    }

    pub fn internet(source: (IpAddr, u16), destination: (IpAddr, u16), transport: u8) -> Self {
        let kind = if source.0.is_ipv4() { kind::IPV4 } else { kind::IPV6 };
        let mut descriptor = Descriptor::socket(kind, transport);
        descriptor.set_ends(source, destination);
        descriptor
    }

    pub fn listening(address: (IpAddr, u16), transport: u8) -> Self {
        let kind = if address.0.is_ipv4() { kind::IPV4_LISTENING } else { kind::IPV6_LISTENING };
        let mut descriptor = Descriptor::socket(kind, transport);
        descriptor.set_listening(address);
        descriptor
    }

    /// A Unix socket that is connected.
    pub fn unix(source: u64, destination: u64, path: &[u8]) -> Self {
        let mut found = Descriptor::socket(kind::UNIX, transport::UNKNOWN);
        found.name = unix_name(source, destination, path).into();
        if let Some(socket) = &mut found.socket {
            socket.connected = true;
        }
        found
    }

    /// Both ends are known now. A mapped address (`::ffff:1.2.3.4`) is IPv4.
    pub fn set_ends(&mut self, source: (IpAddr, u16), destination: (IpAddr, u16)) {
        let (mut source, mut destination) = (source, destination);
        if let (IpAddr::V4(from), IpAddr::V4(to)) = (source.0.to_canonical(), destination.0.to_canonical()) {
            (source.0, destination.0) = (from.into(), to.into());
        }
        self.kind = if source.0.is_ipv4() { kind::IPV4 } else { kind::IPV6 };
        self.name = internet_name(source, destination).into();
        let socket = self.socket.get_or_insert_with(|| {
            Box::new(Socket {
                source,
                destination,
                transport: transport::UNKNOWN,
                role: Role::NotKnown,
                connected: false,
            })
        });
        (socket.source, socket.destination) = (source, destination);
    }

    pub fn set_listening(&mut self, address: (IpAddr, u16)) {
        self.kind = if address.0.is_ipv4() { kind::IPV4_LISTENING } else { kind::IPV6_LISTENING };
        self.name = end_name(address).into();
        if let Some(socket) = &mut self.socket {
            socket.destination = address;
        }
    }

    pub fn is_file(&self) -> bool {
        matches!(self.kind, kind::FILE | kind::OPEN_FILE)
    }

    pub fn is_internet(&self) -> bool {
        matches!(self.kind, kind::IPV4..=kind::IPV6_LISTENING)
    }
}

/// `1.2.3.4:80->5.6.7.8:90`
pub fn internet_name(source: (IpAddr, u16), destination: (IpAddr, u16)) -> Box<[u8]> {
    let mut name = Vec::with_capacity(48);
    write_end(&mut name, source);
    name.extend_from_slice(b"->");
    write_end(&mut name, destination);
    name.into()
}

pub fn end_name(end: (IpAddr, u16)) -> Box<[u8]> {
    let mut name = Vec::with_capacity(24);
    write_end(&mut name, end);
    name.into()
}

fn write_end(out: &mut Vec<u8>, (address, port): (IpAddr, u16)) {
    use std::io::Write;
    // Writing to memory cannot fail.
    let _ = write!(out, "{address}:{port}");
}

/// `ffff94dc->ffff94dd /run/socket`
pub fn unix_name(source: u64, destination: u64, path: &[u8]) -> Box<[u8]> {
    use std::io::Write;
    let mut name = Vec::with_capacity(path.len() + 36);
    let _ = write!(name, "{source:x}->{destination:x} ");
    name.extend_from_slice(path);
    name.into()
}

/// The descriptors of a process; shared by its threads. A fork has its parent's until either changes them.
#[derive(Clone, Debug, Default)]
pub struct Table {
    open: Arc<NumberMap<i64, Descriptor>>,
    /// How many threads use it.
    pub(super) shares: u32,
    /// How many of the entries count as its own, for the bound on all.
    pub(super) own: usize,
}

impl Table {
    #[inline]
    pub fn get(&self, number: i64) -> Option<&Descriptor> {
        self.open.get(&number)
    }

    pub fn len(&self) -> usize {
        self.open.len()
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (i64, &Descriptor)> {
        self.open.iter().map(|(number, descriptor)| (*number, descriptor))
    }

    /// The ports that sockets of it listen on.
    pub(super) fn listening(&self) -> Vec<u16> {
        let listening =
            self.open.values().filter(|f| matches!(f.kind, kind::IPV4_LISTENING | kind::IPV6_LISTENING));
        listening.filter_map(|found| found.socket.as_ref().map(|socket| socket.destination.1)).collect()
    }

    /// What a fork gets.
    pub(super) fn inherited(&self) -> Table {
        Table { open: self.open.clone(), shares: 1, own: 0 }
    }

    /// The entries, to be changed; copied where a fork has them too. `room`: for how many more there is memory; where
    /// that is not enough, they are forgotten, and how many is told.
    fn change(&mut self, room: usize) -> (&mut NumberMap<i64, Descriptor>, usize) {
        let mut forgotten = 0;
        if Arc::get_mut(&mut self.open).is_none() {
            let count = self.open.len();
            if count > room {
                forgotten = count;
                self.open = Arc::default();
            }
            self.own = self.open.len();
        }
        (Arc::make_mut(&mut self.open), forgotten)
    }

    /// How many entries could not be kept.
    pub(super) fn insert(&mut self, number: i64, descriptor: Descriptor, most: usize, room: usize) -> usize {
        let (open, mut forgotten) = self.change(room);
        let count = open.len();
        match open.get_mut(&number) {
            Some(found) => *found = descriptor,
            None if count >= most || room == 0 => forgotten += 1,
            None => {
                open.insert(number, descriptor);
            }
        }
        self.own = self.open.len();
        forgotten
    }

    pub(super) fn get_mut(&mut self, number: i64, room: usize) -> Option<&mut Descriptor> {
        if !self.open.contains_key(&number) {
            return None;
        }
        self.change(room).0.get_mut(&number)
    }

    pub(super) fn remove(&mut self, number: i64, room: usize) {
        if self.open.contains_key(&number) {
            self.change(room).0.remove(&number);
            self.own = self.open.len();
        }
    }

    /// execve(2) closes what was opened so.
    pub(super) fn close_on_exec(&mut self, flag: u32, room: usize) {
        if self.open.values().any(|descriptor| descriptor.flags & flag != 0) {
            self.change(room).0.retain(|_, descriptor| descriptor.flags & flag == 0);
            self.own = self.open.len();
        }
    }
}
