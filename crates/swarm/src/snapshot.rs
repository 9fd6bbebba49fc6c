//! The torrents of a swarm as bytes, and back.
//!
//! Bytes come in blocks of some mebibytes; a block is a sequence of entries:
//!
//! | bytes | what |
//! |---|---|
//! | 20 | info hash |
//! | 4 | downloads, little-endian like all numbers |
//! | 4 | seeders in this entry |
//! | 4 | leechers in this entry |
//! | `S` each | records of the seeders, then of the leechers |
//! | 2 each | seconds they have left, in the same order |
//!
//! A large torrent takes several entries; one without peers takes one. What
//! kind of peers a block holds, and whether it arrived undamaged, is for the
//! caller to know.

use std::ops::AddAssign;

use aquatic_bittorrent::InfoHash;

use crate::deadline;
use crate::peers::View;
use crate::shard::Shard;
use crate::swarm::Swarm;

/// A block is closed when it has grown beyond this.
const BLOCK_BYTES: usize = 1 << 20;

/// How many torrents, and peers, are copied before the lock is given back.
const TORRENTS_PER_LOCK: usize = 256;
const PEERS_PER_LOCK: usize = 16_384;

/// A walk over all torrents that copies them.
///
/// While others change the swarm, a peer that moves within its torrent at the
/// same moment may be copied twice, which does no harm, or in rare cases not
/// at all. On a swarm at rest the copy is exact.
#[derive(Debug, Default)]
pub struct SnapshotWalk {
    shard: usize,
    slots: Option<usize>,
    positions: Option<usize>,
}

/// What [`restore`] found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Restored {
    /// Entries that were read.
    pub entries: usize,
    /// Peers that were stored.
    pub peers: usize,
    /// Peers that were not, because a cap was reached.
    pub refused: usize,
}

impl AddAssign for Restored {
    fn add_assign(&mut self, more: Self) {
        self.entries += more.entries;
        self.peers += more.peers;
        self.refused += more.refused;
    }
}

/// A block that does not follow the format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DamagedBlock {
    /// The block ends within an entry, which starts at this byte.
    #[error("the entry at byte {0} is cut short")]
    Truncated(usize),
}

impl SnapshotWalk {
    /// A walk from the beginning.
    pub fn new() -> Self {
        Self::default()
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
        while self.shard < swarm.shard_count() && out.len() - start < BLOCK_BYTES {
            let shard = swarm.lock_number(self.shard);
            self.copy_some(&shard, now, out);
            if self.slots.is_none() {
                for torrent in shard.retired() {
                    write_header(out, &torrent.info_hash, torrent.completed, 0, 0);
                }
                self.shard += 1;
            }
        }
        out.len() > start
    }

    fn copy_some<const S: usize, const K: usize, const N: usize>(
        &mut self,
        shard: &Shard<S, K, N>,
        now: u32,
        out: &mut Vec<u8>,
    ) {
        let count = shard.torrents().len();
        let mut slots = self.slots.unwrap_or(count).min(count);
        let mut peers_left = PEERS_PER_LOCK;
        for _ in 0..TORRENTS_PER_LOCK {
            if slots == 0 || peers_left == 0 {
                break;
            }
            let torrent = shard.torrents().at(slots - 1);
            let view = torrent.peers.view();
            let len = view.records.len();
            let end = self.positions.take().unwrap_or(len).min(len);
            let start = end.saturating_sub(peers_left);
            peers_left -= end - start;
            let some = View {
                records: &view.records[start..end],
                deadlines: &view.deadlines[start..end],
                seeders: view.seeders.clamp(start, end) - start,
            };
            write_entry(out, &torrent.info_hash, torrent.completed, some, now);
            if start > 0 {
                self.positions = Some(start);
                break;
            }
            slots -= 1;
        }
        self.slots = (slots > 0).then_some(slots);
    }
}

