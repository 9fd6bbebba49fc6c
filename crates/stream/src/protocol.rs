//! The seam between connections and what is spoken over them.

use std::net::SocketAddr;
use std::time::Instant;

/// What a worker speaks over its connections, without I/O.
///
/// There is one value a worker, and [`Self::Connection`] for each of its
/// connections. All calls come from the worker's thread. The caller reads,
/// writes, decrypts and encrypts, keeps bytes that were not consumed and bytes
/// that were not sent, and watches the deadlines.
pub trait Protocol: Send + 'static {
    /// What is remembered of a connection between calls. An idle connection
    /// costs this much, so what is large belongs into a `Box` that exists only
    /// while it is needed.
    type Connection;

    /// The most bytes that may have to be there at once for
    /// [`receive`](Self::receive) to consume some. A connection on which so
    /// many are there and none is consumed is closed, so a protocol that wants
    /// to say why answers and closes when it sees as many.
    fn longest_input(&self) -> usize;

    /// A connection is ready for its first byte: the PROXY header was read and
    /// the TLS handshake is done, if there are such.
    fn open(&mut self, peer: &Peer, id: ConnectionId) -> Self::Connection;

    /// Looks at the bytes that are there and answers the first message among
    /// them, if it is complete.
    ///
    /// Called when bytes have arrived, and again as long as the call before
    /// has consumed some, more are left, and the client takes what is written.
    /// A call that consumes nothing and continues says that the message is not
    /// complete; the next one sees the same bytes again with more behind them.
    fn receive(
        &mut self,
        connection: &mut Self::Connection,
        exchange: &mut Exchange<'_>,
    ) -> Progress;

    /// Something other than bytes happened. What is written now is sent before
    /// the connection is closed, if the client takes it.
    ///
    /// [`Next::Continue`] starts the deadline anew, so that an idle connection
    /// may be asked for a sign of life. While draining, it gives the connection
    /// the time that is left to finish.
    fn interrupt(
        &mut self,
        connection: &mut Self::Connection,
        exchange: &mut Exchange<'_>,
        interruption: Interruption,
    ) -> Next {
        let _ = (connection, exchange, interruption);
        Next::Close
    }

    /// A connection that was opened is gone, for whatever reason.
    fn closed(&mut self, connection: Self::Connection, id: ConnectionId) {
        let _ = (connection, id);
    }

    /// What is sent in the clear, before closing, to a client that speaks this
    /// protocol without TLS where TLS is expected. Empty for nothing.
    fn answer_without_tls(&self) -> &'static [u8] {
        &[]
    }
}

/// The bytes of a connection at one moment.
pub struct Exchange<'a> {
    /// The time, as the worker read it on this turn of its loop.
    pub now: Instant,
    /// Who is at the other end.
    pub peer: &'a Peer,
    /// Which connection of the worker it is.
    pub id: ConnectionId,
    /// Everything that has arrived and was not consumed. It may be changed in
    /// place; changes of bytes that are not consumed are kept.
    pub input: &'a mut [u8],
    /// Where the answer goes. It may hold answers that were not sent yet, and
    /// may only be appended to.
    pub output: &'a mut Vec<u8>,
    /// Whether the process is about to end: an answer should say that the
    /// connection will be closed. It will be, once nothing is left to answer.
    pub is_draining: bool,
}

/// What a call of [`Protocol::receive`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Progress {
    /// How many bytes at the front of the input are done with.
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
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Next {
    /// It stays open. While unconsumed bytes are there, the deadline of a
    /// request runs, from when its first byte arrived; otherwise the deadline
    /// of an idle connection.
    Continue,
    /// What was written is sent, then the connection is closed. Nothing more
    /// is read.
    Close,
}

/// What happened to a connection, other than bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interruption {
    /// It was idle for too long.
    Idle,
    /// A message began to arrive, and did not become complete in time.
    SlowMessage,
    /// The process is about to end, and no unconsumed bytes are there.
    Draining,
}

/// Who is at the other end of a connection.
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

/// A connection of a worker. Another one that takes its place later gets
/// another identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId {
    /// The place in the worker's table.
    pub(crate) slot: u32,
    /// How many connections had the place before, modulo 2^32.
    pub(crate) generation: u32,
}
