//! What the status page shows of a tracker.

use aquatic_service::config::{MetricsConfig, PublicUrl};
use aquatic_service::metrics::{Certificate, Overview, Plot, RESIDENT_MEMORY};

use crate::cluster::{LAG, Link};
use crate::requests::{REJECTED, REQUESTS};
use crate::totals::{PEERS, SEEDERS, TORRENTS};
use crate::{Clients, Endpoint, LargestTorrents};

/// What is plotted of the last hour.
pub const PLOTS: &[Plot] = &[
    Plot {
        title: "Requests",
        metrics: &[REQUESTS],
        by: Some("kind"),
    },
    Plot {
        title: "Rejected requests",
        metrics: &[REJECTED],
        by: Some("reason"),
    },
    Plot {
        title: "Peers",
        metrics: &[PEERS, SEEDERS],
        by: None,
    },
    Plot {
        title: "Torrents",
        metrics: &[TORRENTS],
        by: None,
    },
    Plot {
        title: "Memory",
        metrics: &[RESIDENT_MEMORY],
        by: None,
    },
    Plot {
        title: "Cluster lag",
        metrics: &[LAG],
        by: None,
    },
];

/// What the status page is made of.
pub struct OverviewParts<'a> {
    /// Where the daemon listens.
    pub endpoint: &'a Endpoint,
    /// The URL that the configuration has for clients.
    pub public_url: &'a PublicUrl,
    /// Those of its connections.
    pub certificates: Vec<Certificate>,
    /// The link with others that have the same swarm.
    pub link: Option<&'a Link>,
    /// The counts of client software.
    pub clients: &'a Clients,
    /// The largest torrents.
    pub largest: &'a LargestTorrents,
    /// What is configured to be shown.
    pub config: &'a MetricsConfig,
}

impl OverviewParts<'_> {
    /// What the status page shows besides plots. `host` is a name or an
    /// address of this machine.
    pub fn overview(self, host: &str) -> Overview {
        let (urls, urls_note) = self.endpoint.urls(self.public_url, host);
        let linked = |link: &Link| {
            let text = link.text();
            text.unwrap_or_else(|| "no other daemon has the same swarm at present".to_owned())
        };
        Overview {
            urls,
            urls_note,
            certificates: self.certificates,
            links: self.link.map(linked),
            tables: [
                self.largest.table(self.config),
                self.clients.table(self.config),
            ]
            .into_iter()
            .flatten()
            .collect(),
        }
    }
}
