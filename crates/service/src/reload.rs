//! What is read again when SIGHUP or SIGUSR1 arrives.
//!
//! Reading takes as long as a disk or a file server likes, so each thing is read
//! on a thread of its own, and has [`PATIENCE`]; what was read is then put in
//! place by the main thread, which goes on with everything else meanwhile.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;

/// How long reading one thing may take. A list of 64 million lines from a slow
/// disk takes less.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Puts what was read in place: quickly, and without fail.
pub type Exchange = Box<dyn FnOnce() + Send>;

/// Something that a daemon registers in [`Start`](crate::Start) to be read
/// again.
pub trait Reload: Send + Sync {
    /// What it is, such as `TLS certificate`.
    fn what(&self) -> &str;

    /// Reads it again, on a thread of its own, and returns what puts it in place.
    /// The service may have given up waiting by then, and drops it.
    ///
    /// # Errors
    ///
    /// What is wrong with it; what was there before stays in place.
    fn read(&self) -> anyhow::Result<Exchange>;

    /// Reads it again and puts it in place.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    fn reload(&self) -> anyhow::Result<()> {
        self.read().map(|exchange| exchange())
    }
}

/// Reads something for the first time, with the same patience: no service manager
/// shows what a start waits for.
///
/// # Errors
///
/// When the time is up, or there cannot be another thread.
pub(crate) fn in_time<T: Send + 'static>(
    what: &str,
    read: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("load".to_owned())
        .spawn(move || {
            // Nobody waits any more when it took too long.
            let _ = sender.send(read());
        })
        .with_context(|| format!("cannot start the thread that reads the {what}"))?;
    receiver.recv_timeout(PATIENCE).with_context(|| {
        let seconds = PATIENCE.as_secs();
        format!("the {what} was not read within {seconds} seconds")
    })
}
