//! All torrents with peers of one type.

use std::hint::black_box;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use aquatic_bittorrent::{AnnounceEvent, InfoHash};

use crate::address_counts::AddressCounts;
use crate::downloads::Downloads;
use crate::group::{Round, answer_in_rounds};
use crate::hash_key::HashKey;
use crate::limits::{CurrentLimits, LimitReached, SwarmLimits, Usage};
use crate::peers::Indexed;
use crate::retired::Retired;
use crate::shard::{self, Announce, Announced, Applied, Known, Rules, Shard};
use crate::torrent::Scraped;
use crate::totals::SwarmTotals;

/// Minimum number of shards: enough that two workers rarely need the same one, and that the
/// table of a shard is small enough to grow within a fraction of a millisecond.
const MIN_SHARDS: usize = 1024;

/// Torrents and their peers, shared by all workers.
pub struct Swarm<const S: usize, const K: usize, const N: usize> {
    shards: Box<[ShardCell<S, K, N>]>,
    key: HashKey,
    limits: CurrentLimits,
    usage: Arc<Usage>,
    addresses: AddressCounts,
    retired: Retired,
    /// The shortest time for which other nodes keep peers; see [`Rules`].
    shortest_lifetime: AtomicU16,
}

/// A shard, aligned so that it shares no cache line with another.
#[repr(align(128))]
struct ShardCell<const S: usize, const K: usize, const N: usize>(Mutex<Shard<S, K, N>>);

/// The locked shard of one torrent. Other threads wait for the lock until this is dropped.
pub struct LockedShard<'a, const S: usize, const K: usize, const N: usize> {
    pub(crate) shard: MutexGuard<'a, Shard<S, K, N>>,
    swarm: &'a Swarm<S, K, N>,
    info_hash: InfoHash,
    hash: u64,
    /// The slot at which the torrent probably is, and whether it is, while it is looked up.
    candidate: Option<usize>,
    is_it: bool,
    /// The slot of the torrent, if it was looked up already.
    located: Option<Located>,
}

/// The result of a lookup.
#[derive(Clone, Copy)]
struct Located(Option<usize>);

/// What was found out about an announce before it is answered: where its peer probably is, and
/// the random numbers that choose its peers. It never needs to be right.
#[derive(Debug, Clone, Default)]
pub struct Foreseen {
    pub(crate) position: Option<usize>,
    pub(crate) random: Option<fastrand::Rng>,
}

impl<const S: usize, const K: usize, const N: usize> Swarm<S, K, N> {
    /// Creates an empty swarm. `usage` may be shared with other swarms;
    /// [`SwarmLimits::max_torrents`] then limits all of them together.
    pub fn new(key: HashKey, limits: SwarmLimits, usage: Arc<Usage>) -> Self {
        // A shard counts its torrents in 16 bits. On average it may be half full, so that
        // chance does not fill one.
        let wanted = limits.max_torrents.map_or(0, NonZeroUsize::get) / (shard::MAX_TORRENTS / 2);
        let count = wanted.next_power_of_two().max(MIN_SHARDS);
        let counts_addresses = limits.max_peers_per_ip.is_some();
        Self {
            shards: (0..count)
                .map(|_| ShardCell(Mutex::new(Shard::new(counts_addresses))))
                .collect(),
            key,
            addresses: AddressCounts::new(key),
            retired: Retired::new(limits.max_torrents, count),
            limits: CurrentLimits::new(limits),
            usage,
            shortest_lifetime: AtomicU16::new(u16::MAX),
        }
    }

    /// Changes the limits. A lower limit removes nothing: it rejects what is new. When
    /// [`SwarmLimits::max_peers_per_ip`] is introduced, peers are counted from the next
    /// [`Sweep`](crate::Sweep) on.
    ///
    /// The number of shards stays that of the limits at the beginning, which allow for 33
    /// million torrents at least.
    pub fn set_limits(&self, limits: SwarmLimits) {
        self.limits.set(limits);
        self.retired.set_max_torrents(limits.max_torrents);
    }

