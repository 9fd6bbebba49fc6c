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
    /// Whether a socket is asked that is bound to every address.
    asks_any: bool,
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
            asks_any: false,
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

    /// The same over a socket that is bound to every address, and so has to say from
    /// which one it replies.
    pub(super) fn at_any_address(self) -> Self {
        Self {
            asks_any: true,
            ..self
        }
    }

    /// Whether another row has the same requests.
    pub(super) fn is_variant(&self) -> bool {
        self.asks_any
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
        let address = if self.asks_any {
            server.any_address
        } else {
            server.address
        };
        let report = load::run(binaries, server, address, self.cores, config, directory)?;
        eprintln!(
            "{:40} {:.2} µs of CPU per reply, {:.0} replies/s",
            self.name, report.server.cpu_microseconds_per_reply, report.all.replies_per_second,
        );
        self.samples.add(report);
        Ok(())
    }
}
