//! Events for the main thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::config::{Changes, Diagnostics, ProcessSettings};
use crate::lists::Contents;
use crate::reload::{Apply, Failure};
use crate::signals::Signal;
use crate::snapshot::Written;
use crate::workers::End;

/// Maximum number of queued events; further senders block.
const EVENT_QUEUE: usize = 64;

/// An event for the main thread.
pub(in crate::lifecycle) enum Event {
    /// A signal arrived.
    Signal(Signal),
    /// The thread of a worker is about to end.
    WorkerEnded {
        /// Its index, in the order of starting.
        index: usize,
        /// The reason.
        end: End,
    },
    /// The thread that writes a snapshot has finished.
    SnapshotEnded {
        /// The snapshot.
        ticket: u64,
        /// What was written, or why that failed.
        result: Result<Written, String>,
    },
    /// The thread that reads everything for a reload has finished.
    Read {
        /// The attempt.
        ticket: u64,
        /// What it has read, or why that failed.
        result: Result<Box<Fresh>, Failure>,
    },
}

/// What a reload has read and found in order.
pub(in crate::lifecycle) struct Fresh {
    /// The configuration that it leads to.
    pub(super) config: toml::Table,
    /// How that differs from the one in effect.
    pub(super) changes: Changes,
    /// Why the file could not be read, so that the configuration stays as it is.
    pub(super) out_of_reach: Option<String>,
    /// Warnings about keys of earlier releases.
    pub(super) warnings: Diagnostics,
    /// Advice about values.
    pub(super) advice: Diagnostics,
    /// The settings for this crate.
    pub(super) process: ProcessSettings,
    /// Why the snapshot cannot be written, if it is a new one.
    pub(super) unwritable: Option<String>,
    /// The lists.
    pub(super) lists: Contents,
    /// Puts the settings of the daemon into effect.
    pub(super) apply: Apply,
}

/// Creates the queue of events for the main thread.
pub(in crate::lifecycle) fn channel() -> (SyncSender<Event>, Receiver<Event>) {
    sync_channel(EVENT_QUEUE)
}
