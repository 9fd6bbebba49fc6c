//! The time, as trackers want it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// The time at which something is handled.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Seconds since the start on a clock that never goes back, for the ages of peers.
    pub monotonic_seconds: u32,
    /// Seconds since 1970, for what outlives a restart.
    pub epoch_seconds: u32,
}

/// Tells the time from one reading of the system's clock at the start, so that
/// a later correction of it makes nothing invalid; and goes on over a restart, if
/// it is [resumed](Self::resume), whatever was corrected before.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    epoch_seconds: u64,
}

/// What a [`Clock`] said at a moment, and what the system's clocks did, to be kept
/// in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The clock's own seconds since 1970.
    epoch_seconds: u64,
    /// What the system's clocks said.
    reading: Reading,
}

/// What the system's clocks say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// Seconds since 1970, which may be corrected at any time.
    wall_seconds: u64,
    /// Seconds since the machine was booted, suspensions included, which nobody
    /// can set.
    boot_seconds: u64,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        Self {
            start: Instant::now(),
            epoch_seconds: countable(wall_seconds()),
        }
    }

    /// Goes on from where a clock stood, which may have been another process's, as
    /// long after that as can be told; returns also how many seconds that is.
    pub fn resume(mark: &Mark) -> (Self, u64) {
        let away = mark.seconds_until(Reading::now());
        let clock = Self {
            start: Instant::now(),
            epoch_seconds: countable(mark.epoch_seconds.saturating_add(away)),
        };
        (clock, away)
    }

    /// Where this clock stands.
    pub fn mark(&self) -> Mark {
        let elapsed = self.start.elapsed().as_secs();
        Mark {
            epoch_seconds: self.epoch_seconds.saturating_add(elapsed),
            reading: Reading::now(),
        }
    }

    /// The time at this moment.
    #[inline]
    pub fn now(&self) -> Now {
        self.at(Instant::now())
    }

    /// The time at `instant`.
    pub fn at(&self, instant: Instant) -> Now {
        let elapsed = instant.saturating_duration_since(self.start).as_secs();
        Now {
            monotonic_seconds: in_32_bits(elapsed),
            epoch_seconds: in_32_bits(self.epoch_seconds.saturating_add(elapsed)),
        }
    }
}

impl Mark {
    /// Bytes of a mark.
    pub const LENGTH: usize = 24;

    /// Three little-endian numbers.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.epoch_seconds.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.reading.wall_seconds.to_le_bytes());
        bytes[16..].copy_from_slice(&self.reading.boot_seconds.to_le_bytes());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; none if it has another
    /// length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let &[epoch, wall, boot] = numbers else {
            return None;
        };
        Some(Self {
            epoch_seconds: u64::from_le_bytes(epoch),
            reading: Reading {
                wall_seconds: u64::from_le_bytes(wall),
                boot_seconds: u64::from_le_bytes(boot),
            },
        })
    }

    /// How many seconds ago this was, as far as can be told.
    pub fn seconds_ago(&self) -> u64 {
        self.seconds_until(Reading::now())
    }

    /// The clock that nobody sets is believed as long as it can be: if it says
    /// less than it did, the machine was booted since, and the other one is asked.
    ///
    /// After a boot with a longer time since than the one before had at the mark, it
    /// cannot be seen that there was one, and too little is told.
    fn seconds_until(&self, now: Reading) -> u64 {
        now.boot_seconds
            .checked_sub(self.reading.boot_seconds)
            .unwrap_or_else(|| now.wall_seconds.saturating_sub(self.reading.wall_seconds))
    }
}

impl Reading {
    fn now() -> Self {
        let boot = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from);
        Self {
            wall_seconds: wall_seconds(),
            // Linux has had this clock since 2.6.39. Without it, all marks say 0,
            // and it is the wall clock of the next start that counts.
            boot_seconds: boot.map_or(0, |time| time.as_secs()),
        }
    }
}

