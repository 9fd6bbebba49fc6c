//! Removal of expired peers and forbidden torrents, in steps of bounded length.

use aquatic_bittorrent::InfoHash;

use crate::shard::{Rules, Shard};
use crate::swarm::Swarm;
use crate::walk::RetiredWalk;

/// How many torrents, and peers of a large torrent, are checked before the lock is
/// released: some tens of microseconds if all of them are removed.
const TORRENTS_PER_LOCK: usize = 128;
const PEERS_PER_LOCK: usize = 512;

/// How many peers of a torrent take as long to check as one torrent: they are adjacent in
/// memory, and torrents are not.
const PEERS_LIKE_A_TORRENT: usize = 64;

/// A walk over all torrents that removes expired peers and torrents that are no longer
/// allowed.
///
/// Torrents that are added during the walk may be left to the next one.
#[derive(Debug, Clone, Default)]
pub struct Sweep {
    shard: usize,
    /// Torrents of the shard that are not checked yet: as the walk goes towards the first
    /// slot, a removal never moves one of them.
    slots: Option<usize>,
    /// Peers of the torrent that are not checked yet, likewise.
    positions: Option<usize>,
    /// Torrents without peers, which come last.
    retired: RetiredWalk,
    /// The work since the beginning, in torrents as [`step`](Self::step) counts them.
    length: usize,
    /// The work of the previous walk.
    length_before: usize,
}

impl Sweep {
    /// A sweep from the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// The work of the last complete walk, in torrents as [`step`](Self::step) counts
    /// them; 0 before there was one.
    pub(crate) fn length_before(&self) -> usize {
        self.length_before
    }

    /// Checks about `torrents` more torrents, with locks for a few at a time. An empty shard
    /// counts as one torrent, and a large torrent as several. Returns true after the last
    /// one; the next step then starts from the beginning.
    pub fn step<const S: usize, const K: usize, const N: usize>(
        &mut self,
        swarm: &Swarm<S, K, N>,
        now: u32,
        torrents: usize,
        allows: impl Fn(&InfoHash) -> bool,
    ) -> bool {
        self.step_where(swarm, now, torrents, allows, |_| true)
    }

    /// Like [`step`](Self::step), and removes the peers for whose record `keeps` is false.
    pub fn step_where<const S: usize, const K: usize, const N: usize>(
        &mut self,
        swarm: &Swarm<S, K, N>,
        now: u32,
        torrents: usize,
        allows: impl Fn(&InfoHash) -> bool,
        keeps: impl Fn(&[u8; S]) -> bool,
    ) -> bool {
        let mut left = torrents.max(1);
        let rules = swarm.rules();
        while left > 0 {
            let batch = left.min(TORRENTS_PER_LOCK);
            let mut seen = 1;
            if self.shard < swarm.shard_count() {
                let mut shard = swarm.lock_number(self.shard);
                shard.count_addresses(&rules);
                seen = self
                    .batch(&mut shard, &rules, now, batch, (&allows, &keeps))
                    .max(1);
                if self.slots.is_none() {
                    self.shard += 1;
                }
            } else if !self.retired.step(swarm, batch, |part, slot| {
                seen += 1;
                if !allows(&part.torrents()[slot].info_hash) {
                    part.remove_at(slot, rules.key, rules.usage);
                }
            }) {
                *self = Self {
                    length_before: self.length,
                    ..Self::default()
                };
                return true;
            }
            self.length += seen;
            left = left.saturating_sub(seen);
        }
        false
    }

    /// Checks up to `torrents` torrents of one shard; returns how many it has checked, their
    /// peers included.
    fn batch<const S: usize, const K: usize, const N: usize>(
        &mut self,
        shard: &mut Shard<S, K, N>,
        rules: &Rules<'_>,
        now: u32,
        torrents: usize,
        (allows, keeps): (impl Fn(&InfoHash) -> bool, impl Fn(&[u8; S]) -> bool),
    ) -> usize {
        let count = shard.torrents().len();
        let mut slots = self.slots.unwrap_or(count).min(count);
        let mut peers_left = PEERS_PER_LOCK;
        let mut seen = 0;
        while slots > 0 && seen < torrents && peers_left > 0 {
            let slot = slots - 1;
            let allowed = allows(&shard.torrents().at(slot).info_hash);
            let count = shard.torrents().at(slot).peers.len();
            let mut positions = self.positions.take().unwrap_or(count).min(count);
            while positions > 0 && peers_left > 0 {
                positions -= 1;
                peers_left -= 1;
                let peers = &shard.torrents().at(slot).peers;
                let is_past = peers.term(positions).is_past(now);
                if !allowed || is_past || !keeps(&peers.view().records[positions]) {
                    shard.remove_at(slot, positions, rules);
                }
            }
            if positions > 0 {
                self.positions = Some(positions);
                break;
            }
            if shard.torrents().at(slot).peers.len() == 0 {
                shard.remove_torrent(slot, allowed, rules);
            }
            slots -= 1;
            seen += 1;
        }
        self.slots = (slots > 0).then_some(slots);
        seen + (PEERS_PER_LOCK - peers_left) / PEERS_LIKE_A_TORRENT
    }
}
