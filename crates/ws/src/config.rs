//! The configuration of `aquatic-ws`, as written by its users.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options. The daemon uses
//! [`Settings`].

use std::path::PathBuf;

use aquatic_service::config::numbers::{Bytes, Count, Seconds, ZeroOr};
use aquatic_service::config::old_keys::{self, Found, Merged};
use aquatic_service::config::{
    self, AccessListConfig, Addresses, AnnounceInterval, CleaningInterval, Diagnostic, LogLevel,
    MaxPeersPerIp, MaxPeersPerTorrent, MaxTorrents, MetricsConfig, OldKey, OutboxBytes, PeerAge,
    PrivilegesConfig, SnapshotConfig, StreamBytes, Texts, Workers,
};
use aquatic_stream::config::{
    AddressHeaderFormat, Backlog, EventLoopConfig, MaxConnections, MaxConnectionsPerIp, Timeout,
    TrustedProxies, loopback,
};
use serde::{Deserialize, Serialize};

use crate::origin::Origin;
use crate::settings::Settings;

/// Bytes of a message: at least one offer, at most far more than any client sends.
pub type MessageLength = Bytes<4_096, { 16 << 20 }>;
/// Torrents of a connection, which are kept in one sorted list.
pub type TorrentsPerConnection = Count<1, 100_000>;
/// Time for an answer: up to an hour.
pub type OfferAge = Seconds<1, 3_600>;
/// Time without incoming data: up to a day. A ping is sent after half of it.
pub type Idle = Seconds<2, 86_400>;
/// Time for connections with an old certificate: up to a year.
pub type CertificateGrace = Seconds<0, 31_536_000>;

/// Configuration of aquatic-ws, a WebTorrent tracker over WebSocket.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Number of worker threads. Each accepts and serves its own connections.
    /// 0: one per CPU core.
    pub socket_workers: Workers,
    /// Log verbosity. Messages go to the journal under systemd, otherwise to
    /// standard error.
    pub log_level: LogLevel,
    /// Listening sockets and client connections.
    pub network: NetworkConfig,
    /// Contents of replies to clients, and relaying of offers and answers.
    pub protocol: ProtocolConfig,
    /// Limits on memory use. Announces that exceed a limit are answered with an
    /// error.
    pub limits: LimitsConfig,
    /// Expiry of peers, offers and connections.
    pub cleaning: CleaningConfig,
    /// One swarm for several aquatic-ws, also on several machines.
    pub cluster: ClusterConfig,
    /// Dropping of privileges when started as root, once the sockets are open.
    /// Not needed under systemd, which starts the service as an unprivileged
    /// user.
    pub privileges: PrivilegesConfig,
    /// Allow list or deny list of torrents.
    pub access_list: AccessListConfig,
    /// Metrics over HTTP: /metrics in the Prometheus text format, /stats.json
    /// and /health.
    pub metrics: MetricsConfig,
    /// Snapshot file, which preserves the download counts of torrents across
    /// restarts. Peers are not saved, because they exist only as long as their
    /// connections.
    pub snapshot: SnapshotConfig,
}

