//! A ring that is shared with the kernel.
//!
//! Documentation/networking/af_xdp.rst: "The rings are single-producer/single-consumer". A
//! producer writes slots and then advances its counter; a consumer advances its own after it
//! has read them. Counters run through all numbers of 32 bits, and the slot of a number is
//! its low bits. Everything here is an access to one number, so there is no loop, and what
//! the other side writes can be wrong without harm to memory: a slot is always within the
//! ring.

use std::io;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};

use crate::system::{Kind, Mapping};

/// A ring whose slots have `WORDS` words of 64 bits: 1 for the address of a frame, 2 for a
/// descriptor, which is an address, a length (the low half of the second word on machines
/// that are little-endian) and options.
#[derive(Debug)]
pub(crate) struct Ring<const WORDS: usize> {
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    flags: NonNull<AtomicU32>,
    slots: NonNull<AtomicU64>,
    /// Number of slots less one, which is a power of two.
    mask: u32,
    /// What the pointers point into.
    _memory: Mapping,
}

// SAFETY: the memory is not bound to a thread, and all accesses to it are atomic.
unsafe impl<const WORDS: usize> Send for Ring<WORDS> {}

impl<const WORDS: usize> Ring<WORDS> {
    /// Maps a ring of `entries`, a power of two, whose parts are at these offsets.
    pub(crate) fn map(
        file: BorrowedFd<'_>,
        kind: Kind,
        offsets: &libc::xdp_ring_offset,
        entries: u32,
    ) -> io::Result<Self> {
        assert!(entries.is_power_of_two(), "the sizes were checked");
        let slots_length = entries as usize * WORDS * size_of::<AtomicU64>();
        let length = offsets.desc as usize + slots_length;
        let memory = Mapping::new(file, length, kind.page_offset())?;
        let [producer, consumer, flags] = [offsets.producer, offsets.consumer, offsets.flags]
            .map(|offset| part::<AtomicU32>(&memory, offset, size_of::<AtomicU32>()));
        Ok(Self {
            producer: producer?,
            consumer: consumer?,
            flags: flags?,
            slots: part(&memory, offsets.desc, slots_length)?,
            mask: entries - 1,
            _memory: memory,
        })
    }

    /// Number of slots.
    pub(crate) fn entries(&self) -> u32 {
        self.mask + 1
    }

    /// How many slots were produced. What was written before into them can be read.
    #[inline]
    pub(crate) fn producer(&self) -> u32 {
        // SAFETY: it points into the mapping, which lives as long as `self`.
        unsafe { self.producer.as_ref() }.load(Ordering::Acquire)
    }

    /// How many slots were consumed.
    #[inline]
    pub(crate) fn consumer(&self) -> u32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }.load(Ordering::Acquire)
    }

    /// Hands slots up to this number to the consumer.
    #[inline]
    pub(crate) fn set_producer(&self, number: u32) {
        step();
        // SAFETY: as above.
        unsafe { self.producer.as_ref() }.store(number, Ordering::Release);
    }

    /// Hands slots up to this number back to the producer.
    #[inline]
    pub(crate) fn set_consumer(&self, number: u32) {
        step();
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }.store(number, Ordering::Release);
    }

    /// The words of a slot.
    #[inline]
    pub(crate) fn slot(&self, number: u32) -> [u64; WORDS] {
        std::array::from_fn(|word| self.word(number, word).load(Ordering::Relaxed))
    }

    /// Writes a slot. Nobody sees that before its number is handed over.
    #[inline]
    pub(crate) fn set_slot(&self, number: u32, words: [u64; WORDS]) {
        step();
        for (word, value) in words.into_iter().enumerate() {
            self.word(number, word).store(value, Ordering::Relaxed);
        }
    }

    /// Whether the kernel waits for a call before it looks at what was produced.
    #[inline]
    pub(crate) fn needs_wakeup(&self) -> bool {
        // What was produced has to be visible before the flag is read: the kernel sets the
        // flag first, and then looks at the ring once more.
        fence(Ordering::SeqCst);
        // SAFETY: as above.
        let flags = unsafe { self.flags.as_ref() }.load(Ordering::Relaxed);
        flags & libc::XDP_RING_NEED_WAKEUP != 0
    }

    #[inline]
    fn word(&self, number: u32, word: usize) -> &AtomicU64 {
        assert!(word < WORDS);
        let index = (number & self.mask) as usize * WORDS + word;
        // SAFETY: the mapping has `mask + 1` slots of `WORDS` words from there on.
        unsafe { self.slots.add(index).as_ref() }
    }
}

/// A pointer to a part of a mapping, of `length` bytes.
fn part<T>(memory: &Mapping, offset: u64, length: usize) -> io::Result<NonNull<T>> {
    let offset = offset as usize;
    let is_inside = offset
        .checked_add(length)
        .is_some_and(|end| end <= memory.length());
    if !is_inside || !offset.is_multiple_of(align_of::<T>()) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // SAFETY: it is within the mapping, which starts at a page.
    Ok(unsafe { memory.start().add(offset) }.cast())
}

/// Called before each change of shared memory: where a test can end the process.
#[cfg(not(test))]
#[inline]
pub(crate) fn step() {}

#[cfg(test)]
pub(crate) use crate::frames::interruption::step;
