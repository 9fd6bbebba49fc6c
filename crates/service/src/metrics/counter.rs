//! Counters of workers.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A counter that only one thread increments, so that no locked instruction is needed.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `more`. Must only be called by one thread.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed) + more, Relaxed);
    }

    /// The current value.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
