//! The terms that every BitTorrent tracker protocol shares.
//!
//! * [`InfoHash`]: what names a torrent (BEP 3; BEP 52 truncated).
//! * [`PeerId`]: what a peer calls itself, and the [`client`] software it names.
//! * [`AnnounceEvent`]: why a peer announces; [`PeerChange`]: what that changes.
//! * [`source_network()`]: whom an address belongs to.
//!
//! Nothing here does I/O, reads a clock or allocates for a request.

#![forbid(unsafe_code)]

pub mod client;
mod event;
mod info_hash;
mod peer_id;
mod source_network;

pub use event::{AnnounceEvent, PeerChange};
pub use info_hash::{InfoHash, ParseInfoHashError};
pub use peer_id::PeerId;
pub use source_network::{IPV6_NETWORK_LENGTH, source_network};
