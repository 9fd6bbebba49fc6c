//! Torrents without gaps, in chunks that never move.

/// How many items a chunk holds.
const CHUNK: usize = 32;

/// A growing array that is never copied and gives memory back as it shrinks.
pub(crate) struct Slab<T> {
    /// All full but the last.
    chunks: Vec<Vec<T>>,
}

impl<T> Slab<T> {
    pub(crate) const fn new() -> Self {
        Self { chunks: Vec::new() }
    }

    pub(crate) fn len(&self) -> usize {
        let last = self.chunks.last().map_or(CHUNK, Vec::len);
        self.chunks.len() * CHUNK + last - CHUNK
    }

    #[inline]
    pub(crate) fn at(&self, slot: usize) -> &T {
        &self.chunks[slot / CHUNK][slot % CHUNK]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: usize) -> &mut T {
        &mut self.chunks[slot / CHUNK][slot % CHUNK]
    }

    /// Appends an item, whose slot was [`Slab::len`].
    pub(crate) fn push(&mut self, item: T) {
        match self.chunks.last_mut() {
            Some(last) if last.len() < CHUNK => last.push(item),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(item);
                self.chunks.push(chunk);
            }
        }
    }

    /// Removes the item at `slot`; the last item takes its place.
    pub(crate) fn swap_remove(&mut self, slot: usize) -> Option<T> {
        let last = self.chunks.last_mut()?.pop()?;
        if self.chunks.last().is_some_and(Vec::is_empty) {
            self.chunks.pop();
        }
        if slot == self.len() {
            Some(last)
        } else {
            Some(std::mem::replace(self.at_mut(slot), last))
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fills_and_empties() {
        let mut slab = Slab::new();
        let mut model = Vec::new();
        assert_eq!(slab.len(), 0);
        assert_eq!(slab.swap_remove(0), None);
        for number in 0..100 {
            slab.push(number);
            model.push(number);
            assert_eq!(slab.len(), model.len());
        }
        for number in 0..100 {
            let slot = number * 7 % model.len();
            assert_eq!(*slab.at(slot), model[slot]);
            assert_eq!(slab.swap_remove(slot), Some(model.swap_remove(slot)));
            assert!(slab.iter().eq(&model));
            assert_eq!(slab.len(), model.len());
        }
        assert!(slab.chunks.is_empty());
    }
}
