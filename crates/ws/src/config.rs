//! The configuration of `aquatic-ws`, as its user writes it.
//!
//! The doc comments of keys are what users read: in the default file, in the
//! manual page and in the NixOS options. [`Settings`] is what the daemon works
//! with.

use std::path::PathBuf;

use aquatic_service::config::old_keys::{self, Found, Merged};
use aquatic_service::config::{
    self, AccessListConfig, Addresses, Diagnostic, LogLevel, MetricsConfig, OldKey,
    PrivilegesConfig, SnapshotConfig,
};
use aquatic_stream::config::{AddressHeaderFormat, EventLoopConfig};
use serde::{Deserialize, Serialize};

#[cfg(feature = "schema")]
use crate::limits;
use crate::settings::Settings;

/// Configuration of aquatic-ws, a WebTorrent tracker over WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Number of workers: threads that serve connections.
    /// 0: one for each processor core.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = *limits::WORKERS.end())))]
    pub socket_workers: usize,
    /// How much is logged: to the journal under systemd, otherwise to standard
    /// error.
    pub log_level: LogLevel,
    /// Sockets and connections.
    pub network: NetworkConfig,
    /// Replies to clients, and what is relayed between them.
    pub protocol: ProtocolConfig,
    /// Bounds on memory. Announces beyond them get an error as their reply.
    pub limits: LimitsConfig,
    /// How long things are kept.
    pub cleaning: CleaningConfig,
    /// What to become when started as root, once the sockets are open.
    /// Not needed under systemd, which starts the service as its own user.
    pub privileges: PrivilegesConfig,
    /// Which torrents are served.
    pub access_list: AccessListConfig,
    /// Metrics of the running service, over HTTP: /metrics for Prometheus,
    /// /stats.json and /health.
    pub metrics: MetricsConfig,
    /// The file that keeps the download counts of torrents across restarts.
    /// Peers are gone with their connections.
    pub snapshot: SnapshotConfig,
}

