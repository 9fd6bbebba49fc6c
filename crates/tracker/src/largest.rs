//! The torrents with the most peers, for the status page.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use aquatic_bittorrent::InfoHash;
use aquatic_service::config::MetricsConfig;
use aquatic_service::metrics::Table;
use aquatic_swarm::{Scraped, Swarms, TorrentWalk};

/// Time between two searches.
const INTERVAL: Duration = Duration::from_secs(60);

/// Finds the torrents with the most peers once a minute, on a thread of its own, if that is
/// configured.
#[derive(Default)]
pub struct LargestTorrents {
    /// Used by the main thread alone.
    last: Mutex<Option<Instant>>,
    search: Arc<Search>,
}

/// What the thread and the status page share.
#[derive(Default)]
struct Search {
    is_running: AtomicBool,
    found: Mutex<Option<Found>>,
}

#[derive(Clone)]
struct Found {
    at: Instant,
    torrents: Vec<(InfoHash, Scraped)>,
}

impl LargestTorrents {
    /// Starts a search if one is due, unless the previous one still runs. `find` is
    /// [`largest_torrents`] of the daemon's swarms.
    pub fn run_if_due(
        &self,
        config: &MetricsConfig,
        now: Instant,
        find: impl FnOnce(usize) -> Vec<(InfoHash, Scraped)> + Send + 'static,
    ) {
        let mut last = locked(&self.last);
        let Some(count) = config.largest_torrents.non_zero() else {
            *last = None;
            return;
        };
        let is_recent = last.is_some_and(|last| now.saturating_duration_since(last) < INTERVAL);
        // Without an address, nobody can see the list.
        let is_shown = config.address.0.is_some();
        if is_recent || !is_shown || self.search.is_running.swap(true, Relaxed) {
            return;
        }
        *last = Some(now);
        let (search, count) = (self.search.clone(), count.get());
        let run = move || {
            let torrents = find(count);
            *locked(&search.found) = Some(Found {
                at: Instant::now(),
                torrents,
            });
            search.is_running.store(false, Relaxed);
        };
        let thread = thread::Builder::new().name("largest".to_owned());
        if let Err(error) = thread.spawn(run) {
            log::error!("cannot start the thread that finds the largest torrents: {error}");
            self.search.is_running.store(false, Relaxed);
        }
    }

    /// The list for the status page; `None` if it is not configured.
    pub(crate) fn table(&self, config: &MetricsConfig) -> Option<Table> {
        let count = config.largest_torrents.non_zero()?.get();
        let found = locked(&self.search.found).clone();
        let (caption, torrents) = match found {
            None => ("The torrents are being counted.".to_owned(), Vec::new()),
            Some(Found { at, torrents }) => {
                let seconds = at.elapsed().as_secs();
                let caption = match torrents.is_empty() {
                    true => format!("There were no torrents with peers {seconds} seconds ago."),
                    false => {
                        format!("The torrents with the most peers, as of {seconds} seconds ago.")
                    }
                };
                (caption, torrents)
            }
        };
        Some(Table {
            title: "Largest torrents",
            caption,
            columns: &["Info hash", "Seeders", "Leechers", "Downloads"],
            // There may be more of before a reload.
            rows: torrents.iter().take(count).map(row).collect(),
            is_code: true,
        })
    }
}

fn row((info_hash, counts): &(InfoHash, Scraped)) -> Vec<String> {
    vec![
        info_hash.to_string(),
        counts.seeders.to_string(),
        counts.leechers.to_string(),
        counts.completed.to_string(),
    ]
}

/// The `count` torrents with the most peers in both swarms together, the largest first.
///
/// A lock is held for one step of a walk, or for one torrent. A torrent with more than `n`
/// peers has more than `n / 2` of them in one of the swarms, so only such torrents have to
/// be looked up in the other one, too.
pub fn largest_torrents(swarms: &impl Swarms, count: usize) -> Vec<(InfoHash, Scraped)> {
    // The smallest first, with the number of its peers.
    let mut queue = BinaryHeap::with_capacity(count);
    let mut largest = HashMap::with_capacity(count);
    let mut candidates = Vec::new();
    for number in 0..2 {
        let mut walk = TorrentWalk::new();
        loop {
            let smallest = smallest(&queue, count);
            let goes_on = swarms.walk(number, &mut walk, |info_hash, counts| {
                if 2 * peers(&counts) > smallest {
                    candidates.push(*info_hash);
                }
            });
            for info_hash in candidates.drain(..) {
                let counts = swarms.counts(&info_hash);
                if peers(&counts) <= self::smallest(&queue, count)
                    || largest.contains_key(&info_hash)
                {
                    continue;
                }
                if queue.len() == count
                    && let Some(Reverse((_, smallest))) = queue.pop()
                {
                    largest.remove(&smallest);
                }
                queue.push(Reverse((peers(&counts), info_hash)));
                largest.insert(info_hash, counts);
            }
            if !goes_on {
                break;
            }
        }
    }
    let mut largest: Vec<_> = largest.into_iter().collect();
    largest.sort_by_key(|(info_hash, counts)| (Reverse(peers(counts)), *info_hash));
    largest
}

/// The number of peers that a torrent must exceed to be among the largest.
fn smallest(queue: &BinaryHeap<Reverse<(u64, InfoHash)>>, count: usize) -> u64 {
    match queue.peek() {
        Some(Reverse((peers, _))) if queue.len() == count => *peers,
        _ => 0,
    }
}

