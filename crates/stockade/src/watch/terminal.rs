//! Alerts as they come, on standard output: as blocks of text or as JSON lines.

use std::io::{self, Write as _};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use watch::alert::Severity;
use watch::outputs::text;
use watch::store::Record;

use super::Format;

pub(super) struct Terminal {
    format: Format,
    threshold: Severity,
    colour: bool,
    /// Several threads deliver; a record is written whole.
    out: Mutex<io::Stdout>,
    /// Whoever reads has gone.
    closed: AtomicBool,
}

impl Terminal {
    pub(super) fn new(format: Format, threshold: Severity, colour: bool) -> Terminal {
        Terminal { format, threshold, colour, out: Mutex::new(io::stdout()), closed: AtomicBool::new(false) }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(super) fn show(&self, record: &Record) {
        let text = match (self.format, record) {
            (Format::Json, Record::Alert(alert)) if alert.severity < self.threshold => return,
            (Format::Json, record) => format!("{}\n", record.to_json()),
            (Format::Text, Record::Alert(alert)) if alert.severity >= self.threshold => {
                text::block(alert, text::Options { colour: self.colour })
            }
            (Format::Text, Record::Blind(_) | Record::Loss(_)) => {
                format!("{}\n\n", text::record_line(record))
            }
            (Format::Text, _) => return,
        };
        let Ok(mut out) = self.out.lock() else { return };
        if out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_err() {
            self.closed.store(true, Ordering::Relaxed);
        }
    }
}
