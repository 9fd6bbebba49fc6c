//! What a peer calls itself.

/// The 20 bytes by which a peer names itself (BEP 3, `peer_id`), usually
/// starting with its client software (BEP 20; see [`client`](crate::client)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PeerId(pub [u8; 20]);
