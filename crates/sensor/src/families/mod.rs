//! Families of what the sensor watches, each in a folder: the BPF side (`*.bpf.h`) and the Rust side, which lists the
//! system calls of the family, how the programs are to tell them, and how their records become events.

use std::collections::HashMap;

use crate::event::{Entry, Lane, What};
use crate::kinds::Kind;
use crate::numbers;
use crate::record::Record;

pub(crate) mod devices;
pub(crate) mod files;
pub(crate) mod io_uring;
pub(crate) mod modules;
pub(crate) mod mounts;
pub(crate) mod namespaces;
pub(crate) mod process;
pub(crate) mod sockets;

/// A family, for those who want only some.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    Process,
    Namespaces,
    Mounts,
    Files,
    Sockets,
    Modules,
    IoUring,
    Devices,
}

impl Family {
    pub const ALL: [Family; 8] = [
        Family::Process,
        Family::Namespaces,
        Family::Mounts,
        Family::Files,
        Family::Sockets,
        Family::Modules,
        Family::IoUring,
        Family::Devices,
    ];

    pub(crate) fn calls(self) -> &'static [Call] {
        match self {
            Family::Process => process::CALLS,
            Family::Namespaces => namespaces::CALLS,
            Family::Mounts => mounts::CALLS,
            Family::Files => files::CALLS,
            Family::Sockets => sockets::CALLS,
            Family::Modules => modules::CALLS,
            Family::IoUring => io_uring::CALLS,
            Family::Devices => devices::CALLS,
        }
    }
}

/// The BPF program that a call is handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    Any,
    Open,
    Socket,
    Received,
}

impl Program {
    pub(crate) const ALL: [Program; 4] = [Program::Any, Program::Open, Program::Socket, Program::Received];

    /// Its place in the programs' table (`enum call_program`); 0 is a call that nobody watches.
    pub(crate) fn number(self) -> u8 {
        match self {
            Program::Any => 1,
            Program::Open => 2,
            Program::Socket => 3,
            Program::Received => 4,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Program::Any => "call_any",
            Program::Open => "files_open",
            Program::Socket => "sockets_call",
            Program::Received => "sockets_received",
        }
    }
}

/// Where a call is rare; elsewhere it is bulk, or with `ONLY` not told at all.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Test {
    None,
    /// The argument at the position has one of these bits.
    Bits(u8, u64),
    /// The argument at the position is one of these numbers (bit N for number N), or above 63.
    Number(u8, u64),
    /// The argument at the position points to 8 bytes that have one of these bits.
    BitsAt(u8, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    Nothing,
    WorkingDirectory,
    Root,
}

/// May change credentials or namespaces.
pub(crate) const EXPLAINS: u8 = 1;
/// The process is named by a pidfd.
pub(crate) const PIDFD: u8 = 2;
/// Where the test fails nothing is told.
pub(crate) const ONLY: u8 = 4;
/// Not where it returned 0.
pub(crate) const NOT_ZERO: u8 = 8;
/// Of processes outside containers too; the loader keeps of those only what touches the sensor.
pub(crate) const HOST: u8 = 16;
/// The first argument is a file system context.
pub(crate) const CONTEXT: u8 = 32;

/// A security hook may have noted what the kernel resolved.
pub(crate) const NOTED: u8 = 64;

/// A directory position: the task's working directory.
pub(crate) const WORKING_DIRECTORY: u8 = 8;
/// A file position: the descriptor that the call returned.
pub(crate) const RETURNED: u8 = 7;

/// System calls of one shape. Positions of arguments are 1 to 6; 0 is none.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    pub names: &'static [&'static str],
    pub kind: Kind,
    pub lane: Lane,
    pub program: Program,
    pub text: [u8; 4],
    pub directory: [u8; 2],
    pub file: [u8; 2],
    pub process: u8,
    /// Position of a pointer and how many bytes to read there.
    pub block: (u8, u8),
    pub address: u8,
    pub socket: u8,
    pub test: Test,
    pub after: After,
    pub flags: u8,
    pub decode: fn(&Record<'_>) -> What,
}

impl Call {
    /// A rare call of which only the numbers are told.
    pub(crate) const fn rare(
        names: &'static [&'static str],
        kind: Kind,
        decode: fn(&Record<'_>) -> What,
    ) -> Call {
        Call {
            names,
            kind,
            lane: Lane::Rare,
            program: Program::Any,
            text: [0; 4],
            directory: [0; 2],
            file: [0; 2],
            process: 0,
            block: (0, 0),
            address: 0,
            socket: 0,
            test: Test::None,
            after: After::Nothing,
            flags: 0,
            decode,
        }
    }

