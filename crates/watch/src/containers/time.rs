//! Times as engines write them: RFC 3339 with up to nine digits of a second, in UTC or with an offset.

/// Nanoseconds since 1970-01-01 UTC; negative before. `None` for anything else.
pub(super) fn rfc3339(text: &str) -> Option<i64> {
    let (date, rest) = text.split_once(['T', 't', ' '])?;
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) || year > 9999 {
        return None;
    }
    let at = rest.find(['Z', 'z', '+', '-'])?;
    let (clock, zone) = rest.split_at_checked(at)?;
    let (clock, fraction) = clock.split_once('.').unwrap_or((clock, ""));
    let mut parts = clock.splitn(3, ':').map(number);
    let (hour, minute, second) = (parts.next()??, parts.next()??, parts.next()??);
    // 60: a leap second.
    if hour > 23 || minute > 59 || second > 60 || fraction.len() > 9 {
        return None;
    }
    let nanoseconds = if fraction.is_empty() { 0 } else { number(&format!("{fraction:0<9}"))? };
    let offset = match zone {
        "Z" | "z" => 0,
        zone => {
            let sign = if zone.starts_with('-') { -1 } else { 1 };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            sign * (number(hours)? * 3600 + number(minutes)? * 60)
        }
    };
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    seconds.checked_mul(1_000_000_000)?.checked_add(nanoseconds)
}

fn number(text: &str) -> Option<i64> {
    let digits = !text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Days since 1970-01-01 in the Gregorian calendar: Howard Hinnant, "chrono-compatible low-level date algorithms",
/// `days_from_civil`.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year - era * 400;
    let of_year = (153 * (if month > 2 { month - 3 } else { month + 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_times_are_read_to_the_nanosecond() {
        assert_eq!(rfc3339("2026-11-23T03:26:03.327198276Z"), Some(1_795_404_363_327_198_276));
        assert_eq!(rfc3339("2026-11-23T03:26:47.07143731Z"), Some(1_795_404_407_071_437_310));
        assert_eq!(rfc3339("2026-11-23T05:26:03.3+02:00"), Some(1_795_404_363_300_000_000));
        assert_eq!(rfc3339("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(rfc3339("2000-02-29T12:00:00Z"), Some(951_825_600_000_000_000));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "2026-11-23",
            "2026-13-01T00:00:00Z",
            "2026-11-23T03:26Z",
            "2026-11-23T03:26:03",
            "xTyZ",
            "2026-11-23T25:00:00Z",
            "2026-11-23T03:26:03.1234567890Z",
            "99999-01-01T00:00:00Z",
            "2026-11-23T03:26:03+1",
        ] {
            assert_eq!(rfc3339(text), None, "{text}");
        }
        // Before what 64 bits of nanoseconds hold; Docker's "never".
        assert_eq!(rfc3339("0001-01-01T00:00:00Z"), None);
    }
}
