//! Writes a capture: the header, then lists of what is there, then events. What it writes is read by sysdig 0.29 and
//! by what came after it.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::block;
use crate::error::Error;
use crate::event::Event;
use crate::list::{Account, Descriptor, Interface, Machine, Process};
use crate::table::EventType;

/// A process list is written as several blocks of about this size, so that no reader needs a large buffer.
const LIST_BLOCK: usize = 1 << 20;

/// A capture that is being written. [`Writer::finish`] must be called, or the end may be missing.
pub struct Writer<W: Write> {
    out: Output<W>,
    written: u64,
    scratch: Vec<u8>,
}

enum Output<W: Write> {
    Plain(W),
    Gzip(Box<GzEncoder<W>>),
}

impl<W: Write> Write for Output<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Output::Plain(out) => out.write(bytes),
            Output::Gzip(out) => out.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        match self {
            Output::Plain(out) => out.flush(),
            Output::Gzip(out) => out.flush(),
        }
    }
}

/// An event to be written.
#[derive(Clone, Copy, Debug)]
pub struct NewEvent<'a> {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time: u64,
    pub thread: i64,
    pub cpu: u16,
    pub kind: &'static EventType,
    /// The bytes of each, in the order of the type; numbers little-endian, texts with a zero byte at the end.
    pub parameters: &'a [&'a [u8]],
}

impl<W: Write> Writer<W> {
    /// Begins a capture on `out`, compressed or not.
    pub fn new(out: W, compress: bool) -> Result<Self, Error> {
        let out = if compress {
            Output::Gzip(Box::new(GzEncoder::new(out, Compression::default())))
        } else {
            Output::Plain(out)
        };
        let mut writer = Writer { out, written: 0, scratch: Vec::new() };
        let mut header = Vec::with_capacity(16);
        header.extend(block::SECTION_MAGIC.to_le_bytes());
        header.extend(block::MAJOR.to_le_bytes());
        header.extend(block::MINOR.to_le_bytes());
        // The length of the section: not known.
        header.extend(u64::MAX.to_le_bytes());
        writer.block(block::SECTION, &[&header])?;
        Ok(writer)
    }

    pub fn machine(&mut self, machine: &Machine<'_>) -> Result<(), Error> {
        let mut body = Vec::new();
        machine.write(&mut body);
        self.block(block::MACHINE, &[&body])
    }

