//! What the user of `aquatic-http-load-test` wrote.
//!
//! The doc comments here are the documentation of the configuration file: its
//! default form is generated from them.

use aquatic_service::config;
use serde::{Deserialize, Serialize};

use crate::stream::TransportConfig;

/// Configuration of `aquatic-http-load-test`.
pub type Config = crate::config::Config<TransportConfig, RequestsConfig>;

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../http-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
}

/// What is requested.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Send many requests over a connection, one after the other. If not, each
    /// request opens a connection, and its latency includes that.
    pub keep_alive: bool,
    /// Share of announce requests, relative to the share of scrape requests.
    pub announce_weight: u32,
    /// Share of scrape requests.
    pub scrape_weight: u32,
    /// Info hashes in a scrape request (1 to 100).
    pub scrape_torrents: usize,
    /// Peers to ask for in an announce request. 0 leaves it to the tracker.
    pub peers_wanted: u32,
    /// The client that requests are written like: order of the parameters,
    /// percent-encoding, and headers.
    pub client_style: ClientStyle,
}

impl crate::config::DefaultPort for RequestsConfig {
    const PORT: u16 = 3000;
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self {
            keep_alive: true,
            announce_weight: 100,
            scrape_weight: 1,
            scrape_torrents: 5,
            peers_wanted: 30,
            client_style: ClientStyle::Libtorrent,
        }
    }
}

/// A client that requests are written like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ClientStyle {
    /// qBittorrent and Deluge: lower-case escapes.
    Libtorrent,
    /// Transmission: upper-case escapes, the headers of libcurl.
    Transmission,
    /// rTorrent: upper-case escapes of all but letters, digits and hyphens.
    Rtorrent,
    /// aria2: parameters in an order of its own, caching headers.
    Aria2,
    /// bittorrent-tracker of npm: the escapes of JavaScript, info hash last.
    Webtorrent,
    /// Each of these in turn.
    Mixed,
}
