//! Simulated time, including times in which the machine is suspended.

use std::time::{Duration, Instant};

use aquatic_service::clock::{Clock, Now};

/// Seconds per day.
pub const DAY: u64 = 86_400;

/// Simulated time since the start of the run.
#[derive(Debug)]
pub struct Calendar {
    clock: Clock,
    start: Instant,
    seconds: u64,
    /// When the machine was suspended or the tracker was not running, and for how long.
    gaps: Vec<(u64, u64)>,
}

impl Default for Calendar {
    fn default() -> Self {
        Self::new()
    }
}

impl Calendar {
    /// The calendar at the start of a run.
    #[must_use]
    pub fn new() -> Self {
        Self {
            clock: Clock::start(),
            // Only differences from it are used.
            start: Instant::now(),
            seconds: 0,
            gaps: Vec::new(),
        }
    }

    /// The clock for the tracker.
    #[must_use]
    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    /// Seconds since the start.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        self.seconds
    }

    /// The time of the system's clock.
    #[must_use]
    pub fn instant(&self) -> Instant {
        self.start + Duration::from_secs(self.seconds)
    }

    /// The time, as passed to the tracker.
    #[must_use]
    pub fn now(&self) -> Now {
        self.clock.at(self.instant())
    }

    /// Advances by a second.
    pub fn pass(&mut self) {
        self.seconds += 1;
    }

    /// Advances by a number of seconds in which the tracker does not run.
    pub fn leap(&mut self, seconds: u64) {
        self.gaps.push((self.seconds, seconds));
        self.seconds += seconds;
    }

    /// The number of seconds since `then` (in seconds) in which the tracker was running.
    #[must_use]
    pub fn awake_since(&self, then: u64) -> u64 {
        let asleep: u64 = self
            .gaps
            .iter()
            .rev()
            .map(|(from, length)| (from + length).saturating_sub(then.max(*from)))
            .take_while(|asleep| *asleep > 0)
            .sum();
        self.seconds.saturating_sub(then).saturating_sub(asleep)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_not_counted() {
        let mut calendar = Calendar::new();
        for gap in [10, 1_000] {
            for _ in 0..100 {
                calendar.pass();
            }
            calendar.leap(gap);
        }
        calendar.pass();
        assert_eq!(calendar.seconds(), 1_211);
        assert_eq!(calendar.awake_since(0), 201);
        assert_eq!(calendar.awake_since(100), 101);
        assert_eq!(calendar.awake_since(105), 101);
        assert_eq!(calendar.awake_since(700), 1);
        assert_eq!(calendar.awake_since(1_210), 1);
        assert_eq!(calendar.awake_since(1_211), 0);
        assert_eq!(calendar.awake_since(2_000), 0);
    }
}
