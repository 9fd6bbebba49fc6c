//! The configuration of `aquatic-ws`, as written by its users.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options. The daemon uses
//! [`Settings`](crate::settings::Settings).

use aquatic_service::config::numbers::{Bytes, Count, Seconds, ZeroOr};
use aquatic_service::config::{
    AccessListConfig, AccountingConfig, AnnounceInterval, BansConfig, CleaningInterval,
    ClientsConfig, EngineConfig, ExportOf, KeysConfig, LogLevel, MaxPeersPerIp, MaxPeersPerTorrent,
    MaxTorrents, MetricsConfig, PageConfig, PeerAge, PrivilegesConfig, ScrapeExportsConfig,
    SnapshotConfig, TcpRatesConfig, Texts, Workers,
};
use aquatic_stream::config::ProtocolKeys;
use serde::{Deserialize, Serialize};

use crate::origin::Origin;

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
    /// How many messages and connections one source may make: an IPv4 address, or
    /// an IPv6 /64 network. Behind a trusted proxy, the client's address counts for
    /// messages; connections are not limited there. Section RATES in aquatic-ws(8) describes it.
    pub rates: TcpRatesConfig,
    /// Expiry of peers, offers and connections.
    pub cleaning: CleaningConfig,
    /// One swarm for several aquatic-ws, also on several machines. Offers and answers are
    /// relayed between them, too. aquatic-cluster(7) describes it.
    pub cluster: EngineConfig,
    /// Dropping of privileges when started as root, once the sockets are open.
    /// Not needed under systemd, which starts the service as an unprivileged
    /// user.
    pub privileges: PrivilegesConfig,
    /// Allow lists and deny lists of torrents. A torrent is served if it is on an
    /// allow list, when there is any, and on no deny list.
    pub access_list: AccessListConfig,
    /// Bans by address. Announces and scrapes of banned addresses are answered
    /// with an error.
    pub bans: BansConfig,
    /// Client software that is served, by the first bytes of peer ids. A client
    /// is served if it is on an allow list, when there is any, and on no deny
    /// list.
    pub clients: ClientsConfig,
    /// Keys of clients, for private trackers: only who has a key is served.
    pub keys: KeysConfig,
    /// Announces of clients with keys, for the ratios of a private tracker.
    pub accounting: AccountingConfig,
    /// Status page and metrics over HTTP: / for people, /metrics in the
    /// Prometheus text format, /stats.json and /health.
    pub metrics: MetricsConfig,
    /// The page for people at /, with the announce URL to copy.
    pub page: PageConfig,
    /// Snapshot file, which preserves the download counts of torrents across
    /// restarts. Peers are not saved, because they exist only as long as their
    /// connections.
    pub snapshot: SnapshotConfig,
    /// Periodic export of all torrents with their counts to a file.
    pub scrape_exports: ScrapeExportsConfig<WsExport>,
}

/// The export of this daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct WsExport;

impl ExportOf for WsExport {
    const PATH: &'static str = "./ws-scrape-export.txt";
}

/// Listening sockets and client connections.
pub type NetworkConfig = aquatic_stream::config::NetworkConfig<WsKeys>;

/// The keys of the section `network` that only this daemon has.
#[allow(
    rustdoc::bare_urls,
    reason = "the text stands in the configuration file and manual page, too"
)]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct WsKeys {
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
}

impl Default for WsKeys {
    fn default() -> Self {
        Self {
            allowed_origins: Texts::default(),
            websocket_max_message_size: Bytes::of::<{ 64 << 10 }>(),
            websocket_max_frame_size: Bytes::of::<{ 64 << 10 }>(),
            max_unsent_bytes: Bytes::of::<{ 128 << 10 }>(),
        }
    }
}

impl ProtocolKeys for WsKeys {
    const PORT: u16 = 3001;
    const SCHEMES: [&'static str; 2] = ["ws", "wss"];
    const PUBLIC_URL: &'static str = "\
URL under which clients reach the tracker, as it stands in torrents, such as
wss://tracker.example.org. Shown by the page for people and the status page.
Empty: they show the host that they were requested from, or the addresses
above.";
    const ENABLE_TLS: &'static str = "\
Whether to use TLS. If true, the tracker serves wss://, and not ws://.
Pages loaded over https:// can only use wss://.";
    const HANDSHAKE_TIMEOUT: &'static str = "\
Time limit for the TLS handshake and the PROXY protocol header of a new
connection, and for its WebSocket upgrade request to begin, in seconds.";
    const MESSAGE_TIMEOUT: &'static str = "\
Time limit for receiving a message or the WebSocket upgrade request,
from its first byte to its last, in seconds.";
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
