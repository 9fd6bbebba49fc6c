//! The peers of a reply.

use std::ops::Range;

/// Maximum number of slices of a selection.
const MAX_SLICES: usize = 6;

/// Peers to copy into a reply: at most six runs of
/// records, borrowed from the torrent.
///
/// Seeders are stored before leechers, so the peers of one role without the announcing
/// peer are at most two runs. A window over them with a random start, which wraps around,
/// is at most three.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a, const S: usize> {
    slices: [&'a [[u8; S]]; MAX_SLICES],
    used: usize,
}

impl<'a, const S: usize> Selection<'a, S> {
    /// No peers.
    pub const EMPTY: Self = Self {
        slices: [&[]; MAX_SLICES],
        used: 0,
    };

    /// The slices, none of them empty.
    pub fn slices(&self) -> &[&'a [[u8; S]]] {
        &self.slices[..self.used]
    }

    /// The number of peers.
    pub fn len(&self) -> usize {
        self.slices().iter().map(|slice| slice.len()).sum()
    }

    /// Whether there are no peers.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// Chooses up to `wanted` of the peers in `records`, of which the first
    /// `seeders` are seeders, for the peer at `own` if it is among them.
    /// Seeders are not sent other seeders.
    pub(crate) fn choose(
        records: &'a [[u8; S]],
        seeders: usize,
        own: usize,
        is_seeder: bool,
        wanted: usize,
        random: &mut fastrand::Rng,
    ) -> Self {
        let mut selection = Self::EMPTY;
        let leecher_region = Region::new(seeders..records.len(), own);
        if is_seeder {
            selection.take(records, &leecher_region, wanted, random);
            return selection;
        }

        let seeder_region = Region::new(0..seeders, own);
        let all = seeder_region.len() + leecher_region.len();
        let from_seeders = if wanted >= all {
            seeder_region.len()
        } else {
            // In proportion to the regions, and rounded at random: every peer is equally
            // likely, and both regions have enough peers.
            (wanted * seeder_region.len() + random.usize(0..all)) / all
        };
        selection.take(records, &seeder_region, from_seeders, random);
        selection.take(records, &leecher_region, wanted - from_seeders, random);
        selection
    }

    /// Adds up to `wanted` adjacent peers of `region`, from a random start.
    fn take(
        &mut self,
        records: &'a [[u8; S]],
        region: &Region,
        wanted: usize,
        random: &mut fastrand::Rng,
    ) {
        let len = region.len();
        if wanted >= len {
            self.push(records, region, 0..len);
        } else if wanted > 0 {
            let start = random.usize(0..len);
            let end = start + wanted;
            self.push(records, region, start..end.min(len));
            self.push(records, region, 0..end.saturating_sub(len));
        }
    }

    /// Adds the peers of `region` with the indices in `range`.
    fn push(&mut self, records: &'a [[u8; S]], region: &Region, range: Range<usize>) {
        let split = region.before.len();
        let before = range.start.min(split)..range.end.min(split);
        let after = range.start.max(split) - split..range.end.max(split) - split;
        for (part, range) in [(&region.before, before), (&region.after, after)] {
            let slice = &records[part.start + range.start..part.start + range.end];
            if !slice.is_empty() {
                self.slices[self.used] = slice;
                self.used += 1;
            }
        }
    }
}

/// The peers of one role, without the announcing one.
struct Region {
    before: Range<usize>,
    after: Range<usize>,
}

impl Region {
    fn new(range: Range<usize>, own: usize) -> Self {
        if range.contains(&own) {
            Self {
                before: range.start..own,
                after: own + 1..range.end,
            }
        } else {
            Self {
                after: range.end..range.end,
                before: range,
            }
        }
    }

    fn len(&self) -> usize {
        self.before.len() + self.after.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(count: u8) -> Vec<[u8; 1]> {
        (0..count).map(|number| [number]).collect()
    }

    fn chosen(selection: &Selection<'_, 1>) -> Vec<u8> {
        let all: Vec<u8> = selection
            .slices()
            .iter()
            .flat_map(|s| s.as_flattened().to_vec())
            .collect();
        assert_eq!(selection.len(), all.len());
        assert_eq!(selection.is_empty(), all.is_empty());
        let mut unique = all.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), all.len(), "a peer was chosen twice: {all:?}");
        all
    }

    #[test]
    fn every_size_place_and_wish() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in 1..12u8 {
            let records = records(count);
            let count = usize::from(count);
            for seeders in 0..=count {
                for own in 0..count {
                    for wanted in 0..count + 2 {
                        let is_seeder = own < seeders;
                        let selection = Selection::choose(
                            &records,
                            seeders,
                            own,
                            is_seeder,
                            wanted,
                            &mut random,
                        );
                        let chosen = chosen(&selection);
                        let possible = if is_seeder {
                            count - seeders
                        } else {
                            count - 1
                        };
                        assert_eq!(chosen.len(), wanted.min(possible));
                        assert!(!chosen.contains(&(own as u8)));
                        assert!(!is_seeder || chosen.iter().all(|&c| usize::from(c) >= seeders));
                    }
                }
            }
        }
    }

    #[test]
    fn every_peer_is_as_likely_as_every_other() {
        let mut random = fastrand::Rng::with_seed(2);
        let records = records(20);
        let mut times = [0u32; 20];
        for _ in 0..19_000 {
            for record in chosen(&Selection::choose(&records, 5, 11, false, 3, &mut random)) {
                times[usize::from(record)] += 1;
            }
        }
        // 19 others, 3 places: the expectation is 3,000.
        for (record, &times) in times.iter().enumerate() {
            let expected = if record == 11 { 0..1 } else { 2_800..3_200 };
            assert!(expected.contains(&times), "peer {record}: {times}");
        }
    }
}
