//! What a client notices of a source that sends all it can, with a limit of its rate and
//! without.

use std::thread;

use anyhow::{Context as _, anyhow};
use aquatic_load_test::numbers::{Count, Milliseconds, Seconds, ZeroOr};
use aquatic_load_test::udp::{Config, NetworkConfig, TransportConfig};

use super::daemon::{Daemon, Options};
use super::requests::{ANNOUNCES, ANNOUNCES_NAME, MIXED, load_config};
use super::{Bench, QUICK};
use crate::machine::Cores;
use crate::results::{Fairness, FairnessRow, Row};
use crate::rows::{self, Label, Sample};

/// Requests per second of the client.
const POLITE: u64 = 200;

/// Requests per second and source of the limit.
const LIMIT: u32 = 400;

/// More than a source of the load can send, of [`MANY_SOURCES`]: the greatest limit.
const UNREACHED_LIMIT: u32 = 10_000;

const MANY_SOURCES: &str = "127.0.0.1-127.0.0.128";

/// What the cost is compared with.
const WITHOUT: &str = "without";

/// Requests that the other source has under way.
const UNDER_WAY: u32 = 100_000;

/// Load tests with which the other source has them, as each has a limited window.
const HOSTILE_LOADS: u32 = 2;

/// Torrents, each with two peers.
const TORRENTS: u32 = 1_000;

impl Bench {
    /// Measures without another source, and beside one, with a limit and without.
    pub(super) fn fairness(&self) -> anyhow::Result<Fairness> {
        eprintln!("a client beside a source that sends all it can");
        let without = self.daemon(&Options::default())?;
        let with = self.daemon(&Options {
            requests_per_second: LIMIT,
            ..Options::default()
        })?;
        let mut rows = Vec::new();
        for (daemon, server, is_alone) in [
            (&without, "aquatic-udp, the client alone".to_owned(), true),
            (&without, "aquatic-udp without a limit".to_owned(), false),
            (
                &with,
                format!("aquatic-udp, at most {LIMIT} a second"),
                false,
            ),
        ] {
            rows.push(self.client_beside(daemon, server, is_alone)?);
        }
        Ok(Fairness {
            requests_per_second: POLITE,
            under_way: self.under_way(),
            rows,
            cost: self.cost_of_limit(&without)?,
        })
    }

    fn under_way(&self) -> u32 {
        if self.scale.torrents == QUICK.torrents {
            1_000
        } else {
            UNDER_WAY
        }
    }

    /// What a reply costs with a limit that nobody reaches, and without.
    fn cost_of_limit(&self, without: &Daemon) -> anyhow::Result<Vec<Row>> {
        let with = self.daemon(&Options {
            requests_per_second: UNREACHED_LIMIT,
            ..Options::default()
        })?;
        let config = load_config(TORRENTS, 2 * TORRENTS, ANNOUNCES);
        let config = Config {
            duration_seconds: Seconds::nearest(self.seconds),
            warm_up_seconds: Seconds::nearest(self.scale.warm_up_seconds),
            network: NetworkConfig {
                source_addresses: vec![MANY_SOURCES.to_owned()],
                ..config.network
            },
            ..config
        };
        let contests = [(without, "aquatic-udp"), (&with, "aquatic-udp, limited")];
        let label = |(_, server): &(&Daemon, &str)| Label {
            load: ANNOUNCES_NAME.to_owned(),
            server: (*server).to_owned(),
            bar: None,
        };
        let mut rows = rows::measure(self.runs, &contests, label, |(daemon, _)| {
            let server = &daemon.server;
            Sample::of(&self.load(Cores::Load, server, server.address, &config)?)
        })?;
        rows::compare(&mut rows, &contests, WITHOUT, |_, (_, server)| {
            *server == contests[0].1
        });
        Ok(rows)
    }

    fn client_beside(
        &self,
        daemon: &Daemon,
        server: String,
        is_alone: bool,
    ) -> anyhow::Result<FairnessRow> {
        let config = |source: &str| {
            let config = load_config(TORRENTS, 2 * TORRENTS, MIXED);
            Config {
                warm_up_seconds: Seconds::of::<1>(),
                network: NetworkConfig {
                    source_addresses: vec![source.to_owned()],
                    ..config.network.clone()
                },
                ..config
            }
        };
        let polite = config("127.0.0.2");
        let polite = Config {
            duration_seconds: Seconds::nearest(self.seconds),
            network: NetworkConfig {
                requests_per_second: ZeroOr::of::<POLITE>(),
                ..polite.network
            },
            ..polite
        };
        // It starts earlier, and is stopped by its duration.
        let hostile = config("127.0.0.3");
        let hostile = Config {
            duration_seconds: Seconds::nearest(self.seconds + 2),
            network: NetworkConfig {
                timeout_milliseconds: Milliseconds::of::<1_000>(),
                ..hostile.network
            },
            transport: TransportConfig {
                outstanding_requests: Count::nearest((self.under_way() / HOSTILE_LOADS) as usize),
                ..hostile.transport
            },
            ..hostile
        };
        let target = &daemon.server;
        let loads = if is_alone { 0 } else { HOSTILE_LOADS };
        let load = |config: &Config| self.load(Cores::Load, target, target.address, config);
        let (polite, others_per_second) = thread::scope(|scope| {
            let hostile: Vec<_> = (0..loads).map(|_| scope.spawn(|| load(&hostile))).collect();
            let polite = load(&polite)?;
            let mut others_per_second = 0.0;
            for load in hostile {
                let report = load.join().map_err(|_| anyhow!("a panic"))?;
                let report = report.context("the hostile load")?;
                others_per_second += report.all.replies_per_second;
            }
            anyhow::Ok((polite, others_per_second))
        })?;
        Ok(FairnessRow {
            server,
            lost_share: polite.lost as f64 / polite.all.sent.max(1) as f64,
            p50_microseconds: polite.all.latency.p50_microseconds,
            p99_microseconds: polite.all.latency.p99_microseconds,
            others_per_second,
        })
    }
}
