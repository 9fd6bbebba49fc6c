//! Figures about a swarm.

use crate::metrics::Figures;

/// What the swarm of one address family holds.
#[derive(Debug, Clone, Copy)]
pub struct SwarmTotals {
    /// Torrents that have peers.
    pub torrents: usize,
    /// Peers of all torrents.
    pub peers: usize,
    /// Peers that have nothing left to download.
    pub seeders: usize,
    /// Downloads that were announced as completed.
    pub downloads: u64,
}

impl SwarmTotals {
    /// Adds the figures of `family`: `ipv4` or `ipv6`.
    pub fn add_figures(&self, family: &str, figures: &mut Figures) {
        let labels = [("family", family)];
        figures.gauge(
            "torrents",
            "Torrents that have peers",
            &labels,
            self.torrents as u64,
        );
        figures.gauge("peers", "Peers of all torrents", &labels, self.peers as u64);
        figures.gauge(
            "seeders",
            "Peers that have nothing left to download",
            &labels,
            self.seeders as u64,
        );
        figures.gauge(
            "leechers",
            "Peers that are still downloading",
            &labels,
            (self.peers - self.seeders) as u64,
        );
        figures.counter(
            "completed_total",
            "Downloads that were announced as completed",
            &labels,
            self.downloads,
        );
    }
}
