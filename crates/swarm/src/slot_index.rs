//! Where the torrents of a shard stand.
//!
//! Each look-up in a large swarm costs a few cache misses, and they follow one
//! another. This table costs one: an entry's tag, which tells most info hashes
//! apart, and its slot stand in the same cache line. (A general hash table
//! keeps its tags and its values apart, which is two.)
//!
//! An entry stands in the bucket where its hash belongs, its *home*, or in one
//! of the [`REACH`] - 1 that follow; one that finds no room there makes the
//! table grow. A removal fills its gap with an entry that stands further from
//! its home than it has to, so that a table which has been in use for long is
//! like a new one: no entry stands behind a bucket with room, and look-ups end
//! where they would in a new table.

use std::ops::AddAssign;

/// Entries of a bucket.
const ENTRIES: usize = 15;

/// The average number of entries per bucket at which the table grows.
const MAX_LOAD: usize = 12;

/// The average below which it shrinks.
const MIN_LOAD: usize = 6;

/// The most buckets that a look-up reads. Of [`MAX_LOAD`] entries per bucket, one
/// in 10^9 or so is further from its home; then the table grows.
pub(crate) const REACH: usize = 7;

/// How often a table grows to make room for one entry. More would help only if
/// hashes were alike, and those of a secret key are not.
const MAX_GROWTHS: usize = 4;

/// The most entries that one removal moves closer to their homes. So many follow
/// each other in one of 10^7 removals, if at all; what then stays where it is, is
/// found nevertheless.
const MAX_MOVES: usize = 32;

/// The most slots: what 16 bits can count, but for one.
pub(crate) const MAX_SLOTS: usize = NOWHERE;

/// The slot of nothing.
const NOWHERE: usize = 0xffff;

/// Slots by hash.
pub(crate) struct SlotIndex {
    buckets: Vec<Bucket>,
    len: usize,
}

/// One cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    /// Zero, or from the highest bit to the lowest: 13 bits of the hash, the
    /// distance from its home plus one in 3, and the slot in 16.
    entries: [u32; ENTRIES],
    /// How many entries stand in a later bucket though their home is this one
    /// or one before it.
    overflows: u32,
}

/// There is no place for an entry, in a table of any reasonable size.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// How far look-ups of info hashes go in the tables of a swarm as they are,
/// counted in buckets, each of them a cache line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Probes {
    /// Torrents.
    pub entries: u64,
    /// Buckets that are read to find each torrent once.
    pub hits: u64,
    /// How many buckets there are.
    pub buckets: u64,
    /// Buckets that are read for absent info hashes, one for each bucket in
    /// which a look-up can begin.
    pub misses: u64,
    /// The most that are read for any info hash, at most
    /// [`MOST`](Self::MOST).
    pub longest: u64,
}

impl Probes {
    /// The most buckets that any look-up reads.
    pub const MOST: u64 = REACH as u64;

    /// Buckets that are read to find a torrent, on average; 0 without torrents.
    pub fn mean_hit(&self) -> f64 {
        self.hits as f64 / self.entries.max(1) as f64
    }

    /// Buckets that are read for an absent info hash, on average; 0 without
    /// torrents.
    pub fn mean_miss(&self) -> f64 {
        self.misses as f64 / self.buckets.max(1) as f64
    }
}

impl AddAssign for Probes {
    fn add_assign(&mut self, more: Self) {
        self.entries += more.entries;
        self.hits += more.hits;
        self.buckets += more.buckets;
        self.misses += more.misses;
        self.longest = self.longest.max(more.longest);
    }
}

impl SlotIndex {
    pub(crate) const fn new() -> Self {
        Self {
            buckets: Vec::new(),
            len: 0,
        }
    }

