//! What is measured for `aquatic-udp`.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aquatic_load_test::udp::{Config, NetworkConfig, PopulationConfig};

use super::Scale;
use super::load::{self, Latency, Shares};
use super::machine::{Cores, Machine};
use super::server::{Binaries, DaemonOptions, Server};
use super::traffic::Row;

/// Everything that was measured.
#[derive(Debug)]
pub(super) struct Results {
    pub(super) machine: Machine,
    pub(super) scale: Scale,
    pub(super) floor: Row,
    pub(super) pinned: Vec<Row>,
    pub(super) one_worker: Row,
    pub(super) two_workers: Row,
    pub(super) memory: Memory,
    pub(super) memory_of_one_torrent: Memory,
    pub(super) expiry: Expiry,
    pub(super) snapshot: Snapshot,
}

/// Bytes of memory of the daemon.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory {
    pub(super) empty: u64,
    pub(super) filled: u64,
}

impl Memory {
    /// Bytes that the torrents and peers take.
    pub(super) fn added(&self) -> u64 {
        self.filled.saturating_sub(self.empty)
    }
}

/// How long a few requests waited.
#[derive(Debug)]
pub(super) struct Expiry {
    pub(super) while_nothing_expired: Latency,
    pub(super) while_all_expired: Latency,
    /// The longest time for which the daemon forgot peers in one go.
    pub(super) longest_step: Duration,
    /// From when the first peer could expire until none was left, or until the
    /// measurement was given up.
    pub(super) watched: Duration,
    /// Torrents that were left then.
    pub(super) left: u64,
}

/// What a snapshot takes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Snapshot {
    /// From the signal to the end of the process.
    pub(super) stop: Duration,
    /// The same for a daemon that writes none.
    pub(super) stop_without: Duration,
    /// From the start of the process until it is ready.
    pub(super) start: Duration,
    /// The same for a daemon that reads none.
    pub(super) start_without: Duration,
    pub(super) file_bytes: u64,
}

/// Measures everything; this takes minutes.
pub(super) fn measure(binaries: &Binaries, scale: &Scale) -> anyhow::Result<Results> {
    let directory = tempfile::tempdir().context("cannot make a temporary directory")?;
    let bench = Bench {
        binaries,
        scale,
        directory: directory.path(),
    };
    bench.measure()
}

struct Bench<'a> {
    binaries: &'a Binaries,
    scale: &'a Scale,
    directory: &'a Path,
}

