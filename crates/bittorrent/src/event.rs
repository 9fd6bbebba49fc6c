//! Why a peer announces.

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
