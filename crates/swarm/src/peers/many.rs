//! Peers of a torrent of medium size: both arrays in one allocation.

use super::{Run, View};
use crate::deadline::{Epoch, Mark, Term};

/// Dozens of peers.
pub(crate) struct Many<const S: usize> {
    /// Space for records, followed by space for as many marks.
    block: Box<[u8]>,
    len: u32,
    pub(super) seeders: u32,
    pub(super) epoch: Epoch,
}

impl<const S: usize> Many<S> {
    /// Copies the peers in `run`, with room for one more.
    pub(super) fn of(run: Run<'_, S>) -> Self {
        Self::with_capacity(run, run.records.len() + 1)
    }

    fn with_capacity(run: Run<'_, S>, capacity: usize) -> Self {
        let mut many = Self {
            block: block::<S>(capacity),
            len: run.records.len() as u32,
            seeders: run.seeders as u32,
            epoch: run.epoch,
        };
        let (records, marks) = many.runs();
        records.copy_from_slice(run.records);
        marks.copy_from_slice(run.marks);
        many
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_, S> {
        let (records, _) = self.block.split_at(self.capacity() * S);
        View {
            records: &records.as_chunks().0[..self.len()],
            seeders: self.seeders as usize,
        }
    }

    #[inline]
    pub(super) fn marks(&self) -> &[Mark] {
        let (_, marks) = self.block.split_at(self.capacity() * S);
        &marks.as_chunks().0[..self.len()]
    }

    pub(super) fn run(&self) -> Run<'_, S> {
        Run {
            records: self.view().records,
            marks: self.marks(),
            seeders: self.seeders as usize,
            epoch: self.epoch,
        }
    }

    pub(super) fn runs(&mut self) -> (&mut [[u8; S]], &mut [Mark]) {
        let len = self.len();
        let (records, marks) = self.room();
        (&mut records[..len], &mut marks[..len])
    }

    pub(super) fn set_term(&mut self, position: usize, term: Term) {
        let mut epoch = self.epoch;
        let (_, marks) = self.runs();
        marks[position] = epoch.mark(term, marks);
        self.epoch = epoch;
    }

    /// Appends a peer; the capacity grows by half if there is no room.
    pub(super) fn push(&mut self, record: [u8; S], term: Term) {
        let len = self.len();
        if len == self.capacity() {
            *self = Self::with_capacity(self.run(), len + len / 2);
        }
        let (records, _) = self.room();
        records[len] = record;
        self.len += 1;
        self.set_term(len, term);
    }

    /// Removes the last peer, and frees memory when the capacity is four times too large.
    pub(super) fn pop(&mut self) {
        self.len -= 1;
        if self.len() < self.capacity() / 4 {
            *self = Self::with_capacity(self.run(), self.len() * 2);
        }
    }

    fn capacity(&self) -> usize {
        self.block.len() / (S + size_of::<Mark>())
    }

    fn room(&mut self) -> (&mut [[u8; S]], &mut [Mark]) {
        let middle = self.capacity() * S;
        let (records, marks) = self.block.split_at_mut(middle);
        (records.as_chunks_mut().0, marks.as_chunks_mut().0)
    }
}

/// Allocates a block for at least `capacity` peers. It uses the whole allocation, since the
/// allocator's sizes are multiples of 16 bytes, of which it uses 8 itself.
fn block<const S: usize>(capacity: usize) -> Box<[u8]> {
    let peer = S + size_of::<Mark>();
    let bytes = (capacity.max(1) * peer + 8).next_multiple_of(16) - 8;
    vec![0; bytes / peer * peer].into_boxed_slice()
}
