//! The peers of one torrent, in wire form.
//!
//! Records are stored in one contiguous array, seeders before leechers, so that a reply
//! copies a few slices and a peer's role takes no bit. Marks, which say when peers expire,
//! are stored in a second array, in the same order. There are three representations of
//! these arrays, for three sizes; the operations are implemented once for all of them.

mod indexed;
mod many;

use std::hint::black_box;

use crate::deadline::{Epoch, Mark, Term};
use crate::hash_key::HashKey;
pub(crate) use indexed::Indexed;
use many::Many;

/// Maximum number of peers that are searched linearly, and counted in a byte.
const MAX_UNINDEXED: usize = u8::MAX as usize;

/// A torrent that has shrunk to this number of peers drops its index.
const MIN_INDEXED: usize = MAX_UNINDEXED / 4 * 3;

/// Peers of `S` bytes of which the first `K` are the key; `N` are stored in place.
pub(crate) enum Peers<const S: usize, const K: usize, const N: usize> {
    Few(Few<S, N>),
    Many(Many<S>),
    Indexed(Box<Indexed<S, K>>),
}

/// Up to `N` peers, without an allocation.
#[derive(Clone, Copy)]
// Counts are at the end, as in `Many`: next to the info hash, mostly in the same cache line.
#[repr(C)]
pub(crate) struct Few<const S: usize, const N: usize> {
    records: [[u8; S]; N],
    marks: [Mark; N],
    epoch: Epoch,
    len: u8,
    seeders: u8,
}

/// Read access to the peers.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, const S: usize> {
    pub(crate) records: &'a [[u8; S]],
    /// Number of seeders, which are the first records.
    pub(crate) seeders: usize,
}

/// Peers with a common epoch, to be converted to another representation.
#[derive(Clone, Copy)]
struct Run<'a, const S: usize> {
    records: &'a [[u8; S]],
    marks: &'a [Mark],
    seeders: usize,
    epoch: Epoch,
}

impl<const S: usize, const K: usize, const N: usize> Peers<S, K, N> {
    pub(crate) const EMPTY: Self = Self::Few(Few {
        len: 0,
        seeders: 0,
        epoch: Epoch::START,
        records: [[0; S]; N],
        marks: [[0; 2]; N],
    });

