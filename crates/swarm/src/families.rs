//! Both address families of a tracker.

use std::sync::Arc;

use crate::{HashKey, Ipv4Swarm, Ipv6Swarm, Limits, Swarm, Usage};

/// The torrents of a tracker whose peers are addresses: a torrent's IPv4 peers
/// know nothing of its IPv6 peers.
pub struct Families {
    /// Peers that announced over IPv4.
    pub ipv4: Ipv4Swarm,
    /// Peers that announced over IPv6.
    pub ipv6: Ipv6Swarm,
    /// Torrents of both.
    pub usage: Arc<Usage>,
}

impl Families {
    /// No torrents. [`Limits::max_torrents`] is for both together.
    pub fn new(key: HashKey, limits: Limits) -> Self {
        let usage = Arc::new(Usage::default());
        Self {
            ipv4: Swarm::new(key, limits, usage.clone()),
            ipv6: Swarm::new(key, limits, usage.clone()),
            usage,
        }
    }
}
