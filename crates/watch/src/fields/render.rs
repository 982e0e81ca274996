//! Parameters of events as text: the value as it was passed, and beside it what it stands for (the path of a
//! descriptor, the names of flags). The forms are those of libsinsp (`event.cpp`), which rules compare with.

use std::io::Write;

use capture::Order;
use capture::event::{Address, Event, Tuple, until_zero};
use capture::list::descriptor_kind as kind;
use capture::table::{self, Format, Kind, Name, Parameter};

use crate::state::descriptor::{self, transport};
use crate::state::{Descriptor, State};

use super::names;

/// A parameter as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rendered {
    pub plain: Vec<u8>,
    /// What it stands for; empty where it is itself.
    pub resolved: Vec<u8>,
}

impl Rendered {
    /// What rules compare: what it stands for, or else itself.
    pub fn meaning(self) -> Vec<u8> {
        if self.resolved.is_empty() { self.plain } else { self.resolved }
    }
}

/// Where names are looked up.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) state: &'a State,
    /// Index of the thread.
    pub(super) thread: Option<usize>,
}

/// A parameter of an event as text; `None` where the event does not have it.
pub(super) fn parameter(context: Context<'_>, event: &Event<'_>, place: usize) -> Option<Rendered> {
    let bytes = event.raw(place)?;
    let described = event.kind.parameters.get(place)?;
    if described.kind == Kind::Dynamic {
        return Some(dynamic(context, event, described, bytes));
    }
    if described.kind == Kind::RelativePath {
        let directory = described.directory.and_then(|place| event.number(place));
        return Some(path(context, bytes, Some(directory.unwrap_or(-1))));
    }
    Some(value(context, event.order, described, bytes))
}

fn value(context: Context<'_>, order: Order, described: &Parameter, bytes: &[u8]) -> Rendered {
    // A null pointer, or a sensor that could not read it.
    if bytes.is_empty() {
        return Rendered {
            plain: if is_text(described.kind) { b"<NA>".into() } else { Vec::new() },
            resolved: vec![],
        };
    }
    match described.kind {
        Kind::Text => plain(printable(until_zero(bytes))),
        Kind::Path => path(context, bytes, None),
        Kind::Bytes => plain(dots(bytes)),
        Kind::Address => plain(Address::read(bytes, order).map(address).unwrap_or_default()),
        Kind::Tuple => plain(Tuple::read(bytes, order).map(tuple).unwrap_or_default()),
        Kind::Descriptors => plain(descriptors(context, order, bytes)),
        Kind::Texts | Kind::Pairs => plain(dots(bytes)),
        _ => number(context, order, described, bytes),
    }
}

fn is_text(kind: Kind) -> bool {
    matches!(kind, Kind::Text | Kind::Path | Kind::RelativePath)
}

fn plain(plain: Vec<u8>) -> Rendered {
    Rendered { plain, resolved: Vec::new() }
}

fn number(context: Context<'_>, order: Order, described: &Parameter, bytes: &[u8]) -> Rendered {
    let (Some(signed), Some(unsigned)) = (order.signed(bytes), order.unsigned(bytes)) else {
        return plain(dots(bytes));
    };
    let names = described.names.unwrap_or_default();
    let text = |text: Option<&str>| text.unwrap_or_default().as_bytes().to_vec();
    let (plain, resolved) = match described.kind {
        Kind::Errno if signed < 0 => (signed.to_string(), errno(signed)),
        Kind::Errno => (formatted(described.format, unsigned), Vec::new()),
        Kind::Descriptor => (signed.to_string(), descriptor_text(context, signed)),
        Kind::Pid => {
            let name = context.state.thread(signed).map(|thread| printable(&thread.name));
            (signed.to_string(), name.unwrap_or_default())
        }
        Kind::Uid | Kind::Gid if unsigned == u64::from(u32::MAX) => ("-1".into(), b"<NONE>".to_vec()),
        Kind::Uid => (
            unsigned.to_string(),
            account(context, |state, place| {
                state.user(place, unsigned as u32).map(|user| user.name.to_vec())
            }),
        ),
        Kind::Gid => (
            unsigned.to_string(),
            account(context, |state, place| state.group(place, unsigned as u32).map(<[u8]>::to_vec)),
        ),
        Kind::Call => (unsigned.to_string(), text(u16::try_from(unsigned).ok().and_then(table::call_name))),
        Kind::Signal => (unsigned.to_string(), text(names::signal(unsigned))),
        Kind::SignalSet => {
            let set: Vec<&str> = (0..32)
                .filter(|bit| unsigned & (1 << bit) != 0)
                .filter_map(|bit| names::signal(bit + 1))
                .collect();
            (set.join(","), Vec::new())
        }
        Kind::Duration => (unsigned.to_string(), format!("{}s", unsigned as f64 / 1e9).into_bytes()),
        Kind::Bool => (if unsigned != 0 { "true" } else { "false" }.to_owned(), Vec::new()),
        // Decimal, whatever their format says, as libsinsp writes them.
        Kind::Flags => (unsigned.to_string(), flags(names, unsigned as u32)),
        Kind::Mode => (octal(unsigned), flags(names, unsigned as u32)),
        Kind::Enumeration => {
            let name = names.iter().find(|name| u64::from(name.value) == unsigned);
            (unsigned.to_string(), text(name.map(|name| name.name)))
        }
        Kind::Signed => (signed_formatted(described.format, signed, unsigned), Vec::new()),
        _ => (formatted(described.format, unsigned), Vec::new()),
    };
    Rendered { plain: plain.into_bytes(), resolved }
}

