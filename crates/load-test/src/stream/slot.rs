//! A place for one connection after another, and the request that is under way.

use super::connection::Connection;
use crate::counters::Kind;

/// A place for a connection.
pub(crate) struct Slot<S> {
    pub(crate) seat: Seat,
    /// The worker's address that connects from here.
    pub(crate) remote: usize,
    pub(crate) connection: Option<Connection>,
    /// Counts connections, so that a late event is not taken for one of the
    /// next connection.
    pub(crate) generation: u32,
    pub(crate) opened_at: u64,
    /// The connection has been opened, with its handshake.
    pub(crate) open: bool,
    pub(crate) request: Option<Request>,
    /// What the protocol remembers of the slot.
    pub(crate) state: S,
}

/// Which of all slots one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    /// Its place among the connections of all workers.
    pub(crate) connection: usize,
    /// The place of its address among the sources of all workers.
    pub(crate) source: usize,
    /// Requests only until it is proven, and is then silent.
    pub(crate) idle: bool,
    /// Replies have come here that show that it works.
    pub(crate) proven: bool,
}

/// A request that is under way, or waits for the connection to be opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// Nanoseconds on the workers' clock. Where the request had to open a
    /// connection, that is when it began to.
    pub(crate) started_at: u64,
    /// The peer that announces for the first time, by its place in its share.
    pub(crate) filling: Option<u32>,
}

impl<S> Slot<S> {
    pub(crate) fn new(seat: Seat, remote: usize, state: S) -> Self {
        Self {
            seat,
            remote,
            connection: None,
            generation: 0,
            opened_at: 0,
            open: false,
            request: None,
            state,
        }
    }
}