/// Sockets and connections.
#[allow(
    rustdoc::bare_urls,
    reason = "the text stands in the configuration file and manual page, too"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// IP address and port to serve, or a list of them. `0.0.0.0` is every IPv4
    /// address and `[::]` every IPv6 address of the machine; IPv6 addresses
    /// never serve IPv4. Each worker has a socket for each address. The
    /// socket unit of a packaged service, too, has its addresses from here. One
    /// that you write yourself has its own, which are served instead of these.
    pub address: Addresses,
    /// What drives the connections.
    pub event_loop: EventLoopConfig,
    /// Maximum number of connections that wait to be accepted, on each
    /// socket. The system may allow fewer (sysctl net.core.somaxconn).
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::BACKLOG.end())))]
    pub tcp_backlog: usize,
    /// Whether connections are encrypted, which makes this a tracker for wss://
    /// and not for ws://. Pages that were loaded over https:// can use no
    /// other.
    pub enable_tls: bool,
    /// File with the certificate and those that it is issued by, in PEM form.
    /// Read again on SIGHUP and SIGUSR1.
    pub tls_certificate_path: PathBuf,
    /// File with the private key of the certificate, in PEM form: PKCS#8,
    /// PKCS#1 or SEC1. Read again on SIGHUP and SIGUSR1.
    pub tls_private_key_path: PathBuf,
    /// The web sites whose pages may use the tracker, as browsers name them:
    /// https://example.org, with the port if it is not the usual one. Empty:
    /// all. Clients that are no browsers name none, and are served anyway.
    pub allowed_origins: Vec<String>,
    /// Maximum length of a message, in bytes. An announce with ten offers has
    /// 10,000 to 50,000.
    #[cfg_attr(feature = "schema", schemars(range(min = *limits::MESSAGE_BYTES.start(), max = *limits::MESSAGE_BYTES.end())))]
    pub websocket_max_message_size: usize,
    /// Maximum length of a frame, in bytes; a message may consist of several.
    #[cfg_attr(feature = "schema", schemars(range(min = *limits::MESSAGE_BYTES.start(), max = *limits::MESSAGE_BYTES.end())))]
    pub websocket_max_frame_size: usize,
    /// Maximum number of bytes that wait for a client to read them. The
    /// connection of a client that does not read what others send it is
    /// closed when more wait.
    #[cfg_attr(feature = "schema", schemars(range(min = *limits::UNSENT_BYTES.start(), max = *limits::UNSENT_BYTES.end())))]
    pub max_unsent_bytes: usize,
    /// Maximum number of open connections.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::CONNECTIONS.end())))]
    pub max_connections: usize,
    /// Maximum number of open connections of one IPv4 address, or of one IPv6
    /// network of 64 bits. The default leaves room for the hundreds of
    /// households behind one address of a provider, and keeps a single source
    /// from using up max_connections. Trusted proxies have no limit; raise it
    /// for a proxy that does not name its clients, and for a load test. 0: no
    /// limit.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = *limits::CONNECTIONS.end())))]
    pub max_connections_per_ip: usize,
    /// Seconds in which a connection has to complete its TLS handshake and its
    /// PROXY header, and to begin with the request that it is there for.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::TIMEOUT_SECONDS.end())))]
    pub handshake_timeout: u32,
    /// Seconds in which a message, or the request that begins a connection, has
    /// to arrive, from its first byte to its last.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::TIMEOUT_SECONDS.end())))]
    pub message_timeout: u32,
    /// Seconds in which a client has to take what is sent to it.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::TIMEOUT_SECONDS.end())))]
    pub write_timeout: u32,
    /// Whether the tracker is reached through a reverse proxy that names the
    /// client's address in a header of the request that begins a connection.
    /// Limits for each address then count the client, and not the proxy.
    pub runs_behind_reverse_proxy: bool,
    /// The header that names the client's address: X-Forwarded-For,
    /// X-Real-IP, Forwarded, or another of the form of the first. It is
    /// case-insensitive.
    pub reverse_proxy_ip_header_name: String,
    /// What is taken from that header.
    pub reverse_proxy_ip_header_format: AddressHeaderFormat,
    /// Whether each connection begins with a header of the PROXY protocol,
    /// version 1 or 2, as HAProxy sends it.
    pub proxy_protocol: bool,
    /// Proxies that are trusted: IP addresses, or networks such as
    /// 10.0.0.0/8. Headers from others are ignored; with proxy_protocol,
    /// connections from others are refused.
    pub trusted_proxies: Vec<String>,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            address: Addresses::all(3001),
            event_loop: EventLoopConfig::Auto,
            tcp_backlog: 1024,
            enable_tls: false,
            tls_certificate_path: PathBuf::new(),
            tls_private_key_path: PathBuf::new(),
            allowed_origins: Vec::new(),
            websocket_max_message_size: 64 << 10,
            websocket_max_frame_size: 64 << 10,
            max_unsent_bytes: 128 << 10,
            max_connections: 50_000,
            max_connections_per_ip: 1_000,
            handshake_timeout: 10,
            message_timeout: 10,
            write_timeout: 10,
            runs_behind_reverse_proxy: false,
            reverse_proxy_ip_header_name: "X-Forwarded-For".to_owned(),
            reverse_proxy_ip_header_format: AddressHeaderFormat::LastAddress,
            proxy_protocol: false,
            trusted_proxies: vec!["127.0.0.0/8".to_owned(), "::1".to_owned()],
        }
    }
}

/// Replies to clients, and what is relayed between them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Maximum number of torrents in one scrape; the rest of a longer one is
    /// not answered.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::SCRAPE_TORRENTS.end())))]
    pub max_scrape_torrents: usize,
    /// Maximum number of offers of one announce that are relayed, each to
    /// another peer.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::OFFERS.end())))]
    pub max_offers: usize,
    /// Seconds that clients are told to wait before they announce again.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = config::LONGEST_ANNOUNCE_INTERVAL_SECONDS)))]
    pub peer_announce_interval: u32,
    /// Whether peers that came over IPv4 and over IPv6 are kept apart. It makes
    /// no difference to WebRTC how they came to the tracker.
    pub separate_families: bool,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            max_scrape_torrents: 255,
            max_offers: 10,
            peer_announce_interval: 120,
            separate_families: false,
        }
    }
}

/// Bounds on memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Maximum number of torrents with peers. With
    /// protocol.separate_families, one with peers of both counts twice.
    /// Download counts are kept of as many torrents without peers.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::TORRENTS.end())))]
    pub max_torrents: usize,
    /// Maximum number of peers of one torrent; with
    /// protocol.separate_families, of each family.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::PEERS_PER_TORRENT.end())))]
    pub max_peers_per_torrent: usize,
    /// Maximum number of peers of one IPv4 address, or of one IPv6 network of
    /// 64 bits, over all torrents. 0: no limit.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = *limits::PEERS_PER_IP.end())))]
    pub max_peers_per_ip: usize,
    /// Maximum number of torrents that are announced over one connection.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::TORRENTS_PER_CONNECTION.end())))]
    pub max_torrents_per_connection: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_torrents: 1_000_000,
            max_peers_per_torrent: 1_000_000,
            max_peers_per_ip: 0,
            max_torrents_per_connection: 5_000,
        }
    }
}

