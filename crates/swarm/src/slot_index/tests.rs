//! The index against what it should hold, and how far look-ups go in it.

use super::*;

#[test]
fn a_bucket_is_one_cache_line() {
    assert_eq!(size_of::<Bucket>(), 64);
}

/// An index with the hashes of what it has, as a shard keeps them: without
/// gaps, so that the last one takes the slot of one that goes.
struct Churned {
    index: SlotIndex,
    hashes: Vec<u64>,
    random: fastrand::Rng,
}

impl Churned {
    fn filled(count: usize) -> Self {
        let mut churned = Self {
            index: SlotIndex::new(),
            hashes: Vec::new(),
            random: fastrand::Rng::with_seed(count as u64),
        };
        for _ in 0..count {
            churned.arrive();
        }
        churned
    }

    fn arrive(&mut self) {
        let hash = self.random.u64(..);
        let slot = self.hashes.len();
        let inserted = self.index.insert(hash, slot, |slot| self.hashes[slot]);
        assert_eq!(inserted, Ok(()));
        self.hashes.push(hash);
    }

    fn depart(&mut self) {
        let slot = self.random.usize(0..self.hashes.len());
        let last = self.hashes.len() - 1;
        let gone = self.hashes.swap_remove(slot);
        let hash_of = |slot: usize| self.hashes[slot];
        self.index.swap_remove(gone, slot, last, hash_of);
    }

    /// So many come and as many go.
    fn churn(&mut self, times: usize) {
        for _ in 0..times {
            self.depart();
            self.arrive();
        }
    }

    /// Everything is found, within reach, and what is counted is so.
    fn assert_sound(&self) {
        let index = &self.index;
        assert_eq!(index.len, self.hashes.len());
        let mut overflows = vec![0; index.buckets.len()];
        let mut entries = 0;
        for (number, bucket) in index.buckets.iter().enumerate() {
            for entry in (0..ENTRIES).filter(|&entry| bucket.entries[entry] != 0) {
                let distance = bucket.distance(entry);
                let hash = self.hashes[slot(bucket.entries[entry])];
                assert_eq!(index.home(hash), index.before(number, distance));
                let mut passed = index.home(hash);
                for _ in 0..distance {
                    overflows[passed] += 1;
                    passed = index.after(passed);
                }
                entries += 1;
            }
        }
        assert_eq!(entries, self.hashes.len());
        for (bucket, &overflows) in index.buckets.iter().zip(&overflows) {
            assert_eq!(bucket.overflows, overflows);
            let has_room = bucket.entries.contains(&0);
            assert!(!has_room || overflows == 0, "passed in spite of room");
        }
        for (slot, &hash) in self.hashes.iter().enumerate() {
            assert_eq!(index.find(hash, |found| found == slot), Some(slot));
            assert_eq!(index.find(hash ^ 1 << 63, |found| found == slot), None);
        }
        assert!(index.buckets.len() <= self.hashes.len() / MIN_LOAD + 1);
    }

    /// Look-ups are as short as in the fullest new table.
    fn assert_short(&self) {
        let probes = self.index.probes();
        let (mean_hit, mean_miss) = (probes.mean_hit(), probes.mean_miss());
        let count = self.hashes.len();
        assert!(probes.longest <= Probes::MOST);
        // In a small table one bucket is a large part of the mean.
        let slack = if count < 500 { 1.6 } else { 1.0 };
        assert!(mean_hit < 1.1 * slack, "{mean_hit} at {count}");
        assert!(mean_miss < 1.5 * slack, "{mean_miss} at {count}");
    }
}

/// Shards of a steady swarm of 12,000 to 60,000 torrents, and far beyond.
#[test]
fn look_ups_stay_short_in_a_steady_swarm_of_any_size() {
    for count in (1..=100).chain([250, 977, 2_500]) {
        let mut churned = Churned::filled(count);
        for _ in 0..8 {
            churned.churn(10_000);
            churned.assert_sound();
            churned.assert_short();
        }
    }
}

const TEN_MILLION: usize = 10_000_000;

/// The fewest and the most torrents for which all buckets once came to be
/// marked as overflown.
#[test]
fn look_ups_stay_short_after_ten_million_arrivals_in_small_shards() {
    for count in [12, 58] {
        let mut churned = Churned::filled(count);
        churned.churn(TEN_MILLION);
        churned.assert_sound();
        churned.assert_short();
    }
}

#[test]
fn look_ups_stay_short_after_ten_million_arrivals_in_large_shards() {
    // The last one before the table grows: as full as it can be.
    let mut churned = Churned::filled(1_000);
    while churned.hashes.len() < churned.index.buckets.len() * MAX_LOAD {
        churned.arrive();
    }
    churned.churn(TEN_MILLION);
    churned.assert_sound();
    churned.assert_short();
}

#[test]
fn tables_grow_and_shrink_again() {
    let mut churned = Churned::filled(0);
    for round in 0..6 {
        while churned.hashes.len() < 20_000 {
            churned.arrive();
        }
        churned.assert_sound();
        churned.assert_short();
        while churned.hashes.len() > round * 10 {
            churned.depart();
        }
        churned.assert_sound();
    }
    while !churned.hashes.is_empty() {
        churned.depart();
    }
    assert!(churned.index.buckets.is_empty());
}

/// Nobody can choose hashes that are alike, but if they are, every operation
/// comes to an end.
#[test]
fn hashes_that_are_alike_are_refused() {
    let hash_of = |_| 7 << 30;
    let mut index = SlotIndex::new();
    let mut count = 0;
    while index.insert(7 << 30, count, hash_of).is_ok() {
        count += 1;
    }
    assert!((ENTRIES..=ENTRIES * REACH).contains(&count), "{count}");
    for slot in 0..count {
        assert_eq!(index.find(7 << 30, |found| found == slot), Some(slot));
    }
    assert_eq!(index.find(7 << 30, |_| false), None);
    for slot in 0..count {
        index.remove(7 << 30, slot, hash_of);
        assert_eq!(index.find(7 << 30, |found| found == slot), None);
    }
    assert!(index.buckets.is_empty());
}
