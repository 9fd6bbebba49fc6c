//! What can be set about swarms, spelled the same way by trackers whose peers
//! are addresses.

use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::checks::Checks;

/// Torrents of a family.
const TORRENTS: RangeInclusive<usize> = 1..=1_000_000_000;
/// Peers of a torrent.
const PEERS_PER_TORRENT: RangeInclusive<usize> = 1..=100_000_000;
/// Peers of an IP address, when they are limited.
const PEERS_PER_IP: RangeInclusive<usize> = 1..=1_000_000_000;

/// The longest time between announces of a client that can be configured:
/// three hours.
pub const LONGEST_ANNOUNCE_INTERVAL_SECONDS: u32 = 10_800;
/// The longest time that a peer can be kept: eight hours.
pub const LONGEST_PEER_AGE_SECONDS: u32 = 28_800;
/// The longest time to go through all torrents that can be configured: an hour.
pub const LONGEST_CLEANING_INTERVAL_SECONDS: u32 = 3_600;
/// The shortest time between announces that public tracker lists accept.
const LISTED_ANNOUNCE_INTERVAL_SECONDS: u64 = 300;

/// Bounds on memory.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct LimitsConfig {
    /// Maximum number of torrents with peers. One with peers of both IPv4 and
    /// IPv6 counts twice. Download counts are kept of as many torrents
    /// without peers, IPv4 and IPv6 each.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *TORRENTS.end())))]
    pub max_torrents: usize,
    /// Maximum number of peers of one torrent, IPv4 and IPv6 each.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = *PEERS_PER_TORRENT.end())))]
    pub max_peers_per_torrent: usize,
    /// Maximum number of peers of one IPv4 address, or of one IPv6 network of
    /// 64 bits, over all torrents. 0: no limit.
    #[cfg_attr(feature = "schema", schemars(range(min = 0, max = *PEERS_PER_IP.end())))]
    pub max_peers_per_ip: usize,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            max_torrents: 10_000_000,
            max_peers_per_torrent: 1_000_000,
            max_peers_per_ip: 0,
        }
    }
}

/// Bounds on memory, valid by type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitsSettings {
    /// Most torrents that have peers, counted for each family that they have
    /// peers of.
    pub max_torrents: NonZeroUsize,
    /// Most peers of one torrent, in one family.
    pub max_peers_per_torrent: NonZeroUsize,
    /// Most peers of one IPv4 address or IPv6 /64 network; `None` for no limit.
    pub max_peers_per_ip: Option<NonZeroUsize>,
}

impl LimitsConfig {
    /// Checks the section `limits`.
    pub fn settings(&self, checks: &mut Checks) -> LimitsSettings {
        LimitsSettings {
            max_torrents: checks.at_least_one("limits.max_torrents", self.max_torrents, TORRENTS),
            max_peers_per_torrent: checks.at_least_one(
                "limits.max_peers_per_torrent",
                self.max_peers_per_torrent,
                PEERS_PER_TORRENT,
            ),
            max_peers_per_ip: checks.optional(
                "limits.max_peers_per_ip",
                self.max_peers_per_ip,
                PEERS_PER_IP,
            ),
        }
    }
}

/// How long clients wait, and peers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceTimes {
    /// How long clients are told to wait before they announce again.
    pub interval: Duration,
    /// Time after its last announce that a peer is forgotten.
    pub max_peer_age: Duration,
}

impl AnnounceTimes {
    /// As [`check_unlisted`](Self::check_unlisted), for a tracker of a kind that
    /// public tracker lists have.
    pub fn check(interval_seconds: u32, max_peer_age_seconds: u32, checks: &mut Checks) -> Self {
        let times = Self::check_unlisted(interval_seconds, max_peer_age_seconds, checks);
        let least = LISTED_ANNOUNCE_INTERVAL_SECONDS;
        let interval = times.interval.as_secs();
        if interval < least {
            checks.advise(
                "protocol.peer_announce_interval",
                format!("{interval} is short: public tracker lists want {least} or more"),
            );
        }
        times
    }

    /// Checks `protocol.peer_announce_interval` and `cleaning.max_peer_age`. A
    /// peer should not be forgotten before it is to announce again.
    pub fn check_unlisted(
        interval_seconds: u32,
        max_peer_age_seconds: u32,
        checks: &mut Checks,
    ) -> Self {
        let interval = checks.seconds(
            "protocol.peer_announce_interval",
            interval_seconds,
            1..=LONGEST_ANNOUNCE_INTERVAL_SECONDS,
        );
        let max_peer_age = checks.seconds(
            "cleaning.max_peer_age",
            max_peer_age_seconds,
            1..=LONGEST_PEER_AGE_SECONDS,
        );
        if max_peer_age <= interval {
            checks.advise(
                "cleaning.max_peer_age",
                format!(
                    "{} is short: peers are forgotten before they announce again, unless it is \
                     more than protocol.peer_announce_interval, which is {}",
                    max_peer_age.as_secs(),
                    interval.as_secs()
                ),
            );
        }
        Self {
            interval,
            max_peer_age,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_that_is_forgotten_too_soon_is_spoken_of() {
        let advice = |interval, age| {
            let mut checks = Checks::new();
            AnnounceTimes::check(interval, age, &mut checks);
            checks.take_advice()
        };
        assert!(advice(900, 901).is_empty());
        assert_eq!(advice(900, 900).len(), 1);
        let said = advice(299, 600)[0].to_string();
        assert!(
            said.starts_with("protocol.peer_announce_interval: 299 is short"),
            "{said}"
        );
    }

    #[test]
    fn limits_have_ranges() {
        let mut checks = Checks::new();
        let config = LimitsConfig {
            max_torrents: 0,
            max_peers_per_torrent: 1,
            max_peers_per_ip: 0,
        };
        let settings = config.settings(&mut checks);
        assert_eq!(settings.max_peers_per_ip, None);
        let invalid = checks.finish(()).unwrap_err();
        assert_eq!(invalid.len(), 1);
        assert_eq!(invalid[0].key.as_deref(), Some("limits.max_torrents"));
    }
}
