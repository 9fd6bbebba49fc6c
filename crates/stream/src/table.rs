//! A table of connections with places that are used again.

use crate::ConnectionId;

/// Values at places, each known by the place and how often it was taken.
pub(crate) struct Table<T> {
    entries: Vec<Entry<T>>,
    /// Places without a value.
    free: Vec<u32>,
}

struct Entry<T> {
    generation: u32,
    value: Option<T>,
}

impl<T> Table<T> {
    /// How many values there may be.
    const MAX_PLACES: usize = 1 << ConnectionId::SLOT_BITS;

    pub(crate) const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Whether no further value finds a place.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= Self::MAX_PLACES
    }

    /// Puts a value at a free place, of which there must be one.
    pub(crate) fn insert(&mut self, value: T) -> ConnectionId {
        if let Some(slot) = self.free.pop() {
            let entry = &mut self.entries[slot as usize];
            entry.value = Some(value);
            return ConnectionId {
                slot,
                generation: entry.generation,
            };
        }
        let slot = u32::try_from(self.entries.len()).expect("fewer places than 2^24");
        self.entries.push(Entry {
            generation: 0,
            value: Some(value),
        });
        ConnectionId {
            slot,
            generation: 0,
        }
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        (entry.generation == id.generation)
            .then_some(entry.value.as_mut())
            .flatten()
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let entry = self.entries.get_mut(id.slot as usize)?;
        if entry.generation != id.generation {
            return None;
        }
        let value = entry.value.take()?;
        entry.generation = (entry.generation + 1) & ((1 << ConnectionId::GENERATION_BITS) - 1);
        self.free.push(id.slot);
        Some(value)
    }

    /// The identity of the value at a place, if there is one.
    pub(crate) fn at(&self, slot: usize) -> Option<ConnectionId> {
        let entry = self.entries.get(slot)?;
        entry.value.is_some().then_some(ConnectionId {
            slot: slot as u32,
            generation: entry.generation,
        })
    }

    /// All values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.entries.iter().filter_map(|entry| entry.value.as_ref())
    }

    /// How many places there are, free ones too.
    pub(crate) fn places(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::churn::Random;

    #[test]
    fn a_place_that_is_used_again_has_another_identity() {
        let mut table = Table::new();
        let first = table.insert("first");
        let second = table.insert("second");
        assert_eq!(table.remove(first), Some("first"));
        assert_eq!(table.remove(first), None);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.len(), 1);

        let third = table.insert("third");
        assert_eq!(third.slot, first.slot);
        assert_ne!(third, first);
        assert_eq!(table.get_mut(first), None);
        assert_eq!(table.get_mut(third), Some(&mut "third"));
        assert_eq!(table.get_mut(second), Some(&mut "second"));
        assert_eq!(table.at(first.slot as usize), Some(third));
        assert_eq!(table.at(2), None);
        assert_eq!((table.len(), table.places()), (2, 2));
    }

    #[test]
    fn identities_stay_apart_however_long_it_goes_on() {
        let mut table = Table::new();
        let mut random = Random(2);
        let mut open: Vec<(ConnectionId, u32)> = Vec::new();
        let mut gone: Vec<ConnectionId> = Vec::new();
        for step in 0..500_000_u32 {
            // Between empty and 300.
            if random.below(300) >= open.len() {
                let id = table.insert(step);
                assert!(open.iter().all(|(other, _)| other.slot != id.slot));
                open.push((id, step));
            } else {
                let (id, value) = open.swap_remove(random.below(open.len()));
                assert_eq!(table.remove(id), Some(value));
                gone.push(id);
            }
            if let Some((id, value)) = open.get(random.below(300)) {
                assert_eq!(table.get_mut(*id), Some(&mut value.clone()));
                assert_eq!(table.at(id.slot()), Some(*id));
            }
            if let Some(id) = gone.get(random.below(gone.len() + 1)) {
                assert_eq!(table.get_mut(*id), None);
                assert_eq!(table.remove(*id), None);
            }
            assert_eq!(table.len(), open.len());
            assert!(table.places() <= 301);
        }
    }

    #[test]
    fn a_place_may_be_used_more_often_than_can_be_counted() {
        let mut table = Table::new();
        let id = table.insert(1);
        table.entries[id.slot()].generation = (1 << ConnectionId::GENERATION_BITS) - 1;
        let last = table.at(id.slot()).unwrap();
        assert_eq!(table.remove(last), Some(1));
        let next = table.insert(2);
        assert_eq!(next.generation, 0);
        assert_eq!(table.get_mut(last), None);
    }
}
