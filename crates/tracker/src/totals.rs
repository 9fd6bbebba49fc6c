//! Metrics about swarms.

use aquatic_service::metrics::Metrics;
use aquatic_swarm::Swarms;

/// Adds the numbers of torrents and peers of each swarm of a tracker, by its name (`ipv4`,
/// `ipv6`, or `all` if the families share a swarm), and the number of torrents that are
/// kept without peers.
pub fn add_swarm_metrics(swarms: &impl Swarms, metrics: &mut Metrics) {
    for (family, totals) in swarms.totals() {
        let labels = [("family", family)];
        metrics.gauge(
            "torrents",
            "Torrents with peers",
            &labels,
            totals.torrents as u64,
        );
        metrics.gauge(
            "peers",
            "Peers in all torrents",
            &labels,
            totals.peers as u64,
        );
        metrics.gauge(
            "seeders",
            "Peers with nothing left to download",
            &labels,
            totals.seeders as u64,
        );
        metrics.gauge(
            "leechers",
            "Peers that are still downloading",
            &labels,
            (totals.peers - totals.seeders) as u64,
        );
        metrics.counter(
            "completed_total",
            "Downloads that were announced as completed",
            &labels,
            totals.downloads,
        );
    }
    metrics.gauge(
        "retired_torrents",
        "Torrents without peers whose download counts are kept",
        &[],
        swarms.usage().retired() as u64,
    );
}
