//! Captures that lie: whatever their bytes are, replay ends, says what is wrong, and answers every field.

use std::io::Cursor;
use std::path::Path;

use capture::Reader;
use rules::fields::TABLE;
use rules::{Event as _, Field};
use watch::replay::{Replay, write_line};

/// The smallest real capture, without its compression; `None` where there is none.
fn whole() -> Option<Vec<u8>> {
    let corpora = std::env::var("STOCKADE_CORPORA")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/corpora").into());
    let file = Path::new(&corpora).join("captures/single_ipv6_conn.scap");
    if !file.exists() {
        eprintln!("skipped: there is no {}", file.display());
        return None;
    }
    // Written again, uncompressed and without most of the processes, so that events are hit, too.
    let mut writer = capture::Writer::new(Vec::new(), false).unwrap();
    let mut replay = Replay::open(&file).unwrap();
    let mut events = 0;
    replay.for_each(|view| {
        if events == 0 {
            let mut processes: Vec<_> = view.state().threads().map(|thread| thread.to_list()).collect();
            processes.sort_by_key(|process| process.thread);
            processes.truncate(8);
            let first = processes[0].thread;
            writer.processes(processes).unwrap();
            let thread = view.state().thread(first).unwrap();
            let table = view.state().descriptors(thread).unwrap();
            writer.descriptors(first, table.iter().map(|(number, found)| found.to_list(number))).unwrap();
        }
        events += 1;
        view.write(&mut writer).unwrap();
        true
    });
    assert!(events > 20);
    Some(writer.finish().unwrap())
}

/// Replays and asks of every event every field; how many events and faults there were.
fn replay(bytes: Vec<u8>) -> (u64, u64) {
    let fields: Vec<Field> = TABLE.iter().map(|row| Field::plain(row.id)).collect();
    let mut replay = Replay::new(Reader::new(Cursor::new(bytes)).unwrap());
    let keyed: Vec<Field> = [
        "evt.arg[1]",
        "evt.arg.fd",
        "evt.rawarg.res",
        "proc.aname[3]",
        "proc.env[PATH]",
        "container.mount.dest[/*]",
    ]
    .map(|name| Field::parse(name).unwrap())
    .into();
    replay.for_each(|view| {
        for field in fields.iter().chain(&keyed) {
            let _ = view.field(field);
            if field.is_any() {
                view.any(field, &mut |_| false);
            }
        }
        write_line(&mut Vec::new(), view).unwrap();
        true
    });
    (replay.counts().events, replay.fault_count())
}

#[test]
fn a_capture_with_any_byte_changed_is_replayed_to_its_end() {
    let Some(whole) = whole() else { return };
    let (events, faults) = replay(whole.clone());
    assert!(events > 20 && faults == 0);
    let mut random = 88_172_645_463_325_252u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random as usize
    };
    let (mut with_faults, mut with_other_events) = (0, 0);
    for _ in 0..1500 {
        let mut changed = whole.clone();
        for _ in 0..1 + next() % 4 {
            let place = next() % changed.len();
            changed[place] = match next() % 4 {
                0 => 0xFF,
                1 => 0,
                2 => changed[place] ^ 1 << (next() % 8),
                _ => next() as u8,
            };
        }
        let (found, faults) = replay(changed);
        with_faults += u64::from(faults > 0);
        with_other_events += u64::from(found != events);
    }
    // The changes are felt, and do not always end it.
    assert!(with_faults > 100 && with_other_events > 50, "{with_faults} {with_other_events}");
}
