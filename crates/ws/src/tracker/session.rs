//! The tracker's state of a connection.

use std::net::IpAddr;

use aquatic_bittorrent::{InfoHash, PeerId};

use super::Address;

/// The torrents that were announced over a connection, each with its peer id.
#[derive(Debug)]
pub struct Session {
    source: IpAddr,
    address: Address,
    /// Sorted by info hash.
    torrents: Vec<(InfoHash, PeerId)>,
}

impl Session {
    /// A connection without announces; `source` is the address of its client.
    pub const fn new(source: IpAddr, address: Address) -> Self {
        Self {
            source,
            address,
            torrents: Vec::new(),
        }
    }

    /// The address of the client.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// The address of the connection, for relaying.
    pub fn address(&self) -> Address {
        self.address
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
