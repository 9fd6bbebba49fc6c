//! What the user wrote of a population, and what it is made from.

use aquatic_service::config::Checks;
use aquatic_service::config::numbers::Count;
use serde::{Deserialize, Serialize};

use super::PEERS_PER_SOURCE;

/// Simulated torrents and peers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct PopulationConfig {
    /// Number of torrents.
    pub torrents: Count<1, { u32::MAX as u64 }>,
    /// Number of peers. Over UDP and HTTP, peers are distinguished by source
    /// address and announced port, so there can be 65535 per source address.
    /// Over WebSocket, they are distinguished by connection and torrent.
    pub peers: Count<1, { u32::MAX as u64 }>,
    /// Distribution of peers over torrents: "uniform" gives every torrent the
    /// same number of peers, "zipf" gives a few torrents most of the peers, as
    /// in real swarms.
    pub popularity: Popularity,
    /// Exponent of the Zipf distribution (above 0, at most 4): the share of
    /// peers of the torrent of rank n is proportional to 1 / n^exponent.
    pub zipf_exponent: f64,
    /// Fraction of peers that are seeders (0 to 1).
    pub seeder_fraction: f64,
    /// Seed of the random number generator, which determines info hashes, peer
    /// ids and all random choices. Runs with the same seed announce the same
    /// peers.
    pub seed: u64,
}

impl Default for PopulationConfig {
    fn default() -> Self {
        Self {
            torrents: Count::of::<10_000>(),
            peers: Count::of::<100_000>(),
            popularity: Popularity::Uniform,
            zipf_exponent: 1.0,
            seeder_fraction: 0.5,
            seed: 0,
        }
    }
}

/// Distribution of peers over torrents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Popularity {
    /// Every torrent has the same number of peers.
    Uniform,
    /// A few torrents have most of the peers.
    Zipf,
}

/// The validated settings of a population.
#[derive(Debug, Clone)]
pub(crate) struct PopulationSettings {
    pub(crate) torrents: u32,
    pub(crate) peers: u32,
    /// Number of carriers over which peers are distributed.
    pub(crate) carriers: u32,
    pub(crate) popularity: Popularity,
    pub(crate) zipf_exponent: f64,
    pub(crate) seeder_fraction: f64,
    pub(crate) seed: u64,
}

impl PopulationSettings {
    /// Checks the section `population` of a configuration whose peers are identified by
    /// source address and port.
    pub(crate) fn of_sources(
        config: &PopulationConfig,
        sources: usize,
        checks: &mut Checks,
    ) -> Self {
        let this = Self::new(config, sources, "source addresses", checks);
        let (peers, sources) = (this.peers, this.carriers);
        if u64::from(peers) > u64::from(sources) * u64::from(PEERS_PER_SOURCE) {
            let needed = peers.div_ceil(PEERS_PER_SOURCE);
            checks.fail(
                "population.peers",
                format!(
                    "{peers} peers need {needed} source addresses, \
                     but network.source_addresses has {sources}"
                ),
            );
        }
        this
    }

    /// The same for peers that are identified by their connections.
    pub(crate) fn of_connections(
        config: &PopulationConfig,
        connections: usize,
        checks: &mut Checks,
    ) -> Self {
        Self::new(config, connections, "connections", checks)
    }

    fn new(config: &PopulationConfig, carriers: usize, name: &str, checks: &mut Checks) -> Self {
        let peers = config.peers.as_u32();
        // The number of carriers is bounded far below `u32::MAX`.
        let carriers = carriers.max(1) as u32;
        if peers < carriers {
            checks.fail(
                "population.peers",
                format!("{peers} peers are too few for {carriers} {name}"),
            );
        }
        if !(0.0..=1.0).contains(&config.seeder_fraction) {
            checks.fail(
                "population.seeder_fraction",
                format!("{} is not from 0 to 1", config.seeder_fraction),
            );
        }
        if !(config.zipf_exponent > 0.0 && config.zipf_exponent <= MAX_ZIPF_EXPONENT) {
            let exponent = config.zipf_exponent;
            checks.fail(
                "population.zipf_exponent",
                format!("{exponent} is not above 0 and at most {MAX_ZIPF_EXPONENT}"),
            );
        }

        Self {
            torrents: config.torrents.as_u32(),
            peers,
            carriers,
            popularity: config.popularity,
            zipf_exponent: config.zipf_exponent,
            seeder_fraction: config.seeder_fraction,
            seed: config.seed,
        }
    }
}

/// Above this, nearly all peers are in the first torrent.
const MAX_ZIPF_EXPONENT: f64 = 4.0;
