//! Torrents and their peers, stored in the form in which they are sent.
//!
//! A [`Swarm`] is shared by all workers. It is divided into shards by info hash, each with
//! its own lock, and has no access to clock, sockets, configuration or log: time and
//! randomness are arguments, and what happened is returned.
//!
//! From the outside in:
//!
//! * [`Swarm`]: finds and locks the shard of a torrent; totals.
//! * [`LockedShard`]: announce, scrape and remove, on one shard; and apply, for announces
//!   to another node with the same swarm.
//! * [`Sweep`]: removes expired peers in bounded steps; [`TorrentWalk`]: visits the counts
//!   of all torrents in such steps.
//! * [`answer_in_rounds`]: several requests at once, without waiting for a lock while
//!   another one is held.
//! * [`Families`], [`WebSwarms`], [`SweepSchedule`]: swarms of IPv4 and IPv6, and their
//!   sweeps spread over time. [`SwarmTotals`]: their totals.
//! * `torrent`, `peers`: one torrent, and its peers in wire form.
//! * `retired`: torrents without peers, whose downloads still count.
//! * [`Selection`]: the peers of a reply, as slices to be copied.
//! * [`snapshot`]: conversion of the torrents of a shard to bytes, and back.
//!
//! A peer is a *record* of `S` bytes of which the first `K` are its key; a torrent stores
//! `N` records itself before it allocates memory. See [`Ipv4Swarm`], [`Ipv6Swarm`] and
//! [`WebSwarm`].

#![forbid(unsafe_code)]

mod address_counts;
mod deadline;
mod downloads;
mod families;
mod group;
mod hash_key;
mod limits;
mod peers;
mod position_index;
mod retired;
mod selection;
mod shard;
mod slot_index;
pub mod snapshot;
mod swarm;
mod sweep;
mod sweep_schedule;
mod torrent;
mod totals;
mod walk;

use aquatic_bittorrent::{IPV4_PEER_LENGTH, IPV6_PEER_LENGTH};

pub use deadline::MAX_LIFETIME_SECONDS;
pub use families::{Families, Swarms, WebSwarms};
pub use group::{Round, answer_in_rounds};
pub use hash_key::HashKey;
pub use limits::{LimitReached, SwarmLimits, Usage};
pub use selection::Selection;
pub use shard::{Announce, Announced, Applied};
pub use slot_index::{PLACES_PER_SHARD, PLACES_PER_TORRENT};
pub use swarm::{Foreseen, LockedShard, Swarm};
pub use sweep::Sweep;
pub use sweep_schedule::SweepSchedule;
pub use torrent::Scraped;
pub use totals::SwarmTotals;
pub use walk::TorrentWalk;

/// Peers in the format of BEP 23: 4 bytes of address, 2 of port, big-endian.
///
/// Two fit into the 48 bytes of a torrent.
pub type Ipv4Swarm = Swarm<IPV4_PEER_LENGTH, IPV4_PEER_LENGTH, 2>;

/// Peers in the format of BEP 7: 16 bytes of address, 2 of port, big-endian.
pub type Ipv6Swarm = Swarm<IPV6_PEER_LENGTH, IPV6_PEER_LENGTH, 1>;

/// Peers of WebTorrent: 20 bytes of peer id, which are the key, and 8 that identify the
/// connection that owns the peer.
pub type WebSwarm = Swarm<28, 20, 1>;
