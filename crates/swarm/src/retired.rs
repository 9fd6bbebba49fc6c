//! Torrents without peers, whose downloads still count.
//!
//! There are as many places as a swarm may have torrents, in parts of a fixed
//! size. When a part is full, a new torrent replaces one of lower worth, among a few that
//! are compared; if there is none, the new one is dropped. So downloads that are only
//! claimed (see [`Downloads`]) never displace real ones.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquatic_bittorrent::InfoHash;

use crate::downloads::Downloads;
use crate::hash_key::HashKey;
use crate::limits::Usage;
use crate::slot_index::{MAX_SLOTS, SlotIndex};

/// Minimum number of places of a part, unless there are fewer in all: with this many, parts
/// fill up almost evenly.
const MIN_PLACES: usize = 64;

/// How many torrents are compared to find one of lower worth.
const CANDIDATES: usize = 16;

/// The retired torrents of a swarm.
///
/// These locks are taken while a shard's lock is held; no other lock is taken while one of
/// them is held.
pub(crate) struct Retired {
    parts: Box<[Mutex<Part>]>,
    /// Places of each part.
    places: AtomicUsize,
}

/// Some of the torrents, behind one lock.
pub(crate) struct Part {
    index: SlotIndex,
    torrents: Vec<RetiredTorrent>,
    /// Where the next comparison starts.
    next_candidate: usize,
}

/// A torrent whose peers have all left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RetiredTorrent {
    pub(crate) info_hash: InfoHash,
    pub(crate) downloads: Downloads,
}

impl Retired {
    /// No torrents, with places for `max_torrents` at most, in at most
    /// `max_parts` parts, which is a power of two.
    pub(crate) fn new(max_torrents: Option<NonZeroUsize>, max_parts: usize) -> Self {
        let max = max_torrents.map_or(usize::MAX, NonZeroUsize::get);
        let wanted = (max / MIN_PLACES).clamp(1, max_parts);
        // The largest power of two that is not larger.
        let parts = 1 << wanted.ilog2();
        let this = Self {
            parts: (0..parts).map(|_| Mutex::new(Part::new())).collect(),
            places: AtomicUsize::new(0),
        };
        this.set_max_torrents(max_torrents);
        this
    }

    /// Changes the number of places, in the same number of parts. If there are fewer than
    /// before, torrents stay until others replace them.
    pub(crate) fn set_max_torrents(&self, max_torrents: Option<NonZeroUsize>) {
        let max = max_torrents.map_or(usize::MAX, NonZeroUsize::get);
        let places = (max / self.parts.len()).clamp(1, MAX_SLOTS);
        self.places.store(places, Relaxed);
    }

    pub(crate) fn part_count(&self) -> usize {
        self.parts.len()
    }

    pub(crate) fn lock_part(&self, number: usize) -> MutexGuard<'_, Part> {
        // As with shards.
        self.parts[number]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The downloads of a torrent, if it is here.
    pub(crate) fn find(&self, info_hash: &InfoHash, hash: u64) -> Option<Downloads> {
        let part = self.lock_part(self.part_of(hash));
        let slot = part.find(info_hash, hash)?;
        Some(part.torrents[slot].downloads)
    }

    /// Removes a torrent that has peers again; returns its downloads.
    pub(crate) fn take(
        &self,
        info_hash: &InfoHash,
        hash: u64,
        key: &HashKey,
        usage: &Usage,
    ) -> Downloads {
        let mut part = self.lock_part(self.part_of(hash));
        part.find(info_hash, hash).map_or(Downloads::NONE, |slot| {
            part.remove_at(slot, key, usage).downloads
        })
    }

    /// Keeps the downloads of a torrent, unless all places that are compared hold torrents
    /// of the same worth or higher. If the torrent is here already, the larger values
    /// stay.
    pub(crate) fn keep(&self, torrent: RetiredTorrent, hash: u64, key: &HashKey, usage: &Usage) {
        let mut part = self.lock_part(self.part_of(hash));
        if let Some(slot) = part.find(&torrent.info_hash, hash) {
            part.torrents[slot].downloads.merge(torrent.downloads);
            return;
        }
        if part.torrents.len() >= self.places.load(Relaxed) {
            let Some(slot) = part.least_candidate() else {
                return;
            };
            if part.torrents[slot].downloads >= torrent.downloads {
                return;
            }
            part.remove_at(slot, key, usage);
        }
        part.push(torrent, hash, key, usage);
    }

    fn part_of(&self, hash: u64) -> usize {
        // As shards: the table within takes the lowest and the highest bits.
        (hash >> 32) as usize & (self.parts.len() - 1)
    }
}

impl Part {
    fn new() -> Self {
        Self {
            index: SlotIndex::new(),
            torrents: Vec::new(),
            next_candidate: 0,
        }
    }

    pub(crate) fn torrents(&self) -> &[RetiredTorrent] {
        &self.torrents
    }

    fn find(&self, info_hash: &InfoHash, hash: u64) -> Option<usize> {
        self.index
            .find(hash, |slot| self.torrents[slot].info_hash == *info_hash)
    }

    fn push(&mut self, torrent: RetiredTorrent, hash: u64, key: &HashKey, usage: &Usage) {
        let slot = self.torrents.len();
        let torrents = &self.torrents;
        let hash_of = |other: usize| key.hash::<20>(&torrents[other].info_hash.0);
        self.index.insert(hash, slot, hash_of);
        if slot == self.torrents.capacity() {
            // By a quarter, because there may be many.
            self.torrents.reserve_exact(slot / 4 + 4);
        }
        self.torrents.push(torrent);
        usage.add_retired();
    }

