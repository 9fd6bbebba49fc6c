//! The settings of `aquatic-http`: its configuration, valid by type.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use aquatic_service::config::{
    AnnounceInterval, AnnounceTimes, Checks, Diagnostic, LimitsConfig, ProcessSections,
    ProcessSettings,
};
use aquatic_service::sockets::{Listening, Transport};
use aquatic_service::tls;
use aquatic_stream::ReverseProxy;
use aquatic_stream::config::{Proxies, ProxyKeys, tls_files};

use crate::config::Config;

/// Name of the daemon: its binary, its log identifier, its snapshot file.
pub const NAME: &str = "aquatic-http";

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
    /// Whether a connection may be used for several requests.
    pub keep_alive: bool,
    /// How connections are treated.
    pub connections: aquatic_stream::Settings,
    /// Who is believed to speak for others, and where they say for whom;
    /// `None` when clients speak for themselves.
    pub reverse_proxy: Option<ReverseProxy>,
    /// Most torrents in one scrape.
    pub max_scrape_torrents: NonZeroUsize,
    /// Most peers in a reply.
    pub max_peers: NonZeroUsize,
    /// How long clients wait, and peers are kept.
    pub times: AnnounceTimes,
    /// How long clients wait at least; not more than they usually do.
    pub min_announce_interval: AnnounceInterval,
    /// Bounds on memory.
    pub limits: LimitsConfig,
    /// Time in which all torrents are gone through once.
    pub cleaning_interval: Duration,
    /// Whether to count announces by the software that the peer runs.
    pub count_peer_clients: bool,
    /// Whether to count announces by the first bytes of the peer id.
    pub count_peer_id_prefixes: bool,
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
        let times = AnnounceTimes::check(
            config.protocol.peer_announce_interval,
            config.cleaning.max_peer_age,
            &mut checks,
        );
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
            keep_alive: network.keep_alive,
            connections: connections(config, &proxies),
            reverse_proxy: proxies.reverse,
            max_scrape_torrents: config.protocol.max_scrape_torrents.non_zero(),
            max_peers: config.protocol.max_response_peers.non_zero(),
            // An old file may have a shorter interval than today's default.
            min_announce_interval: config.protocol.min_announce_interval.min(times.interval),
            times,
            limits: config.limits,
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
            idle_timeout: config.cleaning.max_connection_idle.duration(),
            write_timeout: network.write_timeout.duration(),
            max_unsent_bytes: None,
        },
        proxy_protocol: proxies.proxy_protocol.clone(),
        reverse_proxies: proxies.reverse_addresses(),
    }
}
