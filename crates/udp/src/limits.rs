//! The least and most that can be configured. The sizes of replies follow from
//! BEP 15 and from Ethernet's 1500 bytes, of which IPv4 and UDP take 28 and IPv6
//! and UDP 48.

use std::ops::RangeInclusive;

/// Number of workers, when it is given.
pub const WORKERS: RangeInclusive<usize> = 1..=1024;
/// Size of a receive buffer, when it is given. The kernel takes an `int`.
pub const RECEIVE_BUFFER_BYTES: RangeInclusive<usize> = 4096..=0x7fff_ffff;
/// Torrents in a scrape: 12 bytes each after 8, within 1452.
pub const SCRAPE_TORRENTS: RangeInclusive<usize> = 1..=(1452 - 8) / 12;
/// Peers in a reply over IPv4: 6 bytes each after 20, within 1472.
pub const MOST_RESPONSE_PEERS_IPV4: usize = (1472 - 20) / 6;
/// Peers in a reply over IPv6: 18 bytes each after 20, within 1452.
pub const MOST_RESPONSE_PEERS_IPV6: usize = (1452 - 20) / 18;
/// Age of a connection id: up to an hour.
pub const CONNECTION_AGE_SECONDS: RangeInclusive<u32> = 1..=3600;
/// Minutes between exports: up to a week.
pub const EXPORT_MINUTES: RangeInclusive<u32> = 1..=10_080;
