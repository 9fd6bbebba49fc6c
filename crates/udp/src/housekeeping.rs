//! What is done now and then, on the main thread: forgetting peers and
//! torrents, a little at a time.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use aquatic_swarm::{Swarm, Sweep};

use crate::tracker::{Now, State};

/// Torrents that are looked at in one go: some microseconds, or some tens if
/// all of them have to go. Where the main thread shares a core with a worker,
/// that is how long the worker's requests wait.
const TORRENTS_PER_STEP: usize = 128;

/// Torrents that are looked at in one go after a reload of the access list.
const TORRENTS_PER_URGENT_STEP: usize = 1_024;

/// The pause between two steps.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Walks over all torrents once in every interval.
pub(crate) struct Housekeeping {
    interval: Duration,
    ipv4: Walk,
    ipv6: Walk,
}

/// A walk over one family's torrents.
#[derive(Default)]
struct Walk {
    sweep: Sweep,
    /// Whether it is to be hurried until it has come to its end.
    is_urgent: bool,
}

/// Asks for a walk now.
#[derive(Default)]
pub(crate) struct Urgency(AtomicBool);

impl Urgency {
    /// Something has become forbidden.
    pub(crate) fn raise(&self) {
        self.0.store(true, Relaxed);
    }
}

impl Housekeeping {
    /// Forgets a peer at most `interval` after its time has come.
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            ipv4: Walk::default(),
            ipv6: Walk::default(),
        }
    }

    /// Does one step, of which there are so many that a walk takes the
    /// interval; returns the pause until the next.
    pub(crate) fn step(&mut self, state: &State, now: Now, urgency: &Urgency) -> Duration {
        if urgency.0.swap(false, Relaxed) {
            for walk in [&mut self.ipv4, &mut self.ipv6] {
                *walk = Walk {
                    sweep: Sweep::new(),
                    is_urgent: true,
                };
            }
        }

        let shards = state.ipv4.shard_count();
        // Empty shards are steps, too.
        let torrents = state.usage.live().max(shards);
        let steps = torrents.div_ceil(TORRENTS_PER_STEP) as u32;
        let pause = (self.interval / steps).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let share = pause.as_secs_f64() / self.interval.as_secs_f64();
        let torrents = (torrents as f64 * share).ceil() as usize;
        self.ipv4.step(&state.ipv4, state, now, torrents);
        self.ipv6.step(&state.ipv6, state, now, torrents);
        if self.ipv4.is_urgent || self.ipv6.is_urgent {
            SHORTEST_PAUSE
        } else {
            pause
        }
    }
}

impl Walk {
    fn step<const S: usize, const K: usize, const N: usize>(
        &mut self,
        swarm: &Swarm<S, K, N>,
        state: &State,
        now: Now,
        torrents: usize,
    ) {
        let torrents = if self.is_urgent {
            TORRENTS_PER_URGENT_STEP
        } else {
            torrents
        };
        let list = state.access_list.current();
        let now = now.monotonic_seconds;
        let is_done = self
            .sweep
            .step(swarm, now, torrents, |hash| list.allows(hash));
        self.is_urgent &= !is_done;
    }
}
