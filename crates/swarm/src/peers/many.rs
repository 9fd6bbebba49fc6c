//! Peers of a torrent of medium size: both arrays in one allocation.

use super::{Run, View};
use crate::deadline::{Epoch, Mark, Term};

/// Up to a few hundred peers.
pub(crate) struct Many<const S: usize> {
    /// Space for records, followed by space for as many marks.
    block: Box<[u8]>,
    pub(super) epoch: Epoch,
    len: u8,
    pub(super) seeders: u8,
    /// Always false. By the values that a `bool` never has, the compiler tells this variant of
    /// `Peers` from the others without a byte for that.
    _is_another: bool,
}

impl<const S: usize> Many<S> {
    /// Copies the peers in `run`, with room for one more.
    pub(super) fn of(run: Run<'_, S>) -> Self {
        Self::with_room(run, 1)
    }

    /// Copies the peers in `run`, with room for so many more.
    fn with_room(run: Run<'_, S>, more: usize) -> Self {
        Self::with_capacity(run, run.records.len() + more)
    }

    fn with_capacity(run: Run<'_, S>, capacity: usize) -> Self {
        let mut many = Self {
            block: block::<S>(capacity),
            epoch: run.epoch,
            // Not more than `MAX_UNINDEXED`.
            len: run.records.len() as u8,
            seeders: run.seeders as u8,
            _is_another: false,
        };
        let (records, marks) = many.runs();
        records.copy_from_slice(run.records);
        marks.copy_from_slice(run.marks);
        many
    }

    pub(super) fn len(&self) -> usize {
        self.len.into()
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_, S> {
        let (records, _) = self.block.split_at(self.capacity() * S);
        View {
            records: &records.as_chunks().0[..self.len()],
            seeders: self.seeders.into(),
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
            seeders: self.seeders.into(),
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

    /// Appends a peer; the capacity grows by an eighth if there is no room.
    pub(super) fn push(&mut self, record: [u8; S], term: Term) {
        let len = self.len();
        if len == self.capacity() {
            *self = Self::with_room(self.run(), len.div_ceil(8));
        }
        let (records, _) = self.room();
        records[len] = record;
        self.len += 1;
        self.set_term(len, term);
    }

    /// Removes the last peer, and frees memory when a quarter of it is not in use.
    pub(super) fn pop(&mut self) {
        self.len -= 1;
        if self.len() + 2 < self.capacity() / 4 * 3 {
            *self = Self::with_room(self.run(), self.len() / 8);
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
