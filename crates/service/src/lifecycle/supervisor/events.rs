//! What wakes the main thread.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use crate::access_list::AccessList;
use crate::reload::Apply;
use crate::signals::Signal;
use crate::snapshot::Written;
use crate::workers::End;

/// Events that may wait for the main thread before their senders wait too.
const EVENT_QUEUE: usize = 64;

/// What wakes the main thread.
pub(in crate::lifecycle) enum Event {
    /// A signal arrived.
    Signal(Signal),
    /// A worker's thread is about to end.
    WorkerEnded {
        /// Which one, in the order they were started.
        index: usize,
        /// Why.
        end: End,
    },
    /// The thread that writes snapshots is done with one.
    SnapshotEnded(Result<Written, String>),
    /// A thread that reads something again is done.
    Read {
        /// What, by its number.
        item: usize,
        /// Which attempt.
        ticket: u64,
        /// What was read, or what is wrong with it.
        result: Result<Content, String>,
    },
}

/// What was read.
pub(in crate::lifecycle) enum Content {
    /// A list.
    List(AccessList),
    /// Something else.
    Other(Apply),
}

/// Where events are told, and where the main thread hears of them.
pub(in crate::lifecycle) fn channel() -> (SyncSender<Event>, Receiver<Event>) {
    sync_channel(EVENT_QUEUE)
}
