//! The configuration of `aquatic-http-load-test`.
//!
//! The doc comments here are the documentation of the configuration file, and its default
//! version is generated from them.

use aquatic_service::config;
use aquatic_service::config::numbers::{Count, ZeroOr};
use serde::{Deserialize, Serialize};

use crate::config::PeersWanted;
use crate::stream::TransportConfig;

/// Number of info hashes in a scrape request: with all bytes escaped they fit into 8 KiB, a
/// common limit of servers.
pub(crate) type ScrapeTorrents = Count<1, 100>;

/// Configuration of `aquatic-http-load-test`.
pub type Config = crate::config::Config<TransportConfig, RequestsConfig>;

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../http-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
    const NEED_RESTART: &'static [&'static [&'static str]] = &[];
}

/// Kinds and contents of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Whether to send many requests over each connection, one after the other.
    /// If false, each request opens a connection, and its latency includes
    /// that.
    pub keep_alive: bool,
    /// Weight of announce requests, relative to the weight of scrape requests.
    pub announce_weight: u32,
    /// Weight of scrape requests.
    pub scrape_weight: u32,
    /// Number of info hashes per scrape request.
    pub scrape_torrents: ScrapeTorrents,
    /// Number of peers to request per announce. 0: leave it to the tracker.
    pub peers_wanted: PeersWanted,
    /// Client software to imitate: order of parameters, percent-encoding, and
    /// headers.
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
            scrape_torrents: Count::of::<5>(),
            peers_wanted: ZeroOr::of::<30>(),
            client_style: ClientStyle::Libtorrent,
        }
    }
}

/// Client software to imitate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ClientStyle {
    /// qBittorrent and Deluge: lowercase percent-encoding.
    Libtorrent,
    /// Transmission: uppercase percent-encoding, headers of libcurl.
    Transmission,
    /// rTorrent: uppercase percent-encoding of everything but letters, digits
    /// and hyphens.
    Rtorrent,
    /// aria2: its own order of parameters, caching headers.
    Aria2,
    /// bittorrent-tracker (npm): JavaScript's percent-encoding, info hash last.
    Webtorrent,
    /// All of these in turn.
    Mixed,
}
