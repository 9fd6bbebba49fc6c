//! Bytes of incomplete messages.

use std::mem;

/// The bytes of a connection that have arrived and were not consumed.
///
/// Bytes that arrive while the backlog is empty are processed in the input buffer, and only
/// the rest is copied here. Otherwise they are appended to the backlog, and all are
/// processed here. Bytes in the backlog do not move when more arrive, so a byte is copied
/// once or twice, however long its message is. An empty backlog has no memory.
#[derive(Default)]
pub(crate) struct Backlog(Vec<u8>);

impl Backlog {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Bytes of memory that are kept.
    pub(crate) fn kept_bytes(&self) -> usize {
        self.0.capacity()
    }

    /// The bytes that are kept.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Appends bytes.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// All kept bytes, followed by those that have arrived. To be followed by
    /// [`keep`](Self::keep).
    pub(crate) fn with<'a>(&'a mut self, arrived: &'a mut [u8]) -> &'a mut [u8] {
        if self.0.is_empty() {
            return arrived;
        }
        self.0.extend_from_slice(arrived);
        &mut self.0
    }

    /// Removes the first `consumed` bytes of [those](Self::with), and keeps the rest.
    pub(crate) fn keep(&mut self, arrived: &[u8], consumed: usize) {
        if self.0.is_empty() {
            self.0.extend_from_slice(&arrived[consumed..]);
        } else if consumed > 0 {
            // The rest has just arrived, and is not larger than one read. The memory of the
            // previous message is freed.
            self.0 = self.0[consumed..].to_vec();
        }
    }

    /// Moves all kept bytes to a buffer to which more can be appended: the backlog's own, or
    /// `room`, whose content is discarded, if the backlog is empty. To be followed by
    /// [`put_back`](Self::put_back).
    pub(crate) fn take_or(&mut self, room: &mut Vec<u8>) -> Taken {
        if self.0.is_empty() {
            room.clear();
            Taken {
                bytes: mem::take(room),
                is_lent: true,
            }
        } else {
            Taken {
                bytes: mem::take(&mut self.0),
                is_lent: false,
            }
        }
    }

    /// Keeps the unconsumed bytes of what was taken, and returns the buffer that was lent.
    pub(crate) fn put_back(&mut self, taken: Taken, consumed: usize, room: &mut Vec<u8>) {
        if taken.is_lent {
            self.0.extend_from_slice(&taken.bytes[consumed..]);
            *room = taken.bytes;
        } else {
            self.0 = taken.bytes;
            self.keep(&[], consumed);
        }
    }
}

/// What [`Backlog::take_or`] has taken.
pub(crate) struct Taken {
    pub(crate) bytes: Vec<u8>,
    /// Whether the memory belongs to `room`.
    is_lent: bool,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Pieces that arrive, and how much is consumed after each, in hundredths.
    fn pieces() -> impl Strategy<Value = Vec<(Vec<u8>, usize)>> {
        let consumed = prop_oneof![2 => Just(0), 1 => Just(100), 2 => 0..=100usize];
        prop::collection::vec((prop::collection::vec(any::<u8>(), 0..50), consumed), 1..40)
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_moved(pieces in pieces(), is_taken: bool) {
            let mut model: Vec<u8> = Vec::new();
            let mut backlog = Backlog::default();
            let mut room = Vec::new();
            for (mut arrived, hundredths) in pieces {
                model.extend_from_slice(&arrived);
                let consumed = model.len() * hundredths / 100;
                if is_taken {
                    let mut taken = backlog.take_or(&mut room);
                    taken.bytes.extend_from_slice(&arrived);
                    prop_assert_eq!(&taken.bytes, &model);
                    backlog.put_back(taken, consumed, &mut room);
                } else {
                    prop_assert_eq!(backlog.with(&mut arrived), model.as_mut_slice());
                    backlog.keep(&arrived, consumed);
                }
                model.drain(..consumed);
                prop_assert_eq!(backlog.bytes(), model.as_mut_slice());
                if model.is_empty() {
                    prop_assert_eq!(backlog.kept_bytes(), 0);
                }
            }
        }
    }

    #[test]
    fn what_is_complete_is_processed_where_it_was_read() {
        let mut backlog = Backlog::default();
        let mut arrived = [7; 100];
        let place = arrived.as_ptr();
        assert_eq!(backlog.with(&mut arrived).as_ptr(), place);
        backlog.keep(&arrived, 100);
        assert_eq!(backlog.kept_bytes(), 0);
    }

    #[test]
    fn memory_of_a_message_is_not_kept_for_the_next() {
        let mut backlog = Backlog::default();
        let mut arrived = vec![7; 1 << 20];
        backlog.with(&mut arrived);
        backlog.keep(&arrived, 0);
        let mut more = [8; 10];
        backlog.with(&mut more);
        backlog.keep(&more, (1 << 20) + 3);
        assert_eq!(backlog.bytes(), [8; 7]);
        assert!(backlog.kept_bytes() < 100);
    }
}
