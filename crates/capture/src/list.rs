//! What was there when a capture began: the machine, its interfaces, users, processes and their descriptors. Each type
//! here reads itself from a block and writes itself into one.
//!
//! Strings are bytes: nothing promises that a path or a name is UTF-8.

use std::net::IpAddr;

use crate::bytes::Walk;

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Machine<'a> {
    pub processors: u32,
    pub memory_bytes: u64,
    pub highest_pid: u64,
    pub host_name: &'a [u8],
}

/// A thread that was there. What the version of the block did not yet tell is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Process<'a> {
    pub thread: i64,
    pub process: i64,
    pub parent: i64,
    pub session: Option<i64>,
    /// Of the process group, as the process's own pid namespace numbers it.
    pub group_inside: Option<i64>,
    /// `comm`.
    pub name: &'a [u8],
    /// `argv[0]`.
    pub executable: &'a [u8],
    pub executable_path: Option<&'a [u8]>,
    /// Without the first; each ends with a zero byte.
    pub arguments: &'a [u8],
    pub directory: &'a [u8],
    pub descriptor_limit: u64,
    /// Flags of clone(2), by the names of the table `clone_flags`.
    pub flags: u32,
    pub uid: u32,
    pub gid: u32,
    /// Memory in KiB: virtual, resident, swapped.
    pub memory: [u32; 3],
    /// Page faults: major, minor.
    pub faults: [u64; 2],
    /// Each ends with a zero byte.
    pub environment: &'a [u8],
    pub thread_inside: Option<i64>,
    pub process_inside: Option<i64>,
    /// `subsystem=path`, each ends with a zero byte.
    pub cgroups: &'a [u8],
    pub root: &'a [u8],
    pub login_uid: Option<u32>,
    pub executable_writable: Option<bool>,
    pub capabilities: Option<Capabilities>,
    pub late: Option<Late>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    pub inheritable: u64,
    pub permitted: u64,
    pub effective: u64,
}

/// What sensors tell since 2023 (libs 0.10).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Late {
    /// When the first process of the pid namespace started, nanoseconds since 1970.
    pub namespace_start: u64,
    pub terminal: u32,
    /// The executable lies in the upper layer of an overlay.
    pub upper_layer: bool,
    pub inode: u64,
    /// Nanoseconds since 1970.
    pub changed: u64,
    pub modified: u64,
    pub memfd: bool,
}

/// Bytes of the fields behind `root` that were there before libs 0.10: login uid, writable, three sets.
const EARLY_TAIL: usize = 4 + 1 + 3 * 8;

impl<'a> Process<'a> {
    /// Reads an entry of a process list of this version; from 9 on, `walk` ends with the entry.
    pub(crate) fn read(walk: &mut Walk<'a>, version: u8) -> Option<Self> {
        let mut process =
            Process { thread: walk.i64()?, process: walk.i64()?, parent: walk.i64()?, ..Process::default() };
        if version >= 6 {
            process.session = Some(walk.i64()?);
        }
        if version >= 8 {
            process.group_inside = Some(walk.i64()?);
        }
        process.name = walk.string()?;
        process.executable = walk.string()?;
        if version >= 7 {
            process.executable_path = Some(walk.string()?);
        }
        process.arguments = walk.string()?;
        process.directory = walk.string()?;
        process.descriptor_limit = walk.u64()?;
        process.flags = walk.u32()?;
        process.uid = walk.u32()?;
        process.gid = walk.u32()?;
        if version >= 2 {
            process.memory = [walk.u32()?, walk.u32()?, walk.u32()?];
            process.faults = [walk.u64()?, walk.u64()?];
        }
        if version >= 3 {
            process.environment = walk.string()?;
        }
        if version >= 4 {
            process.thread_inside = Some(walk.i64()?);
            process.process_inside = Some(walk.i64()?);
            process.cgroups = walk.string()?;
        }
        if version >= 5 {
            process.root = walk.string()?;
        }
        if version >= 9 {
            process.read_tail(walk);
        }
        Some(process)
    }

