//! A swarm against a model so plain that it must be right, on random histories.

#![allow(
    clippy::unwrap_used,
    reason = "an error is a failed test, in what tests share as well"
)]

use std::collections::BTreeMap;
use std::sync::Arc;

use aquatic_bittorrent::{AnnounceEvent, InfoHash};
use aquatic_swarm::{Announce, HashKey, Limits, Swarm, Sweep, Usage, snapshot};
use proptest::prelude::*;

const LIFETIME: u16 = 100;

/// Something that happens to a swarm.
#[derive(Debug, Clone)]
enum Step {
    Announce {
        torrent: u8,
        peer: u16,
        left: bool,
        event: AnnounceEvent,
        wanted: usize,
    },
    Wait(u16),
    Sweep,
    Restart,
}

fn step(peers: u16) -> impl Strategy<Value = Step> {
    let event = prop_oneof![
        4 => Just(AnnounceEvent::None),
        2 => Just(AnnounceEvent::Started),
        2 => Just(AnnounceEvent::Stopped),
        1 => Just(AnnounceEvent::Completed),
        1 => Just(AnnounceEvent::Paused),
    ];
    let announce = (0..4u8, 0..peers, any::<bool>(), event, 0..50usize).prop_map(
        |(torrent, peer, left, event, wanted)| Step::Announce {
            torrent,
            peer,
            left,
            event,
            wanted,
        },
    );
    prop_oneof![
        40 => announce,
        2 => (0..40u16).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
        1 => Just(Step::Restart),
    ]
}

/// A peer as the model keeps it.
#[derive(Debug, Clone, Copy)]
struct ModelPeer {
    is_seeder: bool,
    has_seeded: bool,
    deadline: u32,
}

#[derive(Debug, Default)]
struct ModelTorrent {
    peers: BTreeMap<u16, ModelPeer>,
    completed: u32,
}

struct Pair<const S: usize, const K: usize, const N: usize> {
    swarm: Swarm<S, K, N>,
    model: BTreeMap<u8, ModelTorrent>,
    random: fastrand::Rng,
    now: u32,
}

impl<const S: usize, const K: usize, const N: usize> Pair<S, K, N> {
    fn new() -> Self {
        Self {
            swarm: empty(),
            model: BTreeMap::new(),
            random: fastrand::Rng::with_seed(7),
            now: 65_400,
        }
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Announce {
                torrent,
                peer,
                left,
                event,
                wanted,
            } => self.announce(torrent, peer, !left, event, wanted),
            Step::Wait(seconds) => self.now += u32::from(seconds),
            Step::Sweep => self.sweep(),
            Step::Restart => self.restart(),
        }
    }

    fn announce(
        &mut self,
        torrent: u8,
        peer: u16,
        is_seeder: bool,
        event: AnnounceEvent,
        wanted: usize,
    ) {
        let announce = Announce {
            record: record::<S>(peer),
            is_seeder,
            event,
            wanted,
            now: self.now,
            lifetime: LIFETIME,
        };
        let mut locked = self.swarm.lock(&info_hash(torrent));
        let announced = locked.announce(&announce, &mut self.random).unwrap();

        let model = self.model.entry(torrent).or_default();
        let before = model.peers.remove(&peer);
        let seeders = model.peers.values().filter(|peer| peer.is_seeder).count();
        assert_eq!(announced.seeders as usize, seeders);
        assert_eq!(announced.leechers as usize, model.peers.len() - seeders);

        let mut sent: Vec<[u8; S]> = announced.peers.slices().concat();
        sent.sort_unstable();
        let count = sent.len();
        sent.dedup();
        assert_eq!(sent.len(), count, "a peer was sent twice");
        let possible: Vec<[u8; S]> = model
            .peers
            .iter()
            .filter(|(_, other)| !(is_seeder && other.is_seeder))
            .map(|(&other, _)| record(other))
            .collect();
        assert!(sent.iter().all(|record| possible.contains(record)));

        if event == AnnounceEvent::Stopped {
            assert_eq!(count, 0);
            return;
        }
        assert_eq!(count, wanted.min(possible.len()));
        let had_seeded = before.is_some_and(|peer| peer.has_seeded);
        if event == AnnounceEvent::Completed && is_seeder && !had_seeded {
            model.completed += 1;
        }
        let deadline = self.now + u32::from(LIFETIME);
        let stored = ModelPeer {
            is_seeder,
            has_seeded: is_seeder || had_seeded,
            deadline,
        };
        model.peers.insert(peer, stored);
    }

    fn sweep(&mut self) {
        let mut sweep = Sweep::new();
        while !sweep.step(&self.swarm, self.now, 300, |_| true) {}
        for torrent in self.model.values_mut() {
            torrent.peers.retain(|_, peer| peer.deadline > self.now);
        }
    }

    /// Goes through a snapshot into another swarm, at another time.
    fn restart(&mut self) {
        let after = empty();
        let mut walk = snapshot::SnapshotWalk::new();
        let mut block = Vec::new();
        let new_now = self.now / 2 + 5;
        while walk.next_block(&self.swarm, self.now, &mut block) {
            snapshot::restore(&after, &block, new_now, LIFETIME, true).unwrap();
            block.clear();
        }
        self.swarm = after;
        for torrent in self.model.values_mut() {
            for peer in torrent.peers.values_mut() {
                peer.deadline = new_now + peer.deadline.saturating_sub(self.now);
            }
        }
        self.now = new_now;
    }

    fn check(&self) {
        let mut peers = 0;
        for torrent in 0..4 {
            let scraped = self.swarm.lock(&info_hash(torrent)).scrape();
            let model = self.model.get(&torrent);
            let seeders = model.map_or(0, |torrent| {
                torrent.peers.values().filter(|peer| peer.is_seeder).count()
            });
            let all = model.map_or(0, |torrent| torrent.peers.len());
            peers += all;
            assert_eq!(scraped.seeders as usize, seeders);
            assert_eq!(scraped.leechers as usize, all - seeders);
            assert_eq!(scraped.completed, model.map_or(0, |model| model.completed));
        }
        assert_eq!(self.swarm.totals().peers, peers);
    }
}

fn empty<const S: usize, const K: usize, const N: usize>() -> Swarm<S, K, N> {
    let usage = Arc::new(Usage::default());
    Swarm::new(HashKey::new([6; 16]), Limits::default(), usage)
}

fn info_hash(torrent: u8) -> InfoHash {
    InfoHash([torrent; 20])
}

fn record<const S: usize>(peer: u16) -> [u8; S] {
    let mut record = [0; S];
    record[..2].copy_from_slice(&peer.to_be_bytes());
    record
}

fn runs_like_the_model<const S: usize, const K: usize, const N: usize>(steps: &[Step]) {
    let mut pair = Pair::<S, K, N>::new();
    for step in steps {
        pair.take(step);
        pair.check();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn ipv4(steps in prop::collection::vec(step(12), 1..400)) {
        runs_like_the_model::<6, 6, 4>(&steps);
    }

    #[test]
    fn ipv4_in_large_torrents(steps in prop::collection::vec(step(400), 1..1_500)) {
        runs_like_the_model::<6, 6, 4>(&steps);
    }

    #[test]
    fn ipv6(steps in prop::collection::vec(step(90), 1..600)) {
        runs_like_the_model::<18, 18, 1>(&steps);
    }

    #[test]
    fn web(steps in prop::collection::vec(step(90), 1..600)) {
        runs_like_the_model::<28, 20, 1>(&steps);
    }
}
