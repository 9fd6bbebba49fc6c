//! Peers of a large torrent: runs that grow in place, and an index.

use super::View;
use crate::deadline::Deadline;
use crate::hash_key::HashKey;
use crate::position_index::PositionIndex;

/// Dozens to millions of peers.
pub(crate) struct Indexed<const S: usize, const K: usize> {
    records: Vec<[u8; S]>,
    deadlines: Vec<Deadline>,
    pub(super) seeders: u32,
    index: PositionIndex<S, K>,
}

impl<const S: usize, const K: usize> Indexed<S, K> {
    /// A copy of the peers in `view`.
    pub(super) fn of(view: View<'_, S>, key: &HashKey) -> Self {
        Self {
            records: view.records.to_vec(),
            deadlines: view.deadlines.to_vec(),
            seeders: view.seeders as u32,
            index: PositionIndex::new(view.records, key),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_, S> {
        View {
            records: &self.records,
            deadlines: &self.deadlines,
            seeders: self.seeders as usize,
        }
    }

    pub(super) fn runs(&mut self) -> (&mut [[u8; S]], &mut [Deadline]) {
        (&mut self.records, &mut self.deadlines)
    }

    #[inline]
    pub(super) fn find(&self, record: &[u8; S], key: &HashKey) -> Option<usize> {
        self.index.find(record, &self.records, key)
    }

    /// Indexes `record`, which will be pushed next.
    pub(super) fn index_new(&mut self, record: &[u8; S], key: &HashKey) {
        self.index
            .insert(record, self.records.len(), &self.records, key);
    }

    pub(super) fn push(&mut self, record: [u8; S], deadline: Deadline) {
        // A quarter more, not twice as much: the system grows large blocks
        // by remapping their pages, without a copy.
        if self.records.len() == self.records.capacity() {
            let more = self.records.len() / 4;
            self.records.reserve_exact(more);
            self.deadlines.reserve_exact(more);
        }
        self.records.push(record);
        self.deadlines.push(deadline);
    }

    /// Drops the last peer, and memory that has become four times too large.
    pub(super) fn pop(&mut self, key: &HashKey) {
        let last = self.records.len() - 1;
        let record = self.records[last];
        self.index.remove(&record, last, &self.records, key);
        self.records.truncate(last);
        self.deadlines.truncate(last);
        if last < self.records.capacity() / 4 {
            self.records.shrink_to(last * 2);
            self.deadlines.shrink_to(last * 2);
        }
    }

    /// Follows the records at `left` and `right`, which have changed places.
    pub(super) fn exchanged(&mut self, left: usize, right: usize, key: &HashKey) {
        let (was_left, was_right) = (self.records[right], self.records[left]);
        // The index tells entries of like hashes apart by their positions, so
        // the first one waits where nobody stands until the other has moved.
        let nobody = self.records.len();
        self.index.set(&was_left, left, nobody, key);
        self.index.set(&was_right, right, left, key);
        self.index.set(&was_left, nobody, right, key);
    }
}
