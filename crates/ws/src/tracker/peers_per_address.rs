//! Number of peers per source address, while that is limited.
//!
//! The swarm cannot count them, because WebTorrent peers have no address there. A peer is
//! counted from its first announce over a connection until it stops there or the connection
//! is closed. A peer that announces over another connection before the first one is closed
//! is counted once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquatic_bittorrent::{InfoHash, PeerId, source_network};

/// Far more parts than workers, so that workers rarely wait for each other.
const PARTS: usize = 64;

/// A keyed hash of a torrent and a peer, for which nobody can find collisions.
type Name = u64;

/// The peers of an address, with the number of connections over which each of them
/// announced.
type Peers = HashMap<Name, u32>;

/// The peers of all addresses, in parts with their own locks.
pub(super) struct PeersPerAddress {
    parts: Box<[Mutex<HashMap<IpAddr, Peers>>]>,
    names: RandomState,
}

/// The address has its maximum of peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooManyPeers;

impl Default for PeersPerAddress {
    fn default() -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            names: RandomState::new(),
        }
    }
}

impl PeersPerAddress {
    /// Counts a peer of a connection, unless its address has the maximum of peers.
    pub(super) fn add(
        &self,
        source: IpAddr,
        info_hash: &InfoHash,
        peer_id: &PeerId,
        max: NonZeroUsize,
    ) -> Result<(), TooManyPeers> {
        let name = self.name(info_hash, peer_id);
        let address = source_network(source);
        let mut part = self.part(address);
        let peers = part.entry(address).or_default();
        let count = peers.len();
        match peers.entry(name) {
            Entry::Occupied(mut entry) => *entry.get_mut() += 1,
            // The first peer of an address is always below the maximum.
            Entry::Vacant(_) if count >= max.get() => return Err(TooManyPeers),
            Entry::Vacant(entry) => {
                entry.insert(1);
            }
        }
        Ok(())
    }

    /// Counts a peer of a connection that was not counted before.
    pub(super) fn add_known(&self, source: IpAddr, info_hash: &InfoHash, peer_id: &PeerId) {
        // No address has that many.
        let _ = self.add(source, info_hash, peer_id, NonZeroUsize::MAX);
    }

    /// Uncounts a peer of a connection.
    pub(super) fn remove(&self, source: IpAddr, info_hash: &InfoHash, peer_id: &PeerId) {
        let name = self.name(info_hash, peer_id);
        let address = source_network(source);
        let mut part = self.part(address);
        let Some(peers) = part.get_mut(&address) else {
            return;
        };
        if let Entry::Occupied(mut entry) = peers.entry(name) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
        if peers.is_empty() {
            part.remove(&address);
        }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        let is_empty = |part: &Mutex<HashMap<_, _>>| part.lock().unwrap().is_empty();
        self.parts.iter().all(is_empty)
    }

    fn name(&self, info_hash: &InfoHash, peer_id: &PeerId) -> Name {
        self.names.hash_one((info_hash.0, peer_id.0))
    }

    fn part(&self, address: IpAddr) -> MutexGuard<'_, HashMap<IpAddr, Peers>> {
        let hash = self.names.hash_one(address);
        // Each change is complete, so the map is still consistent after a panic.
        self.parts[hash as usize % PARTS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: InfoHash = InfoHash([1; 20]);

    fn peer(number: u8) -> PeerId {
        PeerId([number; 20])
    }

    #[test]
    fn counts_up_to_the_maximum_and_back() {
        let counts = PeersPerAddress::default();
        let max = NonZeroUsize::new(2).unwrap();
        let one: IpAddr = [192, 0, 2, 1].into();
        let add = |source, number| counts.add(source, &HASH, &peer(number), max);
        assert_eq!(add(one, 1), Ok(()));
        assert_eq!(add(one, 2), Ok(()));
        assert_eq!(add(one, 3), Err(TooManyPeers));
        // The same peer over a second connection, while the first is still open.
        assert_eq!(add(one, 2), Ok(()));
        counts.remove(one, &HASH, &peer(2));
        assert_eq!(add(one, 3), Err(TooManyPeers));
        counts.remove(one, &HASH, &peer(2));
        assert_eq!(add(one, 3), Ok(()));

        assert_eq!(add("2001:db8::1".parse().unwrap(), 1), Ok(()));
        assert_eq!(add("2001:db8::2".parse().unwrap(), 2), Ok(()));
        let third = add("2001:db8::3".parse().unwrap(), 3);
        assert_eq!(third, Err(TooManyPeers));
        assert_eq!(add("2001:db8:0:1::3".parse().unwrap(), 3), Ok(()));
        assert_eq!(
            add("::ffff:192.0.2.1".parse().unwrap(), 4),
            Err(TooManyPeers)
        );
    }

    #[test]
    fn nothing_is_kept_of_removed_peers() {
        let counts = PeersPerAddress::default();
        let max = NonZeroUsize::MIN;
        for number in 0..=u8::MAX {
            let source: IpAddr = [10, 0, 0, number].into();
            counts.add(source, &HASH, &peer(1), max).unwrap();
            let rejected = counts.add(source, &HASH, &peer(2), max);
            assert_eq!(rejected, Err(TooManyPeers));
            counts.remove(source, &HASH, &peer(2));
            counts.remove(source, &HASH, &peer(1));
            counts.remove(source, &HASH, &peer(1));
        }
        assert!(counts.is_empty());
    }
}
