//! Counts of one worker.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A count that only one thread adds to, so that adding needs no locked
/// instruction.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `more`. To be called by one thread only.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.store(self.0.load(Relaxed) + more, Relaxed);
    }

    /// What was added so far.
    #[inline]
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
