//! Where the torrents of a shard stand.
//!
//! A look-up goes through groups of hashbrown's tags until one has a vacant
//! place. At least an eighth of all places are vacant and have been since the
//! table was made or put in order: hashbrown counts as taken also those that
//! removals have marked, and puts the table in order, or makes a larger one,
//! before more are taken (the contract of its `capacity`). So look-ups in a
//! table that has been in use for long end where they would in a full new one.

use hashbrown::HashTable;

/// The most slots: as many as 16 bits can tell apart.
pub(crate) const MAX_SLOTS: usize = 1 << 16;

/// A table in which fewer places are taken than one in this number shrinks.
pub const PLACES_PER_TORRENT: usize = 4;

/// Slots by hash.
pub(crate) struct SlotIndex {
    slots: HashTable<u16>,
}

impl SlotIndex {
    pub(crate) const fn new() -> Self {
        Self {
            slots: HashTable::new(),
        }
    }

    /// Places, vacant or not.
    pub(crate) fn places(&self) -> usize {
        if self.slots.capacity() == 0 {
            return 0;
        }
        self.slots.num_buckets()
    }

    /// The slot under `hash` that `is_it` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let found = self.slots.find(hash, |&slot| is_it(slot.into()));
        found.map(|&slot| slot.into())
    }

    /// Adds a slot that is not there yet, below [`MAX_SLOTS`]. `hash_of` gives
    /// the hashes of those that are.
    pub(crate) fn insert(&mut self, hash: u64, slot: usize, hash_of: impl Fn(usize) -> u64) {
        debug_assert!(slot < MAX_SLOTS);
        self.slots
            .insert_unique(hash, slot as u16, |&slot| hash_of(slot.into()));
    }

    /// Removes a slot of a list without gaps, of which the one at `last` has
    /// taken the place, unless it was the last one itself. `hash_of` gives the
    /// hashes of the list as it is then.
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
            // Half as many places, with room for more.
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
