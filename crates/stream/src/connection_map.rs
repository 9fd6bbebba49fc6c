//! Values by connection, which parts of a worker keep outside of the connections, each in a
//! map of its own.

use crate::ConnectionId;

/// At most one value for each connection of a worker, found by the connection's slot. The
/// value of a closed connection is never returned for a later one with the same slot.
#[derive(Debug)]
pub struct ConnectionMap<T> {
    /// By slot, with the generation of the connection.
    slots: Vec<Option<(u32, T)>>,
}

impl<T> ConnectionMap<T> {
    /// A map without values.
    pub const fn new() -> Self {
        Self { slots: Vec::new() }
    }

    /// The value of a connection.
    #[inline]
    pub fn get(&self, id: ConnectionId) -> Option<&T> {
        match self.slots.get(id.slot())? {
            Some((generation, value)) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// The value of a connection.
    #[inline]
    pub fn get_mut(&mut self, id: ConnectionId) -> Option<&mut T> {
        match self.slots.get_mut(id.slot())? {
            Some((generation, value)) if *generation == id.generation => Some(value),
            _ => None,
        }
    }

    /// Sets the value of a connection. It replaces an earlier value of the connection, or of
    /// a closed one with the same slot.
    pub fn insert(&mut self, id: ConnectionId, value: T) -> &mut T {
        if self.slots.len() <= id.slot() {
            self.slots.resize_with(id.slot() + 1, || None);
        }
        &mut self.slots[id.slot()].insert((id.generation, value)).1
    }

    /// Removes and returns the value of a connection.
    pub fn remove(&mut self, id: ConnectionId) -> Option<T> {
        let slot = self.slots.get_mut(id.slot())?;
        slot.take_if(|(generation, _)| *generation == id.generation)
            .map(|(_, value)| value)
    }

    /// The connection that has a value at this slot.
    pub fn id_at(&self, slot: usize) -> Option<ConnectionId> {
        let (generation, _) = self.slots.get(slot)?.as_ref()?;
        Some(ConnectionId {
            slot: slot as u32,
            generation: *generation,
        })
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().flatten().map(|(_, value)| value)
    }

    /// All values.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.slots.iter_mut().flatten().map(|(_, value)| value)
    }

    /// How many slots there are, those without a value included.
    pub fn slots(&self) -> usize {
        self.slots.len()
    }
}

impl<T> Default for ConnectionMap<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::churn::Random;

    #[test]
    fn values_are_those_of_their_connections_however_long_it_goes_on() {
        let mut map = ConnectionMap::new();
        let mut model = HashMap::new();
        let mut random = Random(5);
        for step in 0..200_000_u32 {
            let id = ConnectionId {
                slot: random.below(20) as u32,
                generation: random.below(3) as u32,
            };
            match random.below(3) {
                0 => {
                    assert_eq!(*map.insert(id, step), step);
                    model.retain(|other: &ConnectionId, _| other.slot != id.slot);
                    model.insert(id, step);
                }
                1 => assert_eq!(map.remove(id), model.remove(&id)),
                _ => {
                    assert_eq!(map.get(id), model.get(&id));
                    assert_eq!(map.get_mut(id), model.get_mut(&id));
                    let at_slot = model.keys().find(|other| other.slot == id.slot);
                    assert_eq!(map.id_at(id.slot()), at_slot.copied());
                }
            }
            assert!(map.slots() <= 20);
        }
        let mut values: Vec<u32> = map.values().copied().collect();
        let mut expected: Vec<u32> = model.into_values().collect();
        values.sort_unstable();
        expected.sort_unstable();
        assert_eq!(values, expected);
        map.values_mut().for_each(|value| *value = 0);
        assert!(map.values().all(|value| *value == 0));
    }
}