    /// Fields that were appended over the years: each is there or the entry ends. Two of them were put before the
    /// others, so the length tells which order it is (libs, `scap_read_proclist`).
    fn read_tail(&mut self, walk: &mut Walk<'a>) {
        let mut late = Late::default();
        let has_late = walk.left() > EARLY_TAIL;
        if has_late {
            late.namespace_start = walk.u64().unwrap_or_default();
            late.terminal = walk.u32().unwrap_or_default();
        }
        self.login_uid = walk.u32();
        self.executable_writable = walk.u8().map(|byte| byte != 0);
        if let (Some(inheritable), Some(permitted), Some(effective)) = (walk.u64(), walk.u64(), walk.u64()) {
            self.capabilities = Some(Capabilities { inheritable, permitted, effective });
        }
        if has_late {
            late.upper_layer = walk.u8().is_some_and(|byte| byte != 0);
            late.inode = walk.u64().unwrap_or_default();
            late.changed = walk.u64().unwrap_or_default();
            late.modified = walk.u64().unwrap_or_default();
            late.memfd = walk.u8().is_some_and(|byte| byte != 0);
            self.late = Some(late);
        }
    }

    /// Writes the entry as version 9, without its length. `None`: a string is longer than 65,535 bytes.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        for number in [
            self.thread,
            self.process,
            self.parent,
            self.session.unwrap_or(-1),
            self.group_inside.unwrap_or(-1),
        ] {
            out.extend(number.to_le_bytes());
        }
        string(out, self.name)?;
        string(out, self.executable)?;
        string(out, self.executable_path.unwrap_or_default())?;
        string(out, self.arguments)?;
        string(out, self.directory)?;
        out.extend(self.descriptor_limit.to_le_bytes());
        for number in [self.flags, self.uid, self.gid].into_iter().chain(self.memory) {
            out.extend(number.to_le_bytes());
        }
        for number in self.faults {
            out.extend(number.to_le_bytes());
        }
        string(out, self.environment)?;
        out.extend(self.thread_inside.unwrap_or(-1).to_le_bytes());
        out.extend(self.process_inside.unwrap_or(-1).to_le_bytes());
        string(out, self.cgroups)?;
        string(out, self.root)?;
        if let Some(late) = &self.late {
            out.extend(late.namespace_start.to_le_bytes());
            out.extend(late.terminal.to_le_bytes());
        }
        out.extend(self.login_uid.unwrap_or(u32::MAX).to_le_bytes());
        out.push(self.executable_writable.unwrap_or_default().into());
        let sets = self.capabilities.unwrap_or_default();
        for set in [sets.inheritable, sets.permitted, sets.effective] {
            out.extend(set.to_le_bytes());
        }
        if let Some(late) = &self.late {
            out.push(late.upper_layer.into());
            for number in [late.inode, late.changed, late.modified] {
                out.extend(number.to_le_bytes());
            }
            out.push(late.memfd.into());
        }
        Some(())
    }
}

/// An open descriptor of a process that was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor<'a> {
    pub number: i64,
    pub inode: u64,
    pub what: DescriptorKind<'a>,
}

/// What a descriptor stands for. The numbers of transport protocols are 2 TCP, 3 UDP, 4 ICMP, 5 raw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DescriptorKind<'a> {
    /// A file of which only the path is known (before 2018).
    File {
        path: &'a [u8],
    },
    /// Flags of open(2), by the names of the table `file_flags`.
    OpenFile {
        path: &'a [u8],
        flags: u32,
        device: u32,
    },
    Directory {
        path: &'a [u8],
    },
    /// A socket with two ends: source and destination as the sensor saw them.
    Internet {
        source: (IpAddr, u16),
        destination: (IpAddr, u16),
        transport: u8,
    },
    Listening {
        address: (IpAddr, u16),
        transport: u8,
    },
    Unix {
        source: u64,
        destination: u64,
        path: &'a [u8],
    },
    /// Pipe, eventfd, signalfd, epoll, inotify, timerfd, netlink, bpf, userfaultfd, io_uring, memfd, pidfd and
    /// what is not known: by the number of the format, with its name.
    Other {
        kind: u8,
        name: &'a [u8],
    },
}

