//! The protocol of workers, without workers: for tests and fuzzers that simulate
//! connections, on one thread and in simulated time.

use std::sync::Arc;

use aquatic_service::Replaceable;
use aquatic_service::clock::Clock;
use aquatic_service::lists::Lists;
use aquatic_stream::WorkerWaker;
use aquatic_swarm::{HashKey, WebSwarms};

pub use crate::connection::Ws;
use crate::counters::Counters;
use crate::daemon;
use crate::relay::{self, Relay};
use crate::settings::Settings;
use crate::tracker::{State, Tracker};

/// An empty tracker without an access list. `secret` is the key of its hash tables.
pub fn state(settings: &Settings, secret: [u8; 16]) -> Arc<State> {
    let hash_key = HashKey::new(secret);
    let config = &settings.config;
    let limits = daemon::limits_of(config);
    let swarms = WebSwarms::new(hash_key, limits, config.protocol.separate_families);
    Arc::new(State::new(swarms, Lists::default()))
}

/// The protocols of a tracker's workers, one for each waker. `seed` determines which peers
/// get offers.
pub fn workers(
    settings: &Settings,
    state: &Arc<State>,
    clock: &Clock,
    wakers: &[WorkerWaker],
    seed: u64,
) -> Vec<Ws> {
    let counters: Arc<[Counters]> = wakers.iter().map(|_| Counters::default()).collect();
    let inboxes = relay::inboxes(wakers);
    let shared = Replaceable::new(settings.clone());
    (0..wakers.len())
        .map(|number| {
            let random = fastrand::Rng::with_seed(seed.wrapping_add(number as u64));
            Ws::new(
                Tracker::new(state.clone(), random, Arc::default()),
                Relay::new(number, inboxes.clone(), None, counters.clone()),
                clock.clone(),
                shared.view(),
                counters.clone(),
                number,
            )
        })
        .collect()
}
