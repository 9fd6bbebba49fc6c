//! What a run is made from, valid by type.

use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use aquatic_bittorrent::AnnounceEvent;
use aquatic_service::config::{Checks, Invalid};

use super::config::{Config, NetworkConfig, RequestsConfig};
use super::style::{self, Style};
use super::tls::{self, TlsSettings};
use crate::counters::Kind;
use crate::mix::{self, Mix};
use crate::run_settings::{self, RunKeys, RunSettings};

/// A valid [`Config`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) run: RunSettings,
    pub(crate) connections: ConnectionSettings,
    /// None for plain connections.
    pub(crate) tls: Option<TlsSettings>,
    pub(crate) requests: RequestsSettings,
}

/// How many connections there are and what is sent over them when.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionSettings {
    /// At least one a source.
    pub(crate) active: usize,
    pub(crate) idle: usize,
    pub(crate) requests_per_second: Option<NonZero<u32>>,
    pub(crate) spin: Duration,
}

/// What is requested.
#[derive(Debug, Clone)]
pub(crate) struct RequestsSettings {
    pub(crate) kinds: Mix<Kind, 2>,
    pub(crate) events: Mix<AnnounceEvent, 4>,
    pub(crate) scrape_torrents: usize,
    /// None leaves it to the tracker.
    pub(crate) peers_wanted: Option<NonZero<u32>>,
    /// At least one.
    pub(crate) styles: &'static [Style],
    /// What stands in the header Host.
    pub(crate) host: Arc<str>,
    pub(crate) keep_alive: bool,
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
        let run = RunSettings::new(&keys, &mut checks);
        let connections = connections(&config.network, run.sources.len(), &mut checks);
        let tls = tls::settings(&config.tls, &mut checks);
        let host = match &tls {
            Some(tls) => format!("{}:{}", tls.server_name.to_str(), run.server.port()),
            None => run.server.to_string(),
        };
        let settings = Self {
            requests: requests(config, host.into(), &mut checks),
            run,
            connections,
            tls,
        };
        checks.finish(settings)
    }
}

fn connections(network: &NetworkConfig, sources: usize, checks: &mut Checks) -> ConnectionSettings {
    let active = checks.within(
        "network.connections",
        network.connections,
        1..=MAX_CONNECTIONS,
    );
    let idle = checks.within(
        "network.idle_connections",
        network.idle_connections,
        0..=MAX_CONNECTIONS,
    );
    // Otherwise some of the peers would never announce.
    if active < sources {
        checks.fail(
            "network.connections",
            format!("{active} connections are too few for {sources} source addresses"),
        );
    }
    ConnectionSettings {
        active,
        idle,
        requests_per_second: NonZero::new(network.requests_per_second),
        spin: run_settings::spin(network.spin_microseconds, checks),
    }
}

fn requests(config: &Config, host: Arc<str>, checks: &mut Checks) -> RequestsSettings {
    let requests: &RequestsConfig = &config.requests;
    let weights = [
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
        styles: style::styles(requests.client_style),
        host,
        keep_alive: config.network.keep_alive,
    }
}

/// Connections at most: each is a file descriptor.
const MAX_CONNECTIONS: usize = 1_000_000;

/// Info hashes in a scrape request at most, so that with all bytes escaped it
/// fits 8 KiB, which servers commonly allow.
const MAX_SCRAPE_TORRENTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::config::TlsConfig;

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
        assert!(faults(|config| config.tls.enable = true).is_empty());
    }

    #[test]
    fn every_source_needs_a_connection() {
        let found = faults(|config| config.network.connections = 31);
        assert_eq!(found, ["network.connections"]);
    }

    #[test]
    fn every_fault_is_named() {
        let found = faults(|config| {
            config.network.connections = 0;
            config.network.idle_connections = MAX_CONNECTIONS + 1;
            config.network.spin_microseconds = u32::MAX;
            config.network.source_addresses = vec!["127.0.0.1".to_owned()];
            config.population.peers = 100;
            config.tls = TlsConfig {
                enable: true,
                server_name: "not a name".to_owned(),
                ca_certificate_path: "/does/not/exist".to_owned(),
                ..TlsConfig::default()
            };
            config.requests.announce_weight = 0;
            config.requests.scrape_weight = 0;
            config.requests.scrape_torrents = 0;
        });
        assert_eq!(
            found,
            [
                "network.connections",
                "network.idle_connections",
                "network.spin_microseconds",
                "tls.server_name",
                "tls.ca_certificate_path",
                "requests.announce_weight",
                "requests.scrape_torrents",
            ]
        );
    }

    #[test]
    fn tls_is_not_looked_at_without() {
        assert!(faults(|config| config.tls.server_name = String::new()).is_empty());
    }
}
