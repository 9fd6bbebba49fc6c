//! Signals, told as they come.
//!
//! The handlers are set before anything slow happens at start, so that a signal
//! that comes early is acted upon late instead of killing the process.

use std::io;
use std::thread;

use anyhow::Context as _;
use libc::c_int;
use nix::sys::signal::{SigSet, Signal as SystemSignal};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ};
use signal_hook::iterator::Signals;

/// The signals that have a handler.
///
/// setrlimit(2): a write beyond the limit of file sizes raises SIGXFSZ, whose default
/// is the end of the process. With a handler, the write fails with EFBIG, which is an
/// error like that of a full disk.
const HANDLED: [c_int; 5] = [SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGXFSZ];

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signal {
    /// SIGUSR1 or SIGHUP: read the access list (and TLS material) again.
    Reload,
    /// SIGTERM or SIGINT: drain and end.
    Stop,
}

/// Signals that are caught but not yet forwarded.
pub(crate) struct Caught {
    signals: Signals,
}

impl Caught {
    /// Sets the handlers; starts no thread.
    ///
    /// # Errors
    ///
    /// Those of the system.
    pub(crate) fn register() -> anyhow::Result<Self> {
        let signals = Signals::new(HANDLED).context("cannot catch signals")?;
        // sigprocmask(2), execve(2): what the parent has blocked stays blocked, so
        // that the process could be stopped by SIGKILL only. Threads inherit the mask
        // from this one. What has come meanwhile reaches the handlers now.
        let mut mask = SigSet::empty();
        for number in HANDLED {
            mask.add(SystemSignal::try_from(number).context("cannot unblock signals")?);
        }
        mask.thread_unblock().context("cannot unblock signals")?;
        Ok(Self { signals })
    }

    /// Whether a signal to stop has come, which is then forgotten.
    pub(crate) fn take_stop(&mut self) -> bool {
        self.signals
            .pending()
            .any(|number| matches!(number, SIGINT | SIGTERM))
    }

    /// Starts the thread that tells of each signal, until `tell` says that nobody
    /// listens any more. Equal signals that come before the first was told are told
    /// once.
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
