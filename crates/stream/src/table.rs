//! A table of connections with reusable slots.

use crate::{ConnectionId, ConnectionMap};

/// Connections and their identities: a slot, and a generation, the number of connections
/// that had the slot before.
pub(crate) struct Table<T> {
    connections: ConnectionMap<T>,
    /// By slot, the generation of the connection that has it, or that gets it next.
    generations: Vec<u32>,
    /// Slots without a connection.
    free: Vec<u32>,
}

impl<T> Table<T> {
    /// How many connections there may be.
    const MAX_SLOTS: usize = 1 << ConnectionId::SLOT_BITS;

    pub(crate) const fn new() -> Self {
        Self {
            connections: ConnectionMap::new(),
            generations: Vec::new(),
            free: Vec::new(),
        }
    }

    /// How many connections there are.
    pub(crate) fn len(&self) -> usize {
        self.generations.len() - self.free.len()
    }

    /// Whether there is no slot for another connection.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= Self::MAX_SLOTS
    }

    /// Puts a connection into a free slot, of which there must be one.
    pub(crate) fn insert(&mut self, connection: T) -> ConnectionId {
        let slot = self.free.pop().unwrap_or_else(|| {
            let slot = u32::try_from(self.generations.len()).expect("fewer slots than 2^24");
            self.generations.push(0);
            slot
        });
        let id = ConnectionId {
            slot,
            generation: self.generations[slot as usize],
        };
        self.connections.insert(id, connection);
        id
    }

    pub(crate) fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        self.connections.get_mut(id)
    }

    pub(crate) fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let connection = self.connections.remove(id)?;
        let next = (id.generation + 1) & ((1 << ConnectionId::GENERATION_BITS) - 1);
        self.generations[id.slot()] = next;
        self.free.push(id.slot);
        Some(connection)
    }

    /// The connection that has a slot.
    pub(crate) fn id_at(&self, slot: usize) -> Option<ConnectionId> {
        self.connections.id_at(slot)
    }

    /// All connections.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.connections.values()
    }

    /// How many slots there are, free ones included.
    pub(crate) fn slots(&self) -> usize {
        self.generations.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::churn::Random;

    #[test]
    fn a_slot_that_is_used_again_has_another_identity() {
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
        assert_eq!(table.id_at(first.slot as usize), Some(third));
        assert_eq!(table.id_at(2), None);
        assert_eq!((table.len(), table.slots()), (2, 2));
    }

    #[test]
    fn identities_stay_apart_however_long_it_goes_on() {
        let mut table = Table::new();
        let mut random = Random(2);
        let mut open: Vec<(ConnectionId, u32)> = Vec::new();
        let mut gone: Vec<ConnectionId> = Vec::new();
        for step in 0..500_000_u32 {
            // The table holds between 0 and 300 entries.
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
                assert_eq!(table.id_at(id.slot()), Some(*id));
            }
            if let Some(id) = gone.get(random.below(gone.len() + 1)) {
                assert_eq!(table.get_mut(*id), None);
                assert_eq!(table.remove(*id), None);
            }
            assert_eq!(table.len(), open.len());
            assert!(table.slots() <= 301);
        }
    }

    #[test]
    fn a_slot_may_be_used_more_often_than_can_be_counted() {
        let mut table = Table::new();
        let first = table.insert(1);
        assert_eq!(table.remove(first), Some(1));
        table.generations[first.slot()] = (1 << ConnectionId::GENERATION_BITS) - 1;
        let last = table.insert(1);
        assert_eq!(table.remove(last), Some(1));
        let next = table.insert(2);
        assert_eq!(next.generation, 0);
        assert_eq!(table.get_mut(last), None);
    }
}
