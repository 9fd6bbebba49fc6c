//! The configuration of `aquatic-http`, as its user writes it.
//!
//! The doc comments of keys are what users read: in the default file, in the
//! manual page and in the NixOS options. [`Settings`] is what the daemon works
//! with.

use std::path::PathBuf;

use aquatic_service::config::numbers::{Count, Seconds, ZeroOr};
use aquatic_service::config::old_keys::{self, Found, Merged};
use aquatic_service::config::{
    self, AccessListConfig, Addresses, AnnounceInterval, CleaningInterval, Diagnostic,
    LimitsConfig, LogLevel, MetricsConfig, OldKey, PeerAge, PrivilegesConfig, SnapshotConfig,
    Workers,
};
use aquatic_stream::config::{
    AddressHeaderFormat, Backlog, EventLoopConfig, MaxConnections, MaxConnectionsPerIp, Timeout,
    TrustedProxies, loopback,
};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Configuration of aquatic-http, a BitTorrent tracker over HTTP and HTTPS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Number of workers: threads that read requests and answer them.
    /// 0: one for each processor core.
    pub socket_workers: Workers,
    /// How much is logged: to the journal under systemd, otherwise to standard
    /// error.
    pub log_level: LogLevel,
    /// Sockets and connections.
    pub network: NetworkConfig,
    /// Replies to clients.
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
    /// The file that keeps torrents and peers across restarts.
    pub snapshot: SnapshotConfig,
}

/// Sockets and connections.
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
    /// Whether connections are encrypted, which makes this a tracker for
    /// https:// and not for http://.
    pub enable_tls: bool,
    /// File with the certificate and those that it is issued by, in PEM form.
    /// Read again on SIGHUP and SIGUSR1.
    pub tls_certificate_path: PathBuf,
    /// File with the private key of the certificate, in PEM form: PKCS#8,
    /// PKCS#1 or SEC1. Read again on SIGHUP and SIGUSR1.
    pub tls_private_key_path: PathBuf,
    /// Whether a connection may be used for several requests.
    pub keep_alive: bool,
    /// Maximum number of open connections.
    pub max_connections: MaxConnections,
    /// Maximum number of open connections of one IPv4 address, or of one IPv6
    /// network of 64 bits. The default leaves room for the hundreds of
    /// households behind one address of a provider, and keeps a single source
    /// from using up max_connections. Trusted proxies have no limit; raise it
    /// for a proxy that does not name its clients, and for a load test. 0: no
    /// limit.
    pub max_connections_per_ip: MaxConnectionsPerIp,
    /// Seconds in which a connection has to complete its TLS handshake, and its
    /// PROXY header.
    pub handshake_timeout: Timeout,
    /// Seconds in which a request has to arrive, from its first byte to its
    /// last. The first request of a connection has as long to begin.
    pub message_timeout: Timeout,
    /// Seconds in which a client has to take a reply.
    pub write_timeout: Timeout,
    /// Whether the tracker is reached through a reverse proxy that names the
    /// client's address in a header.
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
            address: Addresses::all(3000),
            event_loop: EventLoopConfig::Auto,
            tcp_backlog: Count::of::<1024>(),
            enable_tls: false,
            tls_certificate_path: PathBuf::new(),
            tls_private_key_path: PathBuf::new(),
            keep_alive: true,
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

/// Replies to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Maximum number of torrents in one scrape; the rest of a longer one is
    /// not answered.
    pub max_scrape_torrents: Count<1, 10_000>,
    /// Maximum number of peers in a reply to an announce.
    pub max_response_peers: Count<1, 10_000>,
    /// Seconds that clients are told to wait before they announce again. Public
    /// tracker lists want 300 to 10800.
    pub peer_announce_interval: AnnounceInterval,
    /// Seconds that clients are told to wait at least, even when they want more
    /// peers. Not more than peer_announce_interval, which otherwise is sent.
    pub min_announce_interval: AnnounceInterval,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            max_scrape_torrents: Count::of::<100>(),
            max_response_peers: Count::of::<50>(),
            peer_announce_interval: Seconds::of::<900>(),
            min_announce_interval: Seconds::of::<300>(),
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
    /// Seconds without a request after which a connection is closed.
    pub max_connection_idle: Seconds<1, 86_400>,
}

impl Default for CleaningConfig {
    fn default() -> Self {
        Self {
            torrent_cleaning_interval: Seconds::of::<120>(),
            max_peer_age: Seconds::of::<1800>(),
            max_connection_idle: Seconds::of::<180>(),
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
        old_keys::TLS,
        METRICS,
        CLEANING,
        MEANINGS,
        RENAMED,
    ];

    fn invalid(&self) -> Vec<Diagnostic> {
        Settings::new(self).err().unwrap_or_default()
    }
}

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
    OldKey::Changed {
        key: "network.runs_behind_reverse_proxy",
        tell: |found| {
            let is_on = found.is_true("network.runs_behind_reverse_proxy");
            (is_on && !found.has("network.trusted_proxies")).then_some(
                "earlier releases believed the header of everybody; now it is believed from \
                 trusted_proxies only, which are those of this machine unless the file says \
                 otherwise",
            )
        },
    },
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
        key: "protocol.peer_announce_interval",
        was: "120",
    },
    OldKey::Default {
        key: "cleaning.torrent_cleaning_interval",
        was: "30",
    },
];

/// What the other daemons call by another name.
const RENAMED: &[OldKey] = &[
    OldKey::Renamed {
        key: "network.request_timeout",
        to: "network.message_timeout",
    },
    OldKey::Renamed {
        key: "network.reply_timeout",
        to: "network.write_timeout",
    },
    OldKey::Renamed {
        key: "protocol.max_peers",
        to: "protocol.max_response_peers",
    },
];

/// Connections have deadlines of their own.
const CLEANING: &[OldKey] = &[OldKey::Dropped {
    key: "cleaning.connection_cleaning_interval",
    reason: "connections are closed when their time has come",
}];
