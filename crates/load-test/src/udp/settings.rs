//! What a run is made from, valid by type.

use std::num::NonZero;

use aquatic_service::config::{Checks, Diagnostic};

use super::config::{Config, RequestsConfig, TransportConfig};
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
            transport: transport(&config.transport),
            requests: requests(&config.requests, &mut checks),
        };
        checks.finish(settings)
    }
}

fn transport(transport: &TransportConfig) -> TransportSettings {
    let outstanding_requests = transport.outstanding_requests.as_usize();
    TransportSettings {
        outstanding_requests,
        batch_size: transport.batch_size.as_usize().min(outstanding_requests),
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
        scrape_torrents: requests.scrape_torrents.as_usize(),
        peers_wanted: requests.peers_wanted.non_zero_u32(),
    }
}

#[cfg(test)]
mod tests {
    use aquatic_service::config::numbers::Count;
    use aquatic_service::config::parse;

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
                config.population.peers = Count::of::<2_000_000>();
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
            config.population.seeder_fraction = f64::NAN;
            config.population.zipf_exponent = 0.0;
            config.requests.connect_weight = 0;
            config.requests.announce_weight = 0;
            config.requests.scrape_weight = 0;
            config.events.none = 0;
        });
        assert_eq!(
            found,
            [
                "server_address",
                "population.seeder_fraction",
                "population.zipf_exponent",
                "events.none",
                "requests.announce_weight",
            ]
        );
    }

    #[test]
    fn numbers_have_the_range_of_their_type() {
        let text = "workers = 0\nduration_seconds = 0\nnetwork.timeout_milliseconds = 0\n\
                    transport.batch_size = 65\ntransport.outstanding_requests = 65537\n\
                    population.torrents = 0\nrequests.scrape_torrents = 75\n";
        let faults = parse::<Config>(text, "udp.toml".as_ref()).unwrap_err();
        assert_eq!(faults.list.len(), 7, "{faults}");
        let expected = "duration_seconds: 0 is out of range: it must be from 1 to 86400 seconds";
        assert!(faults.to_string().contains(expected), "{faults}");
    }

    #[test]
    fn port_zero_is_refused() {
        assert_eq!(
            faults(|config| config.server_address = "127.0.0.1:0".to_string()),
            ["server_address"]
        );
    }
}
