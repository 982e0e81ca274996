//! The parameters of a captured event, from a live one: asked for by name, written in the size that the table says.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use capture::event::{Address as WrittenAddress, Tuple};
use capture::table::{EventType, Kind, Parameter, names};
use sensor::event::{Address, Event, File, Text, What};

/// A parameter's value.
enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Bytes(Vec<u8>),
    Address(&'a Address),
    /// A connection to this address, from that.
    Tuple(&'a Address, Option<&'a Address>),
}

/// The current directory in place of a descriptor.
const AT_FDCWD: i64 = -100;
/// A capture tells of a text no more than this.
const MOST_TEXT: usize = 4096;

/// Writes the lengths and the parameters of an event. What the live event does not tell has no bytes.
///
/// `number`: of a call that captures only name.
pub(super) fn write(body: &mut Vec<u8>, kind: &EventType, event: &Event, number: Option<u16>) -> Option<()> {
    body.clear();
    body.resize(kind.parameters.len() * 2, 0);
    for (place, parameter) in kind.parameters.iter().enumerate() {
        let start = body.len();
        let value = match (number, parameter.kind) {
            (Some(number), Kind::Call) => Some(Value::Number(number.into())),
            _ => value(event, kind, parameter),
        };
        if let Some(value) = value {
            put(body, parameter, &value);
        }
        let length = u16::try_from(body.len() - start).ok()?;
        body.get_mut(place * 2..place * 2 + 2)?.copy_from_slice(&length.to_le_bytes());
    }
    Some(())
}

fn put(body: &mut Vec<u8>, parameter: &Parameter, value: &Value<'_>) {
    match value {
        Value::Number(number) => {
            let bytes = number.to_le_bytes();
            body.extend_from_slice(bytes.get(..usize::from(parameter.size)).unwrap_or_default());
        }
        Value::Text(text) => {
            let bytes = text.as_bytes();
            body.extend_from_slice(bytes.get(..MOST_TEXT).unwrap_or(bytes));
            body.push(0);
        }
        Value::Bytes(bytes) => body.extend_from_slice(bytes.get(..MOST_TEXT).unwrap_or(bytes)),
        Value::Address(address) => written_address(address).write(body),
        Value::Tuple(server, client) => written_tuple(server, *client).write(body),
    }
}

fn written_address(address: &Address) -> WrittenAddress<'_> {
    match address {
        Address::Internet { address, port } => WrittenAddress::Internet(*address, *port),
        Address::Unix { path } => WrittenAddress::Unix(path.text.as_bytes()),
        other => WrittenAddress::Other(family(other)),
    }
}

fn written_tuple<'a>(server: &'a Address, client: Option<&'a Address>) -> Tuple<'a> {
    match server {
        Address::Internet { address, port } => {
            let source = match client {
                Some(Address::Internet { address, port }) => (*address, *port),
                _ => (unspecified(*address), 0),
            };
            Tuple::Internet { source, destination: (*address, *port) }
        }
        Address::Unix { path } => Tuple::Unix { source: 0, destination: 0, path: path.text.as_bytes() },
        other => Tuple::Other(family(other)),
    }
}

/// Numbers of families (`include/linux/socket.h`).
fn family(address: &Address) -> u8 {
    match address {
        Address::Internet { address, .. } if address.is_ipv4() => 2,
        Address::Internet { .. } => 10,
        Address::Unix { .. } => 1,
        Address::Netlink { .. } => 16,
        Address::Packet { .. } => 17,
        Address::Algorithm { .. } => 38,
        Address::Vsock { .. } => 40,
        Address::Other(family) => u8::try_from(*family).unwrap_or_default(),
    }
}

pub(super) fn unspecified(like: IpAddr) -> IpAddr {
    if like.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() }
}

/// Strings as captures list them: each ends with a zero byte.
pub(super) fn listed<'a>(strings: impl Iterator<Item = &'a String>) -> Vec<u8> {
    let mut list = Vec::new();
    for string in strings {
        list.extend_from_slice(string.as_bytes());
        list.push(0);
    }
    list
}

/// As the kernel's `new_encode_dev`.
pub(super) fn device((major, minor): (u32, u32)) -> u32 {
    minor & 0xFF | major << 8 | (minor & !0xFF) << 12
}

/// The kernel's path, or else what was asked for.
fn path<'a>(file: &'a File, asked: &'a Text) -> Value<'a> {
    Value::Text(if file.path.text.is_empty() { &asked.text } else { &file.path.text })
}

