//! Metrics about swarms.

use aquatic_service::metrics::{Metric, Metrics};
use aquatic_swarm::Swarms;

pub(crate) const TORRENTS: Metric =
    Metric::gauge("torrents", "Torrents with peers, by address family").labelled(FAMILY);
pub(crate) const PEERS: Metric =
    Metric::gauge("peers", "Peers in all torrents, by address family").labelled(FAMILY);
pub(crate) const SEEDERS: Metric = Metric::gauge(
    "seeders",
    "Peers with nothing left to download, by address family",
)
.labelled(FAMILY);
const LEECHERS: Metric = Metric::gauge(
    "leechers",
    "Peers that are still downloading, by address family",
)
.labelled(FAMILY);
const COMPLETED: Metric = Metric::counter(
    "completed_total",
    "Downloads that were announced as completed, by address family",
)
.labelled(FAMILY);
const RETIRED: Metric = Metric::gauge(
    "retired_torrents",
    "Torrents without peers whose download counts are kept",
);

const FAMILY: &[&str] = &["family"];

/// The metrics of swarms.
pub const SWARM_METRICS: &[Metric] = &[TORRENTS, PEERS, SEEDERS, LEECHERS, COMPLETED, RETIRED];

/// Adds the numbers of torrents and peers of each swarm of a tracker, by its name (`ipv4`,
/// `ipv6`, or `all` if the families share a swarm), and the number of torrents that are
/// kept without peers.
pub fn add_swarm_metrics(swarms: &impl Swarms, metrics: &mut Metrics) {
    for (family, totals) in swarms.totals() {
        metrics.add(&TORRENTS, &[family], totals.torrents);
        metrics.add(&PEERS, &[family], totals.peers);
        metrics.add(&SEEDERS, &[family], totals.seeders);
        metrics.add(&LEECHERS, &[family], totals.peers - totals.seeders);
        metrics.add(&COMPLETED, &[family], totals.downloads);
    }
    metrics.add(&RETIRED, &[], swarms.usage().retired());
}
