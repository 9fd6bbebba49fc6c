//! What a swarm costs without a network, as lines of names and measurements that
//! `cargo xtask bench swarm` makes a page of.
//!
//! Times are those that the thread had a processor, so others that run at the
//! same time count only by what they do to caches.

#![allow(
    clippy::unwrap_used,
    reason = "an error is a failed benchmark, in all of it"
)]

use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_bittorrent::{AnnounceEvent, InfoHash};
use aquatic_swarm::{
    Announce, Foreseen, HashKey, Ipv4Swarm, LockedShard, SwarmLimits, Sweep, Usage,
    answer_in_rounds,
};
use hashbrown::HashTable;

/// Announces that are looked up together, as `aquatic-udp` does.
const GROUP: usize = 8;

/// The most peers in a reply.
const WANTED: usize = 30;

/// How much is measured.
struct Scale {
    torrents: u32,
    peers: u32,
    peers_of_one_torrent: u32,
    /// Torrents of medium size, and the peers of each.
    medium_torrents: u32,
    medium_peers: u32,
    /// Announces of a measurement.
    announces: usize,
    runs: usize,
    /// Torrents, or peers, that come while as many go.
    churn: u32,
    levels: &'static [u32],
}

const FULL: Scale = Scale {
    torrents: 1_000_000,
    peers: 2_000_000,
    peers_of_one_torrent: 1_000_000,
    medium_torrents: 30_000,
    medium_peers: 67,
    announces: 4_000_000,
    runs: 5,
    churn: 10_000_000,
    levels: &[
        6_000, 12_000, 16_000, 20_000, 30_000, 40_000, 50_000, 60_000, 120_000, 1_000_000,
    ],
};

const QUICK: Scale = Scale {
    torrents: 10_000,
    peers: 20_000,
    peers_of_one_torrent: 10_000,
    medium_torrents: 300,
    medium_peers: 67,
    announces: 100_000,
    runs: 1,
    churn: 100_000,
    levels: &[6_000, 20_000],
};

fn main() {
    let has = |name: &str| std::env::args().any(|argument| argument == name);
    let scale = if has("--quick") { QUICK } else { FULL };
    let parts = ["--announces", "--medium", "--one-torrent", "--steady"];
    let is_all = !parts.iter().any(|part| has(part));
    if is_all || has("--announces") {
        announces(&scale);
    }
    if is_all || has("--medium") {
        medium_torrents(&scale);
    }
    if is_all || has("--one-torrent") {
        one_torrent(&scale);
        tables_of_positions(&scale);
    }
    if is_all || has("--steady") {
        for &level in scale.levels {
            steady_torrents(level, &scale);
        }
    }
}

fn report(name: &str, measurements: &[f64]) {
    let measurements: Vec<String> = measurements.iter().map(f64::to_string).collect();
    println!("{name} {}", measurements.join(" "));
}

/// Announces in a large swarm, one by one and in groups, and its memory.
fn announces(scale: &Scale) {
    let empty = resident_bytes();
    let swarm = swarm();
    let mut random = fastrand::Rng::with_seed(1);
    for peer in 0..scale.peers {
        announce_one(
            &swarm,
            &Request::new(peer % scale.torrents, peer),
            &mut random,
        );
    }
    let memory = resident_bytes().saturating_sub(empty);
    report(
        "memory",
        &[
            f64::from(scale.torrents),
            f64::from(scale.peers),
            memory as f64,
        ],
    );

    let requests: Vec<Request> = (0..scale.announces)
        .map(|_| {
            let peer = random.u32(0..scale.peers);
            Request::new(peer % scale.torrents, peer)
        })
        .collect();
    let mut single = Vec::new();
    let mut grouped = Vec::new();
    let mut scraped = Vec::new();
    let mut scraped_in_groups = Vec::new();
    for _ in 0..scale.runs {
        scraped_in_groups.push(nanoseconds(requests.len(), || {
            for group in requests.as_chunks::<GROUP>().0 {
                black_box(swarm.scrape_all(group.map(|request| Some(request.info_hash))));
            }
        }));
        scraped.push(nanoseconds(requests.len(), || {
            for request in &requests {
                black_box(swarm.lock(&request.info_hash).scrape());
            }
        }));
        single.push(nanoseconds(requests.len(), || {
            for request in &requests {
                announce_one(&swarm, request, &mut random);
            }
        }));
        grouped.push(nanoseconds(requests.len(), || {
            for group in requests.as_chunks::<GROUP>().0 {
                announce_group(&swarm, group, &mut random);
            }
        }));
    }
    report("one_by_one", &[median(&mut single)]);
    report("in_groups", &[median(&mut grouped)]);
    report("scrapes", &[median(&mut scraped)]);
    report("scrapes_in_groups", &[median(&mut scraped_in_groups)]);
}

