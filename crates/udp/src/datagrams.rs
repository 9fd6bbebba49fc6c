//! Datagrams received and sent in batches.
//!
//! The only unsafe code of this crate: the system calls `recvmmsg(2)` and
//! `sendmmsg(2)`, and the structures they take, which point into buffers of
//! this module.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::time::Duration;

use aquatic_udp_protocol::{INFO_HASH_LENGTH, SCRAPE_REQUEST_HEADER_LENGTH};

use crate::limits;
use crate::tracker::Exchange;

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
    request_vectors: [libc::iovec; BATCH],
    reply_vectors: [libc::iovec; BATCH],
}

/// What became of queued replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SendReport {
    /// Replies that the system took.
    pub sent: usize,
    /// Replies that it did not take: its buffer is full, or the network or a
    /// firewall refuses them.
    pub failed: usize,
}

// SAFETY: the pointers in the headers point into the same value's `buffers`,
// which the box keeps in place when the value moves to another thread.
unsafe impl Send for Datagrams {}

impl Datagrams {
    /// Buffers for one batch, about a quarter of a mebibyte.
    pub(crate) fn new() -> Self {
        // SAFETY: arrays of integers, of sockaddr_in6 and of iovec are valid
        // when all their bytes are zero.
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
        }
        self.received = 0;
        self.replies = 0;
        // SAFETY: `headers` has BATCH entries. Each points to a name and to
        // one vector of the lengths it says, in `buffers`, which are borrowed
        // mutably here and not otherwise used by the kernel after the call.
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
    /// where the datagram at `index` came from.
    pub(crate) fn queue_reply(&mut self, index: usize, length: usize) {
        let vector = &mut self.buffers.reply_vectors[index];
        vector.iov_len = length.min(MAX_REPLY_LENGTH);
        let source = &self.headers[index].msg_hdr;
        let header = &mut self.reply_headers[self.replies].msg_hdr;
        header.msg_iov = vector;
        header.msg_name = source.msg_name;
        header.msg_namelen = source.msg_namelen;
        self.replies += 1;
    }

    /// Sends what was queued.
    pub(crate) fn send_replies(&mut self, socket: BorrowedFd<'_>) -> SendReport {
        let mut report = SendReport::default();
        let mut may_wait = true;
        let mut next = 0;
        while next < self.replies {
            let rest = &mut self.reply_headers[next..self.replies];
            // SAFETY: `rest` has as many entries as it says. Each points to a
            // name and to one vector in `buffers`, which the kernel only reads.
            let count = unsafe {
                libc::sendmmsg(
                    socket.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as libc::c_uint,
                    libc::MSG_DONTWAIT,
                )
            };
            if let Ok(count) = usize::try_from(count) {
                report.sent += count;
                next += count;
                continue;
            }
            // The error belongs to the first of the rest.
            match io::Error::last_os_error().kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock if may_wait => {
                    may_wait = wait_until_writable(socket.as_raw_fd());
                }
                io::ErrorKind::WouldBlock => {
                    report.failed += self.replies - next;
                    break;
                }
                _ => {
                    report.failed += 1;
                    next += 1;
                }
            }
        }
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
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    fn exchange(local: &str) {
        let server = UdpSocket::bind(local).unwrap();
        let clients: Vec<UdpSocket> = (0..3).map(|_| UdpSocket::bind(local).unwrap()).collect();
        let to = server.local_addr().unwrap();
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 0);

        for round in 0u8..3 {
            for (number, client) in clients.iter().enumerate() {
                let bytes = vec![round; 100 * number];
                assert_eq!(client.send_to(&bytes, to).unwrap(), bytes.len());
            }
            assert_eq!(batch.receive(server.as_fd()).unwrap(), 3);
            let exchanges: Vec<_> = batch.exchanges(0..9).collect();
            assert_eq!(exchanges.len(), 3);
            for (number, exchange) in exchanges.into_iter().enumerate() {
                assert_eq!(exchange.source, clients[number].local_addr().unwrap());
                assert_eq!(exchange.request, vec![round; 100 * number]);
                assert_eq!(exchange.outcome, None);
                exchange.reply[..2].copy_from_slice(&[number as u8, round]);
            }
            // The second one is not answered.
            batch.queue_reply(0, 2);
            batch.queue_reply(2, 2);
            let report = batch.send_replies(server.as_fd());
            assert_eq!(report, SendReport { sent: 2, failed: 0 });
            for number in [0u8, 2] {
                let mut reply = [0; 9];
                assert_eq!(clients[usize::from(number)].recv(&mut reply).unwrap(), 2);
                assert_eq!(reply[..2], [number, round]);
            }
        }
    }

    #[test]
    fn answers_whom_it_heard() {
        exchange("127.0.0.1:0");
        exchange("[::1]:0");
    }

    #[test]
    fn cuts_off_what_is_too_long() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        let to = server.local_addr().unwrap();
        for length in [MAX_REQUEST_LENGTH, MAX_REQUEST_LENGTH + 1] {
            client.send_to(&vec![7; length], to).unwrap();
        }
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 2);
        for exchange in batch.exchanges(0..2) {
            assert_eq!(exchange.request.len(), MAX_REQUEST_LENGTH);
        }
    }

    #[test]
    fn reads_more_than_a_batch_in_turns() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..BATCH + 1 {
            client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), BATCH);
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 1);
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 0);
    }

    #[test]
    fn one_reply_that_cannot_be_sent_does_not_stop_the_others() {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..2 {
            client.send_to(b"x", server.local_addr().unwrap()).unwrap();
        }
        let mut batch = Datagrams::new();
        assert_eq!(batch.receive(server.as_fd()).unwrap(), 2);
        batch.queue_reply(0, 1);
        batch.queue_reply(1, 1);
        // Nothing can be sent to port 0. The port is at the same place in
        // both kinds of addresses.
        batch.buffers.sources[0].sin6_port = 0;
        let report = batch.send_replies(server.as_fd());
        assert_eq!(report, SendReport { sent: 1, failed: 1 });
    }
}
