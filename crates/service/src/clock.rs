//! The time, as trackers want it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

mod boot;

use boot::BootId;
pub(crate) use boot::current as current_boot;

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
    /// Which boot that was; `None` if that cannot be told.
    boot_id: Option<BootId>,
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

/// Milliseconds on a clock that all processes of the machine share, and nobody can set:
/// since it was booted, suspensions included.
pub fn boot_milliseconds() -> u64 {
    current_boot().milliseconds()
}

impl Mark {
    /// Bytes of a mark.
    pub const LENGTH: usize = 40;

    /// Three little-endian numbers, and 16 bytes that say which boot it was, all zero
    /// if that is not known.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.epoch_seconds.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.reading.wall_seconds.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.reading.boot_seconds.to_le_bytes());
        bytes[24..].copy_from_slice(&self.reading.boot_id.unwrap_or_default());
        bytes
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote, or what it wrote when it did not
    /// say which boot it was; none if it has another length.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (numbers, []) = bytes.as_chunks::<8>() else {
            return None;
        };
        let (&[epoch, wall, boot], boot_id) = numbers.split_first_chunk()?;
        let boot_id: BootId = match boot_id {
            [] => BootId::default(),
            id => id.as_flattened().try_into().ok()?,
        };
        Some(Self {
            epoch_seconds: u64::from_le_bytes(epoch),
            reading: Reading {
                wall_seconds: u64::from_le_bytes(wall),
                boot_seconds: u64::from_le_bytes(boot),
                boot_id: Some(boot_id).filter(|id| *id != BootId::default()),
            },
        })
    }

    /// How many seconds ago this was, as far as can be told.
    pub fn seconds_ago(&self) -> u64 {
        self.seconds_until(Reading::now())
    }

    /// Within one boot, the clock that nobody sets is believed. Over another boot, on
    /// another machine, or where that cannot be told, it says nothing, and the wall
    /// clock is.
    fn seconds_until(&self, now: Reading) -> u64 {
        let is_same_boot = self.reading.boot_id.is_some() && self.reading.boot_id == now.boot_id;
        let since_boot = now.boot_seconds.checked_sub(self.reading.boot_seconds);
        since_boot
            .filter(|_| is_same_boot)
            .unwrap_or_else(|| now.wall_seconds.saturating_sub(self.reading.wall_seconds))
    }
}

impl Reading {
    fn now() -> Self {
        let boot = boot::current();
        Self {
            wall_seconds: wall_seconds(),
            boot_seconds: boot.seconds(),
            boot_id: boot.id(),
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
    use std::time::Duration;

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

    const ONE: Option<BootId> = Some([1; 16]);
    const OTHER: Option<BootId> = Some([2; 16]);

    /// During the boot [`ONE`].
    fn reading(wall_seconds: u64, boot_seconds: u64) -> Reading {
        Reading {
            wall_seconds,
            boot_seconds,
            boot_id: ONE,
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
        for boot_id in [OTHER, None] {
            // The machine has been up for less time than before, and for more.
            for boot_seconds in [0, 40, 499, 500, 501, 10_000_000] {
                let after = |wall_seconds| {
                    mark.seconds_until(Reading {
                        wall_seconds,
                        boot_seconds,
                        boot_id,
                    })
                };
                assert_eq!(after(1_000_090), 90);
                assert_eq!(after(1_086_400), 86_400);
                assert_eq!(after(1_000_000), 0);
                // It went back meanwhile: nothing is known, and time does not go back.
                assert_eq!(after(5), 0);
            }
        }
        // Nobody knew it at the mark, nor now.
        let mut unknown = mark;
        unknown.reading.boot_id = None;
        for boot_id in [OTHER, None] {
            let now = Reading {
                boot_id,
                ..reading(1_000_090, 100_000)
            };
            assert_eq!(unknown.seconds_until(now), 90);
        }
    }

    #[test]
    fn a_mark_that_does_not_say_which_boot_it_was_is_read() {
        let mark = Clock::start().mark();
        let bytes = mark.to_bytes();
        let read = Mark::from_bytes(&bytes[..24]).unwrap();
        let mut expected = mark;
        expected.reading.boot_id = None;
        assert_eq!(read, expected);
        assert!(read.seconds_ago() < 60);
        assert_eq!(Mark::from_bytes(&read.to_bytes()), Some(read));
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
        for length in (0..80).filter(|length| !matches!(length, 24 | 40)) {
            assert_eq!(Mark::from_bytes(&vec![0xff; length]), None, "{length}");
        }
        for length in [24, 40] {
            let mark = Mark::from_bytes(&vec![0xff; length]).unwrap();
            let (clock, _) = Clock::resume(&mark);
            // A clock that stands where nothing can be told goes on all the same.
            assert!(clock.now().epoch_seconds < 60);
            let _ = clock.mark();
        }
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
