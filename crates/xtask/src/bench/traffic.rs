//! Rows of the table about traffic: the same load, several times.

use std::path::Path;

use aquatic_load_test::udp::Config;

use super::Scale;
use super::load::{self, Shares};
use super::machine::Cores;
use super::samples::Samples;
use super::server::{Binaries, Server};

/// A row and what was measured for it so far.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: &'static str,
    shares: Shares,
    cores: Cores,
    load_workers: usize,
    pub(super) samples: Samples,
}

impl Row {
    /// A server alone on its core, and one worker of the load test on the other.
    pub(super) fn pinned(name: &'static str, shares: Shares) -> Self {
        Self {
            name,
            shares,
            cores: Cores::Load,
            load_workers: 1,
            samples: Samples::default(),
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
        self.samples.add(report);
        Ok(())
    }
}
