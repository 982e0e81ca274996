//! `fd.*`, `fs.path.*`, `fdlist.*`, `syslog.*`: what it was done to.

use std::net::IpAddr;

use capture::list::descriptor_kind as kind;
use rules::{FieldId, Network, Value};

use crate::state::descriptor::{Socket, transport};
use crate::state::{Descriptor, Role, path};

use super::{View, flag, made, render};

impl View<'_> {
    pub(super) fn descriptor_field(&self, id: FieldId) -> Option<Value<'_>> {
        use FieldId as F;
        let marks = &self.event.kind.marks;
        if !(marks.creates_descriptor || marks.uses_descriptor || marks.destroys_descriptor) {
            return None;
        }
        if id == F::FdNum {
            // Of live events the number is not always told.
            let told = self.applied.descriptor >= 0 || self.begun.is_none();
            return told.then_some(Value::Signed(self.applied.descriptor));
        }
        // A call that failed has no descriptor: what it was about is said by its arguments.
        let Some(found) = self.descriptor() else { return self.without_descriptor(id) };
        let failed_connect =
            self.event.kind.name == "connect" && self.event.result().is_some_and(|result| result < 0);
        if failed_connect && !self.applied.name_changed && matches!(id, F::FdName | F::FdContainername) {
            return self.without_descriptor(id);
        }
        match id {
            F::FdType => render::type_name(found.kind).map(Value::text),
            F::FdTypes => {
                let table = self.state.descriptors(self.thread()?)?;
                let mut names: Vec<&str> =
                    table.iter().filter_map(|(_, f)| render::type_name(f.kind)).collect();
                names.sort_unstable();
                names.dedup();
                Some(Value::List(names.into_iter().map(Value::text).collect()))
            }
            F::FdTypechar => made([render::type_character(found.kind)]),
            F::FdName => Some(Value::bytes(&found.name)),
            F::FdNameraw => match &found.raw {
                Some(raw) => made(single_slashes(raw)),
                None => Some(Value::bytes(&found.name)),
            },
            F::FdDirectory => directory(found),
            F::FdFilename => file_name(found),
            F::FdContainername => made([self.place().as_bytes(), b":", &found.name].concat()),
            F::FdContainerdirectory => match directory(found)? {
                Value::Text(directory) => made([self.place().as_bytes(), b":", &directory].concat()),
                _ => None,
            },
            F::FdUid => made(format!("{}{}", self.event.thread, self.applied.descriptor)),
            F::FdNameChanged => flag(self.applied.name_changed),
            F::FdDev => Some(Value::Unsigned(found.device.into())),
            F::FdDevMajor => Some(Value::Unsigned((found.device >> 8 & 0xFFF).into())),
            F::FdDevMinor => {
                Some(Value::Unsigned((found.device & 0xFF | found.device >> 12 & 0xFFF00).into()))
            }
            F::FdIno => Some(Value::Signed(found.inode as i64)),
            // Of the table `file_flags`.
            F::FdIsUpperLayer => flag(found.flags & 32768 != 0),
            F::FdIsLowerLayer => flag(found.flags & 65536 != 0),
            F::FdSockfamily if found.is_internet() => Some(Value::text("ip")),
            F::FdSockfamily if found.kind == kind::UNIX => Some(Value::text("unix")),
            F::FdConnected => flag(found.socket.as_ref().is_some_and(|socket| socket.connected)),
            F::FdIsServer => flag(match found.kind {
                kind::IPV4_LISTENING | kind::IPV6_LISTENING => true,
                kind::IPV4 | kind::IPV6 => found.socket.as_ref().is_some_and(|socket| {
                    let address = socket.destination.0;
                    !address.is_unspecified() && self.state.is_local(address)
                }),
                _ => false,
            }),
            _ => self.socket_field(id, found),
        }
    }

    fn socket_field(&self, id: FieldId, found: &Descriptor) -> Option<Value<'_>> {
        use FieldId as F;
        if !found.is_internet() {
            return None;
        }
        let socket = found.socket.as_deref()?;
        let listening = matches!(found.kind, kind::IPV4_LISTENING | kind::IPV6_LISTENING);
        if id == F::FdL4proto {
            return transport_name(socket.transport).map(Value::text);
        }
        let (local, remote) = match self.state.is_local(socket.source.0) {
            true => (socket.source, socket.destination),
            false => (socket.destination, socket.source),
        };
        let end = match id {
            F::FdSip | F::FdSnet | F::FdSport | F::FdSproto => socket.destination,
            // Only a connection has two ends.
            _ if listening => return None,
            F::FdCip | F::FdCnet | F::FdCport | F::FdCproto => socket.source,
            F::FdLip | F::FdLnet | F::FdLport | F::FdLproto => local,
            F::FdRip | F::FdRnet | F::FdRport | F::FdRproto => remote,
            _ => return None,
        };
        if socket.role == Role::NotKnown {
            return None;
        }
        match id {
            F::FdSip | F::FdCip | F::FdLip | F::FdRip => Some(Value::Address(end.0)),
            F::FdSnet | F::FdCnet | F::FdLnet | F::FdRnet => Some(Value::Network(host(end.0))),
            F::FdSport | F::FdCport | F::FdLport | F::FdRport => Some(Value::Unsigned(end.1.into())),
            _ => made(service(end.1, socket)),
        }
    }

    /// `fd.ip`, `fd.port`, `fd.net`, `fd.proto`: either end.
    pub(super) fn either_end(&self, id: FieldId, found: &mut dyn FnMut(&Value<'_>) -> bool) -> bool {
        let Some(descriptor) = self.descriptor().filter(|descriptor| descriptor.is_internet()) else {
            return false;
        };
        let Some(socket) = descriptor.socket.as_deref() else { return false };
        let listening = matches!(descriptor.kind, kind::IPV4_LISTENING | kind::IPV6_LISTENING);
        let ends = if listening { &[socket.destination][..] } else { &[socket.source, socket.destination] };
        ends.iter().any(|(address, port)| {
            found(&match id {
                FieldId::FdIp => Value::Address(*address),
                FieldId::FdNet => Value::Network(host(*address)),
                FieldId::FdPort => Value::Unsigned((*port).into()),
                _ => Value::Text(service(*port, socket).into_bytes().into()),
            })
        })
    }

    /// What the arguments of a call say of a descriptor that is not there.
    fn without_descriptor(&self, id: FieldId) -> Option<Value<'_>> {
        use FieldId as F;
        match id {
            F::FdTypechar => made([self.expected_type()?]),
            F::FdName => made(self.named_by_call()?),
            F::FdNameraw => {
                let given = self.text("name").or_else(|| self.text("path"))?;
                self.opens().then(|| single_slashes(given)).and_then(made)
            }
            F::FdDirectory | F::FdFilename if self.opens() => {
                let descriptor = Descriptor::new(kind::OPEN_FILE, self.named_by_call()?);
                let answer =
                    if id == F::FdDirectory { directory(&descriptor) } else { file_name(&descriptor) };
                match answer? {
                    Value::Text(text) => made(text.into_owned()),
                    _ => None,
                }
            }
            F::FdContainername => made([self.place().as_bytes(), b":", &self.named_by_call()?].concat()),
            F::FdUid => made(format!("{}{}", self.event.thread, self.applied.descriptor)),
            _ => None,
        }
    }

    fn opens(&self) -> bool {
        matches!(self.event.kind.name, "open" | "openat" | "openat2" | "creat" | "open_by_handle_at")
    }

    fn expected_type(&self) -> Option<u8> {
        Some(match self.event.kind.name {
            _ if self.opens() => b'f',
            "socket" | "accept" | "accept4" | "connect" => match self.number("domain") {
                Some(1) => b'u',
                Some(10) => b'6',
                _ => b'4',
            },
            "pipe" | "pipe2" => b'p',
            "eventfd" | "eventfd2" => b'e',
            "signalfd" | "signalfd4" => b's',
            "timerfd_create" => b't',
            "inotify_init" | "inotify_init1" => b'i',
            _ => return None,
        })
    }

    fn named_by_call(&self) -> Option<Vec<u8>> {
        if self.opens() && !self.event.kind.enter {
            let given = self.text("name").or_else(|| self.text("path")).filter(|given| *given != b"<NA>")?;
            return Some(self.state.resolve(self.applied.thread?, self.number("dirfd"), given));
        }
        if self.event.kind.name == "connect" && !self.event.kind.enter {
            let (event, place) = self.parameter("tuple")?;
            if let Some(tuple) = event.tuple(place) {
                return Some(render::tuple(tuple));
            }
            let (event, place) = self.parameter("addr")?;
            return event.address(place).map(render::address);
        }
        None
    }

    fn place(&self) -> String {
        self.container_id().map_or_else(String::new, std::borrow::Cow::into_owned)
    }

    /// `fs.path.*` and `fdlist.*`.
    pub(super) fn path_field(&self, id: FieldId) -> Option<Value<'_>> {
        use FieldId as F;
        match id {
            F::FsPathName | F::FsPathNameraw => self.path_of(Which::Only, id == F::FsPathNameraw),
            F::FsPathSource | F::FsPathSourceraw => self.path_of(Which::Source, id == F::FsPathSourceraw),
            F::FsPathTarget | F::FsPathTargetraw => self.path_of(Which::Target, id == F::FsPathTargetraw),
            _ => self.list_field(id),
        }
    }

    fn path_of(&self, which: Which, raw: bool) -> Option<Value<'_>> {
        // Only calls that succeeded have moved anything (libs, `sinsp_filtercheck_fspath.cpp`).
        if self.event.kind.enter {
            return None;
        }
        let (directory, name) = paths(self.event.kind.name, which)?;
        let given = self.text(name)?;
        if raw {
            return Some(Value::bytes(given));
        }
        if given.starts_with(b"/") {
            return made(path::join(b"", given));
        }
        let directory = directory.and_then(|directory| self.number(directory));
        made(self.state.resolve(self.applied.thread?, directory, given))
    }

    fn list_field(&self, id: FieldId) -> Option<Value<'_>> {
        use FieldId as F;
        let (event, place) = self.parameter("fds")?;
        let table = self.state.descriptors(self.thread()?)?;
        let mut values = Vec::new();
        for (number, _) in render::listed(event.order, event.raw(place)?) {
            let found = table.get(number);
            let socket = found.and_then(|found| found.socket.as_deref());
            let text = match id {
                F::FdlistNums => Some(number.to_string().into_bytes()),
                F::FdlistNames => found.map(|found| found.name.to_vec()),
                F::FdlistCips => socket.map(|socket| socket.source.0.to_string().into_bytes()),
                F::FdlistSips => socket.map(|socket| socket.destination.0.to_string().into_bytes()),
                F::FdlistCports => socket.map(|socket| socket.source.1.to_string().into_bytes()),
                F::FdlistSports => socket.map(|socket| socket.destination.1.to_string().into_bytes()),
                _ => None,
            };
            values.extend(text.map(|text| Value::Text(text.into())));
        }
        Some(Value::List(values.into()))
    }

    /// `syslog.*`: `<13>text` (RFC 3164).
    pub(super) fn log_field(&self, id: FieldId) -> Option<Value<'_>> {
        use FieldId as F;
        let (priority, message) = {
            let logged = self.logged()?.strip_prefix(b"<")?;
            let end = logged.iter().position(|byte| *byte == b'>')?;
            let (number, message) = logged.split_at_checked(end)?;
            (std::str::from_utf8(number).ok()?.parse::<u64>().ok()?, message.get(1..)?)
        };
        let (facility, severity) = (priority >> 3, priority & 7);
        let name = |names: &[&'static str], number: u64| {
            names.get(usize::try_from(number).ok()?).map(|name| Value::text(name))
        };
        match id {
            F::SyslogFacility => Some(Value::Unsigned(facility)),
            F::SyslogFacilityStr => name(&FACILITIES, facility),
            F::SyslogSeverity => Some(Value::Unsigned(severity)),
            F::SyslogSeverityStr => name(&SEVERITIES, severity),
            _ => made(message.to_vec()),
        }
    }
}

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "clock", "authpriv", "ftp",
    "ntp", "logaudit", "logalert", "cron", "local0", "local1", "local2", "local3", "local4", "local5",
    "local6", "local7",
];
const SEVERITIES: [&str; 8] = ["emerg", "alert", "crit", "err", "warn", "notice", "info", "debug"];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Which {
    Only,
    Source,
    Target,
}

