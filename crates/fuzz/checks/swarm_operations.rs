//! Compares a swarm with a simple model after any sequence of operations.
//!
//! The input is a list of operations: announces of one or many peers to one or many
//! torrents, peers that stop, waits of up to months, sweeps whole or in steps, restarts
//! through a snapshot, connections that end, and announces to another node with the same
//! swarm. All torrents are in one shard, so that its tables are full.

use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::sync::{Arc, OnceLock};

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerChange};
use aquatic_swarm::snapshot::{MIN_BLOCK_BYTES, SnapshotWalk, restore};
use aquatic_swarm::{
    Announce, Applied, HashKey, LimitReached, MAX_LIFETIME_SECONDS, PLACES_PER_SHARD,
    PLACES_PER_TORRENT, Swarm, SwarmLimits, Sweep, Usage, WebSwarm,
};

#[path = "swarm_operations_contents.rs"]
mod contents;

#[path = "swarm_operations_groups.rs"]
mod groups;

use contents::Contents;
use groups::Answer;

/// Number of torrents: dozens of buckets of their shard's table.
const TORRENTS: u16 = 600;

/// Number of peers: several tables of an index, and several segments with an epoch of
/// their own.
const MAX_PEER: u16 = 9_999;

/// Maximum number of operations.
const MAX_OPERATIONS: usize = 2_000;

/// Maximum number of peers or torrents in one operation.
const MAX_RANGE: u16 = 1_500;

/// Number of operations after which everything is compared; what has changed is compared
/// always.
const OPERATIONS_PER_COMPARISON: usize = 32;

const LIFETIMES: [u16; 4] = [1, 120, 1_800, MAX_LIFETIME_SECONDS];

/// How long other nodes keep their peers; changes that arrive later have no effect.
const LIFETIMES_OF_OTHERS: [u16; 4] = [0, 120, 1_800, MAX_LIFETIME_SECONDS];

const CHANGES: [PeerChange; 4] = [
    PeerChange::Leecher,
    PeerChange::Seeder,
    PeerChange::Completed,
    PeerChange::Stopped,
];

/// Panics if an invariant does not hold, for any kind of peers.
pub(crate) fn check(bytes: &[u8]) {
    check_ipv4(bytes);
    check_ipv6(bytes);
    check_web(bytes);
}

pub(crate) fn check_ipv4(bytes: &[u8]) {
    Pair::<6, 6, 2>::check(bytes);
}

pub(crate) fn check_ipv6(bytes: &[u8]) {
    Pair::<18, 18, 1>::check(bytes);
}

pub(crate) fn check_web(bytes: &[u8]) {
    Pair::<28, 20, 1>::check(bytes);
}

/// A peer in the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ModelPeer {
    owner: u8,
    is_seeder: bool,
    has_seeded: bool,
    until: u32,
}

#[derive(Debug, Default)]
struct ModelTorrent {
    peers: BTreeMap<u16, ModelPeer>,
    downloads: u32,
}

struct Pair<const S: usize, const K: usize, const N: usize> {
    limits: SwarmLimits,
    usage: Arc<Usage>,
    swarm: Swarm<S, K, N>,
    sweep: Sweep,
    torrents: BTreeMap<u16, ModelTorrent>,
    random: fastrand::Rng,
    lifetime: u16,
    now: u32,
}

/// The operations of an input.
struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else {
            return 0;
        };
        self.0 = rest;
        first
    }

    fn number(&mut self, below: u16) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()]) % below
    }

    /// A torrent: mostly one of a few, so that these have many peers.
    fn torrent(&mut self) -> u16 {
        match self.byte() {
            few @ 0..=191 => u16::from(few % 6),
            _ => self.number(TORRENTS),
        }
    }

    /// A peer: mostly one of a few, so that these announce again.
    fn peer(&mut self) -> u16 {
        match self.byte() {
            few @ 0..=191 => u16::from(few),
            _ => self.number(MAX_PEER + 1),
        }
    }

    fn event(&mut self) -> AnnounceEvent {
        match self.byte() % 8 {
            0 | 1 => AnnounceEvent::Completed,
            2 => AnnounceEvent::Started,
            3 => AnnounceEvent::Stopped,
            4 => AnnounceEvent::Paused,
            _ => AnnounceEvent::None,
        }
    }
}

