//! Types that all BitTorrent tracker protocols share.
//!
//! * [`InfoHash`]: identifies a torrent (BEP 3; BEP 52 truncated).
//! * [`PeerId`]: identifies a peer, and its [`client`] software.
//! * [`ipv4_peer()`], [`ipv6_peer()`]: peers as they are sent.
//! * [`AnnounceEvent`]: the event of an announce; [`PeerChange`]: the change that it
//!   causes.
//! * [`source_network()`]: the network of a source address, for limits.
//!
//! Nothing here does I/O, reads a clock or allocates for a request.

#![forbid(unsafe_code)]

pub mod client;
mod compact_peer;
mod event;
mod info_hash;
mod peer_id;
mod source_network;

pub use compact_peer::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH, ipv4_peer, ipv6_peer};
pub use event::{AnnounceEvent, PeerChange};
pub use info_hash::{InfoHash, ParseInfoHashError};
pub use peer_id::PeerId;
pub use source_network::{IPV6_NETWORK_LENGTH, source_network};
