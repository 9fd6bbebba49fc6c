//! The least and most that can be configured.

use std::ops::RangeInclusive;

/// Number of workers, when it is given.
pub const WORKERS: RangeInclusive<usize> = 1..=1024;
/// Connections that wait to be accepted. The kernel takes an `int`.
pub const BACKLOG: RangeInclusive<usize> = 1..=0x7fff_ffff;
/// Open connections.
pub const CONNECTIONS: RangeInclusive<usize> = 1..=10_000_000;
/// Bytes of a message: from one offer to what nobody has to say.
pub const MESSAGE_BYTES: RangeInclusive<usize> = 4_096..=16_777_216;
/// Bytes that wait for a client.
pub const UNSENT_BYTES: RangeInclusive<usize> = 16_384..=268_435_456;
/// Time for a handshake, a message or a reply: up to ten minutes.
pub const TIMEOUT_SECONDS: RangeInclusive<u32> = 1..=600;
/// Time without a sign of life: up to a day.
pub const IDLE_SECONDS: RangeInclusive<u32> = 2..=86_400;
/// Time for connections of an old certificate: up to a year.
pub const GRACE_SECONDS: RangeInclusive<u32> = 0..=31_536_000;
/// Time for an answer: up to an hour.
pub const OFFER_AGE_SECONDS: RangeInclusive<u32> = 1..=3_600;
/// Torrents in a scrape.
pub const SCRAPE_TORRENTS: RangeInclusive<usize> = 1..=10_000;
/// Offers of an announce.
pub const OFFERS: RangeInclusive<usize> = 1..=1_000;
/// Torrents with peers.
pub const TORRENTS: RangeInclusive<usize> = 1..=1_000_000_000;
/// Peers of a torrent.
pub const PEERS_PER_TORRENT: RangeInclusive<usize> = 1..=100_000_000;
/// Peers of an IP address, when they are limited.
pub const PEERS_PER_IP: RangeInclusive<usize> = 1..=1_000_000_000;
/// Torrents of a connection. They stand in one list, in their order.
pub const TORRENTS_PER_CONNECTION: RangeInclusive<usize> = 1..=100_000;