impl<const S: usize, const K: usize, const N: usize> Pair<S, K, N> {
    fn check(bytes: &[u8]) {
        let mut input = Input(bytes);
        let mut pair = Self::new(input.byte());
        for number in 1..=MAX_OPERATIONS {
            if input.0.is_empty() {
                break;
            }
            pair.operate(&mut input);
            if number % OPERATIONS_PER_COMPARISON == 0 {
                pair.compare();
            }
        }
        pair.compare();
        pair.end();
    }

    fn new(choice: u8) -> Self {
        let has = |bit: u8| choice >> bit & 1 == 1;
        let limits = SwarmLimits {
            max_torrents: NonZeroUsize::new(if has(0) { 70 } else { 0 }),
            max_peers_per_torrent: NonZeroU32::new(if has(1) { 90 } else { 0 }),
            // Not for WebTorrent, whose records have no address.
            max_peers_per_ip: NonZeroU32::new(if has(2) && K == S { 40 } else { 0 }),
            refresh_below_seconds: NonZeroU16::new(if has(6) { 900 } else { 0 }),
        };
        let usage = Arc::new(Usage::default());
        Self {
            limits,
            swarm: Swarm::new(key(), limits, usage.clone()),
            usage,
            sweep: Sweep::new(),
            torrents: BTreeMap::new(),
            random: fastrand::Rng::with_seed(choice.into()),
            lifetime: LIFETIMES[usize::from(choice >> 3) % LIFETIMES.len()],
            now: if has(5) { 3_000_000 } else { 60_000 },
        }
    }

    fn operate(&mut self, input: &mut Input<'_>) {
        match input.byte() % 16 {
            0 => self.announce_together(input),
            1..=6 => {
                let (torrent, peer) = (input.torrent(), input.peer());
                let flags = input.byte();
                let (event, wanted) = (input.event(), input.byte());
                let (is_seeder, owner) = (flags & 1 == 0, flags >> 1 & 3);
                let wanted = usize::from(wanted) + 1;
                self.announce(torrent, peer, owner, is_seeder, event, wanted);
                self.compare_counts(torrent);
            }
            7 | 8 => {
                let (torrent, first) = (input.torrent(), input.peer());
                let last = MAX_PEER.min(first + input.number(MAX_RANGE));
                let (event, seeders) = (input.event(), u16::from(input.byte()) + 1);
                for peer in first..=last {
                    self.announce(torrent, peer, 0, peer % seeders == 0, event, 0);
                }
                self.compare_counts(torrent);
            }
            9 | 10 => {
                let (first, peer) = (input.number(TORRENTS), input.peer());
                let last = (TORRENTS - 1).min(first + input.number(MAX_RANGE));
                let (event, seeds) = (input.event(), input.byte());
                for torrent in first..=last {
                    self.announce(torrent, peer, 0, seeds % 2 == 0, event, 0);
                    self.compare_counts(torrent);
                }
            }
            11 => self.now = self.now.saturating_add(1 << (input.byte() % 24)),
            12 => {
                let forbidden = input.byte();
                self.sweep_all((forbidden < 64).then_some(u16::from(forbidden % 8)));
            }
            13 => self.sweep_some(usize::from(input.byte()) * 8),
            14 => {
                let away = input.byte();
                self.restart(1 << (away % 16), away < 224);
            }
            _ => {
                let (torrent, peer, choice) = (input.torrent(), input.peer(), input.byte());
                let owner = choice & 3;
                match choice >> 2 & 7 {
                    0..=3 => self.remove(torrent, peer, owner),
                    change => {
                        let change = CHANGES[usize::from(change - 4)];
                        let lifetime = LIFETIMES_OF_OTHERS[usize::from(choice >> 5 & 3)];
                        self.apply(torrent, peer, owner, change, lifetime);
                    }
                }
                self.compare_counts(torrent);
            }
        }
    }

    fn announce(
        &mut self,
        torrent: u16,
        peer: u16,
        owner: u8,
        is_seeder: bool,
        event: AnnounceEvent,
        wanted: usize,
    ) {
        if self.limits.max_torrents.is_some() {
            // Its slot may have been taken by another before it announces again.
            self.compare_counts(torrent);
        }
        let expected = self.model_announce(torrent, peer, owner, is_seeder, event);
        let announce = Announce {
            record: record::<S, K>(peer, owner),
            is_seeder,
            event,
            wanted,
            now_seconds: self.now,
            lifetime_seconds: self.lifetime,
        };
        let mut locked = self.swarm.lock(&info_hash(torrent));
        let answer = Answer::of(locked.announce(&announce, &mut self.random));
        drop(locked);
        self.compare_answer(torrent, peer, &announce, expected, answer);
    }

