//! What the workers of a tracker share.

use std::net::IpAddr;

use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_service::lists::Lists;
use aquatic_service::secret;
use aquatic_swarm::{Scraped, Swarms};

use crate::RejectReason;

/// Torrents and peers, and whom and what is served.
pub struct State<S> {
    /// Torrents and their peers.
    pub swarms: S,
    /// Whom and what is served; a reload replaces them.
    pub lists: Lists,
}

impl<S: Swarms> State<S> {
    /// Whether a torrent may be announced.
    ///
    /// # Errors
    ///
    /// Why not.
    #[inline]
    pub fn check_torrent(&self, info_hash: &InfoHash) -> Result<(), RejectReason> {
        if self.lists.access_list.allows(info_hash) {
            Ok(())
        } else {
            Err(RejectReason::Forbidden)
        }
    }

    /// Whether a client at this address is served.
    ///
    /// # Errors
    ///
    /// Why not.
    #[inline]
    pub fn check_source(&self, source: IpAddr) -> Result<(), RejectReason> {
        match self.lists.bans.if_on() {
            Some(bans) if bans.contains(source) => Err(RejectReason::Banned),
            _ => Ok(()),
        }
    }

    /// Whether client software with this peer id is served. If not, returns what `reject`
    /// makes of the reason in words.
    #[inline]
    pub fn reject_client<T>(&self, peer_id: &PeerId, reject: impl FnOnce(&str) -> T) -> Option<T> {
        let clients = self.lists.clients.if_on()?;
        clients.check(peer_id).err().map(reject)
    }

    /// Whether a torrent may be announced by a client at this address, which others reach at
    /// `port`.
    ///
    /// # Errors
    ///
    /// Why not.
    #[inline]
    pub fn check_announce(
        &self,
        source: IpAddr,
        info_hash: &InfoHash,
        port: u16,
    ) -> Result<(), RejectReason> {
        self.check_source(source)?;
        if port == 0 {
            return Err(RejectReason::PortZero);
        }
        self.check_torrent(info_hash)
    }

    /// Whether a scrape of these torrents by a client at this address is answered: if any of
    /// them is served.
    ///
    /// # Errors
    ///
    /// Why not.
    pub fn check_scrape(
        &self,
        source: IpAddr,
        mut info_hashes: impl Iterator<Item = InfoHash>,
    ) -> Result<(), RejectReason> {
        self.check_source(source)?;
        if info_hashes.any(|info_hash| self.lists.access_list.allows(&info_hash)) {
            Ok(())
        } else {
            Err(RejectReason::Forbidden)
        }
    }

    /// The counts of a torrent that a client at `source` gets. A forbidden torrent looks
    /// like an unknown one.
    pub fn scrape(&self, source: IpAddr, info_hash: &InfoHash) -> Scraped {
        if self.lists.access_list.allows(info_hash) {
            self.swarms.scrape(source, info_hash)
        } else {
            Scraped::default()
        }
    }
}

