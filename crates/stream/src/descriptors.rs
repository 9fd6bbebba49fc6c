//! How many file descriptors connections may use.
//!
//! A process without free descriptors not only refuses clients: it cannot serve metrics,
//! write its snapshot or reload either. So the number of connections is limited such that
//! enough descriptors are left for all that.

use std::num::NonZeroUsize;

use anyhow::bail;
use aquatic_service::resource_limits::{self, RESERVED_FILES};

use crate::EventLoop;

/// Descriptors of a worker on mio: an epoll instance and a waker.
const MIO_FILES: u64 = 2;

/// What a worker waits with on glommio: three rings and a waker, and a second one
/// that belongs to all of them.
pub(crate) const GLOMMIO_FILES: u64 = 5;

/// One per worker: a connection that was accepted and may have to be refused, or that the
/// engine has removed and that is not yet closed.
const PASSING_FILES: u64 = 1;

/// Number of open files besides listening sockets, if there is no `/proc` to count them, as
/// in a chroot: standard streams, connections to the log and the service manager, the
/// metrics socket, and some more.
const USUALLY_OPEN: u64 = 16;

/// Minimum number of free descriptors at the start, one half for connections and the other
/// for everything else. With fewer, the daemon does not start.
const LEAST_FREE: u64 = 12;

/// What uses descriptors when a daemon starts.
pub(crate) struct Demand {
    pub(crate) event_loop: EventLoop,
    pub(crate) workers: usize,
    /// Listening sockets of all workers, which are open already.
    pub(crate) listeners: usize,
}

impl Demand {
    fn files(&self) -> u64 {
        let (of_loop, of_listener) = match self.event_loop {
            EventLoop::Auto | EventLoop::Mio => (MIO_FILES, 0),
            // The worker waits on a duplicate.
            EventLoop::Glommio => (GLOMMIO_FILES, 1),
        };
        self.workers as u64 * (of_loop + PASSING_FILES) + self.listeners as u64 * of_listener
    }
}

/// The descriptors of a running daemon.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Descriptors {
    /// Those that are in use apart from connections.
    fixed: u64,
}

impl Descriptors {
    /// Counts those that are open at the start, and that will be.
    pub(crate) fn at_start(demand: &Demand) -> Self {
        let open = resource_limits::open_files().unwrap_or(USUALLY_OPEN + demand.listeners as u64);
        Self {
            fixed: open + demand.files(),
        }
    }

    /// Raises the soft limit of open files as far as `wanted` connections need it and the
    /// hard limit allows. Returns how many connections may be open at once: `wanted`, or
    /// fewer with a warning.
    ///
    /// # Errors
    ///
    /// When the limit is too low to serve at all.
    pub(crate) fn admitted(&self, wanted: NonZeroUsize) -> anyhow::Result<NonZeroUsize> {
        let fixed = self.fixed;
        let needed = fixed + RESERVED_FILES + wanted.get() as u64;
        let Some(limit) = resource_limits::allow_open_files(needed) else {
            return Ok(wanted);
        };
        let Some(max) = left_for_connections(limit, fixed) else {
            bail!(
                "no connections can be accepted: at least {} open files are needed, and {needed} for \
                 network.max_connections, but the limit is {limit}; raise it with LimitNOFILE= or \
                 `ulimit -n {needed}`",
                fixed + LEAST_FREE
            );
        };
        if max >= wanted {
            return Ok(wanted);
        }
        log::warn!(
            "at most {max} connections will be accepted, not {wanted} as set by \
             network.max_connections: these may need {needed} open files, but the limit is {limit}; \
             raise it with LimitNOFILE= or `ulimit -n {needed}`, or lower network.max_connections"
        );
        Ok(max)
    }
}

/// How many connections may be open, with `fixed` descriptors in use by others.
fn left_for_connections(limit: u64, fixed: u64) -> Option<NonZeroUsize> {
    let free = limit
        .checked_sub(fixed)
        .filter(|free| *free >= LEAST_FREE)?;
    // If there are very few, connections get half of them.
    let max = free - RESERVED_FILES.min(free / 2);
    NonZeroUsize::new(usize::try_from(max).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_the_reserve() {
        let left = |limit, fixed| left_for_connections(limit, fixed).map(NonZeroUsize::get);
        assert_eq!(left(1_024, 24), Some(1_000 - RESERVED_FILES as usize));
        let just = RESERVED_FILES * 2;
        assert_eq!(left(just + 10, 10), Some(RESERVED_FILES as usize));
        assert_eq!(left(64, 24), Some(20));
        assert_eq!(left(24 + LEAST_FREE, 24), Some(6));
        assert_eq!(left(23 + LEAST_FREE, 24), None);
        assert_eq!(left(8, 24), None);
        assert_eq!(
            left(u64::MAX, 0),
            Some(usize::MAX - RESERVED_FILES as usize)
        );
    }

    #[test]
    fn glommio_needs_more() {
        let files = |event_loop| {
            let demand = Demand {
                event_loop,
                workers: 4,
                listeners: 8,
            };
            demand.files()
        };
        assert_eq!(files(EventLoop::Mio), 4 * 3);
        assert_eq!(files(EventLoop::Auto), 4 * 3);
        assert_eq!(files(EventLoop::Glommio), 4 * 6 + 8);
    }
}