    /// A call that is told only where somebody asked for its kind.
    pub(crate) const fn bulk(
        names: &'static [&'static str],
        kind: Kind,
        decode: fn(&Record<'_>) -> What,
    ) -> Call {
        Call { lane: Lane::Bulk, ..Call::rare(names, kind, decode) }
    }

    /// As `struct call` of `bpf/record.h`.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let (test, position, mask) = match self.test {
            Test::None => (0, 0, 0),
            Test::Bits(position, mask) => (1, position, mask),
            Test::Number(position, mask) => (2, position, mask),
            Test::BitsAt(position, mask) => (3, position, mask),
        };
        let mut bytes = Vec::with_capacity(32);
        bytes.extend((self.kind as u16).to_le_bytes());
        bytes.push(u8::from(self.lane == Lane::Bulk));
        bytes.push(self.flags);
        bytes.extend(self.text);
        bytes.extend(self.directory);
        bytes.extend(self.file);
        bytes.extend([self.process, self.block.0, self.block.1, test, position]);
        bytes.push(match self.after {
            After::Nothing => 0,
            After::WorkingDirectory => 1,
            After::Root => 2,
        });
        bytes.extend([self.address, self.socket, self.program.number(), 0, 0, 0]);
        bytes.resize(24, 0);
        bytes.extend(u64::to_le_bytes(mask));
        bytes
    }

    /// Whether the call can be told on the rare lane at all.
    pub(crate) fn may_be_rare(&self) -> bool {
        let by_test = !matches!(self.test, Test::None) && self.flags & ONLY == 0;
        self.lane == Lane::Rare || by_test || self.program != Program::Any
    }
}

/// Calls by how they enter the kernel and their number.
#[derive(Default)]
pub(crate) struct Calls(HashMap<(bool, u32), &'static Call>);

impl Calls {
    pub(crate) fn of(families: &[Family]) -> Calls {
        let mut calls = HashMap::new();
        for call in families.iter().flat_map(|family| family.calls()) {
            for name in call.names {
                for compat in [false, true] {
                    if let Some(number) = numbers::number_of(name, compat) {
                        calls.insert((compat, number), call);
                    }
                }
            }
        }
        Calls(calls)
    }

    pub(crate) fn get(&self, entry: Entry) -> Option<&'static Call> {
        match entry {
            Entry::SystemCall(number) => self.0.get(&(false, number)).copied(),
            Entry::Compat(number) => self.0.get(&(true, number)).copied(),
            _ => None,
        }
    }

    /// Slot of the programs' tables, and the call.
    pub(crate) fn slots(&self) -> impl Iterator<Item = (u32, &'static Call)> + '_ {
        self.0.iter().map(|((compat, number), call)| (number + if *compat { 512 } else { 0 }, *call))
    }
}

/// The kind that a system call is told as; None where the sensor does not tell it.
pub fn kind_of_call(name: &str) -> Option<Kind> {
    let mut calls = Family::ALL.iter().flat_map(|family| family.calls());
    calls.find(|call| call.names.contains(&name)).map(|call| call.kind)
}

/// The event's content, from a record.
pub(crate) fn decode(calls: &Calls, record: &Record<'_>) -> Option<What> {
    if let Some(call) = calls.get(record.head.entry)
        && call.kind as u16 == record.head.kind
    {
        return Some((call.decode)(record));
    }
    let kind = Kind::from_number(record.head.kind)?;
    process::decode(kind, record)
        .or_else(|| modules::decode(kind, record))
        .or_else(|| io_uring::decode(kind, record))
        .or_else(|| files::decode(kind, record))
        .or_else(|| sockets::decode(kind, record))
}

/// A call told by its name and first numbers.
pub(crate) fn rare_call(record: &Record<'_>) -> What {
    What::RareCall {
        call: record.call_name(),
        arguments: [record.argument(0), record.argument(1), record.argument(2)],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_of_the_tables_has_a_number_and_none_is_listed_twice() {
        let mut seen = std::collections::HashSet::new();
        for call in Family::ALL.iter().flat_map(|family| family.calls()) {
            for name in call.names {
                let known = numbers::number_of(name, false).or(numbers::number_of(name, true));
                assert!(known.is_some(), "{name} is in no table of numbers");
                assert!(known.unwrap() < 512, "{name} has a number beyond the programs' table");
                assert!(seen.insert(*name), "{name} is listed twice");
            }
        }
    }

    #[test]
    fn a_call_has_the_size_that_the_programs_read() {
        for call in Family::ALL.iter().flat_map(|family| family.calls()) {
            assert_eq!(call.to_bytes().len(), 32);
        }
    }
}
