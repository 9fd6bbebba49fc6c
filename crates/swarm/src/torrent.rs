//! One torrent.

use aquatic_bittorrent::InfoHash;

use crate::peers::{Peers, View};
use crate::shard::Scraped;

/// A torrent that has peers. With few IPv4 peers it is one cache line.
#[repr(align(64))]
pub(crate) struct Torrent<const S: usize, const K: usize, const N: usize> {
    pub(crate) info_hash: InfoHash,
    /// Downloads that were announced as completed.
    pub(crate) completed: u32,
    pub(crate) peers: Peers<S, K, N>,
}

/// A torrent whose peers have all gone, but whose downloads still count.
pub(crate) struct RetiredTorrent {
    pub(crate) info_hash: InfoHash,
    pub(crate) completed: u32,
}

impl<const S: usize, const K: usize, const N: usize> Torrent<S, K, N> {
    pub(crate) fn scraped(&self) -> Scraped {
        let View {
            records, seeders, ..
        } = self.peers.view();
        Scraped {
            seeders: seeders as u32,
            leechers: (records.len() - seeders) as u32,
            completed: self.completed,
        }
    }
}

impl RetiredTorrent {
    pub(crate) fn scraped(&self) -> Scraped {
        Scraped {
            completed: self.completed,
            ..Scraped::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torrent_is_one_cache_line() {
        assert_eq!(size_of::<Torrent<6, 6, 4>>(), 64);
        assert_eq!(size_of::<Torrent<18, 18, 1>>(), 64);
        assert_eq!(size_of::<Torrent<28, 20, 1>>(), 64);
    }
}
