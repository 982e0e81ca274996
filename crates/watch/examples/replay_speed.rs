//! How fast captures are replayed: a generated capture of ten million events, read on one core with the rules of a file.
//!
//! ```text
//! cargo run --release -p watch --example replay_speed -- [RULES.yaml] [EVENTS]
//! ```
//!
//! The events are those of a busy machine: mostly reads and writes, files opened and closed, some polls and
//! connections, now and then a program. They are made by the writer of captures, a part at a time, so that no gigabyte
//! lies about; the time of making them is measured apart and taken off. Time is that of the processor, so that
//! what else runs on the machine does not count.

use std::io::{Cursor, Read};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use capture::list::{Account, Group, Process, User};
use capture::table::{EventType, event_types};
use capture::writer::NewEvent;
use capture::{Reader, Writer};
use rules::{Loader, Matcher, Selection};
use rustix::time::{ClockId, clock_gettime};
use watch::replay::Replay;

const PROCESSES: i64 = 400;

/// The two codes that a sensor of today writes for a call.
struct Call {
    enter: &'static EventType,
    exit: &'static EventType,
}

fn call(name: &str) -> Call {
    let code = event_types()
        .iter()
        .filter(|event| event.name == name && event.enter && !event.marks.old && !event.marks.unused)
        .map(|event| event.code)
        .next_back()
        .expect("the call is in the table");
    Call { enter: &event_types()[usize::from(code)], exit: &event_types()[usize::from(code) + 1] }
}

/// Bytes of a parameter.
enum Argument<'a> {
    Number(i64),
    Unsigned(u32),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// Makes events in an order that repeats only after long.
struct Maker {
    writer: Option<Writer<Vec<u8>>>,
    time: u64,
    random: u64,
    made: u64,
}

impl Maker {
    fn next(&mut self) -> u64 {
        // Xorshift: the same in every run.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn event(&mut self, thread: i64, kind: &'static EventType, arguments: &[Argument<'_>]) {
        self.time += 700;
        self.made += 1;
        let bytes: Vec<Vec<u8>> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Number(number) => number.to_le_bytes().to_vec(),
                Argument::Unsigned(number) => number.to_le_bytes().to_vec(),
                Argument::Text(text) => [text.as_bytes(), b"\0"].concat(),
                Argument::Bytes(bytes) => bytes.to_vec(),
            })
            .collect();
        let parameters: Vec<&[u8]> = bytes.iter().map(Vec::as_slice).collect();
        let event =
            NewEvent { time: self.time, thread, cpu: (thread % 8) as u16, kind, parameters: &parameters };
        let writer = self.writer.as_mut().expect("the writer is there");
        writer.new_event(&event).expect("memory takes it");
    }

    fn pair(&mut self, thread: i64, call: &Call, enter: &[Argument<'_>], exit: &[Argument<'_>]) {
        self.event(thread, call.enter, enter);
        self.event(thread, call.exit, exit);
    }
}

struct Calls {
    read: Call,
    write: Call,
    openat: Call,
    close: Call,
    fstat: Call,
    futex: Call,
    poll: Call,
    mmap: Call,
    socket: Call,
    connect: Call,
    clone: Call,
    execve: Call,
    exit: &'static EventType,
}

/// The beginning of a capture: the machine's lists.
fn lists(writer: &mut Writer<Vec<u8>>) {
    let root = Account::User(User { uid: 0, gid: 0, name: b"root", home: b"/root", shell: b"/bin/bash" });
    let web =
        Account::User(User { uid: 33, gid: 33, name: b"www-data", home: b"/var/www", shell: b"/bin/false" });
    let group = Account::Group(Group { gid: 0, name: b"root" });
    writer.accounts([root, web, group]).expect("memory takes it");
    let container = "a".repeat(64);
    let cgroups = format!("memory=/docker/{container}\0");
    let processes = (1..=PROCESSES).map(|number| Process {
        thread: number,
        process: number,
        parent: if number == 1 { 0 } else { number / 2 },
        session: Some(1),
        name: if number % 3 == 0 { b"nginx" } else { b"postgres" },
        executable: b"/usr/sbin/nginx",
        executable_path: Some(b"/usr/sbin/nginx"),
        arguments: b"-g\0daemon off;\0",
        directory: b"/srv/",
        descriptor_limit: 1024,
        uid: if number % 2 == 0 { 33 } else { 0 },
        thread_inside: Some(number),
        process_inside: Some(number),
        cgroups: if number % 2 == 0 { cgroups.as_bytes() } else { b"memory=/\0" },
        root: b"/",
        ..Process::default()
    });
    writer.processes(processes).expect("memory takes it");
}

