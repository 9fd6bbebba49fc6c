//! The interface between connections and the protocol that runs over them.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use crate::Outputs;
use crate::admission::Permit;

/// The protocol of a worker's connections, without I/O.
///
/// There is one value per worker, and [`Self::Connection`] for each of its connections.
/// All calls come from the worker's thread. The caller reads, writes, decrypts and
/// encrypts, keeps unconsumed and unsent bytes, and watches the deadlines.
pub trait Protocol: Send + 'static {
    /// The protocol's state of a connection. An idle connection costs this much memory, so
    /// large parts belong into a `Box` that exists only while it is needed.
    type Connection;

    /// Whether all output of a turn of the worker's loop is sent at its end, with one write
    /// for each connection. This costs a little, and saves much if connections write to
    /// each other. Only then can a connection write to another by [`Exchange::others`].
    const COLLECTS_OUTPUT: bool = false;

    /// Maximum number of bytes that [`receive`](Self::receive) may need at once to consume
    /// some. If there are so many and none is consumed, the connection is closed: a
    /// protocol that wants to send the reason has to answer and close at this number.
    fn max_input_bytes(&self) -> usize;

    /// A connection is ready for its first byte: after the PROXY header and the TLS
    /// handshake, if there are any.
    fn open(&mut self, peer: &Peer, id: ConnectionId) -> Self::Connection;

    /// Whether the client has sent what the protocol needs to begin, such as an upgrade.
    /// Until then the deadline of the handshake applies, not that of an idle connection.
    fn has_begun(connection: &Self::Connection) -> bool {
        let _ = connection;
        true
    }

    /// Whether bytes that were consumed are the beginning of a message whose end
    /// has not come, as with fragments. The deadline of a message then counts from its
    /// first byte, whatever is consumed in between.
    fn is_within_message(connection: &Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Answers the first message in the input, if it is complete.
    ///
    /// Called when bytes have arrived, and again as long as the call before
    /// has consumed some, more are left, and the client reads the output.
    /// A call that consumes nothing and continues means that the message is not
    /// complete; the next one gets the same bytes again with more behind them.
    fn receive(
        &mut self,
        connection: &mut Self::Connection,
        exchange: &mut Exchange<'_>,
    ) -> Progress;

    /// Whether an answer has begun of which [`resume`](Self::resume) writes the rest.
    ///
    /// Until it ends, nothing is read from the client, and what it has sent already is not
    /// passed to [`receive`](Self::receive). The call that begins the answer has to consume
    /// the message, and to continue.
    fn has_more(connection: &Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Writes the next part of a long answer, or does a part of the work for it.
    ///
    /// Called when everything that was written before has been sent, so no more than one
    /// part is unsent at a time; other connections are driven between two parts. A part has
    /// the deadline of any unsent output. The input is empty.
    fn resume(&mut self, connection: &mut Self::Connection, exchange: &mut Exchange<'_>) -> Next {
        let _ = (connection, exchange);
        Next::Close
    }

    /// Something other than input happened. Output is sent before the connection is closed,
    /// if the client reads it.
    ///
    /// [`Next::Continue`] starts the deadline anew, for instance after a ping on an idle
    /// connection. While draining, it gives the connection the time that is left to
    /// finish.
    fn interrupt(
        &mut self,
        connection: &mut Self::Connection,
        exchange: &mut Exchange<'_>,
        interruption: Interruption,
    ) -> Next {
        let _ = (connection, exchange, interruption);
        Next::Close
    }

    /// Whether connections are to be searched for those that are no longer served
    /// ([`is_unserved`](Self::is_unserved)). Asked a few times per second.
    fn is_search_due(&mut self, now: Instant) -> bool {
        let _ = now;
        false
    }

    /// Whether a connection is no longer served, so that it is to be interrupted. While
    /// connections are searched, this is asked once for each, some of them in each turn.
    fn is_unserved(&self, connection: &Self::Connection) -> bool {
        let _ = connection;
        false
    }

    /// Another thread has woken the worker by its [`WorkerWaker`](crate::WorkerWaker).
    fn woken(&mut self, now: Instant, outputs: &mut Outputs) {
        let _ = (now, outputs);
    }

    /// A connection that was opened is gone, for whatever reason.
    fn closed(&mut self, connection: Self::Connection, id: ConnectionId) {
        let _ = (connection, id);
    }

    /// Appends what is sent in the clear, before closing, to a client that speaks
    /// this protocol without TLS where TLS is expected.
    fn answer_without_tls(&self, out: &mut Vec<u8>) {
        let _ = out;
    }
}

/// The bytes of a connection at one moment.
pub struct Exchange<'a> {
    /// The time, as the worker read it in this turn of its loop.
    pub now: Instant,
    /// The addresses at the other end.
    pub peer: &'a Peer,
    /// Which connection of the worker it is.
    pub id: ConnectionId,
    /// All bytes that have arrived and were not consumed. They may be changed in place;
    /// changes of unconsumed bytes are kept. Empty in any interruption except
    /// [`Interruption::EndOfInput`].
    pub input: &'a mut [u8],
    /// Where to append the answer. It may hold answers that were not sent yet.
    pub output: &'a mut Vec<u8>,
    /// Where to write to other connections of the worker.
    pub others: &'a mut Outputs,
    /// Whether the process is about to end: an answer should announce that the
    /// connection will be closed. It will be, once nothing is left to answer.
    pub is_draining: bool,
    pub(crate) permit: &'a mut Permit,
}

