//! Counters and latencies of a worker, and its orders.

use std::sync::Arc;
use std::time::Instant;

use crate::control::{Control, Phase};
use crate::counters::{Count, Counters, Kind};
use crate::latency::{self, Latencies};

/// A worker's own counters and latencies.
pub(crate) struct Tally {
    pub(crate) control: Arc<Control>,
    /// Which worker of all.
    number: usize,
    pub(crate) counters: Counters,
    pub(crate) latencies: Latencies,
    /// The phase at the last update.
    pub(crate) phase: Phase,
    started: Instant,
}

impl Tally {
    pub(crate) fn new(control: Arc<Control>, number: usize) -> anyhow::Result<Self> {
        Ok(Self {
            phase: control.phase(),
            started: control.started(),
            control,
            number,
            counters: Counters::default(),
            latencies: latency::histograms()?,
        })
    }

    /// Takes over the phase that the main thread has set.
    pub(crate) fn update_phase(&mut self) -> Phase {
        self.phase = self.control.phase();
        self.phase
    }

    /// Nanoseconds on the clock of all workers.
    pub(crate) fn now(&self) -> u64 {
        // 64 bits of nanoseconds are 584 years.
        self.started.elapsed().as_nanos() as u64
    }

    /// Records what began then and is over now, if it is time to measure.
    pub(crate) fn record(&mut self, kind: Kind, began: u64, now: u64) {
        if self.phase == Phase::Measure {
            self.latencies[kind as usize].saturating_record(now.saturating_sub(began));
        }
    }

    /// Counts an error reply, and keeps what it says if it is the first.
    pub(crate) fn error(&mut self, message: &[u8]) {
        if self.counters[Count::Errors] == 0 {
            self.control.note_error(message);
        }
        self.counters[Count::Errors] += 1;
    }

    /// Lets others see the counters.
    pub(crate) fn publish(&self) {
        self.control.counters(self.number).publish(&self.counters);
    }
}
