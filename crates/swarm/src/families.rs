//! The swarms of a tracker, by address family.

use std::net::IpAddr;
use std::sync::Arc;

use aquatic_bittorrent::InfoHash;

use crate::snapshot::{self, DamagedBlock, Restored};
use crate::{
    HashKey, Ipv4Swarm, Ipv6Swarm, Scraped, Swarm, SwarmLimits, SwarmTotals, Sweep, TorrentWalk,
    Usage, WebSwarm,
};

/// The swarms of a tracker: one for each address family, or one for both.
pub trait Swarms {
    /// Number of torrents in all swarms.
    fn usage(&self) -> &Usage;

    /// Changes the limits of all swarms, as [`Swarm::set_limits`] does.
    fn set_limits(&self, limits: SwarmLimits);

    /// Number of shards of each swarm.
    fn shard_count(&self) -> usize;

    /// The totals of each swarm, with its name.
    fn totals(&self) -> Vec<(&'static str, SwarmTotals)>;

    /// Does a [step](Sweep::step) of a sweep over the first or the second swarm. If there
    /// is no second one, its sweep is always complete.
    fn sweep(
        &self,
        number: usize,
        sweep: &mut Sweep,
        now: u32,
        torrents: usize,
        keep: impl Fn(&InfoHash) -> bool,
    ) -> bool;

    /// Does a [step](TorrentWalk::step) of a walk over the first or the second swarm. If
    /// there is no second one, its walk is always complete.
    fn walk(
        &self,
        number: usize,
        walk: &mut TorrentWalk,
        visit: impl FnMut(&InfoHash, Scraped),
    ) -> bool;

    /// The counts of a torrent for a client at this address.
    fn scrape(&self, source: IpAddr, info_hash: &InfoHash) -> Scraped;

    /// The counts of a torrent in all swarms together. A peer that announces over IPv4 and
    /// IPv6 counts twice.
    fn counts(&self, info_hash: &InfoHash) -> Scraped;

    /// Calls `write` with blocks of what the first or the second swarm keeps over a
    /// restart; not at all if there is no second one.
    ///
    /// # Errors
    ///
    /// Those of `write`.
    fn save<E>(
        &self,
        number: usize,
        now: impl Fn() -> u32,
        write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E>;

    /// Checks the layout of a block that was [saved](Self::save) of the first or the second
    /// swarm.
    ///
    /// # Errors
    ///
    /// Where it is damaged.
    fn check(&self, number: usize, block: &[u8]) -> Result<(), DamagedBlock>;

    /// [Stores](snapshot::restore) a block that was [saved](Self::save) of the first or the
    /// second swarm. If there is no second one, nothing is stored.
    ///
    /// # Errors
    ///
    /// Entries before the damage have been stored.
    fn restore(
        &self,
        number: usize,
        block: &[u8],
        now: u32,
        lifetime: u16,
        with_peers: bool,
    ) -> Result<Restored, DamagedBlock>;
}

/// The torrents of a tracker whose peers are addresses. IPv4 peers get no IPv6 peers of a
/// torrent, and vice versa.
pub struct Families {
    /// Peers that announced over IPv4.
    pub ipv4: Ipv4Swarm,
    /// Peers that announced over IPv6.
    pub ipv6: Ipv6Swarm,
    /// Number of torrents of both.
    pub usage: Arc<Usage>,
}

impl Families {
    /// Creates empty swarms. [`SwarmLimits::max_torrents`] applies to both together.
    pub fn new(key: HashKey, limits: SwarmLimits) -> Self {
        let usage = Arc::new(Usage::default());
        Self {
            ipv4: Swarm::new(key, limits, usage.clone()),
            ipv6: Swarm::new(key, limits, usage.clone()),
            usage,
        }
    }
}

impl Swarms for Families {
    fn usage(&self) -> &Usage {
        &self.usage
    }

    fn set_limits(&self, limits: SwarmLimits) {
        self.ipv4.set_limits(limits);
        self.ipv6.set_limits(limits);
    }

    fn shard_count(&self) -> usize {
        self.ipv4.shard_count()
    }

    fn totals(&self) -> Vec<(&'static str, SwarmTotals)> {
        vec![("ipv4", self.ipv4.totals()), ("ipv6", self.ipv6.totals())]
    }

    fn sweep(
        &self,
        number: usize,
        sweep: &mut Sweep,
        now: u32,
        torrents: usize,
        keep: impl Fn(&InfoHash) -> bool,
    ) -> bool {
        if number == 0 {
            sweep.step(&self.ipv4, now, torrents, keep)
        } else {
            sweep.step(&self.ipv6, now, torrents, keep)
        }
    }

    fn walk(
        &self,
        number: usize,
        walk: &mut TorrentWalk,
        visit: impl FnMut(&InfoHash, Scraped),
    ) -> bool {
        if number == 0 {
            walk.step(&self.ipv4, visit)
        } else {
            walk.step(&self.ipv6, visit)
        }
    }

    fn counts(&self, info_hash: &InfoHash) -> Scraped {
        let ipv4 = self.ipv4.lock(info_hash).scrape();
        ipv4.plus(self.ipv6.lock(info_hash).scrape())
    }

    fn scrape(&self, source: IpAddr, info_hash: &InfoHash) -> Scraped {
        if source.to_canonical().is_ipv4() {
            self.ipv4.lock(info_hash).scrape()
        } else {
            self.ipv6.lock(info_hash).scrape()
        }
    }

    fn save<E>(
        &self,
        number: usize,
        now: impl Fn() -> u32,
        write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if number == 0 {
            snapshot::copy(&self.ipv4, now, write)
        } else {
            snapshot::copy(&self.ipv6, now, write)
        }
    }

    fn check(&self, number: usize, block: &[u8]) -> Result<(), DamagedBlock> {
        if number == 0 {
            snapshot::check(&self.ipv4, block)
        } else {
            snapshot::check(&self.ipv6, block)
        }
    }

    fn restore(
        &self,
        number: usize,
        block: &[u8],
        now: u32,
        lifetime: u16,
        with_peers: bool,
    ) -> Result<Restored, DamagedBlock> {
        if number == 0 {
            snapshot::restore(&self.ipv4, block, now, lifetime, with_peers)
        } else {
            snapshot::restore(&self.ipv6, block, now, lifetime, with_peers)
        }
    }
}

/// The torrents of a tracker whose peers are reached through their connections
/// (WebTorrent): separate by address family, or all in one swarm.
pub struct WebSwarms {
    first: WebSwarm,
    /// Peers that announced over IPv6, if the families are separate.
    ipv6: Option<WebSwarm>,
    usage: Arc<Usage>,
}

impl WebSwarms {
    /// Creates empty swarms. [`SwarmLimits::max_torrents`] applies to all together, and
    /// [`SwarmLimits::max_peers_per_ip`] has no effect, because peers have no address here.
    pub fn new(key: HashKey, limits: SwarmLimits, are_families_apart: bool) -> Self {
        let limits = without_addresses(limits);
        let usage = Arc::new(Usage::default());
        Self {
            first: Swarm::new(key, limits, usage.clone()),
            ipv6: are_families_apart.then(|| Swarm::new(key, limits, usage.clone())),
            usage,
        }
    }

    /// The swarm whose peers are sent to a client at this address.
    #[inline]
    pub fn of(&self, source: IpAddr) -> &WebSwarm {
        match &self.ipv6 {
            Some(ipv6) if source.to_canonical().is_ipv6() => ipv6,
            _ => &self.first,
        }
    }

    /// All swarms: one, or one for IPv4 and one for IPv6.
    pub fn all(&self) -> impl Iterator<Item = &WebSwarm> {
        [&self.first].into_iter().chain(&self.ipv6)
    }
}

impl Swarms for WebSwarms {
    fn usage(&self) -> &Usage {
        &self.usage
    }

    fn set_limits(&self, limits: SwarmLimits) {
        for swarm in self.all() {
            swarm.set_limits(without_addresses(limits));
        }
    }

    fn shard_count(&self) -> usize {
        self.first.shard_count()
    }

    fn totals(&self) -> Vec<(&'static str, SwarmTotals)> {
        match &self.ipv6 {
            None => vec![("all", self.first.totals())],
            Some(ipv6) => vec![("ipv4", self.first.totals()), ("ipv6", ipv6.totals())],
        }
    }

    fn sweep(
        &self,
        number: usize,
        sweep: &mut Sweep,
        now: u32,
        torrents: usize,
        keep: impl Fn(&InfoHash) -> bool,
    ) -> bool {
        match (number, &self.ipv6) {
            (0, _) => sweep.step(&self.first, now, torrents, keep),
            (_, Some(ipv6)) => sweep.step(ipv6, now, torrents, keep),
            (_, None) => true,
        }
    }

    fn walk(
        &self,
        number: usize,
        walk: &mut TorrentWalk,
        visit: impl FnMut(&InfoHash, Scraped),
    ) -> bool {
        let swarm = self.all().nth(number);
        swarm.is_some_and(|swarm| walk.step(swarm, visit))
    }

    fn counts(&self, info_hash: &InfoHash) -> Scraped {
        let counts = self.all().map(|swarm| swarm.lock(info_hash).scrape());
        counts.fold(Scraped::default(), Scraped::plus)
    }

    fn scrape(&self, source: IpAddr, info_hash: &InfoHash) -> Scraped {
        self.of(source).lock(info_hash).scrape()
    }

    /// Nothing is kept over a restart, because peers do not survive their connections.
    fn save<E>(
        &self,
        number: usize,
        _: impl Fn() -> u32,
        write: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.all().nth(number) {
            Some(swarm) => snapshot::copy_downloads(swarm, write),
            None => Ok(()),
        }
    }

    fn check(&self, number: usize, block: &[u8]) -> Result<(), DamagedBlock> {
        // One that would not be restored may be damaged, too.
        let swarm = self.all().nth(number).unwrap_or(&self.first);
        snapshot::check(swarm, block)
    }

    fn restore(
        &self,
        number: usize,
        block: &[u8],
        now: u32,
        lifetime: u16,
        _: bool,
    ) -> Result<Restored, DamagedBlock> {
        match self.all().nth(number) {
            Some(swarm) => snapshot::restore(swarm, block, now, lifetime, false),
            None => Ok(Restored::default()),
        }
    }
}

/// The limits of swarms whose records have no address.
fn without_addresses(limits: SwarmLimits) -> SwarmLimits {
    SwarmLimits {
        max_peers_per_ip: None,
        ..limits
    }
}
