//! Requests and replies of a client, over connected sockets.

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::ptr;
use std::time::Duration;

use crate::{BATCH, system};

/// Maximum length of a request: what fits an Ethernet frame.
pub const REQUEST_CAPACITY: usize = 1500;

/// Maximum length of a reply; longer ones are truncated.
pub const REPLY_CAPACITY: usize = 4096;

/// Requests to be sent through a connected socket.
pub struct Outgoing {
    slots: Slots<REQUEST_CAPACITY>,
    count: usize,
}

impl Outgoing {
    /// Creates an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Slots::new(),
            count: 0,
        }
    }

    /// Appends a datagram; `write` returns its length.
    ///
    /// # Panics
    ///
    /// If the batch already has [`BATCH`] datagrams.
    pub fn push(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let length = write(self.slots.slot_mut(self.count));
        self.slots.vectors[self.count].iov_len = length.min(REQUEST_CAPACITY);
        self.count += 1;
    }

    /// Number of datagrams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no datagrams.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Total length of the first `count` datagrams.
    #[must_use]
    pub fn bytes(&self, count: usize) -> usize {
        let vectors = &self.slots.vectors[..count.min(self.count)];
        vectors.iter().map(|vector| vector.iov_len).sum()
    }

    /// Removes all datagrams.
    pub fn clear(&mut self) {
        self.count = 0;
    }

    /// Sends the datagrams from `first` on; returns how many were sent, at least one.
    ///
    /// # Errors
    ///
    /// The error of `sendmmsg(2)` for the first of them.
    pub fn send(&mut self, socket: &UdpSocket, first: usize) -> io::Result<usize> {
        let headers = &mut self.slots.headers[first..self.count];
        // SAFETY: each header points to one vector and this to a slot, all in
        // `self.slots`, which is borrowed mutably here.
        unsafe { system::send(socket.as_fd(), headers) }
    }
}

impl Default for Outgoing {
    fn default() -> Self {
        Self::new()
    }
}

/// Replies received from a socket.
pub struct Incoming {
    slots: Slots<REPLY_CAPACITY>,
    count: usize,
}

impl Incoming {
    /// Creates an empty batch.
    #[must_use]
    pub fn new() -> Self {
        Self {
            slots: Slots::new(),
            count: 0,
        }
    }

    /// Reads up to `limit` datagrams without waiting.
    ///
    /// # Errors
    ///
    /// Those of `recvmmsg(2)`; `WouldBlock` if there are no datagrams.
    pub fn receive(&mut self, socket: &UdpSocket, limit: usize) -> io::Result<()> {
        self.count = 0;
        let headers = &mut self.slots.headers[..limit.min(BATCH)];
        // SAFETY: as in `send`; vectors have the lengths of their slots.
        self.count = unsafe { system::receive(socket.as_fd(), headers)? };
        Ok(())
    }

    /// Number of replies.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether there are no replies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The replies; those longer than [`REPLY_CAPACITY`] are truncated.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let lengths = self.slots.headers[..self.count].iter();
        lengths.enumerate().map(|(index, header)| {
            let length = (header.msg_len as usize).min(REPLY_CAPACITY);
            &self.slots.slot(index)[..length]
        })
    }
}

impl Default for Incoming {
    fn default() -> Self {
        Self::new()
    }
}

/// Waits until one of the sockets is readable or the timeout has passed.
///
/// # Errors
///
/// Those of `ppoll(2)`; a signal ends the wait without an error.
pub fn wait_readable(sockets: &mut [PollEntry], timeout: Duration) -> io::Result<()> {
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs() as libc::time_t,
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: PollEntry is a transparent `pollfd`, the pointer and the length
    // are one slice's, and a null signal mask changes none.
    let ready = unsafe {
        libc::ppoll(
            sockets.as_mut_ptr().cast(),
            sockets.len() as libc::nfds_t,
            &timeout,
            ptr::null(),
        )
    };
    if ready < 0 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(())
}

/// A socket to wait for.
#[repr(transparent)]
pub struct PollEntry(libc::pollfd);

