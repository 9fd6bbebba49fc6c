//! Peers of a large torrent: arrays that grow in place, and an index.

use std::hint::black_box;

use super::{Run, View};
use crate::deadline::{Epoch, Mark, Term};
use crate::hash_key::HashKey;
use crate::position_index::PositionIndex;

/// Number of peers with a common epoch. Storing one peer may change that many marks, which
/// takes up to a microsecond.
const SEGMENT: usize = 4_096;

/// From hundreds to millions of peers.
pub(crate) struct Indexed<const S: usize, const K: usize> {
    records: Vec<[u8; S]>,
    marks: Vec<Mark>,
    /// One epoch per segment.
    epochs: Vec<Epoch>,
    pub(super) seeders: u32,
    index: PositionIndex<S, K>,
}

impl<const S: usize, const K: usize> Indexed<S, K> {
    /// Copies the peers in `run`, of which there are at most a segment.
    pub(super) fn of(run: Run<'_, S>, key: &HashKey) -> Self {
        Self {
            records: run.records.to_vec(),
            marks: run.marks.to_vec(),
            epochs: vec![run.epoch],
            seeders: run.seeders as u32,
            index: PositionIndex::new(run.records, key),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.records.len()
    }

    #[inline]
    pub(crate) fn view(&self) -> View<'_, S> {
        View {
            records: &self.records,
            seeders: self.seeders as usize,
        }
    }

    /// All peers, if there are at most a segment.
    pub(super) fn run(&self) -> Run<'_, S> {
        Run {
            records: &self.records,
            marks: &self.marks,
            seeders: self.seeders as usize,
            epoch: self.epochs[0],
        }
    }

    pub(super) fn runs(&mut self) -> (&mut [[u8; S]], &mut [Mark]) {
        (&mut self.records, &mut self.marks)
    }

    #[inline]
    pub(super) fn term(&self, position: usize) -> Term {
        self.epochs[position / SEGMENT].term(self.marks[position])
    }

    #[inline]
    pub(super) fn set_term(&mut self, position: usize, term: Term) {
        let start = position / SEGMENT * SEGMENT;
        let end = self.marks.len().min(start + SEGMENT);
        let marks = &mut self.marks[start..end];
        marks[position - start] = self.epochs[position / SEGMENT].mark(term, marks);
    }

    /// Where the peer with the key of `record` probably is.
    #[inline]
    pub(crate) fn candidate(&self, record: &[u8; S], key: &HashKey) -> Option<usize> {
        self.index.candidate(record, key)
    }

    /// Reads what a later refresh of the peer at `position` will read.
    #[inline]
    pub(crate) fn look_at(&self, position: usize) {
        black_box(self.records.get(position).map(|record| record[0]));
        black_box(self.marks.get(position).map(|mark| mark[0]));
    }

    #[inline]
    pub(super) fn find(&self, record: &[u8; S], key: &HashKey) -> Option<usize> {
        self.index.find(record, &self.records, key)
    }

    /// Adds `record`, which will be pushed next, to the index.
    pub(super) fn index_new(&mut self, record: &[u8; S], key: &HashKey) {
        self.index
            .insert(record, self.records.len(), &self.records, key);
    }

    pub(super) fn push(&mut self, record: [u8; S], term: Term) {
        // Grows by a quarter instead of twice, because the system grows large allocations
        // by remapping their pages, without copying them.
        if self.records.len() == self.records.capacity() {
            let more = self.records.len() / 4;
            self.records.reserve_exact(more);
            self.marks.reserve_exact(more);
        }
        let position = self.records.len();
        if position == self.epochs.len() * SEGMENT {
            self.epochs.push(Epoch::START);
        }
        self.records.push(record);
        self.marks.push(Mark::default());
        self.set_term(position, term);
    }

    /// Removes the last peer, and frees memory when half of it is not in use.
    pub(super) fn pop(&mut self, key: &HashKey) {
        let last = self.records.len() - 1;
        let record = self.records[last];
        self.index.remove(&record, last, &self.records, key);
        self.records.truncate(last);
        self.marks.truncate(last);
        self.epochs.truncate(last.div_ceil(SEGMENT));
        if last < self.records.capacity() / 2 {
            let capacity = last + last / 4;
            self.records.shrink_to(capacity);
            self.marks.shrink_to(capacity);
        }
    }

    /// Updates epochs, marks and the index after the records and marks at `left` and
    /// `right` were swapped.
    pub(super) fn exchanged(&mut self, left: usize, right: usize, key: &HashKey) {
        let [left_epoch, right_epoch] = [left, right].map(|at| self.epochs[at / SEGMENT]);
        if left_epoch != right_epoch {
            let at_left = right_epoch.term(self.marks[left]);
            let at_right = left_epoch.term(self.marks[right]);
            self.set_term(left, at_left);
            self.set_term(right, at_right);
        }
        let (was_left, was_right) = (self.records[right], self.records[left]);
        // The index distinguishes entries with equal hashes by their positions, so the
        // first one gets a position that is not in use until the other one has moved.
        let nobody = self.records.len();
        self.index.set(&was_left, left, nobody, key);
        self.index.set(&was_right, right, left, key);
        self.index.set(&was_left, nobody, right, key);
    }
}