/// The random number generator by which a worker chooses peers.
///
/// # Errors
///
/// When the system has no random numbers.
pub fn random() -> anyhow::Result<fastrand::Rng> {
    Ok(fastrand::Rng::with_seed(u64::from_ne_bytes(secret()?)))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use aquatic_bittorrent::AnnounceEvent;
    use aquatic_policy::AddressRanges;
    use aquatic_policy::bans::{BanLine, BansBuilder};
    use aquatic_policy::clients::{ClientLine, Prefixes};
    use aquatic_service::access_list::{AccessList, InfoHashSet};
    use aquatic_swarm::{Announce, Families, HashKey, SwarmLimits};

    use super::*;

    const ALLOWED: InfoHash = InfoHash([0x11; 20]);
    const FORBIDDEN: InfoHash = InfoHash([0xff; 20]);
    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn state() -> State<Families> {
        let list = InfoHashSet::parse(format!("{FORBIDDEN}\n").as_bytes()).unwrap();
        State {
            swarms: Families::new(HashKey::new([1; 16]), SwarmLimits::default()),
            lists: Lists::of_torrents(AccessList::Deny(list)),
        }
    }

    #[test]
    fn announces_are_checked() {
        let state = state();
        assert_eq!(state.check_announce(HERE, &ALLOWED, 1), Ok(()));
        let reason = |info_hash, port| state.check_announce(HERE, &info_hash, port).unwrap_err();
        assert_eq!(reason(ALLOWED, 0), RejectReason::PortZero);
        assert_eq!(reason(FORBIDDEN, 0), RejectReason::PortZero);
        assert_eq!(reason(FORBIDDEN, 1), RejectReason::Forbidden);
        assert_eq!(
            state.check_torrent(&FORBIDDEN),
            Err(RejectReason::Forbidden)
        );
    }

    #[test]
    fn banned_addresses_and_clients_are_rejected() {
        let mut ranges = BansBuilder::default();
        let Ok(BanLine::Banned(range)) = BanLine::parse(b"192.0.2.0/24") else {
            panic!("it is a network");
        };
        ranges.add(range);
        let state = state();
        let there = IpAddr::from([192, 0, 2, 7]);
        assert_eq!(state.check_source(there), Ok(()));
        state
            .lists
            .bans
            .replace(ranges.build(&AddressRanges::default()));
        let banned = Err(RejectReason::Banned);
        let mapped = IpAddr::from(Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped());
        for address in [there, mapped] {
            assert_eq!(state.check_source(address), banned);
            assert_eq!(state.check_announce(address, &ALLOWED, 0), banned);
            assert_eq!(state.check_scrape(address, [ALLOWED].into_iter()), banned);
        }
        assert_eq!(state.check_announce(HERE, &ALLOWED, 1), Ok(()));
        assert_eq!(state.check_scrape(HERE, [ALLOWED].into_iter()), Ok(()));

        let peer_id = PeerId(*b"-XL0012-............");
        let reason = || state.reject_client(&peer_id, str::to_owned);
        assert_eq!(reason(), None);
        let line = ClientLine::parse(b"-XL too greedy").unwrap();
        state
            .lists
            .clients
            .replace(aquatic_policy::clients::Clients {
                denied: Prefixes::new(line.into_iter().collect()),
                ..Default::default()
            });
        assert_eq!(reason().as_deref(), Some("too greedy"));
        assert_eq!(
            state.reject_client(&PeerId([b'x'; 20]), str::to_owned),
            None
        );
    }

    #[test]
    fn a_forbidden_torrent_is_as_an_unknown_one_unless_no_other_was_asked_for() {
        let state = state();
        for info_hash in [ALLOWED, FORBIDDEN] {
            let announce = Announce {
                record: [1; 6],
                is_seeder: true,
                event: AnnounceEvent::None,
                wanted: 0,
                now_seconds: 0,
                lifetime_seconds: 60,
            };
            let mut torrent = state.swarms.ipv4.lock(&info_hash);
            let mut random = fastrand::Rng::with_seed(1);
            torrent.announce(&announce, &mut random).unwrap();
        }
        let ipv4 = |info_hash| state.scrape(Ipv4Addr::LOCALHOST.into(), info_hash);
        assert_eq!(ipv4(&ALLOWED).seeders, 1);
        assert_eq!(ipv4(&FORBIDDEN), Scraped::default());
        let ipv6 = state.scrape(Ipv6Addr::LOCALHOST.into(), &ALLOWED);
        assert_eq!(ipv6, Scraped::default());
        let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
        assert_eq!(state.scrape(mapped.into(), &ALLOWED).seeders, 1);

        let both = [FORBIDDEN, ALLOWED];
        assert_eq!(state.check_scrape(HERE, both.into_iter()), Ok(()));
        let forbidden = Err(RejectReason::Forbidden);
        assert_eq!(state.check_scrape(HERE, [FORBIDDEN].into_iter()), forbidden);
    }
}
