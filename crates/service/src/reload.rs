//! Reloads, on SIGHUP or SIGUSR1: the configuration and the files that it names are read
//! again, and take effect together, or not at all.
//!
//! Reading a file may block on a disk or a file server, so everything is read on a thread of
//! its own, for at most [`PATIENCE`]. The main thread, which is not blocked meanwhile, then
//! puts the result into effect.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// How long reading everything may take. A list of 64 million lines from a slow disk takes
/// less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Puts what was read into effect: quickly, and infallibly.
pub type Apply = Box<dyn FnOnce() + Send>;

/// Why a reload failed, and changed nothing.
#[derive(Debug)]
pub struct Failure {
    /// What could not be read or used, such as `TLS certificate`.
    pub what: &'static str,
    /// The reason.
    pub error: anyhow::Error,
}

impl Failure {
    /// `what` could not be read or used.
    pub fn of(what: &'static str, error: impl Into<anyhow::Error>) -> Self {
        Self {
            what,
            error: error.into(),
        }
    }
}

/// Reads something for the first time, with the same timeout, so that a start that hangs
/// ends with a reason.
///
/// # Errors
///
/// When that took too long, or no thread can be created.
pub(crate) fn in_time<T: Send + 'static>(
    what: &str,
    read: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            // There is no receiver any more when it took too long.
            let _ = sender.send(read());
        })
        .with_context(|| format!("cannot start the thread that reads the {what}"))?;
    receiver.recv_timeout(PATIENCE).with_context(|| {
        let seconds = PATIENCE.as_secs();
        format!("reading the {what} took longer than {seconds} seconds")
    })
}
