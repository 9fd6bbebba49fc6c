//! Conversion of the torrents of a swarm to bytes, and back.
//!
//! The bytes are divided into blocks of up to a mebibyte; a block is a sequence of entries:
//!
//! | bytes | what |
//! |---|---|
//! | 20 | info hash |
//! | 4 | downloads, little-endian like all numbers; the highest bit says that none was witnessed |
//! | 4 | seeders in this entry |
//! | 4 | leechers in this entry |
//! | `S` each | records of the seeders, then of the leechers |
//! | 2 each | seconds they have left, in the same order; the highest bit says that a leecher has been a seeder |
//!
//! A large torrent has several entries; one without peers has one entry. The caller has to
//! store the kind of peers in a block and its [`VERSION`], and to protect it against
//! damage.

use std::ops::{AddAssign, Range};

use aquatic_bittorrent::InfoHash;

use crate::deadline::Term;
use crate::downloads::Downloads;
use crate::peers::View;
use crate::shard::Shard;
use crate::swarm::Swarm;
use crate::torrent::Torrent;
use crate::walk::{RetiredWalk, TorrentWalk};

/// The version of this layout. A release that only knows other ones must not read it.
pub const VERSION: u32 = 1;

/// Maximum length of a block in a file.
const BLOCK_BYTES: usize = 1 << 20;

/// The lowest maximum length of a block.
pub const MIN_BLOCK_BYTES: usize = 4096;

/// Length of an entry without its peers.
const HEADER_BYTES: usize = 32;

/// Maximum number of torrents, and of peers, that are copied before the lock is released.
const TORRENTS_PER_LOCK: usize = 256;
const PEERS_PER_LOCK: usize = 16_384;

/// The bit of a leecher's seconds that is set if it has been a seeder. Seconds do not need
/// it, so it is 0 in snapshots from before it existed.
const HAS_SEEDED: u16 = 1 << 15;

/// An iteration over all torrents that copies them.
///
/// If the swarm changes meanwhile, a peer that moves within its torrent may be copied
/// twice, which is harmless, or in rare cases not at all. Otherwise the copy is exact.
#[derive(Debug)]
pub struct SnapshotWalk {
    max_block_bytes: usize,
    shard: usize,
    slots: Option<usize>,
    positions: Option<usize>,
    retired: RetiredWalk,
}

/// What [`restore`] has read and stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Number of entries that were read.
    pub entries: usize,
    /// Number of peers that were stored.
    pub peers: usize,
    /// Number of peers that were not stored because a limit was reached.
    pub dropped: usize,
}

impl AddAssign for Restored {
    fn add_assign(&mut self, more: Self) {
        self.entries += more.entries;
        self.peers += more.peers;
        self.dropped += more.dropped;
    }
}

/// A block does not follow the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamagedBlock {
    /// It ends within the entry that starts at this byte.
    #[error("the entry at byte {0} is cut short")]
    Truncated(usize),
}

impl Default for SnapshotWalk {
    fn default() -> Self {
        Self::new()
    }
}

impl SnapshotWalk {
    /// Begins an iteration.
    pub fn new() -> Self {
        Self::with_blocks_of(BLOCK_BYTES)
    }

    /// Begins an iteration with blocks of this maximum length, at least
    /// [`MIN_BLOCK_BYTES`].
    pub fn with_blocks_of(max_block_bytes: usize) -> Self {
        Self {
            max_block_bytes: max_block_bytes.max(MIN_BLOCK_BYTES),
            shard: 0,
            slots: None,
            positions: None,
            retired: RetiredWalk::default(),
        }
    }

    /// Appends the next block to `out`; returns false, and appends nothing,
    /// when all torrents have been copied.
    pub fn next_block<const S: usize, const K: usize, const N: usize>(
        &mut self,
        swarm: &Swarm<S, K, N>,
        now: u32,
        out: &mut Vec<u8>,
    ) -> bool {
        let start = out.len();
        let end = start + self.max_block_bytes;
        while self.shard < swarm.shard_count() && out.len() + HEADER_BYTES + S + 2 <= end {
            let shard = swarm.lock_number(self.shard);
            self.copy_some(&shard, now, end, out);
            if self.slots.is_none() {
                self.shard += 1;
            }
        }
        // A step copies as many torrents as certainly fit.
        let step = |out: &Vec<u8>| TORRENTS_PER_LOCK.min((end - out.len()) / HEADER_BYTES);
        while self.shard == swarm.shard_count()
            && step(out) > 0
            && self.retired.step(swarm, step(out), |part, slot| {
                let torrent = &part.torrents()[slot];
                write_header(out, &torrent.info_hash, torrent.downloads, 0, 0);
            })
        {}
        out.len() > start
    }

