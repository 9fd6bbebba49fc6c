//! Events for the main thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::access_list::AccessList;
use crate::reload::Apply;
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
    SnapshotEnded(Result<Written, String>),
    /// A thread that reloads an item has finished.
    Read {
        /// The index of the item.
        item: usize,
        /// The attempt.
        ticket: u64,
        /// The content, or the error.
        result: Result<Content, String>,
    },
}

/// The content of a reloaded item.
pub(in crate::lifecycle) enum Content {
    /// An access list.
    List(AccessList),
    /// Another item.
    Other(Apply),
}

/// Creates the queue of events for the main thread.
pub(in crate::lifecycle) fn channel() -> (SyncSender<Event>, Receiver<Event>) {
    sync_channel(EVENT_QUEUE)
}
