//! A running daemon and what it said to its service manager.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::notify::NotifySocket;
use crate::process::{Finished, Process};
use crate::waiting::PATIENCE;

/// A daemon that a [`Setup`](crate::Setup) started. Killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    process: Process,
    notify: NotifySocket,
}

impl Daemon {
    pub(crate) fn new(process: Process, notify: NotifySocket) -> Self {
        Self { process, notify }
    }

    /// The process id, for `/proc`.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// The log: what was written to standard error so far.
    #[must_use]
    pub fn log(&self) -> String {
        self.process.stderr()
    }

    /// Whether the daemon still runs.
    #[must_use]
    pub fn is_running(&mut self) -> bool {
        self.process.is_running()
    }

    /// Waits for `READY=1`.
    ///
    /// # Panics
    /// When the line does not come in time, or the daemon ends first.
    #[track_caller]
    pub fn wait_until_ready(&mut self) {
        self.wait_for_message("READY=1", 0);
    }

    /// Waits for a line in the log that contains `needle`, and returns it.
    ///
    /// # Panics
    /// When the line does not come in time, or the daemon ends first.
    #[track_caller]
    pub fn wait_for_log(&self, needle: &str) -> String {
        self.process.wait_for_line(needle, PATIENCE)
    }

    /// All lines sent to the notify socket so far, oldest first.
    #[must_use]
    pub fn messages(&mut self) -> &[String] {
        self.notify.lines()
    }

    /// Waits for a line on the notify socket, after the first `seen` ones, that starts
    /// with `prefix`, and returns it.
    ///
    /// # Panics
    /// When the line does not come in time, or the daemon ends first.
    #[track_caller]
    pub fn wait_for_message(&mut self, prefix: &str, seen: usize) -> String {
        let process = &mut self.process;
        let message = self
            .notify
            .wait_for(prefix, seen, PATIENCE, || process.is_running());
        message.unwrap_or_else(|| panic!("the daemon never said {prefix} to NOTIFY_SOCKET"))
    }

    /// Sends a signal.
    ///
    /// # Panics
    /// When the daemon has ended already.
    #[track_caller]
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Sends a signal that makes the daemon reload, and waits until it reports that it is
    /// ready again, whether it uses the new files or keeps the old ones.
    ///
    /// # Panics
    /// When it does not report that in time.
    #[track_caller]
    pub fn reload(&mut self, signal: Signal) {
        let seen = self.messages().len();
        self.signal(signal);
        self.wait_for_message("RELOADING=1", seen);
        self.wait_for_message("READY=1", seen);
    }

    /// Sends SIGTERM and waits until the daemon ends.
    ///
    /// # Panics
    /// When the daemon does not end, or not with exit code 0.
    #[track_caller]
    pub fn stop(self) -> Finished {
        self.signal(Signal::SIGTERM);
        let finished = self.wait(PATIENCE);
        assert!(
            finished.status.success(),
            "ended with {} after SIGTERM:\n{}",
            finished.status,
            finished.stderr
        );
        finished
    }

    /// Waits until the daemon ends by itself.
    ///
    /// # Panics
    /// When it still runs after `patience`.
    #[track_caller]
    pub fn wait(self, patience: Duration) -> Finished {
        self.process.wait(patience)
    }
}
