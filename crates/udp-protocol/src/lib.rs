//! Messages of BEP 15, for trackers and clients.
//!
//! * [`Request`]: a request of a client. [`Request::parse`] parses a datagram without
//!   allocating; a [`RequestError`] says what is wrong with it, and whether it may be
//!   answered.
//! * [`UrlData`]: the path that a client appends to an announce (BEP 41).
//! * [`write_connect`], [`AnnounceWriter`], [`ScrapeWriter`], [`write_error`]: replies,
//!   written directly into the output buffer.
//! * [`Response`]: a reply as parsed by a client.
//! * [`ConnectionIdKey`]: connection ids that the tracker does not have to store.
//!
//! Nothing here does I/O or reads a clock, and nothing allocates.

#![forbid(unsafe_code)]

mod connection_id;
mod reply;
mod request;
mod response;
mod url_data;
mod wire;

pub use connection_id::{ConnectionIdKey, MAX_SECONDS_IN_FUTURE};
pub use reply::{AnnounceWriter, ScrapeWriter, TorrentStatistics, write_connect, write_error};
pub use request::{
    AnnounceRequest, ConnectRequest, MIN_ANNOUNCE_LENGTH, PROTOCOL_ID, Request, RequestError,
    RequestFault, ScrapeRequest,
};
pub use response::{
    AddressFamily, AnnounceResponse, ConnectResponse, ErrorResponse, Peers, Response,
    ResponseError, ScrapeResponse,
};
pub use url_data::UrlData;

/// Length of a connect request, and of its reply.
pub const CONNECT_LENGTH: usize = 16;
/// Length of an announce reply without its peers.
pub const ANNOUNCE_REPLY_HEADER_LENGTH: usize = 20;
/// Length of a scrape request without its info hashes.
pub const SCRAPE_REQUEST_HEADER_LENGTH: usize = 16;
/// Length of a scrape reply without its torrents, and of an error without its message.
pub const REPLY_HEADER_LENGTH: usize = 8;
/// Length of one torrent in a scrape reply.
pub const SCRAPE_TORRENT_LENGTH: usize = 12;
/// Length of an info hash in a scrape request.
pub const INFO_HASH_LENGTH: usize = 20;

/// Maximum length of a datagram over IPv4 that fits an Ethernet frame: 1500, less the
/// headers of IPv4 and UDP.
pub const MAX_IPV4_PAYLOAD: usize = 1500 - 20 - 8;
/// Maximum length of a datagram over IPv6 that fits an Ethernet frame.
pub const MAX_IPV6_PAYLOAD: usize = 1500 - 40 - 8;

/// Proves that a client receives datagrams at its source address.
///
/// It is opaque to clients, which send it back unchanged; the tracker creates it with a
/// [`ConnectionIdKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub [u8; 8]);

/// Chosen by a client to match a reply with its request.
///
/// The tracker sends it back unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TransactionId(pub [u8; 4]);

impl From<u32> for TransactionId {
    #[inline]
    fn from(number: u32) -> Self {
        Self(number.to_be_bytes())
    }
}

impl From<TransactionId> for u32 {
    #[inline]
    fn from(id: TransactionId) -> Self {
        Self::from_be_bytes(id.0)
    }
}

/// The buffer is too small for the message; nothing was written past its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the buffer is too small for the message")]
pub struct BufferTooSmall;

/// The actions of BEP 15.
mod action {
    pub(crate) const CONNECT: u32 = 0;
    pub(crate) const ANNOUNCE: u32 = 1;
    pub(crate) const SCRAPE: u32 = 2;
    pub(crate) const ERROR: u32 = 3;
}