    pub fn interfaces<'a>(
        &mut self,
        interfaces: impl IntoIterator<Item = Interface<'a>>,
    ) -> Result<(), Error> {
        let mut body = Vec::new();
        for interface in interfaces {
            sized(&mut body, "interface", 0, |out| interface.write(out))?;
        }
        self.block(block::INTERFACES_2, &[&body])
    }

    pub fn accounts<'a>(&mut self, accounts: impl IntoIterator<Item = Account<'a>>) -> Result<(), Error> {
        let mut body = Vec::new();
        for account in accounts {
            sized(&mut body, "user", 4, |out| account.write(out))?;
        }
        self.block(block::USERS_2, &[&body])
    }

    pub fn processes<'a>(&mut self, processes: impl IntoIterator<Item = Process<'a>>) -> Result<(), Error> {
        let mut body = Vec::new();
        for process in processes {
            sized(&mut body, "process", 4, |out| process.write(out))?;
            if body.len() >= LIST_BLOCK {
                self.block(block::PROCESSES_9, &[&body])?;
                body.clear();
            }
        }
        if body.is_empty() { Ok(()) } else { self.block(block::PROCESSES_9, &[&body]) }
    }

    /// The descriptors of one thread. The thread must have been among the processes before.
    pub fn descriptors<'a>(
        &mut self,
        thread: i64,
        descriptors: impl IntoIterator<Item = Descriptor<'a>>,
    ) -> Result<(), Error> {
        let mut body = thread.to_le_bytes().to_vec();
        for descriptor in descriptors {
            sized(&mut body, "descriptor", 4, |out| descriptor.write(out))?;
        }
        self.block(block::DESCRIPTORS_2, &[&body])
    }

    /// Writes an event that was read, as it was.
    pub fn event(&mut self, event: &Event<'_>) -> Result<(), Error> {
        if event.order == crate::Order::Big {
            return self.converted(event);
        }
        let count = event.parameters() as u32;
        let head = (event.time, event.thread, event.cpu, event.flags);
        self.event_block(head, event.code, count, event.is_large(), event.body())
    }

    /// Writes an event that was made.
    pub fn new_event(&mut self, event: &NewEvent<'_>) -> Result<(), Error> {
        let mut body = std::mem::take(&mut self.scratch);
        body.clear();
        let large = event.parameters.iter().any(|parameter| parameter.len() > usize::from(u16::MAX));
        for parameter in event.parameters {
            match large {
                true => body.extend((parameter.len() as u32).to_le_bytes()),
                false => body.extend((parameter.len() as u16).to_le_bytes()),
            }
        }
        for parameter in event.parameters {
            body.extend(*parameter);
        }
        // A reader takes plain events of at most 64 KiB with their header.
        let large = large || body.len() + 64 > usize::from(u16::MAX);
        let head = (event.time, event.thread, event.cpu, 0);
        let count = event.parameters.len() as u32;
        let result = if large && !event.parameters.iter().any(|p| p.len() > usize::from(u16::MAX)) {
            Err(Error::TooLong { what: event.kind.name, length: body.len() })
        } else {
            self.event_block(head, event.kind.code, count, large, &body)
        };
        self.scratch = body;
        result
    }

    /// From a big-endian capture: the lengths and every number are turned.
    fn converted(&mut self, event: &Event<'_>) -> Result<(), Error> {
        let turned: Vec<Vec<u8>> = (0..event.parameters())
            .map(|place| {
                let mut bytes = event.raw(place).unwrap_or_default().to_vec();
                if event.number(place).is_some() && is_number(event.kind, place) {
                    bytes.reverse();
                } else if let (true, Some(tuple)) = (is_tuple(event.kind, place), event.tuple(place)) {
                    bytes.clear();
                    tuple.write(&mut bytes);
                } else if let (true, Some(address)) = (is_address(event.kind, place), event.address(place)) {
                    bytes.clear();
                    address.write(&mut bytes);
                }
                bytes
            })
            .collect();
        let parameters: Vec<&[u8]> = turned.iter().map(Vec::as_slice).collect();
        self.new_event(&NewEvent {
            time: event.time,
            thread: event.thread,
            cpu: event.cpu,
            kind: event.kind,
            parameters: &parameters,
        })
    }

    fn event_block(
        &mut self,
        (time, thread, cpu, flags): (u64, i64, u16, u32),
        code: u16,
        count: u32,
        large: bool,
        body: &[u8],
    ) -> Result<(), Error> {
        let mut head = [0; 32];
        let mut length = 0;
        let mut put = |bytes: &[u8]| {
            if let Some(place) = head.get_mut(length..length + bytes.len()) {
                place.copy_from_slice(bytes);
                length += bytes.len();
            }
        };
        put(&cpu.to_le_bytes());
        if flags != 0 {
            put(&flags.to_le_bytes());
        }
        put(&time.to_le_bytes());
        put(&thread.to_le_bytes());
        put(&((26 + body.len()) as u32).to_le_bytes());
        put(&code.to_le_bytes());
        put(&count.to_le_bytes());
        let kind = match (flags != 0, large) {
            (false, false) => block::EVENT_2,
            (true, false) => block::EVENT_FLAGS_2,
            (false, true) => block::EVENT_2_LARGE,
            (true, true) => block::EVENT_FLAGS_2_LARGE,
        };
        let head = head.get(..length).unwrap_or_default();
        self.block(kind, &[head, body])
    }

    fn block(&mut self, kind: u32, parts: &[&[u8]]) -> Result<(), Error> {
        let content: usize = parts.iter().map(|part| part.len()).sum();
        let padding = content.next_multiple_of(4) - content;
        let total = u32::try_from(8 + content + padding + 4)
            .map_err(|_| Error::TooLong { what: "block", length: content })?;
        let offset = self.written;
        let mut write = || {
            self.out.write_all(&kind.to_le_bytes())?;
            self.out.write_all(&total.to_le_bytes())?;
            for part in parts {
                self.out.write_all(part)?;
            }
            self.out.write_all([0; 4].get(..padding).unwrap_or_default())?;
            self.out.write_all(&total.to_le_bytes())
        };
        write().map_err(|source| Error::Io { doing: "write", offset, source })?;
        self.written += u64::from(total);
        Ok(())
    }

    /// Bytes written so far, before compression.
    pub fn written(&self) -> u64 {
        self.written
    }

    /// Ends the capture and gives back what it was written to.
    pub fn finish(self) -> Result<W, Error> {
        let offset = self.written;
        let end = match self.out {
            Output::Plain(mut out) => out.flush().map(|()| out),
            Output::Gzip(out) => out.finish().and_then(|mut out| out.flush().map(|()| out)),
        };
        end.map_err(|source| Error::Io { doing: "write", offset, source })
    }
}

fn is_number(kind: &EventType, place: usize) -> bool {
    use crate::table::Kind;
    kind.parameters.get(place).is_some_and(|parameter| {
        !matches!(
            parameter.kind,
            Kind::Text
                | Kind::Path
                | Kind::RelativePath
                | Kind::Bytes
                | Kind::Texts
                | Kind::Pairs
                | Kind::Address
                | Kind::Tuple
                | Kind::Descriptors
                | Kind::Dynamic
        )
    })
}

fn is_tuple(kind: &EventType, place: usize) -> bool {
    kind.parameters.get(place).is_some_and(|parameter| parameter.kind == crate::table::Kind::Tuple)
}

fn is_address(kind: &EventType, place: usize) -> bool {
    kind.parameters.get(place).is_some_and(|parameter| parameter.kind == crate::table::Kind::Address)
}

/// An entry with its length before it, which counts `own` bytes for itself.
fn sized(
    out: &mut Vec<u8>,
    what: &'static str,
    own: u32,
    write: impl FnOnce(&mut Vec<u8>) -> Option<()>,
) -> Result<(), Error> {
    let start = out.len();
    out.extend([0; 4]);
    write(out).ok_or(Error::TooLong { what, length: usize::from(u16::MAX) + 1 })?;
    let length = (out.len() - start - 4) as u32 + own;
    if let Some(place) = out.get_mut(start..start + 4) {
        place.copy_from_slice(&length.to_le_bytes());
    }
    Ok(())
}
