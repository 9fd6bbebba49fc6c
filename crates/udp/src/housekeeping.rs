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
    /// Torrents that there were when it began. As it goes on there may be far
    /// fewer, but those that are left are what it has not seen yet.
    size: usize,
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
                    is_urgent: true,
                    ..Walk::default()
                };
            }
        }

        // Empty shards are steps, too.
        let live = state.usage.live().max(state.ipv4.shard_count());
        let size = live.max(self.ipv4.size).max(self.ipv6.size);
        let steps = size.div_ceil(TORRENTS_PER_STEP) as u32;
        let pause = (self.interval / steps).clamp(SHORTEST_PAUSE, LONGEST_PAUSE);
        let share = pause.as_secs_f64() / self.interval.as_secs_f64();
        let torrents = (size as f64 * share).ceil() as usize;
        self.ipv4.step(&state.ipv4, state, now, torrents, live);
        self.ipv6.step(&state.ipv6, state, now, torrents, live);
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
        live: usize,
    ) {
        if self.size == 0 {
            self.size = live;
        }
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
        if is_done {
            self.size = 0;
            self.is_urgent = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use aquatic_bittorrent::{AnnounceEvent, InfoHash};
    use aquatic_service::access_list::{AccessList, Handle, InfoHashSet};
    use aquatic_swarm::{Announce, HashKey, Limits};
    use aquatic_udp_protocol::ConnectionIdKey;

    use super::*;
    use crate::tracker::Rules;

    const TORRENTS: u32 = 40_000;

    fn filled(list: AccessList) -> State {
        let rules = Rules {
            max_response_peers: 1,
            max_scrape_torrents: 1,
            announce_interval_seconds: 1,
            peer_lifetime_seconds: 1,
            connection_lifetime_seconds: 1,
        };
        let state = State::new(
            rules,
            Limits::default(),
            HashKey::new([1; 16]),
            ConnectionIdKey::from_bytes([1; 16]),
            Arc::new(Handle::new(list)),
        );
        let mut random = fastrand::Rng::with_seed(1);
        for torrent in 0..TORRENTS {
            let announce = Announce {
                record: [1; 6],
                is_seeder: false,
                event: AnnounceEvent::None,
                wanted: 0,
                now: 0,
                lifetime: 10,
            };
            let mut locked = state.ipv4.lock(&info_hash(torrent));
            locked.announce(&announce, &mut random).unwrap();
        }
        state
    }

    fn info_hash(torrent: u32) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&torrent.to_be_bytes());
        InfoHash(bytes)
    }

    fn at(seconds: u32) -> Now {
        Now {
            monotonic_seconds: seconds,
            epoch_seconds: 0,
        }
    }

    #[test]
    fn everything_is_seen_once_in_an_interval() {
        let state = filled(AccessList::Off);
        let interval = Duration::from_secs(60);
        let mut housekeeping = Housekeeping::new(interval);
        let urgency = Urgency::default();

        let mut passed = Duration::ZERO;
        let mut most = 0;
        while state.usage.live() > 0 {
            let before = state.usage.live();
            passed += housekeeping.step(&state, at(10), &urgency);
            most = most.max(before - state.usage.live());
            assert!(
                passed < interval * 11 / 10,
                "{} are left",
                state.usage.live()
            );
        }
        assert!(most <= TORRENTS_PER_STEP + 1, "{most} in one step");
        assert!(passed > interval * 8 / 10, "all after {passed:?}");
    }

    #[test]
    fn what_is_forbidden_goes_soon() {
        let list = format!("{}\n", info_hash(5));
        let list = InfoHashSet::parse(list.as_bytes()).unwrap();
        let state = filled(AccessList::Allow(list));
        let mut housekeeping = Housekeeping::new(Duration::from_secs(3_600));
        let urgency = Urgency::default();
        urgency.raise();

        let mut passed = Duration::ZERO;
        loop {
            let pause = housekeeping.step(&state, at(0), &urgency);
            if state.usage.live() == 1 {
                break;
            }
            passed += pause;
            assert!(passed < Duration::from_secs(1));
        }
        assert_eq!(state.ipv4.lock(&info_hash(5)).scrape().leechers, 1);
    }
}