fn value<'a>(event: &'a Event, kind: &EventType, parameter: &Parameter) -> Option<Value<'a>> {
    let number = |number: i64| Some(Value::Number(number));
    match parameter.name {
        "res" => return number(event.result),
        "fd" if !kind.enter && kind.marks.creates_descriptor => return number(event.result),
        "dirfd" | "olddir" | "newdir" | "olddirfd" | "newdirfd" | "linkdirfd" => return number(AT_FDCWD),
        _ => {}
    }
    about_actor(event, parameter.name).or_else(|| about_what(event, kind, parameter))
}

/// What is the same for all that tell of a process: execve(2), clone(2).
fn about_actor<'a>(event: &'a Event, name: &str) -> Option<Value<'a>> {
    let actor = &event.actor;
    if !matches!(event.what, What::Execve { .. } | What::Fork { .. } | What::CloneNamespaces { .. }) {
        return None;
    }
    Some(match name {
        "tid" => Value::Number(actor.task.thread.into()),
        "pid" => Value::Number(actor.task.process.into()),
        "ptid" => Value::Number(actor.parent.process.into()),
        "vtid" => Value::Number(actor.thread_inside.into()),
        "vpid" => Value::Number(actor.process_inside.into()),
        "comm" => Value::Text(&actor.name),
        "uid" => Value::Number(actor.credentials.euid.into()),
        "gid" => Value::Number(actor.credentials.egid.into()),
        "loginuid" => Value::Number(actor.login_uid.into()),
        "cap_inheritable" => Value::Number(actor.credentials.inheritable as i64),
        "cap_permitted" => Value::Number(actor.credentials.permitted as i64),
        "cap_effective" => Value::Number(actor.credentials.effective as i64),
        _ => return None,
    })
}