impl PollEntry {
    /// Waits until it is readable.
    #[must_use]
    pub fn readable(socket: &UdpSocket) -> Self {
        let fd: RawFd = socket.as_raw_fd();
        Self(libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
    }
}

/// Memory for a batch of datagrams of up to `SIZE` bytes, with the headers for the kernel.
struct Slots<const SIZE: usize> {
    memory: Box<[u8]>,
    /// Point into `memory`, which never moves.
    vectors: Box<[libc::iovec]>,
    /// Point to `vectors`, which never move either.
    headers: Box<[libc::mmsghdr]>,
}

impl<const SIZE: usize> Slots<SIZE> {
    /// The distance between slots is a cache line more than their size, because at
    /// distances of a power of two they would compete for cache sets.
    const STRIDE: usize = SIZE.next_multiple_of(64) + 64;

    fn new() -> Self {
        let mut memory = vec![0; Self::STRIDE * BATCH].into_boxed_slice();
        let slots = memory.chunks_exact_mut(Self::STRIDE);
        let mut vectors: Box<[_]> = slots
            .map(|slot| libc::iovec {
                iov_base: slot.as_mut_ptr().cast(),
                iov_len: SIZE,
            })
            .collect();
        let headers = vectors
            .iter_mut()
            .map(|vector| {
                // SAFETY: a header is integers and pointers, for all of which zero is
                // a value: no address, no vectors, no control messages, no flags.
                let mut header: libc::mmsghdr = unsafe { mem::zeroed() };
                header.msg_hdr.msg_iov = vector;
                header.msg_hdr.msg_iovlen = 1;
                header
            })
            .collect();
        Self {
            memory,
            vectors,
            headers,
        }
    }

    fn slot(&self, index: usize) -> &[u8] {
        &self.memory[index * Self::STRIDE..][..SIZE]
    }

    fn slot_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.memory[index * Self::STRIDE..][..SIZE]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocket, UdpSocket) {
        let left = UdpSocket::bind("127.0.0.1:0").unwrap();
        let right = UdpSocket::bind("127.0.0.1:0").unwrap();
        left.connect(right.local_addr().unwrap()).unwrap();
        right.connect(left.local_addr().unwrap()).unwrap();
        (left, right)
    }

    fn push(outgoing: &mut Outgoing, bytes: &[u8]) {
        outgoing.push(|buffer| {
            buffer[..bytes.len()].copy_from_slice(bytes);
            bytes.len()
        });
    }

    #[test]
    fn carries_a_batch_and_its_rest() {
        let (left, right) = pair();
        let mut outgoing = Outgoing::new();
        for text in ["lost", "one", "", "three"] {
            push(&mut outgoing, text.as_bytes());
        }
        assert_eq!(outgoing.bytes(2), 7);
        assert_eq!(outgoing.send(&left, 1).unwrap(), 3);

        let mut incoming = Incoming::new();
        wait_readable(&mut [PollEntry::readable(&right)], Duration::from_secs(5)).unwrap();
        incoming.receive(&right, 64).unwrap();
        let received: Vec<&[u8]> = incoming.iter().collect();
        assert_eq!(received, [&b"one"[..], b"", b"three"]);
    }

    #[test]
    fn reads_datagrams_that_are_too_large_up_to_the_capacity() {
        let (left, right) = pair();
        left.send(&[7; REPLY_CAPACITY + 10]).unwrap();
        let mut incoming = Incoming::new();
        wait_readable(&mut [PollEntry::readable(&right)], Duration::from_secs(5)).unwrap();
        incoming.receive(&right, 64).unwrap();
        assert_eq!(incoming.iter().next().unwrap(), [7; REPLY_CAPACITY]);
    }

    #[test]
    fn nothing_to_read_is_no_wait() {
        let (left, _right) = pair();
        let error = Incoming::new().receive(&left, 1).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);

        let entries = &mut [PollEntry::readable(&left)];
        wait_readable(entries, Duration::from_micros(10)).unwrap();
    }
}
