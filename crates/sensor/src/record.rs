//! Reads the records of the BPF programs (`bpf/record.h`): a head of fixed size, then attachments. Bytes come from the
//! ring buffers and go, as an [`Event`]'s parts, to the families. Every read is checked against the end.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::event::{
    Actor, ContainerKey, Credentials, Entry, File, FileId, Lane, Namespaces, Source, Task, Text,
};

/// Bytes of `struct head`.
pub(crate) const HEAD: usize = 8 + 8 * 6 + 8 * 2 + 8 * 2 + 8 * 2 + 8 + 8 + 8 + IDENTITY + 16 + 64;
/// Bytes of `struct identity`.
const IDENTITY: usize = 80 + 32;
const MOST_ATTACHMENTS: usize = 16;

/// `struct head`, as far as it is not the actor's.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub kind: u16,
    pub lane: Lane,
    pub entry: Entry,
    pub cpu: u32,
    pub time: u64,
    pub result: i64,
    pub fold: u64,
    pub fold_way: u64,
    pub flags: u32,
    pub arguments: [u64; 8],
    pub actor: Actor,
}

pub(crate) const FLAG_ENTERED: u32 = 4;

/// One attachment, its bytes where the record has them.
#[derive(Clone, Copy, Debug, Default)]
struct Attachment<'a> {
    kind: u16,
    index: u8,
    flags: u8,
    bytes: &'a [u8],
}

pub(crate) struct Record<'a> {
    pub head: Head,
    /// Inode number of the host's mount namespace.
    pub host_mount: u32,
    attachments: [Attachment<'a>; MOST_ATTACHMENTS],
}

const TEXT_USER: u16 = 1;
const TEXT_KERNEL: u16 = 2;
const PATH: u16 = 3;
const FILE: u16 = 4;
const TASK: u16 = 5;
const CREDENTIALS: u16 = 6;
const BLOCK: u16 = 7;
const SOCKET: u16 = 8;
const EXEC: u16 = 9;
const CGROUP: u16 = 11;

const INDEX_OBJECT: u8 = 4;
const INDEX_PROCESS: u8 = 8;
const INDEX_ABOVE_MOUNT: u8 = 16;

const FLAG_CUT: u8 = 1;

/// What a security hook noted stands at the index of the argument, plus this (`INDEX_NOTED`).
const NOTED: u8 = 16;

const FILE_UPPER: u32 = 1;
const FILE_NAMELESS: u32 = 2;

/// Takes numbers off the front, little endian as x86 writes them; zeros beyond the end.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (front, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        front
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        let front = self.take(N);
        if let Some(to) = bytes.get_mut(..front.len()) {
            to.copy_from_slice(front);
        }
        bytes
    }

    fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.number())
    }

    fn u16(&mut self) -> u16 {
        u16::from_le_bytes(self.number())
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.number())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.number())
    }
}

/// Major and minor of the kernel's `dev_t` (include/linux/kdev_t.h).
fn device(number: u32) -> (u32, u32) {
    (number >> 20, number & 0xf_ffff)
}