fn about_what<'a>(event: &'a Event, kind: &EventType, parameter: &Parameter) -> Option<Value<'a>> {
    let name = parameter.name;
    let number = |number: u64| Some(Value::Number(number as i64));
    let text = |text: &'a Text| Some(Value::Text(&text.text));
    match (&event.what, name) {
        (What::Execve { file, arguments, .. }, "exe") => {
            Some(Value::Text(arguments.first().unwrap_or(&file.path.text)))
        }
        (What::Execve { arguments, .. }, "args") => Some(Value::Bytes(listed(arguments.iter().skip(1)))),
        (What::Execve { environment, .. }, "env") => Some(Value::Bytes(listed(environment.iter()))),
        (What::Execve { directory, .. }, "cwd") => text(directory),
        (What::Execve { asked, .. }, "filename" | "pathname") => text(asked),
        (What::Execve { file, .. }, "trusted_exepath") => text(&file.path),
        (What::Execve { file, .. }, "exe_ino") => number(file.id.inode),
        (What::Execve { group, .. }, "pgid") => number((*group).into()),
        (What::Execve { terminal, .. }, "tty") => number(terminal.map_or(0, device).into()),
        // Of the table `execve_flags`: upper layer, memory without a file.
        (What::Execve { file, .. }, "flags") if !kind.enter => {
            number(u64::from(file.upper_layer) * 2 + u64::from(file.nameless) * 4)
        }
        (What::Fork { flags, .. } | What::CloneNamespaces { flags }, "flags") => number(clone_flags(*flags)),
        (What::Unshare { flags, .. }, "flags") => number(clone_flags(*flags)),
        (What::Setns { kind, .. }, "nstype") => number(clone_flags((*kind).into())),
        (What::Exit { status, .. }, "status") => Some(Value::Number((i64::from(*status) & 0xFF) << 8)),
        (What::Exit { status, .. }, "ret") => Some(Value::Number((*status).into())),
        (What::Exit { signal, .. } | What::Kill { signal, .. }, "sig") => {
            Some(Value::Number((*signal).into()))
        }
        (
            What::Kill { target, .. } | What::Ptrace { target, .. } | What::OtherProcess { target, .. },
            "pid",
        ) => number(target.process.into()),
        (What::Kill { target, .. }, "tid") => number(target.thread.into()),
        (What::Ptrace { request, .. }, "request") => number(ptrace_request(*request).into()),
        (What::MemfdCreate { name }, "name") => text(name),
        (What::Chroot { path: given, file } | What::Chdir { path: given, file }, "path") => {
            Some(path(file, given))
        }
        (What::Setuid { call, ids }, name) => set_id(call, ids, name),
        (What::Capset { after, .. }, "cap_inheritable") => number(after.inheritable),
        (What::Capset { after, .. }, "cap_permitted") => number(after.permitted),
        (What::Capset { after, .. }, "cap_effective") => number(after.effective),
        (What::Prctl { option, .. }, "option") => number((*option).into()),
        (What::Prctl { argument, .. }, "arg2_int") => number(*argument),
        (What::Mount { source, .. }, "dev") => text(source),
        (What::Mount { target, file, .. }, "dir") => Some(path(file, target)),
        (What::Mount { file_system, .. }, "type") => text(file_system),
        (What::Mount { flags, .. } | What::Umount { flags, .. }, "flags") => number(*flags),
        (What::Umount { target, file, .. }, "name") => Some(path(file, target)),
        (What::Fsconfig { command, .. }, "cmd") => number((*command).into()),
        (What::Fsconfig { key, .. }, "key") => text(key),
        (What::Fsconfig { value, .. }, "value_charbuf") => text(value),
        (What::Open { file, asked, .. }, "name") => Some(path(file, asked)),
        (What::Open { file, flags, created, .. }, "flags") => {
            number(open_flags(*flags, *created, file.upper_layer).into())
        }
        // Only a call that may make a file has a mode.
        (What::Open { file, flags, .. }, "mode") => {
            number(if flags & O_CREAT != 0 { file.mode & 0o7777 } else { 0 }.into())
        }
        (What::Open { resolve, .. }, "resolve") => number(*resolve),
        (What::Open { file, .. } | What::OpenByHandle { file, .. }, "dev") => {
            number(device(file.id.device).into())
        }
        (What::Open { file, .. } | What::OpenByHandle { file, .. }, "ino") => number(file.id.inode),
        (What::OpenByHandle { file, .. }, "path") => text(&file.path),
        (What::OpenByHandle { file, flags }, "flags") => {
            number(open_flags(*flags, false, file.upper_layer).into())
        }
        (What::Close { descriptor }, "fd") => Some(Value::Number((*descriptor).into())),
        (What::Rename { from, .. } | What::Link { from, .. }, "oldpath") => text(from),
        (What::Rename { to, .. } | What::Link { to, .. }, "newpath") => text(to),
        (What::Rename { flags, .. }, "flags") => number(*flags),
        (What::Symlink { target, .. }, "target") => text(target),
        (What::Symlink { path, .. }, "linkpath") => text(path),
        (What::Unlink { path, .. }, "path" | "name") => text(path),
        // AT_REMOVEDIR.
        (What::Unlink { directory, .. }, "flags") => number(u64::from(*directory) * 0x200),
        (What::Mkdir { path, .. } | What::Mknod { path, .. }, "path") => text(path),
        (What::Mkdir { mode, .. } | What::Mknod { mode, .. }, "mode") => number((*mode).into()),
        (What::Mknod { device: numbers, .. }, "dev") => number(device(*numbers).into()),
        (What::Chmod { file, .. }, "filename") => text(&file.path),
        (What::Chmod { mode, .. }, "mode") => number((mode & 0o7777).into()),
        (What::Chown { file, .. }, "path" | "pathname") => text(&file.path),
        (What::Chown { uid, .. }, "uid") => number((*uid).into()),
        (What::Chown { gid, .. }, "gid") => number((*gid).into()),
        (What::Ioctl { command, .. }, "request") => number((*command).into()),
        (What::Dup { from, .. }, "fd" | "oldfd") => Some(Value::Number((*from).into())),
        (What::Dup { to, .. }, "newfd") => Some(Value::Number((*to).into())),
        (What::Socket { family, .. }, "domain") => number((*family).into()),
        (What::Socket { kind, .. }, "type") => number((*kind).into()),
        (What::Socket { protocol, .. }, "proto") => number((*protocol).into()),
        (What::Connect { address, .. } | What::Bind { address, .. }, "addr") => Some(Value::Address(address)),
        (What::Connect { address, .. }, "tuple") => Some(Value::Tuple(address, None)),
        (What::Accept { address, local }, "tuple") => Some(Value::Tuple(local.as_ref()?, address.as_ref())),
        (What::Send { address, .. } | What::Receive { address, .. }, "tuple") => {
            Some(Value::Tuple(address.as_ref()?, None))
        }
        (What::Send { length, .. } | What::Receive { length, .. }, "size") => number(*length),
        (What::Module { name, .. }, "name") => text(name),
        (What::Bpf { command, .. }, "cmd") => number((*command).into()),
        (What::Userfaultfd { flags }, "flags") => number(open_flags(*flags, false, false).into()),
        (What::IoUringSetup { entries, .. }, "entries") => number((*entries).into()),
        (What::IoUringSetup { flags, .. }, "flags") => number((*flags).into()),
        (What::IoUringRequest { path, .. }, "name" | "path" | "newpath" | "linkpath") => text(path.as_ref()?),
        (What::IoUringRequest { address, .. }, "tuple") => Some(Value::Tuple(address.as_ref()?, None)),
        (What::IoUringRequest { address, .. }, "addr") => Some(Value::Address(address.as_ref()?)),
        (What::IoUringRequest { flags, .. }, "flags") => number(open_flags(*flags, false, false).into()),
        _ => None,
    }
}