/// How long things are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CleaningConfig {
    /// Seconds in which all torrents are looked through once, some at a time,
    /// and peers that are too old are removed.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = config::LONGEST_CLEANING_INTERVAL_SECONDS)))]
    pub torrent_cleaning_interval: u32,
    /// Seconds after its last announce that a peer is forgotten. Should be
    /// longer than protocol.peer_announce_interval.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = config::LONGEST_PEER_AGE_SECONDS)))]
    pub max_peer_age: u32,
    /// Seconds after which an offer cannot be answered any more.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *limits::OFFER_AGE_SECONDS.end())))]
    pub max_offer_age: u32,
    /// A connection is closed when nothing has arrived over it for so many
    /// seconds. A ping is sent after half of them.
    #[cfg_attr(feature = "schema", schemars(range(min = *limits::IDLE_SECONDS.start(), max = *limits::IDLE_SECONDS.end())))]
    pub max_connection_idle: u32,
    /// Seconds after a certificate was replaced by another until connections
    /// that still use the old one are closed.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = *limits::GRACE_SECONDS.end())))]
    pub close_after_tls_update_grace_period: u32,
}

impl Default for CleaningConfig {
    fn default() -> Self {
        Self {
            torrent_cleaning_interval: 30,
            max_peer_age: 180,
            max_offer_age: 120,
            max_connection_idle: 180,
            close_after_tls_update_grace_period: 60 * 60 * 60,
        }
    }
}

impl config::Config for Config {
    const DEFAULT_TOML: &'static str = include_str!("../default.toml");

    const OLD_KEYS: &'static [&'static [OldKey]] = &[
        old_keys::WORKERS,
        old_keys::EVENT_LOOP,
        old_keys::CPU_PINNING,
        old_keys::ADDRESSES,
        NETWORK,
        old_keys::TLS,
        METRICS,
        CLEANING,
        MEANINGS,
    ];

    fn invalid(&self) -> Vec<Diagnostic> {
        Settings::new(self).err().unwrap_or_default()
    }
}

const NETWORK: &[OldKey] = &[
    OldKey::Dropped {
        key: "network.websocket_write_buffer_size",
        reason: "what is to be sent is written at once; network.max_unsent_bytes bounds what a \
                 client does not take",
    },
    OldKey::Dropped {
        key: "network.enable_http_health_checks",
        reason: "/health is always answered",
    },
];

/// The endpoint had a switch, and figures were counted now and then.
const METRICS: &[OldKey] = &[
    OldKey::Merged {
        keys: &[
            "metrics.run_prometheus_endpoint",
            "metrics.prometheus_endpoint_address",
        ],
        to: "metrics.address",
        merge: metrics_address,
    },
    OldKey::Dropped {
        key: "metrics.torrent_count_update_interval",
        reason: "torrents are counted when they are asked for",
    },
];

fn metrics_address(found: &mut Found<'_, '_>) -> Merged {
    old_keys::endpoint(found, "metrics")
}

/// What means something else than it did.
const MEANINGS: &[OldKey] = &[
    OldKey::Default {
        key: "socket_workers",
        was: "1",
    },
    OldKey::Default {
        key: "log_level",
        was: "\"warn\"",
    },
    OldKey::Default {
        key: "network.address",
        was: "\"0.0.0.0:3000\"",
    },
    OldKey::Default {
        key: "network.websocket_max_frame_size",
        was: "16384",
    },
    OldKey::Default {
        key: "protocol.separate_families",
        was: "always true",
    },
    OldKey::Default {
        key: "cleaning.max_peer_age",
        was: "1800 in release 0.2",
    },
    OldKey::Default {
        key: "cleaning.max_connection_idle",
        was: "300 in release 0.2",
    },
];

/// Connections have deadlines of their own.
const CLEANING: &[OldKey] = &[OldKey::Dropped {
    key: "cleaning.connection_cleaning_interval",
    reason: "connections are closed when their time has come",
}];
