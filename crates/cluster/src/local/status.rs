//! Counters of a local link, and its status text.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::counts::LinkCounts;

/// Counters of a link, which other threads may read at any time.
#[derive(Debug, Default)]
pub struct LocalStatus {
    counts: LinkCounts,
    names: Vec<String>,
    /// A bit for each name, in order: whether it is linked.
    linked: AtomicU64,
    readers: AtomicU64,
}

impl LocalStatus {
    /// What links of every kind count.
    pub fn counts(&self) -> &LinkCounts {
        &self.counts
    }

    /// Readers that are connected now.
    pub fn readers(&self) -> u64 {
        self.readers.load(Ordering::Relaxed)
    }

    /// Number of daemons that this one is connected to now.
    pub fn linked(&self) -> u32 {
        self.linked.load(Ordering::Relaxed).count_ones()
    }

    /// For the status line of a daemon: `linked with aquatic-http`; `None` if it is not
    /// linked.
    pub fn text(&self) -> Option<String> {
        let linked = self.linked.load(Ordering::Relaxed);
        let names = self.names.iter().enumerate();
        let names: Vec<&str> = names
            .filter(|(index, _)| linked & 1 << index != 0)
            .map(|(_, name)| &**name)
            .collect();
        (!names.is_empty()).then(|| format!("linked with {}", names.join(" and ")))
    }

    /// For links with daemons of these names, of which there are at most 64.
    pub(super) fn new(names: Vec<String>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    pub(super) fn set_linked(&self, index: usize, is_linked: bool) {
        let bit = 1 << index;
        match is_linked {
            true => self.linked.fetch_or(bit, Ordering::Relaxed),
            false => self.linked.fetch_and(!bit, Ordering::Relaxed),
        };
    }

    pub(super) fn set_readers(&self, count: usize) {
        self.readers.store(count as u64, Ordering::Relaxed);
    }
}
