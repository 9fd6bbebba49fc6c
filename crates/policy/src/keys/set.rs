//! The keys of a file: a sorted array of digests with an index.
//!
//! A look-up hashes the key that a client sent, in a time that depends only on its length,
//! and compares digests. Which digests are compared, and how many of their bits agree, says
//! nothing about any key to those who do not know the secret. So the time of a look-up does
//! not reveal how many characters of a guess are right.

use std::fmt;

use super::{Expiry, KeyDigest, KeyHasher, KeyLine, Label};

/// Maximum number of keys.
pub const MAX_KEYS: usize = 10_000_000;

/// Minimum average number of entries per element of the index; the average is less than
/// twice as much.
const MIN_PER_PLACE: usize = 4;

/// A set of keys: 27 bytes for each, of which at most one is of an index, and the text of its
/// label. Keys themselves are not kept.
#[derive(Default)]
pub struct KeySet {
    /// Sorted by digest, each of which is there once.
    entries: Vec<Entry>,
    /// Number of first bits of a digest that are its position in the index.
    bits: u32,
    /// The index of the first entry for each value of these bits, followed by the number of
    /// entries. Empty if there are no entries.
    starts: Vec<u32>,
    notes: Notes,
    labelled: usize,
}

/// A key of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Key<'a> {
    /// When it expires; `None` for never.
    pub expiry: Option<Expiry>,
    /// Whose it is; may be empty.
    pub label: &'a str,
}

#[derive(Clone, Copy)]
struct Entry {
    digest: KeyDigest,
    /// Seconds since 1970; the last possible one for never.
    expires: u32,
    /// The position of its note.
    note: u32,
}

/// A file has more than [`MAX_KEYS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyKeys;

/// A key is on two lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Duplicate {
    /// The first one, from 1.
    pub first: u64,
    /// The second one.
    pub second: u64,
}

/// Adds keys to a new set, in the order of their lines.
pub struct KeySetBuilder {
    hasher: KeyHasher,
    entries: Vec<Entry>,
    notes: Notes,
    labelled: usize,
    /// The line of the last key.
    line: u64,
}

impl KeySetBuilder {
    /// Begins a set of keys that are hashed by `hasher`.
    #[must_use]
    pub fn new(hasher: KeyHasher) -> Self {
        Self {
            hasher,
            entries: Vec::new(),
            notes: Notes::default(),
            labelled: 0,
            line: 0,
        }
    }

    /// Adds the key of a line, whose number is higher than those before.
    ///
    /// # Errors
    ///
    /// If there are too many keys.
    pub fn add(&mut self, number: u64, line: &KeyLine<'_>) -> Result<(), TooManyKeys> {
        if self.entries.len() == MAX_KEYS {
            return Err(TooManyKeys);
        }
        let distance = number.saturating_sub(self.line);
        let note = self.notes.add(distance, line.label).ok_or(TooManyKeys)?;
        self.line = number;
        self.labelled += usize::from(!line.label.as_str().is_empty());
        self.entries.push(Entry {
            digest: self.hasher.digest(&line.key),
            expires: line.expiry.map_or(u32::MAX, Expiry::epoch_seconds),
            note,
        });
        Ok(())
    }

    /// Completes the set.
    ///
    /// # Errors
    ///
    /// If a key was added twice.
    pub fn finish(self) -> Result<KeySet, Duplicate> {
        let Self {
            mut entries,
            mut notes,
            labelled,
            ..
        } = self;
        // Sorts in place, in contrast to the stable sort.
        entries.sort_unstable_by_key(|entry| (entry.digest, entry.note));
        let twice = entries
            .windows(2)
            .filter(|pair| pair[0].digest == pair[1].digest);
        // The duplicate that is reported is the first in the file.
        if let Some(pair) = twice.min_by_key(|pair| pair[1].note) {
            return Err(Duplicate {
                first: notes.line(pair[0].note),
                second: notes.line(pair[1].note),
            });
        }
        entries.shrink_to_fit();
        notes.0.shrink_to_fit();
        let bits = (entries.len() / MIN_PER_PLACE).max(1).ilog2();
        let mut starts = Vec::new();
        if !entries.is_empty() {
            starts.reserve_exact((1 << bits) + 1);
            for (index, entry) in entries.iter().enumerate() {
                let place = entry.digest.first_bits(bits);
                while starts.len() <= place {
                    starts.push(index as u32);
                }
            }
            starts.resize((1 << bits) + 1, entries.len() as u32);
        }
        Ok(KeySet {
            entries,
            bits,
            starts,
            notes,
            labelled,
        })
    }
}

impl KeySet {
    /// The key with this digest.
    #[must_use]
    pub fn find(&self, digest: KeyDigest) -> Option<Key<'_>> {
        if self.entries.is_empty() {
            return None;
        }
        let place = digest.first_bits(self.bits);
        let (start, end) = (self.starts[place] as usize, self.starts[place + 1] as usize);
        let entries = &self.entries[start..end];
        let found = entries
            .binary_search_by_key(&digest, |entry| entry.digest)
            .ok()?;
        let Entry { expires, note, .. } = entries[found];
        Some(Key {
            expiry: (expires != u32::MAX).then_some(Expiry::at(expires)),
            label: self.notes.label(note),
        })
    }

    /// Number of keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Number of keys with a label.
    #[must_use]
    pub fn labelled(&self) -> usize {
        self.labelled
    }

    /// Number of keys that have expired at this second since 1970.
    #[must_use]
    pub fn expired(&self, epoch_seconds: u32) -> usize {
        let is_expired =
            |entry: &&Entry| entry.expires <= epoch_seconds && entry.expires != u32::MAX;
        self.entries.iter().filter(is_expired).count()
    }

    /// Memory use in bytes.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Entry>()
            + self.starts.capacity() * size_of::<u32>()
            + self.notes.0.capacity()
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeySet({} keys)", self.len())
    }
}

