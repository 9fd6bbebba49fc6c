//! Datagrams received and sent in batches; replies come from the address that
//! was asked.
//!
//! The only unsafe code of this crate: the system calls `recvmmsg(2)` and
//! `sendmmsg(2)`, and the structures they take, which point into buffers of
//! this module. What these calls promise, and what is owed to them:
//!
//! * recvmmsg(2): "a nonblocking call reads as many messages as are available (up
//!   to the limit) and returns immediately". Of each header that was used, the
//!   kernel writes `msg_namelen`, `msg_controllen` and `msg_flags`, so the first two
//!   are set again before the next call. "If an error occurs after at least one
//!   message has been received, the call succeeds", and the error, if it comes
//!   again, belongs to the next call.
//! * sendmmsg(2): "an error is returned only if no datagrams could be sent": it is
//!   that of the first one. A shorter count than was asked for means an error that
//!   "is lost": one goes on with the first that was not sent.
//! * Both take pointers, which have to be good until the call returns; nothing is
//!   kept by the kernel.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use aquatic_udp_protocol::{INFO_HASH_LENGTH, SCRAPE_REQUEST_HEADER_LENGTH};

use crate::limits;
use crate::tracker::Exchange;

mod packet_info;

use packet_info::Control;
pub(crate) use packet_info::tell_asked_address;

/// How many datagrams a batch has at most.
pub(crate) const BATCH: usize = 64;

/// Bytes of a datagram that are read: a scrape of as many torrents as can be
/// answered. What is cut off a longer scrape are whole info hashes, and what is
/// cut off an announce are options, so both are still served.
pub(crate) const MAX_REQUEST_LENGTH: usize =
    SCRAPE_REQUEST_HEADER_LENGTH + INFO_HASH_LENGTH * *limits::SCRAPE_TORRENTS.end();

/// Bytes of a reply: what fits an Ethernet frame over IPv4.
pub const MAX_REPLY_LENGTH: usize = 1472;

/// How long a full send buffer may hold up the worker before replies are lost.
const MAX_SEND_WAIT: Duration = Duration::from_millis(10);

/// How often a full send buffer is waited for in a batch: as often as there are
/// replies in it would be 0.64 s.
const MAX_SEND_WAITS: usize = 2;

/// Calls for a batch at most: one for each reply, if each of them fails, and those
/// that were interrupted or had to wait.
const MAX_SEND_CALLS: usize = BATCH + 8;

/// Bytes of the largest internet address.
const NAME_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;

/// A batch of received datagrams, and the replies to them.
pub(crate) struct Datagrams {
    buffers: Box<Buffers>,
    /// Point into `buffers`, which never moves.
    headers: Box<[libc::mmsghdr; BATCH]>,
    reply_headers: Box<[libc::mmsghdr; BATCH]>,
    received: usize,
    replies: usize,
}

struct Buffers {
    requests: [[u8; MAX_REQUEST_LENGTH]; BATCH],
    replies: [[u8; MAX_REPLY_LENGTH]; BATCH],
    sources: [libc::sockaddr_in6; BATCH],
    /// Where requests were sent to, and then where their replies are sent from.
    controls: [Control; BATCH],
    request_vectors: [libc::iovec; BATCH],
    reply_vectors: [libc::iovec; BATCH],
}

/// What became of queued replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SendReport {
    /// Replies that the system took.
    pub sent: usize,
    /// Replies that it did not take: its buffer is full, the network or a
    /// firewall refuses them, or the machine no longer has the address that was
    /// asked.
    pub failed: usize,
}

// SAFETY: the pointers in the headers point into the same value's `buffers`,
// which the box keeps in place when the value moves to another thread.
unsafe impl Send for Datagrams {}

impl Datagrams {
    /// Buffers for one batch, about a quarter of a mebibyte.
    pub(crate) fn new() -> Self {
        // SAFETY: arrays of integers, of sockaddr_in6, of cmsghdr and of iovec are
        // valid when all their bytes are zero.
        let buffers: Box<Buffers> = unsafe { Box::new_zeroed().assume_init() };
        // SAFETY: as above, for mmsghdr.
        let headers: Box<[libc::mmsghdr; BATCH]> = unsafe { Box::new_zeroed().assume_init() };
        let mut batch = Self {
            buffers,
            reply_headers: headers.clone(),
            headers,
            received: 0,
            replies: 0,
        };
        let Buffers {
            requests,
            replies,
            sources,
            controls,
            request_vectors,
            reply_vectors,
        } = &mut *batch.buffers;
        for index in 0..BATCH {
            request_vectors[index] = libc::iovec {
                iov_base: requests[index].as_mut_ptr().cast(),
                iov_len: MAX_REQUEST_LENGTH,
            };
            let header = &mut batch.headers[index].msg_hdr;
            header.msg_name = (&raw mut sources[index]).cast();
            header.msg_namelen = NAME_LENGTH;
            header.msg_iov = &raw mut request_vectors[index];
            header.msg_iovlen = 1;
            controls[index].prepare(header);

            reply_vectors[index].iov_base = replies[index].as_mut_ptr().cast();
            let header = &mut batch.reply_headers[index].msg_hdr;
            header.msg_iovlen = 1;
        }
        batch
    }

