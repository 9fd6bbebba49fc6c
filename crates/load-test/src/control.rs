//! Communication between the main thread and workers.

use std::fmt::Display;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use strum::VariantArray;

use crate::counters::{Counters, SharedCounters};

/// The current phase of all workers, as set by the main thread. Displayed as in the
/// progress line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, VariantArray, strum::Display)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Get a connection id for every source, or a reply over every connection.
    #[strum(serialize = "connecting")]
    Connect,
    /// Announce every peer once.
    #[strum(serialize = "filling")]
    Fill,
    /// Send the mix of requests.
    #[strum(serialize = "warming up")]
    WarmUp,
    /// The same, recording latencies.
    #[strum(serialize = "measuring")]
    Measure,
    /// Stop sending, wait for outstanding replies, and end.
    #[strum(serialize = "draining")]
    Drain,
    /// End immediately.
    #[strum(serialize = "aborting")]
    Abort,
}

/// State that the main thread and all workers share.
#[derive(Debug)]
pub(crate) struct Control {
    started: Instant,
    phase: AtomicU8,
    counters: Vec<SharedCounters>,
    first_error: Mutex<Option<String>>,
    first_failure: Mutex<Option<String>>,
}

impl Control {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            started: Instant::now(),
            phase: AtomicU8::new(Phase::Connect as u8),
            counters: (0..workers).map(|_| SharedCounters::default()).collect(),
            first_error: Mutex::new(None),
            first_failure: Mutex::new(None),
        }
    }

    /// The start of the clock of all workers.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    pub(crate) fn set_phase(&self, phase: Phase) {
        self.phase.store(phase as u8, Ordering::Release);
    }

    pub(crate) fn phase(&self) -> Phase {
        Phase::VARIANTS[usize::from(self.phase.load(Ordering::Acquire))]
    }

    /// The counters that a worker publishes.
    pub(crate) fn counters(&self, worker: usize) -> &SharedCounters {
        &self.counters[worker]
    }

    /// The sum of the counters of all workers.
    pub(crate) fn sum(&self) -> Counters {
        let mut sum = Counters::default();
        for shared in &self.counters {
            sum.add(&shared.read());
        }
        sum
    }

    /// Keeps the first error message for the report.
    pub(crate) fn note_error(&self, message: &[u8]) {
        locked(&self.first_error)
            .get_or_insert_with(|| String::from_utf8_lossy(message).into_owned());
    }

    pub(crate) fn first_error(&self) -> Option<String> {
        locked(&self.first_error).clone()
    }

    /// Keeps the reason of the first connection failure for the report.
    pub(crate) fn note_failure(&self, reason: &dyn Display) {
        locked(&self.first_failure).get_or_insert_with(|| reason.to_string());
    }

    pub(crate) fn first_failure(&self) -> Option<String> {
        locked(&self.first_failure).clone()
    }
}

/// The text is still valid after a panic of a thread that held the lock.
fn locked(text: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carries_every_phase() {
        let control = Control::new(1);
        assert_eq!(control.phase(), Phase::Connect);
        for &phase in Phase::VARIANTS {
            control.set_phase(phase);
            assert_eq!(control.phase(), phase);
        }
    }

    #[test]
    fn keeps_the_first_error() {
        let control = Control::new(1);
        control.note_error(b"first");
        control.note_error(b"second");
        assert_eq!(control.first_error().as_deref(), Some("first"));

        assert_eq!(control.first_failure(), None);
        control.note_failure(&"refused");
        control.note_failure(&"reset");
        assert_eq!(control.first_failure().as_deref(), Some("refused"));
    }
}
