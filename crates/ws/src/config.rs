//! The configuration of `aquatic-ws`, as its user writes it.
//!
//! The doc comments of keys are what users read: in the default file, in the
//! manual page and in the NixOS options. [`Settings`] is what the daemon works
//! with.

use std::path::PathBuf;

use aquatic_service::config::numbers::{Bytes, Count, Seconds, ZeroOr};
use aquatic_service::config::old_keys::{self, Found, Merged};
use aquatic_service::config::{
    self, AccessListConfig, Addresses, AnnounceInterval, CleaningInterval, Diagnostic, LogLevel,
    MaxPeersPerIp, MaxPeersPerTorrent, MaxTorrents, MetricsConfig, OldKey, PeerAge,
    PrivilegesConfig, SnapshotConfig, Texts, Workers,
};
use aquatic_stream::config::{
    AddressHeaderFormat, Backlog, EventLoopConfig, MaxConnections, MaxConnectionsPerIp, Timeout,
    TrustedProxies, loopback,
};
use serde::{Deserialize, Serialize};

use crate::origin::Origin;
use crate::settings::Settings;

/// Bytes of a message: from one offer to what nobody has to say.
pub type MessageLength = Bytes<4_096, { 16 << 20 }>;
/// Torrents of a connection. They stand in one list, in their order.
pub type TorrentsPerConnection = Count<1, 100_000>;
/// Time for an answer: up to an hour.
pub type OfferAge = Seconds<1, 3_600>;
/// Time without a sign of life: up to a day. A ping comes in the middle.
pub type Idle = Seconds<2, 86_400>;
/// Time for connections of an old certificate: up to a year.
pub type CertificateGrace = Seconds<0, 31_536_000>;

/// Configuration of aquatic-ws, a WebTorrent tracker over WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Number of workers: threads that serve connections.
    /// 0: one for each processor core.
    pub socket_workers: Workers,
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
    pub tcp_backlog: Backlog,
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
    pub allowed_origins: Texts<Origin>,
    /// Maximum length of a message, in bytes. An announce with ten offers has
    /// 10,000 to 50,000.
    pub websocket_max_message_size: MessageLength,
    /// Maximum length of a frame, in bytes; a message may consist of several.
    pub websocket_max_frame_size: MessageLength,
    /// Maximum number of bytes that wait for a client to read them. The
    /// connection of a client that does not read what others send it is
    /// closed when more wait.
    pub max_unsent_bytes: Bytes<16_384, { 256 << 20 }>,
    /// Maximum number of open connections.
    pub max_connections: MaxConnections,
    /// Maximum number of open connections of one IPv4 address, or of one IPv6
    /// network of 64 bits. The default leaves room for the hundreds of
    /// households behind one address of a provider, and keeps a single source
    /// from using up max_connections. Trusted proxies have no limit; raise it
    /// for a proxy that does not name its clients, and for a load test. 0: no
    /// limit.
    pub max_connections_per_ip: MaxConnectionsPerIp,
    /// Seconds in which a connection has to complete its TLS handshake and its
    /// PROXY header, and to begin with the request that it is there for.
    pub handshake_timeout: Timeout,
    /// Seconds in which a message, or the request that begins a connection, has
    /// to arrive, from its first byte to its last.
    pub message_timeout: Timeout,
    /// Seconds in which a client has to take what is sent to it.
    pub write_timeout: Timeout,
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
    pub trusted_proxies: TrustedProxies,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            address: Addresses::all(3001),
            event_loop: EventLoopConfig::Auto,
            tcp_backlog: Count::of::<1024>(),
            enable_tls: false,
            tls_certificate_path: PathBuf::new(),
            tls_private_key_path: PathBuf::new(),
            allowed_origins: Texts::default(),
            websocket_max_message_size: Bytes::of::<{ 64 << 10 }>(),
            websocket_max_frame_size: Bytes::of::<{ 64 << 10 }>(),
            max_unsent_bytes: Bytes::of::<{ 128 << 10 }>(),
            max_connections: Count::of::<50_000>(),
            max_connections_per_ip: ZeroOr::of::<1_000>(),
            handshake_timeout: Seconds::of::<10>(),
            message_timeout: Seconds::of::<10>(),
            write_timeout: Seconds::of::<10>(),
            runs_behind_reverse_proxy: false,
            reverse_proxy_ip_header_name: "X-Forwarded-For".to_owned(),
            reverse_proxy_ip_header_format: AddressHeaderFormat::LastAddress,
            proxy_protocol: false,
            trusted_proxies: loopback(),
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
    pub max_scrape_torrents: Count<1, 10_000>,
    /// Maximum number of offers of one announce that are relayed, each to
    /// another peer.
    pub max_offers: Count<1, 1_000>,
    /// Seconds that clients are told to wait before they announce again.
    pub peer_announce_interval: AnnounceInterval,
    /// Whether peers that came over IPv4 and over IPv6 are kept apart. It makes
    /// no difference to WebRTC how they came to the tracker.
    pub separate_families: bool,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            max_scrape_torrents: Count::of::<255>(),
            max_offers: Count::of::<10>(),
            peer_announce_interval: Seconds::of::<120>(),
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
    pub max_torrents: MaxTorrents,
    /// Maximum number of peers of one torrent; with
    /// protocol.separate_families, of each family.
    pub max_peers_per_torrent: MaxPeersPerTorrent,
    /// Maximum number of peers of one IPv4 address, or of one IPv6 network of
    /// 64 bits, over all torrents. 0: no limit.
    pub max_peers_per_ip: MaxPeersPerIp,
    /// Maximum number of torrents that are announced over one connection.
    pub max_torrents_per_connection: TorrentsPerConnection,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_torrents: Count::of::<1_000_000>(),
            max_peers_per_torrent: Count::of::<1_000_000>(),
            max_peers_per_ip: ZeroOr::ZERO,
            max_torrents_per_connection: Count::of::<5_000>(),
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
    pub torrent_cleaning_interval: CleaningInterval,
    /// Seconds after its last announce that a peer is forgotten. Should be
    /// longer than protocol.peer_announce_interval.
    pub max_peer_age: PeerAge,
    /// Seconds after which an offer cannot be answered any more.
    pub max_offer_age: OfferAge,
    /// A connection is closed when nothing has arrived over it for so many
    /// seconds. A ping is sent after half of them.
    pub max_connection_idle: Idle,
    /// Seconds after a certificate was replaced by another until connections
    /// that still use the old one are closed.
    pub close_after_tls_update_grace_period: CertificateGrace,
}

impl Default for CleaningConfig {
    fn default() -> Self {
        Self {
            torrent_cleaning_interval: Seconds::of::<30>(),
            max_peer_age: Seconds::of::<180>(),
            max_offer_age: Seconds::of::<120>(),
            max_connection_idle: Seconds::of::<180>(),
            close_after_tls_update_grace_period: Seconds::of::<{ 60 * 60 * 60 }>(),
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
