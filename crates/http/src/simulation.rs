//! What a worker speaks, without workers: for tests and fuzzers that simulate
//! connections, on one thread and with a time of their own.

use std::sync::Arc;

use aquatic_service::access_list::{self, AccessList};
use aquatic_service::clock::Clock;
use aquatic_swarm::{Families, HashKey};

pub use crate::connection::Http;
use crate::counters::Counters;
use crate::daemon;
use crate::settings::Settings;
use crate::tracker::{State, Tracker};

/// A tracker without torrents, which serves all. `secret` chooses where its
/// tables put what they hold.
pub fn state(settings: &Settings, secret: [u8; 16]) -> Arc<State> {
    Arc::new(State {
        swarms: Families::new(HashKey::new(secret), daemon::limits_of(&settings.config)),
        access_list: Arc::new(access_list::Handle::new(AccessList::Off)),
        config: settings.config.clone(),
    })
}

/// What a worker speaks. `seed` chooses which peers are sent.
pub fn worker(settings: &Settings, state: &Arc<State>, clock: Clock, seed: u64) -> Http {
    let random = fastrand::Rng::with_seed(seed);
    Http::new(
        Tracker::new(state.clone(), random, None),
        clock,
        settings,
        [Counters::default()].into(),
        0,
    )
}
