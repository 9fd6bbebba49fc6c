//! Slots of the torrents of a shard, by hash.
//!
//! A lookup goes through groups of hashbrown's tags until one has an empty bucket. At least
//! an eighth of all buckets are empty, and have been since the table was created or last
//! rehashed: hashbrown counts tombstones, which removals leave, as occupied, and rehashes
//! or grows the table before more buckets are used (the contract of its `capacity`). So a
//! lookup in a table that has been in use for long is never longer than in a new one that
//! is full.

use hashbrown::HashTable;

/// Maximum number of slots, which are 16-bit numbers.
pub(crate) const MAX_SLOTS: usize = 1 << 16;

/// A table shrinks if it has more than this number of buckets per torrent.
pub const PLACES_PER_TORRENT: usize = 4;

/// Maps hashes to slots.
pub(crate) struct SlotIndex {
    slots: HashTable<u16>,
}

impl SlotIndex {
    pub(crate) const fn new() -> Self {
        Self {
            slots: HashTable::new(),
        }
    }

    /// Number of buckets, empty or not.
    pub(crate) fn places(&self) -> usize {
        if self.slots.capacity() == 0 {
            return 0;
        }
        self.slots.num_buckets()
    }

    /// Finds the slot with this hash for which `is_it` returns true.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let found = self.slots.find(hash, |&slot| is_it(slot.into()));
        found.map(|&slot| slot.into())
    }

    /// The first slot whose tag, seven bits, is that of this hash. Most often, but not always,
    /// it is the one that [`find`](Self::find) returns.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<usize> {
        let found = self.slots.find(hash, |_| true);
        found.map(|&slot| slot.into())
    }

    /// Inserts a new slot, below [`MAX_SLOTS`]. `hash_of` returns the hashes of the other
    /// slots.
    pub(crate) fn insert(&mut self, hash: u64, slot: usize, hash_of: impl Fn(usize) -> u64) {
        debug_assert!(slot < MAX_SLOTS);
        self.slots
            .insert_unique(hash, slot as u16, |&slot| hash_of(slot.into()));
    }

    /// Removes a slot from the index after `swap_remove` on the list: the slot `last` has
    /// moved to `slot`, unless they are the same. `hash_of` returns the hashes of the list
    /// after the removal.
    pub(crate) fn swap_remove(
        &mut self,
        hash: u64,
        slot: usize,
        last: usize,
        hash_of: impl Fn(usize) -> u64,
    ) {
        let Ok(entry) = self.slots.find_entry(hash, is(slot)) else {
            return;
        };
        entry.remove();
        if slot != last
            && let Some(moved) = self.slots.find_mut(hash_of(slot), is(last))
        {
            *moved = slot as u16;
        }
        let len = self.slots.len();
        if len < self.slots.num_buckets() / PLACES_PER_TORRENT {
            // Halves the number of buckets, with room for more entries.
            self.slots
                .shrink_to(len + len / 2, |&slot| hash_of(slot.into()));
        }
    }
}

fn is(slot: usize) -> impl Fn(&u16) -> bool {
    move |&other| usize::from(other) == slot
}

#[cfg(test)]
mod tests;
