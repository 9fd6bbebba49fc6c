//! The entries of a list: a sorted array with an index.
//!
//! An array of 20 bytes per entry is the smallest possible representation, and can be
//! sorted in place, so loading a list takes hardly more memory than the list itself. The
//! index contains the start of the entries with certain first bits: on average four to
//! eight entries, because info hashes are evenly distributed. If somebody has prepared info
//! hashes with the same first bits, a binary search limits the cost of a lookup.

use std::fmt;
use std::io::{BufRead, Read as _};
use std::time::Instant;

use aquatic_bittorrent::InfoHash;

use super::{MAX_ENTRIES, MAX_LINE_BYTES, ParseError};

/// Minimum length of an entry in a file: its digits and the line end.
const MIN_ENTRY_BYTES: u64 = 41;

/// Number of lines between two checks of the deadline.
const LINES_PER_CLOCK_READ: u64 = 4096;

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
        Self::parse_sized(text, 0, None)
    }

    /// Like [`parse`](Self::parse), with the expected length of the text, and a deadline.
    pub(super) fn parse_sized(
        mut text: impl BufRead,
        bytes: u64,
        deadline: Option<Instant>,
    ) -> Result<Self, ParseError> {
        // Capacity that is not used in the end takes no memory, because the system only
        // allocates pages when they are first written to.
        let most = usize::try_from(bytes / MIN_ENTRY_BYTES + 1).unwrap_or(MAX_ENTRIES);
        let mut entries = Vec::with_capacity(most.min(MAX_ENTRIES));
        let mut buffer = Vec::new();
        let mut line = 0;
        loop {
            if line % LINES_PER_CLOCK_READ == 0
                && deadline.is_some_and(|deadline| Instant::now() >= deadline)
            {
                return Err(ParseError::TooSlow { line });
            }
            line += 1;
            buffer.clear();
            let read = (&mut text)
                .take(MAX_LINE_BYTES as u64 + 1)
                .read_until(b'\n', &mut buffer)
                .map_err(ParseError::Read)?;
            if read == 0 {
                return Ok(Self::of(entries));
            }
            if read > MAX_LINE_BYTES {
                return Err(ParseError::LongLine { line });
            }
            let entry = entry(&buffer, line == 1);
            if entry.is_empty() {
                continue;
            }
            if entries.len() == MAX_ENTRIES {
                return Err(ParseError::TooMany { line });
            }
            // Invalid UTF-8 becomes characters that are not digits.
            let info_hash = String::from_utf8_lossy(entry)
                .parse()
                .map_err(|error| ParseError::Line { line, error })?;
            entries.push(info_hash);
        }
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
    #[cfg(test)]
    pub(super) fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<InfoHash>() + self.starts.capacity() * size_of::<u32>()
    }

    fn of(mut entries: Vec<InfoHash>) -> Self {
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

/// The part of a line that must be an info hash.
fn entry(line: &[u8], is_first: bool) -> &[u8] {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

    let line = match line.strip_prefix(BYTE_ORDER_MARK) {
        Some(rest) if is_first => rest,
        _ => line,
    };
    let line = line.split(|&byte| byte == b'#').next().unwrap_or_default();
    line.trim_ascii()
}
