//! The time during which the machine was suspended.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// More than the offsets of a time namespace can differ by: the kernel limits clocks to
/// 146 years after the boot.
const OFFSET: Duration = Duration::from_secs(300 * 366 * 86_400);

/// For how long the machine was suspended since the value was created, as far as
/// [`update`](Self::update) has noticed.
#[derive(Debug)]
pub(super) struct Suspension {
    /// How far the time since boot was [`ahead`] at first.
    first_ahead: Duration,
    seconds: AtomicU64,
}

impl Default for Suspension {
    fn default() -> Self {
        Self {
            first_ahead: ahead(),
            seconds: AtomicU64::new(0),
        }
    }
}

impl Suspension {
    /// Whole seconds; they never become fewer.
    #[inline]
    pub(super) fn seconds(&self) -> u64 {
        self.seconds.load(Relaxed)
    }

    pub(super) fn update(&self) {
        self.raise(ahead().saturating_sub(self.first_ahead));
    }

    pub(super) fn raise(&self, total: Duration) {
        let total = total.as_secs();
        // Workers read this all the time, so it is not written without need.
        if total > self.seconds() {
            self.seconds.fetch_max(total, Relaxed);
        }
    }
}

/// How far the time since boot is ahead of the monotonic clock. clock_gettime(2): they
/// differ in that only the former advances while the machine is suspended. In a time
/// namespace, each also has an offset, which is constant for a process and may be negative
/// ([`OFFSET`]).
fn ahead() -> Duration {
    let seconds = |clock| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    // In this order, being interrupted in between does not look like a suspension.
    let boot = seconds(ClockId::CLOCK_BOOTTIME);
    let monotonic = seconds(ClockId::CLOCK_MONOTONIC);
    (boot + OFFSET).saturating_sub(monotonic)
}
