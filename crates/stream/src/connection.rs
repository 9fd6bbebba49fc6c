//! What is kept of a connection.

use std::mem;

use crate::admission::Permit;
use crate::counters::Ending;
use crate::deadlines::{Tick, Ticks, Wheel};
use crate::settings::Limits;
use crate::tls::Session;
use crate::{ConnectionId, Peer, Protocol};

/// One connection. An idle one has no memory but this, what the protocol keeps,
/// and with TLS the session.
pub(crate) struct Connection<C> {
    pub(crate) peer: Peer,
    pub(crate) permit: Permit,
    pub(crate) stage: Stage<C>,
    /// With TLS, from behind the PROXY header on.
    pub(crate) session: Option<Box<Session>>,
    /// What was read and not consumed, as it came from the network.
    pub(crate) unread: Vec<u8>,
    /// What was written, and the network has not taken.
    pub(crate) unsent: Unsent,
    /// Whether complete messages may be among what was not consumed, because
    /// so much is unsent that none was looked at.
    pub(crate) is_stalled: bool,
    /// Whether the deadline has passed.
    pub(crate) is_late: bool,
    /// Whether the protocol was told that the process is about to end.
    pub(crate) is_draining: bool,
    /// Whether the client may still be sending when it is closed, so that what
    /// comes is to be read and thrown away.
    pub(crate) is_to_linger: bool,
    /// When it was accepted.
    pub(crate) accepted: Tick,
    deadline: Deadline,
    /// When the wheel has it come up.
    scheduled: Tick,
}

/// How far a connection has come.
pub(crate) enum Stage<C> {
    /// Its PROXY header is to be read.
    ProxyHeader,
    /// Its TLS handshake is under way.
    Handshake,
    /// The protocol speaks.
    Open(C),
    /// What is unsent is to be sent; then it is closed.
    Closing,
    /// Everything was sent, and the client told so. What still arrives is
    /// thrown away until the client closes: closing before that would make the
    /// network throw away what was sent (RFC 9112, section 9.6).
    Lingering,
}

/// Bytes that wait to be sent.
#[derive(Default)]
pub(crate) struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

impl Unsent {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many bytes wait.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.sent
    }

    pub(crate) fn waiting(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    pub(crate) fn put(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// So many of the bytes that wait were sent.
    pub(crate) fn advance(&mut self, sent: usize) {
        self.sent += sent;
        if self.sent >= self.bytes.len() {
            *self = Self::default();
        }
    }
}

/// What must happen until when.
#[derive(Clone, Copy)]
struct Deadline {
    of: Awaited,
    at: Tick,
}

/// What a connection waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Awaited {
    /// The PROXY header, the TLS handshake, and that the protocol begins.
    Handshake,
    /// A message, of which nothing has arrived.
    Message,
    /// The rest of a message.
    RestOfMessage,
    /// The client takes what was written.
    Sending,
    /// The client closes.
    EndOfClient,
}

impl Awaited {
    /// What it means when it does not come in time.
    pub(crate) fn ending(self) -> Ending {
        match self {
            Self::Handshake => Ending::SlowHandshake,
            Self::Message => Ending::Idle,
            Self::RestOfMessage => Ending::SlowMessage,
            Self::Sending | Self::EndOfClient => Ending::SlowReader,
        }
    }
}

/// The times of [`Limits`], in ticks.
pub(crate) struct Timeouts {
    handshake: Ticks,
    message: Ticks,
    idle: Ticks,
    write: Ticks,
    linger: Ticks,
}

impl Timeouts {
    pub(crate) fn new(limits: &Limits) -> Self {
        /// How long a client that was answered may go on sending.
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
            unread: Vec::new(),
            unsent: Unsent::default(),
            is_stalled: false,
            is_late: false,
            is_draining: false,
            is_to_linger: false,
            accepted,
            deadline: Deadline {
                of: Awaited::Message,
                at: Tick::NEVER,
            },
            scheduled: Tick::NEVER,
        }
    }

    /// What it waits for.
    pub(crate) fn awaited(&self) -> Awaited {
        self.deadline.of
    }

    /// Whether something of a message is there.
    pub(crate) fn has_unconsumed(&self) -> bool {
        match &self.session {
            Some(session) => session.has_unconsumed(),
            None => !self.unread.is_empty(),
        }
    }

    /// Sets the deadline of what the connection waits for now. One that runs
    /// for the same thing goes on, but for that of an idle connection, and
    /// when `is_renewed` says that what was waited for came, and more of the
    /// kind is waited for.
    pub(crate) fn wait<P: Protocol<Connection = C>>(
        &mut self,
        is_renewed: bool,
        timeouts: &Timeouts,
        wheel: &mut Wheel,
        id: ConnectionId,
    ) {
        let awaited = if !self.unsent.is_empty() {
            Awaited::Sending
        } else {
            match &self.stage {
                Stage::ProxyHeader | Stage::Handshake => Awaited::Handshake,
                Stage::Open(_) if self.has_unconsumed() => Awaited::RestOfMessage,
                Stage::Open(state) if !P::has_begun(state) => Awaited::Handshake,
                Stage::Open(_) => Awaited::Message,
                Stage::Closing | Stage::Lingering => Awaited::EndOfClient,
            }
        };
        let is_new = self.deadline.at == Tick::NEVER || self.deadline.of != awaited;
        if !(is_new || is_renewed) {
            return;
        }
        let at = wheel.after(timeouts.of(awaited));
        self.deadline = Deadline { of: awaited, at };
        self.is_late = false;
        if self.scheduled == Tick::NEVER {
            // Most connections end soon, and the wheel keeps their places until
            // these come by: so the first look comes early.
            self.scheduled = wheel.insert(id, at.min(wheel.after(Ticks::FIRST_LOOK)));
        } else if at < self.scheduled {
            self.scheduled = wheel.insert(id, at);
        }
    }

    /// The wheel had the connection come up at this tick. Returns whether its
    /// deadline has passed; if not, it goes back to the wheel.
    pub(crate) fn look(&mut self, came_up: Tick, wheel: &mut Wheel, id: ConnectionId) -> bool {
        if came_up != self.scheduled {
            // It was put to an earlier place since, and has been there.
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

    /// Puts away what was not consumed, without keeping memory for nothing.
    pub(crate) fn keep_unread(&mut self, rest: &[u8]) {
        if rest.is_empty() {
            if self.unread.capacity() > 0 {
                self.unread = Vec::new();
            }
        } else {
            self.unread.clear();
            self.unread.extend_from_slice(rest);
        }
    }

    /// Ends the conversation; returns what the protocol kept.
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
