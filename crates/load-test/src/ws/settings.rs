//! What a run is made from, valid by type.

use std::num::NonZero;

use aquatic_service::config::{Checks, Diagnostic};
use aquatic_ws_protocol::SessionDescription;

use super::config::{Config, DescriptionBytes, RequestsConfig};
use crate::counters::Kind;
use crate::mix::{self, Mix};
use crate::run_settings::{Carriers, RunSettings};
use crate::stream::TransportSettings;

/// A valid [`Config`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) run: RunSettings,
    pub(crate) transport: TransportSettings,
    pub(crate) requests: RequestsSettings,
}

/// What is requested.
#[derive(Debug, Clone)]
pub(crate) struct RequestsSettings {
    pub(crate) kinds: Mix<Kind, 2>,
    pub(crate) scrape_torrents: usize,
    pub(crate) offers: usize,
    pub(crate) answers: bool,
    pub(crate) offer: SessionDescription<'static>,
    pub(crate) answer: SessionDescription<'static>,
    /// None keeps connections open.
    pub(crate) announces_per_connection: Option<NonZero<u32>>,
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with it.
    pub fn new(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut checks = Checks::new();
        let transport = &config.transport;
        let connections = transport.connections.as_usize() + transport.idle_connections.as_usize();
        let run = RunSettings::new(config, Carriers::Connections(connections), &mut checks);
        let settings = Self {
            transport: TransportSettings::new(transport, &run, &mut checks),
            requests: requests(&config.requests, &mut checks),
            run,
        };
        checks.finish(settings)
    }
}

fn requests(requests: &RequestsConfig, checks: &mut Checks) -> RequestsSettings {
    let weights = [
        (Kind::Announce, requests.announce_weight),
        (Kind::Scrape, requests.scrape_weight),
    ];
    let kinds = mix::checked("requests.announce_weight", weights, checks);
    RequestsSettings {
        kinds,
        scrape_torrents: requests.scrape_torrents.as_usize(),
        offers: requests.offers.as_usize(),
        answers: requests.answers,
        offer: description("offer", requests.description_bytes),
        answer: description("answer", requests.description_bytes),
        announces_per_connection: requests.announces_per_connection.non_zero_u32(),
    }
}

/// A session description with lines like those of a browser, as many as fit.
/// It is made once, and stays for as long as the process.
fn description(name: &str, bytes: DescriptionBytes) -> SessionDescription<'static> {
    let bytes = bytes.as_usize();
    let mut json = format!("{{\"type\":\"{name}\",\"sdp\":\"v=0\\r\\n");
    // Carriage return and line feed are two bytes each in JSON.
    let line = "a=candidate:1 1 udp 2113937151 192.0.2.1 54400 typ host\\r\\n";
    while json.len() + line.len() + END.len() <= bytes {
        json.push_str(line);
    }
    while json.len() + END.len() < bytes {
        json.push('x');
    }
    json.push_str(END);
    SessionDescription::new(json.leak()).expect("an object of JSON")
}

const END: &str = "\"}";

#[cfg(test)]
mod tests {
    use aquatic_service::config::numbers::Count;

    use super::*;

    #[test]
    fn the_default_is_valid_and_faults_are_named() {
        let faults = |change: fn(&mut Config)| crate::config::faults(Settings::new, change);
        assert!(faults(|_| ()).is_empty());
        let found = faults(|config| {
            config.transport.idle_connections = Count::of::<1_000_000>();
            config.requests.announce_weight = 0;
            config.requests.scrape_weight = 0;
        });
        assert_eq!(
            found,
            [
                // There are fewer peers than connections.
                "population.peers",
                "requests.announce_weight",
            ]
        );
    }

    #[test]
    fn descriptions_are_as_long_as_asked_for() {
        for bytes in [0_u64, 700, u64::MAX].map(DescriptionBytes::nearest) {
            let json = description("answer", bytes).json();
            assert_eq!(json.len(), bytes.as_usize());
            let value: serde_json::Value = serde_json::from_str(json).unwrap();
            assert_eq!(value["type"], "answer");
        }
    }
}
