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

/// How datagrams are sent. Each source address has a socket of its own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct TransportConfig {
    /// Requests that each worker has under way at most (1 to 65536).
    pub outstanding_requests: usize,
    /// Requests sent from one source address before turning to the next (1 to
    /// 64). Larger batches cost this program less.
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

/// What is requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Share of connect requests, relative to the other two weights.
    pub connect_weight: u32,
    /// Share of announce requests.
    pub announce_weight: u32,
    /// Share of scrape requests.
    pub scrape_weight: u32,
    /// Info hashes in a scrape request (1 to 74).
    pub scrape_torrents: usize,
    /// Peers to ask for in an announce request. 0 leaves it to the tracker.
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