/// Seconds as they are told, in 32 bits, which count 136 years. Then time stands still:
/// should it begin anew, what is long over would seem to be to come.
fn in_32_bits(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// From when a clock goes on. One that is said to stand beyond what can be told, as a
/// system's clock that was set wrong, begins in 1970, which tells differences all the
/// same.
fn countable(seconds: u64) -> u64 {
    u32::try_from(seconds).map_or(0, u64::from)
}

fn wall_seconds() -> u64 {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is wrong, but tells differences all the same.
    epoch.map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_together() {
        let clock = Clock::start();
        let first = clock.at(clock.start);
        let later = clock.at(clock.start + Duration::from_millis(90_500));
        assert_eq!(first.monotonic_seconds, 0);
        assert_eq!(later.monotonic_seconds, 90);
        assert_eq!(later.epoch_seconds - first.epoch_seconds, 90);
        // 2020 is over.
        assert!(first.epoch_seconds > 1_577_836_800);
    }

    fn reading(wall_seconds: u64, boot_seconds: u64) -> Reading {
        Reading {
            wall_seconds,
            boot_seconds,
        }
    }

    #[test]
    fn a_wall_clock_that_is_set_does_not_change_what_has_elapsed() {
        let mark = Mark {
            epoch_seconds: 7,
            reading: reading(1_000_000, 500),
        };
        for away in [0, 1, 300, 100_000] {
            let boot_seconds = 500 + away;
            // Set right forwards and backwards, and not at all.
            for wall_seconds in [1_800_000_000, 0, 999_000, 1_000_000 + away] {
                let now = reading(wall_seconds, boot_seconds);
                assert_eq!(mark.seconds_until(now), away, "{now:?}");
            }
        }
    }

    #[test]
    fn over_a_boot_the_wall_clock_tells() {
        let mark = Mark {
            epoch_seconds: 7,
            reading: reading(1_000_000, 500),
        };
        assert_eq!(mark.seconds_until(reading(1_000_090, 40)), 90);
        assert_eq!(mark.seconds_until(reading(1_000_000, 499)), 0);
        // It went back meanwhile: nothing is known, and time does not go back.
        assert_eq!(mark.seconds_until(reading(5, 40)), 0);
    }

    #[test]
    fn a_resumed_clock_goes_on() {
        let elsewhere = Clock {
            start: Instant::now(),
            epoch_seconds: 1_000,
        };
        let mark = elsewhere.mark();
        assert_eq!(Mark::from_bytes(&mark.to_bytes()), Some(mark));
        let (clock, away) = Clock::resume(&mark);
        // Less than a minute has passed here.
        assert!(away < 60);
        assert!((1_000..1_060).contains(&clock.now().epoch_seconds));
        assert!(clock.now().monotonic_seconds < 60);
    }

    #[test]
    fn a_mark_of_any_bytes_is_read_or_refused() {
        assert_eq!(Mark::from_bytes(&[0xff; 23]), None);
        assert_eq!(Mark::from_bytes(&[0xff; 32]), None);
        let mark = Mark::from_bytes(&[0xff; 24]).unwrap();
        let (clock, _) = Clock::resume(&mark);
        // A clock that stands where nothing can be told goes on all the same.
        assert!(clock.now().epoch_seconds < 60);
        let _ = clock.mark();
    }

    #[test]
    fn after_136_years_time_stands_still() {
        const YEAR: u64 = 31_556_952;
        let clock = Clock {
            start: Instant::now(),
            epoch_seconds: 1_000_000,
        };
        let after = |years| clock.at(clock.start + Duration::from_secs(years * YEAR));
        assert!(after(136).monotonic_seconds > u32::MAX - YEAR as u32);
        for years in [137, 500] {
            assert_eq!(after(years).monotonic_seconds, u32::MAX);
            assert_eq!(after(years).epoch_seconds, u32::MAX);
        }
    }
}
