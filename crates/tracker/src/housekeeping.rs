//! The periodic task of the main thread: removing expired peers and forbidden torrents.

use std::mem;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aquatic_service::clock::Clock;
use aquatic_service::metrics::{Metric, Metrics};
use aquatic_swarm::{SwarmLimits, Swarms};

use crate::State;

/// Minimum interval between two warnings that the maximum of torrents is reached.
const FULL_WARNING_INTERVAL: Duration = Duration::from_secs(3_600);

const LONGEST_STEP: Metric = Metric::gauge(
    "longest_housekeeping_step_seconds",
    "Longest time that one step of removing expired peers took",
);

/// The metrics of housekeeping.
pub const HOUSEKEEPING_METRICS: &[Metric] = &[LONGEST_STEP];

/// Removes expired peers and forbidden torrents, in steps of bounded length.
pub struct Housekeeping {
    /// Used by the main thread alone.
    inner: Mutex<Inner>,
    longest_step_nanoseconds: AtomicU64,
}

struct Inner {
    sweeps: aquatic_swarm::SweepSchedule,
    next_step: Instant,
    /// Whether there is a limit of peers per address, for which they are counted.
    counts_addresses: bool,
    full_warning: FullWarning,
}

/// Decides when to warn that the maximum of torrents is reached.
struct FullWarning {
    /// `None` if there is no maximum.
    max_torrents: Option<NonZeroUsize>,
    last: Option<Instant>,
}

impl Housekeeping {
    /// Removes a peer at most `interval` after it has expired. The first sweep is fast,
    /// because the access list may have changed since the snapshot was written.
    pub fn new(interval: Duration, limits: &SwarmLimits) -> Self {
        let mut sweeps = aquatic_swarm::SweepSchedule::new(interval);
        sweeps.hurry();
        Self {
            inner: Mutex::new(Inner {
                sweeps,
                next_step: Instant::now(),
                counts_addresses: limits.max_peers_per_ip.is_some(),
                full_warning: FullWarning::new(limits.max_torrents),
            }),
            longest_step_nanoseconds: AtomicU64::new(0),
        }
    }

    /// Changes the interval and the limits of the swarms. If peers are to be counted by
    /// address now, or no longer, a fast sweep does that.
    pub fn reconfigure(&self, interval: Duration, limits: SwarmLimits, swarms: &impl Swarms) {
        swarms.set_limits(limits);
        let mut inner = self.locked();
        inner.sweeps.set_interval(interval);
        inner.full_warning.max_torrents = limits.max_torrents;
        let counts_addresses = limits.max_peers_per_ip.is_some();
        if counts_addresses != mem::replace(&mut inner.counts_addresses, counts_addresses) {
            inner.hurry();
        }
    }

    /// Does a step if one is due; returns the time until the next one. Peers also become
    /// older while the machine is suspended. Warns if the maximum of torrents is reached.
    pub fn tick<S: Swarms>(&self, state: &State<S>, clock: &Clock, now: Instant) -> Duration {
        clock.count_suspension();
        let mut inner = self.locked();
        if inner.full_warning.is_due(state.swarms.usage().live(), now) {
            inner.full_warning.log();
        }
        if now >= inner.next_step {
            let start = Instant::now();
            let list = state.lists.access_list.current();
            let seconds = clock.at(now).monotonic_seconds;
            let pause = inner
                .sweeps
                .step(&state.swarms, seconds, |hash| list.allows(hash));
            inner.next_step = now + pause;
            let nanoseconds = start.elapsed().as_nanos() as u64;
            self.longest_step_nanoseconds
                .fetch_max(nanoseconds, Relaxed);
        }
        inner.next_step.saturating_duration_since(Instant::now())
    }

    /// Has torrents that have become forbidden removed within seconds.
    pub fn hurry(&self) {
        self.locked().hurry();
    }

