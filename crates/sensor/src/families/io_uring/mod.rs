//! io_uring: rings that are set up, and the requests put into them, which are no system calls.

use super::Call;
use crate::event::{Entry, What};
use crate::kinds::Kind;
use crate::record::Record;

pub(crate) const CALLS: &[Call] =
    &[Call { block: (2, 40), ..Call::rare(&["io_uring_setup"], Kind::IoUringSetup, setup) }];

/// `struct io_uring_params`: sq_entries, cq_entries, flags.
fn setup(record: &Record<'_>) -> What {
    What::IoUringSetup { entries: record.word(0), flags: record.block_u32(8) }
}

pub(crate) fn decode(kind: Kind, record: &Record<'_>) -> Option<What> {
    if kind != Kind::IoUringRequest {
        return None;
    }
    let Entry::IoUring(opcode) = record.head.entry else { return None };
    let text = record.text(0);
    Some(What::IoUringRequest {
        opcode,
        path: (!text.text.is_empty()).then_some(text),
        address: super::sockets::address_of_block(record),
        flags: record.argument(0),
    })
}
