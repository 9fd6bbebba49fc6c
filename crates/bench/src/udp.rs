//! The measurements of `aquatic-udp`.

use std::fs;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aquatic_bittorrent::IPV4_PEER_LENGTH;
use aquatic_load_test::numbers::{Count, Microseconds, Seconds, ZeroOr};
use aquatic_load_test::udp::{Config, NetworkConfig, Popularity, PopulationConfig};
use aquatic_load_test::{Latency, Report};
use aquatic_udp_protocol::ANNOUNCE_REPLY_HEADER_LENGTH;

use crate::load;
use crate::machine::Cores;
use crate::results::{
    Conditions, Expiry, Memory, Row, Snapshot, Traffic, Udp, Waiting, WithAndWithout,
};
use crate::rows::{self, Label, Sample};
use crate::server::{Programs, Server, free_udp_address};

pub(crate) mod daemon;
mod fairness;
pub(crate) mod requests;

use daemon::{Daemon, Options};
use requests::{ANNOUNCES, ANNOUNCES_NAME, MIXED, MIXED_NAME, Shares, load_config};

/// The extent of the measurements.
#[derive(Debug, Clone, Copy)]
struct Scale {
    warm_up_seconds: u32,
    torrents: u32,
    peers: u32,
    /// Number of peers of the torrent whose memory is measured.
    peers_of_one_torrent: u32,
    /// Lifetime of peers in the measurement of expiry. Filling has to take less than half of
    /// it.
    peer_age_seconds: u32,
    /// Time in which all torrents are checked for expired peers once.
    cleaning_seconds: u32,
}

const FULL: Scale = Scale {
    warm_up_seconds: 1,
    torrents: 1_000_000,
    peers: 2_000_000,
    peers_of_one_torrent: 1_000_000,
    peer_age_seconds: 30,
    cleaning_seconds: 10,
};

const QUICK: Scale = Scale {
    warm_up_seconds: 0,
    torrents: 1_000,
    peers: 2_000,
    peers_of_one_torrent: 1_000,
    peer_age_seconds: 4,
    cleaning_seconds: 1,
};

/// How long restoring may take.
const MAX_RESTORE_TIME: Duration = Duration::from_secs(120);

/// Measures everything, which takes minutes unless `quick` is set.
///
/// # Errors
///
/// If a server or the load test fails, or does something else than intended.
pub(crate) fn measure(conditions: Conditions, quick: bool) -> anyhow::Result<Udp> {
    let bench = Bench {
        programs: Programs::build(&conditions.profile, &["aquatic_udp"])?,
        scale: if quick { QUICK } else { FULL },
        seconds: conditions.seconds,
        runs: conditions.runs,
    };
    let snapshot_path = bench.programs.scratch().join("snapshot");
    let options = Options {
        snapshot: Some(&snapshot_path),
        ..Options::default()
    };
    let daemon = bench.daemon(&options)?;
    let start_without = daemon.server.start_time;
    let Scale {
        torrents,
        peers,
        peers_of_one_torrent,
        ..
    } = bench.scale;
    let memory = bench.fill(&daemon, torrents, peers, Popularity::Uniform)?;

    let loads = loads_of_small_torrents();
    let traffic = bench.pinned(&daemon, torrents, Popularity::Uniform, &loads)?;
    let full_replies = bench.crowds(Popularity::Uniform)?;
    let heavy_tail = bench.crowds(Popularity::Zipf)?;
    let (workers, stop_without) = bench.shared(&daemon)?;
    let snapshot = bench.snapshot(daemon, &options, start_without, stop_without)?;
    let one_torrent = bench.daemon(&Options::default())?;
    let memory_of_one_torrent =
        bench.fill(&one_torrent, 1, peers_of_one_torrent, Popularity::Uniform)?;
    drop(one_torrent);
    Ok(Udp {
        conditions,
        traffic: vec![traffic, full_replies, heavy_tail],
        workers,
        memory: vec![memory, memory_of_one_torrent],
        fairness: Some(bench.fairness()?),
        expiry: bench.expiry()?,
        snapshot,
    })
}

struct Bench {
    programs: Programs,
    scale: Scale,
    seconds: u32,
    runs: usize,
}

