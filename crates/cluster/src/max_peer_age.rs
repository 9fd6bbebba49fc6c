//! The maximum age of peers, which a reload may change.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

/// Maximum age of a peer in seconds: after this time without an announce, this node removes
/// it. Clones are one value.
#[derive(Debug, Clone)]
pub struct MaxPeerAge(Arc<AtomicU16>);

impl MaxPeerAge {
    /// A value that starts with `seconds`.
    pub fn of_seconds(seconds: u16) -> Self {
        Self(Arc::new(AtomicU16::new(seconds)))
    }

    /// The value, in seconds.
    pub fn seconds(&self) -> u16 {
        self.0.load(Ordering::Relaxed)
    }

    /// Changes all clones. Others learn it from the next batch.
    pub fn set_seconds(&self, seconds: u16) {
        self.0.store(seconds, Ordering::Relaxed);
    }
}
