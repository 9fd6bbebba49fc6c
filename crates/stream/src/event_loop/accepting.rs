//! Handles failures of accept(2).

use std::io;
use std::time::{Duration, Instant};

/// The pause in accepting after the system had no descriptor or memory for a connection;
/// new connections wait in the kernel meanwhile.
pub(super) const PAUSE: Duration = Duration::from_millis(250);

/// Maximum number of connections that are accepted from one listener in one turn.
pub(super) const ACCEPTS_PER_TURN: usize = 64;

/// Maximum number of connections that are accepted from one listener when the process is
/// about to end: the kernel's default maximum of its queue.
pub(super) const LAST_ACCEPTS: usize = 4096;

/// Minimum time between log messages about such failures.
const LOGGED_AFTER: Duration = Duration::from_secs(60);

/// The state of accepting at a listener.
#[derive(Default)]
pub(super) struct Accepting {
    paused_until: Option<Instant>,
    logged: Option<Instant>,
}

impl Accepting {
    /// Whether accepting is paused.
    pub(super) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// accept(2) failed, other than with EAGAIN. Returns whether the system lacks resources;
    /// accepting is paused then.
    ///
    /// Other errors concern one connection only: "treat them like EAGAIN by
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
