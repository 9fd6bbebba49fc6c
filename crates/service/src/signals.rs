//! Signals.
//!
//! The handlers are installed before any slow part of the start, so that an early signal is
//! handled later instead of killing the process.

use std::io;
use std::thread;

use anyhow::Context as _;
use libc::c_int;
use nix::sys::signal::{SigSet, Signal as SystemSignal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::Signals;

/// The signals that have a handler.
///
/// setrlimit(2): a write beyond the maximum file size raises SIGXFSZ, which by default
/// kills the process. With a handler, the write fails with EFBIG, an error like that of a
/// full disk.
const HANDLED: [c_int; 5] = [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ];

/// What a signal requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGUSR1 or SIGHUP: reload.
    Reload,
    /// SIGTERM or SIGINT: drain and exit.
    Stop,
}

/// Signals that are caught, but not forwarded yet.
pub(crate) struct Caught {
    signals: Signals,
}

impl Caught {
    /// Installs the handlers; does not start a thread.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub(crate) fn register() -> anyhow::Result<Self> {
        let signals = Signals::new(HANDLED).context("cannot catch signals")?;
        // sigprocmask(2), execve(2): signals that the parent has blocked stay blocked, so
        // only SIGKILL could stop the process. Threads inherit the mask from this one.
        // Pending signals now reach the handlers.
        let mut mask = SigSet::empty();
        for number in HANDLED {
            mask.add(SystemSignal::try_from(number).context("cannot unblock signals")?);
        }
        mask.thread_unblock().context("cannot unblock signals")?;
        Ok(Self { signals })
    }

    /// Whether a signal to stop was caught since the last call.
    pub(crate) fn take_stop(&mut self) -> bool {
        self.signals
            .pending()
            .any(|number| matches!(number, SIGINT | SIGTERM))
    }

    /// Starts the thread that passes each signal to `tell`, until `tell` returns that there
    /// is no receiver any more. Signals of the same kind that arrive before the first one
    /// was passed on are passed on once.
    pub(crate) fn forward(
        mut self,
        tell: impl Fn(Signal) -> bool + Send + 'static,
    ) -> io::Result<()> {
        thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                for number in self.signals.forever() {
                    let signal = match number {
                        SIGINT | SIGTERM => Signal::Stop,
                        SIGHUP | SIGUSR1 => Signal::Reload,
                        _ => continue,
                    };
                    if !tell(signal) {
                        return;
                    }
                }
            })?;
        Ok(())
    }
}
