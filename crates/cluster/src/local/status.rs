//! Counters of a local link, and its status text.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::batch::{HEADER_LENGTH, Kind};
use crate::sequences::Arrival;

/// Counters of a link, which other threads may read at any time.
#[derive(Debug, Default)]
pub struct LocalStatus {
    names: Vec<String>,
    /// A bit for each name, in order: whether it is linked.
    linked: AtomicU64,
    readers: AtomicU64,
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

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub fn $name(&self) -> u64 {
            self.$name.load(Ordering::Relaxed)
        })*
    };
}

impl LocalStatus {
    counters! {
        /// Readers that are connected now.
        readers,
        /// Changes received from other daemons, including repeats.
        records_in,
        /// Changes sent to other daemons.
        records_out,
        /// Batches with changes received, including repeats.
        batches_in,
        /// Batches with changes sent to all readers; each counts once.
        batches_out,
        /// Batches that had been received before.
        repeats,
        /// Batches that were missing.
        gaps,
        /// Changes that did not fit into the outbox.
        dropped,
        /// Connections to other daemons, except the first one to each.
        reconnects,
        /// Connections that were closed because the other end violated the protocol.
        refused,
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

    pub(super) fn add_in(&self, arrival: Arrival, records: usize) {
        add(&self.batches_in, 1);
        add(&self.records_in, records as u64);
        match arrival {
            Arrival::New => {}
            Arrival::Repeat => add(&self.repeats, 1),
            Arrival::Gap(missed) => add(&self.gaps, missed),
        }
    }

    pub(super) fn add_out(&self, kind: Kind, batch_length: usize) {
        let records = (batch_length - HEADER_LENGTH) / kind.record_length();
        add(&self.batches_out, 1);
        add(&self.records_out, records as u64);
    }

    pub(super) fn add_dropped(&self, records: u64) {
        add(&self.dropped, records);
    }

    pub(super) fn add_reconnect(&self) {
        add(&self.reconnects, 1);
    }

    pub(super) fn add_refused(&self) {
        add(&self.refused, 1);
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Ordering::Relaxed);
}
