//! The state of a connection.

use std::mem;

use crate::admission::Permit;
use crate::backlog::Backlog;
use crate::counters::CloseReason;
use crate::deadlines::{Tick, Ticks, Wheel};
use crate::settings::ConnectionLimits;
use crate::tls::Session;
use crate::{ConnectionId, Peer, Protocol};

/// One connection. An idle one needs no memory besides this, the protocol's state, and the
/// TLS session if there is one.
pub(crate) struct Connection<C> {
    pub(crate) peer: Peer,
    pub(crate) permit: Permit,
    pub(crate) stage: Stage<C>,
    /// The TLS session, if there is one; it begins after the PROXY header.
    pub(crate) session: Option<Box<Session>>,
    /// Bytes that were read and not consumed; with TLS, the session has them.
    pub(crate) unread: Backlog,
    /// Bytes that were written and that the socket has not taken.
    pub(crate) unsent: Unsent,
    /// Whether there may be complete messages among the unconsumed bytes, which were not
    /// processed because too many bytes were unsent, or a long answer was under way.
    pub(crate) is_stalled: bool,
    /// Whether the deadline has passed.
    pub(crate) is_late: bool,
    /// Whether the protocol was asked to finish, because the process is about to end.
    pub(crate) is_draining: bool,
    /// Whether the client may still be sending when the connection is closed, so that its
    /// data is to be read and discarded.
    pub(crate) is_to_linger: bool,
    /// Whether the protocol is to be asked to finish, because its client is no longer served.
    pub(crate) is_unserved: bool,
    /// Whether its close reason was counted.
    pub(crate) is_counted: bool,
    /// The number of the certificate that was presented; or of the one that was present
    /// when the protocol kept it in spite of another.
    pub(crate) certificate: u64,
    /// Whether the client has sent a message.
    has_spoken: bool,
    /// When it was accepted.
    accepted: Tick,
    /// When the connection became idle: at the end of the last message, or when all output
    /// was sent.
    silent_since: Tick,
    /// When the first byte of the current message arrived, if there is one.
    message_since: Option<Tick>,
    deadline: Deadline,
    /// The tick at which the timer wheel returns it.
    scheduled: Tick,
}

/// The phase of a connection.
pub(crate) enum Stage<C> {
    /// Its PROXY header is to be read.
    ProxyHeader,
    /// Its TLS handshake is under way.
    Handshake,
    /// The protocol has taken over.
    Open(C),
    /// Unsent bytes are sent; then it is closed.
    Closing,
    /// Everything was sent, and our side is closed. Data that still arrives is discarded
    /// until the client closes: if we closed earlier, the client's system would discard
    /// what was sent (RFC 9112, section 9.6).
    Lingering,
}

/// Bytes that the socket has not taken.
#[derive(Default)]
pub(crate) struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
    /// How many of the first unsent bytes are to be sent before the deadline.
    due: usize,
}

impl Unsent {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes are unsent.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Adds bytes. Sent bytes are removed when there are as many of them as unsent ones:
    /// otherwise, all bytes would be kept for a client that reads as fast as bytes are
    /// added, but never the last ones.
    pub(crate) fn put(&mut self, bytes: &[u8]) {
        if self.sent >= self.len() {
            self.bytes.drain(..self.sent);
            self.sent = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Counts bytes as sent.
    pub(crate) fn advance(&mut self, sent: usize) {
        self.sent += sent;
        self.due = self.due.saturating_sub(sent);
        if self.sent >= self.bytes.len() {
            *self = Self::default();
        }
    }

    /// Whether everything that was to be sent before the deadline was.
    pub(crate) fn is_due_sent(&self) -> bool {
        self.due == 0
    }

    /// Everything unsent is to be sent before the next deadline.
    fn all_due(&mut self) {
        self.due = self.len();
    }
}

/// What a connection waits for, and until when.
#[derive(Clone, Copy)]
struct Deadline {
    of: Awaited,
    since: Tick,
    at: Tick,
}

/// What has happened since the deadline was set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing that matters for deadlines, though bytes may have been received or sent.
    None,
    /// A message became complete.
    Message,
    /// Everything unsent was sent.
    Sent,
    /// The protocol keeps the connection although its deadline has passed.
    Kept,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The PROXY header, the TLS handshake, and what the protocol needs to begin.
    Handshake,
    /// The first message, of which nothing has arrived.
    FirstMessage,
    /// A further message, of which nothing has arrived.
    Message,
    /// The rest of a message.
    RestOfMessage,
    /// That unsent bytes are sent.
    Sending,
    /// That the client closes.
    EndOfClient,
}

impl Awaited {
    /// The close reason if this does not happen in time.
    pub(crate) fn close_reason(self) -> CloseReason {
        match self {
            Self::Handshake => CloseReason::SlowHandshake,
            Self::FirstMessage | Self::Message => CloseReason::Idle,
            Self::RestOfMessage => CloseReason::SlowMessage,
            Self::Sending | Self::EndOfClient => CloseReason::SlowReader,
        }
    }
}

/// The times of [`ConnectionLimits`], in ticks.
pub(crate) struct Timeouts {
    handshake: Ticks,
    message: Ticks,
    idle: Ticks,
    write: Ticks,
    linger: Ticks,
}

impl Timeouts {
    pub(crate) fn new(limits: &ConnectionLimits) -> Self {
        /// How long a client that got its last answer may go on sending.
        const LINGER: std::time::Duration = std::time::Duration::from_secs(2);

        Self {
            handshake: limits.handshake_timeout.into(),
            message: limits.message_timeout.into(),
            idle: limits.idle_timeout.into(),
            write: limits.write_timeout.into(),
            linger: LINGER.into(),
        }
    }

