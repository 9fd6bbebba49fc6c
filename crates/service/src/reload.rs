//! What is read again when SIGHUP or SIGUSR1 arrives.
//!
//! Reading takes as long as a disk or a file server likes, so each thing is read
//! on a thread of its own, and has [`PATIENCE`]; what was read is then put in
//! place by the main thread, which goes on with everything else meanwhile.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use crate::Stop;

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

/// How often a wait looks whether it is to end.
const LOOK_AFTER: Duration = Duration::from_millis(50);

/// Does something that may wait for a disk or a file server, with the same patience
/// as at a reload and until a signal asks for the end: no service manager shows what a
/// start waits for.
///
/// # Errors
///
/// When the time is up, the process is asked to stop, or there cannot be another
/// thread.
pub(crate) fn in_time<T: Send + 'static>(
    what: &str,
    stop: &Stop,
    act: impl FnOnce() -> T + Send + 'static,
) -> anyhow::Result<T> {
    let (sender, receiver) = mpsc::sync_channel(1);
    spawn(what, move || {
        // Nobody waits any more when it took too long.
        let _ = sender.send(act());
    })?;
    match receive(what, &receiver, stop)? {
        Some(result) => Ok(result),
        None => bail!("the thread that reads the {what} has panicked"),
    }
}

/// Starts a thread that nobody joins.
pub(crate) fn spawn(what: &str, act: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    thread::Builder::new()
        .name("load".to_owned())
        .spawn(act)
        .with_context(|| format!("cannot start the thread that reads the {what}"))?;
    Ok(())
}

/// Receives what a thread has read; nothing when it has ended.
///
/// # Errors
///
/// When the time is up, or the process is asked to stop.
pub(crate) fn receive<T>(
    what: &str,
    receiver: &Receiver<T>,
    stop: &Stop,
) -> anyhow::Result<Option<T>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match receiver.recv_timeout(LOOK_AFTER) {
            Ok(read) => return Ok(Some(read)),
            Err(RecvTimeoutError::Disconnected) => return Ok(None),
            Err(RecvTimeoutError::Timeout) => stop.check()?,
        }
        if Instant::now() >= deadline {
            let seconds = PATIENCE.as_secs();
            bail!("the {what} was not read within {seconds} seconds");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_to_stop_ends_the_wait_for_what_hangs() {
        let stop = Stop::default();
        assert_eq!(in_time("list", &stop, || 7).unwrap(), 7);
        let (go_on, hangs) = mpsc::channel::<()>();
        stop.ask();
        let begun = Instant::now();
        let error = in_time("list", &stop, move || hangs.recv()).unwrap_err();
        assert!(error.is::<crate::signals::Stopped>(), "{error:#}");
        assert!(begun.elapsed() < PATIENCE / 4);
        drop(go_on);
    }

    #[test]
    fn a_panic_ends_the_wait() {
        let stop = Stop::default();
        let result: anyhow::Result<()> = in_time("list", &stop, || panic!("on purpose"));
        assert!(result.unwrap_err().to_string().contains("panicked"));
    }
}
