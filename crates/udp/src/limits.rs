//! The least and most that can be configured. Replies have to fit an Ethernet frame.

use std::ops::RangeInclusive;

use aquatic_udp_protocol::{
    ANNOUNCE_REPLY_HEADER_LENGTH, IPV4_PEER_LENGTH, IPV6_PEER_LENGTH, MAX_IPV4_PAYLOAD,
    MAX_IPV6_PAYLOAD, REPLY_HEADER_LENGTH, SCRAPE_TORRENT_LENGTH,
};

/// Number of workers, when it is given.
pub const WORKERS: RangeInclusive<usize> = 1..=1024;
/// Size of a receive buffer, when it is given. The kernel takes an `int`.
pub const RECEIVE_BUFFER_BYTES: RangeInclusive<usize> = 4096..=0x7fff_ffff;
/// Torrents in a scrape, over either family.
pub const SCRAPE_TORRENTS: RangeInclusive<usize> =
    1..=(MAX_IPV6_PAYLOAD - REPLY_HEADER_LENGTH) / SCRAPE_TORRENT_LENGTH;
/// Peers in a reply over IPv4.
pub const MOST_RESPONSE_PEERS_IPV4: usize =
    (MAX_IPV4_PAYLOAD - ANNOUNCE_REPLY_HEADER_LENGTH) / IPV4_PEER_LENGTH;
/// Peers in a reply over IPv6.
pub const MOST_RESPONSE_PEERS_IPV6: usize =
    (MAX_IPV6_PAYLOAD - ANNOUNCE_REPLY_HEADER_LENGTH) / IPV6_PEER_LENGTH;
/// Age of a connection id: up to an hour.
pub const CONNECTION_AGE_SECONDS: RangeInclusive<u32> = 1..=3600;
/// Minutes between exports: up to a week.
pub const EXPORT_MINUTES: RangeInclusive<u32> = 1..=10_080;
