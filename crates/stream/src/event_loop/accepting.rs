//! What to do when accepting fails.

use std::io;
use std::time::{Duration, Instant};

/// How long no connection is accepted after the system had no descriptor or
/// memory for one; those that come meanwhile wait in the kernel.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// Connections that are accepted from one listener in one turn.
pub(super) const ACCEPTS_PER_TURN: usize = 64;

/// Connections that are accepted from one listener when the process is about to
/// end: as many as the kernel lets wait, unless it was told otherwise.
pub(super) const LAST_ACCEPTS: usize = 4096;

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

    /// accept(2) failed, other than that nobody waits. Returns whether there is
    /// a shortage; then nothing is to be accepted for a while.
    ///
    /// Other errors are of the one connection: "treat them like EAGAIN by
    /// retrying" (accept(2)).
    pub(super) fn failed(&mut self, error: &io::Error) -> bool {
        let is_shortage = matches!(
            error.raw_os_error(),
            Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM)
        );
        if !is_shortage {
            return false;
        }
        let now = Instant::now();
        self.paused_until = Some(now + PAUSE);
        if self
            .logged
            .is_none_or(|logged| now - logged >= LOGGED_AFTER)
        {
            self.logged = Some(now);
            log::error!(
                "cannot accept connections: {error}; raise the limit with LimitNOFILE= or \
                 `ulimit -n`, or lower network.max_connections"
            );
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_shortage_makes_a_pause() {
        let mut accepting = Accepting::default();
        let error = io::Error::from_raw_os_error;
        assert!(!accepting.failed(&error(libc::ECONNABORTED)));
        assert!(!accepting.is_paused(Instant::now()));
        assert!(accepting.failed(&error(libc::EMFILE)));
        assert!(accepting.is_paused(Instant::now()));
        assert!(!accepting.is_paused(Instant::now() + PAUSE));
    }
}