/// A few events that belong together.
fn group(maker: &mut Maker, calls: &Calls) {
    use Argument::{Bytes, Number, Text, Unsigned};
    let thread = (maker.next() % PROCESSES as u64) as i64 + 1;
    let data = [b'x'; 80];
    match maker.next() % 1000 {
        0..=9 => {
            // A program: fork, exec and end.
            let child = 10_000 + (maker.next() % 20_000) as i64;
            let image = [
                Text("sh"),
                Bytes(b"-c\0true\0"),
                Number(child),
                Number(child),
                Number(thread),
                Text("/srv"),
                Number(1024),
                Number(0),
                Number(12),
                Unsigned(4096),
                Unsigned(512),
                Unsigned(0),
                Text("sh"),
                Bytes(b"memory=/\0"),
            ];
            let forked: Vec<Argument<'_>> = std::iter::once(Number(0))
                .chain(image)
                .chain([Unsigned(0), Unsigned(0), Unsigned(0), Number(child), Number(child), Number(0)])
                .collect();
            maker.event(child, calls.clone.exit, &forked);
            let executed = [
                Number(0),
                Text("/bin/sh"),
                Bytes(b"-c\0true\0"),
                Number(child),
                Number(child),
                Number(thread),
                Text("/srv"),
                Number(1024),
                Number(0),
                Number(12),
                Unsigned(4096),
                Unsigned(512),
                Unsigned(0),
                Text("sh"),
                Bytes(b"memory=/\0"),
                Bytes(b"PATH=/bin\0HOME=/\0"),
                Unsigned(0),
                Number(child),
                Unsigned(u32::MAX),
                Unsigned(0),
            ];
            maker.pair(child, &calls.execve, &[Text("/bin/sh")], &executed);
            maker.event(child, calls.exit, &[Number(0), Number(0), Bytes(&[0]), Bytes(&[0]), Number(1)]);
        }
        10..=29 => {
            let ends = [2u8, 10, 0, 0, 1, 0x90, 0x1F, 10, 0, 0, 2, 0x50, 0];
            let number = Number(20);
            maker.pair(thread, &calls.socket, &[Unsigned(2), Unsigned(1), Unsigned(0)], &[number]);
            maker.pair(thread, &calls.connect, &[Number(20)], &[Number(0), Bytes(&ends), Number(20)]);
            maker.pair(thread, &calls.write, &[Number(20), Unsigned(80)], &[Number(80), Bytes(&data)]);
            maker.pair(thread, &calls.close, &[Number(20)], &[Number(0)]);
        }
        30..=249 => {
            let number = 3 + (maker.next() % 12) as i64;
            let name = format!("/srv/data/{}/part-{}", maker.next() % 97, maker.next() % 1009);
            let opened = [
                Number(number),
                Number(-100),
                Text(&name),
                Unsigned(1 | 4096),
                Unsigned(0),
                Unsigned(0x801),
                Number(77),
            ];
            let asked = [Number(-100), Text(&name), Unsigned(1 | 4096), Unsigned(0)];
            maker.pair(thread, &calls.openat, &asked, &opened);
            maker.pair(thread, &calls.fstat, &[Number(number)], &[Number(0)]);
            maker.pair(thread, &calls.read, &[Number(number), Unsigned(4096)], &[Number(80), Bytes(&data)]);
            maker.pair(thread, &calls.close, &[Number(number)], &[Number(0)]);
        }
        250..=549 => {
            let number = 3 + (maker.next() % 12) as i64;
            maker.pair(thread, &calls.read, &[Number(number), Unsigned(4096)], &[Number(80), Bytes(&data)]);
        }
        550..=799 => {
            let number = 3 + (maker.next() % 12) as i64;
            maker.pair(thread, &calls.write, &[Number(number), Unsigned(80)], &[Number(80), Bytes(&data)]);
        }
        800..=949 => {
            let asked = [Number(0x7F00_0000), Bytes(&[0, 1]), Number(1)];
            maker.pair(thread, &calls.futex, &asked, &[Number(0)]);
        }
        950..=979 => {
            let listed = [1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 1, 0];
            maker.pair(thread, &calls.poll, &[Bytes(&listed), Number(100)], &[Number(1), Bytes(&listed)]);
        }
        _ => {
            let asked = [Number(0), Number(4096), Unsigned(3), Unsigned(10), Number(-1), Number(0)];
            let mapped = [Number(0x7FAD_0000), Unsigned(400), Unsigned(4), Unsigned(0)];
            maker.pair(thread, &calls.mmap, &asked, &mapped);
        }
    }
}

