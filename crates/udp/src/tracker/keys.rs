//! The keys of connection ids.

use std::net::IpAddr;
use std::sync::OnceLock;

use aquatic_udp_protocol::{ConnectionId, ConnectionIdKey};

/// The key with which connection ids are made, and that of before.
///
/// A tracker has a key of its own until it learns the one that all trackers of its cluster
/// use. Ids that were made with its own stay valid then.
pub struct ConnectionIdKeys {
    own: ConnectionIdKey,
    shared: OnceLock<ConnectionIdKey>,
}

impl ConnectionIdKeys {
    /// A tracker with a key of its own.
    pub fn new(own: ConnectionIdKey) -> Self {
        Self {
            own,
            shared: OnceLock::new(),
        }
    }

    /// Uses from now on the key of all trackers of the cluster. Only the first call has an
    /// effect: the key of a cluster does not change.
    pub fn share(&self, key: [u8; 16]) {
        // The second one finds it set.
        let _ = self.shared.set(ConnectionIdKey::from_bytes(key));
    }

    /// The key with which ids are made.
    #[inline]
    pub fn current(&self) -> &ConnectionIdKey {
        self.shared.get().unwrap_or(&self.own)
    }

    /// Whether an id was made with one of the keys; see [`ConnectionIdKey::is_valid`].
    #[inline]
    pub(super) fn is_valid(
        &self,
        id: ConnectionId,
        now_seconds: u32,
        address: IpAddr,
        max_age_seconds: u32,
    ) -> bool {
        let is_valid =
            |key: &ConnectionIdKey| key.is_valid(id, now_seconds, address, max_age_seconds);
        is_valid(self.current()) || self.shared.get().is_some() && is_valid(&self.own)
    }
}
