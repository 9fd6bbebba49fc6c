//! Which frames belong to the kernel and which to us.
//!
//! There is no list of free frames: those that we have are always a range of slots of a ring,
//! and the counters of the four rings, which are in shared memory, say which. So a consumer
//! that ends at any moment loses nothing: the next one reads the counters.
//!
//! * *Requests.* All frames for requests are given to the kernel at the start, through the
//!   ring of frames to be filled. Each comes back in the ring of received frames, and is
//!   given to the kernel again in the order in which it came. So if `n` frames were given
//!   in all, and there are `N`, then `n - N` have come and were given back, and the slots
//!   from there to the consumer's counter contain those that we have taken. They cannot have
//!   been overwritten: the ring has `N` slots.
//! * *Replies.* The free frames are those in the slots of the completion ring from `n - N`
//!   to the producer's counter, where `n` is the number of frames that were sent, and `N`
//!   that of all frames for replies. At the start, the slots before number 0 contain all of
//!   them; they are sent in the order of the slots.
//!
//! A batch is processed first and taken after that, so a request is answered although a
//! consumer was killed meanwhile: by the next one, and then perhaps twice. [`Progress`]
//! prevents that a request that ends every consumer is tried for ever.
//!
//! That ranges are enough holds for copy mode and for zero copy: it does not matter where
//! the kernel keeps the frames that it has, in rings, in a device or on their way.

use std::io;
use std::os::fd::BorrowedFd;

#[cfg(test)]
pub(crate) mod interruption;
#[cfg(test)]
mod tests;

use crate::memory::{Memory, Progress, Sizes};
use crate::ring::Ring;
use crate::system::Kind;
use crate::{BATCH, FRAME_LENGTH, OpenError};

/// How many consumers requests may end before they are dropped.
const MAX_ATTEMPTS: u16 = 2;

/// The bits of an address within its frame.
const WITHIN_FRAME: u64 = FRAME_LENGTH as u64 - 1;

/// A received frame, or a frame to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Descriptor {
    pub(crate) address: u64,
    pub(crate) length: u32,
}

impl Descriptor {
    /// As `struct xdp_desc`: an address, a length and options, of which there are none.
    fn to_words(self) -> [u64; 2] {
        let mut halves = [0; 8];
        halves[..4].copy_from_slice(&self.length.to_ne_bytes());
        [self.address, u64::from_ne_bytes(halves)]
    }

    fn from_words([address, rest]: [u64; 2]) -> Self {
        let [a, b, c, d, ..] = rest.to_ne_bytes();
        Self {
            address,
            length: u32::from_ne_bytes([a, b, c, d]),
        }
    }
}

/// The rings of a socket.
#[derive(Debug)]
pub(crate) struct Rings {
    pub(crate) fill: Ring<1>,
    pub(crate) completion: Ring<1>,
    pub(crate) receive: Ring<2>,
    pub(crate) transmit: Ring<2>,
}

impl Rings {
    /// Maps rings that have a slot for every frame.
    pub(crate) fn map(
        socket: BorrowedFd<'_>,
        offsets: &libc::xdp_mmap_offsets,
        sizes: Sizes,
    ) -> io::Result<Self> {
        let (requests, replies) = (sizes.requests(), sizes.replies());
        Ok(Self {
            fill: Ring::map(socket, Kind::Fill, &offsets.fr, requests)?,
            completion: Ring::map(socket, Kind::Completion, &offsets.cr, replies)?,
            receive: Ring::map(socket, Kind::Receive, &offsets.rx, requests)?,
            transmit: Ring::map(socket, Kind::Transmit, &offsets.tx, replies)?,
        })
    }

    /// Gives all frames to those who have them at the start. For rings that were just made.
    pub(crate) fn initialize(&self) {
        let (requests, replies) = (self.fill.entries(), self.completion.entries());
        for number in 0..requests {
            self.fill.set_slot(number, [address(number)]);
        }
        let first = 0u32.wrapping_sub(replies);
        for number in 0..replies {
            let slot = first.wrapping_add(number);
            self.completion.set_slot(slot, [address(requests + number)]);
        }
        self.completion.set_consumer(first);
        self.fill.set_producer(requests);
    }
}

/// The address of a frame.
fn address(number: u32) -> u64 {
    u64::from(number) * FRAME_LENGTH as u64
}

/// What a consumer found when it continued after another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Number of requests with which the previous consumer was not done, and which are
    /// received once more.
    pub repeated: usize,
    /// Number of requests that were dropped, because several consumers have ended while
    /// they were processed.
    pub dropped: usize,
}

/// The frames of a socket, for its only consumer.
#[derive(Debug)]
pub(crate) struct Frames {
    rings: Rings,
    memory: Memory,
    /// The number of the first slot that was not taken from the ring of received frames.
    next_request: u32,
    /// How many frames were sent.
    sent: u32,
    progress: Progress,
}

