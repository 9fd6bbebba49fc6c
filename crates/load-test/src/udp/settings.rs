//! What a run is made from, valid by type.

use std::num::NonZero;

use aquatic_datagrams::BATCH;
use aquatic_service::config::{Checks, Diagnostic};

use super::config::{Config, RequestsConfig, TransportConfig};
use super::window::WINDOW_CAPACITY;
use crate::counters::Kind;
use crate::mix::{self, Mix};
use crate::run_settings::{Carriers, RunSettings};

/// A valid [`Config`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) run: RunSettings,
    pub(crate) transport: TransportSettings,
    pub(crate) requests: RequestsSettings,
}

/// How datagrams are sent.
#[derive(Debug, Clone)]
pub(crate) struct TransportSettings {
    pub(crate) outstanding_requests: usize,
    pub(crate) batch_size: usize,
}

/// What is requested.
#[derive(Debug, Clone)]
pub(crate) struct RequestsSettings {
    pub(crate) kinds: Mix<Kind, 3>,
    pub(crate) scrape_torrents: usize,
    /// None leaves it to the tracker.
    pub(crate) peers_wanted: Option<NonZero<u32>>,
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn new(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut checks = Checks::new();
        let settings = Self {
            run: RunSettings::new(config, Carriers::Sources, &mut checks),
            transport: transport(&config.transport, &mut checks),
            requests: requests(&config.requests, &mut checks),
        };
        checks.finish(settings)
    }
}

fn transport(transport: &TransportConfig, checks: &mut Checks) -> TransportSettings {
    let outstanding_requests = checks.within(
        "transport.outstanding_requests",
        transport.outstanding_requests,
        1..=WINDOW_CAPACITY,
    );
    let batch_size = checks.within("transport.batch_size", transport.batch_size, 1..=BATCH);
    TransportSettings {
        outstanding_requests,
        batch_size: batch_size.min(outstanding_requests),
    }
}

fn requests(requests: &RequestsConfig, checks: &mut Checks) -> RequestsSettings {
    let weights = [
        (Kind::Connect, requests.connect_weight),
        (Kind::Announce, requests.announce_weight),
        (Kind::Scrape, requests.scrape_weight),
    ];
    RequestsSettings {
        kinds: mix::checked("requests.announce_weight", weights, checks),
        scrape_torrents: checks.within(
            "requests.scrape_torrents",
            requests.scrape_torrents,
            1..=MAX_SCRAPE_TORRENTS,
        ),
        peers_wanted: NonZero::new(requests.peers_wanted),
    }
}

/// Info hashes in a scrape request at most (BEP 15: "up to about 74 torrents
/// can be scraped at once").
pub(crate) const MAX_SCRAPE_TORRENTS: usize = 74;

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(change: impl FnOnce(&mut Config)) -> Vec<String> {
        crate::config::faults(Settings::new, change)
    }

    #[test]
    fn the_default_is_valid() {
        assert!(faults(|_| ()).is_empty());
    }

    #[test]
    fn two_million_peers_need_thirty_one_sources() {
        let with_sources = |sources: &str| {
            faults(|config| {
                config.population.peers = 2_000_000;
                config.network.source_addresses = vec![sources.to_string()];
            })
        };
        assert_eq!(with_sources("127.0.0.1-127.0.0.30"), ["population.peers"]);
        assert!(with_sources("127.0.0.1-127.0.0.31").is_empty());
    }

    #[test]
    fn every_fault_is_named() {
        let found = faults(|config| {
            config.server_address = "127.0.0.1".to_string();
            config.workers = 0;
            config.duration_seconds = 0;
            config.transport.batch_size = BATCH + 1;
            config.transport.outstanding_requests = WINDOW_CAPACITY + 1;
            config.network.timeout_milliseconds = 0;
            config.population.torrents = 0;
            config.population.seeder_fraction = f64::NAN;
            config.population.zipf_exponent = 0.0;
            config.requests.connect_weight = 0;
            config.requests.announce_weight = 0;
            config.requests.scrape_weight = 0;
            config.events.none = 0;
            config.requests.scrape_torrents = 75;
        });
        assert_eq!(
            found,
            [
                "server_address",
                "workers",
                "duration_seconds",
                "network.timeout_milliseconds",
                "population.torrents",
                "population.seeder_fraction",
                "population.zipf_exponent",
                "events.none",
                "transport.outstanding_requests",
                "transport.batch_size",
                "requests.announce_weight",
                "requests.scrape_torrents",
            ]
        );
    }

    #[test]
    fn port_zero_is_refused() {
        assert_eq!(
            faults(|config| config.server_address = "127.0.0.1:0".to_string()),
            ["server_address"]
        );
    }
}