    /// Adds the duration of the longest step.
    pub fn add_metrics(&self, metrics: &mut Metrics) {
        let longest_step = self.longest_step_nanoseconds.load(Relaxed);
        metrics.add(&LONGEST_STEP, &[], longest_step as f64 / 1e9);
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn hurry(&mut self) {
        self.sweeps.hurry();
        self.next_step = Instant::now();
    }
}

impl FullWarning {
    fn new(max_torrents: Option<NonZeroUsize>) -> Self {
        Self {
            max_torrents,
            last: None,
        }
    }

    /// Whether to warn now of `live` torrents. The caller then does so.
    fn is_due(&mut self, live: usize, now: Instant) -> bool {
        let is_recent = |last| now.saturating_duration_since(last) < FULL_WARNING_INTERVAL;
        let is_full = self.max_torrents.is_some_and(|max| live >= max.get());
        let is_due = is_full && !self.last.is_some_and(is_recent);
        if is_due {
            self.last = Some(now);
        }
        is_due
    }

    fn log(&self) {
        log::warn!(
            "the tracker has reached limits.max_torrents, {}: announces of further torrents are \
             rejected and counted; limits.max_peers_per_ip limits what a single address can take \
             (logged at most once per hour)",
            self.max_torrents.map_or(0, NonZeroUsize::get)
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use aquatic_bittorrent::{AnnounceEvent, InfoHash};
    use aquatic_service::access_list::{AccessList, InfoHashSet};
    use aquatic_service::lists::Lists;
    use std::num::NonZeroU32;

    use aquatic_swarm::{Announce, Families, HashKey, LimitReached, Swarm, WebSwarms};

    use super::*;

    const TORRENTS: u32 = 10_000;

    fn info_hash(torrent: u32) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&torrent.to_be_bytes());
        InfoHash(bytes)
    }

    /// Torrents with one peer each.
    fn state(list: AccessList) -> State<WebSwarms> {
        let state = State {
            swarms: WebSwarms::new(HashKey::new([1; 16]), SwarmLimits::default(), false),
            lists: Lists::of_torrents(list),
        };
        let swarm: &Swarm<28, 20, 1> = state.swarms.all().next().unwrap();
        let mut random = fastrand::Rng::with_seed(1);
        for torrent in 0..TORRENTS {
            let announce = Announce {
                record: [1; 28],
                is_seeder: false,
                event: AnnounceEvent::None,
                wanted: 0,
                now_seconds: 0,
                lifetime_seconds: 600,
            };
            let mut locked = swarm.lock(&info_hash(torrent));
            locked.announce(&announce, &mut random).unwrap();
        }
        state
    }

    /// A list that forbids all torrents except the first.
    fn list() -> AccessList {
        let mut lines = Vec::new();
        writeln!(lines, "{}", info_hash(0)).unwrap();
        AccessList::Allow(InfoHashSet::parse(lines.as_slice()).unwrap())
    }

    /// Calls `tick` until no step is urgent; returns the simulated time that has passed.
    fn calm_down(
        housekeeping: &Housekeeping,
        state: &State<impl Swarms>,
        clock: &Clock,
    ) -> Duration {
        let start = Instant::now();
        let mut passed = Duration::ZERO;
        while housekeeping.tick(state, clock, start + passed) < Duration::from_millis(100) {
            passed += Duration::from_millis(2);
            assert!(passed < Duration::from_secs(60), "it has no end");
        }
        passed
    }

    #[test]
    fn what_is_forbidden_goes_soon_after_a_start_and_after_a_reload() {
        let clock = Clock::start();
        let housekeeping = Housekeeping::new(Duration::from_secs(3_600), &SwarmLimits::default());
        let restored = state(list());
        assert!(calm_down(&housekeeping, &restored, &clock) < Duration::from_secs(1));
        assert_eq!(restored.swarms.usage().live(), 1);

        let housekeeping = Housekeeping::new(Duration::from_secs(3_600), &SwarmLimits::default());
        let state = state(AccessList::Deny(InfoHashSet::default()));
        calm_down(&housekeeping, &state, &clock);
        assert_eq!(state.swarms.usage().live(), TORRENTS as usize);
        state.lists.access_list.replace(list());
        housekeeping.hurry();
        assert!(calm_down(&housekeeping, &state, &clock) < Duration::from_secs(1));
        assert_eq!(state.swarms.usage().live(), 1);
    }

