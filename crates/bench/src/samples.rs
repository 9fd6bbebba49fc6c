//! The same load on the same server, several times.

use super::load::Report;

/// What was measured for a row so far.
#[derive(Debug, Default)]
pub(super) struct Samples(Vec<Report>);

impl Samples {
    /// Adds a measurement.
    pub(super) fn add(&mut self, report: Report) {
        self.0.push(report);
    }

    /// Server's user and system time over replies, in microseconds.
    pub(super) fn cpu_microseconds(&self) -> f64 {
        self.median(|report| report.server.cpu_microseconds_per_reply)
    }

    /// The least and the most of that.
    pub(super) fn cpu_range(&self) -> (f64, f64) {
        let values = self.0.iter();
        values.fold((f64::INFINITY, 0.0), |(least, most), report| {
            let value = report.server.cpu_microseconds_per_reply;
            (value.min(least), value.max(most))
        })
    }

    /// Server's user and system time over announces with a reply.
    pub(super) fn cpu_microseconds_per_announce(&self) -> f64 {
        self.median(|report| report.server.cpu_seconds * 1e6 / report.announce.replies as f64)
    }

    pub(super) fn replies_per_second(&self) -> f64 {
        self.median(|report| report.all.replies_per_second)
    }

    /// Of announces.
    pub(super) fn announce_p50_microseconds(&self) -> f64 {
        self.median(|report| report.announce.latency.p50_microseconds)
    }

    /// Of announces.
    pub(super) fn announce_p99_microseconds(&self) -> f64 {
        self.median(|report| report.announce.latency.p99_microseconds)
    }

    pub(super) fn p50_microseconds(&self) -> f64 {
        self.median(|report| report.all.latency.p50_microseconds)
    }

    pub(super) fn p99_microseconds(&self) -> f64 {
        self.median(|report| report.all.latency.p99_microseconds)
    }

    /// Peers in a reply to an announce, on average.
    pub(super) fn peers_per_announce(&self) -> f64 {
        self.median(|report| report.peers_per_announce)
    }

    /// Cores that the server kept busy.
    pub(super) fn server_cores(&self) -> f64 {
        self.median(|report| report.server.cores)
    }

    /// Requests without a reply, in all measurements together.
    pub(super) fn lost(&self) -> u64 {
        self.0.iter().map(|report| report.lost).sum()
    }

    fn median(&self, value: impl Fn(&Report) -> f64) -> f64 {
        median(self.0.iter().map(value).collect())
    }
}

/// The middle value, or the mean of the two; 0 when there are none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.get(middle) {
        None => 0.0,
        Some(upper) if values.len() % 2 == 1 => *upper,
        Some(upper) => (values[middle - 1] + upper) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
    }

    #[test]
    fn samples_have_medians_and_sums() {
        let mut samples = Samples::default();
        for microseconds in [3.5, 3.0, 7.0] {
            samples.add(load::sample(microseconds, 0, 0));
        }
        assert_eq!(samples.cpu_microseconds(), 3.5);
        assert_eq!(samples.cpu_range(), (3.0, 7.0));
        assert_eq!(samples.lost(), 3);
        // Every other reply is that to an announce.
        assert_eq!(samples.cpu_microseconds_per_announce(), 7.0);
    }
}
