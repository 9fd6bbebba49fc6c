//! What the aquatic daemons have in common as trackers, independent of the protocol.
//!
//! Plain structs and functions, which each daemon combines:
//!
//! * [`State`]: what its workers share, and the checks that all daemons make.
//! * [`RejectReason`]: why a request is not served, in metrics and in words.
//! * [`RequestKind`], [`Outcome`], [`RequestCounters`]: kinds, outcomes and counts of
//!   requests.
//! * [`keys`]: keys of clients. [`accounting`]: their announces, in a file or a stream.
//! * [`Housekeeping`]: removes expired peers and forbidden torrents, in small steps.
//! * [`ScrapeExport`]: a file with the counts of all torrents.
//! * [`snapshot`]: what is kept over a restart. [`Restoring`]: while it is restored.
//! * [`cluster`]: the swarms of several daemons as one. [`swarm_limits()`]: their limits.
//! * [`add_swarm_metrics`], [`Clients`]: metrics of swarms and of client software.
//! * [`PLOTS`], [`OverviewParts`]: what the status page shows. [`Endpoint`]: announce URLs.
//!   [`LargestTorrents`]: the torrents with the most peers.
//! * [`FrontPage`]: the page for people of trackers over HTTP and WebSocket.
//! * [`status()`], [`degraded()`]: the line of `systemctl status`, and what does not work.

#![forbid(unsafe_code)]

pub mod accounting;
mod clients;
pub mod cluster;
mod endpoint;
mod front_page;
mod housekeeping;
pub mod keys;
mod largest;
mod limits;
mod overview;
mod reject;
mod requests;
mod restoring;
mod scrape_export;
pub mod snapshot;
mod state;
mod status;
mod totals;

pub use clients::{CLIENT_METRICS, CLIENT_METRICS_WITH_PEERS, ClientCounts, Clients};
pub use endpoint::Endpoint;
pub use front_page::{FrontPage, FrontPageParts, RecentTotals, RequestedAt};
pub use housekeeping::{HOUSEKEEPING_METRICS, Housekeeping};
pub use largest::{LargestTorrents, largest_torrents};
pub use limits::swarm_limits;
pub use overview::{OverviewParts, PLOTS};
pub use reject::{RejectReason, reject_with_page};
pub use requests::{
    FAMILIES, Outcome, REQUEST_METRICS, RequestCounters, RequestKind, RequestMetrics,
};
pub use restoring::Restoring;
pub use scrape_export::{SCRAPE_EXPORT_METRICS, ScrapeExport, export_torrents};
pub use state::{State, random};
pub use status::{degraded, status};
pub use totals::{SWARM_METRICS, add_swarm_metrics};
