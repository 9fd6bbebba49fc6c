//! Peers of a torrent of middling size: both runs in one allocation.

use super::View;
use crate::deadline::Deadline;

/// Some tens of peers.
pub(crate) struct Many<const S: usize> {
    /// Room for records, then as much room for deadlines.
    block: Box<[u8]>,
    len: u32,
    pub(super) seeders: u32,
}

impl<const S: usize> Many<S> {
    /// A copy of the peers in `view`, and room for one more.
    pub(super) fn of(view: View<'_, S>) -> Self {
        let mut many = Self {
            block: block::<S>(view.records.len() + 1),
            len: view.records.len() as u32,
            seeders: view.seeders as u32,
        };
        let (records, deadlines) = many.runs();
        records.copy_from_slice(view.records);
        deadlines.copy_from_slice(view.deadlines);
        many
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    #[inline]
    pub(super) fn view(&self) -> View<'_, S> {
        let (records, deadlines) = self.block.split_at(self.capacity() * S);
        View {
            records: &records.as_chunks().0[..self.len()],
            deadlines: &deadlines.as_chunks().0[..self.len()],
            seeders: self.seeders as usize,
        }
    }

    pub(super) fn runs(&mut self) -> (&mut [[u8; S]], &mut [Deadline]) {
        let len = self.len();
        let (records, deadlines) = self.room();
        (&mut records[..len], &mut deadlines[..len])
    }

    /// Appends a peer, growing by half if there is no room.
    pub(super) fn push(&mut self, record: [u8; S], deadline: Deadline) {
        let len = self.len();
        if len == self.capacity() {
            self.resize(len + len / 2);
        }
        let (records, deadlines) = self.room();
        records[len] = record;
        deadlines[len] = deadline;
        self.len += 1;
    }

    /// Drops the last peer, and memory that has become four times too large.
    pub(super) fn pop(&mut self) {
        self.len -= 1;
        if self.len() < self.capacity() / 4 {
            self.resize(self.len() * 2);
        }
    }

    fn capacity(&self) -> usize {
        self.block.len() / (S + size_of::<Deadline>())
    }

    fn room(&mut self) -> (&mut [[u8; S]], &mut [Deadline]) {
        let middle = self.capacity() * S;
        let (records, deadlines) = self.block.split_at_mut(middle);
        (records.as_chunks_mut().0, deadlines.as_chunks_mut().0)
    }

    fn resize(&mut self, capacity: usize) {
        let mut resized = Self {
            block: block::<S>(capacity),
            len: self.len,
            seeders: self.seeders,
        };
        let (records, deadlines) = resized.runs();
        records.copy_from_slice(self.view().records);
        deadlines.copy_from_slice(self.view().deadlines);
        *self = resized;
    }
}

/// A block for at least `capacity` peers, with all that the allocator gives
/// away in whole steps of 16 bytes, of which it keeps 8.
fn block<const S: usize>(capacity: usize) -> Box<[u8]> {
    let peer = S + size_of::<Deadline>();
    let bytes = (capacity.max(1) * peer + 8).next_multiple_of(16) - 8;
    vec![0; bytes / peer * peer].into_boxed_slice()
}
