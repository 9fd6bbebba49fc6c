//! When expired peers and torrents are removed: in steps, spread over an interval.

use std::time::Duration;

use aquatic_bittorrent::InfoHash;

use crate::{Swarms, Sweep};

/// Torrents that are checked in one step: some microseconds, or some tens if all of them
/// are removed. If the main thread shares a core with a worker, requests wait that long.
const TORRENTS_PER_STEP: usize = 128;

/// Torrents that are checked in one step after a reload of the access list.
const TORRENTS_PER_URGENT_STEP: usize = 1_024;

/// The pause between two steps.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_secs(1);

/// Sweeps all torrents once in every interval.
pub struct SweepSchedule {
    interval: Duration,
    walks: [Walk; 2],
}

/// A walk over one family's torrents.
#[derive(Default)]
struct Walk {
    sweep: Sweep,
    /// How many torrents it has to check: the number when it began or, if larger, the
    /// count of the previous walk, in which large torrents count several times. Removals
    /// may reduce the number a lot, but not that of torrents which are not checked yet.
    size: usize,
    /// Whether it is to run fast until its end.
    is_urgent: bool,
}

impl SweepSchedule {
    /// Removes a peer at most `interval` after it has expired.
    pub fn new(interval: Duration) -> Self {
        Self {
            interval,
            walks: Default::default(),
        }
    }

    /// Changes the interval, from the next step on.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// Begins a fast walk, because torrents may have become forbidden.
    pub fn hurry(&mut self) {
        for walk in &mut self.walks {
            *walk = Walk {
                is_urgent: true,
                ..Walk::default()
            };
        }
    }

    /// Does one step; returns the pause until the next, such that a walk takes the
    /// interval. Removes peers that have expired at `now`, in seconds on the clock of
    /// announces, and torrents for which `keep` is false.
    pub fn step(
        &mut self,
        swarms: &impl Swarms,
        now: u32,
        keep: impl Fn(&InfoHash) -> bool,
    ) -> Duration {
        // Empty shards count too, as do torrents without peers and the parts that they
        // are in, of which there are no more than of shards.
        let usage = swarms.usage();
        let live = (usage.live() + usage.retired()).max(2 * swarms.shard_count());
        let [first, second] = &self.walks;
        let size = live.max(first.size).max(second.size);
        let steps = size.div_ceil(TORRENTS_PER_STEP) as u32;
        let pause = (self.interval / steps).clamp(SHORTEST_PAUSE, MAX_PAUSE);
        let share = pause.as_secs_f64() / self.interval.as_secs_f64();
        let torrents = (size as f64 * share).ceil() as usize;
        for (number, walk) in self.walks.iter_mut().enumerate() {
            walk.size = walk.size_at_start(live);
            let torrents = walk.torrents(torrents);
            if swarms.sweep(number, &mut walk.sweep, now, torrents, &keep) {
                walk.size = 0;
                walk.is_urgent = false;
            }
        }
        if self.walks.iter().any(|walk| walk.is_urgent) {
            SHORTEST_PAUSE
        } else {
            pause
        }
    }
}

impl Walk {
    fn size_at_start(&self, live: usize) -> usize {
        if self.size == 0 {
            live.max(self.sweep.length_before())
        } else {
            self.size
        }
    }

    /// How many torrents are checked in a step: `usually`, unless it is urgent.
    fn torrents(&self, usually: usize) -> usize {
        if self.is_urgent {
            TORRENTS_PER_URGENT_STEP
        } else {
            usually
        }
    }
}

#[cfg(test)]
mod tests {
    use aquatic_bittorrent::AnnounceEvent;

    use super::*;
    use crate::{Announce, Families, HashKey, SwarmLimits};

    const TORRENTS: u32 = 40_000;

    fn filled() -> Families {
        let swarms = Families::new(HashKey::new([1; 16]), SwarmLimits::default());
        for torrent in 0..TORRENTS {
            announce(&swarms, torrent, 1);
        }
        swarms
    }

    fn announce(swarms: &Families, torrent: u32, peer: u32) {
        let mut record = [1; 6];
        record[..4].copy_from_slice(&peer.to_be_bytes());
        let announce = Announce {
            record,
            is_seeder: false,
            event: AnnounceEvent::None,
            wanted: 0,
            now_seconds: 0,
            lifetime_seconds: 10,
        };
        let mut locked = swarms.ipv4.lock(&info_hash(torrent));
        let mut random = fastrand::Rng::with_seed(1);
        locked.announce(&announce, &mut random).unwrap();
    }

    fn info_hash(torrent: u32) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&torrent.to_be_bytes());
        InfoHash(bytes)
    }

    #[test]
    fn everything_is_seen_once_in_an_interval() {
        let swarms = filled();
        let interval = Duration::from_secs(60);
        let mut schedule = SweepSchedule::new(interval);

        let mut passed = Duration::ZERO;
        let mut most = 0;
        while swarms.usage.live() > 0 {
            let before = swarms.usage.live();
            passed += schedule.step(&swarms, 10, |_| true);
            most = most.max(before - swarms.usage.live());
            assert!(
                passed < interval * 11 / 10,
                "{} are left",
                swarms.usage.live()
            );
        }
        assert!(most <= TORRENTS_PER_STEP + 1, "{most} in one step");
        assert!(passed > interval * 8 / 10, "all after {passed:?}");
    }

    #[test]
    fn large_torrents_take_no_longer_than_an_interval() {
        let swarms = Families::new(HashKey::new([1; 16]), SwarmLimits::default());
        for peer in 0..400_000 {
            announce(&swarms, peer % 4, peer);
        }
        let interval = Duration::from_secs(60);
        let mut schedule = SweepSchedule::new(interval);
        // The first walk counts the peers of the torrents.
        while schedule.walks[0].sweep.length_before() == 0 {
            schedule.step(&swarms, 9, |_| true);
        }
        assert_eq!(swarms.ipv4.totals().peers, 400_000);

        let mut passed = Duration::ZERO;
        while swarms.usage.live() > 0 {
            passed += schedule.step(&swarms, 10, |_| true);
            let left = swarms.ipv4.totals().peers;
            assert!(passed < interval * 11 / 10, "{left} are left");
        }
    }

    #[test]
    fn what_is_forbidden_goes_soon() {
        let swarms = filled();
        let mut schedule = SweepSchedule::new(Duration::from_secs(3_600));
        schedule.hurry();

        let mut passed = Duration::ZERO;
        loop {
            let pause = schedule.step(&swarms, 0, |hash| *hash == info_hash(5));
            if swarms.usage.live() == 1 {
                break;
            }
            passed += pause;
            assert!(passed < Duration::from_secs(1));
        }
        assert_eq!(swarms.ipv4.lock(&info_hash(5)).scrape().leechers, 1);
    }
}
