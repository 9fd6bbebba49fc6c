//! Figures about swarms.

use aquatic_bittorrent::SwarmTotals;

use crate::metrics::Figures;

/// Adds what each swarm of a tracker holds, by its name (`ipv4`, `ipv6`, or
/// `all` where the families are together), and how many torrents are kept
/// without peers.
pub fn add_swarm_figures(
    swarms: &[(&'static str, SwarmTotals)],
    retired: usize,
    figures: &mut Figures,
) {
    for (family, totals) in swarms {
        let labels = [("family", *family)];
        figures.gauge(
            "torrents",
            "Torrents that have peers",
            &labels,
            totals.torrents as u64,
        );
        figures.gauge(
            "peers",
            "Peers of all torrents",
            &labels,
            totals.peers as u64,
        );
        figures.gauge(
            "seeders",
            "Peers that have nothing left to download",
            &labels,
            totals.seeders as u64,
        );
        figures.gauge(
            "leechers",
            "Peers that are still downloading",
            &labels,
            (totals.peers - totals.seeders) as u64,
        );
        figures.counter(
            "completed_total",
            "Downloads that were announced as completed",
            &labels,
            totals.downloads,
        );
    }
    figures.gauge(
        "retired_torrents",
        "Torrents without peers that are kept for their download counts",
        &[],
        retired as u64,
    );
}