/// A load on a server.
struct Contest<'a> {
    server: &'a Server,
    label: Label,
    shares: Shares,
    address: SocketAddr,
    torrents: u32,
    popularity: Popularity,
    cores: Cores,
    load_workers: usize,
}

/// Requests to the daemon if torrents have two peers, and whether they are sent to the socket
/// that is bound to all addresses, and so has to set the source address of replies.
fn loads_of_small_torrents() -> [(&'static str, Shares, bool); 6] {
    [
        (MIXED_NAME, MIXED, false),
        (MIXED_NAME, MIXED, true),
        (ANNOUNCES_NAME, ANNOUNCES, false),
        (ANNOUNCES_NAME, ANNOUNCES, true),
        ("connect only", Shares(1, 0, 0), false),
        ("scrape only, 5 torrents each", Shares(0, 0, 1), false),
    ]
}

/// The same load with another distribution of peers over torrents.
fn popular(popularity: Popularity, config: Config) -> Config {
    let population = PopulationConfig {
        popularity,
        ..config.population
    };
    Config {
        population,
        ..config
    }
}

impl Bench {
    fn daemon(&self, options: &Options<'_>) -> anyhow::Result<Daemon> {
        Daemon::start(&self.programs, options)
    }

    fn load(
        &self,
        cores: Cores,
        server: &Server,
        address: SocketAddr,
        config: &Config,
    ) -> anyhow::Result<Report> {
        let program = "aquatic-udp-load-test";
        load::run(&self.programs, program, cores, server, address, config)
    }

    /// Announces every peer once.
    fn fill(
        &self,
        daemon: &Daemon,
        torrents: u32,
        peers: u32,
        popularity: Popularity,
    ) -> anyhow::Result<Memory> {
        eprintln!("announcing {peers} peers of {torrents} torrents");
        let config = Config {
            fill: true,
            duration_seconds: Seconds::of::<1>(),
            warm_up_seconds: Seconds::of::<0>(),
            // Later measurements do not change the peers.
            ..popular(popularity, load_config(torrents, peers, Shares(1, 0, 0)))
        };
        let server = &daemon.server;
        self.load(Cores::Load, server, server.address, &config)?;
        let known = daemon.torrents()?;
        // The least popular torrents may have no peer at all.
        let least = match popularity {
            Popularity::Uniform => torrents,
            Popularity::Zipf => torrents / 2,
        };
        ensure!(
            (u64::from(least)..=u64::from(torrents)).contains(&known),
            "the daemon knows {known} torrents after {torrents} were announced"
        );
        let whole_bytes = server.resident_bytes()?;
        Ok(Memory {
            torrents,
            peers,
            whole_bytes,
            grown_bytes: whole_bytes.saturating_sub(server.empty_bytes),
        })
    }

    /// Torrents with enough peers for replies that are nearly full, or some with many and many
    /// with few.
    fn crowds(&self, popularity: Popularity) -> anyhow::Result<Traffic> {
        let torrents = self.scale.torrents / CROWD;
        let daemon = self.daemon(&Options::default())?;
        self.fill(&daemon, torrents, self.scale.peers, popularity)?;
        let loads = [
            (MIXED_NAME, MIXED, false),
            (ANNOUNCES_NAME, ANNOUNCES, false),
        ];
        self.pinned(&daemon, torrents, popularity, &loads)
    }

    /// Echo server and daemon, each alone on its core, interleaved.
    fn pinned(
        &self,
        daemon: &Daemon,
        torrents: u32,
        popularity: Popularity,
        loads: &[(&str, Shares, bool)],
    ) -> anyhow::Result<Traffic> {
        let contest = |(load, shares, at_any): (&str, Shares, bool)| Contest {
            server: &daemon.server,
            label: Label {
                load: load.to_owned(),
                server: if at_any {
                    "aquatic-udp, at every address".to_owned()
                } else {
                    "aquatic-udp".to_owned()
                },
                bar: (!at_any).then(|| load.to_owned()),
            },
            shares,
            address: if at_any {
                daemon.any_address
            } else {
                daemon.server.address
            },
            torrents,
            popularity,
            cores: Cores::Load,
            load_workers: 1,
        };
        let mixed = contest((MIXED_NAME, MIXED, false));
        // The length of replies is measured first.
        let peers_per_announce = self.measure(&mixed)?.peers_per_announce;
        let reply_bytes = reply_bytes(peers_per_announce);
        let echo = Server::bare(
            &self.programs,
            "aquatic-udp-echo",
            free_udp_address()?,
            &[reply_bytes.to_string()],
        )?;
        let floor = Contest {
            server: &echo,
            label: Label {
                server: "bare echo".to_owned(),
                bar: Some("bare echo".to_owned()),
                ..mixed.label
            },
            address: echo.address,
            ..mixed
        };
        let mut contests = vec![floor];
        contests.extend(loads.iter().copied().map(contest));
        let mut rows = self.rows(&contests)?;
        rows::compare(&mut rows, &contests, "floor", |_, other| {
            other.address == echo.address
        });
        Ok(Traffic {
            torrents,
            peers: self.scale.peers,
            is_heavy_tailed: popularity == Popularity::Zipf,
            peers_per_announce,
            reply_bytes,
            rows,
        })
    }

    /// One worker and two, on both cores, interleaved; and how long a daemon without snapshots
    /// takes to stop.
    fn shared(&self, one: &Daemon) -> anyhow::Result<(Vec<Row>, Duration)> {
        let two = self.daemon(&Options {
            workers: 2,
            cores: Cores::Both,
            ..Options::default()
        })?;
        let Scale {
            torrents, peers, ..
        } = self.scale;
        self.fill(&two, torrents, peers, Popularity::Uniform)?;
        one.server.move_to(Cores::Both)?;

        let contests =
            [(one, "one worker"), (&two, "two workers")].map(|(daemon, workers)| Contest {
                server: &daemon.server,
                label: Label {
                    load: MIXED_NAME.to_owned(),
                    server: format!("aquatic-udp, {workers}"),
                    bar: None,
                },
                shares: MIXED,
                address: daemon.server.address,
                torrents,
                popularity: Popularity::Uniform,
                cores: Cores::Both,
                load_workers: 2,
            });
        let mut rows = self.rows(&contests)?;
        rows::compare(&mut rows, &contests, "one worker", |_, other| {
            other.address == one.server.address
        });

        one.server.move_to(Cores::Server)?;
        Ok((rows, two.server.stop()?))
    }

    fn rows(&self, contests: &[Contest<'_>]) -> anyhow::Result<Vec<Row>> {
        rows::measure(
            self.runs,
            contests,
            |contest| contest.label.clone(),
            |contest| Sample::of(&self.measure(contest)?),
        )
    }

    fn measure(&self, contest: &Contest<'_>) -> anyhow::Result<Report> {
        let config = Config {
            workers: Count::nearest(contest.load_workers),
            duration_seconds: Seconds::nearest(self.seconds),
            warm_up_seconds: Seconds::nearest(self.scale.warm_up_seconds),
            ..popular(
                contest.popularity,
                load_config(contest.torrents, self.scale.peers, contest.shares),
            )
        };
        self.load(contest.cores, contest.server, contest.address, &config)
    }

    /// Stops the daemon and starts it again.
    fn snapshot(
        &self,
        daemon: Daemon,
        options: &Options<'_>,
        start_without: Duration,
        stop_without: Duration,
    ) -> anyhow::Result<Snapshot> {
        eprintln!("writing a snapshot and restoring it");
        let known = daemon.torrents()?;
        let stop = daemon.server.stop()?;
        let path = options.snapshot.context("a daemon without a snapshot")?;
        let file_bytes = fs::metadata(path).context("there is no snapshot")?.len();

        let started = Instant::now();
        let restored = self.daemon(options)?;
        loop {
            let torrents = restored.torrents()?;
            if torrents == known {
                break;
            }
            ensure!(
                started.elapsed() < MAX_RESTORE_TIME,
                "{torrents} of {known} torrents were restored"
            );
            thread::sleep(Duration::from_millis(20));
        }
        let restored_time = started.elapsed();
        let seconds = |with: Duration, without: Duration| WithAndWithout {
            with: with.as_secs_f64(),
            without: without.as_secs_f64(),
        };
        Ok(Snapshot {
            torrents: self.scale.torrents,
            peers: self.scale.peers,
            file_bytes,
            stop_seconds: seconds(stop, stop_without),
            start_seconds: seconds(restored.server.start_time, start_without),
            restored_seconds: Some(restored_time.as_secs_f64()),
        })
    }

    /// Fills a daemon, and sends a few requests until all peers have expired.
    fn expiry(&self) -> anyhow::Result<Expiry> {
        let scale = self.scale;
        let age = Duration::from_secs(scale.peer_age_seconds.into());
        let daemon = self.daemon(&Options {
            max_peer_age_seconds: scale.peer_age_seconds,
            cleaning_seconds: scale.cleaning_seconds,
            ..Options::default()
        })?;

        let started = Instant::now();
        // One peer per torrent, so that there is little other work.
        let torrents = scale.torrents;
        self.fill(&daemon, torrents, torrents, Popularity::Uniform)?;
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
        // Far below u32::MAX: a sum of configured times.
        let mut while_all_expired = self.probe(&daemon, left.as_secs() as u32)?;
        // The daemon has some time, which is limited.
        let mut left = daemon.torrents()?;
        while left > u64::from(PROBE_TORRENTS) && started.elapsed() < all_expired * 2 {
            while_all_expired = worst(while_all_expired, self.probe(&daemon, 1)?);
            left = daemon.torrents()?;
        }
        let waiting = |while_what: &str, latency: Latency| Waiting {
            while_what: while_what.to_owned(),
            p50_microseconds: latency.p50_microseconds,
            p999_microseconds: latency.p999_microseconds,
            max_microseconds: latency.max_microseconds,
        };
        Ok(Expiry {
            torrents: scale.torrents,
            cycle_seconds: scale.cleaning_seconds,
            rows: vec![
                waiting("nothing expires", while_nothing_expired),
                waiting("all expire", while_all_expired),
            ],
            longest_step_seconds: daemon
                .server
                .metric("aquatic_udp_longest_housekeeping_step_seconds")?,
            watched_seconds: started.elapsed().saturating_sub(age).as_secs(),
            torrents_left: left.saturating_sub(PROBE_TORRENTS.into()),
        })
    }

    fn probe(&self, daemon: &Daemon, seconds: u32) -> anyhow::Result<Latency> {
        let config = load_config(PROBE_TORRENTS, PROBE_TORRENTS, MIXED);
        let config = Config {
            duration_seconds: Seconds::nearest(seconds),
            warm_up_seconds: Seconds::of::<0>(),
            network: NetworkConfig {
                requests_per_second: ZeroOr::of::<PROBE_REQUESTS_PER_SECOND>(),
                // Its wake-ups for metrics are not to be measured.
                spin_microseconds: Microseconds::of::<1_000>(),
                ..config.network
            },
            population: PopulationConfig {
                // These torrents do not expire.
                seed: 1,
                ..config.population
            },
            ..config
        };
        let server = &daemon.server;
        let report = self.load(Cores::Load, server, server.address, &config)?;
        Ok(report.all.latency)
    }
}

/// The longer one of each pair.
fn worst(one: Latency, other: Latency) -> Latency {
    Latency {
        p50_microseconds: one.p50_microseconds.max(other.p50_microseconds),
        p90_microseconds: one.p90_microseconds.max(other.p90_microseconds),
        p99_microseconds: one.p99_microseconds.max(other.p99_microseconds),
        p999_microseconds: one.p999_microseconds.max(other.p999_microseconds),
        max_microseconds: one.max_microseconds.max(other.max_microseconds),
    }
}

/// Mean length of a reply with this number of IPv4 peers (BEP 15: 20 bytes, and 6 per peer).
fn reply_bytes(peers: f64) -> usize {
    // Far below the largest datagram.
    ANNOUNCE_REPLY_HEADER_LENGTH + (IPV4_PEER_LENGTH as f64 * peers).round() as usize
}

/// The factor by which there are fewer torrents with the same number of peers if replies are
/// to be full: each torrent then has 40 peers, of which a leecher gets the 30 that it asks
/// for, and a seeder the 20 leechers.
const CROWD: u32 = 20;

const PROBE_TORRENTS: u32 = 100;

/// Often enough to notice every pause of a millisecond.
const PROBE_REQUESTS_PER_SECOND: u64 = 5_000;

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
