//! Where the peers of a large torrent stand.
//!
//! A table that doubles when it is full would stop its torrent for
//! milliseconds at a million peers. This one is cut into small tables that
//! split, and join again, one at a time (extendible hashing): no insertion ever moves
//! more than [`MAX_TABLE_LEN`] entries, and no removal more than [`JOINED_LEN`].

use hashbrown::HashTable;

use crate::hash_key::HashKey;

/// The most entries of one table: what hashbrown holds in 2,048 buckets.
const MAX_TABLE_LEN: usize = 1_792;

/// A table with fewer entries looks whether it can join its buddy, from which it was
/// split or which was split from it.
const MIN_TABLE_LEN: usize = MAX_TABLE_LEN / 8;

/// The most entries of two that join: so few that it takes long until they are split
/// again, or join another.
const JOINED_LEN: usize = 2 * MIN_TABLE_LEN;

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
    /// How many tables there are of each depth.
    depths: [u32; MAX_DEPTH as usize + 1],
}

struct Table {
    positions: HashTable<u32>,
    /// How many bits of the hash all entries have in common, from
    /// [`DIRECTORY_SHIFT`] on.
    depth: u32,
    /// These bits: its first place in the directory. The others follow in steps of
    /// two to the power of `depth`.
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
        if positions.len() < MIN_TABLE_LEN {
            self.join(number, records, key);
        }
    }

    fn table_of(&self, hash: u64) -> usize {
        let mask = self.directory.len() - 1;
        self.directory[(hash >> DIRECTORY_SHIFT) as usize & mask] as usize
    }

    /// Moves half of the entries of a table, by one more bit, to a new one.
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
        // The other places of the one that was split stay its own.
        self.enter(self.tables.len() - 1);
    }

    /// Has a table take the entries of its buddy, if there are few in both and the
    /// buddy was not split further.
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

        // The last table takes the place of the one that has gone, and may be this one.
        self.tables.swap_remove(buddy);
        if buddy < self.tables.len() {
            self.enter(buddy);
        }
        if self.tables.len() < self.tables.capacity() / 4 {
            self.tables.shrink_to(self.tables.len() * 2);
        }
        // If no table needs the highest bit, both halves of the directory are alike.
        while self.depths[self.directory.len().ilog2() as usize] == 0 {
            self.directory.truncate(self.directory.len() / 2);
            self.directory.shrink_to_fit();
        }
    }

    /// Writes a table into its places in the directory: those that have the bits in
    /// common which its entries have.
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