fn formatted(format: Format, value: u64) -> String {
    match format {
        Format::Hexadecimal => format!("{value:X}"),
        Format::Octal => octal(value),
        Format::Decimal => value.to_string(),
    }
}

fn signed_formatted(format: Format, signed: i64, unsigned: u64) -> String {
    if format == Format::Decimal { signed.to_string() } else { formatted(format, unsigned) }
}

fn octal(value: u64) -> String {
    if value == 0 { "0".to_owned() } else { format!("0{value:o}") }
}

/// `ENOENT` for −2.
pub(super) fn errno(result: i64) -> Vec<u8> {
    let name = if result < 0 { names::errno(result.unsigned_abs()) } else { None };
    name.unwrap_or_default().as_bytes().to_vec()
}

fn account(
    context: Context<'_>,
    ask: impl Fn(&State, Option<&std::sync::Arc<str>>) -> Option<Vec<u8>>,
) -> Vec<u8> {
    let thread = context.thread.and_then(|index| context.state.at(index));
    let place = thread.and_then(|thread| thread.container.as_ref());
    ask(context.state, place).unwrap_or_default()
}

/// `O_RDONLY|O_CLOEXEC`: names in the order of their table; a bit is named once.
pub(super) fn flags(names: &[Name], value: u32) -> Vec<u8> {
    let mut text = Vec::new();
    let mut left = value;
    let mut push = |name: &Name| {
        if !text.is_empty() {
            text.push(b'|');
        }
        text.extend_from_slice(name.name.as_bytes());
    };
    for name in names {
        // The whole value has a name: what comes before it in the table was named, and it ends there.
        if name.value == value {
            push(name);
            break;
        }
        if name.value != 0 && left & name.value == name.value {
            push(name);
            left &= !name.value;
        }
    }
    text
}

/// `<f>/etc/passwd`, `<4t>1.2.3.4:1->5.6.7.8:2`, `AT_FDCWD`, or the name of an errno.
fn descriptor_text(context: Context<'_>, number: i64) -> Vec<u8> {
    if number == -100 {
        return b"AT_FDCWD".to_vec();
    }
    if number < 0 {
        return errno(number);
    }
    let thread = context.thread.and_then(|index| context.state.at(index));
    let found = thread.and_then(|thread| context.state.descriptors(thread)?.get(number));
    found
        .map(|found| {
            let mut text = vec![b'<', type_character(found.kind)];
            if found.is_internet()
                && let Some(socket) = &found.socket
                && let Some(letter) = transport_letter(socket.transport)
            {
                text.push(letter);
            }
            text.push(b'>');
            text.extend(printable(&found.name));
            text
        })
        .unwrap_or_default()
}

fn transport_letter(number: u8) -> Option<u8> {
    Some(match number {
        transport::TCP => b't',
        transport::UDP => b'u',
        transport::ICMP => b'i',
        transport::RAW => b'r',
        _ => return None,
    })
}

/// `fd.typechar`.
pub(super) fn type_character(number: u8) -> u8 {
    match number {
        kind::FILE | kind::OPEN_FILE => b'f',
        kind::DIRECTORY => b'd',
        kind::IPV4 | kind::IPV4_LISTENING => b'4',
        kind::IPV6 | kind::IPV6_LISTENING => b'6',
        kind::UNIX => b'u',
        kind::PIPE => b'p',
        kind::EVENT => b'e',
        kind::SIGNAL => b's',
        kind::EVENT_POLL => b'l',
        kind::INOTIFY => b'i',
        kind::TIMER => b't',
        kind::NETLINK => b'n',
        kind::BPF => b'b',
        kind::USERFAULT => b'u',
        kind::IO_URING => b'r',
        kind::MEMFD => b'm',
        kind::PIDFD => b'P',
        kind::UNSUPPORTED => b'X',
        _ => b'?',
    }
}

/// `fd.type`.
pub(super) fn type_name(number: u8) -> Option<&'static str> {
    Some(match number {
        kind::FILE | kind::OPEN_FILE => "file",
        kind::DIRECTORY => "directory",
        kind::IPV4 | kind::IPV4_LISTENING => "ipv4",
        kind::IPV6 | kind::IPV6_LISTENING => "ipv6",
        kind::UNIX => "unix",
        kind::PIPE => "pipe",
        kind::EVENT => "event",
        kind::SIGNAL => "signalfd",
        kind::EVENT_POLL => "eventpoll",
        kind::INOTIFY => "inotify",
        kind::TIMER => "timerfd",
        kind::NETLINK => "netlink",
        kind::BPF => "bpf",
        kind::USERFAULT => "userfaultfd",
        kind::IO_URING => "io_uring",
        kind::MEMFD => "memfd",
        kind::PIDFD => "pidfd",
        _ => return None,
    })
}

