//! Clocks for trackers.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

mod boot;
mod suspension;

use boot::BootId;
pub(crate) use boot::VARIABLE as BOOT_ID;
pub(crate) use boot::current as current_boot;
use suspension::Suspension;

/// The time at which a request is handled.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Seconds since the start, including suspend, on a monotonic clock, for the ages of
    /// peers.
    pub monotonic_seconds: u32,
    /// Seconds since 1970, for values that outlive a restart.
    pub epoch_seconds: u32,
    /// Milliseconds since the start, without suspend, modulo 2^32, for rates.
    pub milliseconds: u32,
}

/// A clock that reads the wall clock once at startup, so that setting the wall clock later
/// makes nothing invalid. If it is [resumed](Self::resume), it also continues over a
/// restart, even if the wall clock was set.
///
/// An [`Instant`] does not advance while the machine is suspended. The clock does, but only
/// when somebody calls [`count_suspension`](Self::count_suspension), so that reading the
/// time stays a single call. Its clones advance together.
#[derive(Debug, Clone)]
pub struct Clock {
    start: Instant,
    epoch_seconds: u64,
    suspension: Arc<Suspension>,
}

/// The time of a [`Clock`] at a moment, together with the times of the system's clocks, to
/// be stored in a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Seconds since 1970 of the [`Clock`].
    epoch_seconds: u64,
    /// The times of the system's clocks.
    reading: Reading,
}

/// The times of the system's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    /// Wall clock: seconds since 1970, which may be set at any time.
    wall_seconds: u64,
    /// Seconds since the machine was booted, including suspend, which cannot be set.
    boot_seconds: u64,
    /// Identifies the boot; `None` if it is not known.
    boot_id: Option<BootId>,
}

impl Clock {
    /// Starts a new clock.
    pub fn start() -> Self {
        Self::started_at(Instant::now())
    }

    /// A clock that was started then, for simulated time.
    pub fn started_at(start: Instant) -> Self {
        Self {
            start,
            epoch_seconds: countable(wall_seconds()),
            suspension: Arc::default(),
        }
    }

    /// Continues a clock, which may be another process's, from `mark`, plus the time since
    /// then as far as it is known. Also returns this time in seconds.
    pub fn resume(mark: &Mark) -> (Self, u64) {
        let away = mark.seconds_until(Reading::now());
        let clock = Self {
            start: Instant::now(),
            epoch_seconds: countable(mark.epoch_seconds.saturating_add(away)),
            suspension: Arc::default(),
        };
        (clock, away)
    }

    /// The current time, for a snapshot.
    pub fn mark(&self) -> Mark {
        // The reading includes suspend, so the time on the clock has to.
        self.count_suspension();
        let elapsed = self.elapsed_seconds(Instant::now());
        Mark {
            epoch_seconds: self.epoch_seconds.saturating_add(elapsed),
            reading: Reading::now(),
        }
    }

    /// The current time.
    #[inline]
    pub fn now(&self) -> Now {
        self.at(Instant::now())
    }

    /// The time at `instant`.
    pub fn at(&self, instant: Instant) -> Now {
        let elapsed = self.elapsed_seconds(instant);
        Now {
            monotonic_seconds: in_32_bits(elapsed),
            epoch_seconds: in_32_bits(self.epoch_seconds.saturating_add(elapsed)),
            milliseconds: instant.saturating_duration_since(self.start).as_millis() as u32,
        }
    }

    /// As [`now`](Self::now), with a suspension of the machine that nobody has counted yet:
    /// for those who compare it with a clock that does. It takes two more readings of a
    /// clock.
    pub fn now_after_suspension(&self) -> Now {
        self.count_suspension();
        self.now()
    }

    /// Advances the clock by the time for which the machine was suspended since the last
    /// call. The main thread calls this at least once per second.
    pub fn count_suspension(&self) {
        self.suspension.update();
    }

    /// Advances the clock as if the machine had been suspended for `total` since the clock
    /// was started, for simulated time.
    pub fn suspended_for(&self, total: Duration) {
        self.suspension.raise(total);
    }

    fn elapsed_seconds(&self, instant: Instant) -> u64 {
        let awake = instant.saturating_duration_since(self.start).as_secs();
        awake.saturating_add(self.suspension.seconds())
    }
}

/// Milliseconds since the machine was booted, including suspend: a clock that is the same
/// for all processes of the machine, and that cannot be set.
pub fn boot_milliseconds() -> u64 {
    current_boot().milliseconds()
}

impl Mark {
    /// Length of an encoded mark.
    pub const LENGTH: usize = 40;

