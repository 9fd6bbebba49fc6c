//! Items that are reloaded on SIGHUP or SIGUSR1.
//!
//! Reading a file may block on a disk or a file server, so each item is read on a thread
//! of its own, for at most [`PATIENCE`]. The main thread, which is not blocked meanwhile,
//! then puts the result into effect.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// How long reading one item may take. A list of 64 million lines from a slow disk takes
/// less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Puts what was read into effect: quickly, and infallibly.
pub type Apply = Box<dyn FnOnce() + Send>;

/// An item that a daemon registers in [`Start`](crate::Start) to be reloaded.
pub trait Reload: Send + Sync {
    /// What it is, such as `TLS certificate`.
    fn what(&self) -> &str;

    /// Reads it again, on a thread of its own, and returns a function that puts it into
    /// effect. The service drops that if it has stopped waiting by then.
    ///
    /// # Errors
    ///
    /// What is wrong with it; the previous state stays in effect.
    fn read(&self) -> anyhow::Result<Apply>;

    /// Reads it again and puts it into effect.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn reload(&self) -> anyhow::Result<()> {
        self.read().map(|apply| apply())
    }
}

/// Reads an item for the first time, with the same timeout, so that a start that hangs
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
