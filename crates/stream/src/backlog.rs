//! Bytes of messages that are not complete.

use std::mem;

/// What has arrived of a connection and was not consumed.
///
/// Bytes that arrive while nothing is kept are processed where they were read to, and
/// only what is left of them is copied. Bytes that arrive while something is kept are
/// put behind it, and both are processed here. So a byte is copied once or twice,
/// however much is kept of its message: what is kept does not move when more arrives.
/// Where nothing is kept, there is no memory.
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

    /// What is kept.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        &mut self.0
    }

    /// Keeps more.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// All that is kept, and behind it what has arrived. To be followed by
    /// [`keep`](Self::keep).
    pub(crate) fn with<'a>(&'a mut self, arrived: &'a mut [u8]) -> &'a mut [u8] {
        if self.0.is_empty() {
            return arrived;
        }
        self.0.extend_from_slice(arrived);
        &mut self.0
    }

    /// Keeps what was not consumed of [that](Self::with); `consumed` bytes at its
    /// front were.
    pub(crate) fn keep(&mut self, arrived: &[u8], consumed: usize) {
        if self.0.is_empty() {
            self.0.extend_from_slice(&arrived[consumed..]);
        } else if consumed > 0 {
            // What is left has just arrived, and is no more than was read at once.
            // The memory of the message before it is given back.
            self.0 = self.0[consumed..].to_vec();
        }
    }

    /// Moves everything to where more can be put behind it: what is kept, if anything is,
    /// else `room`, whose content is forgotten. To be followed by
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

    /// Keeps what was not consumed of what was taken, and gives back what was lent.
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
    /// Whether the memory is that of the room.
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