/// The parameters that hold a path and its directory.
fn paths(call: &str, which: Which) -> Option<(Option<&'static str>, &'static str)> {
    Some(match (call, which) {
        ("mkdir" | "rmdir" | "unlink" | "stat" | "lstat" | "stat64" | "lstat64" | "mknod", Which::Only) => {
            (None, "path")
        }
        ("chown" | "lchown", Which::Only) => (None, "path"),
        ("chmod", Which::Only) => (None, "filename"),
        ("open" | "creat", Which::Only) => (None, "name"),
        ("openat" | "openat2", Which::Only) => (Some("dirfd"), "name"),
        ("open_by_handle_at", Which::Only) => (Some("mountfd"), "path"),
        ("unlinkat", Which::Only) => (Some("dirfd"), "name"),
        ("mkdirat" | "mknodat" | "newfstatat", Which::Only) => (Some("dirfd"), "path"),
        ("fchmodat", Which::Only) => (Some("dirfd"), "filename"),
        ("fchownat", Which::Only) => (Some("dirfd"), "pathname"),
        ("quotactl", Which::Only) => (None, "special"),
        ("umount" | "umount2", Which::Only | Which::Target) => (None, "name"),
        ("rename" | "link", Which::Source) => (None, "oldpath"),
        ("rename" | "link", Which::Target) => (None, "newpath"),
        ("renameat" | "renameat2", Which::Source) => (Some("olddirfd"), "oldpath"),
        ("renameat" | "renameat2", Which::Target) => (Some("newdirfd"), "newpath"),
        ("linkat", Which::Source) => (Some("olddir"), "oldpath"),
        ("linkat", Which::Target) => (Some("newdir"), "newpath"),
        // The link is what is made, the target what it says.
        ("symlink", Which::Source) => (None, "linkpath"),
        ("symlinkat", Which::Source) => (Some("linkdirfd"), "linkpath"),
        ("symlink" | "symlinkat", Which::Target) => (None, "target"),
        ("mount", Which::Source) => (None, "dev"),
        ("mount", Which::Target) => (None, "dir"),
        _ => return None,
    })
}

