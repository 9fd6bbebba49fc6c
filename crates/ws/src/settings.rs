//! The settings of `aquatic-ws`: its configuration, and what follows from it.

use aquatic_service::config::{Checks, Diagnostic, ProcessSettings, check_unlisted_times};
use aquatic_service::sockets::{Listening, Transport};
use aquatic_service::tls;
use aquatic_stream::ReverseProxy;
use aquatic_stream::config::{Proxies, ProxyKeys, tls_files};
use aquatic_tracker::cluster::check_config;
use aquatic_ws_protocol::SizeLimits;

use crate::config::{Config, NetworkConfig};

/// Name of the daemon: its binary, its log identifier, its snapshot file.
pub const NAME: &str = "aquatic-ws";

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
    /// The trusted proxies, and the header in which they pass on the client's address;
    /// `None` without a reverse proxy.
    pub reverse_proxy: Option<ReverseProxy>,
    /// Maximum sizes of frames and messages; that of frames is not larger.
    pub size_limits: SizeLimits,
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
        let proxies = ProxyKeys {
            is_behind: network.runs_behind_reverse_proxy,
            header_name: &network.reverse_proxy_ip_header_name,
            header_format: network.reverse_proxy_ip_header_format,
            proxy_protocol: network.proxy_protocol,
            trusted: &network.trusted_proxies,
        }
        .check(&mut checks);
        let tls = tls_files(
            network.enable_tls,
            &network.tls_certificate_path,
            &network.tls_private_key_path,
            &mut checks,
        );
        let size_limits = size_limits(network, &mut checks);
        check_unlisted_times(
            config.protocol.peer_announce_interval,
            config.cleaning.max_peer_age,
            &mut checks,
        );
        check_cluster(config, &mut checks);
        let mut process = ProcessSettings {
            log_level: config.log_level,
            privileges: config.privileges.clone(),
            access_list: config.access_list.clone(),
            metrics_address: listening.metrics,
            snapshot: config.snapshot.settings(NAME),
            advice: Vec::new(),
        };
        process.check(&mut checks);
        checks.finish(Self {
            config: config.clone(),
            process,
            tls,
            connections: connections(config, &proxies),
            reverse_proxy: proxies.reverse,
            size_limits,
        })
    }
}

/// The sockets that a configuration asks for.
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
            // After the first half of the time, a ping is sent.
            idle_timeout: config.cleaning.max_connection_idle.duration() / 2,
            write_timeout: network.write_timeout.duration(),
            max_unsent_bytes: Some(network.max_unsent_bytes.non_zero()),
        },
        proxy_protocol: proxies.proxy_protocol.clone(),
        reverse_proxies: proxies.reverse_addresses(),
    }
}

fn check_cluster(config: &Config, checks: &mut Checks) {
    check_config(&config.cluster.shared(), checks);
    if !config.cluster.url.is_empty() && config.protocol.separate_families {
        checks.fail(
            "protocol.separate_families",
            "it cannot be combined with cluster.url: nodes of a cluster do not tell each other \
             how their peers are connected",
        );
    }
}

fn size_limits(network: &NetworkConfig, checks: &mut Checks) -> SizeLimits {
    let message = network.websocket_max_message_size;
    let frame = network.websocket_max_frame_size;
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
