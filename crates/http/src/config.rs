//! The configuration of `aquatic-http`, as written by its users.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options. The daemon uses
//! [`Settings`](crate::settings::Settings).

use aquatic_policy::{AddressRange, AddressRules};
use aquatic_service::config::numbers::{Count, Seconds};
use aquatic_service::config::{
    AccessListConfig, AccountingConfig, AddressMapConfig, AnnounceInterval, BansConfig,
    BelievedClients, CleaningInterval, ClientsConfig, ClusterConfig, ExportOf, KeysConfig,
    LimitsConfig, LogLevel, MetricsConfig, PageConfig, PeerAge, PrivilegesConfig,
    ScrapeExportsConfig, SnapshotConfig, TcpRatesConfig, Texts, Workers, address_rules,
};
use aquatic_stream::config::ProtocolKeys;
use serde::{Deserialize, Serialize};

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
    /// Where peers are outside that the tracker sees at another address: in the
    /// same network as the tracker, on its host, or behind a container gateway.
    /// They are stored and handed out with the address outside, to peers in the
    /// same network, too. Section ADDRESSES OF PEERS in aquatic-http(8) describes
    /// it.
    pub address_map: AddressMapConfig,
    /// Contents of replies to clients.
    pub protocol: ProtocolConfig,
    /// Limits on memory use. Announces that exceed a limit are answered with an
    /// error.
    pub limits: LimitsConfig,
    /// How many requests and connections one source may make: an IPv4 address, or
    /// an IPv6 /64 network. Behind a trusted proxy, the client's address counts for
    /// requests; connections are not limited there. Section RATES in aquatic-http(8) describes it.
    pub rates: TcpRatesConfig,
    /// Expiry of peers and idle connections.
    pub cleaning: CleaningConfig,
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
    /// One swarm for several trackers, of this machine or of many.
    pub cluster: ClusterConfig,
    /// Snapshot file, which preserves torrents and peers across restarts.
    pub snapshot: SnapshotConfig,
    /// Periodic export of all torrents with their counts to a file.
    pub scrape_exports: ScrapeExportsConfig<HttpExport>,
}

/// The export of this daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct HttpExport;

impl ExportOf for HttpExport {
    const PATH: &'static str = "./http-scrape-export.txt";
}

impl Config {
    /// What decides under which address a peer is stored.
    #[inline]
    pub fn address_rules(&self) -> AddressRules<'_> {
        let network = &self.network.own;
        address_rules(
            &self.address_map,
            &network.believe_ip_from,
            network.reject_special_addresses,
        )
    }
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
    /// Addresses and networks of clients whose announces may contain addresses
    /// of the peer, in the parameters ip (BEP 3), ipv4 and ipv6 (BEP 7). They
    /// are used instead of the one that the announce came from; those of other
    /// clients are ignored. Such clients can announce anyone. Behind a proxy,
    /// these are the addresses that the proxy passes on. Empty: no clients.
    pub believe_ip_from: BelievedClients,
    /// Whether to reject announces of peers at private and other reserved
    /// addresses (RFC 6890), which nobody outside can reach. What address_map
    /// maps is mapped before.
    pub reject_special_addresses: bool,
}

impl Default for HttpKeys {
    fn default() -> Self {
        Self {
            keep_alive: true,
            believe_ip_from: BelievedClients::default(),
            reject_special_addresses: false,
        }
    }
}

impl ProtocolKeys for HttpKeys {
    const PORT: u16 = 3000;
    const SCHEMES: [&'static str; 2] = ["http", "https"];
    const PUBLIC_URL: &'static str = "\
URL under which clients reach the tracker, as it stands in torrents, such as
https://tracker.example.org/announce. Shown by the page for people and the
status page. Empty: they show the host that they were requested from, or the
addresses above.";
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
    /// Addresses and networks of clients that may request the counts of all
    /// torrents, with /scrape without an info hash. Others get an error. Behind
    /// a proxy, these are the addresses that the proxy passes on. Empty: no
    /// clients.
    pub full_scrape_from: Texts<AddressRange>,
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
            full_scrape_from: Texts::default(),
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
