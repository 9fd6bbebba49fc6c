//! What the user of `aquatic-ws-load-test` wrote.
//!
//! The doc comments here are the documentation of the configuration file: its
//! default form is generated from them.

use aquatic_service::config;
use serde::{Deserialize, Serialize};

use crate::stream::TransportConfig;

/// Configuration of `aquatic-ws-load-test`.
pub type Config = crate::config::Config<TransportConfig, RequestsConfig>;

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../ws-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
}

/// What is requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Share of announces, relative to the share of scrapes.
    pub announce_weight: u32,
    /// Share of scrapes.
    pub scrape_weight: u32,
    /// Info hashes in a scrape (1 to 100).
    pub scrape_torrents: usize,
    /// Offers in an announce (0 to 100), for as many other peers of the
    /// torrent. Announces that fill have none.
    pub offers: usize,
    /// Answer the offers that come from other peers.
    pub answers: bool,
    /// Bytes of the session description in an offer or answer, as JSON (64 to
    /// 16384). Those of browsers have 500 to 2000.
    pub description_bytes: usize,
    /// Announces after which a connection is closed and another one opened. 0
    /// keeps connections open.
    pub announces_per_connection: u32,
}

impl crate::config::DefaultPort for RequestsConfig {
    const PORT: u16 = 3001;
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self {
            announce_weight: 100,
            scrape_weight: 1,
            scrape_torrents: 5,
            offers: 10,
            answers: true,
            description_bytes: 700,
            announces_per_connection: 0,
        }
    }
}