    #[inline]
    pub(crate) fn view(&self) -> View<'_, S> {
        match self {
            Self::Few(few) => View {
                records: &few.records[..usize::from(few.len)],
                seeders: usize::from(few.seeders),
            },
            Self::Many(many) => many.view(),
            Self::Indexed(indexed) => indexed.view(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.view().records.len()
    }

    /// Finds the position of the peer with the key of `record`.
    #[inline]
    pub(crate) fn find(&self, record: &[u8; S], key: &HashKey) -> Option<usize> {
        if let Self::Indexed(indexed) = self {
            return indexed.find(record, key);
        }
        let records = self.view().records;
        records.iter().position(|other| other[..K] == record[..K])
    }

    /// Does the same as [`find`](Self::find), which is needed only if the peer is not at
    /// `candidate`.
    #[inline]
    pub(crate) fn find_after(
        &self,
        candidate: Option<usize>,
        record: &[u8; S],
        key: &HashKey,
    ) -> Option<usize> {
        if let Some(position) = candidate
            && let Some(other) = self.view().records.get(position)
            && other[..K] == record[..K]
        {
            return candidate;
        }
        self.find(record, key)
    }

    /// Reads what is not next to the counts, so that the processor has it in its caches.
    #[inline]
    pub(crate) fn look_at(&self) {
        match self {
            Self::Few(few) => black_box(few.records[0][0]),
            Self::Many(many) => black_box(many.view().records[0][0]),
            Self::Indexed(indexed) => black_box(indexed.view().seeders as u8),
        };
    }

    /// The peers if there are so many that they have an index.
    #[inline]
    pub(crate) fn indexed(&self) -> Option<&Indexed<S, K>> {
        match self {
            Self::Indexed(indexed) => Some(indexed),
            _ => None,
        }
    }

    /// The expiry time of the peer at `position`, and whether it has been a seeder.
    #[inline]
    pub(crate) fn term(&self, position: usize) -> Term {
        match self {
            Self::Few(few) => few.epoch.term(few.marks[position]),
            Self::Many(many) => many.epoch.term(many.marks()[position]),
            Self::Indexed(indexed) => indexed.term(position),
        }
    }

    /// Replaces the record at `position` by one with the same key.
    #[inline]
    pub(crate) fn refresh(&mut self, position: usize, record: [u8; S], term: Term) {
        let (records, _) = self.runs();
        records[position] = record;
        self.set_term(position, term);
    }

    /// Inserts a peer whose key is not contained yet; returns its position.
    pub(crate) fn insert(
        &mut self,
        record: [u8; S],
        is_seeder: bool,
        term: Term,
        key: &HashKey,
    ) -> usize {
        self.make_room(key);
        let len = self.len();
        let seeders = self.view().seeders;
        if let Self::Indexed(indexed) = self {
            indexed.index_new(&record, key);
        }
        self.push(record, term);
        if is_seeder {
            self.exchange(seeders, len, key);
            self.set_seeders(seeders + 1);
            seeders
        } else {
            len
        }
    }

    /// Removes the peer at `position`.
    pub(crate) fn remove(&mut self, position: usize, key: &HashKey) {
        let View {
            records, seeders, ..
        } = self.view();
        let last = records.len() - 1;
        if position < seeders {
            // The last seeder moves into the gap, and the last leecher to where that seeder
            // was.
            self.exchange(position, seeders - 1, key);
            self.exchange(seeders - 1, last, key);
            self.set_seeders(seeders - 1);
        } else {
            self.exchange(position, last, key);
        }
        self.pop(key);
    }

    /// Makes the peer at `position` a seeder or a leecher; returns its new position.
    pub(crate) fn set_role(&mut self, position: usize, is_seeder: bool, key: &HashKey) -> usize {
        let seeders = self.view().seeders;
        match (position < seeders, is_seeder) {
            (false, true) => {
                self.exchange(position, seeders, key);
                self.set_seeders(seeders + 1);
                seeders
            }
            (true, false) => {
                self.exchange(position, seeders - 1, key);
                self.set_seeders(seeders - 1);
                seeders - 1
            }
            _ => position,
        }
    }

    /// Swaps two peers.
    fn exchange(&mut self, left: usize, right: usize, key: &HashKey) {
        if left == right {
            return;
        }
        let (records, marks) = self.runs();
        records.swap(left, right);
        marks.swap(left, right);
        if let Self::Indexed(indexed) = self {
            indexed.exchanged(left, right, key);
        }
    }

    #[inline]
    fn set_term(&mut self, position: usize, term: Term) {
        match self {
            Self::Few(few) => few.marks[position] = few.epoch.mark(term, &mut few.marks),
            Self::Many(many) => many.set_term(position, term),
            Self::Indexed(indexed) => indexed.set_term(position, term),
        }
    }

    fn runs(&mut self) -> (&mut [[u8; S]], &mut [Mark]) {
        match self {
            Self::Few(few) => {
                let len = usize::from(few.len);
                (&mut few.records[..len], &mut few.marks[..len])
            }
            Self::Many(many) => many.runs(),
            Self::Indexed(indexed) => indexed.runs(),
        }
    }

    fn set_seeders(&mut self, seeders: usize) {
        match self {
            // A torrent has far fewer than 2^32 peers.
            Self::Few(few) => few.seeders = seeders as u8,
            Self::Many(many) => many.seeders = seeders as u8,
            Self::Indexed(indexed) => indexed.seeders = seeders as u32,
        }
    }

    /// Appends a peer to the arrays, which have room for it.
    fn push(&mut self, record: [u8; S], term: Term) {
        match self {
            Self::Few(few) => {
                let position = usize::from(few.len);
                few.records[position] = record;
                few.marks[position] = few.epoch.mark(term, &mut few.marks);
                few.len += 1;
            }
            Self::Many(many) => many.push(record, term),
            Self::Indexed(indexed) => indexed.push(record, term),
        }
    }

    /// Removes the last peer, and frees memory that is no longer needed.
    fn pop(&mut self, key: &HashKey) {
        match self {
            Self::Few(few) => few.len -= 1,
            Self::Many(many) => {
                many.pop();
                if many.len() <= N / 2 {
                    *self = Self::few(many.run());
                }
            }
            Self::Indexed(indexed) => {
                indexed.pop(key);
                if indexed.len() <= MIN_INDEXED {
                    *self = Self::Many(Many::of(indexed.run()));
                }
            }
        }
    }

    /// Converts to the next larger representation if the arrays are full.
    fn make_room(&mut self, key: &HashKey) {
        match self {
            Self::Few(few) if usize::from(few.len) == N => {
                *self = Self::Many(Many::of(few.run()));
            }
            Self::Many(many) if many.len() == MAX_UNINDEXED => {
                let indexed = Indexed::of(many.run(), key);
                *self = Self::Indexed(Box::new(indexed));
            }
            _ => {}
        }
    }

    fn few(run: Run<'_, S>) -> Self {
        let Self::Few(mut few) = Self::EMPTY else {
            return Self::EMPTY;
        };
        let len = run.records.len();
        few.records[..len].copy_from_slice(run.records);
        few.marks[..len].copy_from_slice(run.marks);
        few.len = len as u8;
        few.seeders = run.seeders as u8;
        few.epoch = run.epoch;
        Self::Few(few)
    }
}

impl<const S: usize, const N: usize> Few<S, N> {
    fn run(&self) -> Run<'_, S> {
        Run {
            records: &self.records[..usize::from(self.len)],
            marks: &self.marks[..usize::from(self.len)],
            seeders: usize::from(self.seeders),
            epoch: self.epoch,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Peers6 = Peers<6, 6, 2>;

    fn record(number: u32) -> [u8; 6] {
        let [a, b, c, d] = number.to_be_bytes();
        [a, b, c, d, 0x1a, 0xe1]
    }

    fn term(number: u32) -> Term {
        Term::new(number, 9, number.is_multiple_of(5))
    }

    /// Asserts the invariants of [`Peers`]: seeders come first, and each peer is found at
    /// its position.
    fn assert_sound(peers: &Peers6, key: &HashKey) {
        let view = peers.view();
        assert!(view.seeders <= view.records.len());
        for (position, record) in view.records.iter().enumerate() {
            assert_eq!(peers.find(record, key), Some(position));
        }
    }

    #[test]
    fn two_peers_take_no_more_than_pointers_to_more() {
        assert_eq!(size_of::<Peers6>(), 24);
    }

    #[test]
    fn grows_and_shrinks_through_all_sizes() {
        let key = HashKey::new([5; 16]);
        let mut peers = Peers6::EMPTY;
        for number in 0..300 {
            let position = peers.insert(record(number), number % 3 == 0, term(number), &key);
            assert_eq!(peers.view().records[position], record(number));
            assert_eq!(position < peers.view().seeders, number % 3 == 0);
            assert_sound(&peers, &key);
        }
        assert!(matches!(peers, Peers::Indexed(_)));
        assert_eq!(peers.view().seeders, 100);

        for number in 0..300 {
            let position = peers.find(&record(number), &key).unwrap();
            assert_eq!(peers.term(position), term(number));
            let role = number % 2 == 0;
            let position = peers.set_role(position, role, &key);
            assert_eq!(peers.view().records[position], record(number));
            assert_eq!(position < peers.view().seeders, role);
            assert_sound(&peers, &key);
        }
        assert_eq!(peers.view().seeders, 150);

        for number in 0..300 {
            let position = peers.find(&record(number), &key).unwrap();
            peers.remove(position, &key);
            assert_eq!(peers.find(&record(number), &key), None);
            assert_eq!(peers.len(), 299 - number as usize);
            assert_sound(&peers, &key);
        }
        assert!(matches!(peers, Peers::Few(_)));
        assert_eq!(peers.view().seeders, 0);
    }
}
