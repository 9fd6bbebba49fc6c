//! What the user of `aquatic-udp-load-test` wrote.
//!
//! The doc comments here are the documentation of the configuration file: its
//! default form is generated from them.

use aquatic_service::config;
use serde::{Deserialize, Serialize};

/// Configuration of `aquatic-udp-load-test`.
pub type Config = crate::config::Config<TransportConfig, RequestsConfig>;

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../udp-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
}

/// Transport of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TransportConfig {
    /// Maximum number of requests per worker that are waiting for a reply (1 to
    /// 65536).
    pub outstanding_requests: usize,
    /// Number of requests sent from one source address before switching to the
    /// next (1 to 64). Larger batches reduce the CPU time that this program
    /// uses.
    pub batch_size: usize,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            outstanding_requests: 128,
            batch_size: 16,
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
    /// Number of info hashes per scrape request (1 to 74).
    pub scrape_torrents: usize,
    /// Number of peers to request per announce. 0: leave it to the tracker.
    pub peers_wanted: u32,
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
            scrape_torrents: 5,
            peers_wanted: 30,
        }
    }
}