    fn copy_some<const S: usize, const K: usize, const N: usize>(
        &mut self,
        shard: &Shard<S, K, N>,
        now: u32,
        end: usize,
        out: &mut Vec<u8>,
    ) {
        let count = shard.torrents().len();
        let mut slots = self.slots.unwrap_or(count).min(count);
        let mut peers_left = PEERS_PER_LOCK;
        for _ in 0..TORRENTS_PER_LOCK {
            let room = end.saturating_sub(out.len() + HEADER_BYTES) / (S + 2);
            if slots == 0 || peers_left == 0 || room == 0 {
                break;
            }
            let torrent = shard.torrents().at(slots - 1);
            let len = torrent.peers.len();
            let last = self.positions.take().unwrap_or(len).min(len);
            let first = last.saturating_sub(peers_left.min(room));
            peers_left -= last - first;
            write_entry(out, torrent, first..last, now);
            if first > 0 {
                self.positions = Some(first);
                break;
            }
            slots -= 1;
        }
        self.slots = (slots > 0).then_some(slots);
    }
}

/// Passes all torrents of `swarm` to `write`, block by block. `now` returns the seconds on
/// the clock of announces.
///
/// # Errors
///
/// Those of `write`.
pub fn copy<const S: usize, const K: usize, const N: usize, E>(
    swarm: &Swarm<S, K, N>,
    now: impl Fn() -> u32,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut walk = SnapshotWalk::new();
    let mut block = Vec::new();
    while walk.next_block(swarm, now(), &mut block) {
        write(&block)?;
        block.clear();
    }
    Ok(())
}

/// Like [`copy`], but without peers: only torrents that were downloaded, and how often.
///
/// # Errors
///
/// Those of `write`.
pub fn copy_downloads<const S: usize, const K: usize, const N: usize, E>(
    swarm: &Swarm<S, K, N>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut block = Vec::new();
    let mut walk = TorrentWalk::new();
    while walk.step_with_downloads(swarm, |info_hash, _, downloads| {
        if downloads > Downloads::NONE {
            write_header(&mut block, info_hash, downloads, 0, 0);
        }
    }) {
        if block.len() >= BLOCK_BYTES {
            write(&block)?;
            block.clear();
        }
    }
    if block.is_empty() {
        return Ok(());
    }
    write(&block)
}

/// Stores the torrents of a block in `swarm`, and their peers if `with_peers`.
///
/// Peers keep their remaining seconds, at most `lifetime`: nobody could announce while the
/// tracker was not running. If a peer is known, the version with more time left is kept.
///
/// # Errors
///
/// Entries before the damage have been stored.
pub fn restore<const S: usize, const K: usize, const N: usize>(
    swarm: &Swarm<S, K, N>,
    block: &[u8],
    now: u32,
    lifetime: u16,
    with_peers: bool,
) -> Result<Restored, DamagedBlock> {
    restore_where(swarm, block, now, lifetime, |_| with_peers, |_| true)
}

/// Like [`restore`], with the peers of those torrents for which `with_peers` returns true,
/// except peers for whose record `with_peer` returns false.
///
/// # Errors
///
/// Entries before the damage have been stored.
pub fn restore_where<const S: usize, const K: usize, const N: usize>(
    swarm: &Swarm<S, K, N>,
    block: &[u8],
    now: u32,
    lifetime: u16,
    with_peers: impl Fn(&InfoHash) -> bool,
    with_peer: impl Fn(&[u8; S]) -> bool,
) -> Result<Restored, DamagedBlock> {
    let mut restored = Restored::default();
    visit_entries(block, |entry: &Entry<'_, S>| {
        restored.entries += 1;
        let with_peers = with_peers(&entry.info_hash);
        let with_peer = |record: &_| with_peers && with_peer(record);
        entry.store(swarm, now, lifetime, with_peer, &mut restored);
    })?;
    Ok(restored)
}

