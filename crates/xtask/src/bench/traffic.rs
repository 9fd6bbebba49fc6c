//! Rows of the table about traffic: the same load, several times.

use std::path::Path;

use aquatic_load_test::udp::Config;

use super::Scale;
use super::load::{self, Report, Shares};
use super::machine::Cores;
use super::server::{Binaries, Server};

/// A row and what was measured for it so far.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    shares: Shares,
    cores: Cores,
    load_workers: usize,
    reports: Vec<Report>,
}

impl Row {
    /// A server alone on its core, and one worker of the load test on the other.
    pub(super) fn pinned(name: &'static str, shares: Shares) -> Self {
        Self {
            name,
            shares,
            cores: Cores::Load,
            load_workers: 1,
            reports: Vec::new(),
        }
    }

    /// Two workers of the load test on both cores, with the server.
    pub(super) fn shared(name: &'static str, shares: Shares) -> Self {
        Self {
            cores: Cores::Both,
            load_workers: 2,
            ..Self::pinned(name, shares)
        }
    }

    /// Measures once more.
    pub(super) fn measure(
        &mut self,
        binaries: &Binaries,
        server: &Server,
        scale: &Scale,
        directory: &Path,
    ) -> anyhow::Result<()> {
        let config = Config {
            workers: self.load_workers,
            duration_seconds: scale.seconds,
            warm_up_seconds: scale.warm_up_seconds,
            ..load::config(scale.torrents, scale.peers, self.shares)
        };
        let report = load::run(binaries, server, self.cores, config, directory)?;
        eprintln!(
            "{:40} {:.2} µs of CPU per reply, {:.0} replies/s",
            self.name, report.server.cpu_microseconds_per_reply, report.all.replies_per_second,
        );
        self.reports.push(report);
        Ok(())
    }

    /// Server's user and system time over replies, in microseconds.
    pub(super) fn cpu_microseconds(&self) -> f64 {
        self.median(|report| report.server.cpu_microseconds_per_reply)
    }

    /// Cores that the server kept busy.
    pub(super) fn server_cores(&self) -> f64 {
        self.median(|report| report.server.cores)
    }

    pub(super) fn replies_per_second(&self) -> f64 {
        self.median(|report| report.all.replies_per_second)
    }

    pub(super) fn p50_microseconds(&self) -> f64 {
        self.median(|report| report.all.latency.p50_microseconds)
    }

    pub(super) fn p99_microseconds(&self) -> f64 {
        self.median(|report| report.all.latency.p99_microseconds)
    }

    /// Requests without a reply, in all measurements together.
    pub(super) fn lost(&self) -> u64 {
        self.reports.iter().map(|report| report.lost).sum()
    }

    /// The least and the most CPU per reply that was measured.
    pub(super) fn cpu_range(&self) -> (f64, f64) {
        let values = self
            .reports
            .iter()
            .map(|report| report.server.cpu_microseconds_per_reply);
        values.fold((f64::INFINITY, 0.0), |(least, most), value| {
            (value.min(least), value.max(most))
        })
    }

    fn median(&self, value: impl Fn(&Report) -> f64) -> f64 {
        median(self.reports.iter().map(value).collect())
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
    use super::median;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0]), 3.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
    }
}
