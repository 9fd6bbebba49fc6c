//! Durations, counted by their length.

use std::time::{Duration, Instant};

use super::Counter;

/// Upper bounds of the buckets, in microseconds, and in seconds as OpenMetrics writes them.
/// One more bucket has all longer durations.
const BOUNDS: [(u32, &str); 19] = [
    (1, "1e-06"),
    (2, "2e-06"),
    (5, "5e-06"),
    (10, "1e-05"),
    (20, "2e-05"),
    (50, "5e-05"),
    (100, "0.0001"),
    (200, "0.0002"),
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_000, "0.002"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (200_000, "0.2"),
    (500_000, "0.5"),
    (1_000_000, "1.0"),
];

/// One of this number of requests is measured: reading the clock twice takes about as long
/// as a fiftieth of a request over UDP.
const SAMPLED: u64 = 16;

/// Counts durations in buckets. Like a [`Counter`], it is for one thread to write.
#[derive(Debug, Default)]
pub struct DurationHistogram {
    /// How often it was asked whether to measure.
    asked: Counter,
    buckets: [Counter; BOUNDS.len() + 1],
    nanoseconds: Counter,
}

/// A sum of [`DurationHistogram`]s.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Durations {
    /// By bucket, each without those below it.
    counts: [u64; BOUNDS.len() + 1],
    nanoseconds: u64,
}

impl DurationHistogram {
    /// The time, if what begins now is to be measured: every sixteenth time.
    #[inline]
    pub fn begin(&self) -> Option<Instant> {
        let asked = self.asked.value();
        self.asked.add(1);
        asked.is_multiple_of(SAMPLED).then(Instant::now)
    }

    /// Counts `number` things that took the time since [`begin`](Self::begin), if they were
    /// to be measured.
    #[inline]
    pub fn end(&self, begun: Option<Instant>, number: usize) {
        if let Some(begun) = begun {
            self.count(begun.elapsed(), number as u64);
        }
    }

    fn count(&self, duration: Duration, number: u64) {
        let bucket = BOUNDS
            .partition_point(|(bound, _)| Duration::from_micros(u64::from(*bound)) < duration);
        self.buckets[bucket].add(number);
        let nanoseconds = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.nanoseconds.add(nanoseconds.saturating_mul(number));
    }
}

impl Durations {
    /// Adds what one thread has counted.
    pub fn add(&mut self, histogram: &DurationHistogram) {
        for (count, bucket) in self.counts.iter_mut().zip(&histogram.buckets) {
            *count += bucket.value();
        }
        self.nanoseconds = self.nanoseconds.wrapping_add(histogram.nanoseconds.value());
    }

    /// The number of durations up to each bound in seconds.
    pub(super) fn up_to(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let bounds = BOUNDS.iter().map(|(_, text)| *text);
        let mut sum = 0;
        bounds
            .chain(["+Inf"])
            .zip(self.counts)
            .map(move |(bound, count)| {
                sum += count;
                (bound, sum)
            })
    }

    /// The sum of all durations, in seconds.
    pub(super) fn sum_seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }

    /// The number of all durations.
    pub(super) fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_counted_up_to_their_bounds() {
        let histogram = DurationHistogram::default();
        histogram.count(Duration::ZERO, 1);
        histogram.count(Duration::from_micros(1), 2);
        histogram.count(Duration::from_nanos(1_001), 4);
        histogram.count(Duration::from_secs(1), 8);
        histogram.count(Duration::from_secs(3), 16);
        let mut sum = Durations::default();
        sum.add(&histogram);
        let up_to: Vec<_> = sum.up_to().collect();
        assert_eq!(up_to[0], ("1e-06", 3));
        assert_eq!(up_to[1], ("2e-06", 7));
        assert_eq!(up_to[18], ("1.0", 15));
        assert_eq!(up_to[19], ("+Inf", 31));
        assert_eq!(sum.count(), 31);
        assert!((sum.sum_seconds() - 56.000_006_004).abs() < 1e-9);
    }

    #[test]
    fn texts_of_bounds_are_their_numbers() {
        for (microseconds, text) in BOUNDS {
            assert_eq!(text.parse(), Ok(f64::from(microseconds) / 1e6));
        }
        assert!(BOUNDS.is_sorted());
    }

    #[test]
    fn one_of_sixteen_is_measured() {
        let histogram = DurationHistogram::default();
        for _ in 0..33 {
            let begun = histogram.begin();
            histogram.end(begun, 2);
        }
        let mut sum = Durations::default();
        sum.add(&histogram);
        assert_eq!(sum.count(), 6);
    }
}
