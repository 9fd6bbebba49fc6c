//! Slots of the torrents of a shard, by hash.
//!
//! The table consists of [groups](Group) of 15 places. A hash has a home group; if that is
//! full, its entry goes into the next group with a free place, and each full group in
//! between counts that it was *passed*. A lookup ends at the first group that nobody has
//! passed. A removal uncounts, so a lookup in a table that has been in use for long is as
//! short as in a new one with the same entries.
//!
//! A table grows by a block of 16 groups or by an eighth, so that three quarters of its places
//! are in use at any size. It is then filled anew in the order of slots, which have no gaps.
//! Blocks stay where they are: growth leaves no holes behind that fit nothing else.

use wide::u8x16;

/// Maximum number of slots, which are 16-bit numbers.
pub(crate) const MAX_SLOTS: usize = 1 << 16;

/// A table shrinks if it has more than this number of places per torrent, and
/// [`PLACES_PER_SHARD`] more.
pub const PLACES_PER_TORRENT: usize = 2;

/// Number of places of the smallest table that is not empty.
pub const PLACES_PER_SHARD: usize = PLACES * BLOCK;

/// Number of groups in a block.
const BLOCK: usize = 16;

/// Number of places in a group.
const PLACES: usize = 15;

/// The average number of entries in a group at which a table grows. With one more, twice as
/// many groups would be full.
const MAX_FILL: usize = 13;

/// Where a group counts by how many entries it was passed.
const PASSED: usize = PLACES;

/// Maps hashes to slots, which have no gaps.
pub(crate) struct SlotIndex {
    #[allow(
        clippy::vec_box,
        reason = "blocks do not move when there are more of them"
    )]
    blocks: Vec<Box<[Group; BLOCK]>>,
    /// Number of entries, whose slots are the numbers below it.
    len: usize,
}

/// Places for entries, in 48 bytes that are seldom in two cache lines: an allocation begins at
/// a multiple of 16 bytes.
#[derive(Clone, Copy)]
#[repr(align(16))]
struct Group {
    /// The [tags](tag) of entries, 0 where a place is free. The last one is always 0.
    tags: [u8; PLACES + 1],
    /// The slots of entries. The last one is how many entries have passed.
    slots: [u16; PLACES + 1],
}

/// Where an entry is.
struct Found {
    /// Number of groups from its home group.
    distance: usize,
    group: usize,
    place: usize,
}

impl SlotIndex {
    pub(crate) const fn new() -> Self {
        Self {
            blocks: Vec::new(),
            len: 0,
        }
    }

    /// Number of places, free or not.
    pub(crate) fn places(&self) -> usize {
        self.groups() * PLACES
    }

    /// Finds the slot with this hash for which `is_it` returns true.
    #[inline]
    pub(crate) fn find(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        match self.candidate(hash) {
            Some(slot) if is_it(slot) => Some(slot),
            _ => self.search(hash, is_it),
        }
    }

