//! What a run is made from, valid by type.

use std::num::NonZero;
use std::time::Duration;

use aquatic_bittorrent::AnnounceEvent;
use aquatic_service::config::{Checks, Invalid};

use super::config::{Config, NetworkConfig, RequestsConfig};
use super::datagrams::BATCH_CAPACITY;
use super::window::WINDOW_CAPACITY;
use crate::counters::Kind;
use crate::mix::{self, Mix};
use crate::run_settings::{self, RunKeys, RunSettings};

/// A valid [`Config`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) run: RunSettings,
    pub(crate) pace: PaceSettings,
    pub(crate) requests: RequestsSettings,
}

/// How fast requests are sent.
#[derive(Debug, Clone)]
pub(crate) struct PaceSettings {
    pub(crate) requests_per_second: Option<NonZero<u32>>,
    pub(crate) outstanding_requests: usize,
    pub(crate) batch_size: usize,
    pub(crate) spin: Duration,
}

/// What is requested.
#[derive(Debug, Clone)]
pub(crate) struct RequestsSettings {
    pub(crate) kinds: Mix<Kind, 3>,
    pub(crate) events: Mix<AnnounceEvent, 4>,
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
    pub fn new(config: &Config) -> Result<Self, Vec<Invalid>> {
        let mut checks = Checks::new();
        let keys = RunKeys {
            server_address: &config.server_address,
            server_pid: config.server_pid,
            workers: config.workers,
            duration_seconds: config.duration_seconds,
            warm_up_seconds: config.warm_up_seconds,
            fill: config.fill,
            progress: config.progress,
            source_addresses: &config.network.source_addresses,
            timeout_milliseconds: config.network.timeout_milliseconds,
            population: &config.population,
        };
        let settings = Self {
            run: RunSettings::new(&keys, &mut checks),
            pace: pace(&config.network, &mut checks),
            requests: requests(&config.requests, &mut checks),
        };
        checks.finish(settings)
    }
}

fn pace(network: &NetworkConfig, checks: &mut Checks) -> PaceSettings {
    let outstanding_requests = checks.within(
        "network.outstanding_requests",
        network.outstanding_requests,
        1..=WINDOW_CAPACITY,
    );
    let batch_size = checks.within("network.batch_size", network.batch_size, 1..=BATCH_CAPACITY);
    PaceSettings {
        requests_per_second: NonZero::new(network.requests_per_second),
        outstanding_requests,
        batch_size: batch_size.min(outstanding_requests),
        spin: run_settings::spin(network.spin_microseconds, checks),
    }
}

fn requests(requests: &RequestsConfig, checks: &mut Checks) -> RequestsSettings {
    let weights = [
        (Kind::Connect, requests.connect_weight),
        (Kind::Announce, requests.announce_weight),
        (Kind::Scrape, requests.scrape_weight),
    ];
    let kinds = mix::checked("requests.announce_weight", weights, checks);

    let weights = [
        (AnnounceEvent::None, requests.event_none_weight),
        (AnnounceEvent::Started, requests.event_started_weight),
        (AnnounceEvent::Completed, requests.event_completed_weight),
        (AnnounceEvent::Stopped, requests.event_stopped_weight),
    ];
    let events = mix::checked("requests.event_none_weight", weights, checks);

    RequestsSettings {
        kinds,
        events,
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

    /// The keys that are at fault after a change to the default configuration.
    fn faults(change: impl FnOnce(&mut Config)) -> Vec<String> {
        let mut config = Config::default();
        change(&mut config);
        match Settings::new(&config) {
            Ok(_) => Vec::new(),
            Err(invalid) => invalid.into_iter().map(|invalid| invalid.key).collect(),
        }
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
            config.network.batch_size = BATCH_CAPACITY + 1;
            config.network.outstanding_requests = WINDOW_CAPACITY + 1;
            config.network.timeout_milliseconds = 0;
            config.population.torrents = 0;
            config.population.seeder_fraction = f64::NAN;
            config.population.zipf_exponent = 0.0;
            config.requests.connect_weight = 0;
            config.requests.announce_weight = 0;
            config.requests.scrape_weight = 0;
            config.requests.event_none_weight = 0;
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
                "network.outstanding_requests",
                "network.batch_size",
                "requests.announce_weight",
                "requests.event_none_weight",
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
