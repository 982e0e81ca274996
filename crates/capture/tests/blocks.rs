//! Blocks of every kind of byte order, and those that lie about themselves.

use std::io::Cursor;

use capture::{Error, Item, Order, Reader};

/// A block of a capture, in either byte order.
fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let number = |number: u32| match order {
        Order::Little => number.to_le_bytes(),
        Order::Big => number.to_be_bytes(),
    };
    let padding = vec![0; body.len().next_multiple_of(4) - body.len()];
    let length = number((12 + body.len() + padding.len()) as u32);
    [&number(kind)[..], &length, body, &padding, &length].concat()
}

fn section(order: Order, major: u16) -> Vec<u8> {
    let body = match order {
        Order::Little => [&0x1A2B_3C4Du32.to_le_bytes()[..], &major.to_le_bytes(), &[0; 10]].concat(),
        Order::Big => [&0x1A2B_3C4Du32.to_be_bytes()[..], &major.to_be_bytes(), &[0; 10]].concat(),
    };
    block(order, 0x0A0D_0D0A, &body)
}

/// The return of open(2) with a path and flags, as sensors wrote it before 2018, without the number of parameters.
fn opened(order: Order, path: &[u8]) -> Vec<u8> {
    macro_rules! bytes {
        ($value:expr) => {
            match order {
                Order::Little => $value.to_le_bytes().to_vec(),
                Order::Big => $value.to_be_bytes().to_vec(),
            }
        };
    }
    let parameters = [bytes!(3i64), [path, b"\0"].concat(), bytes!(1u32), bytes!(0o644u32)];
    let lengths: Vec<u8> = parameters.iter().flat_map(|parameter| bytes!(parameter.len() as u16)).collect();
    let length = 22 + lengths.len() + parameters.iter().map(Vec::len).sum::<usize>();
    let header = [
        bytes!(7u16),
        bytes!(1_700_000_000_000_000_000u64),
        bytes!(42i64),
        bytes!(length as u32),
        bytes!(3u16),
    ];
    let body = [header.concat(), lengths, parameters.concat()].concat();
    block(order, 0x204, &body)
}

fn reader(bytes: Vec<u8>) -> Reader {
    Reader::new(Cursor::new(bytes)).unwrap()
}

#[test]
fn a_section_of_either_byte_order_is_read_and_one_may_follow_the_other() {
    let parts =
        [Order::Big, Order::Little].map(|order| [section(order, 1), opened(order, b"/etc/passwd")].concat());
    let mut reader = reader(parts.concat());
    for expected in [Order::Big, Order::Little] {
        assert!(matches!(reader.next().unwrap(), Some(Item::Section { order, .. }) if order == expected));
        let Some(Item::Event(event)) = reader.next().unwrap() else { panic!("there is an event") };
        assert_eq!(
            (event.name(), event.time, event.thread, event.cpu),
            ("open", 1_700_000_000_000_000_000, 42, 7)
        );
        assert_eq!((event.parameters(), event.result()), (4, Some(3)));
        assert_eq!(
            (event.text(1), event.number(2), event.number(3)),
            (Some(&b"/etc/passwd"[..]), Some(1), Some(0o644))
        );
        assert_eq!(event.number(4), None, "the sensor did not tell the device yet");
    }
    assert!(reader.next().unwrap().is_none());
}

#[test]
fn unknown_blocks_and_events_are_stepped_over_and_counted() {
    let mut later = opened(Order::Little, b"/x");
    // The code of the event stands behind cpu, time, thread and length.
    later[8 + 2 + 20..8 + 2 + 22].copy_from_slice(&9999u16.to_le_bytes());
    let whole = [
        section(Order::Little, 1),
        block(Order::Little, 0x999, b"what"),
        later,
        opened(Order::Little, b"/y"),
    ];
    let mut reader = reader(whole.concat());
    reader.next().unwrap();
    assert!(matches!(reader.next().unwrap(), Some(Item::Event(event)) if event.text(1) == Some(b"/y")));
    assert_eq!((reader.skipped().blocks, reader.skipped().events), (1, 1));
}

#[test]
fn what_is_no_capture_or_a_later_one_is_said_so() {
    let error = |bytes: &[u8]| reader(bytes.to_vec()).next().unwrap_err();
    assert!(matches!(error(b"\x7fELF\x02\x01\x01\0"), Error::NotACapture { found: 0x464C_457F }));
    assert!(matches!(error(b""), Error::Truncated { offset: 0, .. }));
    assert!(matches!(error(b"\x1f\x8b\x08"), Error::Truncated { .. }));
    assert!(matches!(error(&section(Order::Little, 2)), Error::Version { major: 2, .. }));
}

#[test]
fn a_length_that_lies_ends_the_reading_and_takes_no_memory() {
    let start = section(Order::Little, 1);
    for (kind, length) in
        [(0x204u32, 0u32), (0x204, u32::MAX), (0x215, u32::MAX), (0x221, 70 << 20), (0x999, 11)]
    {
        let bytes = [&start[..], &kind.to_le_bytes(), &length.to_le_bytes(), &[0; 64]].concat();
        let mut reader = reader(bytes);
        reader.next().unwrap();
        let error = reader.next().unwrap_err();
        assert!(matches!(error, Error::Length { offset: 28, .. }), "{kind:#x} {length}: {error}");
        assert!(reader.next().unwrap().is_none());
    }
    // Within its bounds, but not there: only what arrives is kept.
    let bytes = [&start[..], &0x215u32.to_le_bytes(), &(200u32 << 20).to_le_bytes(), &[0; 64]].concat();
    let mut reader = reader(bytes);
    reader.next().unwrap();
    assert!(matches!(
        reader.next().unwrap_err(),
        Error::Truncated { what: "process list", offset: 28, end: 100 }
    ));
}

#[test]
fn a_broken_event_or_entry_is_told_with_its_place_and_reading_goes_on_behind_it() {
    let mut broken = opened(Order::Little, b"/x");
    // The length of the second parameter.
    broken[8 + 2 + 22 + 2] = 0xFF;
    let list = block(Order::Little, 0x215, &[&400u32.to_le_bytes()[..], &[0; 40]].concat());
    let good = opened(Order::Little, b"/y");
    let whole = [section(Order::Little, 1), broken, list, good].concat();
    let mut reader = reader(whole);
    reader.next().unwrap();
    assert!(matches!(reader.next().unwrap_err(), Error::Parameters { offset: 28, code: 3 }));
    assert!(matches!(reader.next().unwrap_err(), Error::Overrun { what: "process", .. }));
    assert!(matches!(reader.next().unwrap(), Some(Item::Event(event)) if event.text(1) == Some(b"/y")));
    assert!(reader.next().unwrap().is_none());
}