fn peers(counts: &Scraped) -> u64 {
    u64::from(counts.seeders) + u64::from(counts.leechers)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use aquatic_bittorrent::AnnounceEvent;
    use aquatic_service::config::MetricsAddress;
    use aquatic_service::config::numbers::ZeroOr;
    use aquatic_service::lists::Lists;
    use aquatic_swarm::{Announce, Families, HashKey, Swarm, SwarmLimits, WebSwarms};

    use super::*;
    use crate::State;

    fn info_hash(torrent: u32) -> InfoHash {
        let mut bytes = [0; 20];
        bytes[..4].copy_from_slice(&torrent.to_be_bytes());
        InfoHash(bytes)
    }

    fn announce<const S: usize, const K: usize, const N: usize>(
        swarm: &Swarm<S, K, N>,
        torrent: u32,
        peer: u16,
        is_seeder: bool,
    ) {
        let mut record = [0; S];
        record[..2].copy_from_slice(&peer.to_be_bytes());
        let announce = Announce {
            record,
            is_seeder,
            event: AnnounceEvent::None,
            wanted: 0,
            now_seconds: 0,
            lifetime_seconds: 100,
        };
        let mut random = fastrand::Rng::with_seed(1);
        let mut locked = swarm.lock(&info_hash(torrent));
        locked.announce(&announce, &mut random).unwrap();
    }

    #[test]
    fn the_largest_of_both_families_are_found() {
        for seed in 0..20 {
            let mut random = fastrand::Rng::with_seed(seed);
            let swarms = Families::new(HashKey::new([1; 16]), SwarmLimits::default());
            let mut model = BTreeMap::<u32, u64>::new();
            for torrent in 0..2_000 {
                // Most torrents have some peers of each family, and few have many.
                let many = if random.u8(..) == 0 { 300 } else { 6 };
                for peer in 0..random.u16(0..many) {
                    announce(&swarms.ipv4, torrent, peer, peer % 3 == 0);
                    *model.entry(torrent).or_default() += 1;
                }
                for peer in 0..random.u16(0..many) {
                    announce(&swarms.ipv6, torrent, peer, peer % 3 == 0);
                    *model.entry(torrent).or_default() += 1;
                }
            }
            for count in [1, 7, 100, 5_000] {
                let found = largest_torrents(&swarms, count);
                let mut expected: Vec<u64> = model.values().copied().collect();
                expected.sort_unstable_by_key(|peers| Reverse(*peers));
                expected.truncate(count);
                let sizes: Vec<u64> = found.iter().map(|(_, counts)| peers(counts)).collect();
                assert_eq!(sizes, expected, "seed {seed}");
                for (info_hash, counts) in &found {
                    let torrent = u32::from_be_bytes(info_hash.0[..4].try_into().unwrap());
                    assert_eq!(model[&torrent], peers(counts));
                }
            }
        }
    }

    #[test]
    fn webtorrent_may_have_one_swarm_or_two() {
        for are_families_apart in [false, true] {
            let limits = SwarmLimits::default();
            let swarms = WebSwarms::new(HashKey::new([1; 16]), limits, are_families_apart);
            for (number, swarm) in swarms.all().enumerate() {
                for peer in 0..3 + number as u16 {
                    announce(swarm, 7, peer, peer == 0);
                }
            }
            let expected = Scraped {
                seeders: if are_families_apart { 2 } else { 1 },
                leechers: if are_families_apart { 5 } else { 2 },
                completed: 0,
            };
            assert_eq!(largest_torrents(&swarms, 10), [(info_hash(7), expected)]);
        }
    }

    #[test]
    fn they_are_listed_if_that_is_configured() {
        let state = Arc::new(State {
            swarms: Families::new(HashKey::new([1; 16]), SwarmLimits::default()),
            lists: Lists::default(),
        });
        announce(&state.swarms.ipv4, 1, 1, true);
        announce(&state.swarms.ipv6, 1, 1, false);
        let off = MetricsConfig {
            address: MetricsAddress(Some(([127, 0, 0, 1], 9_000).into())),
            ..MetricsConfig::default()
        };
        let on = MetricsConfig {
            largest_torrents: ZeroOr::of::<10>(),
            ..off.clone()
        };
        let unseen = MetricsConfig {
            address: MetricsAddress(None),
            ..on.clone()
        };
        let largest = LargestTorrents::default();
        let start = Instant::now();
        let run = |config: &MetricsConfig, now| {
            let state = state.clone();
            largest.run_if_due(config, now, move |count| {
                largest_torrents(&state.swarms, count)
            });
            while largest.search.is_running.load(Relaxed) {
                thread::yield_now();
            }
            largest.table(config).map(|table| table.rows)
        };
        let with_seeders = |seeders: &str| {
            let hash = info_hash(1).to_string();
            Some(vec![vec![
                hash,
                seeders.to_owned(),
                "1".to_owned(),
                "0".to_owned(),
            ]])
        };
        assert_eq!(run(&off, start), None);
        assert_eq!(run(&unseen, start), Some(Vec::new()));
        assert_eq!(run(&on, start), with_seeders("1"));
        announce(&state.swarms.ipv4, 1, 2, true);
        let second = start + INTERVAL;
        assert_eq!(run(&on, second - Duration::from_secs(1)), with_seeders("1"));
        assert_eq!(run(&on, second), with_seeders("2"));
        // A reload turns the count off, and another turns it on again.
        announce(&state.swarms.ipv4, 1, 3, true);
        assert_eq!(run(&off, second), None);
        assert_eq!(run(&on, second), with_seeders("3"));
    }
}
