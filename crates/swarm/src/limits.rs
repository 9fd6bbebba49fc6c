//! What bounds a swarm's memory, and its changes.

use std::num::{NonZeroU16, NonZeroU32, NonZeroUsize};
use std::sync::atomic::{AtomicU16, AtomicU32, AtomicUsize, Ordering::Relaxed};

/// The limits of a swarm; `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwarmLimits {
    /// Torrents with peers, over all swarms that share a [`Usage`]. In each of
    /// them, as many torrents again are kept without peers, for their download
    /// counts.
    pub max_torrents: Option<NonZeroUsize>,
    /// Peers of one torrent, in one swarm.
    pub max_peers_per_torrent: Option<NonZeroU32>,
    /// Peers of one source address over all torrents, of a /64 network for
    /// IPv6. Not for a [`WebSwarm`](crate::WebSwarm), whose records hold no
    /// address.
    pub max_peers_per_ip: Option<NonZeroU32>,
    /// If a peer that would expire in this many seconds or more announces again without
    /// any change, its expiry stays as it is, so that no change has to be sent to other
    /// nodes of a cluster. `None`: every announce extends the time until its expiry.
    pub refresh_below_seconds: Option<NonZeroU16>,
}

impl SwarmLimits {
    /// Limits from numbers that may be larger than a swarm can count to.
    pub fn new(
        max_torrents: NonZeroUsize,
        max_peers_per_torrent: NonZeroUsize,
        max_peers_per_ip: Option<NonZeroUsize>,
    ) -> Self {
        let count = |max: NonZeroUsize| NonZeroU32::try_from(max).unwrap_or(NonZeroU32::MAX);
        Self {
            max_torrents: Some(max_torrents),
            max_peers_per_torrent: Some(count(max_peers_per_torrent)),
            max_peers_per_ip: max_peers_per_ip.map(count),
            refresh_below_seconds: None,
        }
    }
}

/// The limits of a swarm that is in use, which can be changed; 0 is no limit.
#[derive(Debug)]
pub(crate) struct CurrentLimits {
    max_torrents: AtomicUsize,
    max_peers_per_torrent: AtomicU32,
    max_peers_per_ip: AtomicU32,
    refresh_below_seconds: AtomicU16,
}

impl CurrentLimits {
    pub(crate) fn new(limits: SwarmLimits) -> Self {
        let this = Self {
            max_torrents: AtomicUsize::new(0),
            max_peers_per_torrent: AtomicU32::new(0),
            max_peers_per_ip: AtomicU32::new(0),
            refresh_below_seconds: AtomicU16::new(0),
        };
        this.set(limits);
        this
    }

    pub(crate) fn set(&self, limits: SwarmLimits) {
        let SwarmLimits {
            max_torrents,
            max_peers_per_torrent,
            max_peers_per_ip,
            refresh_below_seconds,
        } = limits;
        let or_zero = |max: Option<NonZeroU32>| max.map_or(0, NonZeroU32::get);
        let torrents = max_torrents.map_or(0, NonZeroUsize::get);
        let seconds = refresh_below_seconds.map_or(0, NonZeroU16::get);
        self.max_torrents.store(torrents, Relaxed);
        self.max_peers_per_torrent
            .store(or_zero(max_peers_per_torrent), Relaxed);
        self.max_peers_per_ip
            .store(or_zero(max_peers_per_ip), Relaxed);
        self.refresh_below_seconds.store(seconds, Relaxed);
    }

    #[inline]
    pub(crate) fn max_torrents(&self) -> Option<NonZeroUsize> {
        NonZeroUsize::new(self.max_torrents.load(Relaxed))
    }

    #[inline]
    pub(crate) fn max_peers_per_torrent(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max_peers_per_torrent.load(Relaxed))
    }

    #[inline]
    pub(crate) fn max_peers_per_ip(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max_peers_per_ip.load(Relaxed))
    }

    #[inline]
    pub(crate) fn refresh_below_seconds(&self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.refresh_below_seconds.load(Relaxed))
    }
}

/// Why an announce was rejected: the limit that it would have exceeded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// [`SwarmLimits::max_torrents`].
    Torrents,
    /// [`SwarmLimits::max_peers_per_torrent`].
    PeersPerTorrent,
    /// [`SwarmLimits::max_peers_per_ip`].
    PeersPerIp,
}

/// How many torrents there are, in all swarms that share [`SwarmLimits`].
#[derive(Debug, Default)]
pub struct Usage {
    live: AtomicUsize,
    retired: AtomicUsize,
}

impl Usage {
    /// Torrents that have peers.
    pub fn live(&self) -> usize {
        self.live.load(Relaxed)
    }

    /// Torrents without peers, kept for their download counts.
    pub fn retired(&self) -> usize {
        self.retired.load(Relaxed)
    }

    /// Takes a place for a torrent with peers, unless all are taken.
    pub(crate) fn try_add_live(&self, limits: &CurrentLimits) -> Result<(), LimitReached> {
        if add_below(&self.live, limits.max_torrents()) {
            Ok(())
        } else {
            Err(LimitReached::Torrents)
        }
    }

    pub(crate) fn remove_live(&self) {
        self.live.fetch_sub(1, Relaxed);
    }

    pub(crate) fn add_retired(&self) {
        self.retired.fetch_add(1, Relaxed);
    }

    pub(crate) fn remove_retired(&self) {
        self.retired.fetch_sub(1, Relaxed);
    }
}

/// Adds one to `count` unless it has reached `max`.
fn add_below(count: &AtomicUsize, max: Option<NonZeroUsize>) -> bool {
    let Some(max) = max else {
        count.fetch_add(1, Relaxed);
        return true;
    };
    if count.fetch_add(1, Relaxed) < max.get() {
        return true;
    }
    count.fetch_sub(1, Relaxed);
    false
}
