//! The protocol of workers, without workers: for tests and fuzzers that simulate
//! connections, on one thread and in simulated time.

use std::sync::Arc;

use aquatic_service::Replaceable;
use aquatic_service::clock::Clock;
use aquatic_service::lists::Lists;
use aquatic_swarm::{Families, HashKey};
use aquatic_tracker::swarm_limits;

pub use crate::connection::Http;
use crate::counters::Counters;
use crate::settings::Settings;
use crate::tracker::{State, Tracker};

/// An empty tracker without an access list. `secret` is the key of its hash tables.
pub fn state(settings: &Settings, secret: [u8; 16]) -> Arc<State> {
    let config = &settings.config;
    let interval = config.protocol.peer_announce_interval;
    let limits = swarm_limits(&config.limits, &config.cluster, interval);
    Arc::new(State {
        swarms: Families::new(HashKey::new(secret), limits),
        lists: Lists::default(),
    })
}

/// The protocol of a worker. `seed` determines which peers are sent.
pub fn worker(settings: &Settings, state: &Arc<State>, clock: &Clock, seed: u64) -> Http {
    let random = fastrand::Rng::with_seed(seed);
    Http::new(
        Tracker::new(state.clone(), random, Arc::default()),
        clock.clone(),
        Replaceable::new(settings.clone()).view(),
        [Counters::default()].into(),
        0,
    )
}