/// Checks the layout of a block of such a swarm.
///
/// # Errors
///
/// Where it is damaged.
pub fn check<const S: usize, const K: usize, const N: usize>(
    _: &Swarm<S, K, N>,
    block: &[u8],
) -> Result<(), DamagedBlock> {
    visit_entries::<S>(block, |_| ())
}

/// Calls `visit` for the peers of a block, with their torrent, their record, whether they
/// are seeders, and the seconds they have left.
///
/// # Errors
///
/// Peers before the damage have been visited.
pub fn visit_peers<const S: usize>(
    block: &[u8],
    mut visit: impl FnMut(&InfoHash, &[u8; S], bool, u16),
) -> Result<(), DamagedBlock> {
    visit_entries(block, |entry: &Entry<'_, S>| {
        let peers = entry.records.iter().zip(entry.remaining).enumerate();
        for (position, (record, remaining)) in peers {
            let seconds = u16::from_le_bytes(*remaining) & !HAS_SEEDED;
            let is_seeder = position < entry.seeders;
            visit(&entry.info_hash, record, is_seeder, seconds);
        }
    })
}

/// Calls `visit` for the torrents of a block that were downloaded, with how often. A large
/// torrent is visited several times.
///
/// # Errors
///
/// Torrents before the damage have been visited.
pub fn visit_downloads<const S: usize>(
    block: &[u8],
    mut visit: impl FnMut(&InfoHash, u32),
) -> Result<(), DamagedBlock> {
    visit_entries(block, |entry: &Entry<'_, S>| {
        if entry.downloads > Downloads::NONE {
            visit(&entry.info_hash, entry.downloads.count());
        }
    })
}

fn visit_entries<const S: usize>(
    block: &[u8],
    mut visit: impl FnMut(&Entry<'_, S>),
) -> Result<(), DamagedBlock> {
    let mut rest = block;
    while !rest.is_empty() {
        let offset = block.len() - rest.len();
        let (entry, after) = Entry::read(rest).ok_or(DamagedBlock::Truncated(offset))?;
        rest = after;
        visit(&entry);
    }
    Ok(())
}

/// One entry of a block.
struct Entry<'a, const S: usize> {
    info_hash: InfoHash,
    downloads: Downloads,
    seeders: usize,
    records: &'a [[u8; S]],
    remaining: &'a [[u8; 2]],
}

impl<'a, const S: usize> Entry<'a, S> {
    /// Parses the first entry of `bytes`; returns it with the remaining bytes.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (info_hash, rest) = bytes.split_first_chunk::<20>()?;
        let (downloads, rest) = rest.split_first_chunk::<4>()?;
        let (seeders, rest) = rest.split_first_chunk::<4>()?;
        let (leechers, rest) = rest.split_first_chunk::<4>()?;
        let seeders = u32::from_le_bytes(*seeders) as usize;
        let count = seeders.checked_add(u32::from_le_bytes(*leechers) as usize)?;
        let (records, rest) = rest.split_at_checked(count.checked_mul(S)?)?;
        let (remaining, rest) = rest.split_at_checked(count * 2)?;
        let entry = Self {
            info_hash: InfoHash(*info_hash),
            downloads: Downloads::from_stored(u32::from_le_bytes(*downloads)),
            seeders,
            records: records.as_chunks().0,
            remaining: remaining.as_chunks().0,
        };
        Some((entry, rest))
    }

    fn store<const K: usize, const N: usize>(
        &self,
        swarm: &Swarm<S, K, N>,
        now: u32,
        lifetime: u16,
        with_peer: impl Fn(&[u8; S]) -> bool,
        restored: &mut Restored,
    ) {
        let mut locked = swarm.lock(&self.info_hash);
        let (shard, rules, hash) = locked.parts();
        let mut slot = shard.find(&self.info_hash, hash);
        let peers = self.records.iter().zip(self.remaining).enumerate();
        for (position, (record, remaining)) in peers.filter(|(_, (record, _))| with_peer(record)) {
            let remaining = u16::from_le_bytes(*remaining);
            let is_seeder = position < self.seeders;
            let seconds = (remaining & !HAS_SEEDED).min(lifetime);
            let has_seeded = is_seeder || remaining & HAS_SEEDED != 0;
            let peer = (*record, is_seeder, Term::new(now, seconds, has_seeded));
            match shard.restore(slot, &self.info_hash, hash, peer, &rules) {
                Ok(known) => {
                    slot = Some(known);
                    restored.peers += 1;
                }
                Err(_) => restored.dropped += 1,
            }
        }
        shard.restore_downloads(&self.info_hash, hash, self.downloads, &rules);
    }
}

