//! Reads a capture as a stream: bytes in, items out, each borrowed from the buffer until the next is asked for.
//!
//! Everything a capture claims is bounded: a block by what its kind may have, a list by its block, memory by what
//! has arrived (not by what a length announces). What is unknown is stepped over and counted.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::block::{self, EventLayout, Kind};
use crate::bytes::{Order, Walk};
use crate::error::Error;
use crate::event::{Event, Header};
use crate::list::{Account, Descriptor, Interface, Machine, Process};
use crate::table::{self, EventType};

/// The longest list: a process with 64 KiB of arguments each for 4,000 processes.
const MOST_LIST: u32 = 256 << 20;
/// The longest event of a plain block (libs, `READER_BUF_SIZE`), and of a large one.
const MOST_EVENT: u32 = 64 << 10;
const MOST_LARGE_EVENT: u32 = 64 << 20;
/// How much is read from the source at once.
const CHUNK: usize = 1 << 20;

/// One thing that a capture tells.
#[derive(Clone, Debug)]
pub enum Item<'a> {
    /// A section begins: nothing of the one before holds any more.
    Section {
        major: u16,
        minor: u16,
        order: Order,
    },
    Machine(Machine<'a>),
    Interface(Interface<'a>),
    Account(Account<'a>),
    // Boxed, so that events, which are far more, stay small.
    Process(Box<Process<'a>>),
    /// A descriptor of this thread.
    Descriptor(i64, Descriptor<'a>),
    Event(Event<'a>),
}

/// What was stepped over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Blocks of unknown types.
    pub blocks: u64,
    /// Events of codes that are not in the table: of a later sensor.
    pub events: u64,
}

/// A capture that is being read.
pub struct Reader {
    source: Box<dyn Read>,
    /// Why the source gave no more; told when the bytes before it are used up.
    failure: Option<io::Error>,
    at_end: bool,
    buffer: Vec<u8>,
    /// What is in the buffer and not yet used.
    start: usize,
    end: usize,
    /// Offset in the capture of the buffer's first byte.
    base: u64,
    order: Order,
    begun: bool,
    finished: bool,
    list: Option<List>,
    skipped: Skipped,
}

/// A list block that lies in the buffer whole, and how far it was read.
#[derive(Clone, Copy)]
struct List {
    kind: Kind,
    position: usize,
    end: usize,
    /// Of a descriptor list.
    thread: i64,
}

/// A block that lies in the buffer whole: what is between its header and its trailer.
#[derive(Clone, Copy)]
struct Block {
    kind: Kind,
    offset: u64,
    start: usize,
    end: usize,
}

impl Reader {
    /// Opens a file, gzip or plain.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let file = File::open(path).map_err(|source| Error::Io { doing: "open", offset: 0, source })?;
        Self::new(file)
    }

    /// Reads from `source`; whether it is compressed is seen from its first bytes.
    pub fn new(mut source: impl Read + 'static) -> Result<Self, Error> {
        let mut magic = Vec::with_capacity(2);
        source.by_ref().take(2).read_to_end(&mut magic).map_err(|source| Error::Io {
            doing: "read",
            offset: 0,
            source,
        })?;
        let compressed = magic == [0x1F, 0x8B];
        let whole = io::Cursor::new(magic).chain(source);
        let source: Box<dyn Read> = if compressed {
            Box::new(MultiGzDecoder::new(BufReader::with_capacity(CHUNK / 4, whole)))
        } else {
            Box::new(whole)
        };
        Ok(Reader {
            source,
            failure: None,
            at_end: false,
            buffer: vec![0; CHUNK],
            start: 0,
            end: 0,
            base: 0,
            order: Order::Little,
            begun: false,
            finished: false,
            list: None,
            skipped: Skipped::default(),
        })
    }

    /// Offset in the uncompressed capture of what comes next.
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    /// The next item; `None` at the end, and after a final error. After another error, reading goes on behind it.
    // An iterator cannot lend from its own buffer.
    #[allow(clippy::should_implement_trait)]
    #[inline]
    pub fn next(&mut self) -> Result<Option<Item<'_>>, Error> {
        if self.finished {
            return Ok(None);
        }
        if self.list.is_none() {
            match self.advance() {
                Ok(Some(Step::Event(block, layout, code))) => {
                    return self.event(block, layout, code).map(Some);
                }
                Ok(Some(Step::Plain(block))) => return self.plain(block).map(Some),
                Ok(Some(Step::List)) => {}
                Ok(None) => {
                    self.finished = true;
                    return Ok(None);
                }
                Err(error) => {
                    self.finished = error.is_final();
                    return Err(error);
                }
            }
        }
        self.entry().map(Some)
    }

    /// Goes to the next block that holds something.
    #[inline]
    fn advance(&mut self) -> Result<Option<Step>, Error> {
        loop {
            let Some(block) = self.block()? else { return Ok(None) };
            match block.kind {
                Kind::Event(layout) => {
                    if let Some((code, kind)) = self.code(&block, layout)? {
                        return Ok(Some(Step::Event(block, layout, (code, kind))));
                    }
                    self.skipped.events += 1;
                }
                Kind::Unknown => self.skipped.blocks += 1,
                Kind::Section | Kind::Machine => return Ok(Some(Step::Plain(block))),
                Kind::Processes(_)
                | Kind::Descriptors { .. }
                | Kind::Interfaces { .. }
                | Kind::Users { .. } => {
                    let mut list =
                        List { kind: block.kind, position: block.start, end: block.end, thread: -1 };
                    if matches!(block.kind, Kind::Descriptors { .. }) {
                        let mut walk = self.walk(block.start, block.end);
                        list.thread = walk.i64().ok_or(Error::Overrun {
                            what: "thread of a descriptor list",
                            offset: block.offset,
                        })?;
                        list.position += 8;
                    }
                    // What is shorter than a number is padding.
                    if list.end - list.position >= 4 {
                        self.list = Some(list);
                        return Ok(Some(Step::List));
                    }
                }
            }
        }
    }

    fn walk(&self, start: usize, end: usize) -> Walk<'_> {
        Walk::new(self.buffer.get(start..end).unwrap_or_default(), self.order)
    }

    /// Brings the next block into the buffer. `None`: the capture ends before it.
    #[inline]
    fn block(&mut self) -> Result<Option<Block>, Error> {
        let offset = self.offset();
        if !self.fill(8) {
            return match self.end - self.start {
                0 => self.no_more(offset, "block header").map(|()| None),
                _ => Err(self.truncated(offset, "block header")),
            };
        }
        let mut walk = self.walk(self.start, self.end);
        let (Some(mut number), Some(mut length)) = (walk.u32(), walk.u32()) else {
            return Err(self.truncated(offset, "block header"));
        };
        if !self.begun && number != block::SECTION {
            return Err(Error::NotACapture { found: number });
        }
        if number == block::SECTION {
            // The length is in the byte order that the block is about to tell.
            self.order = self.order_of_section(offset)?;
            self.begun = true;
            let mut walk = self.walk(self.start, self.end);
            (number, length) = (walk.u32().unwrap_or(number), walk.u32().unwrap_or(length));
        }
        let kind = block::kind(number);
        let (least, most) = bounds(kind);
        if length < least || length > most {
            let expected = if length < least { "it must have more" } else { "that is more than it may have" };
            return Err(Error::Length { offset, block: number, length, expected });
        }
        if !self.fill(length as usize) {
            return Err(self.truncated(offset, name(kind)));
        }
        let (start, end) = (self.start + 8, self.start + length as usize - 4);
        self.start = end + 4;
        let trailer = self.walk(end, end + 4).u32().unwrap_or_default();
        if trailer != length {
            return Err(Error::Trailer { offset, block: number, length, trailer });
        }
        if kind == Kind::Section {
            let mut walk = self.walk(start + 4, end);
            let major = walk.u16().unwrap_or_default();
            if major > block::MAJOR {
                return Err(Error::Version { offset, major });
            }
        }
        Ok(Some(Block { kind, offset, start, end }))
    }

    fn order_of_section(&mut self, offset: u64) -> Result<Order, Error> {
        if !self.fill(12) {
            return Err(self.truncated(offset, "section header"));
        }
        for order in [Order::Little, Order::Big] {
            let mut walk = Walk::new(self.buffer.get(self.start + 8..self.end).unwrap_or_default(), order);
            if walk.u32() == Some(block::SECTION_MAGIC) {
                return Ok(order);
            }
        }
        Err(Error::NotACapture { found: block::SECTION })
    }

    /// Has at least `count` bytes in the buffer from `start` on. The buffer grows as bytes arrive.
    #[inline]
    fn fill(&mut self, count: usize) -> bool {
        if self.end - self.start >= count { true } else { self.fill_from_source(count) }
    }

    #[cold]
    fn fill_from_source(&mut self, count: usize) -> bool {
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        while self.end < count && !self.at_end {
            if self.end == self.buffer.len() {
                self.buffer.resize(self.buffer.len() + CHUNK, 0);
            }
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.at_end = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.failure = Some(error);
                    self.at_end = true;
                }
            }
        }
        self.end >= count
    }

    fn no_more(&mut self, offset: u64, what: &'static str) -> Result<(), Error> {
        if !self.begun {
            return Err(Error::Truncated { what: "section header", offset, end: offset });
        }
        match self.failure {
            Some(_) => Err(self.truncated(offset, what)),
            None => Ok(()),
        }
    }

    /// The source ended inside something: cut off, or it could not be read.
    fn truncated(&mut self, offset: u64, what: &'static str) -> Error {
        let end = self.base + self.end as u64;
        match self.failure.take() {
            Some(source) if source.kind() != io::ErrorKind::UnexpectedEof => {
                Error::Io { doing: "read", offset: end, source }
            }
            _ => Error::Truncated { what, offset, end },
        }
    }

    fn plain(&self, block: Block) -> Result<Item<'_>, Error> {
        let overrun = |what| Error::Overrun { what, offset: block.offset };
        let order = self.order;
        let mut walk = self.walk(block.start, block.end);
        if block.kind == Kind::Machine {
            return Machine::read(&mut walk).map(Item::Machine).ok_or(overrun("machine info"));
        }
        let versions = (walk.u32(), walk.u16(), walk.u16());
        let (_, Some(major), Some(minor)) = versions else { return Err(overrun("section header")) };
        Ok(Item::Section { major, minor, order })
    }

    /// The code of an event; `None` where the table does not have it.
    #[inline]
    fn code(&self, block: &Block, layout: EventLayout) -> Result<Option<(u16, &'static EventType)>, Error> {
        let place = block.start + header_start(layout) + 20;
        let bytes = self.buffer.get(place..place + 2).and_then(|bytes| bytes.try_into().ok());
        let code = self.order.u16(bytes.ok_or(Error::Overrun { what: "event", offset: block.offset })?);
        Ok(table::event_type_of(code).map(|kind| (code, kind)))
    }

    #[inline]
    fn event(
        &self,
        block: Block,
        layout: EventLayout,
        (code, kind): (u16, &'static EventType),
    ) -> Result<Item<'_>, Error> {
        let overrun = Error::Overrun { what: "event", offset: block.offset };
        let mut walk = self.walk(block.start, block.end);
        let read = |walk: &mut Walk<'_>| {
            let cpu = walk.u16()?;
            let flags = if layout.flags { walk.u32()? } else { 0 };
            let (time, thread, length) = (walk.u64()?, walk.i64()?, walk.u32()? as usize);
            walk.u16()?;
            let count = if layout.counted { Some(walk.u32()?) } else { None };
            let before = if layout.counted { 26 } else { 22 };
            // Old sensors gave these two a length that is 3 too large (libs, `scap_savefile.c`).
            let excess = if !layout.counted && matches!(kind.name, "notification" | "infra") { 3 } else { 0 };
            let length = length.checked_sub(before + excess)?;
            Some((Header { time, thread, code, cpu, flags, large: layout.large, count }, length))
        };
        let Some((header, length)) = read(&mut walk) else { return Err(overrun) };
        let Some(body) = walk.take(length) else { return Err(overrun) };
        let event = Event::new(header, kind, self.order, body);
        event.map(Item::Event).ok_or(Error::Parameters { offset: block.offset, code })
    }

    /// The next entry of the list that is being read.
    fn entry(&mut self) -> Result<Item<'_>, Error> {
        let Reader { buffer, list, order, base, .. } = self;
        let Some(List { kind, position, end, thread }) = *list else {
            return Err(Error::Overrun { what: "list", offset: *base });
        };
        let offset = *base + position as u64;
        let (what, sized) = match kind {
            Kind::Processes(version) => ("process", version >= 9),
            Kind::Descriptors { sized } => ("descriptor", sized),
            Kind::Interfaces { sized } => ("interface", sized),
            _ => ("user", matches!(kind, Kind::Users { sized: true })),
        };
        // Whatever goes wrong below, the list is left and reading goes on with the next block.
        *list = None;
        let overrun = Error::Overrun { what, offset };
        let mut walk = Walk::new(buffer.get(position..end).unwrap_or_default(), *order);
        let mut entry = walk;
        if sized {
            let Some(length) = walk.u32() else { return Err(overrun) };
            // The length counts itself, but for interfaces.
            let length = if what == "interface" { Some(length) } else { length.checked_sub(4) };
            let Some(bytes) = length.and_then(|length| walk.take(length as usize)) else {
                return Err(overrun);
            };
            entry = Walk::new(bytes, *order);
        }
        let item = match kind {
            Kind::Processes(version) => {
                Process::read(&mut entry, version).map(|found| Item::Process(Box::new(found)))
            }
            Kind::Descriptors { sized } => {
                Descriptor::read(&mut entry, sized).map(|found| Item::Descriptor(thread, found))
            }
            Kind::Interfaces { .. } => match Interface::read(&mut entry) {
                Some(Ok(found)) => Some(Item::Interface(found)),
                Some(Err(kind)) => return Err(Error::Interface { offset, kind }),
                None => None,
            },
            _ => Account::read(&mut entry).map(Item::Account),
        };
        let Some(item) = item else { return Err(overrun) };
        let left = if sized { walk.left() } else { entry.left() };
        if left >= 4 {
            *list = Some(List { kind, position: end - left, end, thread });
        }
        Ok(item)
    }
}

enum Step {
    Event(Block, EventLayout, (u16, &'static EventType)),
    Plain(Block),
    List,
}

fn header_start(layout: EventLayout) -> usize {
    if layout.flags { 6 } else { 2 }
}

/// The least and the most bytes that a block may have.
fn bounds(kind: Kind) -> (u32, u32) {
    match kind {
        Kind::Section => (8 + 16 + 4, MOST_EVENT),
        Kind::Event(layout) => {
            let header = if layout.counted { 26 } else { 22 };
            let least = 8 + header_start(layout) as u32 + header + 4;
            (least, if layout.large { MOST_LARGE_EVENT } else { MOST_EVENT + 8 })
        }
        _ => (8 + 4, MOST_LIST),
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Section => "section header",
        Kind::Machine => "machine info",
        Kind::Processes(_) => "process list",
        Kind::Descriptors { .. } => "descriptor list",
        Kind::Interfaces { .. } => "interface list",
        Kind::Users { .. } => "user list",
        Kind::Event(_) => "event",
        Kind::Unknown => "block of an unknown type",
    }
}
