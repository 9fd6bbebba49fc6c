//! Positions of the peers of a large torrent.
//!
//! A table that doubles when it is full would block its torrent for milliseconds at a
//! million peers. This index consists of small tables that are split and merged one at a
//! time (extendible hashing): no insertion moves more than [`MAX_TABLE_LEN`] entries, and
//! no removal more than [`JOINED_LEN`].

use hashbrown::HashTable;

use crate::hash_key::HashKey;

/// Maximum number of entries in a table: the capacity of hashbrown with 2,048 buckets.
const MAX_TABLE_LEN: usize = 1_792;

/// A table with fewer entries is merged with its buddy if possible, the table from which it
/// was split or which was split from it.
const MIN_TABLE_LEN: usize = MAX_TABLE_LEN / 8;

/// Maximum number of entries in two tables that are merged. It is so low that it takes long
/// until the result is split or merged again.
const JOINED_LEN: usize = 2 * MIN_TABLE_LEN;

/// Position of the lowest hash bit that selects a table: hashbrown uses the lowest and the
/// highest bits.
const DIRECTORY_SHIFT: u32 = 32;

/// Maximum number of bits that select a table, which limits the directory to 4 MiB. Tables
/// that would have to be split further grow instead.
const MAX_DEPTH: u32 = 20;

/// Maximum number of splits to make room for one entry. If they are not enough, the table
/// grows, and is split by a later insertion.
const MAX_SPLITS: usize = 2;

/// Maps the first `K` bytes of records to their positions.
pub(crate) struct PositionIndex<const S: usize, const K: usize> {
    /// The table for each value of the selecting bits; the length is a power of two.
    directory: Vec<u32>,
    tables: Vec<Table>,
    /// Number of tables of each depth.
    depths: [u32; MAX_DEPTH as usize + 1],
}

struct Table {
    positions: HashTable<u32>,
    /// Number of hash bits, from [`DIRECTORY_SHIFT`] on, that all entries have in common.
    depth: u32,
    /// The value of these bits, which is the first index of the table in the directory. Its
    /// other indices follow at intervals of two to the power of `depth`.
    first: u32,
}

impl<const S: usize, const K: usize> PositionIndex<S, K> {
    /// An index of all `records`.
    pub(crate) fn new(records: &[[u8; S]], key: &HashKey) -> Self {
        let mut index = Self {
            directory: vec![0],
            tables: vec![Table {
                positions: HashTable::new(),
                depth: 0,
                first: 0,
            }],
            depths: [0; MAX_DEPTH as usize + 1],
        };
        index.depths[0] = 1;
        for (position, record) in records.iter().enumerate() {
            index.insert(record, position, records, key);
        }
        index
    }

    /// Finds the position of the record with the key of `wanted`.
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

    /// The position of the first entry whose tag is that of `record`: nearly always the one that
    /// [`find`](Self::find) returns, if there is one.
    #[inline]
    pub(crate) fn candidate(&self, record: &[u8; S], key: &HashKey) -> Option<usize> {
        let hash = key.hash::<K>(record);
        let table = &self.tables[self.table_of(hash)];
        let found = table.positions.find(hash, |_| true);
        found.map(|&position| position as usize)
    }

    /// Inserts `record`, which is not in the index yet.
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
            let Table {
                positions, depth, ..
            } = &self.tables[number];
            if positions.len() < MAX_TABLE_LEN || *depth == MAX_DEPTH {
                break;
            }
            self.split(number, records, key);
            number = self.table_of(hash);
        }
        self.tables[number]
            .positions
            .insert_unique(hash, position as u32, |&other| {
                key.hash::<K>(&records[other as usize])
            });
    }

    /// Changes the position of `record` from `from` to `to`.
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

    /// Removes `record`, which is at `position`.
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
        if positions.len() < positions.capacity() / 4 {
            positions.shrink_to(positions.len() * 3 / 2, |&other| {
                key.hash::<K>(&records[other as usize])
            });
        }
        if positions.len() < MIN_TABLE_LEN {
            self.join(number, records, key);
        }
    }

    fn table_of(&self, hash: u64) -> usize {
        let mask = self.directory.len() - 1;
        self.directory[(hash >> DIRECTORY_SHIFT) as usize & mask] as usize
    }

    /// Splits a table by one more bit; half of its entries move to a new one.
    fn split(&mut self, number: usize, records: &[[u8; S]], key: &HashKey) {
        let Table { depth, first, .. } = self.tables[number];
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

        let [clear, set] = halves;
        self.tables[number] = Table {
            positions: clear,
            depth: depth + 1,
            first,
        };
        self.tables.push(Table {
            positions: set,
            depth: depth + 1,
            first: first | 1 << depth,
        });
        self.depths[depth as usize] -= 1;
        self.depths[depth as usize + 1] += 2;
        // The other directory entries of the table that was split do not change.
        self.enter(self.tables.len() - 1);
    }

    /// Merges a table with its buddy, if both have few entries and the buddy was not split
    /// further.
    fn join(&mut self, number: usize, records: &[[u8; S]], key: &HashKey) {
        let Table { depth, first, .. } = self.tables[number];
        if depth == 0 {
            return;
        }
        let bit = 1 << (depth - 1);
        let buddy = self.directory[(first ^ bit) as usize] as usize;
        let len = self.tables[number].positions.len() + self.tables[buddy].positions.len();
        if self.tables[buddy].depth != depth || len > JOINED_LEN {
            return;
        }

        let hash_of = |&position: &u32| key.hash::<K>(&records[position as usize]);
        let others = std::mem::take(&mut self.tables[buddy].positions);
        let table = &mut self.tables[number];
        table.positions.reserve(others.len(), hash_of);
        for position in others {
            let hash = hash_of(&position);
            table.positions.insert_unique(hash, position, hash_of);
        }
        table.depth = depth - 1;
        table.first = first & !bit;
        self.depths[depth as usize] -= 2;
        self.depths[depth as usize - 1] += 1;
        self.enter(number);

        // The last table, which may be this one, moves to the index of the removed one.
        self.tables.swap_remove(buddy);
        if buddy < self.tables.len() {
            self.enter(buddy);
        }
        if self.tables.len() < self.tables.capacity() / 4 {
            self.tables.shrink_to(self.tables.len() * 2);
        }
        // If no table uses the highest bit, both halves of the directory are equal.
        while self.depths[self.directory.len().ilog2() as usize] == 0 {
            self.directory.truncate(self.directory.len() / 2);
            self.directory.shrink_to_fit();
        }
    }

    /// Writes a table into its entries of the directory: those whose index ends with the
    /// bits that the table's entries have in common.
    fn enter(&mut self, number: usize) {
        let Table { depth, first, .. } = self.tables[number];
        let places = self.directory[first as usize..].iter_mut();
        for table in places.step_by(1 << depth) {
            *table = number as u32;
        }
    }
}

#[cfg(test)]
mod tests;
