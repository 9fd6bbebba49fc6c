//! Requests of clients.

use std::net::Ipv4Addr;
use std::num::NonZeroU32;

use aquatic_bittorrent::{AnnounceEvent, InfoHash, PeerId};

use crate::wire::{Writer, field};
use crate::{
    BufferTooSmall, CONNECT_LENGTH, ConnectionId, INFO_HASH_LENGTH, SCRAPE_REQUEST_HEADER_LENGTH,
    TransactionId, UrlData, action,
};

/// The first field of a connect request (BEP 15, "protocol_id").
pub const PROTOCOL_ID: u64 = 0x0000_0417_2710_1980;

/// Length of an announce without options.
pub const MIN_ANNOUNCE_LENGTH: usize = 98;

/// Length of the fields that every request has: connection id, action and transaction id.
const HEADER_LENGTH: usize = 16;

/// A parsed request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Request<'a> {
    /// Requests a connection id.
    Connect(ConnectRequest),
    /// Adds a peer, and requests others.
    Announce(AnnounceRequest<'a>),
    /// Requests the number of peers of torrents.
    Scrape(ScrapeRequest<'a>),
}

/// Why a datagram is not a valid request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// It is shorter than any request.
    #[error("{length} bytes are too few for a request, which has at least 16")]
    TooShort {
        /// Length of the datagram.
        length: usize,
    },
    /// A connect request does not start with [`PROTOCOL_ID`]: it is probably of another
    /// protocol.
    #[error("a connect request starts with the protocol id, not with {0:#018x}")]
    ProtocolId(u64),
    /// A malformed request that may be answered with an error if its connection id is
    /// valid.
    #[error("{fault}")]
    Answerable {
        /// Must be verified before an error is sent.
        connection_id: ConnectionId,
        /// Must be repeated in the error.
        transaction_id: TransactionId,
        /// What is wrong.
        fault: RequestFault,
    },
}

/// What is wrong with a request whose header is valid. The texts are short and meant for
/// the client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestFault {
    /// The action is neither connect, announce nor scrape.
    #[error("unknown action")]
    UnknownAction(u32),
    /// An announce has fewer than [`MIN_ANNOUNCE_LENGTH`] bytes.
    #[error("announce request is too short")]
    AnnounceTooShort,
    /// A scrape without info hashes, which other trackers answer for all torrents.
    #[error("scrape request names no info hash")]
    ScrapeWithoutInfoHash,
    /// A scrape ends within an info hash.
    #[error("scrape request ends within an info hash")]
    ScrapePartialInfoHash,
}

/// Requests a connection id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectRequest {
    /// Is repeated in the reply.
    pub transaction_id: TransactionId,
}

/// Adds a peer, and requests others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnnounceRequest<'a> {
    /// From the reply to a connect request.
    pub connection_id: ConnectionId,
    /// Is repeated in the reply.
    pub transaction_id: TransactionId,
    /// The torrent.
    pub info_hash: InfoHash,
    /// The id of the peer.
    pub peer_id: PeerId,
    /// Number of bytes that the peer claims to have downloaded since it started.
    pub downloaded: i64,
    /// Number of bytes that the peer has not downloaded; 0 makes it a seeder.
    pub left: i64,
    /// Number of bytes that the peer claims to have uploaded since it started.
    pub uploaded: i64,
    /// The event of the announce.
    pub event: AnnounceEvent,
    /// The address that the peer says it has (BEP 15: "default 0"); `None` for the one that
    /// the datagram came from. Whoever believes it lets the sender announce somebody else's
    /// address. There is no such field for IPv6: over IPv6, it means nothing.
    pub claimed_address: Option<Ipv4Addr>,
    /// Identifies a peer whose address changes.
    pub key: u32,
    /// Maximum number of peers to send; `None` for the tracker's default, which is
    /// requested by 0 or a negative number (BEP 15: "-1 default").
    pub peers_wanted: Option<NonZeroU32>,
    /// The port of the peer; it may be 0, which the caller has to reject.
    pub port: u16,
    /// The options after the fields (BEP 41).
    pub url_data: UrlData<'a>,
}

