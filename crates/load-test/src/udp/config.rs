//! What the user of `aquatic-udp-load-test` wrote.
//!
//! The doc comments here are the documentation of the configuration file: its
//! default form is generated from them.

use aquatic_datagrams::BATCH;
use aquatic_service::config;
use aquatic_service::config::numbers::{Count, ZeroOr};
use serde::{Deserialize, Serialize};

use super::window::WINDOW_CAPACITY;
use crate::config::PeersWanted;

/// Info hashes in a scrape request at most (BEP 15: "up to about 74 torrents
/// can be scraped at once").
pub(crate) const MAX_SCRAPE_TORRENTS: usize = 74;

/// Configuration of `aquatic-udp-load-test`.
pub type Config = crate::config::Config<TransportConfig, RequestsConfig>;

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../udp-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
    const NEED_RESTART: &'static [&'static [&'static str]] = &[];
}

/// Transport of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TransportConfig {
    /// Maximum number of requests per worker that are waiting for a reply.
    pub outstanding_requests: Count<1, { WINDOW_CAPACITY as u64 }>,
    /// Number of requests sent from one source address before switching to the
    /// next. Larger batches reduce the CPU time that this program uses.
    pub batch_size: Count<1, { BATCH as u64 }>,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            outstanding_requests: Count::of::<128>(),
            batch_size: Count::of::<16>(),
        }
    }
}

/// Kinds and contents of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Weight of connect requests, relative to the other two weights.
    pub connect_weight: u32,
    /// Weight of announce requests.
    pub announce_weight: u32,
    /// Weight of scrape requests.
    pub scrape_weight: u32,
    /// Number of info hashes per scrape request.
    pub scrape_torrents: Count<1, { MAX_SCRAPE_TORRENTS as u64 }>,
    /// Number of peers to request per announce. 0: leave it to the tracker.
    pub peers_wanted: PeersWanted,
}

impl crate::config::DefaultPort for RequestsConfig {
    const PORT: u16 = 3000;
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self {
            connect_weight: 50,
            announce_weight: 50,
            scrape_weight: 1,
            scrape_torrents: Count::of::<5>(),
            peers_wanted: ZeroOr::of::<30>(),
        }
    }
}
