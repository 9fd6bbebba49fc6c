//! The settings of `aquatic-ws`: its configuration, and what follows from it.

use std::sync::Arc;

use aquatic_service::config::{
    self, Checks, Diagnostic, OldKey, ProcessSettings, check_unlisted_times,
};
use aquatic_service::lists::ListsConfig;
use aquatic_service::sockets::Listening;
use aquatic_service::tls;
use aquatic_tracker::cluster::check_config;
use aquatic_tracker::keys::Keys;
use aquatic_tracker::{FrontPage, FrontPageParts};
use aquatic_ws_protocol::SizeLimits;

use crate::config::{Config, WsKeys};
use crate::old_keys::OLD_KEYS;

/// Name of the daemon: its binary, its log identifier, its snapshot file.
pub const NAME: &str = "aquatic-ws";

/// What the page for people says before the URL.
const ABOUT: &str = "A WebTorrent tracker: it lets browsers share torrents. Add this URL to the trackers of a \
     torrent:";

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
    /// Maximum sizes of frames and messages; that of frames is not larger.
    pub size_limits: SizeLimits,
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
        &["protocol.separate_families"],
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
        // After the first half of the time, a ping is sent.
        let idle_timeout = config.cleaning.max_connection_idle.duration() / 2;
        let mut connections = network.settings(idle_timeout, &config.rates, &mut checks);
        connections.limits.max_unsent_bytes = Some(network.own.max_unsent_bytes.non_zero());
        let grace = config.cleaning.close_after_tls_update_grace_period;
        connections.limits.certificate_grace = grace.duration();
        let tls = network.tls_files(&mut checks);
        let size_limits = size_limits(&network.own, &mut checks);
        check_unlisted_times(
            config.protocol.peer_announce_interval,
            config.cleaning.max_peer_age,
            &mut checks,
        );
        check_cluster(config, &mut checks);
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
        config
            .accounting
            .check(&config.keys, &config.cluster, &mut checks);
        process.check(&mut checks);
        config.scrape_exports.check(&mut checks);
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
            size_limits,
            keys: None,
        })
    }
}

/// The sockets that a configuration asks for.
pub fn listening(config: &Config, checks: &mut Checks) -> Listening {
    let network = &config.network;
    network.listening(config.socket_workers, &config.metrics, checks)
}

fn check_cluster(config: &Config, checks: &mut Checks) {
    check_config(&config.cluster, checks);
    if config.cluster.is_enabled() && config.protocol.separate_families {
        checks.fail(
            "protocol.separate_families",
            "it cannot be combined with cluster.url: nodes of a cluster do not tell each other \
             how their peers are connected",
        );
    }
}

fn size_limits(keys: &WsKeys, checks: &mut Checks) -> SizeLimits {
    let message = keys.websocket_max_message_size;
    let frame = keys.websocket_max_frame_size;
    if frame < message {
        checks.advise(
            "network.websocket_max_frame_size",
            format!(
                "browsers send each message in one frame, so messages of browsers are limited to \
                 {frame} bytes, whatever the value of websocket_max_message_size"
            ),
        );
    }
    SizeLimits {
        message: message.as_usize(),
        frame: frame.min(message).as_usize(),
    }
}