    fn compare_answer(
        &self,
        torrent: u16,
        peer: u16,
        announce: &Announce<S>,
        expected: Result<Option<PeerChange>, LimitReached>,
        answer: Result<Answer<S>, LimitReached>,
    ) {
        let Announce {
            is_seeder,
            event,
            wanted,
            ..
        } = *announce;
        let announced = match (answer, expected) {
            (Ok(announced), Ok(change)) => {
                assert_eq!(announced.change, change);
                announced
            }
            (Err(refused), Err(expected)) => {
                assert_eq!(refused, expected);
                return;
            }
            (result, expected) => panic!("{result:?}, not {expected:?}"),
        };

        if wanted == 0 {
            // One of many: counts are compared after all of them.
            assert!(announced.peers.is_empty());
            return;
        }
        let model = self.torrents.get(&torrent);
        let is_stopped = event == AnnounceEvent::Stopped;
        let others = model.iter().flat_map(|model| &model.peers);
        let others = others.filter(|&(&other, _)| is_stopped || other != peer);
        let seeders = others.clone().filter(|(_, other)| other.is_seeder).count();
        let all = others.clone().count();
        assert_eq!(announced.seeders as usize, seeders);
        assert_eq!(announced.leechers as usize, all - seeders);

        let sent = announced.peers;
        let possible = if is_stopped {
            0
        } else if is_seeder {
            all - seeders
        } else {
            all
        };
        assert_eq!(sent.len(), wanted.min(possible));
        let distinct: BTreeSet<[u8; S]> = sent.iter().copied().collect();
        assert_eq!(distinct.len(), sent.len(), "a peer was sent twice");
        for sent in distinct {
            let number = peer_of::<S, K>(&sent);
            let other = model.and_then(|model| model.peers.get(&number));
            let other = other.expect("a peer that is there");
            assert_ne!(number, peer, "to itself");
            assert_eq!(sent, record::<S, K>(number, other.owner));
            assert!(!(is_seeder && other.is_seeder));
        }
    }

    fn model_announce(
        &mut self,
        torrent: u16,
        peer: u16,
        owner: u8,
        is_seeder: bool,
        event: AnnounceEvent,
    ) -> Result<Option<PeerChange>, LimitReached> {
        if event == AnnounceEvent::Stopped {
            let was_there = self.model_remove(torrent, peer, owner);
            return Ok(was_there.then_some(PeerChange::Stopped));
        }
        let refresh_below = self.limits.refresh_below_seconds;
        let fresh_until =
            refresh_below.map(|seconds| self.now.saturating_add(u32::from(seconds.get())));
        let new = ModelPeer {
            owner,
            is_seeder,
            has_seeded: is_seeder,
            until: self.now.saturating_add(self.lifetime.into()),
        };
        let has_completed = event == AnnounceEvent::Completed;
        self.model_store(torrent, peer, new, has_completed, fresh_until)
    }

    fn model_store(
        &mut self,
        torrent: u16,
        peer: u16,
        mut new: ModelPeer,
        has_completed: bool,
        fresh_until: Option<u32>,
    ) -> Result<Option<PeerChange>, LimitReached> {
        let before = self
            .torrents
            .get(&torrent)
            .and_then(|t| t.peers.get(&peer))
            .copied();
        let had_seeded = before.is_some_and(|before| before.has_seeded);
        let counts = has_completed && new.is_seeder && !had_seeded;
        if let Some(before) = before {
            let is_the_same =
                before.is_seeder == new.is_seeder && (before.owner == new.owner || K == S);
            let is_fresh = fresh_until.is_some_and(|until| before.until >= until);
            if is_the_same && is_fresh && !counts {
                return Ok(None);
            }
            new.has_seeded |= had_seeded;
            new.until = new.until.max(before.until);
        } else {
            let peers = self.torrents.get(&torrent).map_or(0, |t| t.peers.len());
            let max = self.limits.max_torrents;
            if peers == 0 && max.is_some_and(|max| self.live() >= max.get()) {
                return Err(LimitReached::Torrents);
            }
            let max = self.limits.max_peers_per_torrent;
            if peers > 0 && max.is_some_and(|max| peers >= max.get() as usize) {
                return Err(LimitReached::PeersPerTorrent);
            }
            let max = self.limits.max_peers_per_ip;
            if max.is_some_and(|max| self.peers_at(peer) >= max.get() as usize) {
                return Err(LimitReached::PeersPerIp);
            }
        }
        let model = self.torrents.entry(torrent).or_default();
        model.peers.insert(peer, new);
        model.downloads += u32::from(counts);
        Ok(Some(match (new.is_seeder, counts) {
            (false, _) => PeerChange::Leecher,
            (true, false) => PeerChange::Seeder,
            (true, true) => PeerChange::Completed,
        }))
    }