/// The maximum number of connections is open from an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyConnections;

impl Exchange<'_> {
    /// Counts the connection among those of its client's address from now on,
    /// once a [reverse proxy](crate::ReverseProxy) has said which that is:
    /// connections of reverse proxies count for no address before.
    ///
    /// # Errors
    ///
    /// The address has reached its maximum. The connection is to be closed.
    pub fn count_client(&mut self, address: IpAddr) -> Result<(), TooManyConnections> {
        self.permit.count(address).map_err(|_| TooManyConnections)
    }
}

/// What a call of [`Protocol::receive`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Progress {
    /// How many bytes at the front of the input were processed.
    pub consumed: usize,
    /// What becomes of the connection.
    pub next: Next,
}

impl Progress {
    /// The message is not complete: nothing was consumed, and more is needed.
    pub const INCOMPLETE: Self = Self {
        consumed: 0,
        next: Next::Continue,
    };

    /// The input is malformed, so that nothing behind it can be parsed, and an error was
    /// written.
    pub const FAULT: Self = Self {
        consumed: 0,
        next: Next::Close,
    };
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// It stays open. While unconsumed bytes are there, or
    /// [a message has begun](Protocol::is_within_message), it has the deadline of a
    /// message, which counts from its first byte; otherwise that of an idle connection.
    Continue,
    /// What was written is sent, then the connection is closed. Nothing more is
    /// processed. If something was not consumed, the client gets a moment to read what was
    /// written while it still sends: otherwise its system would discard that.
    Close,
}

/// What happened to a connection, other than input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// It was idle for too long, from the start or between messages.
    Idle,
    /// The client sends no more, and a message is not complete. It may still
    /// read.
    EndOfInput,
    /// A message began to arrive, and did not become complete in time.
    SlowMessage,
    /// The process is about to end, and no unconsumed bytes are there.
    Draining,
    /// The certificate was replaced since, and the grace period after that is over. No
    /// unconsumed bytes are there.
    OldCertificate,
    /// [`Protocol::is_unserved`] has said so.
    NoLongerServed,
}

/// The addresses at the other end of a connection, and whether it has TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Where the client is: the source of the TCP connection, or what a PROXY
    /// header of a trusted proxy says. Never an IPv4-mapped IPv6 address.
    pub address: SocketAddr,
    /// The source of the TCP connection. Never an IPv4-mapped IPv6 address.
    pub transport: SocketAddr,
    /// Whether the connection is encrypted by us.
    pub is_tls: bool,
}

/// A connection of a worker. Another one that gets its slot later has another identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// The slot in the worker's table; less than 2^24.
    pub(crate) slot: u32,
    /// How many connections had the slot before, modulo 2^30.
    pub(crate) generation: u32,
}

impl ConnectionId {
    /// How many bits are enough to tell all connections of a worker apart.
    pub const BITS: u32 = Self::SLOT_BITS + Self::GENERATION_BITS;

    pub(crate) const SLOT_BITS: u32 = 24;
    pub(crate) const GENERATION_BITS: u32 = 30;

    /// The connection's slot: a small number that no other connection of the
    /// worker has at the same time.
    #[inline]
    pub fn slot(self) -> usize {
        self.slot as usize
    }

    /// A number of [`Self::BITS`] bits.
    #[inline]
    pub fn to_bits(self) -> u64 {
        u64::from(self.generation) << Self::SLOT_BITS | u64::from(self.slot)
    }

    /// The connection of a number, of which only [`Self::BITS`] bits count.
    #[inline]
    pub fn from_bits(bits: u64) -> Self {
        let lowest = |bits: u64, count: u32| (bits & ((1 << count) - 1)) as u32;
        Self {
            slot: lowest(bits, Self::SLOT_BITS),
            generation: lowest(bits >> Self::SLOT_BITS, Self::GENERATION_BITS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_a_connection_are_all_of_it() {
        let id = ConnectionId {
            slot: (1 << ConnectionId::SLOT_BITS) - 1,
            generation: (1 << ConnectionId::GENERATION_BITS) - 2,
        };
        assert_eq!(ConnectionId::from_bits(id.to_bits()), id);
        assert_eq!(ConnectionId::from_bits(id.to_bits() | 3 << 54), id);
        assert_eq!(id.to_bits() >> ConnectionId::BITS, 0);
    }
}