/// Memory of torrents with some dozens of peers each, which arrive in turns, and announces in groups.
fn medium_torrents(scale: &Scale) {
    let peers = scale.medium_peers;
    let empty = resident_bytes();
    let swarm = swarm();
    let mut random = fastrand::Rng::with_seed(6);
    for peer in 0..peers {
        for torrent in 0..scale.medium_torrents {
            announce_one(&swarm, &Request::new(torrent, peer), &mut random);
        }
    }
    let memory = resident_bytes().saturating_sub(empty);
    let requests: Vec<Request> = (0..scale.announces / 4)
        .map(|_| {
            let (torrent, peer) = (random.u32(0..scale.medium_torrents), random.u32(0..peers));
            Request::new(torrent, peer)
        })
        .collect();
    let mut times = Vec::new();
    for _ in 0..scale.runs {
        times.push(nanoseconds(requests.len(), || {
            for group in requests.as_chunks::<GROUP>().0 {
                announce_group(&swarm, group, &mut random);
            }
        }));
    }
    report(
        "medium",
        &[
            f64::from(scale.medium_torrents),
            f64::from(peers),
            memory as f64,
            median(&mut times),
        ],
    );
    while !Sweep::new().step(&swarm, 100_000, usize::MAX, |_| true) {}
}

/// Announces in one large torrent, new and after long churn.
fn one_torrent(scale: &Scale) {
    let swarm = swarm();
    let mut random = fastrand::Rng::with_seed(2);
    let mut longest = Duration::ZERO;
    let mut peers: Vec<u32> = (0..scale.peers_of_one_torrent).collect();
    for &peer in &peers {
        let start = Instant::now();
        announce_one(&swarm, &Request::new(0, peer), &mut random);
        longest = longest.max(start.elapsed());
    }
    let measure = |peers: &[u32], random: &mut fastrand::Rng| {
        let requests: Vec<Request> = (0..scale.announces / 4)
            .map(|_| Request::new(0, peers[random.usize(0..peers.len())]))
            .collect();
        let mut times = Vec::new();
        for _ in 0..scale.runs {
            times.push(nanoseconds(requests.len(), || {
                for request in &requests {
                    announce_one(&swarm, request, random);
                }
            }));
        }
        median(&mut times)
    };
    let new = measure(&peers, &mut random);
    let requests: Vec<Request> = (0..scale.announces / 4)
        .map(|_| Request::new(0, random.u32(0..scale.peers_of_one_torrent)))
        .collect();
    let mut grouped = Vec::new();
    for _ in 0..scale.runs {
        grouped.push(nanoseconds(requests.len(), || {
            for group in requests.as_chunks::<GROUP>().0 {
                announce_group(&swarm, group, &mut random);
            }
        }));
    }
    report("one_torrent_in_groups", &[median(&mut grouped)]);
    let mut churn = fastrand::Rng::with_seed(3);
    for arriving in 0..scale.churn {
        let peer = &mut peers[churn.usize(0..scale.peers_of_one_torrent as usize)];
        leave(&swarm, &Request::new(0, *peer), &mut churn);
        *peer = scale.peers_of_one_torrent + arriving;
        announce_one(&swarm, &Request::new(0, *peer), &mut churn);
    }
    let old = measure(&peers, &mut random);
    report(
        "one_torrent",
        &[
            f64::from(scale.peers_of_one_torrent),
            new,
            old,
            longest.as_secs_f64() * 1e6,
        ],
    );
}

