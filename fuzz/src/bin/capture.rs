//! A capture is read to its end whatever its bytes are: within its size, each fault once and where it is, and what was
//! read of it is written and read again the same.
#![no_main]

use std::io::Cursor;

use capture::{Event, Item, Reader, Writer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Compressed bytes are more than they seem: only their being read counts.
    let compressed = bytes.starts_with(&[0x1F, 0x8B]);
    let (items, copied) = read(bytes, true);
    assert!(compressed || items.len() <= bytes.len(), "more items than bytes");
    let (again, _) = read(&copied, false);
    assert_eq!(items, again);
});

/// Everything that is told, in words, without what the writer leaves to its caller to order; and, where wanted, the
/// capture written again.
fn read(bytes: &[u8], write: bool) -> (Vec<String>, Vec<u8>) {
    let mut reader = Reader::new(Cursor::new(bytes.to_vec())).expect("memory can be read");
    let mut writer = Writer::new(Vec::new(), false).expect("memory takes it");
    let mut told = Vec::new();
    let mut before = 0;
    let mut faults = 0;
    loop {
        match reader.next() {
            Ok(Some(Item::Event(event))) => {
                ask(&event);
                if !write || writer.event(&event).is_ok() {
                    told.push(words(&event));
                }
            }
            Ok(Some(Item::Process(process))) => {
                if !write || writer.processes([*process]).is_ok() {
                    told.push(format!("{} {:?} {:?}", process.thread, process.name, process.arguments));
                }
            }
            Ok(Some(Item::Descriptor(thread, descriptor))) => {
                if !write || writer.descriptors(thread, [descriptor]).is_ok() {
                    told.push(format!("{thread} {}", descriptor.number));
                }
            }
            Ok(Some(Item::Account(account))) => {
                if !write || writer.accounts([account]).is_ok() {
                    told.push(format!("{account:?}"));
                }
            }
            Ok(Some(Item::Interface(interface))) => {
                if !write || writer.interfaces([interface]).is_ok() {
                    told.push(format!("{:?}", interface.name));
                }
            }
            Ok(Some(Item::Machine(machine))) => {
                if write {
                    writer.machine(&machine).expect("it has one size");
                }
                told.push(format!("{}", machine.processors));
            }
            Ok(Some(Item::Section { .. })) => {}
            Ok(None) => break,
            Err(fault) => {
                let _ = fault.to_string();
                faults += 1;
                assert!(write, "what the writer wrote has a fault: {fault}");
                if fault.is_final() {
                    assert!(matches!(reader.next(), Ok(None)), "a final fault is the last");
                    break;
                }
            }
        }
        assert!(reader.offset() >= before, "the reader went back");
        before = reader.offset();
        assert!(told.len() + faults < 1 << 24, "it does not end");
    }
    (told, writer.finish().expect("memory takes it"))
}

/// The values of an event, as far as its byte order does not change how they are written.
fn words(event: &Event<'_>) -> String {
    let numbers: Vec<_> = (0..event.parameters()).map(|place| event.number(place)).collect();
    let texts: Vec<_> = (0..event.parameters()).map(|place| event.raw(place).map(<[u8]>::len)).collect();
    format!("{} {} {} {} {numbers:?} {texts:?}", event.time, event.thread, event.code, event.flags * u32::from(event.order == capture::Order::Little))
}

/// Every question has an answer, if only that there is none.
fn ask(event: &Event<'_>) {
    let _ = (event.result(), event.name());
    for place in 0..event.parameters() + 2 {
        let _ = (event.raw(place), event.number(place), event.text(place), event.address(place), event.tuple(place));
    }
    let mut kept = capture::event::Kept::default();
    event.keep(&mut kept);
    let kept = kept.event().expect("it was kept");
    assert_eq!(kept.body(), event.body());
}
