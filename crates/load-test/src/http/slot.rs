//! A place for one connection after another, and the request that is under way.

use super::connection::Connection;
use crate::counters::Kind;

/// A place for a connection.
pub(crate) struct Slot {
    /// The worker's source that connects from here.
    pub(crate) source: usize,
    /// Requests once, and is then silent.
    pub(crate) idle: bool,
    pub(crate) connection: Option<Connection>,
    /// Counts connections, so that a late event is not taken for one of the
    /// next connection.
    pub(crate) generation: u32,
    pub(crate) opened_at: u64,
    /// The connection has been opened, with its handshake.
    pub(crate) open: bool,
    /// A reply has come here once.
    pub(crate) proven: bool,
    pub(crate) request: Option<Request>,
}

/// A request that is under way, or waits for the connection to be opened.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Request {
    pub(crate) kind: Kind,
    /// Nanoseconds on the worker's clock. Where the request had to open a
    /// connection, that is when it began to.
    pub(crate) started_at: u64,
    /// The peer that announces for the first time, by its place at the source.
    pub(crate) filling: Option<u32>,
}

impl Slot {
    pub(crate) fn new(source: usize, idle: bool) -> Self {
        Self {
            source,
            idle,
            connection: None,
            generation: 0,
            opened_at: 0,
            open: false,
            proven: false,
            request: None,
        }
    }
}

/// Which slot and which of its connections an event is for.
pub(crate) fn token(slot: usize, generation: u32) -> mio::Token {
    // Slots are bounded far below 2^32.
    mio::Token(slot | (generation as usize) << 32)
}

/// The reverse of [`token`].
pub(crate) fn slot_and_generation(token: mio::Token) -> (usize, u32) {
    // The lower and the upper half.
    (token.0 & 0xffff_ffff, (token.0 >> 32) as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_carry_both_numbers() {
        for pair in [(0, 0), (7, 1), (999_999, u32::MAX)] {
            assert_eq!(slot_and_generation(token(pair.0, pair.1)), pair);
        }
    }
}
