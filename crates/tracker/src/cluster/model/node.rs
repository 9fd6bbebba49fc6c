//! A daemon of the model: a real swarm, an outbox, and what others read from it.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aquatic_bittorrent::{AnnounceEvent, InfoHash};
use aquatic_cluster::{Header, Kind, NodeId, Outbox, Sequences};
use aquatic_service::clock::Clock;
use aquatic_service::lists::Lists;
use aquatic_swarm::{Announce, Families, HashKey, SwarmLimits, Swarms as _, Sweep, snapshot};

use super::{Key, MAX_DELAY, REFRESH_BELOW};
use crate::State;
use crate::cluster::Changes;
use crate::cluster::members::{Members, Walk};

pub(super) enum Packet {
    Block(Vec<u8>),
    Batch(Vec<u8>),
}

/// What one daemon reads from another.
pub(super) struct Connection {
    pub(super) walk: Option<Walk>,
    pub(super) waiting: VecDeque<(u64, Packet)>,
    pub(super) sequences: Sequences,
}

pub(super) struct Node {
    pub(super) id: u8,
    pub(super) age: u16,
    pub(super) state: Arc<State<Families>>,
    pub(super) outbox: Outbox,
    sequence: [u64; 2],
    sweeps: [Sweep; 2],
    pub(super) sweep_at: u64,
    /// By reader.
    pub(super) readers: BTreeMap<usize, Connection>,
}

fn info_hash(torrent: u8) -> InfoHash {
    InfoHash([torrent; 20])
}

impl Node {
    pub(super) fn new(id: u8, age: u16) -> Self {
        let limits = SwarmLimits {
            refresh_below_seconds: NonZeroU16::new(REFRESH_BELOW),
            ..SwarmLimits::default()
        };
        Self {
            id,
            age,
            state: Arc::new(State {
                swarms: Families::new(HashKey::new([id; 16]), limits),
                lists: Lists::default(),
            }),
            outbox: Outbox::new(1 << 20),
            sequence: [0; 2],
            sweeps: Default::default(),
            sweep_at: 0,
            readers: BTreeMap::new(),
        }
    }

    pub(super) fn members(&self, now: u64) -> Members {
        let start = Instant::now() - Duration::from_millis(now);
        Members::new(self.state.clone(), Clock::started_at(start), Arc::default())
    }

    /// As a worker does.
    pub(super) fn announce<const S: usize, const N: usize>(
        &self,
        swarm: &aquatic_swarm::Swarm<S, S, N>,
        key: Key,
        (is_seeder, event): (bool, AnnounceEvent),
        now: u64,
        random: &mut fastrand::Rng,
    ) {
        let changes = Changes::new(Some(&self.outbox));
        let hash = info_hash(key.0);
        let announce = Announce {
            record: [key.1; S],
            is_seeder,
            event,
            wanted: 0,
            now_seconds: (now / 1_000) as u32,
            lifetime_seconds: self.age,
        };
        let mut torrent = swarm.lock(&hash);
        let announced = torrent.announce(&announce, random).expect("no limit");
        if let Some(change) = announced.change {
            changes.add(&hash, &announce.record, change);
            changes.append();
        }
    }

    pub(super) fn sweep(&mut self, now: u64) {
        for (number, sweep) in self.sweeps.iter_mut().enumerate() {
            let now = (now / 1_000) as u32;
            while !self.state.swarms.sweep(number, sweep, now, 1_000, |_| true) {}
        }
    }

    pub(super) fn flush(&mut self, now: u64, random: &mut fastrand::Rng) {
        let mut batch = Vec::new();
        for kind in Kind::ADDRESSES {
            while let Some(taken) = self.outbox.take(kind, now, &mut batch) {
                let sequence = &mut self.sequence[kind.index()];
                *sequence += 1;
                Header {
                    kind,
                    max_peer_age_seconds: self.age,
                    node: NodeId([self.id; 8]),
                    sequence: *sequence,
                    closed_at_milliseconds: taken.closed_at_milliseconds,
                }
                .write(&mut batch);
                for reader in self.readers.values_mut() {
                    reader.send(now, Packet::Batch(batch.clone()), random);
                }
            }
        }
        if self.readers.is_empty() {
            self.outbox.close();
        }
    }

    /// All that is held, of IPv4 and of IPv6: there is space for it in one block.
    pub(super) fn blocks(&self) -> [Vec<u8>; 2] {
        let Families { ipv4, ipv6, .. } = &self.state.swarms;
        let mut blocks = [Vec::new(), Vec::new()];
        snapshot::SnapshotWalk::new().next_block(ipv4, 0, &mut blocks[0]);
        snapshot::SnapshotWalk::new().next_block(ipv6, 0, &mut blocks[1]);
        blocks
    }
}

/// Role of a peer in each family; `None` if it is not there.
pub(super) fn roles(blocks: &[Vec<u8>; 2], (torrent, peer): Key) -> [Option<bool>; 2] {
    let hash = info_hash(torrent);
    [
        role_in::<6>(&blocks[0], &hash, peer),
        role_in::<18>(&blocks[1], &hash, peer),
    ]
}

/// Looks a peer up in the layout that the module `snapshot` documents.
fn role_in<const S: usize>(mut block: &[u8], info_hash: &InfoHash, peer: u8) -> Option<bool> {
    while let Some((head, rest)) = block.split_first_chunk::<32>() {
        let number = |at: usize| {
            u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]) as usize
        };
        let (seeders, leechers) = (number(24), number(28));
        let records = &rest[..(seeders + leechers) * S];
        if head[..20] == info_hash.0 {
            let place = records.chunks(S).position(|record| record[0] == peer);
            if let Some(place) = place {
                return Some(place < seeders);
            }
        }
        block = &rest[(seeders + leechers) * (S + 2)..];
    }
    None
}

impl Connection {
    /// Whether all that was held has arrived.
    pub(super) fn is_complete(&self) -> bool {
        let mut waiting = self.waiting.iter();
        self.walk.is_none() && !waiting.any(|(_, it)| matches!(it, Packet::Block(_)))
    }

    pub(super) fn send(&mut self, now: u64, packet: Packet, random: &mut fastrand::Rng) {
        let earliest = self.waiting.back().map_or(now, |(at, _)| *at);
        self.waiting
            .push_back((earliest.max(now + random.u64(..MAX_DELAY)), packet));
    }
}
