//! The settings of `aquatic-udp`: its configuration, valid by type.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use aquatic_service::config::{
    AnnounceTimes, Checks, Diagnostic, LimitsConfig, ProcessSections, ProcessSettings,
};
use aquatic_service::sockets::{Listening, Transport};

use crate::config::{Config, ConnectionAge, MAX_RESPONSE_PEERS_IPV6, ScrapeExportsConfig};

/// Name of the daemon: its binary, its log identifier, its snapshot file.
pub const NAME: &str = "aquatic-udp";

/// Everything that the daemon can be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What the process edge acts on.
    pub process: ProcessSettings,
    /// Number of workers; `None` for one for each processor core.
    pub workers: Option<NonZeroUsize>,
    /// Addresses to serve: at least one, none twice.
    pub addresses: Vec<SocketAddr>,
    /// Size of the receive buffer of each socket; `None` for the system's default.
    pub receive_buffer_bytes: Option<NonZeroUsize>,
    /// Most torrents in one scrape.
    pub max_scrape_torrents: NonZeroUsize,
    /// Most peers in a reply; such a reply fits into a datagram of every family
    /// that is served.
    pub max_response_peers: NonZeroUsize,
    /// How long clients wait, and peers are kept.
    pub times: AnnounceTimes,
    /// Bounds on memory.
    pub limits: LimitsConfig,
    /// Time in which all torrents are gone through once.
    pub cleaning_interval: Duration,
    /// Time that a connection id can be used.
    pub max_connection_age: ConnectionAge,
    /// Whether to count peers by the software they run.
    pub count_peer_clients: bool,
    /// Whether to count peers by the first bytes of their peer ids.
    pub count_peer_id_prefixes: bool,
    /// The list of torrents that is written; `None` for none.
    pub scrape_export: Option<ScrapeExportSettings>,
}

/// Where and how often all torrents are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScrapeExportSettings {
    /// The file.
    pub path: PathBuf,
    /// Time between two writes.
    pub interval: Duration,
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
        let mut settings = Self {
            process,
            workers: listening.workers,
            receive_buffer_bytes: listening.transport.receive_buffer_bytes(),
            max_scrape_torrents: config.protocol.max_scrape_torrents.non_zero(),
            max_response_peers: max_response_peers(config, &listening.addresses, &mut checks),
            addresses: listening.addresses,
            times: AnnounceTimes::check(
                config.protocol.peer_announce_interval,
                config.cleaning.max_peer_age,
                &mut checks,
            ),
            limits: config.limits,
            cleaning_interval: config.cleaning.torrent_cleaning_interval.duration(),
            max_connection_age: config.cleaning.max_connection_age,
            count_peer_clients: config.metrics.peer_clients,
            count_peer_id_prefixes: config.metrics.peer_id_prefixes,
            scrape_export: scrape_export(&config.scrape_exports, &mut checks),
        };
        settings.process.advice = checks.take_advice();
        checks.finish(settings)
    }
}

/// What a configuration says about sockets.
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

/// A reply with all its peers has to fit into one datagram.
fn max_response_peers(
    config: &Config,
    addresses: &[SocketAddr],
    checks: &mut Checks,
) -> NonZeroUsize {
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
    value.non_zero()
}

fn scrape_export(
    config: &ScrapeExportsConfig,
    checks: &mut Checks,
) -> Option<ScrapeExportSettings> {
    if !config.enable_scrape_exports {
        return None;
    }
    if config.path.as_os_str().is_empty() {
        checks.fail(
            "scrape_exports.path",
            "a file name is required when enable_scrape_exports is true",
        );
    }
    Some(ScrapeExportSettings {
        path: config.path.clone(),
        interval: config.frequency.duration(),
    })
}
