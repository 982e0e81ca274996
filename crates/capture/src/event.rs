//! One event as it lies in a capture: a view that borrows, and decodes a parameter when it is asked for.

use std::net::IpAddr;

use crate::bytes::{Order, Walk};
use crate::table::{self, EventType, Kind};

/// An event of a known type. Nothing is copied; the lengths of its parameters were checked when it was read.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The thread that made it, as the initial pid namespace numbers it; −1 where there is none.
    pub thread: i64,
    pub code: u16,
    pub cpu: u16,
    /// Flags of the block (state only, tracer, …); 0 where it has none.
    pub flags: u32,
    pub kind: &'static EventType,
    pub order: Order,
    /// Lengths of parameters have 32 bits instead of 16.
    large: bool,
    count: u16,
    /// The lengths, then the parameters.
    body: &'a [u8],
}

impl<'a> Event<'a> {
    /// `None`: the lengths do not add up to the body.
    #[inline]
    pub(crate) fn new(
        header: Header,
        kind: &'static EventType,
        order: Order,
        body: &'a [u8],
    ) -> Option<Self> {
        let Header { time, thread, code, cpu, flags, large, count } = header;
        let width = if large { 4 } else { 2 };
        let count = match count {
            Some(count) => u16::try_from(count).ok()?,
            None => guess_count(kind.parameters.len(), order, body)?,
        };
        let event = Event { time, thread, code, cpu, flags, kind, order, large, count, body };
        let mut total = usize::from(count) * width;
        for place in 0..usize::from(count) {
            total = total.checked_add(event.length(place)?)?;
        }
        (total <= body.len()).then_some(event)
    }

    /// An event that was made, not read: its body has the lengths of its `count` parameters, 16 bits each, then
    /// the parameters, little-endian.
    pub fn from_body(
        time: u64,
        thread: i64,
        kind: &'static EventType,
        count: u32,
        body: &'a [u8],
    ) -> Option<Self> {
        let header =
            Header { time, thread, code: kind.code, cpu: 0, flags: 0, large: false, count: Some(count) };
        Event::new(header, kind, Order::Little, body)
    }

    /// Copies the event into `kept`, whose memory is used again.
    #[inline]
    pub fn keep(&self, kept: &mut Kept) {
        kept.header = Some((Event { body: &[], ..*self }, self.body.len()));
        kept.body.clear();
        kept.body.extend_from_slice(self.body);
    }

    pub fn body(&self) -> &'a [u8] {
        self.body
    }

    pub fn is_large(&self) -> bool {
        self.large
    }

    /// How many parameters the capture has for it: fewer than its type, where the sensor was older.
    #[inline]
    pub fn parameters(&self) -> usize {
        self.count.into()
    }

    #[inline]
    fn length(&self, place: usize) -> Option<usize> {
        if self.large {
            let bytes = self.body.get(place * 4..place * 4 + 4)?;
            Some(self.order.u32(bytes.try_into().ok()?) as usize)
        } else {
            let bytes = self.body.get(place * 2..place * 2 + 2)?;
            Some(self.order.u16(bytes.try_into().ok()?).into())
        }
    }

    /// The bytes of a parameter; `None` where the capture does not have it.
    #[inline]
    pub fn raw(&self, place: usize) -> Option<&'a [u8]> {
        if place >= usize::from(self.count) {
            return None;
        }
        let mut start = usize::from(self.count) * if self.large { 4 } else { 2 };
        for before in 0..place {
            start += self.length(before)?;
        }
        self.body.get(start..start + self.length(place)?)
    }

    /// A number, whatever its size; unsigned kinds are not sign-extended. `None`: absent, empty, or no number.
    #[inline]
    pub fn number(&self, place: usize) -> Option<i64> {
        let bytes = self.raw(place)?;
        match self.kind.parameters.get(place)?.kind {
            Kind::Signed | Kind::Errno | Kind::Descriptor | Kind::Pid => self.order.signed(bytes),
            _ => self.order.unsigned(bytes).map(|value| value as i64),
        }
    }

    /// A text without the zero byte at its end; `None` where it is absent or has no bytes at all (a null pointer).
    #[inline]
    pub fn text(&self, place: usize) -> Option<&'a [u8]> {
        match self.raw(place)? {
            [] => None,
            bytes => Some(until_zero(bytes)),
        }
    }

    pub fn address(&self, place: usize) -> Option<Address<'a>> {
        Address::read(self.raw(place)?, self.order)
    }

    pub fn tuple(&self, place: usize) -> Option<Tuple<'a>> {
        Tuple::read(self.raw(place)?, self.order)
    }

    /// What a call returned: its first parameter, where that is a result or a descriptor.
    #[inline]
    pub fn result(&self) -> Option<i64> {
        if self.kind.enter {
            return None;
        }
        match self.kind.parameters.first()?.name {
            "res" | "fd" => self.number(0),
            _ => None,
        }
    }

    /// `open`; for a generic event the name of its call.
    pub fn name(&self) -> &'static str {
        if self.code > 1 {
            return self.kind.name;
        }
        let number =
            self.raw(0).and_then(|bytes| self.order.unsigned(bytes)).and_then(|n| u16::try_from(n).ok());
        number.and_then(table::call_name).unwrap_or("unknown")
    }
}