/// Gives all torrents of `swarm` to `write`, block by block. `now` tells the
/// seconds on the clock of announces.
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

/// As [`copy`], but without peers: only torrents that were downloaded, and how
/// often.
///
/// # Errors
///
/// Those of `write`.
pub fn copy_downloads<const S: usize, const K: usize, const N: usize, E>(
    swarm: &Swarm<S, K, N>,
    mut write: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut block = Vec::new();
    for number in 0..swarm.shard_count() {
        swarm.for_each_torrent_of(number, |info_hash, scraped| {
            if scraped.completed > 0 {
                write_header(&mut block, info_hash, scraped.completed, 0, 0);
            }
        });
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
/// Peers keep the seconds they had left, at most `lifetime`: nobody could
/// announce while the tracker was away. What is there already stays.
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
    let mut restored = Restored::default();
    let mut rest = block;
    while !rest.is_empty() {
        let offset = block.len() - rest.len();
        let (entry, after) = Entry::<S>::read(rest).ok_or(DamagedBlock::Truncated(offset))?;
        rest = after;
        restored.entries += 1;
        entry.store(swarm, now, lifetime, with_peers, &mut restored);
    }
    Ok(restored)
}

/// One entry of a block.
struct Entry<'a, const S: usize> {
    info_hash: InfoHash,
    completed: u32,
    seeders: usize,
    records: &'a [[u8; S]],
    remaining: &'a [[u8; 2]],
}

impl<'a, const S: usize> Entry<'a, S> {
    /// Splits the first entry off `bytes`.
    fn read(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (info_hash, rest) = bytes.split_first_chunk::<20>()?;
        let (completed, rest) = rest.split_first_chunk::<4>()?;
        let (seeders, rest) = rest.split_first_chunk::<4>()?;
        let (leechers, rest) = rest.split_first_chunk::<4>()?;
        let seeders = u32::from_le_bytes(*seeders) as usize;
        let count = seeders.checked_add(u32::from_le_bytes(*leechers) as usize)?;
        let (records, rest) = rest.split_at_checked(count.checked_mul(S)?)?;
        let (remaining, rest) = rest.split_at_checked(count * 2)?;
        let entry = Self {
            info_hash: InfoHash(*info_hash),
            completed: u32::from_le_bytes(*completed),
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
        with_peers: bool,
        restored: &mut Restored,
    ) {
        let mut locked = swarm.lock(&self.info_hash);
        let (shard, rules, hash) = locked.parts();
        let mut slot = shard.find(&self.info_hash, hash);
        let peers = self.records.iter().zip(self.remaining).enumerate();
        for (position, (record, remaining)) in peers.take_while(|_| with_peers) {
            let remaining = u16::from_le_bytes(*remaining).min(lifetime);
            let peer = (
                *record,
                position < self.seeders,
                deadline::after(now, remaining),
            );
            match shard.store(slot, &self.info_hash, hash, peer, false, &rules) {
                Ok((known, _)) => {
                    slot = Some(known);
                    restored.peers += 1;
                }
                Err(_) => restored.refused += 1,
            }
        }
        shard.restore_completed(&self.info_hash, hash, self.completed, &rules);
    }
}

fn write_entry<const S: usize>(
    out: &mut Vec<u8>,
    info_hash: &InfoHash,
    completed: u32,
    view: View<'_, S>,
    now: u32,
) {
    let leechers = view.records.len() - view.seeders;
    write_header(out, info_hash, completed, view.seeders, leechers);
    out.extend_from_slice(view.records.as_flattened());
    for deadline in view.deadlines {
        out.extend_from_slice(&deadline::remaining(*deadline, now).to_le_bytes());
    }
}

fn write_header(
    out: &mut Vec<u8>,
    info_hash: &InfoHash,
    completed: u32,
    seeders: usize,
    leechers: usize,
) {
    out.extend_from_slice(&info_hash.0);
    for number in [completed, seeders as u32, leechers as u32] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}
