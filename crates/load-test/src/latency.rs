//! Latencies and their percentiles.

use hdrhistogram::{CreationError, Histogram};
use serde::{Deserialize, Serialize};

use crate::counters::KINDS;

/// Times from request to reply, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latency {
    /// 50 % of the requests took at most this time.
    pub p50_microseconds: f64,
    /// 90 % of the requests took at most this time.
    pub p90_microseconds: f64,
    /// 99 % of the requests took at most this time.
    pub p99_microseconds: f64,
    /// 99.9 % of the requests took at most this time.
    pub p999_microseconds: f64,
    /// The maximum.
    pub max_microseconds: f64,
}

impl Latency {
    pub(crate) fn new(nanoseconds: &Histogram<u64>) -> Self {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e3;
        Self {
            p50_microseconds: at(0.5),
            p90_microseconds: at(0.9),
            p99_microseconds: at(0.99),
            p999_microseconds: at(0.999),
            max_microseconds: nanoseconds.max() as f64 / 1e3,
        }
    }
}

/// Nanoseconds from request to reply, for each kind of request.
pub(crate) type Latencies = [Histogram<u64>; KINDS];

/// Empty histograms, one for each kind of request.
pub(crate) fn histograms() -> Result<Latencies, CreationError> {
    let histogram = Histogram::new_with_bounds(1, MAX_NANOSECONDS, SIGNIFICANT_DIGITS)?;
    Ok([(); KINDS].map(|()| histogram.clone()))
}

/// The maximum timeout in the configuration.
const MAX_NANOSECONDS: u64 = 60_000_000_000;

/// Values are accurate to 1 %: three digits would take eight times the memory, and more of
/// the CPU cache.
const SIGNIFICANT_DIGITS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_values() {
        let [mut histogram, ..] = histograms().unwrap();
        for microseconds in 1..=1000 {
            histogram.record(microseconds * 1000).unwrap();
        }
        let latency = Latency::new(&histogram);
        let near = |value: f64, expected: f64| (value / expected - 1.0).abs() < 0.011;
        assert!(near(latency.p50_microseconds, 500.0), "{latency:?}");
        assert!(near(latency.p90_microseconds, 900.0), "{latency:?}");
        assert!(near(latency.p99_microseconds, 990.0), "{latency:?}");
        assert!(near(latency.p999_microseconds, 999.0), "{latency:?}");
        assert!(near(latency.max_microseconds, 1000.0), "{latency:?}");
    }

    #[test]
    fn no_replies_have_no_latency() {
        let [histogram, ..] = histograms().unwrap();
        assert_eq!(Latency::new(&histogram), Latency::default());
    }
}
