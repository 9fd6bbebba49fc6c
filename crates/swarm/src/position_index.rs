//! Where the peers of a large torrent stand.
//!
//! A table that doubles when it is full would stop its torrent for
//! milliseconds at a million peers. This one is cut into small tables that
//! split one at a time (extendible hashing): no insertion ever moves more than
//! [`MAX_TABLE_LEN`] entries.

use hashbrown::HashTable;

use crate::hash_key::HashKey;

/// The most entries of one table: what hashbrown holds in 2,048 buckets.
const MAX_TABLE_LEN: usize = 1_792;

/// The hash bits that choose a table start here: hashbrown takes the lowest
/// and the highest ones.
const DIRECTORY_SHIFT: u32 = 32;

/// The most bits that choose a table, which bounds the directory to 4 MiB.
/// Tables that would have to be split further grow instead.
const MAX_DEPTH: u32 = 20;

/// How often a table is split to make room for one entry. If that does not do,
/// it grows, and is split by a later one.
const MAX_SPLITS: usize = 2;

/// Positions of records, found by the records' first `K` bytes.
pub(crate) struct PositionIndex<const S: usize, const K: usize> {
    /// Which table a hash belongs to; the length is a power of two.
    directory: Vec<u32>,
    tables: Vec<Table>,
}

struct Table {
    positions: HashTable<u32>,
    /// How many bits of the hash all entries have in common.
    depth: u32,
}

impl<const S: usize, const K: usize> PositionIndex<S, K> {
    /// An index of all `records`.
    pub(crate) fn new(records: &[[u8; S]], key: &HashKey) -> Self {
        let mut index = Self {
            directory: vec![0],
            tables: vec![Table {
                positions: HashTable::new(),
                depth: 0,
            }],
        };
        for (position, record) in records.iter().enumerate() {
            index.insert(record, position, records, key);
        }
        index
    }

    /// The position of the record with the key of `wanted`.
    pub(crate) fn find(
        &self,
        wanted: &[u8; S],
        records: &[[u8; S]],
        key: &HashKey,
    ) -> Option<usize> {
        let hash = key.hash::<K>(wanted);
        let table = &self.tables[self.table_of(hash)];
        table
            .positions
            .find(hash, |&position| {
                records[position as usize][..K] == wanted[..K]
            })
            .map(|&position| position as usize)
    }

    /// Adds `record`, which is not in the index yet.
    pub(crate) fn insert(
        &mut self,
        record: &[u8; S],
        position: usize,
        records: &[[u8; S]],
        key: &HashKey,
    ) {
        let hash = key.hash::<K>(record);
        let mut number = self.table_of(hash);
        for _ in 0..MAX_SPLITS {
            let Table { positions, depth } = &self.tables[number];
            if positions.len() < MAX_TABLE_LEN || *depth == MAX_DEPTH {
                break;
            }
            self.split(number, hash, records, key);
            number = self.table_of(hash);
        }
        self.tables[number]
            .positions
            .insert_unique(hash, position as u32, |&other| {
                key.hash::<K>(&records[other as usize])
            });
    }

    /// Notes that `record` has moved.
    pub(crate) fn set(&mut self, record: &[u8; S], from: usize, to: usize, key: &HashKey) {
        let hash = key.hash::<K>(record);
        let number = self.table_of(hash);
        let found = self.tables[number]
            .positions
            .find_mut(hash, |&position| position as usize == from);
        if let Some(position) = found {
            *position = to as u32;
        }
    }

    /// Removes `record`, which stands at `position`.
    pub(crate) fn remove(
        &mut self,
        record: &[u8; S],
        position: usize,
        records: &[[u8; S]],
        key: &HashKey,
    ) {
        let hash = key.hash::<K>(record);
        let number = self.table_of(hash);
        let positions = &mut self.tables[number].positions;
        let found = positions.find_entry(hash, |&other| other as usize == position);
        if let Ok(entry) = found {
            entry.remove();
        }
        if positions.len() < positions.capacity() / 8 {
            positions.shrink_to(positions.len() * 2, |&other| {
                key.hash::<K>(&records[other as usize])
            });
        }
    }

    fn table_of(&self, hash: u64) -> usize {
        let mask = self.directory.len() - 1;
        self.directory[(hash >> DIRECTORY_SHIFT) as usize & mask] as usize
    }

