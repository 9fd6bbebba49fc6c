//! A swarm for tests, and helpers that announce to it.

use std::sync::Arc;

use aquatic_bittorrent::{AnnounceEvent, InfoHash};
use aquatic_swarm::{
    Announce, HashKey, LimitReached, Scraped, Swarm, SwarmLimits, Sweep, Usage, snapshot,
};

pub(crate) const LIFETIME: u16 = 1_200;

/// A swarm and the randomness and time that its tests share.
pub(crate) struct Fixture<const S: usize, const K: usize, const N: usize> {
    pub(crate) swarm: Swarm<S, K, N>,
    pub(crate) usage: Arc<Usage>,
    pub(crate) random: fastrand::Rng,
    pub(crate) now: u32,
}

/// The answer to an announce, with its peers copied.
#[derive(Debug, PartialEq)]
pub(crate) struct Reply<const S: usize> {
    pub(crate) seeders: u32,
    pub(crate) leechers: u32,
    pub(crate) peers: Vec<[u8; S]>,
}

impl<const S: usize, const K: usize, const N: usize> Fixture<S, K, N> {
    pub(crate) fn new() -> Self {
        Self::with(SwarmLimits::default())
    }

    pub(crate) fn with(limits: SwarmLimits) -> Self {
        let usage = Arc::new(Usage::default());
        Self {
            swarm: Swarm::new(HashKey::new([9; 16]), limits, usage.clone()),
            usage,
            random: fastrand::Rng::with_seed(4),
            now: 65_000,
        }
    }

    pub(crate) fn announce(
        &mut self,
        torrent: u32,
        peer: u32,
        left: u32,
        event: AnnounceEvent,
        wanted: usize,
    ) -> Result<Reply<S>, LimitReached> {
        let announce = Announce {
            record: record(peer),
            is_seeder: left == 0,
            event,
            wanted,
            now_seconds: self.now,
            lifetime_seconds: LIFETIME,
        };
        let mut locked = self.swarm.lock(&info_hash(torrent));
        let announced = locked.announce(&announce, &mut self.random)?;
        let slices = announced.peers.slices();
        let mut peers: Vec<[u8; S]> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert_eq!(peers.len(), announced.peers.len());
        peers.sort_unstable();
        Ok(Reply {
            seeders: announced.seeders,
            leechers: announced.leechers,
            peers,
        })
    }

    /// Announces a leecher without an event, and asks for all peers.
    pub(crate) fn leech(&mut self, torrent: u32, peer: u32) -> Reply<S> {
        self.announce(torrent, peer, 1, AnnounceEvent::None, usize::MAX / 2)
            .unwrap()
    }

    /// Announces a leecher without an event, and asks for no peers.
    pub(crate) fn leech_quietly(&mut self, torrent: u32, peer: u32) {
        self.announce(torrent, peer, 1, AnnounceEvent::None, 0)
            .unwrap();
    }

    pub(crate) fn seed(&mut self, torrent: u32, peer: u32) -> Reply<S> {
        self.announce(torrent, peer, 0, AnnounceEvent::None, usize::MAX / 2)
            .unwrap()
    }

    pub(crate) fn scrape(&self, torrent: u32) -> [u32; 3] {
        let Scraped {
            seeders,
            leechers,
            completed,
        } = self.swarm.lock(&info_hash(torrent)).scrape();
        [seeders, leechers, completed]
    }

    /// Sweeps once through everything; returns the number of steps.
    pub(crate) fn sweep(&mut self, step: usize, allows: impl Fn(&InfoHash) -> bool) -> usize {
        let mut sweep = Sweep::new();
        let mut steps = 1;
        while !sweep.step(&self.swarm, self.now, step, &allows) {
            steps += 1;
        }
        steps
    }

    pub(crate) fn snapshot(&self) -> Vec<Vec<u8>> {
        let mut walk = snapshot::SnapshotWalk::new();
        let mut blocks = Vec::new();
        loop {
            let mut block = Vec::new();
            if !walk.next_block(&self.swarm, self.now, &mut block) {
                return blocks;
            }
            blocks.push(block);
        }
    }
}

/// The totals that a snapshot preserves.
pub(crate) fn stored<const S: usize, const K: usize, const N: usize>(
    fixture: &Fixture<S, K, N>,
) -> [usize; 3] {
    let totals = fixture.swarm.totals();
    [totals.torrents, totals.peers, totals.seeders]
}

pub(crate) fn info_hash(torrent: u32) -> InfoHash {
    let mut bytes = [0; 20];
    bytes[8..12].copy_from_slice(&torrent.to_be_bytes());
    InfoHash(bytes)
}

pub(crate) fn record<const S: usize>(peer: u32) -> [u8; S] {
    let mut bytes = [0; S];
    // Addresses and networks differ from peer to peer, and ports are never 0.
    bytes[..4].copy_from_slice(&peer.to_be_bytes());
    bytes[S - 1] = 1;
    bytes
}

pub(crate) fn records<const S: usize>(peers: impl IntoIterator<Item = u32>) -> Vec<[u8; S]> {
    peers.into_iter().map(record).collect()
}