impl Bench<'_> {
    fn measure(&self) -> anyhow::Result<Results> {
        let snapshot_path = self.directory.join("snapshot");
        let options = DaemonOptions {
            snapshot: Some(&snapshot_path),
            ..DaemonOptions::default()
        };
        let daemon = self.daemon(&options)?;
        let start_without = daemon.start_time;
        let memory = self.fill(&daemon, self.scale.torrents, self.scale.peers)?;

        let (floor, pinned) = self.pinned(&daemon)?;
        let (one_worker, two_workers, stop_without) = self.shared(&daemon)?;

        let snapshot = self.snapshot(daemon, &options, start_without, stop_without)?;
        let memory_of_one_torrent = self.one_torrent()?;
        let expiry = self.expiry()?;

        Ok(Results {
            machine: Machine::this(),
            scale: *self.scale,
            floor,
            pinned,
            one_worker,
            two_workers,
            memory,
            memory_of_one_torrent,
            expiry,
            snapshot,
        })
    }

    fn daemon(&self, options: &DaemonOptions<'_>) -> anyhow::Result<Server> {
        Server::daemon(self.binaries, options, self.directory)
    }

    /// Announces every peer once.
    fn fill(&self, daemon: &Server, torrents: u32, peers: u32) -> anyhow::Result<Memory> {
        eprintln!("announcing {peers} peers of {torrents} torrents");
        let config = Config {
            fill: true,
            duration_seconds: 1,
            warm_up_seconds: 0,
            // What follows the filling leaves the peers alone.
            ..load::config(torrents, peers, Shares(1, 0, 0))
        };
        load::run(self.binaries, daemon, Cores::Load, config, self.directory)?;
        let known = daemon.torrents()?;
        ensure!(
            known == u64::from(torrents),
            "the daemon knows {known} torrents after {torrents} were announced"
        );
        Ok(Memory {
            empty: daemon.empty_bytes,
            filled: daemon.resident_bytes()?,
        })
    }

    /// Echo server and daemon, each alone on its core, in turns.
    fn pinned(&self, daemon: &Server) -> anyhow::Result<(Row, Vec<Row>)> {
        let echo = Server::echo(self.binaries)?;
        let mut floor = Row::pinned("bare echo, 50 % connect, 50 % announce", MIXED);
        let mut rows = vec![
            Row::pinned("50 % connect, 50 % announce", MIXED),
            Row::pinned("announce only", Shares(0, 1, 0)),
            Row::pinned("connect only", Shares(1, 0, 0)),
            Row::pinned("scrape only, 5 torrents each", Shares(0, 0, 1)),
        ];
        for _ in 0..self.scale.runs {
            floor.measure(self.binaries, &echo, self.scale, self.directory)?;
            for row in &mut rows {
                row.measure(self.binaries, daemon, self.scale, self.directory)?;
            }
        }
        Ok((floor, rows))
    }

    /// One worker and two, on both cores, in turns; and how long a daemon takes
    /// to stop that writes no snapshot.
    fn shared(&self, one: &Server) -> anyhow::Result<(Row, Row, Duration)> {
        let two = self.daemon(&DaemonOptions {
            workers: 2,
            cores: Cores::Both,
            ..DaemonOptions::default()
        })?;
        self.fill(&two, self.scale.torrents, self.scale.peers)?;
        one.move_to(Cores::Both)?;

        let mut one_worker = Row::shared("one worker", MIXED);
        let mut two_workers = Row::shared("two workers", MIXED);
        for _ in 0..self.scale.runs {
            one_worker.measure(self.binaries, one, self.scale, self.directory)?;
            two_workers.measure(self.binaries, &two, self.scale, self.directory)?;
        }

        one.move_to(Cores::Server)?;
        Ok((one_worker, two_workers, two.stop()?))
    }

    /// Stops the daemon and starts it again.
    fn snapshot(
        &self,
        daemon: Server,
        options: &DaemonOptions<'_>,
        start_without: Duration,
        stop_without: Duration,
    ) -> anyhow::Result<Snapshot> {
        eprintln!("writing a snapshot and restoring it");
        let known = daemon.torrents()?;
        let stop = daemon.stop()?;
        let path = options.snapshot.context("a daemon without a snapshot")?;
        let file_bytes = fs::metadata(path).context("there is no snapshot")?.len();

        let restored = self.daemon(options)?;
        let torrents = restored.torrents()?;
        ensure!(
            torrents == known,
            "{torrents} of {known} torrents were restored"
        );
        Ok(Snapshot {
            stop,
            stop_without,
            start: restored.start_time,
            start_without,
            file_bytes,
        })
    }

    fn one_torrent(&self) -> anyhow::Result<Memory> {
        let daemon = self.daemon(&DaemonOptions::default())?;
        self.fill(&daemon, 1, self.scale.peers_of_one_torrent)
    }

    /// Fills a daemon and keeps sending a few requests until it has forgotten
    /// everything.
    fn expiry(&self) -> anyhow::Result<Expiry> {
        let scale = self.scale;
        let age = Duration::from_secs(scale.peer_age_seconds.into());
        let daemon = self.daemon(&DaemonOptions {
            max_peer_age_seconds: scale.peer_age_seconds,
            cleaning_seconds: scale.cleaning_seconds,
            ..DaemonOptions::default()
        })?;

        let started = Instant::now();
        // A peer a torrent: as little other work as possible for each.
        self.fill(&daemon, scale.torrents, scale.torrents)?;
        let filled_after = started.elapsed();
        ensure!(
            filled_after < age / 2,
            "filling has taken {filled_after:?}, so that peers expire before they can be watched"
        );

        eprintln!("waiting for {} torrents to expire", scale.torrents);
        let while_nothing_expired = self.probe(&daemon, scale.peer_age_seconds / 4)?;
        let known = daemon.torrents()?;
        ensure!(
            known >= u64::from(scale.torrents),
            "torrents expired too early"
        );

        let all_expired = filled_after + age + Duration::from_secs(scale.cleaning_seconds.into());
        let left = all_expired.saturating_sub(started.elapsed()) + SLACK;
        // Far below u32::MAX: the sum of times that are settings.
        let mut while_all_expired = self.probe(&daemon, left.as_secs() as u32)?;
        // The daemon may take its time, but not for ever.
        let mut left = daemon.torrents()?;
        while left > u64::from(PROBE_TORRENTS) && started.elapsed() < all_expired * 2 {
            let more = self.probe(&daemon, 1)?;
            while_all_expired = while_all_expired.worst(&more);
            left = daemon.torrents()?;
        }
        Ok(Expiry {
            while_nothing_expired,
            while_all_expired,
            longest_step: daemon.longest_housekeeping_step()?,
            watched: started.elapsed().saturating_sub(age),
            left: left.saturating_sub(PROBE_TORRENTS.into()),
        })
    }

    fn probe(&self, daemon: &Server, seconds: u32) -> anyhow::Result<Latency> {
        let config = load::config(PROBE_TORRENTS, PROBE_TORRENTS, MIXED);
        let config = Config {
            duration_seconds: seconds,
            warm_up_seconds: 0,
            network: NetworkConfig {
                requests_per_second: PROBE_REQUESTS_PER_SECOND,
                // Its own wake-ups are not to be measured.
                spin_microseconds: 1_000,
                ..config.network
            },
            population: PopulationConfig {
                // Other torrents than those that expire.
                seed: 1,
                ..config.population
            },
            ..config
        };
        let report = load::run(self.binaries, daemon, Cores::Load, config, self.directory)?;
        Ok(report.all.latency)
    }
}

const MIXED: Shares = Shares(1, 1, 0);

const PROBE_TORRENTS: u32 = 100;

/// Often enough to meet every pause of a millisecond.
const PROBE_REQUESTS_PER_SECOND: u32 = 5_000;

/// Expiry is counted in whole seconds.
const SLACK: Duration = Duration::from_secs(3);
