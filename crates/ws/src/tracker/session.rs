//! The state that the tracker has of a connection.

use std::net::IpAddr;

use aquatic_bittorrent::{InfoHash, PeerId};

use super::Address;

/// The torrents that a connection has announced, and as whom.
#[derive(Debug)]
pub struct Session {
    source: IpAddr,
    address: Address,
    /// In the order of the info hashes.
    torrents: Vec<(InfoHash, PeerId)>,
}

impl Session {
    /// A connection that has announced nothing; `source` is where its client
    /// is.
    pub const fn new(source: IpAddr, address: Address) -> Self {
        Self {
            source,
            address,
            torrents: Vec::new(),
        }
    }

    /// Where the client is.
    pub fn source(&self) -> IpAddr {
        self.source
    }

    /// Where the connection is.
    pub fn address(&self) -> Address {
        self.address
    }

    /// What was announced and not stopped.
    pub fn torrents(&self) -> &[(InfoHash, PeerId)] {
        &self.torrents
    }

    /// As whom a torrent was announced.
    pub fn peer_id_on(&self, info_hash: &InfoHash) -> Option<PeerId> {
        let place = self.place(info_hash).ok()?;
        Some(self.torrents[place].1)
    }

    pub(super) fn remember(&mut self, info_hash: InfoHash, peer_id: PeerId) {
        if let Err(place) = self.place(&info_hash) {
            // Many connections announce one torrent, and few announce many.
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

    /// Takes out any torrent.
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