    /// Encodes it as three little-endian numbers, and the boot id as 16 bytes, all zero if
    /// it is not known.
    pub fn to_bytes(&self) -> [u8; Self::LENGTH] {
        let mut bytes = [0; Self::LENGTH];
        bytes[..8].copy_from_slice(&self.epoch_seconds.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.reading.wall_seconds.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.reading.boot_seconds.to_le_bytes());
        bytes[24..].copy_from_slice(&self.reading.boot_id.unwrap_or_default());
        bytes
    }

    /// Decodes a mark, also of earlier versions, which have no boot id; `None` if the
    /// length is wrong.
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

    /// How many seconds ago this was, as far as it is known, for tests.
    pub fn seconds_ago(&self) -> u64 {
        self.seconds_until(Reading::now())
    }

    /// Within one boot, the time since boot is used. After another boot, on another
    /// machine, or if the boot id is not known, it cannot be compared, so the wall clock is
    /// used.
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

/// Seconds in 32 bits, which is enough for 136 years. Then the clock stops: if it wrapped
/// around, times in the distant past would appear to be in the future.
fn in_32_bits(seconds: u64) -> u32 {
    u32::try_from(seconds).unwrap_or(u32::MAX)
}

/// The time from which a clock continues. If it does not fit into 32 bits, for example
/// because the system's clock was wrong, the clock starts in 1970, which is enough to
/// measure differences.
fn countable(seconds: u64) -> u64 {
    u32::try_from(seconds).map_or(0, u64::from)
}

fn wall_seconds() -> u64 {
    let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is wrong; 0 is enough to measure differences.
    epoch.map_or(0, |elapsed| elapsed.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_clocks_advance_while_the_machine_is_suspended() {
        const TEN_HOURS: u32 = 36_000;
        let clock = Clock::start();
        let worker = clock.clone();
        let start = clock.start;
        let (before, mark) = (worker.at(start), clock.mark());
        clock.suspended_for(Duration::from_millis(36_000_900));
        let after = worker.at(start);
        assert_eq!(after.monotonic_seconds, TEN_HOURS);
        assert_eq!(after.epoch_seconds - before.epoch_seconds, TEN_HOURS);
        // A mark, and a clock that is resumed from it, include the suspension.
        let slept = clock.mark().epoch_seconds - mark.epoch_seconds;
        assert!((36_000..36_060).contains(&slept));
        let (resumed, _) = Clock::resume(&clock.mark());
        assert!(resumed.now().epoch_seconds - before.epoch_seconds >= TEN_HOURS);

        // The clock never goes back, and stops instead of wrapping around.
        clock.suspended_for(Duration::ZERO);
        clock.count_suspension();
        assert_eq!(worker.at(start).monotonic_seconds, TEN_HOURS);
        clock.suspended_for(Duration::MAX);
        assert_eq!(worker.at(start).monotonic_seconds, u32::MAX);
        assert_eq!(worker.now().epoch_seconds, u32::MAX);
    }

    #[test]
    fn without_a_suspension_nothing_is_counted() {
        let clock = Clock::start();
        clock.count_suspension();
        assert_eq!(clock.at(clock.start).monotonic_seconds, 0);
    }

    #[test]
    fn both_clocks_advance_together() {
        let clock = Clock::start();
        let first = clock.at(clock.start);
        let later = clock.at(clock.start + Duration::from_millis(90_500));
        assert_eq!(first.monotonic_seconds, 0);
        assert_eq!(later.monotonic_seconds, 90);
        assert_eq!(later.epoch_seconds - first.epoch_seconds, 90);
        // It is after 2020.
        assert!(first.epoch_seconds > 1_577_836_800);
    }

    const ONE: Option<BootId> = Some([1; 16]);
    const OTHER: Option<BootId> = Some([2; 16]);

    /// A reading during the boot [`ONE`].
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
            // The wall clock was set forwards, backwards, and not at all.
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
                // The wall clock went back: the time away is unknown, and the clock does
                // not go back.
                assert_eq!(after(5), 0);
            }
        }
        // The boot id was not known at the mark, and is not known now.
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
            suspension: Arc::default(),
        };
        let mark = elsewhere.mark();
        assert_eq!(Mark::from_bytes(&mark.to_bytes()), Some(mark));
        let (clock, away) = Clock::resume(&mark);
        // Less than a minute has passed in this process.
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
            // A clock that is resumed from a time that is too large still works.
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
            suspension: Arc::default(),
        };
        let after = |years| clock.at(clock.start + Duration::from_secs(years * YEAR));
        assert!(after(136).monotonic_seconds > u32::MAX - YEAR as u32);
        for years in [137, 500] {
            assert_eq!(after(years).monotonic_seconds, u32::MAX);
            assert_eq!(after(years).epoch_seconds, u32::MAX);
        }
    }
}
