//! The configuration of `aquatic-udp`, as written by its users.
//!
//! The doc comments of keys are user documentation: they become comments in the default
//! file, the manual page and the descriptions of NixOS options. The daemon uses
//! [`Settings`](crate::settings::Settings).

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH};
use aquatic_policy::AddressRules;
use aquatic_service::config::address_rules;
use aquatic_service::config::numbers::unit::Unit;
use aquatic_service::config::numbers::{Bytes, Count, Number, Seconds, ZeroOr};
use aquatic_service::config::{
    AccessListConfig, AccountingConfig, AddressMapConfig, Addresses, AnnounceInterval, BansConfig,
    BelievedClients, CleaningInterval, ClientsConfig, ClusterConfig, ExportOf, KeysConfig,
    LimitsConfig, LogLevel, MetricsConfig, PeerAge, PrivilegesConfig, PublicUrl, RatesConfig,
    ScrapeExportsConfig, SnapshotConfig, Workers,
};
use aquatic_udp_protocol::{
    ANNOUNCE_REPLY_HEADER_LENGTH, MAX_IPV4_PAYLOAD, MAX_IPV6_PAYLOAD, REPLY_HEADER_LENGTH,
    SCRAPE_TORRENT_LENGTH,
};
use serde::{Deserialize, Serialize};

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
/// Time for which a connection id is valid: up to an hour.
pub type ConnectionAge = Seconds<1, 3600>;

/// The unit of [`ResponsePeers`]. With an IPv6 address,
/// [`Settings`](crate::settings::Settings) has a lower maximum, which the error for values
/// above both maximums should mention.
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
    /// Number of worker threads. Each reads requests from its own sockets and
    /// answers them. 0: one per CPU core.
    pub socket_workers: Workers,
    /// Log verbosity. Messages go to the journal under systemd, otherwise to
    /// standard error.
    pub log_level: LogLevel,
    /// Listening sockets.
    pub network: NetworkConfig,
    /// Where peers are outside that the tracker sees at another address: in the
    /// same network as the tracker, on its host, or behind a container gateway.
    /// They are stored and handed out with the address outside, to peers in the
    /// same network, too. Section ADDRESSES OF PEERS in aquatic-udp(8) describes
    /// it.
    pub address_map: AddressMapConfig,
    /// Contents of replies to clients.
    pub protocol: ProtocolConfig,
    /// Limits on memory use. Announces that exceed a limit are answered with an
    /// error.
    pub limits: LimitsConfig,
    /// How many requests one source may make: an IPv4 address, or an IPv6 /64
    /// network. Section RATES in aquatic-udp(8) describes it.
    pub rates: RatesConfig,
    /// Expiry of peers and connection ids.
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
    /// One swarm for several trackers, of this machine or of many.
    pub cluster: ClusterConfig,
    /// Snapshot file, which preserves torrents and peers across restarts.
    pub snapshot: SnapshotConfig,
    /// Periodic export of all torrents with their counts to a file.
    pub scrape_exports: ScrapeExportsConfig<UdpExport>,
}

/// Listening sockets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// IP address and port to listen on, or a list of them. `0.0.0.0` means all
    /// IPv4 addresses of the machine, and `[::]` all IPv6 addresses; replies
    /// are sent from the address that received the request. IPv6 sockets never
    /// accept IPv4 traffic. Each worker has one socket per address. The socket
    /// unit of a packaged service takes its addresses from here, too. With a
    /// socket unit of your own, the addresses in the unit are used instead of
    /// these.
    pub address: Addresses,
    /// URL under which clients reach the tracker, as it stands in torrents, such
    /// as udp://tracker.example.org:3000. Shown by the status page. Empty: it
    /// shows the host that it was requested from, or the addresses above.
    pub public_url: PublicUrl,
    /// IPv4 addresses and networks of clients whose announces may contain the
    /// address of the peer (BEP 15). It is used instead of the one that they are
    /// sent from; that of other clients is ignored. Such clients can announce
    /// anyone. Announces over IPv6 have no such field. Empty: no clients.
    pub believe_ip_from: BelievedClients,
    /// Whether to reject announces of peers at private and other reserved
    /// addresses (RFC 6890), which nobody outside can reach. What address_map
    /// maps is mapped before.
    pub reject_special_addresses: bool,
    /// Size of the kernel's receive buffer for each socket, in bytes. It holds
    /// requests that arrive while a worker is busy. The kernel may grant less
    /// (sysctl net.core.rmem_max). 0: the system's default.
    pub socket_recv_buffer_size: ReceiveBuffer,
}

impl Config {
    /// What decides under which address a peer is stored.
    #[inline]
    pub fn address_rules(&self) -> AddressRules<'_> {
        let network = &self.network;
        address_rules(
            &self.address_map,
            &network.believe_ip_from,
            network.reject_special_addresses,
        )
    }
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            address: Addresses::all(3000),
            public_url: PublicUrl::default(),
            believe_ip_from: BelievedClients::default(),
            reject_special_addresses: false,
            socket_recv_buffer_size: ZeroOr::of::<8_000_000>(),
        }
    }
}

/// Contents of replies to clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ProtocolConfig {
    /// Maximum number of torrents in a scrape reply. Further info hashes of the
    /// request are ignored.
    pub max_scrape_torrents: ScrapeTorrents,
    /// Maximum number of peers in an announce reply. A reply has to fit into
    /// one datagram, so the limit is 79 if an IPv6 address is configured.
    pub max_response_peers: ResponsePeers,
    /// Announce interval sent to clients, in seconds. Public tracker lists
    /// require 300 to 10800.
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

/// Expiry of peers and connection ids.
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
    /// Seconds for which a connection id is valid.
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

/// The export of this daemon.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct UdpExport;

impl ExportOf for UdpExport {
    const PATH: &'static str = "./udp-scrape-export.txt";
}