/// Listening sockets and client connections.
#[allow(
    rustdoc::bare_urls,
    reason = "the text stands in the configuration file and manual page, too"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// IP address and port to listen on, or a list of them. `0.0.0.0` means all
    /// IPv4 addresses of the machine, and `[::]` all IPv6 addresses; IPv6
    /// sockets never accept IPv4 traffic. Each worker has one socket per
    /// address. The socket unit of a packaged service takes its addresses from
    /// here, too. With a socket unit of your own, the addresses in the unit are
    /// used instead of these.
    pub address: Addresses,
    /// Event loop that handles connections.
    pub event_loop: EventLoopConfig,
    /// Maximum number of connections waiting to be accepted, per socket. The
    /// kernel may allow fewer (sysctl net.core.somaxconn).
    pub tcp_backlog: Backlog,
    /// Whether to use TLS. If true, the tracker serves wss://, and not ws://.
    /// Pages loaded over https:// can only use wss://.
    pub enable_tls: bool,
    /// PEM file with the server certificate, followed by any intermediate
    /// certificates. Reloaded on SIGHUP and SIGUSR1.
    pub tls_certificate_path: PathBuf,
    /// PEM file with the private key of the certificate (PKCS#8, PKCS#1 or
    /// SEC1). Reloaded on SIGHUP and SIGUSR1.
    pub tls_private_key_path: PathBuf,
    /// Origins of the web sites whose pages may use the tracker, as browsers
    /// send them in the Origin header: https://example.org, with the port if it
    /// is not the default one. Empty: all origins. Clients other than browsers
    /// send no Origin header, and are always accepted.
    pub allowed_origins: Texts<Origin>,
    /// Maximum size of a WebSocket message, in bytes. An announce with ten
    /// offers has 10,000 to 50,000 bytes.
    pub websocket_max_message_size: MessageLength,
    /// Maximum size of a WebSocket frame, in bytes. A message may consist of
    /// several frames.
    pub websocket_max_frame_size: MessageLength,
    /// Maximum number of bytes queued for sending on a connection. When a
    /// client does not read and more is queued, its connection is closed.
    pub max_unsent_bytes: Bytes<16_384, { 256 << 20 }>,
    /// Maximum number of open connections.
    pub max_connections: MaxConnections,
    /// Maximum number of open connections from one IPv4 address, or from one
    /// IPv6 /64 network. The default leaves room for hundreds of households
    /// behind one carrier-grade NAT address, and keeps a single source from
    /// using up max_connections. Trusted proxies are exempt. Raise it for a
    /// proxy that does not pass on the addresses of its clients, and for load
    /// tests. 0: no limit.
    pub max_connections_per_ip: MaxConnectionsPerIp,
    /// Time limit for the TLS handshake and the PROXY protocol header of a new
    /// connection, and for its WebSocket upgrade request to begin, in seconds.
    pub handshake_timeout: Timeout,
    /// Time limit for receiving a message or the WebSocket upgrade request,
    /// from its first byte to its last, in seconds.
    pub message_timeout: Timeout,
    /// Time limit for a client to receive what is sent to it, in seconds.
    pub write_timeout: Timeout,
    /// Whether the tracker runs behind a reverse proxy that passes on the
    /// client's address in a header of the WebSocket upgrade request. Limits
    /// per address then apply to the client, not to the proxy.
    pub runs_behind_reverse_proxy: bool,
    /// Name of the header that contains the client's address: X-Forwarded-For,
    /// X-Real-IP, Forwarded, or another header with the syntax of
    /// X-Forwarded-For. Case-insensitive.
    pub reverse_proxy_ip_header_name: String,
    /// Which address in that header is the client's.
    pub reverse_proxy_ip_header_format: AddressHeaderFormat,
    /// Whether every connection begins with a PROXY protocol header (version 1
    /// or 2), as HAProxy sends it.
    pub proxy_protocol: bool,
    /// Trusted proxies: IP addresses, or networks such as 10.0.0.0/8. Address
    /// headers from other sources are ignored; with proxy_protocol, connections
    /// from other sources are rejected.
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

/// Contents of replies to clients, and relaying of offers and answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Maximum number of torrents in a scrape reply. Further info hashes of the
    /// request are ignored.
    pub max_scrape_torrents: Count<1, 10_000>,
    /// Maximum number of offers that are relayed per announce, each to a
    /// different peer.
    pub max_offers: Count<1, 1_000>,
    /// Announce interval sent to clients, in seconds.
    pub peer_announce_interval: AnnounceInterval,
    /// Whether to keep peers that connect over IPv4 apart from peers that
    /// connect over IPv6. WebRTC connections between peers do not depend on how
    /// the tracker was reached.
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

/// Limits on memory use. Announces that exceed a limit are answered with an
/// error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Maximum number of torrents with peers. With protocol.separate_families,
    /// a torrent with peers of both address families counts twice. Download
    /// counts are also kept for up to as many torrents without peers. When it is reached,
    /// announces of further torrents are rejected, and a warning is logged at
    /// most once per hour. max_peers_per_ip limits what a single address can
    /// take.
    pub max_torrents: MaxTorrents,
    /// Maximum number of peers per torrent; with protocol.separate_families,
    /// per torrent and address family.
    pub max_peers_per_torrent: MaxPeersPerTorrent,
    /// Maximum number of peers with the same IPv4 address, or in the same IPv6
    /// /64 network, over all torrents. 0: no limit.
    pub max_peers_per_ip: MaxPeersPerIp,
    /// Maximum number of torrents announced over one connection.
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

