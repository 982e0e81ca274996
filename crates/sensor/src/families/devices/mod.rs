//! Devices and ports: ioctl(2), iopl(2), ioperm(2). Opens of devices are told by the family of files.

use super::{Call, Program};
use crate::event::What;
use crate::kinds::Kind;
use crate::record::Record;

pub(crate) const CALLS: &[Call] = &[
    Call::rare(&["iopl", "ioperm"], Kind::Iopl, iopl),
    Call { program: Program::Any, file: [1, 0], ..Call::bulk(&["ioctl"], Kind::Ioctl, ioctl) },
];

fn iopl(record: &Record<'_>) -> What {
    What::Iopl { call: record.call_name() }
}

fn ioctl(record: &Record<'_>) -> What {
    What::Ioctl { file: record.file(0).unwrap_or_default(), command: record.word(1) }
}
