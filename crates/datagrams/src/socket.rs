//! Datagrams over UDP sockets; replies are sent from the address that received the request.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, RawFd};
use std::time::Duration;

use crate::{BATCH, Datagram, DatagramIo, Received, SendReport, system};

mod packet_info;

use packet_info::Control;
pub use packet_info::tell_local_address;

/// Maximum time that a worker waits for a full send buffer before replies are dropped.
const MAX_SEND_WAIT: Duration = Duration::from_millis(10);

/// Maximum number of these waits per batch: one for each reply would take 0.64 s.
const MAX_SEND_WAITS: usize = 2;

/// Maximum number of calls for a batch: one for each reply, if each of them fails, and some
/// that are interrupted or have to wait.
const MAX_SEND_CALLS: usize = BATCH + 8;

/// Length of the largest socket address.
const NAME_LENGTH: libc::socklen_t = size_of::<libc::sockaddr_in6>() as libc::socklen_t;

/// A batch of datagrams, which are truncated to `REQUEST` bytes each, with replies of at
/// most `REPLY` bytes.
pub struct SocketIo<const REQUEST: usize, const REPLY: usize> {
    buffers: Box<Buffers<REQUEST, REPLY>>,
    /// Point into `buffers`, which never moves.
    headers: Box<[libc::mmsghdr; BATCH]>,
    reply_headers: Box<[libc::mmsghdr; BATCH]>,
    received: usize,
    replies: usize,
}

struct Buffers<const REQUEST: usize, const REPLY: usize> {
    requests: [[u8; REQUEST]; BATCH],
    replies: [[u8; REPLY]; BATCH],
    sources: [libc::sockaddr_in6; BATCH],
    /// The destination addresses of requests, and later the source addresses of replies.
    controls: [Control; BATCH],
    request_vectors: [libc::iovec; BATCH],
    reply_vectors: [libc::iovec; BATCH],
}

// SAFETY: the pointers in the headers point into the same value's `buffers`,
// which the box keeps in place when the value moves to another thread.
unsafe impl<const REQUEST: usize, const REPLY: usize> Send for SocketIo<REQUEST, REPLY> {}

impl<const REQUEST: usize, const REPLY: usize> SocketIo<REQUEST, REPLY> {
    /// Allocates memory for one batch.
    #[must_use]
    pub fn new() -> Self {
        // SAFETY: arrays of integers, of sockaddr_in6, of cmsghdr and of iovec are
        // valid when all their bytes are zero.
        let buffers: Box<Buffers<REQUEST, REPLY>> = unsafe { Box::new_zeroed().assume_init() };
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
                iov_len: REQUEST,
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
}

impl<const REQUEST: usize, const REPLY: usize> DatagramIo for SocketIo<REQUEST, REPLY> {
    type Port = UdpSocket;

    /// A batch that is not full means that there are no more datagrams.
    ///
    /// # Errors
    ///
    /// Those of `recvmmsg(2)`, except "would block", which returns 0 datagrams, and errors
    /// about replies that were sent earlier.
    fn receive(&mut self, socket: &UdpSocket) -> io::Result<Received> {
        // The kernel has overwritten the lengths of those that it used.
        for header in &mut self.headers[..self.received] {
            header.msg_hdr.msg_namelen = NAME_LENGTH;
            Control::reset(&mut header.msg_hdr);
        }
        self.received = 0;
        self.replies = 0;
        // SAFETY: each header points to a name, to control messages and to one
        // vector of the lengths it says, in `buffers`, which are borrowed mutably
        // here.
        let result = unsafe { system::receive(socket.as_fd(), &mut *self.headers) };
        self.received = match result {
            Err(error) if is_passing(&error) => 0,
            result => result?,
        };
        Ok(Received {
            count: self.received,
            may_have_more: self.received == BATCH,
        })
    }

    fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>> {
        let Buffers {
            requests,
            replies,
            sources,
            controls,
            ..
        } = &mut *self.buffers;
        let buffers = requests.iter().zip(replies).zip(sources).zip(controls);
        let received = self.headers[..self.received].iter().zip(buffers);
        received.map(|(header, (((request, reply), source), control))| Datagram {
            source: socket_address(source),
            local: control.asked(&header.msg_hdr).map(|asked| asked.address()),
            bytes: &request[..header.msg_len as usize],
            reply,
        })
    }

    fn queue_reply(&mut self, index: usize, length: usize) {
        let vector = &mut self.buffers.reply_vectors[index];
        vector.iov_len = length.min(REPLY);
        let source = &self.headers[index].msg_hdr;
        let header = &mut self.reply_headers[self.replies].msg_hdr;
        header.msg_iov = vector;
        header.msg_name = source.msg_name;
        header.msg_namelen = source.msg_namelen;
        let control = &mut self.buffers.controls[index];
        control.send_from(control.asked(source), header);
        self.replies += 1;
    }

    fn send_replies(&mut self, socket: &UdpSocket) -> SendReport {
        let mut sent = 0;
        let mut waits = 0;
        let mut next = 0;
        for _ in 0..MAX_SEND_CALLS {
            let rest = &mut self.reply_headers[next..self.replies];
            if rest.is_empty() {
                break;
            }
            // SAFETY: each points to a name, to control messages and to one vector
            // in `buffers`, which are borrowed mutably here.
            match unsafe { system::send(socket.as_fd(), rest) } {
                Ok(count) => {
                    sent += count;
                    next += count;
                }
                // The error is about the first of the remaining replies.
                Err(error) => match error.kind() {
                    io::ErrorKind::Interrupted => {}
                    io::ErrorKind::WouldBlock => {
                        waits += 1;
                        if waits > MAX_SEND_WAITS || !wait_until_writable(socket.as_raw_fd()) {
                            break;
                        }
                    }
                    _ => next += 1,
                },
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

impl<const REQUEST: usize, const REPLY: usize> Default for SocketIo<REQUEST, REPLY> {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether a receive error is not about the socket itself: there is no datagram, an ICMP
/// message about an earlier reply has arrived, or memory is low.
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

/// Waits until the socket is writable; returns whether to retry.
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

/// Converts an address that the kernel wrote. Other address families become port 0, so that
/// they are not answered.
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
