//! Metrics about swarms.

use aquatic_service::metrics::Metrics;
use aquatic_swarm::Swarms;

/// Adds what each swarm of a tracker holds, by its name (`ipv4`, `ipv6`, or
/// `all` where the families are together), and how many torrents are kept
/// without peers.
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