/// Expiry of peers, offers and connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct CleaningConfig {
    /// Interval at which expired peers are removed from all torrents, in
    /// seconds. The work is done in small steps spread over the interval.
    pub torrent_cleaning_interval: CleaningInterval,
    /// Seconds after its last announce at which a peer expires. Should be
    /// longer than protocol.peer_announce_interval.
    pub max_peer_age: PeerAge,
    /// Seconds after which an offer can no longer be answered.
    pub max_offer_age: OfferAge,
    /// Seconds without incoming data after which a connection is closed. A ping
    /// is sent after half of this time.
    pub max_connection_idle: Idle,
    /// Seconds after a certificate rotation at which connections that still use
    /// the old certificate are closed.
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

/// One swarm for several aquatic-ws, also on several machines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ClusterConfig {
    /// URL of a Redis (6.2 or later) or Valkey server through which this daemon shares its
    /// peers with other aquatic-ws, and through which their offers and answers are relayed:
    /// `redis://host:6379`, `rediss://` with TLS, `redis+unix:///path`,
    /// `redis+sentinel://host:26379,host:26379/name`, or
    /// `redis+cluster://host:6379,host:6379`. Empty: none. aquatic-cluster(7) describes it.
    pub url: String,
    /// User name at that server. Empty: `default`.
    pub username: String,
    /// Path of the file with the password for that server. Empty: no password.
    pub password_file: PathBuf,
    /// Path of a file with certificates in PEM format, one of which has signed the
    /// server's. Empty: those that the system trusts.
    pub tls_ca_path: PathBuf,
    /// Name of the cluster. Only daemons with the same name share their peers. Letters,
    /// digits, `-`, `_` and `.`.
    pub namespace: String,
    /// Name of this daemon, different from all others in the cluster. Empty: the host name
    /// and the name of the daemon.
    pub node: String,
    /// Maximum size of the shared data in the server, in bytes. It needs about 42 bytes for
    /// each announce within cleaning.max_peer_age.
    pub max_stream_bytes: StreamBytes,
    /// Maximum size of changes that wait to be sent, in bytes. Beyond it, the oldest are
    /// dropped.
    pub max_outbox_bytes: OutboxBytes,
}

impl ClusterConfig {
    /// The same as in the configuration of daemons that can also be linked on their host.
    pub fn shared(&self) -> config::ClusterConfig {
        let Self {
            url,
            username,
            password_file,
            tls_ca_path,
            namespace,
            node,
            max_stream_bytes,
            max_outbox_bytes,
        } = self.clone();
        config::ClusterConfig {
            local: false,
            url,
            username,
            password_file,
            tls_ca_path,
            namespace,
            node,
            max_stream_bytes,
            max_outbox_bytes,
        }
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        let config::ClusterConfig {
            local: _,
            url,
            username,
            password_file,
            tls_ca_path,
            namespace,
            node,
            max_stream_bytes,
            max_outbox_bytes,
        } = config::ClusterConfig::default();
        Self {
            url,
            username,
            password_file,
            tls_ca_path,
            namespace,
            node,
            max_stream_bytes,
            max_outbox_bytes,
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
        reason: "data is written immediately; network.max_unsent_bytes limits what is queued for a \
                 client",
    },
    OldKey::Dropped {
        key: "network.enable_http_health_checks",
        reason: "/health is always enabled",
    },
];

/// The metrics endpoint had a switch, and metrics were collected at intervals.
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
        reason: "torrents are counted when metrics are requested",
    },
];

fn metrics_address(found: &mut Found<'_, '_>) -> Merged {
    old_keys::endpoint(found, "metrics")
}

/// Keys whose meaning has changed.
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

/// Connections have their own deadlines.
const CLEANING: &[OldKey] = &[OldKey::Dropped {
    key: "cleaning.connection_cleaning_interval",
    reason: "connections are closed at their own deadlines",
}];
