//! What the user of `aquatic-ws-load-test` wrote.
//!
//! The doc comments here are the documentation of the configuration file: its
//! default form is generated from them.

use aquatic_service::config;
use aquatic_service::config::numbers::{Bytes, Count, ZeroOr};
use serde::{Deserialize, Serialize};

use crate::stream::TransportConfig;

/// Bytes of a session description: enough for the least one.
pub(crate) type DescriptionBytes = Bytes<64, 16_384>;

/// Configuration of `aquatic-ws-load-test`.
pub type Config = crate::config::Config<TransportConfig, RequestsConfig>;

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../../ws-default.toml");
    const OLD_KEYS: &'static [&'static [config::OldKey]] = &[];
    const NEED_RESTART: &'static [&'static [&'static str]] = &[];
}

/// Kinds and contents of requests.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct RequestsConfig {
    /// Weight of announces, relative to the weight of scrapes.
    pub announce_weight: u32,
    /// Weight of scrapes.
    pub scrape_weight: u32,
    /// Number of info hashes per scrape.
    pub scrape_torrents: Count<1, 100>,
    /// Number of offers per announce, each for a different peer of the torrent.
    /// Announces that fill the tracker before the measurement have none.
    pub offers: Count<0, 100>,
    /// Whether to answer offers from other peers.
    pub answers: bool,
    /// Size of the session description in an offer or answer, in bytes of JSON.
    /// Browsers send 500 to 2000 bytes.
    pub description_bytes: DescriptionBytes,
    /// Number of announces after which a connection is closed and a new one
    /// opened. 0: keep connections open.
    pub announces_per_connection: ZeroOr<Count<1, { u32::MAX as u64 }>>,
}

impl crate::config::DefaultPort for RequestsConfig {
    const PORT: u16 = 3001;
}

impl Default for RequestsConfig {
    fn default() -> Self {
        Self {
            announce_weight: 100,
            scrape_weight: 1,
            scrape_torrents: Count::of::<5>(),
            offers: Count::of::<10>(),
            answers: true,
            description_bytes: Bytes::of::<700>(),
            announces_per_connection: ZeroOr::ZERO,
        }
    }
}
