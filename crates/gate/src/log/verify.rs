//! Whether a chain is whole. What is found here is what differs from the chain as it was written; whoever can write the
//! file can write all of it anew, which only an anchor that was kept elsewhere tells.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::Deserialize;

use super::line::{Chained, Hash, Link};
use super::{LONGEST, beside, head};

/// So many are told; the rest is counted.
const TOLD: usize = 100;

/// So many lines after a fault are known again.
const SEEN: usize = 1 << 16;

/// A link that was kept elsewhere: `SEQUENCE:HASH` or `HASH`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Anchor {
    pub sequence: Option<u64>,
    pub hash: Hash,
}

impl std::str::FromStr for Anchor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Anchor, Self::Err> {
        let (sequence, hash) = match text.split_once([':', ' ']) {
            Some((sequence, hash)) => {
                let sequence = sequence.parse().map_err(|_| "the part before the colon is not a number")?;
                (Some(sequence), hash)
            }
            None => (None, text),
        };
        let hash = Hash::parse(hash.as_bytes())
            .ok_or("this is not SEQUENCE:HASH, with a hash of 64 lower-case hexadecimal digits")?;
        Ok(Anchor { sequence, hash })
    }
}

/// What is wrong at one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    pub file: Arc<Path>,
    /// From 1; the last line of the file where something is missing after it.
    pub line: u64,
    pub fault: Fault,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It does not have the shape of a line of a log.
    NotALine,
    /// It is longer than a line may be.
    TooLong,
    /// It is not JSON, though it has the shape of a line.
    NotJson,
    /// It does not end: the writer was cut off, or the file was.
    Unfinished,
    /// Its bytes are not those that were hashed.
    Changed { sequence: u64 },
    /// Its number follows, but it was made after another line than the one before it.
    Unchained { sequence: u64 },
    /// Lines that should stand before it do not.
    Missing { from: u64, to: u64 },
    /// Lines that should stand before it stand further down.
    Reordered { from: u64, to: u64 },
    /// It stands after lines that were written after it.
    Misplaced { sequence: u64, after: u64 },
    /// It is there for the second time in a row.
    Duplicated { sequence: u64 },
    /// FILE.head knows of lines after the last.
    CutOff { from: u64, to: u64 },
    /// FILE.head names another line by this number.
    OtherHead { sequence: u64 },
    /// An anchor is not in the chain.
    NoAnchor(Anchor),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let range = |from: &u64, to: &u64| match from == to {
            true => format!("record {from} is"),
            false => format!("records {from} to {to} are"),
        };
        match self {
            Fault::NotALine => f.write_str("this is not a line of a log of decisions"),
            Fault::TooLong => write!(f, "this line is longer than {LONGEST} bytes"),
            Fault::NotJson => f.write_str("this line is not JSON"),
            Fault::Unfinished => {
                f.write_str("the last line does not end: its writer was cut off, or the file was")
            }
            Fault::Changed { sequence } => {
                write!(f, "record {sequence} was changed: its hash is not that of its bytes")
            }
            Fault::Unchained { sequence } => write!(
                f,
                "record {sequence} was made after another line than the one before it: that one was replaced, or this is \
                 of another log"
            ),
            Fault::Missing { from, to } => write!(f, "{} missing before this line", range(from, to)),
            Fault::Reordered { from, to } => {
                write!(f, "{} further down, not before this line: lines were reordered", range(from, to))
            }
            Fault::Misplaced { sequence, after } => {
                write!(f, "record {sequence} stands after record {after}: lines were reordered or put in")
            }
            Fault::Duplicated { sequence } => write!(f, "record {sequence} is there twice"),
            Fault::CutOff { from, to } => {
                write!(f, "{} missing after the last line, by FILE.head", range(from, to))
            }
            Fault::OtherHead { sequence } => {
                write!(f, "record {sequence} is not the one that FILE.head names: lines were replaced")
            }
            Fault::NoAnchor(Anchor { sequence: Some(sequence), hash }) => {
                write!(
                    f,
                    "the anchor {sequence}:{hash} is not in the chain: it was cut off before, or written anew"
                )
            }
            Fault::NoAnchor(Anchor { sequence: None, hash }) => {
                write!(f, "the anchor {hash} is not in the chain: it was cut off before, or written anew")
            }
        }
    }
}

