//! The configuration of `aquatic-udp`, as its user writes it.
//!
//! The doc comments of keys are what users read: in the default file, in the
//! manual page and in the NixOS options. [`Settings`] is what the daemon works
//! with.

use std::path::PathBuf;

use aquatic_service::config::numbers::unit::Unit;
use aquatic_service::config::numbers::{Bytes, Count, Minutes, Number, Seconds, ZeroOr};
use aquatic_service::config::old_keys::{self, Found, Merged};
use aquatic_service::config::{
    self, AccessListConfig, Addresses, AnnounceInterval, CleaningInterval, Diagnostic,
    LimitsConfig, LogLevel, MetricsConfig, OldKey, PeerAge, PrivilegesConfig, SnapshotConfig,
    Workers,
};
use aquatic_udp_protocol::{
    ANNOUNCE_REPLY_HEADER_LENGTH, IPV4_PEER_LENGTH, IPV6_PEER_LENGTH, MAX_IPV4_PAYLOAD,
    MAX_IPV6_PAYLOAD, REPLY_HEADER_LENGTH, SCRAPE_TORRENT_LENGTH,
};
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Maximum number of torrents in a scrape, so that the reply fits over IPv6 too.
pub const MAX_SCRAPE_TORRENTS: usize =
    (MAX_IPV6_PAYLOAD - REPLY_HEADER_LENGTH) / SCRAPE_TORRENT_LENGTH;
/// Maximum number of peers in a reply over IPv4.
pub const MAX_RESPONSE_PEERS_IPV4: usize =
    (MAX_IPV4_PAYLOAD - ANNOUNCE_REPLY_HEADER_LENGTH) / IPV4_PEER_LENGTH;
/// Maximum number of peers in a reply over IPv6.
pub const MAX_RESPONSE_PEERS_IPV6: usize =
    (MAX_IPV6_PAYLOAD - ANNOUNCE_REPLY_HEADER_LENGTH) / IPV6_PEER_LENGTH;

/// Size of a receive buffer; 0 for the system's default. The kernel takes an `int`.
pub type ReceiveBuffer = ZeroOr<Bytes<4096, 0x7fff_ffff>>;
/// Torrents in a scrape.
pub type ScrapeTorrents = Count<1, { MAX_SCRAPE_TORRENTS as u64 }>;
/// Peers in a reply.
pub type ResponsePeers = Number<PeersOfReply, 1, { MAX_RESPONSE_PEERS_IPV4 as u64 }>;
/// Time that a connection id can be used: up to an hour.
pub type ConnectionAge = Seconds<1, 3600>;

/// What [`ResponsePeers`] counts. [`Settings`] has a lower maximum when an IPv6
/// address is served, which those should learn at once who have exceeded both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeersOfReply;

impl Unit for PeersOfReply {
    const NAME: &'static str = "(79 when an IPv6 address is served)";
}

/// Configuration of aquatic-udp, a BitTorrent tracker over UDP.
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
    /// Sockets.
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
    /// A file that lists all torrents with their counts, which is replaced
    /// regularly.
    pub scrape_exports: ScrapeExportsConfig,
}

/// Sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// IP address and port to serve, or a list of them. `0.0.0.0` is every
    /// IPv4 address and `[::]` every IPv6 address of the machine, and a reply
    /// comes from the one that was asked; IPv6 addresses never serve IPv4.
    /// Each worker has a socket for each address. The socket unit of a
    /// packaged service, too, has its addresses from here. One that you write
    /// yourself has its own, which are served instead of these.
    pub address: Addresses,
    /// Size of the kernel's receive buffer of each socket, in bytes. Room for
    /// the requests that arrive while a worker is busy; the system may allow
    /// less (sysctl net.core.rmem_max). 0: what the system gives by default.
    pub socket_recv_buffer_size: ReceiveBuffer,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            address: Addresses::all(3000),
            socket_recv_buffer_size: ZeroOr::of::<8_000_000>(),
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
    pub max_scrape_torrents: ScrapeTorrents,
    /// Maximum number of peers in a reply to an announce. A reply has to fit
    /// into one datagram, so the maximum is 79 when an IPv6 address is
    /// served.
    pub max_response_peers: ResponsePeers,
    /// Seconds that clients are told to wait before they announce again. Public
    /// tracker lists want 300 to 10800.
    pub peer_announce_interval: AnnounceInterval,
}

