//! Peer ids.

/// The 20 bytes with which a peer identifies itself (BEP 3, `peer_id`); they usually start
/// with its client software (BEP 20; see [`client`](crate::client)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 20]);
