//! Nodes that join, and nodes that are killed.

use std::collections::{HashSet, VecDeque};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use aquatic_load_test::Latency;
use aquatic_load_test::numbers::{Count, Seconds};
use aquatic_load_test::udp::{Config, NetworkConfig, PopulationConfig};

use super::Bench;
use super::client::{Client, info_hash};
use super::engine::Engine;
use super::node::{Sharing, start_udp, wait_for_metric};
use crate::results::{Joining, Killing};
use crate::rows::{median, spread};
use crate::server::Server;
use crate::udp::requests::{MIXED, load_config};

/// Number of torrents in requests to a node while it reads the stream.
const PROBE_TORRENTS: u32 = 100;

/// Often enough to notice every pause of a millisecond.
const PROBE_REQUESTS_PER_SECOND: u32 = 5_000;

/// Duration of these requests in seconds: longer than it may take to have all peers.
const PROBE_SECONDS: u32 = 3;

/// Clients whose replies are awaited together.
const WINDOW: usize = 64;

/// How long clients may take until all are served by the other node.
const PATIENCE: Duration = Duration::from_secs(10);

/// A node that has joined.
pub(super) struct Joined {
    pub(super) node: Server,
    pub(super) times: Times,
}

/// The results of a node that joined.
pub(super) struct Times {
    seconds: f64,
    ready_seconds: f64,
    latency: Latency,
}

/// The results of a node that was killed.
pub(super) struct Killed {
    seconds: f64,
    /// Number of torrents of which the other node had no other peer at first.
    unknown: usize,
}

/// Starts a node while all peers are in the stream, and waits until it has them. Meanwhile it
/// gets requests.
///
/// # Errors
///
/// If it does not get all, or does not answer.
pub(super) fn join(bench: &Bench, engine: &Engine, name: &str) -> anyhow::Result<Joined> {
    let config = load_config(PROBE_TORRENTS, PROBE_TORRENTS, MIXED);
    let config = Config {
        duration_seconds: Seconds::nearest(PROBE_SECONDS),
        warm_up_seconds: Seconds::of::<0>(),
        network: NetworkConfig {
            requests_per_second: Count::nearest(PROBE_REQUESTS_PER_SECOND).into(),
            ..config.network
        },
        population: PopulationConfig {
            // Other torrents than those in the stream.
            seed: 1,
            ..config.population
        },
        ..config
    };
    let started = Instant::now();
    let node = start_udp(&bench.programs, Sharing::Engine(engine, name))?;
    let (seconds, report) = thread::scope(|scope| {
        let load = scope.spawn(|| bench.load(&node, &config));
        let all = f64::from(bench.scale.peers);
        let waited = wait_for_metric(&node, "aquatic_udp_peers", all);
        let seconds = started.elapsed().as_secs_f64();
        let report = load.join().ok().context("the load has failed");
        waited.and_then(|()| Ok((seconds, report??)))
    })?;
    eprintln!(
        "a node has joined after {seconds:.2} s; the longest request took {:.1} ms",
        report.all.latency.max_microseconds / 1e3
    );
    let times = Times {
        seconds,
        ready_seconds: node.start_time.as_secs_f64(),
        latency: report.all.latency,
    };
    Ok(Joined { node, times })
}

/// Clients announce to a node, two of each torrent; it is killed, and all of them announce
/// to the other one, with the connection id that they have.
///
/// It is killed when all have announced once, so changes that were not sent yet are lost.
///
/// # Errors
///
/// If a torrent is not served by the other node.
pub(super) fn kill(
    bench: &Bench,
    victim: Server,
    survivor: &Server,
    kind: u8,
) -> anyhow::Result<Killed> {
    let torrents = bench.scale.torrents_of_killed;
    let client = Client::connect(victim.address)?;
    let await_reply = || {
        let reply = client.announced(true)?;
        reply.context("the node does not answer before it is killed")
    };
    let mut unanswered = 0;
    let started = Instant::now();
    for number in 0..torrents * 2 {
        let due = f64::from(number) / f64::from(bench.scale.requests_before_kill_per_second);
        let due = Duration::from_secs_f64(due);
        while started.elapsed() < due {
            thread::sleep(Duration::from_micros(500));
        }
        announce(&client, kind, number)?;
        unanswered += 1;
        while client.announced(false)?.is_some() {
            unanswered -= 1;
        }
        // Pauses, so that no buffer overflows if the node gets little CPU time.
        if unanswered >= WINDOW {
            await_reply()?;
            unanswered -= 1;
        }
    }
    for _ in 0..unanswered {
        await_reply()?;
    }
    let killed = Instant::now();
    victim.kill()?;
    let unknown = fail_over(&client.at(survivor.address)?, kind, torrents)?;
    let seconds = killed.elapsed().as_secs_f64();
    eprintln!("a node was killed, and all its torrents were served after {seconds:.3} s");
    Ok(Killed { seconds, unknown })
}

/// All clients announce until each torrent has had a reply with a peer. Returns of how many
/// torrents one had none before.
fn fail_over(client: &Client, kind: u8, torrents: u32) -> anyhow::Result<usize> {
    let deadline = Instant::now() + PATIENCE;
    let mut waiting: VecDeque<u32> = (0..torrents * 2).collect();
    let mut is_served = vec![false; torrents as usize];
    let mut unknown = HashSet::new();
    while is_served.contains(&false) {
        ensure!(
            Instant::now() < deadline,
            "the other node does not serve all"
        );
        let group = waiting.len().min(WINDOW);
        for number in waiting.drain(..group) {
            announce(client, kind, number)?;
        }
        for _ in 0..group {
            let reply = client.announced(true)?;
            let reply = reply.context("the other node does not accept the connection id")?;
            let torrent = is_served.get_mut(reply.number as usize / 2);
            let is_served = torrent.context("a reply to another request")?;
            if reply.peers > 0 {
                *is_served = true;
            } else if !*is_served {
                unknown.insert(reply.number / 2);
                waiting.push_back(reply.number);
            }
        }
    }
    Ok(unknown.len())
}

/// The announce of a client; the first client of each torrent is a seeder.
fn announce(client: &Client, kind: u8, number: u32) -> anyhow::Result<()> {
    let is_seeder = number.is_multiple_of(2);
    let port = if is_seeder { 1 } else { 2 };
    client.announce(number, info_hash(kind, number / 2), port, is_seeder)
}

/// Sums up.
pub(super) fn joining(bench: &Bench, joined: &[Times]) -> Joining {
    let of = |value: fn(&Times) -> f64| joined.iter().map(value).collect::<Vec<_>>();
    Joining {
        torrents: bench.scale.torrents,
        peers: bench.scale.peers,
        complete_seconds: spread(of(|it| it.seconds)),
        ready_seconds: median(of(|it| it.ready_seconds)),
        requests_per_second: PROBE_REQUESTS_PER_SECOND,
        p50_milliseconds: median(of(|it| it.latency.p50_microseconds)) / 1e3,
        longest_milliseconds: of(|it| it.latency.max_microseconds)
            .into_iter()
            .fold(0.0, f64::max)
            / 1e3,
    }
}

/// Sums up.
pub(super) fn killing(bench: &Bench, killed: &[Killed]) -> Killing {
    Killing {
        requests_per_second: bench.scale.requests_before_kill_per_second,
        torrents: bench.scale.torrents_of_killed,
        seconds: spread(killed.iter().map(|it| it.seconds).collect()),
        unknown: killed.iter().map(|it| it.unknown).max().unwrap_or(0),
    }
}