    /// Does the same as [`find`](Self::find), which is faster if it finds something.
    #[inline(never)]
    pub(crate) fn search(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<usize> {
        let Found { group, place, .. } = self.locate(hash, is_it)?;
        Some(self.group(group).slots[place].into())
    }

    /// A slot in the home group whose tag, eight bits, is that of this hash. Most often, but
    /// not always, it is the one that [`find`](Self::find) returns. This takes few instructions,
    /// so that a processor can have several lookups under way.
    #[inline]
    pub(crate) fn candidate(&self, hash: u64) -> Option<usize> {
        let number = self.home(hash);
        let group = &self.blocks.get(number / BLOCK)?[number % BLOCK];
        let place = first(group.matches(tag(hash)))?;
        Some(group.slots[place].into())
    }

    /// Inserts the slot that follows the others, below [`MAX_SLOTS`]. `hash_of` returns the
    /// hashes of the others.
    pub(crate) fn insert(&mut self, hash: u64, slot: usize, hash_of: impl Fn(usize) -> u64) {
        debug_assert!(slot == self.len && slot < MAX_SLOTS);
        if self.len == self.groups() * MAX_FILL {
            let blocks = self.blocks.len();
            self.rebuild(blocks + (blocks / 8).max(1), hash_of);
        }
        self.add(hash, slot);
        self.len += 1;
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
        let Some(found) = self.locate(hash, |other| other == slot) else {
            return;
        };
        self.group_mut(found.group).tags[found.place] = 0;
        let mut passed = self.home(hash);
        for _ in 0..found.distance {
            self.group_mut(passed).slots[PASSED] -= 1;
            passed = self.after(passed);
        }
        self.len -= 1;
        if slot != last
            && let Some(moved) = self.locate(hash_of(slot), |other| other == last)
        {
            self.group_mut(moved.group).slots[moved.place] = slot as u16;
        }
        if self.len * PLACES_PER_TORRENT < self.places() {
            // With room for a quarter more, so that it does not grow again at once.
            let blocks = (self.len + self.len / 4).div_ceil(MAX_FILL * BLOCK);
            if blocks < self.blocks.len() {
                self.rebuild(blocks, hash_of);
            }
        }
    }

    fn locate(&self, hash: u64, is_it: impl Fn(usize) -> bool) -> Option<Found> {
        let tag = tag(hash);
        let mut number = self.home(hash);
        // Entries have passed some groups, but not all of them: there are free places.
        for distance in 0..self.groups() {
            let group = self.group(number);
            let mut matches = group.matches(tag);
            while let Some(place) = first(matches) {
                if is_it(group.slots[place].into()) {
                    return Some(Found {
                        distance,
                        group: number,
                        place,
                    });
                }
                matches &= matches - 1;
            }
            if group.slots[PASSED] == 0 {
                return None;
            }
            number = self.after(number);
        }
        None
    }

    /// Puts an entry into a table that has a free place.
    fn add(&mut self, hash: u64, slot: usize) {
        let mut number = self.home(hash);
        for _ in 0..self.groups() {
            let group = self.group_mut(number);
            // The last one counts what has passed.
            if let Some(place) = first(group.matches(0) & !(1 << PASSED)) {
                group.tags[place] = tag(hash);
                // There are at most 2^16 slots.
                group.slots[place] = slot as u16;
                return;
            }
            // At most by all entries, except those in it.
            group.slots[PASSED] += 1;
            number = self.after(number);
        }
    }

    /// Fills the table anew, with so many blocks.
    fn rebuild(&mut self, blocks: usize, hash_of: impl Fn(usize) -> u64) {
        self.blocks.truncate(blocks);
        self.blocks.shrink_to(blocks);
        for block in &mut self.blocks {
            block.fill(Group::EMPTY);
        }
        self.blocks.reserve_exact(blocks - self.blocks.len());
        self.blocks
            .resize_with(blocks, || Box::new([Group::EMPTY; BLOCK]));
        for slot in 0..self.len {
            self.add(hash_of(slot), slot);
        }
    }

    /// The group in which a lookup begins: the lowest 32 bits as a fraction of the table.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        let fraction = hash & u64::from(u32::MAX);
        ((fraction * self.groups() as u64) >> 32) as usize
    }

    #[inline]
    fn after(&self, group: usize) -> usize {
        if group + 1 == self.groups() {
            0
        } else {
            group + 1
        }
    }
}

impl SlotIndex {
    #[inline]
    fn groups(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    #[inline]
    fn group(&self, number: usize) -> &Group {
        &self.blocks[number / BLOCK][number % BLOCK]
    }

    fn group_mut(&mut self, number: usize) -> &mut Group {
        &mut self.blocks[number / BLOCK][number % BLOCK]
    }
}

impl Group {
    const EMPTY: Self = Self {
        tags: [0; PLACES + 1],
        slots: [0; PLACES + 1],
    };

    /// A set of the places with this tag.
    #[inline]
    fn matches(&self, tag: u8) -> u32 {
        u8x16::new(self.tags)
            .simd_eq(u8x16::splat(tag))
            .to_bitmask()
    }
}

/// Eight bits of a hash, of which the shard and the home group take others; never 0.
#[inline]
fn tag(hash: u64) -> u8 {
    ((hash >> 56) as u8).max(1)
}

/// The first place of a set.
#[inline]
fn first(places: u32) -> Option<usize> {
    (places != 0).then(|| places.trailing_zeros() as usize)
}

#[cfg(test)]
mod tests;
