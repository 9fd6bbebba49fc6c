//! Output of a protocol for connections other than the one that is being driven.

use std::mem;

use crate::{ConnectionId, ConnectionMap};

/// Maximum number of empty buffers that are kept, and of bytes of their total capacity.
const MAX_SPARES: usize = 256;
const MAX_SPARE_BYTES: usize = 2 << 20;

/// The outputs of all connections of a worker, collected until the end of a turn, for a
/// protocol that [collects](crate::Protocol::COLLECTS_OUTPUT) them.
pub struct Outputs {
    /// What is to be sent to each connection that is open.
    outputs: ConnectionMap<Vec<u8>>,
    /// Connections for which something was collected in this turn.
    waiting: Vec<ConnectionId>,
    spares: Spares,
    /// Maximum number of bytes that are collected for one connection: at this size, no more
    /// are added.
    max_bytes: usize,
}

/// Empty buffers for connections that need one.
#[derive(Default)]
struct Spares {
    buffers: Vec<Vec<u8>>,
    /// Their total capacity.
    bytes: usize,
}

/// Why nothing can be written for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unreachable {
    /// It is no longer open.
    #[error("the connection is closed")]
    Gone,
    /// Its output has reached the maximum for this turn.
    #[error("too much was written for the connection at once")]
    Full,
}

impl Outputs {
    /// No outputs. Nothing is added to an output of `max_bytes` or more.
    pub(crate) fn new(max_bytes: usize) -> Self {
        Self {
            outputs: ConnectionMap::new(),
            waiting: Vec::new(),
            spares: Spares::default(),
            max_bytes,
        }
    }

    /// Changes the maximum.
    pub(crate) fn set_max_bytes(&mut self, max_bytes: usize) {
        self.max_bytes = max_bytes;
    }

    /// Where to append what is to be sent to a connection of this worker. It is
    /// sent at the end of the turn, in one piece with everything else.
    ///
    /// # Errors
    ///
    /// When nothing can be sent to it.
    pub fn of(&mut self, id: ConnectionId) -> Result<&mut Vec<u8>, Unreachable> {
        let output = self.outputs.get_mut(id).ok_or(Unreachable::Gone)?;
        if output.len() >= self.max_bytes {
            return Err(Unreachable::Full);
        }
        if output.is_empty() {
            self.spares.give(output);
            self.waiting.push(id);
        }
        Ok(output)
    }

    /// The connection can be written to from now on.
    pub(crate) fn opened(&mut self, id: ConnectionId) {
        self.outputs.insert(id, Vec::new());
    }

    /// The connection can no longer be written to.
    pub(crate) fn closed(&mut self, id: ConnectionId) {
        if let Some(output) = self.outputs.remove(id) {
            self.spares.take(output);
        }
    }

    /// Prepends what was collected for a connection to `output`.
    pub(crate) fn gather(&mut self, id: ConnectionId, output: &mut Vec<u8>) {
        let waiting = self.outputs.get_mut(id).map(mem::take);
        let Some(mut waiting) = waiting.filter(|waiting| waiting.capacity() > 0) else {
            return;
        };
        waiting.append(output);
        mem::swap(&mut waiting, output);
        self.spares.take(waiting);
    }

    /// Whether `output` fits as well, with room left for output of other connections.
    pub(crate) fn has_room_for(&self, id: ConnectionId, output: &[u8]) -> bool {
        let waiting = self.outputs.get(id).map_or(0, Vec::len);
        waiting + output.len() < self.max_bytes / 2
    }

    /// Appends `output` to what is collected already, and leaves it empty.
    pub(crate) fn put(&mut self, id: ConnectionId, output: &mut Vec<u8>) {
        let Some(waiting) = self.outputs.get_mut(id) else {
            output.clear();
            return;
        };
        if output.is_empty() {
            return;
        }
        if waiting.is_empty() {
            self.waiting.push(id);
            mem::swap(waiting, output);
            self.spares.give(output);
        } else {
            waiting.append(output);
        }
    }

