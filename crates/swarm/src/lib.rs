//! Torrents and their peers, stored as they are sent.
//!
//! A [`Swarm`] is shared by all workers. It is cut into shards by info hash,
//! each behind a lock of its own, and knows neither clock, socket,
//! configuration nor log: time and randomness are arguments, what happened is
//! a return value.
//!
//! From the outside in:
//!
//! * [`Swarm`]: finds and locks the shard of a torrent; totals.
//! * [`LockedShard`]: announce, scrape and remove, on one shard; and apply, for what was
//!   announced to another that keeps the same swarm.
//! * [`Sweep`]: expiry in steps of bounded length; [`TorrentWalk`]: the counts of
//!   all torrents, likewise.
//! * [`answer_in_rounds`]: several requests at once, without waiting while a lock is held.
//! * [`Families`], [`WebSwarms`], [`SweepSchedule`]: IPv4 and IPv6 side by side,
//!   and their expiry spread over time. [`SwarmTotals`]: what they hold.
//! * `torrent`, `peers`: one torrent, and its peers in wire form.
//! * `retired`: torrents without peers, whose downloads still count.
//! * [`Selection`]: the peers of a reply, as slices to be copied.
//! * [`snapshot`]: the torrents of a shard as bytes, and back.
//!
//! A peer is a *record* of `S` bytes of which the first `K` are its key; `N`
//! records find place in a torrent before it needs memory of its own. See
//! [`Ipv4Swarm`], [`Ipv6Swarm`] and [`WebSwarm`].

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

pub use deadline::MAX_LIFETIME_SECONDS;
pub use families::{Families, Swarms, WebSwarms};
pub use group::answer_in_rounds;
pub use hash_key::HashKey;
pub use limits::{LimitReached, SwarmLimits, Usage};
pub use selection::Selection;
pub use shard::{Announce, Announced, Applied};
pub use slot_index::PLACES_PER_TORRENT;
pub use swarm::{LockedShard, Swarm};
pub use sweep::Sweep;
pub use sweep_schedule::SweepSchedule;
pub use torrent::Scraped;
pub use totals::SwarmTotals;
pub use walk::TorrentWalk;

/// Peers as BEP 23 sends them: 4 bytes of address, 2 of port, big-endian.
///
/// Four fit into a torrent's own 64 bytes.
pub type Ipv4Swarm = Swarm<6, 6, 4>;

/// Peers as BEP 7 sends them: 16 bytes of address, 2 of port, big-endian.
pub type Ipv6Swarm = Swarm<18, 18, 1>;

/// Peers of WebTorrent: 20 bytes of peer id, which are the key, and 8 by which
/// the daemon finds the connection that owns the peer.
pub type WebSwarm = Swarm<28, 20, 1>;