/// Numbers of the kinds of descriptors (libs, `scap_fd_type`).
pub mod descriptor_kind {
    pub const FILE: u8 = 1;
    pub const DIRECTORY: u8 = 2;
    pub const IPV4: u8 = 3;
    pub const IPV6: u8 = 4;
    pub const IPV4_LISTENING: u8 = 5;
    pub const IPV6_LISTENING: u8 = 6;
    pub const PIPE: u8 = 7;
    pub const UNIX: u8 = 8;
    pub const EVENT: u8 = 9;
    pub const UNSUPPORTED: u8 = 10;
    pub const SIGNAL: u8 = 11;
    pub const EVENT_POLL: u8 = 12;
    pub const INOTIFY: u8 = 13;
    pub const TIMER: u8 = 14;
    pub const NETLINK: u8 = 15;
    pub const OPEN_FILE: u8 = 16;
    pub const BPF: u8 = 17;
    pub const USERFAULT: u8 = 18;
    pub const IO_URING: u8 = 19;
    pub const MEMFD: u8 = 20;
    pub const PIDFD: u8 = 21;
}

impl<'a> Descriptor<'a> {
    /// `sized`: the entry's length was read, and `walk` ends with it.
    pub(crate) fn read(walk: &mut Walk<'a>, sized: bool) -> Option<Self> {
        use descriptor_kind as kind;
        let number = walk.i64()?;
        let inode = walk.u64()?;
        let code = walk.u8()?;
        let what = match code {
            kind::IPV4 | kind::IPV6 => {
                let mut address = || if code == kind::IPV4 { walk.ipv4() } else { walk.ipv6() };
                let (source, destination) = (address()?, address()?);
                let (source_port, destination_port) = (walk.u16()?, walk.u16()?);
                DescriptorKind::Internet {
                    source: (source, source_port),
                    destination: (destination, destination_port),
                    transport: walk.u8()?,
                }
            }
            kind::IPV4_LISTENING | kind::IPV6_LISTENING => {
                let address = if code == kind::IPV4_LISTENING { walk.ipv4()? } else { walk.ipv6()? };
                DescriptorKind::Listening { address: (address, walk.u16()?), transport: walk.u8()? }
            }
            kind::UNIX => {
                DescriptorKind::Unix { source: walk.u64()?, destination: walk.u64()?, path: walk.string()? }
            }
            kind::OPEN_FILE => {
                let flags = walk.u32()?;
                let path = walk.string()?;
                // The device came later, and only entries with a length can have it.
                let device = if sized { walk.u32().unwrap_or_default() } else { 0 };
                DescriptorKind::OpenFile { path, flags, device }
            }
            kind::FILE => DescriptorKind::File { path: walk.string()? },
            kind::DIRECTORY => DescriptorKind::Directory { path: walk.string()? },
            // Nothing follows (0), or a later format's own: its length steps over it, where there is one.
            0 | 22.. => DescriptorKind::Other { kind: code, name: b"" },
            kind => DescriptorKind::Other { kind, name: walk.string()? },
        };
        Some(Descriptor { number, inode, what })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        use descriptor_kind as kind;
        out.extend(self.number.to_le_bytes());
        out.extend(self.inode.to_le_bytes());
        match self.what {
            DescriptorKind::File { path } => {
                out.push(kind::FILE);
                string(out, path)?;
            }
            DescriptorKind::OpenFile { path, flags, device } => {
                out.push(kind::OPEN_FILE);
                out.extend(flags.to_le_bytes());
                string(out, path)?;
                out.extend(device.to_le_bytes());
            }
            DescriptorKind::Directory { path } => {
                out.push(kind::DIRECTORY);
                string(out, path)?;
            }
            DescriptorKind::Internet { source, destination, transport } => {
                let both_old = source.0.is_ipv4() && destination.0.is_ipv4();
                out.push(if both_old { kind::IPV4 } else { kind::IPV6 });
                address(out, source.0, both_old);
                address(out, destination.0, both_old);
                out.extend(source.1.to_le_bytes());
                out.extend(destination.1.to_le_bytes());
                out.push(transport);
            }
            DescriptorKind::Listening { address: (ip, port), transport } => {
                out.push(if ip.is_ipv4() { kind::IPV4_LISTENING } else { kind::IPV6_LISTENING });
                address(out, ip, ip.is_ipv4());
                out.extend(port.to_le_bytes());
                out.push(transport);
            }
            DescriptorKind::Unix { source, destination, path } => {
                out.push(kind::UNIX);
                out.extend(source.to_le_bytes());
                out.extend(destination.to_le_bytes());
                string(out, path)?;
            }
            DescriptorKind::Other { kind, name } => {
                out.push(kind);
                if (1..22).contains(&kind) {
                    string(out, name)?;
                }
            }
        }
        Some(())
    }
}