/// Writes a torrent with the peers at these positions.
fn write_entry<const S: usize, const K: usize, const N: usize>(
    out: &mut Vec<u8>,
    torrent: &Torrent<S, K, N>,
    positions: Range<usize>,
    now: u32,
) {
    let View { records, seeders } = torrent.peers.view();
    let Range { start, end } = positions;
    let some_seeders = seeders.clamp(start, end) - start;
    let leechers = end - start - some_seeders;
    write_header(
        out,
        &torrent.info_hash,
        torrent.downloads,
        some_seeders,
        leechers,
    );
    out.extend_from_slice(records[start..end].as_flattened());
    for position in start..end {
        let term = torrent.peers.term(position);
        let flag = if term.has_seeded && position >= seeders {
            HAS_SEEDED
        } else {
            0
        };
        out.extend_from_slice(&(term.remaining(now) | flag).to_le_bytes());
    }
}

fn write_header(
    out: &mut Vec<u8>,
    info_hash: &InfoHash,
    downloads: Downloads,
    seeders: usize,
    leechers: usize,
) {
    out.extend_from_slice(&info_hash.0);
    for number in [downloads.to_stored(), seeders as u32, leechers as u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aquatic_bittorrent::AnnounceEvent;

    use super::*;
    use crate::{Announce, HashKey, Ipv4Swarm, SwarmLimits, Usage};

    fn swarm() -> Ipv4Swarm {
        let key = HashKey::new([1; 16]);
        Swarm::new(key, SwarmLimits::default(), Arc::new(Usage::default()))
    }

    fn blocks(swarm: &Ipv4Swarm) -> Vec<u8> {
        let mut bytes = Vec::new();
        let write = |block: &[u8]| {
            bytes.extend_from_slice(block);
            Ok::<_, ()>(())
        };
        copy(swarm, || 100, write).unwrap();
        bytes
    }

    /// If these bytes change, [`VERSION`] must be incremented, and the old layout must stay
    /// readable.
    #[test]
    fn this_is_the_layout_of_version_1() {
        let swarm = swarm();
        let mut random = fastrand::Rng::with_seed(1);
        for (peer, is_seeder, event, now_seconds) in [
            (1, true, AnnounceEvent::Completed, 90),
            (2, true, AnnounceEvent::None, 95),
            (2, false, AnnounceEvent::None, 100),
            (3, false, AnnounceEvent::None, 100),
        ] {
            let announce = Announce {
                record: [127, 0, 0, peer, 0x1a, 0xe1],
                is_seeder,
                event,
                wanted: 0,
                now_seconds,
                lifetime_seconds: 600,
            };
            let mut torrent = swarm.lock(&InfoHash([7; 20]));
            torrent.announce(&announce, &mut random).unwrap();
        }
        let layout = [
            &[7; 20][..],
            // One download that was not witnessed.
            &[1, 0, 0, 0x80],
            // A seeder and two leechers, the first of which has been a seeder.
            &[1, 0, 0, 0, 2, 0, 0, 0],
            &[127, 0, 0, 1, 0x1a, 0xe1],
            &[127, 0, 0, 2, 0x1a, 0xe1],
            &[127, 0, 0, 3, 0x1a, 0xe1],
            &[0x4e, 0x02, 0x58, 0x82, 0x58, 0x02],
        ]
        .concat();
        assert_eq!(VERSION, 1);
        assert_eq!(blocks(&swarm), layout);

        let read = self::swarm();
        let restored = restore(&read, &layout, 100, 600, true).unwrap();
        assert_eq!((restored.entries, restored.peers), (1, 3));
        assert_eq!(blocks(&read), layout);
    }
}
