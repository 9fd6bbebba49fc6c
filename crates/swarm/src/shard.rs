//! A shard: some of the torrents, behind one lock.

use std::hint::black_box;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerChange};

use crate::address_counts::AddressCounts;
use crate::deadline::Term;
use crate::downloads::Downloads;
use crate::hash_key::HashKey;
use crate::limits::{CurrentLimits, LimitReached, Usage};
use crate::peers::{Indexed, Peers, View};
use crate::retired::{Retired, RetiredTorrent};
use crate::selection::Selection;
use crate::slot_index::{MAX_SLOTS, SlotIndex};
use crate::torrent::{Scraped, Torrent, Torrents};

/// An announce.
#[derive(Debug, Clone, Copy)]
pub struct Announce<const S: usize> {
    /// The record of the peer, as sent to others.
    pub record: [u8; S],
    /// Whether it has nothing left to download.
    pub is_seeder: bool,
    /// The event of the announce.
    pub event: AnnounceEvent,
    /// Maximum number of peers in the reply.
    pub wanted: usize,
    /// Seconds on a monotonic clock with any starting point.
    pub now_seconds: u32,
    /// For how many seconds the peer is kept, at most
    /// [`MAX_LIFETIME_SECONDS`](crate::MAX_LIFETIME_SECONDS).
    pub lifetime_seconds: u16,
}

impl<const S: usize> Announce<S> {
    /// Reads what the answer will probably read, so that it is in the processor's caches by
    /// then: the announcing peer, and those that `random` chooses.
    #[inline]
    pub(crate) fn look_at<const K: usize>(
        &self,
        peers: &Indexed<S, K>,
        position: Option<usize>,
        mut random: fastrand::Rng,
    ) {
        let View { records, seeders } = peers.view();
        let own = position.unwrap_or(records.len());
        peers.look_at(own);
        let (is_seeder, wanted) = (self.is_seeder, self.wanted);
        let selection = Selection::choose(records, seeders, own, is_seeder, wanted, &mut random);
        for slice in selection.slices() {
            for record in slice.iter().step_by(CACHE_LINE / S) {
                black_box(record[0]);
            }
        }
    }
}

/// The answer to an announce. The announcing peer is neither counted nor listed.
#[derive(Debug, Clone, Copy)]
pub struct Announced<'a, const S: usize> {
    /// Number of other peers that have nothing left to download.
    pub seeders: u32,
    /// Number of other peers that are still downloading.
    pub leechers: u32,
    /// Number of downloads that were announced as completed, including this one.
    pub completed: u32,
    /// Some of the other peers.
    pub peers: Selection<'a, S>,
    /// What was changed; `None` if nothing was.
    pub change: Option<PeerChange>,
}

/// A change that was made at another node with the same swarm.
#[derive(Debug, Clone, Copy)]
pub struct Applied<const S: usize> {
    /// The record of the peer, as sent to others.
    pub record: [u8; S],
    /// What changed.
    pub change: PeerChange,
    /// Seconds now, on the same clock as in [`Announce`].
    pub now_seconds: u32,
    /// For how many more seconds the other node keeps the peer.
    pub lifetime_seconds: u16,
}

/// A peer to be stored.
#[derive(Clone, Copy)]
struct NewPeer<const S: usize> {
    record: [u8; S],
    is_seeder: bool,
    /// If the peer is known and its expiry time is later, that one is kept.
    term: Term,
    /// Whether the peer reports that its download has completed.
    has_completed: bool,
    /// If the peer is known until this second or longer, it is stored only if anything else
    /// about it has changed.
    fresh_until: u32,
    /// Seconds by which the known expiry time of the peer may be earlier than if it had
    /// announced here, because the node where it did keeps peers for a shorter time.
    slack_seconds: u16,
}

/// The position of a peer, and the change made by storing it.
struct Stored {
    slot: usize,
    position: usize,
    change: Option<PeerChange>,
}

