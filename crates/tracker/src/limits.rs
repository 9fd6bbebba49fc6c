//! What bounds swarms, from the configuration.

use std::num::NonZeroU16;

use aquatic_service::config::{AnnounceInterval, ClusterConfig, LimitsConfig};
use aquatic_swarm::SwarmLimits;

/// Seconds by which clients may announce later than they are told to.
const MAX_DELAY_SECONDS: u32 = 60;

/// The limits of swarms whose peers are addresses. In a cluster, an announce that says
/// nothing new counts only if the peer would be forgotten before its next one, which may
/// be late by a twentieth of the interval and a minute.
pub fn swarm_limits(
    limits: &LimitsConfig,
    cluster: &ClusterConfig,
    interval: AnnounceInterval,
) -> SwarmLimits {
    let interval = interval.as_u32();
    let seconds = interval + interval.div_ceil(20) + MAX_DELAY_SECONDS;
    let seconds = NonZeroU16::new(u16::try_from(seconds).unwrap_or(u16::MAX));
    SwarmLimits {
        refresh_below_seconds: seconds.filter(|_| cluster.is_enabled()),
        ..SwarmLimits::new(
            limits.max_torrents.non_zero(),
            limits.max_peers_per_torrent.non_zero(),
            limits.max_peers_per_ip.non_zero(),
        )
    }
}

#[cfg(test)]
mod tests {
    use aquatic_service::config::numbers::Seconds;

    use super::*;

    #[test]
    fn announces_count_if_the_peer_would_expire_before_the_next_one() {
        let below = |local, interval| {
            let limits = LimitsConfig::default();
            let cluster = ClusterConfig {
                local,
                ..ClusterConfig::default()
            };
            let limits = swarm_limits(&limits, &cluster, interval);
            limits.refresh_below_seconds.map(NonZeroU16::get)
        };
        assert_eq!(below(true, Seconds::of::<900>()), Some(1_005));
        assert_eq!(below(true, Seconds::of::<1>()), Some(62));
        assert_eq!(below(true, Seconds::of::<10_800>()), Some(11_400));
        assert_eq!(below(false, Seconds::of::<900>()), None);
    }
}