impl Fault {
    /// In one word, for programs.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::NotALine => "not-a-line",
            Fault::TooLong => "too-long",
            Fault::NotJson => "not-json",
            Fault::Unfinished => "unfinished",
            Fault::Changed { .. } => "changed",
            Fault::Unchained { .. } => "unchained",
            Fault::Missing { .. } => "missing",
            Fault::Reordered { .. } => "reordered",
            Fault::Misplaced { .. } => "misplaced",
            Fault::Duplicated { .. } => "duplicated",
            Fault::CutOff { .. } => "cut-off",
            Fault::OtherHead { .. } => "other-head",
            Fault::NoAnchor(_) => "no-anchor",
        }
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Verified {
    /// Lines that were read.
    pub lines: u64,
    pub first: Option<Link>,
    pub last: Option<Link>,
    /// In the order of the files, of those that are told; anchors and the head come last.
    pub wrong: Vec<Wrong>,
    /// How many there are.
    pub faults: u64,
}

impl Verified {
    pub fn is_whole(&self) -> bool {
        self.faults == 0
    }
}

/// Reads lines in their order.
pub struct Verifier {
    found: Verified,
    before: Before,
    anchors: Vec<(Anchor, bool)>,
    /// Lines of the file that is read.
    number: u64,
    /// Numbers of lines since the first fault: what is only out of its order is not called missing.
    seen: BTreeSet<u64>,
}

/// What the next line is compared with.
#[derive(Clone, Copy)]
enum Before {
    Nothing,
    Line(Link),
    /// A line whose link cannot be read.
    Unknown,
}

impl Verifier {
    pub fn new(anchors: impl IntoIterator<Item = Anchor>) -> Verifier {
        let anchors = anchors.into_iter().map(|anchor| (anchor, false)).collect();
        Verifier {
            found: Verified::default(),
            before: Before::Nothing,
            anchors,
            number: 0,
            seen: BTreeSet::new(),
        }
    }

    /// The next file of the chain, as it is when this begins. `each` sees every line that is sound in itself.
    pub fn file(&mut self, path: &Path, each: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let file = File::open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a file"));
        }
        let (size, told) = snapshot(path, &file)?;
        let path: Arc<Path> = path.into();
        self.number = 0;
        self.read(&path, BufReader::with_capacity(1 << 18, file.take(size)), each)?;
        if let Some(told) = told {
            self.head(&path, told);
        }
        Ok(())
    }

    /// The next lines of a file.
    pub fn read(
        &mut self,
        path: &Arc<Path>,
        mut bytes: impl BufRead,
        each: &mut dyn FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut line = Vec::new();
        loop {
            line.clear();
            let length = (&mut bytes).take(LONGEST as u64 + 1).read_until(b'\n', &mut line)?;
            if length == 0 {
                return Ok(());
            }
            self.number += 1;
            self.found.lines += 1;
            if line.pop_if(|last| *last == b'\n').is_some() {
                if self.line(path, &line) {
                    each(&line);
                }
                continue;
            }
            let fault = if length > LONGEST { Fault::TooLong } else { Fault::Unfinished };
            self.wrong(path, self.number, fault);
            self.before = Before::Unknown;
            skip_line(&mut bytes)?;
        }
    }

    /// One line without its line feed; whether it is sound in itself.
    fn line(&mut self, path: &Arc<Path>, bytes: &[u8]) -> bool {
        let number = self.number;
        let Some(line) = Chained::parse(bytes) else {
            self.wrong(path, number, Fault::NotALine);
            self.before = Before::Unknown;
            return false;
        };
        let sequence = line.sequence;
        let fault = match self.before {
            Before::Line(before) => follows(before, &line),
            Before::Nothing if goes_on(bytes) => None,
            Before::Nothing => follows(Link::NONE, &line),
            Before::Unknown => None,
        };
        match fault {
            // The other end of lines that were moved.
            Some(Fault::Missing { from, to }) if all_of(&self.seen, from, to) => {}
            Some(fault) => self.wrong(path, number, fault),
            None => {}
        }
        if self.found.faults > 0 && self.seen.len() < SEEN {
            self.seen.insert(sequence);
        }
        let sound = if !line.is_sound() {
            self.wrong(path, number, Fault::Changed { sequence });
            false
        } else if serde_json::from_slice::<serde::de::IgnoredAny>(bytes).is_err() {
            self.wrong(path, number, Fault::NotJson);
            false
        } else {
            true
        };
        for (anchor, met) in &mut self.anchors {
            *met |= sound && anchor.hash == line.hash && anchor.sequence.is_none_or(|s| s == sequence);
        }
        self.before = Before::Line(line.link());
        self.found.first.get_or_insert(line.link());
        self.found.last = Some(line.link());
        sound
    }

    /// What FILE.head says of the file that was just read.
    fn head(&mut self, path: &Arc<Path>, told: Link) {
        let last = self.found.last.unwrap_or(Link::NONE);
        let fault = if told.sequence > last.sequence {
            Fault::CutOff { from: last.sequence + 1, to: told.sequence }
        } else if told.sequence == last.sequence && told.hash != last.hash {
            Fault::OtherHead { sequence: told.sequence }
        } else {
            return;
        };
        self.wrong(path, self.found.lines, fault);
    }

    fn wrong(&mut self, file: &Arc<Path>, line: u64, fault: Fault) {
        self.found.faults += 1;
        if self.found.wrong.len() < TOLD {
            self.found.wrong.push(Wrong { file: file.clone(), line, fault });
        }
    }

    /// What was found until now.
    pub fn found(&self) -> &Verified {
        &self.found
    }

    /// The end of the last file, which has this path.
    pub fn finish(mut self, path: &Path) -> Verified {
        for wrong in &mut self.found.wrong {
            if let Fault::Missing { from, to } = wrong.fault
                && all_of(&self.seen, from, to)
            {
                wrong.fault = Fault::Reordered { from, to };
            }
        }
        let path: Arc<Path> = path.into();
        for (anchor, met) in std::mem::take(&mut self.anchors) {
            if !met {
                self.wrong(&path, self.found.lines, Fault::NoAnchor(anchor));
            }
        }
        self.found
    }
}