/// setuid(2) and its kin: real, effective, saved.
fn set_id<'a>(call: &str, ids: &[u32; 3], name: &str) -> Option<Value<'a>> {
    let place = match name {
        "uid" | "gid" | "ruid" | "rgid" => 0,
        "euid" | "egid" => 1,
        "suid" | "sgid" if call.starts_with("setres") => 2,
        _ => return None,
    };
    ids.get(place).map(|id| Value::Number((*id).into()))
}

/// Of the kernel (`include/uapi/asm-generic/fcntl.h`; x86 has no others).
const O_CREAT: u64 = 0o100;

/// The kernel's flags of open(2) in the numbers of the table `file_flags`.
pub(super) fn open_flags(flags: u64, created: bool, upper_layer: bool) -> u32 {
    let access = match flags & 3 {
        0 => 1,
        1 => 2,
        _ => 3,
    };
    let mut written = OPEN_FLAGS
        .iter()
        .filter(|(kernel, _)| flags & kernel == *kernel)
        .fold(access, |written, (_, capture)| written | capture);
    if created {
        written |= 16384;
    }
    if upper_layer {
        written |= 32768;
    }
    written
}

/// The kernel's bits, and the table's.
const OPEN_FLAGS: &[(u64, u32)] = &[
    (O_CREAT, 4),
    (0o2_000, 8),
    (0o10_000, 16),
    (0o200, 32),
    (0o4_000, 64),
    (0o4_010_000, 128),
    (0o1_000, 256),
    (0o40_000, 512),
    (0o200_000, 1024),
    (0o100_000, 2048),
    (0o2_000_000, 4096),
    (0o20_200_000, 8192),
];

/// The kernel's flags of clone(2) (`include/uapi/linux/sched.h`) in the numbers of the table `clone_flags`.
pub(super) fn clone_flags(flags: u64) -> u64 {
    CLONE_FLAGS
        .iter()
        .filter(|(kernel, _)| flags & kernel != 0)
        .fold(0, |written, (_, capture)| written | capture)
}

const CLONE_FLAGS: &[(u64, u64)] = &[
    (0x100, 32768),
    (0x200, 2),
    (0x400, 1),
    (0x800, 2048),
    (0x2000, 1024),
    (0x4000, 1 << 27),
    (0x8000, 256),
    (0x1_0000, 8192),
    (0x2_0000, 32),
    (0x4_0000, 4096),
    (0x8_0000, 1 << 25),
    (0x10_0000, 512),
    (0x20_0000, 1 << 23),
    (0x80_0000, 16384),
    (0x100_0000, 1 << 24),
    (0x200_0000, 1 << 28),
    (0x400_0000, 128),
    (0x800_0000, 8),
    (0x1000_0000, 1 << 20),
    (0x2000_0000, 64),
    (0x4000_0000, 16),
    (0x8000_0000, 4),
];

/// The kernel's request of ptrace(2) in the numbers of the table `ptrace_requests`; 0 is unknown there.
fn ptrace_request(request: u64) -> u32 {
    let name = match request {
        0 => "PTRACE_TRACEME",
        1 => "PTRACE_PEEKTEXT",
        2 => "PTRACE_PEEKDATA",
        3 => "PTRACE_PEEKUSR",
        4 => "PTRACE_POKETEXT",
        5 => "PTRACE_POKEDATA",
        6 => "PTRACE_POKEUSR",
        7 => "PTRACE_CONT",
        8 => "PTRACE_KILL",
        9 => "PTRACE_SINGLESTEP",
        12 => "PTRACE_GETREGS",
        13 => "PTRACE_SETREGS",
        14 => "PTRACE_GETFPREGS",
        15 => "PTRACE_SETFPREGS",
        16 => "PTRACE_ATTACH",
        17 => "PTRACE_DETACH",
        24 => "PTRACE_SYSCALL",
        0x4200 => "PTRACE_SETOPTIONS",
        0x4201 => "PTRACE_GETEVENTMSG",
        0x4202 => "PTRACE_GETSIGINFO",
        0x4203 => "PTRACE_SETSIGINFO",
        0x4204 => "PTRACE_GETREGSET",
        0x4205 => "PTRACE_SETREGSET",
        0x4206 => "PTRACE_SEIZE",
        0x4207 => "PTRACE_INTERRUPT",
        0x4208 => "PTRACE_LISTEN",
        0x4209 => "PTRACE_PEEKSIGINFO",
        0x420A => "PTRACE_GETSIGMASK",
        0x420B => "PTRACE_SETSIGMASK",
        _ => return 0,
    };
    let requests = names("ptrace_requests").unwrap_or_default();
    requests.iter().find(|known| known.name == name).map_or(0, |known| known.value)
}
