//! All torrents of one kind of peer.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use aquatic_bittorrent::InfoHash;

use crate::address_counts::AddressCounts;
use crate::hash_key::HashKey;
use crate::limits::{LimitReached, SwarmLimits, Usage};
use crate::retired::Retired;
use crate::shard::{self, Announce, Announced, Applied, Rules, Shard};
use crate::torrent::Scraped;
use crate::totals::SwarmTotals;

/// The fewest shards: enough that two workers seldom meet, and that a shard's
/// table is small enough to grow within a fraction of a millisecond.
const MIN_SHARDS: usize = 1024;

/// Torrents and their peers, shared by all workers.
pub struct Swarm<const S: usize, const K: usize, const N: usize> {
    shards: Box<[ShardCell<S, K, N>]>,
    key: HashKey,
    limits: SwarmLimits,
    usage: Arc<Usage>,
    addresses: Option<AddressCounts>,
    retired: Retired,
    /// The shortest time for which others keep peers; see [`Rules`].
    shortest_lifetime: AtomicU16,
}

/// A shard on cache lines of its own.
#[repr(align(128))]
struct ShardCell<const S: usize, const K: usize, const N: usize>(Mutex<Shard<S, K, N>>);

/// The shard of one torrent. Others wait for it until it is dropped.
pub struct LockedShard<'a, const S: usize, const K: usize, const N: usize> {
    pub(crate) shard: MutexGuard<'a, Shard<S, K, N>>,
    swarm: &'a Swarm<S, K, N>,
    info_hash: InfoHash,
    hash: u64,
    /// Where the torrent is, if it was looked up already.
    located: Option<Located>,
}

/// The result of a look-up.
#[derive(Clone, Copy)]
struct Located(Option<usize>);

impl<const S: usize, const K: usize, const N: usize> Swarm<S, K, N> {
    /// An empty swarm. `usage` may be shared with other swarms, which together
    /// then have no more torrents than [`SwarmLimits::max_torrents`].
    pub fn new(key: HashKey, limits: SwarmLimits, usage: Arc<Usage>) -> Self {
        // A shard counts its torrents in 16 bits; half of that on average
        // leaves room for chance.
        let wanted = limits.max_torrents.map_or(0, NonZeroUsize::get) / (shard::MAX_TORRENTS / 2);
        let count = wanted.next_power_of_two().max(MIN_SHARDS);
        Self {
            shards: (0..count)
                .map(|_| ShardCell(Mutex::new(Shard::new())))
                .collect(),
            key,
            addresses: limits
                .max_peers_per_ip
                .map(|max| AddressCounts::new(max, key)),
            retired: Retired::new(limits.max_torrents, count),
            limits,
            usage,
            shortest_lifetime: AtomicU16::new(u16::MAX),
        }
    }

    /// Locks the shard that has the torrent, or would have it.
    #[inline]
    pub fn lock(&self, info_hash: &InfoHash) -> LockedShard<'_, S, K, N> {
        let hash = self.key.hash::<20>(&info_hash.0);
        let shard = self.lock_number(self.shard_of(hash));
        self.locked(shard, info_hash, hash)
    }

    /// Locks the shard of the torrent unless it is locked already, by another
    /// worker or by the caller.
    ///
    /// With this, a worker can hold several shards without ever waiting for
    /// one while it holds another, which could go on forever.
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
            located: None,
        }
    }

    /// Notes for how long, in seconds after an announce, another keeps its peers that
    /// are [applied](LockedShard::apply) here.
    pub fn note_lifetime(&self, seconds: u16) {
        self.shortest_lifetime.fetch_min(seconds, Relaxed);
    }

    /// Counts everything, locking one shard at a time.
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

    /// Places, vacant or not, in the tables that find torrents: at most
    /// [`PLACES_PER_TORRENT`](crate::PLACES_PER_TORRENT) for each, and seven more for
    /// each shard. Locks one shard at a time.
    pub fn places(&self) -> usize {
        let numbers = 0..self.shards.len();
        numbers
            .map(|number| self.lock_number(number).places())
            .sum()
    }

    /// How many shards there are.
    pub fn shard_count(&self) -> usize {
        self.shards.len()
    }

    pub(crate) fn lock_number(&self, number: usize) -> MutexGuard<'_, Shard<S, K, N>> {
        // A panic ends the process, so what it left half-done is read by
        // nobody but the last snapshot, whose reader checks what it reads.
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
            addresses: self.addresses.as_ref(),
            retired: &self.retired,
            shortest_lifetime: self.shortest_lifetime.load(Relaxed),
        }
    }

    fn shard_of(&self, hash: u64) -> usize {
        // The table within the shard takes the lowest and the highest bits.
        (hash >> 32) as usize & (self.shards.len() - 1)
    }
}

impl<const S: usize, const K: usize, const N: usize> LockedShard<'_, S, K, N> {
    /// Looks the torrent up, for the [announce](Self::announce) that follows.
    ///
    /// That is not needed, but look-ups of several torrents in a row overlap
    /// their cache misses, while an announce ends with work that waits for
    /// them.
    #[inline]
    pub fn locate(&mut self) {
        let slot = self.shard.find(&self.info_hash, self.hash);
        self.located = Some(Located(slot));
    }

    /// Adds, refreshes or (event `stopped`) removes a peer, and chooses others
    /// for it.
    ///
    /// `completed` counts as a download unless something is left to download or
    /// the peer was known as a seeder before: a peer has one download as long as
    /// it is there.
    ///
    /// # Errors
    ///
    /// The cap that would have been exceeded. Nothing is changed then, and a
    /// peer that is there already is never rejected.
    #[inline]
    pub fn announce(
        &mut self,
        announce: &Announce<S>,
        random: &mut fastrand::Rng,
    ) -> Result<Announced<'_, S>, LimitReached> {
        let rules = self.swarm.rules();
        let known = self.take_located();
        self.shard
            .announce(known, &self.info_hash, self.hash, announce, &rules, random)
    }

    /// Changes what was changed by another that keeps the same swarm. Of a peer that
    /// is known, the later end stays, and a download is counted once.
    ///
    /// # Errors
    ///
    /// The limit that would have been exceeded: those of this swarm hold for the peers
    /// of others, too.
    #[inline]
    pub fn apply(&mut self, applied: &Applied<S>) -> Result<(), LimitReached> {
        let rules = self.swarm.rules();
        let known = self.take_located();
        self.shard
            .apply(known, &self.info_hash, self.hash, applied, &rules)
    }

    /// The counts of the torrent, zeros if there is none.
    pub fn scrape(&self) -> Scraped {
        let rules = self.swarm.rules();
        self.shard.scrape(&self.info_hash, self.hash, &rules)
    }

    /// Whether a peer with the key of `record` is there, whichever connection
    /// owns it (WebTorrent).
    pub fn has(&self, record: &[u8; S]) -> bool {
        let rules = self.swarm.rules();
        self.shard.has(&self.info_hash, self.hash, record, &rules)
    }

    /// Removes a peer if it is there exactly as in `record`: not if only its
    /// key is, because another connection owns it by now (WebTorrent).
    /// Returns whether it was.
    pub fn remove(&mut self, record: &[u8; S]) -> bool {
        let rules = self.swarm.rules();
        self.located = None;
        self.shard
            .remove(&self.info_hash, self.hash, record, &rules)
    }

    /// Where the torrent is, before something that may change that.
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
