//! The validated settings of a run.

use std::num::NonZero;

use aquatic_service::config::{Checks, Diagnostic};

use super::config::{Config, RequestsConfig};
use super::style::{self, Style};
use crate::counters::Kind;
use crate::mix::{self, Mix};
use crate::run_settings::{Carriers, RunSettings};
use crate::stream::TransportSettings;

/// A validated [`Config`].
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) run: RunSettings,
    pub(crate) transport: TransportSettings,
    pub(crate) requests: RequestsSettings,
}

/// Settings of requests.
#[derive(Debug, Clone)]
pub(crate) struct RequestsSettings {
    pub(crate) keep_alive: bool,
    pub(crate) kinds: Mix<Kind, 2>,
    pub(crate) scrape_torrents: usize,
    /// `None` for the tracker's default.
    pub(crate) peers_wanted: Option<NonZero<u32>>,
    /// At least one.
    pub(crate) styles: &'static [Style],
}

impl Settings {
    /// Validates a configuration.
    ///
    /// # Errors
    ///
    /// All errors in it.
    pub fn new(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut checks = Checks::new();
        let run = RunSettings::new(config, Carriers::Sources, &mut checks);
        let settings = Self {
            transport: TransportSettings::new(&config.transport, &run, &mut checks),
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
    RequestsSettings {
        keep_alive: requests.keep_alive,
        kinds: mix::checked("requests.announce_weight", weights, checks),
        scrape_torrents: requests.scrape_torrents.as_usize(),
        peers_wanted: requests.peers_wanted.non_zero_u32(),
        styles: style::styles(requests.client_style),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_faults_are_named() {
        let faults = |change: fn(&mut Config)| crate::config::faults(Settings::new, change);
        assert!(faults(|_| ()).is_empty());
        let found = faults(|config| {
            config.requests.announce_weight = 0;
            config.requests.scrape_weight = 0;
        });
        assert_eq!(found, ["requests.announce_weight"]);
    }
}