/// What is known of an announce from an earlier lookup.
#[derive(Clone, Copy)]
pub(crate) struct Known {
    /// The slot of its torrent, if that is there.
    pub(crate) slot: Option<usize>,
    /// The position at which its peer probably is.
    pub(crate) position: Option<usize>,
}

/// Bytes that a processor reads from memory at once.
const CACHE_LINE: usize = 64;

/// What all shards of a swarm share.
pub(crate) struct Rules<'a> {
    pub(crate) key: &'a HashKey,
    pub(crate) limits: &'a CurrentLimits,
    pub(crate) usage: &'a Usage,
    /// The peers of shards that [count](Shard::count_addresses) them.
    pub(crate) addresses: &'a AddressCounts,
    pub(crate) retired: &'a Retired,
    /// The shortest time, in seconds, for which any node with the same swarm keeps peers.
    pub(crate) shortest_lifetime: u16,
}

impl Rules<'_> {
    /// The second until which a known peer has to be kept for an announce to change
    /// nothing.
    #[inline]
    fn fresh_until(&self, now: u32) -> u32 {
        match self.limits.refresh_below_seconds() {
            Some(seconds) => now.saturating_add(u32::from(seconds.get())),
            None => u32::MAX,
        }
    }
}

/// Some of the torrents of a swarm.
pub(crate) struct Shard<const S: usize, const K: usize, const N: usize> {
    /// Slots of torrents by info hash.
    index: SlotIndex,
    torrents: Torrents<S, K, N>,
    pub(crate) peers: usize,
    pub(crate) seeders: usize,
    /// Number of downloads that were counted here, including those of torrents that were
    /// removed.
    pub(crate) downloads: u64,
    /// Whether its peers are counted by address.
    counts_addresses: bool,
}

/// Maximum number of torrents in a shard.
pub(crate) const MAX_TORRENTS: usize = MAX_SLOTS;

impl<const S: usize, const K: usize, const N: usize> Shard<S, K, N> {
    /// An empty shard, whose peers are counted by address or not.
    pub(crate) fn new(counts_addresses: bool) -> Self {
        Self {
            index: SlotIndex::new(),
            torrents: Torrents::new(),
            peers: 0,
            seeders: 0,
            downloads: 0,
            counts_addresses,
        }
    }

    #[inline]
    pub(crate) fn find(&self, info_hash: &InfoHash, hash: u64) -> Option<usize> {
        self.index
            .find(hash, |slot| self.torrents.at(slot).info_hash == *info_hash)
    }

    /// Does the same as [`find`](Self::find), if it is rarely needed.
    pub(crate) fn search(&self, info_hash: &InfoHash, hash: u64) -> Option<usize> {
        let is_it = |slot: usize| self.torrents.at(slot).info_hash == *info_hash;
        self.index.search(hash, is_it)
    }