/// An address of a network interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    pub name: &'a [u8],
    pub address: IpAddr,
    pub netmask: IpAddr,
    pub broadcast: IpAddr,
    pub link_speed: u64,
}

impl<'a> Interface<'a> {
    /// `Err`: the type that is not known.
    pub(crate) fn read(walk: &mut Walk<'a>) -> Option<Result<Self, u16>> {
        let kind = walk.u16()?;
        let name_length = walk.u16()?;
        if !(1..=4).contains(&kind) {
            return Some(Err(kind));
        }
        let mut address = || if kind % 2 == 1 { walk.ipv4() } else { walk.ipv6() };
        let (address, netmask, broadcast) = (address()?, address()?, address()?);
        let link_speed = if kind <= 2 { walk.u64()? } else { 0 };
        let name = walk.take(name_length.into())?;
        Some(Ok(Interface { name, address, netmask, broadcast, link_speed }))
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        let old = self.address.is_ipv4() && self.netmask.is_ipv4() && self.broadcast.is_ipv4();
        out.extend((if old { 1u16 } else { 2 }).to_le_bytes());
        out.extend(u16::try_from(self.name.len()).ok()?.to_le_bytes());
        for ip in [self.address, self.netmask, self.broadcast] {
            address(out, ip, old);
        }
        out.extend(self.link_speed.to_le_bytes());
        out.extend(self.name);
        Some(())
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct User<'a> {
    pub uid: u32,
    pub gid: u32,
    pub name: &'a [u8],
    pub home: &'a [u8],
    pub shell: &'a [u8],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Group<'a> {
    pub gid: u32,
    pub name: &'a [u8],
}

/// An entry of a user list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Account<'a> {
    User(User<'a>),
    Group(Group<'a>),
}

impl<'a> Account<'a> {
    pub(crate) fn read(walk: &mut Walk<'a>) -> Option<Self> {
        Some(match walk.u8()? {
            0 => Account::User(User {
                uid: walk.u32()?,
                gid: walk.u32()?,
                name: walk.string()?,
                home: walk.string()?,
                shell: walk.string()?,
            }),
            _ => Account::Group(Group { gid: walk.u32()?, name: walk.string()? }),
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Option<()> {
        match self {
            Account::User(user) => {
                out.push(0);
                out.extend(user.uid.to_le_bytes());
                out.extend(user.gid.to_le_bytes());
                string(out, user.name)?;
                string(out, user.home)?;
                string(out, user.shell)
            }
            Account::Group(group) => {
                out.push(1);
                out.extend(group.gid.to_le_bytes());
                string(out, group.name)
            }
        }
    }
}

impl<'a> Machine<'a> {
    pub(crate) fn read(walk: &mut Walk<'a>) -> Option<Self> {
        let (processors, memory_bytes, highest_pid) = (walk.u32()?, walk.u64()?, walk.u64()?);
        let host_name = crate::event::until_zero(walk.take(128)?);
        Some(Machine { processors, memory_bytes, highest_pid, host_name })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend(self.processors.to_le_bytes());
        out.extend(self.memory_bytes.to_le_bytes());
        out.extend(self.highest_pid.to_le_bytes());
        let name = self.host_name.get(..127).unwrap_or(self.host_name);
        out.extend(name);
        out.resize(out.len() + 128 - name.len(), 0);
        // Four numbers that are kept for later.
        out.resize(out.len() + 4 * 8, 0);
    }
}

fn string(out: &mut Vec<u8>, bytes: &[u8]) -> Option<()> {
    out.extend(u16::try_from(bytes.len()).ok()?.to_le_bytes());
    out.extend(bytes);
    Some(())
}

/// `old`: as 4 bytes; otherwise as 16, where an IPv4 address is mapped.
fn address(out: &mut Vec<u8>, ip: IpAddr, old: bool) {
    match ip {
        IpAddr::V4(ip) if old => out.extend(ip.octets()),
        IpAddr::V4(ip) => out.extend(ip.to_ipv6_mapped().octets()),
        IpAddr::V6(ip) => out.extend(ip.octets()),
    }
}
