//! The settings of `aquatic-ws`: its configuration, valid by type.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use aquatic_service::config::{
    AnnounceTimes, Checks, Diagnostic, LONGEST_CLEANING_INTERVAL_SECONDS, ProcessSections,
    ProcessSettings,
};
use aquatic_service::sockets::{Listening, Transport};
use aquatic_service::tls;
use aquatic_stream::ReverseProxy;
use aquatic_stream::config::{Proxies, ProxyKeys, tls_files};
use aquatic_swarm::Limits;

use crate::config::Config;
use crate::limits;
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
    pub limits: Limits,
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
            listening: &listening,
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
            certificate_grace: checks.seconds(
                "cleaning.close_after_tls_update_grace_period",
                config.cleaning.close_after_tls_update_grace_period,
                limits::GRACE_SECONDS,
            ),
            connections: connections(config, &proxies, &mut checks),
            reverse_proxy: proxies.reverse,
            messages: messages(config, &mut checks),
            rules: rules(config, &mut checks),
            are_families_apart: config.protocol.separate_families,
            limits: swarm_limits(config, &mut checks),
            cleaning_interval: checks.seconds(
                "cleaning.torrent_cleaning_interval",
                config.cleaning.torrent_cleaning_interval,
                1..=LONGEST_CLEANING_INTERVAL_SECONDS,
            ),
            count_peer_clients: config.metrics.peer_clients,
            count_peer_id_prefixes: config.metrics.peer_id_prefixes,
        };
        settings.process.advice = checks.take_advice();
        checks.finish(settings)
    }
}

/// What a configuration says about sockets.
pub fn listening(config: &Config, checks: &mut Checks) -> Listening {
    let workers = checks.optional("socket_workers", config.socket_workers, limits::WORKERS);
    let backlog = checks.at_least_one(
        "network.tcp_backlog",
        config.network.tcp_backlog,
        limits::BACKLOG,
    );
    Listening::new(
        &config.network.address,
        workers,
        Transport::Tcp { backlog },
        &config.metrics,
        checks,
    )
}

fn connections(
    config: &Config,
    proxies: &Proxies,
    checks: &mut Checks,
) -> aquatic_stream::Settings {
    let network = &config.network;
    let mut timeout = |key, seconds| checks.seconds(key, seconds, limits::TIMEOUT_SECONDS);
    let handshake_timeout = timeout("network.handshake_timeout", network.handshake_timeout);
    let message_timeout = timeout("network.message_timeout", network.message_timeout);
    let write_timeout = timeout("network.write_timeout", network.write_timeout);
    let idle = checks.seconds(
        "cleaning.max_connection_idle",
        config.cleaning.max_connection_idle,
        limits::IDLE_SECONDS,
    );
    aquatic_stream::Settings {
        event_loop: network.event_loop.into(),
        limits: aquatic_stream::Limits {
            max_connections: checks.at_least_one(
                "network.max_connections",
                network.max_connections,
                limits::CONNECTIONS,
            ),
            max_connections_per_ip: checks.optional(
                "network.max_connections_per_ip",
                network.max_connections_per_ip,
                limits::CONNECTIONS,
            ),
            handshake_timeout,
            message_timeout,
            // The first half ends with a ping.
            idle_timeout: idle / 2,
            write_timeout,
            max_unsent_bytes: Some(checks.at_least_one(
                "network.max_unsent_bytes",
                network.max_unsent_bytes,
                limits::UNSENT_BYTES,
            )),
        },
        proxy_protocol: proxies.proxy_protocol.clone(),
        reverse_proxies: proxies.reverse_addresses(),
    }
}

fn messages(config: &Config, checks: &mut Checks) -> Messages {
    let network = &config.network;
    let longest_message = checks.within(
        "network.websocket_max_message_size",
        network.websocket_max_message_size,
        limits::MESSAGE_BYTES,
    );
    let longest_frame = checks.within(
        "network.websocket_max_frame_size",
        network.websocket_max_frame_size,
        limits::MESSAGE_BYTES,
    );
    if longest_frame < longest_message {
        checks.advise(
            "network.websocket_max_frame_size",
            format!(
                "browsers send a message in one frame, so none of more than {longest_frame} bytes \
                 is accepted of them, whatever websocket_max_message_size says"
            ),
        );
    }
    for origin in &network.allowed_origins {
        if let Err(message) = check_origin(origin) {
            checks.fail("network.allowed_origins", message);
        }
    }
    let origins: Vec<String> = network
        .allowed_origins
        .iter()
        .map(|origin| origin.to_ascii_lowercase())
        .collect();
    Messages {
        longest_message,
        longest_frame: longest_frame.min(longest_message),
        origins: (!origins.is_empty()).then_some(origins),
    }
}

/// RFC 6454, 6.1: scheme, `://`, host, and the port if it is not the usual one.
fn check_origin(origin: &str) -> Result<(), String> {
    let is_host = |rest: &str| !rest.is_empty() && !rest.contains(['/', '?', '#', ' ', '*']);
    match origin.split_once("://") {
        Some((scheme, rest)) if !scheme.is_empty() && is_host(rest) => Ok(()),
        _ => Err(format!(
            "\"{origin}\" is not an origin, such as \"https://example.org\" or \
             \"http://localhost:8080\""
        )),
    }
}

fn rules(config: &Config, checks: &mut Checks) -> Rules {
    let times = AnnounceTimes::check_unlisted(
        config.protocol.peer_announce_interval,
        config.cleaning.max_peer_age,
        checks,
    );
    Rules {
        max_offers: checks.within(
            "protocol.max_offers",
            config.protocol.max_offers,
            limits::OFFERS,
        ),
        max_scrape_torrents: checks.within(
            "protocol.max_scrape_torrents",
            config.protocol.max_scrape_torrents,
            limits::SCRAPE_TORRENTS,
        ),
        max_torrents_per_connection: checks.within(
            "limits.max_torrents_per_connection",
            config.limits.max_torrents_per_connection,
            limits::TORRENTS_PER_CONNECTION,
        ),
        announce_interval_seconds: u32::try_from(times.interval.as_secs()).unwrap_or(u32::MAX),
        peer_lifetime_seconds: u16::try_from(times.max_peer_age.as_secs()).unwrap_or(u16::MAX),
        offer_lifetime_seconds: checks.within(
            "cleaning.max_offer_age",
            config.cleaning.max_offer_age,
            limits::OFFER_AGE_SECONDS,
        ),
    }
}

fn swarm_limits(config: &Config, checks: &mut Checks) -> Limits {
    Limits::new(
        checks.at_least_one(
            "limits.max_torrents",
            config.limits.max_torrents,
            limits::TORRENTS,
        ),
        checks.at_least_one(
            "limits.max_peers_per_torrent",
            config.limits.max_peers_per_torrent,
            limits::PEERS_PER_TORRENT,
        ),
        checks.optional(
            "limits.max_peers_per_ip",
            config.limits.max_peers_per_ip,
            limits::PEERS_PER_IP,
        ),
    )
}
