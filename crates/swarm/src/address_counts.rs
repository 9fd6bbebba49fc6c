//! How many peers each source address has.

use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aquatic_bittorrent::IPV6_NETWORK_LENGTH;
use hashbrown::HashTable;

use crate::hash_key::HashKey;
use crate::limits::LimitReached;

/// Far more parts than workers, so that workers seldom wait for each other, and a part
/// grows within a fraction of a millisecond even with millions of addresses.
const PARTS: usize = 1_024;

/// The 4 bytes of an IPv4 address, or those of an IPv6 address that are the same for
/// one client.
type Address = [u8; IPV6_NETWORK_LENGTH];

/// Addresses and how many peers they have.
type Counts = HashTable<(Address, u32)>;

/// Counts for [`SwarmLimits::max_peers_per_ip`](crate::SwarmLimits::max_peers_per_ip).
///
/// These locks are taken while a shard's lock is held; no other lock is taken while one of
/// them is held.
pub(crate) struct AddressCounts {
    parts: Box<[Mutex<Counts>]>,
    key: HashKey,
}

impl AddressCounts {
    pub(crate) fn new(key: HashKey) -> Self {
        Self {
            parts: (0..PARTS).map(|_| Mutex::default()).collect(),
            key,
        }
    }

    /// Counts a new peer, unless its address has the maximum, if there is one.
    pub(crate) fn add<const S: usize>(
        &self,
        record: &[u8; S],
        max: Option<NonZeroU32>,
    ) -> Result<(), LimitReached> {
        let address = address(record);
        let hash = self.key.hash::<8>(&address);
        let mut part = self.part(hash);
        if let Some((_, count)) = part.find_mut(hash, |(other, _)| *other == address) {
            if max.is_some_and(|max| *count >= max.get()) {
                return Err(LimitReached::PeersPerIp);
            }
            *count += 1;
        } else {
            part.insert_unique(hash, (address, 1), |(other, _)| self.key.hash::<8>(other));
        }
        Ok(())
    }

    /// Uncounts a peer.
    pub(crate) fn remove<const S: usize>(&self, record: &[u8; S]) {
        let address = address(record);
        let hash = self.key.hash::<8>(&address);
        let mut part = self.part(hash);
        if let Ok(mut entry) = part.find_entry(hash, |(other, _)| *other == address) {
            entry.get_mut().1 -= 1;
            if entry.get().1 == 0 {
                entry.remove();
            }
        }
        // Only if it frees much memory, and with room left, so that it does not grow again
        // at once.
        if part.len() < part.capacity() / 8 {
            let places = part.len() * 2;
            part.shrink_to(places, |(other, _)| self.key.hash::<8>(other));
        }
    }

    fn part(&self, hash: u64) -> MutexGuard<'_, Counts> {
        self.parts[(hash >> 32) as usize % PARTS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

fn address<const S: usize>(record: &[u8; S]) -> Address {
    let mut address = Address::default();
    let len = (S - 2).min(address.len());
    address[..len].copy_from_slice(&record[..len]);
    address
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_the_maximum_and_back() {
        let counts = AddressCounts::new(HashKey::new([1; 16]));
        let max = NonZeroU32::new(2);
        let one = [127, 0, 0, 1, 0, 80];
        let other = [127, 0, 0, 2, 0, 80];
        assert_eq!(counts.add(&one, max), Ok(()));
        assert_eq!(counts.add(&one, max), Ok(()));
        assert_eq!(counts.add(&one, max), Err(LimitReached::PeersPerIp));
        assert_eq!(counts.add(&other, max), Ok(()));
        counts.remove(&one);
        assert_eq!(counts.add(&one, max), Ok(()));
        counts.remove(&one);
        counts.remove(&one);
        counts.remove(&other);
        counts.remove(&other);
        assert!(
            counts
                .parts
                .iter()
                .all(|part| part.lock().unwrap().is_empty())
        );
    }

    #[test]
    fn memory_is_given_back() {
        let counts = AddressCounts::new(HashKey::new([2; 16]));
        let max = Some(NonZeroU32::MIN);
        let record = |number: u32| {
            let [a, b, c, d] = number.to_be_bytes();
            [a, b, c, d, 0, 80]
        };
        let places = || -> usize {
            let parts = counts.parts.iter();
            parts.map(|part| part.lock().unwrap().capacity()).sum()
        };
        for number in 0..200_000 {
            assert_eq!(counts.add(&record(number), max), Ok(()));
        }
        assert!(places() >= 200_000);
        for number in 2_000..200_000 {
            counts.remove(&record(number));
        }
        assert!(places() < 80_000, "{} places for 2,000", places());
        for number in 0..2_000 {
            assert_eq!(
                counts.add(&record(number), max),
                Err(LimitReached::PeersPerIp)
            );
            counts.remove(&record(number));
        }
        assert!(
            counts
                .parts
                .iter()
                .all(|part| part.lock().unwrap().is_empty())
        );
    }

    #[test]
    fn ipv6_counts_by_network() {
        let mut record = [0xab; 18];
        let network = address(&record);
        record[8..].fill(0);
        assert_eq!(address(&record), network);
        record[7] = 0;
        assert_ne!(address(&record), network);
    }
}
