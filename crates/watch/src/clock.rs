//! Two clocks joined: events carry time since boot, people read the time of day. The difference is measured again and
//! again, because the clock of the machine may be set.

use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds since boot, suspended time included.
pub fn since_boot() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    // The kernel's clock since boot is never negative.
    u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0)
}

/// Nanoseconds since 1970-01-01 UTC.
pub fn wall() -> i64 {
    let now = clock_gettime(ClockId::Realtime);
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// How far the time of day is ahead of the time since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset(i64);

/// A step of the clock of more than this is told; slewing stays below it.
const JUMP: i64 = 500_000_000;

impl Offset {
    pub fn now() -> Offset {
        Offset::between(since_boot(), wall())
    }
    /// From two readings taken at the same moment.
    pub fn between(since_boot: u64, wall: i64) -> Offset {
        Offset(wall.saturating_sub(i64::try_from(since_boot).unwrap_or(i64::MAX)))
    }
    /// The time of day of an event.
    pub fn wall(self, since_boot: u64) -> i64 {
        self.0.saturating_add(i64::try_from(since_boot).unwrap_or(i64::MAX))
    }
    /// Takes a newer reading; by how many nanoseconds the clock jumped, where it did.
    pub fn update(&mut self, newer: Offset) -> Option<i64> {
        let step = newer.0.saturating_sub(self.0);
        *self = newer;
        (step.abs() > JUMP).then_some(step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_gets_the_time_of_day_that_the_clock_showed() {
        let offset = Offset::between(5_000_000_000, 1_700_000_005_000_000_000);
        assert_eq!(offset.wall(7_000_000_000), 1_700_000_007_000_000_000);
    }

    #[test]
    fn a_clock_that_is_set_back_is_told_and_slewing_is_not() {
        let mut offset = Offset::between(0, 1_000_000_000_000);
        assert_eq!(offset.update(Offset::between(0, 1_000_000_000_400)), None);
        assert_eq!(offset.update(Offset::between(0, 0)), Some(-1_000_000_000_400));
    }
}
