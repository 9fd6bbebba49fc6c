//! Limits how many requests are sent in a time.

use std::num::NonZero;

/// Allows a number of requests a second, evenly.
#[derive(Debug)]
pub(crate) struct Pace {
    /// None when there is no limit.
    nanoseconds_per_request: Option<f64>,
    /// When the next request may be sent, in nanoseconds on the worker's clock.
    next: f64,
}

impl Pace {
    /// A worker's share of the requests of all workers.
    pub(crate) fn new(requests_per_second: Option<NonZero<u32>>, workers: usize) -> Self {
        Self {
            nanoseconds_per_request: requests_per_second
                .map(|rate| 1e9 * workers as f64 / f64::from(rate.get())),
            next: 0.0,
        }
    }

    /// How many requests may be sent now, up to `wanted`.
    pub(crate) fn allowed(&mut self, now: u64, wanted: usize) -> usize {
        let Some(step) = self.nanoseconds_per_request else {
            return wanted;
        };
        // What could not be sent is not made up for later, but for the little
        // that falls due between two looks at the clock.
        self.next = self
            .next
            .max(now as f64 - MAX_ARREARS_NANOSECONDS.max(step));
        let due = (now as f64 - self.next) / step;
        // Negative numbers become zero.
        (due as usize).min(wanted)
    }

    /// Notes that requests were sent.
    pub(crate) fn sent(&mut self, count: usize) {
        if let Some(step) = self.nanoseconds_per_request {
            self.next += step * count as f64;
        }
    }

    /// Nanoseconds until a request may be sent.
    pub(crate) fn wait(&self, now: u64) -> u64 {
        self.nanoseconds_per_request
            .map_or(0, |step| (self.next + step - now as f64) as u64)
    }
}

const MAX_ARREARS_NANOSECONDS: f64 = 10e6;

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(requests_per_second: u32) -> Option<NonZero<u32>> {
        NonZero::new(requests_per_second)
    }

    #[test]
    fn without_a_limit_everything_is_allowed() {
        let mut pace = Pace::new(None, 1);
        assert_eq!(pace.allowed(0, 64), 64);
        assert_eq!(pace.wait(0), 0);
    }

    #[test]
    fn keeps_the_rate_of_its_share() {
        // There are two workers, so each sends a request every 20 µs.
        let mut pace = Pace::new(rate(100_000), 2);
        let mut sent = 0;
        for now in (0..1_000_000_000).step_by(7_000) {
            let allowed = pace.allowed(now, 16);
            pace.sent(allowed);
            sent += allowed;
        }
        assert!((49_900..=50_600).contains(&sent), "{sent}");
    }

    #[test]
    fn does_not_make_up_for_a_long_pause() {
        let mut pace = Pace::new(rate(1000), 1);
        assert!(pace.allowed(60_000_000_000, 1000) <= 11);
    }

    #[test]
    fn slow_paces_still_send() {
        let mut pace = Pace::new(rate(1), 1);
        assert_eq!(pace.allowed(500_000_000, 9), 0);
        assert_eq!(pace.wait(500_000_000), 500_000_000);
        assert_eq!(pace.allowed(1_000_000_001, 9), 1);
        pace.sent(1);
        assert_eq!(pace.allowed(1_500_000_000, 9), 0);
    }
}