    fn of(&self, awaited: Awaited) -> Ticks {
        match awaited {
            Awaited::Handshake => self.handshake,
            // A client with a request sends it soon. One without a request does not get the
            // longer idle timeout of those that send one request after another.
            Awaited::FirstMessage => self.message.min(self.idle),
            Awaited::Message => self.idle,
            Awaited::RestOfMessage => self.message,
            Awaited::Sending => self.write,
            Awaited::EndOfClient => self.linger,
        }
    }
}

impl<C> Connection<C> {
    pub(crate) fn new(peer: Peer, permit: Permit, stage: Stage<C>, accepted: Tick) -> Self {
        Self {
            peer,
            permit,
            stage,
            session: None,
            unread: Backlog::default(),
            unsent: Unsent::default(),
            is_stalled: false,
            is_late: false,
            is_draining: false,
            is_to_linger: false,
            is_unserved: false,
            is_counted: false,
            certificate: 0,
            has_spoken: false,
            accepted,
            silent_since: accepted,
            message_since: None,
            deadline: Deadline {
                of: Awaited::Handshake,
                since: accepted,
                at: Tick::NEVER,
            },
            scheduled: Tick::NEVER,
        }
    }

    /// What it waits for.
    pub(crate) fn awaited(&self) -> Awaited {
        self.deadline.of
    }

    /// Whether there are unconsumed bytes of a message.
    pub(crate) fn has_unconsumed(&self) -> bool {
        match &self.session {
            Some(session) => session.has_unconsumed(),
            None => !self.unread.is_empty(),
        }
    }

    /// Whether a message has begun and is not complete.
    pub(crate) fn is_within_message<P: Protocol<Connection = C>>(&self) -> bool {
        self.has_unconsumed()
            || matches!(&self.stage, Stage::Open(state) if P::is_within_message(state))
    }

    /// Whether it was accepted so recently that its first message may be under way.
    pub(crate) fn is_fresh(&self, now: Tick) -> bool {
        /// It usually arrives with the acknowledgement that completes the connection, or a
        /// little later from a busy client.
        const FIRST_MESSAGE: Ticks = Ticks::ONE;

        !self.has_spoken && now < self.accepted.after(FIRST_MESSAGE)
    }

