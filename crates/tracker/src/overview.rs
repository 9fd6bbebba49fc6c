//! What the status page shows of a tracker.

use aquatic_service::metrics::{Plot, RESIDENT_MEMORY};

use crate::cluster::LAG;
use crate::requests::{REJECTED, REQUESTS};
use crate::totals::{PEERS, SEEDERS, TORRENTS};

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
