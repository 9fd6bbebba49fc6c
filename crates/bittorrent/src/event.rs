//! Why a peer announces, and what that changes.

/// The event of an announce (BEP 3, `event`; BEP 15, offset 80; BEP 21).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AnnounceEvent {
    /// One of the announces made at regular intervals, or an unknown event.
    #[default]
    None,
    /// The first announce of a peer.
    Started,
    /// The peer leaves the swarm.
    Stopped,
    /// The peer has just finished downloading.
    Completed,
    /// A partial seed that downloads nothing more (BEP 21).
    Paused,
}

/// What an announce changes in a swarm, as others that keep the same one have to
/// be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerChange {
    /// The peer is there, or still there, and downloads.
    Leecher,
    /// The peer is there, or still there, and has nothing left to download.
    Seeder,
    /// As [`Seeder`](Self::Seeder), and its download was counted.
    Completed,
    /// The peer has left.
    Stopped,
}
