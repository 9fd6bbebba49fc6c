//! The settings of `aquatic-udp`: its configuration, and what follows from it.

use std::net::SocketAddr;
use std::sync::Arc;

use aquatic_service::config::{
    self, Checks, Diagnostic, OldKey, ProcessSettings, check_announce_times, check_peer_addresses,
};
use aquatic_service::lists::ListsConfig;
use aquatic_service::sockets::{Listening, Transport};
use aquatic_tracker::cluster::check_config;
use aquatic_tracker::keys::Keys;

use crate::config::{Config, MAX_RESPONSE_PEERS_IPV6};
use crate::old_keys::OLD_KEYS;

/// Name of the daemon: its binary, its log identifier, its snapshot file.
pub const NAME: &str = "aquatic-udp";

/// The validated settings of the daemon.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The configuration, whose values are consistent. A reply with the maximum number of
    /// peers fits into a datagram of every configured address family.
    pub config: Config,
    /// Settings of the `service` crate.
    pub process: ProcessSettings,
    /// The keys of clients, if they need one: those of the file, once it was read.
    pub client_keys: Option<Arc<Keys>>,
}

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");
    const OLD_KEYS: &'static [&'static [OldKey]] = OLD_KEYS;
    const NEED_RESTART: &'static [&'static [&'static str]] = &[
        config::sections::NEED_RESTART,
        config::keys::NEED_RESTART,
        config::swarm_sections::NEED_RESTART,
        &["network.socket_recv_buffer_size"],
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
        check_max_response_peers(config, &listening.addresses, &mut checks);
        check_announce_times(
            config.protocol.peer_announce_interval,
            config.cleaning.max_peer_age,
            &mut checks,
        );
        config.scrape_exports.check(&mut checks);
        config.rates.check(&mut checks);
        config.network.public_url.check(&["udp"], &mut checks);
        check_peer_addresses(
            &config.address_map,
            &config.network.believe_ip_from,
            config.network.reject_special_addresses,
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
        process.check(&mut checks);
        checks.finish(Self {
            config: config.clone(),
            process,
            client_keys: None,
        })
    }
}

/// The sockets that a configuration asks for.
pub fn listening(config: &Config, checks: &mut Checks) -> Listening {
    let transport = Transport::Udp {
        receive_buffer_bytes: config.network.socket_recv_buffer_size.non_zero(),
    };
    Listening::new(
        &config.network.address,
        config.socket_workers.non_zero(),
        transport,
        &config.metrics,
        checks,
    )
}

/// A reply with the maximum number of peers must fit into one datagram.
fn check_max_response_peers(config: &Config, addresses: &[SocketAddr], checks: &mut Checks) {
    let value = config.protocol.max_response_peers;
    let serves_ipv6 = addresses.iter().any(SocketAddr::is_ipv6);
    let most = MAX_RESPONSE_PEERS_IPV6;
    if serves_ipv6 && value.as_usize() > most {
        checks.fail(
            "protocol.max_response_peers",
            format!(
                "{value} is out of range: a reply to an IPv6 client has room for {most} peers, \
                 so it must be from 1 to {most} unless all of network.address is IPv4"
            ),
        );
    }
}
