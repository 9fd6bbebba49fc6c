//! Where the torrents of a shard stand.
//!
//! Each look-up in a large swarm costs a few cache misses, and they follow one
//! another. This table costs one: an entry's tag, which tells most info hashes
//! apart, and its slot stand in the same cache line. (A general hash table
//! keeps its tags and its values apart, which is two.)

/// Entries of a bucket.
const ENTRIES: usize = 15;

/// The average number of entries per bucket at which the table grows.
const MAX_LOAD: usize = 12;

/// The average below which it shrinks.
const MIN_LOAD: usize = 6;

/// Slots by hash.
pub(crate) struct SlotIndex {
    buckets: Vec<Bucket>,
    len: usize,
}

/// One cache line.
#[derive(Clone, Copy, Default)]
#[repr(align(64))]
struct Bucket {
    /// Zero, or a tag in the upper half and a slot in the lower.
    entries: [u32; ENTRIES],
    /// How many entries belong here but stand in a later bucket.
    overflows: u32,
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
        let tag = tag(hash);
        loop {
            let bucket = self.buckets.get(number)?;
            let mut matches = bucket.matches(tag);
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
    }

    /// Adds a slot that is not there yet. `hash_of` gives the hashes of those
    /// that are.
    pub(crate) fn insert(&mut self, hash: u64, slot: usize, hash_of: impl Fn(usize) -> u64) {
        if self.len >= self.buckets.len() * MAX_LOAD {
            // By a quarter and not by half, because torrents are many and this
            // is most of what they cost beside their own memory.
            let buckets = self.buckets.len();
            self.rebuild(buckets + buckets / 4 + 1, hash_of);
        }
        self.place(hash, slot);
        self.len += 1;
    }

    /// Removes a slot. `hash_of` gives the hashes of the others.
    pub(crate) fn remove(&mut self, hash: u64, slot: usize, hash_of: impl Fn(usize) -> u64) {
        let Some((number, index)) = self.locate(hash, slot) else {
            return;
        };
        self.buckets[number].entries[index] = 0;
        let mut passed = self.home(hash);
        while passed != number {
            self.buckets[passed].overflows -= 1;
            passed = self.after(passed);
        }
        self.len -= 1;
        if self.len == 0 {
            self.buckets = Vec::new();
        } else if self.len < self.buckets.len() * MIN_LOAD && self.buckets.len() > 1 {
            self.rebuild(self.len.div_ceil(MAX_LOAD - 2), hash_of);
        }
    }

    /// Notes that what stood in slot `from` now stands in slot `to`.
    pub(crate) fn set(&mut self, hash: u64, from: usize, to: usize) {
        if let Some((number, index)) = self.locate(hash, from) {
            self.buckets[number].entries[index] = entry(hash, to);
        }
    }

    /// The bucket and the index within it of a slot.
    fn locate(&self, hash: u64, slot: usize) -> Option<(usize, usize)> {
        let mut number = self.home(hash);
        let wanted = entry(hash, slot);
        loop {
            let bucket = self.buckets.get(number)?;
            if let Some(index) = bucket.entries.iter().position(|&entry| entry == wanted) {
                return Some((number, index));
            }
            if bucket.overflows == 0 {
                return None;
            }
            number = self.after(number);
        }
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

    /// Puts a slot in the first bucket with room; there is one.
    fn place(&mut self, hash: u64, slot: usize) {
        let mut number = self.home(hash);
        loop {
            let bucket = &mut self.buckets[number];
            if let Some(vacant) = bucket.entries.iter_mut().find(|entry| **entry == 0) {
                *vacant = entry(hash, slot);
                return;
            }
            bucket.overflows += 1;
            number = self.after(number);
        }
    }

    fn rebuild(&mut self, buckets: usize, hash_of: impl Fn(usize) -> u64) {
        let old = std::mem::replace(&mut self.buckets, vec![Bucket::default(); buckets]);
        for entry in old.iter().flat_map(|bucket| bucket.entries) {
            if entry != 0 {
                self.place(hash_of(slot(entry)), slot(entry));
            }
        }
    }
}

impl Bucket {
    /// A bit for each entry with this tag. Without a branch, so that the
    /// compiler compares several at once.
    #[inline]
    fn matches(&self, tag: u32) -> u32 {
        let mut bits = 0;
        for (index, entry) in self.entries.iter().enumerate() {
            bits |= u32::from(entry >> 16 == tag) << index;
        }
        bits
    }
}

/// The highest bits of a hash, and one more that makes no entry zero. Lower
/// ones choose the bucket and the shard.
fn tag(hash: u64) -> u32 {
    (hash >> 48) as u32 | 0x8000
}

fn entry(hash: u64, slot: usize) -> u32 {
    (tag(hash) << 16) | slot as u32
}

fn slot(entry: u32) -> usize {
    entry as usize & 0xffff
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_one_cache_line() {
        assert_eq!(size_of::<Bucket>(), 64);
    }

    /// Fills and empties a table of which many hashes are alike.
    fn exercise(hash_of: impl Fn(usize) -> u64 + Copy) {
        let mut index = SlotIndex::new();
        let count = 3_000;
        for slot in 0..count {
            assert_eq!(index.find(hash_of(slot), |other| other == slot), None);
            index.insert(hash_of(slot), slot, hash_of);
        }
        for slot in 0..count {
            assert_eq!(index.find(hash_of(slot), |other| other == slot), Some(slot));
        }
        let buckets = index.buckets.len();
        assert!(buckets * MAX_LOAD < count * 13 / 10, "{buckets} buckets");

        // Every third goes; what follows moves into its slot, and back.
        for slot in (0..count).step_by(3) {
            index.remove(hash_of(slot), slot, hash_of);
            assert_eq!(index.find(hash_of(slot), |other| other == slot), None);
            index.set(hash_of(slot + 1), slot + 1, slot);
            let found = index.find(hash_of(slot + 1), |other| other == slot);
            assert_eq!(found, Some(slot));
            index.set(hash_of(slot + 1), slot, slot + 1);
        }
        for slot in (0..count).filter(|slot| slot % 3 != 0) {
            assert_eq!(index.find(hash_of(slot), |other| other == slot), Some(slot));
            index.remove(hash_of(slot), slot, hash_of);
        }
        assert_eq!(index.len, 0);
        assert!(index.buckets.is_empty());
    }

    #[test]
    fn finds_what_is_there() {
        exercise(|slot| (slot as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }

    #[test]
    fn finds_what_is_there_when_hashes_are_alike() {
        exercise(|slot| ((slot as u64 % 7) << 60) | ((slot as u64 % 5) << 30));
    }

    #[test]
    fn overflows_end_with_their_cause() {
        let mut index = SlotIndex::new();
        let hash_of = |slot: usize| {
            if slot < 20 {
                0
            } else {
                (2 + slot as u64 % 2) << 30
            }
        };
        for slot in 0..30 {
            index.insert(hash_of(slot), slot, hash_of);
        }
        assert!(index.buckets.iter().any(|bucket| bucket.overflows > 0));
        for slot in 0..20 {
            index.remove(hash_of(slot), slot, hash_of);
        }
        assert!(index.buckets.iter().all(|bucket| bucket.overflows == 0));
    }
}