impl Default for ProtocolConfig {
    fn default() -> Self {
        Self {
            max_scrape_torrents: Count::of::<70>(),
            max_response_peers: Number::of::<30>(),
            peer_announce_interval: Seconds::of::<900>(),
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
    /// Seconds that a client can use a connection id.
    pub max_connection_age: ConnectionAge,
}

impl Default for CleaningConfig {
    fn default() -> Self {
        Self {
            torrent_cleaning_interval: Seconds::of::<120>(),
            max_peer_age: Seconds::of::<1200>(),
            max_connection_age: Seconds::of::<120>(),
        }
    }
}

/// A file that lists all torrents with their counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ScrapeExportsConfig {
    /// Whether to write the file.
    pub enable_scrape_exports: bool,
    /// Minutes between two writes.
    pub frequency: Minutes<1, { 7 * 24 * 60 }>,
    /// The file. It is replaced as a whole, so readers never see half of it.
    pub path: PathBuf,
}

impl Default for ScrapeExportsConfig {
    fn default() -> Self {
        Self {
            enable_scrape_exports: false,
            frequency: Minutes::of::<10>(),
            path: "./udp-scrape-export.txt".into(),
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
        STATISTICS,
        CLEANING,
        DEFAULTS,
    ];

    fn invalid(&self) -> Vec<Diagnostic> {
        Settings::new(self).err().unwrap_or_default()
    }
}

/// `[statistics]` became `[metrics]`, as the other daemons call it.
const STATISTICS: &[OldKey] = &[
    OldKey::Dropped {
        key: "statistics.interval",
        reason: "metrics are counted when they are asked for",
    },
    OldKey::Dropped {
        key: "statistics.torrent_peer_histograms",
        reason: "there are no histograms of peers per torrent",
    },
    OldKey::Dropped {
        key: "statistics.print_to_stdout",
        reason: USE_METRICS,
    },
    OldKey::Dropped {
        key: "statistics.write_html_to_file",
        reason: USE_METRICS,
    },
    OldKey::Dropped {
        key: "statistics.html_file_path",
        reason: USE_METRICS,
    },
    OldKey::Moved {
        key: "statistics.peer_clients",
        to: "metrics.peer_clients",
    },
    OldKey::Moved {
        key: "statistics.prometheus_peer_id_prefixes",
        to: "metrics.peer_id_prefixes",
    },
    OldKey::Merged {
        keys: &[
            "statistics.run_prometheus_endpoint",
            "statistics.prometheus_endpoint_address",
        ],
        to: "metrics.address",
        merge: statistics_address,
    },
];

fn statistics_address(found: &mut Found<'_, '_>) -> Merged {
    old_keys::endpoint(found, "statistics")
}

/// What was in effect where a file did not say.
const DEFAULTS: &[OldKey] = &[
    OldKey::Default {
        key: "socket_workers",
        was: "1",
    },
    OldKey::Default {
        key: "log_level",
        was: "\"error\"",
    },
    OldKey::Default {
        key: "network.address",
        was: "\"0.0.0.0:3000\"",
    },
    OldKey::Default {
        key: "network.socket_recv_buffer_size",
        was: "524288 in release 0.2",
    },
    OldKey::Default {
        key: "protocol.max_response_peers",
        was: "50 in release 0.2",
    },
];

/// Connection ids are checked when they are used.
const CLEANING: &[OldKey] = &[OldKey::Dropped {
    key: "cleaning.connection_cleaning_interval",
    reason: "connection ids take no memory, so there is nothing to clean",
}];

const USE_METRICS: &str = "statistics are served over HTTP; set metrics.address";
