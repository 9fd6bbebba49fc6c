//! The tracker's state of a connection.

use std::net::IpAddr;

use aquatic_bittorrent::{InfoHash, PeerId};
use aquatic_policy::keys::{Key, KeyDigest};
use aquatic_tracker::RejectReason;
use aquatic_tracker::keys::Keys;

use super::Address;
use crate::config::Config;

/// The torrents that were announced over a connection, each with its peer id.
#[derive(Debug)]
pub struct Session {
    source: IpAddr,
    address: Address,
    counted: Counted,
    /// The digest of the key in its URL.
    key: Option<Box<KeyDigest>>,
    /// Sorted by info hash.
    torrents: Vec<(InfoHash, PeerId)>,
}

/// How the peers of a connection are counted, in addition to the metrics of swarms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counted {
    /// For `limits.max_peers_per_ip`.
    pub(super) by_address: bool,
    /// For `metrics.peer_clients`.
    pub(super) by_client: bool,
}

impl Counted {
    const NOT: Self = Self {
        by_address: false,
        by_client: false,
    };

    /// As configured.
    pub(super) fn by(config: &Config) -> Self {
        Self {
            by_address: config.limits.max_peers_per_ip.non_zero().is_some(),
            by_client: config.metrics.peer_clients,
        }
    }

    /// What `other` does not include.
    pub(super) fn without(self, other: Self) -> Self {
        Self {
            by_address: self.by_address && !other.by_address,
            by_client: self.by_client && !other.by_client,
        }
    }
}

impl Session {
    /// A connection without announces; `source` is the address of its client.
    pub const fn new(source: IpAddr, address: Address) -> Self {
        Self {
            source,
            address,
            counted: Counted::NOT,
            key: None,
            torrents: Vec::new(),
        }
    }

    /// The same connection, with the digest of the key in its URL, if there is one.
    #[must_use]
    pub fn with_key(mut self, key: Option<KeyDigest>) -> Self {
        self.key = key.map(Box::new);
        self
    }

    /// Finds the key of the connection.
    ///
    /// # Errors
    ///
    /// Why its messages must not be served.
    pub(super) fn check_key<'k>(&self, keys: &'k Keys) -> Result<Key<'k>, RejectReason> {
        let digest = self.key.as_deref().ok_or(RejectReason::MissingKey)?;
        keys.check_digest(*digest)
    }

    /// The address of the client.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// The address of the connection, for relaying.
    pub fn address(&self) -> Address {
        self.address
    }

    /// How its peers are counted.
    pub(super) fn counted(&self) -> Counted {
        self.counted
    }

    /// Its peers are counted like this from now on.
    pub(super) fn set_counted(&mut self, counted: Counted) {
        self.counted = counted;
    }

    /// The torrents that were announced and not stopped.
    pub fn torrents(&self) -> &[(InfoHash, PeerId)] {
        &self.torrents
    }

    /// The peer id with which a torrent was announced.
    pub fn peer_id_on(&self, info_hash: &InfoHash) -> Option<PeerId> {
        let place = self.place(info_hash).ok()?;
        Some(self.torrents[place].1)
    }

    pub(super) fn remember(&mut self, info_hash: InfoHash, peer_id: PeerId) {
        if let Err(place) = self.place(&info_hash) {
            // Most connections announce one torrent, and few announce many.
            if self.torrents.is_empty() {
                self.torrents.reserve_exact(1);
            }
            self.torrents.insert(place, (info_hash, peer_id));
        }
    }

    pub(super) fn forget(&mut self, info_hash: &InfoHash) {
        if let Ok(place) = self.place(info_hash) {
            self.torrents.remove(place);
            if self.torrents.len() < self.torrents.capacity() / 4 {
                self.torrents.shrink_to(self.torrents.len() * 2);
            }
        }
    }

    /// Removes any torrent.
    pub(super) fn take_torrent(&mut self) -> Option<(InfoHash, PeerId)> {
        self.torrents.pop()
    }

    fn place(&self, info_hash: &InfoHash) -> Result<usize, usize> {
        self.torrents
            .binary_search_by(|(other, _)| other.cmp(info_hash))
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn torrents_are_found_and_forgotten() {
        let mut session = Session::new(Ipv4Addr::LOCALHOST.into(), Address(1));
        let hash = |number: u32| {
            let mut bytes = [0; 20];
            bytes[..4].copy_from_slice(&number.wrapping_mul(0x9e37_79b9).to_ne_bytes());
            InfoHash(bytes)
        };
        let peer_id = |number: u32| PeerId([number as u8; 20]);
        for number in 0..1_000 {
            session.remember(hash(number), peer_id(number));
        }
        for number in 0..1_000 {
            assert_eq!(session.peer_id_on(&hash(number)), Some(peer_id(number)));
        }
        for number in 0..1_000 {
            session.forget(&hash(number));
            assert_eq!(session.peer_id_on(&hash(number)), None);
        }
        assert!(session.torrents().is_empty());
        assert_eq!(session.torrents.capacity(), 0);
    }
}