    /// Another node, which has another lifetime of peers, sends its announces.
    fn apply(&mut self, torrent: u16, peer: u16, owner: u8, change: PeerChange, lifetime: u16) {
        if self.limits.max_torrents.is_some() {
            self.compare_counts(torrent);
        }
        self.swarm.note_lifetime(lifetime);
        let applied = Applied {
            record: record::<S, K>(peer, owner),
            change,
            now_seconds: self.now,
            lifetime_seconds: lifetime,
        };
        let result = self.swarm.lock(&info_hash(torrent)).apply(&applied);
        let expected = if change == PeerChange::Stopped {
            self.model_remove(torrent, peer, owner);
            Ok(())
        } else if lifetime == 0 && !self.has(torrent, peer) {
            Ok(())
        } else {
            let is_seeder = change != PeerChange::Leecher;
            let new = ModelPeer {
                owner,
                is_seeder,
                has_seeded: is_seeder,
                until: self.now.saturating_add(lifetime.into()),
            };
            let has_completed = change == PeerChange::Completed;
            self.model_store(torrent, peer, new, has_completed, None)
                .map(drop)
        };
        assert_eq!(result, expected);
    }

    fn has(&self, torrent: u16, peer: u16) -> bool {
        let model = self.torrents.get(&torrent);
        model.is_some_and(|model| model.peers.contains_key(&peer))
    }

    /// A connection has ended.
    fn remove(&mut self, torrent: u16, peer: u16, owner: u8) {
        let record = record::<S, K>(peer, owner);
        let was_there = self.swarm.lock(&info_hash(torrent)).remove(&record);
        assert_eq!(was_there, self.model_remove(torrent, peer, owner));
    }

    fn model_remove(&mut self, torrent: u16, peer: u16, owner: u8) -> bool {
        let Some(model) = self.torrents.get_mut(&torrent) else {
            return false;
        };
        // A peer with an address has no owner.
        let is_there = |there: &ModelPeer| there.owner == owner || K == S;
        if !model.peers.get(&peer).is_some_and(is_there) {
            return false;
        }
        model.peers.remove(&peer);
        true
    }

    fn sweep_all(&mut self, forbidden: Option<u16>) {
        let allows = |torrent: u16| forbidden != Some(torrent % 8);
        let mut sweep = Sweep::new();
        let allows_hash = |hash: &InfoHash| allows(torrent_of(hash));
        while !sweep.step(&self.swarm, self.now, 1_000, allows_hash) {}
        self.torrents.retain(|&torrent, _| allows(torrent));
        for model in self.torrents.values_mut() {
            model.peers.retain(|_, peer| peer.until > self.now);
        }
        self.compare();
    }

    /// A part of a sweep, during which peers announce.
    fn sweep_some(&mut self, torrents: usize) {
        let before = self.swarm.totals().peers;
        self.sweep.step(&self.swarm, self.now, torrents, |_| true);
        if self.swarm.totals().peers == before {
            return;
        }
        let contents = Contents::of(&self.swarm, self.now);
        for (torrent, model) in &mut self.torrents {
            let left = contents.peers.get(torrent);
            model.peers.retain(|&peer, there| {
                let is_left = left.is_some_and(|left| left.contains_key(&peer));
                assert!(is_left || there.until <= self.now, "forgotten too early");
                is_left
            });
        }
        contents.compare(self);
    }

    /// Restores a snapshot in another swarm, at another time.
    fn restart(&mut self, away: u32, with_peers: bool) {
        let usage = Arc::new(Usage::default());
        let after = Swarm::<S, K, N>::new(key(), self.limits, usage.clone());
        let new_now = (self.now / 2).saturating_add(away);
        // Sometimes blocks are so small that torrents are split.
        let max_block_bytes = if away > 1 << 7 {
            MIN_BLOCK_BYTES
        } else {
            1 << 20
        };
        let mut walk = SnapshotWalk::with_blocks_of(max_block_bytes);
        let mut block = Vec::new();
        while walk.next_block(&self.swarm, self.now, &mut block) {
            assert!(block.len() <= max_block_bytes);
            let restored = restore(&after, &block, new_now, self.lifetime, with_peers);
            assert_eq!(restored.expect("just written").dropped, 0);
            block.clear();
        }
        self.swarm = after;
        self.usage = usage;
        self.sweep = Sweep::new();
        for model in self.torrents.values_mut() {
            if !with_peers {
                model.peers.clear();
            }
            for peer in model.peers.values_mut() {
                let left = peer.until.saturating_sub(self.now);
                peer.until = new_now.saturating_add(left.min(self.lifetime.into()));
            }
        }
        self.now = new_now;
        self.compare();
    }

