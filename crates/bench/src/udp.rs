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
    /// Torrents of two peers, as most have.
    pub(super) traffic: Traffic,
    /// Torrents of so many peers that replies are nearly full.
    pub(super) full_replies: Traffic,
    pub(super) one_worker: Row,
    pub(super) two_workers: Row,
    pub(super) memory: Memory,
    pub(super) memory_of_one_torrent: Memory,
    pub(super) expiry: Expiry,
    pub(super) snapshot: Snapshot,
}

/// The echo server and the daemon under the same loads, each alone on its core.
#[derive(Debug)]
pub(super) struct Traffic {
    pub(super) torrents: u32,
    pub(super) peers: u32,
    /// Bytes with which the echo server answers an announce: as many as the daemon
    /// does on average.
    pub(super) reply_bytes: usize,
    pub(super) floor: Row,
    pub(super) rows: Vec<Row>,
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

        let traffic = self.traffic(&daemon)?;
        let full_replies = self.full_replies()?;
        let (one_worker, two_workers, stop_without) = self.shared(&daemon)?;

        let snapshot = self.snapshot(daemon, &options, start_without, stop_without)?;
        let memory_of_one_torrent = self.one_torrent()?;
        let expiry = self.expiry()?;

        Ok(Results {
            machine: Machine::this(),
            scale: *self.scale,
            traffic,
            full_replies,
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
        load::run(
            self.binaries,
            daemon,
            daemon.address,
            Cores::Load,
            config,
            self.directory,
        )?;
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

    fn traffic(&self, daemon: &Server) -> anyhow::Result<Traffic> {
        let rows = vec![
            Row::pinned("50 % connect, 50 % announce", MIXED),
            Row::pinned("the same, at every address", MIXED).at_any_address(),
            Row::pinned("announce only", Shares(0, 1, 0)),
            Row::pinned("announce only, at every address", Shares(0, 1, 0)).at_any_address(),
            Row::pinned("connect only", Shares(1, 0, 0)),
            Row::pinned("scrape only, 5 torrents each", Shares(0, 0, 1)),
        ];
        self.pinned(daemon, self.scale, rows)
    }

    /// The same with fewer torrents.
    fn full_replies(&self) -> anyhow::Result<Traffic> {
        let scale = Scale {
            torrents: self.scale.torrents / CROWD,
            ..*self.scale
        };
        let daemon = self.daemon(&DaemonOptions::default())?;
        self.fill(&daemon, scale.torrents, scale.peers)?;
        let rows = vec![
            Row::pinned("50 % connect, 50 % announce", MIXED),
            Row::pinned("announce only", Shares(0, 1, 0)),
        ];
        self.pinned(&daemon, &scale, rows)
    }

    /// Echo server and daemon, each alone on its core, in turns.
    fn pinned(
        &self,
        daemon: &Server,
        scale: &Scale,
        mut rows: Vec<Row>,
    ) -> anyhow::Result<Traffic> {
        // How long replies are is known by having looked at some.
        let mut first = Row::pinned("the first replies", MIXED);
        first.measure(self.binaries, daemon, scale, self.directory)?;
        let reply_bytes = reply_bytes(first.samples.peers_per_announce());
        let echo = Server::echo(self.binaries, reply_bytes)?;
        let mut floor = Row::pinned("bare echo, 50 % connect, 50 % announce", MIXED);
        for _ in 0..scale.runs {
            floor.measure(self.binaries, &echo, scale, self.directory)?;
            for row in &mut rows {
                row.measure(self.binaries, daemon, scale, self.directory)?;
            }
        }
        Ok(Traffic {
            torrents: scale.torrents,
            peers: scale.peers,
            reply_bytes,
            floor,
            rows,
        })
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
        let report = load::run(
            self.binaries,
            daemon,
            daemon.address,
            Cores::Load,
            config,
            self.directory,
        )?;
        Ok(report.all.latency)
    }
}

/// Bytes of a reply with so many peers over IPv4, on average (BEP 15: 20 and 6 for
/// each).
fn reply_bytes(peers: f64) -> usize {
    // Far below the largest datagram.
    20 + (6.0 * peers).round() as usize
}

/// By how much there are fewer torrents for the same peers, where replies are to be
/// full: then each torrent has 40 peers, of which a leecher gets 30, as many as it
/// wants, and a seeder the 20 leechers.
const CROWD: u32 = 20;

const MIXED: Shares = Shares(1, 1, 0);

const PROBE_TORRENTS: u32 = 100;

/// Often enough to meet every pause of a millisecond.
const PROBE_REQUESTS_PER_SECOND: u32 = 5_000;

/// Expiry is counted in whole seconds.
const SLACK: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_as_many_bytes_as_their_peers_need() {
        assert_eq!(reply_bytes(0.0), 20);
        assert_eq!(reply_bytes(0.7), 24);
        assert_eq!(reply_bytes(30.0), 200);
    }
}
