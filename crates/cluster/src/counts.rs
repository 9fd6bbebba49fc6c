//! What links of every kind count.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::sequences::Arrival;

/// Counters of a link, which other threads may read at any time.
#[derive(Debug, Default)]
pub struct LinkCounts {
    records_in: AtomicU64,
    records_out: AtomicU64,
    batches_in: AtomicU64,
    batches_out: AtomicU64,
    repeats: AtomicU64,
    gaps: AtomicU64,
    dropped: AtomicU64,
    reconnects: AtomicU64,
    refused: AtomicU64,
}

macro_rules! getters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub fn $name(&self) -> u64 {
            self.$name.load(Relaxed)
        })*
    };
}

impl LinkCounts {
    getters! {
        /// Records that were received, including repeats and, from an engine, own ones.
        records_in,
        /// Records that were sent.
        records_out,
        /// Batches that were received, including repeats and, from an engine, own ones.
        batches_in,
        /// Batches that were sent.
        batches_out,
        /// Batches that had been received before.
        repeats,
        /// Batches of others that were never received.
        gaps,
        /// Records that were dropped because the outbox was full.
        dropped,
        /// Connections after the first one.
        reconnects,
        /// Connections or entries that were rejected because of their contents.
        refused,
    }

    /// Counts a batch that was received. Gaps among own batches are not counted.
    pub(crate) fn add_in(&self, arrival: Arrival, records: usize, is_own: bool) {
        add(&self.batches_in, 1);
        add(&self.records_in, records as u64);
        match arrival {
            Arrival::Repeat => add(&self.repeats, 1),
            Arrival::Gap(missed) if !is_own => add(&self.gaps, missed),
            Arrival::New | Arrival::Gap(_) => {}
        }
    }

    pub(crate) fn add_out(&self, records: usize) {
        add(&self.batches_out, 1);
        add(&self.records_out, records as u64);
    }

    pub(crate) fn set_dropped(&self, records: u64) {
        self.dropped.store(records, Relaxed);
    }

    pub(crate) fn add_reconnect(&self) {
        add(&self.reconnects, 1);
    }

    pub(crate) fn add_refused(&self) {
        add(&self.refused, 1);
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}
