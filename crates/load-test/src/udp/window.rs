//! The requests that are under way, found by transaction id.

use aquatic_udp_protocol::TransactionId;

use crate::counters::Kind;

/// Slots in a window at most: they are named by half a transaction id.
pub(crate) const WINDOW_CAPACITY: usize = 1 << 16;

/// A request that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// The worker's source that sent it.
    pub(crate) source: usize,
    /// Nanoseconds on the worker's clock.
    pub(crate) sent_at: u64,
    /// The peer that announces for the first time, by its place at the source.
    pub(crate) filling: Option<u32>,
}

/// A bounded set of requests. A slot's number is the lower half of a
/// transaction id; the upper half counts the slot's uses, so that a late reply
/// is not taken for another.
#[derive(Debug)]
pub(crate) struct Window {
    slots: Vec<Slot>,
    free: Vec<u16>,
}

#[derive(Debug, Clone)]
struct Slot {
    uses: u16,
    request: Option<Request>,
}

impl Window {
    /// A window for `capacity` requests, [`WINDOW_CAPACITY`] at most.
    pub(crate) fn new(capacity: usize) -> Self {
        let empty = Slot {
            uses: 0,
            request: None,
        };
        Self {
            slots: vec![empty; capacity.min(WINDOW_CAPACITY)],
            free: (0..=u16::MAX).take(capacity).rev().collect(),
        }
    }

    pub(crate) fn free(&self) -> usize {
        self.free.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len()
    }

    /// Takes a slot; returns the transaction id. None when all are taken.
    pub(crate) fn insert(&mut self, request: Request) -> Option<TransactionId> {
        let number = self.free.pop()?;
        let slot = &mut self.slots[usize::from(number)];
        slot.uses = slot.uses.wrapping_add(1);
        slot.request = Some(request);
        Some(TransactionId::from(
            u32::from(slot.uses) << 16 | u32::from(number),
        ))
    }

    /// The request with this transaction id, if it is under way.
    pub(crate) fn remove(&mut self, transaction_id: TransactionId) -> Option<Request> {
        let transaction_id = u32::from(transaction_id);
        // The two halves of the transaction id.
        let (number, uses) = (transaction_id as u16, (transaction_id >> 16) as u16);
        let slot = self.slots.get_mut(usize::from(number))?;
        if slot.uses != uses {
            return None;
        }
        let request = slot.request.take()?;
        self.free.push(number);
        Some(request)
    }

    /// Removes the requests that were sent before a time.
    pub(crate) fn remove_older(&mut self, than: u64, mut lost: impl FnMut(Request)) {
        for (number, slot) in (0..=u16::MAX).zip(&mut self.slots) {
            if let Some(request) = slot.request.take_if(|request| request.sent_at < than) {
                self.free.push(number);
                lost(request);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(sent_at: u64) -> Request {
        Request {
            kind: Kind::Announce,
            source: 3,
            sent_at,
            filling: None,
        }
    }

    #[test]
    fn finds_each_request_once() {
        let mut window = Window::new(2);
        let first = window.insert(request(1)).unwrap();
        let second = window.insert(request(2)).unwrap();
        assert_ne!(first, second);
        assert_eq!(window.insert(request(3)), None);

        assert_eq!(window.remove(second), Some(request(2)));
        assert_eq!(window.remove(second), None);
        assert_eq!(window.remove(first), Some(request(1)));
        assert!(window.is_empty());
    }

    #[test]
    fn a_late_reply_is_not_taken_for_another() {
        let mut window = Window::new(1);
        let old = window.insert(request(1)).unwrap();
        window.remove_older(2, |_| ());
        let new = window.insert(request(2)).unwrap();

        assert_ne!(old, new);
        assert_eq!(window.remove(old), None);
        assert_eq!(window.remove(new), Some(request(2)));
        assert_eq!(window.remove(TransactionId::from(7)), None);
    }

    #[test]
    fn loses_what_is_old_and_nothing_else() {
        let mut window = Window::new(3);
        for time in 1..=3 {
            window.insert(request(time)).unwrap();
        }
        let mut lost = Vec::new();
        window.remove_older(3, |request| lost.push(request.sent_at));
        assert_eq!(lost, [1, 2]);
        assert_eq!(window.free(), 2);
    }

    #[test]
    fn has_room_for_every_slot_number() {
        let mut window = Window::new(WINDOW_CAPACITY);
        assert_eq!(window.free(), WINDOW_CAPACITY);
        while window.insert(request(0)).is_some() {}
        assert_eq!(window.free(), 0);
    }
}