    /// The next connection for which something is collected.
    pub(crate) fn next_waiting(&mut self) -> Option<ConnectionId> {
        while let Some(id) = self.waiting.pop() {
            if self.has(id) {
                return Some(id);
            }
        }
        if self.waiting.capacity() > MAX_SPARES {
            self.waiting.shrink_to(MAX_SPARES);
        }
        None
    }

    /// Whether something is collected for a connection.
    pub(crate) fn has(&self, id: ConnectionId) -> bool {
        self.outputs.get(id).is_some_and(|it| !it.is_empty())
    }

    /// Bytes of memory of all that is collected, and of spare buffers.
    pub(crate) fn kept_bytes(&self) -> usize {
        let waiting: usize = self.outputs.values().map(Vec::capacity).sum();
        waiting + self.spares.bytes
    }
}

impl Spares {
    /// Replaces a buffer without capacity by a spare one, if there is one.
    fn give(&mut self, buffer: &mut Vec<u8>) {
        if buffer.capacity() == 0
            && let Some(spare) = self.buffers.pop()
        {
            self.bytes -= spare.capacity();
            *buffer = spare;
        }
    }

    /// Keeps a buffer, if there are not too many.
    fn take(&mut self, mut buffer: Vec<u8>) {
        let capacity = buffer.capacity();
        let has_room = self.buffers.len() < MAX_SPARES && self.bytes + capacity <= MAX_SPARE_BYTES;
        if capacity > 0 && has_room {
            buffer.clear();
            self.bytes += capacity;
            self.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::churn::Random;

    fn id(slot: u32, generation: u32) -> ConnectionId {
        ConnectionId { slot, generation }
    }

    #[test]
    fn what_is_written_is_gathered_once_and_in_order() {
        let mut outputs = Outputs::new(100);
        outputs.opened(id(1, 0));
        outputs.opened(id(0, 0));
        outputs.of(id(1, 0)).unwrap().extend_from_slice(b"a");
        outputs.put(id(1, 0), &mut b"b".to_vec());
        outputs.of(id(1, 0)).unwrap().extend_from_slice(b"c");
        assert_eq!(outputs.next_waiting(), Some(id(1, 0)));
        assert_eq!(outputs.next_waiting(), None);
        let mut output = b"d".to_vec();
        outputs.gather(id(1, 0), &mut output);
        assert_eq!(output, b"abcd");
        let mut output = Vec::new();
        outputs.gather(id(1, 0), &mut output);
        assert!(output.is_empty());
        assert!(!outputs.has(id(1, 0)));
    }

    #[test]
    fn only_the_connection_that_is_open_is_written_to() {
        let mut outputs = Outputs::new(100);
        assert_eq!(outputs.of(id(0, 0)).err(), Some(Unreachable::Gone));
        outputs.opened(id(0, 0));
        outputs.of(id(0, 0)).unwrap().push(1);
        outputs.closed(id(0, 0));
        assert_eq!(outputs.of(id(0, 0)).err(), Some(Unreachable::Gone));
        outputs.opened(id(0, 1));
        assert_eq!(outputs.of(id(0, 0)).err(), Some(Unreachable::Gone));
        assert_eq!(outputs.next_waiting(), None);
        assert!(outputs.of(id(0, 1)).unwrap().is_empty());
    }

    #[test]
    fn no_more_is_collected_than_may_be() {
        let mut outputs = Outputs::new(2);
        assert!(outputs.has_room_for(id(0, 0), b""));
        assert!(!outputs.has_room_for(id(0, 0), b"a"));
        outputs.opened(id(0, 0));
        outputs.of(id(0, 0)).unwrap().extend_from_slice(b"abc");
        assert_eq!(outputs.of(id(0, 0)).err(), Some(Unreachable::Full));
        let mut output = Vec::new();
        outputs.gather(id(0, 0), &mut output);
        assert_eq!(output, b"abc");
        assert!(outputs.of(id(0, 0)).is_ok());
    }

    #[test]
    fn memory_is_bounded() {
        let mut outputs = Outputs::new(1 << 20);
        for slot in 0..2_000 {
            outputs.opened(id(slot, 0));
            outputs
                .of(id(slot, 0))
                .unwrap()
                .resize(if slot % 2 == 0 { 100_000 } else { 100 }, 0);
        }
        while let Some(id) = outputs.next_waiting() {
            outputs.gather(id, &mut Vec::new());
        }
        for slot in 0..2_000 {
            outputs.of(id(slot, 0)).unwrap().push(0);
            outputs.closed(id(slot, 0));
        }
        let spares = &outputs.spares;
        assert!(spares.buffers.len() <= MAX_SPARES);
        let kept: usize = spares.buffers.iter().map(Vec::capacity).sum();
        assert_eq!(kept, spares.bytes);
        assert!(kept <= MAX_SPARE_BYTES);
    }

    #[test]
    fn nothing_is_lost_or_mixed_up_however_long_it_goes_on() {
        const MAX_BYTES: usize = 64;
        let mut outputs = Outputs::new(MAX_BYTES);
        let mut random = Random(3);
        // The collected output of each open connection.
        let mut model: HashMap<ConnectionId, Vec<u8>> = HashMap::new();
        let mut generations = [0; 100];
        for step in 0..500_000_u32 {
            let slot = random.below(generations.len());
            let id = id(slot as u32, generations[slot]);
            let is_open = model.contains_key(&id);
            match random.below(8) {
                0 if !is_open => {
                    outputs.opened(id);
                    model.insert(id, Vec::new());
                }
                1 if is_open => {
                    outputs.closed(id);
                    model.remove(&id);
                    generations[slot] += 1;
                }
                2..=4 => {
                    let waiting = model.get_mut(&id);
                    match (outputs.of(id), waiting) {
                        (Ok(output), Some(waiting)) => {
                            assert!(waiting.len() < MAX_BYTES);
                            output.extend(step.to_be_bytes());
                            waiting.extend(step.to_be_bytes());
                        }
                        (Err(Unreachable::Full), Some(waiting)) => {
                            assert!(waiting.len() >= MAX_BYTES);
                        }
                        (Err(Unreachable::Gone), None) => {}
                        (result, waiting) => panic!("{result:?}, {waiting:?}"),
                    }
                }
                5 => {
                    let mut output = step.to_be_bytes().to_vec();
                    outputs.put(id, &mut output);
                    assert!(output.is_empty());
                    if let Some(waiting) = model.get_mut(&id) {
                        waiting.extend(step.to_be_bytes());
                    }
                }
                6 => {
                    let mut output = vec![7];
                    outputs.gather(id, &mut output);
                    let mut waiting = model.get_mut(&id).map(mem::take).unwrap_or_default();
                    waiting.push(7);
                    assert_eq!(output, waiting);
                }
                // At the end of a turn, each connection gets its output.
                _ if random.below(20) == 0 => {
                    while let Some(id) = outputs.next_waiting() {
                        let mut output = Vec::new();
                        outputs.gather(id, &mut output);
                        assert!(!output.is_empty());
                        assert_eq!(output, mem::take(model.get_mut(&id).unwrap()));
                    }
                    assert!(model.values().all(Vec::is_empty));
                }
                _ => {}
            }
            assert_eq!(
                outputs.has(id),
                model.get(&id).is_some_and(|it| !it.is_empty())
            );
        }
        assert!(outputs.spares.bytes <= MAX_SPARE_BYTES);
        assert!(outputs.spares.buffers.len() <= MAX_SPARES);
        assert!(outputs.outputs.slots() <= generations.len());
    }
}
