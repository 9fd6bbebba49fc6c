//! Batches of datagrams, many to a system call.
//!
//! The only module of this crate with unsafe code: `recvmmsg`, `sendmmsg` and
//! `ppoll` have no safe form that neither allocates nor copies.

use std::io;
use std::mem;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::ptr;
use std::time::Duration;

/// Datagrams in a batch at most.
pub(crate) const BATCH_CAPACITY: usize = 64;

/// The largest request: what fits an Ethernet frame.
pub(crate) const REQUEST_CAPACITY: usize = 1500;

/// The largest reply that is read whole.
pub(crate) const REPLY_CAPACITY: usize = 4096;

/// Requests waiting to be sent through one connected socket.
pub(crate) struct Outgoing {
    slots: Slots<REQUEST_CAPACITY>,
    lengths: [usize; BATCH_CAPACITY],
    count: usize,
}

impl Outgoing {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slots::new(),
            lengths: [0; BATCH_CAPACITY],
            count: 0,
        }
    }

    /// Appends a datagram; `write` returns its length.
    ///
    /// # Panics
    ///
    /// When there are [`BATCH_CAPACITY`] already.
    pub(crate) fn push(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let length = write(self.slots.slot_mut(self.count));
        self.lengths[self.count] = length.min(REQUEST_CAPACITY);
        self.count += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The number of bytes in the first `count` datagrams.
    pub(crate) fn bytes(&self, count: usize) -> usize {
        self.lengths[..count.min(self.count)].iter().sum()
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
    }

    /// Sends the datagrams from `first` on; returns how many went out, which
    /// is at least one.
    pub(crate) fn send(&mut self, socket: &UdpSocket, first: usize) -> io::Result<usize> {
        let headers = self.slots.headers(first, &self.lengths[first..self.count]);
        // SAFETY: each header points to one I/O vector and this to a slot of
        // `self.slots`, all alive and borrowed until the call returns; lengths
        // are within the slots. The count is the number of headers.
        let sent = unsafe {
            libc::sendmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as u32,
                libc::MSG_DONTWAIT,
            )
        };
        // Negative means an error.
        usize::try_from(sent).map_err(|_| io::Error::last_os_error())
    }
}

/// Replies read from a socket.
pub(crate) struct Incoming {
    slots: Slots<REPLY_CAPACITY>,
    lengths: [usize; BATCH_CAPACITY],
    count: usize,
}

impl Incoming {
    pub(crate) fn new() -> Self {
        Self {
            slots: Slots::new(),
            lengths: [0; BATCH_CAPACITY],
            count: 0,
        }
    }

    /// Reads what is there, `limit` datagrams at most, without waiting. No
    /// datagrams is `WouldBlock`.
    pub(crate) fn receive(&mut self, socket: &UdpSocket, limit: usize) -> io::Result<()> {
        self.count = 0;
        let capacities = &[REPLY_CAPACITY; BATCH_CAPACITY][..limit.min(BATCH_CAPACITY)];
        let headers = self.slots.headers(0, capacities);
        // SAFETY: each header points to one I/O vector and this to a slot of
        // `self.slots`, all alive and borrowed until the call returns; lengths
        // are the slots' own. The count is the number of headers. A null
        // timeout is none.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                headers.as_mut_ptr(),
                headers.len() as u32,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
            )
        };
        // Negative means an error.
        let count = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        for (length, header) in self.lengths.iter_mut().zip(&headers[..count]) {
            *length = (header.msg_len as usize).min(REPLY_CAPACITY);
        }
        self.count = count;
        Ok(())
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.count).map(|index| &self.slots.slot(index)[..self.lengths[index]])
    }
}

/// Sleeps until one of the sockets has something to read or the time is over.
pub(crate) fn wait_readable(sockets: &mut [PollEntry], timeout: Duration) -> io::Result<()> {
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
pub(crate) struct PollEntry(libc::pollfd);

impl PollEntry {
    pub(crate) fn readable(socket: &UdpSocket) -> Self {
        let fd: RawFd = socket.as_raw_fd();
        Self(libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        })
    }
}

/// Memory for a batch of datagrams of up to `SIZE` bytes, with the headers that
/// the kernel reads.
struct Slots<const SIZE: usize> {
    memory: Box<[u8]>,
    vectors: Box<[libc::iovec]>,
    messages: Box<[libc::mmsghdr]>,
}

impl<const SIZE: usize> Slots<SIZE> {
    /// Slots lie one cache line further apart than their size, because at
    /// distances of a power of two they would compete for cache sets.
    const STRIDE: usize = SIZE.next_multiple_of(64) + 64;

    fn new() -> Self {
        let vector = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        // SAFETY: a message header is integers and pointers, for all of which
        // zero is a value: no address, no vectors, no control data, no flags.
        let message: libc::mmsghdr = unsafe { mem::zeroed() };
        Self {
            memory: vec![0; Self::STRIDE * BATCH_CAPACITY].into_boxed_slice(),
            vectors: vec![vector; BATCH_CAPACITY].into_boxed_slice(),
            messages: vec![message; BATCH_CAPACITY].into_boxed_slice(),
        }
    }

    fn slot(&self, index: usize) -> &[u8] {
        &self.memory[index * Self::STRIDE..][..SIZE]
    }

    fn slot_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.memory[index * Self::STRIDE..][..SIZE]
    }

    /// Headers for the slots from `first` on, one for each length. They point
    /// into these slots and are good until the slots are touched again.
    fn headers(&mut self, first: usize, lengths: &[usize]) -> &mut [libc::mmsghdr] {
        let slots = self.memory.chunks_exact_mut(Self::STRIDE).skip(first);
        let headers = self.vectors.iter_mut().zip(self.messages.iter_mut());
        for ((slot, length), (vector, message)) in slots.zip(lengths).zip(headers) {
            vector.iov_base = slot.as_mut_ptr().cast();
            vector.iov_len = (*length).min(SIZE);
            message.msg_hdr.msg_iov = vector;
            message.msg_hdr.msg_iovlen = 1;
        }
        &mut self.messages[..lengths.len()]
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