    /// Locks the shard of the torrent, whether or not the torrent exists.
    #[inline]
    pub fn lock(&self, info_hash: &InfoHash) -> LockedShard<'_, S, K, N> {
        let hash = self.key.hash::<20>(&info_hash.0);
        let shard = self.lock_number(self.shard_of(hash));
        self.locked(shard, info_hash, hash)
    }

    /// Reads the shard of the torrent, so that the processor has it in its caches when it is
    /// locked: it waits for one lock at a time, but for several reads.
    #[inline]
    pub fn look_at(&self, info_hash: &InfoHash) {
        let hash = self.key.hash::<20>(&info_hash.0);
        black_box(self.shards[self.shard_of(hash)].0.is_poisoned());
    }

    /// Locks the shard of the torrent unless it is already locked, by another worker or by
    /// the caller.
    ///
    /// With this, a worker can hold the locks of several shards without waiting for one
    /// while it holds another, which could cause a deadlock.
    #[inline]
    pub fn try_lock(&self, info_hash: &InfoHash) -> Option<LockedShard<'_, S, K, N>> {
        let hash = self.key.hash::<20>(&info_hash.0);
        let shard = match self.shards[self.shard_of(hash)].0.try_lock() {
            Ok(shard) => shard,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return None,
        };
        Some(self.locked(shard, info_hash, hash))
    }

    fn locked<'a>(
        &'a self,
        shard: MutexGuard<'a, Shard<S, K, N>>,
        info_hash: &InfoHash,
        hash: u64,
    ) -> LockedShard<'a, S, K, N> {
        LockedShard {
            shard,
            swarm: self,
            info_hash: *info_hash,
            hash,
            candidate: None,
            is_it: false,
            located: None,
        }
    }

    /// The counts of some torrents, which are looked up together; zeros for `None`.
    #[inline]
    pub fn scrape_all<const M: usize>(&self, mut wanted: [Option<InfoHash>; M]) -> [Scraped; M] {
        let mut scraped = [Scraped::default(); M];
        for info_hash in wanted.iter().flatten() {
            self.look_at(info_hash);
        }
        answer_in_rounds(
            &mut wanted,
            |info_hash| self.lock(info_hash),
            |info_hash| self.try_lock(info_hash),
            |one, other| one == other,
            |round| {
                LockedShard::locate_all(round);
                [(); M]
            },
            |number, _, torrent, ()| scraped[number] = torrent.scrape(),
            || {},
        );
        scraped
    }

    /// Records for how long, in seconds after an announce, another node keeps the peers
    /// that are [applied](LockedShard::apply) here.
    pub fn note_lifetime(&self, seconds: u16) {
        self.shortest_lifetime.fetch_min(seconds, Relaxed);
    }

    /// Computes the totals, with a lock of one shard at a time.
    pub fn totals(&self) -> SwarmTotals {
        let mut totals = SwarmTotals::default();
        for number in 0..self.shards.len() {
            let shard = self.lock_number(number);
            totals.torrents += shard.torrents().len();
            totals.peers += shard.peers;
            totals.seeders += shard.seeders;
            totals.downloads += shard.downloads;
        }
        totals
    }

    /// Number of places, free or not, in the tables that find torrents: at most
    /// [`PLACES_PER_TORRENT`](crate::PLACES_PER_TORRENT) for each torrent, and
    /// [`PLACES_PER_SHARD`](crate::PLACES_PER_SHARD) more for each shard. Locks one shard at
    /// a time.
    pub fn places(&self) -> usize {
        let numbers = 0..self.shards.len();
        numbers
            .map(|number| self.lock_number(number).places())
            .sum()
    }

    /// Number of shards.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn lock_number(&self, number: usize) -> MutexGuard<'_, Shard<S, K, N>> {
        // A panic ends the process, so an inconsistent shard is only read by the last
        // snapshot, whose reader validates it.
        self.shards[number]
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn rules(&self) -> Rules<'_> {
        Rules {
            key: &self.key,
            limits: &self.limits,
            usage: &self.usage,
            addresses: &self.addresses,
            retired: &self.retired,
            shortest_lifetime: self.shortest_lifetime.load(Relaxed),
        }
    }

    fn shard_of(&self, hash: u64) -> usize {
        // The table in the shard uses the lowest and the highest bits.
        (hash >> 32) as usize & (self.shards.len() - 1)
    }
}