fn all_of(seen: &BTreeSet<u64>, from: u64, to: u64) -> bool {
    to - from < SEEN as u64 && seen.range(from..=to).count() as u64 == to - from + 1
}

/// What is wrong with a line that stands after another.
fn follows(before: Link, line: &Chained) -> Option<Fault> {
    let sequence = line.sequence;
    let next = before.sequence.saturating_add(1);
    if sequence == before.sequence && line.hash == before.hash {
        Some(Fault::Duplicated { sequence })
    } else if sequence > next {
        Some(Fault::Missing { from: next, to: sequence - 1 })
    } else if sequence < next {
        Some(Fault::Misplaced { sequence, after: before.sequence })
    } else if line.previous != before.hash {
        Some(Fault::Unchained { sequence })
    } else {
        None
    }
}

/// The line says itself that lines before it are in another file, which was rotated away.
fn goes_on(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Line {
        note: Kind,
    }
    #[derive(Deserialize)]
    struct Kind {
        kind: String,
    }
    serde_json::from_slice::<Line>(line).is_ok_and(|line| line.note.kind == "continued")
}

/// The size of the file and what FILE.head says, both between two records: writers wait for as long.
fn snapshot(path: &Path, file: &File) -> io::Result<(u64, Option<Link>)> {
    let path: PathBuf = beside(path, "head");
    let head = match File::open(path) {
        Ok(head) => head,
        // A copy, or a file that was rotated away; nobody writes to it.
        Err(_) => return Ok((file.metadata()?.len(), None)),
    };
    // Where the lock cannot be had for so long, the end may be that of a record which is being written.
    for _ in 0..1000 {
        match flock(&head, FlockOperation::NonBlockingLockShared) {
            Err(Errno::WOULDBLOCK | Errno::INTR) => std::thread::sleep(Duration::from_millis(2)),
            Ok(()) | Err(_) => break,
        }
    }
    let size = file.metadata()?.len();
    let mut text = Vec::new();
    head.take(128).read_to_end(&mut text)?;
    Ok((size, head::parse(&text)))
}

fn skip_line(bytes: &mut impl BufRead) -> io::Result<()> {
    loop {
        let buffer = bytes.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => {
                bytes.consume(end + 1);
                return Ok(());
            }
            None => {
                let all = buffer.len();
                bytes.consume(all);
            }
        }
    }
}
