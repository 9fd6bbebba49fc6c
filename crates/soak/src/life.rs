//! Events in the life of a tracker, apart from requests.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use aquatic_bittorrent::InfoHash;
use aquatic_service::access_list::{AccessList, Handle, InfoHashSet};
use aquatic_service::config::{AccessListConfig, AccessListMode};
use aquatic_service::lists::Lists;
use aquatic_swarm::snapshot::{Restored, SnapshotWalk, restore};
use aquatic_swarm::{PLACES_PER_SHARD, PLACES_PER_TORRENT, Swarm, Swarms, SweepSchedule};
use tempfile::TempDir;

use crate::calendar::{Calendar, DAY};
use crate::universe::info_hash;

/// Interval of housekeeping in seconds.
pub const CLEANING_INTERVAL: u64 = 120;

/// An event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// None.
    Nothing,
    /// The machine is suspended for this number of seconds.
    Suspend(u64),
    /// The tracker is stopped for this number of seconds, and restored from its snapshot.
    Restart(u64),
    /// The access list is replaced.
    Reload,
    /// The tracker is compared with the model.
    Compare,
}

/// The event at this second. Each kind has its times, and a random length.
pub fn event(seconds: u64, random: &mut fastrand::Rng) -> Event {
    let is_time = |every: u64, offset: u64| seconds % every == offset;
    if is_time(2 * DAY, DAY / 2 + 17) {
        // Shorter than the lifetime of peers, much longer, and longer than half of
        // and all of the range of 16 bits of seconds.
        const HOURS: [u64; 7] = [1, 3, 10, 14, 18, 20, 48];
        Event::Suspend(random.choice(HOURS).unwrap_or(1) * 3_600 + random.u64(0..3_600))
    } else if is_time(DAY + 3_600, DAY / 3) {
        const SECONDS: [u64; 4] = [1, 30, 600, 3 * 3_600];
        Event::Restart(random.choice(SECONDS).unwrap_or(1))
    } else if is_time(DAY / 2 - 600, DAY / 4) {
        Event::Reload
    } else if is_time(DAY / 4, 11) {
        Event::Compare
    } else {
        Event::Nothing
    }
}

/// The housekeeping of a tracker, as in its main thread.
pub struct PeriodicTasks {
    sweeps: SweepSchedule,
    /// Milliseconds since the start of the run.
    next: u64,
}

impl PeriodicTasks {
    /// The housekeeping after a start.
    #[must_use]
    pub fn new(calendar: &Calendar) -> Self {
        let mut sweeps = SweepSchedule::new(Duration::from_secs(CLEANING_INTERVAL));
        sweeps.hurry();
        Self {
            sweeps,
            next: calendar.seconds() * 1_000,
        }
    }

    /// Does what is due. After a suspension this is one step, because the time of the next
    /// one counts from it.
    pub fn run(&mut self, calendar: &Calendar, swarms: &impl Swarms, list: &Handle) {
        let now = calendar.seconds() * 1_000;
        if self.next + 1_000 < now {
            self.next = now;
        }
        let list = list.current();
        while self.next <= now {
            let seconds = calendar.now().monotonic_seconds;
            let allows = |hash: &InfoHash| list.allows(hash);
            let pause = self.sweeps.step(swarms, seconds, allows);
            self.next += pause.as_millis() as u64;
        }
    }

    /// Torrents that are now forbidden are to be removed soon.
    pub fn hurry(&mut self) {
        self.sweeps.hurry();
    }
}

/// An access list in a file.
pub struct List {
    /// The list that the tracker uses.
    pub lists: Lists,
    directory: TempDir,
    /// Torrents are forbidden if their number modulo [`FORBIDDEN`] is this.
    rest: u64,
}

/// One of this number of torrents is forbidden.
const FORBIDDEN: u64 = 50;

impl List {
    /// Forbids some torrents.
    ///
    /// # Panics
    /// If the file cannot be created.
    #[must_use]
    pub fn new() -> Self {
        let none = InfoHashSet::parse(&b""[..]).expect("an empty list");
        let list = Self {
            lists: Lists::of_torrents(AccessList::Deny(none)),
            directory: tempfile::tempdir().expect("a temporary directory"),
            rest: 0,
        };
        list.load(0);
        list
    }

    /// Forbids other torrents.
    ///
    /// # Panics
    /// If it cannot be loaded.
    pub fn reload(&mut self, seconds: u64) {
        self.rest = (self.rest + 1) % FORBIDDEN;
        self.load(seconds);
    }

    /// Whether a torrent is forbidden.
    #[must_use]
    pub fn forbids(&self, torrent: u64) -> bool {
        torrent % FORBIDDEN == self.rest
    }

    fn load(&self, seconds: u64) {
        // All torrents that are requested until the next reload, and more.
        let newest = 60_000 + seconds / 10;
        let lines: String = (0..newest)
            .filter(|torrent| self.forbids(*torrent))
            .map(|torrent| format!("{}\n", info_hash(torrent)))
            .collect();
        fs::write(self.path(), lines).expect("a file");
        let config = AccessListConfig {
            mode: AccessListMode::Deny,
            path: self.path(),
            ..AccessListConfig::default()
        };
        let list = AccessList::load(&config, None).expect("a list");
        self.lists.access_list.replace(list);
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("list")
    }
}

impl Default for List {
    fn default() -> Self {
        Self::new()
    }
}

/// The blocks of a snapshot.
#[must_use]
pub fn save<const S: usize, const K: usize, const N: usize>(
    swarm: &Swarm<S, K, N>,
    now: u32,
) -> Vec<Vec<u8>> {
    let mut walk = SnapshotWalk::new();
    let mut blocks = Vec::new();
    loop {
        let mut block = Vec::new();
        if !walk.next_block(swarm, now, &mut block) {
            return blocks;
        }
        blocks.push(block);
    }
}

/// Restores the blocks that [`save`] returned.
///
/// # Panics
/// If they are damaged.
pub fn load<const S: usize, const K: usize, const N: usize>(
    swarm: &Swarm<S, K, N>,
    blocks: &[Vec<u8>],
    now: u32,
    lifetime: u16,
    with_peers: bool,
) -> Restored {
    let mut total = Restored::default();
    for block in blocks {
        total += restore(swarm, block, now, lifetime, with_peers).expect("what was just saved");
    }
    total
}

/// Asserts that the tables of torrents are not too large for their contents.
///
/// # Panics
/// If they are.
pub fn assert_small<const S: usize, const K: usize, const N: usize>(swarm: &Swarm<S, K, N>) {
    let torrents = swarm.totals().torrents;
    let most = torrents * PLACES_PER_TORRENT + PLACES_PER_SHARD * swarm.shard_count();
    assert!(swarm.places() <= most, "{} > {most}", swarm.places());
}
