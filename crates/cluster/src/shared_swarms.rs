//! What the link through an engine needs of the swarms of its node.

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH, InfoHash};

use crate::batch::{Batch, Kind, NodeId};
use crate::record::Record;

/// Access of the link through an engine to the swarms of its node.
pub trait SharedSwarms {
    /// State of an iteration over all peers.
    type Walk;

    /// Begins an iteration. Whether it includes changes from now on is unspecified.
    fn begin(&self) -> Self::Walk;

    /// Appends some of the peers for which this node publishes records, and of the downloads
    /// that it knows; returns false when there are no more. It takes a millisecond or two.
    fn next_held(&self, walk: &mut Self::Walk, held: &mut Held) -> bool;

    /// Applies changes: of another node, or own ones that have to be applied again.
    fn apply(&self, batch: &Batch<'_>, now_milliseconds: u64);

    /// Says how often a torrent was downloaded by peers of a kind, if that is more than is
    /// known.
    fn restore_downloads(&self, kind: Kind, info_hash: &InfoHash, downloads: u64);

    /// Another node is running. Its changes are applied after this call.
    fn node_has_started(&self, node: NodeId);

    /// Another node has ended, and so have the WebTorrent peers that are connected to it.
    fn node_has_ended(&self, node: NodeId);

    /// Removes some WebTorrent peers of nodes that have ended; returns whether more may be
    /// left. It takes some milliseconds.
    fn remove_ended_peers(&self) -> bool;
}

/// Peers for which a node publishes records, as leechers and seeders, with their remaining
/// seconds; and downloads that it knows.
#[derive(Debug, Default)]
pub struct Held {
    /// IPv4 peers.
    pub ipv4: Vec<(Record<IPV4_PEER_LENGTH>, u16)>,
    /// IPv6 peers.
    pub ipv6: Vec<(Record<IPV6_PEER_LENGTH>, u16)>,
    /// WebTorrent peers that are connected to this node.
    pub web_torrent: Vec<(Record<20>, u16)>,
    /// Torrents that were downloaded by peers of a kind, and how often.
    pub downloads: Vec<(Kind, InfoHash, u32)>,
}

impl Held {
    /// Number of peers, and of torrents with downloads.
    pub fn len(&self) -> usize {
        let peers = self.ipv4.len() + self.ipv6.len() + self.web_torrent.len();
        peers + self.downloads.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all.
    pub fn clear(&mut self) {
        self.ipv4.clear();
        self.ipv6.clear();
        self.web_torrent.clear();
        self.downloads.clear();
    }
}
