//! The memory that the kernel and a consumer of datagrams share, in a file that has no name.
//!
//! It consists of frames for requests, frames for replies, and a page that says how many
//! there are and how far the consumer is with its batch. Whoever has the file and the socket
//! needs nothing else to continue after a consumer that has ended, in whatever way.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::ring::step;
use crate::system::{self, Mapping};
use crate::{FRAME_LENGTH, OpenError};

/// The first bytes of the last page: what this is, and its version.
const MAGIC: u64 = u64::from_le_bytes(*b"aqxdp\0\0\x01");

/// Length of the page after the frames.
const PAGE_LENGTH: usize = 4096;

/// How many frames there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    requests: u32,
    replies: u32,
}

impl Sizes {
    /// 4,096 frames for requests and 2,048 for replies: 12 MiB.
    pub const DEFAULT: Self = Self {
        requests: 4096,
        replies: 2048,
    };

    /// The least and the greatest number of each.
    const MIN: u32 = 64;
    const MAX: u32 = 65_536;

    /// So many frames for requests, which wait in them, and for replies, until the device
    /// has sent them. Both are powers of two from 64 to 65,536; others give nothing.
    #[must_use]
    pub fn new(requests: u32, replies: u32) -> Option<Self> {
        let is_valid =
            |count: u32| count.is_power_of_two() && (Self::MIN..=Self::MAX).contains(&count);
        (is_valid(requests) && is_valid(replies)).then_some(Self { requests, replies })
    }

    /// Number of frames for requests, which are the first ones.
    #[must_use]
    pub fn requests(self) -> u32 {
        self.requests
    }

    /// Number of frames for replies, which follow.
    #[must_use]
    pub fn replies(self) -> u32 {
        self.replies
    }

    /// Length of all frames in bytes.
    #[must_use]
    pub fn frames_length(self) -> usize {
        (self.requests as usize + self.replies as usize) * FRAME_LENGTH
    }
}

/// The page after the frames.
#[repr(C)]
struct Page {
    magic: AtomicU64,
    requests: AtomicU32,
    replies: AtomicU32,
    /// The longest IP packet that the interface sends.
    mtu: AtomicU32,
    padding: AtomicU32,
    /// See [`Progress`].
    progress: AtomicU64,
}

/// How far a consumer is with its batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Progress {
    /// The number of the first slot of the ring of requests that belongs to the batch.
    pub(crate) first: u32,
    /// Number of requests; 0 if there is no batch.
    pub(crate) count: u16,
    /// How many consumers have begun with it.
    pub(crate) attempts: u16,
}

impl Progress {
    fn to_word(self) -> u64 {
        u64::from(self.first) | u64::from(self.count) << 32 | u64::from(self.attempts) << 48
    }

    fn from_word(word: u64) -> Self {
        Self {
            first: word as u32,
            count: (word >> 32) as u16,
            attempts: (word >> 48) as u16,
        }
    }
}

/// The shared memory, mapped.
#[derive(Debug)]
pub(crate) struct Memory {
    mapping: Mapping,
    sizes: Sizes,
    page: NonNull<Page>,
}

// SAFETY: the memory is not bound to a thread. The page is accessed atomically, and frames
// only by those who have them.
unsafe impl Send for Memory {}

impl Memory {
    /// Makes a file with so many frames, for an interface that sends packets up to `mtu`.
    pub(crate) fn create(sizes: Sizes, mtu: u32) -> io::Result<(OwnedFd, Self)> {
        let length = sizes.frames_length() + PAGE_LENGTH;
        let file = system::memory_file(c"aquatic-xdp", length)?;
        let memory = Self::map(file.as_fd(), sizes, length)?;
        let page = memory.page();
        page.requests.store(sizes.requests, Ordering::Relaxed);
        page.replies.store(sizes.replies, Ordering::Relaxed);
        page.mtu.store(mtu, Ordering::Relaxed);
        page.magic.store(MAGIC, Ordering::Release);
        Ok((file, memory))
    }