    /// Sets the deadline of what the connection waits for now.
    ///
    /// A timeout counts from the start of the wait, and only `step` restarts it: that of a
    /// message counts from its first byte, whatever arrives afterwards. All bytes that are
    /// unsent at one time have one timeout; bytes that are added meanwhile get another, which
    /// starts when the earlier ones were sent. So a client that is always a little behind
    /// is not too slow, but one that reads single bytes is.
    pub(crate) fn wait<P: Protocol<Connection = C>>(
        &mut self,
        step: Step,
        timeouts: &Timeouts,
        wheel: &mut Wheel,
        id: ConnectionId,
    ) {
        let now = wheel.current();
        match step {
            Step::Message => {
                self.has_spoken = true;
                self.silent_since = now;
                self.message_since = None;
            }
            Step::Kept => {
                self.silent_since = now;
                self.message_since = None;
            }
            Step::Sent => self.silent_since = now,
            Step::None => (),
        }
        if self.is_within_message::<P>() {
            self.message_since.get_or_insert(now);
        } else {
            self.message_since = None;
        }
        let (of, since) = if !self.unsent.is_empty() {
            if self.unsent.is_due_sent() {
                self.unsent.all_due();
                (Awaited::Sending, now)
            } else {
                (Awaited::Sending, self.since(Awaited::Sending, now))
            }
        } else {
            match (&self.stage, self.message_since) {
                (Stage::ProxyHeader | Stage::Handshake, _) => (Awaited::Handshake, self.accepted),
                (Stage::Open(_), Some(since)) => (Awaited::RestOfMessage, since),
                (Stage::Open(state), None) if !P::has_begun(state) => {
                    (Awaited::Handshake, self.accepted)
                }
                (Stage::Open(_), None) if !self.has_spoken => {
                    (Awaited::FirstMessage, self.silent_since)
                }
                (Stage::Open(_), None) => (Awaited::Message, self.silent_since),
                (Stage::Closing | Stage::Lingering, _) => {
                    (Awaited::EndOfClient, self.since(Awaited::EndOfClient, now))
                }
            }
        };
        let at = since.after(timeouts.of(of));
        if (of, at) == (self.deadline.of, self.deadline.at) {
            return;
        }
        self.deadline = Deadline { of, since, at };
        self.is_late = false;
        if self.scheduled == Tick::NEVER {
            // Most connections end soon, but the timer wheel keeps their entries until
            // their tick, so the first check is early.
            let first_check = wheel.current().after(Ticks::FIRST_CHECK);
            self.scheduled = wheel.insert(id, at.min(first_check));
        } else if at < self.scheduled {
            self.scheduled = wheel.insert(id, at);
        }
    }

    /// Since when the connection has been waiting for this; `now` if it was not.
    fn since(&self, awaited: Awaited, now: Tick) -> Tick {
        if self.deadline.of == awaited {
            self.deadline.since
        } else {
            now
        }
    }

    /// The wheel has returned the connection, which was put at `tick`. Returns whether its
    /// deadline has passed; if not, it is put back.
    pub(crate) fn check_deadline(
        &mut self,
        tick: Tick,
        wheel: &mut Wheel,
        id: ConnectionId,
    ) -> bool {
        if tick != self.scheduled {
            // It was moved to an earlier tick since, and was checked then.
            return false;
        }
        if self.deadline.at <= wheel.current() {
            self.scheduled = Tick::NEVER;
            self.is_late = true;
            return true;
        }
        self.scheduled = wheel.insert(id, self.deadline.at);
        false
    }

    /// Bytes of memory that it keeps beside itself.
    pub(crate) fn kept_bytes(&self) -> usize {
        let session = self.session.as_ref().map_or(0, |it| it.kept_bytes());
        self.unread.kept_bytes() + self.unsent.bytes.capacity() + session
    }

    /// Discards unconsumed bytes, which will not be processed. The client may be sending
    /// more, which has to be read before the connection is closed.
    pub(crate) fn forget_unconsumed(&mut self) {
        self.is_to_linger |= self.has_unconsumed();
        self.unread = Backlog::default();
        if let Some(session) = &mut self.session {
            session.forget_unconsumed();
        }
    }

    /// Begins to close; returns the protocol's state.
    pub(crate) fn close(&mut self) -> Option<C> {
        match mem::replace(&mut self.stage, Stage::Closing) {
            Stage::Open(state) => Some(state),
            Stage::Lingering => {
                self.stage = Stage::Lingering;
                None
            }
            Stage::ProxyHeader | Stage::Handshake | Stage::Closing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_is_not_kept_though_something_always_waits() {
        let mut unsent = Unsent::default();
        let mut sent: Vec<u8> = Vec::new();
        let mut put: Vec<u8> = Vec::new();
        for round in 0..20_000_usize {
            let bytes = vec![round as u8; 100 + round % 7];
            put.extend_from_slice(&bytes);
            unsent.put(&bytes);
            // All but a little is taken.
            let count = unsent.len() - 10 - round % 50;
            sent.extend_from_slice(&unsent.waiting()[..count]);
            unsent.advance(count);
            assert!(unsent.bytes.len() < 500, "{}", unsent.bytes.len());
            assert!(unsent.bytes.capacity() < 2_000);
        }
        sent.extend_from_slice(unsent.waiting());
        assert!(sent == put);
        unsent.advance(unsent.len());
        assert!(unsent.is_empty());
        assert_eq!(unsent.bytes.capacity(), 0);
    }
}