/// Requests the number of peers of torrents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScrapeRequest<'a> {
    /// From the reply to a connect request.
    pub connection_id: ConnectionId,
    /// Is repeated in the reply.
    pub transaction_id: TransactionId,
    /// The info hashes, at least one.
    pub info_hashes: &'a [[u8; INFO_HASH_LENGTH]],
}

impl<'a> Request<'a> {
    /// Parses a datagram.
    ///
    /// Bytes after a connect request are ignored, and those after an announce are options:
    /// BEP 15 says that more fields may follow.
    ///
    /// # Errors
    ///
    /// If it is not a valid request; the error says whether it may be answered.
    #[inline]
    pub fn parse(datagram: &'a [u8]) -> Result<Self, RequestError> {
        let Some((header, body)) = datagram.split_first_chunk::<HEADER_LENGTH>() else {
            return Err(RequestError::TooShort {
                length: datagram.len(),
            });
        };
        // Offsets of BEP 15: 0 connection id, 8 action, 12 transaction id.
        let connection_id = ConnectionId(field::<0, 8, _>(header));
        let transaction_id = TransactionId(field::<12, 4, _>(header));
        let answerable = |fault| RequestError::Answerable {
            connection_id,
            transaction_id,
            fault,
        };

        match u32::from_be_bytes(field::<8, 4, _>(header)) {
            action::ANNOUNCE => AnnounceRequest::parse(datagram)
                .map(Request::Announce)
                .ok_or_else(|| answerable(RequestFault::AnnounceTooShort)),
            action::CONNECT => match u64::from_be_bytes(connection_id.0) {
                PROTOCOL_ID => Ok(Request::Connect(ConnectRequest { transaction_id })),
                other => Err(RequestError::ProtocolId(other)),
            },
            action::SCRAPE => match body.as_chunks::<INFO_HASH_LENGTH>() {
                ([], []) => Err(answerable(RequestFault::ScrapeWithoutInfoHash)),
                (info_hashes, []) => Ok(Request::Scrape(ScrapeRequest {
                    connection_id,
                    transaction_id,
                    info_hashes,
                })),
                _ => Err(answerable(RequestFault::ScrapePartialInfoHash)),
            },
            other => Err(answerable(RequestFault::UnknownAction(other))),
        }
    }
}

impl ConnectRequest {
    /// Encodes the request.
    #[inline]
    #[must_use]
    pub fn to_bytes(self) -> [u8; CONNECT_LENGTH] {
        let mut bytes = [0; CONNECT_LENGTH];
        bytes[..8].copy_from_slice(&PROTOCOL_ID.to_be_bytes());
        bytes[8..12].copy_from_slice(&action::CONNECT.to_be_bytes());
        bytes[12..].copy_from_slice(&self.transaction_id.0);
        bytes
    }
}

impl<'a> AnnounceRequest<'a> {
    /// Whether the peer has the whole torrent.
    #[inline]
    #[must_use]
    pub const fn is_seeder(&self) -> bool {
        self.left == 0
    }

    /// Parses the fields at the offsets of BEP 15.
    #[inline]
    fn parse(datagram: &'a [u8]) -> Option<Self> {
        let (fields, options) = datagram.split_first_chunk::<MIN_ANNOUNCE_LENGTH>()?;
        let peers_wanted = i32::from_be_bytes(field::<92, 4, _>(fields));
        Some(Self {
            connection_id: ConnectionId(field::<0, 8, _>(fields)),
            transaction_id: TransactionId(field::<12, 4, _>(fields)),
            info_hash: InfoHash(field::<16, 20, _>(fields)),
            peer_id: PeerId(field::<36, 20, _>(fields)),
            downloaded: i64::from_be_bytes(field::<56, 8, _>(fields)),
            left: i64::from_be_bytes(field::<64, 8, _>(fields)),
            uploaded: i64::from_be_bytes(field::<72, 8, _>(fields)),
            event: event_from_number(u32::from_be_bytes(field::<80, 4, _>(fields))),
            claimed_address: claimed_address(field::<84, 4, _>(fields)),
            key: u32::from_be_bytes(field::<88, 4, _>(fields)),
            peers_wanted: u32::try_from(peers_wanted).ok().and_then(NonZeroU32::new),
            port: u16::from_be_bytes(field::<96, 2, _>(fields)),
            url_data: UrlData::from_options(options),
        })
    }