impl Frames {
    /// Continues where the previous consumer ended, whatever it did last.
    pub(crate) fn recover(rings: Rings, memory: Memory) -> Result<(Self, Recovered), OpenError> {
        let (requests, replies) = (rings.receive.entries(), rings.transmit.entries());
        let next_request = rings.receive.consumer();
        let sent = rings.transmit.producer();

        // Frames that were taken, and not given back.
        let given = rings.fill.producer();
        let returned = given.wrapping_sub(requests);
        let owed = next_request.wrapping_sub(returned);
        let waiting = rings.receive.producer().wrapping_sub(next_request);
        let unsent = sent.wrapping_sub(rings.transmit.consumer());
        let first_free = sent.wrapping_sub(replies);
        let free = rings.completion.producer().wrapping_sub(first_free);
        if owed.saturating_add(waiting) > requests || unsent.max(free) > replies {
            return Err(OpenError::Inconsistent);
        }
        let mut frames = Self {
            rings,
            memory,
            next_request,
            sent,
            progress: Progress::default(),
        };
        frames.give_back(returned, owed);
        frames.rings.completion.set_consumer(first_free);
        let recovered = frames.resume(waiting);
        Ok((frames, recovered))
    }

    /// Continues the batch of the previous consumer, if it was not done with it.
    fn resume(&mut self, waiting: u32) -> Recovered {
        let progress = self.memory.progress();
        let count = u32::from(progress.count).min(waiting) as usize;
        let mut recovered = Recovered::default();
        if progress.first != self.next_request || count == 0 {
            return recovered;
        }
        self.progress = progress;
        if progress.attempts < MAX_ATTEMPTS {
            recovered.repeated = count;
        } else {
            recovered.dropped = count;
            self.finish(count);
        }
        recovered
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// How many received frames wait.
    #[inline]
    pub(crate) fn waiting(&self) -> usize {
        let waiting = self
            .rings
            .receive
            .producer()
            .wrapping_sub(self.next_request);
        waiting as usize
    }

    /// Begins to process the first `count` frames that wait.
    #[inline]
    pub(crate) fn begin(&mut self, count: usize) {
        debug_assert!(count <= BATCH);
        // If earlier consumers have ended with these requests, it counts how many.
        let attempts = if self.progress.first == self.next_request {
            self.progress.attempts
        } else {
            0
        };
        self.progress = Progress {
            first: self.next_request,
            count: count as u16,
            attempts: attempts.saturating_add(1),
        };
        self.memory.set_progress(self.progress);
    }

    /// One of the frames that wait.
    #[inline]
    pub(crate) fn request(&self, index: usize) -> Descriptor {
        let slot = self.next_request.wrapping_add(index as u32);
        Descriptor::from_words(self.rings.receive.slot(slot))
    }

    /// Is done with the first `count` frames that wait, and gives them back to the kernel.
    #[inline]
    pub(crate) fn finish(&mut self, count: usize) {
        let (first, count) = (self.next_request, count as u32);
        self.next_request = first.wrapping_add(count);
        self.rings.receive.set_consumer(self.next_request);
        self.give_back(first, count);
        self.progress = Progress {
            first: self.next_request,
            ..Progress::default()
        };
        self.memory.set_progress(self.progress);
    }

    /// Gives `count` frames back to the kernel, which were taken from the slots from
    /// `first` on.
    #[inline]
    fn give_back(&self, first: u32, count: u32) {
        let given = self.rings.fill.producer();
        for number in 0..count {
            let words = self.rings.receive.slot(first.wrapping_add(number));
            let address = Descriptor::from_words(words).address & !WITHIN_FRAME;
            self.rings
                .fill
                .set_slot(given.wrapping_add(number), [address]);
        }
        self.rings.fill.set_producer(given.wrapping_add(count));
    }

    /// Whether the kernel waits for a call before it fills frames.
    #[inline]
    pub(crate) fn fill_needs_wakeup(&self) -> bool {
        self.rings.fill.needs_wakeup()
    }

    /// How many frames for replies are free.
    #[inline]
    pub(crate) fn free(&self) -> usize {
        let first = self.first_free();
        self.rings.completion.producer().wrapping_sub(first) as usize
    }

    /// The address of one of the free frames.
    #[inline]
    pub(crate) fn reply(&self, index: usize) -> u64 {
        let slot = self.first_free().wrapping_add(index as u32);
        self.rings.completion.slot(slot)[0] & !WITHIN_FRAME
    }

    /// Puts a frame where the kernel will look for it once [`send`](Self::send) was called
    /// for more than `index` frames.
    #[inline]
    pub(crate) fn put(&self, index: usize, frame: Descriptor) {
        let slot = self.sent.wrapping_add(index as u32);
        self.rings.transmit.set_slot(slot, frame.to_words());
    }

    /// Hands over `count` frames that were [put](Self::put): the first free ones, in their
    /// order.
    #[inline]
    pub(crate) fn send(&mut self, count: usize) {
        self.sent = self.sent.wrapping_add(count as u32);
        self.rings.completion.set_consumer(self.first_free());
        self.rings.transmit.set_producer(self.sent);
    }

    /// How many frames the kernel has not read that were handed over.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        self.sent.wrapping_sub(self.rings.transmit.consumer()) as usize
    }

    /// Whether the kernel waits for a call before it sends frames.
    #[inline]
    pub(crate) fn transmit_needs_wakeup(&self) -> bool {
        self.rings.transmit.needs_wakeup()
    }

    #[inline]
    fn first_free(&self) -> u32 {
        self.sent.wrapping_sub(self.rings.transmit.entries())
    }
}
