//! What time it is: by the wall clock, which may jump, and since boot, which does not; and which boot this is.

use std::fs;

use crate::clock;

/// One moment by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Nanoseconds since 1970-01-01 UTC.
    pub time: i64,
    /// Nanoseconds since boot, suspended time included (`CLOCK_BOOTTIME`).
    pub since_boot: u64,
}

impl Now {
    pub fn read() -> Now {
        Now { time: clock::wall(), since_boot: clock::since_boot() }
    }
}

/// `/proc/sys/kernel/random/boot_id` (random(4)): another one after each boot. Empty where it cannot be read.
pub fn boot_id() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

/// RFC 3339 in UTC, to the millisecond.
pub fn rfc3339(time: i64) -> String {
    match jiff::Timestamp::from_nanosecond(time.into()) {
        Ok(time) => format!("{time:.3}"),
        Err(_) => time.to_string(),
    }
}

/// A time as RFC 3339 writes it. Without a zone, or as a date alone, in UTC.
pub fn parse_time(text: &str) -> Option<i64> {
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let civil = text.parse::<jiff::civil::DateTime>().ok()?;
        Some(civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
    })?;
    i64::try_from(time.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_and_written_as_rfc_3339() {
        for text in ["2026-11-23T03:09:26.5Z", "2026-11-23T04:09:26.5+01:00", "2026-11-23 03:09:26.5"] {
            assert_eq!(rfc3339(parse_time(text).unwrap()), "2026-11-23T03:09:26.500Z");
        }
        assert_eq!(rfc3339(parse_time("2026-11-23").unwrap()), "2026-11-23T00:00:00.000Z");
        assert_eq!(parse_time("soon"), None);
    }
}
