//! Counters of a link with an engine, and its status text.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::counts::LinkCounts;

/// Counters of a link, which other threads may read at any time.
#[derive(Debug, Default)]
pub struct EngineStatus {
    counts: LinkCounts,
    publishes: AtomicBool,
    reads: AtomicBool,
    has_duplicate_name: AtomicBool,
    lag: AtomicU64,
    nodes: AtomicU64,
    stream_bytes: AtomicU64,
    lost_streams: AtomicU64,
    signals_sent: AtomicU64,
    signals_received: AtomicU64,
    signals_lost: AtomicU64,
    /// The current error of each part.
    errors: [Mutex<Option<String>>; 4],
}

/// A part of a link, each of which has a thread and a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Publisher,
    Reader,
    SignalSender,
    SignalReceiver,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub fn $name(&self) -> u64 {
            self.$name.load(Relaxed)
        })*
    };
}

impl EngineStatus {
    /// Counters that links of every kind have.
    pub fn counts(&self) -> &LinkCounts {
        &self.counts
    }

    counters! {
        /// Milliseconds from when the last batch was added to the stream until it was read;
        /// 0 if all were read. While there is no connection, the time without one.
        lag,
        /// Number of other nodes that are running.
        nodes,
        /// Memory of the streams in the engine, in bytes.
        stream_bytes,
        /// Number of times that the engine had lost a stream.
        lost_streams,
        /// Number of signal batches that other nodes have received.
        signals_sent,
        /// Number of signal batches that were received.
        signals_received,
        /// Number of signal batches that probably no node has received.
        signals_lost,
    }

    /// Whether the publisher and the reader are connected.
    pub fn is_connected(&self) -> bool {
        self.publishes.load(Relaxed) && self.reads.load(Relaxed)
    }

    /// Whether another node of the cluster has the name of this one.
    pub fn has_duplicate_name(&self) -> bool {
        self.has_duplicate_name.load(Relaxed)
    }

    /// Why changes cannot be sent or received at the moment; `None` if they can.
    pub fn error(&self) -> Option<String> {
        let error = |part: &Mutex<Option<String>>| {
            let text = part.lock().unwrap_or_else(PoisonError::into_inner);
            text.clone()
        };
        self.errors.iter().find_map(error)
    }

    /// For the status line of a daemon: `one swarm with 2 other nodes`.
    pub fn text(&self) -> String {
        if let Some(error) = self.error() {
            return format!("cut off from other nodes: {error}");
        }
        match (self.is_connected(), self.nodes()) {
            (false, _) => "connecting with other nodes".into(),
            (true, 0) => "no other node in the cluster".into(),
            (true, 1) => "one swarm with 1 other node".into(),
            (true, nodes) => format!("one swarm with {nodes} other nodes"),
        }
    }

    pub(super) fn set_connected(&self, part: Part, is_connected: bool) {
        match part {
            Part::Publisher => self.publishes.store(is_connected, Relaxed),
            Part::Reader => self.reads.store(is_connected, Relaxed),
            Part::SignalSender | Part::SignalReceiver => {}
        }
    }

    pub(super) fn set_error(&self, part: Part, error: Option<String>) {
        let text = self.errors[part as usize].lock();
        *text.unwrap_or_else(PoisonError::into_inner) = error;
    }

    pub(super) fn set_has_duplicate_name(&self, has_duplicate_name: bool) {
        self.has_duplicate_name.store(has_duplicate_name, Relaxed);
    }

    pub(super) fn set_lag(&self, milliseconds: u64) {
        self.lag.store(milliseconds, Relaxed);
    }

    pub(super) fn set_nodes(&self, count: usize) {
        self.nodes.store(count as u64, Relaxed);
    }

    pub(super) fn set_stream_bytes(&self, bytes: u64) {
        self.stream_bytes.store(bytes, Relaxed);
    }

    pub(super) fn add_lost_stream(&self) {
        add(&self.lost_streams, 1);
    }

    pub(super) fn add_signals_sent(&self) {
        add(&self.signals_sent, 1);
    }

    pub(super) fn add_signals_received(&self) {
        add(&self.signals_received, 1);
    }

    pub(super) fn add_signals_lost(&self, batches: usize) {
        add(&self.signals_lost, batches as u64);
    }
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}
