//! The time, as trackers want it.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The time at which something is handled.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// Seconds on a clock that never goes back, for the ages of peers.
    pub monotonic_seconds: u32,
    /// Seconds since 1970, for what outlives a restart.
    pub epoch_seconds: u32,
}

/// Tells the time from one reading of the system's clock at the start, so that
/// a later correction of it makes nothing invalid.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    start: Instant,
    epoch_seconds: u64,
}

impl Clock {
    /// Starts now.
    pub fn start() -> Self {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH);
        Self {
            start: Instant::now(),
            // A clock before 1970 is wrong, but tells differences all the same.
            epoch_seconds: epoch.map_or(0, |elapsed| elapsed.as_secs()),
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
            // Both are compared by their differences, so they may wrap around.
            monotonic_seconds: elapsed as u32,
            epoch_seconds: (self.epoch_seconds + elapsed) as u32,
        }
    }
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
}
