//! When to notify the watchdog of the service manager.

use std::time::{Duration, Instant};

use crate::workers::HEARTBEAT_INTERVAL;

/// Checks the workers at a quarter of the watchdog timeout, so that a check just before
/// a heartbeat is made up for in time.
pub(super) struct Watchdog {
    period: Duration,
    next: Instant,
}

impl Watchdog {
    /// `limit` is the longest time between two pings (`WATCHDOG_USEC`).
    pub(super) fn new(limit: Duration, now: Instant) -> Self {
        if limit < 3 * HEARTBEAT_INTERVAL {
            log::warn!(
                "WatchdogSec= is {limit:?}, but idle workers only report every {HEARTBEAT_INTERVAL:?}; \
                 set it to 3 seconds or more"
            );
        }
        Self {
            period: limit / 4,
            next: now,
        }
    }

    /// When to check the workers.
    pub(super) fn next(&self) -> Instant {
        self.next
    }

    /// Whether it is time to check the workers; if so, the next time is one period later.
    pub(super) fn is_due(&mut self, now: Instant) -> bool {
        let is_due = now >= self.next;
        if is_due {
            self.next = now + self.period;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_due_once_in_a_period() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(Duration::from_secs(8), start);
        assert!(watchdog.is_due(start));
        assert!(!watchdog.is_due(start + Duration::from_millis(1999)));
        assert_eq!(watchdog.next(), start + Duration::from_secs(2));
        assert!(watchdog.is_due(start + Duration::from_secs(2)));
    }
}