/// What one general table of so many positions costs when it grows.
fn tables_of_positions(scale: &Scale) {
    let key = fastrand::Rng::with_seed(4).u64(..);
    let hash = |number: u32| (u64::from(number) ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut table = HashTable::new();
    let mut longest = Duration::ZERO;
    for number in 0..scale.peers_of_one_torrent {
        let start = Instant::now();
        table.insert_unique(hash(number), number, |&other| hash(other));
        longest = longest.max(start.elapsed());
    }
    black_box(&table);
    report("one_table", &[longest.as_secs_f64() * 1e6]);
}

/// Look-ups in a swarm of so many torrents that come and go.
fn steady_torrents(level: u32, scale: &Scale) {
    let swarm = swarm();
    let mut random = fastrand::Rng::with_seed(level.into());
    let mut torrents: Vec<u32> = (0..level).collect();
    for &torrent in &torrents {
        announce_one(&swarm, &Request::new(torrent, 1), &mut random);
    }
    let new = LookUps::measure(&swarm, &torrents, scale);
    let mut longest = Duration::ZERO;
    for arriving in 0..scale.churn {
        let torrent = &mut torrents[random.usize(0..level as usize)];
        leave(&swarm, &Request::new(*torrent, 1), &mut random);
        *torrent = level + arriving;
        let start = Instant::now();
        announce_one(&swarm, &Request::new(*torrent, 1), &mut random);
        longest = longest.max(start.elapsed());
    }
    let old = LookUps::measure(&swarm, &torrents, scale);
    assert_eq!(swarm.totals().torrents, level as usize);
    let places = swarm.places();
    // Nothing is left of it in the way of the next level.
    while !Sweep::new().step(&swarm, 100_000, usize::MAX, |_| true) {}
    report(
        "steady",
        &[
            f64::from(level),
            f64::from(scale.churn),
            new.present,
            old.present,
            new.absent,
            old.absent,
            longest.as_secs_f64() * 1e6,
            places as f64 / f64::from(level),
        ],
    );
}

/// What look-ups cost, in nanoseconds, with the lock.
struct LookUps {
    present: f64,
    absent: f64,
}

impl LookUps {
    fn measure(swarm: &Ipv4Swarm, torrents: &[u32], scale: &Scale) -> Self {
        let mut random = fastrand::Rng::with_seed(5);
        let present: Vec<Request> = (0..scale.announces / 4)
            .map(|_| Request::new(torrents[random.usize(0..torrents.len())], 1))
            .collect();
        let absent: Vec<Request> = (0..scale.announces / 4)
            .map(|_| Request::new(random.u32(1 << 31..), 1))
            .collect();
        let time = |requests: &[Request], are_found: bool| {
            let mut times = Vec::new();
            for _ in 0..scale.runs {
                times.push(nanoseconds(requests.len(), || {
                    for request in requests {
                        let found = swarm.lock(&request.info_hash).scrape();
                        assert_eq!(found.leechers + found.seeders > 0, are_found);
                    }
                }));
            }
            median(&mut times)
        };
        Self {
            present: time(&present, true),
            absent: time(&absent, false),
        }
    }
}

#[derive(Clone, Copy)]
struct Request {
    info_hash: InfoHash,
    record: [u8; 6],
}

impl Request {
    fn new(torrent: u32, peer: u32) -> Self {
        let mut info_hash = [0; 20];
        info_hash[..8].copy_from_slice(&mixed(torrent.into()).to_ne_bytes());
        info_hash[8..12].copy_from_slice(&torrent.to_ne_bytes());
        let mut record = [0; 6];
        record[..4].copy_from_slice(&peer.to_be_bytes());
        record[5] = 1;
        Self {
            info_hash: InfoHash(info_hash),
            record,
        }
    }

    fn announce(&self, event: AnnounceEvent) -> Announce<6> {
        Announce {
            record: self.record,
            is_seeder: self.record[3].is_multiple_of(2),
            event,
            wanted: WANTED,
            now_seconds: 1_000,
            lifetime_seconds: 1_800,
        }
    }
}

fn swarm() -> Ipv4Swarm {
    Ipv4Swarm::new(
        HashKey::new(*b"a key of nobody."),
        SwarmLimits::default(),
        Arc::new(Usage::default()),
    )
}

fn announce_one(swarm: &Ipv4Swarm, request: &Request, random: &mut fastrand::Rng) {
    let mut torrent = swarm.lock(&request.info_hash);
    let announce = request.announce(AnnounceEvent::None);
    answer(&mut torrent, &announce, Foreseen::default(), random);
}

fn leave(swarm: &Ipv4Swarm, request: &Request, random: &mut fastrand::Rng) {
    let announce = request.announce(AnnounceEvent::Stopped);
    let mut torrent = swarm.lock(&request.info_hash);
    torrent.announce(&announce, random).unwrap();
}

fn announce_group(swarm: &Ipv4Swarm, group: &[Request; GROUP], random: &mut fastrand::Rng) {
    let announces = group.map(|request| (request.info_hash, request.announce(AnnounceEvent::None)));
    let mut waiting = announces.each_ref().map(Some);
    let mut foresight = random.fork();
    answer_in_rounds(
        &mut waiting,
        |(info_hash, _)| swarm.lock(info_hash),
        |(info_hash, _)| swarm.try_lock(info_hash),
        |(one, _), (other, _)| one == other,
        |round| LockedShard::foresee_all(round, &mut foresight, |one| &one.1),
        |_, (_, announce), torrent, foreseen| answer(torrent, announce, foreseen, random),
        || {},
    );
}

/// Announces, and copies what a reply would have.
fn answer(
    torrent: &mut LockedShard<'_, 6, 6, 2>,
    announce: &Announce<6>,
    foreseen: Foreseen,
    random: &mut fastrand::Rng,
) {
    let announced = torrent
        .announce_foreseen(announce, foreseen, random)
        .unwrap();
    let mut reply = [0u8; 6 * WANTED];
    let mut rest = &mut reply[..];
    for peers in announced.peers.slices() {
        let bytes = peers.as_flattened();
        let (room, after) = rest.split_at_mut(bytes.len());
        room.copy_from_slice(bytes);
        rest = after;
    }
    black_box((&reply, announced.seeders, announced.leechers));
}

/// Processor time of each of so many.
fn nanoseconds(count: usize, mut run: impl FnMut()) -> f64 {
    let start = thread_nanoseconds();
    run();
    (thread_nanoseconds() - start) as f64 / count as f64
}

/// See proc_pid_schedstat(5).
fn thread_nanoseconds() -> u64 {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}

fn resident_bytes() -> u64 {
    let text = fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// The finish of SplitMix64.
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