    /// The slot under `hash` that `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let mut number = self.home(hash);
        for distance in 0..REACH {
            let bucket = self.buckets.get(number)?;
            let mut matches = bucket.matches(mark(hash) + distance as u32);
            while matches != 0 {
                let slot = slot(bucket.entries[matches.trailing_zeros() as usize]);
                if is_it(slot) {
                    return Some(slot);
                }
                matches &= matches - 1;
            }
            if bucket.overflows == 0 {
                return None;
            }
            number = self.after(number);
        }
        None
    }

    /// Adds a slot that is not there yet. `hash_of` gives the hashes of those
    /// that are.
    ///
    /// # Errors
    ///
    /// When there is no place for it, and would be none in a table twice as
    /// large. Nothing has changed then.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        slot: usize,
        hash_of: impl Fn(usize) -> u64,
    ) -> Result<(), NoRoom> {
        let mut buckets = self.buckets.len();
        if self.len < buckets * MAX_LOAD && self.place(hash, slot).is_ok() {
            self.len += 1;
            return Ok(());
        }
        for _ in 0..MAX_GROWTHS {
            // By a quarter and not by half, because torrents are many and this
            // is most of what they cost beside their own memory.
            buckets += buckets / 4 + 1;
            let Ok(mut grown) = self.rebuilt(buckets, &hash_of) else {
                continue;
            };
            if grown.place(hash, slot).is_ok() {
                grown.len += 1;
                *self = grown;
                return Ok(());
            }
        }
        Err(NoRoom)
    }

    /// Removes a slot. `hash_of` gives the hashes of the others.
    pub(crate) fn remove(&mut self, hash: u64, slot: usize, hash_of: impl Fn(usize) -> u64) {
        let Some((number, index)) = self.locate(hash, slot) else {
            return;
        };
        let distance = self.buckets[number].distance(index);
        self.buckets[number].entries[index] = 0;
        self.count_overflows(number, distance, |overflows| *overflows -= 1);
        self.close_gap(number, index);
        self.len -= 1;
        if self.len == 0 {
            self.buckets = Vec::new();
        } else if self.len < self.buckets.len() * MIN_LOAD {
            let buckets = self.len.div_ceil(MAX_LOAD - 2);
            if buckets < self.buckets.len()
                && let Ok(shrunk) = self.rebuilt(buckets, hash_of)
            {
                *self = shrunk;
            }
        }
    }

    /// Removes a slot of a list without gaps, of which the one at `last` has
    /// taken the place. `hash_of` gives the hashes of the list as it is then.
    pub(crate) fn swap_remove(
        &mut self,
        hash: u64,
        slot: usize,
        last: usize,
        hash_of: impl Fn(usize) -> u64,
    ) {
        if slot == last {
            return self.remove(hash, slot, hash_of);
        }
        // The slots of all that the index has must be right again before it
        // looks at them.
        self.set(hash, slot, NOWHERE);
        self.set(hash_of(slot), last, slot);
        self.remove(hash, NOWHERE, hash_of);
    }

    /// Notes that what stood in slot `from` now stands in slot `to`.
    pub(crate) fn set(&mut self, hash: u64, from: usize, to: usize) {
        if let Some((number, index)) = self.locate(hash, from) {
            let entry = &mut self.buckets[number].entries[index];
            *entry = *entry & !SLOT_MASK | to as u32;
        }
    }

    /// How far look-ups go in the table as it is.
    pub(crate) fn probes(&self) -> Probes {
        let mut probes = Probes {
            entries: self.len as u64,
            buckets: self.buckets.len() as u64,
            ..Probes::default()
        };
        for (number, bucket) in self.buckets.iter().enumerate() {
            for index in 0..ENTRIES {
                if bucket.entries[index] != 0 {
                    probes.hits += bucket.distance(index) as u64 + 1;
                }
            }
            let mut read = 1;
            let mut last = number;
            while read < REACH && self.buckets[last].overflows > 0 {
                last = self.after(last);
                read += 1;
            }
            probes.misses += read as u64;
            // No entry stands further than a look-up of an absent one goes.
            probes.longest = probes.longest.max(read as u64);
        }
        probes
    }

    /// The bucket and the index within it of a slot.
    fn locate(&self, hash: u64, slot: usize) -> Option<(usize, usize)> {
        let mut number = self.home(hash);
        for distance in 0..REACH {
            let bucket = self.buckets.get(number)?;
            let wanted = entry(mark(hash) + distance as u32, slot);
            if let Some(index) = bucket.entries.iter().position(|&entry| entry == wanted) {
                return Some((number, index));
            }
            if bucket.overflows == 0 {
                return None;
            }
            number = self.after(number);
        }
        None
    }

    /// The bucket where a hash belongs: the lower half of the hash, scaled to
    /// the number of buckets.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        ((u64::from(hash as u32) * self.buckets.len() as u64) >> 32) as usize
    }

    /// The bucket that takes what has no room in this one.
    #[inline]
    fn after(&self, number: usize) -> usize {
        if number + 1 < self.buckets.len() {
            number + 1
        } else {
            0
        }
    }

    /// The bucket `distance` before this one.
    fn before(&self, number: usize, distance: usize) -> usize {
        if number >= distance {
            number - distance
        } else {
            number + self.buckets.len() - distance
        }
    }

    /// Puts a slot in the first bucket with room within reach of its home.
    fn place(&mut self, hash: u64, slot: usize) -> Result<(), NoRoom> {
        let mut number = self.home(hash);
        let mark = mark(hash);
        // In a small table, more steps would lead to the home again.
        for distance in 0..REACH.min(self.buckets.len()) {
            let entries = &mut self.buckets[number].entries;
            if let Some(vacant) = entries.iter_mut().find(|entry| **entry == 0) {
                *vacant = entry(mark + distance as u32, slot);
                self.count_overflows(number, distance, |overflows| *overflows += 1);
                return Ok(());
            }
            number = self.after(number);
        }
        Err(NoRoom)
    }

    /// Fills a gap with an entry that would have taken the place, had it been
    /// vacant; then the gap of that one, and so on.
    fn close_gap(&mut self, mut number: usize, mut index: usize) {
        for _ in 0..MAX_MOVES {
            let Some((from, from_index, steps)) = self.find_misplaced(number) else {
                return;
            };
            let moved = std::mem::take(&mut self.buckets[from].entries[from_index]);
            self.buckets[number].entries[index] = moved - steps as u32 * ONE_FURTHER;
            self.count_overflows(from, steps, |overflows| *overflows -= 1);
            (number, index) = (from, from_index);
        }
    }

    /// An entry that stands behind this bucket though its home is not: its
    /// bucket, its index there, and how many buckets it is behind this one.
    fn find_misplaced(&self, number: usize) -> Option<(usize, usize, usize)> {
        let mut from = number;
        for steps in 1..REACH.min(self.buckets.len()) {
            if self.buckets[from].overflows == 0 {
                return None;
            }
            from = self.after(from);
            let bucket = &self.buckets[from];
            let has_come_by =
                |index: &usize| bucket.entries[*index] != 0 && bucket.distance(*index) >= steps;
            if let Some(index) = (0..ENTRIES).find(has_come_by) {
                return Some((from, index, steps));
            }
        }
        None
    }

    /// Changes the counts of the `distance` buckets before this one.
    fn count_overflows(&mut self, number: usize, distance: usize, change: impl Fn(&mut u32)) {
        let mut passed = self.before(number, distance);
        for _ in 0..distance {
            change(&mut self.buckets[passed].overflows);
            passed = self.after(passed);
        }
    }

    /// The same entries in so many buckets.
    fn rebuilt(&self, buckets: usize, hash_of: impl Fn(usize) -> u64) -> Result<Self, NoRoom> {
        let mut rebuilt = Self {
            buckets: vec![Bucket::default(); buckets],
            len: self.len,
        };
        for entry in self.buckets.iter().flat_map(|bucket| bucket.entries) {
            if entry != 0 {
                rebuilt.place(hash_of(slot(entry)), slot(entry))?;
            }
        }
        Ok(rebuilt)
    }
}