    /// Moves half of the entries of a table, by one more bit, to a new one. It
    /// is the table of `hash`.
    fn split(&mut self, number: usize, hash: u64, records: &[[u8; S]], key: &HashKey) {
        let depth = self.tables[number].depth;
        let bit = 1u64 << (DIRECTORY_SHIFT + depth);
        if 1usize << depth == self.directory.len() {
            self.directory.extend_from_within(..);
        }

        let hash_of = |&position: &u32| key.hash::<K>(&records[position as usize]);
        let old = std::mem::take(&mut self.tables[number].positions);
        let mut halves = [0, 1].map(|_| HashTable::with_capacity(old.len() / 2));
        for position in old {
            let hash = hash_of(&position);
            halves[usize::from(hash & bit != 0)].insert_unique(hash, position, hash_of);
        }

        let new_number = self.tables.len() as u32;
        let [clear, set] = halves;
        self.tables[number] = Table {
            positions: clear,
            depth: depth + 1,
        };
        self.tables.push(Table {
            positions: set,
            depth: depth + 1,
        });
        // Its places in the directory have the bits in common that its entries
        // have; those that have the new bit, too, become the new one's.
        let common = (hash >> DIRECTORY_SHIFT) as usize & ((1 << depth) - 1);
        let places = self.directory[common | 1 << depth..].iter_mut();
        for table in places.step_by(2 << depth) {
            *table = new_number;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Index = PositionIndex<8, 8>;

    fn record(number: usize) -> [u8; 8] {
        number.to_le_bytes()
    }

    /// The tables and the directory agree, and every record is found.
    fn assert_sound(index: &Index, records: &[[u8; 8]], key: &HashKey) {
        let count: usize = index.tables.iter().map(|t| t.positions.len()).sum();
        assert_eq!(count, records.len());
        for (position, record) in records.iter().enumerate() {
            assert_eq!(index.find(record, records, key), Some(position));
        }
        let mut places = vec![0; index.tables.len()];
        for &table in &index.directory {
            places[table as usize] += 1;
        }
        for (table, places) in index.tables.iter().zip(places) {
            assert_eq!(places << table.depth, index.directory.len());
        }
    }

    #[test]
    fn long_churn_leaves_tables_as_they_were() {
        let key = HashKey::new([4; 16]);
        let mut random = fastrand::Rng::with_seed(5);
        // In a single table, the last before it is split, and in many.
        for count in [100, MAX_TABLE_LEN, 9 * MAX_TABLE_LEN, 30_000] {
            let mut records: Vec<[u8; 8]> = (0..count).map(record).collect();
            let mut index = Index::new(&records, &key);
            let tables = index.tables.len();
            for arriving in count..count + 1_000_000 {
                // As a torrent does: the last one fills the gap, a new one comes.
                let position = random.usize(0..count);
                let gone = records[position];
                index.remove(&gone, position, &records, &key);
                if position != count - 1 {
                    index.set(&records[count - 1], count - 1, position, &key);
                }
                records.swap_remove(position);
                index.insert(&record(arriving), count - 1, &records, &key);
                records.push(record(arriving));
            }
            assert_sound(&index, &records, &key);
            let new = index.tables.len();
            assert!(new <= tables * 2, "{tables} tables became {new}");
            for table in &index.tables {
                assert!(table.positions.len() <= MAX_TABLE_LEN);
                // hashbrown doubles a table that removals have left marks in.
                let capacity = table.positions.capacity();
                assert!(capacity <= 2 * MAX_TABLE_LEN, "{capacity}");
            }
        }
    }

    #[test]
    fn finds_everything_through_growth_moves_and_removal() {
        let key = HashKey::new([3; 16]);
        let count = 20_000;
        let mut records: Vec<[u8; 8]> = Vec::new();
        let mut index = Index::new(&records, &key);
        for number in 0..count {
            index.insert(&record(number), number, &records, &key);
            records.push(record(number));
        }
        assert!(index.tables.len() > 8);
        assert!(
            index
                .tables
                .iter()
                .all(|t| t.positions.len() <= MAX_TABLE_LEN)
        );
        assert_sound(&index, &records, &key);
        assert_eq!(index.find(&record(count), &records, &key), None);

        // Remove every record but the first hundred, as swap_remove does.
        while records.len() > 100 {
            let position = records.len() / 2 % 99 + 1;
            let gone = records[position];
            index.remove(&gone, position, &records, &key);
            let last = records.len() - 1;
            if position != last {
                index.set(&records[last], last, position, &key);
            }
            records.swap_remove(position);
            assert_eq!(index.find(&gone, &records, &key), None);
        }
        for (position, record) in records.iter().enumerate() {
            assert_eq!(index.find(record, &records, &key), Some(position));
        }
        let capacity: usize = index.tables.iter().map(|t| t.positions.capacity()).sum();
        assert!(
            capacity < 2_000,
            "tables keep {capacity} places for 100 entries"
        );
    }
}
