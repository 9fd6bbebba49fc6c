//! Requests over UDP.

use aquatic_load_test::numbers::{Count, Milliseconds, ZeroOr};
use aquatic_load_test::udp::{Config, NetworkConfig, PopulationConfig, RequestsConfig};

/// Shares of connect, announce and scrape requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares(pub(crate) u32, pub(crate) u32, pub(crate) u32);

pub(crate) const MIXED: Shares = Shares(1, 1, 0);
pub(crate) const MIXED_NAME: &str = "50 % connect, 50 % announce";
pub(crate) const ANNOUNCES: Shares = Shares(0, 1, 0);
pub(crate) const ANNOUNCES_NAME: &str = "announce only";

/// The load of all measurements, which change parts of it.
pub(crate) fn load_config(torrents: u32, peers: u32, shares: Shares) -> Config {
    Config {
        network: NetworkConfig {
            source_addresses: vec!["127.0.0.1-127.0.0.32".to_owned()],
            timeout_milliseconds: Milliseconds::of::<1_000>(),
            ..NetworkConfig::default()
        },
        population: PopulationConfig {
            torrents: Count::nearest(torrents),
            peers: Count::nearest(peers),
            ..PopulationConfig::default()
        },
        requests: RequestsConfig {
            connect_weight: shares.0,
            announce_weight: shares.1,
            scrape_weight: shares.2,
            peers_wanted: ZeroOr::of::<30>(),
            ..RequestsConfig::default()
        },
        ..Config::default()
    }
}
