//! Torrents, without gaps, in chunks that never move.

use std::mem;

use aquatic_bittorrent::InfoHash;

use crate::downloads::Downloads;
use crate::peers::{Peers, View};

/// The answer to a scrape, for one torrent (BEP 48).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Scraped {
    /// Peers that have nothing left to download.
    pub seeders: u32,
    /// Peers that are still downloading.
    pub leechers: u32,
    /// Downloads that were announced as completed.
    pub completed: u32,
}

impl Scraped {
    /// The sums of both.
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            seeders: self.seeders.saturating_add(other.seeders),
            leechers: self.leechers.saturating_add(other.leechers),
            completed: self.completed.saturating_add(other.completed),
        }
    }
}

/// A torrent that has peers: 48 bytes for IPv4, two peers included.
pub(crate) struct Torrent<const S: usize, const K: usize, const N: usize> {
    pub(crate) info_hash: InfoHash,
    pub(crate) downloads: Downloads,
    pub(crate) peers: Peers<S, K, N>,
}

/// How many torrents a chunk holds. Larger ones waste more where they are half empty; the
/// addresses of smaller ones do not fit into the processor's caches.
const CHUNK: usize = 64;

/// A growing array that is never copied and gives memory back as it shrinks.
pub(crate) struct Torrents<const S: usize, const K: usize, const N: usize> {
    chunks: Vec<Box<[Torrent<S, K, N>; CHUNK]>>,
    len: usize,
}

impl<const S: usize, const K: usize, const N: usize> Torrents<S, K, N> {
    pub(crate) const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            len: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    #[inline]
    pub(crate) fn at(&self, slot: usize) -> &Torrent<S, K, N> {
        &self.chunks[slot / CHUNK][slot % CHUNK]
    }

    #[inline]
    pub(crate) fn at_mut(&mut self, slot: usize) -> &mut Torrent<S, K, N> {
        &mut self.chunks[slot / CHUNK][slot % CHUNK]
    }

    /// Appends a torrent, whose slot was [`Torrents::len`].
    pub(crate) fn push(&mut self, torrent: Torrent<S, K, N>) {
        if self.len == self.chunks.len() * CHUNK {
            self.chunks
                .push(Box::new([const { Torrent::VACANT }; CHUNK]));
        }
        self.len += 1;
        *self.at_mut(self.len - 1) = torrent;
    }

    /// Removes the torrent at `slot`; the last one takes its place.
    pub(crate) fn swap_remove(&mut self, slot: usize) -> Torrent<S, K, N> {
        let mut torrent = mem::replace(self.at_mut(self.len - 1), Torrent::VACANT);
        self.len -= 1;
        if slot < self.len {
            mem::swap(&mut torrent, self.at_mut(slot));
        }
        self.chunks.truncate(self.len.div_ceil(CHUNK));
        if self.chunks.len() < self.chunks.capacity() / 4 {
            self.chunks.shrink_to(self.chunks.len() * 2);
        }
        torrent
    }
}

impl<const S: usize, const K: usize, const N: usize> Torrent<S, K, N> {
    /// The content of an empty slot.
    const VACANT: Self = Self {
        info_hash: InfoHash([0; 20]),
        downloads: Downloads::NONE,
        peers: Peers::EMPTY,
    };

    pub(crate) fn scraped(&self) -> Scraped {
        let View { records, seeders } = self.peers.view();
        Scraped {
            seeders: seeders as u32,
            leechers: (records.len() - seeders) as u32,
            completed: self.downloads.count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn torrent(number: u32) -> Torrent<6, 6, 2> {
        Torrent {
            downloads: Downloads::from_stored(number),
            ..Torrent::VACANT
        }
    }

    #[test]
    fn fills_and_empties() {
        let mut torrents = Torrents::new();
        let mut model = Vec::new();
        for number in 0..200 {
            torrents.push(torrent(number));
            model.push(number);
            assert_eq!(torrents.len(), model.len());
        }
        for number in 0..200 {
            let slot = number * 7 % model.len();
            assert_eq!(torrents.at(slot).downloads.count(), model[slot]);
            assert_eq!(
                torrents.swap_remove(slot).downloads.count(),
                model.swap_remove(slot)
            );
            let all: Vec<u32> = (0..torrents.len())
                .map(|slot| torrents.at(slot).downloads.count())
                .collect();
            assert_eq!(all, model);
        }
        assert!(torrents.chunks.is_empty());
    }

    #[test]
    fn a_torrent_is_small() {
        assert_eq!(size_of::<Torrent<6, 6, 2>>(), 48);
        assert_eq!(size_of::<Torrent<18, 18, 1>>(), 56);
        assert_eq!(size_of::<Torrent<28, 20, 1>>(), 64);
    }
}
