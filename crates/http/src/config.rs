//! The configuration of `aquatic-http`, as written by its users.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options. The daemon uses
//! [`Settings`].

use aquatic_service::config::numbers::{Count, Seconds};
use aquatic_service::config::old_keys::{self, Found, Merged};
use aquatic_service::config::{
    self, AccessListConfig, AnnounceInterval, CleaningInterval, ClusterConfig, Diagnostic,
    LimitsConfig, LogLevel, MetricsConfig, OldKey, PeerAge, PrivilegesConfig, SnapshotConfig,
    Workers,
};
use aquatic_stream::config::ProtocolKeys;
use serde::{Deserialize, Serialize};

use crate::settings::Settings;

/// Configuration of aquatic-http, a BitTorrent tracker over HTTP and HTTPS.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Number of worker threads. Each reads requests from its own sockets and
    /// answers them. 0: one per CPU core.
    pub socket_workers: Workers,
    /// Log verbosity. Messages go to the journal under systemd, otherwise to
    /// standard error.
    pub log_level: LogLevel,
    /// Listening sockets and client connections.
    pub network: NetworkConfig,
    /// Contents of replies to clients.
    pub protocol: ProtocolConfig,
    /// Limits on memory use. Announces that exceed a limit are answered with an
    /// error.
    pub limits: LimitsConfig,
    /// Expiry of peers and idle connections.
    pub cleaning: CleaningConfig,
    /// Dropping of privileges when started as root, once the sockets are open.
    /// Not needed under systemd, which starts the service as an unprivileged
    /// user.
    pub privileges: PrivilegesConfig,
    /// Allow list or deny list of torrents.
    pub access_list: AccessListConfig,
    /// Metrics over HTTP: /metrics in the Prometheus text format, /stats.json
    /// and /health.
    pub metrics: MetricsConfig,
    /// One swarm for several trackers, of this machine or of many.
    pub cluster: ClusterConfig,
    /// Snapshot file, which preserves torrents and peers across restarts.
    pub snapshot: SnapshotConfig,
}

/// Listening sockets and client connections.
pub type NetworkConfig = aquatic_stream::config::NetworkConfig<HttpKeys>;

/// The keys of the section `network` that only this daemon has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct HttpKeys {
    /// Whether a connection may be used for several requests (HTTP keep-alive).
    pub keep_alive: bool,
}

impl Default for HttpKeys {
    fn default() -> Self {
        Self { keep_alive: true }
    }
}

impl ProtocolKeys for HttpKeys {
    const PORT: u16 = 3000;
    const ENABLE_TLS: &'static str =
        "Whether to use TLS. If true, the tracker serves https://, and not\nhttp://.";
    const HANDSHAKE_TIMEOUT: &'static str = "\
Time limit for the TLS handshake and the PROXY protocol header of a new
connection, in seconds.";
    const MESSAGE_TIMEOUT: &'static str = "\
Time limit for receiving a request, from its first byte to its last, in
seconds. The first request of a connection also has to begin within this
time.";
}

/// Contents of replies to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Maximum number of torrents in a scrape reply. Further info hashes of the
    /// request are ignored.
    pub max_scrape_torrents: Count<1, 10_000>,
    /// Maximum number of peers in an announce reply.
    pub max_response_peers: Count<1, 10_000>,
    /// Announce interval sent to clients, in seconds. Public tracker lists
    /// require 300 to 10800.
    pub peer_announce_interval: AnnounceInterval,
    /// Minimum announce interval sent to clients, in seconds, to be observed
    /// even by clients that want more peers. If it is longer than
    /// peer_announce_interval, the latter is sent instead.
    pub min_announce_interval: AnnounceInterval,
}

impl ProtocolConfig {
    /// The minimum announce interval that is sent. An old file may have a shorter
    /// interval than today's default minimum.
    pub fn min_interval(&self) -> AnnounceInterval {
        self.min_announce_interval.min(self.peer_announce_interval)
    }
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

/// Expiry of peers and idle connections.
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
    OldKey::Changed {
        key: "network.runs_behind_reverse_proxy",
        tell: |found| {
            let is_on = found.is_true("network.runs_behind_reverse_proxy");
            (is_on && !found.has("network.trusted_proxies")).then_some(
                "earlier releases trusted the header from any source; now it is only trusted from \
                 trusted_proxies, by default the addresses of this machine",
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

/// Keys that have another name in the other daemons.
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

/// Connections have their own deadlines.
const CLEANING: &[OldKey] = &[OldKey::Dropped {
    key: "cleaning.connection_cleaning_interval",
    reason: "connections are closed at their own deadlines",
}];
