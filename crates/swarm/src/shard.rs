//! A part of the torrents, behind one lock.

use aquatic_bittorrent::{AnnounceEvent, InfoHash};
use hashbrown::HashTable;

use crate::address_counts::AddressCounts;
use crate::deadline::{self, Deadline};
use crate::hash_key::HashKey;
use crate::limits::{Limits, Refused, Usage};
use crate::peers::{Peers, View};
use crate::selection::Selection;
use crate::slot_index::{Probes, SlotIndex};
use crate::torrent::{RetiredTorrent, Scraped, Torrent, Torrents};

/// What a peer says when it announces.
#[derive(Debug, Clone, Copy)]
pub struct Announce<const S: usize> {
    /// The peer as others are to be sent it.
    pub record: [u8; S],
    /// Whether nothing is left for it to download.
    pub is_seeder: bool,
    /// Why it announces.
    pub event: AnnounceEvent,
    /// The most peers it is to be sent.
    pub wanted: usize,
    /// Seconds on a clock that never goes back; where it starts is all the same.
    pub now: u32,
    /// Seconds for which the peer is kept, at most
    /// [`MAX_LIFETIME_SECONDS`](crate::MAX_LIFETIME_SECONDS).
    pub lifetime: u16,
}

/// The answer to an announce. The announcing peer is neither counted nor listed.
#[derive(Debug, Clone, Copy)]
pub struct Announced<'a, const S: usize> {
    /// Other peers that have nothing left to download.
    pub seeders: u32,
    /// Other peers that are still downloading.
    pub leechers: u32,
    /// Downloads that were announced as completed, with this one.
    pub completed: u32,
    /// Some of them.
    pub peers: Selection<'a, S>,
}

/// What all shards of a swarm have in common.
pub(crate) struct Rules<'a> {
    pub(crate) key: &'a HashKey,
    pub(crate) limits: &'a Limits,
    pub(crate) usage: &'a Usage,
    pub(crate) addresses: Option<&'a AddressCounts>,
}

/// Some of the torrents.
pub(crate) struct Shard<const S: usize, const K: usize, const N: usize> {
    /// Slots of torrents by info hash.
    index: SlotIndex,
    torrents: Torrents<S, K, N>,
    retired: HashTable<RetiredTorrent>,
    pub(crate) peers: usize,
    pub(crate) seeders: usize,
    /// Downloads that were counted here, in torrents that are gone, too.
    pub(crate) downloads: u64,
}

/// The most torrents of a shard: what a slot number can count, but for one.
pub(crate) const MAX_TORRENTS: usize = NOWHERE;

/// The slot of no torrent.
const NOWHERE: usize = 0xffff;

impl<const S: usize, const K: usize, const N: usize> Shard<S, K, N> {
    pub(crate) const fn new() -> Self {
        Self {
            index: SlotIndex::new(),
            torrents: Torrents::new(),
            retired: HashTable::new(),
            peers: 0,
            seeders: 0,
            downloads: 0,
        }
    }

    #[inline]
    pub(crate) fn find(&self, info_hash: &InfoHash, hash: u64) -> Option<usize> {
        self.index
            .find(hash, |slot| self.torrents.at(slot).info_hash == *info_hash)
    }

    pub(crate) fn probes(&self) -> Probes {
        self.index.probes()
    }

    pub(crate) fn torrents(&self) -> &Torrents<S, K, N> {
        &self.torrents
    }

    pub(crate) fn retired(&self) -> impl Iterator<Item = &RetiredTorrent> {
        self.retired.iter()
    }

    pub(crate) fn scrape(&self, info_hash: &InfoHash, hash: u64) -> Scraped {
        if let Some(slot) = self.find(info_hash, hash) {
            return self.torrents.at(slot).scraped();
        }
        let retired = self
            .retired
            .find(hash, |retired| retired.info_hash == *info_hash);
        retired.map_or_else(Scraped::default, RetiredTorrent::scraped)
    }