pub(crate) fn string(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A text of at most `bytes`, ended by the first 0.
fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// Names of a path, the deepest first, as a path from the root.
fn path_of(bytes: &[u8], cut: bool) -> String {
    let mut path = Vec::with_capacity(bytes.len() + 1);
    let mut names: Vec<&[u8]> = bytes.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
    // A tree that no mount holds ends at its own root, whose name is "/".
    if names.last().is_some_and(|name| *name == b"/") {
        names.pop();
    }
    if names.is_empty() && !cut {
        return "/".to_owned();
    }
    for name in names.iter().rev() {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    string(&path)
}

fn credentials(reader: &mut Reader<'_>) -> Credentials {
    let uid = reader.u32();
    let gid = reader.u32();
    let suid = reader.u32();
    let _sgid = reader.u32();
    let euid = reader.u32();
    let egid = reader.u32();
    let fsuid = reader.u32();
    let _fsgid = reader.u32();
    let inheritable = reader.u64();
    let permitted = reader.u64();
    let effective = reader.u64();
    let bounding = reader.u64();
    let ambient = reader.u64();
    let user_namespace = reader.u32();
    let no_new_privileges = reader.u8() != 0;
    let seccomp = reader.u8();
    reader.u16();
    Credentials {
        uid,
        euid,
        suid,
        fsuid,
        gid,
        egid,
        effective,
        permitted,
        inheritable,
        bounding,
        ambient,
        no_new_privileges,
        seccomp,
        user_namespace,
    }
}

fn namespaces(reader: &mut Reader<'_>) -> Namespaces {
    let user = reader.u32();
    let mount = reader.u32();
    let pid = reader.u32();
    let network = reader.u32();
    let ipc = reader.u32();
    let uts = reader.u32();
    let cgroup = reader.u32();
    reader.u32();
    Namespaces { user, mount, pid, network, ipc, uts, cgroup }
}

fn container(key: u64) -> Option<ContainerKey> {
    (key != 0).then_some(ContainerKey(key))
}

fn head(bytes: &[u8]) -> Option<(u32, Head)> {
    if bytes.len() < HEAD {
        return None;
    }
    let mut reader = Reader(bytes);
    let size = reader.u32();
    let kind = reader.u16();
    let lane = if reader.u8() == 0 { Lane::Rare } else { Lane::Bulk };
    let entry = reader.u8();
    let number = reader.u32();
    let cpu = reader.u32();
    let time = reader.u64();
    let result = reader.u64() as i64;
    let fold = reader.u64();
    let fold_way = reader.u64();
    let _count = reader.u32();
    let flags = reader.u32();
    let key = reader.u64();
    let cgroup = reader.u64();
    let (process, thread, start) = (reader.u32(), reader.u32(), reader.u64());
    let (parent_process, parent_thread, parent_start) = (reader.u32(), reader.u32(), reader.u64());
    let (process_inside, thread_inside) = (reader.u32(), reader.u32());
    let (login_uid, executable_device) = (reader.u32(), reader.u32());
    let executable_inode = reader.u64();
    let credentials = credentials(&mut reader);
    let namespaces = namespaces(&mut reader);
    let name = string(until_zero(reader.take(16)));
    let arguments = std::array::from_fn(|_| reader.u64());
    let entry = match entry {
        0 => Entry::SystemCall(number),
        1 => Entry::Compat(number),
        2 => Entry::IoUring(number as u8),
        3 => Entry::Kernel,
        _ => Entry::Before,
    };
    let actor = Actor {
        task: Task { process, thread, start },
        parent: Task { process: parent_process, thread: parent_thread, start: parent_start },
        process_inside,
        thread_inside,
        name,
        credentials,
        login_uid,
        namespaces,
        cgroup,
        container: container(key),
        executable: FileId { device: device(executable_device), inode: executable_inode },
        kernel_thread: flags & 1 != 0,
        io_worker: flags & 2 != 0,
    };
    Some((size, Head { kind, lane, entry, cpu, time, result, fold, fold_way, flags, arguments, actor }))
}

impl<'a> Record<'a> {
    /// The record that begins `bytes`, and how many of them it takes; None where they are none.
    pub(crate) fn read(bytes: &'a [u8], host_mount: u32) -> Option<(Record<'a>, usize)> {
        let (size, head) = head(bytes)?;
        let size = usize::try_from(size).ok()?;
        let mut rest = bytes.get(HEAD..size)?;
        let mut attachments = [Attachment::default(); MOST_ATTACHMENTS];
        for slot in &mut attachments {
            let mut reader = Reader(rest);
            if rest.len() < 8 {
                break;
            }
            let (kind, index, flags) = (reader.u16(), reader.u8(), reader.u8());
            let length = reader.u32() as usize;
            *slot = Attachment { kind, index, flags, bytes: reader.take(length) };
            rest = rest.get((8 + length).next_multiple_of(8)..).unwrap_or_default();
        }
        Some((Record { head, host_mount, attachments }, size))
    }

    fn find(&self, kind: u16, index: u8) -> Option<&Attachment<'a>> {
        self.attachments.iter().find(|attachment| attachment.kind == kind && attachment.index == index)
    }

    pub(crate) fn argument(&self, position: usize) -> u64 {
        self.head.arguments.get(position).copied().unwrap_or(0)
    }

    /// The argument as the 32 bits that calls of that type look at.
    pub(crate) fn word(&self, position: usize) -> u32 {
        self.argument(position) as u32
    }

    /// A text argument, by its place among the texts of the call; the kernel's own copy where a hook noted it.
    pub(crate) fn text(&self, index: u8) -> Text {
        if let Some(found) = self.find(TEXT_KERNEL, NOTED + index) {
            return Text {
                text: string(found.bytes),
                source: Source::Kernel,
                cut: found.flags & FLAG_CUT != 0,
            };
        }
        if let Some(found) = self.find(TEXT_USER, index) {
            return Text {
                text: string(found.bytes),
                source: Source::User,
                cut: found.flags & FLAG_CUT != 0,
            };
        }
        match self.find(TEXT_KERNEL, index) {
            Some(found) => {
                Text { text: string(found.bytes), source: Source::Kernel, cut: found.flags & FLAG_CUT != 0 }
            }
            None => Text { source: Source::User, ..Text::default() },
        }
    }

    /// A text argument that names a file, from the directory it counts from where it is relative.
    pub(crate) fn named(&self, index: u8) -> Text {
        if let Some(resolved) = self.path(NOTED + index) {
            return resolved;
        }
        let text = self.text(index);
        if text.text.starts_with('/') {
            return text;
        }
        match self.path(8 + index) {
            Some(directory) if text.text.is_empty() => directory,
            Some(directory) => Text {
                text: format!("{}/{}", directory.text.trim_end_matches('/'), text.text),
                source: Source::User,
                cut: text.cut || directory.cut,
            },
            None => text,
        }
    }

    /// A path that the kernel holds.
    pub(crate) fn path(&self, index: u8) -> Option<Text> {
        let found = self.find(PATH, index)?;
        let cut = found.flags & FLAG_CUT != 0;
        Some(Text { text: path_of(found.bytes, cut), source: Source::Kernel, cut })
    }

    pub(crate) fn cgroup_path(&self) -> Option<String> {
        let found = self.find(CGROUP, 0)?;
        Some(path_of(found.bytes, found.flags & FLAG_CUT != 0))
    }

    pub(crate) fn file(&self, index: u8) -> Option<File> {
        let found = self.find(FILE, index)?;
        let mut reader = Reader(found.bytes);
        let inode = reader.u64();
        let file_system = reader.u64();
        let number = reader.u32();
        let mode = reader.u32();
        let node = reader.u32();
        let links = reader.u32();
        let mount_namespace = reader.u32();
        let flags = reader.u32();
        let _open_flags = reader.u32();
        let mount = reader.u32();
        let within = reader.u32() as usize;
        reader.u32();
        let cut = found.flags & FLAG_CUT != 0;
        Some(File {
            path: Text { text: path_of(reader.0, cut), source: Source::Kernel, cut },
            path_in_file_system: self.path_in_file_system(
                reader.0.get(..within).unwrap_or_default(),
                cut,
                index,
            ),
            mount,
            process: self.task_at(INDEX_PROCESS + index).map(|task| task.0),
            id: FileId { device: device(number), inode },
            file_system,
            mode,
            device: device(node),
            links,
            upper_layer: flags & FILE_UPPER != 0,
            nameless: flags & FILE_NAMELESS != 0,
            mount_namespace,
        })
    }

    /// The names within the mount, the deepest first, and those from the root of the mount to that of its file system.
    fn path_in_file_system(&self, within: &[u8], cut: bool, index: u8) -> Text {
        let above = self.find(PATH, INDEX_ABOVE_MOUNT + index);
        let cut = cut || above.is_some_and(|above| above.flags & FLAG_CUT != 0);
        let names = [within, above.map_or(&[][..], |above| above.bytes)].concat();
        Text { text: path_of(&names, cut), source: Source::Kernel, cut }
    }

    /// What a hook of the kernel found for a call, where one has it.
    pub(crate) fn object(&self, index: u8) -> File {
        self.file(INDEX_OBJECT + index).unwrap_or_default()
    }

    /// The flags that a file was opened with, as the kernel keeps them.
    pub(crate) fn open_flags(&self) -> Option<u32> {
        let bytes = self.find(FILE, 0)?.bytes.get(40..44)?;
        Some(Reader(bytes).u32())
    }

    pub(crate) fn task(&self) -> Option<(Task, Option<ContainerKey>, u32)> {
        self.task_at(0)
    }

    fn task_at(&self, index: u8) -> Option<(Task, Option<ContainerKey>, u32)> {
        let mut reader = Reader(self.find(TASK, index)?.bytes);
        let (process, thread, start) = (reader.u32(), reader.u32(), reader.u64());
        let key = reader.u64();
        let inside = reader.u32();
        Some((Task { process, thread, start }, container(key), inside))
    }

    /// What the thread was last seen to be.
    pub(crate) fn before(&self) -> Option<(Credentials, Namespaces)> {
        let mut reader = Reader(self.find(CREDENTIALS, 0)?.bytes);
        let before = credentials(&mut reader);
        Some((before, namespaces(&mut reader)))
    }

    /// A block, the kernel's own copy where a hook noted it.
    pub(crate) fn block(&self, index: u8) -> Option<&'a [u8]> {
        self.find(BLOCK, NOTED + index).or_else(|| self.find(BLOCK, index)).map(|found| found.bytes)
    }

    /// A number of a block, at an offset.
    pub(crate) fn block_u32(&self, offset: usize) -> u32 {
        let bytes = self.block(0).and_then(|block| block.get(offset..)).unwrap_or_default();
        Reader(bytes).u32()
    }

    pub(crate) fn block_u64(&self, offset: usize) -> u64 {
        let bytes = self.block(0).and_then(|block| block.get(offset..)).unwrap_or_default();
        Reader(bytes).u64()
    }

    /// Texts of a block, each ended by 0; one that was cut at the end is left as far as it came.
    pub(crate) fn block_texts(&self, index: u8) -> Vec<String> {
        let Some(bytes) = self.block(index) else { return Vec::new() };
        let bytes = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        if bytes.is_empty() {
            return Vec::new();
        }
        bytes.split(|byte| *byte == 0).map(string).collect()
    }

    pub(crate) fn execution(&self) -> Option<Execution> {
        let mut reader = Reader(self.find(EXEC, 0)?.bytes);
        let (major, minor) = (reader.u32(), reader.u32());
        Some(Execution {
            terminal: (major != 0).then_some((major, minor)),
            session: reader.u32(),
            group: reader.u32(),
            directory_mount_namespace: reader.u32(),
        })
    }

    pub(crate) fn socket(&self) -> Option<Socket<'a>> {
        let mut reader = Reader(self.find(SOCKET, 0)?.bytes);
        let (family, kind, protocol, peer_process) = (reader.u32(), reader.u32(), reader.u32(), reader.u32());
        let peer_start = reader.u64();
        let remote: [u8; 16] = reader.number();
        let local: [u8; 16] = reader.number();
        let (remote_port, local_port) = (reader.u16(), reader.u16());
        reader.u32();
        let peer_inode = reader.u64();
        let peer_device = reader.u32();
        let length = reader.u32() as usize;
        let peer_address = reader.take(length);
        Some(Socket {
            family,
            kind,
            protocol,
            peer: (peer_process != 0).then_some(Task {
                process: peer_process,
                thread: peer_process,
                start: peer_start,
            }),
            remote: internet(family, remote).map(|address| (address, remote_port)),
            local: internet(family, local).map(|address| (address, local_port)),
            peer_file: FileId { device: device(peer_device), inode: peer_inode },
            peer_address,
        })
    }

    /// The call's name, from its number.
    pub(crate) fn call_name(&self) -> String {
        let name = match self.head.entry {
            Entry::SystemCall(number) => crate::numbers::name_of(number, false),
            Entry::Compat(number) => crate::numbers::name_of(number, true),
            _ => None,
        };
        name.unwrap_or_default().to_owned()
    }
}

pub(crate) struct Execution {
    pub terminal: Option<(u32, u32)>,
    pub session: u32,
    pub group: u32,
    pub directory_mount_namespace: u32,
}

pub(crate) struct Socket<'a> {
    pub family: u32,
    pub kind: u32,
    pub protocol: u32,
    pub peer: Option<Task>,
    pub remote: Option<(IpAddr, u16)>,
    pub local: Option<(IpAddr, u16)>,
    pub peer_file: FileId,
    /// `sun_path` of the socket at the other end.
    pub peer_address: &'a [u8],
}

fn internet(family: u32, bytes: [u8; 16]) -> Option<IpAddr> {
    let [a, b, c, d, ..] = bytes;
    match family {
        2 => Some(IpAddr::V4(Ipv4Addr::new(a, b, c, d))),
        10 => Some(IpAddr::V6(Ipv6Addr::from(bytes))),
        _ => None,
    }
}