/// A path as it was given; beside it, where that says more, the absolute one. `directory`: the descriptor it is
/// relative to, −1 where that is not known; `None` where it is relative to the current directory.
fn path(context: Context<'_>, bytes: &[u8], directory: Option<i64>) -> Rendered {
    let given = until_zero(bytes);
    let absolute = match (context.thread, given) {
        (_, b"" | b"<NA>" | [b'/', ..]) => Vec::new(),
        (Some(index), _) if directory != Some(-1) => context.state.resolve(index, directory, given),
        _ => Vec::new(),
    };
    let plain = if bytes.is_empty() { b"<NA>".to_vec() } else { printable(given) };
    let resolved = if absolute == given { Vec::new() } else { printable(&absolute) };
    Rendered { plain, resolved }
}

pub(super) fn address(address: Address<'_>) -> Vec<u8> {
    match address {
        Address::Internet(ip, port) => descriptor::end_name((ip, port)).into(),
        Address::Unix(path) => printable(path),
        Address::Other(family) => format!("family {family}").into_bytes(),
    }
}

pub(super) fn tuple(tuple: Tuple<'_>) -> Vec<u8> {
    match tuple {
        Tuple::Internet { source, destination } => {
            // Mapped addresses are written as the IPv4 addresses that they are.
            let mut both = Descriptor::internet(source, destination, transport::UNKNOWN);
            std::mem::take(&mut both.name).to_vec()
        }
        Tuple::Unix { source, destination, path } => descriptor::unix_name(source, destination, path).into(),
        Tuple::Other(family) => format!("family {family}").into_bytes(),
    }
}

/// `3:f1 5:u4`: descriptor, type, events that were asked for.
fn descriptors(context: Context<'_>, order: Order, bytes: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for (number, events) in listed(order, bytes) {
        let thread = context.thread.and_then(|index| context.state.at(index));
        let found = thread.and_then(|thread| context.state.descriptors(thread)?.get(number));
        let character = found.map_or('o', |found| type_character(found.kind) as char);
        if !text.is_empty() {
            text.push(b' ');
        }
        let _ = write!(text, "{number}:{character}{events:x}");
    }
    text
}

/// The entries of a list of descriptors.
pub(super) fn listed(order: Order, bytes: &[u8]) -> impl Iterator<Item = (i64, u16)> + '_ {
    let count = bytes.get(..2).and_then(|count| order.unsigned(count)).unwrap_or(0) as usize;
    bytes.get(2..).unwrap_or_default().as_chunks::<10>().0.iter().take(count).filter_map(move |entry| {
        let (number, events) = entry.split_at(8);
        Some((order.signed(number)?, order.unsigned(events)? as u16))
    })
}

/// The first byte says which kind follows (libs, `dynamic_params_table.c`).
fn dynamic(context: Context<'_>, event: &Event<'_>, described: &Parameter, bytes: &[u8]) -> Rendered {
    let Some((which, bytes)) = bytes.split_first() else { return Rendered::default() };
    let as_kind = |kind, format| {
        let described =
            Parameter { name: described.name, kind, size: 0, format, names: None, directory: None };
        value(context, event.order, &described, bytes)
    };
    match (event.kind.name, which) {
        ("ptrace", 0) => as_kind(Kind::Unsigned, Format::Hexadecimal),
        ("ptrace", 1) => as_kind(Kind::Signal, Format::Decimal),
        ("bpf", 0) => as_kind(Kind::Descriptor, Format::Decimal),
        ("bpf", _) => as_kind(Kind::Errno, Format::Decimal),
        (_, 1) => as_kind(Kind::Errno, Format::Decimal),
        (_, 2 | 3) => as_kind(Kind::Unsigned, Format::Decimal),
        (_, 4) => as_kind(Kind::Duration, Format::Decimal),
        _ => as_kind(Kind::Bytes, Format::Hexadecimal),
    }
}

/// Without what no terminal should be sent.
pub(super) fn printable(text: &[u8]) -> Vec<u8> {
    text.iter().copied().filter(|byte| !byte.is_ascii_control()).collect()
}

/// What cannot be printed, as dots.
pub(super) fn dots(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| if byte.is_ascii_graphic() || *byte == b' ' { *byte } else { b'.' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_named_in_the_order_of_their_table_and_each_bit_once() {
        let file = table::names("file_flags").unwrap_or_default();
        for (value, expected) in [
            (4097, "O_RDONLY|O_CLOEXEC"),
            (3, "O_RDWR"),
            (3 | 4 | 256, "O_TRUNC|O_CREAT|O_RDWR"),
            (1, "O_RDONLY"),
            (0, "O_NONE"),
        ] {
            assert_eq!(String::from_utf8_lossy(&flags(file, value)), expected, "{value}");
        }
    }
}