    /// Reads up to [`BATCH`] datagrams without waiting; returns how many.
    /// Fewer than `BATCH` mean that no more were there.
    ///
    /// # Errors
    ///
    /// What `recvmmsg(2)` says, but for "would block", which is 0 datagrams,
    /// and for errors that belong to a reply sent earlier.
    pub(crate) fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        // The kernel wrote over the lengths of those that it used.
        for header in &mut self.headers[..self.received] {
            header.msg_hdr.msg_namelen = NAME_LENGTH;
            Control::reset(&mut header.msg_hdr);
        }
        self.received = 0;
        self.replies = 0;
        // SAFETY: `headers` has BATCH entries. Each points to a name, to control
        // messages and to one vector of the lengths it says, in `buffers`, which are
        // borrowed mutably here and not used by the kernel after the call.
        let count = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH as libc::c_uint,
                libc::MSG_DONTWAIT,
                std::ptr::null_mut(),
            )
        };
        self.received = match usize::try_from(count) {
            Ok(count) => count,
            Err(_) => match io::Error::last_os_error() {
                error if is_passing(&error) => 0,
                error => return Err(error),
            },
        };
        Ok(self.received)
    }

    /// The datagrams with the numbers in `range`, of those that were received,
    /// each with room for its reply.
    pub(crate) fn exchanges(&mut self, range: Range<usize>) -> impl Iterator<Item = Exchange<'_>> {
        let range = range.start.min(self.received)..range.end.min(self.received);
        let Buffers {
            requests,
            replies,
            sources,
            ..
        } = &mut *self.buffers;
        let buffers = requests[range.clone()]
            .iter()
            .zip(&mut replies[range.clone()])
            .zip(&sources[range.clone()]);
        let received = self.headers[range].iter().zip(buffers);
        received.map(|(header, ((request, reply), source))| Exchange {
            source: socket_address(source),
            request: &request[..header.msg_len as usize],
            reply,
            outcome: None,
        })
    }

    /// Queues the first `length` bytes of the reply at `index`, to be sent
    /// where the datagram at `index` came from, from where it was sent to. Once for
    /// each datagram that was received.
    pub(crate) fn queue_reply(&mut self, index: usize, length: usize) {
        let vector = &mut self.buffers.reply_vectors[index];
        vector.iov_len = length.min(MAX_REPLY_LENGTH);
        let source = &self.headers[index].msg_hdr;
        let header = &mut self.reply_headers[self.replies].msg_hdr;
        header.msg_iov = vector;
        header.msg_name = source.msg_name;
        header.msg_namelen = source.msg_namelen;
        let control = &mut self.buffers.controls[index];
        control.send_from(control.asked(source), header);
        self.replies += 1;
    }

    /// Sends what was queued. A reply that cannot be sent takes no other with it.
    pub(crate) fn send_replies(&mut self, socket: BorrowedFd<'_>) -> SendReport {
        let mut sent = 0;
        let mut waits = 0;
        let mut next = 0;
        for _ in 0..MAX_SEND_CALLS {
            let rest = &mut self.reply_headers[next..self.replies];
            if rest.is_empty() {
                break;
            }
            // SAFETY: `rest` has as many entries as it says. Each points to a
            // name, to control messages and to one vector in `buffers`, which the
            // kernel only reads.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                sent += count;
                next += count;
                continue;
            }
            // The error belongs to the first of the rest.
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    waits += 1;
                    if waits > MAX_SEND_WAITS || !wait_until_writable(socket.as_raw_fd()) {
                        break;
                    }
                }
                _ => next += 1,
            }
        }
        let report = SendReport {
            sent,
            failed: self.replies - sent,
        };
        self.replies = 0;
        report
    }
}

impl Default for Datagrams {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a receive error says nothing about the socket: there is no datagram
/// now, an ICMP message came about a reply sent earlier, or memory is short.
fn is_passing(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted, NetworkUnreachable,
        OutOfMemory, WouldBlock,
    };
    error.raw_os_error() == Some(libc::ENOBUFS)
        || matches!(
            error.kind(),
            WouldBlock
                | Interrupted
                | ConnectionRefused
                | ConnectionReset
                | HostUnreachable
                | NetworkUnreachable
                | OutOfMemory
        )
}

/// Waits for room in the send buffer; returns whether it is worth another try.
fn wait_until_writable(socket: RawFd) -> bool {
    let mut interest = libc::pollfd {
        fd: socket,
        events: libc::POLLOUT,
        revents: 0,
    };
    // SAFETY: one entry, which lives until the call returns.
    unsafe {
        libc::poll(
            &raw mut interest,
            1,
            MAX_SEND_WAIT.as_millis() as libc::c_int,
        ) > 0
    }
}

/// Reads an address that the kernel wrote. What is none of the internet has
/// port 0, so that it is not answered.
#[inline]
fn socket_address(raw: &libc::sockaddr_in6) -> SocketAddr {
    match libc::c_int::from(raw.sin6_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote a sockaddr_in, which is smaller than
            // and no more aligned than sockaddr_in6.
            let raw = unsafe { &*(&raw const *raw).cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            SocketAddr::from((address, u16::from_be(raw.sin_port)))
        }
        libc::AF_INET6 => {
            let address = Ipv6Addr::from(raw.sin6_addr.s6_addr);
            SocketAddr::from((address, u16::from_be(raw.sin6_port)))
        }
        _ => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
    }
}

#[cfg(test)]
mod tests;
