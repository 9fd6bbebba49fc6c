//! The settings of `aquatic-ws`: its configuration, valid by type.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use aquatic_service::config::{
    AnnounceTimes, Checks, Diagnostic, ProcessSections, ProcessSettings,
};
use aquatic_service::sockets::{Listening, Transport};
use aquatic_service::tls;
use aquatic_stream::ReverseProxy;
use aquatic_stream::config::{Proxies, ProxyKeys, tls_files};
use aquatic_swarm::SwarmLimits;

use crate::config::Config;
use crate::tracker::Rules;

/// Name of the daemon: its binary, its log identifier, its snapshot file.
pub const NAME: &str = "aquatic-ws";

/// Everything that the daemon can be told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What the process edge acts on.
    pub process: ProcessSettings,
    /// Number of workers; `None` for one for each processor core.
    pub workers: Option<NonZeroUsize>,
    /// Addresses to serve: at least one, none twice.
    pub addresses: Vec<SocketAddr>,
    /// Connections that may wait on each socket.
    pub backlog: NonZeroUsize,
    /// Files for TLS; `None` for connections in the clear.
    pub tls: Option<tls::Files>,
    /// How long a connection may stay when the certificate was exchanged.
    pub certificate_grace: Duration,
    /// How connections are treated.
    pub connections: aquatic_stream::Settings,
    /// Who is believed to speak for others, and where they say for whom;
    /// `None` when clients speak for themselves.
    pub reverse_proxy: Option<ReverseProxy>,
    /// How bytes of connections are read.
    pub messages: Messages,
    /// How requests are answered.
    pub rules: Rules,
    /// Whether peers of IPv4 and of IPv6 are kept apart.
    pub are_families_apart: bool,
    /// Bounds on memory.
    pub limits: SwarmLimits,
    /// Time in which all torrents are gone through once.
    pub cleaning_interval: Duration,
    /// Whether to count announces by the software that the peer runs.
    pub count_peer_clients: bool,
    /// Whether to count announces by the first bytes of the peer id.
    pub count_peer_id_prefixes: bool,
}

/// How bytes of connections are read.
#[derive(Debug, Clone)]
pub struct Messages {
    /// Most bytes of a message.
    pub longest_message: usize,
    /// Most bytes of a frame, not more than of a message.
    pub longest_frame: usize,
    /// The origins that may connect; `None` for all.
    pub origins: Option<Vec<String>>,
}

impl Settings {
    /// Checks a configuration.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with its values.
    pub fn new(config: &Config) -> Result<Self, Vec<Diagnostic>> {
        let mut checks = Checks::new();
        let listening = listening(config, &mut checks);
        let process = ProcessSections {
            name: NAME,
            log_level: config.log_level,
            privileges: &config.privileges,
            access_list: &config.access_list,
            metrics_address: listening.metrics,
            snapshot: &config.snapshot,
        }
        .settings(&mut checks);
        let network = &config.network;
        let proxies = ProxyKeys {
            is_behind: network.runs_behind_reverse_proxy,
            header_name: &network.reverse_proxy_ip_header_name,
            header_format: network.reverse_proxy_ip_header_format,
            proxy_protocol: network.proxy_protocol,
            trusted: &network.trusted_proxies,
        }
        .check(&mut checks);
        let mut settings = Self {
            process,
            workers: listening.workers,
            addresses: listening.addresses,
            backlog: listening.transport.backlog(),
            tls: tls_files(
                network.enable_tls,
                &network.tls_certificate_path,
                &network.tls_private_key_path,
                &mut checks,
            ),
            certificate_grace: config
                .cleaning
                .close_after_tls_update_grace_period
                .duration(),
            connections: connections(config, &proxies),
            reverse_proxy: proxies.reverse,
            messages: messages(config, &mut checks),
            rules: rules(config, &mut checks),
            are_families_apart: config.protocol.separate_families,
            limits: swarm_limits(config),
            cleaning_interval: config.cleaning.torrent_cleaning_interval.duration(),
            count_peer_clients: config.metrics.peer_clients,
            count_peer_id_prefixes: config.metrics.peer_id_prefixes,
        };
        settings.process.advice = checks.take_advice();
        checks.finish(settings)
    }
}

/// What a configuration says about sockets.
pub fn listening(config: &Config, checks: &mut Checks) -> Listening {
    let backlog = config.network.tcp_backlog.non_zero();
    Listening::new(
        &config.network.address,
        config.socket_workers.non_zero(),
        Transport::Tcp { backlog },
        &config.metrics,
        checks,
    )
}

fn connections(config: &Config, proxies: &Proxies) -> aquatic_stream::Settings {
    let network = &config.network;
    aquatic_stream::Settings {
        event_loop: network.event_loop.into(),
        limits: aquatic_stream::ConnectionLimits {
            max_connections: network.max_connections.non_zero(),
            max_connections_per_ip: network.max_connections_per_ip.non_zero(),
            handshake_timeout: network.handshake_timeout.duration(),
            message_timeout: network.message_timeout.duration(),
            // The first half ends with a ping.
            idle_timeout: config.cleaning.max_connection_idle.duration() / 2,
            write_timeout: network.write_timeout.duration(),
            max_unsent_bytes: Some(network.max_unsent_bytes.non_zero()),
        },
        proxy_protocol: proxies.proxy_protocol.clone(),
        reverse_proxies: proxies.reverse_addresses(),
    }
}

fn messages(config: &Config, checks: &mut Checks) -> Messages {
    let network = &config.network;
    let longest_message = network.websocket_max_message_size;
    let longest_frame = network.websocket_max_frame_size;
    if longest_frame < longest_message {
        checks.advise(
            "network.websocket_max_frame_size",
            format!(
                "browsers send each message in one frame, so messages of browsers are limited to \
                 {longest_frame} bytes, whatever the value of websocket_max_message_size"
            ),
        );
    }
    let origins = network.allowed_origins.iter();
    let origins: Vec<String> = origins.map(|origin| origin.0.clone()).collect();
    Messages {
        longest_message: longest_message.as_usize(),
        longest_frame: longest_frame.min(longest_message).as_usize(),
        origins: (!origins.is_empty()).then_some(origins),
    }
}

fn rules(config: &Config, checks: &mut Checks) -> Rules {
    let times = AnnounceTimes::check_unlisted(
        config.protocol.peer_announce_interval,
        config.cleaning.max_peer_age,
        checks,
    );
    Rules {
        max_offers: config.protocol.max_offers.as_usize(),
        max_scrape_torrents: config.protocol.max_scrape_torrents.as_usize(),
        max_torrents_per_connection: config.limits.max_torrents_per_connection.as_usize(),
        announce_interval_seconds: times.interval.as_u32(),
        peer_lifetime_seconds: times.max_peer_age.as_u16(),
        offer_lifetime_seconds: config.cleaning.max_offer_age.as_u32(),
    }
}

fn swarm_limits(config: &Config) -> SwarmLimits {
    SwarmLimits::new(
        config.limits.max_torrents.non_zero(),
        config.limits.max_peers_per_torrent.non_zero(),
        config.limits.max_peers_per_ip.non_zero(),
    )
}