    /// Writes the request, including options; returns its length. If there is no
    /// `peers_wanted`, writes -1.
    ///
    /// # Errors
    ///
    /// If `out` is too small.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let peers_wanted = match self.peers_wanted {
            // A count that does not fit is replaced by the maximum.
            Some(count) => i32::try_from(count.get()).unwrap_or(i32::MAX),
            None => -1,
        };
        let mut writer = Writer::new(out);
        writer.put(&self.connection_id.0)?;
        writer.put(&action::ANNOUNCE.to_be_bytes())?;
        writer.put(&self.transaction_id.0)?;
        writer.put(&self.info_hash.0)?;
        writer.put(&self.peer_id.0)?;
        writer.put(&self.downloaded.to_be_bytes())?;
        writer.put(&self.left.to_be_bytes())?;
        writer.put(&self.uploaded.to_be_bytes())?;
        writer.put(&event_to_number(self.event).to_be_bytes())?;
        let claimed = self.claimed_address.unwrap_or(Ipv4Addr::UNSPECIFIED);
        writer.put(&claimed.octets())?;
        writer.put(&self.key.to_be_bytes())?;
        writer.put(&peers_wanted.to_be_bytes())?;
        writer.put(&self.port.to_be_bytes())?;
        writer.put(self.url_data.options())?;
        Ok(writer.length())
    }
}

impl ScrapeRequest<'_> {
    /// The requested torrents, in the order of the reply.
    #[inline]
    pub fn info_hashes(&self) -> impl ExactSizeIterator<Item = InfoHash> {
        self.info_hashes.iter().map(|&bytes| InfoHash(bytes))
    }

    /// Writes the request; returns its length.
    ///
    /// # Errors
    ///
    /// If `out` is too small.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, BufferTooSmall> {
        let mut writer = Writer::new(out);
        writer.put(&self.connection_id.0)?;
        writer.put(&action::SCRAPE.to_be_bytes())?;
        writer.put(&self.transaction_id.0)?;
        debug_assert_eq!(writer.length(), SCRAPE_REQUEST_HEADER_LENGTH);
        writer.put(self.info_hashes.as_flattened())?;
        Ok(writer.length())
    }
}

/// BEP 15, "IP address": 0 is the default, the address of the sender.
#[inline]
fn claimed_address(field: [u8; 4]) -> Option<Ipv4Addr> {
    let address = Ipv4Addr::from(field);
    (!address.is_unspecified()).then_some(address)
}

/// The numbers of BEP 15, and `paused` of BEP 21, which libtorrent sends as 4.
#[inline]
fn event_from_number(number: u32) -> AnnounceEvent {
    match number {
        1 => AnnounceEvent::Completed,
        2 => AnnounceEvent::Started,
        3 => AnnounceEvent::Stopped,
        4 => AnnounceEvent::Paused,
        _ => AnnounceEvent::None,
    }
}

fn event_to_number(event: AnnounceEvent) -> u32 {
    match event {
        AnnounceEvent::None => 0,
        AnnounceEvent::Completed => 1,
        AnnounceEvent::Started => 2,
        AnnounceEvent::Stopped => 3,
        AnnounceEvent::Paused => 4,
    }
}

#[cfg(test)]
mod tests;