/// A copy of an event, for when its call returns: what it was called with is needed then.
#[derive(Clone, Debug, Default)]
pub struct Kept {
    header: Option<(Event<'static>, usize)>,
    body: Vec<u8>,
}

impl Kept {
    #[inline]
    pub fn event(&self) -> Option<Event<'_>> {
        let (event, length) = self.header?;
        Some(Event { body: self.body.get(..length)?, ..event })
    }

    pub fn code(&self) -> Option<u16> {
        self.header.map(|(event, _)| event.code)
    }

    pub fn clear(&mut self) {
        self.header = None;
    }
}

/// What stands before the parameters of an event.
#[derive(Clone, Copy)]
pub(crate) struct Header {
    pub(crate) time: u64,
    pub(crate) thread: i64,
    pub(crate) code: u16,
    pub(crate) cpu: u16,
    pub(crate) flags: u32,
    pub(crate) large: bool,
    /// `None` in captures of before 2018, which do not say it.
    pub(crate) count: Option<u32>,
}

/// The number of parameters with which lengths and parameters fill the body exactly: the largest that does, as
/// `scap_savefile.c` tries them.
fn guess_count(most: usize, order: Order, body: &[u8]) -> Option<u16> {
    for count in (0..=most).rev() {
        let Some((lengths, parameters)) = body.split_at_checked(count * 2) else { continue };
        let total: usize =
            lengths.as_chunks::<2>().0.iter().map(|length| usize::from(order.u16(*length))).sum();
        if total == parameters.len() {
            return u16::try_from(count).ok();
        }
    }
    None
}

/// Without the first zero byte and what follows it.
pub fn until_zero(bytes: &[u8]) -> &[u8] {
    bytes.split(|byte| *byte == 0).next().unwrap_or(bytes)
}

/// Families of addresses, as the kernel numbers them.
pub mod family {
    pub const UNIX: u8 = 1;
    pub const IPV4: u8 = 2;
    pub const IPV6: u8 = 10;
}

/// The address of one end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Address<'a> {
    Internet(IpAddr, u16),
    Unix(&'a [u8]),
    /// A family whose addresses are not told.
    Other(u8),
}

impl<'a> Address<'a> {
    pub fn read(bytes: &'a [u8], order: Order) -> Option<Self> {
        let mut walk = Walk::new(bytes, order);
        Some(match walk.u8()? {
            family::IPV4 => Address::Internet(walk.ipv4()?, walk.u16()?),
            family::IPV6 => Address::Internet(walk.ipv6()?, walk.u16()?),
            family::UNIX => Address::Unix(until_zero(walk.rest())),
            other => Address::Other(other),
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Address::Internet(IpAddr::V4(ip), port) => {
                out.push(family::IPV4);
                out.extend(ip.octets());
                out.extend(port.to_le_bytes());
            }
            Address::Internet(IpAddr::V6(ip), port) => {
                out.push(family::IPV6);
                out.extend(ip.octets());
                out.extend(port.to_le_bytes());
            }
            Address::Unix(path) => {
                out.push(family::UNIX);
                out.extend(*path);
                out.push(0);
            }
            Address::Other(family) => out.push(*family),
        }
    }
}

/// The addresses of both ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tuple<'a> {
    Internet { source: (IpAddr, u16), destination: (IpAddr, u16) },
    Unix { source: u64, destination: u64, path: &'a [u8] },
    Other(u8),
}

impl<'a> Tuple<'a> {
    pub fn read(bytes: &'a [u8], order: Order) -> Option<Self> {
        let mut walk = Walk::new(bytes, order);
        let end = |walk: &mut Walk<'a>, four: bool| {
            let ip = if four { walk.ipv4()? } else { walk.ipv6()? };
            Some((ip, walk.u16()?))
        };
        Some(match walk.u8()? {
            family::IPV4 => {
                Tuple::Internet { source: end(&mut walk, true)?, destination: end(&mut walk, true)? }
            }
            family::IPV6 => {
                Tuple::Internet { source: end(&mut walk, false)?, destination: end(&mut walk, false)? }
            }
            family::UNIX => {
                Tuple::Unix { source: walk.u64()?, destination: walk.u64()?, path: until_zero(walk.rest()) }
            }
            other => Tuple::Other(other),
        })
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Tuple::Internet { source, destination } => {
                let four = source.0.is_ipv4() && destination.0.is_ipv4();
                out.push(if four { family::IPV4 } else { family::IPV6 });
                for (ip, port) in [source, destination] {
                    match ip {
                        IpAddr::V4(ip) if four => out.extend(ip.octets()),
                        IpAddr::V4(ip) => out.extend(ip.to_ipv6_mapped().octets()),
                        IpAddr::V6(ip) => out.extend(ip.octets()),
                    }
                    out.extend(port.to_le_bytes());
                }
            }
            Tuple::Unix { source, destination, path } => {
                out.push(family::UNIX);
                out.extend(source.to_le_bytes());
                out.extend(destination.to_le_bytes());
                out.extend(*path);
                out.push(0);
            }
            Tuple::Other(family) => out.push(*family),
        }
    }
}