impl Bucket {
    /// A bit for each entry with this mark. Without a branch, so that the
    /// compiler compares several at once.
    #[inline]
    fn matches(&self, mark: u32) -> u32 {
        let mut bits = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            bits |= u32::from(entry >> SLOT_BITS == mark) << index;
        }
        bits
    }

    /// How far an entry, which must be there, stands from its home.
    fn distance(&self, index: usize) -> usize {
        (self.entries[index] >> SLOT_BITS & DISTANCE_MASK) as usize - 1
    }
}

const SLOT_BITS: u32 = 16;
const SLOT_MASK: u32 = (1 << SLOT_BITS) - 1;
const DISTANCE_BITS: u32 = 3;
const DISTANCE_MASK: u32 = (1 << DISTANCE_BITS) - 1;

/// Added to an entry, it is one bucket further from its home.
const ONE_FURTHER: u32 = 1 << SLOT_BITS;

/// The upper half of an entry in its home: the highest bits of the hash, of
/// which lower ones choose bucket and shard, and a distance of zero, plus one.
#[inline]
fn mark(hash: u64) -> u32 {
    (hash >> (64 - 13)) as u32 * (1 << DISTANCE_BITS) + 1
}

fn entry(mark: u32, slot: usize) -> u32 {
    mark << SLOT_BITS | slot as u32
}

fn slot(entry: u32) -> usize {
    (entry & SLOT_MASK) as usize
}

#[cfg(test)]
mod tests;