    /// Maps a file that another process may have made.
    pub(crate) fn open(file: BorrowedFd<'_>) -> Result<Self, OpenError> {
        let (_, _, length) = system::identify(file).map_err(OpenError::Memory)?;
        // Before the sizes are known, only the last page can be looked at.
        let frames_length = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_sub(PAGE_LENGTH))
            .filter(|length| length.is_multiple_of(PAGE_LENGTH))
            .ok_or(OpenError::Foreign)?;
        let page = Mapping::new(file, PAGE_LENGTH, frames_length as libc::off_t);
        let page = page.map_err(OpenError::Memory)?;
        // SAFETY: a whole page, all of whose bytes may have any value.
        let page = unsafe { page.start().cast::<Page>().as_ref() };
        if page.magic.load(Ordering::Acquire) != MAGIC {
            return Err(OpenError::Foreign);
        }
        let requests = page.requests.load(Ordering::Relaxed);
        let sizes = Sizes::new(requests, page.replies.load(Ordering::Relaxed))
            .filter(|sizes| sizes.frames_length() == frames_length)
            .ok_or(OpenError::Foreign)?;
        Self::map(file, sizes, length as usize).map_err(OpenError::Memory)
    }

    fn map(file: BorrowedFd<'_>, sizes: Sizes, length: usize) -> io::Result<Self> {
        let mapping = Mapping::new(file, length, 0)?;
        assert_eq!(length, sizes.frames_length() + PAGE_LENGTH);
        // SAFETY: the frames are followed by a page; a frame has half its length.
        let page = unsafe { mapping.start().add(sizes.frames_length()) }.cast();
        Ok(Self {
            mapping,
            sizes,
            page,
        })
    }

    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The mapping, of which the frames are the first part.
    pub(crate) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The longest IP packet that the interface sends.
    pub(crate) fn mtu(&self) -> usize {
        self.page().mtu.load(Ordering::Relaxed) as usize
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress::from_word(self.page().progress.load(Ordering::Acquire))
    }

    pub(crate) fn set_progress(&self, progress: Progress) {
        step();
        let word = progress.to_word();
        self.page().progress.store(word, Ordering::Release);
    }

    /// Some bytes of a frame for requests, if they are within one.
    ///
    /// # Safety
    ///
    /// Nobody writes to that frame as long as the result is used.
    #[inline]
    pub(crate) unsafe fn request(&self, address: u64, length: usize) -> Option<&[u8]> {
        let start = self.locate(address, length, false)?;
        // SAFETY: it is within the mapping; the rest by the caller's promise.
        Some(unsafe { std::slice::from_raw_parts(start.as_ptr(), length) })
    }

    /// The frame for a reply at this address, if there is one.
    ///
    /// # Safety
    ///
    /// Nobody else reads or writes that frame as long as the result is used.
    #[expect(
        clippy::mut_from_ref,
        reason = "the caller has the frame, not this value"
    )]
    #[inline]
    pub(crate) unsafe fn reply(&self, address: u64) -> Option<&mut [u8]> {
        let start = self.locate(address, FRAME_LENGTH, true)?;
        // SAFETY: it is within the mapping; the rest by the caller's promise.
        Some(unsafe { std::slice::from_raw_parts_mut(start.as_ptr(), FRAME_LENGTH) })
    }

    /// A pointer to bytes that are within one frame, for a reply or a request.
    #[inline]
    fn locate(&self, address: u64, length: usize, is_reply: bool) -> Option<NonNull<u8>> {
        let address = usize::try_from(address).ok()?;
        let first_reply = self.sizes.requests as usize * FRAME_LENGTH;
        let is_inside = address < self.sizes.frames_length()
            && (address >= first_reply) == is_reply
            && (address % FRAME_LENGTH).checked_add(length)? <= FRAME_LENGTH;
        // SAFETY: the frames are within the mapping.
        is_inside.then(|| unsafe { self.mapping.start().add(address) })
    }

    /// A pointer to any frame, for tests that play the kernel.
    #[cfg(test)]
    pub(crate) fn frame(&self, address: u64) -> NonNull<[u8; FRAME_LENGTH]> {
        let either = self.locate(address, FRAME_LENGTH, false);
        let start = either.or_else(|| self.locate(address, FRAME_LENGTH, true));
        start.expect("the start of a frame").cast()
    }

    fn page(&self) -> &Page {
        // SAFETY: it points into the mapping, which lives as long as `self`; all bytes may
        // have any value.
        unsafe { self.page.as_ref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_says_what_it_is() {
        let sizes = Sizes::new(128, 64).unwrap();
        let (file, memory) = Memory::create(sizes, 1500).unwrap();
        let progress = Progress {
            first: u32::MAX,
            count: 64,
            attempts: u16::MAX,
        };
        memory.set_progress(progress);
        let again = Memory::open(file.as_fd()).unwrap();
        assert_eq!((again.sizes(), again.mtu()), (sizes, 1500));
        assert_eq!(again.progress(), progress);
        // SAFETY: nobody else has these frames.
        unsafe {
            memory.reply(2048 * 191).unwrap()[2047] = 7;
            assert_eq!(again.reply(2048 * 191).unwrap()[2047], 7);
            assert_eq!(again.request(2048 * 127 + 2047, 1), Some(&[0][..]));
            for (address, length) in [(2048 * 128, 0), (2048 * 127 + 1, 2048), (u64::MAX, 1)] {
                assert!(again.request(address, length).is_none());
            }
            assert!(again.request(0, usize::MAX).is_none());
            for address in [2048 * 127, 2048 * 128 + 1, 2048 * 192, u64::MAX] {
                assert!(again.reply(address).is_none());
            }
        }
    }

    #[test]
    fn other_files_are_refused() {
        for length in [0, 4095, 4096, 8192, 128 * 2048, 128 * 2048 + 4096] {
            let file = system::memory_file(c"test", length).unwrap();
            let opened = Memory::open(file.as_fd());
            assert!(matches!(opened, Err(OpenError::Foreign)), "{length}");
        }
        let (file, memory) = Memory::create(Sizes::new(64, 64).unwrap(), 1500).unwrap();
        for requests in [0, 63, 128, u32::MAX] {
            memory.page().requests.store(requests, Ordering::Relaxed);
            let opened = Memory::open(file.as_fd());
            assert!(matches!(opened, Err(OpenError::Foreign)), "{requests}");
        }
    }

    #[test]
    fn sizes_are_checked() {
        for (requests, replies) in [(32, 64), (64, 100), (65, 64), (131_072, 64), (0, 0)] {
            assert_eq!(Sizes::new(requests, replies), None);
        }
        assert_eq!(Sizes::DEFAULT.frames_length(), 12 << 20);
        assert_eq!(Sizes::new(4096, 2048), Some(Sizes::DEFAULT));
    }
}
