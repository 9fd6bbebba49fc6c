//! The contents of a swarm, according to its snapshot.

use std::collections::BTreeMap;

use aquatic_bittorrent::InfoHash;
use aquatic_swarm::snapshot::SnapshotWalk;
use aquatic_swarm::{Swarm, TorrentWalk};

use super::{Pair, peer_of, record, torrent_of};

/// The record, whether it is a seeder, and the seconds it has left.
type StoredPeer<const S: usize> = ([u8; S], bool, u16);

/// The contents of a swarm.
pub(super) struct Contents<const S: usize, const K: usize> {
    /// By torrent, then by peer.
    pub(super) peers: BTreeMap<u16, BTreeMap<u16, StoredPeer<S>>>,
    retired: usize,
}

impl<const S: usize, const K: usize> Contents<S, K> {
    pub(super) fn of<const N: usize>(swarm: &Swarm<S, K, N>, now: u32) -> Self {
        let mut contents = Self {
            peers: BTreeMap::new(),
            retired: 0,
        };
        let mut walk = SnapshotWalk::new();
        let mut block = Vec::new();
        while walk.next_block(swarm, now, &mut block) {
            let mut rest = &block[..];
            while !rest.is_empty() {
                rest = contents.read_entry(rest);
            }
            block.clear();
        }
        let mut walked = 0;
        let mut walk = TorrentWalk::new();
        while walk.step(swarm, |_, _| walked += 1) {}
        assert_eq!(walked, contents.peers.len() + contents.retired);
        contents
    }

    /// Reads what `snapshot` documents.
    fn read_entry<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let (head, rest) = bytes.split_at(32);
        let number = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
        let torrent = torrent_of(&InfoHash(head[..20].try_into().expect("20 bytes")));
        let (seeders, leechers) = (number(24) as usize, number(28) as usize);
        let count = seeders + leechers;
        if count == 0 {
            self.retired += 1;
            return rest;
        }
        let (records, rest) = rest.split_at(count * S);
        let (seconds, rest) = rest.split_at(count * 2);
        let peers = self.peers.entry(torrent).or_default();
        let records = records.as_chunks::<S>().0.iter();
        for (place, (record, seconds)) in records.zip(seconds.as_chunks::<2>().0).enumerate() {
            let peer = peer_of::<S, K>(record);
            let seconds = u16::from_le_bytes(*seconds) & 0x7fff;
            let before = peers.insert(peer, (*record, place < seeders, seconds));
            assert!(before.is_none(), "a peer stands twice");
        }
        rest
    }

    pub(super) fn compare<const N: usize>(&self, pair: &Pair<S, K, N>) {
        let live = pair.live();
        assert_eq!(self.peers.len(), live);
        assert_eq!(pair.usage.live(), live);
        assert_eq!(pair.usage.retired(), self.retired);
        let mut totals = [0; 3];
        for (torrent, model) in &pair.torrents {
            if model.peers.is_empty() {
                continue;
            }
            totals[0] += 1;
            let peers = &self.peers[torrent];
            assert_eq!(peers.len(), model.peers.len());
            for (number, peer) in &model.peers {
                let (stored, is_seeder, seconds) = peers[number];
                assert_eq!(stored, record::<S, K>(*number, peer.owner));
                assert_eq!(is_seeder, peer.is_seeder);
                let left = peer.until.saturating_sub(pair.now);
                assert_eq!(u32::from(seconds), left);
                totals[1] += 1;
                totals[2] += usize::from(is_seeder);
            }
        }
        let of_swarm = pair.swarm.totals();
        assert_eq!(
            [of_swarm.torrents, of_swarm.peers, of_swarm.seeders],
            totals
        );
    }
}