fn directory(found: &Descriptor) -> Option<Value<'_>> {
    let name = &*found.name;
    match found.kind {
        kind::DIRECTORY => Some(Value::bytes(name)),
        kind::FILE | kind::OPEN_FILE => {
            let slash = name.iter().rposition(|byte| *byte == b'/').unwrap_or(0);
            match slash {
                0 => Some(Value::text("/")),
                _ if slash + 1 == name.len() => Some(Value::bytes(name)),
                _ => name.get(..slash).map(Value::bytes),
            }
        }
        _ => None,
    }
}

fn file_name(found: &Descriptor) -> Option<Value<'_>> {
    if !found.is_file() {
        return None;
    }
    let name = &*found.name;
    match name.iter().rposition(|byte| *byte == b'/') {
        None => Some(Value::text("/")),
        Some(slash) if slash + 1 == name.len() => Some(Value::bytes(name)),
        Some(slash) => name.get(slash + 1..).map(Value::bytes),
    }
}

fn single_slashes(path: &[u8]) -> Vec<u8> {
    let mut single = Vec::with_capacity(path.len());
    for byte in path {
        if *byte != b'/' || single.last() != Some(&b'/') {
            single.push(*byte);
        }
    }
    single
}

fn transport_name(number: u8) -> Option<&'static str> {
    Some(match number {
        transport::TCP => "tcp",
        transport::UDP => "udp",
        transport::ICMP => "icmp",
        transport::RAW => "raw",
        _ => return None,
    })
}

/// A single address, for comparing with networks.
fn host(address: IpAddr) -> Network {
    Network { address, prefix: if address.is_ipv4() { 32 } else { 128 } }
}

/// The service of a port: its number, as names differ from machine to machine.
fn service(port: u16, _: &Socket) -> String {
    port.to_string()
}