    /// Removes the torrent at `slot`; the last one takes its place.
    pub(crate) fn remove_at(
        &mut self,
        slot: usize,
        key: &HashKey,
        usage: &Usage,
    ) -> RetiredTorrent {
        let gone = self.torrents.swap_remove(slot);
        usage.remove_retired();

        let torrents = &self.torrents;
        let hash_of = |slot: usize| key.hash::<20>(&torrents[slot].info_hash.0);
        let hash = key.hash::<20>(&gone.info_hash.0);
        self.index.swap_remove(hash, slot, torrents.len(), hash_of);
        if self.torrents.len() < self.torrents.capacity() / 4 {
            self.torrents.shrink_to(self.torrents.len() * 2);
        }
        gone
    }

    /// The torrent of lowest worth among the next few.
    fn least_candidate(&mut self) -> Option<usize> {
        let count = self.torrents.len();
        let first = self.next_candidate;
        self.next_candidate = (first + CANDIDATES) % count.max(1);
        (first..first + CANDIDATES.min(count))
            .map(|number| number % count)
            .min_by_key(|&slot| self.torrents[slot].downloads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: [u8; 16] = [8; 16];

    struct Fixture {
        retired: Retired,
        key: HashKey,
        usage: Usage,
    }

    impl Fixture {
        fn new(max_torrents: usize) -> Self {
            Self {
                retired: Retired::new(NonZeroUsize::new(max_torrents), 1024),
                key: HashKey::new(KEY),
                usage: Usage::default(),
            }
        }

        fn keep(&self, number: u32, count: u32, is_witnessed: bool) {
            let mut downloads = Downloads::NONE;
            for _ in 0..count {
                downloads.add(is_witnessed.then_some(1_000));
            }
            let (info_hash, hash) = self.hash(number);
            let torrent = RetiredTorrent {
                info_hash,
                downloads,
            };
            self.retired.keep(torrent, hash, &self.key, &self.usage);
        }

        fn count(&self, number: u32) -> u32 {
            let (info_hash, hash) = self.hash(number);
            let found = self.retired.find(&info_hash, hash);
            found.map_or(0, Downloads::count)
        }

        fn hash(&self, number: u32) -> (InfoHash, u64) {
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            (InfoHash(bytes), self.key.hash::<20>(&bytes))
        }

        fn assert_sound(&self) {
            let mut count = 0;
            for number in 0..self.retired.part_count() {
                let part = self.retired.lock_part(number);
                assert!(part.torrents.len() <= self.retired.places.load(Relaxed));
                count += part.torrents.len();
                for (slot, torrent) in part.torrents.iter().enumerate() {
                    let hash = self.key.hash::<20>(&torrent.info_hash.0);
                    assert_eq!(part.find(&torrent.info_hash, hash), Some(slot));
                }
            }
            assert_eq!(count, self.usage.retired());
        }
    }

    #[test]
    fn there_are_never_more_than_places() {
        for max in [1, 2, 63, 64, 100, 3_000, 100_000] {
            let fixture = Fixture::new(max);
            for number in 0..max as u32 * 3 {
                fixture.keep(number, 1, false);
            }
            let kept = fixture.usage.retired();
            assert!((max * 95 / 100..=max).contains(&kept), "{kept} of {max}");
            fixture.assert_sound();
        }
    }

    #[test]
    fn false_downloads_evict_no_true_ones() {
        let fixture = Fixture::new(1_000);
        for number in 0..500 {
            fixture.keep(number, 1, true);
        }
        for number in 500..50_000 {
            fixture.keep(number, 3, false);
        }
        assert!((0..500).all(|number| fixture.count(number) == 1));
        // Witnessed downloads displace claimed ones, and larger numbers smaller ones.
        for number in 50_000..60_000 {
            fixture.keep(number, 1, true);
        }
        for number in 60_000..61_000 {
            fixture.keep(number, 2, true);
        }
        fixture.assert_sound();
        let kept = (500..50_000).filter(|&number| fixture.count(number) > 0);
        assert_eq!(kept.count(), 0);
        let kept = (60_000..61_000).filter(|&number| fixture.count(number) == 2);
        let kept = kept.count();
        assert!(kept > 850, "{kept} of 1,000");
    }

    #[test]
    fn long_churn_changes_nothing() {
        let fixture = Fixture::new(2_000);
        let mut random = fastrand::Rng::with_seed(6);
        for _ in 0..300_000 {
            let number = random.u32(0..10_000);
            if random.bool() {
                fixture.keep(number, random.u32(1..4), random.bool());
            } else {
                let (info_hash, hash) = fixture.hash(number);
                let Fixture {
                    retired,
                    key,
                    usage,
                } = &fixture;
                retired.take(&info_hash, hash, key, usage);
                assert_eq!(fixture.count(number), 0);
            }
        }
        fixture.assert_sound();
        for number in 0..10_000 {
            let (info_hash, hash) = fixture.hash(number);
            fixture
                .retired
                .take(&info_hash, hash, &fixture.key, &fixture.usage);
        }
        assert_eq!(fixture.usage.retired(), 0);
        fixture.assert_sound();
    }
}
