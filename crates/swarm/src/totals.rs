//! Totals of swarms.

/// Sums over all torrents of a tracker, or of one of its address families.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SwarmTotals {
    /// Torrents that have peers.
    pub torrents: usize,
    /// Peers of all torrents.
    pub peers: usize,
    /// Peers that have nothing left to download.
    pub seeders: usize,
    /// Downloads that were announced as completed since the start.
    pub downloads: u64,
}