    /// Compares one torrent's counts, and removes from the model what the swarm may have removed.
    fn compare_counts(&mut self, torrent: u16) {
        let scraped = self.swarm.lock(&info_hash(torrent)).scrape();
        let Some(model) = self.torrents.get_mut(&torrent) else {
            assert_eq!(scraped, Default::default());
            return;
        };
        let seeders = model.peers.values().filter(|peer| peer.is_seeder).count();
        assert_eq!(scraped.seeders as usize, seeders);
        assert_eq!(scraped.leechers as usize, model.peers.len() - seeders);
        let is_retired = model.peers.is_empty();
        if is_retired && scraped.completed == 0 && self.limits.max_torrents.is_some() {
            // Its slot was taken by another.
            model.downloads = 0;
        }

        assert_eq!(scraped.completed, model.downloads);
    }

    /// Compares everything.
    fn compare(&mut self) {
        for torrent in self.torrents.keys().copied().collect::<Vec<_>>() {
            self.compare_counts(torrent);
        }
        self.torrents
            .retain(|_, model| !model.peers.is_empty() || model.downloads > 0);
        Contents::of(&self.swarm, self.now).compare(self);

        // The memory is bounded, too.
        let most = self.live() * PLACES_PER_TORRENT + PLACES_PER_SHARD * self.swarm.shard_count();
        assert!(self.swarm.places() <= most);
        let max = self
            .limits
            .max_torrents
            .map_or(usize::MAX, NonZeroUsize::get);
        assert!(self.usage.live() <= max && self.usage.retired() <= max);
    }

    /// Removes everything, after which nothing is left.
    fn end(&mut self) {
        self.now = u32::MAX;
        self.sweep_all(None);
        assert_eq!(self.swarm.totals().peers, 0);
        let mut sweep = Sweep::new();
        while !sweep.step(&self.swarm, self.now, 1_000, |_| false) {}
        assert_eq!((self.usage.live(), self.usage.retired()), (0, 0));
        assert_eq!(self.swarm.places(), 0);
    }

    fn live(&self) -> usize {
        let torrents = self.torrents.values();
        torrents.filter(|model| !model.peers.is_empty()).count()
    }

    /// Peers at the address of this one.
    fn peers_at(&self, peer: u16) -> usize {
        let address = record::<S, K>(peer, 0)[0];
        let peers = self.torrents.values().flat_map(|model| model.peers.keys());
        peers
            .filter(|&&other| record::<S, K>(other, 0)[0] == address)
            .count()
    }
}

fn key() -> HashKey {
    HashKey::new(*b"a key of nobody.")
}

/// Peers share addresses; the number is at the end of the key, where addresses have their
/// port.
fn record<const S: usize, const K: usize>(peer: u16, owner: u8) -> [u8; S] {
    let mut record = [0; S];
    record[0] = (peer % 64) as u8;
    record[K - 2..K].copy_from_slice(&peer.to_be_bytes());
    if K < S {
        record[S - 1] = owner;
    }
    record
}

fn peer_of<const S: usize, const K: usize>(record: &[u8; S]) -> u16 {
    u16::from_be_bytes([record[K - 2], record[K - 1]])
}

fn info_hash(torrent: u16) -> InfoHash {
    info_hashes()[usize::from(torrent)]
}

fn torrent_of(info_hash: &InfoHash) -> u16 {
    let place = info_hashes().binary_search_by_key(&info_hash.0, |known| known.0);
    place.expect("a torrent that was announced") as u16
}

/// Info hashes of one shard: while it is locked for one of them, it cannot be locked for
/// another.
fn info_hashes() -> &'static [InfoHash] {
    static HASHES: OnceLock<Vec<InfoHash>> = OnceLock::new();
    HASHES.get_or_init(|| {
        let swarm = WebSwarm::new(key(), SwarmLimits::default(), Arc::default());
        let numbered = |number: u32| {
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            InfoHash(bytes)
        };
        let _locked = swarm.lock(&numbered(0));
        (0..)
            .map(numbered)
            .filter(|info_hash| swarm.try_lock(info_hash).is_none())
            .take(TORRENTS.into())
            .collect()
    })
}