    #[test]
    fn peers_expire_while_the_machine_is_suspended() {
        let housekeeping = Housekeeping::new(Duration::from_secs(3_600), &SwarmLimits::default());
        let state = state(AccessList::Off);
        let clock = Clock::start();
        calm_down(&housekeeping, &state, &clock);
        assert_eq!(state.swarms.usage().live(), TORRENTS as usize);
        clock.suspended_for(Duration::from_secs(36_000));
        housekeeping.hurry();
        calm_down(&housekeeping, &state, &clock);
        assert_eq!(state.swarms.usage().live(), 0);
    }

    #[test]
    fn a_full_tracker_is_warned_of_now_and_then() {
        let mut warning = FullWarning::new(NonZeroUsize::new(7));
        let start = Instant::now();
        let mut is_due = |live, seconds| warning.is_due(live, start + Duration::from_secs(seconds));
        assert!(!is_due(0, 0));
        assert!(!is_due(6, 1));
        assert!(is_due(7, 2));
        assert!(!is_due(7, 3));
        assert!(!is_due(6, 4));
        assert!(!is_due(7, 3_601));
        assert!(is_due(7, 3_602));
        assert!(!is_due(7, 7_201));
        assert!(!is_due(6, 7_202));
        assert!(is_due(7, 9_000));
    }

    #[test]
    fn steps_are_done_when_they_are_due() {
        let state = state(AccessList::Off);
        let clock = Clock::start();
        let housekeeping = Housekeeping::new(Duration::from_secs(3_600), &SwarmLimits::default());
        let now = Instant::now() + calm_down(&housekeeping, &state, &clock);
        let has_stepped = |at| {
            housekeeping.longest_step_nanoseconds.store(0, Relaxed);
            housekeeping.tick(&state, &clock, at);
            housekeeping.longest_step_nanoseconds.load(Relaxed) > 0
        };
        assert!(!has_stepped(now));
        assert!(has_stepped(now + Duration::from_secs(2)));
        assert!(!has_stepped(now));
        housekeeping.hurry();
        assert!(has_stepped(Instant::now()));
    }

    #[test]
    fn a_limit_that_is_introduced_counts_who_is_there() {
        let limits = SwarmLimits::default();
        let interval = Duration::from_secs(3_600);
        let housekeeping = Housekeeping::new(interval, &limits);
        let state = State {
            swarms: Families::new(HashKey::new([1; 16]), limits),
            lists: Lists::default(),
        };
        let mut random = fastrand::Rng::with_seed(1);
        let mut announce = |torrent: u32, port: u8| {
            let announce = Announce {
                record: [192, 0, 2, 1, 0, port],
                is_seeder: false,
                event: AnnounceEvent::None,
                wanted: 0,
                now_seconds: 0,
                lifetime_seconds: 600,
            };
            let mut torrent = state.swarms.ipv4.lock(&info_hash(torrent));
            torrent.announce(&announce, &mut random).map(drop)
        };
        for torrent in 0..3 {
            announce(torrent, 1).unwrap();
        }
        let clock = Clock::start();
        calm_down(&housekeeping, &state, &clock);
        let limited = |max| SwarmLimits {
            max_peers_per_ip: NonZeroU32::new(max),
            ..limits
        };
        housekeeping.reconfigure(interval, limited(3), &state.swarms);
        assert!(calm_down(&housekeeping, &state, &clock) < Duration::from_secs(5));
        let refused = Err(LimitReached::PeersPerIp);
        assert_eq!(announce(3, 1), refused);
        assert_eq!(announce(0, 2), refused);
        // Known peers may stay, even if there are more than the limit.
        housekeeping.reconfigure(interval, limited(1), &state.swarms);
        assert_eq!(announce(0, 1), Ok(()));
        housekeeping.reconfigure(interval, limited(4), &state.swarms);
        assert_eq!(announce(3, 1), Ok(()));
        assert_eq!(announce(4, 1), refused);
        housekeeping.reconfigure(interval, limits, &state.swarms);
        assert_eq!(announce(4, 1), Ok(()));
    }
}
