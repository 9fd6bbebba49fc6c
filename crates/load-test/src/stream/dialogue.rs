//! What differs from protocol to protocol over TCP.

use super::slot::{Request, Seat};
use crate::control::Phase;
use crate::counters::Kind;
use crate::tally::Tally;

/// A worker's side of a protocol: what to say, and what answers mean. Neither
/// reads nor writes connections.
pub(crate) trait Dialogue {
    /// What it remembers of a slot.
    type State;

    /// What it remembers of a slot at first.
    fn state(&mut self, seat: Seat) -> Self::State;

    /// What a slot requests next, and the peer that announces for the first
    /// time. None when there is nothing to do.
    fn choose(
        &mut self,
        state: &mut Self::State,
        seat: Seat,
        phase: Phase,
    ) -> Option<(Kind, Option<u32>)>;

    /// A connection begins. Writes what has to be said before any request, and
    /// says whether requests have to wait for an answer to that.
    fn greet(&mut self, state: &mut Self::State, out: &mut Vec<u8>) -> bool;

    /// Writes a request, and counts what goes with it.
    fn write(
        &mut self,
        state: &mut Self::State,
        seat: Seat,
        request: Request,
        out: &mut Vec<u8>,
        tally: &mut Tally,
    );

    /// Reads what has come since what it has read before, and writes what is
    /// to be said at once. Counts what it finds, but for the reply to the
    /// request that is under way.
    fn read(&mut self, state: &mut Self::State, heard: Heard<'_>, tally: &mut Tally) -> Taken;

    /// The first announce of a peer got no reply.
    fn not_filled(&mut self, state: &mut Self::State, seat: Seat, place: u32);

    /// Whether the replies show that the slot works.
    fn is_proven(&self, state: &Self::State, seat: Seat) -> bool;
}

/// What there is to read, and where.
pub(crate) struct Heard<'a> {
    pub(crate) bytes: &'a mut [u8],
    /// Nothing more will come.
    pub(crate) ended: bool,
    pub(crate) seat: Seat,
    pub(crate) request: Option<Request>,
    /// What is to be sent.
    pub(crate) out: &'a mut Vec<u8>,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// What no server should send; the connection is of no use any more.
    Malformed,
    /// So many bytes; the rest is the beginning of something.
    Bytes {
        count: usize,
        /// What the reply to the request says, if it is among them.
        reply: Option<Reply>,
        /// The greeting has been answered, so that requests may begin.
        greeted: bool,
    },
}

/// A reply to the request that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    /// It is no error, and what was asked for.
    pub(crate) serves: bool,
    /// The connection is to be used again.
    pub(crate) wants_more: bool,
    /// The server allows that.
    pub(crate) keeps_open: bool,
}
