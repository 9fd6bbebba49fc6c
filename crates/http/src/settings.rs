//! The settings of `aquatic-http`: its configuration, and what follows from it.

use std::sync::Arc;

use aquatic_service::config::{
    self, Checks, Diagnostic, OldKey, ProcessSettings, check_announce_times, check_peer_addresses,
};
use aquatic_service::lists::ListsConfig;
use aquatic_service::sockets::Listening;
use aquatic_service::tls;
use aquatic_tracker::cluster::check_config;
use aquatic_tracker::keys::Keys;
use aquatic_tracker::{FrontPage, FrontPageParts};

use crate::config::Config;
use crate::old_keys::OLD_KEYS;

/// Name of the daemon: its binary, its log identifier, its snapshot file.
pub const NAME: &str = "aquatic-http";

/// What the page for people says before the URL.
const ABOUT: &str = "A BitTorrent tracker. Add this URL to the trackers of a torrent:";

/// The validated settings of the daemon.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration, whose values are consistent.
    pub config: Config,
    /// Settings of the `service` crate.
    pub process: ProcessSettings,
    /// Files for TLS; `None` without TLS.
    pub tls: Option<tls::Files>,
    /// Settings of connections.
    pub connections: aquatic_stream::Settings,
    /// The page for people.
    pub front_page: FrontPage,
    /// The keys of clients, if they need one: those of the file, once it was read.
    pub keys: Option<Arc<Keys>>,
}

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");
    const OLD_KEYS: &'static [&'static [OldKey]] = OLD_KEYS;
    const NEED_RESTART: &'static [&'static [&'static str]] = &[
        config::sections::NEED_RESTART,
        config::keys::NEED_RESTART,
        config::swarm_sections::NEED_RESTART,
        aquatic_stream::config::NEED_RESTART,
    ];

    fn invalid(&self) -> Vec<Diagnostic> {
        Settings::new(self).err().unwrap_or_default()
    }
}

impl Settings {
    /// Validates a configuration.
    ///
    /// # Errors
    ///
    /// All errors in its values.
    pub fn new(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut checks = Checks::new();
        let listening = listening(config, &mut checks);
        let network = &config.network;
        let connections = network.settings(
            config.cleaning.max_connection_idle.duration(),
            &config.rates,
            &mut checks,
        );
        let tls = network.tls_files(&mut checks);
        check_peer_addresses(
            &config.address_map,
            &network.own.believe_ip_from,
            network.own.reject_special_addresses,
            &mut checks,
        );
        check_announce_times(
            config.protocol.peer_announce_interval,
            config.cleaning.max_peer_age,
            &mut checks,
        );
        let mut process = ProcessSettings {
            log_level: config.log_level,
            privileges: config.privileges.clone(),
            lists: ListsConfig {
                access_list: config.access_list.clone(),
                bans: config.bans.clone(),
                clients: config.clients.clone(),
            },
            metrics_address: listening.metrics,
            snapshot: config.snapshot.settings(NAME),
            advice: Vec::new(),
        };
        check_config(&config.cluster.engine, &mut checks);
        config
            .accounting
            .check(&config.keys, &config.cluster.engine, &mut checks);
        config.scrape_exports.check(&mut checks);
        let full_scrapes = &config.protocol.full_scrape_from;
        if let Some(all) = full_scrapes.iter().find(|range| range.prefix_length() == 0) {
            checks.advise(
                "protocol.full_scrape_from",
                format!("with {all}, everyone can ask for the counts of all torrents"),
            );
        }
        // Last, as it takes the advice.
        process.check(&mut checks);
        let front_page = FrontPage::new(
            FrontPageParts {
                daemon: NAME,
                about: ABOUT,
                config: &config.page,
                public_url: &config.network.public_url,
            },
            &mut checks,
        );
        checks.finish(Self {
            config: config.clone(),
            process,
            tls,
            connections,
            front_page,
            keys: None,
        })
    }
}

/// The sockets that a configuration asks for.
pub fn listening(config: &Config, checks: &mut Checks) -> Listening {
    let network = &config.network;
    network.listening(config.socket_workers, &config.metrics, checks)
}
