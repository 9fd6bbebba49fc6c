//! The index, compared with a model.

use super::*;

/// An index and the hashes of its entries, kept without gaps as in a shard: the last
/// entry takes the slot of one that is removed.
struct Churned {
    index: SlotIndex,
    hashes: Vec<u64>,
    random: fastrand::Rng,
    /// The bits of each hash that are used, so that some hashes are equal.
    mask: u64,
}

impl Churned {
    fn filled(count: usize, mask: u64) -> Self {
        let mut churned = Self {
            index: SlotIndex::new(),
            hashes: Vec::new(),
            random: fastrand::Rng::with_seed(count as u64),
            mask,
        };
        for _ in 0..count {
            churned.arrive();
        }
        churned
    }

    fn arrive(&mut self) {
        let hash = self.random.u64(..) & self.mask;
        let slot = self.hashes.len();
        self.index.insert(hash, slot, |slot| self.hashes[slot]);
        self.hashes.push(hash);
    }

    fn depart(&mut self) {
        let slot = self.random.usize(0..self.hashes.len());
        let last = self.hashes.len() - 1;
        let gone = self.hashes.swap_remove(slot);
        let hash_of = |slot: usize| self.hashes[slot];
        self.index.swap_remove(gone, slot, last, hash_of);
    }

    /// Removes an entry and inserts another one, this many times.
    fn churn(&mut self, times: usize) {
        for _ in 0..times {
            self.depart();
            self.arrive();
        }
    }

    /// Everything is found, nothing else is, and the table is not too large.
    fn assert_sound(&self) {
        let count = self.hashes.len();
        assert_eq!(self.index.len, count);
        let groups = || self.index.blocks.iter().flat_map(|block| block.iter());
        let entries = groups().flat_map(|group| group.tags);
        assert_eq!(entries.filter(|&tag| tag != 0).count(), count);
        let passed = groups().map(|group| usize::from(group.slots[PASSED]));
        assert_eq!(self.passed(), passed.collect::<Vec<_>>());
        for (slot, &hash) in self.hashes.iter().enumerate() {
            assert_eq!(self.index.find(hash, |found| found == slot), Some(slot));
            assert_eq!(self.index.find(!hash, |found| found == slot), None);
        }
        assert_eq!(self.index.find(0, |found| found >= count), None);
        assert!(self.index.places() <= count * PLACES_PER_TORRENT + PLACES_PER_SHARD);
    }

    /// How many entries have passed each group, according to where they are.
    fn passed(&self) -> Vec<usize> {
        let mut passed = vec![0; self.index.groups()];
        for (slot, &hash) in self.hashes.iter().enumerate() {
            let found = self.index.locate(hash, |other| other == slot).unwrap();
            let mut group = self.index.home(hash);
            while group != found.group {
                passed[group] += 1;
                group = self.index.after(group);
            }
        }
        passed
    }
}

#[test]
fn slots_are_found_in_steady_tables_of_any_size() {
    for count in (1..=100).chain([208, 209, 250, 977, 1_040, 2_500]) {
        let mut churned = Churned::filled(count, u64::MAX);
        for _ in 0..8 {
            churned.churn(10_000);
            churned.assert_sound();
        }
    }
}

#[test]
fn slots_are_found_after_ten_million_arrivals() {
    for count in [12, 208, 1_040, 1_872] {
        let mut churned = Churned::filled(count, u64::MAX);
        churned.churn(10_000_000);
        churned.assert_sound();
    }
}

#[test]
fn tables_grow_and_shrink_again() {
    let mut churned = Churned::filled(0, u64::MAX);
    for round in 0..6 {
        while churned.hashes.len() < 20_000 {
            churned.arrive();
        }
        churned.assert_sound();
        while churned.hashes.len() > round * 10 {
            churned.depart();
            if churned.hashes.len().is_power_of_two() {
                churned.assert_sound();
            }
        }
        churned.assert_sound();
    }
    while !churned.hashes.is_empty() {
        churned.depart();
    }
    assert_eq!(churned.index.places(), 0);
}

#[test]
fn the_last_slot_can_be_told_apart() {
    let mut churned = Churned::filled(MAX_SLOTS, u64::MAX);
    churned.assert_sound();
    churned.churn(1_000);
    churned.assert_sound();
}

/// Nobody can choose equal hashes, but if some are equal, all entries are found.
#[test]
fn slots_whose_hashes_are_alike_are_told_apart() {
    for mask in [0, 1, 3 << 62, 0xff] {
        let mut churned = Churned::filled(300, mask);
        churned.churn(10_000);
        churned.assert_sound();
        while !churned.hashes.is_empty() {
            churned.depart();
        }
        assert_eq!(churned.index.places(), 0);
    }
}