/// What is rarely needed of each key, in the order of the lines: how many lines after the
/// previous key it is, in groups of seven bits, lowest first, all but the last with the
/// eighth bit set; the length of its label; and its label.
#[derive(Default)]
struct Notes(Vec<u8>);

impl Notes {
    /// `None` if positions do not fit.
    fn add(&mut self, mut distance: u64, label: Label<'_>) -> Option<u32> {
        let position = u32::try_from(self.0.len()).ok()?;
        while distance >= 0x80 {
            self.0.push(distance as u8 | 0x80);
            distance >>= 7;
        }
        let label = label.as_str().as_bytes();
        // A label has at most `MAX_LABEL_BYTES`.
        self.0.extend([distance as u8, label.len() as u8]);
        self.0.extend_from_slice(label);
        Some(position)
    }

    fn label(&self, position: u32) -> &str {
        let (_, label, _) = self.read(position as usize);
        // Only whole labels are stored.
        str::from_utf8(label).unwrap_or_default()
    }

    /// The number of the line with this note.
    fn line(&self, position: u32) -> u64 {
        let mut at = 0;
        let mut line = 0;
        while at <= position as usize && at < self.0.len() {
            let (distance, _, next) = self.read(at);
            line += distance;
            at = next;
        }
        line
    }

    /// The distance and the label of the note at this position, and where the next one is.
    fn read(&self, position: usize) -> (u64, &[u8], usize) {
        let mut distance = 0;
        let mut at = position;
        let mut shift = 0;
        while self.0[at] >= 0x80 {
            distance |= u64::from(self.0[at] & 0x7f) << shift;
            shift += 7;
            at += 1;
        }
        distance |= u64::from(self.0[at]) << shift;
        let start = at + 2;
        let end = start + usize::from(self.0[at + 1]);
        (distance, &self.0[start..end], end)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::keys::KeyText;

    const HASHER: KeyHasher = KeyHasher::new([7; 16]);

    fn key(number: u64) -> KeyText {
        KeyText::new(format!("{:032x}", number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).as_bytes())
            .unwrap()
    }

    fn find(set: &KeySet, number: u64) -> Option<(Option<u32>, String)> {
        let found = set.find(HASHER.digest(&key(number)))?;
        Some((
            found.expiry.map(Expiry::epoch_seconds),
            found.label.to_owned(),
        ))
    }

    #[test]
    fn agrees_with_a_plain_map() {
        let mut random = fastrand::Rng::with_seed(1);
        for count in [0, 1, 2, 7, 8, 9, 100, 5_000] {
            let mut plain = BTreeMap::new();
            let mut builder = KeySetBuilder::new(HASHER);
            let mut line = 0;
            for number in 0..count {
                line += random.u64(1..400);
                let expires = random.bool().then(|| random.u32(..u32::MAX));
                let label = "é".repeat(random.usize(0..=32));
                let added = KeyLine {
                    key: key(number),
                    expiry: expires.map(Expiry::at),
                    label: Label::new(&label).unwrap(),
                };
                builder.add(line, &added).unwrap();
                plain.insert(number, (expires, label));
            }
            let set = builder.finish().unwrap();
            assert_eq!(set.len(), plain.len());
            for number in 0..2 * count + 10 {
                assert_eq!(find(&set, number), plain.get(&number).cloned(), "{number}");
            }
            let now = u32::MAX / 2;
            let expired = plain
                .values()
                .filter(|it| it.0.is_some_and(|at| at <= now))
                .count();
            assert_eq!(set.expired(now), expired);
            assert_eq!(
                set.labelled(),
                plain.values().filter(|it| !it.1.is_empty()).count()
            );
            let labels: usize = plain.values().map(|it| it.1.len() + 3).sum();
            let most = 25 * plain.len() + labels + 16;
            assert!(
                set.memory_bytes() <= most,
                "{} of {most}",
                set.memory_bytes()
            );
        }
    }

    #[test]
    fn duplicates_are_found_with_their_lines() {
        for (first, second) in [(1, 2), (3, 200), (100, 40_000), (16_383, 16_384)] {
            let mut builder = KeySetBuilder::new(HASHER);
            for line in 1..=50_000 {
                // The last line repeats the key once more, which is not reported.
                let is_same = line == first || line == second || line == 50_000;
                let label = if line % 3 == 0 { "somebody" } else { "" };
                let added = KeyLine {
                    key: key(if is_same { 0 } else { line }),
                    expiry: None,
                    label: Label::new(label).unwrap(),
                };
                // Lines with comments are not added.
                if is_same || line % 5 != 0 {
                    builder.add(line, &added).unwrap();
                }
            }
            assert_eq!(builder.finish().unwrap_err(), Duplicate { first, second });
        }
    }

    #[test]
    fn a_digest_depends_on_the_secret_and_on_the_key() {
        let other = KeyHasher::new([8; 16]);
        assert_ne!(HASHER.digest(&key(1)), other.digest(&key(1)));
        assert_ne!(HASHER.digest(&key(1)), HASHER.digest(&key(2)));
        assert_eq!(
            format!("{HASHER:?} {:?}", HASHER.digest(&key(1))),
            "KeyHasher KeyDigest"
        );
    }
}