impl<const S: usize, const K: usize, const N: usize> LockedShard<'_, S, K, N> {
    /// Looks up the torrents of a round for what follows, which would continue with work that
    /// has to wait for its own lookup. Returns whether any has so many peers that they have an
    /// index.
    ///
    /// A processor looks ahead some hundred instructions, which are three or four whole
    /// lookups. So this reads from the index for all of them, then from the torrents that are
    /// probably the right ones, and only then decides anything: a decision that was predicted
    /// wrongly would end the looking ahead.
    #[inline]
    pub fn locate_all<T, const M: usize>(round: &mut Round<'_, T, Self, M>) -> bool {
        for one in round.locked() {
            one.candidate = one.shard.candidate(one.hash);
        }
        for one in round.locked() {
            one.is_it = one
                .candidate
                .is_some_and(|slot| one.shard.torrents().at(slot).info_hash == one.info_hash);
        }
        let mut has_many = false;
        for one in round.locked() {
            let slot = if one.is_it {
                one.candidate
            } else {
                one.shard.search(&one.info_hash, one.hash)
            };
            if let Some(slot) = slot {
                let peers = &one.shard.torrents().at(slot).peers;
                peers.look_at();
                has_many |= peers.indexed().is_some();
            }
            one.located = Some(Located(slot));
        }
        has_many
    }

    /// Looks up the torrents of announces like [`locate_all`](Self::locate_all), and then their
    /// peers if there are many: first where each of them is, then its memory and that of the
    /// others that it will be sent. A torrent with so many peers is seldom in the processor's
    /// caches as a whole.
    #[inline]
    pub fn foresee_all<T, const M: usize>(
        round: &mut Round<'_, T, Self, M>,
        random: &mut fastrand::Rng,
        announce: impl Fn(&T) -> &Announce<S>,
    ) -> [Foreseen; M] {
        let mut all = [const {
            Foreseen {
                position: None,
                random: None,
            }
        }; M];
        if !Self::locate_all(round) {
            return all;
        }
        round.each(|number, item, one| {
            if let Some(peers) = one.indexed_peers() {
                let record = &announce(item).record;
                all[number].position = peers.candidate(record, &one.swarm.key);
            }
        });
        round.each(|number, item, one| {
            if let Some(peers) = one.indexed_peers() {
                let foreseen = &mut all[number];
                let random = fastrand::Rng::with_seed(random.u64(..));
                announce(item).look_at(peers, foreseen.position, random.clone());
                foreseen.random = Some(random);
            }
        });
        all
    }

    /// The peers of the torrent, if it was looked up and there are so many that they have an
    /// index.
    #[inline]
    fn indexed_peers(&self) -> Option<&Indexed<S, K>> {
        let Located(slot) = self.located?;
        self.shard.torrents().at(slot?).peers.indexed()
    }

    /// Adds, refreshes or (event `stopped`) removes a peer, and selects other peers for it.
    ///
    /// `completed` counts as a download unless something is left to download or the peer
    /// was known as a seeder before: each peer in the swarm counts as at most one download.
    ///
    /// # Errors
    ///
    /// The limit that would have been exceeded. Nothing is changed then. An announce of a
    /// peer that is already in the swarm never fails.
    #[inline]
    pub fn announce(
        &mut self,
        announce: &Announce<S>,
        random: &mut fastrand::Rng,
    ) -> Result<Announced<'_, S>, LimitReached> {
        self.announce_foreseen(announce, Foreseen::default(), random)
    }

    /// Does the same as [`announce`](Self::announce), after
    /// [`foresee_all`](Self::foresee_all).
    ///
    /// # Errors
    ///
    /// The same.
    #[inline]
    pub fn announce_foreseen(
        &mut self,
        announce: &Announce<S>,
        foreseen: Foreseen,
        random: &mut fastrand::Rng,
    ) -> Result<Announced<'_, S>, LimitReached> {
        let rules = self.swarm.rules();
        let Foreseen {
            position,
            random: own_random,
        } = foreseen;
        let mut own_random = own_random;
        let known = Known {
            slot: self.take_located(),
            position,
        };
        if announce.event != AnnounceEvent::Stopped {
            // It stays there, for the next announce.
            self.located = known.slot.map(|slot| Located(Some(slot)));
        }
        self.shard.announce(
            known,
            &self.info_hash,
            self.hash,
            announce,
            &rules,
            own_random.as_mut().unwrap_or(random),
        )
    }

    /// Applies a change that was made at another node with the same swarm. A known peer
    /// keeps the later expiry time of the two, and its download is counted only once.
    ///
    /// # Errors
    ///
    /// The limit that would have been exceeded: the limits of this swarm also apply to
    /// peers of other nodes.
    #[inline]
    pub fn apply(&mut self, applied: &Applied<S>) -> Result<(), LimitReached> {
        let rules = self.swarm.rules();
        let slot = self.take_located();
        self.shard
            .apply(slot, &self.info_hash, self.hash, applied, &rules)
    }

    /// Raises the number of downloads to that of another who keeps the same swarm.
    pub fn restore_downloads(&mut self, downloads: u32) {
        let (info_hash, downloads) = (self.info_hash, Downloads::of_another(downloads));
        let (shard, rules, hash) = self.parts();
        shard.restore_downloads(&info_hash, hash, downloads, &rules);
    }

    /// The counts of the torrent; zeros if it does not exist.
    pub fn scrape(&self) -> Scraped {
        let rules = self.swarm.rules();
        let slot = match self.located {
            Some(Located(slot)) => slot,
            None => self.shard.find(&self.info_hash, self.hash),
        };
        self.shard.scrape(slot, &self.info_hash, self.hash, &rules)
    }

    /// Whether the torrent has a peer with the key of `record`, whichever connection owns
    /// it (WebTorrent).
    pub fn has(&self, record: &[u8; S]) -> bool {
        let rules = self.swarm.rules();
        self.shard.has(&self.info_hash, self.hash, record, &rules)
    }

    /// The whole record of the peer with the key of `record`.
    pub fn record(&self, record: &[u8; S]) -> Option<[u8; S]> {
        let rules = self.swarm.rules();
        self.shard
            .record(&self.info_hash, self.hash, record, &rules)
    }

    /// Removes a peer if its whole record is equal to `record`: not if only its key is,
    /// because then another connection owns the peer (WebTorrent). Returns whether it was
    /// removed.
    pub fn remove(&mut self, record: &[u8; S]) -> bool {
        let rules = self.swarm.rules();
        self.located = None;
        self.shard
            .remove(&self.info_hash, self.hash, record, &rules)
    }

    /// Takes the result of the lookup, before a change that may invalidate it.
    #[inline]
    fn take_located(&mut self) -> Option<usize> {
        match self.located.take() {
            Some(Located(slot)) => slot,
            None => self.shard.find(&self.info_hash, self.hash),
        }
    }

    pub(crate) fn parts(&mut self) -> (&mut Shard<S, K, N>, Rules<'_>, u64) {
        self.located = None;
        (&mut self.shard, self.swarm.rules(), self.hash)
    }
}
