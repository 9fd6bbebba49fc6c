//! Waiting for a snapshot that is restored while the daemon serves.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whether a snapshot is being restored.
#[derive(Debug, Clone, Default)]
pub struct Restoring(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    is_restoring: Mutex<bool>,
    ended: Condvar,
}

/// Ends the restoring when it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Ending(Arc<Progress>);

impl Restoring {
    /// Restoring begins, and lasts until the other value is dropped.
    pub(crate) fn begin() -> (Self, Ending) {
        let progress = Arc::new(Progress {
            is_restoring: Mutex::new(true),
            ended: Condvar::new(),
        });
        (Self(progress.clone()), Ending(progress))
    }

    /// Waits for the end.
    pub(crate) fn wait(&self) {
        let guard = self.0.lock();
        let ended = self.0.ended.wait_while(guard, |it| *it);
        drop(ended.unwrap_or_else(PoisonError::into_inner));
    }

    /// Waits for the end, at most so long. Returns whether it has ended.
    pub(crate) fn wait_at_most(&self, time: Duration) -> bool {
        let guard = self.0.lock();
        let waited = self.0.ended.wait_timeout_while(guard, time, |it| *it);
        let (is_restoring, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !*is_restoring
    }

    /// Waits for the end, and calls `beat` every now and then.
    pub(crate) fn wait_and(&self, beat: impl Fn()) {
        /// Far below the time after which a thread is called stuck.
        const BEAT: Duration = Duration::from_millis(200);
        while !self.wait_at_most(BEAT) {
            beat();
        }
    }
}

impl Progress {
    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_restoring
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        *self.0.lock() = false;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::thread;

    use super::*;

    #[test]
    fn what_is_not_restored_is_not_awaited() {
        Restoring::default().wait();
        assert!(Restoring::default().wait_at_most(Duration::ZERO));
    }

    #[test]
    fn all_wait_for_the_end() {
        let (restoring, ending) = Restoring::begin();
        assert!(!restoring.wait_at_most(Duration::from_millis(1)));
        let waiting = [restoring.clone(), restoring.clone()]
            .map(|restoring| thread::spawn(move || restoring.wait()));
        let ending = Cell::new(Some(ending));
        // A panic ends it, too.
        restoring.wait_and(|| {
            let ending = ending.take();
            let panicked = thread::spawn(move || {
                let _ending = ending;
                panic!("while restoring");
            });
            panicked.join().unwrap_err();
        });
        for waiting in waiting {
            waiting.join().unwrap();
        }
        assert!(restoring.wait_at_most(Duration::ZERO));
    }
}
