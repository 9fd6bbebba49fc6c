//! Sections about swarms, for trackers whose peers are addresses.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::checks::Checks;
use super::numbers::{Bytes, Count, Seconds, ZeroOr};

/// What needs a restart of what links the swarms of daemons.
pub const NEED_RESTART: &[&str] = &["cluster"];

/// Maximum number of torrents.
pub type MaxTorrents = Count<1, 1_000_000_000>;
/// Maximum number of peers of a torrent.
pub type MaxPeersPerTorrent = Count<1, 100_000_000>;
/// Maximum number of peers per IP address; 0 for no limit.
pub type MaxPeersPerIp = ZeroOr<Count<1, 1_000_000_000>>;

/// Announce interval of clients: up to three hours, the maximum for public tracker lists.
pub type AnnounceInterval = Seconds<1, 10_800>;
/// Time for which a peer is kept after its last announce: up to eight hours.
pub type PeerAge = Seconds<1, 28_800>;
/// Time for one sweep over all torrents: up to an hour.
pub type CleaningInterval = Seconds<1, 3_600>;

/// The minimum announce interval for public tracker lists.
const LISTED_ANNOUNCE_INTERVAL: AnnounceInterval = Seconds::of::<300>();

/// Size of the streams in an engine: from a mebibyte to a tebibyte.
pub(super) type StreamBytes = Bytes<0x10_0000, 0x100_0000_0000>;
/// Size of an outbox: from a mebibyte to a tebibyte.
pub(super) type OutboxBytes = Bytes<0x10_0000, 0x100_0000_0000>;

/// Limits on memory use. Announces that exceed a limit are answered with an
/// error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Maximum number of torrents with peers. A torrent with both IPv4 and IPv6
    /// peers counts twice. Download counts are also kept for up to as many
    /// torrents without peers, per address family. When it is reached,
    /// announces of further torrents are rejected, and a warning is logged at
    /// most once per hour. max_peers_per_ip limits what a single address can
    /// take.
    pub max_torrents: MaxTorrents,
    /// Maximum number of peers per torrent and address family.
    pub max_peers_per_torrent: MaxPeersPerTorrent,
    /// Maximum number of peers with the same IPv4 address, or in the same IPv6
    /// /64 network, over all torrents. 0: no limit.
    pub max_peers_per_ip: MaxPeersPerIp,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_torrents: Count::of::<10_000_000>(),
            max_peers_per_torrent: Count::of::<1_000_000>(),
            max_peers_per_ip: ZeroOr::ZERO,
        }
    }
}

/// One swarm for several daemons, of one machine or of many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ClusterConfig {
    /// Whether aquatic-udp and aquatic-http on this machine share their peers, so that a
    /// peer that announces to one of them is found by those that ask the other. They have
    /// to run as the same user: they find each other in the runtime directory, which is
    /// /run/aquatic for packaged services, and otherwise $XDG_RUNTIME_DIR/aquatic, inside
    /// privileges.chroot_path if that is set. Has no effect if a URL is set, through which
    /// they share their peers, too. aquatic-cluster(7) describes it.
    pub local: bool,
    /// The server through which daemons of many machines share their peers.
    #[serde(flatten)]
    pub engine: EngineConfig,
}

/// The Redis or Valkey server through which daemons share their peers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct EngineConfig {
    /// URL of a Redis (6.2 or later) or Valkey server through which this daemon shares its
    /// peers with others, also on other machines: `redis://host:6379`, `rediss://` with
    /// TLS, `redis+unix:///path`, `redis+sentinel://host:26379,host:26379/name`, or
    /// `redis+cluster://host:6379,host:6379`. Empty: none.
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
    /// Maximum size of the shared data in the server, in bytes. It needs about 28 bytes for
    /// each announce within cleaning.max_peer_age, and 42 bytes for those of aquatic-ws.
    pub max_stream_bytes: StreamBytes,
    /// Maximum size of changes that wait to be sent, in bytes. Beyond it, the oldest are
    /// dropped. 20,000 announces per second are 32 MB per minute, and those of aquatic-ws
    /// 49 MB.
    pub max_outbox_bytes: OutboxBytes,
}

impl ClusterConfig {
    /// Whether other daemons may have the same swarm.
    pub fn is_enabled(&self) -> bool {
        self.local || self.engine.is_enabled()
    }
}

impl EngineConfig {
    /// Whether there is a server.
    pub fn is_enabled(&self) -> bool {
        !self.url.is_empty()
    }

    /// The files that are read, each under its key.
    pub fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let files = [
            ("cluster.password_file", &self.password_file),
            ("cluster.tls_ca_path", &self.tls_ca_path),
        ];
        let is_read = |path: &PathBuf| self.is_enabled() && !path.as_os_str().is_empty();
        let read = files.into_iter().filter(|(_, path)| is_read(path));
        read.map(|(key, path)| (key, path.clone())).collect()
    }
}

impl Default for ClusterConfig {
    fn default() -> Self {
        Self {
            local: true,
            engine: EngineConfig::default(),
        }
    }
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            username: String::new(),
            password_file: PathBuf::new(),
            tls_ca_path: PathBuf::new(),
            namespace: "default".to_owned(),
            node: String::new(),
            max_stream_bytes: Bytes::of::<1_000_000_000>(),
            max_outbox_bytes: Bytes::of::<100_000_000>(),
        }
    }
}

/// Checks `protocol.peer_announce_interval` and `cleaning.max_peer_age` like
/// [`check_unlisted_times`], for trackers that can be in public tracker lists.
pub fn check_announce_times(
    interval: AnnounceInterval,
    max_peer_age: PeerAge,
    checks: &mut Checks,
) {
    let least = LISTED_ANNOUNCE_INTERVAL;
    if interval < least {
        checks.advise(
            "protocol.peer_announce_interval",
            format!("{interval} is short: public tracker lists require {least} or more"),
        );
    }
    check_unlisted_times(interval, max_peer_age, checks);
}

/// Checks `protocol.peer_announce_interval` and `cleaning.max_peer_age` together: a peer
/// should not expire before its next announce.
pub fn check_unlisted_times(
    interval: AnnounceInterval,
    max_peer_age: PeerAge,
    checks: &mut Checks,
) {
    if max_peer_age.duration() <= interval.duration() {
        checks.advise(
            "cleaning.max_peer_age",
            format!(
                "{max_peer_age} is short: peers expire before they announce again, \
                 unless it is longer than protocol.peer_announce_interval, which is {interval}"
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_expires_too_soon_gives_advice() {
        fn advice<const INTERVAL: u64, const AGE: u64>() -> Vec<String> {
            let mut checks = Checks::new();
            check_announce_times(Seconds::of::<INTERVAL>(), Seconds::of::<AGE>(), &mut checks);
            checks
                .take_advice()
                .iter()
                .map(ToString::to_string)
                .collect()
        }
        assert_eq!(advice::<900, 901>(), [""; 0]);
        assert_eq!(advice::<900, 900>().len(), 1);
        let said = advice::<299, 600>();
        let expected = "protocol.peer_announce_interval: 299 is short";
        assert!(said[0].starts_with(expected), "{said:?}");
    }
}
