//! Datagrams in batches: the one home of such I/O, and of the unsafe code that
//! it takes.
//!
//! * [`DatagramIo`]: what a server is driven by, whatever it receives through.
//! * [`SocketIo`]: that over UDP sockets, with `recvmmsg(2)` and `sendmmsg(2)`;
//!   replies come from the address that was asked.
//! * [`connected`]: for a client, requests and replies over connected sockets.

use std::io;
use std::net::{IpAddr, SocketAddr};

pub mod connected;
mod socket;
mod system;

pub use socket::{SocketIo, tell_local_address};

/// How many datagrams a batch has at most.
pub const BATCH: usize = 64;

/// Receives datagrams in batches, and sends the replies to them.
///
/// A batch lasts from one call of [`receive`](Self::receive) to the next.
pub trait DatagramIo {
    /// What it receives from, several of which may share the memory of one batch.
    type Port;

    /// Reads up to [`BATCH`] datagrams without waiting; returns how many. Fewer
    /// than `BATCH` mean that no more were there.
    ///
    /// # Errors
    ///
    /// When nothing can be received any more.
    fn receive(&mut self, port: &Self::Port) -> io::Result<usize>;

    /// The datagrams that were received.
    fn datagrams(&mut self) -> impl Iterator<Item = Datagram<'_>>;

    /// Queues the first `length` bytes of the reply to datagram `number`, from
    /// where that was sent to, to where it came from. At most once for each.
    fn queue_reply(&mut self, number: usize, length: usize);

    /// Sends what was queued. A reply that cannot be sent takes no other with it.
    fn send_replies(&mut self, port: &Self::Port) -> SendReport;
}

/// A datagram that was received.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// Who sent it; with port 0, it cannot be answered.
    pub source: SocketAddr,
    /// Where it was sent to, if there is more than one such address.
    pub local: Option<IpAddr>,
    /// What it says.
    pub bytes: &'a [u8],
    /// Room for a reply.
    pub reply: &'a mut [u8],
}

/// What became of queued replies.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SendReport {
    /// Replies that the system took.
    pub sent: usize,
    /// Replies that it did not take: its buffer is full, the network or a
    /// firewall refuses them, or the machine no longer has the address that was
    /// asked.
    pub failed: usize,
}
