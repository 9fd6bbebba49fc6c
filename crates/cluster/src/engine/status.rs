//! What a link with an engine counts, and says of itself.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::counts::LinkCounts;

/// Counters of a link, which other threads may read at any time.
#[derive(Debug, Default)]
pub struct EngineStatus {
    counts: LinkCounts,
    publishes: AtomicBool,
    reads: AtomicBool,
    has_namesake: AtomicBool,
    lag: AtomicU64,
    nodes: AtomicU64,
    stream_bytes: AtomicU64,
    lost_streams: AtomicU64,
    /// What is wrong with publishing, and with reading.
    trouble: [Mutex<Option<String>>; 2],
}

/// Which half of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Half {
    Publisher,
    Reader,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $($(#[$doc])* pub fn $name(&self) -> u64 {
            self.$name.load(Relaxed)
        })*
    };
}

impl EngineStatus {
    /// What links of every kind count.
    pub fn counts(&self) -> &LinkCounts {
        &self.counts
    }

    counters! {
        /// Milliseconds between the engine's getting the batch that was read last and its
        /// being read; 0 when all was read. While the engine is away, how long it is.
        lag,
        /// Other nodes that live.
        nodes,
        /// Bytes of the streams in the engine.
        stream_bytes,
        /// How often the engine had lost a stream.
        lost_streams,
    }

    /// Whether there is a connection to publish, and one to read.
    pub fn is_connected(&self) -> bool {
        self.publishes.load(Relaxed) && self.reads.load(Relaxed)
    }

    /// Whether another node of the cluster has the same name.
    pub fn has_namesake(&self) -> bool {
        self.has_namesake.load(Relaxed)
    }

    /// What is wrong: with it, a node serves what it has.
    pub fn trouble(&self) -> Option<String> {
        let trouble = |half: &Mutex<Option<String>>| {
            let text = half.lock().unwrap_or_else(PoisonError::into_inner);
            text.clone()
        };
        self.trouble.iter().find_map(trouble)
    }

    /// For the line that says how a daemon does: `one swarm with 2 other nodes`.
    pub fn text(&self) -> String {
        if let Some(trouble) = self.trouble() {
            return format!("cut off from other nodes: {trouble}");
        }
        match (self.is_connected(), self.nodes()) {
            (false, _) => "connecting with other nodes".into(),
            (true, 0) => "no other node in the cluster".into(),
            (true, 1) => "one swarm with 1 other node".into(),
            (true, nodes) => format!("one swarm with {nodes} other nodes"),
        }
    }

    pub(super) fn set_connected(&self, half: Half, is_connected: bool) {
        let flag = match half {
            Half::Publisher => &self.publishes,
            Half::Reader => &self.reads,
        };
        flag.store(is_connected, Relaxed);
    }

    pub(super) fn set_trouble(&self, half: Half, trouble: Option<String>) {
        let text = self.trouble[half as usize].lock();
        let mut text = text.unwrap_or_else(PoisonError::into_inner);
        *text = trouble;
    }

    pub(super) fn set_has_namesake(&self, has_namesake: bool) {
        self.has_namesake.store(has_namesake, Relaxed);
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
}

fn add(counter: &AtomicU64, count: u64) {
    counter.fetch_add(count, Relaxed);
}
