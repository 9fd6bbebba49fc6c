//! The entries of a list: a sorted array with an index.
//!
//! An array of 20 bytes per entry is the smallest possible representation, and can be
//! sorted in place, so loading a list takes hardly more memory than the list itself. The
//! index contains the start of the entries with certain first bits: on average four to
//! eight entries, because info hashes are evenly distributed. If somebody has prepared info
//! hashes with the same first bits, a binary search limits the cost of a lookup.

use std::fmt;
use std::io::BufRead;

use aquatic_bittorrent::InfoHash;

use super::Entries;
use crate::lists::{self, ParseError};

/// Minimum average number of entries per element of the index; the average is less than
/// twice as much.
const MIN_PER_PLACE: usize = 4;

/// A set of info hashes.
#[derive(Default)]
pub struct InfoHashSet {
    /// Sorted and unique.
    entries: Vec<InfoHash>,
    /// Number of first bits of an info hash that are its position in the index.
    bits: u32,
    /// The index of the first entry for each value of these bits, followed by the number of
    /// entries. Empty if there are no entries.
    starts: Vec<u32>,
}

impl InfoHashSet {
    /// Parses the text of a list.
    ///
    /// # Errors
    ///
    /// At the first invalid line.
    pub fn parse(text: impl BufRead) -> Result<Self, ParseError> {
        let mut entries = Entries::default();
        lists::parse(text, None, &mut entries)?;
        Ok(entries.take())
    }

    /// Whether the info hash is in the set.
    #[inline]
    pub fn contains(&self, info_hash: &InfoHash) -> bool {
        let place = place(info_hash, self.bits);
        let Some([start, end]) = self.starts.get(place..place + 2).and_then(as_pair) else {
            return false;
        };
        self.entries[start as usize..end as usize]
            .binary_search(info_hash)
            .is_ok()
    }

    /// Number of info hashes in the set.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Memory use of the set in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<InfoHash>() + self.starts.capacity() * size_of::<u32>()
    }

    /// Those of this set that are not in the other one.
    pub(super) fn without(mut self, other: &Self) -> Self {
        self.entries.retain(|info_hash| !other.contains(info_hash));
        Self::of(self.entries)
    }

    /// These info hashes, in any order.
    pub(crate) fn of(mut entries: Vec<InfoHash>) -> Self {
        // Sorts in place, in contrast to the stable sort.
        entries.sort_unstable();
        entries.dedup();
        entries.shrink_to_fit();
        if entries.is_empty() {
            return Self::default();
        }
        let bits = (entries.len() / MIN_PER_PLACE).max(1).ilog2();
        let mut starts = Vec::with_capacity((1 << bits) + 1);
        for (index, info_hash) in entries.iter().enumerate() {
            let place = place(info_hash, bits);
            while starts.len() <= place {
                starts.push(index as u32);
            }
        }
        starts.resize((1 << bits) + 1, entries.len() as u32);
        Self {
            entries,
            bits,
            starts,
        }
    }
}

impl fmt::Debug for InfoHashSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InfoHashSet({} entries)", self.len())
    }
}

/// The first `bits` bits, at most 32, as a number.
#[inline]
fn place(info_hash: &InfoHash, bits: u32) -> usize {
    let [a, b, c, d, ..] = info_hash.0;
    (u64::from(u32::from_be_bytes([a, b, c, d])) >> (32 - bits)) as usize
}

fn as_pair(slice: &[u32]) -> Option<[u32; 2]> {
    slice.try_into().ok()
}