    #[inline]
    pub(crate) fn announce(
        &mut self,
        known: Option<usize>,
        info_hash: &InfoHash,
        hash: u64,
        announce: &Announce<S>,
        rules: &Rules<'_>,
        random: &mut fastrand::Rng,
    ) -> Result<Announced<'_, S>, Refused> {
        if announce.event == AnnounceEvent::Stopped {
            self.remove(info_hash, hash, &announce.record, rules);
            let Scraped {
                seeders,
                leechers,
                completed,
            } = self.scrape(info_hash, hash);
            return Ok(Announced {
                seeders,
                leechers,
                completed,
                peers: Selection::EMPTY,
            });
        }

        let deadline = deadline::after(announce.now, announce.lifetime);
        let (slot, position) = self.store(
            known,
            info_hash,
            hash,
            (announce.record, announce.is_seeder, deadline),
            announce.event == AnnounceEvent::Completed,
            rules,
        )?;
        let torrent = self.torrents.at(slot);
        let View {
            records, seeders, ..
        } = torrent.peers.view();
        let leechers = records.len() - seeders;
        Ok(Announced {
            seeders: (seeders - usize::from(announce.is_seeder)) as u32,
            leechers: (leechers - usize::from(!announce.is_seeder)) as u32,
            completed: torrent.completed,
            peers: Selection::choose(
                records,
                seeders,
                position,
                announce.is_seeder,
                announce.wanted,
                random,
            ),
        })
    }

    /// Adds or refreshes a peer; returns the slot of its torrent and its position.
    pub(crate) fn store(
        &mut self,
        known: Option<usize>,
        info_hash: &InfoHash,
        hash: u64,
        (record, is_seeder, deadline): ([u8; S], bool, Deadline),
        has_completed: bool,
        rules: &Rules<'_>,
    ) -> Result<(usize, usize), Refused> {
        let Some(slot) = known else {
            let slot = self.create(info_hash, hash, &record, rules)?;
            let torrent = self.torrents.at_mut(slot);
            let position = torrent.peers.insert(record, is_seeder, deadline, rules.key);
            let is_download = has_completed && is_seeder;
            torrent.completed = torrent.completed.saturating_add(u32::from(is_download));
            self.downloads += u64::from(is_download);
            self.peers += 1;
            self.seeders += usize::from(is_seeder);
            return Ok((slot, position));
        };

        let torrent = self.torrents.at_mut(slot);
        let position = torrent.peers.find(&record, rules.key);
        let was_seeder = position.is_some_and(|position| position < torrent.peers.view().seeders);
        let position = if let Some(position) = position {
            torrent.peers.refresh(position, record, deadline);
            torrent.peers.set_role(position, is_seeder, rules.key)
        } else {
            let max = rules.limits.max_peers_per_torrent;
            if max.is_some_and(|max| torrent.peers.len() >= max.get() as usize) {
                return Err(Refused::PeersPerTorrent);
            }
            if let Some(addresses) = rules.addresses {
                addresses.add(&record)?;
            }
            self.peers += 1;
            torrent.peers.insert(record, is_seeder, deadline, rules.key)
        };
        // An announce that is sent again, because its reply was lost, comes
        // from a peer that is a seeder by now: it is the same download.
        let is_download = has_completed && is_seeder && !was_seeder;
        torrent.completed = torrent.completed.saturating_add(u32::from(is_download));
        self.downloads += u64::from(is_download);
        self.seeders = self.seeders + usize::from(is_seeder) - usize::from(was_seeder);
        Ok((slot, position))
    }

    /// Removes a peer, if it is there exactly as in `record`.
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
        if let Some(addresses) = rules.addresses {
            addresses.remove(&view.records[position]);
        }
        self.seeders -= usize::from(position < view.seeders);
        self.peers -= 1;
        peers.remove(position, rules.key);
    }

    /// Removes a torrent without peers, and with `retire` keeps its downloads.
    pub(crate) fn remove_torrent(&mut self, slot: usize, retire: bool, rules: &Rules<'_>) {
        let gone = self.torrents.swap_remove(slot);
        rules.usage.remove_live();

        let torrents = &self.torrents;
        let hash_of = |slot: usize| rules.key.hash::<20>(&torrents.at(slot).info_hash.0);
        let hash = rules.key.hash::<20>(&gone.info_hash.0);
        // The last torrent has taken the slot, so the slots of all that the
        // index has are right again before it looks at them.
        if slot < torrents.len() {
            self.index.set(hash, slot, NOWHERE);
            self.index.set(hash_of(slot), torrents.len(), slot);
            self.index.remove(hash, NOWHERE, hash_of);
        } else {
            self.index.remove(hash, slot, hash_of);
        }

        if retire && gone.completed > 0 {
            self.retire(gone.info_hash, hash, gone.completed, rules);
        }
    }

    /// Keeps a torrent's downloads, in the place of another's if all are taken.
    pub(crate) fn retire(
        &mut self,
        info_hash: InfoHash,
        hash: u64,
        completed: u32,
        rules: &Rules<'_>,
    ) {
        if !rules.usage.try_add_retired(rules.limits) && !self.forget_one(rules) {
            return;
        }
        let torrent = RetiredTorrent {
            info_hash,
            completed,
        };
        self.retired.insert_unique(hash, torrent, |other| {
            rules.key.hash::<20>(&other.info_hash.0)
        });
    }

    /// Sets a torrent's downloads if it has fewer.
    pub(crate) fn restore_completed(
        &mut self,
        info_hash: &InfoHash,
        hash: u64,
        completed: u32,
        rules: &Rules<'_>,
    ) {
        if let Some(slot) = self.find(info_hash, hash) {
            let torrent = self.torrents.at_mut(slot);
            torrent.completed = torrent.completed.max(completed);
        } else if let Some(retired) = self
            .retired
            .find_mut(hash, |retired| retired.info_hash == *info_hash)
        {
            retired.completed = retired.completed.max(completed);
        } else if completed > 0 {
            self.retire(*info_hash, hash, completed, rules);
        }
    }

    /// Forgets retired torrents that are not to be kept.
    pub(crate) fn retain_retired(
        &mut self,
        mut keep: impl FnMut(&InfoHash) -> bool,
        rules: &Rules<'_>,
    ) {
        self.retired.retain(|torrent| {
            let keep = keep(&torrent.info_hash);
            if !keep {
                rules.usage.remove_retired();
            }
            keep
        });
    }

    /// Forgets any retired torrent; its place goes to another.
    fn forget_one(&mut self, rules: &Rules<'_>) -> bool {
        let Some(any) = self.retired.iter().next() else {
            return false;
        };
        let info_hash = any.info_hash;
        let hash = rules.key.hash::<20>(&info_hash.0);
        match self
            .retired
            .find_entry(hash, |other| other.info_hash == info_hash)
        {
            Ok(entry) => {
                entry.remove();
                true
            }
            Err(_) => false,
        }
    }

    /// Makes a torrent for its first peer; returns its slot.
    fn create(
        &mut self,
        info_hash: &InfoHash,
        hash: u64,
        first: &[u8; S],
        rules: &Rules<'_>,
    ) -> Result<usize, Refused> {
        let slot = self.torrents.len();
        if slot == MAX_TORRENTS {
            return Err(Refused::Torrents);
        }
        rules.usage.try_add_live(rules.limits)?;
        if let Some(addresses) = rules.addresses
            && let Err(refused) = addresses.add(first)
        {
            rules.usage.remove_live();
            return Err(refused);
        }
        let torrents = &self.torrents;
        let hash_of = |other: usize| rules.key.hash::<20>(&torrents.at(other).info_hash.0);
        if self.index.insert(hash, slot, hash_of).is_err() {
            rules.usage.remove_live();
            if let Some(addresses) = rules.addresses {
                addresses.remove(first);
            }
            return Err(Refused::Torrents);
        }

        let retired = self
            .retired
            .find_entry(hash, |retired| retired.info_hash == *info_hash);
        let completed = retired.map_or(0, |entry| {
            rules.usage.remove_retired();
            entry.remove().0.completed
        });
        self.torrents.push(Torrent {
            info_hash: *info_hash,
            completed,
            peers: Peers::EMPTY,
        });
        Ok(slot)
    }
}