/// Gives the capture as it is read, and notes how long making it took.
struct Source {
    maker: Maker,
    calls: Calls,
    left: u64,
    part: Cursor<Vec<u8>>,
    spent: Arc<Mutex<(Duration, u64, u64)>>,
}

impl Read for Source {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.part.read(buffer)?;
        if read > 0 || self.left == 0 {
            return Ok(read);
        }
        let began = processor_time();
        let before = self.maker.made;
        let most = self.left.min(200_000);
        while self.maker.made - before < most {
            group(&mut self.maker, &self.calls);
        }
        self.left = self.left.saturating_sub(self.maker.made - before);
        let whole =
            self.maker.writer.take().map(Writer::finish).transpose().map_err(std::io::Error::other)?;
        let whole = whole.unwrap_or_default();
        // Only the first part begins with a header.
        let header = if before == 0 { 0 } else { 28 };
        self.part = Cursor::new(whole[header..].to_vec());
        self.maker.writer = Some(Writer::new(Vec::new(), false).map_err(std::io::Error::other)?);
        let mut spent = self.spent.lock().map_err(|_| std::io::Error::other("poisoned"))?;
        spent.0 += processor_time().saturating_sub(began);
        spent.1 += (whole.len() - header) as u64;
        spent.2 = self.maker.made;
        drop(spent);
        self.part.read(buffer)
    }
}

/// Of this process, which has one thread.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let rules = arguments.next().map(PathBuf::from);
    let events = arguments.next().and_then(|number| number.parse().ok()).unwrap_or(10_000_000);
    let mut writer = Writer::new(Vec::new(), false).expect("memory takes it");
    lists(&mut writer);
    let calls = Calls {
        read: call("read"),
        write: call("write"),
        openat: call("openat"),
        close: call("close"),
        fstat: call("fstat"),
        futex: call("futex"),
        poll: call("poll"),
        mmap: call("mmap"),
        socket: call("socket"),
        connect: call("connect"),
        clone: call("clone"),
        execve: call("execve"),
        exit: call("procexit").enter,
    };
    let spent = Arc::new(Mutex::new((Duration::ZERO, 0, 0)));
    let maker = Maker { writer: Some(writer), time: 1_700_000_000_000_000_000, random: 88_172_645, made: 0 };
    let source = Source { maker, calls, left: events, part: Cursor::new(Vec::new()), spent: spent.clone() };
    let mut loader = Loader::new(Default::default());
    if let Some(file) = &rules {
        loader.file(file);
    }
    let loaded = loader.finish();
    let matcher = Matcher::new(&loaded, &Selection::default());
    let wanted = matcher.required_event_types();
    let mut scratch = matcher.scratch();

    let began = processor_time();
    let mut replay = Replay::new(Reader::new(source).expect("memory can be read"));
    let (mut asked, mut matched) = (0u64, 0u64);
    replay.for_each_of(&wanted, |view| {
        asked += 1;
        matched += matcher.matches(view, &mut scratch).count() as u64;
    });
    let whole = processor_time().saturating_sub(began);
    let (making, bytes, made) = *spent.lock().expect("nobody panicked");
    let took = whole.saturating_sub(making);
    let count = replay.counts().events;
    assert_eq!(count, made, "every event that was written is read");
    assert!(replay.faults().is_empty(), "{:?}", replay.faults());
    println!("rules: {}, types of events they want: {}", matcher.rules().len(), wanted.len());
    println!("events: {count}, bytes: {bytes}; asked about: {asked}, matches: {matched}");
    println!(
        "replayed in {:.2} s (making them took {:.2} s, not counted): {:.2} M events/s, {:.0} MB/s",
        took.as_secs_f64(),
        making.as_secs_f64(),
        count as f64 / took.as_secs_f64() / 1e6,
        bytes as f64 / took.as_secs_f64() / 1e6
    );
}
