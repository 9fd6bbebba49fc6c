//! The least and most that can be configured.

use std::ops::RangeInclusive;

/// Number of workers, when it is given.
pub const WORKERS: RangeInclusive<usize> = 1..=1024;
/// Connections that wait to be accepted. The kernel takes an `int`.
pub const BACKLOG: RangeInclusive<usize> = 1..=0x7fff_ffff;
/// Open connections.
pub const CONNECTIONS: RangeInclusive<usize> = 1..=10_000_000;
/// Time for a handshake, a request or a reply: up to ten minutes.
pub const TIMEOUT_SECONDS: RangeInclusive<u32> = 1..=600;
/// Time without a request: up to a day.
pub const IDLE_SECONDS: RangeInclusive<u32> = 1..=86_400;
/// Torrents in a scrape. A request has room for some 500.
pub const SCRAPE_TORRENTS: RangeInclusive<usize> = 1..=10_000;
/// Peers in a reply.
pub const PEERS: RangeInclusive<usize> = 1..=10_000;
