//! Sending and receiving datagrams in batches, with all unsafe code for that.
//!
//! * [`DatagramIo`]: the trait that servers are written for.
//! * [`SocketIo`]: UDP sockets, with `recvmmsg(2)` and `sendmmsg(2)`; replies are sent from
//!   the address that received the request.
//! * [`XdpIo`]: queues of network interfaces, past the kernel's network stack.
//! * [`connected`]: for clients, requests and replies over connected sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};

pub mod connected;
mod socket;
mod system;
mod xdp;

pub use socket::{SocketIo, tell_local_address};
pub use xdp::XdpIo;

/// Maximum number of datagrams in a batch.
pub const BATCH: usize = 64;

/// Receives datagrams in batches, and sends replies to them.
///
/// A batch lasts from a call of [`receive`](Self::receive) to that of
/// [`send_replies`](Self::send_replies), which may give its memory away, or to the next one
/// of `receive`.
pub trait DatagramIo {
    /// A source of datagrams, several of which may share the memory of one batch.
    type Port;

    /// Reads up to [`BATCH`] datagrams without waiting.
    ///
    /// # Errors
    ///
    /// If nothing can be received any more.
    fn receive(&mut self, port: &Self::Port) -> io::Result<Received>;

    /// The datagrams that were received.
    fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>>;

    /// Queues the first `length` bytes of the reply to datagram `number`: its source and
    /// destination are the datagram's destination and source. At most one reply per
    /// datagram.
    fn queue_reply(&mut self, number: usize, length: usize);

    /// Sends the queued replies. A reply that cannot be sent does not affect the others.
    fn send_replies(&mut self, port: &Self::Port) -> SendReport;
}

/// What was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// Number of datagrams.
    pub count: usize,
    /// Whether more may be waiting, also if there is none in this batch. If not, the next
    /// one is reported as an event.
    pub may_have_more: bool,
}

/// A received datagram.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// The sender; with port 0, it cannot be answered.
    pub source: SocketAddr,
    /// The destination address, if the port has more than one.
    pub local: Option<IpAddr>,
    /// The content.
    pub bytes: &'a [u8],
    /// Space for a reply.
    pub reply: &'a mut [u8],
}

/// The result of sending queued replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Number of replies that were sent.
    pub sent: usize,
    /// Number of replies that could not be sent: because the send buffer is full, the
    /// network or a firewall rejects them, or the machine no longer has their source
    /// address.
    pub failed: usize,
}
