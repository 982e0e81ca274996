//! The types of blocks. Numbers that begin with 0x80 are those from before the format was published.

/// Section header: begins every section, and says its byte order.
pub(crate) const SECTION: u32 = 0x0A0D_0D0A;
pub(crate) const SECTION_MAGIC: u32 = 0x1A2B_3C4D;
/// Versions of the format that are written, and the newest that can be read.
pub(crate) const MAJOR: u16 = 1;
pub(crate) const MINOR: u16 = 2;

pub(crate) const MACHINE: u32 = 0x201;
pub(crate) const PROCESSES_9: u32 = 0x215;
pub(crate) const DESCRIPTORS: u32 = 0x203;
pub(crate) const DESCRIPTORS_2: u32 = 0x218;
pub(crate) const INTERFACES: u32 = 0x205;
pub(crate) const INTERFACES_2: u32 = 0x219;
pub(crate) const USERS: u32 = 0x206;
pub(crate) const USERS_2: u32 = 0x220;
pub(crate) const EVENT_2: u32 = 0x216;
pub(crate) const EVENT_FLAGS_2: u32 = 0x217;
pub(crate) const EVENT_2_LARGE: u32 = 0x221;
pub(crate) const EVENT_FLAGS_2_LARGE: u32 = 0x222;

/// What a block holds, by its type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Section,
    Machine,
    /// Entries of this version; from version 9 each begins with its length.
    Processes(u8),
    Descriptors {
        sized: bool,
    },
    Interfaces {
        sized: bool,
    },
    Users {
        sized: bool,
    },
    Event(EventLayout),
    Unknown,
}

/// How an event lies in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventLayout {
    /// 32 bits of flags stand before the event.
    pub(crate) flags: bool,
    /// The header of the event says how many parameters it has.
    pub(crate) counted: bool,
    /// Lengths of parameters have 32 bits instead of 16.
    pub(crate) large: bool,
}

pub(crate) fn kind(block: u32) -> Kind {
    let event = |flags, counted, large| Kind::Event(EventLayout { flags, counted, large });
    match block {
        SECTION => Kind::Section,
        MACHINE | 0x8002_ABCD => Kind::Machine,
        0x202 | 0x8000_ABCD => Kind::Processes(1),
        0x207 | 0x8013_ABCD => Kind::Processes(2),
        0x209 | 0x8014_ABCD => Kind::Processes(3),
        0x210..=0x214 => Kind::Processes(4 + (block - 0x210) as u8),
        PROCESSES_9 => Kind::Processes(9),
        DESCRIPTORS | 0x8001_ABCD => Kind::Descriptors { sized: false },
        DESCRIPTORS_2 => Kind::Descriptors { sized: true },
        INTERFACES | 0x8011_ABCD => Kind::Interfaces { sized: false },
        INTERFACES_2 => Kind::Interfaces { sized: true },
        USERS | 0x8012_ABCD => Kind::Users { sized: false },
        USERS_2 => Kind::Users { sized: true },
        0x204 | 0x8010_ABCD => event(false, false, false),
        0x208 => event(true, false, false),
        EVENT_2 => event(false, true, false),
        EVENT_FLAGS_2 => event(true, true, false),
        EVENT_2_LARGE => event(false, true, true),
        EVENT_FLAGS_2_LARGE => event(true, true, true),
        _ => Kind::Unknown,
    }
}
