//! The event of an announce, and the change of the swarm that it causes.

/// The event of an announce (BEP 3, `event`; BEP 15, offset 80; BEP 21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AnnounceEvent {
    /// A regular announce, or an unknown event.
    #[default]
    None,
    /// The first announce of a peer.
    Started,
    /// The peer leaves the swarm.
    Stopped,
    /// The peer has just finished downloading.
    Completed,
    /// The peer is a partial seed that downloads nothing more (BEP 21).
    Paused,
}

/// The change of a swarm by an announce, for other nodes with the same swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerChange {
    /// The peer is in the swarm and downloads.
    Leecher,
    /// The peer is in the swarm and has nothing left to download.
    Seeder,
    /// Like [`Seeder`](Self::Seeder), and its download was counted.
    Completed,
    /// The peer has left.
    Stopped,
}
