//! The queue of signals for other nodes, which all workers of a node share.
//!
//! Offers and answers are worth nothing after some seconds, and are sent at most once: a
//! signal that cannot be queued or sent is dropped, and its peer tries again with its next
//! announce.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::batch::NodeId;
use crate::signal::{self, MAX_SIGNAL_BATCH_LENGTH, MAX_SIGNAL_LENGTH, Signal};

/// Maximum size of all queued signal batches, in bytes.
const MAX_BYTES: usize = 8 << 20;

/// Signals that have not been sent yet.
#[derive(Debug, Default)]
pub struct SignalOutbox {
    /// Whether there is a connection over which they can be sent.
    is_open: AtomicBool,
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// A batch for each node, to which signals are added.
    open: HashMap<NodeId, Vec<u8>>,
    /// Batches that are full.
    full: Vec<(NodeId, Vec<u8>)>,
    bytes: usize,
}

/// Why a signal was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotQueued {
    /// There is no connection with the engine.
    #[error("no connection with the engine")]
    Closed,
    /// There are too many, or it is too long.
    #[error("too many signals for other nodes")]
    Full,
}

impl SignalOutbox {
    /// Starts or stops to accept signals. Those that are queued are dropped; returns how
    /// many batches that were.
    pub fn set_open(&self, is_open: bool) -> usize {
        self.is_open.store(is_open, Ordering::Release);
        let queue = std::mem::take(&mut *self.lock());
        queue.open.len() + queue.full.len()
    }

    /// Queues a signal for a node, and wakes the thread that sends it.
    ///
    /// # Errors
    /// It is dropped then.
    pub fn put(&self, node: NodeId, signal: &Signal<'_>) -> Result<(), NotQueued> {
        if !self.is_open.load(Ordering::Acquire) {
            return Err(NotQueued::Closed);
        }
        let mut queue = self.lock();
        let was_empty = queue.bytes == 0;
        queue.put(node, signal)?;
        drop(queue);
        if was_empty {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits until there are signals, or for this time, and takes all batches: without
    /// their headers, but with space for them.
    pub fn take(&self, time: Duration) -> Vec<(NodeId, Vec<u8>)> {
        let queue = self.lock();
        let waited = self
            .changed
            .wait_timeout_while(queue, time, |queue| queue.bytes == 0);
        let (mut queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let Queue { open, full, .. } = std::mem::take(&mut *queue);
        drop(queue);
        let mut batches = full;
        batches.extend(open);
        batches
    }

    /// After a panic of a worker, the batches are still valid, except for an incomplete
    /// last signal, with which their receiver rejects one of them.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn put(&mut self, node: NodeId, signal: &Signal<'_>) -> Result<(), NotQueued> {
        let length = signal.length();
        if length > MAX_SIGNAL_LENGTH || self.bytes + length > MAX_BYTES {
            return Err(NotQueued::Full);
        }
        let batch = self.open.entry(node).or_insert_with(signal::start);
        if batch.len() + length > MAX_SIGNAL_BATCH_LENGTH {
            let full = std::mem::replace(batch, signal::start());
            self.full.push((node, full));
        }
        signal.write(batch);
        self.bytes += length;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use aquatic_bittorrent::{InfoHash, PeerId};

    use super::*;
    use crate::signal::{SignalBatch, SignalKind, write_header};

    const NODES: [NodeId; 2] = [NodeId([1; 8]), NodeId([2; 8])];

    fn signal(number: u8, description: &[u8]) -> Signal<'_> {
        Signal {
            kind: SignalKind::Offer,
            info_hash: InfoHash([1; 20]),
            to: PeerId([number; 20]),
            from: PeerId([3; 20]),
            offer_id: [4; 20],
            description,
        }
    }

    /// The receivers of the signals that were queued for a node, in order.
    fn receivers(batches: &mut [(NodeId, Vec<u8>)], node: NodeId) -> Vec<u8> {
        let of_node = batches.iter_mut().filter(|(to, _)| *to == node);
        let found = of_node.flat_map(|(_, bytes)| {
            write_header(bytes, NODES[0], 5);
            let batch = SignalBatch::parse(bytes).unwrap();
            batch.signals().map(|it| it.to.0[0]).collect::<Vec<_>>()
        });
        found.collect()
    }

    #[test]
    fn each_node_gets_its_signals_in_their_order() {
        let outbox = SignalOutbox::default();
        assert_eq!(
            outbox.put(NODES[0], &signal(0, b"")),
            Err(NotQueued::Closed)
        );
        outbox.set_open(true);
        for number in 0..10 {
            let node = NODES[usize::from(number % 2)];
            // Four of them fill a batch.
            outbox.put(node, &signal(number, &[0; 300_000])).unwrap();
        }
        let mut batches = outbox.take(Duration::ZERO);
        assert_eq!(batches.len(), 4);
        assert_eq!(receivers(&mut batches, NODES[0]), [0, 2, 4, 6, 8]);
        assert_eq!(receivers(&mut batches, NODES[1]), [1, 3, 5, 7, 9]);
        assert!(outbox.take(Duration::ZERO).is_empty());
    }

    #[test]
    fn the_size_is_bounded_and_what_waits_is_dropped_when_it_closes() {
        let outbox = SignalOutbox::default();
        outbox.set_open(true);
        let long = vec![0; MAX_SIGNAL_LENGTH];
        let too_long = signal(1, &long);
        assert_eq!(outbox.put(NODES[0], &too_long), Err(NotQueued::Full));
        assert!(outbox.take(Duration::ZERO).is_empty());
        let description = [0; 4_000];
        let mut count = 0;
        while outbox.put(NODES[0], &signal(1, &description)).is_ok() {
            count += 1;
        }
        assert_eq!(count, MAX_BYTES / signal(1, &description).length());
        assert_eq!(outbox.set_open(false), 9);
        outbox.set_open(true);
        assert!(outbox.take(Duration::ZERO).is_empty());
        outbox.put(NODES[0], &signal(1, &description)).unwrap();
    }

    #[test]
    fn who_waits_is_woken() {
        let outbox = SignalOutbox::default();
        outbox.set_open(true);
        std::thread::scope(|scope| {
            let taking = scope.spawn(|| outbox.take(Duration::from_secs(60)));
            outbox.put(NODES[1], &signal(1, b"")).unwrap();
            assert_eq!(taking.join().unwrap().len(), 1);
        });
    }
}