    /// The slot at which the torrent probably is.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<usize> {
        self.index.candidate(hash)
    }

    pub(crate) fn places(&self) -> usize {
        self.index.places()
    }

    pub(crate) fn torrents(&self) -> &Torrents<S, K, N> {
        &self.torrents
    }

    /// The counts of a torrent, which is at `slot` if it has peers.
    pub(crate) fn scrape(
        &self,
        slot: Option<usize>,
        info_hash: &InfoHash,
        hash: u64,
        rules: &Rules<'_>,
    ) -> Scraped {
        if let Some(slot) = slot {
            return self.torrents.at(slot).scraped();
        }
        let retired = rules.retired.find(info_hash, hash);
        Scraped {
            completed: retired.map_or(0, Downloads::count),
            ..Scraped::default()
        }
    }

    #[inline]
    pub(crate) fn announce(
        &mut self,
        known: Known,
        info_hash: &InfoHash,
        hash: u64,
        announce: &Announce<S>,
        rules: &Rules<'_>,
        random: &mut fastrand::Rng,
    ) -> Result<Announced<'_, S>, LimitReached> {
        if announce.event == AnnounceEvent::Stopped {
            let was_there = self.remove(info_hash, hash, &announce.record, rules);
            let Scraped {
                seeders,
                leechers,
                completed,
            } = self.scrape(self.find(info_hash, hash), info_hash, hash, rules);
            return Ok(Announced {
                seeders,
                leechers,
                completed,
                peers: Selection::EMPTY,
                change: was_there.then_some(PeerChange::Stopped),
            });
        }

        let peer = NewPeer {
            record: announce.record,
            is_seeder: announce.is_seeder,
            term: Term::new(
                announce.now_seconds,
                announce.lifetime_seconds,
                announce.is_seeder,
            ),
            has_completed: announce.event == AnnounceEvent::Completed,
            fresh_until: rules.fresh_until(announce.now_seconds),
            slack_seconds: announce
                .lifetime_seconds
                .saturating_sub(rules.shortest_lifetime),
        };
        let Stored {
            slot,
            position,
            change,
        } = self.store(known, info_hash, hash, peer, rules)?;
        let torrent = self.torrents.at(slot);
        let View { records, seeders } = torrent.peers.view();
        let leechers = records.len() - seeders;
        Ok(Announced {
            seeders: (seeders - usize::from(announce.is_seeder)) as u32,
            leechers: (leechers - usize::from(!announce.is_seeder)) as u32,
            completed: torrent.downloads.count(),
            peers: Selection::choose(
                records,
                seeders,
                position,
                announce.is_seeder,
                announce.wanted,
                random,
            ),
            change,
        })
    }

    #[inline]
    pub(crate) fn apply(
        &mut self,
        slot: Option<usize>,
        info_hash: &InfoHash,
        hash: u64,
        applied: &Applied<S>,
        rules: &Rules<'_>,
    ) -> Result<(), LimitReached> {
        if applied.change == PeerChange::Stopped {
            self.remove(info_hash, hash, &applied.record, rules);
            return Ok(());
        }
        // A record without remaining time adds no peer, but changes the role of a known
        // one.
        if applied.lifetime_seconds == 0 && !self.has(info_hash, hash, &applied.record, rules) {
            return Ok(());
        }
        let is_seeder = applied.change != PeerChange::Leecher;
        let peer = NewPeer {
            record: applied.record,
            is_seeder,
            term: Term::new(applied.now_seconds, applied.lifetime_seconds, is_seeder),
            has_completed: applied.change == PeerChange::Completed,
            fresh_until: u32::MAX,
            // How long the other node has known the peer as a leecher is not known here.
            slack_seconds: u16::MAX,
        };
        let known = Known {
            slot,
            position: None,
        };
        self.store(known, info_hash, hash, peer, rules).map(drop)
    }

    /// Adds or refreshes a peer.
    fn store(
        &mut self,
        known: Known,
        info_hash: &InfoHash,
        hash: u64,
        peer: NewPeer<S>,
        rules: &Rules<'_>,
    ) -> Result<Stored, LimitReached> {
        let NewPeer {
            record,
            is_seeder,
            mut term,
            has_completed,
            fresh_until,
            slack_seconds,
        } = peer;
        let (slot, found) = match known.slot {
            Some(slot) => {
                let peers = &self.torrents.at(slot).peers;
                let found = peers.find_after(known.position, &record, rules.key);
                (slot, found)
            }
            None => (self.create(info_hash, hash, &record, rules)?, None),
        };
        let torrent = self.torrents.at_mut(slot);
        let before = found.map(|position| torrent.peers.term(position));
        // Each peer in the swarm counts as at most one download. An announce that is
        // repeated because its reply was lost comes from a peer that is a seeder by then.
        let had_download = before.is_some_and(|before| before.has_seeded);
        let counts = has_completed && is_seeder && !had_download;
        let change = match (is_seeder, counts) {
            (false, _) => PeerChange::Leecher,
            (true, false) => PeerChange::Seeder,
            (true, true) => PeerChange::Completed,
        };

        let position = if let Some((position, before)) = found.zip(before) {
            let View { records, seeders } = torrent.peers.view();
            let was_seeder = position < seeders;
            let is_news = counts || was_seeder != is_seeder || records[position] != record;
            if !is_news && before.until >= fresh_until {
                return Ok(Stored {
                    slot,
                    position,
                    change: None,
                });
            }
            term.has_seeded |= before.has_seeded;
            let until = term.until.max(before.until);
            torrent
                .peers
                .refresh(position, record, Term { until, ..term });
            self.seeders = self.seeders + usize::from(is_seeder) - usize::from(was_seeder);
            torrent.peers.set_role(position, is_seeder, rules.key)
        } else {
            if known.slot.is_some() {
                let max = rules.limits.max_peers_per_torrent();
                if max.is_some_and(|max| torrent.peers.len() >= max.get() as usize) {
                    return Err(LimitReached::PeersPerTorrent);
                }
                if self.counts_addresses {
                    let max = rules.limits.max_peers_per_ip();
                    rules.addresses.add(&record, max)?;
                }
            }
            self.peers += 1;
            self.seeders += usize::from(is_seeder);
            torrent.peers.insert(record, is_seeder, term, rules.key)
        };
        if counts {
            // The time since its previous announce is the difference of the expiry times.
            let seconds = before.map(|before| {
                let moved = term.until.saturating_sub(before.until);
                moved.saturating_sub(slack_seconds.into())
            });
            torrent.downloads.add(seconds);
            self.downloads += 1;
        }
        Ok(Stored {
            slot,
            position,
            change: Some(change),
        })
    }

    /// Adds a peer that was known earlier, or to another node. If the peer is known, the
    /// version with the later expiry time is the newer one.
    pub(crate) fn restore(
        &mut self,
        slot: Option<usize>,
        info_hash: &InfoHash,
        hash: u64,
        (record, is_seeder, term): ([u8; S], bool, Term),
        rules: &Rules<'_>,
    ) -> Result<usize, LimitReached> {
        if let Some(slot) = slot {
            let peers = &mut self.torrents.at_mut(slot).peers;
            if let Some(position) = peers.find(&record, rules.key) {
                let before = peers.term(position);
                if before.until >= term.until {
                    let has_seeded = before.has_seeded || term.has_seeded;
                    let record = peers.view().records[position];
                    peers.refresh(
                        position,
                        record,
                        Term {
                            has_seeded,
                            ..before
                        },
                    );
                    return Ok(slot);
                }
            }
        }
        let peer = NewPeer {
            record,
            is_seeder,
            term,
            has_completed: false,
            fresh_until: u32::MAX,
            slack_seconds: 0,
        };
        let known = Known {
            slot,
            position: None,
        };
        let stored = self.store(known, info_hash, hash, peer, rules)?;
        Ok(stored.slot)
    }

    /// Whether the torrent has a peer with the key of `record`.
    pub(crate) fn has(
        &self,
        info_hash: &InfoHash,
        hash: u64,
        record: &[u8; S],
        rules: &Rules<'_>,
    ) -> bool {
        self.record(info_hash, hash, record, rules).is_some()
    }

    /// The whole record of the peer with the key of `record`.
    pub(crate) fn record(
        &self,
        info_hash: &InfoHash,
        hash: u64,
        record: &[u8; S],
        rules: &Rules<'_>,
    ) -> Option<[u8; S]> {
        let slot = self.find(info_hash, hash)?;
        let peers = &self.torrents.at(slot).peers;
        let position = peers.find(record, rules.key)?;
        Some(peers.view().records[position])
    }

    /// Removes a peer if its whole record is equal to `record`.
    pub(crate) fn remove(
        &mut self,
        info_hash: &InfoHash,
        hash: u64,
        record: &[u8; S],
        rules: &Rules<'_>,
    ) -> bool {
        let Some(slot) = self.find(info_hash, hash) else {
            return false;
        };
        let peers = &self.torrents.at(slot).peers;
        let Some(position) = peers.find(record, rules.key) else {
            return false;
        };
        if peers.view().records[position] != *record {
            return false;
        }
        self.remove_at(slot, position, rules);
        if self.torrents.at(slot).peers.len() == 0 {
            self.remove_torrent(slot, true, rules);
        }
        true
    }

    /// Removes one peer; the torrent may be empty afterwards.
    pub(crate) fn remove_at(&mut self, slot: usize, position: usize, rules: &Rules<'_>) {
        let peers = &mut self.torrents.at_mut(slot).peers;
        let view = peers.view();
        if self.counts_addresses {
            rules.addresses.remove(&view.records[position]);
        }
        self.seeders -= usize::from(position < view.seeders);
        self.peers -= 1;
        peers.remove(position, rules.key);
    }

    /// Removes a torrent without peers. With `retire`, its download count is kept.
    pub(crate) fn remove_torrent(&mut self, slot: usize, retire: bool, rules: &Rules<'_>) {
        let gone = self.torrents.swap_remove(slot);
        rules.usage.remove_live();

        let torrents = &self.torrents;
        let hash_of = |slot: usize| rules.key.hash::<20>(&torrents.at(slot).info_hash.0);
        let hash = rules.key.hash::<20>(&gone.info_hash.0);
        self.index.swap_remove(hash, slot, torrents.len(), hash_of);

        if retire && gone.downloads > Downloads::NONE {
            let torrent = RetiredTorrent {
                info_hash: gone.info_hash,
                downloads: gone.downloads,
            };
            rules.retired.keep(torrent, hash, rules.key, rules.usage);
        }
    }

    /// Raises a torrent's number of downloads to this one, if it is lower.
    pub(crate) fn restore_downloads(
        &mut self,
        info_hash: &InfoHash,
        hash: u64,
        downloads: Downloads,
        rules: &Rules<'_>,
    ) {
        if let Some(slot) = self.find(info_hash, hash) {
            self.torrents.at_mut(slot).downloads.merge(downloads);
        } else if downloads > Downloads::NONE {
            let torrent = RetiredTorrent {
                info_hash: *info_hash,
                downloads,
            };
            rules.retired.keep(torrent, hash, rules.key, rules.usage);
        }
    }

    /// Counts all peers by address if there is a limit for that by now, or no longer if there
    /// is none. Only if that has changed, this takes longer than a moment: a millisecond for
    /// some ten thousand peers.
    pub(crate) fn count_addresses(&mut self, rules: &Rules<'_>) {
        let is_limited = rules.limits.max_peers_per_ip().is_some();
        if is_limited == self.counts_addresses {
            return;
        }
        for slot in 0..self.torrents.len() {
            for record in self.torrents.at(slot).peers.view().records {
                if is_limited {
                    // Without a maximum, it does not fail.
                    let _ = rules.addresses.add(record, None);
                } else {
                    rules.addresses.remove(record);
                }
            }
        }
        self.counts_addresses = is_limited;
    }

    /// Creates a torrent for its first peer; returns its slot.
    fn create(
        &mut self,
        info_hash: &InfoHash,
        hash: u64,
        first: &[u8; S],
        rules: &Rules<'_>,
    ) -> Result<usize, LimitReached> {
        let slot = self.torrents.len();
        if slot == MAX_TORRENTS {
            return Err(LimitReached::Torrents);
        }
        rules.usage.try_add_live(rules.limits)?;
        if self.counts_addresses
            && let Err(reached) = rules.addresses.add(first, rules.limits.max_peers_per_ip())
        {
            rules.usage.remove_live();
            return Err(reached);
        }
        let torrents = &self.torrents;
        let hash_of = |other: usize| rules.key.hash::<20>(&torrents.at(other).info_hash.0);
        self.index.insert(hash, slot, hash_of);

        let downloads = rules.retired.take(info_hash, hash, rules.key, rules.usage);
        self.torrents.push(Torrent {
            info_hash: *info_hash,
            downloads,
            peers: Peers::EMPTY,
        });
        Ok(slot)
    }
}
