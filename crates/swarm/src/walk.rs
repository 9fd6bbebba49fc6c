//! Walks over all torrents, in steps of bounded length.

use aquatic_bittorrent::InfoHash;

use crate::downloads::Downloads;
use crate::retired::Part;
use crate::swarm::Swarm;
use crate::torrent::Scraped;

/// How many torrents are visited before a lock is released.
const TORRENTS_PER_LOCK: usize = 256;

/// A walk over all torrents that have peers or downloads.
///
/// If the swarm changes meanwhile, a torrent that is added or removed may be visited twice
/// or not at all. Otherwise each is visited once.
#[derive(Debug, Default)]
pub struct TorrentWalk {
    shard: usize,
    /// Torrents of the shard that are not visited yet: as the walk goes towards the first
    /// slot, a removal never hides one of them.
    slots: Option<usize>,
    retired: RetiredWalk,
}

/// A walk over all torrents without peers, likewise.
#[derive(Debug, Clone, Default)]
pub(crate) struct RetiredWalk {
    part: usize,
    slots: Option<usize>,
}

impl TorrentWalk {
    /// A walk from the beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `visit` for up to 256 more torrents, while a lock is held; returns false when
    /// all have been visited.
    pub fn step<const S: usize, const K: usize, const N: usize>(
        &mut self,
        swarm: &Swarm<S, K, N>,
        mut visit: impl FnMut(&InfoHash, Scraped),
    ) -> bool {
        self.step_with_downloads(swarm, |info_hash, scraped, _| visit(info_hash, scraped))
    }

    pub(crate) fn step_with_downloads<const S: usize, const K: usize, const N: usize>(
        &mut self,
        swarm: &Swarm<S, K, N>,
        mut visit: impl FnMut(&InfoHash, Scraped, Downloads),
    ) -> bool {
        if self.shard == swarm.shard_count() {
            return self.retired.step(swarm, TORRENTS_PER_LOCK, |part, slot| {
                let torrent = &part.torrents()[slot];
                let scraped = Scraped {
                    completed: torrent.downloads.count(),
                    ..Scraped::default()
                };
                visit(&torrent.info_hash, scraped, torrent.downloads);
            });
        }
        let shard = swarm.lock_number(self.shard);
        let count = shard.torrents().len();
        let end = self.slots.unwrap_or(count).min(count);
        let start = end.saturating_sub(TORRENTS_PER_LOCK);
        for slot in (start..end).rev() {
            let torrent = shard.torrents().at(slot);
            visit(&torrent.info_hash, torrent.scraped(), torrent.downloads);
        }
        self.slots = (start > 0).then_some(start);
        if start == 0 {
            self.shard += 1;
        }
        true
    }
}

impl RetiredWalk {
    /// Calls `visit` for up to `torrents` more torrents, with the locked part that they are
    /// in, and their slot, so that they can be removed; returns false when all have been
    /// visited.
    pub(crate) fn step<const S: usize, const K: usize, const N: usize>(
        &mut self,
        swarm: &Swarm<S, K, N>,
        torrents: usize,
        mut visit: impl FnMut(&mut Part, usize),
    ) -> bool {
        let retired = swarm.rules().retired;
        if self.part == retired.part_count() {
            return false;
        }
        let mut part = retired.lock_part(self.part);
        let count = part.torrents().len();
        let end = self.slots.unwrap_or(count).min(count);
        let start = end.saturating_sub(torrents);
        for slot in (start..end).rev() {
            visit(&mut part, slot);
        }
        self.slots = (start > 0).then_some(start);
        if start == 0 {
            self.part += 1;
        }
        true
    }
}
