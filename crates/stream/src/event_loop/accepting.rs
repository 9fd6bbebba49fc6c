//! What to do when accepting fails.

use std::io;
use std::time::{Duration, Instant};

use crate::Protocol;
use crate::counters::Refusal;
use crate::engine::Engine;

/// How long no connection is accepted after the system had no descriptor or
/// memory for one; those that come meanwhile wait in the kernel.
const PAUSE: Duration = Duration::from_millis(250);

/// How often this is logged.
const LOGGED_AFTER: Duration = Duration::from_secs(60);

/// How accepting goes on a listener.
#[derive(Default)]
pub(super) struct Accepting {
    paused_until: Option<Instant>,
    logged: Option<Instant>,
}

impl Accepting {
    /// Whether nothing is to be accepted yet.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }
}

/// Deals with an error of accept(2), other than that nobody waits.
pub(super) fn accept_error<P: Protocol>(
    error: &io::Error,
    accepting: &mut Accepting,
    engine: &Engine<P>,
) {
    // "treat them like EAGAIN by retrying" (accept(2)): the client has gone, or
    // the network had something to say about its connection.
    let is_shortage = matches!(
        error.raw_os_error(),
        Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
    );
    if !is_shortage {
        return;
    }
    engine.refused(Refusal::NoDescriptors);
    let now = Instant::now();
    accepting.paused_until = Some(now + PAUSE);
    if accepting
        .logged
        .is_none_or(|logged| now - logged >= LOGGED_AFTER)
    {
        accepting.logged = Some(now);
        log::error!(
            "cannot accept connections: {error}; raise the limit with LimitNOFILE= or \
             `ulimit -n`, or lower network.max_connections"
        );
    }
}
